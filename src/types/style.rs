//! How a session writes dates, times and intervals, as ParameterStatus tells it.

use super::zone::Zone;

/// How a session reads and writes values: what ParameterStatus told of DateStyle, IntervalStyle and TimeZone.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Style {
    pub(super) dates: Dates,
    pub(super) order: Order,
    pub(super) intervals: Intervals,
    pub(super) zone: Zone,
}

/// In which form dates are written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Dates {
    #[default]
    Iso,
    Sql,
    Postgres,
    German,
}

/// In which order day, month and year are read where a text does not say.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Order {
    #[default]
    Mdy,
    Dmy,
    Ymd,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Intervals {
    #[default]
    Postgres,
    Verbose,
    Sql,
    Iso,
}

impl Style {
    /// Takes in what the server says of one of its settings. Others than these three do not matter.
    pub fn parameter(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"DateStyle") {
            for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
                match () {
                    () if is("ISO") => self.dates = Dates::Iso,
                    () if is("SQL") => self.dates = Dates::Sql,
                    () if is("Postgres") => self.dates = Dates::Postgres,
                    () if is("German") => self.dates = Dates::German,
                    () if is("MDY") => self.order = Order::Mdy,
                    () if is("DMY") => self.order = Order::Dmy,
                    () if is("YMD") => self.order = Order::Ymd,
                    () => {}
                }
            }
        } else if name.eq_ignore_ascii_case(b"IntervalStyle") {
            self.intervals = match value {
                b"postgres_verbose" => Intervals::Verbose,
                b"sql_standard" => Intervals::Sql,
                b"iso_8601" => Intervals::Iso,
                _ => Intervals::Postgres,
            };
        } else if name.eq_ignore_ascii_case(b"TimeZone") {
            self.zone = Zone::named(value);
        }
    }
}
