//! Literals as bytes: where one ends, what it means, and how sealed text takes its place.
//!
//! The extent of a literal that stands for a classified value is lexed here from the place that the
//! grammar names, and its meaning must be the one that the grammar read: two independent readings of
//! every byte that is replaced.

use std::ops::Range;

use zeroize::Zeroizing;

use super::super::facts::LiteralForm;
use super::super::refusal::{Proven, refuse};
use super::elements::array_value;
use super::spelling::{Lexeme, Lexer};

/// Where a literal stands, and how it is written.
#[derive(Clone)]
pub(in crate::statement) struct Written {
    pub(in crate::statement) span: Range<usize>,
    pub(in crate::statement) form: LiteralForm,
}

/// The string literal that starts at `start` and means `value`, as the grammar has read it.
pub(in crate::statement) fn written_literal(
    text: &str,
    start: usize,
    value: &str,
    conforming: bool,
) -> Proven<Written> {
    let written = lexed(text, start, conforming).filter(|written| {
        let source = text.as_bytes().get(written.span.clone());
        source
            .and_then(|source| literal_value(source, written.form))
            .is_some_and(|decoded| decoded.as_slice() == value.as_bytes())
    });
    written.ok_or_else(|| {
        refuse(
            "literal-form",
            "the value of a sealed column is not written as a literal that is followed",
            "Write it as '...', E'...' or $$...$$, or use a parameter.",
        )
    })
}

pub(super) fn lexed(text: &str, start: usize, conforming: bool) -> Option<Written> {
    let (lexeme, span) = Lexer::starting(text, start, conforming).next()??;
    let form = match lexeme {
        Lexeme::Plain if conforming => LiteralForm::Plain,
        Lexeme::Plain | Lexeme::Escaped => LiteralForm::Escaped,
        Lexeme::Dollar => LiteralForm::Dollar,
        Lexeme::OtherString
            if text.get(start..)?.starts_with(['U', 'u']) && !names_escape(text, span.end) =>
        {
            LiteralForm::Unicode
        }
        Lexeme::OtherString
        | Lexeme::National
        | Lexeme::Word
        | Lexeme::QuotedName
        | Lexeme::Number
        | Lexeme::Parameter
        | Lexeme::Comment
        | Lexeme::Mark => return None,
    };
    (span.start == start).then_some(Written { span, form })
}

/// Does UESCAPE follow?
fn names_escape(text: &str, at: usize) -> bool {
    let mut behind = Lexer::starting(text, at, true).flatten();
    let next = behind.find(|(lexeme, _)| *lexeme != Lexeme::Comment).and_then(|(_, span)| text.get(span));
    next.is_some_and(|word| word.eq_ignore_ascii_case("uescape"))
}

/// The number that starts at `start`, its sign included, or TRUE or FALSE.
pub(in crate::statement) fn written_constant(text: &str, start: usize) -> Option<Written> {
    let rest = text.as_bytes().get(start..)?;
    let sign = usize::from(rest.first() == Some(&b'-'));
    let is_of_number = |at: usize, byte: &u8| {
        let exponent = || {
            let number = rest.get(sign).is_some_and(|first| first.is_ascii_digit() || *first == b'.');
            number && matches!(rest.get(at - 1), Some(b'e' | b'E')) && matches!(byte, b'+' | b'-')
        };
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_')
            || *byte >= 0x80
            || at > sign && exponent()
    };
    let inside = rest.iter().enumerate().skip(sign);
    let length = inside.clone().find(|(at, byte)| !is_of_number(*at, byte)).map_or(rest.len(), |(at, _)| at);
    let source = rest.get(..length)?;
    [LiteralForm::Number, LiteralForm::Word]
        .into_iter()
        .find(|form| literal_value(source, *form).is_some())
        .map(|form| Written { span: start..start + length, form })
}

