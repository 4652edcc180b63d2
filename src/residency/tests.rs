//! Addresses, names and verdicts, in tables.

use std::net::IpAddr;
use std::sync::Arc;

use super::*;

fn day(text: &str) -> Date {
    let parts: Vec<u16> = text.split('-').map(|part| part.parse().unwrap()).collect();
    Date::new(parts[0], u8::try_from(parts[1]).unwrap(), u8::try_from(parts[2]).unwrap()).unwrap()
}

fn place(site: &str, region: &str, area: &str, expires: &str) -> Place {
    let site = match site.parse() {
        Ok(network) => Site::Network(network),
        Err(_) => Site::Host(HostPattern::parse(site).unwrap()),
    };
    let area = (!area.is_empty()).then(|| Arc::from(area));
    Place { site, region: region.into(), area, expires: (!expires.is_empty()).then(|| day(expires)) }
}

fn map() -> Places {
    Places::new(vec![
        place("10.0.0.0/8", "office", "EEA", ""),
        place("10.1.0.0/16", "branch", "US", ""),
        place("10.2.0.0/16", "lease", "EEA", "2026-06-30"),
        place("10.3.0.0/16", "one", "EEA", ""),
        place("10.3.0.0/16", "two", "EEA", ""),
        place("::ffff:192.168.0.0/112", "mapped", "EEA", ""),
        place("2000::/3", "internet", "EEA", ""),
        place("::/0", "all-six", "EEA", ""),
        place("2002:c000:204::/48", "six-to-four", "EEA", ""),
        place("fe80::1/128", "link", "EEA", ""),
        place("*.db.example", "cluster", "EEA", ""),
        place("us.db.example", "us-east", "US", ""),
        place("*.old.db.example", "gone", "EEA", "2026-06-30"),
    ])
}

