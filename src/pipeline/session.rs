//! The state of one session that both streets share.

use std::collections::HashSet;
use std::sync::Arc;

use super::Step;
use super::about::About;
use super::certainty::{Certainty, Doubt};
use super::copies::CopyIn;
use super::doors::Watch;
use super::ends::Ends;
use super::errand::{Errand, Errands, Finding};
use super::late::{Late, Taint};
use super::leases::Leases;
use super::letters::Letters;
use super::names::Texts;
use super::overlay::Overlay;
use super::owed::{Kind, Mark, Probe, Queue};
use super::plan::Plan;
use super::stated::{Stated, may_take_back};
use super::stream::Walsender;
use super::transaction::{Ended, Transaction};
use super::underway::{Barred, Underway};
use super::view::View;
use crate::audit::{FieldUse, Receipt, Record, Who};
use crate::catalog::Declared;
use crate::login::Principal;
use crate::policy::{self, Permit, Refusal};
use crate::statement::{Encoding, Reading, Signs};
use crate::types::Style;
use crate::watch::{Restrained, Restraint, UserWatch, Whom};

/// Limits of one session (P6).
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Largest frame that is held as a whole, in bytes.
    pub frame_bytes_max: usize,
}

impl Bounds {
    /// The same of an answer: sealed values are by a third longer than what they were sealed from, so what
    /// was taken as one message can be read again.
    pub(super) fn answer_bytes_max(self) -> usize {
        self.frame_bytes_max.saturating_mul(2)
    }
}

/// In the place of a table's name: whatever there is.
pub const ANYTHING: &str = "*";

/// Something that counted, for the metrics. No values.
#[derive(Clone, Debug)]
pub enum Event {
    Statement {
        kind: &'static str,
        verdict: &'static str,
    },
    Plan {
        kept: bool,
    },
    Cells {
        field: Arc<str>,
        operation: &'static str,
        count: u64,
    },
    Refused {
        reason: &'static str,
    },
    Alerted {
        detector: &'static str,
        severity: &'static str,
    },
    /// A limit has this held against somebody for so long.
    Restrained {
        whom: Whom,
        restraint: Restraint,
        ms: u64,
        rule: Arc<str>,
    },
    /// The server's own error of a class that whoever tries out names and types meets: 22, 42.
    Failed {
        sqlstate: [u8; 5],
    },
    /// A text with signs of an injection, on fields; `number`: of the execution, where it became one.
    Suspicious {
        signs: Signs,
        fields: Arc<[FieldUse]>,
        number: Option<u64>,
    },
}

/// A write, or a whole refused text, that waits for its intents to be durable.
pub(super) struct Held {
    pub consumed: usize,
    /// A Describe of ours that goes ahead of it.
    pub describe: Option<Mark>,
    pub cleared: super::clear::Cleared,
    pub kind: super::owed::Kind,
    pub mark: Mark,
    pub doubt: Doubt,
    /// Where a refusal (SG006) would have to be sent instead.
    pub target: super::owed::Target,
}

