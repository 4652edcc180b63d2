//! Which objects of a database are not on the list of the server's own harmless ones
//! ([`crate::catalog::Codes`]), and where relations and stored expressions use those of them that
//! `pg_depend` does not tell of, since nobody can drop what came with the server.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::classified::qualified;
use super::closure::{Kind, Object, Use};
use super::load::{COLUMNS_MAX, FUNCTIONS_MAX, LoadError, RELATIONS_MAX, Reader, value};
use crate::catalog::QualifiedName;
use crate::catalog::stock::{self, Stock};

/// First OID that is not PostgreSQL's own.
pub(super) const FIRST_NORMAL_OID: u32 = 16_384;
/// Objects of one kind that are not on the list.
const OBJECTS_MAX: usize = 200_000;

/// `text` (`pg_type.oid`).
const TEXT: u32 = 25;

/// Functions that no text can call, since they take `internal`, and that the list therefore lacks: those
/// in C behind access methods, their operator classes and TABLESAMPLE, but for the libraries that come with the server.
const BEHIND_METHODS: &str = "p.oid >= 16384 AND 2281 = ANY (p.proargtypes) \
    AND (p.prorettype IN (325, 3310) OR p.oid IN (SELECT a.amproc FROM pg_catalog.pg_amproc a)) \
    AND coalesce(p.probin, '') NOT IN ('$libdir/bloom', '$libdir/btree_gin', '$libdir/btree_gist', '$libdir/citext', \
        '$libdir/cube', '$libdir/hstore', '$libdir/_int', '$libdir/isn', '$libdir/ltree', '$libdir/pg_trgm', \
        '$libdir/seg', '$libdir/tsm_system_rows', '$libdir/tsm_system_time')";

/// Types of the server of which no value is in an expression but by a column, a cast, a parameter or a
/// function of that type: bytea and its arrays. Where one is in play, code that takes it in place of
/// a type of its own counts.
pub(super) const TELLING: [u32; 2] = [17, 1001];

/// System relations that hold values of columns: pg_statistic and pg_statistic_ext_data.
pub(super) const STATISTICS: [u32; 2] = [2619, 3429];

/// A function, aggregate or procedure that is not on the list.
pub(super) struct Function {
    pub(super) oid: u32,
    pub(super) name: QualifiedName,
    /// As the policy's `vouch` has it: `schema.name(types)`.
    pub(super) signature: String,
    /// `extension:name`, where it belongs to one.
    pub(super) extension: Option<String>,
    pub(super) language: String,
    /// It only tells of the server's state: what it is given it neither runs nor stores.
    pub(super) only_tells: bool,
    /// Types of its arguments, the last ones with defaults.
    arguments: Vec<u32>,
    defaults: usize,
    is_variadic: bool,
    /// It has one argument of a row's type, or of any.
    takes_row: bool,
}

/// An operator that is not on the list.
pub(super) struct Operator {
    pub(super) oid: u32,
    pub(super) name: QualifiedName,
    /// Its function.
    pub(super) calls: u32,
    arguments: Vec<u32>,
}

/// A type that is not on the list, but for the row types of relations and their arrays.
pub(super) struct OwnType {
    pub(super) name: QualifiedName,
    /// `pg_type.typtype`.
    kind: String,
    /// Of an array, its elements' type.
    element: u32,
    /// It has no kinship with text.
    apart: bool,
    /// The server's own types of which it takes values unasked, by implicit casts.
    sources: Vec<u32>,
    /// Of a domain.
    base: u32,
    /// `extension:name`, where it belongs to one.
    pub(super) extension: Option<String>,
}

/// A use of a stock object that is not harmless, by something that is stored.
pub(super) struct Pinned {
    pub(super) object: Object,
    pub(super) using: Use,
    /// It reads the statistics of columns.
    pub(super) statistics: bool,
    /// It calls a function that does more than to tell.
    pub(super) runs: bool,
}

/// What was not on the list at the last look, which is dear to find out anew: OIDs by kind.
#[derive(Default)]
pub struct Unlisted {
    /// [`unlisted_version`].
    version: String,
    oids: BTreeMap<String, Vec<u32>>,
}

