//! Storage queues on the local disk: messages that outlive the host, hidden while they are worked on. One SQLite
//! file; every verb is one statement or one transaction, so a kill at any moment loses nothing. What to do with a
//! message is `listener`'s business.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;
use uuid::Uuid;

/// Largest message as stored, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const MESSAGE_LIFE: TimeDelta = TimeDelta::days(7);
const NAME_LENGTH_MAX: usize = 63;

/// A message that was taken; only the holder of the newest `receipt` may touch it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The queue's own id of the message.
    pub id: String,
    /// Proof of the lease; changes with each renewal.
    pub receipt: String,
    /// The text as stored, so base64 where that is the encoding of the app.
    pub body: String,
    /// How often the message was taken, this time included.
    pub dequeue_count: u32,
    /// When it was put.
    pub inserted_at: DateTime<Utc>,
    /// When it vanishes, taken or not.
    pub expires_at: DateTime<Utc>,
    /// When the lease ends, as of the taking.
    pub visible_at: DateTime<Utc>,
}

/// Why a queue refused.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file could not be read or written.
    #[error("use the queue file")]
    Disk(#[from] rusqlite::Error),
    /// The message is larger than a storage queue takes.
    #[error("a message of {0} bytes is above the limit of {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
}

/// All queues of one host. Calls take well under a millisecond, so they are made from async code directly.
#[derive(Debug)]
pub struct Queues {
    connection: Mutex<Connection>,
    hints: Mutex<HashMap<String, watch::Sender<u64>>>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
  number        INTEGER PRIMARY KEY AUTOINCREMENT,
  queue         TEXT NOT NULL REFERENCES queues (name),
  id            TEXT NOT NULL UNIQUE,
  receipt       TEXT NOT NULL,
  body          TEXT NOT NULL,
  dequeue_count INTEGER NOT NULL DEFAULT 0,
  inserted_at   INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  visible_at    INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, visible_at);
";

const TAKE: &str = "
UPDATE messages
SET receipt = lower(hex(randomblob(12))), dequeue_count = dequeue_count + 1, visible_at = ?3
WHERE number = (
  SELECT number FROM messages
  WHERE queue = ?1 AND visible_at <= ?2 AND expires_at > ?2
  ORDER BY visible_at, number LIMIT 1)
RETURNING id, receipt, body, dequeue_count, inserted_at, expires_at, visible_at";

