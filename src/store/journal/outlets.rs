//! Where checkpoints go that whoever holds this host cannot take back: a file on another mount, a log server by
//! syslog (RFC 5424 over TCP, RFC 5425 over TLS), a witness and an object store ([`super::posted`]). Each has a
//! thread and a spool of its own. A spool that is full forgets the oldest: a later checkpoint covers all that an
//! earlier one did.

use std::collections::VecDeque;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::posted::{Bucket, Witness};
use crate::audit::{rfc3339, word};
use crate::config::HostPort;
use crate::transport::tls::ClientTls;
use crate::transport::{Channel, Socket};

/// Checkpoints that wait for one of them.
const SPOOL_MAX: usize = 256;
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long connecting, and one message, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long all of them may take at the end.
const FAREWELL: Duration = Duration::from_secs(12);
/// Facility 13 (log audit), severity 5 (notice).
const PRIORITY: u8 = 13 * 8 + 5;

/// One `[[audit.sink]]`.
#[derive(Clone)]
pub struct Outlet {
    pub to: Target,
    /// The newest is sent so often at most, and those before it are not. Zero: each is sent.
    pub every: Duration,
    /// Not ready where a checkpoint has waited longer. None: that is the operator's to watch.
    pub required_within: Option<Duration>,
}

/// Of which kind.
#[derive(Clone)]
pub enum Target {
    /// Appended to, and synced.
    File(PathBuf),
    Syslog {
        server: HostPort,
        tls: Option<Arc<ClientTls>>,
        node: String,
    },
    Witness(Witness),
    Bucket(Box<Bucket>),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::File(path) => write!(f, "file:{}", path.display()),
            Target::Syslog { server, .. } => write!(f, "syslog:{server}"),
            Target::Witness(witness) => witness.fmt(f),
            Target::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to)
    }
}

/// What waits for one outlet.
struct Spool {
    name: String,
    every: Duration,
    required_within: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    notes: VecDeque<String>,
    /// Since when the oldest has waited, also where it was forgotten.
    since: Option<Instant>,
    has_ended: bool,
}

