//! No reveal without a record (P2), and no access where none can be written (P3).

mod committed;
mod definitions;
mod elsewhere;
mod ends;
mod joined;
mod levels;
mod operators;
mod page;
mod replicated;
mod verified;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sealgate::audit::{Durability, Journal, Sink, SinkError};
use sealgate::config::{Endpoint, HostPort};
use sealgate::gate::{
    Acceptor, Admission, Cancels, Gate as Shared, Listener, Phase, Regime, SharedGate, accept,
};
use sealgate::login::scram::MockSecret;
use sealgate::seal::MasterKey;
use sealgate::store::catalog::{CatalogSource, Catalogs, Timing};
use sealgate::store::{journal, keyfile};
use sealgate::upstream::dial::Dialer;
use sealgate::upstream::service::{Access, ServiceAccount};
use sealgate::watch::Watch;
use tokio::sync::watch;

use crate::harness::{Gate, Raw, Session, Setup, Tap, await_that, search_folder};
use crate::shop::{self, classified, errors, firsts, holds, records, records_with, states, tags};

const EMAIL: &str = "ada.lovelace@analytical.example";
const PHONE: &str = "+44 20 7946 0958 ext 1815";
const CITY: &str = "Marylebone-upon-Thames";

fn fill(address: SocketAddr) {
    let session = Session::open(address, "postgres", None, "postgres").unwrap();
    let insert = "INSERT INTO customers (id, email, phone, city, note) VALUES ($1, $2, $3, $4, 'plain')";
    session.rows(insert, &[&1, &EMAIL, &PHONE, &CITY]).unwrap();
}

#[test]
fn every_access_stands_in_the_record_before_and_after_without_any_value() {
    for major in crate::harness::VERSIONS {
        let server = shop::server(major);
        let (gate, tap) = shop::open(&server);
        fill(gate.address());
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let found = raw.query(&format!("SELECT email, phone, city FROM customers WHERE email = '{EMAIL}'"));
        assert_eq!(firsts(&found), [EMAIL], "{:?}", errors(&found));
        raw.query("UPDATE customers SET phone = '+49 30 901820 sentinel' WHERE id = 1");
        raw.query("SELECT lower(email) FROM customers WHERE phone = 'refused sentinel literal'");
        raw.query("SELECT city FROM customers; SELECT id FROM orders; SELECT email FROM customers");
        raw.query("INSERT INTO customers (id, email) VALUES (1, 'duplicate-key@sentinel.example')");
        raw.parse("s", "SELECT phone FROM customers WHERE email = $1 AND note <> $2", &[]);
        raw.bind("", "s", &[], &[Some(EMAIL.as_bytes()), Some(b"bound sentinel parameter")], &[]);
        raw.execute("", 0);
        let bound = raw.sync();
        assert_eq!(firsts(&bound), ["+49 30 901820 sentinel"], "{:?}", errors(&bound));
        drop(raw);

        // insert; select; update; city; email; duplicate, and what the server said of it; bound select
        let records = records_with(&gate, "outcome", 8);
        let find = |kind: &str, session: &serde_json::Value, statement: &serde_json::Value| {
            records.iter().position(|record| {
                record["kind"] == kind
                    && record["session"] == *session
                    && record["statement_id"] == *statement
            })
        };
        for (at, record) in records.iter().enumerate() {
            assert_eq!(record["seq"].as_u64().unwrap(), at as u64 + 1, "no gap, no repeat");
            if record["kind"] == "outcome" {
                let intent = find("intent", &record["session"], &record["statement_id"]);
                assert!(
                    intent.is_some_and(|intent| intent < at),
                    "an outcome without its intent before: {record}"
                );
            }
            if record["kind"] == "intent" {
                let outcome = find("outcome", &record["session"], &record["statement_id"]);
                assert!(
                    outcome.is_some_and(|outcome| outcome > at),
                    "an intent without its outcome: {record}"
                );
            }
        }
        let outcomes: Vec<_> = records.iter().filter(|record| record["kind"] == "outcome").collect();
        let told: Vec<_> = outcomes
            .iter()
            .map(|record| {
                format!("{} {} {}", record["action"], record["rows"], record["cells"]).replace('"', "")
            })
            .collect();
        assert_eq!(
            told,
            [
                "write 1 0",
                "read 1 3",
                "write 1 0",
                "read 1 1",
                "read 1 1",
                "write 0 0",
                "read 0 1",
                "read 1 1"
            ],
            "action, rows, cells"
        );
        assert_eq!(outcomes[5]["sqlstate"], "23505");
        let refusal = records.iter().find(|record| record["kind"] == "refusal").unwrap();
        assert_eq!((&refusal["sqlstate"], &refusal["verdict"]), (&"SG001".into(), &"refuse".into()));
        let intent = records.iter().find(|record| record["kind"] == "intent").unwrap();
        assert_eq!(intent["fields"][0]["field"], "public.customers.email");
        assert_eq!((&intent["user"], &intent["client"]), (&"postgres".into(), &"127.0.0.1".into()));

        let secrets = [
            EMAIL,
            PHONE,
            CITY,
            "+49 30 901820 sentinel",
            "refused sentinel literal",
            "bound sentinel parameter",
            "duplicate-key@sentinel.example",
        ];
        for secret in secrets {
            assert_eq!(search_folder(gate.folder(), secret.as_bytes()), [], "in the record or the log");
        }
        assert!(holds(&tap.to_server(), b"bound sentinel parameter"), "the search means something");
    }
}

