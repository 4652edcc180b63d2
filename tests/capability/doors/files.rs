//! The server's own files and programs: whoever may COPY by them reads what is stored past every
//! judgement.

use crate::harness::{Raw, Setup, VERSIONS, pg, string};
use crate::shop::{self, classified, firsts, states, tags};

const WAYS: [&str; 6] = [
    "COPY orders (item) FROM PROGRAM 'echo x'",
    "COPY orders TO '/dev/null'",
    "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "copy orders from/**/E'/dev/null'",
    "COPY orders FROM $$/dev/null$$",
    "CREATE TEMP TABLE z (t text); COPY z FROM PROGRAM 'echo x'",
];

#[test]
fn copy_by_files_and_programs_of_the_server_is_refused_where_something_is_classified() {
    for major in VERSIONS {
        let server = shop::server(major);
        let gate = classified(Setup::before(server.address())).start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for sql in WAYS {
            let frames = raw.query(sql);
            assert_eq!(states(&frames), ["SG001"], "{sql} on {major}");
            let hint = frames[0].field(b'H').unwrap();
            assert!(hint.contains("STDIN"), "{hint}");
            raw.parse("", sql.rsplit("; ").next().unwrap(), &[]);
            assert_eq!(states(&raw.sync()), ["SG001"], "{sql} prepared, on {major}");
        }
        // As the hint says.
        raw.send(b'Q', &string("COPY orders (id, item) FROM STDIN"));
        assert_eq!(raw.read().unwrap().tag, b'G');
    }
}

#[test]
fn copy_by_files_goes_on_where_nothing_is_classified() {
    let server = pg(15);
    server.execute("postgres", "CREATE TABLE orders (item text)").unwrap();
    let setup = Setup::before(server.address());
    let gate =
        setup.field_with("public.customers", "email", "equality", "database = \"shop\"").late().start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(tags(&raw.query("COPY orders FROM PROGRAM 'echo by a program'")), "CZI");
    assert_eq!(firsts(&raw.query("SELECT item FROM orders")), ["by a program"]);
}
