//! One step along `pg_depend`: which objects use those just reached, and what that means
//! for the relation, function, operator or type behind them.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::closure::{Growth, Kind, Object, Use, of_kind};
use super::load::{DEPENDENTS_MAX, LoadError, Reader, value};

/// OIDs of the system catalogs themselves: fixed in PostgreSQL's headers.
const PG_TYPE: u32 = 1247;
const PG_PROC: u32 = 1255;
const PG_CLASS: u32 = 1259;
const PG_ATTRDEF: u32 = 2604;
const PG_CAST: u32 = 2605;
const PG_CONSTRAINT: u32 = 2606;
const PG_OPERATOR: u32 = 2617;
const PG_REWRITE: u32 = 2618;
const PG_TRIGGER: u32 = 2620;
const PG_POLICY: u32 = 3256;

/// First OID that is not PostgreSQL's own.
const FIRST_NORMAL_OID: u32 = 16_384;

/// One row of `pg_depend`, with what is depended upon in our own terms.
struct Dependence {
    class: u32,
    object: u32,
    on: Object,
    /// `attnum` of the column depended upon, 0 for the whole object.
    on_column: i16,
}

/// Follows everything in `frontier` by one step.
pub(super) async fn follow(
    reader: &Reader<'_>,
    frontier: &[Object],
    growth: &mut Growth,
) -> Result<(), LoadError> {
    indexes(reader, frontier, growth).await?;
    let all = read(reader, frontier).await?;
    let mut by_class: BTreeMap<u32, Vec<&Dependence>> = BTreeMap::new();
    for dependence in &all {
        by_class.entry(dependence.class).or_default().push(dependence);
    }
    for (class, dependences) in by_class {
        let oids: Vec<u32> = dependences.iter().map(|dependence| dependence.object).collect();
        let Some(sql) = details(class) else {
            plain(class, &dependences, growth);
            continue;
        };
        let rows = reader.rows("dependents", DEPENDENTS_MAX, sql, &[(&oids, Type::OID_ARRAY)]).await?;
        let mut by_oid: BTreeMap<u32, &Row> = BTreeMap::new();
        for row in &rows {
            by_oid.insert(value(row, 0)?, row);
        }
        for dependence in dependences {
            let Some(row) = by_oid.get(&dependence.object) else { continue };
            match class {
                PG_REWRITE => rule(dependence, row, growth)?,
                PG_POLICY => policy(dependence, row, growth)?,
                PG_CONSTRAINT => constraint(dependence, row, growth)?,
                PG_CAST => cast(row, growth)?,
                PG_ATTRDEF => default(dependence, row, growth)?,
                PG_CLASS => relation(dependence, row, growth)?,
                _ => trigger(dependence, row, growth)?,
            }
        }
    }
    Ok(())
}

async fn read(reader: &Reader<'_>, frontier: &[Object]) -> Result<Vec<Dependence>, LoadError> {
    let mut all = Vec::new();
    for (kind, class) in [
        (Kind::Relation, PG_CLASS),
        (Kind::Function, PG_PROC),
        (Kind::Operator, PG_OPERATOR),
        (Kind::Type, PG_TYPE),
    ] {
        let oids = of_kind(frontier, kind);
        if oids.is_empty() {
            continue;
        }
        let rows = reader
            .rows(
                "dependents",
                DEPENDENTS_MAX,
                "SELECT d.classid, d.objid, d.refobjid, d.refobjsubid::pg_catalog.int2 \
                 FROM pg_catalog.pg_depend d \
                 WHERE d.refclassid = $1 AND d.refobjid = ANY ($2) AND d.deptype <> 'e' \
                 ORDER BY 1, 2, 3, 4",
                &[(&class, Type::OID), (&oids, Type::OID_ARRAY)],
            )
            .await?;
        for row in &rows {
            all.push(Dependence {
                class: value(row, 0)?,
                object: value(row, 1)?,
                on: (kind, value(row, 2)?),
                on_column: value(row, 3)?,
            });
        }
    }
    Ok(all)
}

/// Tables with an index or a partition key that is kept by a function or an operator of the frontier: of
/// an operator family, or behind the access method. `pg_depend` has it by the family, which leads to
/// everything. Indexes of types that are not the server's own are left to their columns.
const INDEXES: &str = "SELECT DISTINCT f.kind, f.oid, k.relation, k.name FROM ( \
      SELECT i.indrelid, i.indexrelid::pg_catalog.regclass::pg_catalog.text, pg_catalog.unnest(i.indclass::pg_catalog.oid[]) \
        FROM pg_catalog.pg_index i \
      UNION ALL SELECT p.partrelid, p.partrelid::pg_catalog.regclass::pg_catalog.text, \
             pg_catalog.unnest(p.partclass::pg_catalog.oid[]) FROM pg_catalog.pg_partitioned_table p \
    ) k (relation, name, class) JOIN pg_catalog.pg_opclass o ON o.oid = k.class AND o.opcintype < $3 JOIN ( \
      SELECT a.amprocfamily, false, a.amproc::pg_catalog.oid FROM pg_catalog.pg_amproc a WHERE a.amproc::pg_catalog.oid = ANY ($1) \
      UNION ALL SELECT c.opcfamily, false, m.amhandler::pg_catalog.oid FROM pg_catalog.pg_am m \
             JOIN pg_catalog.pg_opclass c ON c.opcmethod = m.oid WHERE m.amhandler::pg_catalog.oid = ANY ($1) \
      UNION ALL SELECT a.amopfamily, true, a.amopopr FROM pg_catalog.pg_amop a WHERE a.amopopr = ANY ($2) \
    ) f (family, kind, oid) ON f.family = o.opcfamily \
    WHERE f.oid >= $3 ORDER BY 1, 2, 3, 4";

