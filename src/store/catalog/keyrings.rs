//! By which keyring the sealed columns were sealed. Another keyring with the same names of domains
//! writes the same headers, finds nothing of what is stored, and lets duplicates past unique
//! indexes: so it is told apart before anything is sealed or compared.
//!
//! Two things tell. Somebody has written it down: in the name of a guard
//! (`email_keyring_<identity>`), or in the comment of a guard or of the column (`keyring
//! <identity>`). Where nobody has, and the service account may read the column, a few of its sealed
//! values are tried: where none of them opens, they are another's. Only what begins as the domain's
//! values do is ever fetched, and nothing that is opened leaves this file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::inspection;
use super::load::{LoadError, RELATIONS_MAX, load, value};
use crate::catalog::{
    Classification, Column, Domain, Field, QualifiedName, Refuses, Relation, SnapshotParts, Unfit, Weight,
};
use crate::seal::{Keyring, KeyringIdentity, Plaintext, Random, Sealer, guard_prefix};
use crate::upstream::dial::today;
use crate::upstream::service::{Access, ServiceConnection, ServiceError};

/// Columns whose values are looked at in one load, and how long all of that may take.
const TRIED_MAX: usize = 64;
const TRYING_MAX: Duration = Duration::from_secs(2);
/// Rows that are looked at in one column, values that are fetched of them, and bytes of one.
const ROWS_MAX: u32 = 200;
const VALUES_MAX: u32 = 4;
const VALUE_BYTES_MAX: u32 = 8_192;
/// Of a partitioned table, the partitions that are looked at.
const PARTITIONS_MAX: i64 = 8;
/// Columns that one line of the log each, or a note, tells of.
const TOLD_MAX: usize = 20;
/// Databases that are looked into where a field names none.
const DATABASES_MAX: usize = 64;

/// For the whole of a look at values: no code of others runs (a policy's functions would, with our
/// rights), and nobody is waited for.
const CAREFULLY: &str = "BEGIN READ ONLY; SET LOCAL row_security = off; \
    SET LOCAL lock_timeout = '50ms'; SET LOCAL statement_timeout = '250ms'";

/// What is written down beside the columns of these tables.
const MARKS: &str = "SELECT c.conrelid, k.attnum, c.conname::pg_catalog.text, \
            coalesce(pg_catalog.obj_description(c.oid, 'pg_constraint'), '') \
       FROM pg_catalog.pg_constraint c CROSS JOIN LATERAL pg_catalog.unnest(c.conkey) k (attnum) \
      WHERE c.contype = 'c' AND c.conrelid = ANY ($1) \
     UNION ALL \
     SELECT d.objoid, d.objsubid::pg_catalog.int2, '', d.description FROM pg_catalog.pg_description d \
      WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = ANY ($1) AND d.objsubid > 0";

/// The SELECT by which values of a column can be looked at, for those where it is harmless: an
/// ordinary table (TABLESAMPLE refuses anything else when it is parsed, should it be another by then),
/// or the largest partitions of one, without row security, that the account may read.
const READABLE: &str = "SELECT w.number, pg_catalog.concat('SELECT y.v FROM (', pg_catalog.string_agg(pg_catalog.format( \
            '(SELECT x.v FROM (SELECT CASE WHEN pg_catalog.octet_length(%1$I) <= %4$s THEN \
                 CASE WHEN pg_catalog.starts_with(%1$I COLLATE \"C\", %2$L) THEN %1$I END END AS v \
             FROM ONLY %3$s TABLESAMPLE SYSTEM (100) LIMIT %5$s) x WHERE x.v IS NOT NULL LIMIT %6$s)', \
            l.attname, w.prefix, l.name, $4::pg_catalog.text, $5::pg_catalog.text, $6::pg_catalog.text), \
            ' UNION ALL ' ORDER BY l.relpages DESC, l.oid), ') y LIMIT ', $6::pg_catalog.text) \
       FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[]), \
                       pg_catalog.unnest($3::pg_catalog.text[])) WITH ORDINALITY w (rel, name, prefix, number) \
       JOIN pg_catalog.pg_class t ON t.oid = w.rel \
      CROSS JOIN LATERAL (SELECT c.oid, c.relpages, a.attname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name \
              FROM pg_catalog.pg_class c \
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name AND NOT a.attisdropped \
             WHERE (c.oid = t.oid OR t.relkind = 'p' AND c.oid IN \
                       (SELECT f.relid FROM pg_catalog.pg_partition_tree(t.oid) f WHERE f.isleaf)) \
               AND c.relkind = 'r' AND c.relpersistence <> 't' AND NOT c.relrowsecurity AND a.attgenerated = '' \
               AND a.atttypid IN (25, 1043) AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
               AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') \
             ORDER BY c.relpages DESC, c.oid LIMIT $7::pg_catalog.int8) l \
      WHERE NOT t.relrowsecurity GROUP BY w.number ORDER BY w.number";

