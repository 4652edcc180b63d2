//! Literals as bytes: where one ends, what it means, and how sealed text takes its place.
//!
//! Only the plain `'...'` form may stand for a classified value. Its extent is lexed here
//! from the place that the grammar names, and its meaning must be the one that the grammar
//! read: two independent readings of every byte that is replaced.

use std::ops::Range;

use zeroize::Zeroizing;

/// The end (exclusive) of the plain quoted literal that starts at `start`.
pub(in crate::statement) fn plain_literal_end(text: &[u8], start: usize) -> Option<usize> {
    let mut rest = text.get(start..)?.strip_prefix(b"'")?;
    let mut end = start + 1;
    loop {
        let quote = rest.iter().position(|byte| *byte == b'\'')?;
        end += quote + 1;
        rest = rest.get(quote + 1..)?;
        match rest.strip_prefix(b"'") {
            Some(after) => {
                end += 1;
                rest = after;
            }
            None => return Some(end),
        }
    }
}

/// The value of a plain quoted literal (`'it''s'`), quotes included in the input. None if
/// it is any other kind of literal, or more than one.
#[must_use]
pub fn literal_value(source: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if plain_literal_end(source, 0)? != source.len() {
        return None;
    }
    let inner = source.get(1..source.len().checked_sub(1)?)?;
    let mut value = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        value.push(*byte);
        if *byte == b'\'' && bytes.next() != Some(&b'\'') {
            return None;
        }
    }
    Some(value)
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
    fn reads_only_plain_quoted_literals() {
        for (source, expected) in [
            ("'a'", Some("a")),
            ("''", Some("")),
            ("'it''s'", Some("it's")),
            ("''''", Some("'")),
            (r"'a\'", Some(r"a\")),
            ("'a' ", None),
            ("'a", None),
            ("'a'''", Some("a'")),
            ("'", None),
            ("", None),
            ("'a''", None),
            ("'a''b", None),
            ("'a' 'b'", None),
            ("E'a'", None),
            ("$$a$$", None),
            ("a", None),
        ] {
            let value = literal_value(source.as_bytes());
            let value = value.as_ref().map(|value| std::str::from_utf8(value).unwrap());
            assert_eq!(value, expected, "{source}");
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
        assert_eq!(literal_value(&quote_sealed(b"a'b")).unwrap().as_slice(), b"a'b");
    }
}
