//! `[[watch.limit]]`: how many classified cells, rows that hold any, or data subjects a user may be shown in a
//! window.

use std::sync::Arc;

use super::restraint::Restraint;
use super::share::MET_MAX;
use super::whom::By;
use crate::audit::Attribution;

/// What happens to what would go over a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitAction {
    /// It is shown, and an alert is raised once per window.
    Alert,
    /// It is not shown; the session ends (`SG007`).
    Cut,
    /// It is shown, and with the alert something is held against the user for so long. With
    /// [`Restraint::Lock`] it is not shown.
    Restrain { restraint: Restraint, ms: u64 },
}

impl LimitAction {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LimitAction::Alert => "alert",
            LimitAction::Cut => "cut",
            LimitAction::Restrain { restraint, .. } => restraint.name(),
        }
    }

    /// Is what would go beyond not shown?
    #[must_use]
    pub const fn cuts(self) -> bool {
        match self {
            LimitAction::Alert => false,
            LimitAction::Cut => true,
            LimitAction::Restrain { restraint, .. } => matches!(restraint, Restraint::Lock),
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Classified values.
    Cells,
    /// Rows that hold any.
    Rows,
    /// Those whose data it is. One that is not known is somebody else each time.
    Subjects,
}

/// What is about to be shown.
#[derive(Clone, Copy, Default, Debug)]
pub struct Shown<'a> {
    pub cells: u64,
    pub rows: u64,
    /// By the first bits of their names.
    pub subjects: &'a [u64],
    /// Rows of which it is not known whose they are.
    pub unknown: u64,
}

/// One `[[watch.limit]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Login users it holds for. None: every user, each by itself.
    pub users: Option<Arc<[String]>>,
    /// Is it of each login user, or of each of those for whom one asks?
    pub by: By,
    pub measure: Measure,
    /// Of these, at most [`Limit::CELLS_MAX`] or [`Limit::SUBJECTS_MAX`].
    pub most: u64,
    /// From [`Limit::WINDOW_MS_MIN`] to [`Limit::WINDOW_MS_MAX`].
    pub window_ms: u64,
    pub action: LimitAction,
    /// Which values count: those that a statement's text names, or those that may have been met.
    pub attribution: Attribution,
}

impl Limit {
    /// Counts are kept in 32 bits; the rest is room to be over.
    pub const CELLS_MAX: u64 = 1_000_000_000;
    /// Subjects are counted exactly, and each takes its place.
    pub const SUBJECTS_MAX: u64 = 2_000;
    pub const WINDOW_MS_MIN: u64 = 1_000;
    pub const WINDOW_MS_MAX: u64 = 86_400_000;

    pub(super) fn holds_for(&self, user: &str) -> bool {
        self.users.as_ref().is_none_or(|users| users.iter().any(|name| name == user))
    }

    /// The rule's name in alerts and records.
    pub(super) fn rule(&self) -> Arc<str> {
        let seconds = self.window_ms.div_ceil(1_000);
        let what = match (self.measure, self.attribution) {
            (Measure::Cells, Attribution::Known) => "cells",
            (Measure::Cells, Attribution::Possible) => "possible cells",
            (Measure::Rows, _) => "rows",
            (Measure::Subjects, _) => "subjects",
        };
        let by = match self.by {
            By::User => "",
            By::EndUser => " of one end user",
        };
        Arc::from(format!("watch.limit: {} {what} in {seconds} s{by}", self.most))
    }
}

/// What is said about cells that are about to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    Go,
    /// Show them, and raise an alert that names this rule.
    Alert(Broken),
    /// Show none of them, and end the session; the rule that was broken.
    Cut(Broken),
}

/// A limit that was reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Its name in alerts and records.
    pub rule: Arc<str>,
    pub action: LimitAction,
    /// Against whom it acts.
    pub by: By,
}

/// What other proxies have counted in one window.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Heard {
    pub span: u64,
    /// But for the data subjects that are known.
    pub count: u64,
    /// Their marks in order: of all proxies together, each once, at most [`MET_MAX`].
    pub met: Arc<[u64]>,
}

impl Heard {
    /// Takes what one more of them has counted: so many, among them those of these marks. Whoever finds no place
    /// is somebody else.
    pub fn hear(&mut self, count: u64, marks: impl Iterator<Item = u64>) {
        let mut met = self.met.to_vec();
        met.extend(marks);
        let known = met.len() - self.met.len();
        met.sort_unstable();
        met.dedup();
        let beyond = met.len().saturating_sub(MET_MAX);
        met.truncate(MET_MAX);
        self.met = met.into();
        let of = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.count = self.count.saturating_add(count.saturating_sub(of(known))).saturating_add(of(beyond));
    }
}
