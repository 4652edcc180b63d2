//! Cases of places: the audit folder, addresses to listen at and to connect to, and disks.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::Case;
use super::scene::{Scene, Sound, Verb, is_root};

const RUN: &[Verb] = &[Verb::Run];
const CHECK: &[Verb] = &[Verb::Check];
const TWO: &[Verb] = &[Verb::Run, Verb::Check];

fn case(
    name: &str,
    verbs: &'static [Verb],
    code: i32,
    says: &[&str],
    change: impl Fn(&mut Scene) + 'static,
) -> Case {
    let says = says.iter().map(|&part| part.to_owned()).collect();
    Case { name: name.to_owned(), verbs, code, says, at: String::new(), change: Box::new(change) }
}

pub fn audit() -> Vec<Case> {
    vec![
        case("an audit folder that is a file", TWO, 2, &["audit", "/audit"], |scene| {
            scene.remove("audit");
            scene.write("audit", "");
        }),
        case("an audit folder below a file", TWO, 2, &["audit", "sealgate.toml/audit"], |scene| {
            scene.replace("path = \"@/audit\"", "path = \"@/sealgate.toml/audit\"");
        }),
        case("an audit folder that cannot be written", TWO, 2, &["/audit", "Permission denied"], |scene| {
            scene.mode("audit", 0o500);
        }),
        case("an audit folder that cannot be entered", TWO, 2, &["/audit", "Permission denied"], |scene| {
            scene.mode("audit", 0);
        }),
        case(
            "an audit folder that cannot be made",
            TWO,
            2,
            &["/closed/audit", "Permission denied"],
            |scene| {
                scene.folder_at("closed");
                scene.mode("closed", 0o500);
                scene.replace("path = \"@/audit\"", "path = \"@/closed/audit\"");
            },
        ),
        // A fault of now: the other may end. Then the unit's next start succeeds.
        case(
            "an audit folder of a gate that runs",
            RUN,
            1,
            &["/audit", "another process writes to it"],
            |scene| {
                scene.write("audit/lock", "");
                let lock = File::options().write(true).open(scene.path("audit/lock")).unwrap();
                lock.lock().unwrap();
                scene.hold(lock);
            },
        ),
        case("an audit folder whose lock cannot be opened", RUN, 2, &["/audit", "its lock"], |scene| {
            scene.write("audit/lock", "");
            scene.mode("audit/lock", 0);
        }),
        case("a record that cannot be read", RUN, 2, &["/audit", "cannot be read"], |scene| {
            let segment = "audit/audit-20260101T000000.000000Z-00000000000000000001.jsonl";
            scene.write(segment, "{\"seq\":1}\n");
            scene.mode(segment, 0);
        }),
    ]
}

pub fn addresses() -> Vec<Case> {
    let taken = "in use";
    vec![
        case("a port that is taken", RUN, 1, &["listen.address", taken], |scene| {
            let other = TcpListener::bind(("127.0.0.1", scene.port)).unwrap();
            scene.hold(other);
        }),
        case("a port for metrics that is taken", RUN, 1, &["admin.address", taken], |scene| {
            let other = TcpListener::bind(("127.0.0.1", scene.admin)).unwrap();
            scene.hold(other);
        }),
        case("an address of another machine", RUN, 1, &["listen.address", "192.0.2.1:7002"], |scene| {
            scene.replace("address = [\"", "address = [\"192.0.2.1:7002\", \"");
        }),
        case(
            "a name to listen at that means nothing",
            RUN,
            1,
            &["listen.address", "nowhere.invalid"],
            |scene| {
                scene.replace("address = [\"", "address = [\"nowhere.invalid:7003\", \"");
            },
        ),
        case("a socket in no folder", TWO, 2, &["/absent", "no such folder"], |scene| {
            scene.replace("unix:@/sockets", "unix:@/absent");
        }),
        case("a socket in a file", TWO, 2, &["sealgate.toml"], |scene| {
            scene.replace("unix:@/sockets", "unix:@/sealgate.toml");
        }),
        case("a socket where none may be made", RUN, 2, &["/sockets", "Permission denied"], |scene| {
            scene.mode("sockets", 0o500);
        }),
        case("a socket in the place of a file", RUN, 2, &["is no socket"], |scene| {
            scene.write(&format!("sockets/.s.PGSQL.{}", scene.port), "");
        }),
        case("a socket that another listens at", RUN, 1, &["another process"], |scene| {
            let path = scene.path(&format!("sockets/.s.PGSQL.{}", scene.port));
            let other = UnixListener::bind(path).unwrap();
            scene.hold(other);
        }),
        case(
            "a server that no name leads to",
            CHECK,
            2,
            &["upstream", "nowhere.invalid", "resolved"],
            |scene| {
                scene.replace("hosts = [", "hosts = [\"nowhere.invalid:5432\", ");
            },
        ),
        case("a server that nobody is at", CHECK, 2, &["upstream", "127.0.0.1:1", "refused"], |scene| {
            scene.replace("hosts = [", "hosts = [\"127.0.0.1:1\", ");
        }),
        case("a server outside", TWO, 2, &["192.0.2.1:5432", "residency"], |scene| {
            scene.replace("hosts = [", "hosts = [\"192.0.2.1:5432\", ");
        }),
        case("allowed regions and no place", TWO, 2, &["127.0.0.1", "residency"], |scene| {
            scene.replace("cidr = \"127.0.0.0/8\"", "cidr = \"10.0.0.0/8\"");
        }),
        case("a place that has expired", TWO, 2, &["127.0.0.1", "residency", "expired"], |scene| {
            scene.replace("2099-12-31", "2020-12-31");
        }),
        case("a service account that is not let in", CHECK, 2, &["nobody-at-all"], |scene| {
            scene.replace("service_user = \"postgres\"", "service_user = \"nobody-at-all\"");
        }),
        case("a database that is not there", CHECK, 2, &["no-such-database"], |scene| {
            scene.replace("database = \"postgres\"\ntable", "database = \"no-such-database\"\ntable");
        }),
    ]
}

const FULL: &str = r#"
mount -t tmpfs -o size=16k,mode=777 none "$1/keys"
cp "$1/kept.json" "$1/keys/keyring.json"
chown --reference="$1/kept.json" "$1/keys/keyring.json"
chmod 600 "$1/keys/keyring.json"
dd if=/dev/zero of="$1/keys/filler" bs=4k 2>/dev/null || true
"$2" keys init --config "$1/sealgate.toml" || echo "exit code $?"
ls -A "$1/keys"
cmp "$1/kept.json" "$1/keys/keyring.json" && echo unchanged
"#;

/// The file system is mounted in a name space of its own, and gone with it.
pub fn keys_on_a_full_disk() {
    let sound = Sound::new();
    let scene = Scene::of(&sound);
    fs::rename(scene.path("keys/keyring.json"), scene.path("kept.json")).unwrap();
    scene.replace("domain = \"phone\"", "domain = \"telephone\"");
    let output = Command::new("unshare")
        .args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] })
        .args(["sh", "-ec", FULL, "sh"])
        .arg(scene.path(""))
        .arg(env!("CARGO_BIN_EXE_sealgate"))
        .env("SEALGATE_MASTER_KEY", super::scene::MASTER_KEY)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "this test needs mounts of its own (unshare): {said}");
    assert!(said.contains("keyring.json") && said.contains("No space left"), "{said}");
    assert!(said.contains("exit code 2\nfiller\nkeyring.json\nunchanged"), "{said}");
}
