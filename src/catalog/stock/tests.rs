use std::collections::BTreeSet;

use super::*;

fn known() -> impl Iterator<Item = (u32, &'static Stock)> {
    STOCKS.iter().map(|(major, stock)| (*major, stock))
}

#[test]
fn every_line_of_the_list_can_be_read() {
    let lines = || OBJECTS.lines().filter(|line| !line.starts_with('#'));
    for line in lines() {
        let read = Line::read(line).unwrap_or_else(|| panic!("{line}"));
        assert!(read.majors.is_sorted(), "{line}");
        assert!(read.identity.contains(if read.kind == Kind::Cast { " -> " } else { "." }), "{line}");
    }
    assert!(lines().count() > 5_000, "the list is not there");
    assert_eq!(known().map(|(major, _)| major).collect::<Vec<_>>(), [15, 16, 17, 18]);
}

#[test]
fn a_digest_has_one_kind_and_one_grade() {
    for (major, stock) in known() {
        let lines = OBJECTS.lines().filter_map(Line::read).filter(|line| line.majors.contains(&major));
        let mut seen = BTreeSet::new();
        for line in lines {
            assert!(seen.insert(line.digest), "twice in {major}: {}", line.identity);
            assert_eq!(stock.grade(line.kind, &line.digest), Some(line.grade), "{major}: {}", line.identity);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), stock.every_digest(), "{major}");
        let of_kinds: usize = Kind::ALL.into_iter().map(|kind| stock.digests(kind).len()).sum();
        assert_eq!(of_kinds, stock.every_digest().len());
        assert!(Kind::ALL.into_iter().all(|kind| stock.digests(kind).is_sorted()));
    }
}

#[test]
fn what_is_not_listed_has_no_grade() {
    let stock = Stock::of(18).unwrap();
    let function = stock.digests(Kind::Function)[0];
    assert!(stock.grade(Kind::Function, &function).is_some());
    assert_eq!(stock.grade(Kind::Operator, &function), None, "of another kind");
    assert_eq!(stock.grade(Kind::Function, &[]), None, "an object of a user");
    assert_eq!(stock.grade(Kind::Function, &function[..15]), None);
    assert_eq!(stock.grade(Kind::Function, &[0; 16]), None);
    assert_eq!(stock.grade_of_name(Kind::Function, "query_to_xml"), None);
    assert!(Stock::of(14).is_none() && Stock::of(19).is_none() && Stock::of(0).is_none());
}

#[test]
fn a_name_has_the_gravest_grade_of_its_objects() {
    let text = "\
00000000000000000000000000000001 15-16,18* function pure pg_catalog.f(int4)
00000000000000000000000000000002 16 function effect @lo.f(int4,@lo.lo)
00000000000000000000000000000003 16 operator pure pg_catalog.<->(point,point)
00000000000000000000000000000004 16 type pure pg_catalog.text
00000000000000000000000000000005 16 type pure pg_catalog.text[]
00000000000000000000000000000006 16 cast pure @lo.lo -> oid
00000000000000000000000000000007 16 aggregate pure pg_catalog.max(int4)
";
    let stocks = read(text);
    assert_eq!(stocks.keys().copied().collect::<Vec<_>>(), [15, 16, 18]);
    assert_eq!(stocks[&15].grade_of_name(Kind::Function, "f"), Some(Grade::Pure));
    let names = |kind| stocks[&16].names(kind).collect::<Vec<_>>();
    assert_eq!(names(Kind::Function), [("f", Grade::Effect), ("max", Grade::Pure)]);
    assert_eq!(names(Kind::Operator), [("<->", Grade::Pure)]);
    assert_eq!(names(Kind::Type), [("text", Grade::Pure)]);
    assert_eq!(names(Kind::Cast), [("@lo.lo -> oid", Grade::Pure)]);
    assert_eq!(stocks[&16].digests(Kind::Type).len(), 2);
}

#[test]
fn a_line_that_is_not_as_written_lists_nothing() {
    let good = "0000000000000000000000000000000a 15 function pure pg_catalog.f()";
    assert!(Line::read(good).is_some());
    for bad in [
        "",
        "# 15: a version",
        "0000000000000000000000000000000a 15 function pure",
        "000000000000000000000000000000a 15 function pure pg_catalog.f()",
        "+000000000000000000000000000000a 15 function pure pg_catalog.f()",
        "0000000000000000000000000000000A 15 function pure pg_catalog.f()",
        "0000000000000000000000000000000a 15- function pure pg_catalog.f()",
        "0000000000000000000000000000000a 16-15 function pure pg_catalog.f()",
        "0000000000000000000000000000000a 15-4000000000 function pure pg_catalog.f()",
        "0000000000000000000000000000000a 15 procedure pure pg_catalog.f()",
        "0000000000000000000000000000000a 15 function unknown pg_catalog.f()",
    ] {
        assert_eq!(Line::read(bad), None, "{bad}");
    }
}
