//! Hands the records of one thread's sessions to the journal, and brings back their receipts.
//!
//! Whatever the sessions of one turn of the thread have to say goes as one hand-over: the task that hands
//! over runs behind all sessions that are ready. Outcomes wait a moment for the next intent, so that the
//! journal's thread is woken, and the disk synced, once a statement and not twice. An answer is one for
//! a whole hand-over, and wakes this thread once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::Notify;

use super::vigil::Vigil;
use crate::alarm::Alarm;
use crate::audit::{Alert, Durability, Entry, FieldUse, LeaseTerms, Receipt, Record, RefusalRecord, Tenure};
use crate::store::journal::{self, Answer, Answers, Desk, HANDED_MAX, JournalHandle, LINGER, Refused};

/// Records that wait to be handed over. Beyond it sessions wait.
const WAITING_MAX: usize = 4 * HANDED_MAX;

/// Hand-overs that wait for their answers.
const UNDERWAY_MAX: usize = 64;

/// Fields that one line of the log names.
const FIELDS_LOGGED_MAX: usize = 16;

/// What became of a record that somebody waits for.
pub enum Fate {
    /// Of an intent: its receipt, or the execution that has none.
    Intent(Result<Receipt, u64>),
    /// Of an outcome, where the level waits for it: is it durable?
    Outcome(bool),
}

/// Where one session finds what became of its records.
#[derive(Default)]
pub struct Mailbox {
    fates: RefCell<VecDeque<Fate>>,
    /// Records without a fate.
    awaited: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    /// Nothing is awaited, and nothing lies here.
    pub fn is_quiet(&self) -> bool {
        self.awaited.get() == 0 && self.fates.borrow().is_empty()
    }

    /// The oldest fate; where there is none and one is awaited, the task is woken when it comes.
    pub fn poll(&self, context: &Context<'_>) -> Option<Fate> {
        let fate = self.fates.borrow_mut().pop_front();
        if fate.is_none() && self.awaited.get() > 0 {
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
        }
        fate
    }

