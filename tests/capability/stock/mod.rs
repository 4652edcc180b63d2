//! The list of PostgreSQL's own harmless objects: how it is made, that it is what servers have, and
//! that whatever is changed or added shows.

mod judge;
mod list;
mod review;

use std::collections::BTreeSet;
use std::fs;

use sealgate::catalog::stock::{CANONICAL, Grade, Kind, SPOILERS, Stock};
use sealgate::store::postgres::{Options, Throwaway, User};

use crate::harness::{Session, VERSIONS, pg_with};
use list::{List, PATH, earlier, install, install_earlier, source};
use review::{BARRED, BOUND_TO_THEIR_TYPE, EFFECT, EXTENSIONS};

/// With this in the environment, the servers that are found are of earlier minor versions, and what
/// they have is added.
const ARE_EARLIER: &str = "SEALGATE_STOCK_EARLIER";

#[test]
#[ignore = "writes the list: make stock"]
fn write_the_list() {
    let mut list = fs::read_to_string(PATH).map(|text| List::read(&text)).unwrap_or_default();
    for source in (15..=30).filter_map(source) {
        let major = source.major;
        eprintln!("{major}: {} objects of {}", source.judgement.listed.len(), source.version);
        if std::env::var_os(ARE_EARLIER).is_some() {
            list.add_earlier(major, source.judgement.listed);
        } else {
            list.take(source);
        }
        list.add_earlier(major, earlier(major));
    }
    fs::write(PATH, list.to_string()).unwrap();
}

#[test]
fn the_list_is_what_servers_have_heavy() {
    let text = fs::read_to_string(PATH).unwrap();
    let list = List::read(&text);
    assert_eq!(list.to_string(), text, "the file is not as `make stock` writes it");
    for major in VERSIONS {
        let source = source(major).unwrap();
        let (found, listed) = (source.judgement.listed, list.of(major, &source.extensions));
        let gone: Vec<_> = listed.iter().filter(|(object, _)| !found.contains_key(object)).collect();
        let new: Vec<_> = found.iter().filter(|(object, _)| !listed.contains_key(object)).collect();
        assert!(gone.is_empty() && new.is_empty(), "{major}: run `make stock`\ngone {gone:#?}\nnew {new:#?}");
        assert_eq!(found, listed, "{major}: grades");
    }
}

const LOW: &str = "low";

/// A server with the contrib extensions that it has, and an account without any privilege.
fn stocked(major: u32) -> Throwaway {
    let low = User { name: LOW.into(), password: None, attributes: String::new() };
    let server = pg_with(Options { major: Some(major), users: vec![low], ..Options::default() });
    install(&server, "postgres");
    server
}

const PATH_OF_SERVICE: &str = "SET search_path = pg_catalog, pg_temp";

/// What takes away from the list, in words.
fn spoilers(session: &Session, major: u32) -> BTreeSet<String> {
    let stock = Stock::of(major).unwrap();
    let digests: Vec<&[u8]> = stock.every_digest().iter().map(|digest| &digest[..]).collect();
    let rows = session.rows(SPOILERS, &[&digests, &stock.every_name()]).unwrap();
    let words = |row: &tokio_postgres::Row| {
        format!("{} {}", row.get::<_, &str>("kind"), row.get::<_, &str>("identity"))
    };
    rows.iter().map(words).collect()
}

