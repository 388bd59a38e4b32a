//! The half of Postgres, for readers: what is known of each month, and the rows as they are served. Who writes them is
//! in `writer`.

use chrono::NaiveDate;
use futures_util::TryStreamExt;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;
use tokio_postgres::{IsolationLevel, Row};

use super::sql;
use super::writer::Writer;
use crate::clock::Timestamp;
use crate::store::groups;
use crate::store::pg::{self, Param, PgError, Pool};

/// The tables `ranking.*` of a database.
#[derive(Debug, Clone)]
pub struct PostgresSignals {
    pool: Pool,
}

/// What is known of a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncState {
    /// `YYYY-MM`.
    pub year_month: String,
    /// `ok`, `failed`, or `drift`: rows were changed by hand.
    pub status: String,
    /// Why not.
    pub error: Option<String>,
    /// Last attempt.
    pub synced_at: Timestamp,
    /// Last success.
    pub last_ok_at: Option<Timestamp>,
    /// Failures since the last success.
    pub attempts: i32,
    /// Rows of the month.
    pub signals_rows: i32,
    /// Rows of the month.
    pub composite_rows: i32,
    /// Version of the Delta table of ranking signals that was written last.
    pub delta_version: Option<i64>,
    /// Version of the Delta table of composites that was written last.
    pub composite_version: Option<i64>,
    /// Digest of the Delta files that were written last.
    pub files_digest: Option<String>,
    /// Rows that the last write took.
    pub rows_written: Option<i32>,
    /// Days that the last write took.
    pub days_replaced: Option<i32>,
    /// Time that the last write took.
    pub duration_ms: Option<i64>,
}

impl SyncState {
    /// Whether Postgres holds the rows of the files with this digest.
    pub fn holds(&self, files_digest: &str) -> bool {
        self.status == "ok" && self.files_digest.as_deref() == Some(files_digest)
    }
}

impl PostgresSignals {
    /// Signals in the database of `pool`, which others may use too.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// What is known of each month, newest first.
    pub async fn states(&self) -> Result<Vec<SyncState>, PgError> {
        states(&self.pool).await
    }

    /// The same for the sync that brings months up to date.
    pub async fn states_to_sync(&self) -> Result<Vec<SyncState>, PgError> {
        states(&self.pool.for_group(groups::SIGNAL_SYNC)).await
    }

    /// Someone who writes months.
    pub fn writer(&self) -> Writer {
        Writer::new(self.pool.for_group(groups::SIGNAL_SYNC))
    }

    /// Composites of a day, the newest without one, best first.
    pub async fn composites(
        &self,
        date: Option<NaiveDate>,
        symbols: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<Composite>, PgError> {
        let params: [Param<'_>; 3] =
            [(&date, Type::DATE), (&symbols, Type::TEXT_ARRAY), (&limit, Type::INT8)];
        let rows = pg::query(&self.pool, sql!("signals.list_composite"), &params).await?;
        rows.iter().map(|row| Composite::of(row).map_err(PgError::from)).collect()
    }

    /// Ranking signals of a day, the newest without one, by strategy and rank.
    pub async fn rankings(
        &self,
        date: Option<NaiveDate>,
        symbols: Option<&[String]>,
        strategies: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<Ranking>, PgError> {
        let params: [Param<'_>; 4] = [
            (&date, Type::DATE),
            (&symbols, Type::TEXT_ARRAY),
            (&strategies, Type::TEXT_ARRAY),
            (&limit, Type::INT8),
        ];
        let rows = pg::query(&self.pool, sql!("signals.list_ranking"), &params).await?;
        rows.iter().map(|row| Ranking::of(row).map_err(PgError::from)).collect()
    }

    /// Hands over the composites of a window in order of date and rank, then the percentiles of its strategies in order
    /// of date, strategy and symbol, and answers a digest of all of them: equal digests mean equal rows.
    pub async fn window(
        &self,
        window: &Window<'_>,
        each: &mut (dyn FnMut(Served) + Send),
    ) -> Result<String, PgError> {
        let pool = self.pool.for_group(groups::EXECUTOR);
        let refused = |error| pool.classed(error);
        let mut lent = pg::lend(&pool).await?;
        let snapshot = lent
            .client()
            .build_transaction()
            .read_only(true)
            .isolation_level(IsolationLevel::RepeatableRead)
            .start()
            .await
            .map_err(refused)?;
        snapshot.batch_execute(pg::AT_LEISURE).await.map_err(refused)?;
        // Of the rows themselves: what was noted when they were written says nothing of a change by hand.
        let mut digest = Sha256::new();
        let Window { first, last, symbols, strategies } = window;
        let params: [Param<'_>; 3] = [(first, Type::DATE), (last, Type::DATE), (symbols, Type::TEXT_ARRAY)];
        let rows = snapshot.query_typed_raw(sql!("signals.window"), params).await.map_err(refused)?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(refused)? {
            let row = Composite::of(&row)?;
            row.add_to(&mut digest);
            each(Served::Composite(row));
        }
        if strategies.is_none_or(|strategies| !strategies.is_empty()) {
            let params: [Param<'_>; 4] = [
                (first, Type::DATE),
                (last, Type::DATE),
                (symbols, Type::TEXT_ARRAY),
                (strategies, Type::TEXT_ARRAY),
            ];
            let rows =
                snapshot.query_typed_raw(sql!("signals.window_ranking"), params).await.map_err(refused)?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = rows.try_next().await.map_err(refused)? {
                let row = Percentile::of(&row)?;
                row.add_to(&mut digest);
                each(Served::Percentile(row));
            }
        }
        snapshot.commit().await.map_err(refused)?;
        lent.give_back();
        Ok(format!("{:x}", digest.finalize()))
    }
}

/// What is known of each month, newest first.
async fn states(pool: &Pool) -> Result<Vec<SyncState>, PgError> {
    let every: Option<&str> = None;
    let rows = pg::query(pool, sql!("signals.states"), &[(&every, Type::TEXT)]).await?;
    rows.iter().map(|row| state_of(row).map_err(PgError::from)).collect()
}

/// What is read for a backtest.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// First day.
    pub first: NaiveDate,
    /// Last day.
    pub last: NaiveDate,
    /// Only these symbols; `None` means all.
    pub symbols: Option<&'a [String]>,
    /// Percentiles of these strategies too; `None` means all.
    pub strategies: Option<&'a [String]>,
}

/// A row that was read for a backtest.
#[derive(Debug, Clone, PartialEq)]
pub enum Served {
    /// A row of `composite_signal_daily`.
    Composite(Composite),
    /// A row of `ranking_signal`.
    Percentile(Percentile),
}

/// Adds a text so that it cannot run into the next one.
fn add_text(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text);
}

/// The percentile of a symbol among those that a strategy ranks on a day.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the table, under their names")]
pub struct Percentile {
    pub date: NaiveDate,
    pub symbol: String,
    pub strategy: String,
    pub rank_percentile: f64,
}

impl Percentile {
    fn add_to(&self, digest: &mut Sha256) {
        digest.update(self.date.to_epoch_days().to_le_bytes());
        add_text(digest, &self.symbol);
        add_text(digest, &self.strategy);
        digest.update(self.rank_percentile.to_le_bytes());
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            date: row.try_get("date")?,
            symbol: row.try_get("symbol")?,
            strategy: row.try_get("strategy")?,
            rank_percentile: row.try_get("rank_percentile")?,
        })
    }
}

