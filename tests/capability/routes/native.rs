//! What applications do with tokio-postgres: a program as those of `tests/drivers`, in this one.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, pin_mut};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage, Socket};
use tokio_rustls::TlsConnector;

use super::{PASSWORD, USER, VERSIONS, routes, server};
use crate::hops::{Certificates, turn_tls_on};

/// Where the server is, and how it is spoken to.
struct Way<'a> {
    host: &'a str,
    port: u16,
    tls: Option<Tls>,
}

impl Way<'_> {
    /// A session, and what it is told on the side: notices and notifications as they come.
    async fn connect(
        &self,
        password: &str,
    ) -> Result<(Client, mpsc::Receiver<String>), tokio_postgres::Error> {
        let mut config = Config::new();
        config.host(self.host).port(self.port).user(USER).password(password).dbname("postgres");
        match &self.tls {
            None => open(config.ssl_mode(SslMode::Disable), NoTls).await,
            Some(tls) => open(config.ssl_mode(SslMode::Require), tls.clone()).await,
        }
    }

    async fn cancel(&self, client: &Client) {
        let token = client.cancel_token();
        let cancelled = match &self.tls {
            None => token.cancel_query(NoTls).await,
            Some(tls) => token.cancel_query(tls.clone()).await,
        };
        cancelled.unwrap();
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<(Client, mpsc::Receiver<String>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect(tls).await?;
    let (teller, told) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            let text = match message {
                AsyncMessage::Notice(notice) => format!("notice {}", notice.message()),
                AsyncMessage::Notification(it) => format!("heard {} {}", it.channel(), it.payload()),
                _ => "something else".to_owned(),
            };
            drop(teller.try_send(text));
        }
    });
    Ok((client, told))
}

/// TLS by rustls, as this driver's users have it: the name is verified.
#[derive(Clone)]
struct Tls(TlsConnector);

impl Tls {
    fn trusting(certificates: &Certificates) -> Tls {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificates.root()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        Tls(TlsConnector::from(Arc::new(config)))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Named;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Named, InvalidDnsNameError> {
        Ok(Named(self.0.clone(), ServerName::try_from(host.to_owned())?))
    }
}

struct Named(TlsConnector, ServerName<'static>);

impl TlsConnect<Socket> for Named {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, socket).await.map(Stream) })
    }
}

struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

fn code(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || format!("closed {}", error.is_closed()),
        |it| format!("{} {} {}", it.severity(), it.code().code(), it.message()),
    )
}

