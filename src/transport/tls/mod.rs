//! TLS for both hops: what a listener presents, how a server is verified, and the records
//! of one connection.

mod client;
mod fault;
mod files;
mod fuzz;
mod identity;
mod server;
mod tunnel;
mod verify;

pub use client::{ClientIdentity, ClientTls, ClientTlsSettings, TlsMode};
pub use fault::{TlsError, TlsFault, TlsWarning};
pub use fuzz::fuzz_tls_accept;
pub use server::{ClientCertificate, Identity, ServerTls, ServerTlsSettings};
pub use tunnel::TlsFacts;
pub(super) use tunnel::Tunnel;

use std::sync::{Arc, LazyLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

/// The protocol's name in ALPN.
const ALPN: &[u8] = b"postgresql";

/// The oldest version that is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsVersion {
    #[default]
    V1_2,
    V1_3,
}

impl TlsVersion {
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static LATEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            TlsVersion::V1_2 => &BOTH,
            TlsVersion::V1_3 => &LATEST,
        }
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
