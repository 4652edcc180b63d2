//! The log: lines on standard error, as text or as JSON, of which `RUST_LOG` chooses the less
//! important. Errors are always told: a service whose log is silent is taken for a sound one.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is shown where `RUST_LOG` asks for nothing, or for nothing that can be meant.
const DEFAULT: &str = "info";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Longest piece of `RUST_LOG` that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Time, level, what happened.
    #[default]
    Text,
    /// One JSON object a line: time, level, target, message, fields.
    Json,
}

/// Begins the log of this process, and tells what of `RUST_LOG` cannot be meant.
pub fn begin_log(format: LogFormat) {
    let asked = std::env::var_os("RUST_LOG").unwrap_or_default();
    let (filter, untold) = directives(&asked.to_string_lossy());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let begun = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.event_format(JsonLines).try_init(),
    };
    if begun.is_err() {
        tracing::debug!("a log is written already");
    }
    if let Some(what) = untold {
        tracing::error!(
            "RUST_LOG: {what}; allowed: error, warn, info, debug, trace, or target=level, with commas between; \
             {DEFAULT} is in use"
        );
    }
}

/// The directives of a filter, and what is wrong with those that were asked for.
fn directives(asked: &str) -> (String, Option<String>) {
    // Where nothing else speaks of a target, its errors are told.
    let mut filter = String::from("error");
    let mut some = false;
    for piece in asked.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
        let Some(directive) = directive(piece) else {
            let mut shown: String = piece.chars().take(SHOWN_CHARS_MAX).collect();
            if shown.len() < piece.len() {
                shown.push_str("...");
            }
            return (DEFAULT.to_owned(), Some(format!("{shown:?} is no level")));
        };
        some = true;
        filter.push(',');
        filter.push_str(&directive);
    }
    if some { (filter, None) } else { (DEFAULT.to_owned(), None) }
}

/// One directive as the filter knows it. A bare word that is no level would be taken for a target,
/// and all others be silent.
fn directive(piece: &str) -> Option<String> {
    if let Some((target, level)) = piece.split_once('=') {
        let sound = !target.is_empty()
            && target.chars().all(|letter| letter.is_ascii_alphanumeric() || "_:".contains(letter));
        return level_of(level.trim()).filter(|_| sound).map(|level| format!("{target}={level}"));
    }
    let own = piece == "sealgate" || piece.starts_with("sealgate::");
    if own { Some(format!("{piece}=trace")) } else { level_of(piece).map(str::to_owned) }
}

/// `off` is no level of a service that must tell its errors.
fn level_of(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let word = if word == "warning" { "warn" } else { &word };
    let by_number = word.parse::<usize>().ok().and_then(|number| LEVELS.get(number));
    let level = by_number.or_else(|| LEVELS.iter().find(|level| **level == word)).copied()?;
    Some(if level == "off" { "error" } else { level })
}

/// One JSON object a line.
struct JsonLines;

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: &'static str,
    target: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut told = Told::default();
        event.record(&mut told);
        let line = Line {
            time: &time,
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message: told.message,
            fields: told.fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// The message of an event, and its other fields.
#[derive(Default)]
struct Told {
    message: String,
    fields: Map<String, Value>,
}

impl Told {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::directives;

    #[test]
    fn what_is_asked_for_is_meant_or_told_and_errors_stay() {
        for (asked, filter, untold) in [
            ("", "info", false),
            (" , ", "info", false),
            ("warn", "error,warn", false),
            ("WARNING", "error,warn", false),
            ("warning,sealgate::gate=debug", "error,warn,sealgate::gate=debug", false),
            ("sealgate::gate=debug", "error,sealgate::gate=debug", false),
            ("sealgate", "error,sealgate=trace", false),
            ("off", "error,error", false),
            ("rustls=off", "error,rustls=error", false),
            ("4", "error,debug", false),
            ("verbose", "info", true),
            ("warn,all", "info", true),
            ("rustls", "info", true),
            ("sealgate=loud", "info", true),
            ("=warn", "info", true),
            ("sealgate=", "info", true),
            ("[span]=debug", "info", true),
            ("warn/regex", "info", true),
            ("9", "info", true),
        ] {
            let (found, told) = directives(asked);
            assert_eq!((found.as_str(), told.is_some()), (filter, untold), "{asked}");
            assert!(tracing_subscriber::EnvFilter::builder().parse(&found).is_ok(), "{found}");
        }
        let (_, told) = directives(&"\u{7}".repeat(1_000));
        let told = told.unwrap();
        assert!(told.len() < 600 && !told.contains('\u{7}'), "{told}");
    }
}
