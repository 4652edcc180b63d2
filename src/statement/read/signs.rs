//! Signs of an injection in a text: what people who put SQL into somebody else's statement write, and
//! programs do not. Told to the watch; nothing is decided by it.
//!
//! Each is narrow, since a sign in what a program always sends would be noise: `WHERE 1=1 AND` is what query
//! builders write, `OR 1=1` is not.

use sqlparser::tokenizer::Token;

use super::reader::Read;

/// Which of them a text has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Signs(u8);

impl Signs {
    /// A condition that always holds, behind an OR.
    pub const TAUTOLOGY: Signs = Signs(1);
    /// `pg_sleep` within a statement that does something else, too, or behind one.
    pub const DELAY: Signs = Signs(2);
    /// Rows of the system's catalog behind a UNION, beside others.
    pub const CATALOG: Signs = Signs(4);
    /// What stood behind it in the text is commented out: a second statement, or an open quote.
    pub const COMMENTED: Signs = Signs(8);
    /// A text put together from its letters' numbers, so that it needs no quotes: `CHR(113)||CHR(122)||CHR(118)`.
    pub const SPELLED: Signs = Signs(16);
    /// The number of one letter of what another query gives: `ASCII(SUBSTRING((SELECT ...`.
    pub const LETTER: Signs = Signs(32);

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn with(self, other: Signs) -> Signs {
        Signs(self.0 | other.0)
    }

    #[must_use]
    pub const fn has(self, other: Signs) -> bool {
        self.0 & other.0 == other.0
    }

    /// In the words of alerts.
    #[must_use]
    pub fn words(self) -> String {
        let all = [
            (Signs::TAUTOLOGY, "a condition that always holds"),
            (Signs::DELAY, "a delay within a statement"),
            (Signs::CATALOG, "the catalog behind a UNION"),
            (Signs::COMMENTED, "the rest of a text commented out"),
            (Signs::SPELLED, "a text made of letters' numbers"),
            (Signs::LETTER, "a letter of another query's value by its number"),
        ];
        let words: Vec<&str> =
            all.iter().filter(|(sign, _)| self.has(*sign)).map(|(_, word)| *word).collect();
        words.join(", ")
    }
}

/// Those of a text.
pub(in crate::statement) fn signs(text: &str, tokens: &[Read]) -> Signs {
    let mut found = Signs::default();
    let word = |at: usize| tokens.get(at).and_then(|read| word_of(&read.token));
    let mut froms = 0;
    let mut unites = false;
    let mut others = false;
    let mut sleeps = false;
    for at in 0..tokens.len() {
        let Some(name) = word(at) else {
            let token = tokens.get(at).map(|read| &read.token);
            others |= token == Some(&Token::SemiColon) && at + 1 < tokens.len();
            others |= token == Some(&Token::StringConcat);
            continue;
        };
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("chr") && spells(tokens, at) {
            found = found.with(Signs::SPELLED);
        }
        if is("ascii") && is_of_a_letter(tokens, at + 1) {
            found = found.with(Signs::LETTER);
        }
        if is("or") && always_holds(tokens, at + 1) {
            found = found.with(Signs::TAUTOLOGY);
        }
        let called = tokens.get(at + 1).is_some_and(|read| read.token == Token::LParen);
        sleeps |= called && (is("pg_sleep") || is("pg_sleep_for") || is("pg_sleep_until"));
        others |= ["from", "where", "case", "or", "and", "union", "having"].iter().any(|other| is(other));
        froms += usize::from(is("from") && !unites);
        unites |= is("union") && froms > 0;
        if unites && is_catalog(name) {
            found = found.with(Signs::CATALOG);
        }
    }
    if sleeps && others {
        found = found.with(Signs::DELAY);
    }
    if ends_in_comment(text, tokens) {
        found = found.with(Signs::COMMENTED);
    }
    found
}

/// Letters in a row by their numbers, from which on they are spelled.
const SPELLED_MIN: usize = 3;

/// Do some `chr(number)` stand here, joined by `||`?
fn spells(tokens: &[Read], at: usize) -> bool {
    let token = |at: usize| tokens.get(at).map(|read| &read.token);
    (0..SPELLED_MIN).all(|letter| {
        let at = at + 5 * letter;
        let joined = letter == 0 || token(at - 1) == Some(&Token::StringConcat);
        let is_chr = token(at).and_then(word_of).is_some_and(|word| word.eq_ignore_ascii_case("chr"));
        let number = token(at + 2).and_then(constant).is_some_and(|(is_number, _)| is_number);
        joined
            && is_chr
            && number
            && token(at + 1) == Some(&Token::LParen)
            && token(at + 3) == Some(&Token::RParen)
    })
}

