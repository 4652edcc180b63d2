//! What operations rely on: a log that speaks, metrics that are there before anything happens, by
//! Prometheus' own judgement, a health check without a client, and a program that says which it is.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::{Gate, Raw, Session, Setup, await_that, sealgate_command};
use crate::shop::{self, classified, states};

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("sealgate-operations-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The program in a folder, without what other tests set.
fn program_in(folder: &Path) -> Command {
    let mut command = sealgate_command();
    command.current_dir(folder).env_remove("SEALGATE_CONFIG").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

const BROKEN: &str = "[listen]\naddress = 1\n";

#[test]
fn the_configuration_is_found_from_any_folder_and_every_place_is_named() {
    let folder = Folder::new("places");
    let verbs: [&[&str]; 5] = [&["run"], &["check"], &["keys", "init"], &["keys", "list"], &["health"]];
    for verb in verbs {
        let output = program_in(&folder.0).args(verb).output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{verb:?}: {told}");
        let here = folder.0.join("config/sealgate.toml").display().to_string();
        for place in ["--config", "SEALGATE_CONFIG", &here, "/etc/sealgate/sealgate.toml"] {
            assert!(told.contains(place), "{verb:?}: {place} is not in {told}");
        }
    }
    fs::create_dir(folder.0.join("config")).unwrap();
    let files =
        [folder.0.join("named.toml"), folder.0.join("variable.toml"), folder.0.join("config/sealgate.toml")];
    for file in &files {
        fs::write(file, BROKEN).unwrap();
    }
    for verb in verbs {
        let named = |output: Output, file: &Path| {
            let told = said(&output);
            let at = format!("{}:2:", file.file_name().unwrap().to_string_lossy());
            assert!(output.status.code() == Some(2) && told.contains(&at), "{verb:?}: {at} is not in {told}");
        };
        named(program_in(&folder.0).args(verb).output().unwrap(), &files[2]);
        let by_variable = || {
            let mut command = program_in(&folder.0);
            command.args(verb).env("SEALGATE_CONFIG", &files[1]);
            command
        };
        named(by_variable().output().unwrap(), &files[1]);
        named(by_variable().arg("--config").arg(&files[0]).output().unwrap(), &files[0]);
        // One that is named is not passed over.
        let output = by_variable().env("SEALGATE_CONFIG", "/absent.toml").output().unwrap();
        assert!(
            output.status.code() == Some(2) && said(&output).contains("/absent.toml"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn an_error_is_told_whatever_rust_log_says() {
    let folder = Folder::new("log");
    let file = folder.0.join("broken.toml");
    fs::write(&file, BROKEN).unwrap();
    for (asked, is_told) in [
        ("warning", false),
        ("error", false),
        ("off", false),
        ("sealgate::gate=debug", false),
        ("", false),
        ("verbose", true),
        ("warn,loud", true),
        ("sealgate=loud", true),
        ("[", true),
    ] {
        let output = program_in(&folder.0)
            .args(["run", "--config"])
            .arg(&file)
            .env("RUST_LOG", asked)
            .output()
            .unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2));
        assert!(told.contains("broken.toml:2:"), "RUST_LOG={asked}: {told}");
        assert_eq!(told.contains("RUST_LOG: "), is_told, "RUST_LOG={asked}: {told}");
        assert!(!is_told || told.contains("allowed: error, warn, info, debug, trace"), "{told}");
    }
    let server = shop::server(15);
    let mut gate = Setup::before(server.address()).prepare().unwrap();
    gate.environment("RUST_LOG", "warning");
    gate.run_again().unwrap();
    assert_eq!(gate.log(), "", "what is below a warning is not told");
}

/// More than one value shown is an alert.
const LIMIT: &str = "[[watch.limit]]\ncells = 1\nwindow = \"1h\"\naction = \"alert\"\n";

/// Two values are written through the gate, and read.
fn raise_an_alert(gate: &Gate) -> Session {
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    for id in 1..=2 {
        session
            .rows("INSERT INTO customers (id, email) VALUES ($1, $2)", &[&id, &format!("user{id}@x.example")])
            .unwrap();
    }
    session.text("SELECT email FROM customers").unwrap();
    session
}

/// Every line of a log as JSON, with no other key than these.
fn json_lines(log: &str) -> Vec<serde_json::Value> {
    log.lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            let keys: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
            let all = BTreeSet::from(["time", "level", "target", "message", "fields"]);
            assert!(keys.is_subset(&all) && keys.len() >= 4, "{line}");
            line
        })
        .collect()
}

#[test]
fn the_log_is_json_where_it_is_asked_for_and_tells_of_alerts_and_refusals() {
    let server = shop::server(15);
    let mut gate = classified(Setup::before(server.address())).extra(LIMIT).prepare().unwrap();
    gate.argument("--log-format=json");
    gate.run_again().unwrap();
    let session = raise_an_alert(&gate);
    session.text("SELECT lower(email) FROM customers").unwrap_err();
    await_that("the refusal in the log", || gate.log().contains("\"refused\""));
    let lines = json_lines(&gate.log());
    let of = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap();
    assert!(of("listening")["fields"]["address"].is_string());
    for (message, level) in [("alert", "WARN"), ("refused", "INFO")] {
        let line = of(message);
        assert_eq!(line["level"], level);
        let fields = &line["fields"];
        assert_eq!((&fields["user"], &fields["client"]), (&"postgres".into(), &"127.0.0.1".into()), "{line}");
        assert!(fields["session"].is_u64(), "{line}");
        assert!(fields["fields"].as_str().unwrap().contains("public.customers.email"), "{line}");
    }
    assert!(!gate.log().contains("x.example"), "no value");
    // A start that fails speaks so, too.
    gate.kill();
    gate.configure(|text| text.replace("[login]", "[logni]"));
    let output = gate.verb(&["run", "--log-format", "json"]);
    let lines = json_lines(&said(&output));
    assert!(
        lines
            .iter()
            .any(|line| line["level"] == "ERROR" && line["message"].as_str().unwrap().contains("logni"))
    );
}

#[test]
fn what_one_alarms_on_is_counted_from_zero() {
    let server = shop::server(15);
    let gate = classified(Setup::before(server.address())).start();
    let metrics = gate.get("/metrics").unwrap();
    let is_zero = |series: &str| {
        assert!(
            metrics.lines().any(|line| line == format!("{series} 0")),
            "{series} 0 is not in:\n{metrics}"
        );
    };
    for reason in sealgate::policy::REASONS {
        is_zero(&format!("sealgate_refusals_total{{reason=\"{reason}\"}}"));
    }
    for detector in
        ["limit", "honey", "failed-logins", "refusals", "errors", "hours", "injection", "journal", "shared"]
    {
        for severity in ["warning", "critical"] {
            is_zero(&format!("sealgate_alerts_total{{detector=\"{detector}\",severity=\"{severity}\"}}"));
        }
    }
    for series in [
        "sealgate_alerts_total{detector=\"does-not-open\",severity=\"critical\"}",
        "sealgate_statements_total{kind=\"judged\",verdict=\"refused\"}",
        "sealgate_statements_total{kind=\"read\",verdict=\"permitted\"}",
        "sealgate_statements_total{kind=\"untouched\",verdict=\"passed\"}",
        "sealgate_logins_failed_total{by=\"gate\"}",
        "sealgate_logins_failed_total{by=\"server\"}",
        "sealgate_logins_failed_total{by=\"refusal\"}",
        "sealgate_reloads_total{result=\"applied\"}",
        "sealgate_reloads_total{result=\"refused\"}",
        "sealgate_audit_failures_total",
        "sealgate_audit_lost_total",
    ] {
        is_zero(series);
    }
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", "nowhere")]);
    assert_eq!(states(&raw.until_ready()), ["3D000"]);
    await_that("the failed login", || {
        gate.metric("sealgate_logins_failed_total{by=\"server\"}") == Some(1.0)
    });
}

#[test]
fn cells_are_counted_by_database() {
    let server = shop::server(15);
    server.execute("postgres", "CREATE DATABASE copy TEMPLATE postgres").unwrap();
    let gate = classified(Setup::before(server.address())).start();
    for (database, rows) in [("postgres", 1), ("copy", 3)] {
        let session = Session::open(gate.address(), "postgres", None, database).unwrap();
        for id in 1..=rows {
            session
                .rows(
                    "INSERT INTO customers (id, email) VALUES ($1, $2)",
                    &[&id, &format!("user{id}@x.example")],
                )
                .unwrap();
        }
    }
    for (database, rows) in [("postgres", 1.0), ("copy", 3.0)] {
        let series = format!(
            "sealgate_cells_total{{database=\"{database}\",field=\"public.customers.email\",operation=\"seal\"}}"
        );
        await_that(&series, || gate.metric(&series) == Some(rows));
    }
}

#[test]
fn health_is_asked_by_the_program_itself() {
    let server = shop::server(15);
    let mut gate = classified(Setup::before(server.address())).prepare().unwrap();
    let code = |gate: &Gate, arguments: &[&str]| {
        let output = gate.verb(arguments);
        (output.status.code(), said(&output))
    };
    let (down, told) = code(&gate, &["health"]);
    assert!(down == Some(1) && told.contains(&gate.admin().to_string()), "{told}");
    gate.run_again().unwrap();
    assert_eq!(code(&gate, &["health"]), (Some(0), "live\n".to_owned()));
    assert_eq!(code(&gate, &["health", "--ready"]), (Some(0), "ready\n".to_owned()));
    // Listening everywhere, it is asked here.
    let admin = gate.admin();
    gate.configure(|text| text.replace(&admin.to_string(), &format!("0.0.0.0:{}", admin.port())));
    assert_eq!(code(&gate, &["health"]).0, Some(0));
    gate.configure(|text| text.replace("0.0.0.0", "127.0.0.1"));
    drop(server);
    await_that("it not to be ready", || code(&gate, &["health", "--ready"]).0 == Some(1));
    let (_, told) = code(&gate, &["health", "--ready"]);
    assert!(told.contains("not ready: "), "{told}");
    assert_eq!(code(&gate, &["health"]).0, Some(0), "it lives all the same");
    gate.kill();
    // Somebody who accepts and says nothing, or something else, is not it.
    let other = std::net::TcpListener::bind(admin).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(code(&gate, &["health"]).0, Some(1));
    assert!(began.elapsed().as_secs() < 10, "it does not wait for long");
    let answering = std::thread::spawn(move || other.accept().unwrap().0.write_all(b"220 mail\r\n\r\n"));
    let (wrong, told) = loop {
        // The first connection of those that wait has been given up.
        let found = code(&gate, &["health"]);
        if answering.is_finished() {
            break found;
        }
    };
    assert_eq!(wrong, Some(1), "{told}");
    answering.join().unwrap().ok();
    gate.configure(|text| text.replace("[admin]\n", "[admin]\naddress = \"127.0.0.1:0\"\n#"));
    let (none, told) = code(&gate, &["health"]);
    assert!(none == Some(2) && told.contains("add [admin]"), "{told}");
}

#[test]
fn version_and_metric_name_the_same_build() {
    let told = said(&sealgate_command().arg("--version").output().unwrap());
    let commit = told.strip_prefix(concat!("sealgate ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let commit = commit.strip_suffix(")\n").unwrap_or_else(|| panic!("{told}"));
    let server = shop::server(15);
    let gate = Setup::before(server.address()).start();
    let metrics = gate.get("/metrics").unwrap();
    let series = metrics.lines().find(|line| line.starts_with("sealgate_build_info{")).unwrap();
    assert!(series.contains(&format!("commit=\"{commit}\"")), "{series}");
}

#[test]
fn a_release_names_the_commit_and_a_build_for_development_follows_none() {
    let folder = Folder::new("commit");
    let script = folder.0.join("script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let built =
        Command::new("rustc").args(["--edition=2024", "-o"]).arg(&script).arg(source).output().unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let repository = folder.0.join("repository");
    fs::create_dir(&repository).unwrap();
    let git = |arguments: &[&str]| {
        let set = ["-c", "user.name=x", "-c", "user.email=x@x.example", "-c", "init.defaultBranch=main"];
        let output = Command::new("git").args(set).args(arguments).current_dir(&repository).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let run = |profile: &str, given: &str| {
        let output = Command::new(&script)
            .current_dir(&repository)
            .env("PROFILE", profile)
            .env("SEALGATE_COMMIT", given)
            .env("GIT_CEILING_DIRECTORIES", &folder.0)
            .output()
            .unwrap();
        assert!(output.status.success());
        let told = said(&output);
        let commit = told.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=SEALGATE_COMMIT="));
        let watched: Vec<String> = told
            .lines()
            .filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="))
            .map(|path| repository.join(path).display().to_string())
            .collect();
        (commit.unwrap().to_owned(), watched)
    };
    assert_eq!(run("release", "").0, "unknown commit", "no repository is no fault");
    git(&["init", "--quiet"]);
    assert_eq!(run("release", "").0, "unknown commit", "nor is one without a commit");
    let lengths = |watched: &[String]| -> Vec<_> {
        watched.iter().filter(|path| path.contains(".git")).map(|path| fs::read(path).unwrap()).collect()
    };
    let mut before = Vec::new();
    for packed in [false, true] {
        git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        if packed {
            git(&["pack-refs", "--all"]);
        }
        let (commit, watched) = run("release", "");
        assert_eq!(commit, git(&["rev-parse", "HEAD"])[..12]);
        let found = lengths(&watched);
        assert!(found.len() >= 2 && found != before, "another commit is noticed: {watched:?}");
        before = found;
    }
    assert_eq!(run("release", "0123456789abcdef0123").0, "0123456789ab", "as an image is told");
    let (commit, watched) = run("debug", "");
    assert_eq!((commit.as_str(), watched.len()), ("development build", 1), "{watched:?}");
}

/// Prometheus' own tool, where .ci/setup has put it or the machine has it.
fn promtool() -> Command {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/prometheus/usr/bin/promtool");
    let program = if ours.exists() { ours } else { PathBuf::from("promtool") };
    let found = Command::new(&program).arg("--version").output();
    assert!(found.is_ok(), "promtool is missing: .ci/setup test unpacks it");
    Command::new(program)
}

#[test]
fn prometheus_finds_no_fault_with_the_metrics() {
    let server = shop::server(15);
    let gate = classified(Setup::before(server.address())).extra(LIMIT).start();
    raise_an_alert(&gate);
    let answer = gate.get("/metrics").unwrap();
    let (_, metrics) = answer.split_once("\r\n\r\n").unwrap();
    let mut tool = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}\n{metrics}", said(&output));
}

/// A file that is shipped beside the configuration.
fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap()
}

#[test]
fn the_alert_rules_ring_by_prometheus_own_tool_and_dashboards_ask_for_what_there_is() {
    let folder = Folder::new("rules");
    fs::write(folder.0.join("sealgate.rules.yml"), shipped("sealgate.rules.yml")).unwrap();
    fs::write(folder.0.join("test.yml"), include_str!("rules.yml")).unwrap();
    for arguments in [["check", "rules", "sealgate.rules.yml"], ["test", "rules", "test.yml"]] {
        let output = promtool().args(arguments).current_dir(&folder.0).output().unwrap();
        assert!(output.status.success() && said(&output).contains("SUCCESS"), "{}", said(&output));
    }
    // Rules and dashboard speak of series that the gate has, by labels that it has.
    let server = shop::server(15);
    let receiver = "[[alert]]\nwebhook = \"http://127.0.0.1:1/\"\n";
    // A store that nobody reaches.
    let key = folder.0.join("share.key");
    std::fs::write(&key, format!("{}=\n", "A".repeat(43))).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let share =
        format!("[watch.share]\nurls = \"nats://127.0.0.1:1\"\nkey = {{ file = \"{}\" }}\n", key.display());
    let spool =
        format!("[watch]\nspool = \"{}\"\n{LIMIT}{share}{receiver}", folder.0.join("spool").display());
    let gate = classified(Setup::before(server.address())).extra(&spool).start();
    // Some series come with the first that is counted.
    raise_an_alert(&gate);
    let metrics = gate.get("/metrics").unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&shipped("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let asked = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked: Vec<String> = asked.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    let rules = shipped("sealgate.rules.yml");
    let expressions = rules.lines().filter(|line| line.trim_start().starts_with("expr:"));
    let mut count = 0;
    for line in expressions.map(str::to_owned).chain(asked) {
        for word in line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            if word.starts_with("sealgate_") {
                count += 1;
                assert!(metrics.lines().any(|line| line.starts_with(word)), "{word} is not in:\n{metrics}");
            }
        }
    }
    assert!(count >= 20, "{rules}");
}
