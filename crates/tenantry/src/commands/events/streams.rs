//! `tenantry events streams`: how publishing to streams stands, and the end of one.

use tenantry_api::v1::stream::Stream;

use crate::commands::times::moment;
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// What to do with streams; shows them unless something else is said.
#[derive(Debug, clap::Args)]
pub struct Streams {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Forget a stream that no process publishes to: nothing is kept for it any more, and its server keeps what it has
    Forget {
        /// The stream's name
        name: String,
    },
}

impl Streams {
    /// Shows streams, or forgets one.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn run(&self, session: &Session) -> Result<()> {
        match &self.verb {
            None => show(session).await,
            Some(Verb::Forget { name }) => forget(session, name).await,
        }
    }
}

async fn forget(session: &Session, name: &str) -> Result<()> {
    let gone = session.client.forget_stream(name).await?;
    if session.output.format().is_document() {
        return session.output.document(&gone);
    }
    let text = format!(
        "stream {} is forgotten; {} events of this environment were not published to it",
        gone.name, gone.behind
    );
    session.output.line(&clean(&text))
}

async fn show(session: &Session) -> Result<()> {
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
