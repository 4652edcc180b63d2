//! COPY of sealed columns, in and out: what the gate says and takes is what a plain server says and takes,
//! byte for byte, however the stream is cut; and no value is on the way to the server.

use crate::harness::{Frame, Gate, Raw, Tap, VERSIONS, await_that, string};
use crate::shop::{self, classified, firsts, holds, records, states, tags};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sealgate::store::postgres::Throwaway;

const MARK: &str = "s3ntinel";

/// Values whose every character has a meaning somewhere.
const NASTY: [&str; 16] = [
    "plain",
    "",
    "a,b",
    "\"",
    "\"quoted\"",
    "line\nfeed",
    "return\rhere",
    "both\r\nof them",
    "tab\there",
    "back\\slash",
    "\\N",
    "\\.",
    "ä€𝄞",
    "'single'",
    "a|b;c",
    " spaces ",
];

struct Pair {
    server: Throwaway,
    gate: Gate,
    tap: Tap,
}

impl Pair {
    fn new(major: u32) -> Pair {
        let server = shop::server(major);
        let more = "ALTER TABLE customers ADD COLUMN sum int GENERATED ALWAYS AS (id + 1) STORED";
        server.execute("postgres", more).unwrap();
        server.execute("postgres", "CREATE DATABASE plain").unwrap();
        let schema = "CREATE TABLE customers \
             (id int PRIMARY KEY, email text UNIQUE, phone text, city text, note text); \
             CREATE TABLE orders (id int PRIMARY KEY, item text, blob bytea)";
        server.execute("plain", schema).unwrap();
        server.execute("plain", more).unwrap();
        let (gate, tap) = shop::open(&server);
        Pair { server, gate, tap }
    }

    fn both(&self) -> [Raw; 2] {
        [
            Raw::login(self.server.address(), "postgres", "plain"),
            Raw::login(self.gate.address(), "postgres", "postgres"),
        ]
    }

    fn seed(&self) {
        for raw in &mut self.both() {
            for (n, value) in NASTY.iter().enumerate() {
                let quoted = value.replace('\\', "\\\\").replace('\'', "''");
                let other = NASTY[(n * 5 + 2) % NASTY.len()].replace('\\', "\\\\").replace('\'', "''");
                let sql = format!(
                    "INSERT INTO customers (id, email, phone, city, note) VALUES \
                     ({n}, E'{MARK}{quoted}{n}', E'{quoted}', E'{other}', NULL), ({}, NULL, NULL, 'x', E'{quoted}')",
                    n + 100
                );
                assert_eq!(states(&raw.query(&sql)), [""; 0], "{sql}");
            }
        }
    }
}

/// Everything that was said, but for what differs between two databases; pieces of data as one.
fn told(frames: &[Frame]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for frame in frames {
        match frame.tag {
            b'd' => {
                data.extend_from_slice(&frame.body);
                continue;
            }
            b'S' | b'T' => continue,
            b'E' | b'N' => all.push(format!("{} {}", char::from(frame.tag), frame.field(b'C').unwrap())),
            tag => all.push(format!("{} {}", char::from(tag), frame.body.escape_ascii())),
        }
        if !data.is_empty() {
            let at = all.len() - 1;
            all.insert(at, format!("data {}", std::mem::take(&mut data).escape_ascii()));
        }
    }
    all
}

