//! SELECT, INSERT, UPDATE and DELETE: which clause asks what of the expressions in it.

use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, LimitOption, Node, SetOperation};

use super::super::facts::{Edit, Fold, ResultColumn, Told};
use super::super::read::tree::{self, kind};
use super::super::read::typed::end_of_call;
use super::super::refusal::{Proven, refuse, unsupported};
use super::algebra::Use;
use super::classes::{Fields, Flow, require, same_domain};
use super::flow::{Seen, Walk};
use super::from::{Cte, named, unknown_source};
use super::scope::{Output, Outputs, Place, is_unfit};
use super::told::told;

impl<'a> Walk<'a> {
    /// Any query, at the top, in WITH or as a subquery.
    pub(in crate::statement) fn query(&mut self, node: &'a Node) -> Proven<Outputs> {
        match kind(node) {
            Some(Kind::SelectStmt(select)) => self.select(select),
            Some(Kind::InsertStmt(insert)) => self.insert(insert),
            Some(Kind::UpdateStmt(update)) => self.update(update),
            Some(Kind::DeleteStmt(delete)) => self.delete(delete),
            Some(Kind::MergeStmt(merge)) => self.merge(merge),
            _ => Err(unsupported("a statement of this kind")),
        }
    }

    /// What reaches the client at the end of a statement.
    pub(in crate::statement) fn emit(&mut self, outputs: &Outputs) -> Proven<()> {
        outputs.columns.iter().try_for_each(|output| self.settle_unnamed(output))?;
        let mut decided = outputs.clone();
        for output in &mut decided.columns {
            output.flow = match &output.flow {
                Flow::Open(class) => {
                    if let Some(fields) = self.classes.sealed(*class) {
                        Flow::Sealed(fields)
                    } else {
                        // Nor may it become sealed: nobody would open it.
                        self.classes.make_plain(*class)?;
                        Flow::Plain
                    }
                }
                Flow::Array(elements) => Flow::derived(self.settle(elements)?),
                flow @ Flow::Folded(Fold::Text, _) => flow.clone(),
                flow @ Flow::Folded(..) => match self.sealed_in(flow)? {
                    Some(fields) => Flow::Sealed(fields),
                    None => Flow::derived(self.settle(flow)?),
                },
                flow
                @ (Flow::Plain | Flow::Derived(_) | Flow::Field(_) | Flow::Sealed(_) | Flow::Default) => {
                    flow.clone()
                }
            };
            match &output.flow {
                Flow::Field(id) => {
                    self.reads.insert(*id);
                }
                Flow::Derived(fields) | Flow::Sealed(fields) => self.reads.extend(fields.iter().copied()),
                Flow::Folded(Fold::Text, inner) => {
                    let fields = self.sealed_in(inner)?.unwrap_or_default();
                    self.reads.extend(fields);
                }
                Flow::Plain | Flow::Open(_) | Flow::Array(_) | Flow::Folded(..) | Flow::Default => {}
            }
        }
        self.outputs = decided.told();
        let is_run = |column: &ResultColumn| matches!(column, ResultColumn::Run(_));
        let (first, last) = (self.outputs.iter().position(is_run), self.outputs.iter().rposition(is_run));
        let between = first.zip(last).and_then(|(first, last)| self.outputs.get(first..last));
        let passed =
            |column: &ResultColumn| matches!(column, ResultColumn::Sealed(..) | ResultColumn::Text(_));
        if between.is_some_and(|all| all.iter().any(passed)) {
            return Err(refuse(
                "unsupported-form",
                "a sealed value that an expression passes on stands between two *",
                "List the columns instead of one *.",
            ));
        }
        Ok(())
    }

    // ---- SELECT ---------------------------------------------------------------------

