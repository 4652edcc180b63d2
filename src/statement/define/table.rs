//! Definitions of tables and indexes: what may be done to a classified table, and what may
//! refer to one.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AlterTableType, ConstrType, Node, ObjectType, RangeVar};

use crate::catalog::{Creation, Field, Mode, Named, is_temporary};

use super::super::facts::{Remedy, StatementFacts, Unproven};
use super::super::follow::flow::{Seen, Walk};
use super::super::follow::scope::Place;
use super::super::judge::{account, facts_of};
use super::super::matters::{
    Bench, catalog_changes, moves, names_what_matters, policy_field, refuse_definition,
};
use super::super::read::census::{Census, census};
use super::super::read::literal::quoted_name;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::changes;

const POLICY_FIRST: &str = "Change the policy first, so that it has the same domain for the new name as for the old one, then the table.";

fn refuse_change(what: &str) -> Unproven {
    refuse("definition", format!("{what} of a classified table or column"), POLICY_FIRST)
}

fn matters(bench: Bench<'_>, range: &RangeVar) -> bool {
    let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
    match bench.names.named(schema, &range.relname) {
        Named::Harmless => false,
        Named::Pinned(relation) => !relation.is_harmless(),
        Named::One(_) | Named::Ambiguous | Named::NotOnPath | Named::PerhapsTemporary | Named::Missing => {
            true
        }
    }
}

/// Does the policy name it, and nobody has it? What may be done to it is judged by the policy alone, and
/// that it is not there is the server's to say.
fn is_missing(bench: Bench<'_>, range: &RangeVar) -> bool {
    let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
    matches!(bench.names.named(schema, &range.relname), Named::Missing)
}

/// In which schema a table will be, and the place of the text where that is written out.
struct Made {
    schema: Arc<str>,
    at: usize,
}

impl Made {
    fn insertion(self) -> (usize, String) {
        (self.at, format!("{}.", quoted_name(&self.schema)))
    }
}

/// The schema in which a table of a name that matters will be. None: it is given,
/// or the name does not matter.
///
/// # Errors
/// The search path decides, and is not known.
fn made_in(bench: Bench<'_>, range: &RangeVar) -> Proven<Option<Made>> {
    let temporary = range.relpersistence == "t";
    if !range.schemaname.is_empty() || temporary || !bench.snapshot.counts_name(&range.relname) {
        return Ok(None);
    }
    let unknown = || {
        let detail =
            format!("in which schema \"{}\" would be made is the search path's to say", range.relname);
        refuse("relation-ambiguous", detail, "Write schema.table.")
    };
    let Some(path) = bench.names.path else { return Err(unless(Remedy::Path, unknown())) };
    let schema = match path.creation() {
        Creation::In(schema) if is_temporary(&schema) => {
            let detail =
                format!("a temporary \"{}\" would stand before the table of the policy", range.relname);
            return Err(refuse(
                "shadow",
                detail,
                "Write schema.table, or give the temporary table another name.",
            ));
        }
        Creation::In(schema) => schema,
        Creation::Unasked => return Err(unless(Remedy::Creation, unknown())),
        Creation::Nowhere => return Err(unknown()),
    };
    let at = usize::try_from(range.location).map_err(|_| unknown())?;
    Ok(Some(Made { schema, at }))
}

/// Must its schema be written out?
fn is_pinned(bench: Bench<'_>, range: &RangeVar) -> bool {
    range.schemaname.is_empty() && matches!(bench.names.named(None, &range.relname), Named::Pinned(_))
}

fn refuse_random(field: &Field, what: &str) -> Proven<()> {
    match field.domain.as_ref().map(|domain| domain.mode) {
        Some(Mode::Random) => Err(refuse(
            "random-compared",
            format!("{} is sealed with seal = \"random\" and cannot be in {what}", field.path()),
            "seal = \"equality\" allows UNIQUE, keys and indexes.",
        )),
        Some(Mode::Equality) | None => Ok(()),
    }
}

