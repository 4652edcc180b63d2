//! Definitions of tables: what may be done to a classified table, and what may refer to one.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AlterTableType, Node, ObjectType, RangeVar};

use crate::catalog::{Field, Named, RelationKind};

use super::super::facts::StatementFacts;
use super::super::follow::flow::{Seen, Walk};
use super::super::follow::scope::Place;
use super::super::judge::{account, facts_of};
use super::super::matters::{
    Bench, catalog_changes, moves, names_what_matters, policy_field, refuse_definition,
};
use super::super::read::census::{Census, census};
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unsupported};
use super::changes;
use super::draft::{Draft, refuse_change};
use super::target::{Made, creation, is_missing, is_pinned, made_in, matters, meant, settled};
use super::temporary;
use super::views::named_by_code;

/// CREATE TABLE: of a table that the policy names, or that refers to one.
pub(in crate::statement) fn created(
    bench: Bench<'_>,
    create: &protobuf::CreateStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let Some(range) = &create.relation else { return Err(unsupported("this CREATE TABLE")) };
    if let Some(parent) = parted(bench, create) {
        return partition(bench, create, range, parent, found);
    }
    if let Some(facts) = temporary::alike(bench, create, range, found)? {
        return Ok(facts);
    }
    for parent in &create.inh_relations {
        if let Some(Kind::RangeVar(parent)) = kind(parent)
            && matters(bench, parent)
        {
            return Err(refuse_definition("a table that inherits from a classified one"));
        }
    }
    let made = made_in(bench, range)?;
    let schema = made.as_ref().map_or_else(|| range.schemaname.clone(), |made| made.schema.to_string());
    let mut draft = Draft::of(bench, RangeVar { schemaname: schema, ..range.clone() });
    draft.walk.insertions.extend(made.map(Made::insertion));
    for element in create.table_elts.iter().chain(&create.constraints) {
        match kind(element) {
            Some(Kind::ColumnDef(column)) => draft.column(column)?,
            Some(Kind::Constraint(constraint)) => draft.constraint(None, constraint)?,
            Some(Kind::TableLikeClause(like)) => alike(&draft, like)?,
            Some(_) | None => return Err(unsupported("this CREATE TABLE")),
        }
    }
    keyed(&draft, create)?;
    let of_type = create.of_typename.as_ref();
    if of_type.is_some_and(|of| {
        of.names.iter().filter_map(tree::name).any(|name| names_what_matters(bench.snapshot, name))
    }) {
        return Err(refuse_definition("a table of a classified table's type"));
    }
    if found.incomplete {
        return Err(unsupported("this CREATE TABLE"));
    }
    draft.finish(moves())
}

/// PARTITION BY of what is not classified.
fn keyed(draft: &Draft<'_>, create: &protobuf::CreateStmt) -> Proven<()> {
    for element in create.partspec.iter().flat_map(|partition| &partition.part_params) {
        let Some(Kind::PartitionElem(by)) = kind(element) else { return Err(unsupported("this partition")) };
        if let Some(expression) = by.expr.as_deref() {
            draft.refuse_expression(expression)?;
        }
        if draft.field(&by.name).is_some() {
            return Err(refuse_change("a partition key"));
        }
    }
    Ok(())
}

/// LIKE: of a table that is not classified, or of one whose sealed columns the policy has here as well, each
/// with its domain.
fn alike(draft: &Draft<'_>, like: &protobuf::TableLikeClause) -> Proven<()> {
    let bench = draft.bench;
    let Some(range) = &like.relation else { return Err(unsupported("this LIKE")) };
    if !matters(bench, range) {
        return Ok(());
    }
    let other = || refuse_definition("a table like a classified one, for which the policy has not the same");
    let source = meant(bench, range).filter(|source| source.kind == RelationKind::Table);
    let source =
        source.filter(|source| source.reaches.is_none() && source.fault.is_none()).ok_or_else(other)?;
    for column in &source.columns {
        let there = column.field.and_then(|id| bench.snapshot.field(id));
        let here = draft.field(&column.name);
        let domain = |field: Option<&Field>| field.map(|field| (field.domain.clone(), field.declared()));
        if column.fault.is_some() || domain(there) != domain(here) {
            return Err(other());
        }
    }
    Ok(())
}

/// The classified table of which this one becomes a partition.
fn parted<'a>(bench: Bench<'_>, create: &'a protobuf::CreateStmt) -> Option<&'a RangeVar> {
    create.partbound.as_ref()?;
    let [parent] = create.inh_relations.as_slice() else { return None };
    match kind(parent) {
        Some(Kind::RangeVar(parent)) if matters(bench, parent) => Some(parent),
        Some(_) | None => None,
    }
}

