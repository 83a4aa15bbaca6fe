//! Relative links between pages lead somewhere.
//!
//! Addresses with a scheme and links within a page are not followed. Fenced blocks and code spans are skipped:
//! they show text, they do not link.

use super::Finding;
use crate::tree::Tree;

const RULE: &str = "links";

/// Resolves the links of every page.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in links(text) {
            let problem = match resolve(path, &target) {
                None => Some("leaves the repository"),
                Some(file) if !tree.exists(&file) => Some("leads nowhere"),
                Some(_) => None,
            };
            if let Some(problem) = problem {
                let message = format!("link to `{target}` {problem}");
                let hint = "paths are relative to the page, or begin at the root with a slash";
                findings.push(Finding::new(RULE, path, line, message, hint));
            }
        }
    }
    findings
}

/// Relative link targets with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let line = without_code(line);
        let inline = line.match_indices("](").map(|(at, _)| {
            let rest = &line[at + 2..];
            &rest[..rest.find(')').unwrap_or(rest.len())]
        });
        let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map(|(_, target)| target.trim());
        for target in inline.chain(reference) {
            let target = target.split_whitespace().next().unwrap_or_default();
            let target = target.trim_matches(['<', '>']);
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.contains("://") || file.starts_with("mailto:");
            if !file.is_empty() && !elsewhere {
                found.push((index + 1, file.to_owned()));
            }
        }
    }
    found
}

/// The line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The path from the root that a target on a page means; `None` when it climbs out of the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let target = match target.strip_prefix('/') {
        Some(absolute) => absolute,
        None => {
            parts.extend(page.split('/'));
            parts.pop();
            target
        }
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn findings(text: &str) -> Vec<usize> {
        let files = [("docs/howto/a.md", text), ("docs/b.md", ""), ("README.md", "")];
        check(&Tree::of(&files)).into_iter().map(|f| f.line).collect()
    }

    #[test]
    fn links_that_resolve_pass() {
        let text = "[b](../b.md#part) [root](/README.md) [dir](..) [web](https://example.com/x)\n\
                    [here](#part) `[no](gone.md)`\n```\n[no](gone.md)\n```\n[r]: ../b.md \"B\"\n";
        assert_eq!(findings(text), NONE);
    }

    #[test]
    fn broken_links_are_found() {
        assert_eq!(findings("ok\n[a](b.md) and [b](../gone.md)\n"), [2, 2]);
        assert_eq!(findings("[out](../../../etc.md)\n[r]: gone.md\n"), [1, 2]);
    }
}
