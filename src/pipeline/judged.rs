//! The frames of the client that are judged: each becomes a cleared message, waits, or is
//! refused in a way that the server itself answers.

use std::rc::Rc;

use super::again::Found;
use super::by_name::{Lookup, Resolved, told_too_late};
use super::certainty::{Doubt, Sure};
use super::clear::{Cleared, clear_execute};
use super::errand::Errand;
use super::names::{Change, Meaning, Prepared, Rest};
use super::owed::{Ask, Kind, Mark, Probe, Target};
use super::plan::{Plan, Unplanned, Workshop};
use super::request::may_copy;
use super::session::{Event, Held, Session, too_many_names};
use super::{Need, Step};
use crate::catalog::Declared;
use crate::policy::Refusal;
use crate::statement::{Reading, Remedy, StatementFacts, is_neutral};
use crate::wire::frontend::{self, Bind, Parse};
use crate::wire::{Frame, Malformed};

/// What became of a text that had to be judged.
enum Judged {
    /// And what it rests on.
    Plan(Rc<Plan>, Vec<Rest>),
    /// Something must come first.
    First(Step),
    Refused(Refusal),
}

impl Session {
    /// Where the reading of a text is not certain until the server has answered: waits, or
    /// refuses within an open batch. Text of plain ASCII without a backslash reads the same in
    /// every string mode and encoding.
    fn uncertain(&mut self, text: &[u8]) -> Option<Result<Step, Refusal>> {
        if let Some(step) = self.outdated() {
            return Some(step);
        }
        let boundaries = self.queue.boundaries();
        let by_encoding = self.view.as_ref().is_some_and(|view| view.depends_on_encoding());
        let sure = if text.contains(&b'\\') || by_encoding && !text.is_ascii() {
            self.certainty.of_code(boundaries)
        } else if text.is_ascii() {
            Sure::Yes
        } else {
            self.certainty.encoding(boundaries)
        };
        match sure {
            Sure::Yes => None,
            Sure::Later => Some(Ok(Step::Need(Need::Settle))),
            Sure::NotInThisBatch => {
                let detail =
                    "String mode and encoding are not certain after a Bind or an Execute of the same batch.";
                let hint = "Send it after Sync, or without backslashes and other characters than ASCII.";
                Some(Err(Refusal::unhandled("unsettled-reading", detail, hint)))
            }
        }
    }

    /// Where this session has changed the catalog, or is about to: waits until it can be
    /// read again, or refuses within an open batch.
    fn outdated(&mut self) -> Option<Result<Step, Refusal>> {
        let in_batch = || {
            let hint = "Send it in a batch of its own, after Sync.";
            let detail = "The catalog is changed earlier in the same batch.";
            Some(Err(Refusal::unhandled("catalog-in-batch", detail, hint)))
        };
        match self.certainty.catalog() {
            Sure::NotInThisBatch => in_batch(),
            Sure::Later => Some(Ok(Step::Need(Need::Settle))),
            Sure::Yes if !self.certainty.is_outdated() && !self.overlay.is_stale() => None,
            Sure::Yes if !self.certainty.is_outdated() && self.queue.is_empty() => {
                self.refresh();
                None
            }
            Sure::Yes if self.queue.is_empty() => Some(Ok(Step::Need(Need::Catalog))),
            Sure::Yes if self.queue.boundaries() > 0 => Some(Ok(Step::Need(Need::Settle))),
            Sure::Yes => in_batch(),
        }
    }

