//! Code of the database that runs where nobody would look for it, and changes how the next text
//! of the same batch is read. Every way by which it can run, with everything that it can change
//! and every text that rests on it: no value of a sealed column goes to the server, and no
//! legible one comes out unrecorded.

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, pg};
use crate::shop::{holds, records};

const LEGIBLE: &str = "legible-4f21";

/// What code may change: by which statement, and how a session begins so that it does.
const CHANGES: [(&str, &str, &str); 4] = [
    ("mode", "SET standard_conforming_strings = off", "SELECT 1"),
    ("path", "SET search_path = public", "SET search_path = other"),
    ("columns", "EXECUTE 'ALTER TABLE public.cust' || 'omers DROP COLUMN id, ADD COLUMN id int'", "SELECT 1"),
    ("encoding", "SET client_encoding = 'SJIS'", "SELECT 1"),
];

/// How it runs before the text, in the same batch or before it.
const WAYS: [&str; 9] = [
    "bind",
    "bind and flush",
    "execute",
    "execute and flush",
    "a domain at bind",
    "a domain at bind and flush",
    "in a transaction",
    "by DO",
    "in the same text",
];

/// What the client says then, in the state that it knows of: the secret is for `email`.
const TEXTS: [(&str, &str); 9] = [
    ("mode", "INSERT INTO public.customers (note, email) VALUES ('\\', /*', '{s}') --*/ 'x')"),
    ("mode", "INSERT INTO public.customers (note, email) VALUES ('a\\'', '{s}')"),
    ("mode", "SELECT '\\'', nick || '' FROM public.customers --'"),
    ("path", "INSERT INTO customers (id, email) VALUES (1, '{s}')"),
    ("path", "INSERT INTO customers VALUES (1, '{s}')"),
    ("path", "SELECT nick FROM customers WHERE email = '{s}' OR true"),
    ("columns", "INSERT INTO public.customers VALUES ('{s}', 'n', 'x')"),
    ("columns", "SELECT * FROM public.customers"),
    ("encoding", "INSERT INTO public.customers (note, email) VALUES (E'\u{2081}\\', '{s}')"),
];

fn start(major: u32) -> (Throwaway, Gate, Tap) {
    let server = pg(major);
    server.create_database("shop").unwrap();
    let mut sql =
        "CREATE SCHEMA other; CREATE TABLE other.customers (id int, email text, nick text);".to_owned();
    for (name, change, _) in CHANGES {
        sql += &format!(
            "CREATE FUNCTION act_{name}() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN {change}; RETURN 1; END $$; \
             CREATE FUNCTION fold_{name}() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.act_{name}(); RETURN 1; END $$; \
             CREATE FUNCTION check_{name}(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.act_{name}(); RETURN true; END $$; \
             CREATE DOMAIN dom_{name} AS text CHECK (public.check_{name}(VALUE));"
        );
    }
    server.execute("shop", &sql).unwrap();
    let tap = Tap::before(server.address());
    // Values may be given to them, or they would not run at all.
    let functions = |(name, _, _)| {
        [
            format!("public.act_{name}()"),
            format!("public.fold_{name}()"),
            format!("public.check_{name}(text)"),
        ]
    };
    let vouched: Vec<String> = CHANGES.into_iter().flat_map(functions).collect();
    let gate = Setup::before(tap.address())
        .field("public.customers", "email", "equality")
        .field("public.customers", "nick", "none")
        .extra(&format!("[policy]\nvouch = {vouched:?}\n"))
        .late()
        .start();
    (server, gate, tap)
}

const TABLE: &str = "DROP TABLE IF EXISTS public.customers; \
    CREATE TABLE public.customers (id int, email text, nick text, note text); \
    INSERT INTO public.customers (id, nick) VALUES (7, 'legible-4f21')";

/// Runs the code, in the way that is asked for; false: the text goes with it.
fn run(raw: &mut Raw, way: &str, name: &str) -> bool {
    let fold = format!("SELECT public.fold_{name}()");
    let act = format!("SELECT public.act_{name}()");
    let domain = format!("SELECT $1::public.dom_{name}");
    let (bound, value): (&str, &[Option<&[u8]>]) = match way {
        "bind" | "bind and flush" => (&fold, &[]),
        "a domain at bind" | "a domain at bind and flush" => (&domain, &[Some(b"x")]),
        "in a transaction" => {
            raw.query("BEGIN");
            raw.query(&act);
            return true;
        }
        "by DO" => {
            raw.query(&format!("DO $$ BEGIN PERFORM public.act_{name}(); END $$"));
            return true;
        }
        "in the same text" => return false,
        _ => (&act, &[]),
    };
    raw.parse("", bound, &[]);
    raw.bind("", "", &[], value, &[]);
    if way.starts_with("execute") {
        raw.execute("", 0);
    }
    if way.ends_with("flush") {
        raw.flush();
        // Until the last answer of the batch has come.
        let last = if way.starts_with("execute") { b"CE" } else { b"2E" };
        while let Some(frame) = raw.read() {
            if last.contains(&frame.tag) {
                break;
            }
        }
    }
    true
}

fn shown(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.tag == b'D' && holds(&frame.body, LEGIBLE.as_bytes())).count()
}

#[test]
fn no_code_that_runs_unseen_makes_a_value_go_upstream_or_come_out_unrecorded() {
    for major in VERSIONS {
        let (server, gate, tap) = start(major);
        let (mut tried, mut out) = (0, 0);
        for (name, _, before) in CHANGES {
            // A text is cut into words as a whole, before any of it runs.
            let by_words = name == "mode" || name == "encoding";
            for way in WAYS.into_iter().filter(|way| !(by_words && *way == "in the same text")) {
                for (_, text) in TEXTS.iter().filter(|(of, _)| *of == name) {
                    for simple in [true, false] {
                        server.execute("shop", TABLE).unwrap();
                        let mut raw = Raw::login(gate.address(), "postgres", "shop");
                        // It has been judged before, and knows the table of now.
                        raw.query("SELECT id FROM public.customers");
                        raw.query(before);
                        let secret = format!("secret-{:016x}", rand::random::<u64>());
                        let mut text = text.replace("{s}", &secret);
                        if !run(&mut raw, way, name) {
                            text = format!("SELECT public.act_{name}(); {text}");
                        }
                        let frames = if simple {
                            raw.query(&text)
                        } else {
                            raw.parse("", &text, &[]);
                            raw.bind("", "", &[], &[], &[]);
                            raw.execute("", 0);
                            raw.sync()
                        };
                        tried += 1;
                        out += shown(&frames);
                        let wire = holds(&tap.to_server(), secret.as_bytes());
                        assert!(!wire, "{name} changed {way}, then {text}, on {major}");
                    }
                }
            }
        }
        let outcomes = records(&gate);
        let outcomes =
            outcomes.iter().filter(|record| record["kind"] == "outcome" && record["action"] == "read");
        let counted: u64 = outcomes.filter_map(|record| record["cells"].as_u64()).sum();
        assert!(
            out as u64 <= counted && tried > 150,
            "{out} shown, {counted} on record, {tried} tried on {major}"
        );
    }
}
