//! What a start asks for: who, where, and which settings.
//!
//! INVARIANT: a setting that is not on our list is refused by name, never left out in silence, and nothing on the list can
//! change whose rows are seen.

use tenantry_wire::start::{Start, StartError, options};

use super::refused::{Refused, shown};

/// The setting by which a service login names its tenant. It is ours and never reaches a server.
const TENANT: &str = "tenantry.tenant";

/// Settings that a client may give, as PostgreSQL writes them. None needs a privilege, none reaches beyond the session,
/// and none changes what a name in a statement means.
const ALLOWED: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "DateStyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "IntervalStyle",
    "jit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "plan_cache_mode",
    "statement_timeout",
    "TimeZone",
    "transaction_timeout",
    "xmlbinary",
    "xmloption",
];

/// What a start asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// The login.
    pub user: String,
    /// The database, unless it is left to us.
    pub database: Option<String>,
    /// What the setting `tenantry.tenant` says, each time it is given.
    pub tenants: Vec<String>,
    /// Settings in the order in which they apply, each name once.
    pub settings: Vec<(String, String)>,
}

/// Reads a start.
pub(super) fn read(start: &Start) -> Result<Wish, Refused> {
    let given = |name: &str| start.get(name).filter(|value| !value.is_empty());
    if given("replication").is_some_and(|value| !is_off(value)) {
        return Err(Refused::Unsupported("replication is not relayed; connect to the cell itself"));
    }
    let user = given("user").ok_or(Refused::NoUser)?.to_owned();
    let mut wish =
        Wish { user, database: given("database").map(str::to_owned), tenants: Vec::new(), settings: Vec::new() };
    // PostgreSQL takes the options first, so that a parameter of its own wins over them.
    for (name, value) in options(start.get("options").unwrap_or_default()).map_err(malformed)? {
        wish.set(&name, value)?;
    }
    for (name, value) in &start.params {
        if !matches!(name.as_str(), "user" | "database" | "options" | "replication") {
            wish.set(name, value.clone())?;
        }
    }
    Ok(wish)
}

impl Wish {
    fn set(&mut self, name: &str, value: String) -> Result<(), Refused> {
        if name.eq_ignore_ascii_case(TENANT) {
            self.tenants.push(value);
            return Ok(());
        }
        let known = ALLOWED.iter().find(|known| known.eq_ignore_ascii_case(name));
        let known = known.ok_or_else(|| Refused::Setting(shown(name)))?;
        self.settings.retain(|(earlier, _)| earlier != known);
        self.settings.push(((*known).to_owned(), value));
        Ok(())
    }
}

fn malformed(error: StartError) -> Refused {
    match error {
        StartError::Option(part) => Refused::Options(shown(&part)),
        // Only the first kind comes out of options.
        other => Refused::Options(shown(&other.to_string())),
    }
}

fn is_off(value: &str) -> bool {
    ["false", "off", "no", "0", "f", "n"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(params: &[(&str, &str)]) -> Start {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Start { minor: 0, params, unknown: Vec::new() }
    }

    #[test]
    fn settings_come_in_their_order_and_once() {
        let start = start(&[
            ("user", "ann"),
            ("timezone", "UTC"),
            ("options", "-c statement_timeout=5s --DATESTYLE=ISO -c TimeZone=Europe/Berlin -c tenantry.tenant=acme"),
            ("database", ""),
            ("Tenantry.Tenant", "globex"),
            ("replication", "off"),
        ]);
        let wish = read(&start).unwrap();
        let settings: Vec<_> = wish.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(settings, [("statement_timeout", "5s"), ("DateStyle", "ISO"), ("TimeZone", "UTC")]);
        assert_eq!((wish.user.as_str(), wish.database), ("ann", None));
        assert_eq!(wish.tenants, ["acme", "globex"]);
    }

    #[test]
    fn what_reaches_beyond_the_session_is_refused_by_name() {
        let names = [
            "search_path",
            "SEARCH_PATH",
            "role",
            "session_authorization",
            "row_security",
            "backtrace_functions",
            "tenantry.context",
            "tenantry.tenant2",
            "session_preload_libraries",
            "local_preload_libraries",
            "standard_conforming_strings",
            "log_statement",
            "is_superuser",
            "app.tenant_id",
            "work_mem",
            "temp_tablespaces",
            "default_tablespace",
            "check_function_bodies",
            "no_such_setting",
        ];
        for name in names {
            let refused = Err(Refused::Setting(name.to_owned()));
            assert_eq!(read(&start(&[("user", "ann"), (name, "x")])), refused);
            assert_eq!(read(&start(&[("user", "ann"), ("options", &format!("-c {name}=x"))])), refused);
            let dashed = name.replace('_', "-");
            assert_eq!(read(&start(&[("user", "ann"), ("options", &format!("--{dashed}=x"))])), refused);
        }
    }

    #[test]
    fn who_and_how() {
        assert_eq!(read(&start(&[])), Err(Refused::NoUser));
        assert_eq!(read(&start(&[("user", "")])), Err(Refused::NoUser));
        for value in ["1", "true", "database", "on", "x"] {
            let refused = read(&start(&[("user", "ann"), ("replication", value)]));
            assert!(matches!(refused, Err(Refused::Unsupported(_))), "{value}");
        }
        for text in ["-d 5", "search_path=x", "-c", "-cx"] {
            assert!(matches!(read(&start(&[("user", "ann"), ("options", text)])), Err(Refused::Options(_))), "{text}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_safe() {
        assert!(ALLOWED.is_sorted_by_key(|name| name.to_ascii_lowercase()));
        let barred = ["path", "role", "auth", "security", "preload", "tenantry", "backtrace", "log_", "superuser"];
        assert!(ALLOWED.iter().all(|name| !barred.iter().any(|part| name.contains(part))));
    }
}
