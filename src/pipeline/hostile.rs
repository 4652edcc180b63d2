//! Peers that do not keep to the protocol, on both sides at once.
//!
//! Random numbers come from a fixed seed, so a failure repeats. Whatever the server answers
//! and however bytes are cut up, a value that the client binds to a sealed column must not
//! go upstream, and a sealed value must not come back open without its receipt.

use super::fuzz::{
    Choices, OPENED, Peers, Played, SENTINEL, answer, bind, fuzz_session, holds, play, session,
    session_untouched, workshop,
};
use super::{Need, Step};
use crate::wire::frame::put;
use crate::wire::frontend::{put_close_statement, put_describe_portal, put_execute, put_parse, put_query};

const FRAME_BYTES_MAX: usize = 1 << 16;

/// Forty frames; one session in four begins as it should.
fn forty(seed: u64, peers: Peers) -> Played {
    let honest: &[usize] = if seed.is_multiple_of(4) { &[3, 4, 6, 14] } else { &[] };
    let mut turns = 0..40;
    play(&mut Choices::seeded(seed), peers, honest, |_| turns.next().is_some())
}

#[test]
fn no_order_of_answers_makes_a_value_go_upstream_or_come_out_unrecorded() {
    let mut opened = 0;
    for seed in 0..1_500 {
        for durable in [false, true] {
            let peers = Peers { durable, sound_client: true, sound_server: true };
            opened += usize::from(holds(&forty(seed, peers).answered, OPENED));
        }
    }
    assert!(opened > 20, "some sessions must get as far as an open value: {opened}");
}

#[test]
fn bytes_of_no_meaning_end_or_wait_and_break_no_promise() {
    let (mut ended, mut opened) = (0, 0);
    for seed in 0..1_500_u64 {
        for sound_client in [false, true] {
            let peers = Peers { durable: seed.is_multiple_of(2), sound_client, sound_server: false };
            let played = forty(seed, peers);
            ended += usize::from(played.ended);
            opened += usize::from(holds(&played.answered, OPENED));
        }
    }
    assert!(ended > 500 && opened > 20, "both must occur: {ended}, {opened}");
}

#[test]
fn any_decisions_of_a_fuzzer_keep_the_promises() {
    let mut dice = Choices::seeded(5);
    for _ in 0..2_000 {
        let length = dice.roll(600);
        let data: Vec<u8> = (0..length).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
        fuzz_session(&data);
    }
}

/// What a session does with the same frames, made anew each time, until it has enough.
fn flood(frames: impl Fn(usize, &mut Vec<u8>), answers: impl Fn(&mut Vec<u8>)) -> Option<Step> {
    let (mut session, mut shop) = (session(FRAME_BYTES_MAX), workshop());
    let mut out = Vec::new();
    for round in 0..200_000 {
        let mut input = Vec::new();
        frames(round, &mut input);
        while !input.is_empty() {
            out.clear();
            match session.request(&mut shop, &input, &mut out) {
                Step::Pass(count) | Step::Took(count) => drop(input.drain(..count)),
                step @ (Step::Need(_) | Step::End(_)) => return Some(step),
            }
        }
        let mut input = Vec::new();
        answers(&mut input);
        while !input.is_empty() {
            match session.response(&mut shop, &input, &mut out, 0) {
                Step::Pass(count) | Step::Took(count) => drop(input.drain(..count)),
                step @ (Step::Need(_) | Step::End(_)) => return Some(step),
            }
        }
        session.take_records();
        session.take_events();
    }
    None
}

#[test]
fn a_client_that_never_stops_is_stopped() {
    let none = |_: &mut Vec<u8>| {};
    let syncs = flood(|_, out| put(out, b'S', |_| {}), none);
    assert!(matches!(syncs, Some(Step::Need(Need::Settle))), "requests without an answer");
    let discarded = |round: usize, out: &mut Vec<u8>| {
        let text: &[u8] =
            if round == 0 { b"SELECT lower(email) FROM customers" } else { b"SELECT email FROM customers" };
        put_parse(out, format!("n{round}").as_bytes(), text, &[]);
    };
    assert!(matches!(flood(discarded, none), Some(Step::End(_))), "names of discarded statements");
    let portals = |round: usize, out: &mut Vec<u8>| {
        if round == 0 {
            put_parse(out, b"s", b"SELECT email FROM customers WHERE email = $1", &[]);
        } else {
            bind(out, format!("p{round}").as_bytes(), b"s", 0);
        }
        put(out, b'S', |_| {});
    };
    let first = std::cell::Cell::new(true);
    let agreed = |out: &mut Vec<u8>| {
        put(out, if first.replace(false) { b'1' } else { b'2' }, |_| {});
        put(out, b'Z', |out| out.push(b'T'));
    };
    assert!(matches!(flood(portals, agreed), Some(Step::End(_))), "portals of one transaction");
    assert!(flood(|_, out| put(out, b'c', |_| {}), none).is_none(), "CopyDone out of place is ignored");
}

