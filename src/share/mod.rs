//! Brings what proxies tell one another to the key-value store of NATS JetStream, and what lies there back.
//!
//! Nothing here knows what an entry means, and nobody waits for it: one thread asks [`Fellows`] what is to be
//! put where, hands it what is heard, and tells it when the store is lost. Whatever is odd ends the connection;
//! the next one hears everything that lies there anew.

mod link;
mod nkey;
mod store;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::config::{HostPort, Secret, ShareProof, ShareSettings};
use crate::transport::blocking;
use link::Link;
#[cfg(any(test, feature = "fuzzing"))]
pub use link::fuzz_nats;
use store::Store;

/// How long the server is listened to before it is looked again what is to be told.
const TURN: Duration = Duration::from_millis(50);
/// What is put before it is listened again.
const PUTS_MAX: usize = 256;
/// How long after a loss the next server is tried: at first, and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether the end has come, while nothing else is done.
const LOOK: Duration = Duration::from_millis(50);

/// In which of the two buckets something lies: what is forgotten in a month, and what is in a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shelf {
    Held,
    Counted,
}

/// Something to be put at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// Its own.
    pub number: u64,
    pub shelf: Shelf,
    pub place: String,
    pub bytes: Vec<u8>,
}

/// Who has something to tell other proxies, and hears them.
pub trait Fellows: Send + 'static {
    /// What is to be put now, at most so many; again until it has been [`Fellows::told`].
    fn tell(&mut self, most: usize) -> Vec<Put>;
    /// It lies there.
    fn told(&mut self, put: &Put);
    /// What lies at a place, whoever has put it there.
    fn hear(&mut self, place: &str, bytes: &[u8]);
    /// Everything that lay there when it was connected has been heard.
    fn settled(&mut self);
    /// Called many times a second, connected or not.
    ///
    /// # Errors
    /// Why the connection is no good, though it stands.
    fn turn(&mut self) -> Result<(), String>;
    /// The store cannot be had; called once for each try.
    fn lost(&mut self, why: &str);
}

/// A server, and how it is verified. None: the connection is in the clear.
struct Server {
    host: HostPort,
    tls: Option<Arc<ClientConfig>>,
}

impl std::ops::Deref for Server {
    type Target = HostPort;

    fn deref(&self) -> &HostPort {
        &self.host
    }
}

/// By what a server lets us in.
enum Proof {
    None,
    Password {
        user: String,
        password: Zeroizing<String>,
    },
    Token(Zeroizing<String>),
    Key {
        seed: Zeroizing<String>,
        /// What the account says of the key.
        token: Option<Zeroizing<String>>,
    },
}

/// The way to the store.
pub struct Access {
    servers: Vec<Server>,
    proof: Proof,
    bucket: String,
}

/// Where the secrets of the configuration come from: none, or why not.
pub type Secrets<'s> = &'s dyn Fn(&Secret) -> Result<Option<Zeroizing<String>>, String>;

impl Access {
    /// With everything read that the settings name.
    ///
    /// # Errors
    /// A secret or a certificate that cannot be used.
    pub fn new(settings: &ShareSettings, secrets: Secrets<'_>) -> Result<Access, String> {
        let read = |source: &Secret| secrets(source)?.ok_or_else(|| "a secret is not set".to_owned());
        let plain = |secret: &Zeroizing<String>| secret.bytes().all(|byte| byte.is_ascii_graphic());
        let proof = match &settings.proof {
            ShareProof::None => Proof::None,
            ShareProof::Password { user, password } => {
                Proof::Password { user: user.clone(), password: read(password)? }
            }
            ShareProof::Token(token) => Proof::Token(read(token)?),
            ShareProof::Key(seed) => {
                let seed = read(seed)?;
                if !nkey::is_seed(&seed) {
                    return Err("nkey is no seed of a user (SU...)".to_owned());
                }
                Proof::Key { seed, token: None }
            }
            ShareProof::Credentials(source) => {
                let text = read(source)?;
                let part = |name: &str| {
                    let (_, rest) = text.split_once(&format!("BEGIN {name}"))?;
                    let line = rest
                        .lines()
                        .map(str::trim)
                        .find(|line| !line.is_empty() && !line.starts_with('-'))?;
                    Some(Zeroizing::new(line.to_owned()))
                };
                let (token, seed) = (part("NATS USER JWT"), part("USER NKEY SEED"));
                let known = seed.filter(|seed| nkey::is_seed(seed)).zip(token.filter(plain));
                let Some((seed, token)) = known else {
                    return Err("creds holds no JWT and seed of a user, as nsc writes them".to_owned());
                };
                Proof::Key { seed, token: Some(token) }
            }
        };
        let secure = settings.servers.iter().any(|(_, tls)| *tls);
        let config = secure.then(|| blocking::client_config(settings.ca.as_deref())).transpose()?;
        let servers = settings
            .servers
            .iter()
            .map(|(host, tls)| Server { host: host.clone(), tls: config.clone().filter(|_| *tls) });
        Ok(Access { servers: servers.collect(), proof, bucket: settings.bucket.clone() })
    }
}

/// The thread.
pub struct ShareThread {
    thread: JoinHandle<()>,
    ends: Arc<AtomicBool>,
}

impl ShareThread {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(access: Access, fellows: impl Fellows) -> io::Result<ShareThread> {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::Builder::new()
            .name("share".to_owned())
            .spawn(move || keep(&access, fellows, &told))?;
        Ok(ShareThread { thread, ends })
    }

    /// Ends it, when it has told what it had to tell, as far as that can be done in a moment.
    pub fn close(self) {
        self.ends.store(true, Ordering::SeqCst);
        if self.thread.join().is_err() {
            tracing::error!("the thread that tells other proxies panicked");
        }
    }
}

/// Connects, again and again, to one server after the other.
fn keep(access: &Access, mut fellows: impl Fellows, ends: &AtomicBool) {
    let mut pause = PAUSE_MIN;
    for server in (0..access.servers.len()).cycle() {
        let mut settled = false;
        match serve(access, server, &mut fellows, ends, &mut settled) {
            Ok(()) => return,
            Err(why) => fellows.lost(&why),
        }
        pause = if settled { PAUSE_MIN } else { pause.saturating_mul(2).min(PAUSE_MAX) };
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if ends.load(Ordering::SeqCst) {
                return;
            }
            // There is no connection that could be no good.
            let _ = fellows.turn();
            std::thread::sleep(LOOK);
        }
    }
}

/// Until the end, or until something is wrong.
fn serve(
    access: &Access,
    server: usize,
    fellows: &mut impl Fellows,
    ends: &AtomicBool,
    settled: &mut bool,
) -> Result<(), String> {
    let link = Link::open(access, server)?;
    let mut store = Store::open(link, &access.bucket, fellows)?;
    loop {
        let over = ends.load(Ordering::SeqCst);
        let puts = fellows.tell(PUTS_MAX);
        let full = puts.len() >= PUTS_MAX;
        if !puts.is_empty() {
            store.put(&puts, fellows)?;
        }
        if over && !full {
            return Ok(());
        }
        if !full {
            store.listen(Instant::now() + TURN, fellows)?;
        }
        if !*settled && store.is_settled() {
            *settled = true;
            fellows.settled();
        }
        fellows.turn()?;
    }
}
