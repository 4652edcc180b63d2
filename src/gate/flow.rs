//! The session after login: both lanes are pumped as long as anything moves, then the
//! task sleeps until something can.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant as Deadline, timeout_at};

use super::border::Border;
use super::cancel::Cancelling;
use super::fences::Fence;
use super::lane::{Lane, Stop};
use super::records::{Fate, Mailbox};
use super::roster::{Doing, Listed, Order};
use super::worker::Worker;
use super::{Phase, SharedGate, today};
use crate::alarm::now_ms;
use crate::audit::{Record, Who};
use crate::config::Timeouts;
use crate::pipeline::{Event, Need, Session, Step, Workshop};
use crate::policy::Refusal;
use crate::residency::Date;
use crate::seal::wipe_stack;
use crate::store::catalog::Stay;
use crate::transport::Channel;

/// How long a client may take to read its last message.
pub const FAREWELL: Duration = Duration::from_secs(5);

/// The message by which a server is asked for the answers that it has.
const FLUSH: &[u8] = b"H\0\0\0\x04";

/// A client's last word. Whoever is told of it wants the database for itself, maybe: our own
/// session there ends before the server hears it.
const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// Pumps in a row after which others have their turn: each moves at most a scratch buffer's
/// bytes a way, so about a millisecond.
const TURNS_MAX: u32 = 16;

/// How often a session that is slowed down looks whether it is to end.
const SLOWLY: Duration = Duration::from_millis(100);

/// How a session ended.
pub enum End {
    /// A peer closed.
    Closed,
    /// The machine, or the gate, ended it: the client is told.
    Refused(Box<Refusal>),
    /// The gate wants it to end, or waited for too long: the client is told so.
    Terminated(Termination),
}

/// Why a session ends that did nothing wrong. SQLSTATE and words are PostgreSQL's own, so
/// that drivers know them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termination {
    pub sqlstate: &'static str,
    pub message: &'static str,
    pub detail: &'static str,
}

const DRAINED: Termination = Termination {
    sqlstate: "57P01",
    message: "terminating connection due to administrator command",
    detail: "",
};
const SENT_AWAY: Termination =
    Termination { detail: "sealgate: an operator has ended this session.", ..DRAINED };
const RECLASSIFIED: Termination =
    Termination { detail: "sealgate: another policy holds for this database now. Connect again.", ..DRAINED };
const CANCEL_ASTRAY: Termination = Termination {
    detail: "sealgate: a cancel request was not answered by the server and could hit another statement. Connect again.",
    ..DRAINED
};
const IDLE: Termination = Termination {
    sqlstate: "57P05",
    message: "terminating connection due to idle-session timeout",
    detail: "sealgate: timeouts.idle",
};
const IDLE_IN_TRANSACTION: Termination = Termination {
    sqlstate: "25P03",
    message: "terminating connection due to idle-in-transaction timeout",
    detail: "sealgate: timeouts.idle_in_transaction",
};

/// One session under way.
pub struct Flow<'a> {
    pub worker: &'a Worker,
    pub gate: &'a SharedGate,
    pub client: &'a mut Channel,
    pub server: &'a mut Channel,
    pub session: &'a mut Session,
    /// Client to server.
    pub request: Lane,
    /// Server to client.
    pub response: Lane,
    /// What became of the records that it waits for.
    pub mailbox: Rc<Mailbox>,
    pub overhead: Overhead,
    /// None where the server gave no key.
    pub cancelling: Option<&'a Cancelling>,
    /// The server's own number of this session.
    pub process: Option<i32>,
    /// What this session is changing.
    pub fence: Option<Fence>,
    /// Keeps its catalog up to date, and goes with the client's last word.
    pub stay: Option<Stay>,
    /// Of a walsender.
    pub border: Option<Border>,
    pub rest: Rest,
    /// How others see it.
    pub listed: &'a Listed,
}

