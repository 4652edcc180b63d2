//! `[[watch.limit]]`: how many classified cells a user may be shown in a window.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::window::Window;
use crate::audit::Attribution;

/// What happens to what would go over a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitAction {
    /// It is shown, and an alert is raised once per window.
    Alert,
    /// It is not shown; the session ends (`SG007`).
    Cut,
}

impl LimitAction {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LimitAction::Alert => "alert",
            LimitAction::Cut => "cut",
        }
    }
}

/// One `[[watch.limit]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Login users it holds for. None: every user, each by itself.
    pub users: Option<Vec<String>>,
    /// Classified values, at most [`Limit::CELLS_MAX`].
    pub cells: u64,
    /// From [`Limit::WINDOW_MS_MIN`] to [`Limit::WINDOW_MS_MAX`].
    pub window_ms: u64,
    pub action: LimitAction,
    /// Which values count: those that a statement's text names, or those that may have been met.
    pub attribution: Attribution,
}

impl Limit {
    /// Counts are kept in 32 bits; the rest is room to be over.
    pub const CELLS_MAX: u64 = 1_000_000_000;
    pub const WINDOW_MS_MIN: u64 = 1_000;
    pub const WINDOW_MS_MAX: u64 = 86_400_000;

    fn holds_for(&self, user: &str) -> bool {
        self.users.as_ref().is_none_or(|users| users.iter().any(|name| name == user))
    }

    /// The rule's name in alerts and records.
    fn rule(&self) -> Arc<str> {
        let seconds = self.window_ms.div_ceil(1_000);
        let cells = match self.attribution {
            Attribution::Known => "cells",
            Attribution::Possible => "possible cells",
        };
        Arc::from(format!("watch.limit: {} {cells} in {seconds} s", self.cells))
    }
}

/// How far a user is on the way to a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    pub user: String,
    pub rule: Arc<str>,
    pub cells: u64,
    pub cells_max: u64,
}

/// What is said about cells that are about to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    Go,
    /// Show them, and raise an alert that names this rule.
    Alert(Arc<str>),
    /// Show none of them, and end the session; the rule that was broken.
    Cut(Arc<str>),
}

/// All limits, and the count of every user that is or was here. Users are looked up once, at
/// login; what is opened afterwards is counted without a lock.
pub struct Watch {
    table: Mutex<Table>,
    /// The latest time that was handed in.
    latest_ms: Arc<AtomicU64>,
    /// Counts together whoever finds the table full.
    crowd: Arc<UserWatch>,
}

struct Table {
    limits: Vec<Limit>,
    /// The longest window of all limits that held since the start.
    memory_ms: u64,
    users: HashMap<String, Arc<UserWatch>>,
}

/// Counts of one user, over all of that user's sessions.
pub struct UserWatch {
    spans: ArcSwap<Vec<Span>>,
    /// The same of values that may have been met.
    possible: ArcSwap<Vec<Span>>,
    latest_ms: Arc<AtomicU64>,
    /// When this user last opened something.
    last_ms: AtomicU64,
}

/// What was shown in a window of one length, and the rules that ask for it.
struct Span {
    window_ms: u64,
    window: Arc<Window>,
    rules: Vec<Arc<Rule>>,
}

struct Rule {
    limit: Limit,
    name: Arc<str>,
    /// One more than the time of the last alert; 0: none yet.
    alerted_ms: AtomicU64,
}

impl Watch {
    /// Users that are counted apart at one time.
    pub const USERS_MAX: usize = 4096;

    #[must_use]
    pub fn new(limits: Vec<Limit>) -> Watch {
        let latest_ms = Arc::new(AtomicU64::new(0));
        let crowd = Arc::new(UserWatch::new(limits.iter(), &latest_ms));
        let memory_ms = memory_ms(&limits);
        let table = Mutex::new(Table { limits, memory_ms, users: HashMap::new() });
        Watch { table, latest_ms, crowd }
    }

    /// Puts other limits in the place of those that hold, for sessions that are open, too. What
    /// was shown stays counted: under each window of a length that the user had before.
    pub fn change(&self, limits: Vec<Limit>) {
        let mut table = self.table();
        for (name, user) in &table.users {
            user.change(limits.iter().filter(|limit| limit.holds_for(name)));
        }
        self.crowd.change(limits.iter());
        table.memory_ms = table.memory_ms.max(memory_ms(&limits));
        table.limits = limits;
    }

    /// The counts of a login user. Where [`Watch::USERS_MAX`] users have something to be
    /// remembered, further ones are counted together, under every limit.
    #[must_use]
    pub fn user(&self, name: &str) -> Arc<UserWatch> {
        let mut table = self.table();
        let Table { limits, memory_ms, users } = &mut *table;
        if let Some(known) = users.get(name) {
            return known.clone();
        }
        if users.len() >= Self::USERS_MAX {
            let latest = self.latest_ms.load(Ordering::SeqCst);
            users.retain(|_, user| Arc::strong_count(user) > 1 || !user.is_stale(latest, *memory_ms));
        }
        if users.len() >= Self::USERS_MAX {
            return self.crowd.clone();
        }
        let limits = limits.iter().filter(|limit| limit.holds_for(name));
        let fresh = Arc::new(UserWatch::new(limits, &self.latest_ms));
        users.insert(name.to_owned(), fresh.clone());
        fresh
    }

