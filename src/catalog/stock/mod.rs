//! PostgreSQL's own harmless objects: the functions, operators, casts and types of a stock server
//! and of its contrib extensions that run nothing which a statement does not show.
//!
//! A name alone says little: whoever may, replaces a function under its OID, or makes another of
//! the same name that is preferred. So the list holds a digest of all that decides what an object
//! does, which the server computes of its own rows ([`CANONICAL`]), and what is not on the list is
//! not harmless. `objects.txt` is written by `make stock`, and a test compares it with servers.
//!
//! Harmless means: whatever the arguments, it runs no SQL and looks up no type or name that it is
//! given to run what that stands for; it shows no rows, statistics of columns, WAL, files, large
//! objects or texts of others; it writes no files, opens no connections, loads no libraries and
//! changes no configuration. Three things are left to who asks:
//!
//! * What acts for any type (`array_out`, `record_eq`, `json_populate_record`) runs the functions
//!   of the type that it meets, and is as harmless as that type, parts of it included.
//! * A SQL function without a stored body (those of citext before version 1.8) finds its operators by
//!   the session's path: harmless where `pg_catalog` is first on it.
//! * Conversions and text search objects are not listed. Their functions take `internal`, so that
//!   only a superuser can make one that does something of its own. Operator classes neither: only a
//!   superuser makes one, and sorting and grouping count as naming `<`, `=` and `>`.
//!
//! Triggers of foreign keys are not on the list either, since they run SQL: what they do is in
//! `pg_constraint`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// All objects of a database that a text can name, those of users too, each with its digest, or an
/// empty one. Its columns: `oid oid, kind text, schema text, name text, digest bytea, extension
/// text, identity text`; schema is NULL for casts, extension for what belongs to none. Any role may
/// run it, with `search_path = pg_catalog, pg_temp`.
pub const CANONICAL: &str = include_str!("canonical.sql");

/// What takes away from the list: objects that are not on it and have a kind and name that is, and
/// casts that are not on it. `$1 bytea[]` is [`Stock::every_digest`], `$2 text[]` is kinds and names,
/// such as `function lower`: those of a statement, or [`Stock::every_name`]. The same columns as
/// [`CANONICAL`]. Subqueries are hashed in generic plans too, which `<> ALL` is not.
pub const SPOILERS: &str = concat!(
    "SELECT x.* FROM (",
    include_str!("canonical.sql"),
    ") x WHERE (x.kind = 'cast' OR x.kind || ' ' || x.name IN (SELECT pg_catalog.unnest($2::pg_catalog.text[]))) \
        AND x.digest NOT IN (SELECT pg_catalog.unnest($1::pg_catalog.bytea[]))"
);

const OBJECTS: &str = include_str!("objects.txt");

static STOCKS: LazyLock<BTreeMap<u32, Stock>> = LazyLock::new(|| read(OBJECTS));

/// Kinds of objects, as [`CANONICAL`] tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Functions, procedures, window functions and aggregates: one space of names.
    Function,
    Operator,
    Cast,
    Type,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Function, Kind::Operator, Kind::Cast, Kind::Type];

    /// As the column `kind` of [`CANONICAL`] has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Function => "function",
            Kind::Operator => "operator",
            Kind::Cast => "cast",
            Kind::Type => "type",
        }
    }

    fn named(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// How harmless.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Grade {
    /// Nothing of a call can be seen by others or later.
    Pure,
    /// Harmless in itself, but what it is given, or that it was called, can be seen by others or
    /// later: locks, notifications, settings, sequences, time.
    Effect,
}

impl Grade {
    /// As the list has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Grade::Pure => "pure",
            Grade::Effect => "effect",
        }
    }

    fn named(word: &str) -> Option<Grade> {
        [Grade::Pure, Grade::Effect].into_iter().find(|grade| grade.word() == word)
    }
}

/// Leading bytes of the SHA-256 of a canonical row.
pub type Digest = [u8; 16];

/// The harmless objects of one major version.
#[derive(Debug, Default)]
pub struct Stock {
    kinds: BTreeMap<Kind, Objects>,
    /// Of all kinds, sorted. A digest is of one kind only.
    every_digest: Vec<Digest>,
}

#[derive(Debug, Default)]
struct Objects {
    /// Sorted, and `grades` in the same order.
    digests: Vec<Digest>,
    grades: Vec<Grade>,
    names: BTreeMap<&'static str, Grade>,
}

