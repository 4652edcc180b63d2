//! The journal writes and syncs records, then mints [`Receipt`]s. Nothing else can.

use super::chain::{self, Link};
use super::line;
use super::record::{Entry, Execution, Record};

/// Proof that the intent of one execution is durable. Minted by [`Journal::commit`] alone.
#[derive(PartialEq, Eq, Debug)]
pub struct Receipt {
    execution: Execution,
}

impl Receipt {
    /// The execution that this receipt is bound to, and no other.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.execution
    }
}

/// How far the record has come: the number of the last record, and its link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// 0: there is none yet.
    pub seq: u64,
    pub link: Link,
}

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
    node: String,
    next: u64,
    /// The link of the last durable line.
    link: Link,
    /// Nothing has been written since the start: the first line says behind which one it stands.
    is_new: bool,
    /// Where the last segment ended that was followed by another, until somebody asks.
    turned: Option<Head>,
    /// An earlier batch failed and what it left in the sink is still to be taken back.
    undo_is_due: bool,
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
        Journal { node, next, link, is_new: true, turned: None, undo_is_due: false }
    }

    /// The last durable record.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.next.saturating_sub(1), link: self.link }
    }

    /// Where a segment has ended and another begun, once.
    pub fn take_turn(&mut self) -> Option<Head> {
        self.turned.take()
    }

    /// The number that the next durable record will carry.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Writes and syncs the batch, then mints one receipt for each intent in it, in order.
    ///
    /// # Errors
    /// The sink's; then no receipt exists for any record of the batch, no number is used up,
    /// and the sink has been told to take back what it had.
    pub fn commit(&mut self, sink: &mut dyn Sink, batch: &[Entry]) -> Result<Vec<Receipt>, SinkError> {
        if self.undo_is_due {
            sink.undo()?;
            self.undo_is_due = false;
        }
        match self.write(sink, batch) {
            Ok(()) => {}
            Err(error) => {
                self.undo_is_due = sink.undo().is_err();
                return Err(error);
            }
        }
        Ok(batch
            .iter()
            .filter_map(|entry| match &entry.record {
                Record::Intent(intent) => Some(Receipt { execution: intent.execution }),
                Record::Outcome(_)
                | Record::Refusal(_)
                | Record::Session(_)
                | Record::Login(_)
                | Record::Alert(_)
                | Record::Admin(_) => None,
            })
            .collect())
    }

    fn write(&mut self, sink: &mut dyn Sink, batch: &[Entry]) -> Result<(), SinkError> {
        let mut line = Vec::with_capacity(1024);
        let (mut seq, mut link, mut turned) = (self.next, self.link, None);
        let mut is_new = self.is_new;
        for entry in batch {
            line.clear();
            let begins = sink.begins_segment(seq)?;
            line::write(&mut line, &self.node, seq, entry);
            if begins && !is_new {
                turned = Some(Head { seq: seq.saturating_sub(1), link });
            }
            link = chain::seal(&mut line, 0, link, begins || is_new);
            is_new = false;
            sink.append(seq, &line)?;
            seq = seq.checked_add(1).ok_or_else(|| SinkError("sequence numbers are used up".to_owned()))?;
        }
        sink.sync()?;
        (self.next, self.link, self.is_new) = (seq, link, is_new);
        self.turned = turned.or(self.turned);
        Ok(())
    }
}
