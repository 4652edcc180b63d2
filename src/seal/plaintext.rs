//! The one type that holds an opened value, so that no value can slip into a log line, an
//! error or a copy by accident (P5).

use zeroize::optimization_barrier;

/// Beyond this a wiped buffer is given back to the allocator instead of kept for reuse.
const RETAINED_LENGTH_MAX: usize = 64 * 1024;

/// Bytes that must not be seen: wiped when cleared, replaced and dropped.
///
/// There is one way to look inside, and it can be searched for:
///
/// ```
/// use sealgate::seal::Plaintext;
/// let value = Plaintext::new(b"ada@example.org".to_vec());
/// assert_eq!(value.expose().len(), 15);
/// ```
///
/// It cannot be printed for debugging:
///
/// ```compile_fail,E0277
/// use sealgate::seal::Plaintext;
/// let value = Plaintext::new(b"ada@example.org".to_vec());
/// let _ = format!("{:?}", value);
/// ```
///
/// nor displayed:
///
/// ```compile_fail,E0277
/// use sealgate::seal::Plaintext;
/// let value = Plaintext::new(b"ada@example.org".to_vec());
/// let _ = format!("{}", value);
/// ```
///
/// nor cloned:
///
/// ```compile_fail,E0599
/// use sealgate::seal::Plaintext;
/// let value = Plaintext::new(b"ada@example.org".to_vec());
/// let _ = value.clone();
/// ```
///
/// nor serialised:
///
/// ```compile_fail,E0277
/// use sealgate::seal::Plaintext;
/// fn serialise<T: serde::Serialize>(_: &T) {}
/// let value = Plaintext::new(b"ada@example.org".to_vec());
/// serialise(&value);
/// ```
pub struct Plaintext {
    /// Holds the value in `start..end` and elsewhere only zeros or sealed bytes.
    bytes: Vec<u8>,
    /// 0 <= start <= end <= bytes.len()
    start: usize,
    end: usize,
}

impl Plaintext {
    /// Takes the bytes over, without a copy.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Plaintext {
        let end = bytes.len();
        // What a longer value may have left behind the end.
        bytes.resize(bytes.capacity(), 0);
        optimization_barrier(bytes.as_slice());
        Plaintext { bytes, start: 0, end }
    }

    /// Empty, with room for `length` bytes before it allocates again.
    #[must_use]
    pub fn with_capacity(length: usize) -> Plaintext {
        Plaintext { bytes: vec![0; length], start: 0, end: 0 }
    }

    /// The value. Whoever calls this answers for where the bytes go.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Wipes the value and is empty afterwards.
    pub fn clear(&mut self) {
        if let Some(value) = self.bytes.get_mut(self.start..self.end) {
            wipe(value);
        }
        self.start = 0;
        self.end = 0;
        if self.bytes.len() > RETAINED_LENGTH_MAX {
            self.bytes = Vec::new();
        }
    }

    /// Wipes the value and lends `length` bytes to write a sealed body into; what of them
    /// becomes the value, [`Plaintext::reveal`] says.
    pub(super) fn lend(&mut self, length: usize) -> &mut [u8] {
        self.clear();
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        self.bytes.get_mut(..length).unwrap_or_default()
    }

    /// Declares `start..end` of the bytes last lent to be the value.
    pub(super) fn reveal(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end && end <= self.bytes.len());
        self.start = start;
        self.end = end;
    }
}

impl Default for Plaintext {
    fn default() -> Plaintext {
        Plaintext::with_capacity(0)
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Overwrites with zeros in a way that the compiler may not leave out.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wipes_the_value_when_cleared() {
        let mut value = Plaintext::new(b"a secret".to_vec());
        value.clear();
        assert_eq!(value.expose(), b"");
        assert_eq!(value.bytes, [0; 8], "the buffer itself is zero");
    }

    #[test]
    fn wipes_the_value_before_it_lends_the_buffer() {
        let mut value = Plaintext::new(Vec::from(*b"a secret"));
        assert_eq!(value.lend(4), [0; 4]);
        assert_eq!(value.expose(), b"", "nothing is revealed before it is declared");
        assert_eq!(value.bytes, [0; 8], "beyond what was lent too");
    }

    #[test]
    fn gives_large_buffers_back() {
        let mut value = Plaintext::new(vec![1; RETAINED_LENGTH_MAX + 1]);
        value.clear();
        assert_eq!(value.bytes.capacity(), 0);
    }
}
