//! The commands of a walsender: a language of its own, which is not SQL.
//!
//! PostgreSQL (`repl_scanner.l`, `walsender.c`) takes a text for one of them by its first word
//! alone, spelled in capitals; any other is SQL, where the walsender has a database. What is
//! read here is told by the record, and decides nothing: that data flows the server's own answer
//! says (CopyBothResponse, CopyOutResponse).

use std::sync::Arc;

/// A slot's name is never longer (`NAMEDATALEN - 1`), in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Most publications that are told of one stream.
pub const PUBLICATIONS_MAX: usize = 64;

/// What is streamed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// The WAL of the whole cluster.
    Physical,
    /// What a slot's plugin decodes of one database.
    Logical,
    /// The files of the whole cluster.
    BaseBackup,
}

impl Stream {
    /// The word of the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stream::Physical => "physical",
            Stream::Logical => "logical",
            Stream::BaseBackup => "base_backup",
        }
    }

    /// The command that begins it.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Stream::Physical | Stream::Logical => "START_REPLICATION",
            Stream::BaseBackup => "BASE_BACKUP",
        }
    }
}

/// A stream that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replication {
    pub stream: Stream,
    /// None: there is none, or what stands there cannot be a slot's name.
    pub slot: Option<Arc<str>>,
    /// Names of publications, as `pgoutput` is given them; at most [`PUBLICATIONS_MAX`].
    pub publications: Vec<Arc<str>>,
}

/// A command of a walsender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplicationCommand {
    /// It begins a stream of data.
    Stream(Replication),
    /// It shows nothing of what tables hold.
    Other,
}

/// Reads the text of a Query in a walsender. None: it is SQL.
#[must_use]
pub fn replication_command(text: &[u8]) -> Option<ReplicationCommand> {
    let mut tokens = Tokens { rest: text };
    let Some(Token::Word(first)) = tokens.next() else { return None };
    match first {
        b"BASE_BACKUP" => {
            let stream = Stream::BaseBackup;
            Some(ReplicationCommand::Stream(Replication { stream, slot: None, publications: Vec::new() }))
        }
        b"START_REPLICATION" => Some(ReplicationCommand::Stream(start(tokens))),
        b"IDENTIFY_SYSTEM"
        | b"CREATE_REPLICATION_SLOT"
        | b"DROP_REPLICATION_SLOT"
        | b"ALTER_REPLICATION_SLOT"
        | b"READ_REPLICATION_SLOT"
        | b"TIMELINE_HISTORY"
        | b"UPLOAD_MANIFEST" => Some(ReplicationCommand::Other),
        _ => None,
    }
}

/// `[SLOT name] [PHYSICAL | LOGICAL] position [TIMELINE n] [(option ['value'], ...)]`
fn start(tokens: Tokens<'_>) -> Replication {
    let mut found = Replication { stream: Stream::Physical, slot: None, publications: Vec::new() };
    let mut before: &[u8] = b"";
    for token in tokens {
        match &token {
            Token::Word(b"LOGICAL") if before != b"SLOT" => found.stream = Stream::Logical,
            Token::Word(word) if before == b"SLOT" => found.slot = slot_name(word),
            Token::Name(name) if before == b"SLOT" => found.slot = slot_name(name),
            Token::String(value) if before.eq_ignore_ascii_case(b"publication_names") => {
                found.publications = names(&String::from_utf8_lossy(value));
            }
            Token::Word(_) | Token::Name(_) | Token::String(_) | Token::Mark => {}
        }
        before = if let Token::Word(word) = token { word } else { b"" };
    }
    found
}

/// What the server takes for one (`ReplicationSlotValidateName`); anything else may be a value
/// that was put in the wrong place.
fn slot_name(name: &[u8]) -> Option<Arc<str>> {
    let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    let valid = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(fits);
    let text = std::str::from_utf8(name).ok().filter(|_| valid);
    text.map(Arc::from)
}

/// A list of identifiers, as `SplitIdentifierString` reads it.
fn names(list: &str) -> Vec<Arc<str>> {
    let mut found: Vec<Arc<str>> = Vec::new();
    let (mut name, mut quoted) = (String::new(), false);
    let mut keep = |name: &mut String| {
        let whole = std::mem::take(name);
        if !whole.is_empty() && found.len() < PUBLICATIONS_MAX {
            found.push(Arc::from(whole));
        }
    };
    for letter in list.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                // Two of them within quotes stand for one.
                if quoted && !name.is_empty() {
                    name.push('"');
                }
            }
            ',' if !quoted => keep(&mut name),
            letter if !quoted && letter.is_ascii_whitespace() => {}
            letter if quoted => name.push(letter),
            letter => name.push(letter.to_ascii_lowercase()),
        }
        if name.len() > 4 * NAME_BYTES_MAX {
            break;
        }
    }
    keep(&mut name);
    found
}

