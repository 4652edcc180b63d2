//! Clients of other encodings: what is of one byte a character is converted for sealed values as the server
//! converts it for all others; a session of any other encoding is refused when it begins, where something is
//! sealed, and never wrong.

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Raw, Setup, VERSIONS, string};
use crate::shop::{self, errors, firsts, holds, states};

const ACUTE: &str = "s3ntinel-José@x.example";
const LATIN1: &[u8] = b"s3ntinel-Jos\xe9@x.example";

const CHARSETS: [&str; 27] = [
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1251",
    "WIN1252",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1256",
    "WIN1257",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "KOI8U",
];

fn refused(frames: &[Frame]) {
    let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
    assert_eq!(error.field(b'C').as_deref(), Some("SG001"));
    let detail = error.field(b'D').unwrap();
    assert!(detail.contains("client_encoding") || detail.contains("client encoding"), "{detail}");
}

fn session(gate: std::net::SocketAddr, encoding: &str) -> Raw {
    Raw::login_with(gate, &[("user", "postgres"), ("database", "postgres"), ("client_encoding", encoding)])
}

/// A Query whose text is no UTF-8.
fn query(raw: &mut Raw, parts: &[&[u8]]) -> Vec<Frame> {
    raw.send(b'Q', &[&parts.concat(), &b"\0"[..]].concat());
    raw.until_ready()
}

/// Runs one statement with parameters, without errors.
fn run(raw: &mut Raw, sql: &str, formats: &[u16], values: &[Option<&[u8]>]) -> Vec<Frame> {
    raw.parse("", sql, &[]);
    raw.bind("", "", formats, values, &[]);
    raw.execute("", 0);
    raw.sync()
}

fn first(frames: &[Frame]) -> Vec<u8> {
    assert_eq!(errors(frames), []);
    let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
    row.values()[0].clone().unwrap_or_default()
}

/// The data of a COPY to the client.
fn copied(frames: &[Frame]) -> Vec<u8> {
    assert_eq!(errors(frames), []);
    frames.iter().filter(|frame| frame.tag == b'd').flat_map(|frame| frame.body.clone()).collect()
}

#[test]
fn every_byte_of_every_character_set_is_what_the_server_has_it_for() {
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE TABLE plain (id int, value text)").unwrap();
        let (gate, _tap) = shop::open(&server);
        let mut utf8 = session(gate.address(), "UTF8");
        for (id, charset) in CHARSETS.iter().enumerate() {
            let mut raw = session(gate.address(), charset);
            let mut known = b"s3ntinel-".to_vec();
            // What the server has no character for is an error of the same kind where it is sealed.
            for byte in 0x80..=u8::MAX {
                let at_server = states(&run(&mut raw, "SELECT $1::text", &[], &[Some(&[byte])]));
                let sealed =
                    run(&mut raw, "UPDATE customers SET phone = $1 WHERE id = -1", &[], &[Some(&[byte])]);
                assert_eq!(at_server.is_empty(), errors(&sealed).is_empty(), "{major} {charset} {byte:x}");
                if at_server.is_empty() {
                    known.push(byte);
                } else {
                    assert_eq!(states(&sealed), at_server, "{major} {charset} {byte:x}");
                }
            }
            assert!(known.len() > 80, "{charset}");
            for format in [0, 1] {
                let both = [Some(known.as_slice()), Some(known.as_slice())];
                let id = 2 * id + usize::from(format);
                let written = [
                    run(
                        &mut raw,
                        &format!("INSERT INTO customers (id, phone) VALUES ({id}, $1)"),
                        &[format],
                        &both[..1],
                    ),
                    run(&mut raw, &format!("INSERT INTO plain VALUES ({id}, $1)"), &[format], &both[..1]),
                ];
                assert_eq!(errors(&written.concat()), [], "{major} {charset}");
                for table in ["phone FROM customers", "value FROM plain"] {
                    let sql = format!("SELECT {table} WHERE id = {id}");
                    assert_eq!(first(&raw.query(&sql)), known, "{major} {charset} {table}");
                }
                let sealed = first(&utf8.query(&format!("SELECT phone FROM customers WHERE id = {id}")));
                let plain = first(&utf8.query(&format!("SELECT value FROM plain WHERE id = {id}")));
                assert_eq!(
                    String::from_utf8(sealed).unwrap(),
                    String::from_utf8(plain).unwrap(),
                    "{charset}"
                );
            }
        }
    }
}

