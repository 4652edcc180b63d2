//! Why the facts come from PostgreSQL's own grammar: texts that sqlparser reads without an
//! error, with the same tokens in the same order, and another structure. Structure decides
//! which literal is compared with what.

use sqlparser::ast::{Expr, SelectItem, SetExpr, Statement, TableFactor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::shop::judged;

fn read(sql: &str) -> Statement {
    Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0)
}

fn projection_and_selection(sql: &str) -> (Vec<SelectItem>, Option<Expr>) {
    let Statement::Query(query) = read(sql) else { panic!("{sql}") };
    let SetExpr::Select(select) = *query.body else { panic!("{sql}") };
    (select.projection, select.selection)
}

fn reason(sql: &str) -> &'static str {
    judged(sql).expect_err(sql).reason
}

#[test]
fn sqlparser_would_have_read_a_comparison_where_there_is_none() {
    // PostgreSQL: email = ('a' ~ 'b'). sqlparser: (email = 'a') ~ 'b', so 'a' would have
    // been sealed as a value of email, and 'b' sent as it is.
    let sql = "SELECT id FROM customers WHERE email = 'a' ~ 'b'";
    let (_, selection) = projection_and_selection(sql);
    let Some(Expr::BinaryOp { left, .. }) = selection else { panic!() };
    assert_eq!(left.to_string(), "email = 'a'");
    assert_eq!(reason(sql), "unsupported-position");
}

#[test]
fn sqlparser_would_have_read_another_table() {
    let Statement::Update(update) = read("UPDATE ONLY customers SET email = 'a'") else { panic!() };
    let TableFactor::Table { name, alias, .. } = update.table.relation else { panic!() };
    assert_eq!(name.to_string(), "ONLY");
    assert_eq!(alias.unwrap().name.value, "customers");
    let facts = judged("UPDATE ONLY customers SET email = 'a'").unwrap();
    assert_eq!(facts.statements[0].literals.len(), 1);
}

#[test]
fn sqlparser_would_have_read_an_alias_for_a_test_a_type_and_a_literal() {
    for (sql, alias) in [
        ("SELECT email ISNULL FROM customers", "ISNULL"),
        ("SELECT xid8 '7', email FROM customers", "7"),
        ("SELECT 'a'\n'b', email FROM customers", "b"),
    ] {
        let (projection, _) = projection_and_selection(sql);
        let SelectItem::ExprWithAlias { alias: read, .. } = &projection[0] else { panic!("{sql}") };
        assert_eq!(read.value, alias, "{sql}");
    }
    // A test for NULL reads no value.
    let facts = judged("SELECT email ISNULL FROM customers").unwrap();
    assert!(facts.statements[0].reads.is_empty() && !facts.statements[0].searches.is_empty());
    // Two strings are one to PostgreSQL: the lexers count differently.
    assert_eq!(reason("SELECT 'a'\n'b', email FROM customers"), "readers-disagree");
}

#[test]
fn sqlparser_would_have_read_another_operator() {
    let (projection, _) = projection_and_selection("SELECT id>-1 FROM customers");
    let SelectItem::UnnamedExpr(Expr::BinaryOp { op, .. }) = &projection[0] else { panic!() };
    assert_eq!(op.to_string(), ">-");
    // PostgreSQL: id > (-1).
    assert!(judged("SELECT id FROM customers WHERE id>-1 AND email = 'a'").is_ok());
}
