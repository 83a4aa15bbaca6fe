//! A customer's directory by SCIM: what it may, what it may not, and what becomes of the tenant's members.
//!
//! Long because one world with its helpers serves all of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{Ask, Reply, World, manifest};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ISSUER: &str = "https://login.acme.example";

/// A tenant with an API key for its directory.
struct Directory<'w> {
    world: &'w World,
    slug: &'static str,
    key: String,
}

async fn key(world: &World, slug: &str, scopes: &[&str]) -> String {
    let body = json!({ "name": "directory", "roles": ["tenant"], "tenant": slug, "scopes": scopes });
    let made = world.post("tokens").keyed().json(&body).send().await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["text"].as_str().unwrap().to_owned()
}

impl<'w> Directory<'w> {
    async fn new(world: &'w World, slug: &'static str) -> Self {
        world.draft(slug).await;
        Self { world, slug, key: key(world, slug, &["scim.*"]).await }
    }

    /// With the issuer whose subjects the external ids are.
    async fn connected(world: &'w World, slug: &'static str) -> Self {
        let made = Self::new(world, slug).await;
        let body = json!({ "issuer": ISSUER });
        let path = format!("tenants/{slug}/directory");
        let set = world.ask("PUT", &path).keyed().header("if-match", "\"v0\"").json(&body).send().await;
        assert_eq!((set.status.as_u16(), set.header("etag")), (200, "\"v1\""), "{set:?}");
        made
    }

    fn at(&self, slug: &str, path: &str) -> String {
        format!("/scim/v2/environments/{}/tenants/{slug}/{path}", self.world.environment)
    }

