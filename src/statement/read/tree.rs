//! The door to PostgreSQL's own grammar: text in, syntax tree out, and small readings of
//! its nodes. Nothing outside of this folder sees a node.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_query::ParserOptions;
use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::Declared;

use super::super::facts::Remedy;
use super::super::refusal::{Proven, refuse, unless};

/// How the server reads a text; both follow ParameterStatus.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Reading {
    pub standard_conforming_strings: bool,
    pub encoding: Encoding,
    /// `server_encoding` is UTF8: names beyond ASCII fold to themselves.
    pub server_utf8: bool,
    /// What the client says of the types of its parameters.
    pub declared: Declared,
}

impl Reading {
    /// As a server would read whose string mode was changed a moment ago.
    pub(in crate::statement) fn in_the_other_mode(self) -> Reading {
        Reading { standard_conforming_strings: !self.standard_conforming_strings, ..self }
    }
}

/// The client encoding, as far as it decides what bytes mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Encoding {
    Utf8,
    /// Bytes above 0x7F mean themselves.
    SqlAscii,
    /// Bytes above 0x7F may hide a quote or a backslash: such texts are refused.
    Other,
}

fn options(reading: Reading) -> ParserOptions {
    if reading.standard_conforming_strings {
        ParserOptions::DEFAULT
    } else {
        ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS
    }
}

/// Parses a text. The error of the grammar quotes the text, so it is not passed on.
pub(in crate::statement) fn parse(text: &str, reading: Reading) -> Proven<protobuf::ParseResult> {
    let unparsed = || {
        unless(
            Remedy::Server,
            refuse(
                "unparsed",
                "the statement may touch classified data and PostgreSQL's grammar cannot read it",
                "Correct the statement; nested expressions may need to be made flatter.",
            ),
        )
    };
    // The wrapper's own summary of the tree asserts what it expects of some nodes; a
    // panic there says only that the text is none of those that are understood.
    let parsed = catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, options(reading))));
    match parsed {
        Ok(Ok(result)) => Ok(result.protobuf),
        Ok(Err(_)) | Err(_) => Err(unparsed()),
    }
}

/// 16 hexadecimal digits, equal for texts that differ in constants alone.
pub(in crate::statement) fn fingerprint(text: &str, reading: Reading) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| pg_query::fingerprint(text, options(reading), 0)))
        .ok()?
        .ok()
        .map(|fingerprint| fingerprint.hex)
}

pub(in crate::statement) fn kind(node: &Node) -> Option<&Kind> {
    node.node.as_ref()
}

/// INTO of a SELECT, which makes a table of it: of several under UNION the first has it.
pub(in crate::statement) fn into(node: &Node) -> Option<&protobuf::IntoClause> {
    let Some(Kind::SelectStmt(select)) = kind(node) else { return None };
    let mut first = &**select;
    while let Some(left) = first.larg.as_deref() {
        first = left;
    }
    first.into_clause.as_deref()
}

/// The string of a `String` node.
pub(in crate::statement) fn name(node: &Node) -> Option<&str> {
    if let Some(Kind::String(string)) = kind(node) { Some(&string.sval) } else { None }
}

/// The last part of a possibly qualified name.
pub(in crate::statement) fn last_name(names: &[Node]) -> Option<&str> {
    names.last().and_then(name)
}

/// The operator of an `A_Expr` if it has no schema.
pub(in crate::statement) fn operator(names: &[Node]) -> Option<&str> {
    if let [only] = names { name(only) } else { None }
}

/// Is this a type of which a cast of a literal or a parameter changes nothing: `text`, or
/// `varchar` without a length? With `array`, the array of one.
pub(in crate::statement) fn is_plain_text_type(of: &protobuf::TypeName, array: bool) -> bool {
    let names: Vec<&str> = of.names.iter().filter_map(name).collect();
    let plain = matches!(
        names.as_slice(),
        ["text"] | ["varchar"] | ["pg_catalog", "text"] | ["pg_catalog", "varchar"]
    );
    plain
        && names.len() == of.names.len()
        && !of.setof
        && !of.pct_type
        && of.typmods.is_empty()
        && of.array_bounds.len() == usize::from(array)
}
