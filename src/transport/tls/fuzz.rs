//! Entries for fuzzers: bytes of a peer that never met a handshake.

use super::{ClientTls, ServerTls, Tunnel};

/// Feeds a server connection with arbitrary bytes in pieces whose sizes the first byte
/// tells. It must refuse or wait.
///
/// # Panics
/// Where that does not hold: that is what a fuzzer looks for.
pub fn fuzz_tls_accept(tls: &ServerTls, data: &[u8]) {
    if let Ok((tunnel, _)) = Tunnel::accept(tls) {
        feed(tunnel, data);
    }
}

/// The same of a client connection, whose server is the fuzzer.
///
/// # Panics
/// Where that does not hold.
pub fn fuzz_tls_connect(tls: &ClientTls, data: &[u8]) {
    if let Ok(tunnel) = Tunnel::connect(tls, "localhost") {
        feed(tunnel, data);
    }
}

fn feed(mut tunnel: Box<Tunnel>, data: &[u8]) {
    let Some((&size, mut rest)) = data.split_first() else { return };
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(usize::from(size).max(1).min(rest.len()));
        if tunnel.feed(piece).is_err() {
            return;
        }
        assert!(tunnel.is_handshaking(), "nobody can finish a handshake by chance");
        rest = after;
    }
}
