//! The current snapshot of every database in use: [`Catalogs`] for whoever needs one, on
//! any thread and runtime, and [`CatalogKeeper`], the one task that loads them.
//!
//! A snapshot is confirmed when a load, or the catalog's watermark, says that it still
//! holds. One that could not be confirmed for [`STALE_MAX`] is no longer given out: no
//! snapshot, no session (P3). New sessions get it only while a session of ours is in the
//! database: so it is of this database, and not of one that had the name before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::fit::{self, Fits};
use super::fitness::{Definer, Fitness};
use super::guards;
use super::keyrings::{self, Opened};
use super::load::{LoadError, Loaded, load};
use super::presence::{Linger, Presence, Stay};
use super::strangers::Unlisted;
use super::wanted;
use super::watermark::{self, Changers};
use crate::catalog::{Classification, EPOCHS_APART, Snapshot};
use crate::seal::{Keyring, KeyringIdentity};
use crate::upstream::dial::today;
use crate::upstream::service::{Access, ServiceConnection};

/// Age of the last confirmation beyond which a snapshot is not used.
pub const STALE_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a catalog, at least. A look that takes long is repeated seldom:
/// after [`POLL_RATIO`] times as long as it took.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
const POLL_RATIO: u32 = 5;
/// Our session leaves a database with the last client session, unless sessions come one after the
/// other.
pub const LINGER: Linger =
    Linger { foreseen: Duration::from_secs(1), left: Duration::from_secs(1), returns_min: 10 };
/// Databases of which a snapshot, and one service connection each, is kept.
pub const DATABASES_MAX: usize = 128;
/// Databases that are looked at, at the same time.
const LOADS_MAX: usize = 4;
/// Requests in the queue to the keeper, and sessions that wait for one database.
const REQUESTS_MAX: usize = 1_024;
const WAITING_MAX: usize = 10_000;

/// What the keeper loads with. The swaps may be changed while it runs; a new policy shows
/// at the next look or [`Catalogs::reload`].
#[derive(Clone)]
pub struct CatalogSource {
    /// The way to the servers, and who asks there.
    pub access: Arc<ArcSwap<Access>>,
    pub policy: Arc<ArcSwap<Classification>>,
    /// By which what is sealed must have been sealed. None where nothing is.
    pub keyring: Arc<ArcSwapOption<Keyring>>,
    pub timing: Timing,
}

/// How often to look, and how long to trust. The default is the documented constants.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub poll_interval: Duration,
    pub stale_max: Duration,
    pub linger: Linger,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { poll_interval: POLL_INTERVAL, stale_max: STALE_MAX, linger: LINGER }
    }
}

/// A snapshot and what is known of its worth.
#[derive(Clone)]
struct Held {
    snapshot: Arc<Snapshot>,
    notes: Arc<[String]>,
    /// [`Loaded::content`] of the load that this snapshot came from.
    content: [u8; 32],
    meaning: [u8; 32],
    changed_by: Changers,
    /// A look that began then has found it true.
    confirmed: Instant,
    presence: Arc<Presence>,
}

/// What was found of a catalog just now.
pub struct Confirmed {
    pub snapshot: Arc<Snapshot>,
    /// Server processes that hold, or wait for, the lock by which a table that matters is
    /// changed.
    pub changed_by: Changers,
}

type Answer = Result<(Arc<Snapshot>, Stay), LoadError>;
type Shelf = ArcSwap<HashMap<Arc<str>, Held>>;

/// Asks the keeper to look at a database's catalog from now on.
struct Request {
    database: Arc<str>,
    /// Does the answer of a look that is under way already come too early?
    anew: bool,
    /// Is it enough to look at the policy's own tables?
    near: bool,
    answer: oneshot::Sender<Answer>,
}

/// The handle: cheap to clone, usable from any runtime.
#[derive(Clone)]
pub struct Catalogs {
    held: Arc<Shelf>,
    requests: mpsc::Sender<Request>,
    stale_max: Duration,
    fitness: Arc<Fitness>,
}

