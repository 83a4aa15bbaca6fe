//! Paths to a text inside the claims of a token.

use std::fmt;

use serde_json::{Map, Value};

/// Where the tenant stands in a token: `tid`, `firebase.tenant`, or `/https:~1~1example.com~1tenant` for a name that
/// holds dots or slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Reads a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect::<Option<_>>()?,
            None => text.split('.').map(ToOwned::to_owned).collect(),
        };
        let is_name = |name: &String| (1..=200).contains(&name.len()) && !name.chars().any(char::is_control);
        ((1..=8).contains(&names.len()) && names.iter().all(is_name)).then_some(Self(names))
    }

    /// The text at the end of the path.
    #[must_use]
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a str> {
        self.value(claims)?.as_str()
    }

    /// What stands at the end of the path; only objects are gone through.
    #[must_use]
    pub fn value<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (last, inner) = self.0.split_last()?;
        let mut object = claims;
        for name in inner {
            object = object.get(name)?.as_object()?;
        }
        object.get(last)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// `~1` is a slash and `~0` a tilde (RFC 6901, section 3).
fn unescape(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '~' => text.push(match letters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_ends_at_a_text_or_nowhere() {
        let claims = json!({
            "tid": "acme", "firebase": { "tenant": "globex", "list": ["x"] }, "https://a.example/t": "initech", "n": 7,
        });
        let claims = claims.as_object().unwrap();
        let find = |path: &str| ClaimPath::parse(path).and_then(|path| path.find(claims).map(ToOwned::to_owned));
        assert_eq!(find("tid").as_deref(), Some("acme"));
        assert_eq!(find("firebase.tenant").as_deref(), Some("globex"));
        assert_eq!(find("/https:~1~1a.example~1t").as_deref(), Some("initech"));
        for nothing in ["n", "firebase", "firebase.list", "firebase.list.0", "tid.x", "TID", "none", "/firebase.tenant"]
        {
            assert_eq!(find(nothing), None, "{nothing}");
        }
    }
}
