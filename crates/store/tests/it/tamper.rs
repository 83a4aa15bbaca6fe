//! Ways to falsify the evidence with all rights on the database, and what the check says to each.

use aws_lc_rs::digest::{SHA256, digest};
use tenantry_domain::audit::{DOMAIN, GENESIS, Hash, Tampering, link};
use tenantry_domain::id::TenantId;
use tenantry_store::{AuditFilter, PageRequest, Subject, Verification};

use crate::world::{World, first_page, prod};

fn sha256(parts: &[&[u8]]) -> Hash {
    digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap()
}

struct Scene {
    world: World,
    acme: TenantId,
    globex: TenantId,
}

impl Scene {
    /// Two tenants with twelve entries each: a creation and eleven versions.
    async fn new() -> Self {
        let world = World::new().await;
        let acme = world.create("acme").await.id;
        let globex = world.create("globex").await.id;
        for second in 1..12 {
            world.bump(acme, second).await.unwrap();
            world.bump(globex, second).await.unwrap();
        }
        let clean = world.store.verify_audit(None, None).await.unwrap();
        assert_eq!(clean, Verification { subjects: 3, entries: 24, findings: vec![] });
        Self { world, acme, globex }
    }

    fn of(&self, tenant: TenantId) -> String {
        format!("env = 'prod' AND subject = '{}'", tenant.uuid())
    }

    /// Gives the entries from a number on hashes that fit, as a forger with our sources would; gives the last one.
    async fn rehash(&self, tenant: TenantId, from: i64) -> Hash {
        let conn = self.world.store.pool().get().await.unwrap();
        let rows = conn
            .query(
                "SELECT seq, entry, hash FROM tenantry.audit WHERE env = 'prod' AND subject = $1 ORDER BY seq",
                &[&tenant.uuid()],
            )
            .await
            .unwrap();
        conn.release();
        let mut previous = GENESIS;
        let mut forged = String::new();
        for row in rows {
            let (seq, entry, hash): (i64, String, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
            previous = if seq < from { hash.try_into().unwrap() } else { link(&previous, &entry, sha256) };
            if seq >= from {
                forged += &format!(
                    "UPDATE tenantry.audit SET hash = '\\x{}' WHERE {} AND seq = {seq};",
                    hex(&previous),
                    self.of(tenant)
                );
            }
        }
        self.world.tamper(&forged);
        previous
    }

    fn reset_row(&self, tenant: TenantId, count: i64, head: &Hash) {
        self.world.tamper(&format!(
            "UPDATE tenantry.tenant SET audit_seq = {count}, audit_head = '\\x{}' WHERE id = '{}'",
            hex(head),
            tenant.uuid()
        ));
    }

    async fn hash_of(&self, tenant: TenantId, seq: i64) -> Hash {
        self.world.store.read(&prod()).audit_chain(Subject::Tenant(tenant), seq, 1).await.unwrap()[0].hash
    }

    /// What the check says of a tenant; of all others it must say nothing.
    async fn found(&self, tenant: TenantId) -> Vec<Tampering> {
        let all = self.world.store.verify_audit(None, None).await.unwrap();
        assert!(all.findings.iter().all(|finding| finding.subject == Subject::Tenant(tenant)), "{all:?}");
        let one = self.world.store.verify_audit(Some(&prod()), Some(Subject::Tenant(tenant))).await.unwrap();
        assert_eq!(one.findings, all.findings);
        all.findings.into_iter().map(|finding| finding.tampering).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn edited_text_and_hash() {
    let scene = Scene::new().await;
    let of = scene.of(scene.acme);
    assert_eq!(DOMAIN, b"tenantry.audit.v1\n");
    // 1. Text edited.
    scene.world.tamper(&format!("UPDATE tenantry.audit SET entry = replace(entry, 'olga', 'otto'), actor = 'operator:otto' WHERE {of} AND seq = 5"));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Hash { seq: 5 }]);
    // 2. Its hash made to fit: the next link breaks.
    let conn = scene.world.store.pool().get().await.unwrap();
    let entry: String = conn
        .query_one("SELECT entry FROM tenantry.audit WHERE subject = $1 AND seq = 5", &[&scene.acme.uuid()])
        .await
        .unwrap()
        .get(0);
    conn.release();
    let forged = link(&scene.hash_of(scene.acme, 4).await, &entry, sha256);
    scene.world.tamper(&format!("UPDATE tenantry.audit SET hash = '\\x{}' WHERE {of} AND seq = 5", hex(&forged)));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Hash { seq: 6 }]);
    // 3. All that follow rehashed: the subject's row knows another newest hash.
    scene.rehash(scene.acme, 5).await;
    assert_eq!(scene.found(scene.acme).await, [Tampering::Head { seq: 12 }]);
    // 4. A hash edited alone, in the other chain; the first one put right with its row, which no net of ours can see.
    let head = scene.hash_of(scene.acme, 12).await;
    scene.reset_row(scene.acme, 12, &head);
    scene
        .world
        .tamper(&format!("UPDATE tenantry.audit SET hash = sha256('x') WHERE {} AND seq = 7", scene.of(scene.globex)));
    assert_eq!(scene.found(scene.globex).await, [Tampering::Hash { seq: 7 }]);
}

