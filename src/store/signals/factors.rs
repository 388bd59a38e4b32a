//! The table of factor figures: what the signals of each strategy were followed by, a row for each day, strategy, entry and
//! horizon, and a partition for each month. How the figures are made is told in `statistics::factors`, when in
//! `work::factors`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltalake::arrow::array::{Array, Float64Array, Int64Array, RecordBatch};
use deltalake::arrow::error::ArrowError;

use super::lake::{LakeError, SignalLake};
use super::monthly::{Monthly, batch, content, digest, doubles, each_batch, number, required, texts};
use crate::signal::YearMonth;
use crate::statistics::Undefined;
use crate::statistics::factors::{
    FEWEST_SYMBOLS, FactorDay, Followed, InformationCoefficient, Outlook, QUANTILES, QuantileReturn,
    Steadiness,
};
use crate::store::dates;
use crate::store::delta::Table;
use crate::store::names::Names;
use crate::store::numbers;

/// The table below the lake root.
pub const FACTORS: &str = "platinum/signals/factors";

/// What it says of itself.
const COMMENT: &str = "factor figures of ranking signals";

/// Columns by quantile, lowest signals first: its turnover, its symbols, and their return above that of the day.
const REPLACED: [&str; QUANTILES] = ["replaced_1", "replaced_2", "replaced_3", "replaced_4", "replaced_5"];
const SYMBOLS: [&str; QUANTILES] = ["symbols_1", "symbols_2", "symbols_3", "symbols_4", "symbols_5"];
const EXCESS: [&str; QUANTILES] = ["excess_1", "excess_2", "excess_3", "excess_4", "excess_5"];

/// Figures by strategy, days ascending.
pub type Figures = BTreeMap<String, Vec<FactorDay>>;

/// The table as its log had it when it was opened.
pub struct FactorTable {
    lake: SignalLake,
    months: Monthly,
}

impl FactorTable {
    /// Opens the newest version, or none: the first write makes the table.
    pub async fn open(lake: &SignalLake) -> Result<Self, LakeError> {
        let (root, options) = lake.at();
        let table = Table::open(&root.join(FACTORS), options).await?;
        Ok(Self { lake: lake.clone(), months: Monthly::new(FACTORS, COMMENT, table).await? })
    }

    /// Months that are there, and what each was made from, if its files say so.
    pub fn stamps(&self) -> BTreeMap<YearMonth, Option<String>> {
        self.months.files.keys().map(|&month| (month, self.months.stamp(month))).collect()
    }

    /// Names all rows: equal digests mean equal rows.
    pub fn digest(&self) -> String {
        digest(self.months.files.values().flatten().map(|file| ("", file)))
    }

    /// The figures of some months, of one strategy or of all, and the names of all strategies in these months.
    pub async fn read(
        &self,
        strategy: Option<&str>,
        wanted: impl Fn(YearMonth) -> bool + Send,
    ) -> Result<(Figures, BTreeSet<String>), LakeError> {
        let months = self.months.files.iter().filter(|(month, _)| wanted(**month));
        let files = months.flat_map(|(_, files)| files).map(|file| file.file.clone()).collect();
        let mut columns = vec![
            "date",
            "strategy",
            "entry",
            "horizon",
            "signals",
            "priced",
            "covered",
            "rank_autocorrelation",
        ];
        columns.extend(["symbols", "rank_ic", "pearson_ic"]);
        columns.extend(REPLACED.iter().chain(&SYMBOLS).chain(&EXCESS));
        let (mut strategies, mut entries) = (Names::default(), Names::default());
        let mut days: BTreeMap<(u32, i32), FactorDay> = BTreeMap::new();
        each_batch(FACTORS, files, &columns, None, |batch| {
            let rows = Rows::of(batch, &mut strategies, &mut entries)?;
            for row in 0..batch.num_rows() {
                let (Some(id), Some(entry), Some(day)) = (rows.strategy[row], rows.entry[row], rows.day[row])
                else {
                    continue;
                };
                let is_wanted = strategy.is_none_or(|wanted| strategies.names[id as usize] == wanted);
                let horizon = number(&rows.horizon, row) as usize;
                // A later version of this program may follow signals for longer.
                let Some(place) =
                    Outlook::place(&entries.names[entry as usize], horizon).filter(|_| is_wanted)
                else {
                    continue;
                };
                let figures = days.entry((id, day)).or_insert_with(|| FactorDay {
                    day,
                    steadiness: rows.steadiness(row),
                    followed: [None; Outlook::ALL.len()],
                });
                figures.followed[place] = rows.followed(row);
            }
            Ok(())
        })
        .await?;
        let mut figures = Figures::new();
        for ((strategy, _), day) in days {
            figures.entry(strategies.names[strategy as usize].clone()).or_default().push(day);
        }
        Ok((figures, strategies.names.into_iter().collect()))
    }

