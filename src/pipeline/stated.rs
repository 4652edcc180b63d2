//! Who asks and what for, as the application has stated it, followed as the server keeps a setting: what is
//! SET holds when its transaction does, what is SET LOCAL until that ends, and ROLLBACK TO takes back what came
//! behind its savepoint.
//!
//! It rests on the answers of the server. What is sent before they have come is taken to hold, in order. Where
//! nobody can say what holds, nothing is stated.

use std::collections::VecDeque;
use std::sync::Arc;

use super::session::Session;
use crate::audit::Who;
use crate::statement::{Boundary, Said, Stated as What, StatementFacts, States};

/// Savepoints that are followed, and statements without an answer.
const SAVEPOINTS_MAX: usize = 64;
const SENT_MAX: usize = 256;

#[derive(Clone, Default, PartialEq, Eq)]
struct Values {
    user: Option<Arc<str>>,
    purpose: Option<Arc<str>>,
    /// Whom a token has proven, and until when.
    proven: Option<(Arc<str>, u64)>,
}

impl Values {
    fn set(&mut self, what: What, value: Option<Arc<str>>) {
        let place = match what {
            What::User => &mut self.user,
            What::Purpose => &mut self.purpose,
        };
        // A setting that is taken back is an empty one.
        *place = value.filter(|value| !value.is_empty());
    }

    /// For whom is asked, and how that is known.
    fn end_user(&self, now_s: u64) -> (Option<Arc<str>>, &'static str) {
        match &self.proven {
            Some((name, expires_s)) if now_s < *expires_s => (Some(name.clone()), "token"),
            Some(_) | None => (self.user.clone(), "stated"),
        }
    }

    fn get(&self, what: What) -> Option<Arc<str>> {
        match what {
            What::User => self.user.clone(),
            What::Purpose => self.purpose.clone(),
        }
    }
}

/// What holds now, and what will once the transaction is committed.
#[derive(Clone, Default, PartialEq, Eq)]
struct Held {
    now: Values,
    after: Values,
}

struct Savepoint {
    /// None: nobody has read it.
    name: Option<Arc<str>>,
    held: Held,
}

/// See the module's text. Of one session.
#[derive(Default)]
pub(super) struct Stated {
    /// At the start of the session.
    initial: Values,
    /// What holds again if the transaction is undone.
    base: Values,
    held: Held,
    savepoints: Vec<Savepoint>,
    /// There were more than are followed.
    lost: bool,
    /// Since the last ReadyForQuery: something failed, and a ROLLBACK completed that nobody has read.
    failed: bool,
    rolled: bool,
    /// What was sent and has no answer.
    sent: VecDeque<States>,
}

impl Stated {
    /// Of a session that starts with these.
    pub(super) fn new(user: Option<&Arc<str>>, purpose: Option<&Arc<str>>) -> Stated {
        let mut initial = Values::default();
        initial.set(What::User, user.cloned());
        initial.set(What::Purpose, purpose.cloned());
        let held = Held { now: initial.clone(), after: initial.clone() };
        Stated { base: initial.clone(), initial, held, ..Stated::default() }
    }

    /// Is there anything that could be taken back?
    pub(super) fn is_stated(&self) -> bool {
        let nothing = Values::default();
        [&self.initial, &self.base, &self.held.now, &self.held.after].iter().any(|values| **values != nothing)
            || !self.sent.is_empty()
    }