    /// The plan of a text, with what the session itself must refuse, and what must be certain
    /// before it is used. `parsed`: the Parse that it comes by;
    /// `declared`: what it says of the types of parameters; `known`: the plan, where it is kept.
    fn judge(
        &mut self,
        shop: &mut Workshop,
        text: &[u8],
        parsed: Option<&Parse<'_>>,
        declared: Declared,
        known: Option<Rc<Plan>>,
        out: &mut Vec<u8>,
    ) -> Judged {
        self.transaction.read(text, true);
        match self.uncertain(text) {
            Some(Ok(step)) => return Judged::First(step),
            Some(Err(refusal)) => return Judged::Refused(refusal),
            None => {}
        }
        if self.probe == Some(Probe::Readable) {
            return Judged::First(Step::Need(Need::Catalog));
        }
        let Some(view) = self.view.clone() else {
            return Judged::Refused(Refusal::unhandled(
                "no-catalog",
                "The catalog is not loaded.",
                "Try again.",
            ));
        };
        let (plan, kept) = match known {
            Some(plan) => (Ok(plan), true),
            None => {
                let path = self.certainty.path().cloned();
                let (reading, finding) = (Reading { declared, ..self.reading }, &mut self.errands.finding);
                shop.plan(&view, text, reading, path.as_ref(), &self.principal, finding)
            }
        };
        self.events.push(Event::Plan { kept });
        let plan = match plan {
            Ok(plan) => plan,
            Err(unplanned) => return self.unplanned(unplanned, text, parsed, out),
        };
        let lookup = if parsed.is_none() { Lookup::All } else { Lookup::Statements };
        let (plan, rests) = match self.resolve(shop, plan, lookup, out) {
            Ok(Resolved::Plan(plan, rests)) => (plan, rests),
            Ok(Resolved::First(step)) => return Judged::First(step),
            Err(refusal) => return Judged::Refused(refusal),
        };
        if let Err(refusal) = self.can_read(&plan) {
            return Judged::Refused(refusal);
        }
        match self.settles(&plan, parsed.is_none()) {
            Some(Ok(step)) => Judged::First(step),
            Some(Err(refusal)) => Judged::Refused(refusal),
            None => {
                self.wanted.extend(plan.wants().cloned());
                Judged::Plan(plan, rests)
            }
        }
    }

    /// A text without a plan: what could help is asked for once.
    fn unplanned(
        &mut self,
        unplanned: Unplanned,
        text: &[u8],
        parsed: Option<&Parse<'_>>,
        out: &mut Vec<u8>,
    ) -> Judged {
        let (refusal, remedy, description) = match unplanned {
            Unplanned::Refused { refusal, remedy, description } => (*refusal, remedy, description),
            Unplanned::Elsewhere(errand) => return Judged::First(self.send_out(errand)),
        };
        let first = match remedy {
            Remedy::Nothing => None,
            Remedy::Path if self.certainty.path().is_some() => None,
            Remedy::Path => self.ask(Ask::Path, out),
            Remedy::Creation => self.ask(Ask::Creation, out),
            Remedy::Temporary(name) => self.ask(Ask::Temporary(name), out),
            Remedy::Server => match self.probe.take() {
                // It was read anew since, and the text is still not understood.
                Some(Probe::Renewed) => None,
                Some(Probe::Underway | Probe::Readable | Probe::Told) | None => {
                    self.probes(text, parsed, &refusal, out)
                }
            },
        };
        if let Some(step) = first {
            return Judged::First(step);
        }
        self.errands.description = description;
        Judged::Refused(refusal)
    }

    /// A text that takes long is judged elsewhere, and taken up again then.
    pub(super) fn send_out(&mut self, errand: Box<Errand>) -> Step {
        self.errands.errand = Some(errand);
        Step::Need(Need::Judgement)
    }

    /// What a text may do beside its rows: what ends or undoes a transaction that defines changes the
    /// catalog, too.
    fn doubt(&self, plan: &Plan) -> Doubt {
        plan.doubt().or_catalog(self.certainty.may_have_defined() && plan.bounds())
    }

