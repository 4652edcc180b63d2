//! One row of the tables: a claim, its text, and how it is sent.

use crate::harness::{Frame, Raw};

/// Type OIDs of `text` and `text[]`.
pub const TEXT: u32 = 25;
pub const TEXTS: u32 = 1009;

/// A parameter; `{s}` and `{n}` are filled in.
#[derive(Clone, Copy)]
pub enum Bound {
    Text(&'static str),
    Array(&'static [&'static str]),
}

/// A statement with the sentinel in a classified position.
#[derive(Clone, Copy)]
pub struct Form {
    pub claim: &'static str,
    pub sql: &'static str,
    pub bound: &'static [Bound],
}

/// The sentinel stands in the text.
pub const fn literal(claim: &'static str, sql: &'static str) -> Form {
    Form { claim, sql, bound: &[] }
}

/// The sentinel is a parameter.
pub const fn bound(claim: &'static str, sql: &'static str, bound: &'static [Bound]) -> Form {
    Form { claim, sql, bound }
}

/// How a form is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Simple,
    /// The extended protocol, parameters as text.
    Text,
    /// The extended protocol, parameters in binary, types declared.
    Binary,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Way::Simple => "simple",
            Way::Text => "extended, text",
            Way::Binary => "extended, binary",
        }
    }
}

pub fn fill(template: &str, sentinel: &str, number: u32) -> String {
    template.replace("{s}", sentinel).replace("{n}", &number.to_string())
}

impl Form {
    /// The ways in which this form can be sent.
    pub fn ways(&self) -> [Way; 2] {
        if self.bound.is_empty() { [Way::Simple, Way::Text] } else { [Way::Text, Way::Binary] }
    }

    /// Sends it and reads up to ReadyForQuery; `copy` answers a CopyInResponse.
    pub fn send(&self, raw: &mut Raw, way: Way, sentinel: &str, number: u32) -> Vec<Frame> {
        let sql = fill(self.sql, sentinel, number);
        if way == Way::Simple {
            raw.send(b'Q', &[sql.as_bytes(), &[0]].concat());
            return answer(raw, false, sentinel, number);
        }
        let values: Vec<Vec<u8>> =
            self.bound.iter().map(|bound| bound.bytes(way, sentinel, number)).collect();
        let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(&**value)).collect();
        let types: Vec<u32> = self.bound.iter().map(|bound| bound.oid()).collect();
        let binary = way == Way::Binary;
        raw.parse("", &sql, if binary { &types } else { &[] });
        raw.bind("", "", if binary { &[1] } else { &[] }, &values, &[]);
        raw.describe(b'P', "");
        raw.execute("", 0);
        raw.send(b'S', &[]);
        answer(raw, true, sentinel, number)
    }
}

impl Bound {
    fn oid(self) -> u32 {
        match self {
            Bound::Text(_) => TEXT,
            Bound::Array(_) => TEXTS,
        }
    }

    fn bytes(self, way: Way, sentinel: &str, number: u32) -> Vec<u8> {
        match self {
            Bound::Text(text) => fill(text, sentinel, number).into_bytes(),
            Bound::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| fill(item, sentinel, number)).collect();
                if way == Way::Binary { binary_array(&items) } else { text_array(&items) }
            }
        }
    }
}

fn text_array(items: &[String]) -> Vec<u8> {
    let quoted: Vec<String> =
        items.iter().map(|item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("{{{}}}", quoted.join(",")).into_bytes()
}

/// One dimension, no NULL, elements of type text, first index 1.
pub fn binary_array(items: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [1, 0, TEXT, u32::try_from(items.len()).unwrap(), 1] {
        bytes.extend(word.to_be_bytes());
    }
    for item in items {
        bytes.extend(u32::try_from(item.len()).unwrap().to_be_bytes());
        bytes.extend(item.as_bytes());
    }
    bytes
}

/// The answer up to ReadyForQuery or the end; a CopyInResponse is answered with a row that
/// holds the sentinel.
fn answer(raw: &mut Raw, extended: bool, sentinel: &str, number: u32) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = raw.read() {
        let tag = frame.tag;
        frames.push(frame);
        match tag {
            b'G' => {
                raw.send(b'd', format!("{number}\t{sentinel}\n").as_bytes());
                raw.send(b'c', &[]);
                // The server reads no Sync before the end of the data.
                if extended {
                    raw.send(b'S', &[]);
                }
            }
            b'Z' => break,
            _ => {}
        }
    }
    frames
}
