//! Cancel requests: a client holds our secret beside the server's own process id; we hold
//! the server's.
//!
//! A cancel request travels beside the session, so it could arrive late and hit the next
//! statement. While one is under way the session starts nothing new, and one for a session
//! that has nothing under way is not sent at all. Where it stays unknown whether the server has
//! acted on one, the session ends before it starts anything new.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::SharedGate;
use crate::upstream::dial::{DialError, Dialer, Route};
use crate::wire::startup::put_cancel;

/// How long the server may take to act on one cancel request.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where one session's statements run.
#[derive(Clone)]
pub struct Target {
    pub dialer: Arc<Dialer>,
    pub route: Arc<Route>,
    pub process: i32,
    /// The server's secret.
    pub secret: Box<[u8]>,
}

/// What a session and the cancel requests for it tell each other.
#[derive(Default)]
pub struct Cancelling {
    /// The session has something under way.
    busy: AtomicBool,
    requests: AtomicUsize,
    /// One has gone to the server, and nobody waits any more for it to be acted on.
    astray: AtomicBool,
    done: Notify,
}

impl Cancelling {
    /// The session says whether it has something under way.
    pub fn tell(&self, busy: bool) {
        // Only the session writes it, so what it reads is what it wrote.
        if self.busy.load(Ordering::Relaxed) != busy {
            self.busy.store(busy, Ordering::SeqCst);
        }
    }

    /// Is a request on its way to the server?
    pub fn is_underway(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > 0
    }

    /// Could one still reach the server, whenever that may be?
    pub fn is_astray(&self) -> bool {
        self.astray.load(Ordering::SeqCst)
    }

    /// Waits until none is under way.
    pub async fn settled(&self) {
        loop {
            let done = self.done.notified();
            if !self.is_underway() {
                return;
            }
            done.await;
        }
    }
}

/// One request under way, however it ends.
struct Underway<'a> {
    cancelling: &'a Cancelling,
    /// The server has it, or may have it, and has not acted on it yet.
    unanswered: bool,
}

impl<'a> Underway<'a> {
    fn new(cancelling: &'a Cancelling) -> Underway<'a> {
        cancelling.requests.fetch_add(1, Ordering::SeqCst);
        Underway { cancelling, unanswered: false }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if self.unanswered {
            self.cancelling.astray.store(true, Ordering::SeqCst);
        }
        self.cancelling.requests.fetch_sub(1, Ordering::SeqCst);
        self.cancelling.done.notify_waiters();
    }
}

struct Entry {
    ours: Box<[u8]>,
    session: u64,
    target: Target,
    cancelling: Arc<Cancelling>,
}

/// Keys of the open sessions: as many as there are sessions.
#[derive(Default)]
pub struct Cancels {
    // Several servers may use one process id at a time.
    by_process: Mutex<HashMap<i32, Vec<Entry>>>,
}

impl Cancels {
    fn register(&self, entry: Entry) {
        let mut map = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(entry.target.process).or_default().push(entry);
    }

    fn forget(&self, session: u64, process: i32) {
        let mut map = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = map.get_mut(&process) {
            entries.retain(|entry| entry.session != session);
            if entries.is_empty() {
                map.remove(&process);
            }
        }
    }

    /// The session that a client's key means, compared in constant time.
    fn find(&self, process: i32, secret: &[u8]) -> Option<(Target, Arc<Cancelling>)> {
        let map = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for entry in map.get(&process).into_iter().flatten() {
            if bool::from(entry.ours.ct_eq(secret)) {
                found = Some((entry.target.clone(), Arc::clone(&entry.cancelling)));
            }
        }
        found
    }

    /// Serves a client's cancel request, until the server has acted on it.
    pub async fn serve(&self, process: i32, secret: &[u8]) {
        let Some((target, cancelling)) = self.find(process, secret) else { return };
        let mut underway = Underway::new(&cancelling);
        // What came after this look is held back until the request is over.
        if cancelling.busy.load(Ordering::SeqCst) {
            send(&target, &mut underway.unanswered).await;
        }
        drop(underway);
    }
}

/// A session's key, for as long as the session lives.
pub struct Registered {
    gate: SharedGate,
    session: u64,
    target: Target,
    cancelling: Arc<Cancelling>,
}

impl Registered {
    pub fn new(gate: &SharedGate, session: u64, ours: Box<[u8]>, target: Target) -> Registered {
        let cancelling = Arc::new(Cancelling::default());
        let entry = Entry { ours, session, target: target.clone(), cancelling: Arc::clone(&cancelling) };
        gate.cancels.register(entry);
        Registered { gate: SharedGate::clone(gate), session, target, cancelling }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn cancelling(&self) -> &Cancelling {
        &self.cancelling
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.gate.cancels.forget(self.session, self.target.process);
    }
}

/// Sends a cancel request, under TLS where the session is, and waits until the server has
/// closed, so that it cannot hit a later statement. `unanswered` where it may yet do so, also
/// when this is given up.
pub async fn send(target: &Target, unanswered: &mut bool) {
    let sent = timeout(CANCEL_TIMEOUT, async {
        // A secret goes in plain only where it cannot go otherwise.
        let mut reached = Err(DialError::NoneWritable);
        for other in target.dialer.ways_tls_first(&target.route) {
            if reached.is_err() {
                reached = target.dialer.reach(&target.route, *other).await;
            }
        }
        let mut channel = reached.map_err(|error| error.to_string())?;
        let mut packet = Vec::new();
        put_cancel(&mut packet, target.process, &target.secret);
        *unanswered = true;
        channel.write_all(&packet).await.map_err(|error| error.to_string())?;
        // However it closes, it has acted.
        let _ = channel.read_byte().await;
        *unanswered = false;
        Ok::<(), String>(())
    })
    .await;
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error, "a cancel request did not reach the server"),
        Err(_) => tracing::warn!("a cancel request was not answered in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::today;

    async fn target() -> Target {
        let dialer = Dialer::plain("127.0.0.1:1".parse().unwrap());
        let mut routes = dialer.judge(0, today()).await.unwrap();
        Target {
            dialer: Arc::new(dialer),
            route: Arc::new(routes.remove(0)),
            process: 7,
            secret: Box::from([9; 4]),
        }
    }

    #[tokio::test]
    async fn only_the_right_secret_finds_a_session() {
        for ours in [&[1, 2, 3, 4][..], &[5; 32]] {
            let cancels = Cancels::default();
            let cancelling = Arc::new(Cancelling::default());
            cancels.register(Entry { ours: ours.into(), session: 1, target: target().await, cancelling });
            assert!(cancels.find(7, ours).is_some());
            let longer = [ours, &[0]].concat();
            for (process, secret) in [(7, &[9; 4][..]), (8, ours), (7, &ours[..3]), (7, &longer), (7, &[])] {
                assert!(cancels.find(process, secret).is_none());
            }
            cancels.forget(1, 7);
            assert!(cancels.find(7, ours).is_none());
        }
    }

    #[tokio::test]
    async fn a_request_under_way_is_waited_for() {
        let cancelling = Arc::new(Cancelling::default());
        cancelling.settled().await;
        let underway = Underway::new(&cancelling);
        let waiting = tokio::spawn({
            let cancelling = Arc::clone(&cancelling);
            async move { cancelling.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && cancelling.is_underway());
        drop(underway);
        waiting.await.unwrap();
        assert!(!cancelling.is_astray());
        let mut given_up = Underway::new(&cancelling);
        given_up.unanswered = true;
        drop(given_up);
        assert!(!cancelling.is_underway() && cancelling.is_astray());
    }
}
