//! Mail on a real mail server: what arrives, what is tried again, what does not leave.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tenantry_control::members::mail::{MailOptions, Smtp};
use tenantry_control::members::{self, Delivery, Invite, MemberOptions, Token};
use tenantry_control::tenants::Expected;
use tenantry_control::{Options, Runtime};
use tenantry_domain::code::Code;
use tenantry_domain::id::InvitationId;
use tenantry_testkit::mail::Sink;

use super::{OWNER, accept, add, by_link, refused, role, tenant};
use crate::world::{World, name, options};

/// Where what outlives a test is kept.
pub const TMP: &str = env!("CARGO_TARGET_TMPDIR");

pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn mailing(port: u16) -> Options {
    let mail = MailOptions {
        server: Smtp::parse(&SecretString::from(format!("smtp://127.0.0.1:{port}"))).unwrap(),
        from: "Example <no-reply@example.com>".parse().unwrap(),
        link: "https://{tenant}.example.com/join#{token}".parse().unwrap(),
        pause: Duration::from_millis(200),
    };
    Options { members: MemberOptions { single: false, mail: Some(mail) }, ..options() }
}

fn by_mail(address: &str) -> Invite {
    Invite { delivery: Delivery::Mail, ..by_link(address, "member") }
}

async fn send(world: &World, address: &str) -> InvitationId {
    let issued = members::invite(&world.cx(), &world.deps, &name("acme"), None, &by_mail(address)).await.unwrap();
    assert!(issued.token.is_none() && issued.link.is_none(), "what is mailed is not told");
    issued.invitation.id
}

async fn standing(world: &World, id: InvitationId) -> members::MailView {
    members::invitation(&world.cx(), &world.deps, &name("acme"), None, id).await.unwrap().1.unwrap()
}

/// The token out of the plain part of a mail. Its lines may be broken by quoted-printable.
fn token(mail: &str) -> Token {
    let joined = mail.replace("=\r\n", "").replace("=3D", "=");
    let rest = joined.split_once("https://acme.example.com/join#").expect("a link").1;
    let text: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
    text.parse().unwrap()
}

