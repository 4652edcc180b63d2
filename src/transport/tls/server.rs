//! What the listener presents to clients and asks of them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ServerConfig, UnbufferedServerConnection, WebPkiClientVerifier,
};

use super::identity::{Choice, Resolver};
use super::{ALPN, ClientCertificate, TlsFault, TlsVersion, TlsWarning, files, provider, versions};

/// A certificate chain, its key, and the host names for which it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// PEM: the certificate, then those that certify it.
    pub chain: PathBuf,
    /// PEM: the key, not encrypted.
    pub key: PathBuf,
    /// Host names, exact or as `*.example.org`; none: those that the certificate is for.
    pub names: Vec<String>,
}

/// What [`ServerTls::load`] is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerTlsSettings {
    /// The first is the default, for clients that name no host or one that is not known.
    pub identities: Vec<Identity>,
    /// PEM: who may certify clients. Needed where a certificate is asked for.
    pub client_ca: Option<PathBuf>,
    /// PEM: revoked certificates of clients. With it, every authority needs its list.
    pub client_crl: Option<PathBuf>,
    pub client_certificate: ClientCertificate,
    pub version_min: TlsVersion,
}

/// TLS of a listener, ready. Rotation is loading another one: connections keep nothing of
/// it but the certificate they were shown.
pub struct ServerTls {
    /// Its resolver is replaced for every connection.
    config: ServerConfig,
    choice: Arc<Choice>,
    warnings: Vec<TlsWarning>,
}

impl ServerTls {
    /// Reads every file and checks it.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn load(settings: &ServerTlsSettings) -> Result<ServerTls, TlsFault> {
        let mut warnings = Vec::new();
        let choice = Arc::new(Choice::load(&settings.identities, &mut warnings)?);
        let resolver = Arc::new(Resolver::new(Arc::clone(&choice)));
        let mut config = ServerConfig::builder_with_provider(server_provider())
            .with_protocol_versions(versions(settings.version_min))
            .map_err(|error| TlsFault::new("".as_ref(), error.to_string()))?
            .with_client_cert_verifier(verifier(settings)?)
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ignore_client_order = true;
        // No session is resumed, as in PostgreSQL itself: libpq and the drivers never ask
        // for it, a ticket's key would weaken forward secrecy, and a ticket is a write more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerTls { config, choice, warnings })
    }

    /// What the operator should know about certificates that are served.
    #[must_use]
    pub fn warnings(&self) -> &[TlsWarning] {
        &self.warnings
    }

    pub(super) fn connection(&self) -> Result<(UnbufferedServerConnection, Arc<Resolver>), rustls::Error> {
        let resolver = Arc::new(Resolver::new(Arc::clone(&self.choice)));
        let mut config = self.config.clone();
        config.cert_resolver = Arc::<Resolver>::clone(&resolver);
        Ok((UnbufferedServerConnection::new(Arc::new(config))?, resolver))
    }
}

/// As the common provider, but of the suites of TLS 1.2 ChaCha20-Poly1305 comes first:
/// under AES-GCM, TLS 1.2 ends a connection after 2^24 records, since it cannot change keys.
fn server_provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = provider().as_ref().clone();
    provider.cipher_suites.sort_by_key(|suite| {
        let counted = suite.tls13().is_none() && {
            let name = suite.suite().as_str().unwrap_or("");
            !name.contains("CHACHA20")
        };
        (suite.tls13().is_none(), counted)
    });
    Arc::new(provider)
}

fn verifier(settings: &ServerTlsSettings) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
    let asked = settings.client_certificate;
    if asked == ClientCertificate::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let Some(ca) = &settings.client_ca else {
        return Err(TlsFault::new(
            "".as_ref(),
            "certificates of clients cannot be verified without `client_ca`",
        ));
    };
    let (roots, _) = files::authorities(ca)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if let Some(crl) = &settings.client_crl {
        builder = builder.with_crls(files::revocation_lists(crl)?).enforce_revocation_expiration();
    }
    if asked == ClientCertificate::Optional {
        builder = builder.allow_unauthenticated();
    }
    let at_fault = settings.client_crl.as_ref().unwrap_or(ca);
    let built = builder.build().map_err(|error| TlsFault::new(at_fault, error.to_string()))?;
    Ok(built)
}
