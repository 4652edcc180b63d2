//! Sequences of messages that no driver would send, and some that good drivers do.

use super::form::{TEXT, TEXTS, binary_array};
use crate::harness::{Frame, Raw};

/// What a sequence must come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No error, and the sentinel is in row `n` when it is read back.
    Written,
    /// One error, of ours.
    Refused,
    /// Whatever the answer, the value does not show, and a session goes on or ends.
    Contained,
}

pub struct Batch {
    pub claim: &'static str,
    pub outcome: Outcome,
    pub run: fn(&mut Raw, &str, u32) -> Vec<Frame>,
}

const fn batch(claim: &'static str, outcome: Outcome, run: fn(&mut Raw, &str, u32) -> Vec<Frame>) -> Batch {
    Batch { claim, outcome, run }
}

const INSERT: &str = "INSERT INTO customers (id, email) VALUES ($1::int, $2)";

fn number_text(number: u32) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn bind_row(raw: &mut Raw, portal: &str, statement: &str, sentinel: &str, number: u32) {
    raw.bind(portal, statement, &[], &[Some(&number_text(number)), Some(sentinel.as_bytes())], &[]);
}

/// Every answer up to the `count`th ReadyForQuery, or the end.
fn settle(raw: &mut Raw, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for _ in 0..count {
        frames.extend(raw.until_ready());
    }
    frames
}

/// Prepares `statement` as the INSERT, in a batch of its own.
fn prepared(raw: &mut Raw, statement: &str) {
    raw.close(b'S', statement);
    raw.parse(statement, INSERT, &[]);
    let frames = raw.sync();
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{:?}", frames[0].field(b'M'));
}

fn with_type(raw: &mut Raw, oid: u32, sentinel: &str, number: u32) -> Vec<Frame> {
    raw.parse("", INSERT, &[0, oid]);
    bind_row(raw, "", "", sentinel, number);
    raw.execute("", 0);
    raw.sync()
}

fn with_array(raw: &mut Raw, oid: u32, format: u16, bytes: &[u8]) -> Vec<Frame> {
    raw.parse("", "SELECT id FROM customers WHERE email = ANY($1)", &[oid]);
    raw.bind("", "", &[format], &[Some(bytes)], &[]);
    raw.execute("", 0);
    raw.sync()
}

/// A reading changed by `change`, and a text that is read otherwise under it.
fn under(raw: &mut Raw, change: &str, text: &[u8], back: &str) -> Vec<Frame> {
    raw.query(change);
    raw.send(b'Q', &[text, &[0]].concat());
    let frames = raw.until_ready();
    raw.query(back);
    frames
}

