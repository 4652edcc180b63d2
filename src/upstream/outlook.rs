//! What the looks at the hosts have found: can sessions be served, and if not, why? Whoever asks has
//! a look made where the last one is old, and waits for it only so long. What has changed is in the
//! log: which server takes writes, and that none does any more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::config::Endpoint;

/// A finding of this age is as good as a new one.
const FRESH: Duration = Duration::from_secs(1);
/// How long whoever asks waits for a new one.
const PATIENCE: Duration = Duration::from_secs(3);

/// One finding about one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nobody has looked yet.
    Nothing,
    /// It takes writes.
    Writable,
    /// It answers; whether it takes writes is not known.
    Answers,
    Standby,
    /// It does not let the service account in, without which nobody is served.
    NotLetIn(String),
    Down(String),
}

/// The findings about all hosts, by their place in the configuration.
pub struct Outlook {
    state: Mutex<State>,
    /// Told by whoever wants a look, and when one was made.
    asked: Notify,
    looked: Notify,
}

struct State {
    found: Vec<(Found, Option<Instant>)>,
    /// The last one that took writes. None: none has yet.
    serving: Option<usize>,
    /// That none does was told.
    lost: bool,
}

impl Outlook {
    #[must_use]
    pub fn new(count: usize) -> Outlook {
        let state = State { found: vec![(Found::Nothing, None); count], serving: None, lost: false };
        Outlook { state: Mutex::new(state), asked: Notify::new(), looked: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was found.
    pub(super) fn note(&self, hosts: &[Endpoint], index: usize, found: Found, now: Instant) {
        let mut state = self.state();
        let Some(host) = hosts.get(index) else { return };
        let writable = if found == Found::Writable { 1.0 } else { 0.0 };
        metrics::gauge!("sealgate_upstream_writable", "host" => host.to_string()).set(writable);
        if let Some(entry) = state.found.get_mut(index) {
            if std::mem::discriminant(&entry.0) != std::mem::discriminant(&found) {
                tell(host, &found);
            }
            *entry = (found, Some(now));
        }
        state.tell_serving(hosts);
        drop(state);
        self.looked.notify_waiters();
    }

    /// Returns when somebody wants a look.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// May the gate be called ready?
    ///
    /// # Errors
    /// No host serves: what each is.
    pub async fn readiness(&self, hosts: &[Endpoint]) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let looked = self.looked.notified();
            tokio::pin!(looked);
            looked.as_mut().enable();
            if self.state().is_fresh(Instant::now()) {
                break;
            }
            self.asked.notify_one();
            if timeout_at(until.into(), looked).await.is_err() {
                break;
            }
        }
        self.state().verdict(hosts, Instant::now())
    }
}

impl State {
    /// Does one host serve, or is nothing old?
    fn is_fresh(&self, now: Instant) -> bool {
        let fresh = |at: &Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH);
        self.found.iter().any(|(found, at)| serves(found) && fresh(at))
            || self.found.iter().all(|(_, at)| fresh(at))
    }

    fn verdict(&self, hosts: &[Endpoint], now: Instant) -> Result<(), String> {
        let mut why = Vec::new();
        for (host, (found, at)) in hosts.iter().zip(&self.found) {
            let age = at.map(|at| now.saturating_duration_since(at));
            if age.is_none_or(|age| age > FRESH + PATIENCE) {
                why.push(format!("{host} does not answer"));
                continue;
            }
            match found {
                Found::Writable | Found::Answers => return Ok(()),
                Found::Nothing => why.push(format!("{host} was not looked at yet")),
                Found::Standby => why.push(format!("{host} is a standby, which takes no writes")),
                Found::NotLetIn(cause) => {
                    why.push(format!("{host} does not let the service account in: {cause}"));
                }
                Found::Down(cause) => why.push(cause.clone()),
            }
        }
        Err(why.join("; "))
    }

    /// A failover is told, and that there is nowhere to go.
    fn tell_serving(&mut self, hosts: &[Endpoint]) {
        let name = |index: usize| hosts.get(index).map_or_else(String::new, ToString::to_string);
        match self.found.iter().position(|(found, _)| serves(found)) {
            Some(now) => {
                match self.serving {
                    Some(before)
                        if before != now
                            && !self.found.get(before).is_some_and(|(found, _)| serves(found)) =>
                    {
                        tracing::warn!(
                            from = name(before),
                            to = name(now),
                            "failover: another server takes writes now"
                        );
                        self.serving = Some(now);
                    }
                    Some(_) => {}
                    None => self.serving = Some(now),
                }
                if std::mem::take(&mut self.lost) {
                    tracing::info!(host = name(now), "a server takes writes again");
                }
            }
            None if !self.lost && self.found.iter().all(|(found, _)| *found != Found::Nothing) => {
                self.lost = true;
                tracing::error!("no server takes writes: new sessions are refused, or can only read");
            }
            None => {}
        }
    }
}

