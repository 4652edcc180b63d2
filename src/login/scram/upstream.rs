//! The side towards the server: logs in with a recovered key instead of a password.
//!
//! The server proves itself as well: AuthenticationOk counts only once its signature was
//! verified, unless it asks for no password at all (`trust`, `peer`, `cert`), which is
//! its own decision about a user whose proof was given here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::arithmetic::{Key, hmac, xor};
use super::message::{self, BOUND_HEADER, Nonce};
use super::verifier::RecoveredKeys;
use super::{PLAIN, PLUS, SERVER_MESSAGE_BYTES_MAX, code};
use crate::wire::frame::put;
use crate::wire::{Frame, Malformed, backend};

/// Why the login at the server fails without the server having said so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamFault {
    /// The server wants this, which a SCRAM proof cannot give.
    Asks(&'static str),
    /// Salt or iterations are not those of the verifier that `auth_query` returned.
    OtherVerifier,
    /// AuthenticationOk in the middle of the exchange: whoever that is has not shown that
    /// it knows the user.
    Unproven,
    /// The server's signature is wrong: it does not know the user's verifier.
    WrongSignature,
    Malformed(Malformed),
}

impl UpstreamFault {
    /// The SQLSTATE of the FATAL that the client is told.
    #[must_use]
    pub fn sqlstate(self) -> &'static str {
        match self {
            UpstreamFault::Asks(_) | UpstreamFault::OtherVerifier => "28000",
            UpstreamFault::Unproven | UpstreamFault::WrongSignature | UpstreamFault::Malformed(_) => "08P01",
        }
    }
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamFault::Asks(what) => write!(
                f,
                "the server asks for {what}; login \"scram\" needs scram-sha-256 in its pg_hba.conf"
            ),
            UpstreamFault::OtherVerifier => {
                f.write_str("the server's verifier is not the one that auth_query returned")
            }
            UpstreamFault::Unproven => {
                f.write_str("the server has broken off the SCRAM exchange before its end")
            }
            UpstreamFault::WrongSignature => f.write_str("the server's SCRAM signature is wrong"),
            UpstreamFault::Malformed(malformed) => {
                write!(f, "malformed authentication message of the server: {}", malformed.0)
            }
        }
    }
}

impl From<Malformed> for UpstreamFault {
    fn from(malformed: Malformed) -> UpstreamFault {
        UpstreamFault::Malformed(malformed)
    }
}

/// What a message of the server means for the login.
pub enum Step {
    /// Whatever was appended goes to the server; the exchange continues.
    Continue(Upstream),
    /// A NoticeResponse, which may go to the client; the exchange continues.
    Notice(Upstream),
    /// AuthenticationOk.
    Accepted,
    /// ErrorResponse: goes to the client, and the session ends.
    Refused,
}

/// The login between the StartupMessage and AuthenticationOk.
pub struct Upstream(State);

enum State {
    Begin(Begin),
    First(ExpectServerFirst),
    Final(ExpectServerFinal),
    Verified,
}

impl Upstream {
    /// `digest` is the `tls-server-end-point` of the certificate that the server presented,
    /// None on a hop without TLS or where the certificate has none.
    #[must_use]
    pub fn new(keys: RecoveredKeys, digest: Option<Vec<u8>>, nonce: Nonce) -> Upstream {
        Upstream(State::Begin(Begin { keys, digest, nonce }))
    }

    /// Takes one message of the server and appends what the server is told.
    ///
    /// # Errors
    /// See [`UpstreamFault`].
    pub fn take(self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Step, UpstreamFault> {
        match frame.tag() {
            b'R' if frame.len() > SERVER_MESSAGE_BYTES_MAX + 1 => {
                Err(Malformed("The message is too long.").into())
            }
            b'R' => self.authentication(frame.body(), out),
            b'E' => Ok(Step::Refused),
            b'N' => Ok(Step::Notice(self)),
            _ => Err(Malformed("Something else than an authentication request.").into()),
        }
    }

    fn authentication(self, body: &[u8], out: &mut Vec<u8>) -> Result<Step, UpstreamFault> {
        let (code, body) = backend::read_authentication(body)?;
        let next = match (self.0, code) {
            (State::Begin(_) | State::Verified, code::OK) if body.is_empty() => return Ok(Step::Accepted),
            (State::First(_) | State::Final(_), code::OK) => return Err(UpstreamFault::Unproven),
            (State::Begin(begin), code::SASL) => State::First(begin.choose(body, out)?),
            (State::Begin(_), code) => return Err(UpstreamFault::Asks(name_of(code))),
            (State::First(first), code::SASL_CONTINUE) => State::Final(first.prove(body, out)?),
            (State::Final(last), code::SASL_FINAL) => last.verify(body)?,
            (State::First(_) | State::Final(_) | State::Verified, _) => {
                return Err(Malformed("An authentication request out of turn.").into());
            }
        };
        Ok(Step::Continue(Upstream(next)))
    }
}

/// What an authentication request is called, for who runs the server.
fn name_of(code: u32) -> &'static str {
    match code {
        2 => "Kerberos V5",
        3 => "a cleartext password",
        5 => "an MD5 password",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => "an unknown kind of authentication",
    }
}