/// Columns whose values have opened, by the keyring that opened them.
pub(super) type Opened = HashSet<(u32, i16, KeyringIdentity)>;

/// What tells that a column was sealed with a keyring, and with which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// `schema.table.column`
    pub column: String,
    /// None: values are there, and nothing says by whom.
    pub keyring: Option<KeyringIdentity>,
    /// In the words of a message.
    place: String,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trace { column, keyring, place } = self;
        match keyring {
            Some(keyring) => write!(f, "{column} was sealed with keyring {keyring} ({place})"),
            None => write!(f, "{column} {place}"),
        }
    }
}

/// One sealed column.
struct Sealed<'a> {
    relation: &'a Relation,
    column: &'a Column,
    domain: &'a Domain,
}

impl Sealed<'_> {
    fn path(&self) -> String {
        format!("{}.{}", self.relation.name, self.column.name)
    }

    /// As SQL has it.
    fn quoted(&self) -> String {
        let QualifiedName { schema, name } = &self.relation.name;
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        [schema, name, &self.column.name].map(|name| quote(name)).join(".")
    }

    fn key(&self) -> (u32, i16) {
        (self.relation.oid, self.column.number)
    }

    /// It was sealed by another keyring than ours.
    fn another(&self, says: String) -> Unfit {
        Unfit {
            code: "keyring-another",
            weight: Weight::Wrong,
            table: self.relation.name.clone(),
            column: Some(self.column.name.clone()),
            says,
            mends: Vec::new(),
            refuses: Refuses::ALL,
        }
    }
}

fn sealed<'a>(relations: &'a [Relation], fields: &'a [Field]) -> Vec<Sealed<'a>> {
    let of = |relation: &'a Relation, column: &'a Column| {
        let field = fields.get(usize::from(column.field?.0))?;
        Some(Sealed { relation, column, domain: field.domain.as_ref()? })
    };
    let all =
        relations.iter().flat_map(|relation| relation.columns.iter().map(move |column| (relation, column)));
    all.filter_map(|(relation, column)| of(relation, column)).collect()
}

