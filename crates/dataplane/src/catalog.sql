-- Everything about the objects of some schemas that the guard judges or that makes up their structure, one fact a row.
-- $1 schemas, $2 their owners, $3 their logins (same positions). Names of the schema and of its two roles do not appear,
-- so that two schemas of the same structure give the same rows. Runs under search_path = pg_catalog: names of the schema's own
-- objects are then always qualified, and the qualification can be taken out.
-- INVARIANT: what is recorded of a kind stays as it is. What is looked at since a later release is a note, kind N with a name:
-- records without notes can then be told by the other lines, and releases that know no notes pass over them.
WITH place AS (
    SELECT n.oid AS space, n.nspname AS label, n.nspowner, n.nspacl, o.oid AS own, l.oid AS login
      FROM unnest($1::text[], $2::text[], $3::text[]) AS p(space, own, login)
      JOIN pg_namespace n ON n.nspname = p.space
      LEFT JOIN pg_roles o ON o.rolname = p.own
      LEFT JOIN pg_roles l ON l.rolname = p.login
), rel AS (
    -- By way of the dependency: pg_class has no index that starts with the schema.
    SELECT p.label, p.space, p.own, p.login, c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity,
           c.relforcerowsecurity, c.relowner, c.relacl, c.reloptions, c.relpartbound,
           -- Names by number: dropped columns keep their places.
           CASE WHEN c.relkind <> 'S' THEN ARRAY(SELECT a.attname::text FROM pg_attribute a
                                                  WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) END AS cols
      FROM place p
      JOIN pg_depend i ON i.refclassid = 'pg_namespace'::regclass AND i.refobjid = p.space AND i.classid = 'pg_class'::regclass
      JOIN pg_class c ON c.oid = i.objid
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), col AS MATERIALIZED (
    SELECT r.label, r.relname, r.oid, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated, d.adbin, d.oid AS def,
           CASE WHEN a.attacl IS NOT NULL THEN
               (SELECT string_agg(CASE g.grantee WHEN 0 THEN '@public' WHEN r.login THEN '@login'
                                  ELSE pg_get_userbyid(g.grantee)::text END || ':' || g.privilege_type, E'\x1f'
                                  ORDER BY g.grantee, g.privilege_type)
                  FROM aclexplode(a.attacl) g WHERE g.grantee <> r.relowner) END AS grants
      FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE r.relkind <> 'S'
), fun AS (
    SELECT p.label, p.own, p.login, f.oid, f.prokind, f.prosecdef, f.proleakproof, f.proowner, f.proacl, f.prolang, f.provolatile,
           f.proparallel, f.proisstrict, f.proconfig, md5(f.prosrc) AS source,
           replace(f.oid::regprocedure::text, p.label || '.', '') AS signature
      FROM place p
      JOIN pg_depend i ON i.refclassid = 'pg_namespace'::regclass AND i.refobjid = p.space AND i.classid = 'pg_proc'::regclass
      JOIN pg_proc f ON f.oid = i.objid
     WHERE NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
), trg AS (
    SELECT r.label, r.relname, t.oid, t.tgname, t.tgtype, t.tgenabled, t.tgfoid
      FROM rel r JOIN pg_trigger t ON t.tgrelid = r.oid
     WHERE NOT t.tgisinternal
), fact(label, kind, tab, name, facts) AS (
    SELECT label, 'N', '', '',
           ARRAY[CASE nspowner WHEN own THEN '@own' ELSE pg_get_userbyid(nspowner)::text END,
                 (SELECT string_agg(CASE a.grantee WHEN 0 THEN '@public' WHEN login THEN '@login'
                                    ELSE pg_get_userbyid(a.grantee)::text END || ':' || a.privilege_type, E'\x1f'
                                    ORDER BY a.grantee, a.privilege_type)
                    FROM aclexplode(nspacl) a WHERE a.grantee <> nspowner)]
      FROM place
    UNION ALL
    SELECT label, 'R', relname, '',
           ARRAY[relkind::text, relpersistence::text, relrowsecurity::text, relforcerowsecurity::text,
                 CASE relowner WHEN own THEN '@own' ELSE pg_get_userbyid(relowner)::text END,
                 (SELECT string_agg(CASE a.grantee WHEN 0 THEN '@public' WHEN login THEN '@login'
                                    ELSE pg_get_userbyid(a.grantee)::text END || ':' || a.privilege_type
                                    || CASE WHEN a.is_grantable THEN '*' ELSE '' END, E'\x1f'
                                    ORDER BY a.grantee, a.privilege_type)
                    FROM aclexplode(relacl) a WHERE a.grantee <> relowner),
                 array_to_string(reloptions, ','),
                 CASE WHEN relkind IN ('v', 'm') THEN md5(replace(pg_get_viewdef(oid), label || '.', '')) END,
                 CASE WHEN relkind = 'S' THEN EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = rel.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i')::text END,
                 (SELECT string_agg(f.relname, ',' ORDER BY h.inhseqno) FROM pg_inherits h JOIN pg_class f ON f.oid = h.inhparent
                   WHERE h.inhrelid = rel.oid),
                 pg_get_expr(relpartbound, oid)]
      FROM rel
    UNION ALL
    SELECT label, 'C', relname, attname,
           ARRAY[replace(format_type(atttypid, atttypmod), label || '.', ''), attnotnull::text, attidentity::text,
                 attgenerated::text, replace(expression, label || '.', ''), grants, (atttypid = 'uuid'::regtype)::text]
      FROM (
        SELECT label, relname, attname, atttypid, atttypmod, attnotnull, attidentity, attgenerated, grants,
               pg_get_expr(adbin, oid) AS expression
          FROM col WHERE adbin IS NULL OR attgenerated <> ''
        UNION ALL
        -- A default names no column, so equal ones of all schemas are put into words once: that is most of the work.
        SELECT x.label, x.relname, x.attname, x.atttypid, x.atttypmod, x.attnotnull, x.attidentity, '', x.grants, d.expression
          FROM (SELECT pg_get_expr((SELECT f.adbin FROM pg_attrdef f WHERE f.oid = min(c.def)), min(c.oid)) AS expression,
                       array_agg(label) AS label, array_agg(relname) AS relname, array_agg(attname) AS attname,
                       array_agg(atttypid) AS atttypid, array_agg(atttypmod) AS atttypmod, array_agg(attnotnull) AS attnotnull,
                       array_agg(attidentity) AS attidentity, array_agg(grants) AS grants
                  FROM col c WHERE attgenerated = '' AND adbin IS NOT NULL GROUP BY adbin::text COLLATE "C") AS d,
               unnest(d.label, d.relname, d.attname, d.atttypid, d.atttypmod, d.attnotnull, d.attidentity, d.grants)
                   AS x(label, relname, attname, atttypid, atttypmod, attnotnull, attidentity, grants)
      ) AS c
    UNION ALL
    SELECT r.label, 'K', r.relname, k.conname,
           ARRAY[k.contype::text,
                 (SELECT string_agg(r.cols[u.att], E'\x1f' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY AS u(att, n)),
                 CASE WHEN k.confrelid <> 0 THEN
                     (SELECT CASE WHEN f.relnamespace = r.space THEN '' ELSE f.relnamespace::regnamespace || '.' END || f.relname
                        FROM pg_class f WHERE f.oid = k.confrelid) END,
                 CASE WHEN k.confkey IS NOT NULL THEN
                     (SELECT string_agg(a.attname, E'\x1f' ORDER BY array_position(k.confkey, a.attnum)) FROM pg_attribute a
                       WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)) END,
                 k.confupdtype::text || k.confdeltype::text || k.confmatchtype::text,
                 k.condeferrable::text, k.convalidated::text,
                 CASE WHEN k.contype = 'c' THEN replace(pg_get_expr(k.conbin, k.conrelid), r.label || '.', '') END]
      FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid
     WHERE k.contype IN ('p', 'u', 'x', 'f', 'c')
    UNION ALL
    SELECT r.label, 'I', r.relname, c.relname,
           ARRAY[i.indisunique::text,
                 (SELECT string_agg(coalesce(r.cols[u.att], '()'), E'\x1f' ORDER BY u.n)
                    FROM unnest(i.indkey) WITH ORDINALITY AS u(att, n)),
                 i.indisvalid::text, i.indisexclusion::text, i.indnkeyatts::text, i.indclass::text || ':' || i.indoption::text,
                 replace(pg_get_expr(i.indpred, i.indrelid), r.label || '.', ''),
                 replace(pg_get_expr(i.indexprs, i.indrelid), r.label || '.', '')]
      FROM rel r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    -- In words once for all tables of one name and with the same columns.
    SELECT x.label, 'P', p.relname, x.polname, ARRAY[x.permissive, x.cmd, x.roles, p.qual, p.withcheck]
      FROM (SELECT relname,
                   pg_get_expr((SELECT f.polqual FROM pg_policy f WHERE f.oid = min(g.policy)), min(g.oid)) AS qual,
                   pg_get_expr((SELECT f.polwithcheck FROM pg_policy f WHERE f.oid = min(g.policy)), min(g.oid)) AS withcheck,
                   array_agg(label) AS label, array_agg(polname) AS polname, array_agg(permissive) AS permissive,
                   array_agg(cmd) AS cmd, array_agg(roles) AS roles
              FROM (SELECT r.label, r.relname, r.cols, r.oid, p.oid AS policy, p.polname, p.polpermissive::text AS permissive,
                           p.polcmd::text AS cmd,
                           sha256(convert_to(p.polqual::text, 'UTF8')) AS same_qual,
                           sha256(convert_to(p.polwithcheck::text, 'UTF8')) AS same_check,
                           (SELECT string_agg(CASE u.role WHEN 0 THEN '@public' WHEN r.login THEN '@login' WHEN r.own THEN '@own'
                                              ELSE pg_get_userbyid(u.role)::text END, ',') FROM unnest(p.polroles) AS u(role)) AS roles
                      FROM rel r JOIN pg_policy p ON p.polrelid = r.oid) AS g
             GROUP BY g.relname, g.cols, g.same_qual, g.same_check) AS p,
           unnest(p.label, p.polname, p.permissive, p.cmd, p.roles) AS x(label, polname, permissive, cmd, roles)
    UNION ALL
    SELECT label, 'T', relname, tgname,
           ARRAY[tgtype::text, tgenabled::text, replace(tgfoid::regprocedure::text, label || '.', '')]
      FROM trg
    UNION ALL
    -- A trigger's note: condition, columns, arguments and all else.
    SELECT label, 'N', relname, tgname, ARRAY[replace(pg_get_triggerdef(oid), label || '.', '')]
      FROM trg
    UNION ALL
    SELECT r.label, 'U', r.relname, w.rulename, ARRAY[w.ev_type::text, w.is_instead::text]
      FROM rel r JOIN pg_rewrite w ON w.ev_class = r.oid
     WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT label, 'F', '', signature,
           ARRAY[prokind::text, prosecdef::text, proleakproof::text,
                 CASE proowner WHEN own THEN '@own' ELSE pg_get_userbyid(proowner)::text END,
                 (SELECT string_agg(CASE a.grantee WHEN 0 THEN '@public' WHEN login THEN '@login'
                                    ELSE pg_get_userbyid(a.grantee)::text END || ':' || a.privilege_type, E'\x1f' ORDER BY a.grantee)
                    FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee <> proowner),
                 source]
      FROM fun
    UNION ALL
    -- A function's note. A body of the SQL standard (BEGIN ATOMIC, RETURN) is kept as a tree, and its source is empty. Settings
    -- name the schema without a dot, as in a search path.
    SELECT label, 'N', '', signature,
           ARRAY[(SELECT l.lanname::text FROM pg_language l WHERE l.oid = prolang),
                 provolatile::text, proparallel::text, proisstrict::text,
                 replace(array_to_string(proconfig, ','), label::text, '@'),
                 replace(pg_get_function_arguments(oid), label || '.', ''),
                 replace(pg_get_function_result(oid), label || '.', ''),
                 md5(replace(pg_get_function_sqlbody(oid), label || '.', ''))]
      FROM fun
    UNION ALL
    SELECT p.label, 'E', '', t.typname,
           ARRAY[t.typtype::text,
                 (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)]
      FROM place p
      JOIN pg_depend i ON i.refclassid = 'pg_namespace'::regclass AND i.refobjid = p.space AND i.classid = 'pg_type'::regclass
      JOIN pg_type t ON t.oid = i.objid AND t.typtype IN ('e', 'd')
     WHERE NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
)
