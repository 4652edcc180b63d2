//! The command line: one file a verb. Only here is anything printed.

mod check;
mod demo;
mod events;
mod house;
pub mod keys;
mod keys_verb;
mod regime;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::check::Wanted;

/// Exit code of a configuration that does not load.
const CONFIGURATION: u8 = 2;

/// A PostgreSQL proxy that seals personal data, records every access to it, watches for
/// unusual ones and keeps it in its regions.
#[derive(Parser)]
#[command(name = "sealgate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Args)]
struct Configured {
    /// The configuration file.
    #[arg(long, default_value = "config/sealgate.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the proxy: SIGTERM drains.
    #[command(after_help = "Example:\n  sealgate run --config config/sealgate.toml")]
    Run(Configured),
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
    /// Make and list keys.
    #[command(subcommand)]
    Keys(KeysVerb),
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
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List root key versions and domains; never a key.
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
    let arguments = Arguments::parse();
    let code = match arguments.verb {
        Verb::Run(Configured { config }) => run::run(&config),
        Verb::Check { configured, json, sql, offline } => {
            check::check(&configured.config, Wanted { json, sql, offline })
        }
        Verb::Demo { once, port } => demo::demo(once, port),
        Verb::Keys(KeysVerb::Init { configured, json }) => keys_verb::init(&configured.config, json),
        Verb::Keys(KeysVerb::List { configured, json }) => keys_verb::list(&configured.config, json),
    };
    ExitCode::from(code)
}
