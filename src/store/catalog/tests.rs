//! Claims about the loader: one table of cases, each on real servers of both supported
//! versions.

use super::*;
use crate::catalog::{
    Classification, Domain, DomainName, Field, FieldId, FieldState, Kind, Logical, Mode, Named, PolicyField,
    QualifiedName, RelationKind, SchemaPattern, Snapshot, Weight,
};
use crate::store::postgres::{Authentication, Options, SUPERUSER, Throwaway, User};
use crate::upstream::dial::{Dialer, today};
use crate::upstream::service::{ServiceAccount, ServiceConnection, ServiceError};

pub(super) const VERSIONS: [u32; 2] = [15, 18];

/// What a case expects of the snapshot.
enum Expect {
    /// The relation of this name leads to classified columns; the reason holds the text.
    Reaches(&'static str, &'static str),
    /// The function, operator or type of this name does.
    Calls(&'static str, &'static str),
    /// This relation is a view that passes classified columns on, and is used like a table.
    Passes(&'static str),
    /// Writing to it does; reading it does not.
    Leads(&'static str, &'static str),
    /// The function is not the server's own, and what is given to it can, or cannot, be followed.
    Proven(&'static str),
    Unproven(&'static str),
    /// The classified table has a fault with this text.
    Fault(&'static str),
    /// Statements on this relation, and calls of this function, may pass.
    Harmless(&'static str),
    /// This name means several relations.
    Ambiguous(&'static str),
    /// The policy's table does not exist.
    Missing,
    /// The classified table is in order.
    Sound,
}
use Expect::{Ambiguous, Calls, Fault, Harmless, Leads, Missing, Passes, Proven, Reaches, Sound, Unproven};

const TABLE: &str =
    "CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn varchar, visits int);";

/// Leaves nothing of the case before.
const CLEAN: &str = "DROP SCHEMA IF EXISTS public, archive CASCADE; CREATE SCHEMA public";

/// Name, SQL (after the table unless it begins with `-`), expectations.
const CASES: &[(&str, &str, &[Expect])] = &[
    ("plain", "CREATE TABLE orders (id int)", &[Sound, Harmless("orders")]),
    (
        "view",
        "CREATE VIEW v AS SELECT id, email FROM customers; CREATE VIEW w AS SELECT id FROM v; \
         CREATE VIEW unrelated AS SELECT id, name FROM customers; \
         CREATE VIEW filtered AS SELECT id FROM customers WHERE ssn IS NULL; \
         CREATE VIEW counted AS SELECT count(*) FROM customers",
        &[Passes("v"), Harmless("w"), Passes("filtered"), Harmless("unrelated"), Harmless("counted"), Sound],
    ),
    (
        "whole row in a view",
        "CREATE VIEW v AS SELECT c.id, c FROM customers c; CREATE VIEW w AS SELECT to_jsonb(c) FROM customers c",
        &[Reaches("v", "view"), Reaches("w", "view")],
    ),
    ("materialised view", "CREATE MATERIALIZED VIEW m AS SELECT email FROM customers", &[Passes("m")]),
    (
        "rule",
        "CREATE TABLE inbox (mail text); CREATE RULE r AS ON INSERT TO inbox DO ALSO \
         INSERT INTO customers (id, email) VALUES (1, NEW.mail)",
        &[Leads("inbox", "rule r on it"), Sound],
    ),
    (
        "rule on the table",
        "CREATE RULE r AS ON DELETE TO customers DO INSTEAD NOTHING",
        &[Fault("rule r rewrites")],
    ),
    (
        "trigger",
        "CREATE TABLE inbox (mail text); CREATE FUNCTION copy_in() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO public.Customers (id, email) VALUES (1, NEW.mail); RETURN NEW; END $$; \
         CREATE TRIGGER t AFTER INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION copy_in()",
        &[
            Leads("inbox", "trigger t on it calls function public.copy_in"),
            Harmless("inbox"),
            Calls("copy_in", "names customers"),
            Sound,
        ],
    ),
    (
        "trigger with an argument",
        "CREATE TABLE inbox (mail text); CREATE FUNCTION copy_in() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN EXECUTE format('INSERT INTO %I (email) VALUES ($1)', TG_ARGV[0]) USING NEW.mail; RETURN NEW; END $$; \
         CREATE TRIGGER t AFTER INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION copy_in('customers')",
        &[Leads("inbox", "argument customers")],
    ),
    (
        "trigger that copies, and through a view writes what is not sealed",
        "CREATE VIEW v AS SELECT id AS n, email AS m FROM customers; CREATE FUNCTION hand_on() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF NEW.email IS NOT NULL THEN INSERT INTO v (n, m) VALUES (NEW.id, NEW.name); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER t AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION hand_on()",
        &[Fault("names v")],
    ),
    (
        "harmless trigger on the table",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN NEW.visits := OLD.visits + 1; RETURN NEW; END $$; \
         CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch()",
        &[Sound, Harmless("touch")],
    ),
    (
        "trigger on the table that fills a sealed column",
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN NEW.email := NEW.name; RETURN NEW; END $$; \
         CREATE TRIGGER t BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fill()",
        &[Fault("names column email")],
    ),
    (
        "functions of megabytes, which hide nobody else's",
        "CREATE FUNCTION one() RETURNS text LANGUAGE sql AS 'SELECT email FROM customers'; \
         DO $$ BEGIN \
           EXECUTE format('CREATE FUNCTION long() RETURNS int LANGUAGE sql AS %L', 'SELECT 1 /*' || repeat('x', 300000) || '*/'); \
           FOR i IN 1 .. 180 LOOP \
             EXECUTE format('CREATE FUNCTION many_%s() RETURNS int LANGUAGE sql AS %L', i, 'SELECT 1 /*' || repeat('x', 200000) || '*/'); \
           END LOOP; END $$",
        &[Calls("one", "names customers"), Unproven("long"), Unproven("many_180"), Proven("many_1"), Sound],
    ),
    (
        "functions",
        "CREATE FUNCTION one() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT email FROM customers LIMIT 1); END $$; \
         CREATE FUNCTION two() RETURNS text LANGUAGE sql AS 'SELECT one()'; \
         CREATE FUNCTION three() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT email FROM customers; END; \
         CREATE FUNCTION four() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT three(); END; \
         CREATE FUNCTION five(c customers) RETURNS text LANGUAGE sql AS 'SELECT $1.email'; \
         CREATE FUNCTION six() RETURNS xml LANGUAGE sql AS $$ SELECT schema_to_xml('public', true, true, '') $$; \
         CREATE FUNCTION harmless() RETURNS text LANGUAGE sql AS $$ SELECT 'old_customers_2'::text $$; \
         CREATE VIEW v AS SELECT four()",
        &[
            Calls("one", "names customers"),
            Calls("two", "names one"),
            Calls("three", "uses table public.customers"),
            Calls("four", "uses function public.three"),
            Calls("five", "uses a type"),
            Unproven("six"),
            Harmless("harmless"),
            Reaches("v", "function public.four"),
            Sound,
        ],
    ),
    (
        "procedure",
        "CREATE PROCEDURE p(x text) LANGUAGE plpgsql AS $$ BEGIN UPDATE customers SET email = x; END $$; \
         CREATE PROCEDURE q(x text) LANGUAGE sql BEGIN ATOMIC UPDATE customers SET email = x; END",
        &[Calls("p", "names customers"), Calls("q", "uses table")],
    ),
    (
        "aggregate",
        "CREATE FUNCTION step(text, int) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers LIMIT 1'; \
         CREATE AGGREGATE leak(int) (sfunc = step, stype = text)",
        &[Calls("leak", "uses function public.step")],
    ),
    (
        "default",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT email FROM customers LIMIT 1'; \
         CREATE TABLE notes (id int, body text DEFAULT f())",
        &[Leads("notes", "expression of column body uses function public.f"), Sound],
    ),
    (
        "default on a sealed column",
        "ALTER TABLE customers ALTER email SET DEFAULT 'nobody'",
        &[Fault("column email has a default")],
    ),
    (
        "generated column",
        "ALTER TABLE customers ADD lower_email text GENERATED ALWAYS AS (lower(email)) STORED",
        &[Fault("column lower_email is generated from sealed email")],
    ),
    (
        "generated from others",
        "ALTER TABLE customers ADD upper_name text GENERATED ALWAYS AS (upper(name)) STORED",
        &[Sound],
    ),
    (
        "operator, domain and cast",
        "CREATE FUNCTION f(int, int) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers LIMIT 1'; \
         CREATE OPERATOR ==> (leftarg = int, rightarg = int, function = f); \
         CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT 1 ==> 2'; \
         CREATE FUNCTION known(text) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM customers WHERE email = $1)'; \
         CREATE DOMAIN mail AS text CHECK (known(VALUE)); \
         CREATE TABLE letters (m mail); \
         CREATE TYPE pair AS (a int, b int); \
         CREATE FUNCTION to_pair(text) RETURNS pair LANGUAGE sql AS 'SELECT visits, visits FROM customers LIMIT 1'; \
         CREATE CAST (text AS pair) WITH FUNCTION to_pair(text) AS ASSIGNMENT; \
         CREATE TABLE pairs (p pair)",
        &[
            Calls("==>", "uses function public.f"),
            Calls("g", "names ==>"),
            Calls("mail", "check"),
            Reaches("letters", "uses type public.mail"),
            Calls("pair", "cast"),
            Reaches("pairs", "uses type public.pair"),
            Sound,
        ],
    ),
    (
        "index expression",
        "CREATE FUNCTION f(int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT email FROM public.customers LIMIT 1'; \
         CREATE TABLE notes (id int); CREATE INDEX notes_f ON notes (f(id))",
        &[Leads("notes", "notes_f uses function public.f")],
    ),
    (
        "row security policy",
        "CREATE TABLE notes (id int, mail text); ALTER TABLE notes ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY p ON notes USING (EXISTS (SELECT FROM customers c WHERE c.email = mail)); \
         CREATE TABLE other (id int); ALTER TABLE other ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY p ON other USING (EXISTS (SELECT FROM customers c WHERE c.id = other.id))",
        &[Reaches("notes", "row security policy p"), Harmless("other"), Sound],
    ),
    (
        "partitions",
        "-CREATE TABLE customers (id int, email text, ssn text, name text) PARTITION BY RANGE (id); \
         CREATE TABLE customers_1 PARTITION OF customers FOR VALUES FROM (1) TO (10)",
        &[Reaches("customers_1", "part or child of public.customers"), Sound],
    ),
    (
        "partition key",
        "-CREATE TABLE customers (id int, email text, ssn text) PARTITION BY LIST (email)",
        &[Fault("column email is part of the partition key")],
    ),
    (
        "partition key expression",
        "-CREATE TABLE customers (id int, email text, ssn text) PARTITION BY LIST (lower(ssn))",
        &[Fault("column ssn is part of the partition key")],
    ),
    (
        "policy names a partition",
        "-CREATE TABLE people (id int, email text, ssn text) PARTITION BY RANGE (id); \
         CREATE TABLE customers PARTITION OF people FOR VALUES FROM (1) TO (10)",
        &[Fault("it is a partition"), Reaches("people", "public.customers is a part or child of it")],
    ),
    (
        "inheritance",
        "CREATE TABLE vips (perk text) INHERITS (customers)",
        &[Fault("other tables inherit from it"), Reaches("vips", "part or child of public.customers")],
    ),
    (
        "inherits",
        "-CREATE TABLE people (email text); CREATE TABLE customers (id int, ssn text) INHERITS (people)",
        &[Fault("it inherits"), Reaches("people", "public.customers is a part or child of it")],
    ),
    (
        "same name in another schema",
        "CREATE SCHEMA archive; CREATE TABLE archive.customers (id int)",
        &[Ambiguous("customers"), Sound, Harmless("archive.customers")],
    ),
    ("missing table", "-SELECT 1", &[Missing]),
    (
        "missing column",
        "ALTER TABLE customers DROP email",
        &[Fault("names column email, which does not exist")],
    ),
    (
        "wrong type",
        "ALTER TABLE customers ALTER email TYPE varchar(80)",
        &[Fault("column email must be text")],
    ),
    ("number", "ALTER TABLE customers ALTER ssn TYPE int USING 1", &[Fault("column ssn must be text")]),
    (
        "view instead of a table",
        "ALTER TABLE customers RENAME TO people; CREATE VIEW customers AS SELECT * FROM people",
        &[Fault("it is not a table")],
    ),
    (
        "foreign key to plaintext",
        "CREATE TABLE mails (email text PRIMARY KEY); \
         ALTER TABLE customers ADD FOREIGN KEY (email) REFERENCES mails ON UPDATE CASCADE",
        &[Fault("ties column email"), Reaches("mails", "carries its changes into public.customers")],
    ),
    (
        "ordinary foreign key",
        "CREATE TABLE orders (id int, customer int REFERENCES customers ON UPDATE CASCADE)",
        &[Sound, Harmless("orders")],
    ),
];

pub(super) fn field(column: &str, mode: Option<Mode>) -> Field {
    Field {
        id: FieldId(77),
        database: None,
        table: QualifiedName { schema: "public".into(), name: "customers".into() },
        column: column.into(),
        class: "contact".into(),
        logical: Logical::TEXT,
        own: None,
        domain: mode.map(|mode| Domain { name: DomainName(column.into()), mode, kind: Kind::TEXT }),
        state: FieldState::Sealed,
        guard: None,
        subject: None,
    }
}

fn named(field: Field) -> PolicyField {
    PolicyField { schemas: None, field }
}

pub(super) fn policy() -> Classification {
    of(vec![named(field("email", Some(Mode::Equality))), named(field("ssn", Some(Mode::Random)))])
}

fn of(fields: Vec<PolicyField>) -> Classification {
    Classification { fields, ..Classification::default() }
}

pub(super) fn start(major: u32) -> Throwaway {
    let options = Options { major: Some(major), ..Options::default() };
    Throwaway::start(&options).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn account() -> ServiceAccount {
    ServiceAccount { user: SUPERUSER.to_owned(), password: None }
}

async fn connect(
    server: &Throwaway,
    account: &ServiceAccount,
    database: &str,
) -> Result<ServiceConnection, ServiceError> {
    let dialer = Dialer::plain(server.address());
    ServiceConnection::first(&dialer, account, database, today()).await.map(|(service, _)| service)
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn load_now(server: &Throwaway, database: &str, policy: &Classification) -> Result<Loaded, LoadError> {
    block_on(async {
        let service = connect(server, &account(), database).await.unwrap();
        load(&service, database, policy, &mut Default::default()).await
    })
}

fn holds(snapshot: &Snapshot, expected: &Expect) -> Result<(), String> {
    let table = || snapshot.named(Some("public"), "customers");
    let (met, found) = match expected {
        Reaches(name, text) => {
            let found = snapshot.relations().find(|relation| &*relation.name.name == *name);
            let why = found.and_then(|relation| relation.reaches.as_deref());
            (why.is_some_and(|why| why.contains(text)), format!("{why:?}"))
        }
        Passes(name) => {
            let found = snapshot.relations().find(|relation| &*relation.name.name == *name);
            let passes = found.is_some_and(|relation| {
                relation.kind == RelationKind::View && relation.reaches.is_none() && !relation.is_harmless()
            });
            (passes, format!("{found:?}"))
        }
        Calls(name, text) => {
            let why = snapshot.reaching(name).first().map(|one| &one.why);
            (why.is_some_and(|why| why.contains(text)), format!("{why:?}"))
        }
        Leads(name, text) => {
            let found = snapshot.codes().relations(None, name).find_map(|one| one.leads.as_deref());
            (found.is_some_and(|why| why.contains(text)), format!("{found:?}"))
        }
        Proven(name) | Unproven(name) => {
            let found = snapshot.codes().functions.get(*name);
            let proven = found.is_some_and(|all| all.iter().all(|one| one.code.proven));
            (found.is_some() && proven == matches!(expected, Proven(_)), format!("{found:?}"))
        }
        Fault(text) => {
            let faults = snapshot.faults();
            (
                faults.iter().any(|one| one.weight == Weight::Wrong && one.says.contains(text)),
                format!("{faults:?}"),
            )
        }
        Harmless(name) => {
            let (schema, bare) = name.split_once('.').unwrap_or(("public", name));
            let named = snapshot.named(Some(schema), bare);
            let function = snapshot.reaching(bare).first().map(|one| &one.why);
            (matches!(named, Named::Harmless) && function.is_none(), format!("{named:?} {function:?}"))
        }
        Ambiguous(name) => {
            let named = snapshot.named(None, name);
            (matches!(named, Named::Ambiguous), format!("{named:?}"))
        }
        Missing => (matches!(table(), Named::Missing), format!("{:?}", table())),
        Sound => match table().relation() {
            Some(relation) => (
                snapshot.faults().iter().all(|one| one.weight == Weight::Costs)
                    && relation.fault.is_none()
                    && relation.refused == Default::default()
                    && relation.columns.iter().all(|column| column.fault.is_none())
                    && relation.reaches.is_none()
                    && relation.is_classified(),
                format!("{relation:?}"),
            ),
            None => (false, format!("{:?}", table())),
        },
    };
    if met { Ok(()) } else { Err(found) }
}

fn check_all(major: u32) {
    let server = start(major);
    let mut failures = Vec::new();
    for (name, sql, expectations) in CASES {
        server.execute("postgres", CLEAN).unwrap();
        let setup = sql.strip_prefix('-').map_or_else(|| format!("{TABLE}{sql}"), str::to_owned);
        server.execute("postgres", &setup).unwrap_or_else(|error| panic!("{name}: {error}"));
        let loaded =
            load_now(&server, "postgres", &policy()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let snapshot = Snapshot::new(loaded.parts);
        for (index, expected) in expectations.iter().enumerate() {
            if let Err(found) = holds(&snapshot, expected) {
                failures.push(format!("{name}, expectation {index}: found {found}"));
            }
        }
    }
    assert!(failures.is_empty(), "PostgreSQL {major}:\n{}", failures.join("\n"));
}

#[test]
fn finds_every_way_to_a_classified_column_on_15() {
    check_all(15);
}

#[test]
fn finds_every_way_to_a_classified_column_on_18() {
    check_all(18);
}

#[test]
fn finds_virtual_generated_columns_on_18() {
    let server = start(18);
    let sql = format!("{TABLE} ALTER TABLE customers ADD e text GENERATED ALWAYS AS (lower(email)) VIRTUAL");
    server.execute("postgres", &sql).unwrap();
    let snapshot = Snapshot::new(load_now(&server, "postgres", &policy()).unwrap().parts);
    holds(&snapshot, &Fault("column e is generated")).unwrap();
}

/// PostgreSQL 18 as built for the tests has no ICU, which nondeterministic collations need.
#[test]
fn finds_a_nondeterministic_collation_on_15() {
    let server = start(15);
    let sql = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
               CREATE TABLE customers (id int, email text COLLATE ci, ssn text COLLATE ci)";
    server.execute("postgres", sql).unwrap();
    let snapshot = Snapshot::new(load_now(&server, "postgres", &policy()).unwrap().parts);
    holds(&snapshot, &Fault("column email has a nondeterministic collation")).unwrap();
    assert!(holds(&snapshot, &Fault("column ssn has")).is_err(), "random mode does not compare");
}

#[test]
fn keeps_columns_in_order_with_their_fields_and_types() {
    for major in VERSIONS {
        let server = start(major);
        let sql = format!("{TABLE} ALTER TABLE customers DROP name");
        server.execute("postgres", &sql).unwrap();
        let mut policy = policy();
        policy.fields.push(named(Field { database: Some("elsewhere".into()), ..field("visits", None) }));
        let loaded = load_now(&server, "postgres", &policy).unwrap();
        assert_eq!(loaded.parts.fields.len(), 2);
        let relation = &loaded.parts.relations[0];
        let columns: Vec<_> =
            relation.columns.iter().map(|c| (&*c.name, c.number, c.type_oid, c.field)).collect();
        assert_eq!(
            columns,
            [
                ("id", 1, 23, None),
                ("email", 3, 25, Some(FieldId(0))),
                ("ssn", 4, 1043, Some(FieldId(1))),
                ("visits", 5, 23, None)
            ]
        );
    }
}

#[test]
fn a_temporary_table_of_another_session_makes_no_name_ambiguous() {
    let server = start(15);
    server.execute("postgres", TABLE).unwrap();
    block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(server.port()).user(SUPERUSER).dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE TEMP TABLE customers (id int)").await.unwrap();
        let service = connect(&server, &account(), "postgres").await.unwrap();
        let snapshot = Snapshot::new(
            load(&service, "postgres", &policy(), &mut Default::default()).await.unwrap().parts,
        );
        assert!(matches!(snapshot.named(None, "customers"), Named::One(_)));
    });
}

#[test]
fn lists_functions_that_build_their_sql() {
    let server = start(15);
    let sql = format!(
        "{TABLE} CREATE FUNCTION f(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DELETE FROM ' || t; END $$"
    );
    server.execute("postgres", &sql).unwrap();
    let loaded = load_now(&server, "postgres", &policy()).unwrap();
    assert_eq!(loaded.notes.len(), 1);
    assert!(loaded.notes[0].contains("public.f"), "{:?}", loaded.notes);
}

#[test]
fn equal_catalogs_have_equal_content() {
    let server = start(15);
    server.execute("postgres", TABLE).unwrap();
    let content = || load_now(&server, "postgres", &policy()).unwrap().content;
    let before = content();
    server.execute("postgres", "CREATE TABLE unrelated (id int)").unwrap();
    assert_eq!(content(), before);
    server.execute("postgres", "CREATE VIEW v AS SELECT email FROM customers").unwrap();
    assert_ne!(content(), before);
}

#[test]
fn a_refused_login_keeps_the_servers_sqlstate() {
    let server = start(15);
    let error = block_on(connect(&server, &account(), "nowhere")).err().unwrap();
    assert_eq!(error.sqlstate(), Some("3D000"));
    block_on(async {
        let service = connect(&server, &account(), "postgres").await.unwrap();
        let error = service.batch("CREATE TABLE t (id int)").await.err().unwrap();
        assert_eq!(error.sqlstate(), Some("25006"), "the service session is read-only");
        let rows = service.rows("SHOW application_name", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), "sealgate");
    });
}

#[test]
fn a_column_that_is_only_recorded_may_be_of_any_type_and_have_a_default() {
    let server = start(18);
    server.execute("postgres", &format!("{TABLE} ALTER TABLE customers ALTER visits SET DEFAULT 0")).unwrap();
    for (mode, sound) in [(None, true), (Some(Mode::Random), false)] {
        let loaded = load_now(&server, "postgres", &of(vec![named(field("visits", mode))])).unwrap();
        assert_eq!(holds(&Snapshot::new(loaded.parts), &Sound).is_ok(), sound);
    }
}

#[test]
fn an_ordinary_role_can_load() {
    for major in VERSIONS {
        let reader = User { name: "reader".into(), password: Some("x".into()), attributes: String::new() };
        let options = Options {
            major: Some(major),
            authentication: Authentication::Scram,
            users: vec![reader],
            ..Options::default()
        };
        let server = Throwaway::start(&options).unwrap();
        let sql = "CREATE SCHEMA closed; CREATE VIEW closed.v AS SELECT email FROM customers; \
                   REVOKE ALL ON customers FROM PUBLIC; REVOKE ALL ON SCHEMA closed FROM PUBLIC";
        server.execute("postgres", &format!("{TABLE}{sql}")).unwrap();
        let account = ServiceAccount { user: "reader".into(), password: Some("x".to_owned().into()) };
        let loaded = block_on(async {
            let service = connect(&server, &account, "postgres").await.unwrap();
            load(&service, "postgres", &policy(), &mut Default::default()).await.unwrap()
        });
        let snapshot = Snapshot::new(loaded.parts);
        holds(&snapshot, &Passes("v")).unwrap();
        holds(&snapshot, &Sound).unwrap();
    }
}

#[test]
fn a_source_of_any_length_closes_the_gate_to_nobody() {
    let server = start(15);
    let sql = "DO $d$ BEGIN EXECUTE format('CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS %L', \
               'BEGIN ' || repeat(' ', 65 << 20) || ' END'); END $d$";
    server.execute("postgres", &format!("{TABLE}{sql}")).unwrap();
    let snapshot = Snapshot::new(load_now(&server, "postgres", &policy()).unwrap().parts);
    holds(&snapshot, &Unproven("f")).unwrap();
    holds(&snapshot, &Sound).unwrap();
}

#[test]
fn a_pattern_classifies_what_each_schema_has_and_awaits_the_rest() {
    for major in VERSIONS {
        let server = start(major);
        let mut entry = field("email", Some(Mode::Equality));
        entry.table.schema = "t_*".into();
        if let Some(domain) = &mut entry.domain {
            domain.name = DomainName("email@{schema}".into());
        }
        let policy = of(vec![PolicyField { schemas: SchemaPattern::new(&["t_", ""]), field: entry }]);
        let snapshot = || Snapshot::new(load_now(&server, "postgres", &policy).unwrap().parts);
        let nothing = snapshot();
        assert!(nothing.fields().is_empty() && !nothing.classifies_nothing());
        assert!(matches!(nothing.named(None, "customers"), Named::Missing));
        assert!(matches!(nothing.named(Some("public"), "customers"), Named::Harmless));
        server
            .execute(
                "postgres",
                "CREATE SCHEMA t_b; CREATE TABLE t_b.customers (id int, email text) PARTITION BY LIST (id); \
                 CREATE SCHEMA t_a; CREATE TABLE t_a.customers (email text); \
                 CREATE SCHEMA t_c; CREATE VIEW t_c.customers AS SELECT 1 AS id; \
                 CREATE TABLE public.customers (email text); CREATE TEMP TABLE customers (email text); \
                 CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(email) FROM t_a.customers'; \
                 CREATE VIEW v AS SELECT email FROM t_b.customers",
            )
            .unwrap();
        let loaded = snapshot();
        let fields: Vec<String> = loaded
            .fields()
            .iter()
            .map(|field| format!("{} {} {}", field.id.0, field.path(), field.domain.as_ref().unwrap().name))
            .collect();
        assert_eq!(fields, ["0 t_a.customers.email email@t_a", "1 t_b.customers.email email@t_b"]);
        for (schema, expected) in [
            (Some("t_a"), "One"),
            (Some("t_b"), "One"),
            (Some("t_c"), "Harmless"),
            (Some("t_d"), "Missing"),
            (Some("public"), "Harmless"),
            (None, "Ambiguous"),
        ] {
            let found = format!("{:?}", loaded.named(schema, "customers"));
            assert!(found.starts_with(expected), "{schema:?}: {found}");
        }
        holds(&loaded, &Calls("f", "names customers")).unwrap();
        holds(&loaded, &Passes("v")).unwrap();
        // Domains of two schemas are two.
        server
            .execute(
                "postgres",
                "ALTER TABLE t_a.customers ADD UNIQUE (email); CREATE SCHEMA t_e; \
                 CREATE TABLE t_e.customers (email text REFERENCES t_a.customers (email))",
            )
            .unwrap();
        let loaded = snapshot();
        let Named::One(relation) = loaded.named(Some("t_e"), "customers") else { panic!() };
        let fault = relation.columns[0].fault.as_ref();
        assert!(fault.unwrap().contains("ties column email"), "{relation:?}");
    }
}