fn rules() -> Rules {
    Rules {
        allowed: vec!["EEA".into(), "island".into()],
        unknown: Form::Deny,
        replication_inside: Form::Allow,
        replication_outside: Form::Deny,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn finds_the_region_of_an_address() {
    let today = day("2026-07-01");
    for (address, expected) in [
        ("10.9.9.9", "office"),
        ("10.1.2.3", "branch"),
        ("::ffff:10.1.2.3", "branch"),
        ("192.168.0.7", "mapped"),
        ("10.2.0.1", "unknown"),
        ("10.3.0.1", "unknown"),
        ("11.0.0.1", "unknown"),
        ("2a00::1", "internet"),
        ("fd00::1", "all-six"),
        ("64:ff9b::10.9.9.9", "unknown"),
        ("64:ff9b:1::1", "unknown"),
        ("2001:0:1::1", "unknown"),
        ("2001:1::1", "internet"),
        ("2002:c000:204::1", "six-to-four"),
        ("2002:c000:205::1", "unknown"),
        ("fe80::1", "link"),
        ("fe80::2", "unknown"),
    ] {
        assert_eq!(&*map().region_of(ip(address), today).name(), expected, "{address}");
    }
}

#[test]
fn an_expired_place_is_unknown_from_the_day_after() {
    assert_eq!(&*map().region_of(ip("10.2.0.1"), day("2026-06-30")).name(), "lease");
    assert_eq!(map().region_of(ip("10.2.0.1"), day("2026-07-01")), Region::Unknown);
}

#[test]
fn finds_the_region_of_a_name() {
    let today = day("2026-07-01");
    for (host, expected) in [
        ("a.db.example", "cluster"),
        ("a.b.DB.Example.", "cluster"),
        ("us.db.example", "us-east"),
        ("US.db.example.", "us-east"),
        ("x.us.db.example", "cluster"),
        ("a.old.db.example", "unknown"),
        ("db.example", "unknown"),
        ("xdb.example", "unknown"),
        (".db.example", "unknown"),
        ("a.db.example.evil", "unknown"),
    ] {
        assert_eq!(&*map().region_of_host(host, today).name(), expected, "{host}");
    }
}

#[test]
fn takes_only_names_for_patterns() {
    for text in ["", "*", "*.", "*.*.example", "a.*.example", "10.0.0.1", "*.0.0.1", "a..b", "a b", "a/b"] {
        assert!(HostPattern::parse(text).is_none(), "{text}");
    }
    assert!(HostPattern::parse(&format!("{}.example", "a".repeat(64))).is_none());
}

#[test]
fn judges_walsenders_by_their_peer() {
    use Replication::{Invalid, Logical, No, Physical};
    let today = day("2026-07-01");
    let with = |change: fn(&mut Rules)| {
        let mut rules = rules();
        change(&mut rules);
        Residency::new(map(), rules)
    };
    let usual = with(|_| {});
    let open = with(|rules| rules.replication_outside = Form::Allow);
    let none = with(|rules| rules.replication_inside = Form::Deny);
    let lax = with(|rules| rules.unknown = Form::Allow);
    for (residency, kind, peer, allowed) in [
        (&usual, Physical, "10.9.9.9", true),
        (&usual, Logical, "::ffff:10.9.9.9", true),
        (&usual, Invalid, "10.9.9.9", true),
        (&usual, Physical, "10.1.0.1", false),
        (&usual, Logical, "10.1.0.1", false),
        (&usual, Invalid, "10.1.0.1", false),
        (&usual, Physical, "11.0.0.1", false),
        (&usual, Physical, "10.2.0.1", false),
        (&open, Physical, "10.1.0.1", true),
        (&open, Physical, "11.0.0.1", false),
        (&none, Physical, "10.9.9.9", false),
        (&none, Physical, "10.1.0.1", false),
        (&lax, Physical, "11.0.0.1", true),
        (&lax, Physical, "10.1.0.1", false),
    ] {
        let verdict = residency.judge_walsender(kind, ip(peer), today);
        assert_eq!(matches!(verdict, Verdict::Allowed { .. }), allowed, "{kind:?} {peer} {verdict:?}");
        assert_eq!(matches!(verdict, Verdict::Denied { .. }), !allowed, "{kind:?} {peer} {verdict:?}");
        assert_eq!(residency.judge_walsender(No, ip(peer), today), Verdict::NotJudged);
    }
}

#[test]
fn an_upstream_passes_only_with_every_address() {
    let today = day("2026-07-01");
    let residency = Residency::new(map(), rules());
    for (host, addresses, expected) in [
        ("db.example", &["10.9.9.9"][..], Some("office")),
        ("db.example", &["10.9.9.9", "2a00::1"], Some("office")),
        ("db.example", &["10.9.9.9", "10.1.0.1"], None),
        ("db.example", &["10.9.9.9", "11.0.0.1"], None),
        ("a.db.example", &["11.0.0.1", "12.0.0.1"], Some("cluster")),
        ("a.db.example", &["11.0.0.1", "10.1.0.1"], None),
        ("us.db.example", &["11.0.0.1"], None),
        ("a.old.db.example", &["11.0.0.1"], None),
        ("a.db.example", &[], None),
        ("11.0.0.1", &["11.0.0.1"], None),
    ] {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
        let region = match residency.judge_upstream(host, &addresses, today) {
            Verdict::Allowed { region } => Some(region),
            Verdict::Denied { why } => {
                assert!(why.contains(host), "{why}");
                None
            }
            Verdict::NotJudged => panic!("{host} is not judged"),
        };
        assert_eq!(region.as_deref(), expected, "{host} {addresses:?}");
    }
}

#[test]
fn allows_a_region_by_its_own_name() {
    let places = Places::new(vec![place("10.0.0.0/8", "island", "", "")]);
    let residency = Residency::new(places, rules());
    let verdict = residency.judge_upstream("h", &[ip("10.0.0.1")], day("2026-01-01"));
    assert_eq!(verdict, Verdict::Allowed { region: "island".into() });
}

#[test]
fn judges_nothing_without_a_section() {
    let residency = Residency::unjudged();
    let today = day("2026-01-01");
    assert_eq!(residency.judge_walsender(Replication::Physical, ip("1.1.1.1"), today), Verdict::NotJudged);
    assert_eq!(residency.judge_upstream("h", &[], today), Verdict::NotJudged);
    assert_eq!(&*residency.region_name(ip("1.1.1.1"), today), "");
}
