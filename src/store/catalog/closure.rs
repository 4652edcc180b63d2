//! What leads to certain objects without naming them: the transitive closure over `pg_depend`,
//! inheritance, foreign keys that act, trigger arguments and the text of functions.
//!
//! It works in rounds. Each takes what the last one reached, asks the server what depends
//! on that, looks for its names in function bodies, and ends when nothing is new. It is asked
//! several questions, each with objects of its own to begin from (`leads`).

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use super::body::{Finder, Names};
use super::classified::qualified;
use super::dependents;
use super::load::{LoadError, RELATIONS_MAX, Reader, value};
use super::sources::Sources;
use crate::catalog::QualifiedName;

/// Longer chains of views over functions over views do not exist by accident.
const ROUNDS_MAX: usize = 64;

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

/// How a relation must be used to lead there. Any other object leads there however it is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Use {
    /// When its rows are written: by triggers, defaults, checks.
    Written,
    /// Whenever it is named.
    Any,
}

/// Where a closure begins.
#[derive(Default)]
pub(super) struct Seeds {
    /// Tables, by the columns that count; what leads to other columns of them leads nowhere.
    pub(super) tables: BTreeMap<u32, Table>,
    /// Anything else, with the reason why it counts.
    pub(super) objects: Vec<(Object, Use, String)>,
    /// What does not count, whatever leads to it.
    pub(super) never: BTreeSet<Object>,
    /// Names that count in the text of functions beside those of what is reached.
    pub(super) names: BTreeSet<String>,
    /// Functions of which the body names those tables harmlessly. Any other name in it counts.
    pub(super) copying: BTreeSet<u32>,
    /// Do the bodies of functions count, and the arguments of triggers?
    pub(super) in_bodies: bool,
    /// Do foreign keys count that carry a change of one table on to another?
    pub(super) by_actions: bool,
    /// Does a change through a view count, whichever columns it shows? The server quotes whole
    /// rows when it refuses one.
    pub(super) by_rows: bool,
    /// Tables of which a new row has something put into a column that counts: a new row through a view counts,
    /// whichever columns it shows.
    pub(super) fills: BTreeSet<u32>,
}

/// A table of which some columns count.
pub(super) struct Table {
    pub(super) name: QualifiedName,
    /// `attnum` of each.
    pub(super) numbers: BTreeSet<i16>,
    /// `pg_class.reltype`, 0 if it has none.
    pub(super) row_type: u32,
}

/// Something that leads there, and why.
pub(super) struct Lead {
    pub(super) name: QualifiedName,
    pub(super) using: Use,
    pub(super) why: String,
}

/// What a closure found.
#[derive(Default)]
pub(super) struct Reached {
    /// Without the tables that it began from.
    pub(super) objects: BTreeMap<Object, Lead>,
    /// What leads back to one of those, by its OID.
    pub(super) returns: Vec<(u32, String)>,
    /// Of those, the tables with a column that is generated from one that counts.
    pub(super) generated: Vec<(u32, String)>,
    /// Tables of which an index or a partition key leads there: conditions on them do, too.
    pub(super) indexed: BTreeSet<u32>,
}

impl Reached {
    pub(super) fn has(&self, object: Object) -> bool {
        self.objects.contains_key(&object)
    }

    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (u32, &Lead)> {
        self.objects.iter().filter(move |(object, _)| object.0 == kind).map(|(object, lead)| (object.1, lead))
    }
}

/// The closure while it grows.
pub(super) struct Growth {
    pub(super) tables: BTreeMap<u32, Table>,
    pub(super) by_rows: bool,
    pub(super) fills: BTreeSet<u32>,
    never: BTreeSet<Object>,
    reached: BTreeMap<Object, (Use, String)>,
    returns: Vec<(u32, String)>,
    pub(super) generated: Vec<(u32, String)>,
    pub(super) indexed: BTreeSet<u32>,
    /// Names of what was reached in earlier rounds.
    described: BTreeMap<Object, QualifiedName>,
    /// Reached, and not yet followed.
    fresh: BTreeSet<Object>,
}

impl Growth {
    /// Adds an object, or a use of one.
    pub(super) fn reach(&mut self, object: Object, using: Use, why: String) {
        if object.0 == Kind::Relation && self.tables.contains_key(&object.1) {
            self.returns.push((object.1, why));
            return;
        }
        let known = self.reached.get(&object);
        if !self.never.contains(&object) && known.is_none_or(|known| known.0 < using) {
            self.reached.insert(object, (using, why));
            self.fresh.insert(object);
        }
    }

    /// How a relation that was reached must be used to lead there.
    pub(super) fn used(&self, object: Object) -> Use {
        self.reached.get(&object).map_or(Use::Any, |known| known.0)
    }

    fn has(&self, object: Object) -> bool {
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
            (_, Some(name)) => format!("{word} {name}"),
            (_, None) => format!("a {word}"),
        }
    }
}

