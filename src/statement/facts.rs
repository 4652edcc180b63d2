//! What the street needs to know about a statement, and nothing of how it was found.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::read::signs::Signs;
use crate::catalog::{Base, Change, FieldId, Logical, NO_MODIFIER};
use crate::wire::charset::Coding;
use crate::wire::copy::Format;

/// What a statement does with classified fields, in the words of the audit record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// A classified column stands in a comparison, none in the output.
    Search,
    /// A classified column stands in the output.
    Read,
    /// A classified column is assigned (INSERT, UPDATE) or its rows are deleted.
    Write,
    /// What a classified table is, or who may use it, is changed.
    Define,
    /// Everything that there is goes to a replica, a subscriber or a backup.
    Replicate,
}

/// What a column of a result is, by the text alone: where a value is opened is decided here,
/// never by what it looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResultColumn {
    /// Nothing classified, whatever it looks like.
    Plain,
    /// It carries the values of this field.
    Field(FieldId),
    /// It carries values of one of these fields, or of the statement's own, sealed in the domain of all of them.
    Sealed(Arc<[FieldId]>, Told),
    /// The same as text, where it is of another type (`birth::text`).
    Text(Arc<[FieldId]>),
    /// A value made from these fields, which are classified but not sealed.
    Derived(Arc<[FieldId]>),
    /// Any number of columns (`*`). These fields are among them, as columns of their tables:
    /// RowDescription's origins say where.
    Run(Vec<FieldId>),
}

/// As which type a client is told an expression that passes sealed values on, beside what their columns are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Told {
    /// It has no length, precision or scale.
    pub lost: bool,
    /// It is what `=` takes: a `varchar` is text there.
    pub operand: bool,
    /// The type to which it is cast.
    pub cast: Option<Logical>,
}

impl Told {
    /// As which one of two is told, of which the server takes the type of both.
    #[must_use]
    pub fn beside(self, other: Told) -> Told {
        let texts = |of: Told| of.cast.filter(|cast| *cast == Logical::TEXT);
        let cast = if self.cast == other.cast { self.cast } else { texts(self).or(texts(other)) };
        Told { lost: self.lost || other.lost || self != other, operand: self.operand || other.operand, cast }
    }

    /// The type of a column that is told so.
    #[must_use]
    pub fn of(self, column: Logical) -> Logical {
        let cast = self.cast.filter(|cast| {
            cast.base.family() == column.base.family()
                && cast.array == column.array
                && cast.base != Base::Citext
        });
        let told = cast.unwrap_or(column);
        let taken = self.operand && told.base == Base::Varchar && !told.array;
        let told = if taken { Logical::TEXT } else { told };
        if self.lost { Logical { modifier: NO_MODIFIER, ..told } } else { told }
    }
}

/// What a value is, by the text, and what is done with it: so is found what is sealed in its place.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Taken {
    /// Its type, where the text says it: that of a number or a truth value, or the one to which it is cast.
    /// None: it is read as what it is stored in or compared with.
    pub given: Option<Logical>,
    /// The columns in which it is stored: it is rounded, cut and checked for them.
    pub stored: Vec<FieldId>,
    pub compared: Compared,
    /// What the text applies to it before, the innermost first: it is done by us then.
    pub folds: Vec<Fold>,
    /// It is cast to the enumeration or the domain that its column is declared as.
    pub own: bool,
    /// It is shown beside values of its domain and meets nothing (`COALESCE(amount, 0)`): as it is given.
    pub shown: bool,
}

/// A function that makes a text of a text, and of which is known what it makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fold {
    Lower,
    Upper,
    /// `trim`, `btrim`: blanks on both sides go.
    Trim,
    LeftTrim,
    RightTrim,
    /// `::text` of a value of another type: it is shown, or compared with what is written alike.
    Text,
}

impl Fold {
    /// A normalization to lower case stands for it: what it makes of two values is equal where these are.
    #[must_use]
    pub fn is_of_case(self) -> bool {
        matches!(self, Fold::Lower | Fold::Upper)
    }
}

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Compared {
    #[default]
    Not,
    /// By `=` and what rests on it: both sides are normalized.
    Equal,
    /// With what is normalized (`lower(email) = $1`), and is not so itself.
    Exactly,
    /// By LIKE or ILIKE: it may hold no wildcards.
    Like,
    /// With the text that the server makes of a value (`id::text = $1`): it is the value that is written so.
    AsText,
    /// Only by the statement itself, or with NULL: it stands for nothing that is stored. Where a parameter is
    /// text it is sealed all the same: it may be the value that another one is compared with.
    Asked,
}

