//! Who asks for names that nobody has, and what that costs our database.

use tenantry_control::routes::resolve;
use tenantry_control::{Refusal, tenants};
use tenantry_domain::access::Claims;
use tenantry_domain::id::TenantId;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;

use crate::world::{World, spec};

const AWAY: &str = "ALTER TABLE tenantry.tenant RENAME TO tenant_away";
const BACK: &str = "ALTER TABLE tenantry.tenant_away RENAME TO tenant";

impl World {
    async fn names(&self, tenant: &str) -> Result<(), Refusal> {
        let claims = Claims { header: Some(tenant), ..Claims::default() };
        resolve(&self.cx(), &self.deps, &claims).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_has_reaches_our_database_once_in_a_while() {
    let world = World::new().await;
    let id = TenantId::from_uuid(uuid::Uuid::now_v7()).to_string();
    for name in ["nobody", id.as_str()] {
        // On a slow machine the moment for which it is remembered may be over before the second question.
        let is_remembered = async || {
            assert!(matches!(world.names(name).await, Err(Refusal::NoTenant(_))));
            world.sql(AWAY);
            let again = world.names(name).await;
            world.sql(BACK);
            matches!(again, Err(Refusal::NoTenant(_)))
        };
        let mut seen = false;
        for _ in 0..20 {
            seen = is_remembered().await;
            if seen {
                break;
            }
        }
        assert!(seen, "`{name}` is looked for each time");
    }
    // Somebody who comes is met at once where that happens.
    assert!(matches!(world.names("acme").await, Err(Refusal::NoTenant(_))));
    let slug = Slug::parse("acme").unwrap();
    tenants::create(&world.cx(), &world.deps, slug, spec("starter", Phase::Draft)).await.unwrap();
    world.names("acme").await.unwrap();
}
