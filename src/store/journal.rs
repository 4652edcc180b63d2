//! The journal's own thread: everything that is queued becomes durable with one write and
//! one sync, and only then are the intents among it answered with their receipts, one answer for all
//! that one thread of sessions has handed in at once. It waits for nothing but its queue and the disk.
//! With `durability = "os"` the sync follows within its time, on another thread; until it has succeeded, what was written is
//! remembered here, and written again elsewhere where it fails.
//!
//! While the sink fails, every intent is refused. What is not an intent (an outcome, a
//! refusal, an alert, a session's end) speaks of something that has happened already: it is
//! held, up to a maximum, and written first when the sink recovers; whatever was beyond the
//! maximum is counted and told of in an alert record.

mod alone;
mod desk;
mod folder;
mod keyrings;
mod notary;
mod outlets;
mod packing;
mod past;
mod posted;
mod progress;
mod reserve;
mod segments;
mod syncer;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use desk::{HandOver, Reply};
use outlets::Outlets;
use progress::Progress;
use syncer::Syncer;

pub use alone::write_alone;
pub use desk::{Answer, Answers, Desk, HANDED_MAX};
pub use folder::FolderError;
pub use keyrings::{KnownKeyrings, known_keyrings};
pub use notary::Evidence;
pub use outlets::{Outlet, Standing, Target};
pub use past::{Past, past};
pub use posted::{Bucket, PATIENCE as POST_PATIENCE, Witness};
pub use verify::{Asked, Bad, Found, OpenIntent, verify};

use crate::audit::{
    Alert, Durability, Entry, Journal, LeaseTerms, Receipt, Record, Sink, SinkError, Tenure, Who,
};

/// Hand-overs that wait for the thread. Beyond it sessions wait.
pub const QUEUE_MAX: usize = 64;
/// Most hand-overs of one write and sync.
pub const BATCH_MAX: usize = 64;
/// Records that are written and not synced. Beyond it they are, before their time.
const UNSYNCED_MAX: usize = 16_384;
/// Records that wait for a failing sink. Beyond it they are counted as lost.
pub const HELD_MAX: usize = 4096;
/// A segment that has reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// How long records that nobody waits for (outcomes) may wait here for an intent to share its sync with.
/// They have waited as long where they come from: a crash may lose both.
pub const LINGER: Duration = Duration::from_millis(5);
/// How often a failing sink is tried when nothing else asks for it.
const RETRY_EVERY: Duration = Duration::from_secs(1);
const UNWRITABLE: &str = "the journal cannot be written: access to classified fields is refused";

/// The record could not be made durable: access is refused (`SG006`). The text is for the
/// operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused(pub Arc<str>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What came back because it could not be queued at once.
#[derive(Debug)]
pub enum Unqueued<T> {
    /// The queue is full: the session waits, by the `_wait` variant.
    Full(T),
    /// The journal has been closed.
    Closed,
}

fn closed() -> Refused {
    Refused(Arc::from("the journal is closed"))
}

/// Where sessions hand in their records.
#[derive(Clone)]
pub struct JournalHandle {
    queue: mpsc::Sender<HandOver>,
    writable: Arc<AtomicBool>,
    durability: Durability,
    lease: Option<LeaseTerms>,
    tenure: Tenure,
    standing: Standing,
}

impl JournalHandle {
    /// How the sinks of its checkpoints stand.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// One thread's way in, and what comes back to it.
    #[must_use]
    pub fn desk(&self) -> (Desk, Answers) {
        Desk::new(self.queue.clone())
    }

    /// What a receipt stands for.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// What one intent may cover.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseTerms> {
        self.lease
    }

    /// Ends every lease when the record fails.
    #[must_use]
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// Queues a record that nobody waits for.
    ///
    /// # Errors
    /// The record comes back where the queue is full.
    pub fn submit(&self, record: Record) -> Result<(), Unqueued<Box<Record>>> {
        match self.queue.try_reserve() {
            Ok(room) => {
                room.send(HandOver { entries: vec![entry(record)], reply: None });
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(Unqueued::Full(Box::new(record))),
            Err(TrySendError::Closed(())) => Err(Unqueued::Closed),
        }
    }

    /// The same, waiting for room.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn submit_wait(&self, record: Record) -> Result<(), Refused> {
        let handed = HandOver { entries: vec![entry(record)], reply: None };
        self.queue.send(handed).await.map_err(|_| closed())
    }

    /// Was the last batch made durable? For readiness, never for a decision.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }
}

