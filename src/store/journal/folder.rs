//! The audit folder: append-only segments of JSON lines, written by one process at a time.
//!
//! A segment is named `audit-<UTC time>-<first sequence number>.jsonl` and holds whole lines
//! only: what a failed batch left is cut off again before anything else is written, what a
//! crash left is moved to a `.torn` file beside it when the folder is opened. After either,
//! writing goes on in a new segment.
//!
//! Whoever has a word to say while another process writes here (`super::alone`) makes a file that
//! is no segment: `admin-<UTC time>-<process>.jsonl`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::audit::{LINE_BYTES_MAX, Sink, SinkError};
use crate::residency::Date;

/// Lines are handed to the file in pieces of about this size.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How far from its end a segment is searched for its last whole record.
const TAIL_BYTES_MAX: u64 = 2 * LINE_BYTES_MAX as u64;
/// More segments than this in one folder are not listed.
const SEGMENTS_MAX: usize = 1 << 20;
const LOCK_NAME: &str = "lock";

/// The sink for one node's journal.
pub(super) struct Folder {
    path: PathBuf,
    segment_bytes_max: u64,
    segment: Option<Segment>,
    /// Lines that are not yet handed to the file.
    buffer: Vec<u8>,
    /// Held for as long as this process may write here.
    _lock: File,
}

struct Segment {
    file: File,
    path: PathBuf,
    /// Bytes that are durable. Nothing behind them is a record.
    synced: u64,
    /// Bytes handed to the file.
    written: u64,
    /// There may be something behind `synced`.
    dirty: bool,
    /// Device and inode of the file.
    identity: (u64, u64),
}

impl Segment {
    /// Is it still the file at its path, the only link to it, and as long as what was written?
    /// Otherwise nobody would find the records in it.
    fn is_in_its_place(&self) -> io::Result<()> {
        let there = fs::symlink_metadata(&self.path)?;
        let sound =
            (there.dev(), there.ino()) == self.identity && there.nlink() == 1 && there.len() == self.written;
        if sound { Ok(()) } else { Err(io::Error::other("it was replaced, linked or cut by somebody else")) }
    }
}

/// What the folder held when it was opened.
pub(super) struct Opened {
    pub(super) folder: Folder,
    /// The number of the next record.
    pub(super) next_seq: u64,
}

/// Why the folder cannot be used; for the operator.
#[derive(Debug)]
pub struct FolderError {
    path: PathBuf,
    reason: String,
    /// Another process writes there, which is no fault of the folder.
    pub(super) is_taken: bool,
}

impl std::fmt::Display for FolderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "audit folder {}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for FolderError {}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

impl Folder {
    /// Makes the folder if it is missing, locks it, and finds where the records end.
    pub(super) fn open(path: &Path, segment_bytes_max: u64) -> Result<Opened, FolderError> {
        let fail = |reason: String| FolderError { path: path.to_owned(), reason, is_taken: false };
        let failed = |what: &str, error: io::Error| fail(format!("{what}: {error}"));
        make(path).map_err(|error| failed("it cannot be made", error))?;
        let metadata = fs::metadata(path).map_err(|error| failed("it cannot be read", error))?;
        if metadata.permissions().mode() & 0o007 != 0 {
            tracing::warn!(folder = %path.display(), "the audit folder is open to every account of this host");
        }
        let lock = match lock(path).map_err(fail)? {
            Some(lock) => lock,
            None => {
                let reason =
                    "another process writes to it; give each Sealgate a folder of its own".to_owned();
                return Err(FolderError { is_taken: true, ..fail(reason) });
            }
        };
        let last = last_segments(path).map_err(fail)?;
        let mut next_seq = 1;
        for (first, segment) in last {
            let end = mend(&segment).map_err(|reason| fail(format!("{}: {reason}", segment.display())))?;
            next_seq = next_seq.max(end.map_or(first, |last| last.saturating_add(1)));
        }
        let folder = Folder {
            path: path.to_owned(),
            segment_bytes_max,
            segment: None,
            buffer: Vec::with_capacity(1 << 16),
            _lock: lock,
        };
        Ok(Opened { folder, next_seq })
    }

