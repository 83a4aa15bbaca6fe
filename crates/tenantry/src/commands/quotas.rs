//! `tenantry quotas`: what a tenant may have, what it uses, and putting that right.

use serde_json::json;
use tenantry_api::v1::quota::{Quota, QuotaRequest, RecountRequest, ReservationRequest};

use super::times::moment;
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Show, take and give back what tenants have of their quotas
#[derive(Debug, clap::Args)]
#[command(after_help = "Quotas and how strictly they hold stand in the plan; overrides stand in the tenant's manifest.

Examples:
  tenantry quotas list acme
  tenantry quotas take acme exports
  tenantry quotas release acme storage --amount 1073741824
  tenantry quotas reserve acme seats --amount 5 --for 1h
  tenantry quotas commit acme rsv_01jd8x3v9mfk2t5h7q0w4z6y8c
  tenantry quotas recount acme seats --used 42")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List a tenant's quotas, with what is used
    List {
        /// Name or id of the tenant
        tenant: String,
    },
    /// Take an amount of a quota, all of it or nothing
    Take(Amount),
    /// Give an amount of a quota back
    Release(Amount),
    /// Set an amount of a quota aside until it is committed, cancelled, or has expired
    Reserve {
        #[command(flatten)]
        amount: Amount,
        /// How long it is set aside, 1s to 24h [default: 15m]
        #[arg(long = "for", value_name = "DURATION")]
        held: Option<String>,
    },
    /// Use what was set aside
    Commit(Ended),
    /// Free what was set aside
    Cancel(Ended),
    /// Set what is used to what was counted
    Recount {
        /// Name or id of the tenant
        tenant: String,
        /// Name of the quota
        quota: String,
        /// What was counted
        #[arg(long, value_name = "AMOUNT")]
        used: u64,
    },
}

/// How much of which quota.
#[derive(Debug, clap::Args)]
struct Amount {
    /// Name or id of the tenant
    tenant: String,
    /// Name of the quota
    quota: String,
    /// How much; sizes are in bytes
    #[arg(long, default_value_t = 1, value_name = "AMOUNT", value_parser = clap::value_parser!(u64).range(1..))]
    amount: u64,
}

/// Which reservation.
#[derive(Debug, clap::Args)]
struct Ended {
    /// Name or id of the tenant
    tenant: String,
    /// Id of the reservation
    reservation: String,
}

/// `tenantry quotas`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    match &args.verb {
        Verb::List { tenant } => {
            let all = client.quotas(tenant).await?.items;
            if session.output.format().is_document() {
                return session.output.document(&json!({ "items": all }));
            }
            table(session, &all)
        }
        Verb::Take(Amount { tenant, quota, amount }) => {
            let request = QuotaRequest { amount: Some(*amount) };
            one(session, &client.take_quota(tenant, quota, &request).await?.value)
        }
        Verb::Release(Amount { tenant, quota, amount }) => {
            let request = QuotaRequest { amount: Some(*amount) };
            one(session, &client.release_quota(tenant, quota, &request).await?.value)
        }
        Verb::Reserve { amount: Amount { tenant, quota, amount }, held } => {
            let request = ReservationRequest { amount: Some(*amount), expires_in: held.clone() };
            let made = client.reserve_quota(tenant, quota, &request).await?.value;
            if session.output.format().is_document() {
                return session.output.document(&made);
            }
            let text = format!("{}: {} of {} until {}", made.id, made.amount, quota, moment(made.expires_at));
            session.output.line(&clean(&text))
        }
        Verb::Commit(Ended { tenant, reservation }) => {
            one(session, &client.commit_reservation(tenant, reservation).await?.value)
        }
        Verb::Cancel(Ended { tenant, reservation }) => {
            one(session, &client.release_reservation(tenant, reservation).await?.value)
        }
        Verb::Recount { tenant, quota, used } => {
            one(session, &client.recount_quota(tenant, quota, &RecountRequest { used: *used }).await?.value)
        }
    }
}

fn one(session: &Session, quota: &Quota) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(quota);
    }
    table(session, std::slice::from_ref(quota))
}

fn table(session: &Session, all: &[Quota]) -> Result<()> {
    let row = |quota: &Quota| {
        vec![
            quota.name.clone(),
            quota.limit.as_str().map_or_else(|| quota.limit.to_string(), ToOwned::to_owned),
            quota.mode.clone(),
            quota.used.to_string(),
            quota.reserved.to_string(),
            quota.status.clone(),
            quota.origin.clone().unwrap_or_else(|| "counted".to_owned()),
            quota.renews_at.map_or_else(|| "-".to_owned(), moment),
        ]
    };
    let headings = ["QUOTA", "LIMIT", "MODE", "USED", "RESERVED", "STATUS", "ORIGIN", "RENEWS"];
    session.output.table(&headings, all.iter().map(row).collect())
}
