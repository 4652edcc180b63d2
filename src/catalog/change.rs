//! What definitions that are not committed have made of a [`Snapshot`].
//!
//! Nobody but the server sees them before COMMIT, and what a transaction defines it uses at once: a
//! migration makes a table, an index on it, and fills it. So a definition that is wholly understood is
//! told as a list of changes, and the texts behind it are judged by the snapshot with these changes.
//! A change that does not fit what the snapshot has is no guess: there is no such snapshot then.

use std::sync::Arc;

use super::field::{Field, QualifiedName};
use super::own::OwnFound;
use super::path::TEMPORARY;
use super::snapshot::{Column, Relation, RelationKind, Snapshot};
use super::unfit::Refused;

/// One thing that a definition does to relations of which the name matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A table comes to be. `oid`: 0 until the server has said it.
    Created {
        table: QualifiedName,
        columns: Vec<Arc<str>>,
        unless_there: bool,
        oid: u32,
    },
    /// A relation comes to be that leads to one that matters, and may not be used itself.
    Led {
        table: QualifiedName,
        why: Arc<str>,
        unless_there: bool,
    },
    /// A temporary table of this session comes to be, of which columns are copies of classified ones: it is in
    /// [`TEMPORARY`]. `passing`: it goes with its transaction. `oid`: as above.
    Copied {
        table: QualifiedName,
        columns: Vec<(Arc<str>, Option<Origin>)>,
        passing: bool,
        oid: u32,
    },
    Dropped {
        table: QualifiedName,
        if_there: bool,
    },
    /// It has another name, or is in another schema.
    Renamed {
        table: QualifiedName,
        to: QualifiedName,
    },
    ColumnAdded {
        table: QualifiedName,
        column: Arc<str>,
        unless_there: bool,
    },
    ColumnDropped {
        table: QualifiedName,
        column: Arc<str>,
        if_there: bool,
    },
    ColumnRenamed {
        table: QualifiedName,
        column: Arc<str>,
        to: Arc<str>,
    },
    /// An enumeration comes to be that the policy gives to columns.
    Enumerated {
        name: QualifiedName,
        labels: Vec<Arc<str>>,
    },
    /// What was a key may be none any more; of all tables, where none is named.
    Unkeyed {
        table: Option<QualifiedName>,
    },
}

/// The table and column of the field of which something is a copy.
pub type Origin = (QualifiedName, Arc<str>);

impl Change {
    /// The table that it is about, by the name that it had before.
    #[must_use]
    pub fn table(&self) -> Option<&QualifiedName> {
        match self {
            Change::Created { table, .. }
            | Change::Led { table, .. }
            | Change::Copied { table, .. }
            | Change::Dropped { table, .. }
            | Change::Renamed { table, .. }
            | Change::ColumnAdded { table, .. }
            | Change::ColumnDropped { table, .. }
            | Change::ColumnRenamed { table, .. } => Some(table),
            Change::Unkeyed { table } => table.as_ref(),
            Change::Enumerated { .. } => None,
        }
    }
}

/// Epochs of catalogs that are read lie so far apart: those between belong to sessions whose
/// transactions define.
pub const EPOCHS_APART: u64 = 1 << 20;

/// `pg_type.oid` of `text`, which a sealed column is; of other columns no type is looked at.
const TEXT: u32 = 25;

/// No relation has this OID, which belongs to a type.
const NO_RELATION: u32 = 16;

