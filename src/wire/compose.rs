//! What the gate itself says, composed with `pgwire`'s message types.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::response::ErrorResponse;
use pgwire::messages::startup::{BackendKeyData, NegotiateProtocolVersion, SecretKey};

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

/// Appends the BackendKeyData that the client gets: the server's own process id, our secret.
pub fn put_backend_key(out: &mut Vec<u8>, process: i32, secret: [u8; 4]) {
    append(out, &BackendKeyData::new(process, SecretKey::I32(i32::from_be_bytes(secret))));
}

/// libpq reads the whole version here, not the minor number alone as the protocol
/// chapter has it; servers send the whole version.
const PROTOCOL_3_0: i32 = 3 << 16;

/// Appends a NegotiateProtocolVersion that settles on 3.0 and lists the extensions that
/// are not known here.
pub fn put_negotiate(out: &mut Vec<u8>, extensions: &[&[u8]]) {
    let names = extensions.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    append(out, &NegotiateProtocolVersion::new(PROTOCOL_3_0, names));
}

/// Appends a CancelRequest for a server that spoke protocol 3.0.
pub fn put_cancel(out: &mut Vec<u8>, process: i32, secret: [u8; 4]) {
    append(out, &CancelRequest::new(process, SecretKey::I32(i32::from_be_bytes(secret))));
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
        let mut out = Vec::new();
        put_backend_key(&mut out, 77, [1, 2, 3, 4]);
        let Ok(Peek::Whole(frame)) = peek(&out) else { panic!("frame") };
        assert_eq!(backend::read_backend_key(frame.body()), Ok((77, &[1, 2, 3, 4][..])));
        out.clear();
        put_cancel(&mut out, 77, [1, 2, 3, 4]);
        assert!(matches!(
            startup::read(&out),
            Ok(startup::Request::Cancel { process: 77, secret: [1, 2, 3, 4] })
        ));
    }

    #[test]
    fn negotiation_settles_on_3_0() {
        let mut out = Vec::new();
        put_negotiate(&mut out, &[b"_pq_.a"]);
        assert_eq!(out, b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.a\0");
    }
}
