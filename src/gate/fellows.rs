//! What other proxies are told of the watch, and what is made of what they tell.
//!
//! All of it belongs to the thread that talks with the store. Sessions hand it nothing and wait for nothing: it
//! looks at what is held and counted, many times a second, and puts what it hears where sessions look anyway.
//! What is held here stays held whatever the store does: only an entry that a holder of the key has written takes
//! anything back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fellowship::Fellowship;
use super::roster::Roster;
use super::untold::{Item, Pending};
use crate::alarm::{Alarm, now_ms};
use crate::audit::{AdminRecord, Alert, Record, Who};
use crate::share::{self, Put, Shelf};
use crate::store::journal::JournalHandle;
use crate::watch::{
    Counted, Elsewhere, Entry, Heard, LOCK_MAX_MS, Limit, LockId, Restrained, Restraint, SKEW_MAX_MS,
    ShareKey, Told, Unheard, Watch, Whom,
};

/// Windows of others that are known, and what is known of what they hold.
const WINDOWS_MAX: usize = 32_768;
const HOLDS_MAX: usize = 32_768;
/// Data subjects in all of those windows together.
const MET_ALL_MAX: usize = 500_000;
/// How often windows are told that have changed, and how often those of others are aged.
const COUNT_EVERY: Duration = Duration::from_millis(100);
const AGE_EVERY: Duration = Duration::from_millis(250);
/// How often it is told that this one is there, and how long that may take to come back.
const BEAT_EVERY: Duration = Duration::from_secs(1);
const BEAT_PATIENCE: Duration = Duration::from_secs(3);
/// Proxies that are known of, and how long one is that is not heard any more.
const PROXIES_MAX: usize = 1_024;
const PROXY_LIFE: Duration = Duration::from_secs(10);
/// A store that is lost for longer is critical.
const LOST_LONG: Duration = Duration::from_secs(30);
/// Entries that nobody of us has written are told of once in so long.
const ODD_AGAIN: Duration = Duration::from_secs(10);

/// What it acts upon.
pub struct Ties {
    pub roster: Arc<Roster>,
    pub watch: Arc<Watch>,
    pub alarm: Arc<Alarm>,
    pub journal: Option<JournalHandle>,
    /// Zero of the clock that windows are counted by.
    pub started: Instant,
}

/// A window of another proxy.
struct Window {
    sequence: u64,
    told: Told,
    heard: Instant,
    /// How old it was by then.
    age_ms: u64,
}

/// What was heard last at the place of something held.
#[derive(Clone, Copy)]
struct Known {
    number: u64,
    is_over: bool,
    until_ms: u64,
}

/// See the module's text.
pub struct Fellows {
    key: ShareKey,
    ties: Ties,
    fellowship: Arc<Fellowship>,
    /// This process.
    sender: u64,
    sequence: u64,
    next_lock: u64,
    /// As of which change of the roster everything has been looked at.
    changes: Option<u64>,
    /// What began here: its number, and until when it was told to hold.
    mine: HashMap<(Whom, &'static str), (u64, u64, Restraint)>,
    /// What began here and was taken back by word, with when it would have ended.
    freed: HashMap<u64, u64>,
    holds: Pending,
    counts: Pending,
    known: HashMap<String, Known>,
    windows: HashMap<(u64, Whom, u64), Window>,
    /// Windows have been heard that sessions do not know of yet.
    unaged: bool,
    aged: Instant,
    /// Data subjects that are known of in them.
    met: usize,
    counted: Instant,
    /// Up to when windows have been looked at, by the clock of windows.
    counted_ms: u64,
    /// What was told last of each window.
    latest: HashMap<(Whom, u64), Vec<u32>>,
    /// When each was heard last, and by how much its clock differs.
    proxies: HashMap<u64, (Instant, u64)>,
    beat: Option<Instant>,
    /// The oldest beat that has not come back.
    awaited: Option<Instant>,
    lost: Option<Instant>,
    lost_long: bool,
    odd: Option<Instant>,
}

impl Fellows {
    #[must_use]
    pub fn new(key: ShareKey, ties: Ties, fellowship: Arc<Fellowship>) -> Fellows {
        ties.roster.share();
        metrics::gauge!("sealgate_share_up").set(0.0);
        let now = Instant::now();
        Fellows {
            key,
            ties,
            fellowship,
            sender: rand::random(),
            sequence: 0,
            next_lock: 0,
            changes: None,
            mine: HashMap::new(),
            freed: HashMap::new(),
            holds: Pending::default(),
            counts: Pending::default(),
            known: HashMap::new(),
            windows: HashMap::new(),
            unaged: false,
            aged: now,
            met: 0,
            counted: now,
            counted_ms: 0,
            latest: HashMap::new(),
            proxies: HashMap::new(),
            beat: None,
            awaited: None,
            lost: None,
            lost_long: false,
            odd: None,
        }
    }

