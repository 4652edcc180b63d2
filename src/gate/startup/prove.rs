//! The login: the client's proof, and ours to the server.

use std::sync::Arc;
use std::time::Instant;

use super::call::{Called, Ended, Prelude, broken, call, none_writable, prelude, told};
use super::negotiate::Incoming;
use super::{Over, fatal, scram};
use crate::config::{Auth, ClientCertificate};
use crate::gate::{Regime, SharedGate};
use crate::login::certificate::CommonName;
use crate::login::{Claim, Principal, Progress, Relay};
use crate::pipeline::{Bounds, Session};
use crate::transport::Channel;
use crate::upstream::standing::Standing;
use crate::wire::startup::{self, Start};
use crate::wire::{Peek, peek};

/// Both sides have said who they are.
pub(super) struct Proven {
    pub called: Called,
    pub prelude: Prelude,
    pub session: Session,
    /// What the client sent early.
    pub incoming: Incoming,
    /// What it has not been told yet.
    pub greeting: Vec<u8>,
}

/// A login under way.
pub(super) struct Login<'a> {
    pub gate: &'a SharedGate,
    pub regime: &'a Regime,
    pub start: &'a Start<'a>,
    pub claim: Claim,
    pub client: &'a mut Channel,
    /// What the client has sent beyond its StartupMessage.
    pub incoming: Incoming,
    /// What it is told before anything else.
    pub greeting: Vec<u8>,
}

impl Login<'_> {
    /// Asks for the proof that the configuration wants.
    ///
    /// # Errors
    /// See [`Over`].
    pub async fn prove(self) -> Result<Proven, Over> {
        match self.regime.settings.login.auth {
            Auth::Relay => self.relay().await,
            Auth::Scram => scram::scram(self).await,
        }
    }

    /// The server's own exchange, passed through.
    async fn relay(self) -> Result<Proven, Over> {
        let Login { gate, regime, start, claim, client, mut incoming, greeting } = self;
        let hosts = regime.dialer.standings().order(Instant::now());
        let mut called = call(regime, &startup::compose(start), &hosts).await?;
        client.write_all(&greeting).await?;
        let principal = pass_through(Relay::new(claim), client, &mut incoming, &mut called).await?;
        foresee(gate, regime, &principal);
        let mut session = open(gate, regime, principal);
        match prelude(&mut called, |name, value| session.parameter(name, value)).await? {
            Ended::Refused(said) => {
                let over = told(&said);
                client.write_all(&said).await?;
                Err(over)
            }
            // The client has proven itself to this server, and cannot to another in its place.
            Ended::Ready(prelude) if is_standby(regime, &called, &prelude) => Err(none_writable()),
            Ended::Ready(mut prelude) => {
                let greeting = std::mem::take(&mut prelude.said);
                Ok(Proven { called, prelude, session, incoming, greeting })
            }
        }
    }
}

/// Notes what the server says of itself. True where another one should serve.
pub(super) fn is_standby(regime: &Regime, called: &Called, prelude: &Prelude) -> bool {
    let standing = if prelude.standby { Standing::Standby } else { Standing::Writable };
    regime.dialer.standings().set(called.route.index, standing, Instant::now());
    prelude.standby && regime.dialer.chooses()
}

/// While the server makes its session ready, the catalog can be looked at.
pub(super) fn foresee(gate: &SharedGate, regime: &Regime, principal: &Principal) {
    let database = principal.database();
    if let Some(catalogs) = gate.catalogs.as_ref().filter(|_| regime.watches(database)) {
        catalogs.foresee(database);
    }
}

pub(super) fn open(gate: &SharedGate, regime: &Regime, principal: Principal) -> Session {
    let watch = gate.watch.user(principal.user());
    let bounds = Bounds { frame_bytes_max: regime.settings.limits.frame_bytes_max as usize };
    Session::new(principal, None, Some(watch), bounds, rand::random())
}

async fn pass_through(
    mut relay: Relay,
    client: &mut Channel,
    incoming: &mut Incoming,
    called: &mut Called,
) -> Result<Principal, Over> {
    let Called { server, incoming: from_server, .. } = called;
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
            Some(Progress::Refused) => return Err(told(&out)),
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
            read = from_server.more_of_server(server) => read?,
            read = incoming.more(client) => read?,
        }
    }
}

/// The second factor, before the first is asked for.
///
/// # Errors
/// There is none where one is required, or it names somebody else.
pub(super) fn certificate(
    regime: &Regime,
    client: &Channel,
    start: &Start<'_>,
    mut claim: Claim,
) -> Result<Claim, Over> {
    let login = &regime.settings.login;
    match (login.certificate, client.peer_certificate()) {
        (ClientCertificate::None, _) | (ClientCertificate::Optional, None) => Ok(claim),
        (ClientCertificate::Required, None) => {
            Err(fatal("28000", "sealgate: a valid client certificate is required"))
        }
        (ClientCertificate::Optional | ClientCertificate::Required, Some(der)) => {
            let name = CommonName::read(der);
            let user = start.parameter(b"user").unwrap_or_default();
            if login.certificate_names_user && !name.as_ref().is_some_and(|name| name.is(user)) {
                let message = "sealgate: the client certificate does not name this user";
                return Err(fatal("28000", message));
            }
            claim.certificate = Some(name.map_or_else(|| "-".into(), |name| Arc::clone(name.text())));
            Ok(claim)
        }
    }
}
