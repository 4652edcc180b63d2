//! The audit folder: append-only segments of JSON lines, written by one process at a time.
//!
//! A segment is named `audit-<UTC time>-<first sequence number>.jsonl` and holds whole lines
//! only: what a failed batch left is cut off again before anything else is written, what a
//! crash left is moved to a `.torn` file beside it when the folder is opened. After either,
//! writing goes on in a new segment, and the record says so.
//!
//! Whoever has a word to say while another process writes here (`super::alone`) makes a file that
//! is no segment: `admin-<UTC time>-<process>.jsonl`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::reserve::Reserve;
use super::segments::{self, End, Segment as SegmentFile};
use crate::audit::{Checkpoint, Head, Sink, SinkError, Syncing};
use crate::residency::Date;

/// Lines are handed to the file in pieces of about this size.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// Numbered lines behind the first one that does not hold: as many as a crash may tear at the most.
/// Where there are more, somebody was at it, and nothing of it is moved.
const TORN_RECORDS_MAX: u64 = 1 << 16;
const NOT_DURABLE: &str = "a record cannot be made durable";
const LOCK_NAME: &str = "lock";

/// The sink for one node's journal.
pub(super) struct Folder {
    path: PathBuf,
    segment_bytes_max: u64,
    segment: Option<Segment>,
    /// Lines that are not yet handed to the file.
    buffer: Vec<u8>,
    reserve: Reserve,
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
    /// Up to where a sync reaches that is under way elsewhere.
    syncing: u64,
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

    /// Wherever it is now, it holds no record whose number another one will have.
    fn forget_unacknowledged(&self) {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        if length > self.synced
            && let Err(error) = self.file.set_len(self.synced).and_then(|()| self.file.sync_all())
        {
            tracing::error!(segment = %self.path.display(), %error, "what was not acknowledged is still in it");
        }
    }
}

/// What the folder held when it was opened.
pub(super) struct Opened {
    pub(super) folder: Folder,
    /// The last record that there is, or that there was.
    pub(super) head: Head,
    /// The last record that is signed already.
    pub(super) signed: u64,
    /// What is not as it was left: for the record and the log.
    pub(super) findings: Vec<Finding>,
}

impl Opened {
    /// The number of the next record.
    pub(super) fn next_seq(&self) -> u64 {
        self.head.seq.saturating_add(1)
    }
}

/// Something that is not as it was left, as an alert tells it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) severity: &'static str,
    pub(super) text: String,
}