/// A piece of a command, as the walsender's scanner cuts it.
#[derive(PartialEq, Eq, Debug)]
enum Token<'a> {
    Word(&'a [u8]),
    /// In double quotes.
    Name(Vec<u8>),
    /// In single quotes.
    String(Vec<u8>),
    Mark,
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.rest.iter().position(|byte| !is_space(*byte))?;
        let rest = self.rest.get(start..)?;
        let first = *rest.first()?;
        if first == b'\'' || first == b'"' {
            let (text, after) = quoted(rest.get(1..)?, first);
            self.rest = after;
            return Some(if first == b'"' { Token::Name(text) } else { Token::String(text) });
        }
        let length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
        self.rest = rest.get(length.max(1)..)?;
        Some(if length == 0 { Token::Mark } else { Token::Word(rest.get(..length)?) })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'/') || byte >= 0x80
}

/// What stands up to the closing quote, and what comes behind it.
fn quoted(mut rest: &[u8], quote: u8) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != quote {
            text.push(byte);
        } else if after.first() == Some(&quote) {
            text.push(quote);
            rest = after.get(1..).unwrap_or_default();
        } else {
            break;
        }
    }
    (text, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str) -> (Stream, Option<String>, Vec<String>) {
        match replication_command(text.as_bytes()) {
            Some(ReplicationCommand::Stream(Replication { stream, slot, publications })) => (
                stream,
                slot.map(|name| name.to_string()),
                publications.iter().map(ToString::to_string).collect(),
            ),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn tells_streams_by_kind_slot_and_publications() {
        let none: &[&str] = &[];
        for (text, kind, slot, publications) in [
            ("START_REPLICATION 0/3000000 TIMELINE 1", Stream::Physical, None, none),
            ("\n\tSTART_REPLICATION SLOT s1 PHYSICAL 0/0", Stream::Physical, Some("s1"), none),
            (
                "START_REPLICATION SLOT \"pg_basebackup_12\" 0/1",
                Stream::Physical,
                Some("pg_basebackup_12"),
                none,
            ),
            ("START_REPLICATION SLOT s1 LOGICAL 0/0", Stream::Logical, Some("s1"), none),
            (
                "START_REPLICATION SLOT \"reader\" LOGICAL 0/0 (proto_version '4', publication_names '\"news\",\"No, \"\"really\"\"\"')",
                Stream::Logical,
                Some("reader"),
                &["news", "No, \"really\""],
            ),
            (
                "START_REPLICATION SLOT a LOGICAL 0/0 (\"publication_names\" 'x', publication_names 'A, b')",
                Stream::Logical,
                Some("a"),
                &["a", "b"],
            ),
            ("BASE_BACKUP", Stream::BaseBackup, None, none),
            ("BASE_BACKUP (LABEL 'ada@example', CHECKPOINT 'fast')", Stream::BaseBackup, None, none),
            // What cannot be a slot is not told: it may be anything.
            ("START_REPLICATION SLOT \"ada@example\" LOGICAL 0/0", Stream::Logical, None, none),
            ("START_REPLICATION SLOT LOGICAL LOGICAL 0/0", Stream::Logical, None, none),
        ] {
            assert_eq!(
                stream(text),
                (kind, slot.map(str::to_owned), publications.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn takes_for_a_command_what_the_server_takes_for_one() {
        for text in ["IDENTIFY_SYSTEM", " READ_REPLICATION_SLOT s", "TIMELINE_HISTORY 2", "UPLOAD_MANIFEST;"]
        {
            assert_eq!(replication_command(text.as_bytes()), Some(ReplicationCommand::Other), "{text}");
        }
        for text in [
            "",
            "SELECT 1",
            "identify_system",
            "base_backup",
            "/* x */ BASE_BACKUP",
            "\"BASE_BACKUP\"",
            "'BASE_BACKUP'",
            "; BASE_BACKUP",
            "BASE_BACKUPS",
            "SHOW wal_level",
        ] {
            assert_eq!(replication_command(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (publication_names '{}')",
            "s".repeat(64),
            "p,".repeat(500)
        );
        let (_, slot, publications) = stream(&many);
        assert_eq!((slot, publications.len()), (None, PUBLICATIONS_MAX));
        let unclosed =
            format!("START_REPLICATION SLOT a LOGICAL 0/0 (publication_names '{}", "x".repeat(100_000));
        let (_, _, publications) = stream(&unclosed);
        assert!(publications[0].len() < 300);
    }
}
