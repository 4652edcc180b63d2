//! COPY of classified columns: rows are found in the stream, and each goes the way of any other row.
//! Out: a row is opened, counted and released against its receipt. In: its values are sealed before
//! the row goes on. No more of the stream is held than one row.

use std::rc::Rc;
use std::sync::Arc;

use super::Step;
use super::clear::Given;
use super::copies::{CopyIn, Stream};
use super::letters::{in_utf8, of_copy};
use super::owed::{Kind, Running};
use super::plan::{Plan, Workshop};
use super::release::Look;
use super::response::Fate;
use super::session::{Event, Session};
use super::shape::{Shape, unforeseen};
use super::subjects::{Fed, Form, Whose};
use super::values::{Manner, field_of};
use super::view::View;
use super::{Need, about::About};
use crate::audit::Attribution;
use crate::catalog::FieldId;
use crate::policy::Refusal;
use crate::statement::{CopyFacts, StatementFacts, Taken};
use crate::types::Format;
use crate::wire::charset::Charset;
use crate::wire::copy::{self, Broken, Header, Layout, Piece, Value};
use crate::wire::{Frame, Malformed, Peek, peek};

/// Why the data is not taken.
enum Fault {
    Broken(Broken),
    Refused(Refusal),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        Fault::Broken(broken)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refused(refusal)
    }
}

impl Fault {
    fn refusal(self, line: u64) -> Refusal {
        match self {
            Fault::Broken(Broken(what)) => {
                let detail = format!("The data of COPY is {what}: line or row {line}.");
                Refusal::unhandled("copy", &detail, "Send it in the format that the COPY names.")
            }
            Fault::Refused(refusal) => {
                Refusal { detail: format!("{}, in line or row {line} of COPY", refusal.detail), ..refusal }
            }
        }
    }
}

/// What every row of the data is opened by.
struct Copied<'a> {
    view: &'a View,
    facts: &'a StatementFacts,
    shape: &'a Shape,
    format: &'a copy::Format,
    charset: Option<&'static Charset>,
    now_ms: u64,
}

/// Why nothing of it is opened.
enum Unread {
    /// Something must come first.
    First(Need),
    Never(Refusal),
}

/// Of a long result so much is opened before it is written.
const TURN_BYTES: usize = 65_536;

fn copy_of(run: &Running) -> Option<Arc<CopyFacts>> {
    run.plan.facts.statements.get(run.index)?.copy.clone()
}

// ---- out ----------------------------------------------------------------------------------

impl Session {
    /// Does the server answer with data in which values are opened?
    pub(super) fn copies_out(&mut self) -> bool {
        let mark = self.queue.front().and_then(|owed| owed.mark.as_mut());
        mark.and_then(|mark| mark.running()).is_some_and(|run| copy_of(run).is_some_and(|copy| !copy.from))
    }

    /// CopyOutResponse and CopyInResponse: as many columns as were judged?
    pub(super) fn copy_begins(&mut self, frame: Frame<'_>) -> Result<Fate, Malformed> {
        let mark = self.queue.front().and_then(|owed| owed.mark.as_mut());
        let running = mark.and_then(|mark| mark.running());
        let facts = running.and_then(|run| Some((copy_of(run)?, run.plan.facts.statements.get(run.index)?)));
        let Some((copy, facts)) = facts else {
            if frame.tag() == b'G' {
                self.queue.copy_in();
            }
            return Ok(Fate::Pass);
        };
        let [format, high, low, ..] = frame.body() else { return Err(Malformed("invalid COPY response")) };
        let columns = usize::from(u16::from_be_bytes([*high, *low]));
        let judged = if copy.from { copy.fields.len() } else { facts.outputs.len() };
        let binary = copy.format.layout == Layout::Binary;
        if columns != judged || (*format == 1) != binary || (frame.tag() == b'G') != copy.from {
            return Ok(Fate::End(unforeseen()));
        }
        if let Err(refusal) = self.can_convert() {
            return Ok(Fate::End(refusal));
        }
        if copy.from {
            self.queue.copy_in();
            if let Some(mark) = self.queue.front().and_then(|owed| owed.mark.as_mut()) {
                mark.copy_begun = true;
            }
            let stream = Stream::new(&copy.format, self.dot_ends);
            self.copy_in = Some(Box::new(CopyIn { stream, of: copy, left: 0, sealed: Vec::new() }));
        }
        Ok(Fate::Pass)
    }

