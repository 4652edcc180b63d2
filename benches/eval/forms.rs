//! Forms of statements, as a record has them: without literals, and with the fields that they name.

use std::sync::Arc;

use crate::company::{Random, Role};

/// Fields of each table, and about how many bytes a value has.
const TABLES: [(&str, &[(&str, u64)]); 6] = [
    ("customers", &[("name", 14), ("email", 22), ("phone", 13), ("street", 20), ("city", 9), ("birth", 10)]),
    ("accounts", &[("iban", 22), ("bic", 8), ("balance", 7)]),
    ("orders", &[("address", 40), ("note", 120)]),
    ("contracts", &[("number", 10), ("terms", 600)]),
    ("claims", &[("diagnosis", 80), ("report", 900)]),
    ("staff", &[("salary", 7), ("tax_id", 11)]),
];

/// What a statement looks like.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// The n-th of a role's application.
    Usual(Role, u32),
    /// Written by hand, and never again.
    ByHand(u64),
    /// The n-th of a role's with so many fields more.
    Wider(Role, u32, u32),
    /// A whole table.
    Whole(usize),
    Copy(usize),
    /// The n-th of the services' with something else where its literal stood.
    Injected(Technique, u32, Step),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Technique {
    Union,
    Error,
    Boolean,
    Time,
}

/// How far an injection has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    Probe,
    Read,
}

/// Lookups of one subject are numbered below this, searches from here on.
pub const SEARCHES: u32 = 16;
/// From here on: lookups that a release brings.
pub const RELEASED: u32 = 24;
/// An entrance of the application that nobody has used.
pub const UNUSED: u32 = 90;

/// A form with all that records say of it.
pub struct Written {
    pub text: Arc<str>,
    pub fingerprint: Arc<str>,
    /// `schema.table.column`
    pub fields: Vec<String>,
    /// Bytes of one row's values.
    pub row_bytes: u64,
    pub table: usize,
    /// Literals in it.
    pub literals: usize,
}

fn tables(role: Role) -> &'static [usize] {
    match role {
        Role::Support => &[0, 2],
        Role::Sales => &[0, 3],
        Role::Accounting => &[1, 0],
        Role::Analyst => &[0, 2, 3, 4],
        Role::Service => &[0, 2, 1],
        Role::Batch => &[0, 1, 2, 3, 4, 5],
    }
}

struct Shape {
    table: usize,
    columns: Vec<&'static str>,
    condition: String,
}

fn columns(random: &mut Random, table: usize) -> Vec<&'static str> {
    let all = TABLES[table].1;
    let first = random.below(all.len() as u64) as usize;
    let count = 1 + random.below(3.min(all.len() as u64)) as usize;
    (0..count).map(|n| all[(first + n) % all.len()].0).collect()
}

fn usual(role: Role, n: u32) -> Shape {
    let mut random = Random::of(&[6, role as u64, u64::from(n)]);
    let of = tables(role);
    let table = of[n as usize % of.len()];
    let columns = columns(&mut random, table);
    let condition = if !(SEARCHES..RELEASED).contains(&n) {
        let more = ["", " AND tenant = ?", " AND state = ?", " AND NOT is_closed"];
        format!("id = ?{}", more[random.below(4) as usize])
    } else {
        let by = ["state = ?", "opened_on >= ?", "region = ? AND state = ?", "agent = ?"];
        let limit = ["", " LIMIT ?", " LIMIT ? OFFSET ?"];
        format!("{} ORDER BY id{}", by[random.below(4) as usize], limit[random.below(3) as usize])
    };
    Shape { table, columns, condition }
}

impl Form {
    fn shape(self) -> Shape {
        match self {
            Form::Usual(role, n) | Form::Wider(role, n, 0) => usual(role, n),
            Form::ByHand(n) => {
                let mut random = Random::of(&[9, n]);
                let table = tables(Role::Analyst)[random.below(4) as usize];
                let columns = columns(&mut random, table);
                let condition = format!("column_{} BETWEEN ? AND ?", random.below(1_000));
                Shape { table, columns, condition }
            }
            Form::Wider(role, n, more) => {
                let mut shape = usual(role, n);
                let others = TABLES.iter().skip(1).flat_map(|(_, fields)| fields.iter().map(|field| field.0));
                shape.columns.extend(others.skip(role as usize).step_by(2).take(more as usize));
                shape
            }
            Form::Whole(table) | Form::Copy(table) => {
                let columns = TABLES[table].1.iter().map(|field| field.0).collect();
                Shape { table, columns, condition: String::new() }
            }
            Form::Injected(technique, n, step) => {
                let mut shape = usual(Role::Service, n);
                let (first, behind) = shape.condition.split_at("id = ?".len());
                shape.condition = match (technique, step) {
                    (Technique::Union, Step::Probe) => format!("{first} ORDER BY ?"),
                    (Technique::Union, Step::Read) => {
                        let columns = shape.columns.join(", ");
                        format!("{first} UNION ALL SELECT {columns} FROM {}", TABLES[shape.table].0)
                    }
                    (Technique::Error, _) => {
                        let inner = "? || (SELECT email FROM customers ORDER BY ? LIMIT ? OFFSET ?) || ?";
                        format!("{first} AND ? = CAST ( {inner} AS numeric ){behind}")
                    }
                    (Technique::Boolean, Step::Probe) => format!("{first} AND ? = ?{behind}"),
                    (Technique::Boolean, Step::Read) => {
                        let inner = "(SELECT email FROM customers ORDER BY ? LIMIT ? OFFSET ?)";
                        format!("{first} AND ascii ( substring ( {inner} FROM ? FOR ? ) ) > ?{behind}")
                    }
                    (Technique::Time, _) => {
                        format!("{first} AND ? = (SELECT ? FROM pg_sleep ( ? )){behind}")
                    }
                };
                shape
            }
        }
    }

    /// As a record has it.
    #[must_use]
    pub fn written(self) -> Written {
        let Shape { table, columns, condition } = self.shape();
        let from = TABLES[table].0;
        let list = columns.join(", ");
        let text = match self {
            Form::Copy(_) => format!("COPY public.{from} ({list}) TO STDOUT"),
            Form::Whole(_) => format!("SELECT {list} FROM {from}"),
            Form::Usual(..) | Form::ByHand(_) | Form::Wider(..) | Form::Injected(..) => {
                format!("SELECT {list} FROM {from} WHERE {condition}")
            }
        };
        let (mut fields, mut row_bytes) = (Vec::new(), 0);
        for (table, all) in TABLES {
            for (column, bytes) in all {
                let is_read = columns.contains(column) && (table == from || !has(from, column));
                let is_read = is_read || (text.contains("(SELECT email") && *column == "email");
                if is_read {
                    fields.push(format!("public.{table}.{column}"));
                    row_bytes += bytes;
                }
            }
        }
        let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
        let literals = text.matches('?').count();
        let fingerprint = format!("{hash:016x}").into();
        Written { text: text.into(), fingerprint, fields, row_bytes, table, literals }
    }
}

fn has(table: &str, column: &str) -> bool {
    TABLES.iter().any(|(name, all)| *name == table && all.iter().any(|field| field.0 == column))
}