    fn ask(&self, method: &str, path: &str) -> Ask<'w> {
        let bearer = format!("Bearer {}", self.key);
        self.world.bare(method, &self.at(self.slug, path)).header("authorization", &bearer)
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send().await
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.ask(method, path).text("application/scim+json", &body.to_string()).send().await
    }

    async fn patch(&self, path: &str, operations: Value) -> Reply {
        self.send("PATCH", path, &json!({ "schemas": [PATCH], "Operations": operations })).await
    }

    async fn user(&self, name: &str) -> Value {
        let made = self.send("POST", "Users", &person(name)).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()
    }

    async fn group(&self, name: &str, members: &[&Value]) -> String {
        let members: Vec<_> = members.iter().map(|user| json!({ "value": user["id"] })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        let made = self.send("POST", "Groups", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["id"].as_str().unwrap().to_owned()
    }

    async fn map(&self, group: &str, body: Value) -> Reply {
        let path = format!("tenants/{}/directory/groups/{group}/role", self.slug);
        self.world.ask("PUT", &path).keyed().json(&body).send().await
    }

    /// Role by subject.
    async fn members(&self) -> BTreeMap<String, String> {
        let found = self.world.get(&format!("tenants/{}/members?pageSize=200", self.slug)).send().await.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found["items"].as_array().unwrap().iter().map(|one| (text(&one["subject"]), text(&one["role"]))).collect()
    }

    async fn member(&self, subject: &str) -> Value {
        let found = self.world.get(&format!("tenants/{}/members?pageSize=200", self.slug)).send().await.json();
        let all = found["items"].as_array().unwrap();
        all.iter().find(|one| one["subject"] == subject).cloned().unwrap_or(Value::Null)
    }

    async fn add(&self, subject: &str, role: &str) -> String {
        let body =
            json!({ "issuer": ISSUER, "subject": subject, "email": format!("{subject}@acme.example"), "role": role });
        let made = self.world.post(&format!("tenants/{}/members", self.slug)).keyed().json(&body).send().await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["user"].as_str().unwrap().to_owned()
    }
}

/// `externalId` is the name in front of the `@`.
fn person(name: &str) -> Value {
    json!({
        "schemas": [USER], "userName": format!("{name}@acme.example"), "externalId": name, "active": true,
        "name": { "givenName": name, "familyName": "Arendt" },
        "emails": [{ "value": format!("{name}@acme.example"), "type": "work", "primary": true }],
    })
}

/// Checks that this is a complete error in the protocol's words.
#[track_caller]
fn error(reply: &Reply, status: u16, word: Option<&str>, code: &str) -> String {
    assert_eq!(reply.status.as_u16(), status, "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/scim+json", "{reply:?}");
    let body = reply.json();
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{body}");
    assert_eq!(body["status"], status.to_string(), "{body}");
    assert_eq!(body.get("scimType").and_then(Value::as_str), word, "{body}");
    let detail = body["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with(&format!("{code}: ")), "{detail}");
    assert!(reply.header("x-request-id").starts_with("req_"), "{reply:?}");
    detail
}

#[tokio::test]
async fn a_user_of_the_directory_is_a_member_while_active() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let made = acme.send("POST", "Users", &person("anna")).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "W/\"1\""), "{made:?}");
    assert_eq!(made.header("content-type"), "application/scim+json");
    let anna = made.json();
    let id = anna["id"].as_str().unwrap();
    let here = format!("Users/{id}");
    assert_eq!(made.header("location"), acme.at("acme", &here));
    assert_eq!(anna["meta"]["location"], acme.at("acme", &here));
    assert_eq!((&anna["roles"][0]["value"], &anna["active"]), (&json!("readonly"), &json!(true)));
    let member = acme.member("anna").await;
    assert_eq!((&member["email"], &member["name"]), (&json!("anna@acme.example"), &json!("anna Arendt")));
    assert_eq!(member["issuer"], ISSUER);

    // As Entra ID says it; the right is gone with the answer, and back with the next one, as the same user.
    let off = acme.patch(&here, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await;
    assert_eq!((off.status.as_u16(), &off.json()["active"]), (200, &json!(false)), "{off:?}");
    assert_eq!(acme.members().await.len(), 0);
    let check = json!({ "user": member["user"], "permission": "tenant:data:read" });
    let checked = world.post("tenants/acme/members:check").json(&check).send().await.json();
    assert_eq!(checked["allowed"], false, "{checked}");
    assert!(off.json().get("roles").is_none());
    let on = acme.patch(&here, json!([{ "op": "replace", "value": { "active": true } }])).await;
    assert_eq!(on.status, 200, "{on:?}");
    assert_eq!(acme.member("anna").await["user"], member["user"]);

    // A member whom an admin removed is not active any more, until the directory says so.
    let user = member["user"].as_str().unwrap();
    let gone =
        world.ask("DELETE", &format!("tenants/acme/members/{user}")).keyed().header("if-match", "*").send().await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(acme.get(&here).await.json()["active"], false);
    let put = acme.send("PUT", &here, &person("anna")).await;
    assert_eq!((put.status.as_u16(), &put.json()["active"]), (200, &json!(true)), "{put:?}");
    assert_eq!(acme.member("anna").await["role"], "readonly");

    // What the directory says of a member is told to this tenant.
    let renamed = acme
        .patch(
            &here,
            json!([
                { "op": "replace", "path": "displayName", "value": "Dr. Anna" },
                { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "dr.anna@acme.example" },
            ]),
        )
        .await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let member = acme.member("anna").await;
    assert_eq!((&member["email"], &member["name"]), (&json!("dr.anna@acme.example"), &json!("Dr. Anna")));
    // Without an address they stay who they are, and can still be put out.
    let unaddressed =
        json!([{ "op": "remove", "path": "emails" }, { "op": "replace", "path": "userName", "value": "anna" }]);
    assert_eq!(acme.patch(&here, unaddressed).await.status, 200);
    assert_eq!(acme.member("anna").await["email"], "dr.anna@acme.example");
    for (active, members) in [(false, 0), (true, 0)] {
        acme.patch(&here, json!([{ "op": "replace", "path": "active", "value": active }])).await;
        assert_eq!(acme.members().await.len(), members, "nobody is a member without an address");
    }
    let back = acme.send("PUT", &here, &person("anna")).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(acme.members().await.len(), 1);
    // Another external id is another person.
    let other = acme.patch(&here, json!([{ "op": "replace", "path": "externalId", "value": "hannah" }])).await;
    assert_eq!(other.status, 200, "{other:?}");
    assert_eq!(acme.members().await.into_keys().collect::<Vec<_>>(), ["hannah"]);

    assert_eq!(acme.ask("DELETE", &here).send().await.status, 204);
    assert_eq!(acme.members().await.len(), 0);
    error(&acme.get(&here).await, 404, None, "TEN-0006");
    error(&acme.ask("DELETE", &here).send().await, 404, None, "TEN-0006");
    let events = world.get("tenants/acme/events?pageSize=200").send().await.text;
    for kind in ["member.joined", "member.removed"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
    world.end().await;
}

#[tokio::test]
async fn groups_give_the_roles_that_an_admin_mapped() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let [anna, ben] = [acme.user("anna").await, acme.user("ben").await];
    let staff = acme.group("Staff", &[&anna, &ben]).await;
    let admins = acme.group("Admins", &[&anna]).await;
    let roles = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(who, role)| ((*who).to_owned(), (*role).to_owned())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(acme.members().await, roles(&[("anna", "readonly"), ("ben", "readonly")]));
    let mapped = acme.map(&staff, json!({ "role": "member" })).await;
    assert_eq!((mapped.status.as_u16(), &mapped.json()["size"]), (200, &json!(2)), "{mapped:?}");
    assert_eq!(acme.map(&admins, json!({ "role": "admin" })).await.status, 200);
    assert_eq!(acme.members().await, roles(&[("anna", "admin"), ("ben", "member")]));
    let shown = acme.get(&format!("Users/{}", anna["id"].as_str().unwrap())).await.json();
    assert_eq!(shown["roles"][0]["value"], "admin");
    assert_eq!(shown["groups"].as_array().unwrap().len(), 2, "{shown}");

    // Who leaves a group loses what it gave, in the same answer; who comes has it.
    let operation = json!([{ "op": "Remove", "path": "members", "value": [{ "value": anna["id"] }] }]);
    let left = acme.patch(&format!("Groups/{admins}"), operation).await;
    assert_eq!((left.status.as_u16(), left.text.as_str()), (204, ""), "{left:?}");
    assert_eq!(acme.members().await, roles(&[("anna", "member"), ("ben", "member")]));
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": ben["id"] }] }]);
    assert_eq!(acme.patch(&format!("Groups/{admins}"), add.clone()).await.status, 204);
    assert_eq!(acme.members().await, roles(&[("anna", "member"), ("ben", "admin")]));
    // The same once more changes nothing, and leaves nothing.
    let before = world.rows().await;
    assert_eq!(acme.patch(&format!("Groups/{admins}"), add).await.status, 204);
    assert_eq!(world.rows().await, before);
    // Somebody who comes back gets what the groups give.
    for active in [false, true] {
        let operation = json!([{ "op": "replace", "path": "active", "value": active }]);
        acme.patch(&format!("Users/{}", ben["id"].as_str().unwrap()), operation).await;
    }
    assert_eq!(acme.members().await, roles(&[("anna", "member"), ("ben", "admin")]));
    assert_eq!(acme.ask("DELETE", &format!("Groups/{admins}")).send().await.status, 204);
    assert_eq!(acme.members().await, roles(&[("anna", "member"), ("ben", "member")]));
    assert_eq!(acme.map(&staff, json!({})).await.status, 200);
    assert_eq!(acme.members().await, roles(&[("anna", "readonly"), ("ben", "readonly")]));

    // Ownership is nobody's to give by a group, and a default role works at once.
    acme.map(&staff, json!({ "role": "owner" })).await.problem("TEN-0027");
    acme.map(&staff, json!({ "role": "nonsense" })).await.problem("TEN-0006");
    acme.map("019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90", json!({ "role": "member" })).await.problem("TEN-0006");
    let set =
        |body: Value| world.ask("PUT", "tenants/acme/directory").keyed().header("if-match", "*").json(&body).send();
    set(json!({ "issuer": ISSUER, "defaultRole": "owner" })).await.problem("TEN-0027");
    assert_eq!(set(json!({ "issuer": ISSUER, "defaultRole": "member" })).await.status, 200);
    assert_eq!(acme.members().await, roles(&[("anna", "member"), ("ben", "member")]));
    let listed = world.get("tenants/acme/directory/groups").send().await.json();
    assert_eq!((&listed["items"][0]["name"], listed["items"][0].get("role")), (&json!("Staff"), None));
    let shown = world.get("tenants/acme/directory").send().await.json();
    assert_eq!((&shown["users"], &shown["members"], &shown["groups"]), (&json!(2), &json!(2), &json!(1)), "{shown}");

    // On behalf of a member: nobody gives more than they hold.
    let mia = acme.add("mia", "member").await;
    let refused = acme.map(&staff, json!({ "role": "admin", "actingUser": mia })).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let arne = acme.add("arne", "admin").await;
    assert_eq!(acme.map(&staff, json!({ "role": "admin", "actingUser": arne })).await.status, 403);
    assert_eq!(acme.map(&staff, json!({ "role": "member", "actingUser": arne })).await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn what_the_directory_gives_is_kept_and_only_changed_by_who_may_give_it() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let role = |method: &str, version: &str| {
        world.ask(method, "tenants/acme/roles/support").keyed().header("if-match", version)
    };
    let made = role("PUT", "\"v0\"").json(&json!({ "permissions": ["feature:exports"] })).send().await;
    assert_eq!(made.status, 200, "{made:?}");
    let set =
        |body: Value| world.ask("PUT", "tenants/acme/directory").keyed().header("if-match", "*").json(&body).send();
    let staff = acme.group("Staff", &[]).await;
    assert_eq!(acme.map(&staff, json!({ "role": "support" })).await.status, 200);
    role("DELETE", "*").send().await.problem("TEN-0036");
    assert_eq!(acme.map(&staff, json!({})).await.status, 200);
    assert_eq!(set(json!({ "issuer": ISSUER, "defaultRole": "support" })).await.status, 200);
    role("DELETE", "*").send().await.problem("TEN-0036");
    assert_eq!(set(json!({ "issuer": ISSUER, "defaultRole": "admin" })).await.status, 200);
    assert_eq!(role("DELETE", "*").send().await.status, 200);

    // On behalf of a member: the default before is as much theirs to take as the one behind is theirs to give.
    let (arne, olga) = (acme.add("arne", "admin").await, acme.add("olga", "owner").await);
    let lower = |acting: &str| set(json!({ "issuer": ISSUER, "defaultRole": "member", "actingUser": acting }));
    assert_eq!(lower(&arne).await.status, 403);
    assert_eq!(lower(&olga).await.status, 200);
    let weaker = json!({ "issuer": ISSUER, "defaultRole": "readonly", "actingUser": arne });
    assert_eq!(set(weaker).await.status, 200);
    // Whoever names the issuer names who signs in as the tenant's admins.
    for other in [json!({ "issuer": "https://other.example" }), json!({ "issuer": ISSUER, "pool": "other" })] {
        let on_behalf = |acting: &str| {
            let mut body = other.clone();
            body["defaultRole"] = json!("readonly");
            body["actingUser"] = json!(acting);
            set(body)
        };
        assert_eq!(on_behalf(&arne).await.status, 403, "{other}");
        assert_eq!(on_behalf(&olga).await.status, 200, "{other}");
        assert_eq!(set(json!({ "issuer": ISSUER, "defaultRole": "readonly" })).await.status, 200);
    }
    world.end().await;
}

/// What an admin may not do to a member by hand, no group does for them.
#[tokio::test]
async fn nobody_takes_or_gives_by_a_group_what_they_could_not_by_hand() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let (olga, arne) = (acme.add("olga", "owner").await, acme.add("arne", "admin").await);
    let bea = acme.add("bea", "admin").await;
    let staff = acme.group("Staff", &[&acme.user("bea").await]).await;
    let by_hand = world.ask("PATCH", &format!("tenants/acme/members/{bea}")).keyed().header("if-match", "*");
    by_hand.json(&json!({ "role": "readonly", "actingUser": arne })).send().await.problem("TEN-0061");
    acme.map(&staff, json!({ "role": "readonly", "actingUser": arne })).await.problem("TEN-0061");
    assert_eq!(acme.members().await["bea"], "admin");
    assert_eq!(acme.map(&staff, json!({ "role": "readonly", "actingUser": olga })).await.status, 200);
    assert_eq!(acme.members().await["bea"], "readonly");
    // Taking the weak role away would give the strong default.
    let set = world.ask("PUT", "tenants/acme/directory").keyed().header("if-match", "*");
    let set = set.json(&json!({ "issuer": ISSUER, "defaultRole": "admin" })).send().await;
    assert_eq!(set.status, 200, "{set:?}");
    acme.map(&staff, json!({ "actingUser": arne })).await.problem("TEN-0061");
    assert_eq!(acme.members().await["bea"], "readonly");
    assert_eq!(acme.map(&staff, json!({ "actingUser": olga })).await.status, 200);
    assert_eq!(acme.members().await["bea"], "admin");
    world.end().await;
}

