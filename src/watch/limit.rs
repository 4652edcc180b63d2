//! `[[watch.limit]]`: how many classified cells, rows that hold any, or data subjects a user may be shown in a
//! window.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::restraint::Restraint;
use super::subjects::{Met, Subjects};
use super::whom::{By, EndUser, Whom};
use super::window::{Claim, Window};
use crate::audit::Attribution;

/// What happens to what would go over a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitAction {
    /// It is shown, and an alert is raised once per window.
    Alert,
    /// It is not shown; the session ends (`SG007`).
    Cut,
    /// It is shown, and with the alert something is held against the user for so long. With
    /// [`Restraint::Lock`] it is not shown.
    Restrain { restraint: Restraint, ms: u64 },
}

impl LimitAction {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LimitAction::Alert => "alert",
            LimitAction::Cut => "cut",
            LimitAction::Restrain { restraint, .. } => restraint.name(),
        }
    }

    /// Is what would go beyond not shown?
    #[must_use]
    pub const fn cuts(self) -> bool {
        match self {
            LimitAction::Alert => false,
            LimitAction::Cut => true,
            LimitAction::Restrain { restraint, .. } => matches!(restraint, Restraint::Lock),
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Classified values.
    Cells,
    /// Rows that hold any.
    Rows,
    /// Those whose data it is. One that is not known is somebody else each time.
    Subjects,
}

/// What is about to be shown.
#[derive(Clone, Copy, Default, Debug)]
pub struct Shown<'a> {
    pub cells: u64,
    pub rows: u64,
    /// By the first bits of their names.
    pub subjects: &'a [u64],
    /// Rows of which it is not known whose they are.
    pub unknown: u64,
}

/// One `[[watch.limit]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Login users it holds for. None: every user, each by itself.
    pub users: Option<Vec<String>>,
    /// Is it of each login user, or of each of those for whom one asks?
    pub by: By,
    pub measure: Measure,
    /// Of these, at most [`Limit::CELLS_MAX`] or [`Limit::SUBJECTS_MAX`].
    pub most: u64,
    /// From [`Limit::WINDOW_MS_MIN`] to [`Limit::WINDOW_MS_MAX`].
    pub window_ms: u64,
    pub action: LimitAction,
    /// Which values count: those that a statement's text names, or those that may have been met.
    pub attribution: Attribution,
}

impl Limit {
    /// Counts are kept in 32 bits; the rest is room to be over.
    pub const CELLS_MAX: u64 = 1_000_000_000;
    /// Subjects are counted exactly, and each takes its place.
    pub const SUBJECTS_MAX: u64 = 2_000;
    pub const WINDOW_MS_MIN: u64 = 1_000;
    pub const WINDOW_MS_MAX: u64 = 86_400_000;

    fn holds_for(&self, user: &str) -> bool {
        self.users.as_ref().is_none_or(|users| users.iter().any(|name| name == user))
    }

    /// The rule's name in alerts and records.
    fn rule(&self) -> Arc<str> {
        let seconds = self.window_ms.div_ceil(1_000);
        let what = match (self.measure, self.attribution) {
            (Measure::Cells, Attribution::Known) => "cells",
            (Measure::Cells, Attribution::Possible) => "possible cells",
            (Measure::Rows, _) => "rows",
            (Measure::Subjects, _) => "subjects",
        };
        let by = match self.by {
            By::User => "",
            By::EndUser => " of one end user",
        };
        Arc::from(format!("watch.limit: {} {what} in {seconds} s{by}", self.most))
    }
}

/// How far a user is on the way to a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    pub whom: Whom,
    pub rule: Arc<str>,
    /// Of what the limit counts.
    pub used: u64,
    pub most: u64,
}

/// What is said about cells that are about to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    Go,
    /// Show them, and raise an alert that names this rule.
    Alert(Broken),
    /// Show none of them, and end the session; the rule that was broken.
    Cut(Broken),
}

/// A limit that was reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Its name in alerts and records.
    pub rule: Arc<str>,
    pub action: LimitAction,
    /// Against whom it acts.
    pub by: By,
}

