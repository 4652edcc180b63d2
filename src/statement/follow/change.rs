//! INSERT, UPDATE and DELETE: what is assigned to which column.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, OnConflictAction};

use crate::catalog::{FieldId, Refused};

use super::super::facts::Remedy;
use super::super::read::literal::quoted_name;
use super::super::read::spelling::end_of_target;
use super::super::read::tree::kind;
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::flow::Walk;
use super::from::unfit;
use super::scope::{Carried, Columns, Outputs, Source, fitting};

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
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this INSERT")) };
        let target = self.relation(range)?;
        refuse_unfit(&target, |refused| &refused.inserts)?;
        let fields = insert_targets(cols, &target)?;
        if cols.is_empty() && select_stmt.is_some() {
            self.name_columns(range, &target, select_stmt.as_deref())?;
        }
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
        self.returning(returning_clause.as_ref(), &target.clone(), vec![target])
    }

    /// Writes out which columns an INSERT without a list means, so that the values go where they
    /// were judged to go, whatever becomes of the table until it runs.
    fn name_columns(
        &mut self,
        range: &protobuf::RangeVar,
        target: &Source<'a>,
        source: Option<&Node>,
    ) -> Proven<()> {
        let Columns::Table(relation) = &target.columns else { return Ok(()) };
        let rows = match source.and_then(kind) {
            Some(Kind::SelectStmt(select)) => &select.values_lists,
            Some(_) | None => return Err(unsupported("an INSERT without a list of columns")),
        };
        let Some(Kind::List(row)) = rows.first().and_then(kind) else {
            return Err(unsupported("an INSERT of a query without a list of columns"));
        };
        let meant = || relation.columns.iter().take(row.items.len());
        meant().try_for_each(|column| fitting(relation, column))?;
        let names = meant().map(|column| quoted_name(&column.name));
        let names: Vec<String> = names.collect();
        let at = usize::try_from(range.location).ok();
        let text = std::str::from_utf8(self.text).ok();
        let end = at.zip(text).and_then(|(at, text)| end_of_target(text, at));
        let end = end.ok_or_else(|| unsupported("an INSERT whose target is not read"))?;
        self.insertions.insert(end, format!(" ({})", names.join(", ")));
        self.positional = true;
        Ok(())
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
        refuse_unfit(target, |refused| &refused.updates)?;
        let excluded = target.under("excluded", false);
        self.scope.push(vec![target.clone(), excluded]);
        self.assignments(target_list, target)?;
        self.predicate(where_clause.as_deref())?;
        self.scope.pop();
        Ok(())
    }

    /// A column or expression of an index, or of ON CONFLICT's inference.
    fn index_element(&mut self, element: &'a protobuf::IndexElem, what: &str) -> Proven<()> {
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
            refuse_assigned(&target.name, relation)?;
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

    pub(in crate::statement) fn update(&mut self, update: &'a protobuf::UpdateStmt) -> Proven<Outputs> {
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
        refuse_unfit(&target, |refused| &refused.updates)?;
        let sources = self.from(from_clause, vec![target.clone()])?;
        self.scope.push(sources);
        self.assignments(target_list, &target)?;
        self.predicate(where_clause.as_deref())?;
        let sources = self.scope.pop();
        self.returning(returning_clause.as_ref(), &target, sources)
    }

    pub(in crate::statement) fn delete(&mut self, delete: &'a protobuf::DeleteStmt) -> Proven<Outputs> {
        let protobuf::DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } =
            delete;
        self.with(with_clause.as_ref())?;
        let Some(range) = relation else { return Err(unsupported("this DELETE")) };
        let target = self.relation(range)?;
        refuse_unfit(&target, |refused| &refused.deletes)?;
        if let Columns::Table(relation) = &target.columns {
            self.writes.extend(relation.columns.iter().filter_map(|column| column.field));
        }
        let sources = self.from(using_clause, vec![target.clone()])?;
        self.scope.push(sources);
        self.predicate(where_clause.as_deref())?;
        let sources = self.scope.pop();
        self.returning(returning_clause.as_ref(), &target, sources)
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
        if !clause.options.is_empty() {
            return Err(unsupported("RETURNING WITH"));
        }
        for name in ["old", "new"] {
            if sources.iter().all(|source| source.alias != name) {
                sources.push(target.under(name, true));
            }
        }
        self.scope.push(sources);
        let outputs = self.targets(&clause.exprs)?;
        self.scope.pop();
        Ok(outputs)
    }
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

/// Refuses a statement of a kind that does what does not fit, whichever columns it names.
fn refuse_unfit(target: &Source<'_>, of: fn(&Refused) -> &Option<Arc<str>>) -> Proven<()> {
    let Columns::Table(relation) = &target.columns else { return Ok(()) };
    of(&relation.refused).as_ref().map_or(Ok(()), |why| Err(unfit(relation, why)))
}
