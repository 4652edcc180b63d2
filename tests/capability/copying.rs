//! Triggers that only copy: the history of a sealed table is sealed, too, and is written by the server as
//! before. One that does more than copy is refused on its table, by name.

use crate::harness::{Raw, Setup, Tap, VERSIONS, await_that, pg, search_server};
use crate::shop::{errors, firsts, holds, states};

const SCHEMA: &str = "CREATE TABLE client (id int PRIMARY KEY, email text UNIQUE, diary text, changed timestamptz); \
    CREATE TABLE client_history (op text, id int, email text, diary text); \
    CREATE TABLE lead (id int PRIMARY KEY, email text); CREATE TABLE orders (id int, note text); \
    CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF TG_OP = 'DELETE' THEN INSERT INTO client_history (op, id, email, diary) SELECT 'D', OLD.id, OLD.email, OLD.diary; RETURN OLD; \
        ELSIF TG_OP = 'UPDATE' THEN \
            IF OLD.email IS DISTINCT FROM NEW.email THEN \
                INSERT INTO client_history (op, id, email) VALUES ('U', NEW.id, OLD.email); \
            END IF; RETURN NEW; \
        ELSE INSERT INTO client_history (op, id, email, diary) VALUES ('I', NEW.id, NEW.email, NEW.diary); RETURN NEW; END IF; END $$; \
    CREATE TRIGGER remembers AFTER INSERT OR UPDATE OR DELETE ON client FOR EACH ROW EXECUTE FUNCTION remember(); \
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF NEW.email IS DISTINCT FROM OLD.email THEN NEW.changed := now(); END IF; RETURN NEW; END $$; \
    CREATE TRIGGER touches BEFORE UPDATE ON client FOR EACH ROW EXECUTE FUNCTION touch(); \
    CREATE FUNCTION lowers() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        NEW.email := lower(NEW.email); RETURN NEW; END $$; \
    CREATE TRIGGER lowers BEFORE INSERT ON lead FOR EACH ROW EXECUTE FUNCTION lowers(); \
    CREATE FUNCTION carries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO client_history (op, email) VALUES ('O', NEW.note); RETURN NEW; END $$; \
    CREATE TRIGGER carries AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION carries(); \
    CREATE VIEW hidden AS SELECT id AS n, email AS m FROM lead; \
    CREATE TABLE log (id int, what text); CREATE TABLE notes (id int, what text, email text); \
    CREATE FUNCTION by_view() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF NEW.email IS NOT NULL THEN INSERT INTO hidden (n, m) VALUES (NEW.id, NEW.what); END IF; RETURN NEW; END $$; \
    CREATE TRIGGER by_view AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION by_view(); \
    CREATE FUNCTION by_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO lead (id, email) VALUES (NEW.id, NEW.what); RETURN NEW; END $$; \
    CREATE TRIGGER by_log AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION by_log(); \
    CREATE TABLE visits (id int, what text, email text); \
    CREATE FUNCTION to_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF NEW.email IS NOT NULL THEN INSERT INTO log (id, what) VALUES (NEW.id, NEW.what); END IF; RETURN NEW; END $$; \
    CREATE TRIGGER to_log AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION to_log();";

#[test]
fn a_trigger_that_copies_keeps_the_history_of_a_sealed_table_and_no_other_is_run() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", SCHEMA).unwrap();
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address())
            .field("public.client", "email", "equality")
            .field("public.client", "diary", "random")
            .field("public.client_history", "email", "equality")
            .field("public.client_history", "diary", "random")
            .field("public.lead", "email", "equality")
            .field("public.notes", "email", "equality")
            .field("public.visits", "email", "equality")
            .start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let mut ok = |sql: &str| {
            let frames = raw.query(sql);
            assert_eq!(errors(&frames), [], "{major}: {sql}");
            firsts(&frames)
        };
        ok("INSERT INTO client (id, email, diary) VALUES (1, 'ada@sentinel.example', 'sentinel one')");
        ok("UPDATE client SET diary = 'sentinel two' WHERE email = 'ada@sentinel.example'");
        ok("UPDATE client SET email = 'eve@sentinel.example' WHERE id = 1");
        ok("DELETE FROM client WHERE email = 'eve@sentinel.example'");
        assert_eq!(ok("SELECT op FROM client_history"), ["I", "U", "D"]);
        let seen = ok("SELECT email FROM client_history WHERE email = 'ada@sentinel.example'");
        assert_eq!(seen, ["ada@sentinel.example"; 2]);
        assert_eq!(ok("SELECT diary FROM client_history WHERE op = 'D'"), ["sentinel two"]);
        for sql in [
            "INSERT INTO lead (id, email) VALUES (1, 'ada@sentinel.example')",
            "INSERT INTO orders (id, note) VALUES (1, 'plain')",
            // What the body of one names leads on: through a view, and through a table with a trigger of its own.
            "INSERT INTO notes (id, what, email) VALUES (1, 'plain', 'a')",
            "INSERT INTO log (id, what) VALUES (1, 'plain')",
            "INSERT INTO visits (id, what, email) VALUES (1, 'plain', 'a')",
        ] {
            assert_eq!(states(&raw.query(sql)), ["SG001"], "{major}: {sql}");
        }
        assert!(!holds(&tap.to_server(), b"sentinel"), "{major}");
        assert_eq!(search_server(&server, b"sentinel"), []);
    }
}

