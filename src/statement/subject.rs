//! Whose data a statement meets: where the column that says so stands in its result, or is named by an
//! equality in WHERE or by what is inserted.
//!
//! Nothing but the record and limits rests on it, and both count whoever is not known. So a form is listed here
//! or it is not known: the table stands in the statement by its own name, and each row of the result is one of its
//! rows; or several of them, side by side, each of which is told by its own column or equality.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, BoolExprType, Node, OnConflictAction, OverridingKind, a_const};

use crate::catalog::{Family, FieldId, Logical, Named, QualifiedName, Relation, RelationKind};

use super::facts::{StatementFacts, SubjectUse, SubjectValue};
use super::matters::Bench;
use super::read::census::{Census, RangeName};
use super::read::literal::{written_constant, written_literal};
use super::read::tree::{self, kind};
use super::read::typed::{type_of, type_of_constant};

/// Why it is not known whose data a statement meets.
const IN_FUNCTION: &str = "function";
const IN_VIEW: &str = "view";
const NOT_NAMED: &str = "indirect";
const SEVERAL: &str = "several";
const TYPE: &str = "type";
const NOT_SHOWN: &str = "not-shown";
const FORM: &str = "form";
const CHANGED: &str = "changed";
/// Code that cannot be followed.
pub(super) const OPAQUE: &str = "opaque";
/// Its rows are the text of a plan.
pub(super) const EXPLAINED: &str = "explained";
/// It runs by a name, and its values stand elsewhere.
pub(super) const BY_NAME: &str = "by-name";

/// How deep queries within queries are looked for.
const NESTED_MAX: usize = 32;
/// Values of one statement that name subjects.
const NAMED_MAX: usize = 10_000;
/// Places of one table in one statement.
const PLACES_MAX: usize = 16;

/// For each column that says whose data the fields are that a statement uses, where it is told.
pub(super) fn subjects(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    facts: &StatementFacts,
) -> Vec<SubjectUse> {
    let mut all: Vec<(&QualifiedName, &str, SubjectUse)> = Vec::new();
    for id in [&facts.reads, &facts.searches, &facts.writes].into_iter().flatten() {
        let Some(field) = bench.snapshot.field(*id) else { continue };
        let Some(subject) = field.subject.as_deref() else { continue };
        let known = all.iter_mut().find(|(table, column, _)| **table == field.table && *column == subject);
        match known {
            Some((_, _, one)) if one.fields.contains(id) => {}
            Some((_, _, one)) => one.fields.push(*id),
            None => {
                let column = format!("{}.{subject}", field.table).into();
                let one = SubjectUse {
                    column,
                    fields: vec![*id],
                    field: None,
                    logical: None,
                    origin: None,
                    shown: None,
                    place: None,
                    named: Vec::new(),
                    why: NOT_SHOWN,
                };
                all.push((&field.table, subject, one));
            }
        }
    }
    let looked = all.into_iter().flat_map(|(table, subject, mut one)| {
        look(bench, node, found, table, subject, &one).unwrap_or_else(|why| {
            forget(std::slice::from_mut(&mut one), why);
            vec![one]
        })
    });
    looked.collect()
}

/// Nothing tells whose data it is after all.
pub(super) fn forget(all: &mut [SubjectUse], why: &'static str) {
    for one in all {
        (one.origin, one.shown, one.place, one.why) = (None, None, None, why);
        one.named.clear();
    }
}

/// Finds where a statement tells whose the rows of a table are, for each place in which the table stands.
fn look(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    table: &QualifiedName,
    subject: &str,
    one: &SubjectUse,
) -> Result<Vec<SubjectUse>, &'static str> {
    if found.calls.iter().any(|call| bench.snapshot.followed_function(&call.parts).is_some()) {
        return Err(IN_FUNCTION);
    }
    let places = places(bench, found, table)?;
    if let [(range, relation)] = places.as_slice() {
        let mut one = one.clone();
        look_at_only(bench, node, found, (range, relation), subject, &mut one)?;
        return Ok(vec![one]);
    }
    if places.is_empty() {
        return Err(NOT_NAMED);
    }
    if places.len() > PLACES_MAX || found.windows || found.parts > 0 {
        return Err(SEVERAL);
    }
    let each = places.into_iter().map(|place| {
        let mut one = one.clone();
        look_at_one_of(bench, node, place, subject, &mut one)?;
        Ok(one)
    });
    let each = each.collect::<Result<Vec<SubjectUse>, &'static str>>()?;
    // A value is of one of them: where nobody is told, it counts once.
    let is_told = |one: &SubjectUse| one.shown.is_some() || !one.named.is_empty();
    if each.iter().any(is_told) { Ok(each) } else { Err(SEVERAL) }
}

