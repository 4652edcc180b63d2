//! The thread over real files, a real full disk, and sinks that stall.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::mpsc as blocking;
use std::task::{Context, Poll};

use super::*;
use crate::audit::{
    Attribution, Durability, Execution, Expansion, FieldUse, Intent, Outcome, SessionRecord, SinkError,
};
use crate::statement::Action;

/// A folder of its own, removed at the end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("sealgate-journal-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(super) fn audit(&self) -> PathBuf {
        self.0.join("audit")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn who() -> Arc<Who> {
    let word: Arc<str> = "w".into();
    Arc::new(Who {
        session: 1,
        user: word.clone(),
        database: word.clone(),
        application: word.clone(),
        client: word.clone(),
        region: word,
        certificate: None,
        end_user: None,
        end_user_auth: "stated",
        purpose: None,
        auth: "relay",
    })
}

pub(super) fn intent(number: u64) -> Intent {
    Intent {
        who: who(),
        execution: Execution { session: 1, number },
        action: Action::Read,
        attribution: Attribution::Known,
        fields: [FieldUse { field: "a.b.c".into(), class: "x".into(), mode: "random" }].into(),
        fingerprint: "f".into(),
        statement: "SELECT c FROM b".into(),
        rule: "default",
        replication: None,
        lease: None,
    }
}

pub(super) fn outcome(number: u64) -> Record {
    Record::Outcome(Outcome {
        who: who(),
        execution: Execution { session: 1, number },
        action: Action::Read,
        attribution: Attribution::Known,
        fields: Arc::new([]),
        fingerprint: "f".into(),
        rows: 1,
        cells: 1,
        bytes: 1,
        sqlstate: None,
        committed: None,
        replication: None,
        lease: None,
        executions: None,
        partial: false,
        subjects: None,
    })
}

pub(super) fn queued<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap()
}

/// Every record of a folder in the order of its segments, in full; each line must be one.
pub(super) fn records(folder: &Path) -> Vec<serde_json::Value> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    names.sort_by_key(|path| path.to_str().unwrap().rsplit_once('-').unwrap().1.to_owned());
    let texts: Vec<String> = names.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().all(|text| text.is_empty() || text.ends_with('\n')), "a torn line");
    let full = |text: &String| {
        let mut expansion = Expansion::default();
        let line = |line: &str| serde_json::from_slice(&expansion.line(line.as_bytes())).unwrap();
        text.lines().map(line).collect::<Vec<_>>()
    };
    texts.iter().flat_map(full).collect()
}

