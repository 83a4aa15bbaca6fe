//! `tenantry create tenant`: a manifest from flags, for one tenant at a time. Files and `apply` are for many.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::changes;
use super::rollback::OnlyTenant;
use super::settle::settle;
use crate::exit::Result;
use crate::globals::Session;

/// Make a tenant from flags
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry create tenant hooli --app chat --plan standard --region eu-west --activate
  tenantry create tenant hooli --app chat --plan starter --region eu-west --dry-run
  tenantry create tenant hooli --display-name \"Hooli Inc\" --app chat --plan starter \\
    --region eu-west --contact \"technical=Operations <ops@hooli.example>\"")]
pub struct Args {
    /// What is made
    #[arg(value_enum)]
    kind: OnlyTenant,
    /// The tenant's name: its subdomain, 3 to 40 characters of a-z, 0-9 and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// Name for people [default: NAME]
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// App that serves the tenant
    #[arg(long)]
    app: String,
    /// Plan that it is bound to
    #[arg(long)]
    plan: String,
    /// Region where its data may be; repeat for more, the first one is preferred
    #[arg(long = "region", value_name = "REGION", required = true)]
    regions: Vec<String>,
    /// Contact, `technical|billing|incident=Name <address>`; may be repeated
    #[arg(long = "contact", value_name = "ROLE=NAME <EMAIL>", value_parser = contact)]
    contacts: Vec<(String, Value)>,
    /// Address of one contact for all three roles
    #[arg(long, value_name = "ADDRESS", conflicts_with = "contacts")]
    email: Option<String>,
    /// Id of the tenant in another system; may be repeated
    #[arg(long = "external-id", value_name = "SYSTEM=ID", value_parser = pair)]
    external_ids: Vec<(String, String)>,
    /// Label; may be repeated
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Host of the tenant's own; may be repeated
    #[arg(long = "domain", value_name = "HOST")]
    domains: Vec<String>,
    /// Id of an adopted system; may be repeated
    #[arg(long = "alias", value_name = "ID")]
    aliases: Vec<String>,
    /// Setting of the app's own, the value as JSON or plain text; may be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Room that it takes in a cell
    #[arg(long, value_parser = ["small", "medium", "large"])]
    size: Option<String>,
    /// Not a real customer: may be deleted without a removal request and at once
    #[arg(long)]
    synthetic: bool,
    /// Bring it into service right away
    #[arg(long)]
    activate: bool,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// Makes the tenant, and waits when it is to be activated.
///
/// # Errors
/// Everything that is wrong with it.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let OnlyTenant::Tenant = args.kind;
    let manifest = manifest(args);
    if args.dry_run {
        let plan = session.client.plan(&[manifest]).await?;
        if session.output.format().is_document() {
            return session.output.document(&plan);
        }
        return session.output.line(&changes::text(session.output, &plan));
    }
    let answer = session.client.create_tenant(&manifest, None).await?;
    settle(session, answer).await
}

fn manifest(args: &Args) -> Value {
    let mut contacts: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (role, contact) in &args.contacts {
        contacts.entry(role).or_default().push(contact.clone());
    }
    if let Some(address) = &args.email {
        let name = address.split('@').next().unwrap_or_default();
        for role in ["technical", "billing", "incident"] {
            contacts.insert(role, vec![json!({ "name": name, "email": address })]);
        }
    }
    let mut spec = json!({
        "displayName": args.display_name.as_ref().unwrap_or(&args.name),
        "app": args.app,
        "plan": args.plan,
        "state": if args.activate { "active" } else { "draft" },
        "residency": { "allowedRegions": args.regions, "preferredRegion": args.regions.first() },
        "contacts": contacts,
        "externalIds": map(&args.external_ids, |text| json!(text)),
        "domains": args.domains,
        "aliases": args.aliases,
        "settings": map(&args.settings, |text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))),
    });
    let mut business = Map::new();
    if let Some(size) = &args.size {
        business.insert("size".to_owned(), json!(size));
    }
    if args.synthetic {
        business.insert("synthetic".to_owned(), json!(true));
    }
    spec["business"] = Value::Object(business);
    json!({
        "apiVersion": tenantry_api::v1::API_VERSION,
        "kind": "Tenant",
        "metadata": { "name": args.name, "labels": map(&args.labels, |text| json!(text)) },
        "spec": spec,
    })
}

fn map(pairs: &[(String, String)], value: impl Fn(&str) -> Value) -> Map<String, Value> {
    pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn contact(text: &str) -> Result<(String, Value), String> {
    let expected = || "expected ROLE=NAME <ADDRESS>, the role being technical, billing or incident".to_owned();
    let (role, person) = pair(text).map_err(|_| expected())?;
    if !matches!(role.as_str(), "technical" | "billing" | "incident") {
        return Err(expected());
    }
    let (name, address) = match person.split_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim().strip_suffix('>').ok_or_else(expected)?.trim()),
        None => (person.split('@').next().unwrap_or_default(), person.trim()),
    };
    Ok((role, json!({ "name": name, "email": address })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use tenantry_domain::name::EnvironmentName;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn flags_give_a_manifest_that_the_api_accepts() {
        let line = Line::parse_from([
            "create",
            "tenant",
            "acme",
            "--app",
            "chat",
            "--plan",
            "standard",
            "--region",
            "eu-west",
            "--region",
            "eu-north",
            "--contact",
            "technical=Operations <ops@acme.example>",
            "--contact",
            "billing=fin@acme.example",
            "--external-id",
            "stripe=cus_1",
            "-l",
            "segment=smb",
            "--setting",
            "theme=dark",
            "--setting",
            "days=30",
            "--size",
            "medium",
            "--synthetic",
            "--activate",
        ]);
        let manifest = manifest(&line.args);
        assert_eq!(manifest["spec"]["settings"], json!({ "theme": "dark", "days": 30 }));
        assert_eq!(manifest["spec"]["contacts"]["technical"][0]["name"], "Operations");
        assert_eq!(manifest["spec"]["contacts"]["billing"][0]["email"], "fin@acme.example");
        let environment = EnvironmentName::parse("prod").unwrap();
        tenantry_api::manifest::parse(&[manifest], Some(&environment)).unwrap();
    }

    #[test]
    fn contacts_are_checked() {
        assert!(contact("sales=Bob <bob@acme.example>").is_err());
        assert!(contact("technical=Bob <bob@acme.example").is_err());
        assert!(contact("bob").is_err());
    }
}
