//! The files of a part and of a study: what each table holds. A part is read back from its files exactly as it was.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::NaiveDate;
use deltalake::arrow::array::{ArrayRef, AsArray as _, RecordBatch, RecordBatchReader as _};
use deltalake::arrow::compute::{cast, concat_batches};
use deltalake::arrow::datatypes::{DataType, Float64Type, Int64Type};
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::config::Study;
use super::evaluate::{PartResult, TrialRow, TrialStatus, Window};
use super::figures::FIGURES;
use super::join::Joined;
use super::judge::Judgement;
use super::validate::Validated;
use super::values::{annual, measure_name};
use crate::statistics::blocks::{BlockSums, Sums};
use crate::statistics::parts::StandardisedSum;
use crate::statistics::sharpe::SharpeRatio;
use crate::statistics::superiority::{Maxima, Maximum};
use crate::work::facts::FilesError;
use crate::work::files::Artifact;
use crate::work::files::formats::{Column, Files, Named};

/// Variants of the bootstrap's maxima, as columns of `merge.parquet`.
const MAXIMA: [&str; 6] =
    ["plain_lower", "plain_consistent", "plain_upper", "spa_lower", "spa_consistent", "spa_upper"];

/// Names of the files of a part.
pub const PART_FILES: [&str; 5] =
    ["trials.parquet", "blocks.parquet", "merge.parquet", "returns.parquet", "window.parquet"];

/// A file of a part that cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Unreadable {
    name: &'static str,
    message: String,
}

/// The files of a part.
///
/// # Errors
/// If one cannot be written.
pub fn part_files(study: &Study, part: &PartResult) -> Result<Vec<Artifact>, FilesError> {
    let mut files = Files::default();
    let rows: Vec<&TrialRow> = part.rows.iter().collect();
    let mut columns = trial_columns(study, &rows);
    let ledger = rows.iter().map(|row| row.ledger_sha256.clone());
    columns.push(("ledger_sha256", Column::Words(ledger.collect())));
    files.parquet("trials.parquet", &columns)?;
    files.parquet("blocks.parquet", &block_columns(part))?;
    files.parquet("merge.parquet", &merge_columns(part))?;
    returns_file(&mut files, &part.window, &part.kept)?;
    let one = |value: f64| Column::Numbers(vec![Some(value)]);
    let count = |value: usize| Column::Integers(vec![Some(value as i64)]);
    files.parquet(
        "window.parquet",
        &[
            ("periods_per_year", one(part.window.periods_per_year)),
            ("daily_risk_free", one(part.window.daily_risk_free)),
            ("mean_block", one(part.window.mean_block)),
            ("summed_trials", count(part.sum.trials())),
            ("compared_trials", count(part.maxima.trials)),
            ("recentred_trials", count(part.maxima.recentred)),
            ("plain_statistic", one(part.maxima.plain.statistic)),
            ("spa_statistic", one(part.maxima.studentised.statistic)),
            ("replications", count(part.maxima.plain.replications[0].len())),
        ],
    )?;
    Ok(files.0)
}

fn trial_columns<'s>(study: &'s Study, rows: &[&TrialRow]) -> Vec<Named<'s>> {
    let words = |of: fn(&TrialRow) -> Option<String>| Column::Words(rows.iter().map(|row| of(row)).collect());
    let numbers =
        |of: &dyn Fn(&TrialRow) -> Option<f64>| Column::Numbers(rows.iter().map(|row| of(row)).collect());
    let mut columns: Vec<Named<'_>> = vec![
        ("trial", Column::Integers(rows.iter().map(|row| Some(i64::from(row.trial))).collect())),
        ("status", words(|row| Some(row.status.as_str().to_owned()))),
        ("error", words(|row| row.error.clone())),
        ("config_sha256", words(|row| row.config_sha256.clone())),
        ("returns_sha256", words(|row| row.returns_sha256.clone())),
    ];
    let trials: Vec<usize> = rows.iter().map(|row| row.trial as usize).collect();
    columns.extend(parameter_columns(study, &trials));
    for (place, (name, _)) in FIGURES.iter().enumerate() {
        columns.push((name, numbers(&|row| row.figures[place])));
    }
    columns.push(("sharpe_daily", numbers(&|row| Some(row.sharpe?.daily))));
    columns.push(("skew", numbers(&|row| Some(row.sharpe?.skew))));
    columns.push(("kurtosis", numbers(&|row| Some(row.sharpe?.kurtosis))));
    let observations = rows.iter().map(|row| Some(row.sharpe?.observations as i64));
    columns.push(("observations", Column::Integers(observations.collect())));
    columns
}

