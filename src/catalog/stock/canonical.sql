-- Every function, operator, cast and type of the database, with the digest of all that decides
-- what it does. Only what the server's own scripts or those of an extension make has a digest;
-- whatever else there is has an empty one, which equals nothing.
--
-- A row is hashed as the text of a ROW(), whose quoting keeps its fields apart. No OID is in it.
-- A member of an extension counts as of schema "@extension", wherever it was put. The row of an
-- aggregate, an operator, a cast, a type or a stored SQL body holds the digests of its functions,
-- so that one that was replaced shows in what stands on it. Functions that take "internal" are left
-- out, since no text can call them; they count through what stands on them.
--
-- What is looked up by OID stands in maps (jsonb) of one row: joins of CTEs are planned without
-- statistics before version 17, and are slow. In a map 0 is "", and what it lacks counts as "?".
-- Names of pg_catalog must be visible first (search_path = pg_catalog, pg_temp): defaults and SQL
-- bodies are spelled by it.
WITH member AS MATERIALIZED (
    SELECT coalesce(pg_catalog.jsonb_object_agg(d.classid || ' ' || d.objid, e.extname), '{}') AS names
      FROM pg_catalog.pg_extension e
      JOIN pg_catalog.pg_depend d
        ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
       AND d.deptype = 'e'
), extension_schema AS MATERIALIZED (
    -- A pattern of the schemas of extensions before a name; with none, one that never matches.
    SELECT coalesce('(^|[^a-zA-Z0-9_$".])(' || pg_catalog.string_agg(DISTINCT pg_catalog.regexp_replace(
               pg_catalog.quote_ident(n.nspname), '([^a-zA-Z0-9_"])', '\\\1', 'g'), '|') || ')\.', '$.') AS pattern
      FROM pg_catalog.pg_extension e
      JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace AND n.nspname <> 'pg_catalog'
), type_named AS MATERIALIZED (
    -- An array goes by its element: its own name is a guess that avoids others.
    SELECT t.oid, x.extension,
           coalesce('@' || x.extension, n.nspname) || '.' || coalesce(e.typname || '[]', t.typname) AS label
      FROM pg_catalog.pg_type t
      LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
      JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(e.typnamespace, t.typnamespace)
     CROSS JOIN LATERAL (SELECT (TABLE member) ->> (
           'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid || ' ' || coalesce(e.oid, t.oid))) x (extension)
     WHERE t.oid < 16384 OR x.extension IS NOT NULL
), type_label AS MATERIALIZED (
    SELECT pg_catalog.jsonb_object_agg(t.oid, t.label) || '{"0": ""}' AS labels FROM type_named t
), function_named AS MATERIALIZED (
    SELECT p.*, x.extension,
           coalesce('@' || x.extension, n.nspname) || '.' || p.proname || '(' || coalesce((
               SELECT pg_catalog.string_agg(
                          coalesce((TABLE type_label) ->> a.type::pg_catalog.text, '?'), ',' ORDER BY a.number)
                 FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY a (type, number)), '') || ')' AS label,
           CASE WHEN x.extension IS NULL THEN p.proowner = 10
                ELSE p.proowner IN (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper) END AS owned
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     CROSS JOIN LATERAL (SELECT (TABLE member) ->> (
           'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid || ' ' || p.oid)) x (extension)
     WHERE p.oid < 16384 OR x.extension IS NOT NULL
), function_label AS MATERIALIZED (
    SELECT pg_catalog.jsonb_object_agg(f.oid, f.label) || '{"0": ""}' AS labels FROM function_named f
), function_alone AS MATERIALIZED (
    SELECT f.prosqlbody, f.oid, f.proname, f.pronamespace, f.proargtypes, f.prokind, f.extension, f.label,
           pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(ROW(
               'function', f.label, f.owned, l.lanname, f.prosrc,
               pg_catalog.regexp_replace(f.probin, '^\$libdir/', ''),
               f.prokind, f.prosecdef, f.proleakproof, f.proisstrict, f.proretset, f.provolatile,
               coalesce((TABLE type_label) ->> f.prorettype::pg_catalog.text, '?'),
               CASE WHEN f.proallargtypes IS NOT NULL THEN (
                   SELECT pg_catalog.string_agg(
                              coalesce((TABLE type_label) ->> a.type::pg_catalog.text, '?'), ',' ORDER BY a.number)
                     FROM pg_catalog.unnest(f.proallargtypes) WITH ORDINALITY a (type, number)) END,
               f.proargmodes, f.proargnames, f.protrftypes IS NULL, f.proconfig,
               coalesce((TABLE function_label) ->> f.prosupport::pg_catalog.oid::pg_catalog.text, '?'),
               pg_catalog.regexp_replace(
                   pg_catalog.pg_get_expr(f.proargdefaults, 0), (TABLE extension_schema), '\1@.', 'g'),
               CASE WHEN f.prosqlbody IS NOT NULL THEN pg_catalog.regexp_replace(
                   pg_catalog.pg_get_function_sqlbody(f.oid), (TABLE extension_schema), '\1@.', 'g') END
           )::pg_catalog.text, 'UTF8')), 1, 16) AS digest
      FROM function_named f
      JOIN pg_catalog.pg_language l ON l.oid = f.prolang
), function_alone_digest AS MATERIALIZED (
    SELECT pg_catalog.jsonb_object_agg(f.oid, pg_catalog.encode(f.digest, 'hex')) AS digests FROM function_alone f
), function_row AS MATERIALIZED (
    SELECT f.oid, f.proname, f.pronamespace, f.proargtypes, f.prokind, f.extension, f.label,
           CASE WHEN f.prosqlbody IS NULL THEN f.digest ELSE
               pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(ROW('body', f.digest, (
                   SELECT pg_catalog.string_agg(
                              coalesce((TABLE function_alone_digest) ->> c.number[1], '?'), ',' ORDER BY c.place)
                     FROM pg_catalog.regexp_matches(
                              f.prosqlbody::pg_catalog.text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g'
                          ) WITH ORDINALITY c (number, place))
               )::pg_catalog.text, 'UTF8')), 1, 16) END AS digest
      FROM function_alone f
), function_digest AS MATERIALIZED (
    SELECT pg_catalog.jsonb_object_agg(f.oid, pg_catalog.encode(f.digest, 'hex')) || '{"0": ""}' AS digests
      FROM function_row f
), operator_named AS MATERIALIZED (
    SELECT o.*, x.extension,
           coalesce('@' || x.extension, n.nspname) || '.' || o.oprname
               || '(' || coalesce((TABLE type_label) ->> o.oprleft::pg_catalog.text, '?')
               || ',' || coalesce((TABLE type_label) ->> o.oprright::pg_catalog.text, '?') || ')' AS label,
           CASE WHEN x.extension IS NULL THEN o.oprowner = 10
                ELSE o.oprowner IN (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper) END AS owned
      FROM pg_catalog.pg_operator o
      JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
     CROSS JOIN LATERAL (SELECT (TABLE member) ->> (
           'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid || ' ' || o.oid)) x (extension)
     WHERE o.oid < 16384 OR x.extension IS NOT NULL
), operator_label AS MATERIALIZED (
    SELECT pg_catalog.jsonb_object_agg(o.oid, o.label) || '{"0": ""}' AS labels FROM operator_named o
), type_row AS MATERIALIZED (
    SELECT n.oid, t.typname, t.typnamespace, n.extension, n.label,
           pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(ROW(
               'type', n.label,
               CASE WHEN n.extension IS NULL THEN t.typowner = 10
                    ELSE t.typowner IN (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper) END,
               t.typtype, t.typcategory, t.typispreferred, t.typisdefined, t.typdelim,
               coalesce((TABLE function_digest) ->> t.typinput::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typoutput::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typreceive::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typsend::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typmodin::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typmodout::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typanalyze::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> t.typsubscript::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE type_label) ->> t.typelem::pg_catalog.text, '?'),
               coalesce((TABLE type_label) ->> t.typbasetype::pg_catalog.text, '?'),
               t.typtypmod, t.typnotnull, t.typdefault,
               CASE t.typtype
               WHEN 'd' THEN (
                   SELECT pg_catalog.string_agg(pg_catalog.regexp_replace(
                              pg_catalog.pg_get_constraintdef(c.oid), (TABLE extension_schema), '\1@.', 'g'),
                              ',' ORDER BY c.conname)
                     FROM pg_catalog.pg_constraint c WHERE c.conrelid = 0 AND c.contypid = t.oid)
               WHEN 'c' THEN (
                   SELECT pg_catalog.string_agg(
                              pg_catalog.quote_ident(a.attname) || ' '
                              || coalesce((TABLE type_label) ->> a.atttypid::pg_catalog.text, '?'),
                              ',' ORDER BY a.attnum)
                     FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
               WHEN 'e' THEN (
                   SELECT pg_catalog.string_agg(pg_catalog.quote_ident(v.enumlabel), ',' ORDER BY v.enumsortorder)
                     FROM pg_catalog.pg_enum v WHERE v.enumtypid = t.oid)
               WHEN 'r' THEN (
                   SELECT ROW(
                              coalesce((TABLE type_label) ->> r.rngsubtype::pg_catalog.text, '?'),
                              coalesce((TABLE function_digest) ->> r.rngcanonical::pg_catalog.oid::pg_catalog.text, '?'),
                              coalesce((TABLE function_digest) ->> r.rngsubdiff::pg_catalog.oid::pg_catalog.text, '?')
                          )::pg_catalog.text
                     FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
               WHEN 'm' THEN (
                   SELECT coalesce((TABLE type_label) ->> r.rngtypid::pg_catalog.text, '?')
                     FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid)
               END
           )::pg_catalog.text, 'UTF8')), 1, 16) AS digest
      FROM type_named n
      JOIN pg_catalog.pg_type t ON t.oid = n.oid
)
SELECT f.oid, 'function' AS kind, n.nspname::pg_catalog.text AS schema, f.proname::pg_catalog.text AS name,
       CASE WHEN f.prokind <> 'a' THEN f.digest ELSE
           pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(ROW(
               'aggregate', f.digest, a.aggkind, a.aggnumdirectargs,
               coalesce((TABLE function_digest) ->> a.aggtransfn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggfinalfn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggcombinefn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggserialfn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggdeserialfn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggmtransfn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggminvtransfn::pg_catalog.oid::pg_catalog.text, '?'),
               coalesce((TABLE function_digest) ->> a.aggmfinalfn::pg_catalog.oid::pg_catalog.text, '?'),
               a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify, a.aggmfinalmodify,
               coalesce((TABLE operator_label) ->> a.aggsortop::pg_catalog.text, '?'),
               coalesce((TABLE type_label) ->> a.aggtranstype::pg_catalog.text, '?'),
               coalesce((TABLE type_label) ->> a.aggmtranstype::pg_catalog.text, '?'),
               a.agginitval, a.aggminitval
           )::pg_catalog.text, 'UTF8')), 1, 16) END AS digest,
       f.extension, f.label AS identity
  FROM function_row f
  JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
  LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = f.oid
 WHERE NOT 'pg_catalog.internal'::pg_catalog.regtype::pg_catalog.oid = ANY (f.proargtypes)
