//! Cancel requests: a client holds our secret beside the server's own process id; we hold
//! the server's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SharedGate;
use crate::wire::compose::put_cancel;

/// How long the server may take to act on one cancel request.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where one session's statements run.
#[derive(Clone)]
pub struct Target {
    pub server: SocketAddr,
    pub process: i32,
    /// The server's secret.
    pub secret: [u8; 4],
}

struct Entry {
    ours: [u8; 4],
    session: u64,
    target: Target,
}

/// Keys of the open sessions: as many as there are sessions.
#[derive(Default)]
pub struct Cancels {
    // Several servers may use one process id at a time.
    by_process: Mutex<HashMap<i32, Vec<Entry>>>,
}

impl Cancels {
    fn register(&self, session: u64, ours: [u8; 4], target: Target) {
        let mut map = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(target.process).or_default().push(Entry { ours, session, target });
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
    pub fn find(&self, process: i32, secret: &[u8]) -> Option<Target> {
        let map = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for entry in map.get(&process).into_iter().flatten() {
            if bool::from(entry.ours.as_slice().ct_eq(secret)) {
                found = Some(entry.target.clone());
            }
        }
        found
    }
}

/// A session's key, for as long as the session lives.
pub struct Registered {
    gate: SharedGate,
    session: u64,
    target: Target,
}

impl Registered {
    pub fn new(gate: &SharedGate, session: u64, ours: [u8; 4], target: Target) -> Registered {
        gate.cancels.register(session, ours, target.clone());
        Registered { gate: SharedGate::clone(gate), session, target }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.gate.cancels.forget(self.session, self.target.process);
    }
}

/// Sends a cancel request and waits until the server has closed, so that it cannot hit a
/// later statement.
pub async fn send(target: &Target) {
    let sent = timeout(CANCEL_TIMEOUT, async {
        let mut stream = TcpStream::connect(target.server).await?;
        let mut packet = Vec::new();
        put_cancel(&mut packet, target.process, target.secret);
        stream.write_all(&packet).await?;
        let mut rest = [0; 1];
        stream.read(&mut rest).await.map(|_| ())
    })
    .await;
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a cancel request did not reach the server"),
        Err(_) => tracing::warn!("a cancel request was not answered in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_finds_a_session() {
        let cancels = Cancels::default();
        let target = Target { server: "127.0.0.1:1".parse().unwrap(), process: 7, secret: [9; 4] };
        cancels.register(1, [1, 2, 3, 4], target);
        assert!(cancels.find(7, &[1, 2, 3, 4]).is_some());
        for (process, secret) in
            [(7, &[9; 4][..]), (8, &[1, 2, 3, 4]), (7, &[1, 2, 3]), (7, &[1, 2, 3, 4, 0])]
        {
            assert!(cancels.find(process, secret).is_none());
        }
        cancels.forget(1, 7);
        assert!(cancels.find(7, &[1, 2, 3, 4]).is_none());
    }
}
