//! Which fields a statement names without being followed: what a definition is about, and what a
//! refusal can tell of.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, GrantTargetType, Node, ObjectType};

use crate::catalog::{Field, FieldId, Named, Names};

use super::super::facts::StatementFacts;
use super::super::matters::Bench;
use super::super::read::census::Census;
use super::super::read::tree::{self, kind};

/// The fields of the tables that a definition names. None: it defines nothing that matters.
pub(in crate::statement) fn defined(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    facts: &StatementFacts,
) -> Option<Vec<FieldId>> {
    let keeps = matches!(
        kind(node),
        Some(Kind::VacuumStmt(_) | Kind::ReindexStmt(_) | Kind::ClusterStmt(_) | Kind::TransactionStmt(_))
    );
    let grants = matches!(kind(node), Some(Kind::GrantStmt(_)));
    if facts.touches() || keeps || !(facts.effect.catalog || grants) {
        return None;
    }
    let snapshot = bench.snapshot;
    let all = |of: &dyn Fn(&Field) -> bool| {
        snapshot.fields().iter().filter(|field| of(field)).map(|field| field.id).collect::<Vec<_>>()
    };
    let of_schemas = |schemas: Vec<&str>| {
        let fields = all(&|field: &Field| schemas.contains(&&*field.table.schema));
        (!fields.is_empty()).then_some(fields)
    };
    match kind(node) {
        // Whatever the role owns.
        Some(Kind::DropOwnedStmt(_)) => return Some(all(&|_| true)),
        Some(Kind::DropStmt(drop)) if is(drop.remove_type, ObjectType::ObjectSchema) => {
            return of_schemas(drop.objects.iter().filter_map(tree::name).collect());
        }
        Some(Kind::RenameStmt(rename)) if is(rename.rename_type, ObjectType::ObjectSchema) => {
            return of_schemas(vec![&rename.subname]);
        }
        Some(Kind::GrantStmt(grant)) if by_schema(grant) => {
            return of_schemas(grant.objects.iter().filter_map(tree::name).collect());
        }
        Some(_) | None => {}
    }
    let ranges = found.ranges.iter().map(|range| (range.schema.as_str(), range.name.as_str()));
    let listed = match kind(node) {
        Some(Kind::DropStmt(drop)) => drop.objects.iter().filter_map(listed).collect(),
        Some(_) | None => Vec::new(),
    };
    let tables: Vec<_> = ranges.chain(listed).filter(|table| matters(bench.names, *table)).collect();
    let of = |field: &Field| tables.iter().any(|table| is_of(bench.names, *table, field));
    (!tables.is_empty()).then(|| all(&of))
}

/// The fields that a text names, as far as names tell: those of its tables, and of these the
/// columns that it names where it names any.
pub(in crate::statement) fn named(names: Names<'_>, found: &[Census]) -> Vec<FieldId> {
    let ranges = || found.iter().flat_map(|census| &census.ranges);
    let of_tables = |field: &&Field| {
        ranges().any(|range| is_of(names, (range.schema.as_str(), range.name.as_str()), field))
    };
    let fields: Vec<&Field> = names.snapshot.fields().iter().filter(of_tables).collect();
    let says = |field: &&&Field| {
        let is_column = |word: &String| **word == *field.column;
        found.iter().any(|census| {
            census.words.iter().any(is_column)
                || census.columns.iter().any(|column| column.parts.iter().any(is_column))
        })
    };
    let told: Vec<FieldId> = fields.iter().filter(says).map(|field| field.id).collect();
    if told.is_empty() { fields.iter().map(|field| field.id).collect() } else { told }
}

fn is(found: i32, object: ObjectType) -> bool {
    ObjectType::try_from(found) == Ok(object)
}

fn by_schema(grant: &protobuf::GrantStmt) -> bool {
    let all = GrantTargetType::try_from(grant.targtype) == Ok(GrantTargetType::AclTargetAllInSchema);
    all || is(grant.objtype, ObjectType::ObjectSchema)
}

/// Schema (empty: none is given) and name of an element of a list of objects.
fn listed(object: &Node) -> Option<(&str, &str)> {
    let Some(Kind::List(parts)) = kind(object) else { return None };
    let mut parts = parts.items.iter().rev().filter_map(tree::name);
    let name = parts.next()?;
    Some((parts.next().unwrap_or_default(), name))
}

fn matters(names: Names<'_>, (schema, name): (&str, &str)) -> bool {
    match names.named(Some(schema).filter(|schema| !schema.is_empty()), name) {
        Named::Harmless => false,
        Named::Pinned(relation) => !relation.is_harmless(),
        Named::One(_) | Named::Ambiguous | Named::NotOnPath | Named::PerhapsTemporary | Named::Missing => {
            true
        }
    }
}

/// Is it a field of the table that is named so? Where several may be meant, of any of them.
fn is_of(names: Names<'_>, (schema, name): (&str, &str), field: &Field) -> bool {
    let given = Some(schema).filter(|schema| !schema.is_empty());
    let schema = match names.named(given, name) {
        Named::Harmless => return false,
        Named::Pinned(relation) | Named::One(relation) => Some(&*relation.name.schema),
        Named::Ambiguous | Named::NotOnPath | Named::PerhapsTemporary | Named::Missing => given,
    };
    *field.table.name == *name && schema.is_none_or(|schema| *field.table.schema == *schema)
}