/// Changes whenever the answer could: with a row of any of the catalogs that decide it.
async fn unlisted_version(reader: &Reader<'_>) -> Result<String, LoadError> {
    let sql = "SELECT coalesce(pg_catalog.string_agg(x.rows, ' ' ORDER BY x.number), '') FROM ( \
         SELECT y.number, count(*) || ':' || sum(hashint8extended(y.key::int8, y.version::text::int8)) FROM ( \
           SELECT 1, p.oid, p.xmin FROM pg_catalog.pg_proc p \
           UNION ALL SELECT 2, o.oid, o.xmin FROM pg_catalog.pg_operator o \
           UNION ALL SELECT 3, c.oid, c.xmin FROM pg_catalog.pg_cast c \
           UNION ALL SELECT 4, t.oid, t.xmin FROM pg_catalog.pg_type t WHERE t.typrelid = 0 AND t.typcategory <> 'A' \
           UNION ALL SELECT 5, e.oid, e.xmin FROM pg_catalog.pg_extension e \
           UNION ALL SELECT 6, a.aggfnoid::pg_catalog.oid, a.xmin FROM pg_catalog.pg_aggregate a \
           UNION ALL SELECT 7, k.oid, k.xmin FROM pg_catalog.pg_constraint k WHERE k.contypid <> 0 \
           UNION ALL SELECT 8, r.rngtypid, r.xmin FROM pg_catalog.pg_range r \
         ) y (number, key, version) GROUP BY y.number) x (number, rows)";
    let rows = reader.rows("catalogs", 1, sql, &[]).await?;
    rows.first().map_or_else(|| Err(LoadError::Unreadable("no version".to_owned())), |row| value(row, 0))
}

/// See the module's text.
pub(super) struct Strangers {
    pub(super) stock: Option<&'static Stock>,
    pub(super) everything: Option<String>,
    /// An event trigger calls one of these functions.
    pub(super) by_events: bool,
    pub(super) functions: BTreeMap<u32, Function>,
    pub(super) operators: BTreeMap<u32, Operator>,
    pub(super) types: BTreeMap<u32, OwnType>,
    pub(super) pinned: Vec<Pinned>,
    /// Foreign tables, tables of other access methods.
    pub(super) relations: Vec<(u32, String)>,
    /// Trigger, its table, its function: of those whose function came with the server.
    pub(super) stock_triggers: Vec<(u32, u32)>,
}

impl Strangers {
    pub(super) async fn read(reader: &Reader<'_>, kept: &mut Unlisted) -> Result<Strangers, LoadError> {
        let stock = Stock::of(reader.major().await?);
        let mut all = Strangers {
            stock,
            everything: None,
            by_events: false,
            functions: BTreeMap::new(),
            operators: BTreeMap::new(),
            types: BTreeMap::new(),
            pinned: Vec::new(),
            relations: Vec::new(),
            stock_triggers: Vec::new(),
        };
        let version = unlisted_version(reader).await?;
        if kept.version != version {
            *kept = Unlisted { version, oids: all.unlisted(reader).await? };
        }
        let of = |kind: &str| kept.oids.get(kind).map_or(&[][..], Vec::as_slice);
        all.read_types(reader, of("type")).await?;
        all.read_functions(reader, of("function")).await?;
        all.read_operators(reader, of("operator")).await?;
        all.read_globals(reader, of("cast")).await?;
        all.read_relations(reader).await?;
        all.read_pinned(reader).await?;
        Ok(all)
    }