    /// A statement that does this goes to the server.
    pub(super) fn send<'a>(&mut self, states: impl Iterator<Item = &'a States>) {
        for state in states {
            if self.sent.len() < SENT_MAX {
                self.sent.push_back(state.clone());
            }
        }
    }

    /// What will hold once the server has done what was sent, and these statements behind it.
    fn expected(&self, before: &[StatementFacts]) -> Values {
        let mut held = self.held.clone();
        self.sent.iter().for_each(|state| apply(&mut held, &self.initial, state));
        let mut any = false;
        for facts in before {
            let ends = !matches!(facts.boundary, None | Some(Boundary::Savepoint(_) | Boundary::Release(_)));
            if any && ends {
                // It may take back what the same text has stated.
                held = Held::default();
            }
            any |= !facts.effect.states.is_empty();
            facts.effect.states.iter().for_each(|state| apply(&mut held, &self.initial, state));
        }
        held.now
    }

    /// CommandComplete. `facts`: of its statement, where it was read.
    pub(super) fn complete(&mut self, facts: Option<&StatementFacts>, tag: &[u8]) {
        if self.rolled {
            // Which it was nobody tells any more.
            self.doubt();
        }
        let boundary = facts.and_then(|facts| facts.boundary.as_ref());
        for state in facts.iter().flat_map(|facts| &facts.effect.states) {
            self.sent.pop_front();
            apply(&mut self.held, &self.initial, state);
        }
        match (tag, boundary) {
            (b"COMMIT" | b"PREPARE TRANSACTION", _) => self.commit(),
            (b"ROLLBACK", Some(Boundary::RollbackTo(name))) => self.roll_back_to(name),
            (b"ROLLBACK", Some(Boundary::End | Boundary::Undone)) => self.undo(),
            (b"ROLLBACK", _) if self.savepoints.is_empty() && !self.lost => self.undo(),
            (b"ROLLBACK", _) => self.rolled = true,
            (b"SAVEPOINT", Some(Boundary::Savepoint(name))) => self.save(Some(name.clone())),
            (b"SAVEPOINT", _) => self.save(None),
            (b"RELEASE", Some(Boundary::Release(name))) => {
                let own = |savepoint: &Savepoint| savepoint.name.as_ref() == Some(name);
                if let Some(at) = self.savepoints.iter().rposition(own) {
                    self.savepoints.truncate(at);
                }
            }
            _ => {}
        }
    }

    /// ErrorResponse.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        self.sent.clear();
    }

    /// ReadyForQuery. `is_last`: nothing more is owed.
    pub(super) fn ready(&mut self, status: u8, is_last: bool) {
        match (status == b'I', self.rolled || self.failed) {
            (true, true) => self.undo(),
            (true, false) => self.commit(),
            (false, _) if self.rolled => self.doubt(),
            (false, _) => {}
        }
        (self.failed, self.rolled) = (false, false);
        if is_last {
            self.sent.clear();
        }
    }

    fn save(&mut self, name: Option<Arc<str>>) {
        if self.savepoints.len() < SAVEPOINTS_MAX {
            self.savepoints.push(Savepoint { name, held: self.held.clone() });
        } else {
            self.lost = true;
        }
    }

    /// To the newest of this name, or to one that nobody has read; where these differ nobody can say.
    fn roll_back_to(&mut self, name: &Arc<str>) {
        let own = |savepoint: &Savepoint| savepoint.name.as_ref() == Some(name);
        let at = self.savepoints.iter().rposition(own);
        let unread = self.savepoints.iter().skip(at.map_or(0, |at| at + 1)).filter(|one| one.name.is_none());
        let mut all = at.and_then(|at| self.savepoints.get(at)).into_iter().chain(unread);
        let first = all.next().map(|savepoint| savepoint.held.clone());
        let same = all.all(|savepoint| Some(&savepoint.held) == first.as_ref());
        match first.filter(|_| same && !self.lost) {
            Some(held) => self.held = held,
            None => return self.doubt(),
        }
        if let Some(at) = at {
            self.savepoints.truncate(at + 1);
        }
    }

    fn commit(&mut self) {
        self.base = self.held.after.clone();
        self.undo();
    }

    fn undo(&mut self) {
        self.held = Held { now: self.base.clone(), after: self.base.clone() };
        self.savepoints.clear();
        (self.lost, self.rolled) = (false, false);
    }

    fn doubt(&mut self) {
        self.held = Held::default();
        self.rolled = false;
    }
}

fn apply(held: &mut Held, initial: &Values, state: &States) {
    match state {
        States::Set { what, value, local } => {
            held.now.set(*what, Some(value.clone()));
            if !local {
                held.after.set(*what, Some(value.clone()));
            }
        }
        States::Reset { what, local } => {
            held.now.set(*what, initial.get(*what));
            if !local {
                held.after.set(*what, initial.get(*what));
            }
        }
        States::Proven { name, expires_s, local } => {
            held.now.proven = Some((name.clone(), *expires_s));
            if !local {
                held.after.proven.clone_from(&held.now.proven);
            }
        }
        // One that nobody has proven proves nobody.
        States::NoToken { local } | States::Token { local, .. } => {
            held.now.proven = None;
            if !local {
                held.after.proven = None;
            }
        }
        States::ResetAll => *held = Held { now: initial.clone(), after: initial.clone() },
        States::Doubt => *held = Held::default(),
    }
}

