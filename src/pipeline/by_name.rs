//! What SQL runs by name, and what it gives a name: FETCH and MOVE of a portal, EXECUTE of a statement;
//! DECLARE, PREPARE and what takes names away. Names are those of the protocol ([`super::names`]), as at
//! the server, so that each reaches what the other has made.
//!
//! What runs by a name does what the name stands for: its facts take the place of its own. That must be
//! certain: a name that code may have given to something else since, or that was judged by another
//! policy, is refused.

use std::rc::Rc;
use std::sync::Arc;

use super::Need;
use super::Step;
use super::again::{Found, doubtful_cursor, doubtful_statement, named_anew};
use super::names::{BySql, Change, Kept, Meaning, Naming, Prepared, Rest};
use super::owed::Running;
use super::plan::{Plan, Workshop, uses_of};
use super::response::Fate;
use super::session::Session;
use super::shape::unforeseen;
use super::subjects::Named;
use super::values::{Parameter, check_declared, declared, parameter};
use super::view::View;
use crate::catalog::{Change as CatalogChange, Field, FieldId};
use crate::policy::Refusal;
use crate::statement::{
    NameOf, NamedQuery, Renames, ResultColumn, StatementFacts, SubjectUse, TextFacts, executed, fetched,
};
use crate::wire::Frame;
use crate::wire::backend::DataRow;

/// What a plan came to.
pub(super) enum Resolved {
    /// And what it rests on.
    Plan(Rc<Plan>, Vec<Rest>),
    First(Step),
}

/// What one name stands for.
enum Stands {
    /// Nothing that is judged: what it shows is nobody's.
    ForNothing,
    /// Its facts, and whom its own text names.
    For(Rc<Prepared>, Box<StatementFacts>, Option<Rc<[Named]>>),
    First(Step),
}

/// Which of the names of a text are looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It runs now.
    All,
    /// It is only prepared: what a portal is, is for the time of its execution to say.
    Statements,
}

impl Session {
    /// The plan with the facts of what its names stand for.
    pub(super) fn resolve(
        &mut self,
        shop: &mut Workshop,
        plan: Rc<Plan>,
        lookup: Lookup,
        out: &mut Vec<u8>,
    ) -> Result<Resolved, Refusal> {
        let by_name = |facts: &StatementFacts| {
            facts.effect.executes.as_ref().is_some_and(|executes| !executes.known)
                || lookup == Lookup::All
                    && facts.effect.fetches.as_ref().is_some_and(|fetches| !fetches.known)
        };
        if !plan.facts.statements.iter().any(by_name) {
            return Ok(Resolved::Plan(plan, Vec::new()));
        }
        let Some(view) = self.view.clone() else { return Ok(Resolved::Plan(plan, Vec::new())) };
        let (mut all, mut named) = (plan.facts.clone(), plan.named.clone());
        let mut rests = Vec::new();
        for index in 0..plan.facts.statements.len() {
            let Some(own) = all.statements.get(index).filter(|facts| by_name(facts)).cloned() else {
                continue;
            };
            let stands = match (&own.effect.executes, &own.effect.fetches) {
                (Some(executes), _) => self.statement_named(
                    shop,
                    (&all, &plan.named),
                    index,
                    &executes.statement,
                    &mut rests,
                    out,
                )?,
                (None, Some(fetches)) => {
                    self.portal_named(&view, (&all, &plan.named), index, &fetches.portal, &mut rests)?
                }
                (None, None) => Stands::ForNothing,
            };
            let (prepared, of, names) = match stands {
                Stands::ForNothing => continue,
                Stands::For(prepared, of, names) => (prepared, of, names),
                Stands::First(step) => return Ok(Resolved::First(step)),
            };
            let facts = if own.effect.executes.is_some() {
                let sealed = of.parameters.iter().filter(|use_of| {
                    let declared = declared(&prepared.types, use_of);
                    !matches!(parameter(&view, &of, use_of, declared), Ok(Parameter::Plain))
                });
                executed(&own, &of, sealed).map_err(|unproven| Refusal::unproven(&unproven))?
            } else {
                fetched(&own, &of)
            };
            if let Some(place) = all.statements.get_mut(index) {
                *place = facts;
            }
            if let (Some(place), Some(names)) = (named.get_mut(index), names) {
                *place = names;
            }
        }
        let uses = all.statements.iter().map(|facts| uses_of(&view, facts)).collect();
        let permit = shop.permit(&self.principal, &all)?;
        let path = plan.path.clone();
        Ok(Resolved::Plan(Rc::new(Plan { facts: all, permit, uses, named, path }), rests))
    }

