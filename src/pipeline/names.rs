//! What the names of statements and portals mean, now and once the server has answered.
//!
//! Names change only when the server says so; until then a change rides on the entry of the
//! request that asked for it. Within a batch a request may rely on it (if the change fails,
//! the server skips the request too); across a Sync it may not.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::pending::Pending;
use super::plan::Plan;
use super::shape::Shape;
use super::subjects::Named;
use crate::catalog::Field;
use crate::statement::{Closes, NameOf, NamedQuery, Renames};

/// The text of a prepared statement, which counts as long as it is kept.
pub struct Kept {
    text: Box<[u8]>,
    of: Rc<Cell<usize>>,
}

impl Kept {
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of.set(self.of.get() - self.text.len());
    }
}

/// Bytes of the texts that one session keeps.
#[derive(Default)]
pub struct Texts(Rc<Cell<usize>>);

impl Texts {
    /// Keeps a text, if there is room for it.
    pub fn keep(&self, text: &[u8]) -> Option<Rc<Kept>> {
        let bytes = self.0.get() + text.len();
        if text.len() > TEXT_BYTES_MAX || bytes > TEXTS_BYTES_MAX {
            return None;
        }
        self.0.set(bytes);
        Some(Rc::new(Kept { text: text.into(), of: Rc::clone(&self.0) }))
    }

    /// Keeps a text that prepares statements.
    pub fn keep_named(&self, plan: &Plan, text: &[u8]) -> Option<Rc<Kept>> {
        let prepares = |names: &NamedQuery| matches!(names.of, NameOf::Statement { .. });
        let mut names = plan.facts.statements.iter().filter_map(|facts| facts.effect.names.as_deref());
        if names.any(prepares) { self.keep(text) } else { None }
    }
}

/// Longest text that is kept for a second judgement, and most bytes of them in one session: who
/// prepares more prepares anew after the catalog has changed.
const TEXT_BYTES_MAX: usize = 64 * 1024;
const TEXTS_BYTES_MAX: usize = 4 << 20;

/// A prepared statement as the gate knows it.
pub struct Prepared {
    /// The text as the client sent it; none where too much is kept.
    pub text: Option<Rc<Kept>>,
    /// Where its text is not kept for its literals: the Parse that was sent, in which they are sealed.
    pub sent: Option<Rc<Kept>>,
    pub epoch: u64,
    /// None: nothing classified in it.
    pub plan: Option<Rc<Plan>>,
    /// As its description told it; portals of a statement share it.
    pub shape: Rc<std::cell::RefCell<Option<Rc<Shape>>>>,
    /// Its Parse was refused or discarded: the name is bound without any value, and what
    /// that means is the server's to say.
    pub failed: bool,
    /// Number of the request that describes it, the last one; 0: none yet.
    pub described: Rc<Cell<u64>>,
    /// The types of parameters that the client declared (`pg_type.oid`), where it is judged.
    pub types: Box<[u32]>,
    /// It is known to run no code of the database.
    pub neutral: bool,
    /// Of a portal: the format codes of its result, as its Bind has them. Empty: text.
    pub formats: Box<[u8]>,
    /// Of a portal: whom its values name as those whose data is meant.
    pub named: Option<Rc<[Named]>>,
    /// What SQL has made of it, if it has.
    pub by_sql: Option<BySql>,
    /// What its names stood for that it runs by.
    pub rests: Vec<Rest>,
}

/// A name that a plan rests on.
pub struct Rest {
    /// A portal, or a statement.
    pub portal: bool,
    pub name: Box<[u8]>,
    /// None: nothing that was judged.
    pub on: Option<Rc<Prepared>>,
}

/// A statement by PREPARE, or a portal by DECLARE.
#[derive(Clone, Debug)]
pub struct BySql {
    /// Which statement of the text has made it.
    pub place: usize,
    /// WITH HOLD.
    pub holds: bool,
    /// The fields that it is about, as they were when it was judged.
    pub fields: Rc<[Field]>,
}

impl Prepared {
    /// A statement whose text is not kept: nothing may be bound to it.
    pub fn unknown() -> Prepared {
        Prepared::new(None, 0, None)
    }

    /// A statement whose Parse was refused or discarded.
    pub fn failed() -> Prepared {
        Prepared { failed: true, ..Prepared::unknown() }
    }

