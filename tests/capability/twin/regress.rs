//! The statements of PostgreSQL's own regression suite that read and write rows, on tables whose columns
//! of text are sealed: each runs on a plain database and through the gate. Both say the same, or the gate
//! refuses; how many, and why, is printed.
//!
//! `SEALGATE_REGRESS=FOLDER`, of PostgreSQL's `src/test/regress` (`.ci/setup regress` fetches it), lets it run:
//! `SEALGATE_REGRESS=target/regress cargo test regression_suite -- --nocapture`. `SEALGATE_SUITES=join,update`
//! chooses among the files, `SEALGATE_SEAL=random` seals otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sealgate::store::postgres::Throwaway;

use super::{Said, Story, said};
use crate::harness::{Frame, Gate, Raw, Setup, pg};

/// Files of which most statements read or write rows.
const SUITES: &str = "select select_distinct select_distinct_on select_having select_implicit insert insert_conflict update \
    delete merge join subselect union case with returning aggregates groupingsets window limit text strings \
    portals_p2 rangefuncs select_views transactions updatable_views";

/// Of which database the policy speaks.
const OF: &str = "database = \"sealed\"\n";

/// Rows of a table that COPY fills.
const ROWS_MAX: usize = 1_000;

/// The statements of a file for psql, with what COPY reads from it.
fn statements(text: &str) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let (mut statement, mut quote, mut depth) = (String::new(), None::<String>, 0_i32);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if quote.is_none() && statement.trim().is_empty() && line.trim_start().starts_with('\\') {
            set(line.trim(), &mut variables);
            continue;
        }
        let mut rest = line;
        while !rest.is_empty() {
            if let Some(end) = &quote {
                let (taken, found) = match rest.find(end.as_str()) {
                    Some(at) => (at + end.len(), true),
                    None => (rest.len(), false),
                };
                statement.push_str(&rest[..taken]);
                rest = &rest[taken..];
                if found {
                    quote = None;
                }
                continue;
            }
            if rest.starts_with("--") {
                break;
            }
            let first = rest.chars().next().unwrap();
            let dollar = rest[1..].find('$').map(|at| &rest[..at + 2]).filter(|_| first == '$');
            let dollar =
                dollar.filter(|tag| tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_'));
            match first {
                '\'' | '"' => quote = Some(first.to_string()),
                '/' if rest.starts_with("/*") => quote = Some("*/".to_owned()),
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if let Some(tag) = dollar.filter(|tag| !tag[1..].starts_with(|c: char| c.is_ascii_digit())) {
                statement.push_str(tag);
                quote = Some(tag.to_owned());
                rest = &rest[tag.len()..];
                continue;
            }
            rest = &rest[first.len_utf8()..];
            let in_body = statement.to_ascii_uppercase().contains("BEGIN ATOMIC")
                && !statement.trim_end().to_ascii_uppercase().ends_with("END");
            if first == ';' && depth <= 0 && !in_body {
                let sql = substituted(statement.trim(), &variables);
                statement.clear();
                depth = 0;
                let copies =
                    ["from stdin", "from stdout"].iter().any(|from| sql.to_ascii_lowercase().contains(from));
                let data = copies.then(|| {
                    let data = lines.by_ref().take_while(|line| *line != "\\.");
                    data.map(|line| format!("{line}\n")).collect::<String>()
                });
                if !sql.is_empty() {
                    all.push((sql, data));
                }
                if rest.trim_start().starts_with('\\') {
                    break;
                }
            } else if first == '\\' {
                // \gset and its like: a statement for psql alone.
                statement.clear();
                break;
            } else {
                statement.push(first);
            }
        }
        statement.push('\n');
    }
    all
}

fn set(line: &str, variables: &mut BTreeMap<String, String>) {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("\\getenv"), Some(name)) => {
            let from = words.next().unwrap_or_default();
            let folder = std::env::var("SEALGATE_REGRESS").unwrap_or_default();
            let folder = std::fs::canonicalize(folder).unwrap_or_default().to_string_lossy().into_owned();
            let value = if from == "PG_ABS_SRCDIR" { folder } else { "/nowhere".to_owned() };
            variables.insert(name.to_owned(), value);
        }
        (Some("\\set"), Some(name)) => {
            let parts = words.map(|word| match word.strip_prefix(':') {
                Some(of) => variables.get(of).cloned().unwrap_or_default(),
                None => word.trim_matches('\'').to_owned(),
            });
            let value = parts.collect();
            variables.insert(name.to_owned(), value);
        }
        _ => {}
    }
}