    /// Puts figures in the place of those of a month, noting `stamp` as their source. Without any the month goes.
    ///
    /// # Errors
    /// A conflict when another writer commits meanwhile; then this table is out of date.
    pub async fn write(&mut self, month: YearMonth, figures: &Figures, stamp: &str) -> Result<(), LakeError> {
        let rows = rows(month, figures).map_err(content(FACTORS))?;
        self.months.bring_to(self.lake.at(), month, rows, false, stamp).await?;
        Ok(())
    }

    /// Notes other sources of months whose figures stay as they are.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn restamp(&mut self, months: &[(YearMonth, String)]) -> Result<(), LakeError> {
        self.months.restamp(months).await
    }
}

/// What a column of whole numbers says of a day and an outlook.
type CountOf<'a> = &'a dyn Fn(&FactorDay, Outlook, Option<&Followed>) -> Option<usize>;

fn rows(month: YearMonth, figures: &Figures) -> Result<RecordBatch, ArrowError> {
    let mut rows: Vec<(&str, &FactorDay, Outlook, Option<Followed>)> = Vec::new();
    for (strategy, days) in figures {
        for day in days {
            let followed = Outlook::ALL.into_iter().zip(day.followed);
            rows.extend(followed.map(|(outlook, followed)| (strategy.as_str(), day, outlook, followed)));
        }
    }
    let longs = |of: CountOf<'_>| {
        let values = rows.iter().map(|(_, day, outlook, followed)| of(day, *outlook, followed.as_ref()));
        let values: Int64Array =
            values.map(|value| value.and_then(|value| i64::try_from(value).ok())).collect();
        Arc::new(values) as Arc<dyn Array>
    };
    let numbers = |of: &dyn Fn(&FactorDay, Option<&Followed>) -> Option<f64>| {
        doubles(rows.iter().map(|(_, day, _, followed)| of(day, followed.as_ref())))
    };
    let coefficient = |of: fn(InformationCoefficient) -> f64| {
        numbers(&move |_, followed| followed.and_then(|followed| followed.coefficient.ok()).map(of))
    };
    let mut columns = vec![
        ("strategy", texts(rows.iter().map(|row| row.0))),
        ("entry", texts(rows.iter().map(|row| row.2.entry.name()))),
        ("horizon", longs(&|_, outlook, _| Some(outlook.horizon))),
        ("signals", longs(&|day, _, _| Some(day.steadiness.signals))),
        ("priced", longs(&|day, _, _| Some(day.steadiness.priced))),
        ("covered", longs(&|day, _, _| Some(day.steadiness.covered))),
        ("rank_autocorrelation", numbers(&|day, _| day.steadiness.rank_autocorrelation)),
        ("symbols", longs(&|_, _, followed| followed.map(|followed| followed.symbols))),
        ("rank_ic", coefficient(|coefficient| coefficient.rank)),
        ("pearson_ic", coefficient(|coefficient| coefficient.pearson)),
    ];
    for quantile in 0..QUANTILES {
        let of = move |followed: Option<&Followed>| followed.map(|followed| followed.quantiles[quantile]);
        columns.extend([
            (REPLACED[quantile], numbers(&move |day, _| day.steadiness.replaced[quantile])),
            (SYMBOLS[quantile], longs(&move |_, _, followed| of(followed).map(|one| one.symbols))),
            (
                EXCESS[quantile],
                numbers(&move |_, followed| of(followed).filter(|one| one.symbols > 0).map(|one| one.excess)),
            ),
        ]);
    }
    batch(month, rows.iter().map(|row| row.1.day).collect(), columns)
}

