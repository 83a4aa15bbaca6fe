//! A service of notes for many customers: start it beside `tenantry dev` or any other control plane.
//!
//! ```sh
//! TENANTRY_URL=http://127.0.0.1:7070 TENANTRY_TOKEN_FILE=.tenantry/admin.token TENANTRY_SERVICE_DOMAIN=localhost \
//!   cargo run -p tenantry-sdk --example notes
//! curl http://127.0.0.1:3000/t/acme/users
//! ```
//!
//! The tables are those of the example app `chat`, which `tenantry dev` loads.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tenantry_sdk::{CurrentTenant, Error, Identification, TenantLayer, Tenantry};

#[derive(Serialize, Deserialize)]
struct User {
    email: String,
    display_name: String,
}

/// No `WHERE tenant_id`: the transaction is the tenant's.
async fn list(tenant: CurrentTenant) -> Result<Json<Vec<User>>, Error> {
    let tx = tenant.begin_read().await?;
    let rows = tx.query("SELECT email, display_name FROM users ORDER BY email LIMIT 100", &[]).await?;
    tx.commit().await?;
    Ok(Json(rows.iter().map(|row| User { email: row.get(0), display_name: row.get(1) }).collect()))
}

async fn add(tenant: CurrentTenant, Json(user): Json<User>) -> Result<(), Error> {
    let tx = tenant.begin().await?;
    let sql = "INSERT INTO users (email, display_name) VALUES ($1, $2)";
    tx.execute(sql, &[&user.email, &user.display_name]).await?;
    tx.commit().await
}

/// Ends by itself when the tenant is suspended.
async fn clock(tenant: CurrentTenant) -> impl IntoResponse {
    let ticks = stream::unfold(0_u64, |tick| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((tick, tick + 1))
    });
    Sse::new(tenant.scope(ticks.map(|tick| Ok::<_, Infallible>(Event::default().data(tick.to_string())))))
}

async fn echo(tenant: CurrentTenant, upgrade: WebSocketUpgrade) -> Response {
    tenant.upgrade(upgrade, |mut socket| async move {
        while let Some(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tenantry = Tenantry::from_env()?;
    tenantry.check().await?;
    let domain = std::env::var("TENANTRY_SERVICE_DOMAIN").unwrap_or_else(|_| "localhost".to_owned());
    let identification = Identification::new().base_domain(&domain)?.plain_host("127.0.0.1")?.paths();
    let routes = Router::new()
        .route("/users", get(list).post(add))
        .route("/clock", get(clock))
        .route("/echo", get(echo))
        .route("/livez", get(async || "ok"));
    let app = TenantLayer::new(tenantry, identification).wrap(routes);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