/// Nothing asked yet.
struct Begin {
    keys: RecoveredKeys,
    digest: Option<Vec<u8>>,
    nonce: Nonce,
}

impl Begin {
    fn choose(self, offer: &[u8], out: &mut Vec<u8>) -> Result<ExpectServerFirst, UpstreamFault> {
        let offered = backend::read_sasl_mechanisms(offer)?;
        let (mechanism, header, digest) = match self.digest {
            Some(digest) if offered.contains(&PLUS) => (PLUS, BOUND_HEADER, digest),
            _ if !offered.contains(&PLAIN) => {
                return Err(UpstreamFault::Asks("a SASL mechanism other than SCRAM-SHA-256"));
            }
            // Should somebody have taken -PLUS off the offer, the server will know by this.
            Some(_) => (PLAIN, b"y,,".as_slice(), Vec::new()),
            None => (PLAIN, b"n,,".as_slice(), Vec::new()),
        };
        // The name is the StartupMessage's; libpq leaves it empty here, too.
        let first_bare = [b"n=,r=", self.nonce.as_bytes()].concat();
        message::put_initial(out, mechanism, &[header, &first_bare].concat());
        let binding = message::binding_base64(header, &digest);
        Ok(ExpectServerFirst { keys: self.keys, nonce: self.nonce, first_bare, binding })
    }
}

/// The exchange has begun; salt and iterations come next.
struct ExpectServerFirst {
    keys: RecoveredKeys,
    nonce: Nonce,
    first_bare: Vec<u8>,
    binding: String,
}

impl ExpectServerFirst {
    fn prove(self, server_first: &[u8], out: &mut Vec<u8>) -> Result<ExpectServerFinal, UpstreamFault> {
        message::check_text(server_first)?;
        let first = message::read_server_first(server_first)?;
        if first.nonce.strip_prefix(self.nonce.as_bytes()).is_none_or(<[u8]>::is_empty) {
            return Err(Malformed("Nonce does not match.").into());
        }
        let verifier = &self.keys.verifier;
        if first.salt != verifier.salt || first.iterations != verifier.iterations {
            return Err(UpstreamFault::OtherVerifier);
        }
        let mut answer = format!("c={},r=", self.binding).into_bytes();
        answer.extend_from_slice(first.nonce);
        let auth_message = [&self.first_bare, b",".as_slice(), server_first, b",", &answer];
        let signature = Zeroizing::new(hmac(&verifier.stored_key, &auth_message));
        let server_signature = Zeroizing::new(hmac(&verifier.server_key, &auth_message));
        let proof = xor(&self.keys.client_key, &signature);
        let proof = Zeroizing::new(STANDARD.encode(*proof));
        put(out, b'p', |out| {
            out.extend_from_slice(&answer);
            out.extend_from_slice(b",p=");
            out.extend_from_slice(proof.as_bytes());
        });
        Ok(ExpectServerFinal { server_signature })
    }
}

/// The proof is given; the server's comes next.
struct ExpectServerFinal {
    server_signature: Zeroizing<Key>,
}

impl ExpectServerFinal {
    fn verify(self, server_final: &[u8]) -> Result<State, UpstreamFault> {
        let signature = message::read_server_final(server_final)?;
        if bool::from(signature.ct_eq(&*self.server_signature)) {
            Ok(State::Verified)
        } else {
            Err(UpstreamFault::WrongSignature)
        }
    }
}
