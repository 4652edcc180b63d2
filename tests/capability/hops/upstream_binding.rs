//! Channel binding towards the server: whoever stands in between with a certificate that
//! verifies still gets no login.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use sealgate::config::{TlsMode, TlsVersion};
use sealgate::transport::tls::{ClientTls, ClientTlsSettings, Identity, ServerTls, ServerTlsSettings};
use sealgate::transport::{Channel, Socket};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::named;
use super::{Certificates, SSL_REQUEST, libpq, libpq_at, said, scram_server, turn_tls_on};
use crate::harness::Setup;
use crate::shop::holds;

/// What the one in the middle does with a connection.
const PASS: u8 = 0;
/// Ends TLS on both sides, and passes on what is inside.
const TERMINATE: u8 = 1;
/// And takes SCRAM-SHA-256-PLUS off the server's offer.
const STRIP: u8 = 2;

struct Middle {
    address: SocketAddr,
    deed: Arc<AtomicU8>,
}

impl Middle {
    /// Stands before `server` with a certificate for its name, of the same authority.
    fn before(server: SocketAddr, certificates: &Certificates) -> Middle {
        certificates.issue("middle", named("middle", &["127.0.0.1"]));
        let identity = Identity {
            chain: certificates.path("middle.crt").into(),
            key: certificates.path("middle.key").into(),
            names: Vec::new(),
        };
        let settings = ServerTlsSettings { identities: vec![identity], ..ServerTlsSettings::default() };
        let tls = Arc::new(ServerTls::load(&settings).unwrap());
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let deed = Arc::new(AtomicU8::new(PASS));
        let now = Arc::clone(&deed);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let (tls, deed) = (Arc::clone(&tls), now.load(Ordering::SeqCst));
                    tokio::spawn(async move { serve(client, server, &tls, deed).await });
                }
            });
        });
        Middle { address, deed }
    }

    fn does(&self, deed: u8) {
        self.deed.store(deed, Ordering::SeqCst);
    }
}

/// Its end is whatever ends one side.
async fn serve(mut client: TcpStream, server: SocketAddr, tls: &ServerTls, deed: u8) -> Option<()> {
    let mut upstream = TcpStream::connect(server).await.ok()?;
    if deed == PASS {
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()?;
        return None;
    }
    let mut client = Channel::plain(Socket::Tcp(client));
    let mut request = Vec::new();
    while request.len() < SSL_REQUEST.len() {
        request.push(client.read_byte().await.ok()??);
    }
    assert_eq!(request, SSL_REQUEST);
    client.write_all(b"S").await.ok()?;
    client.accept_tls(tls, b"").await.ok()?;
    let mut upstream = Channel::plain(Socket::Tcp(upstream));
    upstream.write_all(&SSL_REQUEST).await.ok()?;
    assert_eq!(upstream.read_byte().await.ok()?, Some(b'S'));
    let settings = ClientTlsSettings {
        mode: TlsMode::Require,
        ca: None,
        crl: None,
        identity: None,
        version_min: TlsVersion::V1_2,
    };
    let trusting = ClientTls::load(&settings).unwrap();
    upstream.connect_tls(&trusting, "127.0.0.1", false).await.ok()?;
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            count = client.read_some(&mut to_server) => { count.ok().filter(|count| *count > 0)?; }
            count = upstream.read_some(&mut to_client) => { count.ok().filter(|count| *count > 0)?; }
        }
        if deed == STRIP {
            to_client = stripped(&to_client);
        }
        upstream.write_all(&to_server).await.ok()?;
        client.write_all(&to_client).await.ok()?;
        (to_server, to_client) = (Vec::new(), Vec::new());
    }
}

/// The server's offer comes as one piece, by itself.
fn stripped(bytes: &[u8]) -> Vec<u8> {
    if !holds(bytes, b"SCRAM-SHA-256-PLUS\0") {
        return bytes.to_vec();
    }
    let mut offer = b"R\0\0\0\0\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec();
    offer[4] = u8::try_from(offer.len() - 1).unwrap();
    offer
}

#[test]
fn a_login_at_the_server_is_bound_to_the_certificate_that_it_really_shows() {
    let server = scram_server(15);
    let certificates = Certificates::new("binding-upstream");
    turn_tls_on(&server, &certificates);
    let middle = Middle::before(server.address(), &certificates);
    let root = certificates.root();
    let setup = || {
        Setup::before(middle.address)
            .auth("scram")
            .service("service", "service-secret")
            .upstream_line(&format!("tls = {{ mode = \"verify-full\", ca = \"{root}\" }}"))
    };
    let direct = |binding: &str| {
        let words = format!("user=ada sslmode=verify-full sslrootcert={root} channel_binding={binding}");
        said(&libpq_at(middle.address, &words, "ada-secret", "SELECT session_user"))
    };
    let gate = setup().start();
    // By now the service account is in, so that what comes is about the client's session.
    assert_eq!(said(&libpq(&gate, "user=ada", "ada-secret")), "ada\n");
    assert_eq!(direct("require"), "ada\n");
    for (deed, why) in [
        (TERMINATE, "SCRAM channel binding check failed"),
        (STRIP, "SCRAM channel binding negotiation error"),
    ] {
        middle.does(deed);
        // Nobody else would notice.
        assert_eq!(direct("disable"), "ada\n");
        let prefer = direct("prefer");
        assert!(prefer.contains(why), "libpq: {prefer}");
        let through = said(&libpq(&gate, "user=ada", "ada-secret"));
        assert!(through.contains(why), "{through}");

        let mut late = setup().prepare().unwrap();
        late.run_until_logged("the service account is not let in");
        assert!(late.log().contains(why), "{}", late.log());
        let answer = late.get("/health/ready").unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(!libpq(&late, "user=ada", "ada-secret").status.success());
    }
    middle.does(PASS);
    assert_eq!(said(&libpq(&gate, "user=ada", "ada-secret")), "ada\n");
}