/// Each of these alone, and what it adds to the spoilers.
const CHANGES: &[(&str, &[&str])] = &[
    (
        "CREATE OR REPLACE FUNCTION initcap(text) RETURNS text LANGUAGE internal IMMUTABLE STRICT AS 'upper'",
        &["function pg_catalog.initcap(pg_catalog.text)"],
    ),
    (
        "CREATE OR REPLACE FUNCTION lpad(text, int) RETURNS text LANGUAGE sql IMMUTABLE STRICT \
             RETURN lpad($1, $2, '-')",
        &["function pg_catalog.lpad(pg_catalog.text,pg_catalog.int4)"],
    ),
    (
        "ALTER FUNCTION query_to_xmlschema(text, bool, bool, text) RENAME TO upper",
        &["function pg_catalog.upper(pg_catalog.text,pg_catalog.bool,pg_catalog.bool,pg_catalog.text)"],
    ),
    ("ALTER FUNCTION ltrim(text) OWNER TO low", &["function pg_catalog.ltrim(pg_catalog.text)"]),
    ("ALTER FUNCTION btrim(text) SET work_mem = '1MB'", &["function pg_catalog.btrim(pg_catalog.text)"]),
    ("ALTER FUNCTION btrim(text) SECURITY DEFINER", &["function pg_catalog.btrim(pg_catalog.text)"]),
    // What stands on a function shows with it.
    (
        "ALTER FUNCTION path_sub_pt(path, point) STABLE",
        &[
            "function pg_catalog.path_sub_pt(pg_catalog.path,pg_catalog.point)",
            "operator pg_catalog.-(pg_catalog.path,pg_catalog.point)",
        ],
    ),
    (
        "ALTER FUNCTION numeric_poly_var_samp(internal) STABLE",
        &[
            "function pg_catalog.var_samp(pg_catalog.int2)",
            "function pg_catalog.var_samp(pg_catalog.int4)",
            "function pg_catalog.variance(pg_catalog.int2)",
            "function pg_catalog.variance(pg_catalog.int4)",
        ],
    ),
    (
        "ALTER FUNCTION money(int) VOLATILE",
        &["cast pg_catalog.int4 -> pg_catalog.money", "function pg_catalog.money(pg_catalog.int4)"],
    ),
    (
        "ALTER FUNCTION on_ppath(point, path) VOLATILE",
        &[
            "function pg_catalog.on_ppath(pg_catalog.point,pg_catalog.path)",
            "function pg_catalog.path_contain_pt(pg_catalog.path,pg_catalog.point)",
            "operator pg_catalog.<@(pg_catalog.point,pg_catalog.path)",
            "operator pg_catalog.@>(pg_catalog.path,pg_catalog.point)",
        ],
    ),
    (
        "CREATE FUNCTION public.estimate(internal, oid, internal, int4) RETURNS float8 LANGUAGE internal \
             AS 'eqsel'; ALTER OPERATOR ?#(path, path) SET (RESTRICT = public.estimate)",
        &["operator pg_catalog.?#(pg_catalog.path,pg_catalog.path)"],
    ),
    // What others make beside it.
    (
        "CREATE FUNCTION public.length(varchar) RETURNS int LANGUAGE sql RETURN 1",
        &["function public.length(character varying)"],
    ),
    (
        "CREATE OPERATOR public.|| (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
        &["operator public.||(integer,integer)"],
    ),
    (
        "CREATE FUNCTION public.step(text, text) RETURNS text LANGUAGE sql \
             RETURN query_to_xml($2, true, false, '')::text; \
         CREATE AGGREGATE public.min(text) (SFUNC = public.step, STYPE = text)",
        &["function public.min(text)"],
    ),
    (
        "CREATE OR REPLACE AGGREGATE pg_catalog.max(text) (SFUNC = text_smaller, STYPE = text)",
        &["function pg_catalog.max(pg_catalog.text)"],
    ),
    ("CREATE CAST (point AS text) WITH INOUT AS IMPLICIT", &["cast pg_catalog.point -> pg_catalog.text"]),
    ("CREATE DOMAIN public.int4 AS text", &["type public.int4"]),
    ("CREATE TABLE public.numeric (id int)", &["type public.\"numeric\""]),
    ("ALTER TYPE citext OWNER TO low", &["type @citext.citext"]),
    ("ALTER TYPE citext SET (RECEIVE = NONE)", &["type @citext.citext"]),
    (
        "CREATE FUNCTION public.strpos(text, citext) RETURNS int LANGUAGE sql RETURN 1; \
         ALTER EXTENSION citext ADD FUNCTION public.strpos(text, citext)",
        &["function @citext.strpos(pg_catalog.text,@citext.citext)"],
    ),
    (
        "ALTER EXTENSION citext DROP FUNCTION strpos(citext, citext)",
        &["function public.strpos(public.citext,public.citext)"],
    ),
    // What changes nothing.
    ("CREATE SCHEMA other; ALTER EXTENSION citext SET SCHEMA other", &[]),
    ("ALTER FUNCTION upper(text) COST 7", &[]),
    ("REVOKE ALL ON FUNCTION upper(text) FROM PUBLIC", &[]),
    ("CREATE FUNCTION public.nothing_like_it(int) RETURNS int LANGUAGE sql RETURN 1", &[]),
];

