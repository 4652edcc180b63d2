//! What a written date or time means: the rules by which the server reads its parts from left to right.

use jiff::tz::TimeZone;

use super::abbreviation::Meaning;
use super::calendar::{DAY, Day, HOUR, MINUTE, SECOND, days_of};
use super::part::{Bad, fraction, offset, small, split_offset};
use super::scan::{Scan, number};
use super::style::{Order, Style};
use super::token::{Shape, Token, Tokens};
use super::word::{Word, abbreviation, word};
use super::zone::{self, Zone};

/// What has been read already, as bits.
const YEAR: u32 = 1;
const MONTH: u32 = 1 << 1;
const MDAY: u32 = 1 << 2;
const YDAY: u32 = 1 << 3;
const TIME: u32 = 1 << 4;
const ZONE: u32 = 1 << 5;
const SUMMER_ZONE: u32 = 1 << 6;
const CHANGING_ZONE: u32 = 1 << 11;
const SUMMER: u32 = 1 << 7;
const HALF: u32 = 1 << 8;
const ERA: u32 = 1 << 9;
const WEEKDAY: u32 = 1 << 10;
const DATE: u32 = YEAR | MONTH | MDAY;
const YEAR_MONTH: u32 = YEAR | MONTH;
const MONTH_MDAY: u32 = MONTH | MDAY;

/// Where a time is told to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place<'a> {
    /// Seconds east.
    Offset(i32),
    Zone(TimeZone),
    Abbreviation(TimeZone, &'a [u8]),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Decoded<'a> {
    Infinity,
    MinusInfinity,
    Epoch,
    /// Microseconds of the day; up to and with 24:00:00.
    Moment {
        day: Option<Day>,
        time: i64,
        place: Option<Place<'a>>,
    },
}

/// What shall be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// A date, with or without a time.
    Date,
    /// A time, with or without a date.
    Time,
}

struct Reader<'a, 's> {
    style: &'s Style,
    tokens: &'s [Token<'a>],
    wanted: Wanted,
    /// What has been read.
    mask: u32,
    day: Day,
    of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction: i64,
    short_year: bool,
    month_by_name: bool,
    julian: bool,
    bc: bool,
    half: Option<Word>,
    /// `t` or `j` stood before.
    label: Option<Word>,
    place: Option<Place<'a>>,
}

pub(super) fn decode<'a>(text: &'a [u8], wanted: Wanted, style: &Style) -> Result<Decoded<'a>, Bad> {
    let tokens = Tokens::read(text).ok_or(Bad::Format)?;
    let mut reader = Reader {
        style,
        tokens: tokens.all(),
        wanted,
        mask: 0,
        day: Day::default(),
        of_year: 0,
        hour: 0,
        minute: 0,
        second: 0,
        fraction: 0,
        short_year: false,
        month_by_name: false,
        julian: false,
        bc: false,
        half: None,
        label: None,
        place: None,
    };
    let mut special = None;
    for (at, token) in tokens.all().iter().enumerate() {
        let read = match token.shape {
            Shape::Date => reader.date_token(at, token)?,
            Shape::Time => reader.time_token(token.text)?,
            Shape::Offset => {
                reader.place = Some(Place::Offset(offset(token.sign, token.text)?));
                ZONE
            }
            Shape::Number => reader.number_token(at, token.text)?,
            Shape::Word | Shape::Signed => {
                let (read, value) = reader.word_token(at, token)?;
                special = value.or(special);
                match read {
                    Some(read) => read,
                    None => continue,
                }
            }
        };
        if reader.mask & read != 0 {
            return Err(Bad::Format);
        }
        reader.mask |= read;
    }
    match special {
        Some(special) => Ok(special),
        None => reader.finish(),
    }
}

