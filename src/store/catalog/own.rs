//! Enumerations and domains that the policy gives to sealed columns: what the catalog says of them. A domain
//! whose rule would have to look into values is a fault of the column: sealed text is held to none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::classified::{Classified, Found};
use super::load::{LoadError, Reader, value};
use crate::catalog::{Field, Logical, OwnFound, QualifiedName};

/// Types of one name, and labels of all of them.
const TYPES_MAX: usize = 10_000;
const LABELS_MAX: usize = 100_000;

struct Declared {
    oid: u32,
    /// `pg_type.typtype`.
    sort: i8,
    /// What a domain is over.
    over: String,
    /// It is NOT NULL, or has a CHECK.
    ruled: bool,
}

/// Looks up the types of these fields, and tells where one is not what the policy says.
///
/// # Errors
/// The server's.
pub(super) async fn read(
    reader: &Reader<'_>,
    fields: &mut [Field],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let names: Vec<&str> = fields.iter().filter_map(|field| Some(&*field.own.as_ref()?.name.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let rows = reader
        .rows(
            "types of the policy's names",
            TYPES_MAX,
            // A domain over a domain is what the innermost is over, and held to the rules of all.
            "WITH RECURSIVE chain AS ( \
                 SELECT t.oid AS own, t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typnotnull \
                   FROM pg_catalog.pg_type t WHERE t.typname = ANY ($1::pg_catalog.name[]) \
                 UNION ALL \
                 SELECT c.own, b.oid, b.typtype, b.typbasetype, b.typtypmod, b.typnotnull \
                   FROM chain c JOIN pg_catalog.pg_type b ON b.oid = c.typbasetype \
                  WHERE c.typtype = 'd' AND b.typtype = 'd'), \
             known AS ( \
                 SELECT c.own, pg_catalog.bool_or(c.typnotnull OR EXISTS ( \
                            SELECT FROM pg_catalog.pg_constraint r WHERE r.contypid = c.oid)) AS ruled, \
                        pg_catalog.max(pg_catalog.format_type(c.typbasetype, c.typtypmod)) FILTER ( \
                            WHERE NOT EXISTS (SELECT FROM chain d WHERE d.own = c.own AND d.oid = c.typbasetype) \
                        ) AS base \
                   FROM chain c GROUP BY c.own) \
             SELECT t.oid, n.nspname::pg_catalog.text, t.typname::pg_catalog.text, t.typtype, \
                    coalesce(k.base, ''), k.ruled \
               FROM known k JOIN pg_catalog.pg_type t ON t.oid = k.own \
               JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace ORDER BY t.oid",
            &[(&names, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut known: HashMap<QualifiedName, Declared> = HashMap::new();
    for row in &rows {
        let name =
            QualifiedName { schema: value::<&str>(row, 1)?.into(), name: value::<&str>(row, 2)?.into() };
        let (oid, sort, over, ruled) =
            (value(row, 0)?, value(row, 3)?, value::<&str>(row, 4)?.to_owned(), value(row, 5)?);
        known.insert(name, Declared { oid, sort, over, ruled });
    }
    let oids: Vec<u32> = known.values().map(|of| of.oid).collect();
    let rows = reader
        .rows(
            "labels of enumerations",
            LABELS_MAX,
            "SELECT e.enumtypid, e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum e \
              WHERE e.enumtypid = ANY ($1) ORDER BY e.enumtypid, e.enumsortorder",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    let mut labels: HashMap<u32, Vec<Arc<str>>> = HashMap::new();
    for row in &rows {
        labels.entry(value(row, 0)?).or_default().push(value::<&str>(row, 1)?.into());
    }
    for field in fields.iter_mut() {
        let logical = field.logical;
        let Some(own) = &mut field.own else { continue };
        let Some(declared) = known.get(&own.name) else { continue };
        let why = fault(own.enumeration, &logical, declared);
        if let Some(says) = why {
            let says = format!("column {}: type {} {says}", field.column, own.name);
            let table = tables.values_mut().find(|table| table.name == field.table);
            if let Some(table) = table {
                table.add(Found::of("column-own-type", &field.column, says, Vec::new()));
            }
            continue;
        }
        let labels = labels.get(&declared.oid).cloned().unwrap_or_default();
        own.found = Some(Arc::new(OwnFound { oid: declared.oid, labels }));
    }
    Ok(())
}

/// Why it is not what the policy says.
fn fault(enumeration: bool, logical: &Logical, declared: &Declared) -> Option<String> {
    const ENUMERATION: i8 = b'e' as i8;
    const DOMAIN: i8 = b'd' as i8;
    match (enumeration, declared.sort) {
        (true, ENUMERATION) => None,
        (true, _) => Some("is no enumeration: the policy says AS ENUM".to_owned()),
        (false, DOMAIN) => {
            let over = declared.over.rsplit_once('.').map_or(declared.over.as_str(), |(_, name)| name);
            if Logical::parse(over) != Some(*logical) {
                let over = &declared.over;
                return Some(format!("is a domain over {over}, and the policy says AS {logical}"));
            }
            declared.ruled.then(|| {
                format!(
                    "has a CHECK or NOT NULL, which sealed text cannot be held to: keep the rule in the \
                     application, drop it from the domain, or write type = \"{logical}\" and declare the column so"
                )
            })
        }
        (false, _) => Some("is no domain".to_owned()),
    }
}
