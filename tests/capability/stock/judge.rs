//! Decides which objects of a server are harmless: by what was reviewed, and by what each stands on.

use std::collections::{BTreeMap, BTreeSet};

use sealgate::catalog::stock::{CANONICAL, Grade, Kind};
use sealgate::store::postgres::Throwaway;

use super::review::{
    BARRED, BOUND_TO_THEIR_TYPE, CALLED_BY_THE_SERVER, COUNTERS, EFFECT, EXTENSIONS, Extension,
    INPUT_AND_OUTPUT, PURE,
};

/// SQL functions whose bodies are texts, with a schema before each name but their own and those of
/// operators whose arguments match exactly. Of others only those are listed whose bodies are stored
/// by OID.
const QUALIFIED_BODIES: &str = "_pg_expandarray anytextcat lo_oid quote_literal quote_nullable regexp_match \
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table replace split_part strpos \
    textanycat translate xpath_list xpath_nodeset";

/// An object as the canonical query has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Object {
    pub kind: Kind,
    /// Of a function: may be `aggregate`.
    pub word: &'static str,
    /// As in the list: arguments of `pg_catalog` go without it.
    pub identity: String,
    /// In hexadecimal.
    pub digest: String,
}

/// What is harmless on one server.
#[derive(Default, Debug)]
pub struct Judgement {
    pub listed: BTreeMap<Object, Grade>,
    /// Names of listed objects that an object of the server itself has which is not harmless.
    pub spoiled: BTreeSet<(Kind, String)>,
    /// Functions of the server that nobody has looked at.
    pub unreviewed: BTreeSet<String>,
}

struct Function {
    name: String,
    extension: Option<String>,
    language: String,
    is_immutable: bool,
    has_stored_body: bool,
    is_aggregate: bool,
    is_callable: bool,
    /// Of an aggregate: its functions.
    parts: Vec<u32>,
}

const FUNCTIONS: &str = "SELECT p.oid, p.proname, e.extname, l.lanname, p.provolatile = 'i', \
        p.prosqlbody IS NOT NULL, p.prokind = 'a', \
        NOT 'internal'::regtype::oid = ANY (p.proargtypes) AND p.prorettype <> 'event_trigger'::regtype, \
        concat_ws(' ', a.aggtransfn::oid, nullif(a.aggfinalfn::oid, 0), nullif(a.aggcombinefn::oid, 0), \
            nullif(a.aggserialfn::oid, 0), nullif(a.aggdeserialfn::oid, 0), nullif(a.aggmtransfn::oid, 0), \
            nullif(a.aggminvtransfn::oid, 0), nullif(a.aggmfinalfn::oid, 0)) \
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid \
    LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' \
    LEFT JOIN pg_extension e ON e.oid = d.refobjid";

const OPERATORS: &str = "SELECT o.oid, o.oprcode::oid, \
        concat_ws(' ', nullif(o.oprrest::oid, 0), nullif(o.oprjoin::oid, 0)) FROM pg_operator o";

const CASTS: &str = "SELECT c.oid, c.castsource, c.casttarget, nullif(c.castfunc, 0) FROM pg_cast c";

/// The functions of a type, those that only the server itself gives it, and the types that it is
/// made of. Row types count of the server's own catalogs, not of views.
const TYPES: &str = "SELECT t.oid, \
        concat_ws(' ', nullif(t.typinput::oid, 0), nullif(t.typoutput::oid, 0), nullif(t.typreceive::oid, 0), \
            nullif(t.typsend::oid, 0), nullif(t.typmodin::oid, 0), nullif(t.typmodout::oid, 0), \
            nullif(r.rngcanonical::oid, 0), nullif(r.rngsubdiff::oid, 0), \
            (SELECT string_agg(d.refobjid::text, ' ') FROM pg_constraint c JOIN pg_depend d \
                 ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid \
                AND d.refclassid = 'pg_proc'::regclass WHERE c.contypid = t.oid)), \
        concat_ws(' ', nullif(t.typanalyze::oid, 0), nullif(t.typsubscript::oid, 0)), \
        concat_ws(' ', nullif(t.typelem, 0), nullif(t.typbasetype, 0), r.rngsubtype, m.rngtypid, \
            (SELECT string_agg(a.atttypid::text, ' ') FROM pg_attribute a \
              WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)), \
        t.typtype <> 'c' OR t.typrelid < 16384 AND t.typnamespace = 'pg_catalog'::regnamespace \
            AND (SELECT c.relkind IN ('c', 'r') FROM pg_class c WHERE c.oid = t.typrelid) \
    FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN pg_range m ON m.rngmultitypid = t.oid";

