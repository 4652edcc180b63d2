//! From accept to ReadyForQuery: negotiation, residency, dial, login.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cancel::{self, Registered, Target};
use super::worker::Worker;
use super::{SharedGate, today};
use crate::audit::{Record, RefusalRecord, Who};
use crate::login::{Claim, Principal, Progress, Relay};
use crate::pipeline::{Bounds, Session};
use crate::policy::Refusal;
use crate::residency::{Replication, Verdict, replication_kind};
use crate::transport::{Channel, Peer};
use crate::upstream::dial::{self, DialError};
use crate::wire::compose::{ErrorText, put_backend_key, put_error, put_negotiate};
use crate::wire::startup::{self, Request, Start};
use crate::wire::{Peek, backend, peek};

/// Largest message of the login, either way, in bytes.
const LOGIN_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Most that a server may say between AuthenticationOk and ReadyForQuery, in bytes.
const PRELUDE_BYTES_MAX: usize = 1 << 20;

/// Longest name of a database or a user, in bytes (`NAMEDATALEN - 1`); the server cuts
/// longer ones.
const NAME_BYTES_MAX: usize = 63;

/// A session that is ready for its first query.
pub struct Ready {
    pub server: Channel,
    pub session: Session,
    pub cancel: Option<Registered>,
    pub counted: Counted,
    /// Bytes of the client that came early, and what it must still be sent.
    pub early: Vec<u8>,
    pub server_early: Vec<u8>,
}

/// Counts a session for as long as it lives.
pub struct Counted(SharedGate);

impl Counted {
    /// None where there are too many.
    pub fn new(gate: &SharedGate) -> Option<Counted> {
        let before = gate.sessions.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(gate));
        metrics::gauge!("sealgate_sessions", "state" => "open").increment(1.0);
        (before < gate.settings.limits.sessions_max as usize).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("sealgate_sessions", "state" => "open").decrement(1.0);
    }
}

/// How a startup ended without a session.
pub enum Over {
    /// The peer closed, or was served (a cancel request).
    Done,
    /// The client is told this, as FATAL.
    Fatal { sqlstate: &'static str, message: String, detail: String, hint: String },
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
        }
    }
}

fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Over {
    Over::Fatal { sqlstate, message: message.into(), detail: String::new(), hint: String::new() }
}

/// Writes the FATAL error that ends a startup.
pub async fn tell(client: &mut Channel, over: Over) {
    let Over::Fatal { sqlstate, message, detail, hint } = over else { return };
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
    let _ = client.write_all(&out).await;
    let _ = client.shutdown_write();
}

/// A peer's bytes, read up to a bound.
struct Incoming {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Incoming {
    fn new(bytes_max: usize) -> Incoming {
        Incoming { bytes: Vec::new(), bytes_max }
    }

    async fn more(&mut self, stream: &mut Channel) -> Result<(), Over> {
        if self.bytes.len() >= self.bytes_max {
            return Err(fatal("08P01", "sealgate: a message of the login is too long"));
        }
        let count = stream.read_some(&mut self.bytes).await?;
        if count == 0 { Err(Over::Done) } else { Ok(()) }
    }

    fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }
}

