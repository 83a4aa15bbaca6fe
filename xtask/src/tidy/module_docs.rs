//! Every module opens with what it is for.

use super::Finding;
use crate::source::Source;
use crate::tree::Tree;

const RULE: &str = "module-docs";

/// Looks for sources of the product and its tools that do not begin with a module doc.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources()
        .filter(|source| is_ours(source))
        .filter(|source| {
            let text = tree.text(&source.path).unwrap_or_default();
            !text.starts_with("//!")
        })
        .map(|source| {
            let hint = "say on the first line what the module is and what it keeps true";
            Finding::new(RULE, &source.path, 1, "no module doc", hint)
        })
        .collect()
}

fn is_ours(source: &Source) -> bool {
    let in_crate = source.path.starts_with("crates/") && source.path.contains("/src/");
    in_crate || source.path.starts_with("xtask/src/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_doc_comes_first() {
        let tree = Tree::of(&[
            ("crates/a/src/good.rs", "//! Good.\n"),
            ("crates/a/src/bad.rs", "use std::fmt;\n//! Late.\n"),
            ("crates/a/tests/it/free.rs", "fn a() {}\n"),
            ("xtask/src/empty.rs", ""),
        ]);
        let paths: Vec<_> = check(&tree).into_iter().map(|f| f.path).collect();
        assert_eq!(paths, ["crates/a/src/bad.rs", "xtask/src/empty.rs"]);
    }
}
