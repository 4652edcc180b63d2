//! With `durability = "full"` the end of a result waits until its outcome is durable: what completes a
//! statement, suspends or fails it, and ReadyForQuery, behind every outcome that came before.

use super::session::Session;
use crate::audit::Record;
use crate::policy::Refusal;

/// What waits for outcomes.
#[derive(Default)]
pub(super) struct Ends {
    wait: bool,
    /// Outcomes that were handed in and are not known to be durable.
    awaited: u64,
    /// One could not be made durable.
    failed: bool,
    /// A message that waits, or nothing.
    held: Vec<u8>,
}

impl Ends {
    /// Records have been handed in.
    pub(super) fn handed(&mut self, records: &[Record]) {
        if self.wait {
            self.awaited += records.iter().filter(|record| is_outcome(record)).count() as u64;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

fn is_outcome(record: &Record) -> bool {
    matches!(record, Record::Outcome(_))
}

/// What becomes of the end that waits.
pub(super) enum End {
    /// There is none, or it has gone.
    Nothing,
    Gone,
    Waits,
    Refused(Refusal),
}

impl Session {
    /// From now on the ends of results wait for their outcomes.
    pub fn await_outcomes(&mut self) {
        self.ends.wait = true;
    }

    /// The fate of one outcome.
    pub fn settle_outcome(&mut self, is_durable: bool) {
        self.ends.awaited = self.ends.awaited.saturating_sub(1);
        self.ends.failed |= !is_durable;
    }

    /// Can a message of this type be the end of a result that has to wait?
    pub(super) fn may_end(&self, tag: u8) -> bool {
        self.ends.wait && matches!(tag, b'C' | b'I' | b's' | b'E' | b'Z')
    }

    /// Must it wait, with all that was handed in so far?
    pub(super) fn waits_to_end(&self, tag: u8) -> bool {
        self.may_end(tag) && (self.ends.awaited > 0 || self.records.iter().any(is_outcome))
    }

    /// A message waits.
    pub(super) fn hold_end(&mut self, message: &[u8]) {
        self.ends.held.extend_from_slice(message);
    }

    /// Lets go what waits, as soon as it may.
    pub(super) fn release_end(&mut self, out: &mut Vec<u8>) -> End {
        if self.ends.held.is_empty() {
            return End::Nothing;
        }
        if self.ends.failed {
            return End::Refused(Refusal::unrecorded());
        }
        if self.ends.awaited > 0 || self.records.iter().any(is_outcome) {
            return End::Waits;
        }
        out.append(&mut self.ends.held);
        End::Gone
    }
}
