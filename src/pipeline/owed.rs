//! The queue of what the server owes: one entry a request, in order. What a request changes
//! about a name rides on its entry.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::clear::Moved;
use super::copies::Stream;
pub use super::kind::Kind;
use super::names::{Change, Meaning, Names, Naming, Prepared};
use super::plan::Plan;
use super::shape::Shape;
use super::stream::Streaming;
use super::subjects::Whose;
use crate::audit::{Cover, Execution, FieldUse, Lease, Who};
use crate::catalog::QualifiedName;
use crate::policy::Refusal;
use crate::wire::Malformed;

/// One execution of a statement that touches classified fields.
pub struct Running {
    pub who: Arc<Who>,
    pub execution: Execution,
    pub plan: Rc<Plan>,
    /// Which statement of the plan.
    pub index: usize,
    /// Simple protocol: the shape that RowDescription told.
    pub shape: Option<Rc<Shape>>,
    /// COPY to the client: what has come of its data.
    pub copying: Option<Box<Stream>>,
    /// Its sealed values are given as they are stored, by a rule for this user.
    pub stored: bool,
    /// Extended protocol: the statement that knows the shape.
    pub prepared: Option<Rc<Prepared>>,
    /// None: its intent is not durable yet.
    pub cover: Option<Cover>,
    /// The lease that it has used, where it has.
    pub lease: Option<Rc<Lease>>,
    pub rows: u64,
    /// Classified values released, by field: aligned with `reads` of the facts.
    pub cells: Vec<u64>,
    /// It may read all that is legible: its fields, and how many values it has shown.
    pub possible: Option<Possible>,
    pub bytes: u64,
    pub sqlstate: Option<[u8; 5]>,
    /// Whose data it meets, where anything says so.
    pub whose: Option<Box<Whose>>,
}

impl Running {
    /// It runs by this statement or portal.
    pub fn comes_by(&mut self, prepared: Option<&Rc<Prepared>>) {
        self.prepared = prepared.cloned();
        let named = prepared.and_then(|prepared| prepared.named.clone());
        if let (Some(whose), Some(named)) = (&mut self.whose, named) {
            whose.name(named);
        }
    }

    /// A row has been released.
    pub fn note_row(&mut self, cells: &[u64], bytes: u64, others: u64) {
        self.rows += 1;
        for (sum, count) in self.cells.iter_mut().zip(cells) {
            *sum += count;
        }
        self.bytes += bytes;
        if let Some(possible) = &mut self.possible {
            possible.cells += others;
        }
        if let Some(whose) = &mut self.whose {
            whose.commit();
        }
    }
}

/// Of an execution that may read all that is legible.
pub struct Possible {
    pub fields: Arc<[FieldUse]>,
    pub cells: u64,
}

/// What is remembered beside the kind, for the few requests that need it.
#[derive(Default)]
pub struct Mark {
    pub refusal: Option<Refusal>,
    pub change: Option<Change>,
    /// What a text of SQL, and the code that it runs, does to names.
    pub naming: Option<Box<Naming>>,
    /// Describe: the statement whose shape the answer tells.
    pub describes: Option<Rc<Prepared>>,
    /// Describe: of a statement that may show any legible column, on record.
    pub possibly: bool,
    /// A Describe of ours: the client does not see its answer.
    pub swallow: bool,
    /// One for each statement of a Query, one for an Execute; none where it touches nothing.
    pub runs: Vec<Option<Running>>,
    /// How many statements of a Query have completed.
    pub completed: usize,
    /// It changes the catalog.
    pub catalog: bool,
    /// What its statements do to that which the transaction defines, and to what is stated of who asks.
    pub defines: Option<Rc<Plan>>,
    /// What stands in the server's message otherwise than in the client's.
    pub moved: Option<Rc<Moved>>,
    /// A question of ours: the client sees neither it nor its answer.
    pub asks: Option<Ask>,
    /// A message by which the server only says whether it can read a text.
    pub probe: bool,
    /// What a walsender streams in answer to it.
    pub stream: Option<Box<Streaming>>,
    /// It takes data in which values are sealed.
    pub takes_copy: bool,
    /// The server has said that it takes that of the statement that runs.
    pub copy_begun: bool,
}

