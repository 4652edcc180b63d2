//! An honest server, modelled: random clients that do not wait for answers, whose bytes are
//! cut up and whose COPY fails at any point, must be answered through the gate exactly as
//! directly, and every classified row must be open.
//!
//! The model knows what PostgreSQL does with its queue (`PostgresMain`, `CopyGetData`): an
//! error in the extended protocol skips to the next Sync; a COPY takes Syncs for a part of
//! its data, but only those that it has read when it fails.

use super::fuzz::{Choices, DECISIONS_MAX, Nowhere, OPENED, sealed, session, walk, workshop};
use crate::audit::{Entry, Journal, Record};
use crate::wire::frame::put;
use crate::wire::frontend::{put_describe_portal, put_execute, put_parse, put_query, put_value};
use crate::wire::{Frame, Peek, frontend, peek};

const READ: &[u8] = b"SELECT email FROM customers";
const REFUSED: &[u8] = b"SELECT lower(email) FROM customers";
/// How many messages a COPY reads before it fails stands behind its text; 9: it does not.
const COPY: &[u8] = b"COPY orders FROM STDIN --";

#[derive(Clone, Copy)]
struct Copying {
    simple: bool,
    /// Messages that it still reads; none: all.
    left: Option<usize>,
}

/// What PostgreSQL would answer.
#[derive(Default)]
struct Server {
    text: Vec<u8>,
    skipping: bool,
    copying: Option<Copying>,
    sealed: Vec<u8>,
}

impl Server {
    fn new() -> Server {
        Server { sealed: sealed(), ..Server::default() }
    }

    fn take(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) {
        if let Some(copying) = self.copying {
            return self.copy(copying, frame.tag(), out);
        }
        match frame.tag() {
            b'S' => {
                self.skipping = false;
                ready(out);
            }
            _ if self.skipping => {}
            b'P' => {
                let parse = frontend::Parse::read(frame.body()).ok().unwrap();
                self.text = parse.text.to_vec();
                if self.is_sound() { put(out, b'1', |_| {}) } else { self.fail(false, out) }
            }
            b'B' if self.text.is_empty() => self.fail(false, out),
            b'B' => put(out, b'2', |_| {}),
            b'D' if self.text == READ => describe(out),
            b'D' => put(out, b'n', |_| {}),
            b'E' => self.run(false, out),
            b'Q' => {
                self.text = frontend::read_query(frame.body()).ok().unwrap().to_vec();
                if self.is_sound() {
                    self.run(true, out)
                } else {
                    self.fail(true, out)
                }
                // It destroys the unnamed statement.
                if self.copying.is_none() {
                    self.text.clear();
                }
            }
            // Flush; copy data out of place.
            _ => {}
        }
    }

    fn is_sound(&self) -> bool {
        self.text == READ || self.text.starts_with(COPY)
    }

    fn run(&mut self, simple: bool, out: &mut Vec<u8>) {
        if let Some(reads) = self.text.strip_prefix(COPY) {
            put(out, b'G', |out| out.extend_from_slice(&[0, 0, 0]));
            let reads = usize::from(reads[0] - b'0');
            let copying = Copying { simple, left: (reads < 9).then_some(reads) };
            self.copying = Some(copying);
            return self.give_up(copying, out);
        }
        if simple {
            describe(out);
        }
        put(out, b'D', |out| {
            out.extend_from_slice(&[0, 1]);
            put_value(out, Some(&self.sealed));
        });
        put(out, b'C', |out| out.extend_from_slice(b"SELECT 1\0"));
        if simple {
            ready(out);
        }
    }

    /// One message that COPY reads.
    fn copy(&mut self, mut copying: Copying, tag: u8, out: &mut Vec<u8>) {
        match tag {
            b'c' => {
                self.copying = None;
                put(out, b'C', |out| out.extend_from_slice(b"COPY 1\0"));
                if copying.simple {
                    ready(out);
                }
            }
            b'f' => self.fail(copying.simple, out),
            b'd' | b'S' | b'H' => {
                copying.left = copying.left.map(|left| left - 1);
                self.copying = Some(copying);
                self.give_up(copying, out);
            }
            other => panic!("a client that knows of its COPY does not send {:?}", char::from(other)),
        }
    }

    fn give_up(&mut self, copying: Copying, out: &mut Vec<u8>) {
        if copying.left == Some(0) {
            self.fail(copying.simple, out);
        }
    }

    fn fail(&mut self, simple: bool, out: &mut Vec<u8>) {
        self.copying = None;
        self.text.clear();
        put(out, b'E', |out| out.extend_from_slice(b"SERROR\0VERROR\0C42601\0Mno\0\0"));
        if simple { ready(out) } else { self.skipping = true }
    }

    /// Takes the whole frames at the head of `input`, at most `count` of them.
    fn serve(&mut self, input: &mut Vec<u8>, count: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            let Ok(Peek::Whole(frame)) = peek(input) else { return };
            self.take(frame, out);
            let length = frame.len();
            input.drain(..length);
        }
    }
}

fn ready(out: &mut Vec<u8>) {
    put(out, b'Z', |out| out.push(b'I'));
}

