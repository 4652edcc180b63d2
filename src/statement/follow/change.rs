//! INSERT, UPDATE and DELETE: what is assigned to which column.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, CmdType, Node, OnConflictAction, ReturningOptionKind};

use crate::catalog::{FieldId, Refused};

use super::super::facts::{Remedy, Unproven};
use super::super::read::literal::quoted_name;
use super::super::read::spelling::end_of_target;
use super::super::read::tree::kind;
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::algebra::Use;
use super::classes::{Fields, Flow, require};
use super::flow::Walk;
use super::from::unfit;
use super::scope::{Columns, Outputs, Place, Source, fitting};

impl<'a> Walk<'a> {
    pub(in crate::statement) fn insert(&mut self, insert: &'a protobuf::InsertStmt) -> Proven<Outputs> {
        let protobuf::InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        let level = self.ctes.len();
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this INSERT")) };
        let target = self.target(range)?;
        refuse_unfit(&target, |refused| &refused.inserts)?;
        let fields = insert_targets(cols, &target)?;
        match select_stmt.as_deref().map(|node| (kind(node), node)) {
            None => must_fill(&target, |_| false)?,
            Some((Some(Kind::SelectStmt(select)), _)) if is_plain_values(select) => {
                if cols.is_empty() {
                    let Some(Kind::List(row)) = select.values_lists.first().and_then(kind) else {
                        return Err(unlisted());
                    };
                    self.name_columns(range, &target, row.items.len())?;
                }
                self.insert_rows(&select.values_lists, &fields, !cols.is_empty())?;
                for row in &select.values_lists {
                    let Some(Kind::List(row)) = kind(row) else { return Err(unsupported("this VALUES")) };
                    filled_by(&row.items, cols, &target)?;
                }
            }
            Some((_, query)) => {
                self.places = true;
                let outputs = self.query(query)?;
                if cols.is_empty() && matches!(target.columns, Columns::Table(_)) {
                    if outputs.columns.iter().any(|output| output.place != Place::Sure) {
                        return Err(unlisted());
                    }
                    self.name_columns(range, &target, outputs.columns.len())?;
                }
                filled(outputs.columns.len(), cols, &target)?;
                self.insert_outputs(&outputs, &fields, !cols.is_empty())?;
            }
        }
        if let Some(clause) = on_conflict_clause {
            self.on_conflict(clause, &target)?;
        }
        let outputs = self.returning(returning_clause.as_ref(), &target.clone(), vec![target])?;
        self.ctes.truncate(level);
        Ok(outputs)
    }

    /// Writes out which columns an INSERT without a list means, so that the values go where they
    /// were judged to go, whatever becomes of the table until it runs.
    fn name_columns(&mut self, range: &protobuf::RangeVar, target: &Source<'a>, count: usize) -> Proven<()> {
        let Columns::Table(relation) = &target.columns else { return Ok(()) };
        if self.kept {
            return Err(unlisted());
        }
        let meant = || relation.columns.iter().take(count);
        meant().try_for_each(|column| fitting(relation, column))?;
        let names = meant().map(|column| quoted_name(&column.name));
        let names: Vec<String> = names.collect();
        let at = usize::try_from(range.location).ok();
        let end = at.and_then(|at| end_of_target(self.text, at));
        let end = end.ok_or_else(|| unsupported("an INSERT whose target is not read"))?;
        self.insertions.insert(end, format!(" ({})", names.join(", ")));
        self.positional = true;
        Ok(())
    }

    fn insert_rows(&mut self, rows: &'a [Node], fields: &[Option<FieldId>], listed: bool) -> Proven<()> {
        for row in rows {
            let Some(Kind::List(row)) = kind(row) else { return Err(unsupported("this VALUES")) };
            self.insert_row(&row.items, fields, listed)?;
        }
        Ok(())
    }

    fn insert_row(&mut self, items: &'a [Node], fields: &[Option<FieldId>], listed: bool) -> Proven<()> {
        let classified = fields.iter().any(Option::is_some);
        if classified && (items.len() > fields.len() || listed && items.len() != fields.len()) {
            return Err(unsupported("a row of VALUES that does not fit its columns"));
        }
        for (position, item) in items.iter().enumerate() {
            match fields.get(position).copied().flatten() {
                Some(field) => self.assign(field, item)?,
                None => self.store_unclassified(item)?,
            }
        }
        Ok(())
    }

