//! The house stands as drawn: rooms import only leftwards, pure rooms touch nothing of the
//! outside, plaintext is exposed where it is sealed and opened and nowhere else, and files
//! stay small enough to hold in the head. Scans the sources; a unit test shows for every
//! rule that it can fail.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where it cannot go on")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms in import order: a room knows those of smaller rank; rooms of one rank are
/// strangers.
const ORDER: &[&[&str]] = &[
    &["wire"],
    &["catalog"],
    &["seal", "statement", "residency", "types"],
    &["login"],
    &["audit"],
    &["watch"],
    &["policy"],
    &["pipeline"],
    &["config"],
    &["transport"],
    &["upstream"],
    &["store"],
    &["alarm", "share"],
    &["gate", "ops"],
    &["cli"],
];
/// The last room that knows neither clock nor chance nor file.
const LAST_PURE: &str = "config";
const FORBIDDEN_IN_PURE: &[&[&str]] = &[
    &["tokio"],
    &["tokio_postgres"],
    &["rustls"],
    &["rand"],
    &["getrandom"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["Instant", "now"],
    &["SystemTime", "now"],
];
const MAY_EXPOSE: &[&str] = &["seal", "pipeline"];
const LINES_MAX: usize = 700;
const VAGUE_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "prelude", "misc"];

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

/// Every fault of one file. `path` is relative to `src/`.
fn faults(path: &Path, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let parts: Vec<String> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    for part in &parts {
        if VAGUE_NAMES.contains(&part.as_str()) {
            faults.push(format!("`{part}` says nothing about what is in it"));
        }
    }
    let lines = source.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{lines} lines, more than {LINES_MAX}"));
    }
    let room = parts.first().map_or("", String::as_str);
    if parts.len() == 1 && matches!(room, "main" | "lib") {
        return faults;
    }
    let Some(own) = rank(room) else {
        faults.push(format!("`{room}` is no room of this house"));
        return faults;
    };
    let code = blank(source);
    let tokens = tokens(&code);
    let test_start = test_start(path, &tokens);
    let pure = rank(LAST_PURE).is_some_and(|last| own <= last);
    let module_depth =
        if parts.last().is_some_and(|last| last == "mod") { parts.len() - 1 } else { parts.len() };

    for (at, path) in paths(&tokens) {
        if let Some(other) = room_named(&path, module_depth + usize::from(at >= test_start))
            && let Some(their) = rank(other)
            && other != room
            && their >= own
        {
            faults.push(format!("`{room}` may not know `{other}`: `{}`", path.join("::")));
        }
        if pure && at < test_start {
            for forbidden in FORBIDDEN_IN_PURE {
                let head = path.iter().zip(*forbidden).all(|(a, b)| a == b) && path.len() >= forbidden.len();
                let tail = forbidden.len() == 2 && path.windows(2).any(|pair| pair == *forbidden);
                if head || tail {
                    faults.push(format!("`{room}` is pure: `{}`", path.join("::")));
                }
            }
        }
    }
    for (at, window) in tokens.windows(3).enumerate() {
        if at >= test_start {
            break;
        }
        if window == [".", "expose", "("] && !MAY_EXPOSE.contains(&room) {
            faults.push("plaintext is exposed outside of seal and pipeline".to_owned());
        }
        if window == [".", "elapsed", "("] && pure {
            faults.push(format!("`{room}` is pure: `.elapsed()` reads the clock"));
        }
    }
    faults
}

/// The room that a path leads to: through `crate::`, or through enough `super::`.
fn room_named<'a>(path: &[&'a str], module_depth: usize) -> Option<&'a str> {
    let supers = path.iter().take_while(|part| **part == "super").count();
    if path.first() == Some(&"crate") {
        path.get(1).copied()
    } else if supers > 0 && supers >= module_depth {
        path.get(supers).copied()
    } else {
        None
    }
}