    /// As many messages of the data as have come whole: what of it is whole rows goes on, open.
    pub(super) fn copied(
        &mut self,
        shop: &mut Workshop,
        input: &[u8],
        out: &mut Vec<u8>,
        now_ms: u64,
    ) -> Step {
        let taken = self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| {
            let completed = mark.completed;
            mark.runs.get_mut(completed).and_then(Option::take)
        });
        let Some(mut run) = taken else { return self.end_answer(unforeseen()) };
        let opened = self.open_copied(shop, &mut run, input, out, now_ms);
        // Put back, so that the end of the session finds it too.
        if let Some(mark) = self.queue.front().and_then(|owed| owed.mark.as_mut()) {
            let completed = mark.completed;
            if let Some(place) = mark.runs.get_mut(completed) {
                *place = Some(run);
            }
        }
        match opened {
            Ok(count) => Step::Took(count),
            Err(Unread::First(need)) => Step::Need(need),
            Err(Unread::Never(refusal)) => self.end_answer(refusal),
        }
    }

    fn open_copied(
        &mut self,
        shop: &mut Workshop,
        run: &mut Running,
        input: &[u8],
        out: &mut Vec<u8>,
        now_ms: u64,
    ) -> Result<usize, Unread> {
        match self.claim_receipt(run) {
            Ok(true) => {}
            Ok(false) => return Err(Unread::First(Need::Durable)),
            Err(refusal) => return Err(Unread::Never(refusal)),
        }
        let plan = Rc::clone(&run.plan);
        let facts = plan.facts.statements.get(run.index);
        let (Some(view), Some(facts), Some(copy)) = (self.view.clone(), facts, copy_of(run)) else {
            return Err(Unread::Never(unforeseen()));
        };
        let Some(shape) = Shape::of_copy(facts, &view) else { return Err(Unread::Never(unforeseen())) };
        let charset = of_copy(&copy, self.letters.charset());
        let of = Copied { view: &view, facts, shape: &shape, format: &copy.format, charset, now_ms };
        let mut stream = run.copying.take().unwrap_or_else(|| Box::new(Stream::new(&copy.format, false)));
        let (mut used, begun) = (0, out.len());
        // One message for each that came: a client may take one for a row.
        let opened = loop {
            let rest = input.get(used..).unwrap_or_default();
            let frame = match peek(rest) {
                Ok(Peek::Whole(frame)) if frame.tag() == b'd' && out.len() - begun < TURN_BYTES => frame,
                Ok(_) | Err(Malformed(_)) => break Ok(used),
            };
            used += frame.len();
            let start = out.len();
            out.extend_from_slice(b"d\0\0\0\0");
            let opened = if stream.rest.is_empty() {
                // Most often it is one whole row, of which no copy is made.
                let at = self.open_rows(shop, run, &of, &mut stream, frame.body(), out);
                at.map(|at| stream.append(frame.body().get(at..).unwrap_or_default()))
            } else {
                stream.append(frame.body());
                let rest = std::mem::take(&mut stream.rest);
                let at = self.open_rows(shop, run, &of, &mut stream, &rest, out);
                stream.rest = rest;
                at.map(|at| stream.drop_head(at))
            };
            let bytes = out.len() - start - 1;
            if bytes <= 4 {
                out.truncate(start);
            } else if let Some(length) = out.get_mut(start + 1..start + 5) {
                length.copy_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
            }
            if let Err(refusal) = opened {
                out.truncate(start);
                break Err(Unread::Never(refusal));
            }
            if stream.rest.len() > self.bounds.answer_bytes_max() {
                break Err(Unread::Never(too_long()));
            }
        };
        run.copying = Some(stream);
        opened
    }

    /// Opens the rows at the head of `data`, and says how many of its bytes they are.
    fn open_rows(
        &mut self,
        shop: &mut Workshop,
        run: &mut Running,
        of: &Copied<'_>,
        stream: &mut Stream,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        let Copied { view, facts, shape, format, charset, now_ms } = *of;
        let mut at = 0;
        loop {
            let data = data.get(at..).unwrap_or_default();
            let piece = stream.rows.next(format, data, false).map_err(|_| unforeseen())?;
            let (whole, row) = match piece {
                Piece::More => break,
                Piece::Row(row, end) => (row + end, row),
                Piece::Preamble(whole) | Piece::End(whole) => {
                    out.extend_from_slice(data.get(..whole).unwrap_or_default());
                    at += whole;
                    stream.ended |= matches!(piece, Piece::End(_));
                    continue;
                }
            };
            at += whole;
            if stream.ended {
                return Err(unforeseen());
            }
            if std::mem::take(&mut stream.header) {
                out.extend_from_slice(data.get(..whole).unwrap_or_default());
                continue;
            }
            let (Some(row), Some(end)) = (data.get(..row), data.get(row..whole)) else {
                return Err(unforeseen());
            };
            let possibly = run.possible.is_some();
            let look = Look { shape, formats: None, style: &self.style, charset, stored: run.stored };
            let whose = run.whose.as_deref_mut();
            let read = shop.read_subjects_of_line(view, facts, &look, format, row, whose);
            let opened = match read {
                Ok(()) => shop.open_line(view, facts, &look, format, possibly, run.execution, row),
                Err(refusal) => Err(refusal),
            };
            let opened = match opened {
                Ok(opened) => opened,
                Err(refusal) => {
                    self.alert_unopened(&refusal, run);
                    return Err(refusal);
                }
            };
            if let Some(whose) = &mut run.whose {
                whose.weigh(facts, opened.cells);
            }
            let watched = self.watched_row(opened.cells.iter().sum(), now_ms, run);
            let possible = |session: &mut Session| {
                session.watched(opened.others, Attribution::Possible, now_ms, Some(run))
            };
            let refused = watched.or_else(|| possible(self));
            if let Some(refusal) = refused.or_else(|| self.met_honey(opened.honey, run)) {
                return Err(refusal);
            }
            let released = run.cover.as_ref().and_then(|cover| opened.release(cover, now_ms));
            out.extend_from_slice(released.ok_or_else(Refusal::unrecorded)?.bytes());
            out.extend_from_slice(end);
            let (bytes, others) = (opened.bytes, opened.others);
            run.note_row(opened.cells, bytes, others);
        }
        Ok(at)
    }

    /// CopyDone of the server: nothing of a row is left.
    pub(super) fn copied_all(&mut self) -> Fate {
        let mark = self.queue.front().and_then(|owed| owed.mark.as_mut());
        let stream = mark.and_then(|mark| mark.running()).and_then(|run| run.copying.as_ref());
        if stream.is_none_or(|stream| stream.rest.is_empty()) { Fate::Pass } else { Fate::End(unforeseen()) }
    }
}