#[test]
fn sealed_values_are_converted_wherever_they_stand() {
    for major in VERSIONS {
        let server = shop::server(major);
        server
            .execute(
                "postgres",
                "CREATE ROLE latin LOGIN SUPERUSER; ALTER ROLE latin SET client_encoding = 'LATIN1'",
            )
            .unwrap();
        turner(&server);
        let (gate, tap) = shop::open(&server);
        let mut utf8 = session(gate.address(), "UTF8");
        let who = |name: &str, value: &str| {
            Raw::login_with(gate.address(), &[("user", "postgres"), ("database", "postgres"), (name, value)])
        };
        let turned = |sql: &str| {
            let mut raw = session(gate.address(), "UTF8");
            assert_eq!(errors(&raw.query(sql)), []);
            raw
        };
        let ways = [
            who("client_encoding", "ISO-8859-1"),
            who("options", "-c client_encoding=LATIN1"),
            Raw::login(gate.address(), "latin", "postgres"),
            turned("SET client_encoding TO 'latin-1'"),
            turned("SET NAMES 'LATIN1'"),
            turned("SELECT set_config('client_encoding', 'LATIN1', false)"),
            turned("SELECT turn('LATIN1')"),
        ];
        for mut raw in ways {
            assert_eq!(errors(&raw.query("DELETE FROM customers")), []);
            // A literal, and what the text says beside it.
            let parts: [&[u8]; 5] = [
                b"INSERT INTO customers (id, email, note) VALUES (1, '",
                LATIN1,
                b"', '",
                b"\xe9\xff",
                b"') RETURNING note",
            ];
            assert_eq!(first(&query(&mut raw, &parts)), b"\xe9\xff");
            assert_eq!(
                first(&query(&mut raw, &[b"SELECT id FROM customers WHERE email = '", LATIN1, b"'"])),
                b"1"
            );
            assert_eq!(
                first(&query(&mut raw, &[b"SELECT id FROM customers WHERE email = E'", LATIN1, b"'"])),
                b"1"
            );
            assert_eq!(
                firsts(&utf8.query("SELECT email || '' FROM (SELECT note AS email FROM customers) n")),
                ["éÿ"]
            );
            assert_eq!(firsts(&utf8.query("SELECT email FROM customers")), [ACUTE]);
            assert_eq!(first(&raw.query("SELECT email FROM customers")), LATIN1);
            // Several statements in one text, and one transaction.
            let frames = query(
                &mut raw,
                &[b"BEGIN; SELECT email FROM customers WHERE email = '", LATIN1, b"'; COMMIT"],
            );
            assert_eq!(first(&frames), LATIN1);
            // Parameters, alone and in arrays.
            let array = [b"{x,", LATIN1, b"}"].concat();
            for (sql, value) in [("email = $1", LATIN1), ("email = ANY($1)", array.as_slice())] {
                let frames =
                    run(&mut raw, &format!("SELECT email FROM customers WHERE {sql}"), &[], &[Some(value)]);
                assert_eq!(first(&frames), LATIN1, "{sql}");
            }
            let mut binary = [1_u32, 0, 25, 1, 1, LATIN1.len() as u32].map(u32::to_be_bytes).concat();
            binary.extend_from_slice(LATIN1);
            let frames =
                run(&mut raw, "SELECT email FROM customers WHERE email = ANY($1)", &[1], &[Some(&binary)]);
            assert_eq!(first(&frames), LATIN1);
            // What is prepared is bound later, by the protocol and by SQL.
            raw.parse("s", "UPDATE customers SET phone = $1 WHERE id = 1 RETURNING phone", &[]);
            assert_eq!(errors(&raw.sync()), []);
            raw.bind("", "s", &[], &[Some(LATIN1)], &[1]);
            raw.execute("", 0);
            assert_eq!(first(&raw.sync()), LATIN1);
            assert_eq!(
                errors(&raw.query("PREPARE q(text) AS SELECT id FROM customers WHERE email = $1")),
                []
            );
            assert_eq!(first(&query(&mut raw, &[b"EXECUTE q('", LATIN1, b"')"])), b"1");
            // Cursors.
            raw.query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT email FROM customers");
            assert_eq!(first(&raw.query("FETCH c")), LATIN1);
            raw.query("COMMIT");
            // COPY, in each form, and in an encoding of its own.
            for (options, row) in [
                ("", [&b"2\t"[..], b"s3ntinel-\xe8", b"\n"].concat()),
                ("(FORMAT csv, HEADER match)", [&b"id,email\n2,\""[..], b"s3ntinel-\xe8", b"\"\n"].concat()),
                ("(ENCODING 'UTF8')", "2\ts3ntinel-è\n".as_bytes().to_vec()),
                ("(ENCODING 'windows-1252')", b"2\ts3ntinel-\x80\n".to_vec()),
            ] {
                raw.send(b'Q', &string(&format!("COPY customers (id, email) FROM STDIN {options}")));
                assert_eq!(raw.read().unwrap().tag, b'G');
                raw.send(b'd', &row);
                raw.send(b'c', b"");
                assert_eq!(errors(&raw.until_ready()), [], "{options}");
                let expected = if options.contains("1252") { "s3ntinel-€" } else { "s3ntinel-è" };
                assert_eq!(
                    firsts(&utf8.query("SELECT email FROM customers WHERE id = 2")),
                    [expected],
                    "{options}"
                );
                let out = format!("COPY (SELECT id, email FROM customers WHERE id = 2) TO STDOUT {options}")
                    .replace("HEADER match", "HEADER, FORCE_QUOTE (email)");
                assert_eq!(copied(&raw.query(&out)), row, "{options}");
                raw.query("DELETE FROM customers WHERE id = 2");
            }
            let binary = copied(&raw.query("COPY (SELECT email FROM customers) TO STDOUT (FORMAT binary)"));
            assert!(holds(&binary, LATIN1));
        }
        assert!(!holds(&tap.to_server(), b"s3ntinel"), "{major}: a value went upstream");
    }
}