/// Follows everything from where it begins.
pub(super) async fn follow(
    reader: &Reader<'_>,
    sources: &Sources,
    seeds: Seeds,
) -> Result<Reached, LoadError> {
    let mut growth = Growth {
        tables: seeds.tables,
        by_rows: seeds.by_rows,
        fills: seeds.fills,
        never: seeds.never,
        reached: BTreeMap::new(),
        returns: Vec::new(),
        generated: Vec::new(),
        indexed: BTreeSet::new(),
        described: BTreeMap::new(),
        fresh: BTreeSet::new(),
    };
    let mut names = Names::default();
    for name in &seeds.names {
        names.add(name);
    }
    for (object, using, why) in seeds.objects {
        growth.reach(object, using, why);
    }
    // The first round follows the tables themselves, and their row types.
    let mut frontier: Vec<Object> = growth.tables.keys().map(|oid| (Kind::Relation, *oid)).collect();
    for table in growth.tables.values() {
        if table.row_type != 0 {
            frontier.push((Kind::Type, table.row_type));
        }
    }
    let none = BTreeSet::new();
    for round in 0..ROUNDS_MAX {
        if round > 0 || frontier.is_empty() {
            frontier = std::mem::take(&mut growth.fresh).into_iter().collect();
            if frontier.is_empty() {
                return Ok(finish(growth));
            }
            for (object, name) in describe(reader, &frontier).await? {
                names.add(&name.name);
                growth.described.insert(object, name);
            }
        }
        if seeds.in_bodies {
            let finder = std::mem::take(&mut names).finder()?;
            // The first round looks for the names that it began with.
            let copying = if round == 0 { &seeds.copying } else { &none };
            scan_bodies(sources, &finder, copying, &mut growth);
            scan_arguments(sources, &finder, &mut growth);
        }
        dependents::follow(reader, &frontier, &mut growth).await?;
        follow_inheritance(reader, &frontier, &mut growth).await?;
        if seeds.by_actions {
            follow_actions(reader, &frontier, &mut growth).await?;
        }
    }
    Err(LoadError::TooLarge { what: "steps from a classified table", max: ROUNDS_MAX })
}

fn finish(mut growth: Growth) -> Reached {
    let (returns, generated) = (std::mem::take(&mut growth.returns), std::mem::take(&mut growth.generated));
    let indexed = std::mem::take(&mut growth.indexed);
    let mut reached = Reached { returns, generated, indexed, ..Reached::default() };
    for (object, (using, why)) in growth.reached {
        // What is gone meanwhile has no name any more.
        let Some(name) = growth.described.remove(&object) else { continue };
        reached.objects.insert(object, Lead { name, using, why });
    }
    reached
}

fn scan_bodies(sources: &Sources, names: &Finder, copying: &BTreeSet<u32>, growth: &mut Growth) {
    for body in &sources.bodies {
        let object = (Kind::Function, body.oid);
        if growth.has(object) || copying.contains(&body.oid) {
            continue;
        }
        if let Some(name) = body.source.as_ref().and_then(|source| names.first_in(source)) {
            growth.reach(object, Use::Any, format!("the body of function {} names {name}", body.name));
        }
    }
}

fn scan_arguments(sources: &Sources, names: &Finder, growth: &mut Growth) {
    for arguments in &sources.arguments {
        if let Some(name) = names.first_in(&arguments.text) {
            let why = format!("trigger {} on it has the argument {name}", arguments.trigger);
            growth.reach((Kind::Relation, arguments.relation), Use::Written, why);
        }
    }
}

/// Partitions and children of what is reached are reached, and so are their parents.
async fn follow_inheritance(
    reader: &Reader<'_>,
    frontier: &[Object],
    growth: &mut Growth,
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
            let using = growth.used((Kind::Relation, parent));
            growth.reach((Kind::Relation, child), using, format!("it is a part or child of {parent_name}"));
        }
        if oids.contains(&child) && !growth.tables.contains_key(&parent) {
            let using = growth.used((Kind::Relation, child));
            growth.reach((Kind::Relation, parent), using, format!("{child_name} is a part or child of it"));
        }
    }
    Ok(())
}

/// Changes of a table are carried on to those whose foreign keys say so.
async fn follow_actions(
    reader: &Reader<'_>,
    frontier: &[Object],
    growth: &mut Growth,
) -> Result<(), LoadError> {
    let oids: Vec<u32> = of_kind(frontier, Kind::Relation);
    let rows = reader
        .rows(
            "foreign keys that act",
            RELATIONS_MAX,
            "SELECT con.confrelid, con.conname::pg_catalog.text FROM pg_catalog.pg_constraint con \
             WHERE con.contype = 'f' AND con.conrelid = ANY ($1) \
               AND (con.confupdtype IN ('c','n','d') OR con.confdeltype IN ('c','n','d')) ORDER BY con.oid",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let (referenced, name): (u32, &str) = (value(row, 0)?, value(row, 1)?);
        if !growth.tables.contains_key(&referenced) {
            let why = format!("foreign key {name} carries its changes on");
            growth.reach((Kind::Relation, referenced), Use::Written, why);
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
