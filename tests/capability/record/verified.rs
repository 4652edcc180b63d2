//! The record by the program itself: signed, sent elsewhere, verified, and never silently cut.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use super::Mounted;
use crate::harness::{Gate, Raw, Setup, await_that};
use crate::hops::certificates::Certificates;
use crate::shop::{classified, records, records_in, server, states, tags};

/// A log server: what it was sent, and from how many connections.
struct LogServer {
    address: SocketAddr,
    text: Arc<Mutex<Vec<u8>>>,
}

impl LogServer {
    fn at(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> LogServer {
        let address = listener.local_addr().unwrap();
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&text);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept, tls) = (stream.unwrap(), Arc::clone(&kept), tls.clone());
                thread::spawn(move || match tls {
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).unwrap();
                        keep(rustls::StreamOwned::new(connection, stream), &kept);
                    }
                    None => keep(stream, &kept),
                });
            }
        });
        LogServer { address, text }
    }

    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    /// Whole messages, each by the length that stands before it.
    fn messages(&self) -> Vec<String> {
        let text = self.text();
        let (mut rest, mut messages) = (text.as_str(), Vec::new());
        while let Some((length, more)) = rest.split_once(' ') {
            let Some((message, next)) = more.split_at_checked(length.parse().unwrap()) else { break };
            messages.push(message.to_owned());
            rest = next;
        }
        messages
    }
}

fn keep(mut stream: impl std::io::Read, kept: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        kept.lock().unwrap().extend_from_slice(&piece[..read]);
    }
}

pub(super) fn log_tls(certificates: &Certificates) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(certificates.path("server.crt")).unwrap().map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(chain.collect(), key).unwrap())
}

pub(super) fn any_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The shop's gate whose record is signed; `sinks` as they stand in the file.
pub(super) fn signing(upstream: SocketAddr, sinks: &str) -> Gate {
    let mut gate = classified(Setup::before(upstream)).prepare().unwrap();
    let folder = gate.folder().to_owned();
    let path = format!("path = \"{}/audit\"\n", folder.display());
    let key = format!("{path}signing_key = {{ file = \"{}/keys/audit.key\" }}\n{sinks}\n", folder.display());
    gate.configure(|text| text.replace(&path, &key));
    let made = gate.verb(&["keys", "init"]);
    assert!(made.status.success() && said(&made).contains("made the signing key"), "{}", said(&made));
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    gate
}

pub(super) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Verifies by the configuration: exit code and text.
pub(super) fn verified(gate: &Gate, more: &[&str]) -> (Option<i32>, String) {
    let output = gate.verb(&[&["audit", "verify"], more].concat());
    (output.status.code(), said(&output))
}

fn by_the_page(gate: &Gate) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let key = fs::read_to_string(gate.folder().join("keys/audit.key.pub")).unwrap();
    let ran = Command::new(root.join("target/venv/bin/python"))
        .arg(root.join("tests/format/verify.py"))
        .args(["--key", key.trim()])
        .arg(gate.folder().join("audit"))
        .output()
        .unwrap();
    said(&ran).trim().to_owned()
}

fn parts(gate: &Gate, end: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(gate.folder().join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = all.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    all.sort();
    all
}

pub(super) fn stop(gate: &mut Gate) {
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0), "{}", gate.log());
}

pub(super) fn use_it(gate: &Gate, times: usize) {
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for _ in 0..times {
        assert_eq!(tags(&raw.query("SELECT email FROM customers WHERE city = 'x'")), "TCZI");
    }
}

