-- Tenants are bound to a version of their plan, and an environment has at most one default plan.

-- The version that the tenant was given, with its plan or by an upgrade; 0 for tenants of earlier releases, which have the
-- newest version. What the tenant has is not older than the plan's floor, and not newer than the plan.
ALTER TABLE tenantry.tenant ADD COLUMN plan_version bigint NOT NULL DEFAULT 0;
-- Counting the tenants of each version, and finding those that an upgrade is for.
CREATE INDEX tenant_plan_version ON tenantry.tenant (env, plan, plan_version, id) WHERE phase <> 'deleted';

-- Of plans: the newest version that tenants follow to by themselves; no tenant has an older one.
ALTER TABLE tenantry.catalog ADD COLUMN floor bigint NOT NULL DEFAULT 0;
-- Of plans: whether it is the one for tenants that name none.
ALTER TABLE tenantry.catalog ADD COLUMN is_default boolean NOT NULL DEFAULT false;

UPDATE tenantry.catalog SET floor = version WHERE kind = 'plan';
-- Earlier releases let several be the default. The first by name stays it; another one is refused when it is written again.
UPDATE tenantry.catalog AS c SET is_default = true FROM (
    SELECT DISTINCT ON (env) env, name FROM tenantry.catalog
    WHERE kind = 'plan' AND spec -> 'default' = 'true' ORDER BY env, name
) AS first
WHERE c.env = first.env AND c.kind = 'plan' AND c.name = first.name;
CREATE UNIQUE INDEX catalog_default_plan ON tenantry.catalog (env) WHERE is_default;

-- Both follow from the text, whoever writes it: processes of the release before may still be running.
CREATE FUNCTION tenantry.plan_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_default := coalesce(NEW.spec -> 'default' = 'true', false);
    IF TG_OP = 'INSERT' OR NEW.spec ->> 'tenants' IS DISTINCT FROM 'keep' THEN
        NEW.floor := NEW.version;
    ELSE
        NEW.floor := OLD.floor;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER plan_written BEFORE INSERT OR UPDATE ON tenantry.catalog
    FOR EACH ROW WHEN (NEW.kind = 'plan') EXECUTE FUNCTION tenantry.plan_written();

-- What gateways hold a tenant to is what the version of its plan says that it has.
CREATE OR REPLACE VIEW tenantry.gateway_route AS
SELECT t.env, t.id, t.slug, t.app, t.phase, t.cell, t.isolation, t.placement_generation,
    ARRAY(
        SELECT a.alias FROM tenantry.tenant_alias AS a
        WHERE a.env = t.env AND a.tenant = t.id AND NOT EXISTS (
            SELECT FROM tenantry.tenant AS s WHERE s.env = a.env AND s.slug = a.alias AND s.phase <> 'deleted'
        ) ORDER BY a.alias
    ) AS aliases,
    CASE WHEN jsonb_typeof(p.spec -> 'quotas' -> 'connections') <> 'object' THEN p.spec -> 'quotas' -> 'connections'
        WHEN coalesce(p.spec -> 'quotas' -> 'connections' ->> 'mode', 'hard') = 'hard'
        THEN p.spec -> 'quotas' -> 'connections' -> 'limit' END AS quota,
    CASE WHEN coalesce(p.spec -> 'quotas' -> 'connections' ->> 'mode', 'hard') = 'hard'
        THEN t.spec -> 'overrides' -> 'quotas' -> 'connections' END AS deviation,
    p.spec -> 'rateLimits' -> 'transactions' AS rate,
    t.spec -> 'overrides' -> 'rateLimits' -> 'transactions' AS rate_deviation,
    CASE WHEN jsonb_typeof(p.spec -> 'quotas' -> 'statementSeconds') <> 'object'
        THEN p.spec -> 'quotas' -> 'statementSeconds'
        WHEN coalesce(p.spec -> 'quotas' -> 'statementSeconds' ->> 'mode', 'hard') = 'hard'
        THEN p.spec -> 'quotas' -> 'statementSeconds' -> 'limit' END AS statement,
    CASE WHEN coalesce(p.spec -> 'quotas' -> 'statementSeconds' ->> 'mode', 'hard') = 'hard'
        THEN t.spec -> 'overrides' -> 'quotas' -> 'statementSeconds' END AS statement_deviation
FROM tenantry.tenant AS t
LEFT JOIN tenantry.catalog AS c ON c.env = t.env AND c.kind = 'plan' AND c.name = t.plan
LEFT JOIN tenantry.catalog_version AS p ON p.env = c.env AND p.kind = c.kind AND p.name = c.name
    AND p.version = least(greatest(t.plan_version, c.floor), c.version)
WHERE t.phase <> 'deleted';