    fn portal_named(
        &self,
        view: &View,
        (text, names): (&TextFacts, &[Rc<[Named]>]),
        index: usize,
        name: &str,
        rests: &mut Vec<Rest>,
    ) -> Result<Stands, Refusal> {
        let is_portal = |of: &NameOf| matches!(of, NameOf::Portal { .. });
        if let Some((at, named, behind)) = named_before(text, index, name, is_portal) {
            let is_doubtful = takes_portals(behind, name);
            if is_doubtful && named.facts.is_recorded() {
                return Err(doubtful_cursor("FETCH"));
            }
            if is_doubtful {
                return Ok(Stands::ForNothing);
            }
            let prepared = Rc::new(Prepared::unknown());
            return Ok(Stands::For(prepared, Box::new(named.facts), names.get(at).cloned()));
        }
        self.refuse_folded(name)?;
        let untold =
            |facts: &StatementFacts| facts.effect.names.as_ref().is_some_and(|named| named.name.is_empty());
        let before = text.statements.get(..index).unwrap_or_default();
        if before.iter().any(untold) || self.queue.is_told_too_late(name.as_bytes()) {
            return Err(told_too_late());
        }
        let meaning = self.queue.portal(name.as_bytes());
        if self.is_outlived(&meaning) {
            let detail =
                "The policy changed since this cursor may have been opened, and with it what it shows.";
            return Err(Refusal::unhandled("not-prepared", detail, "Declare the cursor again."));
        }
        let prepared = match meaning {
            Meaning::Unsettled => return Ok(Stands::First(Step::Need(Need::Settle))),
            Meaning::Plain => {
                rests.push(Rest { portal: true, name: name.as_bytes().into(), on: None });
                return Ok(Stands::ForNothing);
            }
            Meaning::Judged(prepared) => prepared,
        };
        rests.push(Rest { portal: true, name: name.as_bytes().into(), on: Some(Rc::clone(&prepared)) });
        let facts = prepared.plan.as_ref().and_then(|plan| plan.facts.statements.first());
        let before = text.statements.get(..index).unwrap_or_default();
        let is_doubtful = self.queue.names.is_doubtful_portal(name.as_bytes()) || takes_portals(before, name);
        match facts {
            None => Ok(Stands::ForNothing),
            Some(facts) if is_doubtful && facts.is_recorded() => Err(doubtful_cursor("FETCH")),
            Some(_) if is_doubtful => Ok(Stands::ForNothing),
            Some(facts) => {
                let facts = under(view, &prepared, facts)?;
                let names = named_within(&prepared).filter(|_| prepared.epoch == view.epoch());
                Ok(Stands::For(prepared, Box::new(facts), names))
            }
        }
    }

