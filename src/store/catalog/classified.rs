//! The policy's tables as the server has them, and what does not fit about them: by it every statement
//! that would be answered wrongly is refused, until the table or the policy is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::body::{self, Names};
use super::load::{COLUMNS_MAX, LoadError, RELATIONS_MAX, Reader, value};
use super::quoted::{column as quoted_column, name as quoted_name, table as quoted_table};
use crate::catalog::{
    Base, Column, Domain, Field, Logical, Mode, QualifiedName, Refused, Refuses, RelationKind, Unfit, Weight,
};
use crate::seal::guard_prefix;
use crate::statement::is_sealed_constant;

/// `pg_type.oid` of `text` and `varchar`.
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
/// Told one by one, of each kind and table. Of the others it is told how many there are.
const TOLD_MAX: usize = 100;
/// Bytes of what is told in a refusal.
const REFUSAL_BYTES_MAX: usize = 1_000;

/// A relation by its name in `pg_class`.
pub(super) struct NamedRelation {
    pub(super) oid: u32,
    pub(super) name: QualifiedName,
    pub(super) kind: RelationKind,
    pub(super) temporary: bool,
    /// `pg_class.reltype`: its row type, 0 if it has none.
    row_type: u32,
    toast: u32,
    partition: bool,
    /// Partitioned (`relkind = 'p'`).
    partitioned: bool,
    has_parents: bool,
    has_children: bool,
    /// `pg_class.relnatts`.
    pub(super) attributes: i16,
}

/// One policy table that exists.
pub(super) struct Classified {
    pub(super) name: QualifiedName,
    pub(super) columns: Vec<Column>,
    /// `attnum` of every classified column.
    numbers: BTreeSet<i16>,
    /// Of those with a key domain, the domain.
    domains: BTreeMap<i16, Domain>,
    pub(super) row_type: u32,
    /// `pg_class.oid` of its TOAST table, 0 if it has none.
    pub(super) toast: u32,
    /// Other tables, by `pg_class.oid`, whose changed values the server itself would carry
    /// into a column of this one, each with the reason.
    pub(super) cascades_from: BTreeMap<u32, String>,
    unfit: Vec<Unfit>,
    /// By kind, how many there are.
    counts: BTreeMap<&'static str, usize>,
    fault: Option<Arc<str>>,
    refused: Refused,
    /// See [`Relation::keys`](crate::catalog::Relation::keys).
    pub(super) keys: Vec<Vec<Arc<str>>>,
}

/// What is found about a table or one of its columns.
pub(super) struct Found<'a> {
    pub(super) code: &'static str,
    /// None: the table as a whole.
    pub(super) column: Option<&'a str>,
    pub(super) says: String,
    pub(super) mends: Vec<String>,
    pub(super) refuses: Refuses,
    /// Columns that decide with it.
    pub(super) beside: Vec<String>,
}

impl<'a> Found<'a> {
    /// Of a column, whose own use alone is refused.
    pub(super) fn of(code: &'static str, column: &'a str, says: String, mends: Vec<String>) -> Found<'a> {
        Found { code, column: Some(column), says, mends, refuses: Refuses::NOTHING, beside: Vec::new() }
    }

    /// Of a table as a whole: every statement on it is refused.
    pub(super) fn of_table(code: &'static str, says: String, mends: Vec<String>) -> Found<'a> {
        Found { code, column: None, says, mends, refuses: Refuses::ALL, beside: Vec::new() }
    }
}

impl Classified {
    /// Adds what would be answered wrongly: statements that use the column are refused, and those that
    /// are said.
    pub(super) fn add(&mut self, found: Found<'_>) {
        let why = &found.says;
        if let Some(column) = found.column
            && let Some(one) = self.columns.iter_mut().find(|one| *one.name == *column)
        {
            extend(&mut one.fault, why);
        }
        let Refuses { reads, inserts, updates, deletes } = found.refuses;
        for (refused, place) in [
            (reads, &mut self.fault),
            (inserts, &mut self.refused.inserts),
            (updates, &mut self.refused.updates),
            (deletes, &mut self.refused.deletes),
        ] {
            if refused {
                extend(place, why);
            }
        }
        for column in &found.beside {
            let mut place = self.refused.assigned.get(&**column).cloned();
            extend(&mut place, why);
            self.refused.assigned.extend(place.map(|why| (Arc::from(column.as_str()), why)));
        }
        self.tell(found, Weight::Wrong);
    }