/// All limits, and the count of every user that is or was here. Users are looked up once, at
/// login; what is opened afterwards is counted without a lock.
pub struct Watch {
    table: Mutex<Table>,
    common: Arc<Common>,
    /// Counts together whoever finds the table full.
    crowd: Arc<UserWatch>,
}

/// What all counts share.
#[derive(Default)]
struct Common {
    /// The latest time that was handed in.
    latest_ms: AtomicU64,
    /// What other proxies have counted; of users that are not here, too: they may come.
    elsewhere: ArcSwap<Elsewhere>,
    /// End users that are counted apart, of all users.
    end_users: AtomicUsize,
}

/// What one window of somebody holds, as other proxies are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    pub whom: Whom,
    /// Which window; the same for all proxies that count alike.
    pub span: u64,
    pub slot_ms: u32,
    /// From the slot that has just begun to the oldest.
    pub slots: Vec<u32>,
}

/// What other proxies have counted of somebody, by the window.
pub type Elsewhere = HashMap<Whom, Vec<(u64, u64)>>;

struct Table {
    limits: Vec<Limit>,

    /// The longest window of all limits that held since the start.
    memory_ms: u64,
    users: HashMap<String, Arc<UserWatch>>,
}

/// Counts of one user, over all of that user's sessions; or of one of those for whom a user asks.
pub struct UserWatch {
    whom: Whom,
    spans: ArcSwap<Vec<Span>>,
    /// The same of values that may have been met.
    possible: ArcSwap<Vec<Span>>,
    common: Arc<Common>,
    /// When something was last opened for it.
    last_ms: AtomicU64,
    /// There are limits by end user.
    has_end_users: AtomicBool,
    end_users: Mutex<EndUsers>,
}

/// Those for whom one login user asks.
#[derive(Default)]
struct EndUsers {
    limits: Vec<Limit>,
    /// The longest window of limits that held since the start.
    memory_ms: u64,
    known: HashMap<EndUser, Arc<UserWatch>>,
    /// Counts together those that are too many.
    crowd: Option<Arc<UserWatch>>,
}

/// What was shown in a window of one length, and the rules that ask for it.
struct Span {
    measure: Measure,
    window_ms: u64,
    count: Count,
    /// What other proxies have counted, as of the last time that they were heard.
    elsewhere: Arc<AtomicU64>,
    rules: Vec<Arc<Rule>>,
}

#[derive(Clone)]
enum Count {
    Sum(Arc<Window>),
    Subjects(Arc<Subjects>),
}

impl Count {
    fn now(&self, now_ms: u64) -> u64 {
        match self {
            Count::Sum(window) => window.now(now_ms),
            Count::Subjects(subjects) => subjects.now(now_ms),
        }
    }

    fn slots(&self, now_ms: u64) -> (u32, Vec<u32>) {
        match self {
            Count::Sum(window) => window.slots(now_ms),
            Count::Subjects(subjects) => subjects.slots(now_ms),
        }
    }
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
    /// End users that are, of one user and of all.
    pub const END_USERS_MAX: usize = 1_024;
    pub const ALL_END_USERS_MAX: usize = 16_384;

    #[must_use]
    pub fn new(limits: Vec<Limit>) -> Watch {
        let common: Arc<Common> = Arc::default();
        let crowd = Arc::new(UserWatch::new(Whom::user(&Arc::from("")), limits.iter(), &common));
        let memory_ms = memory_ms(limits.iter());
        let table = Mutex::new(Table { limits, memory_ms, users: HashMap::new() });
        Watch { table, common, crowd }
    }