/// The value of a literal, quotes and prefix included in the input. None if it is not one of this form,
/// or more than one.
#[must_use]
pub fn literal_value(source: &[u8], form: LiteralForm) -> Option<Zeroizing<Vec<u8>>> {
    match form {
        LiteralForm::Plain => quoted(source, false),
        LiteralForm::Escaped => match source {
            [b'E' | b'e', rest @ ..] => quoted(rest, true),
            rest => quoted(rest, true),
        },
        LiteralForm::Unicode => match source {
            [b'U' | b'u', b'&', rest @ ..] => unicode(&quoted(rest, false)?),
            _ => None,
        },
        LiteralForm::Dollar => {
            let tag = source.iter().skip(1).position(|byte| *byte == b'$')? + 2;
            let (tag, rest) = source.split_at_checked(tag)?;
            let inner = rest.strip_suffix(tag)?;
            let ends_once = !inner.windows(tag.len()).any(|part| part == tag);
            (tag.first() == Some(&b'$') && ends_once).then(|| Zeroizing::new(inner.to_vec()))
        }
        LiteralForm::Number => {
            is_number(source.strip_prefix(b"-").unwrap_or(source)).then(|| Zeroizing::new(source.to_vec()))
        }
        LiteralForm::Word => [&b"true"[..], b"false"]
            .into_iter()
            .find(|word| source.eq_ignore_ascii_case(word))
            .map(|word| Zeroizing::new(word.to_vec())),
        LiteralForm::Truth => source.is_empty().then(|| Zeroizing::new(b"true".to_vec())),
        LiteralForm::Array { conforming } => array_value(source, conforming),
    }
}

/// Digits with a point among them, before or behind them, and an exponent. Other forms (`0x1F`, `1_000`)
/// differ from one version of the server to the next.
fn is_number(source: &[u8]) -> bool {
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let (mantissa, exponent) = match source.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (source.get(..at).unwrap_or_default(), source.get(at + 1..)),
        None => (source, None),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (mantissa.get(..at).unwrap_or_default(), mantissa.get(at + 1..).unwrap_or_default()),
        None => (mantissa, &[][..]),
    };
    let exponent = exponent.map(|rest| rest.strip_prefix(b"-").or(rest.strip_prefix(b"+")).unwrap_or(rest));
    !(whole.is_empty() && fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// The inside of `'...'` and of its continuations, with escapes resolved or taken as they are.
fn quoted(source: &[u8], escapes: bool) -> Option<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(Vec::with_capacity(source.len()));
    let mut rest = source.strip_prefix(b"'")?;
    loop {
        let (first, after) = rest.split_first()?;
        rest = after;
        match first {
            b'\'' => match rest.first() {
                None => return Some(value),
                Some(b'\'') => {
                    value.push(b'\'');
                    rest = rest.get(1..)?;
                }
                // What goes on behind a line's end; the lexer has seen that there is one.
                Some(_) => rest = continued(rest)?,
            },
            b'\\' if escapes => rest = escape(rest, &mut value)?,
            byte => value.push(*byte),
        }
    }
}

/// What is behind the quote that begins a continuation.
fn continued(mut rest: &[u8]) -> Option<&[u8]> {
    let mut line_ended = false;
    loop {
        let (first, after) = rest.split_first()?;
        match first {
            b'\n' | b'\r' => line_ended = true,
            b' ' | b'\t' | 0x0b | 0x0c => {}
            b'\'' if line_ended => return Some(after),
            b'-' if line_ended && after.first() == Some(&b'-') => {
                let end = after.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
                rest = after.get(end..)?;
                continue;
            }
            _ => return None,
        }
        rest = after;
    }
}

