//! One segment by itself: its lines in their order, each with the link that it shows.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::segments::{self, Line, Lines, Segment};
use super::{Bad, name_of};
use crate::audit::{LIST, Link, Linked, PLAN, Told, WHO, seq_of};

/// Executions that one segment leaves open, or closes of an earlier one. More are not followed.
const EXECUTIONS_MAX: usize = 1 << 20;

/// What a segment says of itself.
#[derive(Default)]
pub(super) struct Report {
    pub(super) first: Option<u64>,
    /// Behind which record its first line says that it stands.
    pub(super) prev: Option<Link>,
    pub(super) last: Option<u64>,
    pub(super) link: Link,
    pub(super) is_chained: bool,
    /// Something stands at its end that no line end closes.
    pub(super) is_torn: bool,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// The first line that is wrong. What is behind it cannot be told.
    pub(super) bad: Option<Bad>,
    /// Links of the records that were asked for, as far as they hold.
    pub(super) marks: Vec<(u64, Link)>,
    /// Number and line of what was begun and not ended.
    pub(super) open: FxHashMap<Key, (u64, u64)>,
    /// What was ended and not begun here.
    pub(super) closed: FxHashSet<Key>,
}

#[derive(Deserialize)]
struct Record<'l> {
    seq: u64,
    #[serde(borrow)]
    kind: Cow<'l, str>,
    #[serde(default, deserialize_with = "given")]
    who: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    plan: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    list: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    session: Option<u64>,
    /// Is it there? So the plan is told here.
    #[serde(default, deserialize_with = "given")]
    action: Option<Said>,
    /// The same of the list.
    #[serde(default, deserialize_with = "given")]
    fields: Option<Said>,
    /// What a number stands for stands where it is told, and nowhere else.
    #[serde(default, deserialize_with = "given")]
    node: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    user: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    application: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    client: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    region: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    auth: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    certificate: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    database: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    end_user: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    end_user_auth: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    purpose: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    attribution: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    fingerprint: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    statement: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    verdict: Option<Said>,
    #[serde(default, deserialize_with = "given")]
    rule: Option<Said>,
    statement_id: Option<u64>,
    lease: Option<Lease>,
    executions: Option<u64>,
    #[serde(default)]
    partial: bool,
}

impl Record<'_> {
    /// What it says of who acts, beside the session.
    fn says_who(&self) -> bool {
        let all = [
            self.node,
            self.user,
            self.application,
            self.client,
            self.region,
            self.auth,
            self.certificate,
            self.database,
            self.end_user,
            self.end_user_auth,
            self.purpose,
        ];
        all.iter().any(Option::is_some)
    }

    /// What it says of the plan, beside the action. `fields` are the list's where it has one.
    fn says_what(&self) -> bool {
        let fields = self.fields.filter(|_| self.list.is_none());
        let all = [fields, self.attribution, self.fingerprint, self.statement, self.verdict, self.rule];
        all.iter().any(Option::is_some)
    }
}

/// Whatever it is, but `null`: a member that is there says something.
#[derive(Clone, Copy)]
struct Said;

impl<'l> Deserialize<'l> for Said {
    fn deserialize<D: Deserializer<'l>>(from: D) -> Result<Said, D::Error> {
        let said = Option::<IgnoredAny>::deserialize(from)?;
        said.map(|_| Said).ok_or_else(|| serde::de::Error::custom("null"))
    }
}

/// A member that is there has a value.
fn given<'l, T: Deserialize<'l>, D: Deserializer<'l>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Of an intent, that it covers more than its own execution; of an outcome, under whose intent it was.
#[derive(Clone, Copy)]
enum Lease {
    Terms,
    Of(u64),
}

impl<'l> Deserialize<'l> for Lease {
    fn deserialize<D: Deserializer<'l>>(from: D) -> Result<Lease, D::Error> {
        struct Either;
        impl<'l> Visitor<'l> for Either {
            type Value = Lease;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the terms of a lease, or the number of an execution")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Lease, E> {
                Ok(Lease::Of(number))
            }

            fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Lease, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Lease::Terms)
            }
        }
        from.deserialize_any(Either)
    }
}

/// What stays open until an outcome says that it is over: an execution, or the lease that its intent is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    pub(super) session: u64,
    pub(super) statement: u64,
    pub(super) is_lease: bool,
}

/// What the numbers stand for that the lines of a segment name: of who acts, the session.
struct Numbers {
    who: Told<u64>,
    plan: Told<()>,
    list: Told<()>,
}

impl Numbers {
    fn new() -> Numbers {
        Numbers { who: Told::new(WHO), plan: Told::new(PLAN), list: Told::new(LIST) }
    }

    /// The session of a record, as it says itself or as its number does.
    ///
    /// # Errors
    /// It names what was not told before it, or tells a number out of turn.
    fn session(&mut self, record: &Record<'_>) -> Result<Option<u64>, String> {
        if record.who.is_some() && record.session.is_none() && record.says_who() {
            return Err("it names a number of who acts, and says something else beside it".to_owned());
        }
        if record.plan.is_some() && record.action.is_none() && record.says_what() {
            return Err("it names a number of a plan, and says something else beside it".to_owned());
        }
        let who = take(&mut self.who, "who", record.who, record.session)?;
        take(&mut self.plan, "plan", record.plan, record.action.map(|_| ()))?;
        take(&mut self.list, "list", record.list, record.fields.map(|_| ()))?;
        Ok(record.session.or(who))
    }
}