/// A column for each parameter, of the type that its values have.
fn parameter_columns<'s>(study: &'s Study, trials: &[usize]) -> Vec<Named<'s>> {
    let by_trial: Vec<Vec<Option<&Value>>> = trials.iter().map(|&trial| study.grid.values(trial)).collect();
    let column = |place: usize| {
        let values = || by_trial.iter().map(|values| values[place].filter(|value| !value.is_null()));
        if values().flatten().all(Value::is_boolean) {
            Column::Flags(values().map(|value| value?.as_bool()).collect())
        } else if values().flatten().all(Value::is_i64) {
            Column::Integers(values().map(|value| value?.as_i64()).collect())
        } else if values().flatten().all(Value::is_number) {
            Column::Numbers(values().map(|value| value?.as_f64()).collect())
        } else {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Column::Words(values().map(|value| value.map(text)).collect())
        }
    };
    study.grid.paths.iter().enumerate().map(|(place, path)| (path.as_str(), column(place))).collect()
}

fn block_columns(part: &PartResult) -> Vec<Named<'static>> {
    let (mut set, mut trials, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut days, mut sum, mut squares) = (Vec::new(), Vec::new(), Vec::new());
    for (name, sums) in [(0, &part.blocks), (1, &part.folds)] {
        for (trial, of) in sums.iter() {
            for (block, one) in of.iter().enumerate() {
                set.push(name);
                trials.push(Some(i64::from(trial)));
                blocks.push(Some(block as i64));
                days.push(Some(sums.days(block).len() as i64));
                sum.push(Some(one.sum));
                squares.push(Some(one.squares));
            }
        }
    }
    vec![
        ("set", Column::Names(set, vec!["block".to_owned(), "fold".to_owned()])),
        ("trial", Column::Integers(trials)),
        ("block", Column::Integers(blocks)),
        ("n", Column::Integers(days)),
        ("sum", Column::Numbers(sum)),
        ("sum_of_squares", Column::Numbers(squares)),
    ]
}

fn merge_columns(part: &PartResult) -> Vec<Named<'static>> {
    let variants = variants(&part.maxima);
    let days = part.window.days.len();
    let rows = days.max(variants[0].len());
    let padded = |values: &[f64]| -> Column {
        Column::Numbers((0..rows).map(|row| values.get(row).copied()).collect())
    };
    let dates = (0..rows).map(|row| part.window.days.get(row).map(|day| i64::from(day.to_epoch_days())));
    let units = (0..rows).map(|row| part.sum.units().get(row).copied());
    let benchmark = part.window.benchmark.as_deref().unwrap_or_default();
    let mut columns = vec![
        ("day", Column::Integers(dates.collect())),
        ("sum_of_standardised_units", Column::Integers(units.collect())),
        ("benchmark_return", padded(benchmark)),
    ];
    columns.extend(MAXIMA.iter().zip(variants).map(|(name, values)| (*name, padded(values))));
    columns
}

fn variants(maxima: &Maxima) -> [&[f64]; 6] {
    let ([a, b, c], [d, e, f]) = (&maxima.plain.replications, &maxima.studentised.replications);
    [a, b, c, d, e, f]
}

fn returns_file(files: &mut Files, window: &Window, kept: &[(u32, Vec<f64>)]) -> Result<(), FilesError> {
    let names: Vec<String> = kept.iter().map(|(trial, _)| format!("trial_{trial}")).collect();
    let mut columns = vec![("date", Column::Dates(window.days.clone()))];
    columns.extend(names.iter().zip(kept).map(|(name, (_, returns))| {
        (name.as_str(), Column::Numbers(returns.iter().map(|value| Some(*value)).collect()))
    }));
    files.parquet("returns.parquet", &columns)
}

