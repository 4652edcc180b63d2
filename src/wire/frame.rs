//! The frame: one type byte, a length that counts itself, a body (PostgreSQL chapter
//! "Message Formats"). The walker reads five bytes and decides nothing else.

use super::reader::Malformed;

/// Type byte and length.
pub const HEADER_BYTES: usize = 5;

/// The server's own bound on one message (`PQ_LARGE_MESSAGE_LIMIT`): 1 GiB - 1.
pub const LENGTH_MAX: usize = 0x3fff_ffff;

/// One whole message, header included. Has no `Debug`: it may hold a client's bytes.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }

    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or(&[])
    }

    /// Length with the header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// What stands at the head of a buffer.
pub enum Peek<'a> {
    /// Fewer than five bytes.
    Nothing,
    /// A header whose body has not wholly arrived: `len` is the whole frame's length.
    Partial {
        tag: u8,
        len: usize,
        head: &'a [u8],
    },
    Whole(Frame<'a>),
}

/// Looks at the frame at the head of `buffer`.
///
/// # Errors
/// A length below four or above [`LENGTH_MAX`]: the stream cannot be followed any more.
pub fn peek(buffer: &[u8]) -> Result<Peek<'_>, Malformed> {
    let Some((&[tag, a, b, c, d], _)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(Peek::Nothing);
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if !(4..=LENGTH_MAX).contains(&length) {
        return Err(Malformed("message length"));
    }
    let len = length + 1;
    match buffer.get(..len) {
        Some(bytes) => Ok(Peek::Whole(Frame { bytes })),
        None => Ok(Peek::Partial { tag, len, head: buffer }),
    }
}

/// Appends a frame whose body is written by `body`.
pub fn put(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// Fuzz entry: walks a byte stream as a session would; must neither panic nor loop.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_frames(mut data: &[u8]) -> usize {
    let mut frames = 0;
    while let Ok(Peek::Whole(frame)) = peek(data) {
        assert!(frame.len() >= HEADER_BYTES, "a frame holds its own header");
        frames += 1;
        data = data.get(frame.len()..).unwrap_or(&[]);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peeks_whole_partial_and_nothing() {
        let mut bytes = Vec::new();
        put(&mut bytes, b'Q', |out| out.extend_from_slice(b"select 1\0"));
        assert!(matches!(peek(&bytes[..4]), Ok(Peek::Nothing)));
        assert!(matches!(peek(&bytes[..8]), Ok(Peek::Partial { tag: b'Q', len: 14, .. })));
        let Ok(Peek::Whole(frame)) = peek(&bytes) else { panic!("whole") };
        assert_eq!((frame.tag(), frame.body()), (b'Q', &b"select 1\0"[..]));
    }

    #[test]
    fn refuses_lengths_that_cannot_be() {
        for length in [0_u32, 3, 0x4000_0000, u32::MAX] {
            let mut bytes = vec![b'Q'];
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[0; 16]);
            assert!(peek(&bytes).is_err(), "{length}");
        }
    }
}
