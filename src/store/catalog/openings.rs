//! Functions in PL/pgSQL over sealed columns that open one cursor for one query and return its name: what fetches
//! from it is judged by that query. Of any other it is said why it is not.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::load::{FUNCTIONS_MAX, LoadError, Reader, SOURCE_BYTES_MAX, value};
use crate::catalog::SnapshotParts;
use crate::statement::followed_opening;

/// Finds those among the functions that lead to sealed columns.
pub(super) async fn follow(reader: &Reader<'_>, parts: &mut SnapshotParts) -> Result<(), LoadError> {
    let called = parts.functions.iter().filter(|(_, all)| all.iter().any(|one| one.called));
    let names: Vec<&str> = called.map(|(name, _)| &**name).collect();
    if names.is_empty() {
        return Ok(());
    }
    // Each call runs it, in the session's own process: one that is not volatile may have run when it was planned,
    // one that is strict not at all, and one that is safe in a worker elsewhere.
    let sql = format!(
        "SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text, p.prosrc, \
                p.proargtypes::pg_catalog.oid[], p.proargnames \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
         WHERE p.proname = ANY ($1::pg_catalog.name[]) AND l.lanname = 'plpgsql' AND l.oid < 16384 AND p.prokind = 'f' \
           AND p.prorettype = 'pg_catalog.refcursor'::pg_catalog.regtype AND NOT p.proretset AND NOT p.proisstrict \
           AND p.provolatile = 'v' AND p.proparallel = 'u' AND p.proallargtypes IS NULL AND p.proargmodes IS NULL \
           AND p.provariadic = 0 AND p.pronargdefaults = 0 AND p.prosupport = 0 \
           AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) s (setting) WHERE s.setting NOT LIKE 'search\\_path=%') \
           AND octet_length(p.prosrc) <= {SOURCE_BYTES_MAX} \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.proname = p.proname AND o.oid <> p.oid) \
         ORDER BY p.oid"
    );
    let rows = reader
        .rows("functions that open cursors", FUNCTIONS_MAX, &sql, &[(&names, Type::TEXT_ARRAY)])
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let snapshot = parts.so_far(parts.codes.clone());
    let mut openings = HashMap::new();
    for row in &rows {
        let (schema, name, body): (&str, &str, &str) = (value(row, 0)?, value(row, 1)?, value(row, 2)?);
        let (types, names): (Vec<u32>, Option<Vec<&str>>) = (value(row, 3)?, value(row, 4)?);
        let named = |at: usize| {
            let name = names.as_ref().and_then(|names| names.get(at)).filter(|name| !name.is_empty());
            name.map(|name| Arc::from(*name))
        };
        let arguments = types.into_iter().enumerate().map(|(at, of)| (named(at), of)).collect();
        match followed_opening(schema, name, arguments, body, &snapshot) {
            Ok(opening) => drop(openings.insert(opening.name.clone(), opening)),
            Err(unproven) => {
                let all = parts.functions.get_mut(name).into_iter().flatten();
                for one in all.filter(|one| *one.schema == *schema && one.called) {
                    one.why = format!("{}; its cursor is not followed: {}", one.why, unproven.detail).into();
                }
            }
        }
    }
    parts.openings = openings;
    Ok(())
}
