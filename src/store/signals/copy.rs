//! Signals in the binary form of Postgres' COPY, day by day in the order of their keys. The digest of a day's bytes
//! says whether the day changed, wherever and in whatever files its rows lie.

use std::ops::Range;

use crate::digest::sha256_hex;
use bytes::Bytes;
use chrono::NaiveDate;

use crate::signal::{CompositeSignal, RankingSignal, Signals, YearMonth};

/// What a COPY stream begins with: signature, flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with.
pub const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Days from 1970-01-01 to 2000-01-01, where Postgres begins to count.
const EPOCH: i32 = 10_957;

/// Rows of one table, encoded.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// The rows, without header and trailer.
    pub bytes: Bytes,
    /// Where each day lies, oldest first.
    pub days: Vec<EncodedDay>,
}

/// The rows of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedDay {
    /// The day.
    pub date: NaiveDate,
    /// Its part of the bytes.
    pub range: Range<usize>,
    /// SHA-256 of that part, in hex.
    pub digest: String,
    /// Rows of the month.
    pub rows: i32,
}

impl Encoded {
    /// Rows of all days.
    pub fn rows(&self) -> i32 {
        self.days.iter().map(|day| day.rows).sum()
    }

    /// Whether the same rows stand in both.
    pub fn equals(&self, other: &Self) -> bool {
        let digest = |day: &EncodedDay| (day.date, day.digest.clone());
        self.days.iter().map(digest).eq(other.days.iter().map(digest))
    }
}

/// Encodes rows one by one; those of a day come together.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    days: Vec<EncodedDay>,
    /// The day that is being written, where it began, and its rows.
    day: Option<(i32, usize, i32)>,
}

/// A row of `ranking.ranking_signal`.
#[derive(Debug, Clone, Copy)]
pub struct RankingRow<'a> {
    /// Month of the row, as it is stored.
    pub year_month: &'a str,
    /// Name of the symbol.
    pub symbol: &'a str,
    /// Name of the strategy.
    pub strategy: &'a str,
    /// The numbers; its indices do not count.
    pub signal: RankingSignal,
}

/// A row of `ranking.composite_signal_daily`.
#[derive(Debug, Clone, Copy)]
pub struct CompositeRow<'a> {
    /// Month of the row, as it is stored.
    pub year_month: &'a str,
    /// Name of the symbol.
    pub symbol: &'a str,
    /// The numbers; its index does not count.
    pub signal: CompositeSignal,
}

impl Encoder {
    /// Adds a row.
    pub fn ranking(&mut self, row: RankingRow<'_>) {
        let signal = row.signal;
        self.begin(signal.day, 8);
        self.field(&(signal.day - EPOCH).to_be_bytes());
        self.field(row.year_month.as_bytes());
        self.field(row.symbol.as_bytes());
        self.field(row.strategy.as_bytes());
        self.field(&signal.rank.to_be_bytes());
        self.field(&signal.rank_percentile.to_be_bytes());
        self.field(&signal.n_symbols.to_be_bytes());
        match signal.score {
            Some(score) => self.field(&score.to_be_bytes()),
            None => self.bytes.extend((-1_i32).to_be_bytes()),
        }
    }

    /// Adds a row.
    pub fn composite(&mut self, row: CompositeRow<'_>) {
        let signal = row.signal;
        self.begin(signal.day, 7);
        self.field(&(signal.day - EPOCH).to_be_bytes());
        self.field(row.year_month.as_bytes());
        self.field(row.symbol.as_bytes());
        self.field(&signal.composite_percentile.to_be_bytes());
        self.field(&signal.composite_rank.to_be_bytes());
        self.field(&signal.strategies_present.to_be_bytes());
        self.field(&signal.strategies_hit.to_be_bytes());
    }

    /// The rows so far.
    pub fn finish(mut self) -> Encoded {
        self.end_day();
        Encoded { bytes: self.bytes.into(), days: self.days }
    }

    fn begin(&mut self, day: i32, fields: i16) {
        match &mut self.day {
            Some((open, _, rows)) if *open == day => *rows += 1,
            _ => {
                self.end_day();
                self.day = Some((day, self.bytes.len(), 1));
            }
        }
        self.bytes.extend(fields.to_be_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        // A text of 2 GiB does not come this far.
        self.bytes.extend((bytes.len() as i32).to_be_bytes());
        self.bytes.extend(bytes);
    }

    fn end_day(&mut self) {
        let Some((day, start, rows)) = self.day.take() else { return };
        let range = start..self.bytes.len();
        let digest = sha256_hex(&self.bytes[range.clone()]);
        let date = NaiveDate::from_epoch_days(day).unwrap_or_default();
        self.days.push(EncodedDay { date, range, digest, rows });
    }
}

/// The signals of a month as the rows of both tables.
pub fn encode(month: YearMonth, signals: &Signals) -> (Encoded, Encoded) {
    let year_month = month.to_string();
    let symbol = |index: u32| signals.symbols[index as usize].as_str();
    let mut ranking = Encoder::default();
    ranking.bytes.reserve(signals.ranking.len() * 96);
    for signal in &signals.ranking {
        let strategy = &signals.strategies[signal.strategy as usize];
        ranking.ranking(RankingRow {
            year_month: &year_month,
            symbol: symbol(signal.symbol),
            strategy,
            signal: *signal,
        });
    }
    let mut in_key_order: Vec<&CompositeSignal> = signals.composite.iter().collect();
    in_key_order.sort_by_key(|signal| (signal.day, signal.symbol));
    let mut composite = Encoder::default();
    for signal in in_key_order {
        composite.composite(CompositeRow {
            year_month: &year_month,
            symbol: symbol(signal.symbol),
            signal: *signal,
        });
    }
    (ranking.finish(), composite.finish())
}
