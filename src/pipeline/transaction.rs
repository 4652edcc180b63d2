//! Was a write committed? Its outcome waits for the end of its transaction, which the server tells by
//! the tags of what completes (COMMIT, ROLLBACK, SAVEPOINT, RELEASE) and by ReadyForQuery. What
//! cannot be told from these stays open: nothing is guessed.
//!
//! ROLLBACK and ROLLBACK TO have the same tag. Without a savepoint it is the first; with one,
//! ReadyForQuery tells, where nothing else completed before it. Which savepoint is meant no tag
//! tells: whatever came behind the newest is undone, what came before the oldest is not, and what
//! stands between stays open.

use crate::audit::{Outcome, Record};

/// Outcomes that wait at the most; the oldest goes on without an answer.
pub const WAITING_MAX: usize = 256;
/// Savepoints that are followed at the most.
const SAVEPOINTS_MAX: usize = 64;

/// What an execution came to, as far as its own answer tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It completed: whether it holds is its transaction's to say.
    Completed,
    /// The server refused it, or never saw it.
    Undone,
    /// Nobody can say.
    Open,
}

/// One session's transaction, as its answers tell of it. See the module's text.
#[derive(Default)]
pub struct Transaction {
    waiting: Vec<Outcome>,
    /// How many were waiting when each savepoint was made, from the oldest on.
    savepoints: Vec<usize>,
    /// The oldest of them stands for several, of which some may be gone.
    merged: bool,
    /// There were more than are followed.
    lost: bool,
    /// A ROLLBACK completed of which ReadyForQuery tells which it was.
    rollback: bool,
    /// Since the last ReadyForQuery: how many commands completed, whether one failed, and whether
    /// one may have committed what was before it.
    completed: u32,
    failed: bool,
    doubtful: bool,
    /// This session may have a ROLLBACK AND CHAIN, behind which a transaction is open.
    chains: bool,
}

impl Transaction {
    /// The outcome of a write that completed.
    pub fn wait(&mut self, outcome: Outcome, out: &mut Vec<Record>) {
        if self.waiting.len() >= WAITING_MAX {
            out.push(Record::Outcome(self.waiting.remove(0)));
            self.savepoints.iter_mut().for_each(|at| *at = at.saturating_sub(1));
        }
        self.waiting.push(outcome);
    }

    /// A text that the client sends. `text`: as much of it as has arrived.
    pub fn read(&mut self, text: &[u8], is_whole: bool) {
        // Not what begins as most texts do.
        let begins =
            text.first().is_some_and(|byte| matches!(byte, b'r' | b'R' | b'a' | b'A' | b';' | 0..=b'/'));
        if begins && !self.chains {
            self.chains = !is_whole || text.windows(5).any(|word| word.eq_ignore_ascii_case(b"chain"));
        }
    }

    /// CommandComplete, with its tag.
    pub fn complete(&mut self, tag: &[u8], out: &mut Vec<Record>) {
        self.completed = self.completed.saturating_add(1);
        if self.rollback {
            // Which it was nobody tells any more.
            self.leave_open(out);
        }
        match tag {
            b"COMMIT" => self.settle(Some(true), out),
            b"PREPARE TRANSACTION" => self.settle(None, out),
            b"ROLLBACK" if self.savepoints.is_empty() && !self.lost => self.settle(Some(false), out),
            b"ROLLBACK" => self.rollback = true,
            b"SAVEPOINT" if self.savepoints.len() < SAVEPOINTS_MAX => {
                self.savepoints.push(self.waiting.len())
            }
            b"SAVEPOINT" => self.lost = true,
            b"RELEASE" if self.savepoints.len() > usize::from(self.merged) => drop(self.savepoints.pop()),
            _ => self.doubtful |= !self.waiting.is_empty() && !stays_within(tag),
        }
    }

    /// ErrorResponse.
    pub fn fail(&mut self, out: &mut Vec<Record>) {
        if self.rollback {
            self.leave_open(out);
        }
        self.failed = true;
    }

    /// ReadyForQuery.
    pub fn ready(&mut self, status: u8, out: &mut Vec<Record>) {
        let ended = status == b'I';
        if self.rollback && ended {
            self.settle(Some(false), out);
        } else if self.rollback && self.completed == 1 && status == b'T' && !self.chains && !self.lost {
            self.roll_back_to(out);
        } else if self.rollback {
            self.leave_open(out);
        } else if ended {
            let holds = match (self.failed, self.doubtful) {
                (false, _) => Some(true),
                (true, false) => Some(false),
                (true, true) => None,
            };
            self.settle(holds, out);
        }
        (self.completed, self.failed, self.doubtful, self.rollback) = (0, false, false, false);
    }

    /// The session is over. `is_undone`: in an open transaction, with nothing under way.
    pub fn close(&mut self, is_undone: bool, out: &mut Vec<Record>) {
        self.settle(is_undone.then_some(false), out);
    }

