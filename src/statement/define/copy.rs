//! COPY: which columns its data has, and how that is written.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{Column, Relation, RelationKind};
use crate::wire::charset::Coding;
use crate::wire::copy::{Csv, Format, Header, Layout};

use super::super::facts::{CopyFacts, Remedy, ResultColumn, StatementFacts, Unproven};
use super::super::follow::change::must_fill;
use super::super::follow::flow::Walk;
use super::super::follow::from::unfit;
use super::super::follow::scope::{Columns, Outputs, Place, fitting};
use super::super::judge::{account, facts_of};
use super::super::matters::{Bench, names_relation_that_matters};
use super::super::read::census::Census;
use super::super::read::literal::quoted_name;
use super::super::read::spelling::end_of_target;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::doors::refuse_server_files;

pub(in crate::statement) fn copied(
    bench: Bench<'_>,
    copy: &protobuf::CopyStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    refuse_server_files(copy)?;
    if !names_relation_that_matters(bench.names, found) {
        return Ok(StatementFacts::default());
    }
    let mut walk = Walk::new(bench, bench.reading.standard_conforming_strings);
    let Some(query) = copy.query.as_deref() else {
        return of_table(copy, found, walk, bench.reading.server_utf8);
    };
    walk.places = true;
    let outputs = walk.query(query)?;
    if !outputs.carries() {
        walk.settle_outputs(&outputs)?;
        account(&walk, found)?;
        return facts_of(walk);
    }
    if outputs.columns.iter().any(|output| output.place != Place::Sure) {
        return Err(refuse(
            "copy",
            "COPY of the columns of *, whose order the catalog alone tells",
            "List the columns instead of *.",
        ));
    }
    walk.emit(&outputs)?;
    account(&walk, found)?;
    let names = names_of(&outputs);
    let (format, coding) = format(copy, &names, bench.reading.server_utf8)?;
    let copied = CopyFacts { from: false, format, fields: Vec::new(), names, coding };
    Ok(StatementFacts { copy: Some(Arc::new(copied)), ..facts_of(walk)? })
}

fn names_of(outputs: &Outputs) -> Vec<Arc<str>> {
    outputs.columns.iter().map(|output| Arc::from(output.name.as_deref().unwrap_or_default())).collect()
}

fn of_table<'a>(
    copy: &'a protobuf::CopyStmt,
    found: &Census,
    mut walk: Walk<'a>,
    utf8: bool,
) -> Proven<StatementFacts> {
    let Some(range) = &copy.relation else { return Err(unsupported("this COPY")) };
    let source = walk.relation(range)?;
    let Columns::Table(relation) = &source.columns else {
        walk.scope.push(vec![source]);
        walk.predicate(copy.where_clause.as_deref())?;
        account(&walk, found)?;
        return facts_of(walk);
    };
    let relation: &Relation = relation;
    if copy.is_from
        && let Some(why) = &relation.refused.inserts
    {
        return Err(unfit(relation, why));
    }
    if copy.is_from && relation.kind != RelationKind::Table {
        return Err(refuse("copy", "COPY to a view of classified columns", "Copy to the table behind it."));
    }
    let columns = listed(copy, relation)?;
    if copy.is_from {
        // By the option DEFAULT a row can leave out what the list has.
        let marks = copy
            .options
            .iter()
            .any(|option| matches!(kind(option), Some(Kind::DefElem(option)) if option.defname == "default"));
        must_fill(&source, |name| !marks && columns.iter().any(|(given, _)| *given == name))?;
    }
    let known = || columns.iter().filter_map(|(_, column)| *column);
    known().try_for_each(|column| fitting(relation, column))?;
    let carries = known().any(|column| column.field.is_some());
    if carries && copy.attlist.is_empty() {
        // They are what was judged, whatever becomes of the table until it runs.
        let names: Vec<String> = known().map(|column| quoted_name(&column.name)).collect();
        let end = usize::try_from(range.location).ok().and_then(|at| end_of_target(walk.text, at));
        let end = end.ok_or_else(|| unsupported("a COPY whose table is not read"))?;
        walk.insertions.insert(end, format!(" ({})", names.join(", ")));
    }
    // Of a column that nobody knows the server says so, if the catalog is as it was read.
    let unknown = columns.iter().any(|(_, column)| column.is_none());
    walk.positional = carries && (copy.attlist.is_empty() || unknown);
    let names: Vec<Arc<str>> = columns.iter().map(|(name, _)| Arc::from(*name)).collect();
    let fields: Vec<_> = columns.iter().map(|(_, column)| column.and_then(|column| column.field)).collect();
    let touched = fields.iter().flatten().copied();
    let mut outputs = Vec::new();
    if copy.is_from {
        walk.writes.extend(touched);
    } else {
        walk.reads.extend(touched);
        outputs.extend(fields.iter().map(|field| field.map_or(ResultColumn::Plain, ResultColumn::Field)));
    }
    walk.outputs = outputs;
    walk.scope.push(vec![source.clone()]);
    walk.predicate(copy.where_clause.as_deref())?;
    account(&walk, found)?;
    let mut facts = facts_of(walk)?;
    if carries {
        let (format, coding) = format(copy, &names, utf8)?;
        facts.copy = Some(Arc::new(CopyFacts { from: copy.is_from, format, fields, names, coding }));
    }
    Ok(facts)
}

