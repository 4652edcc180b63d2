//! What a configuration means, once it is sound. Secrets are references: whoever needs one
//! reads it where it is needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::alerts::AlertPlace;
use super::fault::Fault;
use crate::audit::{Durability, LeaseTerms};
use crate::catalog::Classification;
use crate::login::token::TokenTerms;
use crate::residency::{Date, Place, Places, Residency, Rules};
use crate::watch::{Honey, LearnedSettings, Limit, Rule};

/// Everything that one file says. Made by [`super::load`] alone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the file, as it stands in faults.
    pub origin: Arc<str>,
    pub lines: Lines,
    pub listen: Listen,
    pub upstream: Upstream,
    pub login: Login,
    /// Always there if a field is sealed.
    pub keys: Option<Keys>,
    /// In the file's order; `Field::id` is the index here. What of it applies to a database,
    /// and which columns its patterns match, the load of a catalog finds.
    pub policy: Classification,
    /// Always there if there is a field.
    pub audit: Option<Audit>,
    pub residency: Option<ResidencySettings>,
    /// At most [`super::WATCH_LIMITS_MAX`].
    pub watch: Vec<Limit>,
    /// At most [`super::TOKENS_MAX`].
    pub tokens: Vec<Token>,
    /// At most [`super::DETECTORS_MAX`].
    pub detectors: Vec<Rule>,
    /// None: nothing of that kind.
    pub honey: Option<Arc<Honey>>,
    /// None: nothing is learned.
    pub learned: Option<LearnedWatch>,
    /// None: other proxies are told nothing.
    pub share: Option<ShareSettings>,
    pub alerting: Alerting,
    pub admin: Option<Admin>,
    pub limits: Limits,
    pub timeouts: Timeouts,
}

/// In which line the keys stand: `listen.tls`, and `field.0` for the first `[[field]]`.
#[derive(Clone, Default, Debug)]
pub struct Lines(pub(super) HashMap<String, u32>);

/// A host name or address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where a stream socket is: to listen at, or to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    Tcp(HostPort),
    /// `.s.PGSQL.<port>` in a folder of this machine.
    Unix {
        folder: PathBuf,
        port: u16,
    },
}

impl Endpoint {
    /// The socket's file, as libpq names it. None for TCP.
    #[must_use]
    pub fn socket_file(&self) -> Option<PathBuf> {
        match self {
            Endpoint::Tcp(_) => None,
            Endpoint::Unix { folder, port } => Some(folder.join(format!(".s.PGSQL.{port}"))),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Unix { folder, port } => write!(f, "unix:{}:{port}", folder.display()),
        }
    }
}

/// Where a secret stands. The secret itself is never part of the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Secret {
    /// Name of an environment variable.
    Env(String),
    /// A file; relative to the working directory.
    File(PathBuf),
}

/// `[[token]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub terms: TokenTerms,
    pub key: TokenSource,
}

/// Where the key of tokens stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenSource {
    /// Of HS256.
    Secret(Secret),
    /// PEM; relative to the working directory.
    PublicKey(PathBuf),
    /// A JSON Web Key Set (RFC 7517); relative to the working directory.
    KeySet(PathBuf),
}

/// `[listen]`
#[derive(Clone, Debug)]
pub struct Listen {
    /// At least one. Port 0 lets the system choose.
    pub addresses: Vec<Endpoint>,
    /// Permission bits of a Unix socket's file.
    pub unix_mode: u32,
    /// None: TLS is not offered.
    pub tls: Option<ListenTls>,
}

/// `[listen] tls`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenTls {
    /// The first one is served to whoever asks for no name, or for another.
    pub certificates: Vec<Certificate>,
    /// Whose client certificates are taken.
    pub client_ca: Option<PathBuf>,
    /// May a client go on without TLS?
    pub required: bool,
    pub min_version: TlsVersion,
}

/// A certificate chain, its key, and the host names (SNI) for which it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Exact names, or `*.` and a name. Empty for the first one alone.
    pub hosts: Vec<String>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsVersion {
    #[default]
    V1_2,
    V1_3,
}

/// `sslmode`, as libpq's documentation has it, from the most lenient on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsMode {
    Disable,
    /// Plain first; TLS where the server does not take that.
    Allow,
    /// TLS first; plain where the server does not offer it.
    Prefer,
    /// With TLS or not at all; the chain is verified if there is a `ca`, as libpq does.
    Require,
    /// And its chain must end at the `ca`.
    VerifyCa,
    /// And it must name the host that was dialled.
    VerifyFull,
}

impl TlsMode {
    /// Has it another way for a server that refuses a login on the first one?
    #[must_use]
    pub fn has_other_way(self) -> bool {
        matches!(self, TlsMode::Allow | TlsMode::Prefer)
    }

    /// Does a connection ask for TLS, on the first way or on the other one?
    #[must_use]
    pub fn asks_for_tls(self, other: bool) -> bool {
        match self {
            TlsMode::Disable => false,
            TlsMode::Allow => other,
            TlsMode::Prefer => !other,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        }
    }

