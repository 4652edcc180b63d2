//! Forms in which a value is handed on before it is stored or compared: none of them may show it to
//! the server, and none may be refused.

use super::form::Bound::{Array, Text};
use super::form::{Form, bound, literal};

pub const FOLLOWED: &[Form] = &[
    literal("an updatable view", "INSERT INTO customer_list (id, email) VALUES ({n}, '{s}')"),
    literal("an updatable view of a view", "UPDATE customer_mails SET mail = '{s}' WHERE mail = '{s}x'"),
    literal("a view compared", "SELECT id FROM customer_list WHERE email = '{s}'"),
    literal("a materialized view", "SELECT id FROM customer_copy WHERE email = '{s}'"),
    bound("a view by parameter", "INSERT INTO customer_list (id, email) VALUES ({n}, $1)", &[Text("{s}")]),
    literal(
        "INSERT of CASE",
        "INSERT INTO customers (id, email) VALUES ({n}, CASE WHEN true THEN '{s}' END)",
    ),
    literal("INSERT of COALESCE", "INSERT INTO customers (id, email) VALUES ({n}, COALESCE(NULL, '{s}'))"),
    literal("INSERT of NULLIF", "INSERT INTO customers (id, email) VALUES ({n}, NULLIF('{s}', ''))"),
    literal("INSERT of a subquery", "INSERT INTO customers (id, email) VALUES ({n}, (SELECT '{s}'))"),
    literal("a collation", "INSERT INTO customers (id, email) VALUES ({n}, '{s}' COLLATE \"C\")"),
    literal("an escape string", "INSERT INTO customers (id, email) VALUES ({n}, E'{s}')"),
    literal("an escape string in lower case", "INSERT INTO customers (id, email) VALUES ({n}, e'{s}\\x41')"),
    literal("a Unicode string", "INSERT INTO customers (id, email) VALUES ({n}, U&'{s}')"),
    literal("a dollar-quoted string", "INSERT INTO customers (id, email) VALUES ({n}, $${s}$$)"),
    literal("a tagged dollar-quoted string", "INSERT INTO customers (id, email) VALUES ({n}, $a$'{s}'$a$)"),
    literal("a string that is continued", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'\n'x')"),
    literal("a continued empty string", "INSERT INTO customers (id, email) VALUES ({n}, ''\r\n'{s}')"),
    literal("INSERT SELECT of a literal", "INSERT INTO customers (id, email) SELECT {n}, '{s}'"),
    literal("INSERT SELECT in brackets", "INSERT INTO customers (id, email) (SELECT {n}, '{s}')"),
    literal(
        "INSERT SELECT FROM VALUES",
        "INSERT INTO customers (id, email) SELECT * FROM (VALUES ({n}, '{s}')) v",
    ),
    literal(
        "INSERT SELECT UNION",
        "INSERT INTO customers (id, email) SELECT 1, 'x' UNION ALL SELECT {n}, '{s}'",
    ),
    literal(
        "INSERT with a CTE",
        "WITH v AS (SELECT '{s}' AS e) INSERT INTO customers (id, email) SELECT {n}, e FROM v",
    ),
    literal(
        "INSERT in a CTE",
        "WITH v AS (INSERT INTO customers (id, email) VALUES ({n}, '{s}') RETURNING id) SELECT id FROM v",
    ),
    literal("UPDATE in a CTE", "WITH v AS (UPDATE customers SET email = '{s}' RETURNING id) SELECT 1"),
    literal("UPDATE with a CTE", "WITH v AS (SELECT '{s}' AS e) UPDATE customers SET email = v.e FROM v"),
    literal(
        "ON CONFLICT DO UPDATE of a subquery",
        "INSERT INTO customers (id) VALUES ({n}) ON CONFLICT (id) DO UPDATE SET email = (SELECT '{s}')",
    ),
    literal("UPDATE ONLY", "UPDATE ONLY customers SET email = '{s}' WHERE id = 1"),
    literal("UPDATE of a row from a subquery", "UPDATE customers SET (email, ssn) = (SELECT '{s}', 'x')"),
    literal("UPDATE of CASE", "UPDATE customers SET email = CASE id WHEN 1 THEN '{s}' ELSE email END"),
    literal(
        "UPDATE from VALUES",
        "UPDATE customers c SET email = v.e FROM (VALUES (1, '{s}')) v(i, e) WHERE v.i = c.id",
    ),
    literal(
        "UPDATE from a function",
        "UPDATE customers c SET email = v FROM unnest(ARRAY['{s}']) v WHERE c.id = 1",
    ),
    literal(
        "MERGE that inserts",
        "MERGE INTO customers c USING (SELECT {n} AS i) s ON c.id = s.i WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.i, '{s}')",
    ),
    literal(
        "MERGE that updates",
        "MERGE INTO customers c USING orders o ON c.id = o.who WHEN MATCHED THEN UPDATE SET email = '{s}'",
    ),
    literal(
        "MERGE that compares",
        "MERGE INTO orders o USING customers c ON c.email = '{s}' WHEN MATCHED THEN DELETE",
    ),
    bound("INSERT SELECT of a parameter", "INSERT INTO customers (id, email) SELECT {n}, $1", &[Text("{s}")]),
    bound(
        "INSERT SELECT unnest",
        "INSERT INTO customers (id, email) SELECT {n}, unnest($1::text[])",
        &[Array(&["{s}"])],
    ),
    bound(
        "UPDATE of a CASE of parameters",
        "UPDATE customers SET email = CASE WHEN id = 1 THEN $1 ELSE $1 END",
        &[Text("{s}")],
    ),
    literal("a collation of the value", "SELECT id FROM customers WHERE email = '{s}' COLLATE \"C\""),
    literal("= ANY of a literal array", "SELECT id FROM customers WHERE email = ANY('{{s}}')"),
    literal("= ANY of a cast literal array", "SELECT id FROM customers WHERE email = ANY('{{s}}'::text[])"),
    literal("<> ALL of a literal array", "SELECT id FROM customers WHERE email <> ALL('{{s},x}')"),
    literal("IN (SELECT)", "SELECT id FROM customers WHERE email IN (SELECT '{s}')"),
    literal("IN (VALUES)", "SELECT id FROM customers WHERE email IN (VALUES ('{s}'))"),
    literal("= a subquery", "SELECT id FROM customers WHERE email = (SELECT '{s}')"),
    literal("a join with VALUES", "SELECT c.id FROM customers c JOIN (VALUES ('{s}')) v(e) ON v.e = c.email"),
    literal("a join with unnest", "SELECT c.id FROM customers c JOIN unnest(ARRAY['{s}']) v ON v = c.email"),
    literal(
        "LATERAL over a literal",
        "SELECT c.id FROM customers c, LATERAL (SELECT '{s}' AS e) v WHERE v.e = c.email",
    ),
    literal("CASE of the column", "SELECT id FROM customers WHERE CASE email WHEN '{s}' THEN true END"),
    literal("COALESCE of the column", "SELECT id FROM customers WHERE COALESCE(email, 'x') = '{s}'"),
    literal("NULLIF in the output", "SELECT NULLIF(email, '{s}') FROM customers"),
    literal(
        "a CTE that compares",
        "WITH c AS (SELECT id, email FROM customers) SELECT id FROM c WHERE email = '{s}'",
    ),
    literal(
        "a recursive CTE",
        "WITH RECURSIVE c AS (SELECT id, email FROM customers UNION SELECT id, email FROM c) SELECT id FROM c WHERE email = '{s}'",
    ),
    literal("UNION with a literal", "SELECT email FROM customers UNION SELECT '{s}'"),
    literal("EXCEPT of literals", "SELECT '{s}' EXCEPT SELECT email FROM customers"),
    literal(
        "JOIN USING over VALUES",
        "SELECT id FROM customers JOIN (VALUES ('{s}')) v(email) USING (email)",
    ),
    literal("NATURAL JOIN over VALUES", "SELECT id FROM customers NATURAL JOIN (SELECT '{s}' AS email) v"),
    literal("TABLESAMPLE", "SELECT id FROM customers TABLESAMPLE system (100) WHERE email = '{s}'"),
    literal("FROM ONLY", "SELECT id FROM ONLY customers WHERE email = '{s}'"),
    literal("DELETE FROM ONLY", "DELETE FROM ONLY customers WHERE email = '{s}'"),
    literal("an escape string compared", "SELECT id FROM customers WHERE email = E'{s}'"),
    literal("a dollar-quoted string compared", "SELECT id FROM customers WHERE email = $x${s}$x$"),
    literal("a Unicode string compared", "SELECT id FROM customers WHERE email = U&'{s}'"),
    bound("a parameter compared and shown", "SELECT $1, id FROM customers WHERE email = $1", &[Text("{s}")]),
    bound(
        "an array unnested",
        "SELECT id FROM customers WHERE email IN (SELECT unnest($1::text[]))",
        &[Array(&["{s}"])],
    ),
    bound(
        "an array as rows",
        "SELECT c.id FROM customers c JOIN unnest($1::text[]) v ON v = c.email",
        &[Array(&["{s}"])],
    ),
];
