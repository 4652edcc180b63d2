//! Checkpoints at a witness and in an object store: what they take verifies the record, and what they do not take
//! waits.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::verified::{any_port, log_tls, said, signing, stop, use_it, verified};
use crate::harness::await_that;
use crate::hops::certificates::Certificates;
use crate::shop::{records, server};

/// A witness under TLS: what was posted to it and taken, and how many it refused before that.
struct Witness {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Witness {
    fn new(certificates: &Certificates, refuses: usize) -> Witness {
        let (listener, tls) = (any_port(), log_tls(certificates));
        let address = listener.local_addr().unwrap();
        let (taken, refused) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new(0)));
        let kept = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
                let stream = rustls::StreamOwned::new(connection, stream.unwrap());
                let (kept, refused) = (Arc::clone(&kept), Arc::clone(&refused));
                thread::spawn(move || serve(stream, &kept, &refused, refuses));
            }
        });
        Witness { address, taken }
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(stream: impl Read + Write, kept: &Mutex<Vec<String>>, refused: &Mutex<usize>, refuses: usize) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut line) = (String::new(), String::new());
        while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
            head += &std::mem::take(&mut line).to_ascii_lowercase();
        }
        if head.is_empty() {
            return;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        let proper =
            head.starts_with("post /take http/1.1") && head.contains("\nauthorization: bearer a-word\r\n");
        let status = {
            let mut refused = refused.lock().unwrap();
            *refused += 1;
            if !proper {
                "403 Forbidden"
            } else if *refused <= refuses {
                "503 Service Unavailable"
            } else {
                kept.lock().unwrap().push(String::from_utf8(body).unwrap());
                "204 No Content"
            }
        };
        write!(stream.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        stream.get_mut().flush().unwrap();
    }
}

/// Of the last record, that it is signed there, and that it shows where the end was cut off.
fn verifies_by(gate: &crate::harness::Gate, file: &str) {
    let count = records(gate).len();
    let (code, text) = verified(gate, &["--checkpoint", file]);
    assert!(code == Some(0) && text.contains(&format!("signed up to record {count} at ")), "{text}");
}

#[test]
fn a_witness_gets_what_it_missed_and_its_copy_verifies() {
    let server = server(15);
    let certificates = Certificates::new("witness");
    let witness = Witness::new(&certificates, 1);
    let word = certificates.path("word");
    fs::write(&word, "a-word\n").unwrap();
    fs::set_permissions(&word, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let sink = format!(
        "[[audit.sink]]\nwitness = \"https://127.0.0.1:{}/take\"\nca = \"{}\"\ntoken = {{ file = \"{word}\" }}\n",
        witness.address.port(),
        certificates.root()
    );
    let mut gate = signing(server.address(), &sink);
    use_it(&gate, 3);
    await_that("a checkpoint at the witness", || !witness.taken().is_empty());
    let series = format!("{{sink=\"witness:127.0.0.1:{}\"}}", witness.address.port());
    assert!(gate.metric(&format!("sealgate_audit_sink_failures_total{series}")).unwrap() >= 1.0);
    assert!(gate.metric(&format!("sealgate_audit_sink_checkpoints_total{series}")).unwrap() >= 1.0);
    assert!(!gate.log().contains("/take"), "an address may be a secret");
    stop(&mut gate);
    let file = certificates.path("witnessed");
    fs::write(&file, witness.taken().join("\n")).unwrap();
    verifies_by(&gate, &file);
}

/// The store, as `store.py` runs it.
struct Store {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    words: Vec<String>,
}

impl Store {
    fn new() -> Store {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join("target/venv/bin/python"))
            .arg(root.join("tests/capability/record/store.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut store = Store { child, asks, answers, words: Vec::new() };
        store.words = store.line().split_whitespace().map(str::to_owned).collect();
        assert_eq!(store.words.len(), 3, "moto is missing: run .ci/setup test");
        store
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    fn objects(&mut self) -> Vec<Value> {
        self.asks.write_all(b"objects\n").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_object_store_keeps_locked_what_verifies_the_record_and_takes_nothing_by_a_wrong_key() {
    let server = server(15);
    let certificates = Certificates::new("store");
    let mut store = Store::new();
    let [port, access, secret] = &store.words.clone()[..] else { panic!("three words") };
    let sink = |name: &str, secret: &str| {
        let file = |what: &str, text: &str| {
            let path = certificates.path(&format!("{name}-{what}"));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            path
        };
        format!(
            "[[audit.sink]]\ns3 = \"http://127.0.0.1:{port}/evidence/{name}\"\nregion = \"eu-central-1\"\n\
             access_key = {{ file = \"{}\" }}\nsecret_key = {{ file = \"{}\" }}\nretain = \"1h\"\nevery = \"1s\"\n",
            file("access", access),
            file("secret", secret)
        )
    };
    let sinks = sink("gate", secret) + &sink("wrong", "no-such-secret");
    let series = |name: &str| format!("{{sink=\"s3:127.0.0.1:{port}/evidence/{name}\"}}");
    let (right, wrong) = (series("gate"), series("wrong"));
    let mut gate = signing(server.address(), &sinks);
    use_it(&gate, 3);
    await_that("an object, and a failure by the wrong key", || {
        gate.metric(&format!("sealgate_audit_sink_checkpoints_total{right}")).unwrap() >= 1.0
            && gate.metric(&format!("sealgate_audit_sink_failures_total{wrong}")).unwrap() >= 1.0
    });
    assert_eq!(gate.metric(&format!("sealgate_audit_sink_checkpoints_total{wrong}")), Some(0.0));
    assert!(gate.log().contains("answered 403 (SignatureDoesNotMatch)"), "{}", gate.log());
    stop(&mut gate);
    let objects = store.objects();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut notes = String::new();
    for object in &objects {
        let name = object["name"].as_str().unwrap();
        assert!(name.starts_with("gate/sealgate-record-") && name.ends_with(".note"), "{name}");
        assert_eq!(
            (&object["lock"], &object["removable"]),
            (&"COMPLIANCE".into(), &false.into()),
            "{object}"
        );
        let until = object["until"].as_f64().unwrap();
        assert!((now + 3_000.0..now + 3_700.0).contains(&until), "{object}");
        notes += object["text"].as_str().unwrap();
        notes += "\n";
    }
    let file = certificates.path("stored");
    fs::write(&file, notes).unwrap();
    verifies_by(&gate, &file);
    let checked = gate.verb(&["check", "--offline"]);
    assert!(checked.status.success(), "{}", said(&checked));
}
