//! The room `types` against the server's own input, output, send and receive functions: what each makes of
//! the same text, under many settings.

mod ask;
mod binary;
mod casts;
mod chance;
mod generate;
mod zones;

use std::collections::BTreeMap;

use ask::{Answer, prepare, quoted, stored};
use chance::Chance;
use sealgate::catalog::{Base, Kind, Logical};
use sealgate::types::{Format, Purpose, Style, ValueFault, canonical, show};

use crate::harness::{Session, VERSIONS, pg};

type Generate = fn(&mut Chance) -> String;

/// Types, and what texts of their values are made by.
const TYPES: &[(&str, Generate)] = &[
    ("text", generate::text),
    ("varchar(5)", generate::text),
    ("char(4)", generate::text),
    ("name", generate::text),
    ("int2", generate::integer),
    ("int4", generate::integer),
    ("int8", generate::integer),
    ("numeric", generate::decimal),
    ("numeric(10,2)", generate::decimal),
    ("numeric(6,-2)", generate::decimal),
    ("numeric(3,5)", generate::decimal),
    ("float4", generate::float),
    ("float8", generate::float),
    ("bool", generate::boolean),
    ("uuid", generate::uuid),
    ("date", generate::date),
    ("timestamp", generate::timestamp),
    ("timestamp(3)", generate::timestamp),
    ("timestamptz", generate::timestamp),
    ("timestamptz(0)", generate::timestamp),
    ("time", generate::timetz),
    ("time(1)", generate::time),
    ("timetz", generate::timetz),
    ("interval", generate::interval),
    ("json", generate::json),
    ("jsonb", generate::json),
    ("bytea", generate::bytea),
    ("inet", generate::network),
    ("cidr", generate::network),
    ("macaddr", generate::macaddr),
    ("money", generate::money),
    ("text[]", |chance| generate::array(generate::text, chance)),
    ("varchar(5)[]", |chance| generate::array(generate::text, chance)),
    ("char(4)[]", |chance| generate::array(generate::text, chance)),
    ("int4[]", |chance| generate::array(generate::integer, chance)),
    ("numeric(10,2)[]", |chance| generate::array(generate::decimal, chance)),
    ("date[]", |chance| generate::array(generate::date, chance)),
    ("timestamp[]", |chance| generate::array(generate::timestamp, chance)),
    ("timestamptz[]", |chance| generate::array(generate::timestamp, chance)),
    ("bool[]", |chance| generate::array(generate::boolean, chance)),
    ("jsonb[]", |chance| generate::array(generate::json, chance)),
    ("bytea[]", |chance| generate::array(generate::bytea, chance)),
    ("interval[]", |chance| generate::array(generate::interval, chance)),
    ("money[]", |chance| generate::array(generate::money, chance)),
];

const SETTINGS: &[(&str, &str, &str)] = &[
    ("ISO, MDY", "postgres", "UTC"),
    ("ISO, DMY", "sql_standard", "America/New_York"),
    ("ISO, YMD", "iso_8601", "Asia/Kolkata"),
    ("SQL, MDY", "postgres_verbose", "Europe/Berlin"),
    ("SQL, DMY", "postgres", "America/Sao_Paulo"),
    ("Postgres, MDY", "postgres", "Australia/Lord_Howe"),
    ("Postgres, DMY", "sql_standard", "Europe/Dublin"),
    ("German, DMY", "iso_8601", "Asia/Tehran"),
];