#[test]
fn whatever_is_changed_or_added_is_not_stock() {
    for major in VERSIONS {
        let server = stocked(major);
        let session = Session::open(server.address(), "postgres", None, "postgres").unwrap();
        session.text("SET search_path = pg_catalog, public").unwrap();
        let asked_as_low = |change: &str| {
            session.text("BEGIN").unwrap();
            if !change.is_empty() {
                session.text(change).unwrap_or_else(|error| panic!("{change}: {error:?}"));
            }
            session.text(&format!("{PATH_OF_SERVICE}; SET ROLE {LOW}")).unwrap();
            let found = spoilers(&session, major);
            session.text("ROLLBACK").unwrap();
            found
        };
        assert_eq!(asked_as_low(""), BTreeSet::new(), "{major} with nothing changed");
        for (change, expected) in CHANGES {
            let expected: BTreeSet<String> = expected.iter().map(|&identity| identity.to_owned()).collect();
            assert_eq!(asked_as_low(change), expected, "{major}: {change}");
        }
    }
}

#[test]
fn an_extension_is_stock_in_any_schema_and_made_by_any_role() {
    for major in VERSIONS {
        let low = User { name: LOW.into(), password: None, attributes: String::new() };
        let server = pg_with(Options { major: Some(major), users: vec![low], ..Options::default() });
        server.execute("postgres", "CREATE DATABASE \"Ada's\" OWNER low").unwrap();
        let session = Session::open(server.address(), LOW, None, "Ada's").unwrap();
        for (number, schema) in ["plain", "\"a.b|c\"", "\"Ä ((\""].into_iter().enumerate() {
            let make = format!(
                "CREATE SCHEMA {schema}; CREATE EXTENSION citext SCHEMA {schema}; CREATE EXTENSION hstore \
                 SCHEMA {schema}; CREATE EXTENSION cube SCHEMA {schema}"
            );
            session.text(&make).unwrap();
            session.text(PATH_OF_SERVICE).unwrap();
            assert_eq!(spoilers(&session, major), BTreeSet::new(), "{major}: {schema}");
            session.text("RESET search_path; DROP EXTENSION citext, hstore, cube").unwrap();
            // This one has bodies, and a domain, that name objects of another.
            let database = format!("apart_{number}");
            server.create_database(&database).unwrap();
            let make = format!(
                "CREATE SCHEMA {schema}; CREATE EXTENSION cube SCHEMA {schema}; CREATE SCHEMA \"B-b\"; \
                 CREATE EXTENSION earthdistance SCHEMA \"B-b\""
            );
            server.execute(&database, &make).unwrap();
            let apart = Session::open(server.address(), LOW, None, &database).unwrap();
            apart.text(PATH_OF_SERVICE).unwrap();
            let mut found = spoilers(&apart, major);
            found.retain(|words| major != 15 || !words.contains("@earthdistance."));
            assert_eq!(found, BTreeSet::new(), "{major}: cube in {schema}");
        }
    }
}

#[test]
fn an_extension_that_nobody_updated_is_stock() {
    for major in VERSIONS {
        let low = User { name: LOW.into(), password: None, attributes: String::new() };
        let server = pg_with(Options { major: Some(major), users: vec![low], ..Options::default() });
        assert!(install_earlier(&server, "postgres", 0) > 5);
        let session = Session::open(server.address(), LOW, None, "postgres").unwrap();
        session.text(PATH_OF_SERVICE).unwrap();
        let mut found = spoilers(&session, major);
        // Its bodies find what they name by the session's path.
        found.retain(|words| !words.contains("@earthdistance."));
        assert_eq!(found, BTreeSet::new(), "{major}");
    }
}