#[test]
fn what_a_client_cannot_be_shown_is_the_servers_own_error_and_what_it_sends_wrong_too() {
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, _tap) = shop::open(&server);
        let mut utf8 = session(gate.address(), "UTF8");
        assert_eq!(
            errors(
                &utf8.query("INSERT INTO customers (id, email) VALUES (1, 'a'), (2, 's3ntinel-Ω'), (3, 'b')")
            ),
            []
        );
        for sql in [
            "SELECT email FROM customers ORDER BY id",
            "COPY (SELECT email FROM customers ORDER BY id) TO STDOUT",
        ] {
            let mut raw = session(gate.address(), "LATIN1");
            raw.send(b'Q', &string(sql));
            let mut last = None;
            while let Some(frame) = raw.read() {
                assert!(!holds(&frame.body, b"s3ntinel") && !holds(&frame.body, b"b\n"), "{sql}");
                last = Some(frame);
            }
            let last = last.unwrap();
            assert_eq!((last.tag, last.field(b'C').as_deref()), (b'E', Some("22P05")), "{major} {sql}");
        }
        let mut raw = session(gate.address(), "WIN1252");
        assert_eq!(states(&query(&mut raw, &[b"SELECT 'a\x81'"])), ["22P05"]);
        refused(&query(&mut raw, &[b"SELECT id FROM customers WHERE email = 'a\x81'"]));
        raw.send(b'Q', &string("COPY customers (id, email) FROM STDIN"));
        assert_eq!(raw.read().unwrap().tag, b'G');
        raw.send(b'd', b"7\ta\x81\n");
        raw.send(b'c', b"");
        assert_eq!(states(&raw.until_ready()), ["22P05"]);
        let null = [&b"COPY customers (id, email) TO STDOUT (NULL '"[..], b"\xe9", b"')"];
        assert_eq!(states(&query(&mut raw, &null)), ["SG001"]);
        assert_eq!(firsts(&raw.query("SELECT email FROM customers WHERE id = 1")), ["a"]);
    }
}

