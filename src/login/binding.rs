//! The channel binding `tls-server-end-point` (RFC 5929 section 4.1): a digest of the
//! certificate that the TLS server presented, by the hash of the certificate's signature.
//!
//! Only as much of the certificate is read as that takes.

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use x509_cert::der::{Decode as _, Error, Reader as _, SliceReader, TagNumber};
use x509_cert::spki::AlgorithmIdentifierRef;

/// Longest certificate looked at, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

const RSA_MD5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4");
const RSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const MD5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The digest of a certificate in DER. None where its signature has no hash of its own
/// (Ed25519, Ed448) or an unknown one, and for what is no certificate: then no exchange
/// can be bound to it, and `-PLUS` is not offered or not used.
#[must_use]
pub fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    if certificate.len() > CERTIFICATE_BYTES_MAX {
        return None;
    }
    Some(match hash_of(&signature_algorithm(certificate).ok()?)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }`
fn signature_algorithm(certificate: &[u8]) -> Result<AlgorithmIdentifierRef<'_>, Error> {
    let mut reader = SliceReader::new(certificate)?;
    let algorithm = reader.sequence(|reader| {
        AnyRef::decode(reader)?;
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        BitStringRef::decode(reader)?;
        Ok::<_, Error>(algorithm)
    })?;
    reader.finish()?;
    Ok(algorithm)
}

fn hash_of(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Hash> {
    match algorithm.oid {
        // RFC 5929: these two count as SHA-256.
        RSA_MD5 | RSA_SHA1 | ECDSA_SHA1 | RSA_SHA256 | ECDSA_SHA256 => Some(Hash::Sha256),
        RSA_SHA384 | ECDSA_SHA384 => Some(Hash::Sha384),
        RSA_SHA512 | ECDSA_SHA512 => Some(Hash::Sha512),
        RSA_PSS => hash_of_pss(algorithm.parameters?).ok()?,
        _ => None,
    }
}

/// `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] DEFAULT sha1, ... }` (RFC 4055)
fn hash_of_pss(parameters: AnyRef<'_>) -> Result<Option<Hash>, Error> {
    let hash = parameters.sequence(|reader| {
        let hash = reader.context_specific::<AlgorithmIdentifierRef<'_>>(
            TagNumber(0),
            x509_cert::der::TagMode::Explicit,
        )?;
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        Ok::<_, Error>(hash.map_or(SHA1, |hash| hash.oid))
    })?;
    Ok(match hash {
        MD5 | SHA1 | SHA256 => Some(Hash::Sha256),
        SHA384 => Some(Hash::Sha384),
        SHA512 => Some(Hash::Sha512),
        _ => None,
    })
}

/// Fuzz entry: any bytes as a certificate.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_binding(data: &[u8]) -> bool {
    tls_server_end_point(data).is_some()
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
