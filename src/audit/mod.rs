//! Who did what with which classified field: records, the journal, receipts.

mod journal;
mod record;

pub use journal::{Entry, Execution, Journal, Receipt, Sink, SinkError};
pub use record::{Alert, FieldUse, Intent, Outcome, Record, RefusalRecord, SessionRecord, Who};
