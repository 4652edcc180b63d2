//! `[listen]`, `[upstream]` and `[login]`: the two hops, and what each asks of the other.

use std::path::PathBuf;

use super::reader::{Reader, Section, Text, Words, shown};
use super::scalar;
use super::settings::{
    Admin, Auth, Certificate, ClientCertificate, Endpoint, HostPort, Listen, ListenTls, Login, Service,
    TlsMode, TlsVersion, Upstream, UpstreamTls,
};

/// Addresses to listen on, hosts upstream.
const ADDRESSES_MAX: usize = 16;
/// Certificates beside the first one, and names of each.
const CERTIFICATES_MAX: usize = 64;
/// Longest `auth_query`, in bytes.
const AUTH_QUERY_BYTES_MAX: usize = 4096;
/// PostgreSQL's own `unix_socket_permissions`.
const UNIX_MODE: u32 = 0o777;

const LISTEN: Words = Words { served: &["address", "tls", "unix_mode"], later: &[] };
const LISTEN_TLS: Words =
    Words { served: &["certificate", "key", "client_ca", "mode", "min_version", "names"], later: &[] };
const LISTEN_NAME: Words = Words { served: &["host", "certificate", "key"], later: &[] };
const LISTEN_MODE: Words = Words { served: &["require", "prefer", "allow", "disable"], later: &[] };
const VERSION: Words = Words { served: &["1.2", "1.3"], later: &[] };
const UPSTREAM: Words =
    Words { served: &["hosts", "tls", "service_user", "service_password", "service_database"], later: &[] };
const UPSTREAM_TLS: Words =
    Words { served: &["mode", "ca", "certificate", "key", "min_version"], later: &[] };