/// A part as its files have it.
///
/// # Errors
/// If they are not those of a part of this study.
pub fn read_part(study: &Study, files: &HashMap<&'static str, Bytes>) -> Result<PartResult, Unreadable> {
    let table = |name: &'static str| {
        let content = files.get(name).ok_or(Unreadable { name, message: "is missing".to_owned() })?;
        Ok::<_, Unreadable>(Table { name, batch: read(name, content.clone())? })
    };
    let (merge, whole) = (table("merge.parquet")?, table("window.parquet")?);
    let one =
        |name: &str| Ok::<_, Unreadable>(whole.numbers(name)?.first().copied().flatten().unwrap_or(f64::NAN));
    let count = |name: &str| {
        Ok::<_, Unreadable>(whole.integers(name)?.first().copied().flatten().unwrap_or(0) as usize)
    };
    let days: Vec<NaiveDate> = merge
        .integers("day")?
        .into_iter()
        .flatten()
        .filter_map(|day| NaiveDate::from_epoch_days(i32::try_from(day).ok()?))
        .collect();
    let benchmark: Vec<f64> = merge.numbers("benchmark_return")?.into_iter().flatten().collect();
    let window = Window {
        periods_per_year: one("periods_per_year")?,
        daily_risk_free: one("daily_risk_free")?,
        benchmark: (benchmark.len() == days.len()).then_some(benchmark),
        mean_block: one("mean_block")?,
        days,
    };
    let units: Vec<i64> = merge.integers("sum_of_standardised_units")?.into_iter().flatten().collect();
    let replications = count("replications")?;
    let variant = |name: &str| -> Result<Vec<f64>, Unreadable> {
        Ok(merge
            .numbers(name)?
            .into_iter()
            .take(replications)
            .map(|value| value.unwrap_or(f64::NAN))
            .collect())
    };
    let maxima = Maxima {
        trials: count("compared_trials")?,
        recentred: count("recentred_trials")?,
        plain: Maximum {
            statistic: one("plain_statistic")?,
            replications: [variant(MAXIMA[0])?, variant(MAXIMA[1])?, variant(MAXIMA[2])?],
        },
        studentised: Maximum {
            statistic: one("spa_statistic")?,
            replications: [variant(MAXIMA[3])?, variant(MAXIMA[4])?, variant(MAXIMA[5])?],
        },
    };
    let (blocks, folds) = read_blocks(study, &window, &table("blocks.parquet")?)?;
    Ok(PartResult {
        rows: read_rows(&table("trials.parquet")?)?,
        blocks,
        folds,
        sum: StandardisedSum::stored(count("summed_trials")?, units),
        maxima,
        kept: read_kept(&table("returns.parquet")?)?,
        window,
    })
}

/// The trials of a part or of a study.
#[derive(Debug)]
pub struct Read {
    /// By number.
    pub rows: Vec<TrialRow>,
    /// For each the trial that it equals; a part does not know.
    pub equal_to: Vec<Option<u32>>,
}

/// Reads `trials.parquet`.
///
/// # Errors
/// If it is not one.
pub fn read_trials(content: Bytes) -> Result<Read, Unreadable> {
    let name = "trials.parquet";
    let table = Table { name, batch: read(name, content)? };
    let rows = read_rows(&table)?;
    let equal_to = match table.batch.column_by_name("equal_to") {
        Some(_) => {
            let equal = table.integers("equal_to")?;
            equal.into_iter().map(|equal| u32::try_from(equal?).ok()).collect()
        }
        None => vec![None; rows.len()],
    };
    Ok(Read { rows, equal_to })
}

fn read_rows(table: &Table) -> Result<Vec<TrialRow>, Unreadable> {
    let figures: Vec<Vec<Option<f64>>> =
        FIGURES.iter().map(|(name, _)| table.numbers(name)).collect::<Result<_, _>>()?;
    let (trial, status, error) = (table.integers("trial")?, table.words("status")?, table.words("error")?);
    let config = table.words("config_sha256")?;
    // What the ledger asks for stays with the parts.
    let ledger = match table.batch.column_by_name("ledger_sha256") {
        Some(_) => table.words("ledger_sha256")?,
        None => vec![None; config.len()],
    };
    let returns = table.words("returns_sha256")?;
    let (daily, skew) = (table.numbers("sharpe_daily")?, table.numbers("skew")?);
    let (kurtosis, observations) = (table.numbers("kurtosis")?, table.integers("observations")?);
    let row = |at: usize| {
        let sharpe = || {
            Some(SharpeRatio {
                daily: daily[at]?,
                skew: skew[at]?,
                kurtosis: kurtosis[at]?,
                observations: usize::try_from(observations[at]?).ok()?,
            })
        };
        Some(TrialRow {
            trial: u32::try_from(trial[at]?).ok()?,
            status: TrialStatus::parse(status[at].as_deref()?)?,
            error: error[at].clone(),
            config_sha256: config[at].clone(),
            ledger_sha256: ledger[at].clone(),
            returns_sha256: returns[at].clone(),
            figures: figures.iter().map(|column| column[at]).collect(),
            sharpe: sharpe(),
        })
    };
    let rows: Option<Vec<TrialRow>> = (0..trial.len()).map(row).collect();
    rows.ok_or_else(|| table.wrong("a row has no number or status"))
}

