//! Which names a text would give to statements by SQL's PREPARE, found without a grammar.
//!
//! A client that does not wait for answers executes what was refused all the same, with
//! values that it means for it (`psql -f` goes on after an error). The refused text may be
//! none that a grammar reads, so this is a reading of words that finds too much at most.

use std::borrow::Cow;

/// The names that follow the word PREPARE, as the server folds and unquotes them.
pub fn prepared_names(text: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let starts = text.windows(WORD.len()).enumerate().filter_map(move |(at, window)| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let after = text.get(at + WORD.len());
        let whole = !before.is_some_and(is_name_byte) && !after.is_some_and(is_name_byte);
        let word = whole && window.eq_ignore_ascii_case(WORD);
        word.then_some(at + WORD.len())
    });
    starts.filter_map(|start| name(skip_blank(text.get(start..)?)))
}

const WORD: &[u8] = b"prepare";

fn is_name_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80
}

/// White space and comments (chapter 4.1.5), the nested ones to their first end: what is
/// behind it is then no name.
fn skip_blank(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let end = if text.starts_with(b"--") {
            text.iter().position(|byte| *byte == b'\n')
        } else if text.starts_with(b"/*") {
            text.windows(2).position(|pair| pair == b"*/").map(|at| at + 2)
        } else {
            return text;
        };
        text = end.and_then(|end| text.get(end..)).unwrap_or(&[]);
    }
}

fn name(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| !is_name_byte(byte)).unwrap_or(text.len());
        let name = text.get(..end).filter(|name| !name.is_empty())?;
        return Some(name.to_ascii_lowercase().into());
    };
    let (mut name, mut rest) = (Vec::new(), quoted);
    loop {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        name.extend_from_slice(rest.get(..end)?);
        match rest.get(end + 1..)?.strip_prefix(b"\"") {
            Some(after) => {
                name.push(b'"');
                rest = after;
            }
            None => return Some(name.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_names_that_the_server_would_give() {
        for (text, names) in [
            ("PREPARE x AS SELECT 1", &["x"][..]),
            ("prepare\n\tTwo(text) AS SELECT 1;PREPARE\"T\"\"w o\" AS SELECT 2", &["two", "T\"w o"]),
            ("PREPARE/* a */ -- b\n y AS SELECT 1", &["y"]),
            ("SELECT 'unprepare x'; SELECT preparex", &[]),
            ("PREPARE", &[]),
            ("PREPARE \"open", &[]),
        ] {
            let found: Vec<_> = prepared_names(text.as_bytes()).map(Cow::into_owned).collect();
            assert_eq!(
                found,
                names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>(),
                "{text}"
            );
        }
    }
}