    /// What is not on the list, by kind: OIDs.
    async fn unlisted(&self, reader: &Reader<'_>) -> Result<BTreeMap<String, Vec<u32>>, LoadError> {
        let known: Vec<&[u8]> =
            self.stock.map_or(&[][..], Stock::every_digest).iter().map(<[u8; 16]>::as_slice).collect();
        let sql = format!(
            "SELECT c.kind, c.oid FROM ({}) c \
             WHERE c.digest NOT IN (SELECT k.digest FROM pg_catalog.unnest($1) k (digest)) ORDER BY c.kind, c.oid",
            stock::CANONICAL
        );
        let mut unlisted: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for row in &reader.rows("objects", OBJECTS_MAX, &sql, &[(&known, Type::BYTEA_ARRAY)]).await? {
            unlisted.entry(value::<&str>(row, 0)?.to_owned()).or_default().push(value(row, 1)?);
        }
        Ok(unlisted)
    }

    async fn read_types(&mut self, reader: &Reader<'_>, oids: &[u32]) -> Result<(), LoadError> {
        let sql = format!(
            "SELECT t.oid, n.nspname::pg_catalog.text, t.typname::pg_catalog.text, t.typtype::pg_catalog.text, \
                    CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, t.typbasetype, \
                    t.typtype IN ('b','e','r','m') AND t.typcategory <> 'S' AND NOT t.typispreferred, \
                    ARRAY(SELECT k.castsource FROM pg_catalog.pg_cast k \
                          WHERE k.casttarget = t.oid AND k.castcontext = 'i' AND k.castsource < {FIRST_NORMAL_OID} ORDER BY 1), \
                    x.extname::pg_catalog.text \
             FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace {} \
             WHERE t.oid = ANY ($1) AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relkind <> 'c' \
                 AND c.oid IN (t.typrelid, (SELECT e.typrelid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem))) \
             ORDER BY t.oid",
            extension_of(1247, "t")
        );
        for row in &reader.rows("types", OBJECTS_MAX, &sql, &[(&oids, Type::OID_ARRAY)]).await? {
            self.types.insert(
                value(row, 0)?,
                OwnType {
                    name: qualified(value(row, 1)?, value(row, 2)?),
                    kind: value::<&str>(row, 3)?.to_owned(),
                    element: value(row, 4)?,
                    base: value(row, 5)?,
                    apart: value(row, 6)?,
                    sources: value(row, 7)?,
                    extension: value::<Option<&str>>(row, 8)?.map(|name| format!("extension:{name}")),
                },
            );
        }
        Ok(())
    }

    async fn read_functions(&mut self, reader: &Reader<'_>, oids: &[u32]) -> Result<(), LoadError> {
        let sql = format!(
            "SELECT p.oid, n.nspname::pg_catalog.text, p.proname::pg_catalog.text, l.lanname::pg_catalog.text, \
                    p.proargtypes::pg_catalog.oid[], p.pronargdefaults::pg_catalog.int4, p.provariadic <> 0, \
                    EXISTS (SELECT FROM pg_catalog.unnest(p.proargtypes::pg_catalog.oid[]) a (oid) \
                            JOIN pg_catalog.pg_type t ON t.oid = a.oid WHERE t.typtype IN ('c','p','d')), \
                    x.extname::pg_catalog.text, \
                    n.nspname || '.' || p.proname || '(' || coalesce((SELECT pg_catalog.string_agg( \
                        pg_catalog.format_type(a.oid, NULL), ',' ORDER BY a.number) \
                        FROM pg_catalog.unnest(p.proargtypes::pg_catalog.oid[]) WITH ORDINALITY a (oid, number)), '') || ')', \
                    CASE WHEN l.lanname = 'internal' AND p.oid < 16384 THEN p.prosrc END \
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_catalog.pg_language l ON l.oid = p.prolang {} \
             WHERE p.oid = ANY ($1) OR {BEHIND_METHODS} \
             ORDER BY p.oid",
            extension_of(1255, "p")
        );
        for row in &reader.rows("functions", FUNCTIONS_MAX, &sql, &[(&oids, Type::OID_ARRAY)]).await? {
            let oid = value(row, 0)?;
            self.functions.insert(
                oid,
                Function {
                    oid,
                    name: qualified(value(row, 1)?, value(row, 2)?),
                    language: value::<&str>(row, 3)?.to_owned(),
                    arguments: value(row, 4)?,
                    defaults: usize::try_from(value::<i32>(row, 5)?).unwrap_or_default(),
                    is_variadic: value(row, 6)?,
                    takes_row: value(row, 7)?,
                    extension: value::<Option<&str>>(row, 8)?.map(|name| format!("extension:{name}")),
                    signature: value::<&str>(row, 9)?.to_owned(),
                    only_tells: value::<Option<&str>>(row, 10)?.is_some_and(only_tells),
                },
            );
        }
        Ok(())
    }

