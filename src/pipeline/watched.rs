//! What is about to be shown is counted first, and may be the end of the session.

use super::owed::Running;
use super::plan::Plan;
use super::session::{Event, Session};
use crate::audit::Attribution;
use crate::policy::Refusal;
use crate::watch::{Broken, Judgement, LimitAction, Shown, Terms};

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
            Judgement::Alert(Broken { rule, action }) => {
                self.limited(action, &rule, run);
                None
            }
            Judgement::Cut(Broken { rule, action }) => {
                self.limited(action, &rule, run);
                Some(Refusal::cut(&rule))
            }
        }
    }

    /// A limit was reached: it is told, and what it has held against the user begins.
    fn limited(&mut self, action: LimitAction, rule: &str, run: Option<&Running>) {
        self.alert("limit", action.name(), rule, run);
        if let LimitAction::Restrain { restraint, ms } = action {
            self.events.push(Event::Restrained { restraint, ms, rule: rule.into() });
        }
    }

    /// What is held against its user from here on, and what leases of before allow no longer.
    pub fn restrain(&mut self, terms: Terms) {
        if self.terms != terms {
            self.terms = terms;
            self.end_leases();
        }
    }

    /// Is anything held against its user?
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// May a plan that touches what is classified go on as things stand?
    pub(super) fn unrestrained(&self, plan: &Plan) -> Result<(), Refusal> {
        if self.terms.is_none() || !self.tells_of(plan) {
            return Ok(());
        }
        if self.terms.refuse {
            return Err(Refusal::refused_by_watch());
        }
        if self.terms.purpose {
            // One that is on its way may be taken back: what holds counts, or what the text says of itself.
            let said = plan.facts.said.as_ref().and_then(|said| said.purpose.as_ref());
            if said.or(self.who.purpose.as_ref()).is_none_or(|purpose| purpose.trim().is_empty()) {
                return Err(Refusal::wants_purpose());
            }
        }
        Ok(())
    }
}
