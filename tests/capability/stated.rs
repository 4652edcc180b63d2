//! Who asks, behind a pool, as the application states it: by settings as the server keeps them, at the start,
//! and in comments; on every record of what follows. And as a token proves it, which stays here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use serde_json::Value;

use crate::harness::{Raw, Setup, Tap, await_that, pg, search_folder};
use crate::shop::{self, classified, errors, firsts, holds, records, records_with, states};

const READ: &str = "SELECT city FROM customers";

/// For whom and what for the intents ask, in their order.
fn told(records: &[Value], kind: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let all = records.iter().filter(|record| record["kind"] == kind);
    all.map(|record| format!("{} {}", text(&record["end_user"]), text(&record["purpose"]))).collect()
}

#[test]
fn what_the_application_states_stands_in_every_record_and_as_long_as_at_the_server() {
    for major in [15, 18] {
        let server = shop::server(major);
        server.execute("postgres", "INSERT INTO customers (id, city) VALUES (1, 'c')").unwrap();
        let gate = classified(Setup::before(server.address())).start();
        let start = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("options", "--sealgate.end-user=pool\\ user -c sealgate.purpose=none"),
        ];
        let mut raw = Raw::login_with(gate.address(), &start);
        let mut expected = Vec::new();
        let ask = "SELECT coalesce(current_setting('sealgate.end_user', true), '')";
        // What is sent; for whom and what for the read behind it asks. `~`: as at the server, which is asked.
        let steps = [
            ("SELECT 1", "pool user none"),
            ("SET sealgate.end_user = 'ada'", "ada none"),
            ("BEGIN; SET LOCAL sealgate.purpose TO 'case 7'; SELECT city FROM customers; COMMIT", "ada none"),
            ("BEGIN", "ada none"),
            ("SET LOCAL sealgate.end_user = 'eve'", "eve none"),
            ("COMMIT", "ada none"),
            ("BEGIN", "ada none"),
            ("SET sealgate.end_user = 'eve'", "eve none"),
            ("ROLLBACK", "ada none"),
            ("BEGIN", "ada none"),
            ("SAVEPOINT a", "ada none"),
            ("SET sealgate.end_user = 'eve'", "eve none"),
            ("SAVEPOINT b", "eve none"),
            ("SELECT set_config('sealgate.end_user', 'bob', true)", "bob none"),
            ("ROLLBACK TO SAVEPOINT b", "eve none"),
            ("ROLLBACK TO a", "ada none"),
            ("SET sealgate.end_user = 'kim'", "kim none"),
            ("COMMIT", "kim none"),
            ("SET sealgate.end_user = 'lost'; SELECT 1/0", "kim none"),
            ("BEGIN; SET sealgate.end_user = 'x'; ROLLBACK; SELECT city FROM customers", "kim none"),
            ("RESET sealgate.end_user", "pool user none"),
            ("SET SESSION \"sealgate\".\"end_user\" = E'\\x41da'", "Ada none"),
            ("SET sealgate.end_user TO ''", "- none"),
            ("SET sealgate.end_user = 'mia'", "mia none"),
            ("RESET ALL", "pool user none"),
            ("SET sealgate.purpose = 'audit'", "pool user audit"),
            ("DISCARD ALL", "pool user none"),
        ];
        for (sql, told) in steps {
            let answer = raw.query(sql);
            if sql.contains("LOCAL sealgate.purpose") {
                expected.push("ada case 7".to_owned());
            }
            if sql.contains("; ROLLBACK;") {
                expected.push("- -".to_owned());
            }
            assert!(errors(&answer).is_empty() || sql.contains("1/0"), "{sql}: {:?}", errors(&answer));
            let own = firsts(&raw.query(ask)).remove(0);
            assert_eq!(
                own,
                told.split_once(' ').map(|_| told.rsplit_once(' ').unwrap().0).unwrap().replace('-', ""),
                "{sql}"
            );
            assert!(errors(&raw.query(READ)).is_empty());
            expected.push(told.to_owned());
        }
        let records = records_with(&gate, "outcome", expected.len());
        assert_eq!(told(&records, "intent"), expected, "{major}");
        assert_eq!(told(&records, "outcome"), expected, "{major}");
        assert!(records.iter().all(|record| {
            record["end_user"].is_null() == record["end_user_auth"].is_null()
                && (record["end_user"].is_null() || record["end_user_auth"] == "stated")
        }));
        let begun = records.iter().find(|record| record["kind"] == "session").unwrap();
        assert_eq!(begun["end_user"], "pool user");
    }
}