fn send_of(logical: &Logical) -> &'static str {
    if logical.array {
        return "array_send";
    }
    match logical.base {
        Base::Text | Base::Citext => "textsend",
        Base::Varchar => "varcharsend",
        Base::Bpchar => "bpcharsend",
        Base::Name => "namesend",
        Base::Int2 => "int2send",
        Base::Int4 => "int4send",
        Base::Int8 => "int8send",
        Base::Float4 => "float4send",
        Base::Float8 => "float8send",
        Base::Numeric => "numeric_send",
        Base::Bool => "boolsend",
        Base::Date => "date_send",
        Base::Time => "time_send",
        Base::Timetz => "timetz_send",
        Base::Timestamp => "timestamp_send",
        Base::Timestamptz => "timestamptz_send",
        Base::Interval => "interval_send",
        Base::Uuid => "uuid_send",
        Base::Json => "json_send",
        Base::Jsonb => "jsonb_send",
        Base::Bytea => "byteasend",
        Base::Inet => "inet_send",
        Base::Cidr => "cidr_send",
        Base::Macaddr => "macaddr_send",
        Base::Money => "cash_send",
    }
}

fn set(session: &Session, (dates, intervals, zone): (&str, &str, &str)) -> Style {
    session
        .text(&format!(
            "set datestyle = '{dates}'; set intervalstyle = '{intervals}'; set timezone = '{zone}'; \
             set lc_monetary = 'C'"
        ))
        .unwrap();
    let mut style = Style::default();
    style.parameter(b"DateStyle", dates.as_bytes());
    style.parameter(b"IntervalStyle", intervals.as_bytes());
    style.parameter(b"TimeZone", zone.as_bytes());
    style
}

/// What we make of a text: its canonical one, and how a client would see it.
fn ours(
    given: Option<&Logical>,
    format: Format,
    value: &[u8],
    wanted: &Logical,
    purpose: Purpose,
    style: &Style,
) -> Result<Vec<u8>, ValueFault> {
    let mut out = b"before".to_vec();
    let result = canonical(given, format, value, wanted, &Kind::of(wanted), purpose, style, &mut out);
    assert!(out.starts_with(b"before") && (result.is_ok() || out.len() == 6));
    result.map(|()| out.split_off(6))
}

fn shown(logical: &Logical, canonical: &[u8], format: Format, style: &Style) -> Result<Vec<u8>, ValueFault> {
    let mut out = Vec::new();
    show(logical, canonical, format, style, &mut out).map(|()| out)
}

/// Where we refuse what the server takes: by type and reason, how often and one example.
#[derive(Default)]
struct Differences {
    /// It is another value, or another SQLSTATE: faults of ours.
    wrong: Vec<String>,
    refused: BTreeMap<String, (usize, String)>,
    taken: usize,
    refused_alike: usize,
}

impl Differences {
    fn compare(
        &mut self,
        logical: &Logical,
        what: &str,
        theirs: &Answer,
        own: Result<Vec<u8>, ValueFault>,
        style: &Style,
        changed: bool,
    ) {
        match (theirs, own) {
            (Ok((text, bytes)), Ok(canonical)) => {
                self.taken += 1;
                let seen = |format| {
                    shown(logical, &canonical, format, style)
                        .map_err(|fault| format!("{} {}", fault.sqlstate, fault.message))
                };
                let (own_text, own_bytes) = (seen(Format::Text), seen(Format::Binary));
                if logical.base == Base::Timestamptz
                    && own_text.as_deref() != Ok(text.as_bytes())
                    && is_before_1970(&canonical)
                {
                    self.refuse(logical, "a zone of before 1970, in another release", what, text);
                    return;
                }
                if own_text.as_deref() != Ok(text.as_bytes()) || own_bytes.as_deref() != Ok(bytes) {
                    let own_text = own_text.map(|text| String::from_utf8_lossy(&text).into_owned());
                    let of = String::from_utf8_lossy(&canonical);
                    self.wrong.push(format!(
                        "{logical} {what}: {text:?} but {own_text:?} of {of:?}; {bytes:x?} but {own_bytes:x?}"
                    ));
                    return;
                }
                // What comes back in binary is the same value.
                let again = ours(None, Format::Binary, bytes, logical, Purpose::Assign, style);
                if again.as_ref().ok() != Some(&canonical) {
                    self.wrong.push(format!("{logical} {what}: {again:?} from binary"));
                }
            }
            (Err(theirs), Err(fault)) => {
                self.refused_alike += 1;
                // A text with two faults is refused for either.
                if fault.sqlstate != theirs && fault.sqlstate != "0A000" && !changed {
                    self.wrong
                        .push(format!("{logical} {what}: {theirs} but {} {}", fault.sqlstate, fault.message));
                }
            }
            (Ok((text, _)), Err(fault)) => {
                self.refuse(logical, &format!("{} {}", fault.sqlstate, fault.message), what, text);
            }
            (Err(theirs), Ok(canonical)) => {
                let canonical = String::from_utf8_lossy(&canonical);
                self.wrong.push(format!("{logical} {what}: {theirs} but {canonical}"));
            }
        }
    }

