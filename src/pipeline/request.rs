//! The street in: the client's frames towards the server.

use std::rc::Rc;

use super::certainty::Doubt;
use super::doors::Watched;
use super::names::{Change, Meaning, Prepared};
use super::owed::{Discard, Kind, Mark, Target};
use super::plan::{Plan, Workshop};
use super::session::{Session, too_many_names};
use super::underway::{holds, may_use};
use super::{Need, Step};
use crate::policy::Refusal;
use crate::statement::{Effect, NEUTRAL_BYTES_MAX, is_neutral, prepared_names};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::frontend;
use crate::wire::{Frame, Malformed, Peek, peek};

/// Longest portal and statement name looked for at the head of a Bind, in bytes.
const NAMES_BYTES_MAX: usize = 4_096;

/// Large-object functions that FunctionCall may reach (`pg_proc.oid`, fixed by the server's
/// own catalog data). Not `lo_import` and `lo_export`, which reach the server's files.
const LARGE_OBJECT_FUNCTIONS: [u32; 17] =
    [715, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460];

/// What to do with a frame that has not wholly arrived.
enum Part {
    Wait,
    /// It passes as it comes.
    Stream,
    /// The same, and is watched.
    Watch,
    Refuse(Target, Refusal),
    Discard,
    /// It depends on an answer that has not come.
    Settle,
    Broken(&'static str),
}

impl Session {
    /// Walks the frames at the head of `input`; what is not passed as it came is appended
    /// to `out`.
    pub fn request(&mut self, shop: &mut Workshop, input: &[u8], out: &mut Vec<u8>) -> Step {
        self.now_s = shop.now_s;
        if self.held.is_some() {
            return self.resume(out);
        }
        if self.asking {
            return Step::Need(Need::Settle);
        }
        if self.is_barred() && !input.is_empty() && !self.is_streaming() && !std::mem::take(&mut self.denied)
        {
            return Step::Need(Need::Passage);
        }
        if self.request_passing > 0 {
            let count = self.request_passing.min(input.len());
            let last = count == self.request_passing;
            if let Err(refusal) = self.doors.pass(input.get(..count).unwrap_or(&[]), last) {
                return self.end(refusal);
            }
            return pass_on(&mut self.request_passing, input).map_or(Step::Need(Need::Input), Step::Pass);
        }
        if self.request_dropping > 0 {
            return pass_on(&mut self.request_dropping, input).map_or(Step::Need(Need::Input), Step::Took);
        }
        if let Some(step) = self.take_copy_more(shop, input, out) {
            return step;
        }
        if let Some(step) = self.asks_ahead(input, out) {
            return step;
        }
        let mut run = 0;
        loop {
            if self.queue.owes_most() {
                return if run > 0 { Step::Pass(run) } else { Step::Need(Need::Settle) };
            }
            let rest = input.get(run..).unwrap_or(&[]);
            match peek(rest) {
                Err(Malformed(_)) if run > 0 => return Step::Pass(run),
                Err(Malformed(detail)) => return self.protocol_error(detail),
                Ok(Peek::Nothing) => break,
                Ok(Peek::Partial { tag: b'd', len, head }) if self.copies_in() && !self.discards(b'd') => {
                    return if run > 0 { Step::Pass(run) } else { self.take_copy_data(shop, len, head, out) };
                }
                // Which statement it binds may not have arrived.
                Ok(Peek::Partial { tag: b'B', .. }) if self.has_coming() => {
                    return if run > 0 { Step::Pass(run) } else { self.waits_for_names() };
                }
                Ok(Peek::Partial { tag, len, head }) => match self.part(tag, len, head) {
                    Part::Wait => break,
                    Part::Watch if run > 0 => return Step::Pass(run),
                    part @ (Part::Stream | Part::Watch) => {
                        if matches!(part, Part::Watch) {
                            self.doors.begin();
                            let body = head.get(HEADER_BYTES..).unwrap_or(&[]);
                            if let Err(refusal) = self.doors.pass(body, false) {
                                return self.end(refusal);
                            }
                        }
                        self.note(tag, head);
                        self.request_passing = len - head.len();
                        run += head.len();
                        break;
                    }
                    _ if run > 0 => return Step::Pass(run),
                    Part::Refuse(target, refusal) => {
                        if matches!(tag, b'P' | b'Q') {
                            self.fails_unseen();
                        }
                        self.request_dropping = len - head.len();
                        return self.refuse(head.len(), &target, refusal, None, out);
                    }
                    Part::Settle if self.queue.is_copying() => return self.within_copy(),
                    Part::Settle => return Step::Need(Need::Settle),
                    Part::Discard => {
                        if !self.note_discarded(tag, head, false) {
                            return self.end(too_many_names());
                        }
                        self.request_dropping = len - head.len();
                        return Step::Took(head.len());
                    }
                    Part::Broken(detail) => return self.protocol_error(detail),
                },
                Ok(Peek::Whole(frame)) => {
                    if self.discards(frame.tag()) {
                        if run > 0 {
                            return Step::Pass(run);
                        }
                        if !self.note_discarded(frame.tag(), frame.bytes(), true) {
                            return self.end(too_many_names());
                        }
                        return Step::Took(frame.len());
                    }
                    if self.uses_coming(frame) {
                        return if run > 0 { Step::Pass(run) } else { self.take_denied(frame, out) };
                    }
                    if self.newer && matches!(frame.tag(), b'P' | b'Q') {
                        return if run > 0 { Step::Pass(run) } else { self.take_between(frame, out) };
                    }
                    if self.concerns(frame) {
                        return if run > 0 {
                            Step::Pass(run)
                        } else {
                            self.take_out_of_copy(shop, frame, out)
                        };
                    }
                    self.note(frame.tag(), frame.bytes());
                    run += frame.len();
                }
            }
        }
        if run > 0 { Step::Pass(run) } else { Step::Need(Need::Input) }
    }