/// What must hold while records do not become durable, and once they do.
fn nothing_classified_comes_out_before_its_record(
    address: SocketAddr,
    tap: &Tap,
    hold: impl FnOnce(),
    release: impl FnOnce(),
) {
    fill(address);
    let mut reader = Raw::login(address, "postgres", "postgres");
    let mut prepared = Raw::login(address, "postgres", "postgres");
    let mut writer = Raw::login(address, "postgres", "postgres");
    let mut other = Raw::login(address, "postgres", "postgres");
    let mut told = Raw::login(address, "postgres", "postgres");
    let mut empty = Raw::login(address, "postgres", "postgres");
    prepared.parse("kept", "SELECT city FROM customers WHERE id = $1", &[]);
    assert_eq!(tags(&prepared.sync()), "1ZI");
    hold();
    let text = "SELECT id, email, phone, city FROM customers";
    reader.send(b'Q', &crate::harness::string(text));
    prepared.bind("", "kept", &[], &[Some(b"1")], &[]);
    prepared.execute("", 0);
    prepared.send(b'S', &[]);
    writer.send(b'Q', &crate::harness::string("UPDATE customers SET phone = 'x' WHERE id = 918273645"));
    // An error's text tells a value too, and an empty answer that there is none.
    told.send(b'Q', &crate::harness::string("SELECT id FROM customers WHERE city::int = 1"));
    empty.send(b'Q', &crate::harness::string("SELECT id FROM customers WHERE city = 'nowhere'"));
    await_that("the server's own answers", || {
        let answers = tap.to_client();
        answers.windows(CITY.len()).filter(|window| *window == CITY.as_bytes()).count() == 3
    });
    // Others go on meanwhile, and what they do takes its time too.
    for round in 0..20 {
        assert_eq!(firsts(&other.query(&format!("SELECT {round}"))), [round.to_string()]);
        other.parse("", "INSERT INTO orders (id, item) VALUES ($1::text::int, 'x') RETURNING item", &[]);
        other.bind("", "", &[], &[Some(round.to_string().as_bytes())], &[]);
        other.execute("", 0);
        assert_eq!(tags(&other.sync()), "12DCZI");
    }
    let early = [reader.within(Duration::from_millis(150)), prepared.within(Duration::from_millis(100))];
    for (early, session) in early.iter().zip(["simple", "prepared"]) {
        for value in [EMAIL, PHONE, CITY] {
            assert!(!holds(early, value.as_bytes()), "{session}: a value before its record");
        }
        assert!(!early.contains(&b'D') || early.first() == Some(&b'T'), "{session}: no row at all");
    }
    let early = told.within(Duration::from_millis(50));
    assert!(!holds(&early, CITY.as_bytes()), "an error told a value before its record");
    assert!(!holds(&empty.within(Duration::from_millis(50)), b"SELECT 0"), "an answer before its record");
    assert!(!holds(&tap.to_server(), b"918273645"), "a write goes upstream only after its intent");
    assert_eq!(writer.within(Duration::from_millis(50)), b"");
    release();
    let late = reader.until_ready();
    let row = late.iter().find(|frame| frame.tag == b'D').unwrap().values();
    assert_eq!(row[1..], [EMAIL, PHONE, CITY].map(|value| Some(value.as_bytes().to_vec())));
    assert_eq!(firsts(&prepared.until_ready()), [CITY]);
    assert_eq!(tags(&writer.until_ready()), "CZI");
    assert_eq!(states(&told.until_ready()), ["22P02"]);
    assert_eq!(empty.until_ready().last().map(|frame| frame.tag), Some(b'Z'));
    assert!(holds(&tap.to_server(), b"918273645"));
}