    fn plan(&mut self, shelf: Shelf, whom: Whom, told: Told) {
        let place = self.key.place(self.sender, &whom, &told);
        let pending = match shelf {
            Shelf::Held => &mut self.holds,
            Shelf::Counted => &mut self.counts,
        };
        if !pending.put(Item { shelf, place, whom, told }) {
            metrics::counter!("sealgate_share_untold_total").increment(1);
        }
    }

    /// What is held since this was asked, and what operators have taken back.
    fn look_at_holds(&mut self) {
        let changes = self.ties.roster.changes();
        if self.changes == Some(changes) {
            return;
        }
        self.changes = Some(changes);
        let now_ms = now_ms();
        for gone in self.ties.roster.take_released() {
            let own = self.mine.get(&(gone.whom.clone(), gone.restraint.name())).map(|(number, ..)| *number);
            if let Some(number) = own.filter(|_| gone.lock.is_none()) {
                self.free(number, gone.until_ms);
            }
            let own = own.map(|number| LockId { sender: self.sender, number });
            if let Some(lock) = gone.lock.or(own) {
                if gone.lock.is_some() {
                    // Whoever shows it again before this comes back is not heard.
                    let told = Told::Release { lock, restraint: gone.restraint };
                    let place = self.key.place(self.sender, &gone.whom, &told);
                    let until_ms = gone.until_ms;
                    self.learn(&place, Known { number: lock.number, is_over: true, until_ms });
                }
                self.plan(Shelf::Held, gone.whom, Told::Release { lock, restraint: gone.restraint });
            }
        }
        let held = self.ties.roster.held(now_ms);
        for one in held.iter().filter(|one| one.lock.is_none()) {
            let key = (one.whom.clone(), one.restraint.name());
            let told = self.mine.get(&key);
            if told.is_some_and(|(_, until_ms, restraint)| {
                *until_ms == one.until_ms && *restraint == one.restraint
            }) {
                continue;
            }
            let number = self.next_lock;
            self.next_lock += 1;
            self.mine.insert(key, (number, one.until_ms, one.restraint));
            self.plan_hold(one, number);
        }
        // What is over, or was taken back, is nothing that began here any more.
        let still: std::collections::HashSet<(&Whom, &str)> = held
            .iter()
            .filter(|one| one.lock.is_none())
            .map(|one| (&one.whom, one.restraint.name()))
            .collect();
        self.mine.retain(|(whom, kind), _| still.contains(&(whom, *kind)));
    }

    fn plan_hold(&mut self, one: &Restrained, number: u64) {
        let lock = LockId { sender: self.sender, number };
        let incident: String = one.incident.chars().take(64).collect();
        // What is left of it is known when it is told.
        let told = Told::Hold {
            lock,
            restraint: one.restraint,
            until_ms: one.until_ms,
            left_ms: 0,
            incident: incident.into(),
        };
        self.plan(Shelf::Held, one.whom.clone(), told);
    }

