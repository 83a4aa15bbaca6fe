//! The port of loopback that the browser comes back to (RFC 8252, section 7.3).
//!
//! INVARIANT: one answer with this sign-in's `state` is taken. Everything else that reaches the port (another state, another
//! path, another host's name, a name twice) is turned away and changes nothing, so that no page and no program of this
//! machine can end a sign-in or slip its own code into it.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State as With};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::exit::{Failure, Result};

/// What the browser brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The code.
    pub code: Option<String>,
    /// Or why there is none.
    pub error: Option<String>,
    /// In words.
    pub error_description: Option<String>,
    /// Who says so.
    pub iss: Option<String>,
}

/// The open port.
pub struct Loopback {
    listener: TcpListener,
    host: String,
    state: String,
}

/// What each request needs.
#[derive(Clone)]
struct Door {
    host: String,
    state: String,
    answers: mpsc::Sender<Answer>,
}

const PATH: &str = "/callback";

impl Loopback {
    /// Opens a port for a sign-in with this `state`.
    ///
    /// # Errors
    /// No port is to be had.
    pub async fn bind(state: &str) -> Result<Self> {
        let closed = |error| Failure::broken("No port of 127.0.0.1 can be opened", error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(closed)?;
        let host = listener.local_addr().map_err(closed)?.to_string();
        Ok(Self { listener, host, state: state.to_owned() })
    }

    /// The address that the browser is to come back to.
    pub fn address(&self) -> String {
        format!("http://{}{PATH}", self.host)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// The port was closed.
    pub async fn answer(self) -> Result<Answer> {
        let (answers, mut given) = mpsc::channel(1);
        let door = Door { host: self.host, state: self.state, answers };
        let routes = axum::Router::new().route(PATH, get(take)).with_state(door);
        let (done, over) = tokio::sync::oneshot::channel::<()>();
        let ending = async {
            let _ = over.await;
        };
        let served = tokio::spawn(async { axum::serve(self.listener, routes).with_graceful_shutdown(ending).await });
        let answer = given.recv().await;
        let _ = done.send(());
        // The page still has to reach the browser; one that keeps the connection open is not waited for.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), served).await;
        answer.ok_or_else(|| Failure::broken("The port of the sign-in was closed", ""))
    }
}

async fn take(With(door): With<Door>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    // A name that leads to 127.0.0.1 is not this address.
    let is_ours = headers.get(HOST).is_some_and(|host| host.as_bytes() == door.host.as_bytes());
    let answer = read(query.as_deref().unwrap_or_default(), &door.state).filter(|_| is_ours);
    let Some(answer) = answer else { return page(StatusCode::BAD_REQUEST, "This is not the answer to a sign-in.") };
    let text = match answer.error {
        None => "You may close this page and go back to the command line.",
        Some(_) => "The sign-in was refused. The command line says more.",
    };
    // A second one has nobody to take it.
    let _ = door.answers.try_send(answer);
    page(StatusCode::OK, text)
}

/// The answer of a query, if it is that of this sign-in.
fn read(query: &str, state: &str) -> Option<Answer> {
    if query.len() > 16 * 1024 {
        return None;
    }
    let mut url = Url::parse("http://127.0.0.1/").ok()?;
    url.set_query(Some(query));
    let mut fields = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        // RFC 6749, section 3.1: no parameter twice.
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    (fields.get("state").map(String::as_str) == Some(state)).then(|| Answer {
        code: fields.remove("code"),
        error: fields.remove("error"),
        error_description: fields.remove("error_description"),
        iss: fields.remove("iss"),
    })
}

/// A page that holds nothing of the request.
fn page(status: StatusCode, text: &str) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    (status, headers, format!("<!doctype html><meta charset=utf-8><title>Tenantry</title><p>{text}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_question_is_taken() {
        let good = read("code=c%201&state=s&iss=https%3A%2F%2Flogin.example.com", "s").unwrap();
        assert_eq!(good.code.as_deref(), Some("c 1"));
        assert_eq!(good.iss.as_deref(), Some("https://login.example.com"));
        assert_eq!(read("error=access_denied&state=s", "s").unwrap().error.as_deref(), Some("access_denied"));
        for other in ["", "code=c", "code=c&state=S", "code=c&state=", "state=s&state=s", "code=a&code=b&state=s"] {
            assert_eq!(read(other, "s"), None, "{other}");
        }
        assert_eq!(read(&format!("state=s&x={}", "y".repeat(20_000)), "s"), None);
    }

    #[tokio::test]
    async fn strangers_change_nothing_and_the_browser_is_heard() {
        let loopback = Loopback::bind("s").await.unwrap();
        let address = loopback.address();
        assert!(address.starts_with("http://127.0.0.1:") && address.ends_with("/callback"), "{address}");
        let waiting = tokio::spawn(loopback.answer());
        let http = reqwest::Client::new();
        let status = async |url: String, host: Option<&str>| {
            let mut request = http.get(url);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(status(format!("{address}?code=evil&state=t"), None).await, 400);
        assert_eq!(status(format!("{address}?code=evil&state=s"), Some("evil.example")).await, 400);
        assert_eq!(status(format!("{}?code=evil&state=s", address.replace("callback", "other")), None).await, 404);
        assert!(!waiting.is_finished());
        assert_eq!(status(format!("{address}?code=c1&state=s"), None).await, 200);
        assert_eq!(waiting.await.unwrap().unwrap().code.as_deref(), Some("c1"));
    }
}
