//! Functions in SQL over sealed columns: one that only passes them on is used like a view with arguments;
//! any other is refused by its own name, with the reason.

use crate::harness::{Raw, VERSIONS, await_that, search_server};
use crate::shop::{self, errors, firsts, records};

const SECRET: &str = "ada@sentinel.example";

const DEFINED: &str = "CREATE FUNCTION by_id(int) RETURNS SETOF customers LANGUAGE sql STABLE AS \
        'SELECT * FROM customers WHERE id = $1'; \
    CREATE FUNCTION mail_of(number int) RETURNS text LANGUAGE sql AS 'SELECT email FROM public.customers WHERE id = number'; \
    CREATE FUNCTION found(mail text, lowest int) RETURNS TABLE (n int, shown varchar, place text) LANGUAGE sql STRICT \
        SECURITY DEFINER SET search_path = public, pg_temp AS \
        $$ SELECT c.id, c.email, c.city FROM customers c WHERE (mail IS NULL OR c.email = mail) AND c.id >= lowest; $$; \
    CREATE FUNCTION numbers(mail text, OUT n int) RETURNS SETOF int LANGUAGE sql \
        BEGIN ATOMIC SELECT id FROM customers WHERE email = mail ORDER BY id; END; \
    CREATE FUNCTION either(text) RETURNS text LANGUAGE sql RETURN (SELECT coalesce(phone, $1) FROM customers WHERE id = 1); ";

fn ok(raw: &mut Raw, sql: &str) -> Vec<String> {
    let frames = raw.query(sql);
    assert_eq!(errors(&frames), [], "{sql}");
    firsts(&frames)
}

#[test]
fn a_function_that_passes_sealed_columns_on_is_used_like_a_view() {
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", DEFINED).unwrap();
        let (gate, tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(
            &mut raw,
            &format!(
                "INSERT INTO customers VALUES (1, '{SECRET}', NULL, 'Oslo', 'n'), (2, 'b@x', '+45', 'Rome', 'm')"
            ),
        );
        for (sql, answer) in [
            ("SELECT email FROM by_id(1)", SECRET),
            ("SELECT c.note FROM customers c, by_id(c.id) f WHERE f.email = 'b@x' LIMIT 1", "m"),
            ("SELECT mail_of(1)", SECRET),
            ("SELECT m FROM mail_of(number => 2) AS m", "b@x"),
            ("SELECT shown FROM found('{s}', 0)", SECRET),
            ("SELECT f.s FROM public.found(lowest := 2, mail := 'b@x') AS f(i, s) WHERE f.s <> '{s}'", "b@x"),
            ("SELECT n FROM numbers('{s}')", "1"),
            ("SELECT numbers((SELECT email FROM customers WHERE id = 2))", "2"),
            ("SELECT either('+44')", "+44"),
            ("SELECT place FROM found(mail_of(1), 1)", "Oslo"),
            ("SELECT id FROM customers WHERE email = mail_of(2)", "2"),
            ("UPDATE customers SET email = mail_of(1) WHERE id = 7 RETURNING 1", ""),
        ] {
            let answer: &[&str] = if answer.is_empty() { &[] } else { &[answer] };
            assert_eq!(ok(&mut raw, &sql.replace("{s}", SECRET)), answer, "{major}: {sql}");
        }
        raw.parse("", "SELECT n, shown FROM found($1, $2)", &[]);
        raw.bind("", "", &[], &[Some(SECRET.as_bytes()), Some(b"0")], &[]);
        raw.describe(b'P', "");
        raw.execute("", 0);
        let row = raw.sync().into_iter().find(|frame| frame.tag == b'D').unwrap().values();
        assert_eq!(row, [Some(b"1".to_vec()), Some(SECRET.as_bytes().to_vec())], "{major}");
        // What its body means is another thing since, and what it is, too.
        ok(&mut raw, "BEGIN");
        ok(&mut raw, "ALTER TABLE customers RENAME COLUMN note TO remark");
        assert_eq!(shop::states(&raw.query("SELECT mail_of(1)")), ["SG001"], "{major}");
        ok(&mut raw, "ROLLBACK");
        assert_eq!(ok(&mut raw, "SELECT mail_of(1)"), [SECRET]);
        server
            .execute("postgres", "CREATE FUNCTION mail_of(text) RETURNS text LANGUAGE sql AS 'SELECT $1'")
            .unwrap();
        await_that("a second function of the name", || {
            shop::states(&raw.query("SELECT mail_of(1)")) == ["SG001"]
        });
        assert!(!shop::holds(&tap.to_server(), b"sentinel.example"), "{major}");
        assert_eq!(search_server(&server, b"sentinel.example"), []);
        // On record is what is behind it.
        let read = |record: &serde_json::Value, field: &str| {
            record["kind"] == "intent" && record["fields"].to_string().contains(field)
        };
        for field in ["public.customers.email", "public.customers.phone", "public.customers.city"] {
            await_that("records of the fields behind the function", || {
                records(&gate).iter().any(|one| read(one, field))
            });
        }
    }
}

