//! A login that fails stands in the record, whoever checks it: with the client's address, the name
//! that it gave, and the SQLSTATE that it was told.

use serde_json::Value;

use super::{libpq, scram_server, scram_setup};
use crate::harness::{Gate, Raw, Setup, VERSIONS};
use crate::shop::{classified, records, records_with};

fn told(gate: &Gate, count: usize) -> Vec<(String, String, String, String)> {
    let records = records_with(gate, "login", count);
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or("-").to_owned();
    let logins = records.iter().filter(|record| record["kind"] == "login");
    logins
        .map(|record| {
            assert_eq!((&record["verdict"], &record["auth"]), (&"refuse".into(), &"none".into()));
            assert_eq!(record["client"], "127.0.0.1");
            (text(record, "user"), text(record, "database"), text(record, "sqlstate"), text(record, "rule"))
        })
        .collect()
}

#[test]
fn a_failed_login_stands_in_the_record_with_who_where_from_and_why() {
    for major in VERSIONS {
        let server = scram_server(major);
        for (auth, by) in [("scram", "gate"), ("relay", "server")] {
            let setup = if auth == "scram" {
                scram_setup(&server)
            } else {
                Setup::before(server.address()).service("service", "service-secret")
            };
            let gate = classified(setup).late().start();
            let fails =
                |words: &str, password: &str| assert!(!libpq(&gate, words, password).status.success());
            fails("user=ada", "not-the-password-of-ada");
            fails("user=nobody", "ada-secret");
            fails("user=ada dbname=nowhere", "ada-secret");
            let expected = [
                ("ada", "postgres", "28P01", by),
                ("nobody", "postgres", "28P01", by),
                ("ada", "nowhere", "3D000", "server"),
            ];
            let expected = expected.map(|(user, database, state, by)| {
                (user.to_owned(), database.to_owned(), state.to_owned(), by.to_owned())
            });
            assert_eq!(told(&gate, 3), expected, "{auth} on {major}");
            // One that succeeds is a session, and no failure.
            assert!(libpq(&gate, "user=ada", "ada-secret").status.success());
            let after = records_with(&gate, "session", 2);
            assert_eq!(after.iter().filter(|record| record["kind"] == "login").count(), 3);
            let secret = b"not-the-password-of-ada";
            assert_eq!(crate::harness::search_folder(gate.folder(), secret), []);
        }
    }
}

#[test]
fn a_login_that_is_not_finished_in_time_stands_in_the_record_and_is_told() {
    let server = scram_server(18);
    for (auth, setup) in [
        ("scram", scram_setup(&server)),
        ("relay", Setup::before(server.address()).service("service", "service-secret")),
    ] {
        let gate = classified(setup).late().extra("\n[timeouts]\nlogin = \"1s\"\n").start();
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "ada"), ("database", "postgres")]);
        assert_eq!(raw.read().unwrap().tag, b'R', "{auth}: it is asked for its password, and says nothing");
        let last = raw.read().unwrap();
        assert_eq!((last.tag, last.field(b'C').as_deref()), (b'E', Some("57014")), "{auth}");
        assert!(raw.is_closed());
        let expected = ["ada", "postgres", "57014", "gate"].map(str::to_owned);
        assert_eq!(told(&gate, 1), [expected.into()], "{auth}");
        assert_eq!(gate.metric("sealgate_logins_failed_total{by=\"gate\"}"), Some(1.0), "{auth}");
    }
}

#[test]
fn a_flood_of_failures_does_not_fill_the_record() {
    let server = scram_server(18);
    let gate =
        classified(Setup::before(server.address()).service("service", "service-secret")).late().start();
    let fail = || {
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "x\u{7}y"), ("database", "postgres")]);
        assert_eq!(raw.until_ready()[0].field(b'C').as_deref(), Some("28000"));
    };
    (0..600).for_each(|_| fail());
    let counts = |records: &[Value]| {
        let logins: Vec<_> = records.iter().filter(|record| record["kind"] == "login").collect();
        let untold = logins.iter().filter_map(|record| record["untold"].as_u64()).sum::<u64>();
        (logins.len() as u64, untold)
    };
    let (told, _) = counts(&records(&gate));
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(told < 600 && told <= threads * 130, "{told} of 600");
    // What was not told one by one is told as a number.
    let mut gate = gate;
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    let (told, untold) = counts(&records(&gate));
    let last = records(&gate).iter().filter(|record| record["application"] == "sealgate").count() as u64;
    assert_eq!(told - last + untold, 600);
}
