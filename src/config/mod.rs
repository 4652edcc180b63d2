//! From the text of `sealgate.toml` to [`Settings`], or to every fault in it.
//!
//! Pure: whoever calls has read the file. Nothing is ignored: a key that is not known is
//! refused with the ones that are, a key that the contract names and this version does not
//! serve is refused by name.

mod alerts;
mod detectors;
mod evidence;
mod fault;
mod fields;
mod hops;
mod learned;
mod levels;
mod places;
mod reader;
mod scalar;
mod sections;
mod settings;
mod share;
mod tokens;

pub use alerts::{ALERTS_MAX, AlertKind, AlertPlace, Mail, MailProtection};
pub use detectors::DETECTORS_MAX;
pub use fault::Fault;
pub use scalar::duration_ms;
pub use settings::{
    Admin, Alerting, Audit, AuditBucket, AuditSink, AuditSinkTarget, AuditSinkTls, Auth, Certificate,
    ClientCertificate, Endpoint, HostPort, Keys, LearnedWatch, Limits, Lines, Listen, ListenTls, Login,
    ResidencySettings, Secret, Service, Settings, ShareProof, ShareSettings, Timeouts, TlsMode, TlsVersion,
    Token, TokenSource, Upstream, UpstreamTls, Vanished,
};

/// A longer text is refused unread.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// Most `[[field]]` entries.
pub const FIELDS_MAX: usize = 4096;
/// Most `[[audit.sink]]` entries.
pub const AUDIT_SINKS_MAX: usize = 8;
/// Most `[[watch.limit]]` entries.
pub const WATCH_LIMITS_MAX: usize = 64;
/// Most `[[token]]` entries.
pub const TOKENS_MAX: usize = 16;

/// Reads a configuration. `origin` is the name of its file, for faults.
///
/// # Errors
/// Every fault found, in the order of lines; at least one.
pub fn load(text: &str, origin: &str) -> Result<Settings, Vec<Fault>> {
    sections::read(text, origin)
}

#[cfg(test)]
mod tests;
