//! Which tenant a login gets, from all the places that may name one. Decides; the proof is made before.
//!
//! INVARIANT: what comes out is a tenant that the login may enter. Places that name one agree, or nothing comes out; and
//! a tenant that is not allowed is answered like one that does not exist.

use std::sync::Arc;

use tenantry_dataplane::Gate;
use tenantry_domain::gateway::{Mode, Whose};
use tenantry_domain::isolation::Isolation;

use super::refused::{Refused, shown};
use super::settings::Wish;
use crate::table::{Login, Route, Slot, Table};

/// The places besides the start that may name a tenant.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beside<'a> {
    /// The host name that TLS asked for.
    pub sni: Option<&'a str>,
    /// Domains under which a host name names a tenant.
    pub base_domains: &'a [String],
    /// The tenant in a verified token.
    pub claim: Option<&'a str>,
}

/// The tenant that a proven login gets.
pub(super) fn choose(login: &Login, wish: &Wish, beside: Beside<'_>, table: &Table) -> Result<Arc<Slot>, Refused> {
    let user = login.name.as_str();
    let mut names: Vec<&str> = wish.tenants.iter().map(String::as_str).collect();
    names.extend(beside.claim);
    let label = beside.sni.and_then(|host| label(host, beside.base_domains));
    names.extend(label.as_deref());
    let slot = match &login.whose {
        Whose::Tenant(own) => {
            let slot = table.tenant(*own).ok_or_else(|| Refused::NoTenant(user.to_owned()))?;
            let is_own =
                |name: &str| table.named(&login.environment, name).is_some_and(|found| found.tenant() == slot.tenant());
            if let Some(other) = names.iter().find(|name| !is_own(name)) {
                return Err(not_allowed(login, other));
            }
            let route = route_of(&slot, login)?;
            match &wish.database {
                Some(database) if database != user && database != route.app.as_str() && !is_own(database) => {
                    return Err(Refused::Database { user: user.to_owned(), database: shown(database) });
                }
                _ => slot,
            }
        }
        Whose::Service { app, .. } => {
            // What drivers fill in by themselves names nobody, even if a tenant is called the same.
            let database = wish.database.as_deref();
            names.extend(database.filter(|database| *database != user && *database != app.as_str()));
            let mut chosen: Option<Arc<Slot>> = None;
            let mut is_agreed = true;
            for name in names {
                let slot = allowed(login, name, table).ok_or_else(|| not_allowed(login, name))?;
                is_agreed &= chosen.as_ref().is_none_or(|other| other.tenant() == slot.tenant());
                chosen = Some(slot);
            }
            if !is_agreed {
                return Err(Refused::Disagree(user.to_owned()));
            }
            chosen.ok_or_else(|| Refused::NoneNamed(user.to_owned()))?
        }
    };
    let route = route_of(&slot, login)?;
    is_open(login, &route)?;
    Ok(slot)
}

fn not_allowed(login: &Login, name: &str) -> Refused {
    Refused::NotAllowed { user: login.name.as_str().to_owned(), tenant: shown(name) }
}

/// A tenant by its name, if the service login may enter it.
fn allowed(login: &Login, name: &str, table: &Table) -> Option<Arc<Slot>> {
    let slot = table.named(&login.environment, name)?;
    let route = slot.route()?;
    login.whose.allows(slot.tenant(), &route.app).then_some(slot)
}

/// The tenant's route, as long as it is in the login's environment.
fn route_of(slot: &Slot, login: &Login) -> Result<Arc<Route>, Refused> {
    let route = slot.route().filter(|route| route.environment == login.environment);
    route.ok_or_else(|| Refused::NoTenant(login.name.as_str().to_owned()))
}

fn is_open(login: &Login, route: &Route) -> Result<(), Refused> {
    let user = login.name.as_str().to_owned();
    match (route.gate, &route.place) {
        (Gate::Suspended, _) => Err(Refused::Suspended(user)),
        (Gate::Archived, _) => Err(Refused::Archived(user)),
        (Gate::Preparing, _) | (Gate::Open, None) => Err(Refused::Preparing(user)),
        (Gate::Open, Some(place)) if login.mode == Mode::Session && place.isolation == Isolation::Shared => {
            Err(Refused::SharedSession(user))
        }
        (Gate::Open, Some(_)) => Ok(()),
    }
}

/// The label in front of a base domain. A host name with more or fewer labels names nobody.
fn label(host: &str, base_domains: &[String]) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let (label, domain) = host.split_once('.')?;
    let is_base = base_domains.iter().any(|base| base.trim_matches('.').eq_ignore_ascii_case(domain));
    (is_base && !label.is_empty() && !domain.is_empty()).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_host_name_names_by_one_label_in_front_of_a_base() {
        let bases = ["db.example.com".to_owned(), "PG.example.net".to_owned()];
        let found = |host| label(host, &bases);
        assert_eq!(found("acme.db.example.com").as_deref(), Some("acme"));
        assert_eq!(found("ACME.DB.Example.COM.").as_deref(), Some("acme"));
        assert_eq!(found("acme.pg.example.net").as_deref(), Some("acme"));
        let nobody = [
            "db.example.com",
            "a.b.db.example.com",
            "acme.evildb.example.com",
            "acme.db.example.com.evil.org",
            "acme-db.example.com",
            ".db.example.com",
            "acme..db.example.com",
            "localhost",
            "",
            ".",
        ];
        for host in nobody {
            assert_eq!(found(host), None, "{host}");
        }
        assert_eq!(label("acme.db.example.com", &[]), None);
        assert_eq!(label("acme.", &[String::new()]), None);
        assert_eq!(label("acme..", &[String::new()]), None);
    }
}
