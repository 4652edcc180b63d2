//! The side towards the client: what PostgreSQL's server does (`auth-scram.c`), in the same
//! order, with the same SQLSTATEs.
//!
//! Each state is a struct that its transition consumes, so a message out of turn has
//! nowhere to go:
//!
//! ```text
//! ExpectInitial -> (ExpectFirst ->) ReadyToChallenge -> ExpectFinal -> Proven
//! ```
//!
//! A user who has no verifier gets a mock exchange, which differs in nothing that can be
//! seen: the same messages, the same arithmetic, the same refusal at the same place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::arithmetic::{hmac, sha256, xor};
use super::message::{self, BOUND_HEADER, FirstFault, Flag, Nonce};
use super::verifier::{MockSecret, RecoveredKeys, Verifier};
use super::{PLAIN, PLUS, code};
use crate::login::principal::{Claim, Principal};
use crate::wire::{Frame, Malformed};

/// Why the exchange ends. The client is told this, as FATAL. No bytes of it but the
/// user's name, as the server has it too.
pub struct Fault {
    pub sqlstate: &'static str,
    pub message: String,
    /// May be empty.
    pub detail: &'static str,
}

impl Fault {
    fn new(sqlstate: &'static str, message: &str, detail: &'static str) -> Fault {
        Fault { sqlstate, message: message.to_owned(), detail }
    }

    /// The server's own words: neither more nor less is told of who exists.
    fn wrong_password(user: &str) -> Fault {
        Fault::new("28P01", &format!("password authentication failed for user \"{user}\""), "")
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::new("08P01", "sealgate: malformed SCRAM message", malformed.0)
    }
}

impl From<FirstFault> for Fault {
    fn from(fault: FirstFault) -> Fault {
        match fault {
            FirstFault::Malformed(malformed) => malformed.into(),
            FirstFault::AuthorizationIdentity => Fault::new(
                "0A000",
                "sealgate: client uses authorization identity, but it is not supported",
                "",
            ),
            FirstFault::MandatoryExtension => {
                Fault::new("0A000", "sealgate: client requires an unsupported SCRAM extension", "")
            }
        }
    }
}

/// The mechanisms are offered; the client's choice comes next.
pub struct ExpectInitial {
    claim: Claim,
    digest: Option<Vec<u8>>,
}

/// What a client's first SASL message was.
pub enum Initial {
    /// A choice and the first SCRAM message: look the verifier up, then challenge.
    Read(ReadyToChallenge),
    /// A choice alone; the client has been asked to go on.
    Chosen(ExpectFirst),
}

impl ExpectInitial {
    /// Appends the offer. `digest` is the `tls-server-end-point` of the certificate that
    /// was presented to this client (see [`crate::login::binding`]), None on a hop without
    /// TLS or where the certificate has none: then `-PLUS` is not offered.
    #[must_use]
    pub fn offer(claim: Claim, digest: Option<Vec<u8>>, out: &mut Vec<u8>) -> ExpectInitial {
        let both: [&[u8]; 2] = [PLUS, PLAIN];
        message::put_offer(out, if digest.is_some() { &both } else { &[PLAIN] });
        ExpectInitial { claim, digest }
    }

    /// Takes the SASLInitialResponse; appends the answer where the client left its message
    /// for later.
    ///
    /// # Errors
    /// Any other message, a mechanism that was not offered, and all of
    /// [`ExpectFirst::first`].
    pub fn initial(self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Initial, Fault> {
        let (mechanism, message) = message::read_initial(message::read_response(frame)?)?;
        let bound = mechanism == PLUS && self.digest.is_some();
        if !bound && mechanism != PLAIN {
            let text = "sealgate: client selected an invalid SASL authentication mechanism";
            return Err(Fault::new("08P01", text, ""));
        }
        let next = ExpectFirst { claim: self.claim, digest: self.digest, bound };
        match message {
            Some(message) => next.read(message).map(Initial::Read),
            None => {
                message::put_authentication(out, code::SASL_CONTINUE, b"");
                Ok(Initial::Chosen(next))
            }
        }
    }
}

/// A mechanism is chosen; the first SCRAM message comes next.
pub struct ExpectFirst {
    claim: Claim,
    digest: Option<Vec<u8>>,
    bound: bool,
}

impl ExpectFirst {
    /// Takes the SASLResponse with the first SCRAM message.
    ///
    /// # Errors
    /// A malformed message; channel binding that does not fit the mechanism or was
    /// suppressed on the way; an authorization identity; a mandatory extension.
    pub fn first(self, frame: Frame<'_>) -> Result<ReadyToChallenge, Fault> {
        let message = message::read_response(frame)?;
        self.read(message)
    }

    fn read(self, message: &[u8]) -> Result<ReadyToChallenge, Fault> {
        message::check_text(message)?;
        let (flag, rest) = message::read_flag(message)?;
        let binding = self.binding(flag)?;
        let (bare, nonce) = message::read_client_first(rest)?;
        Ok(ReadyToChallenge {
            claim: self.claim,
            bound: self.bound,
            binding,
            first_bare: bare.to_vec(),
            client_nonce: nonce.to_vec(),
        })
    }