pub(super) fn seqs(records: &[serde_json::Value]) -> Vec<u64> {
    records.iter().map(|record| record["seq"].as_u64().unwrap()).collect()
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

fn open(path: PathBuf) -> (JournalHandle, JournalThread) {
    start(&Location::new(path, "n".into())).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) async fn written(handle: &JournalHandle, number: u64) -> Result<Receipt, Refused> {
    queued(handle.intent(intent(number))).await
}

#[tokio::test]
async fn an_intent_that_nobody_waits_for_takes_no_other_ones_receipt() {
    let folder = Scratch::new("unawaited");
    let (handle, thread) = open(folder.audit());
    for number in (0..200).step_by(2) {
        // Both in one batch: the thread takes what is queued.
        queued(handle.submit(Record::Intent(intent(number))));
        let receipt = queued(handle.intent(intent(number + 1))).await.unwrap();
        assert_eq!(receipt.execution(), intent(number + 1).execution);
    }
    thread.close().await.unwrap();
}

#[tokio::test]
async fn a_receipt_comes_when_its_record_is_on_file() {
    let scratch = Scratch::new("receipt");
    let (handle, thread) = open(scratch.audit());
    let receipt = written(&handle, 9).await.unwrap();
    assert_eq!(receipt.execution(), Execution { session: 1, number: 9 });
    let found = records(&scratch.audit());
    assert_eq!((found.len(), &found[0]["statement_id"], &found[0]["node"]), (1, &9.into(), &"n".into()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.audit()), 0o700);
    for file in files(&scratch.audit(), "") {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    thread.close().await.unwrap();
}

#[tokio::test]
async fn closing_writes_all_that_is_queued_and_takes_no_more() {
    let scratch = Scratch::new("close");
    let (handle, thread) = open(scratch.audit());
    for number in 0..3_000 {
        handle.submit_wait(outcome(number)).await.unwrap();
    }
    thread.close().await.unwrap();
    assert!(matches!(handle.submit(outcome(0)), Err(Unqueued::Closed)));
    assert!(matches!(handle.intent(intent(0)), Err(Unqueued::Closed)));
    assert!(handle.submit_wait(outcome(0)).await.is_err());
    assert!(handle.intent_wait(intent(0)).await.is_err());
    assert_eq!(seqs(&records(&scratch.audit())), (1..=3_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn numbers_go_on_after_a_restart_in_a_new_segment() {
    let scratch = Scratch::new("restart");
    for round in 1..=3 {
        let (handle, thread) = open(scratch.audit());
        written(&handle, round).await.unwrap();
        written(&handle, round).await.unwrap();
        thread.close().await.unwrap();
    }
    assert_eq!(seqs(&records(&scratch.audit())), [1, 2, 3, 4, 5, 6]);
    assert_eq!(files(&scratch.audit(), ".jsonl").len(), 3);
}

#[tokio::test]
async fn a_full_segment_is_followed_by_another() {
    let scratch = Scratch::new("rotate");
    let location = Location { segment_bytes_max: 1_000, ..Location::new(scratch.audit(), "n".into()) };
    let (handle, thread) = start(&location).unwrap();
    for number in 1..=20 {
        written(&handle, number).await.unwrap();
    }
    thread.close().await.unwrap();
    assert_eq!(seqs(&records(&scratch.audit())), (1..=20).collect::<Vec<_>>());
    let segments = files(&scratch.audit(), ".jsonl");
    assert!(segments.len() > 3, "{segments:?}");
    assert!(segments.iter().all(|path| fs::metadata(path).unwrap().len() < 2_000));
}

#[tokio::test]
async fn what_a_crash_tore_is_set_aside_and_numbers_go_on() {
    for (name, torn) in [
        ("half", "{\"seq\":3,\"ti"),
        ("whole", "{\"seq\":3}"),
        ("ended", "{\"seq\":3,\"ti\n"),
        ("zeros", "\0\0\0\n\0\0"),
    ] {
        let scratch = Scratch::new(name);
        let (handle, thread) = open(scratch.audit());
        written(&handle, 1).await.unwrap();
        written(&handle, 2).await.unwrap();
        thread.close().await.unwrap();
        let segment = files(&scratch.audit(), ".jsonl").remove(0);
        fs::OpenOptions::new().append(true).open(&segment).unwrap().write_all(torn.as_bytes()).unwrap();

        let (handle, thread) = open(scratch.audit());
        written(&handle, 3).await.unwrap();
        thread.close().await.unwrap();
        let found = records(&scratch.audit());
        assert_eq!(seqs(&found), [1, 2, 3, 4], "{name}");
        assert!(found[2]["rule"].as_str().unwrap().contains("torn by a crash"), "{name}: {}", found[2]);
        assert_eq!(found[3]["statement_id"], 3, "{name}");
        let aside = files(&scratch.audit(), ".torn").remove(0);
        assert_eq!(fs::read_to_string(aside).unwrap(), torn, "{name}");
    }
}

#[tokio::test]
async fn a_segment_with_nothing_whole_in_it_gives_its_number_back() {
    let scratch = Scratch::new("first");
    fs::create_dir(scratch.audit()).unwrap();
    let name = format!("audit-20260101T000000.000000Z-{:020}.jsonl", 77);
    fs::write(scratch.audit().join(name), "{\"se").unwrap();
    let (handle, thread) = open(scratch.audit());
    written(&handle, 1).await.unwrap();
    thread.close().await.unwrap();
    // The alert that a crash tore something stands first.
    assert_eq!(seqs(&records(&scratch.audit())), [77, 78]);
}

#[tokio::test]
async fn a_folder_has_one_writer() {
    let scratch = Scratch::new("lock");
    let (_handle, thread) = open(scratch.audit());
    let second = start(&Location::new(scratch.audit(), "n".into()));
    let told = second.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("another process writes to it"), "{told}");
    thread.close().await.unwrap();
    let (_handle, thread) = open(scratch.audit());
    thread.close().await.unwrap();
}

/// A sink in the test's hands: says when it is asked to sync and waits to be told how it went.
struct Held {
    lines: Arc<std::sync::Mutex<Vec<String>>>,
    pending: Vec<String>,
    asked: blocking::SyncSender<usize>,
    answers: blocking::Receiver<Result<(), SinkError>>,
}

impl Sink for Held {
    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.pending.push(String::from_utf8(line.to_vec()).unwrap());
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.asked.send(self.pending.len()).unwrap();
        self.answers.recv().unwrap()?;
        self.lines.lock().unwrap().append(&mut self.pending);
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        self.pending.clear();
        Ok(())
    }
}

struct Hand {
    handle: JournalHandle,
    thread: JournalThread,
    asked: blocking::Receiver<usize>,
    answers: blocking::SyncSender<Result<(), SinkError>>,
    lines: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Hand {
    fn new() -> Hand {
        let (asked, asks) = blocking::sync_channel(1 << 16);
        let (answers, told) = blocking::sync_channel(1 << 16);
        let lines = Arc::default();
        let sink = Held { lines: Arc::clone(&lines), pending: Vec::new(), asked, answers: told };
        let (handle, thread) = start_with(Box::new(sink), Journal::new("n".into(), 1)).unwrap();
        Hand { handle, thread, asked: asks, answers, lines }
    }

    /// Lines of the sync that is now under way.
    fn asked(&self) -> usize {
        self.asked.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn fail(&self) {
        self.answers.send(Err(SinkError("full".into()))).unwrap();
    }

    fn succeed(&self) {
        self.answers.send(Ok(())).unwrap();
    }

    fn kinds(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let records = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        records.map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
    }
}

/// One intent, handed in alone.
pub(super) struct Pending {
    answers: Answers,
    _desk: Desk,
}

impl Future for Pending {
    type Output = Result<Receipt, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::pin::pin!(self.answers.next()).poll(context);
        answer.map(|answer| answer.map(|mut receipts| receipts.remove(0)))
    }
}

pub(super) trait Asks {
    fn intent(&self, intent: Intent) -> Result<Pending, Unqueued<()>>;
    async fn intent_wait(&self, intent: Intent) -> Result<Pending, Refused>;
}

impl Asks for JournalHandle {
    fn intent(&self, intent: Intent) -> Result<Pending, Unqueued<()>> {
        // The runtime would say that it waits after so many answers at once, too.
        let handing = std::pin::pin!(tokio::task::unconstrained(self.intent_wait(intent)));
        match handing.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Ok(pending)) => Ok(pending),
            Poll::Ready(Err(_)) => Err(Unqueued::Closed),
            Poll::Pending => Err(Unqueued::Full(())),
        }
    }

    async fn intent_wait(&self, intent: Intent) -> Result<Pending, Refused> {
        let (desk, answers) = self.desk();
        desk.hand_over(vec![entry(Record::Intent(intent))], true).await?;
        Ok(Pending { answers, _desk: desk })
    }
}

async fn is_ready(pending: &mut Pending) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *pending).poll(context).is_ready())).await
}

