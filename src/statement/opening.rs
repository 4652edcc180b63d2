//! A function of PL/pgSQL that opens one cursor for one query, and returns its name: a statement that calls it and
//! does nothing else gives that name to the query, as DECLARE does.
//!
//! The name is the caller's to choose, the function's, or the server's. Where the text tells it, it is known before
//! the server has answered; in any case the row that the function returns tells it.

use std::cell::RefCell;
use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, LimitOption, Node, SetOperation};

use crate::catalog::{CursorName, Opening, Snapshot};

use super::by_name;
use super::copying::{Reader, lexemes};
use super::facts::{Compared, NameOf, ParameterUse, StatementFacts};
use super::function::{TEXT, judged_query};
use super::matters::Bench;
use super::read::census::{Census, census};
use super::read::tree::{self, kind};
use super::refusal::{Proven, refuse, unsupported};
use super::subject;
use super::view::READING;

/// `pg_type.oid` of `refcursor`.
const REFCURSOR: u32 = 1790;

/// The server cuts names of cursors to so many bytes.
const NAME_BYTES_MAX: usize = 63;

/// A name that the function's own text may use for something else than a column.
const FOUND: &str = "found";

// ---- what the catalog has -----------------------------------------------------------------

/// Follows the body of a function in PL/pgSQL that returns a `refcursor`.
///
/// # Errors
/// [`Unproven`](super::Unproven): why it cannot be followed.
pub fn followed_opening(
    schema: &str,
    name: &str,
    arguments: Vec<(Option<Arc<str>>, u32)>,
    body: &str,
    snapshot: &Snapshot,
) -> Proven<Opening> {
    if !body.is_ascii() || body.contains('\\') {
        return Err(unsupported("characters beyond ASCII, or a backslash, in a function"));
    }
    let mut read = Reader {
        body,
        lexemes: lexemes(body)?,
        at: 0,
        depth: 0,
        snapshot,
        relation: None,
        used: RefCell::default(),
    };
    let (cursor, named, query) = read_body(&mut read, &arguments)?;
    let opening = Opening { schema: schema.into(), name: name.into(), query: query.into(), arguments, named };
    let facts = query_of(&opening, &cursor, snapshot)?;
    for used in facts.parameters.iter().filter(|used| used.taken.compared != Compared::Asked) {
        let at = usize::from(used.number).checked_sub(1);
        let of = at.and_then(|at| opening.arguments.get(at)).map(|(_, of)| *of);
        if used.is_own() || used.array || !of.is_some_and(|of| TEXT.contains(&of)) {
            return Err(unsupported("an argument of this type for a sealed column"));
        }
    }
    Ok(opening)
}

fn unread() -> super::Unproven {
    refuse(
        "definition",
        "it does more than open one cursor for a query and return it",
        "Open the cursor by DECLARE.",
    )
}

/// `[DECLARE c refcursor [:= 'name'];] BEGIN OPEN c [[NO] SCROLL] FOR query; RETURN c; END`: what the variable of the
/// cursor is called, where the cursor has its name from, and the query.
fn read_body<'a>(
    read: &mut Reader<'a>,
    arguments: &[(Option<Arc<str>>, u32)],
) -> Proven<(String, CursorName, &'a str)> {
    let mut declared = None;
    if read.word(read.at).as_deref() == Some("declare") {
        read.at += 1;
        let variable = read.word(read.at).ok_or_else(unread)?;
        read.at += 1;
        read.expect("refcursor")?;
        let mut named = CursorName::Server;
        let assigned = match (read.peek_mark(), read.word(read.at).as_deref()) {
            (Some(":"), _) => {
                read.at += 1;
                read.expect("=").map(|()| true)?
            }
            (Some("="), _) | (_, Some("default")) => {
                read.at += 1;
                true
            }
            (_, _) => false,
        };
        if assigned {
            let value = read.until(";")?.trim();
            let name = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
            named = CursorName::Constant(name.filter(|name| is_name(name)).ok_or_else(unread)?.into());
        } else {
            read.expect(";")?;
        }
        declared = Some((variable, named));
    }
    read.expect("begin")?;
    read.expect("open")?;
    let cursor = read.word(read.at).ok_or_else(unread)?;
    read.at += 1;
    match read.word(read.at).as_deref() {
        Some("no") => {
            read.at += 1;
            read.expect("scroll")?;
        }
        Some("scroll") => read.at += 1,
        Some(_) | None => {}
    }
    read.expect("for")?;
    let query = read.until(";")?;
    read.expect("return")?;
    read.expect(&cursor)?;
    read.expect(";")?;
    read.expect("end")?;
    if read.peek_mark() == Some(";") {
        read.at += 1;
    }
    if read.at != read.lexemes.len() {
        return Err(unread());
    }
    let of_argument =
        |(name, of): &(Option<Arc<str>>, u32)| name.as_deref() == Some(&*cursor) && *of == REFCURSOR;
    let argument = arguments.iter().position(of_argument);
    let named = match (declared, argument) {
        (Some((variable, named)), None) if variable == cursor => named,
        (None, Some(at)) => CursorName::Argument(at),
        (_, _) => return Err(unread()),
    };
    Ok((cursor, named, query))
}

