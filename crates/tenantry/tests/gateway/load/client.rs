//! One client of a load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Config, Error, NoTls, Statement};

use super::{Notes, Outcome};

/// How long a client waits for any answer; nothing that a test does lasts so long.
const PATIENCE: Duration = Duration::from_secs(45);
/// What it waits after a failure that a loop without it would make a storm of.
const BREATH: Duration = Duration::from_millis(20);
/// Every so many rows it looks at what it can see.
const LOOK: i32 = 16;

/// See the module.
pub struct Client {
    pub id: i32,
    /// The tenant, as its rows name it.
    pub owner: String,
    pub config: Config,
    pub pause: Duration,
    pub notes: Arc<Mutex<Notes>>,
    pub stop: Arc<AtomicBool>,
}

/// A connection with its statement.
struct Open {
    client: tokio_postgres::Client,
    insert: Statement,
}

/// Why a row is not acknowledged.
struct Failed {
    outcome: Outcome,
    word: String,
}

impl Client {
    /// Writes until it is told to stop.
    pub async fn run(self) {
        let mut open = None;
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let known = open.take().filter(|open: &Open| !open.client.is_closed());
            let connection = match known {
                Some(known) => known,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(error) => {
                        self.note(|notes| *notes.closed_doors.entry(word(&error)).or_default() += 1);
                        sleep(BREATH).await;
                        continue;
                    }
                },
            };
            let began = Instant::now();
            let written = timeout(PATIENCE, self.write(&connection, number)).await;
            let written =
                written.unwrap_or_else(|_| Err(Failed { outcome: Outcome::Unknown, word: "no answer".to_owned() }));
            number += 1;
            match written {
                Ok(()) => {
                    self.note(|notes| {
                        notes.outcomes.push(Outcome::Acknowledged);
                        notes.acknowledged = Some(began);
                        notes.times.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
                    });
                    if number % LOOK == 0 {
                        self.look(&connection, number).await;
                    }
                    sleep(self.pause).await;
                }
                Err(failed) => {
                    self.note(|notes| {
                        notes.outcomes.push(failed.outcome);
                        *notes.errors.entry(failed.word).or_default() += 1;
                    });
                    // A connection that is gone shows at once; one that is not tells the same again and again.
                    if !connection.client.is_closed() {
                        sleep(BREATH).await;
                    }
                }
            }
            open = Some(connection);
        }
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes.lock().unwrap());
    }

    async fn connect(&self) -> Result<Open, Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        let notes = Arc::clone(&self.notes);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                *notes.lock().unwrap().ends.entry(word(&error)).or_default() += 1;
            }
        });
        let insert = client.prepare("INSERT INTO note (owner, client, n, part) VALUES ($1, $2, $3, $4)").await?;
        self.note(|notes| notes.logins += 1);
        Ok(Open { client, insert })
    }

    async fn write(&self, open: &Open, number: i32) -> Result<(), Failed> {
        let insert = async |part: i32| {
            open.client.execute(&open.insert, &[&self.owner, &self.id, &number, &part]).await.map(drop)
        };
        match number % 4 {
            0 => insert(0).await.map_err(|error| at_end(&error)),
            2 => {
                let (owner, id) = (&self.owner, self.id);
                let text = format!("INSERT INTO note (owner, client, n, part) VALUES ('{owner}', {id}, {number}, 0)");
                open.client.simple_query(&text).await.map(drop).map_err(|error| at_end(&error))
            }
            _ => {
                if let Err(error) = open.client.batch_execute("BEGIN").await {
                    return Err(Failed { outcome: Outcome::Refused, word: word(&error) });
                }
                let first = async {
                    insert(0).await?;
                    insert(1).await
                };
                if let Err(error) = first.await {
                    let word = format!("{} in transaction", word(&error));
                    if !open.client.is_closed() {
                        let _ = open.client.batch_execute("ROLLBACK").await;
                    }
                    // COMMIT was never sent.
                    return Err(Failed { outcome: Outcome::Refused, word });
                }
                open.client.batch_execute("COMMIT").await.map_err(|error| at_end(&error))
            }
        }
    }

    /// Looks for a neighbour's rows.
    async fn look(&self, open: &Open, number: i32) {
        let sql = "SELECT owner, count(*) FROM note WHERE n > $1 GROUP BY owner";
        match timeout(PATIENCE, open.client.query(sql, &[&(number - LOOK)])).await {
            Ok(Ok(rows)) => {
                let own = rows.iter().any(|row| row.get::<_, &str>(0) == self.owner);
                let foreign = rows.iter().filter(|row| row.get::<_, &str>(0) != self.owner).count() as u64;
                // What was acknowledged a moment ago is seen.
                self.note(|notes| notes.foreign += foreign + u64::from(!own));
            }
            Ok(Err(error)) => self.note(|notes| *notes.errors.entry(word(&error)).or_default() += 1),
            Err(_) => self.note(|notes| *notes.errors.entry("no answer".to_owned()).or_default() += 1),
        }
    }
}

/// What the failure of a statement says that commits.
fn at_end(error: &Error) -> Failed {
    let is_told = error
        .as_db_error()
        .is_some_and(|db| db.code().code() != "08006" && !db.hint().is_some_and(|hint| hint.contains("not known")));
    Failed { outcome: if is_told { Outcome::Refused } else { Outcome::Unknown }, word: word(error) }
}

/// The code of an error, or what became of the connection.
pub fn word(error: &Error) -> String {
    use std::error::Error as _;
    if let Some(db) = error.as_db_error() {
        return format!("{} {}", db.code().code(), db.message());
    }
    if error.is_closed() {
        return "closed".to_owned();
    }
    match error.source() {
        Some(source) => format!("lost: {source}"),
        None => error.to_string(),
    }
}