#[test]
fn what_cannot_be_followed_is_refused_by_name_for_that_function_alone() {
    let cases = [
        ("(int) RETURNS text LANGUAGE sql AS 'SELECT lower(email) FROM customers WHERE id = $1'", "lower"),
        (
            "(int) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE email = ''a@x'''",
            "a value of its own",
        ),
        ("(text) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE phone = $1'", "random"),
        (
            "(text) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE email = $1 AND note = $1'",
            "no meaning",
        ),
        ("(int) RETURNS bytea LANGUAGE sql AS 'SELECT email::bytea FROM customers WHERE id = $1'", ""),
        (
            "(varchar) RETURNS char(99) LANGUAGE sql AS 'SELECT email FROM customers WHERE note = $1'",
            "another type",
        ),
        ("(int) RETURNS SETOF text LANGUAGE sql AS 'SELECT 1; SELECT email FROM customers'", "several"),
        ("(int DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE id = $1'", ""),
        (
            "(VARIADIC int[]) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE id = ANY ($1)'",
            "",
        ),
        (
            "(int) RETURNS text LANGUAGE sql SET role = 'postgres' AS 'SELECT email FROM customers WHERE id = $1'",
            "",
        ),
        (
            "(int) RETURNS TABLE (a int, b text, c text, d text, e text) LANGUAGE sql AS 'SELECT * FROM customers'",
            "*",
        ),
        (
            "(int) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE note = E''\\\\x''",
            "backslash",
        ),
        (
            "(int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT email FROM customers LIMIT 1); END'",
            "",
        ),
        ("(int) RETURNS text LANGUAGE sql AS 'SELECT strange(email) FROM customers LIMIT 1'", ""),
        (
            "(text) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE note = strange($1)'",
            "strange",
        ),
    ];
    for major in VERSIONS {
        let server = shop::server(major);
        server
            .execute(
                "postgres",
                "CREATE FUNCTION strange(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'",
            )
            .unwrap();
        let mut made = Vec::new();
        for (number, (definition, why)) in cases.iter().enumerate() {
            let sql = format!("CREATE FUNCTION f{number}{definition}").replace("E''\\\\x''", "E''\\\\x'''");
            server.execute("postgres", &sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            made.push((number, why));
        }
        let (gate, tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(&mut raw, &format!("INSERT INTO customers (id, email) VALUES (1, '{SECRET}')"));
        for (number, why) in made {
            for sql in
                [format!("SELECT f{number}('{SECRET}')"), format!("SELECT * FROM f{number}('{SECRET}')")]
            {
                let frames = raw.query(&sql);
                let error = frames.iter().find(|frame| frame.tag == b'E').unwrap_or_else(|| panic!("{sql}"));
                let detail = error.field(b'D').unwrap();
                assert_eq!(shop::states(&frames), ["SG001"], "{sql}");
                assert!(detail.contains(&format!("f{number}")) && detail.contains(why), "{sql}: {detail}");
            }
        }
        assert_eq!(ok(&mut raw, "SELECT email FROM customers WHERE id = 1"), [SECRET]);
        assert!(!shop::holds(&tap.to_server(), b"sentinel.example"), "{major}");
    }
}
