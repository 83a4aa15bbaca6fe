//! The manifests that we ship are read, and those that we ship as wrong are refused as their heads say.

use std::fs;
use std::path::{Path, PathBuf};

use tenantry_api::manifest::{Format, bundle, parse, parse_text, read};
use tenantry_domain::name::EnvironmentName;

fn yaml_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
    }
}

#[test]
fn shipped_manifests_are_as_they_say() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let environment = EnvironmentName::parse("prod").unwrap();
    let mut seen = (0, 0);
    for example in fs::read_dir(&examples).unwrap().flatten() {
        let manifests = example.path().join("manifests");
        let mut files = Vec::new();
        if manifests.is_dir() {
            yaml_files(&manifests, &mut files);
        }
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let head = |word: &str| text.lines().find_map(|line| line.strip_prefix(word).map(str::trim));
            let shown = file.display();
            match head("# code:") {
                None => {
                    let documents = bundle(read(text.as_bytes(), Format::Yaml).unwrap(), &example.path());
                    let documents = documents.unwrap_or_else(|error| panic!("{shown}: {error}"));
                    parse(&documents, Some(&environment)).unwrap_or_else(|error| panic!("{shown}: {error:?}"));
                    seen.0 += 1;
                }
                // Only these can be told without a registry.
                Some(code) if matches!(code, "TEN-0001" | "TEN-0002" | "TEN-0003") => {
                    let error = parse_text(text.as_bytes(), Format::Yaml, Some(&environment)).unwrap_err();
                    assert_eq!(error.code.to_string(), code, "{shown}: {error:?}");
                    let expected: Vec<_> =
                        head("# fields:").unwrap_or_default().split(", ").filter(|f| !f.is_empty()).collect();
                    let fields: Vec<_> = error.errors.iter().map(|error| error.field.as_str()).collect();
                    assert_eq!(fields, expected, "{shown}");
                    seen.1 += 1;
                }
                Some(_) => {
                    let documents = bundle(read(text.as_bytes(), Format::Yaml).unwrap(), &example.path()).unwrap();
                    parse(&documents, Some(&environment)).unwrap_or_else(|error| panic!("{shown}: {error:?}"));
                }
            }
        }
    }
    assert!(seen.0 >= 4 && seen.1 >= 8, "{seen:?}");
}
