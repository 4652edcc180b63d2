//! Accepts connections and hands each to the thread that has the fewest.
//!
//! One single-threaded runtime a core; a session stays on its thread, and nothing on its
//! path is shared with another but by atomics.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket as Unlistening, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use super::records::Records;
use super::worker::Worker;
use super::{Phase, SharedGate, session};
use crate::audit::{LoginRecord, Record, Who};
use crate::config::Endpoint;
use crate::transport::{Channel, Peer, Socket};

/// Connections to a Unix socket that wait to be accepted.
const BACKLOG: i32 = 1024;

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
            let (hand, handed) = mpsc::channel(HANDED_MAX);
            let (made, runtime_made) = std::sync::mpsc::sync_channel(1);
            let load = Arc::new(AtomicUsize::new(0));
            let (gate, counted) = (Arc::clone(gate), Arc::clone(&load));
            let join = std::thread::Builder::new()
                .name(format!("gate-{index}"))
                .stack_size(crate::statement::STACK_BYTES_MIN)
                .spawn(move || {
                    // Of the threads that judge long texts.
                    let stack = crate::statement::STACK_BYTES_MIN;
                    let mut builder = Builder::new_current_thread();
                    let builder = builder.enable_all().thread_stack_size(stack);
                    match builder.build_local(LocalOptions::default()) {
                        Ok(runtime) => {
                            let _ = made.send(Ok(()));
                            runtime.block_on(serve(gate, handed, counted));
                        }
                        Err(error) => {
                            let _ = made.send(Err(error));
                        }
                    }
                })?;
            runtime_made.recv().map_err(io::Error::other)??;
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

/// A socket that clients connect to.
pub enum Listener {
    Tcp(TcpListener),
    Unix(SocketFile, UnixListener),
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
                let listener = listen(bind_closed(&file, unix_mode)?)?;
                Ok(Listener::Unix(SocketFile::new(file)?, listener))
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
            Listener::Unix(_, listener) => Ok(Handed::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

/// The file of a Unix socket, which goes with it: unless another has been put in its place.
pub struct SocketFile {
    path: PathBuf,
    /// Nobody else gets it for as long as the socket lives.
    inode: u64,
}

impl SocketFile {
    fn new(path: PathBuf) -> io::Result<SocketFile> {
        let inode = std::fs::symlink_metadata(&path)?.ino();
        Ok(SocketFile { path, inode })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket's file where certainly nobody listens at it. Anything else is left alone.
async fn take_over(file: &Path) -> io::Result<()> {
    let in_use = |what: String| Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    let Ok(found) = std::fs::symlink_metadata(file) else { return Ok(()) };
    if !found.file_type().is_socket() {
        let what = format!("{} is there and is no socket", file.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    match UnixStream::connect(file).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(file),
        Ok(_) => in_use(format!("another process listens at {}", file.display())),
        // It may have more clients than it can take, or forbid us to connect.
        Err(error) => in_use(format!("another process may listen at {}: {error}", file.display())),
    }
}

/// A Unix socket with its file. Nobody can connect before [`listen`], and the file has its
/// permissions by then: it was made with those that the umask left it.
fn bind_closed(file: &Path, mode: u32) -> io::Result<Unlistening> {
    let socket = Unlistening::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(file)?)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode))?;
    Ok(socket)
}

fn listen(socket: Unlistening) -> io::Result<UnixListener> {
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
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
    let worker = Rc::new(Worker::new(
        workshop,
        Records::new(gate.journal.clone(), Arc::clone(&gate.alarm), gate.vigil.clone()),
    ));
    let ticking = Rc::clone(&worker);
    let serving = tokio::task::spawn_local(async move { ticking.records.serve().await });
    let mut sessions = tokio::task::JoinSet::new();
    let mut phase = gate.phase.clone();
    loop {
        tokio::select! {
            changed = phase.changed() => {
                if changed.is_err() { break }
                let phase = *phase.borrow_and_update();
                worker.enter(phase);
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
    worker.enter(Phase::Cutting);
    while sessions.join_next().await.is_some() {}
    let untold = worker.failures.take_untold();
    if untold > 0 {
        let who = Arc::new(Who::sealgate());
        let login = LoginRecord { who, sqlstate: *b"00000", rule: "gate", untold };
        worker.records.leave(Record::Login(login)).await;
    }
    worker.records.close();
    if serving.await.is_err() {
        tracing::error!("records were not taken by the journal");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder =
                std::env::temp_dir().join(format!("sealgate-listener-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(file: &Path) -> u32 {
        std::fs::symlink_metadata(file).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn nobody_can_connect_to_a_unix_socket_before_its_file_has_its_permissions() {
        let folder = Folder::new("modes");
        for wanted in [0o700, 0o777, 0o620] {
            let file = folder.0.join(format!("{wanted:o}"));
            let socket = bind_closed(&file, wanted).unwrap();
            assert_eq!(mode(&file), wanted);
            let early = UnixStream::connect(&file).await.map_err(|error| error.kind());
            assert_eq!(early.err(), Some(io::ErrorKind::ConnectionRefused));
            let listener = listen(socket).unwrap();
            let (client, served) = tokio::join!(UnixStream::connect(&file), listener.accept());
            assert!(client.is_ok() && served.is_ok());
        }
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_at_is_taken_over() {
        let folder = Folder::new("stale");
        let file = folder.0.join(".s.PGSQL.6432");
        let endpoint = Endpoint::Unix { folder: folder.0.clone(), port: 6432 };
        let refused = async || match Listener::bind(&endpoint, 0o777).await {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        std::fs::write(&file, "kept").unwrap();
        assert!(refused().await.contains("is no socket"));
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        std::fs::remove_file(&file).unwrap();

        let live = bind_closed(&file, 0o777).unwrap();
        live.listen(0).unwrap();
        let mut waiting = Vec::new();
        assert!(refused().await.contains("another process listens at"));
        // One that has no room for further clients is no less alive.
        let full = loop {
            match UnixStream::connect(&file).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(refused().await.contains("another process may listen at"));
        assert!(file.exists());

        drop((live, waiting));
        assert!(file.exists(), "a socket's file stays behind where its process was killed");
        let listener = Listener::bind(&endpoint, 0o750).await.unwrap();
        assert_eq!(mode(&file), 0o750);
        UnixStream::connect(&file).await.unwrap();
        // Somebody took it away and another began: its file is not ours to remove.
        std::fs::remove_file(&file).unwrap();
        let other = Listener::bind(&endpoint, 0o777).await.unwrap();
        drop(listener);
        UnixStream::connect(&file).await.unwrap();
        drop(other);
        assert!(!file.exists());
    }
}
