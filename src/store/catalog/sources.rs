//! Texts in the catalog that name what no `pg_depend` tells of: the bodies of functions and the
//! arguments of triggers. Read once a load, and searched by every closure.

use super::body;
use super::load::{
    FUNCTIONS_MAX, LoadError, RELATIONS_MAX, Reader, SOURCE_BYTES_MAX, SOURCES_BYTES_MAX, value,
};

/// See the module's text.
pub(super) struct Sources {
    pub(super) bodies: Vec<Body>,
    pub(super) arguments: Vec<Arguments>,
}

impl Sources {
    pub(super) async fn read(reader: &Reader<'_>) -> Result<Sources, LoadError> {
        let bodies = read_bodies(reader).await?;
        Ok(Sources { bodies, arguments: read_trigger_arguments(reader).await? })
    }

    pub(super) fn body(&self, function: u32) -> Option<&Body> {
        let at = self.bodies.binary_search_by_key(&function, |body| body.oid).ok()?;
        self.bodies.get(at)
    }
}

/// A function with a source text that can be read.
pub(super) struct Body {
    pub(super) oid: u32,
    /// `schema.name`, for reasons and notes.
    pub(super) name: String,
    pub(super) language: String,
    /// Folded to lower case; none where it is too long to be read.
    pub(super) source: Option<String>,
}

/// Every function whose source is text: not C, not internal, not those of PostgreSQL itself.
async fn read_bodies(reader: &Reader<'_>) -> Result<Vec<Body>, LoadError> {
    const WHERE: &str = "FROM pg_catalog.pg_proc p \
        JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
        WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL";
    // The shortest first: who writes what nobody can read keeps nobody else's from being read.
    let rows = reader
        .rows(
            "functions",
            FUNCTIONS_MAX,
            &format!(
                "SELECT f.oid, f.name, f.lanname, \
                        CASE WHEN f.bytes <= {SOURCE_BYTES_MAX} AND f.upto <= {SOURCES_BYTES_MAX} THEN f.prosrc END \
                 FROM (SELECT p.oid, n.nspname || '.' || p.proname AS name, l.lanname::pg_catalog.text, p.prosrc, \
                              octet_length(p.prosrc)::pg_catalog.int8 AS bytes, \
                              sum(octet_length(p.prosrc)::pg_catalog.int8) \
                                  OVER (ORDER BY octet_length(p.prosrc), p.oid)::pg_catalog.int8 AS upto {WHERE}) f \
                 ORDER BY f.oid"
            ),
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Body {
                oid: value(row, 0)?,
                name: value(row, 1)?,
                language: value(row, 2)?,
                source: value::<Option<&str>>(row, 3)?.map(body::fold),
            })
        })
        .collect()
}

/// A trigger with arguments, which its function may take for names.
pub(super) struct Arguments {
    pub(super) relation: u32,
    pub(super) trigger: String,
    pub(super) text: String,
}

async fn read_trigger_arguments(reader: &Reader<'_>) -> Result<Vec<Arguments>, LoadError> {
    let rows = reader
        .rows(
            "triggers with arguments",
            RELATIONS_MAX,
            "SELECT t.tgrelid, t.tgname::pg_catalog.text, pg_catalog.encode(t.tgargs, 'escape') \
             FROM pg_catalog.pg_trigger t WHERE t.tgnargs > 0 AND NOT t.tgisinternal ORDER BY t.oid",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let escaped: &str = value(row, 2)?;
            // Arguments end with a zero byte, which `encode` spells `\000`.
            let text = body::fold(&escaped.replace("\\000", " "));
            Ok(Arguments { relation: value(row, 0)?, trigger: value(row, 1)?, text })
        })
        .collect()
}
