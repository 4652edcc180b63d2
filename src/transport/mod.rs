//! Bytes over a connection, whatever carries it: TCP or a Unix socket, plain or under TLS.
//!
//! Both hops use the same [`Channel`]. It never waits by itself where the street uses it
//! (`try_read`, `try_write`); the login and the service connection use its waiting forms.

pub mod blocking;
mod channel;
mod service_tls;
mod socket;
pub mod tls;
pub mod web;

pub use channel::Channel;
pub use service_tls::{EndPoint, ServiceStream};
pub use socket::{Line, Peer, Socket};