UNION ALL
SELECT p.oid, 'function', n.nspname::pg_catalog.text, p.proname::pg_catalog.text, '', NULL,
       p.oid::pg_catalog.regprocedure::pg_catalog.text
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE NOT (TABLE function_label) ? p.oid::pg_catalog.text
   AND NOT 'pg_catalog.internal'::pg_catalog.regtype::pg_catalog.oid = ANY (p.proargtypes)
UNION ALL
SELECT o.oid, 'operator', n.nspname::pg_catalog.text, o.oprname::pg_catalog.text,
       pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(ROW(
           'operator', o.label, o.owned, o.oprkind,
           coalesce((TABLE type_label) ->> o.oprresult::pg_catalog.text, '?'),
           coalesce((TABLE function_digest) ->> o.oprcode::pg_catalog.oid::pg_catalog.text, '?'),
           coalesce((TABLE function_digest) ->> o.oprrest::pg_catalog.oid::pg_catalog.text, '?'),
           coalesce((TABLE function_digest) ->> o.oprjoin::pg_catalog.oid::pg_catalog.text, '?'),
           coalesce((TABLE operator_label) ->> o.oprcom::pg_catalog.text, '?'),
           coalesce((TABLE operator_label) ->> o.oprnegate::pg_catalog.text, '?')
       )::pg_catalog.text, 'UTF8')), 1, 16),
       o.extension, o.label
  FROM operator_named o
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
UNION ALL
SELECT o.oid, 'operator', n.nspname::pg_catalog.text, o.oprname::pg_catalog.text, '', NULL,
       o.oid::pg_catalog.regoperator::pg_catalog.text
  FROM pg_catalog.pg_operator o
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
 WHERE NOT (TABLE operator_label) ? o.oid::pg_catalog.text
