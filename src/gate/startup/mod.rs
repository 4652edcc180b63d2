//! From accept to ReadyForQuery: negotiation, residency, dial, login.

mod call;
mod failure;
mod negotiate;
mod prove;
mod scram;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use failure::Failure;
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::{Admitted, OfUser};
use super::border::{Border, is_physical, replication};
use super::cancel::{Registered, Target};
use super::flow::FAREWELL;
use super::unread::unread;
use super::worker::Worker;
use super::{Regime, SharedGate, today};
use crate::alarm::now_ms;
use crate::audit::FieldUse;
use crate::login::{Claim, gives_token};
use crate::pipeline::{Session, Walsender};
use crate::policy::Refusal;
use crate::store::catalog::Stay;
use crate::transport::{Channel, Peer};
use crate::wire::compose::{ErrorText, put_backend_key, put_error, put_negotiate};
use crate::wire::startup::{self, Request, Start};

/// Longest name of a database or a user, in bytes (`NAMEDATALEN - 1`); the server cuts
/// longer ones.
const NAME_BYTES_MAX: usize = 63;

/// Length of our cancel keys in protocol 3.0 and from 3.2 on, in bytes.
const KEY_BYTES: usize = 4;
const LONG_KEY_BYTES: usize = 32;

/// A session that is ready for its first query.
pub struct Ready {
    pub server: Channel,
    pub session: Session,
    pub cancel: Option<Registered>,
    pub admitted: (Admitted, OfUser),
    /// Bytes of the client that came early, and what it must still be sent.
    pub early: Vec<u8>,
    pub server_early: Vec<u8>,
    /// Can SQL reach it?
    pub judges: bool,
    /// Keeps its catalog up to date. None where nothing is classified.
    pub stay: Option<Stay>,
    /// Of a walsender.
    pub border: Option<Border>,
}

/// How a startup ended without a session.
pub enum Over {
    /// The peer closed, or was served (a cancel request).
    Done,
    /// The client has been told by the server's own error.
    Told { sqlstate: [u8; 5] },
    /// The client is told this, as FATAL. `reason`: of a refusal, its word in the record.
    Fatal { sqlstate: &'static str, message: String, detail: String, hint: String, reason: &'static str },
}

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Over {
        Over::Done
    }
}

impl From<Refusal> for Over {
    fn from(refusal: Refusal) -> Over {
        metrics::counter!("sealgate_refusals_total", "reason" => refusal.reason).increment(1);
        Over::Fatal {
            sqlstate: refusal.sqlstate,
            message: refusal.message.to_owned(),
            detail: refusal.detail,
            hint: refusal.hint,
            reason: refusal.reason,
        }
    }
}

/// A FATAL error without detail.
pub fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Over {
    Over::Fatal { sqlstate, message: message.into(), detail: String::new(), hint: String::new(), reason: "" }
}

/// One whose cause is for the operator alone.
pub fn fatal_logged(sqlstate: &'static str, message: &str) -> Over {
    let hint = "The log of Sealgate names the cause.".to_owned();
    Over::Fatal { sqlstate, message: message.to_owned(), detail: String::new(), hint, reason: "" }
}

/// Writes the FATAL error that ends a startup.
pub async fn tell(client: &mut Channel, over: Over) {
    let Over::Fatal { sqlstate, message, detail, hint, reason: _ } = over else { return };
    tracing::info!(sqlstate, message, detail, "a startup was refused");
    let mut out = Vec::new();
    let optional = |text: &'_ String| (!text.is_empty()).then(|| text.clone());
    put_error(
        &mut out,
        ErrorText {
            severity: "FATAL",
            sqlstate,
            message: &message,
            detail: optional(&detail).as_deref(),
            hint: optional(&hint).as_deref(),
        },
    );
    let _ = timeout(FAREWELL, client.write_all(&out)).await;
}