    /// Its end is known, for all of it.
    fn settle(&mut self, committed: Option<bool>, out: &mut Vec<Record>) {
        tell(self.waiting.drain(..), committed, out);
        self.savepoints.clear();
        (self.merged, self.lost, self.rollback, self.doubtful) = (false, false, false, false);
    }

    /// ROLLBACK TO one of the savepoints.
    fn roll_back_to(&mut self, out: &mut Vec<Record>) {
        let oldest = self.savepoints.first().copied().unwrap_or(0).min(self.waiting.len());
        let newest = self.savepoints.last().copied().unwrap_or(0).clamp(oldest, self.waiting.len());
        let undone = self.waiting.split_off(newest);
        tell(self.waiting.drain(oldest..), None, out);
        tell(undone.into_iter(), Some(false), out);
        self.merged |= self.savepoints.len() > 1;
        self.savepoints = vec![oldest];
    }

    /// Something was rolled back, and nobody can say what.
    fn leave_open(&mut self, out: &mut Vec<Record>) {
        tell(self.waiting.drain(..), None, out);
        self.savepoints = vec![0];
        (self.merged, self.rollback) = (true, false);
    }
}

fn tell(outcomes: impl Iterator<Item = Outcome>, committed: Option<bool>, out: &mut Vec<Record>) {
    out.extend(outcomes.map(|outcome| Record::Outcome(Outcome { committed, ..outcome })));
}

