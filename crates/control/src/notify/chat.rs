//! The operator's chat: an incoming webhook that takes `{"text": "…"}`, as Slack, Mattermost, Rocket.Chat and Teams do.
//!
//! INVARIANT: the URL is a secret and stands in no log, cause or answer. It is called by the sender of webhooks, with its rules.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tenantry_store::OutgoingRow;
use tenantry_webhooks::{Verdict, judge};

use super::templates::Text;
use crate::deps::Deps;
use crate::members::mail::{SendError, is_local};

/// Where the chat takes messages.
#[derive(Clone)]
pub struct ChatUrl(SecretString);

impl fmt::Debug for ChatUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChatUrl(…)")
    }
}

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChatUrlError {
    /// No URL.
    #[error("must be the URL of an incoming webhook, such as https://chat.example.com/hooks/…")]
    Form,
    /// It could be read on its way.
    #[error("must begin with https://; http:// is for this machine only")]
    Plain,
}

impl FromStr for ChatUrl {
    type Err = ChatUrlError;
    fn from_str(text: &str) -> Result<Self, ChatUrlError> {
        let url = reqwest::Url::parse(text).map_err(|_| ChatUrlError::Form)?;
        match url.scheme() {
            "https" => {}
            "http" if is_local(&url) => {}
            "http" => return Err(ChatUrlError::Plain),
            _ => return Err(ChatUrlError::Form),
        }
        if url.host_str().is_none() { Err(ChatUrlError::Form) } else { Ok(Self(SecretString::from(text))) }
    }
}

/// Most characters of a message; chats cut longer ones.
const MESSAGE: usize = 3500;

/// Says something. It is said when the chat has answered with 2xx.
pub(super) async fn send(deps: &Deps, row: &OutgoingRow, text: &Text) -> Result<(), SendError> {
    let later = |cause: &str| SendError::Later(cause.to_owned());
    let url = deps.options().notify.chat.as_ref().ok_or_else(|| later("no chat is configured here"))?;
    let sender = deps.outbound().sender(deps.options()).ok_or_else(|| later("this process cannot send webhooks"))?;
    let answer = sender.post(url.0.expose_secret(), &row.id.to_string(), body(text).into()).await;
    match (judge(&answer), answer.status) {
        (Verdict::Delivered, _) => Ok(()),
        (Verdict::Refused, _) => {
            let cause = "the rules for webhooks do not allow the address of the chat: https, port 443 or 8443, the public internet";
            Err(SendError::Refused(cause.to_owned()))
        }
        (_, Ok(status)) => Err(SendError::Later(format!("the chat answered {status}"))),
        (_, Err(fault)) => Err(SendError::Later(format!("the chat did not answer: {}", fault.as_str()))),
    }
}

/// The message. The three letters by which Slack knows links and calls (`<!channel>`) are escaped, so that no name of a tenant
/// calls anybody.
fn body(text: &Text) -> Vec<u8> {
    let whole = format!("{}\n{}", text.subject, text.body.trim_end());
    let escaped = whole.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let cut: String = escaped.chars().take(MESSAGE).collect();
    json!({ "text": cut }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn the_url_is_encrypted_and_shows_up_nowhere() {
        let url: ChatUrl = "https://chat.example.com/hooks/T0/hush".parse().unwrap();
        assert_eq!(format!("{url:?}"), "ChatUrl(…)");
        assert!("http://127.0.0.1:9/hook".parse::<ChatUrl>().is_ok());
        assert_eq!("http://chat.example.com/hooks/hush".parse::<ChatUrl>().unwrap_err(), ChatUrlError::Plain);
        for wrong in ["", "chat.example.com", "ftp://chat.example.com/x"] {
            let error = wrong.parse::<ChatUrl>().unwrap_err();
            assert_eq!(error, ChatUrlError::Form, "{wrong}");
        }
    }

    #[test]
    fn nobody_is_called_by_a_name() {
        let text = Text { subject: "<!channel> is ready".to_owned(), body: "a & b\n".to_owned() };
        let value: serde_json::Value = serde_json::from_slice(&body(&text)).unwrap();
        assert_eq!(value, json!({ "text": "&lt;!channel&gt; is ready\na &amp; b" }));
        let long = Text { subject: "x".to_owned(), body: "y".repeat(9000) };
        let value: serde_json::Value = serde_json::from_slice(&body(&long)).unwrap();
        assert_eq!(value["text"].as_str().unwrap().chars().count(), MESSAGE);
    }
}