/// What the query of such a function does, with its arguments as parameters.
fn query_of(opening: &Opening, cursor: &str, snapshot: &Snapshot) -> Proven<StatementFacts> {
    let parsed = tree::parse(&opening.query, READING)?;
    let [only] = parsed.stmts.as_slice() else { return Err(unread()) };
    let Some(node) = only.stmt.as_deref() else { return Err(unread()) };
    let found = census(node);
    let is_select = matches!(kind(node), Some(Kind::SelectStmt(_))) && tree::into(node).is_none();
    if found.incomplete || found.writers > 0 || !is_select {
        return Err(unread());
    }
    refuse_other_variables(opening, cursor, &found, snapshot)?;
    let names = snapshot.names(None);
    let bench = Bench { snapshot, names, text: opening.query.as_bytes(), reading: READING };
    let (mut facts, _) = judged_query(bench, node, &found, &opening.name, &opening.arguments)?;
    facts.subjects = subject::subjects(bench, node, &found, &facts);
    // The places of its values are those of another text.
    for one in facts.subjects.iter_mut().filter(|one| !one.named.is_empty()) {
        one.named.clear();
        one.why = subject::BY_NAME;
    }
    Ok(facts)
}

/// Whether a name is a variable or a column a setting decides where it could be both; and nothing here is known of
/// variables that are no argument.
fn refuse_other_variables(
    opening: &Opening,
    cursor: &str,
    found: &Census,
    snapshot: &Snapshot,
) -> Proven<()> {
    let is_argument = |name: &str| opening.arguments.iter().any(|(of, _)| of.as_deref() == Some(name));
    let is_column = |name: &str| {
        let named = |relation: &&crate::catalog::Relation| {
            found.ranges.iter().any(|range| *range.name == *relation.name.name)
        };
        snapshot.relations().filter(named).any(|relation| relation.column(name).is_some())
    };
    let unsure = found.columns.iter().filter_map(|column| column.parts.first()).any(|name| {
        let is_other = name == cursor || name == FOUND || *name == *opening.name;
        is_other || is_argument(name) && is_column(name)
    });
    if unsure {
        Err(unsupported("a name that may be a variable of the function or a column"))
    } else {
        Ok(())
    }
}

/// May a cursor be called so wherever it is written?
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

// ---- what a text says ---------------------------------------------------------------------

