//! Every `tenantry …` that a page shows can be typed: its commands and flags are those of the program.
//!
//! Values are not looked at, since pages write `TENANT` and `…` for them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory as _};

/// Pages below these, from the root of the repository.
const PLACES: [&str; 4] = ["README.md", "docs", "examples", "adapters"];

/// `tenantry python` and the like are how our connections are called in `pg_stat_activity`.
const CONNECTIONS: [&str; 3] = ["python", "ruby", "rust"];

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut open: Vec<PathBuf> = PLACES.iter().map(|place| root.join(place)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden && !path.ends_with("node_modules") {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is written as code: whole lines inside of fences, with those that go on joined, and the spans between backticks.
fn code(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut is_fenced, mut begun) = (Vec::new(), false, None::<(usize, String)>);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            let (first, before) = begun.take().unwrap_or((number + 1, String::new()));
            match line.trim_end().strip_suffix('\\') {
                Some(part) => begun = Some((first, before + part)),
                None => found.push((first, before + line)),
            }
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(|span| (number + 1, span.to_owned())));
        }
    }
    found
}

/// The words behind each `tenantry` that is called in a line of code.
fn calls(line: &str) -> Vec<Vec<String>> {
    let mut calls = vec![Vec::new()];
    let (mut word, mut quote, mut is_word) = (String::new(), None, false);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => (quote, is_word) = (Some(c), true),
            (None, '#') if !is_word => break,
            (None, ' ' | '|' | ';' | '&' | '>' | '<' | '(' | ')') => {
                if is_word {
                    calls.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                is_word = false;
                if c != ' ' {
                    calls.push(Vec::new());
                }
            }
            (_, c) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    let is_before = |word: &String| word == "$" || word == "sudo" || word.contains('=');
    let mut found = Vec::new();
    for call in calls {
        let rest: Vec<String> = call.into_iter().skip_while(is_before).collect();
        if let [program, first, ..] = rest.as_slice()
            && program == "tenantry"
            && first.starts_with(|c: char| c.is_ascii_lowercase() || c == '-')
            && !CONNECTIONS.contains(&first.as_str())
        {
            found.push(rest[1..].to_vec());
        }
    }
    found
}

/// Why these words cannot be typed.
fn fault(root: &Command, words: &[String]) -> Option<String> {
    let (mut command, mut place, mut words) = (root, 0, words.iter());
    while let Some(word) = words.next() {
        let word = word.trim_end_matches([',', '.', ']']).trim_start_matches('[');
        if let Some(flag) = word.strip_prefix('-').filter(|rest| !rest.is_empty() && *rest != "-") {
            let name = flag.split('=').next().unwrap_or_default();
            let is_it = |arg: &&Arg| match name.strip_prefix('-') {
                Some(long) => arg.get_long() == Some(long),
                None => arg.get_short() == name.chars().next(),
            };
            match command.get_arguments().find(is_it) {
                Some(arg) if arg.get_action().takes_values() && !flag.contains('=') => _ = words.next(),
                Some(_) => {}
                None if ["h", "-help", "-version"].contains(&name) => {}
                None => return Some(format!("`{}` has no `-{name}`", command.get_name())),
            }
        } else if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
            // It stands for something.
            place += 1;
        } else if let Some(inner) = command.find_subcommand(word) {
            (command, place) = (inner, 0);
        } else {
            let wrong = Some(format!("`{}` takes no `{word}`", command.get_name()));
            let Some(arg) = command.get_positionals().nth(place).or_else(|| command.get_positionals().last()) else {
                return wrong;
            };
            let values = arg.get_possible_values();
            if !values.is_empty() && !values.iter().any(|value| value.matches(word, false)) {
                return wrong;
            }
            place += 1;
        }
    }
    None
}

#[test]
fn what_pages_show_can_be_typed() {
    let mut root = crate::Cli::command();
    root.build();
    let (mut looked, mut wrong) = (0, Vec::new());
    for page in pages() {
        for (number, line) in code(&fs::read_to_string(&page).unwrap()) {
            for call in calls(&line) {
                looked += 1;
                let told = fault(&root, &call);
                wrong.extend(told.map(|told| format!("{}:{number}: {told}: {}", page.display(), line.trim())));
            }
        }
    }
    assert!(looked > 500, "only {looked} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_seen() {
    let mut root = crate::Cli::command();
    root.build();
    let told = |line: &str| calls(line).iter().find_map(|call| fault(&root, call));
    for fine in [
        "$ tenantry get tenants -o json | jq .",
        "TENANTRY_TOKEN=x tenantry apply -f a.yaml && tenantry plan -f 'b c.yaml'   # and look",
        "tenantry delete tenant acme --confirm acme --reason \"it is --over\"",
        "tenantry describe tenant TENANT …",
        "other --flag",
    ] {
        assert_eq!(told(fine), None, "{fine}");
    }
    for wrong in [
        "tenantry delete acme",
        "tenantry audit --tenant acme",
        "true; tenantry open acme",
        "tenantry get tenants --no-such-flag",
        "x=$(tenantry operations list --tenant acme)",
    ] {
        assert!(told(wrong).is_some(), "{wrong}");
    }
    let text = "a `tenantry get x` b\n```sh\ntenantry plan \\\n  -f x\n```\n";
    assert_eq!(code(text), [(1, "tenantry get x".to_owned()), (3, "tenantry plan   -f x".to_owned())]);
}
