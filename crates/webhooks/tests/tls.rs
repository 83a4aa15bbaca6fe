//! Receivers with TLS: a real server with certificates of an authority of this test. What is not proven is not spoken to: no byte of
//! a message reaches a server whose certificate is another's, expired, or nobody's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tenantry_webhooks::names::NoAddress;
use tenantry_webhooks::{Egress, Fault, Limits, Message, Names, Rules, Sender, authorities};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const HOST: &str = "hooks.example.com";

/// Every name leads to this machine.
struct Here;

impl Names for Here {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoAddress>> {
        Box::pin(async { Ok(vec![[127, 0, 0, 1].into()]) })
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let ended = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
    assert!(ended.status.success(), "{arguments}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// An authority, in `ca.pem`.
fn authority(folder: &Path) {
    openssl(
        folder,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2",
    );
}

/// A certificate of the authority for a name; `days` below zero for one that has expired.
fn certificate(folder: &Path, name: &str, host: &str, days: i32) {
    std::fs::write(
        folder.join(format!("{name}.ext")),
        format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n"),
    )
    .unwrap();
    openssl(
        folder,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN=receiver"
        ),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.pem"
        ),
    );
}

/// A certificate that nobody signed but itself.
fn lonely(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.pem -days 2 \
             -subj /CN=receiver -addext subjectAltName=DNS:{HOST}"
        ),
    );
}

/// A server; what arrived inside of TLS.
async fn serve(folder: &Path, name: &str) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let chain =
        CertificateDer::pem_file_iter(folder.join(format!("{name}.pem"))).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got: Arc<Mutex<Vec<u8>>> = Arc::default();
    let into = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut buffer = vec![0; 16 * 1024];
            let read = tls.read(&mut buffer).await.unwrap_or(0);
            into.lock().unwrap().extend_from_slice(&buffer[..read]);
            let _ = tls.write_all(b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (port, got)
}

fn sender(port: u16, believed: Vec<Vec<u8>>) -> Sender {
    let rules = Rules { egress: Egress::Lab, ports: vec![port], ..Rules::default() };
    let limits = Limits { connect: Duration::from_millis(500), total: Duration::from_secs(2), ..Limits::default() };
    Sender::new(Arc::new(Here), rules, limits, believed.into_iter().map(Into::into).collect()).unwrap()
}

fn message() -> Message {
    Message { id: "evt_1".into(), timestamp: 1, signature: "v1,x".into(), body: b"{\"secret\":1}".as_slice().into() }
}

#[tokio::test]
async fn a_receiver_that_proves_its_name_is_sent_to_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    authority(at);
    certificate(at, "right", HOST, 2);
    certificate(at, "other", "other.example.com", 2);
    certificate(at, "below", &format!("x.{HOST}"), 2);
    certificate(at, "expired", HOST, -1);
    lonely(at, "lonely");
    let believed = || authorities(&at.join("ca.pem")).unwrap();
    for (name, believed, expected) in [
        ("right", believed(), Ok(204)),
        ("right", Vec::new(), Err(Fault::Tls)),
        ("other", believed(), Err(Fault::Tls)),
        ("below", believed(), Err(Fault::Tls)),
        ("expired", believed(), Err(Fault::Tls)),
        ("lonely", believed(), Err(Fault::Tls)),
    ] {
        let (port, got) = serve(at, name).await;
        let answer = sender(port, believed).send(&format!("https://{HOST}:{port}/in"), &message()).await;
        assert_eq!(answer.status, expected, "{name}");
        let got = got.lock().unwrap().clone();
        assert_eq!(got.starts_with(b"POST /in HTTP/1.1\r\n"), expected.is_ok(), "{name}");
        assert_eq!(got.is_empty(), expected.is_err(), "{name}: {}", String::from_utf8_lossy(&got));
    }
}

#[tokio::test]
async fn a_handshake_that_stands_still_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let held: Arc<Mutex<Vec<tokio::net::TcpStream>>> = Arc::default();
    let into = Arc::clone(&held);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            into.lock().unwrap().push(tcp);
        }
    });
    let began = Instant::now();
    let answer = sender(port, Vec::new()).send(&format!("https://{HOST}:{port}/in"), &message()).await;
    assert_eq!(answer.status, Err(Fault::Timeout));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(held.lock().unwrap().len(), 1);
}