/// What the subject is like, in a table. The place of its column, as RowDescription has it.
fn describe(
    bench: Bench<'_>,
    relation: &Relation,
    subject: &str,
    one: &mut SubjectUse,
) -> Result<Option<(u32, i16)>, &'static str> {
    let column = relation.column(subject).ok_or(NOT_NAMED)?;
    let sealed = column.field.filter(|id| is_sealed(bench, *id));
    one.field = column.field;
    one.logical = Logical::by_oid(column.type_oid).filter(is_followed);
    if one.logical.is_none() && sealed.is_none() {
        return Err(TYPE);
    }
    Ok(Some((relation.oid, column.number)).filter(|_| relation.oid != 0))
}

/// One of several places of the table, which all stand side by side in FROM: so each row of the result is made of one
/// row of each.
fn look_at_one_of(
    bench: Bench<'_>,
    node: &Node,
    (range, relation): (&RangeName, &Relation),
    subject: &str,
    one: &mut SubjectUse,
) -> Result<(), &'static str> {
    if relation.kind != RelationKind::Table {
        return Err(SEVERAL);
    }
    let origin = describe(bench, relation, subject, one)?;
    let rows = Rows { bench, range, relation, subject, parts: false };
    let (top, condition) = match kind(node) {
        Some(Kind::SelectStmt(select)) if select.larg.is_none() && select.values_lists.is_empty() => {
            let top = rows.stands_in(&select.from_clause).ok_or(SEVERAL)?;
            one.shown = origin.and_then(|_| rows.target(&select.target_list, &top));
            (top, select.where_clause.as_deref())
        }
        Some(Kind::UpdateStmt(update)) => {
            let own = rows.is(update.relation.as_ref());
            if own && update.target_list.iter().any(|target| target_name(target) == Some(subject)) {
                return Err(CHANGED);
            }
            let top = rows.among(update.relation.as_ref(), &update.from_clause).ok_or(SEVERAL)?;
            (top, update.where_clause.as_deref())
        }
        Some(Kind::DeleteStmt(delete)) => {
            let top = rows.among(delete.relation.as_ref(), &delete.using_clause).ok_or(SEVERAL)?;
            (top, delete.where_clause.as_deref())
        }
        Some(_) | None => return Err(SEVERAL),
    };
    one.origin = origin.filter(|_| one.shown.is_some());
    one.named = rows.equal(condition, &top);
    Ok(())
}

/// The one place of a table. What is found before an error does not count.
fn look_at_only(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    (range, relation): (&RangeName, &Relation),
    subject: &str,
    one: &mut SubjectUse,
) -> Result<(), &'static str> {
    if relation.kind != RelationKind::Table {
        return Err(IN_VIEW);
    }
    let origin = describe(bench, relation, subject, one)?;
    let rows = Rows { bench, range, relation, subject, parts: found.parts > 0 };
    match kind(node) {
        Some(Kind::SelectStmt(select)) => {
            if select.larg.is_some() || !select.values_lists.is_empty() || found.windows {
                return Err(FORM);
            }
            let is_top = rows.stands_in(&select.from_clause).is_some();
            if let Some((holder, top)) = rows.holder(select, NESTED_MAX) {
                one.named = rows.equal(holder.where_clause.as_deref(), &top);
            }
            // What stands in one row came from one row: of a part that is used twice nobody knows that.
            one.origin = origin.filter(|_| is_top || found.parts == 0 || are_used_once(select, found));
        }
        Some(Kind::InsertStmt(insert)) => {
            if !rows.is(insert.relation.as_ref()) || found.windows {
                return Err(FORM);
            }
            one.named = rows.inserted(insert);
            one.origin = origin;
        }
        Some(Kind::UpdateStmt(update)) => {
            let targets = &update.target_list;
            let own = rows.is(update.relation.as_ref());
            if own && targets.iter().any(|target| target_name(target) == Some(subject)) {
                return Err(CHANGED);
            }
            let top = rows.among(update.relation.as_ref(), &update.from_clause).ok_or(FORM)?;
            one.named = rows.equal(update.where_clause.as_deref(), &top);
            one.origin = origin.filter(|_| !found.windows);
        }
        Some(Kind::DeleteStmt(delete)) => {
            let top = rows.among(delete.relation.as_ref(), &delete.using_clause).ok_or(FORM)?;
            one.named = rows.equal(delete.where_clause.as_deref(), &top);
            one.origin = origin.filter(|_| !found.windows);
        }
        Some(Kind::CopyStmt(copy)) => {
            if copy.query.is_some() || !rows.is(copy.relation.as_ref()) {
                return Err(FORM);
            }
            let names = facts_of_copy(copy, relation);
            one.place = names.iter().position(|name| *name == subject);
        }
        Some(_) | None => return Err(FORM),
    }
    Ok(())
}

