//! Character sets of one byte a character, in which clients may write: their bytes to UTF-8 and back, as
//! PostgreSQL maps them. `charsets.txt` is what its servers said of each byte, and a test asks them again.
//!
//! Each of them holds ASCII as it is, so that marks, quotes and the borders of words stand at the same
//! places in both forms.

use std::fmt;
use std::sync::LazyLock;

use zeroize::{Zeroize, Zeroizing};

/// In which form a peer writes text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    Utf8,
    /// `SQL_ASCII`: nobody converts it.
    Bytes,
    One(&'static Charset),
    /// Characters of several bytes, of which one may look like a mark.
    Other,
}

/// One of them. What it calls a character is told by its code point.
pub struct Charset {
    name: &'static str,
    /// Of the bytes from 0x80 on; 0: it has none.
    points: [u16; 128],
    /// The same by code point.
    bytes: Vec<(u16, u8)>,
}

impl PartialEq for Charset {
    fn eq(&self, other: &Charset) -> bool {
        self.name == other.name
    }
}

impl Eq for Charset {}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A byte, or a character, that the other side has no form for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unmapped;

/// A line each: a name, and the code points of the bytes from 0x80 on, in hexadecimal.
static CHARSETS: LazyLock<Vec<Charset>> = LazyLock::new(|| {
    let read = |line: &'static str| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let mut points = [0; 128];
        for (point, word) in points.iter_mut().zip(words) {
            *point = u16::from_str_radix(word, 16).unwrap_or(0);
        }
        let known = (0x80..=u8::MAX).zip(points).filter(|(_, point)| *point != 0);
        let mut bytes: Vec<(u16, u8)> = known.map(|(byte, point)| (point, byte)).collect();
        bytes.sort_unstable();
        Some(Charset { name, points, bytes })
    };
    include_str!("charsets.txt").lines().filter_map(read).collect()
});

/// Other names of character sets that the server knows, without what is no letter or digit, in lower case.
const ALIASES: [(&str, &str); 41] = [
    ("abc", "WIN1258"),
    ("alt", "WIN866"),
    ("iso88591", "LATIN1"),
    ("iso885910", "LATIN6"),
    ("iso885913", "LATIN7"),
    ("iso885914", "LATIN8"),
    ("iso885915", "LATIN9"),
    ("iso885916", "LATIN10"),
    ("iso88592", "LATIN2"),
    ("iso88593", "LATIN3"),
    ("iso88594", "LATIN4"),
    ("iso88599", "LATIN5"),
    ("koi8", "KOI8R"),
    ("tcvn", "WIN1258"),
    ("tcvn5712", "WIN1258"),
    ("vscii", "WIN1258"),
    ("win", "WIN1251"),
    ("windows1250", "WIN1250"),
    ("windows1251", "WIN1251"),
    ("windows1252", "WIN1252"),
    ("windows1253", "WIN1253"),
    ("windows1254", "WIN1254"),
    ("windows1255", "WIN1255"),
    ("windows1256", "WIN1256"),
    ("windows1257", "WIN1257"),
    ("windows1258", "WIN1258"),
    ("windows866", "WIN866"),
    ("windows874", "WIN874"),
    ("mskanji", "SJIS"),
    ("shiftjis", "SJIS"),
    ("shiftjis2004", "SHIFT_JIS_2004"),
    ("win932", "SJIS"),
    ("win936", "GBK"),
    ("win949", "UHC"),
    ("win950", "BIG5"),
    ("windows932", "SJIS"),
    ("windows936", "GBK"),
    ("windows949", "UHC"),
    ("windows950", "BIG5"),
    ("unicode", "UTF8"),
    ("utf8", "UTF8"),
];

/// Those of several bytes a character.
const OTHERS: [&str; 13] = [
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "MULE_INTERNAL",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

/// As the server compares names: letters and digits, in lower case.
fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl Coding {
    /// What a name of an encoding stands for, as the server takes it. None: it is none that is known.
    #[must_use]
    pub fn named(name: &str) -> Option<Coding> {
        let wanted = folded(name);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == wanted);
        let wanted = alias.map_or(wanted, |(_, name)| folded(name));
        let charset = || CHARSETS.iter().find(|charset| folded(charset.name) == wanted);
        match wanted.as_str() {
            "utf8" => Some(Coding::Utf8),
            "sqlascii" => Some(Coding::Bytes),
            _ if OTHERS.iter().any(|other| folded(other) == wanted) => Some(Coding::Other),
            _ => charset().map(Coding::One),
        }
    }

    /// In which form text of a client is told from what a server says of itself and of the client. The
    /// server converts between the two; only from and to UTF-8 it does so by the map that stands here.
    #[must_use]
    pub fn between(client: Coding, server: Coding) -> Coding {
        match (client, server) {
            (Coding::Utf8, _) => Coding::Utf8,
            // It is the server's own, whatever that is.
            (Coding::Bytes, Coding::One(charset)) => Coding::One(charset),
            (Coding::Bytes, Coding::Utf8 | Coding::Bytes | Coding::Other) => Coding::Bytes,
            (Coding::One(charset), Coding::Utf8) => Coding::One(charset),
            (Coding::One(charset), Coding::One(other)) if charset == other => Coding::One(charset),
            (Coding::One(_), Coding::One(_) | Coding::Bytes | Coding::Other) => Coding::Other,
            (Coding::Other, _) => Coding::Other,
        }
    }

    /// The character set of which text must be converted.
    #[must_use]
    pub fn charset(self) -> Option<&'static Charset> {
        match self {
            Coding::One(charset) => Some(charset),
            Coding::Utf8 | Coding::Bytes | Coding::Other => None,
        }
    }
}