#[test]
fn a_table_that_is_made_of_sealed_columns_is_sealed_where_the_policy_names_it_and_not_made_where_it_does_not()
{
    for major in VERSIONS {
        let server = pg(major);
        server
            .execute("postgres", "CREATE TABLE client (id int PRIMARY KEY, email text, note text)")
            .unwrap();
        let tap = Tap::before(server.address());
        let of_copy = Setup::before(tap.address()).field("public.client", "email", "equality");
        let gate = of_copy.field("public.copied", "email", "equality").late().start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let mut ok = |sql: &str| {
            let frames = raw.query(sql);
            assert_eq!(errors(&frames), [], "{major}: {sql}");
            firsts(&frames)
        };
        ok("INSERT INTO client VALUES (1, 'ada@sentinel.example', 'a'), (2, NULL, 'b')");
        ok(
            "CREATE TABLE copied AS SELECT id, coalesce(email, 'nobody@sentinel.example') AS email FROM client",
        );
        ok("INSERT INTO copied VALUES (3, 'bob@sentinel.example')");
        assert_eq!(
            ok("SELECT email FROM copied ORDER BY id"),
            ["ada@sentinel.example", "nobody@sentinel.example", "bob@sentinel.example"]
        );
        assert_eq!(ok("SELECT c.id FROM client JOIN copied c USING (email)"), ["1"]);
        for (sql, says) in [
            ("CREATE TABLE other AS SELECT * FROM client", "in the policy first"),
            ("CREATE TABLE other AS SELECT email FROM client", "into a temporary table"),
        ] {
            let frames = raw.query(sql);
            assert_eq!(states(&frames), ["SG001"], "{major}: {sql}");
            let hint = frames.iter().find(|frame| frame.tag == b'E').unwrap().field(b'H').unwrap();
            assert!(hint.contains(says), "{hint}");
        }
        assert!(!holds(&tap.to_server(), b"sentinel"), "{major}");
        assert_eq!(search_server(&server, b"sentinel"), []);
    }
}

/// As migrations write them, in one text or in several, and what does more than copy.
#[test]
fn a_trigger_is_made_through_the_gate_and_judged_before_a_row_meets_it() {
    const MADE: &str = "ALTER TABLE client ADD COLUMN updated timestamptz NOT NULL DEFAULT 'epoch'; \
        CREATE OR REPLACE FUNCTION set_updated() RETURNS trigger AS $body$ \
        BEGIN NEW.updated := now(); RETURN NEW; END; $body$ LANGUAGE plpgsql; \
        CREATE TRIGGER updates BEFORE UPDATE ON client FOR EACH ROW EXECUTE FUNCTION set_updated(); \
        CREATE INDEX updated_first ON client (updated DESC)";
    for major in VERSIONS {
        let server = pg(major);
        server
            .execute("postgres", "CREATE TABLE client (id int PRIMARY KEY, email text, note text)")
            .unwrap();
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address()).field("public.client", "email", "equality").start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let mut other = Raw::login(gate.address(), "postgres", "postgres");
        let ok = |raw: &mut Raw, sql: &str| {
            let frames = raw.query(sql);
            let detail = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
            assert_eq!(errors(&frames), [], "{major}: {sql}: {detail:?}");
            firsts(&frames)
        };
        ok(&mut raw, "INSERT INTO client (id, email) VALUES (1, 'ada@sentinel.example')");
        ok(&mut raw, MADE);
        let update = "UPDATE client SET note = 'x' WHERE email = 'ada@sentinel.example' RETURNING updated";
        assert!(!ok(&mut other, update)[0].starts_with("1970"), "{major}");
        // Behind it in its transaction, and in its text, nobody has judged it.
        let lowers = "CREATE FUNCTION lowers() RETURNS trigger LANGUAGE plpgsql AS \
            $$ declare v text; BEGIN NEW.email := lower(NEW.email); RETURN NEW; END $$";
        let makes = "CREATE TRIGGER lowers BEFORE INSERT ON client FOR EACH ROW EXECUTE FUNCTION lowers()";
        let insert =
            |id: u32| format!("INSERT INTO client (id, email) VALUES ({id}, 'Eve@sentinel.example')");
        ok(&mut raw, lowers);
        assert_eq!(states(&raw.query(&format!("{makes}; {}", insert(2)))), ["SG001"], "{major}");
        ok(&mut raw, "BEGIN");
        ok(&mut raw, makes);
        assert_eq!(states(&raw.query(&insert(3))), ["SG001"], "{major}");
        ok(&mut raw, "ROLLBACK");
        ok(&mut other, &insert(4));
        ok(&mut raw, makes);
        for session in [&mut raw, &mut other] {
            let refused = session.query(&insert(5));
            let detail = refused.iter().find(|frame| frame.tag == b'E').unwrap().field(b'D').unwrap();
            assert!(detail.contains("lowers"), "{major}: {detail}");
        }
        ok(&mut raw, "DROP TRIGGER lowers ON client");
        await_that("others may write again", || states(&other.query(&insert(6))).is_empty());
        for when in ["NEW.email IS NOT NULL", "OLD.* IS DISTINCT FROM NEW.*", "OLD IS DISTINCT FROM NEW"] {
            let sql = format!(
                "CREATE TRIGGER w BEFORE UPDATE ON client FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION set_updated()"
            );
            assert_eq!(states(&raw.query(&sql)), ["SG001"], "{major}: {when}");
        }
        ok(
            &mut raw,
            "CREATE TRIGGER w BEFORE UPDATE ON client FOR EACH ROW WHEN (OLD.note IS DISTINCT FROM NEW.note) \
             EXECUTE FUNCTION set_updated()",
        );
        let unsealed = "SELECT id FROM client WHERE email NOT LIKE 'SEAL%'";
        assert!(server.query("postgres", unsealed).unwrap().is_empty(), "{major}");
        assert!(!holds(&tap.to_server(), b"sentinel"), "{major}");
    }
}
