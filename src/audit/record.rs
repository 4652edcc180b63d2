//! The audit record: one JSON object a line, with the names that reports rely on.

use std::sync::Arc;

use super::level::{Durability, LeaseTerms};
use super::subjects::Subjects;
use crate::catalog::Field;
use crate::seal::KeyringIdentity;
use crate::statement::{Action, Replication};

/// Names one execution of a statement: unique within a node's run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Execution {
    pub session: u64,
    pub number: u64,
}

/// Who acts, fixed for a session after login. Text is cut and escaped when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub session: u64,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub application: Arc<str>,
    /// Address of the client, without the port.
    pub client: Arc<str>,
    pub region: Arc<str>,
    /// `relay`, `scram` or `scram-plus`.
    pub auth: &'static str,
    /// Whom the client's certificate names, where it showed one.
    pub certificate: Option<Arc<str>>,
    /// Behind a pool: for whom it asks and what for, as the application states it.
    pub end_user: Option<Arc<str>>,
    /// `stated`, or `token` where a token has proven it.
    pub end_user_auth: &'static str,
    pub purpose: Option<Arc<str>>,
}

impl Who {
    /// Sealgate itself.
    #[must_use]
    pub fn sealgate() -> Who {
        let nobody: Arc<str> = Arc::from("");
        Who {
            session: 0,
            user: nobody.clone(),
            database: nobody.clone(),
            application: Arc::from("sealgate"),
            client: nobody.clone(),
            region: nobody,
            certificate: None,
            end_user: None,
            end_user_auth: "stated",
            purpose: None,
            auth: "none",
        }
    }
}

/// One classified field in a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldUse {
    /// `schema.table.column`
    pub field: Arc<str>,
    pub class: Arc<str>,
    /// `random`, `equality` or `none`.
    pub mode: &'static str,
}

impl FieldUse {
    /// How a field is named in every record.
    #[must_use]
    pub fn of(field: &Field) -> FieldUse {
        FieldUse {
            field: field.path().into(),
            class: field.class.clone(),
            mode: field.domain.as_ref().map_or("none", |domain| domain.mode.name()),
        }
    }
}

/// How sure it is that the fields of a record were met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Attribution {
    /// By the statement's own text.
    Known,
    /// They may have been: by code that cannot be followed, or in what the server said.
    Possible,
}

/// Made durable before the first classified value of an execution is released, and
/// before a write goes upstream.
#[derive(Clone, Debug)]
pub struct Intent {
    pub who: Arc<Who>,
    pub execution: Execution,
    pub action: Action,
    pub attribution: Attribution,
    pub fields: Arc<[FieldUse]>,
    pub fingerprint: Arc<str>,
    /// Literal-free.
    pub statement: Arc<str>,
    /// The policy rule that said yes.
    pub rule: &'static str,
    /// What a walsender streams, where this is one.
    pub replication: Option<Arc<Replication>>,
    /// It covers further executions of the same statement in the same session, within these bounds.
    pub lease: Option<LeaseTerms>,
}

/// What came of an execution.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub who: Arc<Who>,
    pub execution: Execution,
    pub action: Action,
    pub attribution: Attribution,
    pub fields: Arc<[FieldUse]>,
    pub fingerprint: Arc<str>,
    pub rows: u64,
    /// Classified values released; where they were possibly met, all values, and messages.
    pub cells: u64,
    /// Bytes of released classified values; of a stream, all of its bytes.
    pub bytes: u64,
    /// The server's or our own error, if it ended in one.
    pub sqlstate: Option<[u8; 5]>,
    /// Of a write: does it hold? None: it is not known.
    pub committed: Option<bool>,
    /// What a walsender streamed, where this was one.
    pub replication: Option<Arc<Replication>>,
    /// The execution whose intent's lease it has used.
    pub lease: Option<u64>,
    /// This is the end of that lease: so many executions have used it, and no other will. Rows, cells and
    /// bytes are those of all of them.
    pub executions: Option<u64>,
    /// It tells what came so far; another follows when it is over.
    pub partial: bool,
    /// Whose data it met. None: no field of it says whose its values are.
    pub subjects: Option<Arc<Subjects>>,
}