    /// Adds that a column must be given a value: only statements that leave it out are refused.
    pub(super) fn must_fill(&mut self, found: Found<'_>) {
        if let Some(column) = found.column {
            let mut place = self.refused.unfilled.get(column).cloned();
            extend(&mut place, &found.says);
            self.refused.unfilled.extend(place.map(|why| (Arc::from(column), why)));
        }
        self.tell(found, Weight::Wrong);
    }

    /// Does the schema put what is not sealed into a sealed column that a new row leaves out?
    pub(super) fn fills(&self) -> bool {
        !self.refused.unfilled.is_empty()
    }

    /// Adds what only costs.
    pub(super) fn warn(&mut self, found: Found<'_>) {
        self.tell(found, Weight::Costs);
    }

    fn tell(&mut self, found: Found<'_>, weight: Weight) {
        let Found { code, column, says, mends, refuses, beside: _ } = found;
        let one = Unfit {
            code,
            weight,
            table: self.name.clone(),
            column: column.map(Arc::from),
            says,
            mends,
            refuses,
        };
        if self.unfit.contains(&one) {
            return;
        }
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            self.unfit.push(one);
        }
    }

    /// A column that the policy names is not there (yet).
    fn await_column(&mut self, column: &str, of: &Field) {
        self.refused.awaits |= *of.column == *column;
        let says = format!("the policy names column {column}, which does not exist");
        self.add(Found::of("column-missing", &of.column, says, Vec::new()));
    }

    pub(super) fn fault(&self) -> Option<Arc<str>> {
        self.fault.clone()
    }

    pub(super) fn refused(&self) -> Refused {
        self.refused.clone()
    }

    /// Everything that was found, and of which kinds there is more.
    pub(super) fn unfit(&self) -> impl Iterator<Item = Unfit> {
        let more = self.counts.iter().filter_map(|(code, count)| {
            let more = count.checked_sub(TOLD_MAX).filter(|more| *more > 0)?;
            let first = self.unfit.iter().find(|one| one.code == *code)?;
            let says = format!("and {more} more of this kind on this table");
            Some(Unfit { says, column: None, mends: Vec::new(), ..first.clone() })
        });
        self.unfit.iter().cloned().chain(more)
    }

    /// `attnum` of every sealed column.
    pub(super) fn sealed_numbers(&self) -> BTreeSet<i16> {
        self.domains.keys().copied().collect()
    }

    /// `attnum` of every classified column that is not sealed.
    pub(super) fn legible_numbers(&self) -> BTreeSet<i16> {
        self.numbers.iter().filter(|number| !self.domains.contains_key(number)).copied().collect()
    }

    pub(super) fn has_legible(&self) -> bool {
        self.numbers.len() > self.domains.len()
    }

    /// Its columns that are sealed, or those that are classified and not sealed.
    pub(super) fn columns_of(&self, sealed: bool) -> impl Iterator<Item = &Column> {
        let of = move |column: &&Column| {
            column.field.is_some() && self.domains.contains_key(&column.number) == sealed
        };
        self.columns.iter().filter(of)
    }

    pub(super) fn classified_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.field.is_some())
    }

    /// Its sealed columns, each with its domain.
    pub(super) fn sealed_columns(&self) -> impl Iterator<Item = (&Column, &Domain)> {
        self.columns.iter().filter_map(|column| Some((column, self.domains.get(&column.number)?)))
    }

    fn column_name(&self, number: i16) -> &str {
        self.columns.iter().find(|column| column.number == number).map_or("?", |column| &column.name)
    }
}

/// Appends a reason, within a bound.
fn extend(place: &mut Option<Arc<str>>, why: &str) {
    let all = match place.as_deref() {
        None => why.to_owned(),
        Some(known) if known.split("; ").any(|one| one == why) => return,
        Some(known) if known.len() + why.len() > REFUSAL_BYTES_MAX => return,
        Some(known) => format!("{known}; {why}"),
    };
    *place = Some(all.into());
}

