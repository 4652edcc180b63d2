//! The kinds of messages that the server answers.

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
    Query,
    Function,
    /// CopyDone or CopyFail: owes nothing itself, ends the reach of CopyInResponse.
    CopyEnd,
}

impl Kind {
    /// May rows answer it?
    pub fn has_rows(self) -> bool {
        matches!(self, Kind::Query | Kind::Execute)
    }

    /// Neither a Sync nor the end of a COPY.
    pub fn is_request(self) -> bool {
        !matches!(self, Kind::Sync | Kind::CopyEnd)
    }

    /// Does ReadyForQuery answer it?
    pub fn is_boundary(self) -> bool {
        matches!(self, Kind::Sync | Kind::Query | Kind::Function)
    }
}
