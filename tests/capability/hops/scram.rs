//! Login by SCRAM: what a stranger can learn, and what a failure leaves behind.

use super::{libpq, said, scram_server, scram_setup};
use crate::harness::{Frame, Gate, Raw, VERSIONS};

/// The frames up to the refusal of a proof that is wrong, and the salt and iterations told.
fn refused(gate: &Gate, user: &str) -> (Vec<Frame>, String) {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", user), ("database", "postgres")]);
    let mut frames = vec![raw.read().unwrap()];
    let first = b"n,,n=,r=0123456789abcdefghijklmn";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend_from_slice(&u32::try_from(first.len()).unwrap().to_be_bytes());
    body.extend_from_slice(first);
    raw.send(b'p', &body);
    frames.push(raw.read().unwrap());
    let told = String::from_utf8(frames[1].body[4..].to_vec()).unwrap();
    let (nonce, salt) = told.split_once(',').unwrap();
    // 32 zero bytes: well formed, and nobody's proof.
    let answer = format!("c=biws,{nonce},p={}=", "A".repeat(43));
    raw.send(b'p', answer.as_bytes());
    // A query behind it must never be answered.
    raw.send(b'Q', b"SELECT 1\0");
    frames.push(raw.read().unwrap());
    assert!(raw.is_closed(), "{user}: a wrong proof must end the session");
    (frames, salt.to_owned())
}

#[test]
fn unknown_users_and_wrong_passwords_are_answered_alike() {
    for major in VERSIONS {
        let server = scram_server(major);
        let sql = "CREATE ROLE nologin PASSWORD 'x'; CREATE ROLE empty LOGIN;\
                   CREATE ROLE past LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01';\
                   SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'x'";
        server.execute("postgres", sql).unwrap();
        let gate = scram_setup(&server).start();
        let (known, known_salt) = refused(&gate, "ada");
        for user in ["nobody", "nologin", "empty", "past", "old"] {
            let (frames, salt) = refused(&gate, user);
            assert_eq!(frames[0].body, known[0].body, "{user}");
            assert_eq!(frames[1].body.len(), known[1].body.len(), "{user}");
            let error = |frame: &Frame| {
                let text = String::from_utf8_lossy(&frame.body).into_owned();
                text.replace(user, "ada")
            };
            assert_eq!(error(&frames[2]), error(&known[2]), "{user}");
            assert_eq!(salt.len(), known_salt.len(), "{user}");
            assert_eq!(salt.rsplit(',').next(), known_salt.rsplit(',').next(), "{user}");
            assert_ne!(salt, known_salt, "{user}");
            assert_eq!(salt, refused(&gate, user).1, "{user}: the salt must be stable");
        }
    }
}

#[test]
fn a_recovered_key_logs_in_as_that_user_and_a_new_password_counts_at_once() {
    for major in VERSIONS {
        let server = scram_server(major);
        let gate = scram_setup(&server).start();
        for (user, password) in [("ada", "ada-secret"), ("bob", "bob-secret")] {
            assert_eq!(said(&libpq(&gate, &format!("user={user}"), password)), format!("{user}\n"));
        }
        assert!(!libpq(&gate, "user=ada", "bob-secret").status.success());
        server.execute("postgres", "ALTER ROLE ada PASSWORD 'changed'").unwrap();
        assert!(!libpq(&gate, "user=ada", "ada-secret").status.success());
        assert_eq!(said(&libpq(&gate, "user=ada", "changed")), "ada\n");
    }
}
