//! What a name can mean at a place of a statement: levels of sources, inner to outer.
//!
//! Columns of unclassified relations are not known, so a source may be *open*: it may have
//! any column. An unqualified name that an open inner source could catch is never taken
//! for a classified column of an outer one: it is refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pg_query::protobuf;

use crate::catalog::{Column, Relation};

use super::super::facts::{Fold, Remedy, ResultColumn, Told, Unproven};
use super::super::refusal::{Proven, refuse, unless};
use super::classes::{Class, Fields, Flow};

/// How sure is the place of an output among the columns of the result?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::statement) enum Place {
    /// It is one column, which comes behind those before it.
    Sure,
    /// One of the columns of a table, by `*`: there may be more of them than the catalog knew.
    Star,
    /// Any number of columns of an unclassified relation, all of them plain.
    Open,
}

impl Place {
    /// The same where not every column beside it is known.
    pub(in crate::statement) fn unsure(self) -> Place {
        match self {
            Place::Sure | Place::Star => Place::Star,
            Place::Open => Place::Open,
        }
    }
}

/// One column of a query's result. The name is None where the server makes one up.
#[derive(Clone)]
pub(in crate::statement) struct Output {
    pub(in crate::statement) name: Option<String>,
    pub(in crate::statement) flow: Flow,
    pub(in crate::statement) place: Place,
    pub(in crate::statement) told: Told,
}

/// The result of a query, in the order of its columns.
#[derive(Clone, Default)]
pub(in crate::statement) struct Outputs {
    pub(in crate::statement) columns: Vec<Output>,
}

impl Outputs {
    /// Is any column classified? One that is undecided is not.
    pub(in crate::statement) fn carries(&self) -> bool {
        self.columns.iter().any(|column| column.flow.carries())
    }

    /// May there be columns that nobody knows here?
    pub(in crate::statement) fn is_open(&self) -> bool {
        self.columns.iter().any(|column| column.place == Place::Open)
    }

    /// The columns as those who match them with the server's need them: whatever carries is
    /// told.
    pub(in crate::statement) fn told(&self) -> Vec<ResultColumn> {
        let mut told = Vec::with_capacity(self.columns.len());
        for output in &self.columns {
            let list = |fields: &Fields| fields.iter().copied().collect();
            let column = match &output.flow {
                Flow::Field(id) => ResultColumn::Field(*id),
                Flow::Derived(fields) => ResultColumn::Derived(list(fields)),
                Flow::Sealed(fields) => ResultColumn::Sealed(list(fields), output.told),
                Flow::Folded(Fold::Text, inner) => {
                    if let Flow::Sealed(fields) = &**inner {
                        ResultColumn::Text(list(fields))
                    } else {
                        ResultColumn::Plain
                    }
                }
                // Undecided to the end, or refused where it ended.
                Flow::Plain | Flow::Open(_) | Flow::Array(_) | Flow::Folded(..) | Flow::Default => {
                    ResultColumn::Plain
                }
            };
            match (output.place, column) {
                (Place::Sure, column) => told.push(column),
                // Between columns of which nobody knows how many there are.
                (
                    Place::Star | Place::Open,
                    column @ (ResultColumn::Derived(_) | ResultColumn::Sealed(..) | ResultColumn::Text(_)),
                ) => told.extend([ResultColumn::Run(Vec::new()), column, ResultColumn::Run(Vec::new())]),
                (Place::Star | Place::Open, column) => {
                    let fields = match &column {
                        ResultColumn::Field(id) => vec![*id],
                        ResultColumn::Plain
                        | ResultColumn::Derived(_)
                        | ResultColumn::Sealed(..)
                        | ResultColumn::Text(_)
                        | ResultColumn::Run(_) => Vec::new(),
                    };
                    match told.last_mut() {
                        Some(ResultColumn::Run(run)) => run.extend(fields),
                        Some(_) | None => told.push(ResultColumn::Run(fields)),
                    }
                }
            }
        }
        told
    }
}

#[derive(Clone)]
pub(in crate::statement) enum Columns<'a> {
    /// An unclassified relation or function: any column, none of them classified.
    Unknown,
    Table(&'a Relation),
    Derived(Rc<Outputs>),
}

