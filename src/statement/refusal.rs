//! The one way to say no, so that every refusal has a reason, a detail and a remedy.

use super::facts::{Remedy, Unproven};

pub(super) type Proven<T> = Result<T, Unproven>;

pub(super) fn refuse(reason: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Unproven {
    Unproven { reason, detail: detail.into(), hint: hint.into(), remedy: Remedy::Nothing }
}

/// The same where something could still help.
pub(super) fn unless(remedy: Remedy, refusal: Unproven) -> Unproven {
    Unproven { remedy, ..refusal }
}

/// A part of the statement has a form that is not on the list of those that are followed.
pub(super) fn unsupported(form: &str) -> Unproven {
    refuse(
        "unsupported-form",
        format!("{form} is not followed in a statement that names a classified table"),
        "Write the statement without it, or name only unclassified tables in it.",
    )
}

pub(super) fn disagreement(what: &str) -> Unproven {
    refuse(
        "readers-disagree",
        format!("two independent readings of the statement differ: {what}"),
        "Write the statement with plain quoted literals and plain names.",
    )
}
