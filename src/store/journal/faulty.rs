//! Both ends of the journal over a disk that fails wherever it can: whatever is acknowledged stays, and
//! nothing else is taken for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::tests::{intent, outcome};
use super::*;
use crate::audit::{SinkError, Syncing};

/// A line that has come, or a piece of one.
struct Line {
    seq: u64,
    number: u64,
    is_intent: bool,
    is_whole: bool,
}

impl Line {
    fn of(seq: u64, line: &[u8], is_whole: bool) -> Line {
        let read: serde_json::Value = serde_json::from_slice(line).unwrap();
        let number = read["statement_id"].as_u64().unwrap();
        Line { seq, number, is_intent: read["kind"] == "intent", is_whole }
    }
}

/// A file of which the operating system has more than the disk.
#[derive(Default)]
struct Disk {
    durable: Vec<Line>,
    /// Handed to the operating system; some of it is lost by a sync that fails.
    handed: Vec<Line>,
    /// Still in this process.
    appended: Vec<Line>,
    /// One of so many calls fails; none: they all succeed.
    fails: Option<u64>,
    random: u64,
    /// How often something was taken back.
    undone: u64,
    /// Syncs that another thread carried out.
    detached: u64,
    /// So much of what is handed the last of them has made durable, if it is not taken back.
    reached: usize,
}

impl Disk {
    fn roll(&mut self, sides: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % sides
    }

    fn call(&mut self, what: &str) -> Result<(), SinkError> {
        let fails = self.fails.is_some_and(|sides| self.roll(sides) == 0);
        if fails { Err(SinkError(what.to_owned())) } else { Ok(()) }
    }

    /// What a look at the file finds of an execution's intent.
    fn holds(&self, number: u64, durably: bool) -> bool {
        let is_it = |line: &Line| line.is_intent && line.number == number;
        self.durable.iter().any(is_it) || !durably && self.handed.iter().any(is_it)
    }
}

struct Shared(Arc<Mutex<Disk>>);

impl Sink for Shared {
    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), SinkError> {
        let mut disk = self.0.lock().unwrap();
        // A short write leaves a piece.
        let failed = disk.call("append");
        disk.appended.push(Line::of(seq, line, failed.is_ok()));
        failed
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        let mut disk = self.0.lock().unwrap();
        disk.call("hand")?;
        let mut appended = std::mem::take(&mut disk.appended);
        disk.handed.append(&mut appended);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.hand()?;
        let mut disk = self.0.lock().unwrap();
        if let Err(error) = disk.call("sync") {
            // As an operating system does: it is clean now, and gone. A second sync would succeed.
            disk.handed.clear();
            return Err(error);
        }
        let mut handed = std::mem::take(&mut disk.handed);
        disk.durable.append(&mut handed);
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        let mut disk = self.0.lock().unwrap();
        disk.call("undo")?;
        disk.handed.clear();
        disk.appended.clear();
        disk.undone += 1;
        disk.reached = 0;
        Ok(())
    }

    fn detach_sync(&mut self) -> Option<Syncing> {
        let (covers, undone) = {
            let mut disk = self.0.lock().unwrap();
            if disk.roll(8) == 0 {
                return None;
            }
            (disk.handed.len(), disk.undone)
        };
        let disk = Arc::clone(&self.0);
        Some(Box::new(move || {
            std::thread::yield_now();
            let mut disk = disk.lock().unwrap();
            disk.detached += 1;
            let outcome = disk.call("detached sync");
            if disk.undone == undone && outcome.is_ok() {
                disk.reached = covers;
            } else if disk.undone == undone {
                disk.handed.drain(..covers);
            }
            outcome
        }))
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        let mut disk = self.0.lock().unwrap();
        disk.call("settle")?;
        let reached = std::mem::take(&mut disk.reached);
        let settled: Vec<Line> = disk.handed.drain(..reached).collect();
        disk.durable.extend(settled);
        Ok(())
    }
}

/// Hands over for a while, and says which intents were acknowledged. Each is looked for as it is.
async fn play(durability: Durability, seed: u64) -> (BTreeMap<u64, bool>, Arc<Mutex<Disk>>) {
    let disk = Disk { random: seed, fails: Some(4 + seed % 9), ..Disk::default() };
    let disk = Arc::new(Mutex::new(disk));
    let journal = Journal::new("n".into(), 1).at(durability);
    let (handle, thread) = start_with(Box::new(Shared(Arc::clone(&disk))), journal).unwrap();
    let mut fates = BTreeMap::new();
    let (desk, mut answers) = handle.desk();
    let mut number = 0;
    for turn in 0..120 {
        if turn == 100 {
            disk.lock().unwrap().fails = None;
        }
        let mut handed = Vec::new();
        for _ in 0..1 + turn % 3 {
            let mut entries = Vec::new();
            let first = number;
            for _ in 0..1 + turn % 4 {
                entries.push(entry(Record::Intent(intent(number))));
                entries.push(entry(outcome(number)));
                number += 1;
            }
            desk.hand_over(entries, true).await.unwrap();
            handed.push(first..number);
        }
        for of in handed {
            let answer = answers.next().await;
            let found = disk.lock().unwrap();
            match answer {
                Ok(receipts) => {
                    let bound: Vec<u64> = receipts.iter().map(|receipt| receipt.execution().number).collect();
                    assert_eq!(bound, of.clone().collect::<Vec<_>>(), "its own receipts, and all of them");
                    let durably = durability == Durability::Intent;
                    // With `os` a sync that failed meanwhile may have taken it: then it is written again.
                    for number in of {
                        assert!(
                            !durably || found.holds(number, true),
                            "{number} is acknowledged and not there"
                        );
                        fates.insert(number, true);
                    }
                }
                Err(_) => fates.extend(of.map(|number| (number, false))),
            }
        }
    }
    thread.close().await.unwrap();
    (fates, disk)
}

