//! What is held against a user for a time, beside the alert: the user is locked out, or may not touch what is
//! classified, or only with a purpose, or slowly.

/// One way of it. They hold side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restraint {
    /// All sessions of the user end, and none begins.
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

/// What holds for one user's sessions at one moment.
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
