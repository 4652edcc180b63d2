//! The same oracle over what real drivers and ORMs send: of each statement that pgaudit sees reach a classified
//! table, there is an execution on record that names a field of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sealgate::store::postgres::Options;

use crate::harness::{Setup, await_that, pg_with};
use crate::models::{SCHEMA, transcript};
use crate::shop::records;

const TABLES: [(&str, &[&str]); 2] =
    [("public.members", &["email", "phone", "note"]), ("public.loans", &["email", "remark"])];

/// One statement that the server saw reach a table.
struct Seen {
    /// Process, and the number of the statement in it.
    statement: (String, String),
    table: String,
    text: String,
}

/// What the server saw of clients. Not its own work within a statement (ON DELETE CASCADE), which stands in no text
/// of a client.
fn seen(log: &str) -> Vec<Seen> {
    let of_clients = log.lines().filter(|line| !line.contains("app=sealgate "));
    let told = of_clients.filter_map(|line| Some((line, line.split_once("AUDIT: OBJECT,")?.1)));
    told.filter_map(|(line, told)| {
        // statement, part, class, command, kind, name, text
        let words: Vec<&str> = told.splitn(7, ',').collect();
        let process = line.split(' ').next().unwrap().to_owned();
        (words[1] == "1").then(|| Seen {
            statement: (process, words[0].to_owned()),
            table: words[5].to_owned(),
            text: words[6].trim_matches('"').replace("\"\"", "\"").to_lowercase(),
        })
    })
    .collect()
}

/// Does it reach one of these columns? Whoever counts rows needs the right to any column, and reads none.
fn names(text: &str, columns: &[&str]) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    !["select", "with"].contains(&first)
        || text.replace("count(*)", "").contains('*')
        || columns.iter().any(|column| text.contains(column))
}

/// Runs a program through a gate before a server with pgaudit, and compares what each has seen.
pub fn hold_against_pgaudit(program: &[String]) {
    let database = "sealed";
    let configuration = [
        "shared_preload_libraries = 'pgaudit'",
        "log_line_prefix = 'pid=%p app=%a '",
        "pgaudit.role = 'auditor'",
    ];
    let configuration = configuration.map(str::to_owned).to_vec();
    let server = pg_with(Options { major: Some(15), configuration, ..Options::default() });
    server.create_database(database).unwrap();
    server.execute(database, SCHEMA).unwrap();
    server.execute(database, "CREATE ROLE auditor; CREATE EXTENSION pgaudit").unwrap();
    let mut setup = Setup::before(server.address());
    for (table, columns) in TABLES {
        for column in columns {
            let mode = if ["note", "remark"].contains(column) { "random" } else { "equality" };
            setup = setup.field_with(table, column, mode, &format!("database = \"{database}\""));
        }
        let columns = columns.join(", ");
        let rights = format!("SELECT ({columns}), INSERT ({columns}), UPDATE ({columns}), DELETE, TRUNCATE");
        server.execute(database, &format!("GRANT {rights} ON {table} TO auditor")).unwrap();
    }
    let gate = setup.start();
    let since = fs::read_to_string(server.log_file()).unwrap().len();
    transcript(gate.address(), database, program);
    let count = |kind: &str| records(&gate).iter().filter(|record| record["kind"] == kind).count();
    await_that("each intent to have its outcome", || count("outcome") >= count("intent"));
    let seen = seen(&fs::read_to_string(server.log_file()).unwrap()[since..]);
    let records = records(&gate);
    for (table, columns) in TABLES {
        let of_table = seen.iter().filter(|seen| seen.table == table && names(&seen.text, columns));
        let reached: BTreeMap<_, _> = of_table.map(|seen| (&seen.statement, &seen.text)).collect();
        let executions: BTreeSet<_> = records
            .iter()
            .filter(|record| record["kind"] == "intent" || record["kind"] == "outcome")
            .filter(|record| record["fields"].to_string().contains(&format!("\"{table}.")))
            .map(|record| (record["session"].to_string(), record["statement_id"].to_string()))
            .collect();
        assert!(
            executions.len() >= reached.len() && reached.len() > 5,
            "{program:?} on {table}: the server saw {}, on record are {}: {:#?}",
            reached.len(),
            executions.len(),
            reached.values().collect::<Vec<_>>()
        );
    }
}
