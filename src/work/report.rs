//! What a finished run leaves behind, as files in memory: tables by column, written once as CSV for people and
//! once as Parquet for programs. The same outcome gives the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use deltalake::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    StringDictionaryBuilder,
};
use deltalake::arrow::datatypes::Int32Type;
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::schema::types::ColumnPath;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{ENGINE_VERSION, document, page, sha256_hex};
use crate::engine::config::{BacktestConfig, folder_of};
use crate::engine::market::{Market, SymbolId};
use crate::engine::metrics::periods::{PeriodReturns, YearReturns};
use crate::engine::metrics::rolling::rolling;
use crate::engine::{BlendStage, BlendWeights, DebugKind, DebugTable, Outcome, RejectReason};
use crate::run::{Fence, RunId};

/// Name of the file that lists all others and is written last.
pub const MANIFEST: &str = "artifacts_manifest.json";

/// A file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Name below the run's folder; `/` separates folders.
    pub name: String,
    /// Content.
    pub content: Bytes,
}

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The run.
    pub run_id: &'a RunId,
    /// The config as it came.
    pub submitted: &'a Value,
    /// The valid config.
    pub config: &'a BacktestConfig,
    /// SHA-256 of the effective config.
    pub config_sha256: &'a str,
    /// What was read.
    pub data_versions: &'a Value,
    /// The attempt of a service that computes it; `None` on a person's machine.
    pub fence: Option<Fence>,
}