/// One session, from ReadyForQuery of the login on.
pub struct Session {
    pub(super) principal: Principal,
    pub(super) who: Arc<Who>,
    /// What the application states of that.
    pub(super) stated: Stated,
    /// Seconds since the Unix epoch, as they were told last.
    pub(super) now_s: u64,
    /// By which texts are judged now.
    pub(super) view: Option<Arc<View>>,
    /// By which they are outside of what its transaction has defined.
    pub(super) base: Option<Arc<View>>,
    pub(super) overlay: Overlay,
    /// Without a view.
    pub(super) doors: Watch,
    /// Databases that what is about to be sent wants for itself.
    pub(super) wanted: Vec<Arc<str>>,
    pub(super) bounds: Bounds,
    pub(super) queue: Queue,
    /// Of what was prepared.
    pub(super) texts: Texts,
    pub(super) watch: Option<Arc<UserWatch>>,
    /// Leave for what touches nothing classified.
    pub(super) untouched: Permit,
    /// None: it is none, or there is no record.
    pub(super) walsender: Option<Box<Walsender>>,
    /// Bytes of a large frame that still pass, towards the server and towards the client.
    pub(super) request_passing: usize,
    pub(super) request_dropping: usize,
    pub(super) response_passing: usize,
    pub(super) held: Option<Held>,
    /// Some statement of this session was judged: names matter from now on.
    pub(super) judging: bool,
    pub(super) certainty: Certainty,
    pub(super) transaction: Transaction,
    /// Some statement that was prepared rests on a search path.
    pub(super) pins: bool,
    /// A question of ours, or a probe, has no answer yet.
    pub(super) asking: bool,
    /// The last question was answered with an error.
    pub(super) unanswerable: bool,
    pub(super) probe: Option<Probe>,
    /// What is being judged is a Query: nothing of the client's own ends the batch that goes ahead of it.
    pub(super) by_query: bool,
    /// What was found of the catalog for the message that waits.
    pub(super) confirmed: Option<bool>,
    /// See [`Session::rests_on_relations`].
    pub(super) rests_on_relations: bool,
    /// What other sessions are changing, by bare name; none where they are not.
    pub(super) barred: Option<Arc<Barred>>,
    /// They took too long.
    pub(super) denied: bool,
    /// What this session is about to change, and has made known to the others.
    pub(super) moving: Vec<Arc<str>>,
    pub(super) announced: bool,
    /// Tables that its transaction uses already: nobody can change them until it ends.
    pub(super) in_use: HashSet<Arc<str>>,
    /// The epoch at the login.
    pub(super) since: Option<u64>,
    /// The catalog has changed since the login.
    pub(super) renewed: bool,
    /// [`Session::note_newer`].
    pub(super) newer: bool,
    /// The first epoch of the policy that holds, where another one held before.
    pub(super) policy_since: Option<u64>,
    /// How it reads and writes values of types other than text.
    pub(super) style: Style,
    pub(super) reading: Reading,
    /// In which form it writes text.
    pub(super) letters: Letters,
    /// What the transaction has done that the server's words may tell of, and the intent for them.
    pub(super) taint: Taint,
    pub(super) late: Option<Late>,
    /// This session has run code that cannot be followed: what its cursors show may come from there.
    pub(super) opaque_since: bool,
    /// It may have sealed or opened something since its last rest.
    pub(super) ciphered: bool,
    /// Its transaction has defined something over code that cannot be followed.
    pub(super) kept: bool,
    /// A temporary copy is being made: what names it already must know of it.
    pub(super) copies: bool,
    /// Definitions have gone that give these new names to what is classified, or leads there, and the catalog
    /// has not been read since.
    pub(super) coming: Vec<Arc<str>>,
    /// See [`Session::naming_anew`].
    pub(super) naming_anew: Vec<Arc<str>>,
    /// Those of which the others know.
    pub(super) named_anew: Vec<Arc<str>>,
    /// [`Session::withdraw`].
    pub(super) overtaken: bool,
    /// It has parsed a COPY: the server looks up its names only when a portal of it is executed.
    pub(super) parses_copy: bool,
    /// The catalog has changed within its transaction: portals may be of before.
    pub(super) has_old_portals: bool,
    /// What is held against its user, or those for whom that asks, as of a time. None: nothing.
    pub(super) held_against: Option<Arc<Vec<Restrained>>>,
    pub(super) held_ms: u64,
    /// The counts of the one for whom it was asked last.
    pub(super) end_user: Option<(Arc<Who>, Arc<UserWatch>)>,
    /// What others may see of what it has under way.
    pub(super) underway: Arc<Underway>,
    /// An execution since the last ReadyForQuery met a classified field that is not sealed.
    pub(super) met_unsealed: bool,
    pub(super) receipts: Vec<Receipt>,
    pub(super) unrecorded: Vec<u64>,
    pub(super) leases: Leases,
    /// As it was last told.
    pub(super) now_ms: u64,
    pub(super) ends: Ends,
    pub(super) next_execution: u64,
    /// A COPY from the client in which values are sealed.
    pub(super) copy_in: Option<Box<CopyIn>>,
    /// In CSV, too, a line `\.` ends the data: the server is older than 18.
    pub(super) dot_ends: bool,
    /// What the refusal that is about to be recorded is about, where no plan says it.
    pub(super) about: Option<About>,
    /// Of long texts.
    pub(super) errands: Errands,
    /// 128 random bits that mark our refusals in the server's log.
    pub(super) mark: [u8; 32],
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<Event>,
    /// Statements that touched nothing since the last [`Session::take_untouched`].
    pub(super) untouched_statements: u64,
}

