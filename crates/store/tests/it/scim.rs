//! A customer's directory in tables: pages of its users, how many groups they are in, and which roles it gives.

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::id::TenantId;
use tenantry_domain::member::RoleName;
use tenantry_domain::member::scim::{Person, Team};
use tenantry_store::{Choice, DirectoryRow, Entry, GroupPut, ScimUserPut, ScimUserRow, WriteTx};
use uuid::Uuid;

use crate::world::{World, at, draft, fresh, permit, prod};

async fn open(world: &World, tenant: TenantId) -> WriteTx {
    let mut tx = world.store.write(&permit(), at(1)).await.unwrap();
    tx.tenants().lock(tenant).await.unwrap();
    tx
}

fn entry(tenant: TenantId) -> Entry {
    Entry::tenant(tenant, draft("scim.write", Category::Access, None), vec![])
}

fn put_group(tx: &mut WriteTx, tenant: TenantId, name: &str, role: Option<&RoleName>) -> Uuid {
    let (id, team) = (fresh(), Team { name: name.into(), key: name.to_lowercase(), external_id: None });
    tx.scim().put_group(tenant, id, &GroupPut { team: &team, role });
    id
}

#[tokio::test]
async fn users_come_in_pages_with_their_groups_when_those_are_wanted() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let mut tx = open(&world, acme).await;
    for name in ["anna", "ben", "carl", "dora", "emil"] {
        let doc = json!({ "userName": name }).as_object().unwrap().clone();
        let person = Person::of(&doc);
        let put = ScimUserPut { doc: &doc, person: &person, identity: None, user: None };
        tx.scim().put_user(acme, fresh(), &put);
    }
    tx.commit(vec![entry(acme)]).await.unwrap();
    let reader = world.store.read(&prod());
    let all = reader.scim_users(acme, Choice::All { skip: 0, limit: 100 }, true).await.unwrap();
    let ids = |rows: &[ScimUserRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let ids_of_all = ids(&all);
    assert_eq!(ids_of_all.len(), 5);
    assert!(ids_of_all.is_sorted());

    let mut tx = open(&world, acme).await;
    let groups = [put_group(&mut tx, acme, "Staff", None), put_group(&mut tx, acme, "Admins", None)];
    tx.scim().join_group(acme, groups[0], &ids_of_all);
    assert!(!tx.scim().is_crowded(acme, &ids_of_all, 1).await.unwrap());
    tx.scim().join_group(acme, groups[1], &ids_of_all[2..3]);
    assert!(tx.scim().is_crowded(acme, &ids_of_all, 1).await.unwrap(), "what was queued counts");
    assert!(!tx.scim().is_crowded(acme, &ids_of_all[..2], 1).await.unwrap(), "others are not asked about");
    assert!(!tx.scim().is_crowded(acme, &ids_of_all, 2).await.unwrap());
    tx.commit(vec![entry(acme)]).await.unwrap();

    for (with_groups, sizes) in [(true, [1, 2]), (false, [0, 0])] {
        let skipped = reader.scim_users(acme, Choice::All { skip: 1, limit: 2 }, with_groups).await.unwrap();
        let after = Choice::After { id: ids_of_all[0], limit: 2 };
        let behind = reader.scim_users(acme, after, with_groups).await.unwrap();
        assert_eq!(ids(&skipped), ids_of_all[1..3]);
        assert_eq!(skipped, behind);
        assert_eq!(behind.iter().map(|row| row.groups.len()).collect::<Vec<_>>(), sizes);
    }
    let mut last = Uuid::nil();
    let mut seen = Vec::new();
    loop {
        let rows = reader.scim_users(acme, Choice::After { id: last, limit: 2 }, false).await.unwrap();
        let Some(row) = rows.last() else { break };
        last = row.id;
        seen.extend(ids(&rows));
    }
    assert_eq!(seen, ids_of_all);
    let behind = reader.scim_groups(acme, Choice::After { id: groups[0].min(groups[1]), limit: 9 }).await.unwrap();
    assert_eq!(behind.len(), 1);
}

#[tokio::test]
async fn what_the_directory_gives_is_a_use_of_a_role() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let support = RoleName::parse("support").unwrap();
    let mut tx = open(&world, acme).await;
    let uses = tx.members().role_uses(acme, &support).await.unwrap();
    assert_eq!((uses.groups, uses.is_default), (0, false));
    put_group(&mut tx, acme, "Staff", Some(&support));
    put_group(&mut tx, acme, "Others", None);
    let row = DirectoryRow { default_role: support.clone(), ..DirectoryRow::default() };
    tx.scim().put_directory(acme, &row).await.unwrap();
    let uses = tx.members().role_uses(acme, &support).await.unwrap();
    assert_eq!((uses.groups, uses.is_default), (1, true));
    let theirs = tx.members().role_uses(globex, &support).await.unwrap();
    assert_eq!((theirs.groups, theirs.is_default), (0, false), "another tenant's");
}
