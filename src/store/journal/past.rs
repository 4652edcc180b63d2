//! All lines of a folder of records in full, in the order of their files' first records: the segments that
//! Sealgate wrote, and whatever else ends in `.jsonl`, packed (`.zst`) or not; or of one such file. Whether they
//! hold together is not asked.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::segments::{self, FILES_MAX, Line, Lines, PACKED};
use crate::audit::{Expansion, Reading};

/// Lines from whose first record a file's place is taken.
const HEAD_LINES: usize = 1_000;

/// What was read.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Past {
    pub files: u64,
    pub lines: u64,
    /// Torn, or longer than any record.
    pub unread: u64,
}

/// Hands in each line, without its line end.
///
/// # Errors
/// The folder, or a file of it, cannot be read; or whatever `each` failed with, at once.
pub fn past(of: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Past> {
    let mut past = Past::default();
    let files = if of.is_file() { vec![of.to_owned()] } else { files(of)? };
    for path in files {
        past.files += 1;
        let mut expansion = Expansion::default();
        let mut lines = Lines::new(segments::read(&path)?);
        while let Some(line) = lines.next()? {
            past.lines += 1;
            match line {
                Line::Whole(line) | Line::Torn(line) => each(&expansion.line(line))?,
                Line::Endless => {
                    // What follows is its rest, up to the next line end.
                    past.unread += 1;
                }
            }
        }
    }
    Ok(past)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (count, entry) in fs::read_dir(folder)?.enumerate() {
        if count >= FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files; move old segments away")));
        }
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let plain = name.strip_suffix(PACKED).unwrap_or(name);
        // A segment that is there packed and not packed counts once.
        let is_twin = plain != name && path.with_file_name(plain).exists();
        if plain.ends_with(".jsonl") && !is_twin && path.is_file() {
            found.push((first_time(&path)?, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// When the first record of a file was written; the last of all where none can be read.
fn first_time(path: &Path) -> io::Result<u64> {
    let mut lines: Lines<Box<dyn BufRead>> = Lines::new(segments::read(path)?);
    let reading = Reading::default();
    for _ in 0..HEAD_LINES {
        let Some(Line::Whole(line)) = lines.next()? else { break };
        if let Some(time_us) = reading.time_us(line) {
            return Ok(time_us);
        }
    }
    Ok(u64::MAX)
}
