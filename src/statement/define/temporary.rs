//! Temporary copies of classified columns: CREATE TEMPORARY TABLE of a query, or LIKE a classified table.
//!
//! The policy names no temporary table, and no other session has it. So what it holds is known by where it comes
//! from: each column is judged as the field that was copied to it, by this session alone, until the table goes.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, OnCommitAction, RangeVar};

use crate::catalog::{Change, FieldId, Origin, QualifiedName, Snapshot, TEMPORARY, is_temporary};

use super::super::facts::{Effect, Remedy, StatementFacts, Unproven};
use super::super::follow::classes::Flow;
use super::super::follow::flow::{Seen, Walk};
use super::super::follow::scope::Place;
use super::super::judge::{account, facts_of};
use super::super::matters::{Bench, catalog_changes, refuse_definition};
use super::super::read::census::Census;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::changes::is_free;
use super::draft::Draft;
use super::target::{matters, meant};
use super::views::named_by_code;

/// Temporary copies that one session may have.
const COPIES_MAX: usize = 256;

/// Is a relation made that the session alone has?
pub(super) fn is_to_be(range: &RangeVar) -> bool {
    range.relpersistence == "t" || is_temporary(&range.schemaname)
}

/// CREATE TEMPORARY TABLE AS, or SELECT INTO one. None: nothing classified is copied.
pub(super) fn copied(
    bench: Bench<'_>,
    target: &RangeVar,
    query: &Node,
    found: &Census,
    into: &protobuf::IntoClause,
    unless_there: bool,
) -> Proven<Option<StatementFacts>> {
    let mut walk = Walk::new(bench, bench.reading.standard_conforming_strings);
    // Its own name is no table that is read.
    walk.seen.insert((Seen::Range, target.location));
    walk.into = tree::into(query);
    walk.places = true;
    let outputs = walk.query(query)?;
    if !outputs.carries() {
        return Ok(None);
    }
    let mut columns = Vec::new();
    for (position, output) in outputs.columns.iter().enumerate() {
        let name = into.col_names.get(position).and_then(tree::name).or(output.name.as_deref());
        let name = name.filter(|_| output.place == Place::Sure).ok_or_else(|| {
            refuse(
                "definition",
                "the columns of the copy are not all named",
                "List them, each with its name.",
            )
        })?;
        let field = if let Flow::Field(id) = &output.flow {
            Some(*id)
        } else {
            walk.sealed_in(&output.flow)?.and_then(|fields| fields.first().copied())
        };
        match field {
            // What is copied is not shown; whoever reads the copy is on record as reading the field.
            Some(id) => walk.searches.extend([id]),
            None => walk.store_plain(&output.flow)?,
        }
        columns.push((Arc::from(name), field));
    }
    account(&walk, found)?;
    let facts = facts_of(walk)?;
    let made = made(bench, target, columns, into.on_commit, unless_there)?;
    Ok(Some(StatementFacts { effect: made, ..facts }))
}

/// CREATE TEMPORARY TABLE with LIKE of a classified table. None: of none.
pub(super) fn alike(
    bench: Bench<'_>,
    create: &protobuf::CreateStmt,
    range: &RangeVar,
    found: &Census,
) -> Proven<Option<StatementFacts>> {
    let of_classified = |element: &Node| match kind(element) {
        Some(Kind::TableLikeClause(like)) => {
            like.relation.as_ref().is_some_and(|range| matters(bench, range))
        }
        Some(_) | None => false,
    };
    if !is_to_be(range) || !create.table_elts.iter().any(of_classified) {
        return Ok(None);
    }
    if !create.inh_relations.is_empty() || create.partspec.is_some() || found.incomplete {
        return Err(unsupported("this temporary table"));
    }
    let mut draft = Draft::of(bench, RangeVar { schemaname: TEMPORARY.to_owned(), ..range.clone() });
    let mut columns: Vec<(Arc<str>, Option<FieldId>)> = Vec::new();
    for element in create.table_elts.iter().chain(&create.constraints) {
        match kind(element) {
            Some(Kind::ColumnDef(column)) => {
                draft.column(column)?;
                columns.push((column.colname.as_str().into(), None));
            }
            Some(Kind::Constraint(constraint)) => draft.constraint(None, constraint)?,
            Some(Kind::TableLikeClause(like)) => {
                let source = like.relation.as_ref().and_then(|range| meant(bench, range));
                // The columns of no other table are known.
                let source = source.filter(|source| {
                    let whole = source.reaches.is_none() && source.fault.is_none();
                    whole
                        && !source.columns.is_empty()
                        && source.columns.iter().all(|one| one.fault.is_none())
                });
                let source = source.ok_or_else(|| {
                    refuse_definition(
                        "a temporary table like one whose columns are not known, or do not fit the policy,",
                    )
                })?;
                columns.extend(source.columns.iter().map(|one| (one.name.clone(), one.field)));
            }
            Some(_) | None => return Err(unsupported("this temporary table")),
        }
    }
    let made = made(bench, range, columns, create.oncommit, create.if_not_exists)?;
    let facts = draft.finish(catalog_changes())?;
    Ok(Some(StatementFacts { effect: made, ..facts }))
}

