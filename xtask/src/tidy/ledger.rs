//! The requirement ledger is complete, and what it names as proof exists.
//!
//! This rule cannot tell whether a test proves its requirement; it makes sure that a claim points at something a
//! reader can run or read, also after files moved.

use std::collections::BTreeMap;

use super::Finding;
use crate::ledger::{Evidence, GROUPS, Ledger, PATH, Row, Status, group_of};
use crate::source::{Source, mentions};
use crate::tree::Tree;

const RULE: &str = "ledger";

/// How far above a function its test attribute may stand.
const ATTRIBUTE_REACH: usize = 4;

/// Checks ids, statuses and proofs; `commands` are the names that `cargo xtask` knows.
pub fn check(tree: &Tree, commands: &[String]) -> Vec<Finding> {
    let Some(text) = tree.text(PATH) else {
        return vec![Finding::new(RULE, PATH, 1, "missing", "every requirement has a row there")];
    };
    let ledger: Ledger = match toml::from_str(text) {
        Ok(ledger) => ledger,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let line = text[..at].matches('\n').count() + 1;
            let hint = "the head of the file says what a row holds";
            return vec![Finding::new(RULE, PATH, line, error.message(), hint)];
        }
    };
    let lines = lines_of_ids(text);
    let mut findings = complete(&ledger, &lines);
    for (row, line) in ledger.rows.iter().zip(lines.iter().map(|(line, _)| *line)) {
        let mut report = |message: String, hint: &str| {
            findings.push(Finding::new(RULE, PATH, line, format!("{}: {message}", row.id), hint));
        };
        for (message, hint) in row_problems(row) {
            report(message, hint);
        }
        for entry in &row.shown_by {
            if let Err((problem, hint)) = exists(entry, tree, commands) {
                report(format!("`{entry}` {problem}"), hint);
            }
        }
    }
    findings
}

/// Where each row's id stands, in the file's order.
fn lines_of_ids(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "id").then(|| (index + 1, value.trim().trim_matches('"')))
        })
        .collect()
}

/// Every id of every group is there once, and no other.
fn complete(ledger: &Ledger, lines: &[(usize, &str)]) -> Vec<Finding> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &ledger.rows {
        *seen.entry(&row.id).or_default() += 1;
    }
    let line_of = |id: &str| lines.iter().rev().find(|(_, known)| *known == id).map_or(1, |(line, _)| *line);
    let mut findings = Vec::new();
    for (group, count) in GROUPS {
        for number in 1..=*count {
            let id = format!("{group}-{number:02}");
            match seen.remove(id.as_str()) {
                None => {
                    let hint = "a dropped requirement keeps its row and says why in its note";
                    findings.push(Finding::new(RULE, PATH, 1, format!("{id} is missing"), hint));
                }
                Some(1) => {}
                Some(times) => {
                    let message = format!("{id} stands there {times} times");
                    findings.push(Finding::new(RULE, PATH, line_of(&id), message, "merge the rows"));
                }
            }
        }
    }
    for id in seen.into_keys() {
        let message = format!("{id} is not known in group `{}`", group_of(id));
        let hint = "a new requirement raises its group's count in xtask/src/ledger.rs";
        findings.push(Finding::new(RULE, PATH, line_of(id), message, hint));
    }
    findings
}

/// What is wrong with a row by itself.
fn row_problems(row: &Row) -> Vec<(String, &'static str)> {
    let mut problems = Vec::new();
    if row.title.trim().is_empty() {
        problems.push(("no title".to_owned(), "say the requirement in a few words"));
    }
    match row.status {
        Status::Shown | Status::Partial if row.shown_by.is_empty() => {
            problems.push((format!("{} by nothing", row.status), "name a test, a command or a page in shown_by"));
        }
        Status::Partial if row.note.is_none() => {
            problems.push(("partial without a note".to_owned(), "say what is missing"));
        }
        Status::Shown | Status::Partial | Status::Open => {}
    }
    problems
}

type Problem = (&'static str, &'static str);

fn exists(entry: &str, tree: &Tree, commands: &[String]) -> Result<(), Problem> {
    let Some(evidence) = Evidence::parse(entry) else {
        return Err(("is no proof", "write test:<crate>::<path>::<fn>, command:<command> or doc:<path>"));
    };
    match evidence {
        Evidence::Test { krate, path, name } => test_exists(tree, krate, &path, name),
        Evidence::Command(command) => command_exists(tree, command, commands),
        Evidence::Doc(path) if tree.text(path).is_none() => Err(("does not exist", "paths are relative to the root")),
        Evidence::Doc(_) => Ok(()),
    }
}

fn command_exists(tree: &Tree, command: &str, commands: &[String]) -> Result<(), Problem> {
    let known = match command.strip_prefix("cargo xtask ") {
        Some(rest) => {
            let name = rest.split_whitespace().next().unwrap_or_default();
            commands.iter().any(|command| command == name)
        }
        None => {
            let script = command.split_whitespace().next().unwrap_or_default();
            let script = script.strip_prefix("./").unwrap_or(script);
            script.starts_with("scripts/") && tree.text(script).is_some()
        }
    };
    if known {
        return Ok(());
    }
    Err(("is not a command of ours", "begin with `scripts/<file>` or `cargo xtask <command>`"))
}

