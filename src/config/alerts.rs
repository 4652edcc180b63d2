//! `[[alert]]`: where alerts go, each entry one place of one kind.

use std::path::PathBuf;

use super::reader::{Reader, Section, Text, Words, shown};
use super::scalar;
use super::settings::{HostPort, Secret};

/// Most `[[alert]]` entries.
pub const ALERTS_MAX: usize = 16;
const MAIL_BYTES_MAX: usize = 254;
/// Recipients of one entry.
const RECIPIENTS_MAX: usize = 32;

const ALERT: Words = Words {
    served: &[
        "name",
        "severity",
        "webhook",
        "alertmanager",
        "syslog",
        "smtp",
        "ca",
        "secret",
        "token",
        "starttls",
        "user",
        "password",
        "from",
        "to",
    ],
    later: &[],
};
const SEVERITY: Words = Words { served: &["warning", "critical"], later: &[] };
const KINDS: [&str; 4] = ["webhook", "alertmanager", "syslog", "smtp"];

/// One `[[alert]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertPlace {
    /// Label of metrics and folder of the spool; no two are alike.
    pub name: String,
    /// Only what is critical goes there.
    pub critical_only: bool,
    pub kind: AlertKind,
    /// Who may certify the receiver. None: whom the system trusts.
    pub ca: Option<PathBuf>,
}

/// What listens there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AlertKind {
    Webhook {
        url: String,
        /// Signs the body.
        secret: Option<Secret>,
        token: Option<Secret>,
    },
    /// Version 2 of its API.
    Alertmanager {
        url: String,
        token: Option<Secret>,
    },
    /// RFC 5424 over a stream.
    Syslog {
        address: HostPort,
        tls: bool,
    },
    Mail(Mail),
}

/// `smtp`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    pub server: HostPort,
    pub protection: MailProtection,
    pub login: Option<(String, Secret)>,
    pub from: String,
    pub to: Vec<String>,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailProtection {
    /// TLS from the first byte.
    Tls,
    /// TLS by STARTTLS, or not at all.
    StartTls,
    /// In the clear.
    None,
}