impl Snapshot {
    /// This snapshot as a transaction sees it that has made these changes. None: they do not fit it, and
    /// nobody can tell what there is.
    #[must_use]
    pub fn after<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, epoch: u64) -> Option<Snapshot> {
        let mut after = self.clone();
        for change in changes {
            after.apply(change)?;
        }
        after.settle();
        after.renumber(epoch);
        Some(after)
    }

    fn apply(&mut self, change: &Change) -> Option<()> {
        if let Change::Led { table, .. } | Change::Copied { table, .. } = change
            && self.codes().spoken.may_name(&table.name)
        {
            self.distrust(format!(
                "code of this database names \"{}\", which leads to classified columns",
                table.name
            ));
        }
        if let Change::Led { table, why, unless_there: false } = change
            && self.relation(&table.schema, &table.name).is_some_and(|known| known.kind == RelationKind::View)
        {
            // Whatever comes in the place of a view, nobody has read it.
            self.unfollow();
            self.take(table)?;
            self.relations_of(&table.name)
                .push(Relation { reaches: Some(why.clone()), ..empty(table, 0, 0) });
            return Some(());
        }
        if let Some(copy) = change.table().filter(|table| *table.schema == *TEMPORARY) {
            return self.apply_to_copy(copy, change);
        }
        let known = change.table().and_then(|table| self.relation(&table.schema, &table.name));
        if known.is_some_and(|known| known.kind != RelationKind::Table || known.reaches.is_some()) {
            return None;
        }
        if !matches!(change, Change::Unkeyed { .. } | Change::Enumerated { .. }) {
            self.unfollow();
        }
        match change {
            // It was looked at above.
            Change::Copied { .. } => return None,
            Change::Created { table, columns, unless_there, oid } => {
                if self.relation(&table.schema, &table.name).is_some() {
                    return unless_there.then_some(());
                }
                let relation = self.created(table, columns, *oid)?;
                self.relations_of(&table.name).push(relation);
            }
            Change::Led { table, why, unless_there } => {
                if self.relation(&table.schema, &table.name).is_some() {
                    return unless_there.then_some(());
                }
                let relation = Relation { reaches: Some(why.clone()), ..empty(table, 0, 0) };
                self.relations_of(&table.name).push(relation);
            }
            Change::Dropped { table, if_there } => {
                if self.take(table).is_none() {
                    return if_there.then_some(());
                }
            }
            Change::Renamed { table, to } => {
                let mut relation = self.take(table)?;
                if self.relation(&to.schema, &to.name).is_some() || relation.reaches.is_some() {
                    return None;
                }
                relation.name = to.clone();
                self.fit(&mut relation)?;
                self.relations_of(&to.name).push(relation);
            }
            Change::ColumnAdded { table, column, unless_there } => {
                let mut relation = self.take(table)?;
                if relation.column(column).is_some() {
                    if !unless_there {
                        return None;
                    }
                } else if !relation.columns.is_empty() {
                    let number = relation.attributes.checked_add(1)?;
                    relation.attributes = number;
                    relation.columns.push(self.column_of(table, column, number));
                }
                self.fit(&mut relation)?;
                self.relations_of(&table.name).push(relation);
            }
            Change::ColumnDropped { table, column, if_there } => {
                let mut relation = self.take(table)?;
                let before = relation.columns.len();
                relation.columns.retain(|one| one.name != *column);
                relation.keys.retain(|key| !key.contains(column));
                let unchanged = before == relation.columns.len();
                if unchanged && !if_there && before > 0 {
                    return None;
                }
                self.fit(&mut relation)?;
                self.relations_of(&table.name).push(relation);
            }
            Change::ColumnRenamed { table, column, to } => {
                let mut relation = self.take(table)?;
                if relation.column(to).is_some() {
                    return None;
                }
                let known = !relation.columns.is_empty();
                match relation.columns.iter_mut().find(|one| one.name == *column) {
                    Some(found) => {
                        found.name = to.clone();
                        relation.keys.clear();
                    }
                    None if known => return None,
                    None => {}
                }
                self.fit(&mut relation)?;
                self.relations_of(&table.name).push(relation);
            }
            Change::Unkeyed { table: Some(table) } => {
                let mut relation = self.take(table)?;
                relation.keys.clear();
                self.relations_of(&table.name).push(relation);
            }
            Change::Unkeyed { table: None } => self.unkey(),
            Change::Enumerated { name, labels } => {
                let found = Arc::new(OwnFound { oid: 0, labels: labels.clone() });
                self.enumerate(name, &found);
            }
        }
        Some(())
    }

    /// What becomes of a temporary copy. It takes the place of one that went unseen.
    fn apply_to_copy(&mut self, table: &QualifiedName, change: &Change) -> Option<()> {
        // What functions name may be this one.
        self.unfollow();
        match change {
            Change::Copied { columns, oid, .. } => {
                self.take(table);
                let copy = self.copy(table, columns, *oid).unwrap_or_else(|| {
                    let why = "a copy of a column that the policy names no longer".into();
                    Relation { reaches: Some(why), ..empty(table, *oid, 0) }
                });
                self.relations_of(&table.name).push(copy);
                Some(())
            }
            Change::Led { why, .. } => {
                self.take(table);
                let led = Relation { reaches: Some(why.clone()), ..empty(table, 0, 0) };
                self.relations_of(&table.name).push(led);
                Some(())
            }
            // It is there again where the transaction is not committed: until then its name is not free.
            Change::Dropped { if_there, .. } => match self.take(table) {
                Some(copy) => {
                    let why = "a temporary copy that was dropped in a transaction which is not over".into();
                    let gone = Relation { reaches: Some(why), ..empty(table, copy.oid.max(NO_RELATION), 0) };
                    self.relations_of(&table.name).push(gone);
                    Some(())
                }
                None => if_there.then_some(()),
            },
            Change::Created { .. }
            | Change::Renamed { .. }
            | Change::ColumnAdded { .. }
            | Change::ColumnDropped { .. }
            | Change::ColumnRenamed { .. }
            | Change::Enumerated { .. }
            | Change::Unkeyed { .. } => None,
        }
    }

    fn copy(
        &self,
        table: &QualifiedName,
        columns: &[(Arc<str>, Option<Origin>)],
        oid: u32,
    ) -> Option<Relation> {
        let mut relation = empty(table, oid, i16::try_from(columns.len()).ok()?);
        for ((name, origin), number) in columns.iter().zip(1..) {
            let field = match origin {
                Some((of, column)) => Some(self.field_of(of, column)?.id),
                None => None,
            };
            let (name, type_oid) = (name.clone(), TEXT);
            relation.columns.push(Column { name, number, type_oid, field, fault: None, generated: false });
        }
        Some(relation)
    }

    fn created(&self, table: &QualifiedName, columns: &[Arc<str>], oid: u32) -> Option<Relation> {
        // Which domain the pattern gives it is not known here.
        let known = |column: &str| self.field_of(table, column).is_some();
        if self.pattern_fields(Some(&table.schema), &table.name).any(|field| !known(&field.column)) {
            return None;
        }
        let mut relation = empty(table, oid, i16::try_from(columns.len()).ok()?);
        if self.has_fields(table) {
            let column = |(name, number)| self.column_of(table, name, number);
            relation.columns = columns.iter().zip(1..).map(column).collect();
        }
        self.fit(&mut relation)?;
        Some(relation)
    }

    /// Gives each column the field that the policy has for its name now. None: what it holds is not
    /// sealed as that one is.
    fn fit(&self, relation: &mut Relation) -> Option<()> {
        if relation.columns.is_empty() && self.has_fields(&relation.name) {
            return None;
        }
        for column in &mut relation.columns {
            let field = self.field_of(&relation.name, &column.name);
            let before = column.field.and_then(|id| self.field(id));
            if before.map(|before| &before.domain) != field.map(|field| &field.domain) {
                return None;
            }
            column.field = field.map(|field| field.id);
        }
        let has = |field: &&Field| relation.column(&field.column).is_some();
        relation.refused.awaits =
            !self.fields().iter().filter(|field| field.table == relation.name).all(|field| has(&field));
        Some(())
    }

    /// A new column, which holds nothing yet.
    fn column_of(&self, table: &QualifiedName, name: &Arc<str>, number: i16) -> Column {
        let field = self.field_of(table, name).map(|field| field.id);
        Column { name: name.clone(), number, type_oid: TEXT, field, fault: None, generated: false }
    }

    fn has_fields(&self, table: &QualifiedName) -> bool {
        self.fields().iter().any(|field| field.table == *table)
    }

    fn field_of(&self, table: &QualifiedName, column: &str) -> Option<&Field> {
        self.fields().iter().find(|field| field.table == *table && *field.column == *column)
    }
}

/// A table of which nothing is known but how many columns it has.
fn empty(table: &QualifiedName, oid: u32, attributes: i16) -> Relation {
    Relation {
        name: table.clone(),
        oid,
        kind: RelationKind::Table,
        columns: Vec::new(),
        attributes,
        keys: Vec::new(),
        behind: Vec::new(),
        reaches: None,
        fault: None,
        refused: Refused::default(),
    }
}
