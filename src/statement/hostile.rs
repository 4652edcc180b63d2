//! Texts made to break a parser: none may panic or abort (one that takes long meets the
//! runner's time limit); and no mutation of a
//! supported statement may let a value through.

use super::claims::supported;
use super::shop::{READING, judged, shop};
use super::{
    Encoding, Limits, Prefilter, Reading, STACK_BYTES_MIN, analyse, fuzz_analyse, quote_sealed, splice,
};

fn on_the_smallest_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES_MIN).spawn(work).unwrap().join().unwrap();
}

fn repeated(head: &str, part: &str, count: usize, tail: &str) -> String {
    format!("{head}{}{tail}", part.repeat(count))
}

#[test]
fn survives_texts_that_nest_or_repeat() {
    on_the_smallest_stack(|| {
        for (what, text) in [
            ("+", repeated("SELECT 1", "+1", 36_000, " FROM customers")),
            ("-", repeated("SELECT ", "- ", 90_000, "1 FROM customers")),
            ("not", repeated("SELECT id FROM customers WHERE ", "NOT ", 90_000, "true")),
            ("or", repeated("SELECT id FROM customers WHERE email = 'a'", " OR email = 'a'", 40_000, "")),
            ("(", repeated("SELECT id FROM customers WHERE ", "(", 250, &format!("true{}", ")".repeat(250)))),
            ("((", repeated("SELECT ", "(", 100_000, " FROM customers")),
            ("cast", repeated("SELECT '1'", "::text", 60_000, " FROM customers")),
            ("index", repeated("SELECT a", "[1]", 40_000, " FROM customers")),
            (
                "select",
                repeated(
                    "SELECT id FROM customers WHERE ",
                    "EXISTS (SELECT ",
                    250,
                    &format!("1{}", ")".repeat(250)),
                ),
            ),
            ("union", repeated("SELECT id FROM customers", " UNION SELECT 1", 20_000, "")),
            ("join", repeated("SELECT 1 FROM customers", " CROSS JOIN x", 20_000, "")),
            ("from", repeated("SELECT 1 FROM customers", ", x", 40_000, "")),
            ("case", repeated("SELECT ", "CASE WHEN true THEN ", 30_000, "1 FROM customers")),
            ("comment", format!("SELECT 1 {} {} FROM customers", "/*".repeat(50_000), "*/".repeat(50_000))),
            ("statements", repeated("SELECT id FROM customers", ";SELECT 1", 50_000, "")),
            ("dots", repeated("SELECT a", ".a", 60_000, " FROM customers")),
            ("in", repeated("SELECT id FROM customers WHERE email IN ('a'", ",'a'", 40_000, ")")),
            ("rows", repeated("INSERT INTO customers (id, email) VALUES (1,'a')", ",(1,'a')", 15_000, "")),
            ("string", repeated("SELECT id FROM customers WHERE note = '", "''", 400_000, "'")),
            ("quotes", repeated("SELECT id FROM customers WHERE note = ", "'' ", 40_000, "")),
            ("lines", repeated("SELECT id FROM customers WHERE note = ", "''\n", 40_000, "")),
            ("$", repeated("SELECT id FROM customers", "$", 90_000, "")),
            ("nul", "SELECT id FROM customers\0".to_owned()),
            (
                "in in",
                repeated(
                    "SELECT id FROM customers WHERE ",
                    "(",
                    40,
                    &format!("id{}", " IN (1,2))".repeat(40)),
                ),
            ),
        ] {
            match judged(&text) {
                Ok(facts) => assert!(!facts.statements.is_empty(), "{what} was taken for nothing"),
                Err(unproven) => assert!(!unproven.hint.is_empty(), "{what} was refused without a remedy"),
            }
        }
    });
}

#[test]
fn what_multiplies_or_is_looked_up_without_end_is_refused_in_bounded_work() {
    on_the_smallest_stack(|| {
        let stars = |depth: usize, width: usize| {
            (0..depth).fold("SELECT * FROM customers".to_owned(), |query, level| {
                format!("SELECT {} FROM ({query}) s{level}", vec!["*"; width].join(","))
            })
        };
        let sources = |count: usize, one: &str| {
            let all: Vec<String> = (0..count).map(|at| one.replace('#', &at.to_string())).collect();
            format!("SELECT 1 FROM customers c, {}", all.join(", "))
        };
        let names = format!("{} WHERE {}", sources(3_000, "x a#"), vec!["y"; 20_000].join(" AND "));
        for (text, reason) in [
            (stars(12, 4), "too-wide"),
            (stars(2, 200), "too-wide"),
            (stars(20, 2), "too-wide"),
            (sources(10_000, "abs(1) a#"), "too-costly"),
            (sources(10_000, "LATERAL (SELECT 1) a#"), "too-costly"),
            (names, "too-costly"),
        ] {
            assert_eq!(judged(&text).err().map(|one| one.reason), Some(reason), "{}", &text[..60]);
        }
        for text in
            [stars(12, 1), stars(1, 200), sources(300, "abs(1) a#"), sources(300, "LATERAL (SELECT 1) a#")]
        {
            assert!(judged(&text).is_ok(), "{}", &text[..60]);
        }
    });
}

