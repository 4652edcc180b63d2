//! The journal writes and syncs records, then mints [`Receipt`]s. Nothing else can.

use super::chain::{self, Link};
use super::level::{Durability, LeaseTerms};
use super::line::Lines;
use super::numbers::Last;
use super::record::{Entry, Execution, Record};

/// Proof that the intent of one execution is durable, as the journal's [`Durability`] has it. Minted by
/// [`Journal::commit`] alone.
#[derive(PartialEq, Eq, Debug)]
pub struct Receipt {
    execution: Execution,
    /// What else its intent covers.
    lease: Option<LeaseTerms>,
}

impl Receipt {
    /// The execution that this receipt is bound to, and no other.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.execution
    }

    pub(super) fn take_lease(&mut self) -> Option<LeaseTerms> {
        self.lease.take()
    }
}

/// How far the record has come: the number of the last record, and its link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// 0: there is none yet.
    pub seq: u64,
    pub link: Link,
}

/// A sync that any thread may carry out.
pub type Syncing = Box<dyn FnOnce() -> Result<(), SinkError> + Send>;

/// Where lines go.
pub trait Sink {
    /// Makes room for the line that will carry this number. True where it begins a segment, so that it
    /// says behind which line it stands.
    ///
    /// # Errors
    /// There is no room; nothing of the batch is acknowledged.
    fn begins_segment(&mut self, _seq: u64) -> Result<bool, SinkError> {
        Ok(false)
    }

    /// Takes one line, newline included, that carries this sequence number.
    ///
    /// # Errors
    /// The line could not be taken; nothing of the batch is acknowledged.
    fn append(&mut self, seq: u64, line: &[u8]) -> Result<(), SinkError>;

    /// Hands everything appended to the operating system, where it outlives this process.
    ///
    /// # Errors
    /// It may not be there; nothing of the batch is acknowledged.
    fn hand(&mut self) -> Result<(), SinkError>;

    /// Returns only when everything appended is durable.
    ///
    /// # Errors
    /// Durability is not known; nothing of the batch is acknowledged.
    fn sync(&mut self) -> Result<(), SinkError>;

    /// Takes back whatever was appended since the last successful `sync`, durably, so that no
    /// part of it is ever read as a record.
    ///
    /// # Errors
    /// It may still be there; called again before anything else is appended.
    fn undo(&mut self) -> Result<(), SinkError>;

    /// The sync of all that is handed to the operating system so far, for another thread; more may be handed
    /// meanwhile. None: [`Sink::sync`] does it. At most one at a time, and over before the sink is
    /// asked to sync by itself.
    fn detach_sync(&mut self) -> Option<Syncing> {
        None
    }

    /// The sync that was detached has succeeded, and nothing was taken back since.
    ///
    /// # Errors
    /// What it has made durable is not where it is looked for; as for [`Sink::sync`].
    fn settle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Keeps room for records of what has happened already, so that a full disk takes those and no intent.
    ///
    /// # Errors
    /// There is no room for it.
    fn take_reserve(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Gives that room to what is appended next, where the sink has failed for want of room. False: it has
    /// not, or there is nothing to give.
    fn give_up_reserve(&mut self) -> bool {
        false
    }
}

/// Why a sink refused. The text is for the operator; it holds no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkError(pub String);

impl std::fmt::Display for SinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sequence of one node's records.
#[derive(Debug)]
pub struct Journal {
    durability: Durability,
    lines: Lines,
    /// As far as everything is durable.
    synced: Position,
    /// As far as everything is written. Behind `synced` only with [`Durability::Os`].
    written: Position,
    /// An earlier batch failed and what it left in the sink is still to be taken back.
    undo_is_due: bool,
    /// How far a sync comes that is under way elsewhere.
    syncing: Option<Position>,
}

/// Where the sequence stands behind a line.
#[derive(Clone, Copy, Debug)]
struct Position {
    next: u64,
    /// The link of the last line.
    link: Link,
    /// Nothing has been written since the start: the first line says behind which one it stands.
    is_new: bool,
    /// Where the last segment ended that was followed by another, until somebody asks.
    turned: Option<Head>,
    /// Numbers that the segment tells so far.
    told: Last,
}

impl Journal {
    /// `next`: sequence number of the first record (one more than the last on file).
    #[must_use]
    pub fn new(node: String, next: u64) -> Journal {
        Journal::behind(node, next, Link::NONE)
    }

    /// The same, behind the line that has this link.
    #[must_use]
    pub fn behind(node: String, next: u64, link: Link) -> Journal {
        let start = Position { next, link, is_new: true, turned: None, told: Last::default() };
        let (synced, written, lines) = (start, start, Lines::new(&node));
        Journal { durability: Durability::Intent, lines, synced, written, undo_is_due: false, syncing: None }
    }

    /// With another level than the default.
    #[must_use]
    pub fn at(self, durability: Durability) -> Journal {
        Journal { durability, ..self }
    }

    /// Each line tells all by itself.
    #[must_use]
    pub fn in_full(self) -> Journal {
        Journal { lines: self.lines.in_full(), ..self }
    }

