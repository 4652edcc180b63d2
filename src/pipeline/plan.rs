//! What was decided about a text, kept by text; and the tools one thread shares between
//! its sessions.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::certainty::Doubt;
use super::errand::{AT_ONCE_BYTES_MAX, Analysis, Errand, Finding};
use super::late::Taint;
use super::session::ANYTHING;
use super::subjects::Named;
use super::values::other_styles;
use super::view::View;
use crate::audit::FieldUse;
use crate::catalog::{Change, QualifiedName, SearchPath};
use crate::login::Principal;
use crate::login::token::{EndUser, Tokens};
use crate::policy::{self, Permit, Refusal, Surroundings};
use zeroize::Zeroizing;

use crate::seal::{Plaintext, Sealer, SubjectKey};
use crate::statement::{
    Boundary, Description, Doors, Edit, Limits, Reading, Remedy, Renames, StatementFacts, States, TextFacts,
    Unproven, literal_value,
};
use crate::types::Style;
use crate::watch::{Honey, Trap};

/// A text that was analysed and permitted.
pub struct Plan {
    pub facts: TextFacts,
    pub permit: Permit,
    /// The classified fields of each statement, as the record names them.
    pub uses: Vec<Arc<[FieldUse]>>,
    /// Whom each statement's own text names as those whose data is meant.
    pub named: Vec<Rc<[Named]>>,
    /// The search path that its names were looked up on, if one had to be.
    pub path: Option<Arc<SearchPath>>,
}

impl Plan {
    pub fn touches(&self) -> bool {
        self.facts.statements.iter().any(StatementFacts::touches)
    }

    /// What the server's words may tell of once it runs.
    pub(super) fn taint(&self) -> Taint {
        let of =
            |facts: &StatementFacts| match (&facts.opaque, facts.touches() || !facts.relations.is_empty()) {
                (Some(_), _) => Taint::Opaque,
                (None, true) => Taint::Named,
                (None, false) => Taint::Nothing,
            };
        self.facts.statements.iter().map(of).max().unwrap_or_default()
    }

    /// Does it define something over code that nobody can follow?
    pub(super) fn keeps(&self) -> bool {
        self.facts.statements.iter().any(|facts| facts.keeps)
    }

    /// Is it a COPY of classified columns?
    pub(super) fn copies(&self) -> bool {
        self.facts.statements.iter().any(|facts| facts.copy.is_some())
    }

    /// Does it take data from the client in which values are sealed?
    pub(super) fn takes_copy(&self) -> bool {
        let takes = |facts: &StatementFacts| facts.copy.as_ref().is_some_and(|copy| copy.from);
        self.facts.statements.iter().any(takes)
    }

    /// Does a value go on as it is?
    pub(super) fn gives(&self) -> bool {
        self.facts.statements.iter().any(|facts| facts.gives)
    }

    /// Of a statement that nobody has judged.
    pub(super) fn unknown(permit: Permit) -> Plan {
        let facts = TextFacts { statements: vec![StatementFacts::default()], ..TextFacts::default() };
        Plan { facts, permit, uses: vec![Arc::from([])], named: Vec::new(), path: None }
    }

    /// The plan of what code has put under a name: it may show whatever is legible.
    pub(super) fn anything(view: &View, permit: Permit) -> Plan {
        let opaque = Some(Arc::from("a name that code may have given to something else"));
        let facts = StatementFacts { opaque, renames: Renames::Anything, ..StatementFacts::default() };
        let facts = TextFacts { statements: vec![facts], ..TextFacts::default() };
        Plan { facts, permit, uses: vec![view.legible()], named: Vec::new(), path: None }
    }

    /// Does it define anything, end what is defined, or state who asks?
    pub(super) fn defines(&self) -> bool {
        let does = |facts: &StatementFacts| facts.effect.catalog || !facts.effect.states.is_empty();
        self.facts.statements.iter().any(does) || self.bounds()
    }