    /// Where TLS is asked for and the server does not offer it: may it be plain?
    #[must_use]
    pub fn may_be_plain(self) -> bool {
        self == TlsMode::Prefer
    }

    /// Is the server's chain verified in any case, so that a `ca` is needed?
    #[must_use]
    pub fn needs_ca(self) -> bool {
        self >= TlsMode::VerifyCa
    }
}

/// `[upstream] tls`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpstreamTls {
    pub mode: TlsMode,
    /// Always there for the modes that verify.
    pub ca: Option<PathBuf>,
    /// What Sealgate shows to the server: chain and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub min_version: TlsVersion,
}

/// `[upstream]`
#[derive(Clone, Debug)]
pub struct Upstream {
    /// At least one, tried in order.
    pub hosts: Vec<Endpoint>,
    /// None: no TLS.
    pub tls: Option<UpstreamTls>,
    /// Always there if there is a field.
    pub service: Option<Service>,
}

/// The account that reads the catalog.
#[derive(Clone, Debug)]
pub struct Service {
    pub user: String,
    pub password: Option<Secret>,
    /// Where it connects for what no client session names a database for. Default `postgres`.
    pub database: String,
}

/// `[login]`
#[derive(Clone, Debug)]
pub struct Login {
    pub auth: Auth,
    pub certificate: ClientCertificate,
    /// Must a client certificate name the login user as its common name?
    pub certificate_names_user: bool,
    /// None: the built-in one.
    pub auth_query: Option<String>,
}

/// What is asked of a client beside its password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientCertificate {
    #[default]
    None,
    /// One that is shown must be valid.
    Optional,
    Required,
}

/// How a client proves who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Auth {
    /// The server's own exchange, passed through.
    Relay,
    /// SCRAM-SHA-256, ended here against the server's own verifiers.
    Scram,
}

impl Auth {
    /// The name used in configuration and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Auth::Relay => "relay",
            Auth::Scram => "scram",
        }
    }
}

/// `[keys]`, provider `file`.
#[derive(Clone, Debug)]
pub struct Keys {
    pub path: PathBuf,
    /// 32 bytes, base64.
    pub master_key: Secret,
}

/// `[audit]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    pub path: PathBuf,
    /// The node's name in records. None: the host's own name.
    pub node: Option<String>,
    pub durability: Durability,
    /// With [`Durability::Intent`] alone.
    pub lease: Option<LeaseTerms>,
    /// Kept free where the folder is, for records of what has happened already.
    pub reserve_bytes: u64,
    /// By what checkpoints are signed: 32 bytes, base64. None: none are made.
    pub signing_key: Option<Secret>,
    /// How often one is, at the most.
    pub checkpoint_every_ms: u64,
    /// Where they go beside the folder. At most [`super::AUDIT_SINKS_MAX`].
    pub sinks: Vec<AuditSink>,
    /// Are closed segments packed?
    pub compress: bool,
    /// Each line of the record tells all by itself; otherwise what is the same in many is named by a number.
    pub in_full: bool,
}

/// `[[audit.sink]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSink {
    pub to: AuditSinkTarget,
    /// The newest checkpoint is sent so often at most. 0: each is sent.
    pub every_ms: u64,
    /// Not ready where a checkpoint has waited longer. None: readiness does not ask.
    pub required_within_ms: Option<u64>,
}

/// What of it takes checkpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditSinkTarget {
    /// Appended to.
    File(PathBuf),
    /// RFC 5424 over TCP; over TLS where there is one.
    Syslog {
        server: HostPort,
        tls: Option<AuditSinkTls>,
    },
    /// Posted to.
    Witness {
        url: String,
        token: Option<Secret>,
        ca: Option<PathBuf>,
    },
    Bucket(AuditBucket),
}

/// An object store whose objects are locked, by the interface of Amazon S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditBucket {
    /// `https://host`, with the port where it has one.
    pub store: String,
    /// `/bucket`, and what stands before the names of objects.
    pub path: String,
    pub region: String,
    pub access_key: Secret,
    pub secret_key: Secret,
    /// `COMPLIANCE`: nobody can shorten it. `GOVERNANCE`: who has the right to.
    pub lock: &'static str,
    pub retain_ms: u64,
    pub ca: Option<PathBuf>,
}

/// How a log server is verified, and what it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSinkTls {
    pub ca: PathBuf,
    /// Chain and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// `[residency]`
#[derive(Clone, Debug)]
pub struct ResidencySettings {
    /// Each with the line on which it stands.
    pub places: Vec<(u32, Place)>,
    pub rules: Rules,
}

/// `[watch.learned]`
#[derive(Clone, PartialEq, Debug)]
pub struct LearnedWatch {
    pub settings: LearnedSettings,
    /// The folder of what was learned.
    pub state: PathBuf,
    /// So much of the learning a crash may take.
    pub save_every_ms: u64,
}

impl Default for LearnedWatch {
    fn default() -> LearnedWatch {
        LearnedWatch {
            settings: LearnedSettings::default(),
            state: PathBuf::from("baselines"),
            save_every_ms: 60_000,
        }
    }
}

