//! The second, independent reader: sqlparser's tokenizer over the same text.
//!
//! The facts come from PostgreSQL's grammar alone. Here another lexer, written by other
//! people, must find the same statements, the same string literals and the same names at
//! the same bytes. It decides nothing; a disagreement refuses.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::super::facts::{LiteralForm, LiteralUse};
use super::super::refusal::{Proven, disagreement};
use super::census::Census;
use super::literal::literal_value;

/// One token other than white space, with its bytes in the text.
pub(in crate::statement) struct Read {
    pub(in crate::statement) token: Token,
    pub(in crate::statement) span: Range<usize>,
}

/// All tokens of a text. sqlparser counts lines and characters; the text is walked along.
pub(in crate::statement) fn read(text: &str) -> Proven<Vec<Read>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .with_unescape(true)
        .tokenize_with_location()
        .map_err(|_| disagreement("one of them cannot read its literals"))?;
    let mut place = Place { line: 1, column: 1, byte: 0 };
    let mut read = Vec::with_capacity(tokens.len());
    for spanned in tokens {
        let start = place.advance(text, spanned.span.start.line, spanned.span.start.column);
        let end = place.advance(text, spanned.span.end.line, spanned.span.end.column);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(disagreement("their places do not fit the text"));
        };
        if !matches!(spanned.token, Token::Whitespace(_)) {
            read.push(Read { token: spanned.token, span: start..end });
        }
    }
    Ok(read)
}

struct Place {
    line: u64,
    column: u64,
    byte: usize,
}

impl Place {
    /// Moves forward to a line and column, and tells the byte there.
    fn advance(&mut self, text: &str, line: u64, column: u64) -> Option<usize> {
        let mut rest = text.get(self.byte..)?.chars();
        while (self.line, self.column) < (line, column) {
            let next = rest.next()?;
            self.byte += next.len_utf8();
            if next == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        ((self.line, self.column) == (line, column)).then_some(self.byte)
    }
}

/// Is this token a string literal of any kind?
pub(in crate::statement) fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}

/// What a string literal of a usual kind means.
fn string_of(token: &Token) -> Option<&str> {
    if let Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) = token {
        return Some(text);
    }
    if let Token::DollarQuotedString(text) = token { Some(&text.value) } else { None }
}

/// A name as PostgreSQL would take it: folded unless it is quoted.
fn spelled(token: &Token) -> Option<String> {
    let Token::Word(word) = token else { return None };
    match word.quote_style {
        None => Some(word.value.to_ascii_lowercase()),
        Some('"') => Some(word.value.clone()),
        Some(_) => None,
    }
}

/// Is a word that could be a name of a column a keyword where it stands, in a phrase of the grammar in which it
/// names nothing? Of what is not listed here it is a name, and the text refused where the grammar has none.
fn is_keyword(tokens: &[Read], at: usize) -> bool {
    let word = |at: Option<usize>| {
        let Token::Word(word) = &tokens.get(at?)?.token else { return None };
        word.quote_style.is_none().then(|| word.value.to_ascii_lowercase())
    };
    let is = |at: Option<usize>, words: &[&str]| {
        word(at).is_some_and(|found| words.iter().any(|word| *word == found))
    };
    let (before, second, behind) = (at.checked_sub(1), at.checked_sub(2), at.checked_add(1));
    let begins = |at: Option<usize>| {
        at.is_none_or(|at| tokens.get(at).is_some_and(|read| read.token == Token::SemiColon))
    };
    let Some(own) = word(Some(at)) else { return false };
    match own.as_str() {
        "key" => {
            is(before, &["primary", "foreign"])
                || is(before, &["no", "for"]) && is(behind, &["update", "share"])
        }
        "action" => is(before, &["no"]) && is(second, &["delete", "update"]),
        "time" => is(before, &["with", "without"]) && is(behind, &["zone"]),
        "zone" => is(before, &["time"]) && (is(second, &["with", "without", "at"])),
        "name" => is(before, &["sequence"]),
        "level" => is(before, &["isolation"]),
        "first" | "last" => is(before, &["nulls"]),
        "comment" => begins(before) && is(behind, &["on"]),
        "value" => {
            let label =
                behind.and_then(|behind| tokens.get(behind)).is_some_and(|read| is_string(&read.token));
            is(before, &["add"]) && (label || is(behind, &["if"])) || is(before, &["rename"]) && label
        }
        "type" => {
            is(before, &["create"])
                || is(before, &["alter", "drop"]) && begins(second)
                || is(second, &["column"])
                || is(second, &["alter"]) && word(before).is_some() && !is(before, &["column", "table"])
                || is(before, &["data"]) && is(second, &["set"])
        }
        _ => false,
    }
}