/// Gives every table a fault of which a column was sealed with another keyring than ours, says so in
/// the log, and notes columns of which nothing tells.
///
/// # Errors
/// The catalog cannot be read.
pub(super) async fn judge(
    service: &ServiceConnection,
    keyring: &Arc<Keyring>,
    parts: &mut SnapshotParts,
    opened: &mut Opened,
) -> Result<(), LoadError> {
    let ours = keyring.identity();
    let columns = sealed(&parts.relations, &parts.fields);
    let marks = marks(service, &columns).await?;
    let mut faults: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let (mut unmarked, mut unfit) = (Vec::new(), Vec::new());
    for column in columns {
        let of_column = marks.get(&column.key()).map_or(&[][..], Vec::as_slice);
        match of_column.iter().find(|mark| mark.keyring != ours) {
            Some(Mark { keyring, place }) => {
                let fault = format!(
                    "column {} was sealed with keyring {keyring} ({place}), and the keyring here is another \
                     one, {ours}: restore the backup of the first",
                    column.column.name
                );
                unfit.push(column.another(fault.clone()));
                faults.entry(column.relation.oid).or_default().push(fault);
            }
            None if of_column.is_empty() => unmarked.push(column),
            None => {}
        }
    }
    unfit.extend(unmarked.iter().take(TOLD_MAX).map(|column| Unfit {
        code: "keyring-unmarked",
        weight: Weight::Tells,
        says: format!(
            "nothing tells by which keyring column {} is sealed, so that another one may go unnoticed",
            column.column.name
        ),
        mends: vec![format!("COMMENT ON COLUMN {} IS 'sealgate keyring {ours}'", column.quoted())],
        refuses: Refuses::NOTHING,
        ..column.another(String::new())
    }));
    unmarked.retain(|column| !opened.contains(&(column.relation.oid, column.column.number, ours)));
    for (column, values) in values(service, unmarked).await? {
        let (oid, number) = column.key();
        if opens(keyring, column.domain, &values) {
            if opened.len() >= RELATIONS_MAX {
                opened.clear();
            }
            opened.insert((oid, number, ours));
        } else {
            let fault = format!(
                "none of the values of column {} that were tried opens with the keyring here, {ours}: they \
                 were sealed with another one, or with keys that this copy lacks: restore the backup of the \
                 keyring that they were sealed with",
                column.column.name
            );
            unfit.push(column.another(fault.clone()));
            faults.entry(oid).or_default().push(fault);
        }
    }
    parts.faults.extend(unfit);
    for (relation, found) in parts.relations.iter_mut().filter_map(|relation| {
        let found = faults.remove(&relation.oid)?;
        Some((relation, found))
    }) {
        for fault in found.iter().take(TOLD_MAX) {
            let (database, table) = (&parts.database, &relation.name);
            tracing::error!(%database, %table, %fault, "a column is sealed with another keyring than the one here");
        }
        let before = relation.fault.iter().map(|fault| fault.to_string());
        relation.fault = Some(before.chain(found).collect::<Vec<_>>().join("; ").into());
    }
    Ok(())
}

/// The same of one look that nothing is remembered of.
///
/// # Errors
/// As [`judge`].
pub async fn judge_once(
    service: &ServiceConnection,
    keyring: &Arc<Keyring>,
    parts: &mut SnapshotParts,
) -> Result<(), LoadError> {
    judge(service, keyring, parts, &mut Opened::new()).await
}

/// What is written down of a column.
struct Mark {
    keyring: KeyringIdentity,
    place: String,
}

async fn marks(
    service: &ServiceConnection,
    columns: &[Sealed<'_>],
) -> Result<BTreeMap<(u32, i16), Vec<Mark>>, LoadError> {
    let mut oids: Vec<u32> = columns.iter().map(|column| column.relation.oid).collect();
    oids.dedup();
    let mut marks: BTreeMap<(u32, i16), Vec<Mark>> = BTreeMap::new();
    if oids.is_empty() {
        return Ok(marks);
    }
    // Those that name nothing stay with the server.
    let sql = format!(
        "SELECT * FROM ({MARKS}) m (rel, number, guard, comment) \
          WHERE concat(m.guard, ' ', m.comment) ~ 'keyring[_ ][0-9a-f]{{32}}' LIMIT {}",
        RELATIONS_MAX + 1
    );
    let rows = service.rows(&sql, &[(&oids, Type::OID_ARRAY)]).await?;
    if rows.len() > RELATIONS_MAX {
        return Err(LoadError::TooLarge { what: "guards of classified columns", max: RELATIONS_MAX });
    }
    for row in &rows {
        let (guard, comment): (&str, &str) = (value(row, 2)?, value(row, 3)?);
        let found = [
            (KeyringIdentity::named_in(guard), format!("guard \"{guard}\"")),
            (
                KeyringIdentity::named_in(comment),
                if guard.is_empty() {
                    "its comment".to_owned()
                } else {
                    format!("comment of guard \"{guard}\"")
                },
            ),
        ];
        let found = found.into_iter().filter_map(|(keyring, place)| Some(Mark { keyring: keyring?, place }));
        marks.entry((value(row, 0)?, value(row, 1)?)).or_default().extend(found);
    }
    Ok(marks)
}

/// A few sealed values of each of these columns that has any and can be looked at.
async fn values<'a>(
    service: &ServiceConnection,
    columns: Vec<Sealed<'a>>,
) -> Result<Vec<(Sealed<'a>, Vec<String>)>, LoadError> {
    let mut found = Vec::new();
    let columns: Vec<Sealed<'a>> = columns.into_iter().take(TRIED_MAX).collect();
    if columns.is_empty() {
        return Ok(found);
    }
    let oids: Vec<u32> = columns.iter().map(|column| column.relation.oid).collect();
    let names: Vec<&str> = columns.iter().map(|column| &*column.column.name).collect();
    let prefixes: Vec<String> = columns.iter().map(|column| guard_prefix(column.domain)).collect();
    let [bytes, rows, values] = [VALUE_BYTES_MAX, ROWS_MAX, VALUES_MAX].map(|max| max.to_string());
    let readable = service
        .rows(
            READABLE,
            &[
                (&oids, Type::OID_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&prefixes, Type::TEXT_ARRAY),
                (&bytes, Type::TEXT),
                (&rows, Type::TEXT),
                (&values, Type::TEXT),
                (&PARTITIONS_MAX, Type::INT8),
            ],
        )
        .await?;
    let mut selects: BTreeMap<i64, &str> = BTreeMap::new();
    for row in &readable {
        selects.insert(value(row, 0)?, value(row, 1)?);
    }
    let began = Instant::now();
    for (number, column) in (1_i64..).zip(columns) {
        let Some(select) = selects.get(&number).filter(|_| began.elapsed() < TRYING_MAX) else { continue };
        let values = look(service, select).await?;
        if !values.is_empty() {
            found.push((column, values));
        }
    }
    Ok(found)
}

