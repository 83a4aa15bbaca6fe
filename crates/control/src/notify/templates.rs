//! What notifications say: templates of plain text, built in and in English, or the operator's own.
//!
//! A template is one file: a line `Subject: …`, an empty line, the body. Its language is that of Jinja. What is put into it is a
//! value and never read as a template; nothing is fetched or included, and a template that runs for too long or writes too much
//! is an error. All of them are tried with samples when they are loaded, so a broken one is found at the start.
//!
//! INVARIANT: a subject is one line of bounded length without control characters, whatever is put into it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;
use tenantry_domain::incident::Phase;
use tenantry_domain::notice::Kind;

use super::facts;

/// Largest file of a template, in bytes.
const FILE: u64 = 64 * 1024;

/// Most bytes that a template may write.
const TEXT: usize = 64 * 1024;

/// Most instructions that a template may take: some thousand lines.
const FUEL: u64 = 50_000;

/// Most characters of a subject.
const SUBJECT: usize = 200;

/// What a file ends in.
const END: &str = ".txt";

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each template that comes with the product.
        pub const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../templates/", $name, ".txt")))),*];
    };
}

built_in!(
    "welcome",
    "ready",
    "limit",
    "suspended",
    "reactivated",
    "deletion",
    "break-glass",
    "webhook-disabled",
    "incident-investigating",
    "incident-identified",
    "incident-monitoring",
    "incident-resolved",
);

/// Why a template is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The folder cannot be read.
    #[error("the folder `{folder}` cannot be read: {why}")]
    Folder {
        /// Which.
        folder: String,
        /// What the system says.
        why: String,
    },
    /// A file that cannot be read, or is too large.
    #[error("{file}: {why}")]
    File {
        /// Which.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A file that no notification is made of.
    #[error("{file}: no notification has this name; known are {}", BUILT_IN.iter().map(|(name, _)| format!("{name}{END}")).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// Which.
        file: String,
    },
    /// It cannot be read or run.
    #[error("{file}, line {line}: {why}")]
    Broken {
        /// Which.
        file: String,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// What it writes is no mail.
    #[error("{file}, line 1: the text must begin with a line `Subject: …`, then an empty line, then the body")]
    Form {
        /// Which.
        file: String,
    },
}

/// A text that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Lines.
    pub body: String,
}

/// All templates, ready to be filled.
pub struct Templates {
    engine: Environment<'static>,
    /// Names of those that are the operator's own.
    own: Vec<String>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Default for Templates {
    /// Those that come with the product.
    fn default() -> Self {
        let mut engine = engine();
        for (name, text) in BUILT_IN {
            // They are tried by a test; one that could not be read would be refused where it is used.
            let _ = engine.add_template(name, text);
        }
        Self { engine, own: Vec::new() }
    }
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine
}

/// The template of a notification.
#[must_use]
pub fn name(kind: Kind, phase: Option<Phase>) -> &'static str {
    match (kind, phase.unwrap_or(Phase::Investigating)) {
        (Kind::Incident, Phase::Investigating) => "incident-investigating",
        (Kind::Incident, Phase::Identified) => "incident-identified",
        (Kind::Incident, Phase::Monitoring) => "incident-monitoring",
        (Kind::Incident, Phase::Resolved) => "incident-resolved",
        (kind, _) => kind.as_str(),
    }
}

