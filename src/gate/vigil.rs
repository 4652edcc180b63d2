//! The thread of the detectors. Sessions leave what happened in a queue and go on: nobody is woken for it,
//! the thread looks many times a second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::roster::{Order, Roster};
use crate::alarm::{Alarm, now_ms};
use crate::audit::{Intent, Record, Who};
use crate::pipeline::Event;
use crate::store::journal::JournalHandle;
use crate::watch::{Detector, Finding, Hard, Response, Rule, Seen};

/// What waits to be looked at, at the most. More than comes together between two looks.
const WAITING_MAX: usize = 16_384;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);
/// How long a session waits where the queue is full.
const FULL: Duration = Duration::from_millis(1);

/// One thing that happened, and when.
struct Sighting {
    seen: Seen,
    now_ms: u64,
}

/// The way to the detectors. None of them: nothing is sent.
#[derive(Clone)]
pub struct Vigil {
    sender: SyncSender<Sighting>,
    shared: Arc<Shared>,
}

struct Shared {
    /// There is a detector.
    active: AtomicBool,
    /// Nothing more is sent.
    ends: AtomicBool,
    rules: ArcSwap<Vec<Rule>>,
}

/// What findings need.
pub struct Means {
    pub roster: Arc<Roster>,
    pub alarm: Arc<Alarm>,
    pub journal: Option<JournalHandle>,
}

/// The thread.
pub struct VigilThread {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl VigilThread {
    /// Ends it, when all that was sent has been looked at.
    pub fn close(self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the detectors panicked");
        }
    }
}

impl Vigil {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(rules: Vec<Rule>, means: Means) -> io::Result<(Vigil, VigilThread)> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared {
            active: AtomicBool::new(!rules.is_empty()),
            ends: AtomicBool::new(false),
            rules: ArcSwap::from_pointee(rules),
        });
        let looking = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("vigil".to_owned())
            .spawn(move || look(&receiver, &looking, &means))?;
        Ok((Vigil { sender, shared: Arc::clone(&shared) }, VigilThread { thread, shared }))
    }

    /// Puts other rules in the place of those that hold; they begin to count anew.
    pub fn change(&self, rules: Vec<Rule>) {
        self.shared.active.store(!rules.is_empty(), Ordering::SeqCst);
        self.shared.rules.store(Arc::new(rules));
    }

    fn is_active(&self) -> bool {
        self.shared.active.load(Ordering::Relaxed)
    }

    /// Leaves an intent to be looked at; waits where too much waits already.
    pub async fn see_intent(&self, intent: &Intent) {
        if self.is_active() {
            self.leave(Record::Intent(intent.clone())).await;
        }
    }

    /// Leaves a record to be looked at; waits where too much waits already.
    pub async fn see(&self, record: &Record) {
        if self.is_active() && concerns(record) {
            self.leave(record.clone()).await;
        }
    }

    async fn leave(&self, record: Record) {
        let mut sighting = Sighting { seen: Seen::Record(Box::new(record)), now_ms: now_ms() };
        while let Err(TrySendError::Full(back)) = self.sender.try_send(sighting) {
            sighting = back;
            tokio::time::sleep(FULL).await;
        }
    }

    /// Leaves what stands in no record to be looked at, unless too much waits already: whoever does it so
    /// often has been counted often enough.
    pub fn see_event(&self, who: &Arc<Who>, event: &Event) {
        if !self.is_active() {
            return;
        }
        let seen = match event {
            Event::Failed { sqlstate } => Seen::Failed { who: who.clone(), sqlstate: *sqlstate },
            Event::Suspicious { signs, fields, number } => Seen::Suspicious {
                who: who.clone(),
                signs: *signs,
                fields: fields.clone(),
                statement_id: *number,
            },
            Event::Statement { .. }
            | Event::Plan { .. }
            | Event::Cells { .. }
            | Event::Refused { .. }
            | Event::Restrained { .. }
            | Event::Alerted { .. } => return,
        };
        let _ = self.sender.try_send(Sighting { seen, now_ms: now_ms() });
    }
}

/// Is any detector interested?
fn concerns(record: &Record) -> bool {
    match record {
        Record::Intent(_) | Record::Refusal(_) | Record::Login(_) => true,
        Record::Outcome(_) | Record::Session(_) | Record::Alert(_) | Record::Admin(_) => false,
    }
}