#[test]
fn threads_judge_side_by_side() {
    let cases = supported();
    let expected: Vec<_> = cases.iter().map(|(sql, _)| judged(sql).ok()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cases, expected) = (&cases, &expected);
            let work = move || {
                for round in 0..20 {
                    for at in 0..cases.len() {
                        let at = (at * 7 + thread + round) % cases.len();
                        assert!(judged(cases[at].0).ok() == expected[at], "{}", cases[at].0);
                        // An error in one thread unwinds inside the grammar's C code.
                        assert!(judged("SELECT customers FROM FROM").is_err());
                    }
                }
            };
            std::thread::Builder::new().stack_size(STACK_BYTES_MIN).spawn_scoped(scope, work).unwrap();
        }
    });
}

#[test]
fn refuses_bytes_that_the_server_could_read_otherwise() {
    let reason = |text: &[u8], encoding| {
        let reading = Reading {
            standard_conforming_strings: true,
            encoding,
            server_utf8: true,
            declared: crate::catalog::Declared::Nothing,
        };
        analyse(text, reading, shop().names(None), &Limits::default()).err().map(|unproven| unproven.reason)
    };
    assert_eq!(reason(b"SELECT id FROM customers WHERE note = '\xff'", Encoding::Utf8), Some("not-utf8"));
    assert_eq!(reason("SELECT 'ä' FROM customers".as_bytes(), Encoding::Other), Some("encoding"));
    assert_eq!(reason("SELECT 'ä' FROM customers".as_bytes(), Encoding::SqlAscii), None);
    assert_eq!(reason(b"SELECT id FROM customers", Encoding::Other), None);
    assert_eq!(reason(b"SELECT id\0 FROM customers", Encoding::Utf8), Some("not-utf8"));
    let off = Reading {
        standard_conforming_strings: false,
        encoding: Encoding::Utf8,
        server_utf8: true,
        declared: crate::catalog::Declared::Nothing,
    };
    let reason = |text: &str| {
        analyse(text.as_bytes(), off, shop().names(None), &Limits::default()).err().map(|one| one.reason)
    };
    assert_eq!(reason("INSERT INTO customers (email) VALUES ('a')"), None);
    assert_eq!(reason(r"INSERT INTO customers (email) VALUES ('a\'b')"), Some("readers-disagree"));
    assert_eq!(reason(r"INSERT INTO customers (email, note) VALUES ('a', '\\')"), None);
    assert_eq!(
        reason(r"INSERT INTO customers (email, note) VALUES ('a', '\', ''b')"),
        Some("readers-disagree")
    );
}

#[test]
fn prefilter_hits_every_spelling_and_spares_the_rest() {
    let prefilter = Prefilter::new(&shop());
    for text in [
        "select * from CUSTOMERS",
        "SELECT U&\"c\\0075stomers\"",
        "DO $$x$$",
        "do\nlanguage sql",
        "EXECUTE x",
        "FETCH 1 FROM x",
        "select Query_To_Xml('x')",
        "SELECT reach_all()",
        "CREATE FUNCTION f",
        "ALTER SCHEMA a",
        "SET NAMES 'x'",
        "SET Client_Encoding TO 'x'",
        "MOVE x",
        "SELECT \"customers\"",
        "x do nothingness",
    ] {
        assert!(prefilter.hits(text.as_bytes()), "{text}");
    }
    for text in [
        "SELECT 1",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SET search_path TO x",
        "SELECT domain, undo FROM todo",
        "INSERT INTO x VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO x VALUES (1) ON CONFLICT (a) DO  UPDATE SET a = 1",
        "SELECT executed_at, prefetch, remove, my_schema FROM information_schema.tables",
        "",
    ] {
        assert!(!prefilter.hits(text.as_bytes()), "{text}");
    }
    let nothing = crate::catalog::Snapshot::new(crate::catalog::SnapshotParts::default());
    assert!(!Prefilter::new(&nothing).hits(b"DO $$x$$"));
}