    /// Who has used up how much of which limit, the nearest to it first.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Vec<Used> {
        let users: Vec<(String, Arc<UserWatch>)> =
            self.table().users.iter().map(|(name, user)| (name.clone(), user.clone())).collect();
        let mut all = Vec::new();
        for (name, user) in users {
            for spans in [user.spans.load(), user.possible.load()] {
                for span in spans.iter() {
                    let cells = span.window.now(now_ms);
                    let rules = span.rules.iter().filter(|_| cells > 0);
                    all.extend(rules.map(|rule| Used {
                        user: name.clone(),
                        rule: rule.name.clone(),
                        cells,
                        cells_max: rule.limit.cells,
                    }));
                }
            }
        }
        let share = |used: &Used| used.cells.saturating_mul(1_000) / used.cells_max.max(1);
        all.sort_by(|one, other| share(other).cmp(&share(one)).then_with(|| one.user.cmp(&other.user)));
        all
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memory_ms(limits: &[Limit]) -> u64 {
    limits.iter().map(|limit| limit.window_ms).max().unwrap_or(0)
}

impl UserWatch {
    fn new<'a>(limits: impl Iterator<Item = &'a Limit>, latest_ms: &Arc<AtomicU64>) -> UserWatch {
        let (known, possible) = parted(limits);
        UserWatch {
            spans: ArcSwap::from_pointee(spans(known.into_iter(), &[])),
            possible: ArcSwap::from_pointee(spans(possible.into_iter(), &[])),
            latest_ms: latest_ms.clone(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn change<'a>(&self, limits: impl Iterator<Item = &'a Limit>) {
        let (known, possible) = parted(limits);
        for (place, limits) in [(&self.spans, known), (&self.possible, possible)] {
            let before = place.load();
            place.store(Arc::new(spans(limits.into_iter(), &before)));
        }
    }

    /// Nothing it holds can still count. Twice the memory, since a window may reach a slot further.
    fn is_stale(&self, latest_ms: u64, memory_ms: u64) -> bool {
        self.last_ms.load(Ordering::SeqCst).saturating_add(memory_ms.saturating_mul(2)) < latest_ms
    }

    /// Counts cells before they are shown. After [`Judgement::Cut`] none of them may be shown,
    /// and they are not counted: what a cutting limit lets through in any window is never more
    /// than the limit. `now_ms`: milliseconds on any one clock, the same for all sessions.
    #[must_use]
    pub fn open(&self, cells: u64, attribution: Attribution, now_ms: u64) -> Judgement {
        let spans = match attribution {
            Attribution::Known => self.spans.load(),
            Attribution::Possible => self.possible.load(),
        };
        if spans.is_empty() || cells == 0 {
            return Judgement::Go;
        }
        self.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
        open_under(&spans, cells, now_ms)
    }
}

fn parted<'a>(limits: impl Iterator<Item = &'a Limit>) -> (Vec<&'a Limit>, Vec<&'a Limit>) {
    limits.partition(|limit| limit.attribution == Attribution::Known)
}

/// The limits by the length of their windows, with what was counted before.
fn spans<'a>(limits: impl Iterator<Item = &'a Limit>, before: &[Span]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for limit in limits {
        let window_ms = limit.window_ms;
        let known = before.iter().find(|span| span.window_ms == window_ms);
        let same = known.and_then(|span| span.rules.iter().find(|rule| rule.limit == *limit));
        let rule = same.map_or_else(|| Arc::new(Rule::new(limit)), Arc::clone);
        if let Some(span) = spans.iter_mut().find(|span| span.window_ms == window_ms) {
            span.rules.push(rule);
            continue;
        }
        let window = known.map_or_else(|| Arc::new(Window::new(window_ms)), |span| span.window.clone());
        spans.push(Span { window_ms, window, rules: vec![rule] });
    }
    spans
}

/// Claims the cells in each window in turn; a cut under a later one takes back what was
/// claimed in those before. At most as deep as there are limits.
fn open_under(spans: &[Span], cells: u64, now_ms: u64) -> Judgement {
    let Some((span, others)) = spans.split_first() else { return Judgement::Go };
    let claim = span.window.claim(cells, now_ms);
    let mut over = span.rules.iter().filter(|rule| claim.total > rule.limit.cells);
    if let Some(rule) = over.clone().find(|rule| rule.limit.action == LimitAction::Cut) {
        span.window.take_back(&claim);
        return Judgement::Cut(rule.name.clone());
    }
    match open_under(others, cells, now_ms) {
        Judgement::Go => over
            .find(|rule| rule.alerts(now_ms))
            .map_or(Judgement::Go, |rule| Judgement::Alert(rule.name.clone())),
        cut @ Judgement::Cut(_) => {
            span.window.take_back(&claim);
            cut
        }
        alert @ Judgement::Alert(_) => alert,
    }
}

impl Rule {
    fn new(limit: &Limit) -> Rule {
        Rule { limit: limit.clone(), name: limit.rule(), alerted_ms: AtomicU64::new(0) }
    }

    /// Once per window.
    fn alerts(&self, now_ms: u64) -> bool {
        let last = self.alerted_ms.load(Ordering::SeqCst);
        let due = last == 0 || now_ms.saturating_add(1).saturating_sub(last) >= self.limit.window_ms;
        let mark = now_ms.saturating_add(1);
        due && self.alerted_ms.compare_exchange(last, mark, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
