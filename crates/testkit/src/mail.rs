//! A mail server that keeps what it gets, spoken to by SMTP: aiosmtpd, in an environment of Python that is made once.
//!
//! By how an address begins it is refused for good (`gone@`, 550 5.1.1), twice told "later" (`busy@`, 451) or that we may not send
//! there (`relay@`, 554 5.7.1). Mail for others is kept, and then the server gives no answer (`slow@`), breaks the connection off
//! instead of answering (`lost@`), or takes it and never answers the farewell (`cling@`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::process::Process;

/// The Python of an environment that has the mail server. It is made once for all tests of a build.
fn python(home: &Path) -> PathBuf {
    let venv = home.join("mail-venv");
    let lock = fs::File::create(home.join("mail-venv.lock")).unwrap();
    lock.lock().unwrap();
    let done = venv.join("installed");
    if !done.exists() {
        let run = |program: &Path, arguments: &[&str]| {
            let ended = std::process::Command::new(program).args(arguments).output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        };
        run(Path::new("python3"), &["-m", "venv", "--clear", venv.to_str().unwrap()]);
        run(&venv.join("bin/pip"), &["install", "--quiet", "--disable-pip-version-check", "aiosmtpd==1.4.6"]);
        fs::write(&done, "").unwrap();
    }
    venv.join("bin/python")
}

/// A mail server of one test.
#[derive(Debug)]
pub struct Sink {
    folder: PathBuf,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    _process: Process,
}

impl Sink {
    /// Starts one on a free port. `home` is a folder of the build that outlives the test.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(home: &str) -> Self {
        let home = Path::new(home);
        let folder = home.join(format!("mail-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink.py");
        let arguments = [script.to_str().unwrap(), folder.to_str().unwrap()];
        let process = Process::start(&python(home), &arguments, &[], &folder.join("log"));
        let began = Instant::now();
        loop {
            if let Some(port) = fs::read_to_string(folder.join("port")).ok().and_then(|text| text.parse().ok()) {
                return Self { folder, port, _process: process };
            }
            assert!(began.elapsed() < Duration::from_secs(30), "the mail server listens");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// All mails that it took, in order: a line with the recipients, then what was sent, byte for byte.
    ///
    /// # Panics
    /// They cannot be read.
    #[must_use]
    pub fn mails(&self) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "eml"));
        files.sort();
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// Those for a recipient.
    #[must_use]
    pub fn mails_to(&self, address: &str) -> Vec<String> {
        let head = format!("X-Rcpt: {address}\r\n");
        self.mails().into_iter().filter(|mail| mail.starts_with(&head)).collect()
    }

    /// Subjects of those for a recipient, in order.
    #[must_use]
    pub fn subjects_to(&self, address: &str) -> Vec<String> {
        let subject = |mail: &String| {
            let head = mail.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
            head.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
        };
        self.mails_to(address).iter().map(subject).collect()
    }
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
