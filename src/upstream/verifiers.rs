//! The server's password verifiers, for login `scram`: asked by `auth_query` over a service
//! connection that all sessions of the process share.
//!
//! Nothing is kept: a changed password, and one whose time has run out, count at once. The
//! server's clock decides on VALID UNTIL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::dial::today;
use super::service::{Access, ServiceConnection, ServiceError};
use crate::login::scram::{ITERATIONS_DEFAULT, Verifier};

/// The query where none is configured. `$1` is the user's name; one row with the verifier
/// comes back, or NULL where the user has none or its time has run out, or no row.
pub const AUTH_QUERY_DEFAULT: &str = "SELECT CASE WHEN rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() \
     THEN NULL ELSE rolpassword END FROM pg_catalog.pg_authid \
     WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin";

/// From the question to the answer, with waiting, dialling and a second attempt: long enough
/// to find out that one address is dead and to ask at another.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// Questions on their way to the server. Further sessions wait for one of these to be
/// answered, each within its own [`ANSWER_TIMEOUT`]; how many those are is the gate's limit.
pub const QUESTIONS_MAX: usize = 256;
/// Longest name of a role, in bytes (`NAMEDATALEN - 1`).
const NAME_BYTES_MAX: usize = 63;

/// Where the verifiers come from.
#[derive(Clone)]
pub struct VerifierSource {
    /// The query runs in its database.
    pub access: Arc<Access>,
    /// A SELECT of one text column and at most one row, by the user's name as `$1` (`text`).
    pub query: String,
}

/// What the server says of a user.
pub struct Answer {
    /// None where the user must not log in by SCRAM: there is no such user, or no verifier,
    /// or one of another kind, or its time has run out.
    pub verifier: Option<Verifier>,
    /// Iterations that the server gives to a new verifier, for mock exchanges.
    pub iterations: u32,
}

/// Why there is no answer. `Display` is for the operator and says what to do; no verifier
/// and no user's name is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VerifierError {
    /// No connection for the service account.
    Service(ServiceError),
    /// The server refused the query.
    Refused {
        sqlstate: String,
        /// Empty where the server's text could hold a value.
        message: String,
    },
    /// The query's result is not one text column of at most one row.
    Misfit(&'static str),
    /// [`ANSWER_TIMEOUT`] passed.
    TimedOut,
}

impl VerifierError {
    /// The SQLSTATE of the FATAL that the client is told.
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            VerifierError::Service(ServiceError::Unreachable(_) | ServiceError::TimedOut(_))
            | VerifierError::TimedOut => "08006",
            VerifierError::Service(ServiceError::Server { .. })
            | VerifierError::Refused { .. }
            | VerifierError::Misfit(_) => "28000",
        }
    }

    /// What the client is told: nothing of the server's inside.
    #[must_use]
    pub fn client_message(&self) -> &'static str {
        if self.sqlstate() == "08006" {
            "sealgate: the database server cannot be reached"
        } else {
            "sealgate: the database server does not let the gate check passwords"
        }
    }
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifierError::Service(error) => write!(f, "login.auth_query: service account: {error}"),
            VerifierError::Refused { sqlstate, message } => {
                write!(f, "login.auth_query: the server answered {sqlstate}")?;
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                if sqlstate == "42501" {
                    f.write_str(
                        "; grant the service account SELECT on pg_catalog.pg_authid in the service database, \
                         or EXECUTE on the function that auth_query calls (and USAGE on its schema)",
                    )?;
                }
                Ok(())
            }
            VerifierError::Misfit(what) => {
                write!(f, "login.auth_query: {what}; it must be one text column and at most one row")
            }
            VerifierError::TimedOut => f.write_str("login.auth_query: the server took too long"),
        }
    }
}

impl std::error::Error for VerifierError {}

/// Asks for verifiers: cheap to clone, usable from any thread and runtime.
#[derive(Clone)]
pub struct Verifiers {
    shared: Arc<Shared>,
    /// Where connections and their questions live, however long the asker does.
    runtime: Handle,
    places: Arc<Semaphore>,
}