fn too_long() -> Refusal {
    let detail = "A row of COPY is larger than limits.frame_bytes_max.";
    Refusal::too_large(detail, "Copy smaller rows, or raise limits.frame_bytes_max.")
}

// ---- in -----------------------------------------------------------------------------------

impl Session {
    /// Is data that comes now, or may come, that of a COPY in which values are sealed?
    pub(super) fn copies_in(&self) -> bool {
        self.copy_in.is_some() || self.queue.owes_copies()
    }

    /// CopyData, as much of it as has arrived. `len`: of the whole message, with its head.
    pub(super) fn take_copy_data(
        &mut self,
        shop: &mut Workshop,
        len: usize,
        head: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        if self.copy_in.is_none() {
            // The server has not said yet that it takes any.
            return Step::Need(Need::Settle);
        }
        let data = head.get(5..).unwrap_or_default();
        if let Some(copy) = &mut self.copy_in {
            copy.left = len - head.len();
        }
        self.feed(shop, data, false, out);
        Step::Took(head.len())
    }

    /// What is still to come of a CopyData that is under way.
    pub(super) fn take_copy_more(
        &mut self,
        shop: &mut Workshop,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let left = self.copy_in.as_ref().map(|copy| copy.left).filter(|left| *left > 0)?;
        let count = left.min(input.len());
        let Some(data) = input.get(..count).filter(|data| !data.is_empty()) else {
            return Some(Step::Need(Need::Input));
        };
        if let Some(copy) = &mut self.copy_in {
            copy.left -= count;
        }
        self.feed(shop, data, false, out);
        Some(Step::Took(count))
    }