    async fn read_operators(&mut self, reader: &Reader<'_>, oids: &[u32]) -> Result<(), LoadError> {
        let sql = "SELECT o.oid, n.nspname::pg_catalog.text, o.oprname::pg_catalog.text, o.oprcode::pg_catalog.oid, \
                    o.oprleft, o.oprright \
             FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
             WHERE o.oid = ANY ($1) ORDER BY o.oid";
        for row in &reader.rows("operators", OBJECTS_MAX, sql, &[(&oids, Type::OID_ARRAY)]).await? {
            let oid = value(row, 0)?;
            let arguments = [value::<u32>(row, 4)?, value(row, 5)?];
            self.operators.insert(
                oid,
                Operator {
                    oid,
                    name: qualified(value(row, 1)?, value(row, 2)?),
                    calls: value(row, 3)?,
                    arguments: arguments.into_iter().filter(|of| *of != 0).collect(),
                },
            );
        }
        Ok(())
    }

    /// What any statement may run, whatever it names: casts between the server's own types, default
    /// operator classes for them, conversions between encodings, parsers and templates of text search.
    async fn read_globals(&mut self, reader: &Reader<'_>, casts: &[u32]) -> Result<(), LoadError> {
        if self.stock.is_none() {
            self.everything = Some("there is no list of this server's own harmless objects".to_owned());
            return Ok(());
        }
        let functions: Vec<u32> = self.functions.keys().copied().collect();
        let operators: Vec<u32> = self.operators.keys().copied().collect();
        let sql = format!(
            "SELECT x.what FROM ( \
               SELECT 'a cast from ' || k.castsource::pg_catalog.regtype || ' to ' || k.casttarget::pg_catalog.regtype \
                 FROM pg_catalog.pg_cast k \
                WHERE k.oid = ANY ($1) AND k.castsource < {FIRST_NORMAL_OID} AND k.casttarget < {FIRST_NORMAL_OID} \
               UNION ALL SELECT 'operator class ' || o.opcname FROM pg_catalog.pg_opclass o \
                WHERE o.oid >= {FIRST_NORMAL_OID} AND o.opcdefault AND o.opcintype < {FIRST_NORMAL_OID} AND ( \
                  EXISTS (SELECT FROM pg_catalog.pg_amproc a WHERE a.amprocfamily = o.opcfamily AND a.amproc::pg_catalog.oid = ANY ($2)) \
                  OR EXISTS (SELECT FROM pg_catalog.pg_amop a WHERE a.amopfamily = o.opcfamily AND a.amopopr = ANY ($3))) \
               UNION ALL SELECT 'operator family ' || a.amprocfamily::pg_catalog.text FROM pg_catalog.pg_amproc a \
                WHERE a.amprocfamily < {FIRST_NORMAL_OID} AND a.amproc::pg_catalog.oid = ANY ($2) \
                  AND a.amproclefttype < {FIRST_NORMAL_OID} AND a.amproc::pg_catalog.oid >= {FIRST_NORMAL_OID} \
               UNION ALL SELECT 'operator class ' || o.opcname FROM pg_catalog.pg_opclass o \
                WHERE o.oid >= {FIRST_NORMAL_OID} AND o.opcmethod IN (403, 405) \
                  AND EXISTS (SELECT FROM pg_catalog.pg_amop a WHERE a.amopfamily = o.opcfamily AND a.amopopr < {FIRST_NORMAL_OID}) \
                  AND EXISTS (SELECT FROM pg_catalog.pg_amproc a WHERE a.amprocfamily = o.opcfamily AND a.amproc::pg_catalog.oid = ANY ($2)) \
               UNION ALL SELECT 'conversion ' || v.conname FROM pg_catalog.pg_conversion v WHERE v.oid >= {FIRST_NORMAL_OID} \
               UNION ALL SELECT 'parser ' || s.prsname FROM pg_catalog.pg_ts_parser s WHERE s.oid >= {FIRST_NORMAL_OID} \
             ) x (what) ORDER BY 1"
        );
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&casts, Type::OID_ARRAY), (&functions, Type::OID_ARRAY), (&operators, Type::OID_ARRAY)];
        let rows = reader.rows("casts and operator classes", OBJECTS_MAX, &sql, &parameters).await?;
        let sql = "SELECT e.oid FROM pg_catalog.pg_event_trigger e \
             WHERE e.evtenabled <> 'D' AND e.evtfoid = ANY ($1) ORDER BY e.oid";
        let events =
            reader.rows("event triggers", OBJECTS_MAX, sql, &[(&functions, Type::OID_ARRAY)]).await?;
        self.by_events = !events.is_empty();
        if let Some(row) = rows.first() {
            self.everything = Some(format!("{}, which is not the server's own", value::<&str>(row, 0)?));
        }
        Ok(())
    }

    async fn read_relations(&mut self, reader: &Reader<'_>) -> Result<(), LoadError> {
        let sql = "SELECT c.oid, CASE WHEN c.relkind = 'f' THEN 'it is a foreign table' \
                          ELSE 'its access method is ' || a.amname END \
             FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam AND c.relkind IN ('r','p','m','t') \
             WHERE c.relkind = 'f' OR a.oid <> 2 ORDER BY 1";
        for row in &reader.rows("foreign tables", RELATIONS_MAX, sql, &[]).await? {
            self.relations.push((value(row, 0)?, value::<&str>(row, 1)?.to_owned()));
        }
        let sql = "SELECT t.tgrelid, t.tgfoid FROM pg_catalog.pg_trigger t \
             WHERE NOT t.tgisinternal AND t.tgfoid < 16384 ORDER BY t.oid";
        for row in &reader.rows("triggers", RELATIONS_MAX, sql, &[]).await? {
            self.stock_triggers.push((value(row, 0)?, value(row, 1)?));
        }
        Ok(())
    }

    /// Stored expressions that call what came with the server and is not harmless, or that read its
    /// statistics. They are looked for in the trees themselves: `funcid` and its like are followed
    /// by the OID of a function, `relid` by that of a relation (nodes/primnodes.h, parsenodes.h).
    async fn read_pinned(&mut self, reader: &Reader<'_>) -> Result<(), LoadError> {
        let functions: Vec<u32> = self.functions.range(..FIRST_NORMAL_OID).map(|(oid, _)| *oid).collect();
        let running = self.functions.range(..FIRST_NORMAL_OID).filter(|(_, one)| !one.only_tells);
        let running: Vec<u32> = running.map(|(oid, _)| *oid).collect();
        let statistics: Vec<u32> = STATISTICS.to_vec();
        let sql = "SELECT t.kind, t.owner, t.written, bool_or(m[1] = 'relid'), \
                    bool_or(m[1] <> 'relid' AND m[2]::pg_catalog.oid = ANY ($3)) FROM ( \
               SELECT 'c', r.ev_class, r.ev_type <> '1', r.ev_action::pg_catalog.text FROM pg_catalog.pg_rewrite r \
               UNION ALL SELECT 'c', d.adrelid, a.attgenerated <> 'v', d.adbin::pg_catalog.text \
                 FROM pg_catalog.pg_attrdef d \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
               UNION ALL SELECT CASE WHEN k.conrelid = 0 THEN 't' ELSE 'c' END, \
                      CASE WHEN k.conrelid = 0 THEN k.contypid ELSE k.conrelid END, true, k.conbin::pg_catalog.text \
                 FROM pg_catalog.pg_constraint k WHERE k.conbin IS NOT NULL \
               UNION ALL SELECT 'c', i.indrelid, true, concat(i.indexprs::pg_catalog.text, i.indpred::pg_catalog.text) \
                 FROM pg_catalog.pg_index i WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL \
               UNION ALL SELECT 'c', p.polrelid, false, concat(p.polqual::pg_catalog.text, p.polwithcheck::pg_catalog.text) \
                 FROM pg_catalog.pg_policy p \
               UNION ALL SELECT 'c', g.tgrelid, true, g.tgqual::pg_catalog.text FROM pg_catalog.pg_trigger g \
                 WHERE g.tgqual IS NOT NULL \
               UNION ALL SELECT 'f', f.oid, false, concat(f.prosqlbody::pg_catalog.text, f.proargdefaults::pg_catalog.text) \
                 FROM pg_catalog.pg_proc f WHERE f.oid >= 16384 AND (f.prosqlbody IS NOT NULL OR f.proargdefaults IS NOT NULL) \
             ) t (kind, owner, written, tree), \
             LATERAL pg_catalog.regexp_matches(t.tree, ':(funcid|opfuncid|aggfnoid|winfnoid|tsmhandler|relid) ([0-9]+)', 'g') m \
             WHERE CASE WHEN m[1] = 'relid' THEN m[2]::pg_catalog.oid = ANY ($2) ELSE m[2]::pg_catalog.oid = ANY ($1) END \
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&functions, Type::OID_ARRAY), (&statistics, Type::OID_ARRAY), (&running, Type::OID_ARRAY)];
        for row in &reader.rows("stored expressions", COLUMNS_MAX, sql, &parameters).await? {
            let kind = match value::<&str>(row, 0)? {
                "c" => Kind::Relation,
                "t" => Kind::Type,
                _ => Kind::Function,
            };
            let using = if value(row, 2)? { Use::Written } else { Use::Any };
            self.pinned.push(Pinned {
                object: (kind, value(row, 1)?),
                using,
                statistics: value(row, 3)?,
                runs: value(row, 4)?,
            });
        }
        Ok(())
    }

    /// Is a value of this type of no kin to the server's own types, but for those that become one by
    /// an implicit cast?
    fn is_apart(&self, of: u32) -> bool {
        self.types.get(&of).is_some_and(|own| {
            let element = self.types.get(&own.element);
            own.apart && (own.element == 0 || element.is_some_and(|element| element.apart))
        })
    }

    /// The server's own types of which these arguments take values, by implicit casts.
    fn sources(&self, arguments: &[u32]) -> impl Iterator<Item = u32> {
        arguments.iter().filter_map(|of| self.types.get(of)).flat_map(|own| &own.sources).copied()
    }

    /// Does the server take a function or an operator with these arguments only where a type that is
    /// not its own, or one that tells, is in play? (Chapter 10: a constant without a type is of the
    /// other operand's, or a string where that is possible.) Where text becomes such a type by itself
    /// its own must take text as it is, which goes before any cast. `counts`: of arguments.
    fn is_distant(
        &self,
        arguments: &[u32],
        name: &Arc<str>,
        mut counts: RangeInclusive<usize>,
        arities: &Arities,
    ) -> bool {
        let by_text = self.sources(arguments).any(|source| source == TEXT);
        arguments.iter().all(|of| self.is_apart(*of))
            && self.sources(arguments).all(|source| source == TEXT || TELLING.contains(&source))
            && counts.all(|count| {
                let known = (name.clone(), count);
                arities.any.contains(&known) && (!by_text || arities.of_text.contains(&known))
            })
    }

    /// Is an overload of it no rival of the server's own?
    pub(super) fn is_distant_function(&self, function: &Function, arities: &Arities) -> bool {
        let most = function.arguments.len();
        let least = most - function.defaults.min(most);
        // One without arguments is every call's rival.
        !function.is_variadic
            && least > 0
            && self.is_distant(&function.arguments, &function.name.name, least..=most, arities)
    }

    pub(super) fn is_distant_operator(&self, operator: &Operator, arities: &Arities) -> bool {
        let count = operator.arguments.len();
        self.is_distant(&operator.arguments, &operator.name.name, count..=count, arities)
    }

    /// Does a type that is not the server's own take values of one that tells?
    pub(super) fn takes_telling(&self) -> bool {
        self.types.values().flat_map(|own| &own.sources).any(|source| TELLING.contains(source))
    }

    pub(super) fn takes_row(function: &Function) -> bool {
        function.takes_row && function.arguments.len() - function.defaults.min(function.arguments.len()) <= 1
    }

    /// Does a type run code that is not the server's own, but for what reaches it?
    pub(super) fn runs_code(&self, of: u32) -> bool {
        let mut next = of;
        for _ in 0..32 {
            let Some(own) = self.types.get(&next) else { return false };
            next = match own.kind.as_str() {
                "e" | "c" | "p" => return false,
                "d" => own.base,
                "b" if own.element != 0 => own.element,
                _ => return true,
            };
        }
        true
    }

    /// Types that are followed by columns, not by tables: what a statement does not use of a table
    /// runs nothing.
    pub(super) fn by_columns(&self) -> BTreeSet<Object> {
        let of_values = |own: &&OwnType| matches!(own.kind.as_str(), "b" | "e" | "r" | "m");
        self.types.iter().filter(|(_, own)| of_values(own)).map(|(oid, _)| (Kind::Type, *oid)).collect()
    }
}