    fn statement_named(
        &mut self,
        shop: &mut Workshop,
        (text, names): (&TextFacts, &[Rc<[Named]>]),
        index: usize,
        name: &str,
        rests: &mut Vec<Rest>,
        out: &mut Vec<u8>,
    ) -> Result<Stands, Refusal> {
        let is_statement = |of: &NameOf| matches!(of, NameOf::Statement { .. });
        if let Some((at, named, behind)) = named_before(text, index, name, is_statement) {
            let others = behind.iter().filter(|facts| facts.renames == Renames::Anything);
            if others.count() > 0 {
                return Err(doubtful_statement("EXECUTE"));
            }
            let types = match &named.of {
                NameOf::Statement { types } => types.as_slice(),
                NameOf::Portal { .. } => &[],
            };
            let prepared = Prepared { types: types.into(), ..Prepared::unknown() };
            return Ok(Stands::For(Rc::new(prepared), Box::new(named.facts), names.get(at).cloned()));
        }
        let before = text.statements.get(..index).unwrap_or_default();
        if before.iter().any(names_anew) {
            return Err(named_anew());
        }
        self.refuse_folded(name)?;
        let name = name.as_bytes();
        let own = text.statements.get(index).and_then(|facts| facts.effect.executes.as_ref());
        let gives = own.is_none_or(|executes| !executes.arguments.is_empty());
        let prepared = match self.statement(shop, name, out)? {
            Found::Step(step) => return Ok(Stands::First(step)),
            Found::Meaning(Meaning::Unsettled) => return Ok(Stands::First(Step::Need(Need::Settle))),
            Found::Meaning(Meaning::Judged(prepared)) => prepared,
            Found::Meaning(Meaning::Plain) if self.has_outlived(name) => {
                let detail = "EXECUTE names a statement that may have been prepared before the catalog changed, and with it what the statement means.";
                return Err(Refusal::unhandled("sql-execute", detail, "Prepare it again."));
            }
            Found::Meaning(Meaning::Plain) if gives && self.made_by_code(name).is_some() => {
                let detail = "EXECUTE gives a value to a statement that only code which cannot be followed may have prepared.";
                return Err(Refusal::unhandled("sql-execute", detail, "Prepare it in a text of your own."));
            }
            Found::Meaning(Meaning::Plain) => {
                rests.push(Rest { portal: false, name: name.into(), on: None });
                return Ok(Stands::ForNothing);
            }
        };
        if prepared.failed {
            let detail = "EXECUTE names a statement whose preparation was refused.";
            return Err(Refusal::unhandled("sql-execute", detail, "Prepare it under another name."));
        }
        rests.push(Rest { portal: false, name: name.into(), on: Some(Rc::clone(&prepared)) });
        if before.iter().any(|facts| facts.renames == Renames::Anything) {
            if prepared.plan.as_ref().is_some_and(|plan| plan.is_recorded()) {
                return Err(doubtful_statement("EXECUTE"));
            }
            return Ok(Stands::ForNothing);
        }
        let facts = prepared.plan.as_ref().and_then(|plan| plan.facts.statements.first().cloned());
        let names = named_within(&prepared);
        Ok(facts.map_or(Stands::ForNothing, |facts| Stands::For(prepared, Box::new(facts), names)))
    }

    /// Letters beyond ASCII are folded as the database's own encoding has it.
    fn refuse_folded(&self, name: &str) -> Result<(), Refusal> {
        if name.is_ascii() || self.reading.server_utf8 || !self.queue.names.has_any_by_sql() {
            return Ok(());
        }
        let detail = "A name has characters beyond ASCII, and the encoding of the database is not UTF8.";
        Err(Refusal::unhandled("name-folding", detail, "Name it in ASCII."))
    }

    /// Do the names on which a plan rests stand for what they stood for when it was made?
    fn stands(&self, rests: &[Rest]) -> Result<(), Refusal> {
        let same = |rest: &Rest| {
            let now = match rest.portal {
                true => self.queue.portal(&rest.name),
                false => self.queue.statement(&rest.name),
            };
            match (now, &rest.on) {
                (Meaning::Judged(now), Some(then)) => {
                    Rc::ptr_eq(&now, then)
                        && !(rest.portal && self.queue.names.is_doubtful_portal(&rest.name))
                }
                (Meaning::Plain, None) => true,
                (Meaning::Judged(_) | Meaning::Plain | Meaning::Unsettled, _) => false,
            }
        };
        if rests.iter().all(same) {
            return Ok(());
        }
        let detail = "What the statement runs by name is not what it was when this was prepared or bound.";
        Err(Refusal::unhandled("not-prepared", detail, "Prepare and bind it again."))
    }

    /// What a portal shows now. One that SQL has made may be another one, or be judged by another
    /// catalog.
    pub(super) fn shown(&self, name: &[u8], prepared: Rc<Prepared>) -> Result<Rc<Prepared>, Refusal> {
        let Some(plan) = prepared.plan.clone() else { return Ok(prepared) };
        self.stands(&prepared.rests)?;
        if self.queue.names.is_doubtful_portal(name) && plan.is_recorded() {
            return Err(doubtful_cursor("Execute"));
        }
        let (Some(_), Some(view)) = (&prepared.by_sql, &self.view) else { return Ok(prepared) };
        let Some(facts) = plan.facts.statements.first().filter(|_| prepared.epoch != view.epoch()) else {
            return Ok(prepared);
        };
        let plan = Plan::alone(view, under(view, &prepared, facts)?, &plan);
        let by_sql = prepared.by_sql.clone();
        Ok(Rc::new(Prepared { by_sql, ..Prepared::new(None, view.epoch(), Some(Rc::new(plan))) }))
    }

