//! The tour of `sealgate demo`: each of its claims is checked by itself, and whatever way it
//! ends, nothing of it stays.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{VERSIONS, sealgate_command};

/// A temporary directory of one test's own, so that what is left behind can be seen.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let path = PathBuf::from(format!("/tmp/sealgate-tour-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        // As /tmp is: the server's account makes and removes its own folder in it.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1777)).unwrap();
        Temporary(path)
    }

    /// All but the template of servers, which is kept on purpose.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with("sealgate-pg-cache")).collect()
    }

    fn demo(&self, major: u32, arguments: &[&str]) -> Child {
        let binaries = sealgate::store::postgres::Binaries::find(Some(major)).unwrap();
        let folder = binaries.program("postgres").parent().unwrap().to_owned();
        let mut command = sealgate_command();
        for other in VERSIONS {
            command.env_remove(format!("SEALGATE_PG{other}_BIN"));
        }
        command.arg("demo").args(arguments).env("TMPDIR", &self.0);
        command.env(format!("SEALGATE_PG{major}_BIN"), folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_claim_of_the_tour_holds_and_nothing_is_left() {
    for major in VERSIONS {
        let temporary = Temporary::new(&major.to_string());
        let output = temporary.demo(major, &["--once"]).wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("steps held.") && !text.contains("FAILED"), "{text}");
        assert!(!text.contains('\x1b'), "colour is for terminals alone");
        assert!(temporary.left().is_empty(), "{:?}", temporary.left());
    }
}

/// Reads until a line holds `mark`, interrupts, and returns the exit code.
fn interrupted_at(mark: &str, arguments: &[&str]) -> Option<i32> {
    let temporary = Temporary::new(&mark.replace(|letter: char| !letter.is_ascii_alphanumeric(), ""));
    let mut demo = temporary.demo(VERSIONS[0], arguments);
    let mut output = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(mark) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the demo ended before {mark:?}");
    }
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let code = demo.wait().unwrap().code();
    assert!(temporary.left().is_empty(), "{mark}: {:?}", temporary.left());
    code
}

#[test]
fn an_interrupt_removes_everything_whenever_it_comes() {
    assert_eq!(interrupted_at("Sealgate demo:", &["--once"]), Some(130));
    assert_eq!(interrupted_at("1. Sealed", &[]), Some(0));
    assert_eq!(interrupted_at("pg_basebackup", &["--once"]), Some(130));
    assert_eq!(interrupted_at("Ctrl-C ends it", &[]), Some(0));
}
