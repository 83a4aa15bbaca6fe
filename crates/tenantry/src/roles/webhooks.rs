//! Settings of webhooks.

use std::path::PathBuf;

use tenantry_control::webhooks::{Egress, WebhookOptions};

/// Settings of what sends webhooks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Webhooks")]
pub struct Webhooks {
    /// Leave sending to other processes
    #[arg(long, env = "TENANTRY_WEBHOOKS_OFF")]
    webhooks_off: bool,
    /// Ports that webhooks may be sent to, separated by commas
    #[arg(
        long = "webhooks-port",
        env = "TENANTRY_WEBHOOKS_PORTS",
        value_delimiter = ',',
        value_name = "PORT",
        default_value = "443,8443"
    )]
    webhooks_ports: Vec<u16>,
    /// Hosts of this installation, and all below them, that no webhook is sent to, separated by commas
    #[arg(long = "webhooks-own-host", env = "TENANTRY_WEBHOOKS_OWN_HOSTS", value_delimiter = ',', value_name = "HOST")]
    webhooks_own_hosts: Vec<String>,
    /// File with certificate authorities that are believed besides the system's, as PEM
    #[arg(long, env = "TENANTRY_WEBHOOKS_CA_FILE", value_name = "FILE")]
    webhooks_ca_file: Option<PathBuf>,
    /// For tests and development: webhooks may go to this machine, without TLS. Never where others can make endpoints
    #[arg(long, env = "TENANTRY_WEBHOOKS_LAB")]
    webhooks_lab: bool,
}

impl Webhooks {
    /// Whether deliveries may go to this machine.
    pub const fn is_lab(&self) -> bool {
        self.webhooks_lab
    }

    /// The settings as the brain takes them. An unreadable file of authorities is left out with a warning: deliveries to receivers that
    /// need it fail and are tried again, which is better than no control plane.
    pub fn options(&self) -> WebhookOptions {
        if self.webhooks_lab {
            tracing::warn!("webhooks may be sent to this machine and without TLS (TENANTRY_WEBHOOKS_LAB)");
        }
        WebhookOptions {
            sends: !self.webhooks_off,
            egress: if self.webhooks_lab { Egress::Lab } else { Egress::Public },
            ports: self.webhooks_ports.clone(),
            own: self.webhooks_own_hosts.clone(),
            authorities: self.webhooks_ca_file.as_deref().map(authorities).unwrap_or_default(),
            ..WebhookOptions::default()
        }
    }
}

fn authorities(path: &std::path::Path) -> Vec<Vec<u8>> {
    match tenantry_control::webhooks::authorities(path) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(file = %path.display(), error, "the file of certificate authorities is not read");
            Vec::new()
        }
    }
}
