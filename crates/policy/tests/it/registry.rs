//! Bundles out of a real registry of container images.
//!
//! Needs the program `docker-registry`. Without it the test says so and passes on a developer's machine; where `CI` is
//! set it fails.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tenantry_policy::source::Fetched;
use tenantry_policy::{Source, SourceError, bundle};

use crate::sample::strict;

/// A registry that ends with the test.
struct Registry {
    child: Child,
    url: String,
    host: String,
    _files: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    async fn start() -> Option<Self> {
        let program = ["/usr/bin/docker-registry", "/usr/local/bin/docker-registry"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(program) = program else {
            assert!(std::env::var_os("CI").is_none(), "`docker-registry` is not installed");
            eprintln!("SKIPPED: `docker-registry` is not installed");
            return None;
        };
        let files = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            files.path().join("data").display()
        );
        std::fs::write(files.path().join("config.yml"), settings).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(files.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let host = format!("127.0.0.1:{port}");
        let registry = Self { child, url: format!("http://{host}"), host, _files: files };
        let until = Instant::now() + Duration::from_secs(30);
        while reqwest::get(format!("{}/v2/", registry.url)).await.is_err() {
            assert!(Instant::now() < until, "the registry does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(registry)
    }

    /// Pushes bytes; gives their digest.
    async fn blob(&self, name: &str, bytes: &[u8]) -> String {
        let client = reqwest::Client::new();
        let begun = client.post(format!("{}/v2/{name}/blobs/uploads/", self.url)).send().await.unwrap();
        assert_eq!(begun.status().as_u16(), 202);
        let mut location = reqwest::Url::parse(begun.headers()["location"].to_str().unwrap()).unwrap();
        let digest = sha256(bytes);
        location.query_pairs_mut().append_pair("digest", &digest);
        let put = client.put(location).header("content-type", "application/octet-stream").body(bytes.to_vec());
        assert_eq!(put.send().await.unwrap().status().as_u16(), 201);
        digest
    }

    /// Pushes an image of some layers under a tag; gives the digest of its manifest.
    async fn image(&self, name: &str, tag: &str, layers: &[&[u8]], kind: &str) -> String {
        let config = self.blob(name, b"{}").await;
        let mut listed = Vec::new();
        for layer in layers {
            let digest = self.blob(name, layer).await;
            listed.push(serde_json::json!({"mediaType": kind, "digest": digest, "size": layer.len()}));
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": listed,
        });
        let text = serde_json::to_vec(&manifest).unwrap();
        let put = reqwest::Client::new()
            .put(format!("{}/v2/{name}/manifests/{tag}", self.url))
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(text.clone());
        let answer = put.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{}", answer.text().await.unwrap());
        sha256(&text)
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[tokio::test]
async fn bundles_come_out_of_a_registry_by_tag_and_by_digest() {
    let Some(registry) = Registry::start().await else { return };
    let packed = bundle::pack(&strict("1")).unwrap();
    let digest = registry.image("acme/policies", "1", &[&packed], LAYER).await;
    let source = |reference: &str| Source::parse(&format!("oci://{}/acme/policies{reference}", registry.host)).unwrap();

    let by_tag = source(":1").fetch(None, None).await.unwrap();
    let Fetched::Bundle(bundle, Some(tag)) = by_tag else { panic!("{by_tag:?}") };
    assert_eq!((*bundle, tag.as_str()), (strict("1"), digest.as_str()));
    assert!(matches!(source(":1").fetch(None, Some(&tag)).await.unwrap(), Fetched::Unchanged));
    let by_digest = source(&format!("@{digest}")).fetch(None, None).await.unwrap();
    assert!(matches!(by_digest, Fetched::Bundle(bundle, _) if *bundle == strict("1")));

    // The tag moves on.
    registry.image("acme/policies", "1", &[&bundle::pack(&strict("2")).unwrap()], LAYER).await;
    let moved = source(":1").fetch(None, Some(&tag)).await.unwrap();
    assert!(matches!(moved, Fetched::Bundle(bundle, _) if *bundle == strict("2")));

    let gone = source(":9").fetch(None, None).await.unwrap_err();
    assert!(matches!(gone, SourceError::Status { status: 404, .. }) && gone.code().to_string() == "TEN-0078");
    registry.image("acme/policies", "two", &[&packed, b"x"], LAYER).await;
    assert!(matches!(source(":two").fetch(None, None).await, Err(SourceError::Layers(2))));
    registry.image("acme/policies", "text", &[&packed], "text/plain").await;
    assert!(matches!(source(":text").fetch(None, None).await, Err(SourceError::Layers(1))));
    registry.image("acme/policies", "junk", &[b"junk"], LAYER).await;
    assert_eq!(source(":junk").fetch(None, None).await.unwrap_err().code().to_string(), "TEN-0076");
}