/// The server converts the names of statements and portals as it does texts, so that one name is other bytes
/// in another encoding.
#[test]
fn a_name_beyond_ascii_leads_to_no_other_statement_by_a_change_of_encoding() {
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, tap) = shop::open(&server);
        for (first, turns, name) in [("UTF8", "LATIN1", &b"\xe9"[..]), ("LATIN1", "UTF8", "é".as_bytes())] {
            let named = |raw: &mut Raw, tag: u8, name: &[u8], rest: &[u8]| {
                raw.send(tag, &[name, &b"\0"[..], rest].concat());
            };
            let made = if first == "UTF8" { "é".as_bytes() } else { b"\xe9" };
            let mut raw = session(gate.address(), first);
            named(&mut raw, b'P', made, b"INSERT INTO customers (id, email) VALUES (1, $1)\0\0\0");
            let _ = raw.sync();
            assert_eq!(errors(&raw.query(&format!("SET client_encoding TO '{turns}'"))), []);
            named(&mut raw, b'B', b"", &[name, b"\0\0\0\0\x01\0\0\0\x08s3ntinel\0\0"].concat());
            raw.execute("", 0);
            assert_eq!(states(&raw.sync()), ["SG001"], "{major} {first}");
            // And by a function of which nothing is known, in the same batch.
            let mut raw = session(gate.address(), first);
            named(&mut raw, b'P', made, b"INSERT INTO customers (id, email) VALUES (1, $1)\0\0\0");
            let _ = raw.sync();
            raw.parse("", &format!("SELECT set_config('client_' || 'encoding', '{turns}', false)"), &[]);
            raw.bind("", "", &[], &[], &[]);
            raw.execute("", 0);
            named(&mut raw, b'B', b"", &[name, b"\0\0\0\0\x01\0\0\0\x08s3ntinel\0\0"].concat());
            raw.execute("", 0);
            assert_eq!(states(&raw.sync()), ["SG001"], "{major} {first}");
        }
        assert!(!holds(&tap.to_server(), b"s3ntinel"), "{major}: a value went upstream");
    }
}

fn turner(server: &Throwaway) {
    let sql = "CREATE FUNCTION turn(text) RETURNS text LANGUAGE plpgsql AS \
        $$ BEGIN RETURN set_config('client_' || 'encoding', $1, false); END $$";
    server.execute("postgres", sql).unwrap();
}

#[test]
fn a_session_of_another_encoding_is_refused_when_it_begins_and_never_wrong() {
    for major in VERSIONS {
        let server = shop::server(major);
        turner(&server);
        let recorded = Setup::before(server.address()).field("public.customers", "city", "none").start();
        let (gate, tap) = shop::open(&server);
        let seed = format!("INSERT INTO customers (id, email) VALUES (1, '{ACUTE}')");
        assert_eq!(errors(&session(gate.address(), "UTF8").query(&seed)), []);
        for encoding in ["SJIS", "BIG5", "GBK", "UHC", "GB18030", "EUC_JP", "EUC_KR"] {
            let mut raw = Raw::connect(gate.address());
            raw.startup(&[("user", "postgres"), ("database", "postgres"), ("client_encoding", encoding)]);
            let mut last = None;
            while let Some(frame) = raw.read() {
                assert_ne!(frame.tag, b'Z', "{encoding}");
                last = Some(frame);
            }
            let last = last.unwrap();
            assert_eq!(last.field(b'C').as_deref(), Some("SG001"), "{encoding}");
            assert!(last.field(b'M').unwrap().contains("client_encoding"), "{encoding}");
            // Where nothing is sealed it is nobody's affair.
            assert_eq!(firsts(&session(recorded.address(), encoding).query("SELECT 1")), ["1"], "{encoding}");
            let mut raw = session(gate.address(), "UTF8");
            refused(&raw.query(&format!("SET client_encoding TO '{encoding}'")));
            assert_eq!(firsts(&raw.query("SELECT email FROM customers")), [ACUTE]);
            // By code that nobody has read: from then on nothing sealed is touched.
            assert_eq!(errors(&raw.query(&format!("SELECT turn('{encoding}')"))), []);
            refused(&raw.query("SELECT email FROM customers"));
            refused(&raw.query("INSERT INTO customers (id, email) VALUES (9, 's3ntinel-plain')"));
            refused(&raw.query("COPY customers (id, email) TO STDOUT"));
            refused(&raw.query("COPY customers (id, email) FROM STDIN"));
            raw.parse("", "INSERT INTO customers (id, email) VALUES (9, $1)", &[]);
            raw.bind("", "", &[], &[Some(b"s3ntinel-Jos\xe9")], &[]);
            raw.execute("", 0);
            refused(&raw.sync());
            assert_eq!(errors(&raw.query("SET client_encoding TO 'LATIN1'")), []);
            assert_eq!(first(&raw.query("SELECT email FROM customers")), LATIN1);
        }
        let mut raw = session(gate.address(), "UTF8");
        let frames = raw.query("SET client_encoding TO 'nonsense'");
        assert_eq!(states(&frames), ["22023"], "the server's own word");
        assert!(!holds(&tap.to_server(), b"s3ntinel"), "{major}: a value went upstream");
    }
}

