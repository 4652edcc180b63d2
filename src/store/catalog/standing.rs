//! What stands in the schema over sealed columns and was written for their values: generated columns,
//! checks, indexes, policies of rows. Where sealing makes it say something else, it is a fault of the
//! column; where it only costs, it is told.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::classified::{Classified, Found, qualified};
use super::load::{LoadError, RELATIONS_MAX, Reader, value};
use super::quoted::{name as quoted_name, table as quoted_table};
use crate::catalog::{Mode, QualifiedName, Refuses};
use crate::seal::guard_prefix;
use crate::statement::{Sealed, Standing, Uses, uses};

/// What stands over tables of the policy and their partitions. A row begins with the table's OID and with
/// schema and name of the one of its family, `c`, that has it; `columns` and the rest of the query follow.
pub(super) async fn of_family(
    reader: &Reader<'_>,
    what: &'static str,
    roots: &[u32],
    columns: &str,
    rest: &str,
) -> Result<Vec<Row>, LoadError> {
    let sql = format!(
        "WITH RECURSIVE family AS ( \
            SELECT c.oid AS root, c.oid AS member FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) \
            UNION SELECT f.root, i.inhrelid FROM family f \
            JOIN pg_catalog.pg_inherits i ON i.inhparent = f.member) \
         SELECT f.root, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, {columns} \
         FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.member \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace {rest}"
    );
    reader.rows(what, RELATIONS_MAX, &sql, &[(&roots, Type::OID_ARRAY)]).await
}

/// Columns of a table that are sealed, or made of sealed ones, by name.
pub(super) struct Watched {
    columns: BTreeMap<String, Of>,
}

/// The domain, where equal values are equal sealed texts, and with what these begin; and the sealed columns
/// it is made of.
struct Of {
    equal_in: Option<String>,
    begins: Option<String>,
    from: BTreeSet<String>,
}

impl Watched {
    pub(super) fn of(table: &Classified) -> Watched {
        let columns = table.sealed_columns().map(|(column, domain)| {
            let equal_in = (domain.mode == Mode::Equality).then(|| domain.name.0.to_string());
            let (begins, from) = (Some(guard_prefix(domain)), BTreeSet::from([column.name.to_string()]));
            (column.name.to_string(), Of { equal_in, begins, from })
        });
        Watched { columns: columns.collect() }
    }

    pub(super) fn uses(&self, standing: Standing<'_>, table: &QualifiedName) -> Uses {
        let sealed: Vec<Sealed<'_>> = self
            .columns
            .iter()
            .map(|(column, of)| {
                let (equal_in, begins) = (of.equal_in.as_deref(), of.begins.as_deref());
                Sealed { column, equal_in, begins }
            })
            .collect();
        uses(standing, &table.name, &sealed)
    }

    /// The sealed columns behind these.
    pub(super) fn blamed<'a, 'n>(&'a self, names: impl IntoIterator<Item = &'n String>) -> BTreeSet<&'a str> {
        let of = names.into_iter().filter_map(|name| self.columns.get(name));
        of.flat_map(|of| &of.from).map(String::as_str).collect()
    }
}

type Tables = BTreeMap<u32, Classified>;

/// Adds to the tables what is found.
pub(super) async fn judge(reader: &Reader<'_>, tables: &mut Tables) -> Result<(), LoadError> {
    let mut watched: BTreeMap<u32, Watched> =
        tables.iter().map(|(oid, table)| (*oid, Watched::of(table))).collect();
    watched.retain(|_, watched| !watched.columns.is_empty());
    let oids: Vec<u32> = watched.keys().copied().collect();
    if oids.is_empty() {
        return Ok(());
    }
    generated(reader, &oids, &mut watched, tables).await?;
    checks(reader, &oids, &watched, tables).await?;
    indexes(reader, &oids, &watched, tables).await?;
    policies(reader, &oids, &watched, tables).await
}

