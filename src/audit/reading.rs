//! Lines of a record in full, read again for those who look at what has happened. Whoever wrote them: members that
//! are missing are left out, those that are not known are passed over.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::record::{
    Attribution, Execution, FieldUse, Intent, LoginRecord, Outcome, Record, RefusalRecord, Who,
};
use super::subjects::{Distinct, Subjects};
use crate::seal::SubjectId;
use crate::statement::{Action, Replication, Stream};

/// Bytes of the names of one field; one with longer names is left out.
const NAME_BYTES_MAX: usize = 512;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Line<'l> {
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow)]
    kind: Cow<'l, str>,
    session: u64,
    statement_id: u64,
    #[serde(borrow)]
    user: Cow<'l, str>,
    #[serde(borrow)]
    database: Cow<'l, str>,
    #[serde(borrow)]
    application: Cow<'l, str>,
    #[serde(borrow)]
    client: Cow<'l, str>,
    #[serde(borrow)]
    region: Cow<'l, str>,
    #[serde(borrow)]
    auth: Option<Cow<'l, str>>,
    #[serde(borrow)]
    end_user: Option<Cow<'l, str>>,
    #[serde(borrow)]
    end_user_auth: Option<Cow<'l, str>>,
    #[serde(borrow)]
    action: Cow<'l, str>,
    #[serde(borrow)]
    attribution: Cow<'l, str>,
    #[serde(borrow)]
    fields: Option<Vec<Field<'l>>>,
    #[serde(borrow)]
    fingerprint: Cow<'l, str>,
    #[serde(borrow)]
    statement: Cow<'l, str>,
    #[serde(borrow)]
    rule: Cow<'l, str>,
    #[serde(borrow)]
    sqlstate: Option<Cow<'l, str>>,
    #[serde(borrow)]
    stream: Option<Cow<'l, str>>,
    rows: u64,
    cells: u64,
    bytes: u64,
    partial: bool,
    executions: Option<u64>,
    untold: u64,
    #[serde(borrow)]
    subjects: Option<Whose<'l>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Field<'l> {
    #[serde(borrow)]
    field: Cow<'l, str>,
    #[serde(borrow)]
    class: Cow<'l, str>,
    #[serde(borrow)]
    mode: Cow<'l, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Whose<'l> {
    count: u64,
    #[serde(borrow)]
    ids: Option<Vec<Cow<'l, str>>>,
    unknown: u64,
}

/// Reads lines in their order.
#[derive(Default)]
pub struct Reading {
    /// The latest of a session, which many records share.
    who: Option<Arc<Who>>,
}

impl Reading {
    /// A record of what somebody did, and its time in microseconds since the Unix epoch. None: it is
    /// no such record (an alert, a session, what was done with Sealgate itself), or no line that can be read.
    pub fn read(&mut self, line: &[u8]) -> Option<(Record, u64)> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        let time_us = time_us(&line.time)?;
        let who = self.who(&line);
        let execution = Execution { session: line.session, number: line.statement_id };
        let attribution =
            if line.attribution == "possible" { Attribution::Possible } else { Attribution::Known };
        let sqlstate = line.sqlstate.as_deref().and_then(|code| code.as_bytes().try_into().ok());
        let record = match &*line.kind {
            "intent" => Record::Intent(Intent {
                who,
                execution,
                action: action(&line.action),
                attribution,
                fields: fields(&line),
                fingerprint: (*line.fingerprint).into(),
                statement: (*line.statement).into(),
                rule: "every-user",
                replication: replication(&line),
                lease: None,
            }),
            "outcome" => Record::Outcome(Outcome {
                who,
                execution,
                action: action(&line.action),
                attribution,
                fields: fields(&line),
                fingerprint: (*line.fingerprint).into(),
                rows: line.rows,
                cells: line.cells,
                bytes: line.bytes,
                sqlstate,
                committed: None,
                replication: replication(&line),
                lease: None,
                executions: line.executions,
                partial: line.partial,
                subjects: line.subjects.as_ref().map(|whose| Arc::new(subjects(whose))),
            }),
            "refusal" => Record::Refusal(RefusalRecord {
                who,
                statement_id: line.statement_id,
                sqlstate: "SG001",
                rule: (*line.rule).into(),
                fields: fields(&line),
                statement: (!line.statement.is_empty()).then(|| (*line.statement).into()),
                fingerprint: (!line.fingerprint.is_empty()).then(|| (*line.fingerprint).into()),
            }),
            "login" => Record::Login(LoginRecord {
                who,
                sqlstate: sqlstate.unwrap_or(*b"28000"),
                rule: if line.rule == "gate" { "gate" } else { "server" },
                untold: line.untold,
            }),
            _ => return None,
        };
        Some((record, time_us))
    }

    /// When a line of any kind was written, in microseconds since the Unix epoch.
    #[must_use]
    pub fn time_us(&self, line: &[u8]) -> Option<u64> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        time_us(&line.time)
    }

    fn who(&mut self, line: &Line<'_>) -> Arc<Who> {
        let who = Who {
            session: line.session,
            user: (*line.user).into(),
            database: (*line.database).into(),
            application: (*line.application).into(),
            client: (*line.client).into(),
            region: (*line.region).into(),
            auth: match line.auth.as_deref() {
                Some("scram") => "scram",
                Some("scram-plus") => "scram-plus",
                Some("none") => "none",
                Some(_) | None => "relay",
            },
            certificate: None,
            end_user: line.end_user.as_deref().map(Into::into),
            end_user_auth: if line.end_user_auth.as_deref() == Some("token") { "token" } else { "stated" },
            purpose: None,
        };
        if let Some(held) = self.who.as_ref().filter(|held| ***held == who) {
            return held.clone();
        }
        let who = Arc::new(who);
        self.who = Some(who.clone());
        who
    }
}