/// A turn that nobody waits for.
#[test]
fn what_is_sent_behind_a_change_of_encoding_is_read_in_the_new_one() {
    for major in VERSIONS {
        let server = shop::server(major);
        turner(&server);
        let (gate, tap) = shop::open(&server);
        let seed = format!("INSERT INTO customers (id, email) VALUES (1, '{ACUTE}')");
        assert_eq!(errors(&session(gate.address(), "UTF8").query(&seed)), []);
        for turn in ["SET client_encoding TO 'LATIN1'", "SELECT turn('LATIN1')"] {
            let mut raw = session(gate.address(), "UTF8");
            raw.cork();
            raw.send(b'Q', &string(turn));
            raw.parse("", "UPDATE customers SET phone = $1 WHERE id = 1 RETURNING email", &[]);
            raw.bind("", "", &[], &[Some(b"s3ntinel-\xc3\xa9")], &[]);
            raw.execute("", 0);
            raw.send(b'S', b"");
            let _ = raw.until_ready();
            assert_eq!(first(&raw.until_ready()), LATIN1, "{turn}");
            let frames = session(gate.address(), "UTF8").query("SELECT phone FROM customers");
            assert_eq!(firsts(&frames), ["s3ntinel-Ã©"], "{turn}: two letters by then");
        }
        // A portal that was opened before.
        let mut raw = session(gate.address(), "UTF8");
        raw.query("BEGIN");
        raw.parse("", "SELECT email FROM customers", &[]);
        raw.bind("c", "", &[], &[], &[]);
        assert_eq!(errors(&raw.sync()), []);
        raw.query("SET client_encoding TO 'LATIN1'");
        raw.execute("c", 0);
        assert_eq!(first(&raw.sync()), LATIN1);
        // A text that turns it and takes data.
        let mut raw = session(gate.address(), "UTF8");
        refused(&raw.query("SET client_encoding TO 'LATIN1'; COPY customers (id, email) FROM STDIN"));
        assert!(!holds(&tap.to_server(), b"s3ntinel"), "{major}: a value went upstream");
    }
}

#[test]
fn databases_of_one_byte_a_character_serve_clients_as_they_would_themselves() {
    for major in VERSIONS {
        let server = shop::server(major);
        let sql = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
        server.execute("postgres", sql).unwrap();
        server.execute("latin", shop::SCHEMA).unwrap();
        let (gate, tap) = shop::open(&server);
        let open = |encoding: &str| {
            let who = [("user", "postgres"), ("database", "latin"), ("client_encoding", encoding)];
            Raw::login_with(gate.address(), &who)
        };
        for (id, encoding) in ["LATIN1", "SQL_ASCII", "UTF8"].iter().enumerate() {
            let value: &[u8] = if *encoding == "UTF8" { ACUTE.as_bytes() } else { LATIN1 };
            let mut raw = open(encoding);
            let value = [value, &[b'0' + u8::try_from(id).unwrap()]].concat();
            let insert = format!("INSERT INTO customers (id, email) VALUES ({id}, $1)");
            assert_eq!(errors(&run(&mut raw, &insert, &[], &[Some(&value)])), [], "{encoding}");
            let frames = query(&mut raw, &[b"SELECT email FROM customers WHERE email = '", &value, b"'"]);
            assert_eq!(first(&frames), value, "{major} {encoding}");
            let frames = open("UTF8").query(&format!("SELECT email FROM customers WHERE id = {id}"));
            assert_eq!(firsts(&frames), [format!("{ACUTE}{id}")], "{major} {encoding}");
        }
        assert!(!holds(&tap.to_server(), b"s3ntinel"), "{major}: a value went upstream");
    }
}

