//! Values of one type in columns of another: what assignment makes of them, and what equals what.

use super::ask::{prepare, quoted, stored, whether};
use super::chance::Chance;
use super::{Differences, SETTINGS, generate, ours, send_of, session, set};
use sealgate::catalog::{BASES, Base, Family, Logical};
use sealgate::types::{Format, Purpose};

use crate::harness::{VERSIONS, pg};

/// Texts of a type that its input function takes, most of them.
fn generator(base: Base) -> super::Generate {
    match base {
        Base::Text | Base::Varchar | Base::Bpchar | Base::Name | Base::Citext => generate::text,
        Base::Int2 | Base::Int4 | Base::Int8 => generate::integer,
        Base::Numeric => generate::decimal,
        Base::Float4 | Base::Float8 => generate::float,
        Base::Bool => generate::boolean,
        Base::Date => generate::date,
        Base::Time => generate::time,
        Base::Timetz => generate::timetz,
        Base::Timestamp | Base::Timestamptz => generate::timestamp,
        Base::Interval => generate::interval,
        Base::Uuid => generate::uuid,
        Base::Json | Base::Jsonb => generate::json,
        Base::Bytea => generate::bytea,
        Base::Inet | Base::Cidr => generate::network,
        Base::Macaddr => generate::macaddr,
        Base::Money => generate::money,
    }
}

/// Columns of every base, and of some that declare more.
fn columns() -> Vec<(String, Logical)> {
    let mut columns: Vec<(String, Logical)> = BASES
        .iter()
        // bpchar without a length keeps no blanks at its end, as nothing compares them.
        .filter(|base| !matches!(base, Base::Citext | Base::Bpchar))
        .map(|base| (base.name().to_owned(), Logical::of(*base)))
        .collect();
    for name in ["varchar(8)", "char(8)", "numeric(8,2)", "timestamp(0)", "time(2)"] {
        columns.push((name.to_owned(), Logical::parse(name).unwrap()));
    }
    columns
}

#[test]
fn values_of_other_types_are_assigned_as_the_server_does_it() {
    let mut wrong = false;
    for version in VERSIONS {
        let server = pg(version);
        let session = session(&server);
        let mut differences = Differences::default();
        let mut chance = Chance::new(u64::from(version) + 7);
        for settings in &SETTINGS[1..5] {
            let style = set(&session, *settings);
            for (name, logical) in columns() {
                let mut given = Vec::new();
                for base in BASES.into_iter().filter(|base| *base != Base::Citext) {
                    let count = if base.family() == logical.base.family() { 10 } else { 6 };
                    given.extend((0..count).map(|_| (base, generator(base)(&mut chance))));
                }
                let expressions: Vec<String> =
                    given.iter().map(|(base, text)| format!("{}::{}", quoted(text), base.name())).collect();
                let answers = stored(&session, &name, send_of(&logical), &expressions);
                for (((base, text), expression), theirs) in given.iter().zip(&expressions).zip(&answers) {
                    let of = Logical::of(*base);
                    let own =
                        ours(Some(&of), Format::Text, text.as_bytes(), &logical, Purpose::Assign, &style);
                    differences.compare(
                        &logical,
                        &format!("{expression} {settings:?}"),
                        theirs,
                        own,
                        &style,
                        true,
                    );
                }
            }
        }
        eprintln!("PostgreSQL {version}");
        wrong |= differences.report();
    }
    assert!(!wrong, "see above");
}

/// Pairs of types of which one is a column's and the other is compared with it.
const COMPARED: &[(&str, &[&str])] = &[
    ("int2", &["int2", "int4", "int8", "numeric", "float4", "float8"]),
    ("int4", &["int2", "int4", "int8", "numeric", "float4", "float8"]),
    ("int8", &["int2", "int4", "int8", "numeric", "float4", "float8"]),
    ("numeric(8,2)", &["int4", "int8", "numeric", "float8"]),
    ("date", &["date", "timestamp", "timestamptz"]),
    ("timestamp", &["date", "timestamp", "timestamptz"]),
    ("timestamp(0)", &["timestamp"]),
    ("timestamptz", &["date", "timestamp", "timestamptz"]),
    ("time", &["time", "interval"]),
    ("varchar(8)", &["text", "varchar", "name"]),
    ("text", &["text", "varchar", "bpchar", "name"]),
    ("char(8)", &["text", "varchar", "bpchar"]),
    ("name", &["text", "name"]),
    ("bool", &["bool"]),
    ("uuid", &["uuid"]),
    ("bytea", &["bytea"]),
    ("inet", &["inet", "cidr"]),
    ("cidr", &["inet", "cidr"]),
    ("macaddr", &["macaddr"]),
];