    fn refuse(&mut self, logical: &Logical, reason: &str, what: &str, text: &str) {
        let entry = self.refused.entry(format!("{logical}: {reason}")).or_insert_with(|| (0, String::new()));
        entry.0 += 1;
        if entry.0 <= 3 {
            entry.1.push_str(&format!(" {what} -> {text}; "));
        }
    }

    /// Is there a fault of ours?
    fn report(&self) -> bool {
        eprintln!("taken {}, refused alike {}", self.taken, self.refused_alike);
        for (reason, (count, example)) in &self.refused {
            eprintln!("refused {count}: {reason}: {example}");
        }
        for one in self.wrong.iter().take(200) {
            eprintln!("wrong: {one}");
        }
        !self.wrong.is_empty()
    }
}

/// Is one of these timestamps older than what releases of the time zone database agree on?
fn is_before_1970(canonical: &[u8]) -> bool {
    let text = String::from_utf8_lossy(canonical);
    text.trim_matches(['{', '}']).split(',').any(|one| {
        let one = one.trim_matches('"');
        one.ends_with("BC") || (one.as_bytes().get(4) == Some(&b'-') && one < "1970")
    })
}

/// Texts, and whether each has been changed in some way.
fn texts(generate: Generate, chance: &mut Chance, count: usize) -> Vec<(String, bool)> {
    (0..count)
        .map(|_| {
            let text = generate(chance);
            let changed = chance.one_in(4);
            // Of the faults of an array's elements any may be told.
            let unclear = changed || text.contains(['{', '}']);
            (if changed { generate::changed(&text, chance) } else { text }, unclear)
        })
        .collect()
}

fn session(server: &sealgate::store::postgres::Throwaway) -> Session {
    let session = Session::open(server.address(), "postgres", None, "postgres").unwrap();
    prepare(&session);
    session
}

#[test]
fn texts_are_read_and_shown_as_the_server_does_it() {
    let mut wrong = false;
    for version in VERSIONS {
        let server = pg(version);
        let session = session(&server);
        let mut differences = Differences::default();
        let mut chance = Chance::new(u64::from(version));
        for settings in SETTINGS {
            let style = set(&session, *settings);
            for (name, generate) in TYPES {
                let logical = Logical::parse(name).unwrap();
                let texts = texts(*generate, &mut chance, COUNT);
                let literals: Vec<String> = texts.iter().map(|(text, _)| quoted(text)).collect();
                let answers = stored(&session, name, send_of(&logical), &literals);
                for ((text, changed), theirs) in texts.iter().zip(&answers) {
                    let own = ours(None, Format::Text, text.as_bytes(), &logical, Purpose::Assign, &style);
                    differences.compare(
                        &logical,
                        &format!("{text:?} {settings:?}"),
                        theirs,
                        own,
                        &style,
                        *changed,
                    );
                }
            }
        }
        eprintln!("PostgreSQL {version}");
        wrong |= differences.report();
    }
    assert!(!wrong, "see above");
}

/// Texts of each type, under each setting and each version.
const COUNT: usize = 60;