/// Is this the tag of what never ends a transaction by itself? Others (CALL, VACUUM, CREATE INDEX
/// CONCURRENTLY) may commit what stands before them in their batch.
fn stays_within(tag: &[u8]) -> bool {
    let word = tag.split(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(
        word,
        b"SELECT"
            | b"INSERT"
            | b"UPDATE"
            | b"DELETE"
            | b"MERGE"
            | b"FETCH"
            | b"COPY"
            | b"SHOW"
            | b"SET"
            | b"BEGIN"
            | b"START"
            | b"RELEASE"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::{Execution, Who};
    use crate::statement::Action;

    /// Plays what completes: a digit is a write, `!` an error, `I`, `T` and `E` ReadyForQuery, `#` the
    /// end of the session; a word is a tag. Tells what is said of each write, in order.
    fn play(script: &str) -> String {
        play_from(&mut Transaction::default(), script)
    }

    fn play_from(transaction: &mut Transaction, script: &str) -> String {
        let mut out = Vec::new();
        for word in script.split_whitespace() {
            match word {
                "I" | "T" | "E" => transaction.ready(word.as_bytes()[0], &mut out),
                "!" => transaction.fail(&mut out),
                "#" => transaction.close(true, &mut out),
                "?" => transaction.close(false, &mut out),
                number if number.parse::<u64>().is_ok() => {
                    transaction.complete(b"INSERT 0 1", &mut out);
                    transaction.wait(outcome(number.parse().unwrap()), &mut out);
                }
                tag => transaction.complete(tag.replace('_', " ").as_bytes(), &mut out),
            }
        }
        let told = out.iter().map(|record| {
            let Record::Outcome(outcome) = record else { panic!("an outcome") };
            let holds = outcome.committed.map_or('?', |holds| if holds { '+' } else { '-' });
            format!("{}{holds}", outcome.execution.number)
        });
        told.collect::<Vec<_>>().join(" ")
    }

    fn outcome(number: u64) -> Outcome {
        Outcome {
            attribution: crate::audit::Attribution::Known,
            who: Arc::new(Who::sealgate()),
            execution: Execution { session: 1, number },
            action: Action::Write,
            fields: Arc::default(),
            fingerprint: Arc::default(),
            rows: 1,
            cells: 0,
            bytes: 0,
            sqlstate: None,
            committed: None,
            replication: None,
            lease: None,
            executions: None,
            partial: false,
            subjects: None,
        }
    }

    #[test]
    fn a_write_is_committed_with_its_transaction_and_not_before() {
        for (script, told) in [
            ("1 I", "1+"),
            ("1 2 I 3 I", "1+ 2+ 3+"),
            // A batch, or a text of several statements, is one transaction.
            ("1 2 ! I", "1- 2-"),
            ("1 COMMIT 2 ! I", "1+ 2-"),
            ("BEGIN T 1 T 2 T", ""),
            ("BEGIN T 1 T 2 T COMMIT I", "1+ 2+"),
            ("BEGIN T 1 T ROLLBACK I", "1-"),
            ("BEGIN 1 COMMIT I", "1+"),
            ("BEGIN T 1 T ! E ROLLBACK I", "1-"),
            ("BEGIN T 1 T COMMIT T 2 T ROLLBACK I", "1+ 2-"),
            ("BEGIN T 1 T ROLLBACK T 2 T COMMIT I", "1- 2+"),
            ("BEGIN T 1 T PREPARE_TRANSACTION I", "1?"),
            // COMMIT of a transaction that failed.
            ("BEGIN T 1 T ! E ROLLBACK I 2 I", "1- 2+"),
            // The end of the session is the end of what is open, unless something is under way.
            ("BEGIN T 1 T #", "1-"),
            ("BEGIN T 1 T ?", "1?"),
        ] {
            assert_eq!(play(script), told, "{script}");
        }
    }

    #[test]
    fn what_may_have_committed_in_between_leaves_it_open_where_a_later_command_fails() {
        for tag in ["CALL", "VACUUM", "CREATE_INDEX", "DO"] {
            assert_eq!(play(&format!("1 {tag} ! I")), "1?", "{tag}");
            assert_eq!(play(&format!("1 {tag} I")), "1+", "{tag}");
        }
        assert_eq!(play("1 SELECT_5 SET ! I"), "1-");
    }

    #[test]
    fn savepoints_undo_what_is_surely_behind_them_and_leave_open_what_may_be() {
        for (script, told) in [
            ("BEGIN T 1 T SAVEPOINT T 2 T ROLLBACK T 3 T COMMIT I", "2- 1+ 3+"),
            ("BEGIN T 1 T SAVEPOINT T 2 T RELEASE T 3 T COMMIT I", "1+ 2+ 3+"),
            ("BEGIN T SAVEPOINT T 1 T ! E ROLLBACK T 2 T COMMIT I", "1- 2+"),
            ("BEGIN T 1 T SAVEPOINT T 2 T RELEASE T ROLLBACK I", "1- 2-"),
            ("BEGIN T 1 T SAVEPOINT T 2 T ROLLBACK I", "1- 2-"),
            // Of two, which is meant nobody tells.
            ("BEGIN T 1 T SAVEPOINT T 2 T SAVEPOINT T 3 T ROLLBACK T 4 T COMMIT I", "2? 3- 1+ 4+"),
            ("BEGIN T SAVEPOINT T SAVEPOINT T 1 T ROLLBACK T 2 T ROLLBACK T 3 T COMMIT I", "1- 2- 3+"),
            ("BEGIN T SAVEPOINT T 1 T SAVEPOINT T 2 T RELEASE T 3 T ROLLBACK T COMMIT I", "1- 2- 3-"),
            (
                "BEGIN T SAVEPOINT T SAVEPOINT T 1 T ROLLBACK T RELEASE T 2 T ROLLBACK T 3 T COMMIT I",
                "1- 2- 3+",
            ),
            // Nor where more completed before ReadyForQuery.
            ("BEGIN T 1 T SAVEPOINT T ROLLBACK 2 T COMMIT I", "1? 2+"),
            ("BEGIN T 1 T SAVEPOINT T 2 ROLLBACK T COMMIT I", "1? 2?"),
            ("BEGIN T 1 T SAVEPOINT T ROLLBACK ! E ROLLBACK I", "1?"),
            // The next transaction begins anew.
            ("BEGIN T SAVEPOINT T 1 T COMMIT I BEGIN T 2 T ROLLBACK I", "1+ 2-"),
        ] {
            assert_eq!(play(script), told, "{script}");
        }
    }

    #[test]
    fn rollback_and_chain_is_not_taken_for_rollback_to() {
        let script = "BEGIN T 1 T SAVEPOINT T 2 T ROLLBACK T 3 T COMMIT I";
        for (text, whole, chains) in [
            (&b"ROLLBACK AND CHAIN"[..], true, true),
            (b" /* x */ rollback and Chain", true, true),
            (b"abort and chain", true, true),
            (b"ROLLBACK TO a", true, false),
            (b"rollback", false, true),
            (b"SELECT 'chain'", true, false),
        ] {
            let mut transaction = Transaction::default();
            transaction.read(text, whole);
            let told = if chains { "1? 2? 3+" } else { "2- 1+ 3+" };
            assert_eq!(play_from(&mut transaction, script), told, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_waits_is_bounded_and_what_was_pushed_out_stays_open() {
        let writes = |from: u64, to: u64| (from..to).map(|n| format!("{n} T ")).collect::<String>();
        let most = WAITING_MAX as u64;
        let told = play(&format!("BEGIN T {} COMMIT I", writes(0, most + 2)));
        assert!(told.starts_with("0? 1? 2+ 3+") && told.ends_with(&format!("{}+", most + 1)), "{told}");
        // A savepoint keeps its place among those that are left.
        let script =
            format!("BEGIN T {} SAVEPOINT T {} ROLLBACK T COMMIT I", writes(0, most), writes(most, most + 3));
        let told = play(&script);
        assert!(told.starts_with(&format!("0? 1? 2? {most}-")) && told.contains(" 3+"), "{told}");
        let many = "SAVEPOINT T ".repeat(SAVEPOINTS_MAX + 1);
        assert_eq!(play(&format!("BEGIN T {many} 1 T ROLLBACK T 2 T COMMIT I")), "1? 2+");
    }
}
