//! All limits, and what everybody was shown under them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::limit::{Heard, Judgement, Limit, Shown};
use super::span::{Span, open_under, parted, spans};
use super::whom::{By, EndUser, Whom};
use crate::audit::Attribution;

/// How far a user is on the way to a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    pub whom: Whom,
    pub rule: Arc<str>,
    /// Of what the limit counts.
    pub used: u64,
    pub most: u64,
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
    /// Of data subjects, as [`super::Told::Count`] has them.
    pub met: Vec<(u64, u8)>,
}

/// What other proxies have counted of everybody.
pub type Elsewhere = HashMap<Whom, Vec<Heard>>;

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
                let (whom, met) = (self.whom.clone(), span.count.met(now_ms));
                all.push(Counted { whom, span: span.id(attribution), slot_ms, slots, met });
            }
        }
        all
    }

    /// What other proxies have counted of it.
    fn adopt(&self) {
        let elsewhere = self.common.elsewhere.load();
        let elsewhere = elsewhere.get(&self.whom);
        let latest_ms = self.common.latest_ms.load(Ordering::SeqCst);
        for (spans, attribution) in self.by_attribution() {
            for span in spans.iter() {
                let id = span.id(attribution);
                span.take(elsewhere.and_then(|all| all.iter().find(|heard| heard.span == id)), latest_ms);
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