impl Reader<'_> {
    pub(super) fn alerts(&mut self, root: &Section<'_>) -> Vec<AlertPlace> {
        let entries = self.tables(root, "alert", "[[alert]]", ALERT, ALERTS_MAX);
        let mut places: Vec<AlertPlace> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some(place) = self.alert(entry, index) else { continue };
            if places.iter().any(|other| other.name == place.name) {
                let found = format!("two entries of [[alert]] are named {}", shown(&place.name));
                self.fault(entry.at, found, "give one of them another name");
            }
            places.push(place);
        }
        places
    }

    fn alert(&mut self, entry: &Section<'_>, index: usize) -> Option<AlertPlace> {
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| entry.value(kind).is_some()).collect();
        let &[kind] = kinds.as_slice() else {
            let found = format!("an [[alert]] with {} of webhook, alertmanager, syslog, smtp", kinds.len());
            self.fault(entry.at, found, "each [[alert]] has one of them");
            return None;
        };
        let name = match self.string(entry, "name") {
            Some(text) => self.place_name(text)?,
            None => format!("{kind}-{}", index + 1),
        };
        let critical_only =
            self.choice(entry, "severity", SEVERITY).is_some_and(|word| word.text == "critical");
        let ca = entry.value("ca").is_some().then(|| self.path(entry, "ca", "\"ca.crt\"")).flatten();
        let goes_with: &[&str] = match kind {
            "webhook" => &["secret", "token"],
            "alertmanager" => &["token"],
            "smtp" => &["starttls", "user", "password", "from", "to"],
            _ => &[],
        };
        for key in ["secret", "token", "starttls", "user", "password", "from", "to"] {
            if entry.value(key).is_some() && !goes_with.contains(&key) {
                let found = format!("[[alert]] {key} says nothing of {kind}");
                self.fault(
                    entry.at,
                    found,
                    format!("beside {kind}: name, severity, ca {}", goes_with.join(" ")),
                );
            }
        }
        let kind = match kind {
            "webhook" => AlertKind::Webhook {
                url: self.url(entry, "webhook")?,
                secret: self.secret(entry, "secret"),
                token: self.secret(entry, "token"),
            },
            "alertmanager" => AlertKind::Alertmanager {
                url: self.url(entry, "alertmanager")?,
                token: self.secret(entry, "token"),
            },
            "syslog" => self.alert_syslog(entry)?,
            _ => AlertKind::Mail(self.mail(entry)?),
        };
        let secures = match &kind {
            AlertKind::Webhook { url, .. } | AlertKind::Alertmanager { url, .. } => url.starts_with("https"),
            AlertKind::Syslog { tls, .. } => *tls,
            AlertKind::Mail(mail) => mail.protection != MailProtection::None,
        };
        if ca.is_some() && !secures {
            self.fault(
                entry.at,
                "[[alert]] ca without TLS",
                "take it out, or use https://, tls:// or smtps://",
            );
        }
        Some(AlertPlace { name, critical_only, kind, ca })
    }

    /// It becomes the name of a folder.
    fn place_name(&mut self, text: Text<'_>) -> Option<String> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if !text.text.is_empty() && text.text.len() <= 64 && text.text.chars().all(fits) {
            return Some(text.text.to_owned());
        }
        let found = format!("[[alert]] name = {}", shown(text.text));
        self.fault(text.at, found, "from 1 to 64 letters, digits, - and _");
        None
    }

    fn url(&mut self, entry: &Section<'_>, key: &'static str) -> Option<String> {
        let text = self.string(entry, key)?;
        if scalar::is_web_address(text.text) {
            return Some(text.text.to_owned());
        }
        // What it is may be a secret in itself.
        let found = format!("[[alert]] {key} is no address that is served");
        self.fault(
            text.at,
            found,
            "https://host/path or http://host:port/path, without a user before the host",
        );
        None
    }

    fn alert_syslog(&mut self, entry: &Section<'_>) -> Option<AlertKind> {
        let (text, tls, address) = self.schemed(entry, "syslog", "tls://", "tcp://")?;
        let address = self.host_port("[[alert]] syslog", Text { text: address, at: text.at }, 1)?;
        Some(AlertKind::Syslog { address, tls })
    }

    fn mail(&mut self, entry: &Section<'_>) -> Option<Mail> {
        let (text, tls, address) = self.schemed(entry, "smtp", "smtps://", "smtp://")?;
        let server = self.host_port("[[alert]] smtp", Text { text: address, at: text.at }, 1)?;
        let protection = match (tls, self.boolean(entry, "starttls")) {
            (true, None) => MailProtection::Tls,
            (true, Some(_)) => {
                self.fault(
                    entry.at,
                    "[[alert]] starttls beside smtps://",
                    "take it out: all of it is under TLS",
                );
                MailProtection::Tls
            }
            (false, None | Some(true)) => MailProtection::StartTls,
            (false, Some(false)) => MailProtection::None,
        };
        let user = self.string(entry, "user").map(|user| user.text.to_owned());
        let login = match (user, self.secret(entry, "password")) {
            (Some(user), Some(password)) if !user.contains('\0') => Some((user, password)),
            (None, None) => None,
            (Some(_), _) | (None, Some(_)) => {
                self.fault(entry.at, "[[alert]] needs both user and password", "add the other one");
                None
            }
        };
        if login.is_some() && protection == MailProtection::None {
            self.fault(entry.at, "[[alert]] a password in the clear", "take starttls = false out");
        }
        if entry.value("from").is_none() {
            self.missing(entry, "from", "\"sealgate@example.org\"");
        }
        if entry.value("to").is_none() {
            self.missing(entry, "to", "[\"soc@example.org\"]");
        }
        let from = self.string(entry, "from").and_then(|text| self.mailbox(text));
        let to = self.strings(entry, "to", RECIPIENTS_MAX);
        let to: Option<Vec<String>> = to?.into_iter().map(|text| self.mailbox(text)).collect();
        Some(Mail { server, protection, login, from: from?, to: to? })
    }

    /// An address with one of two schemes; true for the first.
    fn schemed<'d>(
        &mut self,
        entry: &Section<'d>,
        key: &str,
        tls: &str,
        plain: &str,
    ) -> Option<(Text<'d>, bool, &'d str)> {
        let text = self.string(entry, key)?;
        match (text.text.strip_prefix(tls), text.text.strip_prefix(plain)) {
            (Some(address), _) => Some((text, true, address)),
            (None, Some(address)) => Some((text, false, address)),
            (None, None) => {
                let found = format!("[[alert]] {key} = {}", shown(text.text));
                self.fault(text.at, found, format!("\"{tls}host:port\" or \"{plain}host:port\""));
                None
            }
        }
    }

    /// Nothing that could end a line of SMTP or of a header.
    fn mailbox(&mut self, text: Text<'_>) -> Option<String> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"<>()[]\\,;:\"".contains(&byte);
        let two_parts = text
            .text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
        if two_parts && text.text.len() <= MAIL_BYTES_MAX && text.text.bytes().all(fits) {
            return Some(text.text.to_owned());
        }
        self.fault(text.at, format!("{} is no mail address", shown(text.text)), "name@host");
        None
    }

    /// `[watch] quiet`: when an incident is over.
    pub(super) fn quiet_ms(&mut self, watch: &Section<'_>) -> Option<u64> {
        let text = self.string(watch, "quiet")?;
        let fitting = scalar::duration_ms(text.text).filter(|ms| (1_000..=86_400_000).contains(ms));
        if fitting.is_none() {
            let found = format!("[watch] quiet = {}", shown(text.text));
            self.fault(text.at, found, "from \"1s\" to \"1d\": a number and s, m, h or d");
        }
        fitting
    }
}
