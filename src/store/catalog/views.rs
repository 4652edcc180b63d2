//! Views over sealed columns that only pass them on: each is a table with sealed columns then, by the
//! same rules that hold for the statements of clients. Of any other it is said why it is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::load::{COLUMNS_MAX, LoadError, RELATIONS_MAX, Reader, SOURCE_BYTES_MAX, value};
use crate::catalog::{
    Codes, Column, QualifiedName, Refused, Relation, RelationKind, Snapshot, SnapshotParts,
};
use crate::statement::{Passed, followed_view};

/// Views over views over views, at the most.
const LEVELS_MAX: usize = 32;

struct View {
    definition: Option<String>,
    /// Rules or triggers decide what becomes of its rows.
    acts: bool,
    columns: Vec<(Arc<str>, i16, u32, bool)>,
}

/// Gives the views among the relations of `parts` their fields, as far as they can be followed.
pub(super) async fn follow(reader: &Reader<'_>, parts: &mut SnapshotParts) -> Result<(), LoadError> {
    // Nobody else can use a temporary one.
    let candidate = |relation: &&Relation| {
        let temporary = relation.name.schema.starts_with("pg_temp");
        relation.kind == RelationKind::Other && relation.reaches.is_some() && !temporary
    };
    let oids: Vec<u32> = parts.relations.iter().filter(candidate).map(|relation| relation.oid).collect();
    if oids.is_empty() {
        return Ok(());
    }
    let mut views = read(reader, &oids).await?;
    for _ in 0..LEVELS_MAX {
        let snapshot = parts.so_far(Codes { stock: parts.codes.stock, ..Codes::default() });
        let mut followed = BTreeMap::new();
        for (oid, view) in &views {
            let Some(definition) = &view.definition else { continue };
            match followed_view(definition, &snapshot) {
                Ok(passed) if passed.columns.len() == view.columns.len() => {
                    followed.insert(*oid, Ok(passed));
                }
                Ok(_) => {}
                Err(unproven) => drop(followed.insert(*oid, Err(unproven.detail))),
            }
        }
        let before = views.len();
        for relation in &mut parts.relations {
            match followed.remove(&relation.oid) {
                Some(Ok(passed)) => {
                    if let Some(mut view) = views.remove(&relation.oid) {
                        let leads = |name: &QualifiedName| {
                            let mut codes = parts.codes.relations(Some(&name.schema), &name.name);
                            codes.any(|code| code.leads.is_some())
                        };
                        view.acts |= passed.relations.iter().any(leads);
                        become_table(relation, &view, &passed, &snapshot);
                    }
                }
                Some(Err(why)) => {
                    let because = relation.reaches.as_deref().unwrap_or_default();
                    let because =
                        because.split_once("; it is not followed: ").map_or(because, |(all, _)| all);
                    relation.reaches = Some(format!("{because}; it is not followed: {why}").into());
                }
                None => {}
            }
        }
        if views.is_empty() || views.len() == before {
            break;
        }
    }
    Ok(())
}

fn become_table(relation: &mut Relation, view: &View, passed: &Passed, snapshot: &Snapshot) {
    let column = |((name, number, type_oid, _), field): (&(Arc<str>, i16, u32, bool), &Option<_>)| Column {
        name: name.clone(),
        number: *number,
        type_oid: *type_oid,
        field: *field,
        fault: None,
        generated: false,
    };
    relation.columns = view.columns.iter().zip(&passed.columns).map(column).collect();
    relation.kind = RelationKind::View;
    relation.reaches = None;
    relation.behind.clone_from(&passed.behind);
    let defaults =
        view.columns.iter().zip(&passed.columns).any(|(column, field)| column.3 && field.is_some());
    let mut refused = Refused::default();
    if view.acts {
        let why =
            Some("rules or triggers, its own or those of a table behind it, decide what is written".into());
        refused = Refused { inserts: why.clone(), updates: why.clone(), deletes: why, ..refused };
    } else if defaults {
        refused.inserts = Some("a column of the view has a default".into());
    }
    for name in &passed.relations {
        let Some(base) = snapshot.relation(&name.schema, &name.name) else { continue };
        let Refused { inserts, updates, deletes, assigned, unfilled, awaits: _ } = &base.refused;
        // Which columns of it the view leaves out is not looked at.
        let fills = unfilled.values().next().cloned();
        refused.inserts = refused.inserts.or_else(|| inserts.clone()).or(fills);
        // Under which names the view shows those columns does not matter then.
        let assigns = assigned.values().next().cloned();
        refused.updates = refused.updates.or_else(|| updates.clone()).or(assigns);
        refused.deletes = refused.deletes.or_else(|| deletes.clone());
    }
    relation.refused = refused;
}

async fn read(reader: &Reader<'_>, oids: &[u32]) -> Result<BTreeMap<u32, View>, LoadError> {
    let sql = format!(
        "SELECT c.oid, CASE WHEN length(pg_catalog.pg_get_viewdef(c.oid)) <= {SOURCE_BYTES_MAX} \
                       THEN pg_catalog.pg_get_viewdef(c.oid) END, \
                EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid) OR \
                (SELECT count(*) FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid) > 1 \
         FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) AND c.relkind IN ('v','m') ORDER BY 1"
    );
    let rows = reader.rows("views", RELATIONS_MAX, &sql, &[(&oids, Type::OID_ARRAY)]).await?;
    let mut views = BTreeMap::new();
    for row in &rows {
        let definition: Option<&str> = value(row, 1)?;
        let view =
            View { definition: definition.map(str::to_owned), acts: value(row, 2)?, columns: Vec::new() };
        views.insert(value::<u32>(row, 0)?, view);
    }
    let rows = reader
        .rows(
            "columns of views",
            COLUMNS_MAX,
            "SELECT a.attrelid, a.attname::pg_catalog.text, a.attnum, a.atttypid, a.atthasdef \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1) AND a.attnum > 0 \
               AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    for row in &rows {
        if let Some(view) = views.get_mut(&value(row, 0)?) {
            view.columns.push((
                value::<&str>(row, 1)?.into(),
                value(row, 2)?,
                value(row, 3)?,
                value(row, 4)?,
            ));
        }
    }
    Ok(views)
}