/// The name of a column, and what the catalog has of it.
type Listed<'a> = (&'a str, Option<&'a Column>);

/// The columns of the data, in its order.
fn listed<'a>(copy: &'a protobuf::CopyStmt, relation: &'a Relation) -> Proven<Vec<Listed<'a>>> {
    if copy.attlist.is_empty() {
        let stored = relation.columns.iter().filter(|column| !column.generated);
        return Ok(stored.map(|column| (&*column.name, Some(column))).collect());
    }
    let column = |node: &'a Node| {
        let name = tree::name(node).ok_or_else(|| unsupported("this list of columns"))?;
        Ok((name, relation.column(name)))
    };
    let columns = copy.attlist.iter().map(column).collect::<Proven<Vec<_>>>()?;
    if relation.refused.awaits && columns.iter().any(|(_, column)| column.is_none()) {
        return Err(unless(
            Remedy::Server,
            refuse(
                "column-unknown",
                format!("a column of the list is not a known one of {}", relation.name),
                "Check the names; Sealgate follows a change of the table within moments.",
            ),
        ));
    }
    Ok(columns)
}

// ---- how it is written --------------------------------------------------------------------

fn unread(option: &str) -> Unproven {
    refuse(
        "copy",
        format!("the option {option} of COPY, as it is written, is not followed for classified columns"),
        "Leave it out, or write it as the manual has it.",
    )
}

#[derive(Default)]
struct Options {
    csv: bool,
    binary: bool,
    delimiter: Option<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    null: Option<String>,
    default: Option<String>,
    header: Option<Header>,
    force_quote: Vec<bool>,
    force_null: Vec<bool>,
    force_not_null: Vec<bool>,
    coding: Option<Coding>,
}

