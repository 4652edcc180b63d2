//! What cannot be proven handled, and is refused before the server sees it.

use super::form::Bound::{Array, Text};
use super::form::{Form, bound, literal};

/// Assignments.
pub const ASSIGNED: &[Form] = &[
    literal("INSERT of a concatenation", "INSERT INTO customers (id, email) VALUES ({n}, '{s}' || '')"),
    literal(
        "INSERT of a function's result",
        "INSERT INTO customers (id, email) VALUES ({n}, reverse('{s}'))",
    ),
    literal("INSERT of concat", "INSERT INTO customers (id, email) VALUES ({n}, concat('{s}', 'x'))"),
    literal("INSERT of format", "INSERT INTO customers (id, email) VALUES ({n}, format('%s', '{s}'))"),
    literal("INSERT of GREATEST", "INSERT INTO customers (id, email) VALUES ({n}, GREATEST('{s}', ''))"),
    literal(
        "INSERT of an array's element",
        "INSERT INTO customers (id, email) VALUES ({n}, (ARRAY['{s}'])[1])",
    ),
    literal(
        "INSERT of a json field",
        "INSERT INTO customers (id, email) VALUES ({n}, '{\"a\":\"{s}\"}'::json ->> 'a')",
    ),
    literal(
        "INSERT of a substring",
        "INSERT INTO customers (id, email) VALUES ({n}, substring('x{s}' FROM 2))",
    ),
    literal(
        "INSERT of convert_from",
        "INSERT INTO customers (id, email) VALUES ({n}, convert_from('{s}'::bytea, 'UTF8'))",
    ),
    literal("a cast to bpchar(5)", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'::bpchar(5))"),
    literal("a cast to char", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'::char(30))"),
    literal("a cast of a cast", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'::name::text)"),
    literal("a national string", "INSERT INTO customers (id, email) VALUES ({n}, N'{s}')"),
    literal(
        "a string that is continued behind a comment",
        "INSERT INTO customers (id, email) VALUES ({n}, 'x' -- '\n '{s}')",
    ),
    literal("a number of several letters", "INSERT INTO customers (id, email) VALUES ({n}, '{s}' || 1)"),
    literal(
        "ON CONFLICT DO UPDATE of a concatenation",
        "INSERT INTO customers (id, email) VALUES ({n}, 'x') ON CONFLICT (id) DO UPDATE SET email = 'x' || '{s}'",
    ),
    literal("UPDATE with a star", "UPDATE customers * SET email = '{s}' || '' WHERE id = 1"),
    literal("UPDATE of a ROW expression", "UPDATE customers SET (email, ssn) = ROW('{s}' || '', 'x')"),
    literal("UPDATE of a concatenation", "UPDATE customers SET email = email || '{s}'"),
    literal("UPDATE of an element", "UPDATE customers SET email[1] = '{s}'"),
    literal(
        "a Unicode name of the table",
        "INSERT INTO U&\"\\0063ustomers\" (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal("a Unicode name of the column", "UPDATE customers SET U&\"\\0065mail\" = '{s}' || ''"),
    literal(
        "a Unicode name with its own escape",
        "INSERT INTO U&\"!0063ustomers\" UESCAPE '!' (id, email) VALUES ({n}, '{s}' || '')",
    ),
    bound(
        "INSERT of a parameter in a function",
        "INSERT INTO customers (id, email) VALUES ({n}, reverse($1))",
        &[Text("{s}")],
    ),
    bound(
        "INSERT of a concatenated parameter",
        "INSERT INTO customers (id, email) VALUES ({n}, $1 || '')",
        &[Text("{s}")],
    ),
    bound(
        "INSERT of a parameter cast to bpchar(5)",
        "INSERT INTO customers (id, email) VALUES ({n}, $1::bpchar(5))",
        &[Text("{s}")],
    ),
    bound(
        "INSERT of an array's element by parameter",
        "INSERT INTO customers (id, email) VALUES ({n}, ($1::text[])[1])",
        &[Array(&["{s}"])],
    ),
    bound(
        "one parameter for a sealed and an unsealed column",
        "INSERT INTO customers (id, email, note) VALUES ({n}, $1, $1)",
        &[Text("{s}")],
    ),
    bound(
        "one parameter for a sealed column and a function",
        "UPDATE customers SET email = $1, note = lower($1) WHERE id = 1",
        &[Text("{s}")],
    ),
];

/// Comparisons and other uses.
pub const COMPARED: &[Form] = &[
    literal("LIKE", "SELECT id FROM customers WHERE email LIKE '{s}%'"),
    literal("NOT ILIKE", "SELECT id FROM customers WHERE email NOT ILIKE '{s}'"),
    literal("a regular expression", "SELECT id FROM customers WHERE email ~* '^{s}'"),
    literal("SIMILAR TO", "SELECT id FROM customers WHERE email SIMILAR TO '{s}'"),
    literal("less than", "SELECT id FROM customers WHERE email < '{s}'"),
    literal("at least", "SELECT id FROM customers WHERE '{s}' <= email"),
    literal("BETWEEN", "SELECT id FROM customers WHERE email BETWEEN '{s}' AND 'z'"),
    literal("BETWEEN SYMMETRIC", "SELECT id FROM customers WHERE '{s}' BETWEEN SYMMETRIC email AND email"),
    literal("starts_with", "SELECT id FROM customers WHERE starts_with(email, '{s}')"),
    literal("the operator ^@", "SELECT id FROM customers WHERE email ^@ '{s}'"),
    literal("position", "SELECT id FROM customers WHERE position('{s}' IN email) > 0"),
    literal("a function of the column", "SELECT id FROM customers WHERE lower(email) = '{s}'"),
    literal("a function of the value", "SELECT id FROM customers WHERE email = reverse('{s}')"),
    literal("hashes", "SELECT id FROM customers WHERE md5(email) = md5('{s}')"),
    literal("a cast of the column", "SELECT id FROM customers WHERE email::bytea = '{s}'"),
    literal("a cast of the value to bpchar(9)", "SELECT id FROM customers WHERE email = '{s}'::bpchar(9)"),
    literal("a cast of the value to unknown", "SELECT id FROM customers WHERE email = '{s}'::unknown"),
    literal("a qualified operator", "SELECT id FROM customers WHERE email OPERATOR(pg_catalog.=) '{s}'"),
    literal(
        "= ANY of an array of functions",
        "SELECT id FROM customers WHERE email = ANY(ARRAY[reverse('{s}')])",
    ),
    literal(
        "= ANY of string_to_array",
        "SELECT id FROM customers WHERE email = ANY(string_to_array('{s}', ','))",
    ),
    literal(
        "= ANY of a concatenated array",
        "SELECT id FROM customers WHERE email = ANY(ARRAY['x'] || '{s}'::text)",
    ),
    literal("the array operator @>", "SELECT id FROM customers WHERE ARRAY['{s}'] @> ARRAY[email]"),
    literal(
        "a json function",
        "SELECT id FROM customers WHERE json_build_object('e', email) ->> 'e' = '{s}'",
    ),
    literal(
        "XMLTABLE",
        "SELECT x.* FROM customers, XMLTABLE('/a' PASSING xmlelement(name a, email) COLUMNS e text PATH '.') x WHERE x.e = '{s}'",
    ),
    literal("a whole row", "SELECT id FROM customers c WHERE c = ROW({n}, '{s}', 'x', 'y', 'z')"),
    literal("a whole row as text", "SELECT id FROM customers c WHERE c::text = '({n},{s})'"),
    literal("a whole row in IN", "SELECT id FROM customers c WHERE c IN (SELECT {n}, '{s}', 'x', 'y', 'z')"),
    literal("rows compared by order", "SELECT id FROM customers WHERE (email, id) < ('{s}', 1)"),
    literal(
        "rows compared with a subquery",
        "SELECT id FROM customers WHERE (email, id) = (SELECT '{s}', 1)",
    ),
    literal(
        "rows compared as distinct",
        "SELECT id FROM customers WHERE (email, id) IS DISTINCT FROM ('{s}' || '', 1)",
    ),
    literal("functional notation", "SELECT id FROM customers WHERE email(customers) = '{s}'"),
    literal("a field of a row", "SELECT id FROM customers c WHERE (c).email = '{s}'"),
    literal("ORDER BY a comparison", "SELECT id FROM customers ORDER BY email < '{s}'"),
    literal("an aggregate's FILTER", "SELECT count(*) FILTER (WHERE email LIKE '{s}%') FROM customers"),
    literal("min of the column", "SELECT 1 FROM customers HAVING min(email) = '{s}'"),
    literal(
        "an alias of a join",
        "SELECT 1 FROM (customers c JOIN orders o ON o.who = c.id) AS j WHERE j.email LIKE '{s}%'",
    ),
    literal("a random field compared", "SELECT id FROM customers WHERE ssn = '{s}'"),
    literal("a random field in a list", "DELETE FROM customers WHERE ssn IN ('{s}')"),
    literal("a Unicode name compared", "SELECT id FROM customers WHERE U&\"\\0065mail\" LIKE '{s}'"),
    literal("a field of another domain", "SELECT id FROM customers WHERE email = ssn OR ssn = '{s}'"),
    bound(
        "LIKE a parameter with a wildcard",
        "SELECT id FROM customers WHERE email LIKE $1",
        &[Text("{s}%")],
    ),
    bound("a parameter in a function", "SELECT id FROM customers WHERE email = reverse($1)", &[Text("{s}")]),
    bound(
        "a parameter compared with two columns",
        "SELECT id FROM customers WHERE email = $1 OR note = $1",
        &[Text("{s}")],
    ),
    bound(
        "a parameter in and outside of a list",
        "SELECT id FROM customers WHERE email = ANY(ARRAY[$1, lower($1)])",
        &[Text("{s}")],
    ),
    bound(
        "an array and its element",
        "SELECT id FROM customers WHERE email = ANY($1) OR note = ($1::text[])[1]",
        &[Array(&["{s}"])],
    ),
];

/// Definitions, code, cursors, and ways around.
pub const DEFINED: &[Form] = &[
    literal(
        "PREPARE of what is refused",
        "PREPARE p{n} AS INSERT INTO customers (id, email) VALUES ({n}, reverse('{s}'))",
    ),
    literal(
        "DECLARE of what is refused",
        "DECLARE c{n} CURSOR FOR SELECT id FROM customers WHERE lower(email) = '{s}'",
    ),
    literal(
        "DO with static SQL",
        "DO $$ BEGIN INSERT INTO customers (id, email) VALUES ({n}, '{s}'); END $$",
    ),
    literal(
        "DO with dynamic SQL",
        "DO $$ BEGIN EXECUTE 'INSERT INTO cust' || 'omers (id, email) VALUES ({n}, ''{s}'')'; END $$",
    ),
    literal("DO in a plain string", "DO 'BEGIN UPDATE customers SET email = ''{s}''; END'"),
    literal("DO in an escape string", "DO E'BEGIN UPDATE \\x63ustomers SET email = \\'{s}\\'; END'"),
    literal("DO in a Unicode string", "DO U&'BEGIN UPDATE \\0063ustomers SET email = ''{s}''; END'"),
    literal(
        "CREATE FUNCTION in SQL",
        "CREATE FUNCTION f{n}() RETURNS void LANGUAGE sql AS $$ UPDATE customers SET email = '{s}' $$",
    ),
    literal(
        "CREATE FUNCTION in PL/pgSQL",
        "CREATE FUNCTION f{n}() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE customers SET email = '{s}'; END $$",
    ),
    literal(
        "CREATE FUNCTION with a body of its own",
        "CREATE FUNCTION f{n}() RETURNS void LANGUAGE sql BEGIN ATOMIC UPDATE customers SET email = '{s}'; END",
    ),
    literal(
        "CREATE FUNCTION RETURN",
        "CREATE FUNCTION f{n}() RETURNS int LANGUAGE sql RETURN (SELECT id FROM customers WHERE email = '{s}')",
    ),
    literal(
        "CREATE FUNCTION with a default",
        "CREATE FUNCTION f{n}(c customers DEFAULT ROW({n}, '{s}', '', '', '')::customers) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    literal(
        "CREATE PROCEDURE",
        "CREATE PROCEDURE f{n}() LANGUAGE sql AS 'DELETE FROM customers WHERE email = ''{s}'''",
    ),
    literal("CREATE VIEW", "CREATE VIEW v{n} AS SELECT id FROM customers WHERE email = '{s}'"),
    literal("CREATE TEMP VIEW", "CREATE TEMP VIEW v{n} AS SELECT id FROM customers WHERE email = '{s}'"),
    literal(
        "CREATE RECURSIVE VIEW",
        "CREATE RECURSIVE VIEW v{n} (i) AS SELECT id FROM customers WHERE email = '{s}'",
    ),
    literal(
        "CREATE MATERIALIZED VIEW",
        "CREATE MATERIALIZED VIEW v{n} AS SELECT id FROM customers WHERE email = '{s}'",
    ),
    literal("CREATE TABLE AS", "CREATE TABLE t{n} AS SELECT id FROM customers WHERE email = '{s}'"),
    literal("CREATE TABLE AS of the row", "CREATE TABLE t{n} AS SELECT * FROM customers WHERE email = '{s}'"),
    literal("SELECT INTO", "SELECT id INTO t{n} FROM customers WHERE email = '{s}'"),
    literal(
        "CREATE RULE",
        "CREATE RULE r{n} AS ON INSERT TO orders DO ALSO UPDATE customers SET email = '{s}'",
    ),
    literal(
        "CREATE TRIGGER",
        "CREATE TRIGGER r{n} BEFORE UPDATE ON customers FOR EACH ROW WHEN (NEW.email = '{s}') EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ),
    literal("CREATE POLICY", "CREATE POLICY r{n} ON customers USING (email = '{s}')"),
    literal("CREATE INDEX of an expression", "CREATE INDEX ON customers ((email = '{s}'))"),
    literal(
        "CREATE STATISTICS of an expression",
        "CREATE STATISTICS s{n} ON id, (email = '{s}') FROM customers",
    ),
    literal(
        "an EXCLUDE constraint",
        "ALTER TABLE customers ADD EXCLUDE USING btree (id WITH =) WHERE (email = '{s}')",
    ),
    literal(
        "a generated column",
        "ALTER TABLE customers ADD COLUMN g{n} bool GENERATED ALWAYS AS (email = '{s}') STORED",
    ),
    literal(
        "ALTER TYPE USING",
        "ALTER TABLE customers ALTER COLUMN note TYPE text USING CASE email WHEN '{s}' THEN 'x' END",
    ),
    literal(
        "ALTER TYPE of the sealed column",
        "ALTER TABLE customers ALTER COLUMN email TYPE text USING '{s}'",
    ),
    literal("CREATE PUBLICATION WHERE", "CREATE PUBLICATION p{n} FOR TABLE customers WHERE (email = '{s}')"),
    literal("CREATE DOMAIN over the row", "CREATE DOMAIN d{n} AS customers CHECK ((VALUE).email <> '{s}')"),
    literal("CREATE TABLE LIKE", "CREATE TABLE t{n} (LIKE customers, CHECK (email <> '{s}'))"),
    literal("CREATE TABLE INHERITS", "CREATE TABLE t{n} (CHECK (email <> '{s}')) INHERITS (customers)"),
    literal(
        "COPY FROM STDIN in another encoding",
        "COPY customers (id, email) FROM STDIN (ENCODING 'SJIS') --{s}\n",
    ),
    literal(
        "COPY FROM STDIN with a condition on another column",
        "COPY customers (id, note) FROM STDIN WHERE email LIKE '{s}%'",
    ),
    literal("COPY FROM PROGRAM", "COPY customers (id, email) FROM PROGRAM 'echo {n},{s}' CSV"),
    literal("COPY FROM a file", "COPY customers (id, email) FROM '/tmp/{s}'"),
    literal(
        "COPY of a query TO PROGRAM",
        "COPY (SELECT id FROM customers WHERE email = '{s}') TO PROGRAM 'cat'",
    ),
    literal(
        "COPY of DML",
        "COPY (INSERT INTO customers (id, email) VALUES ({n}, '{s}' || '') RETURNING id) TO STDOUT",
    ),
    literal(
        "query_to_xml",
        "SELECT query_to_xml('SELECT id FROM customers WHERE email = ''{s}''', true, true, '')",
    ),
    literal(
        "query_to_xml of a built text",
        "SELECT query_to_xml('SELECT id FROM cust' || 'omers WHERE email = ''{s}''', true, true, '')",
    ),
    literal("ts_stat", "SELECT * FROM ts_stat('SELECT to_tsvector(''{s}'') FROM cust' || 'omers')"),
    literal("a view with an INSTEAD trigger", "INSERT INTO customer_door VALUES ({n}, '{s}')"),
    literal("a view with a rule", "INSERT INTO customer_rule VALUES ({n}, '{s}')"),
    literal("a table whose trigger writes", "INSERT INTO inbox VALUES ({n}, '{s}')"),
    literal("a table whose rule writes", "INSERT INTO outbox VALUES ({n}, '{s}')"),
    literal("a child table", "INSERT INTO people_child (id, email) VALUES ({n}, '{s}')"),
    literal("a partition", "INSERT INTO events_1 (id, email) VALUES ({n}, '{s}')"),
    literal("a function in SQL", "SELECT write_sql({n}, '{s}')"),
    literal("a function in PL/pgSQL", "SELECT * FROM write_plpgsql({n}, '{s}')"),
    literal("a function with a body of its own", "SELECT public.write_atomic({n}, '{s}')"),
    literal("a function that calls one", "SELECT write_through({n}, '{s}')"),
    literal("a function in mixed case", "SELECT WRITE_Sql({n}, '{s}')"),
    literal("a function quoted", "SELECT \"write_sql\"({n}, '{s}')"),
    literal("a function with named arguments", "SELECT write_sql(mail => '{s}', i => {n})"),
    literal(
        "a function in a default",
        "INSERT INTO orders (id, note) VALUES ({n}, write_sql({n}, '{s}')::text)",
    ),
    literal("a function in an argument", "NOTIFY x; SELECT upper(write_sql({n}, '{s}')::text)"),
    literal("an operator", "SELECT {n} <~~ '{s}'::text"),
    literal("a cast", "SELECT ROW({n}, '{s}')::customer_row::int"),
    literal("a qualified operator of our own", "SELECT {n} OPERATOR(public.<~~) '{s}'::text"),
    literal("an operator over a list", "SELECT {n} <~~ ANY (ARRAY['{s}'])"),
    literal("an operator over a subquery", "SELECT {n} <~~ ANY (SELECT '{s}')"),
    literal("a cast as CAST", "SELECT CAST(CAST(ROW({n}, '{s}') AS public.customer_row) AS int)"),
    literal("a cast of an array", "SELECT ARRAY[ROW({n}, '{s}')]::customer_row[]::int[]"),
    literal(
        "a cast of an array by its type's own name",
        "SELECT ARRAY[ROW({n}, '{s}')]::_customer_row::_int4",
    ),
    literal("a typed literal of a cast", "SELECT int4(customer_row '({n},{s})')"),
    literal("an aggregate", "SELECT write_all({n}, '{s}'::text)"),
    literal("COPY into a table whose trigger writes", "COPY inbox FROM STDIN --{s}\n"),
    literal("COPY into a table whose rule writes", "COPY outbox (id, mail) FROM STDIN --{s}\n"),
    literal("COPY into a view with an INSTEAD trigger", "COPY customer_door FROM STDIN --{s}\n"),
    literal("COPY into a child table", "COPY people_child FROM STDIN --{s}\n"),
    literal("COPY into a partition", "COPY events_1 FROM STDIN --{s}\n"),
    literal("a function in EXPLAIN ANALYZE", "EXPLAIN ANALYZE SELECT write_sql({n}, '{s}')"),
    literal("a function in PREPARE", "PREPARE p{n} AS SELECT write_sql({n}, '{s}')"),
    literal("a function in a cursor", "DECLARE p{n} CURSOR WITH HOLD FOR SELECT write_sql({n}, '{s}')"),
    literal("a function in CREATE TABLE AS", "CREATE TABLE t{n} AS SELECT write_sql({n}, '{s}')"),
    literal("a function in COPY", "COPY (SELECT write_sql({n}, '{s}')) TO STDOUT"),
    literal("a function in VALUES", "VALUES (write_sql({n}, '{s}'))"),
    literal(
        "a function in ROWS FROM",
        "SELECT * FROM ROWS FROM (write_sql({n}, '{s}'), generate_series(1, 2))",
    ),
    literal(
        "a function in a CTE",
        "WITH w AS MATERIALIZED (SELECT write_sql({n}, '{s}') AS x) SELECT x FROM w",
    ),
    literal("a function in LIMIT", "SELECT 1 LIMIT write_sql({n}, '{s}')"),
    literal("a function in ORDER BY", "SELECT 1 FROM orders ORDER BY write_sql({n}, '{s}')"),
    literal("a function in a window", "SELECT sum(write_sql({n}, '{s}')) OVER () FROM orders"),
    literal("a function in a domain", "CREATE DOMAIN d{n} AS int CHECK (write_sql(VALUE, '{s}') > 0)"),
    literal("a function in a CHECK", "ALTER TABLE orders ADD CHECK (write_sql({n}, '{s}') > 0)"),
    literal(
        "a function in a default of a function",
        "CREATE FUNCTION f{n}(a int DEFAULT write_sql({n}, '{s}')) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    literal(
        "a function in ALTER TABLE USING",
        "ALTER TABLE orders ALTER who TYPE int USING write_sql({n}, '{s}')",
    ),
    literal("a function in an index", "CREATE INDEX ON orders (write_sql({n}, '{s}'))"),
    literal("a function in a policy", "CREATE POLICY p{n} ON orders USING (write_sql({n}, '{s}') > 0)"),
    literal(
        "a function in MERGE",
        "MERGE INTO orders o USING (SELECT 1) s ON o.id = write_sql({n}, '{s}') WHEN MATCHED THEN DELETE",
    ),
    literal("a function in CALL", "CALL nothing(write_sql({n}, '{s}'))"),
    literal(
        "a function in XMLTABLE",
        "SELECT x.* FROM XMLTABLE('/a' PASSING xmlparse(content write_sql({n}, '{s}')::text) COLUMNS e text) x",
    ),
    literal("a table that a foreign key cascades from", "UPDATE mails SET mail = '{s}'"),
    literal(
        "a name that the server cuts",
        "INSERT INTO llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllltail (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal(
        "a name that the server cuts within a letter",
        "INSERT INTO ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss\u{e4}tail (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal(
        "a quoted name that the server cuts within a letter",
        "INSERT INTO \"ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss\u{e4}tail\" (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal(
        "a name beyond ASCII",
        "INSERT INTO public.\"Kunden \u{c4}\" (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal(
        "a name beyond ASCII, escaped",
        "INSERT INTO U&\"Kunden \\00C4\" (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal("a procedure", "CALL write_procedure({n}, '{s}')"),
    bound("a function by parameter", "SELECT write_sql({n}, $1)", &[Text("{s}")]),
    bound("a procedure by parameter", "CALL write_procedure({n}, $1)", &[Text("{s}")]),
    bound(
        "a child table by parameter",
        "INSERT INTO people_child (id, email) VALUES ({n}, $1)",
        &[Text("{s}")],
    ),
];

/// Texts of several statements: simple protocol alone.
pub const SEVERAL: &[Form] = &[
    literal(
        "a second statement that is refused",
        "SELECT 1; INSERT INTO customers (id, email) VALUES ({n}, reverse('{s}'))",
    ),
    literal("a first statement that is refused", "UPDATE customers SET email = '{s}' || ''; SELECT 1"),
    literal(
        "a sealed statement before a refused one",
        "INSERT INTO customers (id, email) VALUES ({n}, '{s}'); SELECT reverse('{s}') = email FROM customers",
    ),
    literal(
        "COPY before a refused statement",
        "COPY customers (id, email) FROM stdin; SELECT reverse('{s}') = email FROM customers",
    ),
    literal(
        "PREPARE and EXECUTE of an expression",
        "PREPARE q{n}(int, text) AS INSERT INTO customers (id, email) VALUES ($1, $2); EXECUTE q{n}({n}, reverse('{s}'))",
    ),
    literal(
        "a column dropped before",
        "ALTER TABLE customers DROP COLUMN id CASCADE; INSERT INTO customers VALUES ('{s}', 'x')",
    ),
    literal(
        "a column moved before",
        "ALTER TABLE customers DROP COLUMN note, ADD COLUMN note text; UPDATE customers SET email = '{s}' || ''",
    ),
    literal(
        "a temporary table in another order",
        "CREATE TEMP TABLE customers (email text, id int); INSERT INTO customers VALUES ('{s}', {n})",
    ),
    literal(
        "a temporary table in another order, by name",
        "CREATE TEMP TABLE customers (email text, id int); INSERT INTO pg_temp.customers VALUES ('{s}', {n})",
    ),
    literal(
        "a renamed table",
        "ALTER TABLE customers RENAME TO harmless; INSERT INTO harmless (id, email) VALUES ({n}, '{s}')",
    ),
    literal(
        "a table renamed as an index",
        "ALTER INDEX customers RENAME TO harmless; INSERT INTO harmless (id, email) VALUES ({n}, '{s}')",
    ),
    literal(
        "a moved table",
        "CREATE SCHEMA s{n}; ALTER TABLE customers SET SCHEMA s{n}; INSERT INTO s{n}.customers (id, email) VALUES ({n}, '{s}' || '')",
    ),
    literal(
        "a renamed column",
        "ALTER TABLE customers RENAME email TO harmless; INSERT INTO customers (id, harmless) VALUES ({n}, '{s}')",
    ),
    literal(
        "a column renamed as a view's",
        "ALTER VIEW customers RENAME COLUMN email TO harmless; INSERT INTO customers (id, harmless) VALUES ({n}, '{s}')",
    ),
    literal(
        "a column renamed as an attribute",
        "ALTER TYPE customers RENAME ATTRIBUTE email TO harmless; INSERT INTO customers (id, harmless) VALUES ({n}, '{s}')",
    ),
    literal(
        "columns that change places",
        "ALTER TABLE customers RENAME email TO tmp; ALTER TABLE customers RENAME note TO email; ALTER TABLE customers RENAME tmp TO note; INSERT INTO customers (id, note) VALUES ({n}, '{s}')",
    ),
    literal(
        "a renamed view",
        "ALTER VIEW customer_list RENAME TO harmless; INSERT INTO harmless (id, email) VALUES ({n}, '{s}')",
    ),
    literal(
        "a view moved and used",
        "ALTER VIEW customer_list SET SCHEMA pg_catalog; INSERT INTO customer_list (id, email) VALUES ({n}, '{s}')",
    ),
    literal(
        "a renamed function",
        "ALTER FUNCTION write_sql(int, text) RENAME TO harmless; SELECT harmless({n}, '{s}')",
    ),
    literal("a renamed routine", "ALTER ROUTINE write_sql RENAME TO harmless; SELECT harmless({n}, '{s}')"),
    literal(
        "a renamed procedure",
        "ALTER PROCEDURE write_procedure RENAME TO harmless; CALL harmless({n}, '{s}')",
    ),
    literal(
        "a renamed trigger table",
        "ALTER TABLE inbox RENAME TO harmless; INSERT INTO harmless VALUES ({n}, '{s}')",
    ),
    literal(
        "an operator over a function",
        "CREATE OPERATOR === (leftarg = int, rightarg = text, function = write_sql); SELECT {n} === '{s}'::text",
    ),
    literal(
        "an aggregate over a function",
        "CREATE AGGREGATE a{n}(text) (sfunc = write_sql, stype = int, initcond = '{n}'); SELECT a{n}('{s}')",
    ),
    literal(
        "a cast over a function",
        "CREATE CAST (inbox AS int) WITH FUNCTION write_row(inbox); SELECT ROW({n}, '{s}')::inbox::int",
    ),
    literal(
        "a default over a function",
        "ALTER TABLE orders ALTER note SET DEFAULT write_sql({n}, '{s}')::text; INSERT INTO orders DEFAULT VALUES",
    ),
    literal(
        "a trigger over a function",
        "CREATE TRIGGER t{n} BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION inbox_in(); INSERT INTO orders VALUES ({n}, {n}, '{s}')",
    ),
    literal(
        "an attached child",
        "CREATE TABLE harmless (LIKE orders); ALTER TABLE harmless INHERIT people; INSERT INTO harmless VALUES ({n}, {n}, '{s}')",
    ),
    literal(
        "a detached partition",
        "ALTER TABLE events DETACH PARTITION events_1; INSERT INTO events_1 (id, email) VALUES ({n}, '{s}')",
    ),
    literal(
        "a nested comment that ends",
        "SELECT 1 /* /* */ */; UPDATE customers SET email = reverse('{s}') /* */",
    ),
    literal(
        "a comment ended by CR alone",
        "SELECT 1 -- '\r; UPDATE customers SET email = reverse('{s}') --'",
    ),
    literal(
        "a dollar quote within a name",
        "SELECT 1 AS a$b$; UPDATE customers SET email = reverse('{s}') --$b$",
    ),
    literal("an unterminated string", "INSERT INTO customers (id, email) VALUES ({n}, '{s}"),
    literal("an unterminated comment", "INSERT INTO customers (id, email) VALUES ({n}, '{s}') /* "),
    literal("an unterminated dollar quote", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'); DO $$ "),
    literal("an unterminated name", "INSERT INTO customers (id, email) VALUES ({n}, '{s}'); SELECT \""),
    literal("Unicode whitespace", "INSERT INTO customers (id, email) VALUES ({n},\u{a0}'{s}')"),
    literal("Unicode quotes", "INSERT INTO customers (id, email) VALUES ({n}, \u{2018}{s}\u{2019})"),
    literal("a full-width name", "INSERT INTO customers (id, \u{ff45}mail) VALUES ({n}, '{s}')"),
    literal("more values than columns", "INSERT INTO customers (id, email) VALUES ({n}, '{s}', 'x')"),
    literal(
        "more values than the table has",
        "INSERT INTO customers VALUES ({n}, 'x', 'y', 'z', 'n', '{s}')",
    ),
    literal("the column twice", "INSERT INTO customers (id, email, email) VALUES ({n}, 'x', '{s}' || '')"),
];

/// What the gate may seal, refuse or leave to the server; the value never shows.
pub const CONTAINED: &[Form] = &[
    // The server says where the fault is, of a text without the value.
    literal("text after the statement", "INSERT INTO customers (id, email) VALUES ({n}, '{s}') x y z"),
    literal("a missing bracket", "INSERT INTO customers (id, email VALUES ({n}, '{s}')"),
    literal("an unknown column", "INSERT INTO customers (id, e_mail) VALUES ({n}, '{s}')"),
    literal("a psql variable", "INSERT INTO customers (id, email) VALUES ({n}, :'{s}')"),
    literal("EXPLAIN of INSERT", "EXPLAIN INSERT INTO customers (id, email) VALUES ({n}, '{s}')"),
    literal(
        "EXPLAIN ANALYZE VERBOSE of a search",
        "EXPLAIN (ANALYZE, VERBOSE, FORMAT json) SELECT id FROM customers WHERE email = '{s}'",
    ),
    literal("a value in brackets", "INSERT INTO customers (id, email) VALUES ({n}, (('{s}')))"),
    literal("a value typed by its prefix", "INSERT INTO customers (id, email) VALUES ({n}, varchar '{s}')"),
    literal("a name with the database", "INSERT INTO shop.public.customers (id, email) VALUES ({n}, '{s}')"),
    literal(
        "another database's name",
        "INSERT INTO postgres.public.customers (id, email) VALUES ({n}, '{s}')",
    ),
    literal(
        "OVERRIDING SYSTEM VALUE",
        "INSERT INTO customers (id, email) OVERRIDING SYSTEM VALUE VALUES ({n}, '{s}')",
    ),
    literal("a comparison in the output", "SELECT email = '{s}' FROM customers"),
    literal("a comparison in ORDER BY", "SELECT id FROM customers ORDER BY email = '{s}'"),
    literal("a comparison in GROUP BY", "SELECT count(*) FROM customers GROUP BY email = '{s}'"),
    literal("a comparison in DISTINCT ON", "SELECT DISTINCT ON (email = '{s}') id FROM customers"),
    literal("a comparison in FILTER", "SELECT count(*) FILTER (WHERE email = '{s}') FROM customers"),
    literal("a comparison in a window", "SELECT count(*) OVER (PARTITION BY email = '{s}') FROM customers"),
    literal("a comparison in LIMIT", "SELECT 1 LIMIT (SELECT count(*) FROM customers WHERE email = '{s}')"),
    literal("a comparison in RETURNING", "UPDATE customers SET id = id RETURNING email = '{s}'"),
    literal("a comparison of a comparison", "SELECT id FROM customers WHERE (email = '{s}') = true"),
    literal("a comparison that is tested", "SELECT id FROM customers WHERE (email = '{s}') IS NOT TRUE"),
    literal("a comparison in CASE", "SELECT CASE WHEN email = '{s}' THEN 1 END FROM customers"),
    literal("a comparison in a function", "SELECT coalesce(email = '{s}', false) FROM customers"),
    literal("a comparison in VALUES", "VALUES ((SELECT id FROM customers WHERE email = '{s}'))"),
    literal("a comparison in an array", "SELECT ARRAY(SELECT id FROM customers WHERE email = '{s}')"),
    literal(
        "a comparison in a set",
        "SELECT id FROM orders UNION SELECT id FROM customers WHERE email = '{s}'",
    ),
    literal(
        "a comparison in INSERT SELECT",
        "INSERT INTO orders (id) SELECT id FROM customers WHERE email = '{s}'",
    ),
    literal(
        "a comparison in an assignment",
        "UPDATE orders SET who = (SELECT id FROM customers WHERE email = '{s}')",
    ),
    literal(
        "a comparison of everything with everything",
        "SELECT 1 FROM customers c FULL JOIN leads l ON l.email = '{s}' AND c.email = '{s}'",
    ),
    literal("= SOME", "SELECT id FROM customers WHERE email = SOME (ARRAY['{s}'])"),
    literal("= ANY of a cast ARRAY", "SELECT id FROM customers WHERE email = ANY(ARRAY['{s}']::varchar[])"),
    literal("LIKE with an escape", "SELECT id FROM customers WHERE email LIKE '{s}' ESCAPE '!'"),
    literal("IS DISTINCT FROM", "SELECT id FROM customers WHERE email IS DISTINCT FROM '{s}'"),
    literal("ROW of one", "SELECT id FROM customers WHERE ROW(email) = ROW('{s}')"),
    literal("DELETE RETURNING a comparison", "DELETE FROM customers WHERE id = -7 RETURNING email = '{s}'"),
    literal(
        "OLD and NEW",
        "UPDATE customers SET email = '{s}' WHERE id = -7 RETURNING WITH (OLD AS o, NEW AS n) o.email, n.email",
    ),
    literal(
        "locking clauses behind a comparison",
        "SELECT id FROM customers WHERE email = '{s}' FOR NO KEY UPDATE SKIP LOCKED",
    ),
    literal("a parent table", "INSERT INTO people (id, email) VALUES ({n}, '{s}')"),
    literal("a partitioned table", "INSERT INTO events (id, email) VALUES ({n}, '{s}')"),
    literal("a partitioned table compared", "SELECT id FROM events WHERE email = '{s}'"),
    literal("UPDATE WHERE CURRENT OF", "UPDATE customers SET email = '{s}' WHERE CURRENT OF c"),
    literal("PREPARE", "PREPARE r{n} AS INSERT INTO customers (id, email) VALUES ({n}, '{s}')"),
    literal("DECLARE", "DECLARE d{n} CURSOR FOR SELECT id FROM customers WHERE email = '{s}'"),
    bound(
        "DECLARE with a parameter",
        "DECLARE c{n} CURSOR FOR SELECT id FROM customers WHERE email = $1",
        &[Text("{s}")],
    ),
    bound("EXPLAIN with a parameter", "EXPLAIN SELECT id FROM customers WHERE email = $1", &[Text("{s}")]),
    bound("a parameter and LIMIT", "SELECT id FROM customers WHERE email = $1 LIMIT 1", &[Text("{s}")]),
];