#[test]
fn a_signed_record_goes_elsewhere_and_whatever_is_done_to_it_is_named() {
    let server = server(15);
    let certificates = Certificates::new("log");
    let plain = LogServer::at(any_port(), None);
    let under_tls = LogServer::at(any_port(), Some(log_tls(&certificates)));
    let elsewhere = certificates.path("checkpoints");
    let sinks = format!(
        "[[audit.sink]]\nfile = \"{elsewhere}\"\n[[audit.sink]]\nsyslog = \"tcp://{}\"\n\
         [[audit.sink]]\nsyslog = \"tls://{}\"\nca = \"{}\"\nrequired_within = \"1m\"\n",
        plain.address,
        under_tls.address,
        certificates.root()
    );
    let mut gate = signing(server.address(), &sinks);
    use_it(&gate, 5);
    await_that("a checkpoint in every sink", || {
        let file = fs::read_to_string(&elsewhere).unwrap_or_default();
        file.contains("\u{2014} sealgate-record-")
            && [&plain, &under_tls].iter().all(|log| log.text().contains(" note="))
    });
    assert_eq!(verified(&gate, &[]).0, Some(0), "while it runs");
    use_it(&gate, 3);
    stop(&mut gate);
    let count = records(&gate).len();
    let (code, text) = verified(&gate, &[]);
    assert_eq!(code, Some(0), "{text}");
    let signed = format!("signed up to record {count} at ");
    assert!(
        text.starts_with("intact: ") && text.contains(&signed) && text.contains("; 0 records since"),
        "{text}"
    );
    assert_eq!(by_the_page(&gate), "intact");
    // In full each line says all of it, the folder's as those of one file.
    let segment = parts(&gate, ".jsonl").pop().unwrap();
    for of in [&["audit", "show"][..], &["audit", "show", segment.to_str().unwrap()]] {
        let shown = gate.verb(of);
        let lines = String::from_utf8(shown.stdout).unwrap();
        let shown: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(shown, records(&gate));
        let intents = shown.iter().filter(|record| record["kind"] == "intent");
        assert!(intents.clone().count() == 8 && intents.clone().all(|intent| intent["user"] == "postgres"));
    }
    assert_eq!(gate.verb(&["audit", "show", "/nonexistent/audit"]).status.code(), Some(2));
    // Each sink alone is enough, the stop among what it has.
    let logged = [plain.messages(), under_tls.messages()].map(|messages| messages.join("\n"));
    let mut external = vec![elsewhere.clone()];
    for (number, text) in logged.iter().enumerate() {
        assert!(text.starts_with("<109>1 20") && text.contains(&format!(" size={count} ")), "{text}");
        let file = certificates.path(&format!("logged-{number}"));
        fs::write(&file, text).unwrap();
        external.push(file);
    }
    for file in &external {
        assert_eq!(verified(&gate, &["--checkpoint", file]).0, Some(0), "{file}");
    }

    // By somebody who may write the folder.
    let segment = parts(&gate, ".jsonl").pop().unwrap();
    let (whole, name) =
        (fs::read_to_string(&segment).unwrap(), segment.file_name().unwrap().to_str().unwrap());
    let lines: Vec<&str> = whole.lines().collect();
    let intent = lines.iter().position(|line| line.contains("\"kind\":\"intent\"")).unwrap();
    fs::write(&segment, whole.replacen("\"user\":\"postgres\"", "\"user\":\"mallory\"", 1)).unwrap();
    let (code, text) = verified(&gate, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["intact"]), (Some(3), &false.into()), "{text}");
    let first = &report["bad"][0];
    let changed = lines.iter().position(|line| line.contains("\"user\":\"postgres\"")).unwrap() as u64 + 1;
    assert_eq!((&first["file"], &first["line"]), (&name.into(), &changed.into()), "{text}");
    fs::write(&segment, lines[..intent].join("\n") + "\n").unwrap();
    let (code, text) = verified(&gate, &[]);
    assert!(code == Some(3) && text.contains("are missing: the checkpoint of"), "{text}");
    assert_ne!(by_the_page(&gate), "intact");
    // With its checkpoints gone too, what lies elsewhere tells.
    for notes in parts(&gate, ".notes") {
        fs::remove_file(notes).unwrap();
    }
    let (code, text) = verified(&gate, &[]);
    assert!(code == Some(3) && text.contains("no checkpoint is signed by the key"), "{text}");
    for file in &external {
        let (code, text) = verified(&gate, &["--checkpoint", file]);
        let missing = format!("records {} to {count} are missing", intent + 1);
        assert!(code == Some(3) && text.contains(&missing), "{text}");
    }
    // Who has the folder, the file and the public half needs nothing else.
    fs::write(&segment, &whole).unwrap();
    let public = gate.folder().join("keys/audit.key.pub");
    let alone = |arguments: &[&str]| {
        let output =
            crate::harness::sealgate_command().args(["audit", "verify"]).args(arguments).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (folder, public) = (gate.folder().join("audit"), public.to_str().unwrap());
    let folder = folder.to_str().unwrap();
    assert_eq!(alone(&[folder, "--public-key", public, "--checkpoint", &elsewhere]).0, Some(0));
    assert!(alone(&[folder]).1.contains("signatures were not looked at"));
    for wrong in [
        &[folder, "--checkpoint", &elsewhere][..],
        &["/nonexistent/audit", "--public-key", public],
        &[folder, "--public-key", "sealgate-record-00+0+AA"],
        &[folder, "--public-key", public, "--checkpoint", "/nonexistent/checkpoints"],
    ] {
        assert_eq!(alone(wrong).0, Some(2), "{wrong:?}: {}", alone(wrong).1);
    }
}

