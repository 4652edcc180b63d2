//! One load: everything read in a single REPEATABLE READ transaction, so that tables,
//! functions and what leads from one to the other are of one moment.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::classified::{self, Classified};
use super::functions;
use super::leads::{self, Leads, PolicyNames};
use super::openings;
use super::own;
use super::sharing;
use super::standing;
use super::strangers::Unlisted;
use super::tenants;
use super::views;
use crate::catalog::{
    Bound, Classification, Codes, Field, ForeignServer, PolicyField, Relation, SnapshotParts,
};
use crate::upstream::service::{ServiceConnection, ServiceError};

/// Relations that one question may return: those of one name, or those newly reached.
pub(super) const RELATIONS_MAX: usize = 100_000;
/// Columns of all classified tables together.
pub(super) const COLUMNS_MAX: usize = 500_000;
/// Functions with a source text.
pub(super) const FUNCTIONS_MAX: usize = 200_000;
/// Bytes of one source, and of all that are read: a longer one, or what comes beyond, counts as
/// leading to classified columns.
pub(super) const SOURCE_BYTES_MAX: i64 = 256 << 10;
pub(super) const SOURCES_BYTES_MAX: i64 = 32 << 20;
/// Objects that depend on those reached in one round.
pub(super) const DEPENDENTS_MAX: usize = 100_000;
/// Names that may stand in a record.
const NAMES_MAX: usize = 100_000;
/// Foreign servers.
const SERVERS_MAX: usize = 10_000;
/// Things worth telling the operator, kept per load.
const NOTES_MAX: usize = 200;

/// Why a catalog could not be loaded. Without one, sessions are refused (P3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    Service(ServiceError),
    /// The catalog holds more than this program is willing to read.
    TooLarge {
        what: &'static str,
        max: usize,
    },
    /// A catalog row that is not as PostgreSQL documents it.
    Unreadable(String),
    /// More databases, or more waiting sessions, than the registry serves.
    TooMany {
        what: &'static str,
        max: usize,
    },
    /// The policy does not speak of the database, and it holds a guard of sealed values.
    Guarded {
        constraint: String,
        /// The table or the domain.
        of: String,
    },
    /// The registry has ended.
    Stopped,
}

impl LoadError {
    /// Our session was cut as soon as it had looked.
    pub(super) fn cut() -> LoadError {
        LoadError::Service(ServiceError::Unreachable("the server closed the connection".to_owned()))
    }

