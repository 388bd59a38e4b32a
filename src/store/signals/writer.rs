//! Writing a month to Postgres: one transaction, only the days that changed, copied in the binary form. Before the
//! commit none of it is visible; a failure leaves the month as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use chrono::NaiveDate;
use futures_util::{SinkExt, TryStreamExt};
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Transaction};

use super::copy::{CompositeRow, Encoded, EncodedDay, Encoder, HEADER, RankingRow, TRAILER};
use super::sql;
use crate::signal::{CompositeSignal, RankingSignal, YearMonth};
use crate::store::pg::{self, Param, PgError, Pool};

/// Bytes of a message of a COPY. The driver's own writer sends 4 KiB at a time, which halves the rate.
const CHUNK: usize = 256 * 1024;
/// First key of the locks that let one writer at a time write a month.
const LOCK: i32 = 730_581;
/// How a write transaction begins: its statements take their time, but it neither waits for ever nor holds a lock when
/// its client has gone silent.
const BEGIN_TERMS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
                           SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// The two tables of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Ranking,
    Composite,
}

impl Which {
    const BOTH: [Self; 2] = [Self::Ranking, Self::Composite];

    fn name(self) -> &'static str {
        match self {
            Self::Ranking => "ranking_signal",
            Self::Composite => "composite_signal_daily",
        }
    }
}

/// A month as it is in the lake.
#[derive(Debug, Clone)]
pub struct MonthRows {
    /// Month whose rows are replaced.
    pub month: YearMonth,
    /// Rows of ranking signals.
    pub ranking: Encoded,
    /// Rows of composites.
    pub composite: Encoded,
    /// Versions of the Delta tables, in this order.
    pub versions: (i64, i64),
    /// Digest of the files that hold the rows.
    pub files_digest: String,
}

impl MonthRows {
    fn of(&self, which: Which) -> &Encoded {
        match which {
            Which::Ranking => &self.ranking,
            Which::Composite => &self.composite,
        }
    }
}

/// How a month is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteTerms {
    /// Count the rows of the month before the commit, and give up when they are not those of the lake.
    pub verify_counts: bool,
    /// Write every day, whatever is known.
    pub force: bool,
    /// Write although a later version was written before: the Delta table was made anew.
    pub any_version: bool,
}

/// What became of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Postgres holds the month.
    Done {
        /// Rows that were copied.
        rows: i32,
        /// Days that were replaced or removed.
        days: i32,
    },
    /// Another writer wrote a later version.
    Superseded,
}

/// What an audit found of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Days whose rows are not those that were written.
    pub days: BTreeSet<NaiveDate>,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The server takes no writes, as in a fail-over.
    ReadOnly,
    /// The server was stopped, or ended the session.
    Shutdown,
    /// No connection, or it broke.
    ConnectionLost,
    /// Another writer was in the way.
    Busy,
    /// The login may not.
    NotAllowed,
    /// Tables or columns are not what this version knows.
    SchemaDrift,
    /// A rule of the schema was broken.
    Constraint,
    /// The count of rows was not what it should be.
    CountMismatch,
    /// Something else.
    Other,
}

impl Class {
    /// Whether the same write may succeed soon.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Shutdown | Self::ConnectionLost | Self::Busy)
    }

    fn of(error: &PgError) -> Self {
        let PgError::Sql(sql) = error else {
            return match error {
                PgError::Busy | PgError::Silent => Self::ConnectionLost,
                PgError::NotMigrated(_) | PgError::Unreadable { .. } => Self::SchemaDrift,
                PgError::NotAllowed { .. } => Self::NotAllowed,
                _ => Self::Other,
            };
        };
        match sql.code().map(tokio_postgres::error::SqlState::code) {
            Some("25006") => Self::ReadOnly,
            Some("42501") => Self::NotAllowed,
            Some("53300" | "40001" | "40P01" | "55P03" | "57014" | "25P03") => Self::Busy,
            Some(code) if code.starts_with("57P") => Self::Shutdown,
            Some(code) if code.starts_with("08") => Self::ConnectionLost,
            Some(code) if code.starts_with("28") => Self::NotAllowed,
            Some(code) if code.starts_with("42") => Self::SchemaDrift,
            Some(code) if code.starts_with("23") => Self::Constraint,
            Some(_) => Self::Other,
            None if error.is_broken() => Self::ConnectionLost,
            None => Self::Other,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "the server is read-only",
            Self::Shutdown => "the server was stopped",
            Self::ConnectionLost => "no connection",
            Self::Busy => "another writer was in the way",
            Self::NotAllowed => "the login may not; make it a member of ranking_sync",
            Self::SchemaDrift => "the schema is not what this version knows; run `backtests migrate up`",
            Self::Constraint => "a rule of the schema was broken",
            Self::CountMismatch => "other rows than in the lake",
            Self::Other => "postgres",
        })
    }
}