type Row = Vec<Option<String>>;

fn text(row: &Row, column: usize) -> String {
    row[column].clone().unwrap_or_default()
}

fn number(row: &Row, column: usize) -> Option<u32> {
    row[column].as_deref().map(|text| text.parse().unwrap())
}

fn numbers(row: &Row, column: usize) -> Vec<u32> {
    text(row, column).split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn is_true(row: &Row, column: usize) -> bool {
    row[column].as_deref() == Some("t")
}

pub fn has(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|word| word == name)
}

/// An extension that was reviewed.
pub fn extension(name: &str) -> Option<&'static Extension> {
    EXTENSIONS.iter().find(|extension| extension.name == name)
}

struct Server {
    functions: BTreeMap<u32, Function>,
    operators: BTreeMap<u32, Row>,
    casts: BTreeMap<u32, Row>,
    types: BTreeMap<u32, Row>,
}

impl Server {
    fn read(server: &Throwaway, database: &str) -> Server {
        let rows = |sql: &str| {
            let rows = server.query(database, sql).unwrap();
            rows.into_iter().map(|row| (number(&row, 0).unwrap(), row)).collect::<BTreeMap<u32, Row>>()
        };
        let function = |row: &Row| Function {
            name: text(row, 1),
            extension: row[2].clone(),
            language: text(row, 3),
            is_immutable: is_true(row, 4),
            has_stored_body: is_true(row, 5),
            is_aggregate: is_true(row, 6),
            is_callable: is_true(row, 7),
            parts: numbers(row, 8),
        };
        Server {
            functions: rows(FUNCTIONS).iter().map(|(oid, row)| (*oid, function(row))).collect(),
            operators: rows(OPERATORS),
            casts: rows(CASTS),
            types: rows(TYPES),
        }
    }

    fn function(&self, oid: u32) -> Option<Grade> {
        let function = self.functions.get(&oid)?;
        if function.is_aggregate {
            let grades: Option<Vec<Grade>> = function.parts.iter().map(|part| self.function(*part)).collect();
            return grades?.into_iter().max();
        }
        let name = &*function.name;
        let (pure, effect, barred) = match &function.extension {
            None => (is_reviewed(name), has(EFFECT, name), is_barred(name)),
            Some(extension) => {
                let reviewed = self::extension(extension)?;
                (has(reviewed.pure, name), has(reviewed.effect, name), has(reviewed.barred, name))
            }
        };
        let is_sql = function.language == "sql";
        if barred || is_sql && !function.has_stored_body && !has(QUALIFIED_BODIES, name) {
            return None;
        }
        let is_native = matches!(&*function.language, "internal" | "c");
        match (effect, pure || is_native && function.is_immutable) {
            (true, _) => Some(Grade::Effect),
            (false, true) => Some(Grade::Pure),
            (false, false) => None,
        }
    }

    /// A function that no text can call, and that comes with the server or a reviewed extension.
    fn is_machinery(&self, oid: u32) -> bool {
        self.functions.get(&oid).is_some_and(|function| {
            let is_native = matches!(&*function.language, "internal" | "c");
            let is_ours = function.extension.as_deref().is_none_or(|name| extension(name).is_some());
            is_native && is_ours && !function.is_callable
        })
    }

    fn operator(&self, oid: u32) -> Option<Grade> {
        let row = self.operators.get(&oid)?;
        let estimators = numbers(row, 2);
        let grade = self.function(number(row, 1)?)?;
        estimators.iter().all(|function| self.is_machinery(*function)).then_some(grade)
    }