#[tokio::test]
async fn an_invitation_arrives_and_its_link_works_once() {
    let sink = Sink::start(TMP).await;
    let mut world = World::with(mailing(sink.port)).await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let cx = world.cx();
    let issued =
        members::invite(&cx, &world.deps, &name("acme"), Some(olga), &by_mail("anna@example.com")).await.unwrap();
    let mail = until("the mail", || sink.mails_to("anna@example.com").pop()).await;
    for part in
        ["Subject: Invitation to Acme GmbH", "From: Example <no-reply@example.com>", "olga@example.com invites you"]
    {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    assert!(mail.contains("text/plain") && mail.contains("text/html") && !mail.contains("<img"), "{mail}");
    let began = Instant::now();
    while standing(&world, issued.invitation.id).await.sent_at.is_none() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let token = token(&mail);
    assert_eq!(accept(&world, &token, "anna").await.unwrap().role, role("member"));
    refused(accept(&world, &token, "anna").await, Code::InvitationOver);
    assert_eq!(sink.mails().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_mail_is_tried_again_until_it_is_taken_or_refused_for_good() {
    let sink = Sink::start(TMP).await;
    let mut world = World::with(mailing(sink.port)).await;
    tenant(&world, "acme", "starter").await;
    let busy = send(&world, "busy@example.com").await;
    let gone = send(&world, "gone@example.com").await;
    world.runtime = Some(Runtime::start(&world.deps));
    until("the busy one takes it at the third time", || sink.mails_to("busy@example.com").pop()).await;
    let began = Instant::now();
    let (busy, gone) = loop {
        let (busy, gone) = (standing(&world, busy).await, standing(&world, gone).await);
        if busy.sent_at.is_some() && gone.dropped_at.is_some() {
            break (busy, gone);
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{busy:?} {gone:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((busy.attempts, busy.cause), (3, None));
    assert!(gone.attempts == 1 && gone.cause.as_deref().is_some_and(|cause| cause.contains("550")), "{gone:?}");
    assert_eq!(sink.mails().len(), 1);
    world.stop().await;
}

/// A server that is away loses nothing; what was withdrawn meanwhile does not leave; what was renewed leaves once.
#[tokio::test]
async fn nothing_is_lost_and_nothing_void_leaves() {
    let sink = Sink::start(TMP).await;
    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut world = World::with(mailing(closed)).await;
    tenant(&world, "acme", "starter").await;
    let kept = send(&world, "anna@example.com").await;
    let withdrawn = send(&world, "bert@example.com").await;
    let renewed = send(&world, "carl@example.com").await;
    world.runtime = Some(Runtime::start(&world.deps));
    let began = Instant::now();
    while standing(&world, kept).await.attempts < 2 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.pause().await;
    let (cx, acme) = (world.cx(), name("acme"));
    members::withdraw(&cx, &world.deps, &acme, None, withdrawn, Expected::Any).await.unwrap();
    world.skip_ahead(crate::notify::LEASE);
    members::resend(&world.cx(), &world.deps, &acme, None, renewed, Delivery::Mail).await.unwrap();
    // Another replica, which reaches the server, takes over what is there.
    let twin = world.twin(mailing(sink.port)).await;
    let runtime = Runtime::start(&twin);
    until("what was kept arrives", || sink.mails_to("anna@example.com").pop()).await;
    let carl = until("what was renewed arrives", || sink.mails_to("carl@example.com").pop()).await;
    let began = Instant::now();
    while twin.store().mail_waiting().await.unwrap().0 > 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    runtime.shutdown(&twin).await.unwrap();
    assert_eq!((sink.mails_to("bert@example.com").len(), sink.mails_to("carl@example.com").len()), (0, 1));
    assert_eq!(sink.mails().len(), 2);
    let void = standing(&world, withdrawn).await;
    assert!(void.sent_at.is_none() && void.dropped_at.is_some(), "{void:?}");
    accept(&world, &token(&carl), "carl").await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn without_a_mail_server_only_links_are_given() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let refusal = members::invite(&world.cx(), &world.deps, &name("acme"), None, &by_mail("anna@example.com")).await;
    let fields = refusal.as_ref().unwrap_err().fields();
    assert_eq!(fields[0].field, "delivery");
    refused(refusal, Code::InvalidParameter);
    world.stop().await;
}

/// Whoever does not answer is not written to without end: taking an invitation back and making it anew is no way round.
#[tokio::test]
async fn an_address_gets_five_mails_of_a_tenant_in_three_days() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = World::with(mailing(closed)).await;
    tenant(&world, "acme", "starter").await;
    tenant(&world, "globex", "starter").await;
    let acme = name("acme");
    for number in 0..5 {
        // Variants of an address are one mailbox.
        let id = send(&world, &format!("anna+{number}@example.com")).await;
        members::withdraw(&world.cx(), &world.deps, &acme, None, id, Expected::Any).await.unwrap();
    }
    let sixth = async || members::invite(&world.cx(), &world.deps, &acme, None, &by_mail("anna@example.com")).await;
    let why = refused(sixth().await, Code::TooManyRequests);
    assert!(why.contains("this address"), "{why}");
    // By link nobody is written to; another address and another tenant are others.
    let link =
        members::invite(&world.cx(), &world.deps, &acme, None, &by_link("anna@example.com", "member")).await.unwrap();
    let again = tenantry_control::Ctx { now: world.cx().now + jiff::SignedDuration::from_mins(2), ..world.cx() };
    let resent = members::resend(&again, &world.deps, &acme, None, link.invitation.id, Delivery::Mail).await;
    refused(resent, Code::TooManyRequests);
    send(&world, "bert@example.com").await;
    members::invite(&world.cx(), &world.deps, &name("globex"), None, &by_mail("anna@example.com")).await.unwrap();
    members::withdraw(&world.cx(), &world.deps, &acme, None, link.invitation.id, Expected::Any).await.unwrap();
    world.skip_ahead(jiff::SignedDuration::from_hours(72) + jiff::SignedDuration::from_secs(1));
    sixth().await.unwrap();
    world.stop().await;
}

/// A server that took a mail is believed, whatever it does when it is left; one that says nothing gets it three times at most.
#[tokio::test]
async fn an_invitation_is_not_sent_again_for_the_sake_of_a_farewell() {
    let sink = Sink::start(TMP).await;
    let mut world = World::with(mailing(sink.port)).await;
    tenant(&world, "acme", "starter").await;
    let (taken, lost) = (send(&world, "cling@example.com").await, send(&world, "lost@example.com").await);
    world.runtime = Some(Runtime::start(&world.deps));
    let began = Instant::now();
    let (taken, lost) = loop {
        let (taken, lost) = (standing(&world, taken).await, standing(&world, lost).await);
        if taken.sent_at.is_some() && lost.dropped_at.is_some() {
            break (taken, lost);
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{taken:?} {lost:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((taken.attempts, lost.attempts), (1, 3));
    assert!(lost.cause.as_deref().is_some_and(|cause| cause.contains("three times")), "{lost:?}");
    assert_eq!((sink.mails_to("cling@example.com").len(), sink.mails_to("lost@example.com").len()), (1, 3));
    world.stop().await;
}
