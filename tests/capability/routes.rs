//! Programs in the drivers' own languages (`tests/drivers/`) that do what applications do, and
//! say what came of it. By every route through the gate they say what they say directly.

mod native;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealgate::store::postgres::{Authentication, Options, Throwaway, User};

use crate::harness::{Gate, Setup, VERSIONS, pg_with};
use crate::hops::{Certificates, turn_tls_on};
use crate::shop;

const USER: &str = "driver";
const PASSWORD: &str = "driver-secret";

/// One way from a program to the server.
struct Route {
    name: &'static str,
    gate: Gate,
    /// Where the program connects: an address, or the folder of a Unix socket.
    host: String,
    port: u16,
    tls: bool,
    unix: bool,
}

fn server(major: u32) -> Throwaway {
    let user = |name: &str, password: &str| User {
        name: name.to_owned(),
        password: Some(password.to_owned()),
        attributes: "SUPERUSER".to_owned(),
    };
    let server = pg_with(Options {
        major: Some(major),
        authentication: Authentication::Scram,
        users: vec![user(USER, PASSWORD), user("service", "service-secret")],
        configuration: vec!["max_prepared_transactions = 10".to_owned()],
        ..Options::default()
    });
    server.execute("postgres", "CREATE TABLE personal (id int, email text)").unwrap();
    server
}

/// The rows of the table. TLS towards the server needs 15: the other is built without.
fn routes(server: &Throwaway, certificates: &Certificates, major: u32) -> Vec<Route> {
    let plain = || Setup::before(server.address());
    let classified = |setup: Setup| {
        let setup = setup.service("service", "service-secret").extra(shop::DETECTORS);
        setup.field("public.personal", "email", "equality")
    };
    let scram = || plain().auth("scram").service("service", "service-secret");
    let listen = certificates.listen("");
    let mut routes = vec![
        route("relay", &plain(), false),
        route("relay, another table classified", &classified(plain()), false),
        route("scram", &scram(), false),
        route("relay, TLS for clients", &plain().listen(&listen), true),
        route("scram, another table classified, TLS for clients", &classified(scram()).listen(&listen), true),
    ];
    if major == 18 {
        let unix = classified(Setup::before_unix(server).auth("scram")).unix();
        let unix = route("scram, another table classified, Unix sockets on both hops", &unix, false);
        let folder = unix.gate.folder().display().to_string();
        routes.push(Route { host: folder, unix: true, ..unix });
    }
    if major == 15 {
        let upstream = format!("tls = {{ mode = \"verify-full\", ca = \"{}\" }}", certificates.root());
        let both = classified(scram()).listen(&listen).upstream_line(&upstream);
        routes.push(route("scram, another table classified, TLS on both hops", &both, true));
    }
    routes
}

fn route(name: &'static str, setup: &Setup, tls: bool) -> Route {
    let gate = setup.start();
    let SocketAddr::V4(address) = gate.address() else { panic!("an IPv4 address") };
    Route { name, host: address.ip().to_string(), port: address.port(), gate, tls, unix: false }
}

/// What a program says on one way. `tools`: the folder of the server's own programs.
fn transcript(program: &[&str], tools: &Path, host: &str, port: u16, root: Option<&str>) -> String {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", tools.display()));
    for (name, value) in [
        ("PGHOST", host),
        ("PGPORT", &port.to_string()),
        ("PGUSER", USER),
        ("PGPASSWORD", PASSWORD),
        ("PGDATABASE", "postgres"),
        ("PGSSLMODE", if root.is_some() { "verify-full" } else { "disable" }),
        ("PGSSLROOTCERT", root.unwrap_or("")),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ] {
        command.env(name, value);
    }
    if root.is_none() {
        command.env_remove("PGSSLROOTCERT");
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program:?} at {host}:{port}\n{out}\n{err}");
    // What drivers log on standard error depends on time, and names objects of their own.
    out.into_owned()
}

/// Runs a program directly and by every route over TCP. `milestones`: what it must have come past.
fn says_the_same(program: &[&str], milestones: &[&str]) {
    says_the_same_by(program, milestones, |route, _| !route.unix);
}

/// The same by those routes, before a server of that version, that the program can take.
fn says_the_same_by(program: &[&str], milestones: &[&str], takes: impl Fn(&Route, u32) -> bool) {
    for major in VERSIONS {
        let server = server(major);
        let tools = server.binaries().program("postgres").parent().map(Path::to_owned).unwrap();
        let certificates = Certificates::new(&format!("routes-{major}"));
        if major == 15 {
            turn_tls_on(&server, &certificates);
        }
        let address = server.address();
        let direct = transcript(program, &tools, &address.ip().to_string(), address.port(), None);
        for milestone in milestones {
            assert!(direct.contains(milestone), "{milestone} is not in what it says:\n{direct}");
        }
        for route in routes(&server, &certificates, major).into_iter().filter(|it| takes(it, major)) {
            let root = route.tls.then(|| certificates.root());
            let ours = transcript(program, &tools, &route.host, route.port, root.as_deref());
            let differing = direct.lines().zip(ours.lines()).find(|(direct, ours)| direct != ours);
            let log = if differing.is_some() { route.gate.log() } else { String::new() };
            assert_eq!(differing, None, "{program:?} on {major} by {}\n{log}", route.name);
            assert_eq!(
                direct.lines().count(),
                ours.lines().count(),
                "{program:?} by {}:\n{ours}",
                route.name
            );
            shop::assert_quiet(&route.gate);
        }
    }
}