    /// CopyDone or CopyFail.
    pub(super) fn take_copy_end(&mut self, shop: &mut Workshop, frame: Frame<'_>, out: &mut Vec<u8>) -> Step {
        if self.copy_in.is_none() {
            return Step::Need(Need::Settle);
        }
        if frame.tag() == b'c' {
            self.feed(shop, &[], true, out);
        }
        let Some(copy) = self.copy_in.take() else { return Step::Took(frame.len()) };
        self.count_copied(copy.sealed);
        out.extend_from_slice(frame.bytes());
        self.note(frame.tag(), frame.bytes());
        Step::Took(frame.len())
    }

    fn count_copied(&mut self, mut sealed: Vec<FieldId>) {
        let Some(view) = self.view.clone() else { return };
        sealed.sort_unstable();
        for run in sealed.chunk_by(|a, b| a == b) {
            if let Some(field) = run.first().and_then(|id| view.field_use(*id)) {
                let (field, count) = (field.field.clone(), run.len() as u64);
                self.events.push(Event::Cells { field, operation: "seal", count });
            }
        }
    }

    /// Seals what is whole of the data, and sends it on; where that cannot be done the COPY fails.
    fn feed(&mut self, shop: &mut Workshop, data: &[u8], ended: bool, out: &mut Vec<u8>) {
        let (Some(mut copy), Some(view)) = (self.copy_in.take(), self.view.clone()) else { return };
        copy.stream.append(data);
        let start = out.len();
        out.extend_from_slice(b"d\0\0\0\0");
        let charset = of_copy(&copy.of, self.letters.charset());
        let mut whose = self.whose_of_copy();
        let manner = Manner { style: &self.style, sure: true, charset };
        let fed = feed_rows(shop, &view, &mut copy, manner, whose.as_mut(), ended, out);
        if let (Some(telling), Some(run)) = (whose, self.running_copy()) {
            run.whose = Some(telling.whose);
        }
        let fed = fed.map_err(|fault| fault.refusal(copy.stream.line)).and_then(|()| {
            if copy.stream.rest.len() > self.bounds.frame_bytes_max { Err(too_long()) } else { Ok(()) }
        });
        let bytes = out.len() - start - 1;
        match fed {
            Ok(()) if bytes > 4 => {
                if let Some(length) = out.get_mut(start + 1..start + 5) {
                    length.copy_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
                }
            }
            Ok(()) => out.truncate(start),
            Err(refusal) => {
                out.truncate(start);
                return self.fail_copy(*copy, refusal, out);
            }
        }
        self.ciphered = true;
        if copy.sealed.len() >= COUNTED_EVERY {
            self.count_copied(std::mem::take(&mut copy.sealed));
        }
        self.copy_in = Some(copy);
    }

    /// The COPY that takes data now.
    fn running_copy(&mut self) -> Option<&mut Running> {
        self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| mark.running())
    }

    /// Whose data it is. None: nothing in it tells.
    fn whose_of_copy(&mut self) -> Option<Telling> {
        let run = self.running_copy()?;
        let facts = run.plan.facts.statements.get(run.index)?;
        let tells = facts.subjects.iter().any(|one| one.place.is_some());
        let (plan, index) = (Rc::clone(&run.plan), run.index);
        run.whose.take_if(|_| tells).map(|whose| Telling { whose, plan, index })
    }

    /// The server is told that the client fails the COPY, and its error is dressed.
    fn fail_copy(&mut self, copy: CopyIn, refusal: Refusal, out: &mut Vec<u8>) {
        self.count_copied(copy.sealed);
        let mark = self.queue.front().and_then(|owed| owed.mark.as_mut());
        if let Some(mark) = mark {
            self.about = mark.running().map(|run| About::run(run));
            mark.refusal = Some(refusal.clone());
        }
        self.note_refusal(&refusal, None);
        let mut fail = b"sealgate refused the data ".to_vec();
        fail.extend_from_slice(&self.mark);
        crate::wire::frontend::put_copy_fail(out, &fail);
        self.owe_plain(Kind::CopyEnd, super::certainty::Doubt::NONE);
        self.request_dropping = copy.left;
        self.queue.drop_copy_data();
    }

    /// The server has failed it: what the client still sends of it goes nowhere.
    pub(super) fn end_copy_in(&mut self) {
        if let Some(copy) = self.copy_in.take() {
            self.count_copied(copy.sealed);
            self.request_dropping = copy.left;
            self.queue.drop_copy_data();
        } else if self
            .queue
            .front()
            .and_then(|owed| owed.mark.as_ref())
            .is_some_and(|mark| mark.awaits_copy())
        {
            self.queue.drop_copy_data();
        }
    }
}