/// The key of one tenant at the path of another, and a key that may do SCIM and nothing else.
#[tokio::test]
async fn a_directory_reaches_its_own_tenant_and_nothing_else_of_it() {
    let world = World::forgiving().await;
    let acme = Directory::connected(&world, "acme").await;
    let globex = Directory::connected(&world, "globex").await;
    let theirs = globex.user("gus").await;
    let group = globex.group("Theirs", &[&theirs]).await;
    let id = theirs["id"].as_str().unwrap();
    let body = person("eve");
    let before = world.rows().await;
    let bearer = format!("Bearer {}", acme.key);
    let routes = [
        ("GET", "Users".to_owned()),
        ("POST", "Users".to_owned()),
        ("GET", format!("Users/{id}")),
        ("PUT", format!("Users/{id}")),
        ("PATCH", format!("Users/{id}")),
        ("DELETE", format!("Users/{id}")),
        ("GET", "Groups".to_owned()),
        ("POST", "Groups".to_owned()),
        ("GET", format!("Groups/{group}")),
        ("DELETE", format!("Groups/{group}")),
        ("GET", "ServiceProviderConfig".to_owned()),
        ("GET", "ResourceTypes".to_owned()),
        ("GET", "Schemas/urn:ietf:params:scim:schemas:core:2.0:User".to_owned()),
    ];
    for (method, path) in &routes {
        let send = async |slug: &str, bearer: &str| {
            let ask = world.bare(method, &acme.at(slug, path)).header("authorization", bearer);
            let body = match (*method, path.starts_with("Group")) {
                ("PATCH", _) => {
                    json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "active", "value": false }] })
                }
                (_, true) => json!({ "schemas": [GROUP], "displayName": "x" }),
                _ => body.clone(),
            };
            let ask = if matches!(*method, "GET" | "DELETE") { ask } else { ask.json(&body) };
            ask.send().await
        };
        let hidden = send("globex", &bearer).await;
        let detail = error(&hidden, 404, None, "TEN-0005");
        let absent = error(&send("initech", &bearer).await, 404, None, "TEN-0005");
        assert_eq!(detail.replace("globex", "NAME"), absent.replace("initech", "NAME"), "{method} {path}");
        error(&send("acme", "Bearer ten_live_nonsense").await, 401, None, "TEN-0021");
        // The same ids below the own tenant are nobody's.
        if path.contains(id) || path.contains(&group) {
            error(&send("acme", &bearer).await, 404, None, "TEN-0006");
        }
    }
    assert_eq!(world.rows().await, before, "nothing was written");
    // Their group cannot take in our user, nor ours theirs.
    let mixed = json!({ "schemas": [GROUP], "displayName": "Mixed", "members": [{ "value": id }] });
    error(&acme.send("POST", "Groups", &mixed).await, 400, Some("invalidValue"), "TEN-0084");
    for path in ["tenants/acme", "tenants/acme/members", "tenants/acme/directory", "tenants/acme/audit", "tenants"] {
        let asked = world.bare("GET", &format!("/v1/environments/{}/{path}", world.environment));
        let reply = asked.header("authorization", &bearer).send().await;
        assert_eq!(reply.status, 403, "{path}: {reply:?}");
    }
    let map = format!("/v1/environments/{}/tenants/acme/directory/groups/{group}/role", world.environment);
    let mapped =
        world.bare("PUT", &map).header("authorization", &bearer).keyed().json(&json!({ "role": "admin" })).send();
    mapped.await.problem("TEN-0022");
    // A key without the scope, and one that may only read.
    let other = format!("Bearer {}", key(&world, "acme", &["member.*"]).await);
    let reads = format!("Bearer {}", key(&world, "acme", &["scim.read"]).await);
    let send = |method: &str, bearer: &str| {
        let ask = world.bare(method, &acme.at("acme", "Users")).header("authorization", bearer);
        if method == "GET" { ask.send() } else { ask.json(&body).send() }
    };
    error(&send("GET", &other).await, 403, None, "TEN-0022");
    error(&send("POST", &reads).await, 403, None, "TEN-0022");
    assert_eq!(send("GET", &reads).await.status, 200);
    // Refused writes stand in the audit.
    let audit = world.get("tenants/acme/audit?action=scim.write&pageSize=200").send().await.json();
    assert!(audit["items"].as_array().unwrap().iter().any(|entry| entry["outcome"] == "denied"), "{audit}");
    world.end().await;
}

