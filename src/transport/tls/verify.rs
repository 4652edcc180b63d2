//! Is the server the one that is meant? What each mode asks of its certificate.
//!
//! In every mode the server proves that it holds the key of the certificate it shows.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::TlsMode;
use super::client::ClientTlsSettings;
use super::{TlsFault, files, provider};

/// What is trusted.
struct Trust {
    webpki: Arc<WebPkiServerVerifier>,
    /// Certificates that certify themselves, as they stand in the file. OpenSSL takes such
    /// a one for a server's too, and PostgreSQL's documentation tells how to make one;
    /// webpki refuses it there as the certificate of an authority.
    own: Vec<CertificateDer<'static>>,
}

pub struct ServerVerifier {
    /// None: any certificate will do.
    trust: Option<Trust>,
    checks_name: bool,
}

impl ServerVerifier {
    pub fn load(settings: &ClientTlsSettings) -> Result<ServerVerifier, TlsFault> {
        let checks_name = settings.mode == TlsMode::VerifyFull;
        let Some(ca) = &settings.ca else {
            if settings.mode.needs_ca() {
                return Err(TlsFault::new("".as_ref(), "the server cannot be verified without `ca`"));
            }
            return match &settings.crl {
                Some(crl) => {
                    Err(TlsFault::new(crl, "a list of revoked certificates is of no use without `ca`"))
                }
                None => Ok(ServerVerifier { trust: None, checks_name }),
            };
        };
        let (roots, certificates) = files::authorities(ca)?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(roots, provider());
        if let Some(crl) = &settings.crl {
            builder = builder.with_crls(files::revocation_lists(crl)?).enforce_revocation_expiration();
        }
        let at_fault = settings.crl.as_ref().unwrap_or(ca);
        let webpki = builder.build().map_err(|error| TlsFault::new(at_fault, error.to_string()))?;
        let own = certificates.into_iter().filter(|certificate| certifies_itself(certificate)).collect();
        Ok(ServerVerifier { trust: Some(Trust { webpki, own }), checks_name })
    }
}

fn certifies_itself(der: &CertificateDer<'_>) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        certificate.tbs_certificate().issuer() == certificate.tbs_certificate().subject()
    })
}

/// A certificate that is trusted by itself must still be valid today.
fn check_dates(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate().validity();
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(())
}

fn is_only_the_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerVerifier")
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        if trust.own.iter().any(|own| own.as_ref() == end_entity.as_ref()) {
            check_dates(end_entity, now)?;
            if self.checks_name {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        // webpki looks at the name last: where only that is wrong, the chain is right.
        match trust.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(error) if !self.checks_name && is_only_the_name(&error) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