/// Every relation of one of these bare names: tables, views, sequences, indexes and row types
/// share one space of names.
pub(super) async fn named(reader: &Reader<'_>, names: &[&str]) -> Result<Vec<NamedRelation>, LoadError> {
    let rows = reader
        .rows(
            "relations",
            RELATIONS_MAX,
            "SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
                    c.relkind::pg_catalog.text, c.relpersistence = 't', c.reltype, c.relispartition, \
                    EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), \
                    EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid), c.reltoastrelid, c.relnatts \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = ANY ($1::pg_catalog.name[]) AND c.relkind IN ('r','p','v','m','f','S','c','i','I') \
             ORDER BY c.oid",
            &[(&names, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let kind: &str = value(row, 3)?;
            Ok(NamedRelation {
                oid: value(row, 0)?,
                name: qualified(value(row, 1)?, value(row, 2)?),
                kind: if matches!(kind, "r" | "p") { RelationKind::Table } else { RelationKind::Other },
                temporary: value(row, 4)?,
                row_type: value(row, 5)?,
                partition: value(row, 6)?,
                partitioned: kind == "p",
                has_parents: value(row, 7)?,
                has_children: value(row, 8)?,
                toast: value(row, 9)?,
                attributes: value(row, 10)?,
            })
        })
        .collect()
}

pub(super) fn qualified(schema: &str, name: &str) -> QualifiedName {
    QualifiedName { schema: schema.into(), name: name.into() }
}

/// The fields of each table: there may be tens of thousands.
type ByTable<'a> = HashMap<&'a QualifiedName, Vec<&'a Field>>;

/// The policy's tables by OID, with the faults that follow from their own definition.
pub(super) async fn read(
    reader: &Reader<'_>,
    fields: &[Field],
) -> Result<BTreeMap<u32, Classified>, LoadError> {
    let names: BTreeSet<&str> = fields.iter().map(|field| &*field.table.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut by_table = ByTable::new();
    for field in fields {
        by_table.entry(&field.table).or_default().push(field);
    }
    let mut tables = BTreeMap::new();
    for relation in named(reader, &names).await? {
        if by_table.contains_key(&relation.name) {
            tables.insert(relation.oid, start(relation));
        }
    }
    let oids: Vec<u32> = tables.keys().copied().collect();
    read_columns(reader, &by_table, &oids, &mut tables).await?;
    for table in tables.values_mut() {
        missing_columns(table, &by_table);
    }
    read_keys(reader, &oids, &mut tables).await?;
    read_partition_keys(reader, &oids, &mut tables).await?;
    read_foreign_keys(reader, &oids, &mut tables).await?;
    read_rules(reader, &oids, &mut tables).await?;
    Ok(tables)
}

fn start(relation: NamedRelation) -> Classified {
    let mut table = Classified {
        name: relation.name,
        columns: Vec::new(),
        numbers: BTreeSet::new(),
        domains: BTreeMap::new(),
        row_type: relation.row_type,
        toast: relation.toast,
        cascades_from: BTreeMap::new(),
        unfit: Vec::new(),
        counts: BTreeMap::new(),
        fault: None,
        refused: Refused::default(),
        keys: Vec::new(),
    };
    let mut whole = |code, says: &str| table.add(Found::of_table(code, says.to_owned(), Vec::new()));
    if relation.kind == RelationKind::Other {
        whole("table-kind", "it is not a table: the policy must name the table behind it");
    }
    if relation.partition {
        whole("partition", "it is a partition: the policy must name the partitioned table");
    } else if relation.has_parents {
        whole("inheritance", "it inherits from another table");
    }
    if relation.has_children && !relation.partitioned {
        whole("inheritance", "other tables inherit from it");
    }
    table
}

/// The keys of each table: unique at once, of all rows, and of columns that are never NULL.
async fn read_keys(
    reader: &Reader<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "keys of classified tables",
            COLUMNS_MAX,
            "SELECT k.indrelid, pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum) \
             FROM (SELECT i.indexrelid, i.indrelid, i.indnkeyatts, i.indkey FROM pg_catalog.pg_index i \
                   WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indisvalid AND i.indimmediate \
                     AND i.indpred IS NULL AND i.indexprs IS NULL) k \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.indrelid AND a.attnotnull \
              AND a.attnum = ANY ((k.indkey::pg_catalog.int2[])[0:k.indnkeyatts - 1]) \
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint n WHERE n.conrelid = k.indrelid \
                  AND n.contype = 'n' AND NOT n.convalidated AND a.attnum = ANY (n.conkey)) \
             GROUP BY k.indexrelid, k.indrelid, k.indnkeyatts HAVING count(*) = k.indnkeyatts ORDER BY 1, 2",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let Some(table) = tables.get_mut(&value(row, 0)?) else { continue };
        let columns: Vec<&str> = value(row, 1)?;
        table.keys.push(columns.into_iter().map(Arc::from).collect());
    }
    Ok(())
}

