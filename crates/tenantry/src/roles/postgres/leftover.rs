//! What an earlier run left: a server that still runs on our data, or the file of one that is gone.
//!
//! The caller holds the data folder's lock, so whatever runs there belongs to nobody any more.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::PostgresError;

/// How long a server may take to stop in an orderly way; then it is stopped without waiting for its clients.
const ORDERLY: Duration = Duration::from_secs(30);

/// How long it may take then.
const IMMEDIATE: Duration = Duration::from_secs(10);

/// Whether a server was found running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Nothing to do, or only a file to remove.
    None,
    /// One was running and is stopped now.
    Stopped,
}

/// Stops a server that still runs on `data`, and removes the file of one that does not run any more.
pub(super) async fn clear(data: &Path) -> Result<Leftover, PostgresError> {
    let file = data.join("postmaster.pid");
    let Some(pid) = read_pid(&file) else { return Ok(Leftover::None) };
    if !is_server_on(pid, data) {
        // Its number may belong to somebody else by now (containers count from one), which PostgreSQL itself could
        // not tell from a running server.
        return match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(PostgresError::io(format!("removing `{}`", file.display()))(error))
            }
            _ => Ok(Leftover::None),
        };
    }
    stop(pid).await?;
    Ok(Leftover::Stopped)
}

/// Ends a server: orderly first, then at once.
pub(super) async fn stop(pid: Pid) -> Result<(), PostgresError> {
    for (signal, patience) in [(Signal::INT, ORDERLY), (Signal::QUIT, IMMEDIATE)] {
        let _ = kill_process(pid, signal);
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if test_kill_process(pid).is_err() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Err(PostgresError::Remains { pid: pid.as_raw_nonzero().get() })
}

/// The server's process by its file; the first line.
pub(super) fn read_pid(file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)
}

/// A server works in its data folder, which is how it is told from another process with a recycled number.
fn is_server_on(pid: Pid, data: &Path) -> bool {
    if test_kill_process(pid).is_err() {
        return false;
    }
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    match (fs::read_link(process.join("cwd")), fs::canonicalize(data)) {
        (Ok(folder), Ok(data)) => folder == data,
        // Without /proc only the name can be asked for.
        _ => std::process::Command::new("ps")
            .args(["-o", "comm=", "-p", &pid.as_raw_nonzero().to_string()])
            .output()
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("postgres")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_with_a_recycled_number_is_removed_and_its_process_left_alone() {
        let folder = std::env::temp_dir().join(format!("tenantry-leftover-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("postmaster.pid");
        fs::write(&file, format!("{}\n{}\n", std::process::id(), folder.display())).unwrap();
        assert_eq!(clear(&folder).await.unwrap(), Leftover::None);
        assert!(!file.exists());
        assert_eq!(clear(&folder).await.unwrap(), Leftover::None);
        fs::remove_dir_all(&folder).unwrap();
    }
}