/// Does an expression somewhere below name a classified column of this table?
fn refuse_expressions(bench: Bench<'_>, range: &RangeVar, node: &Node) -> Proven<()> {
    match kind(node) {
        // A sealed value is NULL where its value is.
        Some(Kind::NullTest(test))
            if matches!(test.arg.as_deref().and_then(kind), Some(Kind::ColumnRef(column))
                if column.fields.last().and_then(tree::name).is_some_and(|name| name != range.relname)) =>
        {
            return Ok(());
        }
        Some(Kind::BoolExpr(all)) => {
            return all.args.iter().try_for_each(|one| refuse_expressions(bench, range, one));
        }
        Some(_) | None => {}
    }
    let found = census(node);
    if found.incomplete {
        return Err(refuse_definition("this definition"));
    }
    let whole_row = |name: &str| *name == range.relname;
    for column in &found.columns {
        let Some(last) = column.parts.last() else {
            return Err(refuse_change("an expression over all columns"));
        };
        if whole_row(last) || policy_field(bench.snapshot, range, last).is_some() {
            return Err(refuse_change("an expression over a column"));
        }
    }
    Ok(())
}

/// CREATE INDEX: plain columns of equality fields, and expressions over others.
pub(in crate::statement) fn indexed(
    bench: Bench<'_>,
    index: &protobuf::IndexStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let Some(range) = &index.relation else { return Err(unsupported("this index")) };
    let mut walk = Walk::new(bench, true);
    let is_missing = is_missing(bench, range);
    let known = !is_missing && (matters(bench, range) || is_pinned(bench, range));
    let classified = if known { walk.classified(range)? } else { None };
    if classified.is_none() && !is_missing {
        if names_what_matters(bench.snapshot, &index.idxname) {
            return Err(refuse_definition("an index of this name"));
        }
        return Ok(StatementFacts { insertions: walk.insertions, ..catalog_changes() });
    }
    if found.ranges.len() != 1 {
        return Err(unsupported("this index"));
    }
    for element in &index.index_params {
        let Some(Kind::IndexElem(element)) = kind(element) else { return Err(unsupported("this index")) };
        if let Some(expression) = element.expr.as_deref() {
            refuse_expressions(bench, range, expression)?;
        }
        if let Some(field) = policy_field(bench.snapshot, range, &element.name) {
            refuse_random(field, "an index")?;
        }
    }
    if let Some(predicate) = index.where_clause.as_deref() {
        refuse_expressions(bench, range, predicate)?;
    }
    if !index.exclude_op_names.is_empty() {
        return Err(unsupported("an exclusion constraint"));
    }
    Ok(StatementFacts { insertions: walk.insertions, ..catalog_changes() })
}

