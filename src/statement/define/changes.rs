//! What a definition makes of the catalog by which the texts behind it are judged, before it is
//! committed. The one list of definitions that are wholly understood; of any other nobody but the
//! server knows what it did, and what touches anything waits for COMMIT.
//!
//! Here nothing is refused: that a definition may be made was judged before.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{
    self, AlterTableStmt, AlterTableType, CreateStmt, DropStmt, Node, ObjectType, RangeVar, RenameStmt,
    TransactionStmtKind,
};

use crate::catalog::stock::Kind as StockKind;
use crate::catalog::{
    Change, Creation, Named, QualifiedName, Relation, RelationKind, TEMPORARY, is_temporary,
};

use super::super::facts::Boundary;
use super::super::follow::algebra;
use super::super::matters::{Bench, names_relation_that_matters, policy_field};
use super::super::read::census::Census;
use super::super::read::tree::{self, kind};
use super::draft::{is_declared, is_folded};
use super::opclass::is_known_class;
use super::target::{creation, meant};

/// What a transaction statement does to what its transaction has defined.
pub(in crate::statement) fn boundary(node: &Node) -> Option<Boundary> {
    use TransactionStmtKind as Of;
    let Some(Kind::TransactionStmt(transaction)) = kind(node) else { return None };
    let name = || Arc::from(transaction.savepoint_name.as_str());
    match Of::try_from(transaction.kind) {
        Ok(Of::TransStmtBegin | Of::TransStmtStart) => None,
        Ok(Of::TransStmtSavepoint) => Some(Boundary::Savepoint(name())),
        Ok(Of::TransStmtRelease) => Some(Boundary::Release(name())),
        Ok(Of::TransStmtRollbackTo) => Some(Boundary::RollbackTo(name())),
        Ok(Of::TransStmtRollback) => Some(Boundary::Undone),
        Ok(Of::TransStmtPrepare) => Some(Boundary::Prepared),
        Ok(_) | Err(_) => Some(Boundary::End),
    }
}

/// Everything that a definition changes of what is judged by. None: nobody can tell. `runs_code`: it
/// names code that nobody can follow.
pub(in crate::statement) fn followed(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    runs_code: bool,
) -> Option<Vec<Change>> {
    let codes = bench.snapshot.codes();
    // What an event trigger does, or any statement, is told by no text.
    if runs_code || codes.everything.is_some() || codes.by_events {
        return None;
    }
    let look = Look { bench };
    // What is made of a table that matters may be used at once, by a name that nobody knows.
    let into = tree::into(node);
    let keeps = into.is_some() || matches!(kind(node), Some(Kind::ViewStmt(_) | Kind::CreateTableAsStmt(_)));
    if keeps && names_relation_that_matters(bench.names, found) {
        return None;
    }
    match into {
        Some(into) => look.free(into.rel.as_ref()?),
        None => followed_kind(look, kind(node)?),
    }
}

