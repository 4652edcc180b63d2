//! DISTINCT and GROUP BY over columns that are sealed at random: two rows of them are never alike, but
//! where the key of their table stands beside them they are the same row, and its values with it.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use super::super::read::tree::{self, kind};
use super::flow::Walk;
use super::scope::{Columns, Outputs, Source};

/// The source that a column is of, by its place in FROM, and its name.
type Place = (usize, String);

impl Walk<'_> {
    /// What a plain name in the innermost query is a column of, if that is one table for sure.
    pub(in crate::statement) fn column_of(&self, node: &Node) -> Option<Place> {
        let Some(Kind::ColumnRef(column)) = kind(node) else { return None };
        let names: Vec<&str> = column.fields.iter().filter_map(tree::name).collect();
        let sources = self.scope.innermost();
        let index = match (names.len() == column.fields.len(), names.as_slice()) {
            (true, [alias, _]) => alone(sources, alias)?,
            (true, [_]) if sources.len() == 1 => 0,
            _ => return None,
        };
        let name = names.last()?;
        let Columns::Table(relation) = &sources.get(index)?.columns else { return None };
        relation.column(name).map(|column| (index, column.name.to_string()))
    }

    /// The same of each column of a list of targets. None: which they are is not sure.
    fn places(&self, targets: &[Node], outputs: &Outputs) -> Option<Vec<Option<Place>>> {
        let sources = self.scope.innermost();
        let mut places = Vec::with_capacity(outputs.columns.len());
        for target in targets {
            let Some(Kind::ResTarget(target)) = kind(target) else { return None };
            let value = target.val.as_deref()?;
            let starred = match kind(value) {
                Some(Kind::ColumnRef(column)) => stars(sources, column),
                Some(_) | None => None,
            };
            match starred {
                None => places.push(self.column_of(value)),
                Some(starred) => {
                    for index in starred {
                        let source = sources.get(index).filter(|source| !source.merged && !source.using)?;
                        let star = source.star().columns;
                        let is_table = matches!(source.columns, Columns::Table(_));
                        places.extend(
                            star.into_iter()
                                .map(|one| one.name.filter(|_| is_table).map(|name| (index, name))),
                        );
                    }
                }
            }
        }
        (places.len() == outputs.columns.len()).then_some(places)
    }

    /// Of these columns the sources of which a whole key is among them.
    fn keyed<'p>(&self, places: impl Iterator<Item = &'p Place>) -> BTreeSet<usize> {
        let mut named: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for (index, name) in places {
            named.entry(*index).or_default().insert(name);
        }
        let sources = self.scope.innermost();
        let whole = |index: &usize, names: &BTreeSet<&str>| {
            let Some(Source { columns: Columns::Table(relation), .. }) = sources.get(*index) else {
                return false;
            };
            relation.keys.iter().any(|key| key.iter().all(|column| names.contains(&**column)))
        };
        named.iter().filter(|(index, names)| whole(index, names)).map(|(index, _)| *index).collect()
    }

    /// Which outputs need not be told apart by DISTINCT, since the key of their table is among them.
    pub(in crate::statement) fn keyed_outputs(&self, targets: &[Node], outputs: &Outputs) -> Vec<bool> {
        let Some(places) = self.places(targets, outputs) else { return vec![false; outputs.columns.len()] };
        let keyed = self.keyed(places.iter().flatten());
        let is_keyed = |place: &Option<Place>| place.as_ref().is_some_and(|(index, _)| keyed.contains(index));
        places.iter().map(is_keyed).collect()
    }

    /// The same of the columns that GROUP BY names.
    pub(in crate::statement) fn keyed_nodes(&self, nodes: &[Node]) -> BTreeSet<usize> {
        let places: Vec<Place> = nodes.iter().filter_map(|node| self.column_of(node)).collect();
        self.keyed(places.iter())
    }
}

/// The one source of this alias.
fn alone(sources: &[Source<'_>], alias: &str) -> Option<usize> {
    let mut all = sources.iter().enumerate().filter(|(_, source)| source.alias == alias);
    let (index, _) = all.next()?;
    all.next().is_none().then_some(index)
}

/// The sources behind `*` or `alias.*`; none where it is neither.
fn stars(sources: &[Source<'_>], column: &protobuf::ColumnRef) -> Option<Vec<usize>> {
    let is_star = |node: &Node| matches!(kind(node), Some(Kind::AStar(_)));
    match column.fields.as_slice() {
        [star] if is_star(star) => Some((0..sources.len()).collect()),
        [alias, star] if is_star(star) => {
            Some(alone(sources, tree::name(alias).unwrap_or_default()).into_iter().collect())
        }
        _ => None,
    }
}
