//! One Rust file, taken apart far enough for textual rules: code, string literals, tests.
//!
//! This is a scanner and no parser: it knows comments, literals and brackets. That is enough to keep a rule from
//! firing on a word in a comment, and it never fails, whatever the file holds.

/// A Rust file with comments and the insides of literals blanked out.
pub struct Source {
    /// Path from the repository's root.
    pub path: String,
    /// The file's bytes with comments and literal contents replaced by spaces; offsets are those of the file.
    pub code: String,
    /// String literals in order.
    pub strings: Vec<Literal>,
    /// Per line, whether it belongs to tests.
    tests: Vec<bool>,
    starts: Vec<usize>,
}

/// One string literal.
pub struct Literal {
    /// Offset of its first quoted character.
    pub at: usize,
    /// What stands between the quotes, escapes untouched.
    pub text: String,
}

impl Source {
    /// Scans a file.
    pub fn new(path: &str, text: &str) -> Source {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        let (code, strings) = mask(text);
        let whole = is_test_path(path);
        let mut tests = vec![whole; starts.len()];
        for (from, to) in test_items(&code) {
            let (first, last) = (line_of(&starts, from), line_of(&starts, to));
            tests[first - 1..last].fill(true);
        }
        Source { path: path.to_owned(), code, strings, tests, starts }
    }

    /// The line, counted from 1, that holds an offset.
    pub fn line(&self, at: usize) -> usize {
        line_of(&self.starts, at)
    }

    /// Whether a line, counted from 1, belongs to tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.tests.get(line - 1).copied().unwrap_or(false)
    }

    /// Numbered lines of code without comments and literal contents.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// How many lines are not tests.
    pub fn product_lines(&self) -> usize {
        self.lines().filter(|(line, _)| !self.is_test(*line)).count()
    }

    /// Offset just behind the bracket that closes the one at `open`.
    pub fn closing(&self, open: usize) -> usize {
        closing(self.code.as_bytes(), open)
    }

    /// Every path that a `use` brings in, groups written out, with its line.
    pub fn uses(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("use ") {
            let line_start = self.starts[self.line(at) - 1];
            let before = self.code[line_start..at].trim();
            if !(before.is_empty() || before.starts_with("pub")) {
                continue;
            }
            let rest = &self.code[at + 4..];
            let tree = &rest[..rest.find(';').unwrap_or(rest.len())];
            let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = self.line(at);
            expand("", &tree, &mut |path| found.push((line, path)));
        }
        found
    }
}

/// Whether `line` holds `needle` with no identifier character joined to either end of it.
pub fn mentions(line: &str, needle: &str) -> bool {
    let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(needle)
        .any(|(at, _)| !joined(line[..at].chars().next_back()) && !joined(line[at + needle.len()..].chars().next()))
}

fn is_test_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| part == "tests" || part == "benches")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
}

fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at)
}

/// Blanks comments and the contents of literals, and collects the strings.
fn mask(text: &str) -> (String, Vec<Literal>) {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut strings = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        if rest.starts_with(b"//") {
            let end = find(bytes, i, b"\n");
            blank(&mut out, i, end);
            i = end;
        } else if rest.starts_with(b"/*") {
            let end = block_comment_end(bytes, i);
            blank(&mut out, i, end);
            i = end;
        } else if let Some((open, fence)) = raw_string(bytes, i) {
            let end = find(bytes, open, &fence);
            strings.push(Literal { at: open, text: text[open..end].to_owned() });
            blank(&mut out, open, end);
            i = end + fence.len();
        } else if rest[0] == b'"' {
            let end = quoted_end(bytes, i + 1, b'"');
            strings.push(Literal { at: i + 1, text: text[i + 1..end].to_owned() });
            blank(&mut out, i + 1, end);
            i = end + 1;
        } else if rest[0] == b'\'' && is_char_literal(&text[i + 1..]) {
            let end = quoted_end(bytes, i + 1, b'\'');
            blank(&mut out, i + 1, end);
            i = end + 1;
        } else {
            i += 1;
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), strings)
}

