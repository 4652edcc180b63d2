//! Cases of what the file names: the keyring, secrets, certificates and keys.

use super::Case;
use super::scene::{Scene, Verb};

const RUN_CHECK: &[Verb] = &[Verb::Run, Verb::Check];
/// Those that open the keyring.
const OPENING: &[Verb] = &[Verb::Run, Verb::Check, Verb::List];

fn case(name: &str, verbs: &'static [Verb], says: &[&str], change: fn(&mut Scene)) -> Case {
    Case {
        name: name.to_owned(),
        verbs,
        code: 2,
        says: says.iter().map(|&part| part.to_owned()).collect(),
        at: String::new(),
        change: Box::new(change),
    }
}

/// What is lost or another's is not here: it has claims of its own.
pub fn keyrings() -> Vec<Case> {
    vec![
        case(
            "a keyring that is a folder",
            OPENING,
            &["keys/keyring.json", "not an ordinary file"],
            |scene| {
                scene.folder_at("keys/keyring.json");
            },
        ),
        case("a keyring that all may read", OPENING, &["keys/keyring.json", "0644", "chmod 600"], |scene| {
            scene.mode("keys/keyring.json", 0o644);
        }),
        case("a keyring that the group may write", OPENING, &["0660", "chmod 600"], |scene| {
            scene.mode("keys/keyring.json", 0o660);
        }),
        case(
            "a keyring that cannot be read",
            OPENING,
            &["keys/keyring.json", "Permission denied"],
            |scene| {
                scene.mode("keys/keyring.json", 0);
            },
        ),
        case(
            "a keyring in a folder that cannot be read",
            OPENING,
            &["keyring.json", "Permission denied"],
            |scene| {
                scene.mode("keys", 0);
            },
        ),
        case("an empty keyring", OPENING, &["keys/keyring.json", "not the JSON of a keyring"], |scene| {
            scene.write("keys/keyring.json", "");
        }),
        case("a torn keyring", OPENING, &["keys/keyring.json", "not the JSON of a keyring"], |scene| {
            scene.change("keys/keyring.json", |text| text[..text.len() / 2].to_owned());
        }),
        case("a keyring of bytes", OPENING, &["keys/keyring.json", "UTF-8"], |scene| {
            scene.write("keys/keyring.json", b"\xff\xfe\x00");
        }),
        case("a keyring without bounds", OPENING, &["longer than 1048576 bytes"], |scene| {
            scene.write("keys/keyring.json", " ".repeat((1 << 20) + 1));
        }),
        case("an altered keyring", OPENING, &["keys/keyring.json", "altered"], |scene| {
            scene.change("keys/keyring.json", |text| text.replace("\"phone\"", "\"phono\""));
        }),
        case("a keyring of a later format", OPENING, &["format version 99"], |scene| {
            scene.change("keys/keyring.json", |text| text.replacen("\"version\": 2,", "\"version\": 99,", 1));
        }),
        case(
            "a domain that the keyring lacks",
            RUN_CHECK,
            &["public.customers.phone", "keys init"],
            |scene| {
                scene.replace("domain = \"phone\"", "domain = \"telephone\"");
            },
        ),
        case(
            "a domain in another mode",
            &[Verb::Run, Verb::Check, Verb::Init],
            &["public.customers.phone", "\"equality\"", "\"random\""],
            |scene| scene.replace("seal = \"random\"", "seal = \"equality\""),
        ),
    ]
}

pub fn secrets() -> Vec<Case> {
    const ALL: &[Verb] = &[Verb::Run, Verb::Check, Verb::List, Verb::Init];
    fn by_file(scene: &Scene) {
        scene.replace("env = \"SEALGATE_MASTER_KEY\"", "file = \"@/secrets/master\"");
    }
    vec![
        case("a master key that is not set", ALL, &["SEALGATE_MASTER_KEY is not set"], |scene| {
            scene.variable("SEALGATE_MASTER_KEY", None);
        }),
        case("an empty master key", ALL, &["SEALGATE_MASTER_KEY", "is empty", "32 random bytes"], |scene| {
            scene.variable("SEALGATE_MASTER_KEY", Some(""));
        }),
        case(
            "a master key that is not base64",
            ALL,
            &["is not base64", "openssl rand -base64 32"],
            |scene| {
                scene.variable("SEALGATE_MASTER_KEY", Some("correct horse battery staple"));
            },
        ),
        case("a master key in hexadecimal", ALL, &["has 48 bytes", "32 random bytes"], |scene| {
            scene.variable("SEALGATE_MASTER_KEY", Some(&"00112233".repeat(8)));
        }),
        case("a short master key", ALL, &["has 16 bytes", "32 random bytes"], |scene| {
            scene.variable("SEALGATE_MASTER_KEY", Some("AAECAwQFBgcICQoLDA0ODw=="));
        }),
        case("a master key in quotes", ALL, &["is not base64"], |scene| {
            let quoted = format!("\"{}\"", super::scene::MASTER_KEY);
            scene.variable("SEALGATE_MASTER_KEY", Some(&quoted));
        }),
        case("another master key", ALL, &["keys/keyring.json", "another master key"], |scene| {
            let other = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
            scene.variable("SEALGATE_MASTER_KEY", Some(other));
        }),
        case("a master key in no file", ALL, &["secrets/master", "No such file"], |scene| {
            by_file(scene);
            scene.remove("secrets/master");
        }),
        case("a master key in a folder", ALL, &["secrets/master"], |scene| {
            by_file(scene);
            scene.folder_at("secrets/master");
        }),
        case("a master key that cannot be read", ALL, &["secrets/master", "Permission denied"], |scene| {
            by_file(scene);
            scene.mode("secrets/master", 0);
        }),
        case("a master key in an empty file", ALL, &["secrets/master", "is empty"], |scene| {
            by_file(scene);
            scene.write("secrets/master", "\n");
        }),
        case("a master key without bounds", ALL, &["secrets/master", "too long for a secret"], |scene| {
            by_file(scene);
            scene.write("secrets/master", "A".repeat(70_000));
        }),
        case("a password in no file", RUN_CHECK, &["secrets/password", "No such file"], |scene| {
            scene.remove("secrets/password");
        }),
        case(
            "a password that cannot be read",
            RUN_CHECK,
            &["secrets/password", "Permission denied"],
            |scene| {
                scene.mode("secrets/password", 0);
            },
        ),
        case("a password that is not set", RUN_CHECK, &["SERVICE_PASSWORD is not set"], |scene| {
            scene.replace("{ file = \"@/secrets/password\" }", "{ env = \"SERVICE_PASSWORD\" }");
        }),
    ]
}