async fn read_columns(
    reader: &Reader<'_>,
    by_table: &ByTable<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    // A default has no columns in it: without its table it needs no lock of that, which a TRUNCATE may hold for long.
    let rows = reader
        .rows(
            "columns of classified tables",
            COLUMNS_MAX,
            "SELECT a.attrelid, a.attnum, a.attname::pg_catalog.text, a.atttypid, a.atttypmod, \
                    a.attgenerated <> '', a.attidentity <> '', a.atthasdef, \
                    coalesce(co.collisdeterministic, true), \
                    CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, 0) \
                         ELSE pg_catalog.pg_get_expr(d.adbin, d.adrelid) END, \
                    pg_catalog.format_type(a.atttypid, a.atttypmod) \
             FROM pg_catalog.pg_attribute a \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation \
             WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY a.attrelid, a.attnum",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let Some(table) = tables.get_mut(&value(row, 0)?) else { continue };
        let number: i16 = value(row, 1)?;
        let name: &str = value(row, 2)?;
        let type_oid: u32 = value(row, 3)?;
        let field = of(by_table, &table.name).iter().find(|field| &*field.column == name);
        let id = field.map(|field| field.id);
        let generated = value::<bool>(row, 5)?;
        table.columns.push(Column { name: name.into(), number, type_oid, field: id, fault: None, generated });
        let Some(field) = field else { continue };
        table.numbers.insert(number);
        let at = quoted_column(&table.name, name);
        let mut unfit = |code, says, mends, refuses| {
            table.add(Found { refuses, ..Found::of(code, name, says, mends) });
        };
        // Who leaves a sealed column out would have it filled.
        let filled = if field.domain.is_some() { Refuses::INSERTS } else { Refuses::NOTHING };
        if generated {
            let mends = vec![format!("{at} DROP EXPRESSION IF EXISTS")];
            unfit("column-generated", format!("column {name} is generated"), mends, filled);
        }
        if value::<bool>(row, 6)? {
            let mends = vec![format!("{at} DROP IDENTITY IF EXISTS")];
            let says = format!("column {name} is an identity");
            unfit("column-identity", says, mends, filled);
        }
        let Some(domain) = &field.domain else { continue };
        let unlimited = value::<i32>(row, 4)? == -1;
        if !(type_oid == TEXT || (type_oid == VARCHAR && unlimited)) {
            let found: &str = value(row, 10)?;
            // An extension's type stands in whatever schema it was put.
            let bare = found.rsplit_once('.').map_or(found, |(_, name)| name);
            let told = Logical::parse(found)
                .or_else(|| Logical::parse(bare).filter(|told| told.base == Base::Citext))
                .filter(|told| *told != field.logical)
                .map_or_else(String::new, |told| {
                    format!("; if applications are to see {found}, the policy says type = \"{told}\"")
                });
            let says = format!(
                "column {name} must be text, or varchar without a length, to hold sealed values, and is \
                 {found}{told}"
            );
            let quoted = quoted_name(name);
            let mends = vec![format!("{at} TYPE text USING {quoted}::text")];
            unfit("column-type", says, mends, Refuses::NOTHING);
        }
        if domain.mode == Mode::Equality && !value::<bool>(row, 8)? {
            let mends = vec![format!("{at} TYPE text COLLATE \"default\"")];
            let says = format!("column {name} has a nondeterministic collation");
            unfit("column-collation", says, mends, Refuses::NOTHING);
        }
        let begins = guard_prefix(domain);
        let sealed =
            value::<Option<&str>>(row, 9)?.is_some_and(|default| is_sealed_constant(default, &begins));
        if value::<bool>(row, 7)? && !generated && !sealed {
            let mends = vec![format!("{at} DROP DEFAULT")];
            let says = format!(
                "column {name} has a default, which would be stored unsealed: drop it, and set a constant one \
                 through Sealgate"
            );
            table.must_fill(Found::of("column-default", name, says, mends));
        }
        table.domains.insert(number, domain.clone());
    }
    Ok(())
}

fn of<'a>(by_table: &'a ByTable<'_>, table: &QualifiedName) -> &'a [&'a Field] {
    by_table.get(table).map_or(&[], Vec::as_slice)
}

fn missing_columns(table: &mut Classified, by_table: &ByTable<'_>) {
    for field in of(by_table, &table.name) {
        for column in [Some(&field.column), field.subject.as_ref()].into_iter().flatten() {
            if table.columns.iter().all(|live| live.name != *column) {
                table.await_column(column, field);
            }
        }
    }
}