#[test]
fn what_was_refused_has_no_rows() {
    let (mut session, mut shop) = (session(FRAME_BYTES_MAX), workshop());
    let (mut asked, mut sent) = (Vec::new(), Vec::new());
    put_query(&mut asked, b"SELECT lower(email) FROM customers");
    let step = session.request(&mut shop, &asked, &mut sent);
    assert!(matches!(step, Step::Took(count) if count == asked.len()));
    let (mut row, mut told) = (Vec::new(), Vec::new());
    answer(4, &mut Choices::seeded(1), b"legible", &mut row);
    assert!(matches!(session.response(&mut shop, &row, &mut told, 0), Step::End(_)));
    assert!(!holds(&told, b"legible"));
}

/// Found by the fuzzer: a text that is too large to be read names statements too.
#[test]
fn what_an_unseen_text_may_have_prepared_is_given_no_values() {
    let mut prepare = Vec::new();
    put_query(&mut prepare, b"PREPARE s(text) AS INSERT INTO customers (email) VALUES ($1)");
    let (mut session, mut shop, mut sent) = (session(64), workshop(), Vec::new());
    let step = session.request(&mut shop, &prepare[..20], &mut sent);
    assert!(matches!(step, Step::Took(20)), "refused before it is whole");
    let step = session.request(&mut shop, &prepare[20..], &mut sent);
    assert!(matches!(step, Step::Took(_)));
    let (mut execute, mut bound) = (Vec::new(), Vec::new());
    put_query(&mut execute, b"EXECUTE s('sentinel-7f3a9c')");
    bind(&mut bound, b"", b"s", 0);
    for next in [execute, bound] {
        let step = session.request(&mut shop, &next, &mut sent);
        assert!(matches!(step, Step::Took(count) if count == next.len()), "not as it came");
    }
    assert!(!holds(&sent, SENTINEL));
}

/// Found by the fuzzer: a name that is being closed is none that is known.
#[test]
fn a_name_that_is_closed_without_an_answer_is_given_no_value_behind_an_unseen_text() {
    let (mut session, mut shop, mut sent) = (session(64), workshop(), Vec::new());
    let (mut close, mut prepare, mut execute) = (Vec::new(), Vec::new(), Vec::new());
    put_close_statement(&mut close, b"s");
    put_query(&mut prepare, b"PREPARE s(text) AS INSERT INTO customers (email) VALUES ($1)");
    put_query(&mut execute, b"EXECUTE s('sentinel-7f3a9c')");
    for part in [&close[..], &prepare[..20], &prepare[20..], &execute[..]] {
        let step = session.request(&mut shop, part, &mut sent);
        assert!(matches!(step, Step::Took(_) | Step::Pass(_) | Step::Need(Need::Settle)));
    }
    assert!(!holds(&sent, SENTINEL));
}

#[test]
fn answers_may_be_cut_anywhere() {
    let mut asked = Vec::new();
    for _ in 0..2 {
        bind(&mut asked, b"", b"s", 0);
        put_describe_portal(&mut asked, b"");
        put_execute(&mut asked, b"", 0);
    }
    put(&mut asked, b'S', |_| {});
    let mut answer = Vec::new();
    for _ in 0..2 {
        put(&mut answer, b'2', |_| {});
        put(&mut answer, b'T', |out| {
            out.extend_from_slice(b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0")
        });
        put(&mut answer, b'D', |out| out.extend_from_slice(b"\0\x01\0\0\0\x011"));
        put(&mut answer, b'C', |out| out.extend_from_slice(b"SELECT 1\0"));
    }
    put(&mut answer, b'Z', |out| out.push(b'I'));
    for cut in 1..answer.len() {
        let mut session = session_untouched(FRAME_BYTES_MAX);
        let (mut shop, mut out) = (workshop(), Vec::new());
        let Step::Pass(count) = session.request(&mut shop, &asked, &mut out) else { panic!("not passed") };
        assert_eq!(count, asked.len());
        let (mut arrived, mut told) = (Vec::new(), 0);
        for piece in [&answer[..cut], &answer[cut..]] {
            arrived.extend_from_slice(piece);
            loop {
                match session.response(&mut shop, &arrived[told..], &mut out, 0) {
                    Step::Pass(count) => told += count,
                    Step::Need(_) => break,
                    Step::Took(_) | Step::End(_) => panic!("cut at {cut}: {}", String::from_utf8_lossy(&out)),
                }
            }
        }
        assert_eq!((told, out.len(), session.is_settled()), (answer.len(), 0, true), "cut at {cut}");
    }
}
