//! What the server makes of a value, asked for many at once.

use crate::harness::Session;

/// SQLSTATE of a refusal, or the value as text and in binary.
pub type Answer = Result<(String, Vec<u8>), String>;

const FUNCTIONS: &str = r"
create or replace function pg_temp.told(expression text, send text, out state text, out txt text, out bin text)
language plpgsql as $$
begin
  execute 'insert into hold values (' || expression || ') returning format(''%s'', v), encode(' || send
    || '(v), ''hex'')' into txt, bin;
exception when others then state := sqlstate;
end $$;
create or replace function pg_temp.whether(expression text, out state text, out txt text)
language plpgsql as $$
begin
  execute expression into txt;
exception when others then state := sqlstate;
end $$;
";

pub fn prepare(session: &Session) {
    session.text(FUNCTIONS).unwrap();
}

pub fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

fn list(expressions: &[String]) -> String {
    expressions.iter().map(|expression| quoted(expression)).collect::<Vec<_>>().join(",")
}

pub fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// Stores each expression in a column of this type.
pub fn stored(session: &Session, sql_type: &str, send: &str, expressions: &[String]) -> Vec<Answer> {
    session.text(&format!("drop table if exists hold; create temp table hold (v {sql_type})")).unwrap();
    let mut answers = Vec::new();
    for some in expressions.chunks(500) {
        let sql = format!(
            "select t.* from unnest(array[{}]) with ordinality e(x, n), pg_temp.told(x, '{send}') t order by n",
            list(some)
        );
        for row in session.text(&sql).unwrap() {
            answers.push(match &row[0] {
                Some(state) => Err(state.clone()),
                None => match (&row[1], &row[2]) {
                    (Some(text), Some(hex)) => Ok((text.clone(), unhex(hex))),
                    _ => Err("NULL".to_owned()),
                },
            });
        }
    }
    assert_eq!(answers.len(), expressions.len());
    answers
}

/// What each expression is, as text.
pub fn whether(session: &Session, expressions: &[String]) -> Vec<Result<Option<String>, String>> {
    let mut answers = Vec::new();
    for some in expressions.chunks(500) {
        let sql = format!(
            "select t.* from unnest(array[{}]) with ordinality e(x, n), pg_temp.whether(x) t order by n",
            list(some)
        );
        for row in session.text(&sql).unwrap() {
            answers.push(match &row[0] {
                Some(state) => Err(state.clone()),
                None => Ok(row[1].clone()),
            });
        }
    }
    answers
}