fn format(copy: &protobuf::CopyStmt, names: &[Arc<str>], utf8: bool) -> Proven<(Format, Option<Coding>)> {
    let mut options = Options::default();
    for option in &copy.options {
        let Some(Kind::DefElem(option)) = kind(option) else { return Err(unsupported("this COPY")) };
        let arg = option.arg.as_deref();
        let unread = || unread(&option.defname);
        let string = || arg.and_then(tree::name).ok_or_else(unread);
        let byte = || match string()?.as_bytes() {
            [byte] if byte.is_ascii() => Ok(Some(*byte)),
            _ => Err(unread()),
        };
        match option.defname.as_str() {
            "format" => match string()? {
                "text" => {}
                "csv" => options.csv = true,
                "binary" => options.binary = true,
                _ => return Err(unread()),
            },
            "delimiter" => options.delimiter = byte()?,
            "quote" => options.quote = byte()?,
            "escape" => options.escape = byte()?,
            "null" => options.null = Some(string()?.to_owned()),
            "default" => options.default = Some(string()?.to_owned()),
            "header" => options.header = Some(header(arg).ok_or_else(unread)?),
            "force_quote" => options.force_quote = flags(arg, names).ok_or_else(unread)?,
            "force_null" => options.force_null = flags(arg, names).ok_or_else(unread)?,
            "force_not_null" => options.force_not_null = flags(arg, names).ok_or_else(unread)?,
            "encoding" => {
                let server = if utf8 { Coding::Utf8 } else { Coding::Other };
                options.coding = Coding::named(string()?).map(|coding| Coding::between(coding, server));
                if !matches!(options.coding, Some(Coding::Utf8 | Coding::One(_))) {
                    return Err(refuse(
                        "copy",
                        "ENCODING of COPY is one of which sealed text is not converted",
                        "Send and take the data in UTF8, or in an encoding of one byte a character.",
                    ));
                }
            }
            // What becomes of rows that do not fit, and how they are stored.
            "freeze" | "on_error" | "log_verbosity" | "reject_limit" => {}
            _ => return Err(unread()),
        }
    }
    let coding = options.coding;
    Ok((options.format(), coding))
}

impl Options {
    fn format(self) -> Format {
        let bytes = |text: Option<String>| text.map(|text| text.into_bytes().into_boxed_slice());
        let header = self.header.unwrap_or(Header::No);
        let layout = if self.binary {
            Layout::Binary
        } else if self.csv {
            let quote = self.quote.unwrap_or(b'"');
            Layout::Csv(Box::new(Csv {
                delimiter: self.delimiter.unwrap_or(b','),
                null: bytes(self.null).unwrap_or_default(),
                default: bytes(self.default),
                quote,
                escape: self.escape.unwrap_or(quote),
                force_quote: self.force_quote.into(),
                force_null: self.force_null.into(),
                force_not_null: self.force_not_null.into(),
            }))
        } else {
            Layout::Text {
                delimiter: self.delimiter.unwrap_or(b'\t'),
                null: bytes(self.null).unwrap_or_else(|| b"\\N".as_slice().into()),
                default: bytes(self.default),
            }
        };
        Format { layout, header }
    }
}

fn header(arg: Option<&Node>) -> Option<Header> {
    let Some(arg) = arg else { return Some(Header::Yes) };
    match kind(arg) {
        Some(Kind::Boolean(boolean)) => Some(if boolean.boolval { Header::Yes } else { Header::No }),
        Some(Kind::Integer(integer)) if integer.ival == 1 => Some(Header::Yes),
        Some(Kind::Integer(integer)) if integer.ival == 0 => Some(Header::No),
        Some(Kind::String(string)) => match string.sval.to_ascii_lowercase().as_str() {
            "true" | "on" => Some(Header::Yes),
            "false" | "off" => Some(Header::No),
            "match" => Some(Header::Match),
            _ => None,
        },
        Some(_) | None => None,
    }
}

/// Which columns of the data are named.
fn flags(arg: Option<&Node>, names: &[Arc<str>]) -> Option<Vec<bool>> {
    let list = match kind(arg?) {
        Some(Kind::AStar(_)) => return Some(vec![true; names.len()]),
        Some(Kind::List(list)) => list,
        Some(_) | None => return None,
    };
    let named: Vec<&str> = list.items.iter().map(tree::name).collect::<Option<_>>()?;
    if named.iter().any(|name| !names.iter().any(|known| **known == **name)) {
        return None;
    }
    Some(names.iter().map(|name| named.contains(&&**name)).collect())
}
