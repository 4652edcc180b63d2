//! Claims about the registry, on real servers.

use super::super::tests::{VERSIONS, account, policy, start};
use super::*;
use crate::catalog::PolicyField;
use crate::seal::{KeyringParts, Root, RootKey};
use crate::store::postgres::Throwaway;

const TABLE: &str = "CREATE TABLE customers (id int PRIMARY KEY, email text, ssn text)";
/// So long that no poll comes between two steps of a test.
const NEVER: Duration = Duration::from_secs(3600);
const LONG: Linger = Linger { foreseen: NEVER, left: NEVER, returns_min: 0 };

fn source(server: &Throwaway, poll_interval: Duration) -> CatalogSource {
    CatalogSource {
        access: Arc::new(ArcSwap::from_pointee(Access::plain(server.address(), account()))),
        policy: Arc::new(ArcSwap::from_pointee(policy())),
        keyring: Arc::default(),
        timing: Timing { poll_interval, linger: LONG, ..Timing::default() },
    }
}

fn keyring(policy: &Classification) -> Arc<ArcSwapOption<Keyring>> {
    let parts = KeyringParts {
        identity: Some(KeyringIdentity::new([0x11; 16])),
        created_unix_s: 0,
        roots: vec![Root { version: 1, created_unix_s: 0, key: RootKey::new([1; 32]) }],
        current: 1,
        domains: Vec::new(),
    };
    let mut keyring = Keyring::from_parts(parts).unwrap();
    let domains: Vec<_> = policy.fields.iter().filter_map(|entry| entry.field.domain.clone()).collect();
    keyring.add_domains(&domains, 0).unwrap();
    Arc::new(ArcSwapOption::from_pointee(keyring))
}

/// The keeper on a thread and runtime of its own, as in the program.
fn keep(source: CatalogSource) -> Catalogs {
    let (catalogs, keeper) = Catalogs::new(source);
    std::thread::spawn(move || super::super::tests::block_on(keeper.run()));
    catalogs
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    super::super::tests::block_on(async {
        tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
    })
}

