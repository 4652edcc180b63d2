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
            (false, true) => self.sink_syslog(entry)?,
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

    fn sink_syslog(&mut self, entry: &Section<'_>) -> Option<AuditSinkTarget> {
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{AuditSink, AuditSinkTarget, AuditSinkTls, HostPort, Secret, Settings, load};

    fn read(lines: &str) -> Result<Settings, Vec<String>> {
        let least =
            "[listen]\naddress = \"127.0.0.1:1\"\n[upstream]\nhosts = \"h:1\"\n[audit]\npath = \"a\"\n";
        load(&format!("{least}{lines}"), "t.toml")
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const KEY: &str = "signing_key = { file = \"k\" }\n";

    #[test]
    fn reads_the_key_and_the_sinks() {
        let plain = read("").unwrap().audit.unwrap();
        assert!(plain.signing_key.is_none() && plain.sinks.is_empty() && plain.compress);
        let text = format!(
            "{KEY}checkpoint_every = \"10s\"\ncompress = false\n[[audit.sink]]\nfile = \"/mnt/c\"\n\
             [[audit.sink]]\nsyslog = \"tcp://[::1]:601\"\nrequired_within = \"5m\"\n\
             [[audit.sink]]\nsyslog = \"tls://log.example:6514\"\nca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\n"
        );
        let audit = read(&text).unwrap().audit.unwrap();
        assert_eq!(audit.signing_key, Some(Secret::File("k".into())));
        assert_eq!((audit.checkpoint_every_ms, audit.compress), (10_000, false));
        let sink = |to, required_within_ms| AuditSink { to, required_within_ms };
        let server = |host: &str, port| HostPort { host: host.into(), port };
        let tls = AuditSinkTls { ca: "ca".into(), certificate: Some(("c".into(), "k".into())) };
        let expected = [
            sink(AuditSinkTarget::File(PathBuf::from("/mnt/c")), None),
            sink(AuditSinkTarget::Syslog { server: server("::1", 601), tls: None }, Some(300_000)),
            sink(AuditSinkTarget::Syslog { server: server("log.example", 6514), tls: Some(tls) }, None),
        ];
        assert_eq!(audit.sinks, expected);
        assert_eq!(read(KEY).unwrap().audit.unwrap().checkpoint_every_ms, 1_000);
    }

    #[test]
    fn refuses_what_would_not_do_what_it_seems_to() {
        for (lines, part) in [
            ("[[audit.sink]]\nfile = \"/mnt/c\"".to_owned(), "sink without signing_key"),
            ("checkpoint_every = \"1s\"".to_owned(), "checkpoint_every without signing_key"),
            (format!("{KEY}checkpoint_every = \"10ms\""), "from \"1s\" to \"1h\""),
            ("signing_key = \"secret\"".to_owned(), "[audit] signing_key stands in the file itself"),
            (format!("{KEY}[[audit.sink]]\nrequired_within = \"1m\""), "needs one of file and syslog"),
            (format!("{KEY}[[audit.sink]]\nfile = \"a\"\nsyslog = \"tcp://h:1\""), "needs one of"),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"udp://h:514\""), "tls://log.example:6514"),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"tcp://h\""), "tls://log.example:6514"),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"tls://h:1\""), "ca is missing"),
            (
                format!("{KEY}[[audit.sink]]\nsyslog = \"tls://h:1\"\nca = \"c\"\nkey = \"k\""),
                "certificate is missing",
            ),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"tcp://h:1\"\nca = \"c\""), "is not encrypted"),
            (format!("{KEY}[[audit.sink]]\notlp = \"http://h:1\""), "is not served by this version yet"),
        ] {
            let faults = read(&lines).err().unwrap_or_default();
            assert!(faults.iter().any(|fault| fault.contains(part)), "{lines}: {faults:?}");
        }
        let many = format!("{KEY}{}", "[[audit.sink]]\nfile = \"f\"\n".repeat(9));
        assert!(read(&many).is_err());
    }
}