    /// Sealed text is UTF-8 inside, whatever the client's encoding: nobody converts it. And
    /// nobody but the server knows a catalog that is changed and not yet committed.
    pub(super) fn can_read(&self, plan: &Plan) -> Result<(), Refusal> {
        if self.has_unknown() && plan.touches() {
            let detail =
                "The catalog is changed earlier in the same transaction, by what cannot be followed.";
            return Err(Refusal::unhandled("catalog-in-transaction", detail, "COMMIT the change first."));
        }
        if self.view.as_ref().is_some_and(|view| plan.reads_unplaced(view)) {
            let detail =
                "A table is made earlier in the same batch, and the server has not said which one it is.";
            return Err(Refusal::unhandled(
                "catalog-in-transaction",
                detail,
                "Send the statement after Sync.",
            ));
        }
        if self.kept && plan.gives() {
            return Err(kept_code());
        }
        if self.walsender.is_some() && plan.copies() {
            // A subscriber's first copy of a table would hold what is open.
            let detail = "COPY of classified columns in a session that replicates.";
            return Err(Refusal::unhandled("copy", detail, "Copy the table over a direct connection."));
        }
        if plan.takes_copy() && self.copies_sealed() {
            // What it takes may be what it gave: sealed once more it would open to what is sealed.
            let detail = "COPY gives this user sealed values as they are stored ([policy] copy_sealed), and takes none for classified columns.";
            let hint = "Restore them over a direct connection, or copy values in as another user.";
            return Err(Refusal::unhandled("copy", detail, hint));
        }
        self.can_write(plan)
    }

