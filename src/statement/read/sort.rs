//! Sorts of statements, by what of them matters to the judgement: whether they run code and rest on the
//! columns of tables, keep it for later, or do neither. The one list of them; what is not on it is a
//! definition, which keeps what it names.

use pg_query::protobuf::Node;
use pg_query::protobuf::node::Node as Kind;

use super::tree::{into, kind};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::statement) enum Sort {
    /// It reads or writes rows.
    Query,
    /// It runs, prepares or stores the rows of a query that it holds.
    Holder,
    /// It keeps a query.
    View,
    /// It runs code that is elsewhere, or in a string.
    Caller,
    /// It is about the session alone.
    Session,
    /// It reads on from a cursor.
    Fetch,
    /// It changes rights, comments or locks, and nothing that names or columns mean.
    Rights,
    /// It takes objects away.
    Drop,
    /// Any other.
    Definition,
}

impl Sort {
    pub(in crate::statement) fn of(node: &Node) -> Sort {
        match kind(node) {
            Some(Kind::SelectStmt(_)) if into(node).is_some() => Sort::Holder,
            Some(
                Kind::SelectStmt(_)
                | Kind::InsertStmt(_)
                | Kind::UpdateStmt(_)
                | Kind::DeleteStmt(_)
                | Kind::MergeStmt(_),
            ) => Sort::Query,
            Some(
                Kind::ExplainStmt(_)
                | Kind::PrepareStmt(_)
                | Kind::DeclareCursorStmt(_)
                | Kind::CreateTableAsStmt(_)
                | Kind::CopyStmt(_),
            ) => Sort::Holder,
            Some(Kind::ViewStmt(_)) => Sort::View,
            Some(Kind::ExecuteStmt(_) | Kind::CallStmt(_) | Kind::DoStmt(_)) => Sort::Caller,
            Some(
                Kind::TransactionStmt(_)
                | Kind::VariableSetStmt(_)
                | Kind::VariableShowStmt(_)
                | Kind::DeallocateStmt(_)
                | Kind::ClosePortalStmt(_)
                | Kind::DiscardStmt(_)
                | Kind::ConstraintsSetStmt(_)
                | Kind::ListenStmt(_)
                | Kind::UnlistenStmt(_)
                | Kind::NotifyStmt(_)
                | Kind::CheckPointStmt(_),
            ) => Sort::Session,
            Some(Kind::FetchStmt(_)) => Sort::Fetch,
            Some(Kind::GrantStmt(_) | Kind::CommentStmt(_) | Kind::LockStmt(_)) => Sort::Rights,
            Some(Kind::DropStmt(_) | Kind::DropOwnedStmt(_)) => Sort::Drop,
            Some(_) | None => Sort::Definition,
        }
    }

    /// Does it do now what it says? A definition keeps it for later.
    pub(in crate::statement) fn runs(self) -> bool {
        matches!(self, Sort::Query | Sort::Holder | Sort::Caller)
    }

    /// Does it run nothing of what it names?
    pub(in crate::statement) fn runs_nothing(self) -> bool {
        matches!(self, Sort::Session | Sort::Rights | Sort::Drop)
    }

    /// Does its meaning rest on the columns that the catalog has now?
    pub(in crate::statement) fn rests_on_columns(self) -> bool {
        matches!(self, Sort::Query | Sort::Holder | Sort::View)
    }
}
