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
