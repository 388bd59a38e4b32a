//! The lake's half: rankings as they are found, and the two tables of signals, written month by month. The source of
//! a month's rows is noted with its files, so that the log alone tells which months are behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayRef, Date32Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use super::monthly::LakeError;
use super::monthly::{
    Cells, Monthly, batch, content, digest, doubles, each_batch, longs, named, number, required, texts,
};
use crate::signal::{
    CompositeSignal, MonthSignals, Ranked, RankingSignal, Rankings, SignalCells, Signals, YearMonth, in_order,
};
use crate::store::dates;
use crate::store::delta::{DataFile, Layout, Location, StorageOptions, Table, TableError};
use crate::store::names::Names;
use crate::store::numbers;
use crate::store::parquet::{self, ParquetFile, Selection};

/// Table of rankings below the lake root.
pub const RANKINGS: &str = "platinum/rankings";
/// Table of ranking signals below the lake root.
pub const RANKING_SIGNALS: &str = "platinum/signals/ranking_signals";
/// Table of composites below the lake root.
pub const COMPOSITES: &str = "platinum/signals/daily";

/// What the tables of signals say of themselves when they are made here.
const COMMENT: &str = "ranking signals";

/// What the table of rankings says of itself when it is made here; then it is kept up to date here, too.
/// A number follows when what its signals mean has changed: rows of two meanings do not stand in one table.
const FROM_PRICES: &str = "rankings from prices, 2";

/// The same of tables that were made before, by other meanings of the same names.
const FROM_PRICES_BEFORE: [&str; 1] = ["rankings from prices"];

/// What ends the stamp of ranking signals of a month in which every strategy weighs nothing.
const NO_COMPOSITES: &str = " without composites";

/// The tables of a lake that signals are about.
#[derive(Debug, Clone)]
pub struct SignalLake {
    root: Location,
    options: StorageOptions,
}

/// What the logs of the three tables said when they were opened.
pub struct LakeView {
    lake: SignalLake,
    /// `None` when the lake has no such table.
    rankings: Option<Vec<DataFile>>,
    /// Months between the first and the last date of a file of which no file has a row.
    without_rows: BTreeSet<YearMonth>,
    maker: Maker,
    ranking_signals: Monthly,
    composites: Monthly,
}

/// Who made a table of rankings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Not this program, as far as the table says.
    Unknown,
    /// This program, from prices.
    Here,
    /// This program, from prices, when its signals still meant something else.
    HereBefore,
}

impl Maker {
    fn of(comment: Option<&str>) -> Self {
        match comment {
            Some(FROM_PRICES) => Self::Here,
            Some(comment) if FROM_PRICES_BEFORE.contains(&comment) => Self::HereBefore,
            _ => Self::Unknown,
        }
    }
}

/// What the lake holds of the signals of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Digest of the files of both tables; the same files hold the same rows.
    pub files_digest: String,
    /// What the rows were made from, when both tables say the same.
    pub stamp: Option<String>,
}

impl SignalLake {
    /// The tables below `root`.
    pub fn new(root: Location, options: StorageOptions) -> Self {
        Self { root, options }
    }

    async fn open(&self, name: &str) -> Result<Option<Table>, TableError> {
        Table::open(&self.root.join(name), &self.options).await
    }

    /// Its root, and what opens it.
    pub(super) fn at(&self) -> (&Location, &StorageOptions) {
        (&self.root, &self.options)
    }

    /// The lake, for messages.
    pub fn place(&self) -> String {
        self.root.to_string()
    }

