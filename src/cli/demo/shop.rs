//! The shop that is toured: a throwaway PostgreSQL, fresh keys, a configuration like
//! anybody's, and Sealgate before it. All of it is gone when the [`Shop`] is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_postgres::{Client, NoTls};
use zeroize::Zeroizing;

use super::unusual;
use crate::catalog::{Domain, PolicyField};
use crate::cli::house::{self, Fault, House};
use crate::cli::keys;
use crate::cli::run::forbid_core_dumps;
use crate::config::Settings;
use crate::gate::ThreadRandom;
use crate::seal::{KeyringIdentity, Random as _, guard_prefix};
use crate::store::postgres::{Authentication, Options, SUPERUSER, Throwaway, User};

pub const DATABASE: &str = "shop";
/// The application's account, an intern's, a replica's, and Sealgate's own.
pub const APPLICATION: &str = "shop_app";
pub const INTERN: &str = "intern";
/// Whose usual work the watch knows.
pub const SUPPORT: &str = "support";
pub const REPLICA: &str = "replica";
const SERVICE: &str = "sealgate";

/// Personal values that [`INTERN`] may be shown in a minute.
pub const INTERN_CELLS: u64 = 20;

/// An address of this machine that the map puts outside the allowed regions.
pub const OVERSEAS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const PORT: u16 = 6432;
const ADMIN_PORT: u16 = 9187;
/// Ports tried from the usual one on.
const PORTS_MAX: u16 = 200;
/// How long open transactions may take once the demo is to end.
const DRAIN: Duration = Duration::from_secs(5);

/// One of the shop's customers.
pub struct Customer {
    pub name: &'static str,
    pub email: &'static str,
    pub iban: &'static str,
    pub city: &'static str,
}

const fn customer(
    name: &'static str,
    email: &'static str,
    iban: &'static str,
    city: &'static str,
) -> Customer {
    Customer { name, email, iban, city }
}

/// Nobody real; the IBANs' check digits are wrong.
pub const CUSTOMERS: [Customer; 4] = [
    customer("Ada Novak", "ada@shop.example", "NO0186011117947", "Ljubljana"),
    customer("Bela Nagy", "bela@shop.example", "NO0286011117958", "Szeged"),
    customer("Cleo Martin", "cleo@shop.example", "NO0386011117969", "Nantes"),
    customer("Dario Conti", "dario@shop.example", "NO0486011117970", "Modena"),
];

/// A folder for this run alone, readable by nobody else, removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        let mut number = [0; 8];
        ThreadRandom.fill(&mut number);
        let path = std::env::temp_dir().join(format!("sealgate-demo-{}", hex(&number)));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What another process is still writing into it is tried once more.
        for _ in 0..2 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
        }
    }
}

/// Everything that runs. Fields are dropped in order: the folder goes last.
pub struct Shop {
    pub house: House,
    pub server: Throwaway,
    pub settings: Settings,
    password: Zeroizing<String>,
    pub folder: Folder,
}

impl Shop {
    /// Starts it all. `port`: where Sealgate listens; None: the usual port or the next one
    /// that is free.
    ///
    /// # Errors
    /// What could not be started, for a person to read.
    pub async fn open(port: Option<u16>) -> Result<Shop, String> {
        let password = Zeroizing::new(random_hex());
        let server = start_server(password.to_string()).await?;
        forbid_core_dumps();
        let folder = Folder::new()?;
        begin_log(&folder.path("gate.log"))?;
        let ports = Ports { gate: chosen(port)?, admin: free_from(ADMIN_PORT)?, server: server.port() };
        let config = configure(&folder, &password, &ports)?;
        let settings = house::settings(&config).map_err(told)?;
        let keyring = make_keys(&settings)?;
        unusual::remember(&folder.path("baselines"))?;
        server.execute("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {APPLICATION}"))?;
        server.execute(DATABASE, &schema(&settings.policy.fields, keyring))?;
        let metrics = crate::ops::install().map_err(|error| error.to_string())?;
        let house = House::open(settings.clone(), metrics).await.map_err(told)?;
        Ok(Shop { house, server, settings, password, folder })
    }

    /// Where Sealgate listens.
    pub fn address(&self) -> SocketAddr {
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        self.house.addresses.first().copied().unwrap_or(usual)
    }

    /// A client's connection through Sealgate, as its driver makes it.
    pub async fn connect(&self, user: &str, application: &str) -> Result<Client, String> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address().port()).user(user).dbname(DATABASE);
        config.password(self.password()).application_name(application);
        dial(&config).await.map_err(|error| format!("no login through Sealgate: {error}"))
    }

    /// A connection past Sealgate: what the database itself holds.
    pub async fn direct(&self) -> Result<Client, String> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.server.socket_folder()).port(self.server.port());
        config.user(SUPERUSER).dbname(DATABASE);
        dial(&config).await.map_err(|error| format!("no login at the server: {error}"))
    }

    /// Of every account of this run.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Ends sessions and writes the record to its end, then stops the server and removes
    /// all files.
    pub async fn close(self) {
        let Shop { house, server, folder, .. } = self;
        let _ = tokio::time::timeout(DRAIN, house.drain(std::future::pending())).await;
        drop(server);
        drop(folder);
    }
}

