//! Programs in the drivers' own languages (`tests/drivers/`) that do what applications do, and
//! say what came of it. By every route through the gate they say what they say directly.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sealgate::store::postgres::{Authentication, Options, Throwaway, User};
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

use crate::harness::{Gate, Setup, VERSIONS, pg_with};
use crate::hops::{Certificates, turn_tls_on};

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
        setup.service("service", "service-secret").field("public.personal", "email", "equality")
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
    Route { name, host: address.ip().to_string(), port: address.port(), gate, tls }
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
    out.into_owned()
}

/// Runs a program directly and by every route. `milestones`: what it must have come past.
fn says_the_same(program: &[&str], milestones: &[&str]) {
    says_the_same_with(program, milestones, |_| true);
}

/// The same, with TLS only before servers for which the program has it.
fn says_the_same_with(program: &[&str], milestones: &[&str], has_tls: impl Fn(u32) -> bool) {
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
        for route in routes(&server, &certificates, major).into_iter().filter(|it| !it.tls || has_tls(major))
        {
            let root = route.tls.then(|| certificates.root());
            let ours = transcript(program, &tools, &route.host, route.port, root.as_deref());
            let differing = direct.lines().zip(ours.lines()).find(|(direct, ours)| direct != ours);
            let log = if differing.is_some() { route.gate.log() } else { String::new() };
            assert_eq!(differing, None, "{program:?} on {major} by {}\n{log}", route.name);
            assert_eq!(direct.lines().count(), ours.lines().count(), "{program:?} by {}", route.name);
        }
    }
}

/// A program of `tests/drivers/`.
fn driver(file: &str) -> String {
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
    says_the_same(&[&python(), &driver("python/psycopg_plain.py")], &milestones);
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
    says_the_same_with(&["bash", &driver("tools.sh")], &milestones, |major| major == 15);
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
        "cancelling: by a request: [\"57014\"",
        "largeObjects: read: [1500000",
        "pools: ended: [\"rejected\"]",
        "\ndone\n",
    ];
    says_the_same(&["node", &driver("node/session.js")], &milestones);
}

/// Builds a Go program with the distribution's drivers, and runs it.
fn go_says_the_same(program: &str, milestones: &[&str]) {
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
    says_the_same(&[&binary.display().to_string()], milestones);
}

#[test]
fn pgx_says_by_every_route_what_it_says_directly() {
    let milestones = [
        "logins: login: [FATAL 28P01",
        "queries: pid is the server's: [true]",
        "caches: cache: [0 ",
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

/// A session, and what it is told on the side: notices and notifications as they come.
async fn connect(
    address: (&str, u16),
    password: &str,
) -> Result<(Client, mpsc::Receiver<String>), tokio_postgres::Error> {
    let mut config = Config::new();
    config.host(address.0).port(address.1).user(USER).password(password).dbname("postgres");
    let (client, mut connection) = config.connect(NoTls).await?;
    let (teller, told) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            let text = match message {
                AsyncMessage::Notice(notice) => format!("notice {}", notice.message()),
                AsyncMessage::Notification(it) => format!("heard {} {}", it.channel(), it.payload()),
                _ => "something else".to_owned(),
            };
            drop(teller.try_send(text));
        }
    });
    Ok((client, told))
}

fn code(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || format!("closed {}", error.is_closed()),
        |it| format!("{} {} {}", it.severity(), it.code().code(), it.message()),
    )
}

