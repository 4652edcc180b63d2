//! What the street costs in processor time alone, without sockets: the prefilter, a first
//! judgement, and a batch of messages through the session's machine.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgate::catalog::stock::Stock;
use sealgate::catalog::{
    Codes, Column, Declared, Domain, DomainName, Field, FieldId, FieldState, Kind, Logical, Mode,
    QualifiedName, Relation, RelationKind, Snapshot, SnapshotParts,
};
use sealgate::login::{Claim, Principal, Progress, Relay};
use sealgate::pipeline::{Bounds, PlanCache, Session, Step, View, Workshop};
use sealgate::statement::{Encoding, Limits, Prefilter, Reading, analyse};
use sealgate::wire::frontend::{put_execute, put_parse};
use sealgate::wire::{Peek, frame::put, peek, startup::Start};

const READING: Reading = Reading {
    standard_conforming_strings: true,
    encoding: Encoding::Utf8,
    server_utf8: true,
    declared: Declared::Nothing,
};
const ORM: &str = "SELECT \"orders\".\"id\", \"orders\".\"placed_at\", \"orders\".\"total\", \"orders\".\"status\" \
                   FROM \"orders\" INNER JOIN \"lines\" ON \"lines\".\"order_id\" = \"orders\".\"id\" \
                   WHERE \"orders\".\"customer_id\" = $1 AND \"lines\".\"sku\" IN ($2, $3, $4) \
                   ORDER BY \"orders\".\"placed_at\" DESC LIMIT 21";

/// The same of a table with a sealed column.
const ORM_SEALED: &str = "SELECT \"customers\".\"id\", \"customers\".\"email\", \"customers\".\"name\", \"customers\".\"city\", \
                   \"customers\".\"street\", \"customers\".\"since\", \"customers\".\"status\", \"customers\".\"note\" FROM \"customers\" \
                   WHERE \"customers\".\"email\" = $1 ORDER BY \"customers\".\"id\" ASC LIMIT 21";

fn snapshot() -> Arc<Snapshot> {
    let table = QualifiedName { schema: "public".into(), name: "customers".into() };
    let domain = Domain { name: DomainName("email".into()), mode: Mode::Equality, kind: Kind::TEXT };
    let field = Field {
        id: FieldId(0),
        database: None,
        table: table.clone(),
        column: "email".into(),
        class: "contact".into(),
        logical: Logical::TEXT,
        own: None,
        domain: Some(domain),
        state: FieldState::Sealed,
        guard: None,
        subject: None,
    };
    let column = |name: &str, number, type_oid, field| Column {
        name: name.into(),
        number,
        type_oid,
        field,
        fault: None,
        generated: false,
    };
    let plain = ["name", "city", "street", "since", "status", "note", "orders"];
    let mut columns = vec![column("id", 1, 23, None), column("email", 2, 25, Some(FieldId(0)))];
    columns.extend(plain.iter().zip(3..).map(|(name, number)| column(name, number, 25, None)));
    let relation = Relation {
        name: table,
        oid: 16_400,
        kind: RelationKind::Table,
        attributes: 9,
        columns,
        keys: vec![vec!["id".into()]],
        behind: Vec::new(),
        reaches: None,
        fault: None,
        refused: Default::default(),
    };
    Arc::new(Snapshot::new(SnapshotParts {
        database: "shop".into(),
        epoch: 1,
        fields: vec![field],
        relations: vec![relation],
        codes: Codes { stock: Stock::of(18), ..Codes::default() },
        ..SnapshotParts::default()
    }))
}

fn principal() -> Option<Principal> {
    let start = Start { minor: 0, parameters: vec![(b"user", b"app"), (b"database", b"shop")] };
    let mut relay = Relay::new(Claim::new(&start, "::1".into(), "".into(), 1));
    let Ok(Peek::Whole(frame)) = peek(b"R\0\0\0\x08\0\0\0\0") else { return None };
    match relay.from_server(frame, &mut Vec::new()) {
        Ok(Progress::Proven(principal)) => Some(principal),
        Ok(_) | Err(_) => None,
    }
}

/// Bytes of one direction each: a client's, and the server's answer.
type Exchange = (Vec<u8>, Vec<u8>);

/// A Query, and `rows` small rows.
fn query(text: &str, rows: usize) -> Exchange {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    put(&mut asked, b'Q', |out| {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    });
    put_rows(&mut answered, rows);
    put(&mut answered, b'Z', |out| out.push(b'I'));
    (asked, answered)
}

/// COPY of 100 lines to the client.
fn copy() -> Exchange {
    let (asked, mut answered) = query("COPY orders TO STDOUT", 0);
    answered.clear();
    put(&mut answered, b'H', |out| out.extend_from_slice(&[0, 0, 2, 0, 0, 0, 0]));
    for _ in 0..100 {
        put(&mut answered, b'd', |out| {
            out.extend_from_slice(b"1000\ta line of an order, and what it costs\n")
        });
    }
    put(&mut answered, b'c', |_| {});
    put(&mut answered, b'C', |out| out.extend_from_slice(b"COPY 100\0"));
    put(&mut answered, b'Z', |out| out.push(b'I'));
    (asked, answered)
}

