//! The street out: the server's frames towards the client.

use std::rc::Rc;

use super::clear::Moved;
use super::ends::End;
use super::letters::write_for;
use super::owed::{Kind, Mark, Owed, Probe, Running};
use super::plan::Workshop;
use super::question::is_of_text;
use super::release::{Look, untouched};
use super::session::{Event, Session};
use super::shape::{Shape, unforeseen};
use super::transaction::Ended;
use super::{Need, Step};
use crate::audit::Attribution;
use crate::policy::Refusal;
use crate::wire::backend::{self, ErrorFacts};
use crate::wire::charset::Charset;
use crate::wire::compose::{ErrorText, put_error, put_notice};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::{Frame, Malformed, Peek, peek};

/// A long result has an outcome record every so many rows.
const OUTCOME_EVERY_ROWS: u64 = 10_000;

/// Within so many bytes an error has told its SQLSTATE.
const ERROR_HEAD_BYTES: usize = 4_096;

/// What becomes of one frame.
pub(super) enum Fate {
    Pass,
    /// Used up: what takes its place (if anything) is in `out`.
    Took,
    Need(Need),
    End(Refusal),
}

impl Session {
    /// Walks the frames at the head of `input`; what is not passed as it came is appended
    /// to `out`. `now_ms`: any clock that does not go back, in milliseconds.
    pub fn response(&mut self, shop: &mut Workshop, input: &[u8], out: &mut Vec<u8>, now_ms: u64) -> Step {
        self.now_ms = now_ms;
        match self.release_end(out) {
            End::Nothing => {}
            End::Gone => return Step::Took(0),
            End::Waits => return Step::Need(Need::Durable),
            End::Refused(refusal) => return self.end_answer(refusal),
        }
        if self.response_passing > 0 {
            let count = self.response_passing.min(input.len());
            self.response_passing -= count;
            return if count > 0 { self.pass(input, count) } else { Step::Need(Need::Input) };
        }
        let mut run = 0;
        loop {
            let rest = input.get(run..).unwrap_or(&[]);
            match peek(rest) {
                Err(Malformed(_)) if run > 0 => break,
                Err(Malformed(detail)) => return self.protocol_error(detail),
                Ok(Peek::Nothing) => break,
                Ok(Peek::Partial { tag, len, head }) => {
                    if self.streams(tag) {
                        if tag == b'T' {
                            self.described();
                        }
                        self.count_stream(tag, len);
                        self.response_passing = len - head.len();
                        run += head.len();
                    } else if len > self.bounds.answer_bytes_max() && run == 0 {
                        match self.tell_large(tag, head, now_ms) {
                            Ok(Fate::Pass) => {
                                self.response_passing = len - head.len();
                                run += head.len();
                            }
                            Ok(Fate::Took) => return self.end_answer(too_large(len)),
                            Ok(Fate::Need(need)) => return Step::Need(need),
                            Ok(Fate::End(refusal)) => return self.end_answer(refusal),
                            Err(Malformed(detail)) => return self.protocol_error(detail),
                        }
                    }
                    break;
                }
                Ok(Peek::Whole(frame)) => {
                    if self.plain_row(frame.tag()) {
                        self.count_stream(frame.tag(), frame.len());
                        run += frame.len();
                        continue;
                    }
                    if run > 0 && self.replaces(frame.tag()) {
                        break;
                    }
                    if frame.tag() == b'd' && self.copies_out() {
                        self.queue.answered();
                        return self.copied(shop, rest, out, now_ms);
                    }
                    let before = out.len();
                    match self.answer(shop, frame, out, now_ms) {
                        Ok(Fate::Pass) if self.waits_to_end(frame.tag()) => {
                            self.hold_end(frame.bytes());
                            return Step::Took(frame.len());
                        }
                        Ok(Fate::Took) if self.waits_to_end(frame.tag()) => {
                            self.hold_end(&out.split_off(before));
                            return Step::Took(frame.len());
                        }
                        Ok(Fate::Pass) => run += frame.len(),
                        Ok(Fate::Took) => return Step::Took(frame.len()),
                        Ok(Fate::Need(need)) => return Step::Need(need),
                        Ok(Fate::End(refusal)) => return self.end_answer(refusal),
                        Err(Malformed(detail)) => return self.protocol_error(detail),
                    }
                }
            }
        }
        if run > 0 { self.pass(input, run) } else { Step::Need(Need::Input) }
    }

