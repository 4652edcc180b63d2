//! The call to the server: dial, StartupMessage, and what it says before it is ready.

use std::sync::Arc;
use std::time::Instant;

use super::negotiate::{Incoming, LOGIN_FRAME_BYTES_MAX};
use super::{Over, fatal, fatal_logged};
use crate::gate::{Regime, today};
use crate::policy::Refusal;
use crate::transport::Channel;
use crate::upstream::dial::{DialError, Route};
use crate::upstream::standing::Standing;
use crate::wire::{Malformed, Peek, backend, peek};

/// Most that a server may say for the client's ears before it is ready, in bytes.
pub(super) const PRELUDE_BYTES_MAX: usize = 1 << 20;

/// A server that has our StartupMessage and has begun to answer.
pub(super) struct Called {
    pub server: Channel,
    pub route: Arc<Route>,
    pub incoming: Incoming,
}

pub(super) fn broken(error: Malformed) -> Over {
    fatal("08P01", format!("sealgate: {}", error.0))
}

/// What the first answer of a server says of it.
enum First {
    Answer,
    /// It takes no login on this way: in plain, or under TLS.
    NotSo,
    /// It is starting up, or a standby that serves nobody yet.
    NotYet,
}

/// Sends the StartupMessage to the first of these hosts that takes it. What it answers stands
/// in `incoming`.
pub(super) async fn call(regime: &Regime, packet: &[u8], hosts: &[usize]) -> Result<Called, Over> {
    let mut last = None;
    for (at, index) in hosts.iter().enumerate() {
        let (mut server, route) = match regime.dialer.reach_host(*index, today()).await {
            Ok(reached) => reached,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        let mut incoming = Incoming::new(LOGIN_FRAME_BYTES_MAX);
        let mut first = say(&mut server, packet, &mut incoming).await;
        if matches!(first, Ok(First::NotSo)) && regime.dialer.has_other_way(&route) {
            server = match regime.dialer.reach(&route, true).await {
                Ok(reached) => reached,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            incoming = Incoming::new(LOGIN_FRAME_BYTES_MAX);
            first = say(&mut server, packet, &mut incoming).await;
        }
        let goes_on = match first {
            Ok(First::Answer | First::NotSo) => false,
            Ok(First::NotYet) | Err(_) => at + 1 < hosts.len(),
        };
        if goes_on {
            regime.dialer.standings().set(*index, Standing::Down, Instant::now());
            continue;
        }
        return match first {
            Ok(_) => Ok(Called { server, route, incoming }),
            Err(over) => Err(over),
        };
    }
    Err(last.map_or_else(|| dial_failed(&DialError::NoneWritable), |error| dial_failed(&error)))
}

/// Sends the StartupMessage and waits for the first whole message.
async fn say(server: &mut Channel, packet: &[u8], incoming: &mut Incoming) -> Result<First, Over> {
    // Where it is not taken, the server has said why, and that is read next.
    let _ = server.write_all(packet).await;
    let mut negotiated = false;
    loop {
        if let Peek::Whole(frame) = peek(&incoming.bytes).map_err(broken)? {
            // Of a server that does not know 3.2; what it speaks shows in its cancel key.
            if frame.tag() == b'v' {
                if std::mem::replace(&mut negotiated, true) {
                    return Err(fatal("08P01", "sealgate: the server negotiates the version more than once"));
                }
                let length = frame.len();
                incoming.consume(length);
                continue;
            }
            if frame.tag() != b'E' {
                return Ok(First::Answer);
            }
            return Ok(match &backend::read_error(frame.body()).map_err(broken)?.sqlstate {
                b"28000" => First::NotSo,
                b"57P03" => First::NotYet,
                _ => First::Answer,
            });
        }
        incoming.more_of_server(server).await?;
    }
}

/// The server's last word in what it said: the client has it.
pub(super) fn told(mut said: &[u8]) -> Over {
    let mut over = Over::Done;
    while let Ok(Peek::Whole(frame)) = peek(said) {
        if let (b'E', Ok(facts)) = (frame.tag(), backend::read_error(frame.body())) {
            over = Over::Told { sqlstate: facts.sqlstate };
        }
        said = said.get(frame.len()..).unwrap_or_default();
    }
    over
}

pub(super) fn dial_failed(error: &DialError) -> Over {
    tracing::error!(%error, "no server can be reached");
    match error {
        DialError::Refused { why, .. } => Refusal::residency(why).into(),
        DialError::NoneWritable => none_writable(),
        DialError::Unresolved { .. } | DialError::Unreachable { .. } | DialError::Tls { .. } => {
            fatal_logged("08006", "sealgate: the database server cannot be reached")
        }
    }
}

/// What a client is told when only standbys answer: drivers take it for a reason to try again.
pub(super) fn none_writable() -> Over {
    fatal("57P03", "sealgate: no server that takes writes can be reached; the one that answers is a standby")
}

/// What the server says between AuthenticationOk and ReadyForQuery.
pub(super) struct Prelude {
    /// ReadyForQuery, held back until the session can be served.
    pub ready: Vec<u8>,
    pub key: Option<(i32, Box<[u8]>)>,
    /// Everything else, for the client.
    pub said: Vec<u8>,
    /// The server says of itself that it takes no writes.
    pub standby: bool,
}

/// How a prelude ended.
pub(super) enum Ended {
    Ready(Prelude),
    /// With the server's own error, which is the last of these bytes.
    Refused(Vec<u8>),
}

/// Reads the prelude. `parameter` is told of each ParameterStatus.
pub(super) async fn prelude(
    called: &mut Called,
    mut parameter: impl FnMut(&[u8], &[u8]),
) -> Result<Ended, Over> {
    let Called { server, incoming, .. } = called;
    let (mut key, mut said, mut standby) = (None, Vec::new(), false);
    loop {
        if said.len() > PRELUDE_BYTES_MAX {
            return Err(fatal("08P01", "sealgate: the server says too much before it is ready"));
        }
        let Peek::Whole(frame) = peek(&incoming.bytes).map_err(broken)? else {
            incoming.more_of_server(server).await?;
            continue;
        };
        let length = frame.len();
        match frame.tag() {
            b'K' => {
                let (process, secret) = backend::read_backend_key(frame.body()).map_err(broken)?;
                key = Some((process, secret.into()));
            }
            b'Z' => {
                let ready = frame.bytes().to_vec();
                incoming.consume(length);
                return Ok(Ended::Ready(Prelude { ready, key, said, standby }));
            }
            b'E' => {
                said.extend_from_slice(frame.bytes());
                return Ok(Ended::Refused(said));
            }
            b'S' => {
                let (name, value) = backend::read_parameter_status(frame.body()).map_err(broken)?;
                standby |= name == b"in_hot_standby" && value == b"on";
                parameter(name, value);
                said.extend_from_slice(frame.bytes());
            }
            _ => said.extend_from_slice(frame.bytes()),
        }
        incoming.consume(length);
    }
}