#[tokio::test]
async fn searchable_columns() {
    let scene = Scene::new().await;
    for (column, value) in [
        ("action", "'tenant.read'"),
        ("category", "'access'"),
        ("outcome", "'denied'"),
        ("actor", "'operator:nobody'"),
        ("correlation_id", "'other'"),
        ("at", "'2020-01-01Z'"),
    ] {
        let of = scene.of(scene.acme);
        scene.world.tamper(&format!("CREATE TABLE keep AS SELECT * FROM tenantry.audit WHERE {of} AND seq = 4; UPDATE tenantry.audit SET {column} = {value} WHERE {of} AND seq = 4"));
        assert_eq!(scene.found(scene.acme).await, [Tampering::Columns { seq: 4 }], "{column}");
        scene.world.tamper(&format!("DELETE FROM tenantry.audit WHERE {of} AND seq = 4; INSERT INTO tenantry.audit SELECT * FROM keep; DROP TABLE keep"));
    }
    assert_eq!(scene.found(scene.acme).await, []);
}

#[tokio::test]
async fn dropped_entries() {
    for (range, expected, mutations) in [
        ("seq = 1", Tampering::Missing { seq: 1 }, 11),
        ("seq = 6", Tampering::Missing { seq: 6 }, 11),
        ("seq = 12", Tampering::Count { counted: 12, found: 11 }, 11),
        ("seq > 8", Tampering::Count { counted: 12, found: 8 }, 8),
        ("true", Tampering::Count { counted: 12, found: 0 }, 0),
    ] {
        let scene = Scene::new().await;
        scene.world.tamper(&format!("DELETE FROM tenantry.audit WHERE {} AND {range}", scene.of(scene.acme)));
        let version = Tampering::Version { version: 12, mutations };
        assert_eq!(scene.found(scene.acme).await, [expected, version], "{range}");
    }
}

#[tokio::test]
async fn a_cut_end_with_the_subjects_row_set_back() {
    let scene = Scene::new().await;
    scene.world.tamper(&format!("DELETE FROM tenantry.audit WHERE {} AND seq > 10", scene.of(scene.acme)));
    let head = scene.hash_of(scene.acme, 10).await;
    scene.reset_row(scene.acme, 10, &head);
    assert_eq!(scene.found(scene.acme).await, [Tampering::Version { version: 12, mutations: 10 }]);
}

