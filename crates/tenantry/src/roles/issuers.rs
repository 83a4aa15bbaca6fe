//! The file of issuers whose access tokens are believed, of tenants' users and of people of the operator: YAML or JSON, read
//! once when the process starts.

use std::fs;
use std::path::Path;

use tenantry_domain::access::token::KeysSpec;
use tenantry_domain::access::{Issuer, IssuerFile, Operators};

use super::people;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// The issuers of a file, as one value of the command line: those of tenants' users, and those of people of the operator.
#[derive(Debug, Clone, Default)]
pub struct Issuers(pub Vec<Issuer>, pub Vec<Operators>);

/// Reads and checks the file. Files of keys are found from its folder, and have to be there.
///
/// # Errors
/// The file or one of keys cannot be read, or an issuer would be believed too much; the text says which and why.
pub fn read(path: &str) -> Result<Issuers, String> {
    let path = Path::new(path);
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let form = |error: &dyn std::fmt::Display| format!("{error}; see docs/howto/forward-auth.md for its form");
    let value: serde_json::Value = serde_saphyr::from_str_with_options(&text, options).map_err(|error| form(&error))?;
    let mut file: IssuerFile = serde_json::from_value(value).map_err(|error| form(&error))?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    for issuer in &mut file.issuers {
        if let KeysSpec::File(keys) = &mut issuer.keys {
            *keys = folder.join(&*keys);
            fs::File::open(&*keys).map_err(|error| format!("keys of `{}`: {error}", issuer.issuer))?;
        }
    }
    let operators = std::mem::take(&mut file.operators);
    let issuers = Issuer::check(file).map_err(|error| form(&error))?;
    let operators = people::check(operators, folder, &issuers)?;
    Ok(Issuers(issuers, operators))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "issuers:
  - issuer: https://login.example.com/
    environment: prod
    audiences: [https://api.example.com]
    keys: { file: keys.json }
    algorithms: [RS256]
    claim: tid
";

    fn written(text: &str) -> (tempfile::TempDir, Result<Issuers, String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuers.yaml");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("keys.json"), "{}").unwrap();
        let found = read(path.to_str().unwrap());
        (folder, found)
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let (folder, yaml) = written(GOOD);
        let yaml = yaml.unwrap().0;
        assert_eq!(*yaml[0].keys(), KeysSpec::File(folder.path().join("keys.json")));
        let json = r#"{ "issuers": [{ "issuer": "https://login.example.com/", "environment": "prod",
            "audiences": ["https://api.example.com"], "keys": { "url": "https://login.example.com/keys" },
            "algorithms": ["RS256"], "claim": "tid", "types": ["JWT"], "leewaySeconds": 60 }] }"#;
        assert_eq!(written(json).1.unwrap().0[0].name(), yaml[0].name());
    }

    #[test]
    fn people_have_issuers_of_their_own() {
        let people = "operators:
  - issuer: https://staff.example.com
    audiences: [tenantry]
    keys: { file: keys.json }
    algorithms: [ES256]
    groups: groups
    roles:
      platform: { roles: [admin] }
      sre: { roles: [operator], environments: [staging] }
    client: { id: tenantry-cli }
";
        let (folder, both) = written(&format!("{GOOD}{people}"));
        let both = both.unwrap();
        assert_eq!((both.0.len(), both.1.len()), (1, 1));
        assert_eq!(*both.1[0].trust().keys(), KeysSpec::File(folder.path().join("keys.json")));
        assert_eq!(written(people).1.unwrap().1[0].client().unwrap().scopes, ["openid", "offline_access"]);
        for (from, to, part) in [
            ("staff.example.com", "login.example.com/", "nobody is both"),
            ("keys.json", "none.json", "keys of `https://staff.example.com`"),
            ("groups: groups", "groups: groups\n    default: [admin]", "default"),
            ("      sre:", "      platform:", "platform"),
            ("[admin]", "[root]", "root"),
        ] {
            let error = written(&format!("{GOOD}{}", people.replace(from, to))).1.expect_err(to);
            assert!(error.contains(part), "{to}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, part) in [
            ("keys.json", "none.json", "keys of `https://login.example.com/`"),
            ("RS256", "HS256", "HS256"),
            ("claim: tid", "claim: tid\n    claim: org", "claim"),
            ("claim: tid", "claim: tid\n    secret: x", "secret"),
            ("{ file: keys.json }", "{ url: http://login.example.com }", "https"),
            ("[https://api.example.com]", "[]", "`audiences`"),
        ] {
            let error = written(&GOOD.replace(from, to)).1.expect_err(to);
            assert!(error.contains(part), "{to}: {error}");
        }
        assert!(read("/nowhere/issuers.yaml").is_err());
    }
}