    /// The new names that it gives to what is classified, or leads there. A table that only has the name of one
    /// is nobody's business: whoever may make one could hold up all others.
    pub(super) fn coming(&self, view: &View) -> Vec<Arc<str>> {
        let effects = || self.facts.statements.iter().map(|facts| &facts.effect);
        let changes = effects().filter_map(|effect| effect.changes.as_deref());
        // Of what is not followed nobody knows whether it leads to what the server can read.
        let made = effects().filter(|effect| view.has_legible() && effect.changes.is_none());
        let made = made.flat_map(|effect| effect.makes.iter().cloned());
        let matters = |table: &QualifiedName| {
            let known = view.snapshot().relation(&table.schema, &table.name);
            known.is_none_or(|known| !known.is_harmless())
        };
        let named = changes.flatten().filter_map(|change| match change {
            Change::Led { table, .. } => Some(Arc::clone(&table.name)),
            Change::Renamed { table, to } => matters(table).then(|| Arc::clone(&to.name)),
            // A temporary one is nobody else's.
            Change::Copied { .. }
            | Change::Created { .. }
            | Change::Dropped { .. }
            | Change::ColumnAdded { .. }
            | Change::ColumnDropped { .. }
            | Change::ColumnRenamed { .. }
            | Change::Enumerated { .. }
            | Change::Unkeyed { .. } => None,
        });
        let all = effects().any(|effect| effect.alters_all).then(|| Arc::from(ANYTHING));
        named.chain(made).chain(all).collect()
    }

    /// Does it make a temporary copy of classified columns?
    pub(super) fn makes_copy(&self) -> bool {
        let changes = self.facts.statements.iter().filter_map(|facts| facts.effect.changes.as_deref());
        changes.flatten().any(|change| matches!(change, Change::Copied { .. }))
    }

    /// Does it end a transaction so that what that has defined may stay?
    pub(super) fn ends(&self) -> bool {
        self.facts.statements.iter().any(|facts| matches!(facts.boundary, Some(Boundary::End)))
    }

    /// Does it leave a transaction for anybody to commit?
    pub(super) fn prepares(&self) -> bool {
        self.facts.statements.iter().any(|facts| matches!(facts.boundary, Some(Boundary::Prepared)))
    }

    /// Does it make, undo or end what its transaction has defined?
    pub(super) fn bounds(&self) -> bool {
        self.facts.statements.iter().any(|facts| facts.boundary.is_some())
    }

    /// Does it read a table of which the server has not said which one it is?
    pub(super) fn reads_unplaced(&self, view: &View) -> bool {
        let reads = self.facts.statements.iter().flat_map(|facts| &facts.reads);
        reads.into_iter().any(|id| !view.snapshot().is_placed(*id, view.snapshot()))
    }

    /// Must its record be there before it runs?
    pub fn writes(&self) -> bool {
        let written = |facts: &StatementFacts| !facts.writes.is_empty() || facts.defines.is_some();
        self.facts.statements.iter().any(written)
    }

    /// Does any of its statements stand in the record?
    pub fn is_recorded(&self) -> bool {
        self.facts.statements.iter().any(|facts| facts.action().is_some())
    }

    /// Goes another text than the client's to the server?
    pub fn is_spelled(&self) -> bool {
        !self.facts.edits.is_empty() || self.facts.statements.iter().any(StatementFacts::is_spelled)
    }

    /// It holds text of the client: literals to be sealed, or spelled otherwise.
    pub fn has_literals(&self) -> bool {
        let quotes = |edit: &Edit| edit.quotes;
        let given = |facts: &StatementFacts| {
            facts.effect.executes.as_ref().is_some_and(|executes| !executes.arguments.is_empty())
        };
        self.facts.edits.iter().any(quotes)
            || self.facts.statements.iter().any(|facts| !facts.literals.is_empty() || given(facts))
    }

    /// What it may do to the session beside its rows.
    pub fn doubt(&self) -> Doubt {
        let effects = || self.facts.statements.iter().map(|facts| &facts.effect);
        Doubt {
            code: true,
            foreign: !self.facts.statements.iter().all(|facts| facts.is_quiet && facts.touches()),
            reading: effects().any(|effect| effect.reading),
            catalog: effects().any(|effect| effect.catalog),
            converts: effects().any(|effect| effect.converts),
        }
    }

