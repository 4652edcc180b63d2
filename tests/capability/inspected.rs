//! Tools that look at the catalog, which says `text` of every sealed column: what they make of it, and that what the
//! documentation advises makes them say what they say of plain columns.

use crate::harness::pg;
use crate::migrations::{opened, python, ruby, transcript};
use crate::routes;

/// What a program says on plain columns directly, on sealed ones through the gate, and then with what is advised.
fn said(program: &[String]) -> [Vec<String>; 3] {
    let with = |word: &str| [program, &[word.to_owned()]].concat();
    let server = pg(18);
    let (gate, _tap) = opened(&server);
    let direct = transcript(server.address(), "plain", &with("plain"));
    let through = transcript(gate.address(), "sealed", &with("plain"));
    let advised = transcript(gate.address(), "sealed", &with("advised"));
    [direct, through, advised].map(|said| said.lines().map(str::to_owned).collect())
}

fn beginning(said: &[String], word: &str) -> Vec<String> {
    said.iter().filter(|line| line.starts_with(word)).cloned().collect()
}

#[test]
fn alembic_and_django_find_no_difference_where_types_of_sealed_columns_are_not_compared() {
    let [direct, through, advised] = said(&python("inspected.py"));
    assert_eq!(beginning(&direct, "alembic:"), [""; 0]);
    // What it would change, and what the gate would make of that is nothing.
    let changes = ["email", "phone", "born", "level", "active", "salary"];
    let changes = changes.map(|column| format!("alembic: modify_type people {column}"));
    assert_eq!(beginning(&through, "alembic:"), changes);
    assert_eq!(beginning(&advised, "alembic:"), [""; 0]);
    // Django asks for a row's description, which the gate tells.
    assert_eq!(beginning(&through, "inspectdb:"), beginning(&direct, "inspectdb:"));
    assert_eq!(beginning(&direct, "inspectdb:").len(), 8);
}

#[test]
fn typeorm_would_drop_what_it_does_not_know_and_nothing_where_sealed_columns_are_text_to_it() {
    let [direct, through, advised] = said(&[String::from("node"), routes::driver("node/inspected.js")]);
    assert_eq!(direct, ["typeorm: [[]]", "done"]);
    assert!(through[0].contains("DROP COLUMN \\\"email\\\"") && !through[0].contains("city"), "{through:?}");
    // A CHECK that no entity has is dropped, so the guards too.
    assert!(
        !advised[0].contains("COLUMN") && advised[0].matches("DROP CONSTRAINT").count() == 2,
        "{advised:?}"
    );
    assert!(["people_email_sealed", "people_note_sealed"].iter().all(|guard| advised[0].contains(guard)));
}

#[test]
fn active_record_has_the_types_of_attributes_that_are_declared() {
    let [direct, through, advised] = said(&ruby("inspected.rb"));
    let texts = ["born: \"1815-12-10\"", "level: \"3\"", "active: \"t\""];
    assert!(texts.iter().all(|text| through.iter().any(|line| line == text)), "{through:?}");
    assert_eq!(advised, direct);
}