/// What the grammar claims of a text, for the second reader to confirm.
pub(in crate::statement) struct Claims<'a> {
    pub(in crate::statement) text: &'a [u8],
    pub(in crate::statement) statements: usize,
    pub(in crate::statement) censuses: &'a [Census],
    pub(in crate::statement) literals: &'a [LiteralUse],
    /// Names of classified columns and of relations that matter.
    pub(in crate::statement) names: &'a HashSet<&'a str>,
}

/// Confirms the claims, or refuses.
pub(in crate::statement) fn confirm(tokens: &[Read], claims: &Claims<'_>) -> Proven<()> {
    if statements(tokens) != claims.statements {
        return Err(disagreement("the number of statements"));
    }
    let starts: HashMap<usize, &Read> = tokens.iter().map(|read| (read.span.start, read)).collect();
    confirm_strings(tokens, &starts, claims)?;
    confirm_literals(tokens, &starts, claims)?;
    confirm_names(tokens, &starts, claims)
}

fn statements(tokens: &[Read]) -> usize {
    tokens
        .split(|read| matches!(read.token, Token::SemiColon))
        .filter(|part| part.iter().any(|read| !matches!(read.token, Token::EOF)))
        .count()
}

/// Both must see the same string literals: none may be a name or a comment to the other.
fn confirm_strings(tokens: &[Read], starts: &HashMap<usize, &Read>, claims: &Claims<'_>) -> Proven<()> {
    let mut known = HashSet::new();
    for location in claims.censuses.iter().flat_map(|census| &census.strings) {
        let Ok(location) = usize::try_from(*location) else { continue };
        known.insert(location);
        let Some(read) = starts.get(&location) else {
            return Err(disagreement("where a string begins"));
        };
        if claims.text.get(location) == Some(&b'\'') && !is_string(&read.token) {
            return Err(disagreement("what a string is"));
        }
    }
    // Each once, whatever it is an option of.
    let mut options: HashMap<&str, usize> = HashMap::new();
    for option in claims.censuses.iter().flat_map(|census| &census.options) {
        *options.entry(option).or_default() += 1;
    }
    let mut is_option = |token: &Token| {
        let left = string_of(token).and_then(|text| options.get_mut(text)).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    };
    let unknown = tokens.iter().any(|read| {
        // sqlparser counts `0x1F` among the strings; the grammar knows it as a number.
        let number = claims.text.get(read.span.start).is_some_and(u8::is_ascii_digit);
        // A string that continues one whose whole extent is a claim.
        let continues = || {
            // They are in the order of the text.
            let behind = claims.literals.partition_point(|literal| literal.span.start < read.span.start);
            let literal = behind.checked_sub(1).and_then(|last| claims.literals.get(last));
            literal.is_some_and(|literal| literal.span.contains(&read.span.start))
        };
        is_string(&read.token)
            && !number
            && !known.contains(&read.span.start)
            && !continues()
            && !is_option(&read.token)
    });
    if unknown { Err(disagreement("the number of strings")) } else { Ok(()) }
}