/// Reads first packets until one starts a session.
async fn negotiate(gate: &SharedGate, client: &mut Channel) -> Result<(Vec<u8>, Incoming), Over> {
    let mut incoming = Incoming::new(LOGIN_FRAME_BYTES_MAX);
    let (mut ssl, mut gss) = (false, false);
    loop {
        let length = loop {
            if incoming.bytes.first() == Some(&0x16) {
                return Err(fatal("08P01", "sealgate: direct TLS is not served by this version"));
            }
            match startup::length(&incoming.bytes)
                .map_err(|error| fatal("08P01", format!("sealgate: {}", error.0)))?
            {
                Some(length) if incoming.bytes.len() >= length => break length,
                Some(_) | None => incoming.more(client).await?,
            }
        };
        let packet: Vec<u8> = incoming.bytes.get(..length).unwrap_or(&[]).to_vec();
        incoming.consume(length);
        match startup::read(&packet).map_err(|error| fatal("08P01", format!("sealgate: {}", error.0)))? {
            Request::Ssl | Request::GssEnc if !incoming.bytes.is_empty() => {
                // Whatever follows a request before its answer was put there by somebody else.
                return Err(fatal(
                    "08P01",
                    "sealgate: received unencrypted data after an encryption request",
                ));
            }
            Request::Ssl if !ssl => ssl = true,
            Request::GssEnc if !gss => gss = true,
            Request::Ssl | Request::GssEnc => {
                return Err(fatal("08P01", "sealgate: repeated encryption request"));
            }
            Request::Cancel { process, secret } => {
                if let Some(target) = gate.cancels.find(process, secret) {
                    cancel::send(&target).await;
                }
                return Err(Over::Done);
            }
            Request::Unsupported { major, minor } => {
                let text = format!(
                    "sealgate: unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0"
                );
                return Err(fatal("0A000", text));
            }
            Request::Start(_) => return Ok((packet, incoming)),
        }
        client.write_all(b"N").await?;
    }
}

/// The kind of walsender asked for: every occurrence of the parameter counts, since the
/// server lets a later one take back only half of what an earlier one asked. Whoever once
/// asked for a database has one, and SQL with it.
fn replication(start: &Start<'_>) -> Replication {
    let mut asked = Replication::No;
    for (_, value) in start.parameters.iter().filter(|(name, _)| *name == b"replication") {
        let kind = replication_kind(value);
        if kind != Replication::No && asked != Replication::Logical {
            asked = kind;
        }
    }
    asked
}

/// Is this certain to become a walsender without a database, which SQL does not reach? Only
/// where no other occurrence of the parameter could take it back.
fn is_physical(start: &Start<'_>) -> bool {
    let mut values = start
        .parameters
        .iter()
        .filter(|(name, _)| *name == b"replication")
        .map(|(_, value)| *value)
        .peekable();
    values.peek().is_some() && values.all(|value| replication_kind(value) == Replication::Physical)
}

fn judge_walsender(gate: &SharedGate, kind: Replication, peer: IpAddr) -> Result<(), Refusal> {
    let (verdict, region, result) = match gate.residency.judge_walsender(kind, peer, today()) {
        Verdict::NotJudged => return Ok(()),
        Verdict::Allowed { region } => ("allowed", region, Ok(())),
        Verdict::Denied { why } => {
            ("denied", gate.residency.region_name(peer, today()), Err(Refusal::residency(&why)))
        }
    };
    metrics::gauge!("sealgate_residency_targets", "kind" => "walsender", "region" => region, "verdict" => verdict)
        .increment(1.0);
    result
}

fn dial_failed(error: &DialError) -> Over {
    tracing::error!(%error, "no server can be reached");
    match error {
        DialError::Refused { why, .. } => Refusal::residency(why).into(),
        DialError::Unresolved { .. } | DialError::Unreachable { .. } => {
            fatal("08006", "sealgate: the database server cannot be reached")
        }
    }
}

