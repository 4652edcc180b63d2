//! SELECT, INSERT, UPDATE and DELETE: which clause asks what of the expressions in it.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, SetOperation};

use crate::catalog::{FieldId, Named};

use super::super::matters::names_relation_that_matters;
use super::super::read::census::census;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unsupported};
use super::flow::{Flow, Seen, Walk};
use super::from::unknown_source;
use super::scope::{Carried, Output, Outputs, Place, is_unfit};

impl<'a> Walk<'a> {
    /// Any query, at the top, in WITH or as a subquery.
    pub(in crate::statement) fn query(&mut self, node: &'a Node) -> Proven<Outputs> {
        match kind(node) {
            Some(Kind::SelectStmt(select)) => self.select(select),
            Some(Kind::InsertStmt(insert)) => self.insert(insert),
            Some(Kind::UpdateStmt(update)) => self.update(update),
            Some(Kind::DeleteStmt(delete)) => self.delete(delete),
            Some(Kind::MergeStmt(_)) => Err(unsupported("MERGE")),
            _ => Err(unsupported("a statement of this kind")),
        }
    }

    /// What reaches the client at the end of a statement.
    pub(in crate::statement) fn emit(&mut self, outputs: &Outputs) {
        for output in &outputs.columns {
            match &output.carried {
                Carried::Plain => {}
                Carried::Field(id) => {
                    self.reads.insert(*id);
                }
                Carried::Derived(ids) => self.reads.extend(ids.iter().copied()),
            }
        }
        self.outputs = outputs.told();
    }

    // ---- SELECT ---------------------------------------------------------------------

    fn select(&mut self, select: &'a protobuf::SelectStmt) -> Proven<Outputs> {
        let protobuf::SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option: _,
            locking_clause,
            with_clause,
            op,
            all: _,
            larg,
            rarg,
        } = select;
        if into_clause.is_some() {
            return Err(unsupported("SELECT INTO"));
        }
        self.with(with_clause.as_ref())?;
        if *op != SetOperation::SetopNone as i32 && *op != SetOperation::Undefined as i32 {
            let outputs = self.set_operation(larg.as_deref(), rarg.as_deref())?;
            self.scope.push(vec![unknown_source("")]);
            self.values(sort_clause)?;
            self.scope.pop();
            self.limits(limit_offset.as_deref(), limit_count.as_deref(), locking_clause)?;
            return Ok(outputs);
        }
        if !values_lists.is_empty() {
            let outputs = self.values_query(values_lists)?;
            self.scope.push(vec![unknown_source("")]);
            self.values(sort_clause)?;
            self.scope.pop();
            self.limits(limit_offset.as_deref(), limit_count.as_deref(), locking_clause)?;
            return Ok(outputs);
        }
        let sources = self.from(from_clause, Vec::new())?;
        self.scope.push(sources);
        self.predicate(where_clause.as_deref())?;
        let outputs = self.targets(target_list)?;
        self.group(group_clause, &outputs)?;
        self.predicate(having_clause.as_deref())?;
        for window in window_clause {
            let Some(Kind::WindowDef(window)) = kind(window) else { return Err(unsupported("this WINDOW")) };
            let reach = self.window(window)?;
            self.searches.extend(reach);
        }
        self.distinct(distinct_clause, &outputs)?;
        self.sort(sort_clause, &outputs)?;
        self.limits(limit_offset.as_deref(), limit_count.as_deref(), locking_clause)?;
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

    fn set_operation(
        &mut self,
        left: Option<&'a protobuf::SelectStmt>,
        right: Option<&'a protobuf::SelectStmt>,
    ) -> Proven<Outputs> {
        let (Some(left), Some(right)) = (left, right) else { return Err(unsupported("this set operation")) };
        let left = self.select(left)?;
        let right = self.select(right)?;
        if left.carries() || right.carries() {
            return Err(refuse(
                "set-operation",
                "a classified column is in the result of UNION, INTERSECT or EXCEPT",
                "Run the queries one by one.",
            ));
        }
        Ok(left)
    }