const OUT: &[&str] = &[
    "COPY customers (id, email, phone, note) TO STDOUT",
    "COPY customers TO STDOUT",
    "COPY customers (phone) TO STDOUT",
    "COPY customers (email, id) TO STDOUT (DELIMITER '|', NULL 'none')",
    "COPY customers (email) TO STDOUT WITH DELIMITER 'S' NULL AS 'X'",
    "COPY customers (id, email, phone, note) TO STDOUT (FORMAT csv)",
    "COPY customers TO STDOUT (FORMAT csv, HEADER)",
    "COPY customers (phone) TO STDOUT CSV",
    "COPY customers (email, phone, id) TO STDOUT (FORMAT csv, FORCE_QUOTE (phone, id), NULL 'plain')",
    "COPY customers (email, phone, id) TO STDOUT (FORMAT csv, FORCE_QUOTE *, QUOTE '''', ESCAPE '\\', DELIMITER ';')",
    "COPY customers (email, city) TO STDOUT WITH CSV HEADER QUOTE '|' FORCE QUOTE city",
    "COPY customers (id, email, phone, note) TO STDOUT (FORMAT binary)",
    "COPY customers TO STDOUT WITH BINARY",
    "COPY (SELECT phone, upper(city), coalesce(email, 's3ntinel-none') AS e FROM customers ORDER BY id) TO STDOUT",
    "COPY (SELECT * FROM customers ORDER BY id LIMIT 7) TO STDOUT (FORMAT csv, HEADER true)",
    "COPY (SELECT email FROM customers WHERE phone IS NULL ORDER BY id) TO STDOUT (ENCODING 'UTF8')",
    "COPY (SELECT count(*) FROM customers WHERE email IS NULL) TO STDOUT",
    "COPY (UPDATE customers SET phone = 's3ntinel+1' WHERE id = 3 RETURNING id, phone) TO STDOUT",
    "COPY (SELECT 1/(id - 3), email FROM customers ORDER BY id) TO STDOUT",
    "COPY customers (id, nothing) TO STDOUT",
    "BEGIN; COPY customers (email) TO STDOUT; SELECT 'behind'; COPY customers (id, city) TO STDOUT CSV; COMMIT",
];

#[test]
fn copy_out_is_what_a_plain_server_sends() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.seed();
        let [mut plain, mut sealed] = pair.both();
        for sql in OUT {
            let (direct, through) = (plain.query(sql), sealed.query(sql));
            let detail = through.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
            assert_eq!(told(&direct), told(&through), "{major}: {sql} {detail:?}");
            // One message a row, as directly.
            let rows = |frames: &[Frame]| frames.iter().filter(|frame| frame.tag == b'd').count();
            assert_eq!(rows(&direct), rows(&through), "{major}: {sql}");
            if sql.contains("; ") {
                continue;
            }
            let run = |raw: &mut Raw| {
                raw.parse("", sql, &[]);
                raw.bind("", "", &[], &[], &[]);
                raw.execute("", 0);
                raw.sync()
            };
            assert_eq!(told(&run(&mut plain)), told(&run(&mut sealed)), "{major}, extended: {sql}");
        }
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

/// How data is sent: cut into pieces of so many bytes, and how it ends.
fn send(raw: &mut Raw, sql: &str, data: &[u8], piece: usize, extended: bool) -> Vec<Frame> {
    // All in one write, without waiting.
    raw.cork();
    if extended {
        raw.parse("", sql, &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
    } else {
        raw.send(b'Q', &string(sql));
    }
    for piece in data.chunks(piece.max(1)) {
        raw.send(b'd', piece);
    }
    raw.send(b'c', &[]);
    if extended {
        raw.send(b'S', &[]);
    }
    raw.until_ready()
}

fn check_in(pair: &Pair, both: &mut [Raw; 2], sql: &str, data: &[u8], pieces: &[usize]) -> Vec<String> {
    let mut last = Vec::new();
    for piece in pieces {
        for extended in [false, true] {
            let [plain, sealed] = both;
            let said = |raw: &mut Raw| {
                raw.query("DELETE FROM customers");
                let mut all = told(&send(raw, sql, data, *piece, extended));
                all.extend(told(
                    &raw.query("SELECT id, email, phone, city, note FROM customers ORDER BY id, note"),
                ));
                all
            };
            let (direct, through) = (said(plain), said(sealed));
            assert_eq!(
                direct,
                through,
                "{sql} in pieces of {piece}, extended: {extended}: {}",
                data.escape_ascii()
            );
            last = through;
        }
    }
    assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "a value went upstream: {sql}");
    last
}