    fn pass(&self, input: &[u8], count: usize) -> Step {
        let released = untouched(self.untouched, input.get(..count).unwrap_or(&[]));
        Step::Pass(released.bytes().len())
    }

    /// A row, or copy data, of what touches nothing classified.
    fn plain_row(&mut self, tag: u8) -> bool {
        match tag {
            b'd' => self.may_stream() && !self.copies_out(),
            b'D' if self.view.is_none() => true,
            b'D' => self.queue.front().is_some_and(|owed| {
                // A refused Execute is sent to a portal that should not exist; a client that learns
                // its name can make one, whose rows would have no record.
                // Nor has any row behind the last of its statements.
                let guarded = owed.mark.as_mut().is_some_and(|mark| {
                    let over = !mark.runs.is_empty() && mark.completed >= mark.runs.len();
                    over || mark.refusal.is_some() || mark.running().is_some()
                });
                owed.kind.has_rows() && !guarded
            }),
            _ => false,
        }
    }

    /// May a frame pass before it has wholly arrived?
    fn streams(&mut self, tag: u8) -> bool {
        // The client's FunctionCall reaches large objects alone.
        let asked = tag == b'V' && self.queue.front().is_some_and(|owed| owed.is_ours());
        tag == b'V' && !asked
            || self.plain_row(tag)
            || (self.view.is_none() && matches!(tag, b'T' | b'N' | b'A'))
    }

    /// Could this frame be answered by something else than itself, or have to wait? Then the run
    /// before it goes first.
    fn replaces(&mut self, tag: u8) -> bool {
        matches!(
            tag,
            b'D' | b'E'
                | b'T'
                | b't'
                | b'n'
                | b'C'
                | b'I'
                | b's'
                | b'N'
                | b'S'
                | b'A'
                | b'1'
                | b'3'
                | b'V'
                | b'Z'
                | b'd'
        ) && self.queue.front().is_some_and(|owed| owed.mark.is_some())
            || (tag == b'T' && self.view.is_some())
            || self.waits_late(tag)
            || self.opens_stream(tag)
            || self.may_end(tag)
    }

    fn answer(
        &mut self,
        shop: &mut Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        now_ms: u64,
    ) -> Result<Fate, Malformed> {
        if !matches!(frame.tag(), b'Z' | b'N' | b'S' | b'A') {
            self.queue.answered();
        }
        match frame.tag() {
            tag if self.opens_stream(tag) => self.stream(tag),
            b'D' => Ok(self.row(shop, frame, out, now_ms)),
            b'C' | b'I' | b's' | b'E' | b'N' | b'S' | b'A' => self.tell(frame, out, now_ms),
            b'T' | b'n' => self.description(frame, out),
            b't' => self.parameters(frame, out),
            b'1' => self.agreed(Kind::Parse),
            b'2' => self.agreed(Kind::Bind),
            b'3' => self.agreed(Kind::Close),
            b'Z' => self.ready(frame),
            b'V' => self.function_result(frame),
            b'G' | b'H' => self.copy_begins(frame),
            b'c' if self.copies_out() => Ok(self.copied_all()),
            // W, c, d, V and whatever a later server says.
            _ => Ok(Fate::Pass),
        }
    }

