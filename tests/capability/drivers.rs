//! Real clients: psql, pgbench in every mode, psycopg, tokio-postgres. What a machine lacks
//! fails the test: `.ci/setup test` installs it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealgate::store::postgres::Throwaway;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::{Gate, Session, Setup, VERSIONS, search_server};
use crate::shop::{self, classified, records_with};

/// A program of the server's installation, or of the system.
fn program(server: &Throwaway, name: &str) -> PathBuf {
    let own = server.binaries().program(name);
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let found = [own].into_iter().chain(std::env::split_paths(&on_path).map(|folder| folder.join(name)));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is missing: run .ci/setup test, or install the PostgreSQL client programs")
    })
}

fn run(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // On its own thread: the program may answer before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn psql(server: &Throwaway, address: SocketAddr, script: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new(program(server, "psql"));
    command.args(["-X", "-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command
        .args(["-U", "postgres", "-d", "postgres", "-v", "VERBOSITY=verbose"])
        .env("PGCONNECT_TIMEOUT", "10");
    let output = run(&mut command, script);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn psql_works_as_it_does_directly() {
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, _tap) = shop::watched(&server);
        let unclassified = "\\d orders\n\\dt\n\\d+ customers\n\\l\n\\du\n\\df public.*\n\\dn+\n\\sf+ pg_catalog.lower(text)\n\
            \\copy orders (id, item) from stdin\n1\tone\n2\ttwo\n\\.\n\
            \\copy (select id, item from orders order by id) to stdout with csv header\n\
            SELECT item FROM orders ORDER BY id \\gx\n\\set FETCH_COUNT 1\nSELECT id FROM orders ORDER BY id;\n\\unset FETCH_COUNT\n\
            SELECT $1::int + 1 \\bind 41 \\g\nSELECT 1 \\; SELECT 2;\n\\gdesc\nBEGIN;\nSELECT 1/0;\nSELECT 2;\nROLLBACK;\n\
            DELETE FROM orders;\n\\errverbose\n\\crosstabview\n\\encoding\n\\conninfo_is_not_asked\n";
        let direct = psql(&server, server.address(), unclassified);
        let ours = psql(&server, gate.address(), unclassified);
        // The place in the server's source is told, and is the server's own.
        assert_eq!(direct, ours, "{major}");
        assert!(direct.0.contains("item,") || direct.0.contains("id,item"), "{}", direct.0);

        let script = "\\pset format unaligned\n\\pset tuples_only on\n\
            INSERT INTO customers (id, email, phone, city) VALUES (1, 'ada@sentinel.example', '+44 20 7946 0958', 'London');\n\
            \\set mail 'ada@sentinel.example'\nSELECT phone, city FROM customers WHERE email = :'mail';\n\
            SELECT email FROM customers WHERE id = 1 \\g\n\
            \\copy customers to stdout\nSELECT email || 'x' FROM customers;\n";
        let (out, err, _) = psql(&server, gate.address(), script);
        let shown = "INSERT 0 1\n+44 20 7946 0958|London\nada@sentinel.example\n\
            1\tada@sentinel.example\t+44 20 7946 0958\tLondon\t\\N\n";
        assert!(out.ends_with(shown), "{out} {err}");
        assert!(err.contains("SG001") && err.contains("sealgate:") && err.contains("HINT"), "{err}");
        shop::assert_quiet_until_attacked(&gate);
        assert_eq!(search_server(&server, b"ada@sentinel.example"), []);
        if major >= 16 {
            let (out, err, _) = psql(
                &server,
                gate.address(),
                "SELECT phone FROM customers WHERE email = $1 \\bind 'ada@sentinel.example' \\g\n",
            );
            assert!(out.contains("+44 20 7946 0958"), "{out} {err}");
        }
    }
}

fn pgbench(server: &Throwaway, address: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new(program(server, "pgbench"));
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "postgres"]);
    let output = run(command.args(arguments).arg("postgres"), "");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "pgbench {arguments:?}: {out}\n{err}");
    assert!(!err.contains("aborted") && !err.contains("ERROR"), "pgbench {arguments:?}: {err}");
    out.into_owned()
}

const SEALED_SCRIPT: &str = "\\set id random(1, 20)
BEGIN;
SELECT email, phone FROM customers WHERE id = :id;
SELECT id FROM customers WHERE email = 'user7@sentinel.example';
UPDATE customers SET phone = '+44 20 7946 0958', note = :id WHERE id = :id;
END;
INSERT INTO customers (id, email) VALUES (:id, 'user@sentinel.example') ON CONFLICT (id) DO NOTHING;
";

#[test]
fn pgbench_runs_in_every_mode() {
    let server = shop::server(15);
    let script = std::env::temp_dir().join(format!("sealgate-pgbench-{}.sql", std::process::id()));
    std::fs::write(&script, SEALED_SCRIPT).unwrap();
    let modes = ["simple", "extended", "prepared"];
    let plain = |gate: &Gate| {
        pgbench(&server, gate.address(), &["-i", "-q", "-s", "1"]);
        for mode in modes {
            for extra in [&["-S"][..], &["-N"], &[]] {
                let out = pgbench(
                    &server,
                    gate.address(),
                    &[&["-M", mode, "-c", "4", "-j", "2", "-t", "25", "-n"], extra].concat(),
                );
                assert!(out.contains("number of transactions actually processed: 100/100"), "{out}");
            }
        }
    };
    plain(&Setup::before(server.address()).start());
    let gate = classified(Setup::before(server.address())).start();
    plain(&gate);
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    for id in 1..=20_i32 {
        let insert = "INSERT INTO customers (id, email, phone) VALUES ($1, $2, 'none yet')";
        session.rows(insert, &[&id, &format!("user{id}@sentinel.example")]).unwrap();
    }
    let file = script.display().to_string();
    for mode in modes {
        let out = pgbench(
            &server,
            gate.address(),
            &["-M", mode, "-c", "4", "-j", "2", "-t", "25", "-n", "-f", &file],
        );
        assert!(out.contains("number of transactions actually processed: 100/100"), "{out}");
    }
    std::fs::remove_file(&script).unwrap();
    assert_eq!(search_server(&server, b"user7@sentinel.example"), []);
    assert_eq!(search_server(&server, b"+44 20 7946 0958"), []);
    // 3 modes of 100 transactions of 4 statements, and the 20 rows.
    let records = records_with(&gate, "outcome", 1220);
    assert_eq!(records.iter().filter(|record| record["kind"] == "outcome").count(), 1220);
}

