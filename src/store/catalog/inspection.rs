//! What is asked of a database for the operator alone, once, beside its catalog: which databases there
//! are, guards that are missing, rows that are not sealed, publications. Nothing of it is held.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::classified::qualified;
use super::letters;
use super::load::{LoadError, RELATIONS_MAX, Reader, value};
use super::quoted::{name as quoted_name, table as quoted_table};
use super::standing::of_family;
use crate::catalog::{
    Column, Domain, Field, Mode, Normal, QualifiedName, Refuses, Relation, Snapshot, Unfit, Weight,
};
use crate::seal::guard_prefix;
use crate::statement::{Sealed, Standing, uses};
use crate::upstream::service::{ServiceConnection, ServiceError};

/// Rows that are counted of one column.
const ROWS_MAX: i64 = 1_000;
/// What one column's rows may take to be looked at, and those of all.
const SCAN: &str = "5s";
const SCANS_MAX: Duration = Duration::from_secs(60);

/// Databases that the service account may enter, at most `max`, and how many more there are.
///
/// # Errors
/// The server's.
pub async fn databases(service: &ServiceConnection, max: usize) -> Result<(Vec<String>, usize), LoadError> {
    let sql = "SELECT d.datname::pg_catalog.text FROM pg_catalog.pg_database d \
        WHERE d.datallowconn AND NOT d.datistemplate AND pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
        ORDER BY 1";
    let rows = Reader::of(service).rows("databases", RELATIONS_MAX, sql, &[]).await?;
    let all = rows.iter().map(|row| value(row, 0)).collect::<Result<Vec<String>, _>>()?;
    let more = all.len().saturating_sub(max);
    Ok((all.into_iter().take(max).collect(), more))
}

/// A sealed column, and with what its values begin.
struct Place<'a> {
    relation: &'a Relation,
    column: &'a Column,
    field: &'a Field,
    begin: String,
}

impl Place<'_> {
    fn found(&self, code: &'static str, weight: Weight, says: String, mends: Vec<String>) -> Unfit {
        found(&self.relation.name, &self.column.name, code, weight, says, mends)
    }
}

fn found(
    table: &QualifiedName,
    column: &str,
    code: &'static str,
    weight: Weight,
    says: String,
    mends: Vec<String>,
) -> Unfit {
    let (table, column) = (table.clone(), Some(column.into()));
    Unfit { code, weight, table, column, says, mends, refuses: Refuses::NOTHING }
}

/// Looks through the tables of a snapshot that was loaded just now over the same connection.
///
/// # Errors
/// The server's.
pub async fn inspect(service: &ServiceConnection, snapshot: &Snapshot) -> Result<Vec<Unfit>, LoadError> {
    let mut places = Vec::new();
    for relation in snapshot.relations() {
        for column in &relation.columns {
            let field = column.field.and_then(|id| snapshot.field(id));
            let Some((field, domain)) = field.and_then(|field| Some((field, field.domain.as_ref()?))) else {
                continue;
            };
            // Of another type it could hold none: that is told already.
            if holds_text(column) {
                places.push(Place { relation, column, field, begin: guard_prefix(domain) });
            }
        }
    }
    places.sort_by_key(|place| place.field.id);
    let reader = Reader::of(service);
    let mut found = Vec::new();
    let guards = guards(&reader, &places).await?;
    let began = Instant::now();
    let mut left = 0_usize;
    for place in &places {
        let guard = guards.get(&(place.relation.oid, place.column.name.to_string()));
        let proven = guard.is_some_and(|guard| guard.proves && guard.begin == place.begin);
        found.extend(missing_guard(place, guard));
        if proven {
            continue;
        }
        if began.elapsed() > SCANS_MAX {
            left += 1;
            continue;
        }
        found.extend(unsealed(service, place).await?);
    }
    if let (true, Some(last)) = (left > 0, places.last()) {
        let says = format!("the rows of {left} more columns were not looked at: it took too long");
        found.push(Unfit { column: None, ..last.found("rows-not-read", Weight::Tells, says, Vec::new()) });
    }
    found.extend(publications(&reader, snapshot).await?);
    let folds = |domain: &Domain| domain.kind.normalize.has(Normal::Lowercase);
    let folded = places.iter().find(|place| place.field.domain.as_ref().is_some_and(folds));
    if let Some(place) = folded
        && let Some((count @ 1.., letters)) = letters::differ(&reader).await?
    {
        let says = format!(
            "lower() of the database and \"lowercase\" of the policy differ in {count} letters, {letters} first: texts \
             that are the same to the one may be two to the other"
        );
        found.push(place.found("lowercase-differs", Weight::Tells, says, Vec::new()));
    }
    Ok(found)
}

