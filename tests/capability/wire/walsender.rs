//! Walsenders: replication streams through the gate as it does directly.

use std::process::{Command, Stdio};

use super::{Ways, login};
use crate::harness::{Frame, Raw, VERSIONS, await_that, pg, string};
use crate::shop::{errors, firsts, holds, states, tags};

fn walsender(address: std::net::SocketAddr, replication: &str) -> Raw {
    Raw::login_with(address, &[("user", "postgres"), ("database", "postgres"), ("replication", replication)])
}

/// CopyData until one holds `piece`.
fn until(raw: &mut Raw, piece: &[u8]) -> Vec<Frame> {
    let mut seen = Vec::new();
    loop {
        let frame = raw.read().unwrap();
        assert_eq!(frame.tag, b'd', "{:?}", frame.field(b'M'));
        let found = piece.is_empty() || holds(&frame.body, piece);
        seen.push(frame);
        if found {
            return seen;
        }
    }
}

/// A standby's status, with a wish to be answered.
fn status(raw: &mut Raw, position: u64) {
    let mut body = vec![b'r'];
    for _ in 0..3 {
        body.extend(position.to_be_bytes());
    }
    body.extend(0_u64.to_be_bytes());
    body.push(1);
    raw.send(b'd', &body);
}

fn place(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap();
    (u64::from_str_radix(high, 16).unwrap() << 32) | u64::from_str_radix(low, 16).unwrap()
}