/// A reading changed in the same batch as the text.
fn under_in_batch(raw: &mut Raw, change: &str, text: &[u8], back: &str) -> Vec<Frame> {
    raw.parse("", change, &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
    let body = [&[0][..], text, &[0, 0, 0]].concat();
    raw.send(b'P', &body);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
    let frames = raw.sync();
    raw.query(back);
    frames
}

const OFF: &str = "SET standard_conforming_strings = off";
const ON: &str = "SET standard_conforming_strings = on";

fn backslash(sentinel: &str, number: u32) -> Vec<u8> {
    format!("INSERT INTO customers (id, note, email) VALUES ({number}, '\\', '\\', '{sentinel}')")
        .into_bytes()
}

fn japanese(sentinel: &str, number: u32) -> Vec<u8> {
    // In SJIS the second byte of the first letter is a backslash.
    let (head, tail) =
        (format!("INSERT INTO customers (id, email) VALUES ({number}, '"), format!("{sentinel}')"));
    [head.as_bytes(), &[0x83, 0x5C], tail.as_bytes()].concat()
}

/// Definitions in a transaction, and what follows them in it; all of it is rolled back.
fn in_transaction(raw: &mut Raw, definition: &str, then: &str) -> Vec<Frame> {
    raw.query("BEGIN");
    let mut frames = raw.query(definition);
    // Where the definition is refused already, what was to follow means something else.
    if frames.iter().all(|frame| frame.tag != b'E') {
        frames = raw.query(then);
    }
    raw.query("ROLLBACK");
    frames
}

pub const BATCHES: &[Batch] = &[
    batch("EXECUTE of a protocol statement", Outcome::Written, |raw, s, n| {
        prepared(raw, "s1");
        raw.query(&format!("EXECUTE s1({n}, '{s}')"))
    }),
    batch("EXECUTE of a protocol statement, quoted", Outcome::Written, |raw, s, n| {
        prepared(raw, "S 1");
        raw.query(&format!("EXECUTE \"S 1\"({n}, '{s}')"))
    }),
    batch("EXPLAIN ANALYZE EXECUTE of a protocol statement", Outcome::Written, |raw, s, n| {
        prepared(raw, "s1");
        raw.query(&format!("EXPLAIN ANALYZE EXECUTE s1({n}, '{s}')"))
    }),
    batch("CREATE TABLE AS EXECUTE of a protocol statement", Outcome::Refused, |raw, s, n| {
        prepared(raw, "s1");
        raw.query(&format!("CREATE TABLE t{n} AS EXECUTE s1({n}, '{s}')"))
    }),
    batch("EXECUTE of a statement that is prepared in the same write", Outcome::Written, |raw, s, n| {
        raw.close(b'S', "s2");
        raw.parse("s2", INSERT, &[]);
        raw.parse("", &format!("EXECUTE s2({n}, '{s}')"), &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch(
        "a statement's name of 64 letters, bound by another with the same 63",
        Outcome::Contained,
        |raw, s, n| {
            let name = "n".repeat(63);
            prepared(raw, &format!("{name}x"));
            bind_row(raw, "", &format!("{name}y"), s, n);
            raw.execute("", 0);
            let frames = raw.sync();
            raw.close(b'S', &format!("{name}x"));
            raw.sync();
            frames
        },
    ),
    batch("a statement's name of 64 letters, bound by its first 63", Outcome::Contained, |raw, s, n| {
        let name = "m".repeat(63);
        prepared(raw, &format!("{name}x"));
        bind_row(raw, "", &name, s, n);
        raw.execute("", 0);
        let frames = raw.sync();
        raw.close(b'S', &name);
        raw.sync();
        frames
    }),
    batch("EXECUTE of the first 63 letters of a statement's name", Outcome::Contained, |raw, s, n| {
        let name = "o".repeat(63);
        prepared(raw, &format!("{name}x"));
        let frames = raw.query(&format!("EXECUTE {name}({n}, '{s}')"));
        raw.close(b'S', &name);
        raw.sync();
        frames
    }),
    batch("EXECUTE of a name that SQL cuts", Outcome::Contained, |raw, s, n| {
        let name = "p".repeat(63);
        prepared(raw, &name);
        raw.query(&format!("EXECUTE {name}yz({n}, '{s}')"))
    }),
    batch("a Parse that fails leaves the judged statement", Outcome::Written, |raw, s, n| {
        prepared(raw, "s3");
        raw.parse("s3", "SELECT $1::text, $2::text", &[]);
        raw.send(b'S', &[]);
        bind_row(raw, "", "s3", s, n);
        raw.execute("", 0);
        raw.send(b'S', &[]);
        // The first answer is the error of the Parse.
        settle(raw, 1);
        settle(raw, 1)
    }),
    batch("a Parse that is skipped leaves the unnamed statement", Outcome::Written, |raw, s, n| {
        prepared(raw, "");
        raw.bind("", "nothing of this name", &[], &[], &[]);
        raw.parse("", "SELECT $1::text, $2::text", &[]);
        raw.send(b'S', &[]);
        bind_row(raw, "", "", s, n);
        raw.execute("", 0);
        raw.send(b'S', &[]);
        settle(raw, 1);
        settle(raw, 1)
    }),
    batch("a Close that is skipped leaves the statement", Outcome::Written, |raw, s, n| {
        prepared(raw, "s5");
        raw.bind("", "nothing of this name", &[], &[], &[]);
        raw.close(b'S', "s5");
        raw.send(b'S', &[]);
        bind_row(raw, "", "s5", s, n);
        raw.execute("", 0);
        raw.send(b'S', &[]);
        settle(raw, 1);
        settle(raw, 1)
    }),
    // Whoever does not wait for the answer means the value for what was refused.
    batch("a refused Parse leaves its name without values", Outcome::Contained, |raw, s, n| {
        prepared(raw, "s6");
        raw.parse("s6", &format!("INSERT INTO customers (id, email) VALUES (1, reverse('{s}'))"), &[]);
        raw.sync();
        bind_row(raw, "", "s6", s, n);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a refused Parse before a Bind of the same batch", Outcome::Refused, |raw, s, n| {
        prepared(raw, "");
        raw.parse("", "INSERT INTO customers (id, email) VALUES ($1, reverse($2))", &[]);
        bind_row(raw, "", "", s, n);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("DEALLOCATE and the name again", Outcome::Written, |raw, s, n| {
        prepared(raw, "s7");
        raw.query("DEALLOCATE s7");
        raw.parse("s7", INSERT, &[]);
        bind_row(raw, "", "s7", s, n);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("DISCARD ALL and the name again", Outcome::Written, |raw, s, n| {
        prepared(raw, "s8");
        raw.query("DISCARD ALL");
        prepared(raw, "s8");
        bind_row(raw, "", "s8", s, n);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a name that SQL prepared for something else", Outcome::Contained, |raw, s, n| {
        raw.query("PREPARE s9 AS SELECT 1");
        raw.parse("s9", INSERT, &[]);
        bind_row(raw, "", "s9", s, n);
        raw.execute("", 0);
        let frames = raw.sync();
        raw.query("DEALLOCATE s9");
        frames
    }),
    batch("the unnamed statement redefined several times", Outcome::Written, |raw, s, n| {
        raw.parse("", "SELECT $1::text, $2::text", &[]);
        raw.bind("", "", &[], &[Some(b"a"), Some(b"b")], &[]);
        raw.execute("", 0);
        raw.parse("", INSERT, &[]);
        bind_row(raw, "", "", s, n);
        raw.execute("", 0);
        raw.parse("", "SELECT $1::text", &[]);
        raw.bind("", "", &[], &[Some(b"a")], &[]);
        raw.execute("", 0);
        raw.parse("", "UPDATE customers SET email = $2 WHERE id = $1::int", &[]);
        bind_row(raw, "", "", s, n);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a named statement used again", Outcome::Written, |raw, s, n| {
        prepared(raw, "s10");
        for round in 0..3 {
            bind_row(raw, "", "s10", &format!("{s}{round}"), n + 50_000_000 + 1_000_000 * round);
            raw.execute("", 0);
        }
        bind_row(raw, "", "s10", s, n);
        raw.execute("", 0);
        raw.sync()
    }),
    // Code that nobody follows keeps the index of `email`, and runs in one of them: the other may be what it made.
    batch("portals with row limits, side by side", Outcome::Contained, |raw, s, n| {
        prepared(raw, "s11");
        bind_row(raw, "", "s11", s, n);
        raw.execute("", 0);
        raw.parse("s12", "SELECT email FROM customers WHERE email IN ($1, 'nobody') OR id < 0", &[]);
        raw.bind("a", "s12", &[], &[Some(s.as_bytes())], &[]);
        raw.bind("b", "s12", &[1], &[Some(s.as_bytes())], &[1]);
        for portal in ["a", "b", "a", "b"] {
            raw.execute(portal, 1);
        }
        raw.close(b'S', "s12");
        raw.sync()
    }),
    batch("a Query in the middle of a batch", Outcome::Contained, |raw, s, n| {
        prepared(raw, "s13");
        bind_row(raw, "", "s13", s, n);
        raw.execute("", 0);
        raw.send(b'Q', b"SELECT 1\0");
        raw.send(b'S', &[]);
        settle(raw, 2)
    }),
    batch("a Query behind an error of the same batch is skipped", Outcome::Contained, |raw, s, n| {
        raw.bind("", "nothing of this name", &[], &[], &[]);
        raw.send(b'Q', format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}')\0").as_bytes());
        raw.sync()
    }),
    batch("a message that comes byte by byte", Outcome::Written, |raw, s, n| {
        let text = format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}')\0");
        let length = u32::try_from(text.len() + 4).unwrap().to_be_bytes();
        for byte in [b"Q", &length[..], text.as_bytes()].concat() {
            raw.bytes(&[byte]);
        }
        raw.until_ready()
    }),
    batch("several statements in one text", Outcome::Written, |raw, s, n| {
        raw.query(&format!(
            "SELECT 1; INSERT INTO customers (id, email) VALUES ({n}, 'x{s}'); ; \
             UPDATE customers SET email = '{s}' WHERE email = 'x{s}'; SELECT id FROM customers WHERE email = '{s}'"
        ))
    }),
    batch("a transaction in one text", Outcome::Written, |raw, s, n| {
        raw.query(&format!("BEGIN; INSERT INTO customers (id, email) VALUES ({n}, '{s}'); COMMIT"))
    }),
    batch("a savepoint outlives a refusal", Outcome::Written, |raw, s, n| {
        raw.query("BEGIN; SAVEPOINT a");
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({n}, reverse('{s}'))"));
        raw.query("ROLLBACK TO a");
        let frames = raw.query(&format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}')"));
        raw.query("COMMIT");
        frames
    }),
    batch("a prepared transaction", Outcome::Written, |raw, s, n| {
        raw.query(&format!("BEGIN; INSERT INTO customers (id, email) VALUES ({n}, '{s}')"));
        let mut frames = raw.query(&format!("PREPARE TRANSACTION 'g{n}'"));
        frames.extend(raw.query(&format!("COMMIT PREPARED 'g{n}'")));
        frames
    }),
    batch("a declared type of oid", Outcome::Refused, |raw, s, n| with_type(raw, 26, s, n)),
    batch("a declared type of xml", Outcome::Refused, |raw, s, n| with_type(raw, 142, s, n)),
    batch("a declared type of bpchar", Outcome::Written, |raw, s, n| with_type(raw, 1042, s, n)),
    batch("a declared type of point", Outcome::Refused, |raw, s, n| with_type(raw, 600, s, n)),
    batch("a declared type of void", Outcome::Refused, |raw, s, n| with_type(raw, 2278, s, n)),
    batch("a declared type of varchar", Outcome::Written, |raw, s, n| with_type(raw, 1043, s, n)),
    batch("a declared type of unknown", Outcome::Written, |raw, s, n| with_type(raw, 705, s, n)),
    batch("an array declared as text", Outcome::Contained, |raw, s, _| {
        with_array(raw, TEXT, 0, format!("{{{s}}}").as_bytes())
    }),
    batch("an array with bounds", Outcome::Contained, |raw, s, _| {
        with_array(raw, TEXTS, 0, format!("[2:3]={{{s},x}}").as_bytes())
    }),
    batch("an array of two dimensions", Outcome::Contained, |raw, s, _| {
        with_array(raw, TEXTS, 0, format!("{{{{{s}}},{{x}}}}").as_bytes())
    }),
    batch("an array that does not end", Outcome::Contained, |raw, s, _| {
        with_array(raw, TEXTS, 0, format!("{{\"{s}").as_bytes())
    }),
    batch("an array with blanks and escapes", Outcome::Contained, |raw, s, _| {
        with_array(raw, TEXTS, 0, format!(" {{ NULL , \"{s}\\\"\" , \\{s} }} ").as_bytes())
    }),
    batch("no array at all", Outcome::Contained, |raw, s, _| with_array(raw, TEXTS, 0, s.as_bytes())),
    batch("a binary array with rubbish behind it", Outcome::Contained, |raw, s, _| {
        let array = binary_array(&[s.to_owned()]);
        with_array(raw, TEXTS, 1, &[&array, s.as_bytes()].concat())
    }),
    batch("a binary array of bytea", Outcome::Contained, |raw, s, _| {
        let mut array = binary_array(&[s.to_owned()]);
        array[8..12].copy_from_slice(&17_u32.to_be_bytes());
        with_array(raw, 0, 1, &array)
    }),
    batch("a binary array of more dimensions", Outcome::Contained, |raw, s, _| {
        let mut array = binary_array(&[s.to_owned()]);
        array[0..4].copy_from_slice(&7_u32.to_be_bytes());
        with_array(raw, TEXTS, 1, &array)
    }),
    batch("a binary array with a wrong length", Outcome::Contained, |raw, s, _| {
        let mut array = binary_array(&[s.to_owned()]);
        array[20..24].copy_from_slice(&7_u32.to_be_bytes());
        with_array(raw, TEXTS, 1, &array)
    }),
    batch("fewer values than parameters", Outcome::Contained, |raw, s, _| {
        raw.parse("", "INSERT INTO customers (email, id) VALUES ($1, $2::int)", &[]);
        raw.bind("", "", &[], &[Some(s.as_bytes())], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("more format codes than values", Outcome::Contained, |raw, s, n| {
        prepared(raw, "s14");
        raw.bind("", "s14", &[0, 0, 1, 1], &[Some(&number_text(n)), Some(s.as_bytes())], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("an unknown format code", Outcome::Refused, |raw, s, n| {
        prepared(raw, "s14");
        raw.bind("", "s14", &[0, 7], &[Some(&number_text(n)), Some(s.as_bytes())], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a value that is not UTF-8", Outcome::Refused, |raw, s, n| {
        prepared(raw, "s14");
        let value = [s.as_bytes(), &[0xFF]].concat();
        raw.bind("", "s14", &[], &[Some(&number_text(n)), Some(&value)], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a value with a zero byte", Outcome::Contained, |raw, s, n| {
        prepared(raw, "s14");
        let value = [b"\0", s.as_bytes()].concat();
        raw.bind("", "s14", &[], &[Some(&number_text(n)), Some(&value)], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a text that is not UTF-8", Outcome::Refused, |raw, s, n| {
        let text = format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}");
        raw.send(b'Q', &[text.as_bytes(), &[0xC3, 0x28], b"')\0"].concat());
        raw.until_ready()
    }),
    batch("characters beyond ASCII in a literal", Outcome::Written, |raw, s, n| {
        raw.query(&format!("INSERT INTO customers (id, ssn, email) VALUES ({n}, 'Zoë {s} 日本 🂡', '{s}')"))
    }),
    batch("characters beyond ASCII in a parameter", Outcome::Written, |raw, s, n| {
        raw.parse("", "INSERT INTO customers (id, ssn, email) VALUES ($1::int, $3, $2)", &[]);
        let other = format!("Zoë {s} 日本 🂡");
        raw.bind("", "", &[], &[Some(&number_text(n)), Some(s.as_bytes()), Some(other.as_bytes())], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a value of 100 kB in a parameter", Outcome::Written, |raw, s, n| {
        let long = super::sentinels::letters(50_000) + s + &super::sentinels::letters(50_000);
        raw.parse("", "INSERT INTO customers (id, ssn, email) VALUES ($1::int, $3, $2)", &[]);
        raw.bind("", "", &[], &[Some(&number_text(n)), Some(s.as_bytes()), Some(long.as_bytes())], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a value of 100 kB in a literal", Outcome::Written, |raw, s, n| {
        let long = super::sentinels::letters(50_000) + s + &super::sentinels::letters(50_000);
        raw.query(&format!("INSERT INTO customers (id, ssn, email) VALUES ({n}, '{long}', '{s}')"))
    }),
    batch("a text of 2 MB", Outcome::Refused, |raw, s, n| {
        let rest = " ".repeat(2 << 20);
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}'){rest}"))
    }),
    batch("a Query beyond the largest frame", Outcome::Refused, |raw, s, n| {
        let rest = " ".repeat(17 << 20);
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}'){rest}"))
    }),
    batch("a Parse beyond the largest frame", Outcome::Refused, |raw, s, n| {
        let rest = " ".repeat(17 << 20);
        raw.parse("", &format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}'){rest}"), &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("a Bind beyond the largest frame", Outcome::Refused, |raw, s, n| {
        let rest = "x".repeat(17 << 20);
        prepared(raw, "s14");
        bind_row(raw, "", "s14", &format!("{s}{rest}"), n);
        raw.execute("", 0);
        raw.sync()
    }),
    batch("36,000 plus signs", Outcome::Refused, |raw, s, n| {
        let sum = "1+".repeat(36_000);
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({sum}{n}, '{s}')"))
    }),
    batch("36,000 minus signs", Outcome::Refused, |raw, s, n| {
        let sum = "- ".repeat(36_000);
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({sum}{n}, '{s}')"))
    }),
    batch("20,000 brackets", Outcome::Refused, |raw, s, n| {
        let (open, close) = ("(".repeat(20_000), ")".repeat(20_000));
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({n}, {open}'{s}'{close})"))
    }),
    batch("20,000 casts", Outcome::Refused, |raw, s, n| {
        let casts = "::text".repeat(20_000);
        raw.query(&format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}'{casts})"))
    }),
    batch("20,000 NOTs", Outcome::Refused, |raw, s, _| {
        let nots = "NOT ".repeat(20_000);
        raw.query(&format!("SELECT id FROM customers WHERE {nots} email = '{s}'"))
    }),
    batch("5,000 nested selects", Outcome::Refused, |raw, s, _| {
        let (open, close) = ("SELECT * FROM (".repeat(5_000), ") x".repeat(5_000));
        raw.query(&format!("{open}SELECT id FROM customers WHERE email = '{s}'{close}"))
    }),
    batch("a zero byte within a Query", Outcome::Contained, |raw, s, n| {
        raw.send(
            b'Q',
            format!("SELECT 1\0; INSERT INTO customers (id, email) VALUES ({n}, '{s}')\0").as_bytes(),
        );
        raw.until_ready()
    }),
    batch("a zero byte within a Parse", Outcome::Contained, |raw, s, n| {
        let text = format!("\0SELECT 1\0; INSERT INTO customers (id, email) VALUES ({n}, '{s}')\0\0\0");
        raw.send(b'P', text.as_bytes());
        raw.sync()
    }),
    batch("a Query without its zero byte", Outcome::Contained, |raw, s, n| {
        raw.send(b'Q', format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}')").as_bytes());
        raw.until_ready()
    }),
    batch("COPY FROM STDIN", Outcome::Written, |raw, s, n| {
        let mut bytes = frame(b'Q', b"COPY customers (id, email) FROM STDIN\0");
        bytes.extend(frame(b'd', format!("{n}\t{s}").as_bytes()));
        bytes.extend(frame(b'd', b"\n\\.\nbehind"));
        bytes.extend(frame(b'c', &[]));
        raw.bytes(&bytes);
        settle(raw, 1)
    }),
    batch("COPY FROM STDIN in binary", Outcome::Written, |raw, s, n| {
        raw.send(b'Q', b"COPY customers (email, id) FROM STDIN BINARY\0");
        let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02".to_vec();
        data.extend(u32::try_from(s.len()).unwrap().to_be_bytes());
        data.extend(s.as_bytes());
        data.extend([0, 0, 0, 4]);
        data.extend(n.to_be_bytes());
        data.extend([0xff, 0xff]);
        // In two pieces, neither of which is cut within the value.
        raw.send(b'd', &data[..21]);
        raw.send(b'd', &data[21..]);
        raw.send(b'c', &[]);
        raw.until_ready()
    }),
    batch("the data of a COPY that fails", Outcome::Contained, |raw, s, n| {
        raw.send(b'Q', b"COPY customers (id, email) FROM STDIN\0");
        raw.send(b'd', format!("no number\t{s}\n").as_bytes());
        for _ in 0..50 {
            raw.send(b'd', format!("{n}\t{s}\n").as_bytes());
        }
        raw.send(b'c', &[]);
        raw.until_ready()
    }),
    batch("a column too many in the data of a COPY", Outcome::Contained, |raw, s, n| {
        raw.send(b'Q', b"COPY customers (id, email) FROM STDIN CSV\0");
        raw.send(b'd', format!("{n},x,{s}\n").as_bytes());
        raw.send(b'c', &[]);
        raw.until_ready()
    }),
    batch("COPY FROM STDIN with its data in the same write", Outcome::Contained, |raw, s, n| {
        let row = format!("{n}\t{s}\n");
        let mut bytes = frame(b'Q', b"COPY customers (id, email) FROM STDIN\0");
        bytes.extend(frame(b'd', row.as_bytes()));
        bytes.extend(frame(b'c', &[]));
        bytes.extend(frame(b'Q', b"SELECT 1\0"));
        raw.bytes(&bytes);
        settle(raw, 2)
    }),
    batch("COPY FROM STDIN, extended, with its data in the same write", Outcome::Contained, |raw, s, n| {
        raw.parse("", "COPY customers (id, email) FROM STDIN CSV", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        raw.send(b'd', format!("{n},{s}\n").as_bytes());
        raw.send(b'c', &[]);
        raw.sync()
    }),
    batch("FunctionCall", Outcome::Contained, |raw, s, n| {
        let found = raw.query("SELECT oid FROM pg_proc WHERE proname = 'write_' || 'sql'");
        let row = found.iter().find(|frame| frame.tag == b'D').unwrap().values();
        let oid: u32 = String::from_utf8(row[0].clone().unwrap()).unwrap().parse().unwrap();
        let mut body = oid.to_be_bytes().to_vec();
        body.extend([0, 0, 0, 2]);
        for value in [number_text(n), s.as_bytes().to_vec()] {
            body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(value);
        }
        body.extend([0, 0]);
        raw.send(b'F', &body);
        raw.until_ready()
    }),
    batch("FETCH from a protocol portal", Outcome::Contained, |raw, s, n| {
        raw.query(&format!("BEGIN; INSERT INTO customers (id, email) VALUES ({n}, '{s}')"));
        raw.parse("", "SELECT id, email FROM customers WHERE email = $1", &[]);
        raw.bind("pp", "", &[], &[Some(s.as_bytes())], &[]);
        raw.sync();
        raw.query("FETCH 1 FROM pp")
    }),
    batch("EXECUTE of a statement whose PREPARE was refused", Outcome::Refused, |raw, s, n| {
        raw.query("PREPARE \"Q 1\"(int, text) AS INSERT INTO customers (id, email) VALUES ($1, reverse($2))");
        raw.query(&format!("EXECUTE \"Q 1\"({n}, '{s}')"))
    }),
    batch("EXECUTE of a refused PREPARE whose name was escaped", Outcome::Contained, |raw, s, n| {
        raw.query("PREPARE /* a /* b */ */ U&\"q\\0035\"(int, text) AS INSERT INTO customers (id, email) VALUES ($1, reverse($2))");
        raw.query(&format!("EXECUTE q5({n}, '{s}')"))
    }),
    batch("PREPARE and EXECUTE by SQL", Outcome::Written, |raw, s, n| {
        let prepare = "PREPARE q6(int, text) AS INSERT INTO customers (id, email) VALUES ($1, $2)";
        raw.query(&format!("{prepare}; EXECUTE q6({n}, '{s}'); DEALLOCATE q6"))
    }),
    batch("EXECUTE in the same write as its PREPARE", Outcome::Written, |raw, s, n| {
        let prepare = "PREPARE \"Q 7\"(int, text) AS INSERT INTO customers (id, email) VALUES ($1, $2)\0";
        let mut bytes = frame(b'Q', prepare.as_bytes());
        bytes.extend(frame(b'Q', format!("EXECUTE \"Q 7\"({n}, E'{s}')\0").as_bytes()));
        bytes.extend(frame(b'Q', b"DEALLOCATE \"Q 7\"\0"));
        raw.bytes(&bytes);
        settle(raw, 3)
    }),
    batch("Bind to a statement of SQL", Outcome::Written, |raw, s, n| {
        raw.query("PREPARE q8 AS INSERT INTO customers (id, email) VALUES ($1::int, $2)");
        bind_row(raw, "", "q8", s, n);
        raw.execute("", 0);
        let frames = raw.sync();
        raw.query("DEALLOCATE q8");
        frames
    }),
    batch("EXECUTE of a statement whose Parse was refused", Outcome::Refused, |raw, s, _| {
        raw.parse("q2", "SELECT id FROM customers WHERE lower(email) = $1", &[]);
        raw.sync();
        raw.query(&format!("EXECUTE q2('{s}')"))
    }),
    batch(
        "EXECUTE in the same write as its refused PREPARE, closed before",
        Outcome::Contained,
        |raw, s, n| {
            let prepare =
                "PREPARE q3(int, text) AS INSERT INTO customers (id, email) VALUES ($1, reverse($2))\0";
            let mut bytes = frame(b'C', b"Sq3\0");
            bytes.extend(frame(b'S', b""));
            bytes.extend(frame(b'Q', prepare.as_bytes()));
            bytes.extend(frame(b'Q', format!("EXECUTE q3({n}, '{s}')\0").as_bytes()));
            raw.bytes(&bytes);
            settle(raw, 3)
        },
    ),
    batch("Bind to a refused Parse behind a Close of the same name", Outcome::Contained, |raw, s, n| {
        prepared(raw, "s19");
        raw.cork();
        raw.close(b'S', "s19");
        raw.send(b'S', b"");
        raw.parse("s19", "INSERT INTO customers (id, email) VALUES ($1::int, reverse($2))", &[]);
        raw.send(b'S', b"");
        bind_row(raw, "", "s19", s, n);
        raw.execute("", 0);
        raw.send(b'S', b"");
        settle(raw, 3)
    }),
    batch("strings without their standard, by SET", Outcome::Contained, |raw, s, n| {
        under(raw, OFF, &backslash(s, n), ON)
    }),
    batch("strings without their standard, by set_config", Outcome::Contained, |raw, s, n| {
        under(
            raw,
            "SELECT set_config('standard_' || 'conforming_strings', 'off', false)",
            &backslash(s, n),
            ON,
        )
    }),
    batch("strings without their standard, by DO", Outcome::Contained, |raw, s, n| {
        under(raw, "DO $$ BEGIN SET standard_conforming_strings = off; END $$", &backslash(s, n), ON)
    }),
    batch("strings without their standard, by a function", Outcome::Contained, |raw, s, n| {
        under(raw, "SELECT loosen()", &backslash(s, n), ON)
    }),
    batch("strings without their standard, in the same batch", Outcome::Contained, |raw, s, n| {
        under_in_batch(raw, OFF, &backslash(s, n), ON)
    }),
    batch(
        "strings without their standard, by a function of the same batch",
        Outcome::Contained,
        |raw, s, n| under_in_batch(raw, "SELECT loosen()", &backslash(s, n), ON),
    ),
    batch(
        "strings without their standard, by ROLLBACK of the same batch",
        Outcome::Contained,
        |raw, s, n| {
            raw.query(OFF);
            raw.query("BEGIN; SET standard_conforming_strings = on");
            let frames = under_in_batch(raw, "ROLLBACK", &backslash(s, n), "ROLLBACK");
            raw.query(ON);
            frames
        },
    ),
    batch("strings without their standard, in the same write", Outcome::Contained, |raw, s, n| {
        let mut bytes = frame(b'Q', &[OFF.as_bytes(), &[0]].concat());
        bytes.extend(frame(b'Q', &[&backslash(s, n)[..], &[0]].concat()));
        raw.bytes(&bytes);
        let frames = settle(raw, 2);
        raw.query(ON);
        frames
    }),
    batch("a literal that ends with a backslash", Outcome::Contained, |raw, s, n| {
        under(raw, OFF, format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}\\'')").as_bytes(), ON)
    }),
    batch("a literal under loose strings", Outcome::Written, |raw, s, n| {
        under(raw, OFF, format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}')").as_bytes(), ON)
    }),
    batch("a backslash in SJIS", Outcome::Refused, |raw, s, n| {
        under(raw, "SET client_encoding = 'SJIS'", &japanese(s, n), "SET client_encoding = 'UTF8'")
    }),
    batch("a backslash in SJIS in the same batch", Outcome::Refused, |raw, s, n| {
        under_in_batch(raw, "SET NAMES 'SJIS'", &japanese(s, n), "SET client_encoding = 'UTF8'")
    }),
    batch("a letter in LATIN1", Outcome::Contained, |raw, s, n| {
        let (head, tail) = (format!("INSERT INTO customers (id, email) VALUES ({n}, '"), format!("{s}')"));
        let text = [head.as_bytes(), &[0xE9], tail.as_bytes()].concat();
        under(raw, "SET client_encoding = 'LATIN1'", &text, "SET client_encoding = 'UTF8'")
    }),
    batch("ASCII under another encoding", Outcome::Contained, |raw, s, n| {
        let text = format!("INSERT INTO customers (id, email) VALUES ({n}, '{s}')");
        under(raw, "SET client_encoding = 'SJIS'", text.as_bytes(), "SET client_encoding = 'UTF8'")
    }),
    batch("a dropped column in a transaction", Outcome::Refused, |raw, s, _| {
        in_transaction(
            raw,
            "ALTER TABLE customers DROP COLUMN id CASCADE",
            &format!("INSERT INTO customers VALUES ('{s}', 'x')"),
        )
    }),
    batch("a table made before, in one text", Outcome::Contained, |raw, s, n| {
        let text =
            format!("CREATE TABLE planned (id int, email text); INSERT INTO planned VALUES ({n}, '{s}')");
        in_transaction(raw, "SELECT 1", &text)
    }),
    batch("a table made anew in another order, in one text", Outcome::Contained, |raw, s, n| {
        let text = format!(
            "DROP TABLE leads; CREATE TABLE leads (email text, id int); INSERT INTO leads VALUES ('{s}', {n})"
        );
        in_transaction(raw, "SELECT 1", &text)
    }),
    batch("a table made anew in another order in a transaction", Outcome::Contained, |raw, s, n| {
        in_transaction(
            raw,
            "DROP TABLE leads; CREATE TABLE leads (email text, id int)",
            &format!("INSERT INTO leads VALUES ('{s}', {n})"),
        )
    }),
    batch("a temporary table in another order in a transaction", Outcome::Refused, |raw, s, n| {
        in_transaction(
            raw,
            "CREATE TEMP TABLE customers (email text, id int)",
            &format!("INSERT INTO customers VALUES ('{s}', {n})"),
        )
    }),
    batch("a temporary table that shadows", Outcome::Refused, |raw, s, n| {
        let mut frames = raw.query("CREATE TEMP TABLE customers (email text, id int)");
        if frames.iter().all(|frame| frame.tag != b'E') {
            frames = raw.query(&format!("INSERT INTO customers VALUES ('{s}', {n})"));
        }
        raw.query("DROP TABLE IF EXISTS pg_temp.customers");
        frames
    }),
    batch("a renamed column in a transaction", Outcome::Refused, |raw, s, n| {
        in_transaction(
            raw,
            "ALTER VIEW customers RENAME COLUMN email TO harmless",
            &format!("INSERT INTO customers (id, harmless) VALUES ({n}, lower('{s}'))"),
        )
    }),
    batch("a renamed view in a transaction", Outcome::Contained, |raw, s, n| {
        let harmless = format!("INSERT INTO harmless (id, email) VALUES ({n}, '{s}')");
        raw.query("BEGIN");
        let frames = raw.query("ALTER VIEW customer_list RENAME TO harmless");
        if frames.iter().all(|frame| frame.tag != b'E') {
            raw.query(&harmless);
        }
        raw.query("ROLLBACK");
        frames
    }),
    batch(
        "a prepared INSERT without columns, after a column was dropped",
        Outcome::Contained,
        |raw, s, _| {
            raw.close(b'S', "s15");
            raw.parse("s15", "INSERT INTO customers VALUES ($1, $2)", &[]);
            raw.sync();
            raw.query("BEGIN");
            raw.query("ALTER TABLE customers DROP COLUMN id CASCADE");
            raw.bind("", "s15", &[], &[Some(s.as_bytes()), Some(b"x")], &[]);
            raw.execute("", 0);
            let frames = raw.sync();
            raw.query("ROLLBACK");
            frames
        },
    ),
    batch("a sealed literal behind a definition of the same text", Outcome::Contained, |raw, s, n| {
        in_transaction(
            raw,
            "SELECT 1",
            &format!(
                "ALTER TABLE customers ADD COLUMN more int; INSERT INTO customers (id, email) VALUES ({n}, '{s}')"
            ),
        )
    }),
];

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}
