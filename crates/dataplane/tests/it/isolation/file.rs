//! The example's list of what a broken or injected application would send, at every level.

use crate::isolation::attack::{attack, fill};
use crate::isolation::world::{DATABASE, SCHEMA, SHARED, SHARED_SIGNED, Setting, World, example};

struct Entry {
    name: String,
    refused: bool,
    levels: Option<String>,
    messages: Vec<String>,
}

fn entries() -> Vec<Entry> {
    let text = example("broken/broken.sql");
    let mut entries = Vec::new();
    for block in text.split("\n-- name:").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let (mut refused, mut levels, mut sql) = (false, None, String::new());
        for line in rest.lines() {
            if let Some(expect) = line.strip_prefix("-- expect:") {
                refused = expect.trim() == "refused";
            } else if let Some(list) = line.strip_prefix("-- levels:") {
                levels = Some(list.trim().to_owned());
            } else if line == "-- then" {
                sql.push('\0');
            } else if !line.starts_with("-- tries:") && !line.starts_with("-- ----") {
                sql.push_str(line);
                sql.push('\n');
            }
        }
        let messages = sql.split('\0').map(|message| message.trim().to_owned()).collect();
        entries.push(Entry { name: name.trim().to_owned(), refused, levels, messages });
    }
    entries
}

async fn all(setting: Setting) {
    let world = World::driven(setting).await;
    let own = world.fingerprint(&world.a).await;
    let (mut ran, mut wrong) = (0, Vec::new());
    for entry in entries() {
        if entry.levels.as_ref().is_some_and(|levels| !levels.contains(setting.isolation.as_str())) {
            continue;
        }
        let mut messages = Vec::new();
        for message in &entry.messages {
            messages.push(fill(&world, message).await);
        }
        let transcript = attack(&world, &messages).await;
        ran += 1;
        wrong.extend(transcript.leaks.iter().map(|leak| format!("{}: {leak}", entry.name)));
        if entry.refused && transcript.last().is_none() {
            wrong.push(format!(
                "{}: was not refused: {}",
                entry.name,
                transcript.text.chars().take(300).collect::<String>()
            ));
        }
        if world.fingerprint(&world.a).await != own {
            world.restore(&world.a).await;
        }
    }
    assert!(ran > 150, "only {ran} entries");
    assert!(wrong.is_empty(), "{} of {ran}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_shared() {
    all(SHARED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_shared_signed() {
    all(SHARED_SIGNED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_schema() {
    all(SCHEMA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_database() {
    all(DATABASE).await;
}