fn is_number(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

impl<'a> Reader<'a, '_> {
    fn has(&self, what: u32) -> bool {
        self.mask & what == what
    }

    fn has_any(&self, what: u32) -> bool {
        self.mask & what != 0
    }

    /// Before time is read by itself, a date counts as given, so that digits are a time.
    fn mask_for_time(&self) -> u32 {
        match self.wanted {
            Wanted::Date => self.mask,
            Wanted::Time => self.mask | DATE,
        }
    }

    fn date_token(&mut self, at: usize, token: &Token<'a>) -> Result<u32, Bad> {
        let text = token.text;
        if self.wanted == Wanted::Time {
            let last = self.tokens.last().map(|token| token.shape);
            let second = self.tokens.get(1).map(|token| token.shape);
            if at == 0 && self.tokens.len() >= 2 && (last == Some(Shape::Date) || second == Some(Shape::Time))
            {
                return self.date(text);
            }
            if !is_number(text) {
                return self.zone_name(text);
            }
            if self.has(TIME) {
                return Err(Bad::Format);
            }
            return self.time_with_offset(text);
        }
        if self.label == Some(Word::Julian) {
            let mut scan = Scan::new(text);
            let day = small(scan.digits())?;
            self.julian_day(day);
            let sign = scan.next().filter(|sign| matches!(sign, b'+' | b'-')).ok_or(Bad::Format)?;
            self.place = Some(Place::Offset(offset(sign, scan.rest)?));
            self.label = None;
            return Ok(DATE | TIME | ZONE);
        }
        if self.label.is_some() || self.has(MONTH | MDAY) {
            if is_number(text) || self.label.is_some() {
                if self.label.take().is_some_and(|label| label != Word::Time) || self.has(TIME) {
                    return Err(Bad::Format);
                }
                return self.time_with_offset(text);
            }
            return self.zone_name(text);
        }
        self.date(text)
    }

    fn zone_name(&mut self, text: &[u8]) -> Result<u32, Bad> {
        // The server reads a name with digits as a rule of POSIX, be it as it may.
        let unknown = if text.iter().any(u8::is_ascii_digit) { Bad::Posix } else { Bad::Zone };
        self.place = Some(Place::Zone(zone::by_name(text).ok_or(unknown)?));
        Ok(ZONE)
    }

    fn time_with_offset(&mut self, text: &[u8]) -> Result<u32, Bad> {
        let (digits, east) = split_offset(text)?;
        self.place = Some(Place::Offset(east));
        Ok(self.digits(digits, self.mask_for_time())? | ZONE)
    }

    fn julian_day(&mut self, day: i64) {
        // Julian day 0 is 4714-11-24 BC.
        self.day = Day::of(day - 2_451_545);
        self.julian = true;
    }

    fn time_token(&mut self, text: &[u8]) -> Result<u32, Bad> {
        match self.label.take() {
            None | Some(Word::Time) => {}
            Some(_) if self.wanted == Wanted::Time => {}
            Some(_) => return Err(Bad::Format),
        }
        let mut scan = Scan::new(text);
        let hour = number(scan.digits()).ok_or(Bad::Field)?;
        if !scan.take(b':') {
            return Err(Bad::Format);
        }
        let minute = small(scan.digits())?;
        let (mut fields, mut micros) = ((hour, minute, 0), 0);
        if scan.peek() == Some(b'.') {
            micros = fraction(scan.rest)?;
            fields = (0, hour, minute);
        } else if !scan.is_empty() {
            if !scan.take(b':') {
                return Err(Bad::Format);
            }
            fields.2 = small(scan.digits())?;
            if scan.peek() == Some(b'.') {
                micros = fraction(scan.rest)?;
            } else if !scan.is_empty() {
                return Err(Bad::Format);
            }
        }
        (self.hour, self.minute, self.second) = fields;
        self.fraction = micros;
        if self.minute > 59 || self.second > 60 || (self.wanted == Wanted::Date && self.time_overflows()) {
            return Err(Bad::Field);
        }
        Ok(TIME)
    }

    fn time_overflows(&self) -> bool {
        self.hour > 24 || self.minute > 59 || self.second > 60 || self.fraction > SECOND || self.time() > DAY
    }

    fn time(&self) -> i64 {
        self.hour
            .saturating_mul(HOUR)
            .saturating_add(self.minute * MINUTE + self.second * SECOND + self.fraction)
    }

    fn number_token(&mut self, at: usize, text: &[u8]) -> Result<u32, Bad> {
        let point = text.iter().position(|byte| *byte == b'.');
        match self.label.take() {
            None => {}
            Some(Word::Julian) => {
                let mut scan = Scan::new(text);
                let day = small(scan.digits())?;
                self.julian_day(day);
                if scan.is_empty() {
                    return Ok(DATE);
                }
                let part: f64 = std::str::from_utf8(scan.rest)
                    .ok()
                    .filter(|rest| rest.len() > 1)
                    .and_then(|rest| rest.parse().ok())
                    .ok_or(Bad::Format)?;
                let time = (part * DAY as f64) as i64;
                (self.hour, self.minute) = (time / HOUR, time % HOUR / MINUTE);
                (self.second, self.fraction) = (time % MINUTE / SECOND, time % SECOND);
                return Ok(DATE | TIME);
            }
            Some(Word::Time) => {
                let read = self.digits(text, self.mask | DATE)?;
                return if read == TIME { Ok(read) } else { Err(Bad::Format) };
            }
            Some(_) => return Err(Bad::Format),
        }
        if self.wanted == Wanted::Time {
            return match point {
                Some(_)
                    if at == 0
                        && self.tokens.len() >= 2
                        && self.tokens.last().is_some_and(|token| token.shape == Shape::Date) =>
                {
                    self.date(text)
                }
                Some(point) if point > 2 => self.digits(text, self.mask | DATE),
                Some(_) => Err(Bad::Format),
                None if text.len() > 4 => self.digits(text, self.mask | DATE),
                None => self.field(text, self.mask | DATE),
            };
        }
        match point {
            Some(_) if !self.has_any(DATE) => self.date(text),
            Some(point) if point > 2 => self.digits(text, self.mask),
            _ if text.len() >= 6 && (!self.has_any(DATE) || !self.has_any(TIME)) => {
                self.digits(text, self.mask)
            }
            _ => self.field(text, self.mask),
        }
    }

    /// A date whose parts stand in one token.
    fn date(&mut self, text: &[u8]) -> Result<u32, Bad> {
        // Only a month's name in this token counts.
        let by_name = std::mem::replace(&mut self.month_by_name, false);
        let read = self.date_fields(text);
        self.month_by_name = by_name;
        read
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other word stands in a date")]
    fn date_fields(&mut self, text: &[u8]) -> Result<u32, Bad> {
        let mut fields: [&[u8]; 8] = [&[]; 8];
        let mut count = 0;
        let mut scan = Scan::new(text);
        while !scan.is_empty() {
            scan.run(|byte| !byte.is_ascii_alphanumeric());
            let field = match scan.peek() {
                None => return Err(Bad::Format),
                Some(first) if first.is_ascii_digit() => scan.digits(),
                Some(_) => scan.run(|byte| byte.is_ascii_alphabetic()),
            };
            *fields.get_mut(count).ok_or(Bad::Format)? = field;
            count += 1;
            // Whatever stands between them is skipped, be it what it may.
            scan.next();
        }
        let fields = fields.get(..count).unwrap_or_default();
        let (mut mask, mut all) = (self.mask, 0);
        let mut take = |mask: &mut u32, read: u32| {
            let free = *mask & read == 0;
            *mask |= read;
            all |= read;
            free.then_some(()).ok_or(Bad::Format)
        };
        for field in fields.iter().filter(|field| !is_number(field)) {
            match word(field) {
                Word::Month(month) => {
                    self.day.month = month;
                    self.month_by_name = true;
                    take(&mut mask, MONTH)?;
                }
                Word::Nothing => {}
                _ => return Err(Bad::Format),
            }
        }
        for field in fields.iter().filter(|field| is_number(field)) {
            let read = self.field(field, mask)?;
            take(&mut mask, read)?;
        }
        if mask & !(YDAY | ZONE) == DATE { Ok(all) } else { Err(Bad::Format) }
    }

    /// Digits run together: a date, or a time.
    fn digits(&mut self, text: &[u8], mask: u32) -> Result<u32, Bad> {
        let point = text.iter().position(|byte| *byte == b'.');
        let (digits, rest) = text.split_at_checked(point.unwrap_or(text.len())).ok_or(Bad::Format)?;
        if point.is_some() {
            self.fraction = fraction(rest)?;
        } else if mask & DATE != DATE && digits.len() >= 6 {
            let (head, day) = digits.split_at_checked(digits.len() - 2).ok_or(Bad::Format)?;
            let (year, month) = head.split_at_checked(head.len() - 2).ok_or(Bad::Format)?;
            self.day = Day { year: small(year)?, month: small(month)?, day: small(day)? };
            self.short_year |= year.len() == 2;
            return Ok(DATE);
        }
        if mask & TIME == TIME || (digits.len() != 6 && digits.len() != 4) {
            return Err(Bad::Format);
        }
        let mut pairs = digits.chunks(2).map(small);
        let mut pair = || pairs.next().unwrap_or(Ok(0));
        (self.hour, self.minute, self.second) = (pair()?, pair()?, pair()?);
        Ok(TIME)
    }

    /// A number that is one field of a date, by what has been read and by the session's order.
    fn field(&mut self, text: &[u8], mask: u32) -> Result<u32, Bad> {
        let mut scan = Scan::new(text);
        let digits = scan.digits();
        if digits.is_empty() {
            return Err(Bad::Format);
        }
        let value = small(digits)?;
        if scan.peek() == Some(b'.') {
            if digits.len() > 2 {
                return self.digits(text, mask | DATE);
            }
            self.fraction = fraction(scan.rest)?;
        } else if !scan.is_empty() {
            return Err(Bad::Format);
        }
        if text.len() == 3 && mask & DATE == YEAR && (1..=366).contains(&value) {
            self.of_year = value;
            return Ok(YDAY | MONTH | MDAY);
        }
        let long = text.len() >= 3;
        let order = self.style.order;
        let read = match mask & DATE {
            0 if long || order == Order::Ymd => YEAR,
            0 if order == Order::Dmy => MDAY,
            0 | YEAR | MDAY => MONTH,
            MONTH if self.month_by_name && (long || order == Order::Ymd) => YEAR,
            MONTH => MDAY,
            YEAR_MONTH => {
                if self.month_by_name && long && self.short_year {
                    // What was taken for the year was the day.
                    self.day.day = self.day.year;
                    self.day.year = value;
                    self.short_year = false;
                    return Ok(MDAY);
                }
                MDAY
            }
            MONTH_MDAY => YEAR,
            DATE => return self.digits(text, mask),
            _ => return Err(Bad::Format),
        };
        match read {
            YEAR => {
                self.day.year = value;
                self.short_year = text.len() <= 2;
            }
            MONTH => self.day.month = value,
            _ => self.day.day = value,
        }
        Ok(read)
    }

    /// What has been read, if anything, and the value that the word is by itself.
    fn word_token(
        &mut self,
        at: usize,
        token: &Token<'a>,
    ) -> Result<(Option<u32>, Option<Decoded<'a>>), Bad> {
        let text = token.text;
        let plain = token.sign == 0;
        if let Some(meaning) = plain.then(|| abbreviation(text)).flatten() {
            let place = match meaning {
                Meaning::Fixed(east) | Meaning::Summer(east) => Place::Offset(east),
                Meaning::Zone(name) => {
                    Place::Abbreviation(zone::by_name(name.as_bytes()).ok_or(Bad::Zone)?, text)
                }
            };
            // Servers from 18 on look into the session's zone first.
            let alike = match &place {
                Place::Offset(east) => self.style.zone.means(text, *east),
                Place::Zone(zone) | Place::Abbreviation(zone, _) => {
                    matches!(&self.style.zone, Zone::Known(known) if known.zone == *zone)
                        || !self.style.zone.uses(text)
                }
            };
            if !alike {
                return Err(Bad::Abbreviation);
            }
            self.place = Some(place);
            let read = match meaning {
                Meaning::Fixed(_) => ZONE,
                Meaning::Summer(_) => ZONE | SUMMER_ZONE,
                Meaning::Zone(_) => ZONE | CHANGING_ZONE,
            };
            return Ok((Some(read), None));
        }
        let known = match (plain, word(text)) {
            (true, known) => known,
            (false, Word::Infinity) if token.sign == b'-' => Word::MinusInfinity,
            (false, _) => Word::Unknown,
        };
        let alone = self.tokens.len() == 1;
        let special = |value| {
            if alone { Ok((Some(DATE | TIME | ZONE), Some(value))) } else { Err(Bad::Beside) }
        };
        let read = match known {
            Word::Nothing => return Ok((None, None)),
            Word::Clock => return Err(Bad::Clock),
            Word::Allballs => {
                self.place = Some(Place::Offset(0));
                TIME | ZONE
            }
            Word::Epoch | Word::Infinity | Word::MinusInfinity if self.wanted == Wanted::Time => {
                return Err(Bad::Format);
            }
            Word::Epoch => return special(Decoded::Epoch),
            Word::Infinity => return special(Decoded::Infinity),
            Word::MinusInfinity => return special(Decoded::MinusInfinity),
            Word::Month(_) if self.wanted == Wanted::Time => return Err(Bad::Format),
            Word::Month(month) => {
                let moved = self.has_any(MONTH)
                    && !self.month_by_name
                    && !self.has_any(MDAY)
                    && (1..=31).contains(&self.day.month);
                if moved {
                    self.day.day = self.day.month;
                }
                self.month_by_name = true;
                self.day.month = month;
                if moved { MDAY } else { MONTH }
            }
            Word::Weekday if self.wanted == Wanted::Time => return Err(Bad::Format),
            Word::Weekday => WEEKDAY,
            Word::Summer => {
                if let Some(Place::Offset(east)) = &mut self.place {
                    *east += 3600;
                }
                SUMMER | SUMMER_ZONE
            }
            Word::Am | Word::Pm => {
                self.half = Some(known);
                HALF
            }
            Word::Ad | Word::Bc => {
                self.bc = known == Word::Bc;
                ERA
            }
            Word::Time | Word::Julian => {
                if known == Word::Time {
                    let next = self.tokens.get(at + 1).map(|token| token.shape);
                    let sensible = matches!(next, Some(Shape::Number | Shape::Time | Shape::Date));
                    if !sensible || (self.wanted == Wanted::Date && !self.has(DATE)) {
                        return Err(Bad::Format);
                    }
                }
                if self.label.replace(known).is_some() {
                    return Err(Bad::Format);
                }
                0
            }
            Word::Unit => return Err(Bad::Format),
            Word::Unknown => {
                let zone = plain.then(|| zone::by_name(text)).flatten().ok_or(Bad::Format)?;
                self.place = Some(Place::Zone(zone));
                ZONE
            }
        };
        Ok((Some(read), None))
    }

    fn check_day(&mut self) -> Result<(), Bad> {
        if self.has(YEAR) && !self.julian {
            if self.day.year <= 0 && (self.bc || !self.short_year) {
                return Err(Bad::Field);
            }
            if self.bc {
                self.day.year = 1 - self.day.year;
            } else if self.short_year {
                self.day.year += match self.day.year {
                    ..70 => 2000,
                    70..100 => 1900,
                    _ => 0,
                };
            }
        }
        if self.has(YDAY) {
            self.day = Day::of(Day { year: self.day.year, month: 1, day: 1 }.number() + self.of_year - 1);
        }
        if (self.has(MONTH) && !(1..=12).contains(&self.day.month))
            || (self.has(MDAY) && !(1..=31).contains(&self.day.day))
            || (self.has(DATE) && self.day.day > days_of(self.day.year, self.day.month))
        {
            return Err(Bad::Field);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Decoded<'a>, Bad> {
        // What `t` or `j` announced has to follow.
        if self.label.is_some() {
            return Err(Bad::Format);
        }
        self.check_day()?;
        if let Some(half) = self.half {
            if self.hour > 12 {
                return Err(Bad::Field);
            }
            self.hour = match (half, self.hour) {
                (Word::Am, 12) => 0,
                (Word::Pm, 0..12) => self.hour + 12,
                (_, hour) => hour,
            };
        }
        let whole = match self.wanted {
            Wanted::Date => DATE,
            Wanted::Time => TIME,
        };
        if self.wanted == Wanted::Time && self.time_overflows() {
            return Err(Bad::Field);
        }
        if !self.has(whole) {
            return Err(Bad::Format);
        }
        if self.has(SUMMER) && !matches!(self.place, Some(Place::Offset(_))) {
            return Err(Bad::Format);
        }
        let day = self.has(DATE).then_some(self.day);
        if self.wanted == Wanted::Time
            && day.is_none()
            && matches!(&self.place, Some(Place::Zone(zone)) if zone::fixed(zone).is_none())
        {
            return Err(Bad::Format);
        }
        Ok(Decoded::Moment { day, time: self.time(), place: self.place })
    }
}
