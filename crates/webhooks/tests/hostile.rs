//! Hostile addresses: a generated table of URLs, each refused when it is written down and when something is to be sent; names that
//! lead elsewhere when they are asked again; redirects. What is watched is the socket that must not be reached.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tenantry_testkit::receivers::{Mood, Receiver};
use tenantry_webhooks::names::NoAddress;
use tenantry_webhooks::{Egress, Fault, Limits, Message, Names, Rules, Sender, Target, TargetError};

/// Says what a test wants, one answer after the other; the last one stays.
struct Scripted {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
    pause: Duration,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|some| some.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0), pause: Duration::ZERO })
    }
}

impl Names for Scripted {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoAddress>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::time::sleep(self.pause).await;
            let mut answers = self.answers.lock().unwrap();
            let answer =
                if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() };
            if answer.is_empty() { Err(NoAddress) } else { Ok(answer) }
        })
    }
}

fn limits() -> Limits {
    Limits { connect: Duration::from_millis(400), total: Duration::from_millis(800), ..Limits::default() }
}

fn sender(names: Arc<dyn Names>, rules: Rules) -> Sender {
    Sender::new(names, rules, limits(), Vec::new()).unwrap()
}

fn message() -> Message {
    Message { id: "evt_1".into(), timestamp: 1, signature: "v1,x".into(), body: b"{}".as_slice().into() }
}

/// Addresses that must not be reached, in IPv4.
const INNER: [&str; 30] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.254",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.254",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
];

/// The table. `port` is one of this machine at which somebody listens.
fn corpus(port: u16) -> BTreeSet<String> {
    let mut urls = BTreeSet::new();
    for text in INNER {
        let ip: Ipv4Addr = text.parse().unwrap();
        let [a, b, c, d] = ip.octets();
        let number = u32::from(ip);
        let six = |ip: Ipv6Addr| format!("[{ip}]");
        let [h, l] = [(number >> 16) as u16, number as u16];
        let mut hosts = vec![
            text.to_owned(),
            // Dword, octal, hexadecimal, and shortened forms.
            number.to_string(),
            format!("0x{number:x}"),
            format!("0{number:o}"),
            format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a}.{}", number & 0x00ff_ffff),
            format!("{a}.{b}.{}", number & 0xffff),
            format!("{text}."),
            // IPv4 inside of IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
            six(ip.to_ipv6_mapped()),
            format!("[::{text}]"),
            six(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, h, l)),
            six(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, h, l)),
            six(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, h, l)),
            six(Ipv6Addr::new(0x2002, h, l, 0, 0, 0, 0, 1)),
            six(Ipv6Addr::new(0x2001, 0, h, l, 0, 0, !h, !l)),
        ];
        // Letters that look like digits to a parser of names.
        hosts.push(text.chars().map(|letter| if letter == '.' { '\u{3002}' } else { letter }).collect());
        hosts.push(
            text.chars()
                .map(|letter| letter.to_digit(10).map_or(letter, |digit| char::from_u32(0xff10 + digit).unwrap()))
                .collect(),
        );
        urls.extend(hosts.into_iter().map(|host| format!("https://{host}/in")));
    }
    for host in [
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[2001:2::1]",
        "[2001:10::1]",
        "[2001:20::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[2620:4f:8000::1]",
        "[4000::1]",
        "[::ffff:0:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "metadata.google.internal",
        "metadata",
        "kubernetes.default.svc",
        "db.corp",
        "nas.local",
        "router.lan",
        "printer.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "x.onion",
        "x.test",
        "x.invalid",
        "x.intranet",
        "tenantry.example.com",
        "api.tenantry.example.com",
        "TENANTRY.example.com",
        "tenantry.example.com.",
        "-a.example.com",
        "a-.example.com",
        "a..example.com",
        ".example.com",
        "a.123",
        "1.2.3.4.5",
        "256.1.1.1",
        "0x",
        "%6c%6f%63%61%6c%68%6f%73%74",
        "a.example.com%00.b.example.com",
        "*.example.com",
        "a,b.example.com",
        "a_.",
        "lo\u{ad}calhost",
        "\u{ff4c}ocalhost",
        "loc\u{200b}alhost.example.com",
        "a\u{202e}b.example.com",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    ] {
        urls.insert(format!("https://{host}/in"));
    }
    for other in [
        "",
        " ",
        "/in",
        "//a.example.com/in",
        "https:",
        "https://",
        "https:///a.example.com",
        "https:a.example.com",
        "https:/a.example.com",
        "http://a.example.com/in",
        "HTTP://a.example.com/in",
        "ftp://a.example.com",
        "file:///etc/passwd",
        "gopher://a.example.com/",
        "javascript:alert(1)",
        "data:text/plain,x",
        "unix:/run/x.sock",
        "ws://a.example.com",
        "jar:https://a.example.com!/",
        "a.example.com",
        "https://user@a.example.com/",
        "https://user:pw@a.example.com/",
        "https://@a.example.com/",
        "https://:@a.example.com/",
        "https://a.example.com@127.0.0.1/",
        "https://127.0.0.1@a.example.com/",
        "https://a.example.com#@127.0.0.1/",
        "https://a.example.com/#x",
        "https://a.example.com\\@127.0.0.1/",
        "https://a.example.com\\.b.example.com/",
        "https:\\\\a.example.com/",
        "https://a.example.com/\r\nX: 1",
        "https://a.example.com/\nin",
        "https://a.example.com/\tin",
        "https://a.exa\tmple.com/",
        " https://a.example.com/",
        "https://a.example.com/ in",
        "https://a.example.com/\0",
        "https://a.example.com/\u{85}",
        "https://a.example.com/\u{a0}",
        "https://a.example.com:0/",
        "https://a.example.com:22/",
        "https://a.example.com:25/",
        "https://a.example.com:80/",
        "https://a.example.com:5432/",
        "https://a.example.com:6379/",
        "https://a.example.com:8080/",
        "https://a.example.com:9200/",
        "https://a.example.com:65535/",
        "https://a.example.com:65536/",
        "https://a.example.com:-1/",
        "https://a.example.com:x/",
        "https://[::1/",
        "https://::1/",
        "https://[1.2.3.4]/",
        "https://[a.example.com]/",
        "https://a.example.com:443:443/",
        "https://?x",
        "https://#x",
    ] {
        urls.insert(other.to_owned());
    }
    urls.insert(format!("https://a.example.com/{}", "x".repeat(3000)));
    urls.insert(format!("https://{}.example.com/", "x".repeat(64)));
    urls.insert(format!("https://{}example.com/", "x.".repeat(130)));
    // Somebody listens there.
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "017700000001",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "localhost",
        "0.0.0.0",
        "[::]",
    ] {
        for scheme in ["https", "http"] {
            urls.insert(format!("{scheme}://{host}:{port}/in"));
        }
    }
    urls
}