impl Session {
    /// `view`: none where nothing is classified in this database. `mark`: 16 random bytes.
    #[must_use]
    pub fn new(
        principal: Principal,
        view: Option<Arc<View>>,
        watch: Option<Arc<UserWatch>>,
        bounds: Bounds,
        mark: [u8; 16],
    ) -> Session {
        let who = Arc::new(Who {
            session: principal.session(),
            user: principal.user().clone(),
            database: principal.database().clone(),
            application: principal.application().clone(),
            client: principal.client().clone(),
            region: principal.region().clone(),
            auth: principal.method(),
            certificate: principal.certificate().cloned(),
            end_user: principal.end_user().cloned(),
            end_user_auth: "stated",
            purpose: principal.purpose().cloned(),
        });
        let stated = Stated::new(principal.end_user(), principal.purpose());
        let untouched = policy::untouched(&principal);
        let since = view.as_ref().map(|view| view.epoch());
        Session {
            principal,
            who,
            stated,
            now_s: 0,
            base: view.clone(),
            view,
            overlay: Overlay::default(),
            doors: Watch::default(),
            wanted: Vec::new(),
            bounds,
            queue: Queue::default(),
            texts: Texts::default(),
            watch,
            untouched,
            walsender: None,
            request_passing: 0,
            request_dropping: 0,
            response_passing: 0,
            held: None,
            judging: false,
            certainty: Certainty::default(),
            transaction: Transaction::default(),
            pins: false,
            asking: false,
            unanswerable: false,
            probe: None,
            by_query: false,
            confirmed: None,
            rests_on_relations: false,
            barred: None,
            denied: false,
            moving: Vec::new(),
            announced: false,
            in_use: HashSet::new(),
            since,
            renewed: false,
            newer: false,
            policy_since: None,
            style: Style::default(),
            letters: Letters::default(),
            reading: Reading {
                standard_conforming_strings: true,
                encoding: Encoding::Other,
                server_utf8: false,
                declared: Declared::Nothing,
            },
            taint: Taint::Nothing,
            late: None,
            opaque_since: false,
            ciphered: false,
            kept: false,
            copies: false,
            coming: Vec::new(),
            naming_anew: Vec::new(),
            named_anew: Vec::new(),
            overtaken: false,
            parses_copy: false,
            has_old_portals: false,
            held_against: None,
            held_ms: 0,
            end_user: None,
            underway: Arc::default(),
            met_unsealed: false,
            receipts: Vec::new(),
            unrecorded: Vec::new(),
            leases: Leases::default(),
            now_ms: 0,
            ends: Ends::default(),
            next_execution: 0,
            copy_in: None,
            dot_ends: false,
            about: None,
            errands: Errands::default(),
            mark: hex(mark),
            records: Vec::new(),
            events: Vec::new(),
            untouched_statements: 0,
        }
    }

    /// Who acts, as records name it.
    #[must_use]
    pub fn who(&self) -> &Arc<Who> {
        &self.who
    }

    /// A parameter that the server reported (ParameterStatus), during login or later.
    pub fn parameter(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"standard_conforming_strings" => self.reading.standard_conforming_strings = value == b"on",
            b"DateStyle" | b"IntervalStyle" | b"TimeZone" => self.style.parameter(name, value),
            b"server_version" => {
                let digits = value.split(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
                let major = std::str::from_utf8(digits).ok().and_then(|major| major.parse::<u32>().ok());
                self.dot_ends = major.is_some_and(|major| major < 18);
            }
            b"server_encoding" => {
                self.reading.server_utf8 = value == b"UTF8";
                self.letters.note_server(value);
                self.reading.encoding = self.letters.reading();
            }
            b"client_encoding" => {
                self.letters.note_client(value);
                self.reading.encoding = self.letters.reading();
            }
            _ => {}
        }
    }

    /// The fate of one intent: its receipt, or the number of the execution that has none.
    pub fn acknowledge(&mut self, fate: Result<Receipt, u64>) {
        match fate {
            Ok(mut receipt) => {
                self.open_lease(&mut receipt);
                self.receipts.push(receipt);
            }
            Err(number) => {
                self.forget_lease(number);
                self.unrecorded.push(number);
            }
        }
    }

