//! docs/PROTOCOL.md cannot rot: every test that it names exists, and every test of this
//! folder is named there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of the tests of one source file, with the path of their module.
fn tests_in(file: &Path, module: &str, found: &mut BTreeSet<String>) {
    let source = fs::read_to_string(file).unwrap();
    let mut lines = source.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if line != "#[test]" && !line.starts_with("#[tokio::test") {
            continue;
        }
        let name = lines.find_map(|line| line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn "));
        let name = name.and_then(|rest| rest.split('(').next());
        found.insert(format!("{module}::{}", name.unwrap()));
    }
}

fn tests_under(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let below = if stem == "mod" { module.to_owned() } else { format!("{module}::{stem}") };
        if path.is_dir() {
            tests_under(&path, &below, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            tests_in(&path, below.trim_start_matches("::"), found);
        }
    }
}

/// Whatever stands in backquotes in the last cell of a row, and whether it is yet to come.
fn named(page: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cell = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let to_come = cell.contains("to come:");
        let quoted = cell.split('`').skip(1).step_by(2);
        names.extend(quoted.filter(|name| name.contains("::")).map(|name| (name.to_owned(), to_come)));
    }
    names
}

#[test]
fn the_page_names_tests_that_exist_and_all_of_these() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    tests_under(&root.join("tests/capability"), "", &mut tests);
    tests_under(&root.join("src"), "", &mut tests);
    let page = fs::read_to_string(root.join("docs/PROTOCOL.md")).unwrap();
    let names = named(&page);
    assert!(names.len() > 60 && tests.len() > 150, "{} names, {} tests", names.len(), tests.len());
    let missing: Vec<_> = names.iter().filter(|(name, to_come)| !to_come && !tests.contains(name)).collect();
    assert!(missing.is_empty(), "docs/PROTOCOL.md names tests that do not exist: {missing:#?}");
    let come: Vec<_> = names.iter().filter(|(name, to_come)| *to_come && tests.contains(name)).collect();
    assert!(come.is_empty(), "these have come: {come:#?}");
    let listed: BTreeSet<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    // The room of the sources that has the same name is another.
    let mut own = BTreeSet::new();
    tests_under(&root.join("tests/capability/wire"), "wire", &mut own);
    let own = own.iter().filter(|name| !name.starts_with("wire::page"));
    let unlisted: Vec<_> = own.filter(|name| !listed.contains(name.as_str())).collect();
    assert!(unlisted.is_empty(), "docs/PROTOCOL.md does not name {unlisted:#?}");
}

#[test]
fn names_are_found_in_the_last_cell_alone() {
    let page = "| a | `b::c` | x `d::e`, `f` and `g::h` |\n| `i::j` | to come: `k::l` |\n`m::n`\n";
    let expected = [("d::e", false), ("g::h", false), ("k::l", true)];
    assert_eq!(named(page), expected.map(|(name, to_come)| (name.to_owned(), to_come)));
}
