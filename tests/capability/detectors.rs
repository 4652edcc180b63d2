//! Detectors ring at their attack, say who and why, and do what their rule says; operators see it, end
//! sessions and let users in again.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealgate::store::postgres::{Options, Throwaway};
use serde_json::Value;

use crate::harness::{Frame, Gate, Raw, Setup, await_that};
use crate::shop::{self, classified, errors, records, records_with, states};

fn server() -> Throwaway {
    fill(shop::server(15))
}

fn fill(server: Throwaway) -> Throwaway {
    server
        .execute(
            "postgres",
            "CREATE ROLE clerk LOGIN; CREATE ROLE auditor LOGIN; \
             GRANT SELECT, INSERT ON customers, orders TO clerk, auditor; \
             INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 9) n",
        )
        .unwrap();
    server
}

/// With an admin socket in the gate's own folder.
fn start(server: &Throwaway, extra: &str) -> Gate {
    let mut gate = classified(Setup::before(server.address())).extra(extra).prepare().unwrap();
    let socket = gate.folder().join("admin.sock").display().to_string();
    gate.configure(|text| text.replace("[admin]\n", &format!("[admin]\nsocket = \"{socket}\"\n")));
    gate.run_again().unwrap();
    gate
}

fn alerts(gate: &Gate, detector: &str, count: usize) -> Vec<Value> {
    let begins = format!("{detector} (");
    let of = || -> Vec<Value> {
        let all = records(gate).into_iter().filter(|record| record["kind"] == "alert");
        all.filter(|alert| alert["rule"].as_str().unwrap().starts_with(&begins)).collect()
    };
    await_that(&format!("{count} alerts of {detector}"), || of().len() >= count);
    of()
}