fn read_blocks(study: &Study, window: &Window, table: &Table) -> Result<(BlockSums, BlockSums), Unreadable> {
    let days = window.days.len();
    let mut blocks = BlockSums::equal(days, study.statistics.blocks);
    let mut folds = BlockSums::between(window.fold_edges(study));
    let (set, trial) = (table.words("set")?, table.integers("trial")?);
    let (sum, squares) = (table.numbers("sum")?, table.numbers("sum_of_squares")?);
    let mut at = 0;
    while at < trial.len() {
        let is_fold = set[at].as_deref() == Some("fold");
        let into = if is_fold { &mut folds } else { &mut blocks };
        let end = at + into.blocks().max(1);
        let number = trial[at].and_then(|trial| u32::try_from(trial).ok());
        let sums =
            (at..end.min(trial.len())).map(|row| Some(Sums { sum: sum[row]?, squares: squares[row]? }));
        let added = number
            .zip(sums.collect::<Option<Vec<_>>>())
            .is_some_and(|(number, sums)| into.insert(number, &sums));
        if !added {
            return Err(table.wrong("a trial has not one sum for each block"));
        }
        at = end;
    }
    Ok((blocks, folds))
}

fn read_kept(table: &Table) -> Result<Vec<(u32, Vec<f64>)>, Unreadable> {
    let mut kept = Vec::new();
    for field in table.batch.schema().fields() {
        let Some(trial) = field.name().strip_prefix("trial_").and_then(|trial| trial.parse().ok()) else {
            continue;
        };
        kept.push((trial, table.numbers(field.name())?.into_iter().map(Option::unwrap_or_default).collect()));
    }
    Ok(kept)
}

fn read(name: &'static str, content: Bytes) -> Result<RecordBatch, Unreadable> {
    let read = || -> Result<RecordBatch, ArrowError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(content)?.build()?;
        let schema = reader.schema();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
        concat_batches(&schema, &batches)
    };
    read().map_err(|error| Unreadable { name, message: error.to_string() })
}

struct Table {
    name: &'static str,
    batch: RecordBatch,
}

impl Table {
    fn wrong(&self, message: &str) -> Unreadable {
        Unreadable { name: self.name, message: message.to_owned() }
    }

    fn column(&self, name: &str, to: &DataType) -> Result<ArrayRef, Unreadable> {
        let column = self
            .batch
            .column_by_name(name)
            .ok_or_else(|| self.wrong(&format!("there is no column {name}")))?;
        cast(column, to).map_err(|error| self.wrong(&format!("{name}: {error}")))
    }

    fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>, Unreadable> {
        let column = self.column(name, &DataType::Float64)?;
        Ok(column.as_primitive::<Float64Type>().iter().collect())
    }

    fn integers(&self, name: &str) -> Result<Vec<Option<i64>>, Unreadable> {
        let column = self.column(name, &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().iter().collect())
    }

    fn words(&self, name: &str) -> Result<Vec<Option<String>>, Unreadable> {
        let column = self.column(name, &DataType::Utf8)?;
        Ok(column.as_string::<i32>().iter().map(|word| word.map(str::to_owned)).collect())
    }
}

/// The tables of a study, and its statistics.
///
/// # Errors
/// If one cannot be written.
pub fn study_files(study: &Study, joined: &Joined, judged: &Judgement) -> Result<Vec<Artifact>, FilesError> {
    let mut files = Files::default();
    let rows: Vec<&TrialRow> = joined.rows.iter().collect();
    let mut columns = trial_columns(study, &rows);
    let equal = joined.equal_to.iter().map(|equal| equal.map(i64::from));
    columns.insert(3, ("equal_to", Column::Integers(equal.collect())));
    columns.push(("q_value", Column::Numbers(judged.q_values.clone())));
    columns.push(("p_value_holm", Column::Numbers(judged.holm.clone())));
    files.parquet("trials.parquet", &columns)?;
    files.csv("trials.csv", &columns)?;
    let kept = &joined.kept[..joined.kept.len().min(study.keep_returns)];
    returns_file(&mut files, &joined.window, kept)?;
    if let Some(validated) = &judged.validated {
        files.parquet("splits.parquet", &split_columns(study, joined, validated))?;
        files.parquet("oos_returns.parquet", &out_of_sample_columns(joined, validated))?;
    }
    files.json("statistics.json", &judged.statistics)?;
    Ok(files.0)
}