/// What applications do with tokio-postgres, said as the programs of `tests/drivers` say it.
async fn tokio_says(address: (&str, u16)) -> String {
    let mut said = String::new();
    let mut say = |what: &str, value: &dyn std::fmt::Debug| writeln!(said, "{what}: {value:?}").unwrap();
    say("wrong password", &connect(address, "wrong").await.err().as_ref().map(code));
    let (mut client, mut told) = connect(address, PASSWORD).await.unwrap();
    let (other, _) = connect(address, PASSWORD).await.unwrap();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    let wide = "SELECT $1::int8, $2::text, $3::bytea, $4::float8, $5::bool, $6::int4[]";
    let wide = client.prepare(wide).await.unwrap();
    let (list, bytes) = (vec![Some(1_i32), None], vec![0_u8, 255]);
    let given: [&(dyn ToSql + Sync); 6] = [&9_007_199_254_740_993_i64, &"grüß", &bytes, &1.5, &true, &list];
    let row = client.query_one(&wide, &given).await.unwrap();
    let values = (row.get::<_, i64>(0), row.get::<_, String>(1), row.get::<_, Vec<u8>>(2));
    say("row", &(values, row.get::<_, f64>(3), row.get::<_, bool>(4), row.get::<_, Vec<Option<i32>>>(5)));
    let long = "x".repeat(5_000_000);
    let row = client.query_one("SELECT length($1::text), repeat('y', 5000000)", &[&long]).await.unwrap();
    say("lengths", &(row.get::<_, i32>(0), row.get::<_, String>(1).len()));

    let double = client.prepare("SELECT 100 / $1::int4").await.unwrap();
    // Asked at once: a failure ends nothing but itself.
    let (one, none, two) = tokio::join!(
        client.query_one(&double, &[&4]),
        client.query_one(&double, &[&0]),
        client.query_one(&double, &[&5])
    );
    let quotients = (one.unwrap().get::<_, i32>(0), two.unwrap().get::<_, i32>(0));
    say("pipelined", &(quotients, code(&none.unwrap_err())));

    let mut transaction = client.transaction().await.unwrap();
    transaction.batch_execute("CREATE TEMP TABLE t (id int PRIMARY KEY)").await.unwrap();
    let savepoint = transaction.savepoint("s").await.unwrap();
    let twice = savepoint.execute("INSERT INTO t VALUES (1), (1)", &[]).await.unwrap_err();
    let failed = savepoint.query("SELECT 1", &[]).await.unwrap_err();
    say("within", &(code(&twice), code(&failed)));
    savepoint.rollback().await.unwrap();
    let portal = transaction.bind("SELECT generate_series(1, 10)", &[]).await.unwrap();
    for rows in [4, 4, 4, 4] {
        say("portal", &transaction.query_portal(&portal, rows).await.unwrap().len());
    }
    transaction.commit().await.unwrap();

    let many = client.simple_query("SELECT 1; TABLE t; SELECT 'end'").await.unwrap();
    let texts = many.iter().map(|message| match message {
        SimpleQueryMessage::Row(row) => format!("row {:?}", row.get(0)),
        SimpleQueryMessage::CommandComplete(count) => format!("complete {count}"),
        SimpleQueryMessage::RowDescription(_) | _ => "description".to_owned(),
    });
    say("simple", &texts.collect::<Vec<_>>());
    client.batch_execute("LISTEN drivers; DO $$BEGIN RAISE NOTICE 'a notice'; END$$").await.unwrap();
    other.execute("SELECT pg_notify('drivers', $1)", &[&"hello"]).await.unwrap();
    say("told", &(told.recv().await, told.recv().await));

    let asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
    let cancel = async {
        while other.query(asleep, &[&pid]).await.unwrap().is_empty() {}
        client.cancel_token().cancel_query(NoTls).await.unwrap();
    };
    let (cancelled, ()) = tokio::join!(client.execute("SELECT pg_sleep(60)", &[]), cancel);
    say("cancelled", &code(&cancelled.unwrap_err()));
    let ended = other.query_one("SELECT pg_terminate_backend($1, 5000)", &[&pid]).await.unwrap();
    let after = client.query("SELECT 1", &[]).await.unwrap_err();
    say("ended", &(ended.get::<_, bool>(0), after.is_closed() || after.as_db_error().is_some()));
    let (again, _) = connect(address, PASSWORD).await.unwrap();
    say("connected again", &again.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0));
    said
}

/// Without TLS, for which the driver needs a connector that the tests do not have.
#[test]
fn tokio_postgres_says_by_every_plain_route_what_it_says_directly() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let says = |host: &str, port: u16| {
        let said = async { tokio::time::timeout(Duration::from_secs(60), tokio_says((host, port))).await };
        runtime.block_on(said).unwrap()
    };
    for major in VERSIONS {
        let server = server(major);
        let certificates = Certificates::new(&format!("tokio-{major}"));
        if major == 15 {
            turn_tls_on(&server, &certificates);
        }
        let address = server.address();
        let direct = says(&address.ip().to_string(), address.port());
        assert!(direct.contains("cancelled: \"ERROR 57014"), "{direct}");
        assert!(
            direct.contains("told: (Some(\"notice a notice\"), Some(\"heard drivers hello\"))"),
            "{direct}"
        );
        for route in routes(&server, &certificates, major).iter().filter(|route| !route.tls) {
            assert_eq!(direct, says(&route.host, route.port), "{major} by {}", route.name);
        }
    }
}
