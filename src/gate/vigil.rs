//! The thread of the detectors. Sessions leave what happened in a queue and go on: nobody is woken for it,
//! the thread looks many times a second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::oneshot;

use super::memory::{Asked, Memory, Question};
use super::roster::{Order, Roster};
use crate::alarm::{Alarm, now_ms};
use crate::audit::{Intent, Record, Who};
use crate::config::LearnedWatch;
use crate::pipeline::Event;
use crate::store::journal::JournalHandle;
use crate::watch::{Detector, Finding, Hard, Response, Rule, Seen};

/// What waits to be looked at, at the most. More than comes together between two looks.
const WAITING_MAX: usize = 16_384;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);
/// Questions of operators that wait.
const ASKED_MAX: usize = 16;
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
    asks: SyncSender<Asked>,
    shared: Arc<Shared>,
}

/// What is looked for.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Watched {
    pub rules: Vec<Rule>,
    /// None: nothing is learned.
    pub learned: Option<LearnedWatch>,
}

impl Watched {
    fn is_any(&self) -> bool {
        !self.rules.is_empty() || self.learned.is_some()
    }
}

struct Shared {
    /// There is a detector.
    active: AtomicBool,
    /// There is one that learns: outcomes concern it.
    learns: AtomicBool,
    /// Nothing more is sent.
    ends: AtomicBool,
    watched: ArcSwap<Watched>,
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
    pub fn start(watched: Watched, means: Means) -> io::Result<(Vigil, VigilThread)> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let (asks, asked) = sync_channel(ASKED_MAX);
        let shared = Arc::new(Shared {
            active: AtomicBool::new(watched.is_any()),
            learns: AtomicBool::new(watched.learned.is_some()),
            ends: AtomicBool::new(false),
            watched: ArcSwap::from_pointee(watched),
        });
        let looking = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("vigil".to_owned())
            .spawn(move || look(&receiver, &asked, &looking, &means))?;
        Ok((Vigil { sender, asks, shared: Arc::clone(&shared) }, VigilThread { thread, shared }))
    }

    /// Puts others in the place of those that hold; rules begin to count anew where they are others, and
    /// what was learned stays.
    pub fn change(&self, watched: Watched) {
        self.shared.active.store(watched.is_any(), Ordering::SeqCst);
        self.shared.learns.store(watched.learned.is_some(), Ordering::SeqCst);
        self.shared.watched.store(Arc::new(watched));
    }

    /// What is known of what was learned. None: nothing is learned, or there is no answer.
    pub async fn ask(&self, question: Question) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(Asked { question, answer }).ok()?;
        answered.await.ok()
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
        if self.is_active() && concerns(record, self.shared.learns.load(Ordering::Relaxed)) {
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
fn concerns(record: &Record, learns: bool) -> bool {
    match record {
        Record::Intent(_) | Record::Refusal(_) | Record::Login(_) => true,
        Record::Outcome(_) => learns,
        Record::Session(_) | Record::Alert(_) | Record::Admin(_) => false,
    }
}

fn look(receiver: &Receiver<Sighting>, asked: &Receiver<Asked>, shared: &Shared, means: &Means) {
    let mut held: Arc<Watched> = Arc::default();
    let mut detectors: Vec<Box<dyn Detector>> = Vec::new();
    let mut memory: Option<Memory> = None;
    let mut findings = Vec::new();
    loop {
        // Before it is looked: what was sent before the end is seen.
        let ends = shared.ends.load(Ordering::SeqCst);
        let watched = shared.watched.load();
        if !Arc::ptr_eq(&watched, &held) {
            if watched.rules != held.rules {
                let hard = watched.rules.iter().map(|rule| Box::new(Hard::new(rule.clone())));
                detectors = hard.map(|hard| hard as Box<dyn Detector>).collect();
            }
            memory = match (memory.take(), &watched.learned) {
                (Some(memory), Some(learned)) => Some(memory.change(learned)),
                (None, Some(learned)) => Some(Memory::open(learned)),
                (Some(mut memory), None) => {
                    memory.save();
                    None
                }
                (None, None) => None,
            };
            held = Arc::clone(&watched);
        }
        while let Ok(Sighting { seen, now_ms }) = receiver.try_recv() {
            for detector in &mut detectors {
                detector.see(&seen, now_ms, &mut findings);
            }
            if let Some(memory) = &mut memory {
                memory.learned.see(&seen, now_ms, &mut findings);
            }
            for finding in findings.drain(..) {
                act(finding, means, memory.as_mut());
            }
        }
        while let Ok(Asked { question, answer }) = asked.try_recv() {
            if let Some(memory) = &mut memory {
                // Whoever asked may have gone.
                let _ = answer.send(memory.answer(question));
            }
        }
        if let Some(memory) = &mut memory {
            if ends {
                memory.save();
            } else {
                memory.keep();
            }
        }
        if ends {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// Does what the rule says, and has it told.
fn act(finding: Finding, means: &Means, memory: Option<&mut Memory>) {
    let Finding { mut alert, response, by } = finding;
    means.alarm.raise(&mut alert);
    if let (Some(memory), Some(unusual)) = (memory, &alert.unusual) {
        memory.learned.is_part_of(&unusual.id, &alert.incident);
    }
    match response {
        Response::Alert => {}
        Response::Cut => {
            means.roster.end(alert.who.session, Order::Cut);
        }
        Response::Restrain { restraint, ms } => {
            let until_ms = now_ms().saturating_add(ms);
            means.roster.restrain(&by.whom(&alert.who), restraint, until_ms, alert.incident.clone());
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
    use crate::watch::Restraint;

    use super::*;
    use crate::watch::{By, Kind, Rate};

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_seen_however_much_it_is() {
        let rule = Rule {
            kind: Kind::Refusals(Rate { count: 50_000, window_ms: 86_400_000 }),
            response: Response::Restrain { restraint: Restraint::Lock, ms: 60_000 },
            severity: "critical",
            users: None,
            by: By::User,
        };
        let roster = Arc::new(Roster::default());
        let means = Means { roster: roster.clone(), alarm: Arc::new(Alarm::silent()), journal: None };
        let (vigil, thread) = Vigil::start(Watched { rules: vec![rule], learned: None }, means).unwrap();
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
