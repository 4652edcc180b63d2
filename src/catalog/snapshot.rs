//! One consistent view of a database's catalog, reduced to what classification needs.
//!
//! Only relations and functions that are classified, reach a classified column, or share
//! a name with one that does, are kept. Whatever is not named here cannot lead to a
//! classified column by the catalog's own account.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::bound::Bound;
use super::code::Codes;
use super::field::{Field, FieldId, QualifiedName};
use super::fit::{Consequence, Misfit};
use super::followed::{Followed, Opening};
use super::own::OwnType;
use super::path::{TEMPORARY, is_temporary};
use super::pattern::PolicyField;
use super::sharing::Sharing;
use super::unfit::{Refused, Unfit};

/// What `pg_class.relkind` says, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelationKind {
    /// An ordinary or partitioned table.
    Table,
    /// A view, or a materialised one, that only passes classified columns on, and is used like a table.
    View,
    /// Any other view, a foreign table or anything else.
    Other,
}

/// One live column of a relation (dropped ones are left out).
#[derive(Clone, Debug)]
pub struct Column {
    pub name: Arc<str>,
    /// `pg_attribute.attnum`, from 1.
    pub number: i16,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    pub field: Option<FieldId>,
    /// Why statements that use it are refused: it does not fit the policy, or is made from one that is
    /// sealed.
    pub fault: Option<Arc<str>>,
    /// It is computed from others.
    pub generated: bool,
}

/// A relation whose name matters.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: QualifiedName,
    /// `pg_class.oid`.
    pub oid: u32,
    pub kind: RelationKind,
    /// In `attnum` order. Filled for relations that hold classified columns.
    pub columns: Vec<Column>,
    /// `pg_class.relnatts`: how many columns it has had, those included that were dropped.
    pub attributes: i16,
    /// Columns of which no two rows have the same values, none of them NULL: those of each such key.
    pub keys: Vec<Vec<Arc<str>>>,
    /// Of a view: classified fields on which its rows depend beside those that it shows.
    pub behind: Vec<FieldId>,
    /// Why this relation leads to classified columns without holding them by policy (a
    /// view, a partition, a child, a trigger or rule that writes to one): shown in DETAIL.
    /// None: by itself it is harmless, or it is the classified table.
    pub reaches: Option<Arc<str>>,
    /// Why every statement on it is refused: it does not fit the policy as a whole.
    pub fault: Option<Arc<str>>,
    /// Why some are.
    pub refused: Refused,
}

impl Relation {
    /// Does any column of this relation belong to the classification?
    #[must_use]
    pub fn is_classified(&self) -> bool {
        self.columns.iter().any(|column| column.field.is_some())
    }

    /// May a statement that names this relation be forwarded without a plan?
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        let leads = self.is_classified() || !self.behind.is_empty() || self.reaches.is_some();
        !leads && self.fault.is_none() && !self.refused.awaits
    }

    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| &*column.name == name)
    }
}

/// What an unqualified or qualified relation name can mean.
#[derive(Debug)]
pub enum Named<'a> {
    /// Nothing that matters: no relation of this name is classified or reaches one.
    Harmless,
    /// Exactly this relation, whatever `search_path` says.
    One(&'a Relation),
    /// Several relations, at least one of which matters: the statement must qualify.
    Ambiguous,
    /// One of several, by the search path: its schema must be written into what is sent.
    Pinned(&'a Relation),
    /// Several, none of which is on the search path.
    NotOnPath,
    /// Several, and a temporary one of the session itself may come before them.
    PerhapsTemporary,
    /// The policy names it, by itself or by a pattern, the catalog does not have it (yet).
    Missing,
}

/// A function, operator or type that leads to classified columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reaching {
    pub schema: Arc<str>,
    /// A function: which one a call means, the search path decides.
    pub called: bool,
    pub why: Arc<str>,
}

/// A server of which foreign tables may be made here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignServer {
    pub name: Arc<str>,
    /// Of its foreign data wrapper.
    pub wrapper: Arc<str>,
    /// `name=value` each, as the catalog has them.
    pub options: Vec<Arc<str>>,
}