    pub fn new(text: Option<Rc<Kept>>, epoch: u64, plan: Option<Rc<Plan>>) -> Prepared {
        Prepared {
            text,
            sent: None,
            epoch,
            plan,
            shape: Rc::default(),
            failed: false,
            described: Rc::default(),
            types: Box::default(),
            neutral: false,
            formats: Box::default(),
            named: None,
            by_sql: None,
            rests: Vec::new(),
        }
    }

    /// It as a portal of these result formats, whose values name these.
    pub fn bound_as(&self, formats: &[u8], named: Option<Rc<[Named]>>) -> Prepared {
        Prepared {
            text: self.text.clone(),
            sent: None,
            epoch: self.epoch,
            plan: self.plan.clone(),
            shape: Rc::clone(&self.shape),
            failed: self.failed,
            described: Rc::clone(&self.described),
            types: self.types.clone(),
            neutral: self.neutral,
            formats: formats.into(),
            named,
            by_sql: self.by_sql.clone(),
            rests: Vec::new(),
        }
    }

    /// Is it the same text, judged alike?
    fn is_the_same(&self, other: &Prepared) -> bool {
        let bytes = |kept: &Option<Rc<Kept>>| kept.as_deref().map(|kept| kept.bytes().to_vec());
        let is_kept = self.text.is_some() || self.sent.is_some();
        is_kept
            && bytes(&self.text) == bytes(&other.text)
            && bytes(&self.sent) == bytes(&other.sent)
            && self.epoch == other.epoch
            && !self.failed
    }

    /// May a value that is bound to it be classified?
    fn is_guarded(&self) -> bool {
        self.epoch == 0 || self.plan.as_ref().is_some_and(|plan| plan.touches())
    }
}

/// A name that means something else once the server agrees.
#[derive(Clone)]
pub enum Change {
    Statement(Box<[u8]>, Option<Rc<Prepared>>),
    Portal(Box<[u8]>, Option<Rc<Prepared>>),
    /// By SQL. Until the server says so they are what they were: what is gone there is an error.
    Closed(Closes),
}

/// What a text does to names by SQL, statement by statement.
#[derive(Default)]
pub struct Naming {
    /// The place of a statement, and what it changes.
    pub changes: Vec<(usize, Change)>,
    /// What code of the text may make of names before the first of these, and behind it.
    pub before: Renames,
    pub behind: Renames,
    /// The portal in which all of that code runs, so that it cannot take it away.
    pub runs: Option<Box<[u8]>>,
    /// It opens a cursor whose name its row will tell.
    pub untold: bool,
}

/// What a name means for a request that uses it now.
pub enum Meaning {
    /// Nothing classified.
    Plain,
    Judged(Rc<Prepared>),
    /// It depends on an answer that has not come.
    Unsettled,
}

/// Most names kept for one session; beyond it a name that cannot be kept is refused.
pub const NAMES_MAX: usize = 10_000;

/// The server cuts names of statements and portals to this length, in bytes
/// (`NAMEDATALEN - 1`): longer ones that begin alike are one name.
const NAME_BYTES_MAX: usize = 63;

