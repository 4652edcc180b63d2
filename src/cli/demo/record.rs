//! The record: what the audit folder says of the accesses that the tour made.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::print::{row, shorten};
use super::proof::look;
use super::sealing::{APPLICATION_NAME, actions, secrets};
use super::shop::{CUSTOMERS, Shop};
use super::tour::{Tour, Walked};
use crate::audit::Expansion;

/// How long an outcome may take to reach the folder after its statement has ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// A line of the record is folded at this length.
const LINE_CHARS: usize = 88;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// One segment of this tour is never longer, in bytes.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Looks at the folder until `ready` finds what it waits for.
///
/// # Errors
/// It never did.
pub async fn await_records<T>(
    shop: &Shop,
    what: &str,
    ready: impl Fn(&[Value]) -> Option<T>,
) -> Result<(Vec<Value>, T), String> {
    let looking = async {
        loop {
            let records = read(&shop.folder.path("audit"))?;
            if let Some(found) = ready(&records) {
                return Ok((records, found));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let looked = tokio::time::timeout(PATIENCE, looking).await;
    looked.unwrap_or_else(|_| Err(format!("the record does not hold {what}")))
}

fn read(folder: &Path) -> Result<Vec<Value>, String> {
    let parse = |line: &String| serde_json::from_str(line).map_err(|error| format!("not a record: {error}"));
    lines(folder)?.iter().map(parse).collect()
}

/// Whole lines of all segments in full, in order.
fn lines(folder: &Path) -> Result<Vec<String>, String> {
    let named = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let path = entry.map_err(named)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            segments.push(path);
        }
    }
    segments.sort();
    let mut lines = Vec::new();
    for segment in segments {
        if std::fs::metadata(&segment).map_err(named)?.len() > SEGMENT_BYTES_MAX {
            return Err(format!("{}: longer than this tour makes it", segment.display()));
        }
        let text = std::fs::read_to_string(&segment).map_err(named)?;
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let mut expansion = Expansion::default();
        let full = |line: &str| String::from_utf8_lossy(&expansion.line(line.as_bytes())).into_owned();
        lines.extend(whole.lines().map(full));
    }
    Ok(lines)
}

/// A member as text; empty where it is absent.
pub fn member(record: &Value, name: &str) -> String {
    match record.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// Is it of this kind and by this application?
pub fn is(record: &Value, kind: &str, application: &str) -> bool {
    record["kind"] == kind && record["application"] == application
}

fn same_execution(one: &Value, other: &Value) -> bool {
    one["session"] == other["session"] && one["statement_id"] == other["statement_id"]
}

/// One access: its intent and its outcome.
fn accesses(records: &[Value]) -> Option<Vec<(Value, Value)>> {
    let intents = records.iter().filter(|record| is(record, "intent", APPLICATION_NAME));
    intents
        .map(|intent| {
            let outcome = records
                .iter()
                .find(|record| is(record, "outcome", APPLICATION_NAME) && same_execution(record, intent))?;
            Some((intent.clone(), outcome.clone()))
        })
        .collect()
}

fn fields(record: &Value) -> String {
    let fields = record["fields"].as_array().map_or(&[][..], Vec::as_slice);
    let names = fields.iter().filter_map(|field| field["field"].as_str()?.rsplit('.').next());
    names.collect::<Vec<_>>().join(" ")
}

/// How many data subjects it met; `?` where nobody can say.
fn whose(outcome: &Value) -> String {
    let subjects = &outcome["subjects"];
    match (subjects["count"].as_u64(), subjects["unknown"].as_u64()) {
        (None, _) => String::new(),
        (Some(0), Some(_)) => "?".to_owned(),
        (Some(count), None) => count.to_string(),
        (Some(count), Some(_)) => format!("{count}+?"),
    }
}

/// Shows the accesses of the first two steps as the record has them.
pub async fn show(shop: &Shop, tour: &mut Tour) -> Walked {
    let complete = |records: &[Value]| accesses(records).filter(|all| all.len() >= actions().len());
    let (records, accesses) = await_records(shop, "every access with its outcome", complete).await?;
    tour.page.say(
        "Before a value is shown, or a write goes to the server, an intent is on disk: who, what, on\n\
         which fields, by which statement. An outcome follows: how many rows and personal values were\n\
         shown, and of how many persons. Of the first two steps:",
    );
    tour.page.gap();
    let mut table = vec![row(&[
        &"user",
        &"action",
        &"fields",
        &"rows",
        &"values",
        &"whose",
        &"statement, without literals",
    ])];
    for (intent, outcome) in &accesses {
        table.push(vec![
            member(intent, "user"),
            member(intent, "action"),
            fields(intent),
            member(outcome, "rows"),
            member(outcome, "cells"),
            whose(outcome),
            shorten(&member(intent, "statement").replace('\n', " "), 38),
        ]);
    }
    tour.page.table(&table);
    tour.page.gap();
    tour.page.say("The fifth of them, the SELECT of all customers, as it stands in the folder:");
    let lines = lines(&shop.folder.path("audit"))?;
    for record in accesses.get(CUSTOMERS.len()).into_iter().flat_map(|(intent, outcome)| [intent, outcome]) {
        let head = format!("{{\"seq\":{},", record["seq"]);
        let line = lines.iter().find(|line| line.starts_with(&head)).map_or("", String::as_str);
        tour.page.quote(&fold(line, LINE_CHARS));
    }
    check(shop, tour, &records, &accesses).await
}

async fn check(shop: &Shop, tour: &mut Tour, records: &[Value], accesses: &[(Value, Value)]) -> Walked {
    let recorded: Vec<String> = accesses.iter().map(|(intent, _)| member(intent, "action")).collect();
    let made: Vec<String> = actions().iter().map(ToString::to_string).collect();
    tour.same("the record holds exactly the accesses that were made, in order", &recorded, &made);
    let selected = accesses.get(CUSTOMERS.len());
    let counted = selected.map(|(_, outcome)| (outcome["rows"].as_u64(), outcome["cells"].as_u64()));
    let shown = CUSTOMERS.len() as u64;
    let claim = format!("of the SELECT it says {shown} rows and {} values", 2 * shown);
    tour.same(&claim, &counted, &Some((Some(shown), Some(2 * shown))));
    let subjects = selected.and_then(|(_, outcome)| outcome.get("subjects")?.get("count")?.as_u64());
    tour.same("and whose: each by a name that holds no value", &subjects, &Some(shown));
    let numbers: Vec<u64> = records.iter().filter_map(|record| record["seq"].as_u64()).collect();
    let whole = numbers.iter().zip(1..).all(|(number, expected)| *number == expected);
    tour.claim(whole, "no number is missing in it", format!("{numbers:?}"), "1, 2, 3 and so on");
    let names = CUSTOMERS.iter().map(|customer| customer.name);
    let found = look(shop.folder.path("audit"), secrets().into_iter().chain(names).collect()).await?;
    tour.claim(found.found.is_empty(), "no name, email or IBAN stands in it", found.told(), "nothing");
    Ok(())
}

/// Breaks a long line, at commas where there are some.
fn fold(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for part in text.split_inclusive(',') {
        if let Some(last) = lines.last_mut()
            && (last.is_empty() || last.chars().count() + part.chars().count() <= width)
        {
            last.push_str(part);
        } else {
            lines.push(part.to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folds_at_commas_and_loses_nothing() {
        let text = "a,bb,ccc,dddd,e";
        let folded = fold(text, 6);
        assert_eq!(folded, "a,bb,\nccc,\ndddd,e");
        assert_eq!(folded.replace('\n', ""), text);
    }
}
