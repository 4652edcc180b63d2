//! What a definition says of the columns of a table that matters, and how it is said of sealed text: the
//! type of a sealed column becomes `text`, constants that are values of it are sealed, and its guard is
//! put beside it. What means something else on sealed text is refused.

use std::ops::Range;
use std::rc::Rc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, ConstrType, Node, RangeVar};

use crate::catalog::{Field, Logical, Mode, Normal};

use super::super::facts::{Edit, StatementFacts, Told, Unproven};
use super::super::follow::algebra;
use super::super::follow::classes::Flow;
use super::super::follow::flow::Walk;
use super::super::follow::from::unknown_source;
use super::super::follow::scope::{Columns, Output, Outputs, Place, Source};
use super::super::follow::uses::Uses;
use super::super::judge::account;
use super::super::matters::{Bench, policy_field, refuse_definition};
use super::super::read::census::{Census, census};
use super::super::read::literal::quoted_name;
use super::super::read::tree::{self, kind};
use super::super::read::typed::{own_type_of, span_of_collation, span_of_own_type, span_of_type, type_of};
use super::super::refusal::{Proven, refuse, unsupported};
use super::target::{matters, meant};

const POLICY_FIRST: &str = "Change the policy first, so that it has the same domain for the new name as for the old one, then the table.";

pub(super) fn refuse_change(what: &str) -> Unproven {
    refuse("definition", format!("{what} of a classified table or column"), POLICY_FIRST)
}

