//! Who a request is from: a token of ours among a hundred thousand others, and an access token of an issuer.
//!
//! Measured through the use cases that the API calls before anything else. A token of ours is looked up each time, so that a
//! revocation holds at once; beside it stands the lookup alone. An access token is verified by keys that are in memory.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tenantry_control::{Options, people, tokens};
use tenantry_domain::access::{IssuerFile, Operators};

use super::Bench;
use crate::bed::Bed;
use crate::measure::{Samples, timed};
use crate::report::Figure;

/// Tokens of the same form under other ids.
const CROWD: &str = "
    INSERT INTO tenantry.token SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid()))).*
    FROM tenantry.token AS t, generate_series(1, $1::bigint) WHERE t.id = (SELECT id FROM tenantry.token LIMIT 1)";

/// Runs it.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let keys = Keys::generate(folder.path())?;
    let options = Options { operators: keys.operators()?, ..Options::default() };
    let bed = Bed::install_with(bench.host, "tokens", 10, options).await?;
    let times = bench.size.pick(20_000_usize, 4_000, 50);
    let crowd = bench.size.pick(100_000_i64, 100_000, 100);

    let mut good = Vec::new();
    for number in 0..50 {
        let name = format!("bench {number}");
        good.push(tokens::issue(&bed.cx(), &bed.deps, &name, Some(bed.cx().environment)).await?);
    }
    let pool = bench.host.pool(&bed.control, 1)?;
    let conn = pool.get().await?;
    let made = conn.execute(CROWD, &[&crowd]).await?;
    conn.execute("ANALYZE tenantry.token", &[]).await?;
    bench.note(format!("{made} other tokens"));

    let (mut known, mut forged, mut alone) = (Samples::default(), Samples::default(), Samples::default());
    for step in 0..times {
        let text = good[step % good.len()].expose_secret();
        let who = timed(&mut known, async { Ok(tokens::authenticate(&bed.deps, text).await?) }).await?;
        ensure!(who.is_some(), "a token that was issued is good");
        let wrong = tokens::mint_text()?;
        let wrong = wrong.expose_secret();
        let who = timed(&mut forged, async { Ok(tokens::authenticate(&bed.deps, wrong).await?) }).await?;
        ensure!(who.is_none(), "a made-up token is good");
        timed(&mut alone, async { Ok(conn.query_one("SELECT 1", &[]).await?) }).await?;
    }
    conn.release();
    bench.say(Figure::latency("a token of ours", &known).against("one round trip", alone.at(0.5)));
    bench.say(Figure::latency("a made-up token", &forged).against("a good one", known.at(0.5)));

    for algorithm in ["EdDSA", "RS256"] {
        let token = keys.token(algorithm, bed.deps.now().as_second())?;
        let mut samples = Samples::default();
        for _ in 0..times {
            let who = timed(&mut samples, async { Ok(people::authenticate(&bed.deps, &token).await?) }).await?;
            ensure!(who.is_some(), "an access token of {algorithm} is believed");
        }
        bench.say(Figure::latency(format!("an access token, {algorithm}"), &samples));
    }
    Ok(())
}

/// An issuer's keys, of which a file tells.
struct Keys {
    edwards: Ed25519KeyPair,
    rsa: RsaKeyPair,
    file: std::path::PathBuf,
}

const ISSUER: &str = "https://staff.example.com";

impl Keys {
    fn generate(folder: &Path) -> Result<Self> {
        let (edwards, rsa) = (Ed25519KeyPair::generate()?, RsaKeyPair::generate(KeySize::Rsa2048)?);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = rsa.public_key();
        let (modulus, exponent) = (public.modulus(), public.exponent());
        let set = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "x": part(edwards.public_key().as_ref()), "kid": "EdDSA" },
            { "kty": "RSA", "alg": "RS256", "n": part(modulus.big_endian_without_leading_zero()),
                "e": part(exponent.big_endian_without_leading_zero()), "kid": "RS256" },
        ] });
        let file = folder.join("keys.json");
        fs::write(&file, set.to_string())?;
        Ok(Self { edwards, rsa, file })
    }

    fn operators(&self) -> Result<Vec<Operators>> {
        let file: IssuerFile = serde_json::from_value(json!({ "operators": [{
            "issuer": ISSUER, "audiences": ["tenantry"], "keys": { "file": self.file },
            "algorithms": ["EdDSA", "RS256"], "groups": "groups", "roles": { "admins": { "roles": ["admin"] } },
        }] }))?;
        Operators::check(file.operators, &[]).context("the bench's issuer")
    }

    fn token(&self, algorithm: &str, now: i64) -> Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = json!({ "alg": algorithm, "typ": "at+jwt", "kid": algorithm });
        let claims = json!({
            "iss": ISSUER, "aud": "tenantry", "sub": "anna", "iat": now, "exp": now + 3600, "jti": "1",
            "client_id": "bench", "groups": ["admins"], "email": "anna@example.com",
        });
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = if algorithm == "EdDSA" {
            self.edwards.sign(signed.as_bytes()).as_ref().to_vec()
        } else {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            let random = aws_lc_rs::rand::SystemRandom::new();
            self.rsa.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)?;
            signature
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
