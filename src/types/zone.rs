//! Time zones: which offset one has at which time. The rules are those of the time zone database that is built
//! in; beyond the years that it can count they go on in cycles of 400 years, as the calendar does.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use super::calendar::{DAY, Day, HOUR, MINUTE, SECOND};
use super::fault::ValueFault;

/// Seconds from 1970, where the database counts from, to 2000.
const EPOCH: i64 = 946_684_800;
/// Seconds of 400 years, of which each has the same days and weekdays as the next.
const CYCLE: i64 = 146_097 * 86_400;
/// The last second, and the last year, that the database can count.
const SECONDS_LAST: i64 = 253_402_207_200;
const YEAR_LAST: i64 = 9_998;
/// How many changes of a zone are looked through for one abbreviation. No zone has as many.
const CHANGES_MAX: usize = 1_024;

/// The zone of a session.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) enum Zone {
    #[default]
    Utc,
    Known(Known),
    /// The server knows it, and the database does not.
    Unknown,
}

/// A zone of the database.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub zone: TimeZone,
    /// Its own abbreviations, once they have been asked for.
    names: OnceLock<Vec<(String, i32)>>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Known) -> bool {
        self.zone == other.zone
    }
}

impl Eq for Known {}

/// A zone by its name in the database, in any case.
pub(super) fn by_name(name: &[u8]) -> Option<TimeZone> {
    let name = std::str::from_utf8(name).ok()?;
    // A name of the library's own.
    if name.eq_ignore_ascii_case("Etc/Unknown") {
        return None;
    }
    TimeZoneDatabase::bundled().get(name).ok()
}

fn timestamp(instant: i64) -> Option<Timestamp> {
    let mut seconds = instant.div_euclid(SECOND) + EPOCH;
    if seconds > SECONDS_LAST {
        seconds -= ((seconds - SECONDS_LAST) / CYCLE + 1) * CYCLE;
    }
    Timestamp::from_second(seconds).ok()
}

/// Seconds east of Greenwich at this instant, in microseconds since 2000; its abbreviation is handed on.
pub(super) fn at<T>(zone: &TimeZone, instant: i64, with: impl FnOnce(i32, &str) -> T) -> Option<T> {
    let info = zone.to_offset_info(timestamp(instant)?);
    Some(with(info.offset().seconds(), info.abbreviation()))
}

/// The same of a time that the zone's clocks show. Of two, the later one's; where they skip it, as before.
pub(super) fn at_local(zone: &TimeZone, local: i64) -> Option<i32> {
    let (mut day, time) = (Day::of(local.div_euclid(DAY)), local.rem_euclid(DAY));
    if day.year > YEAR_LAST {
        day.year -= ((day.year - YEAR_LAST) / 400 + 1) * 400;
    }
    let small = |number: i64| i8::try_from(number).ok();
    let (hour, minute, second) = (time / HOUR, time % HOUR / MINUTE, time % MINUTE / SECOND);
    let civil = DateTime::new(
        i16::try_from(day.year).ok()?,
        small(day.month)?,
        small(day.day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    let offset = match zone.to_ambiguous_timestamp(civil.ok()?).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } => before,
        AmbiguousOffset::Fold { after, .. } => after,
    };
    Some(offset.seconds())
}

/// What an abbreviation meant in a zone at this time of its clocks: as it was used last before, or first after.
pub(super) fn abbreviated(zone: &TimeZone, name: &[u8], local: i64) -> Option<i32> {
    let usual = at_local(zone, local)?;
    let instant = timestamp(local - i64::from(usual) * SECOND)?;
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    let now = zone.to_offset_info(instant);
    if is(now.abbreviation()) {
        return Some(now.offset().seconds());
    }
    let before = zone.preceding(instant).take(CHANGES_MAX).find(|change| is(change.abbreviation()));
    if let Some(change) = before {
        return Some(change.offset().seconds());
    }
    let after = zone.following(instant).take(CHANGES_MAX).find(|change| is(change.abbreviation()));
    Some(after.map_or(usual, |change| change.offset().seconds()))
}

