//! Who a session acts for: decisions rest on the login user, never on `SET ROLE`.

use std::sync::Arc;

use crate::wire::startup::Start;

/// Longest name or application name kept; longer ones are cut.
const TEXT_BYTES_MAX: usize = 256;

/// What a client says of itself at startup, before any proof.
#[derive(Clone)]
pub struct Claim {
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub application: Arc<str>,
    /// Address of the client, without the port.
    pub client: Arc<str>,
    /// Region of that address, empty where nothing is judged by region.
    pub region: Arc<str>,
    /// Whom the client's certificate names, where it showed one.
    pub certificate: Option<Arc<str>>,
    /// For whom it asks and what for, as its settings at the start state it.
    pub end_user: Option<Arc<str>>,
    pub purpose: Option<Arc<str>>,
    pub session: u64,
}

impl Claim {
    /// Reads the names in a StartupMessage; `database` defaults to `user`, as the server has it.
    #[must_use]
    pub fn new(start: &Start<'_>, client: Arc<str>, region: Arc<str>, session: u64) -> Claim {
        let user = start.parameter(b"user").unwrap_or_default();
        let database = start.parameter(b"database").filter(|name| !name.is_empty()).unwrap_or(user);
        let application = start.parameter(b"application_name").unwrap_or_default();
        Claim {
            user: text(user),
            database: text(database),
            application: text(application),
            client,
            region,
            certificate: None,
            end_user: setting(start, "sealgate.end_user").or_else(|| setting(start, "sealgate.user")),
            purpose: setting(start, "sealgate.purpose"),
            session,
        }
    }
}

/// Does a StartupMessage give a token, which the server must not see?
#[must_use]
pub fn gives_token(start: &Start<'_>) -> bool {
    setting(start, "sealgate.token").is_some()
}

/// A setting that a StartupMessage makes: as a parameter of its own, or else by `-c` or `--` in `options`.
fn setting(start: &Start<'_>, name: &str) -> Option<Arc<str>> {
    let is_it = |key: &[u8]| key.eq_ignore_ascii_case(name.as_bytes());
    let own = start.parameters.iter().rev().find(|(key, _)| is_it(key)).map(|(_, value)| text(value));
    let by_options = || {
        let mut found = None;
        let mut words = split(start.parameter(b"options").unwrap_or_default()).into_iter();
        while let Some(word) = words.next() {
            let assigns = match word.as_slice() {
                b"-c" => words.next().unwrap_or_default(),
                [b'-', b'c' | b'-', rest @ ..] => rest.to_vec(),
                _ => continue,
            };
            let Some(at) = assigns.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = assigns.split_at(at);
            let key: Vec<u8> = key.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
            if is_it(&key) {
                found = value.get(1..).map(text);
            }
        }
        found
    };
    own.or_else(by_options).filter(|value| !value.is_empty())
}

/// Words as the server splits them: at white space, which a backslash makes a part of one.
fn split(options: &[u8]) -> Vec<Vec<u8>> {
    let mut words = vec![Vec::new()];
    let mut bytes = options.iter();
    while let Some(byte) = bytes.next() {
        let next = match byte {
            b'\\' => bytes.next(),
            byte if byte.is_ascii_whitespace() || *byte == 0x0b => {
                words.push(Vec::new());
                continue;
            }
            byte => Some(byte),
        };
        if let (Some(byte), Some(word)) = (next, words.last_mut()) {
            word.push(*byte);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Readable and bounded: control characters and what is not UTF-8 are replaced.
pub(super) fn text(bytes: &[u8]) -> Arc<str> {
    let mut out = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        if out.len() + character.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(if character.is_control() { '\u{fffd}' } else { character });
    }
    out.into()
}

/// A claim that was proven. Made in this folder alone.
#[derive(Clone)]
pub struct Principal {
    claim: Claim,
    method: &'static str,
}

impl Principal {
    pub(super) fn proven(claim: Claim, method: &'static str) -> Principal {
        Principal { claim, method }
    }

    #[must_use]
    pub fn user(&self) -> &Arc<str> {
        &self.claim.user
    }

    #[must_use]
    pub fn database(&self) -> &Arc<str> {
        &self.claim.database
    }

    #[must_use]
    pub fn application(&self) -> &Arc<str> {
        &self.claim.application
    }

    #[must_use]
    pub fn client(&self) -> &Arc<str> {
        &self.claim.client
    }

    #[must_use]
    pub fn region(&self) -> &Arc<str> {
        &self.claim.region
    }

    /// Whom the client's certificate names, where it showed one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<str>> {
        self.claim.certificate.as_ref()
    }

    /// For whom it asks, as it stated at the start.
    #[must_use]
    pub fn end_user(&self) -> Option<&Arc<str>> {
        self.claim.end_user.as_ref()
    }

    /// What for, likewise.
    #[must_use]
    pub fn purpose(&self) -> Option<&Arc<str>> {
        self.claim.purpose.as_ref()
    }

    #[must_use]
    pub fn session(&self) -> u64 {
        self.claim.session
    }

    /// `relay`, `scram`, or `scram-plus` where the proof was bound to the TLS channel.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.method
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_readable() {
        assert_eq!(&*text(b"a\nb\xff"), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(&[b'x'; 1000]).len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn who_asks_is_read_from_parameters_and_options_as_the_server_reads_them() {
        for (parameters, expected) in [
            (vec![(&b"options"[..], &b"-c sealgate.user=ada"[..])], Some("ada")),
            (vec![(b"options", b"-csealgate.user=ada -c x=y")], Some("ada")),
            (vec![(b"options", b"--sealgate.user=ada")], Some("ada")),
            (vec![(b"options", b"--SealGate.User=a\\ b\\\\c")], Some("a b\\c")),
            (vec![(b"options", b"-c sealgate.user=a -c sealgate.user=b")], Some("b")),
            (vec![(b"Sealgate.USER", b"own"), (b"options", b"-c sealgate.user=a")], Some("own")),
            (vec![(b"options", b"-c x=sealgate.user=a")], None),
            (vec![(b"options", b"-d sealgate.user=a")], None),
            (vec![(b"options", b"-c")], None),
            (vec![(b"sealgate.user", b"")], None),
        ] {
            let start = Start { minor: 0, parameters };
            let claim = Claim::new(&start, "::1".into(), "".into(), 1);
            assert_eq!(claim.end_user.as_deref(), expected);
        }
    }

    #[test]
    fn the_database_defaults_to_the_user() {
        let start = Start { minor: 0, parameters: vec![(b"user", b"app"), (b"database", b"")] };
        let claim = Claim::new(&start, "::1".into(), "".into(), 1);
        assert_eq!(&*claim.database, "app");
    }
}
