//! What a new operator gets wrong: for each case one change to a sound configuration, what the
//! program says of it, how it exits, and that it leaves nothing behind. Where root runs the
//! tests, the program runs as somebody who may not read everything.

mod named;
mod places;
mod scene;
mod schemas;
mod texts;

use scene::{Scene, Sound, Verb};

/// One thing that is wrong.
struct Case {
    name: String,
    /// The verbs that must notice.
    verbs: &'static [Verb],
    /// How they exit.
    code: i32,
    /// What the message holds, of what was found and what is allowed.
    says: Vec<String>,
    /// A piece of the line that the message names; empty where no line is at fault.
    at: String,
    change: Box<dyn Fn(&mut Scene)>,
}

/// Tries every case by every verb of it, and names all that went wrong.
fn try_all(cases: &[Case]) {
    let sound = Sound::new();
    let mut wrong = Vec::new();
    for case in cases {
        let mut scene = Scene::of(&sound);
        (case.change)(&mut scene);
        let place = scene.place_of(&case.at);
        for verb in case.verbs {
            let before = scene.listing();
            let ended = scene.ends(*verb);
            let mut amiss = Vec::new();
            if ended.code != Some(case.code) {
                amiss.push(format!("exits with {:?}, not {}", ended.code, case.code));
            }
            let told =
                |part: &str| ended.said.lines().any(|line| line.contains(part) && line.contains(&place));
            for part in case.says.iter().filter(|part| !told(part)) {
                amiss.push(format!("does not say {part:?} beside {place:?}"));
            }
            for part in ["panicked", "a panic", "RUST_BACKTRACE", scene::MASTER_KEY, scene::PASSWORD] {
                if ended.said.contains(part) {
                    amiss.push(format!("says {part:?}"));
                }
            }
            let left = scene.listing();
            if left != before {
                let new: Vec<_> = left.iter().filter(|entry| !before.contains(entry)).collect();
                let gone: Vec<_> = before.iter().filter(|entry| !left.contains(entry)).collect();
                amiss.push(format!("leaves {new:?} in place of {gone:?}"));
            }
            if !amiss.is_empty() {
                wrong.push(format!("{} by {verb:?}: {}\n{}", case.name, amiss.join("; "), ended.said));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn what_the_cases_change_is_sound_without_them() {
    let sound = Sound::new();
    let mut scene = Scene::of(&sound);
    for verb in [Verb::Check, Verb::List, Verb::Init] {
        let before = scene.listing();
        let ended = scene.ends(verb);
        assert_eq!(ended.code, Some(0), "{verb:?}: {}", ended.said);
        assert!(!ended.said.contains("FAULT"), "{}", ended.said);
        assert_eq!(scene.listing(), before, "{verb:?}");
    }
    // It serves, until it is told to end; and so it would in each of the cases.
    let ended = scene.serves();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[test]
fn no_key_takes_a_value_of_another_type() {
    try_all(&texts::types());
}

#[test]
fn no_section_takes_a_key_that_is_not_known() {
    try_all(&texts::unknown_keys());
}

#[test]
fn no_section_does_without_what_it_needs() {
    try_all(&texts::missing());
}

#[test]
fn what_cannot_be_meant_is_told_with_its_line() {
    try_all(&texts::values());
}

#[test]
fn what_contradicts_itself_is_told_with_its_line() {
    try_all(&texts::conflicts());
}

#[test]
fn a_configuration_that_cannot_be_read_is_told() {
    try_all(&texts::unreadable());
}

#[test]
fn a_keyring_that_cannot_be_used_is_told() {
    try_all(&named::keyrings());
}

#[test]
fn a_secret_that_cannot_be_used_is_told() {
    try_all(&named::secrets());
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_told() {
    try_all(&named::certificates());
}

#[test]
fn an_audit_folder_that_cannot_be_used_is_told() {
    try_all(&places::audit());
}

#[test]
fn an_address_that_cannot_be_had_is_told() {
    try_all(&places::addresses());
}

#[test]
fn a_certificate_of_a_later_time_is_told() {
    try_all(&schemas::certificates());
}

#[test]
fn tables_that_the_policy_cannot_hold_for_are_told() {
    try_all(&schemas::schemas());
}

#[test]
fn databases_that_are_not_looked_at_are_told() {
    try_all(&schemas::databases());
}

#[test]
fn each_kind_of_fault_has_its_code() {
    try_all(&schemas::codes());
}

#[test]
fn a_full_disk_leaves_the_keyring_as_it_was() {
    places::keys_on_a_full_disk();
}
