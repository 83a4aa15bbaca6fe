//! Emergency access over HTTP: two people, one tenant, an hour at most. Attack 59.

use serde_json::{Value, json};

use crate::world::{Reply, World};

/// Somebody with a token that names the person.
struct Person {
    token: String,
    id: String,
}

impl Person {
    async fn new(world: &World, name: &str, role: &str) -> Self {
        let body = json!({ "name": name, "kind": "operator", "person": name, "roles": [role] });
        Self::of(&world.post("tokens").keyed().json(&body).send().await)
    }

    /// A token that this one made.
    async fn makes(&self, world: &World, name: &str, role: &str) -> Self {
        let body = json!({ "name": name, "kind": "operator", "person": name, "roles": [role] });
        Self::of(&self.ask(world, "tokens", &body).await)
    }

    fn of(reply: &Reply) -> Self {
        let made = reply.json();
        let text = |part: &serde_json::Value| part.as_str().unwrap().to_owned();
        Self { token: text(&made["text"]), id: text(&made["token"]["id"]) }
    }

    async fn ask(&self, world: &World, path: &str, body: &Value) -> Reply {
        let path = format!("/v1/environments/{}/{path}", world.environment);
        let ask = world.bare("POST", &path).header("authorization", &format!("Bearer {}", self.token)).keyed();
        ask.json(body).send().await
    }

    async fn verb(&self, world: &World, id: &str, verb: &str) -> Reply {
        self.ask(world, &format!("access-requests/{id}:{verb}"), &json!({})).await
    }

    async fn request(&self, world: &World, minutes: u32) -> String {
        let body = json!({ "reason": "Invoice 4711 shows a wrong total", "ticket": "SUP-815", "minutes": minutes });
        let reply = self.ask(world, "tenants/acme/access-requests", &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }
}

async fn execute(world: &World, sql: &str) {
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.client().batch_execute(sql).await.unwrap();
    conn.release();
}

#[tokio::test]
async fn two_people_let_one_of_them_in_for_a_while() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let (olga, petra) = (Person::new(&world, "olga", "support").await, Person::new(&world, "Petra", "admin").await);
    let id = olga.request(&world, 30).await;
    olga.verb(&world, &id, "open").await.problem("TEN-0080");
    olga.verb(&world, &id, "approve").await.problem("TEN-0022");
    let approved = petra.verb(&world, &id, "approve").await.json();
    assert_eq!((&approved["status"], &approved["approver"]), (&json!("open"), &json!("Petra")));
    petra.verb(&world, &id, "approve").await.problem("TEN-0080");
    petra.verb(&world, &id, "open").await.problem("TEN-0022");
    let opened = olga.verb(&world, &id, "open").await.json();
    let (login, password) = (opened["request"]["login"].clone(), opened["password"].clone());
    assert_eq!(password.as_str().unwrap().len(), 43);
    let shown = world.get(&format!("gateway-logins/{}", login.as_str().unwrap())).send().await.json();
    assert_eq!((&shown["access"], &shown["slug"]), (&json!("read-only"), &json!("acme")));
    assert_eq!(shown["expiresAt"], approved["endsAt"], "the login ends with the access");
    let again = olga.verb(&world, &id, "open").await.json();
    assert!(again["password"] != password && again["request"]["login"] == login, "another password, the same login");
    let shown = world.get(&format!("gateway-logins/{}", login.as_str().unwrap())).send().await.json();
    assert!(shown.get("oldPasswordUntil").is_none(), "the first password is good no more: {shown}");

    let review = json!({ "review": "Two invoices were read, nothing was written." });
    let review_path = format!("access-requests/{id}:review");
    petra.ask(&world, &review_path, &review).await.problem("TEN-0080");
    assert_eq!(olga.verb(&world, &id, "end").await.json()["status"], "ended");
    let shown = world.get(&format!("gateway-logins/{}", login.as_str().unwrap())).send().await.json();
    assert_eq!(shown["status"], "revoked");
    olga.verb(&world, &id, "open").await.problem("TEN-0080");
    assert_eq!(petra.ask(&world, &review_path, &review).await.json()["reviewer"], "Petra");

    let events = world.get("tenants/acme/events").send().await.json();
    let kinds: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    for kind in ["access.requested", "access.granted", "access.opened", "access.ended", "access.reviewed"] {
        assert!(kinds.contains(&kind), "the tenant is told {kind}: {kinds:?}");
    }
    let audit = world.get("tenants/acme/audit?pageSize=200").send().await;
    assert!(audit.text.contains("Invoice 4711") && !audit.text.contains(password.as_str().unwrap()));
    world.end().await;
}