    fn select(&mut self, select: &'a protobuf::SelectStmt) -> Proven<Outputs> {
        let protobuf::SelectStmt {
            distinct_clause: _,
            into_clause,
            target_list: _,
            from_clause: _,
            where_clause: _,
            group_clause: _,
            group_distinct: _,
            having_clause: _,
            window_clause: _,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option,
            locking_clause,
            with_clause,
            op,
            all: _,
            larg: _,
            rarg: _,
        } = select;
        if let Some(into) = into_clause.as_deref() {
            let known = self.into.take().is_some_and(|known| std::ptr::eq(known, into));
            let Some(target) = into.rel.as_ref().filter(|_| known) else {
                return Err(unsupported("SELECT INTO at this place"));
            };
            self.seen.insert((Seen::Range, target.location));
        }
        self.scope.spend(8)?;
        // Which rows are ties is for the order to say.
        let ties = *limit_option == LimitOption::WithTies as i32;
        let orderless = std::mem::take(&mut self.orderless) && !ties;
        let places = std::mem::take(&mut self.places);
        let level = self.ctes.len();
        self.with(with_clause.as_ref())?;
        let set = SetOperation::try_from(*op).unwrap_or(SetOperation::Undefined);
        let outputs = if !matches!(set, SetOperation::SetopNone | SetOperation::Undefined) {
            self.set_operation(select, set)?
        } else if values_lists.is_empty() {
            let outputs = self.plain_select(select, orderless, places)?;
            self.ctes.truncate(level);
            return Ok(outputs);
        } else {
            self.values_query(values_lists)?
        };
        // Only names and positions of the columns mean anything here.
        self.scope.push(vec![unknown_source("")]);
        self.sort(sort_clause, &outputs, orderless)?;
        self.scope.pop();
        self.limits(limit_offset.as_deref(), limit_count.as_deref(), locking_clause)?;
        self.ctes.truncate(level);
        Ok(outputs)
    }

    fn plain_select(
        &mut self,
        select: &'a protobuf::SelectStmt,
        orderless: bool,
        places: bool,
    ) -> Proven<Outputs> {
        // `count(*)` of a subquery counts its rows in any order.
        let counts = counts_alone(select);
        let sources = self.from(&select.from_clause, Vec::new(), counts)?;
        self.scope.push(sources);
        self.predicate(select.where_clause.as_deref())?;
        let outputs = self.targets(&select.target_list, places)?;
        self.group(&select.group_clause, &outputs, false)?;
        self.predicate(select.having_clause.as_deref())?;
        for window in &select.window_clause {
            let Some(Kind::WindowDef(window)) = kind(window) else { return Err(unsupported("this WINDOW")) };
            let reach = self.window(window)?;
            self.searches.extend(reach);
        }
        self.distinct(&select.distinct_clause, &select.target_list, &outputs)?;
        self.sort(&select.sort_clause, &outputs, orderless && select.distinct_clause.is_empty())?;
        self.limits(select.limit_offset.as_deref(), select.limit_count.as_deref(), &select.locking_clause)?;
        self.scope.pop();
        Ok(outputs)
    }

    fn limits(
        &mut self,
        offset: Option<&'a Node>,
        count: Option<&'a Node>,
        locking: &'a [Node],
    ) -> Proven<()> {
        self.predicate(offset)?;
        self.predicate(count)?;
        for clause in locking {
            let Some(Kind::LockingClause(clause)) = kind(clause) else {
                return Err(unsupported("this row lock"));
            };
            for relation in &clause.locked_rels {
                // An alias of FROM, not a table.
                let Some(Kind::RangeVar(range)) = kind(relation) else {
                    return Err(unsupported("this row lock"));
                };
                self.seen.insert((Seen::Range, range.location));
            }
        }
        Ok(())
    }

    /// UNION and its kin: column by column one value of both sides.
    fn set_operation(&mut self, select: &'a protobuf::SelectStmt, set: SetOperation) -> Proven<Outputs> {
        let (Some(left), Some(right)) = (select.larg.as_deref(), select.rarg.as_deref()) else {
            return Err(unsupported("this set operation"));
        };
        self.places = true;
        let left = self.select(left)?;
        self.places = true;
        let right = self.select(right)?;
        let told_apart = set != SetOperation::SetopUnion || !select.all;
        self.both(&left, &right, told_apart)
    }

    /// The columns of two results one below the other, under the names of the first.
    pub(in crate::statement) fn both(
        &mut self,
        left: &Outputs,
        right: &Outputs,
        told_apart: bool,
    ) -> Proven<Outputs> {
        let sure = |outputs: &Outputs| outputs.columns.iter().all(|output| output.place == Place::Sure);
        if !(sure(left) && sure(right) && left.columns.len() == right.columns.len()) {
            if left.carries() || right.carries() {
                return Err(refuse(
                    "set-operation",
                    "* of a classified table in UNION, INTERSECT or EXCEPT, or another number of columns on one side",
                    "List the columns instead of *.",
                ));
            }
            self.settle_outputs(left)?;
            self.settle_outputs(right)?;
            return Ok(Outputs {
                columns: vec![Output {
                    name: None,
                    flow: Flow::Plain,
                    place: Place::Open,
                    told: Told::default(),
                }],
            });
        }
        let mut columns = Vec::with_capacity(left.columns.len());
        for (one, other) in left.columns.iter().zip(&right.columns) {
            self.settle_unnamed(one)?;
            let flow = self.join(&[one.flow.clone(), other.flow.clone()])?;
            if told_apart {
                self.told_apart(&flow)?;
            }
            let told = one.told.beside(other.told);
            columns.push(Output { name: one.name.clone(), flow, place: Place::Sure, told });
        }
        Ok(Outputs { columns })
    }