    /// What `c=` must be in the last message.
    fn binding(&self, flag: Flag<'_>) -> Result<String, Fault> {
        match (flag, &self.digest) {
            (Flag::Bound(kind), Some(digest)) if self.bound => {
                if kind == b"tls-server-end-point" {
                    Ok(message::binding_base64(BOUND_HEADER, digest))
                } else {
                    Err(Fault::new("08P01", "sealgate: unsupported SCRAM channel-binding type", ""))
                }
            }
            (Flag::Bound(_), _) => Err(Malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes \
                 channel binding data.",
            )
            .into()),
            (Flag::Unable | Flag::Unoffered, _) if self.bound => Err(Malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel \
                 binding data.",
            )
            .into()),
            (Flag::Unoffered, Some(_)) => Err(Fault::new(
                "28000",
                "sealgate: SCRAM channel binding negotiation error",
                "The client supports SCRAM channel binding but thinks the server does not. However, this \
                 server does support channel binding.",
            )),
            (Flag::Unoffered, None) => Ok(message::binding_base64(b"y,,", b"")),
            (Flag::Unable, _) => Ok(message::binding_base64(b"n,,", b"")),
        }
    }
}

/// The client's first message is read; nothing has been told to it yet.
pub struct ReadyToChallenge {
    claim: Claim,
    bound: bool,
    binding: String,
    first_bare: Vec<u8>,
    client_nonce: Vec<u8>,
}

/// What the challenge is made of.
pub struct Challenge<'a> {
    /// None where the user may not log in by SCRAM: then the exchange is a mock.
    pub verifier: Option<Verifier>,
    pub mock: &'a MockSecret,
    /// What a verifier made today would have.
    pub mock_iterations: u32,
    pub nonce: Nonce,
}

impl ReadyToChallenge {
    /// Appends the server's first message.
    #[must_use]
    pub fn challenge(self, challenge: Challenge<'_>, out: &mut Vec<u8>) -> ExpectFinal {
        // Made whether it is needed or not: both ways take the same time.
        let user = self.claim.user.as_bytes();
        let mock = Verifier::mock(challenge.mock, user, challenge.mock_iterations);
        let known = challenge.verifier.is_some();
        let verifier = challenge.verifier.unwrap_or(mock);
        let nonce = [self.client_nonce.as_slice(), challenge.nonce.as_bytes()].concat();
        let server_first = message::put_server_first(&nonce, &verifier.salt, verifier.iterations);
        message::put_authentication(out, code::SASL_CONTINUE, &server_first);
        ExpectFinal {
            claim: self.claim,
            bound: self.bound,
            binding: self.binding,
            first_bare: self.first_bare,
            nonce,
            server_first,
            verifier,
            known,
        }
    }
}

/// The client has been challenged; its proof comes next.
pub struct ExpectFinal {
    claim: Claim,
    bound: bool,
    binding: String,
    first_bare: Vec<u8>,
    nonce: Vec<u8>,
    server_first: Vec<u8>,
    verifier: Verifier,
    known: bool,
}

/// The client has proven that it has the password.
pub struct Proven {
    pub principal: Principal,
    /// What it takes to log in at the server as the same user.
    pub keys: RecoveredKeys,
    /// AuthenticationSASLFinal, for the client: the proof that here, too, the password's
    /// verifier is known. To be sent with AuthenticationOk, or not at all.
    pub final_message: Vec<u8>,
}

impl ExpectFinal {
    /// Takes the SASLResponse with the proof.
    ///
    /// # Errors
    /// A malformed message, another channel or nonce than the exchange's; a wrong proof and
    /// a user without verifier, which are one and the same.
    pub fn finish(self, frame: Frame<'_>) -> Result<Proven, Fault> {
        let message = message::read_response(frame)?;
        message::check_text(message)?;
        let last = message::read_client_final(message)?;
        self.check_binding(last.binding)?;
        if last.nonce != self.nonce {
            return Err(Fault::new("08P01", "sealgate: invalid SCRAM response", "Nonce does not match."));
        }
        let auth_message = [&self.first_bare, b",".as_slice(), &self.server_first, b",", last.without_proof];
        let signature = Zeroizing::new(hmac(&self.verifier.stored_key, &auth_message));
        let client_key = xor(&last.proof, &signature);
        let fits = sha256(&**client_key).ct_eq(&**self.verifier.stored_key);
        if !bool::from(fits & Choice::from(u8::from(self.known))) {
            return Err(Fault::wrong_password(&self.claim.user));
        }
        let server_signature = Zeroizing::new(hmac(&self.verifier.server_key, &auth_message));
        let mut final_message = Vec::new();
        let text = format!("v={}", STANDARD.encode(*server_signature));
        message::put_authentication(&mut final_message, code::SASL_FINAL, text.as_bytes());
        let method = if self.bound { "scram-plus" } else { "scram" };
        let keys = RecoveredKeys { client_key, verifier: self.verifier };
        Ok(Proven { principal: Principal::proven(self.claim, method), keys, final_message })
    }

    fn check_binding(&self, binding: &[u8]) -> Result<(), Fault> {
        if binding == self.binding.as_bytes() {
            Ok(())
        } else if self.bound {
            Err(Fault::new("28000", "sealgate: SCRAM channel binding check failed", ""))
        } else {
            let text = "sealgate: unexpected SCRAM channel-binding attribute in client-final-message";
            Err(Fault::new("08P01", text, ""))
        }
    }
}
