//! The shape of a statement: its words and marks, without any literal or comment.
//!
//! It is written from the second reader's tokens after both readers agreed on where the
//! strings are. What is kept is an allow-list; every other token becomes `?`.

use sqlparser::tokenizer::Token;

use super::reader::{Read, is_string};

/// A longer shape is cut here, at a character boundary.
pub(in crate::statement) const SHAPE_BYTES_MAX: usize = 2048;

/// Writes the shape of the tokens of one statement. `known`: names that the catalog has, or that
/// the statement gives. Any other name in quotes may be a value that was put between the wrong
/// ones. `bare`: the words without quotes that are kept, as the server folds them.
pub(in crate::statement) fn shape(
    text: &str,
    tokens: &[Read],
    known: impl Fn(&str) -> bool,
    bare: impl Fn(&str) -> bool,
) -> String {
    let mut shape = String::new();
    let mut end_before = None;
    let mut number_before = false;
    for read in tokens {
        if shape.len() >= SHAPE_BYTES_MAX {
            break;
        }
        let touches_number = number_before && end_before == Some(read.span.start);
        let number = matches!(read.token, Token::Number(_, _));
        let word = matches!(read.token, Token::Word(_) | Token::Placeholder(_));
        // `0x1F` may be read as a number and a word: both are the number.
        number_before = number || (touches_number && word);
        let gap = end_before.is_some_and(|end| end < read.span.start);
        end_before = Some(read.span.end);
        if touches_number && (word || number) {
            continue;
        }
        if gap && !shape.is_empty() {
            shape.push(' ');
        }
        if matches!(read.token, Token::EOF | Token::SemiColon) {
            continue;
        }
        let literal = number || is_string(&read.token) || matches!(read.token, Token::Char(_));
        match text.get(read.span.clone()) {
            Some(source) if is_unknown_name(source, &known) => shape.push_str("\"?\""),
            Some(source) if is_bare(&read.token) && !bare(&source.to_ascii_lowercase()) => shape.push('?'),
            Some(source) if !literal && is_kept(&read.token, source) => shape.push_str(source),
            Some(_) | None => shape.push('?'),
        }
    }
    let mut end = shape.len().min(SHAPE_BYTES_MAX);
    while !shape.is_char_boundary(end) {
        end -= 1;
    }
    shape.truncate(end);
    shape.truncate(shape.trim_end().len());
    shape
}

fn is_bare(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none())
}

fn is_unknown_name(source: &str, known: impl Fn(&str) -> bool) -> bool {
    let inner = source.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inner.is_some_and(|name| !known(&name.replace("\"\"", "\"")))
}

/// Names, parameters, and marks that hold no letter, digit or quote.
fn is_kept(token: &Token, source: &str) -> bool {
    if matches!(token, Token::Word(_)) {
        return true;
    }
    if matches!(token, Token::Placeholder(_)) {
        let number = source.strip_prefix('$');
        return number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    }
    source.bytes().all(|byte| byte.is_ascii_punctuation() && !matches!(byte, b'\'' | b'"' | b'`'))
}