/// Generated columns first: what stands over one of those stands over what it is made of.
async fn generated(
    reader: &Reader<'_>,
    oids: &[u32],
    watched: &mut BTreeMap<u32, Watched>,
    tables: &mut Tables,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "generated columns",
            RELATIONS_MAX,
            "SELECT d.adrelid, a.attname::pg_catalog.text, pg_catalog.pg_get_expr(d.adbin, d.adrelid) \
             FROM pg_catalog.pg_attrdef d \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
             WHERE d.adrelid = ANY ($1) AND a.attgenerated <> '' ORDER BY 1, a.attnum",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let oid: u32 = value(row, 0)?;
        let (Some(table), Some(watched)) = (tables.get_mut(&oid), watched.get_mut(&oid)) else { continue };
        let name: &str = value(row, 1)?;
        let uses = watched.uses(Standing::Expression(value(row, 2)?), &table.name);
        let from: BTreeSet<String> = watched
            .blamed(uses.misread.iter().chain(&uses.compared))
            .into_iter()
            .map(str::to_owned)
            .collect();
        if from.is_empty() {
            continue;
        }
        let of = from.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let says = format!("column {name} is generated from sealed {of}, and no longer from its values");
        let mends =
            format!("ALTER TABLE {} DROP COLUMN IF EXISTS {}", quoted_table(&table.name), quoted_name(name));
        table.add(Found::of("generated-from-sealed", name, says, vec![mends]));
        watched.columns.insert(name.to_owned(), Of { equal_in: None, begins: None, from });
    }
    Ok(())
}

async fn checks(
    reader: &Reader<'_>,
    oids: &[u32],
    watched: &BTreeMap<u32, Watched>,
    tables: &mut Tables,
) -> Result<(), LoadError> {
    let columns = "con.conname::pg_catalog.text, pg_catalog.pg_get_constraintdef(con.oid)";
    let rest = "JOIN pg_catalog.pg_constraint con ON con.conrelid = f.member \
        WHERE con.contype = 'c' AND con.coninhcount = 0 ORDER BY con.oid";
    let rows = of_family(reader, "checks", oids, columns, rest).await?;
    for row in &rows {
        let oid: u32 = value(row, 0)?;
        let (Some(table), Some(watched)) = (tables.get_mut(&oid), watched.get(&oid)) else { continue };
        let (member, name) = (qualified(value(row, 1)?, value(row, 2)?), value::<&str>(row, 3)?);
        let text: &str = value(row, 4)?;
        let uses = watched.uses(Standing::Check(text), &member);
        if text.ends_with("NOT ENFORCED") {
            continue;
        }
        for column in watched.blamed(uses.misread.iter().chain(&uses.compared)) {
            let says = format!("check {name} looks at the values of column {column}, which are sealed");
            let mends = drop_constraint(&member, name);
            let beside = beside(&uses.named, watched);
            table.add(Found { beside, ..Found::of("check", column, says, vec![mends]) });
        }
    }
    Ok(())
}

fn drop_constraint(table: &QualifiedName, name: &str) -> String {
    format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", quoted_table(table), quoted_name(name))
}

/// The columns that decide with those that are sealed.
fn beside(named: &BTreeSet<String>, watched: &Watched) -> Vec<String> {
    named.iter().filter(|name| !watched.columns.contains_key(*name)).cloned().collect()
}

/// An index, or the constraint that it is of.
struct Index<'a> {
    table: QualifiedName,
    schema: &'a str,
    name: &'a str,
    /// Unique, or of an exclusion constraint: it holds rows to something.
    holds: bool,
    method: &'a str,
    /// Of each key the column, or none.
    columns: Vec<Option<&'a str>>,
    /// Of each key its expression.
    expressions: Vec<&'a str>,
    predicate: Option<&'a str>,
    constraint: Option<&'a str>,
    /// By which operator each key excludes.
    operators: Vec<&'a str>,
}