#[tokio::test]
async fn what_nobody_asked_for_is_not_taken() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let mut body = person("eve");
    for (name, value) in [
        ("roles", json!([{ "value": "owner", "primary": true }])),
        ("role", json!("owner")),
        ("groups", json!([{ "value": "019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90" }])),
        ("tenant", json!("globex")),
        ("id", json!("019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90")),
        ("user_id", json!("usr_01jd8x3v9mfk2t5h7q0w4z6y8c")),
        ("identity", json!({ "issuer": "https://evil.example", "pool": "", "subject": "1" })),
        ("issuer", json!("https://evil.example")),
        ("password", json!("correct horse battery staple")),
        ("meta", json!({ "created": "1970-01-01T00:00:00Z", "version": "W/\"9\"" })),
    ] {
        body[name] = value;
    }
    let made = acme.send("POST", "Users", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let eve = made.json();
    assert_eq!(eve["roles"], json!([{ "value": "readonly", "primary": true }]));
    for name in ["role", "tenant", "groups", "user_id", "identity", "issuer", "password"] {
        assert!(eve.get(name).is_none(), "{name}: {eve}");
    }
    assert_ne!(eve["id"], body["id"]);
    let member = acme.member("eve").await;
    assert_eq!((&member["issuer"], &member["role"]), (&json!(ISSUER), &json!("readonly")));
    let stored = "SELECT doc::text || coalesce(identity::text, '') FROM tenantry.scim_user";
    let conn = world.deps.store().pool().get().await.unwrap();
    let text: String = conn.query_one(stored, &[]).await.unwrap().get(0);
    conn.release();
    assert!(!text.contains("battery") && !text.contains("evil"), "{text}");
    let here = format!("Users/{}", eve["id"].as_str().unwrap());
    for (path, value) in [("roles", json!([{ "value": "owner" }])), ("id", json!("x")), ("groups", json!([]))] {
        let reply = acme.patch(&here, json!([{ "op": "replace", "path": path, "value": value }])).await;
        error(&reply, 400, Some("mutability"), "TEN-0084");
    }
    let quiet = acme.patch(
        &here,
        json!([{ "op": "replace", "value": { "id": "x", "roles": ["owner"], "role": "owner", "password": "x" } }]),
    );
    assert_eq!(quiet.await.json()["meta"]["version"], "W/\"1\"", "nothing was changed");
    world.end().await;
}

