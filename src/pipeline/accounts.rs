//! What stands in the record of a session: an intent before each execution that touches, an outcome
//! after it, refusals and alerts; all of one execution by one number.

use std::rc::Rc;
use std::sync::Arc;

use super::Step;
use super::about::About;
use super::errand::AT_ONCE_BYTES_MAX;
use super::late::Taint;
use super::leases::Shared;
use super::owed::{Possible, Running};
use super::plan::Plan;
use super::session::{Event, Session};
use super::subjects::Whose;
use super::transaction::Ended;
use crate::audit::{
    Alert, Attribution, Cover, Execution, FieldUse, Intent, Outcome, Receipt, Record, RefusalRecord,
};
use crate::policy::Refusal;
use crate::statement::{Action, Description, Limits, describe};
use crate::watch::{By, Trap};

impl Session {
    /// The text that is refused next, as far as it can be read.
    pub(super) fn about_text(&mut self, text: &[u8]) {
        let Some(view) = &self.view else { return };
        let names = view.snapshot().names(self.certainty.path().map(Arc::as_ref));
        let described = match self.errands.description.take() {
            Some(described) => *described,
            None if text.len() > AT_ONCE_BYTES_MAX => Description::default(),
            None => describe(text, self.reading, names, &Limits::default()),
        };
        let Description { fields, shape, fingerprint, signs } = described;
        let fields: Arc<[FieldUse]> =
            fields.into_iter().filter_map(|id| view.field_use(id).cloned()).collect();
        if !signs.is_empty() {
            self.events.push(Event::Suspicious { signs, fields: Arc::clone(&fields), number: None });
        }
        self.about = Some(About { number: None, fields, statement: shape, fingerprint });
    }

