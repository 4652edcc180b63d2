//! The first packets of a connection: encryption requests, cancel requests, and the one that
//! starts a session.

use zeroize::Zeroize as _;

use super::{Over, fatal, fatal_logged};
use crate::gate::{Regime, SharedGate};
use crate::transport::tls::ServerTls;
use crate::transport::{Channel, Peer};
use crate::wire::startup::{self, MINOR_MAX, Request};

/// Largest message of the login, either way, in bytes.
pub(super) const LOGIN_FRAME_BYTES_MAX: usize = 64 * 1024;

/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// A peer's bytes, read up to a bound.
pub(super) struct Incoming {
    pub bytes: Vec<u8>,
    bytes_max: usize,
}

impl Incoming {
    pub fn new(bytes_max: usize) -> Incoming {
        Incoming { bytes: Vec::new(), bytes_max }
    }

    /// More of the client.
    pub async fn more(&mut self, client: &mut Channel) -> Result<(), Over> {
        self.has_room()?;
        let count = client.read_some(&mut self.bytes).await?;
        if count == 0 { Err(Over::Done) } else { Ok(()) }
    }

    /// More of the server. That it breaks off is told to the client, and why to the log.
    pub async fn more_of_server(&mut self, server: &mut Channel) -> Result<(), Over> {
        self.has_room()?;
        let cause = match server.read_some(&mut self.bytes).await {
            Ok(1..) => return Ok(()),
            Ok(0) => "it closed the connection".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!(cause, "the server broke off a login");
        Err(fatal_logged("08006", "sealgate: the database server broke off the login"))
    }

    fn has_room(&self) -> Result<(), Over> {
        if self.bytes.len() >= self.bytes_max {
            return Err(fatal("08P01", "sealgate: a message of the login is too long"));
        }
        Ok(())
    }

    /// Uses up the head; nothing of it stays behind in memory.
    pub fn consume(&mut self, count: usize) {
        let used = count.min(self.bytes.len());
        let left = self.bytes.len() - used;
        self.bytes.copy_within(used.., 0);
        self.bytes.get_mut(left..).unwrap_or(&mut []).zeroize();
        self.bytes.truncate(left);
    }

    /// What is not used up.
    pub fn into_rest(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// A password, or a proof that with the verifier gives the key away, may stand in it.
impl Drop for Incoming {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Reads first packets until one starts a session; it is whole and comes first in the answer.
pub(super) async fn negotiate(
    gate: &SharedGate,
    regime: &Regime,
    client: &mut Channel,
    peer: Peer,
) -> Result<(Vec<u8>, Incoming), Over> {
    let mut incoming = Incoming::new(LOGIN_FRAME_BYTES_MAX);
    let malformed = |error: crate::wire::Malformed| fatal("08P01", format!("sealgate: {}", error.0));
    let (mut ssl, mut gss) = (false, false);
    incoming.more(client).await?;
    if incoming.bytes.first() == Some(&TLS_HANDSHAKE) {
        accept_direct(regime, client, peer, &mut incoming).await?;
        ssl = true;
    }
    loop {
        let length = loop {
            match startup::length(&incoming.bytes) {
                Ok(Some(length)) if incoming.bytes.len() >= length => break length,
                Ok(Some(_) | None) => incoming.more(client).await?,
                // Not a peer that would understand a word, or one that takes its leave at once
                // (Terminate): PostgreSQL closes without one, too.
                Err(error) => {
                    tracing::info!(client = %peer, cause = error.0, "a peer did not begin a session");
                    return Err(Over::Done);
                }
            }
        };
        let packet: Vec<u8> = incoming.bytes.get(..length).unwrap_or(&[]).to_vec();
        incoming.consume(length);
        match startup::read(&packet).map_err(malformed)? {
            Request::Ssl | Request::GssEnc if !incoming.bytes.is_empty() => {
                // Whatever follows a request before its answer was put there by somebody else.
                let text = "sealgate: received unencrypted data after an encryption request";
                return Err(fatal("08P01", text));
            }
            Request::Ssl if !ssl => {
                ssl = true;
                match (&regime.client_tls, peer) {
                    (Some(tls), Peer::Tcp(_)) => {
                        client.write_all(b"S").await?;
                        accept(tls, client, &[]).await?;
                        // Inside TLS there is nothing more to negotiate.
                        gss = true;
                    }
                    (Some(_), Peer::Local) | (None, _) => client.write_all(b"N").await?,
                }
            }
            Request::GssEnc if !gss => {
                gss = true;
                client.write_all(b"N").await?;
            }
            Request::Ssl | Request::GssEnc => {
                return Err(fatal("08P01", "sealgate: repeated encryption request"));
            }
            Request::Cancel { process, secret } => {
                gate.cancels.serve(process, secret).await;
                return Err(Over::Done);
            }
            Request::Unsupported { major, minor } => {
                let text = format!(
                    "sealgate: unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_MAX}"
                );
                return Err(fatal("0A000", text));
            }
            Request::Start(_) => return Ok((packet, incoming)),
        }
    }
}

/// TLS from the first byte (PostgreSQL 17 and later). Whoever speaks it must name the
/// protocol, or a connection meant for another server could be led here.
async fn accept_direct(
    regime: &Regime,
    client: &mut Channel,
    peer: Peer,
    incoming: &mut Incoming,
) -> Result<(), Over> {
    let (Some(tls), Peer::Tcp(_)) = (&regime.client_tls, peer) else {
        // Nobody there would understand an answer in plain.
        tracing::info!(client = %peer, "direct TLS was asked for where it is not offered");
        return Err(Over::Done);
    };
    let early = std::mem::take(&mut incoming.bytes);
    accept(tls, client, &early).await?;
    if client.tls().is_some_and(|facts| facts.alpn) {
        return Ok(());
    }
    let text = "sealgate: received direct SSL connection request without ALPN protocol negotiation extension";
    Err(fatal("08P01", text))
}

async fn accept(tls: &ServerTls, client: &mut Channel, early: &[u8]) -> Result<(), Over> {
    client.accept_tls(tls, early).await.map_err(|error| {
        // The alert has told the client.
        tracing::info!(%error, "a TLS handshake failed");
        Over::Done
    })
}

/// Before any password is asked for: a client must not send one in plain.
pub(super) fn require_tls(regime: &Regime, client: &Channel, peer: Peer) -> Result<(), Over> {
    let required = regime.settings.listen.tls.as_ref().is_some_and(|tls| tls.required);
    if !required || client.tls().is_some() || peer == Peer::Local {
        return Ok(());
    }
    Err(Over::Fatal {
        sqlstate: "28000",
        message: "sealgate: TLS is required".to_owned(),
        detail: String::new(),
        hint: "Connect with sslmode=require, or verify-full.".to_owned(),
        reason: "",
    })
}
