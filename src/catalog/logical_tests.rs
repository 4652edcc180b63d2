//! Types as they are read and written, and what a kind says of them.

use super::kind::*;
use super::logical::*;

#[test]
fn a_type_is_read_in_each_of_its_spellings_and_written_in_one() {
    for (text, written) in [
        ("text", "text"),
        ("varchar(254)", "varchar(254)"),
        ("CHARACTER VARYING ( 254 )", "varchar(254)"),
        ("varchar", "varchar"),
        ("char", "bpchar(1)"),
        ("bpchar", "bpchar"),
        ("char(10)", "bpchar(10)"),
        ("integer", "int4"),
        ("int", "int4"),
        ("bigint", "int8"),
        ("float(24)", "float4"),
        ("float(25)", "float8"),
        ("double  precision", "float8"),
        ("numeric", "numeric"),
        ("decimal(10)", "numeric(10,0)"),
        ("numeric(10, 2)", "numeric(10,2)"),
        ("numeric(3,-2)", "numeric(3,-2)"),
        ("timestamp(3) with time zone", "timestamptz(3)"),
        ("timestamp", "timestamp"),
        ("time with time zone", "timetz"),
        ("text[]", "text[]"),
        ("numeric(10,2)[]", "numeric(10,2)[]"),
    ] {
        let logical = Logical::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(logical.to_string(), written, "{text}");
        assert_eq!(Logical::parse(written), Some(logical), "{text}");
    }
    for text in [
        "",
        "txt",
        "varchar(0)",
        "varchar(10,2)",
        "int(4)",
        "numeric(0)",
        "numeric(10,2",
        "text[][]",
        "float(54)",
        "varchar()",
        "time(7)",
    ] {
        assert_eq!(Logical::parse(text), None, "{text}");
    }
}

#[test]
fn modifiers_are_the_servers() {
    let modifier = |text: &str| Logical::parse(text).unwrap().modifier;
    assert_eq!(modifier("varchar(254)"), 258);
    assert_eq!(modifier("numeric(10,2)"), 655_366);
    assert_eq!(modifier("numeric(3,-2)"), (3 << 16 | 2046) + 4);
    assert_eq!(modifier("timestamptz(3)"), 3);
    assert_eq!(Logical::parse("numeric(1000,-1000)").unwrap().decimal(), Some((1000, -1000)));
}

#[test]
fn a_wider_type_holds_what_a_narrower_one_does() {
    let holds = |own: &str, other: &str| Logical::parse(own).unwrap().holds(&Logical::parse(other).unwrap());
    for (own, other) in [
        ("varchar(150)", "varchar(30)"),
        ("varchar", "varchar(30)"),
        ("bigint", "int"),
        ("numeric(12,2)", "numeric(10,2)"),
        ("date", "date"),
        ("varchar(20)[]", "varchar(10)[]"),
    ] {
        assert!(holds(own, other), "{own} {other}");
        assert_eq!(holds(other, own), own == other, "{own} {other}");
    }
    for (own, other) in [
        ("text", "varchar(30)"),
        ("varchar(30)", "text"),
        ("char(20)", "char(10)"),
        ("timestamp", "timestamp(3)"),
        ("numeric(12,3)", "numeric(10,2)"),
        ("numeric", "numeric(10,2)"),
        ("varchar(20)[]", "varchar(10)"),
    ] {
        assert!(!holds(own, other), "{own} {other}");
    }
}

#[test]
fn a_kind_is_written_in_one_way() {
    for text in ["text", "numeric(2)", "date[]", "text:lowercase,trim", "text:trim/16", "numeric(-2)[]/2"] {
        let kind = Kind::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(kind.to_string(), text);
    }
    for text in [
        "",
        "varchar",
        "text:",
        "text:trim,trim",
        "text/1",
        "text/4097",
        "text/016",
        "date(2)",
        "numeric(02)",
    ] {
        assert_eq!(Kind::parse(text), None, "{text}");
    }
}

#[test]
fn every_family_has_a_byte_of_its_own() {
    let bytes: Vec<u8> = Family::all().map(Family::byte).collect();
    let count = u8::try_from(bytes.len()).unwrap();
    assert_eq!(bytes, (1..=count).collect::<Vec<_>>());
}
