//! JSON: as it was given, and in the form in which the server keeps `jsonb`.

use zeroize::Zeroizing;

use super::fault::{LENGTH_MAX, ValueFault};
use super::numeric::Number;
use super::scan::Scan;

/// Arrays and objects within one another. The server's own bound is the size of its stack.
const DEPTH_MAX: usize = 1_000;

/// One value. Strings are without their escapes.
enum Node {
    /// `true`, `false`, `null`; or anything that is not kept.
    Word(&'static [u8]),
    Number(Zeroizing<Vec<u8>>),
    String(Zeroizing<Vec<u8>>),
    Array(Vec<Node>),
    Object(Vec<(Zeroizing<Vec<u8>>, Node)>),
}

struct Parser<'a> {
    scan: Scan<'a>,
    of: &'static str,
    /// Are values kept, and their strings unescaped?
    keep: bool,
    /// Bytes that numbers may still have.
    left: usize,
}

/// Is it JSON?
pub(super) fn check(text: &[u8]) -> Result<(), ValueFault> {
    Parser { scan: Scan::new(text), of: "json", keep: false, left: 0 }.whole().map(|_| ())
}

/// Appends the server's own form of a `jsonb`.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueFault> {
    let node = Parser { scan: Scan::new(text), of: "json", keep: true, left: LENGTH_MAX }.whole()?;
    node.write(out);
    Ok(())
}

impl<'a> Parser<'a> {
    fn syntax(&self) -> ValueFault {
        ValueFault::syntax(self.of)
    }

    fn whole(mut self) -> Result<Node, ValueFault> {
        let node = self.value(0)?;
        self.spaces();
        if self.scan.is_empty() { Ok(node) } else { Err(self.syntax()) }
    }

    fn spaces(&mut self) {
        self.scan.run(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn value(&mut self, depth: usize) -> Result<Node, ValueFault> {
        if depth > DEPTH_MAX {
            return Err(ValueFault::new("54001", "arrays and objects within one another are too deep"));
        }
        self.spaces();
        match self.scan.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Node::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                let word = self.scan.run(|byte| byte.is_ascii_alphabetic());
                [b"true".as_slice(), b"false", b"null"]
                    .into_iter()
                    .find(|known| *known == word)
                    .map(Node::Word)
                    .ok_or_else(|| self.syntax())
            }
            None => Err(self.syntax()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Node, ValueFault> {
        self.scan.next();
        let mut nodes = Vec::new();
        self.spaces();
        if self.scan.take(b']') {
            return Ok(Node::Array(nodes));
        }
        loop {
            let node = self.value(depth + 1)?;
            if self.keep {
                nodes.push(node);
            }
            self.spaces();
            match self.scan.next() {
                Some(b',') => {}
                Some(b']') => return Ok(Node::Array(nodes)),
                _ => return Err(self.syntax()),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, ValueFault> {
        self.scan.next();
        let mut pairs = Vec::new();
        self.spaces();
        if self.scan.take(b'}') {
            return Ok(Node::Object(pairs));
        }
        loop {
            self.spaces();
            if self.scan.peek() != Some(b'"') {
                return Err(self.syntax());
            }
            let key = self.string()?;
            self.spaces();
            if !self.scan.take(b':') {
                return Err(self.syntax());
            }
            let node = self.value(depth + 1)?;
            if self.keep {
                pairs.push((key, node));
            }
            self.spaces();
            match self.scan.next() {
                Some(b',') => {}
                Some(b'}') => break,
                _ => return Err(self.syntax()),
            }
        }
        // Shorter keys stand first; of equal ones the last counts.
        pairs.reverse();
        pairs.sort_by(|(one, _), (other, _)| {
            one.len().cmp(&other.len()).then_with(|| one.as_slice().cmp(other.as_slice()))
        });
        pairs.dedup_by(|(later, _), (first, _)| later == first);
        Ok(Node::Object(pairs))
    }

    fn number(&mut self) -> Result<Node, ValueFault> {
        let start = self.scan.rest;
        self.scan.take(b'-');
        let whole = self.scan.digits();
        let mut well = !whole.is_empty() && (whole.len() == 1 || whole.first() != Some(&b'0'));
        if self.scan.take(b'.') {
            well &= !self.scan.digits().is_empty();
        }
        if self.scan.take(b'e') || self.scan.take(b'E') {
            if !self.scan.take(b'-') {
                self.scan.take(b'+');
            }
            well &= !self.scan.digits().is_empty();
        }
        let behind = self.scan.peek();
        if !well || behind.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80) {
            return Err(self.syntax());
        }
        if !self.keep {
            return Ok(Node::Word(b""));
        }
        let text = start.get(..start.len() - self.scan.rest.len()).unwrap_or_default();
        let (mut scratch, mut written) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        Number::parse(text, &mut scratch)?.write(&mut written);
        self.left = self.left.checked_sub(written.len()).ok_or_else(ValueFault::length)?;
        Ok(Node::Number(written))
    }

    fn string(&mut self) -> Result<Zeroizing<Vec<u8>>, ValueFault> {
        self.scan.next();
        let mut text = Zeroizing::new(Vec::new());
        loop {
            let plain = self.scan.run(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            if self.keep {
                text.extend_from_slice(plain);
            }
            match self.scan.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => {
                    let letter = self.escape()?;
                    if self.keep {
                        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ValueFault> {
        Ok(match self.scan.next() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
            Some(b'u') => return self.unit(),
            _ => return Err(self.syntax()),
        })
    }

    fn hex(&mut self) -> Result<u32, ValueFault> {
        let digits = self.scan.bytes(4).ok_or_else(|| self.syntax())?;
        digits.iter().try_fold(0, |value, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or_else(|| self.syntax())?;
            Ok(value * 16 + digit)
        })
    }

    /// What `\u` begins: one code point, or one of two that stand for one.
    fn unit(&mut self) -> Result<char, ValueFault> {
        let first = self.hex()?;
        if !self.keep {
            return Ok(' ');
        }
        let code = match first {
            0 => return Err(ValueFault::new("22P05", "unsupported Unicode escape sequence")),
            0xD800..=0xDBFF => {
                if !(self.scan.take(b'\\') && self.scan.take(b'u')) {
                    return Err(self.syntax());
                }
                let second = self.hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.syntax());
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.syntax())
    }
}

impl Node {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Word(word) => out.extend_from_slice(word),
            Node::Number(text) => out.extend_from_slice(text),
            Node::String(text) => write_string(text, out),
            Node::Array(nodes) => {
                out.push(b'[');
                for (at, node) in nodes.iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(b", ");
                    }
                    node.write(out);
                }
                out.push(b']');
            }
            Node::Object(pairs) => {
                out.push(b'{');
                for (at, (key, node)) in pairs.iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(b", ");
                    }
                    write_string(key, out);
                    out.extend_from_slice(b": ");
                    node.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            8 => b"\\b",
            12 => b"\\f",
            0..=31 => {
                out.extend_from_slice(b"\\u00");
                super::scan::push_hex(out, *byte);
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(escaped);
    }
    out.push(b'"');
}