fn serves(found: &Found) -> bool {
    matches!(found, Found::Writable | Found::Answers)
}

fn tell(host: &Endpoint, found: &Found) {
    match found {
        Found::Nothing => {}
        Found::Writable => tracing::info!(%host, "the server takes writes"),
        Found::Answers => tracing::info!(%host, "the server answers"),
        Found::Standby => tracing::warn!(%host, "the server is a standby: it takes no writes"),
        // Whoever was not let in has said so.
        Found::NotLetIn(cause) => tracing::debug!(%host, cause, "the service account is not let in"),
        Found::Down(cause) => tracing::warn!(%host, cause, "the server cannot be used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    fn hosts() -> Vec<Endpoint> {
        ["one", "two"].map(|host| Endpoint::Tcp(HostPort { host: host.to_owned(), port: 5432 })).into()
    }

    #[test]
    fn ready_is_what_has_a_server_that_takes_writes_and_was_looked_at() {
        let (down, refused) = (Found::Down("one: refused".into()), Found::NotLetIn("28P01".into()));
        for (one, two, answer) in [
            (Found::Writable, down.clone(), Ok(())),
            (down.clone(), Found::Writable, Ok(())),
            (Found::Standby, Found::Answers, Ok(())),
            (
                Found::Standby,
                Found::Standby,
                Err(
                    "one:5432 is a standby, which takes no writes; two:5432 is a standby, which takes no writes",
                ),
            ),
            (down.clone(), Found::Standby, Err("one: refused; two:5432 is a standby, which takes no writes")),
            (
                refused,
                Found::Nothing,
                Err("one:5432 does not let the service account in: 28P01; two:5432 was not looked at yet"),
            ),
        ] {
            let (outlook, now) = (Outlook::new(2), Instant::now());
            outlook.note(&hosts(), 0, one, now);
            outlook.note(&hosts(), 1, two, now);
            assert_eq!(outlook.state().verdict(&hosts(), now), answer.map_err(str::to_owned));
            let late = outlook.state().verdict(&hosts(), now + FRESH + PATIENCE + FRESH);
            assert_eq!(late, Err("one:5432 does not answer; two:5432 does not answer".to_owned()));
        }
    }

    #[test]
    fn a_failover_is_one_from_a_server_that_takes_no_writes_any_more() {
        let (outlook, now) = (Outlook::new(2), Instant::now());
        let note = |index, found| outlook.note(&hosts(), index, found, now);
        let state = || {
            let state = outlook.state();
            (state.serving, state.lost)
        };
        note(1, Found::Writable);
        assert_eq!(state(), (Some(1), false));
        note(0, Found::Writable);
        assert_eq!(state(), (Some(1), false), "both serve");
        note(1, Found::Standby);
        assert_eq!(state(), (Some(0), false));
        note(0, Found::Down(String::new()));
        assert_eq!(state(), (Some(0), true));
        note(1, Found::Writable);
        assert_eq!(state(), (Some(1), false));
    }
}