#[test]
fn shapes_hold_no_literal_and_no_comment() {
    for (sql, expected) in [
        ("SELECT id FROM customers WHERE email = 'Sentinel'", "SELECT id FROM customers WHERE email = ?"),
        (
            "SELECT id FROM customers WHERE email='S' AND note=E'Sent\\'inel' -- Sentinel\n AND id > 4711",
            "SELECT id FROM customers WHERE email=? AND note=? AND id > ?",
        ),
        (
            "SELECT id, $q$Sentinel$q$, $$Sentinel$$ FROM customers WHERE city = $1 /* Sentinel */",
            "SELECT id, ?, ? FROM customers WHERE city = $1",
        ),
        (
            "SELECT 0x1F, 1_000, 1.5e10, .5, -1, B'01', X'1F', U&'Sentinel', email FROM customers",
            "SELECT ?, ?, ?, ?, -?, ?, ?, ?, email FROM customers",
        ),
        (
            "SELECT email AS \"Mixed Case\" FROM customers LIMIT 10",
            "SELECT email AS \"Mixed Case\" FROM customers LIMIT ?",
        ),
        (
            "SELECT interval '1 Sentinel', date 'Sentinel', email FROM customers",
            "SELECT interval ?, date ?, email FROM customers",
        ),
        (
            "SELECT c.email FROM customers c, orders o WHERE o.who = \"a@b\"",
            "SELECT c.email FROM customers c, orders o WHERE o.who = \"?\"",
        ),
        (
            "SELECT \"C\".\"email\" AS \"Mail\" FROM \"customers\" \"C\", \"orders\" o WHERE o.\"who\" = \"Sentinel\" OR o.who = o.\"Sentinel Smith\"",
            "SELECT \"C\".\"email\" AS \"Mail\" FROM \"customers\" \"C\", \"orders\" o WHERE o.\"who\" = \"?\" OR o.who = o.\"?\"",
        ),
    ] {
        let facts = judged(sql).unwrap_or_else(|one| panic!("{sql}: {} {}", one.reason, one.detail));
        assert_eq!(&*facts.statements[0].shape, expected);
        assert_eq!(facts.statements[0].fingerprint.len(), 16);
    }
    let long = repeated("SELECT email", ", 'ä' AS ä", 1000, " FROM customers");
    let facts = judged(&long).unwrap();
    assert!(facts.statements[0].shape.len() <= 2048 && facts.statements[0].shape.len() > 2000);
    let print = |sql: &str| judged(sql).unwrap().statements[0].fingerprint.clone();
    let one = print("SELECT id FROM customers WHERE email = 'a'");
    assert_eq!(one, print("SELECT id FROM  customers WHERE email = 'b'"));
    assert_ne!(one, print("SELECT id FROM customers WHERE city = 'b'"));
}

#[test]
fn refusals_do_not_repeat_what_may_be_a_value() {
    for sql in [
        "SELECT id FROM customers WHERE email = \"Sentinel\"",
        "SELECT \"Sentinel\".id FROM customers",
        "INSERT INTO customers (\"Sentinel\") VALUES (1)",
        "UPDATE customers SET email = reverse('Sentinel')",
        "INSERT INTO customers (email) VALUES (N'Sentinel')",
        "SELECT \"Sentinel\"(email) FROM customers",
        "SELECT email::\"Sentinel\" FROM customers",
        "SELECT coalesce(email, nick, 'Sentinel') FROM customers",
        "WITH \"Sentinel\" AS (SELECT 1) UPDATE \"Sentinel\" SET a = 1 FROM customers",
        "DO LANGUAGE \"Sentinel\" 'customers'",
        "SELECT id FROM customers WHERE email = 'Sentinel",
        "SELECT id FROM customers c WHERE c.\"Sentinel\" = 1",
    ] {
        let unproven = judged(sql).expect_err(sql);
        let shown = format!("{}{}{}", unproven.reason, unproven.detail, unproven.hint);
        assert!(!shown.contains("Sentinel"), "{sql}: {shown}");
        assert!(!unproven.detail.is_empty() && !unproven.hint.is_empty(), "{sql}");
    }
}

