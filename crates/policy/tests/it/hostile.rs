//! Any bytes may come as a bundle: they are refused or taken, and nothing falls over.

use proptest::prelude::*;
use tenantry_policy::{Bundle, bundle, governance};

use crate::sample::MANIFEST;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_an_archive(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = Bundle::read_archive(&bytes);
        // Behind a good wrapping, too.
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &bytes).unwrap();
        let _ = Bundle::read_archive(&packed.finish().unwrap());
    }

    #[test]
    fn a_good_archive_with_damage(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut packed = bundle::pack(&governance::bundle().unwrap()).unwrap();
        let place = at.index(packed.len());
        packed[place] ^= with;
        packed.truncate(cut.index(packed.len()) + 1);
        if let Ok(read) = Bundle::read_archive(&packed) {
            let _ = read.compile();
        }
    }

    #[test]
    fn any_text_as_any_file(
        name in prop::sample::select(vec!["own.cedar", "schema.cedarschema", "policy.toml", "tests/a.yaml", "tests/a.json", "bundle.sig"]),
        text in "(?s).{0,300}",
    ) {
        let files = [("policy.toml".to_owned(), MANIFEST.into()), (name.to_owned(), text.into_bytes())];
        let _ = Bundle::new(files.into_iter().collect()).unwrap().compile();
    }

    #[test]
    fn words_of_the_language_in_any_order(words in proptest::collection::vec(prop::sample::select(vec![
        "permit", "forbid", "(", ")", "{", "}", "[", "]", "principal", "action", "resource", "when", "unless", "==", "in",
        "is", "has", "like", ",", ";", "\"x\"", "@id(\"a\")", "@remedy(\"b\")", "context", ".", "granted", "1", "-", "!",
        "&&", "||", "if", "then", "else", "Tenantry::Tenant", "Tenantry::Action::\"write\"", "datetime(\"2026\")",
    ]), 0..60)) {
        let text = words.join(" ");
        let files = [("policy.toml".to_owned(), MANIFEST.into()), ("own.cedar".to_owned(), text.into_bytes())];
        let _ = Bundle::new(files.into_iter().collect()).unwrap().compile();
    }
}

#[test]
fn depth_is_not_a_way_in() {
    let rule =
        |condition: String| format!("@id(\"deep\") permit (principal, action, resource) when {{ {condition} }};");
    let around =
        |open: &str, close: &str, times: usize| rule(format!("{}true{}", open.repeat(times), close.repeat(times)));
    // Once as much as is let through, once far beyond.
    for (some, many) in [(37, 20_000), (190, 50_000)] {
        for (name, text) in [
            ("own.cedar", around("(", ")", some.min(37))),
            ("own.cedar", around("(", ")", many)),
            ("own.cedar", around("[", "]", many)),
            ("own.cedar", around("{a: ", "}", many)),
            ("own.cedar", around("!", "", some * 2)),
            ("own.cedar", around("!", "", many)),
            ("own.cedar", around("if true then ", " else false", some / 3)),
            ("own.cedar", around("if true then ", " else false", many)),
            ("own.cedar", around("true && ", "", some)),
            ("own.cedar", around("true && ", "", many)),
            ("own.cedar", around("true || ", "", some)),
            ("own.cedar", rule(format!("1 {} == 2", "+ 1 ".repeat(some * 2)))),
            ("own.cedar", rule(format!("1 {} == 2", "+ 1 ".repeat(many)))),
            ("own.cedar", rule(format!("context{} == 2", ".wanted".repeat(some * 2)))),
            ("own.cedar", rule(format!("context{} == 2", ".wanted".repeat(many)))),
            ("own.cedar", rule(format!("context{} == 2", "[\"wanted\"]".repeat(many)))),
            ("own.cedar", rule(format!("resource is {}", "Tenantry::".repeat(many)))),
            ("own.cedar", format!("{} permit (principal, action, resource);", "@a(\"b\")".repeat(many))),
            ("own.cedar", format!("permit (principal, action, resource) {};", "when { true } ".repeat(many))),
            ("tests/a.json", "[".repeat(100_000)),
            ("tests/a.yaml", "[".repeat(100_000)),
            ("tests/a.yaml", "- ".repeat(100_000)),
            ("tests/a.yaml", format!("defaults: {}{}\ntests: []", "{a: ".repeat(many), "}".repeat(many))),
            (
                "tests/b.yaml",
                format!("a: &a [x]\n{}", (0..60).map(|n| format!("b{n}: &b{n} [*a, *a, *a]\n")).collect::<String>()),
            ),
            ("schema.cedarschema", format!("namespace Tenantry {{ type Own = {}", "{ a: ".repeat(many))),
            (
                "schema.cedarschema",
                format!("namespace Tenantry {{ type Own = {}String{}; }}", "Set<".repeat(some), ">".repeat(some)),
            ),
            (
                "schema.cedarschema",
                format!("namespace Tenantry {{ type Own = {}String{}; }}", "Set<".repeat(many), ">".repeat(many)),
            ),
            ("policy.toml", format!("a = {}", "[".repeat(100_000))),
            ("policy.toml", format!("{MANIFEST}[settings.{}]", ["a"; 20_000].join("."))),
            ("policy.toml", format!("{MANIFEST}[settings]\n{} = 1", ["own"; 20_000].join("."))),
        ] {
            let mut files =
                std::collections::BTreeMap::from([("policy.toml".to_owned(), MANIFEST.as_bytes().to_vec())]);
            files.insert(name.to_owned(), text.into_bytes());

            // That it comes back is what is shown; some of the small ones are even valid.
            let _ = Bundle::new(files).unwrap().compile();
        }
    }
}
