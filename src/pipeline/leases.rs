//! Executions that share one durable intent: where `[audit] lease` allows it, the second execution of a
//! statement asks for a lease with its intent, and those that follow use it up. What is a lease's alone
//! is counted in `audit::Lease`; here is which statements may have one, and when it ends.

use std::rc::Rc;
use std::sync::Arc;

use super::plan::Plan;
use super::session::Session;
use crate::audit::{
    Attribution, Execution, FieldUse, Lease, LeaseTerms, Leased, Outcome, Receipt, Record, Tenure, Who,
};
use crate::statement::{Action, StatementFacts};

/// Statements of one session that are remembered to be run again. The oldest is forgotten first.
const SLOTS_MAX: usize = 16;

/// What an execution has to do for its record.
pub(super) enum Shared {
    /// An intent of its own.
    Not,
    /// The same, which asks for a lease.
    Asks(LeaseTerms),
    /// Nothing: it is covered.
    Under(Leased),
}

/// The leases of one session.
#[derive(Default)]
pub(super) struct Leases {
    /// None: there are none.
    pub(super) terms: Option<(LeaseTerms, Tenure)>,
    slots: Vec<Slot>,
    /// Leases that cover nothing new, while executions that began under them may still be running.
    ended: Vec<Ended>,
}

/// A statement that has been run.
struct Slot {
    told: Told,
    epoch: u64,
    state: State,
}

/// What the records of a statement say, whichever literals it has.
#[derive(Clone)]
struct Told {
    who: Arc<Who>,
    action: Action,
    fields: Arc<[FieldUse]>,
    fingerprint: Arc<str>,
    statement: Arc<str>,
}

enum State {
    /// Once, or its lease is used up.
    Known,
    /// By the intent of this execution; when, and under which tenure.
    Asked {
        number: u64,
        asked_ms: u64,
        began: u64,
    },
    Open(Rc<Lease>),
}

struct Ended {
    told: Told,
    number: u64,
    /// None: it was never used.
    lease: Option<Rc<Lease>>,
}

impl Ended {
    fn open(told: Told, lease: Rc<Lease>) -> Ended {
        Ended { told, number: lease.number(), lease: Some(lease) }
    }
}

impl Slot {
    fn is_of(
        &self,
        who: &Arc<Who>,
        facts: &StatementFacts,
        fields: &Arc<[FieldUse]>,
        action: Action,
        epoch: u64,
    ) -> bool {
        self.epoch == epoch
            && (Arc::ptr_eq(&self.told.who, who) || self.told.who == *who)
            && self.told.action == action
            && self.told.fingerprint == facts.fingerprint
            && self.told.statement == facts.shape
            && (Arc::ptr_eq(&self.told.fields, fields) || self.told.fields == *fields)
    }
}

/// May executions of this plan share an intent? Reads and searches that are wholly understood and are
/// what they say: no code that nobody can follow, no cursor, no COPY, no name of SQL.
fn may_share(plan: &Plan) -> Option<&StatementFacts> {
    let [facts] = plan.facts.statements.as_slice() else { return None };
    let effect = &facts.effect;
    let plain = facts.opaque.is_none()
        && facts.copy.is_none()
        && facts.defines.is_none()
        && facts.boundary.is_none()
        && !facts.explained
        && !effect.catalog
        && !effect.reading
        && effect.executes.is_none()
        && effect.fetches.is_none()
        && effect.links.is_empty()
        && !plan.writes();
    let reads = matches!(facts.action(), Some(Action::Read | Action::Search));
    (plain && reads).then_some(facts)
}

impl Session {
    /// Executions of one statement may share an intent, within these bounds and until `tenure` ends.
    pub fn lease(&mut self, terms: LeaseTerms, tenure: Tenure) {
        self.leases.terms = Some((terms, tenure));
    }

    /// The time, on the clock of [`Session::response`].
    pub fn clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// When the next open lease ends by itself.
    #[must_use]
    pub fn lease_until_ms(&self) -> Option<u64> {
        let open = self.leases.slots.iter().filter_map(|slot| match &slot.state {
            State::Open(lease) => Some(lease.until_ms()),
            State::Known | State::Asked { .. } => None,
        });
        open.min()
    }

    /// No lease covers anything new; each stands in the record as ended, as soon as nothing runs under it.
    pub fn end_leases(&mut self) {
        for slot in std::mem::take(&mut self.leases.slots) {
            self.leases.end(slot.told, slot.state);
        }
        self.tell_ended();
    }

