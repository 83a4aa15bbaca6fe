//! The arithmetic of the seal, our half of what `seal.arm` and `seal.enter` compute in the database.
//!
//! The key never travels. A backend is *bound* to one tenant at one placement generation by a proof that we know the key;
//! from then on it lets that tenant in, and no other. Or it is *armed*: both sides derive a *capability* that holds for
//! this backend only, and a *token* made of the capability lets one tenant's transaction in, at one generation, on this
//! backend only. Every derivation has a constant of its own, so that no value of one kind can be used as another.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;
use zeroize::Zeroizing;

const ARM: &[u8] = b"tenantry seal arm 1";
const BIND: &[u8] = b"tenantry seal bind 1";
const STANDBY: &[u8] = b"tenantry seal standby 1";
const CAPABILITY: &[u8] = b"tenantry seal capability 1";
const ENTER: &[u8] = b"tenantry seal enter 1";

/// A database's seal key and the number under which its table knows it.
#[derive(Clone)]
pub struct SealKey {
    kid: i32,
    key: Zeroizing<[u8; 32]>,
}

impl SealKey {
    /// Takes a derived key. A higher number replaces a lower one.
    #[must_use]
    pub const fn new(kid: i32, key: Zeroizing<[u8; 32]>) -> Self {
        Self { kid, key }
    }

    /// The key's number.
    #[must_use]
    pub const fn kid(&self) -> i32 {
        self.kid
    }

    /// The key itself, for an application that enters tenants by itself.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        self.key.clone()
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// The proof that `seal.arm` asks for on this backend.
    #[must_use]
    pub fn arm(&self, backend: Backend) -> [u8; 32] {
        self.mac(ARM, backend, &[])
    }

    /// The proof that `seal.bind` asks for on this backend, for this tenant at this placement generation.
    #[must_use]
    pub fn bind(&self, backend: Backend, tenant: Uuid, epoch: i64) -> [u8; 32] {
        self.mac(BIND, backend, &[tenant.as_bytes(), &epoch.to_be_bytes()])
    }

    /// The proof that `seal.enter_standby` asks for in each transaction on this backend.
    #[must_use]
    pub fn standby(&self, backend: Backend, tenant: Uuid, epoch: i64) -> [u8; 32] {
        self.mac(STANDBY, backend, &[tenant.as_bytes(), &epoch.to_be_bytes()])
    }

    /// What this backend knows once it is armed.
    #[must_use]
    pub fn capability(&self, backend: Backend) -> Capability {
        let mac = Zeroizing::new(self.mac(CAPABILITY, backend, &[]));
        let mut bytes = Zeroizing::new([0; 16]);
        bytes.copy_from_slice(&mac[..16]);
        Capability(bytes)
    }

    /// Two nested hashes, the key first in both: what HMAC does, in a form that SQL can also compute.
    fn mac(&self, purpose: &[u8], backend: Backend, more: &[&[u8]]) -> [u8; 32] {
        let (pid, started) = (backend.pid.to_be_bytes(), backend.started.to_be_bytes());
        let inner = [&[self.key.as_slice(), purpose, &pid, &started], more].concat();
        hash(&[self.key.as_slice(), &hash(&inner)])
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.kid)
    }
}

/// Which server process a connection has, as `seal.hello` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Its process id.
    pub pid: i32,
    /// When it started, in microseconds, so that a reused process id is another backend.
    pub started: i64,
}

/// The secret that we share with one armed backend.
#[derive(Clone)]
pub struct Capability(Zeroizing<[u8; 16]>);

impl Capability {
    /// What lets a transaction of `tenant` in while its placement generation is `epoch`.
    #[must_use]
    pub fn token(&self, tenant: Uuid, epoch: i64) -> [u8; 32] {
        hash(&[ENTER, self.0.as_slice(), tenant.as_bytes(), &epoch.to_be_bytes()])
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capability(…)")
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Backend = Backend { pid: 1, started: 2 };

    fn key(byte: u8) -> SealKey {
        SealKey::new(1, Zeroizing::new([byte; 32]))
    }

    #[test]
    fn every_input_matters() {
        let tenant = Uuid::from_u128(5);
        let known = key(1).capability(HERE).token(tenant, 3);
        let others = [
            key(2).capability(HERE).token(tenant, 3),
            key(1).capability(Backend { pid: 9, ..HERE }).token(tenant, 3),
            key(1).capability(Backend { started: 9, ..HERE }).token(tenant, 3),
            key(1).capability(HERE).token(Uuid::from_u128(6), 3),
            key(1).capability(HERE).token(tenant, 4),
            key(1).arm(HERE),
            key(1).bind(HERE, tenant, 3),
        ];
        assert!(others.iter().all(|other| *other != known));
        let bound = key(1).bind(HERE, tenant, 3);
        let others = [
            key(2).bind(HERE, tenant, 3),
            key(1).bind(Backend { pid: 9, ..HERE }, tenant, 3),
            key(1).bind(Backend { started: 9, ..HERE }, tenant, 3),
            key(1).bind(HERE, Uuid::from_u128(6), 3),
            key(1).bind(HERE, tenant, 4),
            key(1).arm(HERE),
            key(1).standby(HERE, tenant, 3),
        ];
        assert!(others.iter().all(|other| *other != bound));
        let standby = key(1).standby(HERE, tenant, 3);
        let others = [
            key(2).standby(HERE, tenant, 3),
            key(1).standby(Backend { pid: 9, ..HERE }, tenant, 3),
            key(1).standby(Backend { started: 9, ..HERE }, tenant, 3),
            key(1).standby(HERE, Uuid::from_u128(6), 3),
            key(1).standby(HERE, tenant, 4),
        ];
        assert!(others.iter().all(|other| *other != standby));
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?} {:?}", key(7), key(7).capability(HERE)), "SealKey(1) Capability(…)");
    }
}
