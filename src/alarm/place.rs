//! One receiver: how it is reached, what waits for it, and how that goes.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::http::{self, Post};
use super::spool::{Added, Spool};
use super::{Secrets, Undelivered, mail, now_ms, syslog};
use crate::config::{AlertKind, AlertPlace, HostPort, Mail, MailProtection, Secret};
use crate::transport::blocking as secure;
use crate::watch::Notice;

/// How long a receiver that could not be reached is left alone: at first, and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A receiver, ready to be told.
pub struct Place {
    name: String,
    critical_only: bool,
    node: String,
    way: Way,
}

enum Way {
    Webhook { post: Post, secret: Option<Zeroizing<String>> },
    Alertmanager(Post),
    Syslog { address: HostPort, tls: Option<Arc<ClientConfig>> },
    Mail { mail: Mail, tls: Option<Arc<ClientConfig>>, password: Option<Zeroizing<String>> },
}

fn needed(secret: &Secret, secrets: Secrets<'_>) -> Result<Zeroizing<String>, String> {
    let found = secrets(secret)?.filter(|text| !text.is_empty());
    found.ok_or_else(|| match secret {
        Secret::Env(name) => format!("the variable {name} is not set"),
        Secret::File(path) => format!("{} is empty", path.display()),
    })
}

impl Place {
    /// Reads what the entry names.
    ///
    /// # Errors
    /// What cannot be used.
    pub(super) fn new(place: &AlertPlace, node: &str, secrets: Secrets<'_>) -> Result<Place, String> {
        let ca: Option<&Path> = place.ca.as_deref();
        let read =
            |secret: &Option<Secret>| secret.as_ref().map(|secret| needed(secret, secrets)).transpose();
        let way = match &place.kind {
            AlertKind::Webhook { url, secret, token } => Way::Webhook {
                post: Post::new(url.clone(), ca, header(read(token)?)?)?,
                secret: read(secret)?,
            },
            AlertKind::Alertmanager { url, token } => {
                let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
                Way::Alertmanager(Post::new(url, ca, header(read(token)?)?)?)
            }
            AlertKind::Syslog { address, tls } => {
                let tls = tls.then(|| secure::client_config(ca)).transpose()?;
                Way::Syslog { address: address.clone(), tls }
            }
            AlertKind::Mail(mail) => {
                let secured = mail.protection != MailProtection::None;
                let tls = secured.then(|| secure::client_config(ca)).transpose()?;
                let password = mail.login.as_ref().map(|(_, secret)| needed(secret, secrets)).transpose()?;
                Way::Mail { mail: mail.clone(), tls, password }
            }
        };
        let (name, node) = (place.name.clone(), node.to_owned());
        Ok(Place { name, critical_only: place.critical_only, node, way })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it now, once. Blocks.
    ///
    /// # Errors
    /// It was not told.
    pub fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        let (node, now_ms) = (self.node.as_str(), now_ms());
        match &self.way {
            Way::Webhook { post, secret } => {
                http::webhook(post, secret.as_deref().map(String::as_str), node, notice, now_ms)
            }
            Way::Alertmanager(post) => http::alertmanager(post, node, notice, now_ms),
            Way::Syslog { address, tls } => syslog::send(address, tls.as_ref(), node, notice),
            Way::Mail { mail, tls, password } => {
                let password = password.as_deref().map(String::as_str);
                mail::send(mail, tls.as_ref(), password, node, notice, now_ms)
            }
        }
    }
}

/// What may stand in a header.
fn header(token: Option<Zeroizing<String>>) -> Result<Option<Zeroizing<String>>, String> {
    match token {
        Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("the token holds what no header can hold".to_owned())
        }
        token => Ok(token),
    }
}

/// A receiver and what waits for it.
pub(super) struct Standing {
    place: Place,
    state: Mutex<State>,
    wake: Condvar,
    delivered: Counter,
    failed: Counter,
    dropped: Counter,
    waiting: Gauge,
}

struct State {
    spool: Spool,
    ends: bool,
    /// Since when it could not be told, and why.
    failing: Option<(Instant, String)>,
}

impl Standing {
    pub(super) fn new(place: Place, spool: Spool) -> Standing {
        let counter = |result: &'static str| {
            let counter = metrics::counter!(
                "sealgate_alert_deliveries_total", "receiver" => place.name.clone(), "result" => result
            );
            counter.absolute(0);
            counter
        };
        let (delivered, failed, dropped) = (counter("delivered"), counter("failed"), counter("dropped"));
        let waiting = metrics::gauge!("sealgate_alerts_waiting", "receiver" => place.name.clone());
        waiting.set(count(spool.len()));
        let state = Mutex::new(State { spool, ends: false, failing: None });
        Standing { place, state, wake: Condvar::new(), delivered, failed, dropped, waiting }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what is to be told there.
    pub(super) fn spool(&self, notice: &Notice) {
        if self.place.critical_only && notice.severity != "critical" {
            return;
        }
        let mut state = self.state();
        if state.spool.add(notice) == Added::Dropped {
            self.dropped.increment(1);
            tracing::error!(
                receiver = self.place.name,
                incident = notice.incident,
                "an alert was dropped: too many wait"
            );
        }
        self.waiting.set(count(state.spool.len()));
        drop(state);
        self.wake.notify_all();
    }

    /// Nothing more is added: what waits is tried once more.
    pub(super) fn end(&self) {
        self.state().ends = true;
        self.wake.notify_all();
    }

    /// Since when it is behind, and why. None: it is not.
    pub(super) fn behind(&self) -> Option<String> {
        let state = self.state();
        let (since, why) = state.failing.as_ref()?;
        let (name, seconds, waiting) = (&self.place.name, since.elapsed().as_secs(), state.spool.len());
        Some(format!("alerts do not reach {name} ({waiting} wait, {seconds} s: {why})"))
    }

    /// Delivers what waits, until the end.
    pub(super) fn deliver(&self) {
        let mut pause = PAUSE_MIN;
        let mut state = self.state();
        loop {
            let Some(notice) = state.spool.first() else {
                if state.ends {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let told = self.place.tell(&notice);
            state = self.state();
            match told {
                Ok(()) => {
                    state.spool.remove_first();
                    self.delivered.increment(1);
                    if state.failing.take().is_some() {
                        tracing::info!(receiver = self.place.name, "alerts reach it again");
                    }
                    pause = PAUSE_MIN;
                }
                Err(Undelivered { reason, for_good: true }) => {
                    state.spool.remove_first();
                    self.dropped.increment(1);
                    tracing::error!(
                        receiver = self.place.name,
                        incident = notice.incident,
                        reason,
                        "an alert was refused"
                    );
                }
                Err(Undelivered { reason, for_good: false }) => {
                    state.spool.put_back();
                    self.failed.increment(1);
                    if state.failing.is_none() {
                        tracing::error!(receiver = self.place.name, reason, "alerts do not reach it");
                    }
                    let since = state.failing.take().map_or_else(Instant::now, |(since, _)| since);
                    state.failing = Some((since, reason));
                    if state.ends {
                        return;
                    }
                    state = self.rest(state, pause);
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
            self.waiting.set(count(state.spool.len()));
        }
    }

    /// Until it may be tried again, or the end.
    fn rest<'s>(&'s self, state: MutexGuard<'s, State>, pause: Duration) -> MutexGuard<'s, State> {
        let rested = self.wake.wait_timeout_while(state, pause, |state| !state.ends);
        rested.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn count(waiting: usize) -> f64 {
    f64::from(u32::try_from(waiting).unwrap_or(u32::MAX))
}
