//! No sequence of calls ends with a tenant's data outside of the regions that it allows, and who asks for that is told the rule.
//!
//! Several callers act at once on a few tenants and cells, in random order, while the controllers place, suspend, archive and
//! remove. Every attempt that would leave the regions is refused with the rule's name; after each call and at the end the records
//! are looked at. `TENANTRY_RESIDENCY_SEED` plays one sequence again.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_pg::Row;

use tenantry_testkit::pg::{PrivateServer, private_server};

use crate::world::{Reply, World, cell_on, manifest};

const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-south"];
const CELLS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-south-1"];
const TENANTS: usize = 4;
const CALLS: u64 = 40;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn regions(&mut self) -> Vec<&'static str> {
        let first = self.roll(3);
        let two = self.roll(2) == 0;
        let pick = |place: u64| REGIONS[usize::try_from(place % 3).unwrap()];
        if two { vec![pick(first), pick(first + 1)] } else { vec![pick(first)] }
    }
}

/// Each cell has a variable of its own for its server's URL.
fn cell(name: &str, region: &str, draining: bool) -> String {
    let variable = name.replace('-', "_").to_uppercase();
    format!(
        "apiVersion: tenantry.dev/v1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec:\n  region: {region}\n  draining: {draining}\n  \
         database: {{ urlFrom: {{ env: {variable} }} }}\n  capacity: {{ shared: 1000, schema: 100, database: 50 }}\n"
    )
}

/// Three regions with a cell on a server of its own each; the first is the one that all tests share.
async fn world() -> (World, [PrivateServer; 2]) {
    let others = [private_server(), private_server()];
    for (variable, server) in ["US_EAST_1", "AP_SOUTH_1"].into_iter().zip(&others) {
        cell_on(variable, &server.url("postgres"));
    }
    let world = World::running().await;
    for (name, region) in CELLS.iter().zip(REGIONS) {
        let text = format!(
            "apiVersion: tenantry.dev/v1\nkind: Region\nmetadata: {{ name: {region} }}\n---\n{}",
            cell(name, region, false)
        );
        assert_eq!(world.post("manifests:apply").keyed().yaml(&text).send().await.status, 200);
    }
    (world, others)
}

