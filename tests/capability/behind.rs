//! Code that stands behind what a statement names: what keeps an index or takes a sample, and what the
//! session's own transaction has defined, which nobody but the server knows before COMMIT.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sealgate::store::postgres::Throwaway;

use crate::harness::{Raw, Setup, VERSIONS};
use crate::opaque::{intents, look_again};
use crate::shop::{self, classified, open, records, states};

/// Code that cannot be followed and leaves a trace, which no rollback takes back, of each value of a client that it
/// is given.
const TRAP: &str = "CREATE SEQUENCE trap; \
    CREATE FUNCTION stash(v text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS \
      $$ BEGIN IF v LIKE 'secret-%' THEN EXECUTE 'SELECT nextval(''trap'')'; END IF; RETURN true; END $$; \
    CREATE FUNCTION stash2(v text, w text) RETURNS boolean LANGUAGE sql AS 'SELECT stash($1) AND stash($2)'; \
    CREATE FUNCTION stashing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM stash(NEW.item); RETURN NEW; END $$;";

fn is_trapped(server: &Throwaway) -> bool {
    let rows = server.query("postgres", "SELECT is_called::text FROM trap").unwrap();
    rows[0][0].as_deref() == Some("true")
}

#[test]
fn code_that_keeps_an_index_or_takes_a_sample_is_given_no_value() {
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", TRAP).unwrap();
        let operators: String = [
            ("<<<", "text_lt"),
            ("<<=", "text_le"),
            ("===", "texteq"),
            (">>=", "text_ge"),
            (">>>", "text_gt"),
        ]
        .map(|(name, function)| {
            format!("CREATE OPERATOR {name} (LEFTARG = text, RIGHTARG = text, FUNCTION = {function});")
        })
        .concat();
        server
            .execute("postgres", &format!(
                "{operators} CREATE FUNCTION compares(a text, b text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
                   $$ BEGIN PERFORM stash(a); PERFORM stash(b); RETURN bttextcmp(a, b); END $$; \
                 CREATE OPERATOR CLASS kept FOR TYPE text USING btree AS OPERATOR 1 <<<, OPERATOR 2 <<=, OPERATOR 3 ===, \
                   OPERATOR 4 >>=, OPERATOR 5 >>>, FUNCTION 1 compares(text, text); \
                 CREATE TABLE indexed (id int, t text); CREATE INDEX ON indexed (t kept); INSERT INTO indexed VALUES (0, 'z'), (1, 'y'); \
                 CREATE VIEW over_it AS SELECT * FROM indexed; \
                 CREATE TABLE parted (id int, t text) PARTITION BY RANGE (t kept); \
                 CREATE TABLE part PARTITION OF parted FOR VALUES FROM ('a') TO ('z'); \
                 CREATE FUNCTION samples(internal) RETURNS tsm_handler LANGUAGE internal AS 'tsm_bernoulli_handler'; \
                 CREATE FUNCTION behind(internal) RETURNS index_am_handler LANGUAGE internal AS 'hashhandler'; \
                 CREATE ACCESS METHOD other TYPE INDEX HANDLER behind; \
                 CREATE OPERATOR CLASS hashed FOR TYPE text USING other AS OPERATOR 1 =, FUNCTION 1 hashtext(text); \
                 CREATE TABLE elsewhere (id int, t text); CREATE INDEX ON elsewhere USING other (t hashed)",
            ))
            .unwrap();
        let gate = classified(Setup::before(server.address())).start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for (sql, state) in [
            ("INSERT INTO indexed (id, t) VALUES (2, 'secret-a')", "SG001"),
            ("UPDATE indexed SET t = 'secret-b'", "SG001"),
            ("SELECT id FROM indexed WHERE t === 'secret-c'", "SG001"),
            ("SELECT id FROM over_it WHERE t === 'secret-d'", "SG001"),
            ("INSERT INTO parted (id, t) VALUES (2, 'secret-e')", "SG001"),
            ("SELECT id FROM parted WHERE t <<< 'secret-f'", "SG001"),
            ("INSERT INTO elsewhere (id, t) VALUES (2, 'secret-g')", "SG001"),
            ("SELECT id FROM elsewhere WHERE t = 'secret-h'", "SG001"),
            ("SELECT id FROM orders TABLESAMPLE samples (50)", "SG001"),
            // Nothing is given to it.
            ("SELECT id FROM indexed", ""),
            ("SELECT id FROM over_it ORDER BY id", ""),
            ("DELETE FROM elsewhere", ""),
        ] {
            let expected: &[&str] = if state.is_empty() { &[] } else { &[state] };
            assert_eq!(states(&raw.query(sql)), expected, "{major}: {sql}");
        }
        assert!(!is_trapped(&server), "{major}");
        // The trap snaps where nothing is before it.
        server
            .execute("postgres", "SET enable_seqscan = off; SELECT id FROM indexed WHERE t === 'secret-z'")
            .unwrap();
        assert!(is_trapped(&server), "{major}");
    }
}

