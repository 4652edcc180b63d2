//! The type that applications see of a sealed column. Upstream such a column is always `text`.
//!
//! OIDs, lengths and modifiers are those of `pg_type` and `pg_attribute`; those of the server's own
//! types never change.

use std::fmt;

/// A type of the server's own, without its modifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Base {
    Text,
    Varchar,
    /// `char(n)`: blanks at its end mean nothing.
    Bpchar,
    Name,
    /// The extension's type: its OID differs from database to database.
    Citext,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Bool,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Bytea,
    Inet,
    Cidr,
    Macaddr,
    Money,
}

/// All of them: each once, in the order of their families.
pub const BASES: [Base; 26] = [
    Base::Text,
    Base::Varchar,
    Base::Bpchar,
    Base::Name,
    Base::Citext,
    Base::Int2,
    Base::Int4,
    Base::Int8,
    Base::Numeric,
    Base::Float4,
    Base::Float8,
    Base::Bool,
    Base::Date,
    Base::Time,
    Base::Timetz,
    Base::Timestamp,
    Base::Timestamptz,
    Base::Interval,
    Base::Uuid,
    Base::Json,
    Base::Jsonb,
    Base::Bytea,
    Base::Inet,
    Base::Cidr,
    Base::Macaddr,
    Base::Money,
];

/// Types whose values are sealed alike, and so can be compared with one another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Family {
    Text,
    Integer,
    Numeric,
    Float,
    Bool,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Bytea,
    Network,
    Macaddr,
    Money,
}

/// `pg_attribute.atttypmod` of a type without one.
pub const NO_MODIFIER: i32 = -1;

/// What a modifier of character types and of numeric counts beside its own number.
const MODIFIER_HEADER: i32 = 4;