#[tokio::test]
async fn fifty_equal_creates_make_one_user() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let body = person("anna");
    let all = futures_util::future::join_all((0..50).map(|_| acme.send("POST", "Users", &body))).await;
    let made = all.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 1);
    for reply in all.iter().filter(|reply| reply.status != 201) {
        error(reply, 409, Some("uniqueness"), "TEN-0085");
    }
    assert_eq!(acme.get("Users").await.json()["totalResults"], 1);
    assert_eq!(acme.members().await.len(), 1);
    let mut shouting = person("other");
    shouting["userName"] = json!("ANNA@acme.example");
    error(&acme.send("POST", "Users", &shouting).await, 409, Some("uniqueness"), "TEN-0085");
    let mut same = person("other");
    same["externalId"] = json!("anna");
    let detail = error(&acme.send("POST", "Users", &same).await, 409, Some("uniqueness"), "TEN-0085");
    assert!(detail.contains("`externalId`"), "{detail}");
    acme.group("Staff", &[]).await;
    let again = acme.send("POST", "Groups", &json!({ "schemas": [GROUP], "displayName": "STAFF" })).await;
    error(&again, 409, Some("uniqueness"), "TEN-0085");
    world.end().await;
}

#[tokio::test]
async fn owners_are_neither_made_nor_unmade_and_the_last_one_stays() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let olga = acme.add("olga", "owner").await;
    // The directory takes over whom it finds; ownership stays as it is, whatever groups say.
    let shown = acme.user("olga").await;
    assert_eq!(shown["roles"][0]["value"], "owner");
    assert_eq!(acme.member("olga").await["user"], olga.as_str());
    let group = acme.group("Readers", &[&shown]).await;
    acme.map(&group, json!({ "role": "readonly" })).await;
    assert_eq!(acme.member("olga").await["role"], "owner");
    let here = format!("Users/{}", shown["id"].as_str().unwrap());
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    let before = world.rows().await;
    error(&acme.patch(&here, off.clone()).await, 400, Some("mutability"), "TEN-0062");
    let mut inactive = person("olga");
    inactive["active"] = json!(false);
    error(&acme.send("PUT", &here, &inactive).await, 400, Some("mutability"), "TEN-0062");
    let mut other = person("olga");
    other["externalId"] = json!("otto");
    error(&acme.send("PUT", &here, &other).await, 400, Some("mutability"), "TEN-0062");
    error(&acme.ask("DELETE", &here).send().await, 409, None, "TEN-0062");
    assert_eq!(world.rows().await, before);
    // With another owner she may go; back she comes as what the groups say.
    acme.add("otto", "owner").await;
    assert_eq!(acme.patch(&here, off).await.status, 200);
    let on = acme.patch(&here, json!([{ "op": "replace", "path": "active", "value": true }])).await;
    assert_eq!(on.json()["roles"][0]["value"], "readonly", "{on:?}");
    world.end().await;
}

