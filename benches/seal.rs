//! What one value costs: sealing and opening in both modes, short and long; and a short one of each type, read as a
//! client gives it and written as it sees it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sealgate::catalog::{Domain, DomainName, Kind, Logical, Mode};
use sealgate::seal::{KeyedDomain, Keyring, KeyringParts, Plaintext, Random, Root, RootKey, Sealer};
use sealgate::types::{Format, Purpose, Style, canonical, show};

/// The generator that the program itself hands in.
struct ThreadRandom(rand::rngs::ThreadRng);

impl Random for ThreadRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        rand::Rng::fill_bytes(&mut self.0, bytes);
    }
}

fn domain(mode: Mode) -> Domain {
    Domain { name: DomainName(mode.name().into()), mode, kind: Kind::TEXT }
}

fn sealer_of(domains: &[Domain]) -> Option<Sealer> {
    let keyed = |domain: &Domain| KeyedDomain {
        domain: domain.clone(),
        generation: (domain.mode == Mode::Equality).then_some(1),
        created_unix_s: 0,
    };
    let keyring = Keyring::from_parts(KeyringParts {
        identity: None,
        created_unix_s: 0,
        roots: vec![Root { version: 1, created_unix_s: 0, key: RootKey::new([7; 32]) }],
        current: 1,
        domains: domains.iter().map(keyed).collect(),
    });
    Some(Sealer::new(Arc::new(keyring.ok()?), Box::new(ThreadRandom(rand::rng()))))
}

fn one_value(criterion: &mut Criterion) {
    let Some(mut sealer) = sealer_of(&[domain(Mode::Random), domain(Mode::Equality)]) else { return };
    for mode in [Mode::Random, Mode::Equality] {
        let domain = domain(mode);
        let mut group = criterion.benchmark_group(mode.name());
        for length in [24_usize, 256, 16 * 1024] {
            let value = vec![b'x'; length];
            let mut sealed = Vec::new();
            let mut opened = Plaintext::default();
            group.throughput(Throughput::Bytes(length as u64));
            group.bench_function(BenchmarkId::new("seal", length), |bencher| {
                bencher.iter(|| {
                    sealed.clear();
                    sealer.seal(&domain, black_box(&value), &mut sealed)
                });
            });
            group.bench_function(BenchmarkId::new("open", length), |bencher| {
                bencher.iter(|| {
                    let outcome = sealer.open(&domain, black_box(&sealed), &mut opened);
                    black_box(opened.expose().len());
                    outcome
                });
            });
        }
        group.finish();
    }
}

/// A type as a policy has it, and a value of it as a client writes one.
const TYPES: [(&str, &str); 33] = [
    ("text", "ada@example.com"),
    ("varchar(254)", "ada@example.com"),
    ("char(20)", "ada"),
    ("name", "ada"),
    ("citext", "Ada@Example.com"),
    ("smallint", "31337"),
    ("integer", "1734918273"),
    ("bigint", "917349182734918273"),
    ("numeric(12,2)", "1734918273.25"),
    ("numeric", "1734918273.25"),
    ("real", "1734918.2"),
    ("double precision", "1734918273.25"),
    ("boolean", "true"),
    ("date", "1991-07-23"),
    ("time", "13:37:59.123457"),
    ("timetz", "13:37:59.123457+02"),
    ("timestamp", "1991-07-23 13:37:59.123457"),
    ("timestamptz", "1991-07-23 13:37:59.123457+02"),
    ("interval", "1 mon 2 days 03:04:05"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("bytea", "\\x73656e74696e656c"),
    ("json", r#"{"b": 1, "a": "x"}"#),
    ("jsonb", r#"{"b": 1, "a": "x"}"#),
    ("inet", "198.51.100.173"),
    ("cidr", "198.51.100.0/24"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("money", "$1,734,918.25"),
    ("text[]", "{ada,bob}"),
    ("integer[]", "{1734918273,2}"),
    ("numeric(12,2)[]", "{1734918.25,7}"),
    ("date[]", "{1991-07-23,1991-07-24}"),
    ("timestamptz[]", "{\"1991-07-23 13:37:59.123457+02\"}"),
    ("uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"),
];

/// Down: as text, made canonical and sealed. Up: opened, and written as text.
fn each_type(criterion: &mut Criterion) {
    let style = Style::default();
    for mode in [Mode::Random, Mode::Equality] {
        let mut group = criterion.benchmark_group(format!("{} by type", mode.name()));
        for (name, value) in TYPES {
            let Some(logical) = Logical::parse(name) else { return };
            let kind = Kind::of(&logical);
            if mode == Mode::Equality && kind.unequal().is_some() {
                continue;
            }
            let domain = Domain { name: DomainName("d".into()), mode, kind };
            let Some(mut sealer) = sealer_of(std::slice::from_ref(&domain)) else { return };
            let (mut plain, mut sealed, mut shown) = (Vec::new(), Vec::new(), Vec::new());
            let mut opened = Plaintext::default();
            group.bench_function(BenchmarkId::new("seal", name), |bencher| {
                bencher.iter(|| {
                    plain.clear();
                    sealed.clear();
                    let value = black_box(value.as_bytes());
                    let read = canonical(
                        None,
                        Format::Text,
                        value,
                        &logical,
                        &kind,
                        Purpose::Assign,
                        &style,
                        &mut plain,
                    );
                    (read.is_ok(), sealer.seal(&domain, &plain, &mut sealed).is_ok())
                });
            });
            group.bench_function(BenchmarkId::new("open", name), |bencher| {
                bencher.iter(|| {
                    shown.clear();
                    let outcome = sealer.open(&domain, black_box(&sealed), &mut opened).is_ok();
                    (outcome, show(&logical, opened.expose(), Format::Text, &style, &mut shown).is_ok())
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, one_value, each_type);
criterion_main!(benches);
