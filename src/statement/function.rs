//! A function in SQL that is one query: which columns of it pass values of classified fields on as they are,
//! and with which its arguments meet.
//!
//! Such a function is used like a view. Its text is read by the server whenever it runs, in the session of
//! whoever calls it; so nothing in it may rest on how that session reads strings, or on the order of columns
//! that others can change.

use std::rc::Rc;
use std::sync::Arc;

use pg_query::protobuf::Node;

use crate::catalog::{FieldId, Followed, Snapshot};

use super::define::definition;
use super::facts::{Compared, ResultColumn, StatementFacts, Told};
use super::follow::classes::Flow;
use super::follow::flow::Walk;
use super::follow::from::unknown_source;
use super::follow::scope::{Columns, Output, Outputs, Place, Source};
use super::judge::{account, facts_of};
use super::matters::Bench;
use super::opaque;
use super::read::census::{Census, census};
use super::read::sort::Sort;
use super::read::tree;
use super::refusal::{Proven, refuse, unsupported};
use super::view::READING;

/// `pg_type.oid` of `text` and `varchar`, which sealed values pass as they are.
pub(super) const TEXT: [u32; 2] = [25, 1043];

/// A function as the catalog has it.
pub struct Signature {
    pub schema: Arc<str>,
    pub name: Arc<str>,
    /// The names of its arguments, where they have some, and `pg_type.oid` of each.
    pub arguments: Vec<(Option<Arc<str>>, u32)>,
    /// The same of the columns of its result.
    pub columns: Vec<(Option<Arc<str>>, u32)>,
    /// Its result is a row, also where that has one column.
    pub row: bool,
    /// The relation whose row type that is.
    pub relation: Option<u32>,
}

/// Follows the body of a function.
///
/// # Errors
/// [`Unproven`](super::Unproven): why it cannot be followed.
pub fn followed_function(signature: &Signature, body: &str, snapshot: &Snapshot) -> Proven<Followed> {
    if body.contains('\\') {
        return Err(unsupported("a backslash in a function"));
    }
    let parsed = tree::parse(body, READING)?;
    let [only] = parsed.stmts.as_slice() else { return Err(unsupported("a function of several statements")) };
    let Some(node) = only.stmt.as_deref() else { return Err(unsupported("this function")) };
    let found = census(node);
    let names = snapshot.names(None);
    let bench = Bench { snapshot, names, text: body.as_bytes(), reading: READING };
    if found.incomplete || found.writers > 0 || Sort::of(node) != Sort::Query {
        return Err(unsupported("a function that is not one query"));
    }
    let (facts, outputs) = judged_query(bench, node, &found, &signature.name, &signature.arguments)?;
    let mut columns = Vec::with_capacity(signature.columns.len());
    let carried = carried(signature, &outputs, &facts.outputs, snapshot)?;
    for ((name, of), field) in signature.columns.iter().zip(carried) {
        let sealed = field.and_then(|id| snapshot.field(id)).is_some_and(|field| field.domain.is_some());
        if sealed && !TEXT.contains(of) {
            return Err(unsupported("a sealed column as another type than text"));
        }
        columns.push((name.clone(), field));
    }
    let mut arguments: Vec<(Option<Arc<str>>, Option<FieldId>)> =
        signature.arguments.iter().map(|(name, _)| (name.clone(), None)).collect();
    for used in facts.parameters.iter().filter(|used| used.taken.compared != Compared::Asked) {
        let at = usize::from(used.number).checked_sub(1);
        let argument = at.and_then(|at| Some((arguments.get_mut(at)?, signature.arguments.get(at)?)));
        match argument {
            Some(((_, field), (_, of))) if TEXT.contains(of) && !used.array => *field = Some(used.field),
            Some(_) | None => return Err(unsupported("an argument of this type for a sealed column")),
        }
    }
    let shown = |id: &FieldId| columns.iter().any(|(_, field)| *field == Some(*id));
    let mut behind: Vec<FieldId> = facts.searches.iter().chain(&facts.reads).copied().collect();
    behind.retain(|id| !shown(id));
    behind.sort_unstable();
    behind.dedup();
    Ok(Followed { schema: signature.schema.clone(), columns, row: signature.row, arguments, behind })
}

/// Arguments of a function: the name of each, where it has one, and its `pg_type.oid`.
pub(super) type Arguments = [(Option<Arc<str>>, u32)];