impl Facts<'_> {
    /// What the config asks for that has no effect where it is run.
    fn without_effect(&self) -> Option<&'static str> {
        let output = &self.config.output;
        match self.fence {
            Some(_) if output.local_dir.is_some() => {
                Some("output.local_dir has no effect in a service, which keeps results in its own store")
            }
            None if output.adls_dir.is_some() => {
                Some("output.adls_dir has no effect without a service; the files went to a folder")
            }
            _ => None,
        }
    }
}

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A table as Parquet.
    #[error("write {name}: {source}")]
    Parquet {
        /// The file.
        name: String,
        /// Why.
        source: ParquetError,
    },
    /// A table in memory.
    #[error("assemble a table: {0}")]
    Table(#[from] ArrowError),
    /// A table as CSV.
    #[error("write CSV: {0}")]
    Csv(#[from] csv::Error),
    /// A config or summary.
    #[error("write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A config as YAML.
    #[error("write YAML: {0}")]
    Yaml(#[from] document::NotADocument),
}

/// The metrics of a run with its identity: what the row keeps and `summary.json` holds.
pub fn summary(facts: &Facts<'_>, outcome: &Outcome) -> Result<Value, ReportError> {
    let mut summary = json!({ "run_id": facts.run_id });
    if let (Value::Object(into), Value::Object(metrics)) =
        (&mut summary, serde_json::to_value(&outcome.summary)?)
    {
        into.extend(metrics);
    }
    if let (Some(warning), Value::Array(warnings)) = (facts.without_effect(), &mut summary["warnings"]) {
        warnings.push(json!(warning));
    }
    Ok(summary)
}

/// Every file of a run but the manifest, as the config's `output` switches ask.
pub fn artifacts(
    facts: &Facts<'_>,
    market: &Market,
    outcome: &Outcome,
    summary: &Value,
) -> Result<Vec<Artifact>, ReportError> {
    let wanted = &facts.config.output;
    // Side by side; each part holds what shares a table.
    type Part<'p> = &'p (dyn Fn(&mut Files) -> Result<(), ReportError> + Sync);
    let parts: [Part<'_>; 7] = [
        &|files| config_files(files, facts),
        &|files| {
            let trades = trades(outcome);
            if wanted.save_trades {
                files.csv("trades.csv", &trades)?;
                files.csv("rejected_orders.csv", &rejected_orders(outcome))?;
            }
            if wanted.save_trades_parquet {
                files.parquet("trades.parquet", &trades)?;
            }
            Ok(())
        },
        &|files| daily_files(files, facts, outcome),
        &|files| {
            if wanted.save_metrics_parquet {
                files.parquet("metrics_rolling.parquet", &rolling_windows(outcome))?;
            }
            Ok(())
        },
        &|files| {
            if wanted.save_positions_snapshot {
                files.parquet("daily_positions.parquet", &positions(market, outcome))?;
            }
            Ok(())
        },
        &|files| record_files(files, facts, outcome),
        &|files| {
            files.text("report.html", page::report_page(facts, market, outcome)?);
            if wanted.save_plots {
                for (name, svg) in page::plots(facts, outcome) {
                    files.text(&format!("plots/{name}.svg"), svg);
                }
            }
            if wanted.save_metrics_json {
                files.json("summary.json", summary)?;
            }
            if wanted.save_summary_parquet {
                files.parquet("summary.parquet", &one_row(summary))?;
            }
            Ok(())
        },
    ];
    let made = parts.par_iter().map(|part| {
        let mut files = Files::default();
        part(&mut files)?;
        Ok(files.0)
    });
    let made: Vec<Vec<Artifact>> = made.collect::<Result<_, ReportError>>()?;
    Ok(made.concat())
}

fn config_files(files: &mut Files, facts: &Facts<'_>) -> Result<(), ReportError> {
    let wanted = &facts.config.output;
    let resolved = resolved_config(facts);
    files.text("config.yaml", document::to_yaml(facts.submitted)?);
    if wanted.save_resolved_config_json {
        files.json("config.resolved.json", &resolved)?;
    }
    if wanted.save_config_parquet {
        let text = resolved.to_string();
        let id = Column::Texts(vec![facts.run_id.to_string()]);
        files.parquet("config.parquet", &[("run_id", id), ("config_json", Column::Texts(vec![text]))])?;
    }
    Ok(())
}

fn daily_files(files: &mut Files, facts: &Facts<'_>, outcome: &Outcome) -> Result<(), ReportError> {
    let wanted = &facts.config.output;
    let daily = daily(outcome);
    if wanted.save_daily_metrics {
        files.csv("daily_metrics.csv", &daily)?;
        let periods =
            PeriodReturns::of(&outcome.daily.date, &outcome.daily.portfolio_value, facts.config.initial_cash);
        files.csv("monthly_returns.csv", &by_year(&periods, &MONTHS, |year| year.months.to_vec()))?;
        files.csv("returns_quarterly.csv", &by_year(&periods, &QUARTERS, |year| year.quarters.to_vec()))?;
        files.csv("returns_yearly.csv", &yearly(&periods))?;
    }
    if wanted.save_metrics_parquet {
        files.parquet("metrics_timeseries.parquet", &daily)?;
    }
    Ok(())
}

/// What only some strategies leave, and what went otherwise than asked.
fn record_files(files: &mut Files, facts: &Facts<'_>, outcome: &Outcome) -> Result<(), ReportError> {
    if facts.config.output.save_constraint_hits {
        files.json("constraint_hits.json", &constraint_hits(outcome))?;
    }
    if !outcome.delisted.is_empty() {
        files.csv("delistings.csv", &delistings(outcome))?;
    }
    if let Some(blend) = &outcome.blend {
        for (leg, name) in blend.legs.iter().enumerate() {
            let weights = blend_weights(outcome, blend, BlendStage::Leg(leg));
            files.csv(&format!("legs/{}/weights.csv", folder_of(name)), &weights)?;
        }
        files.csv("blend/pre_constraints.csv", &blend_weights(outcome, blend, BlendStage::Pre))?;
        files.csv("blend/post_constraints.csv", &blend_weights(outcome, blend, BlendStage::Post))?;
    }
    if let Some(debug) = &outcome.debug {
        for kind in DebugKind::ALL {
            files.csv(&format!("strategy_debug/{}.csv", kind.as_str()), &debug_rows(outcome, debug, kind))?;
        }
    }
    Ok(())
}

/// The manifest of `files`; its bytes are what the row's hash proves.
pub fn manifest(facts: &Facts<'_>, files: &[Artifact]) -> Result<Artifact, ReportError> {
    let listed: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "name": file.name,
                "size_bytes": file.content.len(),
                "sha256": sha256_hex(&file.content),
                "content_type": content_type(&file.name),
            })
        })
        .collect();
    let manifest = json!({
        "run_id": facts.run_id,
        "fence": facts.fence,
        "engine_version": ENGINE_VERSION,
        "config_sha256": facts.config_sha256,
        "data_versions": facts.data_versions,
        "artifacts": listed,
    });
    Ok(Artifact { name: MANIFEST.to_owned(), content: pretty(&manifest)? })
}

/// Media type of an artifact by its name.
pub fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("csv") => "text/csv; charset=utf-8",
        Some("yaml") => "application/yaml",
        Some("svg") => "image/svg+xml",
        Some("html") => "text/html; charset=utf-8",
        Some("parquet") => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}

/// The config after defaults, with what else decided the run.
pub(super) fn resolved_config(facts: &Facts<'_>) -> Value {
    let mut resolved = facts.config.resolved();
    if let Value::Object(fields) = &mut resolved {
        fields.insert("run_id".into(), json!(facts.run_id));
        fields.insert("data_versions".into(), facts.data_versions.clone());
        fields.insert("engine_version".into(), json!(ENGINE_VERSION));
    }
    resolved
}

