//! Throwaway PostgreSQL servers: `sealgate demo` shows real statements on one, and every
//! test that makes a claim about a server makes it on a real one.
//!
//! A server lives in its own folder under the temporary directory, listens on a free port
//! of the loopback address, and is gone with its folder when its [`Throwaway`] is dropped
//! or the process that started it ends in any way, SIGKILL included.

mod binaries;
mod throwaway;

pub use binaries::Binaries;
pub use throwaway::{Authentication, Options, SUPERUSER, Throwaway, User};