    /// Looks at the newest versions. No data file is opened, unless a log lacks statistics of its dates, or a file of
    /// rankings covers months that have no signals.
    pub fn look(&self) -> BoxFuture<'_, Result<LakeView, LakeError>> {
        // Boxed, because the compiler loses sight of lifetimes when this is awaited in the midst of other borrows.
        self.looked().boxed()
    }

    async fn looked(&self) -> Result<LakeView, LakeError> {
        if let Location::Local(folder) = &self.root
            && !folder.is_dir()
        {
            return Err(LakeError::NoFolder(folder.display().to_string()));
        }
        let (rankings, ranking_signals, composites) =
            tokio::join!(self.open(RANKINGS), self.open(RANKING_SIGNALS), self.open(COMPOSITES));
        let (rankings, maker) = match rankings? {
            Some(table) => {
                (Some(dated(table.data_files("date").await?).await?), Maker::of(table.comment().as_deref()))
            }
            None => (None, Maker::Unknown),
        };
        let mut view = LakeView {
            lake: self.clone(),
            rankings,
            without_rows: BTreeSet::new(),
            maker,
            ranking_signals: Monthly::new(RANKING_SIGNALS, COMMENT, ranking_signals?).await?,
            composites: Monthly::new(COMPOSITES, COMMENT, composites?).await?,
        };
        view.without_rows = view.find_without_rows().await;
        Ok(view)
    }
}

/// Rankings made from prices, a block of days for each commit.
pub struct RankingsTable {
    table: Table,
    schema: SchemaRef,
    replace: bool,
}

/// The table of rankings as it is made here.
fn rankings_layout(schema: &SchemaRef) -> Layout<'_> {
    Layout { schema, partition_columns: &["strategy"], comment: FROM_PRICES }
}

/// Rankings of one strategy over some days; parallel columns.
#[derive(Debug, Clone, Default)]
pub struct RankedDays {
    /// Days since 1970-01-01.
    pub day: Vec<i32>,
    /// Index of the symbol.
    pub symbol: Vec<u32>,
    /// 1 is the best.
    pub rank: Vec<i32>,
    /// What was ranked by.
    pub score: Vec<f64>,
}

impl SignalLake {
    /// The table of rankings, to be written; it is made if there is none. With `replace` the first block takes the
    /// place of everything.
    pub async fn rankings_table(&self, replace: bool) -> Result<RankingsTable, LakeError> {
        let place = self.root.join(RANKINGS);
        let fields = [
            ("date", DataType::Date32),
            ("strategy", DataType::Utf8),
            ("symbol", DataType::Utf8),
            ("rank", DataType::Int64),
            ("score", DataType::Float64),
            ("meta", DataType::Utf8),
        ];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let table = match Table::open(&place, &self.options).await? {
            Some(table) => table,
            None => Table::create(&place, &self.options, rankings_layout(&schema)).await?,
        };
        Ok(RankingsTable { table, schema, replace })
    }
}

impl RankingsTable {
    /// Adds a block as one commit.
    pub async fn add(&mut self, symbols: &[String], block: &[(&str, RankedDays)]) -> Result<(), LakeError> {
        let batches = block.iter().map(|(strategy, days)| {
            let names = days.symbol.iter().map(|&symbol| symbols[symbol as usize].as_str());
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("date", Arc::new(Date32Array::from(days.day.clone()))),
                ("strategy", texts(days.day.iter().map(|_| *strategy))),
                ("symbol", texts(names)),
                ("rank", longs(days.rank.iter().copied())),
                ("score", doubles(days.score.iter().map(|score| Some(*score)))),
                ("meta", Arc::new(StringArray::new_null(days.day.len()))),
            ];
            named(columns)
        });
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(content(RANKINGS))?;
        if std::mem::take(&mut self.replace) {
            self.table.replace(batches, rankings_layout(&self.schema)).await?;
        } else {
            self.table.append(&batches).await?;
        }
        Ok(())
    }
}