/// Beginnings of the C functions (`pg_proc.prosrc`) by which the server tells of its state: sessions,
/// statistics, settings, locks, logs, large objects. They read, and what they are given says of what.
const TELLS: [&str; 22] = [
    "pg_stat_",
    "pg_get_",
    "pg_show_",
    "show_all_",
    "pg_ls_",
    "pg_control_",
    "pg_timezone_",
    "pg_available_",
    "pg_lock_status",
    "pg_cursor",
    "pg_prepared_",
    "pg_config",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_mcv_list_items",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_sequence_",
    "pg_last_",
    "pg_blocking_pids",
    "be_lo_get",
    "be_loread",
];

fn only_tells(symbol: &str) -> bool {
    TELLS.iter().any(|beginning| symbol.starts_with(beginning))
}

/// Joins the extension `x` that an object of this catalog, by this alias, belongs to.
fn extension_of(class: u32, alias: &str) -> String {
    format!(
        "LEFT JOIN pg_catalog.pg_depend d ON d.classid = {class} AND d.objid = {alias}.oid AND d.deptype = 'e' \
         AND d.refclassid = 3079 LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid"
    )
}

/// The relations and columns that have one of these types.
pub(super) async fn own_columns(
    reader: &Reader<'_>,
    types: &[u32],
) -> Result<Vec<(QualifiedName, Arc<str>, u32)>, LoadError> {
    let rows = reader
        .rows(
            "columns of other types",
            COLUMNS_MAX,
            "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, a.attname::pg_catalog.text, a.atttypid \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE a.atttypid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m','f') \
             ORDER BY c.oid, a.attnum",
            &[(&types, Type::OID_ARRAY)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok((qualified(value(row, 0)?, value(row, 1)?), Arc::from(value::<&str>(row, 2)?), value(row, 3)?))
        })
        .collect()
}

