//! TLS for both hops: what a listener presents, how a server is verified, and the records
//! of one connection.

mod client;
mod fault;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod identity;
mod server;
mod tunnel;
mod verify;

pub use client::{ClientIdentity, ClientTls, ClientTlsSettings};
pub use fault::{TlsError, TlsFault, TlsWarning};
pub use files::{Validity, validities};
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::{fuzz_tls_accept, fuzz_tls_connect};
pub use server::{Identity, ServerTls, ServerTlsSettings};
pub use tunnel::TlsFacts;
pub(super) use tunnel::Tunnel;

use std::sync::{Arc, LazyLock};

use crate::config::{ClientCertificate, TlsMode, TlsVersion};
use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

/// The protocol's name in ALPN.
const ALPN: &[u8] = b"postgresql";

/// The versions that are spoken where this is the oldest.
fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static LATEST: [&SupportedProtocolVersion; 1] = [&TLS13];
    match oldest {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &LATEST,
    }
}

/// The one provider: X25519MLKEM768 stands first among its groups.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests;