    fn put(&self, fate: Fate) {
        self.awaited.set(self.awaited.get().saturating_sub(1));
        self.fates.borrow_mut().push_back(fate);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Whose record it is, and which one.
struct Awaited {
    mailbox: Rc<Mailbox>,
    /// Of an intent: its execution. None: it is an outcome.
    intent: Option<u64>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// Of those that somebody waits for, in their order, with the place in `entries` that each has.
    awaited: VecDeque<(u64, Awaited)>,
    /// Entries that were taken from `entries` so far: the place of the first one in it.
    taken: u64,
    /// One of them must not linger.
    is_urgent: bool,
}

/// One thread's way to the journal.
pub struct Records {
    /// None where nothing is classified.
    journal: Option<JournalHandle>,
    desk: Option<Desk>,
    answers: RefCell<Option<Answers>>,
    waiting: RefCell<Waiting>,
    /// By hand-over.
    underway: RefCell<VecDeque<Vec<Awaited>>>,
    alarm: Arc<Alarm>,
    vigil: Vigil,
    some: Notify,
    urgent: Notify,
    asked: Notify,
    room: Notify,
    is_closing: Cell<bool>,
    is_closed: Cell<bool>,
}

impl Records {
    pub fn new(journal: Option<JournalHandle>, alarm: Arc<Alarm>, vigil: Vigil) -> Records {
        let (desk, answers) = journal.as_ref().map(JournalHandle::desk).unzip();
        Records {
            journal,
            desk,
            answers: RefCell::new(answers),
            waiting: RefCell::default(),
            alarm,
            vigil,
            underway: RefCell::default(),
            some: Notify::new(),
            urgent: Notify::new(),
            asked: Notify::new(),
            room: Notify::new(),
            is_closing: Cell::new(false),
            is_closed: Cell::new(false),
        }
    }

    /// How durable records are before what they are about goes on. None: there are none.
    pub fn durability(&self) -> Option<Durability> {
        self.journal.as_ref().map(JournalHandle::durability)
    }

    /// What leases may cover, and rest on. None: there are none.
    pub fn leasing(&self) -> Option<(LeaseTerms, Tenure)> {
        let journal = self.journal.as_ref()?;
        Some((journal.lease()?, journal.tenure().clone()))
    }

    /// Takes a session's records, in order, waiting for room. What somebody waits for comes to the mailbox.
    ///
    /// # Errors
    /// The journal is closed, or there is none.
    pub async fn take(&self, records: Vec<Record>, mailbox: &Rc<Mailbox>) -> Result<(), Refused> {
        for record in records {
            let awaited = match &record {
                Record::Intent(intent) => Some(Some(intent.execution.number)),
                Record::Outcome(_) if self.durability() == Some(Durability::Full) => Some(None),
                Record::Outcome(_)
                | Record::Refusal(_)
                | Record::Session(_)
                | Record::Login(_)
                | Record::Alert(_)
                | Record::Admin(_) => None,
            };
            self.put(record, awaited.map(|intent| Awaited { mailbox: Rc::clone(mailbox), intent })).await?;
        }
        Ok(())
    }

    /// Hands in a record that nothing depends on; the log tells where it could not.
    pub async fn leave(&self, record: Record) {
        if self.put(record, None).await.is_err() {
            tracing::error!("a record was not taken by the journal");
        }
    }

    async fn put(&self, mut record: Record, awaited: Option<Awaited>) -> Result<(), Refused> {
        if let Record::Alert(alert) = &mut record {
            self.alarm.raise(alert);
        }
        match &record {
            Record::Intent(intent) => self.vigil.see_intent(intent).await,
            Record::Outcome(_)
            | Record::Refusal(_)
            | Record::Session(_)
            | Record::Login(_)
            | Record::Alert(_)
            | Record::Admin(_) => self.vigil.see(&record).await,
        }
        tell(&record);
        while self.waiting.borrow().entries.len() >= WAITING_MAX && !self.is_closed.get() {
            self.room.notified().await;
        }
        if self.is_closed.get() || (self.journal.is_none() && awaited.is_some()) {
            return Err(Refused(std::sync::Arc::from("the journal is closed")));
        }
        if self.journal.is_none() {
            return Ok(());
        }
        let lingers = awaited.is_none() && matches!(record, Record::Outcome(_));
        let mut waiting = self.waiting.borrow_mut();
        if let Some(awaited) = awaited {
            awaited.mailbox.awaited.set(awaited.mailbox.awaited.get() + 1);
            let place = waiting.taken + waiting.entries.len() as u64;
            waiting.awaited.push_back((place, awaited));
        }
        let was_empty = waiting.entries.is_empty();
        waiting.entries.push_back(journal::entry(record));
        let full = waiting.entries.len() >= HANDED_MAX;
        if was_empty {
            self.some.notify_one();
        }
        if (!lingers || full) && !std::mem::replace(&mut waiting.is_urgent, true) {
            self.urgent.notify_one();
        }
        Ok(())
    }

    /// Takes nothing new; [`Records::serve`] ends when all has been handed over.
    pub fn close(&self) {
        self.is_closing.set(true);
        self.some.notify_one();
        self.urgent.notify_one();
    }

    /// Hands over what sessions have put here and brings back what became of it, until it is closed.
    pub async fn serve(&self) {
        let (Some(desk), Some(answers)) = (&self.desk, self.answers.borrow_mut().take()) else { return };
        tokio::select! {
            () = self.hand_over(desk) => {}
            () = self.bring_back(answers) => {}
        }
        self.is_closed.set(true);
        self.room.notify_waiters();
    }

    async fn hand_over(&self, desk: &Desk) {
        loop {
            let empty = self.waiting.borrow().entries.is_empty();
            if empty && self.is_closing.get() {
                return;
            }
            if empty {
                self.some.notified().await;
                continue;
            }
            // As long outcomes may wait, and so much a crash may lose.
            let deadline = tokio::time::Instant::now() + LINGER;
            while !self.waiting.borrow().is_urgent && !self.is_closing.get() {
                if tokio::time::timeout_at(deadline, self.urgent.notified()).await.is_err() {
                    break;
                }
            }
            while self.underway.borrow().len() >= UNDERWAY_MAX {
                self.asked.notified().await;
            }
            let (entries, awaited) = self.next_hand_over();
            let is_awaited = !awaited.is_empty();
            if is_awaited {
                self.underway.borrow_mut().push_back(awaited);
            }
            self.room.notify_waiters();
            if desk.hand_over(entries, is_awaited).await.is_err() {
                tracing::error!("records were not taken by the journal");
                self.lose_all();
                return;
            }
        }
    }

    /// The oldest records, and who waits for which of them.
    fn next_hand_over(&self) -> (Vec<Entry>, Vec<Awaited>) {
        let mut waiting = self.waiting.borrow_mut();
        let count = waiting.entries.len().min(HANDED_MAX);
        let entries: Vec<Entry> = waiting.entries.drain(..count).collect();
        waiting.taken += count as u64;
        let taken = waiting.taken;
        let of_these = waiting.awaited.partition_point(|(place, _)| *place < taken);
        let awaited = waiting.awaited.drain(..of_these).map(|(_, awaited)| awaited).collect();
        waiting.is_urgent = !waiting.awaited.is_empty() || waiting.entries.len() >= HANDED_MAX;
        (entries, awaited)
    }

    async fn bring_back(&self, mut answers: Answers) {
        loop {
            let answer = answers.next().await;
            let Some(awaited) = self.underway.borrow_mut().pop_front() else { continue };
            self.asked.notify_one();
            deliver(awaited, answer);
        }
    }

    /// The journal is gone: whoever waits is told so.
    fn lose_all(&self) {
        self.is_closed.set(true);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        let closed = || Err(Refused(std::sync::Arc::from("the journal is closed")));
        for awaited in std::mem::take(&mut *self.underway.borrow_mut()) {
            deliver(awaited, closed());
        }
        deliver(waiting.awaited.into_iter().map(|(_, awaited)| awaited).collect(), closed());
    }
}

/// Each intent gets its own receipt: they are as many, in the same order.
fn deliver(awaited: Vec<Awaited>, answer: Answer) {
    let is_durable = answer.is_ok();
    let mut receipts = answer.unwrap_or_default().into_iter();
    for Awaited { mailbox, intent } in awaited {
        mailbox.put(match intent {
            None => Fate::Outcome(is_durable),
            Some(number) => {
                let receipt = receipts.next().filter(|receipt| receipt.execution().number == number);
                Fate::Intent(receipt.ok_or(number))
            }
        });
    }
}

/// What somebody should look at stands in the log, too: who, in which session, with what.
pub fn tell(record: &Record) {
    match record {
        Record::Alert(alert) => {
            let Alert { who, detector, severity, verdict, rule, fields, incident, unusual, .. } = alert;
            let reasons = unusual.as_ref().map(|unusual| unusual.reasons.join("; ")).unwrap_or_default();
            let id = unusual.as_ref().map_or("", |unusual| unusual.id.as_str());
            tracing::warn!(
                detector, severity, verdict, %rule, %incident, session = who.session, user = %who.user,
                client = %who.client, database = %who.database, fields = %Paths(fields), alert = id, reasons, "alert"
            );
        }
        Record::Refusal(refusal) => {
            let RefusalRecord { who, sqlstate, rule, fields, .. } = refusal;
            tracing::info!(
                sqlstate, %rule, session = who.session, user = %who.user, client = %who.client,
                database = %who.database, fields = %Paths(fields), "refused"
            );
        }
        Record::Intent(_) | Record::Outcome(_) | Record::Session(_) | Record::Login(_) | Record::Admin(_) => {
        }
    }
}

/// The first of them, by their names.
struct Paths<'a>(&'a [FieldUse]);

impl std::fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, field) in self.0.iter().take(FIELDS_LOGGED_MAX).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}", field.field)?;
        }
        if self.0.len() > FIELDS_LOGGED_MAX { f.write_str(", ...") } else { Ok(()) }
    }
}
