//! What outlives one answer: channels that end when their tenant's access does.
//!
//! One task looks at a tenant for all of its channels, as long as there are any. A change reaches the control plane's
//! replicas within 500 ms, and each is asked every [`PERIOD`]; together that is below a second. While the control plane
//! is away channels stay open, as requests go on being served.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tenantry_domain::id::TenantId;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::context;
use crate::error::Error;
use crate::known::Look;
use crate::sources::Sources;
use crate::tenant::{State, Tenant};
use crate::tenantry::Tenantry;

/// How often an open channel's tenant is looked at.
pub const PERIOD: Duration = Duration::from_millis(300);

/// Why a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The tenant is suspended, archived or being prepared.
    NotOpen(State),
    /// The tenant was deleted.
    Gone,
    /// The tenant has another place: its clients come back and are served there.
    Moved,
}

/// Tenants that are being looked at.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<HashMap<(TenantId, i64), Weak<Watcher>>>);

struct Watcher {
    end: watch::Receiver<Option<Ended>>,
    task: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells when a tenant's access ends. Cheap to clone.
#[derive(Clone)]
pub struct Watch(Arc<Watcher>);

impl Watch {
    /// Waits for the end.
    pub async fn ended(&self) -> Ended {
        let mut end = self.0.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(found) => (*found).unwrap_or(Ended::Gone),
            // The task is gone with its runtime.
            Err(_) => Ended::Gone,
        }
    }

    /// The end, if it has come.
    #[must_use]
    pub fn has_ended(&self) -> Option<Ended> {
        *self.0.end.borrow()
    }
}

impl Tenantry {
    /// Looks at a tenant from now on. Needs a runtime.
    #[must_use]
    pub fn watch(&self, tenant: &Tenant) -> Watch {
        let key = (tenant.id(), tenant.generation());
        let mut watchers = self.0.watchers.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|_, known| known.strong_count() > 0);
        if let Some(known) = watchers.get(&key).and_then(Weak::upgrade) {
            return Watch(known);
        }
        let (found, end) = watch::channel(None);
        let task = tokio::spawn(look(self.clone(), tenant.clone(), found)).abort_handle();
        let watcher = Arc::new(Watcher { end, task });
        watchers.insert(key, Arc::downgrade(&watcher));
        Watch(watcher)
    }

    /// A stream that ends when the tenant's access does, whatever the stream itself does.
    pub fn scope<S: Stream>(&self, tenant: &Tenant, stream: S) -> Scoped<S> {
        let watch = self.watch(tenant);
        let ended = Box::pin(async move { watch.ended().await });
        Scoped { stream: Some(Box::pin(stream)), ended, tenant: tenant.clone() }
    }
}

async fn look(tenantry: Tenantry, tenant: Tenant, found: watch::Sender<Option<Ended>>) {
    let sources = Sources::id(tenant.id());
    loop {
        let end = match tenantry.resolve(&sources, Look::Fresh).await {
            Ok(now) if !now.is_open() => Some(Ended::NotOpen(now.state())),
            Ok(now) if now.generation() != tenant.generation() => Some(Ended::Moved),
            Err(Error::TenantNotFound(_)) => Some(Ended::Gone),
            // The control plane is away or does not accept us at present.
            Ok(_) | Err(_) => None,
        };
        if end.is_some() {
            // Requests that come now must not be served from what was known before.
            tenantry.0.doubt(tenant.id());
            found.send_replace(end);
            return;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// A stream of one tenant. Its items are made with the tenant as the current one; it ends with the tenant's access.
pub struct Scoped<S> {
    stream: Option<Pin<Box<S>>>,
    ended: Pin<Box<dyn Future<Output = Ended> + Send>>,
    tenant: Tenant,
}

impl<S: Stream> Stream for Scoped<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        if this.ended.as_mut().poll(cx).is_ready() {
            this.stream = None;
            return Poll::Ready(None);
        }
        let item = context::poll(&this.tenant, || stream.as_mut().poll_next(cx));
        if matches!(item, Poll::Ready(None)) {
            this.stream = None;
        }
        item
    }
}
