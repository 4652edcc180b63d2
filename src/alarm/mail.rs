//! E-mail: the few commands of SMTP (RFC 5321) that hand over one message.
//!
//! Written here, since what a mail library brings along (addresses of every kind, attachments, names of
//! hosts in every script) is more than all the rest of the delivery.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::Undelivered;
use crate::audit::{is_disguise, rfc3339};
use crate::config::{Mail, MailProtection};
use crate::transport::blocking::Stream;
use crate::watch::{Notice, Status};

/// Longest line of a server, and most lines of one answer.
const LINE_BYTES_MAX: usize = 4_096;
const LINES_MAX: usize = 100;
/// Bytes of text in one encoded word of a header, and in one line of the body.
const WORD_BYTES: usize = 42;
const BODY_LINE_BYTES: usize = 57;

/// What is said to a mail server, and heard.
struct Talk {
    stream: Stream,
    heard: Vec<u8>,
}

/// An answer that is none of those that would be right.
fn refused(what: &str, answer: &Answer) -> Undelivered {
    let told = format!("{what}: answered {}", answer.code);
    // 5yz: the same will be refused again; but for who may not send now.
    if (550..=559).contains(&answer.code) { Undelivered::for_good(told) } else { Undelivered::for_now(told) }
}

struct Answer {
    code: u16,
}

