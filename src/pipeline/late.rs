//! What the server says beside rows can quote rows: errors ("Failing row contains ..."), notices,
//! notifications, parameters. Where that is not covered by the intent of a statement that may read
//! all that is legible, it waits here for a *late intent*: one for all that is said until the
//! transaction ends, durable before the first of it goes to the client.

use std::sync::Arc;

use super::session::{Event, Session};
use crate::audit::{Attribution, Execution, Intent, Outcome, Receipt, Record};
use crate::policy::Refusal;
use crate::statement::Action;

/// What a transaction has done so far that the server's words may tell of.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Taint {
    /// Nothing that meets a table with legible columns.
    #[default]
    Nothing,
    /// It has named such a table.
    Named,
    /// It has run code that may say anything.
    Opaque,
}

/// An intent for what is said, and what was said under it.
pub(super) struct Late {
    execution: Execution,
    receipt: Option<Receipt>,
    messages: u64,
    bytes: u64,
}

/// Classes of SQLSTATE whose errors the server itself words without any value of a row: they are of
/// the statement's text, of rights, of the transaction, of names, of resources and of being stopped.
const OF_NO_ROW: [&[u8; 2]; 12] =
    [b"08", b"25", b"26", b"28", b"34", b"3B", b"3D", b"40", b"42", b"53", b"54", b"57"];

impl Session {
    /// May a message of this kind have to wait for a late intent?
    pub(super) fn waits_late(&self, tag: u8) -> bool {
        matches!(tag, b'E' | b'N' | b'S' | b'A') && self.view.as_ref().is_some_and(|view| view.has_legible())
    }

    /// Can this message quote a legible value that no intent covers? `sqlstate`: of an error.
    pub(super) fn may_quote(&self, tag: u8, sqlstate: Option<[u8; 5]>) -> bool {
        if !self.waits_late(tag) {
            return false;
        }
        let by_events = self.view.as_ref().is_some_and(|view| view.snapshot().codes().by_events);
        let taint = if by_events { Taint::Opaque } else { self.taint };
        match (tag, taint) {
            // Whoever notifies may have put a row into it.
            (b'A', _) => true,
            (b'E' | b'N' | b'S', Taint::Opaque) => true,
            (b'E' | b'N', Taint::Named) => {
                let class = sqlstate.as_ref().and_then(|code| code.first_chunk::<2>());
                !class.is_some_and(|class| OF_NO_ROW.contains(&class))
            }
            (_, _) => false,
        }
    }

    /// Has what is said its receipt? `Ok(false)`: it waits for it.
    pub(super) fn covers_late(&mut self) -> Result<bool, Refusal> {
        if self.late.is_none() {
            let execution = self.execution();
            let Some(fields) = self.view.as_ref().map(|view| view.legible()) else { return Ok(true) };
            self.records.push(Record::Intent(Intent {
                who: self.who.clone(),
                execution,
                action: Action::Read,
                attribution: Attribution::Possible,
                fields,
                fingerprint: Arc::from(""),
                statement: Arc::from(""),
                rule: "late",
                replication: None,
                lease: None,
            }));
            self.events.push(Event::Statement { kind: "late", verdict: "permitted" });
            self.late = Some(Late { execution, receipt: None, messages: 0, bytes: 0 });
        }
        let Some(mut late) = self.late.take() else { return Ok(true) };
        let claimed = self.claim(late.execution, &mut late.receipt);
        self.late = Some(late);
        claimed
    }

    /// It goes to the client.
    pub(super) fn count_late(&mut self, bytes: usize) {
        if let Some(late) = &mut self.late {
            late.messages += 1;
            late.bytes += bytes as u64;
        }
    }

    /// The transaction is over, or the session: so is what was said in it.
    pub(super) fn close_late(&mut self) {
        self.taint = Taint::Nothing;
        self.kept = false;
        let Some(late) = self.late.take() else { return };
        self.forget(late.execution);
        let Some(fields) = self.view.as_ref().map(|view| view.legible()) else { return };
        self.records.push(Record::Outcome(Outcome {
            who: self.who.clone(),
            execution: late.execution,
            action: Action::Read,
            attribution: Attribution::Possible,
            fields,
            fingerprint: Arc::from(""),
            rows: 0,
            cells: late.messages,
            bytes: late.bytes,
            sqlstate: None,
            committed: None,
            replication: None,
            lease: None,
            executions: None,
            partial: false,
            subjects: None,
        }));
    }

    /// Counts what the server says in an execution that may read all that is legible.
    pub(super) fn count_possible(&mut self, bytes: usize) -> bool {
        let mark = self.queue.front().and_then(|owed| owed.mark.as_mut());
        let Some(run) = mark.and_then(|mark| mark.running()) else { return false };
        let Some(possible) = &mut run.possible else { return false };
        possible.cells += 1;
        run.bytes += bytes as u64;
        true
    }

    /// Is what the server says now the answer to a refusal or a question of ours, or covered by the
    /// intent of an execution that may read all that is legible?
    pub(super) fn is_covered(&mut self) -> bool {
        let Some(front) = self.queue.front() else { return false };
        let ours = front.is_ours();
        front.mark.as_mut().is_some_and(|mark| {
            ours || mark.refusal.is_some() || mark.running().is_some_and(|run| run.possible.is_some())
        })
    }
}