/// Is this the argument of a function, a part of what a query in parentheses gives?
fn is_of_a_letter(tokens: &[Read], at: usize) -> bool {
    let token = |at: usize| tokens.get(at).map(|read| &read.token);
    let is = |at: usize, names: &[&str]| {
        let word = token(at).and_then(word_of).unwrap_or_default();
        names.iter().any(|name| word.eq_ignore_ascii_case(name))
    };
    token(at) == Some(&Token::LParen)
        && is(at + 1, &["substring", "substr"])
        && token(at + 2) == Some(&Token::LParen)
        && token(at + 3) == Some(&Token::LParen)
        && is(at + 4, &["select"])
}

fn word_of(token: &Token) -> Option<&str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "of some hundred tokens one kind is a word")]
    match token {
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

/// A constant, as it is written.
fn constant(token: &Token) -> Option<(bool, &str)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "of some hundred tokens two kinds are constants")]
    match token {
        Token::Number(digits, _) => Some((true, digits)),
        Token::SingleQuotedString(text) => Some((false, text)),
        _ => None,
    }
}

/// Does a condition begin here that holds whatever the row is, and that nothing goes on with?
fn always_holds(tokens: &[Read], at: usize) -> bool {
    let mut at = at;
    while tokens.get(at).is_some_and(|read| read.token == Token::LParen) {
        at += 1;
    }
    let token = |at: usize| tokens.get(at).map(|read| &read.token);
    let Some(first) = token(at) else { return false };
    if word_of(first).is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return ends(token(at + 1));
    }
    let (Some(one), Some(operator), Some(other)) =
        (constant(first), token(at + 1), token(at + 2).and_then(constant))
    else {
        return false;
    };
    if one.0 != other.0 || !ends(token(at + 3)) {
        return false;
    }
    let number = |text: &str| text.parse::<f64>().ok();
    let order = match one.0 {
        true => number(one.1).zip(number(other.1)).and_then(|(one, other)| one.partial_cmp(&other)),
        false => Some(one.1.cmp(other.1)),
    };
    let Some(order) = order else { return false };
    #[expect(clippy::wildcard_enum_match_arm, reason = "of some hundred tokens these compare")]
    match operator {
        Token::Eq => order.is_eq(),
        Token::Neq => order.is_ne(),
        Token::Lt => order.is_lt(),
        Token::LtEq => order.is_le(),
        Token::Gt => order.is_gt(),
        Token::GtEq => order.is_ge(),
        Token::Word(word) => word.value.eq_ignore_ascii_case("like") && order.is_eq(),
        _ => false,
    }
}

/// Is this where a condition is over?
fn ends(token: Option<&Token>) -> bool {
    let Some(token) = token else { return true };
    let words = ["or", "and", "union", "order", "group", "limit", "having", "offset", "for", "returning"];
    matches!(token, Token::RParen | Token::SemiColon)
        || word_of(token).is_some_and(|word| words.iter().any(|other| word.eq_ignore_ascii_case(other)))
}

fn is_catalog(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "information_schema",
        "pg_catalog",
        "pg_class",
        "pg_attribute",
        "pg_tables",
        "pg_user",
        "pg_shadow",
        "pg_roles",
        "pg_authid",
        "pg_database",
        "pg_settings",
        "pg_stat_activity",
    ];
    NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// A comment to the end of the text that holds an odd number of quotes, or stands behind a second statement.
fn ends_in_comment(text: &str, tokens: &[Read]) -> bool {
    let Some(last) = tokens.last() else { return false };
    let rest = text.get(last.span.end..).unwrap_or_default().trim();
    let Some(comment) = rest.strip_prefix("--").filter(|comment| !comment.contains('\n')) else {
        return false;
    };
    let last_statement = tokens.iter().rposition(|read| read.token == Token::SemiColon);
    // Nothing but the comment is on the last line's end, and it says nothing.
    let stacked = comment.trim().is_empty()
        && last_statement
            .is_some_and(|at| at > 0 && tokens.iter().take(at).any(|read| read.token != Token::SemiColon));
    comment.matches('\'').count() % 2 == 1 || stacked
}