impl Spool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits(&self) -> Duration {
        self.state().since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// How the outlets stand, for readiness.
#[derive(Clone, Default)]
pub struct Standing {
    spools: Arc<[Arc<Spool>]>,
}

impl Standing {
    /// What is further behind than it may be.
    #[must_use]
    pub fn behind(&self) -> Option<String> {
        let late = |spool: &&Arc<Spool>| spool.required_within.is_some_and(|within| spool.waits() > within);
        let late = self.spools.iter().find(late)?;
        Some(format!(
            "the record's sink {} has taken no checkpoint for {} s",
            late.name,
            late.waits().as_secs()
        ))
    }
}

/// All of them, each with its thread.
pub(super) struct Outlets {
    standing: Standing,
    threads: Vec<JoinHandle<()>>,
}

impl Outlets {
    pub(super) fn start(outlets: &[Outlet]) -> io::Result<Outlets> {
        let (mut spools, mut threads) = (Vec::new(), Vec::new());
        for outlet in outlets {
            let name = outlet.to.to_string();
            metrics::counter!("sealgate_audit_sink_checkpoints_total", "sink" => name.clone()).absolute(0);
            metrics::counter!("sealgate_audit_sink_failures_total", "sink" => name.clone()).absolute(0);
            metrics::gauge!("sealgate_audit_sink_lag_seconds", "sink" => name.clone()).set(0.0);
            let spool = Arc::new(Spool {
                name,
                every: outlet.every,
                required_within: outlet.required_within,
                state: Mutex::default(),
                changed: Condvar::new(),
            });
            let carrier = Carrier::new(outlet.to.clone())?;
            let own = Arc::clone(&spool);
            threads.push(
                std::thread::Builder::new().name("sink".to_owned()).spawn(move || carry(&own, carrier))?,
            );
            spools.push(spool);
        }
        Ok(Outlets { standing: Standing { spools: spools.into() }, threads })
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Gives a checkpoint to each.
    pub(super) fn hand(&self, note: &str) {
        for spool in &*self.standing.spools {
            let mut state = spool.state();
            if state.notes.len() == SPOOL_MAX {
                state.notes.pop_front();
            }
            state.notes.push_back(note.to_owned());
            state.since.get_or_insert_with(Instant::now);
            drop(state);
            spool.changed.notify_all();
        }
    }

    /// How far each is behind, for whoever measures it.
    pub(super) fn tell(&self) {
        for spool in &*self.standing.spools {
            metrics::gauge!("sealgate_audit_sink_lag_seconds", "sink" => spool.name.clone())
                .set(spool.waits().as_secs_f64());
        }
    }

    /// One try more for what waits, then no more.
    pub(super) fn end(self) {
        for spool in &*self.standing.spools {
            spool.state().has_ended = true;
            spool.changed.notify_all();
        }
        let deadline = Instant::now() + FAREWELL;
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !thread.is_finished() {
                // A mount that hangs, say: it ends with the process.
                tracing::error!(
                    "a sink of the record's checkpoints does not answer; what waits for it is lost to it"
                );
            } else if thread.join().is_err() {
                tracing::error!("a thread of the record's sinks has panicked");
            }
        }
    }
}

/// One outlet's thread.
fn carry(spool: &Spool, mut carrier: Carrier) {
    let mut pause = PAUSES.0;
    let mut fails = false;
    loop {
        let nothing = |state: &mut State| !state.has_ended && state.notes.is_empty();
        let state = spool.changed.wait_while(spool.state(), nothing).unwrap_or_else(PoisonError::into_inner);
        let next = if spool.every.is_zero() { state.notes.front() } else { state.notes.back() };
        let Some(note) = next.cloned() else { return };
        let has_ended = state.has_ended;
        drop(state);
        match carrier.deliver(&note) {
            Ok(()) => {
                metrics::counter!("sealgate_audit_sink_checkpoints_total", "sink" => spool.name.clone())
                    .increment(1);
                if std::mem::take(&mut fails) {
                    tracing::info!(sink = spool.name, "checkpoints of the record are taken again");
                }
                pause = PAUSES.0;
                let mut state = spool.state();
                // It may have been forgotten meanwhile, in a spool that was full. It covers what those before it did.
                if let Some(at) = state.notes.iter().position(|waiting| *waiting == note) {
                    state.notes.drain(..=at);
                }
                state.since = (!state.notes.is_empty()).then(Instant::now);
                if !spool.every.is_zero() {
                    let waiting = |state: &mut State| !state.has_ended;
                    drop(spool.changed.wait_timeout_while(state, spool.every, waiting));
                }
            }
            Err(error) => {
                metrics::counter!("sealgate_audit_sink_failures_total", "sink" => spool.name.clone())
                    .increment(1);
                if !std::mem::replace(&mut fails, true) {
                    tracing::error!(sink = spool.name, %error, "checkpoints of the record are not taken");
                }
                if has_ended {
                    return;
                }
                let waiting = |state: &mut State| !state.has_ended;
                let waited = spool.changed.wait_timeout_while(spool.state(), pause, waiting);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// The way to one outlet.
enum Carrier {
    /// Whether something of a failed try may stand at its end.
    File(PathBuf, bool),
    Syslog(Box<Syslog>),
    Witness(Witness),
    Bucket(Box<Bucket>),
}

struct Syslog {
    /// None: it is over.
    runtime: Option<tokio::runtime::Runtime>,
    server: HostPort,
    tls: Option<Arc<ClientTls>>,
    node: String,
    channel: Option<Channel>,
}

impl Carrier {
    fn new(target: Target) -> io::Result<Carrier> {
        Ok(match target {
            Target::File(path) => Carrier::File(path, true),
            Target::Witness(witness) => Carrier::Witness(witness),
            Target::Bucket(bucket) => Carrier::Bucket(bucket),
            Target::Syslog { server, tls, node } => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Carrier::Syslog(Box::new(Syslog { runtime: Some(runtime), server, tls, node, channel: None }))
            }
        })
    }

    fn deliver(&mut self, note: &str) -> io::Result<()> {
        match self {
            Carrier::File(path, doubtful) => {
                let before = if std::mem::replace(doubtful, true) { "\n\n" } else { "\n" };
                let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
                file.write_all(format!("{before}{note}").as_bytes())?;
                file.sync_data()?;
                *doubtful = false;
                Ok(())
            }
            Carrier::Syslog(syslog) => syslog.deliver(note),
            Carrier::Witness(witness) => witness.deliver(note),
            Carrier::Bucket(bucket) => bucket.deliver(note, super::now_us()),
        }
    }
}

impl Syslog {
    fn deliver(&mut self, note: &str) -> io::Result<()> {
        let Some(runtime) = &self.runtime else { return Err(io::ErrorKind::NotConnected.into()) };
        let message = message(&self.node, note, super::now_us());
        let (channel, server, tls) = (&mut self.channel, &self.server, self.tls.as_deref());
        let sent = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, send(channel, server, tls, &message)).await });
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if sent.is_err() {
            self.channel = None;
        }
        sent
    }
}

impl Drop for Syslog {
    /// A name that is still looked up is not waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn send(
    kept: &mut Option<Channel>,
    server: &HostPort,
    tls: Option<&ClientTls>,
    message: &[u8],
) -> io::Result<()> {
    // A server that has gone away is noticed here, and not by the message that nobody reads.
    let open = kept.take().and_then(still_open);
    let mut channel = match open {
        Some(channel) => channel,
        None => connect(server, tls).await?,
    };
    channel.write_all(message).await?;
    *kept = Some(channel);
    Ok(())
}

fn still_open(mut channel: Channel) -> Option<Channel> {
    let mut answer = [0; 512];
    channel.look_again();
    // A log server says nothing; what it says all the same is no matter, within a bound.
    for _ in 0..16 {
        match channel.try_read(&mut answer) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return (error.kind() == io::ErrorKind::WouldBlock).then_some(channel),
        }
    }
    None
}

