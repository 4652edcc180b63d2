//! Builds the house from its settings: reads secrets and keys, starts the journal, the
//! catalogs, the gate's threads and the admin address. `run` and `demo` live in it.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::events::{applied, put_in_force, refused};
use super::evidence;
use super::fellows;
use super::keys::{MasterKeySource, master_key};
use super::known;
use super::operators;
use super::ready::Ready;
use super::regime::regime;
use crate::alarm::{self, Alarm, Place};
use crate::audit::{AdminRecord, Record};
use crate::catalog::{Classification, PolicyField};
use crate::config::{self, Admin, Audit, Auth, Secret, Settings};
use crate::gate::{
    Acceptor, Admission, Cancels, Gate, Judges, Listener, Means, Phase, Regime, Renewal, Roster, SharedGate,
    Ties, Vigil, VigilThread, Watched, accept,
};
use crate::login::scram::MockSecret;
use crate::ops;
use crate::seal::{Keyring, MasterKey};
use crate::share::ShareThread;
use crate::store::catalog::{CatalogSource, Catalogs, Timing, survey};
use crate::store::journal::{self, JournalHandle, JournalThread, Location};
use crate::store::keyfile::Exposed;
use crate::upstream::dial::Dialer;
use crate::upstream::lookout;
use crate::upstream::service::{Access, ServiceAccount};
use crate::watch::Watch;

/// How long clients that are cut off may take to read why.
const FAREWELLS: Duration = Duration::from_secs(10);

/// A secret file is never longer, in bytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// What stands between a configuration and a running gate. Each line names what was found
/// and what is allowed.
#[derive(Debug)]
pub enum Fault {
    /// The configuration is wrong, or what it names: keys, certificates, folders, files (exit
    /// code 2). Another start does not mend it.
    Configuration(Vec<String>),
    /// What another process, the network or the system has for now: a port, a folder that
    /// is written to, a thread (exit code 2 in `check`, 1 in `run`).
    Start(String),
}

impl Fault {
    /// What a key of the configuration names cannot be used.
    pub fn of(settings: &Settings, key: &str, error: &dyn std::fmt::Display) -> Fault {
        Fault::Configuration(vec![format!("{}: {key}: {error}", settings.place(key))])
    }

    /// The same of what is wrong with it already.
    fn beside(self, settings: &Settings, key: &str) -> Fault {
        let named = |line: String| format!("{}: {key}: {line}", settings.place(key));
        match self {
            Fault::Configuration(lines) => Fault::Configuration(lines.into_iter().map(named).collect()),
            Fault::Start(line) => Fault::Start(named(line)),
        }
    }

    /// All of it in one text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Fault::Configuration(lines) => lines.join("; "),
            Fault::Start(line) => line.clone(),
        }
    }
}

/// Reads and parses a configuration file.
///
/// # Errors
/// All faults in it, by line.
pub fn settings(path: &Path) -> Result<Settings, Fault> {
    let origin = path.display().to_string();
    let text = text_of(path)
        .map_err(|error| Fault::Configuration(vec![format!("{origin}: cannot be read: {error}")]))?;
    config::load(&text, &origin)
        .map_err(|faults| Fault::Configuration(faults.iter().map(ToString::to_string).collect()))
}

/// No more of it than a configuration may have; a reload reads it again, which a pipe does not bear.
fn text_of(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not an ordinary file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(config::TEXT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The text of a secret, without the line end of a file. None: it is not set.
///
/// # Errors
/// A file that cannot be read.
pub fn secret(secret: &Secret) -> Result<Option<Zeroizing<String>>, Fault> {
    match secret {
        Secret::Env(name) => Ok(std::env::var(name).ok().map(Zeroizing::new)),
        Secret::File(path) => {
            let named = |error: &dyn std::fmt::Display| {
                Fault::Configuration(vec![format!("{}: the secret cannot be read: {error}", path.display())])
            };
            let file = File::open(path).map_err(|error| named(&error))?;
            let facts = file.metadata().map_err(|error| named(&error))?;
            // A pipe is of who made it.
            if facts.is_file()
                && let Some(exposed) = Exposed::of(path, &facts)
            {
                return Err(named(&exposed));
            }
            // Room for all of it at once: what grows leaves copies behind.
            let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX + 1));
            file.take(SECRET_BYTES_MAX as u64 + 1)
                .read_to_string(&mut text)
                .map_err(|error| named(&error))?;
            if text.len() > SECRET_BYTES_MAX {
                return Err(named(&"the file is too long for a secret"));
            }
            Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
        }
    }
}