const UPSTREAM_MODE: Words =
    Words { served: &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"], later: &[] };
const LOGIN: Words = Words { served: &["auth", "certificate", "certificate_user", "auth_query"], later: &[] };
const AUTH: Words = Words { served: &["relay", "scram"], later: &[] };
const CERTIFICATE: Words = Words { served: &["none", "optional", "required"], later: &[] };
const CERTIFICATE_USER: Words = Words { served: &["any", "match"], later: &[] };

impl Reader<'_> {
    pub(super) fn listen(&mut self, root: &Section<'_>) -> Option<Listen> {
        let section = self.section_required(root, "listen", "[listen]", LISTEN)?;
        if section.value("address").is_none() {
            self.missing(&section, "address", "\"127.0.0.1:6432\"");
        }
        let tls = self.listen_tls(&section);
        let unix_mode = self.checked(&section, "unix_mode", scalar::file_mode).unwrap_or(UNIX_MODE);
        let texts = self.strings(&section, "address", ADDRESSES_MAX)?;
        let addresses = self.endpoints("[listen] address", texts, 0);
        Some(Listen { addresses, unix_mode, tls })
    }

    fn listen_tls(&mut self, listen: &Section<'_>) -> Option<ListenTls> {
        let section = self.table(listen, "tls", "[listen] tls", LISTEN_TLS)?;
        let mode = self.choice(&section, "mode", LISTEN_MODE).map(|word| word.text);
        let first = self.certificate(&section, Vec::new());
        let client_ca =
            section.value("client_ca").and_then(|_| self.path(&section, "client_ca", "\"ca.crt\""));
        let min_version = self.min_version(&section);
        let mut certificates: Vec<Certificate> = first.into_iter().collect();
        let sound = !certificates.is_empty();
        let names = self.tables(&section, "names", "[listen] tls names", LISTEN_NAME, CERTIFICATES_MAX);
        for entry in &names {
            if entry.value("host").is_none() {
                self.missing(entry, "host", "\"db.example\"");
            }
            let hosts = self.strings(entry, "host", CERTIFICATES_MAX).unwrap_or_default();
            let hosts = hosts
                .into_iter()
                .filter_map(|text| self.read_text("[listen] tls names host", text, scalar::certificate_host));
            let hosts: Vec<String> = hosts.collect();
            certificates.extend(self.certificate(entry, hosts));
        }
        if mode == Some("disable") || !sound {
            return None;
        }
        let required = matches!(mode, Some("require") | None);
        Some(ListenTls { certificates, client_ca, required, min_version })
    }

    fn certificate(&mut self, section: &Section<'_>, hosts: Vec<String>) -> Option<Certificate> {
        let certificate = self.path(section, "certificate", "\"server.crt\"");
        let key = self.path(section, "key", "\"server.key\"");
        Some(Certificate { certificate: certificate?, key: key?, hosts })
    }

    fn min_version(&mut self, section: &Section<'_>) -> TlsVersion {
        match self.choice(section, "min_version", VERSION).map(|word| word.text) {
            Some("1.3") => TlsVersion::V1_3,
            Some(_) | None => TlsVersion::V1_2,
        }
    }

    pub(super) fn upstream(&mut self, root: &Section<'_>) -> Option<Upstream> {
        let section = self.section_required(root, "upstream", "[upstream]", UPSTREAM)?;
        if section.value("hosts").is_none() {
            self.missing(&section, "hosts", "[\"127.0.0.1:5432\"]");
        }
        let hosts = self.strings(&section, "hosts", ADDRESSES_MAX);
        let hosts = hosts.map(|texts| self.endpoints("[upstream] hosts", texts, 1));
        let tls = self.upstream_tls(&section);
        let user = self.checked(&section, "service_user", scalar::server_name);
        let password = self.secret(&section, "service_password");
        let database = self.checked(&section, "service_database", scalar::server_name);
        if section.value("service_user").is_none() {
            for key in ["service_password", "service_database"] {
                if let Some(value) = section.value(key) {
                    let found = format!("[upstream] {key} without service_user");
                    self.fault(value.span().start, found, "add service_user = \"sealgate\"");
                }
            }
        }
        let database = database.unwrap_or_else(|| "postgres".to_owned());
        Some(Upstream { hosts: hosts?, tls, service: user.map(|user| Service { user, password, database }) })
    }

    fn upstream_tls(&mut self, upstream: &Section<'_>) -> Option<UpstreamTls> {
        let section = self.table(upstream, "tls", "[upstream] tls", UPSTREAM_TLS)?;
        if section.value("mode").is_none() {
            self.missing(&section, "mode", "\"verify-full\"");
        }
        let mode = match self.choice(&section, "mode", UPSTREAM_MODE)?.text {
            "disable" => TlsMode::Disable,
            "allow" => TlsMode::Allow,
            "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            _ => TlsMode::VerifyFull,
        };
        let optional = |this: &mut Self, key: &str, example: &str| -> Option<PathBuf> {
            section.value(key)?;
            this.path(&section, key, example)
        };
        let ca = optional(self, "ca", "\"ca.crt\"");
        if section.value("ca").is_none() && mode.needs_ca() {
            self.missing(&section, "ca", "\"ca.crt\"");
        }
        let certificate = optional(self, "certificate", "\"client.crt\"");
        let key = optional(self, "key", "\"client.key\"");
        if section.value("certificate").is_some() != section.value("key").is_some() {
            let found = "[upstream] tls has one of certificate and key";
            self.fault(section.at, found, "write both, or none");
        }
        let min_version = self.min_version(&section);
        Some(UpstreamTls { mode, ca, certificate: certificate.zip(key), min_version })
    }

    pub(super) fn login(&mut self, root: &Section<'_>) -> Option<Login> {
        let mut login = Login {
            auth: Auth::Relay,
            certificate: ClientCertificate::None,
            certificate_names_user: false,
            auth_query: None,
        };
        let Some(section) = self.table(root, "login", "[login]", LOGIN) else { return Some(login) };
        if self.choice(&section, "auth", AUTH).is_some_and(|word| word.text == "scram") {
            login.auth = Auth::Scram;
        }
        login.certificate = match self.choice(&section, "certificate", CERTIFICATE).map(|word| word.text) {
            Some("optional") => ClientCertificate::Optional,
            Some("required") => ClientCertificate::Required,
            Some(_) | None => ClientCertificate::None,
        };
        let matching = self.choice(&section, "certificate_user", CERTIFICATE_USER);
        login.certificate_names_user = matching.is_some_and(|word| word.text == "match");
        if let Some(text) = self.string(&section, "auth_query") {
            if text.text.len() > AUTH_QUERY_BYTES_MAX || !text.text.contains("$1") {
                let remedy = format!("at most {AUTH_QUERY_BYTES_MAX} bytes, with $1 for the user's name");
                self.fault(text.at, "[login] auth_query is not a query for one user", remedy);
            }
            login.auth_query = Some(text.text.to_owned());
        }
        Some(login)
    }

    /// What one hop says must make sense to the other.
    pub(super) fn hops_agree(
        &mut self,
        root: &Section<'_>,
        listen: Option<&Listen>,
        upstream: Option<&Upstream>,
        login: Option<&Login>,
    ) {
        let (Some(listen), Some(upstream), Some(login)) = (listen, upstream, login) else { return };
        let at = root.value("login").map_or(0, |value| value.span().start);
        let encrypts = upstream.tls.as_ref().is_some_and(|tls| tls.mode != TlsMode::Disable);
        match login.auth {
            Auth::Relay => {
                if listen.tls.is_some() && encrypts {
                    self.fault(
                        at,
                        "[login] auth = \"relay\" with TLS on both hops: a client that could bind its login to \
                         the channel would be refused by the server",
                        "write auth = \"scram\", or leave one of [listen] tls and [upstream] tls out",
                    );
                }
                if upstream.hosts.iter().any(|host| matches!(host, Endpoint::Unix { .. })) {
                    self.fault(
                        at,
                        "[login] auth = \"relay\" to a Unix socket: with peer authentication the server would \
                         take every client for the user that runs Sealgate",
                        "write auth = \"scram\", or a host and a port in [upstream] hosts",
                    );
                }
                if login.auth_query.is_some() {
                    let found = "[login] auth_query with auth = \"relay\"";
                    self.fault(at, found, "write auth = \"scram\", or take it out");
                }
            }
            Auth::Scram if upstream.service.is_none() => self.fault(
                at,
                "[login] auth = \"scram\" without [upstream] service_user",
                "add the account that reads the verifiers: service_user = \"sealgate\"",
            ),
            Auth::Scram => {}
        }
        let asks = login.certificate != ClientCertificate::None;
        let trusts = listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if asks && !trusts {
            let remedy = "add tls = { certificate, key, client_ca } to [listen]";
            self.fault(at, "[login] certificate without [listen] tls client_ca", remedy);
        }
        if login.certificate_names_user && !asks {
            let remedy = "write certificate = \"required\" or \"optional\"";
            self.fault(at, "[login] certificate_user without certificate", remedy);
        }
    }

    /// Each once; but port 0 means another one each time.
    fn endpoints(&mut self, what: &str, texts: Vec<Text<'_>>, port_min: u16) -> Vec<Endpoint> {
        let mut found: Vec<Endpoint> = Vec::new();
        for text in texts {
            let Some(endpoint) = self.endpoint(what, text, port_min) else { continue };
            let chosen = matches!(&endpoint, Endpoint::Tcp(HostPort { port: 0, .. }));
            if found.contains(&endpoint) && !chosen {
                self.fault(
                    text.at,
                    format!("{what} = {} stands twice", shown(text.text)),
                    "take one of them out",
                );
            }
            found.push(endpoint);
        }
        found
    }

    /// Who asks for metrics would be taken for a client, or the other way round.
    pub(super) fn admin_apart(&mut self, root: &Section<'_>, listen: Option<&Listen>, admin: Option<&Admin>) {
        let (Some(listen), Some(admin)) = (listen, admin) else { return };
        let clients_come = admin.address.port != 0
            && listen.addresses.iter().any(|endpoint| *endpoint == Endpoint::Tcp(admin.address.clone()));
        let section = root.value("admin").and_then(|value| value.get_ref().as_table());
        if let Some(value) = section.and_then(|section| section.get("address")).filter(|_| clients_come) {
            self.fault(
                value.span().start,
                format!("[admin] address = \"{}\" is a [listen] address, too", admin.address),
                "name another port",
            );
        }
    }

    /// `host:port`, or `unix:` and a folder, with `:port` behind it if it is not 5432.
    fn endpoint(&mut self, what: &str, text: Text<'_>, port_min: u16) -> Option<Endpoint> {
        if let Some(path) = text.text.strip_prefix("unix:") {
            return self.read_text(what, Text { text: path, at: text.at }, scalar::unix_socket);
        }
        self.host_port(what, text, port_min).map(Endpoint::Tcp)
    }

    pub(super) fn host_port(&mut self, what: &str, text: Text<'_>, port_min: u16) -> Option<HostPort> {
        let address = self.read_text(what, text, scalar::host_port)?;
        if address.port < port_min {
            self.fault(text.at, format!("{what} = {}", shown(text.text)), "a port from 1 to 65535");
            return None;
        }
        Some(address)
    }
}
