//! What is about to be shown is counted first, and may be the end of the session.

use std::sync::Arc;

use super::owed::Running;
use super::plan::Plan;
use super::session::{Event, Session};
use crate::audit::{Attribution, Who};
use crate::policy::Refusal;
use crate::watch::{Broken, By, EndUser, Judgement, LimitAction, Restrained, Shown, Terms, UserWatch};

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
        let who = run.map_or(&self.who, |run| &run.who).clone();
        let end_user = self.watch_of_end_user(&who);
        let watch = self.watch.as_ref()?;
        match watch.open_with(end_user.as_deref(), shown, attribution, now_ms) {
            Judgement::Go => None,
            Judgement::Alert(Broken { rule, action, by }) => {
                self.limited("limit", action, by, &rule, run);
                None
            }
            Judgement::Cut(Broken { rule, action, by }) => {
                self.limited("limit", action, by, &rule, run);
                Some(Refusal::cut(&rule))
            }
        }
    }

    /// The counts of the one for whom it is asked. None: no limit is by end user.
    fn watch_of_end_user(&mut self, who: &Arc<Who>) -> Option<Arc<UserWatch>> {
        let watch = self.watch.as_ref().filter(|watch| watch.has_end_users())?;
        if let Some((known, of_end_user)) = &self.end_user
            && Arc::ptr_eq(known, who)
        {
            return Some(of_end_user.clone());
        }
        let found = watch.end_user(&EndUser::of(who))?;
        self.end_user = Some((who.clone(), found.clone()));
        Some(found)
    }

    /// A limit was reached, or what nobody opens was opened: it is told, and what that has held against somebody
    /// begins.
    pub(super) fn limited(
        &mut self,
        detector: &'static str,
        action: LimitAction,
        by: By,
        rule: &str,
        run: Option<&Running>,
    ) {
        self.alert_by(by, detector, action.name(), rule, run);
        if let LimitAction::Restrain { restraint, ms } = action {
            let whom = by.whom(run.map_or(&self.who, |run| &run.who));
            self.events.push(Event::Restrained { whom, restraint, ms, rule: rule.into() });
        }
    }

    /// What is held against its user, and those for whom that asks, from here on; and what leases of before allow
    /// no longer.
    pub fn restrain(&mut self, held: Option<Arc<Vec<Restrained>>>, now_ms: impl FnOnce() -> u64) {
        let was_any = self.held_against.is_some();
        self.held_against = held.and_then(|held| {
            self.held_ms = now_ms();
            held.iter().any(|one| one.until_ms > self.held_ms).then_some(held)
        });
        if self.held_against.is_some() != was_any {
            self.end_leases();
        }
    }

    /// Is anything held against whoever asks?
    #[must_use]
    pub fn terms(&self, who: &Who) -> Terms {
        let held = self.held_against.as_ref();
        held.map_or_else(Terms::default, |held| Terms::of(held, who, self.held_ms))
    }

    /// Is nothing held against its user, nor against anybody for whom it may ask?
    pub(super) fn is_unrestrained(&self) -> bool {
        self.held_against.is_none()
    }

    /// May a plan that touches what is classified go on as things stand?
    pub(super) fn unrestrained(&self, plan: &Plan) -> Result<(), Refusal> {
        if self.is_unrestrained() || !self.tells_of(plan) {
            return Ok(());
        }
        let statements = &plan.facts.statements;
        let touches = |index: &usize| {
            let facts = statements.get(*index);
            facts.is_some_and(|facts| facts.action().is_some()) || self.possible(plan, *index).is_some()
        };
        let touching = (0..statements.len()).filter(touches);
        // What is told of without any of them is told of whoever asks first.
        let none = (0..statements.len()).all(|index| !touches(&index));
        for index in touching.chain(none.then_some(0)) {
            // For whom each of them is: one before it may say so.
            let before = statements.get(..index).unwrap_or_default();
            let terms = self.terms(&self.who_asks(plan.facts.said.as_deref(), before));
            if terms.refuse {
                return Err(Refusal::refused_by_watch());
            }
            if terms.purpose {
                // One that is on its way may be taken back: what holds counts, or what the text says of itself.
                let said = plan.facts.said.as_ref().and_then(|said| said.purpose.as_ref());
                if said.or(self.who.purpose.as_ref()).is_none_or(|purpose| purpose.trim().is_empty()) {
                    return Err(Refusal::wants_purpose());
                }
            }
        }
        Ok(())
    }
}
