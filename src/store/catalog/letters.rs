//! Where a database's own `lower()` makes something else of a letter than `normalize = "lowercase"` does: it
//! follows the locale, and the version of its library. Told by `check`, since rows that are one to the one can be
//! two to the other.

use std::collections::HashMap;

use super::load::{LoadError, Reader, value};
use crate::catalog::{Kind, Normal, Normalize};
use crate::types::normalize;

/// The last character that has a case, U+1E943, and beyond ASCII the first that may.
const LAST: u32 = 0x1_E943;
const FIRST: u32 = 0x80;
/// Letters that a server has in two cases.
const LETTERS_MAX: usize = 10_000;
/// Letters that are named.
const NAMED_MAX: usize = 4;

/// How many letters differ, and the first of them. None: the database is of another encoding than UTF8.
///
/// # Errors
/// The server's.
pub(super) async fn differ(reader: &Reader<'_>) -> Result<Option<(usize, String)>, LoadError> {
    let utf8 = reader.rows("encodings", 1, "SELECT pg_catalog.getdatabaseencoding() = 'UTF8'", &[]).await?;
    if !utf8.first().map(|row| value::<bool>(row, 0)).transpose()?.unwrap_or(false) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT l.code, pg_catalog.lower(pg_catalog.chr(l.code)) \
           FROM pg_catalog.generate_series({FIRST}, {LAST}) l (code) \
          WHERE l.code NOT BETWEEN 55296 AND 57343 \
            AND pg_catalog.lower(pg_catalog.chr(l.code)) COLLATE \"C\" <> pg_catalog.chr(l.code)"
    );
    let rows = reader.rows("letters", LETTERS_MAX, &sql, &[]).await?;
    let mut theirs: HashMap<u32, String> = HashMap::new();
    for row in &rows {
        let code: i32 = value(row, 0)?;
        theirs.insert(u32::try_from(code).unwrap_or_default(), value::<&str>(row, 1)?.to_owned());
    }
    let steps = Normalize::new(&[Normal::Lowercase]).unwrap_or_default();
    let kind = Kind { normalize: steps, ..Kind::TEXT };
    let mut differing = Vec::new();
    for letter in (FIRST..=LAST).filter_map(char::from_u32) {
        let (mut ours, mut own) = (Vec::new(), [0; 4]);
        let own = letter.encode_utf8(&mut own);
        // What this version of Unicode does not know is refused where it is sealed.
        if normalize(&kind, own, &mut ours).is_err() {
            continue;
        }
        let theirs = theirs.get(&u32::from(letter)).map_or(&*own, String::as_str);
        if theirs.as_bytes() != ours.as_slice() {
            differing.push(letter);
        }
    }
    let named = differing.iter().take(NAMED_MAX).map(|letter| format!("U+{:04X}", u32::from(*letter)));
    Ok(Some((differing.len(), named.collect::<Vec<_>>().join(", "))))
}