/// `[watch.share]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareSettings {
    /// At least one, tried in order; true: under TLS.
    pub servers: Vec<(HostPort, bool)>,
    pub proof: ShareProof,
    /// Who may certify a server. None: whom the system trusts.
    pub ca: Option<PathBuf>,
    pub bucket: String,
    /// 32 bytes, base64; the same for all proxies that share.
    pub key: Secret,
}

/// By what a server of NATS lets us in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShareProof {
    None,
    Password {
        user: String,
        password: Secret,
    },
    Token(Secret),
    /// A seed.
    Key(Secret),
    /// What nsc writes: a JWT and a seed.
    Credentials(Secret),
}

/// `[[alert]]`, and what `[watch]` says of all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alerting {
    pub places: Vec<AlertPlace>,
    /// Where alerts wait for a receiver that is away.
    pub spool: PathBuf,
    /// Without an alert for so long, an incident is over.
    pub quiet_ms: u64,
}

impl Default for Alerting {
    fn default() -> Alerting {
        Alerting { places: Vec::new(), spool: PathBuf::from("alerts"), quiet_ms: 600_000 }
    }
}

/// `[admin]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    pub address: HostPort,
    /// The file of a Unix socket at which operators see who is here and act. None: nobody does.
    pub socket: Option<PathBuf>,
}

/// `[limits]`: what is held at most. Beyond it: refused or streamed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Client sessions at one time.
    pub sessions_max: u32,
    /// The same of one login user. None: no more than of all.
    pub sessions_per_user_max: Option<u32>,
    /// Connections that have not proven who they are, at one time.
    pub unproven_max: u32,
    /// Bytes of one message that has to be held whole because it is changed.
    pub frame_bytes_max: u32,
    /// Bytes of one statement text that has to be parsed.
    pub statement_bytes_max: u32,
    /// Bytes of all cached plans.
    pub plan_cache_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 1_000,
            sessions_per_user_max: None,
            unproven_max: 256,
            frame_bytes_max: 16 << 20,
            statement_bytes_max: 1 << 20,
            plan_cache_bytes_max: 64 << 20,
        }
    }
}

/// `[timeouts]`, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// To reach one address of a server.
    pub connect_ms: u64,
    /// From accept to the first ReadyForQuery.
    pub login_ms: u64,
    /// Without a request, outside a transaction. None: for ever.
    pub idle_ms: Option<u64>,
    /// Without a request, inside a transaction. None: for ever.
    pub idle_in_transaction_ms: Option<u64>,
    /// What transactions have to end in after SIGTERM.
    pub drain_ms: u64,
    pub vanished: Vanished,
}

/// When a peer that does not answer any more, to the kernel's questions or at all, is given
/// up, on both hops. Each as libpq names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vanished {
    pub keepalives_idle_ms: u64,
    pub keepalives_interval_ms: u64,
    pub keepalives_count: u32,
    /// None: the system's own retransmissions. It counts for a peer that does not read, too.
    pub tcp_user_timeout_ms: Option<u64>,
}

impl Default for Vanished {
    fn default() -> Vanished {
        Vanished {
            keepalives_idle_ms: 60_000,
            keepalives_interval_ms: 10_000,
            keepalives_count: 6,
            tcp_user_timeout_ms: None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect_ms: 5_000,
            login_ms: 60_000,
            idle_ms: None,
            idle_in_transaction_ms: None,
            drain_ms: 30_000,
            vanished: Vanished::default(),
        }
    }
}

impl Settings {
    /// The file, and the line of a key where there is one: for what is wrong with what it names.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        match self.lines.0.get(key) {
            Some(line) => format!("{}:{line}", self.origin),
            None => self.origin.to_string(),
        }
    }

    /// Is any column of this database classified, or may one be?
    #[must_use]
    pub fn classifies(&self, database: &str) -> bool {
        self.policy.fields.iter().any(|entry| entry.is_of(database))
    }

    /// Is any field sealed, so that a keyring is needed?
    #[must_use]
    pub fn seals(&self) -> bool {
        self.policy.fields.iter().any(|entry| entry.field.domain.is_some())
    }

    /// The map and the rules, ready to judge.
    #[must_use]
    pub fn residency(&self) -> Residency {
        match &self.residency {
            Some(settings) => {
                let places = settings.places.iter().map(|(_, place)| place.clone()).collect();
                Residency::new(Places::new(places), settings.rules.clone())
            }
            None => Residency::unjudged(),
        }
    }

    /// What is sound but does not do what it seems to: places that have expired.
    #[must_use]
    pub fn warnings(&self, today: Date) -> Vec<Fault> {
        let places = self.residency.iter().flat_map(|settings| &settings.places);
        places
            .filter(|(_, place)| place.is_expired(today))
            .map(|(line, place)| Fault {
                origin: self.origin.clone(),
                line: *line,
                column: 1,
                found: format!("the place of region {} has expired", place.region),
                remedy: "its addresses are unknown until `expires` is moved".to_owned(),
            })
            .collect()
    }
}