#[tokio::test]
async fn moved_entries() {
    // Swapped: the texts change places, then also the hashes.
    let scene = Scene::new().await;
    let of = scene.of(scene.acme);
    scene.world.tamper(&format!(
        "UPDATE tenantry.audit AS a SET entry = b.entry, hash = b.hash FROM tenantry.audit AS b
         WHERE a.env = b.env AND a.subject = b.subject AND a.subject = '{}' AND (a.seq, b.seq) IN ((3, 9), (9, 3))",
        scene.acme.uuid()
    ));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Hash { seq: 3 }]);
    // Swapped and rehashed: the texts still say their old numbers.
    scene.rehash(scene.acme, 1).await;
    assert!(
        matches!(&scene.found(scene.acme).await[..], [Tampering::Foreign { seq: 3, says }] if says.contains("tenant.update"))
    );
    // Renumbered.
    let scene = Scene::new().await;
    scene
        .world
        .tamper(&format!("UPDATE tenantry.audit SET seq = 40 WHERE {of} AND seq = 4", of = scene.of(scene.acme)));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Missing { seq: 4 }]);
    // Closed up behind a dropped one.
    let scene = Scene::new().await;
    let of2 = scene.of(scene.acme);
    scene.world.tamper(&format!(
        "DELETE FROM tenantry.audit WHERE {of2} AND seq = 4;
         UPDATE tenantry.audit SET seq = seq + 1000 WHERE {of2} AND seq > 4; UPDATE tenantry.audit SET seq = seq - 1001 WHERE {of2} AND seq > 1000"
    ));
    assert_eq!(
        scene.found(scene.acme).await,
        [Tampering::Hash { seq: 4 }, Tampering::Version { version: 12, mutations: 11 }]
    );
    // Closed up and rehashed, row and version set to fit: the numbers in the texts tell.
    let head = scene.rehash(scene.acme, 4).await;
    scene.reset_row(scene.acme, 11, &head);
    let found = scene.found(scene.acme).await;
    assert!(matches!(&found[..], [Tampering::Foreign { seq: 4, .. }, Tampering::Version { .. }]), "{found:?}");
    let _ = of;
}

#[tokio::test]
async fn inserted_and_spliced_entries() {
    // A copy at the end.
    let scene = Scene::new().await;
    let copy = |seq: i64, from: TenantId, to: TenantId| {
        format!(
            "INSERT INTO tenantry.audit SELECT env, '{}', {seq}, entry, hash, at, action, category, outcome, actor, correlation_id
             FROM tenantry.audit WHERE subject = '{}' AND seq = 12",
            to.uuid(),
            from.uuid()
        )
    };
    scene.world.tamper(&copy(13, scene.acme, scene.acme));
    let found = scene.found(scene.acme).await;
    assert_eq!(found, [Tampering::Hash { seq: 13 }, Tampering::Version { version: 12, mutations: 13 }]);
    // A copy in the middle, all behind it moved up.
    let scene = Scene::new().await;
    let of = scene.of(scene.acme);
    scene.world.tamper(&format!(
        "UPDATE tenantry.audit SET seq = seq + 1000 WHERE {of} AND seq > 6; UPDATE tenantry.audit SET seq = seq - 999 WHERE {of} AND seq > 1000;
         INSERT INTO tenantry.audit SELECT env, subject, 7, entry, hash, at, action, category, outcome, actor, correlation_id
         FROM tenantry.audit WHERE {of} AND seq = 6"
    ));
    assert!(scene.found(scene.acme).await.contains(&Tampering::Hash { seq: 7 }));
    // An entry of another tenant in the place of one's own, everything behind it rehashed, the row set to fit.
    let scene = Scene::new().await;
    scene.world.tamper(&format!(
        "DELETE FROM tenantry.audit WHERE {} AND seq = 12; {}",
        scene.of(scene.acme),
        copy(12, scene.globex, scene.acme)
    ));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Hash { seq: 12 }]);
    let head = scene.rehash(scene.acme, 12).await;
    scene.reset_row(scene.acme, 12, &head);
    let found = scene.found(scene.acme).await;
    assert!(
        matches!(&found[..], [Tampering::Foreign { seq: 12, says }] if says.contains("tenant.update")),
        "{found:?}"
    );
}

