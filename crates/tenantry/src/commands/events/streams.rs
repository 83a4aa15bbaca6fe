//! `tenantry events streams`: how publishing to streams stands.

use tenantry_api::v1::stream::Stream;

use crate::commands::times::moment;
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Shows all streams.
///
/// # Errors
/// The API refuses.
pub async fn run(session: &Session) -> Result<()> {
    let streams = session.client.streams().await?;
    if session.output.format().is_document() {
        return session.output.document(&streams);
    }
    let row = |stream: &Stream| {
        let oldest = if stream.behind == 0 { "-".to_owned() } else { format!("{:.0}s", stream.oldest_seconds) };
        vec![
            clean(&stream.name),
            clean(&stream.state),
            stream.behind.to_string(),
            oldest,
            stream.published_at.map_or_else(|| "-".to_owned(), moment),
            clean(&stream.servers),
        ]
    };
    let headings = ["STREAM", "STATE", "BEHIND", "OLDEST", "PUBLISHED", "SERVERS"];
    session.output.table(&headings, streams.items.iter().map(row).collect())?;
    for (stream, error) in streams.items.iter().filter_map(|stream| Some((stream, stream.error.as_ref()?))) {
        let text = format!("{}: {}: {} {}", stream.name, error.code, error.message, error.hint);
        session.output.note(&clean(&text));
    }
    Ok(())
}
