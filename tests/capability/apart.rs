//! One parameter that stands for values of several domains is several to the server, and one to the client:
//! whatever it declares, in whichever format it gives values, it is answered as directly.

use crate::harness::{Frame, Raw, Setup, Tap, VERSIONS, pg};
use crate::shop::holds;

const TABLE: &str = "CREATE TABLE people (id int PRIMARY KEY, email text, phone text, note text)";
const VALUE: &[u8] = b"apart-7f3q";
const TEXTS: [&str; 8] = [
    "INSERT INTO people (id, email, phone) VALUES ($2::int, $1, $1)",
    "SELECT id, email FROM people WHERE email = $1 OR phone = $1 ORDER BY id",
    "SELECT id, phone FROM people WHERE ($1 IS NULL OR phone = $1) AND id = $2::int OR email = $1 ORDER BY id",
    "SELECT count(*) FROM people WHERE phone = $1 AND email IN ($1, $2)",
    "UPDATE people SET phone = $1, email = $1 WHERE id = $2::int RETURNING phone, email, id",
    "SELECT id FROM people WHERE email = $1 AND phone = $1 AND note = $2",
    "SELECT id FROM people WHERE email = ANY(ARRAY[$1::text, $2]) OR phone = $02 OR phone = $1 ORDER BY id",
    "DELETE FROM people WHERE email = $1 AND phone = $1 AND id = $2::int",
];

/// What a client is told, but for the text of an error.
fn told(frames: &[Frame]) -> Vec<String> {
    let one = |frame: &Frame| match frame.tag {
        b'E' => format!("error {:?}", frame.field(b'C')),
        b'D' => format!("row {:?}", frame.values()),
        b'T' => format!("columns {:?}", types(&frame.body)),
        tag => format!("{} {:?}", char::from(tag), frame.body),
    };
    frames.iter().map(one).collect()
}

/// Name and type of each column: where it comes from differs between two databases.
fn types(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = &body[2..];
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        all.push((name, rest[end + 7..end + 19].to_vec()));
        rest = &rest[end + 19..];
    }
    all
}

#[test]
fn a_parameter_of_two_domains_is_answered_as_directly() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", "CREATE DATABASE plain").unwrap();
        for database in ["postgres", "plain"] {
            server.execute(database, TABLE).unwrap();
        }
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address())
            .field("public.people", "email", "equality")
            .field("public.people", "phone", "equality")
            .start();
        let mut sealed = Raw::login(gate.address(), "postgres", "postgres");
        let mut plain = Raw::login(server.address(), "postgres", "plain");
        let (mut same, mut rows) = (0, 0);
        let null: Option<&[u8]> = None;
        let firsts = [Some(VALUE), null, Some(b"another".as_slice())];
        for round in 0..TEXTS.len() * 36 {
            let sql = TEXTS[round % TEXTS.len()];
            let variant = round / TEXTS.len();
            let types: &[u32] = [&[][..], &[25], &[1043, 0], &[0, 0]][variant % 4];
            // Two values, one too few, one too many.
            let first = firsts[variant / 4 % 3];
            let formats: &[u16] = [&[][..], &[0], &[1, 0]][variant / 12 % 3];
            let second: Option<&[u8]> = Some(b"7");
            let values = match variant {
                11 => vec![first],
                23 => vec![first, second, second],
                _ => vec![first, second],
            };
            let formats = if formats.len() > values.len() { &formats[..1] } else { formats };
            let mut answers = Vec::new();
            for raw in [&mut plain, &mut sealed] {
                raw.cork();
                raw.parse("s", sql, types);
                raw.describe(b'S', "s");
                raw.bind("", "s", formats, &values, &[]);
                raw.describe(b'P', "");
                raw.execute("", 0);
                raw.close(b'S', "s");
                answers.push(raw.sync());
                raw.close(b'S', "s");
                raw.sync();
            }
            let [direct, through] = &answers[..] else { unreachable!() };
            // What the server has more would stand where the client declares one that is nowhere.
            if types.len() > 1 && !sql.contains("$2") && !sql.contains("$02") {
                assert_eq!(through[0].field(b'C').as_deref(), Some("SG001"), "{sql}");
                continue;
            }
            assert_eq!(told(direct), told(through), "{major} {sql} {types:?} {formats:?} {values:?}");
            same += 1;
            rows += through.iter().filter(|frame| frame.tag == b'D').count();
        }
        assert!(same > 0 && rows > TEXTS.len(), "{rows} rows");
        let sent = tap.to_server();
        assert!(holds(&sent, b"email = $1 OR phone = $2") && !holds(&sent, VALUE), "{major}");
    }
}