/// One entry of a FROM list.
#[derive(Clone)]
pub(in crate::statement) struct Source<'a> {
    pub(in crate::statement) alias: String,
    /// The schema by which `schema.table.column` may name it; None with an alias.
    pub(in crate::statement) schema: Option<String>,
    pub(in crate::statement) columns: Columns<'a>,
    /// Its columns are named by its alias alone (`old` and `new` of RETURNING).
    pub(in crate::statement) only_qualified: bool,
    /// Columns of which another source has the bare name: those of USING.
    pub(in crate::statement) hidden: Vec<String>,
    /// It is joined by USING, or naturally: which place its columns have in `*` is the server's to
    /// say.
    pub(in crate::statement) merged: bool,
    /// It is the columns of USING, as both sides have them in common.
    pub(in crate::statement) using: bool,
    /// The relation by the name of which it was found, as it stands there.
    pub(in crate::statement) range: Option<&'a protobuf::RangeVar>,
}

enum Found {
    None,
    One(Flow),
    Several,
}

const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

impl Source<'_> {
    /// Has it any classified column?
    pub(in crate::statement) fn carries(&self) -> bool {
        match &self.columns {
            Columns::Unknown => false,
            Columns::Table(relation) => relation.is_classified(),
            Columns::Derived(outputs) => outputs.carries(),
        }
    }

    /// What looking a name up in it costs.
    fn weight(&self) -> usize {
        1 + match &self.columns {
            Columns::Unknown => 0,
            Columns::Table(relation) => relation.columns.len(),
            Columns::Derived(outputs) => outputs.columns.len(),
        }
    }

    /// Refuses a column of it that does not fit.
    pub(in crate::statement) fn fits(&self, name: &str) -> Proven<()> {
        let Columns::Table(relation) = &self.columns else { return Ok(()) };
        relation.column(name).map_or(Ok(()), |column| fitting(relation, column))
    }

    /// The same of all that `*` shows.
    pub(in crate::statement) fn all_fit(&self) -> Proven<()> {
        let Columns::Table(relation) = &self.columns else { return Ok(()) };
        relation.columns.iter().try_for_each(|column| fitting(relation, column))
    }

    /// The same columns under another alias.
    pub(in crate::statement) fn under(&self, alias: &str, only_qualified: bool) -> Self {
        Source { alias: alias.to_owned(), schema: None, only_qualified, ..self.clone() }
    }

    /// May it have columns of which only the server knows the names?
    pub(in crate::statement) fn is_open(&self) -> bool {
        match &self.columns {
            Columns::Unknown => true,
            Columns::Table(_) => false,
            Columns::Derived(outputs) => outputs.columns.iter().any(|column| column.name.is_none()),
        }
    }

    /// What a name that is none of those known here may stand for: outputs that the server
    /// named itself and that carry something.
    fn unnamed(&self) -> impl Iterator<Item = &Flow> {
        let outputs = match &self.columns {
            Columns::Unknown | Columns::Table(_) => None,
            Columns::Derived(outputs) => Some(&outputs.columns),
        };
        let unnamed = |output: &&Output| output.name.is_none() && !output.flow.is_plain();
        outputs.into_iter().flatten().filter(unnamed).map(|output| &output.flow)
    }

    fn find(&self, name: &str) -> Found {
        match &self.columns {
            Columns::Unknown => Found::None,
            Columns::Table(relation) => match relation.column(name) {
                Some(column) => Found::One(column.field.map_or(Flow::Plain, Flow::Field)),
                None if SYSTEM_COLUMNS.contains(&name) => Found::One(Flow::Plain),
                None => Found::None,
            },
            Columns::Derived(outputs) => {
                let mut all = outputs.columns.iter().filter(|column| column.name.as_deref() == Some(name));
                match (all.next(), all.next()) {
                    (None, _) => Found::None,
                    (Some(only), None) => Found::One(only.flow.clone()),
                    (Some(_), Some(_)) => Found::Several,
                }
            }
        }
    }

    /// All of its columns, as `*` shows them.
    pub(in crate::statement) fn star(&self) -> Outputs {
        let mut outputs = self.columns_of_star();
        if self.merged {
            outputs.columns.iter_mut().for_each(|output| output.place = output.place.unsure());
        }
        outputs
    }

    fn columns_of_star(&self) -> Outputs {
        match &self.columns {
            Columns::Unknown => Outputs {
                columns: vec![Output {
                    name: None,
                    flow: Flow::Plain,
                    place: Place::Open,
                    told: Told::default(),
                }],
            },
            Columns::Table(relation) => Outputs {
                columns: relation
                    .columns
                    .iter()
                    .map(|column| Output {
                        name: Some(column.name.to_string()),
                        flow: column.field.map_or(Flow::Plain, Flow::Field),
                        place: Place::Star,
                        told: Told::default(),
                    })
                    .collect(),
            },
            Columns::Derived(outputs) => Outputs::clone(outputs),
        }
    }
}