/// A type that has values of another one in its own: an array, a composite or a row type, a range, a
/// domain.
pub(super) struct Holder {
    pub(super) oid: u32,
    pub(super) name: QualifiedName,
    pub(super) of: u32,
}

/// How deep types are made of types.
const HOLDERS_ROUNDS_MAX: usize = 32;

/// All types that have values of these, those of which they are made before them.
pub(super) async fn holders(reader: &Reader<'_>, types: &[u32]) -> Result<Vec<Holder>, LoadError> {
    let sql = "SELECT t.oid, n.nspname::pg_catalog.text, t.typname::pg_catalog.text, h.of FROM ( \
           SELECT a.oid, a.typelem FROM pg_catalog.pg_type a WHERE a.typelem = ANY ($1) \
           UNION SELECT d.oid, d.typbasetype FROM pg_catalog.pg_type d WHERE d.typbasetype = ANY ($1) \
           UNION SELECT r.rngtypid, r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngsubtype = ANY ($1) \
           UNION SELECT r.rngmultitypid, r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngsubtype = ANY ($1) \
           UNION SELECT c.reltype, a.atttypid FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             WHERE a.atttypid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0 \
         ) h (oid, of) JOIN pg_catalog.pg_type t ON t.oid = h.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace ORDER BY 1, 4";
    let mut known: BTreeSet<u32> = types.iter().copied().collect();
    let (mut all, mut next) = (Vec::new(), types.to_vec());
    for _ in 0..HOLDERS_ROUNDS_MAX {
        if next.is_empty() {
            return Ok(all);
        }
        let rows = reader.rows("types made of types", OBJECTS_MAX, sql, &[(&next, Type::OID_ARRAY)]).await?;
        next.clear();
        for row in &rows {
            let oid = value(row, 0)?;
            if known.insert(oid) {
                next.push(oid);
                let name = qualified(value(row, 1)?, value(row, 2)?);
                all.push(Holder { oid, name, of: value(row, 3)? });
            }
        }
    }
    Err(LoadError::Unreadable("types are made of types without an end".to_owned()))
}

