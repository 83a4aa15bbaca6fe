//! What a controller has in hand while it looks for more: a piece that takes long holds up nothing but its own place.
//!
//! INVARIANT: there are never more pieces than places, and all of them end with this value.

use std::future::Future;

use tenantry_store::StoreError;
use tokio::task::{JoinError, JoinSet};

/// Pieces of work, each in a place of its own.
#[derive(Debug)]
pub(crate) struct InHand {
    pieces: JoinSet<Result<(), StoreError>>,
    places: usize,
}

impl InHand {
    /// Nothing yet, with room for so many pieces.
    pub(crate) fn new(places: usize) -> Self {
        Self { pieces: JoinSet::new(), places }
    }

    /// Waits until there is room, and says for how many pieces.
    pub(crate) async fn room(&mut self) -> usize {
        while let Some(ended) = self.pieces.try_join_next() {
            note(ended);
        }
        if self.pieces.len() >= self.places
            && let Some(ended) = self.pieces.join_next().await
        {
            note(ended);
        }
        self.places.saturating_sub(self.pieces.len())
    }

    /// Begins a piece.
    pub(crate) fn take(&mut self, piece: impl Future<Output = Result<(), StoreError>> + Send + 'static) {
        self.pieces.spawn(piece);
    }

    /// Waits until all pieces have ended.
    pub(crate) async fn end(&mut self) {
        while let Some(ended) = self.pieces.join_next().await {
            note(ended);
        }
    }
}

/// What could not be written down is done once more when its lease has run out.
fn note(ended: Result<Result<(), StoreError>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what came of a piece of work was not written down"),
        Err(error) => tracing::error!(%error, "a piece of work broke"),
    }
}