impl Templates {
    /// Those of a folder, and for what it does not have those that come with the product.
    ///
    /// # Errors
    /// The folder cannot be read, has a file that no notification is made of, or a template is broken; all that is wrong.
    pub fn load(folder: &Path) -> Result<Self, Vec<TemplateError>> {
        let mut files = BTreeMap::new();
        let mut wrong = Vec::new();
        let unreadable = |error: io::Error| {
            vec![TemplateError::Folder { folder: folder.display().to_string(), why: error.to_string() }]
        };
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let file = entry.file_name().to_string_lossy().into_owned();
            // Editors and version control leave files of their own beside.
            if file.starts_with('.') || file.ends_with('~') || entry.path().is_dir() {
                continue;
            }
            let known = BUILT_IN.iter().find(|(name, _)| file.strip_suffix(END) == Some(*name));
            match known {
                None => wrong.push(TemplateError::Unknown { file }),
                Some((name, _)) => match read(&entry.path()) {
                    Ok(text) => {
                        files.insert(*name, text);
                    }
                    Err(why) => wrong.push(TemplateError::File { file, why }),
                },
            }
        }
        let own = files.keys().map(|name| (*name).to_owned()).collect();
        let mut templates = Self { own, ..Self::default() };
        for (name, text) in files {
            if let Err(error) = templates.engine.add_template_owned(name, text) {
                wrong.push(broken(name, &error));
                continue;
            }
            wrong.extend(samples(name).iter().find_map(|sample| templates.fill(name, sample).err()));
        }
        if wrong.is_empty() { Ok(templates) } else { Err(wrong) }
    }

    /// Names of the templates that are the operator's own.
    #[must_use]
    pub fn own(&self) -> &[String] {
        &self.own
    }

    /// Fills a template with a sample, for people to look at.
    ///
    /// # Errors
    /// It is broken.
    pub fn sample(&self, name: &str) -> Result<Text, TemplateError> {
        let samples = samples(name);
        self.fill(name, samples.first().unwrap_or(&Value::Null))
    }

    /// Fills a template.
    ///
    /// # Errors
    /// It is broken, runs for too long, or what it writes is no mail.
    pub fn fill(&self, name: &str, facts: &Value) -> Result<Text, TemplateError> {
        let template = self.engine.get_template(name).map_err(|error| broken(name, &error))?;
        let mut sink = Bounded(Vec::new());
        template.render_captured_to(facts, &mut sink).map_err(|error| broken(name, &error))?;
        let whole = String::from_utf8_lossy(&sink.0);
        let form = || TemplateError::Form { file: format!("{name}{END}") };
        let (head, body) = whole.split_once('\n').ok_or_else(form)?;
        let subject = line(head.strip_prefix("Subject:").ok_or_else(form)?, SUBJECT);
        let body = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).ok_or_else(form)?;
        let body: String = body.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        if subject.is_empty() || body.trim().is_empty() {
            return Err(form());
        }
        Ok(Text { subject, body: format!("{}\n", body.trim()) })
    }
}

/// One line of bounded length.
pub(super) fn line(text: &str, most: usize) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().chars().take(most).collect()
}

