//! Syslog: RFC 5424 over a stream, counted in octets (RFC 6587, RFC 5425); the message in CEF.

use std::io::Write as _;
use std::sync::Arc;

use rustls::ClientConfig;

use super::Undelivered;
use crate::audit::{is_disguise, rfc3339};
use crate::config::HostPort;
use crate::transport::blocking::Stream;
use crate::watch::{Notice, Status};

/// Facility 13, log audit.
const FACILITY: u8 = 13;
/// Longest value of one member, in characters.
const VALUE_CHARS_MAX: usize = 1_000;

pub(super) fn send(
    address: &HostPort,
    tls: Option<&Arc<ClientConfig>>,
    node: &str,
    notice: &Notice,
) -> Result<(), Undelivered> {
    let line = message(node, notice);
    let told = || -> std::io::Result<()> {
        let mut stream = Stream::connect(address)?;
        if let Some(config) = tls {
            stream = stream.secured(config, &address.host)?;
        }
        stream.write_all(format!("{} {line}", line.len()).as_bytes())?;
        stream.flush()?;
        // Nothing is acknowledged in this protocol, but that it is read to its end.
        stream.finish()
    };
    told().map_err(|error| Undelivered::for_now(error.to_string()))
}

/// `<PRI>1 time host app process id - CEF:0|...`
fn message(node: &str, notice: &Notice) -> String {
    let (level, weight) = match (notice.status, notice.severity.as_str()) {
        (Status::Resolved, _) => (5, 1),
        (Status::Firing, "critical") => (2, 9),
        (Status::Firing, _) => (4, 5),
    };
    let priority = FACILITY * 8 + level;
    let time = rfc3339(notice.latest_ms.saturating_mul(1_000));
    let host: String = node.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let (detector, reason) = (in_header(&notice.detector), in_header(&notice.reason));
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<{priority}>1 {time} {host} sealgate - ALERT - CEF:0|Sealgate|Sealgate|{version}|{detector}|{reason}|{weight}|{}",
        members(notice)
    )
}

fn members(notice: &Notice) -> String {
    let status = match notice.status {
        Status::Firing => "firing",
        Status::Resolved => "resolved",
    };
    let fields: Vec<String> =
        notice.fields.iter().map(|field| format!("{} ({})", field.field, field.class)).collect();
    // `src` is an address or nothing.
    let client = notice.client.parse::<std::net::IpAddr>().is_ok().then_some(notice.client.as_str());
    let pairs = [
        ("rt", notice.latest_ms.to_string()),
        ("start", notice.started_ms.to_string()),
        ("externalId", notice.incident.clone()),
        ("outcome", status.to_owned()),
        ("act", notice.done.clone()),
        ("cnt", notice.count.to_string()),
        ("suser", notice.user.clone()),
        ("src", client.unwrap_or_default().to_owned()),
        ("sourceServiceName", notice.application.clone()),
        ("reason", notice.reason.clone()),
        ("cn1Label", "session".to_owned()),
        ("cn1", notice.session.to_string()),
        ("cs1Label", "database".to_owned()),
        ("cs1", notice.database.clone()),
        ("cs2Label", "fields".to_owned()),
        ("cs2", fields.join(", ")),
        ("cs3Label", "severity".to_owned()),
        ("cs3", notice.severity.clone()),
        ("cs4Label", if notice.end_user.is_empty() { String::new() } else { "end user".to_owned() }),
        ("cs4", notice.end_user.clone()),
    ];
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    let texts: Vec<String> = shown.map(|(name, value)| format!("{name}={}", in_member(value))).collect();
    texts.join(" ")
}

/// A bar ends a part of the header.
fn in_header(text: &str) -> String {
    plain(text).replace('\\', "\\\\").replace('|', "\\|")
}

/// An equals sign begins a value.
fn in_member(text: &str) -> String {
    plain(text).replace('\\', "\\\\").replace('=', "\\=")
}

/// Nothing that ends a line or hides in one.
fn plain(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).map(|letter| if is_disguise(letter) { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_calls_himself_stays_one_value() {
        let mut notice = Notice::of_a_test(0);
        notice.user = "a|b=c\\d\nCEF:0|x suser=root".to_owned();
        let line = message("n o\tde", &notice);
        assert!(
            !line.contains('\n')
                && line.starts_with("<108>1 1970-01-01T00:00:00.000000Z node sealgate - ALERT - CEF:0|")
        );
        assert!(line.contains(" suser=a|b\\=c\\\\d CEF:0|x suser\\=root "), "{line}");
        notice.reason = "a|b\\".to_owned();
        assert!(message("n", &notice).contains("|a\\|b\\\\|5|"));
        notice.severity = "critical".to_owned();
        assert!(message("n", &notice).starts_with("<106>1 "));
        notice.status = Status::Resolved;
        assert!(message("n", &notice).starts_with("<109>1 "));
    }
}
