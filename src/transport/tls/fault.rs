//! What can be wrong with TLS: with a file, when settings are loaded, and with a connection.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::CertificateError;

/// A file that cannot be used, and why. For the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFault {
    /// Empty where no one file is at fault.
    pub file: PathBuf,
    pub what: String,
}

impl TlsFault {
    pub(super) fn new(file: &Path, what: impl Into<String>) -> TlsFault {
        TlsFault { file: file.to_owned(), what: what.into() }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.as_os_str().is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.file.display(), self.what)
        }
    }
}

impl std::error::Error for TlsFault {}

/// A certificate that is served all the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsWarning {
    Expired { file: PathBuf },
    NotYetValid { file: PathBuf },
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsWarning::Expired { file } => write!(f, "{}: the certificate has expired", file.display()),
            TlsWarning::NotYetValid { file } => {
                write!(f, "{}: the certificate is not yet valid", file.display())
            }
        }
    }
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub enum TlsError {
    /// The peer closed the connection.
    Closed,
    Io(io::Error),
    /// The peer broke the protocol, or was not accepted, or did not accept us.
    Protocol(rustls::Error),
    /// The server's name cannot stand in a certificate, and is to be verified.
    Name,
    /// Direct TLS with a server that did not agree to speak `postgresql`.
    Alpn,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Closed => f.write_str("the peer closed the connection during the TLS handshake"),
            TlsError::Io(error) => write!(f, "{error}"),
            TlsError::Protocol(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForNameContext { presented, .. },
            )) if presented.is_empty() => f.write_str(
                "the certificate has no subject alternative name, and its common name is not looked at; \
                 have it issued with one",
            ),
            TlsError::Protocol(error) => write!(f, "{error}"),
            TlsError::Name => f.write_str("the server's host name cannot stand in a certificate"),
            TlsError::Alpn => f.write_str("the server did not agree to the protocol `postgresql`"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> io::Error {
        match error {
            TlsError::Closed => io::ErrorKind::UnexpectedEof.into(),
            TlsError::Io(error) => error,
            TlsError::Protocol(_) | TlsError::Name | TlsError::Alpn => {
                io::Error::new(io::ErrorKind::InvalidData, error)
            }
        }
    }
}