/// The sources that are visible at a place, outermost level first.
#[derive(Default)]
pub(in crate::statement) struct Scope<'a> {
    levels: Vec<Vec<Source<'a>>>,
    /// What was spent so far on looking names up and on making sources visible.
    work: Cell<usize>,
    uncertain: RefCell<Vec<Class>>,
}

/// Most work on one statement: the sources that are looked into and copied, and their columns.
/// It is about a tenth of a second, which other sessions of the thread wait.
const WORK_MAX: usize = 5_000_000;

impl<'a> Scope<'a> {
    pub(in crate::statement) fn push(&mut self, sources: Vec<Source<'a>>) {
        self.levels.push(sources);
    }

    /// Counts work, so that no statement keeps a thread from the others.
    pub(in crate::statement) fn spend(&self, work: usize) -> Proven<()> {
        self.work.set(self.work.get().saturating_add(work));
        if self.work.get() <= WORK_MAX {
            return Ok(());
        }
        Err(refuse(
            "too-costly",
            "a statement has more tables and columns than can be judged in time",
            "Send it as several smaller statements.",
        ))
    }

    pub(in crate::statement) fn pop(&mut self) -> Vec<Source<'a>> {
        self.levels.pop().unwrap_or_default()
    }

    pub(in crate::statement) fn innermost(&self) -> &[Source<'a>] {
        self.levels.last().map_or(&[], Vec::as_slice)
    }

    /// A name of one part.
    pub(in crate::statement) fn unqualified(&self, name: &str) -> Proven<Flow> {
        let (mut may_be_caught, mut row) = (false, false);
        let mut unnamed = Vec::new();
        for level in self.levels.iter().rev() {
            let mut hits = Vec::new();
            let (mut open, mut whole) = (false, false);
            for source in level {
                self.spend(source.weight())?;
                source.fits(name)?;
                let hidden = source.only_qualified || source.hidden.iter().any(|hidden| hidden == name);
                let found = if hidden { Found::None } else { source.find(name) };
                match found {
                    Found::One(flow) => hits.push(flow),
                    Found::Several if source.carries() => return Err(ambiguous(name)),
                    Found::Several => {
                        self.doubt_all(source);
                        hits.push(Flow::Plain);
                    }
                    Found::None => {
                        whole |= source.alias == name && source.carries();
                        if source.alias == name {
                            row = true;
                            self.doubt_all(source);
                        }
                        open |= source.is_open() && !source.only_qualified;
                        unnamed.extend(source.unnamed().cloned());
                    }
                }
            }
            match hits.as_slice() {
                // A column of this name comes before the row of this name.
                [] if whole => return Err(whole_row(name)),
                [] => may_be_caught |= open,
                [only] if !only.carries() && !may_be_caught && unnamed.iter().all(|flow| !flow.carries()) => {
                    return Ok(only.clone());
                }
                [only] if only.carries() && !may_be_caught => return Ok(only.clone()),
                all if all.iter().all(|flow| !flow.carries()) => {
                    unnamed.extend(all.iter().cloned());
                    return self.either(name, &unnamed);
                }
                _ => return Err(ambiguous(name)),
            }
        }
        // Where no column has the name it is the row of a source that has nothing classified.
        if may_be_caught || row { self.either(name, &unnamed) } else { Err(unknown_column()) }
    }

    /// `alias.column`, and `schema.table.column`.
    pub(in crate::statement) fn qualified(
        &self,
        schema: Option<&str>,
        alias: &str,
        name: &str,
    ) -> Proven<Flow> {
        let source = self.source(schema, alias)?;
        self.spend(source.weight())?;
        source.fits(name)?;
        match source.find(name) {
            Found::One(flow) => Ok(flow),
            Found::None | Found::Several if !source.carries() => {
                self.doubt_all(source);
                Ok(Flow::Plain)
            }
            Found::Several => Err(ambiguous(name)),
            Found::None => {
                let unnamed: Vec<Flow> = source.unnamed().cloned().collect();
                // PostgreSQL would take it for a function of the whole row.
                if unnamed.is_empty() { Err(unknown_column()) } else { self.either(name, &unnamed) }
            }
        }
    }

    /// Plain, or any of these outputs whose names only the server knows: counts as all of them.
    fn either(&self, name: &str, unnamed: &[Flow]) -> Proven<Flow> {
        let mut fields = Fields::new();
        for flow in unnamed {
            match flow {
                Flow::Plain | Flow::Default => {}
                Flow::Field(_) | Flow::Sealed(_) => return Err(ambiguous(name)),
                Flow::Derived(ids) => fields.extend(ids.iter().copied()),
                Flow::Open(_) | Flow::Array(_) | Flow::Folded(..) if flow.carries() => {
                    return Err(ambiguous(name));
                }
                Flow::Open(_) | Flow::Array(_) | Flow::Folded(..) => self.doubt(flow),
            }
        }
        Ok(Flow::derived(fields))
    }

    /// It is uncertain whether a name means this: then it is nothing that could be sealed.
    fn doubt(&self, flow: &Flow) {
        match flow {
            Flow::Open(class) => self.uncertain.borrow_mut().push(*class),
            Flow::Array(inner) | Flow::Folded(_, inner) => self.doubt(inner),
            Flow::Plain | Flow::Derived(_) | Flow::Field(_) | Flow::Sealed(_) | Flow::Default => {}
        }
    }

    pub(in crate::statement) fn doubt_all(&self, source: &Source<'a>) {
        if let Columns::Derived(outputs) = &source.columns {
            outputs.columns.iter().for_each(|output| self.doubt(&output.flow));
        }
    }

    /// What must be plain, since nobody can say where it stands.
    pub(in crate::statement) fn take_uncertain(&self) -> Vec<Class> {
        self.uncertain.take()
    }

    /// The source that a qualifier names, innermost first.
    pub(in crate::statement) fn source(&self, schema: Option<&str>, alias: &str) -> Proven<&Source<'a>> {
        for level in self.levels.iter().rev() {
            self.spend(level.len())?;
            let mut fitting = level.iter().filter(|source| {
                source.alias == alias && schema.is_none_or(|schema| source.schema.as_deref() == Some(schema))
            });
            match (fitting.next(), fitting.next()) {
                (None, _) => {}
                (Some(only), None) => return Ok(only),
                (Some(_), Some(_)) => return Err(ambiguous(alias)),
            }
        }
        Err(unless(
            Remedy::Server,
            refuse(
                "column-unknown",
                "a column is qualified with a table or alias that is not in FROM",
                "Qualify columns with the alias of a table in FROM.",
            ),
        ))
    }
}

