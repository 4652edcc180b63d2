//! Types as definitions declare them: which one that is, where it stands in the text, and which class of
//! operators is that of text.

use std::ops::Range;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{BASES, Base, Logical};

use super::super::read::spelling::{Lexeme, Lexer};
use super::super::read::tree::{self, Reading, kind};

/// Words, numbers and marks of the longest name of a type, with its modifiers and brackets, and more.
const LEXEMES_MAX: usize = 32;

/// The type that is declared, if it is one that a policy can name.
pub(in crate::statement) fn declared(of: &protobuf::TypeName) -> Option<Logical> {
    let Shape { names, modifiers, bounds } = Shape::of(of)?;
    let name = match names.as_slice() {
        [name] | ["pg_catalog", name] => *name,
        // An extension may be anywhere.
        [_, name @ "citext"] => *name,
        _ => return None,
    };
    // As the catalog has it: `char` in double quotes is another one.
    let base = BASES.into_iter().find(|base| base.name() == name)?;
    let array = match bounds {
        0 => "",
        1 => "[]",
        _ => return None,
    };
    let modifiers: Vec<String> = modifiers.iter().map(i32::to_string).collect();
    let modifiers = if modifiers.is_empty() { String::new() } else { format!("({})", modifiers.join(",")) };
    Logical::parse(&format!("{}{modifiers}{array}", base.name()))
}

/// Is it text as the server has it, which is what sealed columns are?
pub(in crate::statement) fn is_text(of: &protobuf::TypeName) -> bool {
    declared(of) == Some(Logical::of(Base::Text))
}

/// Where the name of a type stands, with its modifiers and the brackets of an array: the longest piece of the
/// text that the grammar reads as this very type. None: there is none.
pub(in crate::statement) fn span(text: &str, reading: Reading, of: &protobuf::TypeName) -> Option<Range<usize>> {
    let start = usize::try_from(of.location).ok()?;
    let wanted = Shape::of(of)?;
    let (mut depth, mut longest) = (0_usize, None);
    let lexemes = Lexer::starting(text, start, reading.standard_conforming_strings);
    for lexeme in lexemes.take(LEXEMES_MAX) {
        let Some((lexeme, span)) = lexeme else { break };
        match (lexeme, text.get(span.clone())?) {
            (Lexeme::Comment, _) => continue,
            (Lexeme::Word | Lexeme::QuotedName | Lexeme::Number, _) | (Lexeme::Mark, "." | "[" | "]") => {}
            (Lexeme::Mark, ",") if depth > 0 => {}
            (Lexeme::Mark, "(") => depth += 1,
            (Lexeme::Mark, ")") if depth > 0 => depth -= 1,
            (_, _) => break,
        }
        let piece = start..span.end;
        if depth == 0 && is_read_as(text.get(piece.clone())?, reading, &wanted) {
            longest = Some(piece);
        }
    }
    longest
}

/// Classes of operators that a column of text can have.
const TEXT_CLASSES: [&str; 4] = ["text_ops", "text_pattern_ops", "varchar_ops", "varchar_pattern_ops"];

/// What stands for the class of another type on sealed text. None: it says more than equality and order.
pub(in crate::statement) fn class_of_text(class: &str) -> Option<&'static str> {
    if let Some(own) = TEXT_CLASSES.into_iter().find(|own| *own == class) {
        return Some(own);
    }
    match class {
        "bpchar_pattern_ops" | "citext_pattern_ops" => Some("text_pattern_ops"),
        "array_ops" => Some("text_ops"),
        _ => {
            let base = class.strip_suffix("_ops")?;
            BASES.into_iter().any(|one| one.name() == base).then_some("text_ops")
        }
    }
}

/// Is this a class of operators that an index of sealed text, or of anything, may have?
pub(in crate::statement) fn is_known_class(opclass: &[Node]) -> bool {
    opclass.is_empty() || tree::last_name(opclass).is_some_and(|class| class_of_text(class).is_some())
}

/// What a type is, wherever it stands.
#[derive(PartialEq, Eq)]
struct Shape<'a> {
    names: Vec<&'a str>,
    modifiers: Vec<i32>,
    bounds: usize,
}

