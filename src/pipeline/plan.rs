//! What was decided about a text, kept by text; and the tools one thread shares between
//! its sessions.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::view::View;
use crate::audit::FieldUse;
use crate::login::Principal;
use crate::policy::{self, Permit, Refusal};
use crate::seal::{Plaintext, Sealer};
use crate::statement::{Limits, Reading, StatementFacts, TextFacts, analyse};

/// A text that was analysed and permitted.
pub struct Plan {
    pub facts: TextFacts,
    pub permit: Permit,
    /// The classified fields of each statement, as the record names them.
    pub uses: Vec<Arc<[FieldUse]>>,
}

impl Plan {
    pub fn touches(&self) -> bool {
        self.facts.statements.iter().any(StatementFacts::touches)
    }

    pub fn writes(&self) -> bool {
        self.facts.statements.iter().any(|facts| !facts.writes.is_empty())
    }

    pub fn has_literals(&self) -> bool {
        self.facts.statements.iter().any(|facts| !facts.literals.is_empty())
    }
}

/// Plans by text, bounded in bytes. When full it starts anew: a working set that fits is
/// back after one round.
pub struct PlanCache {
    plans: HashMap<PlanKey, Rc<Plan>>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct PlanKey {
    text: Box<[u8]>,
    database: Arc<str>,
    epoch: u64,
    reading: Reading,
}

impl PlanCache {
    #[must_use]
    pub fn new(bytes_max: usize) -> PlanCache {
        PlanCache { plans: HashMap::new(), bytes: 0, bytes_max }
    }

    fn keep(&mut self, key: PlanKey, plan: &Rc<Plan>) {
        // The facts weigh about as much as the text, plus a fixed part.
        let weight = key.text.len() * 3 + 1024;
        if self.bytes + weight > self.bytes_max {
            self.plans.clear();
            self.bytes = 0;
        }
        if weight <= self.bytes_max {
            self.bytes += weight;
            self.plans.insert(key, Rc::clone(plan));
        }
    }
}

/// Tools of one thread: its sealer, its plans, its scratch space. Sessions borrow it for
/// the length of one call.
pub struct Workshop {
    pub(super) sealer: Option<Sealer>,
    pub(super) opened: Plaintext,
    /// The row that is being opened, and its classified values by field.
    pub(super) row: Vec<u8>,
    pub(super) cells: Vec<u64>,
    plans: PlanCache,
    limits: Limits,
}

impl Workshop {
    /// `sealer`: none where no field is sealed.
    #[must_use]
    pub fn new(sealer: Option<Sealer>, plans: PlanCache, limits: Limits) -> Workshop {
        Workshop {
            sealer,
            opened: Plaintext::new(Vec::new()),
            row: Vec::new(),
            cells: Vec::new(),
            plans,
            limits,
        }
    }

    /// The plan of a text: kept, or made now. The second value says whether it was kept.
    pub(super) fn plan(
        &mut self,
        view: &View,
        text: &[u8],
        reading: Reading,
        principal: &Principal,
    ) -> (Result<Rc<Plan>, Refusal>, bool) {
        let key = PlanKey {
            text: text.into(),
            database: view.snapshot().database().clone(),
            epoch: view.epoch(),
            reading,
        };
        if let Some(plan) = self.plans.plans.get(&key) {
            return (Ok(Rc::clone(plan)), true);
        }
        let analysed = analyse(text, reading, view.snapshot(), &self.limits);
        let permit = match policy::judge(principal, analysed.as_ref()) {
            Ok(permit) => permit,
            Err(refusal) => return (Err(refusal), false),
        };
        let facts = match analysed {
            Ok(facts) => facts,
            Err(unproven) => return (Err(Refusal::unproven(&unproven)), false),
        };
        let uses = facts.statements.iter().map(|facts| uses_of(view, facts)).collect();
        let plan = Rc::new(Plan { facts, permit, uses });
        if !plan.has_literals() {
            self.plans.keep(key, &plan);
        }
        (Ok(plan), false)
    }
}

fn uses_of(view: &View, facts: &StatementFacts) -> Arc<[FieldUse]> {
    let mut ids: Vec<_> =
        [&facts.reads, &facts.searches, &facts.writes].into_iter().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().filter_map(|id| view.field_use(id).cloned()).collect()
}