    fn values_query(&mut self, rows: &'a [Node]) -> Proven<Outputs> {
        let mut width = 0;
        for row in rows {
            let Some(Kind::List(row)) = kind(row) else { return Err(unsupported("this VALUES")) };
            let reach = self.values(&row.items)?;
            if !reach.is_empty() {
                return Err(unsupported("VALUES with a classified column"));
            }
            width = row.items.len();
        }
        let columns = (1..=width)
            .map(|n| Output { name: Some(format!("column{n}")), carried: Carried::Plain, place: Place::Sure })
            .collect();
        Ok(Outputs { columns })
    }

    /// WITH: a part that names a classified table is refused, so every name that WITH
    /// defines stands for unclassified rows.
    pub(in crate::statement) fn with(&mut self, clause: Option<&'a protobuf::WithClause>) -> Proven<()> {
        let Some(clause) = clause else { return Ok(()) };
        for cte in &clause.ctes {
            let Some(Kind::CommonTableExpr(cte)) = kind(cte) else { return Err(unsupported("this WITH")) };
            if !matches!(self.snapshot.named(None, &cte.ctename), Named::Harmless) {
                return Err(refuse(
                    "cte",
                    format!(
                        "WITH defines \"{}\", which is also the name of a table that matters",
                        cte.ctename
                    ),
                    "Give it another name.",
                ));
            }
            let Some(query) = cte.ctequery.as_deref() else { return Err(unsupported("this WITH")) };
            let found = census(query);
            if found.incomplete || names_relation_that_matters(self.names, &found) {
                return Err(refuse(
                    "cte",
                    "a part of WITH names a classified table",
                    "Write it as a subquery in FROM.",
                ));
            }
            let outputs = self.query(query)?;
            if outputs.carries() {
                return Err(refuse(
                    "cte",
                    "a part of WITH yields a classified column",
                    "Write it as a subquery.",
                ));
            }
        }
        Ok(())
    }

