//! What of a database is not the server's own harmless code.
//!
//! A server runs SQL in many ways that no text shows: behind functions, operators, casts, types,
//! triggers, rules, policies, defaults. Which of it is harmless is decided by a list of what
//! a stock server has ([`super::stock`]): a name is harmless only if the list has it and nothing
//! else of that name exists in any schema. Everything else is opaque: it may read whatever is
//! legible to the server. Of some of it the catalog proves at least that it reaches no sealed field.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::path::SearchPath;
use super::spoken::Spoken;
use super::stock::{Grade, Kind, Stock};

/// Code that is not on the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    /// What it is, for DETAIL: `function public.f`.
    pub why: Arc<str>,
    /// Followed to its end, or vouched for by the policy: a value that is given to it reaches no
    /// sealed field.
    pub proven: bool,
}

/// A function or an operator that is not on the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stranger {
    pub schema: Arc<str>,
    pub code: Code,
    /// It takes only types that are not the server's own, where the list has one for the server's:
    /// the server takes it only where such a type is in play.
    pub distant: bool,
    /// It can be called as `row.name`.
    pub of_rows: bool,
}

/// All of one bare name and kind.
pub type Strangers = Vec<Stranger>;

/// What runs where a relation is used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RelationCode {
    pub schema: Arc<str>,
    /// Whenever it is named.
    pub read: Option<Code>,
    /// When its rows are written, beside that.
    pub written: Option<Code>,
    /// Writing its rows leads to a sealed field: the reason.
    pub leads: Option<Arc<str>>,
    /// It belongs to another server, or has an index that code keeps which cannot be followed: they are
    /// given the constants of conditions too.
    pub takes_conditions: bool,
    /// Columns whose types are not the server's own, and what code of theirs runs.
    pub distant: Vec<(Arc<str>, Option<Code>)>,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    /// The list for this server; none where there is none, and then nothing is harmless.
    pub stock: Option<&'static Stock>,
    /// Why any statement may run other code, whatever it names.
    pub everything: Option<Arc<str>>,
    /// There are tables whose conditions are given to others, and views and partitions may lead there.
    pub conditions_travel: bool,
    /// `lower` and `upper` do to the letters of ASCII what ASCII has: not so under some locales.
    pub ascii_case: bool,
    /// Definitions run other code, by event triggers: what the server says beside rows may come from there.
    pub by_events: bool,
    pub functions: HashMap<Arc<str>, Strangers>,
    pub operators: HashMap<Arc<str>, Strangers>,
    pub types: HashMap<Arc<str>, Code>,
    /// Types of users that run no code: enumerations, and what is made of harmless types.
    pub plain_types: HashSet<Arc<str>>,
    /// Functions that make bytea, where code of others takes that in place of a type of its own; none
    /// where no such code is.
    pub makers: HashSet<Arc<str>>,
    /// Types of users by OID, and the code that they run, if any: a parameter may be declared of one.
    pub declared: HashMap<u32, Option<Code>>,
    pub relations: HashMap<Arc<str>, Vec<RelationCode>>,
    /// What code names when it runs.
    pub spoken: Spoken,
    /// Functions (`schema.name`) of triggers that copy rows to classified tables, and do no more, where their
    /// triggers are now.
    pub copying: BTreeSet<Arc<str>>,
}

/// What is known of the types that a client declares for a statement's parameters: the worst of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Declared {
    /// The server's own.
    #[default]
    Nothing,
    /// A type of a user is in play.
    Own,
    /// What is bound to it is given to code that reaches no sealed field.
    Proven,
    /// The same, of code that cannot be followed.
    Unproven,
    /// It was not there when the catalog was read.
    Unknown,
}

/// First OID that is not PostgreSQL's own; `bytea` and `bytea[]`.
const FIRST_NORMAL_OID: u32 = 16_384;
const BYTEA: [u32; 2] = [17, 1001];

/// A name as a text has it, and the search path where that is certain.
#[derive(Clone, Copy)]
pub struct Called<'a> {
    pub schema: Option<&'a str>,
    pub name: &'a str,
    pub path: Option<&'a SearchPath>,
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Harmless,
    /// Harmless, but what is given to it can be seen by others, or later.
    Shows,
    Opaque(Code),
    /// Harmless unless a type that is not the server's own is in play.
    Distant(Code),
    /// Nothing of this name was there when the catalog was read.
    Unknown(Code),
}

impl Codes {
    /// A call of a function, an aggregate or a procedure.
    #[must_use]
    pub fn function(&self, named: Called<'_>) -> Verdict {
        self.judge(Kind::Function, self.functions.get(named.name), named)
    }

    /// A use of an operator.
    #[must_use]
    pub fn operator(&self, named: Called<'_>) -> Verdict {
        self.judge(Kind::Operator, self.operators.get(named.name), named)
    }

    /// Could `row.name` be a call of a function that is not on the list?
    #[must_use]
    pub fn selection(&self, name: &str) -> Option<&Code> {
        self.functions.get(name)?.iter().find(|one| one.of_rows).map(|one| &one.code)
    }

