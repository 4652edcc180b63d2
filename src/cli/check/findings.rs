//! What was found, in the order in which it was looked for, and how it is told: to people, to programs,
//! and as statements.
#![expect(clippy::print_stdout, reason = "a verb prints")]

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::super::house::Fault;
use crate::catalog::{Consequence, Field, Lack, Misfit, PolicyField, Unfit, Weight};
use crate::config::Settings;

/// `error` alone makes the whole unsound.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
    Note,
}

impl Severity {
    /// As people read it, in one column.
    fn label(self) -> &'static str {
        match self {
            Severity::Error => "FAULT",
            Severity::Warning => "warn ",
            Severity::Note => "note ",
        }
    }
}

/// One thing that was found.
#[derive(Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Lasting, for programs: `docs/OPERATION.md` has them all.
    pub code: &'static str,
    /// What was looked at.
    pub what: String,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub database: Option<String>,
    /// `schema.table.column`, or the table where it is about that as a whole.
    pub field: Option<String>,
    pub message: String,
    /// Statements that mend it, each with its `;`.
    pub sql: Option<String>,
}

impl Finding {
    fn new(severity: Severity, code: &'static str, what: &str, message: String) -> Finding {
        Finding {
            severity,
            code,
            what: what.to_owned(),
            file: None,
            line: None,
            database: None,
            field: None,
            message,
            sql: None,
        }
    }

    /// At a line of the configuration, if it is known.
    fn at(self, origin: &str, line: Option<u32>) -> Finding {
        Finding { file: line.map(|_| origin.to_owned()), line, ..self }
    }

    /// Is it of this field, or of its table as a whole, in this database?
    fn is_about(&self, database: Option<&str>, field: &Field) -> bool {
        let names = |about: &String| *about == field.path() || *about == field.table.to_string();
        (database.is_none() || self.database.as_deref() == database) && self.field.as_ref().is_some_and(names)
    }

    /// At the place with which its message begins: `FILE:LINE: `.
    fn at_its_place(self, origin: &str) -> Finding {
        let rest = self.message.strip_prefix(origin).and_then(|rest| rest.strip_prefix(':'));
        let Some(rest) = rest else { return self };
        let line = rest.split(':').next().and_then(|line| line.parse().ok());
        Finding { file: Some(origin.to_owned()), line, ..self }
    }
}

/// All of it.
pub struct Findings {
    origin: String,
    /// The line of each `[[field]]`, where they could be told.
    lines: Vec<u32>,
    entries: Vec<PolicyField>,
    all: Vec<Finding>,
}

impl Findings {
    pub fn new(config: &Path) -> Findings {
        let origin = config.display().to_string();
        Findings { origin, lines: Vec::new(), entries: Vec::new(), all: Vec::new() }
    }

    /// Learns where the fields stand in the file.
    pub fn fields(&mut self, settings: &Settings) {
        let text = std::fs::read_to_string(&self.origin).unwrap_or_default();
        let headers = (1..).zip(text.lines()).filter(|(_, line)| line.trim_start().starts_with("[[field]]"));
        self.lines = headers.map(|(number, _)| number).collect();
        self.entries.clone_from(&settings.policy.fields);
        if self.lines.len() != self.entries.len() {
            self.lines.clear();
        }
    }

    fn push(&mut self, severity: Severity, code: &'static str, what: &str, message: String) {
        self.all.push(Finding::new(severity, code, what, message));
    }

    pub fn error(&mut self, what: &str, code: &'static str, message: impl Into<String>) {
        self.push(Severity::Error, code, what, message.into());
    }

    pub fn warning(&mut self, what: &str, code: &'static str, message: impl Into<String>) {
        self.push(Severity::Warning, code, what, message.into());
    }

    pub fn note(&mut self, what: &str, code: &'static str, message: impl Into<String>) {
        self.push(Severity::Note, code, what, message.into());
    }