/// The facts of a statement that calls such a function, and does nothing else. None: it calls none.
///
/// # Errors
/// It does something else, too, or gives a value for a sealed column in a way that is not followed.
pub(super) fn opened(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<Option<StatementFacts>> {
    let opening = found.calls.iter().find_map(|call| bench.snapshot.opening(&call.parts));
    let Some(opening) = opening else { return Ok(None) };
    let call =
        alone(node).filter(|call| found.calls.len() == 1 && call.args.len() == opening.arguments.len());
    let is_value = |arg: &Node| match kind(arg) {
        Some(Kind::AConst(_) | Kind::ParamRef(_)) => true,
        Some(Kind::TypeCast(cast)) => {
            let inner = cast.arg.as_deref().and_then(kind);
            matches!(inner, Some(Kind::AConst(_) | Kind::ParamRef(_)))
        }
        Some(_) | None => false,
    };
    let Some(call) = call.filter(|call| call.args.iter().all(is_value)) else {
        return Err(refuse(
            "function",
            format!(
                "the function \"{}\" opens a cursor over sealed columns, and the statement does more than call it with literals and parameters",
                opening.name
            ),
            format!("Call it alone, as SELECT {}(...), or open the cursor by DECLARE.", opening.name),
        ));
    };
    let numbers: Vec<i32> = found.parameters.iter().map(|(number, _)| *number).collect();
    if numbers.iter().enumerate().any(|(at, number)| numbers.iter().skip(at + 1).any(|other| other == number))
    {
        return Err(refuse(
            "parameter-conflict",
            format!("one parameter stands for two arguments of the function \"{}\"", opening.name),
            "Give each argument a parameter of its own.",
        ));
    }
    let cursor = match opening.named {
        CursorName::Argument(at) => opening.arguments.get(at).and_then(|(name, _)| name.clone()),
        CursorName::Constant(_) | CursorName::Server => None,
    };
    let mut query = query_of(opening, cursor.as_deref().unwrap_or_default(), bench.snapshot)?;
    let (mut literals, mut parameters) = (Vec::new(), Vec::new());
    for used in query.parameters.iter().filter(|used| used.taken.compared != Compared::Asked) {
        let at = usize::from(used.number).saturating_sub(1);
        let Some(arg) = call.args.get(at) else { return Err(unread()) };
        match parameter(arg) {
            Some(number) => parameters.push(ParameterUse { number, given: number, ..used.clone() }),
            None => {
                let argument = by_name::argument(bench, arg);
                by_name::given(used, &argument, &mut literals).map_err(|_| {
                    refuse(
                        "literal-form",
                        format!("argument {} of the function \"{}\" is a value of a sealed column, and not written as a literal", used.number, opening.name),
                        "Write it as '...', E'...' or $$...$$, or as a parameter.",
                    )
                })?;
            }
        }
    }
    let name = match &opening.named {
        CursorName::Argument(at) => call.args.get(*at).and_then(name_in).unwrap_or_default(),
        CursorName::Constant(name) => name.to_string(),
        CursorName::Server => String::new(),
    };
    literals.sort_by_key(|literal| literal.span.start);
    parameters.sort_by_key(|used| used.number);
    query.parameters.clear();
    let of = NameOf::Portal { holds: false, opened: true };
    let facts = by_name::named(&name, of, query);
    Ok(Some(StatementFacts { literals, parameters, ..facts }))
}

/// The name that a literal gives. None: the row will tell.
fn name_in(arg: &Node) -> Option<String> {
    let Some(Kind::AConst(constant)) = kind(arg) else { return None };
    match &constant.val {
        Some(protobuf::a_const::Val::Sval(string)) if is_name(&string.sval) => Some(string.sval.clone()),
        Some(_) | None => None,
    }
}

/// The number of the parameter that an argument is, whatever it is cast to.
fn parameter(arg: &Node) -> Option<u16> {
    let of = |node: &Node| {
        let Some(Kind::ParamRef(of)) = kind(node) else { return None };
        u16::try_from(of.number).ok()
    };
    let Some(Kind::TypeCast(cast)) = kind(arg) else { return of(arg) };
    let stays = cast.type_name.as_ref().is_some_and(|of| tree::is_plain_text_type(of, false));
    cast.arg.as_deref().and_then(of).filter(|_| stays)
}

/// The call of `SELECT f(...)` or `SELECT * FROM f(...)`, without anything else.
fn alone(node: &Node) -> Option<&protobuf::FuncCall> {
    let Some(Kind::SelectStmt(select)) = kind(node) else { return None };
    let [target] = select.target_list.as_slice() else { return None };
    let Some(Kind::ResTarget(target)) = kind(target) else { return None };
    let value = target.val.as_deref().filter(|_| target.indirection.is_empty())?;
    let call = match select.from_clause.as_slice() {
        [] => value,
        [from] => {
            let Some(Kind::RangeFunction(from)) = kind(from) else { return None };
            let Some(Kind::ColumnRef(column)) = kind(value) else { return None };
            let all =
                matches!(column.fields.as_slice(), [star] if matches!(kind(star), Some(Kind::AStar(_))));
            let plain = !(from.lateral || from.ordinality || from.is_rowsfrom) && from.coldeflist.is_empty();
            let [function] = from.functions.as_slice() else { return None };
            let Some(Kind::List(function)) = kind(function).filter(|_| all && plain) else { return None };
            function.items.first()?
        }
        _ => return None,
    };
    let rest =
        protobuf::SelectStmt { target_list: Vec::new(), from_clause: Vec::new(), ..(**select).clone() };
    let bare = protobuf::SelectStmt {
        limit_option: LimitOption::Default as i32,
        op: SetOperation::SetopNone as i32,
        ..protobuf::SelectStmt::default()
    };
    let Some(Kind::FuncCall(call)) = kind(call).filter(|_| rest == bare) else { return None };
    let aggregates =
        call.agg_within_group || call.agg_star || call.agg_distinct || !call.agg_order.is_empty();
    let plain = !aggregates && !call.func_variadic && call.agg_filter.is_none() && call.over.is_none();
    plain.then_some(call)
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Action, ResultColumn};
    use super::super::shop::{EMAIL, judged, shop};
    use super::*;

    fn followed(body: &str) -> Result<CursorName, String> {
        let arguments =
            vec![(Some("c".into()), REFCURSOR), (Some("wanted".into()), 25), (Some("city".into()), 25)];
        followed_opening("public", "f", arguments, body, &shop())
            .map(|opening| opening.named)
            .map_err(|unproven| unproven.detail)
    }

    #[test]
    fn what_opens_one_cursor_and_returns_it_is_followed() {
        let by_caller = Ok(CursorName::Argument(0));
        for (body, named) in [
            ("BEGIN OPEN c FOR SELECT id, email FROM customers; RETURN c; END", by_caller.clone()),
            ("begin open C no scroll for select email from customers order by id; return c; end;", by_caller.clone()),
            ("BEGIN OPEN c SCROLL FOR SELECT email FROM customers WHERE email = wanted; RETURN c; END", by_caller.clone()),
            ("BEGIN OPEN c FOR SELECT email FROM customers WHERE email = $2; RETURN c; END", by_caller.clone()),
            ("BEGIN OPEN c FOR SELECT email FROM customers WHERE note = f.wanted; RETURN c; END", Err("a name that may be a variable of the function or a column over a classified column is not supported".to_owned())),
            ("DECLARE d refcursor; BEGIN OPEN d FOR SELECT email FROM customers; RETURN d; END", Ok(CursorName::Server)),
            ("DECLARE d refcursor := 'of all'; BEGIN OPEN d FOR SELECT email FROM customers; -- all\n RETURN d; END", Ok(CursorName::Constant("of all".into()))),
        ] {
            let found = followed(body);
            assert_eq!(found.is_ok(), named.is_ok(), "{body}: {found:?}");
            if named.is_ok() {
                assert_eq!(found, named, "{body}");
            }
        }
    }

    #[test]
    fn what_does_more_is_not() {
        for body in [
            "BEGIN OPEN c FOR EXECUTE 'SELECT email FROM customers'; RETURN c; END",
            "BEGIN OPEN c FOR EXECUTE wanted; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers; RETURN 'other'; END",
            "BEGIN OPEN c FOR SELECT email FROM customers; RETURN wanted; END",
            "BEGIN OPEN wanted FOR SELECT email FROM customers; RETURN wanted; END",
            "BEGIN c := 'other'; OPEN c FOR SELECT email FROM customers; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers; CLOSE c; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers; FETCH c INTO wanted; RETURN c; END",
            "BEGIN CLOSE c; OPEN c FOR SELECT email FROM customers; RETURN c; END",
            "BEGIN OPEN c; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers; RETURN c; EXCEPTION WHEN others THEN RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers; RETURN c; END; SELECT 1",
            "<<l>> BEGIN OPEN c FOR SELECT email FROM customers; RETURN c; END",
            "#variable_conflict use_variable\nBEGIN OPEN c FOR SELECT email FROM customers; RETURN c; END",
            "DECLARE d refcursor; e text; BEGIN OPEN d FOR SELECT email FROM customers; RETURN d; END",
            "DECLARE c refcursor; BEGIN OPEN c FOR SELECT email FROM customers; RETURN c; END",
            "DECLARE d refcursor := wanted; BEGIN OPEN d FOR SELECT email FROM customers; RETURN d; END",
            "DECLARE d refcursor := 'a' || 'b'; BEGIN OPEN d FOR SELECT email FROM customers; RETURN d; END",
            "DECLARE d CURSOR FOR SELECT email FROM customers; BEGIN OPEN d; RETURN d; END",
            // A name of two meanings, of which a setting chooses.
            "BEGIN OPEN c FOR SELECT email FROM customers WHERE city = 'x'; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email, c FROM customers; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email, found FROM customers; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers WHERE email = f.wanted; RETURN c; END",
            // What a client could not send either.
            "BEGIN OPEN c FOR SELECT lower(email) FROM customers; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers WHERE email = 'a@x'; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers WHERE email LIKE wanted; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email, reach_all() FROM customers; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email INTO t FROM customers; RETURN c; END",
            "BEGIN OPEN c FOR UPDATE customers SET note = 'x' RETURNING email; RETURN c; END",
            "BEGIN OPEN c FOR WITH x AS (DELETE FROM customers RETURNING email) SELECT email FROM x; RETURN c; END",
            "BEGIN OPEN c FOR SELECT email FROM customers WHERE note = 'a\\'; RETURN c; END",
        ] {
            assert!(followed(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_call_alone_gives_the_query_its_name_and_shows_nothing_yet() {
        for (sql, name, parameters) in [
            ("SELECT listed('c', 'a@x', 1)", "c", vec![]),
            ("SELECT public.listed('<unnamed portal 7>', 'a@x', 1) AS r", "<unnamed portal 7>", vec![]),
            ("SELECT * FROM listed('c', 'a@x', 1)", "c", vec![]),
            ("select * from listed($1, $2, $3) as result", "", vec![2]),
            ("SELECT listed(NULL, $1::text, 1)", "", vec![1]),
            ("SELECT listed('', 'a@x', 1)", "", vec![]),
            ("SELECT listed('c'::refcursor, 'a@x', 1)", "", vec![]),
            ("SELECT listed(E'\\x41', 'a@x', 1)", "A", vec![]),
            ("SELECT all_of()", "", vec![]),
            ("SELECT fixed()", "mine", vec![]),
        ] {
            let facts = judged(sql).unwrap_or_else(|unproven| panic!("{sql}: {unproven:?}"));
            let [only] = facts.statements.as_slice() else { panic!("{sql}") };
            assert_eq!(
                (only.action(), &*only.outputs),
                (Some(Action::Search), &[ResultColumn::Plain][..]),
                "{sql}"
            );
            let named = only.effect.names.as_ref().unwrap();
            assert_eq!(&*named.name, name, "{sql}");
            assert_eq!(named.of, NameOf::Portal { holds: false, opened: true }, "{sql}");
            assert_eq!(named.facts.reads, [EMAIL], "{sql}");
            assert_eq!(
                only.parameters.iter().map(|used| used.number).collect::<Vec<_>>(),
                parameters,
                "{sql}"
            );
            let literals = usize::from(sql.contains("'a@x'"));
            assert_eq!(only.literals.len(), literals, "{sql}");
        }
    }

    #[test]
    fn a_call_beside_anything_else_opens_nothing() {
        for sql in [
            "SELECT listed('c', 'a@x', 1), 1",
            "SELECT listed('c', 'a@x', 1) WHERE false",
            "SELECT listed('c', 'a@x', 1) LIMIT 0",
            "SELECT listed('c', 'a@x', 1) FROM generate_series(1, 0)",
            "SELECT * FROM listed('c', 'a@x', 1), leads",
            "SELECT * FROM listed('c', 'a@x', 1) WITH ORDINALITY",
            "SELECT * FROM ROWS FROM (listed('c', 'a@x', 1))",
            "SELECT 1 FROM listed('c', 'a@x', 1)",
            "SELECT listed('c', 'a@x', 1) UNION SELECT 'd'",
            "SELECT (listed('c', 'a@x', 1))::text",
            "SELECT coalesce(listed('c', 'a@x', 1), 'd')",
            "SELECT (SELECT listed('c', 'a@x', 1))",
            "SELECT listed('c', 'a@x', 1) OVER ()",
            "SELECT listed('c', 'a@x', 1) INTO t",
            "SELECT listed(c => 'c', wanted => 'a@x', least => 1)",
            "SELECT listed('c', 'a@x')",
            "SELECT listed('c', 'a' || '@x', 1)",
            "SELECT listed('c', lower('a@x'), 1)",
            "SELECT listed('c', (SELECT email FROM customers LIMIT 1), 1)",
            "SELECT listed((SELECT note FROM customers LIMIT 1), 'a@x', 1)",
            "SELECT listed($1, $1, 1)",
            "SELECT other.listed('c', 'a@x', 1) FROM customers",
            "WITH x AS (SELECT 1) SELECT listed('c', 'a@x', 1)",
            "CREATE TABLE t AS SELECT listed('c', 'a@x', 1)",
            "EXPLAIN ANALYZE SELECT listed('c', 'a@x', 1)",
            "PREPARE p AS SELECT listed('c', 'a@x', 1)",
            "DECLARE d CURSOR FOR SELECT listed('c', 'a@x', 1)",
            "COPY (SELECT listed('c', 'a@x', 1)) TO STDOUT",
            "INSERT INTO leads (note) SELECT listed('c', 'a@x', 1)",
            "UPDATE leads SET note = listed('c', 'a@x', 1)",
            "CREATE VIEW v AS SELECT all_of()",
        ] {
            assert!(judged(sql).is_err(), "{sql}");
        }
    }
}
