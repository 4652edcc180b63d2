//! Login `relay`: the server's own exchange is passed through, message by message.
//!
//! Works with every method the server knows; no password is seen in the clear that the
//! client would not have sent anyway. Channel binding cannot be relayed, so the `-PLUS`
//! mechanisms are taken off the server's offer.

use super::principal::{Claim, Principal};
use crate::wire::frame::put;
use crate::wire::{Frame, Malformed, backend};

const OK: u32 = 0;
const SASL: u32 = 10;

/// What a message of the server means for the login.
pub enum Progress {
    /// Goes to the client; the exchange continues.
    Continue,
    /// AuthenticationOk: the server has proven the client.
    Proven(Principal),
    /// ErrorResponse: goes to the client, and the session ends.
    Refused,
}

/// The exchange between startup and AuthenticationOk.
pub struct Relay {
    claim: Option<Claim>,
}

impl Relay {
    #[must_use]
    pub fn new(claim: Claim) -> Relay {
        Relay { claim: Some(claim) }
    }

    /// Takes one message of the server and appends what the client is told.
    ///
    /// # Errors
    /// A message that cannot stand before AuthenticationOk.
    pub fn from_server(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Progress, Malformed> {
        match frame.tag() {
            b'R' => {
                let (code, rest) = backend::read_authentication(frame.body())?;
                if code == SASL {
                    put_offer_without_binding(rest, out)?;
                    return Ok(Progress::Continue);
                }
                out.extend_from_slice(frame.bytes());
                if code != OK {
                    return Ok(Progress::Continue);
                }
                let claim = self.claim.take().ok_or(Malformed("second AuthenticationOk"))?;
                Ok(Progress::Proven(Principal::proven(claim, "relay")))
            }
            b'E' => {
                out.extend_from_slice(frame.bytes());
                Ok(Progress::Refused)
            }
            b'N' => {
                out.extend_from_slice(frame.bytes());
                Ok(Progress::Continue)
            }
            _ => Err(Malformed("unexpected message before AuthenticationOk")),
        }
    }

    /// Takes one message of the client: only answers to the exchange may pass.
    ///
    /// # Errors
    /// Any other message.
    pub fn from_client(&self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if frame.tag() == b'p' && self.claim.is_some() {
            out.extend_from_slice(frame.bytes());
            Ok(())
        } else {
            Err(Malformed("expected password response"))
        }
    }
}

fn put_offer_without_binding(list: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mechanisms = backend::read_sasl_mechanisms(list)?;
    put(out, b'R', |out| {
        out.extend_from_slice(&SASL.to_be_bytes());
        for mechanism in mechanisms.iter().filter(|name| !name.ends_with(b"-PLUS")) {
            out.extend_from_slice(mechanism);
            out.push(0);
        }
        out.push(0);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Peek, peek, startup::Start};

    fn relay() -> Relay {
        let start = Start { minor: 0, parameters: vec![(b"user", b"app")] };
        Relay::new(Claim::new(&start, "::1".into(), "".into(), 1))
    }

    fn frame(bytes: &[u8]) -> Frame<'_> {
        let Ok(Peek::Whole(frame)) = peek(bytes) else { panic!("a whole frame") };
        frame
    }

    #[test]
    fn only_authentication_ok_makes_a_principal() {
        let mut relay = relay();
        let mut out = Vec::new();
        assert!(matches!(
            relay.from_server(frame(b"R\0\0\0\x08\0\0\0\x03"), &mut out),
            Ok(Progress::Continue)
        ));
        assert!(matches!(relay.from_server(frame(b"E\0\0\0\x05\0"), &mut out), Ok(Progress::Refused)));
        assert!(relay.from_server(frame(b"Z\0\0\0\x05I"), &mut out).is_err());
        let Ok(Progress::Proven(principal)) = relay.from_server(frame(b"R\0\0\0\x08\0\0\0\0"), &mut out)
        else {
            panic!("proven")
        };
        assert_eq!(&**principal.user(), "app");
        assert!(relay.from_server(frame(b"R\0\0\0\x08\0\0\0\0"), &mut out).is_err());
        assert!(relay.from_client(frame(b"p\0\0\0\x05\0"), &mut out).is_err(), "nothing after the proof");
    }

    #[test]
    fn channel_binding_is_taken_off_the_offer() {
        let mut offer = Vec::new();
        put(&mut offer, b'R', |out| {
            out.extend_from_slice(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
        });
        let mut out = Vec::new();
        assert!(matches!(relay().from_server(frame(&offer), &mut out), Ok(Progress::Continue)));
        assert_eq!(&out[5..], b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    }

    #[test]
    fn a_query_before_the_proof_is_refused() {
        assert!(relay().from_client(frame(b"Q\0\0\0\x05\0"), &mut Vec::new()).is_err());
    }
}