    /// Does any of its statements rest on the order of a table's columns?
    /// Does it rest on the columns of relations that are not the policy's?
    pub fn joins(&self) -> bool {
        self.facts.statements.iter().any(|facts| facts.joins)
    }

    pub fn is_positional(&self) -> bool {
        // Of COPY the server does not say where its columns come from.
        let unsaid = |facts: &StatementFacts| facts.copy.as_ref().is_some_and(|copy| !copy.from);
        self.facts.statements.iter().any(|facts| facts.positional || unsaid(facts))
    }

    /// Does it change what names or columns of tables that matter mean?
    pub fn moves(&self) -> bool {
        self.moved().next().is_some()
    }

    /// The bare names of these tables.
    pub fn moved(&self) -> impl Iterator<Item = &Arc<str>> {
        self.facts.statements.iter().flat_map(|facts| &facts.moved)
    }

    /// Databases in which the server wants no other session meanwhile.
    pub fn wants(&self) -> impl Iterator<Item = &Arc<str>> {
        self.facts.statements.iter().filter_map(|facts| facts.effect.wants.as_ref())
    }

    /// The tables that matter and that it names.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<str>> {
        self.facts.statements.iter().flat_map(|facts| &facts.relations)
    }
}

/// Plans by text, bounded in bytes. When full it starts anew: a working set that fits is
/// back after one round.
pub struct PlanCache {
    plans: HashMap<Box<[u8]>, Kept>,
    bytes: usize,
    bytes_max: usize,
}

/// The plans of one text.
#[derive(Default)]
struct Kept {
    /// Those of which names on the search path decide nothing. There are few.
    anywhere: Vec<(Scope, Rc<Plan>)>,
    by_path: HashMap<(Arc<SearchPath>, Scope), Rc<Plan>>,
}

/// Where a plan is one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Scope {
    epoch: u64,
    reading: Reading,
    database: Arc<str>,
}

/// Plans of one text that rest on no path: of other catalogs and readings, which come and go.
const ANYWHERE_MAX: usize = 16;

impl PlanCache {
    #[must_use]
    pub fn new(bytes_max: usize) -> PlanCache {
        PlanCache { plans: HashMap::new(), bytes: 0, bytes_max }
    }

    /// The plan of a text. No part of it is copied, since this is done for every statement that is judged.
    fn get(
        &self,
        text: &[u8],
        view: &View,
        reading: Reading,
        path: Option<&Arc<SearchPath>>,
    ) -> Option<Rc<Plan>> {
        let kept = self.plans.get(text)?;
        let (epoch, database) = (view.epoch(), view.snapshot().database());
        let fits = |(scope, _): &&(Scope, Rc<Plan>)| {
            scope.epoch == epoch && scope.reading == reading && scope.database == *database
        };
        if let Some((_, plan)) = kept.anywhere.iter().find(fits) {
            return Some(Rc::clone(plan));
        }
        let path = path.filter(|_| !kept.by_path.is_empty())?;
        let scope = Scope { epoch, reading, database: database.clone() };
        kept.by_path.get(&(path.clone(), scope)).cloned()
    }

    fn keep(&mut self, text: &[u8], scope: Scope, path: Option<Arc<SearchPath>>, plan: &Rc<Plan>) {
        // The facts weigh about as much as the text, plus a fixed part.
        let weight = text.len() * 3 + 1024;
        if self.bytes + weight > self.bytes_max {
            self.plans.clear();
            self.bytes = 0;
        }
        if weight <= self.bytes_max {
            self.bytes += weight;
            let kept = self.plans.entry(text.into()).or_default();
            match path {
                Some(path) => drop(kept.by_path.insert((path, scope), Rc::clone(plan))),
                None => {
                    if kept.anywhere.len() >= ANYWHERE_MAX {
                        kept.anywhere.remove(0);
                    }
                    kept.anywhere.push((scope, Rc::clone(plan)));
                }
            }
        }
    }
}

