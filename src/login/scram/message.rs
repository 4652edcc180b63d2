//! SCRAM's messages (RFC 5802 section 7) and the SASL messages around them. Readers borrow,
//! check everything, and never panic; what is refused is named without its bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::arithmetic::Kept;
use super::verifier::{iterations_in, key_in};
use super::{CLIENT_MESSAGE_BYTES_MAX, code};
use crate::wire::frame::put;
use crate::wire::{Frame, Malformed};

/// The GS2 header of an exchange that is bound to its channel.
pub const BOUND_HEADER: &[u8] = b"p=tls-server-end-point,,";
/// Length of the random bytes behind a nonce, as the server has it.
const NONCE_BYTES: usize = 18;

/// One side's share of the nonce: printable, without a comma.
pub struct Nonce(String);

impl Nonce {
    /// From bytes that nobody can guess, new for each exchange.
    #[must_use]
    pub fn new(random: [u8; NONCE_BYTES]) -> Nonce {
        Nonce(STANDARD.encode(random))
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[cfg(test)]
    pub fn literal(text: &str) -> Nonce {
        Nonce(text.to_owned())
    }
}

/// Letters that a nonce may have.
fn is_nonce(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

/// Walks `a=value,b=value`.
struct Attributes<'a> {
    /// None behind the last one.
    rest: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let rest = self.rest.ok_or(Malformed("An attribute is missing."))?;
        let mut halves = rest.splitn(2, |byte| *byte == b',');
        let item = halves.next().unwrap_or_default();
        self.rest = halves.next();
        match item {
            [name, b'=', value @ ..] if name.is_ascii_alphabetic() => Ok((*name, value)),
            _ => Err(Malformed("An attribute of one letter, an equal sign and a value was expected.")),
        }
    }

    fn expect(&mut self, name: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, value) if found == name => Ok(value),
            _ => Err(Malformed("Another attribute was expected.")),
        }
    }

    /// Left-over bytes are an error.
    fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_none() {
            Ok(())
        } else {
            Err(Malformed("There is something behind the last attribute."))
        }
    }
}

/// What a client says of channel binding, with the first byte of its first message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flag<'a> {
    /// `n`: it cannot.
    Unable,
    /// `y`: it could, and believes that the server cannot.
    Unoffered,
    /// `p=`: it does, by this type of binding.
    Bound(&'a [u8]),
}

/// The flag of a client's first message, and what follows it.
pub fn read_flag(message: &[u8]) -> Result<(Flag<'_>, &[u8]), Malformed> {
    let comma = message.iter().position(|byte| *byte == b',');
    let at = comma.ok_or(Malformed("There is no comma behind the channel-binding flag."))?;
    let (flag, rest) = message.split_at_checked(at).unwrap_or_default();
    let flag = match flag {
        b"n" => Flag::Unable,
        b"y" => Flag::Unoffered,
        [b'p', b'=', kind @ ..] => Flag::Bound(kind),
        _ => return Err(Malformed("The channel-binding flag is unknown.")),
    };
    Ok((flag, rest.get(1..).unwrap_or_default()))
}

/// Why the rest of a client's first message is not taken.
pub enum FirstFault {
    Malformed(Malformed),
    /// `a=`: act as somebody else.
    AuthorizationIdentity,
    /// `m=`: an extension that must be understood.
    MandatoryExtension,
}

impl From<Malformed> for FirstFault {
    fn from(malformed: Malformed) -> FirstFault {
        FirstFault::Malformed(malformed)
    }
}

/// `client-first-message-bare` and the client's nonce in it. The user's name in it is
/// ignored, as the server has it: the StartupMessage's counts.
pub fn read_client_first(behind_flag: &[u8]) -> Result<(&[u8], &[u8]), FirstFault> {
    let bare = match behind_flag {
        [b'a', ..] => return Err(FirstFault::AuthorizationIdentity),
        [b',', bare @ ..] => bare,
        _ => return Err(Malformed("Two commas were expected before the attributes.").into()),
    };
    if bare.first() == Some(&b'm') {
        return Err(FirstFault::MandatoryExtension);
    }
    let mut attributes = Attributes { rest: Some(bare) };
    attributes.expect(b'n')?;
    let nonce = attributes.expect(b'r')?;
    if !is_nonce(nonce) {
        return Err(Malformed("The nonce is empty or not printable.").into());
    }
    while attributes.rest.is_some() {
        attributes.next()?;
    }
    Ok((bare, nonce))
}

/// `client-final-message`.
pub struct ClientFinal<'a> {
    /// Channel binding, in base64.
    pub binding: &'a [u8],
    pub nonce: &'a [u8],
    pub without_proof: &'a [u8],
    pub proof: Kept,
}

