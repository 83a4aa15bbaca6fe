//! Notifications: people are told what happened to their tenant, by mail, and the operator by chat.
//!
//! Three small things in a row. A commit notes an event that somebody may have to be told of, by the statement that writes it.
//! [`Notes`] finds out who that is and queues what is sent, at most once per mailbox and event. A [`Courier`] makes the text
//! ([`templates`]) and sends it, until a server took it, refused it for good, or it is not true any more; there is one per way.
//! [`Keeper`] ends what is too old.
//!
//! INVARIANT: nobody is told of a tenant's event who is not among that tenant's own contacts, owners and admins; and of an event
//! that was committed nothing is lost by a process that dies. A crash between the server's yes and our note of it sends a mail
//! twice, under the same `Message-ID`; a server that has a mail and gives no answer gets it three times. Read [`tenantry_domain::notice`] for who is told of what.

mod chat;
mod courier;
mod facts;
mod keeper;
mod log;
mod notes;
pub mod stats;
pub mod templates;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_domain::notice::Kinds;

pub use chat::{ChatUrl, ChatUrlError};
pub use courier::{ByChat, ByMail, Courier, Way};
pub(crate) use facts::of_incident;
pub use keeper::Keeper;
pub use log::{Notification, list, waiting};
pub use notes::Notes;
pub(crate) use notes::reached;
pub use templates::{TemplateError, Templates};

/// How notifications are sent. Mail goes by the server that invitations go by; without one there is none.
#[derive(Debug, Clone)]
pub struct NotifyOptions {
    /// What is told of.
    pub kinds: Kinds,
    /// What texts are made of.
    pub templates: Arc<Templates>,
    /// Where the operator's chat takes messages; absent where there is none.
    pub chat: Option<ChatUrl>,
    /// The pause after the first attempt that failed; it doubles with each, up to a quarter of an hour.
    pub pause: Duration,
}

impl Default for NotifyOptions {
    fn default() -> Self {
        Self {
            kinds: Kinds::all(),
            templates: Arc::new(Templates::default()),
            chat: None,
            pause: Duration::from_secs(10),
        }
    }
}

/// After so long something is not news any more and is given up: longer than a weekend.
pub const NEWS: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Why what is too old was given up.
const OLD: &str = "it could not be sent in time and is not news any more";

/// For so long one can look up what was sent.
pub const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
