//! A provider on this machine: keeps pools and accounts in memory, checks what it is sent, and fails when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tenantry_identity::{Access, Bounds, Options, Provider};

/// How the next call is answered.
#[derive(Debug, Clone)]
pub enum Mood {
    /// With this status, without doing anything.
    Status(u16, Value),
    /// With this status, having done it.
    After(u16),
    /// With this status and `Retry-After`, without doing anything.
    Wait(u16, &'static str),
    /// Never.
    Hang,
    /// With half of the bytes that were promised.
    Torn,
    /// With more bytes than anybody reads.
    Flood,
    /// With what was right when it was asked, once somebody says so.
    #[allow(dead_code, reason = "not every crate with these tests has somebody come late")]
    Late(Arc<tokio::sync::Notify>),
    /// With what is no JSON.
    Page,
    /// With a redirect to another place.
    Redirect(String),
}

#[derive(Default)]
pub struct Kept {
    pub pools: BTreeMap<String, Value>,
    pub accounts: BTreeMap<String, Value>,
    pub connections: BTreeMap<String, Value>,
    /// Answers to give before those that are right.
    pub moods: VecDeque<Mood>,
    /// Method and path of every call.
    pub calls: Vec<String>,
    /// The `authorization` of every call.
    pub bearers: Vec<String>,
    /// Bodies of calls to the token endpoint.
    pub assertions: Vec<String>,
    /// How many tokens were given out.
    pub tokens: usize,
    /// Whether lists of pools are something that nobody can read.
    pub no_list: bool,
    /// For how long the next tokens hold, in seconds.
    pub life: u64,
    made: usize,
}

#[derive(Clone)]
pub struct Fake {
    pub kept: Arc<Mutex<Kept>>,
    pub address: std::net::SocketAddr,
}

pub fn bounds() -> Bounds {
    Bounds { within: Duration::from_millis(400), attempts: 3, pause: Duration::from_millis(10) }
}

impl Fake {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Kept { life: 3600, ..Kept::default() }));
        let fake = Self { kept, address };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    /// A client that takes it for an emulator.
    pub fn client(&self) -> Provider {
        let emulator = self.address.to_string().parse().unwrap();
        let options = Options::new("demo-tenancy".parse().unwrap(), Access::Emulator(emulator));
        Provider::new(Options { bounds: bounds(), ..options }).unwrap()
    }

    pub fn mood(&self, mood: Mood) {
        self.kept.lock().unwrap().moods.push_back(mood);
    }

    pub fn calls(&self) -> Vec<String> {
        self.kept.lock().unwrap().calls.clone()
    }

    pub fn pools(&self) -> usize {
        self.kept.lock().unwrap().pools.len()
    }
}