#[test]
fn psycopg_works_as_it_does_directly() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv/bin/python");
    assert!(python.is_file(), "{} is missing: run .ci/setup test", python.display());
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, _tap) = shop::watched(&server);
        let mut command = Command::new(&python);
        command.arg(root.join("tests/drivers/psycopg_session.py"));
        command.args([gate.address().ip().to_string(), gate.address().port().to_string()]);
        let output = run(&mut command, "");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out == "ok\n", "{major}: {out}{err}");
        shop::assert_quiet(&gate);
        for value in ["sentinel.example", "+44 20 7946 0001"] {
            assert_eq!(search_server(&server, value.as_bytes()), [], "{major}");
        }
    }
}

fn email(id: i32) -> String {
    format!("user{id}@sentinel.example")
}

async fn connect(address: SocketAddr) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port()).user("postgres").dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn converse(address: SocketAddr) {
    let mut client = connect(address).await;
    let insert = "INSERT INTO customers (id, email, phone, city) VALUES ($1, $2, $3, $4)";
    let insert = client.prepare(insert).await.unwrap();
    // A transaction that is rolled back, and one whose portal is read in parts.
    let transaction = client.transaction().await.unwrap();
    transaction.execute(&insert, &[&1000, &email(1000), &"x", &"y"]).await.unwrap();
    transaction.rollback().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    for id in 200..210 {
        transaction.execute(&insert, &[&id, &email(id), &"x", &"y"]).await.unwrap();
    }
    let portal = transaction.bind("SELECT email FROM customers ORDER BY id", &[]).await.unwrap();
    let mut read = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 4).await.unwrap();
        if rows.is_empty() {
            break;
        }
        read.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    assert_eq!(read, (200..210).map(email).collect::<Vec<_>>());
    transaction.commit().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let refused = transaction.query("SELECT upper(email) FROM customers", &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "SG001");
    assert_eq!(transaction.query("SELECT 1", &[]).await.unwrap_err().code().unwrap().code(), "25P02");
    transaction.rollback().await.unwrap();

    // All of them are under way at once.
    let client = Arc::new(client);
    let writes: Vec<_> = (1..=60)
        .map(|id| {
            let (client, insert) = (Arc::clone(&client), insert.clone());
            tokio::spawn(async move {
                client.execute(&insert, &[&id, &email(id), &Some("phone"), &None::<&str>]).await
            })
        })
        .collect();
    for write in writes {
        assert_eq!(write.await.unwrap().unwrap(), 1);
    }
    let select =
        client.prepare("SELECT id, email, phone, city FROM customers WHERE email = $1").await.unwrap();
    assert_eq!((select.columns()[1].type_().name(), select.params()[0].name()), ("text", "text"));
    let reads: Vec<_> = (1..=60)
        .map(|id| {
            let (client, select) = (Arc::clone(&client), select.clone());
            tokio::spawn(async move {
                let failing = id % 10 == 0;
                let text = if failing { "SELECT lower(phone) FROM customers" } else { "SELECT $1::int" };
                let mail = email(id);
                let wanted: [&(dyn ToSql + Sync); 1] = [&mail];
                let (found, other) = tokio::join!(client.query_one(&select, &wanted), client.prepare(text));
                assert_eq!(other.is_err(), failing);
                found.unwrap()
            })
        })
        .collect();
    for (read, id) in reads.into_iter().zip(1..) {
        let row = read.await.unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, String>(1)), (id, email(id)));
        assert_eq!((row.get(2), row.get::<_, Option<&str>>(3)), (Some("phone"), None));
    }
    let many = vec![email(1), email(2), "nobody".to_owned()];
    assert_eq!(
        client.query("SELECT id FROM customers WHERE email = ANY($1)", &[&many]).await.unwrap().len(),
        2
    );
    let typed: [(&(dyn ToSql + Sync), Type); 1] = [(&email(3), Type::TEXT)];
    let row = client.query_typed("SELECT phone FROM customers WHERE email = $1", &typed).await.unwrap();
    assert_eq!(row[0].get::<_, &str>(0), "phone");
    let text = "SELECT 1; SELECT email FROM customers WHERE email = 'user5@sentinel.example'; SELECT 2";
    let found = client.simple_query(text).await.unwrap();
    let mut values = Vec::new();
    for message in &found {
        if let SimpleQueryMessage::Row(row) = message {
            values.extend(row.get(0));
        }
    }
    assert_eq!(values, ["1", "user5@sentinel.example", "2"]);
    let gone = client.execute("DELETE FROM customers WHERE email = $1", &[&email(5)]).await.unwrap();
    assert_eq!(gone, 1);
}

#[test]
fn tokio_postgres_works_as_it_does_directly() {
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, _tap) = shop::watched(&server);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), converse(gate.address())).await.unwrap();
        });
        assert_eq!(search_server(&server, b"sentinel.example"), []);
    }
}
