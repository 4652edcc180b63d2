//! docs/RECORD.md cannot rot: it names every member that a line can have, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The first argument of every call of these methods, where it is a literal.
fn literals(source: &str, methods: &[&str]) -> BTreeSet<String> {
    let begins = |call: &str| methods.iter().any(|method| call.ends_with(&format!(".{method}(")));
    let pieces: Vec<&str> = source.split('"').collect();
    pieces.windows(2).filter(|pair| begins(pair[0])).map(|pair| pair[1].to_owned()).collect()
}

/// What stands in backquotes in the first cell of a row.
fn members(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_member_and_every_kind() {
    let (page, line) = (read("docs/RECORD.md"), read("src/audit/line.rs"));
    let mut written = literals(&line, &["number", "string", "plain", "name", "time", "flag"]);
    // What closes a line is written by hand.
    let chain = read("src/audit/chain.rs");
    for member in ["prev", "hash"] {
        assert!(chain.contains(&format!(",\\\"{member}\\\":")), "{member}");
        written.insert(member.to_owned());
    }
    // Those of a field, of a lease and of subjects, which stand in their rows.
    let subjects = ["count", "estimated", "ids", "unknown", "why"];
    for within in ["field", "class", "mode", "values", "window_ms"].iter().chain(&subjects) {
        assert!(written.remove(*within) && page.contains(within), "{within}");
    }
    assert!(written.len() > 20, "{written:?}");
    let told = members(&page);
    assert_eq!(written.difference(&told).collect::<Vec<_>>(), [""; 0], "not told of");
    assert_eq!(told.difference(&written).collect::<Vec<_>>(), [""; 0], "not written");
    let record = read("src/audit/record.rs");
    let kinds: Vec<_> = record
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Record::")?.split_once("(_) => \""))
        .map(|(_, kind)| kind.trim_end_matches("\","))
        .collect();
    assert!(kinds.len() >= 5);
    let head = page.lines().find(|line| line.starts_with("| `kind`")).unwrap();
    let untold: Vec<_> = kinds.iter().filter(|kind| !head.contains(&format!("`{kind}`"))).collect();
    assert!(untold.is_empty(), "{untold:?}");
}