#[test]
fn a_physical_walsender_streams_both_ways() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (number, (way, address)) in ways.each().into_iter().enumerate() {
            let mut raw = walsender(address, "true");
            let identity = raw.query("IDENTIFY_SYSTEM");
            assert_eq!(tags(&identity), "TDCZI", "{way}");
            assert_eq!(tags(&raw.query("SHOW wal_level")), "TDCZI", "{way}");
            let slot = raw.query(&format!("CREATE_REPLICATION_SLOT slot_{number} PHYSICAL RESERVE_WAL"));
            assert_eq!(tags(&slot), "TDCZI", "{way}: {:?}", errors(&slot));
            assert_eq!(tags(&raw.query("NONSENSE")), "EZI", "{way}");
            let at = String::from_utf8(identity[1].values()[2].clone().unwrap()).unwrap();
            raw.send(b'Q', &string(&format!("START_REPLICATION SLOT slot_{number} PHYSICAL {at}")));
            assert_eq!(raw.read().map(|frame| frame.tag), Some(b'W'), "{way}");
            let marker = format!("walsender-marker-{number}");
            ways.server
                .execute("postgres", &format!("INSERT INTO orders VALUES ({}, '{marker}')", number + 100))
                .unwrap();
            until(&mut raw, marker.as_bytes());
            // A status update is answered by a keepalive (`k`).
            status(&mut raw, place(&at));
            let answer = until(&mut raw, b"");
            assert!(matches!(answer[0].body[0], b'k' | b'w'), "{way}");
            await_that("the slot to move", || {
                let sql = format!(
                    "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'slot_{number}' AND active"
                );
                !ways.server.query("postgres", &sql).unwrap().is_empty()
            });
            raw.send(b'c', &[]);
            let ends: Vec<Frame> = raw.until_ready().into_iter().filter(|frame| frame.tag != b'd').collect();
            assert!(tags(&ends).starts_with('c') && tags(&ends).ends_with("ZI"), "{way}: {}", tags(&ends));
            assert_eq!(tags(&raw.query("IDENTIFY_SYSTEM")), "TDCZI", "{way}");
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn a_logical_walsender_streams_and_speaks_sql_too() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.server.execute("postgres", "CREATE PUBLICATION everything FOR TABLE orders").unwrap();
        for (number, (way, address)) in ways.each().into_iter().enumerate() {
            let mut raw = walsender(address, "database");
            assert_eq!(firsts(&raw.query("SELECT 'sql'; SELECT 'twice'")), ["sql", "twice"], "{way}");
            assert_eq!(tags(&raw.query("IDENTIFY_SYSTEM")), "TDCZI", "{way}");
            assert_eq!(states(&raw.query("SELECT 1/0")), ["22012"], "{way}");
            raw.query("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ");
            let made =
                raw.query(&format!("CREATE_REPLICATION_SLOT logical_{number} LOGICAL pgoutput USE_SNAPSHOT"));
            assert_eq!(tags(&made), "TDCZT", "{way}: {:?}", errors(&made));
            raw.query("COMMIT");
            let copied = raw.query("COPY orders (id) TO STDOUT");
            assert!(
                tags(&copied).starts_with('H') && tags(&copied).ends_with("cCZI"),
                "{way}: {}",
                tags(&copied)
            );
            raw.send(b'Q', &string(&format!("START_REPLICATION SLOT logical_{number} LOGICAL 0/0 (proto_version '1', publication_names 'everything')")));
            assert_eq!(raw.read().map(|frame| frame.tag), Some(b'W'), "{way}");
            let marker = format!("logical-marker-{number}");
            ways.server
                .execute("postgres", &format!("INSERT INTO orders VALUES ({}, '{marker}')", number + 200))
                .unwrap();
            until(&mut raw, marker.as_bytes());
            status(&mut raw, 1);
            raw.send(b'c', &[]);
            let ends: Vec<Frame> = raw.until_ready().into_iter().filter(|frame| frame.tag != b'd').collect();
            assert_eq!(
                tags(&ends),
                "cCCZI"[5 - tags(&ends).len()..]
                    .replace("CC", if tags(&ends).len() == 5 { "CC" } else { "C" }),
                "{way}"
            );
            assert_eq!(firsts(&raw.query("SELECT 'sql again'")), ["sql again"], "{way}");
            assert_eq!(tags(&raw.query(&format!("DROP_REPLICATION_SLOT logical_{number}"))), "CZI", "{way}");
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn a_base_backup_streams_whole() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        let shapes = ways.each().map(|(way, address)| {
            let mut raw = walsender(address, "true");
            raw.send(
                b'Q',
                &string("BASE_BACKUP (LABEL 'through', CHECKPOINT 'fast', MANIFEST 'yes', PROGRESS)"),
            );
            let (mut shape, mut bytes, mut held) = (String::new(), 0, false);
            loop {
                let frame = raw.read().unwrap();
                if frame.tag == b'd' {
                    bytes += frame.body.len();
                    held |= holds(&frame.body, b"PG_VERSION");
                } else {
                    shape.push(char::from(frame.tag));
                }
                if frame.tag == b'Z' {
                    break;
                }
            }
            assert!(held && bytes > 15_000_000, "{way}: {shape} {bytes}");
            shape
        });
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    }
}