#[test]
fn methods_of_indexes_and_samples_that_come_with_the_server_stay_transparent() {
    for major in VERSIONS {
        let server = shop::server(major);
        let made = server.execute(
            "postgres",
            "CREATE EXTENSION bloom; CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gist; CREATE EXTENSION btree_gin; \
             CREATE EXTENSION tsm_system_rows; CREATE EXTENSION intarray; CREATE TABLE things (id int, t text, n int[]); \
             CREATE INDEX ON things USING bloom (t); CREATE INDEX ON things USING gin (t gin_trgm_ops); \
             CREATE INDEX ON things USING gist (t); CREATE INDEX ON things USING gist (n gist__int_ops); \
             CREATE INDEX ON things USING gin (id); CREATE INDEX ON things USING brin (id); \
             CREATE INDEX ON things USING spgist (t); CREATE INDEX ON things (t text_pattern_ops)",
        );
        made.unwrap();
        let (gate, _tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for sql in [
            "INSERT INTO things (id, t, n) VALUES (1, 'x', '{1,2}')",
            "SELECT id FROM things WHERE t = 'x' AND t LIKE 'x%' AND id = 1",
            "SELECT id FROM things TABLESAMPLE system_rows (5)",
            "SELECT id FROM things TABLESAMPLE system (50) REPEATABLE (1)",
            "SELECT id FROM things TABLESAMPLE pg_catalog.bernoulli (50) WHERE t = 'x'",
        ] {
            let before = intents(&gate);
            assert_eq!(states(&raw.query(sql)), [""; 0], "{major}: {sql}");
            assert_eq!(intents(&gate), before, "{major}: {sql} left {:?}", records(&gate).last());
        }
    }
}

/// What a session defines over that code, what takes it away, and statements that give a value to it: the value is `$1`.
const DEFINED: [(&str, &str, &[&str]); 8] = [
    (
        "CREATE DOMAIN dom AS text CHECK (stash(VALUE))",
        "DROP DOMAIN IF EXISTS dom CASCADE",
        &["SELECT $1::text::dom", "INSERT INTO plain (t) VALUES ($1::text::dom)"],
    ),
    (
        "CREATE TABLE held (t text CHECK (stash(t)))",
        "DROP TABLE IF EXISTS held CASCADE",
        &["INSERT INTO held (t) VALUES ($1)", "INSERT INTO held SELECT $1 FROM generate_series(1, 2)"],
    ),
    (
        "ALTER TABLE orders ADD CONSTRAINT held CHECK (stash(item)) NOT VALID",
        "ALTER TABLE orders DROP CONSTRAINT IF EXISTS held",
        &["INSERT INTO orders (id, item) VALUES ((random() * 1e9)::int, $1)", "UPDATE orders SET item = $1"],
    ),
    (
        "CREATE TRIGGER held BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stashing()",
        "DROP TRIGGER IF EXISTS held ON orders",
        &["INSERT INTO orders (id, item) VALUES ((random() * 1e9)::int, $1)"],
    ),
    (
        "CREATE RULE held AS ON INSERT TO orders DO ALSO SELECT stash(NEW.item)",
        "DROP RULE IF EXISTS held ON orders",
        &["INSERT INTO orders (id, item) VALUES ((random() * 1e9)::int, $1)"],
    ),
    (
        "CREATE OPERATOR ==> (LEFTARG = text, RIGHTARG = text, FUNCTION = stash2)",
        "DROP OPERATOR IF EXISTS ==> (text, text)",
        &["SELECT $1::text ==> 'x'::text", "SELECT id FROM orders WHERE item ==> $1"],
    ),
    (
        "CREATE FUNCTION own(v text) RETURNS boolean LANGUAGE sql AS 'SELECT stash(v)'",
        "DROP FUNCTION IF EXISTS own(text)",
        &["SELECT own($1)", "SELECT id FROM orders WHERE own($1 || item)"],
    ),
    (
        "CREATE VIEW held_view AS SELECT id, item FROM orders WHERE stash(item) WITH CHECK OPTION",
        "DROP VIEW IF EXISTS held_view",
        &["INSERT INTO held_view (id, item) VALUES ((random() * 1e9)::int, $1)"],
    ),
];

const ENDS: [&str; 9] = [
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "DISCARD PLANS",
];

fn cleared(server: &Throwaway) {
    let all: Vec<&str> = DEFINED.iter().map(|(_, drop, _)| *drop).collect();
    server.execute("postgres", &all.join("; ")).unwrap();
}

/// A session that does some of this at random, in both protocols, and does not always wait for answers.
struct Player<'a> {
    raw: Raw,
    random: &'a mut StdRng,
    secrets: u32,
    /// Names of prepared statements that take a value, and of prepared definitions.
    takes: Vec<String>,
    defines: Vec<String>,
    said: Vec<String>,
    /// Statements with a value that were answered without an error, and refused.
    given: usize,
    refused: usize,
}