/// A row as it is served.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = CompositeSignal)]
#[expect(missing_docs, reason = "the columns of the table, under their names")]
pub struct Composite {
    pub date: NaiveDate,
    pub symbol: String,
    pub composite_percentile: f64,
    pub composite_rank: i32,
    pub strategies_present: i32,
    pub strategies_hit: i32,
}

impl Composite {
    fn add_to(&self, digest: &mut Sha256) {
        digest.update(self.date.to_epoch_days().to_le_bytes());
        add_text(digest, &self.symbol);
        digest.update(self.composite_percentile.to_le_bytes());
        for number in [self.composite_rank, self.strategies_present, self.strategies_hit] {
            digest.update(number.to_le_bytes());
        }
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            date: row.try_get("date")?,
            symbol: row.try_get("symbol")?,
            composite_percentile: row.try_get("composite_percentile")?,
            composite_rank: row.try_get("composite_rank")?,
            strategies_present: row.try_get("strategies_present")?,
            strategies_hit: row.try_get("strategies_hit")?,
        })
    }
}

/// A row as it is served.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = RankingSignal)]
#[expect(missing_docs, reason = "the columns of the table, under their names")]
pub struct Ranking {
    pub date: NaiveDate,
    pub symbol: String,
    pub strategy: String,
    pub rank: i32,
    pub rank_percentile: f64,
    pub n_symbols: i32,
    pub score: Option<f64>,
}

impl Ranking {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            date: row.try_get("date")?,
            symbol: row.try_get("symbol")?,
            strategy: row.try_get("strategy")?,
            rank: row.try_get("rank")?,
            rank_percentile: row.try_get("rank_percentile")?,
            n_symbols: row.try_get("n_symbols")?,
            score: row.try_get("score")?,
        })
    }
}

fn state_of(row: &Row) -> Result<SyncState, tokio_postgres::Error> {
    Ok(SyncState {
        year_month: row.try_get("year_month")?,
        status: row.try_get("status")?,
        error: row.try_get("error")?,
        synced_at: row.try_get("synced_at")?,
        last_ok_at: row.try_get("last_ok_at")?,
        attempts: row.try_get("attempts")?,
        signals_rows: row.try_get("signals_rows")?,
        composite_rows: row.try_get("composite_rows")?,
        delta_version: row.try_get("delta_version")?,
        composite_version: row.try_get("composite_version")?,
        files_digest: row.try_get("files_digest")?,
        rows_written: row.try_get("rows_written")?,
        days_replaced: row.try_get("days_replaced")?,
        duration_ms: row.try_get("duration_ms")?,
    })
}
