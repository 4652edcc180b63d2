//! The tour's book-keeping: every claim is checked while it is shown, and a claim that
//! does not hold says what was seen and what was expected.

use std::fmt::Display;
use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::print::Page;

/// No step takes longer; one that does has failed.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a step could not be walked to its end.
pub type Walked = Result<(), String>;

/// Claims shown so far.
pub struct Tour {
    pub page: Page,
    steps: u32,
    claims: u32,
    failed: u32,
}

impl Tour {
    pub fn new(page: Page) -> Tour {
        Tour { page, steps: 0, claims: 0, failed: 0 }
    }

    /// Walks one step. What keeps it from ending is a claim that failed; the next step is
    /// walked all the same.
    pub async fn step(&mut self, title: &str, walk: impl AsyncFnOnce(&mut Tour) -> Walked) {
        self.steps += 1;
        self.page.title(self.steps, title);
        let why = match tokio::time::timeout(STEP_TIMEOUT, walk(self)).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("no end after {} seconds", STEP_TIMEOUT.as_secs()),
        };
        self.claim(false, "this step was walked to its end", why, "no error");
    }

    /// Shows a claim and whether it holds.
    pub fn claim(&mut self, holds: bool, claim: &str, seen: impl Display, expected: impl Display) {
        self.claims += 1;
        if holds {
            self.page.held(claim);
        } else {
            self.failed += 1;
            self.page.failed(claim, &seen, &expected);
        }
    }

    /// Shows the claim that two things are the same.
    pub fn same<T: PartialEq + std::fmt::Debug>(&mut self, claim: &str, seen: &T, expected: &T) {
        self.claim(seen == expected, claim, format!("{seen:?}"), format!("{expected:?}"));
    }

    pub fn all_held(&self) -> bool {
        self.failed == 0
    }

    /// How many claims there were, and how many did not hold.
    pub fn sum_up(&self) {
        self.page.gap();
        if self.all_held() {
            self.page.headline(&format!("All {} claims of {} steps held.", self.claims, self.steps));
        } else {
            self.page.headline(&format!("{} of {} claims FAILED.", self.failed, self.claims));
        }
    }
}

/// Rows of a statement sent as one text, each column as text.
///
/// # Errors
/// The server's or Sealgate's.
pub async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
    let mut rows = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|column| row.get(column).unwrap_or("NULL").to_owned()).collect());
        }
    }
    Ok(rows)
}

/// The SQLSTATE of an error, or what else it is.
pub fn sqlstate(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |answer| answer.code().code().to_owned())
}

/// An error as psql would show it.
pub fn explain(error: &tokio_postgres::Error) -> String {
    let Some(answer) = error.as_db_error() else { return error.to_string() };
    let mut text = format!("{}:  {}: {}", answer.severity(), answer.code().code(), answer.message());
    for (label, part) in [("DETAIL", answer.detail()), ("HINT", answer.hint())] {
        if let Some(part) = part {
            text.push_str(&format!("\n{label}:  {part}"));
        }
    }
    text
}