async fn indexes(reader: &Reader<'_>, frontier: &[Object], growth: &mut Growth) -> Result<(), LoadError> {
    let (functions, operators) = (of_kind(frontier, Kind::Function), of_kind(frontier, Kind::Operator));
    if functions.is_empty() && operators.is_empty() {
        return Ok(());
    }
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&functions, Type::OID_ARRAY), (&operators, Type::OID_ARRAY), (&FIRST_NORMAL_OID, Type::OID)];
    for row in &reader.rows("indexes", DEPENDENTS_MAX, INDEXES, &parameters).await? {
        let kind = if value(row, 0)? { Kind::Operator } else { Kind::Function };
        let (relation, name): (u32, &str) = (value(row, 2)?, value(row, 3)?);
        let why = format!("{name} is kept by {}", growth.noun((kind, value(row, 1)?)));
        growth.indexed.insert(relation);
        growth.reach((Kind::Relation, relation), Use::Any, why);
    }
    Ok(())
}

/// What must be known of a dependent of this class, its OID first.
/// `:varattno 0 ` in a stored tree is a reference to a whole row, which `pg_depend` does
/// not tell from one to the table's other columns.
fn details(class: u32) -> Option<&'static str> {
    Some(match class {
        PG_REWRITE => {
            "SELECT r.oid, r.ev_class, r.rulename::pg_catalog.text, r.ev_type = '1', \
                    r.ev_action::pg_catalog.text LIKE '%:varattno 0 %' \
             FROM pg_catalog.pg_rewrite r WHERE r.oid = ANY ($1) ORDER BY 1"
        }
        PG_POLICY => {
            "SELECT p.oid, p.polrelid, p.polname::pg_catalog.text, \
                    coalesce(p.polqual::pg_catalog.text, '') || coalesce(p.polwithcheck::pg_catalog.text, '') \
                        LIKE '%:varattno 0 %' \
             FROM pg_catalog.pg_policy p WHERE p.oid = ANY ($1) ORDER BY 1"
        }
        PG_CONSTRAINT => {
            "SELECT c.oid, c.conrelid, c.contypid, c.conname::pg_catalog.text \
             FROM pg_catalog.pg_constraint c WHERE c.oid = ANY ($1) AND c.contype IN ('c', 'x') ORDER BY 1"
        }
        PG_CAST => {
            "SELECT c.oid, c.castsource, c.casttarget FROM pg_catalog.pg_cast c \
             WHERE c.oid = ANY ($1) ORDER BY 1"
        }
        PG_ATTRDEF => {
            "SELECT d.oid, d.adrelid, a.attname::pg_catalog.text, a.attnum, a.attgenerated = 'v' \
             FROM pg_catalog.pg_attrdef d \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
             WHERE d.oid = ANY ($1) ORDER BY 1"
        }
        PG_CLASS => {
            "SELECT c.oid, coalesce(i.indrelid, c.oid), c.relname::pg_catalog.text, c.relkind::pg_catalog.text \
             FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
             WHERE c.oid = ANY ($1) ORDER BY 1"
        }
        PG_TRIGGER => {
            "SELECT t.oid, t.tgrelid, t.tgname::pg_catalog.text FROM pg_catalog.pg_trigger t \
             WHERE t.oid = ANY ($1) AND NOT t.tgisinternal ORDER BY 1"
        }
        _ => return None,
    })
}

/// Functions, operators and types are reached by depending on anything that is.
fn plain(class: u32, dependences: &[&Dependence], growth: &mut Growth) {
    let (kind, word) = match class {
        PG_PROC => (Kind::Function, "function"),
        PG_OPERATOR => (Kind::Operator, "operator"),
        PG_TYPE => (Kind::Type, "type"),
        _ => return,
    };
    for dependence in dependences {
        // A table's row type, and the array of it, are no way to the table.
        if kind == Kind::Type && dependence.on.0 == Kind::Relation {
            continue;
        }
        growth.reach(
            (kind, dependence.object),
            Use::Any,
            format!("the {word} uses {}", growth.noun(dependence.on)),
        );
    }
}

