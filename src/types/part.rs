//! The smallest parts of dates and times, and why they are not read.

use super::fault::ValueFault;
use super::scan::{Scan, number};

/// Why a text is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bad {
    Format,
    Field,
    Displacement,
    Zone,
    Posix,
    /// Something stands beside a value that is whole by itself.
    Beside,
    /// An infinite interval, which only newer servers have.
    Unending,
    Clock,
    /// It means one thing to older servers, and another to newer ones.
    Abbreviation,
    Interval,
    /// An interval of too many months.
    Months,
}

impl Bad {
    pub(super) fn fault(self, of: &str) -> ValueFault {
        match self {
            Bad::Format => ValueFault::datetime(of),
            Bad::Field => ValueFault::field(),
            Bad::Displacement => ValueFault::new("22009", "time zone displacement out of range"),
            Bad::Zone => ValueFault::new("22023", "time zone not recognized"),
            Bad::Posix => ValueFault::unsupported("a time zone that is written as a rule is not taken"),
            Bad::Beside => ValueFault::unsupported("infinity and epoch are taken with nothing beside them"),
            Bad::Unending => ValueFault::unsupported("an infinite interval is not taken for a sealed column"),
            Bad::Clock => ValueFault::unsupported(format!(
                "a {of} that the clock decides is not taken for a sealed column: give the value itself"
            )),
            Bad::Abbreviation => ValueFault::unsupported(
                "an abbreviation that the session's time zone has, too, is not taken: give the offset",
            ),
            Bad::Months => ValueFault::beyond("interval"),
            Bad::Interval => ValueFault::new("22015", "interval field value out of range"),
        }
    }
}

/// Whole digits as a 32-bit number.
pub(super) fn small(digits: &[u8]) -> Result<i64, Bad> {
    if digits.is_empty() {
        return Ok(0);
    }
    number(digits).filter(|number| *number <= i64::from(i32::MAX)).ok_or(Bad::Field)
}

/// `.ffffff` as microseconds, rounded half to even.
pub(super) fn fraction(text: &[u8]) -> Result<i64, Bad> {
    let digits = text.strip_prefix(b".").ok_or(Bad::Format)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Format);
    }
    // The point may stand alone.
    if digits.is_empty() {
        return Ok(0);
    }
    if digits.len() <= 6 {
        let value = number(digits).ok_or(Bad::Format)?;
        return Ok(value * 10_i64.pow(6 - u32::try_from(digits.len()).unwrap_or(6)));
    }
    let value: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Bad::Format)?;
    Ok((value * 1_000_000.0).round_ties_even() as i64)
}

/// An offset's digits, with `:` between them or without.
pub(super) fn offset(sign: u8, text: &[u8]) -> Result<i32, Bad> {
    let mut scan = Scan::new(text);
    let field = |scan: &mut Scan<'_>| small(scan.digits()).map_err(|_| Bad::Displacement);
    let mut hours = field(&mut scan)?;
    let (mut minutes, mut seconds) = (0, 0);
    if scan.take(b':') {
        minutes = field(&mut scan)?;
        if scan.take(b':') {
            seconds = field(&mut scan)?;
        }
    } else if scan.is_empty() && text.len() > 2 {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Bad::Displacement);
    }
    if !scan.is_empty() {
        return Err(Bad::Format);
    }
    let east = i32::try_from(hours * 3600 + minutes * 60 + seconds).map_err(|_| Bad::Displacement)?;
    Ok(if sign == b'-' { -east } else { east })
}

/// Splits `hhmmss-zz` before its offset.
pub(super) fn split_offset(text: &[u8]) -> Result<(&[u8], i32), Bad> {
    let at = text.iter().position(|byte| *byte == b'-').ok_or(Bad::Format)?;
    let (before, after) = text.split_at_checked(at).ok_or(Bad::Format)?;
    Ok((before, offset(b'-', after.get(1..).unwrap_or_default())?))
}