async fn indexes(
    reader: &Reader<'_>,
    oids: &[u32],
    watched: &BTreeMap<u32, Watched>,
    tables: &mut Tables,
) -> Result<(), LoadError> {
    let columns = "xn.nspname::pg_catalog.text, x.relname::pg_catalog.text, i.indisunique OR i.indisexclusion, \
        am.amname::pg_catalog.text, \
        ARRAY(SELECT (SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a \
                       WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[k - 1] AND a.attnum <> 0) \
                FROM pg_catalog.generate_series(1, i.indnkeyatts) k ORDER BY k), \
        CASE WHEN i.indexprs IS NULL THEN '{}' ELSE \
            ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k, true) \
                    FROM pg_catalog.generate_series(1, i.indnkeyatts) k ORDER BY k) END, \
        pg_catalog.pg_get_expr(i.indpred, i.indrelid), con.conname::pg_catalog.text, \
        ARRAY(SELECT o.oprname::pg_catalog.text FROM pg_catalog.unnest(con.conexclop) \
                WITH ORDINALITY AS e (oid, place) JOIN pg_catalog.pg_operator o ON o.oid = e.oid \
               ORDER BY e.place)";
    let rest = "JOIN pg_catalog.pg_index i ON i.indrelid = f.member \
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
        JOIN pg_catalog.pg_am am ON am.oid = x.relam \
        JOIN pg_catalog.pg_namespace xn ON xn.oid = x.relnamespace \
        LEFT JOIN pg_catalog.pg_constraint con \
          ON con.conindid = i.indexrelid AND con.conrelid = f.member AND con.contype IN ('p', 'u', 'x') \
        WHERE NOT x.relispartition ORDER BY i.indexrelid";
    let rows = of_family(reader, "indexes", oids, columns, rest).await?;
    for row in &rows {
        let oid: u32 = value(row, 0)?;
        let (Some(table), Some(watched)) = (tables.get_mut(&oid), watched.get(&oid)) else { continue };
        let index = read_index(row)?;
        index.judge(watched, table);
    }
    Ok(())
}

fn read_index(row: &Row) -> Result<Index<'_>, LoadError> {
    Ok(Index {
        table: qualified(value(row, 1)?, value(row, 2)?),
        schema: value(row, 3)?,
        name: value(row, 4)?,
        holds: value(row, 5)?,
        method: value(row, 6)?,
        columns: value(row, 7)?,
        expressions: value(row, 8)?,
        predicate: value(row, 9)?,
        constraint: value(row, 10)?,
        operators: value(row, 11)?,
    })
}

