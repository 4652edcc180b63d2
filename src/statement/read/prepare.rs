//! Which names a text would give to statements by SQL's PREPARE, found without a grammar.
//!
//! A client that does not wait for answers executes what was refused all the same, with
//! values that it means for it (`psql -f` goes on after an error). The refused text may be
//! none that a grammar reads, so this is a reading of words that finds too much at most.

use std::borrow::Cow;

const WORD: &[u8] = b"prepare";
/// How far behind the word a name is looked for, in bytes: a text of nothing but the word and
/// open comments costs no more than its length.
const REACH_BYTES: usize = 512;
/// Longer names are cut by the server, by characters of its encoding.
const NAME_BYTES_MAX: usize = 63;

/// What follows the word PREPARE, as the server folds and unquotes it. `None`: a name that is
/// not read here, which may be any.
pub fn prepared_names(text: &[u8]) -> impl Iterator<Item = Option<Cow<'_, [u8]>>> {
    let starts = text.windows(WORD.len()).enumerate().filter_map(move |(at, window)| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let after = text.get(at + WORD.len());
        let whole = !before.is_some_and(is_name_byte) && !after.is_some_and(is_name_byte);
        let word = whole && window.eq_ignore_ascii_case(WORD);
        word.then_some(at + WORD.len())
    });
    starts.filter_map(move |start| {
        let rest = text.get(start..)?;
        let near = rest.get(..REACH_BYTES).unwrap_or(rest);
        match read(near) {
            Found::Name(name) if name.len() <= NAME_BYTES_MAX => Some(Some(name)),
            Found::Nothing => None,
            Found::Cut if near.len() == rest.len() => None,
            Found::Name(_) | Found::Cut | Found::Escaped => Some(None),
        }
    })
}

enum Found<'a> {
    Name(Cow<'a, [u8]>),
    /// No name can stand here.
    Nothing,
    /// The bytes end before it does.
    Cut,
    /// `U&"..."`.
    Escaped,
}

fn is_name_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80
}

/// White space and comments (chapter 4.1.5), then a name.
fn read(mut text: &[u8]) -> Found<'_> {
    loop {
        text = text.trim_ascii_start();
        let end = if text.starts_with(b"--") {
            text.iter().position(|byte| matches!(byte, b'\n' | b'\r'))
        } else if text.starts_with(b"/*") {
            end_of_comment(text)
        } else {
            break;
        };
        let Some(rest) = end.and_then(|end| text.get(end..)) else { return Found::Cut };
        text = rest;
    }
    match text.strip_prefix(b"\"") {
        Some(quoted) => quoted_name(quoted),
        None => plain_name(text),
    }
}

/// Comments of this kind nest.
fn end_of_comment(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = text.get(at..at + 2) {
        let step = match pair {
            b"/*" => {
                depth += 1;
                2
            }
            b"*/" => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn plain_name(text: &[u8]) -> Found<'_> {
    let (name, rest) = text.split_at(text.iter().position(|byte| !is_name_byte(byte)).unwrap_or(text.len()));
    if name.eq_ignore_ascii_case(b"u") && rest.starts_with(b"&\"") {
        Found::Escaped
    } else if rest.is_empty() {
        Found::Cut
    } else if name.is_empty() {
        Found::Nothing
    } else {
        Found::Name(name.to_ascii_lowercase().into())
    }
}

fn quoted_name(mut rest: &[u8]) -> Found<'_> {
    let mut name = Vec::new();
    while let Some((part, after)) = split_at_quote(rest) {
        name.extend_from_slice(part);
        match after.strip_prefix(b"\"") {
            Some(after) => {
                name.push(b'"');
                rest = after;
            }
            None => return Found::Name(name.into()),
        }
    }
    Found::Cut
}

fn split_at_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'"')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Option<String>> {
        let text = text.as_bytes();
        prepared_names(text)
            .map(|name| name.map(|name| String::from_utf8(name.into_owned()).unwrap()))
            .collect()
    }

    #[test]
    fn finds_the_names_that_the_server_would_give() {
        for (text, names) in [
            ("PREPARE x AS SELECT 1", &["x"][..]),
            ("prepare\n\tTwo(text) AS SELECT 1;PREPARE\"T\"\"w o\" AS SELECT 2", &["two", "T\"w o"]),
            ("PREPARE/* a /* b */ c */ -- d\n y AS SELECT 1", &["y"]),
            ("PREPARE -- a\ry AS SELECT 1", &["y"]),
            ("SELECT 'unprepare x'; SELECT preparex", &[]),
            ("PREPARE ($1)", &[]),
            ("PREPARE", &[]),
            ("PREPARE \"open", &[]),
            ("PREPARE /* open", &[]),
        ] {
            let names: Vec<_> = names.iter().map(|name| Some((*name).to_owned())).collect();
            assert_eq!(found(text), names, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_not_read_may_be_any() {
        let (long, far) = ("n".repeat(64), "/*".to_owned() + &" ".repeat(600) + "*/x AS SELECT 1");
        for name in ["U&\"\\0061\" AS", "u&\"a\" AS", &format!("{long} AS"), &format!("\"{long}\" AS"), &far]
        {
            assert_eq!(found(&format!("PREPARE {name}")), [None], "{name}");
        }
    }

    #[test]
    fn words_before_open_comments_cost_no_more_than_their_length() {
        // By its square this would take minutes.
        let text = "PREPARE/*".repeat(1 << 17);
        assert!(found(&text).iter().all(Option::is_none));
    }
}