#[tokio::test]
async fn the_plans_places_hold_also_for_those_who_have_not_come_yet() {
    let world = World::quiet().await;
    let plan = "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: tiny }\nspec: { isolation: shared, quotas: { users: 2 } }\n";
    assert_eq!(world.post("manifests:apply").keyed().yaml(plan).send().await.status, 200);
    let mut tiny = manifest("tiny");
    tiny["spec"]["plan"] = json!("tiny");
    assert_eq!(world.post("tenants").keyed().json(&tiny).send().await.status, 202);
    let key = key(&world, "tiny", &["scim.*"]).await;
    // Nobody said whose subjects the external ids are, so all of them wait for their first log-in.
    let tiny = Directory { world: &world, slug: "tiny", key };
    tiny.user("anna").await;
    tiny.user("ben").await;
    assert_eq!(tiny.members().await.len(), 0);
    let detail = error(&tiny.send("POST", "Users", &person("carl")).await, 403, None, "TEN-0068");
    assert!(detail.contains("2 of at most 2"), "{detail}");
    let mut idle = person("carl");
    idle["active"] = json!(false);
    let carl = tiny.send("POST", "Users", &idle).await;
    assert_eq!(carl.status, 201, "somebody who is not active takes no place: {carl:?}");
    let here = format!("Users/{}", carl.json()["id"].as_str().unwrap());
    let on = json!([{ "op": "replace", "path": "active", "value": true }]);
    error(&tiny.patch(&here, on.clone()).await, 403, None, "TEN-0068");
    let ben = tiny.get("Users?filter=externalId%20eq%20%22ben%22").await.json()["Resources"][0]["id"].clone();
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    assert_eq!(tiny.patch(&format!("Users/{}", ben.as_str().unwrap()), off).await.status, 200);
    assert_eq!(tiny.patch(&here, on).await.status, 200);
    world.end().await;
}

/// An address that the directory says makes nobody a member: the issuer has to have verified it, and the tenant to have
/// proven its domain.
#[tokio::test]
async fn whom_the_directory_announced_claims_the_place_by_a_proven_address() {
    let world = World::quiet().await;
    let mut wanted = manifest("acme");
    wanted["spec"]["domains"] = json!(["acme.example"]);
    assert_eq!(world.post("tenants").keyed().json(&wanted).send().await.status, 202);
    let key = key(&world, "acme", &["scim.*"]).await;
    let acme = Directory { world: &world, slug: "acme", key };
    let anna = acme.user("anna").await;
    let mut elsewhere = person("eve");
    elsewhere["emails"][0]["value"] = json!("ceo@globex.example");
    assert_eq!(acme.send("POST", "Users", &elsewhere).await.status, 201);
    let claim = async |email: &str, verified: bool, subject: &str| {
        let body = json!({ "issuer": "https://idp.example", "subject": subject, "email": email, "emailVerified": verified, "name": "Anna" });
        world.post("tenants/acme/directory:claim").keyed().json(&body).send().await
    };
    claim("anna@acme.example", true, "1").await.problem("TEN-0064");
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.execute("UPDATE tenantry.domain SET standing = 'verified'", &[]).await.unwrap();
    conn.release();
    assert_eq!(claim("anna@acme.example", false, "1").await.status, 403);
    // The tenant cannot take over somebody by an address of another domain, and tags are other mailboxes.
    claim("ceo@globex.example", true, "1").await.problem("TEN-0064");
    claim("anna+x@acme.example", true, "1").await.problem("TEN-0064");
    claim("nobody@acme.example", true, "1").await.problem("TEN-0064");
    assert_eq!(acme.members().await.len(), 0);
    let joined = claim("ANNA@acme.example", true, "1").await;
    assert_eq!((joined.status.as_u16(), &joined.json()["role"]), (200, &json!("readonly")), "{joined:?}");
    claim("anna@acme.example", true, "2").await.problem("TEN-0064");
    let here = format!("Users/{}", anna["id"].as_str().unwrap());
    assert_eq!(acme.get(&here).await.json()["roles"][0]["value"], "readonly");
    for active in [false, true] {
        acme.patch(&here, json!([{ "op": "replace", "path": "active", "value": active }])).await;
    }
    let back = acme.member("1").await;
    assert_eq!((&back["user"], &back["issuer"]), (&joined.json()["user"], &json!("https://idp.example")));
    world.end().await;
}

