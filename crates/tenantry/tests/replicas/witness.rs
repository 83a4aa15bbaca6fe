//! A witness of ownership that the replicas do not know of.

use uuid::Uuid;

use crate::world::World;

/// Writes down who had a run and who has it, whenever that changes.
const WITNESS: &str = "
    CREATE SCHEMA witness;
    CREATE TABLE witness.change (
        workflow uuid NOT NULL, old_owner uuid, new_owner uuid, old_fence bigint, new_fence bigint,
        lease_until timestamptz, at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO witness.change VALUES (NEW.id, OLD.owner, NEW.owner, OLD.fence, NEW.fence, OLD.lease_until);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE ON tenantry.workflow FOR EACH ROW
        WHEN (OLD.owner IS DISTINCT FROM NEW.owner OR OLD.fence <> NEW.fence) EXECUTE FUNCTION witness.note();";

/// Sets the witness up on a migrated database.
pub async fn install(world: &World) {
    world.control.batch_execute(WITNESS).await.unwrap();
}

/// Runs that were taken from an owner whose lease still held, or under a fence that was not a new one.
pub async fn usurpations(world: &World) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', 'run', workflow, 'was taken from', old_owner, 'by', new_owner, 'at', at, 'although its lease held until', lease_until)
        FROM witness.change WHERE old_owner <> new_owner AND lease_until > at
        UNION ALL
        SELECT concat_ws(' ', 'run', workflow, 'was taken by', new_owner, 'under fence', new_fence, 'behind', old_fence)
        FROM witness.change WHERE new_owner IS DISTINCT FROM old_owner AND new_owner IS NOT NULL AND new_fence <= old_fence
        UNION ALL
        SELECT concat_ws(' ', 'fence', new_fence, 'was given out', count(*), 'times')
        FROM witness.change WHERE new_owner IS DISTINCT FROM old_owner AND new_owner IS NOT NULL GROUP BY new_fence HAVING count(*) > 1";
    world.control.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// How many runs others took over from a replica, and how long the last of them waited, in milliseconds.
pub async fn takeovers(world: &World, from: Uuid) -> (i64, f64) {
    let sql =
        "SELECT count(*), coalesce(max(extract(epoch FROM at - lease_until) * 1000), 0)::float8 FROM witness.change
        WHERE old_owner = $1 AND new_owner <> $1";
    let row = world.control.query_one(sql, &[&from]).await.unwrap();
    (row.get(0), row.get(1))
}

/// How many runs a replica took, and how many different replicas took any.
pub async fn shares(world: &World) -> Vec<(Uuid, i64)> {
    let sql = "SELECT new_owner, count(*) FROM witness.change WHERE new_owner IS NOT NULL AND old_owner IS DISTINCT FROM new_owner
        GROUP BY new_owner ORDER BY 2 DESC";
    world.control.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}