impl Stock {
    /// Of a server of this major version; none of one that the list does not know.
    #[must_use]
    pub fn of(major: u32) -> Option<&'static Stock> {
        STOCKS.get(&major)
    }

    /// Sorted.
    #[must_use]
    pub fn digests(&self, kind: Kind) -> &[Digest] {
        self.kinds.get(&kind).map_or(&[], |objects| &objects.digests)
    }

    /// The digests of all kinds, sorted: a parameter of [`SPOILERS`].
    #[must_use]
    pub fn every_digest(&self) -> &[Digest] {
        &self.every_digest
    }

    /// None: the object is not on the list.
    #[must_use]
    pub fn grade(&self, kind: Kind, digest: &[u8]) -> Option<Grade> {
        let digest: Digest = digest.try_into().ok()?;
        let objects = self.kinds.get(&kind)?;
        let at = objects.digests.binary_search(&digest).ok()?;
        objects.grades.get(at).copied()
    }

    /// The names, without schema, that are harmless on a server with nothing added, and the gravest
    /// grade of the objects of each. On a real server [`SPOILERS`] takes some away. An array has no
    /// name here; a cast has one like `text -> int4`.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = (&'static str, Grade)> {
        let objects = self.kinds.get(&kind);
        objects.into_iter().flat_map(|objects| objects.names.iter().map(|(&name, &grade)| (name, grade)))
    }

    /// All names with the words of their kinds: a parameter of [`SPOILERS`].
    #[must_use]
    pub fn every_name(&self) -> Vec<String> {
        let names_of = |kind: Kind| self.names(kind).map(move |(name, _)| format!("{} {name}", kind.word()));
        Kind::ALL.into_iter().flat_map(names_of).collect()
    }

    /// The grade of one of [`Stock::names`].
    #[must_use]
    pub fn grade_of_name(&self, kind: Kind, name: &str) -> Option<Grade> {
        self.kinds.get(&kind)?.names.get(name).copied()
    }
}

/// Reads the list. A line that cannot be read lists nothing; a test shows that there is none.
fn read(text: &'static str) -> BTreeMap<u32, Stock> {
    let mut stocks: BTreeMap<u32, Stock> = BTreeMap::new();
    let mut listed: BTreeMap<(u32, Kind), BTreeMap<Digest, Grade>> = BTreeMap::new();
    for line in text.lines().filter_map(Line::read) {
        for &major in &line.majors {
            listed.entry((major, line.kind)).or_default().insert(line.digest, line.grade);
            let objects = stocks.entry(major).or_default().kinds.entry(line.kind).or_default();
            if let Some(name) = name_of(line.kind, line.identity) {
                let graver = objects.names.get(name).map_or(line.grade, |known| line.grade.max(*known));
                objects.names.insert(name, graver);
            }
        }
    }
    for ((major, kind), graded) in listed {
        let stock = stocks.entry(major).or_default();
        stock.every_digest.extend(graded.keys());
        stock.every_digest.sort_unstable();
        let objects = stock.kinds.entry(kind).or_default();
        (objects.digests, objects.grades) = graded.into_iter().unzip();
    }
    stocks
}

/// An object on the list.
#[derive(PartialEq, Eq, Debug)]
struct Line<'a> {
    digest: Digest,
    majors: Vec<u32>,
    kind: Kind,
    grade: Grade,
    identity: &'a str,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Line<'a>> {
        let mut words = line.splitn(5, ' ');
        let (first, second, third) = (words.next()?, words.next()?, words.next()?);
        let kind = if third == "aggregate" { Kind::Function } else { Kind::named(third)? };
        Some(Line {
            digest: digest(first)?,
            majors: majors(second)?,
            kind,
            grade: Grade::named(words.next()?)?,
            identity: words.next()?,
        })
    }
}

/// Sixteen bytes in lower-case hexadecimal.
fn digest(text: &str) -> Option<Digest> {
    let is_hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = text.len() == 32 && text.bytes().all(is_hexadecimal);
    let number = fits.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(number.to_be_bytes())
}

/// `15-18`, `16`, `15,17-18`, with an asterisk for what only earlier minor versions have.
fn majors(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.strip_suffix('*').unwrap_or(text).split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 99 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// The name in `schema.name(argument,...)`, `schema.name`; a cast's is the whole.
fn name_of(kind: Kind, identity: &str) -> Option<&str> {
    let (_, bare) = identity.split_once('.').unwrap_or(("", identity));
    match kind {
        Kind::Function | Kind::Operator => bare.split_once('(').map(|(name, _)| name),
        Kind::Cast => Some(identity),
        Kind::Type => (!bare.ends_with("[]")).then_some(bare),
    }
}

#[cfg(test)]
mod tests;