impl Flow<'_> {
    pub async fn run(&mut self) -> End {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let worker = self.worker;
        self.listed.wakes(waker.clone());
        let _enlisted = worker.enlist(self.session.who().session, waker);
        let (mut told, mut turns) = (false, 0);
        loop {
            self.let_cancels_pass().await;
            // Nothing is awaited between this look and the pump: no request slips through.
            match self.overruled().await {
                Ok(None) => {}
                Ok(Some(termination)) => return End::Terminated(termination),
                Err(refusal) => return self.refuse(refusal),
            }
            if let Err(refusal) = self.look_at_border() {
                return End::Refused(Box::new(refusal));
            }
            self.listed.underway.begins();
            self.look_for_fences();
            self.look_at_leases();
            self.session.restrain(self.listed.held(), now_ms);
            if let Err(refusal) = self.look_at_fit() {
                return End::Refused(Box::new(refusal));
            }
            let pumped = if self.is_spent() { Ok(false) } else { self.pump_timed() };
            self.listed.underway.ends(self.session.is_settled());
            if self.gate.fences.are_up() {
                self.gate.fences.notify();
            }
            if let Some(cancelling) = self.cancelling {
                // A question of ours is not what a client cancels.
                cancelling.tell(!self.session.is_settled() && !self.session.is_asking());
            }
            // What ends the session counts too.
            self.count();
            self.overhead.settle(self.session.is_settled());
            let moved = match pumped {
                Ok(moved) => moved,
                Err(Stop::Closed) => {
                    self.hear_out();
                    return End::Closed;
                }
                Err(Stop::Refused(refusal)) => return End::Refused(refusal),
            };
            if self.session.has_records() && !self.hand_over().await {
                return self.refuse(Refusal::unrecorded());
            }
            if moved {
                self.rest.since = None;
                turns += 1;
                if turns >= TURNS_MAX {
                    turns = 0;
                    self.give_way().await;
                }
                continue;
            }
            turns = 0;
            // At once, not when this session asks: others judge by the same catalog, and wait for it.
            let outdated = self.request.need == Need::Catalog || self.session.is_outdated();
            if outdated && self.session.is_settled() {
                self.bar_everything();
                if let Err(refusal) = self.reload().await {
                    return self.refuse(refusal);
                }
                if self.session.bars().tables.is_empty() {
                    self.fence = None;
                }
                continue;
            }
            let owes = !self.session.is_settled() || self.response.is_waiting_to_write();
            if self.response.is_over() || (self.request.is_over() && !owes) {
                return End::Closed;
            }
            if self.request.is_over() && !told {
                // A client with nothing more to say may still listen: the server decides.
                told = true;
                if self.server.shutdown_write().is_err() {
                    return End::Closed;
                }
            }
            if self.session.is_through() {
                self.fence = None;
            }
            match self.meet().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(refusal) => return self.refuse(refusal),
            }
            if self.session.is_idle() && self.mailbox.is_quiet() {
                self.request.rest();
                self.response.rest();
                if self.session.rest() {
                    wipe_stack();
                }
            }
            if let Some(termination) = self.terminates() {
                return End::Terminated(termination);
            }
            self.sleep().await;
            // After the sleep: what woke the session is judged by the catalog of now.
            if self.session.is_settled()
                && let Err(refusal) = self.renew().await
            {
                return self.refuse(refusal);
            }
        }
    }

    /// What the session needs is not to be had: the catalog, the journal. That stands in the record, as
    /// far as there is one.
    fn refuse(&mut self, refusal: Refusal) -> End {
        self.session.overrule(&refusal);
        End::Refused(Box::new(refusal))
    }

    /// A peer that sends as fast as it is read would keep the thread from the other sessions, and
    /// from what the other peer of this one says.
    async fn give_way(&mut self) {
        tokio::task::yield_now().await;
        poll_fn(|context| Poll::Ready(self.poll_moves(context))).await;
    }

    /// A cancel request that is under way could hit what comes next.
    async fn let_cancels_pass(&mut self) {
        let Some(cancelling) = self.cancelling else { return };
        if self.session.is_settled() {
            if cancelling.is_underway() {
                cancelling.settled().await;
            }
            cancelling.tell(true);
        }
    }

    /// Must the session end whatever it does, or take another policy before it goes on?
    ///
    /// After a reload that changes what is classified, no request is taken up by the old
    /// policy. A session that was judged takes the new one as soon as nothing is under way.
    /// One whose database had nothing classified ends: what it prepared was never looked at,
    /// so that in its transaction, too, nothing it sends could be judged. Either is given
    /// `timeouts.drain` to hear the answers to what the server has already; data that still
    /// comes in a stream (COPY, a long message), and a write that waits for its record, could
    /// carry what is classified now, and end the session at once.
    ///
    /// The answers to a batch whose Sync has not been taken up are asked for by a Flush: unlike
    /// a Sync it ends nothing.
    async fn overruled(&mut self) -> Result<Option<Termination>, Refusal> {
        if self.worker.phase.get() == Phase::Cutting {
            return Ok(Some(DRAINED));
        }
        match self.listed.order() {
            None => {}
            Some(Order::Leave) => return Ok(Some(SENT_AWAY)),
            Some(Order::Cut) => return Err(Refusal::ended_by_watch()),
        }
        if self.session.is_settled() && self.cancelling.is_some_and(Cancelling::is_astray) {
            return Ok(Some(CANCEL_ASTRAY));
        }
        let generation = self.worker.generation.get();
        if self.rest.generation == generation {
            return Ok(None);
        }
        let judged = self.session.epoch().is_some();
        let concerned = self.rest.judges
            && (judged || self.gate.regime.load().settings.classifies(&self.session.who().database));
        if !concerned {
            self.rest.generation = generation;
            if self.rest.judges && !judged {
                self.session.watch_doors(self.gate.regime.load().doors.clone());
            }
            return Ok(None);
        }
        if self.session.is_settled() && !self.request.is_waiting_to_write() {
            if !judged {
                return Ok(Some(RECLASSIFIED));
            }
            // Not what is held: it may have been read by the old policy a moment ago.
            self.reload_policy().await?;
            self.request.resume();
            self.rest.generation = generation;
            self.rest.overruled = None;
            self.rest.flushed = false;
            return Box::pin(self.overruled()).await;
        }
        Ok(self.must_end().then_some(RECLASSIFIED))
    }

    /// Nothing new is taken up: has what is under way no time left, or may it not go on at all?
    pub(super) fn must_end(&mut self) -> bool {
        let patience = Duration::from_millis(self.gate.regime.load().settings.timeouts.drain_ms);
        let until = *self.rest.overruled.get_or_insert_with(|| Deadline::now() + patience);
        let streams = self.session.is_streaming() || self.request.is_waiting_to_write();
        let ends = streams || self.session.is_held() || Deadline::now() >= until;
        if !ends && !self.rest.flushed && self.session.awaits_flush() {
            self.rest.flushed = true;
            self.request.outlet().extend_from_slice(FLUSH);
        }
        ends
    }

    /// A walsender whose peer has come to lie outside is sent nothing more.
    fn look_at_border(&mut self) -> Result<(), Refusal> {
        let Some(border) = &mut self.border else { return Ok(()) };
        border.still_holds(&self.gate.regime.load(), today()).inspect_err(|refusal| {
            let who = self.session.who();
            tracing::warn!(session = who.session, user = %who.user, client = %who.client, "a walsender is put outside and ends");
            self.session.overrule(refusal);
        })
    }

    /// A lease ends with its time, and with the day: places expire then.
    fn look_at_leases(&mut self) {
        let Some(until_ms) = self.session.lease_until_ms() else { return };
        let now_ms = self.gate.ms_at(Instant::now());
        self.session.clock(now_ms);
        let day = today();
        if self.rest.day.replace(day).is_some_and(|before| before != day) {
            self.session.end_leases();
        } else if now_ms >= until_ms {
            self.session.expire_leases();
        }
    }

    /// Should a session end where nothing moves?
    fn terminates(&mut self) -> Option<Termination> {
        let idle = self.session.is_idle() && self.mailbox.is_quiet();
        match self.worker.phase.get() {
            Phase::Cutting => return Some(DRAINED),
            Phase::Draining if idle => return Some(DRAINED),
            Phase::Serving | Phase::Draining => {}
        }
        self.rest.deadline = self.rest.overruled;
        if self.session.is_settled() {
            let (limit, termination) = if self.session.is_idle() {
                (self.rest.idle, IDLE)
            } else {
                (self.rest.idle_in_transaction, IDLE_IN_TRANSACTION)
            };
            let limit = limit?;
            let deadline = *self.rest.since.get_or_insert_with(Deadline::now) + limit;
            if Deadline::now() >= deadline {
                return Some(termination);
            }
            self.rest.deadline = Some(deadline);
        }
        if self.border.is_some() {
            let tomorrow = Deadline::now() + Border::until_tomorrow();
            self.rest.deadline = Some(self.rest.deadline.map_or(tomorrow, |other| other.min(tomorrow)));
        }
        if let Some(until_ms) = self.session.lease_until_ms() {
            let until = Deadline::from_std(self.gate.started + Duration::from_millis(until_ms));
            self.rest.deadline = Some(self.rest.deadline.map_or(until, |other| other.min(until)));
        }
        None
    }

    /// What the server said before it closed still reaches the client.
    fn hear_out(&mut self) {
        // It may have come since the server was last looked at.
        self.server.look_again();
        while self.pump_response().unwrap_or(false) {}
    }

    fn pump_response(&mut self) -> Result<bool, Stop> {
        let mut shop = self.worker.shop.borrow_mut();
        let mut scratch = self.worker.scratch.borrow_mut();
        let (session, now_ms) = (&mut *self.session, self.gate.ms_at(Instant::now()));
        self.response.pump(self.server, self.client, &mut scratch, |input, out| {
            session.response(&mut shop, input, out, now_ms)
        })
    }

    fn pump_timed(&mut self) -> Result<bool, Stop> {
        // Without a classification nothing is done that would be worth the clock.
        let began = self.session.epoch().map(|_| Instant::now());
        let moved = self.pump(began.map_or(0, |began| self.gate.ms_at(began)));
        self.overhead.spend(began);
        moved
    }

    fn pump(&mut self, now_ms: u64) -> Result<bool, Stop> {
        let mut shop = self.worker.shop.borrow_mut();
        let mut scratch = self.worker.scratch.borrow_mut();
        let (session, stay, catalogs) = (&mut *self.session, &mut self.stay, self.gate.catalogs.as_ref());
        session.clock(now_ms);
        let leaves = self.fence.is_none();
        let overruled = self.rest.overruled.is_some();
        let mut moved = self.request.pump(self.client, self.server, &mut scratch, |input, out| {
            if leaves && input == TERMINATE && session.is_settled() {
                *stay = None;
            }
            let step = take_up(session, overruled, &mut shop, input, out);
            // It is not sent yet.
            for (database, catalogs) in session.take_wanted().iter().zip(catalogs.iter().cycle()) {
                catalogs.vacate(database);
            }
            step
        })?;
        moved |= self.response.pump(self.server, self.client, &mut scratch, |input, out| {
            session.response(&mut shop, input, out, now_ms)
        })?;
        if moved && self.request.need != Need::Input {
            // What the server answered may be what the client's next frame waits for.
            moved |= self.request.pump(self.client, self.server, &mut scratch, |input, out| {
                take_up(session, overruled, &mut shop, input, out)
            })?;
        }
        Ok(moved)
    }

    /// Waits until a socket, a record or the gate can move the session on.
    async fn sleep(&mut self) {
        let awaits_record = self.request.need == Need::Durable || self.response.need == Need::Durable;
        let began = awaits_record.then(Instant::now);
        self.wake().await;
        self.overhead.spend(began);
    }

    async fn wake(&mut self) {
        let deadline = self.rest.deadline;
        let mut slept = false;
        let moved = poll_fn(|context| {
            let moves = self.poll_moves(context);
            // Woken by what is none of these (the gate changed): everything is looked at again.
            if moves || std::mem::replace(&mut slept, true) { Poll::Ready(()) } else { Poll::Pending }
        });
        match deadline {
            None => moved.await,
            Some(deadline) => timeout_at(deadline, moved).await.unwrap_or_default(),
        }
    }

    /// Can anything move? If not, the task is woken when a socket or a record can.
    pub(super) fn poll_moves(&mut self, context: &mut Context<'_>) -> bool {
        let heard = self.request.wants_input() && self.client.poll_readable(context).is_ready();
        let answered = self.response.wants_input() && self.server.poll_readable(context).is_ready();
        // Both are asked: a client that never pauses must not keep its answers from being seen.
        if heard
            || answered
            || (self.request.wants_output() && self.server.poll_writable(context).is_ready())
            || (self.response.wants_output() && self.client.poll_writable(context).is_ready())
        {
            return true;
        }
        let mut moves = false;
        while let Some(fate) = self.mailbox.poll(context) {
            moves = true;
            match fate {
                Fate::Intent(fate) => self.session.acknowledge(fate),
                Fate::Outcome(is_durable) => self.session.settle_outcome(is_durable),
            }
        }
        moves
    }

    /// Hands records to the journal. False where it does not take them.
    async fn hand_over(&mut self) -> bool {
        let records = self.session.take_records();
        for record in &records {
            if let Record::Intent(intent) = record {
                let doing = Doing { shape: intent.statement.clone(), since_ms: now_ms() };
                self.listed.does(Some(doing));
            } else if matches!(record, Record::Outcome(_)) {
                self.listed.does(None);
            }
        }
        for record in &records {
            if let Record::Intent(intent) = record {
                let delay_ms = self.session.terms(&intent.who).delay_ms;
                if delay_ms > 0 {
                    self.slow_down(&intent.who, Duration::from_millis(delay_ms)).await;
                }
            }
        }
        self.worker.records.take(records, &self.mailbox).await.is_ok()
    }

    /// Nothing is shown or written before the intent is on record: what a user is throttled by. Whoever ends
    /// the session does not wait for it, and it ends with what is held against the user.
    async fn slow_down(&self, who: &Who, delay: Duration) {
        let until = Deadline::now() + delay;
        while Deadline::now() < until
            && self.listed.order().is_none()
            && self.listed.terms(who, now_ms).delay_ms > 0
            && self.worker.phase.get() != Phase::Cutting
        {
            tokio::time::sleep_until(until.min(Deadline::now() + SLOWLY)).await;
        }
    }

    /// Counts what happened since the last time.
    pub fn count(&mut self) {
        let untouched = self.session.take_untouched();
        if untouched > 0 {
            self.worker.untouched.increment(untouched);
        }
        for event in self.session.take_events() {
            self.overhead.note(&event);
            let who = self.session.who();
            self.gate.vigil.see_event(who, &event);
            if let Event::Restrained { whom, restraint, ms, rule } = &event {
                let until_ms = now_ms().saturating_add(*ms);
                self.gate.roster.restrain(whom, *restraint, until_ms, Arc::clone(rule));
            }
            self.worker.counters.note(event, &who.database);
        }
    }

    /// Did the last pump leave nothing that another one could move?
    fn is_spent(&self) -> bool {
        let (client, server) = (&self.client, &self.server);
        self.request.is_spent() && self.response.is_spent() && client.is_quiet() && server.is_quiet()
    }

    /// Sends what waits and a last message; where the client has a message of the server in
    /// part, the rest of it first. If that does not come in time nothing more is said: it would
    /// be read as a part of that message.
    pub async fn farewell(&mut self, last: &[u8]) {
        let _ = tokio::time::timeout(FAREWELL, async {
            self.finish_message().await?;
            self.response.outlet().extend_from_slice(last);
            self.write_out().await
        })
        .await;
    }

    async fn finish_message(&mut self) -> Result<(), Stop> {
        let mut left = self.session.response_left();
        while left > 0 {
            self.write_out().await?;
            let taken = {
                let mut scratch = self.worker.scratch.borrow_mut();
                self.response.take(self.server, &mut scratch, left)?
            };
            left -= taken;
            if taken == 0 {
                self.server.readable().await?;
            }
        }
        Ok(())
    }

    async fn write_out(&mut self) -> Result<(), Stop> {
        while self.response.is_waiting_to_write() {
            self.client.writable().await?;
            self.response.flush(self.client)?;
        }
        Ok(())
    }
}

