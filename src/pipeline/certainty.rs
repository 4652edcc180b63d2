//! What is certain of the state in which the server will read the next message.
//!
//! A message that may run code of the database (Bind, Execute, Query; planning runs functions
//! at Bind) may change string mode, encoding, search path and catalog, and nobody is told before
//! ReadyForQuery. That its answer has come already, by a Flush, makes nothing certain. So doubt
//! begins with the message and ends with the ReadyForQuery behind it; and that ends doubt about
//! what this session itself did, not about what others do.
//!
//! Whoever needs certainty asks here, and nobody asks the queue.

use std::sync::Arc;

use super::kind::Kind;
use crate::catalog::SearchPath;

/// What a message may have done beside what it was sent for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// It may have run code that nobody here has read.
    pub code: bool,
    /// And not only that of the tables that it uses: their triggers and defaults.
    pub foreign: bool,
    /// It is known to change how texts are read.
    pub reading: bool,
    /// It is known to change the catalog.
    pub catalog: bool,
    /// It may change in which encoding the client wants what is shown.
    pub converts: bool,
}

impl Doubt {
    /// A message that can do nothing of the kind.
    pub const NONE: Doubt =
        Doubt { code: false, foreign: false, reading: false, catalog: false, converts: false };
    /// Whatever a text may do that touches nothing.
    pub const CODE: Doubt = Doubt { code: true, foreign: true, ..Doubt::NONE };

    /// The same, if `catalog` of what changes the catalog.
    pub fn or_catalog(self, catalog: bool) -> Doubt {
        Doubt { catalog: self.catalog || catalog, ..self }
    }

    fn and(self, other: Doubt) -> Doubt {
        Doubt {
            code: self.code || other.code,
            foreign: self.foreign || other.foreign,
            reading: self.reading || other.reading,
            catalog: self.catalog || other.catalog,
            converts: self.converts || other.converts,
        }
    }
}

/// The answer to a question that must be certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sure {
    Yes,
    /// When what was sent has been answered up to a ReadyForQuery.
    Later,
    /// Not before the client ends its batch.
    NotInThisBatch,
}

/// See the module's text.
#[derive(Default)]
pub struct Certainty {
    /// What the batch may have done that no Sync or Query has ended.
    open: Doubt,
    /// It has begun.
    batch: bool,
    /// What ended batches may have done whose ReadyForQuery has not come.
    sent: Doubt,
    /// This session has changed the catalog, and it was not read again since.
    changed: bool,
    in_transaction: bool,
    failed_transaction: bool,
    path: Option<Arc<SearchPath>>,
    /// The unnamed statement, and the unnamed portal, run no code.
    neutral_statement: bool,
    neutral_portal: bool,
}

impl Certainty {
    /// A message goes to the server that may do this.
    pub fn sent(&mut self, kind: Kind, doubt: Doubt) {
        if kind.is_boundary() {
            self.sent = self.sent.and(self.open).and(doubt);
            self.open = Doubt::NONE;
            self.batch = false;
        } else if kind != Kind::CopyEnd {
            self.open = self.open.and(doubt);
            self.batch = true;
        }
    }

    /// ReadyForQuery; `last`: no other is owed.
    pub fn ready(&mut self, status: u8, last: bool) {
        self.in_transaction = status != b'I';
        self.failed_transaction = status == b'E';
        self.changed |= self.sent.catalog;
        if self.sent.code {
            self.path = None;
        }
        if last {
            self.sent = Doubt::NONE;
        }
    }

    /// A message that changes the catalog has completed, in the midst of its batch.
    pub fn defined(&mut self) {
        self.changed = true;
    }

    /// The catalog was read anew: without what this session's own transaction has changed in it.
    pub fn renewed(&mut self) {
        self.changed &= self.in_transaction || self.open.catalog || self.sent.catalog;
    }

    /// May the session's catalog be read again, and must it? Not before what changed it is
    /// committed: not within its batch, which is a transaction too.
    pub fn is_outdated(&self) -> bool {
        self.changed && !self.in_transaction && !self.open.catalog && !self.sent.catalog
    }

    /// The catalog was changed, or may have been by what is under way.
    pub fn may_have_defined(&self) -> bool {
        self.changed || self.open.catalog || self.sent.catalog
    }

    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// The transaction that is open has failed.
    pub fn has_failed(&self) -> bool {
        self.failed_transaction
    }

    /// The catalog is changed by the transaction that is open.
    pub fn defines(&self) -> bool {
        self.changed && self.in_transaction
    }

    /// Is anything that this session did to the catalog not yet known to all?
    pub fn is_underway(&self) -> bool {
        self.changed || self.open.catalog || self.sent.catalog
    }

