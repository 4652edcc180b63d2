//! Whose data an execution meets: by the column of each row that says so, or by the values of the text and
//! of Bind that name it. What neither tells counts as unknown, row by row.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::letters::{in_utf8, is_text};
use super::names::Prepared;
use super::owed::Running;
use super::plan::Workshop;
use super::release::Look;
use super::shape::Column;
use super::values::is_styled;
use super::view::View;
use crate::audit::Subjects;
use crate::catalog::{Kind, Logical};
use crate::policy::Refusal;
use crate::seal::SubjectId;
use crate::statement::{StatementFacts, SubjectUse, SubjectValue, literal_value};
use crate::types::{Format, Purpose, Style, canonical};
use crate::wire::backend::DataRow;
use crate::wire::charset::Charset;
use crate::wire::copy::{self, Broken, Layout, Value};
use crate::wire::frontend::Bind;
use crate::wire::{Frame, Malformed};

/// Whom the values of a statement name, of one of its `subjects`. None: they name nobody.
pub type Named = Option<Rc<[SubjectId]>>;

/// The value is none that can be read.
const UNREADABLE: &str = "unreadable";
/// Code that nobody can follow may have met anybody.
const OPAQUE: &str = "opaque";
/// Neither the text nor the data tells.
const NOT_SHOWN: &str = "not-shown";
/// There is no keyring to make names with.
const NO_KEYRING: &str = "no-keyring";

/// What stands in the data of a COPY from the client.
#[derive(Clone, Copy)]
pub enum Fed<'v> {
    Null,
    /// The server puts its default there.
    Default,
    Value(&'v [u8]),
}

/// What a row tells of one of the `subjects` of its statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The column is none of the result.
    Nothing,
    Null,
    Whom(SubjectId),
    Unreadable(&'static str),
}

/// See the module's text. Of one execution.
#[derive(Default)]
pub struct Whose {
    met: Subjects,
    /// Those in the data of a COPY from the client: they count where it has come to hold rows.
    fed: Option<Box<Subjects>>,
    named: Option<Rc<[Named]>>,
    /// By each of the statement's `subjects`: the row that is being shown, and whether any row has told.
    row: Vec<Told>,
    by_row: Vec<bool>,
    /// Of that row, as it will count once it is released.
    ids: Vec<SubjectId>,
    /// Those of them of whom it shows a value.
    shown: Vec<u64>,
    unknown: u64,
    why: Option<&'static str>,
    /// A row was released.
    began: bool,
    /// Nobody knows what it meets.
    possibly: bool,
}

impl Whose {
    /// Of a statement of these facts, whose text names these. `possibly`: it may meet what has a subject
    /// without naming it. None: nothing says whose data it is.
    pub fn of(facts: &StatementFacts, named: Option<&Rc<[Named]>>, possibly: bool) -> Option<Box<Whose>> {
        (possibly || !facts.subjects.is_empty()).then(|| {
            let count = facts.subjects.len();
            Box::new(Whose {
                named: named.cloned(),
                possibly: possibly && facts.subjects.is_empty(),
                row: vec![Told::Nothing; count],
                by_row: vec![false; count],
                ..Whose::default()
            })
        })
    }

    /// Its values name these.
    pub fn name(&mut self, named: Rc<[Named]>) {
        self.named = Some(named);
    }

    fn named(&self, at: usize) -> Option<&Rc<[SubjectId]>> {
        self.named.as_ref()?.get(at)?.as_ref()
    }

    /// Whose data the row is of which this was read. `cells`: of how many values of each field that it
    /// shows, aligned with `reads` of the facts.
    pub fn weigh(&mut self, facts: &StatementFacts, cells: &[u64]) {
        self.ids.clear();
        self.shown.clear();
        (self.unknown, self.why) = (0, None);
        for (at, one) in facts.subjects.iter().enumerate() {
            let told = self.row.get(at).copied().unwrap_or(Told::Nothing);
            // One value may be gathered from many rows: of each of its words it is not known whose it is.
            let shown = facts.reads.iter().zip(cells).filter(|(field, _)| one.fields.contains(field));
            let most = shown.map(|(_, count)| *count).max().unwrap_or(0);
            let shows = most > 0;
            if let Some(by_row) = self.by_row.get_mut(at) {
                *by_row |= told != Told::Nothing;
            }
            match (told, shows) {
                (Told::Whom(id), _) => {
                    self.ids.push(id);
                    if shows {
                        self.shown.push(id.bits());
                    }
                }
                (Told::Nothing | Told::Null, false) => {}
                (Told::Nothing, true) => match self.named(at).cloned() {
                    // All of them were met with the first row.
                    Some(named) if named.len() > 1 && self.began => {}
                    Some(named) => {
                        self.ids.extend(named.iter().copied());
                        self.shown.extend(named.iter().map(SubjectId::bits));
                    }
                    None => self.note_unknown(one.why, most),
                },
                (Told::Null, true) => self.note_unknown("null", 1),
                (Told::Unreadable(why), _) => self.note_unknown(why, 1),
            }
        }
    }