#[tokio::test]
async fn nothing_is_answered_before_the_sync_and_all_that_waits_shares_the_next() {
    let hand = Hand::new();
    let mut first = queued(hand.handle.intent(intent(0)));
    assert_eq!(hand.asked(), 1);
    let mut others: Vec<_> = (1..=60).map(|number| queued(hand.handle.intent(intent(number)))).collect();
    assert!(!is_ready(&mut first).await);
    hand.succeed();
    assert_eq!(hand.asked(), 60, "one sync for all that waited");
    assert_eq!(first.await.unwrap().execution().number, 0);
    for other in &mut others {
        assert!(!is_ready(other).await);
    }
    hand.succeed();
    for (other, number) in others.into_iter().zip(1..) {
        assert_eq!(other.await.unwrap().execution().number, number);
    }
    hand.thread.close().await.unwrap();
}

#[tokio::test]
async fn a_stalled_sink_fills_the_queue_and_no_further() {
    let hand = Hand::new();
    let first = queued(hand.handle.intent(intent(0)));
    assert_eq!(hand.asked(), 1);
    for number in 0..QUEUE_MAX {
        queued(hand.handle.submit(outcome(number as u64)));
    }
    let Err(Unqueued::Full(record)) = hand.handle.submit(outcome(7)) else {
        panic!("room beyond the maximum")
    };
    assert_eq!(record.kind(), "outcome");
    let Err(Unqueued::Full(())) = hand.handle.intent(intent(8)) else { panic!("room beyond the maximum") };
    let waiting = tokio::spawn({
        let handle = hand.handle.clone();
        async move {
            handle.submit_wait(*record).await.unwrap();
            handle.intent_wait(intent(8)).await.unwrap().await
        }
    });
    for _ in 0..16 {
        hand.succeed();
    }
    assert_eq!(first.await.unwrap().execution().number, 0);
    assert_eq!(waiting.await.unwrap().unwrap().execution().number, 8);
    hand.thread.close().await.unwrap();
    assert_eq!(hand.lines.lock().unwrap().len(), QUEUE_MAX + 3, "not one is lost");
}

