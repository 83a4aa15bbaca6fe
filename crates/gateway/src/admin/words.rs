//! What an administrator can say in the console.

use std::time::Duration;

/// The longest hold, and the usual one.
const HOLDS: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(10));

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A table.
    Show(Show),
    /// Begin no transaction of a tenant, for at most so long.
    Hold(String, Duration),
    /// Go on with it.
    Release(String),
    /// End a session.
    Kill(u64),
    /// Read configuration, certificate and key again.
    Reload,
    /// What drivers say on their own; it changes nothing here.
    Set,
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The commands.
    Help,
    /// Clients.
    Sessions,
    /// Server sessions.
    Pools,
    /// Numbers by tenant.
    Tenants,
    /// Tenants that are held.
    Holds,
    /// Standbys that are read from.
    Standbys,
    /// Numbers of the whole gateway.
    Stats,
    /// Where the table comes from.
    Feed,
    /// Bounds.
    Settings,
    /// Where each setting comes from, and what waits for a restart.
    Config,
    /// The version.
    Version,
}

impl Show {
    /// All, with their words and what they are about.
    pub const ALL: [(Self, &'static str, &'static str); 11] = [
        (Self::Help, "HELP", "these commands"),
        (Self::Sessions, "SESSIONS", "clients, what each does and for how long"),
        (Self::Pools, "POOLS", "server sessions by server, database and login"),
        (Self::Tenants, "TENANTS", "clients, transactions and waits by tenant"),
        (Self::Holds, "HOLDS", "tenants that are held"),
        (Self::Standbys, "STANDBYS", "standbys that are read from, and how far each is behind"),
        (Self::Stats, "STATS", "numbers of the whole gateway"),
        (Self::Feed, "FEED", "where the table of tenants comes from and how old it is"),
        (Self::Settings, "SETTINGS", "bounds and choices"),
        (Self::Config, "CONFIG", "where each setting comes from, what RELOAD can change, and what waits for a restart"),
        (Self::Version, "VERSION", "the version"),
    ];
}

/// Why a text is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The first word, or what follows SHOW.
    #[error("`{0}` is not a command of the console")]
    Command(String),
    /// Something is missing or too much.
    #[error("expected {0}")]
    Form(&'static str),
}

/// Reads one command, without its semicolon. Words are told apart by spaces and may be in any case.
///
/// # Errors
/// It is none.
pub fn read(text: &str) -> Result<Command, Unknown> {
    let words: Vec<&str> = text.split_whitespace().take(8).collect();
    let word = |place: usize| words.get(place).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let shown = |text: &str| text.chars().take(40).collect::<String>();
    match word(0).as_str() {
        "HELP" => Ok(Command::Show(Show::Help)),
        "SHOW" => {
            let known = Show::ALL.into_iter().find(|(_, known, _)| *known == word(1) && words.len() == 2);
            known.map(|(show, ..)| Command::Show(show)).ok_or_else(|| Unknown::Command(shown(text)))
        }
        "HOLD" => hold(&words),
        "RELEASE" if words.len() == 2 => Ok(Command::Release(plain(words[1]))),
        "RELEASE" => Err(Unknown::Form("RELEASE tenant")),
        "KILL" if words.len() == 2 => {
            words[1].parse().map(Command::Kill).map_err(|_| Unknown::Form("KILL number, as SHOW SESSIONS has it"))
        }
        "KILL" => Err(Unknown::Form("KILL number")),
        "RELOAD" if words.len() == 1 => Ok(Command::Reload),
        "SET" | "RESET" | "DISCARD" => Ok(Command::Set),
        _ => Err(Unknown::Command(shown(text))),
    }
}

fn hold(words: &[&str]) -> Result<Command, Unknown> {
    const FORM: Unknown = Unknown::Form("HOLD tenant [seconds], at most 600 seconds");
    let limit = match words {
        [_, _] => HOLDS.1,
        [_, _, seconds] => {
            let seconds: u64 = seconds.parse().map_err(|_| FORM)?;
            Duration::from_secs(seconds)
        }
        _ => return Err(FORM),
    };
    if limit.is_zero() || limit > HOLDS.0 {
        return Err(FORM);
    }
    Ok(Command::Hold(plain(words[1]), limit))
}

/// A name without the quotes that SQL wants around it.
fn plain(word: &str) -> String {
    word.trim_matches(|c| c == '\'' || c == '"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_in_any_case() {
        assert_eq!(read("show  Sessions"), Ok(Command::Show(Show::Sessions)));
        assert_eq!(read("HOLD 'acme' 30"), Ok(Command::Hold("acme".to_owned(), Duration::from_secs(30))));
        assert_eq!(read("hold acme"), Ok(Command::Hold("acme".to_owned(), HOLDS.1)));
        assert_eq!(read("release acme"), Ok(Command::Release("acme".to_owned())));
        assert_eq!(read("KILL 7"), Ok(Command::Kill(7)));
        assert_eq!(read("SET extra_float_digits = 3"), Ok(Command::Set));
        for wrong in ["hold", "hold acme 0", "hold acme 601", "hold acme x", "hold a b c", "kill", "kill x", "release"]
        {
            assert!(matches!(read(wrong), Err(Unknown::Form(_))), "{wrong}");
        }
        for wrong in ["", "show", "show everything", "select 1", "reload now", "show pools all"] {
            assert!(matches!(read(wrong), Err(Unknown::Command(_))), "{wrong}");
        }
    }
}