impl Index<'_> {
    fn judge(&self, watched: &Watched, table: &mut Classified) {
        let name = self.name;
        let mut named: BTreeSet<String> =
            self.columns.iter().flatten().map(|column| (*column).to_owned()).collect();
        // By column: the code where it holds rows to something, the one where it only costs, the words.
        let mut found: Vec<(&str, &'static str, &'static str, String)> = Vec::new();
        for (place, key) in self.columns.iter().enumerate() {
            let Some(key) = key else {
                let text = self.expressions.get(place).copied().unwrap_or_default();
                let uses = watched.uses(Standing::Expression(text), &self.table);
                for column in watched.blamed(uses.misread.iter().chain(&uses.compared)) {
                    let says = format!("is over an expression of column {column}, whose values are sealed");
                    found.push((column, "unique-expression", "index-expression", says));
                }
                named.extend(uses.named);
                continue;
            };
            let Some(of) = watched.columns.get(*key) else { continue };
            let other = self.operators.get(place).is_some_and(|operator| *operator != "=");
            let useless = !matches!(self.method, "btree" | "hash") && self.operators.is_empty();
            for column in of.from.iter().map(String::as_str) {
                if column != *key {
                    let says = format!("is over column {key}, which is generated from sealed {column}");
                    found.push((column, "unique-expression", "index-expression", says));
                } else if of.equal_in.is_none() {
                    let says = format!(
                        "is over column {column}, of which equal values are sealed to different texts"
                    );
                    found.push((column, "unique-random", "index-random", says));
                } else if other {
                    let says = format!("compares column {column}, which is sealed, by other than =");
                    found.push((column, "unique-expression", "index-expression", says));
                } else if useless {
                    let says = format!("is over column {column}, of whose sealed texts it finds nothing");
                    found.push((column, "index-expression", "index-expression", says));
                }
            }
        }
        if let Some(predicate) = self.predicate {
            let uses = watched.uses(Standing::Expression(predicate), &self.table);
            for column in watched.blamed(uses.misread.iter().chain(&uses.compared)) {
                let says = format!("is of rows by the values of column {column}, which are sealed");
                found.push((column, "unique-partial", "index-partial", says));
            }
            named.extend(uses.named);
        }
        for (column, wrong, costs, says) in found {
            let one = |code, says| Found::of(code, column, says, self.mends(watched, table, column, code));
            if self.holds {
                let what = if self.operators.is_empty() { "unique index" } else { "exclusion constraint" };
                let beside = beside(&named, watched);
                table.add(Found { beside, ..one(wrong, format!("{what} {name} {says}")) });
            } else {
                table.warn(one(costs, format!("index {name} {says}")));
            }
        }
    }

    fn mends(&self, watched: &Watched, table: &Classified, column: &str, code: &str) -> Vec<String> {
        let mut mends = vec![match self.constraint {
            Some(constraint) => drop_constraint(&self.table, constraint),
            None => format!("DROP INDEX IF EXISTS {}.{}", quoted_name(self.schema), quoted_name(self.name)),
        }];
        let equal = watched.columns.get(column).is_some_and(|of| of.equal_in.is_some());
        let alone = self.columns.len() == 1 && self.predicate.is_none() && self.operators.is_empty();
        if code == "unique-expression" && equal && alone && self.table == table.name {
            mends.push(format!(
                "CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})",
                quoted_name(&format!("{}_sealed", self.name)),
                quoted_table(&table.name),
                quoted_name(column)
            ));
        }
        mends
    }
}

async fn policies(
    reader: &Reader<'_>,
    oids: &[u32],
    watched: &BTreeMap<u32, Watched>,
    tables: &mut Tables,
) -> Result<(), LoadError> {
    let rows = reader
        .rows(
            "row security policies",
            RELATIONS_MAX,
            "SELECT p.polrelid, p.polname::pg_catalog.text, p.polcmd::pg_catalog.text, p.polpermissive, \
                    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) \
             FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid \
             WHERE p.polrelid = ANY ($1) AND c.relrowsecurity ORDER BY p.oid",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        let oid: u32 = value(row, 0)?;
        let (Some(table), Some(watched)) = (tables.get_mut(&oid), watched.get(&oid)) else { continue };
        let (name, command): (&str, &str) = (value(row, 1)?, value(row, 2)?);
        let (using, with_check): (Option<&str>, Option<&str>) = (value(row, 4)?, value(row, 5)?);
        let refuses = match command {
            "a" => Refuses::INSERTS,
            "d" => Refuses { deletes: true, ..Refuses::NOTHING },
            // Rows that are locked, or looked for to be changed, are read by it as well.
            _ => Refuses::ALL,
        };
        let mut misread = BTreeSet::new();
        for text in using.iter().chain(&with_check) {
            let uses = watched.uses(Standing::Expression(text), &table.name);
            misread.extend(uses.misread.into_iter().chain(uses.compared));
        }
        let on = format!("POLICY {} ON {}", quoted_name(name), quoted_table(&table.name));
        // Without a permissive one fewer rows are seen, without a restrictive one more.
        let mends = if value::<bool>(row, 3)? {
            format!("DROP {}", on.replacen("POLICY ", "POLICY IF EXISTS ", 1))
        } else {
            let using = using.map(|_| " USING (false)").unwrap_or_default();
            let with_check = with_check.map(|_| " WITH CHECK (false)").unwrap_or_default();
            format!("ALTER {on}{using}{with_check}")
        };
        for column in watched.blamed(&misread) {
            let says = format!(
                "row security policy {name} looks at the values of column {column}, which are sealed"
            );
            table.add(Found { refuses, ..Found::of("row-policy", column, says, vec![mends.clone()]) });
        }
    }
    Ok(())
}
