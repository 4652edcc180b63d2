//! Does the policy fit the databases? What the looks at them have found, since when nothing else was
//! found, and what comes of it: told in the log when it changes, in a metric, and to whoever asks
//! whether the gate is ready.
//!
//! A table that was dropped by a definition that went through here, and a database that was, are
//! awaited: a test suite makes them anew, and no name of the policy was wrong. Any other table that
//! is not there, one whose name was changed among them, may have what is personal under another name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::fit::Fits;
use crate::catalog::{Classification, Consequence, Lack, Misfit};

/// Databases of which it is remembered what was there.
const FORMER_MAX: usize = 1_024;
/// The label of entries that name no database.
const EVERY: &str = "*";
/// Misfits that one answer names.
const NAMED_MAX: usize = 3;

/// See the module's text.
pub struct Fitness {
    state: Mutex<State>,
    /// Told when there is another policy.
    changed: Notify,
}

struct State {
    policy: Arc<Classification>,
    /// Was every database looked at under this policy?
    surveyed: bool,
    /// Are there no others?
    complete: bool,
    seen: HashMap<Arc<str>, Seen>,
    /// Databases that the policy names and that could not be looked at, and why.
    unseen: BTreeMap<Arc<str>, String>,
    former: HashMap<Arc<str>, Former>,
    /// Sessions that define something through here, by database.
    defining: HashMap<Arc<str>, usize>,
    told: BTreeSet<Misfit>,
}

/// What was found in one database.
#[derive(Default)]
struct Seen {
    /// Of entries that name it.
    misfits: Vec<Misfit>,
    /// Of those that name none: what they lack, and whether it is awaited.
    unnamed: BTreeMap<usize, Option<(Lack, bool)>>,
    is_there: bool,
}

/// What was there before.
#[derive(Default)]
struct Former {
    /// `pg_database.oid`.
    oid: u32,
    /// Tables by the path of the entry that fitted them.
    tables: HashMap<String, Vec<u32>>,
    /// Paths of entries whose tables were dropped through here since.
    let_go: HashSet<String>,
    /// The database itself was asked for through here, as DROP DATABASE does.
    wanted: bool,
}

/// A session that defines something.
pub struct Definer {
    fitness: Arc<Fitness>,
    database: Arc<str>,
}

impl Drop for Definer {
    fn drop(&mut self) {
        let mut state = self.fitness.state();
        if let Some(count) = state.defining.get_mut(&self.database) {
            *count -= 1;
            if *count == 0 {
                state.defining.remove(&self.database);
            }
        }
    }
}