#[test]
fn a_sink_that_is_away_too_long_is_no_readiness_and_gets_what_it_missed() {
    let server = server(15);
    // A port that nobody listens at, until somebody does.
    let listener = any_port();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sinks = format!("[[audit.sink]]\nsyslog = \"tcp://{address}\"\nrequired_within = \"1s\"\n");
    let gate = signing(server.address(), &sinks);
    await_that("the gate to be no longer ready", || {
        gate.get("/health/ready").unwrap().contains("has taken no checkpoint for")
    });
    use_it(&gate, 1);
    let series = format!("sealgate_audit_sink_failures_total{{sink=\"syslog:{address}\"}}");
    assert!(gate.metric(&series).unwrap() >= 1.0);
    let log = LogServer::at(TcpListener::bind(address).unwrap(), None);
    await_that("what it missed", || log.text().contains(" note="));
    await_that("readiness", || gate.get("/health/ready").unwrap().starts_with("HTTP/1.1 200"));
    assert!(gate.metric("sealgate_audit_checkpoints_total").unwrap() >= 1.0);
    assert!(gate.metric("sealgate_audit_free_bytes").unwrap() > 0.0);
    // Plain TLS words are no answer to one that expects none.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"0 ").unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
}

#[test]
fn kills_leave_a_record_that_verifies_and_lose_nothing_that_was_shown() {
    let server = server(18);
    let mut gate = signing(server.address(), "");
    let mut shown = 0;
    for round in 1..=4 {
        use_it(&gate, 10 * round);
        shown += 10 * round;
        gate.kill();
        let (code, text) = verified(&gate, &[]);
        assert_eq!(code, Some(0), "{text}");
        // The kill may have cut off an outcome.
        let page = by_the_page(&gate);
        assert!(page.starts_with("intact"), "{page}");
        gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    }
    let all = records(&gate);
    assert_eq!(all.iter().filter(|record| record["kind"] == "intent").count(), shown);
    assert!(!all.iter().any(|record| record["kind"] == "alert"), "nothing was torn or gone");
}