/// What a client sends, unless the policy that it would be judged by holds no more.
fn take_up(
    session: &mut Session,
    overruled: bool,
    shop: &mut Workshop,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Step {
    if overruled {
        return Step::Need(Need::Settle);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    shop.tell_time(since.as_secs());
    session.request(shop, input, out)
}

/// How long a session may rest, and since when it does.
pub struct Rest {
    pub idle: Option<Duration>,
    pub idle_in_transaction: Option<Duration>,
    /// Can its statements be judged at all? Not those of a physical walsender.
    pub judges: bool,
    /// Of the configuration that it was looked at under.
    pub generation: u64,
    since: Option<Deadline>,
    deadline: Option<Deadline>,
    /// On which leases were looked at last.
    day: Option<Date>,
    /// Another policy holds, and until then what was begun by the old one must have ended.
    pub(super) overruled: Option<Deadline>,
    /// And the answers to that were asked for.
    pub(super) flushed: bool,
    /// The policy does not fit the database any more: why it is refused, and that it has been noticed.
    pub(super) unfit: Option<Refusal>,
    pub(super) leaves: bool,
    /// Until when another session's definition is waited for.
    pub(super) passage: Option<Deadline>,
    /// How long it waits for what others have under way.
    pub(super) others: Option<Deadline>,
}

impl Rest {
    pub fn new(timeouts: Timeouts, judges: bool, generation: u64) -> Rest {
        Rest {
            idle: timeouts.idle_ms.map(Duration::from_millis),
            idle_in_transaction: timeouts.idle_in_transaction_ms.map(Duration::from_millis),
            judges,
            generation,
            since: None,
            deadline: None,
            day: None,
            overruled: None,
            flushed: false,
            unfit: None,
            leaves: false,
            passage: None,
            others: None,
        }
    }
}

/// Time that statements on classified data spend here (`sealgate_overhead_seconds`): in
/// judging, sealing and opening, and in waiting for the record.
#[derive(Default)]
pub struct Overhead {
    spent: Duration,
    judged: bool,
}

impl Overhead {
    fn spend(&mut self, began: Option<Instant>) {
        self.spent += began.map_or(Duration::ZERO, |began| began.elapsed());
    }

    fn note(&mut self, event: &Event) {
        self.judged |= matches!(event, Event::Statement { .. });
    }

    /// Nothing is under way: what was spent belongs to what was judged since the last time.
    fn settle(&mut self, settled: bool) {
        if settled {
            if self.judged {
                metrics::histogram!("sealgate_overhead_seconds").record(self.spent.as_secs_f64());
            }
            *self = Overhead::default();
        }
    }
}