/// What the one query of a function's text does, whose arguments are parameters, and its result.
///
/// # Errors
/// It rests on what others can change, has a value of its own for a sealed column, or runs what is not followed.
pub(super) fn judged_query<'a>(
    bench: Bench<'a>,
    node: &'a Node,
    found: &Census,
    name: &str,
    arguments: &Arguments,
) -> Proven<(StatementFacts, Outputs)> {
    definition::refuse_reaching_functions(bench.names, found, false)?;
    let mut walk = Walk::new(bench, true);
    walk.kept = true;
    let arguments = named_arguments(&mut walk, name, arguments)?;
    walk.scope.push(vec![arguments]);
    let outputs = walk.query(node)?;
    walk.emit(&outputs)?;
    account(&walk, found)?;
    let facts = facts_of(walk)?;
    if !facts.literals.is_empty() {
        return Err(refuse(
            "definition",
            "a value of its own would meet a sealed column",
            "Leave the value to an argument.",
        ));
    }
    if facts.positional || !facts.insertions.is_empty() {
        return Err(unsupported("a function that rests on the order of columns"));
    }
    if let Some(found) = opaque::judge(bench, node, found, &facts)? {
        let why = found.why;
        return Err(refuse("definition", format!("it runs {why}"), "Use the query itself."));
    }
    Ok((facts, outputs))
}

/// The arguments by their names, which mean them where no column has the name.
fn named_arguments<'a>(walk: &mut Walk<'a>, function: &str, arguments: &Arguments) -> Proven<Source<'a>> {
    let mut outputs = Outputs::default();
    for ((name, _), number) in arguments.iter().zip(1..) {
        let flow = Flow::Open(walk.classes.parameter(number, false, None)?);
        if let Some(name) = name {
            outputs.columns.push(Output {
                name: Some(name.to_string()),
                flow,
                place: Place::Sure,
                told: Told::default(),
            });
        }
    }
    let columns = Columns::Derived(Rc::new(outputs));
    Ok(Source { columns, ..unknown_source(function) })
}

/// The field of each column of the result.
fn carried(
    signature: &Signature,
    outputs: &Outputs,
    told: &[ResultColumn],
    snapshot: &Snapshot,
) -> Proven<Vec<Option<FieldId>>> {
    let wanted = signature.columns.len();
    let of_one = |ids: &[FieldId]| {
        let mut domains = ids.iter().map(|id| snapshot.field(*id).and_then(|field| field.domain.as_ref()));
        let first = domains.next().flatten();
        first.is_some() && domains.all(|other| other == first)
    };
    if outputs.columns.iter().all(|output| output.place == Place::Sure) {
        let columns = told.iter().map(|column| match column {
            ResultColumn::Plain => Ok(None),
            ResultColumn::Field(id) => Ok(Some(*id)),
            ResultColumn::Sealed(ids, _) if of_one(ids) => Ok(ids.first().copied()),
            ResultColumn::Sealed(..)
            | ResultColumn::Text(_)
            | ResultColumn::Derived(_)
            | ResultColumn::Run(_) => {
                Err(unsupported("a column that is made from classified ones, or shows several domains"))
            }
        });
        let columns = columns.collect::<Proven<Vec<_>>>()?;
        return if columns.len() == wanted { Ok(columns) } else { Err(unsupported("a row of this form")) };
    }
    // `*` of the relation whose row it returns: what becomes of the one becomes of the other.
    let same = |relation: &crate::catalog::Relation| {
        relation.columns.len() == wanted
            && outputs.columns.len() == wanted
            && relation.columns.iter().zip(&outputs.columns).zip(&signature.columns).all(
                |((column, output), (name, _))| {
                    let flow = column.field.map_or(Flow::Plain, Flow::Field);
                    let named = [output.name.as_deref(), name.as_deref()] == [Some(&*column.name); 2];
                    named && output.place == Place::Star && output.flow == flow
                },
            )
    };
    let returned = signature.relation.and_then(|oid| snapshot.relations().find(|one| one.oid == oid));
    match returned.filter(|relation| same(relation)) {
        Some(relation) => Ok(relation.columns.iter().map(|column| column.field).collect()),
        None => Err(unsupported("* in a function that returns another row")),
    }
}