/// A record that is handed in now.
#[must_use]
pub fn entry(record: Record) -> Entry {
    Entry { record, time_us: now_us() }
}

/// Microseconds since the Unix epoch.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Where and how the files are written.
#[derive(Clone, Debug)]
pub struct Location {
    pub path: PathBuf,
    /// The node's name in records.
    pub node: String,
    /// Default [`SEGMENT_BYTES_MAX`].
    pub segment_bytes_max: u64,
    /// Bytes of the file system that are kept for what has happened already. Default: none.
    pub reserve_bytes: u64,
    /// Default: nothing is signed or packed.
    pub evidence: Evidence,
    pub durability: Durability,
    /// What one intent may cover, with [`Durability::Intent`].
    pub lease: Option<LeaseTerms>,
    /// Each line tells all by itself. Default: what is the same in many is named by a number.
    pub in_full: bool,
}

impl Location {
    #[must_use]
    pub fn new(path: PathBuf, node: String) -> Location {
        let durability = Durability::default();
        Location {
            path,
            node,
            segment_bytes_max: SEGMENT_BYTES_MAX,
            reserve_bytes: 0,
            evidence: Evidence::default(),
            durability,
            lease: None,
            in_full: false,
        }
    }
}

/// Why the journal did not start; for the operator.
#[derive(Debug)]
pub enum StartError {
    Folder(FolderError),
    Thread(std::io::Error),
}

impl StartError {
    /// May another start succeed? Another process writes there, or the system has no thread left.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        match self {
            StartError::Folder(error) => error.is_taken,
            StartError::Thread(_) => true,
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Folder(error) => error.fmt(f),
            StartError::Thread(error) => write!(f, "the journal's thread cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Records that could not be written before the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unwritten {
    pub records: u64,
}

/// The thread. Whoever started it closes it; dropped, it takes nothing new, and nobody waits
/// for what is queued.
pub struct JournalThread {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<u64>,
    thread: JoinHandle<()>,
    /// None over a sink that is no folder.
    notary: Option<notary::Notary>,
    progress: Arc<Progress>,
}

impl JournalThread {
    /// Takes nothing new, writes what is queued, and ends the thread.
    ///
    /// # Errors
    /// The number of records that could not be written.
    pub async fn close(self) -> Result<(), Unwritten> {
        // An error means that the thread has ended already; `ended` tells how.
        let _ = self.stop.send(());
        let unwritten = self.ended.await.unwrap_or(u64::MAX);
        let panicked = self.thread.join().is_err();
        self.progress.end();
        if let Some(notary) = self.notary {
            notary.join();
        }
        if unwritten == 0 && !panicked { Ok(()) } else { Err(Unwritten { records: unwritten }) }
    }
}

/// Opens the folder and starts the thread.
///
/// # Errors
/// The folder cannot be used or is another process's, or there is no thread to be had.
pub fn start(location: &Location) -> Result<(JournalHandle, JournalThread), StartError> {
    let opened = open(location).map_err(StartError::Folder)?;
    let journal = Journal::behind(location.node.clone(), opened.next_seq(), opened.head.link);
    let journal = if location.in_full { journal.in_full() } else { journal }.at(location.durability);
    let (mut handle, mut thread) = begin(Box::new(opened.folder), journal, told(&opened.findings))?;
    let outlets = Outlets::start(&location.evidence.outlets).map_err(StartError::Thread)?;
    handle.standing = outlets.standing();
    handle.lease = location.lease.filter(|_| location.durability == Durability::Intent);
    let Location { path, node, evidence, .. } = location;
    let notary = notary::Notary::start(path, node, evidence, &thread.progress, opened.signed, outlets);
    thread.notary = Some(notary.map_err(StartError::Thread)?);
    Ok((handle, thread))
}

/// The folder, as far as what was signed and what is there say.
fn open(location: &Location) -> Result<folder::Opened, FolderError> {
    let signer = location.evidence.signer.as_ref();
    folder::Folder::open(&location.path, location.segment_bytes_max, location.reserve_bytes, || {
        signer.and_then(|signer| notary::newest(&location.path, signer.public()))
    })
}

/// What was not as it was left stands in the record before anything else.
fn told(findings: &[folder::Finding]) -> Vec<Entry> {
    let alert = |finding: &folder::Finding| {
        metrics::counter!("sealgate_alerts_total", "detector" => "journal", "severity" => finding.severity)
            .increment(1);
        entry(Record::Alert(alert(finding.severity, finding.text.clone())))
    };
    findings.iter().map(alert).collect()
}

/// Starts the thread over any sink.
///
/// # Errors
/// There is no thread to be had.
pub fn start_with(
    sink: Box<dyn Sink + Send>,
    journal: Journal,
) -> Result<(JournalHandle, JournalThread), StartError> {
    begin(sink, journal, Vec::new())
}

fn begin(
    sink: Box<dyn Sink + Send>,
    journal: Journal,
    held: Vec<Entry>,
) -> Result<(JournalHandle, JournalThread), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(StartError::Thread)?;
    let (queue, handed) = mpsc::channel(QUEUE_MAX);
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let writable = Arc::new(AtomicBool::new(true));
    let progress = Arc::new(Progress::default());
    progress.begins(journal.head());
    let (durability, tenure) = (journal.durability(), Tenure::default());
    let syncs_elsewhere = matches!(durability, Durability::Os { .. });
    let syncer = syncs_elsewhere.then(Syncer::start).transpose().map_err(StartError::Thread)?;
    let writer = Writer {
        sink,
        journal,
        held,
        unsynced: Vec::new(),
        sync_due: None,
        syncer,
        lost: 0,
        is_short: false,
        writable: writable.clone(),
        tenure: tenure.clone(),
        progress: Arc::clone(&progress),
    };
    let thread = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let unwritten = runtime.block_on(writer.run(handed, stopped));
            // Nobody listens where the thread was dropped unclosed.
            let _ = end.send(unwritten);
        })
        .map_err(StartError::Thread)?;
    let handle =
        JournalHandle { queue, writable, durability, lease: None, tenure, standing: Standing::default() };
    Ok((handle, JournalThread { stop, ended, thread, notary: None, progress }))
}

