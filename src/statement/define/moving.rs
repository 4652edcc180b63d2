//! What a definition is about to change for others: tables whose names and columns they judge by, and names
//! that come to be.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{Node, ObjectType, RangeVar};

use crate::catalog::{Change, Named, QualifiedName};

use super::super::facts::StatementFacts;
use super::super::matters::Bench;
use super::super::read::census::{Census, RangeName};
use super::super::read::tree::{self, kind};
use super::target::creation;

/// The bare names of the tables that matter of which a definition may change what their names or columns
/// mean. A table that has no more than the name of one does not count: whoever may make such a table must
/// not hold up others by it.
pub(in crate::statement) fn moved(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    facts: &StatementFacts,
) -> Vec<Arc<str>> {
    let snapshot = bench.snapshot;
    if let Some(changes) = &facts.effect.changes {
        let matters = |table: &&QualifiedName| {
            let known = snapshot.relation(&table.schema, &table.name);
            known.is_some_and(|known| !known.is_harmless())
                || snapshot.fields().iter().any(|field| field.table == **table)
                || snapshot.pattern_fields(Some(&table.schema), &table.name).next().is_some()
        };
        return changes
            .iter()
            .filter_map(Change::table)
            .filter(matters)
            .map(|table| table.name.clone())
            .collect();
    }
    // It is not followed. Where no table stands in it as such, any of its words may be the name of one.
    if found.ranges.is_empty() {
        return facts.relations.clone();
    }
    let made = made(node);
    let matters = |range: &&RangeName| {
        let is_made = made.is_some_and(|made| made.location == range.location);
        let schema = Some(range.schema.as_str()).filter(|schema| !schema.is_empty()).map(Arc::from);
        let schema = schema.or_else(|| is_made.then(|| creation(bench, &range.name).ok()).flatten());
        match bench.names.named(schema.as_deref(), &range.name) {
            Named::Harmless => false,
            Named::Pinned(relation) => !relation.is_harmless(),
            Named::One(_)
            | Named::Ambiguous
            | Named::NotOnPath
            | Named::PerhapsTemporary
            | Named::Missing => true,
        }
    };
    found.ranges.iter().filter(matters).map(|range| Arc::from(range.name.as_str())).collect()
}

/// The table that a definition makes.
fn made(node: &Node) -> Option<&RangeVar> {
    match kind(node) {
        Some(Kind::CreateStmt(create)) => create.relation.as_ref(),
        Some(Kind::CreateTableAsStmt(create)) => create.into.as_ref()?.rel.as_ref(),
        Some(_) | None => None,
    }
}

/// Bare names by which others reach, once a definition has run, what views read: of those that it makes, or
/// gives another name or place. A temporary one is of its session alone; code that reads what is classified is
/// not made here. Of another kind of object the name does no harm here.
pub(in crate::statement) fn makes(bench: Bench<'_>, node: &Node) -> Vec<Arc<str>> {
    // What is made of the old view, and code that names the new one, reaches it under names of its own.
    let spoken = |name: &str| bench.snapshot.codes().spoken.may_name(name);
    let lasting = |range: &RangeVar| range.relpersistence != "t" && !range.schemaname.starts_with("pg_temp");
    let of = |range: Option<&RangeVar>| {
        range
            .filter(|range| lasting(range))
            .map(|range| Arc::from(range.relname.as_str()))
            .into_iter()
            .collect()
    };
    let mut names = match kind(node) {
        Some(Kind::ViewStmt(view)) => of(view.view.as_ref()),
        Some(Kind::CreateTableAsStmt(create)) => of(create.into.as_ref().and_then(|into| into.rel.as_ref())),
        Some(Kind::RenameStmt(rename)) => {
            let mut names = vec![Arc::from(rename.newname.as_str())];
            // Whatever is in a schema may be meant by its bare name.
            if ObjectType::try_from(rename.rename_type) == Ok(ObjectType::ObjectSchema) {
                names.extend(in_schema(bench, &rename.subname));
            }
            names
        }
        Some(Kind::AlterObjectSchemaStmt(moved)) => match &moved.relation {
            Some(range) => of(Some(range)),
            None => moved.object.as_deref().and_then(last_name).map(Arc::from).into_iter().collect(),
        },
        Some(_) | None => Vec::new(),
    };
    let replaces = matches!(kind(node), Some(Kind::ViewStmt(view)) if view.replace);
    if !names.is_empty() && (replaces || names.iter().any(|name| spoken(name))) {
        names.push(ANY_NAME.into());
    }
    names
}

/// Bare names of what matters in a schema.
fn in_schema(bench: Bench<'_>, schema: &str) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let relations = bench.snapshot.relations().map(|relation| &relation.name);
    for name in relations.filter(|name| *name.schema == *schema) {
        names.push(name.name.clone());
    }
    let codes = bench.snapshot.codes().relations.iter();
    names.extend(
        codes.filter(|(_, all)| all.iter().any(|one| *one.schema == *schema)).map(|(name, _)| name.clone()),
    );
    names
}

/// What is no word: whatever a text names, it may be meant.
const ANY_NAME: &str = "*";

fn last_name(object: &Node) -> Option<&str> {
    match kind(object) {
        Some(Kind::List(parts)) => parts.items.iter().rev().find_map(tree::name),
        Some(_) | None => tree::name(object),
    }
}