/// What comes to be by it.
fn made(
    bench: Bench<'_>,
    range: &RangeVar,
    columns: Vec<(Arc<str>, Option<FieldId>)>,
    on_commit: i32,
    unless_there: bool,
) -> Proven<Effect> {
    let (snapshot, name) = (bench.snapshot, range.relname.as_str());
    let before = snapshot.relation(TEMPORARY, name);
    let known = before.is_some();
    if unless_there && before.is_some_and(|before| before.reaches.is_some()) {
        return Err(unsure_of_absence());
    }
    if snapshot.codes().spoken.may_name(name) {
        return Err(named_by_code(name));
    }
    if !known && !is_free(bench, name) {
        return Err(refuse(
            "shadow",
            format!("a temporary \"{name}\" would stand before what has that name"),
            "Give the temporary table another name.",
        ));
    }
    if unless_there && !known {
        absent(bench, name)?;
    }
    if !known && snapshot.relations().filter(|one| *one.name.schema == *TEMPORARY).count() >= COPIES_MAX {
        return Err(refuse(
            "definition",
            format!("this session has {COPIES_MAX} temporary copies of classified columns"),
            "Drop those that are not needed any more.",
        ));
    }
    let origin = |field: Option<FieldId>| -> Option<Origin> {
        let field = snapshot.field(field?)?;
        Some((field.table.clone(), field.column.clone()))
    };
    let columns = columns.into_iter().map(|(name, field)| (name, origin(field))).collect();
    let copied = Change::Copied {
        table: QualifiedName { schema: TEMPORARY.into(), name: name.into() },
        columns,
        passing: on_commit == OnCommitAction::OncommitDrop as i32,
        oid: 0,
    };
    let changes = if unless_there && known { Vec::new() } else { vec![copied] };
    Ok(Effect { changes: Some(changes.into()), ..catalog_changes().effect })
}

/// IF NOT EXISTS makes nothing of what is there: is it known that nothing is?
fn absent(bench: Bench<'_>, name: &str) -> Proven<()> {
    match bench.names.path {
        None => Err(unless(Remedy::Path, unsure_of_absence())),
        Some(path) if path.has_perhaps(name) => {
            Err(unless(Remedy::Temporary(name.to_owned()), unsure_of_absence()))
        }
        Some(_) => Ok(()),
    }
}

fn unsure_of_absence() -> Unproven {
    refuse(
        "definition",
        "a temporary copy IF NOT EXISTS, and whether the session has one of that name is not known",
        "Leave IF NOT EXISTS out, or give the copy another name.",
    )
}

/// What may be said of a temporary copy beside queries: it can be filled, read, emptied, have indexes, and go.
pub(super) fn refuse_others(snapshot: &Snapshot, node: &Node, found: &Census) -> Proven<()> {
    let harmless = match kind(node) {
        Some(
            Kind::SelectStmt(_)
            | Kind::CopyStmt(_)
            | Kind::ExplainStmt(_)
            | Kind::PrepareStmt(_)
            | Kind::DeclareCursorStmt(_)
            | Kind::CreateTableAsStmt(_)
            | Kind::IndexStmt(_)
            | Kind::TruncateStmt(_)
            | Kind::VacuumStmt(_)
            | Kind::LockStmt(_)
            | Kind::DropStmt(_),
        ) => true,
        // Not in the place of one.
        Some(Kind::CreateStmt(create)) => {
            let is_new = |range: &RangeVar| snapshot.relation(TEMPORARY, &range.relname).is_none();
            let like =
                create.table_elts.iter().any(|one| matches!(kind(one), Some(Kind::TableLikeClause(_))));
            create.relation.as_ref().is_some_and(|range| like || is_new(range))
                && create.inh_relations.is_empty()
        }
        Some(_) | None => false,
    };
    let is_copy = |name: &str| snapshot.relation(TEMPORARY, name).is_some();
    let named = found.ranges.iter().map(|range| range.name.as_str());
    let named = named.chain(found.words.iter().map(String::as_str)).find(|name| is_copy(name));
    match named.filter(|_| !harmless) {
        Some(name) => Err(refuse(
            "definition",
            format!("a change of the temporary copy \"{name}\", or what would be made of it"),
            "Drop the copy, and make it as it is to be.",
        )),
        None => Ok(()),
    }
}
