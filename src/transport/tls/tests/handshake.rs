//! What the two ends agree on, and what each learns of the other.

use super::*;

fn require() -> ClientTls {
    ClientTls::load(&dialling(TlsMode::Require, None)).unwrap()
}

#[tokio::test]
async fn the_newest_version_and_the_group_of_the_future_are_agreed_on() {
    let (_folder, server, ca) = simple();
    let client = ClientTls::load(&dialling(TlsMode::VerifyFull, Some(ca))).unwrap();
    let (Ok(mut dialled), Ok(mut accepted)) = shake(&server, &client, "localhost").await else { panic!() };
    for end in [&dialled, &accepted] {
        let facts = end.tls().unwrap();
        assert_eq!((facts.version, facts.cipher), ("TLSv1.3", "TLS13_AES_256_GCM_SHA384"));
        assert_eq!(facts.group, Some("X25519MLKEM768"));
        assert!(facts.alpn);
    }
    assert_eq!(accepted.tls().unwrap().sni.as_deref(), Some("localhost"));
    assert_eq!(accepted.tls().unwrap().presented.as_deref(), dialled.peer_certificate());
    assert_eq!(accepted.peer_certificate(), None);
    converse(&mut dialled, &mut accepted).await;
}

#[tokio::test]
async fn a_client_of_version_1_2_is_served_with_a_suite_that_has_no_end() {
    let (_folder, server, _) = simple();
    let client = odd_client(|_| {}, TlsVersion::V1_2);
    let (Ok(mut dialled), Ok(mut accepted)) = shake(&server, &client, "localhost").await else { panic!() };
    let facts = accepted.tls().unwrap();
    assert_eq!(facts.version, "TLSv1.2");
    assert_eq!(facts.cipher, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    converse(&mut dialled, &mut accepted).await;
}

#[tokio::test]
async fn a_minimum_of_1_3_refuses_1_2() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let identity = folder.identity("server", &root.issue(&named(&["localhost"], "x")));
    let settings = ServerTlsSettings { version_min: TlsVersion::V1_3, ..serving(vec![identity]) };
    let server = ServerTls::load(&settings).unwrap();
    let (dialled, accepted) = shake(&server, &odd_client(|_| {}, TlsVersion::V1_2), "localhost").await;
    assert!(matches!(accepted, Err(TlsError::Protocol(rustls::Error::PeerIncompatible(_)))));
    assert!(matches!(
        dialled,
        Err(TlsError::Protocol(rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)))
    ));
}

#[tokio::test]
async fn a_client_without_alpn_is_taken_and_one_with_another_protocol_is_not() {
    let (_folder, server, _) = simple();
    let silent = odd_client(|config| config.alpn_protocols.clear(), TlsVersion::V1_3);
    let (Ok(_), Ok(accepted)) = shake(&server, &silent, "localhost").await else { panic!() };
    assert!(!accepted.tls().unwrap().alpn);
    let other = odd_client(|config| config.alpn_protocols = vec![b"http/1.1".to_vec()], TlsVersion::V1_3);
    let (dialled, accepted) = shake(&server, &other, "localhost").await;
    assert!(matches!(accepted, Err(TlsError::Protocol(rustls::Error::NoApplicationProtocol))));
    assert!(matches!(
        dialled,
        Err(TlsError::Protocol(rustls::Error::AlertReceived(
            rustls::AlertDescription::NoApplicationProtocol
        )))
    ));
}