    /// What a statement runs that is bound, or described, now: where it fetches by name, what that name
    /// stands for.
    pub(super) fn bound_by_name(
        &mut self,
        shop: &mut Workshop,
        prepared: Option<Rc<Prepared>>,
        out: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        let Some(prepared) = prepared else { return Ok(Found::Meaning(Meaning::Plain)) };
        let Some(plan) = prepared.plan.clone() else { return Ok(Found::Meaning(Meaning::Judged(prepared))) };
        self.stands(&prepared.rests)?;
        match self.resolve(shop, Rc::clone(&plan), Lookup::All, out)? {
            Resolved::First(step) => Ok(Found::Step(step)),
            Resolved::Plan(resolved, _) if Rc::ptr_eq(&resolved, &plan) => {
                Ok(Found::Meaning(Meaning::Judged(prepared)))
            }
            Resolved::Plan(resolved, rests) => {
                let (text, types) = (prepared.text.clone(), prepared.types.clone());
                let resolved =
                    Prepared { types, rests, ..Prepared::new(text, prepared.epoch, Some(resolved)) };
                Ok(Found::Meaning(Meaning::Judged(Rc::new(resolved))))
            }
        }
    }

    /// What the code that a plan runs may do to names. None: nobody has read it.
    pub(super) fn renaming(&self, plan: Option<&Plan>) -> Option<Box<Naming>> {
        let all = plan.into_iter().flat_map(|plan| &plan.facts.statements);
        let read = all.map(|facts| facts.renames).max().unwrap_or_default();
        let before = if self.kept || self.has_unknown() { Renames::Anything } else { read };
        (before != Renames::Nothing).then(|| Box::new(Naming { before, ..Naming::default() }))
    }

    /// What a portal shows that code may have put in the place of one of which nothing is on record.
    pub(super) fn taken_by_code(&self, portal: &[u8]) -> Option<Rc<Plan>> {
        let view = self.view.as_ref().filter(|view| view.has_legible())?;
        let is_doubtful = self.queue.names.is_doubtful_portal(portal);
        is_doubtful.then(|| Rc::new(Plan::anything(view, self.untouched)))
    }

    /// What a plan, and the code that it runs, does to names once it has run. `portal`: of the
    /// protocol, in which it runs.
    pub(super) fn naming(
        &self,
        plan: &Plan,
        text: Option<&Rc<Kept>>,
        portal: Option<&[u8]>,
    ) -> Result<Option<Box<Naming>>, Refusal> {
        let Some(view) = &self.view else { return Ok(None) };
        let mut naming = Naming::default();
        for (place, facts) in plan.facts.statements.iter().enumerate() {
            let renames = if self.kept || self.has_unknown() { Renames::Anything } else { facts.renames };
            let is_first = naming.changes.is_empty() && !naming.untold;
            let behind = if is_first { &mut naming.before } else { &mut naming.behind };
            *behind = renames.max(*behind);
            if let Some(named) = &facts.effect.names {
                if self.queue.names.is_full() {
                    return Err(super::session::too_many_names());
                }
                self.refuse_folded_once(&named.name, facts)?;
                if named.name.is_empty() {
                    naming.untold = true;
                } else {
                    naming.changes.push((place, named_by(view, plan, place, facts, named, text)?));
                }
            }
            if let Some(closes) = &facts.effect.closes {
                naming.changes.push((place, Change::Closed(closes.clone())));
            }
        }
        let unread = self.kept || self.has_unknown();
        let mut within =
            plan.facts.statements.iter().filter(|facts| unread || facts.renames != Renames::Nothing).map(
                |facts| facts.effect.fetches.as_ref().map(|fetches| fetches.portal.as_bytes()).or(portal),
            );
        let first = within.next().flatten();
        naming.runs = first.filter(|_| within.all(|one| one == first)).map(Into::into);
        let makes = !naming.changes.is_empty() || naming.untold;
        let does = naming.before.max(naming.behind) != Renames::Nothing || makes;
        Ok(does.then(|| Box::new(naming)))
    }

    /// A row of a function that has opened a cursor: from here on the name in it means the function's query.
    pub(super) fn note_opened(&mut self, run: &Running, frame: Frame<'_>) -> Fate {
        self.learn_name(run, frame).map_or_else(Fate::End, |()| Fate::Took)
    }

