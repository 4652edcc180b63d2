//! What a policy says of databases by their names. A name is all that it knows of one: the same
//! tables under another name are none of its business, unless it says the same of that name.

use super::pattern::PolicyField;

/// The entries of a policy that apply to one database alone.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Bound {
    entries: Vec<PolicyField>,
}

impl Bound {
    #[must_use]
    pub fn of(policy: &[PolicyField]) -> Bound {
        let named = policy.iter().filter(|entry| entry.field.database.is_some());
        Bound { entries: named.cloned().collect() }
    }

    /// Does no entry rest on the name of a database?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Does any entry rest on this name?
    #[must_use]
    pub fn speaks_of(&self, database: &str) -> bool {
        self.of_database(database).next().is_some()
    }

    /// Would tables of `from` that are called `to` be out of what the policy says of them?
    #[must_use]
    pub fn loses(&self, from: &str, to: &str) -> bool {
        self.of_database(from).any(|entry| !self.of_database(to).any(|other| says_the_same(entry, other)))
    }

    fn of_database<'a>(&'a self, database: &'a str) -> impl Iterator<Item = &'a PolicyField> {
        self.entries.iter().filter(move |entry| entry.field.database.as_deref() == Some(database))
    }
}

fn says_the_same(one: &PolicyField, other: &PolicyField) -> bool {
    let mut other = other.clone();
    other.field.database.clone_from(&one.field.database);
    other.field.id = one.field.id;
    *one == other
}

#[cfg(test)]
mod tests {
    use super::super::field::{Field, FieldId, FieldState, QualifiedName};
    use super::super::logical::Logical;
    use super::*;

    fn entry(id: u16, database: Option<&str>, column: &str) -> PolicyField {
        let table = QualifiedName { schema: "public".into(), name: "customers".into() };
        let field = Field {
            id: FieldId(id),
            database: database.map(Into::into),
            table,
            column: column.into(),
            class: "contact".into(),
            logical: Logical::TEXT,
            own: None,
            domain: None,
            state: FieldState::Sealed,
            guard: None,
            subject: None,
        };
        PolicyField { schemas: None, field }
    }

    #[test]
    fn a_name_keeps_what_the_policy_says_of_it_too() {
        let bound = Bound::of(&[
            entry(0, Some("shop"), "email"),
            entry(1, Some("shop"), "note"),
            entry(2, None, "nick"),
            entry(3, Some("branch"), "email"),
            entry(4, Some("branch"), "note"),
            entry(5, Some("partly"), "note"),
        ]);
        for (from, to, loses) in [
            ("shop", "shop2", true),
            ("shop", "branch", false),
            ("branch", "shop", false),
            ("shop", "partly", true),
            ("partly", "shop", false),
            ("other", "shop", false),
            ("other", "another", false),
        ] {
            assert_eq!(bound.loses(from, to), loses, "{from} to {to}");
        }
        assert!(bound.speaks_of("shop") && !bound.speaks_of("other") && !bound.is_empty());
        assert!(Bound::of(&[entry(0, None, "nick")]).is_empty());
    }
}
