//! `[[field]]`: which columns are personal, and how they are sealed.

use std::collections::HashMap;
use std::sync::Arc;

use super::FIELDS_MAX;
use super::reader::{NOT_SERVED, Reader, Section, Words, shown};
use super::scalar;
use crate::catalog::{Domain, DomainName, Field, FieldId, FieldState, Logical, Mode, PolicyField};
use crate::seal::{is_template, template_of};

/// A field and the byte at which its entry stands.
pub(super) type Placed = (usize, PolicyField);

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
            .map(|((at, PolicyField { schemas, field }), id)| {
                (at, PolicyField { schemas, field: Field { id: FieldId(id), ..field } })
            })
            .collect();
        self.refuse_duplicates(&fields);
        self.refuse_patterns_that_overlap(&fields);
        self.refuse_domains_that_disagree(&fields);
        fields
    }

    fn field(&mut self, entry: &Section<'_>) -> Option<PolicyField> {
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
        let table = self.checked(entry, "table", scalar::table);
        let column: Option<Arc<str>> = self.checked(entry, "column", scalar::identifier).map(Arc::from);
        let class: Option<Arc<str>> = self.checked(entry, "class", scalar::name).map(Arc::from);
        let subject = self.checked(entry, "subject", scalar::identifier).map(Arc::from);
        self.logical(entry);
        self.choice(entry, "state", STATE);
        let domain = self.domain(entry);
        let table = table?;
        let domain = domain?;
        self.refuse_template_of_one_schema(entry, table.schemas.is_some(), domain.as_ref());
        let field = Field {
            id: FieldId(0),
            database,
            table: table.name,
            column: column?,
            class: class?,
            logical: Logical::Text,
            domain,
            state: FieldState::Sealed,
            subject,
        };
        Some(PolicyField { schemas: table.schemas, field })
    }

    fn refuse_template_of_one_schema(
        &mut self,
        entry: &Section<'_>,
        by_pattern: bool,
        domain: Option<&Domain>,
    ) {
        let (Some(domain), false) = (domain, by_pattern) else { return };
        if is_template(&domain.name.0)
            && let Some(value) = entry.value("domain")
        {
            self.fault(
                value.span().start,
                format!("[[field]] domain = {} and a table of one schema", shown(&domain.name.0)),
                "name the schema in it, or write the table as a pattern: \"tenant_*.customers\"",
            );
        }
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
            let (at, PolicyField { schemas, field }) = placed;
            let same_column = seen.entry((schemas, &field.table, &field.column)).or_default();
            let overlapping = same_column.iter().find(|(_, other)| placed.1.meets(other));
            if let Some((first, _)) = overlapping {
                let line = self.line(*first);
                let found = format!("[[field]] {} stands twice", field.path());
                self.fault(*at, found, format!("the first is in line {line}: take one of them out"));
            }
            same_column.push(placed);
        }
    }

    /// Where every schema of one pattern is one of the other as well, both would speak of
    /// every column of the narrower. Of two that merely may, the load takes the first.
    fn refuse_patterns_that_overlap(&mut self, fields: &[Placed]) {
        let mut seen: HashMap<_, Vec<&Placed>> = HashMap::new();
        for placed in fields {
            let (at, PolicyField { schemas, field }) = placed;
            let Some(schemas) = schemas else { continue };
            let same_column = seen.entry((&field.table.name, &field.column)).or_default();
            let overlapping = same_column.iter().find(|(_, other)| {
                placed.1.meets(other)
                    && other.schemas.as_ref().is_some_and(|other| {
                        other != schemas && (other.covers(schemas) || schemas.covers(other))
                    })
            });
            if let Some((first, other)) = overlapping {
                let line = self.line(*first);
                let other = other.field.path();
                self.fault(
                    *at,
                    format!("[[field]] {} and {other} match the same columns", field.path()),
                    format!(
                        "the other is in line {line}: take one of them out; an exception is an entry with its schema's name"
                    ),
                );
            }
            same_column.push(placed);
        }
    }

    fn refuse_domains_that_disagree(&mut self, fields: &[Placed]) {
        let mut seen: HashMap<DomainName, (usize, &Domain)> = HashMap::new();
        let domains = |templates: bool| {
            fields.iter().filter_map(move |(at, PolicyField { field, .. })| {
                let domain = field.domain.as_ref()?;
                (is_template(&domain.name.0) == templates).then_some((*at, field, domain))
            })
        };
        // Templates first: a domain of theirs that stands by its own name is theirs.
        for (at, field, domain) in domains(true).chain(domains(false)) {
            let template = template_of(&domain.name).filter(|template| seen.contains_key(template));
            let name = template.unwrap_or_else(|| domain.name.clone());
            let (first, agreed) = *seen.entry(name).or_insert((at, domain));
            if (agreed.mode, agreed.logical) != (domain.mode, domain.logical) {
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
                self.fault(at, found, remedy);
            }
        }
    }
}