impl Catalogs {
    /// The handle and the task behind it; nothing is loaded before the keeper runs.
    #[must_use]
    pub fn new(source: CatalogSource) -> (Catalogs, CatalogKeeper) {
        // The list is read once, and at the start, not while the first session waits.
        let _ = crate::catalog::stock::Stock::of(0);
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        let held = Arc::new(ArcSwap::from_pointee(HashMap::new()));
        let stale_max = source.timing.stale_max;
        let left = Arc::new(Notify::new());
        let fitness = Arc::new(Fitness::new(source.policy.load_full()));
        let keeper = CatalogKeeper {
            source,
            held: held.clone(),
            requests: receiver,
            databases: HashMap::new(),
            left,
            jobs: JoinSet::new(),
            permits: Arc::new(Semaphore::new(LOADS_MAX)),
            databases_max: DATABASES_MAX,
            epoch: 0,
            fitness: Arc::clone(&fitness),
        };
        (Catalogs { held, requests: sender, stale_max, fitness }, keeper)
    }

    /// Does the policy fit the databases?
    #[must_use]
    pub fn fitness(&self) -> &Arc<Fitness> {
        &self.fitness
    }

    /// As long as the guard is held, somebody defines something in a database through here.
    #[must_use]
    pub fn define(&self, database: &Arc<str>) -> Definer {
        self.fitness.define(database)
    }

    /// The snapshot in use, if one is loaded and not stale: for whoever stays. Never waits.
    #[must_use]
    pub fn held(&self, database: &str) -> Option<Arc<Snapshot>> {
        let all = self.held.load();
        let held = all.get(database)?;
        let holds = held.presence.is_open() && held.confirmed.elapsed() <= self.stale_max;
        holds.then(|| held.snapshot.clone())
    }

    /// The snapshot in use, for a new session that stays as long as the [`Stay`] is held; loads
    /// it at the first use of a database, and looks again where nobody was there.
    ///
    /// # Errors
    /// No snapshot can be had: refuse the session.
    pub async fn enter(&self, database: &str) -> Answer {
        let there = self.presence(database).and_then(|presence| presence.enter());
        // What is held is asked for by whoever is there: from now on it is kept up to date.
        match there.and_then(|stay| Some((self.held(database)?, stay))) {
            Some(entered) => Ok(entered),
            None => self.look(database, false, false).await,
        }
    }

    /// The same for who does not stay.
    ///
    /// # Errors
    /// As [`Catalogs::enter`].
    pub async fn current(&self, database: &str) -> Result<Arc<Snapshot>, LoadError> {
        self.enter(database).await.map(|(snapshot, _)| snapshot)
    }

    /// Somebody is about to enter: where nobody was there, the look that this takes begins now.
    pub fn foresee(&self, database: &str) {
        if self.presence(database).is_some_and(|presence| !presence.is_open()) {
            let (answer, _) = oneshot::channel();
            // A queue that is full has others to do this for.
            let request = Request { database: database.into(), anew: false, near: false, answer };
            let _ = self.requests.try_send(request);
        }
    }

    /// Somebody is about to ask the server for this database without any session in it: ours ends,
    /// unless a client's is there too.
    pub fn vacate(&self, database: &str) {
        self.fitness.want(database);
        if let Some(presence) = self.presence(database) {
            presence.vacate();
        }
    }

    /// A snapshot that was read, or confirmed, after this call began: it knows of every
    /// change that was committed before. Concurrent calls share a load.
    ///
    /// # Errors
    /// The look failed. [`Catalogs::held`] may still give the last snapshot for a while;
    /// whoever knows of a change must not use that.
    pub async fn reload(&self, database: &str) -> Result<Arc<Snapshot>, LoadError> {
        self.look(database, true, false).await.map(|(snapshot, _)| snapshot)
    }

    /// A snapshot that knows the columns of the policy's own tables as they are now, and who is
    /// changing one at this moment.
    ///
    /// # Errors
    /// As [`Catalogs::reload`].
    ///
    /// `whole`: it knows all relations as they are now.
    pub async fn confirm(&self, database: &str, whole: bool) -> Result<Confirmed, LoadError> {
        let (snapshot, _) = self.look(database, true, !whole).await?;
        let all = self.held.load();
        // Of the same look, or of a later one.
        let changed_by = all.get(database).map(|held| held.changed_by.clone()).unwrap_or_default();
        Ok(Confirmed { snapshot, changed_by })
    }

