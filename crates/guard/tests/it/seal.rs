//! The hashes of the seal's functions are those of what the data plane installs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use tenantry_dataplane::SealMode;
use tenantry_testkit::pg::server;

use crate::world::{World, admin};

/// As check S12c does it.
const HASHES: &str = "SELECT p.oid::regprocedure::text, encode(sha256(convert_to(concat_ws('|', l.lanname, p.prosecdef, p.provolatile,
        p.proleakproof, array_to_string(p.proconfig, ','),
        regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '\\s+', ' ', 'g')), 'UTF8')), 'hex')
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
   WHERE p.pronamespace IN ('seal'::regnamespace, 'tenantry'::regnamespace) AND p.prorettype <> 'event_trigger'::regtype";

#[tokio::test]
async fn the_hashes_are_those_of_the_shipped_seal() {
    let mut functions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mode in [SealMode::Register, SealMode::Signed] {
        let world = World::with(server(), mode, false).await;
        let pool = admin(server(), &world.home);
        let conn = pool.get().await.unwrap();
        conn.batch_static("SET search_path = pg_catalog").await.unwrap();
        for row in conn.query(HASHES, &[]).await.unwrap() {
            functions.entry(row.get(0)).or_default().insert(row.get(1));
        }
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("checks/seal.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, _) = text.split_once("[functions]\n").unwrap();
    let mut wanted = format!("{head}[functions]\n");
    for (signature, hashes) in &functions {
        let list: Vec<String> = hashes.iter().map(|hash| format!("    \"{hash}\",\n")).collect();
        let _ = write!(wanted, "\"{signature}\" = [\n{}]\n", list.concat());
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert_eq!(text, wanted, "checks/seal.toml is stale: UPDATE_DOCS=1 cargo nextest run -p tenantry-guard seal");
    }
}