pub fn certificates() -> Vec<Case> {
    /// The hop to the server under TLS, which takes login scram.
    fn verified(scene: &Scene, tls: &str) {
        scene.replace("auth = \"relay\"", "auth = \"scram\"");
        scene.replace("service_user", &format!("tls = {{ mode = \"verify-full\", {tls} }}\nservice_user"));
    }
    let own = |name: &str, says: &[&str], change: fn(&mut Scene)| case(name, RUN_CHECK, says, change);
    vec![
        own("no certificate", &["listen.tls", "tls/server.crt", "No such file"], |scene| {
            scene.remove("tls/server.crt");
        }),
        own("no key", &["listen.tls", "tls/server.key", "No such file"], |scene| {
            scene.remove("tls/server.key")
        }),
        own("a certificate in a folder", &["tls/server.crt", "Is a directory"], |scene| {
            scene.folder_at("tls/server.crt");
        }),
        own("an empty certificate", &["tls/server.crt", "holds no certificate"], |scene| {
            scene.write("tls/server.crt", "");
        }),
        own("a certificate that is not PEM", &["tls/server.crt", "holds no certificate"], |scene| {
            scene.write("tls/server.crt", b"0\x82\x01\x0a\x02\x82");
        }),
        own("a torn certificate", &["tls/server.crt", "PEM"], |scene| {
            scene.change("tls/server.crt", |text| text[..text.len() / 2].to_owned());
        }),
        own("a certificate of garbage", &["tls/server.crt", "cannot be read"], |scene| {
            scene.write("tls/server.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        }),
        own(
            "certificate and key in each other's place",
            &["tls/server.key", "holds no certificate"],
            |scene| {
                scene.replace(
                    "server.crt\", key = \"@/tls/server.key",
                    "server.key\", key = \"@/tls/server.crt",
                );
            },
        ),
        own(
            "the key of another certificate",
            &["tls/other.key", "does not belong to the certificate"],
            |scene| {
                scene.replace("server.key", "other.key");
            },
        ),
        own("a key with a passphrase", &["tls/server.key", "encrypted with a passphrase"], |scene| {
            let body = "MIIBvTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQI";
            scene.write(
                "tls/server.key",
                format!(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n"
                ),
            );
        }),
        own("a file without a key", &["tls/server.key", "holds no private key"], |scene| {
            scene.write("tls/server.key", "\n");
        }),
        own("a key that all may read", &["tls/server.key", "0600"], |scene| {
            scene.mode("tls/server.key", 0o644)
        }),
        own("a key that cannot be read", &["tls/server.key", "Permission denied"], |scene| {
            scene.mode("tls/server.key", 0);
        }),
        own("no authority for clients", &["listen.tls", "tls/root.crt", "No such file"], |scene| {
            scene.remove("tls/root.crt");
        }),
        own("an authority without a certificate", &["tls/root.crt", "holds no certificate"], |scene| {
            scene.write("tls/root.crt", "-----BEGIN NOTHING-----\n-----END NOTHING-----\n");
        }),
        own("no authority for the server", &["upstream.tls", "tls/absent.crt", "No such file"], |scene| {
            verified(scene, "ca = \"@/tls/absent.crt\"");
        }),
        own("an authority for the server that is a key", &["upstream.tls", "tls/server.key"], |scene| {
            verified(scene, "ca = \"@/tls/server.key\"");
        }),
        own("another's key for the server", &["upstream.tls", "tls/other.key", "does not belong"], |scene| {
            verified(
                scene,
                "ca = \"@/tls/root.crt\", certificate = \"@/tls/server.crt\", key = \"@/tls/other.key\"",
            );
        }),
        own("a certificate without its key for the server", &["one of certificate and key"], |scene| {
            verified(scene, "ca = \"@/tls/root.crt\", certificate = \"@/tls/server.crt\"");
        }),
    ]
}
