//! Schemas by pattern: one policy entry for the table of a name in many schemas, as they
//! stand where every tenant has a schema of its own.

use std::fmt;
use std::sync::Arc;

use super::field::Field;

/// A schema's name in which `*` stands for any run of characters, the empty one included.
/// Schemas of the server itself never match: those that begin with `pg_`, temporary ones
/// among them, and `information_schema`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SchemaPattern {
    /// What stands before the first `*`, between two and behind the last; at least two, of
    /// which only the first and the last may be empty.
    literals: Arc<[Arc<str>]>,
}

impl SchemaPattern {
    /// From what stands between the stars. None: fewer than two pieces are no pattern.
    #[must_use]
    pub fn new(pieces: &[&str]) -> Option<SchemaPattern> {
        let ([first, middle @ .., last], true) = (pieces, pieces.len() > 1) else { return None };
        // Two stars in a row say no more than one.
        let middle = middle.iter().filter(|piece| !piece.is_empty());
        let literals = std::iter::once(first).chain(middle).chain(std::iter::once(last));
        Some(SchemaPattern { literals: literals.map(|piece| Arc::from(*piece)).collect() })
    }

    /// Is this the name of a schema that is meant? In time linear in its length.
    #[must_use]
    pub fn matches(&self, schema: &str) -> bool {
        !is_of_server(schema) && self.fits(schema)
    }

    /// Does whatever matches `other` match this one as well?
    #[must_use]
    pub fn covers(&self, other: &SchemaPattern) -> bool {
        // No name holds a zero, so that only a star of this one takes a star of the other.
        self.fits(&other.literals.join("\0"))
    }

    /// Can no schema match, because only the server's own begin so?
    #[must_use]
    pub fn is_of_server(&self) -> bool {
        self.literals.first().is_some_and(|first| first.starts_with("pg_"))
    }

    fn fits(&self, name: &str) -> bool {
        let [first, middle @ .., last] = &*self.literals else { return false };
        let inner = name.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
        let Some(mut rest) = inner else { return false };
        for literal in middle {
            // The leftmost place leaves most for those that follow.
            let Some((_, behind)) = rest.split_once(&**literal) else { return false };
            rest = behind;
        }
        true
    }
}

fn is_of_server(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema"
}

/// As it is written in a policy.
impl fmt::Display for SchemaPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, literal) in self.literals.iter().enumerate() {
            if index > 0 {
                f.write_str("*")?;
            }
            let bare = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_$".contains(&byte);
            if literal.bytes().all(bare) {
                f.write_str(literal)?;
            } else {
                write!(f, "\"{}\"", literal.replace('"', "\"\""))?;
            }
        }
        Ok(())
    }
}

/// What a policy says of data: which columns are personal, and which code may be given values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Classification {
    pub fields: Vec<PolicyField>,
    /// Functions, by signature (`public.slugify(text)`), and extensions (`extension:postgis`), which
    /// somebody vouches for: no value that is given to them reaches a sealed field.
    pub vouched: Vec<String>,
    /// Is code that cannot be followed refused, where it could read what is legible?
    pub refuses_opaque: bool,
    /// Users whose COPY gives sealed values as they are stored.
    pub copies_sealed: Vec<String>,
    /// Is a database served to which an entry does not fit, since its migration is to come?
    pub serves_missing: bool,
}

/// One entry of a policy: a column of one table, or by a pattern that of many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyField {
    /// None: `field` is the column.
    pub schemas: Option<SchemaPattern>,
    /// With a pattern, what all columns share: the schema of its table is the pattern's text,
    /// its domain may be a template, and no column has its id in a snapshot.
    pub field: Field,
}

impl PolicyField {
    /// Does this entry apply to a database?
    #[must_use]
    pub fn is_of(&self, database: &str) -> bool {
        self.field.database.as_deref().is_none_or(|only| only == database)
    }

    /// Is there a database to which both apply?
    #[must_use]
    pub fn meets(&self, other: &PolicyField) -> bool {
        let (one, two) = (&self.field.database, &other.field.database);
        one.is_none() || two.is_none() || one == two
    }

    /// By its pattern, is this the entry of a table's column, or, without a schema, of that of
    /// some table of the name?
    #[must_use]
    pub fn matches(&self, schema: Option<&str>, table: &str) -> bool {
        let Some(pattern) = &self.schemas else { return false };
        *self.field.table.name == *table && schema.is_none_or(|schema| pattern.matches(schema))
    }
}

#[cfg(test)]
mod tests {
    use super::SchemaPattern;

    fn pattern(text: &str) -> SchemaPattern {
        SchemaPattern::new(&text.split('*').collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_star_is_any_run_of_characters_and_the_servers_own_schemas_never_match() {
        for (text, schema, expected) in [
            ("*", "acme", true),
            ("*", "public", true),
            ("*", "pg_catalog", false),
            ("*", "pg_temp_3", false),
            ("*", "pg_toast", false),
            ("*", "information_schema", false),
            ("information_*", "information_schema", false),
            ("information_*", "information_schemas", true),
            ("*g_*", "pg_x", false),
            ("tenant_*", "tenant_", true),
            ("tenant_*", "tenant_42", true),
            ("tenant_*", "tenant", false),
            ("tenant_*", "old_tenant_42", false),
            ("tenant_*", "Tenant_42", false),
            ("*_live", "acme_live", true),
            ("*_live", "acme_live2", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*bb*b", "abb", false),
            ("a*bb*b", "abbb", true),
            ("a*ab*c", "aabc", true),
            ("*ab*ba*", "aba", false),
            ("*ab*ba*", "abba", true),
            ("a**c", "ac", true),
            ("*caf\u{e9}", "le caf\u{e9}", true),
        ] {
            assert_eq!(pattern(text).matches(schema), expected, "{text} {schema}");
        }
        assert!(SchemaPattern::new(&["acme"]).is_none() && SchemaPattern::new(&[]).is_none());
    }

    #[test]
    fn matching_takes_time_in_proportion_to_the_name() {
        let (stars, name) = ("a*".repeat(30) + "b", "a".repeat(1 << 20));
        assert!(!pattern(&stars).matches(&name));
        assert!(pattern(&stars).matches(&(name + "b")));
    }

    #[test]
    fn knows_which_pattern_holds_all_of_another() {
        for (one, other, expected) in [
            ("*", "tenant_*", true),
            ("tenant_*", "*", false),
            ("tenant_*", "tenant_*", true),
            ("tenant_*", "tenant_eu_*", true),
            ("tenant_*", "*_eu", false),
            ("a*b", "ab*b", true),
            ("a*b", "a*ab", true),
            ("a*b*c", "a*c", false),
            ("a**c", "a*c", true),
        ] {
            assert_eq!(pattern(one).covers(&pattern(other)), expected, "{one} {other}");
        }
        assert!(pattern("pg_*").is_of_server() && !pattern("p*").is_of_server());
    }

    #[test]
    fn is_shown_as_it_is_written() {
        for (pieces, text) in [
            (&["", ""][..], "*"),
            (&["tenant_", ""], "tenant_*"),
            (&["Tenant-", "", "", "x"], "\"Tenant-\"*x"),
            (&["a*b\"", ""], "\"a*b\"\"\"*"),
        ] {
            assert_eq!(SchemaPattern::new(pieces).unwrap().to_string(), text);
        }
    }
}