    /// Is somebody else about to give a name to what is classified?
    fn has_coming(&self) -> bool {
        self.barred.as_ref().is_some_and(|barred| !barred.names.is_empty())
    }

    /// Waits for that, or ends the session where it has waited for too long.
    fn waits_for_names(&mut self) -> Step {
        if std::mem::take(&mut self.denied) { self.end(name_underway()) } else { Step::Need(Need::Passage) }
    }

    /// May this message use a name that somebody else is about to give to what is classified?
    fn uses_coming(&self, frame: Frame<'_>) -> bool {
        let Some(barred) = self.barred.as_ref().filter(|barred| !barred.names.is_empty()) else {
            return false;
        };
        let uses = |text: &[u8]| may_use(text, barred.names.iter());
        match frame.tag() {
            // EXECUTE by SQL has the names of another text looked up.
            b'Q' => uses(frame.body()) || holds(frame.body(), b"execute"),
            b'P' => {
                let text = frame.body().splitn(2, |byte| *byte == 0).nth(1).unwrap_or_default();
                uses(text) || holds(text, b"execute")
            }
            // And binding those of the statement: of one without a name that was parsed now they were looked at.
            b'B' => match frontend::bind_names(frame.body()) {
                Ok((_, b"")) => !self.underway.has_parsed(),
                Ok((_, name)) => match self.queue.statement(name) {
                    Meaning::Judged(prepared) => prepared.text.as_ref().is_none_or(|kept| uses(kept.bytes())),
                    Meaning::Plain | Meaning::Unsettled => true,
                },
                Err(_) => true,
            },
            b'E' => self.parses_copy,
            _ => false,
        }
    }

