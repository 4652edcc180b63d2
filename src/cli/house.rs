//! Builds the house from its settings: reads secrets and keys, starts the journal, the
//! catalogs, the gate's threads and the admin address. `run` and `demo` live in it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::events::{applied, in_force, refused};
use super::keys::{MasterKeySource, master_key};
use super::regime::regime;
use crate::audit::{AdminRecord, Record};
use crate::catalog::{Classification, PolicyField};
use crate::config::{self, Audit, Auth, Endpoint, HostPort, Secret, Settings};
use crate::gate::{
    Acceptor, Admission, Cancels, Gate, Judges, Listener, Phase, Regime, Renewal, SharedGate, accept, today,
};
use crate::login::scram::MockSecret;
use crate::ops;
use crate::seal::{Keyring, MasterKey};
use crate::store::catalog::{CatalogSource, Catalogs, Timing};
use crate::store::journal::{self, JournalHandle, JournalThread, Location};
use crate::store::keyfile;
use crate::upstream::dial::{DialError, Dialer};
use crate::upstream::lookout;
use crate::upstream::service::{Access, ServiceAccount};
use crate::watch::Watch;

/// How long clients that are cut off may take to read why.
const FAREWELLS: Duration = Duration::from_secs(10);

/// A secret file is never longer, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What stands between a configuration and a running gate. Each line names what was found
/// and what is allowed.
#[derive(Debug)]
pub enum Fault {
    /// The configuration is wrong (exit code 2).
    Configuration(Vec<String>),
    /// Something it names does not work (exit code 2 in `check`, 1 in `run`).
    Start(String),
}

impl Fault {
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
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::Configuration(vec![format!("{origin}: cannot be read: {error}")]))?;
    config::load(&text, &origin)
        .map_err(|faults| Fault::Configuration(faults.iter().map(ToString::to_string).collect()))
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
            let length = std::fs::metadata(path).map_err(|error| named(&error))?.len();
            if length > SECRET_BYTES_MAX {
                return Err(named(&"the file is too long for a secret"));
            }
            let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| named(&error))?);
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

/// The keyring, agreeing with every sealed field. None where no field is sealed.
///
/// # Errors
/// It cannot be opened, or a field's domain is missing or differs.
pub fn keyring(settings: &Settings) -> Result<Option<Arc<Keyring>>, Fault> {
    let Some(keys) = settings.keys.as_ref().filter(|_| settings.seals()) else { return Ok(None) };
    let keyring = keyfile::read(&keys.path, &master(&keys.master_key)?)
        .map_err(|error| Fault::Start(format!("{}: {error}", keys.path.display())))?;
    let faults: Vec<String> = settings
        .policy
        .fields
        .iter()
        .filter_map(|PolicyField { field, .. }| {
            let domain = field.domain.as_ref()?;
            let fault = keyring.agrees(domain).err()?;
            Some(format!("{}: field {}: {fault}", settings.origin, field.path()))
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
        Some(source) => Some(secret(source)?.ok_or_else(|| {
            let named = match source {
                Secret::Env(name) => name.clone(),
                Secret::File(path) => path.display().to_string(),
            };
            Fault::Configuration(vec![format!(
                "{}: upstream.service_password: {named} is not set",
                settings.origin
            )])
        })?),
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
    Ok(Some(Access { dialer, account, database, is_needed: settings.login.auth == Auth::Scram }))
}

/// What a running gate looks up anew every time, so that a reload can exchange it.
struct Swaps {
    access: Arc<ArcSwap<Access>>,
    policy: Arc<ArcSwap<Classification>>,
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
                house.note(applied("start", &in_force(&regime))).await;
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
        });
        let catalogs = swaps.as_ref().map(keep_up_with_servers);
        let (journal, opened) = open_journal(&regime.settings)?;
        *thread = opened;
        let (phase, phases) = watch::channel(Phase::Serving);
        let gate: SharedGate = Arc::new(Gate {
            watch: Watch::new(regime.settings.watch.clone()),
            catalogs,
            journal,
            cancels: Cancels::default(),
            admission: Admission::default(),
            mock: mock_secret(regime.keyring.as_deref()),
            fences: Arc::default(),
            judges: Judges::new(regime.threads),
            next_session: AtomicU64::new(first_session()),
            phase: phases,
            started: Instant::now(),
            regime: ArcSwap::from_pointee(regime),
        });
        let regime = gate.regime.load_full();
        tell_key_version(&regime);
        let listen = &regime.settings.listen;
        let listeners = bind(&listen.addresses, listen.unix_mode).await?;
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let acceptor = Acceptor::start(&gate)
            .map_err(|error| Fault::Start(format!("the gate's threads cannot be started: {error}")))?;
        let acceptor = Arc::new(acceptor);
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, Arc::clone(&acceptor), Arc::clone(&gate))))
            .collect();
        let admin = match &regime.settings.admin {
            Some(admin) => {
                let access = swaps.as_ref().map(|swaps| Arc::clone(&swaps.access));
                let health = Ready { gate: Arc::clone(&gate), access };
                Some(serve_admin(&admin.address, health, metrics).await?)
            }
            None => None,
        };
        let started = regime;
        Ok(House { gate, addresses, admin, acceptor, accepting, phase, started, journal: None, swaps })
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
            Ok(_) => applied("reload", &in_force(&self.gate.regime.load())),
            Err(fault) => refused("reload", &fault.text()),
        })
        .await;
        reloaded
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
        let reclassified = fields_differ(&before.settings, &regime.settings);
        let (policy, limits) = (regime.settings.policy.clone(), regime.settings.watch.clone());
        tell_key_version(&regime);
        // Keys before the fields that need them.
        self.gate.regime.store(Arc::new(regime));
        self.acceptor.renew(Renewal::Tools).await;
        if limits != before.settings.watch {
            self.gate.watch.change(limits);
        }
        if let (Some(swaps), Some(access)) = (&self.swaps, access) {
            swaps.access.store(Arc::new(access));
            swaps.policy.store(Arc::new(policy));
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
        let House { gate, acceptor, accepting, phase, journal, .. } = self;
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
        let how = if drained { "drained" } else { "sessions were cut off" };
        note_by(&gate, applied("stop", how)).await;
        let written = match journal {
            Some(journal) => journal.close().await.is_ok(),
            None => true,
        };
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
    tokio::spawn(lookout::keep(Arc::clone(&access)));
    let (catalogs, keeper) = Catalogs::new(CatalogSource { access, policy, timing: Timing::default() });
    tokio::spawn(keeper.run());
    catalogs
}