/// Files with the dates that are in them. Where the log does not say, the file does.
///
/// # Errors
/// When there are rows, and of none of them the date can be read.
async fn dated(mut files: Vec<DataFile>) -> Result<Vec<DataFile>, LakeError> {
    let mut unreadable = 0;
    for file in files.iter_mut().filter(|file| file.dates.is_none()) {
        let found = dates_in(&file.file).await?;
        file.dates = found.dates;
        unreadable += found.unreadable;
        if found.unreadable > 0 {
            let (rows, path) = (found.unreadable, &file.file.path);
            tracing::warn!("left out {rows} rows of {path}: their date cannot be read");
        }
    }
    if unreadable > 0 && files.iter().all(|file| file.dates.is_none()) {
        let what = format!("no date of its {unreadable} rows can be read");
        return Err(LakeError::Content { table: RANKINGS, what });
    }
    Ok(files)
}

/// What the rows of a file of rankings say of their dates.
#[derive(Default)]
struct FoundDates {
    /// First and last.
    dates: Option<(NaiveDate, NaiveDate)>,
    months: BTreeSet<YearMonth>,
    /// Rows without one.
    unreadable: usize,
}

async fn dates_in(file: &ParquetFile) -> Result<FoundDates, LakeError> {
    let selection = Selection { columns: Some(vec!["date".to_owned()]), dates: None };
    let mut found = FoundDates::default();
    let mut batches = parquet::scan(vec![file.clone()], selection);
    while let Some(batch) = batches.recv().await {
        let batch = batch.map_err(|source| LakeError::Read { table: RANKINGS, source })?;
        let column = required(RANKINGS, &batch, "date")?;
        let days = dates::days(Arc::clone(column)).map_err(content(RANKINGS))?;
        let mut last = None;
        for day in &days {
            // Rows mostly come day by day.
            if day.is_some() && day == last {
                continue;
            }
            last = day;
            let date = day.and_then(NaiveDate::from_epoch_days);
            match (date, day.and_then(YearMonth::of_day)) {
                (Some(date), Some(month)) => {
                    found.months.insert(month);
                    let known = found.dates.unwrap_or((date, date));
                    found.dates = Some((known.0.min(date), known.1.max(date)));
                }
                _ => found.unreadable += 1,
            }
        }
    }
    Ok(found)
}

/// Months from the first to the last date of a file.
fn months_of(file: &DataFile) -> impl Iterator<Item = YearMonth> + use<> {
    file.dates.into_iter().flat_map(|(first, last)| YearMonth::between(first, last))
}

impl LakeView {
    /// Whether there is a table of rankings.
    pub fn has_rankings(&self) -> bool {
        self.rankings.is_some()
    }

    /// Whether there is no table at all that signals are about.
    pub fn is_empty(&self) -> bool {
        self.rankings.is_none() && self.ranking_signals.table.is_none() && self.composites.table.is_none()
    }

    /// Who made the rankings.
    pub fn maker(&self) -> Maker {
        self.maker
    }

    /// Date of the newest rankings.
    pub fn last_ranked(&self) -> Option<NaiveDate> {
        self.rankings.iter().flatten().filter_map(|file| file.dates).map(|(_, last)| last).max()
    }

    /// Months that may have rankings, with a digest of the files that may hold them.
    pub fn rankings(&self) -> BTreeMap<YearMonth, String> {
        let mut months: BTreeMap<YearMonth, Vec<&DataFile>> = BTreeMap::new();
        for file in self.rankings.iter().flatten() {
            for month in months_of(file).filter(|month| !self.without_rows.contains(month)) {
                months.entry(month).or_default().push(file);
            }
        }
        months
            .into_iter()
            .map(|(month, files)| (month, digest(files.into_iter().map(|file| ("", file)))))
            .collect()
    }

    /// Months that lie between the dates of a file and have no row. Only of months without signals is that asked: they
    /// would be behind for ever.
    async fn find_without_rows(&self) -> BTreeSet<YearMonth> {
        let files = self.rankings.as_deref().unwrap_or_default();
        let mut months: BTreeSet<YearMonth> = files.iter().flat_map(months_of).collect();
        months.retain(|month| self.signals_of(*month).is_none());
        for file in files {
            if months_of(file).count() == 1 {
                // Its first date is a row's.
                months.retain(|month| !months_of(file).any(|of_file| of_file == *month));
            } else if months_of(file).any(|month| months.contains(&month)) {
                // A file that cannot be read is named when its months are made.
                let in_file = dates_in(&file.file)
                    .await
                    .map_or_else(|_| months_of(file).collect(), |found| found.months);
                months.retain(|month| !in_file.contains(month));
            }
        }
        months
    }

