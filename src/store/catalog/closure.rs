//! What leads to classified columns without being named by the policy: the transitive
//! closure over `pg_depend`, inheritance, trigger arguments and the text of functions.
//!
//! It works in rounds. Each takes what the last one reached, asks the server what depends
//! on that, looks for its names in function bodies, and ends when nothing is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::body::{self, Finder, Names};
use super::classified::{Classified, qualified};
use super::dependents;
use super::load::{
    FUNCTIONS_MAX, LoadError, RELATIONS_MAX, Reader, SOURCE_BYTES_MAX, SOURCES_BYTES_MAX, value,
};
use crate::catalog::{QualifiedName, Reaching};

/// Longer chains of views over functions over views do not exist by accident.
const ROUNDS_MAX: usize = 64;

/// A relation that leads to classified columns.
pub(super) struct ReachingRelation {
    pub(super) name: QualifiedName,
    pub(super) why: String,
}

/// The closure.
pub(super) struct Reached {
    /// By `pg_class.oid`, without the classified tables themselves.
    pub(super) relations: BTreeMap<u32, ReachingRelation>,
    /// By bare name, functions, operators and types.
    pub(super) names: BTreeMap<Arc<str>, Vec<Reaching>>,
    /// What could not be followed.
    pub(super) notes: Vec<String>,
}

/// The kinds of objects through which the closure is followed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Relation,
    Function,
    Operator,
    Type,
}

/// An object by kind and OID.
pub(super) type Object = (Kind, u32);

/// A function with a source text that can be read.
struct Body {
    oid: u32,
    /// `schema.name`, for reasons and notes.
    name: String,
    language: String,
    /// Folded to lower case; none where it is too long to be read.
    source: Option<String>,
}

/// The closure while it grows.
pub(super) struct Growth<'a> {
    pub(super) tables: &'a mut BTreeMap<u32, Classified>,
    reached: BTreeMap<Object, String>,
    /// Names of what was reached in earlier rounds.
    described: BTreeMap<Object, QualifiedName>,
    /// Reached, and not yet followed.
    fresh: Vec<Object>,
}

impl Growth<'_> {
    /// Adds an object. A classified table is never "reached": what leads back to it is a
    /// fault of its own.
    pub(super) fn reach(&mut self, object: Object, why: String) {
        if let (Kind::Relation, Some(table)) = (object.0, self.tables.get_mut(&object.1)) {
            table.add_fault(why);
            return;
        }
        if let std::collections::btree_map::Entry::Vacant(entry) = self.reached.entry(object) {
            entry.insert(why);
            self.fresh.push(object);
        }
    }

    pub(super) fn has(&self, object: Object) -> bool {
        self.reached.contains_key(&object)
    }

    /// An object in the words of a reason.
    pub(super) fn noun(&self, object: Object) -> String {
        let word = match object.0 {
            Kind::Relation => "relation",
            Kind::Function => "function",
            Kind::Operator => "operator",
            Kind::Type => "type",
        };
        match (self.tables.get(&object.1), self.described.get(&object)) {
            (Some(table), _) if object.0 == Kind::Relation => format!("table {}", table.name),
            (_, Some(name)) => format!("{word} {name}, which leads to classified columns"),
            (_, None) => format!("a {word} that leads to classified columns"),
        }
    }
}