    async fn look(&self, database: &str, anew: bool, near: bool) -> Answer {
        let (answer, receiver) = oneshot::channel();
        let request = Request { database: database.into(), anew, near, answer };
        self.requests.send(request).await.map_err(|_| LoadError::Stopped)?;
        receiver.await.map_err(|_| LoadError::Stopped)?
    }

    fn presence(&self, database: &str) -> Option<Arc<Presence>> {
        self.held.load().get(database).map(|held| held.presence.clone())
    }

    /// The databases whose catalog is kept up to date.
    #[must_use]
    pub fn databases(&self) -> Vec<Arc<str>> {
        let all = self.held.load();
        all.iter().filter(|(_, held)| held.presence.is_open()).map(|(name, _)| name.clone()).collect()
    }

    /// What the last load of a database could not follow, for the operator.
    #[must_use]
    pub fn notes(&self, database: &str) -> Arc<[String]> {
        self.held.load().get(database).map_or_else(|| Arc::from([]), |held| held.notes.clone())
    }
}

/// Who waits for a look, and whether one at the policy's own tables is enough.
struct Waiting {
    answer: oneshot::Sender<Answer>,
    near: bool,
    /// Our session was gone again when it was about to enter.
    missed: bool,
}

/// The state of one database. `busy`: a job for it runs.
struct Database {
    waiting: Vec<Waiting>,
    /// Came while a job was running, which may have looked too early for them.
    next: Vec<Waiting>,
    busy: bool,
    known: Known,
    due: Instant,
    presence: Arc<Presence>,
    /// Looks whether somebody wants the database for himself, while ours waits there.
    watch: Option<tokio::task::JoinHandle<()>>,
}

impl Database {
    /// When something is to be done about it: a look, or our leave. None: when somebody asks.
    fn wakes(&self) -> Option<Instant> {
        let open = !self.busy && self.presence.is_open();
        open.then(|| self.presence.leaves().map_or(self.due, |leaves| leaves.min(self.due)))
    }
}

impl Database {
    /// Where ours waits in vain, as it seems.
    fn be_watched(&mut self) {
        let watched = self.watch.as_ref().is_some_and(|watch| !watch.is_finished());
        if let Some((service, _)) = self.known.service.as_ref().filter(|_| !watched)
            && self.presence.leaves().is_some()
        {
            self.watch = Some(tokio::spawn(wanted::watch(Arc::clone(&self.presence), Arc::clone(service))));
        }
    }
}

/// What a job hands to the next one for the same database.
#[derive(Default)]
struct Known {
    service: Option<(Arc<ServiceConnection>, Arc<Access>)>,
    /// Of the last successful load.
    loaded: Option<Marks>,
    unlisted: Unlisted,
    opened: Opened,
}

/// What a load came from.
struct Marks {
    /// Of the policy's own tables, and of the whole catalog.
    near: String,
    whole: String,
    policy: Arc<Classification>,
    keyring: Option<KeyringIdentity>,
}

struct Job {
    database: Arc<str>,
    known: Known,
    /// No load: the catalog is as it was.
    result: Result<Looked, LoadError>,
    took: Duration,
    began: Instant,
}

/// What one look has found. No load: the catalog is as it was.
struct Looked {
    loaded: Option<(Loaded, Option<Fits>)>,
    changed_by: Changers,
    /// The policy that it was looked at by.
    policy: Arc<Classification>,
    /// Was the whole catalog looked at?
    whole: bool,
}

/// Loads snapshots and keeps them current: run it as a task of one runtime.
pub struct CatalogKeeper {
    source: CatalogSource,
    held: Arc<Shelf>,
    requests: mpsc::Receiver<Request>,
    databases: HashMap<Arc<str>, Database>,
    /// Told when the last client session leaves a database.
    left: Arc<Notify>,
    jobs: JoinSet<Job>,
    permits: Arc<Semaphore>,
    /// [`DATABASES_MAX`], or fewer in tests.
    databases_max: usize,
    epoch: u64,
    fitness: Arc<Fitness>,
}

