//! Values that cannot be mistaken for anything else, and the search for all of them at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Letters and digits: no encoding must escape them, and no two neighbours repeat by
/// chance often enough to be compressed.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LENGTH: usize = 24;
/// The alphabet of sealed text.
const ORDERED: &str = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// One value, and the form that it goes through.
pub struct Sentinel {
    pub form: String,
    pub value: String,
    /// The form works: the control run must find the value in the server's files too.
    pub stored: bool,
}

/// Random letters.
pub fn letters(length: usize) -> String {
    (0..length).map(|_| char::from(LETTERS[usize::from(rand::random::<u8>() % 62)])).collect()
}

/// Every sentinel of one run.
#[derive(Default)]
pub struct Sentinels {
    pub all: Vec<Sentinel>,
}

impl Sentinels {
    pub fn fresh(&mut self, form: &str, stored: bool) -> String {
        let value = letters(LENGTH);
        self.all.push(Sentinel { form: form.to_owned(), value: value.clone(), stored });
        value
    }

    /// A searcher for all of them.
    pub fn search(&self) -> Search {
        let mut owners = Vec::new();
        let mut patterns = Vec::new();
        for (index, sentinel) in self.all.iter().enumerate() {
            for (encoding, bytes) in encodings(sentinel.value.as_bytes()) {
                owners.push((index, encoding));
                patterns.push(bytes);
            }
        }
        Search { matcher: AhoCorasick::new(patterns).unwrap(), owners }
    }
}

/// Finds every sentinel in every encoding, in one pass.
pub struct Search {
    matcher: AhoCorasick,
    /// By pattern: the sentinel and the encoding.
    owners: Vec<(usize, &'static str)>,
}

impl Search {
    /// Which sentinels are in these bytes, and in which encoding.
    pub fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<(usize, &'static str)> {
        let found = self.matcher.find_overlapping_iter(bytes);
        found.map(|found| self.owners[found.pattern().as_usize()]).collect()
    }

    /// The same in every file of a folder, with the files.
    pub fn in_folder(&self, folder: &Path) -> BTreeSet<(usize, &'static str, PathBuf)> {
        let mut files = Vec::new();
        list(folder, &mut files);
        assert!(!files.is_empty(), "nothing to search in {}", folder.display());
        let mut hits = BTreeSet::new();
        for file in files {
            // The server removes files while we read.
            let Ok(bytes) = fs::read(&file) else { continue };
            hits.extend(self.in_bytes(&bytes).into_iter().map(|(index, how)| (index, how, file.clone())));
        }
        hits
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            list(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

/// A value in the encodings in which it could have slipped through.
fn encodings(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let each = |write: fn(u8) -> String| value.iter().map(|byte| write(*byte)).collect::<String>();
    let wide = |unit: fn(u8) -> [u8; 2]| value.iter().flat_map(|byte| unit(*byte)).collect::<Vec<u8>>();
    let mut all = vec![
        ("plain", value.to_vec()),
        ("reversed", value.iter().rev().copied().collect()),
        ("lower case", value.to_ascii_lowercase()),
        ("upper case", value.to_ascii_uppercase()),
        ("hex", each(|byte| format!("{byte:02x}")).into_bytes()),
        ("HEX", each(|byte| format!("{byte:02X}")).into_bytes()),
        ("\\ooo", each(|byte| format!("\\{byte:03o}")).into_bytes()),
        ("\\xhh", each(|byte| format!("\\x{byte:02x}")).into_bytes()),
        ("\\uhhhh", each(|byte| format!("\\u{byte:04x}")).into_bytes()),
        ("%hh", each(|byte| format!("%{byte:02x}")).into_bytes()),
        ("%HH", each(|byte| format!("%{byte:02X}")).into_bytes()),
        ("UTF-16LE", wide(|byte| [byte, 0])),
        ("UTF-16BE", wide(|byte| [0, byte])),
    ];
    let ordered = Alphabet::new(ORDERED).unwrap();
    for (name, alphabet) in [("base64", &STANDARD), ("base64url", &URL_SAFE), ("sealed alphabet", &ordered)] {
        all.extend((0..3).map(|shift| (name, base64_within(alphabet, value, shift))));
    }
    all
}

/// The letters of a base64 text that depend on `value` alone, `shift` bytes into it.
fn base64_within(alphabet: &Alphabet, value: &[u8], shift: usize) -> Vec<u8> {
    let bytes = [&[0; 2][..shift], value].concat();
    let text = GeneralPurpose::new(alphabet, GeneralPurposeConfig::new()).encode(&bytes);
    text.as_bytes()[(shift * 8).div_ceil(6)..bytes.len() * 8 / 6].to_vec()
}
