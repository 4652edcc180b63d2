//! What the open transaction has defined, by which its own texts are judged until it ends.
//!
//! A definition counts once the server has completed it. What of it stays behind ROLLBACK TO the names
//! of savepoints tell; a savepoint that was made before the first definition is not known here, and
//! takes all of them back. Whatever is not wholly understood makes the catalog unknown: then what
//! touches anything waits for the end of the transaction.

use std::sync::Arc;

use super::view::View;
use crate::catalog::{Change, EPOCHS_APART, QualifiedName, TEMPORARY};
use crate::statement::{Boundary, StatementFacts};

/// Changes and savepoints that are followed at the most.
const CHANGES_MAX: usize = 1_024;
const SAVEPOINTS_MAX: usize = 256;

struct Savepoint {
    name: Arc<str>,
    /// How many changes there were, and whether anything was unknown.
    changes: usize,
    unknown: bool,
}

/// See the module's text.
#[derive(Default)]
pub struct Overlay {
    /// Temporary copies that the session has, whatever its transactions do.
    kept: Vec<Change>,
    /// The transaction that is over, or that is open by itself, was undone.
    undone: bool,
    changes: Vec<Change>,
    unknown: bool,
    savepoints: Vec<Savepoint>,
    /// Savepoints came and went that nobody has read.
    lost: bool,
    /// All that the session has is dropped, once that is committed.
    discards: bool,
    /// The session's view is not the one that these changes make.
    stale: bool,
    /// Views that were made of one catalog.
    made: u64,
}

impl Overlay {
    /// A statement of this transaction has completed. `facts`: none where nobody has read it.
    pub fn complete(&mut self, facts: Option<&StatementFacts>, tag: &[u8]) {
        // What was undone by an error lets nothing complete before the next transaction.
        self.undone = false;
        match tag {
            b"COMMIT" => self.keep(),
            // It may be undone by what comes behind it in its batch.
            b"DISCARD ALL" => self.discards = true,
            _ => {}
        }
        match facts {
            // The COMMIT of a transaction that has failed.
            Some(StatementFacts { boundary: Some(Boundary::End), .. }) if tag == b"ROLLBACK" => {
                self.bound(&Boundary::Undone);
            }
            Some(facts) if facts.effect.catalog => self.define(facts.effect.changes.as_deref()),
            Some(StatementFacts { boundary: Some(boundary), .. }) => self.bound(boundary),
            Some(_) => {}
            None if matches!(tag, b"SAVEPOINT" | b"RELEASE" | b"ROLLBACK" | b"COMMIT") => self.lose(),
            None => {}
        }
    }

    fn define(&mut self, changes: Option<&[Change]>) {
        match changes {
            Some(changes) if self.changes.len() + changes.len() <= CHANGES_MAX => {
                self.stale |= !changes.is_empty();
                self.changes.extend_from_slice(changes);
            }
            Some(_) | None => self.unknown = true,
        }
    }

    fn bound(&mut self, boundary: &Boundary) {
        let place = |name: &Arc<str>| self.savepoints.iter().rposition(|one| one.name == *name);
        match boundary {
            Boundary::Savepoint(name) if self.savepoints.len() < SAVEPOINTS_MAX => {
                let (changes, unknown) = (self.changes.len(), self.unknown);
                self.savepoints.push(Savepoint { name: name.clone(), changes, unknown });
            }
            Boundary::Savepoint(_) => self.lost = true,
            Boundary::Release(name) => {
                // One that is not known came before all that are.
                let left = place(name).unwrap_or(0);
                self.savepoints.truncate(left);
            }
            Boundary::RollbackTo(_) if self.lost => self.unknown = true,
            Boundary::RollbackTo(name) => {
                let (left, changes, unknown) =
                    match place(name).and_then(|at| Some((at, self.savepoints.get(at)?))) {
                        Some((at, savepoint)) => (at + 1, savepoint.changes, savepoint.unknown),
                        None => (0, 0, false),
                    };
                self.savepoints.truncate(left);
                self.stale |= self.changes.len() > changes;
                self.changes.truncate(changes);
                self.unknown = unknown;
            }
            Boundary::Undone => {
                let before = self.changes.len();
                self.changes.retain(is_lasting);
                self.stale |= self.changes.len() < before;
                self.lose();
            }
            // ReadyForQuery tells of the end; where another transaction is chained to it, nobody does.
            Boundary::Prepared | Boundary::End => self.lose(),
        }
    }