/// PARTITION OF a classified table: it has the columns of that one, and leads to them.
fn partition(
    bench: Bench<'_>,
    create: &protobuf::CreateStmt,
    range: &RangeVar,
    parent: &RangeVar,
    found: &Census,
) -> Proven<StatementFacts> {
    let mut draft = Draft::of(bench, settled(bench, parent));
    let plain = create.table_elts.is_empty() && create.constraints.is_empty() && !found.incomplete;
    let fresh = range.relpersistence == "p" && !bench.snapshot.counts_name(&range.relname);
    if bench.snapshot.codes().spoken.may_name(&range.relname) {
        return Err(named_by_code(&range.relname));
    }
    if draft.walk.classified(parent)?.is_none() || !plain || !fresh {
        return Err(refuse_definition("a partition of a classified table that says more than its bounds"));
    }
    if range.schemaname.is_empty() {
        creation(bench, &range.relname)?;
    }
    keyed(&draft, create)?;
    draft.finish(moves())
}

/// CREATE TABLE AS, or SELECT INTO, of a table that the policy names and nobody has: a copy in which each column has the
/// domain that the policy gives it. None: it is of another one.
pub(in crate::statement) fn copied(
    bench: Bench<'_>,
    target: &RangeVar,
    columns: &[Node],
    query: Option<&Node>,
    found: &Census,
) -> Proven<Option<StatementFacts>> {
    let temporary = target.relpersistence == "t" || target.schemaname.starts_with("pg_temp");
    let schema = Some(target.schemaname.as_str()).filter(|schema| !schema.is_empty());
    let awaited = bench.snapshot.pattern_fields(schema, &target.relname).next().is_some();
    let Some(query) = query.filter(|query| matches!(kind(query), Some(Kind::SelectStmt(_)))) else {
        return Ok(None);
    };
    if temporary || awaited || !bench.snapshot.is_policy_name(&target.relname) {
        return Ok(None);
    }
    let made = made_in(bench, target)?;
    let settled = RangeVar {
        schemaname: made.as_ref().map_or_else(|| target.schemaname.clone(), |made| made.schema.to_string()),
        ..target.clone()
    };
    if !is_missing(bench, &settled) {
        return Ok(None);
    }
    let mut walk = Walk::new(bench, bench.reading.standard_conforming_strings);
    // Its own name is no table that is read.
    walk.seen.insert((Seen::Range, target.location));
    walk.into = tree::into(query);
    walk.places = true;
    let outputs = walk.query(query)?;
    for (position, output) in outputs.columns.iter().enumerate() {
        let name = columns.get(position).and_then(tree::name).or(output.name.as_deref());
        let name = name.filter(|_| output.place == Place::Sure).ok_or_else(|| {
            refuse(
                "definition",
                "the columns of the copy are not all named",
                "List them, each with its name.",
            )
        })?;
        match policy_field(bench.snapshot, &settled, name) {
            Some(field) if field.domain.is_some() => walk.store(field.id, &output.flow)?,
            Some(_) => return Err(refuse_definition("a copy of a column that is not sealed")),
            None => walk.store_plain(&output.flow)?,
        }
    }
    account(&walk, found)?;
    walk.insertions.extend(made.map(Made::insertion));
    let facts = facts_of(walk)?;
    Ok(Some(StatementFacts { effect: moves().effect, ..facts }))
}

/// ALTER TABLE by an allow-list of its subcommands.
pub(in crate::statement) fn altered(
    bench: Bench<'_>,
    alter: &protobuf::AlterTableStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let Some(range) = &alter.relation else { return Err(unsupported("this ALTER TABLE")) };
    let mut draft = Draft::of(bench, settled(bench, range));
    let classified = matters(bench, range);
    if !is_missing(bench, range) && (classified || is_pinned(bench, range)) {
        draft.walk.classified(range)?;
    }
    for command in &alter.cmds {
        let Some(Kind::AlterTableCmd(command)) = kind(command) else {
            return Err(unsupported("this ALTER TABLE"));
        };
        subcommand(&mut draft, classified, command)?;
    }
    if found.incomplete {
        return Err(unsupported("this ALTER TABLE"));
    }
    draft.finish(if alter.cmds.iter().any(moves_columns) { moves() } else { catalog_changes() })
}

/// Does it change which columns there are, or their types?
fn moves_columns(command: &Node) -> bool {
    use AlterTableType as At;
    let Some(Kind::AlterTableCmd(command)) = kind(command) else { return true };
    matches!(
        At::try_from(command.subtype),
        Ok(At::AtAddColumn | At::AtDropColumn | At::AtAlterColumnType | At::AtAddOf | At::AtDropOf) | Err(_)
    )
}