    /// The columns of a query, which become those of a table.
    fn insert_outputs(&mut self, outputs: &Outputs, fields: &[Option<FieldId>], listed: bool) -> Proven<()> {
        let classified = fields.iter().any(Option::is_some);
        let sure = outputs.columns.iter().all(|output| output.place == Place::Sure);
        if !sure && (classified || outputs.carries()) {
            return Err(refuse(
                "unsupported-form",
                "INSERT of the columns of * to or from a classified table, whose order the catalog alone tells",
                "List the columns instead of *.",
            ));
        }
        if classified
            && (outputs.columns.len() > fields.len() || listed && outputs.columns.len() != fields.len())
        {
            return Err(unsupported("a query whose columns do not fit those of the INSERT"));
        }
        for (position, output) in outputs.columns.iter().enumerate() {
            match fields.get(position).copied().flatten() {
                Some(field) => self.store(field, &output.flow)?,
                None => self.store_plain(&output.flow)?,
            }
        }
        Ok(())
    }

    /// A value for a column that is not classified: nothing classified may reach it.
    fn store_unclassified(&mut self, node: &'a Node) -> Proven<()> {
        let flow = self.flow(node)?;
        self.store_plain(&flow)
    }

    pub(in crate::statement) fn store_plain(&mut self, flow: &Flow) -> Proven<()> {
        let legible = match self.sealed_in(flow)? {
            Some(_) => None,
            None => Some(self.settle(flow)?),
        };
        if legible.is_some_and(|fields| fields.is_empty()) {
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
                self.index_element(element)?;
            }
            self.predicate(infer.where_clause.as_deref())?;
            self.scope.pop();
        }
        if *action != OnConflictAction::OnconflictUpdate as i32 {
            return Ok(());
        }
        refuse_unfit(target, |refused| &refused.updates)?;
        let excluded = target.under("excluded", false);
        self.scope.push(vec![target.clone(), excluded]);
        self.assignments(target_list, target)?;
        self.predicate(where_clause.as_deref())?;
        self.scope.pop();
        Ok(())
    }

    /// A column or expression of an index, or of ON CONFLICT's inference.
    fn index_element(&mut self, element: &'a protobuf::IndexElem) -> Proven<()> {
        if let Some(expression) = element.expr.as_deref() {
            let reach = self.value(expression)?;
            self.searches.extend(reach);
        }
        if element.name.is_empty() {
            return Ok(());
        }
        if let Flow::Field(id) = self.scope.unqualified(&element.name)? {
            require(self.snapshot, &Fields::from([id]), Use::Compare)?;
            self.searches.insert(id);
        }
        Ok(())
    }

    /// SET column = value, of UPDATE and of ON CONFLICT DO UPDATE.
    fn assignments(&mut self, targets: &'a [Node], relation: &Source<'a>) -> Proven<()> {
        for target in targets {
            let Some(Kind::ResTarget(target)) = kind(target) else { return Err(unsupported("this SET")) };
            let field = target_field(&target.name, relation)?;
            refuse_assigned(&target.name, relation)?;
            if field.is_some() && !target.indirection.is_empty() {
                return Err(unsupported("SET of a part of a classified column"));
            }
            self.indirection(&target.indirection)?;
            let Some(value) = target.val.as_deref() else { return Err(unsupported("this SET")) };
            let assigned = self.assigned(value)?;
            if assigned.is_default() {
                must_fill(relation, |name| name != target.name)?;
            }
            match (assigned, field) {
                (Assigned::Node(value), Some(field)) => self.assign(field, value)?,
                (Assigned::Node(value), None) => self.store_unclassified(value)?,
                (Assigned::Flow(flow), Some(field)) => self.store(field, &flow)?,
                (Assigned::Flow(flow), None) => self.store_plain(&flow)?,
            }
        }
        Ok(())
    }

    /// What is assigned to one column: an expression, or a column of a subquery that several share.
    fn assigned(&mut self, value: &'a Node) -> Proven<Assigned<'a>> {
        let Some(Kind::MultiAssignRef(many)) = kind(value) else { return Ok(Assigned::Node(value)) };
        let Some(source) = many.source.as_deref() else { return Err(unsupported("this SET")) };
        let position = usize::try_from(many.colno).ok().and_then(|column| column.checked_sub(1));
        let position = position.ok_or_else(|| unsupported("this SET"))?;
        let columns = usize::try_from(many.ncolumns).map_err(|_| unsupported("this SET"))?;
        match kind(source) {
            Some(Kind::RowExpr(row)) if row.args.len() == columns => {
                row.args.get(position).map(Assigned::Node).ok_or_else(|| unsupported("this SET"))
            }
            Some(Kind::SubLink(link)) => {
                let outputs = match self.assigned.get(&link.location) {
                    Some(outputs) => outputs.clone(),
                    None => {
                        let Some(query) = link.subselect.as_deref() else {
                            return Err(unsupported("this SET"));
                        };
                        let outputs = self.query(query)?;
                        self.assigned.insert(link.location, outputs.clone());
                        outputs
                    }
                };
                let sure = outputs.columns.iter().all(|output| output.place == Place::Sure);
                if !sure || outputs.columns.len() != columns {
                    return Err(unsupported("SET of the columns of *"));
                }
                let output = outputs.columns.get(position).ok_or_else(|| unsupported("this SET"))?;
                Ok(Assigned::Flow(output.flow.clone()))
            }
            Some(_) | None => Err(unsupported("this SET")),
        }
    }

    pub(in crate::statement) fn update(&mut self, update: &'a protobuf::UpdateStmt) -> Proven<Outputs> {
        let protobuf::UpdateStmt {
            relation,
            target_list,
            where_clause,
            from_clause,
            returning_clause,
            with_clause,
        } = update;
        let level = self.ctes.len();
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this UPDATE")) };
        let target = self.target(range)?;
        refuse_unfit(&target, |refused| &refused.updates)?;
        let sources = self.from(from_clause, vec![target.clone()], false)?;
        self.scope.push(sources);
        self.assignments(target_list, &target)?;
        self.predicate(where_clause.as_deref())?;
        let sources = self.scope.pop();
        let outputs = self.returning(returning_clause.as_ref(), &target, sources)?;
        self.ctes.truncate(level);
        Ok(outputs)
    }

    pub(in crate::statement) fn delete(&mut self, delete: &'a protobuf::DeleteStmt) -> Proven<Outputs> {
        let protobuf::DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } =
            delete;
        let level = self.ctes.len();
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this DELETE")) };
        let target = self.target(range)?;
        refuse_unfit(&target, |refused| &refused.deletes)?;
        self.writes_all(&target);
        let sources = self.from(using_clause, vec![target.clone()], false)?;
        self.scope.push(sources);
        self.predicate(where_clause.as_deref())?;
        let sources = self.scope.pop();
        let outputs = self.returning(returning_clause.as_ref(), &target, sources)?;
        self.ctes.truncate(level);
        Ok(outputs)
    }

    pub(in crate::statement) fn merge(&mut self, merge: &'a protobuf::MergeStmt) -> Proven<Outputs> {
        let protobuf::MergeStmt {
            relation,
            source_relation,
            join_condition,
            merge_when_clauses,
            returning_clause,
            with_clause,
        } = merge;
        let level = self.ctes.len();
        self.with(with_clause.as_ref())?;
        let (Some(range), Some(source)) = (relation, source_relation.as_deref()) else {
            return Err(unsupported("this MERGE"));
        };
        let target = self.target(range)?;
        let sources = self.from(std::slice::from_ref(source), vec![target.clone()], false)?;
        self.scope.push(sources);
        self.predicate(join_condition.as_deref())?;
        for when in merge_when_clauses {
            let Some(Kind::MergeWhenClause(when)) = kind(when) else { return Err(unsupported("this MERGE")) };
            self.predicate(when.condition.as_deref())?;
            match CmdType::try_from(when.command_type) {
                Ok(CmdType::CmdInsert) => {
                    refuse_unfit(&target, |refused| &refused.inserts)?;
                    if when.target_list.is_empty() && target.carries() && !when.values.is_empty() {
                        return Err(unlisted());
                    }
                    let fields = insert_targets(&when.target_list, &target)?;
                    if !when.values.is_empty() {
                        self.insert_row(&when.values, &fields, !when.target_list.is_empty())?;
                    }
                    filled_by(&when.values, &when.target_list, &target)?;
                }
                Ok(CmdType::CmdUpdate) => {
                    refuse_unfit(&target, |refused| &refused.updates)?;
                    self.assignments(&when.target_list, &target)?;
                }
                Ok(CmdType::CmdDelete) => {
                    refuse_unfit(&target, |refused| &refused.deletes)?;
                    self.writes_all(&target);
                }
                Ok(CmdType::CmdNothing) => {}
                Ok(_) | Err(_) => return Err(unsupported("a part of MERGE of this kind")),
            }
        }
        let mut sources = self.scope.pop();
        // RETURNING * shows the target last.
        sources.rotate_left(1);
        let outputs = self.returning(returning_clause.as_ref(), &target, sources)?;
        self.ctes.truncate(level);
        Ok(outputs)
    }

    fn writes_all(&mut self, target: &Source<'a>) {
        if let Columns::Table(relation) = &target.columns {
            self.writes.extend(relation.columns.iter().filter_map(|column| column.field));
        }
    }

    /// From PostgreSQL 18 on `old` and `new` are the row before and after, unless something
    /// else has the name. An older server knows neither, and says so.
    fn returning(
        &mut self,
        clause: Option<&'a protobuf::ReturningClause>,
        target: &Source<'a>,
        mut sources: Vec<Source<'a>>,
    ) -> Proven<Outputs> {
        let Some(clause) = clause else { return Ok(Outputs::default()) };
        let mut names = ["old".to_owned(), "new".to_owned()];
        for option in &clause.options {
            let Some(Kind::ReturningOption(option)) = kind(option) else {
                return Err(unsupported("RETURNING WITH"));
            };
            match ReturningOptionKind::try_from(option.option) {
                Ok(ReturningOptionKind::ReturningOptionOld) => names[0].clone_from(&option.value),
                Ok(ReturningOptionKind::ReturningOptionNew) => names[1].clone_from(&option.value),
                Ok(ReturningOptionKind::Undefined) | Err(_) => return Err(unsupported("RETURNING WITH")),
            }
        }
        for name in &names {
            if sources.iter().all(|source| source.alias != *name) {
                sources.push(target.under(name, true));
            }
        }
        self.scope.push(sources);
        let outputs = self.targets(&clause.exprs, false)?;
        self.scope.pop();
        Ok(outputs)
    }
}