/// Raw material of a [`Snapshot`].
#[derive(Debug, Default)]
pub struct SnapshotParts {
    pub database: Arc<str>,
    pub epoch: u64,
    /// See [`Snapshot::meant_since`].
    pub meant_since: u64,
    /// Fields of the policy that apply to this database; `Field::id` is its index.
    pub fields: Vec<Field>,
    /// Entries with a pattern that apply to this database. What they match so far is in
    /// `fields`; they also stand for tables that are yet to come.
    pub patterns: Vec<PolicyField>,
    /// Every relation whose bare name equals that of one that matters.
    pub relations: Vec<Relation>,
    /// Names of relations, columns and schemas, of whatever is there, as many as are read: what
    /// may stand in a record.
    pub names: HashSet<Arc<str>>,
    /// By their bare names, functions, procedures, operators and types that lead to classified
    /// columns.
    pub functions: HashMap<Arc<str>, Vec<Reaching>>,
    pub sharing: Sharing,
    /// By their bare names, those of `functions` that only pass classified columns on.
    pub followed: HashMap<Arc<str>, Followed>,
    /// The same of those that open a cursor over them.
    pub openings: HashMap<Arc<str>, Opening>,
    /// Code that is not the server's own.
    pub codes: Codes,
    /// Is it refused where it could read what is legible?
    pub refuses_opaque: bool,
    /// Users whose COPY gives sealed values as they are stored.
    pub copies_sealed: Vec<String>,
    pub servers: Vec<ForeignServer>,
    /// What the policy says of databases by their names, this one or others.
    pub bound: Arc<Bound>,
    /// What does not fit, table by table.
    pub faults: Vec<Unfit>,
    /// Entries that name this database and do not fit it.
    pub misfits: Vec<Misfit>,
}

/// See the module's text. Immutable; replaced as a whole.
#[derive(Clone, Debug)]
pub struct Snapshot {
    database: Arc<str>,
    epoch: u64,
    meant_since: u64,
    fields: Vec<Field>,
    patterns: Vec<PolicyField>,
    /// By bare name; those of one name in the order of their schemas.
    relations: HashMap<Arc<str>, Vec<Relation>>,
    /// Bare names of all tables of the policy.
    policy_names: HashSet<Arc<str>>,
    /// Tables of the policy that the catalog does not have, by bare name.
    missing: HashMap<Arc<str>, Vec<QualifiedName>>,
    by_origin: HashMap<(u32, i16), FieldId>,
    functions: HashMap<Arc<str>, Vec<Reaching>>,
    servers: Vec<ForeignServer>,
    bound: Arc<Bound>,
    /// [`SnapshotParts::names`], and those of all relations that are kept.
    known: Arc<HashSet<Arc<str>>>,
    sharing: Arc<Sharing>,
    followed: Arc<HashMap<Arc<str>, Followed>>,
    openings: Arc<HashMap<Arc<str>, Opening>>,
    codes: Arc<Codes>,
    refuses_opaque: bool,
    copies_sealed: Vec<String>,
    faults: Vec<Unfit>,
    misfits: Vec<Misfit>,
    /// Bare names of relations that an open transaction has dropped, or named otherwise.
    taken: HashSet<Arc<str>>,
    /// Types of the database that the policy gives to columns, each once.
    owns: Arc<[OwnType]>,
}