#[tokio::test]
async fn nobody_lets_itself_in() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let admin = Person::new(&world, "Petra", "admin").await;
    let second = Person::new(&world, " petra".trim(), "admin").await;
    let id = admin.request(&world, 30).await;
    for own in [&admin, &second] {
        let problem = own.verb(&world, &id, "approve").await.problem("TEN-0022");
        assert!(problem["detail"].as_str().unwrap().contains("access-two-people"), "{problem}");
    }
    // A machine is no second person, and none to ask.
    let path = format!("access-requests/{id}:approve");
    world.post(&path).keyed().json(&json!({})).send().await.problem("TEN-0022");
    let wish = json!({ "reason": "Just having a look around" });
    world.post("tenants/acme/access-requests").keyed().json(&wish).send().await.problem("TEN-0022");
    for bad in [
        json!({ "minutes": 30 }),
        json!({ "reason": "because" }),
        json!({ "reason": "Invoice 4711 is wrong", "minutes": 61 }),
        json!({ "reason": "Invoice 4711 is wrong", "approver": "Olga" }),
        json!({ "reason": "Invoice 4711 is wrong", "tenant": "globex" }),
    ] {
        let reply = admin.ask(&world, "tenants/acme/access-requests", &bad).await;
        assert_eq!(reply.status, 422, "{bad}: {reply:?}");
    }
    admin.ask(&world, "tenants/initech/access-requests", &wish).await.problem("TEN-0005");
    assert_eq!(admin.verb(&world, &id, "refuse").await.json()["status"], "refused");
    world.end().await;
}

/// Attack 59: a second token is no second person.
#[tokio::test]
async fn a_pair_of_tokens_in_one_hand_is_not_two_people() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let olga = Person::new(&world, "olga", "admin").await;
    let made = olga.makes(&world, "petra", "admin").await;
    let far = made.makes(&world, "paula", "admin").await;
    let id = olga.request(&world, 30).await;
    for second in [&made, &far] {
        let problem = second.verb(&world, &id, "approve").await.problem("TEN-0022");
        assert!(problem["hint"].as_str().unwrap().contains("made or rotated"), "{problem}");
    }
    // The other way round: whoever was made does not get in by its maker's word either.
    let id = far.request(&world, 30).await;
    olga.verb(&world, &id, "approve").await.problem("TEN-0022");
    // Somebody else's token, until it is rotated by the one who asks.
    let rita = Person::new(&world, "rita", "admin").await;
    let id = olga.request(&world, 30).await;
    let path = format!("tokens/{}:rotate", rita.id);
    let whole = format!("/v1/environments/{}/{path}", world.environment);
    let ask = world.bare("POST", &whole).header("authorization", &format!("Bearer {}", olga.token)).keyed();
    let rotated = ask.header("if-match", "*").json(&json!({})).send().await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let stolen = Person { token: rotated.json()["text"].as_str().unwrap().to_owned(), id: rita.id };
    stolen.verb(&world, &id, "approve").await.problem("TEN-0022");
    let other = Person::new(&world, "rosa", "admin").await;
    assert_eq!(other.verb(&world, &id, "approve").await.status, 200);
    // A login that emergency access gave is not for anybody to make or to renew.
    let login = olga.verb(&world, &id, "open").await.json()["request"]["login"].as_str().unwrap().to_owned();
    let rotate = world.post(&format!("gateway-logins/{login}:rotate")).keyed().header("if-match", "*");
    let refused = rotate.json(&json!({})).send().await;
    assert!(refused.status == 422 && refused.text.contains("emergency access"), "{refused:?}");
    world.end().await;
}

/// Attack 59 again: one person with several tokens of its own, and with those that it made for others.
#[tokio::test]
async fn one_person_is_one_however_many_tokens_it_has_and_makes() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let (olga, again) =
        (Person::new(&world, "olga", "admin").await, Person::new(&world, " Olga".trim(), "admin").await);
    let (anna, ben) = (olga.makes(&world, "anna", "admin").await, olga.makes(&world, "ben", "admin").await);
    let far = again.makes(&world, "carl", "admin").await;
    let rita = Person::new(&world, "rita", "admin").await;
    let id = anna.request(&world, 30).await;
    for second in [&ben, &again, &far] {
        let problem = second.verb(&world, &id, "approve").await.problem("TEN-0022");
        assert!(problem["detail"].as_str().unwrap().contains("access-two-people"), "{problem}");
    }
    assert_eq!(rita.verb(&world, &id, "approve").await.status, 200, "their tokens have a maker that is no person");
    assert_eq!(anna.verb(&world, &id, "open").await.status, 200);
    anna.verb(&world, &id, "end").await;
    let review = json!({ "review": "Two invoices were read, nothing was written." });
    for second in [&ben, &again] {
        second.ask(&world, &format!("access-requests/{id}:review"), &review).await.problem("TEN-0022");
    }
    // Nor does it help to agree first and to be found out between the word and its use.
    let id = rita.request(&world, 30).await;
    assert_eq!(ben.verb(&world, &id, "approve").await.status, 200);
    let path = format!("/v1/environments/{}/tokens/{}:rotate", world.environment, rita.id);
    let ask = world.bare("POST", &path).header("authorization", &format!("Bearer {}", again.token)).keyed();
    let rotated = ask.header("if-match", "*").json(&json!({})).send().await;
    let stolen = Person { token: rotated.json()["text"].as_str().unwrap().to_owned(), id: rita.id };
    stolen.verb(&world, &id, "open").await.problem("TEN-0022");
    world.end().await;
}