/// A sink whose sync waits for leave.
struct Held {
    lines: Arc<Mutex<Vec<u8>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    /// So many bytes of them are.
    synced: Arc<AtomicUsize>,
}

impl Sink for Held {
    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.lines.lock().unwrap().extend_from_slice(line);
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        let (held, changed) = &*self.gate;
        drop(changed.wait_while(held.lock().unwrap(), |held| *held).unwrap());
        self.synced.store(self.lines.lock().unwrap().len(), Ordering::SeqCst);
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The program's own gate within this process, with a sink of ours under its journal.
async fn gate_over(sink: Held, durability: Durability, file: &Path) -> SocketAddr {
    let text = fs::read_to_string(file).unwrap();
    let settings = sealgate::config::load(&text, "sealgate.toml").unwrap();
    let master = MasterKey::new(std::array::from_fn(|at| at as u8));
    let keyring = Arc::new(keyfile::read(&settings.keys.as_ref().unwrap().path, &master).unwrap());
    let upstream: SocketAddr = settings.upstream.hosts[0].to_string().parse().unwrap();
    let (catalogs, keeper) = Catalogs::new(CatalogSource {
        access: Arc::new(ArcSwap::from_pointee(Access::plain(
            upstream,
            ServiceAccount { user: "postgres".into(), password: None },
        ))),
        policy: Arc::new(ArcSwap::from_pointee(settings.policy.clone())),
        keyring: Arc::default(),
        timing: Timing::default(),
    });
    tokio::spawn(keeper.run());
    let journal = Journal::new("test".into(), 1).at(durability);
    let (journal, thread) = journal::start_with(Box::new(sink), journal).unwrap();
    // It ends with the process.
    std::mem::forget(thread);
    let (phase, phases) = watch::channel(Phase::Serving);
    std::mem::forget(phase);
    let (alarm, roster) = (Arc::new(sealgate::alarm::Alarm::silent()), Arc::default());
    let means = sealgate::gate::Means {
        roster: Arc::clone(&roster),
        alarm: Arc::clone(&alarm),
        journal: Some(journal.clone()),
    };
    let (vigil, looking) = sealgate::gate::Vigil::start(sealgate::gate::Watched::default(), means).unwrap();
    std::mem::forget(looking);
    let gate: SharedGate = Arc::new(Shared {
        watch: Arc::new(Watch::new(Vec::new())),
        fellowship: None,
        catalogs: Some(catalogs),
        journal: Some(journal),
        alarm,
        vigil,
        roster,
        cancels: Cancels::default(),
        admission: Admission::default(),
        mock: MockSecret::new([0; 32]),
        fences: Default::default(),
        judges: sealgate::gate::Judges::new(1),
        next_session: AtomicU64::new(1),
        phase: phases,
        started: Instant::now(),
        regime: ArcSwap::from_pointee(Regime {
            tokens: Arc::default(),
            doors: None,
            settings,
            dialer: Arc::new(Dialer::plain(upstream)),
            verifiers: None,
            client_tls: None,
            keyring: Some(keyring),
            threads: 1,
        }),
    });
    let acceptor = Arc::new(Acceptor::start(&gate).unwrap());
    let any = Endpoint::Tcp(HostPort { host: "127.0.0.1".into(), port: 0 });
    let listener = Listener::bind(&any, 0).await.unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(accept(listener, acceptor, gate));
    address
}

/// The program's own gate whose records wait for leave.
struct Withheld {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<u8>>>,
    held: Arc<(Mutex<bool>, Condvar)>,
    synced: Arc<AtomicUsize>,
    /// Its configuration and keys.
    _folder: Gate,
}

impl Withheld {
    fn before(upstream: SocketAddr) -> Withheld {
        Withheld::at(upstream, Durability::Intent)
    }