impl Finding {
    fn critical(text: String) -> Finding {
        Finding { severity: "critical", text }
    }
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

impl Folder {
    /// Makes the folder if it is missing, locks it, and finds where the records end. `signed`: the last
    /// checkpoint of our own that lies there, once the folder is locked.
    pub(super) fn open(
        path: &Path,
        segment_bytes_max: u64,
        reserve_bytes: u64,
        signed: impl FnOnce() -> Option<Checkpoint>,
    ) -> Result<Opened, FolderError> {
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
        let mut findings = Vec::new();
        let checkpoint = signed();
        let signed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let head = find_end(path, checkpoint, &mut findings).map_err(fail)?;
        for finding in &findings {
            tracing::error!(folder = %path.display(), "{}", finding.text);
        }
        let folder = Folder {
            path: path.to_owned(),
            segment_bytes_max,
            segment: None,
            buffer: Vec::with_capacity(1 << 16),
            reserve: Reserve::new(path, reserve_bytes),
            _lock: lock,
        };
        Ok(Opened { folder, head, signed, findings })
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
            self.segment =
                Some(Segment { file, path, synced: 0, written: 0, dirty: true, syncing: 0, identity });
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

    /// What it held is lost with it, and what is not synced was taken back: it goes on in a segment of
    /// its own.
    fn lose(&mut self, error: &io::Error) -> SinkError {
        if let Some(segment) = self.segment.take() {
            segment.forget_unacknowledged();
            tracing::error!(segment = %segment.path.display(), %error, "a segment of the record is gone");
        }
        self.describe("the segment is not in its place any more", error)
    }

    fn describe(&self, what: &str, error: &io::Error) -> SinkError {
        self.reserve.note(error);
        SinkError(format!("audit folder {}: {what}: {error}", self.path.display()))
    }
}

impl Sink for Folder {
    fn begins_segment(&mut self, seq: u64) -> Result<bool, SinkError> {
        self.segment_for(seq).map_err(|error| self.describe("a segment cannot be made", &error))?;
        Ok(self.buffer.is_empty() && self.segment.as_ref().is_some_and(|segment| segment.written == 0))
    }

    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.buffer.extend_from_slice(line);
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            self.write_out().map_err(|error| self.describe("a record cannot be written", &error))?;
        }
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        self.write_out().map_err(|error| self.describe("a record cannot be written", &error))?;
        match self.segment.as_ref().map_or(Ok(()), Segment::is_in_its_place) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lose(&error)),
        }
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.write_out().map_err(|error| self.describe("a record cannot be written", &error))?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if segment.dirty {
            if let Err(error) = segment.file.sync_data() {
                return Err(self.describe(NOT_DURABLE, &error));
            }
            if let Err(error) = segment.is_in_its_place() {
                return Err(self.lose(&error));
            }
            segment.synced = segment.written;
            segment.dirty = false;
        }
        Ok(())
    }

    fn detach_sync(&mut self) -> Option<Syncing> {
        let segment = self.segment.as_mut()?;
        // A full segment is followed by another when all of it is synced.
        let is_full = segment.written >= self.segment_bytes_max;
        if !segment.dirty || is_full || !self.buffer.is_empty() {
            return None;
        }
        let file = segment.file.try_clone().ok()?;
        segment.syncing = segment.written;
        let folder = self.path.display().to_string();
        Some(Box::new(move || {
            let failed = |error| SinkError(format!("audit folder {folder}: {NOT_DURABLE}: {error}"));
            file.sync_data().map_err(failed)
        }))
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if let Err(error) = segment.is_in_its_place() {
            return Err(self.lose(&error));
        }
        segment.synced = segment.syncing;
        segment.dirty = segment.written > segment.synced;
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

    fn take_reserve(&mut self) -> Result<(), SinkError> {
        self.reserve.take().map_err(|error| self.describe("no room can be reserved", &error))
    }

    fn give_up_reserve(&mut self) -> bool {
        self.reserve.give_up()
    }
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
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

/// Where the records end: what was torn at the end is set aside, and what was signed counts even
/// where it is not there any more, so that no number is ever used twice.
fn find_end(folder: &Path, signed: Option<Checkpoint>, findings: &mut Vec<Finding>) -> Result<Head, String> {
    let listed = |error: io::Error| format!("it cannot be listed: {error}");
    let mut all = segments::list(folder).map_err(listed)?;
    let highest = all.last().map_or(0, |segment| segment.first);
    let asked = signed.as_ref().map_or(0, |signed| signed.size);
    let mut found: Option<Head> = None;
    let mut confirmed = None;
    // The highest number of what stays though it does not hold.
    let mut kept = 0;
    // Segments with nothing whole in them give their numbers back to the one before.
    while let Some(segment) = all.pop() {
        if segment.first < highest && found.is_some() {
            break;
        }
        let failed = |error: io::Error| format!("{}: it cannot be read: {error}", segment.path.display());
        let end = segments::end_of(&segment.path, asked).map_err(failed)?;
        if segment.first == highest && !segment.is_packed && !mend(&segment, &end, asked, findings) {
            kept = kept.max(end.highest);
        }
        confirmed = confirmed.or(end.asked);
        let here = end.last.map(|seq| Head { seq, link: end.link });
        if here.is_some_and(|here| found.is_none_or(|found| here.seq > found.seq)) {
            found = here;
        }
    }
    let mut head = found.unwrap_or_default();
    head.seq = head.seq.max(highest.saturating_sub(1)).max(kept);
    if let Some(signed) = signed {
        if signed.size > head.seq {
            findings.push(Finding::critical(format!(
                "records {} to {} are gone: a checkpoint of {} covers them; numbers go on behind them",
                head.seq.saturating_add(1),
                signed.size,
                signed.time
            )));
            head.seq = signed.size;
        } else if confirmed.is_some_and(|link| link != signed.link) {
            findings.push(Finding::critical(format!(
                "records up to {} are not those that the checkpoint of {} covers; see `sealgate audit verify`",
                signed.size, signed.time
            )));
        }
    }
    Ok(head)
}

/// What stands behind the last record that holds was never acknowledged to anyone: it is moved to a file
/// of its own, so that a segment holds records and nothing else, and nothing is destroyed. But for
/// what is more than a crash tears, or was signed: that stays for whoever verifies it. False: something stays.
fn mend(segment: &SegmentFile, end: &End, signed: u64, findings: &mut Vec<Finding>) -> bool {
    let shown = segment.path.display();
    let next = end.last.map_or(segment.first, |last| last.saturating_add(1));
    if end.behind > TORN_RECORDS_MAX || (end.is_torn && signed >= next) {
        findings.push(Finding::critical(format!(
            "{shown}: from record {next} on it is not what was written, and no crash did that; it stays as it is, \
             see `sealgate audit verify`"
        )));
        return false;
    }
    let mended = cut(segment, end);
    let is_mended = mended.is_ok();
    match mended {
        Ok(()) if !end.is_torn => {}
        Ok(()) => findings.push(Finding {
            severity: "warning",
            text: format!(
                "{shown}: what stood behind record {} was torn by a crash and is now in a .torn file; it was never \
                 acknowledged",
                next.saturating_sub(1)
            ),
        }),
        Err(error) => findings.push(Finding::critical(format!(
            "{shown}: what stands behind record {} was torn by a crash and cannot be set aside: {error}",
            next.saturating_sub(1)
        ))),
    }
    is_mended
}

/// Room that was never written goes without a word.
fn cut(segment: &SegmentFile, end: &End) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = segments::not_through_links(options.read(true).write(true)).open(&segment.path)?;
    if file.metadata()?.len() <= end.length {
        return Ok(());
    }
    if end.is_torn {
        file.seek(SeekFrom::Start(end.length))?;
        set_aside(&segment.path, &mut file)?;
    }
    file.set_len(end.length).and_then(|()| file.sync_all())
}

/// `<segment>.torn`, or with a number where that is taken.
fn set_aside(segment: &Path, torn: &mut File) -> io::Result<()> {
    const TRIES_MAX: u32 = 100;
    for number in 0..TRIES_MAX {
        let suffix = if number == 0 { "torn".to_owned() } else { format!("{number}.torn") };
        let path = segment.with_extension(format!("jsonl.{suffix}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let saved = io::copy(torn, &mut file).and_then(|_| file.sync_all());
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
    use super::stamp;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn names_a_segment_by_its_time() {
        let stamp = stamp(UNIX_EPOCH + Duration::from_micros(1_795_300_368_000_001));
        assert_eq!(stamp, "20261121T223248.000001Z");
    }
}
