//! Intervals: months, days and microseconds, of which none is a number of another.

use super::calendar::{DAY, HOUR, MINUTE, SECOND};
use super::fault::ValueFault;
use super::moment::push_seconds;
use super::part::{Bad, fraction};
use super::scan::{Scan, number, push_digits, push_integer, push_two};
use super::style::{Intervals, Style};
use super::token::{Shape, Token, Tokens};
use super::word::{Unit, unit};

/// As the server keeps one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

impl Interval {
    /// All of it in microseconds, as intervals are compared.
    pub(super) fn span(self) -> i128 {
        i128::from(self.micros) + (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(DAY)
    }

    /// What newer servers take for infinite, and older ones for a large number.
    fn is_infinite(self) -> bool {
        let ends = |low, high| self == low || self == high;
        ends(
            Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN },
            Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX },
        )
    }
}

/// One that is being read. Years become months at the end.
#[derive(Clone, Copy, Default)]
struct Sum {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

impl Sum {
    fn whole(self) -> Result<Interval, Bad> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        let months = i32::try_from(months).map_err(|_| Bad::Months)?;
        Ok(Interval { months, days: self.days, micros: self.micros })
    }

    fn add_micros(&mut self, count: i64, part: f64, scale: i64) -> Result<(), Bad> {
        let whole = count.checked_mul(scale).and_then(|whole| self.micros.checked_add(whole));
        self.micros = whole.ok_or(Bad::Field)?;
        self.add_part_of(part, scale)
    }

    fn add_part_of(&mut self, part: f64, scale: i64) -> Result<(), Bad> {
        if part == 0.0 {
            return Ok(());
        }
        let exact = part * scale as f64;
        let mut micros = exact as i64;
        let rest = exact - micros as f64;
        if rest > 0.5 {
            micros += 1;
        } else if rest < -0.5 {
            micros -= 1;
        }
        self.micros = self.micros.checked_add(micros).ok_or(Bad::Field)?;
        Ok(())
    }

    fn add_days(&mut self, count: i64, part: f64, scale: i32) -> Result<(), Bad> {
        let whole = i32::try_from(count).ok().and_then(|count| count.checked_mul(scale));
        let exact = part * f64::from(scale);
        let extra = exact as i32;
        let days = whole.and_then(|whole| self.days.checked_add(whole)?.checked_add(extra));
        self.days = days.ok_or(Bad::Field)?;
        self.add_part_of(exact - f64::from(extra), DAY)
    }

    fn add_months(&mut self, count: i64, part: f64) -> Result<(), Bad> {
        let months = i32::try_from(count).ok().and_then(|count| self.months.checked_add(count));
        self.months = months.ok_or(Bad::Field)?;
        self.add_days(0, part, 30)
    }

    fn add_years(&mut self, count: i64, part: f64, scale: i32) -> Result<(), Bad> {
        let years = i32::try_from(count).ok().and_then(|count| count.checked_mul(scale));
        let extra = (part * f64::from(scale) * 12.0).round_ties_even() as i32;
        let years = years.and_then(|years| self.years.checked_add(years));
        self.years = years.ok_or(Bad::Field)?;
        self.months = self.months.checked_add(extra).ok_or(Bad::Field)?;
        Ok(())
    }

    fn add(&mut self, unit: Unit, count: i64, part: f64) -> Result<(), Bad> {
        match unit {
            Unit::Microsecond => self.add_micros(count, part, 1),
            Unit::Millisecond => self.add_micros(count, part, 1000),
            Unit::Second => self.add_micros(count, part, SECOND),
            Unit::Minute => self.add_micros(count, part, MINUTE),
            Unit::Hour => self.add_micros(count, part, HOUR),
            Unit::Day => {
                self.add_days(count, 0.0, 1)?;
                self.add_part_of(part, DAY)
            }
            Unit::Week => self.add_days(count, part, 7),
            Unit::Month => self.add_months(count, part),
            Unit::Year => self.add_years(count, part, 1),
            Unit::Decade => self.add_years(count, part, 10),
            Unit::Century => self.add_years(count, part, 100),
            Unit::Millennium => self.add_years(count, part, 1000),
        }
    }

