//! Accepts connections and hands each to the thread that has the fewest.
//!
//! One single-threaded runtime a core; a session stays on its thread, and nothing on its
//! path is shared with another but by atomics.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::records::Records;
use super::worker::Worker;
use super::{SharedGate, session};
use crate::pipeline::Workshop;
use crate::transport::{Channel, Peer, Socket};

/// Accepted connections that wait for their thread.
const HANDED_MAX: usize = 256;

struct Thread {
    hand: mpsc::Sender<(std::net::TcpStream, SocketAddr)>,
    load: Arc<AtomicUsize>,
    join: JoinHandle<()>,
}

/// The threads that serve sessions.
pub struct Acceptor {
    threads: Vec<Thread>,
}

impl Acceptor {
    /// Starts one thread for each workshop.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn start(
        gate: &SharedGate,
        workshops: Vec<Box<dyn FnOnce() -> Workshop + Send>>,
    ) -> std::io::Result<Acceptor> {
        let mut threads = Vec::new();
        for (index, workshop) in workshops.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (hand, handed) = mpsc::channel(HANDED_MAX);
            let load = Arc::new(AtomicUsize::new(0));
            let (gate, counted) = (Arc::clone(gate), Arc::clone(&load));
            let join = std::thread::Builder::new()
                .name(format!("gate-{index}"))
                .stack_size(crate::statement::STACK_BYTES_MIN)
                .spawn(move || runtime.block_on(serve(gate, workshop(), handed, counted)))?;
            threads.push(Thread { hand, load, join });
        }
        Ok(Acceptor { threads })
    }

    async fn hand(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(thread) = self.threads.iter().min_by_key(|thread| thread.load.load(Ordering::Relaxed))
        else {
            return;
        };
        thread.load.fetch_add(1, Ordering::Relaxed);
        let handed = match stream.into_std() {
            Ok(stream) => thread.hand.send((stream, peer)).await.is_ok(),
            Err(_) => false,
        };
        if !handed {
            thread.load.fetch_sub(1, Ordering::Relaxed);
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

/// Accepts until the gate drains. An accept that fails (too many open files) is tried again.
pub async fn accept(listener: TcpListener, acceptor: Arc<Acceptor>, gate: SharedGate) {
    let mut draining = gate.draining.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => acceptor.hand(stream, peer).await,
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

async fn serve(
    gate: SharedGate,
    workshop: Workshop,
    mut handed: mpsc::Receiver<(std::net::TcpStream, SocketAddr)>,
    load: Arc<AtomicUsize>,
) {
    let worker = Rc::new(Worker::new(workshop, Records::new(gate.journal.clone())));
    let local = LocalSet::new();
    local
        .run_until(async {
            let ticking = Rc::clone(&worker);
            let ticks = tokio::task::spawn_local(async move { ticking.records.tick().await });
            let mut sessions = tokio::task::JoinSet::new();
            let mut draining = gate.draining.clone();
            loop {
                tokio::select! {
                    _ = draining.wait_for(|draining| *draining), if !worker.draining.get() => {
                        worker.draining.set(true);
                        worker.drain.notify_waiters();
                    }
                    next = handed.recv() => {
                        let Some((stream, peer)) = next else { break };
                        let (gate, worker) = (Arc::clone(&gate), Rc::clone(&worker));
                        let loaded = Loaded(Arc::clone(&load));
                        sessions.spawn_local(async move {
                            match TcpStream::from_std(stream) {
                                Ok(stream) => {
                                    let socket = Socket::Tcp(stream);
                                    socket.tune();
                                    let client = Channel::plain(socket);
                                    session::serve(&gate, &worker, client, Peer::Tcp(peer)).await;
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
            while sessions.join_next().await.is_some() {}
            ticks.abort();
            if worker.records.flush().await.is_err() {
                tracing::error!("records were not taken by the journal");
            }
        })
        .await;
}
