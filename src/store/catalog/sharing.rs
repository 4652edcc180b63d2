//! Relations of which nothing is classified and that have columns of the same names as classified ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::load::{LoadError, Reader, value};
use crate::catalog::{Shared, Sharing, SnapshotParts};

/// Columns of such names; where there are more, nobody knows which relations have them.
const SHARED_MAX: usize = 50_000;

/// Reads them, once it is known what is classified.
pub(super) async fn read(reader: &Reader<'_>, parts: &SnapshotParts) -> Result<Sharing, LoadError> {
    let fields = parts.fields.iter().chain(parts.patterns.iter().map(|entry| &entry.field));
    let of_policy = fields.map(|field| field.column.clone());
    let classified = || parts.relations.iter().filter(|relation| relation.is_classified());
    let passed = classified().flat_map(|relation| &relation.columns).filter(|column| column.field.is_some());
    let columns: BTreeSet<Arc<str>> = of_policy.chain(passed.map(|column| column.name.clone())).collect();
    let names: Vec<&str> = columns.iter().map(|name| &**name).collect();
    let own: Vec<u32> = classified().map(|relation| relation.oid).collect();
    let rows = reader
        .some_rows(
            SHARED_MAX,
            "SELECT c.relname::pg_catalog.text, n.nspname::pg_catalog.text, a.attname::pg_catalog.text \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE a.attname = ANY ($1::pg_catalog.name[]) AND a.attnum > 0 AND NOT a.attisdropped \
               AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't' AND c.oid <> ALL ($2)",
            &[(&names, Type::TEXT_ARRAY), (&own, Type::OID_ARRAY)],
        )
        .await?;
    let Some(rows) = rows else { return Ok(Sharing { columns, relations: None }) };
    let mut relations = Shared::new();
    for row in &rows {
        let (relation, schema, column): (&str, &str, &str) = (value(row, 0)?, value(row, 1)?, value(row, 2)?);
        relations.entry(relation.into()).or_default().insert((schema.into(), column.into()));
    }
    Ok(Sharing { columns, relations: Some(relations) })
}
