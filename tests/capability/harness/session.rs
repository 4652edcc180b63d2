//! A driver's session, usable from a test that is not async.

use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row, SimpleQueryMessage};

use super::PATIENCE;

/// A logged-in `tokio_postgres` client with the runtime that drives it, while a call waits.
pub struct Session {
    runtime: Runtime,
    pub client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    pub fn open(
        address: SocketAddr,
        user: &str,
        password: Option<&str>,
        database: &str,
    ) -> Result<Session, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut config = Config::new();
        config.host(address.ip().to_string()).port(address.port()).user(user).dbname(database);
        config.connect_timeout(PATIENCE);
        if let Some(password) = password {
            config.password(password);
        }
        let (client, connection) = runtime.block_on(config.connect(NoTls))?;
        let driver = runtime.spawn(async move {
            // The client's own calls tell when the connection has ended.
            let _ = connection.await;
        });
        Ok(Session { runtime, client, driver })
    }

    /// Runs a future of this session's client, with a deadline.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.block_on(bounded).unwrap()
    }

    /// The extended protocol: parameters and results in binary.
    pub fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.block_on(self.client.query(sql, parameters))
    }

    /// The simple protocol: all rows of all statements as text.
    pub fn text(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let messages = self.block_on(self.client.simple_query(sql))?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