/// See the module's text.
pub(super) struct Draft<'a> {
    pub(super) bench: Bench<'a>,
    /// The table, with its schema where that is known.
    pub(super) range: RangeVar,
    pub(super) walk: Walk<'a>,
    pub(super) rewrites: Vec<Edit>,
    /// An expression became the column whose values are such already.
    pub(super) normalized: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn of(bench: Bench<'a>, range: RangeVar) -> Draft<'a> {
        let walk = Walk::new(bench, bench.reading.standard_conforming_strings);
        Draft { bench, range, walk, rewrites: Vec::new(), normalized: false }
    }

    /// What is to be said otherwise, beside `facts`.
    pub(super) fn finish(mut self, facts: StatementFacts) -> Proven<StatementFacts> {
        self.walk.finish()?;
        let Uses { literals, parameters, edits, .. } = self.walk.classes.uses()?;
        self.rewrites.extend(edits);
        self.rewrites.append(&mut self.walk.edits);
        let insertions = std::mem::take(&mut self.walk.insertions);
        Ok(StatementFacts { literals, parameters, insertions, rewrites: self.rewrites, ..facts })
    }

    /// What the policy says of a column of this table.
    pub(super) fn field(&self, column: &str) -> Option<&'a Field> {
        policy_field(self.bench.snapshot, &self.range, column)
    }

    /// The same, if it is sealed.
    pub(super) fn sealed(&self, column: &str) -> Option<&'a Field> {
        self.field(column).filter(|field| field.domain.is_some())
    }

    /// Is it known in which domain its values are sealed? Of a table that a pattern awaits it is not.
    fn is_placed(&self, field: &Field) -> bool {
        self.bench.snapshot.field(field.id) == Some(field)
    }

    /// The text, which was read as characters before it was parsed.
    pub(super) fn text(&self) -> &'a str {
        std::str::from_utf8(self.bench.text).unwrap_or_default()
    }

    pub(super) fn rewrite(&mut self, span: Range<usize>, new: impl Into<Vec<u8>>) {
        self.rewrites.push(Edit { span, new: new.into(), quotes: false });
    }

    // ---- columns --------------------------------------------------------------------

    /// A column in CREATE TABLE or ADD COLUMN.
    pub(super) fn column(&mut self, column: &'a protobuf::ColumnDef) -> Proven<()> {
        let field = self.field(&column.colname);
        let sealed = field.filter(|field| field.domain.is_some());
        for node in &column.constraints {
            let Some(Kind::Constraint(constraint)) = kind(node) else {
                return Err(unsupported("this column"));
            };
            match ConstrType::try_from(constraint.contype) {
                Ok(ConstrType::ConstrDefault) => match (sealed, constraint.raw_expr.as_deref()) {
                    (Some(field), Some(value)) => self.default(field, value)?,
                    (Some(_), None) => return Err(unsupported("this default")),
                    (None, _) => {}
                },
                Ok(ConstrType::ConstrGenerated | ConstrType::ConstrIdentity) if field.is_some() => {
                    return Err(counted(&column.colname));
                }
                Ok(ConstrType::ConstrGenerated) => {
                    if let Some(expression) = constraint.raw_expr.as_deref() {
                        self.refuse_expression(expression)?;
                    }
                }
                Ok(ConstrType::Undefined) | Err(_) if field.is_some() => {
                    return Err(refuse_change("a default, check or generated value"));
                }
                Ok(_) | Err(_) => self.constraint(Some(&column.colname), constraint)?,
            }
        }
        if field.is_some() && column.raw_default.is_some() {
            return Err(refuse_change("a default"));
        }
        let Some(field) = sealed else { return Ok(()) };
        self.collated(field, column)?;
        let stored = !column.storage_name.is_empty() || !column.compression.is_empty();
        if stored && field.guard.is_some() {
            return Err(unsupported("STORAGE or COMPRESSION of a column with a guard"));
        }
        self.typed(field, column, true)
    }

    /// The type is the one that the policy has, and becomes `text`.
    fn typed(&mut self, field: &Field, column: &protobuf::ColumnDef, guarded: bool) -> Proven<()> {
        let Some(of) = &column.type_name else { return Err(unsupported("a column without a type")) };
        let found = type_of(of);
        if !is_declared(field, of) {
            return Err(other_type(field, found.map(|found| found.to_string()).as_deref()));
        }
        let guard = field.guard.as_deref().filter(|_| guarded && self.is_placed(field));
        if guard.is_none() && found == Some(Logical::TEXT) {
            return Ok(());
        }
        let span = self.place(of).ok_or_else(|| unsupported("a type written like this"))?;
        let new = guard.map_or_else(
            || "text".to_owned(),
            |begin| {
                format!(
                    "text CONSTRAINT {} CHECK (pg_catalog.starts_with({} COLLATE \"C\", '{begin}'))",
                    quoted_name(&format!("{}_{}_sealed", field.table.name, field.column)),
                    quoted_name(&field.column)
                )
            },
        );
        self.rewrite(span, new);
        Ok(())
    }

    /// Where the name of a type stands.
    fn place(&self, of: &protobuf::TypeName) -> Option<Range<usize>> {
        match type_of(of) {
            Some(known) => span_of_type(self.text(), usize::try_from(of.location).ok()?, &known),
            None => span_of_own_type(self.text(), of),
        }
    }

    /// What is kept in lower case needs no collation that compares so. Any other is kept: where the server's
    /// catalog says that it does, the column does not fit.
    fn collated(&mut self, field: &Field, column: &protobuf::ColumnDef) -> Proven<()> {
        let Some(clause) = column.coll_clause.as_deref() else { return Ok(()) };
        if algebra::keeps_equality(clause) || !is_folded(field) {
            return Ok(());
        }
        let place =
            usize::try_from(clause.location).ok().and_then(|start| span_of_collation(self.text(), start));
        self.rewrite(place.ok_or_else(|| unsupported("a collation written like this"))?, "");
        Ok(())
    }

    /// ALTER COLUMN TYPE.
    pub(super) fn retyped(&mut self, field: &Field, column: &'a protobuf::ColumnDef) -> Proven<()> {
        self.collated(field, column)?;
        self.typed(field, column, false)?;
        let mut using = column.raw_default.as_deref();
        while let Some(Kind::TypeCast(cast)) = using.and_then(kind) {
            let own = |of: &&protobuf::TypeName| {
                // An explicit cast to a shorter one would cut values.
                is_own(field, of)
                    || type_of(of).is_some_and(|of| of.holds(&field.logical) || of == Logical::TEXT)
            };
            let of = cast.type_name.as_ref().filter(own);
            let Some(span) = of.and_then(|of| self.place(of)) else { return Err(converts(field)) };
            self.rewrite(span, "text");
            using = cast.arg.as_deref();
        }
        match using.map(kind) {
            None => Ok(()),
            Some(Some(Kind::ColumnRef(of))) if tree::last_name(&of.fields) == Some(&*field.column) => Ok(()),
            Some(_) => Err(converts(field)),
        }
    }

    /// A default of a sealed column: a constant, which is sealed.
    pub(super) fn default(&mut self, field: &Field, value: &'a Node) -> Proven<()> {
        if !self.is_placed(field) {
            if matches!(kind(value), Some(Kind::AConst(constant)) if constant.isnull) {
                return Ok(());
            }
            return Err(refuse(
                "definition",
                format!(
                    "{} is sealed by a pattern, and its default stands before the table is there",
                    field.path()
                ),
                "Make the table first, COMMIT, and then ALTER COLUMN ... SET DEFAULT.",
            ));
        }
        let stored = match kind(value) {
            Some(Kind::TypeCast(cast)) if field.logical.array => self.array(field, cast),
            Some(_) | None => self.walk.assign(field.id, value),
        };
        stored.map_err(|refused| {
            if matches!(refused.reason, "literal-form" | "too-costly") {
                return refused;
            }
            refuse(
                "definition",
                format!("{} is sealed, and its default is not a constant of its type", field.path()),
                "Leave the default out and let the application set the value; a constant is sealed.",
            )
        })
    }

    /// An array as a constant that is cast to the type of the column: one value, as it is written.
    fn array(&mut self, field: &Field, cast: &'a protobuf::TypeCast) -> Proven<()> {
        let of = cast.type_name.as_ref().filter(|of| type_of(of).is_some_and(|of| field.logical.holds(&of)));
        let place = of.and_then(|of| self.place(of));
        let (Some(place), Some(value)) = (place, cast.arg.as_deref()) else {
            return Err(unsupported("this default"));
        };
        self.rewrite(place, "text");
        self.walk.assign(field.id, value)
    }

    // ---- constraints ----------------------------------------------------------------

    /// A constraint: of a table, or of the one column that it stands beside.
    pub(super) fn constraint(
        &mut self,
        column: Option<&str>,
        constraint: &'a protobuf::Constraint,
    ) -> Proven<()> {
        if !constraint.exclusions.is_empty() && matters(self.bench, &self.range) {
            return Err(unsupported("an exclusion constraint"));
        }
        let of = ConstrType::try_from(constraint.contype).unwrap_or(ConstrType::Undefined);
        let unique = matches!(of, ConstrType::ConstrUnique | ConstrType::ConstrPrimary);
        let keys = constraint.keys.iter().filter_map(tree::name).chain(column.filter(|_| unique));
        for key in keys {
            if let Some(field) = self.field(key) {
                refuse_random(field, "a key")?;
            }
        }
        if let Some(expression) = constraint.raw_expr.as_deref() {
            if of == ConstrType::ConstrCheck {
                self.condition(expression)?;
            } else {
                self.refuse_expression(expression)?;
            }
        }
        match &constraint.pktable {
            Some(referred) => self.refers(column, constraint, referred),
            None => Ok(()),
        }
    }

    /// A foreign key is of one domain.
    fn refers(
        &self,
        column: Option<&str>,
        constraint: &protobuf::Constraint,
        referred: &RangeVar,
    ) -> Proven<()> {
        let own: Vec<&str> = match column {
            Some(column) => vec![column],
            None => constraint.fk_attrs.iter().filter_map(tree::name).collect(),
        };
        let mut others: Vec<&str> = constraint.pk_attrs.iter().filter_map(tree::name).collect();
        if others.is_empty() {
            // Its primary key, if there is but one that it could be.
            let relation = meant(self.bench, referred);
            if let Some([only]) = relation.map(|relation| relation.keys.as_slice()) {
                others = only.iter().map(|name| &**name).collect();
            }
        }
        for (position, own) in own.iter().enumerate() {
            let mine = self.field(own);
            let other = others.get(position);
            let other = other.and_then(|other| policy_field(self.bench.snapshot, referred, other));
            let fits = match (mine, other) {
                (None, None) => true,
                (Some(mine), Some(other)) => {
                    mine.domain == other.domain
                        && mine.domain.as_ref().is_none_or(|domain| domain.mode == Mode::Equality)
                }
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !fits {
                return Err(refuse_definition("a foreign key between a sealed column and another"));
            }
        }
        Ok(())
    }

    // ---- expressions ----------------------------------------------------------------

    /// Which classified columns of this table an expression names. None: all of them, by whatever name.
    fn named(&self, found: &Census) -> Option<Vec<&'a Field>> {
        let mut named = Vec::new();
        for column in &found.columns {
            let last = column.parts.last().filter(|last| **last != self.range.relname)?;
            named.extend(self.field(last));
        }
        Some(named)
    }

    /// An expression that is computed from columns, none of which is classified.
    pub(super) fn refuse_expression(&self, node: &Node) -> Proven<()> {
        match kind(node) {
            // A sealed value is NULL where its value is.
            Some(Kind::NullTest(test)) if self.is_column(test.arg.as_deref()) => return Ok(()),
            Some(Kind::BoolExpr(all)) => {
                return all.args.iter().try_for_each(|one| self.refuse_expression(one));
            }
            Some(_) | None => {}
        }
        let found = census(node);
        if found.incomplete {
            return Err(refuse_definition("this definition"));
        }
        match self.named(&found) {
            None => Err(refuse_change("an expression over all columns")),
            Some(named) if !named.is_empty() => Err(refuse_change("an expression over a column")),
            Some(_) => Ok(()),
        }
    }

    fn is_column(&self, node: Option<&Node>) -> bool {
        matches!(node.and_then(kind), Some(Kind::ColumnRef(column))
            if tree::last_name(&column.fields).is_some_and(|name| name != self.range.relname))
    }

    /// A condition that rows are held to: of sealed columns it may ask what a statement may, and its
    /// constants are sealed.
    pub(super) fn condition(&mut self, node: &'a Node) -> Proven<()> {
        let found = census(node);
        if found.incomplete {
            return Err(refuse_definition("this definition"));
        }
        let Some(named) = self.named(&found) else {
            return Err(refuse_change("an expression over all columns"));
        };
        if named.is_empty() {
            return Ok(());
        }
        if !found.ranges.is_empty() || !named.iter().all(|field| self.is_placed(field)) {
            return self.refuse_expression(node);
        }
        let outputs = self.columns();
        let own =
            Source { columns: Columns::Derived(Rc::new(outputs)), ..unknown_source(&self.range.relname) };
        // And whatever else it has, which is not classified.
        let own = Source { schema: Some(self.range.schemaname.clone()), ..own };
        self.walk.scope.push(vec![own, unknown_source("")]);
        let walked = self.walk.predicate(Some(node));
        self.walk.scope.pop();
        walked.map_err(|refused| match refused.reason {
            "unsupported-position" | "unsupported-form" => Unproven {
                reason: "definition",
                hint: "A CHECK and the WHERE of an index can test a sealed column for NULL, and one of \
                       seal = \"equality\" for constants (= and IN): leave the rest to the application."
                    .to_owned(),
                ..refused
            },
            _ => refused,
        })?;
        account(&self.walk, &found)
    }

    /// The classified columns of this table, by the policy.
    fn columns(&self) -> Outputs {
        let snapshot = self.bench.snapshot;
        let names = snapshot.fields().iter().filter(|field| *field.table.name == *self.range.relname);
        let mut names: Vec<&str> = names.map(|field| &*field.column).collect();
        names.sort_unstable();
        names.dedup();
        let own = names.into_iter().filter_map(|name| Some((name, self.field(name)?)));
        let output = |(name, field): (&str, &Field)| Output {
            name: Some(name.to_owned()),
            flow: Flow::Field(field.id),
            place: Place::Sure,
            told: Told::default(),
        };
        Outputs { columns: own.map(output).collect() }
    }
}

