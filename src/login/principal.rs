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
            session,
        }
    }
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
    fn the_database_defaults_to_the_user() {
        let start = Start { minor: 0, parameters: vec![(b"user", b"app"), (b"database", b"")] };
        let claim = Claim::new(&start, "::1".into(), "".into(), 1);
        assert_eq!(&*claim.database, "app");
    }
}
