//! Residency, with a real `pg_basebackup`: one copy may be taken, another may not.
//!
//! A machine has many loopback addresses, and the demo's map puts two of them in different
//! regions. libpq cannot choose the address it calls from, so a forwarder of a few lines
//! calls the gate from the second one. The gate judges the address that it sees.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::proof::{CONTROL, look, split};
use super::record::{await_records, member};
use super::sealing::secrets;
use super::shop::{OVERSEAS, REPLICA, Shop};
use super::tour::{Tour, Walked};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Takes a copy from inside, which holds sealed values alone, and fails to from outside.
pub async fn copy_the_server(shop: &Shop, tour: &mut Tour) -> Walked {
    tour.page.say(&format!(
        "Allowed: EEA. The map: 127.0.0.1 is \"home\" in the EEA, {OVERSEAS} is \"overseas\"; both are\n\
         this machine. pg_basebackup is the real one; to call from overseas it goes through a\n\
         forwarder, which is all that Sealgate sees of it."
    ));
    tour.page.gap();
    from_home(shop, tour).await?;
    tour.page.gap();
    from_overseas(shop, tour).await
}

async fn from_home(shop: &Shop, tour: &mut Tour) -> Walked {
    let copy = shop.folder.path("copy");
    tour.page.say(&format!("{REPLICA}, from 127.0.0.1> pg_basebackup -D copy"));
    let taken = base_backup(shop, shop.address().port(), &copy).await?;
    tour.page.quote(&taken.said);
    tour.claim(taken.status.success(), "a replica inside gets its copy", &taken.said, "exit code 0");
    let found = look(copy, secrets().into_iter().chain([CONTROL]).collect()).await?;
    let apart = split(&found);
    tour.claim(
        apart.secrets.is_empty() && !apart.control.is_empty(),
        &format!("and it holds no email and no IBAN in the clear ({CONTROL} is found in it)"),
        found.told(),
        format!("{CONTROL} alone"),
    );
    Ok(())
}

async fn from_overseas(shop: &Shop, tour: &mut Tour) -> Walked {
    let forwarder = Forwarder::start(shop.address()).await?;
    tour.page.say(&format!("{REPLICA}, from {OVERSEAS}> pg_basebackup -D copy-overseas"));
    let copy = shop.folder.path("copy-overseas");
    let before = connections(shop)?;
    let taken = base_backup(shop, forwarder.port, &copy).await?;
    tour.page.quote(&taken.said);
    let refused = !taken.status.success() && taken.said.contains("sealgate: refused by residency");
    tour.claim(refused, "a replica outside is refused", &taken.said, "SG003");
    tour.same("the server has not even been called", &connections(shop)?, &before);
    let empty = std::fs::read_dir(&copy).map_or(0, Iterator::count) == 0;
    tour.claim(empty, "and has not got a single file", "files in its folder", "none");
    let overseas = OVERSEAS.to_string();
    let (_, record) = await_records(shop, "the refused replica", |records| {
        let found =
            |record: &&serde_json::Value| record["kind"] == "refusal" && record["client"] == *overseas;
        records.iter().find(found).cloned()
    })
    .await?;
    let written = ["sqlstate", "rule", "user", "region"].map(|name| member(&record, name)).join(" ");
    tour.same(&format!("on record: {written}"), &written, &format!("SG003 replication {REPLICA} overseas"));
    Ok(())
}

/// Connections that the server's log tells of.
fn connections(shop: &Shop) -> Result<usize, String> {
    let log = std::fs::read_to_string(shop.server.log_file()).map_err(|error| error.to_string())?;
    Ok(log.lines().filter(|line| line.contains("connection received")).count())
}

/// Calls the gate from [`OVERSEAS`] for whoever connects to its port.
struct Forwarder {
    port: u16,
    serving: JoinHandle<()>,
}

impl Forwarder {
    async fn start(gate: SocketAddr) -> Result<Forwarder, String> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        // One client after the other: there is only one.
        let serving = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if let Ok(mut called) = call_from_overseas(gate).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut called).await;
                }
            }
        });
        Ok(Forwarder { port, serving })
    }
}

async fn call_from_overseas(gate: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((OVERSEAS, 0)))?;
    socket.connect(gate).await
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A program under way, ended with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Taken {
    status: ExitStatus,
    /// What it wrote, last lines only.
    said: String,
}

async fn base_backup(shop: &Shop, port: u16, copy: &PathBuf) -> Result<Taken, String> {
    let program = shop.server.binaries().program("pg_basebackup");
    let path = shop.folder.path(&format!("pg_basebackup-{port}.log"));
    let named = |error: std::io::Error| format!("{}: {error}", program.display());
    let log = File::create(&path).map_err(named)?;
    let mut command = Command::new(&program);
    command
        .args(["-h", "127.0.0.1", "-U", REPLICA, "--no-password", "--no-sync"])
        .args(["--checkpoint=fast", "--wal-method=fetch"])
        .args(["-p", &port.to_string()])
        .arg("-D")
        .arg(copy)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PGPASSWORD", shop.password())
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(named)?)
        .stderr(log);
    let mut running = Running(command.spawn().map_err(named)?);
    let status = loop {
        match running.0.try_wait().map_err(named)? {
            Some(status) => break status,
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    let said = std::fs::read_to_string(&path).map_err(named)?;
    let lines: Vec<&str> = said.lines().collect();
    let said = lines.get(lines.len().saturating_sub(6)..).unwrap_or_default().join("\n");
    Ok(Taken { status, said })
}