fn await_that(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn service_sessions(server: &Throwaway) -> String {
    let rows = server
        .query("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sealgate'")
        .unwrap();
    rows[0][0].clone().unwrap()
}

#[test]
fn loads_at_first_use_and_grows_the_epoch_only_with_the_content() {
    for major in VERSIONS {
        let server = start(major);
        server.execute("postgres", TABLE).unwrap();
        let catalogs = keep(source(&server, NEVER));
        assert!(catalogs.held("postgres").is_none());
        let first = block_on(catalogs.current("postgres")).unwrap();
        assert!(Arc::ptr_eq(&first, &catalogs.held("postgres").unwrap()));
        for sql in ["SELECT 1", "CREATE TABLE unrelated (id int)", "CREATE TEMP TABLE t (id int)"] {
            server.execute("postgres", sql).unwrap();
            let same = block_on(catalogs.reload("postgres")).unwrap();
            assert!(Arc::ptr_eq(&first, &same), "{sql}");
        }
        let mut epoch = first.epoch();
        for sql in [
            "CREATE VIEW v AS SELECT email FROM customers",
            "ALTER TABLE customers RENAME ssn TO number",
            "ALTER TABLE customers RENAME number TO ssn",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE FUNCTION f() \
             RETURNS int LANGUAGE sql AS 'SELECT id FROM customers'",
            "CREATE SCHEMA s; ALTER VIEW v SET SCHEMA s",
            "ALTER SCHEMA s RENAME TO r",
            "DROP VIEW r.v",
        ] {
            server.execute("postgres", sql).unwrap();
            let changed = block_on(catalogs.reload("postgres")).unwrap();
            assert!(changed.epoch() > epoch, "{sql}");
            epoch = changed.epoch();
        }
        assert_eq!(service_sessions(&server), "1", "one connection is kept");
    }
}

#[test]
fn sees_a_change_that_did_not_pass_through_here() {
    let server = start(18);
    server.execute("postgres", TABLE).unwrap();
    let catalogs = keep(source(&server, Duration::from_millis(20)));
    let first = block_on(catalogs.current("postgres")).unwrap();
    server.execute("postgres", "CREATE VIEW v AS SELECT email FROM customers").unwrap();
    block_on(async {
        while catalogs.held("postgres").unwrap().epoch() == first.epoch() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn many_sessions_share_a_load() {
    let all = vec!["log_statement = 'all'".to_owned()];
    let options =
        crate::store::postgres::Options { configuration: all, major: Some(15), ..Default::default() };
    let logged = Throwaway::start(&options).unwrap();
    logged.execute("postgres", TABLE).unwrap();
    let catalogs = keep(source(&logged, NEVER));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let catalogs = catalogs.clone();
            std::thread::spawn(move || {
                block_on(async {
                    let mut waiting = JoinSet::new();
                    for _ in 0..25 {
                        let catalogs = catalogs.clone();
                        waiting.spawn(async move { catalogs.reload("postgres").await.unwrap().epoch() });
                    }
                    waiting.join_all().await
                })
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().iter().all(|epoch| *epoch == EPOCHS_APART));
    }
    let log = std::fs::read_to_string(logged.log_file()).unwrap();
    assert_eq!(log.matches("REPEATABLE READ").count(), 1, "nothing changed: one load for 200 requests");
}

#[test]
fn refuses_without_a_catalog_and_recovers() {
    let server = start(15);
    let catalogs = keep(source(&server, NEVER));
    let error = block_on(catalogs.current("shop")).unwrap_err();
    assert!(matches!(&error, LoadError::Service(service) if service.sqlstate() == Some("3D000")), "{error}");
    server.create_database("shop").unwrap();
    server.execute("shop", TABLE).unwrap();
    assert_eq!(block_on(catalogs.current("shop")).unwrap().epoch(), EPOCHS_APART);
}

#[test]
fn keeps_the_last_snapshot_for_a_while_when_the_server_is_gone() {
    let server = start(15);
    server.execute("postgres", TABLE).unwrap();
    let catalogs = keep(source(&server, NEVER));
    block_on(catalogs.current("postgres")).unwrap();
    drop(server);
    assert!(
        block_on(catalogs.reload("postgres")).is_err(),
        "whoever knows of a change must not get the old one"
    );
    assert!(catalogs.held("postgres").is_some(), "sessions under way go on by it");
    assert!(block_on(catalogs.current("postgres")).is_err(), "new ones do not begin by it");
}

#[test]
fn leaves_a_database_that_nobody_is_in_and_looks_first_when_somebody_comes() {
    let server = start(15);
    server.create_database("shop").unwrap();
    server.execute("shop", TABLE).unwrap();
    let mut source = source(&server, Duration::from_millis(20));
    source.timing.linger.left = Duration::from_millis(200);
    source.timing.linger.foreseen = Duration::from_millis(200);
    let catalogs = keep(source);
    let (first, stay) = block_on(catalogs.enter("shop")).unwrap();
    // Longer than it lingers: a view is found, by a look that nobody asked for.
    std::thread::sleep(Duration::from_millis(400));
    server.execute("shop", "CREATE VIEW v AS SELECT email FROM customers").unwrap();
    await_that(|| catalogs.held("shop").is_some_and(|held| held.epoch() > first.epoch()));
    assert_eq!(service_sessions(&server), "1");
    let seen = catalogs.held("shop").unwrap();
    drop(stay);
    await_that(|| service_sessions(&server) == "0");
    assert!(catalogs.held("shop").is_none() && catalogs.databases().is_empty());
    let (again, stay) = block_on(catalogs.enter("shop")).unwrap();
    assert!(Arc::ptr_eq(&seen, &again), "nothing changed: nothing is loaded or judged anew");
    drop(stay);
    await_that(|| service_sessions(&server) == "0");
    catalogs.foresee("shop");
    await_that(|| service_sessions(&server) == "1");
    await_that(|| service_sessions(&server) == "0");
    // Another database under the same name.
    server.create_database("other").unwrap();
    server.execute("other", "CREATE VIEW customers AS SELECT 1 AS id, 'e' AS email, 's' AS ssn").unwrap();
    server.execute("postgres", "DROP DATABASE shop").unwrap();
    server.execute("postgres", "ALTER DATABASE other RENAME TO shop").unwrap();
    assert!(block_on(catalogs.current("shop")).unwrap().epoch() > seen.epoch());
}

#[test]
fn gives_nothing_to_new_sessions_where_its_own_was_cut() {
    let server = start(15);
    server.create_database("shop").unwrap();
    server.execute("shop", TABLE).unwrap();
    server.create_database("other").unwrap();
    let catalogs = keep(source(&server, NEVER));
    let first = block_on(catalogs.current("shop")).unwrap();
    server.execute("postgres", "DROP DATABASE shop WITH (FORCE)").unwrap();
    await_that(|| block_on(catalogs.current("shop")).is_err());
    assert!(catalogs.held("shop").is_none(), "it is no more");
    server.execute("postgres", "ALTER DATABASE other RENAME TO shop").unwrap();
    assert!(block_on(catalogs.current("shop")).unwrap().epoch() > first.epoch());
}

#[test]
fn a_database_that_nobody_is_in_makes_room_for_another() {
    let server = start(15);
    for name in ["a", "b", "c"] {
        server.create_database(name).unwrap();
    }
    let mut source = source(&server, NEVER);
    source.timing.linger = LINGER;
    let (catalogs, mut keeper) = Catalogs::new(source);
    keeper.databases_max = 2;
    std::thread::spawn(move || super::super::tests::block_on(keeper.run()));
    let _one = block_on(catalogs.enter("a")).unwrap();
    let (_, two) = block_on(catalogs.enter("b")).unwrap();
    let full = block_on(catalogs.enter("c")).err();
    assert_eq!(full, Some(LoadError::TooMany { what: "databases in use", max: 2 }));
    drop(two);
    await_that(|| catalogs.held("b").is_none());
    assert!(block_on(catalogs.enter("c")).is_ok());
    assert!(catalogs.held("a").is_some());
}

#[test]
fn replaces_a_connection_that_the_server_has_cut() {
    let server = start(15);
    server.execute("postgres", TABLE).unwrap();
    let catalogs = keep(source(&server, NEVER));
    block_on(catalogs.current("postgres")).unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sealgate'";
    server.execute("postgres", cut).unwrap();
    block_on(catalogs.reload("postgres")).unwrap();
}

#[test]
fn loads_with_a_new_policy() {
    let server = start(15);
    server.execute("postgres", TABLE).unwrap();
    let source = source(&server, NEVER);
    let shared = source.policy.clone();
    let catalogs = keep(source);
    assert_eq!(block_on(catalogs.current("postgres")).unwrap().fields().len(), 2);
    shared.store(Arc::new(Classification::default()));
    assert_eq!(block_on(catalogs.reload("postgres")).unwrap().fields().len(), 0);
}

#[test]
fn notices_a_new_schema_and_its_table_by_a_pattern() {
    let server = start(15);
    let source = source(&server, Duration::from_millis(50));
    let by_pattern = policy()
        .fields
        .into_iter()
        .map(|entry| PolicyField { schemas: crate::catalog::SchemaPattern::new(&["tenant_", ""]), ..entry });
    let fields = by_pattern.collect();
    source.policy.store(Arc::new(Classification { fields, ..Classification::default() }));
    let catalogs = keep(source);
    let (first, _stay) = block_on(catalogs.enter("postgres")).unwrap();
    assert_eq!(first.fields().len(), 0);
    let fields = || catalogs.held("postgres").map(|snapshot| snapshot.fields().len());
    for (sql, expected) in [
        ("CREATE SCHEMA tenant_a; CREATE TABLE tenant_a.customers (email text, ssn text)", 2),
        (
            "CREATE SCHEMA b; CREATE TABLE b.customers (email text, ssn text); ALTER SCHEMA b RENAME TO tenant_b",
            4,
        ),
        ("DROP SCHEMA tenant_a CASCADE", 2),
    ] {
        server.execute("postgres", sql).unwrap();
        await_that(|| fields() == Some(expected));
    }
}

#[test]
fn ends_with_its_last_handle() {
    let server = start(15);
    let (catalogs, keeper) = Catalogs::new(source(&server, NEVER));
    let thread = std::thread::spawn(move || block_on(keeper.run()));
    drop(catalogs);
    thread.join().unwrap();
}

#[test]
fn gives_out_no_snapshot_that_is_stale() {
    let server = start(15);
    server.execute("postgres", TABLE).unwrap();
    let timing = Timing { poll_interval: NEVER, stale_max: Duration::ZERO, linger: LONG };
    let catalogs = keep(CatalogSource { timing, ..source(&server, NEVER) });
    block_on(catalogs.reload("postgres")).unwrap();
    assert!(catalogs.held("postgres").is_none());
    assert!(block_on(catalogs.current("postgres")).is_ok(), "a stale one is confirmed first");
    drop(server);
    assert!(block_on(catalogs.current("postgres")).is_err());
    assert!(catalogs.databases().is_empty(), "and is not looked at for ever");
}

#[test]
fn a_mark_or_another_keyring_is_a_change_that_is_seen() {
    for major in VERSIONS {
        let server = start(major);
        server.execute("postgres", TABLE).unwrap();
        let source = CatalogSource { keyring: keyring(&policy()), ..source(&server, NEVER) };
        let swap = source.keyring.clone();
        let catalogs = keep(source);
        block_on(catalogs.current("postgres")).unwrap();
        let fault = || {
            let snapshot = block_on(catalogs.reload("postgres")).unwrap();
            let found = snapshot.relations().find(|relation| &*relation.name.name == "customers").unwrap();
            found.fault.as_deref().unwrap_or_default().to_owned()
        };
        let (ours, other) = ("11".repeat(16), "22".repeat(16));
        let guard = "CHECK (starts_with(email COLLATE \"C\", 'SEALfyeCwSny'))";
        for (sql, named) in [
            (format!("COMMENT ON COLUMN customers.ssn IS 'keyring {other}'"), Some("ssn")),
            (format!("COMMENT ON COLUMN customers.ssn IS 'keyring {ours}'"), None),
            (format!("ALTER TABLE customers ADD CONSTRAINT a_keyring_{other} {guard}"), Some("email")),
            (format!("ALTER TABLE customers RENAME CONSTRAINT a_keyring_{other} TO keyring_{ours}"), None),
            (
                format!("COMMENT ON CONSTRAINT keyring_{ours} ON customers IS 'keyring {other}'"),
                Some("email"),
            ),
            (format!("COMMENT ON CONSTRAINT keyring_{ours} ON customers IS NULL"), None),
            ("COMMENT ON COLUMN customers.id IS 'keyring 33333333333333333333333333333333'".to_owned(), None),
        ] {
            server.execute("postgres", &sql).unwrap();
            let found = fault();
            let expected = named
                .map_or(String::new(), |column| format!("column {column} was sealed with keyring {other}"));
            assert!(found.starts_with(&expected) && found.is_empty() == named.is_none(), "{sql}: {found}");
        }
        // No change of the catalog: another keyring is looked at all the same.
        let mut parts = KeyringParts {
            identity: Some(KeyringIdentity::new([0x22; 16])),
            created_unix_s: 0,
            roots: vec![Root { version: 1, created_unix_s: 0, key: RootKey::new([1; 32]) }],
            current: 1,
            domains: Vec::new(),
        };
        parts.domains = swap.load().as_ref().unwrap().domains().cloned().collect();
        swap.store(Some(Arc::new(Keyring::from_parts(parts).unwrap())));
        assert!(fault().contains(&format!("keyring {ours}")), "{}", fault());
    }
}
