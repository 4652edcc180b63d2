//! Dates, times and timestamps: as texts and in binary.

use super::calendar::{
    DATES, DAY, Day, HOUR, INSTANTS, MINUTE, MONTHS, SECOND, WEEKDAYS, days_of, push_fraction, push_offset,
    push_time,
};
use super::decode::{Decoded, Place, Wanted, decode};
use super::fault::ValueFault;
use super::part::offset;
use super::scan::{Scan, number, push_digits, push_two};
use super::style::{Dates, Order, Style};
use super::zone::{self, Zone};

pub(super) const INFINITY: &[u8] = b"infinity";
pub(super) const MINUS_INFINITY: &[u8] = b"-infinity";
/// 1970-01-01.
const UNIX_EPOCH: i64 = -10_957;
/// The binary format of a zone counts seconds west, and less than so many.
const DISPLACEMENTS: i32 = 16 * 3600;

/// A date: days since 2000. The ends of its range are infinite.
pub(super) fn read_date(text: &[u8], style: &Style) -> Result<i32, ValueFault> {
    if let Some(date) = canonical_date(text) {
        return Ok(date);
    }
    match decode(text, Wanted::Date, style).map_err(|bad| bad.fault("date"))? {
        Decoded::Infinity => Ok(i32::MAX),
        Decoded::MinusInfinity => Ok(i32::MIN),
        Decoded::Epoch => date(UNIX_EPOCH),
        Decoded::Moment { day, .. } => date(day.map_or(i64::MAX, Day::number)),
    }
}

/// Within the range of dates.
pub(super) fn date(number: i64) -> Result<i32, ValueFault> {
    let date = DATES.contains(&number).then(|| i32::try_from(number).ok()).flatten();
    date.ok_or_else(|| ValueFault::beyond("date"))
}

/// Within the range of timestamps.
pub(super) fn instant(number: Option<i64>) -> Result<i64, ValueFault> {
    number.filter(|number| INSTANTS.contains(number)).ok_or_else(|| ValueFault::beyond("timestamp"))
}

/// A timestamp, or one in UTC where it has a zone: microseconds since 2000.
pub(super) fn read_timestamp(text: &[u8], zoned: bool, style: &Style) -> Result<i64, ValueFault> {
    if let Some((local, east)) = iso_timestamp(text) {
        return match east {
            _ if !zoned => Ok(local),
            Some(east) => instant(Some(local - i64::from(east) * SECOND)),
            None => instant(Some(local - i64::from(style.zone.at_local(local)?) * SECOND)),
        };
    }
    let of = if zoned { "timestamp with time zone" } else { "timestamp" };
    match decode(text, Wanted::Date, style).map_err(|bad| bad.fault(of))? {
        Decoded::Infinity => Ok(i64::MAX),
        Decoded::MinusInfinity => Ok(i64::MIN),
        Decoded::Epoch => Ok(UNIX_EPOCH * DAY),
        Decoded::Moment { day, time, place } => {
            let local = day.and_then(|day| day.number().checked_mul(DAY)?.checked_add(time));
            let local = instant(local)?;
            if !zoned {
                return Ok(local);
            }
            let east = east_of(place.as_ref(), Some(local), &style.zone)?;
            instant(Some(local - i64::from(east) * SECOND))
        }
    }
}

fn east_of(place: Option<&Place<'_>>, local: Option<i64>, zone: &Zone) -> Result<i32, ValueFault> {
    let clock =
        || ValueFault::unsupported("a time whose offset from UTC the date of today decides: give the offset");
    let found = match place {
        Some(Place::Offset(east)) => return Ok(*east),
        None if local.is_none() => zone.fixed(),
        None => return zone.at_local(local.unwrap_or(0)),
        Some(Place::Zone(zone)) => {
            local.map_or_else(|| zone::fixed(zone), |local| zone::at_local(zone, local))
        }
        Some(Place::Abbreviation(zone, name)) => local.and_then(|local| zone::abbreviated(zone, name, local)),
    };
    found.ok_or_else(clock)
}

pub(super) fn read_time(text: &[u8], style: &Style) -> Result<i64, ValueFault> {
    let mut scan = Scan::new(text);
    if let Some(time) = canonical_time(&mut scan)
        && scan.is_empty()
    {
        return Ok(time);
    }
    match decode(text, Wanted::Time, style).map_err(|bad| bad.fault("time"))? {
        Decoded::Moment { time, .. } => Ok(time),
        Decoded::Infinity | Decoded::MinusInfinity | Decoded::Epoch => Err(ValueFault::datetime("time")),
    }
}