fn confirm_literals(tokens: &[Read], starts: &HashMap<usize, &Read>, claims: &Claims<'_>) -> Proven<()> {
    for literal in claims.literals {
        if literal.form == LiteralForm::Truth {
            // Nothing stands there: a name ends, or a call.
            let behind = tokens.partition_point(|read| read.span.start < literal.span.start);
            let last = behind.checked_sub(1).and_then(|last| tokens.get(last));
            let ends = last.is_some_and(|read| {
                read.span.end == literal.span.start && matches!(read.token, Token::Word(_) | Token::RParen)
            });
            if !ends || !literal.span.is_empty() {
                return Err(disagreement("where a name ends"));
            }
            continue;
        }
        let read = starts.get(&literal.span.start);
        let same = read.is_some_and(|read| {
            let source = claims.text.get(literal.span.clone()).unwrap_or_default();
            let Some(value) = literal_value(source, literal.form) else { return false };
            match (&read.token, literal.form) {
                (Token::SingleQuotedString(text), LiteralForm::Plain) if read.span == literal.span => {
                    text.as_bytes() == value.as_slice()
                }
                (Token::SingleQuotedString(_), LiteralForm::Plain | LiteralForm::Escaped)
                | (Token::EscapedStringLiteral(_), LiteralForm::Escaped)
                | (Token::UnicodeStringLiteral(_), LiteralForm::Unicode) => ends_alike(tokens, &literal.span),
                (Token::DollarQuotedString(text), LiteralForm::Dollar) => {
                    read.span == literal.span && text.value.as_bytes() == value.as_slice()
                }
                (Token::Number(text, false), LiteralForm::Number) => {
                    read.span == literal.span && text.as_bytes() == value.as_slice()
                }
                (Token::Minus, LiteralForm::Number) => {
                    let next = literal.span.start + 1;
                    starts.get(&next).is_some_and(|read| {
                        let Token::Number(text, false) = &read.token else { return false };
                        read.span == (next..literal.span.end) && Some(text.as_bytes()) == value.get(1..)
                    })
                }
                (Token::Word(word), LiteralForm::Array { .. }) => {
                    let opens = word.value.eq_ignore_ascii_case("array") && word.quote_style.is_none();
                    opens && is_array(tokens, &literal.span)
                }
                (Token::Word(word), LiteralForm::Word) => {
                    let same = word.value.as_bytes().eq_ignore_ascii_case(&value);
                    read.span == literal.span && word.quote_style.is_none() && same
                }
                (_, _) => false,
            }
        });
        if !same {
            return Err(disagreement("the value of a literal"));
        }
    }
    Ok(())
}

/// Is a span made of whole strings alone, of one or of those that continue it?
fn ends_alike(tokens: &[Read], span: &Range<usize>) -> bool {
    let from = tokens.partition_point(|read| read.span.start < span.start);
    let to = tokens.partition_point(|read| read.span.start < span.end);
    let within = tokens.get(from..to).unwrap_or_default();
    within.iter().all(|read| is_string(&read.token))
        && within.last().is_some_and(|read| read.span.end == span.end)
}

/// Do brackets open behind the word at the beginning of a span and close where it ends, and nowhere before?
fn is_array(tokens: &[Read], span: &Range<usize>) -> bool {
    let from = tokens.partition_point(|read| read.span.start <= span.start);
    let to = tokens.partition_point(|read| read.span.start < span.end);
    let within = tokens.get(from..to).unwrap_or_default();
    let mut depth = 0_i64;
    let closes = within.iter().position(|read| {
        depth += i64::from(read.token == Token::LBracket) - i64::from(read.token == Token::RBracket);
        depth == 0
    });
    closes.is_some_and(|at| at > 0 && at + 1 == within.len())
        && within.last().is_some_and(|read| read.span.end == span.end)
}

