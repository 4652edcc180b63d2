//! The verbs of the program as operators use them: what they say, and how they exit.

use std::fs;
use std::process::Output;
use std::time::Duration;

use crate::harness::{Gate, Raw, Session, Setup, Tap, await_that, sealgate_command, string};
use crate::shop::{self, classified, firsts, records_with, states, tags};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn check_finds_a_sound_configuration_sound_and_names_each_fault() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).prepare().unwrap();
    let sound = gate.verb(&["check"]);
    assert_eq!(code(&sound), Some(0), "{}", said(&sound));
    assert!(!said(&sound).contains("FAULT") && said(&sound).contains("3 fields"), "{}", said(&sound));
    let told: serde_json::Value = serde_json::from_slice(&gate.verb(&["check", "--json"]).stdout).unwrap();
    assert_eq!(told["sound"], true);

    let file = gate.folder().join("sealgate.toml");
    let good = fs::read_to_string(&file).unwrap();
    let line_of = |text: &str, piece: &str| text[..text.find(piece).unwrap()].matches('\n').count() + 1;
    // A change to the file, the text of the faulty line, and what is said of it.
    type Fault = (&'static str, &'static str, &'static str, &'static str);
    let faults: &[Fault] = &[
        ("[login]", "[logni]", "[logni]", "logni"),
        ("auth = \"relay\"", "auth = \"trust\"", "auth = ", "trust"),
        (
            "auth = \"relay\"",
            "auth = \"relay\"\ncertificate = \"required\"",
            "[login]",
            "without [listen] tls client_ca",
        ),
        ("provider = \"file\"", "provider = \"vault\"", "provider", "not served by this version"),
        (
            "master_key = { env = \"SEALGATE_MASTER_KEY\" }",
            "master_key = \"c2VjcmV0LWluLXRoZS1maWxl\"",
            "master_key",
            "stands in the file itself",
        ),
        ("seal = \"equality\"", "seal = \"ordered\"", "seal = \"ordered\"", "ordered"),
        ("domain = \"email\"", "", "[[field]]", "domain is missing"),
        ("type = \"text\"", "type = \"intervall\"", "type = \"intervall\"", "interval"),
        ("state = \"sealed\"", "state = \"sealing\"", "state = \"sealing\"", "not served by this version"),
        ("class = \"contact\"", "class = 7", "class = 7", "class"),
        ("[admin]\n", "[admin]\naddress = \"nowhere\"\n#", "address = \"nowhere\"", "nowhere"),
        ("[audit]", "[[grant]]\nusers = [\"x\"]\n[audit]", "[[grant]]", "not served by this version"),
        ("[audit]", "[[alert]]\nwebhook = \"soc.example\"\n[audit]", "webhook", "no address that is served"),
        ("[audit]\n", "[audit]\nretain = \"1d\"\n", "retain", "not served by this version"),
        ("[audit]\n", "[audit]\ndurability = \"never\"\n", "durability", "intent"),
        (
            "[listen]\n",
            "[listen]\ntls = { mode = \"require\", key = \"k\" }\n",
            "tls = ",
            "certificate is missing",
        ),
        ("hosts = [", "hosts = [\"here:99999\", ", "hosts = ", "99999"),
        ("[upstream]", "[upstream", "[upstream", "unclosed table"),
    ];
    let mut wrong = Vec::new();
    for (piece, other, at, words) in faults {
        let bad = good.replacen(piece, other, 1);
        assert_ne!(bad, good, "{piece} is not in the file");
        fs::write(&file, &bad).unwrap();
        let place = format!("sealgate.toml:{}", line_of(&bad, at));
        for verb in ["check", "run"] {
            let output = gate.verb(&[verb]);
            let text = said(&output);
            if code(&output) != Some(2) || !text.contains(words) || !text.contains(&place) {
                wrong.push(format!("{verb}, {other}: expected {place} and {words}: {text}"));
            }
            assert!(!text.contains("c2VjcmV0LWluLXRoZS1maWxl"), "a secret is not shown");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What the file names must work.
    fs::write(&file, good.replace("public.customers", "public.missing")).unwrap();
    let output = gate.verb(&["check"]);
    assert!(code(&output) == Some(2) && said(&output).contains("public.missing"), "{}", said(&output));
    fs::write(
        &file,
        good.replace(&format!("hosts = [\"{}\"]", server.address()), "hosts = [\"127.0.0.1:1\"]"),
    )
    .unwrap();
    let output = gate.verb(&["check"]);
    assert!(
        code(&output) == Some(2) && said(&output).contains("FAULT  upstream: 127.0.0.1:1"),
        "{}",
        said(&output)
    );
    fs::write(&file, good.replace("keys/keyring.json", "keys/none.json")).unwrap();
    for verb in ["check", "run"] {
        let output = gate.verb(&[verb]);
        assert!(code(&output) != Some(0) && said(&output).contains("none.json"), "{}", said(&output));
    }
    fs::write(&file, good.replace("domain = \"phone\"", "domain = \"telephone\"")).unwrap();
    for verb in ["check", "run"] {
        let output = gate.verb(&[verb]);
        assert!(code(&output) == Some(2) && said(&output).contains("keys init"), "{}", said(&output));
    }
    fs::write(&file, good.replace("/audit\"", "/sealgate.toml/audit\"")).unwrap();
    let output = gate.verb(&["check"]);
    assert!(code(&output) == Some(2) && said(&output).contains("FAULT  audit"), "{}", said(&output));
    fs::write(&file, &good).unwrap();
    let output = sealgate_command().args(["check", "--config", "/does/not/exist.toml"]).output().unwrap();
    assert!(code(&output) == Some(2) && said(&output).contains("/does/not/exist.toml"), "{}", said(&output));
    let output = sealgate_command()
        .args(["check", "--config"])
        .arg(&file)
        .env_remove("SEALGATE_MASTER_KEY")
        .output()
        .unwrap();
    assert!(code(&output) == Some(2) && said(&output).contains("SEALGATE_MASTER_KEY"), "{}", said(&output));
}

#[test]
fn keys_are_made_once_and_listed_without_a_key() {
    let server = shop::server(15);
    let gate = classified(Setup::before(server.address())).prepare().unwrap();
    let keyring = gate.folder().join("keys/keyring.json");
    let made = fs::read(&keyring).unwrap();
    let again = gate.verb(&["keys", "init"]);
    assert_eq!(code(&again), Some(0), "{}", said(&again));
    assert_eq!(fs::read(&keyring).unwrap(), made, "nothing is lacking, so nothing changes");
    let listed: serde_json::Value =
        serde_json::from_slice(&gate.verb(&["keys", "list", "--json"]).stdout).unwrap();
    let text = listed.to_string();
    assert!(text.contains("\"email\"") && text.contains("\"phone\"") && !text.contains("wrapped"), "{text}");
    let listed = gate.verb(&["keys", "list"]);
    assert!(said(&listed).contains("email") && code(&listed) == Some(0));
    gate.configure(|text| text.replace("domain = \"phone\"", "domain = \"telephone\""));
    let added = gate.verb(&["keys", "init"]);
    assert_eq!(code(&added), Some(0), "{}", said(&added));
    assert!(said(&added).contains("telephone"), "{}", said(&added));
    let mut other = sealgate_command();
    other.env("SEALGATE_MASTER_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let output =
        other.args(["keys", "list", "--config"]).arg(gate.folder().join("sealgate.toml")).output().unwrap();
    assert!(code(&output) == Some(2) && said(&output).contains("another master key"), "{}", said(&output));
    for verb in [&["--help"][..], &["run", "--help"], &["check", "--help"], &["keys", "init", "--help"]] {
        let output = sealgate_command().args(verb).output().unwrap();
        assert!(
            code(&output) == Some(0) && (verb.len() == 1 || said(&output).contains("Example:")),
            "{verb:?}"
        );
    }
}

#[test]
fn sigterm_lets_a_transaction_finish_and_ends_the_idle() {
    let server = shop::server(18);
    let (mut gate, _tap) = shop::open(&server);
    let mut idle = Raw::login(gate.address(), "postgres", "postgres");
    let mut busy = Raw::login(gate.address(), "postgres", "postgres");
    let mut running = Raw::login(gate.address(), "postgres", "postgres");
    busy.query("BEGIN; INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')");
    running.send(b'Q', &string("SELECT email FROM customers; SELECT pg_sleep(0.4)"));
    gate.signal("TERM");
    let last = idle.until_ready();
    assert_eq!((tags(&last), states(&last)), ("E".to_owned(), vec!["57P01".to_owned()]));
    assert!(idle.is_closed());
    await_that("the listener to close", || std::net::TcpStream::connect(gate.address()).is_err());
    assert!(
        gate.get("/health/ready").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")),
        "not ready while draining"
    );
    assert_eq!(firsts(&busy.query("SELECT email FROM customers WHERE id = 1")), ["ada@sentinel.example"]);
    assert_eq!(tags(&running.until_ready()), "TCTDCZI");
    assert_eq!(states(&running.until_ready()), ["57P01"]);
    assert_eq!(tags(&busy.query("COMMIT")), "CZI");
    assert_eq!(states(&busy.until_ready()), ["57P01"]);
    assert_eq!(gate.wait(), Some(0), "drained");
    assert_eq!(
        server.query("postgres", "SELECT count(*) FROM customers").unwrap()[0][0].as_deref(),
        Some("1")
    );
    let records = records_with(&gate, "session", 6);
    let ends =
        records.iter().filter(|record| record["kind"] == "session" && record["action"] == "end").count();
    assert_eq!(ends, 3);
}

#[test]
fn metrics_have_the_names_that_dashboards_rely_on() {
    const LIMIT: &str = "[[watch.limit]]\ncells = 1\nwindow = \"1h\"\naction = \"alert\"\n\
        [residency]\nallowed = [\"EEA\"]\nunknown = \"deny\"\n[[residency.place]]\ncidr = \"127.0.0.0/8\"\nregion = \"local\"\narea = \"EEA\"\n\
        [residency.rules]\nreplication = { outside = \"deny\" }\n";
    let server = shop::server(15);
    let gate = classified(Setup::before(server.address())).extra(LIMIT).start();
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    for id in 1..=3 {
        session
            .rows(
                "INSERT INTO customers (id, email) VALUES ($1, $2)",
                &[&id, &format!("user{id}@sentinel.example")],
            )
            .unwrap();
    }
    session.text("SELECT 1; SELECT email FROM customers").unwrap();
    session.text("SELECT email FROM customers").unwrap();
    session.text("SELECT item FROM orders").unwrap();
    session.text("SELECT lower(email) FROM customers").unwrap_err();
    let mut walsender = Raw::connect(gate.address());
    walsender.startup(&[("user", "postgres"), ("replication", "1")]);
    walsender.until_ready();
    records_with(&gate, "outcome", 5);
    let metrics = gate.get("/metrics").unwrap();
    for series in [
        "sealgate_sessions{state=\"open\"}",
        "sealgate_statements_total{kind=\"untouched\",verdict=\"passed\"}",
        "sealgate_statements_total{kind=\"read\",verdict=\"permitted\"} 2",
        "sealgate_statements_total{kind=\"write\",verdict=\"permitted\"} 3",
        "sealgate_cells_total{database=\"postgres\",field=\"public.customers.email\",operation=\"seal\"} 3",
        "sealgate_cells_total{database=\"postgres\",field=\"public.customers.email\",operation=\"open\"} 6",
        "sealgate_refusals_total{reason=",
        "sealgate_alerts_total{detector=\"limit\",severity=\"warning\"} 1",
        "sealgate_audit_records_total ",
        "sealgate_audit_sync_seconds_bucket{le=",
        "sealgate_overhead_seconds_bucket{le=",
        "sealgate_residency_targets{kind=\"walsender\",region=\"local\",verdict=\"allowed\"} 1",
        "sealgate_plan_cache_total{result=\"hit\"}",
        "sealgate_plan_cache_total{result=\"miss\"}",
        "sealgate_upstream_up{host=",
        "sealgate_key_version 1",
        "sealgate_build_info{version=",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(series)), "{series} is not in:\n{metrics}");
    }
    assert!(!metrics.contains("sentinel"), "no label holds a value");
    let number = |name: &str| gate.metric(name).unwrap();
    assert!(number("sealgate_audit_records_total") >= 10.0);
    assert!(metrics.contains("# TYPE sealgate_audit_sync_seconds histogram"));
}