    /// The transaction is committed: what it has made or dropped of temporary tables stays so.
    fn keep(&mut self) {
        if std::mem::take(&mut self.discards) {
            self.stale |= !self.kept.is_empty();
            self.kept.clear();
        }
        for change in &self.changes {
            let Some(table) = change.table().filter(|table| *table.schema == *TEMPORARY) else { continue };
            let is_other = |one: &Change| one.table() != Some(table);
            #[expect(clippy::wildcard_enum_match_arm, reason = "of a temporary copy there is nothing else")]
            match change {
                Change::Copied { passing: false, .. } if self.unknown => {
                    let why = "a temporary copy, made by a transaction of which not all is known".into();
                    let led = Change::Led { table: table.clone(), why, unless_there: false };
                    self.kept.retain(is_other);
                    self.kept.push(led);
                }
                Change::Copied { passing: false, .. } => {
                    self.kept.retain(is_other);
                    self.kept.push(change.clone());
                }
                // What may have been taken back is still there, or the server says that it is not.
                Change::Dropped { .. } | Change::Copied { .. } if self.unknown => {}
                _ => self.kept.retain(is_other),
            }
        }
        self.stale |= !self.changes.is_empty();
        self.changes.retain(is_lasting);
    }

    /// An error: what is open by itself is undone, and of what was begun nothing stays but by a COMMIT.
    pub fn fail(&mut self) {
        self.undone = true;
    }

    fn lose(&mut self) {
        self.lost = true;
        self.unknown |= !self.changes.is_empty();
    }

    /// The transaction is over: the catalog is what anybody reads.
    pub fn end(&mut self) {
        self.stale |= !self.changes.is_empty();
        if !self.undone {
            self.keep();
        }
        let stale = self.stale;
        let kept = std::mem::take(&mut self.kept);
        *self = Overlay { kept, stale, made: self.made, ..Overlay::default() };
    }

    /// The catalog was read anew: the changes come on top of that.
    pub fn renewed(&mut self) {
        self.made = 0;
        self.stale |= !self.changes.is_empty() || !self.kept.is_empty();
    }

    /// Has the session temporary copies?
    pub fn keeps(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Has the transaction done what nobody but the server knows?
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Must the session take another view before it judges?
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The view by which texts are judged from here on, on top of the catalog that everybody reads.
    pub fn view(&mut self, base: &Arc<View>) -> Arc<View> {
        self.stale = false;
        if self.changes.is_empty() && self.kept.is_empty() {
            return Arc::clone(base);
        }
        self.made += 1;
        let epoch = base.epoch() + self.made;
        let after = base
            .snapshot()
            .after(self.kept.iter().chain(&self.changes), epoch)
            .filter(|_| self.made < EPOCHS_APART);
        match after {
            Some(after) => Arc::new(View::of_transaction(Arc::new(after))),
            None => {
                self.unknown = true;
                Arc::clone(base)
            }
        }
    }

    /// A table that this transaction has made, and of which the server has not said which one it is.
    pub fn unplaced(&self, view: &View) -> Option<&QualifiedName> {
        if self.unknown {
            return None;
        }
        let is_there = |table: &&QualifiedName| {
            view.snapshot().relation(&table.schema, &table.name).is_some_and(|relation| relation.oid == 0)
        };
        let made = |change: &'_ Change| {
            matches!(change, Change::Created { oid: 0, .. } | Change::Copied { oid: 0, .. })
        };
        let tables = self.kept.iter().chain(&self.changes).filter(|change| made(change)).map(Change::table);
        tables.flatten().find(is_there)
    }

    /// The server's word for it; none: there is no such table.
    pub fn place(&mut self, named: &QualifiedName, found: Option<u32>) {
        let Some(found) = found.filter(|oid| *oid != 0) else {
            self.unknown = true;
            return;
        };
        // The last one: what was dropped before it has the same name.
        for change in self.kept.iter_mut().chain(&mut self.changes).rev() {
            if let Change::Created { table, oid, .. } | Change::Copied { table, oid, .. } = change
                && table == named
                && *oid == 0
            {
                *oid = found;
                self.stale = true;
                return;
            }
        }
    }

    /// Has this transaction made the one table of this bare name that there is, so that nobody else can
    /// change it?
    pub fn has_made(&self, name: &str, view: &View) -> bool {
        let Some(only) = view.snapshot().only_relation(name) else { return false };
        let own = |change: &Change| matches!(change, Change::Created { table, unless_there: false, .. } if *table == only.name);
        self.changes.iter().any(own)
    }
}

/// Is it about no temporary table?
fn is_lasting(change: &Change) -> bool {
    change.table().is_none_or(|table| *table.schema != *TEMPORARY)
}