/// Whoever's token is taken back has nothing left of what it gave: no login, and no word for others.
#[tokio::test]
async fn access_ends_with_the_token_of_either_of_the_two() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let take_back = async |person: &Person| {
        let ask = world.ask("DELETE", &format!("tokens/{}", person.id)).keyed().header("if-match", "*");
        let reply = ask.send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    let opened = async |who: &Person, by: &Person| {
        let id = who.request(&world, 30).await;
        assert_eq!(by.verb(&world, &id, "approve").await.status, 200);
        let login = who.verb(&world, &id, "open").await.json()["request"]["login"].as_str().unwrap().to_owned();
        (id, login)
    };
    let (rita, petra) = (Person::new(&world, "rita", "support").await, Person::new(&world, "petra", "admin").await);
    let (id, login) = opened(&rita, &petra).await;
    let waiting = rita.request(&world, 30).await;
    take_back(&rita).await;
    let grant = world.get(&format!("access-requests/{id}")).send().await.json();
    let shown = world.get(&format!("gateway-logins/{login}")).send().await.json();
    assert_eq!((&grant["status"], &shown["status"]), (&json!("ended"), &json!("revoked")), "{grant} {shown}");
    let events = world.get("tenants/acme/events").send().await.text;
    assert!(events.contains("access.ended") && events.contains("gateway.login.revoked"), "{events}");
    let audit = world.get("tenants/acme/audit?pageSize=200").send().await.text;
    assert!(audit.contains("\"access.end\"") && audit.contains("\"gateway.login.revoke\""), "{audit}");
    let problem = petra.verb(&world, &waiting, "approve").await.problem("TEN-0022");
    assert!(problem["hint"].as_str().unwrap().contains("taken back"), "{problem}");

    // The one who agreed: what is open ends, and what is not open yet is opened no more.
    let rosa = Person::new(&world, "rosa", "support").await;
    let (id, login) = opened(&rosa, &petra).await;
    let agreed = rosa.request(&world, 30).await;
    assert_eq!(petra.verb(&world, &agreed, "approve").await.status, 200);
    take_back(&petra).await;
    for id in [&id, &agreed] {
        assert_eq!(world.get(&format!("access-requests/{id}")).send().await.json()["status"], "ended");
        rosa.verb(&world, id, "open").await.problem("TEN-0080");
    }
    assert_eq!(world.get(&format!("gateway-logins/{login}")).send().await.json()["status"], "revoked");
    assert_eq!(world.post("audit:verify").send().await.json()["isIntact"], true);
    // A token that only ended leaves no entry, so it is looked at when it matters.
    let vera = Person::new(&world, "vera", "admin").await;
    let id = rosa.request(&world, 30).await;
    assert_eq!(vera.verb(&world, &id, "approve").await.status, 200);
    execute(&world, "UPDATE tenantry.token SET expires_at = now() - interval '1 second' WHERE person = 'vera'").await;
    rosa.verb(&world, &id, "open").await.problem("TEN-0022");
    world.end().await;
}

#[tokio::test]
async fn it_is_over_when_it_is_over() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let (olga, petra) = (Person::new(&world, "olga", "support").await, Person::new(&world, "petra", "admin").await);
    let late = olga.request(&world, 30).await;
    execute(&world, "UPDATE tenantry.access_grant SET lapses_at = now() - interval '1 second'").await;
    petra.verb(&world, &late, "approve").await.problem("TEN-0080");
    // Four hours in a day, and asking four people at once does not make it five.
    for _ in 0..3 {
        let id = olga.request(&world, 60).await;
        assert_eq!(petra.verb(&world, &id, "approve").await.status, 200);
    }
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(olga.request(&world, 60).await);
    }
    let answers = futures_util::future::join_all(waiting.iter().map(|id| petra.verb(&world, id, "approve"))).await;
    let agreed = answers.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(agreed, 1, "{answers:?}");
    let refused = answers.iter().find(|reply| reply.status != 200).unwrap();
    assert!(refused.text.contains("access-minutes-a-day"), "{refused:?}");
    let held = waiting[answers.iter().position(|reply| reply.status == 200).unwrap()].clone();
    execute(&world, "UPDATE tenantry.access_grant SET ends_at = now() - interval '4 days' WHERE ends_at IS NOT NULL")
        .await;
    olga.verb(&world, &held, "open").await.problem("TEN-0080");
    let shown = world.get(&format!("access-requests/{held}")).send().await.json();
    assert_eq!((&shown["status"], &shown["isReviewOverdue"]), (&json!("ended"), &json!(true)));
    assert_eq!(world.get("access-requests?current=true").send().await.json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(world.get("access-requests?tenant=acme").send().await.json()["items"].as_array().unwrap().len(), 8);
    world.end().await;
}