    /// Tells all of it again: nobody knows what the store still has.
    fn tell_all(&mut self) {
        let held = self.ties.roster.held(now_ms());
        for one in held.iter().filter(|one| one.lock.is_none()) {
            if let Some((number, ..)) = self.mine.get(&(one.whom.clone(), one.restraint.name())).copied() {
                self.plan_hold(one, number);
            }
        }
        self.latest.clear();
        self.counted_ms = 0;
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.ties.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Windows that have changed.
    fn look_at_counts(&mut self) {
        if self.counted.elapsed() < COUNT_EVERY {
            return;
        }
        self.counted = Instant::now();
        let (since_ms, now_ms) = (self.counted_ms, self.ms());
        self.counted_ms = now_ms;
        for Counted { whom, span, slot_ms, slots, met } in self.ties.watch.counted(since_ms, now_ms) {
            let key = (whom.clone(), span);
            let told = self.latest.get(&key);
            if told.is_some_and(|told| *told == slots) || told.is_none() && slots.is_empty() {
                continue;
            }
            if self.latest.len() < WINDOWS_MAX || told.is_some() {
                self.latest.insert(key, slots.clone());
            }
            self.plan(Shelf::Counted, whom, Told::Count { span, slot_ms, slots, met });
        }
    }

    fn look_at_beat(&mut self) {
        if self.beat.is_none_or(|beat| beat.elapsed() >= BEAT_EVERY) {
            self.beat = Some(Instant::now());
            self.plan(Shelf::Counted, Whom::user(&Arc::from("")), Told::Beat);
        }
    }

    /// Puts what others have counted where sessions look.
    fn age(&mut self) {
        let due = self.unaged || !self.windows.is_empty() && self.aged.elapsed() >= AGE_EVERY;
        if !due {
            return;
        }
        (self.unaged, self.aged) = (false, Instant::now());
        let (mut elsewhere, mut met) = (Elsewhere::new(), 0_usize);
        self.windows.retain(|(_, whom, span), window| {
            let heard_ms = u64::try_from(window.heard.elapsed().as_millis()).unwrap_or(u64::MAX);
            let since_ms = heard_ms.saturating_add(window.age_ms);
            let count = window.told.counted(window_ms(*span), since_ms);
            if count == 0 {
                return false;
            }
            let of_whom = elsewhere.entry(whom.clone()).or_default();
            let at = of_whom.iter().position(|heard| heard.span == *span).unwrap_or_else(|| {
                of_whom.push(Heard { span: *span, ..Heard::default() });
                of_whom.len() - 1
            });
            if let Some(heard) = of_whom.get_mut(at) {
                heard.hear(count, window.told.met(window_ms(*span), since_ms).inspect(|_| met += 1));
            }
            true
        });
        self.met = met;
        self.ties.watch.take_elsewhere(elsewhere);
    }

    fn hear_entry(&mut self, place: &str, entry: Entry) {
        let is_own = entry.sender == self.sender;
        if !is_own {
            self.meet(&entry);
        }
        match &entry.told {
            Told::Beat if is_own => self.awaited = None,
            Told::Beat => {}
            Told::Count { .. } if is_own => {}
            Told::Count { span, .. } => {
                let key = (entry.sender, entry.whom.clone(), *span);
                let known = self.windows.get(&key).map(|window| window.sequence);
                let fits = (1..=Limit::WINDOW_MS_MAX).contains(&window_ms(*span));
                if !fits || known.is_none() && self.windows.len() >= WINDOWS_MAX {
                    metrics::counter!("sealgate_share_refused_total", "why" => "full").increment(1);
                } else if known.is_none_or(|known| known < entry.sequence) {
                    let age_ms = entry.age_ms(now_ms());
                    let heard = Instant::now();
                    let mut told = entry.told;
                    if let Told::Count { met, .. } = &mut told {
                        self.met += met.len();
                        if self.met > MET_ALL_MAX {
                            // Then each is somebody else.
                            *met = Vec::new();
                        }
                    }
                    let window = Window { sequence: entry.sequence, told, heard, age_ms };
                    self.windows.insert(key, window);
                    self.unaged = true;
                }
            }
            Told::Hold { lock, restraint, .. } | Told::Release { lock, restraint }
                if lock.sender == self.sender =>
            {
                self.hear_own(&entry, *lock, *restraint);
            }
            Told::Hold { lock, restraint, incident, .. } => {
                let until_ms = entry.told.held_until(now_ms()).unwrap_or(0);
                let (restraint, incident) = (*restraint, incident.clone());
                let fresh =
                    Restrained { whom: entry.whom.clone(), restraint, until_ms, incident, lock: Some(*lock) };
                self.hear_hold(place, *lock, fresh);
            }
            Told::Release { lock, restraint } => {
                let known = self.known.get(place).copied();
                if known.is_some_and(|known| known.number > lock.number) {
                    return;
                }
                let until_ms = known.filter(|known| known.number == lock.number).map(|known| known.until_ms);
                let until_ms = until_ms.unwrap_or_else(|| now_ms().saturating_add(LOCK_MAX_MS));
                self.learn(place, Known { number: lock.number, is_over: true, until_ms });
                let gone = Restrained {
                    whom: entry.whom.clone(),
                    restraint: *restraint,
                    until_ms: 0,
                    incident: Arc::from(""),
                    lock: Some(*lock),
                };
                if self.ties.roster.take_back(&gone) {
                    self.note_release(&gone);
                }
            }
        }
    }

    /// What lies at a place of this proxy's own: another one may have taken it back.
    fn hear_own(&mut self, entry: &Entry, lock: LockId, restraint: Restraint) {
        let key = (entry.whom.clone(), restraint.name());
        let current = self.mine.get(&key).copied();
        let is_current = current.is_some_and(|(number, ..)| number == lock.number);
        match (&entry.told, is_current) {
            (Told::Release { .. }, true) => {
                self.mine.remove(&key);
                self.free(lock.number, current.map_or(0, |(_, until_ms, _)| until_ms));
                let gone = Restrained {
                    whom: entry.whom.clone(),
                    restraint,
                    until_ms: 0,
                    incident: Arc::from(""),
                    lock: None,
                };
                if self.ties.roster.take_back(&gone) {
                    self.note_release(&gone);
                }
            }
            // It lies where a newer one should.
            (Told::Release { .. }, false) if current.is_some() => {
                let held = self.ties.roster.held(now_ms());
                let own = held.iter().find(|one| {
                    one.lock.is_none() && one.whom == entry.whom && one.restraint.is_like(restraint)
                });
                if let (Some(one), Some((number, ..))) = (own, current) {
                    self.plan_hold(one, number);
                }
            }
            // Taken back meanwhile.
            (Told::Hold { .. }, false) if current.is_none() && self.freed.contains_key(&lock.number) => {
                self.plan(Shelf::Held, entry.whom.clone(), Told::Release { lock, restraint });
            }
            (Told::Hold { .. } | Told::Release { .. } | Told::Count { .. } | Told::Beat, _) => {}
        }
    }

    fn free(&mut self, number: u64, until_ms: u64) {
        let now_ms = now_ms();
        self.freed.retain(|_, until_ms| *until_ms > now_ms);
        if self.freed.len() < HOLDS_MAX {
            self.freed.insert(number, until_ms);
        }
    }

    fn hear_hold(&mut self, place: &str, lock: LockId, fresh: Restrained) {
        let (known, now_ms) = (self.known.get(place).copied(), now_ms());
        let is_old = known
            .is_some_and(|known| known.number > lock.number || known.number == lock.number && known.is_over);
        if is_old || fresh.until_ms <= now_ms {
            return;
        }
        let is_known = known.is_some_and(|known| !known.is_over && known.until_ms > now_ms);
        // Told again it is no longer than it was.
        let until_ms = match known.filter(|known| known.number == lock.number) {
            Some(known) => known.until_ms.min(fresh.until_ms),
            None => fresh.until_ms,
        };
        self.learn(place, Known { number: lock.number, is_over: false, until_ms });
        let fresh = Restrained { until_ms, ..fresh };
        if !self.ties.roster.hold(fresh.clone()) || is_known {
            return;
        }
        let locks = fresh.restraint == Restraint::Lock;
        let rule = format!(
            "another proxy has it held against {} for {} s (incident {})",
            fresh.whom,
            until_ms.saturating_sub(now_ms) / 1_000,
            fresh.incident
        );
        let who = Who { user: fresh.whom.user.clone(), ..Who::sealgate() };
        let end_user = fresh.whom.end_user.as_ref();
        let who = Who {
            end_user: end_user.map(|end_user| end_user.name.clone()),
            end_user_auth: if end_user.is_some_and(|end_user| end_user.proven) { "token" } else { "stated" },
            ..who
        };
        self.ring(who, if locks { "critical" } else { "warning" }, fresh.restraint.name(), &rule);
    }

    fn learn(&mut self, place: &str, known: Known) {
        if self.known.len() >= HOLDS_MAX && !self.known.contains_key(place) {
            let first =
                self.known.iter().min_by_key(|(_, known)| known.until_ms).map(|(place, _)| place.clone());
            if let Some(first) = first {
                self.known.remove(&first);
            }
        }
        self.known.insert(place.to_owned(), known);
    }

    /// Another proxy is there.
    fn meet(&mut self, entry: &Entry) {
        let now = Instant::now();
        if self.proxies.len() < PROXIES_MAX || self.proxies.contains_key(&entry.sender) {
            let is_live = self.fellowship.standing().settled;
            if entry.told == Told::Beat && is_live {
                self.proxies.insert(entry.sender, (now, now_ms().abs_diff(entry.told_ms)));
            }
        }
    }

    fn note_release(&self, gone: &Restrained) {
        let rule: Arc<str> = format!("{} of {}, by another proxy", gone.restraint.name(), gone.whom).into();
        tracing::info!(%rule, "released");
        let record =
            AdminRecord { event: "watch-release", verdict: "applied", rule, account: None, keyring: None };
        self.record(Record::Admin(record));
    }

    fn ring(&self, who: Who, severity: &'static str, verdict: &'static str, rule: &str) {
        let mut alert = Alert {
            statement_id: None,
            detector: "shared",
            severity,
            verdict,
            rule: rule.into(),
            fields: Arc::default(),
            incident: Arc::from(""),
            unusual: None,
            by_end_user: who.end_user.is_some(),
            who: Arc::new(who),
        };
        self.ties.alarm.raise(&mut alert);
        metrics::counter!("sealgate_alerts_total", "detector" => "shared", "severity" => severity)
            .increment(1);
        let record = Record::Alert(alert);
        super::records::tell(&record);
        self.record(record);
    }

    fn record(&self, record: Record) {
        if let Some(journal) = &self.ties.journal
            && journal.submit(record).is_err()
        {
            tracing::error!("a record was not taken by the journal");
        }
    }
}

/// The length of a window stands in its number.
fn window_ms(span: u64) -> u64 {
    span & 0xffff_ffff_ffff
}

impl share::Fellows for Fellows {
    fn tell(&mut self, most: usize) -> Vec<Put> {
        self.look_at_holds();
        self.look_at_counts();
        self.look_at_beat();
        let now_ms = now_ms();
        let items = self.holds.items.iter().chain(&self.counts.items).take(most);
        let (mut puts, mut unfit) = (Vec::new(), Vec::new());
        for (order, Item { shelf, place, whom, told }) in items {
            let mut told = told.clone();
            if let Told::Hold { until_ms, left_ms, .. } = &mut told {
                *left_ms = until_ms.saturating_sub(now_ms).min(LOCK_MAX_MS);
            }
            let is_beat = told == Told::Beat;
            self.sequence += 1;
            let (sender, sequence) = (self.sender, self.sequence);
            let entry = Entry { sender, sequence, told_ms: now_ms, whom: whom.clone(), told };
            match self.key.write(place, &entry) {
                Some(bytes) => puts.push(Put { number: *order, shelf: *shelf, place: place.clone(), bytes }),
                None => unfit.push((place.clone(), *order)),
            }
            if is_beat {
                self.awaited = self.awaited.or_else(|| Some(Instant::now()));
            }
        }
        for (place, order) in unfit {
            metrics::counter!("sealgate_share_untold_total").increment(1);
            self.holds.remove(&place, order);
            self.counts.remove(&place, order);
        }
        puts
    }