/// Few values, so that many pairs of them are equal.
fn few(base: Base) -> &'static [&'static str] {
    match base.family() {
        Family::Integer => &["0", "1", "-1", "12", "32767", "10"],
        Family::Numeric | Family::Float => &[
            "0",
            "1",
            "1.0",
            "1.10",
            "1.1",
            "12.345",
            "-0.001",
            "-1",
            "1.4",
            "NaN",
            "1e3",
            "32767",
            "0.30000000000000004",
        ],
        Family::Date | Family::Timestamp | Family::Timestamptz => &[
            "2020-01-01",
            "2020-01-01 00:00",
            "2020-01-01 12:00",
            "2020-01-01 12:00:00.4",
            "infinity",
            "-infinity",
            "2020-03-08 02:30",
            "2020-03-08 03:30",
            "2020-11-01 01:30",
            "2018-11-04 00:00",
            "2018-11-04 00:30",
            "2020-01-01 05:00+00",
            "2020-01-01 00:00-05",
            "2018-11-04 03:00+00",
            "0044-03-15 BC",
            "2020-03-29 02:30",
            "2020-03-29 03:30",
        ],
        Family::Time | Family::Interval => &["00:00", "24:00", "12:00", "12:00:00.5"],
        Family::Text => &["", "a", "a ", " a", "a  ", "A", "abcdefgh", "abcdefgh ", "abcdefghi", "é"],
        Family::Bool => &["t", "f", "yes"],
        Family::Uuid => &["{00000000000000000000000000000001}", "00000000-0000-0000-0000-000000000001"],
        Family::Bytea => &["\\x00", "\\000", "a", "\\x61"],
        Family::Network => &["10.0.0.0/8", "10.0.0.0", "10.0.0.0/32", "::1", "::1/128", "10.1.0.0/8"],
        Family::Macaddr => &["01:02:03:04:05:06", "010203040506"],
        Family::Timetz | Family::Json | Family::Jsonb | Family::Money => &[],
    }
}

#[test]
fn equal_is_what_the_server_calls_equal() {
    let mut faults = 0;
    for version in VERSIONS {
        let server = pg(version);
        let session = session(&server);
        prepare(&session);
        let mut chance = Chance::new(u64::from(version) + 11);
        let (mut equal, mut unequal, mut refused) = (0, 0, std::collections::BTreeMap::new());
        for settings in &SETTINGS[..5] {
            let style = set(&session, *settings);
            for (name, others) in COMPARED {
                let logical = Logical::parse(name).unwrap();
                let mut pairs = Vec::new();
                for other in *others {
                    let given = Logical::parse(other).unwrap();
                    let held = few(logical.base);
                    for _ in 0..60 {
                        let one = if chance.one_in(6) {
                            generator(logical.base)(&mut chance)
                        } else {
                            (*chance.of(held)).to_owned()
                        };
                        let two = match chance.below(6) {
                            0 => generator(given.base)(&mut chance),
                            1 => one.clone(),
                            _ => (*chance.of(few(given.base))).to_owned(),
                        };
                        pairs.push((given, *other, one, two));
                    }
                }
                session
                    .text(&format!("drop table if exists held; create temp table held (v {name})"))
                    .unwrap();
                let expressions: Vec<String> = pairs
                    .iter()
                    .map(|(_, other, one, two)| {
                        format!(
                            "with h as (insert into held values ({}) returning v) select v = {}::{other} from h",
                            quoted(one),
                            quoted(two)
                        )
                    })
                    .collect();
                let answers = whether(&session, &expressions);
                for ((given, other, one, two), theirs) in pairs.iter().zip(answers) {
                    let Ok(Some(theirs)) = theirs else {
                        continue;
                    };
                    let what = format!("{name} {one:?} = {two:?}::{other} {settings:?}");
                    let held = ours(None, Format::Text, one.as_bytes(), &logical, Purpose::Assign, &style);
                    let own =
                        ours(Some(given), Format::Text, two.as_bytes(), &logical, Purpose::Compare, &style);
                    match (held, own) {
                        (Ok(held), Ok(own)) => {
                            let alike = held == own;
                            *(if alike { &mut equal } else { &mut unequal }) += 1;
                            if alike != (theirs == "true") {
                                faults += 1;
                                eprintln!("wrong: {what}: {theirs} but {:?} {:?}", text(&held), text(&own));
                            }
                        }
                        (Err(_), _) => {}
                        (_, Err(fault)) => {
                            let entry = refused
                                .entry(format!("{name} = {other}: {} {}", fault.sqlstate, fault.message))
                                .or_insert((0, what));
                            entry.0 += 1;
                        }
                    }
                }
            }
        }
        eprintln!("PostgreSQL {version}\ntaken {equal} equal, {unequal} unequal");
        for (reason, (count, example)) in refused {
            eprintln!("refused {count}: {reason}: {example}");
        }
    }
    assert_eq!(faults, 0, "see above");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
