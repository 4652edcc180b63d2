//! Entry for fuzzers: bytes of a client that never met a handshake.

use super::{ServerTls, Tunnel};

/// Feeds a server connection with arbitrary bytes in pieces whose sizes the first byte
/// tells. It must refuse or wait, and keep no more than it was given.
///
/// # Panics
/// Where that does not hold: that is what a fuzzer looks for.
pub fn fuzz_tls_accept(tls: &ServerTls, data: &[u8]) {
    let Some((&size, mut rest)) = data.split_first() else { return };
    let Ok((mut tunnel, _)) = Tunnel::accept(tls) else { return };
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(usize::from(size).max(1).min(rest.len()));
        if tunnel.feed(piece).is_err() {
            return;
        }
        assert!(tunnel.is_handshaking(), "nobody can finish a handshake by chance");
        rest = after;
    }
}
