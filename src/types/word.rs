//! The words that dates, times and intervals are written with.

/// What a word is in a date or time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Unknown,
    /// `at`, `on`.
    Nothing,
    Month(i64),
    Weekday,
    Ad,
    Bc,
    Am,
    Pm,
    /// `dst` behind a zone.
    Summer,
    /// `t` before a time.
    Time,
    /// `j` before a Julian day.
    Julian,
    /// What labels a number by the unit it counts, which newer servers do not take any more.
    Unit,
    Epoch,
    Infinity,
    MinusInfinity,
    /// Midnight in UTC.
    Allballs,
    /// `now`, `today`, `tomorrow`, `yesterday`.
    Clock,
}

/// Longest word that is looked for.
const WORD_MAX: usize = 12;

fn lowered<T>(word: &[u8], with: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut letters = [0; WORD_MAX];
    let lower = letters.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(with(lower))
}

/// In any case; with its sign only `-infinity` is one.
pub(super) fn word(word: &[u8]) -> Word {
    lowered(word, |word| match word {
        b"jan" | b"january" => Word::Month(1),
        b"feb" | b"february" => Word::Month(2),
        b"mar" | b"march" => Word::Month(3),
        b"apr" | b"april" => Word::Month(4),
        b"may" => Word::Month(5),
        b"jun" | b"june" => Word::Month(6),
        b"jul" | b"july" => Word::Month(7),
        b"aug" | b"august" => Word::Month(8),
        b"sep" | b"sept" | b"september" => Word::Month(9),
        b"oct" | b"october" => Word::Month(10),
        b"nov" | b"november" => Word::Month(11),
        b"dec" | b"december" => Word::Month(12),
        b"sun" | b"sunday" | b"mon" | b"monday" | b"tue" | b"tues" | b"tuesday" | b"wed" | b"weds"
        | b"wednesday" | b"thu" | b"thur" | b"thurs" | b"thursday" | b"fri" | b"friday" | b"sat"
        | b"saturday" => Word::Weekday,
        b"ad" => Word::Ad,
        b"bc" => Word::Bc,
        b"am" => Word::Am,
        b"pm" => Word::Pm,
        b"at" | b"on" => Word::Nothing,
        b"dst" => Word::Summer,
        b"t" => Word::Time,
        b"j" | b"jd" | b"julian" => Word::Julian,
        b"d" | b"h" | b"m" | b"mm" | b"s" | b"y" | b"dow" | b"doy" | b"isodow" | b"isoyear" => Word::Unit,
        b"epoch" => Word::Epoch,
        b"infinity" => Word::Infinity,
        b"allballs" => Word::Allballs,
        b"now" | b"today" | b"tomorrow" | b"yesterday" => Word::Clock,
        _ => Word::Unknown,
    })
    .unwrap_or(Word::Unknown)
}

/// The abbreviation of a zone, in any case.
pub(super) fn abbreviation(word: &[u8]) -> Option<super::abbreviation::Meaning> {
    lowered(word, super::abbreviation::meaning).flatten()
}

/// What an interval counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

/// By its name in any case. Only the first ten letters count.
pub(super) fn unit(word: &[u8]) -> Option<Unit> {
    let word = word.get(..10).unwrap_or(word);
    lowered(word, |word| {
        Some(match word {
            b"us" | b"usec" | b"usecs" | b"useconds" | b"microsecon" => Unit::Microsecond,
            b"ms" | b"msec" | b"msecs" | b"mseconds" | b"millisecon" => Unit::Millisecond,
            b"s" | b"sec" | b"secs" | b"second" | b"seconds" => Unit::Second,
            b"m" | b"min" | b"mins" | b"minute" | b"minutes" => Unit::Minute,
            b"h" | b"hr" | b"hrs" | b"hour" | b"hours" => Unit::Hour,
            b"d" | b"day" | b"days" => Unit::Day,
            b"w" | b"week" | b"weeks" => Unit::Week,
            b"mon" | b"mons" | b"month" | b"months" => Unit::Month,
            b"y" | b"yr" | b"yrs" | b"year" | b"years" => Unit::Year,
            b"dec" | b"decs" | b"decade" | b"decades" => Unit::Decade,
            b"c" | b"cent" | b"century" | b"centuries" => Unit::Century,
            b"mil" | b"mils" | b"millennium" | b"millennia" => Unit::Millennium,
            _ => return None,
        })
    })
    .flatten()
}