    /// Equal ones of these values become one.
    pub(in crate::statement) fn told_apart(&mut self, flow: &Flow) -> Proven<()> {
        if let Flow::Open(class) = flow {
            self.classes.used(*class, Use::Distinguish)?;
        }
        if let Some(fields) = self.sealed_in(flow)? {
            require(self.snapshot, &fields, Use::Distinguish)?;
            if !same_domain(self.snapshot, &fields, &fields) {
                return Err(self.other_domain(&fields, &fields));
            }
        }
        // Nor what becomes text as it is shown.
        if let Flow::Array(elements) | Flow::Folded(Fold::Text, elements) = flow {
            self.settle(elements)?;
        }
        Ok(())
    }

    fn values_query(&mut self, rows: &'a [Node]) -> Proven<Outputs> {
        let mut columns: Vec<Vec<Flow>> = Vec::new();
        for row in rows {
            let Some(Kind::List(row)) = kind(row) else { return Err(unsupported("this VALUES")) };
            columns.resize(columns.len().max(row.items.len()), Vec::new());
            for (column, item) in columns.iter_mut().zip(&row.items) {
                let flow = self.flow(item)?;
                if flow == Flow::Default {
                    return Err(unsupported("DEFAULT in VALUES outside of an INSERT"));
                }
                column.push(flow);
            }
        }
        let mut outputs = Outputs::default();
        for (position, flows) in columns.iter().enumerate() {
            let flow = if flows.len() == rows.len() {
                self.join(flows)?
            } else {
                return Err(unsupported("VALUES of rows of several lengths"));
            };
            outputs.columns.push(Output {
                name: Some(format!("column{}", position + 1)),
                flow,
                place: Place::Sure,
                told: Told::default(),
            });
        }
        Ok(outputs)
    }

