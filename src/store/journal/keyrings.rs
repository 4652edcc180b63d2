//! Which keyrings the record of a folder knows: whoever holds none of them holds another's, or has
//! lost his own. The newest files are read, a piece of each: sessions and starts name theirs, and what
//! was refused for the sake of a keyring names that, so that however often it is tried the record knows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::segments::{self, PACKED};
use crate::seal::KeyringIdentity;

/// Files that are listed at the most, of those the newest that are read, and bytes of all of them.
const LISTED_MAX: usize = 1 << 20;
const FILES_MAX: usize = 1024;
const BYTES_MAX: usize = 64 << 20;
/// Read of the beginning of each, where a start is told, and of its end.
const HEAD_BYTES_MAX: u64 = 64 << 10;
const TAIL_BYTES_MAX: u64 = 512 << 10;
/// Keyrings that are told of.
const KEYRINGS_MAX: usize = 16;

/// In a string of a record every quote is escaped: these stand where a member stands, and nowhere else.
const NAMED: &[u8] = b"\"keyring\":\"";
const REFUSED: &[u8] = b"\"verdict\":\"refused\"";
const SEALED: [&[u8]; 2] = [b"\"mode\":\"equality\"", b"\"mode\":\"random\""];

/// What a folder's record says of keyrings.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct KnownKeyrings {
    /// Each with the newest file that names it.
    pub named: BTreeMap<KeyringIdentity, PathBuf>,
    /// A file that tells of sealed fields and of no keyring: it is of before keyrings had a name.
    pub unnamed: Option<PathBuf>,
}

impl KnownKeyrings {
    /// Does the record know of keyrings, and not of this one? One without a name may be any.
    #[must_use]
    pub fn are_others_than(&self, keyring: KeyringIdentity) -> bool {
        !self.named.is_empty() && !self.named.contains_key(&keyring)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.unnamed.is_none()
    }
}

#[derive(Deserialize)]
struct Line {
    keyring: Option<String>,
    rule: Option<String>,
}

/// Looks through the newest files of a folder. One that is not there knows nothing.
///
/// # Errors
/// The folder, or a file in it, cannot be read.
pub fn known_keyrings(folder: &Path) -> io::Result<KnownKeyrings> {
    let mut known = KnownKeyrings::default();
    let mut read = 0;
    for path in newest(folder)? {
        if read >= BYTES_MAX {
            break;
        }
        let pieces = match pieces(&path) {
            // Moved away since it was listed, as whoever archives segments does.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            pieces => pieces?,
        };
        read += pieces.len();
        for line in pieces.split(|byte| *byte == b'\n') {
            note(&mut known, &path, line);
        }
    }
    Ok(known)
}

fn note(known: &mut KnownKeyrings, path: &Path, line: &[u8]) {
    let (named, refused) = (has(line, NAMED), has(line, REFUSED));
    if named || refused {
        // A piece of a line is none.
        let Ok(Line { keyring, rule }) = serde_json::from_slice(line) else { return };
        let own = keyring.as_deref().and_then(KeyringIdentity::parse);
        let told = rule.as_deref().filter(|_| refused).map(KeyringIdentity::all_in);
        for identity in own.into_iter().chain(told.into_iter().flatten()) {
            if known.named.len() < KEYRINGS_MAX {
                known.named.entry(identity).or_insert_with(|| path.to_owned());
            }
        }
    } else if known.unnamed.is_none() && SEALED.iter().any(|mode| has(line, mode)) {
        known.unnamed = Some(path.to_owned());
    }
}