    fn at(upstream: SocketAddr, durability: Durability) -> Withheld {
        let configuration = classified(Setup::before(upstream)).prepare().unwrap();
        let held = Arc::new((Mutex::new(false), Condvar::new()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let synced = Arc::new(AtomicUsize::new(0));
        let sink = Held { lines: lines.clone(), gate: held.clone(), synced: synced.clone() };
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let text = configuration.folder().join("sealgate.toml");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tell.send(gate_over(sink, durability, &text).await).unwrap();
                std::future::pending::<()>().await;
            });
        });
        Withheld { address: told.recv().unwrap(), lines, held, synced, _folder: configuration }
    }

    /// Is all synced that is written?
    fn is_synced(&self) -> bool {
        self.lines.lock().unwrap().len() == self.synced.load(Ordering::SeqCst)
    }

    fn set(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }
}

#[test]
fn a_sink_that_never_acknowledges_releases_nothing() {
    let server = shop::server(15);
    let tap = Tap::before(server.address());
    let gate = Withheld::before(tap.address());
    nothing_classified_comes_out_before_its_record(gate.address, &tap, || gate.set(true), || gate.set(false));
    let lines = gate.lines.lock().unwrap();
    assert!(holds(&lines, b"\"kind\":\"intent\"") && !holds(&lines, EMAIL.as_bytes()));
}

/// A file system of our own. A shell takes it away again, also where this process is killed.
struct Mounted {
    folder: PathBuf,
    keeper: Child,
}

const KEEPER: &str = r#"
read -r _
fsfreeze -u "$1" 2>/dev/null
umount -l "$1"
rm -rf "$1" "$1.img"
"#;

impl Mounted {
    /// None, with the reason, where this account may not mount.
    fn new(commands: &str) -> Result<Mounted, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sealgate-mount-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let made = Command::new("sh").args(["-ec", commands, "sh"]).arg(&folder).output().unwrap();
        if !made.status.success() {
            let _ = fs::remove_dir_all(&folder);
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(&folder).stdin(Stdio::piped()).stderr(Stdio::null());
        Ok(Mounted { keeper: keeper.spawn().unwrap(), folder })
    }

