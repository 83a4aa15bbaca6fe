//! How a tenant is let in. Nothing of the application has run before it is, so it may be tried again: once per cause,
//! and never with an answer that is known to be wrong.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use tenantry_api::v1::route::CredentialView;
use tenantry_dataplane::seal::SealKey;
use tenantry_dataplane::{Door, TenantTxError};
use tenantry_pg::TxMode;
use zeroize::{Zeroize as _, Zeroizing};

use crate::admission::Login;
use crate::error::{Absent, Error, Overload};
use crate::fair::Wish;
use crate::known::Look;
use crate::tenant::{Route, State, Tenant, not_understood};
use crate::tenantry::Inner;
use crate::tx::TenantTx;

/// What lets the application in at one login. Kept in memory until the database refuses it.
#[derive(Clone)]
pub(crate) struct Credential {
    password: SecretString,
    seal: SealKey,
    /// When it was asked for: says which of two is newer.
    pub asked: Instant,
}

impl Credential {
    pub(crate) fn read(mut answer: CredentialView, asked: Instant) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        let decoded = STANDARD.decode(&answer.seal.key).map(Zeroizing::new);
        answer.seal.key.zeroize();
        let decoded = decoded.ok().filter(|decoded| decoded.len() == bytes.len());
        bytes.copy_from_slice(&decoded.ok_or_else(|| not_understood("seal.key"))?);
        let password = SecretString::from(answer.password);
        Ok(Self { password, seal: SealKey::new(answer.seal.kid, bytes), asked })
    }
}

/// What may be remedied by asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Moved,
    Shut,
    Absent,
    Refused,
    /// The pool was closed while we waited in it, to make room or because a password had changed.
    Closed,
}

/// Begins a transaction of the tenant.
pub(crate) async fn enter(inner: &Inner, tenant: &Tenant, mode: TxMode) -> Result<TenantTx, Error> {
    let mut route = open_route(inner, tenant, Look::Cached).await?;
    let mut credential = inner.credential(&route, None).await?;
    let mut seen = Vec::new();
    loop {
        let door = door(inner, &route, &credential);
        let login = Login::of(&door.target);
        let place = inner.admission.place(&route.cell, wish(inner, &route, login)).await?;
        let closed = inner.closed();
        let error = match inner.router.enter_with(&door, mode).await {
            Ok(tx) => return Ok(TenantTx::new(tx, tenant.clone(), place)),
            Err(error) => error,
        };
        drop(place);
        let was_closed = matches!(&error, TenantTxError::Unavailable(cause) if cause.sqlstate().is_none());
        let cause = match &error {
            TenantTxError::Stale => Cause::Moved,
            TenantTxError::Suspended => Cause::Shut,
            TenantTxError::Unknown => Cause::Absent,
            TenantTxError::Refused(_) => Cause::Refused,
            _ if was_closed && closed != inner.closed() => Cause::Closed,
            _ => return Err(last(tenant, error, inner)),
        };
        if seen.contains(&cause) {
            return Err(last(tenant, error, inner));
        }
        seen.push(cause);
        match cause {
            Cause::Closed => {}
            Cause::Refused => {
                inner.close_login(&door.target);
                // A login of the tenant's own is switched off while the tenant is not open.
                let look = if route.isolation.has_own_role() { Look::Fresh } else { Look::Cached };
                route = open_route(inner, tenant, look).await?;
                credential = inner.credential(&route, Some(&credential)).await?;
            }
            Cause::Shut => {
                inner.doubt(tenant.id());
                route = open_route(inner, tenant, Look::Fresh).await?;
                credential = inner.credential(&route, None).await?;
            }
            Cause::Moved | Cause::Absent => {
                inner.doubt(tenant.id());
                inner.forget_route(tenant.id()).await;
                route = match open_route(inner, tenant, Look::Fresh).await {
                    Err(Error::ControlPlaneUnavailable(_)) if cause == Cause::Moved => {
                        return Err(last(tenant, error, inner));
                    }
                    answer => answer?,
                };
                credential = inner.credential(&route, None).await?;
            }
        }
    }
}

async fn open_route(inner: &Inner, tenant: &Tenant, look: Look) -> Result<Route, Error> {
    let mut route = inner.route(tenant.id(), look).await?;
    if route.state != State::Open && look == Look::Cached {
        route = inner.route(tenant.id(), Look::Fresh).await?;
    }
    if route.tenant != tenant.id() {
        return Err(Error::TenantNotFound(Absent::Place));
    }
    if route.state == State::Open { Ok(route) } else { Err(Error::not_open(tenant.slug(), route.state)) }
}

fn door(inner: &Inner, route: &Route, credential: &Credential) -> Door {
    let target = inner.bare_target(&route.host).with_host(&route.host, route.port).with_database(&route.database);
    Door {
        tenant: route.tenant,
        epoch: route.generation,
        isolation: route.isolation,
        target: target.with_user(&route.role, &credential.password),
        seal: credential.seal.clone(),
        connections: route.connections,
        is_standby: false,
    }
}

fn wish(inner: &Inner, route: &Route, login: Login) -> Wish<Login> {
    let settings = inner.plane.settings();
    let asked = route.connections.map(|count| (count as usize).max(1));
    let login_most = settings.login_connections;
    let own = asked.unwrap_or(settings.tenant_connections);
    let tenant_most = if route.isolation.has_own_role() {
        own.min(login_most)
    } else {
        // Never the last one of a login that others need too.
        own.min(login_most.saturating_sub(1).max(1))
    };
    Wish { tenant: route.tenant, login, login_most, tenant_most }
}

fn last(tenant: &Tenant, error: TenantTxError, inner: &Inner) -> Error {
    let slug = tenant.slug().to_owned();
    match error {
        TenantTxError::Stale => Error::TenantMoved(slug),
        TenantTxError::Suspended => Error::TenantSuspended(slug),
        TenantTxError::Unknown | TenantTxError::Place(_) => Error::TenantNotFound(Absent::Place),
        TenantTxError::Refused(cause) => Error::CredentialRefused { tenant: slug, cause },
        TenantTxError::Busy => Error::TenantBusy(Overload::Deadline(inner.plane.settings().wait)),
        TenantTxError::Overloaded => Error::TenantBusy(Overload::Queue(inner.plane.settings().waiting)),
        TenantTxError::Unavailable(cause) if cause.sqlstate() == Some("53300") => Error::TenantBusy(Overload::Server),
        TenantTxError::Unavailable(cause) | TenantTxError::Failed(cause) => {
            Error::DatabaseUnavailable { tenant: slug, cause }
        }
    }
}
