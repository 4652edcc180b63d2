//! What holds the lines of the record together, so that none can be changed, taken away, moved or
//! put in without all that stand behind it saying otherwise.
//!
//! The link of a line is SHA-256 over the link of the line before it and the line as it is written,
//! up to the member that shows the link. A line shows the first four bytes of its link, which is enough to say
//! *which* line is wrong; the first line of a segment shows the whole link of the line before it
//! (`prev`), and so does a checkpoint. More in every line would be bytes that nothing compresses.

use sha2::{Digest as _, Sha256};

/// Bytes of a link that a line shows.
const SHOWN_BYTES: usize = 4;
/// `,"hash":"01234567"}`
const HASH_HEAD: &[u8] = b",\"hash\":\"";
const HASH_LENGTH: usize = HASH_HEAD.len() + 2 * SHOWN_BYTES + 2;
/// `,"prev":"..."`
const PREV_HEAD: &[u8] = b",\"prev\":\"";
const PREV_LENGTH: usize = PREV_HEAD.len() + 64 + 1;
/// How a line begins that this program wrote.
const SEQ_HEAD: &[u8] = b"{\"seq\":";

/// The link of a line: of it, and of all before it. Zeros before the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// Before the first line.
    pub const NONE: Link = Link([0; 32]);

    /// The link of the line whose bytes before the member `hash` are `body`.
    #[must_use]
    fn next(self, body: &[u8]) -> Link {
        Link(Sha256::new().chain_update(self.0).chain_update(body).finalize().into())
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Link> {
        let mut link = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, digits) in link.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = digits else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Link(link))
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Lower case alone: one spelling.
fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(half)));
        }
    }
}

/// Closes the line that begins at `start` and ends with `}` and a line end: with `prev` where it is the
/// first of a segment, and with its `hash`. Returns its link.
pub fn seal(out: &mut Vec<u8>, start: usize, before: Link, first: bool) -> Link {
    out.truncate(out.len().saturating_sub(2).max(start));
    if first {
        out.extend_from_slice(PREV_HEAD);
        put_hex(out, &before.0);
        out.push(b'"');
    }
    let link = before.next(out.get(start..).unwrap_or_default());
    out.extend_from_slice(HASH_HEAD);
    put_hex(out, link.0.get(..SHOWN_BYTES).unwrap_or_default());
    out.extend_from_slice(b"\"}\n");
    link
}

/// A line without its line end, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Linked<'l> {
    body: &'l [u8],
    shown: &'l [u8],
}

impl<'l> Linked<'l> {
    /// None: the line shows no link, as those of versions before there were any.
    #[must_use]
    pub fn of(line: &'l [u8]) -> Option<Linked<'l>> {
        let (body, end) = line.split_at_checked(line.len().checked_sub(HASH_LENGTH)?)?;
        let shown = end.strip_prefix(HASH_HEAD)?.strip_suffix(b"\"}")?;
        Some(Linked { body, shown })
    }

    /// What the first line of a segment says that the link of the line before it is.
    #[must_use]
    pub fn prev(self) -> Option<Link> {
        let (_, end) = self.body.split_at_checked(self.body.len().checked_sub(PREV_LENGTH)?)?;
        Link::parse(end.strip_prefix(PREV_HEAD)?.strip_suffix(b"\"")?)
    }

    /// Its link, behind `before`, and whether it is the one that the line shows.
    #[must_use]
    pub fn link(self, before: Link) -> (Link, bool) {
        let link = before.next(self.body);
        let mut digits = Vec::with_capacity(2 * SHOWN_BYTES);
        put_hex(&mut digits, link.0.get(..SHOWN_BYTES).unwrap_or_default());
        (link, digits == self.shown)
    }
}

/// The number of a line, which stands at its beginning. None: it is no record of ours.
#[must_use]
pub fn seq_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(SEQ_HEAD)?;
    let digits = rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, behind) = rest.split_at_checked(digits)?;
    if !matches!(behind.first(), Some(b',' | b'}')) || (number.len() > 1 && number.first() == Some(&b'0')) {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &str, before: Link, first: bool) -> (String, Link) {
        let mut out = format!("kept{body}}}\n").into_bytes();
        let link = seal(&mut out, 4, before, first);
        let text = String::from_utf8(out).unwrap();
        (text.strip_prefix("kept").unwrap().to_owned(), link)
    }

    /// The vectors of docs/RECORD.md.
    #[test]
    fn links_are_as_the_page_has_them() {
        let (first, link) = sealed("{\"seq\":1,\"kind\":\"admin\"", Link::NONE, true);
        let (second, next) = sealed("{\"seq\":2,\"kind\":\"admin\"", link, false);
        let page = include_str!("../../docs/RECORD.md");
        for line in [first.trim_end(), second.trim_end(), &link.to_string(), &next.to_string()] {
            assert!(page.contains(line), "not in docs/RECORD.md: {line}");
        }
        assert_eq!(Link::parse(link.to_string().as_bytes()), Some(link));
    }

    #[test]
    fn a_line_that_was_changed_anywhere_does_not_show_its_link() {
        let before = Link([7; 32]);
        let (line, link) = sealed("{\"seq\":12,\"rule\":\"x\"", before, true);
        let line = line.trim_end().as_bytes();
        let linked = Linked::of(line).unwrap();
        assert_eq!((linked.prev(), linked.link(before)), (Some(before), (link, true)));
        assert!(!linked.link(Link::NONE).1, "behind another line");
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.to_vec();
                changed[at] ^= 1 << bit;
                let holds = Linked::of(&changed).is_some_and(|linked| linked.link(before).1);
                assert!(!holds, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn numbers_are_read_where_they_stand_and_nowhere_else() {
        for (line, seq) in [
            ("{\"seq\":1,\"time\"", Some(1)),
            ("{\"seq\":18446744073709551615}", Some(u64::MAX)),
            ("{\"seq\":18446744073709551616}", None),
            ("{\"seq\":01,", None),
            ("{\"seq\":,", None),
            ("{\"seq\":1", None),
            ("{\"seq\": 1,", None),
            ("{ \"seq\":1,", None),
            ("", None),
        ] {
            assert_eq!(seq_of(line.as_bytes()), seq, "{line}");
        }
        for line in ["", "}", "{\"seq\":1}", "{\"seq\":1,\"hash\":\"0123456\"}"] {
            assert!(Linked::of(line.as_bytes()).is_none(), "{line}");
        }
    }
}