fn status(gate: &Gate) -> Value {
    let output = gate.verb(&["watch", "status", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a client is told that tries to log in.
fn turned_away(gate: &Gate, user: &str) -> Option<String> {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", user), ("database", "postgres")]);
    loop {
        let frame = raw.read()?;
        match frame.tag {
            b'E' => return frame.field(b'C'),
            b'Z' => return None,
            _ => {}
        }
    }
}

#[test]
fn a_burst_of_refusals_locks_its_user_out_until_an_operator_lets_him_in() {
    let server = server();
    let gate = start(
        &server,
        "[[watch.detector]]\nkind = \"refusals\"\ncount = 4\naction = \"lock\"\nlock = \"1h\"\n",
    );
    let mut other = Raw::login(gate.address(), "auditor", "postgres");
    let mut idle = Raw::login(gate.address(), "clerk", "postgres");
    let mut raw = Raw::login(gate.address(), "clerk", "postgres");
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(states(&raw.query("SELECT email || 'x' FROM customers")), ["SG001"]);
    }
    // Whether its answer comes first or the end.
    raw.send(b'Q', b"SELECT email || 'x' FROM customers\0");
    // Whatever they do, and the one that does nothing too.
    for raw in [&mut raw, &mut idle] {
        let last = std::iter::from_fn(|| raw.read()).last().unwrap();
        assert_eq!(
            (last.field(b'S').as_deref(), last.field(b'C').as_deref()),
            (Some("FATAL"), Some("SG007"))
        );
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(turned_away(&gate, "clerk").as_deref(), Some("SG007"));
    assert_eq!(states(&other.query("SELECT city FROM customers")), Vec::<String>::new());
    let alert = &alerts(&gate, "refusals", 1)[0];
    assert_eq!((&alert["user"], &alert["verdict"]), (&"clerk".into(), &"lock".into()));
    assert_eq!(alert["rule"], "refusals (critical): 4 refused statements in 60 s");
    assert!(alert["fields"][0]["field"].as_str().unwrap().contains("email"), "{alert}");
    let told = status(&gate);
    assert_eq!(
        (&told["locked"][0]["user"], &told["locked"][0]["incident"]),
        (&"clerk".into(), &alert["incident"])
    );
    await_that("both sessions to be gone", || status(&gate)["sessions"].as_array().unwrap().len() == 1);
    assert_eq!(gate.metric("sealgate_alerts_total{detector=\"refusals\",severity=\"critical\"}"), Some(1.0));

    assert_eq!(gate.verb(&["watch", "release", "nobody"]).status.code(), Some(1));
    assert!(gate.verb(&["watch", "release", "clerk"]).status.success());
    assert_eq!(turned_away(&gate, "clerk"), None);
    assert_eq!(status(&gate)["locked"], serde_json::json!([]));
    let of = |record: &Value| record["kind"] == "admin" && record["action"] == "watch-release";
    await_that("both releases on record", || records(&gate).iter().filter(|record| of(record)).count() == 2);
    let all = records(&gate);
    let released = all.iter().rfind(|record| of(record)).unwrap();
    assert_eq!((&released["verdict"], &released["rule"]), (&"applied".into(), &"user clerk".into()));
    assert!(released["account"].as_str().unwrap().starts_with("uid "));
}

#[test]
fn an_operator_sees_who_does_what_and_ends_it() {
    let server = server();
    let limit = "[[watch.limit]]\ncells = 10\nwindow = \"1h\"\naction = \"alert\"\nusers = [\"clerk\"]\n";
    let gate = start(&server, limit);
    let mode = std::fs::metadata(gate.folder().join("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut raw = Raw::login_with(
        gate.address(),
        &[("user", "clerk"), ("database", "postgres"), ("application_name", "till\u{1b}[2J")],
    );
    raw.query("SELECT city FROM customers WHERE id < 9");
    raw.send(b'Q', b"SELECT city, pg_sleep(3600) FROM customers WHERE id = 1\0");
    let mut doing = Value::Null;
    await_that("what it does", || {
        doing = status(&gate)["sessions"][0].clone();
        doing["doing"].is_object()
    });
    assert_eq!((&doing["user"], &doing["client"]), (&"clerk".into(), &"127.0.0.1".into()));
    assert_eq!(doing["doing"]["statement"], "SELECT city, pg_sleep(?) FROM customers WHERE id = ?");
    let told = status(&gate);
    assert_eq!((&told["limits"][0]["user"], &told["limits"][0]["used"]), (&"clerk".into(), &8.into()));
    let output = gate.verb(&["watch", "status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("limit: clerk has 8 of 10") && !text.contains('\u{1b}'), "{text}");

    let session = doing["session"].to_string();
    assert!(gate.verb(&["watch", "end", &session]).status.success());
    let last = std::iter::from_fn(|| raw.read()).last().unwrap();
    assert_eq!((last.field(b'S').as_deref(), last.field(b'C').as_deref()), (Some("FATAL"), Some("57P01")));
    assert!(last.field(b'D').unwrap().contains("operator"));
    await_that("the query to end at the server", || {
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'clerk'";
        server.query("postgres", asked).unwrap()[0][0].as_deref() == Some("0")
    });
    assert_eq!(gate.verb(&["watch", "end", &session]).status.code(), Some(1));
    await_that("the end on record", || {
        records(&gate).iter().any(|record| record["action"] == "watch-end" && record["verdict"] == "applied")
    });
}

#[test]
fn attacks_ring_and_whoever_only_works_does_not() {
    let server = server();
    server.execute("postgres", "INSERT INTO customers (id, city) VALUES (100, 'x')").unwrap();
    // A day that is neither today nor beside it.
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let day = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][usize::try_from((days + 3) % 7).unwrap()];
    let mut gate = start(
        &server,
        &format!(
            "[[watch.detector]]\nkind = \"injection\"\n\
             [[watch.detector]]\nkind = \"errors\"\ncount = 5\naction = \"cut\"\nusers = [\"clerk\"]\n\
             [[watch.detector]]\nkind = \"failed-logins\"\ncount = 3\n\
             [[watch.detector]]\nkind = \"hours\"\nfrom = \"08:00\"\nuntil = \"09:00\"\ndays = [\"{day}\"]\n\
             zone = \"Europe/Berlin\"\nusers = [\"auditor\"]\nseverity = \"critical\"\n"
        ),
    );
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for text in [
        "SELECT city FROM customers WHERE id = 1 AND 1=1",
        "SELECT city FROM customers WHERE id = 1 OR id = 2",
        "SELECT pg_sleep(0)",
        "SELECT city FROM customers WHERE id = 1; SELECT 2 -- two",
        "SELECT c.relname FROM pg_catalog.pg_class c UNION SELECT 'x' FROM information_schema.tables",
    ] {
        let answer = raw.query(text);
        assert!(errors(&answer).is_empty(), "{text}: {:?}", errors(&answer));
    }
    for _ in 0..20 {
        raw.query("SELECT nothing FROM nowhere");
    }
    assert!(records(&gate).iter().all(|record| record["kind"] != "alert"), "nobody attacked");

    // By text, and by text that is refused.
    assert_eq!(raw.query("SELECT city FROM customers WHERE id = 1 OR 1=1 --'").len(), 13);
    let alert = &alerts(&gate, "injection", 1)[0];
    let rule = alert["rule"].as_str().unwrap();
    assert!(rule.contains("a condition that always holds, the rest of a text commented out"), "{rule}");
    assert!(alert["statement_id"].is_u64() && alert["fields"][0]["field"] == "public.customers.city");
    let mut other = Raw::login(gate.address(), "auditor", "postgres");
    let refused =
        other.query("SELECT email || '' FROM customers UNION SELECT rolname FROM pg_catalog.pg_roles");
    assert_eq!(states(&refused), ["SG001"]);
    let alert = alerts(&gate, "injection", 2)[1].clone();
    assert_eq!(alert["user"], "auditor");
    assert!(alert["rule"].as_str().unwrap().contains("the catalog behind a UNION"));

    // Outside of the hours: the first access, once.
    for _ in 0..3 {
        other.query("SELECT city FROM customers WHERE id = 1");
    }
    let outside = alerts(&gate, "hours", 1);
    assert_eq!((outside.len(), &outside[0]["user"]), (1, &"auditor".into()));
    assert!(outside[0]["rule"].as_str().unwrap().starts_with("hours (critical)"));

    // Trying out names and types, of what is classified and of what is not.
    let mut clerk = Raw::login(gate.address(), "clerk", "postgres");
    for text in ["SELECT a FROM b", "SELECT 1/0", "SELECT 'x'::int", "SELECT c()", "SELEKT"] {
        clerk.send(b'Q', format!("{text}\0").as_bytes());
    }
    let last = std::iter::from_fn(|| clerk.read()).last().unwrap();
    assert_eq!(last.field(b'C').as_deref(), Some("SG007"));
    let alert = &alerts(&gate, "errors", 1)[0];
    assert_eq!((&alert["user"], &alert["verdict"]), (&"clerk".into(), &"cut".into()));

    // Logins that fail.
    for _ in 0..3 {
        assert!(turned_away(&gate, "stranger").is_some());
    }
    let alert = &alerts(&gate, "failed-logins", 1)[0];
    assert_eq!((&alert["user"], &alert["client"]), (&"stranger".into(), &"127.0.0.1".into()));

    // Rules that are taken away ring no more.
    gate.configure(|text| text.split("[[watch.detector]]").next().unwrap().to_owned());
    gate.signal("HUP");
    await_that("the reload", || gate.metric("sealgate_reloads_total{result=\"applied\"}") == Some(1.0));
    let before = alerts(&gate, "injection", 2).len();
    raw.query("SELECT city FROM customers WHERE id = 1 OR 1=1");
    records_with(&gate, "outcome", 6);
    drop(raw);
    gate.signal("TERM");
    gate.wait();
    assert_eq!(alerts(&gate, "injection", 2).len(), before);
}

#[test]
fn opening_a_honey_record_rings_and_cuts_before_it_is_shown() {
    let server = server();
    let setup = classified(Setup::before(server.address()));
    let gate = setup.start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.query("INSERT INTO customers (id, email, phone) VALUES (50, 'ceo@x.example', '1'), (51, 'ada@x.example', '2'), (52, 'eve@x.example', '3')");
    let sealed = |column: &str, id: u32| {
        let asked = format!("SELECT {column} FROM customers WHERE id = {id}");
        server.query("postgres", &asked).unwrap()[0][0].clone().unwrap()
    };
    let (ceo, eve) = (sealed("email", 50), sealed("phone", 52));
    gate.configure(|text| {
        format!("{text}[[watch.honey]]\nsealed = [\"{ceo}\"]\naction = \"cut\"\n[[watch.honey]]\nsealed = [\"{eve}\"]\n")
    });
    gate.signal("HUP");
    await_that("the reload", || gate.metric("sealgate_reloads_total{result=\"applied\"}") == Some(1.0));
    // Others may be read, and searched for is not opened.
    assert_eq!(errors(&raw.query("SELECT email, phone FROM customers WHERE id = 51")), []);
    assert_eq!(errors(&raw.query("SELECT id FROM customers WHERE email = 'ceo@x.example'")), []);
    assert_eq!(errors(&raw.query("SELECT phone FROM customers WHERE id = 52")), []);
    let told = alerts(&gate, "honey", 1);
    assert_eq!((told.len(), &told[0]["verdict"]), (1, &"alert".into()));
    assert!(told[0]["rule"].as_str().unwrap().starts_with("honey (critical)"));
    for text in [
        "SELECT email FROM customers ORDER BY id",
        "COPY (SELECT email FROM customers WHERE id = 50) TO STDOUT",
    ] {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let answer = raw.query(text);
        assert_eq!(states(&answer), ["SG007"], "{text}");
        let shown = answer.iter().any(|frame| String::from_utf8_lossy(&frame.body).contains("ceo@x"));
        assert!(!shown, "{text}");
    }
    let told = alerts(&gate, "honey", 3);
    assert!(told[1..].iter().all(|alert| alert["verdict"] == "cut" && alert["user"] == "postgres"));
    // What it is stands nowhere: not in the file, and a plain value is not taken for one, nor shown.
    let file = std::fs::read_to_string(gate.folder().join("sealgate.toml")).unwrap();
    assert!(!file.contains("ceo@x"));
    gate.configure(|text| text.replace(&eve, "eve@x.example"));
    let output = gate.verb(&["check", "--offline"]);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("holds what is not sealed") && !said.contains("eve@x"), "{said}");
}

#[test]
fn two_hundred_sessions_at_once_are_never_shown_more_than_the_cap() {
    let server = Throwaway::start(&Options {
        major: Some(15),
        configuration: vec!["max_connections = 300".to_owned()],
        ..Options::default()
    })
    .unwrap();
    server.execute("postgres", shop::SCHEMA).unwrap();
    let server = fill(server);
    let limit = "[[watch.limit]]\ncells = 500\nwindow = \"1h\"\naction = \"cut\"\n";
    let gate = classified(Setup::before(server.address())).extra(limit).start();
    let shown = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                let mut raw = Raw::login(gate.address(), "clerk", "postgres");
                let answer = raw.query("SELECT city FROM customers");
                shown.fetch_add(answer.iter().filter(|frame| frame.tag == b'D').count(), Ordering::SeqCst);
            });
        }
    });
    let shown = shown.into_inner();
    assert!(shown <= 500 && shown > 450, "{shown}");
}

