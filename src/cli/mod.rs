//! The command line: one file a verb. Only here is anything printed.

mod alert;
mod audit;
mod check;
mod demo;
mod events;
pub mod evidence;
mod fellows;
mod health;
mod house;
pub mod keys;
mod keys_verb;
mod known;
mod log;
mod operators;
mod place;
mod ready;
mod regime;
mod replay;
mod run;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use log::LogFormat;

use self::check::Wanted;

/// Exit code of a fault that another start does not mend: of the configuration, or of keys,
/// certificates, folders and files that it names.
const CONFIGURATION: u8 = 2;

/// As `--version` prints it.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEALGATE_COMMIT"), ")");

/// A PostgreSQL proxy that seals personal data, records every access to it, watches for
/// unusual ones and keeps it in its regions.
#[derive(Parser)]
#[command(name = "sealgate", version = VERSION, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Args)]
struct Configured {
    /// The configuration file [default: that of SEALGATE_CONFIG, or config/sealgate.toml, or
    /// /etc/sealgate/sealgate.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the proxy: SIGTERM drains.
    #[command(after_help = "Example:\n  sealgate run --config config/sealgate.toml")]
    Run {
        #[command(flatten)]
        configured: Configured,
        /// How lines of the log look; RUST_LOG chooses which.
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
    },
    /// Validate configuration, keys, audit folder, upstreams, catalog and regions.
    #[command(
        after_help = "Example:\n  sealgate check --config config/sealgate.toml\n  sealgate check --sql | psql shop"
    )]
    Check {
        #[command(flatten)]
        configured: Configured,
        /// Print one JSON object.
        #[arg(long, conflicts_with = "sql")]
        json: bool,
        /// Print the statements that mend the schema, and nothing else.
        #[arg(long)]
        sql: bool,
        /// Look at files alone: no server and no port is tried.
        #[arg(long)]
        offline: bool,
    },
    /// Ask a running gate how it is, at its admin address: 0 well, 1 not.
    #[command(after_help = "Example:\n  sealgate health --ready --config config/sealgate.toml")]
    Health {
        #[command(flatten)]
        configured: Configured,
        /// Whether it can serve, too: an upstream and the record among it.
        #[arg(long)]
        ready: bool,
    },
    /// A tour of a throwaway shop behind Sealgate; then serve it until Ctrl-C.
    #[command(after_help = "Example:\n  sealgate demo --once")]
    Demo {
        /// End after the tour: 0 only if every claim held.
        #[arg(long)]
        once: bool,
        /// Where Sealgate listens [default: 6432, or the next port that is free].
        #[arg(long, value_name = "N")]
        port: Option<u16>,
    },
    /// Alerts, by hand.
    #[command(subcommand)]
    Alert(AlertVerb),
    /// The watch, by hand: of the gate that runs with this configuration, over its admin socket.
    #[command(subcommand)]
    Watch(WatchVerb),
    /// Make and list keys.
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Look at the record.
    #[command(subcommand)]
    Audit(AuditVerb),
}