impl Charset {
    /// As `client_encoding` tells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// In UTF-8.
    ///
    /// # Errors
    /// A byte is no character.
    pub fn decode(&self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unmapped> {
        // As long as it can become, so that no copy is left behind.
        let beyond = bytes.iter().filter(|byte| !byte.is_ascii()).count();
        let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() + beyond * 2));
        for run in bytes.chunk_by(|one, other| one.is_ascii() && other.is_ascii()) {
            match run {
                [byte] if !byte.is_ascii() => {
                    let point = self.points.get(usize::from(*byte - 0x80)).copied().unwrap_or(0);
                    let character = char::from_u32(u32::from(point)).filter(|_| point != 0);
                    let character = character.ok_or(Unmapped)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                ascii => out.extend_from_slice(ascii),
            }
        }
        Ok(out)
    }

    /// Puts what stands in UTF-8 from `start` on into this form, which is never longer.
    ///
    /// # Errors
    /// It has no form for a character; then nothing is left from `start` on.
    pub fn encode_from(&self, out: &mut Vec<u8>, start: usize) -> Result<(), Unmapped> {
        self.encode_or(out, start, None)
    }

    /// The same with a question mark for what it has no form for: for words that are ours.
    pub fn encode_roughly(&self, text: &str) -> Vec<u8> {
        let mut out = text.as_bytes().to_vec();
        // With something in its place nothing is missing.
        let _ = self.encode_or(&mut out, 0, Some(b'?'));
        out
    }

    fn encode_or(&self, out: &mut Vec<u8>, start: usize, instead: Option<u8>) -> Result<(), Unmapped> {
        let tail = out.get(start..).unwrap_or_default();
        if tail.is_ascii() {
            return Ok(());
        }
        let mut encoded = Zeroizing::new(Vec::with_capacity(tail.len()));
        let written = match std::str::from_utf8(tail) {
            Ok(text) => text.chars().try_for_each(|character| {
                let byte = self.byte_of(character).or(instead).ok_or(Unmapped)?;
                encoded.push(byte);
                Ok(())
            }),
            Err(_) => Err(Unmapped),
        };
        // What it is shorter by is not left behind.
        if let Some(tail) = out.get_mut(start..) {
            tail.zeroize();
        }
        out.truncate(start);
        written?;
        out.extend_from_slice(&encoded);
        Ok(())
    }

    fn byte_of(&self, character: char) -> Option<u8> {
        if character.is_ascii() {
            return u8::try_from(character).ok();
        }
        let point = u16::try_from(u32::from(character)).ok()?;
        let at = self.bytes.binary_search_by_key(&point, |(point, _)| *point).ok()?;
        self.bytes.get(at).map(|(_, byte)| *byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_set_leads_to_utf8_and_back() {
        assert_eq!(CHARSETS.len(), 27);
        for charset in CHARSETS.iter() {
            let known: Vec<u8> = (1..=u8::MAX)
                .filter(|byte| byte.is_ascii() || charset.points[usize::from(*byte) - 0x80] != 0)
                .collect();
            assert!(known.len() > 200, "{charset:?}");
            let mut text = charset.decode(&known).unwrap().to_vec();
            assert_eq!(String::from_utf8(text.clone()).unwrap().chars().count(), known.len());
            charset.encode_from(&mut text, 0).unwrap();
            assert_eq!(text, known, "{charset:?}");
        }
    }

    #[test]
    fn what_has_no_form_is_an_error_and_leaves_nothing_behind() {
        let Some(Coding::One(charset)) = Coding::named("windows-1252") else { panic!("WIN1252") };
        assert_eq!(charset.decode(b"\x80").unwrap().as_slice(), "€".as_bytes());
        assert_eq!(charset.decode(b"a\x81"), Err(Unmapped));
        let mut out = "before Ω".as_bytes().to_vec();
        assert_eq!(charset.encode_from(&mut out, 7), Err(Unmapped));
        assert_eq!(out, b"before ");
        assert_eq!(charset.encode_roughly("€Ω€"), b"\x80?\x80");
    }

    #[test]
    fn names_are_taken_as_the_server_takes_them() {
        for (name, expected) in [
            ("UTF8", Some("Utf8")),
            ("utf-8", Some("Utf8")),
            ("Unicode", Some("Utf8")),
            ("SQL_ASCII", Some("Bytes")),
            ("iso-8859-15", Some("One(LATIN9)")),
            ("Latin 1", Some("One(LATIN1)")),
            ("shift-jis", Some("Other")),
            ("euc_jp", Some("Other")),
            ("nonsense", None),
        ] {
            assert_eq!(Coding::named(name).map(|it| format!("{it:?}")).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn only_what_the_server_converts_by_the_same_map_is_converted() {
        let of = |name| Coding::named(name).unwrap();
        let between = |client, server| Coding::between(of(client), of(server));
        assert_eq!(between("LATIN1", "UTF8"), of("LATIN1"));
        assert_eq!(between("LATIN1", "LATIN1"), of("LATIN1"));
        assert_eq!(between("SQL_ASCII", "LATIN1"), of("LATIN1"));
        assert_eq!(between("SQL_ASCII", "UTF8"), Coding::Bytes);
        // By tables of its own, which know no code points.
        assert_eq!(between("WIN1251", "KOI8R"), Coding::Other);
        // What the server stores is what the client sends: names would be told in another form.
        assert_eq!(between("LATIN1", "SQL_ASCII"), Coding::Other);
        assert_eq!(between("UTF8", "LATIN1"), Coding::Utf8);
    }
}
