//! The journal writes and syncs records, then mints [`Receipt`]s. Nothing else can.

use super::record::Record;

/// Names one execution of a statement: unique within a node's run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Execution {
    pub session: u64,
    pub number: u64,
}

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

/// Where lines go. `sync` returns only when everything appended is durable.
pub trait Sink {
    /// # Errors
    /// The line could not be written; nothing of the batch is acknowledged.
    fn append(&mut self, line: &[u8]) -> Result<(), SinkError>;
    /// # Errors
    /// Durability is not known; nothing of the batch is acknowledged.
    fn sync(&mut self) -> Result<(), SinkError>;
}

/// Why a sink refused. The text is for the operator; it holds no value.
#[derive(Debug)]
pub struct SinkError(pub String);

/// A record and the time at which it was handed in.
#[derive(Debug)]
pub struct Entry {
    pub record: Record,
    /// Microseconds since the Unix epoch.
    pub time_us: u64,
}

/// Sequence of one node's records.
#[derive(Debug)]
pub struct Journal {
    node: String,
    next: u64,
}

impl Journal {
    /// `next`: sequence number of the first record (one more than the last on file).
    #[must_use]
    pub fn new(node: String, next: u64) -> Journal {
        Journal { node, next }
    }

    /// Writes and syncs the batch, then mints one receipt for each intent in it.
    ///
    /// # Errors
    /// The sink's; then no receipt exists for any record of the batch.
    pub fn commit(&mut self, sink: &mut dyn Sink, batch: &[Entry]) -> Result<Vec<Receipt>, SinkError> {
        for entry in batch {
            sink.append(format!("{:?} {} {}", entry.record, self.node, self.next).as_bytes())?;
            self.next += 1;
        }
        sink.sync()?;
        Ok(batch
            .iter()
            .filter_map(|entry| match &entry.record {
                Record::Intent(intent) => Some(Receipt { execution: intent.execution }),
                Record::Outcome(_) | Record::Refusal(_) | Record::Session(_) | Record::Alert(_) => None,
            })
            .collect())
    }
}