/// Has this day a Julian number of the server's?
fn is_countable(day: Day) -> bool {
    *DATES.start() <= day.number() && (day.year, day.month) < (5_874_898, 6)
}

/// Microseconds, and seconds east of Greenwich.
pub(super) fn read_timetz(text: &[u8], style: &Style) -> Result<(i64, i32), ValueFault> {
    let of = "time with time zone";
    match decode(text, Wanted::Time, style).map_err(|bad| bad.fault(of))? {
        Decoded::Moment { day, time, place } => {
            let local = day.and_then(|day| day.number().checked_mul(DAY)?.checked_add(time));
            if day.is_some_and(|day| !is_countable(day)) && !matches!(place, Some(Place::Offset(_))) {
                // At such a date a zone that changes is not known.
                let fixed = match &place {
                    Some(Place::Zone(zone)) => zone::fixed(zone),
                    _ => None,
                };
                return Ok((time, fixed.unwrap_or(0)));
            }
            Ok((time, east_of(place.as_ref(), local, &style.zone)?))
        }
        Decoded::Infinity | Decoded::MinusInfinity | Decoded::Epoch => Err(ValueFault::datetime(of)),
    }
}

fn canonical_day(scan: &mut Scan<'_>) -> Option<Day> {
    let year = scan.digits();
    let year = (year.len() == 4 || (year.len() > 4 && year.first() != Some(&b'0'))).then_some(year)?;
    let mut two = || {
        scan.take(b'-').then_some(())?;
        number(scan.bytes(2)?)
    };
    let (month, day) = (two()?, two()?);
    let day = Day { year: number(year)?, month, day };
    ((1..=12).contains(&month) && (1..=31).contains(&day.day) && day.year > 0).then_some(day)
}

/// With its era, if that is before Christ.
fn in_era(day: Day, scan: &mut Scan<'_>) -> Option<Day> {
    let day = match scan.rest {
        b"" => day,
        b" BC" => Day { year: 1 - day.year, ..day },
        _ => return None,
    };
    scan.rest = b"";
    (day.day <= days_of(day.year, day.month)).then_some(day)
}

fn canonical_time(scan: &mut Scan<'_>) -> Option<i64> {
    let hour = number(scan.bytes(2)?)?;
    let mut two = || {
        scan.take(b':').then_some(())?;
        number(scan.bytes(2)?)
    };
    let (minute, second) = (two()?, two()?);
    let mut micros = 0;
    if scan.take(b'.') {
        let digits = scan.digits();
        let missing = 6_usize.checked_sub(digits.len())?;
        micros = number(digits)? * 10_i64.pow(u32::try_from(missing).ok()?);
    }
    let time = hour * HOUR + minute * MINUTE + second * SECOND + micros;
    (minute < 60 && second < 60 && time <= DAY).then_some(time)
}

/// Of what [`write_date`] wrote.
pub(super) fn canonical_date(text: &[u8]) -> Option<i32> {
    match text {
        INFINITY => return Some(i32::MAX),
        MINUS_INFINITY => return Some(i32::MIN),
        _ => {}
    }
    let mut scan = Scan::new(text);
    let day = canonical_day(&mut scan)?;
    date(in_era(day, &mut scan)?.number()).ok()
}

/// Of what [`write_timestamp`] wrote.
pub(super) fn canonical_timestamp(text: &[u8], zoned: bool) -> Option<i64> {
    match text {
        INFINITY => return Some(i64::MAX),
        MINUS_INFINITY => return Some(i64::MIN),
        _ => {}
    }
    let mut scan = Scan::new(text);
    let day = canonical_day(&mut scan)?;
    scan.take(b' ').then_some(())?;
    let time = canonical_time(&mut scan).filter(|time| *time < DAY)?;
    if zoned {
        (scan.bytes(3)? == b"+00").then_some(())?;
    }
    let day = in_era(day, &mut scan)?;
    instant(day.number().checked_mul(DAY)?.checked_add(time)).ok()
}

