//! Which functions of triggers only copy rows, so that what they name leads nowhere: neither to values that
//! the gate did not see, nor from sealed columns to others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::body::Names;
use super::classified::{Classified, qualified};
use super::load::{LoadError, RELATIONS_MAX, Reader, SOURCE_BYTES_MAX, value};
use super::sources::Sources;
use crate::catalog::stock::Stock;
use crate::catalog::{Codes, Field, QualifiedName, Relation, RelationKind, Snapshot, SnapshotParts};
use crate::statement::followed_trigger;

/// The functions, by `pg_proc.oid`, of which every trigger only copies.
pub(super) async fn followed(
    reader: &Reader<'_>,
    sources: &Sources,
    fields: &[Field],
    tables: &BTreeMap<u32, Classified>,
    stock: Option<&'static Stock>,
) -> Result<BTreeSet<u32>, LoadError> {
    let mut names = Names::default();
    for table in tables.values() {
        names.add(&table.name.name);
        table.columns_of(true).for_each(|column| names.add(&column.name));
    }
    let finder = names.finder()?;
    let names_any = |source: &String| finder.first_in(source).is_some();
    let bodies = sources.bodies.iter().filter(|body| body.language == "plpgsql");
    let candidates: Vec<u32> =
        bodies.filter(|body| body.source.as_ref().is_some_and(names_any)).map(|body| body.oid).collect();
    if candidates.is_empty() {
        return Ok(BTreeSet::new());
    }
    let snapshot = snapshot(fields, tables, stock);
    let sql = format!(
        "SELECT p.oid, p.prosrc, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
                t.tgnargs = 0 AND NOT c.relispartition AND t.tgoldtable IS NULL AND t.tgnewtable IS NULL \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_trigger t ON t.tgfoid = p.oid AND t.tgparentid = 0 \
         JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE p.oid = ANY ($1) AND octet_length(p.prosrc) <= {SOURCE_BYTES_MAX} ORDER BY p.oid, t.oid"
    );
    let rows =
        reader.rows("functions of triggers", RELATIONS_MAX, &sql, &[(&candidates, Type::OID_ARRAY)]).await?;
    let acting = acting(reader, tables).await?;
    let mut all: BTreeMap<u32, bool> = BTreeMap::new();
    for row in &rows {
        let table: QualifiedName = qualified(value(row, 2)?, value(row, 3)?);
        let body: &str = value(row, 1)?;
        let simple: bool = value(row, 4)?;
        // What a policy's table does by itself with what is copied there, nobody has followed here.
        let quiet = |used: Vec<Arc<str>>| used.iter().all(|name| !acting.contains(&**name));
        let followed = simple && followed_trigger(body, &table, &snapshot).is_ok_and(quiet);
        *all.entry(value(row, 0)?).or_insert(true) &= followed;
    }
    Ok(all.into_iter().filter(|(_, followed)| *followed).map(|(oid, _)| oid).collect())
}

/// The bare names of the policy's tables that have triggers, rules, or children.
async fn acting(
    reader: &Reader<'_>,
    tables: &BTreeMap<u32, Classified>,
) -> Result<BTreeSet<String>, LoadError> {
    let oids: Vec<u32> = tables.keys().copied().collect();
    let sql = "SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) AND ( \
            EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) \
            OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid) \
            OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid)) \
        ORDER BY 1";
    let rows = reader.rows("tables that act", RELATIONS_MAX, sql, &[(&oids, Type::OID_ARRAY)]).await?;
    rows.iter().map(|row| value::<&str>(row, 0).map(str::to_owned)).collect()
}

/// The tables of the policy, and nothing that leads to them.
fn snapshot(fields: &[Field], tables: &BTreeMap<u32, Classified>, stock: Option<&'static Stock>) -> Snapshot {
    let relation = |(oid, table): (&u32, &Classified)| Relation {
        name: table.name.clone(),
        oid: *oid,
        kind: RelationKind::Table,
        columns: table.columns.clone(),
        attributes: 0,
        keys: table.keys.clone(),
        behind: Vec::new(),
        reaches: None,
        fault: table.fault(),
        refused: table.refused(),
    };
    Snapshot::new(SnapshotParts {
        fields: fields.to_vec(),
        relations: tables.iter().map(relation).collect(),
        codes: Codes { stock, ..Codes::default() },
        ..SnapshotParts::default()
    })
}
