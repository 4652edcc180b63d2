//! Looks for a value, in every form in which it could have slipped through, in everything
//! that a server stores: tables, WAL, temporary files, statistics, its log.

use std::fs;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sealgate::store::postgres::Throwaway;

/// The alphabet of sealed text.
const ORDERED: &str = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
/// Shorter values would be found by chance.
const VALUE_LENGTH_MIN: usize = 8;

/// Where a value stands, and in which form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    pub file: PathBuf,
    pub form: String,
    pub offset: usize,
}

/// Everything of `value` in the server's folder, its log included, after a checkpoint.
/// Values of more than about 2,000 bytes may be compressed by TOAST: use shorter ones.
pub fn search_server(server: &Throwaway, value: &[u8]) -> Vec<Hit> {
    server.execute("postgres", "CHECKPOINT").unwrap_or_else(|error| panic!("{error}"));
    search_folder(server.folder(), value)
}

/// Everything of `value` in the files of a folder.
pub fn search_folder(folder: &Path, value: &[u8]) -> Vec<Hit> {
    assert!(value.len() >= VALUE_LENGTH_MIN, "a value so short is found by chance");
    let forms = forms(value);
    let searcher = AhoCorasick::new(forms.iter().map(|(_, bytes)| bytes)).unwrap();
    let mut hits = Vec::new();
    let mut files = Vec::new();
    list(folder, &mut files);
    assert!(!files.is_empty(), "nothing to search in {}", folder.display());
    for file in files {
        // The server removes files while we read.
        let Ok(bytes) = fs::read(&file) else { continue };
        for found in searcher.find_overlapping_iter(&bytes) {
            let form = forms[found.pattern().as_usize()].0.clone();
            hits.push(Hit { file: file.clone(), form, offset: found.start() });
        }
    }
    hits
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

/// The value's forms by name.
fn forms(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let reversed: Vec<u8> = value.iter().rev().copied().collect();
    let mut forms = vec![
        ("plain".to_owned(), value.to_vec()),
        ("reversed".to_owned(), reversed),
        ("hex".to_owned(), hex.clone().into_bytes()),
        ("HEX".to_owned(), hex.to_uppercase().into_bytes()),
    ];
    if let Ok(text) = std::str::from_utf8(value) {
        let wide: Vec<u16> = text.encode_utf16().collect();
        forms.push(("UTF-16LE".to_owned(), wide.iter().flat_map(|unit| unit.to_le_bytes()).collect()));
        forms.push(("UTF-16BE".to_owned(), wide.iter().flat_map(|unit| unit.to_be_bytes()).collect()));
        for (name, other) in [("lower case", text.to_lowercase()), ("upper case", text.to_uppercase())] {
            if other != text {
                forms.push((name.to_owned(), other.into_bytes()));
            }
        }
    }
    let ordered = Alphabet::new(ORDERED).unwrap();
    for (name, alphabet) in [("base64", &STANDARD), ("base64url", &URL_SAFE), ("sealed alphabet", &ordered)] {
        for shift in 0..3 {
            forms.push((format!("{name}, {shift} bytes in"), base64_within(alphabet, value, shift)));
        }
    }
    forms
}

/// The letters of a base64 text that depend on `value` alone when `shift` bytes of others
/// stand before it.
fn base64_within(alphabet: &Alphabet, value: &[u8], shift: usize) -> Vec<u8> {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(value);
    let text = GeneralPurpose::new(alphabet, GeneralPurposeConfig::new()).encode(&bytes);
    let first = (shift * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}
