//! What is about to be shown is counted first, and may be the end of the session.

use super::owed::Running;
use super::session::Session;
use crate::audit::Attribution;
use crate::policy::Refusal;
use crate::watch::{Judgement, Shown};

impl Session {
    /// Counts cells before they are released; says what the watch refuses.
    pub(super) fn watched(
        &mut self,
        cells: u64,
        attribution: Attribution,
        now_ms: u64,
        run: Option<&Running>,
    ) -> Option<Refusal> {
        self.judged_by_watch(&Shown { cells, ..Shown::default() }, attribution, now_ms, run)
    }

    /// The same of a row of which the text says what it shows.
    pub(super) fn watched_row(&mut self, cells: u64, now_ms: u64, run: &Running) -> Option<Refusal> {
        let (subjects, unknown) = run.whose.as_ref().map_or((&[][..], 0), |whose| whose.shown());
        let shown = Shown { cells, rows: u64::from(cells > 0), subjects, unknown };
        self.judged_by_watch(&shown, Attribution::Known, now_ms, Some(run))
    }

    fn judged_by_watch(
        &mut self,
        shown: &Shown<'_>,
        attribution: Attribution,
        now_ms: u64,
        run: Option<&Running>,
    ) -> Option<Refusal> {
        if shown.cells == 0 && shown.unknown == 0 {
            return None;
        }
        match self.watch.as_ref()?.open(shown, attribution, now_ms) {
            Judgement::Go => None,
            Judgement::Alert(rule) => {
                self.alert("limit", "alert", &rule, run);
                None
            }
            Judgement::Cut(rule) => {
                self.alert("limit", "cut", &rule, run);
                Some(Refusal::cut(&rule))
            }
        }
    }
}