    /// Is the catalog the one that this session knows of, but for what [`Certainty::is_outdated`]
    /// says?
    pub fn catalog(&self) -> Sure {
        if self.open.catalog {
            Sure::NotInThisBatch
        } else if self.sent.catalog {
            Sure::Later
        } else {
            Sure::Yes
        }
    }

    /// Has nothing run since the last ReadyForQuery that could have changed anything?
    /// `boundaries`: how many are owed.
    pub fn of_code(&self, boundaries: usize) -> Sure {
        if self.open.code || self.open.reading || self.open.catalog {
            Sure::NotInThisBatch
        } else if boundaries > 0 || self.sent != Doubt::NONE {
            Sure::Later
        } else {
            Sure::Yes
        }
    }

    /// Is the encoding the one that was reported last? Of a batch, what is known to change it
    /// counts.
    pub fn encoding(&self, boundaries: usize) -> Sure {
        if self.open.reading {
            Sure::NotInThisBatch
        } else if boundaries > 0 {
            Sure::Later
        } else {
            Sure::Yes
        }
    }

    /// The same for values of parameters, which wait less: for what may change it alone.
    pub fn encoding_of_values(&self) -> Sure {
        if self.open.reading {
            Sure::NotInThisBatch
        } else if self.sent.reading || self.sent.code {
            Sure::Later
        } else {
            Sure::Yes
        }
    }

    /// The search path, where nothing can have changed it since it was asked for. Within its batch
    /// a statement that calls nothing leaves it as it is: a trigger that did not would change
    /// which table is meant, and not that what is judged is what runs.
    pub fn path(&self) -> Option<&Arc<SearchPath>> {
        let sure = !self.open.foreign && !self.sent.foreign;
        self.path.as_ref().filter(|_| sure)
    }

    pub fn learn_path(&mut self, path: SearchPath) {
        self.path = Some(Arc::new(path));
    }

    /// May something be asked of the server in this session without changing it? Not within a
    /// batch, which it would commit, nor in a transaction that failed.
    pub fn may_ask(&self) -> bool {
        !self.batch && !self.failed_transaction
    }

    /// The same of what executes nothing, and may be answered with any error.
    pub fn may_ask_of_text(&self) -> bool {
        !self.batch
    }

    /// Has the open batch what may change in which encoding the client wants what is shown?
    pub fn converts(&self) -> bool {
        self.open.converts
    }

    /// Is the open batch one in which code may have run already?
    pub fn has_doubt(&self) -> bool {
        self.open.code
    }

    pub fn note_statement(&mut self, neutral: bool) {
        self.neutral_statement = neutral;
    }

    pub fn note_portal(&mut self, neutral: bool) {
        self.neutral_portal = neutral;
    }

    pub fn is_neutral_statement(&self) -> bool {
        self.neutral_statement
    }

    pub fn is_neutral_portal(&self) -> bool {
        self.neutral_portal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_run_code_is_doubt_until_the_ready_for_query_behind_it() {
        for kind in [Kind::Bind, Kind::Execute] {
            let mut certainty = Certainty::default();
            certainty.learn_path(SearchPath::new(vec!["public".into()]));
            assert_eq!(certainty.of_code(0), Sure::Yes);
            certainty.sent(Kind::Parse, Doubt::NONE);
            assert!(certainty.path().is_some() && certainty.of_code(0) == Sure::Yes && !certainty.may_ask());
            // Whether its answer has come already is nobody's question.
            certainty.sent(kind, Doubt::CODE);
            assert!(certainty.path().is_none() && certainty.of_code(0) == Sure::NotInThisBatch);
            certainty.sent(Kind::Sync, Doubt::NONE);
            assert!(certainty.path().is_none() && certainty.of_code(1) == Sure::Later && certainty.may_ask());
            certainty.ready(b'I', true);
            assert!(certainty.path().is_none() && certainty.of_code(0) == Sure::Yes);
        }
    }

    #[test]
    fn a_batch_that_changed_the_catalog_is_a_transaction_whatever_was_said_last() {
        let mut certainty = Certainty::default();
        let defines = Doubt { catalog: true, ..Doubt::CODE };
        certainty.sent(Kind::Execute, defines);
        certainty.defined();
        assert!(!certainty.is_outdated() && certainty.catalog() == Sure::NotInThisBatch);
        certainty.sent(Kind::Sync, Doubt::NONE);
        assert!(!certainty.is_outdated() && certainty.catalog() == Sure::Later);
        certainty.ready(b'T', true);
        assert!(!certainty.is_outdated() && certainty.defines() && certainty.catalog() == Sure::Yes);
        certainty.renewed();
        assert!(certainty.defines(), "what others have changed says nothing of what it has");
        certainty.sent(Kind::Query, Doubt::CODE);
        certainty.ready(b'I', true);
        assert!(certainty.is_outdated() && !certainty.defines());
        certainty.renewed();
        assert!(!certainty.is_outdated());
    }
}