    pub(super) fn answering(&mut self) -> Option<About> {
        self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| About::answer(mark))
    }

    /// Ends the session in the midst of an answer.
    pub(super) fn end_answer(&mut self, refusal: Refusal) -> Step {
        self.about = self.answering();
        self.end(refusal)
    }

    /// Records a refusal and counts it.
    pub(super) fn note_refusal(&mut self, refusal: &Refusal, plan: Option<&Plan>) {
        let about = self.about.take().or_else(|| plan.map(About::whole)).unwrap_or_default();
        let who = self.who_asks(plan.and_then(|plan| plan.facts.said.as_deref()), &[]);
        let statement_id = about.number.unwrap_or_else(|| self.execution().number);
        self.records.push(Record::Refusal(RefusalRecord {
            who,
            statement_id,
            sqlstate: refusal.sqlstate,
            rule: refusal.reason.into(),
            fields: about.fields,
            statement: about.statement,
            fingerprint: about.fingerprint,
        }));
        self.events.push(Event::Refused { reason: refusal.reason });
        self.events.push(Event::Statement { kind: "judged", verdict: "refused" });
    }

    /// Raises an alert about a value that does not open, and not about one that the client cannot show.
    pub(super) fn alert_unopened(&mut self, refusal: &Refusal, run: &Running) {
        if refusal.sqlstate != "22P05" {
            self.alert("does-not-open", "cut", refusal.reason, Some(run));
        }
    }

    /// Raises an alert about an execution. None: the one that the server is answering.
    pub(super) fn alert(
        &mut self,
        detector: &'static str,
        verdict: &'static str,
        rule: &str,
        run: Option<&Running>,
    ) {
        self.alert_by(By::User, detector, verdict, rule, run);
    }

    /// The same, about the login user or the one for whom it asks.
    pub(super) fn alert_by(
        &mut self,
        by: By,
        detector: &'static str,
        verdict: &'static str,
        rule: &str,
        run: Option<&Running>,
    ) {
        let about = run.map(About::run).or_else(|| self.answering()).unwrap_or_default();
        let severity =
            if matches!(verdict, "cut" | "lock") || detector == "honey" { "critical" } else { "warning" };
        let who = run.map_or(&self.who, |run| &run.who).clone();
        self.records.push(Record::Alert(Alert {
            who,
            statement_id: about.number,
            detector,
            severity,
            verdict,
            rule: rule.into(),
            fields: about.fields,
            incident: Arc::from(""),
            unusual: None,
            by_end_user: by == By::EndUser,
        }));
        self.events.push(Event::Alerted { detector, severity });
    }

    /// The next execution of this session.
    pub(super) fn execution(&mut self) -> Execution {
        let number = self.next_execution;
        self.next_execution += 1;
        Execution { session: self.principal.session(), number }
    }

    /// The fields that a statement may read without naming them; none where it cannot. What SQL's
    /// EXECUTE and FETCH show may come from code that this session has run before.
    pub(super) fn possible(&self, plan: &Plan, index: usize) -> Option<Possible> {
        let facts = plan.facts.statements.get(index)?;
        let executes = facts.effect.executes.as_ref().is_some_and(|executes| !executes.known);
        let fetches = facts.effect.fetches.as_ref().is_some_and(|fetches| !fetches.known);
        let behind = self.opaque_since && (executes || fetches);
        let behind = behind || self.shows_anything();
        let fields = match (&facts.opaque, behind) {
            (Some(_), _) => plan.uses.get(index)?.clone(),
            (None, true) => self.view.as_ref().map(|view| view.legible())?,
            (None, false) => return None,
        };
        Some(Possible { fields, cells: 0 }).filter(|possible| !possible.fields.is_empty())
    }

    /// Is anything of a plan to be on record?
    pub(super) fn tells_of(&self, plan: &Plan) -> bool {
        plan.is_recorded()
            || (0..plan.facts.statements.len()).any(|index| self.possible(plan, index).is_some())
    }

    /// A row holds a value that nobody has a reason to see: an alert, and the end of the session where the
    /// configuration wants that.
    pub(super) fn met_honey(&mut self, met: Option<Trap>, run: &Running) -> Option<Refusal> {
        let Trap { action, by } = met?;
        let rule = "a honey record was opened";
        self.limited("honey", action, by, rule, Some(run));
        action.cuts().then(|| Refusal::cut(rule))
    }

    /// Is this user one whose COPY gives sealed values as they are stored?
    pub(super) fn copies_sealed(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.snapshot().copies_sealed(self.principal.user()))
    }

    /// Opens one execution and its intent for each statement of a plan that touches, or may.
    /// `shares`: it may share the intent of another execution, as far as its text tells.
    pub(super) fn begin(&mut self, plan: &Rc<Plan>, shares: bool) -> Vec<Option<Running>> {
        let mut runs = Vec::with_capacity(plan.facts.statements.len());
        self.taint = self.taint.max(plan.taint());
        self.ciphered = true;
        for (index, facts) in plan.facts.statements.iter().enumerate() {
            let possible = self.possible(plan, index);
            let fields = possible.as_ref().map(|possible| &possible.fields).or(plan.uses.get(index));
            let action = facts.action().or_else(|| possible.is_some().then_some(Action::Read));
            let Some((action, fields)) = action.zip(fields.cloned()) else {
                runs.push(None);
                continue;
            };
            let possibly = possible.is_some() && self.view.as_ref().is_some_and(|view| view.may_tell_whose());
            let before = plan.facts.statements.get(..index).unwrap_or_default();
            let who = self.who_asks(plan.facts.said.as_deref(), before);
            let execution = self.execution();
            let stored = self.copies_sealed() && facts.copy.as_ref().is_some_and(|copy| !copy.from);
            if possible.is_some() {
                self.opaque_since = true;
                self.taint = Taint::Opaque;
            }
            let shared =
                if shares && possible.is_none() { self.share(plan, execution, &who) } else { Shared::Not };
            let (leased, lease) = match shared {
                Shared::Under(leased) => (Some(leased), None),
                Shared::Asks(terms) => (None, Some(terms)),
                Shared::Not => (None, None),
            };
            if leased.is_none() {
                self.records.push(Record::Intent(Intent {
                    who: who.clone(),
                    execution,
                    action,
                    attribution: attribution(possible.as_ref()),
                    fields,
                    fingerprint: facts.fingerprint.clone(),
                    statement: facts.shape.clone(),
                    rule: if stored { "copy-sealed" } else { plan.permit.rule() },
                    replication: None,
                    lease,
                }));
            }
            if !plan.facts.signs.is_empty() {
                let (signs, fields) = (plan.facts.signs, plan.uses.get(index).cloned().unwrap_or_default());
                self.events.push(Event::Suspicious { signs, fields, number: Some(execution.number) });
            }
            let kind = if facts.action().is_some() { kind_of(action) } else { "possible" };
            self.events.push(Event::Statement { kind, verdict: "permitted" });
            runs.push(Some(Running {
                who: who.clone(),
                execution,
                plan: Rc::clone(plan),
                index,
                shape: None,
                copying: None,
                stored,
                prepared: None,
                lease: leased.as_ref().map(|leased| Rc::clone(leased.lease())),
                cover: leased.map(Cover::Leased),
                rows: 0,
                cells: vec![0; facts.reads.len()],
                possible,
                bytes: 0,
                sqlstate: None,
                whose: Whose::of(facts, plan.named.get(index), possibly),
            }));
        }
        runs
    }

    /// Closes an execution with its outcome: that of a write when it is known whether it holds.
    pub(super) fn finish(&mut self, run: &Running, ended: Ended) {
        if let Some(mut outcome) = self.outcome(run) {
            let writes = matches!(outcome.action, Action::Write | Action::Define);
            if writes && ended == Ended::Completed {
                self.transaction.wait(outcome, &mut self.records);
            } else {
                outcome.committed = (writes && ended == Ended::Undone).then_some(false);
                self.records.push(Record::Outcome(outcome));
            }
        }
        if let Some(lease) = &run.lease {
            lease.note(run.rows, run.bytes);
        }
        self.forget(run.execution);
    }

    /// Nothing of an execution comes any more.
    pub(super) fn forget(&mut self, execution: Execution) {
        self.receipts.retain(|receipt| receipt.execution() != execution);
        self.unrecorded.retain(|number| *number != execution.number);
    }

    /// What came of an execution so far.
    pub(super) fn progress(&mut self, run: &Running) {
        let so_far = self.outcome(run);
        self.records.extend(so_far.map(|so_far| Record::Outcome(Outcome { partial: true, ..so_far })));
    }

    pub(super) fn note_progress(&mut self, run: &Running) {
        let covers = run.cover.as_ref().map(Cover::execution);
        debug_assert_eq!(covers, Some(run.execution), "rows are released under what covers them alone");
        self.progress(run);
    }

    /// Counts the values that it has shown.
    pub(super) fn count(&mut self, run: &Running) {
        let (Some(view), Some(facts)) = (&self.view, run.plan.facts.statements.get(run.index)) else {
            return;
        };
        for (id, count) in facts.reads.iter().zip(&run.cells).filter(|(_, count)| **count > 0) {
            if let Some(field) = view.field_use(*id) {
                let field = field.field.clone();
                self.events.push(Event::Cells { field, operation: "open", count: *count });
            }
        }
    }

    fn outcome(&self, run: &Running) -> Option<Outcome> {
        let facts = run.plan.facts.statements.get(run.index)?;
        let possible = run.possible.as_ref();
        let fields = possible.map(|possible| &possible.fields).or(run.plan.uses.get(run.index))?;
        Some(Outcome {
            who: run.who.clone(),
            execution: run.execution,
            action: facts.action().or_else(|| possible.is_some().then_some(Action::Read))?,
            attribution: attribution(possible),
            fields: fields.clone(),
            fingerprint: facts.fingerprint.clone(),
            rows: run.rows,
            cells: run.cells.iter().sum::<u64>() + possible.map_or(0, |possible| possible.cells),
            bytes: run.bytes,
            sqlstate: run.sqlstate,
            committed: None,
            replication: None,
            lease: run.lease.as_ref().map(|lease| lease.number()),
            executions: None,
            partial: false,
            subjects: run.subjects(facts),
        })
    }

    /// Has a run what covers it? `Err` where its intent could not be written.
    pub(super) fn claim_receipt(&mut self, run: &mut Running) -> Result<bool, Refusal> {
        match &run.cover {
            Some(Cover::Own(_)) => return Ok(true),
            Some(cover @ Cover::Leased(_)) if cover.fits(0, self.now_ms) => return Ok(true),
            Some(Cover::Leased(_)) => self.intend(run),
            None => {}
        }
        let mut receipt = None;
        let claimed = self.claim(run.execution, &mut receipt)?;
        run.cover = receipt.map(Cover::Own);
        Ok(claimed)
    }

    /// The same, where so many values are about to be shown.
    pub(super) fn covers(&mut self, run: &mut Running, values: u64) -> bool {
        let fits = run.cover.as_ref().is_some_and(|cover| cover.fits(values, self.now_ms));
        if !fits {
            self.intend(run);
        }
        fits
    }

    /// Reserves so many values of it, that are no row's.
    pub(super) fn reserves(&self, run: &Running, values: u64) -> bool {
        run.cover.as_ref().is_some_and(|cover| cover.reserve(run.execution, values, self.now_ms))
    }

    /// A run that its lease covers no longer has an intent of its own, for all that is to come.
    fn intend(&mut self, run: &mut Running) {
        run.cover = None;
        let Some(facts) = run.plan.facts.statements.get(run.index) else { return };
        let (Some(action), Some(fields)) = (facts.action(), run.plan.uses.get(run.index)) else { return };
        self.records.push(Record::Intent(Intent {
            who: self.who.clone(),
            execution: run.execution,
            action,
            attribution: Attribution::Known,
            fields: fields.clone(),
            fingerprint: facts.fingerprint.clone(),
            statement: facts.shape.clone(),
            rule: run.plan.permit.rule(),
            replication: None,
            lease: None,
        }));
    }

    /// The same of any execution.
    pub(super) fn claim(
        &mut self,
        execution: Execution,
        receipt: &mut Option<Receipt>,
    ) -> Result<bool, Refusal> {
        if receipt.is_none() {
            if self.unrecorded.contains(&execution.number) {
                return Err(Refusal::unrecorded());
            }
            let at = self.receipts.iter().position(|receipt| receipt.execution() == execution);
            *receipt = at.map(|at| self.receipts.swap_remove(at));
        }
        Ok(receipt.is_some())
    }

    /// Outcomes of executions that end here. Without its intent in the record one showed and did
    /// nothing.
    pub(super) fn drop_recorded(
        &mut self,
        mut runs: Vec<Option<Running>>,
        sqlstate: Option<[u8; 5]>,
        ended: Ended,
    ) {
        // Under a lease it may have shown something all the same.
        let untold = |run: &Running| run.lease.is_none() && self.is_unrecorded(run.execution);
        runs.retain(|run| !run.as_ref().is_some_and(untold));
        self.drop_runs(runs, sqlstate, ended);
    }

    /// Is it known that the intent of an execution could not be written?
    pub(super) fn is_unrecorded(&self, execution: Execution) -> bool {
        self.unrecorded.contains(&execution.number)
    }
}

fn attribution(possible: Option<&Possible>) -> Attribution {
    if possible.is_some() { Attribution::Possible } else { Attribution::Known }
}

pub(super) fn kind_of(action: Action) -> &'static str {
    match action {
        Action::Search => "search",
        Action::Read => "read",
        Action::Write => "write",
        Action::Define => "define",
        Action::Replicate => "replicate",
    }
}