/// What the server does not let us see at once tells nothing.
async fn look(service: &ServiceConnection, select: &str) -> Result<Vec<String>, LoadError> {
    service.batch(CAREFULLY).await?;
    let values = match service.rows(select, &[]).await {
        Ok(rows) => rows.iter().map(|row| value(row, 0)).collect::<Result<_, _>>()?,
        Err(ServiceError::Server { .. }) => Vec::new(),
        Err(error @ (ServiceError::Unreachable(_) | ServiceError::TimedOut(_))) => return Err(error.into()),
    };
    service.batch("ROLLBACK").await?;
    Ok(values)
}

/// Nothing is sealed here.
struct Unused;

impl Random for Unused {
    fn fill(&mut self, bytes: &mut [u8]) {
        rand::Rng::fill_bytes(&mut rand::rng(), bytes);
    }
}

/// Is one of them ours? A few that are not may have been altered.
fn opens(keyring: &Arc<Keyring>, domain: &Domain, values: &[String]) -> bool {
    let mut sealer = Sealer::new(Arc::clone(keyring), Box::new(Unused));
    let mut value = Plaintext::default();
    values.iter().any(|sealed| sealer.open(domain, sealed.as_bytes(), &mut value).is_ok())
}

/// What a database tells of keyrings, for who has none: by the columns of the policy that are sealed.
///
/// # Errors
/// It cannot be reached, or not be read.
pub async fn traces(
    access: &Access,
    database: &str,
    policy: &Classification,
) -> Result<Vec<Trace>, LoadError> {
    let service = connect(access, database).await?;
    let loaded = load(&service, database, policy, &mut Default::default()).await?;
    let columns = sealed(&loaded.parts.relations, &loaded.parts.fields);
    let mut marks = marks(&service, &columns).await?;
    let mut traces = Vec::new();
    let mut unmarked = Vec::new();
    for column in columns {
        let trace = |Mark { keyring, place }| Trace { column: column.path(), keyring: Some(keyring), place };
        match marks.remove(&column.key()) {
            Some(of_column) => traces.extend(of_column.into_iter().map(trace)),
            None => unmarked.push(column),
        }
    }
    for (column, _) in values(&service, unmarked).await? {
        let place = "holds values that are sealed already".to_owned();
        traces.push(Trace { column: column.path(), keyring: None, place });
    }
    Ok(traces)
}

/// The databases in which fields may be that name none: those that the account may enter.
///
/// # Errors
/// As [`traces`].
pub async fn reachable(access: &Access) -> Result<Vec<String>, LoadError> {
    let service = connect(access, &access.database).await?;
    inspection::databases(&service, DATABASES_MAX).await.map(|(databases, _)| databases)
}

async fn connect(access: &Access, database: &str) -> Result<ServiceConnection, LoadError> {
    let (service, _) = ServiceConnection::first(&access.dialer, &access.account, database, today()).await?;
    Ok(service)
}