    fn freeze(&self, how: &str) {
        assert!(Command::new("fsfreeze").arg(how).arg(&self.folder).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The program with its audit folder in `place`.
fn recording_in(place: &Path, upstream: SocketAddr) -> Gate {
    let mut gate = classified(Setup::before(upstream)).prepare().unwrap();
    let own = format!("{}/audit", gate.folder().display());
    let there = format!("{}/audit", place.display());
    gate.configure(|text| text.replace(&own, &there).replace("[audit]", "[audit]\nreserve = 16384"));
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    gate
}

#[test]
fn a_file_system_that_hangs_releases_nothing() {
    let commands = "truncate -s 16M \"$1.img\"; mkfs.ext4 -q \"$1.img\"; mount -o loop \"$1.img\" \"$1\"; \
                    fsfreeze -f \"$1\"; fsfreeze -u \"$1\"";
    let mounted = match Mounted::new(commands) {
        Ok(mounted) => mounted,
        Err(reason) => {
            eprintln!("NOT TESTED: a hanging file system needs root, loop devices and fsfreeze: {reason}");
            return;
        }
    };
    let server = shop::server(18);
    let tap = Tap::before(server.address());
    let gate = recording_in(&mounted.folder, tap.address());
    nothing_classified_comes_out_before_its_record(
        gate.address(),
        &tap,
        || mounted.freeze("-f"),
        || mounted.freeze("-u"),
    );
}

#[test]
fn a_full_disk_refuses_access_and_nothing_else() {
    let mounted = match Mounted::new("mount -t tmpfs -o size=64k none \"$1\"") {
        Ok(mounted) => mounted,
        Err(reason) => {
            eprintln!("NOT TESTED: a full disk needs root and tmpfs: {reason}");
            return;
        }
    };
    let server = shop::server(15);
    let tap = Tap::before(server.address());
    let gate = recording_in(&mounted.folder, tap.address());
    fill(gate.address());
    let (mut raw, mut writer) = (
        Raw::login(gate.address(), "postgres", "postgres"),
        Raw::login(gate.address(), "postgres", "postgres"),
    );
    let filler = mounted.folder.join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    // What is left of the last page of the segment holds some records.
    let refused = loop {
        let answer = raw.query("SELECT email, city FROM customers");
        if !errors(&answer).is_empty() {
            break answer;
        }
    };
    assert_eq!(states(&refused), ["SG006"]);
    assert!(errors(&refused)[0].1.starts_with("sealgate:"));
    assert!(firsts(&refused).is_empty());
    assert!(!gate.get("/health/ready").unwrap().starts_with("HTTP/1.1 200"), "not ready without a record");

    assert_eq!(tags(&writer.query("BEGIN")), "CZT");
    let write = writer.query("UPDATE customers SET phone = 'lost-on-a-full-disk' WHERE id = 1");
    assert_eq!((tags(&write), states(&write)), ("EZE".to_owned(), vec!["SG006".to_owned()]));
    assert_eq!(states(&writer.query("SELECT 1")), ["25P02"]);
    assert_eq!(tags(&writer.query("ROLLBACK")), "CZI");
    // Without a Describe of the client's: the gate's own must not be left in the queue.
    writer.parse("", "INSERT INTO customers (id, email) VALUES (7, $1) RETURNING email", &[]);
    writer.bind("", "", &[], &[Some(b"lost-too@on-a-full-disk.example")], &[]);
    writer.execute("", 0);
    let write = writer.sync();
    assert_eq!((tags(&write), states(&write)), ("12EZI".to_owned(), vec!["SG006".to_owned()]));
    assert_eq!(tags(&writer.query("SELECT item FROM orders")), "TCZI");
    assert_eq!(tags(&writer.query("INSERT INTO orders VALUES (1, 'x')")), "CZI");
    let upstream = tap.to_server();
    assert!(!holds(&upstream, b"UPDATE customers"), "a write without a record does not go upstream");

    let refusals = || {
        let found = shop::records_in(&mounted.folder.join("audit"));
        found.iter().filter(|record| record["kind"] == "refusal" && record["sqlstate"] == "SG006").count()
    };
    await_that("what was refused to be told of by what was reserved", || refusals() >= 3);
    // A file that is open keeps its room.
    drop(file);
    fs::remove_file(&filler).unwrap();
    await_that("access to work again", || {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        firsts(&raw.query("SELECT email FROM customers")) == [EMAIL]
    });
    assert_eq!(tags(&writer.query("UPDATE customers SET phone = 'y' WHERE id = 1")), "CZI");
    let found = shop::records_in(&mounted.folder.join("audit"));
    assert!(
        found.iter().any(|record| record["sqlstate"] == "SG006"),
        "what was refused is told of afterwards"
    );
}

#[test]
fn a_kill_leaves_whole_records_and_the_numbers_go_on() {
    let server = shop::server(18);
    server
        .execute(
            "postgres",
            "INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 60000) n",
        )
        .unwrap();
    let (mut gate, _tap) = shop::open(&server);
    for round in 0..3 {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        raw.send(b'Q', &crate::harness::string("SELECT city, note FROM customers"));
        let tag = std::iter::from_fn(|| raw.read()).nth(12_000).unwrap().tag;
        assert_eq!(tag, b'D');
        gate.kill();
        for entry in fs::read_dir(gate.folder().join("audit")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read(&path).unwrap();
            // Beside the segments there is the room that is kept free.
            let whole = path.ends_with("reserve") || text.is_empty() || text.ends_with(b"\n");
            assert!(whole, "a torn line in {}", path.display());
        }
        let records = records(&gate);
        let numbers: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "round {round}");
        let intents = records.iter().filter(|record| record["kind"] == "intent").count();
        assert_eq!(intents, round + 1, "every access that was shown is on record");
        gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    }
}

#[test]
fn a_client_that_goes_away_leaves_an_outcome() {
    let server = shop::server(15);
    server
        .execute(
            "postgres",
            "INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 60000) n",
        )
        .unwrap();
    let (gate, _tap) = shop::open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.send(b'Q', &crate::harness::string("SELECT city, note FROM customers"));
    let tag = std::iter::from_fn(|| raw.read()).nth(500).unwrap().tag;
    assert_eq!(tag, b'D');
    drop(raw);
    let records = records_with(&gate, "outcome", 1);
    let outcome = records.iter().find(|record| record["kind"] == "outcome").unwrap();
    let shown = outcome["rows"].as_u64().unwrap();
    assert!((500..60_000).contains(&shown) && outcome["cells"] == outcome["rows"], "{outcome}");
    await_that("the cells to be counted", || {
        gate.metric(
            "sealgate_cells_total{database=\"postgres\",field=\"public.customers.city\",operation=\"open\"}",
        ) == Some(shown as f64)
    });
}

#[test]
fn a_segment_that_somebody_took_away_or_changed_shows_nothing_more_and_another_goes_on() {
    let server = shop::server(15);
    let (gate, _tap) = shop::open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.query("INSERT INTO customers (id, city) VALUES (1, 'legible-city')");
    let folder = gate.folder().join("audit");
    let newest = || {
        let mut all: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
        all.sort();
        all.pop().unwrap()
    };
    let kept = folder.join("kept");
    type Tamper<'a> = (&'a str, &'a dyn Fn());
    let ways: [Tamper<'_>; 5] = [
        ("removed", &|| std::fs::remove_file(newest()).unwrap()),
        ("renamed", &|| std::fs::rename(newest(), &kept).unwrap()),
        ("replaced", &|| {
            let path = newest();
            std::fs::copy(&path, &kept).unwrap();
            std::fs::rename(&kept, &path).unwrap();
        }),
        ("cut", &|| drop(std::fs::File::create(newest()).unwrap())),
        ("linked", &|| std::fs::hard_link(newest(), folder.join("link")).unwrap()),
    ];
    for (way, tamper) in ways {
        assert_eq!(states(&raw.query("SELECT city FROM customers")), [""; 0], "before it is {way}");
        tamper();
        let frames = raw.query("SELECT city FROM customers");
        assert_eq!(states(&frames), ["SG006"], "{way}");
        assert!(!frames.iter().any(|frame| holds(&frame.body, b"legible-city")), "{way}");
        assert!(gate.log().contains("a segment of the record is gone"), "{way}");
        // The next one is in a segment that is there.
        await_that("values to be shown again", || {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            states(&raw.query("SELECT city FROM customers")).is_empty()
        });
        raw = Raw::login(gate.address(), "postgres", "postgres");
    }
    // Without its folder there is no record, and nothing is shown until it is back.
    let away = gate.folder().join("away");
    std::fs::rename(&folder, &away).unwrap();
    for _ in 0..3 {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&raw.query("SELECT city FROM customers")), ["SG006"]);
    }
    assert!(gate.get("/health/ready").unwrap().contains("503"));
    std::fs::rename(&away, &folder).unwrap();
    await_that("values to be shown again", || {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        states(&raw.query("SELECT city FROM customers")).is_empty()
    });
}

/// What a crash cuts off behind such an outcome is open as before.
#[test]
fn an_outcome_of_what_goes_on_says_that_it_is_partial() {
    let server = shop::server(18);
    let rows = "INSERT INTO customers (id, city) SELECT n, 'c' FROM generate_series(1, 10001) n";
    server.execute("postgres", rows).unwrap();
    let (gate, _tap) = shop::open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(errors(&raw.query("SELECT city FROM customers")), []);
    let records = records_with(&gate, "outcome", 2);
    let outcomes = records.iter().filter(|record| record["kind"] == "outcome");
    let told: Vec<_> = outcomes.map(|one| (one["rows"].as_u64(), one["partial"].as_bool())).collect();
    assert_eq!(told, [(Some(10_000), Some(true)), (Some(10_001), None)]);
}