    /// A segment is full when it is past its size; a batch is never split over two.
    fn segment_for(&mut self, seq: u64) -> io::Result<()> {
        let full = self.segment.as_ref().is_some_and(|segment| {
            !segment.dirty && self.buffer.is_empty() && segment.synced >= self.segment_bytes_max
        });
        if full {
            self.segment = None;
        }
        if self.segment.is_none() {
            let path = self.path.join(format!("audit-{}-{seq:020}.jsonl", stamp(SystemTime::now())));
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
            give_to_owner(&file, &self.path);
            let made = file.metadata()?;
            let identity = (made.dev(), made.ino());
            self.segment = Some(Segment { file, path, synced: 0, written: 0, dirty: true, identity });
            sync_folder(&self.path)?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        segment.dirty = true;
        segment.file.write_all(&self.buffer)?;
        segment.written =
            segment.written.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX));
        self.buffer.clear();
        Ok(())
    }

    fn describe(&self, what: &str, error: &io::Error) -> SinkError {
        SinkError(format!("audit folder {}: {what}: {error}", self.path.display()))
    }
}

impl Sink for Folder {
    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.segment_for(seq).map_err(|error| self.describe("a segment cannot be made", &error))?;
        self.buffer.extend_from_slice(line);
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            self.write_out().map_err(|error| self.describe("a record cannot be written", &error))?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.write_out().map_err(|error| self.describe("a record cannot be written", &error))?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if segment.dirty {
            if let Err(error) = segment.file.sync_data() {
                return Err(self.describe("a record cannot be made durable", &error));
            }
            if let Err(error) = segment.is_in_its_place() {
                // What it held is lost with it, and this batch was never acknowledged: it goes on in
                // a segment of its own.
                let lost = segment.path.clone();
                self.segment = None;
                tracing::error!(segment = %lost.display(), %error, "a segment of the record is gone");
                return Err(self.describe("the segment is not in its place any more", &error));
            }
            segment.synced = segment.written;
            segment.dirty = false;
        }
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        self.buffer.clear();
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if !segment.dirty {
            return Ok(());
        }
        let cut = if segment.synced == 0 {
            remove_if_there(&segment.path).and_then(|()| sync_folder(&self.path))
        } else {
            segment.file.set_len(segment.synced).and_then(|()| segment.file.sync_all())
        };
        cut.map_err(|error| self.describe("a failed batch cannot be taken back", &error))?;
        self.segment = None;
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes what is missing of the path, durably and for this account alone.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !is_there(folder)).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for folder in missing {
        match folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_folder(Path::new("."))?,
            Some(parent) => sync_folder(parent)?,
            None => {}
        }
    }
    Ok(())
}

/// The empty path stands for the working directory.
fn is_there(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.exists()
}

/// What root makes in the folder of another account must not lock that one out.
pub(super) fn give_to_owner(file: &File, folder: &Path) {
    let (Ok(own), Ok(of_folder)) = (file.metadata(), fs::metadata(folder)) else { return };
    if own.uid() != of_folder.uid() {
        // Only root may; for anybody else it stays as it is.
        let _ = fchown(file, Some(of_folder.uid()), Some(of_folder.gid()));
    }
}

/// A name is durable only when its folder is.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// None: another process has it.
fn lock(path: &Path) -> Result<Option<File>, String> {
    let name = path.join(LOCK_NAME);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(name)
        .map_err(|error| format!("its lock cannot be opened: {error}"))?;
    give_to_owner(&file, path);
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(format!("it cannot be locked: {error}")),
    }
}

/// The segments with the highest first number, and that number. There is more than one only
/// where a failed batch's segment could not be removed.
fn last_segments(path: &Path) -> Result<Vec<(u64, PathBuf)>, String> {
    let mut last: Vec<(u64, PathBuf)> = Vec::new();
    let entries = fs::read_dir(path).map_err(|error| format!("it cannot be listed: {error}"))?;
    for (count, entry) in entries.enumerate() {
        let entry = entry.map_err(|error| format!("it cannot be listed: {error}"))?;
        if count >= SEGMENTS_MAX {
            return Err(format!("more than {SEGMENTS_MAX} files; move old segments away"));
        }
        let name = entry.file_name();
        let Some(first) = name.to_str().and_then(first_number) else { continue };
        if last.first().is_some_and(|(highest, _)| first > *highest) {
            last.clear();
        }
        if last.first().is_none_or(|(highest, _)| first == *highest) {
            last.push((first, entry.path()));
        }
    }
    Ok(last)
}