async fn dial(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // Its errors are the client's too.
    tokio::spawn(connection);
    Ok(client)
}

async fn start_server(password: String) -> Result<Throwaway, String> {
    let user = |name: &str, attributes: &str| User {
        name: name.to_owned(),
        password: Some(password.clone()),
        attributes: attributes.to_owned(),
    };
    let options = Options {
        authentication: Authentication::Scram,
        users: vec![
            user(APPLICATION, ""),
            user(INTERN, ""),
            user(SUPPORT, ""),
            user(REPLICA, "REPLICATION"),
            user(SERVICE, ""),
        ],
        // Whatever reaches the server stands in its log: the tour searches that too.
        configuration: vec!["log_statement = 'all'".to_owned(), "log_connections = on".to_owned()],
        ..Options::default()
    };
    let started = tokio::task::spawn_blocking(move || Throwaway::start(&options)).await;
    started.unwrap_or_else(|_| Err("the server's start ended early".to_owned()))
}

fn make_keys(settings: &Settings) -> Result<KeyringIdentity, String> {
    let Some(source) = &settings.keys else { return Err("the configuration has no [keys]".to_owned()) };
    let master = house::master(&source.master_key).map_err(told)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    keys::init(&source.path, &master, &settings.policy.fields, now.as_secs(), &mut ThreadRandom)
        .map(|report| report.identity)
        .map_err(|fault| fault.to_string())
}

struct Ports {
    gate: u16,
    admin: u16,
    server: u16,
}

/// Writes the secrets' files and the configuration that names them.
fn configure(folder: &Folder, password: &str, ports: &Ports) -> Result<PathBuf, String> {
    let mut key = Zeroizing::new([0; 32]);
    ThreadRandom.fill(&mut *key);
    let master = folder.write("master.key", &Zeroizing::new(STANDARD.encode(*key)))?;
    let service = folder.write("service.password", password)?;
    let text = configuration(ports, &service, &master, &folder.path("keyring.json"), &folder.path("audit"))
        + &learned(&folder.path("baselines"));
    folder.write("sealgate.toml", &text)
}

fn configuration(ports: &Ports, service: &Path, master: &Path, keyring: &Path, audit: &Path) -> String {
    let Ports { gate, admin, server } = ports;
    let mut text = format!(
        r#"[listen]
address = "127.0.0.1:{gate}"

[upstream]
hosts = ["127.0.0.1:{server}"]
service_user = "{SERVICE}"
service_password = {{ file = {service:?} }}

[keys]
provider = "file"
path = {keyring:?}
master_key = {{ file = {master:?} }}

[audit]
path = {audit:?}
node = "demo"

[residency]
allowed = ["EEA"]
unknown = "deny"

[[residency.place]]
cidr = "127.0.0.1/32"
region = "home"
area = "EEA"

[[residency.place]]
cidr = "{OVERSEAS}/32"
region = "overseas"

[residency.rules]
replication = {{ inside = "allow", outside = "deny" }}

[[watch.limit]]
cells = {INTERN_CELLS}
window = "1m"
action = "cut"
users = ["{INTERN}"]

[admin]
address = "127.0.0.1:{admin}"
"#
    );
    for (column, class, seal) in [
        ("name", "identity", "seal = \"none\""),
        ("email", "contact", "seal = \"equality\"\ndomain = \"email\""),
        ("iban", "payment", "seal = \"random\"\ndomain = \"iban\""),
    ] {
        let _ = write!(
            text,
            "\n[[field]]\ndatabase = \"{DATABASE}\"\ntable = \"public.customers\"\n\
             column = \"{column}\"\nclass = \"{class}\"\n{seal}\nsubject = \"id\"\n"
        );
    }
    text
}