/// Is each part that a query names used once at the most, and writes nothing?
fn are_used_once(select: &protobuf::SelectStmt, found: &Census) -> bool {
    let Some(with) = &select.with_clause else { return false };
    let once = |part: &Node| {
        let Some(Kind::CommonTableExpr(part)) = kind(part) else { return false };
        let uses = found.ranges.iter().filter(|range| range.schema.is_empty() && range.name == part.ctename);
        uses.count() <= 1
    };
    // Those of queries within it are not looked for.
    !with.recursive && with.ctes.len() == found.parts && found.writers == 0 && with.ctes.iter().all(once)
}

/// The columns of the data of a COPY of a table.
fn facts_of_copy<'a>(copy: &'a protobuf::CopyStmt, relation: &'a Relation) -> Vec<&'a str> {
    if copy.attlist.is_empty() {
        let stored = relation.columns.iter().filter(|column| !column.generated);
        return stored.map(|column| &*column.name).collect();
    }
    copy.attlist.iter().map(|name| tree::name(name).unwrap_or_default()).collect()
}

fn is_sealed(bench: Bench<'_>, id: FieldId) -> bool {
    bench.snapshot.field(id).is_some_and(|field| field.domain.is_some())
}

/// Types of which a value is written in one way, whatever the session's settings.
fn is_followed(logical: &Logical) -> bool {
    !logical.array
        && match logical.base.family() {
            Family::Integer | Family::Text | Family::Uuid => true,
            Family::Numeric
            | Family::Float
            | Family::Bool
            | Family::Date
            | Family::Time
            | Family::Timetz
            | Family::Timestamp
            | Family::Timestamptz
            | Family::Interval
            | Family::Json
            | Family::Jsonb
            | Family::Bytea
            | Family::Network
            | Family::Macaddr
            | Family::Money => false,
        }
}

/// The places of a statement where rows of this table come from, by whatever name.
fn places<'a, 'c>(
    bench: Bench<'a>,
    found: &'c Census,
    table: &QualifiedName,
) -> Result<Vec<(&'c RangeName, &'a Relation)>, &'static str> {
    let leads = |relation: &Relation| {
        let of_table = |id: &FieldId| bench.snapshot.field(*id).is_some_and(|field| field.table == *table);
        let shown = relation.columns.iter().filter_map(|column| column.field);
        shown.chain(relation.behind.iter().copied()).any(|id| of_table(&id))
    };
    let mut places = Vec::new();
    for range in &found.ranges {
        let schema = Some(range.schema.as_str()).filter(|schema| !schema.is_empty());
        match bench.names.named(schema, &range.name) {
            Named::Harmless => {}
            Named::One(relation) | Named::Pinned(relation) if leads(relation) => {
                places.push((range, relation))
            }
            Named::One(_) | Named::Pinned(_) => {}
            Named::Ambiguous | Named::NotOnPath | Named::PerhapsTemporary | Named::Missing => {
                return Err(NOT_NAMED);
            }
        }
    }
    Ok(places)
}

/// The table whose rows are looked for, at its place.
struct Rows<'a> {
    bench: Bench<'a>,
    range: &'a RangeName,
    relation: &'a Relation,
    subject: &'a str,
    /// The statement has parts that it names.
    parts: bool,
}

/// The rows of a FROM list in which the table stands, not within a subquery.
struct Top<'a> {
    range: &'a protobuf::RangeVar,
    /// A column may be named without its table.
    bare: bool,
}