/// The usual form, which every session reads alike: a finite time, and its offset if it has one.
fn iso_timestamp(text: &[u8]) -> Option<(i64, Option<i32>)> {
    let mut scan = Scan::new(text);
    let day = canonical_day(&mut scan)?;
    (scan.take(b' ') || scan.take(b'T')).then_some(())?;
    let time = canonical_time(&mut scan)?;
    let east = match scan.rest {
        [b'Z'] => {
            scan.next();
            Some(0)
        }
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let length = digits.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b':').count();
            scan.next();
            let digits = scan.bytes(length)?;
            // Hours by themselves, or with what `:` divides from them.
            matches!(digits, [_, _] | [_, _, b':', _, _]).then_some(())?;
            Some(offset(*sign, digits).ok()?)
        }
        _ => None,
    };
    let day = in_era(day, &mut scan)?;
    Some((instant(day.number().checked_mul(DAY)?.checked_add(time)).ok()?, east))
}

/// Of what [`write_time`] wrote.
pub(super) fn canonical_time_alone(text: &[u8]) -> Option<i64> {
    let mut scan = Scan::new(text);
    canonical_time(&mut scan).filter(|_| scan.is_empty())
}

/// Of what [`write_timetz`] wrote.
pub(super) fn canonical_timetz(text: &[u8]) -> Option<(i64, i32)> {
    let mut scan = Scan::new(text);
    let time = canonical_time(&mut scan)?;
    let sign = scan.next().filter(|sign| matches!(sign, b'+' | b'-'))?;
    Some((time, offset(sign, scan.rest).ok()?))
}

fn infinite(out: &mut Vec<u8>, positive: bool) {
    out.extend_from_slice(if positive { INFINITY } else { MINUS_INFINITY });
}

fn push_era(out: &mut Vec<u8>, day: Day) {
    if day.is_bc() {
        out.extend_from_slice(b" BC");
    }
}

pub(super) fn write_date(date: i32, out: &mut Vec<u8>) {
    if date == i32::MAX || date == i32::MIN {
        return infinite(out, date > 0);
    }
    let day = Day::of(i64::from(date));
    day.push_iso(out);
    push_era(out, day);
}

pub(super) fn write_timestamp(timestamp: i64, zoned: bool, out: &mut Vec<u8>) {
    if timestamp == i64::MAX || timestamp == i64::MIN {
        return infinite(out, timestamp > 0);
    }
    let day = Day::of(timestamp.div_euclid(DAY));
    day.push_iso(out);
    out.push(b' ');
    push_time(out, timestamp.rem_euclid(DAY).unsigned_abs());
    if zoned {
        out.extend_from_slice(b"+00");
    }
    push_era(out, day);
}

pub(super) fn write_time(time: i64, out: &mut Vec<u8>) {
    push_time(out, time.unsigned_abs());
}

pub(super) fn write_timetz(time: i64, east: i32, out: &mut Vec<u8>) {
    push_time(out, time.unsigned_abs());
    push_offset(out, east);
}

/// As this session sees a date.
pub(super) fn show_date(date: i32, style: &Style, out: &mut Vec<u8>) {
    if style.dates == Dates::Iso || date == i32::MAX || date == i32::MIN {
        return write_date(date, out);
    }
    let day = Day::of(i64::from(date));
    match style.dates {
        Dates::Iso | Dates::Sql => push_numeric(day, b'/', style.order == Order::Dmy, out),
        Dates::German => push_numeric(day, b'.', true, out),
        Dates::Postgres => push_numeric(day, b'-', style.order == Order::Dmy, out),
    }
    push_era(out, day);
}

fn push_numeric(day: Day, between: u8, day_first: bool, out: &mut Vec<u8>) {
    let (month, of_month) = (day.month.unsigned_abs(), day.day.unsigned_abs());
    let (first, second) = if day_first { (of_month, month) } else { (month, of_month) };
    push_two(out, first);
    out.push(between);
    push_two(out, second);
    out.push(between);
    push_digits(out, day.shown_year(), 4);
}

/// As this session sees a timestamp without a zone.
pub(super) fn show_timestamp(timestamp: i64, style: &Style, out: &mut Vec<u8>) {
    show_local(timestamp, style, None, out);
}

/// As this session sees a timestamp with its own zone.
pub(super) fn show_timestamptz(timestamp: i64, style: &Style, out: &mut Vec<u8>) -> Result<(), ValueFault> {
    if timestamp == i64::MAX || timestamp == i64::MIN {
        infinite(out, timestamp > 0);
        return Ok(());
    }
    style.zone.at(timestamp, |east, name| {
        show_local(timestamp.saturating_add(i64::from(east) * SECOND), style, Some((east, name)), out);
    })
}