/// `audit-20261121T223248.000001Z-00000000000000000042.jsonl` is 42.
fn first_number(name: &str) -> Option<u64> {
    let (_, number) = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.rsplit_once('-')?;
    number.parse().ok()
}

/// The number of the last whole record, if there is one. What stands behind it was never
/// acknowledged to anyone: it is moved to a file of its own, so that a segment holds records
/// and nothing else, and nothing is destroyed.
fn mend(segment: &Path) -> Result<Option<u64>, String> {
    let failed = |error: io::Error| format!("it cannot be read: {error}");
    let mut file = OpenOptions::new().read(true).write(true).open(segment).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let start = length.saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut tail = Vec::new();
    Read::by_ref(&mut file).take(TAIL_BYTES_MAX).read_to_end(&mut tail).map_err(failed)?;
    let (seq, end) = match last_record(&tail) {
        Some((seq, end)) => (Some(seq), end),
        None if start == 0 => (None, 0),
        None => return Err("no record stands at its end; move it away to go on without it".to_owned()),
    };
    let torn = tail.get(end..).unwrap_or_default();
    if torn.is_empty() {
        return Ok(seq);
    }
    let kept = start + u64::try_from(end).unwrap_or(0);
    match set_aside(segment, torn).and_then(|()| file.set_len(kept)).and_then(|()| file.sync_all()) {
        Ok(()) => tracing::warn!(
            segment = %segment.display(),
            bytes = torn.len(),
            "the last line was torn by a crash; it was never acknowledged and is now in a .torn file"
        ),
        Err(error) => tracing::error!(
            segment = %segment.display(), bytes = torn.len(), %error,
            "the last line was torn by a crash; it was never acknowledged and could not be set aside"
        ),
    }
    Ok(seq)
}

/// The last line that ends and carries a number, and the byte after it.
fn last_record(tail: &[u8]) -> Option<(u64, usize)> {
    let mut end = tail.iter().rposition(|byte| *byte == b'\n')? + 1;
    loop {
        let body = tail.get(..end.checked_sub(1)?)?;
        let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        if let Ok(numbered) = serde_json::from_slice::<Numbered>(body.get(start..)?) {
            return Some((numbered.seq, end));
        }
        end = start;
    }
}

/// `<segment>.torn`, or with a number where that is taken.
fn set_aside(segment: &Path, torn: &[u8]) -> io::Result<()> {
    const TRIES_MAX: u32 = 100;
    for number in 0..TRIES_MAX {
        let suffix = if number == 0 { "torn".to_owned() } else { format!("{number}.torn") };
        let path = segment.with_extension(format!("jsonl.{suffix}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let saved = file.write_all(torn).and_then(|()| file.sync_all());
                return if saved.is_err() { remove_if_there(&path).and(saved) } else { saved };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many .torn files"))
}

/// `20261121T223248.000001Z`
pub(super) fn stamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let date = Date::from_unix_days(seconds / 86_400).to_string().replace('-', "");
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{date}T{hour:02}{minute:02}{second:02}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::{first_number, last_record, stamp};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn names_a_segment_by_time_and_first_number() {
        let stamp = stamp(UNIX_EPOCH + Duration::from_micros(1_795_300_368_000_001));
        assert_eq!(stamp, "20261121T223248.000001Z");
        assert_eq!(first_number(&format!("audit-{stamp}-{:020}.jsonl", 42)), Some(42));
        for name in ["lock", "audit-x.jsonl", "audit-x-1.jsonl.torn", "audit-x-y.jsonl", "x-1.jsonl"] {
            assert_eq!(first_number(name), None, "{name}");
        }
    }

    #[test]
    fn finds_the_last_whole_record() {
        for (tail, expected) in [
            ("", None),
            ("{\"seq\":1}", None),
            ("{\"seq\":1}\n", Some((1, 10))),
            ("{\"seq\":1}\n{\"seq\":2}", Some((1, 10))),
            ("{\"seq\":1}\n{\"se\n", Some((1, 10))),
            ("{\"seq\":1}\n\0\0\0\n\0\0", Some((1, 10))),
            ("{\"seq\":1}\n{\"seq\":2,\"a\":[]}\n", Some((2, 27))),
            ("eq\":1}\n{\"seq\":2}\n", Some((2, 17))),
            ("\n\n\n", None),
            ("torn\n", None),
        ] {
            assert_eq!(last_record(tail.as_bytes()), expected, "{tail:?}");
        }
    }
}