impl Player<'_> {
    fn secret(&mut self) -> String {
        self.secrets += 1;
        format!("secret-{}", self.secrets)
    }

    fn note(&mut self, states: &[String], gives: bool) {
        if gives {
            self.given += usize::from(states.is_empty());
            self.refused += usize::from(states.iter().any(|state| state == "SG001"));
        }
        if let Some(last) = self.said.last_mut() {
            last.push_str(&format!(" -> {states:?}"));
        }
    }

    fn query(&mut self, sql: &str, gives: bool) {
        self.said.push(sql.to_owned());
        let found = states(&self.raw.query(sql));
        self.note(&found, gives);
    }

    fn batch(&mut self, statements: &[(String, Option<String>)], gives: bool) {
        self.said.push(format!("batch {statements:?}"));
        for (sql, value) in statements {
            let types: &[u32] = if value.is_some() { &[25] } else { &[] };
            self.raw.parse("", sql, types);
            let values: Vec<Option<&[u8]>> = value.iter().map(|value| Some(value.as_bytes())).collect();
            self.raw.bind("", "", &[], &values, &[]);
            self.raw.execute("", 0);
            if self.random.random_bool(0.3) {
                self.raw.flush();
            }
        }
        let found = states(&self.raw.sync());
        self.note(&found, gives);
    }

    fn step(&mut self) {
        let (definition, drop, uses) = DEFINED.choose(self.random).unwrap();
        let using = (*uses.choose(self.random).unwrap()).to_owned();
        let end = *ENDS.choose(self.random).unwrap();
        let secret = self.secret();
        let spelled = using.replace("$1", &format!("'{secret}'"));
        match self.random.random_range(0..15) {
            0..=2 => self.query(end, false),
            3 | 4 => self.query(definition, false),
            5 => self.query(drop, false),
            6 => self.batch(&[((*definition).to_owned(), None)], false),
            7 | 8 => self.query(&spelled, true),
            9 => self.query(&format!("{definition}; {spelled}"), true),
            10 => {
                let end = (end.to_owned(), None);
                self.batch(&[((*definition).to_owned(), None), end, (using, Some(secret))], true);
            }
            11 => self.batch(&[(using, Some(secret))], true),
            12 => {
                let defines = self.random.random_bool(0.4);
                let names = if defines { &mut self.defines } else { &mut self.takes };
                let name = format!("{}{}", if defines { "d" } else { "t" }, names.len());
                names.push(name.clone());
                let (sql, types): (&str, &[u32]) = if defines { (*definition, &[]) } else { (&using, &[25]) };
                self.said.push(format!("parse {name}: {sql}"));
                self.raw.parse(&name, sql, types);
                let found = states(&self.raw.sync());
                self.note(&found, false);
            }
            13 => {
                // A name may stand for nothing, which is an error.
                let Some(name) = self.defines.choose(self.random).cloned() else { return };
                self.said.push(format!("execute {name}"));
                self.raw.bind("", &name, &[], &[], &[]);
                self.raw.execute("", 0);
                let found = states(&self.raw.sync());
                self.note(&found, false);
            }
            _ => {
                let Some(name) = self.takes.choose(self.random).cloned() else { return };
                self.said.push(format!("execute {name} with {secret}"));
                self.raw.bind("", &name, &[], &[Some(secret.as_bytes())], &[]);
                self.raw.execute("", 0);
                let found = states(&self.raw.sync());
                self.note(&found, true);
            }
        }
    }
}