/// What the thread owns.
struct Writer {
    sink: Box<dyn Sink + Send>,
    journal: Journal,
    /// What has happened and could not be made durable: no intents but those whose receipts were given
    /// by [`Durability::Os`]. At most [`HELD_MAX`], [`UNSYNCED_MAX`] and one batch, and one alert.
    held: Vec<Entry>,
    /// What is written and not synced. Empty where something is held.
    unsynced: Vec<Entry>,
    /// Since there is something unsynced: when it is synced.
    sync_due: Option<tokio::time::Instant>,
    /// Syncs elsewhere, with [`Durability::Os`].
    syncer: Option<Syncer>,
    /// Records that found `held` full.
    lost: u64,
    /// There is no room to reserve: no intent is taken, and what has happened is written as far as it goes.
    is_short: bool,
    writable: Arc<AtomicBool>,
    tenure: Tenure,
    progress: Arc<Progress>,
}

impl Writer {
    /// The number of records that remain unwritten.
    async fn run(mut self, mut handed: mpsc::Receiver<HandOver>, mut stopped: oneshot::Receiver<()>) -> u64 {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut open = true;
        // When a batch that nobody waits for is written at the latest.
        let mut due: Option<tokio::time::Instant> = None;
        // Where there is none intents are refused, and the reason has been logged.
        let _ = self.keep_reserve();
        let lingers = !matches!(self.journal.durability(), Durability::Os { .. });
        loop {
            self.sync_in_time();
            let room = BATCH_MAX - batch.len();
            let (write_at, sync_at) = (due, self.sync_due);
            tokio::select! {
                biased;
                _ = &mut stopped, if open => {
                    handed.close();
                    open = false;
                }
                count = handed.recv_many(&mut batch, room) => {
                    if count == 0 {
                        break;
                    }
                    let awaited = batch.iter().any(|handed| handed.reply.is_some());
                    if awaited || !lingers || batch.len() == BATCH_MAX || !open {
                        due = None;
                        self.write(&mut batch);
                    } else {
                        due.get_or_insert_with(|| tokio::time::Instant::now() + LINGER);
                    }
                }
                () = until(write_at), if write_at.is_some() => {
                    due = None;
                    self.write(&mut batch);
                }
                outcome = syncer::over(&mut self.syncer) => self.end_sync(outcome),
                () = until(sync_at), if sync_at.is_some() => {}
                () = tokio::time::sleep(RETRY_EVERY), if self.owes() || self.is_short => {
                    if self.keep_reserve().is_err() || self.owes() {
                        self.write_held();
                    }
                }
            }
        }
        if !batch.is_empty() {
            self.write(&mut batch);
        }
        self.sync();
        self.write_held();
        self.lost.saturating_add(u64::try_from(self.held.len()).unwrap_or(u64::MAX))
    }