impl Talk {
    fn new(stream: Stream) -> Talk {
        Talk { stream, heard: Vec::new() }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let mut piece = [0; 512];
            let count = self.stream.read(&mut piece)?;
            if count == 0 || self.heard.len() > LINE_BYTES_MAX {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.heard.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
    }

    fn answer(&mut self) -> io::Result<Answer> {
        for _ in 0..LINES_MAX {
            let line = self.line()?;
            let (code, rest) = line.split_at_checked(3).unwrap_or_default();
            let Ok(code) = code.parse() else {
                return Err(io::Error::other("what listens there is no mail server"));
            };
            if !rest.starts_with('-') {
                return Ok(Answer { code });
            }
        }
        Err(io::Error::other("an answer without an end"))
    }

    fn say(&mut self, line: &str) -> io::Result<Answer> {
        let whole = Zeroizing::new(format!("{line}\r\n"));
        self.stream.write_all(whole.as_bytes())?;
        self.stream.flush()?;
        self.answer()
    }

    /// Says it, and goes on only where the answer is the right one.
    fn must(&mut self, what: &str, line: &str, right: u16) -> Result<Answer, Undelivered> {
        let answer = self.say(line).map_err(|error| Undelivered::for_now(format!("{what}: {error}")))?;
        if answer.code == right { Ok(answer) } else { Err(refused(what, &answer)) }
    }
}

pub(super) fn send(
    mail: &Mail,
    tls: Option<&Arc<ClientConfig>>,
    password: Option<&str>,
    node: &str,
    notice: &Notice,
    now_ms: u64,
) -> Result<(), Undelivered> {
    let failed = |error: io::Error| Undelivered::for_now(error.to_string());
    let secured = |stream: Stream| match tls {
        Some(config) => stream.secured(config, &mail.server.host).map_err(failed),
        None => Err(Undelivered::for_now("there is no TLS for it".to_owned())),
    };
    let mut stream = Stream::connect(&mail.server).map_err(failed)?;
    if mail.protection == MailProtection::Tls {
        stream = secured(stream)?;
    }
    let mut talk = Talk::new(stream);
    let greeting = talk.answer().map_err(failed)?;
    if greeting.code != 220 {
        return Err(refused("greeting", &greeting));
    }
    let hello = format!("EHLO {}", host(node));
    talk.must("EHLO", &hello, 250)?;
    if mail.protection == MailProtection::StartTls {
        talk.must("STARTTLS", "STARTTLS", 220)?;
        if !talk.heard.is_empty() {
            // It came before TLS, so anybody may have sent it.
            return Err(Undelivered::for_now("STARTTLS: more was sent in the clear".to_owned()));
        }
        talk = Talk::new(secured(talk.stream)?);
        talk.must("EHLO", &hello, 250)?;
    }
    if let (Some((user, _)), Some(password)) = (&mail.login, password) {
        let plain = Zeroizing::new(format!("\0{user}\0{password}"));
        let plain = Zeroizing::new(BASE64_STANDARD.encode(plain.as_bytes()));
        talk.must("AUTH", &Zeroizing::new(format!("AUTH PLAIN {}", plain.as_str())), 235)?;
    }
    talk.must("MAIL FROM", &format!("MAIL FROM:<{}>", mail.from), 250)?;
    for to in &mail.to {
        talk.must("RCPT TO", &format!("RCPT TO:<{to}>"), 250)?;
    }
    talk.must("DATA", "DATA", 354)?;
    // No line of it begins with a dot: headers do not, and the body is base64.
    let text = message(mail, node, notice, now_ms);
    talk.must("message", &format!("{text}\r\n."), 250)?;
    // It has it by now.
    let _ = talk.say("QUIT");
    Ok(())
}

/// A node's name as SMTP may have it.
fn host(node: &str) -> String {
    let fits = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-' || *letter == '.';
    let name: String = node.chars().filter(fits).take(200).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn message(mail: &Mail, node: &str, notice: &Notice, now_ms: u64) -> String {
    let state = match (notice.status, notice.severity.as_str()) {
        (Status::Resolved, _) => "resolved",
        (Status::Firing, "critical") => "critical",
        (Status::Firing, _) => "warning",
    };
    let subject = format!("[sealgate] {state}: {}: {} ({})", notice.detector, notice.reason, notice.user);
    let seconds = i64::try_from(now_ms / 1_000).unwrap_or(0);
    let date = jiff::Timestamp::from_second(seconds).ok().and_then(|time| {
        jiff::fmt::rfc2822::to_string(&time.to_zoned_datetime(jiff::tz::TimeZone::UTC)).ok()
    });
    let (host, incident) = (host(node), &notice.incident);
    let mut lines = vec![
        format!("From: {}", mail.from),
        format!("To: {}", mail.to.join(",\r\n ")),
        format!("Subject: {}", encoded_words(&subject)),
        format!("Date: {}", date.unwrap_or_default()),
        format!("Message-ID: <{incident}.{}.{}@{host}>", notice.count, notice.latest_ms),
        // One conversation for each incident.
        format!("References: <{incident}@{host}>"),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
        String::new(),
    ];
    lines.extend(
        body(node, notice).as_bytes().chunks(BODY_LINE_BYTES).map(|piece| BASE64_STANDARD.encode(piece)),
    );
    lines.join("\r\n")
}

fn body(node: &str, notice: &Notice) -> String {
    let fields: Vec<String> =
        notice.fields.iter().map(|field| format!("{} ({})", field.field, field.class)).collect();
    let sessions: Vec<String> = notice.sessions.iter().map(u64::to_string).collect();
    let rows = [
        ("reason", notice.reason.clone()),
        ("done", notice.done.clone()),
        ("detector", notice.detector.clone()),
        ("user", notice.user.clone()),
        ("end user", notice.end_user.clone()),
        ("application", notice.application.clone()),
        ("client", notice.client.clone()),
        ("region", notice.region.clone()),
        ("database", notice.database.clone()),
        ("sessions", sessions.join(", ")),
        ("fields", fields.join(", ")),
        ("alerts so far", notice.count.to_string()),
        ("since", rfc3339(notice.started_ms.saturating_mul(1_000))),
        ("latest", rfc3339(notice.latest_ms.saturating_mul(1_000))),
        ("node", node.to_owned()),
        ("incident", notice.incident.clone()),
    ];
    let shown = rows.iter().filter(|(_, value)| !value.is_empty());
    // What a client chose must not look like another line.
    shown.map(|(name, value)| format!("{name}: {}\r\n", value.replace(is_disguise, " "))).collect()
}

/// RFC 2047, whatever is in it.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in text.chars().take(400) {
        if word.len() + letter.len_utf8() > WORD_BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(if is_disguise(letter) { ' ' } else { letter });
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    #[test]
    fn no_name_ends_a_header_or_the_message() {
        let mail = Mail {
            server: HostPort { host: "h".to_owned(), port: 25 },
            protection: MailProtection::None,
            login: None,
            from: "a@b".to_owned(),
            to: vec!["c@d".to_owned(), "e@f".to_owned()],
        };
        let mut notice = Notice::of_a_test(1_795_305_600_000);
        notice.user = format!("x\r\nBcc: eve@evil.example\r\n\r\n.\r\nMAIL FROM:<e>{}", "\u{e9}".repeat(200));
        notice.reason = "a\r\n.\r\n".to_owned();
        let text = message(&mail, "node\r\nX: 1", &notice, 1_795_305_600_000);
        assert!(!text.contains("Bcc") && !text.contains("evil") && !text.contains("\r\n."), "{text}");
        assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
        assert_eq!(text.matches("\r\n\r\n").count(), 1, "one body");
        assert!(text.contains("Date: ") && text.contains("@nodeX1>"), "{text}");
    }
}
