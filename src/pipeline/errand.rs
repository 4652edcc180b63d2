//! Long texts are judged away from the thread that serves the sessions: what one client sends
//! must not keep the others. The machine has no threads, so it hands the text out as an *errand*
//! and waits for what was found ([`Need::Judgement`](super::Need::Judgement)).

use std::sync::Arc;

use super::view::View;
use crate::catalog::SearchPath;
use crate::statement::{Description, Limits, Reading, Remedy, TextFacts, Unproven, analyse, describe};

/// The longest text that is judged at once, on the session's own thread.
pub(super) const AT_ONCE_BYTES_MAX: usize = 16 * 1024;

/// A text to be judged, with all that this needs.
pub struct Errand {
    pub(super) view: Arc<View>,
    pub(super) text: Box<[u8]>,
    pub(super) reading: Reading,
    /// Counts only where the text cannot be judged without one.
    pub(super) path: Option<Arc<SearchPath>>,
    pub(super) limits: Limits,
}

/// What came of an errand.
pub struct Finding {
    errand: Errand,
    analysis: Analysis,
}

/// What a text was found to be.
pub(super) struct Analysis {
    pub(super) facts: Result<TextFacts, Unproven>,
    /// The search path that its names were looked up on, if one had to be.
    pub(super) path: Option<Arc<SearchPath>>,
    /// Of a long text that could not be judged.
    pub(super) description: Option<Box<Description>>,
}

/// What a session has to do with errands.
#[derive(Default)]
pub(super) struct Errands {
    /// To be taken out.
    pub(super) errand: Option<Box<Errand>>,
    pub(super) finding: Option<Finding>,
    /// What the long text is that is refused next.
    pub(super) description: Option<Box<Description>>,
}

impl Errand {
    /// Takes as long as it takes: the limits bound it.
    #[must_use]
    pub fn run(self) -> Finding {
        let Errand { view, text, reading, path, limits } = &self;
        let mut analysis = Analysis::of(view, text, *reading, path.as_ref(), limits);
        if analysis.facts.is_err() {
            let names = view.snapshot().names(path.as_deref());
            analysis.description = Some(Box::new(describe(text, *reading, names, limits)));
        }
        Finding { errand: self, analysis }
    }
}

impl Finding {
    /// Was this asked, and of the catalog as it is now?
    pub(super) fn is_of(
        &self,
        view: &View,
        text: &[u8],
        reading: Reading,
        path: Option<&Arc<SearchPath>>,
    ) -> bool {
        self.errand.view.epoch() == view.epoch()
            && self.errand.reading == reading
            && self.errand.path.as_ref() == path
            && *self.errand.text == *text
    }

    pub(super) fn into_analysis(self) -> Analysis {
        self.analysis
    }
}

impl Analysis {
    /// Without a path first: what needs none is kept for all of them.
    pub(super) fn of(
        view: &View,
        text: &[u8],
        reading: Reading,
        path: Option<&Arc<SearchPath>>,
        limits: &Limits,
    ) -> Analysis {
        let on = |path: Option<&Arc<SearchPath>>| {
            analyse(text, reading, view.snapshot().names(path.map(Arc::as_ref)), limits)
        };
        let (facts, path) = match (on(None), path) {
            (Err(Unproven { remedy: Remedy::Path, .. }), Some(path)) => {
                (on(Some(path)), Some(Arc::clone(path)))
            }
            (facts, _) => (facts, None),
        };
        Analysis { facts, path, description: None }
    }
}
