//! Claims about throwaway servers, each on a real one.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

fn start(options: &Options) -> Throwaway {
    Throwaway::start(options).unwrap_or_else(|error| panic!("{error}"))
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn serves_both_supported_versions() {
    for major in [15, 18] {
        let server = start(&Options { major: Some(major), ..Options::default() });
        let rows = server.query("postgres", "SHOW server_version_num; SHOW wal_level").unwrap();
        let version: u32 = rows[0][0].as_deref().unwrap().parse().unwrap();
        assert_eq!(version / 10_000, major);
        assert_eq!(rows[1][0].as_deref(), Some("logical"));
    }
}

#[test]
fn servers_stand_side_by_side_and_vanish_when_dropped() {
    let one = start(&Options::default());
    let two = start(&Options::default());
    assert_ne!(one.port(), two.port());
    one.create_database("shop").unwrap();
    assert!(two.query("shop", "SELECT 1").unwrap_err().starts_with("3D000"));
    for server in [one, two] {
        let (pid, folder) = (server.pid().unwrap(), server.folder().to_owned());
        assert!(alive(pid));
        drop(server);
        assert!(!alive(pid) && !folder.exists());
    }
}

#[test]
fn vanishes_when_its_owner_panics() {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let owner = std::thread::spawn(move || {
        let server = start(&Options::default());
        sender.send((server.pid().unwrap(), server.folder().to_owned())).unwrap();
        panic!("as wanted");
    });
    assert!(owner.join().is_err());
    let (pid, folder) = receiver.recv().unwrap();
    assert!(!alive(pid) && !folder.exists());
}

/// Not a claim of its own: the process that the next test kills.
#[test]
fn holds_a_server_until_killed() {
    let Some(report) = std::env::var_os("SEALGATE_TEST_REPORT") else { return };
    let server = start(&Options::default());
    let text = format!("{}\n{}\n", server.pid().unwrap(), server.folder().display());
    let partial = Path::new(&report).with_extension("partial");
    fs::write(&partial, text).unwrap();
    fs::rename(&partial, &report).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn does_not_outlive_a_process_that_is_killed() {
    let report = std::env::temp_dir().join(format!("sealgate-report-{}", std::process::id()));
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::postgres::throwaway::tests::holds_a_server_until_killed"])
        .env("SEALGATE_TEST_REPORT", &report)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    await_that("the report", || report.exists());
    let text = fs::read_to_string(&report).unwrap();
    fs::remove_file(&report).unwrap();
    let (pid, folder) = text.trim().split_once('\n').unwrap();
    let pid = pid.parse().unwrap();
    assert!(alive(pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    await_that("the server's end", || !alive(pid) && !Path::new(folder).exists());
}

fn await_that(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn asks_for_the_password_where_told_to() {
    let ada = User { name: "ada".into(), password: Some("s'x".into()), attributes: "CREATEDB".into() };
    let options = Options { authentication: Authentication::Scram, users: vec![ada], ..Options::default() };
    let server = start(&options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("ada").dbname("postgres");
    for (password, expected) in [("s'x", true), ("wrong", false)] {
        let config = config.password(password).clone();
        assert_eq!(runtime.block_on(config.connect(tokio_postgres::NoTls)).is_ok(), expected);
    }
}

#[test]
fn obeys_extra_configuration_and_shows_the_log_of_a_failure() {
    let all = vec!["log_statement = 'all'".to_owned()];
    let server = start(&Options { configuration: all, ..Options::default() });
    server.execute("postgres", "SELECT 'a marker'").unwrap();
    assert!(fs::read_to_string(server.log_file()).unwrap().contains("a marker"));
    let bad = vec!["no_such_setting = 1".to_owned()];
    let error = Throwaway::start(&Options { configuration: bad, ..Options::default() }).unwrap_err();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[test]
fn works_inside_an_async_runtime() {
    let server = start(&Options { ipv6: true, ..Options::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = runtime.block_on(async { server.query("postgres", "SELECT 1") }).unwrap();
    assert_eq!(rows, [[Some("1".to_owned())]]);
}

#[test]
fn a_server_that_crashed_is_started_again_with_what_it_had_committed() {
    let mut server = start(&Options { ipv6: true, ..Options::default() });
    let (pid, port, folder) = (server.pid().unwrap(), server.port(), server.folder().to_owned());
    server.execute("postgres", "CREATE TABLE kept AS SELECT 'row' AS value").unwrap();
    server.crash().unwrap();
    assert!(!alive(pid) && server.query("postgres", "SELECT 1").is_err() && server.crash().is_err());
    server.restart().unwrap();
    assert_eq!((server.port(), server.folder()), (port, &*folder));
    assert_eq!(server.query("postgres", "SELECT value FROM kept").unwrap(), [[Some("row".to_owned())]]);
    drop(server);
    assert!(!folder.exists());

    let mut left = start(&Options::default());
    let folder = left.folder().to_owned();
    left.crash().unwrap();
    drop(left);
    assert!(!folder.exists());
}
