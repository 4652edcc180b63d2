//! Cursors that move in every way, and COPY in and out, made at random: rows are in order here, so that what
//! comes is the same row for row and byte for byte.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::grammar::MARK;
use crate::harness::{Frame, Raw, string};

/// One thing that is sent, and answered up to ReadyForQuery.
#[derive(Clone, Debug)]
pub enum Sent {
    Query(String),
    /// By the extended protocol.
    Extended(String),
    /// COPY of this, in pieces of so many bytes; by the extended protocol.
    Copy(String, Vec<u8>, usize, bool),
}

pub struct Streams {
    rng: StdRng,
    fresh: usize,
}

impl Streams {
    pub fn new(seed: u64) -> Streams {
        Streams { rng: StdRng::seed_from_u64(seed), fresh: 500_000 }
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(&mut self.rng).unwrap()
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// What is sent one after the other; no transaction is open behind it.
    pub fn script(&mut self) -> Vec<Sent> {
        match self.below(4) {
            0 => vec![self.taken()],
            1 => vec![Sent::Query(self.given())],
            _ => self.cursor(),
        }
    }

    fn sent(&mut self, sql: String) -> Sent {
        if self.below(3) == 0 { Sent::Extended(sql) } else { Sent::Query(sql) }
    }

    fn source(&mut self) -> String {
        let columns =
            self.pick(&["id, email, phone, city, note", "*", "email, id", "phone, upper(city), id, email"]);
        let condition = match self.below(5) {
            0 => " WHERE email IS NOT NULL".to_owned(),
            1 => format!(" WHERE id % 3 = {}", self.below(3)),
            2 => format!(" WHERE email = '{MARK}-{}@twin.example'", self.below(8)),
            3 => format!(" WHERE phone IS NOT NULL AND id < {}", self.below(30)),
            _ => String::new(),
        };
        format!("SELECT {columns} FROM customers{condition} ORDER BY id")
    }

    fn movement(&mut self) -> String {
        let number = self.below(7) as i64 - 2;
        match self.below(14) {
            0 => "NEXT".to_owned(),
            1 => "PRIOR".to_owned(),
            2 => "FIRST".to_owned(),
            3 => "LAST".to_owned(),
            4 => format!("ABSOLUTE {}", number * 3),
            5 => format!("RELATIVE {number}"),
            6 => "ALL".to_owned(),
            7 => "FORWARD ALL".to_owned(),
            8 => "BACKWARD ALL".to_owned(),
            9 => "BACKWARD".to_owned(),
            10 => format!("BACKWARD {}", number.abs()),
            11 => format!("FORWARD {}", number.abs()),
            12 => "0".to_owned(),
            _ => format!("{}", number + 2),
        }
    }

    fn cursor(&mut self) -> Vec<Sent> {
        let scrolls = self.pick(&["", " SCROLL", " SCROLL", " NO SCROLL", " BINARY"]);
        let holds = self.pick(&["", "", " WITH HOLD"]);
        let locks = if holds.is_empty() && scrolls.is_empty() { self.pick(&["", " FOR UPDATE"]) } else { "" };
        let source = self.source();
        let mut all = vec![Sent::Query("BEGIN".to_owned())];
        let declare = self.sent(format!("DECLARE tw{scrolls} CURSOR{holds} FOR {source}{locks}"));
        all.push(declare);
        for _ in 0..self.below(7) + 2 {
            let (verb, movement) = (self.pick(&["FETCH", "FETCH", "FETCH", "MOVE"]), self.movement());
            let from = self.pick(&[" FROM", " IN", ""]);
            let sql = match self.below(12) {
                0 if !locks.is_empty() => {
                    let number = self.below(8);
                    format!(
                        "UPDATE customers SET phone = '{MARK}+49{number}' WHERE CURRENT OF tw RETURNING id, phone"
                    )
                }
                1 if !locks.is_empty() => "DELETE FROM customers WHERE CURRENT OF tw AND id > 100".to_owned(),
                2 => format!("{verb} {movement}{from} tw; FETCH 1 FROM tw"),
                3 => format!(
                    "UPDATE customers SET phone = '{MARK}+49{}' WHERE id = {}",
                    self.below(8),
                    self.below(9)
                ),
                4 if !holds.is_empty() => "COMMIT".to_owned(),
                5 => "SAVEPOINT s; CLOSE tw; ROLLBACK TO s".to_owned(),
                _ => format!("{verb} {movement}{from} tw"),
            };
            let sent = if sql.contains(';') { Sent::Query(sql) } else { self.sent(sql) };
            all.push(sent);
        }
        all.push(Sent::Query(self.pick(&["CLOSE tw", "CLOSE ALL", "FETCH ALL FROM tw"]).to_owned()));
        all.push(Sent::Query(self.pick(&["COMMIT", "ROLLBACK"]).to_owned()));
        all.push(Sent::Query("CLOSE ALL".to_owned()));
        all
    }

    fn options(&mut self) -> &'static str {
        self.pick(&[
            "",
            " (DELIMITER ',', NULL 'none')",
            " (FORMAT csv)",
            " (FORMAT csv, HEADER)",
            " (FORMAT csv, QUOTE '''', ESCAPE '\\', DELIMITER ';')",
        ])
    }

