//! Values of each type: as they are given, as they are sealed, as they are seen.

use super::*;
use crate::catalog::{BASES, Kind, Logical};

fn style(dates: &str, intervals: &str, zone: &str) -> Style {
    let mut style = Style::default();
    style.parameter(b"DateStyle", dates.as_bytes());
    style.parameter(b"IntervalStyle", intervals.as_bytes());
    style.parameter(b"TimeZone", zone.as_bytes());
    style.parameter(b"client_encoding", b"UTF8");
    style
}

fn logical(name: &str) -> Logical {
    Logical::parse(name).unwrap_or_else(|| panic!("{name}"))
}

/// What is sealed of a text, or the SQLSTATE.
fn read(
    given: &str,
    wanted: &str,
    text: &str,
    purpose: Purpose,
    style: &Style,
) -> Result<String, &'static str> {
    let wanted = logical(wanted);
    let given = (given != "unknown").then(|| logical(given));
    let mut out = b"kept".to_vec();
    let kind = Kind::of(&wanted);
    let result =
        canonical(given.as_ref(), Format::Text, text.as_bytes(), &wanted, &kind, purpose, style, &mut out);
    let rest = out.strip_prefix(b"kept").unwrap().to_vec();
    match result {
        Ok(()) => Ok(String::from_utf8(rest).unwrap()),
        Err(fault) => {
            assert!(rest.is_empty());
            assert!(text.len() < 4 || !fault.message.contains(text), "{}", fault.message);
            Err(fault.sqlstate)
        }
    }
}

fn seen(name: &str, canonical: &str, style: &Style) -> Result<String, &'static str> {
    let mut out = Vec::new();
    show(&logical(name), canonical.as_bytes(), Format::Text, style, &mut out)
        .map_err(|fault| fault.sqlstate)?;
    Ok(String::from_utf8(out).unwrap())
}

fn binary(name: &str, canonical: &str) -> Vec<u8> {
    let mut out = Vec::new();
    show(&logical(name), canonical.as_bytes(), Format::Binary, &Style::default(), &mut out).unwrap();
    out
}