#[test]
fn a_folder_that_somebody_rotated_or_rolled_back_says_so_itself() {
    let server = server(15);
    let mut gate = signing(server.address(), "");
    use_it(&gate, 3);
    // By an outside hand, under the running gate: the access is refused, and the gap is told of.
    let newest = parts(&gate, ".jsonl").pop().unwrap();
    let away = gate.folder().join("rotated");
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(states(&raw.query("SELECT email FROM customers")), [""; 0]);
    fs::rename(&newest, &away).unwrap();
    assert_eq!(states(&raw.query("SELECT email FROM customers")), ["SG006"]);
    await_that("the record to be written again", || {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        states(&raw.query("SELECT email FROM customers")).is_empty()
    });
    stop(&mut gate);
    let (code, text) = verified(&gate, &[]);
    assert!(code == Some(3) && text.contains("record 1: records 1 to "), "{text}");
    // Where it is brought back nothing is missing, and no number stands twice.
    fs::rename(&away, &newest).unwrap();
    let (code, text) = verified(&gate, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(by_the_page(&gate), "intact");
    // An older copy of the segments, while nobody looks.
    let last = records(&gate).last().unwrap()["seq"].as_u64().unwrap();
    fs::remove_file(parts(&gate, ".jsonl").pop().unwrap()).unwrap();
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    let says = format!(" to {last} are gone: a checkpoint of ");
    await_that("an alert about it", || {
        records_in(&gate.folder().join("audit"))
            .iter()
            .any(|record| record["kind"] == "alert" && record["rule"].as_str().unwrap().contains(&says))
    });
    assert!(gate.log().contains(&says));
    assert_eq!(verified(&gate, &[]).0, Some(3));
}

#[test]
fn check_says_by_what_the_record_is_signed_and_where_it_goes() {
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let gate = classified(Setup::before(nowhere)).prepare().unwrap();
    let codes = || {
        let checked = gate.verb(&["check", "--json", "--offline"]);
        let all: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
        let of_record = |one: &&serde_json::Value| one["what"] == "audit" && one["code"] != "audit";
        let findings = all["findings"].as_array().unwrap().iter().filter(of_record);
        let told = findings.map(|one| format!("{} {}", one["severity"], one["code"]).replace('"', ""));
        (told.collect::<Vec<_>>(), checked.status.code())
    };
    assert_eq!(codes(), (vec!["note audit-unsigned".to_owned()], Some(0)));
    let folder = gate.folder().display().to_string();
    let path = format!("path = \"{folder}/audit\"\n");
    let key = format!("{path}signing_key = {{ file = \"{folder}/keys/audit.key\" }}\n");
    gate.configure(|text| text.replace(&path, &key));
    assert_eq!(codes(), (vec!["error audit-fault".to_owned()], Some(2)), "there is no key yet");
    let made = gate.verb(&["keys", "init", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let public = fs::read_to_string(format!("{folder}/keys/audit.key.pub")).unwrap();
    assert_eq!(made["signing_key"]["public_key"], public.trim());
    assert!(said(&gate.verb(&["keys", "list"])).contains(public.trim()));
    let again: serde_json::Value =
        serde_json::from_slice(&gate.verb(&["keys", "init", "--json"]).stdout).unwrap();
    assert_eq!(
        (&again["signing_key"]["public_key"], &again["signing_key"]["created"]),
        (&public.trim().into(), &false.into())
    );
    assert_eq!(codes(), (vec!["note audit-signed".to_owned(), "note audit-no-sink".to_owned()], Some(0)));
    for (file, found, code) in [
        (format!("{folder}/checkpoints"), "warning audit-sink-same-disk", Some(0)),
        (format!("{folder}/missing/checkpoints"), "error audit-sink-fault", Some(2)),
    ] {
        gate.configure(|text| {
            let text = text.split("[[audit.sink]]").next().unwrap().to_owned();
            format!("{text}[[audit.sink]]\nfile = \"{file}\"\n")
        });
        let (told, exit) = codes();
        assert_eq!((told.last().map(String::as_str), exit), (Some(found), code), "{told:?}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(format!("{folder}/keys/audit.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_system_that_turns_read_only_refuses_and_what_is_on_it_verifies() {
    let commands = "truncate -s 16M \"$1.img\"; mkfs.ext4 -q \"$1.img\"; mount -o loop,errors=remount-ro \"$1.img\" \"$1\"; \
                    test -w /sys/fs/ext4/$(basename $(findmnt -n -o SOURCE \"$1\"))/trigger_fs_error";
    let mounted = match Mounted::new(commands) {
        Ok(mounted) => mounted,
        Err(reason) => {
            eprintln!("NOT TESTED: a file system that turns read-only needs root and loop devices: {reason}");
            return;
        }
    };
    let server = server(15);
    let mut gate = signing(server.address(), "");
    let own = format!("path = \"{}/audit\"", gate.folder().display());
    let folder = mounted.folder.join("audit");
    gate.configure(|text| text.replace(&own, &format!("path = \"{}\"", folder.display())));
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    use_it(&gate, 3);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(tags(&raw.query("INSERT INTO customers (id, city) VALUES (1, 'legible-city')")), "CZI");
    let mut other = Raw::login(gate.address(), "postgres", "postgres");
    let found = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&mounted.folder).output().unwrap();
    let device = String::from_utf8(found.stdout).unwrap();
    let device = Path::new(device.trim()).file_name().unwrap().to_str().unwrap();
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "turned").unwrap();
    let frames = raw.query("SELECT city FROM customers");
    assert_eq!(states(&frames), ["SG006"]);
    assert!(!frames.iter().any(|frame| frame.tag == b'D'), "nothing is shown");
    assert_eq!(tags(&other.query("SELECT item FROM orders")), "TCZI", "nothing else is refused");
    assert!(gate.get("/health/ready").unwrap().contains("503"));
    await_that("what has happened to be held", || gate.metric("sealgate_audit_held_records").unwrap() >= 1.0);
    gate.kill();
    let (code, text) = verified(&gate, &[]);
    assert_eq!(code, Some(0), "{text}");
    let all = records_in(&folder);
    assert_eq!(
        all.iter().filter(|record| record["kind"] == "intent").count(),
        4,
        "each that was acknowledged"
    );
}