    /// It waits for that; and is refused where it has waited for too long.
    fn take_denied(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Step {
        if !std::mem::take(&mut self.denied) {
            return Step::Need(Need::Passage);
        }
        let refusal = name_underway();
        let name = frame.body().split(|byte| *byte == 0).next().unwrap_or(&[]);
        let target = match frame.tag() {
            b'P' => Target::Parse(name.into()),
            b'B' => Target::Bind(name.into()),
            b'E' => Target::Execute,
            _ => Target::Query,
        };
        if matches!(frame.tag(), b'B' | b'E') {
            return self.refuse(frame.len(), &target, refusal, None, out);
        }
        self.refuse_own_text(frame.len(), &target, refusal, frame.body(), out)
    }

    /// A text that comes while the catalog is newer than this session's: it waits for the end of the
    /// batch, or cannot be judged within it.
    fn take_between(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Step {
        if self.queue.boundaries() > 0 || self.queue.is_empty() {
            return Step::Need(Need::Settle);
        }
        let name = frame.body().split(|byte| *byte == 0).next().unwrap_or(&[]);
        let target = if frame.tag() == b'P' { Target::Parse(name.into()) } else { Target::Query };
        let detail = "The catalog has been changed by others since this batch began.";
        let refusal =
            Refusal::unhandled("catalog-in-batch", detail, "Send it in a batch of its own, after Sync.");
        self.refuse_own_text(frame.len(), &target, refusal, frame.body(), out)
    }

    /// What the server would discard after an error is not sent: names that would have
    /// been made are not known, and values under them could not be sealed. So it is behind
    /// a refusal, whose error is certain.
    pub(super) fn discards(&self, tag: u8) -> bool {
        match self.queue.discards() {
            Discard::Nothing => false,
            Discard::CopyData => matches!(tag, b'd' | b'c' | b'f'),
            Discard::ToSync => !matches!(tag, b'S' | b'X'),
        }
    }

    /// A text that is discarded leaves its names as they are at the server; but a client that
    /// does not wait for answers gives values to them that it means for what was discarded.
    /// False: there are too many such names.
    #[must_use]
    fn note_discarded(&mut self, tag: u8, head: &[u8], whole: bool) -> bool {
        let body = head.get(5..).unwrap_or(&[]);
        // What has not arrived may name anything.
        let hits = self.view.is_some() && (!whole || self.hits(body));
        if !hits || !matches!(tag, b'P' | b'Q') {
            return true;
        }
        if !whole {
            self.fails_unseen();
        }
        let parsed = (tag == b'P').then(|| body.split(|byte| *byte == 0).next().unwrap_or(&[]));
        parsed.is_none_or(|name| self.fails(name)) && self.fails_to_prepare_own(body)
    }

    /// What is given to this name from now on was meant for a statement that failed. False:
    /// there are too many such names.
    #[must_use]
    fn fails(&mut self, name: &[u8]) -> bool {
        self.judging = true;
        if !name.is_empty() && self.queue.names.is_full() {
            return false;
        }
        let number = self.queue.last_number();
        self.queue.names.fail(&Change::Statement(name.into(), Some(Rc::new(Prepared::failed()))), number);
        true
    }

    /// The same for whatever a text names that nobody has read.
    pub(super) fn fails_unseen(&mut self) {
        self.judging = true;
        self.queue.names.fail_unseen();
    }

    /// The same for every name that SQL's PREPARE would have given, in a text as the client wrote it.
    #[must_use]
    fn fails_to_prepare_own(&mut self, text: &[u8]) -> bool {
        let Ok(text) = self.in_utf8(text) else {
            self.fails_unseen();
            return true;
        };
        self.fails_to_prepare(&text)
    }

    /// The same of a text in UTF-8.
    #[must_use]
    pub(super) fn fails_to_prepare(&mut self, text: &[u8]) -> bool {
        for name in prepared_names(text) {
            match name {
                Some(name) if !self.fails(&name) => return false,
                Some(_) => {}
                None => {
                    self.fails_unseen();
                    break;
                }
            }
        }
        true
    }

    fn part(&self, tag: u8, len: usize, head: &[u8]) -> Part {
        if self.discards(tag) {
            let body = head.get(5..).unwrap_or(&[]);
            let named = tag != b'P' || body.contains(&0) || body.len() >= NAMES_BYTES_MAX;
            return if named { Part::Discard } else { Part::Wait };
        }
        let fits = len <= self.bounds.frame_bytes_max;
        if self.walsender.is_some() && tag == b'Q' {
            return if fits { Part::Wait } else { Part::Refuse(Target::Query, too_large()) };
        }
        if self.view.is_none() {
            return match self.doors.part(tag, len) {
                Watched::No => Part::Stream,
                Watched::Wait => Part::Wait,
                Watched::Scan => Part::Watch,
            };
        }
        let body = head.get(5..).unwrap_or(&[]);
        match tag {
            b'Q' | b'P' | b'D' | b'C' | b'E' | b'F' if fits => Part::Wait,
            b'Q' => Part::Refuse(Target::Query, too_large()),
            b'P' => match body.iter().position(|byte| *byte == 0) {
                Some(end) => Part::Refuse(Target::Parse(body.get(..end).unwrap_or(&[]).into()), too_large()),
                None if body.len() < NAMES_BYTES_MAX => Part::Wait,
                None => Part::Broken("statement name too long"),
            },
            b'B' => match frontend::bind_names(body) {
                Ok((portal, statement)) => self.bind_part(portal, statement, fits),
                Err(_) if body.len() < NAMES_BYTES_MAX => Part::Wait,
                Err(_) => Part::Broken("portal or statement name too long"),
            },
            b'c' | b'f' if self.copies_in() && fits => Part::Wait,
            b'c' | b'f' if self.copies_in() => Part::Broken("message too long"),
            b'D' | b'C' | b'E' | b'F' => Part::Broken("message too long"),
            _ => Part::Stream,
        }
    }

    /// Must this frame be read and judged, or may it pass in a run?
    fn concerns(&self, frame: Frame<'_>) -> bool {
        if self.walsender.is_some() && frame.tag() == b'Q' {
            return true;
        }
        if self.view.is_none() {
            return self.doors.concerns(frame);
        }
        let body = frame.body();
        match frame.tag() {
            b'Q' => self.hits(body),
            // A named statement is remembered even where it touches nothing.
            b'P' => self.judging || body.first() != Some(&0) || self.hits(body),
            b'B' | b'E' | b'D' | b'C' => self.judging || self.certainty.defines() || frame.tag() == b'C',
            b'd' | b'c' | b'f' => self.copies_in(),
            b'F' => frontend::function_oid(body).map_or(true, |oid| !LARGE_OBJECT_FUNCTIONS.contains(&oid)),
            _ => false,
        }
    }

    /// What becomes of a Bind that is under way, by its statement; what its portal was
    /// before does not matter.
    fn bind_part(&self, portal: &[u8], statement: &[u8], fits: bool) -> Part {
        match self.names_surely(&[portal, statement]).filter(|_| self.judging) {
            None => {}
            Some(Ok(_)) => return Part::Settle,
            Some(Err(refusal)) => return Part::Refuse(Target::Bind(portal.into()), refusal),
        }
        let prepared = match self.queue.statement(statement) {
            Meaning::Plain => return Part::Stream,
            _ if fits => return Part::Wait,
            Meaning::Unsettled => return Part::Settle,
            Meaning::Judged(prepared) => prepared,
        };
        let plain = |plan: &Rc<Plan>| {
            plan.facts.statements.iter().all(|facts| !facts.touches() && facts.effect == Effect::default())
        };
        let taken = self.queue.names.is_doubtful_statement(statement)
            && self.view.as_ref().is_some_and(|view| view.has_legible());
        if !taken
            && self.view.as_ref().map(|view| view.epoch()) == Some(prepared.epoch)
            && prepared.plan.as_ref().is_none_or(plain)
        {
            Part::Stream
        } else {
            Part::Refuse(Target::Bind(portal.into()), too_large())
        }
    }

    /// Queues what the server owes for a frame that passes.
    pub(super) fn note(&mut self, tag: u8, head: &[u8]) {
        let kind = match tag {
            b'P' => Kind::Parse,
            b'B' => Kind::Bind,
            b'D' => Kind::Describe,
            b'E' => Kind::Execute,
            b'C' => Kind::Close,
            b'S' => Kind::Sync,
            b'Q' => Kind::Query,
            b'F' => Kind::Function,
            b'c' | b'f' => Kind::CopyEnd,
            _ => return,
        };
        if kind == Kind::Query || kind == Kind::Execute {
            self.untouched_statements += 1;
        }
        if self.view.is_none() {
            return self.queue.plain(kind);
        }
        let body = head.get(HEADER_BYTES..).unwrap_or(&[]);
        if let Some(text) = text_of(kind, body) {
            self.transaction.read(text, body.ends_with(b"\0"));
        }
        self.note_underway(kind, body);
        let doubt = self.doubt_of(kind, body);
        // A streamed Bind still takes its portal's name from whatever held it before.
        if kind == Kind::Bind
            && self.judging
            && let Ok((portal, _)) = frontend::bind_names(body)
        {
            let change = Change::Portal(portal.into(), self.bound(None));
            return self.owe(kind, Mark::changing(change), doubt);
        }
        self.owe_plain(kind, doubt);
    }

    /// What others may see of a message that passes as it came.
    fn note_underway(&mut self, kind: Kind, body: &[u8]) {
        match kind {
            Kind::Query => self.underway.text(body),
            Kind::Parse => {
                let (name, text) = body.split_at(body.iter().position(|byte| *byte == 0).unwrap_or(0));
                self.underway.parse(name, text);
                self.parses_copy |= may_copy(text);
            }
            Kind::Bind => match frontend::bind_names(body) {
                Ok((_, statement)) => self.underway.bind(statement),
                Err(_) => self.underway.unknown(),
            },
            // What it runs was bound before; FunctionCall reaches large objects alone.
            Kind::Execute | Kind::Describe | Kind::Close | Kind::Sync | Kind::Function | Kind::CopyEnd => {}
        }
    }

    /// What a message may do that passes as it came. `body`: as much of it as has arrived.
    fn doubt_of(&mut self, kind: Kind, body: &[u8]) -> Doubt {
        let doubt = |neutral: bool| if neutral { Doubt::NONE } else { Doubt::CODE };
        match kind {
            Kind::Parse => {
                // Nothing that is neutral is long, and most that is sent is.
                let unnamed = body.strip_prefix(b"\0").filter(|rest| rest.len() <= NEUTRAL_BYTES_MAX);
                let text = unnamed.and_then(|rest| rest.split(|byte| *byte == 0).next());
                self.certainty.note_statement(text.is_some_and(is_neutral));
                Doubt::NONE
            }
            // Once there is doubt no more of it need be found.
            Kind::Bind if self.certainty.has_doubt() => Doubt::CODE,
            Kind::Bind => {
                let neutral = frontend::bind_names(body).is_ok_and(|(portal, statement)| {
                    let neutral = if statement.is_empty() {
                        self.certainty.is_neutral_statement()
                    } else {
                        self.queue.names.is_neutral(statement)
                    };
                    self.certainty.note_portal(portal.is_empty() && neutral);
                    neutral
                });
                doubt(neutral)
            }
            Kind::Execute => doubt(body.first() == Some(&0) && self.certainty.is_neutral_portal()),
            Kind::Query => doubt(is_neutral(body.strip_suffix(b"\0").unwrap_or(body))),
            // FunctionCall reaches large objects alone.
            Kind::Function | Kind::Describe | Kind::Close | Kind::Sync | Kind::CopyEnd => Doubt::NONE,
        }
    }

    /// While the server waits for copy data, nothing else settles: what would have to wait
    /// for that is not what the server waits for either.
    fn take_out_of_copy(&mut self, shop: &mut Workshop, frame: Frame<'_>, out: &mut Vec<u8>) -> Step {
        let step = self.take(shop, frame, out);
        let waits = matches!(step, Step::Need(Need::Settle));
        if waits && self.queue.is_copying() { self.within_copy() } else { step }
    }

    fn within_copy(&mut self) -> Step {
        self.protocol_error("another message within the data of a COPY")
    }

    fn take(&mut self, shop: &mut Workshop, frame: Frame<'_>, out: &mut Vec<u8>) -> Step {
        let taken = match frame.tag() {
            b'Q' if self.walsender.is_some() => self.take_command(shop, frame, out),
            _ if self.view.is_none() => self.take_watched(shop, frame, out),
            b'd' => Ok(self.take_copy_data(shop, frame.len(), frame.bytes(), out)),
            b'c' | b'f' => Ok(self.take_copy_end(shop, frame, out)),
            b'Q' => self.take_query(shop, frame, out),
            b'P' => self.take_parse(shop, frame, out),
            b'B' => self.take_bind(shop, frame, out),
            b'E' => self.take_execute(frame, out),
            b'D' => self.take_describe(shop, frame, out),
            b'C' => self.take_close(frame, out),
            _ => {
                let detail = "FunctionCall reaches any function by its number.";
                let refusal = Refusal::unhandled("function-call", detail, "Call the function in a SELECT.");
                self.note_refusal(&refusal, None);
                frontend::put_no_function(out);
                self.owe_plain(Kind::Function, Doubt::NONE);
                Ok(Step::Took(frame.len()))
            }
        };
        taken.unwrap_or_else(|Malformed(detail)| self.protocol_error(detail))
    }
}

/// May it be a COPY? Nothing but blanks and comments stands before the word.
pub(super) fn may_copy(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\0").unwrap_or(text).trim_ascii_start();
    let begins = text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"copy"));
    begins || text.starts_with(b"--") || text.starts_with(b"/*") || text.starts_with(b";")
}

fn name_underway() -> Refusal {
    let detail = "Another session is giving a name to what is classified, and has not ended.";
    Refusal::unhandled("definition-underway", detail, "Send it again when it has.")
}

/// The text of a Query or a Parse, as far as it has arrived.
fn text_of(kind: Kind, body: &[u8]) -> Option<&[u8]> {
    match kind {
        Kind::Query => Some(body),
        Kind::Parse => body.splitn(2, |byte| *byte == 0).nth(1),
        Kind::Bind | Kind::Describe | Kind::Execute | Kind::Close | Kind::Sync => None,
        Kind::Function | Kind::CopyEnd => None,
    }
}

fn too_large() -> Refusal {
    let detail = "A message is larger than limits.frame_bytes_max.";
    Refusal::too_large(detail, "Send smaller messages, or raise limits.frame_bytes_max.")
}

/// How many bytes of a frame that is under way stand in `input`; none: more must come.
fn pass_on(left: &mut usize, input: &[u8]) -> Option<usize> {
    let count = (*left).min(input.len());
    *left -= count;
    (count > 0).then_some(count)
}
