//! `[[field]]`: which columns are personal, and how they are sealed.

use std::collections::HashMap;
use std::sync::Arc;

use super::FIELDS_MAX;
use super::fault::nearest;
use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use crate::catalog::{
    BASES, Base, Domain, DomainName, Field, FieldId, FieldState, Kind, Logical, Mode, Normal, Normalize,
    OwnType, PAD_MAX, PolicyField,
};
use crate::seal::{guard_prefix, is_template, template_of};

/// A field and the byte at which its entry stands.
pub(super) type Placed = (usize, PolicyField);

const FIELD: Words = Words {
    served: &[
        "database",
        "table",
        "column",
        "class",
        "type",
        "seal",
        "domain",
        "state",
        "subject",
        "normalize",
        "pad",
        "guard",
    ],
    later: &[],
};
const SEAL: Words = Words { served: &["random", "equality", "none"], later: &["ordered"] };
const STATE: Words = Words { served: &["sealed"], later: &["sealing"] };
/// What is allowed as a type.
const TYPES: &str = "allowed: \"text\", \"varchar(n)\", \"char(n)\", \"name\", \"citext\", \"smallint\", \"integer\", \"bigint\", \"numeric(p,s)\", \"real\", \"double precision\", \"boolean\", \"date\", \"time\", \"timestamp\", \"timestamptz\", \"timetz\", \"interval\", \"uuid\", \"json\", \"jsonb\", \"bytea\", \"inet\", \"cidr\", \"macaddr\", \"money\", arrays of them (\"text[]\"), and types of the database: \"public.mood AS ENUM\", \"public.mail AS varchar(254)\"";

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
        let typed = self.typed(entry);
        let logical = typed.as_ref().map(|(logical, _)| *logical);
        let enumeration = matches!(&typed, Some((_, Some(own))) if own.enumeration);
        self.choice(entry, "state", STATE);
        let domain = self.domain(entry, logical, enumeration);
        let table = table?;
        let domain = domain?;
        self.refuse_template_of_one_schema(entry, table.schemas.is_some(), domain.as_ref());
        let guard = self.guard(entry, domain.as_ref())?;
        let (logical, own) = typed?;
        let field = Field {
            id: FieldId(0),
            database,
            table: table.name,
            column: column?,
            class: class?,
            logical,
            own,
            domain,
            state: FieldState::Sealed,
            guard,
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

    /// Left out: text. `schema.name AS ENUM` and `schema.name AS varchar(254)` are types of the database.
    fn typed(&mut self, entry: &Section<'_>) -> Option<(Logical, Option<OwnType>)> {
        if entry.value("type").is_none() {
            return Some((Logical::TEXT, None));
        }
        let word = self.string(entry, "type")?;
        let (name, of) = match word.text.to_ascii_lowercase().rfind(" as ") {
            Some(at) => (word.text.get(..at).map(str::trim), word.text.get(at + 4..).unwrap_or_default()),
            None => (None, word.text),
        };
        let enumeration = name.is_some() && of.trim().eq_ignore_ascii_case("enum");
        let own = match name.map(scalar::qualified_name) {
            Some(Ok(name)) => Some(OwnType { name, enumeration, found: None }),
            Some(Err(why)) => {
                let found = format!("[[field]] type = {} {}", shown(word.text), why.reason);
                self.fault(
                    word.at,
                    found,
                    "write \"public.mood AS ENUM\", or \"public.mail AS varchar(254)\"",
                );
                return None;
            }
            None => None,
        };
        let logical = if enumeration { Some(Logical::TEXT) } else { Logical::parse(of) };
        if logical.is_none() {
            let found = format!("[[field]] type = {} is not a type", shown(word.text));
            let near = nearest(word.text, BASES.into_iter().map(Base::name));
            let remedy =
                near.map_or_else(|| TYPES.to_owned(), |near| format!("did you mean \"{near}\"? {TYPES}"));
            self.fault(word.at, found, remedy);
        }
        if own.is_some() && logical.is_some_and(|logical| logical.array) {
            let found = format!("[[field]] type = {} is over an array", shown(word.text));
            self.fault(word.at, found, "a domain over an array cannot be sealed: write the array's own type");
            return None;
        }
        Some((logical?, own))
    }

    /// None: faulty. `Some(None)`: not sealed. Without a type it is not known what is sealed.
    fn domain(
        &mut self,
        entry: &Section<'_>,
        logical: Option<Logical>,
        enumeration: bool,
    ) -> Option<Option<Domain>> {
        let seal = self.choice(entry, "seal", SEAL);
        let name = self.checked(entry, "domain", scalar::domain);
        let kind = self.kind_of(entry, logical);
        if let (true, Some(value)) = (enumeration, entry.value("normalize")) {
            let remedy = "take it out: a value of an enumeration is one of its labels";
            self.fault(value.span().start, "[[field]] normalize of an enumeration", remedy);
            return None;
        }
        let mode = match seal?.text {
            "random" => Mode::Random,
            "equality" => Mode::Equality,
            _ => {
                for key in ["domain", "normalize", "pad"] {
                    if let Some(value) = entry.value(key) {
                        let article = if key == "domain" { "a " } else { "" };
                        let found = format!("[[field]] has {article}{key} and seal = \"none\"");
                        let remedy = "take one of them out: only what is sealed has a key, and is changed";
                        self.fault(value.span().start, found, remedy);
                        return None;
                    }
                }
                return Some(None);
            }
        };
        if entry.value("domain").is_none() {
            self.missing(entry, "domain", "\"email\"; it names the key and never changes");
        }
        let (name, kind) = (name?, kind?);
        let renamed =
            enumeration.then_some("labels of an enumeration may be renamed, and what is sealed is not");
        if let (Mode::Equality, Some(why)) = (mode, renamed.or(kind.unequal())) {
            let at = seal.map_or(entry.at, |word| word.at);
            let of = if enumeration { "an enumeration".to_owned() } else { format!("type \"{kind}\"") };
            let found = format!("[[field]] seal = \"equality\" of {of}: {why}");
            self.fault(at, found, "seal = \"random\", which stores and fetches");
            return None;
        }
        Some(Some(Domain { name: DomainName(Arc::from(name)), mode, kind }))
    }

    /// What its domain seals. None: faulty.
    fn kind_of(&mut self, entry: &Section<'_>, logical: Option<Logical>) -> Option<Kind> {
        let normalize = self.normalize(entry, logical);
        let pad = self.pad(entry, logical);
        let kind = Kind::of(&logical?);
        Some(Kind { normalize: normalize?, pad: pad?, ..kind })
    }

    fn normalize(&mut self, entry: &Section<'_>, logical: Option<Logical>) -> Option<Normalize> {
        let Some(value) = entry.value("normalize") else {
            // It compares without regard to case.
            let folds = logical.is_some_and(|logical| logical.base == Base::Citext);
            return Normalize::new(if folds { &[Normal::Lowercase] } else { &[] });
        };
        let at = value.span().start;
        let texts = self.strings(entry, "normalize", Normal::ALL.len())?;
        let mut steps = Vec::new();
        for word in texts {
            let step = Normal::ALL.into_iter().find(|step| step.name() == word.text);
            if step.is_none() {
                let found = format!("[[field]] normalize = {} is not known", shown(word.text));
                let near = nearest(word.text, Normal::ALL.into_iter().map(Normal::name));
                let did = near.map_or_else(String::new, |near| format!("did you mean \"{near}\"? "));
                self.fault(word.at, found, format!("{did}allowed: \"lowercase\", \"trim\", \"nfc\""));
            }
            steps.push(step?);
        }
        if logical.is_some_and(|logical| !logical.is_text()) {
            let remedy = "take it out: only text, varchar, char, name and citext are normalized";
            self.fault(at, "[[field]] normalize of a type that is no text", remedy);
            return None;
        }
        let folds = logical.is_some_and(|logical| logical.base == Base::Citext);
        if folds && !steps.contains(&Normal::Lowercase) {
            self.fault(
                at,
                "[[field]] type = \"citext\" is compared without regard to case",
                "add \"lowercase\"",
            );
            return None;
        }
        let normalize = Normalize::new(&steps);
        if normalize.is_none() {
            self.fault(at, "[[field]] normalize names one thing twice", "name each once");
        }
        normalize
    }

    /// None: faulty. `Some(None)`: lengths stay as they are.
    fn pad(&mut self, entry: &Section<'_>, logical: Option<Logical>) -> Option<Option<u16>> {
        let Some(value) = entry.value("pad") else { return Some(None) };
        let at = value.span().start;
        if value.get_ref().is_str() {
            let word = self.string(entry, "pad")?;
            let declared = logical.and_then(|logical| logical.characters());
            let fitting = declared.and_then(|characters| u16::try_from(characters + 1).ok());
            return match fitting.filter(|pad| *pad <= PAD_MAX && word.text == "declared") {
                Some(pad) => Some(Some(pad)),
                None => {
                    let found = format!("[[field]] pad = {}", shown(word.text));
                    let most = PAD_MAX - 1;
                    let remedy = format!(
                        "a number of bytes, or \"declared\" of a varchar(n) or char(n) of at most {most}"
                    );
                    self.fault(at, found, remedy);
                    None
                }
            };
        }
        let pad = self.integer(entry, "pad", 2..=u64::from(PAD_MAX))?;
        Some(u16::try_from(pad).ok())
    }

    /// None: faulty. `Some(None)`: there is to be none.
    fn guard(&mut self, entry: &Section<'_>, domain: Option<&Domain>) -> Option<Option<Arc<str>>> {
        let Some(value) = entry.value("guard") else { return Some(None) };
        let at = value.span().start;
        let wanted = self.boolean(entry, "guard")?;
        match domain {
            Some(domain) => Some(wanted.then(|| guard_prefix(domain).into())),
            None if !wanted => Some(None),
            None => {
                let remedy = "take it out: a guard keeps what is not sealed out of a column that is";
                self.fault(at, "[[field]] has guard and seal = \"none\"", remedy);
                None
            }
        }
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
            if (agreed.mode, agreed.kind) != (domain.mode, domain.kind) {
                let line = self.line(first);
                let found = format!(
                    "[[field]] {} uses domain \"{}\" with seal = \"{}\", sealing \"{}\"",
                    field.path(),
                    domain.name,
                    domain.mode.name(),
                    domain.kind,
                );
                let remedy = format!(
                    "line {line} uses it with seal = \"{}\", sealing \"{}\": name another domain",
                    agreed.mode.name(),
                    agreed.kind,
                );
                self.fault(at, found, remedy);
            }
        }
    }
}