UNION ALL
SELECT c.oid, 'cast', NULL, x.name,
       CASE WHEN c.oid < 16384 OR x.extension IS NOT NULL THEN
           pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(ROW(
               'cast', x.extension, x.name, c.castcontext, c.castmethod,
               coalesce((TABLE function_digest) ->> c.castfunc::pg_catalog.text, '?')
           )::pg_catalog.text, 'UTF8')), 1, 16) ELSE '' END,
       x.extension, x.name
  FROM pg_catalog.pg_cast c
 CROSS JOIN LATERAL (SELECT
       (TABLE member) ->> ('pg_catalog.pg_cast'::pg_catalog.regclass::pg_catalog.oid || ' ' || c.oid),
       coalesce((TABLE type_label) ->> c.castsource::pg_catalog.text,
                c.castsource::pg_catalog.regtype::pg_catalog.text)
       || ' -> '
       || coalesce((TABLE type_label) ->> c.casttarget::pg_catalog.text,
                   c.casttarget::pg_catalog.regtype::pg_catalog.text)
       ) x (extension, name)
UNION ALL
SELECT t.oid, 'type', n.nspname::pg_catalog.text, t.typname::pg_catalog.text, t.digest, t.extension, t.label
  FROM type_row t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
UNION ALL
SELECT t.oid, 'type', n.nspname::pg_catalog.text, t.typname::pg_catalog.text, '', NULL,
       t.oid::pg_catalog.regtype::pg_catalog.text
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE NOT (TABLE type_label) ? t.oid::pg_catalog.text
