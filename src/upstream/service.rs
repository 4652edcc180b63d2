//! The service connection: Sealgate's own session on the server, by which it reads the
//! catalog, the password verifiers and the replication views. Nothing of a client's ever
//! goes through it.

use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};
use zeroize::Zeroizing;

use super::dial::{DialError, Dialer, Route};
use crate::login::binding::tls_server_end_point;
use crate::residency::Date;
use crate::transport::{Channel, Line, ServiceStream};

/// From the first packet to the end of the login.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One statement, here; the server's own `statement_timeout` is a little shorter, so that
/// its error is the one that is seen.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of every service session. Names of relations are always written with their
/// schema; the path is set all the same, and `pg_temp` stands last in it. To compile a question
/// about a catalog takes the server longer than to answer it.
const SESSION: &str = "SET default_transaction_read_only = on; \
    SET statement_timeout = '29s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '60s'; \
    SET search_path = pg_catalog, pg_temp; SET jit = off; \
    SET standard_conforming_strings = on";

/// Who the service connection logs in as. It holds a password: no `Debug`.
#[derive(Clone)]
pub struct ServiceAccount {
    pub user: String,
    pub password: Option<Zeroizing<String>>,
}

/// The way to the servers, and who asks there.
pub struct Access {
    pub dialer: Arc<Dialer>,
    pub account: ServiceAccount,
    /// Where it connects for what belongs to no database.
    pub database: String,
    /// Is nobody served where it does not get in: since it reads the verifiers (login `scram`), or
    /// the catalog of what is classified?
    pub is_needed: bool,
}

impl Access {
    /// To one server, in plain.
    #[must_use]
    pub fn plain(server: SocketAddr, account: ServiceAccount) -> Access {
        let dialer = Arc::new(Dialer::plain(server));
        Access { dialer, account, database: "postgres".to_owned(), is_needed: false }
    }
}

/// Why the service connection could not be made or used. Its texts are for the operator:
/// they come from the server and never hold a client's value, since none is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceError {
    /// No connection, or it broke.
    Unreachable(String),
    /// The server's own error, at login or later.
    Server { sqlstate: String, message: String },
    /// [`CONNECT_TIMEOUT`] or [`STATEMENT_TIMEOUT`] passed.
    TimedOut(&'static str),
}

impl ServiceError {
    /// The server's SQLSTATE, where the error is the server's.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            ServiceError::Server { sqlstate, .. } => Some(sqlstate),
            ServiceError::Unreachable(_) | ServiceError::TimedOut(_) => None,
        }
    }

    /// Does the server not take this login at all (class 28)?
    pub(super) fn is_refused_login(&self) -> bool {
        self.sqlstate().is_some_and(|sqlstate| sqlstate.starts_with("28"))
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Unreachable(reason) => write!(f, "the server cannot be reached: {reason}"),
            ServiceError::Server { sqlstate, message } => {
                write!(f, "the server answered {sqlstate}: {message}")
            }
            ServiceError::TimedOut(what) => write!(f, "the server took too long: {what}"),
        }
    }
}

impl std::error::Error for ServiceError {}

