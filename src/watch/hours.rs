//! `[[watch.detector]] kind = "hours"`: the hours in which a user may be here, by the clock of a place.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Days and minutes of the day. Where `until` is before `from`, the night belongs to the day it began on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hours {
    pub zone: TimeZone,
    /// From Monday on.
    pub days: [bool; 7],
    /// Minutes since midnight; `from` belongs to it, `until` does not.
    pub from: u16,
    pub until: u16,
}

impl Hours {
    /// Is this moment one of those that are granted? A moment that has no date is none.
    #[must_use]
    pub fn holds(&self, now_ms: u64) -> bool {
        let moment = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(moment) = moment else { return false };
        let local = moment.to_zoned_datetime(self.zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let night = self.until <= self.from;
        let inside = if night {
            minute >= self.from || minute < self.until
        } else {
            (self.from..self.until).contains(&minute)
        };
        let began_yesterday = night && minute < self.until;
        let day = if began_yesterday {
            let before = moment.checked_sub(SignedDuration::from_hours(24));
            before.map_or(local.weekday(), |before| before.to_zoned_datetime(self.zone.clone()).weekday())
        } else {
            local.weekday()
        };
        inside && self.days.get(index(day)).copied().unwrap_or(false)
    }
}

fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn hours(zone: &str, days: &str, from: u16, until: u16) -> Hours {
        let zone = TimeZone::get(zone).unwrap();
        let days: Vec<bool> = days.chars().map(|day| day != '.').collect();
        Hours { zone, days: days.try_into().unwrap(), from: from * 60, until: until * 60 }
    }

    #[test]
    fn are_those_of_the_place_in_summer_and_in_winter() {
        let office = hours("Europe/Berlin", "mtwtf..", 8, 18);
        for (moment, expected) in [
            // A Friday in winter, one hour ahead of UTC.
            ("2026-11-27T06:59:59Z", false),
            ("2026-11-27T07:00:00Z", true),
            ("2026-11-27T16:59:59Z", true),
            ("2026-11-27T17:00:00Z", false),
            // The Saturday.
            ("2026-11-28T10:00:00Z", false),
            // A Monday in summer, two hours ahead.
            ("2026-07-06T06:00:00Z", true),
            ("2026-07-06T05:59:00Z", false),
            ("2026-07-06T16:00:00Z", false),
        ] {
            assert_eq!(office.holds(at(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began_on() {
        let night = hours("UTC", "....f..", 22, 6);
        for (moment, expected) in [
            ("2026-11-27T05:00:00Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T05:59:00Z", true),
            ("2026-11-28T06:00:00Z", false),
            ("2026-11-28T22:00:00Z", false),
        ] {
            assert_eq!(night.holds(at(moment)), expected, "{moment}");
        }
        assert!(!night.holds(u64::MAX), "what has no date is not granted");
    }
}
