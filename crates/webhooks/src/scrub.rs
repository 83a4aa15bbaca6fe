//! What is kept of an answer: its beginning, readable, without what looks like a secret.
//!
//! Receivers echo what they got, and print their own settings when they fail. Whoever reads a log of deliveries need not be
//! allowed to see either.

/// Bytes that are kept.
pub const KEPT: usize = 2048;

/// In place of what was taken out.
const MASK: &str = "[…]";

/// Beginnings of secrets of ours.
const PREFIXES: [&str; 4] = ["whsec_", "whsk_", "ten_live_", "v1,"];

/// Words whose value is nobody's business.
const NAMES: [&str; 9] =
    ["password", "passwd", "secret", "token", "authorization", "api_key", "apikey", "api-key", "cookie"];

/// The readable beginning of an answer.
#[must_use]
pub fn scrub(bytes: &[u8]) -> String {
    // Twice as much as is kept, for what is taken out may be longer than what stands in its place.
    let text = String::from_utf8_lossy(bytes.get(..KEPT * 2).unwrap_or(bytes));
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let mut kept = String::new();
    let mut is_value = false;
    for word in plain.split_inclusive(is_edge) {
        let (core, edge) = match word.char_indices().next_back().filter(|(_, last)| is_edge(*last)) {
            Some((at, _)) => word.split_at(at),
            None => (word, ""),
        };
        let lower = core.to_ascii_lowercase();
        let is_secret = PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        if core.is_empty() {
            kept.push_str(edge);
            continue;
        }
        let is_scheme = matches!(lower.as_str(), "bearer" | "basic");
        if is_secret || is_value && !is_scheme {
            kept.push_str(MASK);
        } else {
            kept.push_str(core);
        }
        kept.push_str(edge);
        is_value = is_scheme || NAMES.iter().any(|name| lower.ends_with(name));
    }
    let end = kept.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= KEPT).last();
    kept.truncate(end.unwrap_or(0));
    kept.trim().to_owned()
}

const fn is_edge(letter: char) -> bool {
    matches!(letter, ' ' | '"' | '\'' | ':' | '=' | '&' | ';' | '<' | '>' | '{' | '}' | '[' | ']' | '(' | ')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        for (text, kept) in [
            ("all is well", "all is well"),
            (r#"{"password": "hunter2", "user": "a"}"#, r#"{"password": "[…]", "user": "a"}"#),
            ("Authorization: Bearer abc.def then", "Authorization: Bearer […] then"),
            ("db_password=xyz&next=1", "db_password=[…]&next=1"),
            ("got whsec_AAAA and ten_live_x_y_z", "got […] and […]"),
            ("signature v1,g0hM9SsE+OTP= was wrong", "signature […]= was wrong"),
            ("a\r\nb\0c\u{1b}[31m", "a  b c [31m"),
        ] {
            assert_eq!(scrub(text.as_bytes()), kept);
        }
    }

    #[test]
    fn two_kibibytes_are_kept_whatever_came() {
        for byte in [b'a', 0xff, 0xc3, 0, b' '] {
            assert!(scrub(&vec![byte; 100_000]).len() <= KEPT);
        }
        assert_eq!(scrub("é".repeat(5000).as_bytes()).len(), KEPT);
        assert_eq!(scrub(b""), "");
    }
}