    /// What the server says beside rows. The text of an error or a notice, a parameter's
    /// value, and that there is nothing to show, can all tell of the values that an
    /// execution met: they wait for its record as a row does, and those that can hold a
    /// value count as one.
    fn tell(&mut self, frame: Frame<'_>, out: &mut Vec<u8>, now_ms: u64) -> Result<Fate, Malformed> {
        let tag = frame.tag();
        let worded = matches!(tag, b'E' | b'N');
        let sqlstate = if worded { Some(backend::read_error(frame.body())?.sqlstate) } else { None };
        if let Some(fate) = self.holds_back(tag, sqlstate, frame.len(), now_ms) {
            return Ok(fate);
        }
        match tag {
            b'E' => self.error(backend::read_error(frame.body())?, Some(frame), out),
            b'S' => {
                let (name, value) = backend::read_parameter_status(frame.body())?;
                self.parameter(name, value);
                Ok(Fate::Pass)
            }
            b'N' | b'A' => Ok(Fate::Pass),
            _ => {
                let note = self.note_of_definition().filter(|_| tag == b'C');
                let fate = self.complete(frame);
                Ok(match (fate, note) {
                    (Fate::Pass, Some(note)) => {
                        put_notice(out, &format!("sealgate: {note}"));
                        out.extend_from_slice(frame.bytes());
                        Fate::Took
                    }
                    (fate, _) => fate,
                })
            }
        }
    }

