//! Who did what with which classified field: records, the journal, receipts.
//!
//! A [`Receipt`] is the proof that an intent is durable; [`Journal::commit`] alone mints it,
//! and only after the sink has said that everything is on disk.

mod chain;
mod expansion;
mod journal;
mod lease;
mod level;
mod line;
mod note;
mod numbers;
mod reading;
mod record;
mod subjects;

pub use chain::{Link, Linked, seq_of};
pub use expansion::Expansion;
pub use journal::{Head, Journal, Receipt, Sink, SinkError, Syncing};
pub use lease::{Cover, Lease, Leased, Tenure};
pub use level::{Durability, LeaseTerms};
pub use line::{FIELDS_MAX, LINE_BYTES_MAX, NAME_CHARS_MAX, STATEMENT_CHARS_MAX, is_disguise, rfc3339};
pub use note::{
    Checkpoint, NOTE_BYTES_MAX, Opened, PublicKey, Signer, SigningKeyFault, notes_in, open, word,
};
pub use numbers::{Bounds, LIST, PLAN, Told, WHO};
pub use reading::Reading;
pub use record::{
    AdminRecord, Alert, Attribution, Entry, Execution, FieldUse, Intent, LoginRecord, Outcome, Record,
    RefusalRecord, SessionRecord, Unusual, Who,
};
pub use subjects::{Distinct, NAMED_MAX, Subjects};

#[cfg(test)]
mod tests;
