//! One client going through all tables, and what it must be answered.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::batches::{BATCHES, Batch, Outcome};
use super::followed::FOLLOWED;
use super::form::{Form, Way};
use super::sentinels::Sentinels;
use super::{refused, supported};
use crate::harness::{Frame, Raw};

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Gate,
    /// The control run: what works must work here too, no more is asked.
    Server,
}

pub struct Visit {
    address: SocketAddr,
    whose: Whose,
    raw: Raw,
    sentinels: Sentinels,
    wrong: Vec<String>,
    number: u32,
}

impl Visit {
    pub fn new(address: SocketAddr, whose: Whose) -> Visit {
        let raw = login(address, whose);
        Visit { address, whose, raw, sentinels: Sentinels::default(), wrong: Vec::new(), number: 1000 }
    }

    pub fn leave(self) -> (Sentinels, Vec<String>) {
        (self.sentinels, self.wrong)
    }

    /// All tables, in both protocols.
    pub fn everything(&mut self) {
        for form in supported::WRITES {
            form.ways().into_iter().for_each(|way| self.writes(form, way));
        }
        for form in supported::FINDS {
            form.ways().into_iter().for_each(|way| self.finds(form, way));
        }
        for form in [refused::ASSIGNED, refused::COMPARED, refused::DEFINED].into_iter().flatten() {
            form.ways().into_iter().for_each(|way| self.refused(form, way));
        }
        for form in FOLLOWED {
            form.ways().into_iter().for_each(|way| self.followed(form, way));
        }
        for form in refused::SEVERAL {
            self.refused(form, Way::Simple);
        }
        for form in refused::CONTAINED {
            form.ways().into_iter().for_each(|way| self.contained(form, way));
        }
        for batch in BATCHES {
            self.batch(batch);
        }
    }

    fn next(&mut self, claim: &str, way: &str, stored: bool) -> (String, String, u32) {
        let name = format!("{claim} ({way})");
        self.number += 1;
        (self.sentinels.fresh(&name, stored), name, self.number)
    }

    fn fault(&mut self, name: &str, what: impl AsRef<str>) {
        let whose = if self.whose == Whose::Gate { "gate" } else { "server" };
        self.wrong.push(format!("{name}, {whose}: {}", what.as_ref()));
    }

