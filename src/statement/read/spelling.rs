//! The words and marks of a text as PostgreSQL's lexer cuts them (chapter 4.1, `scan.l`), and
//! spellings that mean one thing whatever the string mode and the encoding are.
//!
//! The server may take another string mode or encoding at any moment: it reads its
//! configuration anew after it has read the next message. Only the backslash is at stake: in
//! `'...'` it is a character or begins an escape, by the mode; and in some encodings it can be
//! the second byte of a character. So a string that holds one is written as `E'...'`, in ASCII.

use std::ops::Range;

use super::super::facts::Edit;
use super::super::refusal::{Proven, refuse};
use super::tree::{Encoding, Reading};

/// What a piece of a text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::statement) enum Lexeme {
    /// A word without quotes.
    Word,
    /// `"..."`, `U&"..."`
    QuotedName,
    /// `'...'`, with all of its continuations.
    Plain,
    /// `E'...'`
    Escaped,
    /// `N'...'`: a plain string behind a letter.
    National,
    /// `B'...'`, `X'...'`, `U&'...'`
    OtherString,
    /// `$tag$...$tag$`
    Dollar,
    Number,
    /// `$1`
    Parameter,
    Comment,
    /// One byte of anything else that is no white space.
    Mark,
}

impl Lexeme {
    fn is_string(self) -> bool {
        matches!(
            self,
            Lexeme::Plain | Lexeme::Escaped | Lexeme::National | Lexeme::OtherString | Lexeme::Dollar
        )
    }
}

/// Cuts a text into lexemes. It ends at what is not closed.
pub(in crate::statement) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    conforming: bool,
}

