//! Types as a text names them, and the places of calls, casts and operators that are done before a value
//! is sealed: what stands there goes, or becomes another word.

use std::ops::Range;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, a_const};

use crate::catalog::{Base, Logical, NO_MODIFIER};

use super::spelling::{Lexeme, Lexer};
use super::tree::{self, kind};

/// The type that a cast names, if its values can be sealed.
pub(in crate::statement) fn type_of(of: &protobuf::TypeName) -> Option<Logical> {
    let names: Vec<&str> = of.names.iter().filter_map(tree::name).collect();
    if names.len() != of.names.len() || of.setof || of.pct_type || of.array_bounds.len() > 1 {
        return None;
    }
    let name = match names.as_slice() {
        [name] | ["pg_catalog", name] => *name,
        // The extension may be in any schema.
        [_, "citext"] => "citext",
        _ => return None,
    };
    let base = Base::named(name).filter(|base| base.name() == name)?;
    let numbers = of.typmods.iter().map(whole_number).collect::<Option<Vec<i32>>>()?;
    let element = match numbers.as_slice() {
        [] => Logical::of(base),
        numbers => {
            let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
            Logical::parse(&format!("{name}({})", numbers.join(",")))?
        }
    };
    Some(Logical { array: !of.array_bounds.is_empty(), ..element })
}

/// The schema and the name of a type that a cast or a column names, where it may be one of the database's own.
pub(in crate::statement) fn own_type_of(of: &protobuf::TypeName) -> Option<(Option<&str>, &str)> {
    let names: Vec<&str> = of.names.iter().filter_map(tree::name).collect();
    let bare = names.len() == of.names.len() && !of.setof && !of.pct_type;
    if !bare || !of.array_bounds.is_empty() || !of.typmods.is_empty() {
        return None;
    }
    match names.as_slice() {
        [name] => Some((None, name)),
        [schema, name] => Some((Some(schema), name)),
        _ => None,
    }
}

/// Where such a type is written.
pub(in crate::statement) fn span_of_own_type(text: &str, of: &protobuf::TypeName) -> Option<Range<usize>> {
    let start = usize::try_from(of.location).ok()?;
    Some(start..end_of_name(text, start, of.names.len())?)
}

fn whole_number(node: &Node) -> Option<i32> {
    let Some(Kind::AConst(constant)) = kind(node) else { return None };
    match &constant.val {
        Some(a_const::Val::Ival(number)) => Some(number.ival),
        // A zero decodes to no value at all.
        None if !constant.isnull => Some(0),
        Some(_) | None => None,
    }
}

/// The words of a text from a place on, without comments.
fn words(text: &str, at: usize) -> impl Iterator<Item = (Lexeme, Range<usize>)> {
    Lexer::starting(text, at, true)
        .map_while(|lexeme| lexeme)
        .filter(|(lexeme, _)| *lexeme != Lexeme::Comment)
}

/// Where a type that begins at `start` is written, its length and brackets included. It is read once more
/// from there, and must be the one that the grammar has read.
pub(in crate::statement) fn span_of_type(text: &str, start: usize, meant: &Logical) -> Option<Range<usize>> {
    let mut longest = None;
    // `timestamp (3) without time zone [ ]` is the longest that there is, with a schema.
    for (_, span) in words(text, start).take(14) {
        let written = text.get(start..span.end)?;
        // What is in double quotes is a name, and none of these needs any.
        let plain = written.replace('"', "");
        let bare = plain.trim_start_matches("pg_catalog.").trim_start_matches("public.");
        if Logical::parse(bare).is_some_and(|read| same_type(&read, meant)) {
            longest = Some(start..span.end);
        }
    }
    longest
}

/// `char` is `char(1)` in a text and in the tree.
fn same_type(read: &Logical, meant: &Logical) -> bool {
    read.base == meant.base && read.array == meant.array && read.modifier == meant.modifier
}

/// The name of a call that begins at `start`, up to its parenthesis.
pub(in crate::statement) fn span_of_callee(text: &str, start: usize) -> Option<Range<usize>> {
    let open = words(text, start).find(|(_, span)| text.get(span.clone()) == Some("("))?;
    (open.1.start > start).then_some(start..open.1.start)
}

/// Where the name of `parts` parts that begins at `start` ends.
pub(in crate::statement) fn end_of_name(text: &str, start: usize, parts: usize) -> Option<usize> {
    let mut words = words(text, start);
    let mut end = None;
    for part in 0..parts {
        if part > 0 {
            words.next().filter(|(_, span)| text.get(span.clone()) == Some("."))?;
        }
        let (_, name) = words.next().filter(|(of, _)| matches!(of, Lexeme::Word | Lexeme::QuotedName))?;
        (part > 0 || name.start == start).then_some(())?;
        end = Some(name.end);
    }
    // Of more parts than the grammar has read it is none.
    let more = words.next().is_some_and(|(_, span)| text.get(span) == Some("."));
    end.filter(|_| !more)
}

/// `COLLATE` at `start`, with the name behind it.
pub(in crate::statement) fn span_of_collation(text: &str, start: usize) -> Option<Range<usize>> {
    let mut words = words(text, start).peekable();
    let (_, first) = words.next()?;
    text.get(first).filter(|word| word.eq_ignore_ascii_case("collate"))?;
    loop {
        let (_, name) = words.next().filter(|(of, _)| matches!(of, Lexeme::Word | Lexeme::QuotedName))?;
        if words.next_if(|(_, span)| text.get(span.clone()) == Some(".")).is_none() {
            return Some(start..name.end);
        }
    }
}

