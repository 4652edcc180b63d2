//! Can the body of a function be followed by the names in it?

use super::matters::words;

/// Words after which plpgsql's EXECUTE is part of a DDL statement, not dynamic SQL.
const EXECUTE_DDL: [&str; 3] = ["function", "procedure", "on"];

/// Commands of SQL, beside EXECUTE of a text, that bring code with them or run it elsewhere.
const BRINGS_CODE: [&str; 10] =
    ["alter", "copy", "create", "do", "explain", "import", "load", "prepare", "refresh", "security"];

/// Why a body cannot be followed by the names in it: it is written in a language in which we
/// cannot tell, builds SQL at run time, or hides names.
#[must_use]
pub fn unfollowed(language: &str, folded: &str) -> Option<&'static str> {
    if !matches!(language, "sql" | "plpgsql") {
        return Some("it is not written in SQL or PL/pgSQL");
    }
    if folded.contains("u&\"") {
        return Some("its body spells names with Unicode escapes");
    }
    let mut all = words(folded).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = all.next() {
        let next = all.peek().copied().unwrap_or_default();
        if word == "execute" && !EXECUTE_DDL.contains(&next) {
            return Some("it may run SQL that it builds itself");
        }
        let harmless = word == "do" && matches!(next, "nothing" | "update");
        if BRINGS_CODE.contains(&word) && !harmless {
            return Some("it runs a command that brings code of its own");
        }
    }
    None
}
