//! Login `scram`: SCRAM-SHA-256 (RFC 5802, RFC 7677) ends here on both hops.
//!
//! Towards the client, [`exchange`] does what PostgreSQL's server does, against the
//! server's own [`Verifier`]. From a valid proof it recovers the key with which
//! [`upstream`] then logs in at the server as that same user: no password is ever known
//! here. Each hop binds the exchange to its own channel where it has one.
//!
//! Nothing here knows a socket, a clock or chance: nonces are handed in.

mod arithmetic;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod message;
mod upstream;
mod verifier;

#[cfg(test)]
mod tests;

pub use exchange::{
    Challenge, ExpectFinal, ExpectFirst, ExpectInitial, Fault, Initial, Proven, ReadyToChallenge,
};
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz_scram;
pub use message::Nonce;
pub use upstream::{Step, Upstream, UpstreamFault};
pub use verifier::{ITERATIONS_DEFAULT, MockSecret, RecoveredKeys, Verifier};

/// Largest SASL message of a client, in bytes, its length word included: the server's own
/// bound (`PG_MAX_SASL_MESSAGE_LENGTH`), so that whoever can log in there can here.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 1024;

/// Largest authentication request of a server, in bytes, its length word included: the
/// bound that libpq has.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 2000;

const PLAIN: &[u8] = b"SCRAM-SHA-256";
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";

/// Codes of Authentication messages.
mod code {
    pub const OK: u32 = 0;
    pub const SASL: u32 = 10;
    pub const SASL_CONTINUE: u32 = 11;
    pub const SASL_FINAL: u32 = 12;
}