/// A program of `tests/drivers/`.
pub fn driver(file: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(file);
    assert!(path.is_file(), "{} is missing", path.display());
    path.display().to_string()
}

/// The interpreter with the drivers, which `.ci/setup test` installs.
pub fn python() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    assert!(path.is_file(), "{} is missing: run .ci/setup test", path.display());
    path.display().to_string()
}

#[test]
fn psycopg_says_by_every_route_what_it_says_directly() {
    let milestones = [
        "login: pid is the server's: True",
        "cancelling: error: 'ERROR' '57014'",
        "reconnecting: connected again: True",
        "\ndone\n",
    ];
    says_the_same_by(&[&python(), &driver("python/psycopg_plain.py")], &milestones, |_, _| true);
}

#[test]
fn asyncpg_says_by_every_route_what_it_says_directly() {
    let milestones = ["login: pid is the server's: True", "cancelling: after: 'well'", "\ndone\n"];
    says_the_same(&[&python(), &driver("python/asyncpg_plain.py")], &milestones);
}

#[test]
fn the_tools_of_the_server_say_by_every_route_what_they_say_directly() {
    let milestones = [
        "pgbench: prepared: number of transactions actually processed: 120/120",
        "pgbench: pipeline, prepared: number of transactions actually processed: 120/120",
        "pg_restore: custom: the same again: yes",
        "pg_restore: directory: the same again: yes",
        "psql: plain: the same again: yes",
        "\ndone\n",
    ];
    // The programs of 18 that the tests run are built without TLS.
    says_the_same_by(&["bash", &driver("tools.sh")], &milestones, |route, major| !route.tls || major == 15);
}

#[test]
fn sqlalchemy_says_by_every_route_what_it_says_directly() {
    let milestones = [
        "psycopg: savepoint: 21 'kept'",
        "psycopg: committed: 'in two phases'",
        "asyncpg: deleted: 57",
        "\ndone\n",
    ];
    says_the_same(&[&python(), &driver("python/sqlalchemy_plain.py")], &milestones);
}

#[test]
fn django_says_by_every_route_what_it_says_directly() {
    let milestones =
        ["objects: json: 2", "cursors: iterated: 51", "transactions: refused: '23505'", "\ndone\n"];
    says_the_same(&[&python(), &driver("python/django_plain.py")], &milestones);
}

#[test]
fn pgjdbc_says_by_every_route_what_it_says_directly() {
    let jar = "/usr/share/java/postgresql.jar";
    assert!(Path::new(jar).is_file(), "{jar} is missing: run .ci/setup test");
    let classes = std::env::temp_dir().join(format!("sealgate-java-{}", std::process::id()));
    let built = Command::new("javac")
        .args(["-cp", jar, "-d", &classes.display().to_string(), &driver("java/Session.java")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let path = format!("{jar}:{}", classes.display());
    let milestones = [
        "login: pid is the server's: [true]",
        "personal copies: out: [5000, true]",
        "personal copies: found: [7]",
        "large objects: read: [1500000, 100000, 7]",
        "cancelling: cancelled: [57014",
        "cancelling: timed out: [57014",
        "modes: extendedForPrepared: [570, 2]",
        "\ndone\n",
    ];
    says_the_same(&["java", "-XX:TieredStopAtLevel=1", "-cp", &path, "Session"], &milestones);
    std::fs::remove_dir_all(&classes).unwrap();
}

#[test]
fn node_postgres_says_by_every_route_what_it_says_directly() {
    let milestones = [
        "login: pid is the server's: [true]",
        "cancelling: cancelled: [\"57014\"",
        "personalCopies: the same: [true]",
        "cancelling: by a request: [\"57014\"",
        "largeObjects: read: [1500000",
        "pools: ended: [\"rejected\"]",
        "\ndone\n",
    ];
    says_the_same(&["node", &driver("node/session.js")], &milestones);
}

/// Builds a Go program with the distribution's drivers.
pub fn go_program(program: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = root.join(format!("target/go/{program}"));
    let built = Command::new("go")
        .args(["build", "-o", &binary.display().to_string(), "main.go"])
        .current_dir(root.join("tests/drivers/go").join(program))
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
        .env("GOCACHE", root.join("target/go/cache"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    binary.display().to_string()
}

fn go_says_the_same(program: &str, milestones: &[&str]) {
    says_the_same(&[&go_program(program)], milestones);
}

#[test]
fn pgx_says_by_every_route_what_it_says_directly() {
    let milestones = [
        "logins: login: [FATAL 28P01",
        "queries: pid is the server's: [true]",
        "caches: cache: [0 ",
        "personal copies: found: [7]",
        "ends: nothing left: [true]",
        "ends: ended: [FATAL 57P01",
        "waiting: cancelled: [ERROR 57014",
        "\ndone\n",
    ];
    go_says_the_same("pgx", &milestones);
}

#[test]
fn lib_pq_says_by_every_route_what_it_says_directly() {
    let milestones = [
        "logins: password=wrong: [FATAL 28P01",
        "copies: copied: [20000]",
        "copies: does not fit: [ERROR 22P02",
        "cancelling: cancelled: [ERROR 57014",
        "cancelling: ended: [true]",
        "notifications: heard: [drivers hello]",
        "\ndone\n",
    ];
    go_says_the_same("libpq", &milestones);
}
