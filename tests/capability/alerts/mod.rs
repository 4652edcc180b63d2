//! Alerts arrive where somebody looks: within two seconds, with who, what and why, whole after a receiver
//! was away, and once for each incident.

mod receivers;

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

pub use self::receivers::Folder;
use self::receivers::{Alertmanager, MailServer, Syslog, Webhook};
use crate::harness::{Gate, Raw, Setup, await_that};
use crate::shop::{self, classified, records_with};

/// An alert must be where it belongs within this time of its cause.
const WITHIN: Duration = Duration::from_secs(2);

const LIMIT: &str = "[[watch.limit]]\ncells = 3\nwindow = \"1h\"\naction = \"alert\"\n";

fn fill(server: &sealgate::store::postgres::Throwaway) {
    server
        .execute(
            "postgres",
            "INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 9) n",
        )
        .unwrap();
}

/// The number of the session, and when it crossed the limit.
fn cross(gate: &Gate) -> (Raw, Instant) {
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let began = Instant::now();
    raw.query("SELECT city FROM customers");
    (raw, began)
}

fn hmac(secret: &str, text: &str) -> String {
    let code = "import hashlib,hmac,sys;print(hmac.new(sys.argv[1].encode(),sys.argv[2].encode(),hashlib.sha256).hexdigest())";
    let output = Command::new("python3").args(["-c", code, secret, text]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_alert_arrives_at_every_receiver_within_two_seconds_and_its_end_too() {
    let folder = Folder::new("all");
    let server = shop::server(15);
    fill(&server);
    let (webhook, syslog) = (Webhook::new(), Syslog::new(&folder));
    let (mail, alertmanager) = (MailServer::new(&folder), Alertmanager::new(&folder));
    let (root, spool) = (folder.path("root.crt"), folder.path("spool"));
    let alerts = format!(
        "[watch]\nquiet = \"4s\"\nspool = \"{spool}\"\n{LIMIT}\
         [[alert]]\nname = \"soc\"\nwebhook = \"http://{}/hook?x=1\"\nsecret = {{ env = \"HOOK\" }}\ntoken = {{ env = \"TOKEN\" }}\n\
         [[alert]]\nalertmanager = \"http://127.0.0.1:{}\"\n\
         [[alert]]\nsyslog = \"tls://{}\"\nca = \"{root}\"\n\
         [[alert]]\nsmtp = \"smtp://127.0.0.1:{}\"\nca = \"{root}\"\nuser = \"gate\"\npassword = {{ env = \"MAIL\" }}\n\
         from = \"gate@example.org\"\nto = [\"soc@example.org\", \"duty@example.org\"]\n\
         [[alert]]\nname = \"pager\"\nseverity = \"critical\"\nwebhook = \"http://{}/pager\"\n",
        webhook.address, alertmanager.port, syslog.address, mail.port, webhook.address
    );
    let mut gate = classified(Setup::before(server.address())).extra(&alerts).prepare().unwrap();
    for (name, value) in [("HOOK", "hook-secret"), ("TOKEN", "hook-token"), ("MAIL", "mail-secret")] {
        gate.environment(name, value);
    }
    gate.run_again().unwrap();
    let (_raw, began) = cross(&gate);
    await_that("all receivers", || {
        !webhook.told().is_empty()
            && !syslog.told().is_empty()
            && !mail.took().is_empty()
            && !alertmanager.firing().is_empty()
    });
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());

    let records = records_with(&gate, "alert", 1);
    let record = records.iter().find(|record| record["kind"] == "alert").unwrap();
    let (incident, session) = (record["incident"].as_str().unwrap(), &record["session"]);
    assert_eq!(incident.len(), 32);
    let reason = "watch.limit: 3 cells in 3600 s";

    let (head, body) = &webhook.told()[0];
    let notice: Value = serde_json::from_slice(body).unwrap();
    for (member, expected) in [
        ("incident", incident),
        ("status", "firing"),
        ("detector", "limit"),
        ("severity", "warning"),
        ("user", "postgres"),
        ("database", "postgres"),
        ("client", "127.0.0.1"),
        ("reason", reason),
        ("done", "alert"),
    ] {
        assert_eq!(notice[member], expected, "{member}");
    }
    assert_eq!((&notice["session"], &notice["count"]), (session, &1.into()));
    assert_eq!(notice["fields"][0]["field"], "public.customers.city");
    assert_eq!(notice["fields"][0]["class"], "contact");
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let signed = format!("{}.{}", value("x-sealgate-timestamp: "), String::from_utf8_lossy(body));
    assert_eq!(value("x-sealgate-signature: sha256="), hmac("hook-secret", &signed));
    assert_eq!(value("authorization: bearer "), "hook-token");
    assert!(head.starts_with("post /hook?x=1 "), "{head}");

    let firing = &alertmanager.firing()[0];
    assert_eq!(firing["labels"]["incident"], incident);
    assert_eq!(firing["labels"]["user"], "postgres");
    assert_eq!(
        (&firing["annotations"]["reason"], &firing["annotations"]["session"]),
        (&reason.into(), &session.to_string().into())
    );

    let line = &syslog.told()[0];
    assert!(
        line.starts_with("<108>1 ") && line.contains(" sealgate - ALERT - CEF:0|Sealgate|Sealgate|"),
        "{line}"
    );
    for member in [
        format!(" externalId={incident} "),
        " suser=postgres ".to_owned(),
        " src=127.0.0.1 ".to_owned(),
        format!(" cn1={session} "),
        format!(" reason={reason} "),
        " cs2=public.customers.city (contact) ".to_owned(),
    ] {
        assert!(line.contains(&member), "{member}: {line}");
    }

    let took = &mail.took()[0];
    assert_eq!(
        (&took["tls"], &took["user"], &took["from"]),
        (&true.into(), &"gate".into(), &"gate@example.org".into())
    );
    assert_eq!(took["to"], serde_json::json!(["soc@example.org", "duty@example.org"]));
    let text = took["text"].as_str().unwrap().replace("\r\n", "\n");
    let body: String = text.split_once("\n\n").unwrap().1.split_whitespace().collect::<Vec<_>>().concat();
    // Lines are encoded one by one, each a multiple of three bytes.
    let body = String::from_utf8(BASE64_STANDARD.decode(body).unwrap()).unwrap();
    assert!(
        body.contains("user: postgres\r\n") && body.contains(reason) && body.contains(incident),
        "{body}"
    );

    // Nothing more happens: it is over, and all are told so; the pager never heard of it.
    await_that("the end of the incident", || {
        webhook.notices().iter().any(|notice| notice["status"] == "resolved")
            && syslog.told().iter().any(|line| line.contains(" outcome=resolved "))
            && alertmanager.firing().is_empty()
            && mail.took().len() == 2
    });
    let notices = webhook.notices();
    assert!(notices.iter().all(|notice| notice["incident"] == incident), "{notices:?}");
    assert_eq!(notices.len(), 2, "one incident, told once: {notices:?}");
    assert_eq!(
        gate.metric("sealgate_alert_deliveries_total{receiver=\"soc\",result=\"delivered\"}"),
        Some(2.0)
    );
    assert_eq!(
        gate.metric("sealgate_alert_deliveries_total{receiver=\"pager\",result=\"delivered\"}"),
        Some(0.0)
    );
    await_that("the metric", || gate.metric("sealgate_incidents_open") == Some(0.0));
    assert!(gate.log().contains(&format!("incident={incident}")), "{}", gate.log());
}

#[test]
fn what_a_receiver_missed_it_hears_when_it_is_back_even_from_another_process() {
    let folder = Folder::new("away");
    let server = shop::server(15);
    fill(&server);
    let (webhook, other) = (Webhook::new(), Webhook::new());
    webhook.answers(503);
    let alerts = format!(
        "[watch]\nspool = \"{}\"\n{LIMIT}[[alert]]\nname = \"soc\"\nwebhook = \"http://{}/\"\n\
         [[alert]]\nname = \"other\"\nwebhook = \"http://{}/\"\n",
        folder.path("spool"),
        webhook.address,
        other.address
    );
    let mut gate = classified(Setup::before(server.address())).extra(&alerts).start();
    let (raw, _) = cross(&gate);
    await_that("some tries", || webhook.refused() >= 2);
    await_that("who is not away", || other.told().len() == 1);
    let ready = gate.get("/health/ready").unwrap();
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains("alerts do not reach soc (1 wait"),
        "{ready}"
    );
    assert_eq!(gate.metric("sealgate_alerts_waiting{receiver=\"soc\"}"), Some(1.0));
    assert!(
        gate.metric("sealgate_alert_deliveries_total{receiver=\"soc\",result=\"failed\"}").unwrap() >= 1.0
    );
    assert_eq!(gate.metric("sealgate_alerts_waiting{receiver=\"other\"}"), Some(0.0));
    let records = records_with(&gate, "alert", 1);
    let incident = records.iter().find(|record| record["kind"] == "alert").unwrap()["incident"].clone();
    drop(raw);
    // As by a power failure: what was to be told is on disk.
    gate.kill();
    webhook.answers(200);
    assert!(webhook.told().is_empty());
    gate.run_again().unwrap();
    await_that("what was missed", || webhook.told().len() == 1);
    assert_eq!(webhook.notices()[0]["incident"], incident);
    await_that("readiness", || gate.get("/health/ready").unwrap().ends_with("\r\n\r\nready\n"));
    assert_eq!(other.told().len(), 1, "and nobody hears it twice");
    // What it refuses for good is given up, and counted.
    webhook.answers(422);
    let _raw = cross(&gate);
    await_that("the drop", || {
        gate.metric("sealgate_alert_deliveries_total{receiver=\"soc\",result=\"dropped\"}") == Some(1.0)
    });
    assert_eq!(gate.metric("sealgate_alerts_waiting{receiver=\"soc\"}"), Some(0.0));
}

