//! What the lane tells `cargo xtask kill`, which names the folder: points that were hit, and figures.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use tenantry_control::engine::fault::Point;

/// A point was hit: the process died there, and nowhere else.
pub fn report_hit(point: &Point) {
    append("hits", &point.to_string());
}

/// How a lane went.
pub fn report_figures(figures: &str) {
    append("figures", figures);
}

fn append(name: &str, line: &str) {
    let Some(folder) = std::env::var_os("TENANTRY_KILL_OUT").map(PathBuf::from) else { return };
    let path = folder.join(format!("{name}-{}", std::process::id()));
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}")).unwrap();
}