/// A statement, startup or value that was refused.
#[derive(Clone, Debug)]
pub struct RefusalRecord {
    pub who: Arc<Who>,
    /// That of the execution, where it had become one.
    pub statement_id: u64,
    pub sqlstate: &'static str,
    /// The rule or reason; no value, no literal.
    pub rule: Arc<str>,
    /// Those that it names, as far as they are known.
    pub fields: Arc<[FieldUse]>,
    /// Literal-free; where the text could be read.
    pub statement: Option<Arc<str>>,
    pub fingerprint: Option<Arc<str>>,
}

/// A session began or ended.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    pub who: Arc<Who>,
    /// `begin`, `end`.
    pub event: &'static str,
    /// By whose keys its values are sealed and opened, where any are.
    pub keyring: Option<KeyringIdentity>,
    /// How durable its records are before it goes on.
    pub durability: Durability,
    pub lease: Option<LeaseTerms>,
}

/// A login that failed, or a start that was refused before it.
#[derive(Clone, Debug)]
pub struct LoginRecord {
    /// What the client said of itself; nobody has proven it.
    pub who: Arc<Who>,
    /// What the client was told.
    pub sqlstate: [u8; 5],
    /// Who said no: `gate` or `server`.
    pub rule: &'static str,
    /// Failures before this one that were too many to be told one by one.
    pub untold: u64,
}

/// Something that was done with Sealgate itself.
#[derive(Clone, Debug)]
pub struct AdminRecord {
    /// `start`, `stop`, `reload`, `keys-init`.
    pub event: &'static str,
    /// `applied`, `refused`.
    pub verdict: &'static str,
    /// What of it, or why not. No secret.
    pub rule: Arc<str>,
    /// The account of the host that ran the verb; none: the running process itself.
    pub account: Option<Arc<str>>,
    /// The keyring that is in use from then on. None of what was refused.
    pub keyring: Option<KeyringIdentity>,
}

/// Something worth waking up for.
#[derive(Clone, Debug)]
pub struct Alert {
    pub who: Arc<Who>,
    /// Of the execution that it is about, if it is about one.
    pub statement_id: Option<u64>,
    pub detector: &'static str,
    /// `warning`, `critical`.
    pub severity: &'static str,
    /// What was done: `alert`, `cut`.
    pub verdict: &'static str,
    /// No values.
    pub rule: Arc<str>,
    pub fields: Arc<[FieldUse]>,
    /// The incident that it is a part of, once it has been raised.
    pub incident: Arc<str>,
    /// Of what was learned: why it is unusual.
    pub unusual: Option<Arc<Unusual>>,
    /// It is about the end user, and not about all of the login user.
    pub by_end_user: bool,
}

/// Why an access is unusual.
#[derive(Clone, PartialEq, Debug)]
pub struct Unusual {
    /// Names the alert for operators: 16 hexadecimal digits.
    pub id: String,
    /// Login user, or it and the end user whom a token has proven.
    pub principal: String,
    /// In thousandths.
    pub score: u64,
    /// The strongest reasons, at most three, each with what it compares. No values.
    pub reasons: Vec<String>,
}

/// One line of the journal, before it has a sequence number and a time.
#[derive(Clone, Debug)]
pub enum Record {
    Intent(Intent),
    Outcome(Outcome),
    Refusal(RefusalRecord),
    Session(SessionRecord),
    Login(LoginRecord),
    Alert(Alert),
    Admin(AdminRecord),
}

impl Record {
    /// The record's `kind`, in the words of the audit record.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Record::Intent(_) => "intent",
            Record::Outcome(_) => "outcome",
            Record::Refusal(_) => "refusal",
            Record::Session(_) => "session",
            Record::Login(_) => "login",
            Record::Alert(_) => "alert",
            Record::Admin(_) => "admin",
        }
    }
}

/// A record and the time at which it was handed in.
#[derive(Clone, Debug)]
pub struct Entry {
    pub record: Record,
    /// Microseconds since the Unix epoch.
    pub time_us: u64,
}