    /// What is to be said of the definition that is done next.
    fn note_of_definition(&mut self) -> Option<&'static str> {
        let mark = self.queue.front().and_then(|owed| owed.mark.as_ref())?;
        mark.defines.as_ref()?.facts.statements.get(mark.completed)?.note
    }

    /// The head of an error or a notice that is too long to be held: it passes as it comes,
    /// on the same terms. `Took`: it cannot.
    fn tell_large(&mut self, tag: u8, head: &[u8], now_ms: u64) -> Result<Fate, Malformed> {
        let facts = match tag {
            b'N' => None,
            b'E' => match backend::read_error_head(head.get(HEADER_BYTES..).unwrap_or(&[])) {
                Some(facts) => Some(facts),
                None if head.len() < ERROR_HEAD_BYTES => return Ok(Fate::Need(Need::Input)),
                None => return Ok(Fate::Took),
            },
            _ => return Ok(Fate::Took),
        };
        let sqlstate = facts.as_ref().map(|facts| facts.sqlstate);
        if let Some(fate) = self.holds_back(tag, sqlstate, head.len(), now_ms) {
            return Ok(fate);
        }
        let Some(facts) = facts else { return Ok(Fate::Pass) };
        self.queue.answered();
        // Dressed, it would not be the server's any more: that is its answer to a refusal.
        self.error(facts, None, &mut Vec::new())
    }

    /// What must come before the server's words, or instead of them.
    fn holds_back(&mut self, tag: u8, sqlstate: Option<[u8; 5]>, bytes: usize, now_ms: u64) -> Option<Fate> {
        let mut claimed = self.claim_running(tag).and_then(|ran| Ok(ran && self.claim_stream()?));
        let quotes =
            matches!(tag, b'E' | b'N' | b'S' | b'A') && !self.is_covered() && self.may_quote(tag, sqlstate);
        if quotes && claimed == Ok(true) {
            claimed = self.covers_late();
        }
        match claimed {
            Ok(true) => {}
            Ok(false) => return Some(Fate::Need(Need::Durable)),
            Err(refusal) => return Some(Fate::End(refusal)),
        }
        let possibly = matches!(tag, b'E' | b'N' | b'S' | b'A') && self.count_possible(bytes);
        if quotes {
            self.count_late(bytes);
        }
        if (quotes || possibly)
            && let Some(refusal) = self.watched(1, Attribution::Possible, now_ms, None)
        {
            return Some(Fate::End(refusal));
        }
        self.met_unsealed |= self.runs_unsealed();
        let counts = matches!(tag, b'E' | b'N' | b'S' | b'A') && self.met_unsealed;
        if counts { self.watched(1, Attribution::Known, now_ms, None).map(Fate::End) } else { None }
    }

    /// Has the execution under way, if any, its receipt?
    fn claim_running(&mut self, tag: u8) -> Result<bool, Refusal> {
        let mut run = self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| {
            let completed = mark.completed;
            mark.runs.get_mut(completed).and_then(Option::take)
        });
        let mut claimed = run.as_mut().map_or(Ok(true), |run| self.claim_receipt(run));
        if claimed == Ok(true)
            && matches!(tag, b'E' | b'N' | b'S' | b'A')
            && let Some(run) = run.as_mut().filter(|run| run.lease.is_some())
        {
            // It can hold a value that is legible.
            claimed = Ok(self.covers(run, 1) && self.reserves(run, 1));
        }
        if let Some(mark) = self.queue.front().and_then(|owed| owed.mark.as_mut()) {
            let completed = mark.completed;
            if let Some(place) = mark.runs.get_mut(completed) {
                *place = run;
            }
        }
        claimed
    }

    /// Does the execution under way meet a classified field that is not sealed? Only such
    /// a one's values are legible to the server.
    fn runs_unsealed(&mut self) -> bool {
        let Some(view) = &self.view else { return false };
        let running = self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| mark.running());
        let facts = running.and_then(|run| run.plan.facts.statements.get(run.index));
        facts.is_some_and(|facts| {
            [&facts.reads, &facts.searches, &facts.writes]
                .into_iter()
                .flatten()
                .filter_map(|id| view.snapshot().field(*id))
                .any(|field| field.domain.is_none())
        })
    }

    /// ParseComplete, BindComplete, CloseComplete: names change now. An answer to another
    /// question would move names and must not be believed.
    fn agreed(&mut self, kind: Kind) -> Result<Fate, Malformed> {
        if self.queue.front().is_none_or(|owed| owed.kind != kind) {
            return Err(Malformed("an answer that was not asked for"));
        }
        let Some(Owed { mark: Some(mark), number, .. }) = self.queue.pop() else { return Ok(Fate::Pass) };
        let Mark { change, swallow, probe, .. } = *mark;
        if let Some(change) = change {
            self.queue.names.apply(change, number);
        }
        if probe && kind == Kind::Parse {
            self.probe = Some(Probe::Readable);
        }
        if probe {
            self.still_asks();
        }
        Ok(if swallow || probe { Fate::Took } else { Fate::Pass })
    }

    /// A DataRow of something that carries a mark.
    fn row(&mut self, shop: &mut Workshop, frame: Frame<'_>, out: &mut Vec<u8>, now_ms: u64) -> Fate {
        let run = self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| {
            let completed = mark.completed;
            mark.runs.get_mut(completed).and_then(Option::take)
        });
        // Not a row of what touches nothing, which has passed already.
        let Some(mut run) = run else { return Fate::End(Refusal::protocol("a row that was not asked for")) };
        let fate = self.open(shop, &mut run, frame, out, now_ms);
        if matches!(fate, Fate::Took) && run.rows > 0 && run.rows % OUTCOME_EVERY_ROWS == 0 {
            self.note_progress(&run);
        }
        // Put back, so that the end of the session finds it too.
        if let Some(mark) = self.queue.front().and_then(|owed| owed.mark.as_mut()) {
            let completed = mark.completed;
            if let Some(place) = mark.runs.get_mut(completed) {
                *place = Some(run);
            }
        }
        fate
    }

    fn open(
        &mut self,
        shop: &mut Workshop,
        run: &mut Running,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        now_ms: u64,
    ) -> Fate {
        match self.claim_receipt(run) {
            Ok(true) => {}
            Ok(false) => return Fate::Need(Need::Durable),
            Err(refusal) => return Fate::End(refusal),
        }
        let plan = Rc::clone(&run.plan);
        let (Some(view), Some(facts)) = (self.view.clone(), plan.facts.statements.get(run.index)) else {
            return Fate::End(unforeseen());
        };
        if run.shape.is_none() {
            run.shape = run.prepared.as_ref().and_then(|prepared| prepared.shape.borrow().clone());
        }
        let shape = match &run.shape {
            Some(shape) => Rc::clone(shape),
            None if facts.reads.is_empty() => Rc::new(Shape::empty()),
            None => return Fate::End(unforeseen()),
        };
        if !facts.reads.is_empty()
            && let Err(refusal) = self.can_convert()
        {
            return Fate::End(refusal);
        }
        let possibly = run.possible.is_some();
        // A cursor of SQL has no Bind: it is BINARY or not, as it is described.
        let bound = run.prepared.as_ref().filter(|prepared| prepared.by_sql.is_none());
        let formats = bound.map(|prepared| &*prepared.formats);
        let charset = self.letters.charset();
        let look = Look { shape: &shape, formats, style: &self.style, charset, stored: false };
        let read = shop.read_subjects(&view, facts, &look, frame, run.whose.as_deref_mut());
        let opened = match read {
            Ok(()) => shop.open_row(&view, facts, &look, possibly, run.execution, frame),
            Err(refusal) => Err(refusal),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                self.alert_unopened(&refusal, run);
                return Fate::End(refusal);
            }
        };
        if !self.covers(run, opened.values()) {
            return Fate::Need(Need::Durable);
        }
        if let Some(whose) = &mut run.whose {
            whose.weigh(facts, opened.cells);
        }
        let watched = self.watched_row(opened.cells.iter().sum(), now_ms, run);
        let possible =
            |session: &mut Session| session.watched(opened.others, Attribution::Possible, now_ms, Some(run));
        let refused = watched.or_else(|| possible(self));
        if let Some(refusal) = refused.or_else(|| self.met_honey(opened.honey, run)) {
            return Fate::End(refusal);
        }
        let Some(released) = run.cover.as_ref().and_then(|cover| opened.release(cover, now_ms)) else {
            return Fate::End(Refusal::unrecorded());
        };
        out.extend_from_slice(released.bytes());
        run.note_row(opened.cells, opened.bytes, opened.others);
        self.note_opened(run, frame)
    }

    /// A Describe, if one is owed next, has its answer, as wholly as it has arrived.
    pub(super) fn described(&mut self) {
        if self.queue.front().is_some_and(|owed| owed.kind == Kind::Describe) {
            self.queue.pop();
        }
    }

    /// CommandComplete, EmptyQueryResponse, PortalSuspended.
    fn complete(&mut self, frame: Frame<'_>) -> Fate {
        self.queue.copy_over();
        let complete = frame.tag() == b'C';
        if complete && self.view.is_some() {
            let tag = frame.body().strip_suffix(b"\0").unwrap_or_default();
            self.transaction.complete(tag, &mut self.records);
            let mark = self.queue.front().and_then(|owed| owed.mark.as_ref());
            let facts = mark.and_then(|mark| mark.defines.as_ref()?.facts.statements.get(mark.completed));
            self.stated.complete(facts, tag);
            if self.certainty.may_have_defined() || self.overlay.keeps() {
                let mark = self.queue.front().and_then(|owed| owed.mark.as_ref());
                let facts = mark.and_then(|mark| mark.defines.as_ref()?.facts.statements.get(mark.completed));
                self.overlay.complete(facts, tag);
            }
        }
        let run = match self.queue.front() {
            Some(Owed { kind: Kind::Query, mark: Some(_), .. }) => {
                if complete {
                    self.queue.named();
                }
                let mark = self.queue.front().and_then(|owed| owed.mark.as_mut());
                mark.and_then(|mark| {
                    let run = mark.runs.get_mut(mark.completed).and_then(Option::take);
                    mark.completed += usize::from(complete);
                    mark.copy_begun &= !complete;
                    run
                })
            }
            Some(Owed { kind: Kind::Execute, .. }) => {
                if complete {
                    self.queue.named();
                }
                let mark = self.queue.pop().and_then(|owed| owed.mark);
                if mark.as_ref().is_some_and(|mark| mark.catalog) {
                    self.certainty.defined();
                }
                mark.and_then(|mark| mark.runs.into_iter().flatten().next())
            }
            _ => None,
        };
        if let Some(mut run) = run {
            if complete {
                run.rows = run.rows.max(backend::rows(frame.body()).unwrap_or(0));
            }
            self.count(&run);
            self.finish(&run, Ended::Completed);
        }
        Fate::Pass
    }

    fn ready(&mut self, frame: Frame<'_>) -> Result<Fate, Malformed> {
        if self.queue.is_late() {
            self.note_ready(frame);
            return Ok(Fate::Pass);
        }
        if !self.queue.front().is_some_and(|owed| owed.kind.is_boundary()) {
            return Err(Malformed("ReadyForQuery that was not asked for"));
        }
        let mark = self.queue.pop().and_then(|owed| owed.mark);
        let (mut asked, mut probed) = (false, false);
        if let Some(mark) = mark {
            (asked, probed) = (mark.asks.is_some(), mark.probe);
            self.end_stream(mark.stream, None);
            self.drop_runs(mark.runs, None, Ended::Open);
        }
        self.note_ready(frame);
        if asked || probed {
            self.still_asks();
        } else {
            self.unanswerable = false;
        }
        // Of a probe it is the client's where its error was.
        let ours = asked || probed && self.probe != Some(Probe::Told);
        Ok(if ours { Fate::Took } else { Fate::Pass })
    }

    /// Is there more to come of what was asked on our own behalf?
    fn still_asks(&mut self) {
        self.asking = self.queue.front().is_some_and(|owed| owed.is_ours());
    }

    /// FunctionCallResponse: to a question of ours, or to the client's own.
    fn function_result(&mut self, frame: Frame<'_>) -> Result<Fate, Malformed> {
        let asks = self.queue.front().and_then(|owed| owed.mark.as_ref()?.asks.clone());
        let Some(ask) = asks else { return Ok(Fate::Pass) };
        self.learn(&ask, backend::read_function_result(frame.body())?);
        Ok(Fate::Took)
    }

    fn note_ready(&mut self, frame: Frame<'_>) {
        let status = frame.body().first().copied().unwrap_or(b'I');
        self.certainty.ready(status, self.queue.boundaries() == 0);
        self.transaction.ready(status, &mut self.records);
        self.stated.ready(status, self.queue.is_empty());
        self.renew_who();
        self.met_unsealed = false;
        if !self.certainty.in_transaction() {
            self.letters.rest();
            if self.queue.is_empty() {
                self.close_late();
            }
            self.in_use.clear();
            self.has_old_portals = false;
            self.overlay.end();
            self.queue.names.end_transaction();
        }
    }

    /// `frame`: none where it does not stand whole before us.
    fn error(
        &mut self,
        facts: ErrorFacts,
        frame: Option<Frame<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<Fate, Malformed> {
        self.transaction.fail(&mut self.records);
        self.stated.fail();
        self.overlay.fail();
        // Nothing comes behind what ends the session.
        self.queue.copy_failed().or_else(|error| if facts.fatal { Ok(()) } else { Err(error) })?;
        self.end_copy_in();
        let boundary = self.queue.front().is_some_and(|owed| owed.kind.is_boundary());
        if boundary {
            let Some(mark) = self.queue.front().and_then(|owed| owed.mark.as_mut()) else {
                self.note_failure(true, facts.sqlstate);
                return Ok(Fate::Pass);
            };
            if mark.asks.is_some() && !facts.fatal {
                return Ok(self.not_answered());
            }
            let (refusal, moved) = (mark.refusal.take(), mark.moved.take());
            let (naming, completed) = (mark.naming.take(), mark.completed);
            let (runs, stream) = (std::mem::take(&mut mark.runs), mark.stream.take());
            self.end_stream(stream, Some(facts.sqlstate));
            self.queue.unnamed(naming, completed);
            self.drop_runs(runs, Some(facts.sqlstate), undone(facts));
            self.note_failure(refusal.is_none(), facts.sqlstate);
            let charset = self.letters.charset();
            return Ok(dress(refusal, moved.as_deref(), facts, (frame, charset), out));
        }
        let first = self.queue.pop();
        let moved = first.as_ref().and_then(|owed| owed.mark.as_ref()?.moved.clone());
        let probe = first.as_ref().is_some_and(Owed::is_ours);
        let mut refusal = self.fail(first, facts);
        let mut skips_ours = false;
        while let Some(skipped) = self.queue.skip() {
            skips_ours |= skipped.is_ours();
            self.fail(Some(skipped), facts);
        }
        if skips_ours && !probe {
            // It is not looked at; nor will the message be that it was sent for.
            self.still_asks();
            self.probe = None;
        }
        if probe {
            self.still_asks();
            // In the extended protocol the server discards the message, as we do.
            self.probe = self.asking.then_some(Probe::Told);
            if is_of_text(facts.sqlstate) {
                refusal = None;
            } else if let Some(refusal) = &refusal {
                self.note_refusal(refusal, None);
            }
        }
        self.note_failure(refusal.is_none(), facts.sqlstate);
        Ok(dress(refusal, moved.as_deref(), facts, (frame, self.letters.charset()), out))
    }

    /// What the watch looks at, where it is the server's own.
    fn note_failure(&mut self, own: bool, sqlstate: [u8; 5]) {
        if own && (sqlstate.starts_with(b"22") || sqlstate.starts_with(b"42")) {
            self.events.push(Event::Failed { sqlstate });
        }
    }

    /// A question that was answered with an error, which the client did not ask. Its own
    /// transaction has failed with it.
    fn not_answered(&mut self) -> Fate {
        self.unanswerable = true;
        if !self.certainty.in_transaction() {
            return Fate::Took;
        }
        let detail = "The server did not say where names lead, and the transaction cannot go on.";
        Fate::End(Refusal::unhandled("unsettled-path", detail, "Connect again."))
    }

    /// What was asked in vain. The refusal, if it was one of ours.
    fn fail(&mut self, owed: Option<Owed>, facts: ErrorFacts) -> Option<Refusal> {
        let Owed { mark, number, .. } = owed?;
        let mark = mark?;
        if mark.awaits_copy() {
            self.queue.drop_copy_data();
        }
        let by_sql = mark.naming.iter().flat_map(|naming| naming.changes.iter().map(|(_, change)| change));
        mark.change.iter().chain(by_sql).for_each(|change| self.queue.names.fail(change, number));
        self.drop_runs(mark.runs, Some(facts.sqlstate), undone(facts));
        mark.refusal
    }

    /// Outcomes of executions that ended otherwise than by completing.
    pub(super) fn drop_runs(&mut self, runs: Vec<Option<Running>>, sqlstate: Option<[u8; 5]>, ended: Ended) {
        for mut run in runs.into_iter().flatten() {
            run.sqlstate = sqlstate;
            self.count(&run);
            self.finish(&run, ended);
        }
    }
}