    fn told(&mut self, put: &Put) {
        metrics::counter!("sealgate_share_entries_total", "direction" => "told").increment(1);
        match put.shelf {
            Shelf::Held => self.holds.remove(&put.place, put.number),
            Shelf::Counted => self.counts.remove(&put.place, put.number),
        }
    }

    fn hear(&mut self, place: &str, bytes: &[u8]) {
        let why = match self.key.read(place, bytes) {
            Ok(entry) => {
                metrics::counter!("sealgate_share_entries_total", "direction" => "heard").increment(1);
                return self.hear_entry(place, entry);
            }
            Err(Unheard::Size) => "size",
            Err(Unheard::Forged) => "forged",
            Err(Unheard::Form) => "form",
        };
        metrics::counter!("sealgate_share_refused_total", "why" => why).increment(1);
        if self.odd.is_none_or(|odd| odd.elapsed() >= ODD_AGAIN) {
            self.odd = Some(Instant::now());
            let rule = match why {
                "form" => "an entry of another version lies where proxies tell one another: it is not heard",
                _ => "an entry that no proxy has made lies where proxies tell one another: it is not heard",
            };
            self.ring(Who::sealgate(), "critical", "alert", rule);
        }
    }

    fn settled(&mut self) {
        self.fellowship.set(|standing| {
            standing.lost = None;
            standing.settled = true;
        });
        metrics::gauge!("sealgate_share_up").set(1.0);
        tracing::info!("other proxies can be reached");
        (self.lost, self.lost_long) = (None, false);
        self.tell_all();
    }