#[test]
fn a_constant_is_read_by_its_types_input_function() {
    let iso = Style::default();
    for (name, text, expected) in [
        ("text", "Ada ", Ok("Ada ")),
        ("varchar(3)", "abc  ", Ok("abc")),
        ("varchar(3)", "abcd", Err("22001")),
        ("varchar(3)", "ééé", Ok("ééé")),
        ("char(3)", "a  ", Ok("a")),
        ("char(3)", "abcd", Err("22001")),
        ("int2", " 007 ", Ok("7")),
        ("int2", "32768", Err("22003")),
        ("int4", "1.0", Err("22P02")),
        ("int8", "-9223372036854775808", Ok("-9223372036854775808")),
        ("numeric(10,2)", "1.005", Ok("1.01")),
        ("numeric(10,2)", "-0.004", Ok("0.00")),
        ("numeric(10,2)", "1e3", Ok("1000.00")),
        ("numeric(4,2)", "99.995", Err("22003")),
        ("numeric(4,2)", "NaN", Ok("NaN")),
        ("numeric(4,2)", "Infinity", Err("22003")),
        ("numeric(3,-2)", "12350", Ok("12400")),
        ("numeric", "1.50", Ok("1.50")),
        ("numeric", "1e-3", Ok("0.001")),
        ("float8", "1e15", Ok("1e+15")),
        ("float8", "123456.5", Ok("123456.5")),
        ("float8", "1e23", Ok("9.999999999999999e+22")),
        ("float8", "1e-400", Err("22003")),
        ("float4", "0.1", Ok("0.1")),
        ("bool", " YES", Ok("t")),
        ("bool", "of", Ok("f")),
        ("bool", "o", Err("22P02")),
        ("uuid", "{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("date", "Jan 8, 1999", Ok("1999-01-08")),
        ("date", "1/8/1999", Ok("1999-01-08")),
        ("date", "99-01-08", Err("22008")),
        ("date", "44-03-15 BC", Err("22008")),
        ("date", "0044-03-15 BC", Ok("0044-03-15 BC")),
        ("date", "infinity", Ok("infinity")),
        ("date", "2023-02-29", Err("22008")),
        ("date", "today", Err("0A000")),
        ("date", "yesterdy", Err("22007")),
        ("time", "04:05 PM", Ok("16:05:00")),
        ("time(2)", "23:59:59.999", Ok("24:00:00")),
        ("timetz", "04:05:06.789-08", Ok("04:05:06.789-08")),
        ("timestamp", "2020-01-02T03:04:05.6+07", Ok("2020-01-02 03:04:05.6")),
        ("timestamp(0)", "2020-12-31 23:59:59.5", Ok("2021-01-01 00:00:00")),
        ("timestamptz", "2020-01-02 03:04:05+07", Ok("2020-01-01 20:04:05+00")),
        ("timestamptz", "2020-07-01 12:00 America/New_York", Ok("2020-07-01 16:00:00+00")),
        ("timestamptz", "294277-01-01", Err("22008")),
        ("interval", "1 year 2 mons -3 days 04:05:06.7", Ok("1 year 2 mons -3 days +04:05:06.7")),
        ("interval", "P1Y2MT3H", Ok("1 year 2 mons 03:00:00")),
        ("json", " {\"b\": 1, \"a\":2}", Ok(" {\"b\": 1, \"a\":2}")),
        ("json", "{a:1}", Err("22P02")),
        (
            "jsonb",
            "{\"bb\":1.0,\"a\":[1e2,\"\\u00e9\"],\"bb\":true}",
            Ok("{\"a\": [100, \"é\"], \"bb\": true}"),
        ),
        ("jsonb", "\"\\u0000\"", Err("22P05")),
        ("bytea", "\\xDEADbeef", Ok("\\xdeadbeef")),
        ("bytea", "a\\000\\\\", Ok("\\x61005c")),
        ("inet", "10.0.0.1", Ok("10.0.0.1/32")),
        ("cidr", "10.1/16", Ok("10.1.0.0/16")),
        ("cidr", "10.1.2.3/16", Err("22P02")),
        ("inet", "::FFFF:1.2.3.4", Ok("::ffff:1.2.3.4/128")),
        ("macaddr", "08-00-2B-01-02-03", Ok("08:00:2b:01:02:03")),
        ("macaddr", "08002b01020", Ok("08:00:2b:01:02:00")),
        ("macaddr", " +8: 0:0x2B:1:2:0003 ", Ok("08:00:2b:01:02:03")),
        ("macaddr", "08:00:2b:01:02:-ffffffff03", Ok("08:00:2b:01:02:fd")),
        ("macaddr", "08:00:2b:01:02:100", Err("22003")),
        ("macaddr", "1991-13-45", Err("22003")),
        ("macaddr", "08:00:2b:01:02:03 x", Err("22P02")),
        ("macaddr", "08002b:010203x", Err("22P02")),
        ("money", "$1,234.565", Ok("1234.57")),
        ("text[]", "{a, \"b c\" ,NULL,\"NULL\",\"\"}", Ok("{a,\"b c\",NULL,\"NULL\",\"\"}")),
        ("int4[]", "{ 1 , 02 }", Ok("{1,2}")),
        ("int4[]", "{{1},{2}}", Err("0A000")),
        ("int4[]", "{1", Err("22P02")),
    ] {
        let own = read("unknown", name, text, Purpose::Assign, &iso);
        assert_eq!(own.as_deref().map_err(|state| *state), expected, "{name} {text}");
        // What is canonical is read as itself, under any setting.
        if let Ok(canonical) = expected {
            let german = style("German, DMY", "sql_standard", "Asia/Tokyo");
            for style in [&iso, &german] {
                let again = read("unknown", name, canonical, Purpose::Assign, style);
                assert_eq!(again.as_deref(), Ok(canonical), "{name} {canonical}");
            }
        }
    }
}

#[test]
fn dates_and_times_are_read_and_seen_by_the_settings_of_the_session() {
    let berlin = style("German, DMY", "postgres_verbose", "Europe/Berlin");
    let new_york = style("SQL, MDY", "sql_standard", "America/New_York");
    let sydney = style("Postgres, DMY", "iso_8601", "Australia/Sydney");
    for (style, name, canonical, expected) in [
        (&berlin, "date", "2020-01-02", "02.01.2020"),
        (&new_york, "date", "2020-01-02", "01/02/2020"),
        (&sydney, "date", "0044-03-15 BC", "15-03-0044 BC"),
        (&berlin, "timestamptz", "2020-07-01 10:00:00+00", "01.07.2020 12:00:00 CEST"),
        (&new_york, "timestamptz", "2020-01-02 10:00:00.5+00", "01/02/2020 05:00:00.5 EST"),
        (&sydney, "timestamptz", "2020-01-02 20:00:00+00", "Fri 03 Jan 07:00:00 2020 AEDT"),
        (&sydney, "timestamp", "infinity", "infinity"),
        (
            &berlin,
            "interval",
            "1 year 2 mons -3 days +04:05:06.7",
            "@ 1 year 2 mons -3 days 4 hours 5 mins 6.7 secs",
        ),
        (&new_york, "interval", "-1 years -2 mons", "-1-2"),
        (&new_york, "interval", "1 day -01:02:03", "+0-0 +1 -1:02:03"),
        (&sydney, "interval", "1 year 00:00:01.5", "P1YT1.5S"),
        (
            &sydney,
            "timestamptz[]",
            "{\"2020-01-02 20:00:00+00\",NULL}",
            "{\"Fri 03 Jan 07:00:00 2020 AEDT\",NULL}",
        ),
        (&berlin, "date[]", "{2020-01-02}", "{02.01.2020}"),
    ] {
        assert_eq!(seen(name, canonical, style).as_deref(), Ok(expected), "{name}");
        let back = read("unknown", name, expected, Purpose::Assign, style);
        assert_eq!(back.as_deref(), Ok(canonical), "{name} {expected}");
    }
    // Spring forward: as before; fall back: as after.
    for (text, expected) in
        [("2020-03-08 02:30", "2020-03-08 07:30:00+00"), ("2020-11-01 01:30", "2020-11-01 06:30:00+00")]
    {
        assert_eq!(read("unknown", "timestamptz", text, Purpose::Assign, &new_york).as_deref(), Ok(expected));
    }
    // The years that the database cannot count go on as those before.
    let far = seen("timestamptz", "200020-07-01 10:00:00+00", &berlin);
    assert_eq!(far.as_deref(), Ok("01.07.200020 12:00:00 CEST"));
}

#[test]
fn a_zone_that_is_not_known_refuses_what_needs_it() {
    let unknown = style("ISO, MDY", "postgres", "Mars/Olympus");
    assert_eq!(seen("timestamptz", "2020-01-02 20:00:00+00", &unknown), Err("0A000"));
    assert_eq!(read("unknown", "timestamptz", "2020-01-02 20:00", Purpose::Assign, &unknown), Err("0A000"));
    let stated = read("unknown", "timestamptz", "2020-01-02 20:00+01", Purpose::Assign, &unknown);
    assert_eq!(stated.as_deref(), Ok("2020-01-02 19:00:00+00"));
    assert_eq!(seen("date", "2020-01-02", &unknown).as_deref(), Ok("2020-01-02"));
    let offset = style("ISO, MDY", "postgres", "<+02>-02");
    assert_eq!(
        seen("timestamptz", "2020-01-02 20:00:00+00", &offset).as_deref(),
        Ok("2020-01-02 22:00:00+02")
    );
}

#[test]
fn what_is_assigned_is_rounded_and_what_is_compared_is_not() {
    let new_york = style("ISO, MDY", "postgres", "America/New_York");
    use Purpose::{Assign, Compare};
    for (given, text, wanted, purpose, expected) in [
        ("numeric", "1.5", "int4", Assign, Ok("2")),
        ("numeric", "-2.5", "int4", Assign, Ok("-3")),
        ("numeric", "1.4", "int4", Compare, Ok("1.4")),
        ("numeric", "1.0", "int4", Compare, Ok("1")),
        ("float8", "2.5", "int4", Assign, Ok("2")),
        ("int8", "100000", "int2", Assign, Err("22003")),
        ("int8", "100000", "int2", Compare, Ok("100000")),
        ("int4", "5", "numeric(10,2)", Assign, Ok("5.00")),
        ("numeric", "10.005", "numeric(10,2)", Compare, Ok("10.005")),
        ("numeric", "10.000", "numeric(10,2)", Compare, Ok("10.00")),
        ("float8", "0.1", "numeric(10,2)", Compare, Ok("0.10")),
        ("float8", "0.30000000000000004", "numeric(10,2)", Compare, Ok("0.30000000000000004")),
        ("float8", "0.30000000000000004", "numeric(10,2)", Assign, Ok("0.30")),
        ("int4", "5", "text", Assign, Ok("5")),
        ("int4", "5", "text", Compare, Err("42883")),
        ("bool", "t", "text", Assign, Ok("true")),
        ("inet", "10.0.0.1", "text", Assign, Ok("10.0.0.1/32")),
        ("text", "5", "int4", Assign, Err("42804")),
        ("text", "abcd", "varchar(3)", Compare, Ok("abcd")),
        ("text", "abcd", "varchar(3)", Assign, Err("22001")),
        ("text", "a ", "char(3)", Compare, Ok("a ")),
        ("bpchar", "a ", "char(3)", Compare, Ok("a")),
        ("varchar(2)", "abc", "text", Assign, Ok("ab")),
        ("numeric(4,1)", "1.25", "numeric", Assign, Ok("1.3")),
        ("timestamptz", "2020-01-01 03:00+00", "date", Assign, Ok("2019-12-31")),
        ("timestamptz", "2020-01-01 05:00+00", "date", Compare, Ok("2020-01-01")),
        ("timestamp", "2020-01-01 05:00", "date", Compare, Ok("2020-01-01 05:00:00")),
        ("date", "2020-01-01", "timestamptz", Assign, Ok("2020-01-01 05:00:00+00")),
        ("timestamp", "2020-01-01 05:00:00.6", "timestamp(0)", Compare, Ok("2020-01-01 05:00:00.6")),
        ("interval", "1 day", "time", Compare, Ok("24:00:00")),
        ("json", "{\"b\":1,\"a\":1}", "jsonb", Assign, Ok("{\"a\": 1, \"b\": 1}")),
        ("inet", "10.1.2.3/8", "cidr", Assign, Ok("10.0.0.0/8")),
        ("int4[]", "{1,2}", "numeric(4,1)[]", Assign, Ok("{1.0,2.0}")),
        ("int4", "12", "money", Assign, Ok("12.00")),
        ("money", "1.50", "numeric", Assign, Ok("1.50")),
    ] {
        let own = read(given, wanted, text, purpose, &new_york);
        assert_eq!(
            own.as_deref().map_err(|state| *state),
            expected,
            "{given} {text} for {wanted} {purpose:?}"
        );
    }
}

#[test]
fn binary_formats_are_the_servers() {
    for (name, canonical, expected) in [
        ("int2", "-2", vec![0xff, 0xfe]),
        ("int8", "1", vec![0, 0, 0, 0, 0, 0, 0, 1]),
        ("numeric(10,2)", "-12345.60", vec![0, 3, 0, 1, 0x40, 0, 0, 2, 0, 1, 9, 41, 0x17, 0x70]),
        ("numeric", "0.0001", vec![0, 1, 0xff, 0xff, 0, 0, 0, 4, 0, 1]),
        ("bool", "t", vec![1]),
        ("date", "2000-01-02", vec![0, 0, 0, 1]),
        ("date", "infinity", vec![0x7f, 0xff, 0xff, 0xff]),
        ("timestamptz", "2000-01-01 00:00:01+00", vec![0, 0, 0, 0, 0, 15, 66, 64]),
        ("jsonb", "[1]", b"\x01[1]".to_vec()),
        ("inet", "10.0.0.1/32", vec![2, 32, 0, 4, 10, 0, 0, 1]),
        ("bytea", "\\x0aff", vec![10, 255]),
        ("char(3)", "a", b"a  ".to_vec()),
        ("int4[]", "{}", vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]),
        (
            "bool[]",
            "{t,NULL}",
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 255, 255, 255, 255]
                .into(),
        ),
    ] {
        assert_eq!(binary(name, canonical), expected, "{name} {canonical}");
        let wanted = logical(name);
        let mut out = Vec::new();
        let style = Style::default();
        let kind = Kind::of(&wanted);
        super::canonical(None, Format::Binary, &expected, &wanted, &kind, Purpose::Assign, &style, &mut out)
            .unwrap();
        assert_eq!(out, canonical.as_bytes(), "{name}");
    }
}

