//! The rarer types, and arrays of others; and what is no value of a type, in either format.

use sealgate::catalog::Kind;
use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Tap, VERSIONS};
use crate::shop;

use super::{Pair, TYPES, is_refused, logical, of_one_type, seen, table, world};

const RARE: &[(&str, &[&str])] = &[
    ("name", &["ada@sentinel.example", "", "it''s"]),
    ("timetz", &["13:37:59.123457+02", "00:00:00-11", "24:00:00+05:30"]),
    ("interval", &["13 years 2 mons 3 days 04:05:06.789", "-1 day", "0"]),
    ("cidr", &["198.51.100.0/24", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"]),
    ("money", &["$1,734,918.25", "-$0.01"]),
    ("timestamptz(0)", &["1991-07-23 13:37:59.5+02", "infinity"]),
    ("time(3)", &["13:37:59.123457"]),
    ("char(9)", &["sentinel ", "x"]),
    ("date[]", &["{1991-07-23,NULL,infinity}", "{}"]),
    ("timestamptz[]", &["{\"1991-07-23 13:37:59.123457+02\"}"]),
    ("interval[]", &["{\"1 mon 2 days\",00:00:01}"]),
    ("numeric(10,2)[]", &["{1734918.255,NULL,0}"]),
    ("varchar(8)[]", &["{sentinel,\"\",NULL}"]),
    ("bool[]", &["{t,f,NULL}"]),
    ("uuid[]", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"]),
    ("inet[]", &["{198.51.100.173,2001:db8::1/64}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": \\\"sentinel\\\"}\",NULL}"]),
];

/// Changed in the middle of the session.
const SETTINGS: [&str; 4] = [
    "SET intervalstyle TO 'postgres'; SET lc_monetary TO 'C'",
    "SET intervalstyle TO 'iso_8601'; SET datestyle TO 'German'; SET timezone TO 'Europe/Berlin'; SET lc_monetary TO 'C'",
    "SET intervalstyle TO 'sql_standard'; SET datestyle TO 'SQL, DMY'; SET timezone TO 'America/New_York'",
    "SET intervalstyle TO 'postgres_verbose'; SET datestyle TO 'Postgres, MDY'; SET timezone TO 'Asia/Kathmandu'",
];

fn opened(major: u32, types: &[(&str, &[&str])]) -> (Throwaway, Gate, Tap, Pair) {
    let (server, gate, tap) = world(major, types);
    let pair = Pair::before(&server, &gate, "postgres");
    (server, gate, tap, pair)
}

#[test]
fn a_sealed_column_of_a_rarer_type_is_told_taken_and_given_as_a_plain_one_on_the_oldest() {
    of_rarer_types(VERSIONS[0]);
}

#[test]
fn a_sealed_column_of_a_rarer_type_is_told_taken_and_given_as_a_plain_one_on_the_newest() {
    of_rarer_types(VERSIONS[1]);
}

/// Each version under one half of the settings.
fn of_rarer_types(major: u32) {
    let (_server, _gate, tap, mut pair) = opened(major, RARE);
    let first = usize::from(major == VERSIONS[0]);
    for (round, settings) in SETTINGS.iter().enumerate().skip(first).step_by(2) {
        pair.query(settings);
        for (name, values) in RARE {
            of_one_type(&mut pair, name, values, round);
        }
    }
    assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
    for value in ["sentinel", "1734918", "1991", "08:00:2b", "198.51", "a0eebc99"] {
        assert!(!shop::holds(&tap.to_server(), value.as_bytes()), "{major}: {value} went upstream");
    }
}

/// Addresses of hardware, as the C library reads them: signs and `0x` are digits' neighbours to it.
#[test]
fn an_address_of_hardware_is_read_in_all_the_spellings_that_the_server_reads() {
    const SPELLINGS: &[&str] = &[
        "08002b01020",
        "0800.2b01.0203",
        "0800-2b01-0203",
        "08002b:010203",
        "08002b-010203",
        "08-00-2b-01-02-03",
        "+8:0:0:0:0:0",
        " 8: 0:\t0x2b:1:2:0003 ",
        "08:00:2b:01:02:-ffffffff03",
        "08:00:2b:01:02:-0",
        "08:00:2b:01:02:100000003",
        "08:00:2b:01:02:10000000000000003",
        "08:00:2b:01:02:100",
        "-8:00:2b:01:02:03",
        "08:00:2b:-1:02:03",
        "1991-13-45",
        "08:00:2b:01:02:03 x",
        "08:00:2b:01:02",
        "08:00:2b:01:02:03:04",
        "0x08:0x:2b:01:02:03",
        "0x2b01020304",
        "+1-2+3-4+5-6",
        "08.00.2b.01.02.03",
        "0800.2b01:0203",
        "080 2b 1 2 3",
        "",
        "12:61",
        "08002b:010203x",
        "08:00:2b:01:02:zz",
        "::::::",
    ];
    for major in VERSIONS {
        let (_server, _gate, _tap, mut pair) = opened(major, &[("macaddr", &[])]);
        for (id, text) in SPELLINGS.iter().enumerate() {
            pair.query(&format!("INSERT INTO t_macaddr VALUES ({id}, '{text}') RETURNING v"));
        }
        assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
    }
}

#[test]
fn what_is_no_value_of_a_type_is_refused_as_by_the_server_and_not_repeated() {
    const WRONG: &[&str] = &[
        "sentinel-none",
        "{sentinel-none",
        "99999999999999999999999999",
        "1991-13-45",
        "12:61:99",
        "\\xsentinel",
        "{\"sentinel\": }",
        "a-text-of-more-than-24-letters-sentinel",
    ];
    const BINARY: &[&[u8]] =
        &[b"", b"\x07", b"sentinel-none", b"\xff\xff\xff\xff", b"\0\0\0\x01\0\0\0\0sentinel-none"];
    for major in VERSIONS {
        let types: Vec<_> = TYPES.iter().chain(RARE).copied().collect();
        let (_server, _gate, tap, mut pair) = opened(major, &types);
        let (mut refused, mut others) = (0, Vec::new());
        for (name, _) in &types {
            let (of, logical) = (format!("t_{}", table(name)), logical(name));
            let oid = logical.described().unwrap().0;
            let insert = format!("INSERT INTO {of} (id, v) VALUES ($1, $2)");
            let bind = |raw: &mut Raw, declared: &[u32], format: u16, value: &[u8]| {
                raw.parse("", &insert, declared);
                raw.bind("", "", &[0, format], &[Some(b"1"), Some(value)], &[]);
                raw.execute("", 0);
                raw.sync()
            };
            let mut same = |what: String, ask: &dyn Fn(&mut Raw) -> Vec<Frame>| {
                let (direct, told) = (ask(&mut pair.plain), ask(&mut pair.gate));
                let (plain, through) = (seen(&direct), seen(&told));
                pair.query(&format!("DELETE FROM {of}"));
                let Some(error) = plain.iter().find(|line| line.starts_with("E ")) else {
                    assert!(
                        through == plain || is_refused(&through),
                        "{major}: {what}: {through:?}, not {plain:?}"
                    );
                    return;
                };
                refused += 1;
                let found = through
                    .iter()
                    .find(|line| line.starts_with("E "))
                    .unwrap_or_else(|| panic!("{major}: {what}: taken, not {error}"));
                if found != error {
                    others.push(format!("{what}: {found}, not {error}"));
                }
                let told = told.iter().find(|frame| frame.tag == b'E').unwrap();
                assert!(
                    !shop::holds(&told.body, b"sentinel") && !shop::holds(&told.body, b"99999"),
                    "{major}: {what}"
                );
            };
            for wrong in WRONG {
                same(format!("{name} {wrong}"), &|raw| {
                    raw.query(&format!("INSERT INTO {of} (id, v) VALUES (1, '{wrong}')"))
                });
                same(format!("{name} {wrong} bound"), &|raw| bind(raw, &[], 0, wrong.as_bytes()));
                if Kind::of(&logical).unequal().is_none() {
                    same(format!("{name} = {wrong}"), &|raw| {
                        raw.query(&format!("SELECT id FROM {of} WHERE v = '{wrong}'"))
                    });
                }
            }
            for wrong in BINARY {
                same(format!("{name} {wrong:?} in binary"), &|raw| bind(raw, &[23, oid], 1, wrong));
            }
        }
        // Of two faults either may be told, and some are said in words of ours.
        assert!(refused > 300 && others.len() * 20 < refused, "{major}: of {refused}: {others:#?}");
        assert!(!shop::holds(&tap.to_server(), b"sentinel"), "{major}");
    }
}