impl Fitness {
    #[must_use]
    pub fn new(policy: Arc<Classification>) -> Fitness {
        count(&policy, &BTreeSet::new(), &BTreeSet::new());
        let state = State {
            policy,
            surveyed: false,
            complete: true,
            seen: HashMap::new(),
            unseen: BTreeMap::new(),
            former: HashMap::new(),
            defining: HashMap::new(),
            told: BTreeSet::new(),
        };
        Fitness { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is another policy: nothing is known of it yet.
    pub fn adopt(&self, policy: &Arc<Classification>) {
        if self.state().adopt(policy) {
            self.changed.notify_one();
        }
    }

    /// Returns when there is another policy.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// As long as the guard is held, a table that is gone was dropped through here.
    #[must_use]
    pub fn define(self: &Arc<Self>, database: &Arc<str>) -> Definer {
        *self.state().defining.entry(Arc::clone(database)).or_default() += 1;
        Definer { fitness: Arc::clone(self), database: Arc::clone(database) }
    }

    /// Somebody wants the database for himself, as DROP DATABASE does.
    pub(super) fn want(&self, database: &str) {
        if let Some(former) = self.state().former.get_mut(database) {
            former.wanted = true;
        }
    }

    /// The tables that entries have fitted in a database.
    pub(super) fn former(&self, database: &str) -> Vec<u32> {
        let state = self.state();
        let tables = state.former.get(database).into_iter().flat_map(|former| former.tables.values());
        tables.flatten().copied().collect()
    }

    /// Was this database looked at under this policy?
    pub(super) fn knows(&self, policy: &Arc<Classification>, database: &str) -> bool {
        let state = self.state();
        state.is_of(policy) && state.seen.contains_key(database)
    }

    /// Takes what a look has found; returns what does not fit of the entries that name the database.
    pub(super) fn judge(
        &self,
        policy: &Arc<Classification>,
        database: &Arc<str>,
        fits: &Fits,
    ) -> Vec<Misfit> {
        let mut state = self.state();
        let is_current = state.is_of(policy);
        let former = state.former.remove(database).unwrap_or_default();
        let is_another = former.oid != 0 && former.oid != fits.database;
        let defining = state.defining.contains_key(database);
        let mut now =
            Former { oid: fits.database, wanted: former.wanted && !is_another, ..Former::default() };
        let mut seen = Seen { is_there: true, ..Seen::default() };
        for found in &fits.found {
            let Some(entry) = policy.fields.get(found.entry) else { continue };
            let path = entry.field.path();
            let Some(lack) = found.lack else {
                now.tables.insert(path, found.tables.clone());
                if entry.field.database.is_none() {
                    seen.unnamed.insert(found.entry, None);
                }
                continue;
            };
            let gone = |tables: &Vec<u32>| tables.iter().all(|table| !fits.alive.contains(table));
            let dropped = |tables: &Vec<u32>| {
                if is_another { former.wanted } else { defining && gone(tables) }
            };
            let awaited = former.let_go.contains(&path) || former.tables.get(&path).is_some_and(dropped);
            if awaited {
                now.let_go.insert(path);
            }
            if entry.field.database.is_none() {
                seen.unnamed.insert(found.entry, Some((lack, awaited)));
            } else {
                seen.misfits.push(Misfit::of(entry, lack, consequence(policy, awaited)));
            }
        }
        if state.former.len() >= FORMER_MAX {
            let any = state.former.keys().next().cloned();
            any.and_then(|any| state.former.remove(&any));
        }
        state.former.insert(Arc::clone(database), now);
        let misfits = seen.misfits.clone();
        if is_current {
            if state.unseen.remove(database).is_some() {
                tracing::info!(%database, "a database of the policy can be looked at again");
            }
            state.seen.insert(Arc::clone(database), seen);
            state.tell();
        }
        misfits
    }

    /// There is no database of a name that the policy has.
    pub(super) fn absent(&self, policy: &Arc<Classification>, database: &Arc<str>) {
        let mut state = self.state();
        if !state.is_of(policy) {
            return;
        }
        let awaited = state.former.get(database).is_some_and(|former| former.wanted);
        let named = policy.fields.iter().filter(|entry| entry.field.database.as_ref() == Some(database));
        let misfits = named.map(|entry| Misfit::of(entry, Lack::Database, consequence(policy, awaited)));
        let seen = Seen { misfits: misfits.collect(), ..Seen::default() };
        state.unseen.remove(database);
        state.seen.insert(Arc::clone(database), seen);
        state.tell();
    }

    /// A database that the policy names could not be looked at.
    pub(super) fn unseen(&self, policy: &Arc<Classification>, database: &Arc<str>, why: &str) {
        let mut state = self.state();
        if state.is_of(policy) && state.unseen.insert(Arc::clone(database), why.to_owned()).is_none() {
            tracing::error!(%database, why, "a database of the policy cannot be looked at");
        }
    }

    /// Every database was looked at; one that is not among them is no more. Not `complete`: there are
    /// others, of which nothing is known.
    pub(super) fn surveyed(&self, policy: &Arc<Classification>, all: &BTreeSet<Arc<str>>, complete: bool) {
        let mut state = self.state();
        if !state.is_of(policy) {
            return;
        }
        (state.surveyed, state.complete) = (true, complete);
        state.seen.retain(|database, _| all.contains(database));
        state.tell();
    }

    /// Does anything not fit, or is anything not known?
    pub(super) fn is_troubled(&self) -> bool {
        let state = self.state();
        !state.surveyed || !state.told.is_empty() || !state.unseen.is_empty()
    }

    /// May the gate be called ready? `Ok` with what is served all the same.
    ///
    /// # Errors
    /// What does not fit, or is not known yet.
    pub fn readiness(&self) -> Result<Option<String>, String> {
        let state = self.state();
        if state.policy.fields.is_empty() {
            return Ok(None);
        }
        if !state.surveyed {
            return Err("the policy has not been compared with the databases yet".to_owned());
        }
        if let Some((database, why)) = state.unseen.first_key_value() {
            return Err(format!("database \"{database}\" of the policy cannot be looked at: {why}"));
        }
        let (harmful, borne): (Vec<&Misfit>, Vec<&Misfit>) =
            state.told.iter().partition(|misfit| is_harmful(misfit));
        if !harmful.is_empty() {
            return Err(format!("the policy does not fit: {}", named(&harmful)));
        }
        Ok((!borne.is_empty())
            .then(|| format!("the policy does not fit yet, and is served: {}", named(&borne))))
    }
}

fn consequence(policy: &Classification, awaited: bool) -> Consequence {
    match (policy.serves_missing, awaited) {
        (true, _) => Consequence::Served,
        (false, true) => Consequence::Awaited,
        (false, false) => Consequence::Refused,
    }
}

fn is_harmful(misfit: &Misfit) -> bool {
    match misfit.consequence {
        Consequence::Refused | Consequence::Unprotected => true,
        Consequence::Awaited | Consequence::Served => false,
    }
}

fn named(misfits: &[&Misfit]) -> String {
    let first: Vec<String> = misfits.iter().take(NAMED_MAX).map(|misfit| misfit.coded()).collect();
    let more = misfits.len() - first.len();
    let first = first.join("; ");
    if more == 0 { first } else { format!("{first}; and {more} more") }
}

impl State {
    fn is_of(&self, policy: &Arc<Classification>) -> bool {
        Arc::ptr_eq(&self.policy, policy) || *self.policy == **policy
    }

    /// True where it is another one.
    fn adopt(&mut self, policy: &Arc<Classification>) -> bool {
        let is_another = !self.is_of(policy);
        self.policy = Arc::clone(policy);
        if is_another {
            self.surveyed = false;
            self.seen.clear();
            self.unseen.clear();
        }
        is_another
    }

    /// What does not fit, as far as it is known.
    fn misfits(&self) -> BTreeSet<Misfit> {
        let mut all: BTreeSet<Misfit> =
            self.seen.values().flat_map(|seen| seen.misfits.iter().cloned()).collect();
        for (index, entry) in self.policy.fields.iter().enumerate() {
            if entry.field.database.is_some() || !self.complete {
                continue;
            }
            let (mut nearest, mut awaited, mut fits) = (Lack::Table, false, false);
            for seen in self.seen.values().filter(|seen| seen.is_there) {
                match seen.unnamed.get(&index) {
                    Some(None) => fits = true,
                    Some(Some((lack, let_go))) => {
                        nearest = nearest.max(*lack);
                        awaited |= let_go;
                    }
                    None => {}
                }
            }
            if !fits {
                let consequence = match consequence(&self.policy, awaited) {
                    Consequence::Refused | Consequence::Unprotected => Consequence::Unprotected,
                    borne @ (Consequence::Awaited | Consequence::Served) => borne,
                };
                all.insert(Misfit::of(entry, nearest, consequence));
            }
        }
        all
    }

    /// Says what has changed, once all is known.
    fn tell(&mut self) {
        if !self.surveyed {
            return;
        }
        let now = self.misfits();
        if now == self.told {
            return;
        }
        for misfit in now.difference(&self.told) {
            log(misfit);
        }
        let place = |misfit: &Misfit| (misfit.database.clone(), misfit.field());
        let still: HashSet<_> = now.iter().map(place).collect();
        for misfit in self.told.iter().filter(|misfit| !still.contains(&place(misfit))) {
            let database = misfit.database.as_deref().unwrap_or(EVERY);
            tracing::info!(field = misfit.field(), database, "the policy fits again");
        }
        count(&self.policy, &self.told, &now);
        self.told = now;
    }
}

fn log(misfit: &Misfit) {
    let (field, database) = (misfit.field(), misfit.database.as_deref().unwrap_or(EVERY));
    let code = misfit.lack.code();
    match misfit.consequence {
        Consequence::Refused => {
            tracing::error!(field, database, code, found = %misfit, "the policy does not fit: the database is refused");
        }
        Consequence::Unprotected => {
            tracing::error!(field, database, code, found = %misfit, "the policy does not fit: the field protects nothing");
        }
        Consequence::Awaited => {
            tracing::warn!(field, database, code, found = %misfit, "the policy does not fit any more: what was dropped through here is awaited");
        }
        Consequence::Served => {
            tracing::error!(field, database, code, found = %misfit, "the policy does not fit: served, since [policy] missing = \"serve\"");
        }
    }
}

/// `sealgate_policy_misfits`: every database that the policy names, from the start.
fn count(policy: &Classification, before: &BTreeSet<Misfit>, now: &BTreeSet<Misfit>) {
    let label = |misfit: &Misfit| misfit.database.clone().unwrap_or_else(|| EVERY.into());
    let mut databases: BTreeSet<Arc<str>> = BTreeSet::from([EVERY.into()]);
    databases.extend(policy.fields.iter().filter_map(|entry| entry.field.database.clone()));
    databases.extend(before.iter().chain(now).map(label));
    let mut counts: BTreeMap<(Arc<str>, Lack), u32> = BTreeMap::new();
    for database in databases {
        counts.extend(Lack::ALL.map(|lack| ((Arc::clone(&database), lack), 0)));
    }
    for misfit in now {
        *counts.entry((label(misfit), misfit.lack)).or_default() += 1;
    }
    for ((database, lack), count) in counts {
        let labels = [("database", database.to_string()), ("code", lack.code().to_owned())];
        metrics::gauge!("sealgate_policy_misfits", &labels).set(f64::from(count));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::Found;
    use super::super::tests::field;
    use super::*;
    use crate::catalog::PolicyField;

    const SHOP: &str = "shop";

    /// `email` of the database `shop`, and `phone` of whichever.
    fn policy(serves_missing: bool) -> Arc<Classification> {
        let mut email = field("email", None);
        email.database = Some(SHOP.into());
        let fields = [email, field("phone", None)];
        let fields = fields.into_iter().map(|field| PolicyField { schemas: None, field }).collect();
        Arc::new(Classification { fields, serves_missing, ..Classification::default() })
    }

    fn fits(database: u32, lacks: [Option<Lack>; 2], alive: &[u32]) -> Fits {
        let found = lacks.into_iter().enumerate().map(|(entry, lack)| Found {
            entry,
            lack,
            tables: if lack.is_none() { vec![7] } else { Vec::new() },
        });
        Fits { database, found: found.collect(), alive: alive.iter().copied().collect() }
    }

    struct Case {
        fitness: Arc<Fitness>,
        policy: Arc<Classification>,
    }

    impl Case {
        fn new(serves_missing: bool) -> Case {
            let policy = policy(serves_missing);
            let case = Case { fitness: Arc::new(Fitness::new(Arc::clone(&policy))), policy };
            case.fitness.surveyed(&case.policy, &BTreeSet::from([SHOP.into()]), true);
            case
        }

        fn judge(&self, database: u32, lacks: [Option<Lack>; 2], alive: &[u32]) -> Vec<Consequence> {
            let misfits = self.fitness.judge(&self.policy, &SHOP.into(), &fits(database, lacks, alive));
            misfits.iter().map(|misfit| misfit.consequence).collect()
        }
    }

    const FITS: [Option<Lack>; 2] = [None; 2];
    const GONE: [Option<Lack>; 2] = [Some(Lack::Table), None];

    #[test]
    fn a_table_is_awaited_that_is_gone_while_somebody_defines_and_no_other() {
        for (defining, alive, expected) in [
            (true, &[][..], Consequence::Awaited),
            (true, &[7], Consequence::Refused),
            (false, &[], Consequence::Refused),
            (false, &[7], Consequence::Refused),
        ] {
            let case = Case::new(false);
            assert_eq!(case.judge(1, FITS, &[]), []);
            let definer = defining.then(|| case.fitness.define(&SHOP.into()));
            assert_eq!(case.judge(1, GONE, alive), [expected]);
            drop(definer);
            assert_eq!(case.judge(1, [Some(Lack::Column), None], &[]), [expected], "until it fits");
            assert_eq!(case.fitness.readiness().is_ok(), expected == Consequence::Awaited);
            assert_eq!(case.judge(1, FITS, &[]), []);
            assert_eq!(case.fitness.readiness(), Ok(None));
            assert_eq!(case.judge(1, GONE, &[]), [Consequence::Refused]);
        }
        let case = Case::new(false);
        let _definer = case.fitness.define(&SHOP.into());
        assert_eq!(case.judge(1, GONE, &[]), [Consequence::Refused], "it was never there");
        assert_eq!(Case::new(true).judge(1, GONE, &[]), [Consequence::Served]);
    }

    #[test]
    fn a_database_is_awaited_that_was_wanted_through_here_and_is_another_since() {
        for (wanted, database, expected) in [
            (true, 2, Consequence::Awaited),
            (false, 2, Consequence::Refused),
            (true, 1, Consequence::Refused),
        ] {
            let case = Case::new(false);
            case.judge(1, FITS, &[]);
            if wanted {
                case.fitness.want(SHOP);
            }
            assert_eq!(case.judge(database, GONE, &[]), [expected]);
            case.judge(database, FITS, &[]);
            assert_eq!(
                case.judge(3, GONE, &[]),
                [if database == 1 { Consequence::Awaited } else { Consequence::Refused }]
            );
        }
        let case = Case::new(false);
        case.judge(1, FITS, &[]);
        // There the field without a database fits.
        case.fitness.judge(&case.policy, &"other".into(), &fits(9, FITS, &[]));
        case.fitness.absent(&case.policy, &SHOP.into());
        assert_eq!(
            case.fitness.readiness(),
            Err("the policy does not fit: there is no database \"shop\" [database-missing]".into())
        );
        case.fitness.want(SHOP);
        case.fitness.absent(&case.policy, &SHOP.into());
        assert!(case.fitness.readiness().is_ok());
    }

    #[test]
    fn an_entry_without_a_database_must_fit_one_of_them() {
        let case = Case::new(false);
        let lacks = |lack| fits(1, [None, lack], &[]);
        for (first, second, ready) in [
            (None, Some(Lack::Table), true),
            (Some(Lack::Table), None, true),
            (Some(Lack::Table), Some(Lack::Column), false),
        ] {
            case.fitness.judge(&case.policy, &SHOP.into(), &lacks(first));
            assert_eq!(case.fitness.judge(&case.policy, &"other".into(), &lacks(second)), []);
            assert_eq!(case.fitness.readiness().is_ok(), ready, "{first:?} {second:?}");
        }
        let missing = case.fitness.readiness().unwrap_err();
        assert!(missing.contains("has a column phone in no database"), "{missing}");
        // A database that is no more counts no more, unless yet another one may have it.
        case.fitness.surveyed(&case.policy, &BTreeSet::from([SHOP.into()]), false);
        assert!(case.fitness.readiness().is_ok());
        case.fitness.judge(&case.policy, &"other".into(), &lacks(None));
        assert!(case.fitness.readiness().is_ok());
        case.fitness.surveyed(&case.policy, &BTreeSet::from([SHOP.into()]), true);
        assert!(case.fitness.readiness().is_err());
    }

    #[test]
    fn of_another_policy_nothing_is_known_before_a_survey() {
        let case = Case::new(false);
        case.judge(1, FITS, &[]);
        assert_eq!(case.fitness.readiness(), Ok(None));
        case.fitness.adopt(&policy(false));
        assert_eq!(case.fitness.readiness(), Ok(None), "it says the same");
        let other = policy(true);
        case.fitness.adopt(&other);
        assert!(case.fitness.readiness().is_err() && case.fitness.is_troubled());
        // A look by the old one is heard no more.
        case.judge(1, GONE, &[]);
        case.fitness.surveyed(&case.policy, &BTreeSet::from([SHOP.into()]), true);
        assert!(case.fitness.readiness().is_err());
        case.fitness.surveyed(&other, &BTreeSet::new(), true);
        case.fitness.judge(&other, &SHOP.into(), &fits(1, GONE, &[]));
        assert!(case.fitness.readiness().is_ok_and(|known| known.is_some()));
    }
}