impl<'a> Shape<'a> {
    fn of(of: &'a protobuf::TypeName) -> Option<Shape<'a>> {
        let names: Vec<&str> = of.names.iter().filter_map(tree::name).collect();
        let modifiers = of.typmods.iter().map(number).collect::<Option<Vec<_>>>()?;
        let whole = names.len() == of.names.len() && !of.setof && !of.pct_type;
        whole.then_some(Shape { names, modifiers, bounds: of.array_bounds.len() })
    }
}

fn number(node: &Node) -> Option<i32> {
    let Some(Kind::AConst(constant)) = kind(node) else { return None };
    match &constant.val {
        Some(protobuf::a_const::Val::Ival(number)) => Some(number.ival),
        // Zero decodes to no value at all.
        None if !constant.isnull => Some(0),
        Some(_) | None => None,
    }
}

fn is_read_as(piece: &str, reading: Reading, wanted: &Shape<'_>) -> bool {
    let Ok(parsed) = tree::parse(&format!("SELECT CAST(NULL AS {piece})"), reading) else { return false };
    let [only] = parsed.stmts.as_slice() else { return false };
    let Some(Kind::SelectStmt(select)) = only.stmt.as_deref().and_then(kind) else { return false };
    let [target] = select.target_list.as_slice() else { return false };
    let Some(Kind::ResTarget(target)) = kind(target) else { return false };
    match target.val.as_deref().and_then(kind) {
        Some(Kind::TypeCast(cast)) => {
            let found = cast.type_name.as_ref().and_then(Shape::of);
            select.from_clause.is_empty() && target.name.is_empty() && found.as_ref() == Some(wanted)
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::shop::READING;
    use super::*;

    /// The type of the one column, as a policy would write it, and the piece of the text that says so.
    fn told(column: &str) -> (Option<String>, Option<String>) {
        let text = format!("CREATE TABLE t (x {column})");
        let parsed = tree::parse(&text, READING).unwrap();
        let Some(Kind::CreateStmt(create)) = parsed.stmts[0].stmt.as_deref().and_then(kind) else { panic!() };
        let Some(Kind::ColumnDef(column)) = kind(&create.table_elts[0]) else { panic!() };
        let of = column.type_name.as_ref().unwrap();
        let piece = span(&text, READING, of).map(|piece| text[piece].to_owned());
        (declared(of).map(|logical| logical.to_string()), piece)
    }

    #[test]
    fn a_type_is_found_with_all_that_belongs_to_it() {
        for (source, after, logical) in [
            ("varchar(254)", " NOT NULL", "varchar(254)"),
            ("character varying ( 254 )", " COLLATE \"C\"", "varchar(254)"),
            ("CHARACTER VARYING /* n */ (20)", ", y int", "varchar(20)"),
            ("varchar", " DEFAULT ''", "varchar"),
            ("text", "", "text"),
            ("\"text\"", " UNIQUE", "text"),
            ("pg_catalog.text", " PRIMARY KEY", "text"),
            ("char", " NULL", "bpchar(1)"),
            ("character(3)", "", "bpchar(3)"),
            ("bpchar", "", "bpchar"),
            ("text[]", " CHECK (true)", "text[]"),
            ("text [ 3 ]", " REFERENCES y", "text[]"),
            ("text ARRAY", " DEFAULT '{}'", "text[]"),
            ("int", " GENERATED BY DEFAULT AS IDENTITY", "int4"),
            ("INTEGER", " DEFAULT 0", "int4"),
            ("double precision", "", "float8"),
            ("float(10)", "", "float4"),
            ("numeric(10, 2)", " CONSTRAINT c NOT NULL", "numeric(10,2)"),
            ("decimal(10)", "", "numeric(10,0)"),
            ("numeric(4,0)", "", "numeric(4,0)"),
            ("timestamp", " without time zone", "timestamp"),
            ("timestamp with time zone", " DEFAULT now()", "timestamptz"),
            ("timestamp(3) with time zone", "", "timestamptz(3)"),
            ("time (0) without time zone", "", "time(0)"),
            ("public.citext", "", "citext"),
            ("citext", "", "citext"),
            ("date", "", "date"),
            ("jsonb", " DEFAULT '{}'::jsonb", "jsonb"),
        ] {
            let whole = format!("{source}{after}");
            let expected = if source == "timestamp" { whole.as_str() } else { source };
            assert_eq!(told(&whole), (Some(logical.to_owned()), Some(expected.to_owned())), "{whole}");
        }
    }

    #[test]
    fn what_no_policy_can_name_is_no_type() {
        for source in
            ["serial", "\"char\"", "interval day to second", "text[][]", "shop.email", "mood", "bit(3)", "xml"]
        {
            assert_eq!(told(source).0, None, "{source}");
        }
    }

    #[test]
    fn classes_of_other_types_have_one_of_text() {
        for (class, own) in [
            ("varchar_pattern_ops", Some("varchar_pattern_ops")),
            ("bpchar_pattern_ops", Some("text_pattern_ops")),
            ("date_ops", Some("text_ops")),
            ("gin_trgm_ops", None),
            ("jsonb_path_ops", None),
            ("my_ops", None),
        ] {
            assert_eq!(class_of_text(class), own, "{class}");
        }
    }
}