    /// An error of each line of a fault; of the configuration's own lines with file and line.
    pub fn fault(&mut self, what: &str, code: &'static str, fault: Fault) {
        let lines = match fault {
            Fault::Configuration(lines) => lines,
            Fault::Start(line) => vec![line],
        };
        for line in lines {
            self.all.push(Finding::new(Severity::Error, code, what, line).at_its_place(&self.origin));
        }
    }

    /// What the configuration warns of by itself.
    pub fn warning_of_file(&mut self, what: &str, code: &'static str, message: String) {
        self.all.push(Finding::new(Severity::Warning, code, what, message).at_its_place(&self.origin));
    }

    /// Of a field of the policy in a database, or in none.
    pub fn of_field(
        &mut self,
        severity: Severity,
        code: &'static str,
        database: Option<&str>,
        field: &Field,
        message: String,
    ) {
        let line = self.line_of(database, field);
        let what = database.map_or_else(|| "fields".to_owned(), catalog_of);
        let finding = Finding::new(severity, code, &what, message).at(&self.origin, line);
        let database = database.map(str::to_owned);
        self.all.push(Finding { field: Some(field.path()), database, ..finding });
    }

    /// An entry of the policy that finds nothing, by the name that the running gate has for it too. Told
    /// once: a table may have been found unfit for the same.
    pub fn misfit(&mut self, settings: &Settings, entry: &PolicyField, lack: Lack) {
        let misfit = Misfit::of(entry, lack, Consequence::Refused);
        let (code, database) = (lack.code(), misfit.database.as_deref());
        let severity = if settings.policy.serves_missing { Severity::Warning } else { Severity::Error };
        let same = |finding: &Finding| finding.code == code && finding.is_about(database, &entry.field);
        if !self.all.iter().any(same) {
            let says = format!("{}: {misfit}", misfit.field());
            self.of_field(severity, code, database, &entry.field, says);
        }
    }

    /// What does not fit in a database.
    pub fn unfit(&mut self, database: &str, unfit: &Unfit, fields: &[Field]) {
        let of_table = |field: &&Field| field.table == unfit.table;
        let exact = |field: &&Field| unfit.column.as_ref().is_none_or(|column| *column == field.column);
        let table = fields.iter().filter(of_table);
        let field = table.clone().find(exact).or_else(|| table.clone().next());
        let line = field.and_then(|field| self.line_of(Some(database), field));
        let severity = match unfit.weight {
            Weight::Wrong => Severity::Error,
            Weight::Costs => Severity::Warning,
            Weight::Tells => Severity::Note,
        };
        let path = unfit
            .column
            .as_ref()
            .map_or_else(|| unfit.table.to_string(), |column| format!("{}.{column}", unfit.table));
        let message = format!("{path}: {}", unfit.says);
        let sql: Vec<String> = unfit.mends.iter().map(|statement| format!("{statement};")).collect();
        let sql = (!sql.is_empty()).then(|| sql.join("\n"));
        let finding = Finding::new(severity, unfit.code, &catalog_of(database), message);
        let finding = finding.at(&self.origin, line);
        self.all.push(Finding { field: Some(path), database: Some(database.to_owned()), sql, ..finding });
    }

    /// What was found about a database as a whole.
    pub fn of_database(
        &mut self,
        severity: Severity,
        code: &'static str,
        database: &str,
        message: impl Into<String>,
    ) {
        let finding = Finding::new(severity, code, &catalog_of(database), message.into());
        self.all.push(Finding { database: Some(database.to_owned()), ..finding });
    }

    /// The same with what mends it.
    pub fn error_with_sql(&mut self, what: &str, code: &'static str, message: String, sql: Option<String>) {
        self.all.push(Finding { sql, ..Finding::new(Severity::Error, code, what, message) });
    }

    /// Is there an error of this field, or of its table as a whole, in this database?
    pub fn has_error(&self, database: &str, field: &Field) -> bool {
        let of = |finding: &Finding| finding.is_about(Some(database), field);
        self.all.iter().any(|finding| finding.severity == Severity::Error && of(finding))
    }

