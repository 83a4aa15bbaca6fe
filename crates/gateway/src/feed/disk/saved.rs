//! The shapes of the file. They are the form that its head names: another shape is another form.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{Access, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::InstallationId;
use tenantry_domain::name::EnvironmentName;

use super::Kept;
use crate::table::{Cell, Full, Login, Route, Verifier};

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The form of everything behind it.
    pub(super) version: u32,
    /// The authentication code in hexadecimal digits.
    pub(super) mac: String,
}

/// The second line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    pub(super) installation: InstallationId,
    pub(super) taken_at: Timestamp,
    routes: Vec<Route>,
    logins: Vec<SavedLogin>,
    cells: Vec<Cell>,
}

/// A login with its verifiers in the open, on its way to or from the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedLogin {
    name: LoginName,
    environment: EnvironmentName,
    whose: Whose,
    mode: Mode,
    access: Access,
    #[serde(default)]
    server: Server,
    proof: Proof,
    verifiers: Vec<SavedVerifier>,
    connections: Option<u32>,
    expires: Option<Timestamp>,
    #[serde(default)]
    version: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct SavedVerifier {
    #[serde(with = "open")]
    text: SecretString,
    until: Option<Timestamp>,
}

impl From<Kept> for Body {
    fn from(kept: Kept) -> Self {
        let Full { routes, logins, cells } = kept.full;
        let logins = logins.into_iter().map(SavedLogin::from).collect();
        Self { installation: kept.installation, taken_at: kept.taken_at, routes, logins, cells }
    }
}

impl From<Body> for Kept {
    fn from(body: Body) -> Self {
        let logins = body.logins.into_iter().map(Login::from).collect();
        let full = Full { routes: body.routes, logins, cells: body.cells };
        Self { installation: body.installation, taken_at: body.taken_at, full }
    }
}

impl From<Login> for SavedLogin {
    fn from(login: Login) -> Self {
        let saved = |verifier: Verifier| SavedVerifier { text: verifier.text, until: verifier.until };
        Self {
            name: login.name,
            environment: login.environment,
            whose: login.whose,
            mode: login.mode,
            access: login.access,
            server: login.server,
            proof: login.proof,
            verifiers: login.verifiers.into_iter().map(saved).collect(),
            connections: login.connections,
            expires: login.expires,
            version: login.version,
        }
    }
}

impl From<SavedLogin> for Login {
    fn from(saved: SavedLogin) -> Self {
        let verifier = |verifier: SavedVerifier| Verifier { text: verifier.text, until: verifier.until };
        Self {
            name: saved.name,
            environment: saved.environment,
            whose: saved.whose,
            mode: saved.mode,
            access: saved.access,
            server: saved.server,
            proof: saved.proof,
            verifiers: saved.verifiers.into_iter().map(verifier).collect(),
            connections: saved.connections,
            expires: saved.expires,
            version: saved.version,
        }
    }
}

/// A verifier as its text.
mod open {
    use secrecy::{ExposeSecret as _, SecretString};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text.expose_secret())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
        String::deserialize(deserializer).map(SecretString::from)
    }
}
