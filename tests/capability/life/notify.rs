//! What a service manager is told, on a real socket of its kind; and the unit that we ship.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use super::reload;
use crate::harness::{PATIENCE, Raw, Setup};
use crate::shop::server;

fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let count = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

/// The next message that is not the watchdog's.
fn told(socket: &UnixDatagram) -> String {
    loop {
        let text = next(socket);
        if text.trim() != "WATCHDOG=1" {
            return text;
        }
    }
}

#[test]
fn the_service_manager_is_told_of_every_step() {
    let server = server(15);
    let mut gate = Setup::before(server.address()).prepare().unwrap();
    let path = gate.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    gate.environment("NOTIFY_SOCKET", path.to_str().unwrap());
    gate.environment("WATCHDOG_USEC", "400000");
    gate.start_only();
    assert_eq!(told(&socket).trim(), "READY=1");
    Raw::login(gate.address(), "postgres", "postgres");
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(next(&socket).trim(), "WATCHDOG=1");
    }
    let took = began.elapsed().as_millis();
    assert!((600..3_000).contains(&took), "five in {took} ms: one every 200 are due");
    reload(&gate, "applied");
    let reloading = told(&socket);
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(&socket).trim(), "READY=1");
    gate.signal("TERM");
    assert_eq!(told(&socket).trim(), "STOPPING=1");
    assert_eq!(gate.wait(), Some(0));
}

#[test]
fn the_unit_is_sound() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sealgate.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    for line in [
        "\nType=notify\n",
        "\nExecReload=/bin/kill -HUP $MAINPID\n",
        "\nRestartPreventExitStatus=2\n",
        "WatchdogSec=",
        "ProtectSystem=strict",
        "LimitNOFILE=",
        "LimitCORE=0",
    ] {
        assert!(text.contains(line), "{line}");
    }
    let folder = std::env::temp_dir().join(format!("sealgate-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("sealgate.service");
    // The program is not where a package puts it.
    std::fs::write(&copy, text.replace("/usr/bin/sealgate", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&copy).output();
    let output =
        output.unwrap_or_else(|error| panic!("systemd-analyze: {error}: .ci/setup test installs it"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("sealgate.service")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}
