//! What `[audit]` says of checkpoints: by what they are signed, how often, and where they go.

use std::path::PathBuf;

use super::AUDIT_SINKS_MAX;
use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use super::settings::{Audit, AuditBucket, AuditSink, AuditSinkTarget, AuditSinkTls};

const SINK: Words = Words {
    served: &[
        "file",
        "syslog",
        "witness",
        "s3",
        "ca",
        "certificate",
        "key",
        "token",
        "region",
        "access_key",
        "secret_key",
        "lock",
        "retain",
        "every",
        "required_within",
    ],
    later: &["nats", "otlp"],
};
/// Where a sink is.
const KINDS: [&str; 4] = ["file", "syslog", "witness", "s3"];
/// How locked an object is: as it is written here, and as the store is told.
const LOCK: Words = Words { served: &["compliance", "governance"], later: &[] };
/// How often an object is made, unless something else is said.
const EVERY_MS: u64 = 60_000;
const EVERY_MS_MAX: u64 = 3_600_000;
/// Ten years and some days.
const RETAIN_MS_MAX: u64 = 3_660 * 86_400_000;
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
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| entry.value(kind).is_some()).collect();
        let [kind] = kinds[..] else {
            self.fault(
                entry.at,
                "[[audit.sink]] needs one of file, syslog, witness and s3",
                "write file = \"/mnt/evidence/checkpoints\" or syslog = \"tls://log.example:6514\"",
            );
            return None;
        };
        self.fits(entry, kind);
        let (to, every_ms) = match kind {
            "file" => (AuditSinkTarget::File(self.path(entry, "file", "\"/mnt/evidence/checkpoints\"")?), 0),
            "syslog" => (self.sink_syslog(entry)?, 0),
            "witness" => (self.sink_witness(entry)?, 0),
            _ => {
                let every = self.duration(
                    entry,
                    "every",
                    EVERY_MS_MAX,
                    "from \"1s\" to \"1h\": a number and s, m or h",
                );
                (AuditSinkTarget::Bucket(self.sink_bucket(entry)?), every.unwrap_or(EVERY_MS))
            }
        };
        if let Some(value) = entry.value("required_within")
            && required_within_ms.is_some_and(|within| within <= every_ms)
        {
            let found = "[[audit.sink]] required_within is not longer than every";
            self.fault(value.span().start, found, "a checkpoint waits up to every where all is well");
        }
        Some(AuditSink { to, every_ms, required_within_ms })
    }

    /// Each kind has its own keys.
    fn fits(&mut self, entry: &Section<'_>, kind: &str) {
        let own: &[&str] = match kind {
            "file" => &[],
            "syslog" => &["ca", "certificate", "key"],
            "witness" => &["ca", "token"],
            _ => &["ca", "region", "access_key", "secret_key", "lock", "retain", "every"],
        };
        for key in SINK.served {
            if !KINDS.contains(key) && *key != "required_within" && !own.contains(key) {
                self.out_of_place(
                    entry,
                    key,
                    if kind == "file" { "a file needs none" } else { "take it away" },
                );
            }
        }
    }

    fn sink_witness(&mut self, entry: &Section<'_>) -> Option<AuditSinkTarget> {
        let url = self.web_address(entry, "witness", "https://witness.example/checkpoints")?;
        let token = self.secret(entry, "token");
        let ca = self.sink_ca(entry, &url);
        if !url.starts_with("https://") {
            self.out_of_place(entry, "token", "http:// would show it: write https://");
        }
        Some(AuditSinkTarget::Witness { url, token, ca })
    }

    fn sink_bucket(&mut self, entry: &Section<'_>) -> Option<AuditBucket> {
        const EXAMPLE: &str = "https://s3.eu-central-1.amazonaws.com/bucket/folder";
        let url = self.web_address(entry, "s3", EXAMPLE)?;
        let ca = self.sink_ca(entry, &url);
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        // Each of them is itself in a signed path.
        let plain = |text: &str, marks: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
        };
        let is_plain = plain(path, b"-._~/") && plain(host, b"-._:[]");
        let has_names = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        if !(is_plain && has_names) {
            let at = entry.value("s3").map_or(entry.at, |value| value.span().start);
            let remedy = format!("{EXAMPLE}, with letters, digits, -, ., _ and ~ behind the host");
            self.fault(at, "[[audit.sink]] s3 names no bucket", remedy);
        }
        let region = self.string_required(entry, "region", "\"eu-central-1\"");
        for key in ["access_key", "secret_key"] {
            if entry.value(key).is_none() {
                self.missing(entry, key, "{ env = \"NAME\" }");
            }
        }
        if entry.value("retain").is_none() {
            self.missing(entry, "retain", "\"365d\"");
        }
        let (access_key, secret_key) = (self.secret(entry, "access_key"), self.secret(entry, "secret_key"));
        let remedy = "from \"1s\" to \"3660d\": a number and s, m, h or d";
        let retain_ms = self.duration(entry, "retain", RETAIN_MS_MAX, remedy);
        let lock = self.choice(entry, "lock", LOCK).map_or("compliance", |lock| lock.text);
        let region = region?;
        if region.text.is_empty()
            || !region.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            self.fault(
                region.at,
                format!("[[audit.sink]] region = {}", shown(region.text)),
                "as \"eu-central-1\"",
            );
        }
        Some(AuditBucket {
            store: format!("{scheme}://{host}"),
            path: format!("/{path}"),
            region: region.text.to_owned(),
            access_key: access_key?,
            secret_key: secret_key?,
            lock: if lock == "governance" { "GOVERNANCE" } else { "COMPLIANCE" },
            retain_ms: retain_ms?,
            ca,
        })
    }

    fn sink_ca(&mut self, entry: &Section<'_>, url: &str) -> Option<PathBuf> {
        if !url.starts_with("https://") {
            self.out_of_place(entry, "ca", "http:// is not encrypted: write https://");
        }
        entry.value("ca").is_some().then(|| self.path(entry, "ca", "\"ca.crt\""))?
    }

    fn web_address(&mut self, entry: &Section<'_>, key: &'static str, example: &str) -> Option<String> {
        let text = self.string(entry, key)?;
        if scalar::is_web_address(text.text) {
            return Some(text.text.to_owned());
        }
        // What it is may be a secret in itself.
        self.fault(
            text.at,
            format!("[[audit.sink]] {key} is no address that is served"),
            format!("as {example}"),
        );
        None
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

    use super::super::{
        AuditBucket, AuditSink, AuditSinkTarget, AuditSinkTls, HostPort, Secret, Settings, load,
    };

    fn read(lines: &str) -> Result<Settings, Vec<String>> {
        let least =
            "[listen]\naddress = \"127.0.0.1:1\"\n[upstream]\nhosts = \"h:1\"\n[audit]\npath = \"a\"\n";
        load(&format!("{least}{lines}"), "t.toml")
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const KEY: &str = "signing_key = { file = \"k\" }\n";
    const BUCKET: &str = "[[audit.sink]]\ns3 = \"https://s3.example:9000/b/c/\"\nregion = \"eu\"\n\
                          access_key = { env = \"A\" }\nsecret_key = { file = \"s\" }\nretain = \"365d\"\n";

    #[test]
    fn reads_witnesses_and_object_stores() {
        let witness =
            "[[audit.sink]]\nwitness = \"https://w.example/x\"\ntoken = { env = \"T\" }\nca = \"c\"\n";
        let text = format!(
            "{KEY}{witness}{BUCKET}{BUCKET}lock = \"governance\"\nevery = \"1s\"\nrequired_within = \"2s\"\n"
        );
        let sinks = read(&text).unwrap_or_else(|faults| panic!("{faults:?}")).audit.unwrap().sinks;
        let witness = AuditSinkTarget::Witness {
            url: "https://w.example/x".into(),
            token: Some(Secret::Env("T".into())),
            ca: Some("c".into()),
        };
        let bucket = AuditBucket {
            store: "https://s3.example:9000".into(),
            path: "/b/c".into(),
            region: "eu".into(),
            access_key: Secret::Env("A".into()),
            secret_key: Secret::File("s".into()),
            lock: "COMPLIANCE",
            retain_ms: 365 * 86_400_000,
            ca: None,
        };
        let other = AuditBucket { lock: "GOVERNANCE", ..bucket.clone() };
        let expected = [
            AuditSink { to: witness, every_ms: 0, required_within_ms: None },
            AuditSink { to: AuditSinkTarget::Bucket(bucket), every_ms: 60_000, required_within_ms: None },
            AuditSink {
                to: AuditSinkTarget::Bucket(other),
                every_ms: 1_000,
                required_within_ms: Some(2_000),
            },
        ];
        assert_eq!(sinks, expected);
    }

    #[test]
    fn reads_the_key_and_the_sinks() {
        let plain = read("").unwrap().audit.unwrap();
        assert!(plain.signing_key.is_none() && plain.sinks.is_empty() && plain.compress && plain.in_full);
        let text = format!(
            "{KEY}checkpoint_every = \"10s\"\ncompress = false\nlines = \"numbered\"\n[[audit.sink]]\nfile = \"/mnt/c\"\n\
             [[audit.sink]]\nsyslog = \"tcp://[::1]:601\"\nrequired_within = \"5m\"\n\
             [[audit.sink]]\nsyslog = \"tls://log.example:6514\"\nca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\n"
        );
        let audit = read(&text).unwrap().audit.unwrap();
        assert_eq!(audit.signing_key, Some(Secret::File("k".into())));
        assert_eq!((audit.checkpoint_every_ms, audit.compress, audit.in_full), (10_000, false, false));
        let sink = |to, required_within_ms| AuditSink { to, every_ms: 0, required_within_ms };
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
            (format!("{KEY}[[audit.sink]]\nrequired_within = \"1m\""), "needs one of file, syslog"),
            (format!("{KEY}[[audit.sink]]\nfile = \"a\"\nsyslog = \"tcp://h:1\""), "needs one of"),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"udp://h:514\""), "tls://log.example:6514"),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"tcp://h\""), "tls://log.example:6514"),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"tls://h:1\""), "ca is missing"),
            (
                format!("{KEY}[[audit.sink]]\nsyslog = \"tls://h:1\"\nca = \"c\"\nkey = \"k\""),
                "certificate is missing",
            ),
            (format!("{KEY}[[audit.sink]]\nsyslog = \"tcp://h:1\"\nca = \"c\""), "is not encrypted"),
            (format!("{KEY}[[audit.sink]]\nfile = \"f\"\nretain = \"1d\""), "retain has nothing to do here"),
            (format!("{KEY}[[audit.sink]]\nwitness = \"ftp://h\""), "witness is no address that is served"),
            (
                format!("{KEY}[[audit.sink]]\nwitness = \"https://h/\"\ntoken = \"t\""),
                "stands in the file itself",
            ),
            (
                format!("{KEY}[[audit.sink]]\nwitness = \"http://h/\"\ntoken = {{ env = \"T\" }}"),
                "http:// would show it",
            ),
            (format!("{KEY}[[audit.sink]]\nwitness = \"http://h/\"\nca = \"c\""), "http:// is not encrypted"),
            (format!("{KEY}{BUCKET}").replace("/b/c", ""), "s3 names no bucket"),
            (format!("{KEY}{BUCKET}").replace("/b/c", "/b/../c"), "s3 names no bucket"),
            (format!("{KEY}{BUCKET}").replace("/b/c", "/b/%20"), "s3 names no bucket"),
            (format!("{KEY}{BUCKET}").replace("retain = \"365d\"\n", ""), "retain is missing"),
            (format!("{KEY}{BUCKET}").replace("region = \"eu\"\n", ""), "region is missing"),
            (
                format!("{KEY}{BUCKET}").replace("secret_key = { file = \"s\" }\n", ""),
                "secret_key is missing",
            ),
            (format!("{KEY}{BUCKET}lock = \"legal\""), "allowed: "),
            (format!("{KEY}{BUCKET}required_within = \"30s\""), "not longer than every"),
            (format!("{KEY}[[audit.sink]]\notlp = \"http://h:1\""), "is not served by this version yet"),
        ] {
            let faults = read(&lines).err().unwrap_or_default();
            assert!(faults.iter().any(|fault| fault.contains(part)), "{lines}: {faults:?}");
        }
        let many = format!("{KEY}{}", "[[audit.sink]]\nfile = \"f\"\n".repeat(9));
        assert!(read(&many).is_err());
    }
}