#[test]
fn copy_in_stores_what_a_plain_server_stores_however_it_is_cut() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let mut both = pair.both();
        let wide: &[(&str, &[u8])] = &[
            (
                "COPY customers (id, email, phone, note) FROM STDIN",
                b"1\ts3ntinel-a\ts3ntinel\\tb\tn\n2\t\\N\t\t\\N\n3\ts3ntinel\\\\\\n\\x41\t\\N\tx",
            ),
            (
                "COPY customers FROM STDIN",
                b"1\ts3ntinel-a\ts3ntinel\tRome\tn\r\n2\ts3ntinel-b\t\\N\tOslo\t\\N\r\n",
            ),
            (
                "COPY customers (phone, id) FROM STDIN (DELIMITER '|', NULL 'none')",
                b"s3ntinel\\|x|1\nnone|2\n\\none|3\n",
            ),
            ("COPY customers (email, id) FROM STDIN WITH DELIMITER 'S'", b"s3ntinelS1\n\\NS2\n"),
            ("COPY customers (id, email) FROM STDIN", b"1\ts3ntinel-a\n\\.\n2\ts3ntinel-lost\n"),
            ("COPY customers (id, email) FROM STDIN", b"1\ts3ntinel-a\\\n-b\n"),
            (
                "COPY customers (id, email, phone, note) FROM STDIN (FORMAT csv)",
                b"1,s3ntinel-a,\"s3ntinel,\"\"b\"\"\nc\",n\n2,,\"\",\"\"\n3,\"s3ntinel\\.\",x,\n",
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv, HEADER)",
                b"id,email,phone\n1,s3ntinel-a,b\n",
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv, HEADER true)",
                b"7,s3ntinel-not-a-header,b\n1,s3ntinel-a,b\n",
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv, HEADER match)",
                b"id,email,phone\n1,s3ntinel-a,b\n",
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv, HEADER match)",
                b"id,s3ntinel,phone\n1,s3ntinel-a,b\n",
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN WITH CSV QUOTE '''' ESCAPE '\\' DELIMITER ';' NULL 'no'",
                b"1;'s3ntinel\\'a;';no\n2;'s3ntinel\\\\';'no'\n",
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv, FORCE_NULL (phone), FORCE_NOT_NULL (email))",
                b"1,,\"\"\n2,s3ntinel-x,\"s3ntinel\"\n",
            ),
            ("COPY customers (id, email) FROM STDIN (FORMAT csv)", b"1,s3ntinel-a\n\\.\n2,s3ntinel-b\n"),
            ("COPY customers (phone) FROM STDIN (FORMAT csv)", b"\\.\n"),
            (
                "COPY customers (id, email, city) FROM STDIN WHERE city = 'Rome'",
                b"1\ts3ntinel-a\tRome\n2\ts3ntinel-b\tOslo\n",
            ),
            (
                "COPY customers (id, email) FROM STDIN WHERE email = 's3ntinel-b'",
                b"1\ts3ntinel-a\n2\ts3ntinel-b\n",
            ),
            // What does not fit is the server's to say.
            ("COPY customers (id, email) FROM STDIN", b"1\ts3ntinel-a\n2\n"),
            ("COPY customers (id, email) FROM STDIN", b"1\ts3ntinel-a\n2\ts3ntinel-b\ts3ntinel-c\n"),
            ("COPY customers (id, email) FROM STDIN", b"1\ts3ntinel-a\n1\ts3ntinel-b\n"),
            ("COPY customers (id, email) FROM STDIN", b"1\ts3ntinel-a\n2\ts3ntinel-a\n"),
            ("COPY customers (id, email) FROM STDIN", b"s3ntnel\ts3ntinel-a\n2\ts3ntinel-b\n"),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv)",
                b"1,s3ntinel-a,b\n2,\"s3ntinel-b,c\n",
            ),
            ("COPY customers (id, email, phone) FROM STDIN (FORMAT csv)", b"1,s3ntinel-a\n"),
            ("COPY customers (id, email) FROM STDIN", b""),
            ("COPY customers (id, email, nothing) FROM STDIN", b"1\ts3ntinel\tx\n"),
            ("COPY customers (id, email, sum) FROM STDIN", b"1\ts3ntinel\t2\n"),
        ];
        // There `\\.` is a row too short, which goes on without its values: another error of the same row.
        let short = |data: &[u8]| major >= 18 && data.starts_with(b"1,s3ntinel-a\n\\.");
        for (sql, data) in wide.iter().filter(|(_, data)| !short(data)) {
            let pieces: Vec<usize> = vec![1, 2, 3, 5, 7, data.len().max(1)];
            check_in(&pair, &mut both, sql, data, &pieces);
        }
        // In binary, and cut short at every byte.
        let value = |out: &mut Vec<u8>, value: Option<&[u8]>| {
            out.extend(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
            out.extend_from_slice(value.unwrap_or_default());
        };
        let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for (id, email) in [(1_i32, Some(&b"s3ntinel-a\n"[..])), (2, None), (3, Some(b""))] {
            binary.extend(2_i16.to_be_bytes());
            value(&mut binary, Some(&id.to_be_bytes()));
            value(&mut binary, email);
        }
        let sql = "COPY customers (id, email) FROM STDIN (FORMAT binary)";
        for end in 19..=binary.len() {
            check_in(&pair, &mut both, sql, &binary[..end], &[4, end]);
        }
        binary.extend((-1_i16).to_be_bytes());
        check_in(&pair, &mut both, sql, &binary, &[1, 2, 3, 11, 4_096]);
    }
}

/// Options of the newer servers, and those that look at single columns: each from the version on that knows it. A data
/// that the encoding has an own form for is in that.
const OPTIONS: &[(u32, &str, &[u8])] = &[
    (15, "COPY customers (id, email, phone) FROM STDIN (HEADER)", b"id\temail\tphone\n1\ts3ntinel-a\tb\n"),
    (15, "COPY customers (id, email) FROM STDIN (HEADER match)", b"id\temail\n1\ts3ntinel-a\n"),
    (15, "COPY customers (id, email) FROM STDIN (HEADER match)", b"email\tid\ns3ntinel-a\t1\n"),
    (15, "COPY customers (id, email) FROM STDIN (FREEZE)", b"1\ts3ntinel-a\n"),
    (15, "COPY customers (id, email) FROM STDIN (FREEZE off)", b"1\ts3ntinel-a\n"),
    (15, "COPY customers (id, email) FROM STDIN CSV FORCE NOT NULL email", b"1,\n2,s3ntinel-a\n"),
    (15, "COPY customers (id, phone) FROM STDIN CSV FORCE NULL phone", b"1,\"\"\n2,s3ntinel-a\n"),
    (
        15,
        "COPY customers (id, phone) FROM STDIN (FORMAT csv, FORCE_NULL (phone), FORCE_NOT_NULL (phone), NULL 'no')",
        b"1,\"no\"\n2,no\n3,s3ntinel-a\n",
    ),
    (15, "COPY customers (id, email) FROM STDIN (FORCE_NULL (email))", b"1\ts3ntinel-a\n"),
    (15, "COPY customers (id, email) FROM STDIN (FORMAT csv, FORCE_QUOTE (email))", b"1,s3ntinel-a\n"),
    (17, "COPY customers (id, email, phone) FROM STDIN (FORMAT csv, FORCE_NULL *)", b"1,s3ntinel-a,\"\"\n"),
    (17, "COPY customers (id, phone) FROM STDIN (FORMAT csv, FORCE_NOT_NULL *)", b"1,s3ntinel-a\n2,\n"),
    (16, "COPY customers (id, email, city) FROM STDIN (DEFAULT '\\D')", b"1\t\\D\t\\D\n2\ts3ntinel\tx\n"),
    (
        16,
        "COPY customers (id, email) FROM STDIN (FORMAT csv, DEFAULT 'dflt')",
        b"1,dflt\n2,\"dflt\"\n3,s3ntinel\n",
    ),
    (16, "COPY customers (id, email) TO STDOUT (DEFAULT 'x')", b""),
    (15, "COPY customers (id, email) FROM STDIN (ENCODING 'UTF8')", "1\ts3ntinel-ä\n".as_bytes()),
    (15, "COPY customers (id, email, city) FROM STDIN (ENCODING 'LATIN1')", b"1\ts3ntinel-\xe4\tK\xf6ln\n"),
    (15, "COPY customers (id, email) FROM STDIN (FORMAT csv, ENCODING 'WIN1252')", b"1,\"s3ntinel-\x80\"\n"),
    (
        15,
        "COPY customers (id, email, city) FROM STDIN WHERE city <> 'Oslo' AND id > 1",
        b"1\ts3ntinel-a\tRome\n2\ts3ntinel-b\tRome\n3\ts3ntinel-c\tOslo\n",
    ),
    (
        15,
        "COPY customers (id, email, city) FROM STDIN WHERE city IS NULL",
        b"1\ts3ntinel-a\tRome\n2\ts3ntinel-b\t\\N\n",
    ),
    (15, "COPY customers (id, email) FROM STDIN WHERE email IS NOT NULL", b"1\ts3ntinel-a\n2\t\\N\n"),
    (15, "COPY customers (id, email) FROM STDIN WITH NULL AS 'x' DELIMITER AS '|'", b"1|s3ntinel-a\n2|x\n"),
    (
        17,
        "COPY customers (id, email) FROM STDIN (ON_ERROR ignore)",
        b"1\ts3ntinel-a\nx\ts3ntinel-b\n3\ts3ntinel-c\n",
    ),
    (17, "COPY customers (id, email) FROM STDIN (ON_ERROR stop)", b"1\ts3ntinel-a\nx\ts3ntinel-b\n"),
    (
        17,
        "COPY customers (id, email) FROM STDIN (FORMAT csv, ON_ERROR ignore, LOG_VERBOSITY verbose)",
        b"1,s3ntinel-a\n\"x\",\"s3ntinel\n-b\"\n3,s3ntinel-c\n",
    ),
    // What is too short is no matter of a type.
    (17, "COPY customers (id, email) FROM STDIN (ON_ERROR ignore)", b"1\ts3ntinel-a\n2\n"),
    (
        18,
        "COPY customers (id, email) FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY silent)",
        b"x\ts3ntinel-b\n3\ts3ntinel-c\n",
    ),
    (
        18,
        "COPY customers (id, email) FROM STDIN (ON_ERROR ignore, REJECT_LIMIT 1)",
        b"x\ts3ntinel-b\n3\ts3ntinel-c\n",
    ),
    (
        18,
        "COPY customers (id, email) FROM STDIN (ON_ERROR ignore, REJECT_LIMIT 1)",
        b"x\ts3ntinel-b\ny\ts3ntinel-c\n",
    ),
];

#[test]
fn each_option_means_what_it_means_on_a_plain_server() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let mut both = pair.both();
        for (_, sql, data) in OPTIONS.iter().filter(|(since, _, _)| *since <= major) {
            if sql.contains("TO STDOUT") {
                let [direct, through] = both.each_mut().map(|raw| told(&raw.query(sql)));
                assert_eq!(direct, through, "{major}: {sql}");
                continue;
            }
            let said = check_in(&pair, &mut both, sql, data, &[1, 6, data.len()]);
            assert!(!said.iter().any(|one| one.starts_with("E SG")), "{major}: {sql} {said:?}");
        }
    }
}

/// TRUNCATE and LOCK take the lock by which columns are changed: behind them the columns are listed, since what the
/// transaction has changed itself nobody else can see.
#[test]
fn a_table_is_emptied_and_filled_in_one_transaction() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let mut both = pair.both();
        let data = b"1\ts3ntinel-a\ts3ntinel+1\tRome\tn\n2\ts3ntinel-b\t\\N\tOslo\t\\N\n";
        for before in ["TRUNCATE customers", "TRUNCATE TABLE ONLY customers, orders", "LOCK TABLE customers"]
        {
            for options in ["", " (FREEZE)"] {
                let sql = format!("COPY customers (id, email, phone, city, note) FROM STDIN{options}");
                for extended in [false, true] {
                    let [direct, through] = both.each_mut().map(|raw| {
                        raw.query("DELETE FROM customers");
                        let mut all = raw.query("BEGIN");
                        all.extend(raw.query(before));
                        all.extend(send(raw, &sql, data, 100, extended));
                        all.extend(raw.query("INSERT INTO customers (id, email) VALUES (3, 's3ntinel-c')"));
                        all.extend(raw.query("COMMIT"));
                        all.extend(raw.query("SELECT id, email, phone FROM customers ORDER BY id"));
                        told(&all)
                    });
                    assert_eq!(direct, through, "{major}: {before}, {sql}");
                }
            }
        }
        let [_, sealed] = &mut both;
        sealed.query("BEGIN");
        sealed.query("TRUNCATE customers");
        let frames = send(sealed, "COPY customers FROM STDIN", data, 100, false);
        let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        assert_eq!(error.field(b'H').as_deref(), Some("List the columns."), "{major}");
        sealed.query("ROLLBACK");
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

/// Every text of the forms, cut off at every byte: the server says the same of what is left.
#[test]
fn a_stream_may_end_anywhere() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let mut both = pair.both();
        for (sql, data) in [
            (
                "COPY customers (id, email, phone) FROM STDIN",
                &b"1\ts3ntinel\\ta\\\\\tb\n2\t\\N\tx\\x41\n"[..],
            ),
            (
                "COPY customers (id, email, phone) FROM STDIN (FORMAT csv)",
                b"1,\"s3ntinel,\"\"a\nb\",c\n2,,\"x\"\n",
            ),
        ] {
            for end in 0..=data.len() {
                check_in(&pair, &mut both, sql, &data[..end], &[3]);
            }
        }
    }
}

/// Rows made of the marks themselves at random: what looks like an end of data, quotes and ends of lines at every
/// border. Both columns are sealed, so nothing of them may be seen upstream, whatever a row is taken for.
#[test]
fn rows_made_of_marks_mean_what_they_mean_on_a_plain_server() {
    const MARKS: [&[u8]; 16] = [
        b"\"",
        b"\"\"",
        b",",
        b"\t",
        b"\n",
        b"\r\n",
        b"\r",
        b"\\.",
        b"\n\\.\n",
        b"\\",
        b"\\N",
        b"\\n",
        b"\\\n",
        b"x",
        b"\xc3\xa9",
        b"",
    ];
    let forms = [
        "",
        "(FORMAT csv)",
        "(FORMAT csv, QUOTE '''', ESCAPE '\\')",
        "(FORMAT csv, HEADER)",
        "(DELIMITER ',', NULL 'x')",
    ];
    let count = std::env::var("SEALGATE_MARKS").ok().map_or(150, |count| count.parse::<usize>().unwrap());
    for major in VERSIONS {
        let pair = Pair::new(major);
        for database in ["postgres", "plain"] {
            let sql = "CREATE SEQUENCE ids; ALTER TABLE customers ALTER id SET DEFAULT nextval('ids')";
            pair.server.execute(database, sql).unwrap();
        }
        let mut both = pair.both();
        let mut rng = StdRng::seed_from_u64(u64::from(major));
        for number in 0..count {
            let form = forms[number % forms.len()];
            let mut data = Vec::new();
            for _ in 0..rng.random_range(1..4) {
                let quoted = form.contains("csv") && rng.random_bool(0.5);
                let quote: &[u8] = if form.contains("QUOTE") { b"'" } else { b"\"" };
                for column in 0..2 {
                    data.extend_from_slice(if quoted { quote } else { b"" });
                    data.extend_from_slice(MARK.as_bytes());
                    for _ in 0..rng.random_range(0..4) {
                        data.extend_from_slice(MARKS.choose(&mut rng).unwrap());
                    }
                    data.extend_from_slice(if quoted { quote } else { b"" });
                    let border: &[u8] = if form.contains("csv") || form.contains(',') { b"," } else { b"\t" };
                    data.extend_from_slice(if column == 0 { border } else { b"\n" });
                }
            }
            let piece = rng.random_range(1..data.len() + 1);
            let sql = format!("COPY customers (email, phone) FROM STDIN {form}");
            let said = |raw: &mut Raw| {
                raw.query("DELETE FROM customers; SELECT setval('ids', 1)");
                let extended = number % 2 == 0;
                let mut all = told(&send(raw, &sql, &data, piece, extended));
                all.extend(told(&raw.query("SELECT email, phone FROM customers ORDER BY id")));
                all
            };
            let (direct, through) = (said(&mut both[0]), said(&mut both[1]));
            // An end of data that is not alone on its line ends it before 18, too: nothing of such data is taken.
            let fails = direct.iter().any(|line| line.starts_with('E')) || holds(&data, b"\\.");
            let refused = through.iter().any(|line| line.starts_with("E SG"));
            assert!(
                direct == through || fails && refused,
                "{major} {sql} in pieces of {piece}: {}: {direct:#?} {through:#?}",
                data.escape_ascii()
            );
        }
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "a value went upstream");
    }
}