impl<'a> Lexer<'a> {
    pub(in crate::statement) fn new(text: &'a str, conforming: bool) -> Lexer<'a> {
        Lexer { text, at: 0, conforming }
    }

    pub(in crate::statement) fn starting(text: &'a str, at: usize, conforming: bool) -> Lexer<'a> {
        Lexer { text, at, conforming }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.as_bytes().get(at..).unwrap_or(&[])
    }

    /// The end of what begins at `at` and goes on as long as `more` says.
    fn run(&self, at: usize, more: impl Fn(u8) -> bool) -> usize {
        at + self.rest(at).iter().position(|byte| !more(*byte)).unwrap_or(self.rest(at).len())
    }

    /// The end of a string whose opening quote is at `at`, with its continuations.
    fn string(&self, at: usize, escapes: bool, quote: u8) -> Option<usize> {
        let mut end = self.closing(at + 1, escapes, quote)?;
        while quote == b'\''
            && let Some(next) = self.continuation(end)
        {
            end = self.closing(next + 1, escapes, quote)?;
        }
        Some(end)
    }

    fn closing(&self, mut at: usize, escapes: bool, quote: u8) -> Option<usize> {
        loop {
            let found = self.rest(at).iter().position(|byte| *byte == quote || escapes && *byte == b'\\')?;
            at += found + 1;
            if self.byte(at - 1) == b'\\' || self.byte(at) == quote {
                at += 1;
            } else {
                return Some(at);
            }
        }
    }

    /// The quote by which a string goes on behind white space with a line's end in it.
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut line_ended = false;
        loop {
            match self.byte(at) {
                b'\n' | b'\r' => line_ended = true,
                b' ' | b'\t' | 0x0b | 0x0c => {}
                b'-' if line_ended && self.byte(at + 1) == b'-' => {
                    at = self.run(at, |byte| !matches!(byte, b'\n' | b'\r'));
                    continue;
                }
                b'\'' if line_ended => return Some(at),
                _ => return None,
            }
            at += 1;
        }
    }

    fn comment(&self, at: usize) -> Option<usize> {
        if self.rest(at).starts_with(b"--") {
            return Some(self.run(at, |byte| !matches!(byte, b'\n' | b'\r')));
        }
        let (mut depth, mut at) = (0_usize, at);
        loop {
            match self.rest(at).get(..2)? {
                b"/*" => {
                    depth += 1;
                    at += 2;
                }
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => at += 1,
            }
        }
    }

    fn dollar(&self, at: usize) -> Option<(Lexeme, usize)> {
        if self.byte(at + 1).is_ascii_digit() {
            return Some((Lexeme::Parameter, self.run(at + 1, |byte| byte.is_ascii_digit())));
        }
        let tag_end = if begins_name(self.byte(at + 1)) {
            self.run(at + 1, |byte| is_of_name(byte) && byte != b'$')
        } else {
            at + 1
        };
        if self.byte(tag_end) != b'$' {
            return Some((Lexeme::Mark, at + 1));
        }
        let tag = self.text.as_bytes().get(at..=tag_end)?;
        let body = self.rest(tag_end + 1);
        let found = body.windows(tag.len()).position(|window| window == tag)?;
        Some((Lexeme::Dollar, tag_end + 1 + found + tag.len()))
    }

    fn word(&self, at: usize) -> Option<(Lexeme, usize)> {
        let next = self.byte(at + 1);
        match self.byte(at).to_ascii_lowercase() {
            b'e' if next == b'\'' => return Some((Lexeme::Escaped, self.string(at + 1, true, b'\'')?)),
            b'b' | b'x' if next == b'\'' => {
                return Some((Lexeme::OtherString, self.string(at + 1, false, b'\'')?));
            }
            b'n' if next == b'\'' => {
                return Some((Lexeme::National, self.string(at + 1, !self.conforming, b'\'')?));
            }
            b'u' if next == b'&' && self.byte(at + 2) == b'\'' => {
                return Some((Lexeme::OtherString, self.string(at + 2, false, b'\'')?));
            }
            b'u' if next == b'&' && self.byte(at + 2) == b'"' => {
                return Some((Lexeme::QuotedName, self.string(at + 2, false, b'"')?));
            }
            _ => {}
        }
        Some((Lexeme::Word, self.run(at, is_of_name)))
    }

    fn lexeme(&self, at: usize) -> Option<(Lexeme, usize)> {
        let (byte, next) = (self.byte(at), self.byte(at + 1));
        match byte {
            b'\'' => Some((Lexeme::Plain, self.string(at, !self.conforming, b'\'')?)),
            b'"' => Some((Lexeme::QuotedName, self.string(at, false, b'"')?)),
            b'-' if next == b'-' => Some((Lexeme::Comment, self.comment(at)?)),
            b'/' if next == b'*' => Some((Lexeme::Comment, self.comment(at)?)),
            b'$' => self.dollar(at),
            _ if begins_name(byte) => self.word(at),
            _ if byte.is_ascii_digit() => {
                Some((Lexeme::Number, self.run(at, |byte| byte.is_ascii_alphanumeric() || byte == b'_')))
            }
            _ => Some((Lexeme::Mark, at + 1)),
        }
    }
}

impl Iterator for Lexer<'_> {
    /// None: something is opened and not closed. Nothing comes behind it.
    type Item = Option<(Lexeme, Range<usize>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.run(self.at, |byte| byte.is_ascii_whitespace() || byte == 0x0b);
        if start >= self.text.len() {
            return None;
        }
        let found = self.lexeme(start);
        self.at = found.map_or(self.text.len(), |(_, end)| end);
        Some(found.map(|(lexeme, end)| (lexeme, start..end)))
    }
}

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_of_name(byte: u8) -> bool {
    begins_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// Does the text mean the same in both string modes and in every encoding?
pub(in crate::statement) fn is_certain(text: &str, reading: Reading) -> bool {
    if !text.contains('\\') {
        return true;
    }
    Lexer::new(text, reading.standard_conforming_strings).all(|lexeme| match lexeme {
        Some((Lexeme::Plain | Lexeme::National, span)) => !text.get(span).unwrap_or("\\").contains('\\'),
        Some((Lexeme::Escaped, span)) => !swallows(text.get(span).unwrap_or_default()),
        Some(_) => true,
        None => false,
    })
}

/// Does a backslash stand behind a character that is not of ASCII? In some encodings the two
/// can be one character.
fn swallows(source: &str) -> bool {
    source.as_bytes().windows(2).any(|pair| matches!(pair, [before, b'\\'] if *before >= 0x80))
}

/// Writes what [`is_certain`] objects to so that it means what it means in this reading.
///
/// # Errors
/// A form that cannot be written otherwise.
pub(in crate::statement) fn write_out(text: &str, reading: Reading, edits: &mut Vec<Edit>) -> Proven<()> {
    let form = || {
        refuse(
            "literal-form",
            "a string with a backslash could be read otherwise by a server whose configuration changes",
            "Write it as E'...' with doubled backslashes, or use a parameter.",
        )
    };
    for lexeme in Lexer::new(text, reading.standard_conforming_strings) {
        let (lexeme, span) = lexeme.ok_or_else(form)?;
        let source = text.get(span.clone()).ok_or_else(form)?;
        let at_stake = match lexeme {
            Lexeme::Plain | Lexeme::National => source.contains('\\'),
            Lexeme::Escaped => swallows(source),
            Lexeme::Word
            | Lexeme::QuotedName
            | Lexeme::OtherString
            | Lexeme::Dollar
            | Lexeme::Number
            | Lexeme::Parameter
            | Lexeme::Comment
            | Lexeme::Mark => false,
        };
        if !at_stake {
            continue;
        }
        // An escape stands for a character, which is known only where the encoding is.
        let exact = reading.encoding == Encoding::Utf8 && reading.server_utf8 || source.is_ascii();
        if lexeme == Lexeme::National || !exact {
            return Err(form());
        }
        let mut new = String::with_capacity(source.len() * 2);
        let before = span.start.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        if lexeme == Lexeme::Plain {
            // Not a part of the word before it.
            new.push_str(if before.is_some_and(|byte| is_of_name(*byte)) { " E" } else { "E" });
        }
        let doubles = lexeme == Lexeme::Plain && reading.standard_conforming_strings;
        let mut characters = source.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if doubles => new.push_str("\\\\"),
                // It escapes a character that is written as an escape of its own.
                '\\' if characters.peek().is_some_and(|next| !next.is_ascii()) => {}
                '\\' => {
                    new.push('\\');
                    new.extend(characters.next());
                }
                _ if character.is_ascii() => new.push(character),
                _ => new.push_str(&format!("\\U{:08X}", u32::from(character))),
            }
        }
        edits.push(Edit { span, new: new.into_bytes(), quotes: true });
    }
    edits.sort_by_key(|edit| edit.span.start);
    Ok(())
}

