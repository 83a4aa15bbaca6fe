//! Which of PostgreSQL's own holes a server still has, decided from data.

use std::collections::BTreeMap;

use serde::Deserialize;
use tenantry_pg::ServerVersion;

/// The oldest major version that Tenantry supports; all older ones are without fixes by now.
const OLDEST: i32 = 15;

/// `checks/minors.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Minors {
    fix: Vec<Fix>,
}

/// One hole.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fix {
    pub cve: String,
    /// Major version to the first minor release without the hole.
    pub fixed: BTreeMap<String, i32>,
    pub why: String,
}

/// What a server lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// What to say about it.
    pub detail: String,
    /// The minor release to install at least; absent where there is none for this major version.
    pub wanted: Option<i32>,
}

impl Minors {
    /// `None` when nothing is known to be missing.
    pub fn lacks(&self, version: ServerVersion) -> Option<Lacks> {
        let major = version.major();
        if major < OLDEST {
            let detail = format!("version {major} gets no fixes any more, or is not supported by this program");
            return Some(Lacks { detail, wanted: None });
        }
        let of = |fix: &Fix| fix.fixed.get(&major.to_string()).copied();
        let open: Vec<&Fix> =
            self.fix.iter().filter(|fix| of(fix).is_some_and(|minor| version.minor() < minor)).collect();
        let wanted = open.iter().filter_map(|fix| of(fix)).max()?;
        let holes: Vec<String> = open.iter().map(|fix| format!("{} ({})", fix.cve, fix.why)).collect();
        Some(Lacks {
            detail: format!("fixed in {major}.{wanted} or before: {}", holes.join("; ")),
            wanted: Some(wanted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn lacks(num: i32) -> Option<Lacks> {
        Catalog::get().unwrap().minors.lacks(ServerVersion::from_num(num))
    }

    #[test]
    fn a_server_below_a_fix_lacks_it() {
        let lacks_15_18 = lacks(150_018).unwrap();
        assert_eq!(lacks_15_18.wanted, Some(20));
        assert!(lacks_15_18.detail.contains("CVE-2026-120154") && !lacks_15_18.detail.contains("CVE-2026-6473"));
        let lacks_15_2 = lacks(150_002).unwrap();
        assert!(lacks_15_2.detail.contains("CVE-2023-2455") && lacks_15_2.detail.contains("CVE-2025-8713"));
        assert!(!lacks(160_002).unwrap().detail.contains("CVE-2024-0985"), "16 never had it");
        assert_eq!(lacks(140_023).unwrap().wanted, None);
    }

    #[test]
    fn a_current_server_lacks_nothing() {
        for num in [150_020, 150_031, 160_016, 170_012, 180_007, 190_000] {
            assert_eq!(lacks(num), None, "{num}");
        }
    }

    #[test]
    fn entries_are_whole() {
        for fix in &Catalog::get().unwrap().minors.fix {
            assert!(fix.cve.starts_with("CVE-20") && fix.why.len() > 20 && !fix.fixed.is_empty(), "{}", fix.cve);
            assert!(
                fix.fixed.keys().all(|major| major.parse::<i32>().is_ok_and(|major| major >= OLDEST)),
                "{}",
                fix.cve
            );
        }
    }
}