/// By what the data of a COPY tells whose it is.
struct Telling {
    whose: Box<Whose>,
    plan: Rc<Plan>,
    /// The statement of the plan.
    index: usize,
}

impl Telling {
    fn facts(&self) -> Option<&StatementFacts> {
        self.plan.facts.statements.get(self.index)
    }

    fn read(&mut self, shop: &Workshop, view: &View, column: usize, format: Form, told: Fed<'_>) {
        if let Some(facts) = self.plan.facts.statements.get(self.index) {
            shop.feed_subject(view, facts, column, format, told, &mut self.whose);
        }
    }
}

/// Sealed values are counted every so many.
const COUNTED_EVERY: usize = 65_536;

fn feed_rows(
    shop: &mut Workshop,
    view: &View,
    copy: &mut CopyIn,
    manner: Manner<'_>,
    mut telling: Option<&mut Telling>,
    ended: bool,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let CopyIn { stream, of, sealed, .. } = copy;
    let format = &of.format;
    let mut at = 0;
    while !stream.ended {
        let data = stream.rest.get(at..).unwrap_or_default();
        stream.line += 1;
        let (row, whole) = match stream.rows.next(format, data, ended)? {
            Piece::More => {
                stream.line -= 1;
                break;
            }
            Piece::Row(row, end) => (row, row + end),
            Piece::Preamble(whole) => {
                stream.line -= 1;
                out.extend_from_slice(data.get(..whole).unwrap_or_default());
                at += whole;
                continue;
            }
            // What comes behind it nobody reads: it is not sent.
            Piece::End(_) => {
                if format.layout == Layout::Binary {
                    out.extend_from_slice(&(-1_i16).to_be_bytes());
                    stream.ended = true;
                    at += 2;
                    continue;
                }
                stream.ended = true;
                break;
            }
        };
        let (Some(fields), Some(end)) = (data.get(..row), data.get(row..whole)) else { break };
        at += whole;
        if std::mem::take(&mut stream.header) {
            // Behind a header that is not matched the server reads no row: none is sent.
            stream.ended = !put_header(of, fields, manner.charset, out)?;
        } else {
            let before = out.len();
            seal_row(shop, view, of, fields, manner, telling.as_deref_mut(), sealed, out)?;
            if out.len() == before && end.is_empty() && format.has_lines() {
                // A last line without values, which would be none without an end.
                out.push(b'\n');
            }
        }
        out.extend_from_slice(end);
    }
    if stream.ended {
        if format.layout == Layout::Binary && stream.rest.len() > at {
            return Err(Broken("not at its end where it says so").into());
        }
        at = stream.rest.len();
    }
    stream.drop_head(at);
    if ended && stream.rest.len() > 1 && format.layout == Layout::Binary && stream.rows.has_begun() {
        // It is cut within a row, and so is what the server gets.
        format.begin(out, of.fields.len());
    }
    Ok(())
}