fn substituted(sql: &str, variables: &BTreeMap<String, String>) -> String {
    variables
        .iter()
        .fold(sql.to_owned(), |sql, (name, value)| sql.replace(&format!(":'{name}'"), &format!("'{value}'")))
}

/// Types of text that few applications have, or that are not sealed yet: they are `text` here. What is made
/// of operators for partitions would stand behind every statement.
fn rewritten(sql: &str) -> String {
    let begins = |with: &str| sql.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    if begins("CREATE OPERATOR CLASS part_") {
        return "SELECT 1".to_owned();
    }
    if !begins("CREATE TABLE") && !begins("CREATE TEMP") {
        return sql.to_owned();
    }
    let (mut text, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find(['(', ',']) {
        text.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        let column = |c: char| !(c.is_alphanumeric() || c == '_');
        let before = rest.len() - rest.trim_start().len();
        let name = rest[before..].find(column).map_or(rest.len(), |end| before + end);
        let gap = rest[name..].len() - rest[name..].trim_start().len();
        let of = rest[name + gap..].find(column).map_or(rest.len(), |end| name + gap + end);
        let known =
            ["name", "char", "varchar", "bpchar"].contains(&&*rest[name + gap..of].to_ascii_lowercase());
        if name > before && gap > 0 && known {
            text.push_str(&rest[..name]);
            text.push_str(" text");
            rest = &rest[of..];
            let length = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            rest = length.map_or(rest, |(_, behind)| behind);
        }
    }
    text + rest
}

fn status(frames: &[Frame]) -> u8 {
    frames.last().filter(|frame| frame.tag == b'Z').map_or(b'?', |frame| frame.body[0])
}

/// A statement with what COPY reads, to its end.
fn copied(raw: &mut Raw, sql: &str, data: Option<&str>) -> Vec<Frame> {
    raw.send(b'Q', &[sql.as_bytes(), &[0]].concat());
    let mut frames = Vec::new();
    while let Some(frame) = raw.read() {
        if frame.tag == b'G' {
            match data {
                Some(data) => {
                    raw.send(b'd', data.as_bytes());
                    raw.send(b'c', &[]);
                }
                None => raw.send(b'f', &[0]),
            }
        }
        let ready = frame.tag == b'Z';
        frames.push(frame);
        if ready {
            break;
        }
    }
    frames
}

fn first_word(sql: &str) -> String {
    let word = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    word.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase()
}

fn reads_or_writes(sql: &str) -> bool {
    let word = first_word(sql);
    let copies = sql.to_ascii_uppercase().split_whitespace().any(|word| word == "INTO") && word == "SELECT";
    matches!(&*word, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" | "VALUES" | "TABLE")
        && !copies
}

fn words(sql: &str) -> impl Iterator<Item = String> {
    sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_ascii_lowercase)
}

/// What differs between two databases in any case.
fn is_physical(sql: &str) -> bool {
    const PHYSICAL: [&str; 14] = [
        "ctid",
        "xmin",
        "xmax",
        "tableoid",
        "random",
        "now",
        "oid",
        "regclass",
        "txid_current",
        "clock_timestamp",
        "current_database",
        "pg_class",
        "pg_backend_pid",
        "timeofday",
    ];
    words(sql).any(|word| PHYSICAL.contains(&&*word))
}

/// The tables that a run of these statements makes, and their columns of text.
fn discover(server: &Throwaway, files: &[Vec<(String, Option<String>)>]) -> BTreeSet<(String, String)> {
    server.create_database("probe").unwrap();
    let mut raw = Raw::login(server.address(), "postgres", "probe");
    raw.query("SET statement_timeout = '20s'");
    let mut look = Raw::login(server.address(), "postgres", "probe");
    let (mut found, mut inherit) = (BTreeSet::new(), BTreeSet::new());
    for (sql, data) in files.iter().flatten() {
        copied(&mut raw, &rewritten(sql), data.as_deref());
        if !matches!(&*first_word(sql), "CREATE" | "ALTER" | "COMMIT" | "END") {
            continue;
        }
        let frames = look.query(
            "SELECT c.relname, a.attname, c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i \
                     WHERE c.oid IN (i.inhrelid, i.inhparent) AND NOT c.relispartition) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r','p') AND c.relpersistence = 'p' \
               AND a.attnum > 0 AND a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND a.atttypmod = -1 \
               AND NOT c.relispartition",
        );
        let text = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap_or_default()).unwrap();
        for row in frames.iter().filter(|frame| frame.tag == b'D').map(Frame::values) {
            if text(&row[2]) == "t" {
                inherit.insert(text(&row[0]));
            }
            found.insert((text(&row[0]), text(&row[1])));
        }
    }
    // Inheritance is not for sealed tables; partitions are.
    found.retain(|(table, _)| !inherit.contains(table));
    found
}

