//! The real sqlmap against an application that trusts what it is given: told by the first of its statements that
//! says what it is, and cut off with next to nothing in its hands.
//!
//! sqlmap is a program of its own, under the GPL, that `.ci/setup test` installs: it is run here, and neither linked
//! nor shipped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealgate::store::postgres::Throwaway;
use serde_json::Value;

use crate::harness::{Gate, Setup};
use crate::routes::python;
use crate::shop::{self, records};

const CUSTOMERS: usize = 300;
/// It takes some seconds.
const TOOL_MAX: Duration = Duration::from_secs(90);

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    _server: Throwaway,
    gate: Gate,
    _shop: Running,
    url: String,
    requests: PathBuf,
}

fn scene(extra: &str) -> Scene {
    let server = shop::server(15);
    server
        .execute(
            "postgres",
            &format!(
                "CREATE ROLE shop LOGIN; GRANT SELECT ON customers, orders TO shop; \
                 INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, {CUSTOMERS}) n"
            ),
        )
        .unwrap();
    let subject = "subject = \"id\"\n";
    let gate = Setup::before(server.address())
        .field("public.customers", "email", "equality")
        .field_with("public.customers", "city", "none", subject)
        .extra(extra)
        .start();
    let requests = gate.folder().join("requests");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/python/vulnerable_shop.py");
    let address = gate.address();
    let mut shop = Command::new(python())
        .arg(program)
        .args([&address.ip().to_string(), &address.port().to_string(), "shop"])
        .arg(&requests)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(shop.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("http://127.0.0.1:{}/?id=1", port.trim());
    Scene { _server: server, gate, _shop: Running(shop), url, requests }
}

impl Scene {
    /// Runs the tool with one technique, until it ends: it gives up where the application has no database.
    fn attack(&self, technique: &str) {
        let folder = self.folder();
        fs::create_dir_all(&folder).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(python())
            .args(["-m", "sqlmap.sqlmap", "-u", &self.url, "-p", "id", "--technique", technique])
            .args([
                "--dbms",
                "PostgreSQL",
                "--batch",
                "--flush-session",
                "--disable-coloring",
                "--threads",
                "1",
            ])
            .args(["--time-sec", "1", "--timeout", "10", "--retries", "0", "--abort-code", "503"])
            .args(["-D", "public", "-T", "customers", "-C", "city", "--dump", "--stop", "3"])
            .arg("--output-dir")
            .arg(&folder)
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let began = Instant::now();
        while running.0.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < TOOL_MAX, "the tool goes on: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn folder(&self) -> PathBuf {
        self.gate.folder().join("sqlmap")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// What it has got: the lines of the file that it makes of them, without their head.
    fn got(&self) -> usize {
        let file = self.folder().join("127.0.0.1/dump/public/customers.csv");
        fs::read_to_string(file).map_or(0, |text| text.lines().count() - 1)
    }

    /// Its requests in their order: when, in seconds, and with what.
    fn requests(&self) -> Vec<(f64, String)> {
        let text = fs::read_to_string(&self.requests).unwrap_or_default();
        let line = |line: &str| {
            let request: Value = serde_json::from_str(line).unwrap();
            (request["at"].as_f64().unwrap(), request["id"].as_str().unwrap().to_owned())
        };
        text.lines().map(line).collect()
    }

    /// The first alert about signs of an injection: when, in seconds, and its rule.
    fn alert(&self) -> Option<(f64, String)> {
        let all = records(&self.gate).into_iter().filter(|record| record["kind"] == "alert");
        let mut all = all.map(|alert| {
            let time: Timestamp = alert["time"].as_str().unwrap().parse().unwrap();
            (time.as_microsecond() as f64 / 1e6, alert["rule"].as_str().unwrap().to_owned())
        });
        all.find(|(_, rule)| rule.starts_with("injection ("))
    }
}

/// Requests with which the tool looks around before it tries something: the application's own parameter, and what is
/// no SQL at all.
fn is_technique((_, given): &&(f64, String)) -> bool {
    given != "1" && [" AND ", " ORDER BY ", " UNION "].iter().any(|word| given.contains(word))
}

/// By the technique's first statements the account is locked out, and the tool goes home with nothing.
fn is_stopped(technique: &str, sign: &str) {
    let scene = scene("\n[[watch.detector]]\nkind = \"injection\"\naction = \"lock\"\nlock = \"1h\"\n");
    scene.attack(technique);
    let (told, rule) = scene.alert().unwrap_or_else(|| panic!("no alert: {}", scene.said()));
    assert!(rule.contains(sign), "{rule}");
    let requests = scene.requests();
    // Which the tool sends within a second or two; how many come before the first with a sign, it throws dice for.
    let tried = requests.iter().filter(is_technique).filter(|(at, _)| *at <= told).count();
    assert!((1..=40).contains(&tried), "{tried} statements of the technique");
    let behind = requests.iter().filter(|(at, _)| *at > told).count();
    assert!(behind < 15 && requests.len() < 100, "{behind} of {}", requests.len());
    assert_eq!(scene.got(), 0, "{}", scene.said());
    assert!(scene.said().contains("503"), "{}", scene.said());
}

#[test]
fn sqlmap_by_union_is_told_and_stopped_before_it_has_a_row() {
    is_stopped("U", "a text made of letters' numbers");
}

#[test]
fn sqlmap_by_errors_is_told_and_stopped_before_it_has_a_row() {
    is_stopped("E", "a text made of letters' numbers");
}

#[test]
fn sqlmap_by_truth_values_is_told_and_stopped_before_it_has_a_row() {
    is_stopped("B", "numbers");
}

#[test]
fn sqlmap_by_time_is_told_and_stopped_before_it_has_a_row() {
    is_stopped("T", "a delay within a statement");
}

/// So that the others say something: the application is as vulnerable as it looks.
#[test]
fn sqlmap_gets_its_rows_where_it_is_only_told() {
    let scene = scene("\n[[watch.detector]]\nkind = \"injection\"\n");
    scene.attack("E");
    assert_eq!(scene.got(), 3, "{}", scene.said());
    assert!(scene.alert().is_some());
}