/// Index of the first token of test code: tests stand at the end of a file, or are one.
fn test_start(path: &Path, tokens: &[&str]) -> usize {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if name == "tests" || name.ends_with("_tests") || path.iter().any(|part| part == "tests") {
        return 0;
    }
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens.windows(attribute.len()).position(|window| window == attribute).unwrap_or(tokens.len())
}

/// Every path of the code with the index of its first token; groups of a `use` are spelled
/// out, so that `use std::{fs, io}` is `std::fs` and `std::io`.
fn paths<'a>(tokens: &[&'a str]) -> Vec<(usize, Vec<&'a str>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(tokens[at]) {
            let end = expand(tokens, at, &mut Vec::new(), &mut found);
            at = end.max(at + 1);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads the path at `at`, after `before`; returns the index behind it.
fn expand<'a>(
    tokens: &[&'a str],
    mut at: usize,
    before: &mut Vec<&'a str>,
    found: &mut Vec<(usize, Vec<&'a str>)>,
) -> usize {
    let (start, length) = (at, before.len());
    loop {
        match tokens.get(at) {
            Some(&word) if is_word(word) => {
                before.push(word);
                at += 1;
            }
            Some(&"{") if at > 0 && tokens[at - 1] == "::" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = if is_word(tokens[at]) { expand(tokens, at, before, found) } else { at + 1 };
                }
                before.truncate(length);
                return at + 1;
            }
            _ => break,
        }
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push((start, before.clone()));
    before.truncate(length);
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !token.trim().is_empty() {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

/// The source without its comments, strings and character literals.
fn blank(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            quoted(rest, 1)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = hashes + 2;
            rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len())
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            // A word is taken whole, so that the r of `for` starts no raw string.
            let word = first.is_alphanumeric() || first == '_';
            let end = |letter: char| !letter.is_alphanumeric() && letter != '_';
            let length = if word { rest.find(end).unwrap_or(rest.len()) } else { first.len_utf8() };
            code.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the quoted text at the head of `rest`, whose content begins at `start`.
fn quoted(rest: &str, start: usize) -> usize {
    let mut escaped = false;
    for (at, letter) in rest[start..].char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return start + at + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Number of `#` of the raw string at the head of `rest`.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Bytes of the character literal at the head of `rest`; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut letters = rest.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), Some((at, _))) => rest[at + 1..].find('\'').map_or(0, |end| at + end + 2),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_house_stands_as_drawn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources are not where they are looked for");
    let mut all = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap();
        for fault in faults(path, &fs::read_to_string(&file).unwrap()) {
            all.push(format!("src/{}: {fault}", path.display()));
        }
    }
    assert!(all.is_empty(), "{} faults:\n{}", all.len(), all.join("\n"));
}

#[test]
fn every_rule_can_fail() {
    for (path, source, expected) in [
        ("wire/frame.rs", "use crate::catalog::Field;", "may not know `catalog`"),
        ("seal/mode.rs", "use crate::{catalog::Field, statement::Action};", "may not know `statement`"),
        ("seal/mode.rs", "fn f() { crate::residency::judge() }", "may not know `residency`"),
        ("gate/session.rs", "use crate::cli;", "may not know `cli`"),
        ("wire/mod.rs", "use super::gate::Gate;", "may not know `gate`"),
        ("wire/frame.rs", "use super::super::gate::Gate;", "may not know `gate`"),
        (
            "wire/frame.rs",
            "#[cfg(test)] mod tests { use super::super::super::gate::Gate; }",
            "may not know `gate`",
        ),
        ("policy/decide.rs", "#[cfg(test)] mod tests { use crate::cli::main; }", "may not know `cli`"),
        ("policy/decide.rs", "use tokio::time;", "`policy` is pure"),
        ("config/read.rs", "use std::{fmt, fs::File};", "`config` is pure: `std::fs::File`"),
        ("config/read.rs", "fn f() -> Option<String> { std::env::var(\"HOME\").ok() }", "`config` is pure"),
        ("watch/limit.rs", "let now = std::time::Instant::now();", "`watch` is pure"),
        ("watch/limit.rs", "let now = SystemTime::now();", "`watch` is pure"),
        ("watch/limit.rs", "let past = then.elapsed();", "reads the clock"),
        ("seal/nonce.rs", "use rand::Rng;", "`seal` is pure"),
        ("audit/record.rs", "let text = value.expose();", "plaintext is exposed"),
        ("audit/record.rs", "let text = value\n    .expose();", "plaintext is exposed"),
        ("wire/utils.rs", "", "says nothing"),
        ("common/mod.rs", "", "says nothing"),
        ("attic/mod.rs", "", "no room of this house"),
        ("wire/frame.rs", &"\n".repeat(LINES_MAX + 1), "more than 700"),
        ("wire/frame.rs", "let quote = '\"'; use tokio::net; let quote = '\"';", "`wire` is pure"),
        ("wire/frame.rs", "let c = '\\''; use tokio::net;", "`wire` is pure"),
        ("wire/frame.rs", "let r = r#\"\"\"#; fn f<'a>(x: &'a str) {} use tokio::net;", "`wire` is pure"),
    ] {
        let found = faults(Path::new(path), source);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{path}: {source}: {found:?}");
    }
}

