//! Bytes in the binary format: what the receive functions of the server make of them.

use super::ask::unhex;
use super::chance::Chance;
use super::{Differences, TYPES, ours, send_of, shown, texts};
use sealgate::catalog::Logical;
use sealgate::types::{Format, Purpose, Style};

use crate::harness::{Raw, VERSIONS, pg};

/// Values of each type, of which most are changed in some byte.
const COUNT: usize = 40;

fn changed(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = chance.below(bytes.len() as u64 + 1) as usize;
    let byte = *chance.of(&[0, 1, 2, 0x20, 0x40, 0x7f, 0x80, 0xc0, 0xd0, 0xff]);
    match chance.below(4) {
        0 => bytes.insert(at, byte),
        1 if at < bytes.len() => {
            bytes.remove(at);
        }
        _ if at < bytes.len() => bytes[at] = byte,
        _ => bytes.push(byte),
    }
    bytes
}

#[test]
fn bytes_are_received_and_sent_as_the_server_does_it() {
    let style = Style::default();
    let mut wrong = false;
    for version in VERSIONS {
        let server = pg(version);
        let mut raw = Raw::login(server.address(), "postgres", "postgres");
        raw.query("set timezone = 'UTC'; set lc_monetary = 'C'");
        let mut chance = Chance::new(u64::from(version) + 3);
        let mut differences = Differences::default();
        for (name, generate) in TYPES {
            let logical = Logical::parse(name).unwrap();
            let oid = logical.described().unwrap().0;
            raw.query(&format!("drop table if exists hold; create temp table hold (v {name})"));
            let sql = format!(
                "insert into hold values ($1) returning format('%s', v), encode({}(v), 'hex')",
                send_of(&logical)
            );
            raw.parse("s", &sql, &[oid]);
            raw.sync();
            for (text, _) in texts(*generate, &mut chance, COUNT) {
                let Ok(canonical) =
                    ours(None, Format::Text, text.as_bytes(), &logical, Purpose::Assign, &style)
                else {
                    continue;
                };
                let mut bytes = shown(&logical, &canonical, Format::Binary, &style).unwrap();
                let changes = chance.below(4);
                for _ in 0..changes {
                    bytes = changed(&bytes, &mut chance);
                }
                raw.bind("", "s", &[1], &[Some(&bytes)], &[]);
                raw.execute("", 0);
                let mut theirs = Err("none".to_owned());
                for frame in raw.sync() {
                    match frame.tag {
                        b'E' => theirs = Err(frame.field(b'C').unwrap()),
                        b'D' => {
                            let mut values = frame
                                .values()
                                .into_iter()
                                .map(|value| String::from_utf8(value.unwrap()).unwrap());
                            theirs = Ok((values.next().unwrap(), unhex(&values.next().unwrap())));
                        }
                        _ => {}
                    }
                }
                let own = ours(None, Format::Binary, &bytes, &logical, Purpose::Assign, &style);
                if own.as_deref() == Ok(b"NaN") {
                    // Which one it is nobody sees but by its bits.
                    continue;
                }
                let what = format!("{text:?} as {bytes:x?}");
                differences.compare(&logical, &what, &theirs, own, &style, changes > 0);
            }
            raw.query("deallocate s");
        }
        eprintln!("PostgreSQL {version}");
        wrong |= differences.report();
    }
    assert!(!wrong, "see above");
}
