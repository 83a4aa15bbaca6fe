//! How deep and how long a text of rules may be, looked at before it is parsed.
//!
//! Parsers, validators and even the release of what they made go as deep as the text is nested. Nobody's rule needs
//! more than this; a text that has more is there to end the process.

/// Deepest nesting of brackets.
const MAX_DEPTH: usize = 40;

/// Most operators and opening brackets of one rule. Members of lists are none.
const MAX_OPERATORS: usize = 400;

/// Words that are operators.
const WORDS: [&str; 8] = ["if", "then", "else", "in", "is", "has", "like", "when"];

/// A text that is not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DepthError {
    /// More than [`MAX_DEPTH`].
    #[error("brackets are nested deeper than {MAX_DEPTH}")]
    Deep,
    /// More than [`MAX_OPERATORS`].
    #[error("one rule has more than {MAX_OPERATORS} operators; split it")]
    Long,
}

/// Looks at a text of rules, or of a schema.
///
/// # Errors
/// It is nested too deep, or one part of it that ends with `;` is too long.
pub fn check(text: &str) -> Result<(), DepthError> {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            letter if letter.is_alphabetic() || letter == '_' => {
                let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
                operators += usize::from(WORDS.contains(&&rest[..end]));
                end
            }
            _ => {
                match first {
                    // What follows a value, `a["b"]` or `a.b()`, goes as deep as an operator.
                    '(' | '[' | '{' => {
                        depth += 1;
                        operators += 1;
                    }
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    ';' if depth == 0 => operators = 0,
                    // A schema nests by it; in rules it is a comparison.
                    '!' | '-' | '+' | '*' | '&' | '|' | '=' | '<' | '>' | '.' | ':' => operators += 1,
                    _ => {}
                }
                first.len_utf8()
            }
        };
        if depth > MAX_DEPTH {
            return Err(DepthError::Deep);
        }
        if operators > MAX_OPERATORS {
            return Err(DepthError::Long);
        }
        rest = &rest[length..];
    }
    Ok(())
}

/// The length of the string that a text begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (place, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_strings_and_comments_counts_for_nothing() {
        let harmless = format!("permit(\"{}\\\"(\", // {}\n action);", "(".repeat(100), "!".repeat(1_000));
        assert_eq!(check(&harmless), Ok(()));
        assert_eq!(check(&"(".repeat(41)), Err(DepthError::Deep));
        assert_eq!(check(&"()".repeat(400)), Ok(()));
        assert_eq!(check(&"[\"a\"]".repeat(401)), Err(DepthError::Long));
        assert_eq!(check(&"!".repeat(401)), Err(DepthError::Long));
        assert_eq!(check(&format!("{};{}", "!".repeat(300), "!".repeat(300))), Ok(()));
        assert_eq!(check(&format!("{};", "a ".repeat(10_000))), Ok(()));
        assert_eq!(check(&"if a then b else ".repeat(200)), Err(DepthError::Long));
        assert_eq!(check("\"no end"), Ok(()));
        assert_eq!(check("ü 日本 \"ß"), Ok(()));
    }
}
