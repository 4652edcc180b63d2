//! Days and microseconds, counted as the server counts them: from 2000-01-01, in the Gregorian calendar
//! throughout.

use super::scan::{push_digits, push_two};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// First and last date that the type `date` holds: 4714-11-24 BC and 5874897-12-31.
pub(super) const DATES: std::ops::RangeInclusive<i64> = -2_451_545..=2_145_031_948;
/// Microseconds that timestamps hold, the last one beyond: 4714-11-24 BC to 294277-01-01.
pub(super) const INSTANTS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

pub(super) const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
pub(super) const WEEKDAYS: [&[u8]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];

/// A day of the calendar. Year 0 is 1 BC.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Day {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

pub(super) const fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

pub(super) const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Day {
    /// Days since 2000-01-01. Days beyond the month's end count on.
    pub(super) const fn number(self) -> i64 {
        // Years begin in March, so that the leap day is their last.
        let (year, month) =
            if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * month + 2) / 5 + self.day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730_425
    }

    pub(super) const fn of(number: i64) -> Day {
        let days = number + 730_425;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
        Day { year: year + era * 400, month, day }
    }

    /// The year as it is written, without its era.
    pub(super) const fn shown_year(self) -> u64 {
        if self.year > 0 { self.year.unsigned_abs() } else { (1 - self.year).unsigned_abs() }
    }

    pub(super) const fn is_bc(self) -> bool {
        self.year <= 0
    }

    /// `YYYY-MM-DD`, without the era.
    pub(super) fn push_iso(self, out: &mut Vec<u8>) {
        push_digits(out, self.shown_year(), 4);
        out.push(b'-');
        push_two(out, self.month.unsigned_abs());
        out.push(b'-');
        push_two(out, self.day.unsigned_abs());
    }
}

/// `HH:MM:SS[.ffffff]` of so many microseconds.
pub(super) fn push_time(out: &mut Vec<u8>, time: u64) {
    let (second, minute, hour) = (SECOND.unsigned_abs(), MINUTE.unsigned_abs(), HOUR.unsigned_abs());
    push_two(out, time / hour);
    out.push(b':');
    push_two(out, time % hour / minute);
    out.push(b':');
    push_two(out, time % minute / second);
    push_fraction(out, time % second);
}

/// `.ffffff` without zeros at its end; nothing where it is 0.
pub(super) fn push_fraction(out: &mut Vec<u8>, fraction: u64) {
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    push_digits(out, fraction, 6);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// An offset as ISO has it: `+HH[:MM[:SS]]`, of seconds east.
pub(super) fn push_offset(out: &mut Vec<u8>, east: i32) {
    out.push(if east < 0 { b'-' } else { b'+' });
    let size = u64::from(east.unsigned_abs());
    push_two(out, size / 3600);
    let (minutes, seconds) = (size % 3600 / 60, size % 60);
    if minutes != 0 || seconds != 0 {
        out.push(b':');
        push_two(out, minutes);
    }
    if seconds != 0 {
        out.push(b':');
        push_two(out, seconds);
    }
}

/// Microseconds rounded to so many digits of a second, half away from zero.
pub(super) fn round(time: i64, digits: Option<u8>) -> i64 {
    let Some(digits) = digits else {
        return time;
    };
    let step = 10_i64.pow(u32::from(6 - digits.min(6)));
    let half = step / 2;
    if time >= 0 {
        time.saturating_add(half) / step * step
    } else {
        -(time.saturating_neg().saturating_add(half) / step * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_numbered_without_a_gap() {
        let mut before = Day::of(-1_000_000);
        for number in -999_999..1_000_000 {
            let day = Day::of(number);
            assert_eq!(day.number(), number);
            let next = if before.day < days_of(before.year, before.month) {
                Day { day: before.day + 1, ..before }
            } else if before.month < 12 {
                Day { month: before.month + 1, day: 1, ..before }
            } else {
                Day { year: before.year + 1, month: 1, day: 1 }
            };
            assert_eq!(day, next);
            before = day;
        }
    }

    #[test]
    fn the_borders_are_the_servers() {
        let day = |year, month, day| Day { year, month, day }.number();
        assert_eq!(day(2000, 1, 1), 0);
        assert_eq!(day(-4713, 11, 24), *DATES.start());
        assert_eq!(day(5_874_897, 12, 31), *DATES.end());
        assert_eq!(day(-4713, 11, 24) * DAY, INSTANTS.start);
        assert_eq!(day(294_277, 1, 1) * DAY, INSTANTS.end);
    }
}