/// May a text take back what was stated, beside what ends a transaction?
pub(super) fn may_take_back(text: &[u8]) -> bool {
    [&b"rollback"[..], b"savepoint", b"release", b"reset", b"discard"]
        .iter()
        .any(|word| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

impl Session {
    /// Who asks for what is sent now. `said`: what its text says of itself; `before`: statements of the text that
    /// run before it.
    pub(super) fn who_asks(&self, said: Option<&Said>, before: &[StatementFacts]) -> Arc<Who> {
        let own = &self.who;
        let mut values = self.stated.expected(before);
        if let Some(said) = said {
            for (what, value) in [(What::User, &said.user), (What::Purpose, &said.purpose)] {
                if value.is_some() {
                    values.set(what, value.clone());
                }
            }
        }
        let (end_user, end_user_auth) = values.end_user(self.now_s);
        if (&own.end_user, own.end_user_auth, &own.purpose) == (&end_user, end_user_auth, &values.purpose) {
            return Arc::clone(own);
        }
        Arc::new(Who { end_user, end_user_auth, purpose: values.purpose, ..Who::clone(own) })
    }

    /// What holds may have changed.
    pub(super) fn renew_who(&mut self) {
        let now = &self.stated.held.now;
        let (end_user, end_user_auth) = now.end_user(self.now_s);
        let own = &self.who;
        if (&own.end_user, own.end_user_auth, &own.purpose) != (&end_user, end_user_auth, &now.purpose) {
            let purpose = now.purpose.clone();
            self.who = Arc::new(Who { end_user, end_user_auth, purpose, ..Who::clone(own) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays statements and what the server makes of them: `u=x` is SET, `l=x` SET LOCAL, `u` RESET, `*` RESET
    /// ALL, `?` what nobody can say; a word is a tag, `s:a`, `r:a` and `t:a` are SAVEPOINT, RELEASE and
    /// ROLLBACK TO that were read, `end` a ROLLBACK that was; `!` an error; `I`, `T` and `E` ReadyForQuery. What
    /// holds at the end.
    fn play(script: &str) -> String {
        let mut stated = Stated::new(Some(&"pool".into()), None);
        for word in script.split_whitespace() {
            let set = |value: &str, local| States::Set { what: What::User, value: value.into(), local };
            let state = match word {
                "I" | "T" | "E" => {
                    stated.ready(word.as_bytes()[0], true);
                    continue;
                }
                "!" => {
                    stated.fail();
                    continue;
                }
                "u" => States::Reset { what: What::User, local: false },
                "*" => States::ResetAll,
                "?" => States::Doubt,
                _ => match word.split_once('=') {
                    Some(("u", value)) => set(value, false),
                    Some((_, value)) => set(value, true),
                    None => {
                        let (tag, boundary) = match word.split_once(':') {
                            Some(("s", name)) => ("SAVEPOINT", Some(Boundary::Savepoint(name.into()))),
                            Some(("r", name)) => ("RELEASE", Some(Boundary::Release(name.into()))),
                            Some((_, name)) => ("ROLLBACK", Some(Boundary::RollbackTo(name.into()))),
                            None if word == "end" => ("ROLLBACK", Some(Boundary::End)),
                            None => (word, None),
                        };
                        let facts = StatementFacts { boundary, ..StatementFacts::default() };
                        let facts = facts.boundary.is_some().then_some(&facts);
                        stated.complete(facts, tag.as_bytes());
                        continue;
                    }
                },
            };
            stated.send(std::iter::once(&state));
            let mut facts = StatementFacts::default();
            facts.effect.states.push(state);
            assert!(!stated.sent.is_empty());
            stated.complete(Some(&facts), b"SET");
        }
        stated.held.now.user.as_deref().unwrap_or("-").to_owned()
    }

    #[test]
    fn what_is_stated_holds_as_long_as_the_setting_does() {
        for (script, told) in [
            ("I", "pool"),
            ("u=a I", "a"),
            ("u=a I u I", "pool"),
            ("u=a I u= I", "-"),
            ("u=a I * I", "pool"),
            ("u=a I ? I", "-"),
            // Outside of a transaction LOCAL ends at once.
            ("l=a I", "pool"),
            ("BEGIN T l=a T", "a"),
            ("BEGIN T l=a T COMMIT I", "pool"),
            ("BEGIN T u=a T COMMIT I", "a"),
            ("BEGIN T u=a T ROLLBACK I", "pool"),
            ("BEGIN T u=a T end I", "pool"),
            ("u=a I BEGIN T u=b T ! E ROLLBACK I", "a"),
            ("u=a I BEGIN T u=b T l=c T", "c"),
            ("u=a I BEGIN T u=b T l=c T COMMIT I", "b"),
            ("BEGIN T l=c T u=b T", "b"),
            // A text of several statements is one transaction.
            ("u=a ! I", "pool"),
            ("u=a I u=b ! I", "a"),
            ("BEGIN u=a COMMIT ! I", "a"),
            ("BEGIN u=a COMMIT u=b ! I", "a"),
            // COMMIT AND CHAIN, ROLLBACK AND CHAIN.
            ("BEGIN T u=a T COMMIT T u=b T end T", "a"),
            ("BEGIN T u=a T PREPARE_TRANSACTION I", "a"),
        ] {
            assert_eq!(play(script), told, "{script}");
        }
    }

    #[test]
    fn savepoints_take_back_what_came_behind_them_and_nothing_is_guessed() {
        for (script, told) in [
            ("BEGIN T u=a T s:x T u=b T t:x T", "a"),
            ("BEGIN T u=a T s:x T u=b T t:x T COMMIT I", "a"),
            ("BEGIN T s:x T u=a T s:y T u=b T t:x T", "pool"),
            ("BEGIN T s:x T u=a T s:x T u=b T t:x T t:x T", "a"),
            ("BEGIN T s:x T u=a T s:x T u=b T r:x T t:x T", "pool"),
            ("BEGIN T u=a T s:x T l=b T r:x T", "b"),
            ("BEGIN T u=a T s:x T u=b T ! E t:x T", "a"),
            // Of one that nobody has read: all of them were made before anything was stated.
            ("BEGIN T SAVEPOINT T SAVEPOINT T u=a T t:x T", "pool"),
            ("BEGIN T SAVEPOINT T u=a T s:x T u=b T t:x T", "a"),
            ("BEGIN T s:x T u=a T SAVEPOINT T u=b T t:x T", "-"),
            ("BEGIN T SAVEPOINT T u=a T ROLLBACK T", "-"),
            ("BEGIN T SAVEPOINT T u=a T ROLLBACK I", "pool"),
            ("BEGIN T SAVEPOINT T u=a ROLLBACK SELECT T", "-"),
            ("BEGIN T SAVEPOINT T u=a T ROLLBACK T COMMIT I u=b I", "b"),
        ] {
            assert_eq!(play(script), told, "{script}");
        }
        let many = "SAVEPOINT T ".repeat(SAVEPOINTS_MAX + 1);
        assert_eq!(play(&format!("BEGIN T s:x T u=a T {many} t:x T")), "-");
    }

    #[test]
    fn what_was_sent_is_expected_and_what_failed_is_not() {
        let mut stated = Stated::new(None, None);
        let set = |value: &str| States::Set { what: What::User, value: value.into(), local: false };
        stated.send([set("a"), set("b")].iter());
        assert_eq!(stated.expected(&[]).user.as_deref(), Some("b"));
        assert_eq!(stated.held.now.user, None);
        stated.fail();
        stated.ready(b'I', true);
        assert_eq!(stated.expected(&[]).user, None);
        assert!(!stated.is_stated());
        (0..2 * SENT_MAX).for_each(|_| stated.send(std::iter::once(&set("c"))));
        assert_eq!(stated.sent.len(), SENT_MAX);
    }

    #[test]
    fn words_that_take_back_are_found() {
        for text in ["ROLLBACK TO a", "savepoint x", "Release x", "reset all", "DISCARD ALL"] {
            assert!(may_take_back(text.as_bytes()), "{text}");
        }
        assert!(!may_take_back(b"SELECT email FROM customers"));
    }
}