impl CatalogKeeper {
    /// Serves until every [`Catalogs`] is dropped.
    pub async fn run(mut self) {
        loop {
            let timing = self.source.timing;
            let due = self.databases.values().filter_map(Database::wakes).min();
            let wake = due.unwrap_or_else(|| Instant::now() + timing.poll_interval);
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.accept(request),
                    None => return,
                },
                Some(job) = self.jobs.join_next() => match job {
                    Ok(job) => self.conclude(job),
                    Err(error) => {
                        tracing::error!(%error, "a catalog load ended abnormally");
                        self.start_over();
                    }
                },
                () = self.left.notified() => self.look(),
                () = tokio::time::sleep_until(wake.into()) => self.look(),
            }
        }
    }

    fn accept(&mut self, request: Request) {
        let full = self.databases.len() >= self.databases_max;
        if full && !self.databases.contains_key(&request.database) && !self.forget_one() {
            let error = LoadError::TooMany { what: "databases in use", max: self.databases_max };
            let _ = request.answer.send(Err(error));
            return;
        }
        let (left, linger) = (&self.left, self.source.timing.linger);
        let one = self.databases.entry(request.database.clone()).or_insert_with(|| Database {
            waiting: Vec::new(),
            next: Vec::new(),
            busy: false,
            known: Known::default(),
            due: Instant::now(),
            presence: Arc::new(Presence::new(Arc::clone(left), linger)),
            watch: None,
        });
        let queue = if one.busy && request.anew { &mut one.next } else { &mut one.waiting };
        queue.retain(|waiting| !waiting.answer.is_closed());
        if queue.len() >= WAITING_MAX {
            let error = LoadError::TooMany { what: "sessions that wait for the catalog", max: WAITING_MAX };
            let _ = request.answer.send(Err(error));
            return;
        }
        queue.push(Waiting { answer: request.answer, near: request.near, missed: false });
        self.begin(&request.database);
    }

    /// Leaves the databases in which nobody is any more, and looks at every other one whose
    /// time has come.
    fn look(&mut self) {
        let now = Instant::now();
        let mut due: Vec<Arc<str>> = Vec::new();
        for (name, one) in self.databases.iter_mut().filter(|(_, one)| !one.busy) {
            if one.presence.close(now) || !one.presence.is_open() {
                one.known.service = None;
                continue;
            }
            one.be_watched();
            if one.due <= now {
                due.push(name.clone());
            }
        }
        for database in due {
            self.begin(&database);
        }
    }

    fn begin(&mut self, database: &Arc<str>) {
        let Some(one) = self.databases.get_mut(database) else { return };
        if one.busy {
            return;
        }
        one.busy = true;
        one.presence.begin();
        let near = !one.waiting.is_empty() && one.waiting.iter().all(|waiting| waiting.near);
        let known = std::mem::take(&mut one.known);
        let (source, permits, database) = (self.source.clone(), self.permits.clone(), database.clone());
        let fitness = Arc::clone(&self.fitness);
        self.jobs.spawn(async move {
            // The semaphore is never closed; were it, the look would only be unlimited.
            let _permit = permits.acquire().await;
            let began = Instant::now();
            let mut known = known;
            let result = refresh(&source, &database, &mut known, near, &fitness).await;
            if result.is_err() {
                known.service = None;
            }
            Job { database, known, result, took: began.elapsed(), began }
        });
    }

    fn conclude(&mut self, job: Job) {
        let Job { database, known, result, took, began } = job;
        let tie = known.service.as_ref().map(|(service, _)| service.tie());
        let presence = self.databases.get(&database).map(|one| one.presence.clone());
        let Some(presence) = presence else { return };
        let looked = match result {
            Ok(looked) => self.hold(&database, looked, began, &presence),
            Err(error) => {
                tracing::warn!(%database, %error, "the catalog could not be read");
                Err(error)
            }
        };
        // What is held is the truth before anybody new may have it.
        match tie.filter(|_| looked.is_ok()) {
            Some(tie) => presence.open(tie),
            None => presence.lose(),
        }
        let Some(one) = self.databases.get_mut(&database) else { return };
        one.busy = false;
        one.known = known;
        one.due = Instant::now() + self.source.timing.poll_interval.max(took * POLL_RATIO);
        let answered = std::mem::replace(&mut one.waiting, std::mem::take(&mut one.next));
        if !one.waiting.is_empty() {
            self.begin(&database);
        } else if let Err(error) = &looked {
            self.forget(&database, error);
        }
        // Whoever only foresaw does not enter.
        let mut missed = Vec::new();
        for waiting in answered.into_iter().filter(|waiting| !waiting.answer.is_closed()) {
            let entered = looked.clone().and_then(|snapshot| {
                presence.enter().map(|stay| (snapshot, stay)).ok_or_else(LoadError::cut)
            });
            // The last one who was there may have taken ours along: there is another look for who comes now.
            if looked.is_ok() && entered.is_err() && !waiting.missed {
                missed.push(Waiting { missed: true, ..waiting });
                continue;
            }
            // Whoever asked may have left.
            let _ = waiting.answer.send(entered);
        }
        if let Some(one) = self.databases.get_mut(&database).filter(|_| !missed.is_empty()) {
            // Where a look has begun it is with ours of before.
            let queue = if one.busy { &mut one.next } else { &mut one.waiting };
            queue.append(&mut missed);
            self.begin(&database);
        }
    }

    /// Puts a loaded snapshot in use, or confirms the one that is.
    fn hold(
        &mut self,
        database: &Arc<str>,
        Looked { loaded, changed_by, policy, whole }: Looked,
        began: Instant,
        presence: &Arc<Presence>,
    ) -> Result<Arc<Snapshot>, LoadError> {
        let before = self.held.load().get(database).cloned();
        let loaded = loaded.map(|(mut loaded, fits)| {
            let judge = |fits: Fits| self.fitness.judge(&policy, database, &fits);
            loaded.parts.misfits = fits.map(judge).unwrap_or_default();
            loaded
        });
        let held = match (loaded, before) {
            (None, Some(before)) => {
                let confirmed = if whole { began } else { before.confirmed };
                Held { confirmed, presence: presence.clone(), changed_by, ..before }
            }
            (None, None) => return Err(LoadError::Unreadable("a watermark without a snapshot".to_owned())),
            (Some(Loaded { content, notes, parts, .. }), Some(before))
                if content == before.content && parts.misfits == before.snapshot.misfits() =>
            {
                let notes = notes.into();
                Held { notes, confirmed: began, presence: presence.clone(), changed_by, ..before }
            }
            (Some(Loaded { mut parts, notes, content, meaning }), before) => {
                let same = before.as_ref().filter(|before| before.meaning == meaning);
                parts.meant_since =
                    same.map_or(self.epoch + EPOCHS_APART, |before| before.snapshot.meant_since());
                // For as long as this at most, sessions judged by a catalog that was no more.
                if let Some(before) = before {
                    metrics::histogram!("sealgate_catalog_window_seconds")
                        .record(began.saturating_duration_since(before.confirmed).as_secs_f64());
                }
                self.epoch += EPOCHS_APART;
                parts.epoch = self.epoch;
                tracing::info!(%database, epoch = self.epoch / EPOCHS_APART, "catalog loaded");
                Held {
                    snapshot: Arc::new(Snapshot::new(parts)),
                    notes: notes.into(),
                    content,
                    meaning,
                    changed_by,
                    confirmed: began,
                    presence: presence.clone(),
                }
            }
        };
        let snapshot = held.snapshot.clone();
        self.publish(|all| {
            all.insert(database.clone(), held);
        });
        Ok(snapshot)
    }

    /// A database that cannot be read any more is not looked at for ever; one that is no more,
    /// or that nobody is in, not once again.
    fn forget(&mut self, database: &Arc<str>, error: &LoadError) {
        let fresh = |held: &Held| held.confirmed.elapsed() <= self.source.timing.stale_max;
        let held = self.held.load();
        let kept = held.get(database).is_some_and(|held| held.presence.is_open() && fresh(held));
        if !kept || error.is_final() {
            self.drop_database(database);
        }
    }

    /// Makes room, if there is a database that nobody is in.
    fn forget_one(&mut self) -> bool {
        let vacant = self.databases.iter().find(|(_, one)| !one.busy && !one.presence.is_open());
        let vacant = vacant.map(|(name, _)| name.clone());
        vacant.is_some_and(|name| {
            self.drop_database(&name);
            true
        })
    }

    fn drop_database(&mut self, database: &Arc<str>) {
        self.databases.remove(database);
        self.publish(|all| {
            all.remove(database);
        });
    }

    fn publish(&self, change: impl FnOnce(&mut HashMap<Arc<str>, Held>)) {
        let mut all = HashMap::clone(&self.held.load());
        change(&mut all);
        self.held.store(Arc::new(all));
    }

    /// Which job it was that broke is not known: every waiting session is refused, and
    /// every database is loaded again when next asked for, or stale.
    fn start_over(&mut self) {
        self.databases.clear();
        self.jobs = JoinSet::new();
    }
}