/// One literal of the source text that means a classified value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiteralUse {
    /// Byte range in the original text, quotes included.
    pub span: Range<usize>,
    pub field: FieldId,
    pub form: LiteralForm,
    /// It is an array of such values (`= ANY('{a,b}')`).
    pub array: bool,
    pub taken: Taken,
}

/// How a literal is written (chapter 4.1.2 of PostgreSQL's manual).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiteralForm {
    /// `'...'`, in which a backslash is a character.
    Plain,
    /// `E'...'`, or `'...'` where a backslash begins an escape.
    Escaped,
    /// `U&'...'`, with the backslash as its escape.
    Unicode,
    /// `$tag$...$tag$`
    Dollar,
    /// Digits, with a sign before and a point or an exponent among them.
    Number,
    /// TRUE or FALSE.
    Word,
    /// TRUE, with `=` before it, that the text does not have: its place is that behind a truth value.
    Truth,
    /// `ARRAY[...]` of constants, as one value: the text of the array.
    Array {
        /// A backslash in `'...'` is a character.
        conforming: bool,
    },
}

/// One `$n` that means a classified value, everywhere it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParameterUse {
    /// From 1, as in the text that goes to the server.
    pub number: u16,
    /// As in the client's text: the value that the client gives to this one. Another number only where one
    /// parameter of the client stands for values of several domains, which are several to the server; those
    /// come behind all that the client has.
    pub given: u16,
    pub field: FieldId,
    /// The parameter is an array of such values (`= ANY($1)`).
    pub array: bool,
    pub taken: Taken,
}

impl ParameterUse {
    /// Is it one that only the server has?
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.number != self.given
    }
}

/// What becomes of the definitions of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Boundary {
    Savepoint(Arc<str>),
    Release(Arc<str>),
    RollbackTo(Arc<str>),
    /// ROLLBACK: nothing of it stays.
    Undone,
    /// PREPARE TRANSACTION: anybody may commit it at any time.
    Prepared,
    /// The transaction ends, by whatever else.
    End,
}

/// What a statement changes beside rows.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Effect {
    /// DDL or anything else after which the catalog must be read again.
    pub catalog: bool,
    /// Of such: all that it changes of what texts are judged by. None: nobody can tell.
    pub changes: Option<Arc<[Change]>>,
    /// It may change what names or columns of tables that matter mean, by a lock that keeps
    /// everybody else from them.
    pub moves: bool,
    /// Bare names of views that it makes, or gives another name or place.
    pub makes: Vec<Arc<str>>,
    /// What any text does may be another thing once it has run: nothing of others may be under way.
    pub alters_all: bool,
    /// EXECUTE: what it does is what the statement of that name does.
    pub executes: Option<Arc<Executes>>,
    /// DECLARE, PREPARE.
    pub names: Option<Arc<NamedQuery>>,
    /// FETCH, MOVE: what it shows is what the portal of that name shows.
    pub fetches: Option<Arc<Fetches>>,
    /// CLOSE, DEALLOCATE, DISCARD.
    pub closes: Option<Closes>,
    /// What it states of who asks, and what for, in its order.
    pub states: Vec<States>,
    /// Hosts of other servers to which it makes a way.
    pub links: Vec<Arc<str>>,
    /// A database in which the server wants no other session meanwhile.
    pub wants: Option<Arc<str>>,
    /// It may change how the server reads the texts after it (string mode, encoding):
    /// until the server says so, a text that depends on the reading is not certain.
    pub reading: bool,
    /// It may change `client_encoding`, by what it says itself: what is shown from then on may be wanted
    /// in another.
    pub converts: bool,
    /// Of such: the one that it names, where that is known.
    pub encoding: Option<Coding>,
    /// It sets what no plain constant names.
    pub configures: bool,
}

/// What an application can state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stated {
    /// The end user: `sealgate.user`.
    User,
    /// What for: `sealgate.purpose`.
    Purpose,
}

/// What a statement makes of what is stated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum States {
    /// `local`: until the transaction ends.
    Set {
        what: Stated,
        value: Arc<str>,
        local: bool,
    },
    /// It is again as it was at the start of the session.
    Reset {
        what: Stated,
        local: bool,
    },
    ResetAll,
    /// A token by which the end user is proven: its literal, which does not go to the server.
    Token {
        span: Range<usize>,
        form: LiteralForm,
        local: bool,
    },
    /// What such a token has proven.
    Proven {
        name: Arc<str>,
        /// Seconds since the Unix epoch.
        expires_s: u64,
        local: bool,
    },
    NoToken {
        local: bool,
    },
    /// Nobody can say what.
    Doubt,
}

