//! Faults of files are told by the file's name and what is wrong with it.

use super::super::TlsWarning;
use super::*;

fn fault(settings: &ServerTlsSettings) -> String {
    match ServerTls::load(settings) {
        Ok(_) => panic!("it was loaded"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn faults_of_files_are_told() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let good = folder.identity("good", &root.issue(&named(&["localhost"], "x")));
    let other = folder.identity("other", &root.issue(&named(&["localhost"], "x")));
    let empty = folder.file("empty.pem", "");
    let torn = folder.file("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let rubbish =
        folder.file("rubbish.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_owned();
    let locked = folder.file("locked.key", &locked);
    let with = |chain: &PathBuf, key: &PathBuf| {
        serving(vec![Identity { chain: chain.clone(), key: key.clone(), names: Vec::new() }])
    };
    for (settings, file, what) in [
        (with(&empty, &good.key), "empty.pem", "holds no certificate"),
        (with(&good.key, &good.key), "good.key", "holds no certificate"),
        (with(&torn, &good.key), "torn.pem", "not well-formed"),
        (with(&rubbish, &good.key), "rubbish.pem", "cannot be read"),
        (with(&good.chain, &empty), "empty.pem", "holds no private key"),
        (with(&good.chain, &good.chain), "good.crt", "holds no private key"),
        (with(&good.chain, &locked), "locked.key", "encrypted"),
        (with(&good.chain, &other.key), "other.key", "does not belong"),
        (with(&good.chain, &folder.0), "", "not a regular file"),
        (with(&folder.0.join("none.crt"), &good.key), "none.crt", "cannot be opened"),
        (serving(Vec::new()), "", "needs a certificate"),
        (
            ServerTlsSettings {
                client_certificate: ClientCertificate::Required,
                ..serving(vec![good.clone()])
            },
            "",
            "client_ca",
        ),
        (
            ServerTlsSettings {
                client_certificate: ClientCertificate::Required,
                client_ca: Some(empty.clone()),
                ..serving(vec![good.clone()])
            },
            "empty.pem",
            "holds no certificate",
        ),
    ] {
        let told = fault(&settings);
        assert!(told.contains(file) && told.contains(what), "{told}");
    }
    for (settings, what) in [
        (dialling(TlsMode::VerifyFull, None), "cannot be verified without `ca`"),
        (dialling(TlsMode::Require, Some(empty.clone())), "holds no certificate"),
        (
            ClientTlsSettings { crl: Some(empty), ..dialling(TlsMode::Require, None) },
            "of no use without `ca`",
        ),
    ] {
        let told = ClientTls::load(&settings).err().unwrap().to_string();
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let identity = folder.identity("server", &root.issue(&named(&["localhost"], "x")));
    fs::set_permissions(&identity.key, fs::Permissions::from_mode(0o644)).unwrap();
    let told = fault(&serving(vec![identity]));
    assert!(told.contains("server.key") && told.contains("group or world access"), "{told}");
}

#[test]
fn dates_are_warned_of() {
    let folder = Folder::new();
    let root = Authority::root("root");
    let mut params = named(&["localhost"], "x");
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let past = folder.identity("past", &root.issue(&params));
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2090, 1, 1), rcgen::date_time_ymd(2091, 1, 1));
    let future = folder.identity("future", &root.issue(&params));
    let present = folder.identity("present", &root.issue(&named(&["localhost"], "x")));
    let expected = [
        TlsWarning::Expired { file: past.chain.clone() },
        TlsWarning::NotYetValid { file: future.chain.clone() },
    ];
    let server = ServerTls::load(&serving(vec![past, present, future])).unwrap();
    assert_eq!(server.warnings(), expected);
}
