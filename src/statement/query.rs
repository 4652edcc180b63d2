//! SELECT, INSERT, UPDATE and DELETE: which clause asks what of the expressions in it.

use std::rc::Rc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, OnConflictAction, SetOperation};

use crate::catalog::{FieldId, Named, Relation, RelationKind};

use super::census::{Census, census};
use super::flow::{Flow, Seen, Walk};
use super::refusal::{Proven, refuse, unsupported};
use super::scope::{Carried, Columns, Output, Outputs, Source};
use super::tree::{self, kind};

/// Does any relation of this census matter?
pub(super) fn names_relation_that_matters(walk: &Walk<'_>, found: &Census) -> bool {
    found.ranges.iter().any(|range| {
        let schema = Some(range.schema.as_str()).filter(|schema| !schema.is_empty());
        !matches!(walk.snapshot.named(schema, &range.name), Named::Harmless)
    })
}

impl<'a> Walk<'a> {
    /// Any query, at the top, in WITH or as a subquery.
    pub(super) fn query(&mut self, node: &'a Node) -> Proven<Outputs> {
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
    pub(super) fn emit(&mut self, outputs: &Outputs) {
        for output in &outputs.columns {
            match &output.carried {
                Carried::Plain => {}
                Carried::Field(id) => {
                    self.reads.insert(*id);
                }
                Carried::Derived(ids) => {
                    self.reads.extend(ids.iter().copied());
                    self.derived_reads.extend(ids.iter().copied());
                }
            }
        }
    }

    // ---- SELECT ---------------------------------------------------------------------

    pub(super) fn select(&mut self, select: &'a protobuf::SelectStmt) -> Proven<Outputs> {
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
            .map(|n| Output { name: Some(format!("column{n}")), carried: Carried::Plain })
            .collect();
        Ok(Outputs { columns, open: false })
    }

    /// WITH: a part that names a classified table is refused, so every name that WITH
    /// defines stands for unclassified rows.
    fn with(&mut self, clause: Option<&'a protobuf::WithClause>) -> Proven<()> {
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
            if found.incomplete || names_relation_that_matters(self, &found) {
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

    pub(super) fn targets(&mut self, targets: &'a [Node]) -> Proven<Outputs> {
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
                outputs.open |= star.open;
                outputs.columns.extend(star.columns);
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
            outputs.columns.push(Output { name: output_name(target, value), carried });
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
                if outputs.open && outputs.carries() {
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
                self.input_flow(column)
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
    fn input_flow(&mut self, column: &'a protobuf::ColumnRef) -> Flow<'a> {
        let carried = column
            .fields
            .first()
            .and_then(tree::name)
            .and_then(|name| self.scope.unqualified(name).ok())
            .unwrap_or(Carried::Plain);
        self.carried_flow(carried)
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

    pub(super) fn sort(&mut self, nodes: &'a [Node], outputs: &Outputs) -> Proven<()> {
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
                    self.input_flow(column)
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

    fn sorted(&self, id: FieldId) -> super::facts::Unproven {
        let path = self.field(id).map_or_else(|_| String::new(), crate::catalog::Field::path);
        refuse(
            "order-by",
            format!("ORDER BY {path}: sealed values have no order"),
            "Order by another column, or sort in the application.",
        )
    }

    // ---- FROM -----------------------------------------------------------------------

    pub(super) fn from(
        &mut self,
        items: &'a [Node],
        mut sources: Vec<Source<'a>>,
    ) -> Proven<Vec<Source<'a>>> {
        for item in items {
            let more = self.source_item(item, &sources)?;
            sources.extend(more);
        }
        Ok(sources)
    }

    fn source_item(&mut self, node: &'a Node, before: &[Source<'a>]) -> Proven<Vec<Source<'a>>> {
        match kind(node) {
            Some(Kind::RangeVar(range)) => Ok(vec![self.relation(range)?]),
            Some(Kind::RangeSubselect(subselect)) => self.derived(subselect, before).map(|one| vec![one]),
            Some(Kind::RangeFunction(function)) => {
                self.source_function(function, before).map(|one| vec![one])
            }
            Some(Kind::JoinExpr(join)) => self.join(join, before),
            _ => Err(unsupported("a part of FROM of this kind")),
        }
    }

    /// A relation by its name: unclassified, classified, or refused.
    pub(super) fn relation(&mut self, range: &'a protobuf::RangeVar) -> Proven<Source<'a>> {
        self.seen.insert((Seen::Range, range.location));
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let alias = range.alias.as_ref();
        let source = |columns, schema: Option<&str>| Source {
            alias: alias.map_or_else(|| range.relname.clone(), |alias| alias.aliasname.clone()),
            schema: if alias.is_some() { None } else { schema.map(str::to_owned) },
            columns,
        };
        let Some(relation) = self.classified(range)? else { return Ok(source(Columns::Unknown, schema)) };
        if !range.inh {
            return Err(unsupported("ONLY"));
        }
        if alias.is_some_and(|alias| !alias.colnames.is_empty()) {
            return Err(unsupported("an alias with column names"));
        }
        Ok(source(Columns::Table(relation), Some(&relation.name.schema)))
    }

    /// The classified table behind a name; None for one that does not matter.
    pub(super) fn classified(&self, range: &protobuf::RangeVar) -> Proven<Option<&'a Relation>> {
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let name = &range.relname;
        match self.snapshot.named(schema, name) {
            Named::Harmless => Ok(None),
            Named::Ambiguous => Err(refuse(
                "relation-ambiguous",
                format!("\"{name}\" is the name of several relations, one of which matters"),
                "Qualify it with its schema.",
            )),
            Named::Missing => Err(refuse(
                "relation-missing",
                format!("the policy names \"{name}\", which the catalog does not have"),
                "Create the table, or correct the policy; another table of that name must be qualified.",
            )),
            Named::One(relation) => {
                if let Some(fault) = &relation.fault {
                    return Err(refuse(
                        "relation-fault",
                        format!("{}: {fault}", relation.name),
                        "Correct the policy or the table; `sealgate check` shows the same.",
                    ));
                }
                if let Some(reaches) = &relation.reaches {
                    return Err(refuse(
                        "relation-reaches",
                        format!("{} leads to classified columns: {reaches}", relation.name),
                        "Use the classified table itself.",
                    ));
                }
                if relation.kind != RelationKind::Table || !relation.is_classified() {
                    return Err(refuse(
                        "relation-reaches",
                        format!("{} is not an ordinary table", relation.name),
                        "Classify and use an ordinary table.",
                    ));
                }
                Ok(Some(relation))
            }
        }
    }

    fn derived(
        &mut self,
        subselect: &'a protobuf::RangeSubselect,
        before: &[Source<'a>],
    ) -> Proven<Source<'a>> {
        let Some(query) = subselect.subquery.as_deref() else { return Err(unsupported("this subquery")) };
        if subselect.lateral {
            self.scope.push(before.to_vec());
        }
        let outputs = self.query(query)?;
        if subselect.lateral {
            self.scope.pop();
        }
        let alias = subselect.alias.as_ref();
        let renamed = alias.is_some_and(|alias| !alias.colnames.is_empty());
        if renamed && outputs.carries() {
            return Err(unsupported("an alias with column names"));
        }
        let columns = if renamed { Columns::Unknown } else { Columns::Derived(Rc::new(outputs)) };
        let alias = alias.map_or_else(String::new, |alias| alias.aliasname.clone());
        Ok(Source { alias, schema: None, columns })
    }

    fn source_function(
        &mut self,
        function: &'a protobuf::RangeFunction,
        before: &[Source<'a>],
    ) -> Proven<Source<'a>> {
        self.scope.push(before.to_vec());
        let mut name = String::new();
        for item in &function.functions {
            let Some(Kind::List(item)) = kind(item) else { return Err(unsupported("this function in FROM")) };
            // The function, and the definition of its columns, which holds types only.
            let Some(call) = item.items.first() else { return Err(unsupported("this function in FROM")) };
            if let Some(Kind::FuncCall(call)) = kind(call) {
                name = tree::last_name(&call.funcname).unwrap_or_default().to_owned();
            }
            let reach = self.value(call)?;
            if !reach.is_empty() {
                return Err(unsupported("a function in FROM over a classified column"));
            }
        }
        self.scope.pop();
        let alias = function.alias.as_ref().map_or(name, |alias| alias.aliasname.clone());
        Ok(unknown_source(&alias))
    }

    fn join(&mut self, join: &'a protobuf::JoinExpr, before: &[Source<'a>]) -> Proven<Vec<Source<'a>>> {
        let (Some(left), Some(right)) = (join.larg.as_deref(), join.rarg.as_deref()) else {
            return Err(unsupported("this join"));
        };
        let left = self.source_item(left, before)?;
        let mut visible = before.to_vec();
        visible.extend(left.iter().cloned());
        let right = self.source_item(right, &visible)?;
        let mut both = left;
        both.extend(right);
        self.scope.push(both);
        self.predicate(join.quals.as_deref())?;
        let both = self.scope.pop();
        let carries = Self::any_carries(&both);
        if carries && (join.is_natural || join.alias.is_some() || join.join_using_alias.is_some()) {
            return Err(unsupported("NATURAL JOIN, or a join with an alias,"));
        }
        for column in join.using_clause.iter().filter_map(tree::name) {
            for source in both.iter().filter(|source| source.carries()) {
                let star = source.star();
                if star.columns.iter().any(|output| {
                    !output.carried.is_plain() && output.name.as_deref().is_none_or(|output| output == column)
                }) {
                    return Err(unsupported("JOIN ... USING over a classified column"));
                }
            }
        }
        if let Some(alias) = &join.alias {
            return Ok(vec![unknown_source(&alias.aliasname)]);
        }
        let mut sources = both;
        if let Some(alias) = &join.join_using_alias {
            sources.push(unknown_source(&alias.aliasname));
        }
        Ok(sources)
    }

    // ---- INSERT, UPDATE, DELETE -----------------------------------------------------

    pub(super) fn insert(&mut self, insert: &'a protobuf::InsertStmt) -> Proven<Outputs> {
        let protobuf::InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this INSERT")) };
        let target = self.relation(range)?;
        let fields = insert_targets(cols, &target)?;
        match select_stmt.as_deref().map(|node| (kind(node), node)) {
            None => {}
            Some((Some(Kind::SelectStmt(select)), _)) if is_plain_values(select) => {
                self.insert_rows(&select.values_lists, &fields, !cols.is_empty())?;
            }
            Some((_, query)) => {
                let outputs = self.query(query)?;
                if outputs.carries() || fields.iter().any(Option::is_some) {
                    return Err(unsupported("INSERT ... SELECT to or from a classified column"));
                }
            }
        }
        if let Some(clause) = on_conflict_clause {
            self.on_conflict(clause, &target)?;
        }
        self.returning(returning_clause.as_ref(), vec![target])
    }

    fn insert_rows(&mut self, rows: &'a [Node], fields: &[Option<FieldId>], listed: bool) -> Proven<()> {
        let classified = fields.iter().any(Option::is_some);
        for row in rows {
            let Some(Kind::List(row)) = kind(row) else { return Err(unsupported("this VALUES")) };
            if classified && (row.items.len() > fields.len() || listed && row.items.len() != fields.len()) {
                return Err(unsupported("a row of VALUES that does not fit its columns"));
            }
            for (position, item) in row.items.iter().enumerate() {
                match fields.get(position).copied().flatten() {
                    Some(field) => self.assign(field, item)?,
                    None => self.store_unclassified(item)?,
                }
            }
        }
        Ok(())
    }

    /// A value for a column that is not classified: nothing classified may reach it.
    fn store_unclassified(&mut self, node: &'a Node) -> Proven<()> {
        if self.value(node)?.is_empty() {
            return Ok(());
        }
        Err(refuse(
            "unsupported-position",
            "a classified column would be copied to one that is not classified",
            "Classify the target column as well, or leave it out.",
        ))
    }

    fn on_conflict(&mut self, clause: &'a protobuf::OnConflictClause, target: &Source<'a>) -> Proven<()> {
        let protobuf::OnConflictClause { action, infer, target_list, where_clause, location: _ } = clause;
        if let Some(infer) = infer {
            self.scope.push(vec![target.clone()]);
            for element in &infer.index_elems {
                let Some(Kind::IndexElem(element)) = kind(element) else {
                    return Err(unsupported("this ON CONFLICT"));
                };
                self.index_element(element, "ON CONFLICT")?;
            }
            self.predicate(infer.where_clause.as_deref())?;
            self.scope.pop();
        }
        if *action != OnConflictAction::OnconflictUpdate as i32 {
            return Ok(());
        }
        let excluded = Source { alias: "excluded".to_owned(), schema: None, columns: target.columns.clone() };
        self.scope.push(vec![target.clone(), excluded]);
        self.assignments(target_list, target)?;
        self.predicate(where_clause.as_deref())?;
        self.scope.pop();
        Ok(())
    }

    /// A column or expression of an index, or of ON CONFLICT's inference.
    pub(super) fn index_element(&mut self, element: &'a protobuf::IndexElem, what: &str) -> Proven<()> {
        if let Some(expression) = element.expr.as_deref() {
            let reach = self.value(expression)?;
            self.searches.extend(reach);
        }
        if element.name.is_empty() {
            return Ok(());
        }
        if let Carried::Field(id) = self.scope.unqualified(&element.name)? {
            if self.is_sealed(id)? {
                self.require_equality(id, what)?;
            }
            self.searches.insert(id);
        }
        Ok(())
    }

    /// SET column = value, of UPDATE and of ON CONFLICT DO UPDATE.
    fn assignments(&mut self, targets: &'a [Node], relation: &Source<'a>) -> Proven<()> {
        for target in targets {
            let Some(Kind::ResTarget(target)) = kind(target) else { return Err(unsupported("this SET")) };
            let field = target_field(&target.name, relation)?;
            if field.is_some() && !target.indirection.is_empty() {
                return Err(unsupported("SET of a part of a classified column"));
            }
            self.indirection(&target.indirection)?;
            let Some(value) = target.val.as_deref() else { return Err(unsupported("this SET")) };
            let value = match kind(value) {
                Some(Kind::MultiAssignRef(many)) => {
                    let Some(source) = many.source.as_deref() else { return Err(unsupported("this SET")) };
                    match kind(source) {
                        Some(Kind::RowExpr(row)) => {
                            let position = usize::try_from(many.colno)
                                .ok()
                                .and_then(|column| column.checked_sub(1))
                                .filter(|_| usize::try_from(many.ncolumns) == Ok(row.args.len()));
                            let value = position.and_then(|position| row.args.get(position));
                            value.ok_or_else(|| unsupported("this SET"))?
                        }
                        Some(_) | None => source,
                    }
                }
                Some(_) | None => value,
            };
            match field {
                Some(field) => self.assign(field, value)?,
                None => self.store_unclassified(value)?,
            }
        }
        Ok(())
    }

    pub(super) fn update(&mut self, update: &'a protobuf::UpdateStmt) -> Proven<Outputs> {
        let protobuf::UpdateStmt {
            relation,
            target_list,
            where_clause,
            from_clause,
            returning_clause,
            with_clause,
        } = update;
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this UPDATE")) };
        let target = self.relation(range)?;
        let sources = self.from(from_clause, vec![target.clone()])?;
        self.scope.push(sources);
        self.assignments(target_list, &target)?;
        self.predicate(where_clause.as_deref())?;
        let sources = self.scope.pop();
        self.returning(returning_clause.as_ref(), sources)
    }

    pub(super) fn delete(&mut self, delete: &'a protobuf::DeleteStmt) -> Proven<Outputs> {
        let protobuf::DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } =
            delete;
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this DELETE")) };
        let target = self.relation(range)?;
        if let Columns::Table(relation) = &target.columns {
            self.writes.extend(relation.columns.iter().filter_map(|column| column.field));
        }
        let sources = self.from(using_clause, vec![target])?;
        self.scope.push(sources);
        self.predicate(where_clause.as_deref())?;
        let sources = self.scope.pop();
        self.returning(returning_clause.as_ref(), sources)
    }

    fn returning(
        &mut self,
        clause: Option<&'a protobuf::ReturningClause>,
        sources: Vec<Source<'a>>,
    ) -> Proven<Outputs> {
        let Some(clause) = clause else { return Ok(Outputs::default()) };
        if !clause.options.is_empty() {
            return Err(unsupported("RETURNING WITH"));
        }
        self.scope.push(sources);
        let outputs = self.targets(&clause.exprs)?;
        self.scope.pop();
        Ok(outputs)
    }
}

fn unknown_source<'a>(alias: &str) -> Source<'a> {
    Source { alias: alias.to_owned(), schema: None, columns: Columns::Unknown }
}

/// Is the source of an INSERT a list of rows and nothing else?
fn is_plain_values(select: &protobuf::SelectStmt) -> bool {
    !select.values_lists.is_empty()
        && select.sort_clause.is_empty()
        && select.limit_count.is_none()
        && select.limit_offset.is_none()
        && select.with_clause.is_none()
        && select.locking_clause.is_empty()
        && select.larg.is_none()
        && select.rarg.is_none()
}

/// The field of each position of an INSERT; empty for an unclassified table.
fn insert_targets(cols: &[Node], target: &Source<'_>) -> Proven<Vec<Option<FieldId>>> {
    let Columns::Table(relation) = &target.columns else { return Ok(Vec::new()) };
    if cols.is_empty() {
        return Ok(relation.columns.iter().map(|column| column.field).collect());
    }
    let mut fields = Vec::with_capacity(cols.len());
    for col in cols {
        let Some(Kind::ResTarget(col)) = kind(col) else { return Err(unsupported("this INSERT")) };
        let field = target_field(&col.name, target)?;
        if !col.indirection.is_empty() {
            return Err(unsupported("INSERT into a part of a column"));
        }
        fields.push(field);
    }
    Ok(fields)
}

/// The field behind a target column; an unknown column of a classified table is refused.
fn target_field(name: &str, target: &Source<'_>) -> Proven<Option<FieldId>> {
    let Columns::Table(relation) = &target.columns else { return Ok(None) };
    let column = relation.column(name).ok_or_else(|| {
        refuse(
            "column-unknown",
            format!("{} has no column \"{name}\" that is known", relation.name),
            "Check the name; after a change of the table Sealgate follows within moments.",
        )
    })?;
    Ok(column.field)
}

/// The name of an output column; None where the server makes one up.
fn output_name(target: &protobuf::ResTarget, value: &Node) -> Option<String> {
    if !target.name.is_empty() {
        return Some(target.name.clone());
    }
    let Some(Kind::ColumnRef(column)) = kind(value) else { return None };
    tree::last_name(&column.fields).map(str::to_owned)
}
