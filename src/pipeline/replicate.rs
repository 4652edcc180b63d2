//! Walsenders: what they stream stands in the record before its first byte.
//!
//! The text says what is asked for and is told by the record; that data flows the server's own
//! answer says (CopyBothResponse, CopyOutResponse), and it waits for the receipt. A stream that
//! no text accounts for ends the session.

use std::sync::Arc;

use super::accounts::kind_of;
use super::certainty::Doubt;
use super::owed::{Kind, Mark};
use super::plan::Workshop;
use super::response::Fate;
use super::session::{Event, Session};
use super::stream::{Streaming, Walsender};
use super::{Need, Step};
use crate::audit::{Attribution, Intent, Outcome, Record};
use crate::policy::{self, Refusal};
use crate::statement::{Action, Replication, ReplicationCommand, Stream, replication_command};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::{Frame, Malformed, frontend};

/// A long stream has an outcome record every so many bytes.
const OUTCOME_EVERY_BYTES: u64 = 1 << 30;

impl Session {
    /// This session is a walsender, and what it streams is to be recorded.
    pub fn replicates(&mut self, walsender: Walsender) {
        self.walsender = Some(Box::new(walsender));
    }

    /// Has this session a place in the record?
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.walsender.is_some() || self.epoch().is_some()
    }

    /// The gate ends this session: that stands in the record, and so does what was under way.
    pub fn overrule(&mut self, refusal: &Refusal) {
        self.about = self.answering();
        self.note_refusal(refusal, None);
        self.close(refusal.sqlstate.as_bytes().first_chunk().copied());
    }

    /// A Query of a walsender: a command of its own language, or SQL.
    pub(super) fn take_command(
        &mut self,
        shop: &mut Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Malformed> {
        let text = frontend::read_query(frame.body())?;
        let terms = self.terms(&self.who);
        let stream = match replication_command(text) {
            Some(ReplicationCommand::Stream(_)) if terms.refuse || terms.purpose => {
                return Ok(self.end(Refusal::refused_by_watch()));
            }
            Some(ReplicationCommand::Stream(told)) => Some(self.begin_stream(told)),
            Some(ReplicationCommand::Other) => None,
            None if self.hits(frame.body()) => return self.take_query(shop, frame, out),
            None => {
                out.extend_from_slice(frame.bytes());
                self.note(b'Q', frame.bytes());
                return Ok(Step::Took(frame.len()));
            }
        };
        out.extend_from_slice(frame.bytes());
        self.owe(Kind::Query, Mark { stream, ..Mark::default() }, Doubt::NONE);
        Ok(Step::Took(frame.len()))
    }

    fn begin_stream(&mut self, told: Replication) -> Box<Streaming> {
        let fields = self.walsender.as_ref().map(|walsender| match told.stream {
            Stream::Logical => walsender.own.clone(),
            Stream::Physical | Stream::BaseBackup => walsender.cluster.clone(),
        });
        let (execution, told, fields) = (self.execution(), Arc::new(told), fields.unwrap_or_default());
        let action = Action::Replicate;
        self.records.push(Record::Intent(Intent {
            who: self.who.clone(),
            execution,
            action,
            attribution: Attribution::Possible,
            fields: fields.clone(),
            fingerprint: Arc::default(),
            statement: told.stream.command().into(),
            rule: policy::replication(&self.principal).rule(),
            replication: Some(told.clone()),
            lease: None,
        }));
        self.events.push(Event::Statement { kind: kind_of(action), verdict: "permitted" });
        Box::new(Streaming { execution, told, fields, receipt: None, bytes: 0 })
    }

    /// The stream that is under way.
    fn streaming(&mut self) -> Option<&mut Streaming> {
        self.queue.front()?.mark.as_mut()?.stream.as_deref_mut()
    }

    /// May copy data pass as it comes? A stream's once it has its receipt, and SQL's.
    pub(super) fn may_stream(&mut self) -> bool {
        let Some(walsender) = &self.walsender else { return true };
        let by_sql = walsender.has_database;
        self.streaming().map_or(by_sql, |stream| stream.receipt.is_some())
    }

    /// Does a message of this type begin or carry what a walsender streams?
    pub(super) fn opens_stream(&self, tag: u8) -> bool {
        self.walsender.is_some() && matches!(tag, b'W' | b'H' | b'd')
    }

    /// CopyBothResponse or CopyOutResponse, or data that nothing has opened.
    pub(super) fn stream(&mut self, tag: u8) -> Result<Fate, Malformed> {
        if self.streaming().is_none() {
            // COPY TO STDOUT, which is judged as SQL.
            let by_sql = self.walsender.as_ref().is_some_and(|walsender| walsender.has_database);
            let copies = by_sql && tag != b'W';
            return if copies { Ok(Fate::Pass) } else { Err(Malformed("a stream that was not asked for")) };
        }
        Ok(match self.claim_stream() {
            Ok(true) => Fate::Pass,
            Ok(false) => Fate::Need(Need::Durable),
            Err(refusal) => Fate::End(refusal),
        })
    }

    /// Has the stream under way, if any, its receipt?
    pub(super) fn claim_stream(&mut self) -> Result<bool, Refusal> {
        if self.walsender.is_none() {
            return Ok(true);
        }
        let Some((execution, mut receipt)) =
            self.streaming().map(|stream| (stream.execution, stream.receipt.take()))
        else {
            return Ok(true);
        };
        let claimed = self.claim(execution, &mut receipt);
        if let Some(stream) = self.streaming() {
            stream.receipt = receipt;
        }
        claimed
    }

    /// Counts a message of the stream under way. `len`: all of its bytes.
    pub(super) fn count_stream(&mut self, tag: u8, len: usize) {
        if self.walsender.is_none() || tag != b'd' {
            return;
        }
        let Some(stream) = self.streaming() else { return };
        let before = stream.bytes;
        stream.bytes += u64::try_from(len.saturating_sub(HEADER_BYTES)).unwrap_or(u64::MAX);
        if before / OUTCOME_EVERY_BYTES != stream.bytes / OUTCOME_EVERY_BYTES {
            let (execution, told) = (stream.execution, stream.told.clone());
            let (fields, bytes) = (stream.fields.clone(), stream.bytes);
            let so_far = Streaming { execution, told, fields, receipt: None, bytes };
            self.tell_stream(so_far, None, true);
        }
    }

    /// A stream is over.
    pub(super) fn end_stream(&mut self, stream: Option<Box<Streaming>>, sqlstate: Option<[u8; 5]>) {
        let Some(stream) = stream else { return };
        let execution = stream.execution;
        // Without its intent in the record nothing was streamed.
        if !self.is_unrecorded(execution) {
            self.tell_stream(*stream, sqlstate, false);
        }
        self.forget(execution);
    }

    fn tell_stream(&mut self, stream: Streaming, sqlstate: Option<[u8; 5]>, partial: bool) {
        self.records.push(Record::Outcome(Outcome {
            who: self.who.clone(),
            execution: stream.execution,
            action: Action::Replicate,
            attribution: Attribution::Possible,
            fields: stream.fields,
            fingerprint: Arc::default(),
            rows: 0,
            cells: 0,
            bytes: stream.bytes,
            sqlstate,
            committed: None,
            replication: Some(stream.told),
            lease: None,
            executions: None,
            partial,
            subjects: None,
        }));
    }
}