    /// Is it told of this field that it finds nothing?
    pub fn has_told(&self, field: &Field) -> bool {
        let lacks = |finding: &Finding| Lack::ALL.iter().any(|lack| lack.code() == finding.code);
        let of = |finding: &Finding| finding.is_about(field.database.as_deref(), field);
        self.all.iter().any(|finding| lacks(finding) && of(finding))
    }

    fn line_of(&self, database: Option<&str>, field: &Field) -> Option<u32> {
        let mut entries = self.entries.iter().zip(&self.lines);
        let fits = |entry: &PolicyField| {
            let same = entry.field.table == field.table
                || entry.matches(Some(&*field.table.schema), &field.table.name);
            same && entry.field.column == field.column
                && database.is_none_or(|database| entry.is_of(database))
        };
        entries.find(|(entry, _)| fits(entry)).map(|(_, line)| *line)
    }

    pub fn is_sound(&self) -> bool {
        self.all.iter().all(|finding| finding.severity != Severity::Error)
    }

    pub fn print(&self) {
        for Finding { severity, code, what, file, line, message, sql, .. } in &self.all {
            let place = match (file, line) {
                (Some(file), Some(line)) if !message.starts_with(&**file) => format!(" ({file}:{line})"),
                _ => String::new(),
            };
            println!("{}  {what}: {message}{place} [{code}]", severity.label());
            for statement in sql.iter().flat_map(|sql| sql.lines()) {
                println!("         mend: {statement}");
            }
        }
    }

    pub fn print_json(&self) {
        println!("{}", serde_json::json!({ "sound": self.is_sound(), "findings": self.all }));
    }

    /// What mends the schema, database by database, in an order in which it can run.
    pub fn print_sql(&self) {
        let unfit = |finding: &&Finding| finding.severity == Severity::Error && finding.sql.is_none();
        for finding in self.all.iter().filter(unfit) {
            println!("-- not by SQL: {}: {}", finding.what, one_line(&finding.message));
        }
        let databases: BTreeSet<Option<&str>> =
            self.all.iter().map(|finding| finding.database.as_deref()).collect();
        for database in databases {
            let of = self.all.iter().filter(|finding| finding.database.as_deref() == database);
            let mending: Vec<&Finding> = of.filter(|finding| finding.sql.is_some()).collect();
            if mending.is_empty() {
                continue;
            }
            println!(
                "-- {}",
                database
                    .map_or_else(|| "any database".to_owned(), |name| format!("database {}", one_line(name)))
            );
            for finding in &mending {
                println!("-- {}: {}", finding.code, one_line(&finding.message));
            }
            let mut statements: Vec<&str> = Vec::new();
            for statement in mending.iter().filter_map(|finding| finding.sql.as_deref()).flat_map(str::lines)
            {
                if !statements.contains(&statement) {
                    statements.push(statement);
                }
            }
            statements.sort_by_key(|statement| turn(statement));
            for statement in statements {
                println!("{statement}");
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

pub fn catalog_of(database: &str) -> String {
    format!("catalog of {database}")
}

/// When a statement's turn comes: what rests on a column goes before the column changes, and what
/// proves rows comes last.
fn turn(statement: &str) -> u8 {
    let has = |piece: &str| statement.contains(piece);
    let starts = |piece: &str| statement.starts_with(piece);
    if has(" VALIDATE CONSTRAINT ") {
        8
    } else if has(" ADD CONSTRAINT ") {
        7
    } else if starts("GRANT ") {
        6
    } else if starts("CREATE ") {
        5
    } else if has(" ALTER COLUMN ") && has(" TYPE ") {
        4
    } else if has(" ALTER COLUMN ") {
        3
    } else if has(" DROP COLUMN ") {
        2
    } else if has(" DROP CONSTRAINT ") {
        1
    } else {
        0
    }
}