    /// Months of signals.
    pub fn signals(&self) -> BTreeMap<YearMonth, Held> {
        let months = self.ranking_signals.files.keys().chain(self.composites.files.keys());
        months.map(|&month| (month, self.held(month))).collect()
    }

    /// What is held of one month; `None` when there is nothing.
    pub fn signals_of(&self, month: YearMonth) -> Option<Held> {
        let both = [&self.ranking_signals, &self.composites];
        both.iter().any(|table| !table.of(month).is_empty()).then(|| self.held(month))
    }

    /// What is held of one month, which may be nothing.
    pub fn held(&self, month: YearMonth) -> Held {
        let both = [&self.ranking_signals, &self.composites];
        let files = both.iter().flat_map(|table| table.of(month).iter().map(|file| (table.name, file)));
        let (ranking, composite) = (self.ranking_signals.stamp(month), self.composites.stamp(month));
        let stamp = match (ranking, self.composites.of(month)) {
            // Lost files are no reason to believe that there were none.
            (Some(ranking), []) => ranking.strip_suffix(NO_COMPOSITES).map(str::to_owned),
            (ranking, _) => ranking.filter(|stamp| composite.as_ref() == Some(stamp)),
        };
        Held { files_digest: digest(files), stamp }
    }

    /// Versions of the tables of ranking signals and of composites; 0 where there is none.
    pub fn versions(&self) -> (i64, i64) {
        (self.ranking_signals.version(), self.composites.version())
    }

    /// The rankings of files that may hold some of `month`, in the order in which the files were written.
    pub async fn read_rankings(&self, month: YearMonth) -> Result<Rankings, LakeError> {
        let may_hold = |file: &&DataFile| {
            file.dates.is_some_and(|(first, last)| first <= month.last_day() && last >= month.first_day())
        };
        let files = self.rankings.iter().flatten();
        let files = files.filter(may_hold).map(|file| file.file.clone()).collect();
        read_rankings(files, Some((month.first_day(), month.last_day()))).await
    }

    /// The signals of a month, in order of their keys; empty when there are none.
    pub async fn read_signals(&self, month: YearMonth) -> Result<Signals, LakeError> {
        let ranking = self.ranking_signals.of(month).iter().map(|file| file.file.clone()).collect();
        let composite = self.composites.of(month).iter().map(|file| file.file.clone()).collect();
        read_signals(month, ranking, composite).await
    }

    /// Months of ranking signals, with a digest of their files.
    pub fn ranking_signals(&self) -> BTreeMap<YearMonth, String> {
        let months = self.ranking_signals.files.iter();
        months.map(|(&month, files)| (month, digest(files.iter().map(|file| ("", file))))).collect()
    }

    /// The percentiles of a month by strategy; nothing where there are none.
    pub async fn read_percentiles(&self, month: YearMonth) -> Result<MonthSignals, LakeError> {
        let files = self.ranking_signals.of(month).iter().map(|file| file.file.clone()).collect();
        let (mut symbols, mut strategies) = (Names::default(), Names::default());
        let mut cells: Vec<SignalCells> = Vec::new();
        let columns = ["date", "symbol", "strategy", "rank_percentile"];
        each_batch(RANKING_SIGNALS, files, &columns, None, |batch| {
            let rows = Cells { table: RANKING_SIGNALS, month, batch };
            let (day, value) = (rows.days("date")?, rows.percentiles("rank_percentile")?);
            let symbol = rows.names("symbol", &mut symbols)?;
            let strategy = rows.names("strategy", &mut strategies)?;
            cells.resize_with(strategies.names.len(), SignalCells::default);
            for row in 0..batch.num_rows() {
                cells[strategy[row] as usize].push(day[row], symbol[row], value[row]);
            }
            Ok(())
        })
        .await?;
        let by_strategy = strategies.names.into_iter().zip(cells).collect();
        Ok(MonthSignals { symbols: Arc::new(symbols.names), by_strategy })
    }

