//! The thread that packs closed segments (zstd), so that years of them take little room. It works in
//! the background of everything else, and a crash at any moment leaves the segment whole: the packed
//! one gets its name when it is on disk and was read back, and only then does the other one go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::folder::{give_to_owner, sync_folder};
use super::segments::{self, PACKED, SKIPPED_MAGIC, Segment};

/// Smaller segments stay as they are: there is nothing to gain.
pub(super) const PACKED_BYTES_MIN: u64 = 256 << 10;
/// The last piece of a segment, a frame of its own: whoever looks for what was last need not
/// unpack all of it.
const END_BYTES: u64 = 512 << 10;
/// What the library calls its level: from here on it gets much slower and packs little better.
const LEVEL: i32 = 9;
/// How far this thread stands back behind all others.
const NICE: i32 = 15;
const PIECE_BYTES: usize = 256 << 10;
const PART: &str = ".part";

/// The thread; dropped, it ends at the next piece.
pub(super) struct Packer {
    wake: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Packer {
    pub(super) fn start(folder: &Path) -> io::Result<Packer> {
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, stopped) = (folder.to_owned(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("packer".to_owned())
            .spawn(move || keep_packing(&folder, &woken, &stopped))?;
        Ok(Packer { wake: Some(wake), stop, thread: Some(thread) })
    }

    /// A segment may have been closed.
    pub(super) fn wake(&self) {
        // Full: it will look anyway.
        let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that packs the record has panicked");
        }
    }
}

fn keep_packing(folder: &Path, woken: &Receiver<()>, stop: &AtomicBool) {
    // Of this thread alone, on Linux. Where it may not be, it works as all do.
    let _ = rustix::process::nice(NICE);
    let mut fails = false;
    while woken.recv().is_ok() {
        match pack_closed(folder, stop) {
            Ok(()) => fails = false,
            Err(_) if stop.load(Ordering::Relaxed) => return,
            Err(error) if !std::mem::replace(&mut fails, true) => {
                tracing::warn!(%error, "a closed segment of the record cannot be packed");
            }
            Err(_) => {}
        }
    }
}

/// Packs every closed segment that is not packed yet. The newest is never closed.
///
/// # Errors
/// The first that cannot be packed; it stays as it is.
pub(super) fn pack_closed(folder: &Path, stop: &AtomicBool) -> io::Result<()> {
    let all = segments::list(folder)?;
    let newest = all.last().map_or(0, |segment| segment.first);
    for Segment { first, path, is_packed } in all {
        if is_packed || first >= newest || fs::metadata(&path)?.len() < PACKED_BYTES_MIN {
            continue;
        }
        let packed = with_end(&path, PACKED);
        if !packed.try_exists()? {
            let part = with_end(&packed, PART);
            // What a crash left of another try; and never through a link that lies there.
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let made = pack(&path, &part, folder, stop).and_then(|()| fs::rename(&part, &packed));
            if let Err(error) = made.and_then(|()| sync_folder(folder)) {
                let _ = fs::remove_file(&part);
                return Err(error);
            }
        }
        // Also what a crash left between the two.
        if !same(segments::read(&packed)?, File::open(&path)?, stop)? {
            return Err(io::Error::other(format!(
                "{} is not what {} holds",
                packed.display(),
                path.display()
            )));
        }
        fs::remove_file(&path)?;
        sync_folder(folder)?;
    }
    Ok(())
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Writes `path` as `part`, durably.
fn pack(path: &Path, part: &Path, folder: &Path, stop: &AtomicBool) -> io::Result<()> {
    let mut from = File::open(path)?;
    let length = from.metadata()?.len();
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    give_to_owner(&out, folder);
    frame(&mut from, length.saturating_sub(END_BYTES), &mut out, stop)?;
    let before = out.metadata()?.len();
    frame(&mut from, END_BYTES, &mut out, stop)?;
    let end = u32::try_from(out.metadata()?.len().saturating_sub(before)).map_err(io::Error::other)?;
    for word in [SKIPPED_MAGIC, 4, end] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.sync_all()
}

fn frame(from: &mut File, bytes: u64, out: &mut File, stop: &AtomicBool) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut left = from.take(bytes);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        goes_on(stop)?;
        let read = left.read(&mut piece)?;
        if read == 0 {
            break;
        }
        encoder.write_all(piece.get(..read).unwrap_or_default())?;
    }
    encoder.finish().map(drop)
}