/// The master key that the configuration names.
///
/// # Errors
/// It is not set, or not 32 bytes of base64.
pub fn master(source: &Secret) -> Result<MasterKey, Fault> {
    let text = secret(source)?;
    let named = match source {
        Secret::Env(name) => MasterKeySource::Env(name.clone()),
        Secret::File(path) => MasterKeySource::File(path.display().to_string()),
    };
    master_key(text.as_deref().map(String::as_str), &named)
        .map_err(|fault| Fault::Configuration(vec![fault.to_string()]))
}

/// The same, with the line in which it stands.
///
/// # Errors
/// As [`master`].
pub fn master_of(settings: &Settings, source: &Secret) -> Result<MasterKey, Fault> {
    master(source).map_err(|fault| fault.beside(settings, "keys.master_key"))
}

/// The keyring, agreeing with every sealed field. None where no field is sealed.
///
/// # Errors
/// It cannot be opened, or a field's domain is missing or differs.
pub fn keyring(settings: &Settings) -> Result<Option<Arc<Keyring>>, Fault> {
    let Some(keys) = settings.keys.as_ref().filter(|_| settings.seals()) else { return Ok(None) };
    let opened = known::open(settings, &keys.path, &master_of(settings, &keys.master_key)?);
    let keyring = opened.map_err(|fault| fault.beside(settings, "keys.path"))?;
    let faults: Vec<String> = settings
        .policy
        .fields
        .iter()
        .filter_map(|PolicyField { field, .. }| {
            let domain = field.domain.as_ref()?;
            let fault = keyring.agrees(domain).err()?;
            let place = settings.place(&format!("field.{}", field.id.0));
            Some(format!("{place}: field {}: {fault}", field.path()))
        })
        .collect();
    if faults.is_empty() { Ok(Some(Arc::new(keyring))) } else { Err(Fault::Configuration(faults)) }
}

/// The account that reads the catalog.
///
/// # Errors
/// Its password's source is named but cannot be read.
pub fn service_account(settings: &Settings) -> Result<Option<ServiceAccount>, Fault> {
    let Some(service) = &settings.upstream.service else { return Ok(None) };
    let password = match &service.password {
        None => None,
        Some(source) => {
            const KEY: &str = "upstream.service_password";
            let found = secret(source).map_err(|fault| fault.beside(settings, KEY))?;
            Some(found.ok_or_else(|| {
                let named = match source {
                    Secret::Env(name) => name.clone(),
                    Secret::File(path) => path.display().to_string(),
                };
                Fault::of(settings, KEY, &format_args!("{named} is not set"))
            })?)
        }
    };
    Ok(Some(ServiceAccount { user: service.user.clone(), password }))
}

/// The account that asks for us, and the way to the servers.
///
/// # Errors
/// As [`service_account`].
pub fn access(settings: &Settings, dialer: &Arc<Dialer>) -> Result<Option<Access>, Fault> {
    let Some(account) = service_account(settings)? else { return Ok(None) };
    let database = settings.upstream.service.as_ref().map(|service| service.database.clone());
    let (dialer, database) = (Arc::clone(dialer), database.unwrap_or_default());
    let is_needed = settings.login.auth == Auth::Scram || !settings.policy.fields.is_empty();
    Ok(Some(Access { dialer, account, database, is_needed }))
}

/// What a running gate looks up anew every time, so that a reload can exchange it.
struct Swaps {
    access: Arc<ArcSwap<Access>>,
    policy: Arc<ArcSwap<Classification>>,
    keyring: Arc<ArcSwapOption<Keyring>>,
}

fn watched(settings: &Settings) -> Watched {
    Watched { rules: settings.detectors.clone(), learned: settings.learned.clone() }
}

