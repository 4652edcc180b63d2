//! The packets before the first frame: StartupMessage, SSLRequest, GSSENCRequest,
//! CancelRequest (PostgreSQL chapter "Start-up"). They have no type byte.

use super::reader::{Malformed, Reader};

/// The server's bound (`MAX_STARTUP_PACKET_LENGTH`), and the four bytes of the length itself.
pub const LENGTH_MAX: usize = 10_004;

/// Protocol 3.0.
pub const PROTOCOL_3_0: u32 = 3 << 16;

/// The newest minor version of protocol 3 that is spoken here: 3.2 has long cancel keys.
pub const MINOR_MAX: u16 = 2;

const CANCEL: u32 = (1234 << 16) | 5678;
const SSL: u32 = (1234 << 16) | 5679;
const GSSENC: u32 = (1234 << 16) | 5680;

/// What a first packet asks for.
pub enum Request<'a> {
    Ssl,
    GssEnc,
    Cancel {
        process: i32,
        secret: &'a [u8],
    },
    Start(Start<'a>),
    /// A major version that is not 3.
    Unsupported {
        major: u16,
        minor: u16,
    },
}

/// A StartupMessage of any protocol 3.x.
pub struct Start<'a> {
    pub minor: u16,
    /// In the order sent; values may be any bytes but zero.
    pub parameters: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Start<'a> {
    /// The last value given for a name, as the server takes it.
    #[must_use]
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.parameters.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The minor version that is spoken to whoever asked for this one. There never was a 3.1.
    #[must_use]
    pub fn minor_spoken(&self) -> u16 {
        if self.minor == 1 { 0 } else { self.minor.min(MINOR_MAX) }
    }

    /// Names of protocol extensions, which begin with `_pq_.`.
    pub fn extensions(&self) -> impl Iterator<Item = &'a [u8]> {
        self.parameters.iter().map(|(key, _)| *key).filter(|key| key.starts_with(b"_pq_."))
    }
}

/// Length of the first packet in `buffer`, once its four length bytes are there.
///
/// # Errors
/// Shorter than a code or longer than [`LENGTH_MAX`].
pub fn length(buffer: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(bytes) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
    if (8..=LENGTH_MAX).contains(&length) {
        Ok(Some(length))
    } else {
        Err(Malformed("invalid length of startup packet"))
    }
}

/// Reads one whole first packet.
///
/// # Errors
/// The packet is not what its code says.
pub fn read(packet: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut reader = Reader::new(packet, "invalid startup packet layout");
    reader.bytes(4)?;
    match reader.u32()? {
        SSL => reader.end().map(|()| Request::Ssl),
        GSSENC => reader.end().map(|()| Request::GssEnc),
        CANCEL => {
            let process = reader.i32()?;
            let secret = reader.rest();
            if (4..=256).contains(&secret.len()) {
                Ok(Request::Cancel { process, secret })
            } else {
                Err(Malformed("invalid length of cancel key"))
            }
        }
        version => {
            let (major, minor) = ((version >> 16) as u16, (version & 0xffff) as u16);
            if major != 3 {
                return Ok(Request::Unsupported { major, minor });
            }
            let mut parameters = Vec::new();
            loop {
                let key = reader.cstr()?;
                if key.is_empty() {
                    break;
                }
                parameters.push((key, reader.cstr()?));
            }
            reader.end()?;
            Ok(Request::Start(Start { minor, parameters }))
        }
    }
}

/// Composes the StartupMessage that goes upstream, in the version that is spoken to the
/// client: every parameter of it but the protocol extensions, which are negotiated hop by hop.
#[must_use]
pub fn compose(start: &Start<'_>) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&(PROTOCOL_3_0 | u32::from(start.minor_spoken())).to_be_bytes());
    for (key, value) in &start.parameters {
        if !key.starts_with(b"_pq_.") {
            out.extend_from_slice(key);
            out.push(0);
            out.extend_from_slice(value);
            out.push(0);
        }
    }
    out.push(0);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    if let Some(slot) = out.first_chunk_mut::<4>() {
        *slot = length.to_be_bytes();
    }
    out
}

/// Appends a CancelRequest.
pub fn put_cancel(out: &mut Vec<u8>, process: i32, secret: &[u8]) {
    let length = u32::try_from(12 + secret.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&CANCEL.to_be_bytes());
    out.extend_from_slice(&process.to_be_bytes());
    out.extend_from_slice(secret);
}

/// Appends an SSLRequest.
pub fn put_ssl_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&8_u32.to_be_bytes());
    out.extend_from_slice(&SSL.to_be_bytes());
}

/// Fuzz entry: any packet is read or refused.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_startup(data: &[u8]) -> bool {
    match length(data) {
        Ok(Some(length)) => match data.get(..length).map(read) {
            Some(Ok(Request::Start(start))) => compose(&start).len() <= length,
            Some(Ok(_)) => true,
            Some(Err(_)) | None => false,
        },
        Ok(None) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(8 + body.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn reads_each_first_packet() {
        assert!(matches!(read(&packet(SSL, b"")), Ok(Request::Ssl)));
        assert!(matches!(read(&packet(GSSENC, b"")), Ok(Request::GssEnc)));
        assert!(matches!(
            read(&packet(CANCEL, &[0, 0, 0, 7, 1, 2, 3, 4])),
            Ok(Request::Cancel { process: 7, .. })
        ));
        assert!(matches!(read(&packet(2 << 16, b"")), Ok(Request::Unsupported { major: 2, minor: 0 })));
        let bytes = packet(PROTOCOL_3_0, b"user\0a\0user\0b\0_pq_.x\0y\0\0");
        let Ok(Request::Start(start)) = read(&bytes) else { panic!("start") };
        assert_eq!(start.parameter(b"user"), Some(&b"b"[..]));
        assert_eq!(start.extensions().collect::<Vec<_>>(), [b"_pq_.x"]);
        assert!(!compose(&start).windows(4).any(|window| window == b"_pq_"));
    }

    #[test]
    fn speaks_no_version_that_is_not_known() {
        for (asked, spoken) in [(0, 0), (1, 0), (2, 2), (3, 2), (9999, 2)] {
            let start = Start { minor: asked, parameters: vec![(b"user", b"a")] };
            assert_eq!(start.minor_spoken(), spoken, "{asked}");
            let composed = compose(&start);
            let Ok(Request::Start(read)) = read(&composed) else { panic!("start") };
            assert_eq!(read.minor, spoken);
        }
    }

    #[test]
    fn refuses_bytes_behind_a_request_and_odd_lengths() {
        assert!(read(&packet(SSL, b"x")).is_err());
        assert!(read(&packet(CANCEL, &[0; 7])).is_err());
        assert!(read(&packet(PROTOCOL_3_0, b"user\0a\0")).is_err(), "no terminator");
        assert!(read(&packet(PROTOCOL_3_0, b"\0rest")).is_err());
        assert!(length(&10_005_u32.to_be_bytes()).is_err());
        assert!(length(&7_u32.to_be_bytes()).is_err());
    }
}