#[tokio::test]
async fn direct_tls_needs_the_protocol_to_be_agreed_on() {
    let (_folder, server, _) = simple();
    let silent = odd_client(|config| config.alpn_protocols.clear(), TlsVersion::V1_3);
    for (client, fine) in [(require(), true), (silent, false)] {
        let (dialled, accepted) = tcp_pair().await;
        let mut dialled = Channel::plain(Socket::Tcp(dialled));
        let mut accepted = Channel::plain(Socket::Tcp(accepted));
        let accepting = async {
            // The first byte was looked at before TLS was known to come.
            let mut early = Vec::new();
            accepted.read_some(&mut early).await.unwrap();
            assert_eq!(early.first(), Some(&0x16));
            accepted.accept_tls(&server, &early).await
        };
        let (connected, taken) = tokio::join!(dialled.connect_tls(&client, "localhost", true), accepting);
        taken.unwrap();
        assert_eq!(accepted.tls().unwrap().alpn, fine);
        if fine {
            connected.unwrap();
            converse(&mut dialled, &mut accepted).await;
        } else {
            assert!(matches!(connected, Err(TlsError::Alpn)));
        }
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let certificates = [
        root.issue(&named(&["default.example"], "default")),
        root.issue(&named(&["db.example", "10.1.2.3"], "exact")),
        root.issue(&named(&["*.db.example"], "wild")),
        root.issue(&named(&["unlisted.example"], "given")),
    ];
    let mut identities: Vec<Identity> = certificates
        .iter()
        .enumerate()
        .map(|(at, issued)| folder.identity(&at.to_string(), issued))
        .collect();
    identities[3].names = vec!["Given.Example".into()];
    let server = ServerTls::load(&serving(identities)).unwrap();
    for (host, expected) in [
        ("default.example", 0),
        ("db.example", 1),
        ("DB.Example", 1),
        ("a.db.example", 2),
        ("a.b.db.example", 0),
        ("given.example", 3),
        ("unlisted.example", 0),
        ("nobody.example", 0),
        ("127.0.0.1", 0),
    ] {
        let (Ok(dialled), Ok(accepted)) = shake(&server, &require(), host).await else { panic!("{host}") };
        let facts = accepted.tls().unwrap();
        assert_eq!(dialled.peer_certificate(), Some(&*certificates[expected].der), "{host}");
        assert_eq!(facts.presented.as_deref(), Some(&*certificates[expected].der), "{host}");
        let is_name = host.parse::<std::net::IpAddr>().is_err();
        assert_eq!(facts.sni.is_some(), is_name, "no name is sent for an address: {host}");
    }
}

#[tokio::test]
async fn the_whole_chain_is_served() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let between = root.below("between").below("further between");
    let identity = folder.identity("server", &between.issue(&named(&["localhost"], "x")));
    let server = ServerTls::load(&serving(vec![identity])).unwrap();
    let ca = folder.file("ca.crt", &root.issuer.pem());
    let client = ClientTls::load(&dialling(TlsMode::VerifyFull, Some(ca))).unwrap();
    let (Ok(mut dialled), Ok(mut accepted)) = shake(&server, &client, "localhost").await else { panic!() };
    converse(&mut dialled, &mut accepted).await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_old_ones_go_on() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let (old, new) = (root.issue(&named(&["localhost"], "old")), root.issue(&named(&["localhost"], "new")));
    let settings = serving(vec![folder.identity("server", &old)]);
    let server = ServerTls::load(&settings).unwrap();
    let (Ok(mut dialled), Ok(mut accepted)) = shake(&server, &require(), "localhost").await else { panic!() };
    folder.identity("server", &new);
    let rotated = ServerTls::load(&settings).unwrap();
    drop(server);
    let (Ok(after), Ok(_)) = shake(&rotated, &require(), "localhost").await else { panic!() };
    assert_eq!(after.peer_certificate(), Some(&*new.der));
    assert_eq!(accepted.tls().unwrap().presented.as_deref(), Some(&*old.der));
    converse(&mut dialled, &mut accepted).await;
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_as_set() {
    let folder = Folder::new();
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let ca = folder.file("ca.crt", &root.issuer.pem());
    let good = root.issue(&named(&[], "app"));
    let own = folder.identity("good", &good);
    let wrong = folder.identity("wrong", &other.issue(&named(&[], "app")));
    let server = folder.identity("server", &root.issue(&named(&["localhost"], "x")));
    for (asked, sent, taken, seen) in [
        (ClientCertificate::None, Some(&own), true, false),
        (ClientCertificate::Optional, None, true, false),
        (ClientCertificate::Optional, Some(&own), true, true),
        (ClientCertificate::Optional, Some(&wrong), false, false),
        (ClientCertificate::Required, None, false, false),
        (ClientCertificate::Required, Some(&own), true, true),
        (ClientCertificate::Required, Some(&wrong), false, false),
    ] {
        let settings = ServerTlsSettings {
            client_ca: Some(ca.clone()),
            client_certificate: asked,
            ..serving(vec![server.clone()])
        };
        let identity = sent.map(|identity| super::super::ClientIdentity {
            chain: identity.chain.clone(),
            key: identity.key.clone(),
        });
        let client =
            ClientTls::load(&ClientTlsSettings { identity, ..dialling(TlsMode::VerifyCa, Some(ca.clone())) });
        let (dialled, accepted) =
            shake(&ServerTls::load(&settings).unwrap(), &client.unwrap(), "localhost").await;
        assert_eq!(accepted.is_ok(), taken, "{asked:?}");
        match accepted {
            Ok(accepted) => assert_eq!(accepted.peer_certificate(), seen.then_some(&*good.der), "{asked:?}"),
            Err(_) => {
                // Under TLS 1.3 the client learns it with the first answer.
                let Ok(mut dialled) = dialled else { continue };
                assert!(timeout(PATIENCE, dialled.read_some(&mut Vec::new())).await.unwrap().is_err());
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_hello_is_refused() {
    let (_folder, server, _) = simple();
    let hello_of_1_0 = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01";
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x16, 3, 3, 0xff, 0xff],
        &[0x15, 3, 3, 0, 2, 2, 40],
        &[0x17, 3, 3, 0, 1, 0],
        &[0x80; 64],
        &[0; 5],
    ] {
        let (mut dialled, accepted) = tcp_pair().await;
        let mut accepted = Channel::plain(Socket::Tcp(accepted));
        tokio::io::AsyncWriteExt::write_all(&mut dialled, bytes).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut dialled).await.unwrap();
        let end = timeout(PATIENCE, accepted.accept_tls(&server, &[])).await.unwrap();
        assert!(matches!(end, Err(TlsError::Protocol(_) | TlsError::Closed)), "{bytes:?}");
    }
    let mut tunnel = super::super::Tunnel::accept(&server).unwrap().0;
    assert!(tunnel.feed(hello_of_1_0).is_ok(), "unfinished");
}

/// A moment of what a fuzzer does for an hour: a true hello with bytes changed, cut and
/// repeated, in pieces of every size.
#[tokio::test]
async fn changed_hellos_do_no_harm() {
    let (_folder, server, _) = simple();
    let (dialled, mut accepted) = tcp_pair().await;
    let mut dialled = Channel::plain(Socket::Tcp(dialled));
    let client = require();
    let mut hello = vec![0; 8 * 1024];
    let opening = async { dialled.connect_tls(&client, "localhost", false).await.is_err() };
    let reading = async {
        let count = tokio::io::AsyncReadExt::read(&mut accepted, &mut hello).await.unwrap();
        drop(accepted);
        count
    };
    let (_, count) = tokio::join!(opening, reading);
    hello.truncate(count);
    assert!(hello.len() > 1000, "the hello carries a key of the new group");
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..500 {
        let mut bytes = vec![u8::try_from(draw(256)).unwrap()];
        bytes.extend_from_slice(&hello);
        for _ in 0..draw(4) {
            let at = 1 + draw(bytes.len() - 1);
            bytes[at] = u8::try_from(draw(256)).unwrap();
        }
        bytes.truncate(1 + draw(bytes.len()));
        if draw(3) == 0 {
            bytes.extend_from_within(1..);
        }
        super::super::fuzz_tls_accept(&server, &bytes);
        super::super::fuzz_tls_connect(&client, &bytes);
    }
}