fn take<T: Copy>(
    told: &mut Told<T>,
    name: &str,
    number: Option<u64>,
    tells: Option<T>,
) -> Result<Option<T>, String> {
    let Some(number) = number else { return Ok(None) };
    match tells {
        Some(what) if told.tell(number, what) => Ok(Some(what)),
        Some(_) => Err(format!("it tells {name} {number} out of turn")),
        None => match told.named(number) {
            Some(what) => Ok(Some(*what)),
            None => Err(format!("it names {name} {number}, which no line before it tells")),
        },
    }
}

/// Follows its lines.
pub(super) fn follow(segment: &Segment, marks: &[u64]) -> Report {
    let mut report = Report::default();
    if let Err(error) = lines(segment, marks, &mut report) {
        // Packed by ourselves since it was listed.
        let packed = Path::new(&format!("{}{}", segment.path.display(), segments::PACKED)).to_owned();
        if error.kind() == io::ErrorKind::NotFound && !segment.is_packed && packed.exists() {
            return follow(&Segment { path: packed, is_packed: true, ..segment.clone() }, marks);
        }
        let seq = Some(report.last.map_or(segment.first, |last| last.saturating_add(1)));
        let what = format!("it cannot be read: {error}");
        report.bad.get_or_insert(Bad { file: name_of(&segment.path), line: None, seq, what });
    }
    report
}

fn lines(segment: &Segment, marks: &[u64], report: &mut Report) -> io::Result<()> {
    let mut lines = Lines::new(segments::read(&segment.path)?);
    let mut number = 0;
    let mut numbers = Numbers::new();
    let mut marks = marks.iter().copied().skip_while(|mark| *mark < segment.first).peekable();
    loop {
        let line = match lines.next()? {
            None => break,
            Some(Line::Whole(line)) => line,
            Some(Line::Torn(line)) => {
                report.is_torn = line.iter().any(|byte| *byte != 0);
                break;
            }
            Some(Line::Endless) => {
                let seq = report.last.map_or(segment.first, |last| last.saturating_add(1));
                report.is_bad(segment, number + 1, Some(seq), "it is longer than any record");
                break;
            }
        };
        number += 1;
        let is_first = number == 1;
        let linked = Linked::of(line);
        if is_first {
            report.is_chained = linked.is_some();
            report.prev = linked.and_then(Linked::prev);
            report.link = report.prev.unwrap_or_default();
        }
        let link = linked.map(|linked| linked.link(report.link));
        let expected = report.last.map(|last| last.saturating_add(1));
        let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else {
            report.is_bad(segment, number, expected.or(Some(segment.first)), "it is no record");
            break;
        };
        let Record { seq, ref kind, statement_id, lease, executions, partial, .. } = record;
        let session = numbers.session(&record);
        let expected = expected.unwrap_or(segment.first);
        let what = if is_first && seq != expected {
            Some(format!("the segment's name says that it begins with record {expected}"))
        } else if seq > expected {
            Some(format!("records {expected} to {} are missing before it", seq - 1))
        } else if seq < expected {
            Some(format!(
                "record {} stands before it: its number is used again, or it is not in its place",
                expected - 1
            ))
        } else if report.is_chained != linked.is_some() {
            Some("it is not chained as the line before it is".to_owned())
        } else if is_first && report.is_chained && report.prev.is_none() {
            Some("it does not say behind which record it stands".to_owned())
        } else if link.is_some_and(|(_, shown)| !shown) {
            Some("it is not what was written: its hash is another".to_owned())
        } else {
            session.as_ref().err().cloned()
        };
        if let Some(what) = what {
            report.is_bad(segment, number, Some(seq.min(expected)), &what);
            break;
        }
        report.first.get_or_insert(seq);
        report.last = Some(seq);
        report.records += 1;
        if let Some((link, _)) = link {
            report.link = link;
            while marks.next_if(|mark| *mark < seq).is_some() {}
            if marks.next_if_eq(&seq).is_some() {
                report.marks.push((seq, link));
            }
        }
        if let (Ok(Some(session)), Some(statement)) = (session, statement_id) {
            let own = Key { session, statement, is_lease: false };
            match (&**kind, lease) {
                ("intent", None | Some(Lease::Of(_))) => report.begun(own, (seq, number)),
                ("intent", Some(Lease::Terms)) => {
                    report.begun(own, (seq, number));
                    report.begun(Key { is_lease: true, ..own }, (seq, number));
                }
                ("outcome", lease) if !partial => {
                    report.ended(own);
                    // Only its end says how many have used it.
                    if let (Some(Lease::Of(statement)), Some(_)) = (lease, executions) {
                        report.ended(Key { session, statement, is_lease: true });
                    }
                }
                (_, _) => {}
            }
        }
    }
    if report.bad.is_some() {
        // What stands behind it is there, whatever it is worth: it is not told of as missing too.
        let until = lines.offset.saturating_add(segments::BEHIND_BYTES_MAX);
        while let Some(Line::Whole(line)) = lines.next()? {
            report.last = report.last.max(seq_of(line));
            if lines.offset > until {
                break;
            }
        }
    }
    report.bytes = lines.offset;
    Ok(())
}

impl Report {
    fn is_bad(&mut self, segment: &Segment, line: u64, seq: Option<u64>, what: &str) {
        self.bad = Some(Bad { file: name_of(&segment.path), line: Some(line), seq, what: what.to_owned() });
        self.first = self.first.or(seq);
        self.last = self.last.or(seq);
    }

    fn begun(&mut self, key: Key, at: (u64, u64)) {
        if self.open.len() < EXECUTIONS_MAX {
            self.open.insert(key, at);
        }
    }

    fn ended(&mut self, key: Key) {
        if self.open.remove(&key).is_none() && self.closed.len() < EXECUTIONS_MAX {
            self.closed.insert(key);
        }
    }
}
