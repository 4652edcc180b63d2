//! Who did what with which classified field: records, the journal, receipts.
//!
//! A [`Receipt`] is the proof that an intent is durable; [`Journal::commit`] alone mints it,
//! and only after the sink has said that everything is on disk.

mod journal;
mod line;
mod record;

pub use journal::{Journal, Receipt, Sink, SinkError};
pub use line::{FIELDS_MAX, LINE_BYTES_MAX, NAME_CHARS_MAX, STATEMENT_CHARS_MAX, rfc3339};
pub use record::{
    AdminRecord, Alert, Attribution, Entry, Execution, FieldUse, Intent, LoginRecord, Outcome, Record,
    RefusalRecord, SessionRecord, Who,
};

#[cfg(test)]
mod tests;
