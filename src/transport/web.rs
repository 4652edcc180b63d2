//! HTTP to whoever the configuration names, blocking, for threads that wait for nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Whom the system trusts, as Debian and its kin have it.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The one provider of cryptography.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Who may certify a receiver. None: whom the system trusts.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn roots(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let file = ca.unwrap_or(Path::new(SYSTEM_CA));
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| named(&error))?.collect();
    let found = read.map_err(|error| named(&error))?;
    if found.is_empty() { Err(named(&"holds no certificate")) } else { Ok(found) }
}

/// A way to one address, which is verified by its name where it begins with `https://`. `patience`: for all of one
/// request, connecting included.
///
/// # Errors
/// The address cannot be read, or `ca`.
pub fn agent(url: &str, ca: Option<&Path>, patience: Duration) -> Result<Agent, String> {
    url.parse::<ureq::http::Uri>().map_err(|_| "its address cannot be read".to_owned())?;
    let mut config = Agent::config_builder()
        .timeout_global(Some(patience))
        // Whoever answers with another address is not who was named.
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("sealgate/", env!("CARGO_PKG_VERSION")));
    if url.starts_with("https://") {
        let roots = roots(ca)?;
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots.iter().cloned()))
            .unversioned_rustls_crypto_provider(provider())
            .build();
        config = config.tls_config(tls);
    }
    Ok(config.build().into())
}