/// What an error that ends the session leaves behind nobody can say; any other undoes its statement.
fn undone(facts: ErrorFacts) -> Ended {
    if facts.fatal { Ended::Open } else { Ended::Undone }
}

fn too_large(bytes: usize) -> Refusal {
    let detail = format!("A message of {bytes} bytes is larger than twice limits.frame_bytes_max.");
    Refusal::too_large(&detail, "Read fewer columns, or raise limits.frame_bytes_max.")
}

/// The server's error with our words, where it answers a refusal of ours; otherwise its own,
/// with its place in the text that the client sent. What ends the session is the server's own.
fn dress(
    refusal: Option<Refusal>,
    moved: Option<&Moved>,
    facts: ErrorFacts,
    (frame, charset): (Option<Frame<'_>>, Option<&Charset>),
    out: &mut Vec<u8>,
) -> Fate {
    let Some(refusal) = refusal.filter(|_| !facts.fatal) else {
        let Some((moved, frame)) = moved.zip(frame) else { return Fate::Pass };
        backend::put_at(out, frame, |position| moved.back(position));
        return Fate::Took;
    };
    let start = out.len();
    put_error(
        out,
        ErrorText {
            severity: "ERROR",
            sqlstate: refusal.sqlstate,
            message: refusal.message,
            detail: Some(&*refusal.detail).filter(|text| !text.is_empty()),
            hint: Some(&*refusal.hint).filter(|text| !text.is_empty()),
        },
    );
    write_for(charset, out, start);
    Fate::Took
}