/// Is this the name of nothing that matters or that a text could mean by it otherwise?
pub(super) fn is_free(bench: Bench<'_>, name: &str) -> bool {
    Look { bench }.is_free(name)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not listed is not followed")]
fn followed_kind(look: Look<'_>, node: &Kind) -> Option<Vec<Change>> {
    match node {
        Kind::IndexStmt(index) => look.indexed(index),
        Kind::CreateSeqStmt(create) => look.free(create.sequence.as_ref()?),
        Kind::AlterSeqStmt(_) | Kind::AlterEnumStmt(_) | Kind::VacuumStmt(_) | Kind::ReindexStmt(_) => {
            Some(Vec::new())
        }
        Kind::CreateSchemaStmt(create) => create.schema_elts.is_empty().then(Vec::new),
        Kind::CreateEnumStmt(create) => {
            let name = tree::last_name(&create.type_name)?;
            if look.bench.snapshot.has_enumeration(None, name) {
                return look.enumerated(create, name);
            }
            look.is_free(name).then(Vec::new)
        }
        Kind::CreateStmt(create) => look.created(create),
        Kind::AlterTableStmt(alter) => look.altered(alter),
        Kind::RenameStmt(rename) => look.renamed(rename),
        Kind::AlterObjectSchemaStmt(moved) => look.moved(moved),
        Kind::DropStmt(drop) => look.dropped(drop),
        Kind::ViewStmt(view) => look.free(view.view.as_ref()?),
        Kind::CreateTableAsStmt(create) => look.free(create.into.as_ref()?.rel.as_ref()?),
        _ => None,
    }
}

/// Does the search path say whether it does anything to a table that the policy names: would it be passed
/// over where that is not on the path? And to which view?
pub(in crate::statement) fn wants_path(bench: Bench<'_>, node: &Node) -> bool {
    let counts =
        |range: &RangeVar| range.schemaname.is_empty() && bench.snapshot.is_policy_name(&range.relname);
    let of = |range: Option<&RangeVar>, missing_ok: bool| missing_ok && range.is_some_and(counts);
    match kind(node) {
        Some(Kind::AlterTableStmt(alter)) => of(alter.relation.as_ref(), alter.missing_ok),
        Some(Kind::RenameStmt(rename)) => of(rename.relation.as_ref(), rename.missing_ok),
        Some(Kind::AlterObjectSchemaStmt(moved)) => of(moved.relation.as_ref(), moved.missing_ok),
        Some(Kind::DropStmt(drop)) => drop.objects.iter().any(|object| {
            let Some(Kind::List(parts)) = kind(object) else { return false };
            let names: Vec<&str> = parts.items.iter().filter_map(tree::name).collect();
            let [name] = names.as_slice() else { return false };
            let passes = |one: &Relation| one.kind == RelationKind::View && *one.name.name == **name;
            drop.missing_ok && bench.snapshot.is_policy_name(name) || bench.snapshot.relations().any(passes)
        }),
        Some(_) | None => false,
    }
}

/// A relation that a definition names.
enum Target {
    /// No relation of its name matters.
    Elsewhere,
    Of(QualifiedName),
}

/// Methods of the server's own that an index may be of.
const METHODS: [&str; 7] = ["", "btree", "hash", "gin", "gist", "spgist", "brin"];

#[derive(Clone, Copy)]
struct Look<'a> {
    bench: Bench<'a>,
}

