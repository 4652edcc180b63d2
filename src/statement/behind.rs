//! Several statements of one text: what those before have made of the names and columns that the next one
//! means, as far as it is understood, and what stands behind a definition that is not.

use pg_query::protobuf::Node;
use pg_query::protobuf::node::Node as Kind;

use crate::catalog::{Change, Names, Snapshot};

use super::facts::{Boundary, StatementFacts, Unproven};
use super::matters::names_relation_that_matters;
use super::read::census::Census;
use super::read::sort::Sort;
use super::read::tree::kind;
use super::refusal::{Proven, refuse};

/// Definitions of one text by which the statements behind them are judged; behind more they are not.
const DEFINITIONS_MAX: usize = 200;

/// What the statements so far have done to those that come.
pub(super) struct Behind<'a> {
    /// As the text began.
    before: Names<'a>,
    /// With what was defined since, as far as that is understood. None: nothing.
    after: Option<Snapshot>,
    /// Something was defined that is not understood.
    defined: bool,
    /// There was any statement that does more than begin a transaction.
    acted: bool,
    /// Code may have run.
    ran: bool,
    /// Something was defined over code that cannot be followed.
    kept: bool,
    /// Definitions that were followed.
    definitions: usize,
}

impl<'a> Behind<'a> {
    pub(super) fn nothing(names: Names<'a>) -> Behind<'a> {
        Behind {
            before: names,
            after: None,
            defined: false,
            acted: false,
            ran: false,
            kept: false,
            definitions: 0,
        }
    }

    /// What names mean for the next statement.
    pub(super) fn names(&self) -> Names<'_> {
        self.after.as_ref().map_or(self.before, |after| after.names(self.before.path))
    }

    /// May this statement be judged behind those?
    pub(super) fn admits(&self, node: &Node, found: &Census) -> Proven<()> {
        let rests = Sort::of(node).rests_on_columns() && names_relation_that_matters(self.names(), found);
        if self.defined && rests { Err(behind_a_definition()) } else { Ok(()) }
    }

    /// The same, as it was judged.
    pub(super) fn admits_judged(&self, node: &Node, judged: &mut StatementFacts) -> Proven<()> {
        let snapshot = self.names().snapshot;
        if self.defined && Sort::of(node).rests_on_columns() {
            shows_what_was_defined(snapshot, judged)?;
        }
        // Which table it is that was made here, nobody has said.
        let before = self.before.snapshot;
        if self.after.is_some() && judged.reads.iter().any(|id| !snapshot.is_placed(*id, before)) {
            return Err(behind_a_definition());
        }
        if self.kept && judged.gives {
            return Err(refuse(
                "definition",
                "a definition over code that cannot be followed stands before a statement with a value in one text",
                "Send the definition on its own, and COMMIT it.",
            ));
        }
        let unsettled = self.ran && (judged.positional || !judged.insertions.is_empty());
        if unsettled || self.acted && judged.joins {
            return Err(refuse(
                "unsettled-text",
                "an earlier statement of the same text may change what the columns or names of this one mean",
                "Send the statements one by one, or name schema and columns.",
            ));
        }
        Ok(())
    }

    /// It runs before whatever comes.
    pub(super) fn takes(&mut self, node: &Node, judged: &StatementFacts) {
        let follows = judged.effect.changes.as_deref().filter(|_| !self.defined);
        self.defined |= judged.effect.catalog && follows.is_none();
        if let Some(changes) = follows.filter(|changes| !changes.is_empty()) {
            self.define(changes);
        }
        // Which of its own definitions hold behind it, a text of several statements does not say.
        let undoes =
            matches!(judged.boundary, Some(Boundary::RollbackTo(_) | Boundary::Undone | Boundary::End));
        self.defined |= undoes && self.after.is_some();
        self.kept |= judged.keeps;
        let inert = is_inert(node) || self.is_of_rights(node);
        // What is wholly understood runs nothing else.
        self.acted |= !inert;
        self.ran |= !inert && follows.is_none();
    }

    /// Who may use a relation, and what is told of it, changes nothing of what its name means. Only an event
    /// trigger runs code there.
    fn is_of_rights(&self, node: &Node) -> bool {
        let codes = self.before.snapshot.codes();
        Sort::of(node) == Sort::Rights && codes.everything.is_none() && !codes.by_events
    }

    fn define(&mut self, changes: &[Change]) {
        self.definitions += 1;
        let snapshot = self.names().snapshot;
        let next = (self.definitions <= DEFINITIONS_MAX).then(|| snapshot.after(changes, snapshot.epoch()));
        match next.flatten() {
            Some(next) => self.after = Some(next),
            None => self.defined = true,
        }
    }
}

/// A statement may use by any name what a definition before it has made, and show what is legible.
fn shows_what_was_defined(snapshot: &Snapshot, judged: &mut StatementFacts) -> Proven<()> {
    if snapshot.legible().next().is_none() {
        return Ok(());
    }
    if snapshot.refuses_opaque() {
        return Err(behind_a_definition());
    }
    let why = || "what a definition of the same text has made".into();
    judged.opaque = judged.opaque.take().or_else(|| Some(why()));
    Ok(())
}

fn behind_a_definition() -> Unproven {
    refuse(
        "definition",
        "a definition stands before a statement on a classified table in one text",
        "Send the definition on its own.",
    )
}

/// Does it neither run code nor change what any later statement means?
fn is_inert(node: &Node) -> bool {
    use pg_query::protobuf::TransactionStmtKind as Of;
    match kind(node) {
        Some(Kind::TransactionStmt(transaction)) => matches!(
            Of::try_from(transaction.kind),
            Ok(Of::TransStmtBegin | Of::TransStmtStart | Of::TransStmtSavepoint | Of::TransStmtRelease)
        ),
        Some(Kind::VariableShowStmt(_)) => true,
        Some(_) | None => false,
    }
}