#[tokio::test]
async fn a_failing_sink_refuses_intents_and_keeps_what_has_happened() {
    let hand = Hand::new();
    let refused = queued(hand.handle.intent(intent(1)));
    assert_eq!(hand.asked(), 1);
    queued(hand.handle.submit(outcome(1)));
    let also_refused = queued(hand.handle.intent(intent(2)));
    hand.fail();
    assert_eq!(refused.await, Err(Refused("full".into())));
    assert_eq!(hand.asked(), 2);
    hand.fail();
    assert_eq!(also_refused.await, Err(Refused("full".into())));
    assert!(!hand.handle.is_writable());
    assert_eq!(hand.asked(), 1, "tried again by itself, with what has happened");
    hand.fail();
    let session = SessionRecord {
        who: who(),
        event: "end",
        keyring: None,
        durability: Durability::Intent,
        lease: None,
    };
    queued(hand.handle.submit(Record::Session(session)));
    assert_eq!(hand.asked(), 1, "what is older goes first");
    hand.succeed();
    assert_eq!(hand.asked(), 1);
    hand.succeed();
    let granted = queued(hand.handle.intent(intent(3)));
    hand.succeed();
    assert_eq!(granted.await.unwrap().execution().number, 3);
    assert!(hand.handle.is_writable());
    assert_eq!(hand.kinds(), ["outcome", "session", "intent"]);
    hand.thread.close().await.unwrap();
}

/// Fails while it is told to.
struct Switch {
    broken: Arc<AtomicBool>,
    lines: Arc<std::sync::Mutex<Vec<String>>>,
    pending: Vec<String>,
}

impl Sink for Switch {
    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.pending.push(String::from_utf8(line.to_vec()).unwrap());
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(SinkError("broken".into()));
        }
        self.lines.lock().unwrap().append(&mut self.pending);
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        self.pending.clear();
        Ok(())
    }
}

#[tokio::test]
async fn what_is_lost_beyond_the_maximum_is_told_of() {
    let (broken, lines) = (Arc::new(AtomicBool::new(true)), Arc::<std::sync::Mutex<Vec<String>>>::default());
    let sink = Switch { broken: broken.clone(), lines: lines.clone(), pending: Vec::new() };
    let (handle, thread) = start_with(Box::new(sink), Journal::new("n".into(), 1)).unwrap();
    for number in 0..HELD_MAX + 10 {
        handle.submit_wait(outcome(number as u64)).await.unwrap();
    }
    assert!(handle.intent_wait(intent(1)).await.unwrap().await.is_err());
    broken.store(false, Ordering::SeqCst);
    handle.intent_wait(intent(2)).await.unwrap().await.unwrap();
    thread.close().await.unwrap();
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), HELD_MAX + 2);
    assert!(lines[HELD_MAX].contains("\"kind\":\"alert\""), "{}", lines[HELD_MAX]);
    assert!(lines[HELD_MAX].contains("journal (critical): 10 records were lost"), "{}", lines[HELD_MAX]);
}

#[tokio::test]
async fn closing_over_a_broken_sink_says_how_much_is_unwritten() {
    let broken = Arc::new(AtomicBool::new(true));
    let sink = Switch { broken, lines: Arc::default(), pending: Vec::new() };
    let (handle, thread) = start_with(Box::new(sink), Journal::new("n".into(), 1)).unwrap();
    for number in 0..5 {
        queued(handle.submit(outcome(number)));
    }
    let refused = queued(handle.intent(intent(1)));
    assert_eq!(thread.close().await, Err(Unwritten { records: 5 }));
    assert!(refused.await.is_err());
}

/// The device that is always full.
struct Full(fs::File);