/// The facts that a template is tried with: every way in which it can be used.
fn samples(name: &str) -> Vec<Value> {
    let phases = Phase::ALL.iter().map(|phase| (Kind::Incident, Some(*phase)));
    let mut all = Kind::ALL.iter().map(|kind| (*kind, None)).chain(phases);
    let Some((kind, phase)) = all.find(|(kind, phase)| self::name(*kind, *phase) == name) else { return Vec::new() };
    let mut samples = vec![facts::sample(kind, phase, true), facts::sparse(kind, phase)];
    // These can be about nobody in particular.
    if matches!(kind, Kind::Incident | Kind::WebhookDisabled) {
        samples.push(facts::sample(kind, phase, false));
    }
    samples
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE {
        return Err(format!("it has {size} bytes; {FILE} are allowed"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn broken(name: &str, error: &minijinja::Error) -> TemplateError {
    let mut why = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    if let Some(source) = std::error::Error::source(error) {
        why = format!("{why}: {source}");
    }
    let why = line(&why, 300);
    let file = format!("{}{END}", error.name().unwrap_or(name));
    TemplateError::Broken { file, line: error.line().unwrap_or(1), why }
}

/// Takes so much and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT {
            return Err(io::Error::other(format!("it writes more than {TEXT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use serde_json::json;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfolder::Folder {
        tempfolder::Folder::with(files)
    }

    /// A folder that goes with the test.
    mod tempfolder {
        use std::path::PathBuf;

        pub struct Folder(pub PathBuf);

        impl Folder {
            pub fn with(files: &[(&str, &str)]) -> Self {
                let path = std::env::temp_dir().join(format!("tenantry-templates-{}", uuid::Uuid::now_v7().simple()));
                std::fs::create_dir_all(&path).unwrap();
                for (name, text) in files {
                    std::fs::write(path.join(name), text).unwrap();
                }
                Self(path)
            }
        }

        impl Drop for Folder {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn every_notification_has_a_template_that_can_be_filled() {
        let templates = Templates::default();
        for kind in Kind::ALL {
            for phase in Phase::ALL {
                let name = name(*kind, Some(phase));
                assert!(BUILT_IN.iter().any(|(known, _)| *known == name), "{name}");
            }
        }
        for (name, _) in BUILT_IN {
            for sample in samples(name) {
                let text = templates.fill(name, &sample).unwrap();
                assert!(!text.body.contains("{{") && !text.body.contains("\n\n\n"), "{name}: {}", text.body);
                assert!(text.body.ends_with('\n') && !text.subject.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn what_is_put_in_is_never_a_template_and_never_a_header() {
        let templates = Templates::default();
        let mut facts = facts::sample(Kind::Welcome, None, true);
        facts["tenant"]["name"] = json!("{{ 7 * 7 }}{% for x in range(9) %}");
        let text = templates.fill("welcome", &facts).unwrap();
        assert!(text.subject.starts_with("{{ 7 * 7 }}{% for") && text.body.contains("{{ 7 * 7 }}"), "{text:?}");
        // Facts are tamed before; a line end that got in all the same ends the subject, and makes no header.
        for name in ["Acme\r\nBcc: eve@example.com\n\nHello", "Acme\n\nHello", "Acme\u{b}\u{1b}[2J"] {
            facts["tenant"]["name"] = json!(name);
            match templates.fill("welcome", &facts) {
                Ok(text) => {
                    assert!(text.subject.starts_with("Acme") && !text.subject.chars().any(char::is_control), "{text:?}")
                }
                Err(error) => assert_eq!(error, TemplateError::Form { file: "welcome.txt".to_owned() }),
            }
        }
        facts["tenant"]["name"] = json!("x".repeat(10_000));
        assert_eq!(templates.fill("welcome", &facts).unwrap().subject.chars().count(), SUBJECT);
    }

    #[test]
    fn own_templates_take_the_place_of_those_that_come_along() {
        let own = folder(&[("welcome.txt", "Subject: Moin {{ tenant.slug }}\n\nBody of {{ plan }}.\n"), (".keep", "")]);
        let templates = Templates::load(&own.0).unwrap();
        assert_eq!(templates.own(), ["welcome"]);
        let text = templates.fill("welcome", &facts::sample(Kind::Welcome, None, true)).unwrap();
        assert_eq!((text.subject.as_str(), text.body.as_str()), ("Moin acme", "Body of business.\n"));
        assert!(templates.sample("ready").unwrap().subject.contains("Acme"));
    }

    /// What only another notification has would be missed each time it is sent.
    #[test]
    fn a_template_that_uses_what_its_notification_does_not_have_is_refused() {
        let facts = [
            "plan",
            "plan_before",
            "quota.name",
            "delete_not_before",
            "access.person",
            "webhook.host",
            "incident.title",
        ];
        for (name, _) in BUILT_IN {
            let file = format!("{name}{END}");
            let sample = samples(name).remove(0);
            let mut foreign = 0;
            for fact in facts {
                let own = folder(&[(&file, &format!("Subject: x\n\nHello,\n{{{{ {fact} }}}}\n"))]);
                let is_known = sample.get(fact.split('.').next().unwrap()).is_some();
                match Templates::load(&own.0) {
                    Ok(_) => assert!(is_known, "{file}: {fact}"),
                    Err(wrong) => {
                        foreign += 1;
                        let told = wrong[0].to_string();
                        assert!(!is_known && told.contains(&format!("{file}, line 4")), "{told}");
                    }
                }
            }
            assert!(foreign >= 5, "{file}: {foreign}");
        }
    }

    #[test]
    fn a_broken_template_is_named_with_file_and_line() {
        let told = |name: &str, text: &str| -> String {
            let own = folder(&[(name, text)]);
            let wrong = Templates::load(&own.0).unwrap_err();
            wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let head = "Subject: x\n\n";
        for (name, text, parts) in [
            ("welcome.txt", format!("{head}a\n{{% if %}}\n"), ["welcome.txt, line 4", ""]),
            ("welcome.txt", format!("{head}{{{{ tenant.nme }}}}\n"), ["welcome.txt, line 3", "undefined"]),
            (
                "welcome.txt",
                format!("{head}{{% for a in range(9999) %}}{{% for b in range(9999) %}}{{% endfor %}}{{% endfor %}}"),
                ["line 3", "fuel"],
            ),
            (
                "welcome.txt",
                format!("{head}{{% for a in range(90) %}}{{{{ \"x\" * 1000 }}}}{{% endfor %}}"),
                ["welcome.txt", "65536 bytes"],
            ),
            ("welcome.txt", format!("{head}{{% include \"ready\" %}}"), ["welcome.txt, line 3", ""]),
            ("welcome.txt", "Hello\n\nBody".to_owned(), ["welcome.txt", "Subject:"]),
            ("welcome.txt", "Subject: x\nBody".to_owned(), ["welcome.txt", "empty line"]),
            ("welcome.txt", "Subject: \n\nBody".to_owned(), ["welcome.txt", "Subject:"]),
            ("wellcome.txt", format!("{head}x"), ["wellcome.txt", "known are welcome.txt"]),
            ("welcome.txt", "x".repeat(70_000), ["welcome.txt", "70000 bytes"]),
        ] {
            let told = told(name, &text);
            assert!(parts.iter().all(|part| told.contains(part)), "{name} {parts:?}: {told}");
        }
        let nowhere = Templates::load(Path::new("/no/such/folder")).unwrap_err();
        assert!(nowhere[0].to_string().contains("/no/such/folder"));
    }
}
