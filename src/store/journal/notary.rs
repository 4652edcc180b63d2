//! The thread that signs how far the record has come, every so often, where a segment ends, at the
//! start and at the end: into a file beside the segments, and to the sinks. The journal's thread never
//! waits for it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::folder::{give_to_owner, stamp, sync_folder};
use super::outlets::{Outlet, Outlets};
use super::packing::Packer;
use super::progress::Progress;
use super::segments::{FILES_MAX, not_through_links, number_in};
use crate::audit::{self, Checkpoint, Head, Link, Opened, PublicKey, Signer};

/// A file of checkpoints that has reached this size is followed by another.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// More of a folder's checkpoints than this are not read at the start: the newest files alone are.
const NEWEST_FILES: usize = 4;
/// A longer file is not read.
const READ_BYTES_MAX: u64 = 4 * FILE_BYTES_MAX;
/// How often free room is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is done for the record beside writing it.
#[derive(Clone, Default, Debug)]
pub struct Evidence {
    /// None: nothing is signed.
    pub signer: Option<Arc<Signer>>,
    /// How often, at the most.
    pub every: Duration,
    pub outlets: Vec<Outlet>,
    /// Are closed segments packed?
    pub packs: bool,
}

/// The thread. Ended by [`Progress::end`], then joined.
pub(super) struct Notary {
    thread: JoinHandle<()>,
}

impl Notary {
    pub(super) fn start(
        folder: &Path,
        node: &str,
        evidence: &Evidence,
        progress: &Arc<Progress>,
        signed: u64,
        outlets: Outlets,
    ) -> io::Result<Notary> {
        let writer = Writer {
            folder: folder.to_owned(),
            node: node.to_owned(),
            evidence: evidence.clone(),
            progress: Arc::clone(progress),
            outlets,
            file: None,
            signed,
            fails: false,
        };
        let thread = std::thread::Builder::new().name("notary".to_owned()).spawn(move || writer.run())?;
        Ok(Notary { thread })
    }

    /// Waits for its end.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the thread that signs the record has panicked");
        }
    }
}

struct Writer {
    folder: PathBuf,
    node: String,
    evidence: Evidence,
    progress: Arc<Progress>,
    outlets: Outlets,
    file: Option<PathBuf>,
    /// The last record that is signed. Never a second time: what is there may be another one now.
    signed: u64,
    /// Could the last checkpoint not be written?
    fails: bool,
}

impl Writer {
    fn run(mut self) {
        let interval = if self.evidence.signer.is_some() { self.evidence.every } else { LOOK_EVERY }
            .max(Duration::from_millis(10));
        let mut looked: Option<std::time::Instant> = None;
        let packer = self.evidence.packs.then(|| Packer::start(&self.folder));
        let packer = packer.and_then(|packer| {
            packer.inspect_err(|error| tracing::warn!(%error, "closed segments are not packed")).ok()
        });
        let mut is_first = true;
        // The first one as soon as anything is there to sign.
        let mut news = self.progress.wait(Duration::ZERO);
        loop {
            for head in &news.heads {
                self.sign(*head);
            }
            if news.has_ended {
                self.outlets.end();
                return;
            }
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                looked = Some(std::time::Instant::now());
                tell_free_room(&self.folder);
            }
            if let Some(packer) = packer.as_ref().filter(|_| news.heads.len() > 1 || is_first) {
                packer.wake();
            }
            is_first = false;
            self.outlets.tell();
            news = self.progress.wait(interval);
        }
    }

    fn sign(&mut self, head: Head) {
        let Some(signer) = &self.evidence.signer else { return };
        // Records of a version without a chain have no link that could be signed.
        if head.seq > self.signed && head.link != Link::NONE {
            let note = signer.sign(&Checkpoint {
                origin: signer.public().name().to_owned(),
                size: head.seq,
                link: head.link,
                time: audit::rfc3339(super::now_us()),
                node: self.node.clone(),
            });
            // Elsewhere it is good for something though it could not be written here.
            self.outlets.hand(&note);
            match self.write(&note, head.seq) {
                Ok(()) => {
                    metrics::counter!("sealgate_audit_checkpoints_total").increment(1);
                    self.signed = head.seq;
                    self.fails = false;
                }
                Err(error) => {
                    metrics::counter!("sealgate_audit_checkpoint_failures_total").increment(1);
                    if !std::mem::replace(&mut self.fails, true) {
                        tracing::error!(%error, "a checkpoint of the record cannot be written");
                    }
                }
            }
        }
        let unsigned = self.progress.since(self.signed);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("sealgate_audit_unsigned_records").set(unsigned as f64);
    }

    fn write(&mut self, note: &str, size: u64) -> io::Result<()> {
        let is_full = |path: &PathBuf| fs::metadata(path).is_ok_and(|facts| facts.len() >= FILE_BYTES_MAX);
        let path = match self.file.take().filter(|path| !is_full(path)) {
            Some(path) => path,
            None => self.folder.join(format!("checkpoints-{}-{size:020}.notes", stamp(SystemTime::now()))),
        };
        let is_new = !path.try_exists()?;
        // Opened anew each time: what somebody took away is no place for a checkpoint.
        let mut options = OpenOptions::new();
        let mut file = not_through_links(options.append(true).create(true).mode(0o600)).open(&path)?;
        if is_new {
            give_to_owner(&file, &self.folder);
            sync_folder(&self.folder)?;
        }
        // What a failure left of another one ends with the empty line.
        let before = if self.fails { "\n\n" } else { "" };
        file.write_all(format!("{before}{note}\n").as_bytes())?;
        file.sync_data()?;
        self.file = Some(path);
        Ok(())
    }
}

fn tell_free_room(folder: &Path) {
    let Ok(facts) = rustix::fs::statvfs(folder) else { return };
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let free = facts.f_bavail.saturating_mul(facts.f_frsize) as f64;
    metrics::gauge!("sealgate_audit_free_bytes").set(free);
}

/// Every file of checkpoints in a folder, in the order of what they cover.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)?.take(FILES_MAX) {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| number_in(name.to_str()?, "checkpoints-", ".notes"));
        found.extend(number.map(|number| (number, path)));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The notes of a file.
///
/// # Errors
/// It cannot be read, or is longer than any.
pub(super) fn notes(path: &Path) -> io::Result<Vec<String>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, READ_BYTES_MAX + 1), &mut text)?;
    if text.len() as u64 > READ_BYTES_MAX {
        return Err(io::Error::other("it is longer than any file of checkpoints"));
    }
    Ok(audit::notes_in(&String::from_utf8_lossy(&text)))
}

/// The checkpoint of our own that covers most, of those that lie in the folder.
pub(super) fn newest(folder: &Path, key: &PublicKey) -> Option<Checkpoint> {
    let files = files(folder).ok()?;
    let keys = std::slice::from_ref(key);
    let newest = files.iter().rev().take(NEWEST_FILES).filter_map(|path| notes(path).ok()).flatten();
    let signed = newest.filter_map(|note| match audit::open(&note, keys) {
        Opened::Signed(checkpoint) => Some(checkpoint),
        Opened::Forged | Opened::Foreign => None,
    });
    signed.max_by_key(|checkpoint| checkpoint.size)
}