impl Snapshot {
    #[must_use]
    pub fn new(parts: SnapshotParts) -> Snapshot {
        let mut relations: HashMap<Arc<str>, Vec<Relation>> = HashMap::new();
        for relation in parts.relations {
            relations.entry(relation.name.name.clone()).or_default().push(relation);
        }
        let mut policy_names: HashSet<Arc<str>> =
            parts.fields.iter().map(|field| field.table.name.clone()).collect();
        policy_names.extend(parts.patterns.iter().map(|entry| entry.field.table.name.clone()));
        let mut known = parts.names;
        for relation in relations.values().flatten() {
            known.extend(relation.columns.iter().map(|column| column.name.clone()));
            known.extend([relation.name.name.clone(), relation.name.schema.clone()]);
        }
        let awaited = parts.patterns.iter().map(|entry| &entry.field);
        let owns = OwnType::all(parts.fields.iter().chain(awaited));
        let mut snapshot = Snapshot {
            database: parts.database,
            epoch: parts.epoch,
            meant_since: parts.meant_since,
            fields: parts.fields,
            patterns: parts.patterns,
            relations,
            policy_names,
            missing: HashMap::new(),
            by_origin: HashMap::new(),
            functions: parts.functions,
            servers: parts.servers,
            bound: parts.bound,
            known: Arc::new(known),
            sharing: Arc::new(parts.sharing),
            followed: Arc::new(parts.followed),
            openings: Arc::new(parts.openings),
            codes: Arc::new(parts.codes),
            refuses_opaque: parts.refuses_opaque,
            copies_sealed: parts.copies_sealed,
            faults: parts.faults,
            misfits: parts.misfits,
            taken: HashSet::new(),
            owns,
        };
        snapshot.settle();
        snapshot
    }

    /// What follows from its relations.
    pub(super) fn settle(&mut self) {
        self.by_origin.clear();
        self.missing.clear();
        for all in self.relations.values_mut() {
            all.sort_by(|one, other| one.name.schema.cmp(&other.name.schema));
            for relation in all.iter().filter(|relation| relation.oid != 0) {
                let origins = relation.columns.iter().map(|column| (column.number, column.field));
                let fields = origins.filter_map(|(number, field)| Some(((relation.oid, number), field?)));
                self.by_origin.extend(fields);
            }
        }
        for QualifiedName { schema, name } in self.fields.iter().map(|field| &field.table) {
            let all = self.relations.get(name).map_or(&[][..], Vec::as_slice);
            if of_schema(all, schema).is_empty() {
                let table = QualifiedName { schema: schema.clone(), name: name.clone() };
                self.missing.entry(name.clone()).or_default().push(table);
            }
        }
    }

    /// The same at another epoch, since which alone its names mean what they do.
    pub(super) fn renumber(&mut self, epoch: u64) {
        (self.epoch, self.meant_since) = (epoch, epoch);
    }

    /// All relations of a bare name, to be changed.
    pub(super) fn relations_of(&mut self, name: &Arc<str>) -> &mut Vec<Relation> {
        self.relations.entry(name.clone()).or_default()
    }

    pub(super) fn unkey(&mut self) {
        self.relations.values_mut().flatten().for_each(|relation| relation.keys.clear());
    }

    /// Takes a relation out.
    pub(super) fn take(&mut self, table: &QualifiedName) -> Option<Relation> {
        let all = self.relations.get_mut(&table.name)?;
        let place = all.iter().position(|one| one.name == *table)?;
        self.taken.insert(table.name.clone());
        Some(all.remove(place))
    }

    /// What of the policy does not fit, for the operator.
    #[must_use]
    pub fn faults(&self) -> &[Unfit] {
        &self.faults
    }

    /// Which relations that are not classified share names of columns with those that are.
    #[must_use]
    pub fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// The function of this name, with or without its schema, that only passes classified columns on.
    #[must_use]
    pub fn followed_function(&self, parts: &[impl AsRef<str>]) -> Option<&Followed> {
        let (name, schema) = called(parts)?;
        self.followed.get(name).filter(|found| schema.is_none_or(|schema| *found.schema == *schema))
    }

    /// The function of this name, with or without its schema, that opens a cursor over classified columns.
    #[must_use]
    pub fn opening(&self, parts: &[impl AsRef<str>]) -> Option<&Opening> {
        let (name, schema) = called(parts)?;
        self.openings.get(name).filter(|found| schema.is_none_or(|schema| *found.schema == *schema))
    }

    /// The texts of functions mean something else than they did.
    pub(super) fn unfollow(&mut self) {
        self.followed = Arc::default();
        self.openings = Arc::default();
    }

    /// Nothing that runs is known any more, and why.
    pub(super) fn distrust(&mut self, why: String) {
        Arc::make_mut(&mut self.codes).everything.get_or_insert(why.into());
    }

    /// Code of this database that is not the server's own harmless code.
    #[must_use]
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Is code that cannot be followed refused, where it could read what is legible?
    #[must_use]
    pub fn refuses_opaque(&self) -> bool {
        self.refuses_opaque
    }