async fn answer(State(fake): State<Fake>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mood = {
        let mut kept = fake.kept.lock().unwrap();
        kept.calls.push(format!("{method} {uri}"));
        kept.bearers.push(headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned());
        kept.moods.pop_front()
    };
    match mood {
        None => act(&fake, &method, &uri, &body),
        Some(Mood::Status(status, value)) => (StatusCode::from_u16(status).unwrap(), value.to_string()).into_response(),
        Some(Mood::After(status)) => {
            let _ = act(&fake, &method, &uri, &body);
            StatusCode::from_u16(status).unwrap().into_response()
        }
        Some(Mood::Wait(status, seconds)) => {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", seconds)]).into_response()
        }
        Some(Mood::Hang) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
        Some(Mood::Late(gate)) => {
            let answer = act(&fake, &method, &uri, &body);
            gate.notified().await;
            answer
        }
        Some(Mood::Torn) => {
            Response::builder().header("content-length", "100").body(Body::from(r#"{"name":"#)).unwrap()
        }
        Some(Mood::Flood) => Response::new(Body::from(vec![b' '; 2 * 1024 * 1024])),
        Some(Mood::Page) => "<html>sign in to the network</html>".into_response(),
        Some(Mood::Redirect(to)) => (StatusCode::FOUND, [("location", to)]).into_response(),
    }
}

fn error(status: u16, word: &str) -> Response {
    let body = json!({ "error": { "code": status, "message": word } });
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

fn good(value: &Value) -> Response {
    value.to_string().into_response()
}

/// What the provider would do, as far as it is asked.
fn act(fake: &Fake, method: &Method, uri: &Uri, body: &Bytes) -> Response {
    let mut kept = fake.kept.lock().unwrap();
    let path = uri.path().trim_start_matches("/identitytoolkit.googleapis.com").to_owned();
    if path == "/token" {
        kept.assertions.push(String::from_utf8(body.to_vec()).unwrap());
        kept.tokens += 1;
        return good(&json!({ "access_token": format!("token-{}", kept.tokens), "expires_in": kept.life }));
    }
    let query: BTreeMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace("%2C", ",")))
        .collect();
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["v2", "projects", project, "tenants"]) => {
            kept.made += 1;
            let id = format!("{}-{:05}", sent["displayName"].as_str().unwrap(), kept.made);
            let mut pool = sent.clone();
            pool["name"] = json!(format!("projects/{project}/tenants/{id}"));
            kept.pools.insert(id, pool.clone());
            good(&pool)
        }
        ("GET", ["v2", "projects", _, "tenants"]) => {
            if kept.no_list {
                return good(&json!("no list"));
            }
            // Small pages, so that there are several.
            let after = query.get("pageToken").cloned().unwrap_or_default();
            let page: Vec<(&String, &Value)> = kept.pools.iter().filter(|(id, _)| **id > after).take(2).collect();
            let next = if page.len() == 2 { page[1].0.clone() } else { String::new() };
            let page: Vec<&Value> = page.into_iter().map(|(_, pool)| pool).collect();
            good(&json!({ "tenants": page, "nextPageToken": next }))
        }
        ("GET", ["v2", "projects", _, "tenants", id]) => match kept.pools.get(*id) {
            Some(pool) => good(pool),
            None => error(404, "TENANT_NOT_FOUND"),
        },
        ("PATCH", ["v2", "projects", _, "tenants", id]) => {
            let mask: Vec<String> = query["updateMask"].split(',').map(ToOwned::to_owned).collect();
            let Some(pool) = kept.pools.get_mut(*id) else { return error(404, "TENANT_NOT_FOUND") };
            for field in mask {
                pool[&field] = sent[&field].clone();
            }
            good(pool)
        }
        ("DELETE", ["v2", "projects", _, "tenants", id]) => match kept.pools.remove(*id) {
            Some(_) => good(&json!({})),
            None => error(404, "TENANT_NOT_FOUND"),
        },
        ("GET", ["v2", "projects", _, "tenants", _, kind]) => {
            let list: Vec<&Value> = kept.connections.values().filter(|one| one["kind"] == *kind).collect();
            good(&json!({ *kind: list }))
        }
        ("PATCH", ["v2", "projects", _, "tenants", _, _, name]) if !kept.connections.contains_key(*name) => {
            error(404, "CONFIGURATION_NOT_FOUND")
        }
        ("POST" | "PATCH", ["v2", "projects", _, "tenants", _, kind, rest @ ..]) => {
            let named = query.get("oauthIdpConfigId").or(query.get("inboundSamlConfigId"));
            let name = rest.first().map(|name| (*name).to_owned()).or(named.cloned()).unwrap();
            let mut one = sent;
            one["kind"] = json!(kind);
            one["name"] = json!(format!("{path}/{name}"));
            kept.connections.insert(name, one.clone());
            good(&one)
        }
        ("DELETE", ["v2", "projects", _, "tenants", _, _, name]) => match kept.connections.remove(*name) {
            Some(_) => good(&json!({})),
            None => error(404, "CONFIGURATION_NOT_FOUND"),
        },
        (_, ["v1", "projects", _, "tenants", _, what]) => accounts(&mut kept, what, &sent),
        _ => error(400, "NOT_ASKED_LIKE_THIS"),
    }
}

fn accounts(kept: &mut Kept, what: &str, sent: &Value) -> Response {
    let found = |kept: &Kept, email: &Value| kept.accounts.get(email.as_str().unwrap_or_default()).cloned();
    match what {
        "accounts" => {
            let email = sent["email"].as_str().unwrap().to_owned();
            if kept.accounts.contains_key(&email) {
                return error(400, "EMAIL_EXISTS");
            }
            let uid = format!("uid{}", kept.accounts.len());
            kept.accounts.insert(email.clone(), json!({ "localId": uid, "email": email }));
            good(&json!({ "localId": uid }))
        }
        "accounts:lookup" => match found(kept, &sent["email"][0]) {
            Some(account) => good(&json!({ "users": [account] })),
            None => good(&json!({})),
        },
        "accounts:sendOobCode" => match found(kept, &sent["email"]) {
            Some(_) => good(&json!({ "oobLink": "https://acme.example/reset?oobCode=secret-code" })),
            None => error(400, "EMAIL_NOT_FOUND"),
        },
        "accounts:update" => {
            for account in kept.accounts.values_mut().filter(|account| account["localId"] == sent["localId"]) {
                account["disabled"] = sent["disableUser"].clone();
            }
            good(&json!({}))
        }
        "accounts:delete" => {
            let before = kept.accounts.len();
            kept.accounts.retain(|_, account| account["localId"] != sent["localId"]);
            if kept.accounts.len() == before { error(400, "USER_NOT_FOUND") } else { good(&json!({})) }
        }
        "accounts:batchGet" => {
            let users: Vec<&Value> = kept.accounts.values().collect();
            good(&json!({ "users": users, "nextPageToken": "behind-the-last" }))
        }
        _ => error(400, "NOT_ASKED_LIKE_THIS"),
    }
}
