//! Words by which a text may open a door: a database under another name, the server's files, a
//! way to another server. Found in raw bytes that may come in pieces, without a lexer: keywords
//! cannot be escaped, and between two of them stand blanks and comments alone. What it does not
//! find is not there; what it finds may be a part of a literal.

/// Longest word that is told from others (`subscription`).
const WORD_MAX: usize = 12;

/// What a word may still be followed by.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Behind {
    #[default]
    Nothing,
    /// Only blanks have come since.
    Blanks,
    /// A comment may have begun, whose end nobody looks for: whatever comes counts.
    Anything,
}

impl Behind {
    /// A byte that is no part of a word stands behind it.
    fn pass(&mut self, byte: u8) {
        if *self == Behind::Blanks && !is_blank(byte) {
            *self = if matches!(byte, b'/' | b'-') { Behind::Anything } else { Behind::Nothing };
        }
    }

    /// A word does that is not the one looked for.
    fn end(&mut self) {
        if *self == Behind::Blanks {
            *self = Behind::Nothing;
        }
    }
}

/// See the module's text.
#[derive(Clone, Default)]
pub struct Scan {
    /// The word under way, in lower case; of a longer one its beginning.
    word: [u8; WORD_MAX],
    length: usize,
    /// Behind `CREATE`, `ALTER` or `DROP`, behind `TO` or `FROM`.
    defines: Behind,
    directs: Behind,
    /// The two bytes before.
    last: [u8; 2],
    found: Found,
}

#[derive(Clone, Copy, Default)]
struct Found {
    /// `CREATE DATABASE`, `ALTER DATABASE`, `DROP DATABASE`.
    database: bool,
    /// Words by which one of them gives a content another name.
    renames: bool,
    /// An identifier in Unicode escapes, which may be any.
    escaped: bool,
    /// The catalog of databases itself.
    catalog: bool,
    /// Words that write rows.
    writes: bool,
    copies: bool,
    /// Behind `TO` or `FROM`, a string or `PROGRAM`.
    file: bool,
    /// A server, a mapping of users or a subscription is defined.
    link: bool,
}

