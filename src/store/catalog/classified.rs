//! The policy's tables as the server has them, and what makes one unfit: a fault, by which
//! every statement on it is refused until the table or the policy is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::body::{self, Names};
use super::load::{COLUMNS_MAX, LoadError, RELATIONS_MAX, Reader, value};
use crate::catalog::{Column, Field, Mode, QualifiedName, RelationKind};

/// `pg_type.oid` of `text` and `varchar`.
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
/// Faults told of one table.
const FAULTS_MAX: usize = 8;

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
}

/// One policy table that exists.
pub(super) struct Classified {
    pub(super) name: QualifiedName,
    pub(super) columns: Vec<Column>,
    /// `attnum` of every classified column.
    numbers: BTreeSet<i16>,
    /// Of those with a key domain, the domain's name.
    domains: BTreeMap<i16, Arc<str>>,
    pub(super) row_type: u32,
    /// `pg_class.oid` of its TOAST table, 0 if it has none.
    pub(super) toast: u32,
    /// Other tables, by `pg_class.oid`, whose changed values the server itself would carry
    /// into a column of this one, each with the reason.
    pub(super) cascades_from: BTreeMap<u32, String>,
    faults: BTreeSet<String>,
}

impl Classified {
    pub(super) fn add_fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.insert(fault);
        }
    }

    /// All faults in one text.
    pub(super) fn fault(&self) -> Option<Arc<str>> {
        if self.faults.is_empty() {
            return None;
        }
        let all: Vec<&str> = self.faults.iter().map(String::as_str).collect();
        Some(all.join("; ").into())
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

    fn column_name(&self, number: i16) -> &str {
        self.columns.iter().find(|column| column.number == number).map_or("?", |column| &column.name)
    }
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
                    EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid), c.reltoastrelid \
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
        faults: BTreeSet::new(),
    };
    if relation.kind == RelationKind::Other {
        table.add_fault("it is not a table: the policy must name the table behind it".to_owned());
    }
    if relation.partition {
        table.add_fault("it is a partition: the policy must name the partitioned table".to_owned());
    } else if relation.has_parents {
        table.add_fault("it inherits from another table".to_owned());
    }
    if relation.has_children && !relation.partitioned {
        table.add_fault("other tables inherit from it".to_owned());
    }
    table
}

async fn read_columns(
    reader: &Reader<'_>,
    by_table: &ByTable<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "columns of classified tables",
            COLUMNS_MAX,
            "SELECT a.attrelid, a.attnum, a.attname::pg_catalog.text, a.atttypid, a.atttypmod, \
                    a.attgenerated <> '', a.attidentity <> '', a.atthasdef, \
                    coalesce(co.collisdeterministic, true) \
             FROM pg_catalog.pg_attribute a \
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
        table.columns.push(Column {
            name: name.into(),
            number,
            type_oid,
            field: field.map(|field| field.id),
        });
        let Some(field) = field else { continue };
        table.numbers.insert(number);
        if value::<bool>(row, 5)? {
            table.add_fault(format!("column {name} is generated"));
        }
        if value::<bool>(row, 6)? {
            table.add_fault(format!("column {name} is an identity"));
        }
        let Some(domain) = &field.domain else { continue };
        table.domains.insert(number, domain.name.0.clone());
        let unlimited = value::<i32>(row, 4)? == -1;
        if !(type_oid == TEXT || (type_oid == VARCHAR && unlimited)) {
            table.add_fault(format!(
                "column {name} must be text, or varchar without a length, to hold sealed values"
            ));
        }
        if domain.mode == Mode::Equality && !value::<bool>(row, 8)? {
            table.add_fault(format!("column {name} has a nondeterministic collation"));
        }
        if value::<bool>(row, 7)? && !value::<bool>(row, 5)? {
            table.add_fault(format!("column {name} has a default, which would be stored unsealed: drop it"));
        }
    }
    Ok(())
}

fn of<'a>(by_table: &'a ByTable<'_>, table: &QualifiedName) -> &'a [&'a Field] {
    by_table.get(table).map_or(&[], Vec::as_slice)
}

fn missing_columns(table: &mut Classified, by_table: &ByTable<'_>) {
    let missing: BTreeSet<Arc<str>> = of(by_table, &table.name)
        .iter()
        .flat_map(|field| [Some(field.column.clone()), field.subject.clone()])
        .flatten()
        .filter(|column| table.columns.iter().all(|live| live.name != *column))
        .collect();
    for column in missing {
        table.add_fault(format!("the policy names column {column}, which does not exist"));
    }
}

async fn read_partition_keys(
    reader: &Reader<'_>,
    oids: &[u32],
    tables: &mut BTreeMap<u32, Classified>,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "partitioned tables",
            RELATIONS_MAX,
            "SELECT p.partrelid, p.partattrs::pg_catalog.int2[], \
                    coalesce(pg_catalog.pg_get_expr(p.partexprs, p.partrelid), '') \
             FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = ANY ($1) ORDER BY 1",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let Some(table) = tables.get_mut(&value(row, 0)?) else { continue };
        let key: Vec<i16> = value(row, 1)?;
        let expressions = body::fold(value(row, 2)?);
        let mut faults = Vec::new();
        for column in table.classified_columns() {
            let mut name = Names::default();
            name.add(&column.name);
            if key.contains(&column.number) || name.finder()?.first_in(&expressions).is_some() {
                faults.push(format!("column {} is part of the partition key", column.name));
            }
        }
        for fault in faults {
            table.add_fault(fault);
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
                    con.confupdtype = 'c' \
             FROM pg_catalog.pg_constraint con \
             WHERE con.contype = 'f' AND (con.conrelid = ANY ($1) OR con.confrelid = ANY ($1)) ORDER BY con.oid",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let name: &str = value(row, 0)?;
        let (from, to): (u32, u32) = (value(row, 1)?, value(row, 3)?);
        let (from_key, to_key): (Vec<i16>, Vec<i16>) = (value(row, 2)?, value(row, 4)?);
        let cascades: bool = value(row, 5)?;
        for (from_column, to_column) in from_key.into_iter().zip(to_key) {
            let domain = |table: u32, column: i16| {
                tables.get(&table).and_then(|table| table.domains.get(&column)).cloned()
            };
            if domain(from, from_column) == domain(to, to_column) {
                continue;
            }
            if cascades && let Some(table) = tables.get_mut(&from) {
                let why = format!("foreign key {name} carries its changes into {}", table.name);
                table.cascades_from.insert(to, why);
            }
            for (table, column) in [(from, from_column), (to, to_column)] {
                if let Some(table) = tables.get_mut(&table) {
                    let column = table.column_name(column).to_owned();
                    table.add_fault(format!(
                        "foreign key {name} ties column {column} to one that is not sealed in the same domain"
                    ));
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
        table.add_fault(format!("rule {} rewrites statements on it", value::<&str>(row, 1)?));
    }
    Ok(())
}