pub(super) async fn read(
    reader: &Reader<'_>,
    policy_names: &BTreeSet<Arc<str>>,
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<Reached, LoadError> {
    let bodies = read_bodies(reader).await?;
    let arguments = read_trigger_arguments(reader).await?;
    let mut growth =
        Growth { tables, reached: BTreeMap::new(), described: BTreeMap::new(), fresh: Vec::new() };

    let mut names = Names::default();
    for name in policy_names {
        names.add(name);
    }
    for body in &bodies {
        let Some(source) = &body.source else {
            let why = format!("the source of function {} is too long to be followed", body.name);
            growth.reach((Kind::Function, body.oid), why);
            continue;
        };
        if let Some(why) = body::reads_everything(source) {
            growth.reach((Kind::Function, body.oid), format!("function {}: {why}", body.name));
        }
    }
    let cascades: Vec<(u32, String)> =
        growth.tables.values().flat_map(|table| table.cascades_from.clone()).collect();
    for (table, why) in cascades {
        growth.reach((Kind::Relation, table), why);
    }
    // The first round follows the classified tables themselves, and their row types.
    let mut frontier: Vec<Object> = growth.tables.keys().map(|oid| (Kind::Relation, *oid)).collect();
    for table in growth.tables.values() {
        if table.row_type != 0 {
            frontier.push((Kind::Type, table.row_type));
        }
    }
    for _ in 0..ROUNDS_MAX {
        let finder = std::mem::take(&mut names).finder()?;
        scan_bodies(&bodies, &finder, &mut growth);
        scan_arguments(&arguments, &finder, &mut growth);
        dependents::follow(reader, &frontier, &mut growth).await?;
        follow_inheritance(reader, &frontier, &mut growth).await?;
        frontier = std::mem::take(&mut growth.fresh);
        if frontier.is_empty() {
            judge_triggers(reader, &bodies, &mut growth).await?;
            return Ok(finish(&bodies, growth));
        }
        for (object, name) in describe(reader, &frontier).await? {
            names.add(&name.name);
            growth.described.insert(object, name);
        }
    }
    Err(LoadError::TooLarge { what: "steps from a classified table", max: ROUNDS_MAX })
}

fn finish(bodies: &[Body], mut growth: Growth<'_>) -> Reached {
    let notes = bodies
        .iter()
        .filter(|body| !growth.has((Kind::Function, body.oid)))
        .filter(|body| body.source.as_ref().is_some_and(|source| body::is_dynamic(&body.language, source)))
        .map(|body| format!("function {} ({}) may run SQL that it builds itself", body.name, body.language))
        .collect();
    let mut reached = Reached { relations: BTreeMap::new(), names: BTreeMap::new(), notes };
    for (object, why) in growth.reached {
        let Some(name) = growth.described.remove(&object) else { continue };
        if object.0 == Kind::Relation {
            reached.relations.insert(object.1, ReachingRelation { name, why });
        } else {
            let all = reached.names.entry(name.name).or_default();
            let called = object.0 == Kind::Function;
            if all.iter().all(|one| one.schema != name.schema || one.called != called) {
                all.push(Reaching { schema: name.schema, called, why: why.into() });
            }
        }
    }
    reached
}

/// Every function whose source is text: not C, not internal, not those of PostgreSQL itself.
async fn read_bodies(reader: &Reader<'_>) -> Result<Vec<Body>, LoadError> {
    const WHERE: &str = "FROM pg_catalog.pg_proc p \
        JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
        WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL";
    // The shortest first: who writes what nobody can read keeps nobody else's from being read.
    let rows = reader
        .rows(
            "functions",
            FUNCTIONS_MAX,
            &format!(
                "SELECT f.oid, f.name, f.lanname, \
                        CASE WHEN f.bytes <= {SOURCE_BYTES_MAX} AND f.upto <= {SOURCES_BYTES_MAX} THEN f.prosrc END \
                 FROM (SELECT p.oid, n.nspname || '.' || p.proname AS name, l.lanname::pg_catalog.text, p.prosrc, \
                              octet_length(p.prosrc)::pg_catalog.int8 AS bytes, \
                              sum(octet_length(p.prosrc)::pg_catalog.int8) \
                                  OVER (ORDER BY octet_length(p.prosrc), p.oid)::pg_catalog.int8 AS upto {WHERE}) f \
                 ORDER BY f.oid"
            ),
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Body {
                oid: value(row, 0)?,
                name: value(row, 1)?,
                language: value(row, 2)?,
                source: value::<Option<&str>>(row, 3)?.map(body::fold),
            })
        })
        .collect()
}

fn scan_bodies(bodies: &[Body], names: &Finder, growth: &mut Growth<'_>) {
    for body in bodies {
        if growth.has((Kind::Function, body.oid)) {
            continue;
        }
        if let Some(name) = body.source.as_ref().and_then(|source| names.first_in(source)) {
            growth.reach(
                (Kind::Function, body.oid),
                format!("the body of function {} names {name}", body.name),
            );
        }
    }
}

/// A trigger with arguments, which its function may take for names.
struct Arguments {
    relation: u32,
    trigger: String,
    text: String,
}

async fn read_trigger_arguments(reader: &Reader<'_>) -> Result<Vec<Arguments>, LoadError> {
    let rows = reader
        .rows(
            "triggers with arguments",
            RELATIONS_MAX,
            "SELECT t.tgrelid, t.tgname::pg_catalog.text, pg_catalog.encode(t.tgargs, 'escape') \
             FROM pg_catalog.pg_trigger t WHERE t.tgnargs > 0 AND NOT t.tgisinternal ORDER BY t.oid",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let escaped: &str = value(row, 2)?;
            // Arguments end with a zero byte, which `encode` spells `\000`.
            let text = body::fold(&escaped.replace("\\000", " "));
            Ok(Arguments { relation: value(row, 0)?, trigger: value(row, 1)?, text })
        })
        .collect()
}

fn scan_arguments(all: &[Arguments], names: &Finder, growth: &mut Growth<'_>) {
    for arguments in all {
        if let Some(name) = names.first_in(&arguments.text) {
            growth.reach(
                (Kind::Relation, arguments.relation),
                format!("trigger {} on it has the argument {name}", arguments.trigger),
            );
        }
    }
}