    /// Does COPY give this user sealed values as they are stored?
    #[must_use]
    pub fn copies_sealed(&self, user: &str) -> bool {
        self.copies_sealed.iter().any(|one| one == user)
    }

    /// Entries of the policy that name this database and do not fit it.
    #[must_use]
    pub fn misfits(&self) -> &[Misfit] {
        &self.misfits
    }

    /// Why the database is refused as a whole. None: it is not.
    #[must_use]
    pub fn unfit(&self) -> Option<&Misfit> {
        self.misfits.iter().find(|misfit| misfit.consequence == Consequence::Refused)
    }

    /// Classified fields whose values the server can read.
    pub fn legible(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.domain.is_none())
    }

    /// Is any field sealed, or will be when its table is there?
    #[must_use]
    pub fn has_sealed(&self) -> bool {
        let awaited = self.patterns.iter().map(|entry| &entry.field);
        self.fields.iter().chain(awaited).any(|field| field.domain.is_some())
    }

    #[must_use]
    pub fn database(&self) -> &Arc<str> {
        &self.database
    }

    /// Grows with every load that differs from the one before.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The first epoch from which on tables, columns and names mean what they do now. What code there is
    /// may have changed since.
    #[must_use]
    pub fn meant_since(&self) -> u64 {
        self.meant_since
    }

    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The policy's entries with a pattern, in its order.
    #[must_use]
    pub fn patterns(&self) -> &[PolicyField] {
        &self.patterns
    }

    /// The foreign server of this name.
    #[must_use]
    pub fn foreign_server(&self, name: &str) -> Option<&ForeignServer> {
        self.servers.iter().find(|server| &*server.name == name)
    }

    /// What the policy says of databases by their names.
    #[must_use]
    pub fn bound(&self) -> &Arc<Bound> {
        &self.bound
    }

    /// Is nothing classified here, and no table awaited that would be?
    #[must_use]
    pub fn classifies_nothing(&self) -> bool {
        self.fields.is_empty() && self.patterns.is_empty()
    }

    /// What patterns say of a table, whether the catalog has it or not; without a schema, of
    /// any table of this name. Where two speak of one column, the first counts, and before
    /// both whatever [`Snapshot::fields`] has of it.
    pub fn pattern_fields(&self, schema: Option<&str>, table: &str) -> impl Iterator<Item = &Field> {
        self.patterns.iter().filter(move |entry| entry.matches(schema, table)).map(|entry| &entry.field)
    }

    #[must_use]
    pub fn field(&self, id: FieldId) -> Option<&Field> {
        self.fields.get(usize::from(id.0))
    }

    /// The classified field behind a RowDescription's table OID and attribute number.
    #[must_use]
    pub fn field_by_origin(&self, table_oid: u32, attribute: i16) -> Option<FieldId> {
        if table_oid == 0 {
            return None;
        }
        self.by_origin.get(&(table_oid, attribute)).copied()
    }

    /// Is it the name of a relation, a schema or a column, as far as they were read?
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Has the open transaction taken this name from a relation that was kept here?
    #[must_use]
    pub fn was_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// What leads to classified columns and has this bare name.
    #[must_use]
    pub fn reaching(&self, name: &str) -> &[Reaching] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn reaching_all(&self) -> impl Iterator<Item = (&Arc<str>, &Vec<Reaching>)> {
        self.functions.iter()
    }

    /// The relation of exactly this name, if it is kept here.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(name)?.iter().find(|relation| *relation.name.schema == *schema)
    }

    /// Is it the bare name of anything that is kept here, or that the policy names?
    #[must_use]
    pub fn counts_name(&self, name: &str) -> bool {
        self.policy_names.contains(name) || self.relations.get(name).is_some_and(|all| !all.is_empty())
    }

    /// Does the policy name a table of this bare name, by itself or by a pattern?
    #[must_use]
    pub fn is_policy_name(&self, name: &str) -> bool {
        self.policy_names.contains(name)
    }

    /// The relation of this bare name, where only one is kept here and the policy names no other.
    #[must_use]
    pub fn only_relation(&self, name: &str) -> Option<&Relation> {
        let [only] = self.relations.get(name)?.as_slice() else { return None };
        let awaited = self.missing.contains_key(name) || self.pattern_fields(None, name).next().is_some();
        (!awaited).then_some(only)
    }

    /// Is the column of this field known to `other` by its origin? One that was made by an open
    /// transaction, or named, may not be.
    #[must_use]
    pub fn is_placed(&self, id: FieldId, other: &Snapshot) -> bool {
        let Some(field) = self.field(id) else { return false };
        let unplaced = |copy: &Relation| {
            copy.oid == 0
                && *copy.name.schema == *TEMPORARY
                && copy.columns.iter().any(|column| column.field == Some(id))
        };
        if self.relations().any(unplaced) {
            return false;
        }
        let Some(relation) = self.relation(&field.table.schema, &field.table.name) else { return true };
        let column = relation.columns.iter().find(|column| column.field == Some(id));
        column.is_none_or(|column| other.field_by_origin(relation.oid, column.number) == Some(id))
    }

    /// The bare names of all relations that are kept here.
    pub fn bare_names(&self) -> impl Iterator<Item = &str> {
        self.relations.keys().map(|name| &**name)
    }

    /// What a name in a statement can mean, whatever the search path is, which a function can
    /// change unseen: an unqualified name with more than one meaning, one of which matters, is
    /// [`Named::Ambiguous`].
    #[must_use]
    pub fn named(&self, schema: Option<&str>, name: &str) -> Named<'_> {
        // What the session itself has copied comes before anything else of its name.
        if let Some(own) = self.relation(TEMPORARY, name).filter(|_| schema.is_none_or(is_temporary)) {
            return if schema.is_some() { Named::One(own) } else { Named::Pinned(own) };
        }
        if schema.is_some_and(is_temporary) {
            // A temporary table that shadows a name is refused, not told apart.
            return match self.named(None, name) {
                Named::Harmless => Named::Harmless,
                Named::One(_)
                | Named::Ambiguous
                | Named::Pinned(_)
                | Named::NotOnPath
                | Named::PerhapsTemporary
                | Named::Missing => Named::Ambiguous,
            };
        }
        let all = self.relations.get(name).map_or(&[][..], Vec::as_slice);
        let fitting = schema.map_or(all, |schema| of_schema(all, schema));
        let missing = self.missing.get(name).is_some_and(|tables| {
            tables.iter().any(|table| schema.is_none_or(|schema| schema == &*table.schema))
        });
        // One that a pattern covers may have been made since, by whoever and wherever.
        let awaited = fitting.is_empty() && self.pattern_fields(schema, name).next().is_some();
        // A relation that shares its bare name with one that is sealed is known, if it is there: what is not
        // may be its copy by another way, once somebody makes it. The server says whether it is.
        let unknown = schema
            .is_some_and(|schema| !schema.starts_with("pg_") && schema != "information_schema")
            && fitting.is_empty()
            && all.iter().any(|relation| self.is_sealed(relation));
        if missing || awaited || unknown {
            return Named::Missing;
        }
        let mut fitting = fitting.iter();
        match (fitting.next(), fitting.next()) {
            (None, _) => Named::Harmless,
            (Some(only), None) if only.is_harmless() => Named::Harmless,
            // A view may have been made since a temporary relation of its name, which nobody refused.
            (Some(only), None) if schema.is_none() && only.kind == RelationKind::View => Named::Ambiguous,
            // Of a table of each schema, which one is meant is never a matter of the name alone.
            (Some(_), None) if schema.is_none() && self.pattern_fields(None, name).next().is_some() => {
                Named::Ambiguous
            }
            (Some(only), None) => Named::One(only),
            (Some(first), Some(second)) => {
                if first.is_harmless() && second.is_harmless() && fitting.all(Relation::is_harmless) {
                    Named::Harmless
                } else {
                    Named::Ambiguous
                }
            }
        }
    }

    /// Has it a column that is sealed?
    fn is_sealed(&self, relation: &Relation) -> bool {
        let fields = relation.columns.iter().filter_map(|column| self.field(column.field?));
        fields.into_iter().any(|field| field.domain.is_some())
    }

    /// Could a server that folds characters beyond ASCII by its locale, each to one other, take
    /// this word for a name that matters: of a relation, its schema, its columns, or anything
    /// that is looked for?
    #[must_use]
    pub fn may_fold_to(&self, word: &str) -> bool {
        let matters = |relation: &&Relation| !relation.is_harmless();
        let named = self.relations().filter(matters).flat_map(|relation| {
            let columns = relation.columns.iter().map(|column| &*column.name);
            columns.chain([&*relation.name.schema])
        });
        let awaited = self.patterns.iter().map(|entry| &entry.field);
        let policy =
            self.fields.iter().chain(awaited).flat_map(|field| [&*field.column, &*field.table.schema]);
        named.chain(policy).chain(self.watched_names()).any(|name| {
            name.chars().count() == word.chars().count()
                && name
                    .chars()
                    .zip(word.chars())
                    .all(|(of_name, of_word)| !of_word.is_ascii() || of_word.eq_ignore_ascii_case(&of_name))
        })
    }

    /// Every relation kept in this snapshot.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values().flatten()
    }

    /// Those of [`Snapshot::watched_names`] that lead to a sealed column, or may.
    pub fn sealed_names(&self) -> impl Iterator<Item = &str> {
        let sealed = |relation: &Relation| {
            let of_field = |column: &Column| column.field.and_then(|id| self.field(id));
            let sealed = relation.columns.iter().filter_map(of_field).any(|field| field.domain.is_some());
            sealed || relation.reaches.is_some() || relation.fault.is_some() || relation.refused.awaits
        };
        let relations = self.relations.iter().filter(move |(_, all)| all.iter().any(sealed));
        let awaited = self.patterns.iter().map(|entry| &entry.field);
        let policy = self.fields.iter().chain(awaited).filter(|field| field.domain.is_some());
        let functions = self.functions.keys().map(|name| &**name);
        relations.map(|(name, _)| &**name).chain(policy.map(|field| &*field.table.name)).chain(functions)
    }

    /// Every bare name that the prefilter must look for: relations that matter, policy
    /// tables that are missing or awaited, functions that reach.
    pub fn watched_names(&self) -> impl Iterator<Item = &str> {
        let relations = self
            .relations
            .iter()
            .filter(|(_, all)| all.iter().any(|relation| !relation.is_harmless()))
            .map(|(name, _)| &**name);
        let policy = self.policy_names.iter().map(|name| &**name);
        let functions = self.functions.keys().map(|name| &**name);
        let own = self.owns.iter().map(|own| &*own.name.name);
        relations.chain(policy).chain(functions).chain(own)
    }

    pub(super) fn owns(&self) -> &[OwnType] {
        &self.owns
    }

    pub(super) fn fields_mut(&mut self) -> impl Iterator<Item = &mut Field> {
        self.fields.iter_mut()
    }
}

impl SnapshotParts {
    /// By what is known of relations and functions so far, and this code, are stored definitions judged.
    #[must_use]
    pub fn so_far(&self, codes: Codes) -> Snapshot {
        Snapshot::new(SnapshotParts {
            database: self.database.clone(),
            fields: self.fields.clone(),
            patterns: self.patterns.clone(),
            relations: self.relations.clone(),
            functions: self.functions.clone(),
            codes,
            ..SnapshotParts::default()
        })
    }
}

/// The name of a function that is called, and its schema.
fn called(parts: &[impl AsRef<str>]) -> Option<(&str, Option<&str>)> {
    match parts {
        [name] => Some((name.as_ref(), None)),
        [schema, name] => Some((name.as_ref(), Some(schema.as_ref()))),
        _ => None,
    }
}

/// Those of one schema among relations in the order of their schemas.
fn of_schema<'a>(all: &'a [Relation], schema: &str) -> &'a [Relation] {
    let start = all.partition_point(|relation| *relation.name.schema < *schema);
    let end = all.partition_point(|relation| *relation.name.schema <= *schema);
    all.get(start..end).unwrap_or_default()
}