#[tokio::test]
async fn lists_filters_pages_versions_and_projections() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    for name in ["anna", "ben", "carl", "dora", "emil", "fred", "gina"] {
        acme.user(name).await;
    }
    let page = acme.get("Users?startIndex=3&count=2&attributes=userName").await.json();
    assert_eq!((&page["totalResults"], &page["startIndex"], &page["itemsPerPage"]), (&json!(7), &json!(3), &json!(2)));
    let names: Vec<_> = page["Resources"].as_array().unwrap().iter().map(|one| one["userName"].clone()).collect();
    assert_eq!(names, ["carl@acme.example", "dora@acme.example"]);
    assert_eq!(page["Resources"][0].as_object().unwrap().len(), 3, "schemas, id, userName: {page}");
    for (query, total, shown) in [
        ("count=0", 7, 0),
        ("count=-5&startIndex=-1", 7, 0),
        ("startIndex=8", 7, 0),
        ("sortBy=userName&aadOptscim062020", 7, 7),
        ("filter=userName%20eq%20%22ANNA@acme.example%22", 1, 1),
        ("filter=userName%20sw%20%22a%22%20or%20userName%20sw%20%22b%22", 2, 2),
        ("filter=userName%20sw%20%22a%22%20or%20userName%20sw%20%22b%22&count=1&startIndex=2", 2, 1),
        ("filter=emails%5Btype%20eq%20%22work%22%20and%20value%20ew%20%22acme.example%22%5D", 7, 7),
        ("filter=externalId%20eq%20%22ANNA%22", 0, 0),
        ("filter=active%20eq%20false", 0, 0),
        ("filter=id%20eq%20%22no%20id%22", 0, 0),
    ] {
        let found = acme.get(&format!("Users?{query}")).await.json();
        assert_eq!(found["totalResults"], total, "{query}: {found}");
        assert_eq!(found["Resources"].as_array().unwrap().len(), shown, "{query}: {found}");
    }
    let search = async |body: Value| acme.send("POST", "Users/.search", &body).await;
    let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "userName sw \"a\"", "attributes": ["userName"], "count": 5 });
    let found = search(body).await.json();
    assert_eq!((&found["totalResults"], found["Resources"][0].get("emails")), (&json!(1), None), "{found}");
    acme.group("Anchorites", &[]).await;
    let root = async |filter: &str, start: u64| {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"];
        let body = json!({ "schemas": schemas, "filter": filter, "startIndex": start, "count": 1 });
        acme.send("POST", ".search", &body).await
    };
    let found = root("displayName co \"A\" or userName sw \"a\"", 1).await.json();
    assert_eq!(
        (&found["totalResults"], &found["itemsPerPage"]),
        (&json!(1), &json!(1)),
        "users alone have names: {found}"
    );
    let found = root("meta.created pr", 8).await.json();
    assert_eq!(
        (&found["totalResults"], &found["Resources"][0]["displayName"]),
        (&json!(8), &json!("Anchorites")),
        "{found}"
    );
    error(&root("wage gt 5", 1).await, 400, Some("invalidFilter"), "TEN-0084");
    error(&search(json!({ "count": 5 })).await, 400, Some("invalidSyntax"), "TEN-0084");
    for (query, word) in [
        ("filter=userName%20is%20%22a%22", "invalidFilter"),
        ("filter=wage%20gt%205", "invalidFilter"),
        ("count=many", "invalidValue"),
        ("attributes=a&excludedAttributes=b", "invalidValue"),
    ] {
        error(&acme.get(&format!("Users?{query}")).await, 400, Some(word), "TEN-0084");
    }
    let anna = acme.get("Users?filter=externalId%20eq%20%22anna%22").await.json()["Resources"][0].clone();
    let here = format!("Users/{}", anna["id"].as_str().unwrap());
    let tag = anna["meta"]["version"].as_str().unwrap();
    assert_eq!(acme.ask("GET", &here).header("if-none-match", tag).send().await.status, 304);
    let operations =
        json!({ "schemas": [PATCH], "Operations": [{ "op": "add", "path": "displayName", "value": "A" }] });
    let guarded = |tag: &'static str| acme.ask("PATCH", &here).header("if-match", tag).json(&operations).send();
    error(&guarded("W/\"9\"").await, 412, None, "TEN-0009");
    error(&guarded("newest").await, 400, Some("invalidValue"), "TEN-0084");
    let changed = guarded("W/\"1\"").await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "W/\"2\""), "{changed:?}");
    let hidden = acme.get(&format!("{here}?excludedAttributes=emails,name,id")).await.json();
    assert!(hidden.get("emails").is_none() && hidden["id"] == anna["id"], "{hidden}");

    let group = acme.group("Staff", &[&anna]).await;
    let bare = acme.get(&format!("Groups/{group}?excludedAttributes=members")).await.json();
    assert!(bare.get("members").is_none(), "{bare}");
    let whole = acme.get(&format!("Groups/{group}")).await.json();
    assert_eq!(whole["members"][0]["value"], anna["id"]);
    let id = anna["id"].as_str().unwrap();
    for (filter, total) in [
        ("displayName eq \"staff\"".to_owned(), 1),
        (format!("members eq \"{id}\""), 1),
        (format!("id eq \"{group}\" and members[value eq \"{id}\"]"), 1),
        (format!("members.value eq \"{group}\""), 0),
        ("displayName co \"aff\" and members pr".to_owned(), 1),
        ("not (members pr)".to_owned(), 1),
    ] {
        let query = filter.replace(' ', "%20").replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
        let found = acme.get(&format!("Groups?excludedAttributes=members&filter={query}")).await.json();
        assert_eq!(found["totalResults"], total, "{filter}: {found}");
        assert!(!found.to_string().contains("\"members\""), "{found}");
    }
    world.end().await;
}