#[derive(Default)]
struct Count {
    same: usize,
    failed: usize,
    refused: BTreeMap<String, usize>,
    wrong: Vec<String>,
    examples: BTreeMap<String, String>,
}

impl Count {
    fn total(&self) -> usize {
        self.same + self.failed + self.wrong.len() + self.refused.values().sum::<usize>()
    }
}

struct Pair<'a> {
    server: &'a Throwaway,
    gate: &'a Gate,
    plain: Raw,
    sealed: Raw,
    tables: BTreeSet<String>,
    /// Relations that are not the same on both, since the gate lets no definition of them through and another
    /// session cannot make it either (temporary ones, those of an open transaction).
    apart: BTreeSet<String>,
}

/// The relations that a definition names.
fn defined(sql: &str) -> impl Iterator<Item = String> {
    const BEFORE: [&str; 8] = ["table", "view", "exists", "only", "of", "on", "into", "sequence"];
    let words: Vec<String> = words(sql).filter(|word| !word.is_empty()).collect();
    let pairs: Vec<_> = words.iter().zip(words.iter().skip(1)).collect();
    let named = pairs.into_iter().filter(|(before, _)| BEFORE.contains(&before.as_str()));
    named.map(|(_, name)| name.clone()).collect::<Vec<_>>().into_iter()
}

