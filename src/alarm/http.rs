//! Webhooks and Alertmanager: JSON by HTTP.

use std::path::Path;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use ureq::Agent;
use zeroize::Zeroizing;

use super::Undelivered;
use crate::audit::rfc3339;
use crate::transport::web;
use crate::watch::{Notice, Status};

/// One delivery, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after an incident should be over Alertmanager takes it for that by itself.
const GRACE_MS: u64 = 60_000;

/// A way to post.
pub(super) struct Post {
    agent: Agent,
    url: String,
    token: Option<Zeroizing<String>>,
}

impl Post {
    pub(super) fn new(
        url: String,
        ca: Option<&Path>,
        token: Option<Zeroizing<String>>,
    ) -> Result<Post, String> {
        Ok(Post { agent: web::agent(&url, ca, PATIENCE)?, url, token })
    }

    fn send(&self, body: &[u8], headers: &[(&str, &str)]) -> Result<(), Undelivered> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {}", token.as_str()));
        }
        // An error may quote the address, which may be a secret in itself.
        let answer = request
            .send(body)
            .map_err(|error| Undelivered::for_now(without(&error.to_string(), &self.url)))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(()),
            // Of this body another try will not make more.
            400 | 405 | 406 | 410 | 411 | 413..=415 | 422 => {
                Err(Undelivered::for_good(format!("answered {status}")))
            }
            _ => Err(Undelivered::for_now(format!("answered {status}"))),
        }
    }
}

fn without(text: &str, url: &str) -> String {
    text.replace(url, "its address")
}

/// Posts a notice to a webhook; signed, where there is a secret for it.
pub(super) fn webhook(
    post: &Post,
    secret: Option<&str>,
    node: &str,
    notice: &Notice,
    now_ms: u64,
) -> Result<(), Undelivered> {
    let body = body(node, notice).to_string();
    let time = (now_ms / 1_000).to_string();
    let signed = secret.map(|secret| signature(secret, &time, &body));
    let mut headers = vec![("X-Sealgate-Timestamp", time.as_str())];
    if let Some(signed) = &signed {
        headers.push(("X-Sealgate-Signature", signed));
    }
    post.send(body.as_bytes(), &headers)
}

/// `sha256=` and the HMAC-SHA-256, in hex, of the time, a dot and the body.
fn signature(secret: &str, time: &str, body: &str) -> String {
    let mut signed = String::from("sha256=");
    if let Ok(mut mac) = <Hmac<Sha256>>::new_from_slice(secret.as_bytes()) {
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body.as_bytes());
        for byte in mac.finalize().into_bytes() {
            signed.push_str(&format!("{byte:02x}"));
        }
    }
    signed
}

/// What a webhook is told.
fn body(node: &str, notice: &Notice) -> Value {
    json!({
        "incident": notice.incident,
        "status": notice.status,
        "node": node,
        "detector": notice.detector,
        "severity": notice.severity,
        "reason": notice.reason,
        "done": notice.done,
        "user": notice.user,
        "end_user": notice.end_user,
        "application": notice.application,
        "client": notice.client,
        "region": notice.region,
        "database": notice.database,
        "session": notice.session,
        "statement_id": notice.statement_id,
        "sessions": notice.sessions,
        "fields": notice.fields,
        "count": notice.count,
        "started": rfc3339(notice.started_ms.saturating_mul(1_000)),
        "latest": rfc3339(notice.latest_ms.saturating_mul(1_000)),
    })
}

/// Posts a notice to version 2 of Alertmanager's API. Its labels say which incident it is.
pub(super) fn alertmanager(post: &Post, node: &str, notice: &Notice, now_ms: u64) -> Result<(), Undelivered> {
    let ends_ms = match notice.status {
        // One that came to be sent only after its end would be refused.
        Status::Firing => notice.ends_ms.max(now_ms).saturating_add(GRACE_MS),
        Status::Resolved => notice.ends_ms.min(now_ms),
    };
    let fields: Vec<String> =
        notice.fields.iter().map(|field| format!("{} ({})", field.field, field.class)).collect();
    let sessions: Vec<String> = notice.sessions.iter().map(u64::to_string).collect();
    // A label without a value is none at all.
    let mut labels = serde_json::Map::new();
    let named = [
        ("alertname", "SealgateWatch"),
        ("detector", notice.detector.as_str()),
        ("severity", notice.severity.as_str()),
        ("user", notice.user.as_str()),
        ("database", notice.database.as_str()),
        ("incident", notice.incident.as_str()),
        ("node", node),
    ];
    for (name, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
        labels.insert(name.to_owned(), value.into());
    }
    let alert = json!([{
        "labels": labels,
        "annotations": {
            "summary": format!("{}: {} ({})", notice.detector, notice.reason, notice.user),
            "reason": notice.reason,
            "done": notice.done,
            "end_user": notice.end_user,
            "application": notice.application,
            "client": notice.client,
            "region": notice.region,
            "session": notice.session.to_string(),
            "sessions": sessions.join(", "),
            "fields": fields.join(", "),
            "count": notice.count.to_string(),
        },
        "startsAt": rfc3339(notice.started_ms.saturating_mul(1_000)),
        "endsAt": rfc3339(ends_ms.max(notice.started_ms).saturating_mul(1_000)),
    }]);
    post.send(alert.to_string().as_bytes(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_time_and_body() {
        // By openssl: printf '1.{}' | openssl dgst -sha256 -hmac key
        let expected = "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224";
        assert_eq!(signature("key", "1", "{}"), expected);
    }
}