#[cfg(test)]
mod tests {
    use super::super::reader;
    use super::*;

    fn of(text: &str) -> Signs {
        signs(text, &reader::read(text).unwrap_or_else(|_| panic!("{text}")))
    }

    #[test]
    fn are_found_in_what_injections_are_made_of() {
        let (tautology, delay, catalog, commented) =
            (Signs::TAUTOLOGY, Signs::DELAY, Signs::CATALOG, Signs::COMMENTED);
        for (text, expected) in [
            ("SELECT email FROM customers WHERE id = 7 OR 1=1", tautology),
            ("SELECT email FROM customers WHERE note = '' or 'a'='a'", tautology),
            ("SELECT email FROM customers WHERE note = '' OR '1' = '1' AND city = 'x'", tautology),
            ("SELECT email FROM customers WHERE (id = 7 OR (2 > 1))", tautology),
            ("SELECT email FROM customers WHERE id = 7 OR TRUE", tautology),
            ("SELECT email FROM customers WHERE note = '' OR 'x' LIKE 'x' -- '", tautology.with(commented)),
            ("SELECT email FROM customers WHERE note = 'x' --'", commented),
            ("SELECT email FROM customers WHERE id = 1; DROP TABLE orders; --", commented),
            ("SELECT email FROM customers WHERE id = 1; DELETE FROM orders;-- ", commented),
            ("SELECT email FROM customers WHERE id = 1 AND 1 = (SELECT 1 FROM pg_sleep(5))", delay),
            ("SELECT email FROM customers WHERE id = 1; SELECT pg_sleep(10)", delay),
            ("SELECT CASE WHEN id > 1 THEN pg_catalog.pg_sleep(5) END, email FROM customers", delay),
            (
                "SELECT email FROM customers WHERE id = -1 UNION SELECT table_name FROM information_schema.tables",
                catalog,
            ),
            (
                "SELECT email FROM customers UNION ALL SELECT usename || passwd FROM pg_catalog.pg_shadow --'",
                catalog.with(commented),
            ),
            (
                "SELECT email FROM customers WHERE id = 1 UNION ALL SELECT (CHR(113)||chr(122)||CHR(118)) || email FROM customers",
                Signs::SPELLED,
            ),
            (
                "SELECT email FROM customers WHERE id = 1 AND ASCII(SUBSTRING((SELECT note FROM orders LIMIT 1)::text FROM 1 FOR 1))>64",
                Signs::LETTER,
            ),
        ] {
            assert_eq!(of(text).words(), expected.words(), "{text}");
        }
    }

    #[test]
    fn are_not_found_in_what_programs_write() {
        for text in [
            "SELECT email FROM customers WHERE 1=1 AND id = 7",
            "SELECT email FROM customers WHERE id = 7 OR id = 8",
            "SELECT email FROM customers WHERE id = 7 OR 1=0",
            "SELECT email FROM customers WHERE id = 7 OR 'a' = 'b'",
            "SELECT email FROM customers WHERE id = 7 OR 1 = 1 + id",
            "SELECT email FROM customers WHERE id = 7 OR 1 = id",
            "SELECT email FROM customers WHERE id = $1 OR $2 = $2",
            "SELECT email FROM customers WHERE NOT (0 = 1) AND id IN (SELECT 1 WHERE 1!=1)",
            "SELECT email FROM customers WHERE active OR true = verified",
            "SELECT pg_sleep(1)",
            "SELECT pg_sleep(1);",
            "SELECT email FROM customers -- by id",
            "SELECT email FROM customers; SELECT 2 -- two",
            "SELECT email FROM customers /*application='shop',route='/x'*/",
            "SELECT email FROM customers -- it's\nWHERE id = 1",
            "SELECT n.nspname FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON true",
            "SELECT email FROM customers UNION SELECT item FROM orders",
            "SELECT 'x OR 1=1 --' FROM customers",
            "SELECT email || CHR(13) || CHR(10) FROM customers",
            "SELECT chr(n) || chr(n + 1) || chr(n + 2) FROM generate_series(65, 90) n",
            "SELECT ascii(substring(email, 1, 1)) FROM customers WHERE ascii(email) > 64",
            "INSERT INTO customers (note) VALUES ('it''s OR 1=1; DROP TABLE x; --')",
            "",
        ] {
            assert_eq!(of(text).words(), "", "{text}");
        }
    }
}