    /// Brings the rows of a month in both tables to `signals`, noting `stamp` as their source; rows that are there
    /// already are not written again. Without rows the month's partition ends empty. Answers whether any were written.
    ///
    /// # Errors
    /// A conflict when another writer commits meanwhile; then this view is out of date.
    pub async fn write(
        &mut self,
        month: YearMonth,
        signals: &Signals,
        stamp: &str,
    ) -> Result<bool, LakeError> {
        // Rows that cannot be read are replaced like others that are not these.
        let old = self.read_signals(month).await.ok().map(|old| super::copy::encode(month, &old));
        let new = super::copy::encode(month, signals);
        let same = |which: fn(&(super::copy::Encoded, super::copy::Encoded)) -> &super::copy::Encoded| {
            old.as_ref().is_some_and(|old| which(old).equals(which(&new)))
        };
        let (same_ranking, same_composite) = (same(|both| &both.0), same(|both| &both.1));
        let SignalLake { root, options } = self.lake.clone();
        let lake = (&root, &options);
        // Ranking signals come last: a month that has them, under the right stamp, has all of it, even no composites.
        let rows = composite_batch(month, signals).map_err(content(COMPOSITES))?;
        let composite = self.composites.bring_to(lake, month, rows, same_composite, stamp).await?;
        let rows = ranking_batch(month, signals).map_err(content(RANKING_SIGNALS))?;
        let ending = if signals.composite.is_empty() { NO_COMPOSITES } else { "" };
        let stamp = &format!("{stamp}{ending}");
        let ranking = self.ranking_signals.bring_to(lake, month, rows, same_ranking, stamp).await?;
        Ok(ranking || composite)
    }
}

/// Rankings of some files. Dates spare what certainly lies outside; rows outside may still come.
pub async fn read_rankings(
    files: Vec<ParquetFile>,
    dates: Option<(NaiveDate, NaiveDate)>,
) -> Result<Rankings, LakeError> {
    let columns = ["date", "symbol", "strategy", "rank", "score"];
    let (mut symbols, mut strategies) = (Names::default(), Names::default());
    let mut rows = Vec::new();
    each_batch(RANKINGS, files, &columns, dates, |batch| {
        let of = |name| required(RANKINGS, batch, name);
        let days = dates::days(Arc::clone(of("date")?)).map_err(content(RANKINGS))?;
        let ranks = numbers::doubles(Arc::clone(of("rank")?)).map_err(content(RANKINGS))?;
        let scores = parquet::column(batch, "score").cloned().map(numbers::doubles).transpose();
        let scores = scores.map_err(content(RANKINGS))?;
        let symbol = symbols.of(of("symbol")?).map_err(content(RANKINGS))?;
        let strategy = strategies.of(of("strategy")?).map_err(content(RANKINGS))?;
        rows.extend((0..batch.num_rows()).map(|row| Ranked {
            day: days.is_valid(row).then(|| days.value(row)),
            symbol: symbol[row],
            strategy: strategy[row],
            rank: number(&ranks, row),
            score: scores.as_ref().map_or(f64::NAN, |scores| number(scores, row)),
        }));
        Ok(())
    })
    .await?;
    Ok(Rankings { symbols: symbols.names, strategies: strategies.names, rows })
}

