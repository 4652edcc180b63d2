//! Values between the ways in which they are written.

use super::fault::{ValueFault, exact, sql_name};
use super::interval::{self, Interval};
use super::network::{self, Network};
use super::numeric::{Number, integer};
use super::scan::{Scan, hex_byte, push_hex, push_integer, trim};
use super::style::{Dates, Intervals, Style};
use super::zone::Zone;
use super::{float, json, moment, money, text};
use crate::catalog::{Base, Family};

/// One value, borrowed from where it was read where that is enough.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Numeric(Number<'a>),
    Single(f32),
    Double(f64),
    Bool(bool),
    /// Days since 2000; the ends are infinite.
    Date(i32),
    /// Microseconds.
    Time(i64),
    /// And seconds east.
    Timetz(i64, i32),
    /// Microseconds since 2000; the ends are infinite.
    Timestamp(i64),
    Timestamptz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
    /// As it was given.
    Json(&'a str),
    /// In the server's own form.
    Jsonb(&'a str),
    Bytes(&'a [u8]),
    /// The digits of a canonical text.
    Hex(&'a [u8]),
    Network(Network),
    Macaddr([u8; 6]),
    /// Hundredths.
    Money(i64),
}

/// Does a type of integers hold this one? Of others: yes.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others hold any integer")]
pub(super) fn in_range(base: Base, number: i64) -> bool {
    match base {
        Base::Int2 => i16::try_from(number).is_ok(),
        Base::Int4 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

fn ranged(base: Base, number: Option<i64>) -> Result<i64, ValueFault> {
    number.filter(|number| in_range(base, *number)).ok_or_else(|| ValueFault::range(sql_name(base)))
}

fn boolean(text: &[u8]) -> Option<bool> {
    let text = trim(text);
    let begins = |word: &str, least: usize| {
        text.len() >= least
            && word.as_bytes().get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text))
    };
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == b"1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == b"0" {
        Some(false)
    } else {
        None
    }
}

/// Digits in groups of four, with or without hyphens between them, perhaps in braces.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        [b'{', ..] => return None,
        text => text,
    };
    let mut scan = Scan::new(text);
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = hex_byte(&mut scan)?;
        if at % 2 == 1 && at < 15 {
            scan.take(b'-');
        }
    }
    scan.is_empty().then_some(bytes)
}

fn write_uuid(bytes: &[u8; 16], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        push_hex(out, *byte);
    }
}

/// The server's own form, in `scratch`.
pub(super) fn jsonb<'a>(value: &[u8], scratch: &'a mut Vec<u8>) -> Result<Value<'a>, ValueFault> {
    scratch.clear();
    json::write(value, scratch)?;
    std::str::from_utf8(scratch).map(Value::Jsonb).map_err(|_| ValueFault::syntax("json"))
}

