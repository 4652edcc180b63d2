//! Where it would listen, and whom it would reach.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use super::findings::Findings;
use crate::cli::regime;
use crate::config::{Endpoint, HostPort, Settings};
use crate::gate::today;
use crate::upstream::dial::Dialer;

/// For an answer of the admin address.
const ANSWER: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Could `run` listen? Each port is bound, and let go at once.
pub async fn ports(settings: &Settings, findings: &mut Findings) {
    let mut taken = Vec::new();
    for endpoint in &settings.listen.addresses {
        let refused = match endpoint {
            Endpoint::Tcp(address) => bind(address).await,
            Endpoint::Unix { .. } => unix(endpoint).await,
        };
        if let Err(error) = refused {
            taken.push(("listen", endpoint.to_string(), error));
        }
    }
    if let Some(admin) = &settings.admin
        && let Err(error) = bind(&admin.address).await
    {
        taken.push(("admin", admin.address.to_string(), error));
    }
    if taken.is_empty() {
        let all: Vec<String> = settings.listen.addresses.iter().map(ToString::to_string).collect();
        findings.note("listen", "listen", format!("{} can be listened at", all.join(", ")));
        return;
    }
    let in_use = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    let runs = match &settings.admin {
        Some(admin) if taken.iter().all(|(_, _, error)| in_use(error)) => is_gate(&admin.address).await,
        Some(_) | None => false,
    };
    for (what, address, error) in taken {
        if runs {
            findings.note(
                what,
                "gate-running",
                format!("{address} is in use: a Sealgate runs there already"),
            );
        } else {
            findings.error(what, "listen-fault", format!("{address}: cannot listen: {error}"));
        }
    }
}

async fn bind(address: &HostPort) -> std::io::Result<()> {
    TcpListener::bind((address.host.as_str(), address.port)).await.map(drop)
}

/// A socket's file would stay: whether somebody listens there is asked.
async fn unix(endpoint: &Endpoint) -> std::io::Result<()> {
    let file = endpoint.socket_file().unwrap_or_default();
    match UnixStream::connect(&file).await {
        Ok(_) => Err(std::io::ErrorKind::AddrInUse.into()),
        Err(_) => Ok(()),
    }
}

/// Does a gate answer at the admin address?
async fn is_gate(address: &HostPort) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await.ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer).contains("sealgate_build_info"))
    };
    timeout(ANSWER, ask).await.ok().flatten().unwrap_or(false)
}

pub async fn upstreams(dialer: &Dialer, findings: &mut Findings) {
    for (index, host) in dialer.hosts().iter().enumerate() {
        match dialer.reach_host(index, today()).await {
            Err(error) => findings.error("upstream", "upstream-fault", error.to_string()),
            Ok((channel, route)) => {
                let tls = channel.tls().map(|facts| format!(", {}", facts.version)).unwrap_or_default();
                let region = match &*route.region {
                    "" => String::new(),
                    region => format!(", region {region}"),
                };
                findings.note("upstream", "upstream", format!("{host} answers{tls}{region}"));
            }
        }
    }
}

/// Login `scram`: asks for the verifier of a user that nobody has, as a login would.
pub async fn login(settings: &Settings, dialer: &Arc<Dialer>, findings: &mut Findings) {
    const NOBODY: &[u8] = b"sealgate check: nobody";
    match regime::verifiers(settings, dialer) {
        Ok(None) => {}
        Ok(Some(verifiers)) => match verifiers.ask(NOBODY).await {
            Ok(_) => findings.note("login", "login", "verifiers of passwords can be read"),
            Err(error) => {
                let message = error.to_string();
                let own = settings.login.auth_query.is_none() && message.contains("42501");
                let user =
                    settings.upstream.service.as_ref().map(|service| service.user.replace('"', "\"\""));
                let sql = user
                    .filter(|_| own)
                    .map(|user| format!("GRANT SELECT ON pg_catalog.pg_authid TO \"{user}\";"));
                findings.error_with_sql("login", "login-fault", message, sql);
            }
        },
        Err(fault) => findings.fault("login", "login-fault", fault),
    }
}
