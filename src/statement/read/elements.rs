//! `ARRAY['a', NULL, 7]` as one value: the text of the array that it makes, `{"a",NULL,"7"}`.
//!
//! Where an array is sealed as a whole its parts are none of what is sealed, so the expression goes from the text
//! with all that it holds. What stands in it is lexed here, and must be what the grammar has read.

use zeroize::Zeroizing;

use super::literal::{lexed, literal_value, written_constant};
use super::spelling::{Lexeme, Lexer};

/// An element. None: NULL.
pub(in crate::statement) type Element = Option<Zeroizing<Vec<u8>>>;

/// Elements that are constants, each with what is cast behind it, from `ARRAY` to the bracket that closes it, and
/// where that ends. None: something else stands among them.
pub(in crate::statement) fn elements(text: &str, conforming: bool) -> Option<(Vec<Element>, usize)> {
    let next = |at: usize| {
        Lexer::starting(text, at, conforming)
            .map_while(|lexeme| lexeme)
            .find(|(lexeme, _)| *lexeme != Lexeme::Comment)
    };
    let is = |span: &std::ops::Range<usize>, word: &str| {
        text.get(span.clone()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    let (_, word) = next(0).filter(|(_, span)| is(span, "array"))?;
    let (_, open) = next(word.end).filter(|(_, span)| is(span, "["))?;
    let (mut found, mut at) = (Vec::new(), open.end);
    let (_, first) = next(at)?;
    if is(&first, "]") {
        return Some((found, first.end));
    }
    loop {
        let (lexeme, span) = next(at)?;
        at = if lexeme == Lexeme::Word && is(&span, "null") {
            found.push(None);
            span.end
        } else {
            let written =
                lexed(text, span.start, conforming).or_else(|| written_constant(text, span.start))?;
            found.push(Some(literal_value(text.as_bytes().get(written.span.clone())?, written.form)?));
            written.span.end
        };
        // A cast, of which the grammar says what it is.
        let mut depth = 0_usize;
        loop {
            let (_, span) = next(at)?;
            at = span.end;
            match text.get(span)? {
                "]" if depth == 0 => return Some((found, at)),
                "," if depth == 0 => break,
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
    }
}

/// The text of the array that is written so, and is nothing else.
pub(super) fn array_value(source: &[u8], conforming: bool) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(source).ok()?;
    let (elements, end) = elements(text, conforming)?;
    if end != text.len() {
        return None;
    }
    // Each byte grows to two at most, and an element by its quotes and a comma: it never moves.
    let length = elements.iter().flatten().map(|one| one.len() * 2).sum::<usize>();
    let mut value = Zeroizing::new(Vec::with_capacity(length + elements.len() * 5 + 2));
    value.push(b'{');
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            value.push(b',');
        }
        let Some(element) = element else {
            value.extend_from_slice(b"NULL");
            continue;
        };
        value.push(b'"');
        for byte in element.iter() {
            if matches!(byte, b'"' | b'\\') {
                value.push(b'\\');
            }
            value.push(*byte);
        }
        value.push(b'"');
    }
    value.push(b'}');
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_constants_is_one_value() {
        for (source, value) in [
            ("ARRAY['a', 'b c']", r#"{"a","b c"}"#),
            ("array [ 'a' /* ] */ , NULL,null]", r#"{"a",NULL,NULL}"#),
            ("ARRAY[]", "{}"),
            ("ARRAY['it''s', E'\\\\\"', $$]$$, U&'\\0061']", r#"{"it's","\\\"","]","a"}"#),
            ("ARRAY[1, -2.5, .5, true]", r#"{"1","-2.5",".5","true"}"#),
            ("ARRAY['a'::varchar(3), 'NULL'::\"text\"]", r#"{"a","NULL"}"#),
            ("ARRAY['2000-01-01'::date]", r#"{"2000-01-01"}"#),
        ] {
            let read = array_value(source.as_bytes(), true);
            assert_eq!(read.as_deref().map(|value| String::from_utf8_lossy(value)), Some(value.into()));
        }
        assert_eq!(array_value(br"ARRAY['\'']", false).unwrap().as_slice(), br#"{"'"}"#);
        for source in [
            "ARRAY['a'",
            "ARRAY['a'] ",
            "ARRAY['a']::text[]",
            "ARRAY[$1]",
            "ARRAY[lower('a')]",
            "ARRAY[ARRAY['a']]",
            "ARRAY[N'a']",
            "ARRAY['a',]",
            "ARRAY(SELECT 'a')",
            "'{a}'",
        ] {
            assert!(array_value(source.as_bytes(), true).is_none(), "{source}");
        }
    }
}