impl Queues {
    /// Opens the file, or creates it.
    pub fn open(file: &Path) -> Result<Queues, QueueError> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Queues { connection: Mutex::new(connection), hints: Mutex::default() })
    }

    /// Creates the queue unless it exists.
    pub fn create(&self, queue: &str) -> Result<(), QueueError> {
        self.lock().execute("INSERT OR IGNORE INTO queues (name) VALUES (?1)", [queue])?;
        Ok(())
    }

    /// Whether the queue exists.
    pub fn exists(&self, queue: &str) -> Result<bool, QueueError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM queues WHERE name = ?1)";
        Ok(self.lock().query_row(sql, [queue], |row| row.get(0))?)
    }

    /// Puts a message, creating the queue where needed, and wakes its listeners. Returns the message's id.
    pub fn put(&self, queue: &str, body: &str) -> Result<String, QueueError> {
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(QueueError::TooLarge(body.len()));
        }
        let id = {
            let mut connection = self.lock();
            let transaction = connection.transaction()?;
            let id = insert(&transaction, queue, body)?;
            transaction.commit()?;
            id
        };
        self.hint(queue);
        Ok(id)
    }

    /// Takes up to `count` visible messages, oldest first, and hides them for `lease`.
    pub fn take(&self, queue: &str, count: usize, lease: Duration) -> Result<Vec<Message>, QueueError> {
        let now = Utc::now().timestamp_millis();
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction
            .execute("DELETE FROM messages WHERE queue = ?1 AND expires_at <= ?2", params![queue, now])?;
        let mut taken = Vec::new();
        {
            let mut statement = transaction.prepare_cached(TAKE)?;
            while taken.len() < count {
                let arguments = params![queue, now, now.saturating_add(millis(lease))];
                match statement.query_row(arguments, read_message).optional()? {
                    Some(message) => taken.push(message),
                    None => break,
                }
            }
        }
        transaction.commit()?;
        Ok(taken)
    }

    /// Prolongs the lease and returns the new receipt; `None` if the message is no longer ours.
    pub fn renew(&self, id: &str, receipt: &str, lease: Duration) -> Result<Option<String>, QueueError> {
        let sql = "UPDATE messages SET receipt = lower(hex(randomblob(12))), visible_at = ?3
                   WHERE id = ?1 AND receipt = ?2 RETURNING receipt";
        let visible_at = Utc::now().timestamp_millis().saturating_add(millis(lease));
        Ok(self.lock().query_row(sql, params![id, receipt, visible_at], |row| row.get(0)).optional()?)
    }

    /// Shows the message again after `delay`; false if it is no longer ours.
    pub fn release(&self, id: &str, receipt: &str, delay: Duration) -> Result<bool, QueueError> {
        let sql = "UPDATE messages SET visible_at = ?3 WHERE id = ?1 AND receipt = ?2 RETURNING queue";
        let visible_at = Utc::now().timestamp_millis().saturating_add(millis(delay));
        let arguments = params![id, receipt, visible_at];
        let queue: Option<String> = self.lock().query_row(sql, arguments, |row| row.get(0)).optional()?;
        Ok(queue.is_some())
    }

    /// Deletes the message; false if it is no longer ours.
    pub fn delete(&self, id: &str, receipt: &str) -> Result<bool, QueueError> {
        let sql = "DELETE FROM messages WHERE id = ?1 AND receipt = ?2";
        Ok(self.lock().execute(sql, [id, receipt])? == 1)
    }

    /// Moves the message to another queue under a new id, text unchanged; false if it is no longer ours.
    pub fn move_to(&self, message: &Message, receipt: &str, target: &str) -> Result<bool, QueueError> {
        let moved = {
            let mut connection = self.lock();
            let transaction = connection.transaction()?;
            let sql = "DELETE FROM messages WHERE id = ?1 AND receipt = ?2";
            let moved = transaction.execute(sql, [message.id.as_str(), receipt])? == 1;
            if moved {
                insert(&transaction, target, &message.body)?;
                transaction.commit()?;
            }
            moved
        };
        if moved {
            self.hint(target);
        }
        Ok(moved)
    }

    /// How many messages the queue holds, hidden ones included.
    pub fn len(&self, queue: &str) -> Result<u64, QueueError> {
        let sql = "SELECT count(*) FROM messages WHERE queue = ?1";
        let count: i64 = self.lock().query_row(sql, [queue], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The texts in the queue, oldest first, without taking them.
    pub fn peek(&self, queue: &str) -> Result<Vec<String>, QueueError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT body FROM messages WHERE queue = ?1 ORDER BY number")?;
        let bodies = statement.query_map([queue], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(bodies)
    }

    /// A receiver that changes whenever this process puts a message into the queue.
    pub fn hints(&self, queue: &str) -> watch::Receiver<u64> {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.entry(queue.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    fn hint(&self, queue: &str) {
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = hints.get(queue) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// A panic elsewhere leaves the connection usable: an open transaction is rolled back when it is dropped.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue for messages that failed too often: none for a poison queue itself, nor when the name gets too long.
pub fn poison_name(queue: &str) -> Option<String> {
    const SUFFIX: &str = "-poison";
    let fits = queue.len() + SUFFIX.len() <= NAME_LENGTH_MAX;
    (fits && !queue.ends_with(SUFFIX)).then(|| format!("{queue}{SUFFIX}"))
}

/// What storage accepts as a queue name: 3 to 63 lower-case letters, digits and single hyphens inside.
pub fn is_queue_name(name: &str) -> bool {
    (3..=NAME_LENGTH_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

fn insert(connection: &Connection, queue: &str, body: &str) -> Result<String, rusqlite::Error> {
    let id = Uuid::new_v4().to_string();
    let now = Utc::now();
    let expires_at = now + MESSAGE_LIFE;
    connection.execute("INSERT OR IGNORE INTO queues (name) VALUES (?1)", [queue])?;
    connection.execute(
        "INSERT INTO messages (queue, id, receipt, body, inserted_at, expires_at, visible_at)
         VALUES (?1, ?2, '', ?3, ?4, ?5, ?4)",
        params![queue, id, body, now.timestamp_millis(), expires_at.timestamp_millis()],
    )?;
    Ok(id)
}

fn read_message(row: &rusqlite::Row<'_>) -> Result<Message, rusqlite::Error> {
    let time = |index: usize| -> Result<DateTime<Utc>, rusqlite::Error> {
        Ok(DateTime::from_timestamp_millis(row.get(index)?).unwrap_or(DateTime::<Utc>::MAX_UTC))
    };
    Ok(Message {
        id: row.get(0)?,
        receipt: row.get(1)?,
        body: row.get(2)?,
        dequeue_count: row.get(3)?,
        inserted_at: time(4)?,
        expires_at: time(5)?,
        visible_at: time(6)?,
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