/// Brings one connection from accept to its first ReadyForQuery. Where it fails after the client
/// has said who it is, that stands in the record; so does that it has not come to an end by `deadline`.
///
/// # Errors
/// See [`Over`].
pub async fn start(
    gate: &SharedGate,
    regime: &Arc<Regime>,
    worker: &Worker,
    client: &mut Channel,
    peer: Peer,
    deadline: Instant,
) -> Result<Box<Ready>, Over> {
    let negotiated = timeout_at(deadline, negotiate::negotiate(gate, regime, client, peer)).await;
    let Ok(negotiated) = negotiated else {
        tracing::info!(client = %peer, "a connection did not begin a login in time");
        return Err(Over::Done);
    };
    let (packet, incoming) = negotiated?;
    let Ok(Request::Start(start)) = startup::read(&packet) else { return Err(Over::Done) };
    let number = gate.next_session.fetch_add(1, Ordering::Relaxed);
    let region = regime.dialer.residency().region_name(peer.ip(), today());
    let claim = Claim::new(&start, peer.to_string().into(), region, number);
    let failure = Failure::of(&claim);
    let arrival = Arrival { gate, regime, worker, client, peer, start: &start, claim, incoming };
    let entered = timeout_at(deadline, arrival.enter()).await;
    let entered =
        entered.unwrap_or_else(|_| Err(fatal("57014", "sealgate: the login was not finished in time")));
    match entered {
        Ok(ready) => Ok(ready),
        Err(over) => {
            failure.note(gate, worker, &over).await;
            Err(over)
        }
    }
}

/// A client that has said who it is.
struct Arrival<'a> {
    gate: &'a SharedGate,
    regime: &'a Arc<Regime>,
    worker: &'a Worker,
    client: &'a mut Channel,
    peer: Peer,
    start: &'a Start<'a>,
    claim: Claim,
    incoming: negotiate::Incoming,
}

impl Arrival<'_> {
    async fn enter(self) -> Result<Box<Ready>, Over> {
        let Arrival { gate, regime, worker, client, peer, start, claim, incoming } = self;
        negotiate::require_tls(regime, client, peer)?;
        let admitted = Admitted::new(gate, regime)
            .ok_or_else(|| fatal("53300", "sealgate: sorry, too many clients already"))?;
        let border = cross_border(regime, start, &claim, peer)?;
        check_names(regime, start)?;
        let claim = prove::certificate(regime, client, start, claim)?;
        let user = Arc::clone(&claim.user);
        let greeting = negotiate_version(start);
        let login = prove::Login { gate, regime, start, claim, client, incoming, greeting };
        let prove::Proven { mut called, prelude, mut session, incoming, mut greeting } =
            login.prove().await?;
        if gate.roster.is_locked(&user, now_ms()) {
            return Err(Refusal::locked().into());
        }
        let of_user = OfUser::new(gate, regime, &user)
            .ok_or_else(|| fatal("53300", "sealgate: too many connections for this user"))?;
        let judges = !is_physical(start);
        let stay = if judges { session_view(gate, worker, &mut session).await? } else { None };
        if border.is_some() && gate.journal.is_some() {
            session.replicates(walsender(gate, &session, judges));
        }
        let cancel = prelude.key.map(|(process, secret)| {
            let ours = secret_key(start.minor_spoken());
            put_backend_key(&mut greeting, process, &ours);
            let (dialer, route) = (Arc::clone(&regime.dialer), Arc::clone(&called.route));
            let target = Target { dialer, route, process, secret };
            Registered::new(gate, session.who().session, ours, target)
        });
        greeting.extend_from_slice(&prelude.ready);
        client.write_all(&greeting).await?;
        let server_early = std::mem::take(&mut called.incoming.bytes);
        Ok(Box::new(Ready {
            server: called.server,
            session,
            cancel,
            admitted: (admitted, of_user),
            early: incoming.into_rest(),
            server_early,
            judges,
            stay,
            border,
        }))
    }
}

/// May this peer have what it asks for? None: it does not ask to become a walsender.
fn cross_border(
    regime: &Arc<Regime>,
    start: &Start<'_>,
    claim: &Claim,
    peer: Peer,
) -> Result<Option<Border>, Over> {
    Border::cross(regime, replication(start), peer.ip()).map_err(|refusal| {
        tracing::warn!(client = %claim.client, region = %claim.region, "a walsender was refused");
        match Over::from(refusal) {
            Over::Fatal { sqlstate, message, detail, hint, reason: _ } => {
                Over::Fatal { sqlstate, message, detail, hint, reason: "replication" }
            }
            over @ (Over::Done | Over::Told { .. }) => over,
        }
    })
}