/// A month was not written. What was there is still there.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The server refused, or the connection broke.
    #[error("{doing}: {class}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What kind of failure it is.
        class: Class,
        /// What was said.
        #[source]
        source: PgError,
    },
    /// Other rows would stand there than in the lake.
    #[error("count the rows: {table} would have {found} of the month, not {expected}")]
    Counts {
        table: &'static str,
        /// How many there would be.
        found: i64,
        /// How many the lake holds.
        expected: i64,
    },
}

impl WriteError {
    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Counts { .. } => Class::CountMismatch,
        }
    }
}

fn refused<E: Into<PgError>>(doing: &'static str) -> impl FnOnce(E) -> WriteError {
    move |error| {
        let source = error.into();
        WriteError::Refused { doing, class: Class::of(&source), source }
    }
}

/// Writes months, one after the other. Between them its connection is the pool's, and a beat never waits for it.
pub struct Writer {
    pool: Pool,
    /// Whether a lost connection is worth waiting for; not again while the last wait was in vain.
    patient: bool,
}

impl Writer {
    /// A writer with connections of `pool`.
    pub fn new(pool: Pool) -> Self {
        Self { pool, patient: true }
    }

    /// Brings a month of Postgres to `rows`. A failure that may pass is tried three times more; when other rows stand
    /// there than were written, every day is.
    pub async fn write(&mut self, rows: &MonthRows, mut terms: WriteTerms) -> Result<Written, WriteError> {
        let mut pauses = pg::PAUSES.iter();
        loop {
            let error = match self.try_write(rows, terms).await {
                Ok(written) => {
                    self.patient = true;
                    return Ok(written);
                }
                Err(WriteError::Counts { .. }) if !terms.force => {
                    terms.force = true;
                    continue;
                }
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if error.class().is_transient() && self.patient => {
                    tracing::info!(year_month = %rows.month, "{}; trying again", error.class());
                    tokio::time::sleep(*pause).await;
                }
                _ => {
                    self.patient = error.class() != Class::ConnectionLost;
                    return Err(error);
                }
            }
        }
    }

