//! What every capability's tests stand on: servers, the program itself, a tap between
//! them, a search through everything that a server stores, and clients.

#![allow(dead_code, unused_imports, reason = "each capability uses a part")]

mod gate;
mod raw;
mod search;
mod session;
mod tap;

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sealgate::store::postgres::{Options, Throwaway};

pub use gate::{Gate, Setup, sealgate_command};
pub use raw::{Frame, Raw, frame, string};
pub use search::{Hit, search_folder, search_server};
pub use session::Session;
pub use tap::Tap;

/// The versions that every claim about a server is made on.
pub const VERSIONS: [u32; 2] = [15, 18];

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server that logs every statement, with trust for everyone.
pub fn pg(major: u32) -> Throwaway {
    pg_with(Options { major: Some(major), ..Options::default() })
}

/// A server as wanted; it logs every statement all the same.
pub fn pg_with(mut options: Options) -> Throwaway {
    options.configuration.insert(0, "log_statement = 'all'\nlog_parameter_max_length = -1".to_owned());
    Throwaway::start(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// Awaits a condition; panics with `what` when it does not come true.
pub fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs psql of the server's own installation against `address`, unaligned, rows only.
pub fn psql(server: &Throwaway, address: SocketAddr, user: &str, database: &str, sql: &str) -> Output {
    Command::new(server.binaries().program("psql"))
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h"])
        .arg(address.ip().to_string())
        .args(["-p", &address.port().to_string(), "-U", user, "-d", database, "-c", sql])
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
