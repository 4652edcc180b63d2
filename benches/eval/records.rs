//! What the gate would have recorded of an event: for detectors that look, and for a folder that
//! `sealgate watch replay` reads.

use std::collections::HashMap;
use std::sync::Arc;

use sealgate::audit::rfc3339;
use sealgate::audit::{
    Attribution, Distinct, Execution, FieldUse, Intent, Outcome, Record, RefusalRecord, Subjects, Who,
};
use sealgate::seal::SubjectId;
use sealgate::statement::{Action, Signs};
use sealgate::watch::Seen;
use serde_json::{Value, json};

use crate::company::{ABROAD, Company, ELSEWHERE, Event, HOUR_MS, NAMED_MAX, Random};
use crate::forms::{Form, Written};

/// An outcome is told every so many rows, and rows go at this pace.
const PART_ROWS: u64 = 10_000;
pub const ROWS_A_SECOND: u64 = 100_000;

/// Bits of [`Event::signs`].
pub mod signs {
    pub const DELAY: u8 = 2;
    pub const SPELLED: u8 = 16;
    pub const LETTER: u8 = 32;
}

/// Offices and homes are in one country; one in four of other places is abroad.
fn region(network: u16) -> &'static str {
    match network {
        ABROAD.. => "far",
        ELSEWHERE.. if network.is_multiple_of(4) => "near",
        _ => "home",
    }
}

struct Known {
    fields: Arc<[FieldUse]>,
    written: Written,
}

/// Makes records, numbered.
pub struct Records {
    company: Company,
    number: u64,
    forms: HashMap<Form, Arc<Known>>,
    whos: HashMap<(usize, u16, u64), Arc<Who>>,
}

/// One thing that detectors see.
pub struct Sight {
    pub seen: Seen,
    pub at_ms: u64,
}

impl Records {
    #[must_use]
    pub fn of(company: Company) -> Records {
        Records { company, number: 0, forms: HashMap::new(), whos: HashMap::new() }
    }

    fn who(&mut self, event: &Event) -> Arc<Who> {
        let session = event.principal as u64 * 100_000 + event.at_ms / (8 * HOUR_MS) % 100_000;
        let role = self.company.role(event.principal);
        let who = self.whos.entry((event.principal, event.network, session)).or_insert_with(|| {
            let (high, low) = (event.network / 200, event.network % 200);
            Arc::new(Who {
                session,
                user: format!("{}{}", role.name(), event.principal).into(),
                database: "shop".into(),
                application: format!("{} desk", role.name()).into(),
                client: format!("10.{high}.{low}.{}", 1 + event.principal % 250).into(),
                region: region(event.network).into(),
                auth: "scram",
                ..Who::sealgate()
            })
        });
        who.clone()
    }

    fn form(&mut self, form: Form) -> Arc<Known> {
        let make = || {
            let written = form.written();
            let field = |name: &String| FieldUse {
                field: name.as_str().into(),
                class: "personal".into(),
                mode: "random",
            };
            Arc::new(Known { fields: written.fields.iter().map(field).collect(), written })
        };
        match form {
            // They never come again.
            Form::ByHand(_) => make(),
            _ => self.forms.entry(form).or_insert_with(make).clone(),
        }
    }