    fn cast(&self, oid: u32, types: &BTreeSet<u32>) -> Option<Grade> {
        let row = self.casts.get(&oid)?;
        let are_stock =
            [1, 2].iter().all(|&column| number(row, column).is_some_and(|oid| types.contains(&oid)));
        let grade = number(row, 3).map_or(Some(Grade::Pure), |function| self.function(function));
        grade.filter(|_| are_stock)
    }

    /// Harmless types, and those made of them alone.
    fn types(&self) -> BTreeSet<u32> {
        let fits = |row: &Row| {
            let own = numbers(row, 1).into_iter().all(|function| {
                let is_bound = self.functions.get(&function).is_some_and(|function| {
                    function.extension.is_none() && has(BOUND_TO_THEIR_TYPE, &function.name)
                });
                is_bound || self.function(function).is_some()
            });
            own && is_true(row, 4) && numbers(row, 2).into_iter().all(|oid| self.is_machinery(oid))
        };
        let mut found: BTreeSet<u32> =
            self.types.iter().filter(|(_, row)| fits(row)).map(|(oid, _)| *oid).collect();
        loop {
            let before = found.len();
            let whole = |oid: &u32| numbers(&self.types[oid], 3).iter().all(|part| found.contains(part));
            found = found.iter().copied().filter(|oid| whole(oid)).collect();
            if found.len() == before {
                return found;
            }
        }
    }
}

fn is_reviewed(name: &str) -> bool {
    [PURE, INPUT_AND_OUTPUT, COUNTERS, CALLED_BY_THE_SERVER].iter().any(|list| has(list, name))
}

fn is_barred(name: &str) -> bool {
    has(BOUND_TO_THEIR_TYPE, name) || BARRED.iter().any(|(_, list)| has(list, name))
}

/// Asks a server that holds nothing but stock objects.
pub fn judge(server: &Throwaway, database: &str) -> Judgement {
    let known = Server::read(server, database);
    let types = known.types();
    let mut judgement = Judgement::default();
    let mut refused = BTreeSet::new();
    let mut names = BTreeSet::new();
    for row in server.query(database, &format!("SET search_path = pg_catalog, pg_temp; {CANONICAL}")).unwrap()
    {
        let oid = number(&row, 0).unwrap();
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == text(&row, 1)).unwrap();
        let grade = match kind {
            Kind::Function => known.function(oid),
            Kind::Operator => known.operator(oid),
            Kind::Cast => known.cast(oid, &types),
            Kind::Type => types.contains(&oid).then_some(Grade::Pure),
        };
        let is_aggregate = kind == Kind::Function && known.functions[&oid].is_aggregate;
        let digest = text(&row, 4).trim_start_matches("\\x").to_owned();
        let is_digested = !digest.is_empty();
        let extension = row[5].as_deref();
        let own_name = (kind, text(&row, 3));
        if let Some(grade) =
            grade.filter(|_| is_digested && extension.is_none_or(|name| self::extension(name).is_some()))
        {
            let word = if is_aggregate { "aggregate" } else { kind.word() };
            let identity = short(kind, &text(&row, 6));
            judgement.listed.insert(Object { kind, word, identity, digest }, grade);
            names.insert(own_name);
        } else if extension.is_none() {
            refused.insert(own_name);
        }
    }
    judgement.spoiled = names.intersection(&refused).cloned().collect();
    for function in known.functions.values().filter(|function| function.is_callable && !function.is_aggregate)
    {
        let is_known =
            is_reviewed(&function.name) || has(EFFECT, &function.name) || is_barred(&function.name);
        let is_plain = function.is_immutable && function.language != "sql";
        if function.extension.is_none() && !is_plain && !is_known {
            judgement.unreviewed.insert(function.name.clone());
        }
    }
    judgement
}

/// `pg_catalog.lower(pg_catalog.text)` is `pg_catalog.lower(text)`.
fn short(kind: Kind, label: &str) -> String {
    let (head, tail) = match kind {
        Kind::Function | Kind::Operator => label.split_at(label.find('(').unwrap()),
        Kind::Cast => ("", label),
        Kind::Type => (label, ""),
    };
    format!("{head}{}", tail.replace("pg_catalog.", ""))
}