#[tokio::test]
async fn whatever_fails_an_acknowledged_intent_stays_and_a_refused_one_is_never_there() {
    let (mut refused, mut detached) = (0, 0);
    for seed in 0..20 {
        for durability in [Durability::Intent, Durability::Full, Durability::Os { sync_every_ms: 1 }] {
            let (fates, disk) = play(durability, seed).await;
            let disk = disk.lock().unwrap();
            let seqs: Vec<u64> = disk.durable.iter().map(|line| line.seq).collect();
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{durability:?} {seed}");
            assert!(disk.durable.iter().all(|line| line.is_whole), "a piece of a line");
            for (number, acknowledged) in &fates {
                assert_eq!(
                    disk.holds(*number, true),
                    *acknowledged,
                    "{durability:?} {seed}: {number} was {}",
                    if *acknowledged { "acknowledged" } else { "refused" }
                );
                let of_it = disk.durable.iter().filter(|line| line.number == *number).count();
                assert_eq!(of_it, 1 + usize::from(*acknowledged), "each record once, and every outcome");
            }
            refused += fates.values().filter(|acknowledged| !**acknowledged).count();
            assert!(fates.values().any(|acknowledged| *acknowledged));
            detached += disk.detached;
        }
    }
    assert!(refused > 300, "much must fail: {refused}");
    assert!(detached > 20, "syncs go on beside hand-overs: {detached}");
}

#[tokio::test]
async fn with_os_a_receipt_comes_before_the_sync_and_none_after_one_that_failed_until_all_is_written_again() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let journal = Journal::new("n".into(), 1).at(Durability::Os { sync_every_ms: 50 });
    let (handle, thread) = start_with(Box::new(Shared(Arc::clone(&disk))), journal).unwrap();
    let (desk, mut answers) = handle.desk();
    let began = handle.tenure().now();
    desk.hand_over(vec![entry(Record::Intent(intent(1)))], true).await.unwrap();
    assert_eq!(answers.next().await.unwrap().len(), 1);
    {
        let mut disk = disk.lock().unwrap();
        assert!(disk.holds(1, false) && !disk.holds(1, true), "written, and not synced");
        // Every call fails from here on.
        disk.fails = Some(1);
    }
    while handle.is_writable() {
        tokio::task::yield_now().await;
    }
    assert!(!disk.lock().unwrap().holds(1, true), "the sync has failed");
    assert_ne!(handle.tenure().now(), began, "and has ended all leases");
    desk.hand_over(vec![entry(Record::Intent(intent(2)))], true).await.unwrap();
    assert!(answers.next().await.is_err());
    disk.lock().unwrap().fails = None;
    desk.hand_over(vec![entry(Record::Intent(intent(3)))], true).await.unwrap();
    assert_eq!(answers.next().await.unwrap().len(), 1);
    {
        let disk = disk.lock().unwrap();
        assert!(disk.holds(1, true), "written again, and synced before anything is acknowledged");
        assert!(disk.holds(3, false) && !disk.holds(2, false));
    }
    thread.close().await.unwrap();
}

/// Its detached syncs hang until they are told how they went.
struct Hanging {
    lines: Arc<Mutex<usize>>,
    asked: std::sync::mpsc::SyncSender<()>,
    told: Arc<Mutex<std::sync::mpsc::Receiver<Result<(), SinkError>>>>,
}

impl Sink for Hanging {
    fn append(&mut self, _seq: u64, _line: &[u8]) -> Result<(), SinkError> {
        *self.lines.lock().unwrap() += 1;
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn detach_sync(&mut self) -> Option<Syncing> {
        let (asked, told) = (self.asked.clone(), Arc::clone(&self.told));
        Some(Box::new(move || {
            asked.send(()).unwrap();
            told.lock().unwrap().recv().unwrap()
        }))
    }
}

#[tokio::test]
async fn with_os_hand_overs_are_answered_while_a_sync_hangs() {
    let (asked, asks) = std::sync::mpsc::sync_channel(1_000);
    let (tell, told) = std::sync::mpsc::sync_channel(1_000);
    let lines: Arc<Mutex<usize>> = Arc::default();
    let sink = Hanging { lines: Arc::clone(&lines), asked, told: Arc::new(Mutex::new(told)) };
    let journal = Journal::new("n".into(), 1).at(Durability::Os { sync_every_ms: 1 });
    let (handle, thread) = start_with(Box::new(sink), journal).unwrap();
    let (desk, mut answers) = handle.desk();
    desk.hand_over(vec![entry(Record::Intent(intent(0)))], true).await.unwrap();
    assert_eq!(answers.next().await.unwrap().len(), 1);
    asks.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    // It hangs now, and nobody waits for it.
    for number in 1..=500 {
        desk.hand_over(vec![entry(Record::Intent(intent(number)))], true).await.unwrap();
        assert_eq!(answers.next().await.unwrap()[0].execution().number, number);
    }
    assert_eq!((*lines.lock().unwrap(), asks.try_recv().is_err()), (501, true), "and none other has begun");
    // What it comes to counts all the same: of one that fails nothing is taken for durable.
    tell.send(Err(SinkError("the disk has hung".into()))).unwrap();
    while handle.is_writable() {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        let _ = tell.try_send(Ok(()));
    }
    desk.hand_over(vec![entry(Record::Intent(intent(501)))], true).await.unwrap();
    assert_eq!(answers.next().await.unwrap().len(), 1);
    assert_eq!(*lines.lock().unwrap(), 501 + 501 + 1, "all of it is written again, once");
    thread.close().await.unwrap();
}