/// A named column of a table.
type Named<'a> = (&'a str, Column);

enum Column {
    Dates(Vec<NaiveDate>),
    Texts(Vec<String>),
    /// Few distinct texts: indices and names.
    Names(Vec<u32>, Vec<String>),
    Numbers(Vec<Option<f64>>),
    Integers(Vec<Option<i64>>),
    Flags(Vec<Option<bool>>),
}

impl Column {
    fn numbers(values: &[f64]) -> Self {
        Self::Numbers(values.iter().map(|value| Some(*value).filter(|value| !value.is_nan())).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Dates(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Names(values, _) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Flags(values) => values.len(),
        }
    }

    /// The text of a cell; nothing for an undefined one.
    fn cell(&self, row: usize) -> String {
        fn text<T: ToString>(value: Option<&T>) -> String {
            value.map(T::to_string).unwrap_or_default()
        }
        match self {
            Self::Dates(values) => values[row].to_string(),
            Self::Texts(values) => values[row].clone(),
            Self::Names(values, names) => names[values[row] as usize].clone(),
            Self::Numbers(values) => text(values[row].as_ref()),
            Self::Integers(values) => text(values[row].as_ref()),
            Self::Flags(values) => text(values[row].as_ref()),
        }
    }

    fn array(&self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Dates(values) => {
                Arc::new(values.iter().map(|date| Some(date.to_epoch_days())).collect::<Date32Array>())
            }
            Self::Texts(values) => Arc::new(StringArray::from_iter_values(values)),
            Self::Names(values, names) => {
                let mut column = StringDictionaryBuilder::<Int32Type>::new();
                for &value in values {
                    column.append(&names[value as usize])?;
                }
                Arc::new(column.finish())
            }
            Self::Numbers(values) => Arc::new(Float64Array::from(values.clone())),
            Self::Integers(values) => Arc::new(Int64Array::from(values.clone())),
            Self::Flags(values) => Arc::new(BooleanArray::from(values.clone())),
        })
    }
}

#[derive(Default)]
struct Files(Vec<Artifact>);

impl Files {
    fn add(&mut self, name: &str, content: Bytes) {
        self.0.push(Artifact { name: name.to_owned(), content });
    }

    fn text(&mut self, name: &str, text: String) {
        self.add(name, text.into());
    }

    fn json(&mut self, name: &str, value: &Value) -> Result<(), ReportError> {
        self.add(name, pretty(value)?);
        Ok(())
    }

    fn csv(&mut self, name: &str, columns: &[Named<'_>]) -> Result<(), ReportError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(columns.iter().map(|(name, _)| name))?;
        for row in 0..columns.first().map_or(0, |(_, column)| column.len()) {
            writer.write_record(columns.iter().map(|(_, column)| column.cell(row)))?;
        }
        let content = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        self.add(name, content.into());
        Ok(())
    }

    fn parquet(&mut self, name: &str, columns: &[Named<'_>]) -> Result<(), ReportError> {
        let arrays: Result<Vec<_>, ArrowError> =
            columns.iter().map(|(name, column)| Ok((*name, column.array()?, true))).collect();
        let batch = RecordBatch::try_from_iter_with_nullable(arrays?)?;
        let parquet = |source| ReportError::Parquet { name: name.to_owned(), source };
        let mut properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        // Of measured numbers hardly any comes twice, so that a dictionary only takes time and room.
        for field in batch.schema_ref().fields().iter().filter(|field| field.data_type().is_floating()) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
        let mut content = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut content, batch.schema(), Some(properties.build())).map_err(parquet)?;
        writer.write(&batch).map_err(parquet)?;
        writer.close().map_err(parquet)?;
        self.add(name, content.into());
        Ok(())
    }
}

fn pretty(value: &Value) -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text.into())
}

fn names(outcome: &Outcome, symbols: &[SymbolId]) -> Column {
    Column::Names(symbols.iter().map(|symbol| symbol.0).collect(), outcome.symbols.clone())
}

fn trades(outcome: &Outcome) -> [Named<'static>; 8] {
    let trades = &outcome.trades;
    [
        ("execution_date", Column::Dates(trades.execution_date.clone())),
        ("symbol", names(outcome, &trades.symbol)),
        ("quantity", Column::numbers(&trades.quantity)),
        ("price", Column::numbers(&trades.price)),
        ("notional", Column::numbers(&trades.notional)),
        ("commission", Column::numbers(&trades.commission)),
        ("slippage_cost", Column::numbers(&trades.slippage_cost)),
        ("cash_after", Column::numbers(&trades.cash_after)),
    ]
}

