//! Login `scram`: the client proves itself here, and with what its proof gives away we log in
//! at the server as that same user. The client is told that it is in only once we are.

use std::rc::Rc;
use std::time::Instant;

use super::call::{Called, Ended, PRELUDE_BYTES_MAX, broken, call, none_writable, prelude, told};
use super::negotiate::Incoming;
use super::prove::{Login, Proven, foresee, is_standby, open};
use super::{Over, fatal, fatal_logged};
use crate::login::binding::tls_server_end_point;
use crate::login::scram::{
    CLIENT_MESSAGE_BYTES_MAX, Challenge, ExpectInitial, Fault, Initial, Nonce, Proven as Shown,
    RecoveredKeys, Step, Upstream, UpstreamFault,
};
use crate::transport::Channel;
use crate::wire::compose::put_authentication_ok;
use crate::wire::startup;
use crate::wire::{Malformed, Peek, peek};

impl From<Fault> for Over {
    fn from(fault: Fault) -> Over {
        let (message, detail) = (fault.message, fault.detail.to_owned());
        Over::Fatal { sqlstate: fault.sqlstate, message, detail, hint: String::new(), reason: "" }
    }
}

impl From<UpstreamFault> for Over {
    fn from(fault: UpstreamFault) -> Over {
        tracing::error!(%fault, "the login at the server failed");
        fatal(fault.sqlstate(), format!("sealgate: {fault}"))
    }
}

/// Both exchanges.
///
/// # Errors
/// See [`Over`].
pub(super) async fn scram(mut login: Login<'_>) -> Result<Proven, Over> {
    let shown = exchange(&mut login).await?;
    let Login { gate, regime, start, client, incoming, .. } = login;
    foresee(gate, regime, &shown.principal);
    let (keys, packet) = (Rc::new(shown.keys), startup::compose(start));
    let mut hosts = regime.dialer.standings().order(Instant::now());
    loop {
        let mut called = call(regime, &packet, &hosts).await?;
        let mut said = Vec::new();
        if !log_in(&keys, &mut called, &mut said).await? {
            let over = told(&said);
            client.write_all(&said).await?;
            return Err(over);
        }
        let mut session = open(gate, regime, shown.principal.clone());
        match prelude(&mut called, |name, value| session.parameter(name, value)).await? {
            Ended::Refused(error) => {
                said.extend_from_slice(&error);
                let over = told(&said);
                client.write_all(&said).await?;
                return Err(over);
            }
            Ended::Ready(prelude) if is_standby(regime, &called, &prelude) => {
                let tried = hosts.iter().position(|index| *index == called.route.index);
                hosts.drain(..tried.map_or(hosts.len(), |at| at + 1));
                if hosts.is_empty() {
                    return Err(none_writable());
                }
            }
            Ended::Ready(prelude) => {
                let mut greeting = shown.final_message;
                put_authentication_ok(&mut greeting);
                greeting.append(&mut said);
                greeting.extend_from_slice(&prelude.said);
                return Ok(Proven { called, prelude, session, incoming, greeting });
            }
        }
    }
}

/// The client's side: offer, challenge, proof.
async fn exchange(login: &mut Login<'_>) -> Result<Shown, Over> {
    let Login { gate, regime, start, claim, client, incoming, greeting } = login;
    let Some(verifiers) = &regime.verifiers else {
        return Err(fatal("28000", "sealgate: no account is configured that could check passwords"));
    };
    let presented = client.tls().and_then(|facts| facts.presented.as_deref());
    let digest = presented.and_then(tls_server_end_point);
    let mut out = std::mem::take(greeting);
    let offered = ExpectInitial::offer(claim.clone(), digest, &mut out);
    client.write_all(&out).await?;
    out.clear();
    let user = start.parameter(b"user").unwrap_or_default();
    // Two ways at once: the client's to its first message, and ours to the server.
    let first = async {
        match take(client, incoming, |frame| offered.initial(frame, &mut out)).await? {
            Initial::Read(ready) => Ok(ready),
            Initial::Chosen(chosen) => {
                client.write_all(&out).await?;
                out.clear();
                take(client, incoming, |frame| chosen.first(frame)).await
            }
        }
    };
    let answer = async {
        let answer = verifiers.ask(user).await;
        answer.map_err(|error| fatal_logged(error.sqlstate(), error.client_message()))
    };
    let (ready, answer) = tokio::try_join!(first, answer)?;
    let challenge = Challenge {
        verifier: answer.verifier,
        mock: &gate.mock,
        mock_iterations: answer.iterations,
        nonce: Nonce::new(rand::random()),
    };
    let last = ready.challenge(challenge, &mut out);
    client.write_all(&out).await?;
    take(client, incoming, |frame| last.finish(frame)).await
}

/// Waits for the client's next message and hands it on.
async fn take<T>(
    client: &mut Channel,
    incoming: &mut Incoming,
    read: impl FnOnce(crate::wire::Frame<'_>) -> Result<T, Fault>,
) -> Result<T, Over> {
    loop {
        match peek(&incoming.bytes).map_err(broken)? {
            Peek::Whole(frame) => {
                let length = frame.len();
                let taken = read(frame)?;
                incoming.consume(length);
                return Ok(taken);
            }
            // What would not be taken in the end is not waited for.
            Peek::Partial { len, .. } if len > CLIENT_MESSAGE_BYTES_MAX + 1 => {
                return Err(Fault::from(Malformed("The message is too long.")).into());
            }
            Peek::Partial { .. } | Peek::Nothing => incoming.more(client).await?,
        }
    }
}

/// The server's side, up to AuthenticationOk. False where the server refuses: its error is
/// the last of what it `said`.
async fn log_in(keys: &Rc<RecoveredKeys>, called: &mut Called, said: &mut Vec<u8>) -> Result<bool, Over> {
    let Called { server, incoming, .. } = called;
    let digest = server.peer_certificate().and_then(tls_server_end_point);
    let mut upstream = Upstream::new(Rc::clone(keys), digest, Nonce::new(rand::random()));
    loop {
        let mut out = Vec::new();
        while let Peek::Whole(frame) = peek(&incoming.bytes).map_err(broken)? {
            let (bytes, length) = (frame.bytes().to_vec(), frame.len());
            let step = upstream.take(frame, &mut out)?;
            incoming.consume(length);
            match step {
                Step::Accepted => return Ok(true),
                Step::Continue(next) => upstream = next,
                Step::Notice(next) => {
                    said.extend_from_slice(&bytes);
                    upstream = next;
                }
                Step::Refused => {
                    said.extend_from_slice(&bytes);
                    return Ok(false);
                }
            }
        }
        if said.len() > PRELUDE_BYTES_MAX {
            return Err(fatal("08P01", "sealgate: the server says too much before it is ready"));
        }
        server.write_all(&out).await?;
        incoming.more_of_server(server).await?;
    }
}