/// What is asked of the server in the client's session, by FunctionCall, which leaves everything
/// there as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// `current_schemas(true)`
    Path,
    /// Whether there is a temporary relation of this name: `to_regclass`.
    Temporary(String),
    /// In which schema a table is made: `current_schema()`.
    Creation,
    /// Which table has this name: `to_regclass`.
    Table(QualifiedName),
}

/// A text that could not be judged, of which the server says whether it is the client's fault.
/// The message itself waits meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    Underway,
    /// The server could read it: the catalog is newer than the snapshot, and must be read.
    Readable,
    /// It has been.
    Renewed,
    /// The client has been told; the message is used up.
    Told,
}

impl Mark {
    /// What only makes a name mean something else.
    pub fn changing(change: Change) -> Mark {
        Mark { change: Some(change), ..Mark::default() }
    }

    /// Is data still to come from the client that the server has not asked for?
    pub fn awaits_copy(&self) -> bool {
        let mut left = self.runs.iter().skip(self.completed).flatten();
        let takes = |run: &Running| {
            let facts = run.plan.facts.statements.get(run.index);
            facts.and_then(|facts| facts.copy.as_ref()).is_some_and(|copy| copy.from)
        };
        self.takes_copy && !self.copy_begun && left.any(takes)
    }

    /// The execution whose rows come next.
    pub fn running(&mut self) -> Option<&mut Running> {
        self.runs.get_mut(self.completed).and_then(Option::as_mut)
    }
}

/// One request that the server has not answered.
pub struct Owed {
    pub kind: Kind,
    pub mark: Option<Box<Mark>>,
    /// Grows by one with each request of the session.
    pub number: u64,
}

impl Owed {
    /// Is it a question of ours, or a probe?
    pub fn is_ours(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.asks.is_some() || mark.probe)
    }
}

/// What a refusal is sent in place of.
#[derive(Clone)]
pub enum Target {
    Query,
    Parse(Box<[u8]>),
    Bind(Box<[u8]>),
    Execute,
    Describe,
}

/// Most requests without an answer; beyond it the client's next frames wait. More answers
/// than the server holds back in its own buffer, so that one comes without a Sync too.
pub const OWED_MAX: usize = 65_536;

/// What of the client's further frames the server would discard, or is certain to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Discard {
    #[default]
    Nothing,
    /// The data of a COPY that was refused: the server ignores it outside of a COPY.
    CopyData,
    /// An error in the extended protocol came, or a refusal that the server cannot but
    /// answer with one was sent, and no Sync since: whatever comes before one.
    ToSync,
}

/// What stands between CopyInResponse and the end of the data and is no data.
#[derive(Clone, Copy, Default)]
struct Early {
    syncs: usize,
    /// A request behind one of them: no client that knows of the COPY sends one.
    requests: bool,
}

