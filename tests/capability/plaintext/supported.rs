//! What must work, and must not show the server what it assigns or compares.

use super::form::Bound::{Array, Text};
use super::form::{Form, bound, literal};

/// `{s}` is the sentinel, `{n}` a number of the form's own. A form that writes leaves the
/// sentinel in `email` (or `ssn`) of row `{n}`; a form that finds returns `{n}` where
/// `email` is the sentinel.
pub const WRITES: &[Form] = &[
    literal("INSERT of a literal", "INSERT INTO customers (id, email) VALUES ({n}, '{s}')"),
    literal(
        "INSERT of several rows",
        "INSERT INTO customers (email, id) VALUES ('{s}', {n}), (NULL, -{n}), (DEFAULT, -1000000 - {n})",
    ),
    literal("INSERT without a list of columns", "INSERT INTO customers VALUES ({n}, '{s}', NULL, 'b', 'c')"),
    literal("INSERT with a short row", "INSERT INTO customers VALUES ({n}, '{s}')"),
    literal("INSERT with a schema", "INSERT INTO public.customers (id, email) VALUES ({n}, '{s}')"),
    literal(
        "INSERT with everything quoted",
        r#"INSERT INTO "public"."customers" ("id", "email") VALUES ({n}, '{s}')"#,
    ),
    literal(
        "INSERT in mixed case",
        "insert INTO Public.CUSTOMERS AS C (Id, EMAIL) VALUES ({n}, '{s}') RETURNING C.eMail",
    ),
    literal("INSERT of a random field", "INSERT INTO customers (id, ssn) VALUES ({n}, '{s}')"),
    literal(
        "INSERT with comments in odd places",
        "INSERT/**/INTO customers/* ' */(id,--'\n email)VALUES/* /* $$ */ */({n},/*'*/'{s}'/*x*/)--'",
    ),
    literal("INSERT with CR LF", "INSERT INTO customers\r\n(id, email)\r\nVALUES\r\n({n},\t'{s}')\r\n;"),
    literal(
        "INSERT of a cast that cuts nothing",
        "INSERT INTO customers (id, email) VALUES ({n}, '{s}'::varchar(10000))",
    ),
    bound(
        "INSERT of a trimmed parameter",
        "INSERT INTO customers (id, email) VALUES ({n}, ltrim(rtrim($1)))",
        &[Text("{s}")],
    ),
    bound(
        "one parameter for two domains",
        "INSERT INTO customers (id, email, ssn) VALUES ({n}, $1, $1)",
        &[Text("{s}")],
    ),
    literal(
        "INSERT that returns",
        "INSERT INTO customers (id, email) VALUES ({n}, '{s}') RETURNING id, email, *",
    ),
    literal(
        "ON CONFLICT DO NOTHING",
        "INSERT INTO customers (id, email) VALUES ({n}, '{s}') ON CONFLICT DO NOTHING",
    ),
    literal(
        "ON CONFLICT of the sealed column",
        "INSERT INTO customers (id, email) VALUES ({n}, '{s}') ON CONFLICT (email) DO NOTHING RETURNING email",
    ),
    literal(
        "ON CONFLICT DO UPDATE with excluded",
        "INSERT INTO customers (id, email) VALUES ({n}, '{s}') \
         ON CONFLICT (id) DO UPDATE SET email = excluded.email WHERE customers.email <> '{s}'",
    ),
    literal(
        "ON CONFLICT DO UPDATE with a literal",
        "INSERT INTO customers (id, email) VALUES (1, 'x{s}') ON CONFLICT (id) DO UPDATE SET id = {n}, email = '{s}'",
    ),
    literal("a cast to text", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'::text)"),
    literal(
        "a cast in the SQL standard's words",
        "INSERT INTO customers (id, email) VALUES ({n}, CAST('{s}' AS text))",
    ),
    literal("a cast to varchar", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'::varchar)"),
    literal(
        "an expression for another column",
        "INSERT INTO customers (id, email, note) VALUES (0 + {n}, '{s}', upper('x'))",
    ),
    literal("UPDATE of a literal", "UPDATE customers SET email = '{s}', id = {n} WHERE id = 1"),
    literal(
        "UPDATE with an alias",
        "UPDATE customers AS c SET email = '{s}', id = {n} WHERE c.id = 1 RETURNING c.email",
    ),
    literal("UPDATE of a row of columns", "UPDATE customers SET (id, email) = ({n}, '{s}') WHERE id = 1"),
    literal(
        "UPDATE FROM another table",
        "UPDATE customers c SET email = '{s}', id = {n} FROM orders o WHERE o.who = c.id AND c.id = 1",
    ),
    literal(
        "UPDATE of both sealed columns",
        "UPDATE customers SET ssn = 'x{s}', email = '{s}', id = {n} WHERE id = 1",
    ),
    literal(
        "a value with quotes doubled",
        "INSERT INTO customers (id, email, ssn) VALUES ({n}, '{s}', 'it''s \"{s}\"')",
    ),
    bound("INSERT of a parameter", "INSERT INTO customers (id, email) VALUES ({n}, $1)", &[Text("{s}")]),
    bound(
        "INSERT of a cast parameter",
        "INSERT INTO customers (id, email) VALUES ({n}, $1::text)",
        &[Text("{s}")],
    ),
    bound(
        "INSERT of one parameter twice",
        "INSERT INTO customers (id, email) VALUES ({n}, $1), (-{n}, $1) ON CONFLICT DO NOTHING",
        &[Text("{s}")],
    ),
    bound(
        "INSERT of parameters out of order",
        "INSERT INTO customers (email, note, ssn, id) VALUES ($3, $2, $1, {n})",
        &[Text("x{s}"), Text("note"), Text("{s}")],
    ),
    bound(
        "INSERT of a parameter and a literal",
        "INSERT INTO customers (id, email, ssn) VALUES ({n}, $1, 'x{s}') RETURNING *",
        &[Text("{s}")],
    ),
    bound("UPDATE of a parameter", "UPDATE customers SET email = $1, id = {n} WHERE id = 1", &[Text("{s}")]),
    bound(
        "UPDATE where the value is the same",
        "UPDATE customers SET email = $1, id = {n} WHERE id = 1 AND email <> $1",
        &[Text("{s}")],
    ),
    bound(
        "a value with quotes and backslashes in a parameter",
        "INSERT INTO customers (id, ssn, email) VALUES ({n}, $1, $2)",
        &[Text("it's \\ \"{s}\" \\x41 $1"), Text("{s}")],
    ),
];

pub const FINDS: &[Form] = &[
    literal("WHERE =", "SELECT id, email FROM customers WHERE email = '{s}'"),
    literal("WHERE = the other way round", "SELECT id FROM customers WHERE '{s}' = customers.email"),
    literal("WHERE <>", "SELECT id FROM customers WHERE id = {n} AND NOT email <> '{s}'"),
    literal("WHERE IN", "SELECT c.id FROM customers c WHERE c.email IN ('nobody', '{s}', 'x')"),
    literal(
        "WHERE NOT IN",
        "SELECT id FROM customers WHERE id = {n} AND (email NOT IN ('{s}')) IS FALSE AND email IS NOT NULL AND email IN ('{s}')",
    ),
    literal("= ANY of an ARRAY", "SELECT id FROM customers WHERE email = ANY(ARRAY['nobody', '{s}'])"),
    literal("IS NOT DISTINCT FROM", "SELECT id FROM customers WHERE email IS NOT DISTINCT FROM '{s}'"),
    literal("a comparison of rows", "SELECT id FROM customers WHERE (email, id) = ('{s}', {n})"),
    literal("a list of rows", "SELECT id FROM customers WHERE (id, email) IN (({n}, 'x'), ({n}, '{s}'))"),
    literal("a typed literal", "SELECT id FROM customers WHERE email = text '{s}'"),
    literal(
        "JOIN ON with a literal",
        "SELECT c.id FROM customers c LEFT JOIN orders o ON o.who = c.id WHERE c.email = '{s}'",
    ),
    literal(
        "JOIN ON two sealed columns",
        "SELECT c.id FROM customers c LEFT JOIN leads l ON l.email = c.email AND l.email = '{s}' WHERE c.email = '{s}'",
    ),
    literal(
        "a subquery in FROM",
        "SELECT q.id FROM (SELECT id, email FROM customers) q WHERE q.email = '{s}'",
    ),
    literal(
        "a subquery in IN",
        "SELECT id FROM customers WHERE id IN (SELECT id FROM customers WHERE email = '{s}')",
    ),
    literal(
        "EXISTS",
        "SELECT {n} FROM orders WHERE EXISTS (SELECT 1 FROM customers c WHERE c.email = '{s}') LIMIT 1",
    ),
    literal(
        "LATERAL",
        "SELECT c.id FROM customers c, LATERAL (SELECT c.email = '{s}' AS same) v WHERE v.same",
    ),
    literal("a scalar subquery", "SELECT (SELECT id FROM customers WHERE email = '{s}')"),
    literal("DELETE", "DELETE FROM customers WHERE email = '{s}' RETURNING id"),
    literal(
        "DELETE USING",
        "DELETE FROM customers c USING orders o WHERE c.email = '{s}' AND o.id = 1 RETURNING c.id",
    ),
    literal("UPDATE WHERE", "UPDATE customers SET note = 'seen' WHERE email = '{s}' RETURNING id"),
    literal("FOR UPDATE", "SELECT id FROM customers WHERE email = '{s}' FOR UPDATE"),
    literal("GROUP BY and HAVING", "SELECT max(id) FROM customers GROUP BY email HAVING email = '{s}'"),
    literal(
        "OR with everything",
        "SELECT id FROM customers WHERE (email = '{s}' OR email = 'x') AND id > 0 ORDER BY id LIMIT 1",
    ),
    literal(
        "a value that may be absent",
        "SELECT id FROM customers WHERE ('{s}' IS NULL OR '{s}' = '') AND id = 0 OR email = '{s}'",
    ),
    literal("COPY of a query TO STDOUT", "COPY (SELECT id FROM customers WHERE email = '{s}') TO STDOUT"),
    bound("WHERE = a parameter", "SELECT id, email FROM customers WHERE email = $1", &[Text("{s}")]),
    bound(
        "WHERE = a parameter that may be absent",
        "SELECT id FROM customers WHERE $1::text IS NULL AND id = 0 OR email = $1",
        &[Text("{s}")],
    ),
    bound(
        "WHERE = a parameter that may be absent, told twice",
        "SELECT id FROM customers WHERE $1::text IS NULL AND id = 0 OR email = $2",
        &[Text("{s}"), Text("{s}")],
    ),
    bound(
        "IN of parameters",
        "SELECT id FROM customers WHERE email IN ($2, $1)",
        &[Text("nobody"), Text("{s}")],
    ),
    bound(
        "= ANY of an array",
        "SELECT id FROM customers WHERE email = ANY($1)",
        &[Array(&["{s}", "no'b\"o,d{y}\\"])],
    ),
    bound(
        "= ANY of a cast array",
        "SELECT id FROM customers WHERE email = ANY($1::text[])",
        &[Array(&["", "{s}"])],
    ),
    bound(
        "<> ALL of an array",
        "SELECT id FROM customers WHERE id = {n} AND NOT email <> ALL($1)",
        &[Array(&["{s}"])],
    ),
    bound(
        "JOIN with a parameter",
        "SELECT c.id FROM customers c JOIN orders o ON o.who <> c.id AND c.email = $1 LIMIT 1",
        &[Text("{s}")],
    ),
    bound(
        "a parameter in a subquery",
        "SELECT id FROM customers WHERE id = (SELECT q.id FROM customers q WHERE q.email = $1)",
        &[Text("{s}")],
    ),
    bound("DELETE by a parameter", "DELETE FROM customers WHERE email = $1 RETURNING id", &[Text("{s}")]),
];
