//! A query that is kept as a view: which columns of it pass values of classified fields on as they are.
//!
//! Such a view is used like a table with these columns. A constant that its text compares with a sealed
//! column was kept as it is written, and would never be equal to anything: there is no such view here.

use crate::catalog::{FieldId, QualifiedName, Snapshot};

use super::define::definition;
use super::facts::{ResultColumn, StatementFacts};
use super::follow::flow::Walk;
use super::judge::{account, facts_of};
use super::matters::Bench;
use super::read::census::{Census, census};
use super::read::tree::{self, Encoding, Reading};
use super::refusal::{Proven, refuse, unsupported};

/// How the server prints definitions.
pub(super) const READING: Reading = Reading {
    standard_conforming_strings: true,
    encoding: Encoding::Utf8,
    server_utf8: true,
    declared: crate::catalog::Declared::Nothing,
};

/// What a view that can be followed is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// The field of each of its columns, in order.
    pub columns: Vec<Option<FieldId>>,
    /// Classified fields that its rows depend on beside those.
    pub behind: Vec<FieldId>,
    /// The relations that it names.
    pub relations: Vec<QualifiedName>,
}

/// Follows a view by its definition (`pg_get_viewdef`), in which every name has its schema.
///
/// # Errors
/// [`Unproven`](super::Unproven): why it cannot be followed.
pub fn followed_view(definition: &str, snapshot: &Snapshot) -> Proven<Passed> {
    let parsed = tree::parse(definition, READING)?;
    let [only] = parsed.stmts.as_slice() else { return Err(unsupported("this view")) };
    let Some(node) = only.stmt.as_deref() else { return Err(unsupported("this view")) };
    let found = census(node);
    let names = snapshot.names(None);
    let bench = Bench { snapshot, names, text: definition.as_bytes(), reading: READING };
    if found.incomplete {
        return Err(unsupported("this view"));
    }
    definition::refuse_reaching_functions(names, &found, false)?;
    let mut walk = Walk::new(bench, true);
    walk.kept = true;
    let outputs = walk.query(node)?;
    walk.emit(&outputs)?;
    account(&walk, &found)?;
    let facts = facts_of(walk)?;
    passed(&facts, &found, snapshot)
}

/// What a query passes on, if it may be kept as a view.
fn passed(facts: &StatementFacts, found: &Census, snapshot: &Snapshot) -> Proven<Passed> {
    if !facts.literals.is_empty() || !facts.parameters.is_empty() {
        return Err(refuse(
            "definition",
            "a query that is kept would compare a value with a sealed column, or make it one",
            "Leave the value to the statements that use the view.",
        ));
    }
    let column = |column: &ResultColumn| match column {
        ResultColumn::Plain => Ok(None),
        // The server has written them out.
        ResultColumn::Run(_) => Err(unsupported("all columns of a table at once")),
        ResultColumn::Field(id) => Ok(Some(*id)),
        // Of one domain the first stands for all; the others are behind it.
        ResultColumn::Sealed(ids, _) if of_one_domain(snapshot, ids) => Ok(ids.first().copied()),
        ResultColumn::Sealed(..) | ResultColumn::Text(_) | ResultColumn::Derived(_) => Err(refuse(
            "definition",
            "a column of a query that is kept is made from classified ones, or shows several domains",
            "Pass each classified one on as it is.",
        )),
    };
    let columns: Vec<_> = facts.outputs.iter().map(column).collect::<Proven<_>>()?;
    let shown = |id: &FieldId| columns.contains(&Some(*id));
    let mut behind: Vec<FieldId> = facts.searches.iter().chain(&facts.reads).copied().collect();
    behind.retain(|id| !shown(id));
    behind.sort_unstable();
    behind.dedup();
    let named = |range: &super::read::census::RangeName| QualifiedName {
        schema: range.schema.as_str().into(),
        name: range.name.as_str().into(),
    };
    Ok(Passed { columns, behind, relations: found.ranges.iter().map(named).collect() })
}

fn of_one_domain(snapshot: &Snapshot, ids: &[FieldId]) -> bool {
    let mut domains = ids.iter().map(|id| snapshot.field(*id).and_then(|field| field.domain.as_ref()));
    let first = domains.next().flatten();
    first.is_some() && domains.all(|other| other == first)
}