/// Partitions and children of what is reached are reached, and so are their parents.
async fn follow_inheritance(
    reader: &Reader<'_>,
    frontier: &[Object],
    growth: &mut Growth<'_>,
) -> Result<(), LoadError> {
    let oids: Vec<u32> = of_kind(frontier, Kind::Relation);
    let rows = reader
        .rows(
            "partitions and children",
            RELATIONS_MAX,
            "SELECT i.inhrelid, i.inhparent, i.inhrelid::pg_catalog.regclass::pg_catalog.text, \
                    i.inhparent::pg_catalog.regclass::pg_catalog.text \
             FROM pg_catalog.pg_inherits i \
             JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
             WHERE (i.inhrelid = ANY ($1) OR i.inhparent = ANY ($1)) \
               AND c.relkind IN ('r','p','v','m','f') ORDER BY 1, 2",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let (child, parent): (u32, u32) = (value(row, 0)?, value(row, 1)?);
        let (child_name, parent_name): (&str, &str) = (value(row, 2)?, value(row, 3)?);
        // A classified root's own partitions lead back to it: that is not its fault.
        if oids.contains(&parent) && !growth.tables.contains_key(&child) {
            growth.reach((Kind::Relation, child), format!("it is a part or child of {parent_name}"));
        }
        if oids.contains(&child) && !growth.tables.contains_key(&parent) {
            growth.reach((Kind::Relation, parent), format!("{child_name} is a part or child of it"));
        }
    }
    Ok(())
}

/// Triggers on classified tables, or on their partitions, must not be able to store what
/// did not pass through here sealed.
async fn judge_triggers(
    reader: &Reader<'_>,
    bodies: &[Body],
    growth: &mut Growth<'_>,
) -> Result<(), LoadError> {
    let roots: Vec<u32> = growth.tables.keys().copied().collect();
    let rows = reader
        .rows(
            "triggers on classified tables",
            RELATIONS_MAX,
            "WITH RECURSIVE family AS ( \
                 SELECT c.oid AS root, c.oid AS member FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) \
                 UNION SELECT f.root, i.inhrelid FROM family f \
                 JOIN pg_catalog.pg_inherits i ON i.inhparent = f.member) \
             SELECT f.root, t.tgname::pg_catalog.text, t.tgfoid FROM family f \
             JOIN pg_catalog.pg_trigger t ON t.tgrelid = f.member \
             WHERE NOT t.tgisinternal ORDER BY t.oid",
            &[(&roots, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let (root, trigger, function): (u32, &str, u32) = (value(row, 0)?, value(row, 1)?, value(row, 2)?);
        let reaches = growth.reached.get(&(Kind::Function, function)).cloned();
        let Some(table) = growth.tables.get_mut(&root) else { continue };
        if let Some(why) = reaches {
            table.add_fault(format!("trigger {trigger}: {why}"));
            continue;
        }
        let Some(body) = bodies.iter().find(|body| body.oid == function) else { continue };
        let Some(source) = &body.source else { continue };
        let mut columns = Names::default();
        for column in table.classified_columns() {
            columns.add(&column.name);
        }
        if let Some(name) = columns.finder()?.first_in(source) {
            table.add_fault(format!("trigger {trigger}: function {} names column {name}", body.name));
        } else if body::replaces_row(source) {
            table.add_fault(format!("trigger {trigger}: function {} may replace the whole row", body.name));
        }
    }
    Ok(())
}

/// Names of freshly reached objects; the schema is empty where it says nothing.
async fn describe(
    reader: &Reader<'_>,
    frontier: &[Object],
) -> Result<Vec<(Object, QualifiedName)>, LoadError> {
    let mut described = Vec::with_capacity(frontier.len());
    for (kind, sql) in [
        (
            Kind::Relation,
            "SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1) ORDER BY 1",
        ),
        (
            Kind::Function,
            "SELECT p.oid, n.nspname::pg_catalog.text, p.proname::pg_catalog.text FROM pg_catalog.pg_proc p \
             JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = ANY ($1) ORDER BY 1",
        ),
        (
            Kind::Operator,
            "SELECT o.oid, n.nspname::pg_catalog.text, o.oprname::pg_catalog.text FROM pg_catalog.pg_operator o \
             JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = ANY ($1) ORDER BY 1",
        ),
        (
            Kind::Type,
            "SELECT t.oid, n.nspname::pg_catalog.text, t.typname::pg_catalog.text FROM pg_catalog.pg_type t \
             JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY ($1) ORDER BY 1",
        ),
    ] {
        let oids = of_kind(frontier, kind);
        if oids.is_empty() {
            continue;
        }
        let rows = reader.rows("reached objects", RELATIONS_MAX, sql, &[(&oids, Type::OID_ARRAY)]).await?;
        for row in &rows {
            described.push(((kind, value(row, 0)?), qualified(value(row, 1)?, value(row, 2)?)));
        }
    }
    Ok(described)
}

/// The OIDs of one kind, each once.
pub(super) fn of_kind(objects: &[Object], kind: Kind) -> Vec<u32> {
    let all: BTreeSet<u32> =
        objects.iter().filter(|object| object.0 == kind).map(|object| object.1).collect();
    all.into_iter().collect()
}