/// What the server once sent is taken back, and is the same again, whichever form it has.
#[test]
fn what_is_copied_out_can_be_copied_in() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.seed();
        let [_, mut sealed] = pair.both();
        let whole = |raw: &mut Raw| told(&raw.query("COPY (SELECT * FROM customers ORDER BY id) TO STDOUT"));
        let before = whole(&mut sealed);
        for options in
            ["", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT binary)", "(DELIMITER ',', NULL '-')"]
        {
            let frames = sealed.query(&format!("COPY customers TO STDOUT {options}"));
            let data: Vec<u8> = frames
                .iter()
                .filter(|frame| frame.tag == b'd')
                .flat_map(|frame| frame.body.clone())
                .collect();
            sealed.query("DELETE FROM customers");
            let frames =
                send(&mut sealed, &format!("COPY customers FROM STDIN {options}"), &data, 100, false);
            assert_eq!(states(&frames), [""; 0], "{options}");
            assert_eq!(whole(&mut sealed), before, "{major}: {options}");
        }
    }
}

#[test]
fn a_row_that_cannot_be_sealed_fails_the_copy_with_its_line_and_no_value() {
    let pair = Pair::new(15);
    let [_, mut raw] = pair.both();
    for extended in [false, true] {
        let bad: &[u8] = b"1\ts3ntinel-a\n2\ts3ntinel\xff\n3\ts3ntinel-c\n";
        for piece in [1, 5, 1_000] {
            let frames = send(&mut raw, "COPY customers (id, email) FROM STDIN", bad, piece, extended);
            assert_eq!(states(&frames), ["SG004"], "{}", tags(&frames));
            let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
            let detail = error.field(b'D').unwrap();
            assert!(detail.contains("line or row 2") && !detail.contains(MARK), "{detail}");
            assert_eq!(firsts(&raw.query("SELECT count(*) FROM customers")), ["0"]);
        }
        let frames =
            send(&mut raw, "COPY customers (id, email) FROM STDIN", b"1\ts3ntinel\n2\ta\r\n", 3, extended);
        assert_eq!(states(&frames), ["SG001"]);
    }
    assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()));
    // Given up by the client.
    raw.send(b'Q', &string("COPY customers (id, email) FROM STDIN"));
    raw.send(b'd', b"1\ts3ntinel-x\n2\ts3nt");
    raw.send(b'f', b"enough\0");
    assert_eq!(states(&raw.until_ready()), ["57014"]);
    // The server refuses it before or within the data, which goes nowhere.
    for sql in [
        "COPY customers (id, email, nothing) FROM STDIN",
        "BEGIN; SELECT 1/0; COPY customers (id, email) FROM STDIN",
    ] {
        let frames = send(&mut raw, sql, b"1\ts3ntinel-y\n2\ts3ntinel-z\n", 4, false);
        assert_eq!(states(&frames).len(), 1, "{sql}");
        raw.query("ROLLBACK");
    }
    let long = format!("x\ts3ntinel\n{}", "7\ts3ntinel-many\n".repeat(20_000));
    let frames = send(&mut raw, "COPY customers (id, email) FROM STDIN", long.as_bytes(), 8_192, false);
    assert_eq!(states(&frames), ["22P02"]);
    assert_eq!(firsts(&raw.query("SELECT 'in step'")), ["in step"]);
    assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()));
}