fn test_exists(tree: &Tree, krate: &str, path: &[&str], name: &str) -> Result<(), Problem> {
    let Some(folder) = folder_of(tree, krate) else {
        return Err(("names no crate", "use the folder below crates/ or the package's name"));
    };
    let (src, tests) = (format!("{folder}src/"), format!("{folder}tests/"));
    let mut named = false;
    for source in tree.sources_below(&src).chain(tree.sources_below(&tests)) {
        if !holds_test(source, name) {
            continue;
        }
        if path.iter().all(|part| is_on_path(source, &folder, part)) {
            return Ok(());
        }
        named = true;
    }
    Err(if named {
        ("names another path than the test's", "name the files and modules that lead to it")
    } else {
        ("names no test function", "write the test first, then the row")
    })
}

/// The folder of a crate, with closing slash, from the folder's or the package's name.
fn folder_of(tree: &Tree, krate: &str) -> Option<String> {
    let name = krate.strip_prefix("crates/").unwrap_or(krate);
    let short = name.strip_prefix("tenantry-").unwrap_or(name);
    [format!("crates/{name}/"), format!("crates/{short}/"), format!("{name}/")]
        .into_iter()
        .find(|folder| tree.exists(&format!("{folder}Cargo.toml")))
}

/// Whether a part of a test's path is a folder or file on the way to this source, or a module inside it.
fn is_on_path(source: &Source, folder: &str, part: &str) -> bool {
    let file = source.path[folder.len()..].trim_end_matches(".rs");
    file.split('/').any(|name| name == part) || source.lines().any(|(_, code)| mentions(code, &format!("mod {part}")))
}

fn holds_test(source: &Source, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(|(_, code)| code).collect();
    let declared = format!("fn {name}");
    lines.iter().enumerate().any(|(index, code)| {
        if !mentions(code, &declared) {
            return false;
        }
        let above = &lines[index.saturating_sub(ATTRIBUTE_REACH)..index];
        let marked = above.iter().any(|code| {
            let code = code.trim_start();
            code.starts_with("#[") && (mentions(code, "test") || mentions(code, "rstest"))
        });
        marked || lines[..index].iter().any(|code| code.contains("proptest!"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A complete ledger in which the first row is the given one.
    fn ledger(first: &str) -> String {
        let ids =
            GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}-{number:02}")));
        let rest = ids.skip(1).map(|id| format!("[[row]]\nid = \"{id}\"\ntitle = \"x\"\nstatus = \"open\"\n"));
        format!("[[row]]\nid = \"SCOPE-01\"\ntitle = \"x\"\n{first}\n{}", rest.collect::<String>())
    }

    fn findings(text: &str) -> Vec<String> {
        let tests =
            "#[cfg(test)]\nmod tests {\n    #[tokio::test]\n    async fn slug_is_unique() {}\n    fn helper() {}\n}\n";
        let tree = Tree::of(&[
            (PATH, text),
            ("crates/store/Cargo.toml", ""),
            ("crates/store/src/tenants.rs", tests),
            ("scripts/test", ""),
        ]);
        check(&tree, &["bench".to_owned()]).into_iter().map(|finding| finding.message).collect()
    }

    fn shown_by(entry: &str) -> Vec<String> {
        findings(&ledger(&format!("status = \"shown\"\nshown_by = [\"{entry}\"]")))
    }

    #[test]
    fn there_are_467_requirements() {
        assert_eq!(GROUPS.iter().map(|(_, count)| count).sum::<usize>(), 467);
    }

    #[test]
    fn proofs_that_exist_pass() {
        assert_eq!(findings(&ledger("status = \"open\"")), [""; 0]);
        for entry in [
            "test:store::tenants::tests::slug_is_unique",
            "test:tenantry-store::tenants::slug_is_unique",
            "command:scripts/test --kill",
            "command:cargo xtask bench tenants",
            "doc:scripts/test",
        ] {
            assert_eq!(shown_by(entry), [""; 0], "{entry}");
        }
    }

    #[test]
    fn proofs_that_do_not_exist_are_found() {
        for entry in [
            "test:store::tenants::tests::gone",
            "test:store::tenants::tests::helper_too",
            "test:store::cells::slug_is_unique",
            "test:gone::a::slug_is_unique",
            "command:scripts/gone",
            "command:cargo xtask gone",
            "command:rm -rf",
            "doc:docs/gone.md",
            "promise",
        ] {
            assert_eq!(shown_by(entry).len(), 1, "{entry}");
        }
    }

    #[test]
    fn claims_need_proof() {
        assert_eq!(findings(&ledger("status = \"shown\"")), ["SCOPE-01: shown by nothing"]);
        let partial = "status = \"partial\"\nshown_by = [\"command:scripts/test\"]";
        assert_eq!(findings(&ledger(partial)), ["SCOPE-01: partial without a note"]);
        assert_eq!(findings(&ledger("status = \"done\"")).len(), 1);
    }

    #[test]
    fn ids_are_there_once() {
        let text = ledger("status = \"open\"").replace("\"REG-02\"", "\"REG-01\"");
        assert_eq!(findings(&text), ["REG-01 stands there 2 times", "REG-02 is missing"]);
        let text = ledger("status = \"open\"").replace("\"NUM-52\"", "\"NUM-53\"");
        assert_eq!(findings(&text), ["NUM-52 is missing", "NUM-53 is not known in group `NUM`"]);
    }
}
