//! People are told: by real mail servers and a real receiver of HTTP, of what a real database has.

mod chat;
mod cost;
mod ends;
mod incidents;
mod mails;
mod servers;

use std::time::{Duration, Instant};

use tenantry_control::controllers::driver;
use tenantry_control::members::mail::Mailer;
use tenantry_control::notify::{self, ByChat, ByMail, Courier, Keeper, Notes, Notification, NotifyOptions, Way};
use tenantry_control::tenants;
use tenantry_control::{Deps, NotificationFilter, NotificationState, Options};
use tenantry_domain::page::PageSize;
use tenantry_domain::tenant::contact::{Contact, Contacts, Email};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::members::mail::mailing;
use crate::world::{World, spec};

/// Longer than a mail is one process's.
pub const LEASE: jiff::SignedDuration = jiff::SignedDuration::from_mins(8);

/// With mail to a port, and pauses that a test waits for.
pub fn telling(port: u16) -> Options {
    let notify = NotifyOptions { pause: Duration::from_millis(150), ..NotifyOptions::default() };
    Options { notify, ..mailing(port) }
}

/// What tells people, alone: no workflow, no other controller.
pub struct Tellers(JoinSet<()>);

impl Tellers {
    pub fn start(deps: &Deps) -> Self {
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        tasks.spawn(driver::run(Notes::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Keeper::default(), deps.clone(), stop.clone()));
        if let Some(mail) = &deps.options().members.mail {
            tasks.spawn(driver::run(Courier::new(ByMail(mail.server.clone())), deps.clone(), stop.clone()));
        }
        if deps.options().notify.chat.is_some() {
            tasks.spawn(driver::run(Courier::new(ByChat), deps.clone(), stop));
        }
        Self(tasks)
    }

    /// Ends it in the middle of whatever it does.
    pub async fn kill(mut self) {
        self.0.abort_all();
        while self.0.join_next().await.is_some() {}
    }
}

/// Whoever sends mail could be another one.
#[allow(dead_code, reason = "it compiles, which is all that is asked of it")]
fn is_generic<M: Mailer>(mailer: M) -> Courier<impl Way> {
    Courier::new(ByMail(mailer))
}

pub fn contact(email: &str) -> Contact {
    Contact { name: "Somebody".into(), email: Email::parse(email).unwrap(), confirmed_at: None }
}

/// Contacts of all three roles below a domain.
pub fn contacts(domain: &str) -> Contacts {
    Contacts {
        technical: vec![contact(&format!("tech@{domain}"))],
        billing: vec![contact(&format!("money@{domain}"))],
        incident: vec![contact(&format!("alarm@{domain}"))],
    }
}

/// A new active tenant with contacts.
pub async fn active(world: &World, slug: &str, wanted: Spec) {
    let new = tenants::create(&world.cx(), &world.deps, Slug::parse(slug).unwrap(), wanted).await.unwrap();
    world.done(new.operation).await;
}

/// The example's tenant with contacts below a domain.
pub fn wanted(name: &str, domain: &str) -> Spec {
    Spec { display_name: name.into(), contacts: contacts(domain), ..spec("starter", Phase::Active) }
}

/// Waits until nothing is on its way.
pub async fn settled(deps: &Deps) {
    eventually("nothing waits", async || {
        let waiting = deps.store().notifications_waiting().await.unwrap();
        waiting.notes == 0 && waiting.queued == 0
    })
    .await;
}

pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The log, the newest first.
pub async fn log(world: &World) -> Vec<Notification> {
    let size = PageSize::new(200).unwrap();
    notify::list(&world.cx(), &world.deps, None, NotificationFilter::default(), size, None).await.unwrap().items
}

pub async fn standing(world: &World, to: &str) -> Notification {
    let all = log(world).await;
    all.into_iter().find(|one| one.to.as_deref() == Some(to)).unwrap_or_else(|| panic!("{to} is in the log"))
}

pub const SENT: NotificationState = NotificationState::Sent;
pub const DROPPED: NotificationState = NotificationState::Dropped;