    /// Did no server answer?
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, LoadError::Service(error) if error.sqlstate().is_none())
    }

    /// Does somebody hold a lock that reading it needs?
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, LoadError::Service(error) if error.sqlstate() == Some("55P03"))
    }

    /// Is there no database of this name (any more), or none that sessions may stay in?
    pub(super) fn is_final(&self) -> bool {
        match self {
            LoadError::Service(error) => error.sqlstate() == Some("3D000"),
            LoadError::Guarded { .. } => true,
            LoadError::TooLarge { .. }
            | LoadError::Unreadable(_)
            | LoadError::TooMany { .. }
            | LoadError::Stopped => false,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Service(error) => write!(f, "the catalog cannot be read: {error}"),
            LoadError::TooLarge { what, max } => {
                write!(f, "the catalog is too large to be read: more than {max} {what}")
            }
            LoadError::Unreadable(what) => write!(f, "the catalog cannot be understood: {what}"),
            LoadError::TooMany { what, max } => write!(f, "more than {max} {what}"),
            LoadError::Guarded { constraint, of } => write!(
                f,
                "the policy does not speak of this database, and {of} has the guard \"{constraint}\" of sealed values"
            ),
            LoadError::Stopped => f.write_str("the catalog loader has ended"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<ServiceError> for LoadError {
    fn from(error: ServiceError) -> LoadError {
        LoadError::Service(error)
    }
}

/// What one load found. Its `parts` have no epoch yet.
#[derive(Debug)]
pub struct Loaded {
    pub parts: SnapshotParts,
    /// What the closure could not follow, for the operator: function names and reasons.
    pub notes: Vec<String>,
    /// Equal for equal content.
    pub content: [u8; 32],
    /// The same without the code that is not the server's own.
    pub meaning: [u8; 32],
}

/// Reads the catalog of the database that `service` is connected to. `kept`: of the last load of the
/// same database.
///
/// # Errors
/// [`LoadError`]; the connection is then in an unknown state and must be dropped.
pub async fn load(
    service: &ServiceConnection,
    database: &str,
    policy: &Classification,
    kept: &mut Unlisted,
) -> Result<Loaded, LoadError> {
    let applying = policy.fields.iter().filter(|entry| entry.is_of(database));
    let (patterns, named): (Vec<_>, Vec<_>) = applying.partition(|entry| entry.schemas.is_some());
    let patterns: Vec<PolicyField> = patterns.into_iter().cloned().collect();
    let bound = Arc::new(Bound::of(&policy.fields));
    let mut parts = SnapshotParts { database: database.into(), bound, ..SnapshotParts::default() };
    let mut notes = Vec::new();
    if !patterns.is_empty() || !named.is_empty() {
        service.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let reader = Reader { service };
        let named = named.into_iter().map(|entry| entry.field.clone()).collect();
        (parts.fields, notes) = tenants::expand(&reader, named, &patterns).await?;
        parts.patterns = patterns;
        let mut tables = classified::read(&reader, &parts.fields).await?;
        own::read(&reader, &mut parts.fields, &mut tables).await?;
        standing::judge(&reader, &mut tables).await?;
        let sealed = PolicyNames { sealed: policy_names(&parts, |field| field.domain.is_some()) };
        let leads = leads::read(&reader, &sealed, &parts.fields, &mut tables, &policy.vouched, kept).await?;
        let names = policy_names(&parts, |_| true);
        parts.faults = tables.values().flat_map(Classified::unfit).collect();
        parts.relations = relations(&reader, &names, &tables, &leads).await?;
        parts.functions = leads.names.into_iter().collect();
        parts.codes = leads.codes;
        parts.refuses_opaque = policy.refuses_opaque;
        parts.copies_sealed.clone_from(&policy.copies_sealed);
        views::follow(&reader, &mut parts).await?;
        functions::follow(&reader, &mut parts).await?;
        openings::follow(&reader, &mut parts).await?;
        parts.sharing = sharing::read(&reader, &parts).await?;
        notes.extend(leads.notes);
        parts.names = known_names(&reader).await?;
        parts.servers = foreign_servers(&reader).await?;
        service.batch("COMMIT").await?;
    }
    notes.truncate(NOTES_MAX);
    let (meaning, content) = content(&parts);
    Ok(Loaded { parts, notes, content, meaning })
}

impl Loaded {
    /// Its parts were changed.
    pub(super) fn digest_anew(&mut self) {
        (self.meaning, self.content) = content(&self.parts);
    }
}

/// The bare name of every table of the policy with such a field, whether there is one or not.
fn policy_names(parts: &SnapshotParts, counts: fn(&Field) -> bool) -> BTreeSet<Arc<str>> {
    let awaited = parts.patterns.iter().map(|entry| &entry.field);
    let counting = parts.fields.iter().chain(awaited).filter(|field| counts(field));
    counting.map(|field| field.table.name.clone()).collect()
}

/// Every relation that has the bare name of one that matters.
async fn relations(
    reader: &Reader<'_>,
    policy_names: &BTreeSet<Arc<str>>,
    tables: &BTreeMap<u32, Classified>,
    leads: &Leads,
) -> Result<Vec<Relation>, LoadError> {
    let names: BTreeSet<&str> = policy_names
        .iter()
        .map(|name| &**name)
        .chain(leads.relations.values().map(|(name, _)| &*name.name))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let found = classified::named(reader, &names).await?;
    let mut relations = Vec::with_capacity(found.len());
    for named in found {
        let reaches = leads.relations.get(&named.oid).map(|(_, why)| Arc::from(why.as_str()));
        let table = tables.get(&named.oid);
        // Another session's temporary table must not make a name ambiguous for everyone:
        // in its own session it can only receive what is sealed already.
        if named.temporary && reaches.is_none() && table.is_none() {
            continue;
        }
        relations.push(Relation {
            name: named.name,
            oid: named.oid,
            kind: named.kind,
            columns: table.map(|table| table.columns.clone()).unwrap_or_default(),
            attributes: named.attributes,
            keys: table.map(|table| table.keys.clone()).unwrap_or_default(),
            behind: Vec::new(),
            reaches,
            fault: table.and_then(Classified::fault),
            refused: table.map(Classified::refused).unwrap_or_default(),
        });
    }
    Ok(relations)
}

/// Names that may stand in a record. Of those beyond the bound none does.
async fn known_names(reader: &Reader<'_>) -> Result<HashSet<Arc<str>>, LoadError> {
    let sql = format!(
        "SELECT x.name FROM ( \
             SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped \
             UNION SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid >= 16384 \
             UNION SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_namespace n) x (name) \
         ORDER BY length(x.name), x.name LIMIT {NAMES_MAX}"
    );
    let rows = reader.service.rows(&sql, &[]).await?;
    rows.iter().map(|row| value::<&str>(row, 0).map(Arc::from)).collect()
}

async fn foreign_servers(reader: &Reader<'_>) -> Result<Vec<ForeignServer>, LoadError> {
    let sql = "SELECT s.srvname::pg_catalog.text, w.fdwname::pg_catalog.text, \
                      coalesce(s.srvoptions, '{}'::pg_catalog.text[]) \
                 FROM pg_catalog.pg_foreign_server s \
                 JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw ORDER BY s.oid";
    let rows = reader.rows("foreign servers", SERVERS_MAX, sql, &[]).await?;
    let server = |row: &Row| {
        let options: Vec<&str> = value(row, 2)?;
        Ok(ForeignServer {
            name: value::<&str>(row, 0)?.into(),
            wrapper: value::<&str>(row, 1)?.into(),
            options: options.into_iter().map(Arc::from).collect(),
        })
    };
    rows.iter().map(server).collect()
}

/// A digest of what tables, columns and names mean, and one of everything.
fn content(parts: &SnapshotParts) -> ([u8; 32], [u8; 32]) {
    let functions: BTreeMap<_, _> = parts.functions.iter().collect();
    let SnapshotParts { fields, patterns, relations, refuses_opaque, servers, bound, sharing, .. } = parts;
    let copies_sealed = &parts.copies_sealed;
    let followed: BTreeMap<_, _> = parts.followed.iter().collect();
    let openings: BTreeMap<_, _> = parts.openings.iter().collect();
    let mut digest = Digested(Sha256::new());
    // A digest takes everything.
    let _ = write!(
        digest,
        "{fields:?} {patterns:?} {relations:?} {functions:?} {refuses_opaque} {copies_sealed:?} {servers:?} {bound:?} {sharing:?} \
         {followed:?} {openings:?}"
    );
    let meaning = digest.0.clone().finalize().into();
    let Codes {
        stock: _,
        everything,
        conditions_travel,
        ascii_case,
        by_events,
        functions,
        operators,
        types,
        plain_types,
        makers,
        declared,
        relations,
        spoken,
        copying,
    } = &parts.codes;
    let (functions, operators) =
        (functions.iter().collect::<BTreeMap<_, _>>(), operators.iter().collect::<BTreeMap<_, _>>());
    let (types, relations) =
        (types.iter().collect::<BTreeMap<_, _>>(), relations.iter().collect::<BTreeMap<_, _>>());
    let (plain_types, makers): (BTreeSet<_>, BTreeSet<_>) =
        (plain_types.iter().collect(), makers.iter().collect());
    let declared: BTreeMap<_, _> = declared.iter().collect();
    let _ = write!(
        digest,
        "{everything:?} {conditions_travel} {ascii_case} {by_events} {functions:?} {operators:?} {types:?} {plain_types:?} \
         {makers:?} {declared:?} {relations:?} {spoken:?} {copying:?}"
    );
    (meaning, digest.0.finalize().into())
}

/// Takes a text that nobody needs as a whole.
struct Digested(Sha256);

impl fmt::Write for Digested {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

/// Asks bounded questions inside the load's transaction.
pub(super) struct Reader<'a> {
    service: &'a ServiceConnection,
}

impl<'a> Reader<'a> {
    /// Asks outside of a load, each question for itself.
    pub(super) fn of(service: &'a ServiceConnection) -> Reader<'a> {
        Reader { service }
    }

    /// The major version of the server.
    pub(super) async fn major(&self) -> Result<u32, LoadError> {
        let sql = "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4 / 10000";
        let rows = self.service.rows(sql, &[]).await?;
        let row = rows.first().ok_or_else(|| LoadError::Unreadable("no version".to_owned()))?;
        Ok(u32::try_from(value::<i32>(row, 0)?).unwrap_or_default())
    }

    /// Do `lower` and `upper` do to the letters of ASCII what ASCII has?
    pub(super) async fn has_ascii_case(&self) -> Result<bool, LoadError> {
        let capitals: String = ('A'..='Z').collect();
        let sql = "SELECT pg_catalog.lower($1) OPERATOR(pg_catalog.=) $2 AND pg_catalog.upper($2) OPERATOR(pg_catalog.=) $1";
        let small = capitals.to_ascii_lowercase();
        let rows = self.service.rows(sql, &[(&capitals, Type::TEXT), (&small, Type::TEXT)]).await?;
        rows.first().map_or(Ok(false), |row| value(row, 0))
    }

    /// Runs a SELECT without LIMIT and fails when more than `max` rows answer it.
    pub(super) async fn rows(
        &self,
        what: &'static str,
        max: usize,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, LoadError> {
        self.some_rows(max, sql, parameters).await?.ok_or(LoadError::TooLarge { what, max })
    }

    /// The same; none where more rows answer it.
    pub(super) async fn some_rows(
        &self,
        max: usize,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Vec<Row>>, LoadError> {
        let rows = self.service.rows(&format!("{sql} LIMIT {}", max + 1), parameters).await?;
        Ok((rows.len() <= max).then_some(rows))
    }
}

/// A value of a row, with an error instead of a panic.
pub(super) fn value<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, LoadError> {
    row.try_get(index).map_err(|error| LoadError::Unreadable(error.to_string()))
}
