//! What one value costs: sealing and opening in both modes, short and long.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sealgate::catalog::{Domain, DomainName, Kind, Mode};
use sealgate::seal::{KeyedDomain, Keyring, KeyringParts, Plaintext, Random, Root, RootKey, Sealer};

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

fn sealer() -> Option<Sealer> {
    let keyed = |mode, generation| KeyedDomain { domain: domain(mode), generation, created_unix_s: 0 };
    let keyring = Keyring::from_parts(KeyringParts {
        identity: None,
        created_unix_s: 0,
        roots: vec![Root { version: 1, created_unix_s: 0, key: RootKey::new([7; 32]) }],
        current: 1,
        domains: vec![keyed(Mode::Random, None), keyed(Mode::Equality, Some(1))],
    });
    Some(Sealer::new(Arc::new(keyring.ok()?), Box::new(ThreadRandom(rand::rng()))))
}

fn one_value(criterion: &mut Criterion) {
    let Some(mut sealer) = sealer() else { return };
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

criterion_group!(benches, one_value);
criterion_main!(benches);