impl Look<'_> {
    /// Is this the name of nothing that matters or that a text could mean by it otherwise?
    fn is_free(self, name: &str) -> bool {
        let snapshot = self.bench.snapshot;
        let codes = snapshot.codes();
        let of_server = |name: &str| {
            codes.stock.is_none_or(|stock| {
                [StockKind::Function, StockKind::Type]
                    .iter()
                    .any(|kind| stock.grade_of_name(*kind, name).is_some())
            })
        };
        let strange = codes.relations(None, name).next().is_some() || codes.is_own_type(name);
        !snapshot.counts_name(name) && !of_server(name) && !strange
    }

    /// Something new of this name, which is nothing that matters.
    fn free(self, range: &RangeVar) -> Option<Vec<Change>> {
        self.is_free(&range.relname).then(Vec::new)
    }

    /// What stands behind a name that is there.
    fn existing(self, schema: &str, name: &str) -> Option<Target> {
        let (snapshot, names) = (self.bench.snapshot, self.bench.names);
        if (schema.is_empty() || is_temporary(schema)) && snapshot.relation(TEMPORARY, name).is_some() {
            return Some(Target::Of(QualifiedName { schema: TEMPORARY.into(), name: name.into() }));
        }
        if !snapshot.counts_name(name) {
            return Some(Target::Elsewhere);
        }
        // The names of the policy's tables matter whatever becomes of them; those of a view or a partition
        // would not, and it may be there still.
        if !snapshot.is_policy_name(name) {
            return None;
        }
        let own = |schema: &str| Target::Of(QualifiedName { schema: schema.into(), name: name.into() });
        if schema.starts_with("pg_temp") {
            return None;
        }
        if !schema.is_empty() {
            return Some(own(schema));
        }
        if let Some(only) = snapshot.only_relation(name) {
            let found = names.path.is_none_or(|path| path.contains(&only.name.schema));
            return Some(if found { own(&only.name.schema) } else { Target::Elsewhere });
        }
        match names.named(None, name) {
            Named::One(relation) | Named::Pinned(relation) => Some(own(&relation.name.schema)),
            // Nobody has it, or the server will say so.
            Named::Missing if !snapshot.bare_names().any(|known| known == name) => Some(Target::Elsewhere),
            Named::Harmless
            | Named::Missing
            | Named::Ambiguous
            | Named::NotOnPath
            | Named::PerhapsTemporary => None,
        }
    }

    fn of_range(self, range: &RangeVar) -> Option<Target> {
        self.existing(&range.schemaname, &range.relname)
    }

    /// Where a table of this name will be.
    fn made(self, range: &RangeVar) -> Option<Target> {
        let (snapshot, name) = (self.bench.snapshot, range.relname.as_str());
        if !snapshot.counts_name(name) {
            return self.is_free(name).then_some(Target::Elsewhere);
        }
        let temporary = range.relpersistence == "t" || range.schemaname.starts_with("pg_temp");
        if temporary {
            return None;
        }
        let schema = if range.schemaname.is_empty() {
            // It was written out, by the same path.
            match self.bench.names.path?.creation() {
                Creation::In(schema) => schema,
                Creation::Unasked | Creation::Nowhere => return None,
            }
        } else {
            Arc::from(range.schemaname.as_str())
        };
        Some(Target::Of(QualifiedName { schema, name: name.into() }))
    }

    fn indexed(self, index: &protobuf::IndexStmt) -> Option<Vec<Change>> {
        let class = |node: &Node| match kind(node) {
            Some(Kind::IndexElem(element)) => is_known_class(&element.opclass),
            Some(_) | None => false,
        };
        let range = index.relation.as_ref()?;
        let own = METHODS.contains(&index.access_method.as_str());
        let named = index.idxname.is_empty() || !self.bench.snapshot.counts_name(&index.idxname);
        match self.of_range(range)? {
            Target::Elsewhere => (own && named).then(Vec::new),
            Target::Of(_) => (own && named && index.index_params.iter().all(class)).then(Vec::new),
        }
    }

    fn created(self, create: &CreateStmt) -> Option<Vec<Change>> {
        let range = create.relation.as_ref()?;
        let codes = self.bench.snapshot.codes();
        let strange = |node: &Node| match kind(node) {
            Some(Kind::RangeVar(range)) => codes.relations(None, &range.relname).next().is_some(),
            Some(_) | None => true,
        };
        if let Some(parent) = self.parent(create) {
            return self.partition(create, range, parent);
        }
        let mut columns: Vec<Arc<str>> = Vec::new();
        let (mut plain, mut simple) = (true, create.of_typename.is_none());
        for element in &create.table_elts {
            match kind(element) {
                Some(Kind::ColumnDef(column)) => {
                    plain &= self.holds_sealed(range, column);
                    columns.push(column.colname.as_str().into());
                }
                Some(Kind::Constraint(_)) => {}
                Some(Kind::TableLikeClause(like)) => {
                    let relation = like.relation.as_ref()?;
                    simple &= codes.relations(None, &relation.relname).next().is_none();
                    match meant(self.bench, relation).filter(|source| !source.columns.is_empty()) {
                        // It was judged that each has its domain here as well.
                        Some(source) => columns.extend(source.columns.iter().map(|one| one.name.clone())),
                        None => plain = false,
                    }
                }
                Some(_) | None => simple = false,
            }
        }
        simple &=
            !create.inh_relations.iter().any(strange) && METHODS_OF_TABLES.contains(&&*create.access_method);
        if !simple {
            return None;
        }
        match self.made(range)? {
            Target::Elsewhere => Some(Vec::new()),
            Target::Of(table) => {
                let classified = self.bench.snapshot.fields().iter().any(|field| field.table == table);
                let derived = !create.inh_relations.is_empty() || create.partspec.is_some();
                if classified && (derived || !plain) {
                    return None;
                }
                Some(vec![Change::Created { table, columns, unless_there: create.if_not_exists, oid: 0 }])
            }
        }
    }

    /// The table that matters and of which this one becomes a partition.
    fn parent(self, create: &CreateStmt) -> Option<&RangeVar> {
        create.partbound.as_ref()?;
        let [parent] = create.inh_relations.as_slice() else { return None };
        let Some(Kind::RangeVar(parent)) = kind(parent) else { return None };
        self.bench.snapshot.counts_name(&parent.relname).then_some(parent)
    }

    /// A partition is used through its table alone.
    fn partition(self, create: &CreateStmt, range: &RangeVar, parent: &RangeVar) -> Option<Vec<Change>> {
        let Target::Of(parent) = self.of_range(parent)? else { return None };
        let plain = create.table_elts.is_empty() && METHODS_OF_TABLES.contains(&&*create.access_method);
        if !(plain && self.is_free(&range.relname)) || range.relpersistence == "t" {
            return None;
        }
        let schema = if range.schemaname.is_empty() {
            creation(self.bench, &range.relname).ok()?
        } else {
            Arc::from(range.schemaname.as_str())
        };
        let known = self.bench.snapshot.relation(&parent.schema, &parent.name);
        if known.is_some_and(Relation::is_harmless) {
            return Some(Vec::new());
        }
        let table = QualifiedName { schema, name: range.relname.as_str().into() };
        let why = format!("partition of {parent}").into();
        Some(vec![Change::Led { table, why, unless_there: create.if_not_exists }])
    }

    /// Can a new column hold sealed values, if the policy has a field for it: does its declared type become
    /// `text`?
    fn holds_sealed(self, range: &RangeVar, column: &protobuf::ColumnDef) -> bool {
        let field = policy_field(self.bench.snapshot, range, &column.colname);
        let Some(field) = field.filter(|field| field.domain.is_some()) else { return true };
        let own = column.type_name.as_ref().is_some_and(|of| is_declared(field, of));
        let collated = |clause| algebra::keeps_equality(clause) || is_folded(field);
        own && column.coll_clause.as_deref().is_none_or(collated)
    }

    /// An enumeration that the policy may mean: what labels it has.
    fn enumerated(self, create: &protobuf::CreateEnumStmt, name: &str) -> Option<Vec<Change>> {
        let schema = match create.type_name.as_slice() {
            [_] => creation(self.bench, name).ok()?,
            [schema, _] => tree::name(schema)?.into(),
            _ => return None,
        };
        let labels = create.vals.iter().map(|label| tree::name(label).map(Into::into));
        let labels = labels.collect::<Option<Vec<_>>>()?;
        Some(vec![Change::Enumerated { name: QualifiedName { schema, name: name.into() }, labels }])
    }

    fn altered(self, alter: &AlterTableStmt) -> Option<Vec<Change>> {
        let range = alter.relation.as_ref()?;
        match ObjectType::try_from(alter.objtype) {
            Ok(ObjectType::ObjectTable) => {}
            Ok(ObjectType::ObjectIndex | ObjectType::ObjectSequence) => return Some(Vec::new()),
            Ok(_) | Err(_) => return None,
        }
        let target = self.of_range(range)?;
        let mut changes = Vec::new();
        for command in &alter.cmds {
            let Some(Kind::AlterTableCmd(command)) = kind(command) else { return None };
            self.subcommand(range, command, &target, &mut changes)?;
        }
        Some(changes)
    }

    fn subcommand(
        self,
        range: &RangeVar,
        command: &protobuf::AlterTableCmd,
        target: &Target,
        changes: &mut Vec<Change>,
    ) -> Option<()> {
        use AlterTableType as At;
        match At::try_from(command.subtype) {
            Ok(At::AtAddColumn) => {
                let Some(Kind::ColumnDef(column)) = command.def.as_deref().and_then(kind) else { return None };
                if let Target::Of(table) = target {
                    self.holds_sealed(range, column).then_some(())?;
                    changes.push(Change::ColumnAdded {
                        table: table.clone(),
                        column: column.colname.as_str().into(),
                        unless_there: command.missing_ok,
                    });
                }
                Some(())
            }
            Ok(At::AtDropColumn) => {
                if let Target::Of(table) = target {
                    changes.push(Change::ColumnDropped {
                        table: table.clone(),
                        column: command.name.as_str().into(),
                        if_there: command.missing_ok,
                    });
                }
                Some(())
            }
            Ok(
                At::AtColumnDefault
                | At::AtAlterColumnType
                | At::AtSetNotNull
                | At::AtSetStatistics
                | At::AtSetStorage
                | At::AtSetCompression
                | At::AtAddConstraint
                | At::AtValidateConstraint
                | At::AtAddIndexConstraint
                | At::AtAddIdentity
                | At::AtSetIdentity
                | At::AtDropIdentity
                | At::AtDropExpression
                | At::AtChangeOwner
                | At::AtClusterOn
                | At::AtDropCluster
                | At::AtSetLogged
                | At::AtSetUnLogged
                | At::AtSetTableSpace
                | At::AtSetRelOptions
                | At::AtResetRelOptions
                // What is not run is none the worse for being thought to be.
                | At::AtDisableTrig
                | At::AtDisableTrigAll
                | At::AtDisableTrigUser
                | At::AtDisableRule,
            ) => Some(()),
            Ok(At::AtDropNotNull | At::AtDropConstraint) => {
                if let Target::Of(table) = target {
                    changes.push(Change::Unkeyed { table: Some(table.clone()) });
                }
                Some(())
            }
            Ok(_) | Err(_) => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not listed is not followed")]
    fn renamed(self, rename: &RenameStmt) -> Option<Vec<Change>> {
        let of = ObjectType::try_from(rename.rename_type).ok()?;
        let on = ObjectType::try_from(rename.relation_type).ok()?;
        let to = || Arc::from(rename.newname.as_str());
        match of {
            ObjectType::ObjectTable => {
                let range = rename.relation.as_ref()?;
                match self.of_range(range)? {
                    Target::Of(table) => {
                        let to = QualifiedName { schema: table.schema.clone(), name: to() };
                        Some(vec![Change::Renamed { table, to }])
                    }
                    Target::Elsewhere => {
                        let known = self.bench.snapshot.codes().relations(None, &range.relname);
                        (known.count() == 0 && self.is_free(&rename.newname)).then(Vec::new)
                    }
                }
            }
            ObjectType::ObjectColumn if on == ObjectType::ObjectTable => {
                match self.of_range(rename.relation.as_ref()?)? {
                    Target::Of(table) => {
                        let column = Arc::from(rename.subname.as_str());
                        Some(vec![Change::ColumnRenamed { table, column, to: to() }])
                    }
                    Target::Elsewhere => Some(Vec::new()),
                }
            }
            ObjectType::ObjectTabconstraint => Some(Vec::new()),
            ObjectType::ObjectIndex | ObjectType::ObjectSequence => {
                (!self.bench.snapshot.counts_name(&rename.newname)).then(Vec::new)
            }
            _ => None,
        }
    }

    /// SET SCHEMA.
    fn moved(self, moved: &protobuf::AlterObjectSchemaStmt) -> Option<Vec<Change>> {
        if ObjectType::try_from(moved.object_type) != Ok(ObjectType::ObjectTable) {
            return None;
        }
        let range = moved.relation.as_ref()?;
        match self.of_range(range)? {
            Target::Of(table) => {
                let to = QualifiedName { schema: moved.newschema.as_str().into(), name: table.name.clone() };
                Some(vec![Change::Renamed { table, to }])
            }
            Target::Elsewhere => {
                let known = self.bench.snapshot.codes().relations(None, &range.relname);
                (known.count() == 0).then(Vec::new)
            }
        }
    }

    /// The view of this name that passes sealed columns on.
    fn view(self, schema: Option<&str>, name: &str) -> Option<QualifiedName> {
        let relation = self.bench.names.named(schema, name).relation()?;
        (relation.kind == RelationKind::View).then(|| relation.name.clone())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not listed is not followed")]
    fn dropped(self, drop: &DropStmt) -> Option<Vec<Change>> {
        let if_there = drop.missing_ok;
        match ObjectType::try_from(drop.remove_type).ok()? {
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex => {
                let mut changes = Vec::new();
                if ObjectType::try_from(drop.remove_type) == Ok(ObjectType::ObjectIndex) {
                    changes.push(Change::Unkeyed { table: None });
                }
                for object in &drop.objects {
                    let Some(Kind::List(parts)) = kind(object) else { return None };
                    let mut parts = parts.items.iter().rev().filter_map(tree::name);
                    let (name, schema) = (parts.next()?, parts.next());
                    if let Some(view) = self.view(schema, name) {
                        // It may be there still, or again.
                        let why = "a view that is dropped in this transaction".into();
                        changes.push(Change::Led { table: view, why, unless_there: false });
                    } else if let Target::Of(table) = self.existing(schema.unwrap_or_default(), name)? {
                        changes.push(Change::Dropped { table, if_there });
                    }
                }
                Some(changes)
            }
            ObjectType::ObjectSchema => {
                let schemas: Vec<&str> = drop.objects.iter().filter_map(tree::name).collect();
                let holds = |schema: &str| schemas.contains(&schema);
                let kept = self.bench.snapshot.relations().any(|relation| holds(&relation.name.schema));
                (!kept).then(Vec::new)
            }
            // There is less code then, and no other relation.
            ObjectType::ObjectTrigger
            | ObjectType::ObjectRule
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectFunction
            | ObjectType::ObjectProcedure
            | ObjectType::ObjectRoutine
            | ObjectType::ObjectAggregate
            | ObjectType::ObjectCast
            | ObjectType::ObjectType
            | ObjectType::ObjectDomain => Some(Vec::new()),
            _ => None,
        }
    }
}

/// Ways to keep a table that are the server's own.
const METHODS_OF_TABLES: [&str; 2] = ["", "heap"];
