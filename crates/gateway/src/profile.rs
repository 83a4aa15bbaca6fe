//! Settings that a client has made for its session, and that follow it to whatever server session serves it next.

use std::rc::Rc;

/// Settings that PostgreSQL reports and that belong to the client. The others that it reports are the server's.
const FOLLOWED: &[&str] =
    &["application_name", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings"];
/// How many settings are kept for a client.
const MOST: usize = 64;
/// How long a client's own SET statement may be to be kept, in bytes.
const LONGEST: usize = 4096;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// Its value.
    Text(String),
    /// The client's own statement.
    Statement(String),
}

/// A client's settings, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    settings: Vec<(String, Value)>,
}

impl Profile {
    /// Whether the server tells us about changes of a setting, and the client owns it.
    #[must_use]
    pub fn follows(name: &str) -> bool {
        FOLLOWED.iter().any(|followed| followed.eq_ignore_ascii_case(name))
    }

    /// With a setting more, or another value of it.
    pub fn set(self: &mut Rc<Self>, name: &str, value: &str) {
        Rc::make_mut(self).put(name, Value::Text(value.to_owned()));
    }

    /// With the client's own statement about a setting.
    pub fn set_by(self: &mut Rc<Self>, name: &str, statement: &str) {
        if statement.len() <= LONGEST {
            Rc::make_mut(self).put(name, Value::Statement(statement.to_owned()));
        }
    }

    /// Without a setting.
    pub fn reset(self: &mut Rc<Self>, name: &str) {
        Rc::make_mut(self).settings.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// The value that a setting has, as far as it is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| match value {
            Value::Text(text) => Some(text.as_str()),
            Value::Statement(_) => None,
        })
    }

    fn put(&mut self, name: &str, value: Value) {
        let name = name.to_ascii_lowercase();
        match self.settings.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(place) => self.settings[place].1 = value,
            Err(place) if self.settings.len() < MOST => self.settings.insert(place, (name, value)),
            Err(_) => {}
        }
    }

    /// The statements that make a session of which nothing is known have these settings, and no others.
    #[must_use]
    pub fn statements(&self) -> String {
        let mut sql = String::from("RESET ALL");
        for (name, value) in &self.settings {
            sql.push_str("; ");
            match value {
                Value::Text(value) => {
                    sql.push_str("SELECT pg_catalog.set_config(");
                    literal(&mut sql, name);
                    sql.push_str(", ");
                    literal(&mut sql, value);
                    sql.push_str(", false)");
                }
                Value::Statement(statement) => sql.push_str(statement),
            }
        }
        sql
    }
}

/// A string as an SQL literal that means the same whatever `standard_conforming_strings` is.
fn literal(sql: &mut String, text: &str) {
    let escaped = text.contains('\\');
    sql.push_str(if escaped { " E'" } else { "'" });
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            sql.push(c);
        }
        sql.push(c);
    }
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_statements_in_one_order() {
        let mut one = Rc::new(Profile::default());
        one.set("TimeZone", "Europe/Berlin");
        one.set("application_name", "it's \\ me");
        one.set_by("statement_timeout", "SET statement_timeout = 5");
        let mut other = Rc::new(Profile::default());
        other.set_by("statement_timeout", "SET statement_timeout = 5");
        other.set("application_name", "x");
        other.set("timezone", "Europe/Berlin");
        other.set("Application_Name", "it's \\ me");
        assert_eq!(one, other);
        let expected = "RESET ALL; SELECT pg_catalog.set_config('application_name',  E'it''s \\\\ me', false); \
            SET statement_timeout = 5; SELECT pg_catalog.set_config('timezone', 'Europe/Berlin', false)";
        assert_eq!(one.statements(), expected);
        one.reset("STATEMENT_TIMEOUT");
        assert!(!one.statements().contains("statement_timeout"));
    }

    #[test]
    fn a_client_cannot_have_more_than_so_many() {
        let mut profile = Rc::new(Profile::default());
        for number in 0..1000 {
            profile.set(&format!("a.b{number}"), "x");
        }
        assert_eq!(profile.settings.len(), MOST);
    }
}