/// What a comment says of its own text.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Said {
    pub user: Option<Arc<str>>,
    pub purpose: Option<Arc<str>>,
}

/// A query that SQL gives a name, to be run by that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedQuery {
    pub name: Arc<str>,
    pub of: NameOf,
    /// Of the query once it runs.
    pub facts: StatementFacts,
}

/// What a name of SQL means: two spaces of names, which the protocol shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NameOf {
    /// DECLARE; `holds`: WITH HOLD. `opened`: by a function, whose row tells the name, whether or not the text does.
    Portal { holds: bool, opened: bool },
    /// PREPARE, with the types of its parameters (`pg_type.oid`) as far as their names tell; 0: it does not say.
    Statement { types: Vec<u32> },
}

/// What reads on from a portal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetches {
    pub portal: Arc<str>,
    /// MOVE: no row is shown.
    pub moves: bool,
    /// What the portal is has taken the place of these facts.
    pub known: bool,
}

/// What runs a statement by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Executes {
    pub statement: Arc<str>,
    pub how: Executed,
    pub arguments: Vec<Argument>,
    /// What the statement is has taken the place of these facts.
    pub known: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Executed {
    Shown,
    /// EXPLAIN; `runs`: with ANALYZE.
    Explained {
        runs: bool,
    },
    /// CREATE TABLE AS, or whatever else names it.
    Kept,
}

/// What EXECUTE gives to a parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    Null,
    Literal(Range<usize>, LiteralForm),
    Elements(Vec<Argument>),
    /// An expression.
    Other,
}

/// Names that mean nothing any more. None: all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closes {
    Portals(Option<Arc<str>>),
    Statements(Option<Arc<str>>),
    /// DISCARD ALL.
    Everything,
}

/// Which names of its session may mean something else behind code that runs.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Renames {
    #[default]
    Nothing,
    /// Its code is read, and opens and closes cursors at the most.
    Portals,
    /// Nobody has read it.
    Anything,
}

/// The data of a COPY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyFacts {
    /// From the client, or to it.
    pub from: bool,
    pub format: Format,
    /// FROM: the field of each of its columns.
    pub fields: Vec<Option<FieldId>>,
    /// Names of its columns; empty where the server makes one up.
    pub names: Vec<Arc<str>>,
    /// The encoding of its data; none: the client's.
    pub coding: Option<Coding>,
}

/// A column that says whose data is in the rows of its table, and where a statement tells its values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectUse {
    /// `schema.table.column`
    pub column: Arc<str>,
    /// The fields of the table that are used.
    pub fields: Vec<FieldId>,
    /// What it is itself, where that is a field.
    pub field: Option<FieldId>,
    /// How its values are written, where `field` does not say it. None: they are not followed.
    pub logical: Option<Logical>,
    /// By which table and column RowDescription names it, where each row of the result is one row of that table.
    pub origin: Option<(u32, i16)>,
    /// Its place in the result, where that has columns of several rows of the table.
    pub shown: Option<usize>,
    /// Its place in the data of a COPY.
    pub place: Option<usize>,
    /// All that it can be in the rows that are met, by the text.
    pub named: Vec<SubjectValue>,
    /// Why nobody can say it where none of these does.
    pub why: &'static str,
}

/// A value of the text that says whose data is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubjectValue {
    Literal {
        span: Range<usize>,
        form: LiteralForm,
        given: Option<Logical>,
    },
    /// From 1, as in the text; `given`: what it is cast to.
    Parameter {
        number: u16,
        given: Option<Logical>,
    },
}