impl Zone {
    pub(super) fn named(name: &[u8]) -> Zone {
        if name.eq_ignore_ascii_case(b"UTC") || name.eq_ignore_ascii_case(b"Etc/UTC") {
            return Zone::Utc;
        }
        // What SET TIME ZONE makes of a number: <+02>-02.
        let zone = if name.starts_with(b"<") {
            std::str::from_utf8(name).ok().and_then(|name| TimeZone::posix(name).ok())
        } else {
            by_name(name)
        };
        zone.map_or(Zone::Unknown, |zone| Zone::Known(Known { zone, names: OnceLock::new() }))
    }

    fn unknown() -> ValueFault {
        ValueFault::unsupported("the session's time zone is not known here")
    }

    /// See [`at`].
    pub(super) fn at<T>(&self, instant: i64, with: impl FnOnce(i32, &str) -> T) -> Result<T, ValueFault> {
        match self {
            Zone::Utc => Ok(with(0, "UTC")),
            Zone::Known(known) => at(&known.zone, instant, with).ok_or_else(Zone::unknown),
            Zone::Unknown => Err(Zone::unknown()),
        }
    }

    /// See [`at_local`].
    pub(super) fn at_local(&self, local: i64) -> Result<i32, ValueFault> {
        match self {
            Zone::Utc => Ok(0),
            Zone::Known(known) => at_local(&known.zone, local).ok_or_else(Zone::unknown),
            Zone::Unknown => Err(Zone::unknown()),
        }
    }

    /// The offset of a zone that has only one.
    pub(super) fn fixed(&self) -> Option<i32> {
        match self {
            Zone::Utc => Some(0),
            Zone::Known(known) => fixed(&known.zone),
            Zone::Unknown => None,
        }
    }

    /// Does the zone itself use this abbreviation, if at all, for this offset alone?
    pub(super) fn means(&self, name: &[u8], east: i32) -> bool {
        self.usages(name, |offset| offset != east) == 0
    }

    /// Does the zone itself use this abbreviation?
    pub(super) fn uses(&self, name: &[u8]) -> bool {
        self.usages(name, |_| true) > 0
    }

    fn usages(&self, name: &[u8], counted: impl Fn(i32) -> bool) -> usize {
        let is = |known: &str, offset: i32| known.as_bytes().eq_ignore_ascii_case(name) && counted(offset);
        match self {
            Zone::Utc => usize::from(is("UTC", 0)),
            Zone::Known(known) => {
                let names = known.names.get_or_init(|| names(&known.zone));
                names.iter().filter(|(known, offset)| is(known, *offset)).count()
            }
            Zone::Unknown => 1,
        }
    }
}

/// Every abbreviation of a zone with every offset that it stands for.
fn names(zone: &TimeZone) -> Vec<(String, i32)> {
    let first = zone.to_offset_info(Timestamp::MIN);
    let mut names = vec![(first.abbreviation().to_owned(), first.offset().seconds())];
    let changes = zone
        .following(Timestamp::MIN)
        // What a zone uses for ever it uses within a few years.
        .take_while(|change| change.timestamp().as_second() < EPOCH + CYCLE / 4)
        .take(CHANGES_MAX);
    for change in changes {
        let offset = change.offset().seconds();
        if !names.iter().any(|(name, known)| name == change.abbreviation() && *known == offset) {
            names.push((change.abbreviation().to_owned(), offset));
        }
    }
    names
}

/// The offset of a zone that has only one.
pub(super) fn fixed(zone: &TimeZone) -> Option<i32> {
    let mut changes = zone.preceding(Timestamp::MAX);
    match changes.next() {
        None => Some(zone.to_offset_info(Timestamp::MIN).offset().seconds()),
        Some(_) => None,
    }
}
