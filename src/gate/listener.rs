//! Accepts connections and hands each to the thread that has the fewest.
//!
//! One single-threaded runtime a core; a session stays on its thread, and nothing on its
//! path is shared with another but by atomics.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::records::Records;
use super::worker::Worker;
use super::{Phase, SharedGate, session};
use crate::config::Endpoint;
use crate::transport::{Channel, Peer, Socket};

/// Accepted connections that wait for their thread.
const HANDED_MAX: usize = 256;

/// What a thread takes of a configuration that was read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// Keys and bounds.
    Tools,
    /// What is classified.
    Policy,
}

/// What a thread is handed.
enum Handed {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
    /// The configuration was read again; whoever waits is told when the thread has taken it.
    Renew(Renewal, oneshot::Sender<()>),
}

struct Thread {
    hand: mpsc::Sender<Handed>,
    load: Arc<AtomicUsize>,
    join: JoinHandle<()>,
}

/// The threads that serve sessions.
pub struct Acceptor {
    threads: Vec<Thread>,
}

impl Acceptor {
    /// Starts as many threads as the gate's configuration has.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn start(gate: &SharedGate) -> io::Result<Acceptor> {
        let mut threads = Vec::new();
        for index in 0..gate.regime.load().threads {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (hand, handed) = mpsc::channel(HANDED_MAX);
            let load = Arc::new(AtomicUsize::new(0));
            let (gate, counted) = (Arc::clone(gate), Arc::clone(&load));
            let join = std::thread::Builder::new()
                .name(format!("gate-{index}"))
                .stack_size(crate::statement::STACK_BYTES_MIN)
                .spawn(move || runtime.block_on(serve(gate, handed, counted)))?;
            threads.push(Thread { hand, load, join });
        }
        Ok(Acceptor { threads })
    }

    async fn hand(&self, accepted: io::Result<Handed>) {
        let Some(thread) = self.threads.iter().min_by_key(|thread| thread.load.load(Ordering::Relaxed))
        else {
            return;
        };
        thread.load.fetch_add(1, Ordering::Relaxed);
        let handed = match accepted {
            Ok(handed) => thread.hand.send(handed).await.is_ok(),
            Err(_) => false,
        };
        if !handed {
            thread.load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Has every thread take the gate's configuration as it is now; returns when all have.
    pub async fn renew(&self, renewal: Renewal) {
        for thread in &self.threads {
            let (done, taken) = oneshot::channel();
            if thread.hand.send(Handed::Renew(renewal, done)).await.is_ok() {
                let _ = taken.await;
            }
        }
    }

    /// Waits until every session has ended; the listeners must have ended before.
    pub fn join(self) {
        for thread in self.threads {
            drop(thread.hand);
            if thread.join.join().is_err() {
                tracing::error!("a gate thread panicked");
            }
        }
    }
}

/// A socket that clients connect to. A Unix socket's file goes with it.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens at an endpoint. A socket file that nobody listens at any more is taken over.
    ///
    /// # Errors
    /// The address is in use, or not this machine's; the folder does not exist.
    pub async fn bind(endpoint: &Endpoint, unix_mode: u32) -> io::Result<Listener> {
        match endpoint {
            Endpoint::Tcp(address) => {
                TcpListener::bind((address.host.as_str(), address.port)).await.map(Listener::Tcp)
            }
            Endpoint::Unix { .. } => {
                let file = endpoint.socket_file().unwrap_or_default();
                take_over(&file).await?;
                let listener = UnixListener::bind(&file)?;
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(unix_mode))?;
                Ok(Listener::Unix(listener, file))
            }
        }
    }

    /// Where it listens: an address with the port that the system chose, or none.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<Handed> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Handed::Tcp(stream.into_std()?, peer))
            }
            Listener::Unix(listener, _) => Ok(Handed::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, file) = self {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Removes a socket's file where nobody answers at it. Anything else is left alone.
async fn take_over(file: &std::path::Path) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(file) else { return Ok(()) };
    if !found.file_type().is_socket() || UnixStream::connect(file).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(file)
}

/// Accepts until the gate drains. An accept that fails (too many open files) is tried again.
pub async fn accept(listener: Listener, acceptor: Arc<Acceptor>, gate: SharedGate) {
    let mut phase = gate.phase.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
        };
        match accepted {
            Ok(handed) => acceptor.hand(Ok(handed)).await,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One session of a thread's load, however it ends.
struct Loaded(Arc<AtomicUsize>);

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(gate: SharedGate, mut handed: mpsc::Receiver<Handed>, load: Arc<AtomicUsize>) {
    let workshop = gate.regime.load().workshop();
    let worker = Rc::new(Worker::new(workshop, Records::new(gate.journal.clone())));
    let local = LocalSet::new();
    local
        .run_until(async {
            let ticking = Rc::clone(&worker);
            let ticks = tokio::task::spawn_local(async move { ticking.records.tick().await });
            let mut sessions = tokio::task::JoinSet::new();
            let mut phase = gate.phase.clone();
            loop {
                tokio::select! {
                    changed = phase.changed() => {
                        if changed.is_err() { break }
                        worker.phase.set(*phase.borrow_and_update());
                        worker.changed.notify_waiters();
                    }
                    next = handed.recv() => {
                        let (client, peer) = match next {
                            None => break,
                            Some(Handed::Renew(renewal, done)) => {
                                match renewal {
                                    Renewal::Tools => worker.equip(gate.regime.load().workshop()),
                                    Renewal::Policy => worker.renew(),
                                }
                                let _ = done.send(());
                                continue;
                            }
                            Some(Handed::Tcp(stream, peer)) => {
                                (TcpStream::from_std(stream).map(Socket::Tcp), Peer::Tcp(peer))
                            }
                            Some(Handed::Unix(stream)) => {
                                (UnixStream::from_std(stream).map(Socket::Unix), Peer::Local)
                            }
                        };
                        let (gate, worker) = (Arc::clone(&gate), Rc::clone(&worker));
                        let loaded = Loaded(Arc::clone(&load));
                        sessions.spawn_local(async move {
                            match client {
                                Ok(socket) => {
                                    socket.tune(gate.regime.load().settings.timeouts.vanished);
                                    session::serve(&gate, &worker, Channel::plain(socket), peer).await;
                                }
                                Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
                            }
                            drop(loaded);
                        });
                    }
                    Some(ended) = sessions.join_next() => {
                        if ended.is_err() {
                            tracing::error!("a session panicked; it ended, the others go on");
                        }
                    }
                }
            }
            let cutting = phase.wait_for(|phase| *phase == Phase::Cutting);
            tokio::select! {
                () = async { while sessions.join_next().await.is_some() {} } => {}
                _ = cutting => {}
            }
            worker.phase.set(Phase::Cutting);
            worker.changed.notify_waiters();
            while sessions.join_next().await.is_some() {}
            ticks.abort();
            if worker.records.flush().await.is_err() {
                tracing::error!("records were not taken by the journal");
            }
        })
        .await;
}