#[test]
fn a_hint_at_lower_case_names_all_that_it_takes() {
    for sql in [
        "SELECT id FROM customers WHERE lower(phone) = lower('a')",
        "SELECT id FROM customers WHERE upper(email::text) = upper($1)",
        "SELECT id FROM customers WHERE email ILIKE 'a'",
    ] {
        let hint = judged(sql).expect_err(sql).hint;
        assert!(hint.contains("seal = \"equality\" and normalize = \"lowercase\""), "{sql}: {hint}");
    }
    // Lower case gives no meaning to what does not look at case alone.
    for sql in ["SELECT trim(email) FROM customers", "SELECT id FROM customers WHERE btrim(phone) = 'a'"] {
        let hint = judged(sql).expect_err(sql).hint;
        assert!(!hint.contains("normalize"), "{sql}: {hint}");
    }
}

/// xorshift64*: the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound.max(1)
    }
}

const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "\\",
    "E'",
    "U&'",
    "N'",
    "$$",
    "$q$",
    "--",
    "/*",
    "*/",
    "\n",
    ";",
    "(",
    ")",
    ",",
    ".",
    "*",
    "::text",
    "::int",
    " || ",
    " = ",
    " <> ",
    " OR ",
    " AND ",
    " NOT ",
    "email",
    "phone",
    "customers",
    "c",
    " AS ",
    "ONLY ",
    "$1",
    "$2",
    "NULL",
    "DEFAULT",
    "'x'",
    "1",
    " IN ",
    " ANY",
    "ARRAY[",
    "]",
    " COLLATE \"C\"",
    " UNION ",
    "SELECT ",
    " FROM ",
    " WHERE ",
    "x",
    "OPERATOR(pg_catalog.||)",
    " ISNULL",
    "lower(",
    "-1",
    "\u{e4}",
    "\u{a0}",
    "\t",
    "LATERAL ",
    " USING ",
];

fn mutated(dice: &mut Dice, sql: &str) -> String {
    let mut characters: Vec<char> = sql.chars().collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(characters.len() + 1);
        match dice.below(4) {
            0 if at < characters.len() => {
                characters.remove(at);
            }
            1 if at < characters.len() => {
                let end = (at + 1 + dice.below(12)).min(characters.len());
                let piece: Vec<char> = characters[at..end].to_vec();
                let to = dice.below(characters.len() + 1);
                characters.splice(to..to, piece);
            }
            2 if at < characters.len() => {
                let end = (at + 1 + dice.below(8)).min(characters.len());
                characters.drain(at..end);
            }
            _ => {
                let piece = PIECES[dice.below(PIECES.len())];
                characters.splice(at..at, piece.chars());
            }
        }
    }
    characters.into_iter().collect()
}