    /// Notes that a month failed, in a transaction of its own. What is known of its rows stays.
    pub async fn fail(&mut self, month: YearMonth, why: &str) -> Result<(), WriteError> {
        let params: [Param<'_>; 2] = [(&month.to_string(), Type::TEXT), (&why, Type::TEXT)];
        let noted = pg::query(&self.pool, sql!("signals.failed"), &params).await;
        noted.map(|_| ()).map_err(refused("note the failure"))
    }

    /// Compares the rows of a month with what was written. With `mark`, days that differ are noted, so that the next
    /// sync writes them again.
    pub async fn audit(&mut self, month: YearMonth, mark: bool) -> Result<Audit, WriteError> {
        let mut lent = pg::lend(&self.pool).await.map_err(refused("connect"))?;
        let transaction = begin(lent.client(), month).await?;
        let found = [read_ranking(&transaction, month).await?, read_composite(&transaction, month).await?];
        let known = known_days(&transaction, month).await?;
        let mut audit = Audit::default();
        for (which, found) in Which::BOTH.into_iter().zip(&found) {
            let known = known.iter().filter(|((of, _), _)| *of == which);
            let known: BTreeMap<NaiveDate, &str> =
                known.map(|((_, date), digest)| (*date, digest.as_str())).collect();
            let found: BTreeMap<NaiveDate, &str> =
                found.days.iter().map(|day| (day.date, day.digest.as_str())).collect();
            let days: BTreeSet<NaiveDate> = known.keys().chain(found.keys()).copied().collect();
            let differ: Vec<NaiveDate> =
                days.into_iter().filter(|day| known.get(day) != found.get(day)).collect();
            if mark && !differ.is_empty() {
                // No digest is empty, so that these days are changed or vanished ones to the next writer.
                let unknown = differ.iter().map(|&date| EncodedDay {
                    date,
                    range: 0..0,
                    digest: String::new(),
                    rows: 0,
                });
                note_days(&transaction, month, which, &unknown.collect::<Vec<_>>()).await?;
            }
            audit.days.extend(differ);
        }
        if mark && !audit.days.is_empty() {
            let year_month = month.to_string();
            let why = format!("{} days are not as they were written", audit.days.len());
            let params: [Param<'_>; 2] = [(&year_month, Type::TEXT), (&why, Type::TEXT)];
            let marked = transaction.execute_typed(sql!("signals.drifted"), &params).await;
            marked.map_err(refused("note the drift"))?;
        }
        transaction.commit().await.map_err(refused("commit the audit"))?;
        lent.give_back();
        Ok(audit)
    }

    async fn try_write(&self, rows: &MonthRows, terms: WriteTerms) -> Result<Written, WriteError> {
        let started = Instant::now();
        let month = rows.month;
        let mut lent = pg::lend(&self.pool).await.map_err(refused("connect"))?;
        let transaction = begin(lent.client(), month).await?;
        forget_unfounded(&transaction, month).await?;
        let known = known_days(&transaction, month).await?;

        let (mut rows_written, mut days_replaced) = (0, BTreeSet::new());
        for which in Which::BOTH {
            let step = Step::plan(which, rows, &known, terms.force);
            let delete = match which {
                Which::Ranking => sql!("signals.delete_ranking"),
                Which::Composite => sql!("signals.delete_composite"),
            };
            if !step.delete.is_empty() {
                let params: [Param<'_>; 1] = [(&step.delete, Type::DATE_ARRAY)];
                transaction.execute_typed(delete, &params).await.map_err(refused("delete days"))?;
            }
            copy(&transaction, which, &rows.of(which).bytes, &step.changed).await?;
            forget_days(&transaction, month, which, &step.vanished).await?;
            note_days(&transaction, month, which, &step.changed).await?;
            rows_written += step.changed.iter().map(|day| day.rows).sum::<i32>();
            days_replaced.extend(step.changed.iter().map(|day| day.date).chain(step.vanished));
        }
        if terms.verify_counts {
            verify(&transaction, rows).await?;
        }

        let (year_month, days) = (month.to_string(), days_replaced.len() as i32);
        let duration_ms = started.elapsed().as_millis() as i64;
        let params: [Param<'_>; 10] = [
            (&year_month, Type::TEXT),
            (&rows.ranking.rows(), Type::INT4),
            (&rows.composite.rows(), Type::INT4),
            (&rows.versions.0, Type::INT8),
            (&rows.versions.1, Type::INT8),
            (&rows.files_digest, Type::TEXT),
            (&rows_written, Type::INT4),
            (&days, Type::INT4),
            (&duration_ms, Type::INT8),
            (&(terms.force || terms.any_version), Type::BOOL),
        ];
        let state = transaction.query_typed(sql!("signals.synced"), &params).await;
        if state.map_err(refused("note the month"))?.is_empty() {
            // Dropping the transaction takes everything back.
            return Ok(Written::Superseded);
        }
        transaction.commit().await.map_err(refused("commit the month"))?;
        lent.give_back();
        Ok(Written::Done { rows: rows_written, days })
    }
}

/// Starts a transaction that locks the month against other writers.
async fn begin(client: &mut Client, month: YearMonth) -> Result<Transaction<'_>, WriteError> {
    let transaction = client.transaction().await.map_err(refused("begin"))?;
    transaction.batch_execute(BEGIN_TERMS).await.map_err(refused("begin"))?;
    let params: [Param<'_>; 2] = [(&LOCK, Type::INT4), (&month.number(), Type::INT4)];
    transaction.query_typed(sql!("signals.lock"), &params).await.map_err(refused("lock the month"))?;
    Ok(transaction)
}

/// Tables may be emptied by hand and the digests of days be left, which are not noticed: without a state that a write left,
/// they say nothing of the rows.
async fn forget_unfounded(transaction: &Transaction<'_>, month: YearMonth) -> Result<(), WriteError> {
    let year_month = month.to_string();
    let forgotten =
        transaction.execute_typed(sql!("signals.forget_unfounded"), &[(&year_month, Type::TEXT)]).await;
    forgotten.map(|_| ()).map_err(refused("read what is known of the month"))
}

/// Digests of the days that were written.
async fn known_days(
    transaction: &Transaction<'_>,
    month: YearMonth,
) -> Result<BTreeMap<(Which, NaiveDate), String>, WriteError> {
    let year_month = month.to_string();
    let rows = transaction.query_typed(sql!("signals.days"), &[(&year_month, Type::TEXT)]).await;
    let known = |row: &Row| -> Result<_, tokio_postgres::Error> {
        let table: &str = row.try_get("table_name")?;
        let which = if table == Which::Ranking.name() { Which::Ranking } else { Which::Composite };
        Ok(((which, row.try_get("date")?), row.try_get("digest")?))
    };
    let rows = rows.and_then(|rows| rows.iter().map(known).collect());
    rows.map_err(refused("read what is known of the days"))
}

/// What must happen to one table.
struct Step {
    changed: Vec<EncodedDay>,
    vanished: Vec<NaiveDate>,
    /// Days whose rows must go first.
    delete: Vec<NaiveDate>,
}

impl Step {
    fn plan(
        which: Which,
        rows: &MonthRows,
        known: &BTreeMap<(Which, NaiveDate), String>,
        force: bool,
    ) -> Self {
        let (month, days) = (rows.month, &rows.of(which).days);
        let known: BTreeMap<NaiveDate, &String> = known
            .iter()
            .filter(|((of, _), _)| *of == which)
            .map(|((_, date), digest)| (*date, digest))
            .collect();
        let changed: Vec<EncodedDay> =
            days.iter().filter(|day| force || known.get(&day.date) != Some(&&day.digest)).cloned().collect();
        let present: BTreeSet<NaiveDate> = days.iter().map(|day| day.date).collect();
        let vanished: Vec<NaiveDate> = known.keys().filter(|date| !present.contains(date)).copied().collect();
        // Rows of a month of which nothing is known may be of any origin.
        let delete = if force || known.is_empty() {
            month.first_day().iter_days().take_while(|date| *date <= month.last_day()).collect()
        } else {
            changed.iter().map(|day| day.date).chain(vanished.iter().copied()).collect()
        };
        Self { changed, vanished, delete }
    }
}

/// Copies the rows of some days, which stand one after the other in `bytes`.
async fn copy(
    transaction: &Transaction<'_>,
    which: Which,
    bytes: &Bytes,
    days: &[EncodedDay],
) -> Result<(), WriteError> {
    if days.is_empty() {
        return Ok(());
    }
    let statement = match which {
        Which::Ranking => sql!("signals.copy_ranking"),
        Which::Composite => sql!("signals.copy_composite"),
    };
    let copied = async {
        let sink = transaction.copy_in::<_, Bytes>(statement).await?;
        let mut sink = std::pin::pin!(sink);
        sink.feed(Bytes::from_static(HEADER)).await?;
        for chunk in chunks(bytes, days) {
            sink.feed(chunk).await?;
        }
        sink.feed(Bytes::from_static(TRAILER)).await?;
        sink.finish().await
    };
    copied.await.map(|_| ()).map_err(refused("copy the rows"))
}

/// The bytes of some days in pieces of the size of a message; days that stand side by side share them.
fn chunks(bytes: &Bytes, days: &[EncodedDay]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for days in days.chunk_by(|day, next| day.range.end == next.range.start) {
        let (Some(first), Some(last)) = (days.first(), days.last()) else { continue };
        let (start, end) = (first.range.start, last.range.end);
        chunks.extend((start..end).step_by(CHUNK).map(|at| bytes.slice(at..end.min(at + CHUNK))));
    }
    chunks
}

async fn forget_days(
    transaction: &Transaction<'_>,
    month: YearMonth,
    which: Which,
    days: &[NaiveDate],
) -> Result<(), WriteError> {
    if days.is_empty() {
        return Ok(());
    }
    let (year_month, table) = (month.to_string(), which.name());
    let params: [Param<'_>; 3] = [(&year_month, Type::TEXT), (&table, Type::TEXT), (&days, Type::DATE_ARRAY)];
    let forgotten = transaction.execute_typed(sql!("signals.forget_days"), &params).await;
    forgotten.map(|_| ()).map_err(refused("forget vanished days"))
}

async fn note_days(
    transaction: &Transaction<'_>,
    month: YearMonth,
    which: Which,
    days: &[EncodedDay],
) -> Result<(), WriteError> {
    if days.is_empty() {
        return Ok(());
    }
    let (year_month, table) = (month.to_string(), which.name());
    let dates: Vec<NaiveDate> = days.iter().map(|day| day.date).collect();
    let digests: Vec<&str> = days.iter().map(|day| day.digest.as_str()).collect();
    let rows: Vec<i32> = days.iter().map(|day| day.rows).collect();
    let params: [Param<'_>; 5] = [
        (&year_month, Type::TEXT),
        (&table, Type::TEXT),
        (&dates, Type::DATE_ARRAY),
        (&digests, Type::TEXT_ARRAY),
        (&rows, Type::INT4_ARRAY),
    ];
    let noted = transaction.execute_typed(sql!("signals.note_days"), &params).await;
    noted.map(|_| ()).map_err(refused("note the days"))
}

async fn verify(transaction: &Transaction<'_>, rows: &MonthRows) -> Result<(), WriteError> {
    let (first, last) = (rows.month.first_day(), rows.month.last_day());
    let params: [Param<'_>; 2] = [(&first, Type::DATE), (&last, Type::DATE)];
    let counted = transaction.query_typed_one(sql!("signals.count"), &params).await;
    let counted = counted.map_err(refused("count the rows"))?;
    for (which, column) in [(Which::Ranking, "signals_rows"), (Which::Composite, "composite_rows")] {
        let found: i64 = counted.try_get(column).map_err(refused("count the rows"))?;
        let expected = i64::from(rows.of(which).rows());
        if found != expected {
            return Err(WriteError::Counts { table: which.name(), found, expected });
        }
    }
    Ok(())
}

async fn read_ranking(transaction: &Transaction<'_>, month: YearMonth) -> Result<Encoded, WriteError> {
    let read = async {
        let (first, last) = (month.first_day(), month.last_day());
        let params: [Param<'_>; 2] = [(&first, Type::DATE), (&last, Type::DATE)];
        let rows = transaction.query_typed_raw(sql!("signals.read_ranking"), params).await?;
        let mut rows = std::pin::pin!(rows);
        let mut encoder = Encoder::default();
        while let Some(row) = rows.try_next().await? {
            encoder.ranking(RankingRow {
                year_month: row.try_get("year_month")?,
                symbol: row.try_get("symbol")?,
                strategy: row.try_get("strategy")?,
                signal: RankingSignal {
                    day: row.try_get::<_, NaiveDate>("date")?.to_epoch_days(),
                    symbol: 0,
                    strategy: 0,
                    rank: row.try_get("rank")?,
                    rank_percentile: row.try_get("rank_percentile")?,
                    n_symbols: row.try_get("n_symbols")?,
                    score: row.try_get("score")?,
                },
            });
        }
        Ok::<_, tokio_postgres::Error>(encoder.finish())
    };
    read.await.map_err(refused("read the rows"))
}

async fn read_composite(transaction: &Transaction<'_>, month: YearMonth) -> Result<Encoded, WriteError> {
    let read = async {
        let (first, last) = (month.first_day(), month.last_day());
        let params: [Param<'_>; 2] = [(&first, Type::DATE), (&last, Type::DATE)];
        let rows = transaction.query_typed_raw(sql!("signals.read_composite"), params).await?;
        let mut rows = std::pin::pin!(rows);
        let mut encoder = Encoder::default();
        while let Some(row) = rows.try_next().await? {
            encoder.composite(CompositeRow {
                year_month: row.try_get("year_month")?,
                symbol: row.try_get("symbol")?,
                signal: CompositeSignal {
                    day: row.try_get::<_, NaiveDate>("date")?.to_epoch_days(),
                    symbol: 0,
                    composite_percentile: row.try_get("composite_percentile")?,
                    composite_rank: row.try_get("composite_rank")?,
                    strategies_present: row.try_get("strategies_present")?,
                    strategies_hit: row.try_get("strategies_hit")?,
                },
            });
        }
        Ok::<_, tokio_postgres::Error>(encoder.finish())
    };
    read.await.map_err(refused("read the rows"))
}