#[test]
fn whatever_a_transaction_defines_and_takes_back_its_code_is_given_no_value() {
    const SEQUENCES: u64 = 60;
    const STEPS: usize = 16;
    let first: u64 =
        std::env::var("SEALGATE_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", &format!("{TRAP} CREATE TABLE plain (t text)")).unwrap();
        // Each of them is given a value where nothing is before the server.
        for (definition, drop, uses) in DEFINED {
            server.execute("postgres", "INSERT INTO orders (id, item) VALUES (1, 'x')").unwrap();
            for using in uses {
                let sql = using.replace("$1", "'secret-0'");
                server
                    .execute(
                        "postgres",
                        &format!("SELECT setval('trap', 1, false); {definition}; {sql}; {drop}"),
                    )
                    .unwrap();
                assert!(is_trapped(&server), "{major}: {definition}; {sql}");
            }
            server.execute("postgres", "DELETE FROM orders").unwrap();
        }
        server
            .execute(
                "postgres",
                "SELECT setval('trap', 1, false); INSERT INTO orders (id, item) VALUES (1, 'x')",
            )
            .unwrap();
        let gate = classified(Setup::before(server.address())).start();
        let (mut given, mut refused) = (0, 0);
        for sequence in 0..SEQUENCES {
            let seed = first.wrapping_add(sequence);
            let mut random = StdRng::seed_from_u64(seed);
            let raw = Raw::login(gate.address(), "postgres", "postgres");
            let mut player = Player {
                raw,
                random: &mut random,
                secrets: 0,
                takes: Vec::new(),
                defines: Vec::new(),
                said: Vec::new(),
                given: 0,
                refused: 0,
            };
            for _ in 0..STEPS {
                player.step();
            }
            assert!(
                !is_trapped(&server),
                "{major}: with SEALGATE_TEST_SEED={seed} a value was given to code:\n{}",
                player.said.join("\n")
            );
            given += player.given;
            refused += player.refused;
            player.raw.query("ROLLBACK");
            cleared(&server);
            look_again(&mut player.raw);
        }
        // Neither everything nor nothing is refused.
        assert!(given > 5 && refused > 30, "{major}: {given} given, {refused} refused");
    }
}
