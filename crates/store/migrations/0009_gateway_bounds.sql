-- What a plan says of a tenant's transactions, for gateways: how many in a stretch of time, and how long a statement may run.
CREATE OR REPLACE VIEW tenantry.gateway_route AS
SELECT t.env, t.id, t.slug, t.app, t.phase, t.cell, t.isolation, t.placement_generation,
    ARRAY(
        SELECT a.alias FROM tenantry.tenant_alias AS a
        WHERE a.env = t.env AND a.tenant = t.id AND NOT EXISTS (
            SELECT FROM tenantry.tenant AS s WHERE s.env = a.env AND s.slug = a.alias AND s.phase <> 'deleted'
        ) ORDER BY a.alias
    ) AS aliases,
    p.spec -> 'quotas' -> 'connections' AS quota,
    t.spec -> 'overrides' -> 'quotas' -> 'connections' AS deviation,
    p.spec -> 'rateLimits' -> 'transactions' AS rate,
    t.spec -> 'overrides' -> 'rateLimits' -> 'transactions' AS rate_deviation,
    p.spec -> 'quotas' -> 'statementSeconds' AS statement,
    t.spec -> 'overrides' -> 'quotas' -> 'statementSeconds' AS statement_deviation
FROM tenantry.tenant AS t
LEFT JOIN tenantry.catalog AS p ON p.env = t.env AND p.kind = 'plan' AND p.name = t.plan
WHERE t.phase <> 'deleted';
