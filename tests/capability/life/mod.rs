//! The life of the program: read again, drained, kept within limits, told of, and with
//! servers that come and go.

mod check;
mod databases;
mod drain;
mod farewell;
mod heavy_hosts;
mod kill;
mod limits;
mod network;
mod notify;
mod reload;
mod renewal;
mod restart;

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, await_that};

/// Sends SIGHUP and waits until the reload has ended as it should: `applied` or `refused`.
pub fn reload(gate: &Gate, result: &str) {
    let series = format!("sealgate_reloads_total{{result=\"{result}\"}}");
    let before = gate.metric(&series).unwrap_or(0.0);
    gate.signal("HUP");
    await_that(&format!("a reload that is {result}"), || gate.metric(&series).unwrap_or(0.0) > before);
}

/// Backends of client sessions of the shop's database, as the server sees them.
pub fn backends(server: &Throwaway, condition: &str) -> usize {
    let sql = format!(
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' \
         AND application_name <> 'sealgate' AND pid <> pg_backend_pid() AND {condition}"
    );
    server.query("postgres", &sql).unwrap().len()
}

/// Up to the FATAL error that ends the stream: its SQLSTATE, message and detail.
pub fn fatal(raw: &mut Raw) -> (String, String, String) {
    let mut last: Option<Frame> = None;
    while let Some(frame) = raw.read() {
        last = Some(frame);
    }
    let Some(last) = last else { panic!("the stream ended without a word") };
    assert_eq!(last.tag, b'E');
    assert_eq!(last.field(b'S').as_deref(), Some("FATAL"));
    (last.field(b'C').unwrap(), last.field(b'M').unwrap(), last.field(b'D').unwrap_or_default())
}