    /// What a receipt of it stands for.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The last durable record.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.synced.next.saturating_sub(1), link: self.synced.link }
    }

    /// Where a segment has ended and another begun, once.
    pub fn take_turn(&mut self) -> Option<Head> {
        let turn = self.synced.turned.take();
        if turn.is_some() {
            self.written.turned = None;
        }
        turn
    }

    /// The number that the next record will carry.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.written.next
    }

    /// Is something written that is not known to be durable?
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.written.next > self.synced.next
    }

    /// Makes the batch as durable as the level has it (written and synced; with [`Durability::Os`]
    /// handed to the operating system), then mints one receipt for each intent in it, in order.
    ///
    /// # Errors
    /// The sink's; then no receipt exists for any record of the batch, and the sink has been told to
    /// take back all that is not known to be durable: no number of that is used up. With
    /// [`Durability::Os`] these are batches before it, too: whoever committed them commits them again.
    pub fn commit(&mut self, sink: &mut dyn Sink, batch: &[Entry]) -> Result<Vec<Receipt>, SinkError> {
        match self.durability {
            Durability::Os { .. } => self.attempt(sink, |journal, sink| {
                journal.append(sink, batch)?;
                sink.hand()
            })?,
            Durability::Intent | Durability::Full => self.commit_synced(sink, batch)?,
        }
        Ok(receipts(batch))
    }

    /// Writes and syncs the batch whatever the level is, and all that is written before it.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn commit_synced(&mut self, sink: &mut dyn Sink, batch: &[Entry]) -> Result<(), SinkError> {
        self.attempt(sink, |journal, sink| {
            journal.append(sink, batch)?;
            journal.sync_written(sink)
        })
    }

    /// Syncs what is written.
    ///
    /// # Errors
    /// The sink's: all that was not known to be durable is taken back, as by [`Journal::commit`].
    pub fn sync(&mut self, sink: &mut dyn Sink) -> Result<(), SinkError> {
        self.attempt(sink, Journal::sync_written)
    }

    /// A sync of what is written, for another thread. None: nothing is to be synced, one is under way, or
    /// [`Journal::sync`] has to do it.
    pub fn detach_sync(&mut self, sink: &mut dyn Sink) -> Option<Syncing> {
        if self.syncing.is_some() || self.undo_is_due || !self.is_ahead() {
            return None;
        }
        let syncing = sink.detach_sync()?;
        self.syncing = Some(self.written);
        Some(syncing)
    }

    /// What came of it. Whoever has one under way tells it before anything else is synced.
    ///
    /// # Errors
    /// As [`Journal::sync`]: all that is not known to be durable is taken back, what was written meanwhile too.
    pub fn settle(&mut self, sink: &mut dyn Sink, outcome: Result<(), SinkError>) -> Result<(), SinkError> {
        // None: what it was about has been taken back.
        let Some(reached) = self.syncing.take() else { return Ok(()) };
        self.attempt(sink, |journal, sink| {
            outcome?;
            sink.settle()?;
            journal.synced = reached;
            Ok(())
        })
    }

    fn sync_written(&mut self, sink: &mut dyn Sink) -> Result<(), SinkError> {
        sink.sync()?;
        self.synced = self.written;
        Ok(())
    }

    /// What fails leaves the journal where all is durable. A later success says nothing of it.
    fn attempt(
        &mut self,
        sink: &mut dyn Sink,
        act: impl FnOnce(&mut Journal, &mut dyn Sink) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        if self.undo_is_due {
            sink.undo()?;
            self.undo_is_due = false;
        }
        let done = act(self, sink);
        if done.is_err() {
            self.written = self.synced;
            self.lines.forget(self.written.told);
            self.syncing = None;
            self.undo_is_due = sink.undo().is_err();
        }
        done
    }

    fn append(&mut self, sink: &mut dyn Sink, batch: &[Entry]) -> Result<(), SinkError> {
        let mut line = Vec::with_capacity(1024);
        for entry in batch {
            let Position { next: seq, link, is_new, .. } = self.written;
            let begins = sink.begins_segment(seq)?;
            line.clear();
            if begins || is_new {
                self.lines.forget(Last::default());
            }
            self.lines.write(&mut line, seq, entry);
            self.written.told = self.lines.last();
            if begins && !is_new {
                self.written.turned = Some(Head { seq: seq.saturating_sub(1), link });
            }
            self.written.link = chain::seal(&mut line, 0, link, begins || is_new);
            self.written.is_new = false;
            sink.append(seq, &line)?;
            self.written.next =
                seq.checked_add(1).ok_or_else(|| SinkError("sequence numbers are used up".to_owned()))?;
        }
        Ok(())
    }
}

fn receipts(batch: &[Entry]) -> Vec<Receipt> {
    let receipt = |entry: &Entry| match &entry.record {
        Record::Intent(intent) => Some(Receipt { execution: intent.execution, lease: intent.lease }),
        Record::Outcome(_)
        | Record::Refusal(_)
        | Record::Session(_)
        | Record::Login(_)
        | Record::Alert(_)
        | Record::Admin(_) => None,
    };
    batch.iter().filter_map(receipt).collect()
}