fn split_columns<'s>(study: &'s Study, joined: &Joined, validated: &Validated) -> Vec<Named<'s>> {
    let by = study.select_by;
    let scale = annual(by, joined.window.periods_per_year);
    let date = |day: usize| joined.window.days.get(day).copied().unwrap_or_default();
    let mut numbers: [Vec<Option<i64>>; 3] = Default::default();
    let mut dates: [Vec<NaiveDate>; 4] = Default::default();
    let mut measures: [Vec<Option<f64>>; 4] = Default::default();
    for (number, (split, choice)) in validated.splits.iter().zip(&validated.choices).enumerate() {
        for (place, test) in split.test.iter().enumerate() {
            let winner = choice.winner.as_ref();
            let standing = winner.and_then(|winner| winner.tests.get(place));
            numbers[0].push(Some(number as i64));
            numbers[1].push(Some(test.path as i64));
            numbers[2].push(winner.map(|winner| i64::from(winner.trial)));
            dates[0].push(date(split.train.first().map_or(0, |days| days.start)));
            dates[1].push(date(split.train.last().map_or(0, |days| days.end.saturating_sub(1))));
            dates[2].push(date(test.days.start));
            dates[3].push(date(test.days.end.saturating_sub(1)));
            measures[0].push(winner.map(|winner| winner.in_sample * scale));
            measures[1].push(standing.and_then(|standing| Some(standing.out_of_sample? * scale)));
            measures[2].push(standing.map(|standing| standing.rank));
            let costs = &validated.paths[test.path].costs;
            measures[3].push(costs.iter().find(|(day, _)| *day == test.days.start).map(|(_, cost)| *cost));
        }
    }
    let winners: Vec<Option<usize>> =
        numbers[2].iter().map(|winner| winner.and_then(|trial| usize::try_from(trial).ok())).collect();
    let [split, path, winner] = numbers.map(Column::Integers);
    let [train_from, train_to, test_from, test_to] = dates.map(Column::Dates);
    let [in_sample, out_of_sample, rank, cost] = measures.map(Column::Numbers);
    let (is_name, oos_name) = match measure_name(by) {
        "mean_log_return" => ("is_mean_log_return", "oos_mean_log_return"),
        "information_ratio" => ("is_information_ratio", "oos_information_ratio"),
        _ => ("is_sharpe_ratio", "oos_sharpe_ratio"),
    };
    let parameters =
        winners.iter().map(|winner| winner.map(|trial| json!(study.grid.parameters(trial)).to_string()));
    let mut columns = vec![
        ("split", split),
        ("path", path),
        ("train_from", train_from),
        ("train_to", train_to),
        ("test_from", test_from),
        ("test_to", test_to),
        ("winner", winner),
        ("parameters", Column::Words(parameters.collect())),
    ];
    columns.extend([
        (is_name, in_sample),
        (oos_name, out_of_sample),
        ("oos_rank", rank),
        ("switching_cost", cost),
    ]);
    columns
}

fn out_of_sample_columns(joined: &Joined, validated: &Validated) -> Vec<Named<'static>> {
    let rows = || {
        validated.paths.iter().enumerate().flat_map(|(path, of)| of.days.iter().map(move |day| (path, day)))
    };
    let date = |day: usize| joined.window.days.get(day).copied().unwrap_or_default();
    vec![
        ("path", Column::Integers(rows().map(|(path, _)| Some(path as i64)).collect())),
        ("date", Column::Dates(rows().map(|(_, (day, ..))| date(*day)).collect())),
        ("return", Column::Numbers(rows().map(|(_, (_, value, _))| Some(*value)).collect())),
        ("trial", Column::Integers(rows().map(|(_, (.., trial))| trial.map(i64::from)).collect())),
    ]
}