/// Refuses a column that does not fit.
pub(in crate::statement) fn fitting(relation: &Relation, column: &Column) -> Proven<()> {
    let Some(why) = &column.fault else { return Ok(()) };
    Err(refuse(
        "column-fault",
        format!("{}.{} cannot be used: {why}", relation.name, column.name),
        "Leave the column out, or correct the policy or the table; `sealgate check` shows the same, and \
         `check --sql` what mends it.",
    ))
}

/// Is it that a column does not fit?
pub(in crate::statement) fn is_unfit(unproven: &Unproven) -> bool {
    unproven.reason == "column-fault"
}

fn ambiguous(name: &str) -> Unproven {
    refuse(
        "column-ambiguous",
        format!("\"{name}\" could mean a classified column or another one"),
        "Qualify the column with the alias of its table.",
    )
}

/// It does not repeat the name: a value in double quotes is a name to PostgreSQL.
fn unknown_column() -> super::super::facts::Unproven {
    unless(
        Remedy::Server,
        refuse(
            "column-unknown",
            "a name is not that of any column known at its place in the statement",
            "Check the names, and quote values with single quotes; Sealgate follows a change of the table \
             within moments.",
        ),
    )
}

pub(in crate::statement) fn whole_row(name: &str) -> super::super::facts::Unproven {
    refuse(
        "whole-row",
        format!("\"{name}\" stands for whole rows of a classified table"),
        "Name the columns that are needed.",
    )
}
