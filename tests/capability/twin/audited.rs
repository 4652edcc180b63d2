//! Completeness against an oracle: pgaudit runs in the server, and says of each statement which of the
//! classified columns it reaches. Whatever it sees stands in our record, with that column.
//!
//! pgaudit tells tables, not columns; so one column at a time is granted to the role that it audits by.

use std::collections::BTreeSet;
use std::fs;

use sealgate::store::postgres::{Options, Throwaway};
use serde_json::Value;

use super::grammar::Grammar;
use super::{SCHEMA, Way, run_as, said, seed};
use crate::harness::{Gate, Raw, Setup, pg_with};
use crate::shop::{firsts, in_full};

/// Column, how it is sealed, and the tables that have it.
const COLUMNS: [(&str, &str, &[&str]); 3] = [
    ("email", "equality", &["customers", "leads", "archive"]),
    ("phone", "random", &["customers", "leads", "archive"]),
    ("city", "none", &["customers", "archive"]),
];
/// Seen by the server alone: whoever uses a view has the rights checked to all columns that the view has, also to
/// those that the statement leaves where they are; so has a table whose columns are renamed, which goes on as a query
/// of all of them; and a table of which no column is used needs the right to any one. Our record has those that the
/// statement uses.
const VIEWS: [&str; 3] = ["people", "citizens", "prospects"];
/// Statements for each column.
const ROUND: usize = 100;

/// Classified columns that the server saw reached by one of its processes since.
fn seen(server: &Throwaway, process: &str, since: &mut usize, column: &str) -> BTreeSet<String> {
    let log = fs::read_to_string(server.log_file()).unwrap();
    let new = &log[*since..];
    *since = log.len();
    let own =
        new.lines().filter(|line| line.contains(&format!("pid={process} ")) && line.contains("AUDIT: "));
    own.filter_map(|line| {
        let mut parts = line.split_once("AUDIT: ")?.1.trim().split(',');
        // OBJECT, statement, part, class, command, kind, name
        (parts.next() == Some("OBJECT")).then(|| parts.nth(5))?
    })
    .map(|table| format!("{table}.{column}"))
    .collect()
}

/// Fields of the intents and refusals that are on record since so many.
fn recorded(gate: &Gate, since: &mut usize) -> BTreeSet<String> {
    let segment = fs::read_dir(gate.folder().join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).min().unwrap();
    let text = fs::read_to_string(segment).unwrap();
    let all: Vec<Value> = in_full(&text[..=text.rfind('\n').unwrap()]).split_off(*since);
    *since += all.len();
    let listed = all.iter().filter(|record| record["kind"] == "intent" || record["kind"] == "refusal");
    listed
        .flat_map(|record| record["fields"].as_array().into_iter().flatten())
        .map(|field| field["field"].as_str().unwrap().to_owned())
        .collect()
}

/// Does a statement have the table of this field under a name of which it uses no column?
fn is_only_named(sql: &str, field: &str) -> bool {
    let table = field.split('.').nth(1).unwrap();
    let words: Vec<&str> = sql.split(|at: char| !at.is_alphanumeric() && at != '.' && at != '_').collect();
    let aliases = words.windows(3).filter(|words| words[0].trim_start_matches("public.") == table);
    aliases.map(|words| if words[1] == "AS" { words[2] } else { words[1] }).any(|alias| {
        alias.starts_with('r')
            && words.iter().filter(|word| **word == alias).count() == 1
            && !words.iter().any(|word| word.starts_with(&format!("{alias}.")))
    })
}

fn gate(server: &Throwaway) -> Gate {
    let mut setup = Setup::before(server.address());
    for (column, seal, tables) in COLUMNS {
        for table in tables {
            setup = setup.field(&format!("public.{table}"), column, seal);
        }
    }
    setup.start()
}

#[test]
fn whatever_pgaudit_sees_reach_a_classified_column_stands_in_the_record() {
    let configuration = [
        "shared_preload_libraries = 'pgaudit'",
        "pgaudit.log_statement = off",
        "log_line_prefix = 'pid=%p '",
        "pgaudit.role = 'auditor'",
    ];
    let configuration = configuration.map(str::to_owned).to_vec();
    let server = pg_with(Options { major: Some(15), configuration, ..Options::default() });
    server.execute("postgres", SCHEMA).unwrap();
    server
        .execute("postgres", "CREATE EXTENSION pgaudit; CREATE ROLE auditor")
        .expect("pgaudit for this server");
    let gate = gate(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for sql in seed() {
        assert_eq!(said(&raw.query(&sql)).error, None, "{sql}");
    }
    let process = firsts(&raw.query("SELECT pg_backend_pid()")).remove(0);
    let mut log = fs::read_to_string(server.log_file()).unwrap().len();
    let mut told_to = 0;
    recorded(&gate, &mut told_to);
    let (mut reached, mut by_rights, mut untold) = (0, 0, Vec::new());
    for (round, (column, _, tables)) in COLUMNS.iter().enumerate() {
        for table in *tables {
            let rights = format!("SELECT ({column}), INSERT ({column}), UPDATE ({column}), DELETE, TRUNCATE");
            server.execute("postgres", &format!("GRANT {rights} ON {table} TO auditor")).unwrap();
        }
        let mut grammar = Grammar::new(31 + round as u64, 15, false);
        for number in 0..ROUND {
            let statement = grammar.statement();
            let way = Way::of(number, &statement);
            let answer = run_as(&mut raw, &statement, way);
            let from = log;
            let seen = seen(&server, &process, &mut log, column);
            let told = recorded(&gate, &mut told_to);
            let missing: Vec<_> = seen.difference(&told).collect();
            let wide = || {
                let sent = &fs::read_to_string(server.log_file()).unwrap()[from..];
                sent.contains("(SELECT \"id\", \"email\", ")
                    || missing.iter().all(|field| is_only_named(&statement.sql, field))
            };
            if VIEWS.iter().any(|view| statement.sql.contains(view)) || (!missing.is_empty() && wide()) {
                by_rights += missing.len();
            } else if !missing.is_empty() {
                untold.push(format!("{missing:?}, not in {told:?}: {way:?} {} {answer:?}", statement.sql));
            }
            reached += seen.len();
        }
        for table in *tables {
            server
                .execute(
                    "postgres",
                    &format!(
                        "REVOKE ALL ON {table} FROM auditor; REVOKE ALL ({column}) ON {table} FROM auditor"
                    ),
                )
                .unwrap();
        }
    }
    assert!(untold.is_empty(), "seen by the server and not on record: {untold:#?}");
    assert!(by_rights * 2 < reached, "{by_rights} of {reached}");
    assert!(reached > ROUND, "{reached}: the oracle sees nothing");
}
