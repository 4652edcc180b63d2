//! A thread that syncs what the journal's thread has written, with `durability = "os"`, so that a sync holds up no
//! hand-over. There is one sync at a time; the journal's thread waits for it where it has to sync by itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Instant;

use tokio::sync::Notify;

use super::{Writer, tell_lag};
use crate::audit::{SinkError, Syncing};

type Outcome = Result<(), SinkError>;

pub(super) struct Syncer {
    asked: SyncSender<Syncing>,
    done: Receiver<Outcome>,
    /// Told when there may be something in `done`.
    notice: Arc<Notify>,
    under_way: Option<UnderWay>,
    /// The next one is due, and begins when this one is over.
    is_overdue: bool,
}

/// Tells of the thread's end, however it comes.
struct Farewell(Arc<Notify>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct UnderWay {
    /// Of the records that are written and not synced: so many are covered by it.
    covers: usize,
    began: Instant,
}

impl Syncer {
    /// It ends when it is dropped.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start() -> std::io::Result<Syncer> {
        let (asked, asks) = sync_channel::<Syncing>(1);
        let (tell, done) = sync_channel(1);
        let notice = Arc::new(Notify::new());
        let farewell = Farewell(Arc::clone(&notice));
        let syncs = move || {
            // Dropped in the other order: whoever is told finds the channel closed.
            let (farewell, tell) = (farewell, tell);
            while let Ok(syncing) = asks.recv() {
                if tell.send(syncing()).is_err() {
                    break;
                }
                farewell.0.notify_one();
            }
            drop(tell);
        };
        std::thread::Builder::new().name("journal-sync".to_owned()).spawn(syncs)?;
        Ok(Syncer { asked, done, notice, under_way: None, is_overdue: false })
    }

    /// What came of the one that is under way, where it is over.
    fn try_over(&mut self) -> Option<Outcome> {
        self.under_way.as_ref()?;
        match self.done.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(died())),
        }
    }

    /// Waits for the one that is under way.
    fn wait(&mut self) -> Option<Outcome> {
        self.under_way.as_ref()?;
        Some(self.done.recv().unwrap_or_else(|_| Err(died())))
    }
}

/// Of the one that is under way. Never, where none is.
pub(super) async fn over(syncer: &mut Option<Syncer>) -> Outcome {
    let Some(syncer) = syncer else { return std::future::pending().await };
    loop {
        if let Some(outcome) = syncer.try_over() {
            return outcome;
        }
        syncer.notice.notified().await;
    }
}

fn died() -> SinkError {
    SinkError("the thread that syncs the record has died".to_owned())
}

impl Writer {
    /// Begins a sync of what is written elsewhere; here, where that cannot be.
    fn begin_sync(&mut self) {
        self.sync_due = None;
        let Some(syncer) = &mut self.syncer else { return self.sync() };
        if syncer.under_way.is_some() {
            syncer.is_overdue = true;
            return;
        }
        let Some(syncing) = self.journal.detach_sync(&mut *self.sink) else { return self.sync() };
        let covers = self.unsynced.len();
        if syncer.asked.try_send(syncing).is_ok() {
            syncer.under_way = Some(UnderWay { covers, began: Instant::now() });
        } else {
            self.settle(covers, Instant::now(), Err(died()));
        }
    }

    /// What came of the one that was under way.
    pub(super) fn end_sync(&mut self, outcome: Outcome) {
        let Some(syncer) = &mut self.syncer else { return };
        let Some(UnderWay { covers, began }) = syncer.under_way.take() else { return };
        let is_overdue = std::mem::take(&mut syncer.is_overdue);
        self.settle(covers, began, outcome);
        if is_overdue && self.journal.is_ahead() {
            self.begin_sync();
        }
    }

    /// Waits for the one that is under way.
    pub(super) fn await_sync(&mut self) {
        let Some(syncer) = &mut self.syncer else { return };
        let Some(outcome) = syncer.wait() else { return };
        syncer.is_overdue = false;
        self.end_sync(outcome);
    }

    /// Notes what came of it, if it is over, and begins another if its time has come.
    pub(super) fn sync_in_time(&mut self) {
        if let Some(outcome) = self.syncer.as_mut().and_then(Syncer::try_over) {
            self.end_sync(outcome);
        }
        if self.sync_due.is_some_and(|due| tokio::time::Instant::now() >= due) {
            self.begin_sync();
        }
    }

    /// What it was about has been taken back, so that its outcome says nothing.
    pub(super) fn forget_sync(&mut self) {
        if let Some(syncer) = &mut self.syncer {
            let _ = syncer.wait();
            syncer.under_way = None;
            syncer.is_overdue = false;
        }
    }

    fn settle(&mut self, covers: usize, began: Instant, outcome: Outcome) {
        let settled = self.journal.settle(&mut *self.sink, outcome);
        if settled.is_ok() {
            metrics::histogram!("sealgate_audit_sync_seconds").record(began.elapsed().as_secs_f64());
            let covered = covers.min(self.unsynced.len());
            tell_lag(self.unsynced.get(..covered).unwrap_or_default());
            self.unsynced.drain(..covered);
        }
        // The reason has been logged; what is not synced is held.
        let _ = self.note(settled);
    }
}
