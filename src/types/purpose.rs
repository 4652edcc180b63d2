//! In which form a value is given, and what for.

/// How the bytes of a value are to be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Binary,
}

/// What is done with a value: where it is assigned it is rounded, cut and checked as the server does it; for a
/// comparison nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Assign,
    Compare,
}