/// Brings one connection from accept to its first ReadyForQuery.
///
/// # Errors
/// See [`Over`].
pub async fn start(
    gate: &SharedGate,
    worker: &Worker,
    client: &mut Channel,
    peer: Peer,
) -> Result<Ready, Over> {
    let (packet, mut incoming) = negotiate(gate, client).await?;
    let Ok(Request::Start(start)) = startup::read(&packet) else { return Err(Over::Done) };
    let counted = Counted::new(gate).ok_or_else(|| fatal("53300", "sealgate: too many sessions"))?;
    let address = peer.ip();
    let session = gate.next_session.fetch_add(1, Ordering::Relaxed);
    let region = gate.residency.region_name(address, today());
    let claim = Claim::new(&start, peer.to_string().into(), region, session);
    let asked = replication(&start);
    if let Err(refusal) = judge_walsender(gate, asked, address) {
        record_refused_startup(worker, &claim, &refusal).await;
        return Err(refusal.into());
    }
    check_names(gate, &start)?;
    let today = today();
    let (mut server, server_address) = dial::first(&gate.settings.upstream.hosts, &gate.residency, today)
        .await
        .map_err(|error| dial_failed(&error))?;
    server.write_all(&startup::compose(&start)).await?;
    let extensions: Vec<&[u8]> = start.extensions().collect();
    if start.minor > 0 || !extensions.is_empty() {
        let mut out = Vec::new();
        put_negotiate(&mut out, &extensions);
        client.write_all(&out).await?;
    }
    let mut from_server = Incoming::new(LOGIN_FRAME_BYTES_MAX);
    let principal =
        authenticate(Relay::new(claim), client, &mut incoming, &mut server, &mut from_server).await?;
    let watch = gate.watch.user(principal.user());
    let bounds = Bounds { frame_bytes_max: gate.settings.limits.frame_bytes_max as usize };
    let mut session = Session::new(principal, None, Some(watch), bounds, rand::random());
    let mut login = Prelude { ready: None, key: None, parameters: Vec::new() };
    login.read(client, &mut server, &mut from_server, &mut session).await?;
    if !is_physical(&start) {
        session_view(gate, worker, &mut session).await?;
    }
    let cancel = login.key.map(|(process, secret)| {
        let ours: [u8; 4] = rand::random();
        put_backend_key(&mut login.parameters, process, ours);
        Registered::new(gate, session.who().session, ours, Target { server: server_address, process, secret })
    });
    login.parameters.extend_from_slice(&login.ready.unwrap_or_default());
    client.write_all(&login.parameters).await?;
    Ok(Ready { server, session, cancel, counted, early: incoming.bytes, server_early: from_server.bytes })
}