    pub(in crate::statement) fn targets(&mut self, targets: &'a [Node]) -> Proven<Outputs> {
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
                let star = self.star(column)?;
                outputs.columns.extend(star.columns);
                self.bounded(&outputs)?;
                continue;
            }
            let flow = self.flow(value)?;
            let carried = match flow {
                Flow::Field(id) => Carried::Field(id),
                Flow::Plain(_) | Flow::Text { .. } | Flow::Parameter(_) | Flow::Null | Flow::Default => {
                    let reach = self.settle(&flow)?;
                    if reach.is_empty() {
                        Carried::Plain
                    } else {
                        Carried::Derived(reach.into_iter().collect())
                    }
                }
            };
            // `(expression).*`: as many columns as its type has.
            let place = if is_row_star(value) { Place::Open } else { Place::Sure };
            outputs.columns.push(Output { name: output_name(target, value), carried, place });
        }
        Ok(outputs)
    }

    /// A bare name or position in GROUP BY or ORDER BY that means an output column.
    fn output_meant(&self, node: &Node, outputs: &Outputs) -> Proven<Option<Carried>> {
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
                Ok(meant.map(|output| output.carried.clone()))
            }
            Some(Kind::ColumnRef(column)) => {
                let [only] = column.fields.as_slice() else { return Ok(None) };
                let Some(name) = tree::name(only) else { return Ok(None) };
                let mut all = outputs.columns.iter().filter(|output| output.name.as_deref() == Some(name));
                match (all.next(), all.next()) {
                    (None, _) => Ok(None),
                    (Some(one), None) => Ok(Some(one.carried.clone())),
                    (Some(one), Some(two)) if one.carried == two.carried && all.next().is_none() => {
                        Ok(Some(one.carried.clone()))
                    }
                    (Some(_), Some(_)) if !outputs.carries() => Ok(Some(Carried::Plain)),
                    (Some(_), Some(_)) => Err(unsupported("a name that several output columns have")),
                }
            }
            Some(_) | None => Ok(None),
        }
    }

    fn group(&mut self, nodes: &'a [Node], outputs: &Outputs) -> Proven<()> {
        for node in nodes {
            if let Some(Kind::GroupingSet(set)) = kind(node) {
                self.group(&set.content, outputs)?;
                continue;
            }
            if let Some(Kind::RowExpr(row)) = kind(node) {
                self.group(&row.args, outputs)?;
                continue;
            }
            self.distinguish(node, outputs, "GROUP BY")?;
        }
        Ok(())
    }

    /// GROUP BY and DISTINCT ON: a sealed column may be told apart if it is an equality
    /// field, as itself. A bare name is judged as the column and as the output it may mean.
    fn distinguish(&mut self, node: &'a Node, outputs: &Outputs, what: &str) -> Proven<()> {
        let meant = self.output_meant(node, outputs)?;
        if let Some(Carried::Field(id)) = &meant
            && self.is_sealed(*id)?
        {
            self.require_equality(*id, what)?;
            self.searches.insert(*id);
        }
        let flow = match (kind(node), &meant) {
            // The name of an output need not be that of a column.
            (Some(Kind::ColumnRef(column)), Some(_)) => {
                self.seen.insert((Seen::Column, column.location));
                self.input_flow(column)?
            }
            _ => self.flow(node)?,
        };
        if let Flow::Field(id) = flow
            && self.is_sealed(id)?
        {
            self.require_equality(id, what)?;
            self.searches.insert(id);
            return Ok(());
        }
        let reach = self.settle(&flow)?;
        self.searches.extend(reach);
        Ok(())
    }

    /// The input column of a bare name that is also an output's; plain if there is none.
    fn input_flow(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Flow<'a>> {
        let carried =
            match column.fields.first().and_then(tree::name).map(|name| self.scope.unqualified(name)) {
                Some(Ok(carried)) => carried,
                Some(Err(unproven)) if is_unfit(&unproven) => return Err(unproven),
                Some(Err(_)) | None => Carried::Plain,
            };
        Ok(self.carried_flow(carried))
    }

    fn distinct(&mut self, clause: &'a [Node], outputs: &Outputs) -> Proven<()> {
        if clause.is_empty() {
            return Ok(());
        }
        // Plain DISTINCT is a list of one empty node.
        if clause.iter().all(|node| kind(node).is_none()) {
            for output in &outputs.columns {
                if let Carried::Field(id) = output.carried
                    && self.is_sealed(id)?
                {
                    self.require_equality(id, "DISTINCT")?;
                }
            }
            return Ok(());
        }
        for node in clause {
            self.distinguish(node, outputs, "DISTINCT ON")?;
        }
        Ok(())
    }

    fn sort(&mut self, nodes: &'a [Node], outputs: &Outputs) -> Proven<()> {
        for node in nodes {
            let Some(Kind::SortBy(sort)) = kind(node) else { return Err(unsupported("this ORDER BY")) };
            let Some(by) = sort.node.as_deref() else { return Err(unsupported("this ORDER BY")) };
            let meant = self.output_meant(by, outputs)?;
            if let Some(Carried::Field(id)) = &meant
                && self.is_sealed(*id)?
            {
                return Err(self.sorted(*id));
            }
            let flow = match (kind(by), &meant) {
                (Some(Kind::ColumnRef(column)), Some(_)) => {
                    self.seen.insert((Seen::Column, column.location));
                    self.input_flow(column)?
                }
                _ => self.flow(by)?,
            };
            if let Flow::Field(id) = &flow
                && self.is_sealed(*id)?
            {
                return Err(self.sorted(*id));
            }
            let reach = self.settle(&flow)?;
            self.searches.extend(reach);
        }
        Ok(())
    }

    fn sorted(&self, id: FieldId) -> super::super::facts::Unproven {
        let path = self.field(id).map_or_else(|_| String::new(), crate::catalog::Field::path);
        refuse(
            "order-by",
            format!("ORDER BY {path}: sealed values have no order"),
            "Order by another column, or sort in the application.",
        )
    }
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