/// What one column is assigned.
enum Assigned<'a> {
    Node(&'a Node),
    Flow(Flow),
}

impl Assigned<'_> {
    fn is_default(&self) -> bool {
        match self {
            Assigned::Node(node) => matches!(kind(node), Some(Kind::SetToDefault(_))),
            Assigned::Flow(flow) => *flow == Flow::Default,
        }
    }
}

fn unlisted() -> Unproven {
    refuse(
        "unsupported-form",
        "an INSERT of a query into a classified table has no list of columns",
        "List the columns behind the table.",
    )
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
        unless(
            Remedy::Server,
            refuse(
                "column-unknown",
                format!("a target is not a known column of {}", relation.name),
                "Check the names; Sealgate follows a change of the table within moments.",
            ),
        )
    })?;
    fitting(relation, column)?;
    Ok(column.field)
}

/// Refuses an UPDATE of a column that the schema ties to one that is sealed.
fn refuse_assigned(name: &str, target: &Source<'_>) -> Proven<()> {
    let Columns::Table(relation) = &target.columns else { return Ok(()) };
    relation.refused.assigned.get(name).map_or(Ok(()), |why| Err(unfit(relation, why)))
}

/// Refuses a row that leaves it to the schema to fill a column that holds sealed values, where what it would
/// put there is none. `given`: does the row give this column a value?
pub(in crate::statement) fn must_fill(target: &Source<'_>, given: impl Fn(&str) -> bool) -> Proven<()> {
    let Columns::Table(relation) = &target.columns else { return Ok(()) };
    let left = relation.refused.unfilled.iter().find(|(name, _)| !given(name));
    left.map_or(Ok(()), |(_, why)| Err(unfit(relation, why)))
}