/// What reaches the server, and what does not, while something is held against a user.
fn told(frames: &[Frame]) -> (Vec<String>, String) {
    let hint = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'H'));
    (states(frames), hint.unwrap_or_default())
}

#[test]
fn whoever_is_refused_or_asked_for_a_purpose_goes_on_with_what_is_not_classified() {
    let server = server();
    let limit = |user: &str, what: &str| {
        format!(
            "[[watch.limit]]\ncells = 3\nwindow = \"1h\"\nusers = [\"{user}\"]\naction = \"{what}\"\n{what} = \"1h\"\n"
        )
    };
    let gate = start(&server, &format!("{}{}", limit("clerk", "refuse"), limit("auditor", "purpose")));
    let none: Vec<String> = Vec::new();
    for (user, what) in [("clerk", "refuse"), ("auditor", "purpose")] {
        let mut idle = Raw::login(gate.address(), user, "postgres");
        let mut raw = Raw::login(gate.address(), user, "postgres");
        // Kept from before it begins, in both protocols.
        raw.parse("kept", "SELECT city FROM customers WHERE id = 1", &[]);
        assert_eq!(states(&raw.sync()), none);
        assert_eq!(states(&raw.query("SELECT city FROM customers WHERE id < 9")), none);
        await_that("it is held", || status(&gate)["restrained"].to_string().contains(user));
        let held = status(&gate)["restrained"].as_array().unwrap().clone();
        let own: Vec<&Value> = held.iter().filter(|one| one["user"] == user).collect();
        assert_eq!((own.len(), &own[0]["what"]), (1, &what.into()));
        for raw in [&mut raw, &mut idle] {
            let (state, hint) = told(&raw.query("SELECT city FROM customers WHERE id = 1"));
            assert_eq!(state, ["SG007"], "{user}");
            assert_eq!(hint.contains("SET sealgate.purpose"), what == "purpose", "{hint}");
            assert_eq!(
                states(&raw.query("INSERT INTO customers (id, email) VALUES (77, 'a@x.example')")),
                ["SG007"]
            );
            assert_eq!(states(&raw.query("SELECT 1; SELECT city FROM customers; SELECT 2")), ["SG007"]);
            assert_eq!(states(&raw.query("COPY customers (city) TO STDOUT")), ["SG007"]);
            assert_eq!(states(&raw.query("SELECT 1; SELECT id FROM customers")), none);
        }
        raw.bind("", "kept", &[], &[], &[]);
        raw.execute("", 0);
        assert_eq!(states(&raw.sync()), ["SG007"]);
        let mut later = Raw::login(gate.address(), user, "postgres");
        assert_eq!(states(&later.query("SELECT city FROM customers WHERE id = 1")), ["SG007"]);
        if what == "purpose" {
            assert_eq!(states(&later.query("SET sealgate.purpose = ' '")), none);
            assert_eq!(states(&later.query("SELECT city FROM customers WHERE id = 1")), ["SG007"]);
            assert_eq!(states(&later.query("SET sealgate.purpose = 'support case 7'")), none);
            assert_eq!(states(&later.query("SELECT city FROM customers WHERE id = 1")), none);
            let text = "SELECT city FROM customers WHERE id = 1 /*purpose='case%208'*/";
            assert_eq!(states(&idle.query(text)), none);
            assert_eq!(states(&idle.query("SELECT city FROM customers WHERE id = 1")), ["SG007"]);
            let purposes: Vec<Value> = records(&gate)
                .iter()
                .filter(|record| record["kind"] == "intent" && record["user"] == user)
                .map(|record| record["purpose"].clone())
                .collect();
            assert_eq!(purposes.iter().filter(|purpose| !purpose.is_null()).count(), 2, "{purposes:?}");
        }
        assert!(gate.verb(&["watch", "release", user]).status.success());
        await_that("it goes on", || states(&raw.query("SELECT city FROM customers WHERE id = 1")).is_empty());
        assert_eq!(gate.verb(&["watch", "release", user]).status.code(), Some(1));
    }
    let alerts = alerts(&gate, "limit", 2);
    assert_eq!(
        alerts.iter().map(|alert| alert["verdict"].clone()).collect::<Vec<_>>(),
        ["refuse", "purpose"]
    );
    assert!(server.query("postgres", "SELECT FROM customers WHERE id = 77").unwrap().is_empty());
}