    pub(super) fn take_query(
        &mut self,
        shop: &mut Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Malformed> {
        let own = frontend::read_query(frame.body())?;
        if let Some(step) = self.told(frame.len()) {
            return Ok(step);
        }
        let converted = match self.in_utf8(own) {
            Ok(text) => text,
            Err(refusal) => return Ok(self.unread(frame.len(), &Target::Query, refusal, own, out)),
        };
        let text: &[u8] = &converted;
        self.by_query = true;
        let judged = self.judge(shop, text, None, Declared::Nothing, None, out);
        self.by_query = false;
        let plan = match judged {
            Judged::Plan(plan, _) => plan,
            Judged::First(step) => return Ok(step),
            Judged::Refused(refusal) => {
                return Ok(self.refuse_text(frame.len(), &Target::Query, refusal, text, out));
            }
        };
        self.probe = None;
        if let Err(refusal) = self.shows_surely(&plan) {
            return Ok(self.refuse_text(frame.len(), &Target::Query, refusal, text, out));
        }
        let doubt = self.doubt(&plan);
        let (catalog, defines) = (doubt.catalog, plan.defines().then(|| Rc::clone(&plan)));
        let kept = if plan.has_literals() { None } else { self.texts.keep_named(&plan, text) };
        let naming = match self.naming(&plan, kept.as_ref(), None) {
            Ok(naming) => naming,
            Err(refusal) => return Ok(self.refuse_text(frame.len(), &Target::Query, refusal, text, out)),
        };
        self.judging |= naming.is_some();
        self.note_text(&plan);
        self.underway.text(text);
        self.underway.runs(&plan);
        let recorded = self.tells_of(&plan);
        if let Err(refusal) = self.unrestrained(&plan) {
            return Ok(self.refuse_text(frame.len(), &Target::Query, refusal, text, out));
        }
        if !recorded && !plan.is_spelled() {
            out.extend_from_slice(frame.bytes());
            self.events.push(Event::Statement { kind: "judged", verdict: "permitted" });
            self.owe(Kind::Query, Mark { catalog, defines, naming, ..Mark::default() }, doubt);
            return Ok(Step::Took(frame.len()));
        }
        let sure = match self.reads_surely(&plan) {
            Ok(sure) => sure,
            Err(step) => return Ok(step),
        };
        let cleared = match self.view.clone() {
            Some(view) => shop.clear_query(&view, &plan, text, self.manner(sure)),
            None => return self.no_view(),
        };
        let mut cleared = match cleared {
            Ok(cleared) => cleared,
            Err(refusal) => return Ok(self.refuse(frame.len(), &Target::Query, refusal, Some(&plan), out)),
        };
        self.judging = true;
        self.count_sealed(&cleared);
        let runs = if recorded { self.begin(&plan, naming.is_none()) } else { Vec::new() };
        let (moved, takes_copy) = (cleared.take_moved(), plan.takes_copy());
        let mark = Mark { runs, catalog, defines, naming, moved, takes_copy, ..Mark::default() };
        let (consumed, kind, target) = (frame.len(), Kind::Query, Target::Query);
        Ok(self.send(
            Held { consumed, describe: None, cleared, kind, mark, doubt, target },
            plan.writes(),
            out,
        ))
    }

    /// A message of which the client has been told by the server's own error.
    fn told(&mut self, consumed: usize) -> Option<Step> {
        if self.probe != Some(Probe::Told) {
            return None;
        }
        self.probe = None;
        Some(Step::Took(consumed))
    }

    pub(super) fn take_parse(
        &mut self,
        shop: &mut Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Malformed> {
        let parse = Parse::read(frame.body())?;
        let Some(view) = self.view.clone() else { return self.no_view() };
        let target = Target::Parse(parse.name.into());
        if !parse.name.is_empty() && self.queue.names.is_full() {
            return Ok(self.end(too_many_names()));
        }
        let matters = self.judging || self.hits(parse.text);
        if matters && let Some(step) = self.refuses_names(&[parse.name], frame.len(), &target, out) {
            return Ok(step);
        }
        let declared = view.snapshot().codes().declared(parse.types());
        let reading = Reading { declared, ..self.reading };
        let converted = match self.in_utf8(parse.text) {
            Ok(text) => Some(text),
            Err(refusal) if self.hits(parse.text) || declared != Declared::Nothing => {
                return Ok(self.unread(frame.len(), &target, refusal, parse.text, out));
            }
            // The server says so.
            Err(_) => None,
        };
        let is_read = converted.is_some();
        let parse = parse.with_text(converted.as_deref().unwrap_or(parse.text));
        let known = shop.kept(&view, parse.text, reading, self.certainty.path());
        if known.is_none() && !self.hits(parse.text) && declared == Declared::Nothing {
            let neutral = is_neutral(parse.text);
            let keeps = !parse.name.is_empty() && is_read && self.reads_text_surely(parse.text);
            let kept = if keeps { self.texts.keep(parse.text) } else { None };
            self.certainty.note_statement(neutral);
            self.transaction.read(parse.text, true);
            let types = if parse.name.is_empty() { Box::default() } else { parse.types().collect() };
            let prepared = Prepared { neutral, types, ..Prepared::new(kept, view.epoch(), None) };
            let change =
                Change::Statement(parse.name.into(), (!parse.name.is_empty()).then(|| Rc::new(prepared)));
            out.extend_from_slice(frame.bytes());
            self.parses_copy |= may_copy(parse.text);
            self.underway.parse(parse.name, parse.text);
            self.owe(Kind::Parse, Mark::changing(change), Doubt::NONE);
            return Ok(Step::Took(frame.len()));
        }
        if let Some(step) = self.told(frame.len()) {
            return Ok(step);
        }
        self.parses_copy |= may_copy(parse.text);
        let (plan, rests) = match self.judge(shop, parse.text, Some(&parse), declared, known, out) {
            Judged::Plan(plan, rests) => (plan, rests),
            Judged::First(step) => return Ok(step),
            Judged::Refused(refusal) => {
                return Ok(self.refuse_text(frame.len(), &target, refusal, parse.text, out));
            }
        };
        let asked = self.probe.take();
        let sure = match self.reads_surely(&plan) {
            Ok(sure) => sure,
            Err(step) => return Ok(step),
        };
        let cleared = if plan.touches() || plan.is_spelled() {
            match shop.clear_parse(&view, &plan, &parse, self.manner(sure)) {
                Ok(cleared) => Some(cleared),
                Err(refusal) => {
                    let asks = asked.is_none().then(|| self.asks_of_types(&parse, &refusal, out)).flatten();
                    let refuse = || self.refuse(frame.len(), &target, refusal, Some(&plan), out);
                    return Ok(asks.unwrap_or_else(refuse));
                }
            }
        } else {
            None
        };
        if let Some(cleared) = &cleared {
            self.count_sealed(cleared);
        }
        out.extend_from_slice(cleared.as_ref().map_or(frame.bytes(), Cleared::bytes));
        self.judging = true;
        self.underway.parse(parse.name, parse.text);
        self.underway.runs(&plan);
        self.taint = self.taint.max(plan.taint());
        self.kept |= plan.keeps();
        self.pins |= plan.path.is_some();
        self.certainty.note_statement(false);
        // The unnamed statement's text is kept too where it is judged: it may hold literals,
        // so only without any.
        let text = if plan.has_literals() { None } else { self.texts.keep(parse.text) };
        // And of what is named, what is sent: its literals are sealed.
        let is_named = plan.has_literals() && !parse.name.is_empty();
        let sent = cleared.as_ref().filter(|sent| is_named && self.may_send_again(sent.bytes()));
        let sent = sent.and_then(|sent| self.texts.keep(sent.bytes()));
        let types = parse.types().collect();
        let prepared = Prepared { types, rests, sent, ..Prepared::new(text, view.epoch(), Some(plan)) };
        let moved = cleared.and_then(|mut cleared| cleared.take_moved());
        let change = Some(Change::Statement(parse.name.into(), Some(Rc::new(prepared))));
        self.owe(Kind::Parse, Mark { change, moved, ..Mark::default() }, Doubt::NONE);
        Ok(Step::Took(frame.len()))
    }

    pub(super) fn take_bind(
        &mut self,
        shop: &mut Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Malformed> {
        let (portal, statement) = frontend::bind_names(frame.body())?;
        if !portal.is_empty() && self.queue.names.is_full() {
            return Ok(self.end(too_many_names()));
        }
        let target = Target::Bind(portal.into());
        if let Some(step) = self.refuses_names(&[portal, statement], frame.len(), &target, out) {
            return Ok(step);
        }
        let prepared = match self.statement(shop, statement, out) {
            Ok(Found::Step(step)) => return Ok(step),
            Ok(Found::Meaning(Meaning::Unsettled)) => return Ok(Step::Need(Need::Settle)),
            Ok(Found::Meaning(Meaning::Judged(prepared))) => Some(prepared),
            Ok(Found::Meaning(Meaning::Plain)) => None,
            Err(refusal) => return Ok(self.refuse(frame.len(), &target, refusal, None, out)),
        };
        let prepared = match self.made_by_code(statement).filter(|_| prepared.is_none()) {
            // It is given nothing: the server says that it wants something, or that it is not there.
            Some(_) if Bind::read(frame.body())?.values.iter().any(Option::is_some) => {
                frontend::put_empty_bind(out, portal, statement);
                self.certainty.note_portal(false);
                self.owe(Kind::Bind, Mark::changing(Change::Portal(portal.into(), None)), Doubt::CODE);
                return Ok(Step::Took(frame.len()));
            }
            made => made.or(prepared),
        };
        if self.kept {
            // What it means may have been defined since it was judged, if it was.
            let plan = prepared.as_ref().and_then(|prepared| prepared.plan.as_ref());
            let gives = plan.is_none_or(|plan| plan.gives());
            if gives && Bind::read(frame.body())?.values.iter().any(Option::is_some) {
                return Ok(self.refuse(frame.len(), &target, kept_code(), None, out));
            }
        }
        if prepared.as_ref().is_some_and(|prepared| prepared.failed) {
            frontend::put_empty_bind(out, portal, statement);
            let change = Change::Portal(portal.into(), None);
            self.certainty.note_portal(false);
            self.owe(Kind::Bind, Mark::changing(change), Doubt::CODE);
            return Ok(Step::Took(frame.len()));
        }
        let neutral = if statement.is_empty() {
            self.certainty.is_neutral_statement()
        } else {
            prepared.as_ref().is_some_and(|prepared| prepared.neutral)
        };
        self.certainty.note_portal(portal.is_empty() && neutral);
        self.underway.bind(statement);
        let plan = prepared.as_ref().and_then(|prepared| prepared.plan.as_ref());
        self.taint = self.taint.max(plan.map(|plan| plan.taint()).unwrap_or_default());
        // It may have been prepared in another transaction.
        self.kept |= plan.is_some_and(|plan| plan.keeps());
        // What a statement changes it changes when it is executed; what it calls may run here.
        let ran = plan.map_or(Doubt::CODE, |plan| Doubt { reading: false, catalog: false, ..plan.doubt() });
        let doubt = if neutral { Doubt::NONE } else { ran };
        let mut judged =
            match self.bound_by_name(shop, prepared.filter(|prepared| prepared.plan.is_some()), out) {
                Ok(Found::Meaning(Meaning::Judged(prepared))) => Some(prepared),
                Ok(Found::Meaning(Meaning::Plain)) => None,
                Ok(Found::Meaning(Meaning::Unsettled)) => return Ok(Step::Need(Need::Settle)),
                Ok(Found::Step(step)) => return Ok(step),
                Err(refusal) => return Ok(self.refuse(frame.len(), &target, refusal, None, out)),
            };
        let naming = self.renaming(judged.as_ref().and_then(|prepared| prepared.plan.as_deref()));
        if let Some(prepared) =
            judged.as_ref().filter(|it| it.plan.as_ref().is_some_and(|plan| plan.touches()))
        {
            // The server plans the statement anew; so must we know what its names mean now.
            let plan = prepared.plan.clone();
            let settled = |session: &mut Session, plan: Rc<Plan>| {
                if plan.joins() { session.settles(&plan, false) } else { session.passage(&plan) }
            };
            match self.outdated().or_else(|| plan.and_then(|plan| settled(self, plan))) {
                Some(Ok(step)) => return Ok(step),
                Some(Err(refusal)) => return Ok(self.refuse(frame.len(), &target, refusal, None, out)),
                None => {}
            }
            let Some(view) = self.view.clone() else { return self.no_view() };
            let sure = match prepared.plan.as_ref().map_or(Ok(true), |plan| self.reads_surely(plan)) {
                Ok(sure) => sure,
                Err(step) => return Ok(step),
            };
            let bind = Bind::read(frame.body())?;
            match self.settles_values(prepared, &bind) {
                Some(Ok(step)) => return Ok(step),
                Some(Err(refusal)) => return Ok(self.refuse(frame.len(), &target, refusal, None, out)),
                None => {}
            }
            let readable = prepared
                .plan
                .as_ref()
                .map_or(Ok(()), |plan| self.can_read(plan).and_then(|()| self.binds_surely(plan)));
            match readable.and_then(|()| shop.clear_bind(&view, prepared, &bind, self.manner(sure))) {
                Ok(cleared) => {
                    self.count_sealed(&cleared);
                    out.extend_from_slice(cleared.bytes());
                    judged = judged.map(|it| shop.portal_of(&view, it, &bind, self.letters.charset()));
                }
                Err(refusal) => {
                    let plan = prepared.plan.clone();
                    return Ok(self.refuse(frame.len(), &target, refusal, plan.as_deref(), out));
                }
            }
        } else {
            out.extend_from_slice(frame.bytes());
        }
        let change = Change::Portal(portal.into(), self.bound(judged));
        self.owe(Kind::Bind, Mark { naming, ..Mark::changing(change) }, doubt);
        Ok(Step::Took(frame.len()))
    }

    pub(super) fn take_execute(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Step, Malformed> {
        let (portal, limit) = frontend::read_execute(frame.body())?;
        if let Some(step) = self.refuses_names(&[portal], frame.len(), &Target::Execute, out) {
            return Ok(step);
        }
        if self.queue.is_told_too_late(portal) {
            return Ok(self.refuse(frame.len(), &Target::Execute, told_too_late(), None, out));
        }
        let meaning = self.queue.portal(portal);
        // Which tables a COPY takes or shows the server looks up now, and not as it was judged.
        if self.parses_copy && (self.has_old_portals || self.newer) {
            let of_now = |prepared: &Prepared| {
                let queries = |facts: &StatementFacts| facts.copy.is_none() && !facts.reads.is_empty();
                self.view.as_ref().is_some_and(|view| view.epoch() == prepared.epoch)
                    || prepared.plan.as_ref().is_some_and(|plan| plan.facts.statements.iter().all(queries))
            };
            if !matches!(&meaning, Meaning::Judged(prepared) if of_now(prepared)) {
                let detail = "The catalog changed in this transaction, and the portal may be a COPY of before, which means other tables now.";
                let hint = "End the transaction and send it again.";
                let refusal = Refusal::unhandled("catalog-changed", detail, hint);
                return Ok(self.refuse(frame.len(), &Target::Execute, refusal, None, out));
            }
        }
        if self.is_outlived(&meaning) {
            let detail = "The policy changed since this portal was opened, and with it what it shows.";
            let refusal = Refusal::unhandled("not-prepared", detail, "Bind the statement again.");
            return Ok(self.refuse(frame.len(), &Target::Execute, refusal, None, out));
        }
        let prepared = match meaning {
            Meaning::Unsettled => return Ok(Step::Need(Need::Settle)),
            Meaning::Judged(prepared) => match self.shown(portal, prepared) {
                Ok(prepared) => Some(prepared),
                Err(refusal) => {
                    return Ok(self.refuse(frame.len(), &Target::Execute, refusal, None, out));
                }
            },
            Meaning::Plain => None,
        };
        let plan = prepared.as_ref().and_then(|prepared| prepared.plan.clone());
        let judged = plan.is_some();
        let unjudged = || self.certainty.defines().then(|| Rc::new(Plan::unknown(self.untouched)));
        let Some(plan) = plan.or_else(|| self.taken_by_code(portal)).or_else(unjudged) else {
            out.extend_from_slice(frame.bytes());
            self.note(b'E', frame.bytes());
            return Ok(Step::Took(frame.len()));
        };
        // What nobody has read may undo what the transaction has defined.
        let doubt = self.doubt(&plan).or_catalog(!judged);
        let (catalog, defines) = (doubt.catalog, plan.defines().then(|| Rc::clone(&plan)));
        let kept = prepared.as_ref().and_then(|prepared| prepared.text.as_ref());
        let naming = match self.naming(&plan, kept, Some(portal)) {
            Ok(naming) => naming,
            Err(refusal) => {
                return Ok(self.refuse(frame.len(), &Target::Execute, refusal, Some(&plan), out));
            }
        };
        let allowed = self.can_write(&plan).and_then(|()| self.unrestrained(&plan));
        if let Err(refusal) = allowed.and_then(|()| self.shows_surely(&plan)) {
            return Ok(self.refuse(frame.len(), &Target::Execute, refusal, Some(&plan), out));
        }
        self.note_text(&plan);
        match self.fence(&plan) {
            Some(Ok(step)) => return Ok(step),
            Some(Err(refusal)) => {
                return Ok(self.refuse(frame.len(), &Target::Execute, refusal, Some(&plan), out));
            }
            None => {}
        }
        if !self.tells_of(&plan) {
            out.extend_from_slice(frame.bytes());
            self.owe(Kind::Execute, Mark { catalog, defines, naming, ..Mark::default() }, doubt);
            return Ok(Step::Took(frame.len()));
        }
        let reads = plan.facts.statements.iter().any(|facts| !facts.reads.is_empty());
        let undescribed = |prepared: &&Rc<Prepared>| {
            reads && prepared.shape.borrow().is_none() && !self.queue.describes(prepared)
        };
        let describes = prepared.as_ref().filter(undescribed).cloned();
        let by_sql = prepared.as_ref().is_some_and(|prepared| prepared.by_sql.is_some());
        // As many rows as the client wants at a time: a cursor.
        let shares = naming.is_none() && limit == 0 && !by_sql;
        let mut runs = self.begin(&plan, shares);
        for run in runs.iter_mut().flatten() {
            run.comes_by(prepared.as_ref());
        }
        let cleared = clear_execute(describes.is_some(), portal, limit);
        let describe = describes.map(|of| Mark { describes: Some(of), swallow: true, ..Mark::default() });
        let takes_copy = plan.takes_copy();
        let mark = Mark { runs, catalog, defines, naming, takes_copy, ..Mark::default() };
        let (consumed, kind, target) = (frame.len(), Kind::Execute, Target::Execute);
        Ok(self.send(Held { consumed, describe, cleared, kind, mark, doubt, target }, plan.writes(), out))
    }

    pub(super) fn take_describe(
        &mut self,
        shop: &mut Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Malformed> {
        let (kind, name) = frontend::read_target(frame.body())?;
        if let Some(step) = self.refuses_names(&[name], frame.len(), &Target::Describe, out) {
            return Ok(step);
        }
        let meaning = match kind {
            frontend::Kind::Statement => match self.statement(shop, name, out) {
                Ok(Found::Meaning(meaning)) => meaning,
                Ok(Found::Step(step)) => return Ok(step),
                Err(refusal) => return Ok(self.refuse(frame.len(), &Target::Describe, refusal, None, out)),
            },
            frontend::Kind::Portal if self.queue.is_told_too_late(name) => {
                return Ok(self.refuse(frame.len(), &Target::Describe, told_too_late(), None, out));
            }
            frontend::Kind::Portal => self.queue.portal(name),
        };
        let found = match (meaning, kind) {
            (Meaning::Judged(prepared), frontend::Kind::Statement) => {
                self.bound_by_name(shop, Some(prepared), out)
            }
            (Meaning::Judged(prepared), frontend::Kind::Portal) => {
                self.shown(name, prepared).map(|prepared| Found::Meaning(Meaning::Judged(prepared)))
            }
            (meaning @ (Meaning::Unsettled | Meaning::Plain), _) => Ok(Found::Meaning(meaning)),
        };
        let prepared = match found {
            Ok(Found::Meaning(Meaning::Unsettled)) => return Ok(Step::Need(Need::Settle)),
            Ok(Found::Meaning(Meaning::Judged(prepared))) => Some(prepared),
            Ok(Found::Meaning(Meaning::Plain)) => None,
            Ok(Found::Step(step)) => return Ok(step),
            Err(refusal) => return Ok(self.refuse(frame.len(), &Target::Describe, refusal, None, out)),
        };
        let plan = prepared.as_ref().and_then(|prepared| prepared.plan.clone());
        let possibly = plan.as_ref().is_some_and(|plan| !plan.touches() && self.tells_of(plan));
        let describes = prepared.filter(|_| plan.is_some_and(|plan| plan.touches()));
        out.extend_from_slice(frame.bytes());
        self.owe(Kind::Describe, Mark { describes, possibly, ..Mark::default() }, Doubt::NONE);
        Ok(Step::Took(frame.len()))
    }

    pub(super) fn take_close(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Step, Malformed> {
        let (kind, name) = frontend::read_target(frame.body())?;
        if let Some(step) = self.refuses_names(&[name], frame.len(), &Target::Describe, out) {
            return Ok(step);
        }
        let change = match kind {
            frontend::Kind::Statement => Change::Statement(name.into(), None),
            frontend::Kind::Portal => Change::Portal(name.into(), None),
        };
        out.extend_from_slice(frame.bytes());
        self.owe(Kind::Close, Mark::changing(change), Doubt::NONE);
        Ok(Step::Took(frame.len()))
    }

    fn count_sealed(&mut self, cleared: &Cleared) {
        let Some(view) = &self.view else { return };
        self.ciphered = true;
        for (id, count) in cleared.sealed() {
            if let Some(field) = view.field_use(id) {
                self.events.push(Event::Cells { field: field.field.clone(), operation: "seal", count });
            }
        }
    }

    fn no_view(&mut self) -> Result<Step, Malformed> {
        Ok(self.end(Refusal::unhandled("no-catalog", "The catalog is not loaded.", "Connect again.")))
    }
}

/// What is defined over code that nobody can follow is given nothing before COMMIT.
fn kept_code() -> Refusal {
    let detail = "Something over code that cannot be followed is defined earlier in the same transaction, and might be given a value.";
    Refusal::unhandled("catalog-in-transaction", detail, "COMMIT the change first.")
}
