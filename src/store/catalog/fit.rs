//! What each entry of the policy finds in a database: asked by itself, since it is wanted of
//! databases of which no catalog is kept, too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::load::{LoadError, RELATIONS_MAX, value};
use crate::catalog::{Classification, Lack, PolicyField};
use crate::upstream::service::ServiceConnection;

/// Tables that are remembered of one entry: a pattern may match thousands.
const TABLES_MAX: usize = 16;

/// What one entry finds.
#[derive(Debug)]
pub(super) struct Found {
    /// Its place in the policy.
    pub entry: usize,
    /// None: it fits.
    pub lack: Option<Lack>,
    /// `pg_class.oid` of the tables that it fits, as far as they are remembered.
    pub tables: Vec<u32>,
}

/// What all entries that apply to a database find there.
#[derive(Debug)]
pub(super) struct Fits {
    /// `pg_database.oid`.
    pub database: u32,
    pub found: Vec<Found>,
    /// Those of the relations asked for that are there still, under whatever name.
    pub alive: HashSet<u32>,
}

/// A relation of one of the policy's names.
struct Named<'a> {
    oid: u32,
    schema: &'a str,
    is_table: bool,
    /// Those of the policy's columns that it has.
    columns: Vec<&'a str>,
}

const NAMED: &str = "SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
        c.relkind IN ('r','p'), \
        ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 AND a.attname = ANY ($2::pg_catalog.name[])) \
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
  WHERE c.relname = ANY ($1::pg_catalog.name[]) AND c.relkind IN ('r','p','v','m','f') \
    AND c.relpersistence <> 't' ORDER BY c.oid";

/// Compares the policy with the database that `service` is connected to. `former`: relations of
/// which it is asked whether they are there still.
///
/// # Errors
/// The server's; there is more than is read.
pub(super) async fn read(
    service: &ServiceConnection,
    database: &str,
    policy: &Classification,
    former: &[u32],
) -> Result<Fits, LoadError> {
    let sql = "SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
    let rows = service.rows(sql, &[]).await?;
    let row = rows.first().ok_or_else(|| LoadError::Unreadable("no database".to_owned()))?;
    let oid = value(row, 0)?;
    let sql = "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1)";
    let rows = service.rows(sql, &[(&former, Type::OID_ARRAY)]).await?;
    let alive = rows.iter().map(|row| value(row, 0)).collect::<Result<_, _>>()?;

    let applying = || policy.fields.iter().enumerate().filter(|(_, entry)| entry.is_of(database));
    let names: BTreeSet<&str> = applying().map(|(_, entry)| &*entry.field.table.name).collect();
    let columns: BTreeSet<&str> = applying().map(|(_, entry)| &*entry.field.column).collect();
    let (names, columns): (Vec<_>, Vec<_>) = (names.into_iter().collect(), columns.into_iter().collect());
    let sql = format!("{NAMED} LIMIT {}", RELATIONS_MAX + 1);
    let rows = service.rows(&sql, &[(&names, Type::TEXT_ARRAY), (&columns, Type::TEXT_ARRAY)]).await?;
    if rows.len() > RELATIONS_MAX {
        return Err(LoadError::TooLarge { what: "relations", max: RELATIONS_MAX });
    }
    let mut by_name: HashMap<&str, Vec<Named<'_>>> = HashMap::new();
    for row in &rows {
        let named = Named {
            oid: value(row, 0)?,
            schema: value(row, 1)?,
            is_table: value(row, 3)?,
            columns: value(row, 4)?,
        };
        by_name.entry(value(row, 2)?).or_default().push(named);
    }
    let found = applying().map(|(index, entry)| {
        let all = by_name.get(&*entry.field.table.name).map_or(&[][..], Vec::as_slice);
        let (lack, tables) = finds(entry, all);
        Found { entry: index, lack, tables }
    });
    Ok(Fits { database: oid, found: found.collect(), alive })
}

/// Of several tables that a pattern matches, one that has the column shows that the entry is
/// spelled right; a statement on one that lacks it is refused all the same.
fn finds(entry: &PolicyField, all: &[Named<'_>]) -> (Option<Lack>, Vec<u32>) {
    let name = &entry.field.table;
    let means = |schema: &str| match &entry.schemas {
        Some(_) => entry.matches(Some(schema), &name.name),
        None => *name.schema == *schema,
    };
    let (mut lack, mut tables) = (Lack::Table, Vec::new());
    for relation in all.iter().filter(|relation| means(relation.schema)) {
        if !relation.is_table {
            lack = lack.max(Lack::NotATable);
        } else if !relation.columns.contains(&&*entry.field.column) {
            lack = lack.max(Lack::Column);
        } else {
            tables.push(relation.oid);
            if tables.len() == TABLES_MAX {
                break;
            }
        }
    }
    if tables.is_empty() { (Some(lack), tables) } else { (None, tables) }
}

/// What each entry of the policy that applies to a database lacks there, by its place in the policy.
///
/// # Errors
/// The server's; there is more than is read.
pub async fn lacks(
    service: &ServiceConnection,
    database: &str,
    policy: &Classification,
) -> Result<Vec<(usize, Option<Lack>)>, LoadError> {
    let fits = read(service, database, policy, &[]).await?;
    Ok(fits.found.into_iter().map(|found| (found.entry, found.lack)).collect())
}

/// The databases that clients may be in and that the service account may enter, and whether that is
/// all of them.
///
/// # Errors
/// The server's.
pub(super) async fn databases(
    service: &ServiceConnection,
    max: usize,
) -> Result<(BTreeSet<Arc<str>>, bool), LoadError> {
    let sql = format!(
        "SELECT d.datname::pg_catalog.text FROM pg_catalog.pg_database d \
          WHERE d.datallowconn AND NOT d.datistemplate \
            AND pg_catalog.has_database_privilege(d.oid, 'CONNECT') ORDER BY d.oid LIMIT {}",
        max + 1
    );
    let rows = service.rows(&sql, &[]).await?;
    let names = rows.iter().take(max).map(|row| value::<&str>(row, 0).map(Arc::from));
    Ok((names.collect::<Result<_, _>>()?, rows.len() <= max))
}
