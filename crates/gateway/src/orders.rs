//! The workers, as those see them who give orders: the listener, the administrator's console, the program around them.

use std::time::Duration;

use tenantry_domain::id::TenantId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::worker::{Order, View, owner};

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Workers(Vec<mpsc::Sender<Order>>);

impl Workers {
    /// All workers, by their number.
    #[must_use]
    pub const fn new(workers: Vec<mpsc::Sender<Order>>) -> Self {
        Self(workers)
    }

    /// The worker that a tenant lives on.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> Option<&mpsc::Sender<Order>> {
        self.0.get(owner(tenant, self.0.len()))
    }

    /// A worker by its number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&mpsc::Sender<Order>> {
        self.0.get(number)
    }

    /// Begins no transaction of a tenant for at most so long, and waits until none is in hand. Whether that came true
    /// within the time.
    pub async fn hold(&self, tenant: TenantId, limit: Duration) -> bool {
        let (done, held) = oneshot::channel();
        self.tell(tenant, Order::Hold(tenant, limit, done)).await && matches!(timeout(limit, held).await, Ok(Ok(())))
    }

    /// Goes on with a tenant.
    pub async fn release(&self, tenant: TenantId) {
        self.tell(tenant, Order::Release(tenant)).await;
    }

    /// What all workers have.
    pub async fn view(&self) -> View {
        let mut all = View::default();
        for worker in &self.0 {
            let (answer, view) = oneshot::channel();
            if worker.send(Order::Look(answer)).await.is_ok()
                && let Ok(view) = view.await
            {
                all.sessions.extend(view.sessions);
                all.pools.extend(view.pools);
                all.held.extend(view.held);
                all.standbys.extend(view.standbys);
                all.counted.merge(view.counted);
            }
        }
        all
    }

    /// Ends a session by its number. Whether there was one.
    pub async fn kill(&self, session: u64) -> bool {
        for worker in &self.0 {
            let (answer, found) = oneshot::channel();
            if worker.send(Order::Kill(session, answer)).await.is_ok() && found.await == Ok(true) {
                return true;
            }
        }
        false
    }

    /// Ends idle sessions at once, and the others when their transaction is over or after `grace`.
    pub async fn stop(&self, grace: Duration) {
        let mut waiting = Vec::new();
        for worker in &self.0 {
            let (done, stopped) = oneshot::channel();
            if worker.send(Order::Stop(grace, done)).await.is_ok() {
                waiting.push(stopped);
            }
        }
        for stopped in waiting {
            let _ = stopped.await;
        }
        for worker in &self.0 {
            let _ = worker.send(Order::End).await;
        }
    }

    async fn tell(&self, tenant: TenantId, order: Order) -> bool {
        match self.of(tenant) {
            Some(worker) => worker.send(order).await.is_ok(),
            None => false,
        }
    }
}