/// Session numbers begin at the time, so that two runs of one node do not share any; below
/// 2^53, so that every reader of JSON tells them apart.
fn first_session() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0) << 10
}

fn location(audit: &Audit) -> Location {
    Location::new(audit.path.clone(), audit.node.clone().unwrap_or_else(host_name))
}

/// Puts on record what a process did that serves nobody, where there is a folder for it.
///
/// # Errors
/// It could not be written.
pub fn note_alone(audit: Option<&Audit>, event: AdminRecord) -> Result<(), String> {
    let Some(audit) = audit else { return Ok(()) };
    journal::write_alone(&location(audit), Record::Admin(event)).map(drop)
}

fn open_journal(settings: &Settings) -> Result<(Option<JournalHandle>, Option<JournalThread>), Fault> {
    let Some(audit) = &settings.audit else { return Ok((None, None)) };
    let (handle, thread) =
        journal::start(&location(audit)).map_err(|error| Fault::Start(format!("audit.path: {error}")))?;
    Ok((Some(handle), Some(thread)))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "sealgate".to_owned() } else { name.to_owned() }
}

async fn bind(endpoints: &[Endpoint], unix_mode: u32) -> Result<Vec<Listener>, Fault> {
    let mut listeners = Vec::new();
    for endpoint in endpoints {
        let listener = Listener::bind(endpoint, unix_mode).await;
        listeners
            .push(listener.map_err(|error| Fault::Start(format!("{endpoint}: cannot listen: {error}")))?);
    }
    Ok(listeners)
}

async fn serve_admin(
    address: &HostPort,
    health: Ready,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> Result<SocketAddr, Fault> {
    let named = |error: std::io::Error| Fault::Start(format!("{address}: cannot listen: {error}"));
    let listener = TcpListener::bind((address.host.as_str(), address.port)).await.map_err(named)?;
    let found = listener.local_addr().map_err(named)?;
    tokio::spawn(ops::serve(listener, metrics, Arc::new(health)));
    Ok(found)
}

struct Ready {
    gate: SharedGate,
    /// None without a service account.
    access: Option<Arc<ArcSwap<Access>>>,
}

impl ops::Health for Ready {
    async fn ready(&self) -> Result<(), String> {
        if *self.gate.phase.borrow() != Phase::Serving {
            return Err("draining".to_owned());
        }
        if self.gate.journal.as_ref().is_some_and(|journal| !journal.is_writable()) {
            return Err("the record cannot be written".to_owned());
        }
        if let Some(access) = &self.access {
            return enters(&access.load_full()).await;
        }
        let dialer = Arc::clone(&self.gate.regime.load().dialer);
        dialer.first(today()).await.map(drop).map_err(|error| error.to_string())
    }
}

/// No client would get further.
async fn enters(access: &Access) -> Result<(), String> {
    let mut missing = DialError::NoneWritable.to_string();
    for index in access.dialer.standings().order(Instant::now()) {
        match access.knock(index, today()).await {
            Ok(()) => return Ok(()),
            Err(error) => missing = error.to_string(),
        }
    }
    Err(missing)
}
