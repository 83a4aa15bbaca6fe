//! `tenantry events export`: a subject's events in a file, one a line, every number there.
//!
//! What has arrived lies in `<file>.part`, plain, until all of it is there; then it takes the file's name in one move. A run that
//! was broken off goes on behind the last whole line of that part.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tenantry_api::client::EventQuery;
use tenantry_api::v1::event::Event;
use tenantry_domain::code::Kind;

use crate::exit::{Failure, Result};
use crate::globals::Session;

/// Events of a subject, from one to another.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The tenant, by name or id; the environment's own events if absent
    #[arg(value_name = "TENANT")]
    tenant: Option<String>,
    /// The first event: its number, or the moment before which nothing is wanted
    #[arg(long, value_name = "NUMBER|TIME", default_value = "1", value_parser = bound)]
    from: Bound,
    /// The last event: its number, or the moment from which on nothing is wanted; the newest one if absent
    #[arg(long, value_name = "NUMBER|TIME", value_parser = bound)]
    to: Option<Bound>,
    /// The file; one that ends in .gz is compressed
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// One end of a stretch of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Number(i64),
    Moment(Timestamp),
}

fn bound(text: &str) -> std::result::Result<Bound, String> {
    let wrong = || "must be a number from 1 on, or a moment such as 2026-11-22T10:00:00Z".to_owned();
    match text.parse::<i64>() {
        Ok(number) if number >= 1 => Ok(Bound::Number(number)),
        Ok(_) => Err(wrong()),
        Err(_) => text.parse().map(Bound::Moment).map_err(|_| wrong()),
    }
}

/// An event as a line.
///
/// # Errors
/// It cannot be written as JSON.
pub fn line(event: &Event) -> Result<String> {
    serde_json::to_string(event).map_err(|error| Failure::broken("An event cannot be written", error))
}

