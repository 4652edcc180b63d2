//! The journal's own thread: everything that is queued becomes durable with one write and
//! one sync, and only then are the intents among it answered with their receipts.
//!
//! While the sink fails, every intent is refused. What is not an intent (an outcome, a
//! refusal, an alert, a session's end) speaks of something that has happened already: it is
//! held, up to a maximum, and written first when the sink recovers; whatever was beyond the
//! maximum is counted and told of in an alert record.

mod alone;
mod folder;
mod keyrings;
mod notary;
mod outlets;
mod packing;
mod progress;
mod segments;
mod verify;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use outlets::Outlets;
use progress::Progress;

pub use alone::write_alone;
pub use folder::FolderError;
pub use keyrings::{KnownKeyrings, known_keyrings};
pub use notary::Evidence;
pub use outlets::{Outlet, Standing, Target};
pub use verify::{Asked, Bad, Found, OpenIntent, verify};

use crate::audit::{Alert, Entry, Intent, Journal, Receipt, Record, Sink, Who};

/// Records that wait for the thread. Beyond it sessions wait.
pub const QUEUE_MAX: usize = 4096;
/// Most records of one write and sync.
pub const BATCH_MAX: usize = 1024;
/// Records that wait for a failing sink. Beyond it they are counted as lost.
pub const HELD_MAX: usize = 4096;
/// A segment that has reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// How often a failing sink is tried when nothing else asks for it.
/// How long records that nobody waits for (outcomes) may wait for an intent to share its
/// sync with; as much of them a crash may lose.
const LINGER: Duration = Duration::from_millis(10);
const RETRY_EVERY: Duration = Duration::from_secs(1);

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

/// A receipt to come. A thread that died answers like one that failed.
pub struct Pending(oneshot::Receiver<Result<Receipt, Refused>>);

impl Future for Pending {
    type Output = Result<Receipt, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

fn closed() -> Refused {
    Refused(Arc::from("the journal is closed"))
}

struct Submission {
    entry: Entry,
    reply: Option<oneshot::Sender<Result<Receipt, Refused>>>,
}

/// Where sessions hand in their records.
#[derive(Clone)]
pub struct JournalHandle {
    queue: mpsc::Sender<Submission>,
    writable: Arc<AtomicBool>,
    standing: Standing,
}

impl JournalHandle {
    /// How the sinks of its checkpoints stand.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Queues a record that nobody waits for.
    ///
    /// # Errors
    /// The record comes back where the queue is full.
    pub fn submit(&self, record: Record) -> Result<(), Unqueued<Box<Record>>> {
        let submission = Submission { entry: entry(record), reply: None };
        self.queue.try_send(submission).map_err(|error| match error {
            TrySendError::Full(submission) => Unqueued::Full(Box::new(submission.entry.record)),
            TrySendError::Closed(_) => Unqueued::Closed,
        })
    }

    /// The same, waiting for room.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn submit_wait(&self, record: Record) -> Result<(), Refused> {
        let submission = Submission { entry: entry(record), reply: None };
        self.queue.send(submission).await.map_err(|_| closed())
    }

    /// Queues an intent. Its receipt comes when it is durable.
    ///
    /// # Errors
    /// The intent comes back where the queue is full.
    pub fn intent(&self, intent: Intent) -> Result<Pending, Unqueued<Box<Intent>>> {
        // Reserved first, so that nothing has to be taken apart again.
        let room = match self.queue.try_reserve() {
            Ok(room) => room,
            Err(TrySendError::Full(())) => return Err(Unqueued::Full(Box::new(intent))),
            Err(TrySendError::Closed(())) => return Err(Unqueued::Closed),
        };
        let (reply, receipt) = oneshot::channel();
        room.send(Submission { entry: entry(Record::Intent(intent)), reply: Some(reply) });
        Ok(Pending(receipt))
    }

    /// The same, waiting for room.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn intent_wait(&self, intent: Intent) -> Result<Pending, Refused> {
        let (reply, receipt) = oneshot::channel();
        let submission = Submission { entry: entry(Record::Intent(intent)), reply: Some(reply) };
        self.queue.send(submission).await.map_err(|_| closed())?;
        Ok(Pending(receipt))
    }

    /// Was the last batch made durable? For readiness, never for a decision.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }
}

fn entry(record: Record) -> Entry {
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
    /// Default: nothing is signed or packed.
    pub evidence: Evidence,
}