    /// Puts other limits in the place of those that hold, for sessions that are open, too. What
    /// was shown stays counted: under each window of a length that the user had before.
    pub fn change(&self, limits: Vec<Limit>) {
        let mut table = self.table();
        for (name, user) in &table.users {
            user.change(limits.iter().filter(|limit| limit.holds_for(name)));
        }
        self.crowd.change(limits.iter());
        table.memory_ms = table.memory_ms.max(memory_ms(limits.iter()));
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
            let latest = self.common.latest_ms.load(Ordering::SeqCst);
            users.retain(|_, user| Arc::strong_count(user) > 1 || !user.is_stale(latest, *memory_ms));
        }
        if users.len() >= Self::USERS_MAX {
            return self.crowd.clone();
        }
        let limits = limits.iter().filter(|limit| limit.holds_for(name));
        let fresh = Arc::new(UserWatch::new(Whom::user(&name.into()), limits, &self.common));
        users.insert(name.to_owned(), fresh.clone());
        fresh
    }

    /// Who has used up how much of which limit, the nearest to it first.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Vec<Used> {
        let mut all = Vec::new();
        for user in self.everybody() {
            for (spans, _) in user.by_attribution() {
                for span in spans.iter() {
                    let so_far = span.total(span.count.now(now_ms));
                    let rules = span.rules.iter().filter(|_| so_far > 0);
                    all.extend(rules.map(|rule| Used {
                        whom: user.whom.clone(),
                        rule: rule.name.clone(),
                        used: so_far,
                        most: rule.limit.most,
                    }));
                }
            }
        }
        let share = |used: &Used| used.used.saturating_mul(1_000) / used.most.max(1);
        all.sort_by(|one, other| share(other).cmp(&share(one)).then_with(|| one.whom.cmp(&other.whom)));
        all
    }

    /// The windows of everybody for whom something was counted at this time or later.
    #[must_use]
    pub fn counted(&self, since_ms: u64, now_ms: u64) -> Vec<Counted> {
        let lately = |user: &Arc<UserWatch>| user.last_ms.load(Ordering::SeqCst) >= since_ms;
        self.everybody().iter().filter(|user| lately(user)).flat_map(|user| user.counted(now_ms)).collect()
    }

    /// Takes what other proxies have counted in the place of what they had before.
    pub fn take_elsewhere(&self, elsewhere: Elsewhere) {
        // Whoever comes from here on has it; then those who are here.
        self.common.elsewhere.store(Arc::new(elsewhere));
        self.everybody().iter().for_each(|user| user.adopt());
    }

    fn everybody(&self) -> Vec<Arc<UserWatch>> {
        let users: Vec<Arc<UserWatch>> = self.table().users.values().cloned().collect();
        let end_users: Vec<Arc<UserWatch>> = users
            .iter()
            .filter(|user| user.has_end_users())
            .flat_map(|user| user.end_users().known.values().cloned().collect::<Vec<_>>())
            .collect();
        users.into_iter().chain(end_users).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memory_ms<'a>(limits: impl Iterator<Item = &'a Limit>) -> u64 {
    limits.map(|limit| limit.window_ms).max().unwrap_or(0)
}

