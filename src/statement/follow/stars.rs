//! `*` of a classified table where the place of its columns decides what meets what: beside another query
//! (UNION), where they are stored (INSERT ... SELECT), and under the names that an alias gives them. It is written out then, so that what was judged
//! is what runs, whatever becomes of the table until then.

use pg_query::protobuf;

use super::super::read::literal::quoted_name;
use super::super::read::tree;
use super::flow::Walk;
use super::scope::{Columns, Output, Outputs, Place, Source};

impl Walk<'_> {
    /// The columns behind `*` or `alias.*`, which stands in the text as their list from now on. None where
    /// not all of them are known.
    pub(in crate::statement) fn written_out(&mut self, column: &protobuf::ColumnRef) -> Option<Outputs> {
        let at = usize::try_from(column.location).ok()?;
        let alias = match column.fields.as_slice() {
            [_] => None,
            [alias, _] => Some(tree::name(alias)?),
            _ => return None,
        };
        let of_star = |source: &&Source<'_>| alias.is_none_or(|alias| source.alias == alias);
        let sources: Vec<&Source<'_>> = self.scope.innermost().iter().filter(of_star).collect();
        if sources.is_empty() || alias.is_some() && sources.len() > 1 {
            return None;
        }
        let mut outputs = Outputs::default();
        let mut names = Vec::new();
        for source in sources {
            let Columns::Table(_) = &source.columns else { return None };
            if self.kept
                || source.merged
                || source.using
                || source.only_qualified
                || !source.hidden.is_empty()
            {
                return None;
            }
            for column in source.star().columns {
                let name = column.name.clone()?;
                names.push(format!("{}.{}", quoted_name(&source.alias), quoted_name(&name)));
                outputs.columns.push(Output { place: Place::Sure, ..column });
            }
        }
        let rest = self.text.get(at..)?;
        let prefix = match alias {
            None => 0,
            Some(_) => length_of_name(rest.as_bytes())? + 1,
        };
        let (before, star) = rest.split_at_checked(prefix)?;
        let stands = star.starts_with('*') && (alias.is_none() || before.ends_with('.'));
        if !stands || names.is_empty() {
            return None;
        }
        // The alias stands there already. The `*` itself becomes a comment.
        let list = names.join(", ");
        let list = if alias.is_some() { list.get(length_of_name(list.as_bytes())? + 1..)? } else { &list };
        self.insertions.insert(at + prefix, format!("{list} /*"));
        self.insertions.insert(at + prefix + 1, "*/".to_owned());
        self.positional = true;
        Some(outputs)
    }
}

impl<'a> Walk<'a> {
    /// The columns of a table of which an alias gives the names, in their order: the table stands in the text as
    /// a subquery with a list of them from now on. None where that cannot be written.
    pub(in crate::statement) fn in_order(
        &mut self,
        range: &protobuf::RangeVar,
        table: &Source<'a>,
    ) -> Option<Outputs> {
        let at = usize::try_from(range.location).ok().filter(|_| range.inh && !self.kept)?;
        let mut columns = table.star().columns;
        let names: Option<Vec<String>> =
            columns.iter().map(|column| column.name.as_deref().map(quoted_name)).collect();
        let names = names.filter(|names| !names.is_empty())?;
        let length = length_of_relation(self.text.get(at..)?, range)?;
        let schema = self.insertions.remove(&at).unwrap_or_default();
        self.insertions.insert(at, format!("(SELECT {} FROM {schema}", names.join(", ")));
        self.insertions.insert(at + length, ")".to_owned());
        self.positional = true;
        columns.iter_mut().for_each(|column| column.place = Place::Sure);
        Some(Outputs { columns })
    }
}

/// Bytes of a relation's name with its schema, where it is written plainly and its alias comes next.
fn length_of_relation(text: &str, range: &protobuf::RangeVar) -> Option<usize> {
    let parts = [&range.catalogname, &range.schemaname, &range.relname];
    let mut at = 0;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if at > 0 {
            at += text.get(at..)?.starts_with('.').then_some(1)?;
        }
        let rest = text.get(at..)?;
        let written = rest.get(..length_of_name(rest.as_bytes())?)?;
        let inner = written.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
        let meant = inner.map_or_else(|| written.to_ascii_lowercase(), |inner| inner.replace("\"\"", "\""));
        (meant == *part).then_some(())?;
        at += written.len();
    }
    let next = text.get(at..)?;
    let alias = next.trim_start();
    let begins = alias.starts_with(|letter: char| letter == '"' || letter == '_' || letter.is_alphabetic());
    (begins && (alias.len() < next.len() || alias.starts_with('"'))).then_some(at)
}

/// Bytes of a name, with its quotes.
fn length_of_name(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_$".contains(byte) || *byte >= 0x80;
        return Some(text.iter().take_while(|byte| is_of_name(byte)).count()).filter(|length| *length > 0);
    }
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b'"')? + 1;
        if text.get(at) != Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}