impl Base {
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Base::Text | Base::Varchar | Base::Bpchar | Base::Name | Base::Citext => Family::Text,
            Base::Int2 | Base::Int4 | Base::Int8 => Family::Integer,
            Base::Numeric => Family::Numeric,
            Base::Float4 | Base::Float8 => Family::Float,
            Base::Bool => Family::Bool,
            Base::Date => Family::Date,
            Base::Time => Family::Time,
            Base::Timetz => Family::Timetz,
            Base::Timestamp => Family::Timestamp,
            Base::Timestamptz => Family::Timestamptz,
            Base::Interval => Family::Interval,
            Base::Uuid => Family::Uuid,
            Base::Json => Family::Json,
            Base::Jsonb => Family::Jsonb,
            Base::Bytea => Family::Bytea,
            Base::Inet | Base::Cidr => Family::Network,
            Base::Macaddr => Family::Macaddr,
            Base::Money => Family::Money,
        }
    }

    /// `pg_type.typname`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Base::Text => "text",
            Base::Varchar => "varchar",
            Base::Bpchar => "bpchar",
            Base::Name => "name",
            Base::Citext => "citext",
            Base::Int2 => "int2",
            Base::Int4 => "int4",
            Base::Int8 => "int8",
            Base::Float4 => "float4",
            Base::Float8 => "float8",
            Base::Numeric => "numeric",
            Base::Bool => "bool",
            Base::Date => "date",
            Base::Time => "time",
            Base::Timetz => "timetz",
            Base::Timestamp => "timestamp",
            Base::Timestamptz => "timestamptz",
            Base::Interval => "interval",
            Base::Uuid => "uuid",
            Base::Json => "json",
            Base::Jsonb => "jsonb",
            Base::Bytea => "bytea",
            Base::Inet => "inet",
            Base::Cidr => "cidr",
            Base::Macaddr => "macaddr",
            Base::Money => "money",
        }
    }

    /// What SQL calls it beside that: `integer`, `character varying`.
    const fn other_names(self) -> &'static [&'static str] {
        match self {
            Base::Varchar => &["character varying"],
            Base::Bpchar => &["char", "character"],
            Base::Int2 => &["smallint"],
            Base::Int4 => &["integer", "int"],
            Base::Int8 => &["bigint"],
            Base::Float4 => &["real"],
            Base::Float8 => &["double precision", "float"],
            Base::Numeric => &["decimal"],
            Base::Bool => &["boolean"],
            Base::Time => &["time without time zone"],
            Base::Timetz => &["time with time zone"],
            Base::Timestamp => &["timestamp without time zone"],
            Base::Timestamptz => &["timestamp with time zone"],
            Base::Text
            | Base::Name
            | Base::Citext
            | Base::Date
            | Base::Interval
            | Base::Uuid
            | Base::Json
            | Base::Jsonb
            | Base::Bytea
            | Base::Inet
            | Base::Cidr
            | Base::Macaddr
            | Base::Money => &[],
        }
    }

    /// By any of its names, in lower case, without a modifier.
    #[must_use]
    pub fn named(name: &str) -> Option<Base> {
        BASES.into_iter().find(|base| base.name() == name || base.other_names().contains(&name))
    }

    /// `pg_type.oid`, and that of the array of it. None: it differs from database to database.
    #[must_use]
    pub const fn oids(self) -> Option<(u32, u32)> {
        Some(match self {
            Base::Citext => return None,
            Base::Text => (25, 1009),
            Base::Varchar => (1043, 1015),
            Base::Bpchar => (1042, 1014),
            Base::Name => (19, 1003),
            Base::Int2 => (21, 1005),
            Base::Int4 => (23, 1007),
            Base::Int8 => (20, 1016),
            Base::Float4 => (700, 1021),
            Base::Float8 => (701, 1022),
            Base::Numeric => (1700, 1231),
            Base::Bool => (16, 1000),
            Base::Date => (1082, 1182),
            Base::Time => (1083, 1183),
            Base::Timetz => (1266, 1270),
            Base::Timestamp => (1114, 1115),
            Base::Timestamptz => (1184, 1185),
            Base::Interval => (1186, 1187),
            Base::Uuid => (2950, 2951),
            Base::Json => (114, 199),
            Base::Jsonb => (3802, 3807),
            Base::Bytea => (17, 1001),
            Base::Inet => (869, 1041),
            Base::Cidr => (650, 651),
            Base::Macaddr => (829, 1040),
            Base::Money => (790, 791),
        })
    }

    /// `pg_type.typlen`: bytes, or -1 where values differ in length.
    #[must_use]
    pub const fn length(self) -> i16 {
        match self {
            Base::Bool => 1,
            Base::Int2 => 2,
            Base::Int4 | Base::Float4 | Base::Date => 4,
            Base::Macaddr => 6,
            Base::Int8 | Base::Float8 | Base::Time | Base::Timestamp | Base::Timestamptz | Base::Money => 8,
            Base::Timetz => 12,
            Base::Interval | Base::Uuid => 16,
            Base::Name => 64,
            Base::Text
            | Base::Varchar
            | Base::Bpchar
            | Base::Citext
            | Base::Numeric
            | Base::Json
            | Base::Jsonb
            | Base::Bytea
            | Base::Inet
            | Base::Cidr => -1,
        }
    }
}

impl Family {
    /// Type byte at the head of every sealed plaintext; that of an array of them is [`ARRAY_BYTE`] more.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Family::Text => 1,
            Family::Integer => 2,
            Family::Numeric => 3,
            Family::Float => 4,
            Family::Bool => 5,
            Family::Date => 6,
            Family::Time => 7,
            Family::Timetz => 8,
            Family::Timestamp => 9,
            Family::Timestamptz => 10,
            Family::Interval => 11,
            Family::Uuid => 12,
            Family::Json => 13,
            Family::Jsonb => 14,
            Family::Bytea => 15,
            Family::Network => 16,
            Family::Macaddr => 17,
            Family::Money => 18,
        }
    }

    /// As the keyring names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Family::Text => "text",
            Family::Integer => "integer",
            Family::Numeric => "numeric",
            Family::Float => "float",
            Family::Bool => "bool",
            Family::Date => "date",
            Family::Time => "time",
            Family::Timetz => "timetz",
            Family::Timestamp => "timestamp",
            Family::Timestamptz => "timestamptz",
            Family::Interval => "interval",
            Family::Uuid => "uuid",
            Family::Json => "json",
            Family::Jsonb => "jsonb",
            Family::Bytea => "bytea",
            Family::Network => "network",
            Family::Macaddr => "macaddr",
            Family::Money => "money",
        }
    }

    /// All families, in the order of their bytes.
    pub fn all() -> impl Iterator<Item = Family> {
        let mut families: Vec<Family> = BASES.into_iter().map(Base::family).collect();
        families.sort_unstable();
        families.dedup();
        families.into_iter()
    }
}