fn blank(out: &mut [u8], from: usize, to: usize) {
    for byte in &mut out[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn find(bytes: &[u8], from: usize, needle: &[u8]) -> usize {
    bytes[from..].windows(needle.len()).position(|window| window == needle).map_or(bytes.len(), |at| from + at)
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut i = from;
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

/// Where the content of a raw string that begins at `i` begins, and what closes it.
fn raw_string(bytes: &[u8], i: usize) -> Option<(usize, Vec<u8>)> {
    let joined = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
    let prefixed = i > 0 && matches!(bytes[i - 1], b'b' | b'c');
    if bytes[i] != b'r' || (joined && !prefixed) {
        return None;
    }
    let hashes = bytes[i + 1..].iter().take_while(|byte| **byte == b'#').count();
    let quote = i + 1 + hashes;
    (bytes.get(quote) == Some(&b'"')).then(|| {
        let mut fence = vec![b'"'];
        fence.resize(1 + hashes, b'#');
        (quote + 1, fence)
    })
}

fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut i = from;
    while i < bytes.len() && bytes[i] != quote {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    i.min(bytes.len())
}

/// Tells `'x'` from a lifetime, given what follows the first quote.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// Offsets of the items under `#[cfg(test)]`: from the attribute to the item's last character.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    for marker in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (at, _) in code.match_indices(marker) {
            let bytes = code.as_bytes();
            let mut i = closing(bytes, at + 1);
            while i < bytes.len() && !matches!(bytes[i], b'{' | b';') {
                // Brackets of further attributes and parameters are stepped over as a whole.
                i = if matches!(bytes[i], b'(' | b'[') { closing(bytes, i) } else { i + 1 };
            }
            let end = if bytes.get(i) == Some(&b'{') { closing(bytes, i) } else { i + 1 };
            items.push((at, end.min(bytes.len()).saturating_sub(1)));
        }
    }
    items
}

fn closing(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

fn expand(prefix: &str, tree: &str, found: &mut dyn FnMut(String)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        if !path.is_empty() {
            found(format!("{prefix}{path}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = &tree[open + 1..];
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], found);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &inner[start..], found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let text =
            "let a = \"x // y\"; // tokio\nlet b = r#\"q\"q\"#; /* std /* fs */ */ let c = '\"'; fn f<'a>() {}\n";
        let source = Source::new("src/a.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert!(!source.code.contains("tokio") && !source.code.contains("std"));
        assert!(source.code.contains("fn f<'a>() {}"));
        let strings: Vec<_> = source.strings.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(strings, ["x // y", "q\"q"]);
    }

    #[test]
    fn test_items_end_with_their_bracket() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    const X: &str = \"}\";\n}\nfn b() {}\n#[cfg(test)]\nuse x::y;\nfn c() {}\n";
        let source = Source::new("src/a.rs", text);
        let tests: Vec<_> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
        assert_eq!(source.product_lines(), 3);
    }

    #[test]
    fn files_under_tests_are_tests() {
        assert!(Source::new("crates/a/tests/it/b.rs", "fn a() {}").is_test(1));
        assert!(!Source::new("crates/a/src/b.rs", "fn a() {}").is_test(1));
    }

    #[test]
    fn uses_are_written_out() {
        let source = Source::new(
            "src/a.rs",
            "use std::{\n    fs,\n    collections::{BTreeMap, HashMap as Map},\n    env,\n};\npub use a::b;\n",
        );
        let paths: Vec<_> = source.uses().into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["std::fs", "std::collections::BTreeMap", "std::collections::HashMap", "std::env", "a::b"]);
    }

    #[test]
    fn mentions_respects_word_ends() {
        assert!(mentions("use tokio::net;", "tokio"));
        assert!(!mentions("use tokio_util::x;", "tokio"));
        assert!(!mentions("my_tokio", "tokio"));
    }
}