    fn judge(&self, kind: Kind, strangers: Option<&Strangers>, named: Called<'_>) -> Verdict {
        let grade = self.stock.and_then(|stock| stock.grade_of_name(kind, named.name));
        let counts = |one: &&Stranger| match (named.schema, named.path) {
            // The session's own temporary schema has two names.
            (Some(schema), _) if schema.starts_with("pg_temp") => one.schema.starts_with("pg_temp"),
            (Some(schema), _) => *one.schema == *schema,
            (None, Some(path)) => path.contains(&one.schema),
            (None, None) => true,
        };
        let counting: Vec<&Stranger> = strangers.into_iter().flatten().filter(counts).collect();
        let worst = counting.iter().find(|one| !one.code.proven).or(counting.first());
        match (worst, grade) {
            (None, Some(Grade::Pure)) => Verdict::Harmless,
            (None, Some(Grade::Effect)) => Verdict::Shows,
            (Some(one), Some(_)) if counting.iter().all(|one| one.distant) => {
                Verdict::Distant(one.code.clone())
            }
            (Some(one), _) => Verdict::Opaque(one.code.clone()),
            // Made since the catalog was read, or by nobody.
            (None, None) => {
                let why = format!("\"{}\", which is not known", named.name).into();
                Verdict::Unknown(Code { why, proven: false })
            }
        }
    }

    /// A type by its bare name, as a text has it (`int4`, `_int4`, `mood`). One that is not known was
    /// made since by a text that names no stranger, or it would have been judged: it is made of what is
    /// harmless.
    #[must_use]
    pub fn type_named(&self, name: &str) -> Verdict {
        let element = name.strip_prefix('_').unwrap_or(name);
        let known = self.types.get(name).or_else(|| self.types.get(element));
        known.map_or(Verdict::Harmless, |code| Verdict::Opaque(code.clone()))
    }

    /// Is it a type of a user, whatever it runs?
    #[must_use]
    pub fn is_own_type(&self, name: &str) -> bool {
        let element = name.strip_prefix('_').unwrap_or(name);
        [name, element].iter().any(|name| {
            self.types.contains_key(*name)
                || self.plain_types.contains(*name)
                || self.takes_telling() && *name == "bytea"
        })
    }

    /// Is there code of others that takes bytea in place of a type of its own?
    #[must_use]
    pub fn takes_telling(&self) -> bool {
        !self.makers.is_empty()
    }

    /// What the types mean that a client declares for its parameters, by OID.
    pub fn declared(&self, types: impl Iterator<Item = u32>) -> Declared {
        let of = |oid: u32| match self.declared.get(&oid) {
            Some(Some(code)) if code.proven => Declared::Proven,
            Some(Some(_)) => Declared::Unproven,
            Some(None) => Declared::Own,
            None if oid >= FIRST_NORMAL_OID => Declared::Unknown,
            None if self.takes_telling() && BYTEA.contains(&oid) => Declared::Own,
            None => Declared::Nothing,
        };
        types.map(of).max().unwrap_or_default()
    }

    /// What runs where relations of this name are used; of any schema where none is given.
    pub fn relations(&self, schema: Option<&str>, name: &str) -> impl Iterator<Item = &RelationCode> {
        let all = self.relations.get(name).map_or(&[][..], Vec::as_slice);
        // Who has a schema of temporary relations calls it by several names.
        let any = schema.is_none_or(|schema| schema.starts_with("pg_temp"));
        all.iter().filter(move |one| any || Some(&*one.schema) == schema)
    }

    /// Every name by which a text can come to code that is not on the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let near = |all: &Strangers| all.iter().any(|one| !one.distant);
        let functions = self.functions.iter().filter(move |(_, all)| near(all)).map(|(name, _)| &**name);
        let operators = self.operators.iter().filter(move |(_, all)| near(all)).map(|(name, _)| &**name);
        // Where an overload waits for them, harmless types matter, too.
        let waits = self.awaits_types();
        let plain = self.plain_types.iter().filter(move |_| waits).map(|name| &**name);
        let types = self.types.keys().map(|name| &**name).chain(plain);
        let telling = self.makers.iter().map(|name| &**name).chain(self.takes_telling().then_some("bytea"));
        let types = types.chain(telling);
        functions.chain(operators).chain(types).chain(self.relations.keys().map(|name| &**name))
    }

    /// Operators that stand in a text by other words than their names: IN, BETWEEN, CASE,
    /// USING, NULLIF, IS DISTINCT FROM, LIKE.
    pub const IMPLIED: [&str; 8] = ["=", "<>", "<", ">", "<=", ">=", "~~", "~"];

    /// Is one of those not the server's own, so that no text can be told harmless by its names?
    #[must_use]
    pub fn implies_strangers(&self) -> bool {
        self.everything.is_some()
            || self.stock.is_none()
            || Codes::IMPLIED
                .iter()
                .any(|name| self.operators.get(*name).is_some_and(|all| all.iter().any(|one| !one.distant)))
    }

    /// Is there code of users that cannot be followed? What came with the server does not change
    /// unseen, and is known by its name.
    #[must_use]
    pub fn has_unfollowed(&self) -> bool {
        let own = |one: &&Stranger| !matches!(&*one.schema, "pg_catalog" | "information_schema");
        let called = self.functions.values().chain(self.operators.values()).flatten().filter(own);
        let relations = self.relations.values().flatten();
        let relations = relations.filter(|one| !matches!(&*one.schema, "pg_catalog" | "information_schema"));
        self.everything.is_some()
            || called.map(|one| &one.code).chain(self.types.values()).any(|code| !code.proven)
            || relations.flat_map(|one| one.read.iter().chain(&one.written)).any(|code| !code.proven)
    }

    /// Does any function or operator wait for a type that is not the server's own?
    #[must_use]
    pub fn awaits_types(&self) -> bool {
        self.functions.values().chain(self.operators.values()).flatten().any(|one| one.distant)
    }
}