#[test]
fn bytes_that_are_no_value_are_refused_without_a_trace() {
    let style = Style::default();
    let mut state = 1_u64;
    for base in BASES {
        for array in [false, true] {
            let wanted = Logical { array, ..Logical::of(base) };
            let kind = Kind::of(&wanted);
            for length in 0..60_usize {
                for _ in 0..20 {
                    let value: Vec<u8> = (0..length)
                        .map(|_| {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            if state >> 63 == 0 { 0 } else { (state >> 40) as u8 }
                        })
                        .collect();
                    for format in [Format::Text, Format::Binary] {
                        for purpose in [Purpose::Assign, Purpose::Compare] {
                            let mut out = Vec::new();
                            let read =
                                canonical(None, format, &value, &wanted, &kind, purpose, &style, &mut out);
                            assert!(read.is_ok() || out.is_empty());
                            if read.is_ok() && purpose == Purpose::Assign {
                                let mut again = Vec::new();
                                show(&wanted, &out, format, &style, &mut again).unwrap();
                            }
                            let mut shown = Vec::new();
                            if show(&wanted, &value, format, &style, &mut shown).is_err() {
                                assert!(shown.is_empty());
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_text_that_is_not_canonical_is_not_shown() {
    let style = Style::default();
    for (name, text) in [
        ("int4", "1.4"),
        ("int4", "01"),
        ("int4", "+1"),
        ("int4", ""),
        ("int2", "100000"),
        ("numeric", "1e3"),
        ("numeric", "-0.0"),
        ("numeric", ".5"),
        ("bool", "true"),
        ("date", "2020-1-1"),
        ("date", "2020-02-30"),
        ("date", "02020-01-01"),
        ("timestamp", "2020-01-01"),
        ("timestamp", "2020-01-01 24:00:00"),
        ("timestamptz", "2020-01-01 00:00:00+01"),
        ("time", "12:00"),
        ("json", "{"),
        ("bytea", "\\x0A"),
        ("bytea", "abc"),
        ("money", "$1.00"),
        ("int4[]", "1"),
        ("int4[]", "{a}"),
    ] {
        assert_eq!(seen(name, text, &style), Err("XX001"), "{name} {text}");
    }
}

#[test]
fn what_nests_too_deeply_is_refused() {
    let style = Style::default();
    for name in ["json", "jsonb"] {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let read = |text: &str| read("unknown", name, text, Purpose::Assign, &style);
        assert_eq!(read(&nested(1_000)).as_deref(), Ok(nested(1_000).as_str()));
        assert_eq!(read(&nested(1_001)), Err("54001"));
        assert_eq!(read(&nested(100_000)), Err("54001"));
        assert_eq!(read(&"[".repeat(100_000)), Err("54001"));
    }
}

#[test]
fn few_bytes_do_not_become_too_many() {
    let style = Style::default();
    let many = ["1e131071"; 600].join(",");
    assert_eq!(read("unknown", "numeric[]", &format!("{{{many}}}"), Purpose::Assign, &style), Err("54000"));
    assert_eq!(read("unknown", "jsonb", &format!("[{many}]"), Purpose::Assign, &style), Err("54000"));
    let long = format!("{{{}}}", ["a"; 8].join(","));
    assert_eq!(seen("char(10000000)[]", &long, &style), Err("54000"));
}

#[test]
fn names_are_cut_between_characters() {
    let style = Style::default();
    let long = "ä".repeat(40);
    let cut = read("unknown", "name", &long, Purpose::Assign, &style).unwrap();
    assert_eq!(cut, "ä".repeat(31));
    assert_eq!(read("text", "name", &long, Purpose::Compare, &style).as_deref(), Ok(long.as_str()));
}

#[test]
fn what_is_stored_is_what_has_been_normalized() {
    let style = Style::default();
    let wanted = logical("varchar(4)");
    let kind = Kind::parse("text:trim,lowercase").unwrap();
    let mut out = Vec::new();
    canonical(None, Format::Text, b" AbC", &wanted, &kind, Purpose::Assign, &style, &mut out).unwrap();
    assert_eq!(out, b"abc");
    out.clear();
    canonical(None, Format::Text, b" ABC   ", &wanted, &kind, Purpose::Compare, &style, &mut out).unwrap();
    assert_eq!(out, b"abc");
    let citext = Logical::of(crate::catalog::Base::Citext);
    out.clear();
    canonical(None, Format::Text, b"Ada", &citext, &kind, Purpose::Assign, &style, &mut out).unwrap();
    assert_eq!(out, b"ada");
}