/// Every name that matters stands in the text as often as in the tree, and every column
/// and relation of the tree begins with its own name in the text.
fn confirm_names(tokens: &[Read], starts: &HashMap<usize, &Read>, claims: &Claims<'_>) -> Proven<()> {
    let mut count: HashMap<&str, i64> = HashMap::new();
    for word in claims.censuses.iter().flat_map(|census| &census.words) {
        if let Some(name) = claims.names.get(word.as_str()) {
            *count.entry(name).or_default() += 1;
        }
    }
    for (at, read) in tokens.iter().enumerate() {
        if let Some(name) = spelled(&read.token).and_then(|name| claims.names.get(name.as_str()).copied())
            && !is_keyword(tokens, at)
        {
            *count.entry(name).or_default() -= 1;
        }
    }
    if count.values().any(|difference| *difference != 0) {
        return Err(disagreement("how often a name stands in it"));
    }
    let begins = |location: i32, name: &str| {
        let read = usize::try_from(location).ok().and_then(|location| starts.get(&location));
        read.and_then(|read| spelled(&read.token)).is_some_and(|spelled| spelled == name)
    };
    for census in claims.censuses {
        for range in &census.ranges {
            let first = if range.schema.is_empty() { &range.name } else { &range.schema };
            if !begins(range.location, first) {
                return Err(disagreement("where a table is named"));
            }
        }
        for column in &census.columns {
            if let Some(first) = column.parts.first()
                && !begins(column.location, first)
            {
                return Err(disagreement("where a column is named"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::Taken;
    use super::super::super::shop::READING;
    use super::super::census::census;
    use super::super::tree;
    use super::*;
    use crate::catalog::FieldId;

    const SQL: &str = "SELECT 'ä', c.email\n FROM customers c WHERE email = 'it''s'; SELECT 1";

    /// What the second reader says after `tamper` changed what the first one claims.
    fn said(tamper: impl Fn(&mut usize, &mut Census, &mut Vec<LiteralUse>)) -> Option<String> {
        let parsed = tree::parse(SQL, READING).unwrap();
        let mut statements = parsed.stmts.len();
        let mut found = census(&parsed);
        let start = SQL.find("'it").unwrap();
        let mut literals = vec![LiteralUse {
            span: start..start + 7,
            field: FieldId(0),
            form: LiteralForm::Plain,
            array: false,
            taken: Taken::default(),
        }];
        tamper(&mut statements, &mut found, &mut literals);
        let names = HashSet::from(["email", "customers"]);
        let censuses = [found];
        let claims = Claims {
            text: SQL.as_bytes(),
            statements,
            censuses: &censuses,
            literals: &literals,
            names: &names,
        };
        confirm(&read(SQL).unwrap(), &claims).err().map(|unproven| unproven.detail)
    }

    #[test]
    fn agrees_with_what_is_so_and_with_nothing_else() {
        assert_eq!(said(|_, _, _| {}), None);
        let refused = |tamper: &dyn Fn(&mut usize, &mut Census, &mut Vec<LiteralUse>), part: &str| {
            let detail = said(tamper).expect(part);
            assert!(detail.contains(part), "{detail} is not about {part}");
        };
        refused(&|statements, _, _| *statements += 1, "number of statements");
        refused(&|_, found, _| found.strings.clear(), "number of strings");
        refused(&|_, found, _| found.strings.push(3), "where a string begins");
        refused(&|_, _, literals| literals[0].span.end -= 1, "value of a literal");
        refused(&|_, _, literals| literals[0].span.start -= 1, "value of a literal");
        refused(&|_, _, literals| literals[0].span = 0..6, "value of a literal");
        refused(&|_, found, _| found.words.push("email".to_owned()), "how often a name");
        refused(&|_, found, _| found.words.retain(|word| word != "customers"), "how often a name");
        refused(&|_, found, _| found.ranges[0].location += 1, "where a table");
        refused(&|_, found, _| found.columns[0].location += 1, "where a column");
    }

    #[test]
    fn finds_bytes_by_line_and_character() {
        // To PostgreSQL as well, every character beyond ASCII is part of a name.
        let tokens = read("'ä'\n\r\n 'ö'  x\u{a0}\u{1F600} y").unwrap_or_else(|_| Vec::new());
        let spans: Vec<_> = tokens.iter().map(|read| read.span.clone()).collect();
        assert_eq!(spans, [0..4, 8..12, 14..21, 22..23]);
    }

    #[test]
    fn a_keyword_is_no_name_in_its_phrases_and_is_one_elsewhere() {
        let keywords = |sql: &str| {
            let tokens = read(sql).unwrap();
            let found = (0..tokens.len()).filter(|at| is_keyword(&tokens, *at));
            found.map(|at| sql[tokens[at].span.clone()].to_owned()).collect::<Vec<_>>().join(" ")
        };
        for (sql, found) in [
            ("CREATE TABLE t (id int PRIMARY KEY, key text, FOREIGN KEY (key) REFERENCES t)", "KEY KEY"),
            ("SELECT key FROM t FOR NO KEY UPDATE", "KEY"),
            ("SELECT no key FROM t WHERE primary.\"key\" = key", ""),
            ("ON DELETE NO ACTION ON UPDATE no action", "ACTION action"),
            ("SELECT no action FROM t", ""),
            ("CREATE TABLE t (time timestamp WITH TIME ZONE)", "TIME ZONE"),
            ("SELECT time FROM t WHERE a AT TIME ZONE 'UTC' = zone", "ZONE"),
            ("IDENTITY (sequence name \"x\")", "name"),
            ("SELECT name, first, last FROM t ORDER BY a NULLS FIRST", "FIRST"),
            ("COMMENT ON COLUMN t.comment IS 'a'; COMMENT ON TABLE t IS 'b'", "COMMENT COMMENT"),
            ("ALTER TYPE t ADD VALUE 'x'; ALTER TABLE t ADD value text", "TYPE VALUE"),
            ("ALTER TABLE t ALTER type TYPE text, ALTER COLUMN type SET DATA TYPE text", "TYPE TYPE"),
            ("ALTER TABLE t DROP type, DROP COLUMN type; DROP TYPE type", "TYPE"),
            ("SELECT type, \"key\" FROM t", ""),
        ] {
            assert_eq!(keywords(sql), found, "{sql}");
        }
    }
}
