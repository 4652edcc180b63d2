//! Functions in SQL over sealed columns that only pass them on: each is used like a view with arguments.
//! Of any other it is said why it is not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::load::{COLUMNS_MAX, FUNCTIONS_MAX, LoadError, Reader, SOURCE_BYTES_MAX, value};
use crate::catalog::SnapshotParts;
use crate::statement::{Signature, followed_function};

/// `pg_type.oid` of `record`.
const RECORD: u32 = 2249;

/// Finds those among the functions that lead to sealed columns.
pub(super) async fn follow(reader: &Reader<'_>, parts: &mut SnapshotParts) -> Result<(), LoadError> {
    let called = parts.functions.iter().filter(|(_, all)| all.iter().any(|one| one.called));
    let names: Vec<&str> = called.map(|(name, _)| &**name).collect();
    if names.is_empty() {
        return Ok(());
    }
    // Of a name that several functions have, the types of what they are given decide.
    let sql = format!(
        "SELECT p.prorettype, n.nspname::pg_catalog.text, p.proname::pg_catalog.text, \
                coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc), \
                p.proargtypes::pg_catalog.oid[], p.proallargtypes, p.proargmodes::pg_catalog.text[], \
                p.proargnames, t.typtype::pg_catalog.text, t.typrelid \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang JOIN pg_catalog.pg_type t ON t.oid = p.prorettype \
         WHERE p.proname = ANY ($1::pg_catalog.name[]) AND l.lanname = 'sql' AND l.oid < 16384 AND p.prokind = 'f' \
           AND p.provariadic = 0 AND p.pronargdefaults = 0 AND p.prosupport = 0 \
           AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) s (setting) WHERE s.setting NOT LIKE 'search\\_path=%') \
           AND octet_length(p.prosrc) <= {SOURCE_BYTES_MAX} \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.proname = p.proname AND o.oid <> p.oid) \
         ORDER BY p.oid"
    );
    let rows = reader.rows("functions", FUNCTIONS_MAX, &sql, &[(&names, Type::TEXT_ARRAY)]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let composites = composites(reader, &rows).await?;
    let snapshot = parts.so_far(parts.codes.clone());
    let mut followed = HashMap::new();
    for row in &rows {
        let (signature, body) = (signature(row, &composites)?, query(value(row, 3)?));
        let Some(signature) = signature else { continue };
        match followed_function(&signature, &body, &snapshot) {
            Ok(function) => drop(followed.insert(signature.name, function)),
            Err(unproven) => {
                let all = parts.functions.get_mut(&signature.name).into_iter().flatten();
                for one in all.filter(|one| one.schema == signature.schema && one.called) {
                    one.why = format!("{}; it is not followed: {}", one.why, unproven.detail).into();
                }
            }
        }
    }
    parts.followed = followed;
    Ok(())
}

/// The one query of a body, as it is kept or as the server prints its tree.
fn query(body: &str) -> String {
    let whole = body.trim();
    if let Some(value) = whole.strip_prefix("RETURN ") {
        return format!("SELECT {value}");
    }
    let inner = whole.strip_prefix("BEGIN ATOMIC").and_then(|inner| inner.strip_suffix("END"));
    inner.unwrap_or(whole).to_owned()
}

/// Columns of row types, with `pg_type.oid` of each, by the OID of their relation.
type Composites = BTreeMap<u32, Vec<(Option<Arc<str>>, u32)>>;

async fn composites(reader: &Reader<'_>, functions: &[Row]) -> Result<Composites, LoadError> {
    let relations: Vec<u32> = functions.iter().map(|row| value(row, 9)).collect::<Result<_, _>>()?;
    let sql = "SELECT a.attrelid, a.attname::pg_catalog.text, a.atttypid FROM pg_catalog.pg_attribute a \
        WHERE a.attrelid = ANY ($1) AND a.attrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum";
    let rows =
        reader.rows("columns of row types", COLUMNS_MAX, sql, &[(&relations, Type::OID_ARRAY)]).await?;
    let mut columns = Composites::new();
    for row in &rows {
        let name: &str = value(row, 1)?;
        columns.entry(value(row, 0)?).or_default().push((Some(name.into()), value(row, 2)?));
    }
    Ok(columns)
}

/// What a function is called with and returns. None: it is of a kind that is not followed.
fn signature(row: &Row, composites: &Composites) -> Result<Option<Signature>, LoadError> {
    let returns: u32 = value(row, 0)?;
    let given: Vec<u32> = value(row, 4)?;
    let all: Option<Vec<u32>> = value(row, 5)?;
    let modes: Option<Vec<&str>> = value(row, 6)?;
    let names: Option<Vec<&str>> = value(row, 7)?;
    let (kind, relation): (&str, u32) = (value(row, 8)?, value(row, 9)?);
    let all = all.unwrap_or(given);
    let name = |at: usize| {
        let name = names.as_ref().and_then(|names| names.get(at)).filter(|name| !name.is_empty());
        name.map(|name| Arc::from(*name))
    };
    let (mut arguments, mut columns) = (Vec::new(), Vec::new());
    for (at, of) in all.into_iter().enumerate() {
        match modes.as_ref().map_or(Some("i"), |modes| modes.get(at).copied()) {
            Some("i") => arguments.push((name(at), of)),
            Some("o" | "t") => columns.push((name(at), of)),
            Some(_) | None => return Ok(None),
        }
    }
    let mut row_of = None;
    if columns.is_empty() {
        match kind {
            "c" => {
                row_of = Some(relation);
                columns = composites.get(&relation).cloned().unwrap_or_default();
            }
            "b" | "e" | "d" | "r" | "m" => columns.push((None, returns)),
            _ => return Ok(None),
        }
    }
    Ok(Some(Signature {
        schema: value::<&str>(row, 1)?.into(),
        name: value::<&str>(row, 2)?.into(),
        arguments,
        columns,
        row: row_of.is_some() || returns == RECORD,
        relation: row_of,
    }))
}