#[tokio::test]
async fn hostile_urls_are_refused_when_written_down_and_when_sent_and_nobody_is_reached() {
    let listener = Receiver::start(Mood::Ok).await;
    let urls = corpus(listener.address().port());
    assert!(urls.len() >= 400, "{}", urls.len());
    let rules = Rules { own: vec!["tenantry.example.com".to_owned()], ..Rules::default() };
    // Ports do not save anybody either.
    let any_port = Rules { ports: (1..=65535).collect(), ..rules.clone() };
    // Whatever is asked for is this machine.
    let names = Scripted::new(&[&["127.0.0.1"]]);
    let sender = sender(names, any_port);
    let (mut at_once, mut by_name) = (0, 0);
    for url in &urls {
        let refused = Target::parse(url, &rules);
        assert!(refused.is_err(), "{url:?} was accepted as {refused:?}");
        assert!(sender.look(url).await.is_err(), "{url:?}");
        // Where ports are the reason, the address behind the name is the next one.
        match sender.send(url, &message()).await.status {
            Err(Fault::Target) => at_once += 1,
            Err(Fault::Forbidden) => by_name += 1,
            other => panic!("{url:?}: {other:?}"),
        }
    }
    assert_eq!((listener.connections(), at_once + by_name), (0, urls.len()));
    eprintln!("{} URLs: {at_once} refused by their form, {by_name} by where they lead, 0 connections", urls.len());
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_leads_nowhere() {
    let listener = Receiver::start(Mood::Ok).await;
    let port = listener.address().port();
    let rules = Rules { ports: vec![port], ..Rules::default() };
    let url = format!("https://rebind.example.com:{port}/in");
    // Public when it is written down, and then this machine, the metadata of a cloud, or a private network.
    for inner in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0"] {
        let names = Scripted::new(&[&["8.8.8.8"], &[inner]]);
        let sender = sender(names.clone(), rules.clone());
        assert!(sender.look(&url).await.is_ok());
        assert_eq!(sender.send(&url, &message()).await.status, Err(Fault::Forbidden), "{inner}");
        assert_eq!(names.asked.load(Ordering::Relaxed), 2);
        // And when it is changed, it is looked at, too.
        assert!(matches!(sender.look(&url).await, Err(TargetError::Resolved)), "{inner}");
    }
    // Of a mixed answer the public part alone is tried; here nobody answers there.
    let names = Scripted::new(&[&["127.0.0.1", "10.0.0.1", "::1"]]);
    assert_eq!(sender(names, rules.clone()).send(&url, &message()).await.status, Err(Fault::Forbidden));
    assert_eq!(listener.connections(), 0);
}

