//! What a prepared statement means when it is used: the catalog, the search path or the name itself may
//! have become another one since it was prepared. Then it is judged again, and prepared again, or refused.

use std::rc::Rc;

use super::Step;
use super::certainty::{Doubt, Sure};
use super::clear::unwritten;
use super::names::{Change, Kept, Meaning, Prepared};
use super::owed::{Ask, Kind, Mark, Probe};
use super::plan::{Plan, Unplanned};
use super::session::{Session, unsettled_path};
use super::view::View;
use crate::catalog::Declared;
use crate::policy::Refusal;
use crate::statement::{Reading, Remedy};
use crate::wire::frontend;

/// What a name was found to be, or what must come first.
pub(super) enum Found {
    Meaning(Meaning),
    Step(Step),
}

impl Session {
    /// What a statement name means now: judged again if the catalog or the search path changed
    /// meanwhile, and prepared again where code may have given the name to something else.
    pub(super) fn statement(
        &mut self,
        shop: &mut super::Workshop,
        name: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        // A name that it has may lead to what is classified since, and no catalog says so yet.
        if self.copies || !self.coming.is_empty() {
            match self.certainty.catalog() {
                Sure::Yes => {}
                Sure::Later => return Ok(Found::Meaning(Meaning::Unsettled)),
                Sure::NotInThisBatch => return Err(named_anew()),
            }
        }
        match self.statement_judged(shop, name, out)? {
            Found::Meaning(Meaning::Judged(prepared)) if !prepared.failed => {
                self.undoubted(shop, name, prepared, out)
            }
            found @ (Found::Meaning(_) | Found::Step(_)) => Ok(found),
        }
    }

    /// A statement of the client's Parse under whose name code may have prepared another one since: the
    /// client means its own, which is prepared again. Where nothing of it is opened or sealed it is
    /// enough that what another one may show is on record.
    fn undoubted(
        &mut self,
        shop: &mut super::Workshop,
        name: &[u8],
        prepared: Rc<Prepared>,
        out: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        let Some(view) = self.view.clone() else { return Ok(Found::Meaning(Meaning::Judged(prepared))) };
        let touches = prepared.plan.as_ref().is_some_and(|plan| plan.touches());
        let matters = touches || view.has_legible();
        if prepared.by_sql.is_some() || !matters || !self.queue.names.is_doubtful_statement(name) {
            return Ok(Found::Meaning(Meaning::Judged(prepared)));
        }
        // What is judged means one thing in every string mode and encoding, what is not may not.
        let is_plain = |text: &Kept| text.bytes().is_ascii() && !text.bytes().contains(&b'\\');
        let is_kept = prepared.sent.is_some()
            || prepared.text.as_deref().is_some_and(|text| prepared.plan.is_some() || is_plain(text));
        if !touches && (!is_kept || self.certainty.has_failed()) {
            let plan = Rc::new(Plan::anything(&view, self.untouched));
            let types = prepared.types.clone();
            let anything = Prepared { types, ..Prepared::new(None, prepared.epoch, Some(plan)) };
            return Ok(Found::Meaning(Meaning::Judged(Rc::new(anything))));
        }
        // In a transaction that failed it could be closed, and not made again.
        if !is_kept || self.certainty.has_failed() {
            return Err(doubtful_statement("Bind"));
        }
        if let Some(settled) = prepared.plan.as_ref().and_then(|plan| self.settles(plan, false)) {
            return settled.map(Found::Step);
        }
        let again = Prepared {
            types: prepared.types.clone(),
            neutral: prepared.neutral,
            sent: prepared.sent.clone(),
            ..Prepared::new(prepared.text.clone(), prepared.epoch, prepared.plan.clone())
        };
        self.prepare_again(shop, &view, name, again, out).map(Found::Step)
    }

    /// A statement of a name that nobody has given but code, which may have: it may show whatever is legible, and
    /// store what it is given where it is sealed.
    pub(super) fn made_by_code(&self, name: &[u8]) -> Option<Rc<Prepared>> {
        // First, since it is asked of each Bind.
        if !self.queue.names.is_doubtful_statement(name) {
            return None;
        }
        let view = self.view.as_ref().filter(|view| view.judges())?;
        let plan = Rc::new(Plan::anything(view, self.untouched));
        Some(Rc::new(Prepared::new(None, view.epoch(), Some(plan))))
    }

