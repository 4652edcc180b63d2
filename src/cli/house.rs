//! Builds the house from its settings: reads secrets and keys, starts the journal, the
//! catalogs, the gate's threads and the admin address. `run` and `demo` live in it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::Rng as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::keys::{MasterKeySource, master_key};
use crate::config::{self, HostPort, Secret, Settings};
use crate::gate::{Acceptor, Cancels, Gate, SharedGate, accept, today};
use crate::ops;
use crate::pipeline::{PlanCache, Workshop};
use crate::seal::{Keyring, MasterKey, Random, Sealer};
use crate::statement::Limits;
use crate::store::catalog::{CatalogKeeper, CatalogSource, Catalogs, Timing};
use crate::store::journal::{self, JournalHandle, JournalThread, Location};
use crate::store::keyfile;
use crate::upstream::dial;
use crate::upstream::service::ServiceAccount;
use crate::watch::Watch;

/// How long sessions may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

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

/// The operating system's randomness for keys, a fast generator seeded by it for nonces.
pub struct ThreadRandom;

impl Random for ThreadRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
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
        .fields
        .iter()
        .filter_map(|field| {
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

/// The catalogs of the first server that may be dialled, and the task that keeps them.
///
/// # Errors
/// No server's name can be resolved, or its region is not allowed.
pub async fn catalogs(
    settings: &Settings,
    account: ServiceAccount,
) -> Result<(Catalogs, CatalogKeeper), Fault> {
    let residency = settings.residency();
    let mut addresses = Vec::new();
    for host in &settings.upstream.hosts {
        let judged =
            dial::judge(host, &residency, today()).await.map_err(|error| Fault::Start(error.to_string()))?;
        addresses.extend(judged.addresses);
    }
    Ok(Catalogs::new(CatalogSource {
        account,
        addresses: Arc::new(ArcSwap::from_pointee(addresses)),
        policy: Arc::new(ArcSwap::from_pointee(settings.fields.clone())),
        timing: Timing::default(),
    }))
}

/// A gate that runs, until [`House::drain`].
pub struct House {
    pub gate: SharedGate,
    pub addresses: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    acceptor: Arc<Acceptor>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
    draining: watch::Sender<bool>,
    journal: Option<JournalThread>,
}

impl House {
    /// Opens the gate. Must run within a tokio runtime, which serves the catalog, the admin
    /// address and the listeners.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn open(
        settings: Settings,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    ) -> Result<House, Fault> {
        let keyring = keyring(&settings)?;
        let residency = settings.residency();
        for host in &settings.upstream.hosts {
            if let Err(error @ dial::DialError::Refused { .. }) = dial::judge(host, &residency, today()).await
            {
                return Err(Fault::Start(error.to_string()));
            }
        }
        let catalogs = match service_account(&settings)?.filter(|_| !settings.fields.is_empty()) {
            Some(account) => {
                let (catalogs, keeper) = self::catalogs(&settings, account).await?;
                tokio::spawn(keeper.run());
                Some(catalogs)
            }
            None => None,
        };
        let (journal, thread) = open_journal(&settings)?;
        let (drain, draining) = watch::channel(false);
        if let Some(keyring) = &keyring {
            metrics::gauge!("sealgate_key_version").set(f64::from(keyring.current_version()));
        }
        let gate: SharedGate = Arc::new(Gate {
            watch: Watch::new(settings.watch.clone()),
            residency,
            catalogs,
            journal,
            cancels: Cancels::default(),
            sessions: AtomicUsize::new(0),
            next_session: AtomicU64::new(first_session()),
            draining,
            started: Instant::now(),
            settings,
        });
        let (addresses, listeners) = listen(&gate.settings.listen.addresses).await?;
        let acceptor = Acceptor::start(&gate, workshops(&gate.settings, keyring.as_ref()))
            .map_err(|error| Fault::Start(format!("the gate's threads cannot be started: {error}")))?;
        let acceptor = Arc::new(acceptor);
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, Arc::clone(&acceptor), Arc::clone(&gate))))
            .collect();
        let admin = match &gate.settings.admin {
            Some(admin) => {
                let (addresses, listeners) = listen(std::slice::from_ref(&admin.address)).await?;
                for listener in listeners {
                    let ready = Arc::new(Ready { gate: Arc::clone(&gate) });
                    tokio::spawn(ops::serve(listener, metrics.clone(), ready));
                }
                addresses.first().copied()
            }
            None => None,
        };
        Ok(House { gate, addresses, admin, acceptor, accepting, draining: drain, journal: thread })
    }

    /// Takes nothing new, lets transactions finish within a deadline, closes the journal.
    /// False where something was cut off or could not be written.
    pub async fn drain(self) -> bool {
        let House { gate, acceptor, accepting, draining, journal, .. } = self;
        draining.send_replace(true);
        for task in accepting {
            let _ = task.await;
        }
        let deadline = Instant::now() + DRAIN;
        while gate.sessions.load(std::sync::atomic::Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let drained = gate.sessions.load(std::sync::atomic::Ordering::Relaxed) == 0;
        if drained && let Some(acceptor) = Arc::into_inner(acceptor) {
            acceptor.join();
        }
        let written = match journal {
            Some(journal) => journal.close().await.is_ok(),
            None => true,
        };
        drained && written
    }
}

