//! Why a value is not taken: the server's SQLSTATE and its words without the value.

use crate::catalog::Base;

/// Bytes of one value, however it is written. Few bytes can stand for many: `1e100000`.
pub(super) const LENGTH_MAX: usize = 64 << 20;

/// The server's own SQLSTATE, and words that hold nothing of the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueFault {
    pub sqlstate: &'static str,
    pub message: String,
}

impl ValueFault {
    pub(super) fn new(sqlstate: &'static str, message: impl Into<String>) -> ValueFault {
        ValueFault { sqlstate, message: message.into() }
    }

    /// What a type's input function says of a text that it cannot read.
    pub(super) fn syntax(of: &str) -> ValueFault {
        ValueFault::new("22P02", format!("invalid input syntax for type {of}"))
    }

    /// The same of a date or time.
    pub(super) fn datetime(of: &str) -> ValueFault {
        ValueFault::new("22007", format!("invalid input syntax for type {of}"))
    }

    pub(super) fn field() -> ValueFault {
        ValueFault::new("22008", "date/time field value out of range")
    }

    /// More than [`LENGTH_MAX`].
    pub(super) fn length() -> ValueFault {
        ValueFault::new("54000", "the value is too long")
    }

    /// A date or timestamp that the type cannot hold.
    pub(super) fn beyond(of: &str) -> ValueFault {
        ValueFault::new("22008", format!("{of} out of range"))
    }

    /// A number that the type cannot hold.
    pub(super) fn range(of: &str) -> ValueFault {
        ValueFault::new("22003", format!("value out of range for type {of}"))
    }

    /// Bytes that are no value in this type's binary format.
    pub(super) fn binary(of: &str) -> ValueFault {
        ValueFault::new("22P03", format!("incorrect binary data format for type {of}"))
    }

    /// What the server would take, and Sealgate cannot.
    pub(super) fn unsupported(message: impl Into<String>) -> ValueFault {
        ValueFault::new("0A000", message)
    }

    /// What is not this type's canonical text.
    pub(super) fn canonical(of: &str) -> ValueFault {
        ValueFault::new("XX001", format!("the stored value is no canonical text of type {of}"))
    }
}

/// What the server calls a type in its words.
pub(super) const fn sql_name(base: Base) -> &'static str {
    match base {
        Base::Text => "text",
        Base::Varchar => "character varying",
        Base::Bpchar => "character",
        Base::Name => "name",
        Base::Citext => "citext",
        Base::Int2 => "smallint",
        Base::Int4 => "integer",
        Base::Int8 => "bigint",
        Base::Float4 => "real",
        Base::Float8 => "double precision",
        Base::Numeric => "numeric",
        Base::Bool => "boolean",
        Base::Date => "date",
        Base::Time => "time",
        Base::Timetz => "time with time zone",
        Base::Timestamp => "timestamp",
        Base::Timestamptz => "timestamp with time zone",
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

/// A binary value of so many bytes.
pub(super) fn exact<const LENGTH: usize>(value: &[u8], base: Base) -> Result<[u8; LENGTH], ValueFault> {
    if value.len() < LENGTH {
        return Err(ValueFault::new("08P01", "insufficient data left in message"));
    }
    value.try_into().map_err(|_| ValueFault::binary(sql_name(base)))
}
