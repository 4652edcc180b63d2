//! `[[field]]`: which columns are personal, and how they are sealed.

use std::collections::HashMap;
use std::sync::Arc;

use super::FIELDS_MAX;
use super::reader::{NOT_SERVED, Reader, Section, Words, shown};
use super::scalar;
use crate::catalog::{Domain, DomainName, Field, FieldId, FieldState, Logical, Mode};

/// A field and the byte at which its entry stands.
pub(super) type Placed = (usize, Field);

const FIELD: Words = Words {
    served: &["database", "table", "column", "class", "type", "seal", "domain", "state", "subject"],
    later: &["pad", "normalize"],
};
const SEAL: Words = Words { served: &["random", "equality", "none"], later: &["ordered"] };
const STATE: Words = Words { served: &["sealed"], later: &["sealing"] };
const TYPE: Words = Words {
    served: &["text"],
    later: &[
        "varchar",
        "character varying",
        "char",
        "character",
        "bpchar",
        "smallint",
        "integer",
        "int",
        "int2",
        "int4",
        "int8",
        "bigint",
        "numeric",
        "decimal",
        "boolean",
        "bool",
        "date",
        "timestamp",
        "timestamptz",
        "time",
        "uuid",
        "bytea",
        "json",
        "jsonb",
        "real",
        "double precision",
        "inet",
        "interval",
    ],
};

impl Reader<'_> {
    pub(super) fn fields(&mut self, root: &Section<'_>) -> Vec<Placed> {
        let entries = self.tables(root, "field", "[[field]]", FIELD, FIELDS_MAX);
        let read = entries.iter().filter_map(|entry| Some((entry.at, self.field(entry)?)));
        let fields: Vec<Placed> = read
            .zip(0..=u16::MAX)
            .map(|((at, field), id)| (at, Field { id: FieldId(id), ..field }))
            .collect();
        self.refuse_duplicates(&fields);
        self.refuse_domains_that_disagree(&fields);
        fields
    }

    fn field(&mut self, entry: &Section<'_>) -> Option<Field> {
        for (key, example) in [
            ("table", "\"public.customers\""),
            ("column", "\"email\""),
            ("class", "\"contact\""),
            ("seal", "\"random\", \"equality\" or \"none\""),
        ] {
            if entry.value(key).is_none() {
                self.missing(entry, key, example);
            }
        }
        let database = self.checked(entry, "database", scalar::server_name).map(Arc::from);
        let table = self.checked(entry, "table", scalar::qualified_name);
        let column: Option<Arc<str>> = self.checked(entry, "column", scalar::identifier).map(Arc::from);
        let class: Option<Arc<str>> = self.checked(entry, "class", scalar::name).map(Arc::from);
        let subject = self.checked(entry, "subject", scalar::identifier).map(Arc::from);
        self.logical(entry);
        self.choice(entry, "state", STATE);
        let domain = self.domain(entry);
        Some(Field {
            id: FieldId(0),
            database,
            table: table?,
            column: column?,
            class: class?,
            logical: Logical::Text,
            domain: domain?,
            state: FieldState::Sealed,
            subject,
        })
    }

    /// `varchar(40)` is named like `varchar`.
    fn logical(&mut self, entry: &Section<'_>) {
        let Some(word) = self.string(entry, "type") else { return };
        let bare = word.text.split('(').next().unwrap_or_default().trim();
        if bare != word.text && TYPE.later.contains(&bare) {
            let found = format!("[[field]] type = {} {NOT_SERVED}", shown(word.text));
            self.fault(word.at, found, "allowed: \"text\"");
        } else {
            self.choice(entry, "type", TYPE);
        }
    }

    /// None: faulty. `Some(None)`: not sealed.
    fn domain(&mut self, entry: &Section<'_>) -> Option<Option<Domain>> {
        let seal = self.choice(entry, "seal", SEAL);
        let name = self.checked(entry, "domain", scalar::domain);
        let mode = match seal?.text {
            "random" => Mode::Random,
            "equality" => Mode::Equality,
            _ => {
                if let Some(value) = entry.value("domain") {
                    let found = "[[field]] has a domain and seal = \"none\"";
                    self.fault(
                        value.span().start,
                        found,
                        "take one of them out: only what is sealed has a key",
                    );
                    return None;
                }
                return Some(None);
            }
        };
        if entry.value("domain").is_none() {
            self.missing(entry, "domain", "\"email\"; it names the key and never changes");
        }
        let name = DomainName(Arc::from(name?));
        Some(Some(Domain { name, mode, logical: Logical::Text }))
    }

    fn refuse_duplicates(&mut self, fields: &[Placed]) {
        let mut seen: HashMap<_, Vec<&Placed>> = HashMap::new();
        for placed in fields {
            let (at, field) = placed;
            let same_column = seen.entry((&field.table, &field.column)).or_default();
            let overlapping = same_column.iter().find(|(_, other)| {
                other.database.is_none() || field.database.is_none() || other.database == field.database
            });
            if let Some((first, _)) = overlapping {
                let line = self.line(*first);
                let found = format!("[[field]] {} stands twice", field.path());
                self.fault(*at, found, format!("the first is in line {line}: take one of them out"));
            }
            same_column.push(placed);
        }
    }

    fn refuse_domains_that_disagree(&mut self, fields: &[Placed]) {
        let mut seen: HashMap<&DomainName, (usize, &Domain)> = HashMap::new();
        for (at, field) in fields {
            let Some(domain) = &field.domain else { continue };
            let (first, agreed) = *seen.entry(&domain.name).or_insert((*at, domain));
            if agreed != domain {
                let line = self.line(first);
                let found = format!(
                    "[[field]] {} uses domain \"{}\" with seal = \"{}\", type = \"{}\"",
                    field.path(),
                    domain.name,
                    domain.mode.name(),
                    domain.logical.name(),
                );
                let remedy = format!(
                    "line {line} uses it with seal = \"{}\", type = \"{}\": name another domain",
                    agreed.mode.name(),
                    agreed.logical.name(),
                );
                self.fault(*at, found, remedy);
            }
        }
    }
}