impl Scan {
    /// Takes the next piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if is_word(*byte) && !(*byte == b'$' && self.length == 0) {
                if let Some(place) = self.word.get_mut(self.length) {
                    *place = byte.to_ascii_lowercase();
                }
                self.length = self.length.saturating_add(1);
            } else {
                self.end_word();
                self.pass(*byte);
            }
            let [_, last] = self.last;
            self.last = [last, *byte];
        }
    }

    /// Scans a whole text.
    #[must_use]
    pub fn of(text: &[u8]) -> Scan {
        let mut scan = Scan::default();
        scan.feed(text);
        scan.end_word();
        scan
    }

    /// May what was fed give the content of a database another name? `plainly`: also by a CREATE
    /// DATABASE that says nothing of what it copies.
    #[must_use]
    pub fn may_move_database(&self, plainly: bool) -> bool {
        let Found { database, renames, escaped, catalog, writes, .. } = self.found;
        database && (renames || escaped || plainly) || writes && (catalog || escaped)
    }

    /// May it want a database for itself?
    pub(in crate::statement) fn may_want_database(&self) -> bool {
        self.found.database
    }

    /// May it COPY to or from the server's files and programs?
    pub(in crate::statement) fn may_copy_files(&self) -> bool {
        self.found.copies && self.found.file
    }

    /// May it define a way to another server?
    pub(in crate::statement) fn may_link(&self) -> bool {
        self.found.link
    }

    fn end_word(&mut self) {
        let length = std::mem::take(&mut self.length);
        let word = self.word;
        let word = word.get(..length).unwrap_or(b"?");
        let (defines, directs) = (self.defines, self.directs);
        if !word.is_empty() {
            self.defines.end();
            self.directs.end();
        }
        let found = &mut self.found;
        match word {
            b"create" | b"alter" | b"drop" => self.defines = Behind::Blanks,
            b"to" | b"from" => self.directs = Behind::Blanks,
            // CREATE USER MAPPING
            b"user" => self.defines = defines,
            // E'...', U&'...'
            b"e" | b"u" => self.directs = directs,
            b"database" => found.database |= defines != Behind::Nothing,
            b"server" | b"subscription" | b"mapping" => found.link |= defines != Behind::Nothing,
            b"program" => found.file |= directs != Behind::Nothing,
            b"template" | b"rename" => found.renames = true,
            b"pg_database" => found.catalog = true,
            b"insert" | b"update" | b"delete" | b"merge" => found.writes = true,
            b"copy" => (found.copies, found.writes) = (true, true),
            _ => {}
        }
    }

    /// A byte that is no part of a word.
    fn pass(&mut self, byte: u8) {
        let [before, last] = self.last;
        match byte {
            b'\'' | b'$' => self.found.file |= self.directs != Behind::Nothing,
            b'"' => self.found.escaped |= last == b'&' && before.eq_ignore_ascii_case(&b'u'),
            _ => {}
        }
        // The U of U&'...' is a word of its own.
        if byte != b'&' {
            self.directs.pass(byte);
        }
        self.defines.pass(byte);
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// What the server's lexer skips between words.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(text: &str, length: usize) -> Scan {
        let mut scan = Scan::default();
        for piece in text.as_bytes().chunks(length) {
            scan.feed(piece);
        }
        scan.feed(b"\0");
        scan
    }

    #[test]
    fn finds_what_gives_a_database_another_name_however_it_is_written_and_cut() {
        for text in [
            "CREATE DATABASE x TEMPLATE shop",
            "create\tdatabase\nx with template=shop",
            "/* a */create/* /* nested */ */database x strategy = file_copy template shop",
            "create -- database\n database x template 'shop'",
            "CREATE DATABASE x WITH U&\"templ\\0061te\" shop",
            "CREATE DATABASE x \"template\" shop",
            "SELECT 1;ALTER DATABASE\"shop\"RENAME TO x",
            "alter\x0bdatabase shop rename to x",
            "update pg_catalog.pg_database set datname = 'x'",
            "merge into \"pg_database\" using y on true when matched then delete",
            "delete from U&\"pg\\005fdatabase\"",
            "COPY pg_database FROM STDIN",
        ] {
            for length in 1..text.len() {
                assert!(in_pieces(text, length).may_move_database(false), "{text} by {length}");
            }
            assert!(Scan::of(text.as_bytes()).may_move_database(false), "{text}");
        }
        assert!(Scan::of(b"CREATE DATABASE x").may_move_database(true));
        for text in [
            "CREATE DATABASE x",
            "DROP DATABASE shop",
            "DROP TABLE database",
            "ALTER DATABASE shop SET search_path = template",
            "INSERT INTO t VALUES ('our database was renamed from a template')",
            "ALTER TABLE database RENAME TO template",
            "CREATE TABLE t (database text, template text)",
            "SELECT datname FROM pg_database",
            "SELECT u&\"a\"",
        ] {
            let moves = Scan::of(text.as_bytes()).may_move_database(false);
            assert_eq!(moves, text.starts_with("ALTER DATABASE"), "{text}");
        }
    }

    #[test]
    fn finds_files_and_programs_of_the_server() {
        for (text, expected) in [
            ("COPY t TO '/tmp/x'", true),
            ("copy t from'/tmp/x'", true),
            ("COPY (SELECT 1) TO /* x */ $$/tmp/x$$", true),
            ("COPY t FROM E'/tmp/x'", true),
            ("COPY t FROM U&'/tmp/x'", true),
            ("COPY t FROM PROGRAM 'id'", true),
            ("COPY t TO --\nprogram $x$id$x$", true),
            ("COPY t FROM STDIN", false),
            ("COPY t TO STDOUT WITH (DELIMITER 'x')", false),
            ("SELECT program FROM 'x'", false),
        ] {
            assert_eq!(Scan::of(text.as_bytes()).may_copy_files(), expected, "{text}");
            assert_eq!(in_pieces(text, 1).may_copy_files(), expected, "{text}");
        }
    }

    #[test]
    fn finds_ways_to_other_servers() {
        for (text, expected) in [
            ("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", true),
            ("alter server s options (set host 'x')", true),
            ("CREATE USER MAPPING FOR PUBLIC SERVER s", true),
            ("alter user/**/mapping for x server s", true),
            ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", true),
            ("ALTER SUBSCRIPTION s CONNECTION 'x'", true),
            ("CREATE USER server", true),
            ("CREATE TABLE server (mapping text)", false),
            ("SELECT 'a server and its subscription'", false),
        ] {
            assert_eq!(Scan::of(text.as_bytes()).may_link(), expected, "{text}");
        }
    }
}