    /// The same of those whose time is over.
    pub fn expire_leases(&mut self) {
        let now_ms = self.now_ms;
        for slot in &mut self.leases.slots {
            let over = match &slot.state {
                State::Open(lease) => !lease.holds(now_ms),
                State::Known | State::Asked { .. } => false,
            };
            if over && let State::Open(lease) = std::mem::replace(&mut slot.state, State::Known) {
                self.leases.ended.push(Ended::open(slot.told.clone(), lease));
            }
        }
        self.tell_ended();
    }

    /// What a further execution of this plan has to do.
    pub(super) fn share(&mut self, plan: &Rc<Plan>, execution: Execution, who: &Arc<Who>) -> Shared {
        // What is held against its user holds for each execution.
        let Some((terms, tenure)) = self.leases.terms.clone().filter(|_| self.is_unrestrained()) else {
            return Shared::Not;
        };
        let Some(epoch) = self.view.as_ref().map(|view| view.epoch()) else { return Shared::Not };
        let (Some(facts), Some(fields)) = (may_share(plan), plan.uses.first()) else { return Shared::Not };
        let Some(action) = facts.action() else { return Shared::Not };
        self.tell_ended();
        let Leases { slots, ended, .. } = &mut self.leases;
        let Some(slot) = slots.iter_mut().find(|slot| slot.is_of(who, facts, fields, action, epoch)) else {
            let told = Told {
                who: who.clone(),
                action,
                fields: fields.clone(),
                fingerprint: facts.fingerprint.clone(),
                statement: facts.shape.clone(),
            };
            if slots.len() >= SLOTS_MAX {
                let Slot { told, state, .. } = slots.remove(0);
                self.leases.end(told, state);
            }
            self.leases.slots.push(Slot { told, epoch, state: State::Known });
            return Shared::Not;
        };
        if let State::Open(lease) = &slot.state {
            if let Some(leased) = lease.lend(execution, self.now_ms) {
                return Shared::Under(leased);
            }
            if let State::Open(lease) = std::mem::replace(&mut slot.state, State::Known) {
                ended.push(Ended::open(slot.told.clone(), lease));
            }
        }
        self.tell_ended();
        // One lease of a statement at a time: while something runs under the last one there is no other.
        let waits =
            self.leases.ended.iter().any(|ended| {
                ended.told.fingerprint == facts.fingerprint && ended.told.statement == facts.shape
            });
        let now_ms = self.now_ms;
        let slot = self.leases.slots.iter_mut().find(|slot| slot.is_of(who, facts, fields, action, epoch));
        match slot {
            Some(slot) if matches!(slot.state, State::Known) && !waits => {
                let began = tenure.now();
                slot.state = State::Asked { number: execution.number, asked_ms: now_ms, began };
                Shared::Asks(terms)
            }
            Some(_) | None => Shared::Not,
        }
    }

    /// The intent that asked for a lease is durable.
    pub(super) fn open_lease(&mut self, receipt: &mut Receipt) {
        let Some((_, tenure)) = &self.leases.terms else { return };
        for slot in &mut self.leases.slots {
            let State::Asked { number, asked_ms, began } = slot.state else { continue };
            if number == receipt.execution().number {
                let lease = Lease::of(receipt, asked_ms, tenure, began);
                slot.state = lease.map_or(State::Known, |lease| State::Open(Rc::new(lease)));
            }
        }
    }

    /// The intent of an execution was refused.
    pub(super) fn forget_lease(&mut self, refused: u64) {
        for slot in &mut self.leases.slots {
            if matches!(slot.state, State::Asked { number, .. } if number == refused) {
                slot.state = State::Known;
            }
        }
    }

    /// Puts the end of each lease on record under which nothing runs any more.
    pub(super) fn tell_ended(&mut self) {
        if self.leases.ended.is_empty() {
            return;
        }
        let records = &mut self.records;
        self.leases.ended.retain(|Ended { told, number, lease }| {
            if lease.as_ref().is_some_and(|lease| Rc::strong_count(lease) > 1) {
                return true;
            }
            let (executions, cells, rows, bytes) = lease.as_ref().map_or((0, 0, 0, 0), |lease| lease.used());
            records.push(Record::Outcome(Outcome {
                who: told.who.clone(),
                execution: Execution { session: told.who.session, number: *number },
                action: told.action,
                attribution: Attribution::Known,
                fields: told.fields.clone(),
                fingerprint: told.fingerprint.clone(),
                rows,
                cells,
                bytes,
                sqlstate: None,
                committed: None,
                replication: None,
                lease: Some(*number),
                executions: Some(executions),
                partial: false,
                subjects: None,
            }));
            false
        });
    }
}

impl Leases {
    fn end(&mut self, told: Told, state: State) {
        match state {
            State::Open(lease) => self.ended.push(Ended::open(told, lease)),
            // Its receipt opens nothing any more.
            State::Asked { number, .. } => self.ended.push(Ended { told, number, lease: None }),
            State::Known => {}
        }
    }
}