impl Pair<'_> {
    /// Definitions, settings and what begins and ends transactions. What the gate does not let through is
    /// defined past it.
    fn define(&mut self, sql: &str, data: Option<&str>) {
        let direct = copied(&mut self.plain, sql, data);
        let target = words(sql).nth(1).unwrap_or_default();
        if first_word(sql) == "COPY" && self.tables.contains(&target) {
            return self.mirror(&target);
        }
        let through = copied(&mut self.sealed, sql, data);
        let error = said(&through).error;
        let mut made = error.is_none();
        let refused = error.is_some_and(|state| state.starts_with("SG"));
        if refused && status(&through) == b'I' {
            let temporary = words(sql).any(|word| matches!(&*word, "temp" | "temporary"));
            // Rows of a query come through the gate, too.
            let copies = sql.to_ascii_lowercase().contains(" as select") && first_word(sql) == "CREATE";
            let table = defined(sql).next().filter(|table| copies && self.tables.contains(table));
            let empty = if table.is_some() { format!("{sql} WITH NO DATA") } else { sql.to_owned() };
            made = self.server.execute("sealed", &empty).is_ok() && !temporary;
            if let Some(table) = table.filter(|_| made) {
                self.sealed.query("ANALYZE public.poke");
                self.sealed.query("SELECT count(*) FROM public.poke WHERE t IS NULL");
                return self.mirror(&table);
            }
            // The gate reads the catalog anew behind it.
            self.sealed.query("ANALYZE public.poke");
            self.sealed.query("SELECT count(*) FROM public.poke WHERE t IS NULL");
        }
        if !made && said(&direct).error.is_none() {
            self.apart.extend(defined(sql));
        }
        self.align(status(&direct), status(&through));
    }

    /// Both have failed, or none.
    fn align(&mut self, direct: u8, through: u8) {
        if direct == b'T' && through == b'E' {
            self.plain.query("SELECT 1 / 0");
        } else if direct == b'E' && through == b'T' {
            self.sealed.query("SELECT 1 / 0");
        }
    }

    /// Writes through the gate what a plain table has.
    fn mirror(&mut self, table: &str) {
        // As many rows as a while allows.
        self.plain.query(&format!(
            "DELETE FROM {table} WHERE ctid <> ALL (ARRAY(SELECT ctid FROM {table} LIMIT {ROWS_MAX}))"
        ));
        let frames = self.plain.query(&format!("SELECT * FROM {table}"));
        let rows: Vec<_> = frames.iter().filter(|frame| frame.tag == b'D').map(Frame::values).collect();
        self.sealed.query(&format!("DELETE FROM {table}"));
        let literal = |value: Option<Vec<u8>>| match value {
            None => "NULL".to_owned(),
            Some(value) => format!("'{}'", String::from_utf8(value).unwrap().replace('\'', "''")),
        };
        for part in rows.chunks(500) {
            let rows = part.iter().map(|row| row.iter().cloned().map(literal).collect::<Vec<_>>().join(", "));
            let rows: Vec<String> = rows.map(|row| format!("({row})")).collect();
            let frames = self.sealed.query(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
            let said = said(&frames);
            assert_eq!(said.error, None, "rows of {table}: {}", said.detail);
        }
    }

    fn judge(&mut self, sql: &str, count: &mut Count, counts: bool) {
        if words(sql).any(|word| self.apart.contains(&word)) {
            return;
        }
        let through = self.sealed.query(sql);
        let mut here = said(&through);
        if here.error.as_deref().is_some_and(|state| state.starts_with("SG")) {
            // What the gate refuses ends a transaction as an error of the server does.
            if status(&through) == b'E' {
                self.plain.query("SELECT 1 / 0");
            }
            if counts {
                let why = self.why(&here);
                count.examples.entry(why.clone()).or_insert_with(|| format!("{}: {sql}", here.detail));
                *count.refused.entry(why).or_default() += 1;
            }
            return;
        }
        let direct = self.plain.query(sql);
        let mut there = said(&direct);
        // Types of users have other numbers in each database.
        let stock = |said: &mut Said| said.types.iter_mut().for_each(|of| *of = (*of).min(16_384));
        stock(&mut here);
        stock(&mut there);
        self.align(status(&direct), status(&through));
        if !counts {
            return;
        }
        if here == there {
            count.same += usize::from(here.error.is_none());
            count.failed += usize::from(here.error.is_some());
        } else if !is_physical(sql) {
            count.wrong.push(format!("{sql}\n  plain  {}\n  sealed {}", short(&there), short(&here)));
        }
    }

    /// The reason that the gate has logged, and what of it users can tell apart.
    fn why(&self, refused: &Said) -> String {
        let log = self.gate.log();
        let rule = log.rsplit(" rule=").next().and_then(|rest| rest.split_whitespace().next()).unwrap_or("?");
        let detail = &refused.detail;
        let what = match detail.rsplit_once(": ").map(|(_, what)| what) {
            Some(what) if rule == "unsupported-position" => {
                what.split(" at character").next().unwrap_or_default()
            }
            Some(_) | None => "",
        };
        format!("{rule} {what}").trim().to_owned()
    }
}

fn short(said: &Said) -> String {
    let text = format!(
        "{:?} {:?} {:?}, {} rows: {:?}",
        said.error,
        said.tags,
        said.types,
        said.rows.len(),
        said.rows
    );
    text.chars().take(600).collect()
}

