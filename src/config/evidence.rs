//! What `[audit]` says of checkpoints: by what they are signed, how often, and where they go.

use super::AUDIT_SINKS_MAX;
use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use super::settings::{Audit, AuditSink, AuditSinkTarget, AuditSinkTls};

const SINK: Words = Words {
    served: &["file", "syslog", "ca", "certificate", "key", "required_within"],
    later: &["nats", "otlp", "witness", "s3"],
};
const CHECKPOINT_EVERY_MS: u64 = 1_000;
const CHECKPOINT_EVERY_MS_MAX: u64 = 3_600_000;
const REQUIRED_WITHIN_MS_MAX: u64 = 86_400_000;

impl Reader<'_> {
    /// Adds it to what is read of `[audit]` already.
    pub(super) fn evidence(&mut self, section: &Section<'_>, audit: Audit) -> Audit {
        let signing_key = self.secret(section, "signing_key");
        let every = self.duration(
            section,
            "checkpoint_every",
            CHECKPOINT_EVERY_MS_MAX,
            "from \"1s\" to \"1h\": a number and s, m or h",
        );
        let compress = self.boolean(section, "compress").unwrap_or(true);
        let entries = self.tables(section, "sink", "[[audit.sink]]", SINK, AUDIT_SINKS_MAX);
        let sinks = entries.iter().filter_map(|entry| self.sink(entry)).collect();
        if section.value("signing_key").is_none() {
            for key in ["checkpoint_every", "sink"] {
                if let Some(value) = section.value(key) {
                    let found = format!("[audit] {key} without signing_key");
                    let remedy = "add signing_key = { file = \"keys/audit.key\" } above: `sealgate keys init` makes it";
                    self.fault(value.span().start, found, remedy);
                }
            }
        }
        Audit {
            signing_key,
            checkpoint_every_ms: every.unwrap_or(CHECKPOINT_EVERY_MS),
            compress,
            sinks,
            ..audit
        }
    }

    fn sink(&mut self, entry: &Section<'_>) -> Option<AuditSink> {
        let required_within_ms = self.duration(
            entry,
            "required_within",
            REQUIRED_WITHIN_MS_MAX,
            "from \"1s\" to \"1d\": a number and s, m, h or d",
        );
        let to = match (entry.value("file").is_some(), entry.value("syslog").is_some()) {
            (true, false) => {
                for key in ["ca", "certificate", "key"] {
                    self.out_of_place(entry, key, "a file needs none");
                }
                AuditSinkTarget::File(self.path(entry, "file", "\"/mnt/evidence/checkpoints\"")?)
            }
            (false, true) => self.syslog(entry)?,
            (true, true) | (false, false) => {
                self.fault(
                    entry.at,
                    "[[audit.sink]] needs one of file and syslog",
                    "write file = \"/mnt/evidence/checkpoints\" or syslog = \"tls://log.example:6514\"",
                );
                return None;
            }
        };
        Some(AuditSink { to, required_within_ms })
    }

    fn syslog(&mut self, entry: &Section<'_>) -> Option<AuditSinkTarget> {
        const EXAMPLE: &str = "write \"tls://log.example:6514\" or \"tcp://127.0.0.1:601\"";
        let text = self.string(entry, "syslog")?;
        let (scheme, address) = text.text.split_once("://").unwrap_or_default();
        let server = scalar::host_port(address).ok().filter(|server| server.port > 0);
        let (true, Some(server)) = (matches!(scheme, "tls" | "tcp"), server) else {
            self.fault(text.at, format!("[[audit.sink]] syslog = {}", shown(text.text)), EXAMPLE);
            return None;
        };
        if scheme == "tcp" {
            for key in ["ca", "certificate", "key"] {
                self.out_of_place(entry, key, "tcp:// is not encrypted: write tls://");
            }
            return Some(AuditSinkTarget::Syslog { server, tls: None });
        }
        let ca = self.path(entry, "ca", "\"log-ca.crt\"");
        let certificate = match (entry.value("certificate").is_some(), entry.value("key").is_some()) {
            (false, false) => None,
            (true, _) | (_, true) => Some((
                self.path(entry, "certificate", "\"gate.crt\"")?,
                self.path(entry, "key", "\"gate.key\"")?,
            )),
        };
        Some(AuditSinkTarget::Syslog { server, tls: Some(AuditSinkTls { ca: ca?, certificate }) })
    }

    fn out_of_place(&mut self, entry: &Section<'_>, key: &str, remedy: &str) {
        if let Some(value) = entry.value(key) {
            self.fault(value.span().start, format!("[[audit.sink]] {key} has nothing to do here"), remedy);
        }
    }
}
