//! What the gate itself says, composed with `pgwire`'s message types.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use super::frame::put;
use super::startup::PROTOCOL_3_0;

/// The text of an error that a client is told. `message` begins with `sealgate:`.
#[derive(Clone, Copy)]
pub struct ErrorText<'a> {
    /// `ERROR` or `FATAL`.
    pub severity: &'static str,
    pub sqlstate: &'a str,
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
}

/// Appends a NoticeResponse. `message` begins with `sealgate:`.
pub fn put_notice(out: &mut Vec<u8>, message: &str) {
    let fields = [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', message)];
    let fields = fields.iter().map(|(of, text)| (*of, text.replace('\0', ""))).collect();
    append(out, &NoticeResponse::new(fields));
}

fn append(out: &mut Vec<u8>, message: &impl Message) {
    let mut buffer = BytesMut::new();
    // Encoding into memory cannot fail for the messages composed here.
    if message.encode(&mut buffer).is_ok() {
        out.extend_from_slice(&buffer);
    }
}

/// Appends an ErrorResponse. Zero bytes cannot stand in a field and are dropped.
pub fn put_error(out: &mut Vec<u8>, error: ErrorText<'_>) {
    let clean = |text: &str| text.replace('\0', "");
    let mut fields = vec![
        (b'S', error.severity.to_owned()),
        (b'V', error.severity.to_owned()),
        (b'C', clean(error.sqlstate)),
        (b'M', clean(error.message)),
    ];
    fields.extend(error.detail.map(|detail| (b'D', clean(detail))));
    fields.extend(error.hint.map(|hint| (b'H', clean(hint))));
    append(out, &ErrorResponse::new(fields));
}

/// Appends the BackendKeyData that the client gets: the server's own process id, our secret
/// (4 bytes in protocol 3.0, up to 256 from 3.2 on).
pub fn put_backend_key(out: &mut Vec<u8>, process: i32, secret: &[u8]) {
    put(out, b'K', |out| {
        out.extend_from_slice(&process.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

/// Appends AuthenticationOk.
pub fn put_authentication_ok(out: &mut Vec<u8>) {
    put(out, b'R', |out| out.extend_from_slice(&[0; 4]));
}

/// Appends a NegotiateProtocolVersion that settles on 3.`minor` and lists the extensions
/// that are not known here, which may be any bytes. libpq reads a whole version where the
/// protocol chapter has the minor number alone; servers send the whole version.
pub fn put_negotiate(out: &mut Vec<u8>, minor: u16, extensions: &[&[u8]]) {
    put(out, b'v', |out| {
        out.extend_from_slice(&(PROTOCOL_3_0 | u32::from(minor)).to_be_bytes());
        out.extend_from_slice(&u32::try_from(extensions.len()).unwrap_or(u32::MAX).to_be_bytes());
        for name in extensions {
            out.extend_from_slice(name);
            out.push(0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Peek, backend, peek, startup};

    #[test]
    fn an_error_reads_back() {
        let mut out = Vec::new();
        let text = ErrorText {
            severity: "ERROR",
            sqlstate: "SG001",
            message: "sealgate: no",
            detail: Some("d\0"),
            hint: None,
        };
        put_error(&mut out, text);
        let Ok(Peek::Whole(frame)) = peek(&out) else { panic!("frame") };
        assert_eq!(backend::read_error(frame.body()).unwrap().sqlstate, *b"SG001");
        assert_eq!(frame.len(), out.len());
    }

    #[test]
    fn keys_and_cancels_read_back() {
        for secret in [&[1, 2, 3, 4][..], &[7; 32]] {
            let mut out = Vec::new();
            put_backend_key(&mut out, 77, secret);
            let Ok(Peek::Whole(frame)) = peek(&out) else { panic!("frame") };
            assert_eq!(backend::read_backend_key(frame.body()), Ok((77, secret)));
            out.clear();
            startup::put_cancel(&mut out, 77, secret);
            let Ok(startup::Request::Cancel { process: 77, secret: read }) = startup::read(&out) else {
                panic!("cancel")
            };
            assert_eq!(read, secret);
        }
    }

    #[test]
    fn negotiation_names_the_version_and_the_extensions() {
        let mut out = Vec::new();
        put_negotiate(&mut out, 2, &[b"_pq_.a", b"_pq_.\xff"]);
        assert_eq!(out, b"v\0\0\0\x1a\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.\xff\0");
    }
}