/// Tools of one thread: its sealer, its plans, its scratch space. Sessions borrow it for
/// the length of one call.
pub struct Workshop {
    pub(super) sealer: Option<Sealer>,
    /// Prove for whom sessions ask, and the time at which they do.
    pub(super) tokens: Arc<Tokens>,
    pub(super) now_s: u64,
    /// Makes names of those whose data is met.
    pub(super) subjects: Option<SubjectKey>,
    pub(super) opened: Plaintext,
    /// Styles by which it is found out whether a value means one thing.
    pub(super) others: Rc<[Style]>,
    /// The canonical form of the value that is being sealed.
    pub(super) given: Zeroizing<Vec<u8>>,
    /// The row that is being opened, and its classified values by field.
    pub(super) row: Vec<u8>,
    pub(super) cells: Vec<u64>,
    honey: Option<Arc<Honey>>,
    /// What is done about the values that were opened and that nobody has a reason to open.
    pub(super) met_honey: Option<Trap>,
    plans: PlanCache,
    limits: Limits,
    surroundings: Surroundings,
}

impl Workshop {
    /// `sealer`: none where no field is sealed.
    #[must_use]
    pub fn new(sealer: Option<Sealer>, plans: PlanCache, limits: Limits) -> Workshop {
        let subjects = sealer.as_ref().and_then(|sealer| SubjectKey::of(sealer.keyring()));
        Workshop {
            sealer,
            tokens: Arc::default(),
            now_s: 0,
            subjects,
            opened: Plaintext::new(Vec::new()),
            others: other_styles(),
            given: Zeroizing::default(),
            row: Vec::new(),
            cells: Vec::new(),
            honey: None,
            met_honey: None,
            plans,
            limits,
            surroundings: Surroundings::unknown(),
        }
    }

    /// Raises an alarm where one of these is opened.
    #[must_use]
    pub fn with_honey(self, honey: Option<Arc<Honey>>) -> Workshop {
        Workshop { honey, ..self }
    }

    /// A sealed value has been opened.
    pub(super) fn look_for_honey(&mut self, sealed: &[u8]) {
        if let Some(trap) = self.honey.as_ref().and_then(|honey| honey.find(sealed)) {
            self.met_honey = Some(self.met_honey.map_or(trap, |met| met.or(trap)));
        }
    }

    /// Judges ways to other servers by what is around the gate.
    #[must_use]
    pub fn amid(self, surroundings: Surroundings) -> Workshop {
        Workshop { surroundings, ..self }
    }

    /// Proves end users by these tokens.
    #[must_use]
    pub fn trusting(self, tokens: Arc<Tokens>) -> Workshop {
        Workshop { tokens, ..self }
    }

    /// It is so many seconds since the Unix epoch.
    pub fn tell_time(&mut self, now_s: u64) {
        self.now_s = now_s;
    }

    /// Proves what the tokens of a text state.
    fn prove(&self, facts: &mut TextFacts, text: &[u8]) -> Result<(), Refusal> {
        // What nobody here can name may be the token, on its way to the server's logs.
        if !self.tokens.is_empty() && facts.statements.iter().any(|facts| facts.effect.configures) {
            return Err(Refusal::token_perhaps());
        }
        let states = facts.statements.iter_mut().flat_map(|facts| &mut facts.effect.states);
        for state in states {
            if let States::Token { span, form, local } = state {
                let lost = || Refusal::token("its literal is not read");
                let plain = text.get(span.clone()).and_then(|source| literal_value(source, *form));
                let plain = plain.ok_or_else(lost)?;
                let token = std::str::from_utf8(&plain).map_err(|_| lost())?;
                let EndUser { name, expires_s } =
                    self.tokens.prove(token, self.now_s).map_err(Refusal::token)?;
                *state = States::Proven { name, expires_s, local: *local };
            }
        }
        Ok(())
    }