    fn turn(&mut self) -> Result<(), String> {
        self.age();
        let now = Instant::now();
        self.proxies.retain(|_, (heard, _)| now.duration_since(*heard) < PROXY_LIFE);
        let others = self.proxies.len();
        let skew_ms = self.proxies.values().map(|(_, skew_ms)| *skew_ms).max().unwrap_or(0);
        let skew_ms = if skew_ms > SKEW_MAX_MS { skew_ms } else { 0 };
        let standing = self.fellowship.standing();
        if (standing.others, standing.skew_ms) != (others, skew_ms) {
            if standing.skew_ms == 0 && skew_ms > 0 {
                tracing::error!(seconds = skew_ms / 1_000, "the clock of another proxy differs too much");
            }
            self.fellowship.set(|standing| (standing.others, standing.skew_ms) = (others, skew_ms));
            metrics::gauge!("sealgate_share_proxies")
                .set(f64::from(u32::try_from(others).unwrap_or(u32::MAX)));
        }
        if self.lost.is_some_and(|lost| lost.elapsed() >= LOST_LONG) && !self.lost_long {
            self.lost_long = true;
            self.ring(Who::sealgate(), "critical", "alert", LOST);
        }
        if self.awaited.is_some_and(|awaited| awaited.elapsed() > BEAT_PATIENCE) {
            return Err("what is told does not come back".to_owned());
        }
        Ok(())
    }

    fn lost(&mut self, why: &str) {
        self.awaited = None;
        let was_lost = self.lost.is_some();
        self.lost = self.lost.or_else(|| Some(Instant::now()));
        self.proxies.clear();
        self.fellowship.set(|standing| {
            standing.lost = Some(why.to_owned());
            standing.settled = false;
            standing.others = 0;
        });
        metrics::gauge!("sealgate_share_up").set(0.0);
        if !was_lost {
            tracing::error!(why, "other proxies cannot be reached: limits and locks are this one's own");
            self.ring(Who::sealgate(), "warning", "alert", LOST);
        }
    }
}

/// As the alert has it; why stands in the log.
const LOST: &str = "other proxies cannot be reached: limits and locks are this one's own";

#[cfg(test)]
#[path = "fellows_tests.rs"]
mod tests;