    fn learn_name(&mut self, run: &Running, frame: Frame<'_>) -> Result<(), Refusal> {
        let Some(facts) = run.plan.facts.statements.get(run.index) else { return Ok(()) };
        let opened = |named: &&Arc<NamedQuery>| matches!(named.of, NameOf::Portal { opened: true, .. });
        let Some(named) = facts.effect.names.as_ref().filter(opened) else { return Ok(()) };
        let Some(view) = self.view.clone() else { return Err(unforeseen()) };
        let malformed = |_| Refusal::protocol("invalid DataRow message");
        let told = DataRow::read(frame.body()).and_then(|mut row| row.next()).map_err(malformed)?;
        let told = told.and_then(|told| std::str::from_utf8(told).ok()).unwrap_or_default();
        let as_asked = named.name.is_empty() || *named.name == *told;
        if told.is_empty() || !told.is_ascii() || !as_asked {
            let detail = "The name of a cursor that a function has opened is not of ASCII.";
            return Err(Refusal::unhandled("sql-fetch", detail, "Name the cursor in ASCII."));
        }
        if self.queue.names.is_full() {
            return Err(super::session::too_many_names());
        }
        let named = NamedQuery { name: told.into(), ..NamedQuery::clone(named) };
        let change = named_by(&view, &run.plan, run.index, facts, &named, None)?;
        self.queue.tell_name(change);
        Ok(())
    }

    fn refuse_folded_once(&self, name: &str, facts: &StatementFacts) -> Result<(), Refusal> {
        if name.is_ascii() || self.reading.server_utf8 || !facts.is_recorded() {
            return Ok(());
        }
        let detail = "A name has characters beyond ASCII, and the encoding of the database is not UTF8.";
        Err(Refusal::unhandled("name-folding", detail, "Name it in ASCII."))
    }
}

/// What a name means depends on an answer for which the client must send more first.
pub(super) fn told_too_late() -> Refusal {
    let detail = "A function opens a cursor earlier in the same text or batch, and only its answer tells the cursor's name.";
    let hint = "Fetch from it in a text of its own, or behind Sync; or name the cursor by a literal, where the function takes its name.";
    Refusal::unhandled("sql-fetch", detail, hint)
}

/// What DECLARE or PREPARE makes of its name.
fn named_by(
    view: &View,
    plan: &Plan,
    place: usize,
    outer: &StatementFacts,
    named: &NamedQuery,
    text: Option<&Rc<Kept>>,
) -> Result<Change, Refusal> {
    let of = StatementFacts {
        shape: outer.shape.clone(),
        fingerprint: outer.fingerprint.clone(),
        relations: outer.relations.clone(),
        ..named.facts.clone()
    };
    let fields: Rc<[Field]> =
        uses(&of).filter_map(|id| view.snapshot().field(id).cloned()).collect::<Vec<_>>().into();
    let (holds, types) = match &named.of {
        NameOf::Portal { holds, opened: _ } => (*holds, &[][..]),
        NameOf::Statement { types } => {
            check_declared(view, &of, types)?;
            (false, types.as_slice())
        }
    };
    let names = plan.named.get(place).cloned().into_iter().collect();
    let query = Rc::new(Plan { named: names, ..Plan::alone(view, of, plan) });
    let by_sql = Some(BySql { place, holds, fields });
    let prepared = Prepared { types: types.into(), by_sql, ..Prepared::new(None, view.epoch(), Some(query)) };
    let name = named.name.as_bytes().into();
    Ok(match named.of {
        NameOf::Portal { .. } => Change::Portal(name, Some(Rc::new(prepared))),
        NameOf::Statement { .. } => {
            Change::Statement(name, Some(Rc::new(Prepared { text: text.cloned(), ..prepared })))
        }
    })
}

impl Plan {
    /// The plan of a query that another text holds.
    pub(super) fn alone(view: &View, facts: StatementFacts, of: &Plan) -> Plan {
        let uses = vec![uses_of(view, &facts)];
        let facts = TextFacts {
            statements: vec![facts],
            edits: Vec::new(),
            by_path: of.facts.by_path,
            said: of.facts.said.clone(),
            signs: of.facts.signs,
        };
        Plan { facts, permit: of.permit, uses, named: Vec::new(), path: of.path.clone() }
    }

    /// That of the query which the statement at this place gives a name.
    pub(super) fn of_named(&self, view: &View, place: usize) -> Option<Plan> {
        let outer = self.facts.statements.get(place)?;
        let named = outer.effect.names.as_ref()?;
        let (shape, fingerprint) = (outer.shape.clone(), outer.fingerprint.clone());
        let relations = outer.relations.clone();
        let facts = StatementFacts { shape, fingerprint, relations, ..named.facts.clone() };
        Some(Plan::alone(view, facts, self))
    }
}