impl From<tokio_postgres::Error> for ServiceError {
    fn from(error: tokio_postgres::Error) -> ServiceError {
        match error.as_db_error() {
            Some(server) => ServiceError::Server {
                sqlstate: server.code().code().to_owned(),
                message: server.message().to_owned(),
            },
            None => ServiceError::Unreachable(with_source(&error)),
        }
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// One logged-in, read-only session. Its driver runs as a task of the runtime on which it
/// was made and ends with it.
pub struct ServiceConnection {
    client: Client,
    driver: JoinHandle<()>,
    tie: Arc<Tie>,
}

/// What others know of a service connection, and may do to it.
pub struct Tie {
    cut: AtomicBool,
    /// None where there was no descriptor for it.
    line: Option<Line>,
}

impl Tie {
    /// Has the server, or the network, or somebody here ended the session?
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// It is of no more use.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Ends it at once, without waiting for whoever keeps it. Nothing may be under way.
    pub fn hang_up(&self) {
        self.cut();
        if let Some(line) = &self.line {
            line.hang_up();
        }
    }
}

impl ServiceConnection {
    /// Dials an address that residency has already judged: no name is resolved here.
    ///
    /// # Errors
    /// Every kind of [`ServiceError`]; a refused login keeps the server's SQLSTATE.
    pub async fn connect(
        dialer: &Dialer,
        route: &Route,
        account: &ServiceAccount,
        database: &str,
    ) -> Result<ServiceConnection, ServiceError> {
        let mut reached = false;
        let login = async {
            let channel = dialer.reach(route, false).await?;
            reached = true;
            match ServiceConnection::log_in(channel, account, database).await {
                Err(ServiceError::Server { sqlstate, .. })
                    if sqlstate == "28000" && dialer.has_other_way(route) =>
                {
                    ServiceConnection::log_in(dialer.reach(route, true).await?, account, database).await
                }
                connected => connected,
            }
        };
        let connected = timeout(CONNECT_TIMEOUT, login).await.unwrap_or(Err(ServiceError::TimedOut("login")));
        match &connected {
            Ok(_) => dialer.account().none(route),
            // A server that does not accept our certificate may say so behind the handshake, by
            // no answer of its protocol.
            Err(error) if reached && (error.is_refused_login() || error.sqlstate().is_none()) => {
                dialer.account().found(route, &error.to_string(), "the service account is not let in");
            }
            Err(_) => {}
        }
        connected
    }

    /// The first server that lets us in, in the order in which sessions try them.
    ///
    /// # Errors
    /// The last one's.
    pub async fn first(
        dialer: &Dialer,
        account: &ServiceAccount,
        database: &str,
        today: Date,
    ) -> Result<(ServiceConnection, Route), ServiceError> {
        let mut last = None;
        for index in dialer.standings().order(Instant::now()) {
            match ServiceConnection::of_host(dialer, index, account, database, today).await {
                Ok(connected) => return Ok(connected),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(nowhere))
    }

    /// The first address of one server that lets us in.
    ///
    /// # Errors
    /// The last one's.
    pub async fn of_host(
        dialer: &Dialer,
        index: usize,
        account: &ServiceAccount,
        database: &str,
        today: Date,
    ) -> Result<(ServiceConnection, Route), ServiceError> {
        let mut last = None;
        for route in dialer.judge(index, today).await? {
            match ServiceConnection::connect(dialer, &route, account, database).await {
                Ok(service) => return Ok((service, route)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(nowhere))
    }

    async fn log_in(
        channel: Channel,
        account: &ServiceAccount,
        database: &str,
    ) -> Result<ServiceConnection, ServiceError> {
        let mut config = Config::new();
        config.user(&account.user).dbname(database).application_name("sealgate");
        if let Some(password) = &account.password {
            config.password(password.as_bytes());
        }
        // The channel is under TLS already, where it shall be.
        let tie = Arc::new(Tie { cut: AtomicBool::new(false), line: channel.line().ok() });
        let (client, driver) = if channel.tls().is_some() {
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            let (client, connection) = config.connect_raw(channel, UnderTls).await?;
            (client, tokio::spawn(drive(connection, Arc::clone(&tie))))
        } else {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect_raw(channel, NoTls).await?;
            (client, tokio::spawn(drive(connection, Arc::clone(&tie))))
        };
        let service = ServiceConnection { client, driver, tie };
        service.client.batch_execute(SESSION).await?;
        Ok(service)
    }

    /// Runs one statement. The statement itself limits how many rows come back.
    ///
    /// # Errors
    /// The server's; a statement that times out leaves the connection in an unknown state:
    /// drop it.
    pub async fn rows(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, ServiceError> {
        let answer = timeout(STATEMENT_TIMEOUT, self.client.query_typed(sql, parameters)).await;
        Ok(answer.map_err(|_| ServiceError::TimedOut("statement"))??)
    }

    /// Runs statements that return nothing.
    ///
    /// # Errors
    /// As [`ServiceConnection::rows`].
    pub async fn batch(&self, sql: &str) -> Result<(), ServiceError> {
        let answer = timeout(STATEMENT_TIMEOUT, self.client.batch_execute(sql)).await;
        Ok(answer.map_err(|_| ServiceError::TimedOut("statement"))??)
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    #[must_use]
    pub fn tie(&self) -> Arc<Tie> {
        Arc::clone(&self.tie)
    }
}

/// Whoever waits for an answer gets the error with which it ends.
async fn drive<E>(connection: impl Future<Output = Result<(), E>>, tie: Arc<Tie>) {
    drop(connection.await);
    tie.cut();
}

impl Drop for ServiceConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn nowhere() -> ServiceError {
    ServiceError::Unreachable("no server's address is allowed".to_owned())
}

impl From<DialError> for ServiceError {
    fn from(error: DialError) -> ServiceError {
        ServiceError::Unreachable(error.to_string())
    }
}

/// A handshake that is done already.
struct UnderTls;

impl TlsConnect<Channel> for UnderTls {
    type Stream = ServiceStream;
    type Error = std::io::Error;
    type Future = Ready<Result<ServiceStream, std::io::Error>>;

    fn connect(self, channel: Channel) -> Self::Future {
        ready(Ok(ServiceStream::new(channel, tls_server_end_point)))
    }
}