    /// Runs one exchange; one that hangs or breaks is a fault of its own.
    fn exchange(&mut self, name: &str, run: impl FnOnce(&mut Raw) -> Vec<Frame>) -> Vec<Frame> {
        let raw = &mut self.raw;
        catch_unwind(AssertUnwindSafe(|| run(raw))).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<String>().map_or("it panicked", String::as_str).to_owned();
            self.fault(name, format!("no answer: {what}"));
            Vec::new()
        })
    }

    /// Begins anew where a form has ended the session or left a transaction.
    fn go_on(&mut self, name: &str, frames: &[Frame]) {
        if frames.last().is_none_or(|frame| frame.tag != b'Z') {
            if !frames.is_empty() && self.whose == Whose::Gate {
                self.fault(name, format!("the session ended: {}", told(frames)));
            }
            self.raw = login(self.address, self.whose);
        }
    }

    fn works(&mut self, name: &str) {
        let frames = self.raw.query("SELECT 1");
        if rows(&frames) != [Some(b"1".to_vec())] {
            self.fault(name, format!("the session does not go on: {}", told(&frames)));
            self.raw = login(self.address, self.whose);
        }
    }

    fn reads_back(&mut self, name: &str, sentinel: &str, number: u32) {
        let frames = self.raw.query(&format!("SELECT email, ssn FROM customers WHERE id = {number}"));
        let found = frames.iter().filter(|frame| frame.tag == b'D').flat_map(Frame::values).flatten();
        if !found.into_iter().any(|value| value == sentinel.as_bytes()) {
            self.fault(name, format!("the value is not read back: {}", told(&frames)));
        }
    }

    fn writes(&mut self, form: &Form, way: Way) {
        let (sentinel, name, number) = self.next(form.claim, way.name(), true);
        self.raw.query(&format!(
            "INSERT INTO customers (id, email) VALUES (1, 'seed{number}') ON CONFLICT DO NOTHING"
        ));
        let frames = self.exchange(&name, |raw| form.send(raw, way, &sentinel, number));
        self.go_on(&name, &frames);
        if frames.iter().any(|frame| frame.tag == b'E') {
            return self.fault(&name, told(&frames));
        }
        self.reads_back(&name, &sentinel, number);
    }

    fn finds(&mut self, form: &Form, way: Way) {
        let (sentinel, name, number) = self.next(form.claim, way.name(), true);
        self.raw.query(&format!("INSERT INTO customers (id, email) VALUES ({number}, '{sentinel}')"));
        let frames = self.exchange(&name, |raw| form.send(raw, way, &sentinel, number));
        self.go_on(&name, &frames);
        let copied: Vec<&[u8]> =
            frames.iter().filter(|frame| frame.tag == b'd').map(|frame| frame.body.trim_ascii()).collect();
        let wanted = number.to_string().into_bytes();
        let found = rows(&frames);
        if found != [Some(wanted.clone())] && copied != [&*wanted] {
            self.fault(&name, format!("{} rows: {}", found.len(), told(&frames)));
        }
    }

    /// It may do whatever it does, and be taken back.
    fn followed(&mut self, form: &Form, way: Way) {
        let (sentinel, name, number) = self.next(form.claim, way.name(), false);
        self.raw.query("BEGIN");
        let frames = self.exchange(&name, |raw| form.send(raw, way, &sentinel, number));
        self.go_on(&name, &frames);
        // A form may write one value into all rows, which its table does not let be.
        let refused = |frame: &Frame| frame.field(b'C').is_some_and(|state| state.starts_with("SG"));
        if self.whose == Whose::Gate && frames.iter().any(|frame| frame.tag == b'E' && refused(frame)) {
            self.fault(&name, told(&frames));
        }
        self.raw.query("ROLLBACK");
        self.works(&name);
    }

    /// Simple within a transaction, extended without one.
    fn refused(&mut self, form: &Form, way: Way) {
        let (sentinel, name, number) = self.next(form.claim, way.name(), false);
        let within = way == Way::Simple || self.whose == Whose::Server;
        if within {
            self.raw.query("BEGIN");
        }
        let frames = self.exchange(&name, |raw| form.send(raw, way, &sentinel, number));
        self.go_on(&name, &frames);
        if self.whose == Whose::Gate {
            self.must_refuse(&name, &frames, if within { b'E' } else { b'I' });
        }
        if within {
            let frames = self.raw.query("SELECT 1");
            if self.whose == Whose::Gate && !told(&frames).contains("25P02") {
                self.fault(&name, "the transaction is not aborted");
            }
            self.raw.query("ROLLBACK");
        }
        self.works(&name);
    }

    fn must_refuse(&mut self, name: &str, frames: &[Frame], status: u8) {
        let errors: Vec<&Frame> = frames.iter().filter(|frame| frame.tag == b'E').collect();
        let sound = |frame: &Frame| {
            matches!(frame.field(b'C').as_deref(), Some("SG001" | "SG004" | "54000"))
                && frame.field(b'M').is_some_and(|message| message.starts_with("sealgate:"))
                && frame.field(b'H').is_some_and(|hint| !hint.is_empty())
        };
        let last = frames.last().map_or(&[][..], |frame| &frame.body);
        if errors.len() != 1 || !errors.iter().all(|frame| sound(frame)) {
            self.fault(name, format!("not refused: {}", told(frames)));
        } else if last != [status] {
            self.fault(name, "the status behind the refusal is wrong");
        }
    }

    fn contained(&mut self, form: &Form, way: Way) {
        let (sentinel, name, number) = self.next(form.claim, way.name(), false);
        self.raw.query("BEGIN");
        let frames = self.exchange(&name, |raw| form.send(raw, way, &sentinel, number));
        self.go_on(&name, &frames);
        self.raw.query("ROLLBACK");
        self.works(&name);
    }

    fn batch(&mut self, batch: &Batch) {
        let written = batch.outcome == Outcome::Written;
        let (sentinel, name, number) = self.next(batch.claim, "batch", written);
        let frames = self.exchange(&name, |raw| (batch.run)(raw, &sentinel, number));
        if batch.outcome == Outcome::Contained || self.whose == Whose::Server {
            // The session may have ended: that is an answer.
            self.raw = login(self.address, self.whose);
        } else {
            self.go_on(&name, &frames);
        }
        match batch.outcome {
            Outcome::Written => {
                if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
                    self.fault(&name, told(std::slice::from_ref(error)));
                } else {
                    self.reads_back(&name, &sentinel, number);
                }
            }
            Outcome::Refused if self.whose == Whose::Gate => {
                let status = if batch.claim.contains("in a transaction") { b'E' } else { b'I' };
                self.must_refuse(&name, &frames, status);
            }
            Outcome::Refused | Outcome::Contained => {}
        }
        self.works(&name);
    }
}

fn login(address: SocketAddr, whose: Whose) -> Raw {
    let database = if whose == Whose::Gate { "shop" } else { "control" };
    Raw::login(address, "postgres", database)
}

/// The first column of every row.
fn rows(frames: &[Frame]) -> Vec<Option<Vec<u8>>> {
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(|frame| frame.values().into_iter().next().flatten()).collect()
}

/// An answer in short: tags and errors.
fn told(frames: &[Frame]) -> String {
    let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
    let errors: Vec<String> = frames
        .iter()
        .filter(|frame| frame.tag == b'E')
        .map(|frame| [b'C', b'M', b'D'].map(|code| frame.field(code).unwrap_or_default()).join(" "))
        .collect();
    format!("[{tags}] {}", errors.join(" | "))
}