    fn negated(self) -> Result<Sum, Bad> {
        let negated = || {
            Some(Sum {
                years: self.years.checked_neg()?,
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or(Bad::Field)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are told as they are")]
pub(super) fn read(text: &[u8], style: &Style) -> Result<Interval, ValueFault> {
    let read = match words(text, style) {
        Err(Bad::Format) => designated(text),
        read => read,
    };
    let interval = read.map_err(|bad| match bad {
        Bad::Field => Bad::Interval.fault("interval"),
        bad => bad.fault("interval"),
    })?;
    finite(interval)
}

fn finite(interval: Interval) -> Result<Interval, ValueFault> {
    if interval.is_infinite() {
        return Err(ValueFault::unsupported("an infinite interval is not taken for a sealed column"));
    }
    Ok(interval)
}

pub(super) fn from_binary(value: &[u8]) -> Result<Interval, ValueFault> {
    let whole: [u8; 16] = super::fault::exact(value, crate::catalog::Base::Interval)?;
    let mut scan = Scan::new(&whole);
    let micros = scan.array().map_or(0, i64::from_be_bytes);
    let days = scan.array().map_or(0, i32::from_be_bytes);
    let months = scan.array().map_or(0, i32::from_be_bytes);
    finite(Interval { months, days, micros })
}

pub(super) fn to_binary(interval: Interval, out: &mut Vec<u8>) {
    out.extend(interval.micros.to_be_bytes());
    out.extend(interval.days.to_be_bytes());
    out.extend(interval.months.to_be_bytes());
}

/// Bits of what has been read: one for each unit.
fn bit(unit: Unit) -> u32 {
    1 << (unit as u32)
}

const SUBSECONDS: [Unit; 3] = [Unit::Second, Unit::Millisecond, Unit::Microsecond];

/// `1 day 02:03:04`, and the SQL standard's `1-2 3 4:05:06`: read from the right, so that units stand before
/// what they count.
fn words(text: &[u8], style: &Style) -> Result<Interval, Bad> {
    let tokens = Tokens::read(text).ok_or(Bad::Format)?;
    let tokens = tokens.all();
    let signed = |token: &Token<'_>| token.sign != 0;
    // In this style one sign at the front is that of all.
    let all_negative = style.intervals == Intervals::Sql
        && tokens.first().is_some_and(|first| first.sign == b'-')
        && !tokens.iter().skip(1).any(signed);
    let seconds = SUBSECONDS.into_iter().fold(0, |bits, unit| bits | bit(unit));
    let clock = seconds | bit(Unit::Minute) | bit(Unit::Hour);
    let mut interval = Sum::default();
    let (mut read, mut counted, mut ago) = (0, None, false);
    // A unit that has no number yet.
    let mut waits = false;
    // `ago` stands behind a unit, or a time.
    let mut needs_unit = false;
    for (at, token) in tokens.iter().enumerate().rev() {
        let now = match token.shape {
            Shape::Time => {
                interval.micros = time(token.text)?;
                if all_negative {
                    interval.micros = -interval.micros;
                }
                counted = Some(Unit::Day);
                needs_unit = false;
                if std::mem::take(&mut waits) {
                    return Err(Bad::Format);
                }
                clock
            }
            Shape::Offset if token.text.contains(&b':') && time(token.text).is_ok() => {
                interval.micros = time(token.text)?;
                if token.sign == b'-' {
                    interval.micros = -interval.micros;
                }
                counted = Some(Unit::Day);
                needs_unit = false;
                if std::mem::take(&mut waits) {
                    return Err(Bad::Format);
                }
                clock
            }
            Shape::Offset | Shape::Date | Shape::Number => {
                waits = false;
                if needs_unit {
                    return Err(Bad::Format);
                }
                let unit = counted.unwrap_or(Unit::Second);
                let (unit, count, part) = quantity(token, unit, all_negative)?;
                interval.add(unit, count, part)?;
                counted = Some(if unit == Unit::Hour { Unit::Day } else { unit });
                if unit == Unit::Second && part != 0.0 { seconds } else { bit(unit) }
            }
            Shape::Word | Shape::Signed => match unit(token.text).filter(|_| token.sign == 0) {
                Some(known) if !waits => {
                    waits = true;
                    needs_unit = false;
                    counted = Some(known);
                    0
                }
                None if token.text.eq_ignore_ascii_case(b"ago")
                    && token.sign == 0
                    && at + 1 == tokens.len()
                    && at > 0 =>
                {
                    ago = true;
                    needs_unit = true;
                    0
                }
                None if token.text.eq_ignore_ascii_case(b"infinity") && tokens.len() == 1 => {
                    return Err(Bad::Unending);
                }
                Some(_) | None => return Err(Bad::Format),
            },
        };
        if read & now != 0 {
            return Err(Bad::Format);
        }
        read |= now;
    }
    if read == 0 || waits {
        return Err(Bad::Format);
    }
    if ago { interval.negated()?.whole() } else { interval.whole() }
}

/// A number of units; years and months where `-` stands between them.
fn quantity(token: &Token<'_>, unit: Unit, all_negative: bool) -> Result<(Unit, i64, f64), Bad> {
    let mut scan = Scan::new(token.text);
    let digits = scan.digits();
    let size = if digits.is_empty() { 0 } else { number(digits).ok_or(Bad::Field)? };
    let (mut unit, mut count, mut part) = (unit, size, 0.0);
    match scan.peek() {
        None => {}
        Some(b'-') => {
            scan.next();
            let digits = scan.digits();
            let months = if digits.is_empty() { 0 } else { number(digits).ok_or(Bad::Field)? };
            if months > 11 {
                return Err(Bad::Field);
            }
            if !scan.is_empty() {
                return Err(Bad::Format);
            }
            unit = Unit::Month;
            count = size.checked_mul(12).and_then(|count| count.checked_add(months)).ok_or(Bad::Field)?;
        }
        Some(b'.') => part = decimals(scan.rest)?,
        Some(_) => return Err(Bad::Format),
    }
    if token.sign == b'-' || all_negative {
        (count, part) = (-count, -part);
    }
    Ok((unit, count, part))
}

/// `.5` as a number.
fn decimals(text: &[u8]) -> Result<f64, Bad> {
    if text.len() == 1 {
        return Ok(0.0);
    }
    let digits = text.get(1..).unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Format);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Bad::Format)
}

/// `HH:MM[:SS[.ffffff]]` or `MM:SS.ffffff`, of any number of hours.
fn time(text: &[u8]) -> Result<i64, Bad> {
    let mut scan = Scan::new(text);
    let field = |scan: &mut Scan<'_>| match scan.digits() {
        b"" => Ok(0),
        digits => number(digits).ok_or(Bad::Field),
    };
    let hours = field(&mut scan)?;
    if !scan.take(b':') {
        return Err(Bad::Format);
    }
    let minutes = field(&mut scan)?;
    let (mut fields, mut micros) = ((hours, minutes, 0), 0);
    if scan.peek() == Some(b'.') {
        micros = fraction(scan.rest)?;
        fields = (0, hours, minutes);
    } else if !scan.is_empty() {
        if !scan.take(b':') {
            return Err(Bad::Format);
        }
        fields.2 = field(&mut scan)?;
        if scan.peek() == Some(b'.') {
            micros = fraction(scan.rest)?;
        } else if !scan.is_empty() {
            return Err(Bad::Format);
        }
    }
    let (hours, minutes, seconds) = fields;
    if minutes > 59 || seconds > 60 {
        return Err(Bad::Field);
    }
    let rest = minutes * MINUTE + seconds * SECOND + micros;
    hours.checked_mul(HOUR).and_then(|time| time.checked_add(rest)).ok_or(Bad::Field)
}

/// ISO 8601's forms: `P1Y2M3DT4H5M6S`, `P0001-02-03T04:05:06`, `P00010203T040506`.
fn designated(text: &[u8]) -> Result<Interval, Bad> {
    let mut scan = Scan::new(text.strip_prefix(b"P").filter(|rest| !rest.is_empty()).ok_or(Bad::Format)?);
    let mut interval = Sum::default();
    let (mut of_date, mut any) = (true, false);
    while let Some(first) = scan.peek() {
        if first == b'T' {
            scan.next();
            (of_date, any) = (false, false);
            continue;
        }
        let width =
            scan.rest.iter().skip_while(|byte| **byte == b'-').take_while(|b| b.is_ascii_digit()).count();
        let (count, part) = iso_number(&mut scan)?;
        let designator = scan.next();
        match (of_date, designator) {
            (true, Some(b'Y')) => interval.add(Unit::Year, count, part)?,
            (true, Some(b'M')) => interval.add(Unit::Month, count, part)?,
            (true, Some(b'W')) => interval.add(Unit::Week, count, part)?,
            (true, Some(b'D')) => interval.add(Unit::Day, count, part)?,
            (true, Some(b'T') | None) if width == 8 && !any => {
                interval.add(Unit::Year, count / 10_000, 0.0)?;
                interval.add(Unit::Month, count / 100 % 100, 0.0)?;
                interval.add(Unit::Day, count % 100, part)?;
                of_date = false;
                continue;
            }
            (true, Some(b'T' | b'-') | None) if !any => {
                interval.add(Unit::Year, count, part)?;
                if designator == Some(b'-') {
                    let (months, part) = iso_number(&mut scan)?;
                    interval.add(Unit::Month, months, part)?;
                    if scan.take(b'-') {
                        let (days, part) = iso_number(&mut scan)?;
                        interval.add(Unit::Day, days, part)?;
                    }
                    if !scan.is_empty() && scan.peek() != Some(b'T') {
                        return Err(Bad::Format);
                    }
                } else if designator == Some(b'T') {
                    of_date = false;
                }
                continue;
            }
            (false, Some(b'H')) => interval.add(Unit::Hour, count, part)?,
            (false, Some(b'M')) => interval.add(Unit::Minute, count, part)?,
            (false, Some(b'S')) => interval.add(Unit::Second, count, part)?,
            (false, None) if width == 6 && !any => {
                interval.add(Unit::Hour, count / 10_000, 0.0)?;
                interval.add(Unit::Minute, count / 100 % 100, 0.0)?;
                interval.add(Unit::Second, count % 100, 0.0)?;
                interval.add(Unit::Microsecond, 0, part)?;
                return interval.whole();
            }
            (false, Some(b':') | None) if !any => {
                interval.add(Unit::Hour, count, part)?;
                if designator.is_some() {
                    let (minutes, part) = iso_number(&mut scan)?;
                    interval.add(Unit::Minute, minutes, part)?;
                    if scan.take(b':') {
                        let (seconds, part) = iso_number(&mut scan)?;
                        interval.add(Unit::Second, seconds, part)?;
                    }
                }
                return if scan.is_empty() { interval.whole() } else { Err(Bad::Format) };
            }
            _ => return Err(Bad::Format),
        }
        any = true;
    }
    interval.whole()
}

/// Whole and part of a number, as floats have them.
fn iso_number(scan: &mut Scan<'_>) -> Result<(i64, f64), Bad> {
    let start = scan.rest;
    scan.take(b'-');
    scan.digits();
    if scan.take(b'.') {
        scan.digits();
    }
    let text = start.get(..start.len() - scan.rest.len()).unwrap_or_default();
    let value: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Bad::Format)?;
    if !(-1.0e15..=1.0e15).contains(&value) {
        return Err(Bad::Field);
    }
    Ok((value.trunc() as i64, value - value.trunc()))
}

/// Years, months, days, hours, minutes, seconds and microseconds, each with its sign.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    /// With its microseconds.
    micros: i64,
}