/// Where a target's name, with its alias, ends: behind it a list of columns may stand.
pub(in crate::statement) fn end_of_target(text: &str, start: usize) -> Option<usize> {
    let mut lexemes = Lexer::starting(text, start, true)
        .take_while(Option::is_some)
        .flatten()
        .filter(|(lexeme, _)| *lexeme != Lexeme::Comment)
        .peekable();
    let is_name = |lexeme: Lexeme| matches!(lexeme, Lexeme::Word | Lexeme::QuotedName);
    let (first, span) = lexemes.next()?;
    let mut end = is_name(first).then_some(span.end)?;
    loop {
        let (lexeme, span) = lexemes.peek()?.clone();
        let source = text.get(span)?;
        let joins = lexeme == Lexeme::Mark && source == "."
            || lexeme == Lexeme::Word && source.eq_ignore_ascii_case("as");
        if !joins {
            return Some(end);
        }
        lexemes.next();
        let (name, span) = lexemes.next()?;
        end = is_name(name).then_some(span.end)?;
    }
}

/// Is there a name without quotes that the server may fold by rules of its own: one with
/// characters beyond ASCII, in a database whose encoding is not UTF8?
/// `matters`: could a name be this one, for all that folding does to characters beyond ASCII?
pub(in crate::statement) fn folds_otherwise(
    text: &str,
    reading: Reading,
    matters: impl Fn(&str) -> bool,
) -> bool {
    if reading.server_utf8 || text.is_ascii() {
        return false;
    }
    // Where nothing is converted, or nobody knows how, quotes do not help either, nor is it
    // known how many characters there are.
    let exact = reading.encoding == Encoding::Utf8;
    Lexer::new(text, reading.standard_conforming_strings).any(|lexeme| match lexeme {
        Some((Lexeme::Word, span)) => {
            let word = text.get(span).unwrap_or("\u{e9}");
            !word.is_ascii() && (!exact || matters(word))
        }
        Some((Lexeme::QuotedName, span)) => !exact && !text.get(span).unwrap_or("\u{e9}").is_ascii(),
        Some(_) => false,
        None => true,
    })
}