/// The columns of a batch.
struct Rows {
    day: Vec<Option<i32>>,
    strategy: Vec<Option<u32>>,
    entry: Vec<Option<u32>>,
    horizon: Float64Array,
    signals: Float64Array,
    priced: Float64Array,
    covered: Float64Array,
    rank_autocorrelation: Float64Array,
    symbols: Float64Array,
    rank_ic: Float64Array,
    pearson_ic: Float64Array,
    /// By quantile: turnover, symbols, return above that of the day.
    quantiles: Vec<[Float64Array; 3]>,
}

impl Rows {
    fn of(batch: &RecordBatch, strategies: &mut Names, entries: &mut Names) -> Result<Self, LakeError> {
        let column = |name| required(FACTORS, batch, name);
        let doubles = |name| numbers::doubles(Arc::clone(column(name)?)).map_err(content(FACTORS));
        let quantile = |quantile: usize| -> Result<[Float64Array; 3], LakeError> {
            Ok([doubles(REPLACED[quantile])?, doubles(SYMBOLS[quantile])?, doubles(EXCESS[quantile])?])
        };
        let day = dates::days(Arc::clone(column("date")?)).map_err(content(FACTORS))?;
        Ok(Self {
            day: day.iter().collect(),
            strategy: strategies.of(column("strategy")?).map_err(content(FACTORS))?,
            entry: entries.of(column("entry")?).map_err(content(FACTORS))?,
            horizon: doubles("horizon")?,
            signals: doubles("signals")?,
            priced: doubles("priced")?,
            covered: doubles("covered")?,
            rank_autocorrelation: doubles("rank_autocorrelation")?,
            symbols: doubles("symbols")?,
            rank_ic: doubles("rank_ic")?,
            pearson_ic: doubles("pearson_ic")?,
            quantiles: (0..QUANTILES).map(quantile).collect::<Result<_, _>>()?,
        })
    }

    fn steadiness(&self, row: usize) -> Steadiness {
        let mut replaced = [None; QUANTILES];
        for (share, [column, _, _]) in replaced.iter_mut().zip(&self.quantiles) {
            *share = defined(column, row);
        }
        Steadiness {
            signals: number(&self.signals, row) as usize,
            priced: number(&self.priced, row) as usize,
            covered: number(&self.covered, row) as usize,
            replaced,
            rank_autocorrelation: defined(&self.rank_autocorrelation, row),
        }
    }

    fn followed(&self, row: usize) -> Option<Followed> {
        let symbols = defined(&self.symbols, row)? as usize;
        let coefficient = match (defined(&self.rank_ic, row), defined(&self.pearson_ic, row)) {
            (Some(rank), Some(pearson)) => Ok(InformationCoefficient { rank, pearson }),
            _ if symbols < FEWEST_SYMBOLS => {
                Err(Undefined::TooFewObservations { found: symbols, needed: FEWEST_SYMBOLS })
            }
            _ => Err(Undefined::NoDeviation),
        };
        let mut quantiles = [QuantileReturn::default(); QUANTILES];
        for (quantile, [_, symbols, excess]) in quantiles.iter_mut().zip(&self.quantiles) {
            let symbols = number(symbols, row) as usize;
            *quantile = QuantileReturn { symbols, excess: defined(excess, row).unwrap_or_default() };
        }
        Some(Followed { symbols, coefficient, quantiles })
    }
}

fn defined(column: &Float64Array, row: usize) -> Option<f64> {
    Some(number(column, row)).filter(|value| !value.is_nan())
}
