//! Claims about both sides: RFC 7677's example, each refusal by itself, both machines
//! against each other, and mutations of sound exchanges.

use std::rc::Rc;
use std::sync::Arc;

use super::message::{put_authentication, put_initial, put_offer};
use super::*;
use crate::login::Claim;
use crate::wire::frame::put;
use crate::wire::{Frame, Peek, peek};

const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const SERVER_SHARE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn claim() -> Claim {
    let name = |text: &str| -> Arc<str> { text.into() };
    Claim {
        user: name("user"),
        database: name("shop"),
        application: name(""),
        client: name("::1"),
        region: name(""),
        certificate: None,
        end_user: None,
        purpose: None,
        session: 1,
    }
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    let Ok(Peek::Whole(frame)) = peek(bytes) else { panic!("a whole frame") };
    frame
}

fn initial(mechanism: &[u8], message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_initial(&mut out, mechanism, message.as_bytes());
    out
}

fn response(message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, b'p', |out| out.extend_from_slice(message.as_bytes()));
    out
}

fn request(code: u32, body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_authentication(&mut out, code, body.as_bytes());
    out
}

/// The client's side from the offer to the challenge.
fn begin(digest: Option<&[u8]>, bytes: &[u8], known: bool) -> Result<(ExpectFinal, Vec<u8>), Fault> {
    let mut out = Vec::new();
    let expect = ExpectInitial::offer(claim(), digest.map(<[u8]>::to_vec), &mut out);
    out.clear();
    let Initial::Read(ready) = expect.initial(frame(bytes), &mut out)? else { panic!("a message was sent") };
    let challenge = Challenge {
        verifier: known.then(|| Verifier::parse(VERIFIER)).flatten(),
        mock: &MockSecret::new([3; 32]),
        mock_iterations: ITERATIONS_DEFAULT,
        nonce: Nonce::literal(SERVER_SHARE),
    };
    let expect = ready.challenge(challenge, &mut out);
    Ok((expect, out))
}

fn proven() -> Proven {
    let Ok((expect, _)) = begin(None, &initial(PLAIN, FIRST), true) else { panic!("challenged") };
    expect.finish(frame(&response(FINAL))).unwrap_or_else(|fault| panic!("{}", fault.message))
}

#[test]
fn the_example_of_rfc_7677_proves_its_user() {
    let Ok((expect, challenge)) = begin(None, &initial(PLAIN, FIRST), true) else { panic!("challenged") };
    assert_eq!(challenge, request(11, SERVER_FIRST));
    let Ok(proven) = expect.finish(frame(&response(FINAL))) else { panic!("proven") };
    assert_eq!(proven.final_message, request(12, SERVER_FINAL));
    assert_eq!((&**proven.principal.user(), proven.principal.method()), ("user", "scram"));
}

