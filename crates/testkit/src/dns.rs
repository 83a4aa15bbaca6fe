//! An authoritative DNS server on loopback, by UDP and TCP, that says what a test wants; names that it does not know do not
//! exist.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, NS, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What is said about a name.
#[derive(Debug, Clone)]
pub enum Says {
    /// TXT records, each of one or more strings.
    Txt(Vec<Vec<String>>),
    /// The same, and by UDP only that the answer is too long for it.
    LongTxt(Vec<Vec<String>>),
    /// An alias of another name of the server.
    Alias(String),
    /// The name exists and has no TXT record.
    Empty,
    /// The server at fault, or unwilling.
    Code(ResponseCode),
    /// Ask others: a pointer without an answer.
    Referral,
    /// Not a DNS message.
    Garbage,
    /// Nothing at all.
    Silence,
}

impl Says {
    /// One TXT record of one string.
    #[must_use]
    pub fn txt(text: &str) -> Self {
        Self::Txt(vec![vec![text.to_owned()]])
    }

    /// The server has failed.
    #[must_use]
    pub fn failure() -> Self {
        Self::Code(ResponseCode::ServFail)
    }

    /// The server does not want to answer.
    #[must_use]
    pub fn refusal() -> Self {
        Self::Code(ResponseCode::Refused)
    }
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<BTreeMap<String, Says>>,
    queries: AtomicUsize,
    is_stopped: AtomicBool,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Default for DnsServer {
    fn default() -> Self {
        Self::start()
    }
}

impl DnsServer {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        // A port that is free for both.
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("a free port");
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let for_udp = Arc::clone(&shared);
        std::thread::spawn(move || by_udp(&for_udp, &udp));
        let for_tcp = Arc::clone(&shared);
        std::thread::spawn(move || by_tcp(&for_tcp, &tcp));
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides what is said about a name from now on.
    pub fn say(&self, name: &str, says: Says) {
        self.shared.names.lock().unwrap().insert(name.to_ascii_lowercase(), says);
    }

    /// Forgets a name.
    pub fn forget(&self, name: &str) {
        self.shared.names.lock().unwrap().remove(&name.to_ascii_lowercase());
    }

    /// How many requests came.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.shared.queries.load(Ordering::SeqCst)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
    }
}

fn by_udp(shared: &Shared, socket: &UdpSocket) {
    let mut buffer = [0; 4096];
    while !shared.is_stopped.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(shared, &buffer[..length], true) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn by_tcp(shared: &Arc<Shared>, listener: &TcpListener) {
    while !shared.is_stopped.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut request).is_err() {
                    return;
                }
                if let Some(answer) = answer(&shared, &request, false) {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    if stream.write_all(&[&length, answer.as_slice()].concat()).is_err() {
                        return;
                    }
                }
            }
        });
    }
}

fn name(text: &str) -> Name {
    Name::from_str(&format!("{text}.")).unwrap()
}

fn soa(zone: Name) -> Record {
    let server = name("ns.invalid");
    Record::from_rdata(zone, 5, RData::SOA(SOA::new(server.clone(), server, 1, 60, 60, 60, 5)))
}

fn answer(shared: &Shared, request: &[u8], is_udp: bool) -> Option<Vec<u8>> {
    let request = Message::from_vec(request).ok()?;
    let query: Query = request.queries.first()?.clone();
    shared.queries.fetch_add(1, Ordering::SeqCst);
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.authoritative = true;
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.add_query(query.clone());
    let mut at = query.name.clone();
    // An alias leads to another name a few times at most.
    for _ in 0..4 {
        let key = at.to_string().trim_end_matches('.').to_ascii_lowercase();
        let says = shared.names.lock().unwrap().get(&key).cloned();
        let text = |strings: &Vec<String>| Record::from_rdata(at.clone(), 5, RData::TXT(TXT::new(strings.clone())));
        match says {
            None => {
                response.metadata.response_code = ResponseCode::NXDomain;
                response.add_authority(soa(at.base_name()));
            }
            Some(Says::Silence) => return None,
            Some(Says::Garbage) => return Some(b"not a message".to_vec()),
            Some(Says::Code(code)) => response.metadata.response_code = code,
            Some(Says::Referral) => {
                let server = RData::NS(NS(name("ns.elsewhere.example")));
                response.metadata.authoritative = false;
                response.add_authority(Record::from_rdata(at.base_name(), 5, server));
            }
            Some(Says::LongTxt(_)) if is_udp => response.metadata.truncation = true,
            Some(Says::Txt(records) | Says::LongTxt(records)) if query.query_type == RecordType::TXT => {
                response.add_answers(records.iter().map(text));
            }
            Some(Says::Empty | Says::Txt(_) | Says::LongTxt(_)) => {
                response.add_authority(soa(at.base_name()));
            }
            Some(Says::Alias(target)) => {
                let target = name(&target);
                response.add_answer(Record::from_rdata(at.clone(), 5, RData::CNAME(CNAME(target.clone()))));
                at = target;
                continue;
            }
        }
        break;
    }
    response.to_vec().ok()
}
