//! Certificates, keys and revocation lists from PEM files.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use super::TlsFault;
use super::provider;

/// A file of certificates or keys is a few KiB; a large bundle of authorities 300 KiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a whole file into memory that is wiped.
fn read(path: &Path, file: &mut File) -> Result<Zeroizing<Vec<u8>>, TlsFault> {
    let size = file.metadata().map_err(|error| TlsFault::new(path, error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(TlsFault::new(path, "is too large for a file of certificates or keys"));
    }
    // Room for all of it at once: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| TlsFault::new(path, error.to_string()))?;
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, TlsFault> {
    File::open(path).map_err(|error| TlsFault::new(path, format!("cannot be opened: {error}")))
}

/// Every object of one kind in a PEM file; objects of other kinds are passed over.
fn objects<T: PemObject>(path: &Path, bytes: &[u8], what: &str) -> Result<Vec<T>, TlsFault> {
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(bytes).collect();
    let found = found.map_err(|_| TlsFault::new(path, "is not well-formed PEM"))?;
    if found.is_empty() {
        return Err(TlsFault::new(path, format!("holds no {what}")));
    }
    Ok(found)
}

/// From when until when a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    pub not_before: u64,
    pub not_after: u64,
}

/// Of every certificate in a file, in its order.
///
/// # Errors
/// It cannot be read, or holds what is no certificate.
pub fn validities(path: &Path) -> Result<Vec<Validity>, TlsFault> {
    let of = |der: &CertificateDer<'static>| {
        let read = Certificate::from_der(der)
            .map_err(|_| TlsFault::new(path, "holds a certificate that cannot be read"))?;
        let validity = read.tbs_certificate().validity();
        Ok(Validity {
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
        })
    };
    certificates(path)?.iter().map(of).collect()
}

pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let bytes = read(path, &mut open(path)?)?;
    objects(path, &bytes, "certificate")
}

pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsFault> {
    let bytes = read(path, &mut open(path)?)?;
    objects(path, &bytes, "certificate revocation list")
}

/// The authorities of a file, and its certificates as they stand.
pub fn authorities(path: &Path) -> Result<(Arc<RootCertStore>, Vec<CertificateDer<'static>>), TlsFault> {
    let found = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|error| {
            TlsFault::new(path, format!("holds a certificate that cannot be used: {error}"))
        })?;
    }
    Ok((Arc::new(roots), found))
}

/// PostgreSQL's rule for the file of a private key, of server and client alike: a file of
/// one's own is for nobody else; one of root's may be read by its group.
fn check_owner(path: &Path, file: &File) -> Result<(), TlsFault> {
    let facts = file.metadata().map_err(|error| TlsFault::new(path, error.to_string()))?;
    if !facts.is_file() {
        return Err(TlsFault::new(path, "is not a regular file"));
    }
    verdict(facts.uid(), facts.mode(), rustix::process::geteuid().as_raw())
        .map_err(|what| TlsFault::new(path, what.replace("PATH", &path.display().to_string())))
}

fn verdict(owner: u32, mode: u32, user: u32) -> Result<(), String> {
    if owner != user && owner != 0 {
        return Err(format!(
            "is owned by account {owner}; it must be that of account {user}, which runs Sealgate, or root's"
        ));
    }
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        let (mode, allowed) = (mode & 0o7777, if owner == 0 { "0640, since root owns it," } else { "0600" });
        return Err(format!(
            "is a private key with group or world access: its mode is {mode:04o}, and {allowed} is the most that \
             is allowed; `chmod 600 PATH`"
        ));
    }
    Ok(())
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let mut file = open(path)?;
    check_owner(path, &file)?;
    let bytes = read(path, &mut file)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if is_encrypted(&bytes) => {
            Err(TlsFault::new(path, "is encrypted with a passphrase; store it decrypted"))
        }
        Err(pem::Error::NoItemsFound) => Err(TlsFault::new(path, "holds no private key")),
        Err(_) => Err(TlsFault::new(path, "is not well-formed PEM")),
    }
}

fn is_encrypted(bytes: &[u8]) -> bool {
    let title = b"ENCRYPTED PRIVATE KEY";
    bytes.windows(title.len()).any(|window| window == title)
}

/// A chain and the key that belongs to its first certificate.
pub fn certified_key(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsFault> {
    let certificates = certificates(chain)?;
    let private = private_key(key)?;
    CertifiedKey::from_der(certificates, private, &provider()).map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            let first = chain.display();
            TlsFault::new(key, format!("does not belong to the certificate that stands first in {first}"))
        } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
            TlsFault::new(chain, "holds a certificate that cannot be read")
        } else {
            TlsFault::new(key, "is a private key of a kind that cannot be used")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn keys_are_for_their_owner_as_postgresql_has_it() {
        for (owner, mode, user, fine) in [
            (70, 0o100_600, 70, true),
            (70, 0o100_400, 70, true),
            (70, 0o100_640, 70, false),
            (70, 0o100_604, 70, false),
            (70, 0o100_600, 71, false),
            (0, 0o100_640, 70, true),
            (0, 0o100_600, 70, true),
            (0, 0o100_660, 70, false),
            (0, 0o100_650, 70, false),
            (0, 0o100_644, 70, false),
            (0, 0o100_640, 0, true),
        ] {
            let told = verdict(owner, mode, user);
            assert_eq!(told.is_ok(), fine, "{owner} {mode:o} {user}");
            let names =
                |told: String| told.contains(&format!("{:04o}", mode & 0o777)) || told.contains("account 70");
            assert!(told.map_or_else(names, |()| true), "{owner} {mode:o} {user}");
        }
    }
}