/// Longest text that a server is asked about, in bytes: it would have to read it for nothing.
const BLANKED_BYTES_MAX: usize = 16 * 1024;

/// A text without any value, in which every name and mark stands where it stood, by characters:
/// what a server is shown that is only to say whether it could read it. None where something
/// is not closed or could be read otherwise, a name may be a value between the wrong quotes, or
/// there are several statements. `known`: names that the catalog has. `parsed`: the grammar has
/// read it, so that its strings are where they seem to be.
#[must_use]
pub fn blanked(text: &[u8], reading: Reading, parsed: bool, known: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= BLANKED_BYTES_MAX)?;
    // A token without quotes is words.
    let names_token = || {
        let lower = text.to_ascii_lowercase();
        lower.contains("sealgate") && lower.contains("token")
    };
    if !is_certain(text, reading) || names_token() {
        return None;
    }
    let conforming = reading.standard_conforming_strings;
    // A quote too many turns strings into words and words into strings.
    let closed = |text: &str| Lexer::new(text, conforming).flatten().any(|(lexeme, _)| lexeme.is_string());
    let trusted = parsed || !closed(text);
    let mut blank = String::with_capacity(text.len());
    let (mut copied, mut ended) = (0, false);
    for lexeme in Lexer::new(text, conforming) {
        let (lexeme, span) = lexeme?;
        let (source, between) = (text.get(span.clone())?, text.get(copied..span.start)?);
        if ended && lexeme != Lexeme::Comment {
            return None;
        }
        ended |= source == ";";
        // A value between the wrong quotes stands alone.
        let qualified = blank.ends_with('.') || text.get(span.end..)?.starts_with('.');
        blank.push_str(between);
        copied = span.end;
        match lexeme {
            // Between quotes that are none to the server a value is a word like any.
            Lexeme::Word if !source.is_ascii() && !known(source) => return None,
            Lexeme::Word if !trusted && !known(&source.to_ascii_lowercase()) && !is_keyword(source) => {
                return None;
            }
            Lexeme::QuotedName if !is_plain_name(source) => return None,
            Lexeme::QuotedName if !qualified && !known(source.trim_matches('"')) => return None,
            Lexeme::Word | Lexeme::QuotedName | Lexeme::Parameter | Lexeme::Mark => blank.push_str(source),
            Lexeme::Number => blank.extend(source.chars().map(blank_digit)),
            Lexeme::Comment => blank.extend(source.chars().map(blank_space)),
            Lexeme::Plain | Lexeme::National => blank_string(source, "", &mut blank),
            Lexeme::Escaped | Lexeme::OtherString => {
                let quote = source.find('\'')?;
                let (prefix, string) = source.split_at(quote);
                blank_string(string, prefix, &mut blank);
            }
            Lexeme::Dollar => {
                let tag = source.get(..=source.get(1..)?.find('$')? + 1)?;
                let inner = source.get(tag.len()..source.len().checked_sub(tag.len())?)?;
                blank.push_str(tag);
                blank.extend(inner.chars().map(blank_space));
                blank.push_str(tag);
            }
        }
    }
    blank.push_str(text.get(copied..)?);
    Some(blank.into_bytes())
}

/// Is this a word of PostgreSQL's grammar?
pub(in crate::statement) fn is_keyword(word: &str) -> bool {
    use pg_query::protobuf::KeywordKind;
    pg_query::scan(word).is_ok_and(|scanned| {
        let kinds = scanned.tokens.iter().map(|token| KeywordKind::try_from(token.keyword_kind));
        let mut kinds = kinds.peekable();
        kinds.peek().is_some() && kinds.all(|kind| !matches!(kind, Ok(KeywordKind::NoKeyword) | Err(_)))
    })
}