struct Shared {
    source: VerifierSource,
    query: String,
    live: ArcSwapOption<Live>,
    /// Held while dialling: one at a time.
    dialling: Mutex<()>,
}

/// A connection, and what was found there.
struct Live {
    service: ServiceConnection,
    iterations: u32,
}

impl Verifiers {
    /// Nothing is dialled before the first question. `runtime` must outlive the sessions.
    #[must_use]
    pub fn new(source: VerifierSource, runtime: Handle) -> Verifiers {
        let query = bounded(&source.query);
        let live = ArcSwapOption::empty();
        let shared = Arc::new(Shared { source, query, live, dialling: Mutex::new(()) });
        Verifiers { shared, runtime, places: Arc::new(Semaphore::new(QUESTIONS_MAX)) }
    }

    /// The verifier of `user`, as the StartupMessage names it. A name that no role can have
    /// is not asked for.
    ///
    /// # Errors
    /// See [`VerifierError`]; it has been logged.
    pub async fn ask(&self, user: &[u8]) -> Result<Answer, VerifierError> {
        let answer = timeout(ANSWER_TIMEOUT, self.ask_in_turn(user)).await;
        let answer = answer.unwrap_or(Err(VerifierError::TimedOut));
        if let Err(error) = &answer {
            tracing::error!(%error, "a login could not be checked");
        }
        answer
    }

    async fn ask_in_turn(&self, user: &[u8]) -> Result<Answer, VerifierError> {
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.map_err(|_| VerifierError::TimedOut)?;
        let (shared, user) = (self.shared.clone(), name(user));
        // A question keeps its place until it is answered, even where nobody waits for it any
        // more: clients that come and go fill no queue.
        let question = self.runtime.spawn(async move { shared.answer(user, place).await });
        question.await.unwrap_or(Err(VerifierError::TimedOut))
    }
}

/// A name that a role can have.
fn name(user: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(user).ok()?;
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0')).then(|| name.to_owned())
}

/// More than one row is an error, so no more than two are asked for.
fn bounded(query: &str) -> String {
    format!("SELECT * FROM (\n{}\n) AS auth_query LIMIT 2", query.trim_end().trim_end_matches(';'))
}

impl Shared {
    /// Two attempts, since a connection is often found broken only by using it.
    async fn answer(
        &self,
        user: Option<String>,
        _place: OwnedSemaphorePermit,
    ) -> Result<Answer, VerifierError> {
        let mut used = None;
        let attempts = async {
            let mut last = false;
            loop {
                let live = used.insert(self.connected().await?);
                let answer = self.attempt(live, user.as_deref()).await;
                let broken = answer.as_ref().is_err_and(is_broken);
                if broken {
                    self.give_up(live);
                }
                if !broken || last {
                    return answer;
                }
                last = true;
            }
        };
        match timeout(ANSWER_TIMEOUT, attempts).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Attempt::Dial(error))) => Err(VerifierError::Service(error)),
            Ok(Err(Attempt::Query(error))) => Err(told(error)),
            Ok(Err(Attempt::Misfit(what))) => Err(VerifierError::Misfit(what)),
            Err(_) => {
                // Whatever waits behind a question that is not answered waits in vain.
                if let Some(live) = used {
                    self.give_up(&live);
                }
                Err(VerifierError::TimedOut)
            }
        }
    }

    async fn attempt(&self, live: &Live, user: Option<&str>) -> Result<Answer, Attempt> {
        let iterations = live.iterations;
        let Some(user) = user else { return Ok(Answer { verifier: None, iterations }) };
        let rows = live.service.rows(&self.query, &[(&user, Type::TEXT)]).await.map_err(Attempt::Query)?;
        let row = match rows.as_slice() {
            [] => return Ok(Answer { verifier: None, iterations }),
            [row] if row.len() == 1 => row,
            [_] => return Err(Attempt::Misfit("the query has more than one column")),
            _ => return Err(Attempt::Misfit("the query returns more than one row for a user")),
        };
        let text: Option<&str> =
            row.try_get(0).map_err(|_| Attempt::Misfit("the query's column is not of type text"))?;
        Ok(Answer { verifier: text.and_then(Verifier::parse), iterations })
    }

    /// The connection in use, or a new one.
    async fn connected(&self) -> Result<Arc<Live>, Attempt> {
        if let Some(live) = self.usable() {
            return Ok(live);
        }
        let _dialling = self.dialling.lock().await;
        // Whoever had the lock before may have dialled.
        if let Some(live) = self.usable() {
            return Ok(live);
        }
        let live = Arc::new(self.dial().await.map_err(Attempt::Dial)?);
        self.live.store(Some(live.clone()));
        Ok(live)
    }

    fn usable(&self) -> Option<Arc<Live>> {
        let live = self.live.load_full()?;
        (!live.service.is_closed()).then_some(live)
    }

    /// Unless somebody else has replaced it.
    fn give_up(&self, live: &Arc<Live>) {
        self.live.compare_and_swap(live, None);
    }

    /// The first server that lets us in.
    async fn dial(&self) -> Result<Live, ServiceError> {
        let Access { dialer, account, database, .. } = &*self.source.access;
        let (service, _) = ServiceConnection::first(dialer, account, database, today()).await?;
        let iterations = iterations(&service).await?;
        Ok(Live { service, iterations })
    }
}

