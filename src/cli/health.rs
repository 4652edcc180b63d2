//! `sealgate health`: asks a running gate how it is, at the admin address that its configuration
//! names. For the health check of an image, in which nothing else speaks HTTP.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use super::CONFIGURATION;
use super::house::settings;
use crate::config::HostPort;

/// How long the answer may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Runs the verb: 0 it is well, 1 it is not or does not answer, 2 there is nothing to ask.
pub fn health(config: &Path, ready: bool) -> u8 {
    let admin = match settings(config) {
        Ok(settings) => settings.admin,
        Err(fault) => return tell(&fault.text()),
    };
    let Some(address) = admin.map(|admin| admin.address).filter(|address| address.port != 0) else {
        return tell(&format!(
            "{}: health is asked at the [admin] address, and there is none with a port; \
             add [admin] with address = \"127.0.0.1:9187\"",
            config.display()
        ));
    };
    let path = if ready { "/health/ready" } else { "/health/live" };
    match ask(&address, path, Instant::now() + PATIENCE) {
        Ok((true, body)) => {
            println!("{}", body.trim_end());
            0
        }
        Ok((false, body)) => {
            eprintln!("sealgate: {}", body.trim_end());
            1
        }
        Err(error) => {
            eprintln!("sealgate: {address}: {error}");
            1
        }
    }
}

fn tell(what: &str) -> u8 {
    eprintln!("sealgate: {what}");
    CONFIGURATION
}

/// Did it answer 200? And the body of what it said.
fn ask(address: &HostPort, path: &str, deadline: Instant) -> io::Result<(bool, String)> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for found in (address.host.as_str(), address.port).to_socket_addrs()? {
        match ask_at(reachable(found), path, deadline) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What listens everywhere is reached here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn ask_at(address: SocketAddr, path: &str, deadline: Instant) -> io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = stream.read(&mut piece)?;
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || answer.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    match status {
        Some(status) => Ok((status == "200", body.to_owned())),
        None => Err(io::Error::other("what listens there is not Sealgate")),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