    /// WITH: each part is a relation for those behind it, and for the statement. Whoever calls takes
    /// them off again.
    pub(in crate::statement) fn with(&mut self, clause: Option<&'a protobuf::WithClause>) -> Proven<()> {
        let Some(clause) = clause else { return Ok(()) };
        let awaited = |node: &'a Node| match kind(node) {
            Some(Kind::CommonTableExpr(cte)) if clause.recursive => {
                Some(Cte { name: cte.ctename.clone(), outputs: None })
            }
            Some(_) | None => None,
        };
        self.ctes.push(clause.ctes.iter().filter_map(awaited).collect());
        for cte in &clause.ctes {
            let Some(Kind::CommonTableExpr(cte)) = kind(cte) else { return Err(unsupported("this WITH")) };
            let Some(query) = cte.ctequery.as_deref() else { return Err(unsupported("this WITH")) };
            let outputs = match kind(query) {
                Some(Kind::SelectStmt(select)) if clause.recursive && select.larg.is_some() => {
                    self.recursive(cte, select)?
                }
                Some(_) | None => named(&self.query(query)?, &cte.aliascolnames)?,
            };
            let outputs = if cte.search_clause.is_some() || cte.cycle_clause.is_some() {
                if outputs.carries() {
                    return Err(unsupported("SEARCH or CYCLE over a classified column"));
                }
                self.settle_outputs(&outputs)?;
                Outputs {
                    columns: vec![Output {
                        name: None,
                        flow: Flow::Plain,
                        place: Place::Open,
                        told: Told::default(),
                    }],
                }
            } else {
                outputs
            };
            self.define(&cte.ctename, outputs);
        }
        Ok(())
    }

    fn define(&mut self, name: &str, outputs: Outputs) {
        let Some(level) = self.ctes.last_mut() else { return };
        let outputs = Some(Rc::new(outputs));
        match level.iter_mut().find(|cte| cte.name == name) {
            Some(known) => known.outputs = outputs,
            None => level.push(Cte { name: name.to_owned(), outputs }),
        }
    }

    /// A query that may name itself: what it starts from says what it is, and what it adds must be
    /// the same.
    fn recursive(
        &mut self,
        cte: &'a protobuf::CommonTableExpr,
        select: &'a protobuf::SelectStmt,
    ) -> Proven<Outputs> {
        let (Some(start), Some(step)) = (select.larg.as_deref(), select.rarg.as_deref()) else {
            return Err(unsupported("this WITH RECURSIVE"));
        };
        if select.with_clause.is_some() || !select.sort_clause.is_empty() || select.limit_count.is_some() {
            let outputs = self.select(select)?;
            return named(&outputs, &cte.aliascolnames);
        }
        self.limits(select.limit_offset.as_deref(), None, &select.locking_clause)?;
        let mut outputs = named(&self.select(start)?, &cte.aliascolnames)?;
        for pass in 0..RECURSIONS_MAX {
            self.define(&cte.ctename, outputs.clone());
            self.again += usize::from(pass > 0);
            let step = self.select(step)?;
            self.again -= usize::from(pass > 0);
            let both = self.both(&outputs, &step, !select.all)?;
            let settled =
                both.columns.iter().zip(&outputs.columns).all(|(one, other)| one.flow == other.flow);
            outputs = both;
            if settled {
                return Ok(outputs);
            }
        }
        Err(unsupported("WITH RECURSIVE whose columns become something else in each step"))
    }

    pub(in crate::statement) fn targets(&mut self, targets: &'a [Node], places: bool) -> Proven<Outputs> {
        let mut outputs = Outputs::default();
        for target in targets {
            let Some(Kind::ResTarget(target)) = kind(target) else {
                return Err(unsupported("an output of this form"));
            };
            let Some(value) = target.val.as_deref() else {
                return Err(unsupported("an output of this form"));
            };
            if let Some(Kind::ColumnRef(column)) = kind(value)
                && matches!(column.fields.last().and_then(kind), Some(Kind::AStar(_)))
            {
                let mut star = self.star(column)?;
                if places && star.carries() {
                    star = self.written_out(column).unwrap_or(star);
                }
                outputs.columns.extend(star.columns);
                self.bounded(&outputs)?;
                continue;
            }
            let flow = self.flow(value)?;
            if flow == Flow::Default {
                return Err(unsupported("DEFAULT as an output"));
            }
            if target.name.is_empty() {
                self.keep_name(value, &flow)?;
            }
            // `(expression).*`: as many columns as its type has.
            let place = if is_row_star(value) { Place::Open } else { Place::Sure };
            outputs.columns.push(Output { name: output_name(target, value), flow, place, told: told(value) });
        }
        Ok(outputs)
    }

    /// An output without a name has that of the call that it is: `lower(email)` keeps it when the call goes.
    fn keep_name(&mut self, value: &'a Node, flow: &Flow) -> Proven<()> {
        let Some(Kind::FuncCall(call)) = named_by(value) else { return Ok(()) };
        let name = tree::last_name(&call.funcname).filter(|name| matches!(*name, "lower" | "upper"));
        let Some(name) = name else { return Ok(()) };
        let inner = if let Flow::Folded(_, inner) = flow { Some(&**inner) } else { None };
        let class = if let Some(Flow::Open(class)) = inner { Some(*class) } else { None };
        if class.is_none() && !self.is_folded(flow)? {
            return Ok(());
        }
        let at = usize::try_from(call.location)
            .ok()
            .and_then(|start| end_of_call(self.text, start, self.conforming));
        // Within parentheses of its own no name can stand.
        let start = usize::try_from(call.location).unwrap_or_default();
        let bare = !self.text.get(..start).unwrap_or_default().trim_end().ends_with('(');
        let at = at.filter(|_| bare && matches!(kind(value), Some(Kind::FuncCall(_))));
        let edit = at.map(|at| Edit { span: at..at, new: format!(" AS {name}").into_bytes(), quotes: false });
        match (edit, class) {
            (Some(edit), Some(class)) => self.classes.when_sealed(class, edit),
            (Some(edit), None) => self.edits.push(edit),
            (None, Some(_)) => {
                self.settle(flow)?;
            }
            (None, None) => {
                return Err(refuse(
                    "function",
                    "an output has the name of lower() or upper() of a sealed column",
                    "Give it a name of its own: lower(email)::text AS email.",
                ));
            }
        }
        Ok(())
    }

    /// The same of a cast that becomes one to text: what it would be called is no name for it.
    fn settle_unnamed(&mut self, output: &Output) -> Proven<()> {
        if let (None, Flow::Open(class)) = (&output.name, &output.flow)
            && self.classes.changes_text(*class)
        {
            self.settle(&output.flow)?;
        }
        Ok(())
    }

    /// A bare name or position in GROUP BY or ORDER BY that means an output column.
    fn output_meant(&self, node: &Node, outputs: &Outputs) -> Proven<Option<Flow>> {
        match kind(node) {
            Some(Kind::AConst(constant)) => {
                let Some(protobuf::a_const::Val::Ival(position)) = &constant.val else { return Ok(None) };
                let meant = usize::try_from(position.ival)
                    .ok()
                    .and_then(|position| position.checked_sub(1))
                    .and_then(|position| outputs.columns.get(position));
                if outputs.is_open() && outputs.carries() {
                    return Err(unsupported("a position in GROUP BY or ORDER BY beside *"));
                }
                Ok(meant.map(|output| output.flow.clone()))
            }
            Some(Kind::ColumnRef(column)) => {
                let [only] = column.fields.as_slice() else { return Ok(None) };
                let Some(name) = tree::name(only) else { return Ok(None) };
                let mut all = outputs.columns.iter().filter(|output| output.name.as_deref() == Some(name));
                match (all.next(), all.next()) {
                    (None, _) => Ok(None),
                    (Some(one), None) => Ok(Some(one.flow.clone())),
                    (Some(one), Some(two)) if one.flow == two.flow && all.next().is_none() => {
                        Ok(Some(one.flow.clone()))
                    }
                    (Some(_), Some(_)) if !outputs.carries() => Ok(Some(Flow::Plain)),
                    (Some(_), Some(_)) => Err(unsupported("a name that several output columns have")),
                }
            }
            Some(_) | None => Ok(None),
        }
    }

    /// `sets`: of several groupings each has only some of the columns, a key perhaps not among them.
    fn group(&mut self, nodes: &'a [Node], outputs: &Outputs, sets: bool) -> Proven<()> {
        let sets = sets || nodes.iter().any(|node| matches!(kind(node), Some(Kind::GroupingSet(_))));
        let keyed = if sets { BTreeSet::new() } else { self.keyed_nodes(nodes) };
        for node in nodes {
            if let Some((index, _)) = self.column_of(node)
                && keyed.contains(&index)
            {
                let flow = self.flow(node)?;
                let reach = match self.sealed_in(&flow)? {
                    Some(fields) => fields,
                    None => self.settle(&flow)?,
                };
                self.searches.extend(reach);
                continue;
            }
            if let Some(Kind::GroupingSet(set)) = kind(node) {
                self.group(&set.content, outputs, true)?;
                continue;
            }
            if let Some(Kind::RowExpr(row)) = kind(node) {
                self.group(&row.args, outputs, sets)?;
                continue;
            }
            self.distinguish(node, outputs)?;
        }
        Ok(())
    }

    /// GROUP BY, DISTINCT ON, PARTITION BY: values are told apart. A bare name is judged as the column
    /// and as the output it may mean.
    pub(in crate::statement) fn distinguish(&mut self, node: &'a Node, outputs: &Outputs) -> Proven<()> {
        if let Some(meant) = self.output_meant(node, outputs)? {
            self.grouped_by(&meant)?;
            if let Some(Kind::ColumnRef(column)) = kind(node) {
                self.seen.insert((Seen::Column, column.location));
                let flow = self.input_flow(column)?;
                return self.grouped_by(&flow);
            }
        }
        let flow = self.flow(node)?;
        self.grouped_by(&flow)
    }

    fn grouped_by(&mut self, flow: &Flow) -> Proven<()> {
        if let Some(fields) = self.sealed_in(flow)? {
            self.searches.extend(fields);
            return self.told_apart(flow);
        }
        if matches!(flow, Flow::Open(_) | Flow::Array(_)) {
            return self.told_apart(flow);
        }
        let reach = self.settle(flow)?;
        self.searches.extend(reach);
        Ok(())
    }

    /// The arguments of GROUPING(), which are those of GROUP BY.
    pub(in crate::statement) fn grouped(&mut self, nodes: &'a [Node]) -> Proven<Fields> {
        for node in nodes {
            self.distinguish(node, &Outputs::default())?;
        }
        Ok(Fields::new())
    }

    /// The input column of a bare name that is also an output's; plain if there is none.
    fn input_flow(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Flow> {
        let found = match column.fields.first().and_then(tree::name).map(|name| self.scope.unqualified(name))
        {
            Some(Ok(found)) => found,
            Some(Err(unproven)) if is_unfit(&unproven) => return Err(unproven),
            Some(Err(_)) | None => Flow::Plain,
        };
        self.found(found)
    }

    fn distinct(&mut self, clause: &'a [Node], targets: &'a [Node], outputs: &Outputs) -> Proven<()> {
        if clause.is_empty() {
            return Ok(());
        }
        // Plain DISTINCT is a list of one empty node.
        if clause.iter().all(|node| kind(node).is_none()) {
            let keyed = self.keyed_outputs(targets, outputs);
            let told = outputs.columns.iter().zip(keyed).filter(|(_, keyed)| !keyed);
            return told.into_iter().try_for_each(|(output, _)| self.told_apart(&output.flow));
        }
        clause.iter().try_for_each(|node| self.distinguish(node, outputs))
    }

    pub(in crate::statement) fn sort(
        &mut self,
        nodes: &'a [Node],
        outputs: &Outputs,
        orderless: bool,
    ) -> Proven<()> {
        for node in nodes {
            let Some(Kind::SortBy(sort)) = kind(node) else { return Err(unsupported("this ORDER BY")) };
            let Some(by) = sort.node.as_deref() else { return Err(unsupported("this ORDER BY")) };
            let flow = match self.output_meant(by, outputs)? {
                Some(meant) => {
                    self.sorted_by(&meant, orderless)?;
                    match kind(by) {
                        Some(Kind::ColumnRef(column)) => {
                            self.seen.insert((Seen::Column, column.location));
                            self.input_flow(column)?
                        }
                        Some(_) | None => self.flow(by)?,
                    }
                }
                None => self.flow(by)?,
            };
            self.sorted_by(&flow, orderless)?;
        }
        Ok(())
    }

    fn sorted_by(&mut self, flow: &Flow, orderless: bool) -> Proven<()> {
        if orderless {
            return Ok(());
        }
        if let Some(fields) = self.sealed_in(flow)? {
            return require(self.snapshot, &fields, Use::Order);
        }
        if let Flow::Open(class) = flow {
            return self.classes.used(*class, Use::Order);
        }
        let reach = self.settle(flow)?;
        self.searches.extend(reach);
        Ok(())
    }
}

