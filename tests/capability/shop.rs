//! A small shop that several capabilities make their claims about: customers with a column
//! of each mode, and orders in which nothing is classified.

use sealgate::store::postgres::Throwaway;
use serde_json::Value;

use crate::harness::{Frame, Gate, Raw, Setup, Tap, await_that, pg};

pub const SCHEMA: &str = "CREATE TABLE customers \
    (id int PRIMARY KEY, email text UNIQUE, phone text, city text, note text); \
    CREATE TABLE orders (id int PRIMARY KEY, item text, blob bytea);";

/// A server with the shop's tables, empty.
pub fn server(major: u32) -> Throwaway {
    let server = pg(major);
    server.execute("postgres", SCHEMA).unwrap();
    server
}

/// Classifies the shop: `email` for equality, `phone` at random, `city` recorded alone.
pub fn classified(setup: Setup) -> Setup {
    setup.field("public.customers", "email", "equality").field("public.customers", "phone", "random").field(
        "public.customers",
        "city",
        "none",
    )
}

/// The program before a tap before the shop.
pub fn open(server: &Throwaway) -> (Gate, Tap) {
    let tap = Tap::before(server.address());
    (classified(Setup::before(tap.address())).start(), tap)
}

/// The detectors that need to learn nothing, as they are where nothing else is said.
pub const DETECTORS: &str = "\n[[watch.detector]]\nkind = \"failed-logins\"\n[[watch.detector]]\nkind = \"refusals\"\n\
    [[watch.detector]]\nkind = \"errors\"\n[[watch.detector]]\nkind = \"injection\"\n";

/// The program before a tap before the shop, with those detectors.
pub fn watched(server: &Throwaway) -> (Gate, Tap) {
    let tap = Tap::before(server.address());
    (classified(Setup::before(tap.address())).extra(DETECTORS).start(), tap)
}

/// None of [`DETECTORS`] has rung: what these clients did was no attack.
pub fn assert_quiet(gate: &Gate) {
    // The detectors are behind by a moment; what ends them tells of what they saw.
    let log = gate.log();
    let rung: Vec<&str> = log.lines().filter(|line| line.contains(" alert detector=")).collect();
    assert!(rung.is_empty(), "{rung:#?}");
}

/// The same where a client without TLS may try to log in: they see what comes in its order, so by the time at which ten
/// logins have been told that fail, they have seen all that came before.
pub fn assert_quiet_until_attacked(gate: &Gate) {
    let told = || -> Vec<String> {
        gate.log().lines().filter(|line| line.contains(" alert detector=")).map(str::to_owned).collect()
    };
    for _ in 0..10 {
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "stranger"), ("database", "postgres")]);
        assert!(std::iter::from_fn(|| raw.read()).any(|frame| frame.tag == b'E'), "nobody knows a stranger");
    }
    await_that("the alert of logins that fail", || told().iter().any(|line| line.contains("failed-logins")));
    let others: Vec<String> = told().into_iter().filter(|line| !line.contains("failed-logins")).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// The record, in order, each line in full. Panics at a line that is not a record.
pub fn records(gate: &Gate) -> Vec<Value> {
    records_in(&gate.folder().join("audit"))
}

pub fn records_in(folder: &std::path::Path) -> Vec<Value> {
    let mut segments: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments.sort();
    let texts = segments.iter().map(|path| {
        let mut text = std::fs::read_to_string(path).unwrap();
        // The last line may be on its way.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    });
    texts.flat_map(|text| in_full(&text)).collect()
}

/// The lines of a segment, each with what it names by numbers.
pub fn in_full(text: &str) -> Vec<Value> {
    let mut expansion = sealgate::audit::Expansion::default();
    text.lines().map(|line| serde_json::from_slice(&expansion.line(line.as_bytes())).unwrap()).collect()
}

/// The record, once it holds as many of a kind as are expected.
pub fn records_with(gate: &Gate, kind: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    crate::harness::await_that(&format!("{count} records of kind {kind}"), || {
        found = records(gate);
        found.iter().filter(|record| record["kind"] == kind).count() >= count
    });
    found
}

/// The message types of an answer, with the status of each ReadyForQuery.
pub fn tags(frames: &[Frame]) -> String {
    let mut text = String::new();
    for frame in frames {
        text.push(char::from(frame.tag));
        if frame.tag == b'Z' {
            text.push(char::from(frame.body[0]));
        }
    }
    text
}

/// SQLSTATE and message of every error in an answer.
pub fn errors(frames: &[Frame]) -> Vec<(String, String)> {
    let errors = frames.iter().filter(|frame| frame.tag == b'E');
    errors.map(|frame| (frame.field(b'C').unwrap(), frame.field(b'M').unwrap())).collect()
}

/// SQLSTATEs of an answer.
pub fn states(frames: &[Frame]) -> Vec<String> {
    errors(frames).into_iter().map(|(state, _)| state).collect()
}

/// The first column of every row of an answer, as text.
pub fn firsts(frames: &[Frame]) -> Vec<String> {
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(|frame| String::from_utf8_lossy(&frame.values().remove(0).unwrap_or_default()).into_owned())
        .collect()
}

pub fn holds(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}