    fn statement_judged(
        &mut self,
        shop: &mut super::Workshop,
        name: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        let meaning = self.queue.statement(name);
        let (Meaning::Judged(prepared), Some(view)) = (&meaning, self.view.clone()) else {
            return Ok(Found::Meaning(meaning));
        };
        if prepared.by_sql.is_some() && self.queue.names.is_doubtful_statement(name) {
            return Err(doubtful_statement("EXECUTE or Bind"));
        }
        let pinned = prepared.plan.as_ref().and_then(|plan| plan.path.clone());
        let holds = match (&pinned, self.certainty.path()) {
            (None, _) => true,
            (Some(pinned), Some(path)) => pinned == path,
            (Some(_), None) => match self.ask(Ask::Path, out) {
                Some(step) => return Ok(Found::Step(step)),
                None => return Err(unsettled_path()),
            },
        };
        if prepared.failed || prepared.epoch == view.epoch() && holds {
            return Ok(Found::Meaning(meaning));
        }
        let again = || {
            Refusal::unhandled(
                "not-prepared",
                "The catalog, the policy or the search path changed since this statement was prepared, and with it what it means.",
                "Prepare the statement again.",
            )
        };
        let kept = prepared.text.as_ref().ok_or_else(again)?;
        let text = Kept::bytes(kept);
        let declared = view.snapshot().codes().declared(prepared.types.iter().copied());
        let plan = if self.hits(text) || declared != Declared::Nothing {
            let path = self.certainty.path().cloned();
            let (reading, finding) = (Reading { declared, ..self.reading }, &mut self.errands.finding);
            let (plan, _) = shop.plan(&view, text, reading, path.as_ref(), &self.principal, finding);
            match plan {
                Ok(plan) => match &prepared.by_sql {
                    Some(by) => Some(Rc::new(plan.of_named(&view, by.place).ok_or_else(again)?)),
                    None => Some(plan),
                },
                Err(Unplanned::Elsewhere(errand)) => return Ok(Found::Step(self.send_out(errand))),
                Err(Unplanned::Refused { remedy: remedy @ (Remedy::Path | Remedy::Creation), .. }) => {
                    let ask = if remedy == Remedy::Path { Ask::Path } else { Ask::Creation };
                    match self.ask(ask, out) {
                        Some(step) => return Ok(Found::Step(step)),
                        None => return Err(unsettled_path()),
                    }
                }
                Err(Unplanned::Refused { refusal, .. }) => return Err(*refusal),
            }
        } else {
            None
        };
        let same = match (&prepared.plan, &plan) {
            (Some(old), Some(new)) => same_meaning(old, new),
            (Some(old), None) => !old.touches(),
            (None, Some(new)) => !new.touches(),
            (None, None) => true,
        };
        let renewed = Prepared {
            types: prepared.types.clone(),
            neutral: prepared.neutral,
            by_sql: prepared.by_sql.clone(),
            ..Prepared::new(Some(Rc::clone(kept)), view.epoch(), plan)
        };
        if same {
            let renewed = Rc::new(renewed);
            self.queue.names.apply(Change::Statement(name.into(), Some(Rc::clone(&renewed))), 0);
            return Ok(Found::Meaning(Meaning::Judged(renewed)));
        }
        // Only the path has changed: what was prepared reads a table of another schema.
        if prepared.epoch != view.epoch() || prepared.by_sql.is_some() {
            return Err(again());
        }
        self.prepare_again(shop, &view, name, renewed, out).map(Found::Step)
    }

    /// Prepares a statement anew under its name: what it names means other tables now, or the name
    /// may be another's.
    fn prepare_again(
        &mut self,
        shop: &mut super::Workshop,
        view: &View,
        name: &[u8],
        prepared: Prepared,
        out: &mut Vec<u8>,
    ) -> Result<Step, Refusal> {
        let mut parse = Vec::new();
        match (&prepared.sent, &prepared.text, &prepared.plan) {
            (Some(sent), _, _) => parse.extend_from_slice(sent.bytes()),
            (None, None, _) => return Err(unsettled_path()),
            (None, Some(text), None) => {
                let text = self.as_client_writes(text.bytes()).ok_or_else(unwritten)?;
                frontend::put_parse(&mut parse, name, &text, &prepared.types);
            }
            (None, Some(text), Some(plan)) => {
                self.can_read(plan)?;
                let manner = self.manner(false);
                let cleared =
                    shop.clear_prepared(view, plan, (name, text.bytes()), &prepared.types, manner)?;
                parse.extend_from_slice(cleared.bytes());
            }
        }
        // Behind an error the server discards all but a Sync, a Query too: one has to come, and not within a
        // batch of the client's.
        let probe = self.by_query;
        if probe && !(self.queue.is_empty() && self.certainty.may_ask_of_text()) {
            return Err(unsettled_path());
        }
        let mark = |change| Mark { change, probe, swallow: true, ..Mark::default() };
        frontend::put_close_statement(out, name);
        // Should it not be prepared, then it stays what it was to the client, and is prepared by its next use.
        self.owe(Kind::Close, mark(None), Doubt::NONE);
        out.extend_from_slice(&parse);
        let change = Change::Statement(name.into(), Some(Rc::new(prepared)));
        self.owe(Kind::Parse, mark(Some(change)), Doubt::NONE);
        if probe {
            frontend::put_sync(out);
            self.owe(Kind::Sync, mark(None), Doubt::NONE);
            (self.asking, self.probe) = (true, Some(Probe::Underway));
        }
        Ok(Step::Took(0))
    }
}

/// Which cursor a name stands for is not certain. `what`: reads on from it.
pub(super) fn doubtful_cursor(what: &str) -> Refusal {
    Refusal::unhandled("sql-fetch", &doubted(what, "cursor"), "Declare it again, behind that code.")
}

/// The same of a statement.
pub(super) fn doubtful_statement(what: &str) -> Refusal {
    Refusal::unhandled("sql-execute", &doubted(what, "statement"), "Prepare it again, behind that code.")
}

/// What was prepared stands behind what gives a name to what is classified.
pub(super) fn named_anew() -> Refusal {
    let detail = "A name that leads to classified columns was given in the same batch or text, behind which this statement may mean something else.";
    Refusal::unhandled("not-prepared", detail, "Send it when that has been answered.")
}

fn doubted(what: &str, of: &str) -> String {
    format!(
        "{what} names a {of} that touches classified data, and code that cannot be followed has run since it was made, which may have given its name to another one."
    )
}

/// Same fields in the same literals and parameters: what was sealed at Parse stays right.
fn same_meaning(old: &Plan, new: &Plan) -> bool {
    old.facts.statements.len() == new.facts.statements.len()
        && old.facts.statements.iter().zip(&new.facts.statements).all(|(old, new)| {
            old.literals == new.literals
                && old.insertions == new.insertions
                && old.rewrites == new.rewrites
                && old.parameters == new.parameters
                && old.reads == new.reads
                && old.writes == new.writes
                && old.searches == new.searches
        })
}
