//! Forms of statements, as a record has them: without literals, and with the fields that they name.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

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
    /// The n-th of the services' with something else where its literal stood: what [`injected`] has in this place.
    Injected(Technique, u32, usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Technique {
    Union,
    Error,
    Boolean,
    Time,
}

/// One statement of sqlmap as a gate has recorded it, or several that were the same: sqlmap 1.10.10 against
/// `tests/drivers/python/vulnerable_shop.py`, with a gate between them. No text of the tool's own: its literals are
/// not in the record.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Recorded {
    pub technique: Technique,
    /// Since the one before.
    pub after_ms: u64,
    /// What stands where the literal stood. None: the text could not be read.
    pub tail: Option<String>,
    /// The application's own statement goes on behind it.
    #[serde(default)]
    pub goes_on: bool,
    /// By which rule it was refused.
    pub refused: Option<String>,
    pub sqlstate: Option<String>,
    /// Signs of an injection, as bits of `records::signs`.
    #[serde(default)]
    pub signs: u8,
    #[serde(default)]
    pub rows: u64,
    #[serde(default = "once")]
    pub times: u64,
}

const fn once() -> u64 {
    1
}

impl Recorded {
    /// It reads the next value of somebody.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.contains("OFFSET"))
    }
}

/// All that was recorded, in its order.
pub fn injected() -> &'static [Recorded] {
    static ALL: OnceLock<Vec<Recorded>> = OnceLock::new();
    ALL.get_or_init(|| {
        let lines = include_str!("sqlmap.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    })
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
            Form::Injected(_, n, at) => {
                let mut shape = usual(Role::Service, n);
                let (_, behind) = shape.condition.split_at("id = ?".len());
                let recorded = &injected()[at];
                let tail = recorded.tail.as_deref().unwrap_or("?");
                let behind = if recorded.goes_on { behind } else { "" };
                shape.condition = format!("id = {tail}{behind}");
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
                let is_read = is_read
                    || (text.contains("public.customers") && table == "customers" && *column == "city");
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
