//! Whom something is counted for, or held against.

use std::sync::Arc;

use crate::audit::Who;

/// Somebody for whom a login user asks.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EndUser {
    pub name: Arc<str>,
    /// By a token. A name that is stated alone is somebody else: whoever may state names must not have a
    /// proven one locked out.
    pub proven: bool,
}

impl EndUser {
    /// Where nobody is named that is a somebody, too: the one without a name.
    #[must_use]
    pub fn of(who: &Who) -> EndUser {
        let name = who.end_user.clone().unwrap_or_else(|| Arc::from(""));
        EndUser { name, proven: is_proven(who) }
    }

    /// Is it this one for whom it is asked?
    #[must_use]
    pub fn is(&self, who: &Who) -> bool {
        self.proven == is_proven(who) && *self.name == *who.end_user.as_deref().unwrap_or_default()
    }
}

fn is_proven(who: &Who) -> bool {
    who.end_user.is_some() && who.end_user_auth == "token"
}

/// Of whom something is counted, and against whom something is held.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum By {
    /// The login user, whoever it asks for.
    #[default]
    User,
    /// Each of those for whom a login user asks.
    EndUser,
}

impl By {
    #[must_use]
    pub fn whom(self, who: &Who) -> Whom {
        match self {
            By::User => Whom::user(&who.user),
            By::EndUser => Whom::end_user(who),
        }
    }
}

/// A login user, or one of those for whom it asks.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Whom {
    pub user: Arc<str>,
    /// None: the login user, whoever it asks for.
    pub end_user: Option<EndUser>,
}

impl Whom {
    /// The login user.
    #[must_use]
    pub fn user(user: &Arc<str>) -> Whom {
        Whom { user: user.clone(), end_user: None }
    }

    /// The one for whom it is asked now.
    #[must_use]
    pub fn end_user(who: &Who) -> Whom {
        Whom { user: who.user.clone(), end_user: Some(EndUser::of(who)) }
    }

    /// Is it this one who asks?
    #[must_use]
    pub fn is(&self, who: &Who) -> bool {
        self.user == who.user && self.end_user.as_ref().is_none_or(|end_user| end_user.is(who))
    }
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.end_user {
            None => f.write_str(&self.user),
            Some(end_user) => {
                let how = if end_user.proven { "proven" } else { "stated" };
                write!(f, "{} for {} ({how})", self.user, end_user.name)
            }
        }
    }
}