#[tokio::test]
async fn removed_tenants() {
    // The row alone.
    let scene = Scene::new().await;
    scene.world.tamper(&format!("DELETE FROM tenantry.tenant WHERE id = '{}'", scene.acme.uuid()));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Orphaned { found: 12 }]);
    // With its entries: history and events remember it.
    scene.world.tamper(&format!("DELETE FROM tenantry.audit WHERE {}", scene.of(scene.acme)));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Orphaned { found: 0 }]);
    scene.world.tamper(&format!("DELETE FROM tenantry.tenant_version WHERE tenant = '{}'", scene.acme.uuid()));
    assert_eq!(scene.found(scene.acme).await, [Tampering::Orphaned { found: 0 }]);
    // The version of a tenant that stays.
    let scene = Scene::new().await;
    scene.world.tamper(&format!("UPDATE tenantry.tenant SET version = 13 WHERE id = '{}'", scene.globex.uuid()));
    assert_eq!(scene.found(scene.globex).await, [Tampering::Version { version: 13, mutations: 12 }]);
}

#[tokio::test]
async fn text_that_is_not_even_json_is_a_finding_and_no_failure() {
    let scene = Scene::new().await;
    scene.world.tamper(&format!(
        "UPDATE tenantry.audit SET entry = 'not json at all' WHERE {} AND seq = 2",
        scene.of(scene.acme)
    ));
    assert!(scene.found(scene.acme).await.contains(&Tampering::Hash { seq: 2 }));
    let head = scene.rehash(scene.acme, 2).await;
    scene.reset_row(scene.acme, 12, &head);
    assert!(matches!(scene.found(scene.acme).await[0], Tampering::Foreign { seq: 2, .. }));
}

#[tokio::test]
async fn entries_are_listed_by_every_filter_and_page_by_page() {
    use tenantry_domain::audit::{Category, Outcome};
    let scene = Scene::new().await;
    let reader = scene.world.store.read(&prod());
    let count = |filter: AuditFilter| {
        let reader = reader.clone();
        async move {
            let (mut seen, mut token) = (Vec::new(), None::<String>);
            loop {
                let request = PageRequest { token: token.as_deref(), ..first_page(5) };
                let page = reader.audit(&filter, &request).await.unwrap();
                seen.extend(page.items.iter().map(|row| (row.subject, row.seq)));
                match page.next {
                    Some(next) => token = Some(next),
                    None => break,
                }
            }
            let mut unique = seen.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), seen.len());
            seen.len()
        }
    };
    assert_eq!(count(AuditFilter::default()).await, 24);
    assert_eq!(count(AuditFilter { subject: Some(scene.acme.into()), ..AuditFilter::default() }).await, 12);
    assert_eq!(count(AuditFilter { action: Some("tenant.update".into()), ..AuditFilter::default() }).await, 24);
    assert_eq!(
        count(AuditFilter {
            category: Some(Category::Mutation),
            outcome: Some(Outcome::Success),
            ..AuditFilter::default()
        })
        .await,
        24
    );
    assert_eq!(count(AuditFilter { outcome: Some(Outcome::Denied), ..AuditFilter::default() }).await, 0);
    assert_eq!(count(AuditFilter { actor: Some("operator:olga".into()), ..AuditFilter::default() }).await, 24);
    assert_eq!(count(AuditFilter { correlation_id: Some("c-1".into()), ..AuditFilter::default() }).await, 24);
    let since = Some(crate::world::at(10));
    assert_eq!(count(AuditFilter { since, ..AuditFilter::default() }).await, 4);
    assert_eq!(
        count(AuditFilter { until: since, subject: Some(scene.globex.into()), ..AuditFilter::default() }).await,
        10
    );
    let newest = reader
        .audit(&AuditFilter { subject: Some(scene.acme.into()), ..AuditFilter::default() }, &first_page(1))
        .await
        .unwrap();
    let row = &newest.items[0];
    assert_eq!((row.seq, row.entry.seq, row.entry.tenant), (12, 12, Some(scene.acme)));
    assert_eq!(row.entry.canonical(), row.canonical);
}