fn rejected_orders(outcome: &Outcome) -> [Named<'static>; 4] {
    let rejected = &outcome.rejected;
    let reasons = rejected.reason.iter().map(|&reason: &RejectReason| reason.as_str().to_owned());
    [
        ("date", Column::Dates(rejected.date.clone())),
        ("symbol", names(outcome, &rejected.symbol)),
        ("quantity", Column::Numbers(rejected.quantity.clone())),
        ("reason", Column::Texts(reasons.collect())),
    ]
}

fn daily(outcome: &Outcome) -> [Named<'static>; 12] {
    let daily = &outcome.daily;
    [
        ("date", Column::Dates(daily.date.clone())),
        ("portfolio_value", Column::numbers(&daily.portfolio_value)),
        ("cash", Column::numbers(&daily.cash)),
        ("daily_return", Column::numbers(&daily.daily_return)),
        ("cumulative_return", Column::numbers(&daily.cumulative_return)),
        ("drawdown", Column::numbers(&daily.drawdown)),
        ("gross_exposure", Column::numbers(&daily.gross_exposure)),
        ("net_exposure", Column::numbers(&daily.net_exposure)),
        ("turnover", Column::numbers(&daily.turnover)),
        ("commission", Column::numbers(&daily.commission)),
        ("slippage_cost", Column::numbers(&daily.slippage_cost)),
        ("n_trades", Column::Integers(daily.n_trades.iter().map(|&count| Some(i64::from(count))).collect())),
    ]
}

fn positions(market: &Market, outcome: &Outcome) -> [Named<'static>; 8] {
    let held = outcome.position_table(market);
    let sides = held.shares.iter().map(|&shares| u32::from(shares < 0.0)).collect();
    [
        ("date", Column::Dates(held.date)),
        ("symbol", names(outcome, &held.symbol)),
        ("shares", Column::numbers(&held.shares)),
        ("close", Column::numbers(&held.close)),
        ("position_value", Column::numbers(&held.position_value)),
        ("weight", Column::numbers(&held.weight)),
        ("side", Column::Names(sides, vec!["long".to_owned(), "short".to_owned()])),
        ("stale", Column::Flags(held.stale.into_iter().map(Some).collect())),
    ]
}

fn constraint_hits(outcome: &Outcome) -> Value {
    let hits = outcome.constraint_hits.iter().map(|hit| {
        let details: serde_json::Map<String, Value> =
            hit.details.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "as_of": hit.as_of,
            "constraint": hit.constraint,
            "symbol": hit.symbol.map(|symbol| outcome.name(symbol)),
            "before": hit.before,
            "after": hit.after,
            "details": details,
        })
    });
    Value::Array(hits.collect())
}

/// Lengths of the rolling windows that are written, in trading days: a month, a quarter, half a year, a year.
const WINDOWS: [usize; 4] = [21, 63, 126, 252];

fn rolling_windows(outcome: &Outcome) -> [Named<'static>; 12] {
    let rolled = rolling(&outcome.daily, &WINDOWS);
    [
        ("date", Column::Dates(rolled.date)),
        ("window_days", Column::Integers(rolled.window_days.iter().map(|&days| Some(days as i64)).collect())),
        ("rolling_return", Column::Numbers(rolled.rolling_return)),
        ("rolling_volatility", Column::Numbers(rolled.rolling_volatility)),
        ("rolling_sharpe", Column::Numbers(rolled.rolling_sharpe)),
        ("rolling_max_drawdown", Column::Numbers(rolled.rolling_max_drawdown)),
        ("turnover_sum", Column::Numbers(rolled.turnover_sum)),
        ("commission_sum", Column::Numbers(rolled.commission_sum)),
        ("slippage_cost_sum", Column::Numbers(rolled.slippage_cost_sum)),
        ("n_trades_sum", Column::Numbers(rolled.n_trades_sum)),
        ("gross_exposure_avg", Column::Numbers(rolled.gross_exposure_avg)),
        ("net_exposure_avg", Column::Numbers(rolled.net_exposure_avg)),
    ]
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const QUARTERS: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];

/// A row a year: its parts, then the whole.
fn by_year(
    periods: &PeriodReturns,
    names: &'static [&'static str],
    parts: impl Fn(&YearReturns) -> Vec<Option<f64>>,
) -> Vec<Named<'static>> {
    let mut columns = vec![("Year", years(periods))];
    for (part, name) in names.iter().enumerate() {
        columns.push((name, Column::Numbers(periods.years.iter().map(|year| parts(year)[part]).collect())));
    }
    columns.push(("Yearly", totals(periods)));
    columns
}

