//! The fuzz entries of this room, run for a moment as an ordinary test over deterministic
//! mutations of sound messages.

use super::backend::fuzz_backend;
use super::frame::{fuzz_frames, put};
use super::frontend::{fuzz_frontend, put_execute, put_parse, put_query, put_value};
use super::startup::fuzz_startup;
use super::value::{map_binary_array, map_text_array};
use super::{Malformed, compose};

/// Xorshift (Marsaglia 2003): a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }
}

/// Sound messages of every kind that is read here.
fn seeds() -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    put_parse(&mut stream, b"s", b"SELECT $1", &[25, 0]);
    put_execute(&mut stream, b"p", 7);
    put_query(&mut stream, b"SELECT 1");
    let text = compose::ErrorText {
        severity: "ERROR",
        sqlstate: "SG001",
        message: "m",
        detail: None,
        hint: Some("h"),
    };
    compose::put_error(&mut stream, text);
    let mut row = vec![0, 2];
    put_value(&mut row, Some(b"value"));
    put_value(&mut row, None);
    put(&mut stream, b'D', |out| out.extend_from_slice(&row));
    let bodies: [&[u8]; 8] = [
        b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\x01",
        b"\0\x01email\0\0\0\x40\x01\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\x01",
        b"SERROR\0VERROR\0C42601\0Mx\0\0",
        b"client_encoding\0UTF8\0",
        b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
        b"\0\0\0\x1d\0\x03\0\0user\0a\0_pq_.x\0y\0\0\0",
        b"{a,\"b \\\"c\",NULL}",
        b"\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x01a\xff\xff\xff\xff",
    ];
    bodies.iter().map(|body| body.to_vec()).chain([stream, row]).collect()
}

fn keep(item: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.extend_from_slice(item);
    Ok(())
}

#[test]
fn any_bytes_are_read_or_refused() {
    let seeds = seeds();
    let mut dice = Dice(0x5ea1);
    let mut sound = 0_usize;
    for round in 0..40_000 {
        let mut data = seeds[round % seeds.len()].clone();
        for _ in 0..dice.roll(4) {
            let at = dice.roll(data.len());
            match dice.roll(4) {
                0 => data[at] = u8::try_from(dice.roll(256)).unwrap(),
                1 => data.truncate(at.max(1)),
                2 => data.insert(at, [0, 0xff, b'"', b'{'][dice.roll(4)]),
                _ => {
                    data.remove(at);
                    data.push(0);
                }
            }
        }
        sound += usize::from(fuzz_frames(&data) > 0);
        sound += usize::from(fuzz_startup(&data))
            + usize::from(fuzz_frontend(&data))
            + usize::from(fuzz_backend(&data));
        let mut out = Vec::new();
        sound += usize::from(map_text_array(&data, &mut out, keep).is_ok());
        sound += usize::from(map_binary_array(&data, 25, &mut out, |_, item, out| keep(item, out)).is_ok());
    }
    assert!(sound > 10_000, "some mutations must still be read: {sound}");
}