    fn owes(&self) -> bool {
        !self.held.is_empty() || self.lost > 0
    }

    /// Writes the batch after all that is held; answers whoever waits for a part of it. Leaves it empty.
    fn write(&mut self, batch: &mut Vec<HandOver>) {
        let mut entries = Vec::with_capacity(batch.iter().map(|handed| handed.entries.len()).sum());
        let mut replies: Vec<(usize, Option<Reply>)> = Vec::with_capacity(batch.len());
        for HandOver { entries: handed, reply } in batch.drain(..) {
            let is_intent = |entry: &&Entry| matches!(entry.record, Record::Intent(_));
            replies.push((handed.iter().filter(is_intent).count(), reply));
            entries.extend(handed);
        }
        if !self.writable.load(Ordering::Relaxed) {
            // All the way to the disk, and in order.
            self.await_sync();
        }
        let asks = replies.iter().any(|(intents, _)| *intents > 0);
        let kept = if asks { self.keep_reserve() } else { Ok(()) };
        let outcome = kept.and_then(|()| self.write_held_or_say_why()).and_then(|()| self.commit(&entries));
        match outcome {
            Ok(receipts) => {
                // Nobody gets another one's: each hand-over has as many as it has intents.
                let mut receipts = receipts.into_iter();
                for (intents, reply) in replies {
                    let own: Vec<Receipt> = receipts.by_ref().take(intents).collect();
                    if let Some(reply) = reply {
                        reply.send(Ok(own));
                    }
                }
                if self.journal.is_ahead() {
                    self.unsynced.append(&mut entries);
                    if self.unsynced.len() > UNSYNCED_MAX {
                        self.sync();
                    }
                }
            }
            Err(refused) => {
                self.hold(entries);
                if self.draws_on_reserve() {
                    // The reason has been logged; what is held stays.
                    let _ = self.write_held_or_say_why();
                }
                for reply in replies.into_iter().filter_map(|(_, reply)| reply) {
                    reply.send(Err(refused.clone()));
                }
            }
        }
    }

    /// Reserves room for what will have happened, before an intent is taken.
    fn keep_reserve(&mut self) -> Result<(), Refused> {
        match self.sink.take_reserve() {
            Ok(()) if !self.is_short => Ok(()),
            Ok(()) => {
                self.is_short = false;
                if self.owes() { Ok(()) } else { self.note(Ok(())) }
            }
            Err(error) => {
                self.is_short = true;
                self.tenure.end_all();
                if self.writable.swap(false, Ordering::Relaxed) {
                    tracing::error!(%error, "{UNWRITABLE}");
                }
                Err(Refused(Arc::from(error.0)))
            }
        }
    }

    /// May what has happened be written though there is no room for more?
    fn draws_on_reserve(&mut self) -> bool {
        if self.sink.give_up_reserve() {
            self.is_short = true;
            tracing::warn!("the disk of the record is full: its reserve takes what has happened already");
        }
        self.is_short
    }

    fn sync(&mut self) {
        self.await_sync();
        if !self.journal.is_ahead() {
            return;
        }
        let began = Instant::now();
        let outcome = self.journal.sync(&mut *self.sink);
        if outcome.is_ok() {
            metrics::histogram!("sealgate_audit_sync_seconds").record(began.elapsed().as_secs_f64());
            tell_lag(&self.unsynced);
        }
        // The reason has been logged; what is not synced is held.
        let _ = self.note(outcome);
    }

    fn write_held(&mut self) {
        // The reason has been logged; what is held stays.
        if self.write_held_or_say_why().is_err() && self.draws_on_reserve() {
            let _ = self.write_held_or_say_why();
        }
    }

    fn write_held_or_say_why(&mut self) -> Result<(), Refused> {
        if self.owes() {
            self.await_sync();
        } else {
            return Ok(());
        }
        let mut owed = std::mem::take(&mut self.held);
        let held = owed.len();
        if self.lost > 0 {
            owed.push(entry(Record::Alert(loss(self.lost))));
        }
        let outcome = self.commit_synced(&owed);
        if outcome.is_ok() {
            if self.lost > 0 {
                tracing::error!(
                    records = self.lost,
                    "records were lost while the journal could not be written"
                );
            }
            self.lost = 0;
            self.tell_held();
        } else {
            owed.truncate(held);
            self.held = owed;
        }
        outcome
    }

