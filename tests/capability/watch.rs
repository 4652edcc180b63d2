//! The watch: what a cutting limit lets through is never more than the limit.

use crate::harness::{Raw, Setup};
use crate::shop::{self, classified, errors, records_with, states};

const LIMITS: &str = "
[[watch.limit]]
cells = 25
window = \"1h\"
action = \"cut\"
users = [\"clerk\"]
[[watch.limit]]
cells = 5
window = \"1h\"
action = \"alert\"
users = [\"auditor\"]
";

/// Classified values in the rows of an answer, each row holding `width` of them.
fn cells(frames: &[crate::harness::Frame], width: usize) -> usize {
    frames.iter().filter(|frame| frame.tag == b'D').count() * width
}

#[test]
fn a_limit_cuts_one_user_over_all_sessions_and_no_other() {
    let server = shop::server(18);
    server
        .execute(
            "postgres",
            "CREATE ROLE clerk LOGIN; CREATE ROLE auditor LOGIN; GRANT SELECT ON customers, orders TO clerk, auditor; \
             INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 200) n",
        )
        .unwrap();
    let gate = classified(Setup::before(server.address())).extra(LIMITS).start();
    let login = |user: &str| Raw::login(gate.address(), user, "postgres");
    let (mut first, mut second) = (login("clerk"), login("clerk"));
    let mut released = 0;
    for raw in [&mut first, &mut second] {
        let answer = raw.query("SELECT city FROM customers WHERE id <= 9");
        released += cells(&answer, 1);
        assert_eq!(cells(&answer, 1), 9, "{:?}", errors(&answer));
    }
    // What is not classified, and what is NULL, does not count.
    assert_eq!(cells(&first.query("SELECT id, note FROM customers"), 1), 200);
    assert_eq!(cells(&first.query("SELECT email FROM customers"), 1), 200);
    // The third statement crosses the limit in the middle of its result.
    second.parse("", "SELECT id, city FROM customers ORDER BY id", &[]);
    second.bind("", "", &[], &[], &[]);
    second.execute("", 0);
    let answer = second.sync();
    released += cells(&answer, 1);
    let last = answer.last().unwrap();
    assert_eq!((states(&answer), last.field(b'S').as_deref()), (vec!["SG007".to_owned()], Some("FATAL")));
    assert!(last.field(b'M').unwrap().starts_with("sealgate:"));
    assert!(second.is_closed());
    assert_eq!(released, 25, "all of the limit and no more");
    // Whatever the session: the window is the user's.
    for mut raw in [first, login("clerk")] {
        let answer = raw.query("SELECT city FROM customers WHERE id = 1");
        assert_eq!((cells(&answer, 1), states(&answer)), (0, vec!["SG007".to_owned()]));
    }
    // Others go on; one of them is only told of.
    for user in ["postgres", "auditor"] {
        let answer = login(user).query("SELECT city FROM customers");
        assert_eq!(cells(&answer, 1), 200, "{user}: {:?}", errors(&answer));
    }
    let mut clerk = login("clerk");
    assert_eq!(cells(&clerk.query("SELECT id FROM customers"), 1), 200, "a clerk may still work");

    let records = records_with(&gate, "alert", 4);
    let alerts: Vec<_> = records.iter().filter(|record| record["kind"] == "alert").collect();
    let of = |user: &str, verdict: &str| {
        alerts.iter().filter(|alert| alert["user"] == user && alert["verdict"] == verdict).count()
    };
    assert_eq!((of("clerk", "cut"), of("auditor", "alert"), alerts.len()), (3, 1, 4));
    assert!(alerts[0]["rule"].as_str().unwrap().contains("25 cells"));
    let cut = records
        .iter()
        .position(|record| record["kind"] == "outcome" && record["sqlstate"] == "SG007")
        .unwrap();
    assert_eq!(
        (&records[cut]["rows"], &records[cut]["cells"]),
        (&7.into(), &7.into()),
        "the outcome says how far it went"
    );
    assert_eq!(gate.metric("sealgate_alerts_total{detector=\"limit\",severity=\"critical\"}"), Some(3.0));
    assert_eq!(gate.metric("sealgate_alerts_total{detector=\"limit\",severity=\"warning\"}"), Some(1.0));
    assert!(gate.log().contains("alert detector=\"limit\""), "{}", gate.log());
    // What the server was still sending has been cancelled, and nothing is left behind.
    crate::harness::await_that("the cut sessions to end at the server", || {
        let rows = server
            .query("postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'clerk'")
            .unwrap();
        rows[0][0].as_deref() == Some("1")
    });
}

#[test]
fn what_an_expression_shows_counts_too() {
    let server = shop::server(15);
    server
        .execute(
            "postgres",
            "CREATE ROLE clerk LOGIN; GRANT SELECT ON customers TO clerk; \
             INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 200) n",
        )
        .unwrap();
    for sql in [
        "SELECT upper(city) FROM customers",
        "SELECT city || '' FROM customers",
        "SELECT s.x FROM (SELECT lower(city) AS x, id FROM customers) s ORDER BY s.id",
        "SELECT DISTINCT city FROM customers",
        "SELECT city FROM customers UNION ALL SELECT note FROM customers",
        "WITH c AS (SELECT city FROM customers) SELECT city FROM c",
        "SELECT (SELECT c.city FROM customers c WHERE c.id = n) FROM generate_series(1, 200) n",
        "SELECT max(city) FROM customers GROUP BY id",
        "SELECT coalesce(city, 'x') AS city FROM customers",
    ] {
        let gate = classified(Setup::before(server.address())).extra(LIMITS).start();
        let mut raw = Raw::login(gate.address(), "clerk", "postgres");
        let answer = raw.query(sql);
        let shown = cells(&answer, 1);
        assert!(shown <= 25, "{sql}: {shown} values were shown, {:?}", errors(&answer));
        assert!(["SG007", "SG001"].contains(&states(&answer)[0].as_str()), "{sql}: {:?}", errors(&answer));
    }
}

#[test]
fn what_errors_notices_and_parameters_tell_counts_too() {
    let server = shop::server(18);
    server
        .execute(
            "postgres",
            "CREATE ROLE clerk LOGIN; GRANT SELECT ON customers TO clerk; \
             INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 200) n; \
             CREATE FUNCTION loud(text) RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN RAISE NOTICE '%', $1; RETURN 'x'; END $$",
        )
        .unwrap();
    let gate = classified(Setup::before(server.address())).extra(LIMITS).start();
    let mut raw = Raw::login(gate.address(), "clerk", "postgres");
    let mut told = 0;
    for n in 1..=200 {
        let answer = raw.query(&format!("SELECT id FROM customers WHERE id = {n} AND city::int = 1"));
        if states(&answer) != ["22P02"] {
            assert_eq!(states(&answer), ["SG007"]);
            break;
        }
        told += 1;
    }
    assert_eq!(told, 25, "errors");
    let gate = classified(Setup::before(server.address())).extra(LIMITS).start();
    let mut raw = Raw::login(gate.address(), "clerk", "postgres");
    let answer = raw.query("SELECT count(*) FROM customers WHERE loud(city) = ''");
    let notices = answer.iter().filter(|frame| frame.tag == b'N').count();
    assert_eq!((notices, states(&answer)), (25, vec!["SG007".to_owned()]), "notices");
    // The errors of what holds no legible value are not counted.
    let gate = classified(Setup::before(server.address())).extra(LIMITS).start();
    let mut raw = Raw::login(gate.address(), "clerk", "postgres");
    for _ in 0..40 {
        assert_eq!(states(&raw.query("SELECT email FROM customers WHERE 1 / (id - id) = 1")), ["22012"]);
        assert_eq!(states(&raw.query("SELECT 1 / 0")), ["22012"]);
    }
}

#[test]
fn a_user_has_one_name_to_be_counted_under() {
    let server = shop::server(18);
    let name = "u".repeat(63);
    server.execute("postgres", &format!("CREATE ROLE {name} LOGIN")).unwrap();
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", &format!("{name}-second")), ("database", "postgres")]);
    assert_eq!(states(&raw.until_ready()), ["28000"], "the server would cut it to the first");
    Raw::login(gate.address(), &name, "postgres");
}

/// What an expression gathers counts as what it may hold, and not as one value: by whichever aggregate, and
/// through COPY.
#[test]
fn a_limit_is_not_passed_by_gathering_many_values_into_one() {
    let server = shop::server(18);
    let define = "CREATE ROLE clerk LOGIN; GRANT SELECT ON customers TO clerk; \
        INSERT INTO customers (id, city) SELECT n, 'city' || n FROM generate_series(1, 26) n";
    server.execute("postgres", define).unwrap();
    for sql in [
        "SELECT string_agg(city, ',') FROM customers",
        "SELECT array_agg(city) FROM customers",
        "SELECT (SELECT string_agg(city, ' ') FROM customers)",
        "COPY (SELECT string_agg(city, ',') FROM customers) TO STDOUT",
    ] {
        let gate = classified(Setup::before(server.address())).extra(LIMITS).start();
        let answer = Raw::login(gate.address(), "clerk", "postgres").query(sql);
        assert_eq!(states(&answer), ["SG007"], "{sql}");
        assert!(!answer.iter().any(|frame| shop::holds(&frame.body, b"city26")), "{sql}");
    }
}