async fn read_signals(
    month: YearMonth,
    ranking_files: Vec<ParquetFile>,
    composite_files: Vec<ParquetFile>,
) -> Result<Signals, LakeError> {
    let (mut symbols, mut strategies) = (Names::default(), Names::default());
    let (mut ranking, mut composite) = (Vec::new(), Vec::new());
    let columns = ["date", "symbol", "strategy", "rank", "rank_percentile", "n_symbols", "score"];
    each_batch(RANKING_SIGNALS, ranking_files, &columns, None, |batch| {
        let cells = Cells { table: RANKING_SIGNALS, month, batch };
        let (day, rank, n_symbols) =
            (cells.days("date")?, cells.integers("rank")?, cells.integers("n_symbols")?);
        let (percentile, score) = (cells.percentiles("rank_percentile")?, cells.optional("score")?);
        let (symbol, strategy) =
            (cells.names("symbol", &mut symbols)?, cells.names("strategy", &mut strategies)?);
        ranking.extend((0..batch.num_rows()).map(|row| RankingSignal {
            day: day[row],
            symbol: symbol[row],
            strategy: strategy[row],
            rank: rank[row],
            rank_percentile: percentile[row],
            n_symbols: n_symbols[row],
            score: Some(score[row]).filter(|score| score.is_finite()),
        }));
        Ok(())
    })
    .await?;
    let columns =
        ["date", "symbol", "composite_percentile", "composite_rank", "strategies_present", "strategies_hit"];
    each_batch(COMPOSITES, composite_files, &columns, None, |batch| {
        let cells = Cells { table: COMPOSITES, month, batch };
        let (day, symbol) = (cells.days("date")?, cells.names("symbol", &mut symbols)?);
        let (percentile, rank) = (cells.numbers("composite_percentile")?, cells.integers("composite_rank")?);
        let (present, hit) = (cells.integers("strategies_present")?, cells.integers("strategies_hit")?);
        composite.extend((0..batch.num_rows()).map(|row| CompositeSignal {
            day: day[row],
            symbol: symbol[row],
            composite_percentile: percentile[row],
            composite_rank: rank[row],
            strategies_present: present[row],
            strategies_hit: hit[row],
        }));
        Ok(())
    })
    .await?;

    let (symbols, symbol_ids) = in_order(&symbols.names);
    let (strategies, strategy_ids) = in_order(&strategies.names);
    for row in &mut ranking {
        row.symbol = symbol_ids[row.symbol as usize];
        row.strategy = strategy_ids[row.strategy as usize];
    }
    for row in &mut composite {
        row.symbol = symbol_ids[row.symbol as usize];
    }
    ranking.sort_by_key(RankingSignal::key);
    composite.sort_by_key(|row| (row.day, row.composite_rank, row.symbol));
    Ok(Signals { symbols, strategies, ranking, composite })
}

fn ranking_batch(month: YearMonth, signals: &Signals) -> Result<RecordBatch, ArrowError> {
    let rows = &signals.ranking;
    batch(
        month,
        rows.iter().map(|row| row.day).collect(),
        vec![
            ("symbol", texts(rows.iter().map(|row| signals.symbols[row.symbol as usize].as_str()))),
            ("strategy", texts(rows.iter().map(|row| signals.strategies[row.strategy as usize].as_str()))),
            ("rank", longs(rows.iter().map(|row| row.rank))),
            ("rank_percentile", doubles(rows.iter().map(|row| Some(row.rank_percentile)))),
            ("n_symbols", longs(rows.iter().map(|row| row.n_symbols))),
            ("score", doubles(rows.iter().map(|row| row.score))),
        ],
    )
}

fn composite_batch(month: YearMonth, signals: &Signals) -> Result<RecordBatch, ArrowError> {
    let rows = &signals.composite;
    batch(
        month,
        rows.iter().map(|row| row.day).collect(),
        vec![
            ("symbol", texts(rows.iter().map(|row| signals.symbols[row.symbol as usize].as_str()))),
            ("composite_percentile", doubles(rows.iter().map(|row| Some(row.composite_percentile)))),
            ("composite_rank", longs(rows.iter().map(|row| row.composite_rank))),
            ("strategies_present", longs(rows.iter().map(|row| row.strategies_present))),
            ("strategies_hit", longs(rows.iter().map(|row| row.strategies_hit))),
        ],
    )
}