impl UserWatch {
    /// Of a login user those of the limits that are by user count here, the others for whom it asks; of an end
    /// user all of them.
    fn new<'a>(whom: Whom, limits: impl Iterator<Item = &'a Limit>, common: &Arc<Common>) -> UserWatch {
        let fresh = UserWatch {
            whom,
            spans: ArcSwap::default(),
            possible: ArcSwap::default(),
            common: common.clone(),
            last_ms: AtomicU64::new(0),
            has_end_users: AtomicBool::new(false),
            end_users: Mutex::default(),
        };
        fresh.change(limits);
        fresh
    }

    fn change<'a>(&self, limits: impl Iterator<Item = &'a Limit>) {
        let is_end_user = self.whom.end_user.is_some();
        let (own, of_end_users): (Vec<&Limit>, Vec<&Limit>) =
            limits.partition(|limit| is_end_user || limit.by == By::User);
        let (known, possible) = parted(own.into_iter());
        for (place, limits) in [(&self.spans, known), (&self.possible, possible)] {
            let before = place.load();
            place.store(Arc::new(spans(limits.into_iter(), &before)));
        }
        self.adopt();
        if is_end_user {
            return;
        }
        let mut end_users = self.end_users();
        let EndUsers { limits, memory_ms, known, crowd } = &mut *end_users;
        *memory_ms = (*memory_ms).max(self::memory_ms(of_end_users.iter().copied()));
        *limits = of_end_users.into_iter().cloned().collect();
        known.values().chain(crowd.iter()).for_each(|end_user| end_user.change(limits.iter()));
        self.has_end_users.store(!limits.is_empty(), Ordering::SeqCst);
    }

    /// Is any limit by end user?
    #[must_use]
    pub fn has_end_users(&self) -> bool {
        self.has_end_users.load(Ordering::Relaxed)
    }

    /// The counts of one for whom this user asks. None: no limit is by end user. Where too many have something
    /// to be remembered, further ones are counted together.
    #[must_use]
    pub fn end_user(&self, end_user: &EndUser) -> Option<Arc<UserWatch>> {
        let mut end_users = self.end_users();
        let EndUsers { limits, memory_ms, known, crowd } = &mut *end_users;
        if limits.is_empty() {
            return None;
        }
        if let Some(found) = known.get(end_user) {
            return Some(found.clone());
        }
        let all = &self.common.end_users;
        let is_full = |known: &HashMap<EndUser, Arc<UserWatch>>| {
            known.len() >= Watch::END_USERS_MAX || all.load(Ordering::SeqCst) >= Watch::ALL_END_USERS_MAX
        };
        if is_full(known) {
            let (before, latest) = (known.len(), self.common.latest_ms.load(Ordering::SeqCst));
            known.retain(|_, one| Arc::strong_count(one) > 1 || !one.is_stale(latest, *memory_ms));
            all.fetch_sub(before - known.len(), Ordering::SeqCst);
        }
        let whom =
            |end_user: &EndUser| Whom { user: self.whom.user.clone(), end_user: Some(end_user.clone()) };
        if is_full(known) {
            // Under a name that is nobody's, which other proxies are not told.
            let nobody = EndUser { name: Arc::from(""), proven: true };
            let fresh = || Arc::new(UserWatch::new(whom(&nobody), limits.iter(), &self.common));
            return Some(crowd.get_or_insert_with(fresh).clone());
        }
        let fresh = Arc::new(UserWatch::new(whom(end_user), limits.iter(), &self.common));
        known.insert(end_user.clone(), fresh.clone());
        all.fetch_add(1, Ordering::SeqCst);
        Some(fresh)
    }

    fn end_users(&self) -> MutexGuard<'_, EndUsers> {
        self.end_users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, now_ms: u64) -> Vec<Counted> {
        let mut all = Vec::new();
        for (spans, attribution) in self.by_attribution() {
            for span in spans.iter() {
                let (slot_ms, slots) = span.count.slots(now_ms);
                all.push(Counted { whom: self.whom.clone(), span: span.id(attribution), slot_ms, slots });
            }
        }
        all
    }

    /// What other proxies have counted of it.
    fn adopt(&self) {
        let elsewhere = self.common.elsewhere.load();
        let elsewhere = elsewhere.get(&self.whom);
        for (spans, attribution) in self.by_attribution() {
            for span in spans.iter() {
                let id = span.id(attribution);
                let found = elsewhere.and_then(|all| all.iter().find(|(span, _)| *span == id));
                span.elsewhere.store(found.map_or(0, |(_, count)| *count), Ordering::SeqCst);
            }
        }
    }

    fn by_attribution(&self) -> [(Arc<Vec<Span>>, Attribution); 2] {
        [(self.spans.load_full(), Attribution::Known), (self.possible.load_full(), Attribution::Possible)]
    }

    /// Nothing it holds can still count. Twice the memory, since a window may reach a slot further.
    fn is_stale(&self, latest_ms: u64, memory_ms: u64) -> bool {
        self.last_ms.load(Ordering::SeqCst).saturating_add(memory_ms.saturating_mul(2)) < latest_ms
    }

    /// Counts what is about to be shown. After [`Judgement::Cut`] none of it may be shown,
    /// and it is not counted (of several subjects, the first may be): what a cutting limit lets through in
    /// any window is never more than the limit. `now_ms`: milliseconds on any one clock, the same for all
    /// sessions.
    #[must_use]
    pub fn open(&self, shown: &Shown<'_>, attribution: Attribution, now_ms: u64) -> Judgement {
        self.open_with(None, shown, attribution, now_ms)
    }

    /// The same for one for whom this user asks: counted of both, or of none.
    #[must_use]
    pub fn open_with(
        &self,
        end_user: Option<&UserWatch>,
        shown: &Shown<'_>,
        attribution: Attribution,
        now_ms: u64,
    ) -> Judgement {
        let spans = self.spans_of(attribution).load();
        let first = end_user.map(|end_user| end_user.spans_of(attribution).load());
        let first = first.as_ref().map_or(&[][..], |spans| spans.as_slice());
        if spans.is_empty() && first.is_empty() {
            return Judgement::Go;
        }
        self.common.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        for watch in [Some(self), end_user].into_iter().flatten() {
            watch.last_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        open_under(first, &spans, shown, now_ms)
    }

    fn spans_of(&self, attribution: Attribution) -> &ArcSwap<Vec<Span>> {
        match attribution {
            Attribution::Known => &self.spans,
            Attribution::Possible => &self.possible,
        }
    }
}

