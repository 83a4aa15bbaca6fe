//! A borrowed connection.
//!
//! INVARIANT: a connection goes back to its pool only through [`Conn::release`], which nobody reaches whose future
//! was dropped. A `Conn` that is dropped is closed: the server is told to stop what it runs, and the pool's place
//! becomes free once that was said.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::pool::Shelf;
use crate::{PgError, Session, Tx, TxMode};

/// A connection out of a [`crate::Pool`]. Give it back with [`Conn::release`]; dropping it closes it.
pub struct Conn {
    session: Arc<Session>,
    shelf: Arc<Shelf>,
    /// Gone once the connection went back.
    place: Option<OwnedSemaphorePermit>,
}

impl Conn {
    pub(crate) fn new(session: Arc<Session>, shelf: Arc<Shelf>, place: OwnedSemaphorePermit) -> Self {
        session.begin_anew();
        Self { session, shelf, place: Some(place) }
    }

    /// Gives the connection back. One with an unanswered request is closed instead.
    pub fn release(mut self) {
        if self.session.has_unanswered() || self.session.is_closed() {
            return;
        }
        if let Some(place) = self.place.take() {
            self.shelf.put(Arc::clone(&self.session), place);
        }
    }

    /// Begins a transaction on this connection.
    ///
    /// # Errors
    /// The server refused or is gone; the connection is closed then.
    pub async fn begin(self, mode: TxMode) -> Result<Tx, PgError> {
        Tx::begin(self, mode).await
    }
}

impl Deref for Conn {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let runtime = tokio::runtime::Handle::try_current();
        if let (true, Ok(runtime)) = (self.session.has_unanswered() && !self.session.is_closed(), runtime) {
            let (session, shelf) = (Arc::clone(&self.session), Arc::clone(&self.shelf));
            runtime.spawn(async move {
                // Without the cancel request the server would first finish a long statement, with its locks.
                shelf.target().cancel(session.client().cancel_token()).await;
                session.abort();
                drop(place);
            });
        }
        // Otherwise the last owner of the client goes, which says good-bye to the server; it rolls back.
    }
}