/// `scram_iterations`, which servers have from 16 on.
async fn iterations(service: &ServiceConnection) -> Result<u32, ServiceError> {
    let rows = service.rows("SELECT pg_catalog.current_setting('scram_iterations', true)", &[]).await?;
    let text: Option<&str> = rows.first().and_then(|row| row.try_get(0).ok()).flatten();
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(ITERATIONS_DEFAULT))
}

/// How an attempt failed.
enum Attempt {
    Dial(ServiceError),
    Query(ServiceError),
    Misfit(&'static str),
}

/// Has the connection broken, or is it about to? `08` says so, and `57P01` to `57P05`:
/// shutdown, crash, a session that was idle for too long.
fn is_broken(failed: &Attempt) -> bool {
    match failed {
        Attempt::Query(ServiceError::Unreachable(_) | ServiceError::TimedOut(_)) => true,
        Attempt::Query(ServiceError::Server { sqlstate, .. }) => {
            sqlstate.starts_with("57P") || sqlstate.starts_with("08")
        }
        Attempt::Dial(_) | Attempt::Misfit(_) => false,
    }
}

/// An error of the query, for the operator. A text may quote what the query has read, a
/// verifier, unless it is about the query itself, rights or resources.
fn told(error: ServiceError) -> VerifierError {
    match error {
        ServiceError::Server { sqlstate, message } => {
            let quotes_nothing =
                ["08", "28", "3D", "3F", "42", "53", "57"].iter().any(|class| sqlstate.starts_with(class));
            VerifierError::Refused { message: if quotes_nothing { message } else { String::new() }, sqlstate }
        }
        ServiceError::TimedOut(_) => VerifierError::TimedOut,
        ServiceError::Unreachable(_) => VerifierError::Service(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_role_can_have_are_asked_for() {
        assert_eq!(name(b"ada").as_deref(), Some("ada"));
        assert_eq!(name(&[b'a'; 63]).map(|name| name.len()), Some(63));
        for user in [&b""[..], &[b'a'; 64], b"a\xff", b"a\0b"] {
            assert!(name(user).is_none(), "{user:?}");
        }
    }

    #[test]
    fn a_text_that_could_quote_a_verifier_is_not_told() {
        let server = |sqlstate: &str| ServiceError::Server {
            sqlstate: sqlstate.to_owned(),
            message: "invalid input syntax for type integer: \"SCRAM-SHA-256$...\"".to_owned(),
        };
        for sqlstate in ["22P02", "P0001", "XX000"] {
            assert!(!told(server(sqlstate)).to_string().contains("SCRAM"), "{sqlstate}");
        }
        assert!(told(server("42501")).to_string().contains("SCRAM"));
    }
}