/// Do both hold the same?
///
/// # Errors
/// One cannot be read, or nobody needs to know any more.
pub(super) fn same(mut one: impl Read, mut other: impl Read, stop: &AtomicBool) -> io::Result<bool> {
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    loop {
        goes_on(stop)?;
        of_one.clear();
        of_other.clear();
        Read::by_ref(&mut one).take(PIECE_BYTES as u64).read_to_end(&mut of_one)?;
        Read::by_ref(&mut other).take(PIECE_BYTES as u64).read_to_end(&mut of_other)?;
        if of_one != of_other || of_one.is_empty() {
            return Ok(of_one == of_other);
        }
    }
}

fn goes_on(stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::super::folder::Folder;
    use super::super::tests::{intent, outcome};
    use super::*;
    use crate::audit::{
        Distinct, Durability, Entry, Execution, FieldUse, Intent, Journal, Outcome, Record, Subjects, Who,
    };
    use crate::seal::SubjectId;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("sealgate-pack-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn segment(&self, first: u64) -> PathBuf {
            self.0.join(format!("audit-20260101T000000.000000Z-{first:020}.jsonl"))
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn text(lines: usize) -> String {
        (0..lines).map(|number| format!("{{\"seq\":{number},\"rule\":\"{}\"}}\n", number * 7919)).collect()
    }

    #[test]
    fn closed_segments_are_packed_and_hold_the_same() {
        let folder = Scratch::new("closed");
        let whole = text(60_000);
        assert!(whole.len() as u64 > END_BYTES * 2);
        fs::write(folder.segment(1), &whole).unwrap();
        fs::write(folder.segment(2), "{\"seq\":2}\n").unwrap();
        fs::write(folder.segment(3), &whole).unwrap();
        pack_closed(&folder.0, &AtomicBool::new(false)).unwrap();
        let ends: Vec<bool> = folder.names().iter().map(|name| name.ends_with(PACKED)).collect();
        assert_eq!(ends, [true, false, false], "one is small, one is the newest");
        let packed = segments::list(&folder.0).unwrap().remove(0);
        assert_eq!((packed.first, packed.is_packed, packed.stem()), (1, true, folder.segment(1)));
        let mut unpacked = String::new();
        segments::read(&packed.path).unwrap().read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == whole);
        let end = segments::packed_end(&packed.path, END_BYTES).unwrap().unwrap();
        assert!(whole.as_bytes().ends_with(&end) && end.len() as u64 == END_BYTES);
        assert!(fs::metadata(&packed.path).unwrap().len() * 3 < whole.len() as u64);
    }

    /// Point reads by 64 sessions at once, each of another subject.
    #[test]
    fn a_statement_takes_less_than_350_bytes_and_less_than_60_when_it_is_packed() {
        const STATEMENTS: u64 = 40_000;
        const BATCH: u64 = 16;
        let folder = Scratch::new("bytes");
        let mut opened = Folder::open(&folder.0, 10 << 20, 0, || None).unwrap();
        let mut journal = Journal::new("gate-1".into(), 1).at(Durability::Os { sync_every_ms: 10 });
        let mut random = StdRng::seed_from_u64(5);
        let fields: Arc<[FieldUse]> = [FieldUse {
            field: "public.people_sealed.email".into(),
            class: "contact".into(),
            mode: "equality",
        }]
        .into();
        let (statement, fingerprint): (Arc<str>, Arc<str>) =
            ("SELECT email FROM people_sealed WHERE id = $1".into(), "0123456789abcdef".into());
        let whos: Vec<Arc<Who>> = (0..64)
            .map(|session| Arc::new(Who { session: 1_838_929_072_771_072 + session, ..Who::sealgate() }))
            .collect();
        let mut time_us = 1_795_300_368_000_001;
        let mut entry = |record: Record, random: &mut StdRng| {
            time_us += random.random_range(1..60);
            Entry { record, time_us }
        };
        for first in (0..STATEMENTS).step_by(BATCH as usize) {
            let mut batch = Vec::new();
            for number in first..first + BATCH {
                let who = Arc::clone(&whos[random.random_range(0..64)]);
                let execution = Execution { session: who.session, number: number / 64 };
                let intent = Intent {
                    who: Arc::clone(&who),
                    execution,
                    fields: Arc::clone(&fields),
                    fingerprint: Arc::clone(&fingerprint),
                    statement: Arc::clone(&statement),
                    ..intent(number)
                };
                batch.push(entry(Record::Intent(intent), &mut random));
                let Record::Outcome(outcome) = outcome(number) else { panic!("no outcome") };
                let mut known = Distinct::default();
                known.insert(SubjectId(random.random()));
                let subjects = Some(Arc::new(Subjects { known, unknown: 0, why: BTreeSet::new() }));
                let (fields, fingerprint) = (Arc::clone(&fields), Arc::clone(&fingerprint));
                let bytes = random.random_range(16..28);
                let outcome = Outcome { who, execution, fields, fingerprint, bytes, subjects, ..outcome };
                batch.push(entry(Record::Outcome(outcome), &mut random));
            }
            // Outcomes stand behind the intents of others.
            batch.sort_by_key(|entry| entry.record.kind());
            journal.commit(&mut opened.folder, &batch).unwrap();
            if first % 1_600 == 0 {
                journal.sync(&mut opened.folder).unwrap();
            }
        }
        journal.sync(&mut opened.folder).unwrap();
        let closed = segments::list(&folder.0).unwrap().remove(0);
        let length = |path: &Path| fs::metadata(path).unwrap().len();
        let (open, statements) = (length(&closed.path), segments::list(&folder.0).unwrap()[1].first / 2);
        assert!(
            statements > STATEMENTS / 2 && open / statements < 350,
            "{open} bytes, {statements} statements"
        );
        pack_closed(&folder.0, &AtomicBool::new(false)).unwrap();
        let packed = length(&with_end(&closed.path, PACKED));
        assert!(packed / statements < 60, "{packed} bytes, {statements} statements");
    }

    #[test]
    fn a_crash_at_any_step_leaves_all_of_it() {
        let whole = text(20_000);
        for step in ["part", "both", "foreign"] {
            let folder = Scratch::new(step);
            fs::write(folder.segment(1), &whole).unwrap();
            fs::write(folder.segment(3), "").unwrap();
            let packed = with_end(&folder.segment(1), PACKED);
            match step {
                "part" => fs::write(with_end(&packed, PART), "half of it").unwrap(),
                "both" => pack(&folder.segment(1), &packed, &folder.0, &AtomicBool::new(false)).unwrap(),
                _ => {
                    fs::write(&packed, zstd::encode_all(&b"other"[..], 1).unwrap()).unwrap();
                    let error = pack_closed(&folder.0, &AtomicBool::new(false)).unwrap_err();
                    assert!(error.to_string().contains("is not what"), "{error}");
                    assert!(fs::read_to_string(folder.segment(1)).unwrap() == whole);
                    continue;
                }
            }
            pack_closed(&folder.0, &AtomicBool::new(false)).unwrap();
            let mut unpacked = String::new();
            segments::read(&packed).unwrap().read_to_string(&mut unpacked).unwrap();
            assert!(unpacked == whole, "{step}");
            assert_eq!(folder.names().len(), 2, "{step}: {:?}", folder.names());
        }
    }
}
