//! At the gate, a column that does not fit refuses its own use, and no other's.

use tokio_postgres::Error;

use crate::harness::{Session, Setup, VERSIONS, await_that, pg};

const TABLE: &str = "CREATE TABLE client (id int PRIMARY KEY, email text, phone text, diary text, note text, \
    rank int); CREATE UNIQUE INDEX client_mail ON client (rank, lower(email)); \
    CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note = 'marked'; RETURN NEW; END $$; \
    CREATE TRIGGER t BEFORE UPDATE ON client FOR EACH ROW WHEN (OLD.diary IS DISTINCT FROM NEW.diary) \
    EXECUTE FUNCTION mark();";

fn reason(error: &Error) -> (String, String) {
    let error = error.as_db_error().unwrap();
    (error.code().code().to_owned(), error.detail().unwrap_or_default().to_owned())
}

#[test]
fn a_column_that_does_not_fit_refuses_its_own_use_alone() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", TABLE).unwrap();
        let gate = Setup::before(server.address())
            .field("public.client", "email", "equality")
            .field("public.client", "phone", "equality")
            .field("public.client", "diary", "random")
            .start();
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        let run = |sql: &str| session.text(sql);
        // A definition of the table that goes through the gate has it look at once.
        let look = |column: &str| run(&format!("ALTER TABLE client ADD COLUMN {column} int")).unwrap();
        for sql in [
            "INSERT INTO client (id, phone, note, rank) VALUES (1, '555', 'x', 7)",
            "UPDATE client SET note = 'y', phone = '556' WHERE id = 1",
            "DELETE FROM client WHERE id = 2",
        ] {
            run(sql).unwrap_or_else(|error| panic!("{major}: {sql}: {:?}", reason(&error)));
        }
        let rows = run("SELECT id, phone, note FROM client WHERE phone = '556'").unwrap();
        assert_eq!(rows, [["1", "556", "y"].map(|value| Some(value.to_owned()))]);
        for (sql, words) in [
            ("SELECT email FROM client", "client_mail"),
            ("SELECT * FROM client", "client_mail"),
            ("SELECT id FROM client WHERE email = 'a@sentinel.example'", "client_mail"),
            ("INSERT INTO client (id, email) VALUES (3, 'a@sentinel.example')", "client_mail"),
            ("UPDATE client SET rank = 8 WHERE id = 1", "client_mail"),
            ("UPDATE client SET diary = 'dear' WHERE id = 1", "trigger t"),
            ("SELECT diary FROM client", "trigger t"),
        ] {
            let (state, detail) = reason(&run(sql).expect_err(sql));
            assert!(state == "SG001" && detail.contains(words), "{major}: {sql}: {state} {detail}");
            assert!(!detail.contains("sentinel"));
        }
        let stored = server.query("postgres", "SELECT email, rank FROM client").unwrap();
        assert_eq!(stored, [[None, Some("7".to_owned())]]);

        // Mended past the gate, by what check prints.
        let sql = String::from_utf8(gate.verb(&["check", "--sql"]).stdout).unwrap();
        server.execute("postgres", &sql).unwrap();
        look("one");
        await_that("the columns to be of use", || run("SELECT email, diary FROM client").is_ok());
        run("INSERT INTO client (id, email, diary) VALUES (3, 'a@sentinel.example', 'dear')").unwrap();

        // Whoever leaves it out would store its default, past the gate.
        server.execute("postgres", "ALTER TABLE client ALTER phone SET DEFAULT 'none'").unwrap();
        look("two");
        await_that("the default to be seen", || run("INSERT INTO client (id) VALUES (4)").is_err());
        let (state, detail) = reason(&run("INSERT INTO client (id) VALUES (4)").unwrap_err());
        assert!(state == "SG001" && detail.contains("phone has a default"), "{state} {detail}");
        run("UPDATE client SET note = 'z' WHERE id = 1").unwrap();
        run("SELECT email FROM client").unwrap();
    }
}
