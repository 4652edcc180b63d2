//! What is supported and what is refused, as tables of statements.

use super::shop::{CITY, EMAIL, LEAD, NICK, PHONE, judged, shop};
use super::{Executed, Prefilter, ResultColumn, StatementFacts};
use crate::catalog::FieldId;

/// `r:` reads, `d:` derived reads, `x:` those that an expression passes on, `s:` searches, `w:` writes, `l:` literals as
/// `source@field`, `p:` parameters as `$n@field`, with `[]` for arrays.
fn told(sql: &str, facts: &StatementFacts) -> String {
    let letter = |id: &FieldId| match *id {
        EMAIL => "e",
        PHONE => "p",
        NICK => "n",
        LEAD => "L",
        CITY => "c",
        _ => "?",
    };
    let mut parts = Vec::new();
    let derived = facts.outputs.iter().filter_map(|output| match output {
        ResultColumn::Derived(ids) => Some(ids.iter().copied()),
        ResultColumn::Plain
        | ResultColumn::Field(_)
        | ResultColumn::Sealed(..)
        | ResultColumn::Text(_)
        | ResultColumn::Run(_) => None,
    });
    let derived: Vec<FieldId> = derived.flatten().collect();
    let passed = facts.outputs.iter().filter_map(|output| match output {
        ResultColumn::Sealed(ids, _) | ResultColumn::Text(ids) => Some(ids.iter().copied()),
        ResultColumn::Plain | ResultColumn::Field(_) | ResultColumn::Derived(_) | ResultColumn::Run(_) => {
            None
        }
    });
    let passed: Vec<FieldId> = passed.flatten().collect();
    for (name, ids) in
        [("r", &facts.reads), ("d", &derived), ("x", &passed), ("s", &facts.searches), ("w", &facts.writes)]
    {
        if !ids.is_empty() {
            parts.push(format!("{name}:{}", ids.iter().map(letter).collect::<String>()));
        }
    }
    for literal in &facts.literals {
        parts.push(format!("{}@{}", &sql[literal.span.clone()], letter(&literal.field)));
    }
    for parameter in &facts.parameters {
        let array = if parameter.array { "[]" } else { "" };
        parts.push(format!("${}{array}@{}", parameter.number, letter(&parameter.field)));
    }
    parts.join(" ")
}

/// Every supported query, for mutation.
pub(super) fn supported() -> Vec<(&'static str, &'static str)> {
    [INSERTS, CHANGES, SELECTS].concat()
}