/// What a walsender can be sent of what the policy names.
fn walsender(gate: &SharedGate, session: &Session, has_database: bool) -> Walsender {
    let fields = &gate.regime.load().settings.policy.fields;
    let database = &session.who().database;
    let own = fields.iter().filter(|entry| entry.is_of(database));
    Walsender {
        has_database,
        own: own.map(|entry| FieldUse::of(&entry.field)).collect(),
        cluster: fields.iter().map(|entry| FieldUse::of(&entry.field)).collect(),
    }
}

/// The one NegotiateProtocolVersion, before authentication: where something was asked for
/// that is not spoken here. Empty where nothing was.
fn negotiate_version(start: &Start<'_>) -> Vec<u8> {
    let extensions: Vec<&[u8]> = start.extensions().collect();
    let mut out = Vec::new();
    if start.minor != start.minor_spoken() || !extensions.is_empty() {
        put_negotiate(&mut out, start.minor_spoken(), &extensions);
    }
    out
}

/// A cancel key of ours.
fn secret_key(minor: u16) -> Box<[u8]> {
    let long: [u8; LONG_KEY_BYTES] = rand::random();
    let length = if minor >= 2 { LONG_KEY_BYTES } else { KEY_BYTES };
    long.get(..length).unwrap_or(&long).into()
}

/// Is this the very name that the policy and the record will know?
fn is_sound(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX
        && std::str::from_utf8(name).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A name that the server would cut, or that is not text, could mean another database
/// than the policy's, or a user whose accesses are counted under another name.
fn check_names(regime: &Regime, start: &Start<'_>) -> Result<(), Over> {
    let user = start.parameter(b"user").unwrap_or_default();
    let database = start.parameter(b"database").filter(|name| !name.is_empty()).unwrap_or(user);
    if gives_token(start) {
        // The server would have it.
        Err(fatal("22023", "sealgate: sealgate.token is given by SET, not at the start"))
    } else if regime.settings.policy.fields.is_empty() {
        Ok(())
    } else if !is_sound(database) {
        Err(fatal(
            "3D000",
            "sealgate: a database name must be UTF-8 text of at most 63 bytes, without control characters",
        ))
    } else if !is_sound(user) {
        Err(fatal(
            "28000",
            "sealgate: a user name must be UTF-8 text of at most 63 bytes, without control characters",
        ))
    } else {
        Ok(())
    }
}

/// Gives the session the classification of its database; without one it may not go on.
async fn session_view(
    gate: &SharedGate,
    worker: &Worker,
    session: &mut Session,
) -> Result<Option<Stay>, Over> {
    let database: Arc<str> = session.who().database.clone();
    let Some(catalogs) = &gate.catalogs else { return Ok(None) };
    // As it is now: a reload may have come since this connection did.
    let regime = gate.regime.load_full();
    if !regime.watches(&database) {
        return Ok(None);
    }
    match catalogs.enter(&database).await {
        Ok((snapshot, stay)) if regime.settings.classifies(&database) => {
            if let Some(misfit) = snapshot.unfit() {
                return Err(Refusal::misfit(misfit).into());
            }
            session.renew(worker.view(snapshot));
            session.speaks()?;
            Ok(Some(stay))
        }
        Ok((_, stay)) => {
            session.watch_doors(regime.doors.clone());
            Ok(Some(stay))
        }
        Err(error) => Err(unread(&database, &error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_stand_unchanged_in_policy_and_record_are_sound() {
        assert!(is_sound("sh\u{f6}p".as_bytes()) && is_sound(&[b'n'; 63]) && is_sound(b""));
        for name in [&[b'n'; 64][..], b"sh\xf6p", b"shop\t", b"sh\x7fop", "shop\u{85}".as_bytes()] {
            assert!(!is_sound(name), "{name:?}");
        }
    }
}