/// CREATE TABLE: of a table that the policy names, or that refers to one.
pub(in crate::statement) fn created(
    bench: Bench<'_>,
    create: &protobuf::CreateStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let Some(range) = &create.relation else { return Err(unsupported("this CREATE TABLE")) };
    for parent in &create.inh_relations {
        if let Some(Kind::RangeVar(parent)) = kind(parent)
            && matters(bench, parent)
        {
            return Err(refuse_definition("a table that inherits from a classified one"));
        }
    }
    for element in create.table_elts.iter().chain(&create.constraints) {
        match kind(element) {
            Some(Kind::ColumnDef(column)) => column_defined(bench, range, column)?,
            Some(Kind::Constraint(constraint)) => constrained(bench, range, None, constraint)?,
            Some(Kind::TableLikeClause(like)) => {
                if like.relation.as_ref().is_none_or(|like| matters(bench, like)) {
                    return Err(refuse_definition("a table like a classified one"));
                }
            }
            Some(_) | None => return Err(unsupported("this CREATE TABLE")),
        }
        refuse_expressions(bench, range, element)?;
    }
    if let Some(partition) = &create.partspec {
        for element in &partition.part_params {
            let Some(Kind::PartitionElem(by)) = kind(element) else {
                return Err(unsupported("this partition"));
            };
            refuse_expressions(bench, range, element)?;
            if policy_field(bench.snapshot, range, &by.name).is_some() {
                return Err(refuse_change("a partition key"));
            }
        }
    }
    let of_type = create.of_typename.as_ref();
    if of_type.is_some_and(|of| {
        of.names.iter().filter_map(tree::name).any(|name| names_what_matters(bench.snapshot, name))
    }) {
        return Err(refuse_definition("a table of a classified table's type"));
    }
    if found.incomplete {
        return Err(unsupported("this CREATE TABLE"));
    }
    let written = made_in(bench, range)?.map(Made::insertion);
    Ok(StatementFacts { insertions: written.into_iter().collect(), ..moves() })
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

/// A column in CREATE TABLE or ADD COLUMN.
fn column_defined(bench: Bench<'_>, range: &RangeVar, column: &protobuf::ColumnDef) -> Proven<()> {
    let field = policy_field(bench.snapshot, range, &column.colname);
    for constraint in &column.constraints {
        let Some(Kind::Constraint(constraint)) = kind(constraint) else {
            return Err(unsupported("this column"));
        };
        constrained(bench, range, Some(&column.colname), constraint)?;
        let of = ConstrType::try_from(constraint.contype).unwrap_or(ConstrType::Undefined);
        let computes = matches!(
            of,
            ConstrType::ConstrDefault
                | ConstrType::ConstrCheck
                | ConstrType::ConstrGenerated
                | ConstrType::ConstrIdentity
                | ConstrType::Undefined
        );
        if field.is_some() && computes {
            return Err(refuse_change("a default, check or generated value"));
        }
    }
    if field.is_some() && column.raw_default.is_some() {
        return Err(refuse_change("a default"));
    }
    Ok(())
}

/// A constraint: of a table, or of the one column that it stands beside.
fn constrained(
    bench: Bench<'_>,
    range: &RangeVar,
    column: Option<&str>,
    constraint: &protobuf::Constraint,
) -> Proven<()> {
    if !constraint.exclusions.is_empty() && matters(bench, range) {
        return Err(unsupported("an exclusion constraint"));
    }
    let of = ConstrType::try_from(constraint.contype).unwrap_or(ConstrType::Undefined);
    let unique = matches!(of, ConstrType::ConstrUnique | ConstrType::ConstrPrimary);
    let keys = constraint.keys.iter().filter_map(tree::name).chain(column.filter(|_| unique));
    for key in keys {
        if let Some(field) = policy_field(bench.snapshot, range, key) {
            refuse_random(field, "a key")?;
        }
    }
    let Some(referred) = &constraint.pktable else { return Ok(()) };
    let own: Vec<&str> = match column {
        Some(column) => vec![column],
        None => constraint.fk_attrs.iter().filter_map(tree::name).collect(),
    };
    let others: Vec<&str> = constraint.pk_attrs.iter().filter_map(tree::name).collect();
    for (position, own) in own.iter().enumerate() {
        let mine = policy_field(bench.snapshot, range, own);
        let other = others.get(position).and_then(|other| policy_field(bench.snapshot, referred, other));
        let fits = match (mine, other) {
            (None, None) => true,
            (Some(mine), Some(other)) => {
                mine.domain == other.domain
                    && mine.domain.as_ref().is_none_or(|domain| domain.mode == Mode::Equality)
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !fits {
            return Err(refuse_definition("a foreign key between a sealed column and another"));
        }
    }
    Ok(())
}

/// ALTER TABLE by an allow-list of its subcommands.
pub(in crate::statement) fn altered(
    bench: Bench<'_>,
    alter: &protobuf::AlterTableStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let Some(range) = &alter.relation else { return Err(unsupported("this ALTER TABLE")) };
    let mut walk = Walk::new(bench, true);
    if !is_missing(bench, range) && (matters(bench, range) || is_pinned(bench, range)) {
        walk.classified(range)?;
    }
    for command in &alter.cmds {
        let Some(Kind::AlterTableCmd(command)) = kind(command) else {
            return Err(unsupported("this ALTER TABLE"));
        };
        subcommand(bench, range, command)?;
    }
    if found.incomplete {
        return Err(unsupported("this ALTER TABLE"));
    }
    let facts = if alter.cmds.iter().any(moves_columns) { moves() } else { catalog_changes() };
    Ok(StatementFacts { insertions: walk.insertions, ..facts })
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

fn subcommand(bench: Bench<'_>, range: &RangeVar, command: &protobuf::AlterTableCmd) -> Proven<()> {
    use AlterTableType as At;
    let definition = command.def.as_deref();
    let classified = matters(bench, range);
    let of = At::try_from(command.subtype).unwrap_or(At::Undefined);
    match definition.and_then(kind) {
        Some(Kind::ColumnDef(column)) => column_defined(bench, range, column)?,
        Some(Kind::Constraint(constraint)) => constrained(bench, range, None, constraint)?,
        Some(_) | None => {
            let found = definition.map(census).unwrap_or_default();
            if found.ranges.iter().any(|other| {
                let schema = Some(other.schema.as_str()).filter(|schema| !schema.is_empty());
                !matches!(bench.names.named(schema, &other.name), Named::Harmless)
            }) {
                return Err(refuse_definition("a table that takes part in a classified one"));
            }
        }
    }
    if !classified {
        return Ok(());
    }
    if let Some(definition) = definition {
        refuse_expressions(bench, range, definition)?;
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
    let of_field = policy_field(bench.snapshot, range, &command.name).is_some();
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