fn put_rows(out: &mut Vec<u8>, count: usize) {
    for _ in 0..count {
        put(out, b'D', |out| {
            out.extend_from_slice(&[0, 1, 0, 0, 0, 40]);
            out.extend_from_slice(&[b'x'; 40]);
        });
    }
    put(out, b'C', |out| out.extend_from_slice(format!("SELECT {count}\0").as_bytes()));
}

/// Parse, Bind, Execute, Sync of a statement that touches nothing, and the server's answers.
fn batch() -> Exchange {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    put_parse(&mut asked, b"", ORM.as_bytes(), &[]);
    put(&mut asked, b'B', |out| out.extend_from_slice(&[0; 8]));
    put_execute(&mut asked, b"", 0);
    put(&mut asked, b'S', |_| {});
    put(&mut answered, b'1', |_| {});
    put(&mut answered, b'2', |_| {});
    put_rows(&mut answered, 20);
    put(&mut answered, b'Z', |out| out.push(b'I'));
    (asked, answered)
}

/// A Parse of a text that was judged before: its plan is kept.
fn prepared() -> Exchange {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    put_parse(&mut asked, b"", ORM_SEALED.as_bytes(), &[]);
    put(&mut asked, b'S', |_| {});
    put(&mut answered, b'1', |_| {});
    put(&mut answered, b'Z', |out| out.push(b'I'));
    (asked, answered)
}

fn walk(mut input: &[u8], mut step: impl FnMut(&[u8]) -> Step) -> usize {
    let mut steps = 0;
    while !input.is_empty() {
        match step(input) {
            Step::Pass(count) | Step::Took(count) => input = input.get(count..).unwrap_or(&[]),
            Step::Need(_) | Step::End(_) => return steps,
        }
        steps += 1;
    }
    steps
}

fn street(criterion: &mut Criterion) {
    let snapshot = snapshot();
    let prefilter = Prefilter::new(&snapshot);
    let limits = Limits::default();
    criterion
        .bench_function("prefilter/orm", |bench| bench.iter(|| prefilter.hits(black_box(ORM.as_bytes()))));
    for (name, text) in [
        ("analyse/insert", "INSERT INTO customers (email) VALUES ('ada@shop.example') RETURNING id"),
        ("analyse/select", "SELECT id, email FROM customers WHERE email = $1"),
        ("analyse/orm", ORM_SEALED),
    ] {
        criterion.bench_function(name, |bench| {
            bench
                .iter(|| analyse(black_box(text.as_bytes()), READING, snapshot.names(None), &limits).is_ok());
        });
    }
    exchanges(criterion, &snapshot, limits);
}

/// Whole exchanges through the session's machine. A refused text is replaced by one that the server
/// cannot read, and the server's complaint by the reason of the refusal.
fn exchanges(criterion: &mut Criterion, snapshot: &Arc<Snapshot>, limits: Limits) {
    let refused = "SELECT email || '.' FROM customers";
    let mut complaint = Vec::new();
    put(&mut complaint, b'E', |out| {
        out.extend_from_slice(b"SERROR\0VERROR\0C42601\0Msyntax error at or near \"sealgate\"\0\0");
    });
    put(&mut complaint, b'Z', |out| out.push(b'I'));
    let cases: [(&str, Exchange, &[bool]); 6] = [
        ("kept plan", prepared(), &[true]),
        ("batch", batch(), &[false, true]),
        ("simple", query(ORM, 1), &[false, true]),
        ("100 rows", query(ORM, 100), &[false, true]),
        ("copy of 100 lines", copy(), &[false, true]),
        ("refusal", (query(refused, 0).0, complaint), &[true]),
    ];
    for (name, (asked, answered), judged) in &cases {
        for judged in *judged {
            let Some(principal) = principal() else { return };
            let mut session =
                Session::new(principal, None, None, Bounds { frame_bytes_max: 1 << 20 }, [0; 16]);
            if *judged {
                session.renew(Arc::new(View::new(Arc::clone(snapshot))));
                session.parameter(b"client_encoding", b"UTF8");
                session.parameter(b"server_encoding", b"UTF8");
            }
            let mut shop = Workshop::new(None, PlanCache::new(1 << 20), limits);
            let mut out = Vec::new();
            let whose = if *judged { "another table" } else { "nothing classified" };
            let alone = matches!(*name, "refusal" | "kept plan");
            let title = if alone { (*name).to_owned() } else { format!("{name}/{whose}") };
            criterion.bench_function(&title, |bench| {
                bench.iter(|| {
                    out.clear();
                    let asked = walk(black_box(asked), |input| session.request(&mut shop, input, &mut out));
                    let answered =
                        walk(black_box(answered), |input| session.response(&mut shop, input, &mut out, 0));
                    drop((session.take_records(), session.take_events()));
                    asked + answered
                });
            });
        }
    }
}

criterion_group!(benches, street);
criterion_main!(benches);