    /// The plan of a text: kept, or made now. The second value says whether it was kept. The
    /// path counts only where the text cannot be judged without one. `finding`: what came of the
    /// errand for a long text.
    pub(super) fn plan(
        &mut self,
        view: &Arc<View>,
        text: &[u8],
        reading: Reading,
        path: Option<&Arc<SearchPath>>,
        principal: &Principal,
        finding: &mut Option<Finding>,
    ) -> (Result<Rc<Plan>, Unplanned>, bool) {
        if let Some(plan) = self.kept(view, text, reading, path) {
            return (Ok(plan), true);
        }
        let analysis = if text.len() <= AT_ONCE_BYTES_MAX {
            Analysis::of(view, text, reading, path, &self.limits)
        } else {
            match finding.take_if(|finding| finding.is_of(view, text, reading, path)) {
                Some(finding) => finding.into_analysis(),
                None => {
                    let (view, path, limits) = (Arc::clone(view), path.cloned(), self.limits);
                    let errand = Errand { view, text: text.into(), reading, path, limits };
                    return (Err(Unplanned::Elsewhere(Box::new(errand))), false);
                }
            }
        };
        let scope = Scope { epoch: view.epoch(), reading, database: view.snapshot().database().clone() };
        (self.planned(view, analysis, text, scope, principal), false)
    }

    /// The plan of a text that is kept: such a text is one that must be judged.
    pub(super) fn kept(
        &self,
        view: &View,
        text: &[u8],
        reading: Reading,
        path: Option<&Arc<SearchPath>>,
    ) -> Option<Rc<Plan>> {
        // What one transaction has defined says nothing of another's texts.
        if view.is_own() { None } else { self.plans.get(text, view, reading, path) }
    }

    /// Leave for a plan whose names stand for something.
    pub(super) fn permit(&self, principal: &Principal, facts: &TextFacts) -> Result<Permit, Refusal> {
        policy::judge(principal, Ok(facts), &self.surroundings)
    }

    /// Judges a text of a database in which nothing is classified.
    pub(super) fn judge_doors(
        &self,
        doors: &Doors,
        text: &[u8],
        reading: Reading,
    ) -> Result<Vec<Arc<str>>, Unproven> {
        doors.judge(text, reading, &self.limits)
    }

    fn planned(
        &mut self,
        view: &View,
        analysis: Analysis,
        text: &[u8],
        scope: Scope,
        principal: &Principal,
    ) -> Result<Rc<Plan>, Unplanned> {
        let Analysis { facts, path, description } = analysis;
        let remedy = facts.as_ref().err().map_or(Remedy::Nothing, |unproven| unproven.remedy.clone());
        let judged = policy::judge(principal, facts.as_ref(), &self.surroundings);
        let judged = judged.and_then(|permit| match facts {
            Ok(mut facts) => self.prove(&mut facts, text).map(|()| (permit, facts)),
            Err(unproven) => Err(Refusal::unproven(&unproven)),
        });
        let (permit, facts) = judged.map_err(|refusal| Unplanned::Refused {
            refusal: Box::new(refusal),
            remedy,
            description,
        })?;
        let uses = facts.statements.iter().map(|facts| uses_of(view, facts)).collect();
        let by_path = path.clone().filter(|_| facts.by_path);
        let named = facts.statements.iter().map(|facts| self.named_in_text(view, facts, text)).collect();
        let plan = Rc::new(Plan { facts, permit, uses, named, path: by_path });
        // What is allowed by region is for today.
        let links = plan.facts.statements.iter().any(|facts| !facts.effect.links.is_empty());
        if !plan.has_literals() && !links && !view.is_own() {
            self.plans.keep(text, scope, path, &plan);
        }
        Ok(plan)
    }
}

/// A text without a plan.
pub enum Unplanned {
    /// And what could help; `description`: of a long text.
    Refused { refusal: Box<Refusal>, remedy: Remedy, description: Option<Box<Description>> },
    /// It is long, and must be judged elsewhere first.
    Elsewhere(Box<Errand>),
}

pub(super) fn uses_of(view: &View, facts: &StatementFacts) -> Arc<[FieldUse]> {
    let mut ids: Vec<_> =
        [&facts.reads, &facts.searches, &facts.writes].into_iter().flatten().copied().collect();
    if facts.opaque.is_some() {
        ids.extend(view.snapshot().legible().map(|field| field.id));
    }
    ids.extend(facts.defines.iter().flatten());
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().filter_map(|id| view.field_use(id).cloned()).collect()
}