/// What changes the encoding, and what is read in the same text or batch before the server has said so.
#[test]
fn what_changes_the_encoding_shows_no_sealed_value_in_the_same_text_or_batch() {
    let server = shop::server(18);
    let (gate, _tap) = shop::open(&server);
    let plain = || Raw::login(gate.address(), "postgres", "postgres");
    let seed = format!("INSERT INTO customers (id, email) VALUES (1, '{ACUTE}')");
    assert_eq!(errors(&plain().query(&seed)), []);
    let read = "SELECT email FROM customers";
    let batch = |raw: &mut Raw, first: &str| {
        for sql in [first, read] {
            raw.parse("", sql, &[]);
            raw.bind("", "", &[], &[], &[]);
            raw.execute("", 0);
        }
        raw.sync()
    };
    for change in [
        "SET client_encoding = 'LATIN1'",
        "SET LOCAL Client_Encoding TO LATIN1",
        "SET NAMES 'LATIN1'",
        "RESET client_encoding",
        "SELECT set_config('client_encoding', 'LATIN1', false)",
        "SELECT set_config('CLIENT_' || 'encoding', 'LATIN1', false)",
        "SELECT set_config(lower('client_encoding'), 'LATIN1', false)",
    ] {
        refused(&plain().query(&format!("{change}; {read}")));
        refused(&batch(&mut plain(), change));
    }
    for sql in [
        "WITH c AS MATERIALIZED (SELECT set_config('client_encoding', 'LATIN1', false) AS s) \
            SELECT email FROM customers, c WHERE c.s <> ''",
        "SELECT set_config('client_' || 'encoding', 'LATIN1', false), email FROM customers",
    ] {
        refused(&plain().query(sql));
    }
    // What leads back to the encoding that the session began with.
    for change in ["RESET ALL", "DISCARD ALL", "ROLLBACK"] {
        let who = [("user", "postgres"), ("database", "postgres"), ("client_encoding", "LATIN1")];
        let mut raw = Raw::login_with(gate.address(), &who);
        if change == "ROLLBACK" {
            raw.query("BEGIN");
        }
        raw.query("SET client_encoding TO 'UTF8'");
        if change != "DISCARD ALL" {
            refused(&raw.query(&format!("{change}; {read}")));
        }
        if change == "ROLLBACK" {
            raw.query("ROLLBACK; BEGIN; SET client_encoding TO 'UTF8'");
        }
        refused(&batch(&mut raw, change));
    }
    // What sets anything else goes on, as middleware has it.
    for settings in [
        "SELECT set_config('request.jwt.claims', '{}', true), set_config('role', 'postgres', true)",
        "SELECT set_config('search_path', '\"public\"', true)",
        "SET application_name = 'x'",
        "SET LOCAL ROLE postgres",
        "RESET application_name",
        "SELECT 1",
    ] {
        assert_eq!(
            firsts(&plain().query(&format!("BEGIN; {settings}; {read}"))).last().unwrap(),
            ACUTE,
            "{settings}"
        );
        assert_eq!(firsts(&batch(&mut plain(), settings)).last().unwrap(), ACUTE, "{settings}");
    }
}

/// An array in its binary form has each of its elements in the client's encoding, both ways and in COPY.
#[test]
fn the_elements_of_a_binary_array_are_converted() {
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE TABLE tagged (id int PRIMARY KEY, tags text)").unwrap();
        let gate = Setup::before(server.address())
            .field_with("public.tagged", "tags", "equality", "type = \"text[]\"")
            .start();
        let mut latin = session(gate.address(), "LATIN1");
        let array = |element: &[u8]| {
            let head = [1, 1, 25, 2, 1, i32::try_from(element.len()).unwrap()].map(i32::to_be_bytes).concat();
            [&head, element, &(-1_i32).to_be_bytes()].concat()
        };
        let given = array(LATIN1);
        assert_eq!(errors(&run(&mut latin, "INSERT INTO tagged VALUES (1, $1)", &[1], &[Some(&given)])), []);
        let mut utf8 = session(gate.address(), "UTF8");
        assert_eq!(firsts(&utf8.query("SELECT tags FROM tagged")), [format!("{{{ACUTE},NULL}}")], "{major}");
        for (raw, element) in [(&mut latin, LATIN1), (&mut utf8, ACUTE.as_bytes())] {
            raw.parse("", "SELECT tags FROM tagged WHERE id = 1", &[]);
            raw.bind("", "", &[], &[], &[1]);
            raw.execute("", 0);
            assert_eq!(first(&raw.sync()), array(element), "{major}");
            let poured = copied(&raw.query("COPY (SELECT tags FROM tagged) TO STDOUT (FORMAT binary)"));
            assert!(holds(&poured, &array(element)), "{major}");
        }
        // What the client's encoding has no form for is the server's own error, and what is no array is one, too.
        utf8.query("UPDATE tagged SET tags = '{\u{3b1}}'");
        latin.parse("", "SELECT tags FROM tagged WHERE id = 1", &[]);
        latin.bind("", "", &[], &[], &[1]);
        latin.execute("", 0);
        latin.send(b'S', &[]);
        let mut frames = Vec::new();
        while let Some(frame) = latin.read() {
            frames.push(frame);
        }
        assert_eq!(states(&frames), ["22P05"], "{major}");
        let mut latin = session(gate.address(), "LATIN1");
        let cut = &given[..given.len() - 5];
        let sent = run(&mut latin, "UPDATE tagged SET tags = $1", &[1], &[Some(cut)]);
        assert_eq!(states(&sent).len(), 1, "{major}");
    }
}