fn fields(line: &Line<'_>) -> Arc<[FieldUse]> {
    let fields = line.fields.iter().flatten();
    fields
        .filter(|field| field.field.len() + field.class.len() <= NAME_BYTES_MAX)
        .map(|field| FieldUse {
            field: (*field.field).into(),
            class: (*field.class).into(),
            mode: match &*field.mode {
                "random" => "random",
                "equality" => "equality",
                _ => "none",
            },
        })
        .collect()
}

/// When a line was written, in microseconds since the Unix epoch.
fn time_us(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_microsecond()).ok()
}

fn action(word: &str) -> Action {
    match word {
        "search" => Action::Search,
        "write" => Action::Write,
        "define" => Action::Define,
        "replicate" => Action::Replicate,
        _ => Action::Read,
    }
}

fn replication(line: &Line<'_>) -> Option<Arc<Replication>> {
    let stream = match line.stream.as_deref()? {
        "logical" => Stream::Logical,
        "base_backup" => Stream::BaseBackup,
        _ => Stream::Physical,
    };
    Some(Arc::new(Replication { stream, slot: None, publications: Vec::new() }))
}

fn subjects(whose: &Whose<'_>) -> Subjects {
    let known = match &whose.ids {
        Some(ids) => {
            let mut known = Distinct::default();
            ids.iter().for_each(|id| known.insert(subject(id)));
            known
        }
        None => Distinct::Told(whose.count),
    };
    Subjects { known, unknown: whose.unknown, why: BTreeSet::new() }
}

/// Of ids that somebody else made, their sum.
fn subject(id: &str) -> SubjectId {
    let digits = (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u128::from_str_radix(id, 16).ok())
        .flatten();
    digits.map_or_else(
        || {
            let sum = Sha256::digest(id.as_bytes());
            SubjectId(sum.first_chunk().copied().unwrap_or_default())
        },
        |number| SubjectId(number.to_be_bytes()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_left_out_and_what_is_not_known_passed_over() {
        let mut reading = Reading::default();
        let line =
            br#"{"time":"2026-11-27T10:00:00Z","kind":"outcome","user":"ada","rows":3,"weather":{"a":[1]},
            "subjects":{"count":2,"ids":["00000000000000000000000000000001","anna"]}}"#;
        let Some((Record::Outcome(outcome), time_us)) = reading.read(line) else { panic!("no outcome") };
        assert_eq!((&*outcome.who.user, outcome.rows, outcome.who.auth), ("ada", 3, "relay"));
        assert_eq!(time_us, 1_795_773_600_000_000);
        let subjects = outcome.subjects.unwrap();
        assert_eq!(subjects.known.count(), 2);
        let mut one = [0; 16];
        one[15] = 1;
        assert!(subjects.known.holds(&SubjectId(one)));
        for line in [
            &b"{"[..],
            b"[]",
            br#"{"kind":"intent"}"#,
            br#"{"time":"x","kind":"intent"}"#,
            br#"{"time":"2026-11-27T10:00:00Z","kind":"alert"}"#,
        ] {
            assert!(reading.read(line).is_none());
        }
    }

    #[test]
    fn a_field_with_a_name_that_no_record_has_is_left_out() {
        let long = format!(
            r#"{{"time":"2026-11-27T10:00:00Z","kind":"intent","fields":[{{"field":"{}"}},{{"field":"s.t.c"}}]}}"#,
            "x".repeat(NAME_BYTES_MAX + 1)
        );
        let read = Reading::default().read(long.as_bytes());
        let Some((Record::Intent(intent), _)) = read else { panic!("an intent") };
        assert_eq!(intent.fields.len(), 1);
    }
}
