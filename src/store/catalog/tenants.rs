//! From patterns to columns: which schemas have a table of the name, and what of it is
//! personal. Each of them gets a field of its own, with its own domain where the policy's
//! is a template.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::classified::qualified;
use super::load::{LoadError, RELATIONS_MAX, Reader, value};
use crate::catalog::{Field, FieldId, PolicyField, QualifiedName};
use crate::seal::{domain_of, guard_prefix};

/// Classified columns of one database: each has a [`FieldId`].
pub(super) const FIELDS_MAX: usize = 60_000;

/// The fields of a database, numbered: those named one by one, then what each pattern matches,
/// and notes. A column that is named by itself is what that entry says; of two patterns for
/// one column the first counts.
pub(super) async fn expand(
    reader: &Reader<'_>,
    named: Vec<Field>,
    patterns: &[PolicyField],
) -> Result<(Vec<Field>, Vec<String>), LoadError> {
    let tables = if patterns.is_empty() { Vec::new() } else { tables(reader, patterns).await? };
    let (mut fields, notes) = matched(named, patterns, &tables)?;
    for (number, field) in (0..=u16::MAX).zip(&mut fields) {
        field.id = FieldId(number);
    }
    Ok((fields, notes))
}

/// Every table of one of the patterns' names, in whatever schema, by name.
async fn tables(reader: &Reader<'_>, patterns: &[PolicyField]) -> Result<Vec<QualifiedName>, LoadError> {
    let names: BTreeSet<&str> = patterns.iter().map(|entry| &*entry.field.table.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let rows = reader
        .rows(
            "tables that patterns may match",
            RELATIONS_MAX,
            "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = ANY ($1::pg_catalog.name[]) AND c.relkind IN ('r','p') \
             ORDER BY n.nspname::pg_catalog.text COLLATE \"C\", c.relname::pg_catalog.text COLLATE \"C\"",
            &[(&names, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(|row| Ok(qualified(value(row, 0)?, value(row, 1)?))).collect()
}

fn matched(
    named: Vec<Field>,
    patterns: &[PolicyField],
    tables: &[QualifiedName],
) -> Result<(Vec<Field>, Vec<String>), LoadError> {
    let mut by_name: HashMap<&str, Vec<&QualifiedName>> = HashMap::new();
    for table in tables {
        by_name.entry(&*table.name).or_default().push(table);
    }
    let by_itself: HashSet<(QualifiedName, Arc<str>)> =
        named.iter().map(|field| (field.table.clone(), field.column.clone())).collect();
    // By column, the pattern that has it.
    let mut taken: HashMap<(&QualifiedName, &str), usize> = HashMap::new();
    let (mut fields, mut notes) = (named, Vec::new());
    let mut told = HashSet::new();
    for (index, entry) in patterns.iter().enumerate() {
        let column = &entry.field.column;
        let all = by_name.get(&*entry.field.table.name).map_or(&[][..], Vec::as_slice);
        for &table in all.iter().filter(|table| entry.matches(Some(&*table.schema), &table.name)) {
            if by_itself.contains(&(table.clone(), column.clone())) {
                continue;
            }
            let first = *taken.entry((table, &**column)).or_insert(index);
            if first != index {
                // Once for each two patterns, with the first table as the example.
                if told.insert((first, index))
                    && let Some(first) = patterns.get(first)
                {
                    notes.push(format!(
                        "{table}.{column} is matched by {} and by {}: the first in the file counts",
                        first.field.path(),
                        entry.field.path()
                    ));
                }
                continue;
            }
            let domain = entry.field.domain.as_ref().map(|domain| domain_of(domain, &table.schema));
            let guarded = domain.as_ref().filter(|_| entry.field.guard.is_some());
            let guard = guarded.map(|domain| guard_prefix(domain).into());
            fields.push(Field { table: table.clone(), domain, guard, ..entry.field.clone() });
        }
        // Before anything grows beyond it by much.
        if fields.len() > FIELDS_MAX {
            break;
        }
    }
    if fields.len() > FIELDS_MAX {
        return Err(LoadError::TooLarge { what: "classified columns", max: FIELDS_MAX });
    }
    Ok((fields, notes))
}

#[cfg(test)]
mod tests {
    use super::super::tests::field;
    use super::*;
    use crate::catalog::{DomainName, Mode, SchemaPattern};

    fn pattern(schemas: &str, domain: &str) -> PolicyField {
        let mut field = field("email", Some(Mode::Equality));
        field.table = qualified(schemas, "client");
        if let Some(of) = &mut field.domain {
            of.name = DomainName(domain.into());
        }
        let schemas = SchemaPattern::new(&schemas.split('*').collect::<Vec<_>>());
        PolicyField { schemas, field }
    }

    fn told(fields: &[Field]) -> Vec<String> {
        let domain = |field: &Field| field.domain.as_ref().map(|domain| domain.name.to_string());
        fields.iter().map(|field| format!("{} {}", field.path(), domain(field).unwrap_or_default())).collect()
    }

    #[test]
    fn each_schema_has_a_field_and_its_own_domain_where_the_domain_is_a_template() {
        let tables = [
            qualified("acme", "client"),
            qualified("acme", "other"),
            qualified("pg_temp_3", "client"),
            qualified("Zeta \u{e9}", "client"),
        ];
        let (fields, notes) = matched(vec![], &[pattern("*", "email@{schema}")], &tables).unwrap();
        assert_eq!(told(&fields)[0], "acme.client.email email@acme");
        assert!(told(&fields)[1].starts_with("Zeta \u{e9}.client.email email@@"), "{:?}", told(&fields));
        assert!(fields.len() == 2 && notes.is_empty());
        let (fields, _) = matched(vec![], &[pattern("*", "email")], &tables).unwrap();
        assert_eq!(told(&fields), ["acme.client.email email", "Zeta \u{e9}.client.email email"]);
        assert_eq!(matched(vec![], &[pattern("t*", "email")], &tables).unwrap().0, []);
    }

    #[test]
    fn a_column_by_its_own_name_comes_first_and_of_two_patterns_the_first() {
        let tables = ["a_live", "a_test", "b_live"].map(|schema| qualified(schema, "client"));
        let own = Field { table: qualified("b_live", "client"), ..pattern("*", "own").field };
        let patterns = [pattern("a*", "one"), pattern("*live", "two")];
        let (fields, notes) = matched(vec![own.clone()], &patterns, &tables).unwrap();
        assert_eq!(
            told(&fields),
            ["b_live.client.email own", "a_live.client.email one", "a_test.client.email one"]
        );
        assert_eq!(
            notes,
            ["a_live.client.email is matched by a*.client.email and by *live.client.email: \
              the first in the file counts"]
        );
        let other = Field { column: "phone".into(), ..own };
        assert_eq!(matched(vec![other], &patterns, &tables).unwrap().0.len(), 4, "of another column");
    }

    #[test]
    fn more_columns_than_are_numbered_are_refused() {
        let tables: Vec<_> = (0..=FIELDS_MAX).map(|n| qualified(&format!("t{n}"), "client")).collect();
        let refused = matched(vec![], &[pattern("*", "email@{schema}")], &tables).err();
        assert_eq!(refused, Some(LoadError::TooLarge { what: "classified columns", max: FIELDS_MAX }));
        assert!(matched(vec![], &[pattern("*", "email@{schema}")], &tables[1..]).is_ok());
    }
}