fn holds_text(column: &Column) -> bool {
    matches!(column.type_oid, 25 | 1043)
}

struct Guard {
    name: String,
    begin: String,
    /// Every row was looked at when it was made, or since.
    proves: bool,
}

/// The guard of each column that has one.
async fn guards(
    reader: &Reader<'_>,
    places: &[Place<'_>],
) -> Result<BTreeMap<(u32, String), Guard>, LoadError> {
    let oids: Vec<u32> = places.iter().map(|place| place.relation.oid).collect();
    let rows = reader
        .rows(
            "checks",
            RELATIONS_MAX,
            "SELECT c.conrelid, c.conname::pg_catalog.text, pg_catalog.pg_get_constraintdef(c.oid), c.convalidated \
             FROM pg_catalog.pg_constraint c WHERE c.conrelid = ANY ($1) AND c.contype = 'c' ORDER BY c.oid",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    let mut guards = BTreeMap::new();
    for row in &rows {
        let oid: u32 = value(row, 0)?;
        let (name, text): (&str, &str) = (value(row, 1)?, value(row, 2)?);
        let own = || places.iter().filter(|place| place.relation.oid == oid);
        let sealed: Vec<Sealed<'_>> =
            own().map(|place| Sealed { column: &place.column.name, equal_in: None, begins: None }).collect();
        let Some(table) = own().next() else { continue };
        if text.ends_with("NOT ENFORCED") {
            continue;
        }
        for (column, begin) in uses(Standing::Check(text), &table.relation.name.name, &sealed).guards {
            let guard = Guard { name: name.to_owned(), begin, proves: value(row, 3)? };
            guards.insert((oid, column), guard);
        }
    }
    Ok(guards)
}

fn missing_guard(place: &Place<'_>, guard: Option<&Guard>) -> Option<Unfit> {
    let table = quoted_table(&place.relation.name);
    let column = &place.column.name;
    let validate = |name: &str| format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quoted_name(name));
    match guard {
        Some(guard) if guard.begin != place.begin => {
            let says = format!(
                "guard {} of column {column} is of another domain: what is sealed for this one is refused by it",
                guard.name
            );
            Some(place.found("guard-of-other-domain", Weight::Wrong, says, Vec::new()))
        }
        Some(guard) if !guard.proves => {
            let says =
                format!("guard {} of column {column} does not hold for the rows before it", guard.name);
            Some(place.found("guard-not-valid", Weight::Costs, says, vec![validate(&guard.name)]))
        }
        Some(_) => None,
        None => {
            let name = format!("{}_{column}_sealed", place.relation.name.name);
            let quoted = quoted_name(&name);
            let says = format!("no guard keeps what is not sealed out of column {column}");
            let add = format!(
                "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}, ADD CONSTRAINT {quoted} \
                 CHECK (starts_with({} COLLATE \"C\", '{}')) NOT VALID",
                quoted_name(column),
                place.begin
            );
            Some(place.found("guard-missing", Weight::Costs, says, vec![add, validate(&name)]))
        }
    }
}

/// Rows in which something else stands than a sealed value of the column's domain.
async fn unsealed(service: &ServiceConnection, place: &Place<'_>) -> Result<Option<Unfit>, LoadError> {
    let (table, column) = (&place.relation.name, &place.column.name);
    let quoted = (quoted_table(table), quoted_name(column));
    let may = "SELECT pg_catalog.has_column_privilege($1::pg_catalog.oid, $2::pg_catalog.int2, 'SELECT') \
        AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.quote_ident(current_user) \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.oid = $1::pg_catalog.oid";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&place.relation.oid, Type::OID), (&place.column.number, Type::INT2)];
    let rows = service.rows(may, &parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if !value::<bool>(row, 0)? {
        let who: &str = value(row, 1)?;
        let says = format!(
            "the service account may not read column {column}: whether its rows are sealed is not known"
        );
        let mends = vec![
            format!("GRANT USAGE ON SCHEMA {} TO {who}", quoted_name(&table.schema)),
            format!("GRANT SELECT ({}) ON {} TO {who}", quoted.1, quoted.0),
        ];
        return Ok(Some(place.found("rows-not-read", Weight::Tells, says, mends)));
    }
    service
        .batch(&format!(
            "BEGIN READ ONLY; SET LOCAL statement_timeout = '{SCAN}'; SET LOCAL row_security = off"
        ))
        .await?;
    let sql = format!(
        "SELECT count(*) FROM (SELECT FROM {} WHERE NOT starts_with({} COLLATE \"C\", '{}') LIMIT {}) x",
        quoted.0,
        quoted.1,
        place.begin,
        ROWS_MAX + 1
    );
    let counted = service.rows(&sql, &[]).await;
    service.batch("ROLLBACK").await?;
    let count: i64 = match counted {
        Ok(rows) => rows.first().map_or(Ok(0), |row| value(row, 0))?,
        Err(ServiceError::Server { sqlstate, .. }) => {
            let why = match sqlstate.as_str() {
                "57014" => format!("it took longer than {SCAN}"),
                other => format!("the server answered {other}"),
            };
            let says = format!("not all rows of column {column} were looked at ({why}): a guard proves them");
            return Ok(Some(place.found("rows-not-read", Weight::Tells, says, Vec::new())));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(match count {
        0 => None,
        count => {
            let how_many = match count {
                1 => "1 row".to_owned(),
                count if count > ROWS_MAX => format!("more than {ROWS_MAX} rows"),
                count => format!("{count} rows"),
            };
            let says = format!(
                "column {column} is not sealed in {how_many}: what stands there is not shown, not found and not \
                 held unique; write it once through Sealgate"
            );
            Some(place.found("rows-not-sealed", Weight::Wrong, says, Vec::new()))
        }
    })
}

/// What is published, of the policy's tables and their partitions.
async fn publications(reader: &Reader<'_>, snapshot: &Snapshot) -> Result<Vec<Unfit>, LoadError> {
    let classified: BTreeMap<u32, &Relation> = snapshot
        .relations()
        .filter(|relation| relation.is_classified())
        .map(|relation| (relation.oid, relation))
        .collect();
    let oids: Vec<u32> = classified.keys().copied().collect();
    let columns = "p.pubname::pg_catalog.text, p.attnames::pg_catalog.text[], p.rowfilter, \
        EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prrelid = f.member AND r.prpubid = \
            (SELECT b.oid FROM pg_catalog.pg_publication b WHERE b.pubname = p.pubname))";
    let rest = "JOIN pg_catalog.pg_publication_tables p \
          ON p.schemaname = n.nspname AND p.tablename = c.relname ORDER BY 2, 3, 4";
    let rows = of_family(reader, "publications", &oids, columns, rest).await?;
    let mut all = Vec::new();
    for row in &rows {
        let Some(relation) = classified.get(&value(row, 0)?) else { continue };
        let member = qualified(value(row, 1)?, value(row, 2)?);
        let name: &str = value(row, 3)?;
        let published: Vec<&str> = value(row, 4)?;
        let drop = format!("ALTER PUBLICATION {} DROP TABLE {}", quoted_name(name), quoted_table(&member));
        let mends = if value::<bool>(row, 6)? { vec![drop] } else { Vec::new() };
        let fields = relation.columns.iter().filter_map(|column| snapshot.field(column.field?));
        let fields: Vec<&Field> = fields.collect();
        for field in fields.iter().filter(|field| published.contains(&&*field.column)) {
            let column = &field.column;
            all.push(if field.domain.is_some() {
                let says = format!("publication {name} carries column {column}: its subscribers get sealed texts");
                found(&relation.name, column, "published-sealed", Weight::Tells, says, Vec::new())
            } else {
                let says = format!(
                    "publication {name} carries column {column}, which is not sealed: nobody records who reads it there"
                );
                found(&relation.name, column, "published", Weight::Costs, says, mends.clone())
            });
        }
        if let Some(filter) = value::<Option<&str>>(row, 5)? {
            let equal_in = |domain: &Domain| domain.mode == Mode::Equality;
            let sealed: Vec<Sealed<'_>> = fields
                .iter()
                .filter_map(|field| Some((field, field.domain.as_ref()?)))
                .map(|(field, domain)| Sealed {
                    column: &field.column,
                    equal_in: Some(&*domain.name.0).filter(|_| equal_in(domain)),
                    begins: None,
                })
                .collect();
            let uses = uses(Standing::Expression(filter), &member.name, &sealed);
            for column in uses.misread.iter().chain(&uses.compared) {
                let says = format!(
                    "publication {name} chooses rows by the values of column {column}, which are sealed"
                );
                all.push(found(
                    &relation.name,
                    column,
                    "published-by-value",
                    Weight::Wrong,
                    says,
                    mends.clone(),
                ));
            }
        }
    }
    Ok(all)
}