#[derive(Default)]
pub struct Queue {
    entries: VecDeque<Owed>,
    boundaries: usize,
    /// CopyInResponse came and its CopyDone or CopyFail was not yet sent.
    copying: bool,
    early: Early,
    /// Syncs of a COPY that failed, of which nobody can say whether the server had read
    /// them as a part of its data (then nothing answers them) or had not. Their
    /// ReadyForQuery, if any, come before any other answer.
    late: usize,
    /// The same of a COPY in the Query at the front, whose own ReadyForQuery comes first.
    late_behind: usize,
    discard: Discard,
    /// Requests without an answer that take data in which values are sealed.
    copies: usize,
    pub names: Names,
    /// Numbers of the last entry and of the last boundary, from 1 on.
    last: u64,
    last_boundary: u64,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        // The end of a COPY is never answered.
        self.entries.iter().all(|owed| owed.kind == Kind::CopyEnd)
    }

    /// Requests that ReadyForQuery will answer.
    pub fn boundaries(&self) -> usize {
        self.boundaries
    }

    /// Describes of the open batch that will tell this statement's shape.
    pub fn describes(&self, prepared: &Rc<Prepared>) -> bool {
        self.is_in_open_batch(prepared.described.get())
    }

    /// Is the entry of this number still here, and no boundary behind it?
    fn is_in_open_batch(&self, number: u64) -> bool {
        number > self.last_boundary && self.entries.front().is_some_and(|owed| owed.number <= number)
    }

    /// The number of the last request.
    pub fn last_number(&self) -> u64 {
        self.last
    }

    pub fn plain(&mut self, kind: Kind) {
        self.push(kind, None);
    }

    pub fn marked(&mut self, kind: Kind, mark: Mark) {
        self.push(kind, Some(Box::new(mark)));
    }

    fn push(&mut self, kind: Kind, mark: Option<Box<Mark>>) {
        debug_assert!(
            self.discard != Discard::ToSync || kind == Kind::Sync,
            "what the server discards is not sent"
        );
        self.discard = Discard::Nothing;
        self.early.requests |= self.copying && self.early.syncs > 0 && kind.is_request();
        match kind {
            // The server answers no Sync between CopyInResponse and the end of the data.
            Kind::Sync if self.copying => {
                self.early.syncs += 1;
                return;
            }
            Kind::CopyEnd => {
                self.copying = false;
                // Nothing answers it, so a second one at the same place must not add up, and
                // one without a request before it must not look like work.
                if self.entries.back().is_none_or(|owed| owed.kind == Kind::CopyEnd) {
                    return;
                }
            }
            Kind::Sync | Kind::Query | Kind::Function => self.boundaries += 1,
            Kind::Parse | Kind::Bind | Kind::Describe | Kind::Execute | Kind::Close => {}
        }
        self.last += 1;
        if kind.is_boundary() {
            self.last_boundary = self.last;
        }
        if let Some(mark) = &mark {
            self.copies += usize::from(mark.takes_copy);
            self.expect(mark);
        }
        self.entries.push_back(Owed { kind, mark, number: self.last });
    }

    /// What the last entry will change.
    fn expect(&mut self, mark: &Mark) {
        if let Some(described) = &mark.describes {
            described.described.set(self.last);
        }
        if let Some(change) = &mark.change {
            self.names.expect(change, self.last);
        }
        if let Some(naming) = &mark.naming {
            self.names.expect_all(naming, self.last);
        }
    }

    /// What the oldest entry has changed, or would have.
    fn settle(&mut self, mark: &Mark) {
        if let Some(change) = &mark.change {
            self.names.settle(change);
        }
        let by_sql = mark.naming.iter().flat_map(|naming| &naming.changes);
        by_sql.for_each(|(_, change)| self.names.settle(change));
    }

    pub fn front(&mut self) -> Option<&mut Owed> {
        while self.entries.front().is_some_and(|owed| owed.kind == Kind::CopyEnd) {
            self.entries.pop_front();
        }
        self.entries.front_mut()
    }

    pub fn pop(&mut self) -> Option<Owed> {
        self.front()?;
        let owed = self.entries.pop_front()?;
        if owed.kind.is_boundary() {
            self.boundaries -= 1;
            self.late += std::mem::take(&mut self.late_behind);
        }
        if let Some(mark) = &owed.mark {
            self.copies -= usize::from(mark.takes_copy);
            self.settle(mark);
        }
        // After a COPY nothing is under way.
        self.front();
        Some(owed)
    }

    /// After an error in the extended protocol the server skips to the Sync: takes the next
    /// request that is skipped.
    pub fn skip(&mut self) -> Option<Owed> {
        if self.front().is_none() {
            self.discard = Discard::ToSync;
        }
        if self.front().is_some_and(|owed| owed.kind != Kind::Sync) { self.pop() } else { None }
    }

    /// A refusal was queued: the server will answer it with an error, and discard what
    /// comes behind it.
    pub fn refused(&mut self) {
        let simple = self.entries.back().is_some_and(|owed| owed.kind == Kind::Query);
        self.discard = if simple { Discard::CopyData } else { Discard::ToSync };
    }

    /// What of the next frames is not to be sent.
    pub fn discards(&self) -> Discard {
        self.discard
    }

    /// May the server come to take data in which values are sealed?
    pub fn owes_copies(&self) -> bool {
        self.copies > 0
    }

    /// What the client still sends of the data goes nowhere.
    pub fn drop_copy_data(&mut self) {
        if self.discard == Discard::Nothing {
            self.discard = Discard::CopyData;
        }
    }

    /// The server waits for copy data.
    pub fn is_copying(&self) -> bool {
        self.copying
    }

    /// CopyInResponse: the Syncs behind it, up to the end of the data, are a part of it.
    pub fn copy_in(&mut self) {
        // Not the end of an earlier one.
        self.front();
        let end = self.entries.iter().position(|owed| owed.kind == Kind::CopyEnd);
        self.copying = end.is_none();
        let reach = end.unwrap_or(self.entries.len());
        let (mut at, mut early) = (0, Early::default());
        self.entries.retain(|owed| {
            let within = at > 0 && at < reach;
            let drop = within && owed.kind == Kind::Sync;
            early.requests |= within && early.syncs > 0 && owed.kind.is_request();
            at += 1;
            early.syncs += usize::from(drop);
            !drop
        });
        self.boundaries -= early.syncs;
        let boundary = self.entries.iter().rev().find(|owed| owed.kind.is_boundary());
        self.last_boundary = boundary.map_or(0, |owed| owed.number);
        self.early = early;
    }

    /// The server has read its data to the end: later Syncs count again.
    pub fn copy_over(&mut self) {
        (self.copying, self.early) = (false, Early::default());
    }

    /// The COPY under way, if any, failed: it is not known how far the server had read.
    ///
    /// # Errors
    /// What it owes for the requests behind a Sync that it may have read is not known.
    pub fn copy_failed(&mut self) -> Result<(), Malformed> {
        let Early { syncs, requests } = self.early;
        self.copy_over();
        match self.front() {
            Some(owed) if owed.kind.is_boundary() => self.late_behind = syncs,
            Some(_) | None => self.late = syncs,
        }
        if requests { Err(Malformed("requests within the data of a COPY that failed")) } else { Ok(()) }
    }

    /// An answer that is no ReadyForQuery: what could come before it has come.
    pub fn answered(&mut self) {
        if self.late > 0 {
            self.late = 0;
        }
    }

    /// Is this ReadyForQuery the answer to a Sync of a COPY that failed? Where a Sync comes
    /// next it may be either's, which is the same: nothing ran between them.
    pub fn is_late(&mut self) -> bool {
        let late = self.late > 0 && self.front().is_none_or(|owed| owed.kind != Kind::Sync);
        if late {
            self.late -= 1;
            if self.front().is_none() {
                // The server skipped as far as this Sync.
                self.discard = Discard::Nothing;
            }
        }
        late
    }

    /// A statement of the oldest entry has completed: names mean what it has made of them.
    pub fn named(&mut self) {
        let Some(Owed { mark: Some(mark), number, .. }) = self.front() else { return };
        let (completed, number) = (mark.completed, *number);
        let changes = mark.naming.iter().flat_map(|naming| &naming.changes);
        let now: Vec<Change> =
            changes.filter(|(place, _)| *place == completed).map(|(_, change)| change.clone()).collect();
        now.into_iter().for_each(|change| self.names.apply(change, number));
    }

    /// What the oldest entry would have made of names, but for its first statements, it has not.
    pub fn unnamed(&mut self, naming: Option<Box<Naming>>, completed: usize) {
        let Some(naming) = naming else { return };
        let number = self.front().map_or(0, |owed| owed.number);
        for (place, change) in &naming.changes {
            self.names.settle(change);
            if *place >= completed {
                self.names.fail(change, number);
            }
        }
    }

    /// What a statement's name means for a request that uses it now.
    pub fn statement(&self, name: &[u8]) -> Meaning {
        self.names.statement(name, self.last_boundary)
    }

    pub fn portal(&self, name: &[u8]) -> Meaning {
        match self.names.portal(name, self.last_boundary) {
            Meaning::Plain if self.may_be_told(name).is_some() => Meaning::Unsettled,
            meaning @ (Meaning::Plain | Meaning::Unsettled | Meaning::Judged(_)) => meaning,
        }
    }

    /// Is this a portal that is not known, while a cursor is opened whose name an answer will tell?
    fn may_be_told(&self, name: &[u8]) -> Option<u64> {
        let asked = self.names.untold.filter(|_| !name.is_empty())?;
        self.entries.front().is_some_and(|owed| owed.number <= asked).then_some(asked)
    }

    /// The same, where that answer may not come before the client has sent more.
    pub fn is_told_too_late(&self, name: &[u8]) -> bool {
        matches!(self.names.portal(name, self.last_boundary), Meaning::Plain)
            && self.may_be_told(name).is_some_and(|asked| asked > self.last_boundary)
    }

    /// The row of the oldest entry tells the name of a cursor that it has opened.
    pub fn tell_name(&mut self, change: Change) {
        let number = self.front().map_or(0, |owed| owed.number);
        self.names.apply(change, number);
    }

    /// As many requests are without an answer as may be.
    pub fn owes_most(&self) -> bool {
        self.entries.len() >= OWED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Rc<Prepared> {
        Rc::new(Prepared::new(None, 1, None))
    }

    fn naming(name: &[u8], prepared: Option<Rc<Prepared>>) -> Mark {
        Mark { change: Some(Change::Statement(name.into(), prepared)), ..Mark::default() }
    }

    #[test]
    fn a_name_is_certain_within_its_batch_and_open_across_a_sync() {
        let mut queue = Queue::default();
        queue.marked(Kind::Parse, naming(b"s", Some(prepared())));
        assert!(matches!(queue.statement(b"s"), Meaning::Judged(_)));
        assert!(matches!(queue.statement(b"t"), Meaning::Plain));
        queue.plain(Kind::Sync);
        assert!(matches!(queue.statement(b"s"), Meaning::Unsettled));
        let Some(Change::Statement(name, what)) = queue.pop().and_then(|owed| owed.mark?.change) else {
            panic!("parse")
        };
        queue.names.apply(Change::Statement(name, what), 1);
        queue.pop();
        assert!(matches!(queue.statement(b"s"), Meaning::Judged(_)));
    }

    #[test]
    fn a_failed_parse_leaves_the_old_meaning() {
        let mut queue = Queue::default();
        queue.names.apply(Change::Statement((*b"s").into(), Some(prepared())), 1);
        queue.marked(Kind::Parse, naming(b"s", None));
        queue.plain(Kind::Bind);
        queue.plain(Kind::Sync);
        while queue.skip().is_some() {}
        assert!(matches!(queue.front().map(|owed| owed.kind), Some(Kind::Sync)));
        queue.pop();
        assert!(matches!(queue.statement(b"s"), Meaning::Judged(_)));
    }

    #[test]
    fn what_failed_outlives_an_earlier_close_and_ends_with_a_later_one() {
        let mut queue = Queue::default();
        queue.marked(Kind::Close, naming(b"s", None));
        queue.plain(Kind::Sync);
        let last = queue.last_number();
        queue.names.fail(&Change::Statement((*b"s").into(), Some(Rc::new(Prepared::failed()))), last);
        let change = queue.pop().and_then(|owed| owed.mark?.change);
        queue.names.apply(change.unwrap_or(Change::Portal(Box::default(), None)), 1);
        assert!(matches!(queue.statement(b"s"), Meaning::Judged(prepared) if prepared.failed));
        queue.marked(Kind::Close, naming(b"s", None));
        assert!(matches!(queue.statement(b"s"), Meaning::Plain));
    }

    #[test]
    fn skips_to_a_sync_that_is_yet_to_come() {
        let mut queue = Queue::default();
        for kind in [Kind::Bind, Kind::Query] {
            queue.plain(kind);
        }
        while queue.skip().is_some() {}
        assert_eq!(queue.discards(), Discard::ToSync);
        queue.plain(Kind::Sync);
        assert_eq!(queue.discards(), Discard::Nothing);
        queue.plain(Kind::Parse);
        while queue.skip().is_some() {}
        assert_eq!((queue.discards(), queue.boundaries()), (Discard::Nothing, 1));
    }

    #[test]
    fn discards_behind_a_refusal_before_the_server_has_answered() {
        let mut queue = Queue::default();
        for (kind, discard) in [(Kind::Query, Discard::CopyData), (Kind::Parse, Discard::ToSync)] {
            queue.plain(kind);
            queue.refused();
            assert_eq!(queue.discards(), discard);
            queue.plain(Kind::Sync);
            assert_eq!(queue.discards(), Discard::Nothing);
        }
    }

    #[test]
    fn an_error_of_an_earlier_batch_does_not_end_the_discarding_of_a_later_one() {
        let mut queue = Queue::default();
        for kind in [Kind::Bind, Kind::Sync, Kind::Parse] {
            queue.plain(kind);
        }
        queue.refused();
        while queue.skip().is_some() {}
        assert_eq!(queue.discards(), Discard::ToSync);
    }

    #[test]
    fn names_that_the_server_cuts_alike_are_one() {
        let mut queue = Queue::default();
        let (whole, longer) = ([b'n'; 63], [b'n'; 64]);
        queue.marked(Kind::Parse, naming(&longer, Some(prepared())));
        assert!(matches!(queue.statement(&whole), Meaning::Judged(_)));
        let change = queue.pop().and_then(|owed| owed.mark?.change);
        queue.names.apply(change.unwrap_or(Change::Statement(Box::default(), None)), 1);
        for name in [&whole[..], &longer, &[b'n'; 200]] {
            assert!(matches!(queue.statement(name), Meaning::Judged(_)));
        }
        assert!(matches!(queue.statement(&[b'n'; 62]), Meaning::Plain));
    }

    #[test]
    fn ends_of_no_copy_do_not_add_up() {
        let mut queue = Queue::default();
        for _ in 0..1_000 {
            queue.plain(Kind::CopyEnd);
        }
        assert!(queue.is_empty(), "nothing is under way");
        queue.plain(Kind::Query);
        for _ in 0..1_000 {
            queue.plain(Kind::CopyEnd);
        }
        assert_eq!(queue.entries.len(), 2);
        assert_eq!(queue.pop().map(|owed| owed.kind), Some(Kind::Query));
        assert!(queue.is_empty(), "nor is it once a COPY has ended");
    }

    #[test]
    fn syncs_within_copy_data_are_not_owed() {
        let mut queue = Queue::default();
        queue.plain(Kind::Execute);
        queue.plain(Kind::Sync);
        queue.copy_in();
        queue.plain(Kind::Sync);
        assert_eq!(queue.boundaries(), 0);
        queue.plain(Kind::CopyEnd);
        queue.plain(Kind::Sync);
        assert_eq!(queue.boundaries(), 1);
        assert_eq!(queue.pop().map(|owed| owed.kind), Some(Kind::Execute));
        assert_eq!(queue.pop().map(|owed| owed.kind), Some(Kind::Sync));
        assert!(queue.is_empty());
    }

    #[test]
    fn copy_data_that_was_sent_early_reaches_to_its_own_end() {
        let mut queue = Queue::default();
        for kind in [Kind::Execute, Kind::Sync, Kind::CopyEnd, Kind::Sync] {
            queue.plain(kind);
        }
        queue.copy_in();
        assert_eq!(queue.boundaries(), 1);
        queue.plain(Kind::Sync);
        assert_eq!(queue.boundaries(), 2);
    }
}