fn describe(out: &mut Vec<u8>) {
    put(out, b'T', |out| {
        out.extend_from_slice(b"\0\x01email\0");
        out.extend_from_slice(&16_400_u32.to_be_bytes());
        out.extend_from_slice(b"\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    });
}

/// One whole exchange of a client that knows which of its statements is a COPY.
fn exchange(dice: &mut Choices<'_>, out: &mut Vec<u8>) {
    let copies = dice.roll(3) > 0;
    let text = if copies {
        [COPY, &[b"0123459"[dice.roll(7)]]].concat()
    } else {
        [READ, REFUSED][usize::from(dice.roll(4) == 0)].to_vec()
    };
    let simple = dice.roll(2) == 0;
    if simple {
        put_query(out, &text);
    } else {
        for _ in 0..=dice.roll(2) {
            // What comes before the COPY in its batch; after one that is refused it is skipped.
            if dice.roll(3) == 0 {
                step(out, [READ, REFUSED][usize::from(dice.roll(6) == 0)], dice.roll(2) == 0);
            }
        }
        step(out, &text, dice.roll(2) == 0);
    }
    if copies {
        for _ in 0..dice.roll(6) {
            match dice.roll(3) {
                0 => put(out, b'S', |_| {}),
                1 => put(out, b'H', |_| {}),
                _ => put(out, b'd', |out| out.extend_from_slice(b"1\n")),
            }
        }
        put(out, b"cf"[dice.roll(2)], |out| out.extend_from_slice(b"\0"));
    }
    if !simple {
        put(out, b'S', |_| {});
    }
}

fn step(out: &mut Vec<u8>, text: &[u8], described: bool) {
    put_parse(out, b"", text, &[]);
    put(out, b'B', |out| out.extend_from_slice(&[0; 8]));
    if described {
        put_describe_portal(out, b"");
    }
    put_execute(out, b"", 0);
}

/// The message types, and what the rows hold.
fn told(mut bytes: &[u8]) -> (String, usize) {
    let (mut tags, mut opened) = (String::new(), 0);
    while let Ok(Peek::Whole(frame)) = peek(bytes) {
        tags.push(char::from(frame.tag()));
        opened += usize::from(frame.tag() == b'D' && frame.body().ends_with(OPENED));
        bytes = &bytes[frame.len()..];
    }
    (tags, opened)
}

fn directly(client: &[u8]) -> String {
    let (mut server, mut answer) = (Server::new(), Vec::new());
    server.serve(&mut client.to_vec(), usize::MAX, &mut answer);
    told(&answer).0
}

fn through_the_gate(dice: &mut Choices<'_>, client: &[u8]) -> Result<(String, usize), String> {
    let (mut session, mut shop, mut server) = (session(1 << 16), workshop(), Server::new());
    let (mut journal, mut sink) = (Journal::new("test".to_owned(), 1), Nowhere);
    let (mut unsent, mut from_client, mut to_server) = (client.to_vec(), Vec::new(), Vec::new());
    let (mut from_server, mut to_client) = (Vec::new(), Vec::new());
    let mut quiet = 0;
    while quiet < 120 {
        let before = (unsent.len(), from_client.len(), to_server.len(), from_server.len());
        match dice.roll(4) {
            0 => from_client.extend(unsent.drain(..dice.roll(unsent.len() + 1))),
            1 => server.serve(&mut to_server, dice.roll(4), &mut from_server),
            2 => {
                let step = |input: &[u8], out: &mut Vec<u8>| session.request(&mut shop, input, out);
                walk(dice, &mut from_client, &mut to_server, step).map_err(|()| "ended by a request")?;
            }
            _ => {
                let step = |input: &[u8], out: &mut Vec<u8>| session.response(&mut shop, input, out, 0);
                walk(dice, &mut from_server, &mut to_client, step)
                    .map_err(|()| format!("ended by an answer after {}", told(&to_client).0))?;
            }
        }
        if let Some(errand) = session.take_errand() {
            session.take_finding(errand.run());
        }
        for record in session.take_records() {
            let entry = Entry { record, time_us: 0 };
            if matches!(entry.record, Record::Intent(_)) {
                for receipt in journal.commit(&mut sink, &[entry]).unwrap() {
                    session.acknowledge(Ok(receipt));
                }
            }
        }
        let after = (unsent.len(), from_client.len(), to_server.len(), from_server.len());
        // What the bytes decide may well be to do nothing for long.
        quiet = if before == after && !dice.are_told() { quiet + 1 } else { 0 };
    }
    if !session.is_idle() || !from_client.is_empty() {
        return Err(format!("never settles after {}", told(&to_client).0));
    }
    Ok(told(&to_client))
}

/// Plays what `dice` tell; the types of the answers and how many rows were open.
///
/// # Panics
/// Where the gate's answers are not the server's.
fn compare(dice: &mut Choices<'_>) -> (String, usize) {
    let mut client = Vec::new();
    for _ in 0..=dice.roll(6) {
        exchange(dice, &mut client);
    }
    let (expected, asked) = (directly(&client), told(&client).0);
    match through_the_gate(dice, &client) {
        Ok((tags, opened)) => {
            assert_eq!(tags, expected, "for {asked}");
            assert_eq!(opened, tags.matches('D').count(), "every row is open, for {asked}");
            (tags, opened)
        }
        Err(what) => panic!("{what}, directly {expected}, for {asked}"),
    }
}

/// What a client asks, how a server that is PostgreSQL answers and when is `data`'s choice.
///
/// # Panics
/// Where the client is told anything else than directly: that is what a fuzzer looks for.
pub fn fuzz_answers(data: &[u8]) {
    compare(&mut Choices::told(data.get(..DECISIONS_MAX).unwrap_or(data)));
}

#[test]
fn a_copy_that_fails_anywhere_leaves_every_answer_in_its_place() {
    let (mut failed, mut rows) = (0, 0);
    for seed in 0..1_500 {
        let (tags, opened) = compare(&mut Choices::seeded(seed));
        failed += usize::from(tags.contains("GEZZ"));
        rows += opened;
    }
    assert!(failed > 50 && rows > 500, "the interesting orders must occur: {failed}, {rows}");
}