fn is_ready(gate: &Gate) -> bool {
    gate.get("/health/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[test]
fn health_says_whether_it_can_serve() {
    let server = shop::server(15);
    let gate = Setup::before(server.address()).start();
    assert!(is_ready(&gate) && gate.get("/health/live").unwrap().starts_with("HTTP/1.1 200"));
    assert!(gate.get("/elsewhere").unwrap().starts_with("HTTP/1.1 404"));
    drop(server);
    await_that("it to be not ready without its server", || !is_ready(&gate));
    assert!(gate.get("/health/live").unwrap().starts_with("HTTP/1.1 200"), "it lives all the same");
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    let frames = raw.until_ready();
    assert_eq!((tags(&frames), states(&frames)), ("E".to_owned(), vec!["08006".to_owned()]));
}

#[test]
fn who_only_holds_connections_to_the_admin_address_keeps_nobody_out() {
    let server = shop::server(15);
    let gate = Setup::before(server.address()).start();
    let mut held: Vec<_> = (0..1_000).map(|_| std::net::TcpStream::connect(gate.admin()).unwrap()).collect();
    for stream in &mut held {
        // Some have been given up by now.
        let _ = std::io::Write::write_all(stream, b"G");
    }
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let began = std::time::Instant::now();
        assert!(gate.get(path).unwrap().starts_with("HTTP/1.1 200"), "{path}");
        assert!(began.elapsed() < Duration::from_secs(4), "{path} before the others are given up by time");
    }
}

#[test]
fn a_cut_connection_ends_its_session_alone() {
    let server = shop::server(15);
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.send(b'Q', &string("SELECT pg_sleep(60)"));
    assert_eq!(raw.within(Duration::from_millis(50)), b"");
    tap.cut();
    assert!(raw.is_closed());
    await_that("sessions to work again", || {
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "postgres"), ("database", "postgres")]);
        raw.until_ready().last().is_some_and(|frame| frame.tag == b'Z')
            && tags(&raw.query("SELECT email FROM customers")) == "TCZI"
    });
}