/// What a text of `bytea` stands for: hexadecimal digits, or letters with escapes.
fn bytes<'a>(text: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], ValueFault> {
    scratch.clear();
    let mut scan = Scan::new(text);
    if let Some(digits) = text.strip_prefix(b"\\x") {
        scan.rest = digits;
        let bad = || ValueFault::new("22023", "invalid hexadecimal data");
        loop {
            scan.run(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
            if scan.is_empty() {
                return Ok(scratch);
            }
            scratch.push(hex_byte(&mut scan).ok_or_else(bad)?);
        }
    }
    while let Some(byte) = scan.next() {
        if byte != b'\\' {
            scratch.push(byte);
            continue;
        }
        let escaped = match scan.rest {
            [b'\\', ..] => {
                scan.next();
                Some(b'\\')
            }
            [high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', ..] => {
                let value = (high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0');
                scan.bytes(3);
                Some(value)
            }
            _ => None,
        };
        scratch.push(escaped.ok_or_else(|| ValueFault::syntax("bytea"))?);
    }
    Ok(scratch)
}

impl<'a> Value<'a> {
    /// As the input function of the type reads a text.
    pub(super) fn from_text(
        base: Base,
        value: &'a [u8],
        style: &Style,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Value<'a>, ValueFault> {
        let written = text::read(value)?;
        let of = sql_name(base);
        Ok(match base {
            Base::Text | Base::Varchar | Base::Bpchar | Base::Name | Base::Citext => Value::Text(written),
            Base::Int2 | Base::Int4 | Base::Int8 => Value::Integer(ranged(base, integer(value, of)?)?),
            Base::Numeric => Value::Numeric(Number::parse(value, scratch)?),
            Base::Float4 => Value::Single(float::read_single(value)?),
            Base::Float8 => Value::Double(float::read_double(value)?),
            Base::Bool => Value::Bool(boolean(value).ok_or_else(|| ValueFault::syntax(of))?),
            Base::Date => Value::Date(moment::read_date(value, style)?),
            Base::Time => Value::Time(moment::read_time(value, style)?),
            Base::Timetz => {
                let (time, east) = moment::read_timetz(value, style)?;
                Value::Timetz(time, east)
            }
            Base::Timestamp => Value::Timestamp(moment::read_timestamp(value, false, style)?),
            Base::Timestamptz => Value::Timestamptz(moment::read_timestamp(value, true, style)?),
            Base::Interval => Value::Interval(interval::read(value, style)?),
            Base::Uuid => Value::Uuid(uuid(value).ok_or_else(|| ValueFault::syntax(of))?),
            Base::Json => {
                json::check(value)?;
                Value::Json(written)
            }
            Base::Jsonb => jsonb(value, scratch)?,
            Base::Bytea => Value::Bytes(bytes(value, scratch)?),
            Base::Inet | Base::Cidr => Value::Network(Network::read(value, base)?),
            Base::Macaddr => Value::Macaddr(network::macaddr(value)?),
            Base::Money => Value::Money(money::read(value)?),
        })
    }

    /// As the receive function of the type reads bytes.
    pub(super) fn from_binary(
        base: Base,
        value: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Value<'a>, ValueFault> {
        Ok(match base {
            Base::Name if value.len() > text::NAME_MAX => {
                return Err(ValueFault::new("42622", "identifier too long"));
            }
            Base::Text | Base::Varchar | Base::Bpchar | Base::Name | Base::Citext => {
                Value::Text(text::read(value)?)
            }
            Base::Int2 => Value::Integer(i64::from(i16::from_be_bytes(exact(value, base)?))),
            Base::Int4 => Value::Integer(i64::from(i32::from_be_bytes(exact(value, base)?))),
            Base::Int8 => Value::Integer(i64::from_be_bytes(exact(value, base)?)),
            Base::Numeric => Value::Numeric(Number::from_binary(value, scratch)?),
            Base::Float4 => Value::Single(f32::from_be_bytes(exact(value, base)?)),
            Base::Float8 => Value::Double(f64::from_be_bytes(exact(value, base)?)),
            Base::Bool => Value::Bool(exact::<1>(value, base)? != [0]),
            Base::Date => Value::Date(moment::date_from_binary(value)?),
            Base::Time => Value::Time(moment::time_from_binary(value)?),
            Base::Timetz => {
                let (time, east) = moment::timetz_from_binary(value)?;
                Value::Timetz(time, east)
            }
            Base::Timestamp => Value::Timestamp(moment::timestamp_from_binary(value, sql_name(base))?),
            Base::Timestamptz => Value::Timestamptz(moment::timestamp_from_binary(value, sql_name(base))?),
            Base::Interval => Value::Interval(interval::from_binary(value)?),
            Base::Uuid => Value::Uuid(exact(value, base)?),
            Base::Json => {
                let written = text::read(value)?;
                json::check(value)?;
                Value::Json(written)
            }
            Base::Jsonb => match value.split_first() {
                Some((1, rest)) => {
                    text::read(rest)?;
                    jsonb(rest, scratch)?
                }
                Some(_) => return Err(ValueFault::new("XX000", "unsupported jsonb version number")),
                None => return Err(ValueFault::new("08P01", "no data left in message")),
            },
            Base::Bytea => Value::Bytes(value),
            Base::Inet | Base::Cidr => Value::Network(Network::from_binary(value, base)?),
            Base::Macaddr => Value::Macaddr(exact(value, base)?),
            Base::Money => Value::Money(i64::from_be_bytes(exact(value, base)?)),
        })
    }

    /// Of what [`Value::write`] wrote. None: it wrote nothing like this.
    pub(super) fn from_canonical(base: Base, text: &'a [u8]) -> Option<Value<'a>> {
        Some(match base.family() {
            Family::Text => Value::Text(std::str::from_utf8(text).ok()?),
            Family::Integer => {
                let digits = text.strip_prefix(b"-").unwrap_or(text);
                let well = digits.first().is_some_and(|first| first.is_ascii_digit())
                    && (digits.first() != Some(&b'0') || text == b"0");
                let number = well.then(|| integer(text, "").ok().flatten()).flatten();
                Value::Integer(number.filter(|number| in_range(base, *number))?)
            }
            Family::Numeric => Value::Numeric(Number::parse_canonical(text)?),
            Family::Float if base == Base::Float4 => Value::Single(float::read_single(text).ok()?),
            Family::Float => Value::Double(float::read_double(text).ok()?),
            Family::Bool => match text {
                b"t" => Value::Bool(true),
                b"f" => Value::Bool(false),
                _ => return None,
            },
            Family::Date => Value::Date(moment::canonical_date(text)?),
            Family::Time => Value::Time(moment::canonical_time_alone(text)?),
            Family::Timetz => {
                let (time, east) = moment::canonical_timetz(text)?;
                Value::Timetz(time, east)
            }
            Family::Timestamp => Value::Timestamp(moment::canonical_timestamp(text, false)?),
            Family::Timestamptz => Value::Timestamptz(moment::canonical_timestamp(text, true)?),
            Family::Interval => Value::Interval(interval::read(text, &Style::default()).ok()?),
            Family::Uuid => Value::Uuid(uuid(text)?),
            Family::Json | Family::Jsonb => {
                json::check(text).ok()?;
                let text = std::str::from_utf8(text).ok()?;
                if base == Base::Json { Value::Json(text) } else { Value::Jsonb(text) }
            }
            Family::Bytea => {
                let digits = text.strip_prefix(b"\\x")?;
                let well = digits.len().is_multiple_of(2)
                    && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
                well.then_some(Value::Hex(digits))?
            }
            Family::Network => Value::Network(Network::read(text, base).ok()?),
            Family::Macaddr => Value::Macaddr(network::macaddr(text).ok()?),
            Family::Money => Value::Money(money::canonical(text)?),
        })
    }

    /// Appends the canonical text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Integer(number) => push_integer(out, *number),
            Value::Numeric(number) => number.write(out),
            Value::Single(number) => float::write_single(*number, out),
            Value::Double(number) => float::write_double(*number, out),
            Value::Bool(is) => out.push(if *is { b't' } else { b'f' }),
            Value::Date(date) => moment::write_date(*date, out),
            Value::Time(time) => moment::write_time(*time, out),
            Value::Timetz(time, east) => moment::write_timetz(*time, *east, out),
            Value::Timestamp(timestamp) => moment::write_timestamp(*timestamp, false, out),
            Value::Timestamptz(timestamp) => moment::write_timestamp(*timestamp, true, out),
            Value::Interval(interval) => interval::write(*interval, out),
            Value::Uuid(bytes) => write_uuid(bytes, out),
            Value::Json(text) | Value::Jsonb(text) => out.extend_from_slice(text.as_bytes()),
            Value::Bytes(bytes) => {
                out.extend_from_slice(b"\\x");
                out.reserve(bytes.len() * 2);
                for byte in *bytes {
                    push_hex(out, *byte);
                }
            }
            Value::Hex(digits) => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(digits);
            }
            Value::Network(network) => network.write(out),
            Value::Macaddr(bytes) => network::write_macaddr(*bytes, out),
            Value::Money(hundredths) => money::write(*hundredths, out),
        }
    }

    /// Is the canonical text what a session with these settings sees?
    pub(super) fn is_seen_as_written(&self, style: &Style) -> bool {
        match self {
            Value::Date(_) | Value::Timestamp(_) => style.dates == Dates::Iso,
            Value::Timestamptz(_) => style.dates == Dates::Iso && style.zone == Zone::Utc,
            Value::Interval(_) => style.intervals == Intervals::Postgres,
            Value::Network(_) | Value::Money(_) => false,
            Value::Text(_)
            | Value::Integer(_)
            | Value::Numeric(_)
            | Value::Single(_)
            | Value::Double(_)
            | Value::Bool(_)
            | Value::Time(_)
            | Value::Timetz(..)
            | Value::Uuid(_)
            | Value::Json(_)
            | Value::Jsonb(_)
            | Value::Bytes(_)
            | Value::Hex(_)
            | Value::Macaddr(_) => true,
        }
    }

    /// Appends what the type's output function makes of it under these settings.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are seen as they are written")]
    pub(super) fn show(&self, base: Base, style: &Style, out: &mut Vec<u8>) -> Result<(), ValueFault> {
        match self {
            Value::Interval(interval) => interval::show(*interval, style, out),
            Value::Network(network) => network.show(base, out),
            Value::Money(hundredths) => money::show(*hundredths, out),
            Value::Date(date) => moment::show_date(*date, style, out),
            Value::Timestamp(timestamp) => moment::show_timestamp(*timestamp, style, out),
            Value::Timestamptz(timestamp) => return moment::show_timestamptz(*timestamp, style, out),
            other => other.write(out),
        }
        Ok(())
    }

    /// Appends what the type's send function makes of it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "integers of all other types have eight bytes")]
    pub(super) fn write_binary(&self, base: Base, out: &mut Vec<u8>) -> Result<(), ValueFault> {
        let range = || ValueFault::range(sql_name(base));
        match self {
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Integer(number) => match base {
                Base::Int2 => out.extend(i16::try_from(*number).map_err(|_| range())?.to_be_bytes()),
                Base::Int4 => out.extend(i32::try_from(*number).map_err(|_| range())?.to_be_bytes()),
                _ => out.extend(number.to_be_bytes()),
            },
            Value::Numeric(number) => number.write_binary(out),
            Value::Single(number) => out.extend(number.to_be_bytes()),
            Value::Double(number) => out.extend(number.to_be_bytes()),
            Value::Bool(is) => out.push(u8::from(*is)),
            Value::Date(date) => out.extend(date.to_be_bytes()),
            Value::Time(time) | Value::Timestamp(time) | Value::Timestamptz(time) => {
                out.extend(time.to_be_bytes());
            }
            Value::Timetz(time, east) => {
                out.extend(time.to_be_bytes());
                out.extend((-east).to_be_bytes());
            }
            Value::Interval(interval) => interval::to_binary(*interval, out),
            Value::Uuid(bytes) => out.extend(bytes),
            Value::Json(text) => out.extend_from_slice(text.as_bytes()),
            Value::Jsonb(text) => {
                out.push(1);
                out.extend_from_slice(text.as_bytes());
            }
            Value::Bytes(bytes) => out.extend_from_slice(bytes),
            Value::Hex(digits) => {
                let mut scan = Scan::new(digits);
                out.extend(std::iter::from_fn(|| hex_byte(&mut scan)));
            }
            Value::Network(network) => network.to_binary(base, out),
            Value::Macaddr(bytes) => out.extend(bytes),
            Value::Money(hundredths) => out.extend(hundredths.to_be_bytes()),
        }
        Ok(())
    }
}
