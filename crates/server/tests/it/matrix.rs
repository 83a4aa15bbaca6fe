//! Who may do what: every route has a case, and the matrix of roles and rights is the printed one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::http::Method;
use serde_json::json;
use tenantry_domain::policy::{ACTIONS, Action, Rights, Role};
use tenantry_server::{READS, right};

use crate::world::World;

fn documented() -> BTreeSet<(String, String)> {
    let document = tenantry_server::openapi::document();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let is_open = ["/livez", "/readyz", "/startupz", "/openapi.json", "/v1/asyncapi.json", "/v1/sign-in"]
            .contains(&path.as_str());
        for method in item.as_object().unwrap().keys().filter(|_| !is_open) {
            found.insert((method.to_uppercase(), path.clone()));
        }
    }
    found
}

#[test]
fn every_route_takes_a_right_that_exists() {
    let documented = documented();
    let missing: Vec<_> = documented
        .iter()
        .filter(|(method, path)| {
            let action = right(&Method::from_bytes(method.as_bytes()).unwrap(), path);
            action.and_then(Action::find).is_none()
        })
        .collect();
    assert!(missing.is_empty(), "routes that nobody is allowed: {missing:?}");
    let all = READS.iter().chain(tenantry_server::ACTIONS);
    let gone: Vec<_> =
        all.filter(|(method, path, _)| !documented.contains(&(method.to_string(), (*path).to_owned()))).collect();
    assert!(gone.is_empty(), "cases of routes that are gone: {gone:?}");
}

#[test]
fn the_matrix_is_the_printed_one() {
    let mut table = String::from("| right | effect | reach |");
    for role in Role::ALL {
        write!(table, " {role} |").unwrap();
    }
    write!(table, "\n|---|---|---|{}\n", "---|".repeat(Role::ALL.len())).unwrap();
    for action in ACTIONS {
        write!(table, "| `{}` | {:?} | {:?} |", action.name, action.effect, action.reach).unwrap();
        for role in Role::ALL {
            let is_allowed = Rights::of([role]).allows(action.name);
            write!(table, " {} |", if is_allowed { "yes" } else { "" }).unwrap();
        }
        table.push('\n');
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rights.md");
    let (begin, end) = ("<!-- matrix -->\n", "<!-- /matrix -->");
    let text = std::fs::read_to_string(page).unwrap();
    let (head, rest) = text.split_once(begin).unwrap();
    let (shown, tail) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page, format!("{head}{begin}{table}{end}{tail}")).unwrap();
        return;
    }
    for (shown, row) in shown.lines().zip(table.lines()) {
        assert_eq!(shown, row, "run again with UPDATE_DOCS=1");
    }
    assert_eq!(shown.lines().count(), table.lines().count(), "run again with UPDATE_DOCS=1");
}

const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Each role, at each route: whoever lacks the right is refused before anything is looked up, whoever has it is not.
#[tokio::test]
async fn each_role_is_refused_at_each_route_that_is_not_its_own() {
    let world = World::quiet().await;
    let mut cells = 0;
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Tenant) {
        let body = json!({ "name": format!("matrix {role}"), "roles": [role.as_str()] });
        let made = world.post("tokens").keyed().json(&body).send().await;
        assert_eq!(made.status, 201, "{made:?}");
        let token = format!("Bearer {}", made.json()["text"].as_str().unwrap());
        for (method, path) in documented() {
            let verb = Method::from_bytes(method.as_bytes()).unwrap();
            let action = right(&verb, &path).unwrap();
            // A refused call leaves an entry in the audit, so the paths name nothing that exists.
            let place = path.replace("{environment}", world.environment.as_str()).replace("{tenant}", "initech");
            let ids = [
                "operation",
                "rollout",
                "token",
                "grant",
                "approval",
                "invitation",
                "reservation",
                "webhook",
                "incident",
                "user",
            ];
            let place = ids.iter().fold(place, |place, name| {
                let prefix = match *name {
                    "operation" => "op",
                    "rollout" => "rol",
                    "token" => "tok",
                    "grant" => "bg",
                    "approval" => "apv",
                    "webhook" => "wh",
                    "incident" => "inc",
                    "invitation" => "inv",
                    "reservation" => "rsv",
                    _ => "usr",
                };
                place.replace(&format!("{{{name}}}"), &format!("{prefix}_01jd8x3v9mfk2t5h7q0w4z6y8c"))
            });
            let place = place.replace("{version}", "1").replace("{name}", "nothing").replace("{domain}", "a.example");
            let resource = "019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90";
            let place = place.replace("{id}", resource).replace("{group}", resource);
            let place = place.replace("{quota}", "users").replace("{key}", "nothing").replace("{class}", "requests");
            let place =
                place.replace("{connection}", "oidc.nothing").replace("{group}", NOBODY).replace("{id}", NOBODY);
            let place = place.split('{').next().unwrap().to_owned();
            // Whoever may follow would do so without end.
            let place = if place.ends_with("/stream") { format!("{place}?after=x") } else { place };
            let ask = world.bare(&method, &place).header("authorization", &token);
            let reply = if method == "GET" { ask } else { ask.json(&json!({})) }.send().await;
            let is_refused = reply.status == 403 && reply.text.contains("TEN-0022");
            let may = Rights::of([role]).allows(action);
            assert_eq!(is_refused, !may, "{role} {method} {path} {action}: {reply:?}");
            cells += 1;
        }
    }
    println!("{cells} cells of the matrix");
    assert!(cells > 400, "{cells}");
    world.end().await;
}