#[test]
fn the_offer_is_by_the_channel() {
    for (digest, mechanisms) in
        [(Some(vec![1]), "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), (None, "SCRAM-SHA-256\0\0")]
    {
        let mut out = Vec::new();
        let _ = ExpectInitial::offer(claim(), digest, &mut out);
        assert_eq!(out, request(10, mechanisms));
    }
}

#[test]
fn a_choice_without_a_message_is_asked_to_go_on() {
    let mut out = Vec::new();
    let expect = ExpectInitial::offer(claim(), None, &mut out);
    out.clear();
    let mut choice = Vec::new();
    put(&mut choice, b'p', |out| out.extend_from_slice(b"SCRAM-SHA-256\0\xff\xff\xff\xff"));
    let Ok(Initial::Chosen(first)) = expect.initial(frame(&choice), &mut out) else { panic!("chosen") };
    assert_eq!(out, request(11, ""));
    assert!(first.first(frame(&response(FIRST))).is_ok());
}

/// Digest of the hop, mechanism, message, SQLSTATE.
type FirstCase<'a> = (Option<&'a [u8]>, &'a [u8], &'a str, &'a str);

#[test]
fn refuses_first_messages() {
    let bound: Option<&[u8]> = Some(&[7; 32]);
    let long = format!("n,,n=,r={}", "x".repeat(1100));
    let cases: &[FirstCase<'_>] = &[
        (None, PLUS, "p=tls-server-end-point,,n=,r=x", "08P01"),
        (bound, b"SCRAM-SHA-1", FIRST, "08P01"),
        (bound, PLUS, FIRST, "08P01"),
        (bound, PLUS, "y,,n=,r=x", "08P01"),
        (bound, PLAIN, "p=tls-server-end-point,,n=,r=x", "08P01"),
        (None, PLAIN, "p=tls-server-end-point,,n=,r=x", "08P01"),
        (bound, PLUS, "p=tls-unique,,n=,r=x", "08P01"),
        (bound, PLAIN, "y,,n=,r=x", "28000"),
        (None, PLAIN, "n,a=ada,n=,r=x", "0A000"),
        (None, PLAIN, "n,,m=x,n=,r=x", "0A000"),
        (None, PLAIN, "", "08P01"),
        (None, PLAIN, "n", "08P01"),
        (None, PLAIN, "x,,n=,r=x", "08P01"),
        (None, PLAIN, "n,n=,r=x", "08P01"),
        (None, PLAIN, "n,,r=x", "08P01"),
        (None, PLAIN, "n,,n=,r=", "08P01"),
        (None, PLAIN, "n,,n=,r=a b", "08P01"),
        (None, PLAIN, "n,,n=,r=x,", "08P01"),
        (None, PLAIN, "n,,n=,r=x,1=2", "08P01"),
        (None, PLAIN, "n,,n=,r=x\0", "08P01"),
        (None, PLAIN, &long, "08P01"),
    ];
    for (digest, mechanism, message, sqlstate) in cases {
        let Err(fault) = begin(*digest, &initial(mechanism, message), true) else { panic!("{message}") };
        assert_eq!(fault.sqlstate, *sqlstate, "{message}: {}", fault.message);
        assert!(fault.message.starts_with("sealgate: "), "{}", fault.message);
    }
    assert!(begin(None, b"Q\0\0\0\x05\0", true).is_err(), "another message");
    for (digest, first) in [(bound, "n,,n=,r=x"), (None, "y,,n=,r=x"), (None, "n,,n=ignored,r=x,z=ignored")] {
        assert!(begin(digest, &initial(PLAIN, first), true).is_ok(), "{first}");
    }
}

#[test]
fn refuses_last_messages() {
    let cases = [
        (FINAL.replace("dHzb", "dHzc"), "28P01"),
        (FINAL.replace("k0,", "k0,x=y,"), "28P01"),
        (FINAL.replace("$k0", "$k1"), "08P01"),
        (FINAL.replace("biws", "eSws"), "08P01"),
        (FINAL.replace("biws", ""), "08P01"),
        (FINAL.replace("c=biws,", ""), "08P01"),
        (FINAL.replace(",p=", ",q="), "08P01"),
        (FINAL.replace("dHzb", ""), "08P01"),
        (FINAL.replace("dHzb", "????"), "08P01"),
        (format!("{FINAL},"), "08P01"),
        (format!("{FINAL},x=y"), "08P01"),
        (format!("{FINAL}\0"), "08P01"),
        (String::new(), "08P01"),
    ];
    for (message, sqlstate) in cases {
        let Ok((expect, _)) = begin(None, &initial(PLAIN, FIRST), true) else { panic!("challenged") };
        let Err(fault) = expect.finish(frame(&response(&message))) else { panic!("{message}") };
        assert_eq!(fault.sqlstate, sqlstate, "{message}");
    }
}

#[test]
fn a_user_without_verifier_is_refused_as_a_wrong_password_is() {
    let Ok((mock, challenge)) = begin(None, &initial(PLAIN, FIRST), false) else { panic!("challenged") };
    assert_eq!(challenge.len(), request(11, SERVER_FIRST).len());
    let Err(unknown) = mock.finish(frame(&response(FINAL))) else { panic!("nobody is proven") };
    let Ok((real, _)) = begin(None, &initial(PLAIN, FIRST), true) else { panic!("challenged") };
    let Err(wrong) = real.finish(frame(&response(&FINAL.replace("dHzb", "dHzc")))) else { panic!("wrong") };
    let told = "password authentication failed for user \"user\"";
    for fault in [unknown, wrong] {
        assert_eq!((fault.sqlstate, fault.message.as_str(), fault.detail), ("28P01", told, ""));
    }
}

/// The upstream's side with the recovered keys, up to its first message.
fn upstream(digest: Option<Vec<u8>>) -> Upstream {
    Upstream::new(Rc::new(proven().keys), digest, Nonce::literal("rOprNGfwEbeRWgbNEkqO"))
}

fn step(login: Upstream, bytes: &[u8], out: &mut Vec<u8>) -> Upstream {
    out.clear();
    match login.take(frame(bytes), out) {
        Ok(Step::Continue(next)) => next,
        Ok(_) => panic!("the exchange goes on"),
        Err(fault) => panic!("{fault}"),
    }
}

fn fault(login: Upstream, bytes: &[u8]) -> UpstreamFault {
    let Err(fault) = login.take(frame(bytes), &mut Vec::new()) else { panic!("a fault") };
    fault
}

const OFFER: &str = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

#[test]
fn both_machines_agree_with_and_without_binding() {
    for (client_digest, seen, method) in [
        (None, None, "scram"),
        (Some(vec![7; 32]), Some(vec![7; 32]), "scram-plus"),
        (Some(vec![7; 48]), None, "scram"),
    ] {
        let mut to_client = Vec::new();
        let mut to_server = Vec::new();
        let server = ExpectInitial::offer(claim(), client_digest, &mut to_client);
        let login = step(upstream(seen), &to_client, &mut to_server);
        to_client.clear();
        let Ok(Initial::Read(ready)) = server.initial(frame(&to_server), &mut to_client) else {
            panic!("read")
        };
        let challenge = Challenge {
            verifier: Verifier::parse(VERIFIER),
            mock: &MockSecret::new([3; 32]),
            mock_iterations: 1,
            nonce: Nonce::new([9; 18]),
        };
        let server = ready.challenge(challenge, &mut to_client);
        let login = step(login, &to_client, &mut to_server);
        let Ok(proven) = server.finish(frame(&to_server)) else { panic!("proven") };
        assert_eq!(proven.principal.method(), method);
        let login = step(login, &proven.final_message, &mut to_server);
        assert!(matches!(login.take(frame(&request(0, "")), &mut to_server), Ok(Step::Accepted)));
    }
}

#[test]
fn another_certificate_than_the_clients_is_refused() {
    let mut to_client = Vec::new();
    let mut to_server = Vec::new();
    let server = ExpectInitial::offer(claim(), Some(vec![7; 32]), &mut to_client);
    let login = step(upstream(Some(vec![8; 32])), &to_client, &mut to_server);
    to_client.clear();
    let Ok(Initial::Read(ready)) = server.initial(frame(&to_server), &mut to_client) else { panic!("read") };
    let challenge = Challenge {
        verifier: Verifier::parse(VERIFIER),
        mock: &MockSecret::new([3; 32]),
        mock_iterations: 1,
        nonce: Nonce::new([9; 18]),
    };
    let server = ready.challenge(challenge, &mut to_client);
    step(login, &to_client, &mut to_server);
    let Err(fault) = server.finish(frame(&to_server)) else { panic!("refused") };
    assert_eq!((fault.sqlstate, &*fault.message), ("28000", "sealgate: SCRAM channel binding check failed"));
}

/// The example with an empty name, as it is sent to servers; both computed by Python's hmac.
const PROOF: &str = "qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=";
const SIGNATURE: &str = "v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=";

#[test]
fn the_recovered_key_gives_the_proof_that_the_password_would() {
    let mut out = Vec::new();
    let login = step(upstream(None), &request(10, OFFER), &mut out);
    assert_eq!(out, initial(PLAIN, "n,,n=,r=rOprNGfwEbeRWgbNEkqO"));
    let login = step(login, &request(11, SERVER_FIRST), &mut out);
    let answer = FINAL.split_once(",p=").unwrap().0;
    assert_eq!(out, response(&format!("{answer},p={PROOF}")));
    let login = step(login, &request(12, SIGNATURE), &mut out);
    assert!(matches!(login.take(frame(&request(0, "")), &mut out), Ok(Step::Accepted)));
}

#[test]
fn a_wrong_signature_of_the_server_ends_the_login() {
    let mut out = Vec::new();
    let login = step(upstream(None), &request(10, OFFER), &mut out);
    let login = step(login, &request(11, SERVER_FIRST), &mut out);
    assert_eq!(fault(login, &request(12, SERVER_FINAL)), UpstreamFault::WrongSignature, "another name's");
}

#[test]
fn tells_the_server_what_binding_it_could_do() {
    for (digest, offer, begins) in [
        (Some(vec![7]), OFFER, "SCRAM-SHA-256-PLUS\0\0\0\0\x31p=tls-server-end-point,,"),
        (Some(vec![7]), "SCRAM-SHA-256\0\0", "SCRAM-SHA-256\0\0\0\0\x1cy,,"),
        (None, OFFER, "SCRAM-SHA-256\0\0\0\0\x1cn,,"),
    ] {
        let mut out = Vec::new();
        step(upstream(digest), &request(10, offer), &mut out);
        assert!(out[5..].starts_with(begins.as_bytes()), "{}", out.escape_ascii());
    }
}

#[test]
fn only_a_server_that_has_proven_itself_or_asks_for_nothing_accepts() {
    assert!(matches!(upstream(None).take(frame(&request(0, "")), &mut Vec::new()), Ok(Step::Accepted)));
    let mut out = Vec::new();
    let begun = step(upstream(None), &request(10, OFFER), &mut out);
    assert_eq!(fault(begun, &request(0, "")), UpstreamFault::Unproven);
    let begun = step(upstream(None), &request(10, OFFER), &mut out);
    let proof = step(begun, &request(11, SERVER_FIRST), &mut out);
    assert_eq!(fault(proof, &request(0, "")), UpstreamFault::Unproven);
}

#[test]
fn what_a_proof_cannot_give_is_named() {
    for (code, what) in [(3, "cleartext"), (5, "MD5"), (7, "GSSAPI"), (9, "SSPI"), (99, "unknown")] {
        let text = fault(upstream(None), &request(code, "salt")).to_string();
        assert!(text.contains(what) && text.contains("scram-sha-256 in its pg_hba.conf"), "{text}");
    }
    for offer in ["OAUTHBEARER\0\0", "SCRAM-SHA-256-PLUS\0\0", "\0"] {
        assert!(matches!(fault(upstream(None), &request(10, offer)), UpstreamFault::Asks(_)));
    }
}

#[test]
fn refuses_what_a_server_should_not_say() {
    let mut out = Vec::new();
    let mut first = |message: &str| {
        let begun = step(upstream(None), &request(10, OFFER), &mut out);
        fault(begun, &request(11, message))
    };
    for other in [SERVER_FIRST.replace("4096", "4097"), SERVER_FIRST.replace("W22Z", "W22a")] {
        assert_eq!(first(&other), UpstreamFault::OtherVerifier, "{other}");
    }
    let long = "x".repeat(2000);
    for malformed in [
        "",
        "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        &SERVER_FIRST.replace("i=4096", "i=0"),
        &SERVER_FIRST.replace("i=4096", "i=-1"),
        &SERVER_FIRST.replace("s=", "s=?"),
        &format!("m=x,{SERVER_FIRST}"),
        &format!("{SERVER_FIRST},x=y"),
        &format!("{SERVER_FIRST}\0"),
        &long,
    ] {
        assert!(matches!(first(malformed), UpstreamFault::Malformed(_)), "{malformed}");
    }
    for bytes in
        [&b"Z\0\0\0\x05I"[..], b"R\0\0\0\x05\0", b"K\0\0\0\x0c\0\0\0\0\0\0\0\0", b"R\0\0\0\x09\0\0\0\0x"]
    {
        assert!(upstream(None).take(frame(bytes), &mut Vec::new()).is_err());
    }
    assert!(matches!(upstream(None).take(frame(b"E\0\0\0\x05\0"), &mut Vec::new()), Ok(Step::Refused)));
    assert!(matches!(upstream(None).take(frame(b"N\0\0\0\x05\0"), &mut Vec::new()), Ok(Step::Notice(_))));
}

#[test]
fn the_servers_final_message_must_be_its_signature() {
    for message in ["e=other-error", "v=", "v=AAAA", "", &format!("{SERVER_FINAL},x=y")] {
        let mut out = Vec::new();
        let begun = step(upstream(None), &request(10, OFFER), &mut out);
        let proof = step(begun, &request(11, SERVER_FIRST), &mut out);
        assert!(matches!(fault(proof, &request(12, message)), UpstreamFault::Malformed(_)), "{message}");
    }
}

/// A client's and a server's stream that `fuzz_scram` takes to their ends.
fn sound_streams() -> [Vec<u8>; 2] {
    let mut out = Vec::new();
    // The recovered key plays the client against the entry's fixed nonces.
    let login = Upstream::new(Rc::new(proven().keys), None, Nonce::literal("abc"));
    let login = step(login, &request(10, OFFER), &mut out);
    let mut client = out.clone();
    let first = format!("r=abc{},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "A".repeat(24));
    step(login, &request(11, &first), &mut out);
    client.extend_from_slice(&out);
    let mut server = b"N\0\0\0\x05\0".to_vec();
    server.extend(request(0, ""));
    [client, server]
}

#[test]
fn every_truncation_and_every_flip_of_a_proof_is_refused() {
    let [client, server] = sound_streams();
    assert!(fuzz_scram(&client) && fuzz_scram(&server));
    for at in 0..client.len() {
        assert!(!fuzz_scram(&client[..at]), "cut at {at}");
        for bit in 0..8 {
            let mut flipped = client.clone();
            flipped[at] ^= 1 << bit;
            assert!(!fuzz_scram(&flipped), "bit {bit} of {at}");
        }
    }
}

#[test]
fn any_bytes_are_taken_or_refused() {
    let [client, mut server] = sound_streams();
    let mut offered = Vec::new();
    put_offer(&mut offered, &[PLUS, PLAIN]);
    offered.extend(request(11, SERVER_FIRST));
    offered.extend(request(12, SERVER_FINAL));
    server.extend_from_slice(&offered);
    let seeds = [client, server, offered, VERIFIER.as_bytes().to_vec()];
    let mut state = 0x5ea1_u64;
    let mut roll = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(sides).unwrap()).unwrap()
    };
    let mut taken = 0;
    for round in 0..20_000 {
        let mut data = seeds[round % seeds.len()].clone();
        for _ in 0..roll(4) {
            let at = roll(data.len());
            match roll(4) {
                0 => data[at] = u8::try_from(roll(256)).unwrap(),
                1 => data.truncate(at.max(1)),
                2 => data.insert(at, [0, b',', b'=', b'R'][roll(4)]),
                _ => drop(data.remove(at)),
            }
            if data.is_empty() {
                data.push(0);
            }
        }
        taken += usize::from(fuzz_scram(&data));
    }
    assert!(taken > 1_000, "some mutations must still be taken: {taken}");
}