#[test]
fn databases_of_other_encodings_have_the_same_digests() {
    for major in VERSIONS {
        let server = stocked(major);
        for encoding in ["SQL_ASCII", "LATIN1", "EUC_JP"] {
            let make =
                format!("CREATE DATABASE {encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
            server.execute("postgres", &make).unwrap();
            let session = Session::open(server.address(), LOW, None, &encoding.to_lowercase()).unwrap();
            session.text(PATH_OF_SERVICE).unwrap();
            assert_eq!(spoilers(&session, major), BTreeSet::new(), "{major}: {encoding}");
        }
    }
}

/// Names that run, read or change what a statement does not show, in any version.
const HARMFUL: &str = "amvalidate array_in binary_upgrade_set_next_pg_type_oid brin_summarize_new_values \
    brin_summarize_range bt_index_check bt_page_items connectby crosstab crosstab2 cursor_to_xml \
    cursor_to_xmlschema database_to_xml dblink dblink_exec domain_in fmgr_sql_validator get_raw_page \
    gin_clean_pending_list heap_force_kill lo_export lo_get lo_import lo_manage loread moddatetime \
    multirange_in pg_backup_start pg_buffercache_pages pg_clear_attribute_stats \
    pg_create_logical_replication_slot pg_current_logfile pg_cursor pg_file_write \
    pg_get_backend_memory_contexts pg_get_wal_records_info pg_hba_file_rules pg_ident_file_mappings \
    pg_input_error_info pg_input_is_valid pg_jit_available pg_log_backend_memory_contexts \
    pg_logical_slot_get_changes pg_logical_slot_peek_changes pg_ls_dir pg_ls_waldir pg_mcv_list_items \
    pg_prepared_statement pg_prewarm pg_promote pg_read_binary_file pg_read_file pg_reload_conf \
    pg_restore_attribute_stats pg_restore_relation_stats pg_rotate_logfile pg_show_all_file_settings \
    pg_stat_file pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_wal_receiver \
    pg_stat_statements pg_switch_wal pg_wal_summary_contents pgrowlocks pgstattuple plpgsql_call_handler \
    postgres_fdw_get_connections query_to_xml query_to_xml_and_xmlschema query_to_xmlschema range_in \
    record_in satisfies_hash_partition schema_to_xml table_to_xml ts_rewrite ts_stat \
    tsvector_update_trigger xpath_table xslt_process";

/// Names that drivers, ORMs, psql, pg_dump, pgAdmin and applications live on.
const HARMLESS: &str = "abs age array_agg array_length array_position array_to_json array_to_string avg \
    bool_and btrim cardinality char_length chr clock_timestamp col_description concat \
    concat_ws convert_from convert_to count current_database current_schema current_schemas current_setting \
    currval date_part date_trunc digest encode enum_range extract format format_type gen_random_uuid \
    generate_series generate_subscripts getdatabaseencoding has_column_privilege has_schema_privilege \
    has_table_privilege hstore inet_client_addr initcap json_agg json_build_object json_object_agg \
    jsonb_array_elements jsonb_build_object jsonb_path_query jsonb_populate_record jsonb_set lag lastval left \
    length levenshtein lower lpad ltrim make_date make_interval max md5 min mode now \
    obj_description octet_length overlay pg_advisory_lock pg_advisory_xact_lock pg_backend_pid \
    pg_cancel_backend pg_client_encoding pg_collation_is_visible pg_column_size pg_current_wal_lsn \
    pg_database_size pg_encoding_to_char pg_function_is_visible pg_get_constraintdef pg_get_expr \
    pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result pg_get_functiondef \
    pg_get_indexdef pg_get_keywords pg_get_partkeydef pg_get_ruledef pg_get_serial_sequence \
    pg_get_statisticsobjdef pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_is_in_recovery \
    pg_is_other_temp_schema pg_lock_status pg_my_temp_schema pg_notify pg_options_to_table pg_partition_tree \
    pg_postmaster_start_time pg_prepared_xact pg_relation_filenode pg_relation_size pg_sequence_parameters \
    pg_show_all_settings pg_size_pretty pg_sleep pg_stat_get_numscans pg_table_is_visible pg_table_size \
    pg_tablespace_location pg_terminate_backend pg_timezone_names pg_total_relation_size \
    pg_try_advisory_lock pg_type_is_visible pg_typeof plainto_tsquery quote_ident quote_literal random rank \
    regexp_match regexp_replace regexp_split_to_table repeat replace reverse right round row_number \
    row_to_json rtrim set_config setval nextval sha256 shobj_description similarity split_part starts_with \
    statement_timestamp string_agg string_to_array strpos substr substring sum timezone to_char to_date \
    to_json to_jsonb to_number to_regclass to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp \
    translate trunc ts_headline ts_rank txid_current unaccent unnest upper uuid_generate_v4 version \
    websearch_to_tsquery width_bucket xpath _pg_expandarray _pg_truetypid bit_length overlaps";

#[test]
fn names_are_listed_or_not_as_reviewed() {
    for major in 15..=18 {
        let stock = Stock::of(major).unwrap();
        let grade = |name: &str| stock.grade_of_name(Kind::Function, name);
        let barred = BARRED.iter().map(|(_, names)| *names).chain([BOUND_TO_THEIR_TYPE, HARMFUL]);
        let barred = barred.chain(EXTENSIONS.iter().map(|extension| extension.barred));
        for name in barred.flat_map(str::split_whitespace) {
            assert_eq!(grade(name), None, "{major}: {name} is harmful");
        }
        for name in HARMLESS.split_whitespace() {
            assert!(grade(name).is_some(), "{major}: {name} is missing");
        }
        for name in EFFECT.split_whitespace().filter(|name| grade(name).is_some()) {
            assert_eq!(grade(name), Some(Grade::Effect), "{major}: {name}");
        }
        for name in ["pg_notify", "set_config", "nextval", "setval", "pg_advisory_lock", "pg_sleep", "lo_put"]
        {
            assert_eq!(grade(name), Some(Grade::Effect), "{major}: {name}");
        }
        for name in ["now", "random", "lower", "count", "currval", "current_setting"] {
            assert_eq!(grade(name), Some(Grade::Pure), "{major}: {name}");
        }
        for name in ["=", "<>", "<", "||", "~~", "~~*", "~", "->", "->>", "@>", "&&", "%", "@@", "<->", "?"] {
            assert_eq!(stock.grade_of_name(Kind::Operator, name), Some(Grade::Pure), "{major}: {name}");
        }
        for name in
            ["text", "int4", "timestamptz", "jsonb", "uuid", "regclass", "citext", "hstore", "pg_class"]
        {
            assert_eq!(stock.grade_of_name(Kind::Type, name), Some(Grade::Pure), "{major}: {name}");
        }
        for name in ["int4 -> int8", "text -> regclass", "varchar -> text", "@citext.citext -> text"] {
            assert_eq!(stock.grade_of_name(Kind::Cast, name), Some(Grade::Pure), "{major}: {name}");
        }
    }
}

#[test]
fn the_review_is_sorted_and_says_nothing_twice() {
    let whole = [review::PURE, review::INPUT_AND_OUTPUT, review::COUNTERS, review::CALLED_BY_THE_SERVER];
    let mut lists: Vec<&str> = whole.into_iter().chain([BOUND_TO_THEIR_TYPE, EFFECT]).collect();
    lists.extend(BARRED.iter().map(|(_, names)| *names));
    let mut seen = BTreeSet::new();
    for list in lists {
        let names: Vec<&str> = list.split_whitespace().collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in names {
            assert!(seen.insert(name), "{name} is in two lists");
        }
    }
    assert!(EXTENSIONS.is_sorted_by_key(|extension| extension.name));
}

/// As many rows as objects, whoever asks: `CANONICAL` leaves none out that a text can name.
#[test]
fn every_object_of_a_user_is_seen() {
    let server = stocked(15);
    let make = "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql RETURN 1; \
        CREATE PROCEDURE f(text) LANGUAGE sql AS ''; CREATE TYPE pair AS (a int, b text); \
        CREATE TYPE span AS RANGE (SUBTYPE = text); CREATE TABLE t (id int); \
        CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl); \
        CREATE CAST (pair AS text) WITH INOUT";
    server.execute("postgres", make).unwrap();
    let session = Session::open(server.address(), LOW, None, "postgres").unwrap();
    session.text(PATH_OF_SERVICE).unwrap();
    let sql =
        format!("SELECT x.kind || ' ' || x.identity, x.schema FROM ({CANONICAL}) x WHERE x.digest = ''");
    let rows = session.rows(&sql, &[]).unwrap();
    let found: BTreeSet<&str> = rows.iter().map(|row| row.get(0)).collect();
    for expected in [
        "function public.f(integer)",
        "function public.f(text)",
        "function public.span(text,text)",
        "operator public.###(integer,integer)",
        "cast public.pair -> pg_catalog.text",
        "type public.pair",
        "type public.pair[]",
        "type public.span",
        "type public.t",
        "type public.t[]",
    ] {
        assert!(found.contains(expected), "{expected} is missing: {found:#?}");
    }
    let counts = "SELECT (SELECT count(*) FROM pg_proc p WHERE NOT 'internal'::regtype::oid = ANY (p.proargtypes)) \
        + (SELECT count(*) FROM pg_operator) + (SELECT count(*) FROM pg_cast) + (SELECT count(*) FROM pg_type)";
    let all = session.rows(&format!("SELECT count(*) FROM ({CANONICAL}) x"), &[]).unwrap();
    assert_eq!(all[0].get::<_, i64>(0), session.rows(counts, &[]).unwrap()[0].get::<_, i64>(0));
}