    /// Makes what is owed durable all the way, whatever the level is.
    fn commit_synced(&mut self, owed: &[Entry]) -> Result<(), Refused> {
        let outcome = self.journal.commit_synced(&mut *self.sink, owed);
        if outcome.is_ok() {
            let count = u64::try_from(owed.len()).unwrap_or(u64::MAX);
            metrics::counter!("sealgate_audit_records_total").increment(count);
        }
        self.note(outcome)
    }

    /// Makes entries as durable as the level has it; all the way, where something has failed before.
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Receipt>, Refused> {
        let began = Instant::now();
        let mut outcome = self.journal.commit(&mut *self.sink, entries);
        if outcome.is_ok() && !self.writable.load(Ordering::Relaxed) && self.journal.is_ahead() {
            outcome = self.journal.sync(&mut *self.sink).and(outcome);
        }
        if outcome.is_ok() {
            let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            metrics::counter!("sealgate_audit_records_total").increment(count);
            if !self.journal.is_ahead() {
                metrics::histogram!("sealgate_audit_sync_seconds").record(began.elapsed().as_secs_f64());
                tell_lag(entries);
            }
        }
        self.note(outcome)
    }

    /// Notes how far the record has come, or that it has not.
    fn note<T>(&mut self, outcome: Result<T, SinkError>) -> Result<T, Refused> {
        let is_writable = outcome.is_ok() && !self.is_short;
        let was_writable = self.writable.swap(is_writable, Ordering::Relaxed);
        match outcome {
            Ok(done) => {
                self.progress.is_durable(self.journal.head(), self.journal.take_turn());
                if !self.journal.is_ahead() {
                    self.unsynced.clear();
                    self.sync_due = None;
                } else if let Durability::Os { sync_every_ms } = self.journal.durability() {
                    let every = Duration::from_millis(sync_every_ms);
                    self.sync_due.get_or_insert_with(|| tokio::time::Instant::now() + every);
                }
                if is_writable && !was_writable {
                    tracing::info!("the journal is written again");
                }
                Ok(done)
            }
            Err(error) => {
                self.tenure.end_all();
                self.forget_sync();
                // They were taken back, whoever has seen them: they are written again before anything else.
                let mut again = std::mem::take(&mut self.unsynced);
                again.append(&mut self.held);
                self.held = again;
                self.sync_due = None;
                metrics::counter!("sealgate_audit_failures_total").increment(1);
                if was_writable {
                    tracing::error!(%error, "{UNWRITABLE}");
                }
                Err(Refused(Arc::from(error.0)))
            }
        }
    }

    /// Keeps what has happened, whatever became of the sink. A refused intent has not.
    fn hold(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if matches!(entry.record, Record::Intent(_)) {
                continue;
            }
            if self.held.len() < HELD_MAX {
                self.held.push(entry);
            } else {
                self.lost = self.lost.saturating_add(1);
                metrics::counter!("sealgate_audit_lost_total").increment(1);
            }
        }
        self.tell_held();
    }

    fn tell_held(&self) {
        let held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        metrics::gauge!("sealgate_audit_held_records").set(f64::from(held));
    }
}

/// How long the oldest of them, the first, has waited to be durable.
fn tell_lag(durable: &[Entry]) {
    let Some(oldest) = durable.first() else { return };
    let waited = Duration::from_micros(now_us().saturating_sub(oldest.time_us));
    metrics::histogram!("sealgate_audit_lag_seconds").record(waited.as_secs_f64());
}

/// At a moment that has been set.
async fn until(moment: Option<tokio::time::Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

fn loss(records: u64) -> Alert {
    alert("critical", format!("{records} records were lost while the journal could not be written"))
}

/// About the record itself.
fn alert(severity: &'static str, says: String) -> Alert {
    Alert {
        who: Arc::new(Who::sealgate()),
        statement_id: None,
        fields: Arc::default(),
        detector: "journal",
        severity,
        verdict: "alert",
        rule: Arc::from(says),
        incident: Arc::from(""),
        unusual: None,
        by_end_user: false,
    }
}

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;