impl Drop for UserWatch {
    fn drop(&mut self) {
        let known = self.end_users.get_mut().unwrap_or_else(PoisonError::into_inner).known.len();
        self.common.end_users.fetch_sub(known, Ordering::SeqCst);
    }
}

fn parted<'a>(limits: impl Iterator<Item = &'a Limit>) -> (Vec<&'a Limit>, Vec<&'a Limit>) {
    limits.partition(|limit| limit.attribution == Attribution::Known)
}

/// The limits by what they count and the length of their windows, with what was counted before. Subjects
/// come last: of several the first stay counted where a later one is cut.
fn spans<'a>(limits: impl Iterator<Item = &'a Limit>, before: &[Span]) -> Vec<Span> {
    let mut limits: Vec<&Limit> = limits.collect();
    limits.sort_by_key(|limit| limit.measure == Measure::Subjects);
    let mut spans: Vec<Span> = Vec::new();
    for limit in &limits {
        let (measure, window_ms) = (limit.measure, limit.window_ms);
        let alike = |span: &Span| span.measure == measure && span.window_ms == window_ms;
        let known = before.iter().find(|span| alike(span));
        let same = known.and_then(|span| span.rules.iter().find(|rule| rule.limit == **limit));
        let rule = same.map_or_else(|| Arc::new(Rule::new(limit)), Arc::clone);
        if let Some(span) = spans.iter_mut().find(|span| alike(span)) {
            span.rules.push(rule);
            continue;
        }
        let most = limits.iter().filter(|other| other.measure == measure && other.window_ms == window_ms);
        let most = most.map(|other| other.most).max().unwrap_or(0);
        let count = known.map(|span| span.count.clone()).filter(|count| count.holds(most));
        let count = count.unwrap_or_else(|| Count::new(measure, window_ms, most));
        let elsewhere = known.map_or_else(Arc::default, |span| span.elsewhere.clone());
        spans.push(Span { measure, window_ms, count, elsewhere, rules: vec![rule] });
    }
    spans
}

impl Count {
    fn new(measure: Measure, window_ms: u64, most: u64) -> Count {
        match measure {
            Measure::Cells | Measure::Rows => Count::Sum(Arc::new(Window::new(window_ms))),
            Measure::Subjects => Count::Subjects(Arc::new(Subjects::new(window_ms, most))),
        }
    }

    /// Is there room for so many?
    fn holds(&self, most: u64) -> bool {
        match self {
            Count::Sum(_) => true,
            Count::Subjects(subjects) => {
                usize::try_from(most).is_ok_and(|most| subjects.size() >= most.saturating_mul(2))
            }
        }
    }
}