#[test]
fn comments_and_batches_say_for_whom_their_own_statements_ask() {
    let server = pg(18);
    server.execute("postgres", "CREATE TABLE customers (id int, email text, phone text, city text)").unwrap();
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut expected = Vec::new();
    let mut query = |raw: &mut Raw, sql: &str, told: &str| {
        assert!(errors(&raw.query(sql)).is_empty(), "{sql}");
        expected.push(told.to_owned());
    };
    query(&mut raw, "SELECT city FROM customers /*purpose='p%201',user='ada'*/", "ada p 1");
    query(&mut raw, "SELECT city FROM customers WHERE city = '/*user=''eve''*/'", "- -");
    query(&mut raw, READ, "- -");
    raw.query("SET sealgate.end_user = 'pool'");
    query(&mut raw, "/*user='ada'*/ SELECT city FROM customers", "ada -");
    query(&mut raw, READ, "pool -");
    // A batch: SET, and what runs behind it before anything is answered; and of a prepared statement.
    for (name, sql) in [
        ("a", "SET sealgate.end_user = 'batch'"),
        ("b", READ),
        ("c", "SELECT city FROM customers /*user='c'*/"),
    ] {
        raw.parse(name, sql, &[]);
    }
    for name in ["b", "a", "b", "c"] {
        raw.bind(name, name, &[], &[], &[]);
        raw.execute(name, 0);
        raw.close(b'P', name);
    }
    assert!(errors(&raw.sync()).is_empty());
    expected.extend(["pool -", "batch -", "c -"].map(str::to_owned));
    // One that fails takes back what it has SET.
    raw.parse("d", "SET sealgate.end_user = 'failed'", &[]);
    raw.bind("", "d", &[], &[], &[]);
    raw.execute("", 0);
    raw.parse("", "SELECT 1/0", &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
    assert_eq!(errors(&raw.sync()).len(), 1);
    assert!(errors(&raw.query(READ)).is_empty());
    expected.push("batch -".to_owned());
    // A refusal and an alert tell it, too.
    raw.query("SELECT city FROM customers WHERE lower(phone) = 'x' /*user='mallory'*/");
    let records = records_with(&gate, "refusal", 1);
    assert_eq!(told(&records, "intent"), expected);
    assert_eq!(told(&records, "refusal"), ["batch -"]);
    let hostile = format!("SET sealgate.end_user = '{}\u{202e}\u{85}'", "x".repeat(1_000));
    assert!(errors(&raw.query(&hostile)).is_empty());
    raw.query(READ);
    expected.push(String::new());
    await_that("the last intent", || told(&shop::records(&gate), "intent").len() == expected.len());
    let last = told(&shop::records(&gate), "intent").pop().unwrap();
    assert_eq!(last, format!("{} -", "x".repeat(256)));
}

// ---- proven by a token ------------------------------------------------------------------------

/// A token as an identity provider signs it, by openssl. `sign`: arguments that make a signature of what
/// stands in the file of the last of them.
fn token(folder: &Path, header: &str, claims: &str, sign: &[&str]) -> String {
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
    fs::write(folder.join("message"), &message).unwrap();
    format!("{message}.{}", encoded(&openssl(folder, sign)))
}

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_token_proves_the_end_user_and_never_goes_to_the_server() {
    let server = shop::server(18);
    server.execute("postgres", "INSERT INTO customers (id, city) VALUES (1, 'c')").unwrap();
    let tap = Tap::before(server.address());
    let secret = "0123456789abcdef0123456789abcdef";
    let gate = classified(Setup::before(tap.address())).start();
    let folder = gate.folder().to_path_buf();
    for (name, algorithm) in [("rsa", &["-algorithm", "RSA"][..]), ("ed", &["-algorithm", "ED25519"])] {
        let (key, public) = (format!("{name}.key"), format!("{name}.pem"));
        openssl(&folder, &[&["genpkey"], algorithm, &["-out", &key]].concat());
        openssl(&folder, &["pkey", "-in", &key, "-pubout", "-out", &public]);
    }
    fs::write(folder.join("hs"), secret).unwrap();
    fs::set_permissions(folder.join("hs"), fs::Permissions::from_mode(0o600)).unwrap();
    let place = |name: &str| folder.join(name).display().to_string();
    let trusted = format!(
        "\n[[token]]\nalgorithm = \"RS256\"\npublic_key = \"{}\"\naudience = \"shop\"\nissuer = \"idp\"\n\
         [[token]]\nalgorithm = \"EdDSA\"\npublic_key = \"{}\"\naudience = \"shop\"\nid = \"k1\"\n\
         [[token]]\nalgorithm = \"HS256\"\nsecret = {{ file = \"{}\" }}\naudience = \"shop\"\nclaim = \"email\"\n",
        place("rsa.pem"),
        place("ed.pem"),
        place("hs")
    );
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let answer = raw.query("SET sealgate.token = 'x.y.z'");
    assert_eq!(states(&answer), ["SG002"], "none is configured");
    gate.configure(|text| text + &trusted);
    gate.signal("HUP");
    await_that("the reload", || records(&gate).iter().any(|record| record["action"] == "reload"));

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = |more: &str, seconds: i64| {
        format!(r#"{{"sub":"ada","aud":"shop","exp":{}{more}}}"#, now.checked_add_signed(seconds).unwrap())
    };
    let rsa = &["dgst", "-sha256", "-sign", "rsa.key", "message"][..];
    let ed = &["pkeyutl", "-sign", "-rawin", "-inkey", "ed.key", "-in", "message"][..];
    let hmac = &["dgst", "-sha256", "-hmac", secret, "-binary", "message"][..];
    let of = |header: &str, claims: &str, sign: &[&str]| token(&folder, header, claims, sign);
    let good = of(r#"{"alg":"RS256"}"#, &claims(r#","iss":"idp""#, 600), rsa);
    let by_ed = of(r#"{"alg":"EdDSA","kid":"k1"}"#, &claims("", 600), ed);
    let by_hmac = of(r#"{"alg":"HS256"}"#, &claims(r#","email":"ada@x.example""#, 600), hmac);
    let brief = of(r#"{"alg":"EdDSA","kid":"k1"}"#, &claims("", 4), ed);
    let refused = [
        of(r#"{"alg":"RS256"}"#, &claims(r#","iss":"other""#, 600), rsa),
        of(r#"{"alg":"RS256"}"#, &claims(r#","iss":"idp""#, -1), rsa),
        of(r#"{"alg":"EdDSA"}"#, &claims("", 600), ed),
        of(r#"{"alg":"HS256"}"#, &claims(r#","iss":"idp""#, 600), rsa),
        format!("{}x", good.rsplit_once('.').unwrap().0),
    ];
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut expected = Vec::new();
    let mut read = |raw: &mut Raw, told: &str| {
        assert!(errors(&raw.query("SELECT city FROM customers /*user='comment'*/")).is_empty());
        expected.push(told.to_owned());
    };
    read(&mut raw, "comment stated");
    assert!(errors(&raw.query(&format!("SET sealgate.token = '{good}'"))).is_empty());
    read(&mut raw, "ada token");
    for token in &refused {
        assert_eq!(states(&raw.query(&format!("SET sealgate.token = '{token}'"))), ["SG002"]);
    }
    read(&mut raw, "ada token");
    assert!(
        errors(&raw.query(&format!("BEGIN; SET LOCAL sealgate.token TO $t${by_hmac}$t$; SELECT 1")))
            .is_empty()
    );
    read(&mut raw, "ada@x.example token");
    assert!(errors(&raw.query("COMMIT")).is_empty());
    read(&mut raw, "ada token");
    assert_eq!(firsts(&raw.query("SHOW sealgate.token")), ["kept by sealgate"]);
    assert!(errors(&raw.query("RESET sealgate.token")).is_empty());
    read(&mut raw, "comment stated");
    // Prepared, and run later; its proof ends by itself.
    raw.parse("t", &format!("SET sealgate.token = E'{by_ed}'"), &[]);
    assert!(errors(&raw.sync()).is_empty());
    read(&mut raw, "comment stated");
    raw.bind("", "t", &[], &[], &[]);
    raw.execute("", 0);
    assert!(errors(&raw.sync()).is_empty());
    read(&mut raw, "ada token");
    assert!(errors(&raw.query(&format!("SET sealgate.token = '{brief}'"))).is_empty());
    read(&mut raw, "ada token");
    await_that("the token to expire", || {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > now + 4
    });
    read(&mut raw, "comment stated");
    // In no other form: it would go to the server.
    for sql in [
        format!("SELECT set_config('sealgate.token', '{good}', false)"),
        format!("ALTER ROLE postgres SET sealgate.token = '{good}'"),
        format!("DO $$ BEGIN PERFORM set_config('Sealgate.Token', '{good}', false); END $$"),
        format!("SELECT set_config('sealgate' || '.token', '{good}', false)"),
        format!("SELECT set_config(name, '{good}', false) FROM (VALUES ('seal' || 'gate.token')) t(name)"),
        format!("WITH a AS (SELECT set_config(lower('SEALGATE.TOKEN'), '{good}', false)) SELECT * FROM a"),
        format!("PREPARE p AS SELECT set_config($1, '{good}', false)"),
        format!("SET sealgate.token = '{good}', 'x'"),
        "SET sealgate.token FROM CURRENT".to_owned(),
        format!("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET sealgate.token = '{good}' AS 'SELECT 1'"),
    ] {
        let answer = raw.query(&sql);
        assert_eq!(states(&answer), ["SG001"], "{sql}: {:?}", errors(&answer));
    }
    let mut start = Raw::connect(gate.address());
    start.startup(&[
        ("user", "postgres"),
        ("database", "postgres"),
        ("options", &format!("-c sealgate.token={good}")),
    ]);
    assert_eq!(start.read().unwrap().field(b'C').as_deref(), Some("22023"));

    let records = records_with(&gate, "outcome", expected.len());
    let intents = records.iter().filter(|record| record["kind"] == "intent");
    let told: Vec<_> = intents
        .map(|record| {
            let of = |name: &str| record[name].as_str().unwrap_or("-");
            format!("{} {}", of("end_user"), of("end_user_auth"))
        })
        .collect();
    assert_eq!(told, expected);
    for token in refused.iter().chain([&good, &by_ed, &by_hmac, &brief]) {
        let signature = token.rsplit_once('.').unwrap().1;
        let piece = token.split('.').nth(1).unwrap();
        for part in [piece, signature].into_iter().filter(|part| part.len() > 8) {
            assert!(!holds(&tap.to_server(), part.as_bytes()), "{part} went to the server");
            assert!(search_folder(&folder.join("audit"), part.as_bytes()).is_empty(), "{part} is recorded");
            assert!(!holds(gate.log().as_bytes(), part.as_bytes()), "{part} is in the log");
        }
    }
}

#[test]
fn keys_of_a_set_come_and_go_with_a_reload() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).start();
    let folder = gate.folder().to_path_buf();
    let key_of = |id: &str| {
        openssl(&folder, &["genpkey", "-algorithm", "ED25519", "-out", &format!("{id}.key")]);
        let key = openssl(&folder, &["pkey", "-in", &format!("{id}.key"), "-pubout", "-outform", "DER"]);
        let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&key[key.len() - 32..]);
        format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"{id}","x":"{x}"}}"#)
    };
    let [one, two, three] = ["one", "two", "three"].map(key_of);
    let set = |keys: &[&str]| {
        fs::write(folder.join("idp.new"), format!(r#"{{"keys":[{}]}}"#, keys.join(","))).unwrap();
        fs::rename(folder.join("idp.new"), folder.join("idp.json")).unwrap();
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"ada","aud":"shop","exp":{}}}"#, now + 600);
    let tokens = ["one", "two", "three"].map(|id| {
        let key = format!("{id}.key");
        let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", "message"];
        token(&folder, &format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#), &claims, &sign)
    });
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut proven = || {
        tokens
            .each_ref()
            .map(|token| errors(&raw.query(&format!("SET sealgate.token = '{token}'"))).is_empty())
    };
    let reloads = || records(&gate).iter().filter(|record| record["action"] == "reload").count();
    let reload = || {
        let before = reloads();
        gate.signal("HUP");
        await_that("the reload", || reloads() > before);
    };
    set(&[&one, &two]);
    let path = folder.join("idp.json").display().to_string();
    gate.configure(|text| {
        text + &format!("\n[[token]]\nalgorithm = \"EdDSA\"\njwks = \"{path}\"\naudience = \"shop\"\n")
    });
    reload();
    assert_eq!(proven(), [true, true, false]);
    set(&[&two, &three]);
    assert_eq!(proven(), [true, true, false], "before the reload");
    reload();
    assert_eq!(proven(), [false, true, true]);
    // One that cannot be used changes nothing, and the log says where.
    set(&[&two, &two]);
    gate.signal("HUP");
    await_that("the fault", || gate.log().contains("two keys of this algorithm have the same id"));
    assert_eq!(proven(), [false, true, true]);
}
