//! The same oracle over what real drivers and ORMs send: of each statement that pgaudit sees reach a classified
//! table, there is an execution on record that names a field of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sealgate::store::postgres::Options;

use crate::harness::{Setup, await_that, pg_with};
use crate::models::{SCHEMA, all, transcript};
use crate::shop::records;

const TABLES: [(&str, &[&str]); 2] =
    [("public.members", &["email", "phone", "note"]), ("public.loans", &["email", "remark"])];

/// Of each table the statements that reach it: by process, number, and number within it.
type Reached = BTreeMap<String, BTreeSet<(String, String, String)>>;

/// What the server saw of clients since.
fn seen(log: &str) -> Reached {
    let mut reached = Reached::new();
    let of_clients = log.lines().filter(|line| !line.contains("app=sealgate "));
    for line in of_clients.filter(|line| line.contains("AUDIT: OBJECT,")) {
        let process = line.split(' ').find_map(|word| word.strip_prefix("pid=")).unwrap();
        // OBJECT, statement, part, class, command, kind, name
        let told = line.split_once("AUDIT: ").unwrap().1;
        let words: Vec<&str> = told.splitn(8, ',').collect();
        let statement = (process.to_owned(), words[1].to_owned(), words[2].to_owned());
        reached.entry(words[6].to_owned()).or_default().insert(statement);
    }
    reached
}

#[test]
fn whatever_pgaudit_sees_of_drivers_programs_is_on_record() {
    let configuration = [
        "shared_preload_libraries = 'pgaudit'",
        "pgaudit.log_statement = off",
        "log_line_prefix = 'pid=%p app=%a '",
        "pgaudit.role = 'auditor'",
    ];
    let configuration = configuration.map(str::to_owned).to_vec();
    let server = pg_with(Options { major: Some(15), configuration, ..Options::default() });
    server.execute("postgres", "CREATE ROLE auditor").unwrap();
    for (number, program) in all().iter().enumerate() {
        let database = format!("program_{number}");
        server.create_database(&database).unwrap();
        server.execute(&database, SCHEMA).unwrap();
        server.execute(&database, "CREATE EXTENSION pgaudit").expect("pgaudit for this server");
        let mut setup = Setup::before(server.address());
        for (table, columns) in TABLES {
            for column in columns {
                let mode = if ["note", "remark"].contains(column) { "random" } else { "equality" };
                setup = setup.field_with(table, column, mode, &format!("database = \"{database}\""));
            }
            let columns = columns.join(", ");
            let rights =
                format!("SELECT ({columns}), INSERT ({columns}), UPDATE ({columns}), DELETE, TRUNCATE");
            server.execute(&database, &format!("GRANT {rights} ON {table} TO auditor")).unwrap();
        }
        let gate = setup.start();
        let since = fs::read_to_string(server.log_file()).unwrap().len();
        transcript(gate.address(), &database, program);
        let count = |kind: &str| records(&gate).iter().filter(|record| record["kind"] == kind).count();
        await_that("each intent to have its outcome", || count("outcome") >= count("intent"));
        let log = fs::read_to_string(server.log_file()).unwrap()[since..].to_owned();
        let records = records(&gate);
        for (table, statements) in seen(&log) {
            // The server's own work for a foreign key (ON DELETE CASCADE) stands in no text of a client.
            let own = statements.iter().filter(|(_, _, part)| part == "1").count();
            let executions: BTreeSet<_> = records
                .iter()
                .filter(|record| record["kind"] == "intent" || record["kind"] == "outcome")
                .filter(|record| record["fields"].to_string().contains(&format!("\"{table}.")))
                .map(|record| (record["session"].to_string(), record["statement_id"].to_string()))
                .collect();
            assert!(
                executions.len() >= own && own > 5,
                "{program:?} on {table}: the server saw {own}, on record are {}",
                executions.len()
            );
        }
        assert_eq!(seen(&log).len(), TABLES.len(), "{program:?}: the oracle sees nothing\n{log}");
    }
}