/// Session numbers begin at the time, so that two runs of one node do not share any; below
/// 2^53, so that every reader of JSON tells them apart.
fn first_session() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0) << 10
}

fn open_journal(settings: &Settings) -> Result<(Option<JournalHandle>, Option<JournalThread>), Fault> {
    let Some(audit) = &settings.audit else { return Ok((None, None)) };
    let node = audit.node.clone().unwrap_or_else(host_name);
    let (handle, thread) = journal::start(&Location::new(audit.path.clone(), node))
        .map_err(|error| Fault::Start(format!("audit.path: {error}")))?;
    Ok((Some(handle), Some(thread)))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "sealgate".to_owned() } else { name.to_owned() }
}

/// One workshop for each core: each is made on its own thread.
fn workshops(
    settings: &Settings,
    keyring: Option<&Arc<Keyring>>,
) -> Vec<Box<dyn FnOnce() -> Workshop + Send>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let plan_bytes = usize::try_from(settings.limits.plan_cache_bytes_max).unwrap_or(usize::MAX) / cores;
    let limits = Limits { text_bytes_max: settings.limits.statement_bytes_max as usize, ..Limits::default() };
    (0..cores)
        .map(|_| {
            let keyring = keyring.map(Arc::clone);
            Box::new(move || {
                let sealer = keyring.map(|keyring| Sealer::new(keyring, Box::new(ThreadRandom)));
                Workshop::new(sealer, PlanCache::new(plan_bytes), limits)
            }) as Box<dyn FnOnce() -> Workshop + Send>
        })
        .collect()
}

async fn listen(hosts: &[HostPort]) -> Result<(Vec<SocketAddr>, Vec<TcpListener>), Fault> {
    let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
    for host in hosts {
        let named = |error: std::io::Error| Fault::Start(format!("{host}: cannot listen: {error}"));
        let listener = TcpListener::bind((host.host.as_str(), host.port)).await.map_err(named)?;
        addresses.push(listener.local_addr().map_err(named)?);
        listeners.push(listener);
    }
    Ok((addresses, listeners))
}

struct Ready {
    gate: SharedGate,
}

impl ops::Health for Ready {
    async fn ready(&self) -> Result<(), String> {
        if *self.gate.draining.borrow() {
            return Err("draining".to_owned());
        }
        if self.gate.journal.as_ref().is_some_and(|journal| !journal.is_writable()) {
            return Err("the record cannot be written".to_owned());
        }
        let hosts = &self.gate.settings.upstream.hosts;
        dial::first(hosts, &self.gate.residency, today()).await.map(|_| ()).map_err(|error| error.to_string())
    }
}