/// A gate that runs, until [`House::drain`].
pub struct House {
    pub gate: SharedGate,
    /// Of the TCP listeners.
    pub addresses: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    acceptor: Arc<Acceptor>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    /// What could not be exchanged since is as it says.
    started: Arc<Regime>,
    journal: Option<JournalThread>,
    vigil: Option<VigilThread>,
    sharing: Option<ShareThread>,
    /// None without a service account.
    swaps: Option<Swaps>,
}

impl House {
    /// Opens the gate. Must run within a tokio runtime, which serves the catalog, the admin
    /// address and the listeners. Either way it stands in the record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn open(
        settings: Settings,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    ) -> Result<House, Fault> {
        let audit = settings.audit.clone();
        let mut thread = None;
        match House::build(settings, metrics, &mut thread).await {
            Ok(house) => {
                let regime = house.gate.regime.load_full();
                house.note(put_in_force("start", &regime)).await;
                Ok(House { journal: thread, ..house })
            }
            Err(fault) => {
                if let Some(thread) = thread {
                    // What it did not write is told by the log.
                    let _ = thread.close().await;
                }
                if let Err(error) = note_alone(audit.as_ref(), refused("start", &fault.text())) {
                    tracing::error!(%error, "that the start was refused is not on record");
                }
                Err(fault)
            }
        }
    }

    async fn build(
        settings: Settings,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
        thread: &mut Option<JournalThread>,
    ) -> Result<House, Fault> {
        let regime = regime(settings).await?;
        let swaps = access(&regime.settings, &regime.dialer)?.map(|access| Swaps {
            access: Arc::new(ArcSwap::from_pointee(access)),
            policy: Arc::new(ArcSwap::from_pointee(regime.settings.policy.clone())),
            keyring: Arc::new(ArcSwapOption::new(regime.keyring.clone())),
        });
        let catalogs = swaps.as_ref().map(keep_up_with_servers);
        let (journal, opened) = open_journal(&regime.settings)?;
        *thread = opened;
        let alarm = Arc::new(open_alarm(&regime.settings)?);
        let roster = Arc::new(Roster::default());
        let means = Means { roster: roster.clone(), alarm: alarm.clone(), journal: journal.clone() };
        let (vigil, looking) = Vigil::start(watched(&regime.settings), means).map_err(|error| {
            Fault::Start(format!("the thread of the detectors cannot be started: {error}"))
        })?;
        let (phase, phases) = watch::channel(Phase::Serving);
        let (started, watch) = (Instant::now(), Arc::new(Watch::new(regime.settings.watch.clone())));
        let ties = Ties {
            roster: roster.clone(),
            watch: watch.clone(),
            alarm: alarm.clone(),
            journal: journal.clone(),
            started,
        };
        let (fellowship, sharing) = fellows::start(&regime.settings, ties)?.unzip();
        let gate: SharedGate = Arc::new(Gate {
            watch,
            fellowship,
            catalogs,
            journal,
            alarm,
            vigil,
            roster,
            cancels: Cancels::default(),
            admission: Admission::default(),
            mock: mock_secret(regime.keyring.as_deref()),
            fences: Arc::default(),
            judges: Judges::new(regime.threads),
            next_session: AtomicU64::new(first_session()),
            phase: phases,
            started,
            regime: ArcSwap::from_pointee(regime),
        });
        let regime = gate.regime.load_full();
        tell_key_version(&regime);
        let listeners = bind(&regime.settings).await?;
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let acceptor = Acceptor::start(&gate)
            .map_err(|error| Fault::Start(format!("the gate's threads cannot be started: {error}")))?;
        let acceptor = Arc::new(acceptor);
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, Arc::clone(&acceptor), Arc::clone(&gate))))
            .collect();
        let watched = swaps.as_ref().map(|swaps| Arc::clone(&swaps.access));
        let health = Ready { gate: Arc::clone(&gate), access: watched };
        let admin = serve_admin(&regime.settings, health, metrics).await?;
        if let Some(socket) = regime.settings.admin.as_ref().and_then(|admin| admin.socket.as_ref()) {
            let served = operators::serve(Arc::clone(&gate), socket);
            served.map_err(|error| {
                cannot_listen(&regime.settings, "admin.socket", &socket.display(), &error)
            })?;
        }
        let started = regime;
        let vigil = Some(looking);
        let house = House {
            gate,
            addresses,
            admin,
            acceptor,
            accepting,
            phase,
            started,
            journal: None,
            vigil,
            sharing,
            swaps,
        };
        Ok(house)
    }

    /// Puts what was done with the gate on record, where there is one.
    pub async fn note(&self, event: AdminRecord) {
        note_by(&self.gate, event).await;
    }

    /// Puts another configuration in the place of the one in use, as a whole or not at all, and
    /// that on record. Returns the sections that count only from the next start on.
    ///
    /// # Errors
    /// What is wrong with the new one; the old one stays in use.
    pub async fn reload(&self, settings: Result<Settings, Fault>) -> Result<Vec<&'static str>, Fault> {
        let reloaded = match settings {
            Ok(settings) => self.exchange(settings).await,
            Err(fault) => Err(fault),
        };
        self.note(match &reloaded {
            Ok(_) => put_in_force("reload", &self.gate.regime.load()),
            Err(fault) => refused("reload", &fault.text()),
        })
        .await;
        reloaded
    }

    fn end_leases(&self) {
        if let Some(journal) = &self.gate.journal {
            journal.tenure().end_all();
        }
    }

    async fn exchange(&self, settings: Settings) -> Result<Vec<&'static str>, Fault> {
        let before = self.gate.regime.load_full();
        let unserved =
            settings.policy.fields.first().filter(|_| self.swaps.is_none() || self.gate.journal.is_none());
        if unserved.is_some() {
            return Err(Fault::Configuration(vec![format!(
                "{}: a [[field]] where there was no service_user or no [audit] at the start: start anew",
                settings.origin
            )]));
        }
        let regime = regime(settings).await?;
        let access = access(&regime.settings, &regime.dialer)?;
        let later = counts_later(&self.started.settings, &regime.settings);
        let identity = |regime: &Regime| regime.keyring.as_deref().map(Keyring::identity);
        let reclassified =
            fields_differ(&before.settings, &regime.settings) || identity(&before) != identity(&regime);
        let keyring = regime.keyring.clone();
        let (policy, limits) = (regime.settings.policy.clone(), regime.settings.watch.clone());
        let watched = watched(&regime.settings);
        tell_key_version(&regime);
        // Keys before the fields that need them. No lease spans the exchange.
        self.end_leases();
        self.gate.regime.store(Arc::new(regime));
        self.acceptor.renew(Renewal::Tools).await;
        self.end_leases();
        if limits != before.settings.watch {
            self.gate.watch.change(limits);
        }
        if watched != self::watched(&before.settings) {
            self.gate.vigil.change(watched);
        }
        if let (Some(swaps), Some(access)) = (&self.swaps, access) {
            let policy = Arc::new(policy);
            swaps.access.store(Arc::new(access));
            swaps.policy.store(Arc::clone(&policy));
            swaps.keyring.store(keyring);
            if let Some(catalogs) = &self.gate.catalogs {
                catalogs.fitness().adopt(&policy);
            }
        }
        if reclassified {
            // From here on every session looks first, and reads the catalog itself.
            self.acceptor.renew(Renewal::Policy).await;
        }
        if let Some(catalogs) = &self.gate.catalogs {
            for database in catalogs.databases() {
                if let Err(error) = catalogs.reload(&database).await {
                    tracing::warn!(%database, %error, "the catalog could not be read again after the reload");
                }
            }
        }
        Ok(later)
    }

    /// Takes nothing new, lets transactions finish within the configured time, ends what is
    /// left, closes the journal. False where something was cut off or could not be written.
    /// When `hasten` comes, nothing is waited for any more.
    pub async fn drain(self, hasten: impl Future<Output = ()>) -> bool {
        let House { gate, acceptor, accepting, phase, journal, vigil, sharing, .. } = self;
        phase.send_replace(Phase::Draining);
        for task in accepting {
            let _ = task.await;
        }
        let patience = Duration::from_millis(gate.regime.load().settings.timeouts.drain_ms);
        let drained = tokio::select! {
            drained = empties(&gate, patience) => drained,
            () = hasten => false,
        };
        if !drained {
            tracing::warn!(sessions = gate.admission.sessions(), "sessions that did not end are cut off");
            phase.send_replace(Phase::Cutting);
        }
        if empties(&gate, FAREWELLS).await
            && let Some(acceptor) = Arc::into_inner(acceptor)
        {
            acceptor.join();
        }
        if let Some(vigil) = vigil {
            vigil.close();
        }
        if let Some(sharing) = sharing {
            sharing.close();
        }
        let how = if drained { "drained" } else { "sessions were cut off" };
        note_by(&gate, applied("stop", how)).await;
        let written = match journal {
            Some(journal) => journal.close().await.is_ok(),
            None => true,
        };
        // Nothing else runs any more that could wait for this thread.
        gate.alarm.close();
        drained && written
    }
}