#[test]
fn copies_are_on_record_and_counted() {
    let pair = Pair::new(18);
    let [_, mut raw] = pair.both();
    send(&mut raw, "COPY customers (id, email, city) FROM STDIN", b"1\ta\tRome\n2\t\\N\tOslo\n", 100, false);
    raw.query("COPY customers (id, email, city, note) TO STDOUT");
    raw.query("COPY (SELECT upper(city) FROM customers) TO STDOUT CSV");
    await_that("the outcomes", || {
        records(&pair.gate).iter().filter(|one| one["kind"] == "outcome").count() >= 3
    });
    let all = records(&pair.gate);
    let outcomes: Vec<_> = all.iter().filter(|one| one["kind"] == "outcome").collect();
    let told: Vec<_> = outcomes
        .iter()
        .map(|one| {
            (one["action"].as_str().unwrap(), one["rows"].as_u64().unwrap(), one["cells"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(told, [("write", 2, 0), ("read", 2, 3), ("read", 2, 2)]);
    assert!(all.iter().any(
        |one| one["kind"] == "intent" && one["statement"].as_str().unwrap().starts_with("COPY customers")
    ));
}

#[test]
fn a_copy_is_cut_by_the_watch_before_the_row_that_is_too_many() {
    let server = shop::server(15);
    let limit = "[[watch.limit]]\ncells = 20\nwindow = \"1h\"\naction = \"cut\"\nusers = [\"postgres\"]\n";
    let gate = classified(crate::harness::Setup::before(server.address())).extra(limit).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let rows: String = (0..50).map(|n| format!("{n}\tmail-{n}\n")).collect();
    assert_eq!(
        states(&send(&mut raw, "COPY customers (id, email) FROM STDIN", rows.as_bytes(), 64, false)),
        [""; 0]
    );
    raw.send(b'Q', &string("COPY customers (email) TO STDOUT"));
    let frames = raw.until_ready();
    let shown = frames.iter().filter(|frame| frame.tag == b'd').count();
    assert!(shown <= 20, "{shown} rows");
    assert_eq!(states(&frames), ["SG007"]);
}

#[test]
fn a_sealed_value_in_a_column_that_is_not_classified_is_copied_as_it_is() {
    let pair = Pair::new(15);
    let [_, mut raw] = pair.both();
    raw.query("INSERT INTO customers (id, email) VALUES (1, 's3ntinel-a')");
    pair.server.execute("postgres", "UPDATE customers SET note = email").unwrap();
    let stolen = pair.server.query("postgres", "SELECT email FROM customers").unwrap()[0][0].clone().unwrap();
    for sql in [
        "COPY customers (note) TO STDOUT",
        "COPY (SELECT note || '' FROM customers) TO STDOUT",
        "COPY customers (note) TO STDOUT CSV",
    ] {
        let frames = raw.query(sql);
        let data = frames.iter().find(|frame| frame.tag == b'd').unwrap();
        assert_eq!(String::from_utf8_lossy(&data.body).trim(), stolen, "{sql}");
    }
    // Nor is one that is copied in taken for what it looks like.
    send(&mut raw, "COPY customers (id, email) FROM STDIN", format!("2\t{stolen}\n").as_bytes(), 100, false);
    assert_eq!(firsts(&raw.query("SELECT email FROM customers WHERE id = 2")), [stolen]);
}

/// What a program of PostgreSQL prints, run on one of the two databases.
fn printed(pair: &Pair, program: &str, plain: bool, args: &[&str]) -> String {
    let (address, database) =
        if plain { (pair.server.address(), "plain") } else { (pair.gate.address(), "postgres") };
    let output = std::process::Command::new(pair.server.binaries().program(program))
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &address.port().to_string(), "-d", database])
        .args(args)
        .env("PGSSLMODE", "disable")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?} on {database}: {said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A dump has a key of its own each time.
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_dump_through_the_gate_is_that_of_a_plain_database() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.seed();
        for args in
            [&["--schema-only"][..], &[], &["--data-only", "--inserts", "-t", "customers"], &["-t", "orders"]]
        {
            let [direct, through] = [true, false].map(|plain| printed(&pair, "pg_dump", plain, args));
            assert_eq!(direct, through, "{major}: {args:?}");
            assert!(through.contains(MARK) || args.contains(&"--schema-only") || args.contains(&"orders"));
        }
        // psql's \copy, out of one and into the other.
        let file = pair.gate.folder().join("rows.csv");
        let copy = |way: &str| format!("\\copy customers {way} '{}' (FORMAT csv, HEADER)", file.display());
        for plain in [true, false] {
            printed(&pair, "psql", plain, &["-c", &copy("TO")]);
            let rows = std::fs::read(&file).unwrap();
            printed(&pair, "psql", !plain, &["-c", "DELETE FROM customers", "-c", &copy("FROM")]);
            printed(&pair, "psql", !plain, &["-c", &copy("TO")]);
            assert_eq!(std::fs::read(&file).unwrap(), rows, "{major}");
        }
        // FETCH_COUNT is a cursor.
        let fetch = ["-v", "FETCH_COUNT=3", "-c", "SELECT id, email, phone FROM customers ORDER BY id"];
        let [direct, through] = [true, false].map(|plain| printed(&pair, "psql", plain, &fetch));
        assert_eq!(direct, through, "{major}");
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}