async fn connect(server: &HostPort, tls: Option<&ClientTls>) -> io::Result<Channel> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
    let mut channel = Channel::plain(Socket::Tcp(stream));
    if let Some(tls) = tls {
        channel
            .connect_tls(tls, &server.host, false)
            .await
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(channel)
}

/// One message, with its length before it (RFC 6587, RFC 5425).
fn message(node: &str, note: &str, time_us: u64) -> Vec<u8> {
    let is_name = !node.is_empty() && node.len() <= 255 && node.bytes().all(|byte| byte.is_ascii_graphic());
    let host = if is_name { node } else { "-" };
    let time = rfc3339(time_us);
    let size = note.lines().nth(1).unwrap_or_default();
    let process = std::process::id();
    let text = format!(
        "<{PRIORITY}>1 {time} {host} sealgate {process} checkpoint - checkpoint of the record size={size} {}",
        word(note)
    );
    format!("{} {text}", text.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::notes_in;

    #[test]
    fn a_message_is_framed_and_holds_the_note_as_one_word() {
        let note = "origin\n7\nroot\n\n\u{2014} name AAAA\n";
        let text = String::from_utf8(message("gate 1", note, 1)).unwrap();
        let (length, rest) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), rest.len());
        assert!(rest.starts_with("<109>1 1970-01-01T00:00:00.000001Z - sealgate "), "{rest}");
        assert!(rest.contains(" checkpoint - checkpoint of the record size=7 note="), "{rest}");
        assert_eq!(notes_in(rest), [note]);
        assert!(message("gate-1", note, 1).windows(8).any(|part| part == b" gate-1 "));
    }
}