pub(in crate::statement) fn check_supported(cases: &[(&str, &str)]) {
    let prefilter = Prefilter::new(&shop());
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        assert!(prefilter.hits(sql.as_bytes()), "no hit: {sql}");
        let found = match judged(sql) {
            Ok(facts) => facts.statements.iter().map(|one| told(sql, one)).collect::<Vec<_>>().join(" ; "),
            Err(unproven) => format!("REFUSED {}: {}", unproven.reason, unproven.detail),
        };
        if found != *expected {
            wrong.push(format!("{sql}\n   expected {expected}\n   found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(in crate::statement) fn check_refused(cases: &[(&str, &str)]) {
    let prefilter = Prefilter::new(&shop());
    let mut wrong = Vec::new();
    for (sql, reason) in cases {
        assert!(prefilter.hits(sql.as_bytes()), "no hit: {sql}");
        match judged(sql) {
            Ok(facts) => wrong.push(format!("ALLOWED {sql}: {}", told(sql, &facts.statements[0]))),
            Err(unproven) if unproven.reason != *reason => {
                wrong.push(format!("{sql}: {} ({})", unproven.reason, unproven.detail));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const INSERTS: &[(&str, &str)] = &[
    ("INSERT INTO customers (id, email) VALUES (1, 'a@b')", "w:e 'a@b'@e"),
    (
        "INSERT INTO customers (email, phone) VALUES ('a','1'),('b',NULL),(DEFAULT,'3')",
        "w:ep 'a'@e '1'@p 'b'@e '3'@p",
    ),
    ("INSERT INTO customers VALUES (1, 'a', '2', 'n', 'c', 'x')", "w:epnc 'a'@e '2'@p 'c'@c"),
    ("INSERT INTO customers VALUES (1, $1, $2, $3, $4, $5)", "w:epnc $1@e $2@p $4@c"),
    ("INSERT INTO public.customers AS c (email) VALUES ($1::text) RETURNING c.email, id", "r:e w:e $1@e"),
    ("INSERT INTO customers (email) VALUES ('it''s'::varchar) RETURNING *", "r:epnc w:e 'it''s'@e"),
    (
        "INSERT INTO customers (email, note) VALUES ('a', lower('X') || now()::text) RETURNING id AS x",
        "w:e 'a'@e",
    ),
    ("INSERT INTO customers (email) VALUES ('a') ON CONFLICT DO NOTHING", "w:e 'a'@e"),
    (
        "INSERT INTO customers (email) VALUES ('a') ON CONFLICT (email) DO NOTHING RETURNING email AS mail",
        "r:e s:e w:e 'a'@e",
    ),
    (
        "INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET note = 'x'",
        "w:e 'a'@e",
    ),
    (
        "INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET email = excluded.email, note = excluded.note WHERE customers.email <> 'z'",
        "s:e w:e 'a'@e 'z'@e",
    ),
    ("INSERT INTO customers (note) VALUES ('x')", ""),
    ("INSERT INTO customers DEFAULT VALUES", ""),
    ("INSERT INTO orders (who) SELECT id FROM customers WHERE email = 'x'", "s:e 'x'@e"),
];

const CHANGES: &[(&str, &str)] = &[
    ("UPDATE customers SET email = lower(trim($1)) WHERE email = 'A'::varchar(3)", "s:e w:e 'A'@e $1@e"),
    ("UPDATE customers SET email = ltrim('a') WHERE $1 IS NULL OR email = upper($1)", "s:e w:e 'a'@e $1@e"),
    ("UPDATE customers SET email = 'a' WHERE id = 1", "w:e 'a'@e"),
    ("UPDATE customers SET email = 'a' WHERE CURRENT OF cur", "w:e 'a'@e"),
    (
        "UPDATE customers AS x SET email = $1, phone = NULL, note = $2 WHERE x.email = $3 RETURNING x.phone",
        "r:p s:e w:ep $1@e $3@e",
    ),
    ("UPDATE customers SET (email, phone) = ('a', 'b') WHERE email IN ('c')", "s:e w:ep 'a'@e 'b'@p 'c'@e"),
    ("UPDATE customers SET nick = upper(nick) WHERE id = 1", "w:n"),
    ("UPDATE customers c SET note = o.note FROM orders o WHERE o.who = c.id AND c.email = $1", "s:e $1@e"),
    ("UPDATE customers c SET email = l.email FROM leads l WHERE l.id = c.id", "s:L w:e"),
    ("UPDATE orders SET x = 1 WHERE who IN (SELECT id FROM customers WHERE email = $1)", "s:e $1@e"),
    ("DELETE FROM customers WHERE email = 'a'", "s:e w:epnc 'a'@e"),
    (
        "DELETE FROM customers c USING orders o WHERE o.who = c.id AND c.city = $1 RETURNING c.email",
        "r:e s:c w:epnc $1@c",
    ),
    ("TRUNCATE customers", "w:epnc"),
];

const SELECTS: &[(&str, &str)] = &[
    ("SELECT email FROM customers", "r:e"),
    ("select C.\"email\" as mail, phone from Customers C", "r:ep"),
    ("SELECT public.customers.email FROM public.customers", "r:e"),
    ("SELECT * FROM customers", "r:epnc"),
    ("SELECT c.* FROM customers c, orders o WHERE o.who = c.id", "r:epnc"),
    ("SELECT id, count(*) FROM customers GROUP BY id ORDER BY id LIMIT 5 OFFSET $1", ""),
    ("SELECT id FROM customers WHERE email = 'a'", "s:e 'a'@e"),
    (
        "SELECT id FROM customers WHERE 'a' = email AND $1 <> email OR NOT email != 'b'",
        "s:e 'a'@e 'b'@e $1@e",
    ),
    ("SELECT id FROM customers WHERE email IN ('a', $1, 'b')", "s:e 'a'@e 'b'@e $1@e"),
    ("SELECT id FROM customers WHERE email NOT IN ('a')", "s:e 'a'@e"),
    ("SELECT id FROM customers WHERE email = ANY($1)", "s:e $1[]@e"),
    (
        "SELECT id FROM customers WHERE email = ANY($1::text[]) AND city <> ALL(ARRAY['a','b'])",
        "s:ec 'a'@c 'b'@c $1[]@e",
    ),
    (
        "SELECT id FROM customers WHERE email = ANY(ARRAY[$1, 'a']::text[]) OR $2 = ANY(ARRAY[email, city])",
        "REFUSED domain-differs: public.customers.email and public.customers.city are not sealed in one domain",
    ),
    ("SELECT id FROM customers WHERE email = ANY(ARRAY[$1, 'a']::varchar[])", "s:e 'a'@e $1@e"),
    ("SELECT id FROM customers WHERE (email, city) = ('a', 'b')", "s:ec 'a'@e 'b'@c"),
    ("SELECT id FROM customers WHERE (email, id) IN (('a', 1), ('b', 2))", "s:e 'a'@e 'b'@e"),
    ("SELECT id FROM customers WHERE email IS NOT DISTINCT FROM 'a' AND phone IS NOT NULL", "s:ep 'a'@e"),
    ("SELECT id FROM customers WHERE $1 IS NULL OR email = $1", "s:e $1@e"),
    // As clients write it that number every place, or put the values into the text.
    ("SELECT id FROM customers WHERE ($1::text IS NULL OR email = $2) AND $3 = id", "s:e $1@e $2@e"),
    (
        "SELECT id FROM customers WHERE 'a'::text IS NOT NULL AND email = 'a' AND 'b' = note",
        "s:e 'a'@e 'a'@e",
    ),
    ("SELECT id FROM customers WHERE $1::text[] IS NULL OR email = ANY($1)", "s:e $1[]@e"),
    ("SELECT id FROM customers WHERE $1 IS NULL OR email = ANY($1::text[])", "s:e $1[]@e"),
    ("SELECT id FROM customers WHERE $1::text[] IS NULL OR email = ANY($2)", "s:e $1[]@e $2[]@e"),
    ("SELECT id FROM customers WHERE ($1::int IS NULL OR id = $1) AND email = $2", "s:e $2@e"),
    ("SELECT id FROM customers WHERE 'a' = '' OR email = 'a'", "s:e 'a'@e ''@e 'a'@e"),
    ("SELECT id FROM customers WHERE $1 = '' OR email = $1", "s:e ''@e $1@e"),
    ("SELECT id FROM customers WHERE nullif('a', '') IS NULL OR email = 'b'", "s:e 'a'@e ''@e 'b'@e"),
    ("UPDATE customers SET phone = 'c' WHERE 'a' = 'b' OR 'd' IS NULL", "w:p 'c'@p 'd'@p"),
    // Shown, or of no field, it is what it is.
    ("SELECT $1::text, id FROM customers WHERE $1::text IS NULL OR email = $2", "s:e $2@e"),
    ("SELECT v.a FROM customers, (VALUES ('a')) v(a) WHERE v.a IS NULL OR email = 'b'", "s:e 'b'@e"),
    ("SELECT id FROM customers WHERE 'a' IS NULL AND phone IS NULL", "s:p"),
    ("SELECT c.email FROM customers c JOIN leads l ON l.email = c.email", "r:e s:eL"),
    (
        "SELECT c.email, l.source FROM customers c LEFT JOIN leads l ON c.email = l.email AND l.email = 'x' WHERE l.id IS NULL",
        "r:e s:eL 'x'@L",
    ),
    (
        "SELECT s.email FROM (SELECT email, id FROM customers WHERE email = 'a') s WHERE s.email <> 'b'",
        "r:e s:e 'a'@e 'b'@e",
    ),
    ("SELECT * FROM (SELECT * FROM customers) s", "r:epnc"),
    ("SELECT s.mail FROM (SELECT email AS mail FROM customers) AS s WHERE mail = $1", "r:e s:e $1@e"),
    ("SELECT id FROM leads WHERE email IN (SELECT email FROM customers WHERE id = 1)", "s:eL"),
    ("SELECT 1 FROM orders WHERE EXISTS (SELECT * FROM customers c WHERE c.email = $1)", "s:epnc $1@e"),
    ("SELECT (SELECT count(*) FROM customers WHERE email = 'a')", "s:e 'a'@e"),
    ("SELECT DISTINCT email FROM customers", "r:e"),
    ("SELECT email, count(*) FROM customers GROUP BY email HAVING email <> 'a'", "r:e s:e 'a'@e"),
    ("SELECT email, count(*) FROM customers GROUP BY 1", "r:e s:e"),
    ("SELECT count(email), count(DISTINCT email), count(phone) FROM customers", "s:ep"),
    ("SELECT DISTINCT id, phone FROM customers", "r:p"),
    ("SELECT * FROM leads UNION SELECT id, email, 'x' FROM leads", "r:L x:L"),
    ("SELECT c.phone FROM customers c, orders o GROUP BY c.phone, c.id", "r:p s:p"),
    ("SELECT email FROM customers ORDER BY id FOR UPDATE OF customers", "r:e"),
    ("SELECT email, row_number() OVER (PARTITION BY id ORDER BY note) FROM customers", "r:e"),
    (
        "SELECT email FROM customers c CROSS JOIN LATERAL (SELECT o.id FROM orders o WHERE o.who = c.id) x",
        "r:e",
    ),
    ("SELECT c.email FROM customers c, generate_series(1, 3) g WHERE g = c.id", "r:e"),
    ("EXPLAIN SELECT email FROM customers WHERE city = 'a'", "s:ec 'a'@c"),
    ("COPY (SELECT id FROM customers WHERE email = 'a') TO STDOUT", "s:e 'a'@e"),
    ("SELECT 1; SELECT email FROM customers WHERE email = 'ä'; SELECT 2", " ; r:e s:e 'ä'@e ; "),
    ("SELECT /* email = 'x' */ id FROM customers -- email = 'y'\n WHERE email = 'z'", "s:e 'z'@e"),
    ("SELECT 'customers', id FROM customers WHERE email = text 'a'", "s:e 'a'@e"),
    ("WITH o AS (SELECT who FROM orders) SELECT c.email FROM customers c JOIN o ON o.who = c.id", "r:e"),
    ("SELECT id FROM customers UNION SELECT id FROM leads WHERE email = 'a'", "s:L 'a'@L"),
    ("SELECT email, id AS n FROM customers ORDER BY n", "r:e"),
];

#[test]
fn seals_what_insert_assigns() {
    check_supported(INSERTS);
}

#[test]
fn seals_what_update_and_delete_say() {
    check_supported(CHANGES);
}

#[test]
fn seals_what_select_compares() {
    check_supported(SELECTS);
}

#[test]
fn records_classified_columns_that_are_not_sealed() {
    check_supported(&[
        ("SELECT nick FROM customers", "r:n"),
        ("SELECT upper(nick) || 'x' FROM customers", "r:n d:n"),
        ("SELECT id FROM customers WHERE nick LIKE 'a%' ORDER BY nick", "s:n"),
        ("SELECT s.u FROM (SELECT upper(nick) AS u FROM customers) s", "r:n d:n"),
        ("SELECT upper FROM (SELECT upper(nick) FROM customers) s", "r:n d:n"),
        (
            "SELECT s.upper, \"case\" FROM (SELECT upper(nick), CASE WHEN true THEN nick END FROM customers) s",
            "r:n d:nn",
        ),
        ("SELECT upper FROM (SELECT upper(nick), o.* FROM customers c, orders o) s", "r:n d:n"),
        ("SELECT * FROM (SELECT upper(nick), o.* FROM customers c, orders o) s", "r:n d:n"),
        ("SELECT (SELECT upper) FROM (SELECT upper(nick) FROM customers) s", "r:n d:n"),
        (
            "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM (SELECT upper(nick) FROM customers) s WHERE upper = 'A')",
            "s:n",
        ),
        ("UPDATE customers SET note = note RETURNING old.nick, new.email, id", "r:en"),
        ("SELECT (f(id)).*, nick FROM customers", "r:n"),
        (
            "SELECT * FROM orders o JOIN (SELECT upper(nick) AS u, nick, id FROM customers) s USING (id)",
            "r:n d:n",
        ),
        ("SELECT (SELECT max(nick) FROM customers)", "r:n d:n"),
        ("UPDATE customers SET nick = 'x' || $1 WHERE nick = $1", "s:n w:n"),
        ("INSERT INTO customers (nick) VALUES (upper($1))", "w:n"),
        ("SELECT string_agg(nick, ',') FROM customers HAVING max(nick) > 'a'", "r:n d:n s:n"),
    ]);
}

#[test]
fn a_column_that_does_not_fit_refuses_its_own_use_alone() {
    check_supported(&[
        ("SELECT id, note FROM partly WHERE note = 'a' ORDER BY id", ""),
        ("SELECT count(*) FROM partly", ""),
        ("SELECT c.email FROM customers c JOIN partly p ON p.id = c.id", "r:e"),
        ("INSERT INTO partly (id, note) VALUES (1, 'a') ON CONFLICT (id) DO NOTHING RETURNING id", ""),
        ("INSERT INTO partly VALUES (1)", ""),
        ("UPDATE partly SET note = 'a' WHERE rank = 1", ""),
        ("SELECT id, email FROM guarded", "r:e"),
        ("COPY guarded (id) TO STDOUT", ""),
        ("DELETE FROM partly WHERE id = 1", "w:e"),
        ("TRUNCATE partly", "w:e"),
        ("COPY partly (id, note) FROM STDIN", ""),
        ("ALTER TABLE partly DROP COLUMN low", ""),
    ]);
}

#[test]
fn tells_effects_beside_rows() {
    let effect = |sql: &str| judged(sql).unwrap().statements[0].effect.clone();
    let executes = |sql: &str| {
        let executes = effect(sql).executes.unwrap();
        (executes.statement.to_string(), executes.how)
    };
    let fetches = |sql: &str| {
        let fetches = effect(sql).fetches.unwrap();
        (fetches.portal.to_string(), fetches.moves)
    };
    assert_eq!(executes("EXECUTE plan(1)"), ("plan".to_owned(), Executed::Shown));
    assert_eq!(
        executes("EXPLAIN EXECUTE \"Plan\""),
        ("Plan".to_owned(), Executed::Explained { runs: false })
    );
    assert_eq!(executes("CREATE TABLE x AS EXECUTE plan"), ("plan".to_owned(), Executed::Kept));
    assert_eq!(fetches("FETCH 3 FROM cur"), ("cur".to_owned(), false));
    assert_eq!(fetches("MOVE cur"), ("cur".to_owned(), true));
    assert!(effect("SET standard_conforming_strings = off").reading);
    assert!(effect("SET NAMES 'latin1'").reading);
    assert!(effect("SELECT set_config('a' || 'b', '', false)").reading);
    assert!(!effect("SELECT id FROM customers").reading);
    assert!(effect("COMMIT PREPARED 'x'").catalog && effect("CREATE SCHEMA s").catalog);
}

#[test]
fn refuses_to_carry_what_is_legible_to_where_no_record_follows() {
    check_refused(&[
        ("SELECT pg_notify('c', nick) FROM customers", "function"),
        ("SELECT count(pg_notify('c', upper(nick))) FROM customers", "function"),
        ("SELECT id FROM customers WHERE pg_catalog.pg_notify('c', nick || '') IS NULL", "function"),
        ("SELECT pg_notify('c', s.x) FROM (SELECT lower(nick) AS x FROM customers) s", "function"),
        ("SELECT pg_notify('c', (SELECT string_agg(nick, ',') FROM customers))", "function"),
        ("SELECT set_config('application_name', nick, false) FROM customers", "function"),
        ("SELECT lo_from_bytea(0, nick::bytea) FROM customers", "function"),
        ("SELECT pg_logical_emit_message(false, '', nick) FROM customers", "function"),
        ("DELETE FROM customers RETURNING pg_notify('c', nick)", "function"),
    ]);
    assert!(judged("SELECT pg_notify('c', note) FROM customers WHERE nick = 'a'").is_ok());
}

#[test]
fn refuses_sealed_columns_where_sealed_text_has_no_meaning() {
    check_refused(&[
        ("SELECT lower(email) FROM customers", "unsupported-position"),
        ("SELECT email || 'x' FROM customers", "unsupported-position"),
        ("SELECT email::varchar(3) FROM customers", "unsupported-position"),
        ("SELECT max(email) FROM customers", "unsupported-position"),
        ("SELECT count(email || '') FROM customers", "unsupported-position"),
        ("SELECT string_agg(note, ',' ORDER BY email) FROM customers", "unsupported-position"),
        ("SELECT count(*) FILTER (WHERE email LIKE 'a%') FROM customers", "unsupported-position"),
        ("SELECT count(*) OVER w FROM customers WINDOW w AS (ORDER BY email)", "order-by"),
        ("SELECT greatest(email, 'a') FROM customers", "unsupported-position"),
        ("SELECT ARRAY[email] FROM customers", "unsupported-position"),
        ("SELECT ROW(email) FROM customers", "unsupported-position"),
        ("SELECT email[1] FROM customers", "unsupported-position"),
        ("SELECT id FROM customers WHERE email LIKE 'a%'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email ILIKE $1", "unsupported-position"),
        ("SELECT id FROM customers WHERE email ~ 'a'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email > 'a'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email BETWEEN 'a' AND 'b'", "unsupported-position"),
        ("SELECT id FROM customers WHERE lower(email) = 'a'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = reverse('A')", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = 'a' || 'b'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = 'a' OPERATOR(pg_catalog.||) 'b'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email OPERATOR(pg_catalog.=) 'a'", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = ANY(ARRAY[ARRAY['a']])", "unsupported-position"),
        ("SELECT id FROM customers WHERE email < ANY($1)", "unsupported-position"),
        ("SELECT id FROM customers WHERE email <= ALL(SELECT email FROM leads)", "unsupported-position"),
        ("SELECT id FROM customers WHERE (email, id) = (SELECT 'a', 1)", "unsupported-position"),
        ("SELECT id FROM customers WHERE ROW(email) = ROW('a', 'b')", "unsupported-position"),
        ("SELECT id FROM customers WHERE (email, id) < ('a', 1)", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = ANY(string_to_array($1, ','))", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = note", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = nick", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = city", "domain-differs"),
        ("SELECT id FROM customers WHERE email = 1", "type-differs"),
        ("SELECT id FROM customers WHERE email = true", "type-differs"),
        ("SELECT id FROM customers WHERE email = 'a'::bpchar(3)", "type-differs"),
        (
            "WITH s(v) AS (VALUES ('ABCD')) INSERT INTO customers (id, email) SELECT 1, v FROM s WHERE NOT EXISTS (SELECT 1 FROM customers WHERE email = v::varchar(2))",
            "parameter-conflict",
        ),
        (
            "WITH s AS (SELECT $1::text AS v) INSERT INTO customers (id, email) SELECT 1, v FROM s WHERE NOT EXISTS (SELECT 1 FROM customers WHERE email = lower(v))",
            "unsupported-position",
        ),
        (
            "MERGE INTO customers c USING (VALUES (1, 'MERGEV')) s(i, v) ON c.id = s.i AND c.email = lower(s.v) WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.i, s.v)",
            "unsupported-position",
        ),
        (
            "SELECT c.id FROM (SELECT $1::text v) s, customers c WHERE c.email = lower(s.v) OR c.email = s.v",
            "unsupported-position",
        ),
        ("SELECT id, lower($1) FROM customers WHERE email = lower($1)", "parameter-conflict"),
        ("SELECT id FROM customers WHERE email = trim(both $1)", "unsupported-position"),
        ("SELECT id FROM customers WHERE email = lower($1 || 'x')", "unsupported-position"),
        ("SELECT id FROM customers WHERE phone = 'a'", "random-compared"),
        ("SELECT id FROM customers WHERE phone IN ($1)", "random-compared"),
        ("SELECT id FROM customers WHERE phone = ANY($1)", "random-compared"),
        ("SELECT DISTINCT phone FROM customers", "random-compared"),
        ("SELECT DISTINCT a.id, b.phone FROM customers a, customers b", "random-compared"),
        (
            "SELECT DISTINCT id, (SELECT d.phone FROM customers d WHERE d.id = c.id) FROM customers c",
            "random-compared",
        ),
        ("SELECT DISTINCT c.id, c.phone || '' FROM customers c", "unsupported-position"),
        ("SELECT DISTINCT ON (phone) id, phone FROM customers", "random-compared"),
        ("SELECT phone, id FROM customers GROUP BY GROUPING SETS ((id, phone), (phone))", "random-compared"),
        ("SELECT c.phone FROM customers c, orders o GROUP BY c.phone, o.id", "random-compared"),
        ("SELECT id, phone FROM customers UNION SELECT id, phone FROM customers", "random-compared"),
        ("SELECT phone, count(*) FROM customers GROUP BY phone", "random-compared"),
        ("SELECT count(DISTINCT phone) FROM customers", "random-compared"),
        ("SELECT email FROM customers ORDER BY email", "order-by"),
        ("SELECT email FROM customers ORDER BY 1", "order-by"),
        ("SELECT email AS x FROM customers ORDER BY x DESC", "order-by"),
        ("SELECT id AS email FROM customers ORDER BY email", "order-by"),
        ("SELECT id FROM customers ORDER BY lower(email)", "unsupported-position"),
        ("UPDATE customers SET email = reverse('A')", "unsupported-position"),
        ("UPDATE customers SET email = email || 'x'", "unsupported-position"),
        ("UPDATE customers SET email = note", "unsupported-position"),
        ("UPDATE customers SET email = phone", "domain-differs"),
        ("UPDATE customers SET note = email", "unsupported-position"),
        ("UPDATE orders SET note = c.nick FROM customers c", "unsupported-position"),
        ("UPDATE customers SET email[1] = 'a'", "unsupported-form"),
        ("INSERT INTO customers (email) VALUES (reverse('a'))", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES (('a', 'b'))", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES (ARRAY['a'])", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES ('a' || $1)", "unsupported-position"),
    ]);
}

#[test]
fn refuses_literals_in_any_other_form() {
    check_refused(&[
        ("INSERT INTO customers (email) VALUES (N'a')", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES (B'1')", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES (X'1F')", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES ('a' -- x\n 'b')", "literal-form"),
        ("INSERT INTO customers (email) VALUES (current_user)", "unsupported-position"),
    ]);
}

#[test]
fn refuses_rows_of_classified_tables_as_values() {
    check_refused(&[
        ("SELECT c FROM customers c", "whole-row"),
        ("UPDATE customers SET note = 'x' FROM generate_series(1, 1) g RETURNING old", "whole-row"),
        (
            "UPDATE customers SET note = 'x' FROM generate_series(1, 1) g RETURNING row_to_json(new)",
            "whole-row",
        ),
        ("UPDATE customers SET note = 'x' FROM orders RETURNING (old).nick || ''", "whole-row"),
        ("DELETE FROM customers USING orders RETURNING old", "whole-row"),
        (
            "INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x' RETURNING new",
            "whole-row",
        ),
        ("SELECT customers FROM customers", "whole-row"),
        ("SELECT row_to_json(c) FROM customers c", "whole-row"),
        ("SELECT row_to_json(c.*) FROM customers c", "whole-row"),
        ("SELECT count(c) FROM customers c", "whole-row"),
        ("SELECT email(customers) FROM customers", "whole-row"),
        ("SELECT (c).email FROM customers c", "whole-row"),
        ("SELECT (c).* FROM customers c", "whole-row"),
        ("SELECT c.row_to_json FROM customers c", "column-unknown"),
        ("SELECT ROW(c.*) FROM customers c", "whole-row"),
        ("SELECT ROW(*) FROM customers c", "unparsed"),
        ("SELECT (SELECT c) FROM customers c", "whole-row"),
        ("SELECT s FROM (SELECT email FROM customers) s", "whole-row"),
        ("SELECT s.row_to_json FROM (SELECT nick, o.* FROM customers, orders o) s", "column-unknown"),
        ("SELECT id FROM customers c WHERE c IS NOT NULL", "whole-row"),
        ("SELECT id FROM customers c WHERE c = ROW(1, 'a')", "whole-row"),
        ("SELECT to_jsonb(c) FROM customers AS c ORDER BY c", "whole-row"),
        ("SELECT array_agg(c) FROM customers c", "whole-row"),
    ]);
}

#[test]
fn passes_on_what_an_expression_does_not_look_into() {
    check_supported(&[
        ("SELECT s.a FROM (SELECT email FROM customers) AS s(a)", "r:e"),
        ("SELECT id FROM customers JOIN leads USING (email)", "s:eL"),
        ("SELECT j.email FROM (customers c JOIN orders o ON true) AS j", "r:e"),
        ("SELECT j.email FROM (customers JOIN leads USING (email)) AS j WHERE email = $1", "r:e s:eL $1@e"),
        ("SELECT u.email FROM customers JOIN leads USING (email) AS u", "r:e s:eL"),
        ("SELECT u.id FROM customers JOIN orders USING (id) AS u", ""),
        ("SELECT 1 FROM customers NATURAL JOIN leads", "s:eL"),
        ("SELECT mail_of(1)", "r:e x:e"),
        ("SELECT public.mail_of(number => $1) AS m", "r:e x:e"),
        ("SELECT m FROM mail_of(1) AS m", "r:e x:e"),
        ("SELECT mail_of FROM mail_of(1) WITH ORDINALITY", "r:e x:e"),
        ("SELECT mail, id FROM people_by('x')", "r:e x:e s:ec 'x'@e"),
        ("SELECT * FROM customers c, people_by(c.email) p WHERE p.mail = 'y'", "r:epnc d:n x:e s:ec 'y'@e"),
        ("SELECT p.n FROM people_by($1) AS p(i, m, n)", "r:n d:n s:ec $1@e"),
        ("SELECT id FROM leads WHERE email = mail_of(7)", "s:eL"),
        ("INSERT INTO leads (email) VALUES (mail_of(3))", "s:e w:L"),
        ("EXPLAIN SELECT mail_of(1)", "s:e"),
        ("SELECT email, id FROM customers NATURAL JOIN public.orders", "r:e"),
        ("SELECT * FROM public.orders NATURAL RIGHT JOIN customers", "r:epnc"),
        ("SELECT email, nick FROM customers c NATURAL LEFT JOIN public.letters", "r:en d:n s:n"),
        ("SELECT email INTO public.planned FROM customers", "s:e w:?"),
        ("SELECT 'a' AS email INTO public.planned UNION SELECT email FROM customers", "s:e w:? 'a'@e"),
        ("SELECT b FROM customers AS c(a, b)", "r:e"),
        ("SELECT c.* FROM public.customers c (a, b) WHERE b = 'x'", "r:epnc s:e 'x'@e"),
        ("SELECT 1 FROM \"customers\" \"c\" (a, email, b, d, e) WHERE email = $1 AND d = 'x'", "s:en $1@e"),
        ("SELECT email FROM ONLY customers", "r:e"),
        ("DELETE FROM ONLY customers", "w:epnc"),
        ("WITH customers AS (SELECT 1) SELECT * FROM customers", ""),
        ("WITH x AS (SELECT email FROM customers) SELECT * FROM x", "r:e"),
        ("SELECT (WITH w AS (SELECT c.email) SELECT email FROM w) FROM customers c", "r:e x:e"),
        ("SELECT email FROM customers UNION SELECT 'a'", "r:e x:e 'a'@e"),
        ("SELECT id FROM leads EXCEPT SELECT nick FROM customers", "r:n d:n"),
        ("INSERT INTO customers (email) SELECT 'a'", "w:e 'a'@e"),
        ("MERGE INTO customers USING orders ON true WHEN MATCHED THEN DELETE", "w:epnc"),
        ("MERGE INTO orders USING customers ON true WHEN MATCHED THEN DELETE", ""),
        ("SELECT $1 FROM customers WHERE email = $1", "r:e x:e s:e $1@e"),
        ("SELECT count(*) OVER (PARTITION BY email) FROM customers", "s:e"),
        ("SELECT coalesce(email, 'none') FROM customers", "r:e x:e 'none'@e"),
        ("SELECT CASE WHEN id = 1 THEN email END FROM customers", "r:e x:e"),
        ("SELECT CASE email WHEN 'a' THEN 1 END FROM customers", "s:e 'a'@e"),
        ("SELECT nullif(email, 'a') FROM customers", "r:e x:e s:e 'a'@e"),
        ("SELECT (email COLLATE \"C\") FROM customers", "r:e"),
        ("SELECT id FROM customers WHERE email::text = 'a'", "s:e 'a'@e"),
        ("SELECT id FROM customers WHERE email = (SELECT 'a')", "s:e 'a'@e"),
        ("SELECT id FROM customers WHERE email IN (VALUES ('a'))", "s:e 'a'@e"),
        ("SELECT id FROM customers WHERE email = ANY('{a,b}')", "s:e '{a,b}'@e"),
        ("SELECT id FROM customers WHERE email = ANY('{a,b}'::text[])", "s:e '{a,b}'@e"),
        ("SELECT id FROM customers WHERE (email, id) IN (SELECT 'a', 1)", "s:e 'a'@e"),
        (
            "SELECT v.x FROM (VALUES ('secret')) v(x) JOIN customers c ON c.email = v.x",
            "r:e x:e s:e 'secret'@e",
        ),
        ("UPDATE customers SET email = CASE WHEN id = 1 THEN 'a' ELSE 'b' END", "w:e 'a'@e 'b'@e"),
        ("UPDATE customers SET email = (SELECT 'a')", "w:e 'a'@e"),
        ("UPDATE customers SET (email, note) = (SELECT 'a', 'b')", "w:e 'a'@e"),
        ("INSERT INTO customers (email) VALUES (1)", "w:e 1@e"),
        ("INSERT INTO customers (email) VALUES (E'a')", "w:e E'a'@e"),
        ("INSERT INTO customers (email) VALUES (U&'a')", "w:e U&'a'@e"),
        ("INSERT INTO customers (email) VALUES ($$a$$)", "w:e $$a$$@e"),
        ("INSERT INTO customers (email) VALUES (1.5)", "w:e 1.5@e"),
        ("UPDATE ONLY customers SET email = 'a'", "w:e 'a'@e"),
        ("SELECT id FROM customers WHERE email = 'a' COLLATE \"C\"", "s:e 'a'@e"),
        ("SELECT email FROM customers TABLESAMPLE system (1)", "r:e"),
        ("TABLE customers", "r:epnc"),
        ("SELECT CASE WHEN id = 1 THEN email ELSE city END FROM customers", "r:ec x:ec"),
        ("SELECT coalesce(phone, email) FROM customers", "r:ep x:ep"),
        ("INSERT INTO customers (email) VALUES ('a'\n'b')", "w:e 'a'\n'b'@e"),
        ("INSERT INTO customers (email) VALUES ('a'\n'')", "w:e 'a'\n''@e"),
    ]);
}

#[test]
fn refuses_forms_whose_names_could_mean_another_column() {
    check_refused(&[
        ("SELECT mail_of(email) FROM customers", "unsupported-position"),
        ("SELECT upper(mail_of(1))", "unsupported-position"),
        ("SELECT mail_of(1, 2)", "unsupported-form"),
        ("SELECT mail_of(DISTINCT 1)", "unsupported-form"),
        ("SELECT people_by('x')", "unsupported-form"),
        ("SELECT (people_by('x')).mail", "unsupported-form"),
        ("SELECT p FROM people_by('x') p", "whole-row"),
        ("SELECT 1 FROM people_by((SELECT source FROM leads LIMIT 1)) p", "unsupported-position"),
        ("SELECT 1 FROM people_by((SELECT city FROM customers LIMIT 1)) p", "domain-differs"),
        ("SELECT id FROM people_by('x') ORDER BY mail", "order-by"),
        ("SELECT * FROM ROWS FROM (people_by('x'), generate_series(1, 2)) r", "unsupported-form"),
        ("INSERT INTO orders (what) VALUES (mail_of(1))", "unsupported-position"),
        ("CREATE VIEW v AS SELECT * FROM people_by('x')", "function"),
        ("CREATE TABLE x AS SELECT mail_of(1)", "function"),
        ("CREATE TABLE x (mail text DEFAULT mail_of(1))", "function"),
        ("SELECT a FROM ONLY customers AS c(a, b)", "unsupported-form"),
        ("SELECT a FROM customers * AS c(a, b)", "unsupported-form"),
        ("SELECT a FROM customers/**/ AS c(a, b)", "unsupported-form"),
        ("SELECT a FROM U&\"customers\" AS c(a, b)", "unsupported-form"),
        ("SELECT b FROM customers AS c(a, b) TABLESAMPLE system (1)", "unsupported-form"),
        ("SELECT c.email FROM customers AS c(a, b)", "column-unknown"),
        ("SELECT c FROM customers AS c(a, b)", "whole-row"),
        ("SELECT a FROM partly AS c(a, b)", "column-fault"),
        ("SELECT email FROM customers NATURAL JOIN orders", "unsupported-form"),
        ("SELECT email FROM customers NATURAL JOIN pg_temp.orders", "unsupported-form"),
        ("SELECT 1 FROM customers NATURAL JOIN public.mails", "unsupported-position"),
        (
            "SELECT 1 FROM public.orders NATURAL JOIN customers NATURAL JOIN public.mails",
            "unsupported-position",
        ),
        ("SELECT email FROM customers NATURAL FULL JOIN public.orders", "unsupported-form"),
        ("SELECT email FROM customers NATURAL RIGHT JOIN public.orders", "unsupported-form"),
        ("SELECT email FROM public.orders NATURAL LEFT JOIN customers", "unsupported-form"),
        ("SELECT email FROM customers NATURAL JOIN public.orders o (email)", "unsupported-form"),
        ("SELECT email FROM customers NATURAL JOIN generate_series(1, 2) id", "unsupported-form"),
        (
            "SELECT 1 FROM (SELECT email AS mail FROM customers) c NATURAL JOIN public.orders",
            "unsupported-form",
        ),
        ("SELECT j.m FROM (customers c JOIN orders o ON true) AS j(n, m)", "unsupported-form"),
        // What both have in common comes first, and only the server knows what that is.
        (
            "SELECT j.b FROM ((SELECT email, id FROM customers) c NATURAL JOIN public.orders o) AS j(a, b)",
            "unsupported-form",
        ),
        ("SELECT c.email FROM (customers c JOIN orders o ON true) AS j", "column-unknown"),
        ("SELECT j FROM (customers c JOIN orders o ON true) AS j", "whole-row"),
        ("SELECT j.email FROM (customers c JOIN leads l ON true) AS j", "column-ambiguous"),
        ("SELECT email FROM customers c, leads l", "column-ambiguous"),
        ("SELECT (SELECT email FROM orders LIMIT 1) FROM customers", "column-ambiguous"),
        (
            "SELECT 1 FROM customers c WHERE EXISTS (SELECT 1 FROM orders WHERE email = 'x')",
            "column-ambiguous",
        ),
        ("SELECT wrong FROM customers", "column-unknown"),
        ("SELECT x.email FROM customers c", "column-unknown"),
        ("INSERT INTO customers (wrong) VALUES ('a')", "column-unknown"),
        ("UPDATE customers SET wrong = 'a'", "column-unknown"),
        ("SELECT email FROM twins", "relation-ambiguous"),
        ("SELECT email FROM planned", "relation-missing"),
        ("SELECT id FROM broken", "relation-fault"),
        ("SELECT email FROM partly", "column-fault"),
        ("SELECT * FROM partly", "column-fault"),
        ("SELECT p.* FROM partly p", "column-fault"),
        ("SELECT id FROM partly WHERE low = 'a'", "column-fault"),
        ("SELECT id FROM partly ORDER BY low", "column-fault"),
        ("SELECT note AS low FROM partly GROUP BY low", "column-fault"),
        (
            "SELECT 1 FROM customers c WHERE EXISTS (SELECT FROM partly p WHERE p.low = c.note)",
            "column-fault",
        ),
        ("SELECT id FROM partly JOIN orders USING (low)", "column-fault"),
        ("INSERT INTO partly (id, email) VALUES (1, 'a')", "column-fault"),
        ("INSERT INTO partly VALUES (1, 'a')", "column-fault"),
        ("INSERT INTO partly (id) VALUES (1) RETURNING *", "column-fault"),
        ("INSERT INTO partly (id) VALUES (1) ON CONFLICT (low) DO NOTHING", "column-fault"),
        ("INSERT INTO partly (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET rank = 2", "relation-fault"),
        ("UPDATE partly SET (note, rank) = ('a', 2)", "relation-fault"),
        ("UPDATE partly SET note = low", "column-fault"),
        ("INSERT INTO guarded (id) VALUES (1)", "relation-fault"),
        ("COPY guarded (id) FROM STDIN", "relation-fault"),
        ("INSERT INTO guarded (id) VALUES (1) ON CONFLICT (id) DO NOTHING", "relation-fault"),
        ("UPDATE guarded SET id = 1", "relation-fault"),
        ("DELETE FROM guarded", "relation-fault"),
        ("TRUNCATE guarded", "relation-fault"),
        ("DELETE FROM partly WHERE low = 'a'", "column-fault"),
        ("COPY partly (id, low) TO STDOUT", "column-fault"),
        ("SELECT * FROM customer_list", "relation-reaches"),
        ("INSERT INTO orders (x) SELECT email FROM customers", "unsupported-position"),
        ("INSERT INTO orders (x) SELECT upper(nick) FROM customers", "unsupported-position"),
        ("INSERT INTO customers (email) VALUES ('a') ON CONFLICT (phone) DO NOTHING", "random-compared"),
        (
            "INSERT INTO customers (email) VALUES ('a') ON CONFLICT (lower(email)) DO NOTHING",
            "unsupported-position",
        ),
        (
            "INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = excluded.email",
            "unsupported-position",
        ),
        ("INSERT INTO customers (id, email) VALUES (1)", "unsupported-form"),
        ("SELECT email INTO x FROM customers", "definition"),
        ("SELECT email INTO planned FROM customers", "relation-ambiguous"),
        ("SELECT 1 UNION SELECT email INTO public.planned FROM customers", "unsupported-form"),
        ("SELECT 1 FROM (SELECT email INTO public.planned FROM customers) x", "unsupported-form"),
        ("SELECT email INTO public.customers FROM leads", "definition"),
        ("SELECT 1 FROM customers WHERE email = $1 AND email = ANY($1)", "parameter-conflict"),
        ("SELECT 1 FROM customers WHERE email = $1 LIMIT $1", "parameter-conflict"),
        ("CREATE TEMP TABLE customers (email text)", "shadow"),
        ("CREATE TEMPORARY TABLE customers AS SELECT 1", "shadow"),
        ("CREATE TEMP VIEW customers AS SELECT 1", "shadow"),
        ("SELECT 1 INTO TEMP customers", "shadow"),
        ("INSERT INTO pg_temp.customers VALUES ('a')", "shadow"),
        ("SELECT email FROM pg_temp_3.customers", "shadow"),
        ("SELECT 7 <~~ 'a'", "function"),
        ("SELECT 7 OPERATOR(public.<~~) 'a'", "function"),
        ("SELECT 1 WHERE 7 <~~ ANY (SELECT 'a')", "function"),
        ("SELECT 1 ORDER BY 1 USING <~~", "function"),
        ("SELECT ROW(7, 'a')::reach_type", "function"),
        ("SELECT CAST('a' AS public.reach_type)", "function"),
        ("INSERT INTO orders VALUES (reach_type 'a')", "function"),
        ("SELECT email FROM customers RETURNING", "unparsed"),
        ("SELECT xmlelement(name a, email) FROM customers", "unsupported-form"),
        ("SELECT json_object('a': email) FROM customers", "unsupported-form"),
        ("SELECT x FROM customers, JSON_TABLE(email, '$' COLUMNS (x text)) j", "unsupported-form"),
    ]);
}
