//! Where a token does not belong, and what a copy of our tables is worth (attack 5).

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_token_is_good_in_its_header_alone() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let (token, path) = (world.token.clone(), format!("/v1/environments/{}/tenants/acme", world.environment));
    assert_eq!(world.bare("GET", &path).bearer().send().await.status, 200);
    for name in ["access_token", "token", "api_key", "authorization"] {
        let query = format!("{name}={token}");
        let reply = world.bare("GET", &format!("{path}?{query}")).send().await;
        assert_eq!(reply.status, 401, "{name}: {reply:?}");
        assert!(!format!("{reply:?}").contains(&token), "{name}: {reply:?}");
        // Beside a good one it is not repeated in what is answered, whatever that is.
        let reply = world.get(&format!("tenants/acme?{query}")).send().await;
        assert!(!format!("{reply:?}").contains(&token), "{name}: {reply:?}");
    }
    for (header, value) in [
        ("cookie", format!("token={token}; __Host-session={token}")),
        ("x-api-key", token.clone()),
        ("x-authorization", format!("Bearer {token}")),
        ("x-original-authorization", format!("Bearer {token}")),
        ("proxy-authorization", format!("Bearer {token}")),
        ("referer", format!("https://console.example.com/?token={token}")),
        ("authorization", token.clone()),
        ("authorization", format!("Token {token}")),
    ] {
        let reply = world.bare("GET", &path).header(header, &value).send().await;
        assert_eq!(reply.status, 401, "{header}: {reply:?}");
        assert!(!format!("{reply:?}").contains(&token), "{header}: {reply:?}");
    }
    let reply = world.bare("GET", &path).text("application/x-www-form-urlencoded", &format!("access_token={token}"));
    assert_eq!(reply.send().await.status, 401, "in a body");
    world.end().await;
}

/// All rows of all our tables, as text; bytes are hexadecimal.
async fn tables(world: &World) -> String {
    let sql = "SELECT string_agg(query_to_xml(format('SELECT t::text AS c FROM tenantry.%I AS t', relname), true, false, '')::text, '')
        FROM pg_class WHERE relnamespace = 'tenantry'::regnamespace AND relkind IN ('r', 'p')";
    let conn = world.deps.store().pool().get().await.unwrap();
    let text: String = conn.query_one(sql, &[]).await.unwrap().get(0);
    conn.release();
    text
}

/// CRC-32 as of IEEE 802.3, which a token's text ends in.
fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

#[tokio::test]
async fn the_tables_hold_nothing_to_sign_in_with() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let body = json!({ "name": "reports", "roles": ["auditor"], "expiresIn": "7d" });
    let issued = world.post("tokens").keyed().json(&body).send().await.json();
    let text = issued["text"].as_str().unwrap().to_owned();
    let path = format!("/v1/environments/{}/tenants/acme", world.environment);
    let ask = async |text: &str| {
        world.bare("GET", &path).header("authorization", &format!("Bearer {text}")).send().await.status
    };
    assert_eq!(ask(&text).await, 200);
    let [id, secret] = [3, 2].map(|place| text.rsplit('_').nth(place - 1).unwrap());
    assert_eq!(secret.len(), 64);
    let tables = tables(&world).await;
    assert!(tables.contains("reports"), "the dump has the row of the token");
    let of_text: String = secret.bytes().take(32).map(|byte| format!("{byte:02x}")).collect();
    for trace in [secret, &secret[..32], &secret[32..], &of_text, &text] {
        assert!(!tables.contains(trace), "a part of the secret is stored");
    }
    // What is stored, handed in as if it were the secret.
    let conn = world.deps.store().pool().get().await.unwrap();
    let rows = conn.query("SELECT encode(hash, 'hex') FROM tenantry.token", &[]).await.unwrap();
    conn.release();
    assert!(rows.len() >= 2);
    for row in rows {
        let stored: String = row.get(0);
        let body = format!("ten_live_{id}_{stored}");
        assert_eq!(ask(&format!("{body}_{:08x}", crc32(body.as_bytes()))).await, 401);
    }
    let body = format!("ten_live_{id}_{secret}");
    assert_eq!(ask(&format!("{body}_{:08x}", crc32(body.as_bytes()))).await, 200, "the form of the texts is right");
    world.end().await;
}
