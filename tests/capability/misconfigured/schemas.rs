//! Cases of what `check` finds beside the file: certificates of a later time, and tables that cannot hold
//! what the policy says of them. Each of those has a database of its own, and what
//! only costs is no fault.

use super::Case;
use super::scene::{Scene, Verb};
use crate::harness::Session;
use crate::hops::certificates::{Certificates, later, named};

const CHECK: &[Verb] = &[Verb::Check];
/// Databases that `check` looks at for fields that name none.
const LOOKED_AT_MAX: usize = 64;

/// A table `customers` that is found unfit by this code.
fn table(code: &'static str, exit: i32, says: &str, sql: &'static str) -> Case {
    Case {
        name: format!("{code}: {sql}"),
        verbs: CHECK,
        code: exit,
        says: vec![says.to_owned(), format!("[{code}]")],
        at: String::new(),
        change: Box::new(move |scene| {
            let database = database_for(scene, sql);
            scene.replace("database = \"postgres\"\ntable", &format!("database = \"{database}\"\ntable"));
            scene.replace(
                "[[field]]\ntable = \"public.customers\"",
                &format!("[[field]]\ndatabase = \"{database}\"\ntable = \"public.customers\""),
            );
        }),
    }
}

/// A database of this scene alone, in which `sql` was run.
fn database_for(scene: &Scene, sql: &str) -> String {
    let database = format!("case_{}", scene.port);
    let run = |database: &str, sql: &str| {
        let session = Session::open(scene.server(), "postgres", None, database).unwrap();
        session.text(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    };
    run("postgres", &format!("DROP DATABASE IF EXISTS {database}"));
    run("postgres", &format!("CREATE DATABASE {database}"));
    run(&database, sql);
    database
}

pub fn schemas() -> Vec<Case> {
    vec![
        table(
            "partition",
            2,
            "it is a partition: the policy must name the partitioned table",
            "CREATE TABLE everybody (id int, email text, phone text) PARTITION BY LIST (id); \
             CREATE TABLE customers PARTITION OF everybody DEFAULT",
        ),
        table(
            "leads-back",
            2,
            "function public.known",
            "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text); \
             CREATE FUNCTION known(wanted int) RETURNS bool LANGUAGE sql AS \
             'SELECT EXISTS (SELECT FROM public.customers WHERE id = wanted AND email IS NULL)'; \
             ALTER TABLE customers ADD CHECK (known(id))",
        ),
        table(
            "column-identity",
            2,
            "column phone is an identity",
            "CREATE TABLE customers (id int PRIMARY KEY, email text, phone int GENERATED ALWAYS AS IDENTITY)",
        ),
        table(
            "column-generated",
            2,
            "column email is generated",
            "CREATE TABLE customers (id int PRIMARY KEY, email text GENERATED ALWAYS AS ('none') STORED, phone text)",
        ),
        table(
            "guard-not-valid",
            0,
            "guard before of column email does not hold for the rows before it",
            "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text); \
             ALTER TABLE customers ADD CONSTRAINT before \
             CHECK (starts_with(email COLLATE \"C\", 'SEALfyeCwSny')) NOT VALID",
        ),
    ]
}

pub fn certificates() -> Vec<Case> {
    vec![Case {
        name: "a certificate of a later time".to_owned(),
        verbs: CHECK,
        code: 2,
        says: vec![
            "tls/server.crt: the certificate is not yet valid".to_owned(),
            "[certificate-not-yet-valid]".to_owned(),
        ],
        at: String::new(),
        change: Box::new(|scene| {
            let ours = Certificates::new("misconfigured-later");
            ours.issue("server", later(named("server", &["127.0.0.1"])));
            for file in ["server.crt", "server.key"] {
                scene.write(&format!("tls/{file}"), std::fs::read(ours.path(file)).unwrap());
            }
        }),
    }]
}

/// More databases than are looked at, with an account that none of them lets in. Its own, since they stay.
pub fn databases() -> Vec<Case> {
    let says = [
        "2 more databases were not looked at: name the field's database",
        "[databases-unseen]",
        "catalog of b1: the catalog cannot be read: the server answered 53300",
        "[catalog-fault]",
    ];
    vec![Case {
        name: "more databases than are looked at".to_owned(),
        verbs: CHECK,
        code: 2,
        says: says.map(str::to_owned).to_vec(),
        at: String::new(),
        change: Box::new(|scene| {
            let session = Session::open(scene.server(), "postgres", None, "postgres").unwrap();
            session.text("CREATE ROLE looker LOGIN").unwrap();
            for number in 0..=LOOKED_AT_MAX {
                session.text(&format!("CREATE DATABASE b{number} CONNECTION LIMIT 0")).unwrap();
            }
            scene.replace("service_user = \"postgres\"", "service_user = \"looker\"");
        }),
    }]
}

/// What has cases elsewhere, by the code that `check` has for it.
pub fn codes() -> Vec<Case> {
    let case = |code: &str, exit: i32, change: fn(&mut Scene)| Case {
        name: code.to_owned(),
        verbs: CHECK,
        code: exit,
        says: vec![format!("[{code}]")],
        at: String::new(),
        change: Box::new(change),
    };
    vec![
        case("configuration-fault", 2, |scene| scene.replace("[login]", "[logni]")),
        case("keys-fault", 2, |scene| scene.remove("keys/keyring.json")),
        case("audit-fault", 2, |scene| {
            scene.remove("audit");
            scene.write("audit", "");
        }),
        case("tls-fault", 2, |scene| scene.remove("tls/server.key")),
        case("token-fault", 2, |scene| {
            let key =
                "[[token]]\nalgorithm = \"EdDSA\"\npublic_key = \"nowhere.pem\"\naudience = \"shop\"\n\n";
            scene.replace("[residency.rules]", &format!("{key}[residency.rules]"));
        }),
        case("token-fault", 2, |scene| {
            scene.write("idp.json", "{\"keys\": []}");
            let key = "[[token]]\nalgorithm = \"EdDSA\"\njwks = \"idp.json\"\naudience = \"shop\"\n\n";
            scene.replace("[residency.rules]", &format!("{key}[residency.rules]"));
        }),
        case("service-account-fault", 2, |scene| scene.remove("secrets/password")),
        case("place-expired", 0, |scene| {
            let over =
                "[[residency.place]]\ncidr = \"10.0.0.0/8\"\nregion = \"old\"\nexpires = 2020-01-01\n\n";
            scene.replace("[residency.rules]", &format!("{over}[residency.rules]"));
        }),
        case("login-fault", 2, |scene| {
            let session = Session::open(scene.server(), "postgres", None, "postgres").unwrap();
            session.text("CREATE ROLE looker LOGIN").unwrap();
            scene.replace("service_user = \"postgres\"", "service_user = \"looker\"");
            scene.replace("auth = \"relay\"", "auth = \"scram\"");
        }),
    ]
}