/// Claims what is shown in each window in turn; a cut under a later one takes back what was
/// claimed in those before. At most as deep as there are limits. `then`: those that come behind.
fn open_under(spans: &[Span], then: &[Span], shown: &Shown<'_>, now_ms: u64) -> Judgement {
    let Some((span, others)) = spans.split_first() else {
        return if then.is_empty() { Judgement::Go } else { open_under(then, &[], shown, now_ms) };
    };
    let claimed = match &span.count {
        Count::Sum(window) => {
            let amount = if span.measure == Measure::Rows { shown.rows } else { shown.cells };
            if amount == 0 { Ok(None) } else { span.claim(window.claim(amount, now_ms)) }
        }
        Count::Subjects(subjects) => span.claim_subjects(subjects, shown, now_ms),
    };
    let claim = match claimed {
        Ok(claim) => claim,
        Err(cut) => return Judgement::Cut(cut),
    };
    match open_under(others, then, shown, now_ms) {
        Judgement::Go => claim
            .and_then(|claim| span.over(claim.total).find(|rule| rule.alerts(now_ms)))
            .map_or(Judgement::Go, |rule| Judgement::Alert(rule.broken())),
        cut @ Judgement::Cut(_) => {
            if let Some(claim) = claim {
                span.take_back(&claim);
            }
            cut
        }
        alert @ Judgement::Alert(_) => alert,
    }
}

impl Span {
    /// By what it counts: the same wherever that is the same.
    fn id(&self, attribution: Attribution) -> u64 {
        let measure = match self.measure {
            Measure::Cells => 0,
            Measure::Rows => 1,
            Measure::Subjects => 2,
        };
        let attribution = match attribution {
            Attribution::Known => 0,
            Attribution::Possible => 1,
        };
        measure << 56 | attribution << 48 | self.window_ms & 0xffff_ffff_ffff
    }

    /// With what other proxies have counted.
    fn total(&self, here: u64) -> u64 {
        here.saturating_add(self.elsewhere.load(Ordering::Relaxed))
    }

    fn over(&self, total: u64) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(move |rule| total > rule.limit.most)
    }

    fn take_back(&self, claim: &Claim) {
        match &self.count {
            Count::Sum(window) => window.take_back(claim),
            Count::Subjects(subjects) => subjects.take_back(claim),
        }
    }

    /// What was claimed, unless that is to be cut: by which rule.
    fn claim(&self, mut claim: Claim) -> Result<Option<Claim>, Broken> {
        claim.total = self.total(claim.total);
        match self.over(claim.total).find(|rule| rule.limit.action.cuts()) {
            None => Ok(Some(claim)),
            Some(rule) => {
                self.take_back(&claim);
                Err(rule.broken())
            }
        }
    }

    /// One after the other; the claim of those who are not known, or else of the last who is new.
    fn claim_subjects(
        &self,
        subjects: &Subjects,
        shown: &Shown<'_>,
        now_ms: u64,
    ) -> Result<Option<Claim>, Broken> {
        let mut last = None;
        for subject in shown.subjects {
            if let Met::New(claim) = subjects.meet(*subject, now_ms) {
                let claim = self.claim(claim)?;
                if let Some(claim) = &claim {
                    subjects.keep(*subject, claim);
                }
                // It stays counted: it has its place.
                last = claim.map(|claim| Claim::told(claim.total));
            }
        }
        if shown.unknown > 0 {
            last = self.claim(subjects.claim_unknown(shown.unknown, now_ms))?;
        }
        Ok(last)
    }
}

impl Rule {
    fn new(limit: &Limit) -> Rule {
        Rule { limit: limit.clone(), name: limit.rule(), alerted_ms: AtomicU64::new(0) }
    }

    fn broken(&self) -> Broken {
        Broken { rule: self.name.clone(), action: self.limit.action, by: self.limit.by }
    }

    /// Once per window.
    fn alerts(&self, now_ms: u64) -> bool {
        let last = self.alerted_ms.load(Ordering::SeqCst);
        let due = last == 0 || now_ms.saturating_add(1).saturating_sub(last) >= self.limit.window_ms;
        let mark = now_ms.saturating_add(1);
        due && self.alerted_ms.compare_exchange(last, mark, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