/// Is this the enumeration or the domain that the policy says?
fn is_own(field: &Field, of: &protobuf::TypeName) -> bool {
    own_type_of(of).is_some_and(|(schema, name)| field.is_of(schema, name))
}

/// Is a column that is declared so one of this field? A domain may be declared as what it is over.
pub(super) fn is_declared(field: &Field, of: &protobuf::TypeName) -> bool {
    let as_is = !field.is_enumeration() && type_of(of).is_some_and(|found| field.logical.holds(&found));
    as_is || is_own(field, of)
}

/// Are its values kept in lower case?
pub(super) fn is_folded(field: &Field) -> bool {
    field.domain.as_ref().is_some_and(|domain| domain.kind.normalize.has(Normal::Lowercase))
}

pub(super) fn refuse_random(field: &Field, what: &str) -> Proven<()> {
    match field.domain.as_ref().map(|domain| domain.mode) {
        Some(Mode::Random) => Err(refuse(
            "random-compared",
            format!("{} is sealed with seal = \"random\" and cannot be in {what}", field.path()),
            "seal = \"equality\" allows UNIQUE, keys and indexes.",
        )),
        Some(Mode::Equality) | None => Ok(()),
    }
}

fn other_type(field: &Field, found: Option<&str>) -> Unproven {
    let path = field.path();
    match found {
        Some(found) => refuse(
            "declared-type",
            format!("{path} is declared {found}, and the policy says type = \"{}\"", field.declared()),
            format!("Write type = \"{found}\" in the [[field]] of {path}, or declare {}.", field.declared()),
        ),
        None => refuse(
            "declared-type",
            format!("{path} is sealed, and is declared with a type that no policy has"),
            format!(
                "Declare {}, or another type that the documentation of the policy lists, an enumeration as type = \
                 \"schema.name AS ENUM\", a domain without a rule as \"schema.name AS text\"; what the server counts or \
                 computes itself cannot be sealed.",
                field.declared()
            ),
        ),
    }
}

fn converts(field: &Field) -> Unproven {
    refuse(
        "definition",
        format!("{} is sealed, and USING would make other values of it", field.path()),
        "Leave USING out, or write the column itself or a cast of it to its type; other values are written by UPDATE.",
    )
}

fn counted(column: &str) -> Unproven {
    refuse(
        "definition",
        format!("column {column} is classified, and the server would make its values"),
        "Leave GENERATED out and let the application set the value.",
    )
}
