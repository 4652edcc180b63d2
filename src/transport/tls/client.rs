//! How the server is reached and verified, as libpq's `sslmode` has it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::{DnsName, ServerName};

use super::verify::ServerVerifier;
use super::{ALPN, TlsError, TlsFault, TlsMode, TlsVersion, files, provider, versions};

/// A certificate and key of our own for a server that asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientIdentity {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// What [`ClientTls::load`] is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientTlsSettings {
    pub mode: TlsMode,
    /// PEM: who may certify the server.
    pub ca: Option<PathBuf>,
    /// PEM: revoked certificates; needs `ca`. With it, every authority needs its list.
    pub crl: Option<PathBuf>,
    pub identity: Option<ClientIdentity>,
    pub version_min: TlsVersion,
}

/// TLS towards the server, ready. Rotation is loading another one.
pub struct ClientTls {
    mode: TlsMode,
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads every file and checks it.
    ///
    /// # Errors
    /// The first file that cannot be used, and why; a `ca` that is missing.
    pub fn load(settings: &ClientTlsSettings) -> Result<ClientTls, TlsFault> {
        let verifier = Arc::new(ServerVerifier::load(settings)?);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(settings.version_min))
            .map_err(|error| TlsFault::new("".as_ref(), error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = files::certified_key(&identity.chain, &identity.key)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL's server resumes no session.
        config.resumption = Resumption::disabled();
        Ok(ClientTls { mode: settings.mode, config: Arc::new(config) })
    }

    /// For servers that speak something else than PostgreSQL's protocol: names no protocol.
    #[must_use]
    pub fn without_protocol(mut self) -> ClientTls {
        Arc::make_mut(&mut self.config).alpn_protocols.clear();
        self
    }

    #[must_use]
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    pub(super) fn connection(&self, host: &str) -> Result<UnbufferedClientConnection, TlsError> {
        let name = self.server_name(host)?;
        UnbufferedClientConnection::new(Arc::clone(&self.config), name).map_err(TlsError::Protocol)
    }

    /// A host name is told to the server, an address is not.
    fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(ServerName::from(address));
        }
        match DnsName::try_from(host) {
            Ok(name) => Ok(ServerName::DnsName(name.to_owned())),
            Err(_) if self.mode == TlsMode::VerifyFull => Err(TlsError::Name),
            // Not verified and not told: any address stands for it.
            Err(_) => Ok(ServerName::from(IpAddr::from([0, 0, 0, 0]))),
        }
    }
}

#[cfg(test)]
impl ClientTls {
    /// A client as no settings make it: of an older version, with other protocols.
    pub(super) fn odd(mode: TlsMode, config: ClientConfig) -> ClientTls {
        ClientTls { mode, config: Arc::new(config) }
    }
}