fn rule(dependence: &Dependence, row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    let (relation, name): (u32, &str) = (value(row, 1)?, value(row, 2)?);
    let (selects, whole_row): (bool, bool) = (value(row, 3)?, value(row, 4)?);
    let own = dependence.on == (Kind::Relation, relation);
    if own || growth.tables.contains_key(&relation) {
        return Ok(());
    }
    let noun = growth.noun(dependence.on);
    if selects && !uses_classified(dependence, whole_row, growth) {
        if growth.by_rows {
            let why = format!("it is a view over {noun}, whose rows the server quotes in errors");
            growth.reach((Kind::Relation, relation), Use::Written, why);
        } else if dependence.on.0 == Kind::Relation && growth.fills.contains(&dependence.on.1) {
            let why =
                format!("it is a view over {noun}, which puts an unsealed default into a sealed column");
            growth.reach((Kind::Relation, relation), Use::Written, why);
        }
        return Ok(());
    }
    let why =
        if selects { format!("it is a view over {noun}") } else { format!("rule {name} on it uses {noun}") };
    let using = if selects { growth.used(dependence.on) } else { Use::Written };
    growth.reach((Kind::Relation, relation), using, why);
    Ok(())
}

/// A classified table is used by its classified columns or as a whole row; anything else
/// that is reached, by any use.
fn uses_classified(dependence: &Dependence, whole_row: bool, growth: &Growth) -> bool {
    match (dependence.on.0, growth.tables.get(&dependence.on.1)) {
        (Kind::Relation, Some(table)) => whole_row || table.numbers.contains(&dependence.on_column),
        (Kind::Relation | Kind::Function | Kind::Operator | Kind::Type, _) => true,
    }
}

/// A policy on a classified table itself only hides rows of it.
fn policy(dependence: &Dependence, row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    let (relation, name, whole_row): (u32, &str, bool) = (value(row, 1)?, value(row, 2)?, value(row, 3)?);
    let own = dependence.on == (Kind::Relation, relation) || growth.tables.contains_key(&relation);
    if !own && uses_classified(dependence, whole_row, growth) {
        let why = format!("row security policy {name} on it uses {}", growth.noun(dependence.on));
        growth.reach((Kind::Relation, relation), Use::Any, why);
    }
    Ok(())
}

fn constraint(dependence: &Dependence, row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    let (relation, domain, name): (u32, u32, &str) = (value(row, 1)?, value(row, 2)?, value(row, 3)?);
    if dependence.on.0 == Kind::Relation {
        return Ok(());
    }
    let noun = growth.noun(dependence.on);
    if domain != 0 {
        if dependence.on != (Kind::Type, domain) {
            growth.reach((Kind::Type, domain), Use::Any, format!("check {name} of the domain uses {noun}"));
        }
    } else if relation != 0 {
        let why = format!("constraint {name} on it uses {noun}");
        growth.reach((Kind::Relation, relation), Use::Written, why);
    }
    Ok(())
}

/// A cast may be applied where nothing names it: both of its types count.
fn cast(row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    for index in [1, 2] {
        let side: u32 = value(row, index)?;
        let row_type = growth.tables.values().any(|table| table.row_type == side);
        if side >= FIRST_NORMAL_OID && !row_type {
            let why = "a cast of the type is made by such a function".to_owned();
            growth.reach((Kind::Type, side), Use::Any, why);
        }
    }
    Ok(())
}

/// A default or generation expression: on what it calls, or, for a classified table, on a
/// classified column.
fn default(dependence: &Dependence, row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    let (relation, column, number): (u32, &str, i16) = (value(row, 1)?, value(row, 2)?, value(row, 3)?);
    if dependence.on.0 != Kind::Relation {
        let why = format!("the expression of column {column} uses {}", growth.noun(dependence.on));
        let using = if value(row, 4)? { Use::Any } else { Use::Written };
        growth.reach((Kind::Relation, relation), using, why);
    } else if dependence.on.1 == relation
        && number != dependence.on_column
        && growth.tables.get(&relation).is_some_and(|table| table.numbers.contains(&dependence.on_column))
    {
        let why = format!("column {column} is generated from a classified column");
        growth.generated.push((relation, why));
    }
    Ok(())
}

/// An index with an expression, or a table with a column of a reached type.
fn relation(dependence: &Dependence, row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    let (relation, name, kind): (u32, &str, &str) = (value(row, 1)?, value(row, 2)?, value(row, 3)?);
    let itself = dependence.on == (Kind::Relation, relation);
    if itself || dependence.on.0 == Kind::Relation || kind == "c" {
        return Ok(());
    }
    if kind == "v" || kind == "m" {
        // What a view selects is judged by its rule; a column's type alone is no lead.
        return Ok(());
    }
    let using = if matches!(kind, "i" | "I") { Use::Written } else { Use::Any };
    growth.reach((Kind::Relation, relation), using, format!("{name} uses {}", growth.noun(dependence.on)));
    Ok(())
}

fn trigger(dependence: &Dependence, row: &Row, growth: &mut Growth) -> Result<(), LoadError> {
    let (relation, name): (u32, &str) = (value(row, 1)?, value(row, 2)?);
    // Those on classified tables are judged at the end, with their function's text.
    if dependence.on.0 == Kind::Function && !growth.tables.contains_key(&relation) {
        growth.reach(
            (Kind::Relation, relation),
            Use::Written,
            format!("trigger {name} on it calls {}", growth.noun(dependence.on)),
        );
    }
    Ok(())
}
