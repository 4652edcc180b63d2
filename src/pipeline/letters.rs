//! In which form the client writes text, and that text in UTF-8, which is what is judged and sealed. What is
//! sent to the server in the place of the client's text is in the client's form again.

use std::ops::Deref;

use zeroize::Zeroizing;

use super::certainty::Sure;
use super::owed::Target;
use super::plan::Plan;
use super::session::Session;
use super::{Need, Step};
use crate::catalog::{Family, Logical};
use crate::policy::Refusal;
use crate::statement::{CopyFacts, Encoding};
use crate::types::Format;
use crate::wire::charset::{Charset, Coding, Unmapped};
use crate::wire::copy::Layout;
use crate::wire::frame::{HEADER_BYTES, put};

/// What the server has said of `client_encoding` and `server_encoding`. None: nothing yet.
#[derive(Default)]
pub(super) struct Letters {
    client: Option<Coding>,
    server: Option<Coding>,
    /// The client's has changed since no transaction was open: the end of this one may lead back.
    turned: bool,
    /// It has changed in this session.
    varied: bool,
}

impl Letters {
    /// The server says it of the client. `value`: a name of an encoding.
    pub fn note_client(&mut self, value: &[u8]) {
        let coding = coding(value);
        let changed = self.client.is_some_and(|before| before != coding);
        self.turned |= changed;
        self.varied |= changed;
        self.client = Some(coding);
    }

    /// The same of the database.
    pub fn note_server(&mut self, value: &[u8]) {
        self.server = Some(coding(value));
    }

    /// No transaction is open.
    pub fn rest(&mut self) {
        self.turned = false;
    }

    /// May the end of the transaction, or of a part of it, lead back to another encoding?
    pub fn has_turned(&self) -> bool {
        self.turned
    }

    /// Has it changed in this session? RESET leads back to the first.
    pub fn has_varied(&self) -> bool {
        self.varied
    }

    fn coding(&self) -> Coding {
        let server = self.server.unwrap_or(Coding::Other);
        Coding::between(self.client.unwrap_or(Coding::Other), server)
    }

    /// As what texts are read. What is converted is read as UTF-8.
    pub fn reading(&self) -> Encoding {
        match self.coding() {
            Coding::Utf8 | Coding::One(_) => Encoding::Utf8,
            Coding::Bytes => Encoding::SqlAscii,
            Coding::Other => Encoding::Other,
        }
    }

    /// What the client writes in, where that must be converted.
    pub fn charset(&self) -> Option<&'static Charset> {
        self.coding().charset()
    }
}

fn coding(value: &[u8]) -> Coding {
    std::str::from_utf8(value).ok().and_then(Coding::named).unwrap_or(Coding::Other)
}

/// A text in UTF-8: the client's own bytes, or what they stand for.
pub(super) enum Utf8<'a> {
    Own(&'a [u8]),
    Converted(Zeroizing<Vec<u8>>),
}

impl Deref for Utf8<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Utf8::Own(text) => text,
            Utf8::Converted(text) => text,
        }
    }
}

/// The same of some text of this character set. None: a byte is no character.
pub(super) fn in_utf8<'a>(charset: Option<&Charset>, text: &'a [u8]) -> Option<Utf8<'a>> {
    match charset {
        Some(charset) if !text.is_ascii() => charset.decode(text).ok().map(Utf8::Converted),
        Some(_) | None => Some(Utf8::Own(text)),
    }
}

/// Is a value that is given, or shown, in this format text, which is converted between encodings? None: it
/// holds text, and where that stands is not looked for.
pub(super) fn is_text(format: Format, of: &Logical) -> Option<bool> {
    let texts = match of.base.family() {
        Family::Text | Family::Json | Family::Jsonb => true,
        Family::Integer
        | Family::Numeric
        | Family::Float
        | Family::Bool
        | Family::Date
        | Family::Time
        | Family::Timetz
        | Family::Timestamp
        | Family::Timestamptz
        | Family::Interval
        | Family::Uuid
        | Family::Bytea
        | Family::Network
        | Family::Macaddr
        | Family::Money => false,
    };
    match format {
        Format::Text => Some(true),
        Format::Binary if texts && of.array => None,
        Format::Binary => Some(texts),
    }
}

/// The binary form of an array of texts with each of them made anew by `each`. None: it is no such form, or an element
/// cannot be made.
pub(super) fn each_element(
    array: &[u8],
    each: impl Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>>,
) -> Option<Zeroizing<Vec<u8>>> {
    let number = |bytes: &[u8; 4]| usize::try_from(i32::from_be_bytes(*bytes)).ok();
    // How many dimensions, flags and the type of its elements; then the length and the first index of each dimension.
    let dimensions = number(array.first_chunk()?)?;
    let (head, mut rest) = array.split_at_checked(dimensions.checked_mul(8)?.checked_add(12)?)?;
    // As long as it can become, so that no copy is left behind.
    let mut out = Zeroizing::new(Vec::with_capacity(array.len().checked_mul(3)?));
    out.extend_from_slice(head);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let Some(length) = number(length) else {
            out.extend_from_slice(length);
            rest = behind;
            continue;
        };
        let (element, behind) = behind.split_at_checked(length)?;
        let made = each(element)?;
        out.extend_from_slice(&i32::try_from(made.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&made);
        rest = behind;
    }
    rest.is_empty().then_some(out)
}

