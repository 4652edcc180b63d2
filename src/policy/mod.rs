//! The only place that says yes: (who, what, where) to a [`Permit`] or a [`Refusal`].

mod links;
mod reasons;
mod refusal;

pub use links::Surroundings;
pub use reasons::REASONS;
pub use refusal::Refusal;

use crate::login::Principal;
use crate::statement::{TextFacts, Unproven};

/// Leave to send one text upstream. Made by this module alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    rule: &'static str,
}

impl Permit {
    /// The rule that said yes, as it stands in the record.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// Decides on a text that was analysed. Without grants every user who can log in may do
/// what can be proven handled.
///
/// # Errors
/// The refusal that the client is told.
pub fn judge(
    _principal: &Principal,
    facts: Result<&TextFacts, &Unproven>,
    surroundings: &Surroundings,
) -> Result<Permit, Refusal> {
    match facts {
        Ok(facts) => {
            let mut links = facts.statements.iter().flat_map(|statement| &statement.effect.links);
            links.try_for_each(|host| surroundings.judge_link(host))?;
            Ok(Permit { rule: "every-user" })
        }
        Err(unproven) => Err(Refusal::unproven(unproven)),
    }
}

/// Leave for what the prefilter found to touch nothing classified; the check of
/// RowDescription on the way back stays on.
#[must_use]
pub fn untouched(_principal: &Principal) -> Permit {
    Permit { rule: "untouched" }
}

/// Leave for a walsender's stream: where its peer is was judged by residency, and is again.
#[must_use]
pub fn replication(_principal: &Principal) -> Permit {
    Permit { rule: "replication" }
}