#[tokio::test]
async fn a_resolver_that_takes_its_time_is_not_waited_for() {
    let names = Arc::new(Scripted {
        answers: Mutex::new(vec![vec!["8.8.8.8".parse().unwrap()]]),
        asked: AtomicUsize::new(0),
        pause: Duration::from_secs(30),
    });
    let sender = sender(names, Rules::default());
    let began = Instant::now();
    assert_eq!(sender.send("https://slow.example.com/", &message()).await.status, Err(Fault::Connect));
    assert!(sender.look("https://slow.example.com/").await.is_ok(), "each attempt looks again");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let silent = Scripted::new(&[&[]]);
    let silent = self::sender(silent, Rules::default());
    assert_eq!(silent.send("https://none.example.com/", &message()).await.status, Err(Fault::Name));
}

#[tokio::test]
async fn redirects_and_alternative_services_are_not_followed() {
    let inner = Receiver::start(Mood::Ok).await;
    let rules = Rules { egress: Egress::Lab, ..Rules::default() };
    let sender = sender(Scripted::new(&[&["127.0.0.1"]]), rules);
    for to in [
        inner.url(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "//127.0.0.1/".to_owned(),
        "/other".to_owned(),
    ] {
        let outer = Receiver::start(Mood::Redirect(to.clone())).await;
        let answer = sender.send(&outer.url(), &message()).await;
        assert_eq!(answer.status, Ok(302), "{to}");
        assert_eq!((outer.count(), inner.connections()), (1, 0), "{to}");
        // The next one goes to the same place, whatever `Alt-Svc` said.
        sender.send(&outer.url(), &message()).await;
        assert_eq!((outer.count(), inner.connections()), (2, 0), "{to}");
    }
}

#[tokio::test]
async fn answers_are_bounded_in_time_and_bytes() {
    let rules = Rules { egress: Egress::Lab, ..Rules::default() };
    let sender = sender(Scripted::new(&[&[]]), rules);
    for (mood, status, excerpt) in [
        (Mood::Hang, Err(Fault::Timeout), 0),
        (Mood::Reset, Err(Fault::Broken), 0),
        (Mood::LongHead, Err(Fault::Malformed), 0),
        (Mood::Garbage, Err(Fault::Malformed), 0),
        (Mood::Bomb, Ok(200), 2048),
        (Mood::Drip, Ok(500), 10),
        (Mood::Slow(Duration::from_millis(50)), Ok(200), 2),
    ] {
        let receiver = Receiver::start(mood.clone()).await;
        let began = Instant::now();
        let answer = sender.send(&receiver.url(), &message()).await;
        assert_eq!(answer.status, status, "{mood:?}");
        assert!(answer.excerpt.len() <= 2048 && answer.excerpt.len() >= excerpt, "{mood:?}: {}", answer.excerpt.len());
        assert!(began.elapsed() < Duration::from_millis(2500), "{mood:?}: {:?}", began.elapsed());
    }
    // Nobody listens.
    let nobody = Receiver::start(Mood::Ok).await;
    let url = nobody.url();
    drop(nobody);
    // Its door closes when its tasks have ended.
    let began = Instant::now();
    let mut status = sender.send(&url, &message()).await.status;
    while status != Err(Fault::Connect) && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = sender.send(&url, &message()).await.status;
    }
    assert_eq!(status, Err(Fault::Connect));
}

#[tokio::test]
async fn one_connection_carries_many_messages() {
    let receiver = Receiver::start(Mood::Ok).await;
    let sender = sender(Scripted::new(&[&[]]), Rules { egress: Egress::Lab, ..Rules::default() });
    for _ in 0..100 {
        assert_eq!(sender.send(&receiver.url(), &message()).await.status, Ok(200));
    }
    assert_eq!((receiver.count(), receiver.connections()), (100, 1));
}
