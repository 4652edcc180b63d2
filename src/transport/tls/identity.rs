//! Which of several certificates a client is shown.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::server::Identity;
use super::{TlsFault, TlsWarning, files};

/// A certificate with its key and the names it is shown for.
struct Shown {
    /// In lower case; `*.` stands for one label.
    names: Vec<String>,
    key: Arc<CertifiedKey>,
    /// DER of the end-entity certificate.
    der: Arc<[u8]>,
}

/// Every certificate of a listener; the first is the default.
pub struct Choice {
    default: Shown,
    others: Vec<Shown>,
}

impl Choice {
    /// # Errors
    /// What is wrong with a file.
    pub fn load(identities: &[Identity], warnings: &mut Vec<TlsWarning>) -> Result<Choice, TlsFault> {
        let mut shown = identities.iter().map(|identity| load(identity, warnings));
        let Some(default) = shown.next() else {
            return Err(TlsFault::new(Path::new(""), "TLS needs a certificate and a key"));
        };
        Ok(Choice { default: default?, others: shown.collect::<Result<_, _>>()? })
    }

    fn by_name(&self, sni: Option<&str>) -> &Shown {
        let Some(name) = sni.map(str::to_ascii_lowercase) else { return &self.default };
        let all = || std::iter::once(&self.default).chain(&self.others);
        let exact = all().find(|shown| shown.names.contains(&name));
        let wild = || {
            let (label, parent) = name.split_once('.')?;
            let covers = |pattern: &String| pattern.strip_prefix("*.") == Some(parent) && !label.is_empty();
            all().find(|shown| shown.names.iter().any(covers))
        };
        exact.or_else(wild).unwrap_or(&self.default)
    }
}

fn load(identity: &Identity, warnings: &mut Vec<TlsWarning>) -> Result<Shown, TlsFault> {
    let key = files::certified_key(&identity.chain, &identity.key)?;
    let Some(first) = key.cert.first() else {
        return Err(TlsFault::new(&identity.chain, "holds no certificate"));
    };
    let certificate = Certificate::from_der(first)
        .map_err(|_| TlsFault::new(&identity.chain, "holds a certificate that cannot be read"))?;
    let validity = certificate.tbs_certificate().validity();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let file = identity.chain.clone();
    if now > validity.not_after.to_unix_duration() {
        warnings.push(TlsWarning::Expired { file });
    } else if now < validity.not_before.to_unix_duration() {
        warnings.push(TlsWarning::NotYetValid { file });
    }
    let names = if identity.names.is_empty() { names_of(&certificate) } else { identity.names.clone() };
    let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let der = Arc::from(first.as_ref());
    Ok(Shown { names, key: Arc::new(key), der })
}

/// The host names that a certificate is for.
fn names_of(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, names))) = certificate.tbs_certificate().get_extension::<SubjectAltName>() else {
        return Vec::new();
    };
    let host = |name: &GeneralName| {
        if let GeneralName::DnsName(name) = name { Some(name.as_str().to_owned()) } else { None }
    };
    names.0.iter().filter_map(host).collect()
}

/// What one client was shown.
pub struct Presented {
    pub der: Arc<[u8]>,
    pub sni: Option<Box<str>>,
}

/// Chooses for one connection and remembers what was chosen: what SCRAM is bound to is the
/// certificate that this client saw, not one that is served by now.
pub struct Resolver {
    choice: Arc<Choice>,
    presented: Mutex<Option<Presented>>,
}

impl Resolver {
    pub fn new(choice: Arc<Choice>) -> Resolver {
        Resolver { choice, presented: Mutex::new(None) }
    }

    pub fn take(&self) -> Option<Presented> {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    /// After a HelloRetryRequest it is asked again; the last answer is the one presented.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let sni = hello.server_name();
        let shown = self.choice.by_name(sni);
        let presented = Presented { der: Arc::clone(&shown.der), sni: sni.map(Box::from) };
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Some(presented);
        Some(Arc::clone(&shown.key))
    }
}