/// Every constant that the tree compares with or assigns to a bare classified column,
/// found without the walker: by printing the tree flat and looking for its neighbours.
fn sentinel_beside_a_sealed_column(sql: &str) -> bool {
    let Ok(parsed) = pg_query::parse(sql, 0) else { return false };
    parsed.protobuf.stmts.iter().any(|statement| {
        let tree = serde_json::to_value(statement).unwrap();
        let flat = tree.to_string();
        // Beside another table, a bare name need not be the sealed column.
        let mut relations = flat.split("\"relname\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let classified =
            flat.contains("\"relname\"") && relations.all(|name| name == "customers" || name == "leads");
        classified && beside(&tree)
    })
}

fn is_sealed_column(node: &serde_json::Value) -> bool {
    node.pointer("/node/ColumnRef/fields")
        .and_then(|fields| fields.as_array())
        .and_then(|fields| fields.last())
        .and_then(|last| last.pointer("/node/String/sval"))
        .is_some_and(|name| name == "email" || name == "city")
}

fn holds_sentinel(node: &serde_json::Value) -> bool {
    node.to_string().contains("Sentinel")
}

fn beside(tree: &serde_json::Value) -> bool {
    use serde_json::Value;
    match tree {
        Value::Object(map) => {
            if let Some(expression) = map.get("AExpr") {
                let (left, right) = (&expression["lexpr"], &expression["rexpr"]);
                if is_sealed_column(left) && holds_sentinel(right)
                    || is_sealed_column(right) && holds_sentinel(left)
                {
                    return true;
                }
            }
            if let Some(update) = map.get("UpdateStmt") {
                for target in update["target_list"].as_array().into_iter().flatten() {
                    let target = &target["node"]["ResTarget"];
                    let name = target["name"].as_str().unwrap_or_default();
                    if matches!(name, "email" | "phone" | "city") && holds_sentinel(&target["val"]) {
                        let of = update["relation"]["relname"].as_str();
                        let many = target["val"].to_string().contains("MultiAssignRef");
                        if of == Some("customers") && !many {
                            return true;
                        }
                    }
                }
            }
            if let Some(insert) = map.get("InsertStmt")
                && insert["relation"]["relname"] == "customers"
            {
                let columns: Vec<&str> = insert["cols"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|column| column["node"]["ResTarget"]["name"].as_str())
                    .collect();
                let columns = if columns.is_empty() {
                    vec!["id", "email", "phone", "nick", "city", "note"]
                } else {
                    columns
                };
                let rows = insert["select_stmt"]["node"]["SelectStmt"]["values_lists"].as_array();
                for row in rows.into_iter().flatten() {
                    let items = row["node"]["List"]["items"].as_array();
                    for (column, item) in columns.iter().zip(items.into_iter().flatten()) {
                        if matches!(*column, "email" | "phone" | "city") && holds_sentinel(item) {
                            return true;
                        }
                    }
                }
            }
            map.values().any(beside)
        }
        Value::Array(items) => items.iter().any(beside),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[test]
fn the_oracle_of_the_mutations_sees_a_leak() {
    for leak in [
        "UPDATE customers SET email = 'Sentinel'",
        "INSERT INTO customers (id, city) VALUES (1, lower('Sentinel'))",
        "INSERT INTO customers VALUES (1, 'Sentinel')",
        "SELECT id FROM customers WHERE 'x' || 'Sentinel' = email",
        "SELECT id FROM customers c WHERE c.city IN ('a', 'Sentinel')",
    ] {
        assert!(sentinel_beside_a_sealed_column(leak), "{leak}");
    }
    assert!(!sentinel_beside_a_sealed_column("SELECT id FROM customers WHERE note = 'Sentinel'"));
}

#[test]
fn no_mutation_lets_a_value_through_beside_a_sealed_column() {
    let mut dice = Dice(0x5EA1_6A7E);
    let supported = supported();
    let snapshot = shop();
    let (mut proven, mut sealed) = (0, 0);
    for _ in 0..12_000 {
        let base = supported[dice.below(supported.len())].0.replace("'a'", "'Sentinel'");
        let sql = mutated(&mut dice, &base);
        let Ok(facts) = analyse(sql.as_bytes(), READING, snapshot.names(None), &Limits::default()) else {
            continue;
        };
        proven += 1;
        let mut spans: Vec<_> = facts
            .statements
            .iter()
            .flat_map(|statement| &statement.literals)
            .map(|literal| (literal.span.clone(), quote_sealed(b"SEALxxxx")))
            .collect();
        spans.sort_by_key(|(span, _)| span.start);
        sealed += spans.len();
        let spliced = String::from_utf8(splice(sql.as_bytes(), &spans).expect("sorted spans")).unwrap();
        // A mutation can make a name of it, which a shape may show.
        let quoted = sql.matches("Sentinel").count() == sql.matches("'Sentinel'").count();
        for statement in facts.statements.iter().filter(|_| quoted) {
            assert!(!statement.shape.contains("Sentinel"), "shape of {sql}");
        }
        assert!(!sentinel_beside_a_sealed_column(&spliced), "{sql}\n{spliced}");
    }
    assert!(proven > 1_000 && sealed > 300, "{proven} proven, {sealed} sealed");
}

#[test]
fn fuzz_entry_survives_mutated_bytes() {
    let mut dice = Dice(0xF022);
    let supported = supported();
    for _ in 0..4_000 {
        let base = supported[dice.below(supported.len())].0;
        let mut bytes = mutated(&mut dice, base).into_bytes();
        if !bytes.is_empty() && dice.below(3) == 0 {
            let at = dice.below(bytes.len());
            bytes[at] = u8::try_from(dice.below(256)).unwrap();
        }
        fuzz_analyse(&bytes);
    }
}

#[test]
fn a_recursive_query_in_a_recursive_query_is_not_walked_without_end() {
    let list = (0..500).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let nested = |depth: usize| {
        (0..depth).fold(format!("SELECT email FROM customers WHERE note IN ({list})"), |inner, _| {
            format!(
                "WITH RECURSIVE r AS (SELECT email AS e FROM customers UNION ALL ({inner})) SELECT e FROM r"
            )
        })
    };
    for depth in 0..6 {
        let facts = judged(&nested(depth)).unwrap_or_else(|one| panic!("{depth}: {}", one.detail));
        assert_eq!(facts.statements[0].reads.len(), 1, "{depth}");
    }
    for depth in 12..16 {
        assert_eq!(judged(&nested(depth)).expect_err("too costly").reason, "too-costly", "{depth}");
    }
}