impl Rows<'_> {
    fn is(&self, range: Option<&protobuf::RangeVar>) -> bool {
        range.is_some_and(|range| range.location == self.range.location)
    }

    fn stands_in<'n>(&self, from: &'n [Node]) -> Option<Top<'n>> {
        let mut bare = true;
        let place = from.iter().filter_map(|item| self.place(item, &mut bare)).next();
        // Every item is looked at: USING in any of them makes one column of two.
        from.iter().for_each(|item| {
            self.place(item, &mut bare);
        });
        place.map(|range| Top { range, bare })
    }

    /// The query in whose own FROM the table stands: that one, or one of those that it reads. Whatever it shows of the
    /// table is of the rows that its WHERE leaves.
    fn holder<'n>(
        &self,
        select: &'n protobuf::SelectStmt,
        depth: usize,
    ) -> Option<(&'n protobuf::SelectStmt, Top<'n>)> {
        if select.larg.is_some() {
            return None;
        }
        if let Some(top) = self.stands_in(&select.from_clause) {
            return Some((select, top));
        }
        let depth = depth.checked_sub(1)?;
        let parts =
            select.with_clause.iter().flat_map(|with| &with.ctes).filter_map(|part| match kind(part) {
                Some(Kind::CommonTableExpr(part)) => part.ctequery.as_deref(),
                Some(_) | None => None,
            });
        let mut read = Vec::new();
        select.from_clause.iter().for_each(|item| queries(item, depth, &mut read));
        parts.chain(read).find_map(|query| match kind(query) {
            Some(Kind::SelectStmt(query)) => self.holder(query, depth),
            Some(_) | None => None,
        })
    }

    fn among<'n>(&self, target: Option<&'n protobuf::RangeVar>, others: &'n [Node]) -> Option<Top<'n>> {
        let mut top = self.stands_in(others);
        if let Some(range) = target.filter(|range| self.is(Some(*range))) {
            let mut bare = true;
            others.iter().for_each(|item| {
                self.place(item, &mut bare);
            });
            top = Some(Top { range, bare });
        }
        top
    }

    fn place<'n>(&self, item: &'n Node, bare: &mut bool) -> Option<&'n protobuf::RangeVar> {
        match kind(item) {
            Some(Kind::RangeVar(range)) => self.is(Some(range)).then_some(range),
            Some(Kind::RangeTableSample(sample)) => self.place(sample.relation.as_deref()?, bare),
            Some(Kind::JoinExpr(join)) => {
                let merges = join.is_natural || !join.using_clause.is_empty() || join.alias.is_some();
                *bare &= !merges;
                let left = join.larg.as_deref().and_then(|side| self.place(side, bare));
                let right = join.rarg.as_deref().and_then(|side| self.place(side, bare));
                // The names within are hidden by its own.
                left.or(right).filter(|_| join.alias.is_none())
            }
            Some(_) | None => None,
        }
    }

    /// Its column among those of a result, which are counted up to the first that the server counts. None: it is not
    /// among them.
    fn target(&self, targets: &[Node], top: &Top<'_>) -> Option<usize> {
        if top.range.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty()) {
            return None;
        }
        let counted = targets.iter().map_while(|target| match kind(target) {
            Some(Kind::ResTarget(target)) => target.val.as_deref().filter(|value| is_one_column(value)),
            Some(_) | None => None,
        });
        counted.into_iter().position(|value| self.is_subject(value, top))
    }

    /// What the column equals in every row that a condition leaves. Empty: nobody can say.
    fn equal(&self, condition: Option<&Node>, top: &Top<'_>) -> Vec<SubjectValue> {
        let renamed = top.range.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty());
        let found = condition.filter(|_| !renamed).and_then(|condition| self.equality(condition, top));
        found.into_iter().collect()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an allow-list: of every other form nobody can say")]
    fn equality(&self, condition: &Node, top: &Top<'_>) -> Option<SubjectValue> {
        match kind(condition)? {
            Kind::BoolExpr(both) if both.boolop == BoolExprType::AndExpr as i32 => {
                both.args.iter().find_map(|one| self.equality(one, top))
            }
            Kind::AExpr(expression)
                if expression.kind == AExprKind::AexprOp as i32
                    && tree::operator(&expression.name) == Some("=") =>
            {
                let (left, right) = (expression.lexpr.as_deref()?, expression.rexpr.as_deref()?);
                if self.is_subject(left, top) {
                    self.value(right)
                } else if self.is_subject(right, top) {
                    self.value(left)
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    fn is_subject(&self, node: &Node, top: &Top<'_>) -> bool {
        let Some(Kind::ColumnRef(column)) = kind(node) else { return false };
        let names: Option<Vec<&str>> = column.fields.iter().map(tree::name).collect();
        let alias = top.range.alias.as_ref();
        let own = alias.map_or(top.range.relname.as_str(), |alias| alias.aliasname.as_str());
        match names.as_deref() {
            Some([name]) => top.bare && *name == self.subject,
            Some([table, name]) => *table == own && *name == self.subject,
            Some([schema, table, name]) => {
                alias.is_none()
                    && *schema == &*self.relation.name.schema
                    && *table == own
                    && *name == self.subject
            }
            Some(_) | None => false,
        }
    }

    /// A constant or a parameter, perhaps cast.
    fn value(&self, node: &Node) -> Option<SubjectValue> {
        self.value_as(node, None)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an allow-list: of every other form nobody can say")]
    fn value_as(&self, node: &Node, given: Option<Logical>) -> Option<SubjectValue> {
        match kind(node)? {
            Kind::TypeCast(cast) if given.is_none() => {
                let to = type_of(cast.type_name.as_ref()?).filter(is_followed)?;
                self.value_as(cast.arg.as_deref()?, Some(to))
            }
            Kind::ParamRef(parameter) => {
                let number = u16::try_from(parameter.number).ok().filter(|number| *number > 0)?;
                Some(SubjectValue::Parameter { number, given })
            }
            Kind::AConst(constant) => {
                let text = std::str::from_utf8(self.bench.text).ok()?;
                let start = usize::try_from(constant.location).ok()?;
                if let Some(a_const::Val::Sval(string)) = &constant.val {
                    let conforming = self.bench.reading.standard_conforming_strings;
                    let written = written_literal(text, start, &string.sval, conforming).ok()?;
                    return Some(SubjectValue::Literal { span: written.span, form: written.form, given });
                }
                let own = type_of_constant(constant, text)?;
                let written = written_constant(text, start)?;
                let given = given.is_none().then_some(own);
                // A cast of a number is a conversion of its own.
                given.map(|own| SubjectValue::Literal {
                    span: written.span,
                    form: written.form,
                    given: Some(own),
                })
            }
            _ => None,
        }
    }

    /// The values of the column in the rows of an INSERT. Empty: some of them are not known.
    fn inserted(&self, insert: &protobuf::InsertStmt) -> Vec<SubjectValue> {
        let ignored = insert.r#override == OverridingKind::OverridingUserValue as i32;
        let updates = insert
            .on_conflict_clause
            .as_ref()
            .is_some_and(|clause| clause.action == OnConflictAction::OnconflictUpdate as i32);
        let Some(Kind::SelectStmt(values)) = insert.select_stmt.as_deref().and_then(kind) else {
            return Vec::new();
        };
        if ignored || updates || values.values_lists.is_empty() || self.parts {
            return Vec::new();
        }
        let place = if insert.cols.is_empty() {
            self.relation.columns.iter().position(|column| &*column.name == self.subject)
        } else {
            insert.cols.iter().position(|column| target_name(column) == Some(self.subject))
        };
        let row = |row: &Node| {
            let Some(Kind::List(row)) = kind(row) else { return None };
            self.value(row.items.get(place?)?)
        };
        let named: Option<Vec<SubjectValue>> =
            values.values_lists.iter().take(NAMED_MAX + 1).map(row).collect();
        named.filter(|named| named.len() <= NAMED_MAX).unwrap_or_default()
    }
}

/// The queries that stand in a FROM list.
fn queries<'n>(item: &'n Node, depth: usize, into: &mut Vec<&'n Node>) {
    match kind(item) {
        Some(Kind::RangeSubselect(range)) => into.extend(range.subquery.as_deref()),
        Some(Kind::JoinExpr(join)) => {
            let Some(depth) = depth.checked_sub(1) else { return };
            [&join.larg, &join.rarg].into_iter().flatten().for_each(|side| queries(side, depth, into));
        }
        Some(_) | None => {}
    }
}

/// Is it none of those that the server makes several columns of?
fn is_one_column(value: &Node) -> bool {
    match kind(value) {
        Some(Kind::ColumnRef(column)) => column.fields.iter().all(|field| tree::name(field).is_some()),
        Some(Kind::AIndirection(_)) | None => false,
        Some(_) => true,
    }
}

fn target_name(target: &Node) -> Option<&str> {
    let Some(Kind::ResTarget(target)) = kind(target) else { return None };
    Some(&target.name)
}