async fn note_by(gate: &SharedGate, event: AdminRecord) {
    let Some(journal) = &gate.journal else { return };
    if journal.submit_wait(Record::Admin(event)).await.is_err() {
        tracing::error!("a record was not taken by the journal");
    }
}

/// Waits until no session is left. False where it takes longer.
async fn empties(gate: &SharedGate, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while gate.admission.sessions() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate.admission.sessions() == 0
}

/// What a reload cannot change: it takes a new start.
fn counts_later(before: &Settings, after: &Settings) -> Vec<&'static str> {
    let mut later = Vec::new();
    let listens = |settings: &Settings| (settings.listen.addresses.clone(), settings.listen.unix_mode);
    if listens(before) != listens(after) {
        later.push("[listen] address");
    }
    if before.upstream.service.is_none() != after.upstream.service.is_none() {
        later.push("[upstream] service_user");
    }
    if before.audit != after.audit {
        later.push("[audit]");
    }
    if before.admin != after.admin {
        later.push("[admin]");
    }
    if before.alerting != after.alerting {
        later.push("[[alert]]");
    }
    if before.share != after.share {
        later.push("[watch.share]");
    }
    later
}

/// Is anything classified otherwise than before?
fn fields_differ(before: &Settings, after: &Settings) -> bool {
    before.policy != after.policy
}