fn cut(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

/// What a name means at the server. Moments count requests by two: each has one before it.
struct Entry {
    prepared: Rc<Prepared>,
    made: u64,
}

/// Code that runs in a portal can take away any other, but not that one.
#[derive(Default)]
struct Doubted {
    last: u64,
    /// The portal in which the code ran that ran last, and the last moment of any other code.
    within: Option<Box<[u8]>>,
    elsewhere: u64,
}

impl Doubted {
    fn note(&mut self, within: Option<&[u8]>, moment: u64) {
        if within.is_none() || self.within.as_deref() != within {
            self.elsewhere = self.last;
            self.within = within.map(Into::into);
        }
        self.last = self.last.max(moment);
    }

    fn since(&self, portal: &[u8]) -> u64 {
        if self.within.as_deref() == Some(portal) { self.elsewhere } else { self.last }
    }
}

#[derive(Default)]
pub struct Names {
    statements: HashMap<Box<[u8]>, Entry>,
    /// Names whose preparing has failed since it was last asked for otherwise, and the number of
    /// the request that failed, or that would have come next.
    failed: HashMap<Box<[u8]>, u64>,
    /// A text was refused or discarded of which nobody has read every name: it may have failed
    /// to prepare any that is not known otherwise.
    failed_unseen: bool,
    portals: HashMap<Box<[u8]>, Entry>,
    /// Since when portals, and statements, may be others than were made: the last moment at which code ran
    /// that may have done that.
    portals_doubted: Doubted,
    statements_doubted: u64,
    /// SQL has made some of them.
    by_sql: bool,
    /// The last request that opens a cursor whose name only its row tells.
    pub(super) untold: Option<u64>,
    /// What the entries will make of these names.
    pending_statements: Pending<Prepared>,
    pending_portals: Pending<Prepared>,
}

impl Names {
    /// A request, of this number, will make this change if the server agrees.
    pub fn expect(&mut self, change: &Change, request: u64) {
        match change {
            Change::Statement(name, prepared) => {
                self.failed.remove(cut(name));
                self.pending_statements.note(cut(name), request, prepared.clone());
            }
            Change::Portal(name, prepared) => {
                self.pending_portals.note(cut(name), request, prepared.clone());
            }
            Change::Closed(_) => {}
        }
    }

    /// The same of a text of SQL, and of the code in it.
    pub fn expect_all(&mut self, naming: &Naming, request: u64) {
        let within = naming.runs.as_deref().map(cut);
        self.doubt(naming.before, request * 2 - 1, within);
        self.doubt(naming.behind, request * 2 + 1, within);
        self.by_sql |= !naming.changes.is_empty() || naming.untold;
        if naming.untold {
            self.untold = Some(request);
        }
        naming.changes.iter().for_each(|(_, change)| self.expect(change, request));
    }

    fn doubt(&mut self, renames: Renames, moment: u64, within: Option<&[u8]>) {
        if renames != Renames::Nothing {
            self.portals_doubted.note(within, moment);
        }
        if renames == Renames::Anything {
            self.statements_doubted = self.statements_doubted.max(moment);
        }
    }

    /// Has code run since this portal was made that may have made another one of the name? SQL makes none
    /// without a name.
    pub fn is_doubtful_portal(&self, name: &[u8]) -> bool {
        !name.is_empty()
            && made(name, &self.portals, &self.pending_portals) < self.portals_doubted.since(cut(name))
    }

    /// The same of a statement.
    pub fn is_doubtful_statement(&self, name: &[u8]) -> bool {
        !name.is_empty() && made(name, &self.statements, &self.pending_statements) < self.statements_doubted
    }

    /// Has SQL made any of them in this session?
    pub fn has_any_by_sql(&self) -> bool {
        self.by_sql
    }

    /// The oldest request that would make this change has its answer.
    pub fn settle(&mut self, change: &Change) {
        match change {
            Change::Statement(name, _) => self.pending_statements.settle(cut(name)),
            Change::Portal(name, _) => self.pending_portals.settle(cut(name)),
            Change::Closed(_) => {}
        }
    }

    /// The server agreed to a change; `request`: the number of the request that asked for it. A
    /// statement that was made since a name failed is what the name means.
    pub fn apply(&mut self, change: Change, request: u64) {
        if let Change::Statement(name, Some(_)) = &change
            && self.failed.get(cut(name)).is_some_and(|failed| *failed < request)
        {
            self.failed.remove(cut(name));
        }
        let (names, name, prepared) = match change {
            Change::Statement(name, prepared) => (&mut self.statements, name, prepared),
            Change::Portal(name, prepared) => (&mut self.portals, name, prepared),
            Change::Closed(closes) => return self.close(&closes),
        };
        let name: Box<[u8]> = if name.len() > NAME_BYTES_MAX { cut(&name).into() } else { name };
        match prepared {
            Some(prepared) => {
                // What is only judged again was made before.
                let before = names.get(&name).filter(|_| request == 0).map(|entry| entry.made);
                let made = before.unwrap_or(request * 2);
                names.insert(name, Entry { prepared, made });
            }
            None => {
                names.remove(&name);
            }
        }
    }

    fn close(&mut self, closes: &Closes) {
        match closes {
            Closes::Portals(Some(name)) => drop(self.portals.remove(cut(name.as_bytes()))),
            Closes::Statements(Some(name)) => drop(self.statements.remove(cut(name.as_bytes()))),
            Closes::Portals(None) => self.portals.clear(),
            // The unnamed one stays.
            Closes::Statements(None) => self.statements.retain(|name, _| name.is_empty()),
            Closes::Everything => {
                self.portals.clear();
                self.statements.retain(|name, _| name.is_empty());
            }
        }
    }

    /// The server does not agree to a change, or is not asked. What is bound to the name all
    /// the same was meant for the statement that failed, whatever the name means at the server:
    /// it is given no value, unless it means the same there.
    pub fn fail(&mut self, change: &Change, request: u64) {
        if let Change::Statement(name, Some(prepared)) = change
            && prepared.is_guarded()
        {
            let name = cut(name);
            if self.statements.get(name).is_some_and(|known| known.prepared.is_the_same(prepared)) {
                return;
            }
            self.failed.insert(name.into(), request);
        }
    }

    /// The same for any name, of which nobody knows which it was.
    pub fn fail_unseen(&mut self) {
        self.failed_unseen = true;
    }

    /// Portals end with the transaction, but for those that are held.
    pub fn end_transaction(&mut self) {
        if !self.portals.is_empty() {
            self.portals.retain(|_, entry| entry.prepared.by_sql.as_ref().is_some_and(|by| by.holds));
        }
    }

    pub fn is_full(&self) -> bool {
        self.statements.len() + self.failed.len() + self.portals.len() >= NAMES_MAX
    }

    /// What a statement's name means for a request that uses it now; `boundary`: the number of
    /// the last request that ReadyForQuery answers.
    pub fn statement(&self, name: &[u8], boundary: u64) -> Meaning {
        let asked = self.pending_statements.latest(cut(name)).map(|(request, _)| request);
        let failed =
            self.failed.get(cut(name)).is_some_and(|failed| asked.is_none_or(|asked| asked <= *failed));
        match meaning(name, &self.statements, &self.pending_statements, boundary) {
            Meaning::Unsettled => Meaning::Unsettled,
            // Whatever the server has under the name: the client means what it asked for last.
            _ if failed => Meaning::Judged(Rc::new(Prepared::failed())),
            Meaning::Plain if self.may_have_failed_unseen(name) => {
                Meaning::Judged(Rc::new(Prepared::failed()))
            }
            meaning @ (Meaning::Plain | Meaning::Judged(_)) => meaning,
        }
    }

    pub fn portal(&self, name: &[u8], boundary: u64) -> Meaning {
        meaning(name, &self.portals, &self.pending_portals, boundary)
    }

    fn may_have_failed_unseen(&self, name: &[u8]) -> bool {
        let name = cut(name);
        // What is closed is not known any more, whenever the answer comes.
        let known = match self.pending_statements.latest(name) {
            Some((_, prepared)) => prepared.is_some(),
            None => self.statements.contains_key(name),
        };
        self.failed_unseen && !name.is_empty() && !known
    }

    /// Is it known of this statement that it runs no code?
    pub fn is_neutral(&self, name: &[u8]) -> bool {
        let latest = self.pending_statements.latest(cut(name)).map(|(_, prepared)| prepared);
        let settled = || self.statements.get(cut(name)).map(|entry| &entry.prepared);
        latest.unwrap_or_else(settled).is_some_and(|prepared| prepared.neutral)
    }

    /// The epoch by which the statement of this name was judged.
    pub fn prepared_at(&self, name: &[u8]) -> Option<u64> {
        self.statements.get(cut(name)).map(|entry| entry.prepared.epoch)
    }
}

fn meaning(
    name: &[u8],
    settled: &HashMap<Box<[u8]>, Entry>,
    pending: &Pending<Prepared>,
    boundary: u64,
) -> Meaning {
    let name = cut(name);
    if let Some((request, prepared)) = pending.latest(name) {
        return match prepared {
            // A Query is its own boundary.
            _ if request <= boundary => Meaning::Unsettled,
            Some(prepared) => Meaning::Judged(Rc::clone(prepared)),
            None => Meaning::Plain,
        };
    }
    settled.get(name).map_or(Meaning::Plain, |entry| Meaning::Judged(Rc::clone(&entry.prepared)))
}

/// When a name was made to mean what it means.
fn made(name: &[u8], settled: &HashMap<Box<[u8]>, Entry>, pending: &Pending<Prepared>) -> u64 {
    let name = cut(name);
    let asked = pending.latest(name).map(|(request, _)| request * 2);
    asked.or_else(|| settled.get(name).map(|entry| entry.made)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_as_long_as_there_is_room_and_give_it_back() {
        let texts = Texts::default();
        let text = vec![b'x'; TEXT_BYTES_MAX];
        let kept: Vec<_> = (0..1_000).map_while(|_| texts.keep(&text)).collect();
        assert_eq!(kept.len(), TEXTS_BYTES_MAX / TEXT_BYTES_MAX);
        assert!(texts.keep(b"x").is_none());
        drop(kept);
        assert!(texts.keep(b"x").is_some_and(|kept| kept.bytes() == b"x"));
        assert!(texts.keep(&[b'x'; TEXT_BYTES_MAX + 1]).is_none());
    }
}
