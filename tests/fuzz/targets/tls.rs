//! The handshake of TLS, from either side; the first bit tells which.
#![no_main]

use std::sync::LazyLock;

use sealgate::config::{TlsMode, TlsVersion};
use sealgate::transport::tls::{
    ClientTls, ClientTlsSettings, Identity, ServerTls, ServerTlsSettings, fuzz_tls_accept, fuzz_tls_connect,
};

struct Ends {
    server: ServerTls,
    client: ClientTls,
}

static ENDS: LazyLock<Ends> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("sealgate-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let identities = vec![Identity { chain, key, names: Vec::new() }];
    let server = ServerTls::load(&ServerTlsSettings { identities, ..ServerTlsSettings::default() });
    let settings = ClientTlsSettings {
        mode: TlsMode::Require,
        ca: None,
        crl: None,
        identity: None,
        version_min: TlsVersion::V1_2,
    };
    let ends = Ends { server: server.unwrap(), client: ClientTls::load(&settings).unwrap() };
    std::fs::remove_dir_all(&folder).unwrap();
    ends
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((first, rest)) if first & 1 == 0 => fuzz_tls_accept(&ENDS.server, rest),
        Some((_, rest)) => fuzz_tls_connect(&ENDS.client, rest),
        None => {}
    }
});
