//! Ways that a database server makes to others by itself: whither they may lead.

use std::net::IpAddr;
use std::sync::Arc;

use super::refusal::Refusal;
use crate::residency::{Date, Residency, Verdict};

/// What is around this gate, as far as it decides about a statement.
pub struct Surroundings {
    residency: Arc<Residency>,
    /// The hosts behind this gate, as they are configured.
    upstreams: Vec<String>,
    today: fn() -> Date,
}

impl Surroundings {
    #[must_use]
    pub fn new(residency: Arc<Residency>, upstreams: Vec<String>, today: fn() -> Date) -> Surroundings {
        Surroundings { residency, upstreams, today }
    }

    /// Nothing is known, and nothing judged by region.
    #[must_use]
    pub fn unknown() -> Surroundings {
        Surroundings::new(Arc::new(Residency::unjudged()), Vec::new(), || Date::from_unix_days(0))
    }

    /// May the server be told to dial this host?
    ///
    /// # Errors
    /// It leads back to the server, where nobody would look at what is asked, or may do so; or its
    /// region is not allowed.
    pub(super) fn judge_link(&self, host: &str) -> Result<(), Refusal> {
        if self.leads_back(host) {
            let detail = "A foreign server or a subscription leads back to this server, or to its own machine, past Sealgate, as far as anybody can tell.";
            let hint = "Read the tables themselves; name another server by its address or its host name.";
            return Err(Refusal::unhandled("link", detail, hint));
        }
        match self.residency.judge_link(host, (self.today)()) {
            Verdict::NotJudged | Verdict::Allowed { .. } => Ok(()),
            Verdict::Denied { why } => Err(Refusal::residency(&why)),
        }
    }

    /// Whatever the port: another one may be a way to the same server.
    fn leads_back(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let Some(address) = address(host) else {
            return !is_name(host)
                || host.eq_ignore_ascii_case("localhost")
                || host.to_ascii_lowercase().ends_with(".localhost")
                || self.upstreams.iter().any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(host));
        };
        address.is_loopback()
            || address.is_unspecified()
            || self.upstreams.iter().any(|own| self::address(own) == Some(address))
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Is it a name that is resolved as one? Not the folder of a Unix socket, nor an address in an older
/// spelling (`127.1`), which resolvers take for one.
fn is_name(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let letters =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') || byte >= 0x80;
    !last.is_empty() && host.bytes().all(letters) && !last.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_leads_back_to_the_server_in_whatever_spelling() {
        let upstreams = ["db.example", "192.0.2.7", "2001:db8::7"].map(str::to_owned).into();
        let around =
            Surroundings::new(Arc::new(Residency::unjudged()), upstreams, || Date::from_unix_days(0));
        for (host, passes) in [
            ("other.example", true),
            ("192.0.2.8", true),
            ("2001:db8::8", true),
            ("db1", true),
            ("db.example", false),
            ("DB.Example.", false),
            ("192.0.2.7", false),
            ("::ffff:192.0.2.7", false),
            ("2001:DB8:0::7", false),
            ("localhost", false),
            ("LOCALHOST.", false),
            ("x.localhost", false),
            ("127.0.0.1", false),
            ("127.8.9.10", false),
            ("127.1", false),
            ("2130706433", false),
            ("0x7f.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("::1", false),
            ("::1%lo", false),
            ("/var/run/postgresql", false),
            ("@abstract", false),
            ("", false),
            ("other example", false),
        ] {
            assert_eq!(around.judge_link(host).is_ok(), passes, "{host}");
        }
    }
}