/// Names of functions that make values of a type that tells: what they return, or one of their columns.
pub(super) async fn makers(reader: &Reader<'_>) -> Result<HashSet<Arc<str>>, LoadError> {
    let sql = "SELECT DISTINCT p.proname::pg_catalog.text FROM pg_catalog.pg_proc p \
         WHERE p.prorettype = ANY ($1) OR EXISTS ( \
           SELECT FROM ROWS FROM (pg_catalog.unnest(p.proallargtypes), pg_catalog.unnest(p.proargmodes)) a (oid, mode) \
           WHERE a.oid = ANY ($1) AND a.mode IN ('o', 'b', 't')) ORDER BY 1";
    let rows =
        reader.rows("functions", FUNCTIONS_MAX, sql, &[(&TELLING.as_slice(), Type::OID_ARRAY)]).await?;
    rows.iter().map(|row| Ok(Arc::from(value::<&str>(row, 0)?))).collect()
}

/// How many arguments the server's own functions or operators of a name take.
pub(super) struct Arities {
    any: HashSet<(Arc<str>, usize)>,
    /// Where all of them are text.
    of_text: HashSet<(Arc<str>, usize)>,
}

impl Arities {
    pub(super) async fn read(reader: &Reader<'_>, functions: bool) -> Result<Arities, LoadError> {
        let sql = if functions {
            "SELECT p.proname::pg_catalog.text, x.count, \
                    bool_or(x.count = p.pronargs AND p.proargtypes::pg_catalog.oid[] <@ '{25}') \
             FROM pg_catalog.pg_proc p, \
             LATERAL pg_catalog.generate_series((p.pronargs - p.pronargdefaults)::pg_catalog.int4, p.pronargs::pg_catalog.int4) x (count) \
             WHERE p.oid < 16384 GROUP BY 1, 2 ORDER BY 1, 2"
        } else {
            "SELECT o.oprname::pg_catalog.text, CASE WHEN o.oprleft = 0 THEN 1 ELSE 2 END, \
                    bool_or(o.oprleft IN (0, 25) AND o.oprright = 25) \
             FROM pg_catalog.pg_operator o WHERE o.oid < 16384 GROUP BY 1, 2 ORDER BY 1, 2"
        };
        let mut arities = Arities { any: HashSet::new(), of_text: HashSet::new() };
        for row in &reader.rows("functions", FUNCTIONS_MAX, sql, &[]).await? {
            let count = usize::try_from(value::<i32>(row, 1)?).unwrap_or(usize::MAX);
            let known: (Arc<str>, usize) = (Arc::from(value::<&str>(row, 0)?), count);
            if value(row, 2)? {
                arities.of_text.insert(known.clone());
            }
            arities.any.insert(known);
        }
        Ok(arities)
    }
}