/// The same of the first `count` of the columns of an INSERT, or of those of its list.
fn filled(count: usize, cols: &[Node], target: &Source<'_>) -> Proven<()> {
    let Columns::Table(relation) = &target.columns else { return Ok(()) };
    if cols.is_empty() {
        return must_fill(target, |name| {
            relation.columns.iter().take(count).any(|column| &*column.name == name)
        });
    }
    must_fill(target, |name| cols.iter().take(count).filter_map(target_name).any(|given| given == name))
}

/// The same of a row that is written out, in which DEFAULT gives nothing.
fn filled_by(row: &[Node], cols: &[Node], target: &Source<'_>) -> Proven<()> {
    filled(row.len(), cols, target)?;
    let Columns::Table(relation) = &target.columns else { return Ok(()) };
    for (position, item) in row.iter().enumerate() {
        if matches!(kind(item), Some(Kind::SetToDefault(_))) {
            let name = match cols.get(position) {
                Some(col) => target_name(col),
                None => relation.columns.get(position).map(|column| &*column.name),
            };
            must_fill(target, |column| Some(column) != name)?;
        }
    }
    Ok(())
}

fn target_name(col: &Node) -> Option<&str> {
    match kind(col) {
        Some(Kind::ResTarget(col)) => Some(&col.name),
        Some(_) | None => None,
    }
}

/// Refuses a statement of a kind that does what does not fit, whichever columns it names.
fn refuse_unfit(target: &Source<'_>, of: fn(&Refused) -> &Option<Arc<str>>) -> Proven<()> {
    let Columns::Table(relation) = &target.columns else { return Ok(()) };
    of(&relation.refused).as_ref().map_or(Ok(()), |why| Err(unfit(relation, why)))
}