/// One look at a database: connects if need be, and loads if the watermark or the policy
/// differs from the last time. `near`: if the policy's own tables are as they were, that is all.
async fn refresh(
    source: &CatalogSource,
    database: &str,
    known: &mut Known,
    near: bool,
    fitness: &Fitness,
) -> Result<Looked, LoadError> {
    let (policy, access) = (source.policy.load_full(), source.access.load_full());
    let keyring = source.keyring.load_full();
    let identity = keyring.as_deref().map(Keyring::identity);
    let usable = |(service, of): &(Arc<ServiceConnection>, Arc<Access>)| {
        !service.tie().is_cut() && Arc::ptr_eq(of, &access)
    };
    let kept = known.service.take().filter(usable).map(|(service, _)| service);
    let applying = || policy.fields.iter().filter(|entry| entry.is_of(database));
    let tables: BTreeSet<&str> = applying().map(|entry| &*entry.field.table.name).collect();
    let tables: Vec<&str> = tables.into_iter().collect();
    let first = match kept {
        // The server may have cut a kept connection: then a new one tells what is.
        Some(service) => look(&service, &tables).await.ok().map(|looked| (service, looked)),
        None => None,
    };
    let (service, (changed_by, near_mark)) = match first {
        Some(first) => first,
        None => {
            let service = Arc::new(dial(&access, database).await?);
            let looked = look(&service, &tables).await?;
            (service, looked)
        }
    };
    let last =
        known.loaded.take().filter(|last| Arc::ptr_eq(&last.policy, &policy) && last.keyring == identity);
    if let Some(last) = &last
        && near
        && last.near == near_mark
    {
        known.service = Some((service, access));
        known.loaded = Some(Marks {
            near: near_mark,
            whole: last.whole.clone(),
            policy: Arc::clone(&policy),
            keyring: identity,
        });
        return Ok(Looked { loaded: None, changed_by, policy, whole: false });
    }
    let whole = if applying().next().is_some() {
        watermark::whole(&service).await?
    } else {
        // Nothing is read of a database of which the policy is silent.
        guards::refuse(&service).await?;
        String::new()
    };
    let loaded = match &last {
        Some(last) if last.whole == whole => None,
        Some(_) | None => {
            let mut loaded = load(&service, database, &policy, &mut known.unlisted).await?;
            if let Some(keyring) = &keyring {
                keyrings::judge(&service, keyring, &mut loaded.parts, &mut known.opened).await?;
                loaded.digest_anew();
            }
            // What changes in between is seen by the next look's watermark.
            let fits = match applying().next() {
                Some(_) => Some(fit::read(&service, database, &policy, &fitness.former(database)).await?),
                None => None,
            };
            Some((loaded, fits))
        }
    };
    known.service = Some((service, access));
    known.loaded = Some(Marks { near: near_mark, whole, policy: Arc::clone(&policy), keyring: identity });
    Ok(Looked { loaded, changed_by, policy, whole: true })
}

/// Who is changing what matters, and then what those tables are: whoever had let go by the first
/// question has committed by the second.
async fn look(service: &ServiceConnection, tables: &[&str]) -> Result<(Changers, String), LoadError> {
    let changed_by = watermark::changing(service, tables).await?;
    Ok((changed_by, watermark::near(service, tables).await?))
}

/// The first server that lets us in.
async fn dial(access: &Access, database: &str) -> Result<ServiceConnection, LoadError> {
    let (service, _) = ServiceConnection::first(&access.dialer, &access.account, database, today()).await?;
    Ok(service)
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