/// How often a recursive query is read until its columns stay what they are.
const RECURSIONS_MAX: usize = 4;

/// Is the result a number of rows, and nothing that rests on their order?
fn counts_alone(select: &protobuf::SelectStmt) -> bool {
    let is_count = |node: &Node| {
        let Some(Kind::ResTarget(target)) = kind(node) else { return false };
        let Some(Kind::FuncCall(call)) = target.val.as_deref().and_then(kind) else { return false };
        call.agg_star
            && call.over.is_none()
            && call.agg_filter.is_none()
            && tree::last_name(&call.funcname) == Some("count")
    };
    select.from_clause.len() == 1
        && !select.target_list.is_empty()
        && select.target_list.iter().all(is_count)
        && select.group_clause.is_empty()
        && select.where_clause.is_none()
}

/// The call, or whatever else, from which the server takes the name of an output.
fn named_by(value: &Node) -> Option<&Kind> {
    let kind = kind(value)?;
    let below = if let Kind::TypeCast(cast) = kind {
        &cast.arg
    } else if let Kind::CollateClause(clause) = kind {
        &clause.arg
    } else if let Kind::CaseExpr(case) = kind {
        &case.defresult
    } else {
        return Some(kind);
    };
    named_by(below.as_deref()?)
}

fn is_row_star(value: &Node) -> bool {
    let Some(Kind::AIndirection(selection)) = kind(value) else { return false };
    matches!(selection.indirection.last().and_then(kind), Some(Kind::AStar(_)))
}

/// The name of an output column; None where the server makes one up.
fn output_name(target: &protobuf::ResTarget, value: &Node) -> Option<String> {
    if !target.name.is_empty() {
        return Some(target.name.clone());
    }
    let Some(Kind::ColumnRef(column)) = kind(value) else { return None };
    tree::last_name(&column.fields).map(str::to_owned)
}