/// A header holds names. What the server does not look at is not sent, in case that it is a row. Returns whether rows may
/// follow.
fn put_header(
    of: &CopyFacts,
    line: &[u8],
    charset: Option<&'static Charset>,
    out: &mut Vec<u8>,
) -> Result<bool, Fault> {
    let mut same = true;
    let visited = of.format.visit::<Fault>(
        line,
        |column, _, value| {
            let known = of.names.get(column).map(|name| name.as_bytes());
            same &= match &value {
                Some(Value::Given(name)) => in_utf8(charset, name).is_some_and(|name| known == Some(&*name)),
                Some(Value::Null | Value::Default) | None => false,
            };
            Ok(())
        },
        |_| true,
    );
    let count = match visited {
        Ok(count) => count,
        // Nobody looks at it, so that it may be anything.
        Err(_) if of.format.header == Header::Yes => return Ok(true),
        Err(fault) => return Err(fault),
    };
    if same && count == of.names.len() {
        out.extend_from_slice(line);
    } else if of.format.header == Header::Match {
        (0..count).for_each(|column| of.format.put(out, column, b"?", count == 1));
        return Ok(false);
    }
    Ok(true)
}

/// Does a field of the text format write a byte by its number: `\x..` or octal?
fn has_byte_escape(mut raw: &[u8]) -> bool {
    while let Some(at) = raw.iter().position(|byte| *byte == b'\\') {
        if matches!(raw.get(at + 1), Some(b'x' | b'0'..=b'7')) {
            return true;
        }
        raw = raw.get(at + 2..).unwrap_or_default();
    }
    false
}

fn seal_row(
    shop: &mut Workshop,
    view: &View,
    of: &CopyFacts,
    row: &[u8],
    manner: Manner<'_>,
    mut telling: Option<&mut Telling>,
    sealed: &mut Vec<FieldId>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let format = &of.format;
    let count = match (format.count(row), &format.layout) {
        (Err(_), Layout::Csv(csv)) => {
            // A quote is not closed: the server says so of any.
            out.push(csv.quote);
            return Ok(());
        }
        (count, _) => count?,
    };
    format.begin(out, count);
    if count != of.fields.len() {
        // The server refuses it: by a row of as many fields, in which nothing stands.
        (0..count).for_each(|column| format.put_null(out, column));
        return Ok(());
    }
    let field = |column: usize| of.fields.get(column).copied().flatten();
    let domain = |column: usize| {
        field(column).and_then(|id| view.snapshot().field(id)).is_some_and(|field| field.domain.is_some())
    };
    let facts = telling.as_ref().and_then(|telling| telling.facts());
    let places = facts.into_iter().flat_map(|facts| facts.subjects.iter().filter_map(|one| one.place));
    let tells: Vec<usize> = places.collect();
    let (mut value_sealed, mut taken) = (Vec::new(), Taken::default());
    let binary = format.layout == Layout::Binary;
    let form = if binary { Format::Binary } else { Format::Text };
    format.visit::<Fault>(
        row,
        |column, raw, value| {
            if let Some(telling) = telling.as_deref_mut().filter(|_| tells.contains(&column)) {
                let told = match &value {
                    Some(Value::Given(plain)) => Fed::Value(plain),
                    Some(Value::Default) => Fed::Default,
                    Some(Value::Null) | None => Fed::Null,
                };
                telling.read(shop, view, column, (form, manner.charset), told);
            }
            match (value, field(column).filter(|_| domain(column))) {
                (Some(Value::Given(plain)), Some(id)) => {
                    // The server converts a line before it reads the escapes in it, whose bytes are its own.
                    let is_text = matches!(format.layout, Layout::Text { .. });
                    if is_text && manner.charset.is_some() && !plain.is_ascii() && has_byte_escape(raw) {
                        let detail =
                            "a byte is escaped beside characters beyond ASCII in another encoding than UTF8";
                        return Err(Refusal::value(&field_of(view, id)?.path(), detail).into());
                    }
                    value_sealed.clear();
                    taken.stored.clear();
                    taken.stored.push(id);
                    let given = Given {
                        of: binary.then(|| field_of(view, id).map(|one| one.logical)).transpose()?,
                        format: form,
                        plain: &plain,
                    };
                    shop.seal_value(view, field_of(view, id)?, &taken, &given, manner, &mut value_sealed)?;
                    sealed.push(id);
                    format.put(out, column, &value_sealed, count == 1);
                }
                (Some(Value::Null | Value::Default | Value::Given(_)) | None, _) => {
                    format.put_as_it_is(out, column, raw);
                }
            }
            Ok(())
        },
        |column| domain(column) || tells.contains(&column),
    )?;
    if let Some(telling) = telling {
        telling.whose.fed();
    }
    Ok(())
}
