//! What is held against a user for a time, beside the alert: the user is locked out, or may not touch what is
//! classified, or only with a purpose, or slowly.

use std::sync::Arc;

use super::share::LockId;
use super::whom::Whom;
use crate::audit::Who;

/// One way of it. They hold side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restraint {
    /// All sessions of the user end, and none begins. Of an end user: as [`Restraint::Refuse`].
    Lock,
    /// What touches classified fields is refused, and everything else goes on.
    Refuse,
    /// The same, until the session states what it is for.
    Purpose,
    /// Each access to classified fields waits so long before anything of it is shown or written.
    Throttle { delay_ms: u64 },
}

impl Restraint {
    /// In the words of configurations, records and alerts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Restraint::Lock => "lock",
            Restraint::Refuse => "refuse",
            Restraint::Purpose => "purpose",
            Restraint::Throttle { .. } => "throttle",
        }
    }

    /// Is it the same, whatever its measure?
    #[must_use]
    pub fn is_like(self, other: Restraint) -> bool {
        self.name() == other.name()
    }
}

/// Something that is held against somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restrained {
    pub whom: Whom,
    pub restraint: Restraint,
    /// Milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// The incident for which, or the limit.
    pub incident: Arc<str>,
    /// Of another proxy. None: it began here.
    pub lock: Option<LockId>,
}

impl Restrained {
    /// Does one take the place of the other?
    #[must_use]
    pub fn is_like(&self, other: &Restrained) -> bool {
        let proxy = |one: &Restrained| one.lock.map(|lock| lock.sender);
        self.restraint.is_like(other.restraint) && self.whom == other.whom && proxy(self) == proxy(other)
    }

    /// Does it keep its user out?
    #[must_use]
    pub fn locks_out(&self) -> bool {
        self.restraint == Restraint::Lock && self.whom.end_user.is_none()
    }
}

/// What holds for whoever asks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Terms {
    /// Nothing that touches classified fields.
    pub refuse: bool,
    /// Nothing of that without a purpose.
    pub purpose: bool,
    /// How long an access waits.
    pub delay_ms: u64,
}

impl Terms {
    /// What of all this holds for whoever asks.
    #[must_use]
    pub fn of(held: &[Restrained], who: &Who, now_ms: u64) -> Terms {
        let held = held.iter().filter(|one| one.until_ms > now_ms && one.whom.is(who));
        held.fold(Terms::default(), |terms, one| terms.with(one.restraint))
    }

    /// With this one, too.
    #[must_use]
    pub fn with(self, restraint: Restraint) -> Terms {
        match restraint {
            // Who is locked out has no sessions.
            Restraint::Lock | Restraint::Refuse => Terms { refuse: true, ..self },
            Restraint::Purpose => Terms { purpose: true, ..self },
            Restraint::Throttle { delay_ms } => Terms { delay_ms: self.delay_ms.max(delay_ms), ..self },
        }
    }

    /// Nothing is held against anybody.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Terms::default()
    }
}