fn yearly(periods: &PeriodReturns) -> [Named<'static>; 2] {
    [("year", years(periods)), ("return", totals(periods))]
}

fn years(periods: &PeriodReturns) -> Column {
    Column::Integers(periods.years.iter().map(|year| Some(i64::from(year.year))).collect())
}

fn totals(periods: &PeriodReturns) -> Column {
    Column::Numbers(periods.years.iter().map(|year| Some(year.total)).collect())
}

fn delistings(outcome: &Outcome) -> [Named<'static>; 5] {
    let gone = &outcome.delisted;
    let symbols: Vec<SymbolId> = gone.iter().map(|one| one.symbol).collect();
    [
        ("date", Column::Dates(gone.iter().map(|one| one.date).collect())),
        ("symbol", names(outcome, &symbols)),
        ("shares", Column::Numbers(gone.iter().map(|one| Some(one.shares)).collect())),
        ("price", Column::Numbers(gone.iter().map(|one| Some(one.price)).collect())),
        ("last_bar", Column::Dates(gone.iter().map(|one| one.last_bar).collect())),
    ]
}

fn blend_weights(outcome: &Outcome, blend: &BlendWeights, stage: BlendStage) -> [Named<'static>; 3] {
    let rows: Vec<usize> = (0..blend.stage.len()).filter(|&row| blend.stage[row] == stage).collect();
    let symbols: Vec<SymbolId> = rows.iter().map(|&row| blend.symbol[row]).collect();
    [
        ("date", Column::Dates(rows.iter().map(|&row| blend.date[row]).collect())),
        ("symbol", names(outcome, &symbols)),
        ("weight", Column::Numbers(rows.iter().map(|&row| Some(blend.weight[row])).collect())),
    ]
}

fn debug_rows(outcome: &Outcome, debug: &DebugTable, kind: DebugKind) -> [Named<'static>; 5] {
    let rows: Vec<usize> = (0..debug.kind.len()).filter(|&row| debug.kind[row] == kind).collect();
    let symbols: Vec<SymbolId> = rows.iter().map(|&row| debug.symbol[row]).collect();
    let leg = |row: usize| match (debug.leg[row], &outcome.blend) {
        (Some(leg), Some(blend)) => blend.legs[leg].clone(),
        _ => String::new(),
    };
    [
        ("date", Column::Dates(rows.iter().map(|&row| debug.date[row]).collect())),
        ("leg", Column::Texts(rows.iter().map(|&row| leg(row)).collect())),
        ("symbol", names(outcome, &symbols)),
        ("value", Column::Numbers(rows.iter().map(|&row| debug.value[row]).collect())),
        ("rule", Column::Texts(rows.iter().map(|&row| debug.text[row].clone()).collect())),
    ]
}

/// Results of several runs side by side, a row each, as CSV and Parquet: the fields of their summaries that are
/// plain values, in the order of the first.
pub fn results(summaries: &[Value]) -> Result<Vec<Artifact>, ReportError> {
    let mut files = Files::default();
    let fields = summaries.first().and_then(Value::as_object).into_iter().flatten();
    let plain = fields.filter(|(_, value)| !value.is_object() && !value.is_array());
    let columns: Vec<Named<'_>> = plain
        .map(|(name, first)| {
            let values = summaries.iter().map(|summary| &summary[name]);
            let column = if first.is_string() || values.clone().any(Value::is_string) {
                Column::Texts(
                    values.map(|value| value.as_str().map_or_else(String::new, str::to_owned)).collect(),
                )
            } else {
                Column::Numbers(values.map(Value::as_f64).collect())
            };
            (name.as_str(), column)
        })
        .collect();
    files.csv("results.csv", &columns)?;
    files.parquet("results.parquet", &columns)?;
    Ok(files.0)
}

/// The fields of a summary as a table of one row.
fn one_row(summary: &Value) -> Vec<Named<'_>> {
    let Value::Object(fields) = summary else { return Vec::new() };
    fields
        .iter()
        .map(|(name, value)| {
            let column = match value {
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    Column::Integers(vec![number.as_i64()])
                }
                Value::Number(number) => Column::Numbers(vec![number.as_f64()]),
                Value::Null => Column::Numbers(vec![None]),
                Value::Bool(flag) => Column::Flags(vec![Some(*flag)]),
                Value::String(text) => Column::Texts(vec![text.clone()]),
                nested => Column::Texts(vec![nested.to_string()]),
            };
            (name.as_str(), column)
        })
        .collect()
}