/// Keys by which its rows go to partitions, and on to the partitions of those.
async fn read_partition_keys(
    reader: &Reader<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "partitioned tables",
            RELATIONS_MAX,
            "WITH RECURSIVE family AS ( \
                SELECT c.oid AS root, c.oid AS member FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) \
                UNION SELECT f.root, i.inhrelid FROM family f \
                JOIN pg_catalog.pg_inherits i ON i.inhparent = f.member) \
             SELECT f.root, ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a \
                        WHERE a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::pg_catalog.int2[])), \
                    coalesce(pg_catalog.pg_get_expr(p.partexprs, p.partrelid), '') \
             FROM family f JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = f.member ORDER BY f.root, f.member",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    let mut told = BTreeSet::new();
    for row in &rows {
        let Some(table) = tables.get_mut(&value(row, 0)?) else { continue };
        let key: Vec<&str> = value(row, 1)?;
        let expressions = body::fold(value(row, 2)?);
        let mut faults = Vec::new();
        for column in table.classified_columns() {
            let mut name = Names::default();
            name.add(&column.name);
            if key.contains(&&*column.name) || name.finder()?.first_in(&expressions).is_some() {
                faults.push(column.name.clone());
            }
        }
        for name in faults {
            if !told.insert((value::<u32>(row, 0)?, name.clone())) {
                continue;
            }
            let says = format!("column {name} is part of the partition key");
            table.add(Found::of("partition-key", &name, says, Vec::new()));
        }
    }
    Ok(())
}

/// A foreign key between a sealed column and one that is not sealed alike cannot hold, and
/// with ON UPDATE CASCADE it would carry plaintext into the sealed column.
async fn read_foreign_keys(
    reader: &Reader<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "foreign keys",
            RELATIONS_MAX,
            "SELECT con.conname::pg_catalog.text, con.conrelid, con.conkey, con.confrelid, con.confkey, \
                    con.confupdtype = 'c', n.nspname::pg_catalog.text, c.relname::pg_catalog.text \
             FROM pg_catalog.pg_constraint con JOIN pg_catalog.pg_class c ON c.oid = con.conrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE con.contype = 'f' AND con.conparentid = 0 \
               AND (con.conrelid = ANY ($1) OR con.confrelid = ANY ($1)) ORDER BY con.oid",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let name: &str = value(row, 0)?;
        let (from, to): (u32, u32) = (value(row, 1)?, value(row, 3)?);
        let (from_key, to_key): (Vec<i16>, Vec<i16>) = (value(row, 2)?, value(row, 4)?);
        let cascades: bool = value(row, 5)?;
        let owner = qualified(value(row, 6)?, value(row, 7)?);
        let mends =
            format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", quoted_table(&owner), quoted_name(name));
        for (from_column, to_column) in from_key.into_iter().zip(to_key) {
            let domain = |table: u32, column: i16| {
                tables.get(&table).and_then(|table| table.domains.get(&column)).cloned()
            };
            let (one, other) = (domain(from, from_column), domain(to, to_column));
            let random = one.as_ref().is_some_and(|domain| domain.mode == Mode::Random);
            if one == other && !random {
                continue;
            }
            if cascades && let Some(table) = tables.get_mut(&from) {
                let why = format!("foreign key {name} carries its changes into {}", table.name);
                table.cascades_from.insert(to, why);
            }
            for (table, column) in [(from, from_column), (to, to_column)] {
                if let Some(table) = tables.get_mut(&table) {
                    let column = table.column_name(column).to_owned();
                    let says = if one == other {
                        format!("foreign key {name} compares column {column}, which is sealed at random")
                    } else {
                        format!(
                            "foreign key {name} ties column {column} to one that is not sealed in the same domain"
                        )
                    };
                    table.add(Found::of("foreign-key", &column, says, vec![mends.clone()]));
                }
            }
        }
    }
    Ok(())
}

/// A rewrite rule turns a statement on the table into another one, after we have judged it.
async fn read_rules(
    reader: &Reader<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "rules",
            RELATIONS_MAX,
            "SELECT r.ev_class, r.rulename::pg_catalog.text FROM pg_catalog.pg_rewrite r \
             WHERE r.ev_class = ANY ($1) AND r.ev_type <> '1' ORDER BY r.oid",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let Some(table) = tables.get_mut(&value(row, 0)?) else { continue };
        let rule: &str = value(row, 1)?;
        let mends = format!("DROP RULE IF EXISTS {} ON {}", quoted_name(rule), quoted_table(&table.name));
        let says = format!("rule {rule} rewrites statements on it");
        table.add(Found::of_table("rule", says, vec![mends]));
    }
    Ok(())
}