#[test]
fn the_verb_tells_every_receiver_and_what_came_of_it() {
    let folder = Folder::new("verb");
    let server = shop::server(15);
    let webhook = Webhook::new();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let syslog = Syslog::new(&folder);
    let alerts = format!(
        "[watch]\nspool = \"{}\"\n[[alert]]\nname = \"soc\"\nwebhook = \"http://{}/\"\n\
         [[alert]]\nname = \"dead\"\nwebhook = \"http://{dead}/secret-path\"\n\
         [[alert]]\nname = \"untrusted\"\nsyslog = \"tls://{}\"\n",
        folder.path("spool"),
        webhook.address,
        syslog.address
    );
    let gate = classified(Setup::before(server.address())).extra(&alerts).prepare().unwrap();
    let output = gate.verb(&["alert", "test"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("soc: delivered\n") && said.contains("dead: not delivered: "), "{said}");
    assert!(said.contains("untrusted: not delivered: ") && syslog.told().is_empty(), "{said}");
    assert!(!said.contains("secret-path"), "{said}");
    assert_eq!(webhook.notices()[0]["detector"], "test");
    gate.configure(|text| text.split("[[alert]]\nname = \"dead\"").next().unwrap().to_owned());
    let output = gate.verb(&["alert", "test", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["receivers"][0]["delivered"], true);
    gate.configure(|text| text.replace("webhook = ", "secret = { env = \"NOT_SET_ANYWHERE\" }\nwebhook = "));
    for verb in [&["alert", "test"][..], &["check", "--offline", "--json"]] {
        let output = gate.verb(verb);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("alert.0: the variable NOT_SET_ANYWHERE is not set"), "{said}");
        assert!(verb[0] == "alert" || said.contains("\"alert-fault\""), "{said}");
    }
}