#[derive(Subcommand)]
enum AuditVerb {
    /// Print the record, each line in full: who, what a statement does and long lists of fields are told once a
    /// segment, and named by numbers from then on. Nothing is verified.
    #[command(
        after_help = "Examples:\n  sealgate audit show | jq 'select(.user == \"ada\")'\n  sealgate audit show /srv/copy/audit/audit-20261121T223248.000001Z-00000000000000000042.jsonl.zst"
    )]
    Show {
        #[command(flatten)]
        configured: Configured,
        /// The folder, or a file of it [default: the folder of the configuration].
        folder: Option<PathBuf>,
    },
    /// Is the record what was written, all of it? 0 intact, 3 not, naming the first bad record.
    #[command(
        after_help = "Examples:\n  sealgate audit verify --config config/sealgate.toml\n  sealgate audit verify /srv/copy/audit --public-key audit.key.pub --checkpoint /mnt/evidence/checkpoints"
    )]
    Verify {
        #[command(flatten)]
        configured: Configured,
        /// The folder [default: that of the configuration].
        folder: Option<PathBuf>,
        /// The public half of the signing key, or a file that holds it; once for each that was in
        /// use [default: that of the configuration's key].
        #[arg(long, value_name = "KEY")]
        public_key: Vec<String>,
        /// A file of checkpoints, or a log that holds some, that whoever wrote the folder could not
        /// change.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// The first record that must be there: older ones have been moved away.
        #[arg(long, value_name = "N", default_value_t = 1)]
        first: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum AlertVerb {
    /// Send one to each receiver, and say what came of it: 0 all have it, 1 not.
    #[command(after_help = "Example:\n  sealgate alert test --config config/sealgate.toml")]
    Test {
        #[command(flatten)]
        configured: Configured,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum WatchVerb {
    /// Who is here and does what, who is near a limit, who is locked out.
    #[command(after_help = "Example:\n  sealgate watch status")]
    Status {
        #[command(flatten)]
        configured: Configured,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Let a user in again who was locked out.
    #[command(
        after_help = "Example:\n  sealgate watch release ada\n  sealgate watch release pool --end-user bob"
    )]
    Release {
        #[command(flatten)]
        configured: Configured,
        user: String,
        /// Only one of those for whom that user asks, by its name.
        #[arg(long, value_name = "NAME")]
        end_user: Option<String>,
    },
    /// End a session, by its number in status, records and alerts.
    #[command(after_help = "Example:\n  sealgate watch end 1838450000000001")]
    End {
        #[command(flatten)]
        configured: Configured,
        session: u64,
    },
    /// Why there was an alert about unusual access, by its id or that of its incident.
    #[command(after_help = "Example:\n  sealgate watch explain 6f1c09d2a4b87e35")]
    Explain {
        #[command(flatten)]
        configured: Configured,
        alert: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What is normal for a user.
    #[command(after_help = "Example:\n  sealgate watch baseline ada")]
    Baseline {
        #[command(flatten)]
        configured: Configured,
        user: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// What an alert was about was fine: as much and the like of it is normal from now on.
    #[command(after_help = "Example:\n  sealgate watch allow 6f1c09d2a4b87e35")]
    Allow {
        #[command(flatten)]
        configured: Configured,
        alert: String,
    },
    /// A new version of an application comes: for so long, new forms of statements are learned and not told.
    #[command(after_help = "Example:\n  sealgate watch deploy --for 2h")]
    Deploy {
        #[command(flatten)]
        configured: Configured,
        /// From 1s to 7d: a number and s, m, h or d.
        #[arg(long = "for", value_name = "TIME", value_parser = length)]
        ms: u64,
    },
    /// Run the detectors over a folder of records, whoever made it, and print what they find.
    #[command(
        after_help = "Examples:\n  sealgate watch replay /srv/copy/audit\n  sealgate watch replay /srv/copy/audit --config new.toml --against old.toml\n  sealgate watch replay /srv/copy/audit --keep"
    )]
    Replay {
        #[command(flatten)]
        configured: Configured,
        /// Records, as docs/RECORD.md has them: segments as they were written, or other files that end in .jsonl.
        folder: PathBuf,
        /// Compare with what the detectors of this configuration find.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Save what was learned where the configuration's gate looks for it at its start. The gate must not run.
        #[arg(long, conflicts_with = "against")]
        keep: bool,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// A length of time, in milliseconds.
fn length(text: &str) -> Result<u64, String> {
    crate::config::duration_ms(text)
        .filter(|ms| (1_000..=operators::DEPLOY_MS_MAX).contains(ms))
        .ok_or_else(|| "from 1s to 7d: a number and s, m, h or d".to_owned())
}

#[derive(Subcommand)]
enum KeysVerb {
    /// Make the keyring, or add the domains that it lacks.
    #[command(
        after_help = "Example:\n  export SEALGATE_MASTER_KEY=$(openssl rand -base64 32)\n  sealgate keys init --config config/sealgate.toml"
    )]
    Init {
        #[command(flatten)]
        configured: Configured,
        /// Another keyring, though one is known here: of what that one sealed nothing opens, nothing
        /// is found, and unique indexes let duplicates past, unless its backup comes back.
        #[arg(long)]
        new_identity: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List identity, root key versions and domains; never a key.
    #[command(after_help = "Example:\n  sealgate keys list --json")]
    List {
        #[command(flatten)]
        configured: Configured,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Parses the command line and runs the verb.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(match Arguments::parse().verb {
        Verb::Run { configured, log_format } => {
            log::begin_log(log_format);
            match place::find(configured.config) {
                Ok(config) => run::run(&config),
                Err(fault) => run::tell(&house::Fault::Configuration(vec![fault])),
            }
        }
        Verb::Check { configured, json, sql, offline } => {
            with(configured, |config| check::check(config, Wanted { json, sql, offline }))
        }
        Verb::Health { configured, ready } => with(configured, |config| health::health(config, ready)),
        Verb::Demo { once, port } => demo::demo(once, port),
        Verb::Alert(AlertVerb::Test { configured, json }) => {
            with(configured, |config| alert::test(config, json))
        }
        Verb::Watch(WatchVerb::Status { configured, json }) => {
            with(configured, |config| watch::status(config, json))
        }
        Verb::Watch(WatchVerb::Release { configured, user, end_user }) => {
            with(configured, |config| watch::release(config, &user, end_user.as_deref()))
        }
        Verb::Watch(WatchVerb::End { configured, session }) => {
            with(configured, |config| watch::end(config, session))
        }
        Verb::Watch(WatchVerb::Explain { configured, alert, json }) => {
            with(configured, |config| watch::explain(config, &alert, json))
        }
        Verb::Watch(WatchVerb::Baseline { configured, user, json }) => {
            with(configured, |config| watch::baseline(config, &user, json))
        }
        Verb::Watch(WatchVerb::Allow { configured, alert }) => {
            with(configured, |config| watch::allow(config, &alert))
        }
        Verb::Watch(WatchVerb::Deploy { configured, ms }) => {
            with(configured, |config| watch::deploy(config, ms))
        }
        Verb::Watch(WatchVerb::Replay { configured, folder, against, keep, json }) => {
            let wanted = replay::Wanted { folder, against, keep, json };
            // Without a configuration the detectors are those that learn, as they are by themselves.
            match place::find(configured.config.clone()) {
                Ok(config) => replay::replay(Some(&config), &wanted),
                Err(_) if configured.config.is_none() && !wanted.keep => replay::replay(None, &wanted),
                Err(_) => with(configured, |config| replay::replay(Some(config), &wanted)),
            }
        }
        Verb::Keys(KeysVerb::Init { configured, new_identity, json }) => {
            with(configured, |config| keys_verb::init(config, new_identity, json))
        }
        Verb::Keys(KeysVerb::List { configured, json }) => {
            with(configured, |config| keys_verb::list(config, json))
        }
        Verb::Audit(AuditVerb::Show { configured, folder: Some(of) }) if configured.config.is_none() => {
            audit::show(None, Some(of))
        }
        Verb::Audit(AuditVerb::Show { configured, folder }) => {
            with(configured, |config| audit::show(Some(config), folder))
        }
        Verb::Audit(AuditVerb::Verify { configured, folder, public_key, checkpoint, first, json }) => {
            let wanted = audit::Wanted { folder, keys: public_key, external: checkpoint, first, json };
            match &wanted.folder {
                Some(_) if configured.config.is_none() => audit::verify(None, wanted),
                Some(_) | None => with(configured, |config| audit::verify(Some(config), wanted)),
            }
        }
    })
}

/// Runs a verb with the configuration that there is.
#[expect(clippy::print_stderr, reason = "a verb prints")]
fn with(configured: Configured, verb: impl FnOnce(&Path) -> u8) -> u8 {
    match place::find(configured.config) {
        Ok(config) => verb(&config),
        Err(fault) => {
            eprintln!("sealgate: {fault}");
            CONFIGURATION
        }
    }
}