/// Facts of one statement of a text.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct StatementFacts {
    /// Sorted, without duplicates: every field that `outputs` name.
    pub reads: Vec<FieldId>,
    /// The columns of the result, in order. Empty where the statement returns no rows.
    pub outputs: Vec<ResultColumn>,
    pub searches: Vec<FieldId>,
    pub writes: Vec<FieldId>,
    /// Of a definition: the fields of the tables that matter and that it names. None: it is none.
    pub defines: Option<Vec<FieldId>>,
    pub literals: Vec<LiteralUse>,
    pub parameters: Vec<ParameterUse>,
    pub effect: Effect,
    /// What it does to that which its transaction has defined so far.
    pub boundary: Option<Boundary>,
    /// The statement with every literal replaced, cut to a bounded length: safe to record.
    pub shape: Arc<str>,
    /// Bytes to be put into the text, by the place where: what it leaves to the server to
    /// decide, written out as it was judged (a schema, a list of columns).
    pub insertions: BTreeMap<usize, String>,
    /// Bytes that take the place of others, beside literals: a call or a cast that has been done before
    /// a value is sealed, and the types of columns that are sealed.
    pub rewrites: Vec<Edit>,
    /// It is an INSERT without a list of columns, whose order the catalog alone tells.
    pub positional: bool,
    /// It joins naturally with relations that are not classified: which of their columns, their names
    /// decide.
    pub joins: bool,
    /// The bare names of the tables that matter and that it reads, writes or defines.
    pub relations: Vec<Arc<str>>,
    /// Those of which it may change what their names or columns mean.
    pub moved: Vec<Arc<str>>,
    /// It calls nothing, and uses no operator or type, but what everybody's statements do.
    pub is_quiet: bool,
    /// It runs code that nobody can follow, in a database with fields that the server can read: it
    /// may read any of them. What that code is.
    pub opaque: Option<Arc<str>>,
    /// Its rows are the text of a plan.
    pub explained: bool,
    /// COPY whose data has classified columns.
    pub copy: Option<Arc<CopyFacts>>,
    /// The code that it runs may make names mean something else.
    pub renames: Renames,
    /// It defines something over code that is not proven to reach no sealed column: until that is
    /// committed nobody knows what is given to it.
    pub keeps: bool,
    /// It has a value that goes on as it is.
    pub gives: bool,
    /// Whose data it meets: one entry for each column that says so of fields that it uses.
    pub subjects: Vec<SubjectUse>,
    /// 16 hexadecimal digits, equal for statements that differ in literals alone.
    pub fingerprint: Arc<str>,
    /// Of a definition that is made otherwise than it is written: what the client is told when it is done.
    pub note: Option<&'static str>,
}

impl StatementFacts {
    /// Does this statement touch any classified field?
    #[must_use]
    pub fn touches(&self) -> bool {
        !(self.reads.is_empty() && self.searches.is_empty() && self.writes.is_empty())
    }

    /// How many parameters the client has, where the server has more of them.
    #[must_use]
    pub fn parameters_of_client(&self) -> Option<usize> {
        let own = self.parameters.iter().find(|parameter| parameter.is_own())?;
        Some(usize::from(own.number).saturating_sub(1))
    }

    /// Is something to be on record of it: what it touches, or what it may read?
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.action().is_some() || self.opaque.is_some()
    }

    /// Has it no part in anything that is judged: no field, no effect beside rows?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_recorded() && self.effect == Effect::default() && !self.is_spelled()
    }

    /// Is anything of its text said otherwise, or sealed?
    #[must_use]
    pub fn is_spelled(&self) -> bool {
        !(self.insertions.is_empty() && self.rewrites.is_empty() && self.literals.is_empty())
    }

    /// The strongest word for it.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        if !self.writes.is_empty() {
            Some(Action::Write)
        } else if !self.reads.is_empty() {
            Some(Action::Read)
        } else if !self.searches.is_empty() {
            Some(Action::Search)
        } else {
            self.defines.as_ref().map(|_| Action::Define)
        }
    }
}

/// Facts of a whole text (a simple Query may hold several statements).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct TextFacts {
    pub statements: Vec<StatementFacts>,
    /// What must be spelled otherwise before the text is sent, sorted and without overlap: so
    /// that it means what was judged in every string mode, encoding and search path.
    pub edits: Vec<Edit>,
    /// Its names were looked up on the search path.
    pub by_path: bool,
    /// What a comment of it says of who asks, and what for.
    pub said: Option<Arc<Said>>,
    /// Of an injection; looked for where something is on record.
    pub signs: Signs,
}

/// Bytes that take the place of others. `span` may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    pub span: Range<usize>,
    pub new: Vec<u8>,
    /// `new` holds text of the client.
    pub quotes: bool,
}

/// It may hold a literal.
impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit").field("span", &self.span).finish_non_exhaustive()
    }
}

/// What could make a refused text provable after all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remedy {
    Nothing,
    /// The session's search path.
    Path,
    /// In which schema of the search path a table is made.
    Creation,
    /// Whether the session has a temporary relation of this name.
    Temporary(String),
    /// It names what the snapshot lacks, or cannot be read: the fault may be the client's, and
    /// then the server's error is the answer.
    Server,
}

/// Why a text could not be proven handled. Holds no value and no literal of the text
/// (names of relations and columns are allowed), so it may be shown and recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unproven {
    /// Short stable word for the metric `sealgate_refusals_total{reason}`.
    pub reason: &'static str,
    /// What stands where it cannot: becomes DETAIL.
    pub detail: String,
    /// How to write it: becomes HINT.
    pub hint: String,
    pub remedy: Remedy,
}
