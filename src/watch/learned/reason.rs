//! Reasons: of what kind they are, how much each says, and its words.

use std::sync::Arc;

use super::meter::{Amount, SPAN, percent};
use super::normal::amount;

/// What kind of reason it is: of each, the strongest counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    Volume,
    Enumeration,
    Novelty,
    Injection,
    Together,
    Listed,
}

pub(super) const FAMILIES: usize = 6;

impl Family {
    pub const ALL: [Family; FAMILIES] = [
        Family::Volume,
        Family::Enumeration,
        Family::Novelty,
        Family::Injection,
        Family::Together,
        Family::Listed,
    ];

    /// Does it say by itself what it is, whatever else was told?
    pub(super) fn speaks(self) -> bool {
        match self {
            Family::Injection | Family::Listed => true,
            Family::Volume | Family::Enumeration | Family::Novelty | Family::Together => false,
        }
    }

    /// Are both about how much it is, or the same?
    pub(super) fn are_alike(one: usize, other: usize) -> bool {
        let amounts = [Family::Volume as usize, Family::Enumeration as usize, Family::Together as usize];
        one == other || (amounts.contains(&one) && amounts.contains(&other))
    }
}

/// One reason, with what it compares.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) score: f64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// So many of these in this span, beside what is normal.
    Amount { amount: Amount, span: usize, sum: u64, center: f32, scale: f32, own: u32, of_group: bool },
    /// In words that are ready.
    Words(Arc<str>),
}

impl Reason {
    pub(super) fn words(&self) -> String {
        match &self.what {
            What::Words(words) => words.to_string(),
            What::Amount { amount: which, span, sum, center, scale, own, of_group } => {
                let span = SPAN.get(*span).map_or("", |span| span.words);
                let (usual, rarely) = (amount(*center), amount(center + 3.0 * scale));
                let what = which.words();
                let is_share = which.part().is_some();
                let shown = |number: u64| {
                    if is_share { format!("{} %", percent(number)) } else { number.to_string() }
                };
                let (sum, usual, rarely) = (shown(*sum), shown(usual), shown(rarely));
                if *of_group {
                    format!(
                        "{sum} {what} in {span} by this user and its peers together, normal {usual}, rarely above {rarely}"
                    )
                } else {
                    let whose = match own {
                        0 => "its peers' normal".to_owned(),
                        1..16 => format!("{own} of its own samples and its peers'"),
                        _ => format!("{own} of its own samples"),
                    };
                    format!("{sum} {what} in {span}, normal {usual}, rarely above {rarely} ({whose})")
                }
            }
        }
    }
}

pub(super) fn keep(
    best: &mut [Option<Reason>; FAMILIES],
    family: Family,
    score: f64,
    what: impl FnOnce() -> What,
) {
    let Some(place) = best.get_mut(family as usize) else { return };
    if score > 0.3 && place.as_ref().is_none_or(|held| held.score < score) {
        *place = Some(Reason { score, what: what() });
    }
}