/// Resolves one escape of `E'...'`, behind its backslash (chapter 4.1.2.2).
fn escape<'t>(rest: &'t [u8], value: &mut Vec<u8>) -> Option<&'t [u8]> {
    let (first, after) = rest.split_first()?;
    let number = |rest: &'t [u8], radix: u32, most: usize| {
        let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
        let length = rest.iter().take(most).position(|byte| !is_digit(byte)).unwrap_or(rest.len().min(most));
        let (digits, after) = rest.split_at_checked(length)?;
        let digits = std::str::from_utf8(digits).ok()?;
        Some((digits.len(), u32::from_str_radix(digits, radix).ok(), after))
    };
    match first {
        b'b' => value.push(8),
        b'f' => value.push(12),
        b'n' => value.push(b'\n'),
        b'r' => value.push(b'\r'),
        b't' => value.push(b'\t'),
        b'v' => value.push(11),
        b'0'..=b'7' => {
            let (_, code, after) = number(rest, 8, 3)?;
            value.push(u8::try_from(code? & 0xFF).ok()?);
            return Some(after);
        }
        b'x' => {
            let (length, code, beyond) = number(after, 16, 2)?;
            if length == 0 {
                value.push(b'x');
                return Some(after);
            }
            value.push(u8::try_from(code?).ok()?);
            return Some(beyond);
        }
        b'u' | b'U' => {
            let wanted = if *first == b'u' { 4 } else { 8 };
            let (length, code, mut beyond) = number(after, 16, wanted)?;
            let mut code = code.filter(|_| length == wanted)?;
            if (0xD800..0xDC00).contains(&code) {
                // The second half of a pair.
                let wanted = if beyond.starts_with(b"\\u") {
                    4
                } else if beyond.starts_with(b"\\U") {
                    8
                } else {
                    return None;
                };
                let (length, low, after) = number(beyond.get(2..)?, 16, wanted)?;
                let low = low.filter(|low| length == wanted && (0xDC00..0xE000).contains(low))?;
                code = 0x1_0000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
                beyond = after;
            }
            let mut buffer = [0; 4];
            value.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
            return Some(beyond);
        }
        other => value.push(*other),
    }
    Some(after)
}

/// Resolves the escapes of `U&'...'`.
fn unicode(inner: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some((first, after)) = rest.split_first() {
        match (first, after.first()) {
            (b'\\', Some(b'\\')) => {
                value.push(b'\\');
                rest = after.get(1..)?;
            }
            (b'\\', Some(_)) => {
                let (mut code, mut beyond) = unicode_digits(after)?;
                if (0xD800..0xDC00).contains(&code) {
                    let (low, after) = unicode_digits(beyond.strip_prefix(b"\\")?)?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return None;
                    }
                    code = 0x1_0000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
                    beyond = after;
                }
                let mut buffer = [0; 4];
                value.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
                rest = beyond;
            }
            (b'\\', None) => return None,
            (byte, _) => {
                value.push(*byte);
                rest = after;
            }
        }
    }
    Some(value)
}

/// Four digits, or six behind `+`.
fn unicode_digits(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (rest, length) = rest.strip_prefix(b"+").map_or((rest, 4), |rest| (rest, 6));
    let (digits, after) = rest.split_at_checked(length)?;
    let all = digits.iter().all(u8::is_ascii_hexdigit);
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    all.then_some((code, after))
}

/// Quotes bytes that are already safe ASCII (sealed text) as a literal. A quote inside is
/// doubled all the same.
#[must_use]
pub fn quote_sealed(sealed: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(sealed.len() + 2);
    quoted.push(b'\'');
    for byte in sealed {
        if *byte == b'\'' {
            quoted.push(b'\'');
        }
        quoted.push(*byte);
    }
    quoted.push(b'\'');
    quoted
}