fn look(receiver: &Receiver<Sighting>, shared: &Shared, means: &Means) {
    let mut held: Arc<Vec<Rule>> = Arc::default();
    let mut detectors: Vec<Box<dyn Detector>> = Vec::new();
    let mut findings = Vec::new();
    loop {
        // Before it is looked: what was sent before the end is seen.
        let ends = shared.ends.load(Ordering::SeqCst);
        let rules = shared.rules.load();
        if !Arc::ptr_eq(&rules, &held) {
            held = Arc::clone(&rules);
            detectors =
                held.iter().map(|rule| Box::new(Hard::new(rule.clone())) as Box<dyn Detector>).collect();
        }
        while let Ok(Sighting { seen, now_ms }) = receiver.try_recv() {
            for detector in &mut detectors {
                detector.see(&seen, now_ms, &mut findings);
            }
            for finding in findings.drain(..) {
                act(finding, means);
            }
        }
        if ends {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// Does what the rule says, and has it told.
fn act(finding: Finding, means: &Means) {
    let Finding { mut alert, response } = finding;
    means.alarm.raise(&mut alert);
    match response {
        Response::Alert => {}
        Response::Cut => {
            means.roster.end(alert.who.session, Order::Cut);
        }
        Response::Restrain { restraint, ms } => {
            let until_ms = now_ms().saturating_add(ms);
            means.roster.restrain(&alert.who.user, restraint, until_ms, alert.incident.clone());
        }
    }
    metrics::counter!("sealgate_alerts_total", "detector" => alert.detector, "severity" => alert.severity)
        .increment(1);
    let record = Record::Alert(alert);
    super::records::tell(&record);
    if let Some(journal) = &means.journal {
        // The log has it; a journal that is full for so long says so itself.
        if journal.submit(record).is_err() {
            tracing::error!("an alert was not taken by the journal");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::watch::Restraint;

    use super::*;
    use crate::audit::{Attribution, Execution, FieldUse};
    use crate::statement::Action;
    use crate::watch::{Kind, Rate};

    fn intent(user: u64) -> Intent {
        let who = Who { session: user, user: format!("u{user}").into(), ..Who::sealgate() };
        let field =
            FieldUse { field: "public.customers.email".into(), class: "contact".into(), mode: "equality" };
        Intent {
            who: Arc::new(who),
            execution: Execution { session: user, number: 1 },
            action: Action::Read,
            attribution: Attribution::Known,
            fields: Arc::from([field]),
            listed_in: None,
            fingerprint: "0123456789abcdef".into(),
            statement: "SELECT email FROM customers WHERE id = ?".into(),
            rule: "allow",
            replication: None,
            lease: None,
        }
    }

    /// Without optimization, and with others on the machine: so the best of many.
    #[tokio::test]
    #[expect(clippy::print_stdout, reason = "shown with --nocapture by whoever counts")]
    async fn a_record_costs_its_session_less_than_three_microseconds() {
        let rate = Rate { count: 1_000_000, window_ms: 60_000 };
        let kinds = [Kind::FailedLogins(rate), Kind::Refusals(rate), Kind::Errors(rate), Kind::Injection];
        let rule = |kind| Rule { kind, response: Response::Alert, severity: "warning", users: None };
        let means = Means { roster: Arc::default(), alarm: Arc::new(Alarm::silent()), journal: None };
        let (vigil, thread) = Vigil::start(kinds.into_iter().map(rule).collect(), means).unwrap();
        let intents: Vec<Intent> = (0..1_000).map(intent).collect();
        let mut best = Duration::MAX;
        for _ in 0..30 {
            let began = Instant::now();
            for intent in &intents {
                vigil.see_intent(intent).await;
            }
            best = best.min(began.elapsed() / 1_000);
            tokio::time::sleep(LOOK).await;
        }
        thread.close();
        println!("{best:?} a recorded statement");
        assert!(best < Duration::from_micros(3), "{best:?}");
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_seen_however_much_it_is() {
        let rule = Rule {
            kind: Kind::Refusals(Rate { count: 50_000, window_ms: 86_400_000 }),
            response: Response::Restrain { restraint: Restraint::Lock, ms: 60_000 },
            severity: "critical",
            users: None,
        };
        let roster = Arc::new(Roster::default());
        let means = Means { roster: roster.clone(), alarm: Arc::new(Alarm::silent()), journal: None };
        let (vigil, thread) = Vigil::start(vec![rule], means).unwrap();
        let who = Arc::new(Who { user: "ada".into(), auth: "scram", ..Who::sealgate() });
        let refusal = Record::Refusal(crate::audit::RefusalRecord {
            who,
            statement_id: 1,
            sqlstate: "SG001",
            rule: "opaque".into(),
            fields: Arc::default(),
            statement: None,
            fingerprint: None,
        });
        // Three times what the queue holds.
        for _ in 0..49_999 {
            vigil.see(&refusal).await;
        }
        assert!(!roster.is_locked("ada", now_ms()));
        vigil.see(&refusal).await;
        thread.close();
        assert!(roster.is_locked("ada", now_ms()));
    }
}