/// Tenants whose place is in a region that they do not allow, or in a cell that stands elsewhere than the record says.
async fn outside(world: &World) -> Vec<String> {
    let sql = "SELECT t.slug || ' in ' || t.cell || ' of ' || (c.spec ->> 'region') || ', recorded ' || t.region || ', allowed '
            || (t.spec #>> '{residency,allowedRegions}')
        FROM tenantry.tenant AS t JOIN tenantry.catalog AS c ON c.env = t.env AND c.kind = 'cell' AND c.name = t.cell
        WHERE t.phase <> 'deleted' AND (t.region IS DISTINCT FROM c.spec ->> 'region'
            OR NOT t.spec -> 'residency' -> 'allowedRegions' ? (c.spec ->> 'region'))";
    let conn = world.deps.store().pool().get().await.unwrap();
    let rows = conn.query(sql, &[]).await.unwrap();
    conn.release();
    rows.iter().map(|row: &Row| row.get(0)).collect()
}

fn wanted(tenant: usize, regions: &[&str], plan: &str) -> Value {
    let mut body = manifest(&format!("tenant-{tenant}"));
    body["apiVersion"] = json!("tenantry.dev/v1");
    body["kind"] = json!("Tenant");
    body["spec"]["plan"] = json!(plan);
    body["spec"]["state"] = json!("active");
    body["spec"]["residency"] = json!({ "allowedRegions": regions });
    body
}

/// One random call, and what it was.
async fn call(world: &World, dice: &mut Dice) -> (String, Reply) {
    let tenant = usize::try_from(dice.roll(TENANTS as u64)).unwrap();
    let slug = format!("tenant-{tenant}");
    let regions = dice.regions();
    let plan = ["starter", "standard"][usize::try_from(dice.roll(2)).unwrap()];
    let patch = |spec: Value| {
        let ask = world.ask("PATCH", &format!("tenants/{slug}")).keyed().header("if-match", "*");
        ask.text("application/merge-patch+json", &json!({ "spec": spec }).to_string()).send()
    };
    match dice.roll(12) {
        0 | 1 => {
            let body = wanted(tenant, &regions, plan);
            (format!("create {slug} {regions:?}"), world.post("tenants?wait=5s").keyed().json(&body).send().await)
        }
        2 | 3 => {
            let all = (0..TENANTS).map(|tenant| wanted(tenant, &regions, plan).to_string()).collect::<Vec<_>>();
            let text = all.join("\n---\n");
            (format!("apply all {regions:?}"), world.post("manifests:apply").keyed().yaml(&text).send().await)
        }
        4 | 5 => (
            format!("residency {slug} {regions:?}"),
            patch(json!({ "residency": { "allowedRegions": regions } })).await,
        ),
        6 => (format!("archive {slug}"), patch(json!({ "state": "archived" })).await),
        7 => (format!("activate {slug}"), patch(json!({ "state": "active", "suspension": null })).await),
        8 | 9 => {
            // Another region for a cell, which is refused while it holds somebody; and back, or nobody could be placed there.
            let name = CELLS[usize::try_from(dice.roll(3)).unwrap()];
            let text = cell(name, regions[0], dice.roll(4) == 0);
            (format!("cell {name} {}", regions[0]), world.post("manifests:apply").keyed().yaml(&text).send().await)
        }
        10 => {
            let path = format!("tenants/{slug}?confirm={slug}&reason=removal+request&grace=0s");
            (format!("delete {slug}"), world.ask("DELETE", &path).keyed().header("if-match", "*").send().await)
        }
        _ => {
            let asked = json!({ "plan": plan, "allowedRegions": regions });
            let reply = world.post("placements:explain").json(&asked).send().await;
            if let Some(region) = reply.json()["decision"]["region"].as_str() {
                assert!(regions.contains(&region), "{reply:?}");
            }
            (format!("explain {regions:?}"), reply)
        }
    }
}

#[tokio::test]
async fn no_sequence_of_calls_ends_outside_of_the_allowed_regions() {
    let given = std::env::var("TENANTRY_RESIDENCY_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 7);
    let (world, _servers) = world().await;
    // Somebody is placed in each region before it begins.
    for (tenant, region) in REGIONS.iter().enumerate() {
        let body = wanted(tenant, &[region], "starter");
        let made = world.post("tenants?wait=30s").keyed().json(&body).send().await;
        assert_eq!(made.json()["status"]["placement"]["cell"], CELLS[tenant], "{made:?}");
    }
    let caller = |number: u64| {
        let world = &world;
        async move {
            let mut dice = Dice(seed + number);
            let mut answers: BTreeMap<String, usize> = BTreeMap::new();
            for step in 0..CALLS {
                let (what, reply) = call(world, &mut dice).await;
                assert!(reply.status.as_u16() < 500, "seed {seed}, caller {number}, step {step}: {what}: {reply:?}");
                let code = reply.json()["code"].as_str().unwrap_or("done").to_owned();
                if code == "TEN-0072" {
                    assert!(reply.text.contains("rule `residency`"), "{reply:?}");
                }
                *answers.entry(code).or_default() += 1;
                assert_eq!(
                    outside(world).await,
                    Vec::<String>::new(),
                    "seed {seed}, caller {number}, step {step}: {what}"
                );
            }
            answers
        }
    };
    let all = tokio::join!(caller(0), caller(1), caller(2));
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for (code, count) in [all.0, all.1, all.2].into_iter().flatten() {
        *answers.entry(code).or_default() += count;
    }
    let conn = world.deps.store().pool().get().await.unwrap();
    let sql = "SELECT count(*) FROM tenantry.audit WHERE action = 'placement.decide' AND outcome = 'success'";
    let placed: i64 = conn.query_one(sql, &[]).await.unwrap().get(0);
    conn.release();
    println!("seed {seed}: {placed} placements, {answers:?}");
    assert!(
        placed >= 3 && answers["done"] > 20 && answers.get("TEN-0072").is_some_and(|refused| *refused > 0),
        "{answers:?}"
    );
    // What is still under way ends there, too.
    for _ in 0..20 {
        assert_eq!(outside(&world).await, Vec::<String>::new(), "seed {seed}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    world.end().await;
}

/// CELL-08: what holds data stays where it is, and what holds none may go.
#[tokio::test]
async fn a_cell_that_holds_tenants_keeps_its_region() {
    let (world, _servers) = world().await;
    let made = world.post("tenants?wait=30s").keyed().json(&wanted(0, &["us-east"], "starter")).send().await;
    assert_eq!(made.json()["status"]["placement"]["cell"], "us-east-1", "{made:?}");
    let moved = |name: &'static str, region: &'static str| {
        let text = cell(name, region, false);
        let world = &world;
        async move { world.post("manifests:apply").keyed().yaml(&text).send().await }
    };
    let refused = moved("us-east-1", "eu-west").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let problem = refused.problem("TEN-0072");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("rule `residency`: cell `us-east-1` stands in us-east with the data of 1 tenant(s)"),
        "{detail}"
    );
    assert!(problem["errors"][0]["field"].as_str().unwrap().ends_with("spec.region"), "{problem}");
    assert_eq!(moved("ap-south-1", "eu-west").await.status, 200, "it holds nobody");
    assert_eq!(moved("us-east-1", "us-east").await.status, 200, "what changes nothing is no move");
    world.end().await;
}