/// A name as the server has it, in double quotes.
pub(in crate::statement) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Replaces spans (sorted, without overlap, inside the text) by new bytes; None if they
/// are not so. Every byte outside of the spans stays as it was.
#[must_use]
pub fn splice(text: &[u8], replacements: &[(Range<usize>, Vec<u8>)]) -> Option<Vec<u8>> {
    let grown: usize = replacements.iter().map(|(_, new)| new.len()).sum();
    let mut spliced = Vec::with_capacity(text.len() + grown);
    let mut copied = 0;
    for (span, new) in replacements {
        if span.end < span.start {
            return None;
        }
        spliced.extend_from_slice(text.get(copied..span.start)?);
        spliced.extend_from_slice(new);
        copied = span.end;
    }
    spliced.extend_from_slice(text.get(copied..)?);
    Some(spliced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_form_as_the_grammar_does() {
        use super::super::super::shop::READING;
        use super::super::census::census;
        use super::super::tree;
        for (source, conforming) in [
            ("'a'", true),
            ("''", true),
            ("'it''s'", true),
            (r"'a\'", true),
            ("'a'\n  'b'", true),
            ("'a' -- x", true),
            ("'a'\n-- note 'x'\n 'b''c'", true),
            (r"E'a\n\t\b\f\r\v\'\\\x41\101\u00e4\U0001F600\q'", true),
            (r"e'\uD83D\uDE00'", true),
            (r"E'\x4g'", true),
            ("E'a'\n'\\n'", true),
            (r"'a\nb\\c\''", false),
            ("$$it's$$", true),
            ("$t$a $$ b$t$", true),
            ("$$$$", true),
            (r"U&'d\0061t\+000061 \\ \D83D\DE00'", true),
            ("N'a'", true),
            (r"U&'d!0061' UESCAPE '!'", true),
            ("B'01'", true),
        ] {
            let text = format!("SELECT {source}");
            let mut reading = READING;
            reading.standard_conforming_strings = conforming;
            let parsed = tree::parse(&text, reading).unwrap();
            let meant = census(&parsed).constants.first().cloned().unwrap_or_default();
            let written = written_literal(&text, 7, &meant, conforming);
            let followed = !source.starts_with(['N', 'B']) && !source.contains("UESCAPE");
            assert_eq!(written.is_ok(), followed, "{source}");
            assert!(written_literal(&text, 7, &format!("{meant}x"), conforming).is_err(), "{source}");
        }
    }

    #[test]
    fn reads_no_more_than_one_literal_and_numbers_as_they_are_written() {
        for source in ["'a' ", "'a", "'", "", "'a' 'b'", "a", "'a\\"] {
            assert!(literal_value(source.as_bytes(), LiteralForm::Plain).is_none(), "{source}");
        }
        for source in ["$$a", "$a$b$$", "$$a$$b$$", "$"] {
            assert!(literal_value(source.as_bytes(), LiteralForm::Dollar).is_none(), "{source}");
        }
        for (source, followed) in [
            ("5", true),
            ("0", true),
            ("-5", true),
            ("10.50", true),
            ("0.5", true),
            ("007", true),
            ("1e5", true),
            ("1E+5", true),
            ("-1.5e-3", true),
            (".5", true),
            ("5.", true),
            ("true", true),
            ("FALSE", true),
            ("1e", false),
            (".", false),
            ("- 5", false),
            ("1_000", false),
            ("0x1F", false),
            ("truely", false),
            ("null", false),
        ] {
            for behind in ["", ")", ",1", " + 1"] {
                let text = format!("SELECT {source}{behind}");
                let written = written_constant(&text, 7);
                assert_eq!(written.is_some(), followed, "{text}");
                assert!(written.is_none_or(|written| written.span == (7..7 + source.len())), "{text}");
            }
        }
    }

    #[test]
    fn splices_by_span_and_leaves_the_rest() {
        let spliced = splice(b"a 'x' b 'y' c", &[(2..5, b"'1'".to_vec()), (8..11, b"'22'".to_vec())]);
        assert_eq!(spliced.unwrap(), b"a '1' b '22' c");
        assert_eq!(splice(b"abc", &[]).unwrap(), b"abc");
        for bad in
            [vec![(2..5, vec![])], vec![(1..2, vec![]), (0..1, vec![])], vec![(0..2, vec![]), (1..3, vec![])]]
        {
            assert!(splice(b"abc", &bad).is_none());
        }
        #[expect(clippy::reversed_empty_ranges, reason = "a span that ends before it starts is refused")]
        let reversed = splice(b"abc", &[(2..1, vec![])]);
        assert!(reversed.is_none());
    }

    #[test]
    fn quotes_so_that_the_value_comes_back() {
        assert_eq!(quote_sealed(b"SEAL-abc"), b"'SEAL-abc'");
        assert_eq!(literal_value(&quote_sealed(b"a'b"), LiteralForm::Plain).unwrap().as_slice(), b"a'b");
    }
}