/// What applications do with tokio-postgres, said as the programs of `tests/drivers` say it.
async fn tokio_says(way: &Way<'_>) -> String {
    let mut said = String::new();
    let mut say = |what: &str, value: &dyn std::fmt::Debug| writeln!(said, "{what}: {value:?}").unwrap();
    say("wrong password", &way.connect("wrong").await.err().as_ref().map(code));
    let (mut client, mut told) = way.connect(PASSWORD).await.unwrap();
    let (other, _) = way.connect(PASSWORD).await.unwrap();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    let wide = "SELECT $1::int8, $2::text, $3::bytea, $4::float8, $5::bool, $6::int4[]";
    let wide = client.prepare(wide).await.unwrap();
    let (list, bytes) = (vec![Some(1_i32), None], vec![0_u8, 255]);
    let given: [&(dyn ToSql + Sync); 6] = [&9_007_199_254_740_993_i64, &"grüß", &bytes, &1.5, &true, &list];
    let row = client.query_one(&wide, &given).await.unwrap();
    let values = (row.get::<_, i64>(0), row.get::<_, String>(1), row.get::<_, Vec<u8>>(2));
    say("row", &(values, row.get::<_, f64>(3), row.get::<_, bool>(4), row.get::<_, Vec<Option<i32>>>(5)));
    let long = "x".repeat(5_000_000);
    let row = client.query_one("SELECT length($1::text), repeat('y', 5000000)", &[&long]).await.unwrap();
    say("lengths", &(row.get::<_, i32>(0), row.get::<_, String>(1).len()));

    let double = client.prepare("SELECT 100 / $1::int4").await.unwrap();
    // Asked at once: a failure ends nothing but itself.
    let (one, none, two) = tokio::join!(
        client.query_one(&double, &[&4]),
        client.query_one(&double, &[&0]),
        client.query_one(&double, &[&5])
    );
    let quotients = (one.unwrap().get::<_, i32>(0), two.unwrap().get::<_, i32>(0));
    say("pipelined", &(quotients, code(&none.unwrap_err())));

    let mut transaction = client.transaction().await.unwrap();
    transaction.batch_execute("CREATE TEMP TABLE t (id int PRIMARY KEY)").await.unwrap();
    let savepoint = transaction.savepoint("s").await.unwrap();
    let twice = savepoint.execute("INSERT INTO t VALUES (1), (1)", &[]).await.unwrap_err();
    let failed = savepoint.query("SELECT 1", &[]).await.unwrap_err();
    say("within", &(code(&twice), code(&failed)));
    savepoint.rollback().await.unwrap();
    let portal = transaction.bind("SELECT generate_series(1, 10)", &[]).await.unwrap();
    for rows in [4, 4, 4, 4] {
        say("portal", &transaction.query_portal(&portal, rows).await.unwrap().len());
    }
    transaction.commit().await.unwrap();

    let many = client.simple_query("SELECT 1; TABLE t; SELECT 'end'").await.unwrap();
    let texts = many.iter().map(|message| match message {
        SimpleQueryMessage::Row(row) => format!("row {:?}", row.get(0)),
        SimpleQueryMessage::CommandComplete(count) => format!("complete {count}"),
        SimpleQueryMessage::RowDescription(_) | _ => "description".to_owned(),
    });
    say("simple", &texts.collect::<Vec<_>>());
    client.batch_execute("LISTEN drivers; DO $$BEGIN RAISE NOTICE 'a notice'; END$$").await.unwrap();
    other.execute("SELECT pg_notify('drivers', $1)", &[&"hello"]).await.unwrap();
    say("told", &(told.recv().await, told.recv().await));

    client.batch_execute("CREATE TEMP TABLE copied (id int, words text)").await.unwrap();
    for (what, rows) in [("fits", 20_000), ("does not fit", 20_000), ("is given up", 20_000)] {
        let sink = client.copy_in("COPY copied FROM STDIN").await.unwrap();
        pin_mut!(sink);
        let mut sent = Ok(());
        for row in 0..rows {
            let word = if what == "does not fit" && row == 15_000 { "x" } else { "" };
            let line = format!("{row}{word}\tsome words of row {row}\n");
            sent = sink.send(Bytes::from(line)).await;
            if sent.is_err() {
                break;
            }
        }
        if what == "is given up" {
            // Dropped before its end: the driver sends CopyFail.
            continue;
        }
        let finished = match sent {
            Ok(()) => sink.finish().await,
            Err(error) => Err(error),
        };
        say(what, &finished.as_ref().map_err(code));
    }
    let count = client.query_one("SELECT count(*), sum(id) FROM copied", &[]).await.unwrap();
    say("copied", &(count.get::<_, i64>(0), count.get::<_, i64>(1)));
    let out = client.copy_out("COPY (TABLE copied ORDER BY id) TO STDOUT (FORMAT binary)").await.unwrap();
    pin_mut!(out);
    let (mut bytes, mut sum) = (0, 0_u64);
    while let Some(piece) = out.next().await {
        let piece = piece.unwrap();
        bytes += piece.len();
        sum = piece.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
    say("copied out", &(bytes, sum));

    let asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
    let cancel = async {
        while other.query(asleep, &[&pid]).await.unwrap().is_empty() {}
        way.cancel(&client).await;
    };
    let (cancelled, ()) = tokio::join!(client.execute("SELECT pg_sleep(60)", &[]), cancel);
    say("cancelled", &code(&cancelled.unwrap_err()));
    let ended = other.query_one("SELECT pg_terminate_backend($1, 5000)", &[&pid]).await.unwrap();
    let after = client.query("SELECT 1", &[]).await.unwrap_err();
    say("ended", &(ended.get::<_, bool>(0), after.is_closed() || after.as_db_error().is_some()));
    let (again, _) = way.connect(PASSWORD).await.unwrap();
    say("connected again", &again.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0));
    said
}

#[test]
fn tokio_postgres_says_by_every_route_what_it_says_directly() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let says = |way: &Way<'_>| {
        let said = async { tokio::time::timeout(Duration::from_secs(60), tokio_says(way)).await };
        runtime.block_on(said).unwrap()
    };
    for major in VERSIONS {
        let server = server(major);
        let certificates = Certificates::new(&format!("tokio-{major}"));
        if major == 15 {
            turn_tls_on(&server, &certificates);
        }
        let address = server.address();
        let direct = says(&Way { host: &address.ip().to_string(), port: address.port(), tls: None });
        for milestone in [
            "told: (Some(\"notice a notice\"), Some(\"heard drivers hello\"))",
            "fits: Ok(20000)",
            "does not fit: Err(\"ERROR 22P02",
            "copied: (20000, ",
            "cancelled: \"ERROR 57014",
        ] {
            assert!(direct.contains(milestone), "{milestone} is not in what it says:\n{direct}");
        }
        for route in routes(&server, &certificates, major) {
            let tls = route.tls.then(|| Tls::trusting(&certificates));
            let ours = says(&Way { host: &route.host, port: route.port, tls });
            assert_eq!(direct, ours, "{major} by {}", route.name);
        }
    }
}
