//! What is unusual is told with its reasons within moments, by what was learned before; operators change what
//! is normal; a replay of the record tells the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use sealgate::store::postgres::Throwaway;
use serde_json::{Value, json};

use crate::harness::{Gate, Raw, Setup, await_that};
use crate::shop::{self, classified, errors, records};

const DAY_MS: u64 = 86_400_000;
const QUERY: &str = "SELECT city FROM customers WHERE id = ";

fn server() -> Throwaway {
    let server = shop::server(18);
    server
        .execute(
            "postgres",
            "CREATE ROLE clerk LOGIN; CREATE ROLE auditor LOGIN; \
             GRANT SELECT ON customers, orders TO clerk, auditor; \
             INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 3000) n",
        )
        .unwrap();
    server
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn start(server: &Throwaway, extra: &str) -> Gate {
    let mut gate = classified(Setup::before(server.address())).prepare().unwrap();
    let folder = gate.folder().display().to_string();
    gate.configure(|text| {
        let text = text.replace("[admin]\n", &format!("[admin]\nsocket = \"{folder}/admin.sock\"\n"));
        format!("{text}\n[watch.learned]\nstate = \"{folder}/baselines\"\nsave_every = \"1s\"\n{extra}\n")
    });
    let history = history(&gate.folder().join("history"));
    let output = gate.verb(&["watch", "replay", &history.display().to_string(), "--keep"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing was unusual");
    gate.run_again().unwrap();
    gate
}

/// Twenty days of a clerk and an auditor who look at one customer after the other, round the clock, as others
/// write records: no more members than it takes, and some that are not known here.
fn history(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let begin = now_ms() - 20 * DAY_MS;
    let mut lines = String::new();
    let mut number = 0_u64;
    for hour in 0..20 * 24 {
        for (user, count) in [("clerk", 4), ("auditor", 5)] {
            for step in 0..count + hour % 3 {
                number += 1;
                let at = begin + hour * 3_600_000 + step * 400_000;
                let time = Timestamp::from_millisecond(i64::try_from(at).unwrap()).unwrap().to_string();
                let mut record = json!({
                    "time": time, "session": hour + 1, "statement_id": number, "user": user, "database": "postgres",
                    "client": "127.0.0.1", "application": "", "auth": "relay", "action": "read",
                    "fields": [{"field": "public.customers.city", "class": "contact"}],
                    "fingerprint": "f00d", "weather": "fair",
                });
                record["kind"] = "intent".into();
                record["statement"] = "SELECT city FROM customers WHERE id = ?".into();
                lines += &format!("{record}\n");
                record["kind"] = "outcome".into();
                record["rows"] = 1.into();
                record["cells"] = 1.into();
                lines += &format!("{record}\n");
            }
        }
    }
    fs::write(folder.join("history.jsonl"), lines).unwrap();
    folder.to_owned()
}

fn alerts(gate: &Gate) -> Vec<Value> {
    let all = records(gate).into_iter().filter(|record| record["kind"] == "alert");
    all.filter(|alert| alert["rule"].as_str().unwrap().starts_with("learned (")).collect()
}

fn read_much(gate: &Gate, user: &str) {
    let mut raw = Raw::login(gate.address(), user, "postgres");
    let answer = raw.query("SELECT city FROM customers");
    assert_eq!(answer.iter().filter(|frame| frame.tag == b'D').count(), 3_000, "{:?}", errors(&answer));
}

fn told(gate: &Gate, arguments: &[&str]) -> Value {
    let output = gate.verb(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the detectors find in the history and the gate's own record together.
fn replayed(gate: &Gate) -> Vec<Value> {
    // An alert may be on record before the outcome that it is about.
    let count = |kind: &str| records(gate).iter().filter(|record| record["kind"] == kind).count();
    await_that("each intent to have its outcome", || count("outcome") >= count("intent"));
    let both = gate.folder().join("both");
    fs::create_dir_all(&both).unwrap();
    for folder in ["history", "audit"] {
        for entry in fs::read_dir(gate.folder().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(".jsonl") {
                fs::copy(&path, both.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let output = gate.verb(&["watch", "replay", &both.display().to_string(), "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_read_that_no_limit_forbids_is_told_with_its_reasons_and_a_replay_tells_the_same() {
    let server = server();
    let gate = start(&server, "");
    let mut raw = Raw::login(gate.address(), "auditor", "postgres");
    for id in 1..4 {
        raw.query(&format!("{QUERY}{id}"));
    }
    read_much(&gate, "clerk");
    let began = Instant::now();
    await_that("the alert", || !alerts(&gate).is_empty());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let alert = &alerts(&gate)[0];
    assert_eq!((&alert["user"], &alert["verdict"]), (&"clerk".into(), &"alert".into()));
    assert!(alert["statement_id"].is_u64() && alert["score"].as_u64().unwrap() > 2_000, "{alert}");
    let reasons: Vec<&str> =
        alert["reasons"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    // With what it had read before on that day, where a day is what it is told by.
    let counts = |reason: &&str| reason.split(' ').next().and_then(|count| count.parse::<u64>().ok());
    let much = |reason: &&str| {
        counts(reason).is_some_and(|count| (3_000..3_200).contains(&count)) && reason.contains("normal")
    };
    assert!(reasons.iter().any(much), "{reasons:?}");
    assert!(alerts(&gate).iter().all(|alert| alert["user"] == "clerk"), "{:?}", alerts(&gate));
    let id = alert["alert"].as_str().unwrap();
    assert_eq!(
        gate.metric(&format!("sealgate_alerts_total{{detector=\"learned\",severity=\"{}\"}}", "critical")),
        Some(1.0)
    );

    let why = told(&gate, &["watch", "explain", id, "--json"]);
    assert_eq!((&why["reasons"], &why["incident"]), (&alert["reasons"], &alert["incident"]));
    assert_eq!(told(&gate, &["watch", "explain", alert["incident"].as_str().unwrap(), "--json"]), why);
    assert_eq!(gate.verb(&["watch", "explain", "0"]).status.code(), Some(1));
    let normal = told(&gate, &["watch", "baseline", "auditor", "--json"]);
    assert!(normal[0]["normals"].as_array().unwrap().len() > 10, "{normal}");
    assert_eq!(gate.verb(&["watch", "baseline", "nobody"]).status.code(), Some(1));

    let of = |all: Vec<Value>| all.into_iter().map(|alert| alert["alert"].clone()).collect::<Vec<_>>();
    assert_eq!(of(replayed(&gate)), of(alerts(&gate)));
}

#[test]
fn what_was_learned_survives_a_kill_and_what_an_operator_allows_is_told_no_more() {
    let server = server();
    let mut gate = start(&server, "");
    read_much(&gate, "clerk");
    await_that("the alert", || !alerts(&gate).is_empty());
    let file = gate.folder().join("baselines/baselines");
    let before = fs::read(&file).unwrap();
    await_that("it to be saved", || fs::read(&file).unwrap() != before);
    gate.kill();
    gate.run_again().unwrap();
    // Known from before the kill, with what is normal.
    let id = alerts(&gate)[0]["alert"].as_str().unwrap().to_owned();
    assert_eq!(told(&gate, &["watch", "explain", &id, "--json"])["principal"], "clerk");
    let samples = |normal: &Value| {
        normal[0]["normals"].as_array().unwrap().iter().map(|one| one["samples"].as_u64().unwrap()).max()
    };
    assert!(samples(&told(&gate, &["watch", "baseline", "clerk", "--json"])) > Some(100));
    read_much(&gate, "auditor");
    await_that("an alert about the other one", || {
        alerts(&gate).iter().any(|alert| alert["user"] == "auditor")
    });

    assert_eq!(gate.verb(&["watch", "allow", "0"]).status.code(), Some(1));
    let newest = alerts(&gate).last().unwrap()["alert"].as_str().unwrap().to_owned();
    assert!(gate.verb(&["watch", "allow", &newest]).status.success());
    assert_eq!(told(&gate, &["watch", "explain", &newest, "--json"])["allowed"], true);
    let all = records(&gate);
    let allowed = all.iter().rfind(|record| record["action"] == "watch-allow").unwrap();
    assert!(allowed["account"].as_str().unwrap().starts_with("uid "), "{allowed}");

    let deployed = gate.verb(&["watch", "deploy", "--for", "2h"]);
    assert!(deployed.status.success(), "{}", String::from_utf8_lossy(&deployed.stderr));
    let status = told(&gate, &["watch", "status", "--json"]);
    assert!(
        status["learned"]["deploying_until"].is_string() && status["learned"]["principals"] == 2,
        "{status}"
    );
    assert_eq!(gate.verb(&["watch", "deploy", "--for", "8d"]).status.code(), Some(2));
}

#[test]
fn a_file_of_baselines_that_was_changed_is_set_aside_and_the_gate_runs() {
    let server = server();
    let mut gate = start(&server, "");
    gate.kill();
    let file = gate.folder().join("baselines/baselines");
    let mut held = fs::read(&file).unwrap();
    let middle = held.len() / 2;
    held[middle] ^= 1;
    fs::write(&file, held).unwrap();
    gate.run_again().unwrap();
    await_that("the file to be set aside", || file.with_extension("damaged").exists());
    read_much(&gate, "clerk");
    assert_eq!(gate.verb(&["watch", "baseline", "auditor"]).status.code(), Some(1), "it learns anew");
}

#[test]
fn two_configurations_are_compared_by_what_they_find_in_a_record() {
    let server = server();
    let gate = start(&server, "[[watch.peers]]\nname = \"both\"\nusers = [\"clerk\", \"auditor\"]\n");
    read_much(&gate, "clerk");
    await_that("the alert", || !alerts(&gate).is_empty());
    let other = gate.folder().join("other.toml");
    let text = fs::read_to_string(gate.folder().join("sealgate.toml")).unwrap();
    fs::write(&other, text.replace("[watch.learned]\n", "[watch.learned]\nlearn = \"60d\"\n")).unwrap();
    replayed(&gate);
    let both = gate.folder().join("both").display().to_string();
    let output = gate.verb(&["watch", "replay", &both, "--against", &other.display().to_string()]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && lines.lines().count() == 1, "{lines}");
    assert!(lines.starts_with("only --config: ") && lines.contains(" clerk learned "), "{lines}");
}
