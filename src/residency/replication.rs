//! The startup parameter `replication`, read as the server reads it.
//!
//! PostgreSQL (`backend_startup.c`, in 15 `postmaster.c`) compares with `database` exactly
//! and hands everything else to `parse_bool`: a prefix of true, false, yes, no, of on or off
//! from two letters, or 1 or 0, in any case.

/// What a value of `replication` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replication {
    /// An ordinary session.
    No,
    /// A walsender without a database.
    Physical,
    /// A walsender connected to a database; ordinary SQL runs there too.
    Logical,
    /// The server ends the session with a FATAL error.
    Invalid,
}

/// Reads one value, without its terminating zero. A startup packet can hold the parameter
/// more than once; PostgreSQL 15 goes by the last. Judge every occurrence, so that nothing
/// hangs on that.
#[must_use]
pub fn replication_kind(value: &[u8]) -> Replication {
    if value == b"database" {
        return Replication::Logical;
    }
    let abbreviates = |word: &[u8], letters_min: usize| {
        value.len() >= letters_min
            && word.get(..value.len()).is_some_and(|front| front.eq_ignore_ascii_case(value))
    };
    if abbreviates(b"true", 1) || abbreviates(b"yes", 1) || abbreviates(b"on", 2) || value == b"1" {
        Replication::Physical
    } else if abbreviates(b"false", 1) || abbreviates(b"no", 1) || abbreviates(b"off", 2) || value == b"0" {
        Replication::No
    } else {
        Replication::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::{Replication, replication_kind};

    #[test]
    fn reads_every_spelling_as_the_server_does() {
        use Replication::{Invalid, Logical, No, Physical};
        for (kind, values) in [
            (Logical, &["database"][..]),
            (
                Physical,
                &[
                    "t", "T", "tr", "tru", "true", "TRUE", "tRuE", "y", "ye", "yes", "YES", "on", "ON", "oN",
                    "1",
                ],
            ),
            (No, &["f", "fa", "fals", "false", "FALSE", "n", "no", "NO", "of", "off", "OFF", "0"]),
            (
                Invalid,
                &[
                    "",
                    "o",
                    "O",
                    "Database",
                    "DATABASE",
                    "databas",
                    "database ",
                    " true",
                    "true ",
                    "truex",
                    "yess",
                    "nope",
                    "one",
                    "offf",
                    "01",
                    "10",
                    "2",
                    "-1",
                    "physical",
                    "logical",
                    "t\u{e9}",
                ],
            ),
        ] {
            for value in values {
                assert_eq!(replication_kind(value.as_bytes()), kind, "{value:?}");
            }
        }
    }
}
