//! Time zones and their abbreviations: those of the server against those that are built in.

use super::ask::{quoted, stored};
use super::{Differences, ours, send_of, session};
use sealgate::catalog::{Base, Logical};
use sealgate::types::{Format, Purpose, Style};

use crate::harness::{Session, VERSIONS, pg};

/// Times on which all releases of the time zone database of these years agree.
const TIMES: [&str; 6] = [
    "1975-07-01 12:00",
    "1989-03-26 02:30",
    "1999-10-31 01:30",
    "2010-01-15 00:00",
    "2020-06-15 23:59:59",
    "2600-06-15 12:00",
];

/// Reads each time in each of these zones. How many were taken, and what differs.
fn compare(session: &Session, names: &[String]) -> Differences {
    let logical = Logical::of(Base::Timestamptz);
    let style = Style::default();
    let texts: Vec<String> =
        names.iter().flat_map(|name| TIMES.map(|time| format!("{time} {name}"))).collect();
    let literals: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    let answers = stored(session, "timestamptz", send_of(&logical), &literals);
    let mut differences = Differences::default();
    for (text, theirs) in texts.iter().zip(&answers) {
        let own = ours(None, Format::Text, text.as_bytes(), &logical, Purpose::Assign, &style);
        differences.compare(&logical, text, theirs, own, &style, false);
    }
    differences
}

fn names(session: &Session, sql: &str) -> Vec<String> {
    session.text(sql).unwrap().into_iter().map(|mut row| row.remove(0).unwrap()).collect()
}

#[test]
fn every_abbreviation_means_what_the_server_says() {
    for version in VERSIONS {
        let server = pg(version);
        let session = session(&server);
        session.text("set timezone = 'UTC'").unwrap();
        let names = names(&session, "select abbrev from pg_timezone_abbrevs order by 1");
        assert!(names.len() > 190, "{}", names.len());
        let differences = compare(&session, &names);
        assert!(!differences.report());
        assert_eq!(differences.taken, names.len() * TIMES.len(), "PostgreSQL {version}");
    }
}

#[test]
fn nearly_every_zone_is_known_and_has_the_servers_offsets() {
    for version in VERSIONS {
        let server = pg(version);
        let session = session(&server);
        session.text("set timezone = 'UTC'").unwrap();
        // Some systems have every zone a second time, with other leap seconds or under another name.
        let names = names(
            &session,
            "select name from pg_timezone_names where name !~ '^(posix|right)/' \
             and name not in ('Factory', 'localtime', 'posixrules') order by 1",
        );
        let differences = compare(&session, &names);
        differences.report();
        let all = names.len() * TIMES.len();
        let wrong = differences.wrong.len();
        // Releases of the database differ in a few zones.
        assert!(wrong * 100 < all && differences.taken * 100 > all * 98, "{wrong} of {all} differ");
    }
}
