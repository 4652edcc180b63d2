//! What is done to a text before it is sealed, so that texts which mean the same are the same. Done twice it
//! gives what it gave once.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::fault::ValueFault;
use super::unicode::{is_assigned, lower};
use crate::catalog::{Kind, Normal};

/// Appends the normalized text. Err: it holds what cannot be normalized.
///
/// # Errors
///
/// It holds a code point that Unicode 16.0 does not assign, and more than blanks at its ends is normalized.
pub fn normalize(kind: &Kind, value: &str, out: &mut Vec<u8>) -> Result<(), ValueFault> {
    let steps = kind.normalize;
    if value.is_ascii() {
        // In ASCII the order does not matter, and NFC changes nothing.
        let value = if steps.has(Normal::Trim) { value.trim_matches(' ') } else { value };
        let start = out.len();
        out.extend_from_slice(value.as_bytes());
        if steps.has(Normal::Lowercase)
            && let Some(text) = out.get_mut(start..)
        {
            text.make_ascii_lowercase();
        }
        return Ok(());
    }
    if (steps.has(Normal::Lowercase) || steps.has(Normal::Nfc)) && !value.chars().all(is_assigned) {
        return Err(ValueFault::new("22021", "the value holds a character that Unicode 16.0 does not have"));
    }
    let mut text = Zeroizing::new(value.to_owned());
    let mut composed = false;
    for step in steps.steps() {
        text = Zeroizing::new(match step {
            Normal::Lowercase => text.chars().map(lower).collect(),
            Normal::Trim => text.trim_matches(' ').to_owned(),
            Normal::Nfc => text.nfc().collect(),
        });
        composed |= step == Normal::Nfc;
    }
    // Lower case composes with marks with which upper case does not.
    if composed && steps.has(Normal::Lowercase) {
        text = Zeroizing::new(text.nfc().collect());
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(kind: &str, value: &str) -> Result<String, &'static str> {
        let kind = Kind::parse(kind).unwrap();
        let mut out = Vec::new();
        normalize(&kind, value, &mut out).map_err(|fault| fault.sqlstate)?;
        Ok(String::from_utf8(out).unwrap())
    }

    const KINDS: [&str; 9] = [
        "text:lowercase",
        "text:trim",
        "text:nfc",
        "text:lowercase,trim",
        "text:lowercase,nfc",
        "text:nfc,lowercase",
        "text:trim,nfc,lowercase",
        "text:nfc,trim,lowercase",
        "text:lowercase,nfc,trim",
    ];

    #[test]
    fn each_step_does_what_it_says() {
        for (kind, value, expected) in [
            ("text", " Ä ", " Ä "),
            ("text:lowercase", " Ada@Example.ORG", " ada@example.org"),
            ("text:lowercase", "ÄÖÜ ẞ İ Σ", "äöü ß i σ"),
            ("text:trim", "  a b\t ", "a b\t"),
            ("text:trim", "\u{a0}ä\u{a0}  ", "\u{a0}ä\u{a0}"),
            ("text:nfc", "a\u{308}", "ä"),
            ("text:nfc", "\u{212b}", "Å"),
            ("text:nfc,lowercase", "J\u{30c}", "ǰ"),
        ] {
            assert_eq!(normalized(kind, value).as_deref(), Ok(expected), "{kind}");
        }
        assert_eq!(normalized("text:lowercase", "a\u{378}"), Err("22021"));
        assert_eq!(normalized("text:nfc", "\u{10ffff}"), Err("22021"));
        assert_eq!(normalized("text:trim", " \u{378}").as_deref(), Ok("\u{378}"));
    }

    #[test]
    fn done_twice_it_gives_the_same() {
        let marks = ['\u{301}', '\u{307}', '\u{30c}'];
        for kind in KINDS {
            let kind = Kind::parse(kind).unwrap();
            let twice = |text: &str| {
                let (mut once, mut again) = (Vec::new(), Vec::new());
                normalize(&kind, text, &mut once).unwrap();
                normalize(&kind, std::str::from_utf8(&once).unwrap(), &mut again).unwrap();
                assert_eq!(once, again, "{kind} {text:?}");
            };
            // Ideographs and syllables have no case, and stay as they are.
            let plain = |letter: &char| {
                matches!(letter, '\u{3400}'..='\u{9fff}' | '\u{ac01}'..='\u{d7a3}' | '\u{17000}'..='\u{18aff}')
                    || matches!(letter, '\u{20000}'..='\u{2f7ff}' | '\u{2fa20}'..)
            };
            let letters = ('\0'..=char::MAX).filter(|letter| is_assigned(*letter));
            for letter in letters.filter(|letter| !plain(letter)) {
                twice(letter.encode_utf8(&mut [0; 4]));
                if lower(letter) != letter || letter.is_lowercase() {
                    for mark in &marks {
                        twice(&format!(" {letter}{mark} "));
                        twice(&format!("{letter}\u{323}{mark}"));
                    }
                }
            }
        }
    }
}