#[tokio::test]
async fn bodies_are_bounded_and_errors_are_the_protocols() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let anna = acme.user("anna").await;
    let here = format!("Users/{}", anna["id"].as_str().unwrap());
    let plain = acme.ask("POST", "Users").json(&person("ben")).send().await;
    assert_eq!(plain.status, 201, "application/json is read as well: {plain:?}");
    error(&acme.ask("POST", "Users").text("text/plain", "x").send().await, 415, None, "TEN-0026");
    let broken = acme.ask("POST", "Users").text("application/scim+json", "{").send().await;
    error(&broken, 400, Some("invalidSyntax"), "TEN-0084");
    let huge = format!("{{\"x\": \"{}\"}}", "x".repeat(1024 * 1024));
    error(&acme.ask("POST", "Users").text("application/scim+json", &huge).send().await, 413, None, "TEN-0025");
    error(&acme.send("POST", "Users", &json!({ "userName": "x" })).await, 400, Some("invalidSyntax"), "TEN-0084");
    error(&acme.send("POST", "Users", &json!({ "schemas": [USER] })).await, 400, Some("invalidValue"), "TEN-0084");
    error(&acme.patch(&here, json!([])).await, 400, Some("invalidSyntax"), "TEN-0084");
    let deep = format!("{}x pr{}", "(".repeat(100), ")".repeat(100));
    error(&acme.get(&format!("Users?filter={deep}")).await, 400, Some("invalidFilter"), "TEN-0084");
    let group = acme.group("Staff", &[]).await;
    let many: Vec<_> = (0..2001).map(|_| json!({ "value": uuid::Uuid::new_v4() })).collect();
    let add = json!([{ "op": "add", "path": "members", "value": many }]);
    error(&acme.patch(&format!("Groups/{group}"), add).await, 400, Some("invalidValue"), "TEN-0084");
    error(&acme.get("Users/nobody").await, 404, None, "TEN-0006");
    error(&acme.get("Schemas/urn:nonsense").await, 404, None, "TEN-0006");
    error(&acme.get("Bulk").await, 404, None, "TEN-0023");
    error(&acme.ask("POST", "Schemas").send().await, 405, None, "TEN-0024");
    for (path, kind) in [
        ("ServiceProviderConfig", "ServiceProviderConfig"),
        ("ResourceTypes/User", "ResourceType"),
        ("Schemas/urn:ietf:params:scim:schemas:core:2.0:Group", "Schema"),
    ] {
        let found = acme.get(path).await;
        assert_eq!((found.status.as_u16(), &found.json()["meta"]["resourceType"]), (200, &json!(kind)), "{found:?}");
    }
    // Two thousand at once are taken.
    let conn = world.deps.store().pool().get().await.unwrap();
    let fill = "INSERT INTO tenantry.scim_user (env, tenant, id, name_key, active, doc, version, created_at, updated_at)
        SELECT env, tenant, gen_random_uuid(), 'u' || n, false, jsonb_build_object('userName', 'u' || n), 1, now(), now()
        FROM tenantry.scim_user, generate_series(1, 2000) AS n WHERE name_key = 'anna@acme.example' RETURNING id";
    let ids: Vec<_> = conn.query(fill, &[]).await.unwrap().iter().map(|row| row.get::<_, uuid::Uuid>(0)).collect();
    conn.release();
    let all: Vec<_> = ids.iter().map(|id| json!({ "value": id })).collect();
    let add = json!([{ "op": "add", "path": "members", "value": all }]);
    assert_eq!(acme.patch(&format!("Groups/{group}"), add).await.status, 204);
    let whole = acme.get(&format!("Groups/{group}")).await.json();
    assert_eq!(whole["members"].as_array().unwrap().len(), 2000);
    world.end().await;
}

/// What the directory did stands in the tenant's audit, without what it said of people.
#[tokio::test]
async fn every_change_is_in_the_tenants_audit_without_names() {
    let world = World::quiet().await;
    let acme = Directory::connected(&world, "acme").await;
    let anna = acme.user("anna").await;
    let here = format!("Users/{}", anna["id"].as_str().unwrap());
    acme.patch(&here, json!([{ "op": "replace", "path": "active", "value": false }])).await;
    let group = acme.group("Staff", &[&anna]).await;
    acme.map(&group, json!({ "role": "member" })).await;
    acme.ask("DELETE", &format!("Groups/{group}")).send().await;
    acme.ask("DELETE", &here).send().await;
    let audit = world.get("tenants/acme/audit?pageSize=200").send().await;
    let entries = audit.json()["items"].as_array().unwrap().clone();
    let count = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("scim.write"), count("directory.set")), (5, 2), "{}", audit.text);
    for secret in ["anna@acme.example", "Arendt", "Staff"] {
        assert!(!audit.text.contains(secret), "{secret}: {}", audit.text);
    }
    let verified = world.post("audit:verify").send().await;
    assert_eq!(verified.status, 200, "{verified:?}");
    world.end().await;
}