impl Location {
    #[must_use]
    pub fn new(path: PathBuf, node: String) -> Location {
        Location { path, node, segment_bytes_max: SEGMENT_BYTES_MAX, evidence: Evidence::default() }
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
    let (mut handle, mut thread) = begin(Box::new(opened.folder), journal, told(&opened.findings))?;
    let outlets = Outlets::start(&location.evidence.outlets).map_err(StartError::Thread)?;
    handle.standing = outlets.standing();
    let Location { path, node, evidence, .. } = location;
    let notary = notary::Notary::start(path, node, evidence, &thread.progress, opened.signed, outlets);
    thread.notary = Some(notary.map_err(StartError::Thread)?);
    Ok((handle, thread))
}

/// The folder, as far as what was signed and what is there say.
fn open(location: &Location) -> Result<folder::Opened, FolderError> {
    let signer = location.evidence.signer.as_ref();
    folder::Folder::open(&location.path, location.segment_bytes_max, || {
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
    let (queue, submissions) = mpsc::channel(QUEUE_MAX);
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let writable = Arc::new(AtomicBool::new(true));
    let progress = Arc::new(Progress::default());
    progress.begins(journal.head());
    let writer =
        Writer { sink, journal, held, lost: 0, writable: writable.clone(), progress: Arc::clone(&progress) };
    let thread = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let unwritten = runtime.block_on(writer.run(submissions, stopped));
            // Nobody listens where the thread was dropped unclosed.
            let _ = end.send(unwritten);
        })
        .map_err(StartError::Thread)?;
    let handle = JournalHandle { queue, writable, standing: Standing::default() };
    Ok((handle, JournalThread { stop, ended, thread, notary: None, progress }))
}

/// What the thread owns.
struct Writer {
    sink: Box<dyn Sink + Send>,
    journal: Journal,
    /// Not intents; at most [`HELD_MAX`] and one alert.
    held: Vec<Entry>,
    /// Records that found `held` full.
    lost: u64,
    writable: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

impl Writer {
    /// The number of records that remain unwritten.
    async fn run(
        mut self,
        mut submissions: mpsc::Receiver<Submission>,
        mut stopped: oneshot::Receiver<()>,
    ) -> u64 {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut open = true;
        // When a batch that nobody waits for is written at the latest.
        let mut due: Option<tokio::time::Instant> = None;
        loop {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                biased;
                _ = &mut stopped, if open => {
                    submissions.close();
                    open = false;
                }
                count = submissions.recv_many(&mut batch, room) => {
                    if count == 0 {
                        break;
                    }
                    let awaited = batch.iter().any(|submission| submission.reply.is_some());
                    if awaited || batch.len() == BATCH_MAX || !open {
                        due = None;
                        self.write(&mut batch);
                    } else {
                        due.get_or_insert_with(|| tokio::time::Instant::now() + LINGER);
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    due = None;
                    self.write(&mut batch);
                }
                () = tokio::time::sleep(RETRY_EVERY), if self.owes() => {
                    self.write_held();
                }
            }
        }
        if !batch.is_empty() {
            self.write(&mut batch);
        }
        self.write_held();
        self.lost.saturating_add(u64::try_from(self.held.len()).unwrap_or(u64::MAX))
    }

    fn owes(&self) -> bool {
        !self.held.is_empty() || self.lost > 0
    }

    /// Writes the batch after all that is held; answers every intent in it. Leaves it empty.
    fn write(&mut self, batch: &mut Vec<Submission>) {
        let (entries, replies): (Vec<Entry>, Vec<_>) =
            batch.drain(..).map(|submission| (submission.entry, submission.reply)).unzip();
        let outcome = self.write_held_or_say_why().and_then(|()| self.commit(&entries));
        match outcome {
            Ok(receipts) => {
                // A session that ended leaves intents that nobody waits for: they have their
                // receipts too, and nobody else may get them.
                let is_intent = |entry: &Entry| matches!(entry.record, Record::Intent(_));
                let intents = entries.iter().zip(replies).filter(|(entry, _)| is_intent(entry));
                for ((_, reply), receipt) in intents.zip(receipts) {
                    // The session may be gone.
                    let _ = reply.map(|reply| reply.send(Ok(receipt)));
                }
            }
            Err(refused) => {
                for reply in replies.into_iter().flatten() {
                    let _ = reply.send(Err(refused.clone()));
                }
                self.hold(entries);
            }
        }
    }

    fn write_held(&mut self) {
        // The reason has been logged; what is held stays.
        let _ = self.write_held_or_say_why();
    }

    fn write_held_or_say_why(&mut self) -> Result<(), Refused> {
        if !self.owes() {
            return Ok(());
        }
        let mut owed = std::mem::take(&mut self.held);
        let held = owed.len();
        if self.lost > 0 {
            owed.push(entry(Record::Alert(loss(self.lost))));
        }
        let outcome = self.commit(&owed);
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
        outcome.map(|_| ())
    }

    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Receipt>, Refused> {
        let began = Instant::now();
        let outcome = self.journal.commit(&mut *self.sink, entries);
        let was_writable = self.writable.swap(outcome.is_ok(), Ordering::Relaxed);
        match outcome {
            Ok(receipts) => {
                self.progress.is_durable(self.journal.head(), self.journal.take_turn());
                let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                metrics::counter!("sealgate_audit_records_total").increment(count);
                metrics::histogram!("sealgate_audit_sync_seconds").record(began.elapsed().as_secs_f64());
                if !was_writable {
                    tracing::info!("the journal is written again");
                }
                Ok(receipts)
            }
            Err(error) => {
                metrics::counter!("sealgate_audit_failures_total").increment(1);
                if was_writable {
                    tracing::error!(%error, "the journal cannot be written: access to classified fields is refused");
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
    }
}

#[cfg(test)]
mod tests;