    /// Is what is under way a question of ours, which a cancel request of the client does not
    /// mean?
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asking
    }

    /// Nothing is under way: the view may be exchanged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.held.is_none() && self.request_passing == 0 && self.ends.is_empty()
    }

    /// Does a write wait for its record? It was judged, and goes on when the record is there.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Is the client in the middle of something that passes as it comes: a COPY, or a message
    /// that has not wholly arrived?
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.request_passing > 0 || self.queue.is_copying()
    }

    /// Bytes that are still to come of the message that the client has in part.
    #[must_use]
    pub fn response_left(&self) -> usize {
        self.response_passing
    }

    /// Has the server requests whose answers it may keep until a Sync or a Flush comes?
    #[must_use]
    pub fn awaits_flush(&self) -> bool {
        !self.queue.is_empty() && self.queue.boundaries() == 0 && !self.is_streaming()
    }

    /// No transaction is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_settled() && !self.certainty.in_transaction()
    }

    /// Nothing is under way: what is held of texts goes. Has it sealed or opened something since the
    /// last time?
    pub fn rest(&mut self) -> bool {
        self.errands = Errands::default();
        std::mem::take(&mut self.ciphered)
    }

    /// What [`Need::Judgement`](super::Need::Judgement) asks for.
    pub fn take_errand(&mut self) -> Option<Box<Errand>> {
        self.errands.errand.take()
    }

    /// The answer to it.
    pub fn take_finding(&mut self, finding: Finding) {
        self.errands.finding = Some(finding);
    }

    /// Databases in which the server wants no other session for what is about to be sent.
    pub fn take_wanted(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.wanted)
    }

    /// Records to hand to the journal, in order.
    pub fn take_records(&mut self) -> Vec<Record> {
        let records = std::mem::take(&mut self.records);
        self.ends.handed(&records);
        records
    }

    #[must_use]
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// What to count.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    #[must_use]
    pub fn take_untouched(&mut self) -> u64 {
        std::mem::take(&mut self.untouched_statements)
    }

    /// Ends the session: the refusal is recorded, the client gets it as FATAL.
    pub(super) fn end(&mut self, refusal: Refusal) -> Step {
        if refusal.is_own() {
            self.note_refusal(&refusal, None);
        }
        self.close(refusal.sqlstate.as_bytes().first_chunk().copied());
        Step::End(Box::new(refusal))
    }

    /// The session is over: what was under way has an outcome too, as far as it came.
    pub fn close(&mut self, sqlstate: Option<[u8; 5]>) {
        let is_undone = self.is_settled() && self.certainty.in_transaction();
        let held = self.held.take().map(|held| held.mark.runs);
        let mut left: Vec<_> = held.into_iter().flatten().collect();
        while let Some(owed) = self.queue.pop() {
            let Some(mark) = owed.mark else { continue };
            self.end_stream(mark.stream, sqlstate);
            left.extend(mark.runs);
        }
        self.drop_recorded(left, sqlstate, Ended::Open);
        self.transaction.close(is_undone, &mut self.records);
        self.close_late();
        self.end_leases();
    }

    /// What it has under way, for others to see.
    #[must_use]
    pub fn underway(&self) -> Arc<Underway> {
        Arc::clone(&self.underway)
    }

    /// What the words of a text that goes to the server may tell of.
    pub(super) fn note_text(&mut self, plan: &Plan) {
        self.taint = self.taint.max(plan.taint());
        self.kept |= plan.keeps();
        // From here on names that nobody has judged matter, too.
        self.judging |= plan.keeps();
    }

    pub(super) fn protocol_error(&mut self, detail: &'static str) -> Step {
        self.end(Refusal::protocol(detail))
    }

    /// Queues what the server owes for a message, and what that may have done.
    pub(super) fn owe(&mut self, kind: Kind, mark: Mark, doubt: Doubt) {
        // A Sync within the data of a COPY ends nothing.
        if !(kind == Kind::Sync && self.queue.is_copying()) {
            self.certainty.sent(kind, doubt);
        }
        let statements = mark.defines.iter().flat_map(|plan| &plan.facts.statements);
        self.stated.send(statements.flat_map(|facts| &facts.effect.states));
        if let Some(plan) = &mark.defines {
            self.note_coming(plan);
            self.copies |= plan.makes_copy();
        }
        self.queue.marked(kind, mark);
    }

    /// The same where nothing more need be remembered.
    pub(super) fn owe_plain(&mut self, kind: Kind, doubt: Doubt) {
        if !(kind == Kind::Sync && self.queue.is_copying()) {
            self.certainty.sent(kind, doubt);
        }
        self.queue.plain(kind);
    }

    /// Must a text be judged? In a database of another encoding names that are written
    /// otherwise can be folded to the same.
    pub(super) fn hits(&self, text: &[u8]) -> bool {
        let Some(view) = &self.view else { return false };
        view.prefilter_hits(text)
            || self.queue.names.has_any_by_sql() && may_close(text)
            || self.stated.is_stated() && may_take_back(text)
            || (self.certainty.defines()
                || self.kept
                || (!self.coming.is_empty() || self.copies) && self.certainty.is_underway())
                && view.judges()
            || !self.reading.server_utf8 && view.judges() && !text.is_ascii()
            || self.letters.has_varied() && may_reset(text)
    }
}

/// May a text take names away?
fn may_close(text: &[u8]) -> bool {
    has_any(text, &[b"close", b"deallocate", b"discard"])
}

/// May it lead back to the encoding that the session began with?
fn may_reset(text: &[u8]) -> bool {
    has_any(text, &[b"reset", b"discard"])
}

fn has_any(text: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

pub(super) fn too_many_names() -> Refusal {
    let detail = "Too many prepared statements and portals in one session.";
    Refusal::unhandled("too-many-names", detail, "Close some.")
}

pub(super) fn unsettled_path() -> Refusal {
    Refusal::unhandled(
        "relation-ambiguous",
        "An unqualified name stands for several relations, and the search path is not certain here.",
        "Send the statement after Sync, or qualify the name with its schema.",
    )
}

fn hex(bytes: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'0'; 32];
    for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    out
}
