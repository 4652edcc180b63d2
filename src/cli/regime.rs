//! From settings to a [`Regime`]: reads keys and certificates, and judges the servers. The
//! same at the start and at a reload, where the old one stays in use if this fails.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use super::house::{self, Fault, access, keyring};
use crate::catalog::Bound;
use crate::config::{
    Auth, Certificate, ClientCertificate, ListenTls, Settings, TlsMode, TokenSource, UpstreamTls,
};
use crate::gate::{Regime, today};
use crate::login::keyset::{self, SET_BYTES_MAX};
use crate::login::token::{TokenKey, TokenTerms, Tokens};
use crate::statement::Doors;
use crate::transport::tls::{
    ClientIdentity, ClientTls, ClientTlsSettings, Identity, ServerTls, ServerTlsSettings,
};
use crate::upstream::dial::{DialError, Dialer, Encryption};
use crate::upstream::verifiers::{AUTH_QUERY_DEFAULT, VerifierSource, Verifiers};

/// Reads everything that the settings name.
///
/// # Errors
/// A file that cannot be used; a keyring that does not fit the fields; a server whose
/// region is not allowed.
pub async fn regime(settings: Settings) -> Result<Regime, Fault> {
    for warning in settings.warnings(today()) {
        tracing::warn!("{warning}");
    }
    let keyring = keyring(&settings)?;
    let client_tls = server_tls(&settings)?;
    let dialer = Arc::new(dialer(&settings)?);
    for index in 0..dialer.hosts().len() {
        if let Err(error @ DialError::Refused { .. }) = dialer.judge(index, today()).await {
            return Err(Fault::of(&settings, "upstream.hosts", &error));
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let verifiers = verifiers(&settings, &dialer)?;
    let doors = Doors::of(Bound::of(&settings.policy.fields)).map(Arc::new);
    let tokens = Arc::new(tokens(&settings)?);
    Ok(Regime { settings, dialer, verifiers, client_tls, doors, tokens, keyring, threads })
}

/// The keys by which end users are proven.
///
/// # Errors
/// A key that cannot be read, or is none of its algorithm.
pub fn tokens(settings: &Settings) -> Result<Tokens, Fault> {
    let mut keys = Vec::with_capacity(settings.tokens.len());
    for (index, entry) in settings.tokens.iter().enumerate() {
        let at = format!("token.{index}");
        let key = match &entry.key {
            TokenSource::Secret(secret) => {
                let text = house::secret(secret)?;
                let text = text.ok_or_else(|| Fault::of(settings, &at, &"the secret is not set"))?;
                TokenKey::new(entry.terms.clone(), text.as_bytes())
            }
            TokenSource::PublicKey(path) => {
                let key = SubjectPublicKeyInfoDer::from_pem_file(path);
                let key =
                    key.map_err(|error| Fault::of(settings, &at, &format!("{}: {error:?}", path.display())))?;
                TokenKey::new(entry.terms.clone(), &key)
            }
            TokenSource::KeySet(path) => {
                let set = key_set(&entry.terms, path);
                keys.extend(
                    set.map_err(|why| Fault::of(settings, &at, &format!("{}: {why}", path.display())))?,
                );
                continue;
            }
        };
        let wrong = "the key is none of its algorithm: a public key in PEM (BEGIN PUBLIC KEY), on P-256 for ES256; \
                     for HS256 a secret of 32 bytes or more";
        keys.push(key.map_err(|_| Fault::of(settings, &at, &wrong))?);
    }
    Ok(Tokens::new(keys))
}

/// The keys of a set.
fn key_set(terms: &TokenTerms, path: &Path) -> Result<Vec<TokenKey>, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let most = u64::try_from(SET_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut text).map_err(|error| error.to_string())?;
    keyset::keys(terms, &text).map_err(str::to_owned)
}

/// Who asks for the verifiers of users. None but for login `scram` with a service account.
/// Must run within a tokio runtime.
///
/// # Errors
/// The account's password cannot be read.
pub fn verifiers(settings: &Settings, dialer: &Arc<Dialer>) -> Result<Option<Verifiers>, Fault> {
    let access = access(settings, dialer)?.filter(|_| settings.login.auth == Auth::Scram);
    Ok(access.map(|access| {
        let query = settings.login.auth_query.clone().unwrap_or_else(|| AUTH_QUERY_DEFAULT.to_owned());
        Verifiers::new(VerifierSource { access: Arc::new(access), query }, Handle::current())
    }))
}

/// The way to the servers, as the settings have it.
///
/// # Errors
/// A certificate or key that cannot be used.
pub fn dialer(settings: &Settings) -> Result<Dialer, Fault> {
    let encryption = match &settings.upstream.tls {
        Some(tls) if tls.mode != TlsMode::Disable => {
            let client = ClientTls::load(&towards_server(tls));
            let client = client.map_err(|fault| Fault::of(settings, "upstream.tls", &fault))?;
            Some(Encryption { mode: tls.mode, client })
        }
        Some(_) | None => None,
    };
    let connect = Duration::from_millis(settings.timeouts.connect_ms);
    let hosts = settings.upstream.hosts.clone();
    let dialer = Dialer::new(hosts, Arc::new(settings.residency()), encryption, connect);
    Ok(dialer.with_vanished(settings.timeouts.vanished))
}

/// What clients are served, if they are offered TLS.
///
/// # Errors
/// A certificate or key that cannot be used.
pub fn server_tls(settings: &Settings) -> Result<Option<ServerTls>, Fault> {
    let Some(tls) = &settings.listen.tls else { return Ok(None) };
    let served = ServerTls::load(&towards_client(tls, settings.login.certificate));
    let served = served.map_err(|fault| Fault::of(settings, "listen.tls", &fault))?;
    for warning in served.warnings() {
        tracing::warn!("listen.tls: {warning}");
    }
    Ok(Some(served))
}

fn towards_client(listen: &ListenTls, certificate: ClientCertificate) -> ServerTlsSettings {
    let identity = |entry: &Certificate| Identity {
        chain: entry.certificate.clone(),
        key: entry.key.clone(),
        names: entry.hosts.clone(),
    };
    ServerTlsSettings {
        identities: listen.certificates.iter().map(identity).collect(),
        client_ca: listen.client_ca.clone(),
        client_crl: None,
        // One that is required is asked for here and missed in the login, whose error says so.
        client_certificate: match certificate {
            ClientCertificate::None => ClientCertificate::None,
            ClientCertificate::Optional | ClientCertificate::Required => ClientCertificate::Optional,
        },
        version_min: listen.min_version,
    }
}

fn towards_server(upstream: &UpstreamTls) -> ClientTlsSettings {
    let identity = upstream.certificate.clone();
    ClientTlsSettings {
        mode: upstream.mode,
        ca: upstream.ca.clone(),
        crl: None,
        identity: identity.map(|(chain, key)| ClientIdentity { chain, key }),
        version_min: upstream.min_version,
    }
}