/// The type that applications see. A sealed column is always `text` upstream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Logical {
    pub base: Base,
    /// `pg_attribute.atttypmod`; [`NO_MODIFIER`] without one.
    pub modifier: i32,
    /// A one-dimensional array of it.
    pub array: bool,
}

impl Logical {
    pub const TEXT: Logical = Logical { base: Base::Text, modifier: NO_MODIFIER, array: false };

    #[must_use]
    pub const fn of(base: Base) -> Logical {
        Logical { base, modifier: NO_MODIFIER, array: false }
    }

    /// Reads a type as SQL writes it: `varchar(254)`, `numeric(10, 2)`, `timestamp(3) with time zone`,
    /// `text[]`. `char` is `char(1)`, `float(n)` one of the two floats, as in SQL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Logical> {
        let lower = text.trim().to_ascii_lowercase();
        let element = lower.strip_suffix(']').and_then(|rest| rest.trim_end().strip_suffix('['));
        let (element, array) = (element.unwrap_or(&lower).trim_end(), element.is_some());
        let (name, arguments) = match element.split_once('(') {
            Some((head, rest)) => {
                let (inside, tail) = rest.split_once(')')?;
                let numbers: Option<Vec<i32>> =
                    inside.split(',').map(|number| number.trim().parse::<i32>().ok()).collect();
                (
                    format!(
                        "{}{}",
                        head.trim_end(),
                        if tail.is_empty() { String::new() } else { format!(" {}", tail.trim()) }
                    ),
                    numbers?,
                )
            }
            None => (element.to_owned(), Vec::new()),
        };
        let name = name.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let base = match (Base::named(&name)?, arguments.as_slice()) {
            (Base::Float8, [digits]) if name == "float" => match digits {
                1..=24 => return Some(Logical { array, ..Logical::of(Base::Float4) }),
                25..=53 => return Some(Logical { array, ..Logical::of(Base::Float8) }),
                _ => return None,
            },
            (base, _) => base,
        };
        let arguments = match (base, arguments.as_slice()) {
            // `char` alone is of one character; `bpchar` alone of any number.
            (Base::Bpchar, []) if name != "bpchar" => &[1],
            (_, arguments) => arguments,
        };
        Some(Logical { base, modifier: modifier(base, arguments)?, array })
    }

    /// Declared length in characters, of `varchar(n)` and `char(n)`.
    #[must_use]
    pub fn characters(&self) -> Option<u32> {
        let counted = matches!(self.base, Base::Varchar | Base::Bpchar);
        counted.then(|| u32::try_from(self.modifier - MODIFIER_HEADER).ok()).flatten()
    }

    /// Precision and scale of `numeric(p, s)`.
    #[must_use]
    pub fn decimal(&self) -> Option<(u16, i16)> {
        if self.base != Base::Numeric || self.modifier < MODIFIER_HEADER {
            return None;
        }
        let packed = self.modifier - MODIFIER_HEADER;
        // The scale is of 11 bits, with a sign since version 15.
        let scale = i16::try_from((packed & 0x7FF) ^ 1024).ok()? - 1024;
        Some((u16::try_from((packed >> 16) & 0xFFFF).ok()?, scale))
    }

    /// Digits behind the seconds' point, of times and intervals: at most 6.
    #[must_use]
    pub fn fraction(&self) -> Option<u8> {
        match self.base {
            Base::Time | Base::Timetz | Base::Timestamp | Base::Timestamptz | Base::Interval => {
                u8::try_from(self.modifier).ok().filter(|digits| *digits <= 6)
            }
            Base::Text
            | Base::Varchar
            | Base::Bpchar
            | Base::Name
            | Base::Citext
            | Base::Int2
            | Base::Int4
            | Base::Int8
            | Base::Float4
            | Base::Float8
            | Base::Numeric
            | Base::Bool
            | Base::Date
            | Base::Uuid
            | Base::Json
            | Base::Jsonb
            | Base::Bytea
            | Base::Inet
            | Base::Cidr
            | Base::Macaddr
            | Base::Money => None,
        }
    }

    /// Does the server compare a value of this type with a column of the other one by an operator that
    /// says the same of what is sealed?
    #[must_use]
    pub fn compares_with(&self, column: &Logical) -> bool {
        use Family::{Date, Integer, Numeric, Timestamp, Timestamptz};
        let (own, other) = (self.base.family(), column.base.family());
        let alike = own == other
            || matches!(
                (own, other),
                (Integer, Numeric)
                    | (Numeric, Integer)
                    | (Date | Timestamp | Timestamptz, Date | Timestamp | Timestamptz)
            );
        alike && self.array == column.array
    }

    /// Does the server take a value of this type where it is stored in a column of the other one?
    #[must_use]
    pub fn assigns_to(&self, column: &Logical) -> bool {
        use Family::{Date, Float, Integer, Json, Jsonb, Money, Numeric, Text, Time, Timestamp, Timestamptz};
        let (own, other) = (self.base.family(), column.base.family());
        let taken = own == other
            || other == Text
            || matches!(
                (own, other),
                (Integer | Numeric | Float, Integer | Numeric | Float)
                    | (Integer | Numeric, Money)
                    | (Date | Timestamp | Timestamptz, Date | Timestamp | Timestamptz)
                    | (Timestamp | Timestamptz, Time)
                    | (Json | Jsonb, Json | Jsonb)
            );
        // Of arrays each element is; that of another type as text has a form of its own.
        let numbers = |of: Family| matches!(of, Integer | Numeric | Float);
        let alike = own == other || numbers(own) && numbers(other);
        taken && self.array == column.array && (!self.array || alike)
    }

    /// Is every value of the other type one of this, which is written alike? So is a column that was made
    /// shorter, and is changed later on.
    #[must_use]
    pub fn holds(&self, other: &Logical) -> bool {
        let wider = match (self.base, other.base) {
            (Base::Varchar, Base::Varchar) => match (self.characters(), other.characters()) {
                (None, _) => true,
                (Some(own), Some(other)) => other <= own,
                (Some(_), None) => false,
            },
            (Base::Int4, Base::Int2) | (Base::Int8, Base::Int2 | Base::Int4) => true,
            (Base::Numeric, Base::Numeric) => match (self.decimal(), other.decimal()) {
                (Some((own, scale)), Some((other, same))) => scale == same && other <= own,
                (_, _) => false,
            },
            (_, _) => false,
        };
        self == other || wider && self.array == other.array
    }

    /// Is it one of the character types, and no array?
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.base.family() == Family::Text && !self.array
    }

    /// What clients are told in RowDescription: OID, length, modifier. None: the OID differs from
    /// database to database.
    #[must_use]
    pub fn described(&self) -> Option<(u32, i16, i32)> {
        let (oid, array) = self.base.oids()?;
        Some(if self.array { (array, -1, self.modifier) } else { (oid, self.base.length(), self.modifier) })
    }

    /// The type of this OID, as a client may declare it for a parameter; without a modifier.
    #[must_use]
    pub fn by_oid(oid: u32) -> Option<Logical> {
        BASES.into_iter().find_map(|base| {
            let (one, array) = base.oids()?;
            (oid == one || oid == array).then_some(Logical { array: oid == array, ..Logical::of(base) })
        })
    }
}

fn modifier(base: Base, arguments: &[i32]) -> Option<i32> {
    match (base, arguments) {
        (_, []) => Some(NO_MODIFIER),
        (Base::Varchar | Base::Bpchar, [length @ 1..=10_485_760]) => Some(length + MODIFIER_HEADER),
        (Base::Numeric, [precision @ 1..=1000]) => Some((precision << 16) + MODIFIER_HEADER),
        (Base::Numeric, [precision @ 1..=1000, scale @ -1000..=1000]) => {
            Some(((precision << 16) | (scale & 0x7FF)) + MODIFIER_HEADER)
        }
        (Base::Time | Base::Timetz | Base::Timestamp | Base::Timestamptz, [digits @ 0..=6]) => Some(*digits),
        _ => None,
    }
}

impl fmt::Display for Logical {
    /// As [`Logical::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.name())?;
        if let Some(characters) = self.characters() {
            write!(f, "({characters})")?;
        } else if let Some((precision, scale)) = self.decimal() {
            write!(f, "({precision},{scale})")?;
        } else if let Some(digits) = self.fraction() {
            write!(f, "({digits})")?;
        }
        f.write_str(if self.array { "[]" } else { "" })
    }
}