    fn given(&mut self) -> String {
        let (source, options) = (self.source(), self.options());
        match self.below(3) {
            0 => format!("COPY customers (email, id, phone) TO STDOUT{}", self.pick(&["", " (FORMAT csv)"]))
                .replace(
                    "customers (email, id, phone)",
                    "(SELECT email, id, phone FROM customers ORDER BY id)",
                ),
            1 => format!("COPY ({source}) TO STDOUT (FORMAT binary)"),
            _ => format!("COPY ({source}) TO STDOUT{options}"),
        }
    }

    /// Rows of which some are none.
    fn taken(&mut self) -> Sent {
        let options = self.options();
        let csv = options.contains("csv");
        let (border, null) = match options {
            "" => ("\t", "\\N"),
            _ if options.contains("none") => (",", "none"),
            _ if options.contains("';'") => (";", ""),
            _ => (",", ""),
        };
        let quote = if options.contains("QUOTE") { "'" } else { "\"" };
        let mut data =
            if options.contains("HEADER") { "id,email,phone,city,note\n".to_owned() } else { String::new() };
        for _ in 0..self.below(5) {
            self.fresh += 1;
            let id = if self.below(25) == 0 { 1 } else { self.fresh };
            let number = self.below(20);
            let mail = match self.below(8) {
                0 => null.to_owned(),
                1 if csv => format!("{quote}{MARK}\n{number}{border}{id}{quote}"),
                2 if !csv => format!("{MARK}\\n\\\\{number} {id}"),
                _ => format!("{MARK}-c{number}-{id}@twin.example"),
            };
            let phone =
                if self.below(6) == 0 { null.to_owned() } else { format!("{MARK}+49{}", self.below(5)) };
            let mut row = format!("{id}{border}{mail}{border}{phone}{border}city {}{border}note", number % 3);
            match self.below(30) {
                0 => row.truncate(row.len() - 5),
                1 => row.insert(0, 'x'),
                2 => row.push_str(&format!("{border}{MARK}")),
                _ => {}
            }
            data.push_str(&row);
            data.push('\n');
        }
        if self.below(6) == 0 && !csv {
            data.push_str("\\.\n");
        }
        let piece = self.below(data.len() + 5) + 1;
        let sql = format!("COPY customers (id, email, phone, city, note) FROM STDIN{options}");
        let extended = self.below(2) == 0;
        Sent::Copy(sql, data.into_bytes(), piece, extended)
    }
}

fn send(raw: &mut Raw, sent: &Sent) -> Vec<Frame> {
    match sent {
        Sent::Query(sql) => raw.query(sql),
        Sent::Extended(sql) => {
            raw.parse("", sql, &[]);
            raw.bind("", "", &[], &[], &[]);
            raw.describe(b'P', "");
            raw.execute("", 0);
            raw.sync()
        }
        Sent::Copy(sql, data, piece, extended) => {
            if *extended {
                raw.parse("", sql, &[]);
                raw.bind("", "", &[], &[], &[]);
                raw.execute("", 0);
            } else {
                raw.send(b'Q', &string(sql));
            }
            for piece in data.chunks(*piece) {
                raw.send(b'd', piece);
            }
            raw.send(b'c', b"");
            if *extended {
                raw.send(b'S', b"");
            }
            raw.until_ready()
        }
    }
}

/// What a server said, but for what differs between two databases; SQLSTATEs of errors alone. Descriptions by
/// their types.
pub fn told(raw: &mut Raw, sent: &Sent) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for frame in send(raw, sent) {
        if frame.tag == b'd' {
            data.extend_from_slice(&frame.body);
            continue;
        }
        if !data.is_empty() {
            all.push(format!("data {}", std::mem::take(&mut data).escape_ascii()));
        }
        match frame.tag {
            b'S' | b'N' => {}
            b'E' => all.push(format!("E {}", frame.field(b'C').unwrap())),
            b'T' => all.push(format!("T {:?}", super::types_of(&frame))),
            tag => all.push(format!("{} {}", char::from(tag), frame.body.escape_ascii())),
        }
    }
    all
}
