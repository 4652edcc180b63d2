//! Names as they stand in the statements that mend a schema.

use crate::catalog::QualifiedName;

/// In double quotes where it needs them, as the server would fold it or take it for a word of its own.
pub(super) fn name(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty();
    if plain && !pg_keyword(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Is it a word that cannot name anything without quotes? The server's own reserved words.
fn pg_keyword(word: &str) -> bool {
    const RESERVED: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint \
        binary bit boolean both case cast char character check coalesce collate collation column concurrently \
        constraint create cross current_catalog current_date current_role current_schema current_time \
        current_timestamp current_user dec decimal default deferrable desc distinct do else end except exists \
        extract false fetch float for foreign freeze from full grant greatest group grouping having ilike in \
        initially inner inout int integer intersect interval into is isnull join lateral leading least left like \
        limit localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric \
        offset on only or order out outer overlaps overlay placing position precision primary real references \
        returning right row select session_user setof similar smallint some substring symmetric system_user table \
        tablesample then time timestamp to trailing treat trim true union unique user using values varchar \
        variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest \
        xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";
    RESERVED.split_whitespace().any(|reserved| reserved == word)
}

pub(super) fn table(table: &QualifiedName) -> String {
    format!("{}.{}", name(&table.schema), name(&table.name))
}

/// The beginning of a change of a column.
pub(super) fn column(of: &QualifiedName, column: &str) -> String {
    format!("ALTER TABLE {} ALTER COLUMN {}", table(of), name(column))
}