/// Reads a client's last message; extensions before the proof are ignored.
pub fn read_client_final(message: &[u8]) -> Result<ClientFinal<'_>, Malformed> {
    let mut attributes = Attributes { rest: Some(message) };
    let binding = attributes.expect(b'c')?;
    let nonce = attributes.expect(b'r')?;
    let (without_proof, proof) = loop {
        // The comma before the attribute belongs to neither.
        let left = attributes.rest.map_or(0, <[u8]>::len) + 1;
        if let (b'p', proof) = attributes.next()? {
            let length = message.len().saturating_sub(left);
            break (message.get(..length).unwrap_or_default(), proof);
        }
    };
    attributes.end()?;
    let proof = key_in(proof).ok_or(Malformed("The proof is not of the right length in base64."))?;
    Ok(ClientFinal { binding, nonce, without_proof, proof })
}

/// `server-first-message`.
pub struct ServerFirst<'a> {
    pub nonce: &'a [u8],
    pub salt: Vec<u8>,
    pub iterations: u32,
}

pub fn read_server_first(message: &[u8]) -> Result<ServerFirst<'_>, Malformed> {
    let mut attributes = Attributes { rest: Some(message) };
    let nonce = attributes.expect(b'r')?;
    if !is_nonce(nonce) {
        return Err(Malformed("The nonce is empty or not printable."));
    }
    let salt = STANDARD.decode(attributes.expect(b's')?).map_err(|_| Malformed("The salt is not base64."))?;
    let iterations = iterations_in(attributes.expect(b'i')?);
    let iterations = iterations.ok_or(Malformed("The number of iterations is not one."))?;
    attributes.end()?;
    Ok(ServerFirst { nonce, salt, iterations })
}

pub fn put_server_first(nonce: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let tail = format!(",s={},i={iterations}", STANDARD.encode(salt));
    [b"r=", nonce, tail.as_bytes()].concat()
}

/// The server's signature in `server-final-message`.
pub fn read_server_final(message: &[u8]) -> Result<Kept, Malformed> {
    let mut attributes = Attributes { rest: Some(message) };
    let signature = attributes.expect(b'v')?;
    attributes.end()?;
    key_in(signature).ok_or(Malformed("The signature is not of the right length in base64."))
}

/// `c=` of a client's last message: the GS2 header, and the digest where it is bound.
pub fn binding_base64(header: &[u8], digest: &[u8]) -> String {
    STANDARD.encode([header, digest].concat())
}

/// Appends an Authentication message.
pub fn put_authentication(out: &mut Vec<u8>, code: u32, body: &[u8]) {
    put(out, b'R', |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(body);
    });
}

/// Appends an AuthenticationSASL with these mechanisms, the preferred one first.
pub fn put_offer(out: &mut Vec<u8>, mechanisms: &[&[u8]]) {
    let mut list = mechanisms.join(&0);
    list.extend_from_slice(&[0, 0]);
    put_authentication(out, code::SASL, &list);
}

/// Appends a SASLInitialResponse.
pub fn put_initial(out: &mut Vec<u8>, mechanism: &[u8], message: &[u8]) {
    put(out, b'p', |out| {
        out.extend_from_slice(mechanism);
        out.push(0);
        out.extend_from_slice(&i32::try_from(message.len()).unwrap_or(i32::MAX).to_be_bytes());
        out.extend_from_slice(message);
    });
}

/// The body of a SASL message of the client.
pub fn read_response(frame: Frame<'_>) -> Result<&[u8], Malformed> {
    if frame.tag() != b'p' {
        Err(Malformed("A SASL response was expected."))
    } else if frame.len() > CLIENT_MESSAGE_BYTES_MAX + 1 {
        Err(Malformed("The message is too long."))
    } else {
        Ok(frame.body())
    }
}

/// Mechanism, and message if there is one, of a SASLInitialResponse.
pub fn read_initial(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), Malformed> {
    let malformed = Malformed("The SASL response is not what it says.");
    let end = body.iter().position(|byte| *byte == 0).ok_or(malformed)?;
    let (mechanism, rest) = body.split_at_checked(end).ok_or(malformed)?;
    let (_, rest) = rest.split_first().ok_or(malformed)?;
    let (length, message) = rest.split_first_chunk::<4>().ok_or(malformed)?;
    match (i32::from_be_bytes(*length), message) {
        (-1, []) => Ok((mechanism, None)),
        (length, message) if usize::try_from(length) == Ok(message.len()) => Ok((mechanism, Some(message))),
        _ => Err(malformed),
    }
}

/// SCRAM's messages are text: a zero byte would end them early for others.
pub fn check_text(message: &[u8]) -> Result<(), Malformed> {
    if message.is_empty() {
        Err(Malformed("The message is empty."))
    } else if message.contains(&0) {
        Err(Malformed("There is a zero byte in the message."))
    } else {
        Ok(())
    }
}
