//! Classes of operators of an index: which one sealed text has in place of that of another type.

use pg_query::protobuf::Node;

use crate::catalog::BASES;

use super::super::read::tree;

/// Classes of operators that a column of text can have.
const TEXT_CLASSES: [&str; 4] = ["text_ops", "text_pattern_ops", "varchar_ops", "varchar_pattern_ops"];

/// What stands for the class of another type on sealed text. None: it says more than equality and order.
pub(in crate::statement) fn class_of_text(class: &str) -> Option<&'static str> {
    if let Some(own) = TEXT_CLASSES.into_iter().find(|own| *own == class) {
        return Some(own);
    }
    match class {
        "bpchar_pattern_ops" | "citext_pattern_ops" => Some("text_pattern_ops"),
        "array_ops" => Some("text_ops"),
        _ => {
            let base = class.strip_suffix("_ops")?;
            BASES.into_iter().any(|one| one.name() == base).then_some("text_ops")
        }
    }
}

/// Is this a class of operators that an index of sealed text, or of anything, may have?
pub(in crate::statement) fn is_known_class(opclass: &[Node]) -> bool {
    opclass.is_empty() || tree::last_name(opclass).is_some_and(|class| class_of_text(class).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_other_types_have_one_of_text() {
        for (class, own) in [
            ("varchar_pattern_ops", Some("varchar_pattern_ops")),
            ("bpchar_pattern_ops", Some("text_pattern_ops")),
            ("date_ops", Some("text_ops")),
            ("gin_trgm_ops", None),
            ("jsonb_path_ops", None),
            ("my_ops", None),
        ] {
            assert_eq!(class_of_text(class), own, "{class}");
        }
    }
}
