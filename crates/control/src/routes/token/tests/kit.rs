//! Issuers with keys of their own, and a server that hands out key sets in good and bad ways.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::access::{Issuer, IssuerFile};
use tenantry_domain::name::EnvironmentName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::fetch::Door;
use super::super::keys::Pace;
use super::super::{TokenError, Tokens};

pub const NOW: i64 = 1_800_000_000;
pub const ISSUER: &str = "https://login.example.com/";

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A key pair as an issuer has it.
pub struct Key {
    pub kid: &'static str,
    pub algorithm: &'static str,
    pub pair: Pair,
}

impl Key {
    pub fn new(kid: &'static str, algorithm: &'static str) -> Self {
        let pair = match algorithm {
            "ES256" => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { kid, algorithm, pair }
    }

    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                json!({ "kty": "RSA", "n": b64(n.big_endian_without_leading_zero()), "e": b64(e.big_endian_without_leading_zero()) })
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) })
            }
            Pair::Ed(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.algorithm);
        jwk["use"] = json!("sig");
        jwk
    }

    /// Signs as the algorithm says, whatever the key was made for.
    pub fn sign(&self, algorithm: &str, signed: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let method: &'static dyn RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    "RS384" => &RSA_PKCS1_SHA384,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(method, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        }
    }

    pub fn head(&self) -> Value {
        json!({ "alg": self.algorithm, "typ": "at+jwt", "kid": self.kid })
    }

    /// A token of any head and claims, as texts, properly signed.
    pub fn raw(&self, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(head), b64(claims));
        let algorithm =
            serde_json::from_str::<Value>(head).unwrap_or_default()["alg"].as_str().unwrap_or("").to_owned();
        let signature = self.sign(&algorithm, &signed);
        format!("{signed}.{}", b64(signature))
    }

    pub fn token(&self) -> String {
        self.raw(&self.head().to_string(), &claims().to_string())
    }
}

pub fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "api", "sub": "u1", "iat": NOW, "exp": NOW + 600, "tid": "acme" })
}

pub fn set(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

pub fn issuer(name: &str, environment: &str, keys: &Value) -> Issuer {
    let file: IssuerFile = serde_json::from_value(json!({ "issuers": [{
        "issuer": name, "environment": environment, "audiences": ["api"], "keys": keys, "claim": "tid",
        "algorithms": ["RS256", "RS384", "PS256", "ES256", "EdDSA"],
    }] }))
    .unwrap();
    Issuer::check(file).unwrap().remove(0)
}

pub fn prod() -> EnvironmentName {
    EnvironmentName::parse("prod").unwrap()
}

/// What a verifier says of a token at [`NOW`].
pub async fn says(tokens: &Tokens, token: &str) -> Result<String, TokenError> {
    tokens.verify(&prod(), token, Timestamp::from_second(NOW).unwrap()).await.map(|said| said.tenant)
}

/// Times that a test can wait for.
pub const QUICK: Pace = Pace {
    between: Duration::from_millis(400),
    cold: Duration::from_millis(50),
    refresh: Duration::from_secs(600),
    longest: Duration::from_secs(3600),
};

/// How the server answers.
#[derive(Clone)]
pub enum Answer {
    Keys(String),
    Raw(Vec<u8>),
    /// Headers, and then a byte from time to time.
    Drip,
    /// As much as anybody takes.
    Endless,
    /// After a while.
    Late(Duration, String),
}

/// A server on loopback, without TLS.
pub struct Server {
    pub address: std::net::SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked, sent) = (Arc::new(Mutex::new(answer)), Arc::<AtomicUsize>::default(), Arc::default());
        let server = Self { address, answer: Arc::clone(&answer), asked: Arc::clone(&asked), sent: Arc::clone(&sent) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let (answer, sent) = (answer.lock().unwrap().clone(), Arc::clone(&sent));
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    let _ = serve(&mut stream, answer, &sent).await;
                });
            }
        });
        server
    }

    pub fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// How many connections there were.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many bytes of endless bodies were taken.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    pub fn tokens(&self, pace: Pace) -> Tokens {
        Tokens::with(&[issuer(ISSUER, "prod", &json!({ "url": self.url() }))], Door { is_plain: true }, pace)
    }
}

async fn serve(stream: &mut tokio::net::TcpStream, answer: Answer, sent: &AtomicUsize) -> std::io::Result<()> {
    let good =
        |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let open = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    match answer {
        Answer::Keys(body) => stream.write_all(good(&body).as_bytes()).await?,
        Answer::Raw(bytes) => stream.write_all(&bytes).await?,
        Answer::Late(after, body) => {
            tokio::time::sleep(after).await;
            stream.write_all(good(&body).as_bytes()).await?;
        }
        Answer::Drip => {
            stream.write_all(open).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Answer::Endless => {
            stream.write_all(open).await?;
            let block = vec![b' '; 64 * 1024];
            loop {
                stream.write_all(&block).await?;
                sent.fetch_add(block.len(), Ordering::SeqCst);
            }
        }
    }
    stream.shutdown().await
}