fn subcommand<'a>(
    draft: &mut Draft<'a>,
    classified: bool,
    command: &'a protobuf::AlterTableCmd,
) -> Proven<()> {
    use AlterTableType as At;
    let bench = draft.bench;
    let of = At::try_from(command.subtype).unwrap_or(At::Undefined);
    let sealed = draft.sealed(&command.name);
    match (of, command.def.as_deref(), command.def.as_deref().and_then(kind)) {
        (At::AtAddColumn, _, Some(Kind::ColumnDef(column))) => draft.column(column)?,
        (At::AtAlterColumnType, _, Some(Kind::ColumnDef(column))) => {
            if let Some(field) = sealed {
                return draft.retyped(field, column);
            }
            if let Some(using) = column.raw_default.as_deref() {
                draft.refuse_expression(using)?;
            }
        }
        (At::AtColumnDefault, Some(value), _) => match sealed {
            Some(field) => return draft.default(field, value),
            None => draft.refuse_expression(value)?,
        },
        (At::AtColumnDefault, None, _) => return Ok(()),
        (_, _, Some(Kind::Constraint(constraint))) => draft.constraint(None, constraint)?,
        (_, Some(definition), _) => {
            let found = census(definition);
            if found.ranges.iter().any(|other| {
                let schema = Some(other.schema.as_str()).filter(|schema| !schema.is_empty());
                !matches!(bench.names.named(schema, &other.name), Named::Harmless)
            }) {
                return Err(refuse_definition("a table that takes part in a classified one"));
            }
            if classified {
                draft.refuse_expression(definition)?;
            }
        }
        (_, None, _) => {}
    }
    if !classified {
        return Ok(());
    }
    let allowed_anywhere = matches!(
        of,
        At::AtAddColumn
            | At::AtDropNotNull
            | At::AtSetNotNull
            | At::AtSetStatistics
            | At::AtSetStorage
            | At::AtSetCompression
            | At::AtAddConstraint
            | At::AtValidateConstraint
            | At::AtDropConstraint
            | At::AtAddIndexConstraint
            | At::AtChangeOwner
            | At::AtClusterOn
            | At::AtDropCluster
            | At::AtSetLogged
            | At::AtSetUnLogged
            | At::AtSetTableSpace
            | At::AtSetRelOptions
            | At::AtResetRelOptions
            | At::AtEnableRowSecurity
            | At::AtDisableRowSecurity
            | At::AtForceRowSecurity
            | At::AtNoForceRowSecurity
            | At::AtDropColumn
            | At::AtEnableTrig
            | At::AtEnableTrigAll
            | At::AtEnableTrigUser
            | At::AtDisableTrig
            | At::AtDisableTrigAll
            | At::AtDisableTrigUser
    );
    let allowed_elsewhere = matches!(
        of,
        At::AtColumnDefault
            | At::AtAlterColumnType
            | At::AtAddIdentity
            | At::AtSetIdentity
            | At::AtDropIdentity
    );
    let of_field = draft.field(&command.name).is_some();
    if allowed_anywhere || allowed_elsewhere && !of_field {
        return Ok(());
    }
    Err(refuse_change("this change"))
}

/// Has the policy, for the names that tables and columns have behind this definition, the same key domains
/// as for those before it?
fn keeps_its_domains(bench: Bench<'_>, node: &Node, found: &Census) -> bool {
    let snapshot = bench.snapshot;
    let changes = changes::followed(bench, node, found, false).filter(|changes| !changes.is_empty());
    changes.is_some_and(|changes| snapshot.after(&changes, snapshot.epoch()).is_some())
}

/// SET SCHEMA of a table that matters. None: it is of another relation.
pub(in crate::statement) fn moved(
    bench: Bench<'_>,
    node: &Node,
    moved: &protobuf::AlterObjectSchemaStmt,
    found: &Census,
) -> Option<Proven<StatementFacts>> {
    moved.relation.as_ref().filter(|range| matters(bench, range))?;
    Some(if keeps_its_domains(bench, node, found) {
        Ok(moves())
    } else {
        Err(refuse_change("another schema"))
    })
}

/// RENAME and its like, of tables, columns, schemas and the rest.
pub(in crate::statement) fn renamed(
    bench: Bench<'_>,
    node: &Node,
    rename: &protobuf::RenameStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let of = ObjectType::try_from(rename.rename_type).unwrap_or(ObjectType::Undefined);
    if of == ObjectType::ObjectSchema {
        let holds = |schema: &str| {
            bench
                .snapshot
                .relations()
                .any(|relation| !relation.is_harmless() && &*relation.name.schema == schema)
                || bench.snapshot.fields().iter().any(|field| &*field.table.schema == schema)
                // What leads to a sealed column is known by its schema.
                || bench.snapshot.codes().relations.values().flatten().any(|one| one.leads.is_some() && &*one.schema == schema)
                // What it holds is awaited under the new name, or no longer under the old one.
                || bench.snapshot.patterns().iter().any(|entry| entry.matches(Some(schema), &entry.field.table.name))
        };
        if holds(&rename.subname) || holds(&rename.newname) {
            return Err(refuse_change("a new name for the schema"));
        }
        return Ok(moves());
    }
    if let Some(range) = rename.relation.as_ref().filter(|range| matters(bench, range)) {
        if keeps_its_domains(bench, node, found) {
            return Ok(moves());
        }
        let column = of == ObjectType::ObjectColumn
            && [&rename.subname, &rename.newname]
                .iter()
                .all(|name| policy_field(bench.snapshot, range, name).is_none());
        if column || of == ObjectType::ObjectTabconstraint {
            return Ok(moves());
        }
        return Err(refuse_change("a new name"));
    }
    if found.words.iter().any(|word| names_what_matters(bench.snapshot, word)) {
        return Err(refuse_change("a new name"));
    }
    Ok(moves())
}