    fn note_unknown(&mut self, why: &'static str, count: u64) {
        self.unknown += count;
        self.why = Some(why);
    }

    /// A row of a COPY from the client was read.
    pub fn fed(&mut self) {
        for (told, by_row) in self.row.iter_mut().zip(&mut self.by_row) {
            let fed = self.fed.get_or_insert_default();
            match std::mem::replace(told, Told::Nothing) {
                Told::Nothing => continue,
                // It is nobody's.
                Told::Null => {}
                Told::Whom(id) => fed.known.insert(id),
                Told::Unreadable(why) => {
                    fed.unknown += 1;
                    fed.why.insert(why);
                }
            }
            *by_row = true;
        }
    }

    /// Those of whom the row that was weighed shows a value, and how many are not known.
    pub fn shown(&self) -> (&[u64], u64) {
        (&self.shown, self.unknown)
    }

    /// It was released.
    pub fn commit(&mut self) {
        self.ids.drain(..).for_each(|id| self.met.known.insert(id));
        self.met.unknown += std::mem::take(&mut self.unknown);
        self.met.why.extend(self.why.take());
        self.began = true;
    }

    /// All in all. What no row tells is what the values name.
    fn all(&self, facts: &StatementFacts, rows: u64) -> Subjects {
        let fed = self.fed.as_deref().filter(|_| rows > 0);
        let mut all = fed.unwrap_or(&self.met).clone();
        // The rows are those of a plan.
        if facts.explained {
            return all;
        }
        if self.possibly && rows > 0 {
            all.unknown += rows;
            all.why.insert(OPAQUE);
        }
        for (at, one) in facts.subjects.iter().enumerate() {
            if self.by_row.get(at).copied().unwrap_or(false) {
                continue;
            }
            let writes = one.fields.iter().any(|field| facts.writes.contains(field));
            match self.named(at) {
                Some(named) if rows > 0 || !writes => {
                    named.iter().for_each(|id| all.known.insert(*id));
                }
                Some(_) => {}
                None if one.fields.iter().any(|field| facts.reads.contains(field)) => {}
                None if rows > 0 => {
                    all.unknown += rows;
                    all.why.insert(one.why);
                }
                None => {}
            }
        }
        all
    }
}

impl Running {
    /// Whose data it has met so far.
    pub fn subjects(&self, facts: &StatementFacts) -> Option<Arc<Subjects>> {
        self.whose.as_ref().map(|whose| Arc::new(whose.all(facts, self.rows)))
    }
}