#[test]
fn allowed_things_pass() {
    for (path, source) in [
        ("pipeline/open.rs", "use crate::{audit::Receipt, seal::Plaintext}; fn f() { value.expose(); }"),
        ("store/files.rs", "use std::fs; use tokio::time::Instant; fn f() { Instant::now(); }"),
        ("seal/mode.rs", "use super::key::Key; use crate::seal::Plaintext;"),
        (
            "wire/frame.rs",
            "//! [`crate::gate`] uses tokio.\n/* crate::cli */ const TEXT: &str = \"crate::gate\";",
        ),
        ("wire/frame.rs", "const TEXT: &str = r#\"a \" crate::gate std::fs\"#;"),
        ("wire/frame.rs", "#[cfg(test)]\nmod tests { use std::fs; use super::Frame; }"),
        ("wire/frame/head_tests.rs", "use std::fs; use super::*;"),
        ("watch/limit.rs", "use std::time::Instant; fn f(now: Instant) {} fn operand() {}"),
        ("lib.rs", "pub mod cli;"),
    ] {
        assert_eq!(faults(Path::new(path), source), Vec::<String>::new(), "{path}: {source}");
    }
}

/// Words that stand as the reason in what makes a refusal.
fn reasons(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (call, before) in [("unhandled(", 0), ("refuse(", 0), ("Refusal::new(", 1)] {
        for (at, _) in source.match_indices(call) {
            let arguments = &source[at + call.len()..];
            let texts: Vec<&str> = arguments.split('"').collect();
            // What is no literal is somebody's parameter.
            let between = texts.iter().step_by(2).skip(1).take(before);
            if arguments.trim_start().starts_with('"') && between.into_iter().all(|text| text.trim() == ",") {
                found.extend(texts.get(1 + 2 * before).copied());
            }
        }
    }
    found
}

/// Words in backticks in the first column of the tables, and behind `reason` in the text.
fn documented(docs: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut of_reasons = false;
    for line in docs.lines() {
        match line.strip_prefix('|') {
            Some(row) => {
                let first = row.split('|').next().unwrap();
                of_reasons = if first.trim() == "reason" { true } else { of_reasons };
                if of_reasons {
                    found.extend(first.split('`').skip(1).step_by(2));
                }
            }
            None => of_reasons = false,
        }
        for (at, word) in line.match_indices("reason `") {
            found.extend(line[at + word.len()..].split('`').next());
        }
    }
    found
}

#[test]
fn every_reason_of_a_refusal_has_its_counter_and_its_remedy_in_the_docs() {
    let docs = fs::read_to_string("docs/ERRORS.md").unwrap();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut used = BTreeSet::new();
    for path in files {
        let source = fs::read_to_string(&path).unwrap();
        used.extend(reasons(&source).into_iter().map(str::to_owned));
    }
    assert!(used.len() > 50, "the scan must find the refusals: {}", used.len());
    let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
    let counted: BTreeSet<&str> = sealgate::policy::REASONS.iter().copied().collect();
    assert_eq!(used, counted, "what the sources refuse by, and what is counted from the start");
    assert_eq!(documented(&docs), counted, "what docs/ERRORS.md has a remedy for");
}

