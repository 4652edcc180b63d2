//! Checkpoints by HTTP: to a witness, which keeps what is posted to it, and to an object store (S3 and its kin)
//! whose objects nobody can change or remove before their time.
//!
//! Requests to the store are signed here (AWS Signature Version 4): one form of request, in fewer lines than
//! any client library for it has dependencies.

use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use ureq::Agent;
use zeroize::Zeroizing;

use crate::audit::rfc3339;

/// All of one request, connecting included.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Of an answer that is no success so much is looked at.
const ANSWER_BYTES_MAX: u64 = 4 << 10;
/// Longest code of an error that is told.
const CODE_CHARS_MAX: usize = 64;

/// A server that keeps what is posted to it.
#[derive(Clone)]
pub struct Witness {
    pub agent: Agent,
    pub url: String,
    pub token: Option<Zeroizing<String>>,
}

/// A bucket whose objects are locked.
#[derive(Clone)]
pub struct Bucket {
    pub agent: Agent,
    /// `https://host`, with the port where it has one.
    pub store: String,
    /// `/bucket` and what stands before each object's name; letters, digits and `-._~/` alone.
    pub path: String,
    pub region: String,
    pub access_key: Zeroizing<String>,
    pub secret_key: Zeroizing<String>,
    /// `COMPLIANCE`, `GOVERNANCE`
    pub lock: &'static str,
    pub retain: Duration,
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

impl fmt::Display for Witness {
    /// The rest of the address may be a secret in itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "witness:{}", host(&self.url))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3:{}{}", host(&self.store), self.path)
    }
}

impl Witness {
    pub(super) fn deliver(&self, note: &str) -> io::Result<()> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "text/plain; charset=utf-8");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {}", token.as_str()));
        }
        answered(request.send(note.as_bytes()), &self.url)
    }
}

impl Bucket {
    pub(super) fn deliver(&self, note: &str, now_us: u64) -> io::Result<()> {
        let path = format!("{}/{}", self.path, object(note));
        let sum = Sha256::digest(note.as_bytes());
        let until = now_us.saturating_add(u64::try_from(self.retain.as_micros()).unwrap_or(u64::MAX));
        // A store takes what is to be locked only with a sum by which it can tell that all has arrived.
        let mut headers = vec![
            ("host", host(&self.store).to_owned()),
            ("x-amz-checksum-sha256", STANDARD.encode(sum)),
            ("x-amz-content-sha256", hex(&sum)),
            ("x-amz-date", basic(now_us)),
            ("x-amz-object-lock-mode", self.lock.to_owned()),
            ("x-amz-object-lock-retain-until-date", to_seconds(until)),
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
        ];
        let signed = self.signed("PUT", &path, &headers, &hex(&sum));
        headers.push(("authorization", signed));
        let url = format!("{}{path}", self.store);
        let mut request = self.agent.put(&url).header("Content-Type", "text/plain; charset=utf-8");
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, value);
        }
        answered(request.send(note.as_bytes()), &url)
    }

    /// The value of `Authorization`. `headers`: in the order of their names, with host and x-amz-date.
    fn signed(&self, method: &str, path: &str, headers: &[(&str, String)], sum: &str) -> String {
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let asked = Sha256::digest(format!("{method}\n{path}\n\n{lines}\n{names}\n{sum}"));
        let time = headers.iter().find(|(name, _)| *name == "x-amz-date").map_or("", |(_, value)| value);
        let day = time.get(..8).unwrap_or_default();
        let region = &self.region;
        let scope = format!("{day}/{region}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&asked));
        let first = Zeroizing::new(format!("AWS4{}", self.secret_key.as_str()));
        let mut key = Zeroizing::new(first.as_bytes().to_vec());
        for part in [day, region, "s3", "aws4_request", &text] {
            *key = mac(&key, part.as_bytes());
        }
        let credential = self.access_key.as_str();
        let signature = hex(&key);
        format!(
            "AWS4-HMAC-SHA256 Credential={credential}/{scope},SignedHeaders={names},Signature={signature}"
        )
    }
}

/// Below the bucket's path: the key that has signed, and the number of the last record, so that names sort.
fn object(note: &str) -> String {
    let mut lines = note.lines();
    let (origin, size) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    format!("{origin}/{size:0>20}.note")
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key may be of any length.
    let Ok(mut mac) = <Hmac<Sha256>>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `2026-11-21T22:32:48Z`
fn to_seconds(time_us: u64) -> String {
    let text = rfc3339(time_us);
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// `20261121T223248Z`
fn basic(time_us: u64) -> String {
    to_seconds(time_us).replace(['-', ':'], "")
}

/// What was answered, without the address, which may be a secret.
fn answered(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, url: &str) -> io::Result<()> {
    let mut answer =
        answer.map_err(|error| io::Error::other(error.to_string().replace(url, "its address")))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code.map_or("", |(code, _)| code);
    let is_code = !code.is_empty()
        && code.len() <= CODE_CHARS_MAX
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Err(io::Error::other(if is_code {
        format!("answered {} ({code})", status.as_u16())
    } else {
        format!("answered {}", status.as_u16())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of a PUT in the documentation of Amazon S3.
    #[test]
    fn signs_as_the_store_expects() {
        let bucket = Bucket {
            agent: Agent::new_with_defaults(),
            store: "https://examplebucket.s3.amazonaws.com".to_owned(),
            path: String::new(),
            region: "us-east-1".to_owned(),
            access_key: Zeroizing::new("AKIAIOSFODNN7EXAMPLE".to_owned()),
            secret_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            lock: "COMPLIANCE",
            retain: Duration::from_secs(1),
        };
        let sum = hex(&Sha256::digest("Welcome to Amazon S3."));
        let headers = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()),
            ("host", host(&bucket.store).to_owned()),
            ("x-amz-content-sha256", sum.clone()),
            ("x-amz-date", "20130524T000000Z".to_owned()),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned()),
        ];
        assert_eq!(
            bucket.signed("PUT", "/test%24file.text", &headers, &sum),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,\
             Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
    }

    #[test]
    fn objects_are_named_by_key_and_number_and_times_are_to_the_second() {
        let note = "sealgate-record-21fe31dfa154a261\n1234\nroot\n\n\u{2014} name AAAA\n";
        assert_eq!(object(note), "sealgate-record-21fe31dfa154a261/00000000000000001234.note");
        assert_eq!(
            (to_seconds(1_795_300_368_000_001), basic(1_795_300_368_000_001)),
            ("2026-11-21T22:32:48Z".to_owned(), "20261121T223248Z".to_owned())
        );
        assert_eq!(host("https://h:9/x?y"), "h:9");
    }
}