/// Whom the text of what was given a name names: by its own literals, or where SQL gave it none, by Bind.
fn named_within(prepared: &Prepared) -> Option<Rc<[Named]>> {
    prepared.named.clone().or_else(|| prepared.plan.as_ref()?.named.first().cloned())
}

/// The last statement of a text before `index` that gives this name, its place, and those between them.
fn named_before<'a>(
    text: &'a TextFacts,
    index: usize,
    name: &str,
    of: impl Fn(&NameOf) -> bool,
) -> Option<(usize, NamedQuery, &'a [StatementFacts])> {
    let before = text.statements.get(..index)?;
    let names = |facts: &StatementFacts| {
        facts.effect.names.as_ref().is_some_and(|names| *names.name == *name && of(&names.of))
    };
    let at = before.iter().rposition(names)?;
    let outer = before.get(at)?;
    let named = outer.effect.names.as_deref()?;
    let (shape, fingerprint) = (outer.shape.clone(), outer.fingerprint.clone());
    let relations = outer.relations.clone();
    let facts = StatementFacts { shape, fingerprint, relations, ..named.facts.clone() };
    Some((at, NamedQuery { facts, ..named.clone() }, before.get(at + 1..)?))
}

/// May the code of these statements take this portal away? What runs in it cannot.
/// May it give a name to what is classified?
fn names_anew(facts: &StatementFacts) -> bool {
    let leads = |change: &CatalogChange| {
        matches!(
            change,
            CatalogChange::Led { .. } | CatalogChange::Copied { .. } | CatalogChange::Renamed { .. }
        )
    };
    facts.effect.catalog && facts.effect.changes.as_deref().is_none_or(|changes| changes.iter().any(leads))
}

fn takes_portals(statements: &[StatementFacts], portal: &str) -> bool {
    statements.iter().any(|facts| {
        facts.renames != Renames::Nothing
            && facts.effect.fetches.as_ref().is_none_or(|fetches| *fetches.portal != *portal)
    })
}

fn uses(facts: &StatementFacts) -> impl Iterator<Item = FieldId> {
    let mut ids: Vec<FieldId> =
        [&facts.reads, &facts.searches, &facts.writes].into_iter().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
}

/// The facts of a portal in the numbers of this catalog: what it shows was settled when it was opened.
fn under(view: &View, prepared: &Prepared, facts: &StatementFacts) -> Result<StatementFacts, Refusal> {
    if prepared.epoch == view.epoch() || !facts.touches() {
        return Ok(facts.clone());
    }
    let again = || {
        let detail = "The catalog changed since this cursor was opened, and a column that it shows is not classified as it was.";
        Refusal::unhandled("not-prepared", detail, "Declare the cursor again.")
    };
    let known = prepared.by_sql.as_ref().map(|by| Rc::clone(&by.fields)).ok_or_else(again)?;
    let now = |id: &FieldId| {
        let then = known.iter().find(|field| field.id == *id)?;
        let same = |field: &&Field| {
            let as_then = Field { id: then.id, ..Field::clone(field) };
            as_then == *then
        };
        view.snapshot().fields().iter().find(same).map(|field| field.id)
    };
    let all = |ids: &[FieldId]| {
        let mut ids = ids.iter().map(|id| now(id).ok_or_else(again)).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok::<_, Refusal>(ids)
    };
    let outputs = facts.outputs.iter().map(|column| {
        Ok(match column {
            ResultColumn::Plain => ResultColumn::Plain,
            ResultColumn::Field(id) => ResultColumn::Field(now(id).ok_or_else(again)?),
            ResultColumn::Sealed(ids, told) => ResultColumn::Sealed(all(ids)?.into(), *told),
            ResultColumn::Text(ids) => ResultColumn::Text(all(ids)?.into()),
            ResultColumn::Derived(ids) => ResultColumn::Derived(all(ids)?.into()),
            ResultColumn::Run(ids) => ResultColumn::Run(all(ids)?),
        })
    });
    let subject = |one: &SubjectUse| {
        Ok(SubjectUse {
            fields: all(&one.fields)?,
            field: None,
            logical: None,
            origin: None,
            shown: None,
            named: Vec::new(),
            ..one.clone()
        })
    };
    let subjects = facts.subjects.iter().map(subject);
    Ok(StatementFacts {
        subjects: subjects.collect::<Result<_, Refusal>>()?,
        outputs: outputs.collect::<Result<_, Refusal>>()?,
        reads: all(&facts.reads)?,
        searches: all(&facts.searches)?,
        writes: all(&facts.writes)?,
        ..facts.clone()
    })
}