/// The tools themselves; a standby in the making.
#[test]
fn the_tools_of_replication_work_through_the_gate() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (number, (way, address)) in ways.each().into_iter().enumerate() {
            let folder =
                std::env::temp_dir().join(format!("sealgate-wal-{}-{major}-{number}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            let tool = |program: &str, arguments: &[&str]| {
                let mut command = Command::new(ways.server.binaries().program(program));
                command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-U", "postgres"]);
                let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
                assert!(
                    output.status.success(),
                    "{way}, {program}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            };
            // A place that is passed: the tools end there.
            let end = || {
                let rows = ways.server.query("postgres", "SELECT pg_current_wal_flush_lsn()").unwrap();
                ways.server.execute("postgres", "SELECT pg_logical_emit_message(true, 'x', 'beyond'), pg_logical_emit_message(false, 'x', 'beyond')").unwrap();
                rows[0][0].clone().unwrap()
            };
            let slot = format!("received_{number}");
            let into = folder.display().to_string();
            tool("pg_receivewal", &["-S", &slot, "--create-slot"]);
            ways.server.execute("postgres", "INSERT INTO orders VALUES (1) ON CONFLICT DO NOTHING").unwrap();
            let now = end();
            tool("pg_receivewal", &["-S", &slot, "-D", &into, "-E", &now, "-n", "--no-sync", "-s", "1"]);
            assert!(std::fs::read_dir(&folder).unwrap().count() > 0, "{way}");
            let slot = format!("logical_{number}");
            let file = folder.join("decoded").display().to_string();
            tool("pg_recvlogical", &["-d", "postgres", "-S", &slot, "-P", "test_decoding", "--create-slot"]);
            ways.server
                .execute("postgres", &format!("INSERT INTO orders VALUES ({}, 'decoded')", number + 300))
                .unwrap();
            let now = end();
            tool(
                "pg_recvlogical",
                &["-d", "postgres", "-S", &slot, "--start", "-E", &now, "-n", "-s", "1", "-f", &file],
            );
            assert!(std::fs::read_to_string(&file).unwrap().contains("decoded"), "{way}");
            let _ = std::fs::remove_dir_all(&folder);
        }
        assert_eq!(firsts(&login(ways.other.address()).query("SELECT count(*) FROM orders")), ["4"]);
    }
}

/// Another server subscribes through the gate: its table is copied, then follows.
#[test]
fn a_subscription_of_another_server_follows_through_the_gate() {
    for major in VERSIONS {
        let (ways, subscriber) = (Ways::new(major), pg(major));
        ways.server.execute("postgres", "CREATE PUBLICATION news FOR TABLE orders").unwrap();
        ways.server.execute("postgres", "INSERT INTO orders VALUES (7001, 'copied')").unwrap();
        let columns = "SELECT string_agg(format('%I %s', attname, atttypid::regtype), ', ' ORDER BY attnum)
             FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0";
        let columns = ways.server.query("postgres", columns).unwrap()[0][0].clone().unwrap();
        for (number, (way, address)) in ways.each().into_iter().enumerate() {
            let database = format!("reader_{number}");
            subscriber.execute("postgres", &format!("CREATE DATABASE {database}")).unwrap();
            subscriber.execute(&database, &format!("CREATE TABLE orders ({columns})")).unwrap();
            let subscribe = format!(
                "CREATE SUBSCRIPTION reader_{number} CONNECTION 'host=127.0.0.1 port={} user=postgres dbname=postgres' PUBLICATION news",
                address.port()
            );
            subscriber.execute(&database, &subscribe).unwrap();
            let holds = |id: usize| {
                let found = subscriber.query(&database, &format!("SELECT 1 FROM orders WHERE id = {id}"));
                !found.unwrap().is_empty()
            };
            await_that("the table to be copied", || holds(7001));
            let id = 7100 + number;
            ways.server
                .execute("postgres", &format!("INSERT INTO orders VALUES ({id}, 'followed')"))
                .unwrap();
            await_that("the table to follow", || holds(id));
            // It drops its slot by a walsender of its own.
            subscriber.execute(&database, &format!("DROP SUBSCRIPTION reader_{number}")).unwrap();
            let left = ways.server.query("postgres", "SELECT 1 FROM pg_replication_slots").unwrap();
            assert!(left.is_empty(), "{way}");
        }
    }
}

#[test]
fn pg_basebackup_writes_a_whole_tar_through_the_gate() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (number, (way, address)) in ways.each().into_iter().enumerate() {
            let folder =
                std::env::temp_dir().join(format!("sealgate-tar-{}-{major}-{number}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            let mut command = Command::new(ways.server.binaries().program("pg_basebackup"));
            command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-U", "postgres"]);
            command.args(["-F", "tar", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(&folder);
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{way}: {}", String::from_utf8_lossy(&output.stderr));
            for (archive, member) in [("base.tar", "global/pg_control"), ("pg_wal.tar", "0000000100000000")] {
                let listed = Command::new("tar").arg("-tf").arg(folder.join(archive)).output().unwrap();
                assert!(listed.status.success(), "{way}: {archive} is cut");
                assert!(holds(&listed.stdout, member.as_bytes()), "{way}: {archive}");
            }
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}