/// Where the call that begins at `start` ends, behind its parenthesis. `conforming`: how its strings are read.
pub(in crate::statement) fn end_of_call(text: &str, start: usize, conforming: bool) -> Option<usize> {
    let mut depth = 0_usize;
    for lexeme in Lexer::starting(text, start, conforming) {
        let (_, span) = lexeme?;
        match text.get(span.clone())? {
            "(" => depth += 1,
            ")" if depth == 1 => return Some(span.end),
            ")" => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// `LIKE`, `ILIKE` and their negations at `start`: where they stand, and whether they negate.
pub(in crate::statement) fn span_of_like(text: &str, start: usize) -> Option<(Range<usize>, bool)> {
    let mut words = words(text, start);
    let (_, first) = words.next()?;
    let is = |span: &Range<usize>, word: &str| {
        text.get(span.clone()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    let (last, negated) = if is(&first, "not") { (words.next()?.1, true) } else { (first, false) };
    (is(&last, "like") || is(&last, "ilike")).then_some((start..last.end, negated))
}

/// The type of a number or a truth value as it is written, as the grammar makes it.
pub(in crate::statement) fn type_of_constant(constant: &protobuf::AConst, text: &str) -> Option<Logical> {
    let number = |digits: &str| {
        let whole = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if !whole {
            Base::Numeric
        } else if digits.parse::<i32>().is_ok() {
            Base::Int4
        } else if digits.parse::<i64>().is_ok() {
            Base::Int8
        } else {
            Base::Numeric
        }
    };
    let base = match &constant.val {
        Some(a_const::Val::Ival(_)) => Base::Int4,
        Some(a_const::Val::Fval(digits)) => number(&digits.fval),
        Some(a_const::Val::Boolval(_)) => Base::Bool,
        Some(a_const::Val::Sval(_) | a_const::Val::Bsval(_)) => return None,
        None if constant.isnull => return None,
        // A zero or false constant decodes to no value at all.
        None => {
            let at = usize::try_from(constant.location).ok()?;
            match text.as_bytes().get(at)? {
                b'f' | b'F' => Base::Bool,
                b'0'..=b'9' | b'-' => Base::Int4,
                _ => return None,
            }
        }
    };
    Some(Logical { base, modifier: NO_MODIFIER, array: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_as_far_as_it_goes_and_no_farther() {
        for (text, logical, length) in [
            ("date)", "date", 4),
            ("varchar(20) = x", "varchar(20)", 11),
            ("character varying ( 20 ), b", "varchar(20)", 24),
            ("varchar (20)", "varchar(20)", 12),
            ("double precision AS x", "float8", 16),
            ("timestamp(3) with time zone", "timestamptz(3)", 27),
            ("timestamp without time zone)", "timestamp", 27),
            ("timestamp AS with", "timestamp", 9),
            ("int4[] x", "int4[]", 6),
            ("int [ ])", "int4[]", 7),
            ("pg_catalog.int4", "int4", 15),
            ("numeric(10,2)", "numeric(10,2)", 13),
        ] {
            let meant = Logical::parse(logical).unwrap();
            assert_eq!(span_of_type(text, 0, &meant), Some(0..length), "{text}");
        }
        assert_eq!(span_of_type("varchar(20)", 0, &Logical::parse("varchar(21)").unwrap()), None);
        assert_eq!(span_of_type("mytype", 0, &Logical::TEXT), None);
    }

    #[test]
    fn calls_and_operators_are_found_where_they_begin() {
        assert_eq!(span_of_callee("lower (x)", 0), Some(0..6));
        assert_eq!(span_of_callee("pg_catalog.lower(x)", 0), Some(0..16));
        assert_eq!(span_of_callee("(x)", 0), None);
        assert_eq!(end_of_name("a AND b", 0, 1), Some(1));
        assert_eq!(end_of_name("t . /* . */ \"x y\")", 0, 2), Some(17));
        assert_eq!(end_of_name("t.a", 0, 1), None);
        assert_eq!(end_of_name("t a", 0, 2), None);
        assert_eq!(end_of_name("(a)", 0, 1), None);
        assert_eq!(span_of_collation("COLLATE \"de\" NOT", 0), Some(0..12));
        assert_eq!(span_of_collation("collate a . \"b\", c", 0), Some(0..15));
        assert_eq!(span_of_collation("x", 0), None);
        assert_eq!(end_of_call("lower ((x), ')' /* ) */) AS y", 0, true), Some(24));
        assert_eq!(end_of_call(r"lower('\') x ')", 0, true), Some(10));
        assert_eq!(end_of_call(r"lower('\') x ')", 0, false), Some(15));
        assert_eq!(end_of_call("lower ((x)", 0, true), None);
        assert_eq!(span_of_like("NOT /* ( */ ILIKE 'a'", 0), Some((0..17, true)));
        assert_eq!(span_of_like("like $1", 0), Some((0..4, false)));
        assert_eq!(span_of_like("similar to $1", 0), None);
    }
}
