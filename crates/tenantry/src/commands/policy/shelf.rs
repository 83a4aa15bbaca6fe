//! What can be typed about the folder that a server keeps its bundles in. [`crate::roles::shelf`] does it: it belongs to
//! whoever runs the server, and no server is asked.

use std::path::PathBuf;

use tenantry_policy::Digest;

/// Most characters of a reason.
const LONGEST: usize = 500;

/// What is to be done with the folder.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the bundles that a server keeps: the one in force, those before, the one that is tried
    Bundles {
        /// Folder that the server keeps its bundles in
        #[arg(long, env = "TENANTRY_POLICY_FOLDER", value_name = "FOLDER")]
        policy_folder: PathBuf,
    },
    /// Put an earlier bundle in force again; the one that is left is not taken from the source again
    Rollback {
        /// The earlier one [default: the one before, and one further back with each call]
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
        to: Option<Digest>,
        #[command(flatten)]
        place: Place,
    },
    /// Put in force the bundle that is tried (`--policy-way shadow`)
    Promote {
        /// Only if it is this one; the source may have brought another since it was looked at
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
        expect: Option<Digest>,
        #[command(flatten)]
        place: Place,
    },
}

/// Whose folder, and why.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Why; logged and shown by `tenantry policy status`
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Folder that the server keeps its bundles in
    #[arg(long, env = "TENANTRY_POLICY_FOLDER", value_name = "FOLDER")]
    pub policy_folder: PathBuf,
    /// File with the public keys that bundles are signed by, PEM; the server's own
    #[arg(long, env = "TENANTRY_POLICY_KEYS_FILE", value_name = "FILE")]
    pub policy_keys_file: Option<PathBuf>,
}

/// `tenantry policy status` shows the beginning of one, which names no bundle.
fn digest(text: &str) -> Result<Digest, String> {
    text.parse::<Digest>().map_err(|error| format!("{error}; `tenantry policy bundles` lists the whole ones"))
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("one line of 1 to {LONGEST} characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_digest_is_refused_with_where_the_whole_is() {
        let whole = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(digest(&whole).map(|digest| digest.to_string()), Ok(whole.clone()));
        assert!(
            digest(&whole[..39]).is_err_and(|text| text.ends_with("`tenantry policy bundles` lists the whole ones"))
        );
    }

    #[test]
    fn reasons_are_one_line() {
        assert_eq!(reason(" INC-42 ").as_deref(), Ok("INC-42"));
        for text in ["", "  ", "a\nb", "\u{1b}[2J", &"x".repeat(LONGEST + 1)] {
            assert!(reason(text).is_err(), "{text:?}");
        }
    }
}