/// Is this the very name that the policy and the record will know?
fn is_sound(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX
        && std::str::from_utf8(name).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A name that the server would cut, or that is not text, could mean another database
/// than the policy's, or a user whose accesses are counted under another name.
fn check_names(gate: &SharedGate, start: &Start<'_>) -> Result<(), Over> {
    let user = start.parameter(b"user").unwrap_or_default();
    let database = start.parameter(b"database").filter(|name| !name.is_empty()).unwrap_or(user);
    if gate.settings.fields.is_empty() {
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

async fn authenticate(
    mut relay: Relay,
    client: &mut Channel,
    incoming: &mut Incoming,
    server: &mut Channel,
    from_server: &mut Incoming,
) -> Result<Principal, Over> {
    let broken = |error: crate::wire::Malformed| fatal("08P01", format!("sealgate: {}", error.0));
    loop {
        // Everything that the server has said goes to the client first.
        let mut out = Vec::new();
        let mut verdict = None;
        while let Peek::Whole(frame) = peek(&from_server.bytes).map_err(broken)? {
            let progress = relay.from_server(frame, &mut out).map_err(broken)?;
            let length = frame.len();
            from_server.consume(length);
            if !matches!(progress, Progress::Continue) {
                verdict = Some(progress);
                break;
            }
        }
        client.write_all(&out).await?;
        match verdict {
            Some(Progress::Proven(principal)) => return Ok(principal),
            Some(Progress::Refused) => return Err(Over::Done),
            Some(Progress::Continue) | None => {}
        }
        let mut out = Vec::new();
        while let Peek::Whole(frame) = peek(&incoming.bytes).map_err(broken)? {
            relay.from_client(frame, &mut out).map_err(broken)?;
            let length = frame.len();
            incoming.consume(length);
        }
        server.write_all(&out).await?;
        tokio::select! {
            read = from_server.more(server) => read?,
            read = incoming.more(client) => read?,
        }
    }
}

/// What the server says between AuthenticationOk and ReadyForQuery.
struct Prelude {
    /// ReadyForQuery, held back until the session can be served.
    ready: Option<Vec<u8>>,
    key: Option<(i32, [u8; 4])>,
    parameters: Vec<u8>,
}

impl Prelude {
    async fn read(
        &mut self,
        client: &mut Channel,
        server: &mut Channel,
        from_server: &mut Incoming,
        session: &mut Session,
    ) -> Result<(), Over> {
        let broken = |error: crate::wire::Malformed| fatal("08P01", format!("sealgate: {}", error.0));
        while self.ready.is_none() {
            if self.parameters.len() > PRELUDE_BYTES_MAX {
                return Err(fatal("08P01", "sealgate: the server says too much before it is ready"));
            }
            let Peek::Whole(frame) = peek(&from_server.bytes).map_err(broken)? else {
                from_server.more(server).await?;
                continue;
            };
            match frame.tag() {
                b'K' => {
                    let (process, secret) = backend::read_backend_key(frame.body()).map_err(broken)?;
                    let secret = <[u8; 4]>::try_from(secret).map_err(|_| {
                        fatal("08P01", "sealgate: the server's cancel key is not of protocol 3.0")
                    })?;
                    self.key = Some((process, secret));
                }
                b'Z' => self.ready = Some(frame.bytes().to_vec()),
                b'S' => {
                    let (name, value) = backend::read_parameter_status(frame.body()).map_err(broken)?;
                    session.parameter(name, value);
                    self.parameters.extend_from_slice(frame.bytes());
                }
                b'E' => {
                    self.parameters.extend_from_slice(frame.bytes());
                    client.write_all(&self.parameters).await?;
                    return Err(Over::Done);
                }
                _ => self.parameters.extend_from_slice(frame.bytes()),
            }
            let length = frame.len();
            from_server.consume(length);
        }
        Ok(())
    }
}

/// Gives the session the classification of its database; without one it may not go on.
async fn session_view(gate: &SharedGate, worker: &Worker, session: &mut Session) -> Result<(), Over> {
    let database: Arc<str> = session.who().database.clone();
    let Some(catalogs) = &gate.catalogs else { return Ok(()) };
    if gate.settings.fields_of(&database).is_empty() {
        return Ok(());
    }
    match catalogs.current(&database).await {
        Ok(snapshot) => {
            session.renew(worker.view(snapshot));
            Ok(())
        }
        Err(error) => {
            tracing::error!(%database, %error, "the catalog cannot be read; the session is refused");
            let hint = "See the log of the gate; sealgate check names the fault.";
            Err(Refusal::unhandled("no-catalog", "The catalog of this database cannot be read.", hint).into())
        }
    }
}

/// A startup that was refused by residency stands in the record too.
async fn record_refused_startup(worker: &Worker, claim: &Claim, refusal: &Refusal) {
    let who = Arc::new(Who {
        session: claim.session,
        user: claim.user.clone(),
        database: claim.database.clone(),
        application: claim.application.clone(),
        client: claim.client.clone(),
        region: claim.region.clone(),
        auth: "none",
    });
    tracing::warn!(client = %who.client, region = %who.region, "a walsender was refused");
    let refused = RefusalRecord {
        who,
        statement_id: 0,
        sqlstate: refusal.sqlstate,
        rule: "replication".into(),
        fingerprint: None,
    };
    worker.records.leave(Record::Refusal(refused)).await;
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

    #[test]
    fn every_occurrence_of_the_replication_parameter_counts() {
        let start = |values: &[&'static [u8]]| Start {
            minor: 0,
            parameters: values.iter().map(|value| (&b"replication"[..], *value)).collect(),
        };
        assert_eq!(replication(&start(&[b"database", b"false"])), Replication::Logical);
        assert_eq!(replication(&start(&[b"database", b"true"])), Replication::Logical);
        assert_eq!(replication(&start(&[b"true", b"database"])), Replication::Logical);
        assert_eq!(replication(&start(&[b"off"])), Replication::No);
        assert_ne!(replication(&start(&[b"tr", b"0"])), Replication::No);
        let reachable: [&[&[u8]]; 5] =
            [&[], &[b"true", b"false"], &[b"1", b"0"], &[b"on", b"database", b"on"], &[b"on", b""]];
        for values in reachable {
            assert!(!is_physical(&start(values)), "SQL may reach {values:?}");
        }
        assert!(is_physical(&start(&[b"true", b"on"])));
    }
}