/// A quoted name of which nobody would think that it is a value.
fn is_plain_name(source: &str) -> bool {
    source.trim_matches('"').bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn blank_digit(character: char) -> char {
    if character.is_ascii_digit() { '0' } else { character }
}

fn blank_space(character: char) -> char {
    if character == '\n' { '\n' } else { ' ' }
}

/// The same number of characters, between the same quotes. `N` stands before the quote.
fn blank_string(source: &str, prefix: &str, blank: &mut String) {
    blank.push_str(prefix);
    let quote = source.find('\'').unwrap_or(0);
    let (head, body) = source.split_at(quote);
    blank.push_str(head);
    blank.push('\'');
    let inner = body.chars().count().saturating_sub(2);
    blank.extend(std::iter::repeat_n('0', inner));
    blank.push('\'');
}

/// Longest text that is looked at by [`is_neutral`], in bytes.
pub const NEUTRAL_BYTES_MAX: usize = 128;

/// Is it known of a text, without a grammar, that it runs no code of the database and changes
/// nothing that later texts rest on? Drivers send such ones in one batch with the statement
/// that matters.
#[must_use]
pub fn is_neutral(text: &[u8]) -> bool {
    if text.len() > NEUTRAL_BYTES_MAX {
        return false;
    }
    let text = text.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text);
    let word_end = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = text.get(..word_end).unwrap_or(text);
    let known = [&b"begin"[..], b"start", b"savepoint", b"release", b"show"];
    let alone = text.get(word_end).is_none_or(u8::is_ascii_whitespace);
    let simple = alone && !text.iter().any(|byte| matches!(byte, b';' | b'/' | b'-' | b'"' | b'\'' | b'$'));
    text.is_empty() || simple && known.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::super::super::shop::READING;
    use super::*;

    fn cut(text: &str, conforming: bool) -> Vec<(Lexeme, &str)> {
        Lexer::new(text, conforming)
            .map(|lexeme| lexeme.map_or((Lexeme::Mark, "open"), |(lexeme, span)| (lexeme, &text[span])))
            .collect()
    }

    #[test]
    fn cuts_a_text_as_the_server_does() {
        use Lexeme::{
            Comment, Dollar, Escaped, Mark, Number, OtherString, Parameter, Plain, QuotedName, Word,
        };
        assert_eq!(
            cut(
                "SELECT'a\\', E'b\\'c' || U&'d' /* x /* y */ */ FROM \"q\"\"r\".t$1 -- z\n WHERE $1=$f$'$f$",
                true
            ),
            [
                (Word, "SELECT"),
                (Plain, "'a\\'"),
                (Mark, ","),
                (Escaped, "E'b\\'c'"),
                (Mark, "|"),
                (Mark, "|"),
                (OtherString, "U&'d'"),
                (Comment, "/* x /* y */ */"),
                (Word, "FROM"),
                (QuotedName, "\"q\"\"r\""),
                (Mark, "."),
                (Word, "t$1"),
                (Comment, "-- z"),
                (Word, "WHERE"),
                (Parameter, "$1"),
                (Mark, "="),
                (Dollar, "$f$'$f$"),
            ]
        );
        assert_eq!(cut("'a\\' b'", false), [(Plain, "'a\\' b'")]);
        assert_eq!(cut("'a'\n -- c\n 'b' 'd'", true), [(Plain, "'a'\n -- c\n 'b'"), (Plain, "'d'")]);
        assert_eq!(cut("0x1F 'open", true), [(Number, "0x1F"), (Mark, "open")]);
    }

    fn written(text: &str, conforming: bool) -> Option<String> {
        let reading = Reading {
            standard_conforming_strings: conforming,
            encoding: Encoding::Utf8,
            server_utf8: true,
            declared: crate::catalog::Declared::Nothing,
        };
        if is_certain(text, reading) {
            return None;
        }
        let mut edits = Vec::new();
        write_out(text, reading, &mut edits).ok()?;
        let edits: Vec<_> = edits.into_iter().map(|edit| (edit.span, edit.new)).collect();
        let new = super::super::literal::splice(text.as_bytes(), &edits)?;
        Some(String::from_utf8(new).unwrap())
    }

    #[test]
    fn writes_strings_with_backslashes_so_that_every_mode_reads_the_same() {
        for (text, conforming, expected) in [
            ("SELECT 'a', E'\\n'", true, None),
            ("SELECT 'a\\b'", true, Some("SELECT E'a\\\\b'")),
            ("SELECT'it''s\\'", true, Some("SELECT E'it''s\\\\'")),
            ("SELECT 'a\\'b'", false, Some("SELECT E'a\\'b'")),
            ("SELECT 'a\\'\n'b\\'", true, Some("SELECT E'a\\\\'\n'b\\\\'")),
            ("SELECT '\u{e9}\\'", true, Some("SELECT E'\\U000000E9\\\\'")),
            ("SELECT E'\u{e9}\\n'", true, Some("SELECT E'\\U000000E9\\n'")),
            ("SELECT E'\\\u{e9}\\n'", true, Some("SELECT E'\\U000000E9\\n'")),
            ("SELECT \"a\\b\", $$a\\b$$ -- \\", true, None),
        ] {
            assert_eq!(written(text, conforming).as_deref(), expected, "{text}");
        }
        // What was written out means the same in both modes.
        for text in ["SELECT 'a\\', E'b\\'', '\\\\'", "SELECT '\\''\n'', '"] {
            let new = written(text, true).unwrap();
            assert_eq!(cut(&new, true).len(), cut(&new, false).len(), "{new}");
            assert_eq!(written(&new, true), None);
        }
    }

    #[test]
    fn finds_the_end_of_a_target() {
        for (text, end) in [
            ("customers VALUES", "customers"),
            ("public . \"Customers\" AS \"c\" VALUES", "public . \"Customers\" AS \"c\""),
            ("customers/* x */as c(id) VALUES", "customers/* x */as c"),
            ("a.b.c DEFAULT VALUES", "a.b.c"),
        ] {
            assert_eq!(end_of_target(text, 0).map(|at| &text[..at]), Some(end), "{text}");
        }
        assert_eq!(end_of_target("'x'", 0), None);
    }

    #[test]
    fn what_is_blanked_holds_no_value_and_every_character_in_its_place() {
        let text = "SELECT gone, 'sec\u{e9}t''s', E's\\'t', $q$secret$q$, 4711 /* secret */ FROM \"t\" WHERE x=$1 -- secret";
        let blank =
            String::from_utf8(blanked(text.as_bytes(), READING, true, |name| name == "t").unwrap()).unwrap();
        assert_eq!(
            blank,
            "SELECT gone, '00000000', E'0000', $q$      $q$, 0000              FROM \"t\" WHERE x=$1          "
        );
        assert_eq!(text.chars().count(), blank.chars().count());
        for unfit in [
            "SELECT 'open",
            "SELECT x = \"Ann Smith\"",
            "SELECT t.\"ann@x\"",
            "SELECT x = \"annsmith\"",
            "SELECT 1; SELECT 2",
            "SELECT \u{2018}annsmith\u{2019}",
            "SELECT 'a\\'",
        ] {
            assert!(blanked(unfit.as_bytes(), READING, true, |_| false).is_none(), "{unfit}");
        }
    }

    #[test]
    fn a_quote_too_many_shows_nothing_of_a_value() {
        let known = |name: &str| name == "email" || name == "customers";
        for unfit in ["SELECT email FROM customers WHERE email = 'O'Brien's'", "SELECT 'a ' secret ' b' x"] {
            assert!(blanked(unfit.as_bytes(), READING, false, known).is_none(), "{unfit}");
        }
        for fit in ["SELEC email FROM customers", "SELECT email FROM customers WHERE WHERE email = 'a'"] {
            assert!(blanked(fit.as_bytes(), READING, false, known).is_some(), "{fit}");
        }
    }

    #[test]
    fn neutral_is_what_is_known_to_be() {
        for text in
            ["", "BEGIN", " begin; ", "START TRANSACTION READ ONLY", "SAVEPOINT x", "SHOW search_path"]
        {
            assert!(is_neutral(text.as_bytes()), "{text}");
        }
        for text in [
            "COMMIT",
            "BEGIN; SELECT f()",
            "SELECT 1",
            "SET x = 1",
            "BEGINNING",
            "START_REPLICATION 0/0",
            "begin/**/",
        ] {
            assert!(!is_neutral(text.as_bytes()), "{text}");
        }
    }
}