impl Sink for Full {
    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.0.write_all(line).map_err(|error| SinkError(error.to_string()))
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.0.sync_data().map_err(|error| SinkError(error.to_string()))
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_device_refuses_every_intent() {
    let device = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (handle, thread) = start_with(Box::new(Full(device)), Journal::new("n".into(), 1)).unwrap();
    for number in 0..3 {
        let refused = written(&handle, number).await.unwrap_err();
        assert!(refused.to_string().contains("No space left"), "{refused}");
    }
    thread.close().await.unwrap();
}

/// A file system of 64 KiB, unmounted at the end.
pub(super) struct SmallDisk(pub(super) Scratch);

impl SmallDisk {
    pub(super) fn new(name: &str) -> SmallDisk {
        SmallDisk::of(name, "tmpfs")
    }

    /// ramfs takes no heed of the size.
    pub(super) fn of(name: &str, kind: &str) -> SmallDisk {
        let scratch = Scratch::new(name);
        let mount = Command::new("mount")
            .args(["-t", kind, "-o", "size=64k,mode=0700", kind])
            .arg(&scratch.0)
            .status()
            .unwrap();
        assert!(mount.success(), "root can mount a tmpfs");
        SmallDisk(scratch)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0.0).status();
    }
}

/// Needs a small file system, which only root can mount; for others the device that is always
/// full, above, has to do.
#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room_and_leaves_no_torn_line() {
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    if !is_root {
        assert!(Path::new("/dev/full").exists(), "the test above has run");
        return;
    }
    let disk = SmallDisk::new("full");
    let (folder, ballast) = (disk.0.audit(), disk.0.0.join("ballast"));
    fs::write(&ballast, vec![b'x'; 32 << 10]).unwrap();
    let (handle, thread) = open(folder.clone());
    let mut acknowledged = 0;
    let refused = loop {
        match written(&handle, acknowledged + 1).await {
            Ok(_) => acknowledged += 1,
            Err(refused) => break refused,
        }
        assert!(acknowledged < 1_000, "the disk does not fill");
    };
    assert!(refused.to_string().contains("No space left"), "{refused}");
    assert!(acknowledged > 10);
    queued(handle.submit(outcome(acknowledged)));
    for number in 0..3 {
        assert!(written(&handle, 5_000 + number).await.is_err());
    }
    let found = records(&folder);
    assert_eq!(seqs(&found), (1..=acknowledged).collect::<Vec<_>>(), "each acknowledged record, no other");
    assert_eq!(files(&folder, ".jsonl").len(), 1, "no empty segment for each attempt");

    fs::remove_file(&ballast).unwrap();
    assert_eq!(written(&handle, 9_000).await.unwrap().execution().number, 9_000);
    thread.close().await.unwrap();
    let found = records(&folder);
    assert_eq!(seqs(&found), (1..=acknowledged + 2).collect::<Vec<_>>());
    let ends: Vec<_> = found.iter().rev().take(2).map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(ends, ["intent", "outcome"]);
}

/// Writes until it is killed, and says of each record when it is acknowledged.
async fn write_until_killed(folder: PathBuf) -> ! {
    let (handle, _thread) = open(folder);
    for number in 1.. {
        for _ in 0..3 {
            handle.submit_wait(outcome(number)).await.unwrap();
        }
        written(&handle, number).await.unwrap();
        std::io::stdout().write_all(format!("\nacknowledged {number}\n").as_bytes()).unwrap();
    }
    unreachable!("numbers do not end")
}

/// The writer is this test itself, started anew with a variable that names the folder.
#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    const FOLDER: &str = "SEALGATE_TEST_KILLED_WRITER";
    if let Ok(folder) = std::env::var(FOLDER) {
        write_until_killed(folder.into()).await;
    }
    let scratch = Scratch::new("kill");
    let mut acknowledged = 0;
    for round in 1..=3_u64 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::journal::tests::what_was_acknowledged_outlives_a_kill"])
            .env(FOLDER, scratch.audit())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let said = std::io::BufReader::new(writer.stdout.take().unwrap());
        let heard = std::io::BufRead::lines(said).map_while(Result::ok);
        let told = heard.filter(|line| line.starts_with("acknowledged ")).take(40 * round as usize).count();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(told, 40 * round as usize);
        acknowledged += told;

        let (_handle, thread) = open(scratch.audit());
        thread.close().await.unwrap();
        let found = records(&scratch.audit());
        assert_eq!(seqs(&found), (1..=found.len() as u64).collect::<Vec<_>>());
        let intents = found.iter().filter(|record| record["kind"] == "intent").count();
        assert!(intents >= acknowledged, "{intents} of {acknowledged}");
    }
}
