//! A short text that changes with the catalog: asking for it is cheaper than loading, so
//! the catalog can be watched for changes that did not pass through here.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::load::{LoadError, value};
use crate::upstream::service::ServiceConnection;

/// For every catalog that a load reads: the number of rows, and the sum of hashes over
/// which row versions they are. Temporary relations stay out where they are many.
const WATERMARK: &str = "SELECT concat_ws(' ', \
    (SELECT count(*) || ':' || coalesce(sum(hashint8extended(c.oid::int8, c.xmin::text::int8)), 0) \
       FROM pg_catalog.pg_class c WHERE c.relpersistence <> 't'), \
    (SELECT count(*) || ':' || coalesce(sum(hashint8extended(a.attrelid::int8 * 65536 + a.attnum, \
            a.xmin::text::int8)), 0) \
       FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
      WHERE a.attrelid >= 16384 AND a.attnum > 0 AND c.relpersistence <> 't'), \
    (SELECT count(*) || ':' || coalesce(sum(hashint8extended(t.oid::int8, t.xmin::text::int8)), 0) \
       FROM pg_catalog.pg_type t WHERE t.typrelid = 0), \
    (SELECT string_agg(x.row_versions, ' ' ORDER BY x.number) FROM ( \
       SELECT x.number, count(*) || ':' || sum(hashint8extended(x.key::int8, x.version::text::int8)) AS row_versions FROM ( \
         SELECT 1 AS number, oid AS key, xmin AS version FROM pg_catalog.pg_proc \
         UNION ALL SELECT 2, oid, xmin FROM pg_catalog.pg_rewrite \
         UNION ALL SELECT 3, oid, xmin FROM pg_catalog.pg_trigger \
         UNION ALL SELECT 4, inhrelid, xmin FROM pg_catalog.pg_inherits \
         UNION ALL SELECT 5, oid, xmin FROM pg_catalog.pg_attrdef \
         UNION ALL SELECT 6, oid, xmin FROM pg_catalog.pg_constraint \
         UNION ALL SELECT 7, oid, xmin FROM pg_catalog.pg_policy \
         UNION ALL SELECT 8, oid, xmin FROM pg_catalog.pg_operator \
         UNION ALL SELECT 9, oid, xmin FROM pg_catalog.pg_cast \
         UNION ALL SELECT 10, oid, xmin FROM pg_catalog.pg_namespace \
         UNION ALL SELECT 11, oid, xmin FROM pg_catalog.pg_opclass \
         UNION ALL SELECT 12, oid, xmin FROM pg_catalog.pg_amproc \
         UNION ALL SELECT 13, oid, xmin FROM pg_catalog.pg_conversion \
         UNION ALL SELECT 14, oid, xmin FROM pg_catalog.pg_ts_template \
         UNION ALL SELECT 15, oid, xmin FROM pg_catalog.pg_ts_parser \
         UNION ALL SELECT 16, oid, xmin FROM pg_catalog.pg_extension \
         UNION ALL SELECT 17, oid, xmin FROM pg_catalog.pg_foreign_server \
         UNION ALL SELECT 18, oid, xmin FROM pg_catalog.pg_event_trigger \
         UNION ALL SELECT 20, oid, xmin FROM pg_catalog.pg_amop \
         UNION ALL SELECT 21, oid, xmin FROM pg_catalog.pg_am \
         UNION ALL SELECT 22, oid, xmin FROM pg_catalog.pg_enum \
         UNION ALL SELECT 19, d.objoid, d.xmin FROM pg_catalog.pg_description d \
          WHERE d.objoid >= 16384 AND d.description ~ 'keyring' \
       ) x GROUP BY x.number) x))";

/// The watermark of the catalog as it stands now.
///
/// # Errors
/// The server's.
pub(super) async fn whole(service: &ServiceConnection) -> Result<String, LoadError> {
    let rows = service.rows(WATERMARK, &[]).await?;
    rows.first().map_or_else(|| Err(LoadError::Unreadable("no watermark".to_owned())), |row| value(row, 0))
}

/// For every relation of one of these names: what it is, and which row versions describe its columns. A new file, as
/// TRUNCATE makes one, is the same relation.
const NEAR: &str = "SELECT coalesce(string_agg(concat_ws(':', c.oid, c.relname, c.relnamespace, c.relkind, \
        c.relowner, c.reltype, c.reloftype, c.relpersistence, c.relchecks, c.relhasrules, c.relhastriggers, \
        c.relhassubclass, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, \
        c.relacl, c.reloptions, \
        (SELECT concat_ws('/', count(*), sum(a.attnum::int8 * 4294967296 + a.xmin::text::int8)) \
           FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)), ' ' ORDER BY c.oid), '') \
    FROM pg_catalog.pg_class c WHERE c.relname = ANY ($1::pg_catalog.name[]) AND c.relpersistence <> 't'";

/// The watermark of the relations of these names alone, and of their columns.
///
/// # Errors
/// The server's.
pub(super) async fn near(service: &ServiceConnection, tables: &[&str]) -> Result<String, LoadError> {
    let rows = service.rows(NEAR, &[(&tables, Type::TEXT_ARRAY)]).await?;
    rows.first().map_or_else(|| Err(LoadError::Unreadable("no watermark".to_owned())), |row| value(row, 0))
}

/// Processes that hold, or wait for, the lock by which columns of a relation are changed, and it comes to
/// be (chapter 13.3.1: ACCESS EXCLUSIVE); first those who have it on a table of one of these names. What
/// is not committed has no name here.
const CHANGING: &str = "SELECT l.pid, coalesce(bool_or(c.relname = ANY ($1::pg_catalog.name[])), false) \
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation \
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid IS NOT NULL \
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) \
    GROUP BY l.pid ORDER BY 2 DESC LIMIT 1000";

/// Who is changing relations at this moment, by processes.
#[derive(Clone, Debug, Default)]
pub struct Changers {
    /// A table of the policy.
    pub of_policy: Arc<[i32]>,
    /// Any.
    pub any: Arc<[i32]>,
}

/// Who is changing a table of one of these names at this moment, or any.
///
/// # Errors
/// The server's.
pub(super) async fn changing(service: &ServiceConnection, tables: &[&str]) -> Result<Changers, LoadError> {
    let rows = service.rows(CHANGING, &[(&tables, Type::TEXT_ARRAY)]).await?;
    let all = rows.iter().map(|row| Ok((value::<i32>(row, 0)?, value::<bool>(row, 1)?)));
    let all = all.collect::<Result<Vec<_>, LoadError>>()?;
    let of_policy = all.iter().filter(|(_, named)| *named).map(|(process, _)| *process).collect();
    Ok(Changers { of_policy, any: all.iter().map(|(process, _)| *process).collect() })
}