impl Parts {
    fn of(interval: Interval) -> Parts {
        Parts {
            years: i64::from(interval.months / 12),
            months: i64::from(interval.months % 12),
            days: i64::from(interval.days),
            hours: interval.micros / HOUR,
            minutes: interval.micros % HOUR / MINUTE,
            micros: interval.micros % MINUTE,
        }
    }

    fn has_time(&self) -> bool {
        self.hours != 0 || self.minutes != 0 || self.micros != 0
    }

    fn is_time_negative(&self) -> bool {
        self.hours < 0 || self.minutes < 0 || self.micros < 0
    }

    /// `H:MM:SS`, without a sign.
    fn push_clock(&self, width: usize, out: &mut Vec<u8>) {
        push_digits(out, self.hours.unsigned_abs(), width);
        out.push(b':');
        push_two(out, self.minutes.unsigned_abs());
        out.push(b':');
        push_seconds(out, self.micros.unsigned_abs(), 2);
    }
}

/// In the style that is canonical.
pub(super) fn write(interval: Interval, out: &mut Vec<u8>) {
    let parts = Parts::of(interval);
    let start = out.len();
    let mut before = false;
    for (count, name) in [(parts.years, "year"), (parts.months, "mon"), (parts.days, "day")] {
        if count == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if before && count > 0 {
            out.push(b'+');
        }
        push_integer(out, count);
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        if count != 1 {
            out.push(b's');
        }
        before = count < 0;
    }
    if out.len() > start && !parts.has_time() {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if parts.is_time_negative() {
        out.push(b'-');
    } else if before {
        out.push(b'+');
    }
    parts.push_clock(2, out);
}

pub(super) fn show(interval: Interval, style: &Style, out: &mut Vec<u8>) {
    match style.intervals {
        Intervals::Postgres => write(interval, out),
        Intervals::Verbose => show_verbose(&Parts::of(interval), out),
        Intervals::Sql => show_sql(interval, out),
        Intervals::Iso => show_iso(&Parts::of(interval), out),
    }
}

fn show_verbose(parts: &Parts, out: &mut Vec<u8>) {
    out.push(b'@');
    let (mut nothing, mut ago) = (true, false);
    let named = [
        (parts.years, "year"),
        (parts.months, "mon"),
        (parts.days, "day"),
        (parts.hours, "hour"),
        (parts.minutes, "min"),
    ];
    for (count, name) in named {
        if count == 0 {
            continue;
        }
        if nothing {
            ago = count < 0;
        }
        nothing = false;
        let count = if ago { -count } else { count };
        out.push(b' ');
        push_integer(out, count);
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        if count != 1 {
            out.push(b's');
        }
    }
    if parts.micros != 0 {
        out.push(b' ');
        if nothing {
            ago = parts.micros < 0;
        } else if (parts.micros < 0) != ago {
            out.push(b'-');
        }
        nothing = false;
        push_seconds(out, parts.micros.unsigned_abs(), 1);
        out.extend_from_slice(b" sec");
        if parts.micros.abs() != SECOND {
            out.push(b's');
        }
    }
    if nothing {
        out.extend_from_slice(b" 0");
    }
    if ago {
        out.extend_from_slice(b" ago");
    }
}

fn show_sql(interval: Interval, out: &mut Vec<u8>) {
    let parts = Parts::of(interval);
    let Interval { months, days, micros } = interval;
    let negative = months < 0 || days < 0 || micros < 0;
    let positive = months > 0 || days > 0 || micros > 0;
    let of_day = days != 0 || micros != 0;
    if !negative && !positive {
        out.push(b'0');
        return;
    }
    let months_between = |out: &mut Vec<u8>| {
        push_digits(out, parts.years.unsigned_abs(), 1);
        out.push(b'-');
        push_digits(out, parts.months.unsigned_abs(), 1);
    };
    if (negative && positive) || (months != 0 && of_day) {
        let sign = |negative: bool| if negative { b'-' } else { b'+' };
        out.push(sign(months < 0));
        months_between(out);
        out.extend([b' ', sign(days < 0)]);
        push_digits(out, parts.days.unsigned_abs(), 1);
        out.extend([b' ', sign(micros < 0)]);
        parts.push_clock(1, out);
        return;
    }
    if negative {
        out.push(b'-');
    }
    if months != 0 {
        months_between(out);
        return;
    }
    if days != 0 {
        push_digits(out, parts.days.unsigned_abs(), 1);
        out.push(b' ');
    }
    parts.push_clock(1, out);
}

fn show_iso(parts: &Parts, out: &mut Vec<u8>) {
    out.push(b'P');
    let push = |out: &mut Vec<u8>, count: i64, designator: u8| {
        if count != 0 {
            push_integer(out, count);
            out.push(designator);
        }
    };
    push(out, parts.years, b'Y');
    push(out, parts.months, b'M');
    push(out, parts.days, b'D');
    let nothing = parts.years == 0 && parts.months == 0 && parts.days == 0 && !parts.has_time();
    if nothing {
        out.extend_from_slice(b"T0S");
    }
    if !parts.has_time() {
        return;
    }
    out.push(b'T');
    push(out, parts.hours, b'H');
    push(out, parts.minutes, b'M');
    if parts.micros != 0 {
        if parts.micros < 0 {
            out.push(b'-');
        }
        push_seconds(out, parts.micros.unsigned_abs(), 1);
        out.push(b'S');
    }
}