/// The same in the encoding of a client.
pub(super) fn encoded_elements(charset: &Charset, array: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unmapped> {
    let each = |element: &[u8]| {
        let mut element = Zeroizing::new(element.to_vec());
        charset.encode_from(&mut element, 0).ok()?;
        Some(element)
    };
    each_element(array, each).ok_or(Unmapped)
}

/// What the data of a COPY is written in, of a session whose client writes in `session`.
pub(super) fn of_copy(copy: &CopyFacts, session: Option<&'static Charset>) -> Option<&'static Charset> {
    match copy.coding {
        // Of the binary form each value is written as elsewhere.
        Some(coding) if copy.format.layout != Layout::Binary => coding.charset(),
        Some(_) | None => session,
    }
}

/// Puts an error of ours that stands from `start` on into the client's form: names of fields may be in it.
pub(super) fn write_for(charset: Option<&Charset>, out: &mut Vec<u8>, start: usize) {
    let body = out.get(start + HEADER_BYTES..).unwrap_or_default();
    let Some(charset) = charset.filter(|_| !body.is_ascii()) else { return };
    let body = charset.encode_roughly(&String::from_utf8_lossy(body));
    out.truncate(start);
    put(out, b'E', |out| out.extend_from_slice(&body));
}

impl Session {
    /// A text of the client in UTF-8.
    ///
    /// # Errors
    /// A byte is no character of the client's encoding.
    pub(super) fn in_utf8<'a>(&self, text: &'a [u8]) -> Result<Utf8<'a>, Refusal> {
        in_utf8(self.letters.charset(), text).ok_or_else(|| {
            let detail = "The statement has a byte that is no character in client_encoding.";
            Refusal::unhandled("encoding", detail, "Send text in client_encoding, or SET client_encoding.")
        })
    }

    /// A text in the form in which the client would write it. None: it has none there.
    pub(super) fn as_client_writes(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = text.to_vec();
        match self.letters.charset() {
            Some(charset) => charset.encode_from(&mut out, 0).ok().map(|()| out),
            None => Some(out),
        }
    }

    /// Is it certain which statement or portal the protocol means by a name? The server converts names as it
    /// does texts: beyond ASCII one name is other bytes in another encoding.
    pub(super) fn names_surely(&self, names: &[&[u8]]) -> Option<Result<Step, Refusal>> {
        if names.iter().all(|name| name.is_ascii()) {
            return None;
        }
        if self.letters.varied || self.letters.charset().is_some() {
            let detail = "A statement or portal has a name beyond ASCII, in a session whose client_encoding is not UTF8, or was another one.";
            return Some(Err(Refusal::unhandled("encoding", detail, "Name it in ASCII.")));
        }
        match self.certainty.of_code(self.queue.boundaries()) {
            Sure::Yes => None,
            Sure::Later => Some(Ok(Step::Need(Need::Settle))),
            Sure::NotInThisBatch => {
                let detail = "A statement or portal has a name beyond ASCII, and client_encoding may be changed earlier in the same batch.";
                Some(Err(Refusal::unhandled("unsettled-reading", detail, "Name it in ASCII.")))
            }
        }
    }

    /// The same: it goes on, or waits, or is refused in its place.
    pub(super) fn refuses_names(
        &mut self,
        names: &[&[u8]],
        consumed: usize,
        target: &Target,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        Some(match self.names_surely(names)? {
            Ok(step) => step,
            Err(refusal) => self.refuse(consumed, target, refusal, None, out),
        })
    }

    /// Refuses a text of which a byte is no character, as soon as it is certain in which encoding it is.
    pub(super) fn unread(
        &mut self,
        consumed: usize,
        target: &Target,
        refusal: Refusal,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        if self.queue.boundaries() > 0 {
            return Step::Need(Need::Settle);
        }
        self.refuse_own_text(consumed, target, refusal, text, out)
    }

    /// Is it certain what a text is in UTF-8, that nobody has looked at otherwise?
    pub(super) fn reads_text_surely(&self, text: &[u8]) -> bool {
        let changes = self.letters.varied || self.letters.charset().is_some();
        text.is_ascii() || !changes || self.certainty.encoding(self.queue.boundaries()) == Sure::Yes
    }

    /// Does a message that is kept mean the same, whatever the client's encoding is by then?
    pub(super) fn may_send_again(&self, message: &[u8]) -> bool {
        message.is_ascii() || !self.letters.varied && self.letters.charset().is_none()
    }

    /// May a session go on whose client writes like this, where something is sealed? Its text may hold what
    /// nobody can read, or show.
    ///
    /// # Errors
    /// Its encoding is one of which sealed text is not converted.
    pub fn speaks(&self) -> Result<(), Refusal> {
        let seals = self.view.as_ref().is_some_and(|view| view.snapshot().has_sealed());
        if seals && self.reading.encoding == Encoding::Other {
            Err(Refusal::not_converted_for())
        } else {
            Ok(())
        }
    }

    /// The same of what a text would turn to.
    pub(super) fn will_speak(&self, plan: &Plan) -> Result<(), Refusal> {
        let server = self.letters.server.unwrap_or(Coding::Other);
        let turns = |coding: Coding| Coding::between(coding, server) == Coding::Other;
        let mut named = plan.facts.statements.iter().filter_map(|facts| facts.effect.encoding);
        let seals = self.view.as_ref().is_some_and(|view| view.snapshot().has_sealed());
        if seals && named.any(turns) { Err(Refusal::not_converted()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_may_lead_back_only_from_within_a_transaction() {
        let mut letters = Letters::default();
        letters.note_client(b"LATIN1");
        letters.note_server(b"UTF8");
        assert!(!letters.has_turned() && letters.charset().is_some());
        letters.note_client(b"LATIN1");
        assert!(!letters.has_turned());
        letters.note_client(b"UTF8");
        assert!(letters.has_turned() && letters.charset().is_none());
        letters.rest();
        assert!(!letters.has_turned() && letters.varied);
        letters.note_client(b"SJIS");
        assert_eq!((letters.reading(), letters.charset()), (Encoding::Other, None));
    }
}