fn tell_key_version(regime: &Regime) {
    if let Some(keyring) = &regime.keyring {
        metrics::gauge!("sealgate_key_version").set(f64::from(keyring.current_version()));
    }
}

/// Where there is a keyring, the salts of users that do not exist are the same at each start,
/// as those of users are.
fn mock_secret(keyring: Option<&Keyring>) -> MockSecret {
    let lasting = keyring.and_then(Keyring::salt_secret);
    MockSecret::new(lasting.map_or_else(rand::random, |secret| *secret))
}

/// The tasks that ask the servers: for their catalogs, and which of them takes writes.
fn keep_up_with_servers(swaps: &Swaps) -> Catalogs {
    let (access, policy) = (Arc::clone(&swaps.access), Arc::clone(&swaps.policy));
    let (keyring, timing) = (Arc::clone(&swaps.keyring), Timing::default());
    tokio::spawn(lookout::keep(Arc::clone(&access)));
    let source = CatalogSource { access, policy, keyring, timing };
    let (catalogs, keeper) = Catalogs::new(source.clone());
    tokio::spawn(keeper.run());
    tokio::spawn(survey(source, catalogs.clone()));
    catalogs
}

/// Session numbers begin at the time, so that two runs of one node do not share any; below
/// 2^53, so that every reader of JSON tells them apart.
fn first_session() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0) << 10
}

fn location(audit: &Audit) -> Location {
    let (durability, lease) = (audit.durability, audit.lease);
    let named = Location::new(audit.path.clone(), evidence::node(audit));
    Location { durability, lease, reserve_bytes: audit.reserve_bytes, in_full: audit.in_full, ..named }
}