fn play(major: u32, folder: &Path, suite: &str, seal: &str) -> Count {
    let read = |name: &str| statements(&std::fs::read_to_string(folder.join("sql").join(name)).unwrap());
    let mut files = [read("test_setup.sql"), read(&format!("{suite}.sql"))];
    // Only the rows that are asked for.
    let used: BTreeSet<String> =
        files[1].iter().flat_map(|(sql, _)| words(sql).collect::<Vec<_>>()).collect();
    let fills = |sql: &str| first_word(sql) == "COPY";
    files[0].retain(|(sql, _)| !fills(sql) || words(sql).nth(1).is_some_and(|table| used.contains(&table)));
    let server = pg(major);
    let found = discover(&server, &files);
    server.execute("postgres", "CREATE DATABASE plain; ").unwrap();
    server.execute("postgres", "CREATE DATABASE sealed").unwrap();
    server.execute("sealed", "CREATE TABLE poke (t text)").unwrap();
    let mut setup = Setup::before(server.address()).field_with("public.poke", "t", seal, OF);
    for (table, column) in &found {
        let quoted = |name: &str| {
            let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if plain { name.to_owned() } else { format!("\\\"{name}\\\"") }
        };
        // All in one domain, so that they can be compared.
        setup = setup.extra(&format!(
            "\n[[field]]\ntable = \"public.{}\"\ncolumn = \"{}\"\nclass = \"contact\"\ntype = \"text\"\n\
             seal = \"{seal}\"\nstate = \"sealed\"\ndomain = \"text\"\n{OF}",
            quoted(table),
            column.replace('"', "\\\"")
        ));
    }
    let gate = setup.late().start();
    let mut pair = Pair {
        server: &server,
        gate: &gate,
        plain: Raw::login(server.address(), "postgres", "plain"),
        sealed: Raw::login(gate.address(), "postgres", "sealed"),
        tables: found.iter().map(|(table, _)| table.clone()).collect(),
        apart: BTreeSet::new(),
    };
    let mut count = Count::default();
    let mut story = Story(Vec::new());
    for (number, file) in files.iter().enumerate() {
        for (sql, data) in file {
            let sql = rewritten(sql);
            story.0.push(sql.clone());
            let sealed = words(&sql).any(|word| pair.tables.contains(&word));
            if reads_or_writes(&sql) {
                pair.judge(&sql, &mut count, number > 0 && sealed);
            } else {
                pair.define(&sql, data.as_deref());
            }
        }
    }
    for (table, column) in &found {
        let open = format!("SELECT count(*) FROM \"{table}\" WHERE \"{column}\" NOT LIKE 'SEAL%'");
        if let Ok(rows) = server.query("sealed", &open) {
            assert_eq!(
                rows[0][0].as_deref(),
                Some("0"),
                "{major}, {suite}: {table}.{column} holds what is not sealed"
            );
        }
    }
    count
}

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture by whoever lets it run")]
fn the_regression_suite_is_answered_as_directly_or_refused() {
    let Ok(folder) = std::env::var("SEALGATE_REGRESS") else { return };
    let suites = std::env::var("SEALGATE_SUITES").unwrap_or_else(|_| SUITES.to_owned());
    let seal = std::env::var("SEALGATE_SEAL").unwrap_or_else(|_| "equality".to_owned());
    let major = std::env::var("SEALGATE_MAJOR").map_or(18, |major| major.parse().unwrap());
    let mut all = Count::default();
    let mut table = String::new();
    for suite in suites.split([',', ' ']).filter(|suite| !suite.is_empty()) {
        let count = play(major, Path::new(&folder), suite, &seal);
        let refused: usize = count.refused.values().sum();
        let mut reasons: Vec<_> = count.refused.iter().collect();
        reasons.sort_by_key(|(why, many)| (std::cmp::Reverse(**many), *why));
        let reasons: Vec<String> = reasons.into_iter().map(|(why, many)| format!("{many} {why}")).collect();
        table += &format!(
            "{suite}: {} statements, {} same, {} failed alike, {refused} refused, {} wrong; {}\n",
            count.total(),
            count.same,
            count.failed,
            count.wrong.len(),
            reasons.join(", ")
        );
        println!("{}", table.lines().last().unwrap());
        count.examples.iter().for_each(|(why, example)| println!("  {why}: {example}"));
        count.wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
        all.same += count.same;
        all.failed += count.failed;
        all.wrong.extend(count.wrong);
        count.refused.into_iter().for_each(|(why, many)| *all.refused.entry(why).or_default() += many);
    }
    println!(
        "{table}all: {} statements, {} same, {} failed alike, {:#?}",
        all.total(),
        all.same,
        all.failed,
        all.refused
    );
    assert_eq!(all.wrong, [""; 0], "wrong answers");
}
