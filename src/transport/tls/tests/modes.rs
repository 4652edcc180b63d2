//! Each mode against each kind of server.

use rustls::{CertificateError, Error};

use super::*;

struct Servers {
    folder: Folder,
    root: Authority,
    ca: PathBuf,
}

fn servers() -> Servers {
    let folder = Folder::new();
    let root = Authority::root("root");
    let ca = folder.file("ca.crt", &root.issuer.pem());
    Servers { folder, root, ca }
}

impl Servers {
    fn server(&self, issued: &Issued) -> ServerTls {
        ServerTls::load(&serving(vec![self.folder.identity("server", issued)])).unwrap()
    }
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    params
}

async fn outcome(
    server: &ServerTls,
    mode: TlsMode,
    ca: Option<&PathBuf>,
    host: &str,
) -> Result<(), TlsError> {
    let client = ClientTls::load(&dialling(mode, ca.cloned())).unwrap();
    let (dialled, _) = shake(server, &client, host).await;
    dialled.map(|_| ())
}

#[tokio::test]
async fn each_mode_accepts_what_libpq_accepts() {
    let all = servers();
    let other = Authority::root("other");
    let right = named(&["localhost", "127.0.0.1", "::1"], "localhost");
    let cases = [
        // server, host dialled, require without ca, require with ca, verify-ca, verify-full
        (all.root.issue(&right), "localhost", [true, true, true, true]),
        (all.root.issue(&right), "127.0.0.1", [true, true, true, true]),
        (all.root.issue(&right), "::1", [true, true, true, true]),
        (all.root.issue(&right), "elsewhere", [true, true, true, false]),
        (all.root.issue(&right), "127.0.0.2", [true, true, true, false]),
        (all.root.issue(&named(&[], "localhost")), "localhost", [true, true, true, false]),
        (all.root.issue(&expired(right.clone())), "localhost", [true, false, false, false]),
        (all.root.issue(&expired(right.clone())), "elsewhere", [true, false, false, false]),
        (other.issue(&right), "localhost", [true, false, false, false]),
        (other.issue(&right), "elsewhere", [true, false, false, false]),
        (self_signed(right.clone()), "localhost", [true, false, false, false]),
    ];
    for (at, (issued, host, expected)) in cases.iter().enumerate() {
        let server = all.server(issued);
        let ways = [
            (TlsMode::Require, None),
            (TlsMode::Require, Some(&all.ca)),
            (TlsMode::VerifyCa, Some(&all.ca)),
            (TlsMode::VerifyFull, Some(&all.ca)),
        ];
        for ((mode, ca), fine) in ways.into_iter().zip(expected) {
            let end = outcome(&server, mode, ca, host).await;
            assert_eq!(end.is_ok(), *fine, "case {at}, {mode:?}, ca {}: {:?}", ca.is_some(), end.err());
        }
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let all = servers();
    let full = TlsMode::VerifyFull;
    let bare = all.server(&all.root.issue(&named(&[], "localhost")));
    let bare = outcome(&bare, full, Some(&all.ca), "localhost");
    assert!(bare.await.unwrap_err().to_string().contains("no subject alternative name"));
    let named_otherwise = all.server(&all.root.issue(&named(&["a.example"], "x")));
    let end = outcome(&named_otherwise, full, Some(&all.ca), "b.example").await.unwrap_err();
    assert!(matches!(
        &end,
        TlsError::Protocol(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }))
    ));
    assert!(end.to_string().contains("a.example"), "{end}");
    let end = outcome(&named_otherwise, full, Some(&all.ca), "not a name").await.unwrap_err();
    assert!(matches!(end, TlsError::Name));
    assert!(outcome(&named_otherwise, TlsMode::VerifyCa, Some(&all.ca), "not a name").await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_certifies_itself_is_trusted_where_it_stands_in_the_file() {
    let all = servers();
    let issued = self_signed(named(&["localhost"], "localhost"));
    let ca = all.folder.file("own.crt", &issued.chain);
    let server = all.server(&issued);
    for (mode, host, fine) in [
        (TlsMode::VerifyCa, "localhost", true),
        (TlsMode::VerifyCa, "elsewhere", true),
        (TlsMode::VerifyFull, "localhost", true),
        (TlsMode::VerifyFull, "elsewhere", false),
    ] {
        assert_eq!(outcome(&server, mode, Some(&ca), host).await.is_ok(), fine, "{mode:?} {host}");
    }
    let old = self_signed(expired(named(&["localhost"], "localhost")));
    let ca = all.folder.file("old.crt", &old.chain);
    let end = outcome(&all.server(&old), TlsMode::VerifyCa, Some(&ca), "localhost").await;
    assert!(matches!(end, Err(TlsError::Protocol(Error::InvalidCertificate(CertificateError::Expired)))));
}

/// It is the right certificate, but whoever shows it does not hold its key.
#[tokio::test]
async fn a_stolen_certificate_is_of_no_use() {
    let all = servers();
    let issued = all.root.issue(&named(&["localhost"], "localhost"));
    let chain: Vec<_> = rustls::pki_types::pem::PemObject::pem_slice_iter(issued.chain.as_bytes())
        .collect::<Result<Vec<rustls::pki_types::CertificateDer<'static>>, _>>()
        .unwrap();
    let key = KeyPair::generate().unwrap().serialize_der();
    let key = super::super::provider().key_provider.load_private_key(key.try_into().unwrap()).unwrap();
    let thief = rustls::sign::CertifiedKey::new(chain, key);
    for (mode, ca) in [(TlsMode::Require, None), (TlsMode::VerifyFull, Some(all.ca.clone()))] {
        let config = rustls::ServerConfig::builder_with_provider(super::super::provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(thief.clone())));
        let (dialled, accepted) = tcp_pair().await;
        let mut dialled = Channel::plain(Socket::Tcp(dialled));
        let accepted = accepted.into_std().unwrap();
        accepted.set_nonblocking(false).unwrap();
        let serving = std::thread::spawn(move || {
            let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut accepted = accepted;
            let _ = connection.complete_io(&mut accepted);
        });
        let client = ClientTls::load(&dialling(mode, ca)).unwrap();
        let end = timeout(PATIENCE, dialled.connect_tls(&client, "localhost", false)).await.unwrap();
        assert!(
            matches!(end, Err(TlsError::Protocol(Error::InvalidCertificate(CertificateError::BadSignature)))),
            "{mode:?}"
        );
        drop(dialled);
        serving.join().unwrap();
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let all = servers();
    let mut params = named(&["localhost"], "localhost");
    params.serial_number = Some(7_u64.into());
    let revoked = all.root.issue(&params);
    params.serial_number = Some(8_u64.into());
    let good = all.root.issue(&params);
    let now = rcgen::date_time_ymd(2020, 1, 1);
    let list = rcgen::CertificateRevocationListParams {
        this_update: now,
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![rcgen::RevokedCertParams {
            serial_number: 7_u64.into(),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&all.root.issuer).unwrap();
    let crl = Some(all.folder.file("crl.pem", &list.pem().unwrap()));
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let settings = ClientTlsSettings { crl: crl.clone(), ..dialling(mode, Some(all.ca.clone())) };
        let client = ClientTls::load(&settings).unwrap();
        let (dialled, _) = shake(&all.server(&revoked), &client, "localhost").await;
        assert!(matches!(
            dialled,
            Err(TlsError::Protocol(Error::InvalidCertificate(CertificateError::Revoked)))
        ));
        let (dialled, _) = shake(&all.server(&good), &client, "localhost").await;
        assert!(dialled.is_ok());
    }
}