/// The format of a value, and in which encoding its text is, where that is not UTF-8.
pub(super) type Form = (Format, Option<&'static Charset>);

impl Workshop {
    /// Whom the literals of a text name, of each of a statement's `subjects`.
    pub(super) fn named_in_text(&self, view: &View, facts: &StatementFacts, text: &[u8]) -> Rc<[Named]> {
        let value = |one: &SubjectUse, value: &SubjectValue| match value {
            SubjectValue::Literal { span, form, given } => {
                let plain = literal_value(text.get(span.clone())?, *form)?;
                self.name_of(view, one, given.as_ref(), (Format::Text, None), &plain)
            }
            SubjectValue::Parameter { .. } => None,
        };
        facts.subjects.iter().map(|one| self.named_by(one, |given| value(one, given))).collect()
    }

    /// Whom the values of a Bind name. None: no parameter names anybody.
    fn named_in_bind(
        &self,
        view: &View,
        prepared: &Prepared,
        bind: &Bind<'_>,
        charset: Option<&'static Charset>,
    ) -> Option<Rc<[Named]>> {
        let facts = prepared.plan.as_ref()?.facts.statements.first()?;
        let of_bind = |value: &SubjectValue| matches!(value, SubjectValue::Parameter { .. });
        if !facts.subjects.iter().any(|one| one.named.iter().any(of_bind)) {
            return None;
        }
        let value = |one: &SubjectUse, value: &SubjectValue| match value {
            // Its text may be another one.
            SubjectValue::Literal { .. } => None,
            SubjectValue::Parameter { number, given } => {
                let at = usize::from(*number).saturating_sub(1);
                let plain = bind.values.get(at).copied().flatten()?;
                let declared = prepared.types.get(at).copied().unwrap_or(0);
                let of = match declared {
                    0 | 705 => *given,
                    oid => Some(Logical::by_oid(oid)?),
                };
                let format = match bind.format(at) {
                    0 => Format::Text,
                    1 => Format::Binary,
                    _ => return None,
                };
                self.name_of(view, one, of.as_ref(), (format, charset), plain)
            }
        };
        Some(facts.subjects.iter().map(|one| self.named_by(one, |given| value(one, given))).collect())
    }

    fn named_by(&self, one: &SubjectUse, value: impl Fn(&SubjectValue) -> Option<SubjectId>) -> Named {
        if one.named.is_empty() {
            return None;
        }
        let all: Option<BTreeSet<SubjectId>> = one.named.iter().map(value).collect();
        all.map(|all| all.into_iter().collect())
    }

    /// A statement as the portal that a Bind makes of it.
    pub(super) fn portal_of(
        &self,
        view: &View,
        statement: Rc<Prepared>,
        bind: &Bind<'_>,
        charset: Option<&'static Charset>,
    ) -> Rc<Prepared> {
        let formats = bind.result_formats;
        let binary = formats.as_chunks::<2>().0.iter().skip(1).any(|code| *code != [0, 0]);
        let named = self.named_in_bind(view, &statement, bind, charset);
        if binary || named.is_some() { Rc::new(statement.bound_as(formats, named)) } else { statement }
    }

    /// The name of whom a value stands for. None: nobody can say.
    fn name_of(
        &self,
        view: &View,
        one: &SubjectUse,
        given: Option<&Logical>,
        (format, charset): Form,
        plain: &[u8],
    ) -> Option<SubjectId> {
        let key = self.subjects.as_ref()?;
        let field = one.field.and_then(|id| view.snapshot().field(id));
        let sealed = field.and_then(|field| Some((field, field.domain.as_ref()?)));
        let (wanted, kind) = match sealed {
            Some((field, domain)) if !is_styled(field, given) => (field.logical, domain.kind),
            Some(_) => return None,
            None => (one.logical?, Kind::of(&one.logical?)),
        };
        let charset = charset.filter(|_| !plain.is_ascii());
        let is_text = charset.map_or(Some(false), |_| is_text(format, given.unwrap_or(&wanted)))?;
        let plain = in_utf8(charset.filter(|_| is_text), plain)?;
        let mut out = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
        canonical(given, format, &plain, &wanted, &kind, Purpose::Compare, &Style::default(), &mut out)
            .ok()?;
        Some(key.name(&one.column, &out))
    }

    /// Reads from a row whose data it is.
    pub(super) fn read_subjects(
        &mut self,
        view: &View,
        facts: &StatementFacts,
        look: &Look<'_>,
        frame: Frame<'_>,
        whose: Option<&mut Whose>,
    ) -> Result<(), Refusal> {
        let Some(whose) = whose else { return Ok(()) };
        whose.row.fill(Told::Nothing);
        let wanted = &look.shape.subjects;
        let Some(last) = wanted.iter().map(|(index, _)| *index).max() else { return Ok(()) };
        let malformed = |_: Malformed| Refusal::protocol("invalid DataRow message");
        let mut source = DataRow::read(frame.body()).map_err(malformed)?;
        for index in 0..=last {
            let value = source.next().map_err(malformed)?;
            for (_, at) in wanted.iter().filter(|(of, _)| *of == index) {
                let Some(one) = facts.subjects.get(*at) else { continue };
                let column = look.shape.columns.get(index);
                let told = match value {
                    None => Told::Null,
                    Some(stored) => {
                        let format = look.shape.format(index, look.formats);
                        self.whom(view, one, column, (format, look.charset), stored)?
                    }
                };
                if let Some(place) = whose.row.get_mut(*at) {
                    *place = told;
                }
            }
        }
        Ok(())
    }

    /// The same from a row of COPY.
    pub(super) fn read_subjects_of_line(
        &mut self,
        view: &View,
        facts: &StatementFacts,
        look: &Look<'_>,
        format: &copy::Format,
        line: &[u8],
        whose: Option<&mut Whose>,
    ) -> Result<(), Refusal> {
        let Some(whose) = whose else { return Ok(()) };
        whose.row.fill(Told::Nothing);
        let wanted = &look.shape.subjects;
        if wanted.is_empty() {
            return Ok(());
        }
        let form = if format.layout == Layout::Binary { Format::Binary } else { Format::Text };
        let visited = format.visit::<Unread>(
            line,
            |index, _, value| {
                for (_, at) in wanted.iter().filter(|(of, _)| *of == index) {
                    let Some(one) = facts.subjects.get(*at) else { continue };
                    let told = match &value {
                        Some(Value::Given(stored)) => {
                            let column = look.shape.columns.get(index);
                            self.whom(view, one, column, (form, look.charset), stored)?
                        }
                        Some(_) | None => Told::Null,
                    };
                    if let Some(place) = whose.row.get_mut(*at) {
                        *place = told;
                    }
                }
                Ok(())
            },
            |index| wanted.iter().any(|(of, _)| *of == index),
        );
        match visited {
            Ok(_) => Ok(()),
            Err(Unread::Refused(refusal)) => Err(*refusal),
            // Whoever opens the row says so.
            Err(Unread::Broken) => Ok(()),
        }
    }

    /// Reads from a value of a COPY from the client whose data its row is.
    pub(super) fn feed_subject(
        &self,
        view: &View,
        facts: &StatementFacts,
        column: usize,
        format: Form,
        fed: Fed<'_>,
        whose: &mut Whose,
    ) {
        let places = facts.subjects.iter().zip(&mut whose.row);
        for (one, told) in places.filter(|(one, _)| one.place == Some(column)) {
            let plain = match fed {
                Fed::Null => {
                    *told = Told::Null;
                    continue;
                }
                Fed::Default => {
                    *told = Told::Unreadable(NOT_SHOWN);
                    continue;
                }
                Fed::Value(plain) => plain,
            };
            if self.subjects.is_none() {
                *told = Told::Unreadable(NO_KEYRING);
                continue;
            }
            // In binary form a value is of the column's own type.
            let field = one.field.and_then(|id| view.snapshot().field(id)).map(|field| field.logical);
            let given = field.or(one.logical).filter(|_| format.0 == Format::Binary);
            let name = self.name_of(view, one, given.as_ref(), format, plain);
            *told = name.map_or(Told::Unreadable(UNREADABLE), Told::Whom);
        }
    }

    /// Whom a value of a result stands for. One that is sealed itself is opened first.
    fn whom(
        &mut self,
        view: &View,
        one: &SubjectUse,
        column: Option<&Column>,
        format: Form,
        stored: &[u8],
    ) -> Result<Told, Refusal> {
        if self.subjects.is_none() {
            return Ok(Told::Unreadable(NO_KEYRING));
        }
        let sealed = one.field.filter(|id| {
            let is_sealed = view.snapshot().field(*id).is_some_and(|field| field.domain.is_some());
            is_sealed && column.is_some_and(|column| column.fields() == [*id])
        });
        let name = match sealed {
            Some(id) => {
                let key = self.subjects.clone();
                let plain = self.open_value(view, id, stored)?;
                let name = key.map(|key| key.name(&one.column, plain));
                self.opened.clear();
                name
            }
            None => self.name_of(view, one, None, format, stored),
        };
        Ok(name.map_or(Told::Unreadable(UNREADABLE), Told::Whom))
    }
}

/// A row of COPY of which nobody can say whose it is.
enum Unread {
    Refused(Box<Refusal>),
    Broken,
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Unread {
        Unread::Refused(Box::new(refusal))
    }
}

impl From<Broken> for Unread {
    fn from(_: Broken) -> Unread {
        Unread::Broken
    }
}