/// What is unusual is told; the work of support is unlike that of others.
fn learned(baselines: &Path) -> String {
    format!(
        "\n[watch.learned]\nstate = {baselines:?}\n\n[[watch.peers]]\nname = \"{SUPPORT}\"\nusers = [\"{SUPPORT}\"]\n"
    )
}

/// The shop's tables, with a guard on each sealed column: the database itself then takes
/// nothing but sealed values there.
fn schema(fields: &[PolicyField], keyring: KeyringIdentity) -> String {
    let mut text = "
        CREATE TABLE customers (
            id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name  text NOT NULL,
            email text NOT NULL UNIQUE,
            iban  text,
            city  text
        );
        CREATE TABLE orders (
            id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            customer integer NOT NULL REFERENCES customers,
            item     text NOT NULL
        );
        CREATE INDEX ON orders (customer);"
        .to_owned();
    for (field, domain) in
        fields.iter().filter_map(|PolicyField { field, .. }| Some((field, field.domain.as_ref()?)))
    {
        text.push_str(&guard(&field.column, domain, keyring));
    }
    let _ = write!(
        text,
        "ALTER TABLE customers OWNER TO {APPLICATION}; ALTER TABLE orders OWNER TO {APPLICATION};
         GRANT SELECT ON customers TO {INTERN}, {SUPPORT};"
    );
    text
}

/// By its name it is known which keyring the column is sealed with.
fn guard(column: &str, domain: &Domain, keyring: KeyringIdentity) -> String {
    format!(
        "ALTER TABLE customers ADD CONSTRAINT {column}_keyring_{keyring} \
         CHECK (starts_with({column} COLLATE \"C\", '{}'));",
        guard_prefix(domain)
    )
}

/// The gate's log goes to a file, so that the tour can show a line of it.
fn begin_log(path: &Path) -> Result<(), String> {
    let file = std::fs::File::create_new(path).map_err(|error| format!("{}: {error}", path.display()))?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
        .with_writer(std::sync::Mutex::new(file))
        .with_ansi(false)
        .try_init()
        .map_err(|error| error.to_string())
}

fn chosen(port: Option<u16>) -> Result<u16, String> {
    match port {
        None => free_from(PORT),
        Some(port) if is_free(port) => Ok(port),
        Some(port) => Err(format!("port {port} of 127.0.0.1 is taken: name another with --port")),
    }
}

fn free_from(first: u16) -> Result<u16, String> {
    let last = first.saturating_add(PORTS_MAX);
    (first..last).find(|port| is_free(*port)).ok_or_else(|| format!("no port from {first} to {last} is free"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn random_hex() -> String {
    let mut bytes = Zeroizing::new([0; 12]);
    ThreadRandom.fill(&mut *bytes);
    hex(&*bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(fault: Fault) -> String {
    match fault {
        Fault::Configuration(lines) => lines.join("\n"),
        Fault::Start(line) => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_configuration_is_sound_and_its_fields_are_of_three_kinds() {
        let ports = Ports { gate: 6432, admin: 9187, server: 5432 };
        let [service, master, keyring, audit] = ["a b", "c", "d", "e"].map(Path::new);
        let text = configuration(&ports, service, master, keyring, audit) + &learned(Path::new("f"));
        let settings = crate::config::load(&text, "demo").unwrap_or_else(|faults| panic!("{faults:?}"));
        let seals: Vec<&str> = settings
            .policy
            .fields
            .iter()
            .map(|entry| entry.field.domain.as_ref().map_or("none", |domain| domain.mode.name()))
            .collect();
        assert_eq!(seals, ["none", "equality", "random"]);
        assert_eq!(settings.keys.map(|keys| keys.path), Some(PathBuf::from("d")));
    }
}