/// Codes of what `check` finds, by the calls that make a finding: the first literal among the arguments, or
/// of those that say first of what they are, the second.
fn found_codes(source: &str) -> BTreeSet<String> {
    let is_code =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let mut codes = BTreeSet::new();
    for (call, place, count) in [
        (".error(", 1, 1),
        (".warning(", 1, 1),
        (".note(", 1, 1),
        (".fault(", 1, 1),
        (".warning_of_file(", 1, 1),
        (".error_with_sql(", 1, 1),
        ("of_field(Severity::", 0, 1),
        ("of_database(Severity::", 0, 1),
        ("Found::of(", 0, 1),
        ("Found::of_table(", 0, 1),
        ("found(", 0, 1),
        ("found.push((", 0, 2),
        ("unfit(", 0, 1),
        ("code: ", 0, 1),
        ("whole(", 0, 1),
        ("Lack::Database => ", 0, 1),
        ("Lack::Table => ", 0, 1),
        ("Lack::NotATable => ", 0, 1),
        ("Lack::Column => ", 0, 1),
    ] {
        for (at, _) in source.match_indices(call) {
            let arguments = &source[at + call.len()..];
            let texts: Vec<&str> = arguments.split('"').take(8).collect();
            // What it is of may be a parameter.
            let place = if arguments.trim_start().starts_with('"') { place } else { 0 };
            // Nothing else that is called or ended stands before it.
            let near =
                |index: usize| texts.iter().step_by(2).take(index + 1).all(|text| !text.contains([';', '{']));
            let wanted = (place..place + count).filter(|index| near(*index));
            codes.extend(
                wanted
                    .filter_map(|index| texts.get(1 + 2 * index))
                    .filter(|text| is_code(text))
                    .map(|text| (*text).to_owned()),
            );
        }
    }
    codes
}

/// Does a text speak of this code, as a word of its own, among others or in quotes?
fn speaks_of(text: &str, code: &str) -> bool {
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    text.match_indices(code).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + code.len()..].chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[test]
fn every_code_of_check_is_in_the_docs_and_in_a_test() {
    let page = fs::read_to_string("docs/OPERATION.md").unwrap();
    let (_, table) = page.split_once("| code | severity | what |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<String> = rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    let mut used = BTreeSet::new();
    let mut files = Vec::new();
    for folder in ["src/cli/check", "src/store/catalog"] {
        sources(Path::new(folder), &mut files);
    }
    files.push(PathBuf::from("src/catalog/fit.rs"));
    for file in files {
        used.extend(found_codes(&fs::read_to_string(file).unwrap()));
    }
    assert_eq!(used, told, "what the sources find, and what docs/OPERATION.md tells");
    let mut tests = Vec::new();
    sources(Path::new("tests/capability"), &mut tests);
    let tests: String = tests.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let untested: Vec<&String> = told.iter().filter(|code| !speaks_of(&tests, code)).collect();
    assert!(untested.is_empty(), "no test speaks of {untested:?}");
}

#[test]
fn codes_are_found_where_findings_are_made() {
    for (source, expected) in [
        ("findings.error(\"keys\", \"keys-fault\", text)", &["keys-fault"][..]),
        ("table.add(Found::of(\"rule\", name, says))", &["rule"]),
        ("found.push((column, \"one-code\", \"two-code\", says));", &["one-code", "two-code"]),
        ("found(&relation.name, column, \"published\", weight)", &["published"]),
        ("unfit(code, says); let text = \"other\";", &[]),
    ] {
        assert_eq!(found_codes(source).iter().collect::<Vec<_>>(), expected, "{source}");
    }
    assert!(speaks_of("[\"error rule client\"]", "rule") && !speaks_of("no-rule rules", "rule"));
}
