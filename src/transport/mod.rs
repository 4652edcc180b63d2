//! Bytes over a connection, whatever carries it: TCP or a Unix socket, plain or under TLS.
//!
//! Both hops use the same [`Channel`]. It never waits by itself where the street uses it
//! (`try_read`, `try_write`); the login and the service connection use its waiting forms.

mod channel;
mod socket;
mod tls_stub;

pub use channel::Channel;
pub use socket::{Peer, Socket};
pub use tls_stub::{ClientTls, ServerTls, TlsError, TlsFacts};