#[test]
fn an_access_that_is_throttled_shows_nothing_before_its_time_and_others_do_not_wait() {
    let server = server();
    let gate = start(
        &server,
        "[[watch.detector]]\nkind = \"refusals\"\ncount = 2\nusers = [\"clerk\"]\naction = \"throttle\"\n\
         throttle = \"1h\"\ndelay = \"3s\"\n",
    );
    let mut raw = Raw::login(gate.address(), "clerk", "postgres");
    let mut other = Raw::login(gate.address(), "auditor", "postgres");
    for _ in 0..2 {
        assert_eq!(states(&raw.query("SELECT email || 'x' FROM customers")), ["SG001"]);
    }
    await_that("it is held", || status(&gate)["restrained"][0]["what"] == "throttle");
    // Nothing waits but what is classified, and for nobody else.
    let began = Instant::now();
    assert!(errors(&raw.query("SELECT id FROM customers")).is_empty());
    raw.send(b'Q', b"SELECT city FROM customers WHERE id = 1\0");
    assert!(errors(&other.query("SELECT city FROM customers WHERE id = 1")).is_empty());
    let others = began.elapsed();
    assert!(errors(&raw.until_ready()).is_empty());
    assert!(began.elapsed() >= Duration::from_secs(3) && others < began.elapsed(), "{others:?}");
    // Several at once wait for each, and so do those of one text.
    let began = Instant::now();
    let two = "SELECT city FROM customers WHERE id = 4; SELECT city FROM customers WHERE id = 5";
    assert!(errors(&raw.query(two)).is_empty());
    assert!(began.elapsed() >= Duration::from_secs(6), "{:?}", began.elapsed());
    // An operator ends a session at once, whatever it waits for.
    raw.send(b'Q', b"SELECT city FROM customers WHERE id = 2\0");
    assert!(gate.verb(&["watch", "release", "clerk"]).status.success());
    assert!(errors(&raw.until_ready()).is_empty());
    assert!(errors(&raw.query("SELECT city FROM customers WHERE id = 3")).is_empty());
    assert_eq!(status(&gate)["restrained"], serde_json::json!([]));
}