impl Export {
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        if self.out.exists() && !self.force {
            let title = format!("The file `{}` is there already", self.out.display());
            return Err(Failure::local(Kind::Conflict, title, "").hint("Name another one, or add --force."));
        }
        let first = match self.from {
            Bound::Number(number) => number,
            Bound::Moment(moment) => self.first_not_before(session, moment).await?,
        };
        let path = with_suffix(&self.out, ".part");
        let (mut part, mut next) = resume(&path, first)?;
        if next > first {
            session.output.note(&format!("Going on behind event {} of `{}`.", next - 1, path.display()));
        }
        'pages: loop {
            let items = self.page(session, next - 1, 200).await?;
            let is_last = items.len() < 200;
            for event in items {
                if self.is_behind(&event) {
                    break 'pages;
                }
                if event.sequence != next {
                    return Err(gap(next, event.sequence));
                }
                writeln!(part, "{}", line(&event)?).map_err(|error| unwritable(&path, &error))?;
                next += 1;
            }
            part.flush().map_err(|error| unwritable(&path, &error))?;
            if is_last {
                break;
            }
        }
        let file = part.into_inner().map_err(|error| unwritable(&path, error.error()))?;
        publish(file, &path, &self.out)?;
        let count = next - first;
        let told = format!("{count} events in `{}`, numbers {first} to {}.", self.out.display(), next - 1);
        session.output.note(if count == 0 { "No event is in that stretch; the file is empty." } else { &told });
        Ok(())
    }

    fn is_behind(&self, event: &Event) -> bool {
        match self.to {
            Some(Bound::Number(last)) => event.sequence > last,
            Some(Bound::Moment(end)) => event.time >= end,
            None => false,
        }
    }

    async fn page(&self, session: &Session, after: i64, size: u16) -> Result<Vec<Event>> {
        let query = EventQuery { after, page_size: Some(size) };
        let page = match &self.tenant {
            Some(tenant) => session.client.tenant_events(tenant, &query).await?,
            None => session.client.events(&query).await?,
        };
        Ok(page.items)
    }

    /// The number of the first event that is not before a moment; one behind the last event if all are. Moments grow with
    /// numbers, so it takes a few questions, however many events there are.
    async fn first_not_before(&self, session: &Session, moment: Timestamp) -> Result<i64> {
        // Below `low` all are before the moment; from `high` on none is, or there is none.
        let (mut low, mut high) = (1, 2);
        while self.is_before(session, high, moment).await? {
            (low, high) = (high + 1, high.saturating_mul(2));
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_before(session, middle, moment).await? { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    async fn is_before(&self, session: &Session, number: i64, moment: Timestamp) -> Result<bool> {
        let found = self.page(session, number - 1, 1).await?;
        Ok(found.first().is_some_and(|event| event.sequence == number && event.time < moment))
    }
}

/// Opens the part behind its last whole line, and says which number is next. A part that does not begin where it should, or has
/// a gap, is begun anew.
fn resume(path: &Path, first: i64) -> Result<(BufWriter<File>, i64)> {
    let wrong = |error: std::io::Error| unwritable(path, &error);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(wrong)?;
    let (mut next, mut whole) = (first, 0);
    let mut lines = BufReader::new(&file);
    let mut text = String::new();
    loop {
        text.clear();
        let Ok(count) = lines.read_line(&mut text) else { break };
        let event = serde_json::from_str::<Event>(&text).ok();
        if !text.ends_with('\n') || event.is_none_or(|event| event.sequence != next) {
            break;
        }
        (next, whole) = (next + 1, whole + count as u64);
    }
    drop(lines);
    file.set_len(whole).map_err(wrong)?;
    file.seek(SeekFrom::End(0)).map_err(wrong)?;
    Ok((BufWriter::new(file), next))
}

/// Gives what has arrived its name; compressed if the name says so.
fn publish(mut file: File, part: &Path, out: &Path) -> Result<()> {
    let wrong = |error: std::io::Error| unwritable(out, &error);
    file.sync_all().map_err(wrong)?;
    if out.extension().is_none_or(|extension| extension != "gz") {
        return std::fs::rename(part, out).map_err(wrong);
    }
    let packed = with_suffix(out, ".packed");
    file.seek(SeekFrom::Start(0)).map_err(wrong)?;
    let mut encoder = GzEncoder::new(File::create(&packed).map_err(wrong)?, Compression::default());
    std::io::copy(&mut file, &mut encoder).map_err(wrong)?;
    encoder.finish().and_then(|file| file.sync_all()).map_err(wrong)?;
    std::fs::rename(&packed, out).map_err(wrong)?;
    std::fs::remove_file(part).map_err(wrong)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn gap(expected: i64, found: i64) -> Failure {
    let title = format!("The event {expected} is missing");
    Failure::local(Kind::Internal, title, format!("{found} came instead"))
        .hint("What was read so far is kept; run the command again, and tell whoever runs the server if it stays so.")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(Kind::Invalid, format!("The file `{}` cannot be written", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: i64) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"evt_{sequence}","type":"tenant.updated","source":"/","time":"2026-11-22T10:00:00Z","tenantryenvironment":"prod","sequence":{sequence},"data":{{}}}}"#
        )
    }

    #[test]
    fn ends_are_numbers_or_moments() {
        assert_eq!(bound("7"), Ok(Bound::Number(7)));
        assert!(matches!(bound("2026-11-22T10:00:00Z"), Ok(Bound::Moment(_))));
        for bad in ["0", "-1", "", "yesterday"] {
            assert!(bound(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_part_goes_on_behind_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl.part");
        let text = |upto: i64| (5..=upto).map(|number| event(number) + "\n").collect::<String>();
        for (content, next) in [
            (String::new(), 5),
            (text(7), 8),
            (text(7) + &event(8)[..40], 8),
            (text(7) + &event(8), 8),
            (text(6) + &event(9) + "\n", 7),
            (event(1) + "\n" + &text(6), 5),
        ] {
            std::fs::write(&path, &content).unwrap();
            let (mut part, found) = resume(&path, 5).unwrap();
            assert_eq!(found, next, "{content}");
            writeln!(part, "{}", event(next)).unwrap();
            part.flush().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text(next), "{content}");
        }
    }

    #[test]
    fn a_packed_file_holds_the_same_and_the_part_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("x.jsonl.gz");
        let part = with_suffix(&out, ".part");
        std::fs::write(&part, "one\ntwo\n").unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&part).unwrap();
        publish(file, &part, &out).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(File::open(&out).unwrap()), &mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
