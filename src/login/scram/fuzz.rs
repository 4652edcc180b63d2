//! Fuzz entry of this folder; `tests.rs` runs it for a moment over mutations of sound
//! exchanges.

use super::{
    Challenge, ExpectInitial, ITERATIONS_DEFAULT, Initial, MockSecret, Nonce, Proven, RecoveredKeys, Step,
    Upstream, Verifier,
};
use crate::login::Claim;
use crate::wire::{Frame, Peek, peek};

fn next<'a>(data: &mut &'a [u8]) -> Option<Frame<'a>> {
    let Ok(Peek::Whole(frame)) = peek(data) else { return None };
    *data = data.get(frame.len()..).unwrap_or(&[]);
    Some(frame)
}

/// The verifier of "pencil" in RFC 7677's example; None at the end of all things.
fn verifier() -> Option<Verifier> {
    Verifier::parse(
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
         wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    )
}

/// A client's side of an exchange with fixed nonces.
fn client(mut data: &[u8], digest: Option<Vec<u8>>) -> Option<Proven> {
    let name = |text: &str| text.into();
    let claim = Claim {
        user: name("user"),
        database: name(""),
        application: name(""),
        client: name(""),
        region: name(""),
        certificate: None,
        end_user: None,
        purpose: None,
        session: 0,
    };
    let mut out = Vec::new();
    let expect = ExpectInitial::offer(claim, digest, &mut out);
    let ready = match expect.initial(next(&mut data)?, &mut out).ok()? {
        Initial::Read(ready) => ready,
        Initial::Chosen(first) => first.first(next(&mut data)?).ok()?,
    };
    let challenge = Challenge {
        verifier: verifier(),
        mock: &MockSecret::new([0; 32]),
        mock_iterations: ITERATIONS_DEFAULT,
        nonce: Nonce::new([0; 18]),
    };
    ready.challenge(challenge, &mut out).finish(next(&mut data)?).ok()
}

/// A server's side.
fn server(mut data: &[u8], digest: Option<Vec<u8>>) -> Option<()> {
    let keys = RecoveredKeys { client_key: super::arithmetic::Kept::default(), verifier: verifier()? };
    let mut login = Upstream::new(std::rc::Rc::new(keys), digest, Nonce::new([0; 18]));
    loop {
        match login.take(next(&mut data)?, &mut Vec::new()).ok()? {
            Step::Continue(after) | Step::Notice(after) => login = after,
            Step::Accepted => return Some(()),
            Step::Refused => return None,
        }
    }
}

/// Fuzz entry: a stream of messages of a client, of a server, and a verifier. True where
/// one of them was taken to its end.
pub fn fuzz_scram(data: &[u8]) -> bool {
    let digest = || Some(vec![7; 32]);
    client(data, None).is_some()
        | client(data, digest()).is_some()
        | server(data, None).is_some()
        | server(data, digest()).is_some()
        | std::str::from_utf8(data).is_ok_and(|text| Verifier::parse(text).is_some())
}