/// Puts on record what a process did that serves nobody, where there is a folder for it.
///
/// # Errors
/// It could not be written.
pub fn note_alone(audit: Option<&Audit>, event: AdminRecord) -> Result<(), String> {
    let Some(audit) = audit else { return Ok(()) };
    let mut location = location(audit);
    // What it signed last says where the numbers go on. Without the key, what lies there does.
    location.evidence.signer = evidence::signer(audit).ok().flatten().map(Arc::new);
    journal::write_alone(&location, Record::Admin(event)).map(drop)
}

fn open_journal(settings: &Settings) -> Result<(Option<JournalHandle>, Option<JournalThread>), Fault> {
    let Some(audit) = &settings.audit else { return Ok((None, None)) };
    let location = Location { evidence: evidence::evidence(settings, audit)?, ..location(audit) };
    let (handle, thread) = journal::start(&location).map_err(|error| match error.is_for_now() {
        true => Fault::Start(format!("audit.path: {error}")),
        false => Fault::of(settings, "audit.path", &error),
    })?;
    Ok((Some(handle), Some(thread)))
}

/// Where alerts go, and the threads that bring them there.
fn open_alarm(settings: &Settings) -> Result<Alarm, Fault> {
    let alarm = Alarm::start(&settings.alerting, &node(settings), &secret_text);
    alarm.map_err(|fault| alarm_fault(settings, fault))
}

/// Every receiver of alerts, ready to be told.
///
/// # Errors
/// A secret or certificate that cannot be used.
pub fn alarm_places(settings: &Settings) -> Result<Vec<Place>, Fault> {
    let places = alarm::places(&settings.alerting, &node(settings), &secret_text);
    places.map_err(|fault| alarm_fault(settings, fault))
}

fn alarm_fault(settings: &Settings, (index, why): alarm::Fault) -> Fault {
    match index {
        Some(index) => Fault::of(settings, &format!("alert.{index}"), &why),
        None => Fault::of(settings, "watch.spool", &why),
    }
}

pub fn secret_text(source: &Secret) -> Result<Option<Zeroizing<String>>, String> {
    secret(source).map_err(|fault| fault.text())
}

/// The node's name in records and alerts.
fn node(settings: &Settings) -> String {
    settings.audit.as_ref().and_then(|audit| audit.node.clone()).unwrap_or_else(host_name)
}

/// The name of this machine.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "sealgate".to_owned() } else { name.to_owned() }
}

async fn bind(settings: &Settings) -> Result<Vec<Listener>, Fault> {
    let mut listeners = Vec::new();
    for endpoint in &settings.listen.addresses {
        let listener = Listener::bind(endpoint, settings.listen.unix_mode).await;
        listeners
            .push(listener.map_err(|error| cannot_listen(settings, "listen.address", endpoint, &error))?);
    }
    Ok(listeners)
}

/// Who has an address for now may give it back, and a network may be late: another start may
/// succeed. It does not where the folder is missing, or this account may not.
fn cannot_listen(
    settings: &Settings,
    key: &str,
    at: &dyn std::fmt::Display,
    error: &std::io::Error,
) -> Fault {
    use std::io::ErrorKind::{AlreadyExists, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    let no_folder = [NotFound, NotADirectory].contains(&error.kind());
    let what = if no_folder { "there is no such folder" } else { "cannot listen" };
    let lasting = [AlreadyExists, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem];
    let line = format!("{}: {key}: {at}: {what}: {error}", settings.place(key));
    if lasting.contains(&error.kind()) { Fault::Configuration(vec![line]) } else { Fault::Start(line) }
}

async fn serve_admin(
    settings: &Settings,
    health: Ready,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> Result<Option<SocketAddr>, Fault> {
    let Some(Admin { address, .. }) = &settings.admin else { return Ok(None) };
    let named = |error: std::io::Error| cannot_listen(settings, "admin.address", address, &error);
    let listener = TcpListener::bind((address.host.as_str(), address.port)).await.map_err(named)?;
    let found = listener.local_addr().map_err(named)?;
    tokio::spawn(ops::serve(listener, metrics, Arc::new(health)));
    Ok(Some(found))
}