    /// In order of time.
    pub fn of_event(&mut self, event: &Event, sights: &mut Vec<Sight>) {
        sights.clear();
        let who = self.who(event);
        let known = self.form(event.form);
        self.number += 1;
        let execution = Execution { session: who.session, number: self.number };
        let code = event.sqlstate.and_then(|code| code.as_bytes().try_into().ok());
        let at_ms = event.at_ms;
        let all =
            [(signs::DELAY, Signs::DELAY), (signs::SPELLED, Signs::SPELLED), (signs::LETTER, Signs::LETTER)];
        let of = all.into_iter().filter(|(bit, _)| event.signs & bit != 0);
        let signs = of.fold(Signs::default(), |signs, (_, sign)| signs.with(sign));
        if !signs.is_empty() {
            let (who, fields) = (who.clone(), known.fields.clone());
            let seen = Seen::Suspicious { who, signs, fields, statement_id: Some(self.number) };
            sights.push(Sight { seen, at_ms });
        }
        if event.is_refused {
            let refusal = RefusalRecord {
                who: who.clone(),
                statement_id: self.number,
                sqlstate: "SG001",
                rule: "unparsed".into(),
                fields: Arc::default(),
                statement: None,
                fingerprint: None,
            };
            sights.push(Sight { seen: Seen::Record(Box::new(Record::Refusal(refusal))), at_ms });
            return;
        }
        if !event.is_unread {
            let intent = Intent {
                who: who.clone(),
                execution,
                action: Action::Read,
                attribution: Attribution::Known,
                fields: known.fields.clone(),
                fingerprint: known.written.fingerprint.clone(),
                statement: known.written.text.clone(),
                rule: "every-user",
                replication: None,
                lease: None,
            };
            sights.push(Sight { seen: Seen::Record(Box::new(Record::Intent(intent))), at_ms });
            let mut rows = event.rows.min(PART_ROWS);
            loop {
                let partial = rows < event.rows;
                let outcome = Outcome {
                    who: who.clone(),
                    execution,
                    action: Action::Read,
                    attribution: Attribution::Known,
                    fields: known.fields.clone(),
                    fingerprint: known.written.fingerprint.clone(),
                    rows,
                    cells: rows * known.fields.len() as u64,
                    bytes: rows * known.written.row_bytes,
                    sqlstate: code,
                    committed: None,
                    replication: None,
                    lease: None,
                    executions: None,
                    partial,
                    subjects: Some(Arc::new(Subjects {
                        known: distinct(event, rows),
                        ..Subjects::default()
                    })),
                };
                let at_ms = at_ms + 2 + rows * 1_000 / ROWS_A_SECOND;
                sights.push(Sight { seen: Seen::Record(Box::new(Record::Outcome(outcome))), at_ms });
                if !partial {
                    break;
                }
                rows = event.rows.min(rows + PART_ROWS);
            }
        }
        if let Some(sqlstate) = code {
            sights.push(Sight { seen: Seen::Failed { who, sqlstate }, at_ms: at_ms + 3 });
        }
    }
}

fn distinct(event: &Event, rows: u64) -> Distinct {
    if event.rows > NAMED_MAX {
        return Distinct::Told(rows);
    }
    let mut known = Distinct::default();
    if event.rows > 0 {
        for n in &event.subjects {
            known.insert(SubjectId((u128::from(Random::of(&[7, *n]).bits()) << 64).to_be_bytes()));
        }
    }
    known
}

/// A line of a record, as `docs/RECORD.md` tells it, without the chain. None: what stands in no record.
#[must_use]
pub fn line(sight: &Sight) -> Option<String> {
    let Seen::Record(record) = &sight.seen else { return None };
    let (who, execution, fields, fingerprint) = match &**record {
        Record::Intent(one) => (&one.who, one.execution, &one.fields, &one.fingerprint),
        Record::Outcome(one) => (&one.who, one.execution, &one.fields, &one.fingerprint),
        _ => return None,
    };
    let fields: Vec<Value> = fields
        .iter()
        .map(|one| json!({ "field": *one.field, "class": *one.class, "mode": one.mode }))
        .collect();
    let mut line = json!({
        "time": rfc3339(sight.at_ms * 1_000),
        "kind": record.kind(),
        "session": who.session,
        "statement_id": execution.number,
        "user": *who.user,
        "database": *who.database,
        "application": *who.application,
        "client": *who.client,
        "region": *who.region,
        "auth": who.auth,
        "action": "read",
        "attribution": "known",
        "fields": fields,
        "fingerprint": **fingerprint,
    });
    let members = line.as_object_mut()?;
    match &**record {
        Record::Intent(intent) => {
            members.insert("statement".into(), json!(*intent.statement));
        }
        Record::Outcome(outcome) => {
            for (name, number) in [("rows", outcome.rows), ("cells", outcome.cells), ("bytes", outcome.bytes)]
            {
                members.insert(name.into(), json!(number));
            }
            if outcome.partial {
                members.insert("partial".into(), json!(true));
            }
            if let Some(code) = outcome.sqlstate {
                members.insert("sqlstate".into(), json!(String::from_utf8_lossy(&code)));
            }
            if let Some(subjects) = &outcome.subjects {
                let ids: Option<Vec<String>> =
                    subjects.known.names().map(|names| names.iter().map(ToString::to_string).collect());
                members.insert("subjects".into(), json!({ "count": subjects.known.count(), "ids": ids }));
            }
        }
        _ => {}
    }
    Some(line.to_string())
}
