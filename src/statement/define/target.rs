//! Which table a definition is about: the one that is there, or the one that will be.

use std::sync::Arc;

use pg_query::protobuf::RangeVar;

use crate::catalog::{Creation, Named, Relation, is_temporary};

use super::super::facts::{Remedy, Unproven};
use super::super::matters::Bench;
use super::super::read::literal::quoted_name;
use super::super::refusal::{Proven, refuse, unless};

pub(super) fn matters(bench: Bench<'_>, range: &RangeVar) -> bool {
    let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
    match bench.names.named(schema, &range.relname) {
        Named::Harmless => false,
        Named::Pinned(relation) => !relation.is_harmless(),
        Named::One(_) | Named::Ambiguous | Named::NotOnPath | Named::PerhapsTemporary | Named::Missing => {
            true
        }
    }
}

/// Does the policy name it, and nobody has it? What may be done to it is judged by the policy alone, and
/// that it is not there is the server's to say.
pub(super) fn is_missing(bench: Bench<'_>, range: &RangeVar) -> bool {
    let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
    matches!(bench.names.named(schema, &range.relname), Named::Missing)
}

/// In which schema a table will be, and the place of the text where that is written out.
pub(super) struct Made {
    pub(super) schema: Arc<str>,
    at: usize,
}

impl Made {
    pub(super) fn insertion(self) -> (usize, String) {
        (self.at, format!("{}.", quoted_name(&self.schema)))
    }
}

/// The schema in which a table of a name that matters will be. None: it is given,
/// or the name does not matter.
///
/// # Errors
/// The search path decides, and is not known.
pub(super) fn made_in(bench: Bench<'_>, range: &RangeVar) -> Proven<Option<Made>> {
    let temporary = range.relpersistence == "t";
    if !range.schemaname.is_empty() || temporary || !bench.snapshot.counts_name(&range.relname) {
        return Ok(None);
    }
    let schema = creation(bench, &range.relname)?;
    let at = usize::try_from(range.location).map_err(|_| unplaced(&range.relname))?;
    Ok(Some(Made { schema, at }))
}

/// The schema in which a relation without one is made.
///
/// # Errors
/// It is not known, or that of temporary relations.
pub(super) fn creation(bench: Bench<'_>, name: &str) -> Proven<Arc<str>> {
    let Some(path) = bench.names.path else { return Err(unless(Remedy::Path, unplaced(name))) };
    match path.creation() {
        Creation::In(schema) if is_temporary(&schema) => {
            let detail = format!("a temporary \"{name}\" would stand before the table of the policy");
            let hint = "Write schema.table, or give the temporary table another name.";
            Err(refuse("shadow", detail, hint))
        }
        Creation::In(schema) => Ok(schema),
        Creation::Unasked => Err(unless(Remedy::Creation, unplaced(name))),
        Creation::Nowhere => Err(unplaced(name)),
    }
}

/// The schema in which a view will be, and where that is written out. No view is temporary that could not be
/// read here: neither by its own name nor by those that it is made of.
pub(super) fn new_view(bench: Bench<'_>, range: &RangeVar) -> Proven<(Arc<str>, Option<Made>)> {
    let Some(path) = bench.names.path else { return Err(unless(Remedy::Path, unplaced(&range.relname))) };
    let temporary = range.relpersistence == "t" || is_temporary(&range.schemaname);
    if temporary || path.temporary().is_some() {
        return Err(refuse(
            "definition",
            "a view of sealed columns, in a session that has temporary relations or as one of them",
            "Make it in a session without temporary relations.",
        ));
    }
    if !range.schemaname.is_empty() {
        return Ok((range.schemaname.as_str().into(), None));
    }
    let schema = creation(bench, &range.relname)?;
    let at = usize::try_from(range.location).map_err(|_| unplaced(&range.relname))?;
    Ok((schema.clone(), Some(Made { schema, at })))
}

/// Must its schema be written out?
pub(super) fn is_pinned(bench: Bench<'_>, range: &RangeVar) -> bool {
    range.schemaname.is_empty() && matches!(bench.names.named(None, &range.relname), Named::Pinned(_))
}

/// The relation that a name means, as far as that is known.
pub(super) fn meant<'a>(bench: Bench<'a>, range: &RangeVar) -> Option<&'a Relation> {
    let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
    match bench.names.named(schema, &range.relname) {
        Named::One(relation) | Named::Pinned(relation) => Some(relation),
        Named::Harmless | Named::Ambiguous | Named::NotOnPath | Named::PerhapsTemporary | Named::Missing => {
            None
        }
    }
}

/// The same name with the schema of the relation that it means.
pub(super) fn settled(bench: Bench<'_>, range: &RangeVar) -> RangeVar {
    let schema = meant(bench, range).map(|relation| relation.name.schema.to_string());
    RangeVar { schemaname: schema.unwrap_or_else(|| range.schemaname.clone()), ..range.clone() }
}

fn unplaced(name: &str) -> Unproven {
    refuse(
        "relation-ambiguous",
        format!("in which schema \"{name}\" would be made is the search path's to say"),
        "Write schema.table.",
    )
}
