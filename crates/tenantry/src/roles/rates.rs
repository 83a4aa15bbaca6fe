//! How often callers of the API may ask.

use std::num::NonZeroU32;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_control::quotas::rates::RateOptions;
use tenantry_domain::limit::{Class, Limit};
use tenantry_domain::quantity::Rate;

use crate::exit::{Failure, Result};

/// Rates of the API.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Rates")]
pub struct Rates {
    /// Reads a token may make in a second, twice as many at once; `off` for no bound
    #[arg(long, env = "TENANTRY_RATE_READ", default_value = "100", value_name = "COUNT", value_parser = bound)]
    rate_read: Bound,
    /// Changes a token may make in a second, twice as many at once; `off` for no bound
    #[arg(long, env = "TENANTRY_RATE_WRITE", default_value = "50", value_name = "COUNT", value_parser = bound)]
    rate_write: Bound,
    /// Calls about many objects a token may make in a second, twice as many at once; `off` for no bound
    #[arg(long, env = "TENANTRY_RATE_BULK", default_value = "10", value_name = "COUNT", value_parser = bound)]
    rate_bulk: Bound,
    /// Calls that resolve tenants a token may make in a second, twice as many at once; `off` for no bound
    #[arg(long, env = "TENANTRY_RATE_RESOLVE", default_value = "off", value_name = "COUNT", value_parser = bound)]
    rate_resolve: Bound,
    /// Times in a minute an address may fail to say who it is; `off` for no bound
    #[arg(long, env = "TENANTRY_RATE_FAILURES", default_value = "20", value_name = "COUNT", value_parser = bound)]
    rate_failures: Bound,
    /// Redis or Valkey by which replicas share rates, redis://… or rediss://…
    #[arg(long, env = "TENANTRY_REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<SecretString>,
    /// Proxies in front that add themselves to X-Forwarded-For
    #[arg(long, env = "TENANTRY_PROXIES", default_value_t = 0, value_name = "COUNT")]
    proxies: u8,
}

/// A number in some time, or none.
#[derive(Debug, Clone, Copy)]
struct Bound(Option<NonZeroU32>);

fn bound(text: &str) -> std::result::Result<Bound, String> {
    if text == "off" {
        return Ok(Bound(None));
    }
    text.parse().map(|count| Bound(Some(count))).map_err(|_| "must be a number from 1 on, or `off`".to_owned())
}

/// The URL may hold a password, so it is read here and repeated by nobody: a complaint about an argument would.
fn redis(url: &SecretString) -> Result<SecretString> {
    let text = url.expose_secret();
    let has_host = |rest: &str| !rest.is_empty() && !rest.starts_with('/');
    match text.strip_prefix("redis://").or_else(|| text.strip_prefix("rediss://")) {
        Some(rest) if has_host(rest) => Ok(url.clone()),
        _ => {
            Err(Failure::usage("The URL of Redis (TENANTRY_REDIS_URL) must be redis://HOST:PORT or rediss://HOST:PORT"))
        }
    }
}

impl Rates {
    /// The settings as the brain takes them.
    ///
    /// # Errors
    /// The URL of Redis cannot be used.
    pub fn options(&self) -> Result<RateOptions> {
        let two = NonZeroU32::MIN.saturating_add(1);
        let second =
            |count: NonZeroU32| Limit::new(Rate { amount: count, seconds: NonZeroU32::MIN }, count.saturating_mul(two));
        let minute = NonZeroU32::MIN.saturating_add(59);
        let classes = [
            (Class::Read, self.rate_read),
            (Class::Write, self.rate_write),
            (Class::Bulk, self.rate_bulk),
            (Class::Resolve, self.rate_resolve),
        ];
        Ok(RateOptions {
            principal: classes.into_iter().filter_map(|(class, bound)| Some((class, second(bound.0?)))).collect(),
            failures: self.rate_failures.0.map(|amount| Limit::of(Rate { amount, seconds: minute })),
            shared: self.redis_url.as_ref().map(redis).transpose()?,
            proxies: self.proxies,
            ..RateOptions::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_or_off() {
        assert!(bound("off").unwrap().0.is_none());
        assert_eq!(bound("7").unwrap().0.map(NonZeroU32::get), Some(7));
        for bad in ["0", "-1", "many", ""] {
            assert!(bound(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        let redis = |text: &str| redis(&SecretString::from(text));
        assert!(redis("redis://:hunter2@cache:6379/0").is_ok() && redis("rediss://cache").is_ok());
        for bad in ["cache:6379", "http://:hunter2@cache", "redis://", "redis:///0", "unix:/run/hunter2"] {
            let error = format!("{:?}", redis(bad).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
