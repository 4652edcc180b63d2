//! What the parts of a written date or time are, before anybody knows what they mean.

use super::scan::{Scan, is_space};
use super::word::{self, Word};

/// Parts of one text, and bytes of it.
pub(super) const TOKENS_MAX: usize = 25;
const BYTES_MAX: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Shape {
    #[default]
    Number,
    /// Letters.
    Word,
    /// Digits, or letters, with `-`, `/` or `.` between them; or a zone's name.
    Date,
    /// Digits with `:` between them.
    Time,
    /// A sign and digits.
    Offset,
    /// A sign and letters.
    Signed,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Token<'a> {
    pub shape: Shape,
    /// `-` or `+` of those that have a sign; blanks may have stood behind it.
    pub sign: u8,
    /// Without the sign.
    pub text: &'a [u8],
}

/// Tokens of one text.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    all: [Token<'a>; TOKENS_MAX],
    count: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn all(&self) -> &[Token<'a>] {
        self.all.get(..self.count).unwrap_or_default()
    }

    /// None: no date, time or interval can be written like this.
    pub(super) fn read(text: &'a [u8]) -> Option<Tokens<'a>> {
        let mut tokens = Tokens { all: [Token::default(); TOKENS_MAX], count: 0 };
        let mut scan = Scan::new(text);
        let mut bytes = 0;
        while let Some(first) = scan.peek() {
            if is_space(first) {
                scan.next();
                continue;
            }
            let signed = first == b'+' || first == b'-';
            if first.is_ascii_punctuation() && !signed && first != b'.' {
                scan.next();
                continue;
            }
            let sign = if signed { scan.next()? } else { 0 };
            if signed {
                scan.run(is_space);
            }
            let start = scan.rest;
            let shape = if signed { after_sign(&mut scan)? } else { unsigned(&mut scan)? };
            let length = start.len() - scan.rest.len();
            bytes += length + usize::from(signed) + 1;
            let token = Token { shape, sign, text: start.get(..length)? };
            *tokens.all.get_mut(tokens.count)? = token;
            tokens.count += 1;
            if bytes > BYTES_MAX + TOKENS_MAX {
                return None;
            }
        }
        Some(tokens)
    }
}

fn after_sign(scan: &mut Scan<'_>) -> Option<Shape> {
    let first = scan.peek()?;
    if first.is_ascii_digit() {
        scan.run(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-'));
        return Some(Shape::Offset);
    }
    if first.is_ascii_alphabetic() {
        scan.run(|byte| byte.is_ascii_alphabetic());
        return Some(Shape::Signed);
    }
    None
}

fn unsigned(scan: &mut Scan<'_>) -> Option<Shape> {
    let first = scan.peek()?;
    if first.is_ascii_digit() {
        scan.digits();
        return Some(after_digits(scan));
    }
    if first == b'.' {
        scan.next();
        scan.digits();
        return Some(Shape::Number);
    }
    if !first.is_ascii_alphabetic() {
        return None;
    }
    let letters = scan.run(|byte| byte.is_ascii_alphabetic());
    let is_name = match scan.peek() {
        Some(b'-' | b'/' | b'.') => true,
        Some(b'+' | b'0'..=b'9') => word::word(letters) == Word::Unknown,
        _ => false,
    };
    if !is_name {
        return Some(Shape::Word);
    }
    scan.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':'));
    Some(Shape::Date)
}

fn after_digits(scan: &mut Scan<'_>) -> Shape {
    match scan.peek() {
        Some(b':') => {
            scan.run(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
            Shape::Time
        }
        Some(between @ (b'-' | b'/' | b'.')) => {
            scan.next();
            if scan.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                scan.digits();
                if scan.peek() == Some(between) {
                    scan.run(|byte| byte.is_ascii_digit() || byte == between);
                    Shape::Date
                } else if between == b'.' {
                    Shape::Number
                } else {
                    Shape::Date
                }
            } else {
                scan.run(|byte| byte.is_ascii_alphanumeric() || byte == between);
                Shape::Date
            }
        }
        _ => Shape::Number,
    }
}