fn show_local(local: i64, style: &Style, zone: Option<(i32, &str)>, out: &mut Vec<u8>) {
    if local == i64::MAX || local == i64::MIN {
        return infinite(out, local > 0);
    }
    let number = local.div_euclid(DAY);
    let day = Day::of(number);
    let time = local.rem_euclid(DAY).unsigned_abs();
    match style.dates {
        Dates::Iso => day.push_iso(out),
        Dates::Sql => push_numeric(day, b'/', style.order == Order::Dmy, out),
        Dates::German => push_numeric(day, b'.', true, out),
        Dates::Postgres => {
            let nth = |names: &[&'static [u8]], at: i64| {
                usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
            };
            // 2000-01-01 was a Saturday.
            out.extend_from_slice(nth(&WEEKDAYS, (number + 6).rem_euclid(7)));
            out.push(b' ');
            let month = nth(&MONTHS, day.month - 1);
            if style.order == Order::Dmy {
                push_two(out, day.day.unsigned_abs());
                out.push(b' ');
                out.extend_from_slice(month);
            } else {
                out.extend_from_slice(month);
                out.push(b' ');
                push_two(out, day.day.unsigned_abs());
            }
        }
    }
    out.push(b' ');
    push_time(out, time);
    if style.dates == Dates::Postgres {
        out.push(b' ');
        push_digits(out, day.shown_year(), 4);
    }
    match zone {
        None => {}
        Some((east, _)) if style.dates == Dates::Iso => push_offset(out, east),
        Some((_, name)) => {
            out.push(b' ');
            // The server shows no more of an abbreviation.
            out.extend_from_slice(name.as_bytes().get(..10).unwrap_or(name.as_bytes()));
        }
    }
    push_era(out, day);
}

/// Seconds, with two digits at least before the point.
pub(super) fn push_seconds(out: &mut Vec<u8>, micros: u64, width: usize) {
    push_digits(out, micros / SECOND.unsigned_abs(), width);
    push_fraction(out, micros % SECOND.unsigned_abs());
}

fn fixed<const LENGTH: usize>(value: &[u8], of: &str) -> Result<[u8; LENGTH], ValueFault> {
    match value.len() {
        length if length < LENGTH => Err(ValueFault::new("08P01", "insufficient data left in message")),
        _ => value.try_into().map_err(|_| ValueFault::binary(of)),
    }
}

pub(super) fn date_from_binary(value: &[u8]) -> Result<i32, ValueFault> {
    let read = match i32::from_be_bytes(first(value, "date")?) {
        infinite @ (i32::MIN | i32::MAX) => infinite,
        number => date(i64::from(number))?,
    };
    fixed::<4>(value, "date").map(|_| read)
}

pub(super) fn timestamp_from_binary(value: &[u8], of: &str) -> Result<i64, ValueFault> {
    let read = match i64::from_be_bytes(first(value, of)?) {
        infinite @ (i64::MIN | i64::MAX) => infinite,
        number => instant(Some(number))?,
    };
    fixed::<8>(value, of).map(|_| read)
}

pub(super) fn time_from_binary(value: &[u8]) -> Result<i64, ValueFault> {
    let read = of_day(i64::from_be_bytes(first(value, "time")?))?;
    fixed::<8>(value, "time").map(|_| read)
}

/// The bytes at the beginning, of which the server judges before it looks for more.
fn first<const N: usize>(value: &[u8], of: &str) -> Result<[u8; N], ValueFault> {
    fixed(value.get(..N).unwrap_or(value), of)
}

fn of_day(time: i64) -> Result<i64, ValueFault> {
    if (0..=DAY).contains(&time) { Ok(time) } else { Err(ValueFault::beyond("time")) }
}

pub(super) fn timetz_from_binary(value: &[u8]) -> Result<(i64, i32), ValueFault> {
    let whole: [u8; 12] = first(value, "time with time zone")?;
    let mut scan = Scan::new(&whole);
    let time = of_day(scan.array().map_or(-1, i64::from_be_bytes))?;
    let west = scan.array().map_or(0, i32::from_be_bytes);
    if west <= -DISPLACEMENTS || west >= DISPLACEMENTS {
        return Err(ValueFault::new("22009", "time zone displacement out of range"));
    }
    fixed::<12>(value, "time with time zone")?;
    Ok((time, -west))
}
