//! One connection to a NATS server: what it says is read within bounds, and what we say is put together.
//!
//! Written here: the library of the field takes messages of whatever length the server announces, and a
//! server that turns on us must not cost more than this file names.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Access;
use super::nkey;
use crate::transport::blocking::Stream;

/// Longest line that is read: an INFO names all servers of a cluster.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest message: an answer about a stream.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Read at a time.
const READ_BYTES: usize = 16 * 1024;
/// How long a server may take to answer what it is asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// What is shown of the words of a server.
const WORDS_CHARS_MAX: usize = 200;

/// Something that the server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Info(Vec<u8>),
    Ping,
    Pong,
    Fine,
    Fault(String),
    Message(Message),
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub subscription: u64,
    pub subject: String,
    pub reply: String,
    /// Of a message without content: 100 is a sign of life, 503 that nobody listens.
    pub status: Option<u16>,
    pub content: Vec<u8>,
}

/// A connection.
pub(super) struct Link {
    stream: Stream,
    /// Where answers come: a prefix of ours.
    inbox: String,
    read: Vec<u8>,
    asked: u64,
}

/// What a server says of itself, as far as it matters.
struct Info {
    nonce: String,
    wants_tls: bool,
}

impl Link {
    /// Connects and logs in.
    ///
    /// # Errors
    /// In words, without anything that is secret.
    pub fn open(access: &Access, server: usize) -> Result<Link, String> {
        let address = access.servers.get(server).ok_or_else(|| "there is no such server".to_owned())?;
        let failed = |error: io::Error| format!("{}: {error}", address.host);
        let stream = Stream::connect(&address.host).map_err(failed)?;
        let fresh: u128 = rand::random();
        let mut link = Link { stream, inbox: format!("_INBOX.{fresh:032x}"), read: Vec::new(), asked: 0 };
        let until = Instant::now() + PATIENCE;
        let info = match link.next(until).map_err(failed)? {
            Some(Said::Info(text)) => info(&text),
            Some(Said::Fault(words)) => return Err(format!("{}: {words}", address.host)),
            Some(Said::Ping | Said::Pong | Said::Fine | Said::Message(_)) | None => {
                return Err(format!("{}: what listens there is no NATS server", address.host));
            }
        };
        if let Some(tls) = &address.tls {
            if !link.read.is_empty() {
                return Err(format!("{}: it speaks before TLS has begun", address.host));
            }
            link.stream = link.stream.secured(tls, &address.host.host).map_err(failed)?;
        } else if info.wants_tls {
            return Err(format!("{}: the server takes TLS alone: write tls:// before it", address.host));
        }
        let connect = connect(access, address.tls.is_some(), &info.nonce)?;
        let hello = format!("CONNECT {connect}\r\nSUB {}.* 1\r\nPING\r\n", link.inbox);
        link.send(zeroize::Zeroizing::new(hello).as_bytes()).map_err(failed)?;
        loop {
            match link.next(until).map_err(failed)? {
                Some(Said::Pong) => return Ok(link),
                Some(Said::Fault(words)) => return Err(format!("{}: {words}", address.host)),
                Some(Said::Info(_) | Said::Fine | Said::Message(_)) => {}
                Some(Said::Ping) => link.send(b"PONG\r\n").map_err(failed)?,
                None => return Err(format!("{}: it does not answer", address.host)),
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// A subject of ours for one kind of messages.
    pub fn subject(&self, word: &str) -> String {
        format!("{}x.{word}", self.inbox)
    }

    /// Asks for what is published at a subject to come with a number.
    pub fn subscribe(&mut self, subject: &str, number: u64) -> io::Result<()> {
        self.send(format!("SUB {subject} {number}\r\n").as_bytes())
    }

    /// The bytes that publish a message, and the subject at which its answer will come.
    pub fn question(&mut self, subject: &str, content: &[u8]) -> (Vec<u8>, String) {
        self.asked += 1;
        let answer = format!("{}.{}", self.inbox, self.asked);
        let mut bytes = format!("PUB {subject} {answer} {}\r\n", content.len()).into_bytes();
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
        (bytes, answer)
    }

    /// What the server says next; None where it says nothing until then.
    ///
    /// # Errors
    /// The connection is broken, or the server says what no server says.
    pub fn next(&mut self, until: Instant) -> io::Result<Option<Said>> {
        loop {
            if let Some((said, used)) = parse(&self.read)? {
                self.read.drain(..used);
                return Ok(Some(said));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.wait_to_read(left)?;
            let mut piece = [0; READ_BYTES];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed")),
                Ok(count) => self.read.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if may_go_on(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Nothing has come, and nothing is broken.
fn may_go_on(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    [WouldBlock, TimedOut, Interrupted].contains(&kind)
}

fn info(text: &[u8]) -> Info {
    let info: Value = serde_json::from_slice(text).unwrap_or_default();
    let nonce = info.get("nonce").and_then(Value::as_str).unwrap_or_default().to_owned();
    Info { nonce, wants_tls: info.get("tls_required").and_then(Value::as_bool).unwrap_or(false) }
}

/// The content of CONNECT.
fn connect(access: &Access, tls: bool, nonce: &str) -> Result<Value, String> {
    let mut connect = json!({
        "verbose": false, "pedantic": false, "tls_required": tls, "headers": true, "no_responders": true,
        "echo": true, "protocol": 1, "name": "sealgate", "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
    });
    let mut put = |key: &str, value: &str| {
        if let Some(members) = connect.as_object_mut() {
            members.insert(key.to_owned(), value.into());
        }
    };
    match &access.proof {
        super::Proof::None => {}
        super::Proof::Password { user, password } => {
            put("user", user);
            put("pass", password);
        }
        super::Proof::Token(token) => put("auth_token", token),
        super::Proof::Key { seed, token } => {
            let (public, signature) = nkey::sign(seed, nonce.as_bytes())?;
            put("sig", &signature);
            match token {
                Some(token) => put("jwt", token),
                None => put("nkey", &public),
            }
        }
    }
    Ok(connect)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The first whole thing in what was read, and how many bytes it took.
fn parse(read: &[u8]) -> io::Result<Option<(Said, usize)>> {
    let head = read.get(..LINE_BYTES_MAX).unwrap_or(read);
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if read.len() > LINE_BYTES_MAX { Err(broken("a line is too long")) } else { Ok(None) };
    };
    let (line, used) = (read.get(..end).unwrap_or_default(), end + 2);
    let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
        None => (line, &[][..]),
    };
    let said = match word {
        b"INFO" => Said::Info(rest.to_vec()),
        b"PING" => Said::Ping,
        b"PONG" => Said::Pong,
        b"+OK" => Said::Fine,
        b"-ERR" => Said::Fault(words(rest)),
        b"MSG" | b"HMSG" => return message(read, rest, used, word == b"HMSG"),
        _ => return Err(broken("it says what no NATS server says")),
    };
    Ok(Some((said, used)))
}

/// What a server says is shown in part, and never as more than a line.
pub(super) fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown = text.chars().filter(|letter| !letter.is_control()).take(WORDS_CHARS_MAX);
    shown.collect::<String>().trim().trim_matches('\'').to_owned()
}

fn message(read: &[u8], args: &[u8], used: usize, has_head: bool) -> io::Result<Option<(Said, usize)>> {
    let wrong = || broken("a message cannot be read");
    let args = std::str::from_utf8(args).map_err(|_| wrong())?;
    let args: Vec<&str> = args.split(' ').filter(|arg| !arg.is_empty()).take(6).collect();
    let (subject, number, reply, head, whole) = match (has_head, args.as_slice()) {
        (false, [subject, number, whole]) => (subject, number, "", "0", whole),
        (false, [subject, number, reply, whole]) => (subject, number, *reply, "0", whole),
        (true, [subject, number, head, whole]) => (subject, number, "", *head, whole),
        (true, [subject, number, reply, head, whole]) => (subject, number, *reply, *head, whole),
        _ => return Err(wrong()),
    };
    let subscription = number.parse().map_err(|_| wrong())?;
    let (head, whole): (usize, usize) =
        (head.parse().map_err(|_| wrong())?, whole.parse().map_err(|_| wrong())?);
    if whole > MESSAGE_BYTES_MAX || head > whole {
        return Err(broken("a message is too long"));
    }
    let Some(body) = read.get(used..used + whole + 2) else { return Ok(None) };
    let (headers, content) =
        body.get(..whole).and_then(|body| body.split_at_checked(head)).ok_or_else(wrong)?;
    if !body.ends_with(b"\r\n") {
        return Err(wrong());
    }
    let first = headers.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = first.strip_prefix(b"NATS/1.0 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let (subject, reply) = ((*subject).to_owned(), reply.to_owned());
    let message = Message { subscription, subject, reply, status, content: content.to_vec() };
    Ok(Some((Said::Message(message), used + whole + 2)))
}

/// Fuzz entry: any bytes as what a server says. How much of it was understood.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_nats(data: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = data.get(at..)
        && let Ok(Some((said, used))) = parse(rest)
    {
        assert!(used > 0 && used <= rest.len(), "no more than there is");
        if let Said::Message(message) = &said {
            assert!(message.content.len() <= MESSAGE_BYTES_MAX, "within its bound");
        }
        at += used;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same for any, cut and changed anywhere.
    #[test]
    fn whatever_a_server_says_is_read_within_bounds() {
        let sound =
            b"INFO {}\r\n+OK\r\nMSG a 1 2\r\nhi\r\nHMSG a 2 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n";
        assert_eq!(fuzz_nats(sound), sound.len());
        for at in 0..sound.len() {
            assert!(fuzz_nats(&sound[..at]) <= at);
            for byte in [0, b' ', b'\r', b'9', b'-', 0xff] {
                let mut changed = sound.to_vec();
                changed[at] = byte;
                fuzz_nats(&changed);
            }
        }
    }

    #[test]
    fn reads_what_servers_say_in_whichever_pieces_it_comes() {
        let text = b"INFO {\"nonce\":\"n\"}\r\nPING\r\nMSG a.b 3 5\r\nhe\r\no\r\nHMSG a 4 r.1 25 27\r\nNATS/1.0 100 Idle\r\nX: y\r\nhi\r\n-ERR 'Authorization Violation'\r\n";
        let said = |subscription, subject: &str, reply: &str, status, content: &[u8]| {
            let (subject, reply, content) = (subject.into(), reply.into(), content.to_vec());
            Said::Message(Message { subscription, subject, reply, status, content })
        };
        let expected = [
            Said::Info(b"{\"nonce\":\"n\"}".to_vec()),
            Said::Ping,
            said(3, "a.b", "", None, b"he\r\no"),
            said(4, "a", "r.1", Some(100), b"hi"),
            Said::Fault("Authorization Violation".into()),
        ];
        let (mut read, mut found) = (Vec::new(), Vec::new());
        for byte in text {
            read.push(*byte);
            while let Some((said, used)) = parse(&read).unwrap() {
                read.drain(..used);
                found.push(said);
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn refuses_what_is_too_long_or_no_server_says() {
        for text in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1 18446744073709551615\r\n",
            b"MSG a 1 65537\r\n",
            b"MSG a 1\r\n",
            b"MSG a 1 b c d 1\r\n",
            b"MSG a -1 1\r\nx\r\n",
            b"MSG a 1 1\r\nxyz",
            b"HMSG a 1 9 3\r\nxxx\r\n",
            b"MSG \xff 1 1\r\nx\r\n",
            &[b'a'; LINE_BYTES_MAX + 1],
        ] {
            assert!(parse(text).is_err(), "{}", words(text));
        }
        assert_eq!(parse(b"INFO {").unwrap(), None);
    }

    #[test]
    fn words_of_a_server_are_one_short_line() {
        assert_eq!(words("'no\nway\u{1b}'".as_bytes()), "noway");
        assert_eq!(words("x".repeat(999).as_bytes()).len(), WORDS_CHARS_MAX);
    }
}