fn has(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

/// Newest first, by the time in their names.
fn newest(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found: Vec<(String, OsString)> = Vec::new();
    for entry in entries.take(LISTED_MAX) {
        let name = entry?.file_name();
        let stamp = name.to_str().and_then(|name| {
            let kept = name.strip_prefix("audit-").or_else(|| name.strip_prefix("admin-"))?;
            kept.strip_suffix(PACKED).unwrap_or(kept).strip_suffix(".jsonl").map(str::to_owned)
        });
        found.extend(stamp.map(|stamp| (stamp, name)));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found.into_iter().take(FILES_MAX).map(|(_, name)| folder.join(name)).collect())
}

/// The beginning and the end of a file, which may be all of it, with a line end between.
fn pieces(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.to_str().is_some_and(|name| name.ends_with(PACKED)) {
        let mut unpacked = segments::read(path)?;
        Read::by_ref(&mut unpacked).take(HEAD_BYTES_MAX).read_to_end(&mut bytes)?;
        bytes.push(b'\n');
        match segments::packed_end(path, TAIL_BYTES_MAX)? {
            Some(end) => bytes.extend(end),
            // Somebody else has packed it: there is no other way to its end.
            None => bytes.extend(last_of(unpacked)?),
        }
        return Ok(bytes);
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let whole = length <= HEAD_BYTES_MAX + TAIL_BYTES_MAX;
    let head = if whole { HEAD_BYTES_MAX + TAIL_BYTES_MAX } else { HEAD_BYTES_MAX };
    Read::by_ref(&mut file).take(head).read_to_end(&mut bytes)?;
    if !whole {
        bytes.push(b'\n');
        file.seek(SeekFrom::Start(length - TAIL_BYTES_MAX))?;
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The last of what comes, in pieces.
fn last_of(mut from: impl Read) -> io::Result<Vec<u8>> {
    let (mut before, mut last) = (Vec::new(), Vec::new());
    loop {
        let mut piece = Vec::new();
        if Read::by_ref(&mut from).take(TAIL_BYTES_MAX).read_to_end(&mut piece)? == 0 {
            before.append(&mut last);
            return Ok(before);
        }
        before = std::mem::replace(&mut last, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("sealgate-known-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }

        fn named(&self) -> Vec<(String, String)> {
            let known = known_keyrings(&self.0).unwrap();
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap()[..15].to_owned();
            known.named.iter().map(|(identity, path)| (identity.to_string(), name(path))).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn id(digit: char) -> String {
        std::iter::repeat_n(digit, 32).collect()
    }

    fn session(keyring: &str) -> String {
        format!("{{\"seq\":1,\"kind\":\"session\",\"user\":\"ada\",\"keyring\":\"{keyring}\"}}\n")
    }

    fn filler(bytes: u64) -> String {
        "{\"seq\":2,\"kind\":\"login\"}\n".repeat(usize::try_from(bytes).unwrap() / 25 + 1)
    }

    #[test]
    fn finds_what_sessions_starts_and_verbs_have_named() {
        let folder = Scratch::new("found");
        assert_eq!(known_keyrings(&folder.0.join("none")).unwrap(), KnownKeyrings::default());
        let (between, end) = (filler(HEAD_BYTES_MAX), filler(TAIL_BYTES_MAX));
        folder.write("audit-20260101T000000.000000Z-1.jsonl", &session(&id('a')));
        folder.write("audit-20260102T000000.000000Z-2.jsonl", &(session(&id('b')) + &between + &end));
        folder.write("audit-20260103T000000.000000Z-3.jsonl", &(end.clone() + &between + &session(&id('c'))));
        folder.write("audit-20260104T000000.000000Z-4.jsonl", &(between.clone() + &session(&id('d')) + &end));
        folder.write("admin-20260105T000000.000000Z-77.jsonl", &session(&id('e')));
        folder.write("audit-20260106T000000.000000Z-5.jsonl", &session(&id('a')));
        folder.write("audit-20260107T000000.000000Z-6.jsonl.torn", &session(&id('f')));
        folder.write("other.jsonl", &session(&id('f')));
        let found = folder.named();
        let expected = [
            ('a', "audit-20260106T"),
            ('b', "audit-20260102T"),
            ('c', "audit-20260103T"),
            ('e', "admin-20260105T"),
        ];
        let expected: Vec<_> = expected.map(|(digit, file)| (id(digit), file[..15].to_owned())).into();
        assert_eq!(found, expected, "what stands in the middle of a long segment is not read");
    }

    #[test]
    fn finds_them_in_segments_that_were_packed() {
        let folder = Scratch::new("packed");
        let long = filler(TAIL_BYTES_MAX * 2);
        for (number, digit) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            let text = session(&id(digit)) + &long;
            folder.write(&format!("audit-20260101T000000.000000Z-{number:020}.jsonl"), &text);
        }
        let end = long.clone() + &session(&id('d'));
        folder.write(&format!("audit-20260102T000000.000000Z-{:020}.jsonl", 4), &end);
        folder.write(&format!("audit-20260103T000000.000000Z-{:020}.jsonl", 5), &filler(1));
        super::super::packing::pack_closed(&folder.0, &std::sync::atomic::AtomicBool::new(false)).unwrap();
        // And one that somebody else has packed.
        let other =
            zstd::encode_all(format!("{}{long}{}", session(&id('e')), session(&id('f'))).as_bytes(), 1)
                .unwrap();
        fs::write(folder.0.join("audit-20260104T000000.000000Z-6.jsonl.zst"), other).unwrap();
        let packed = fs::read_dir(&folder.0)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "zst"));
        assert_eq!(packed.count(), 5);
        let named: String =
            folder.named().into_iter().map(|(identity, _)| identity[..1].to_owned()).collect();
        assert_eq!(named, "abcdef");
    }

    #[test]
    fn believes_members_and_no_text_that_looks_like_one() {
        let folder = Scratch::new("belief");
        let within = format!("{{\"user\":\"x\\\"keyring\\\":\\\"{}\"}}\n", id('a'));
        let cut = session(&id('b'))[10..].to_owned();
        let torn = session(&id('c')).trim_end_matches("}\n").to_owned();
        let no_identity = session("short");
        for text in [within, cut, torn, no_identity] {
            folder.write("audit-20260101T000000.000000Z-1.jsonl", &text);
            assert_eq!(known_keyrings(&folder.0).unwrap(), KnownKeyrings::default(), "{text}");
        }
        let refused = format!(
            "{{\"kind\":\"admin\",\"action\":\"start\",\"verdict\":\"refused\",\"rule\":\"keyring k.json: its identity is {}, \
             and the record knows keyring {}; the record knows keyring {}\"}}\n",
            id('d'),
            id('e'),
            id('f')
        );
        folder.write("audit-20260101T000000.000000Z-1.jsonl", &refused);
        let named: Vec<_> = folder.named().into_iter().map(|(identity, _)| identity).collect();
        assert_eq!(named, [id('e'), id('f')], "what was refused was not put in use");
        let applied = refused.replace("refused", "applied");
        folder.write("audit-20260101T000000.000000Z-1.jsonl", &applied);
        assert!(known_keyrings(&folder.0).unwrap().is_empty());
        let sealed = "{\"kind\":\"intent\",\"fields\":[{\"field\":\"a.b.c\",\"class\":\"x\",\"mode\":\"equality\"}]}\n";
        folder.write("audit-20260101T000000.000000Z-1.jsonl", sealed);
        let known = known_keyrings(&folder.0).unwrap();
        assert!(known.unnamed.is_some() && known.named.is_empty() && !known.is_empty());
        assert!(!known.are_others_than(KeyringIdentity::parse(&id('a')).unwrap()));
        folder.write("audit-20260101T000000.000000Z-1.jsonl", &sealed.replace("equality", "none"));
        assert!(known_keyrings(&folder.0).unwrap().is_empty());
    }

    #[test]
    fn reads_no_more_files_than_the_newest() {
        let folder = Scratch::new("many");
        folder.write("audit-20250101T000000.000000Z-1.jsonl", &session(&id('a')));
        for number in 0..FILES_MAX - 1 {
            folder.write(&format!("audit-20260101T000000.{number:06}Z-9.jsonl"), &filler(1));
        }
        assert_eq!(folder.named().len(), 1);
        folder.write("audit-20260102T000000.000000Z-9.jsonl", &filler(1));
        assert_eq!(folder.named().len(), 0);
    }
}
