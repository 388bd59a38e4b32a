//! The files of a run, in memory: which there are, as the config's `output` switches ask, and the manifest that lists
//! them. The same outcome gives the same bytes. What a table holds is said in `tables`, how one is written in
//! `formats`; the report page is `work::report`, and where files are kept is the artifact store's business.

pub(super) mod formats;
mod tables;

use rayon::prelude::*;
use serde_json::{Value, json};

pub use self::formats::Artifact;
use self::formats::{Column, Files, Named, pretty};
use super::confidence::CONFIDENCE;
use super::facts::{Facts, FilesError, resolved_config};
use super::{ENGINE_VERSION, document, report, sha256_hex};
use crate::engine::config::folder_of;
use crate::engine::market::Market;
use crate::engine::metrics::periods::PeriodReturns;
use crate::engine::{BlendStage, DebugKind, Outcome};
use crate::store::kept::{self, KeptError};
use crate::store::prices::Loaded;

/// Name of the file that lists all others and is written last.
pub const MANIFEST: &str = "artifacts_manifest.json";

/// Name of the file of the figures, which is always written.
pub const SUMMARY: &str = "summary.json";

/// The metrics of a run with its identity: what the row keeps and `summary.json` holds.
pub fn summary(facts: &Facts<'_>, outcome: &Outcome) -> Result<Value, FilesError> {
    let mut summary = json!({ "run_id": facts.run_id });
    if let (Value::Object(into), Value::Object(metrics)) =
        (&mut summary, serde_json::to_value(&outcome.summary)?)
    {
        into.extend(metrics);
    }
    if let Value::Array(warnings) = &mut summary["warnings"] {
        warnings.extend(facts.without_effect().into_iter().map(|warning| json!(warning)));
    }
    Ok(summary)
}

/// A summary without the id of its run.
fn figures_alone(summary: &Value) -> Value {
    let mut figures = summary.clone();
    if let Value::Object(fields) = &mut figures {
        fields.remove("run_id");
    }
    figures
}

/// Name of the file of the prices that a run read, where it keeps them.
pub const KEPT_PRICES: &str = "inputs/prices.parquet";

/// Name of the file of its signals.
pub const KEPT_SIGNALS: &str = "inputs/signals.parquet";

/// The rows that were read, as files that give the same rows again (`store::kept`).
pub fn inputs(loaded: &Loaded) -> Result<Vec<Artifact>, KeptError> {
    let prices = kept::write_prices(&loaded.prices, kept::BYTES_MAX)?;
    let rest = kept::BYTES_MAX.saturating_sub(prices.len() as u64);
    let mut files = vec![Artifact { name: KEPT_PRICES.to_owned(), content: prices }];
    if let Some(signals) = &loaded.signals {
        let content = kept::write_signals(signals, rest)?;
        files.push(Artifact { name: KEPT_SIGNALS.to_owned(), content });
    }
    Ok(files)
}

/// Every other file of a run but the manifest, as the config's `output` switches ask.
pub fn artifacts(
    facts: &Facts<'_>,
    market: &Market,
    outcome: &Outcome,
    summary: &Value,
) -> Result<Vec<Artifact>, FilesError> {
    let wanted = &facts.config.output;
    // Side by side; each part holds what shares a table.
    type Part<'p> = &'p (dyn Fn(&mut Files) -> Result<(), FilesError> + Sync);
    let parts: [Part<'_>; 8] = [
        &|files| config_files(files, facts),
        &|files| {
            let trades = tables::trades(outcome);
            if wanted.save_trades {
                files.csv("trades.csv", &trades)?;
                files.csv("rejected_orders.csv", &tables::rejected_orders(outcome))?;
            }
            if wanted.save_trades_parquet {
                files.parquet("trades.parquet", &trades)?;
                files.parquet("round_trips.parquet", &tables::trips(outcome))?;
                files.parquet("contributions.parquet", &tables::contributed(market, outcome))?;
                if let Some(booked) = &outcome.corporate_actions {
                    files
                        .parquet("corporate_actions.parquet", &tables::corporate_actions(outcome, booked))?;
                }
            }
            Ok(())
        },
        &|files| daily_files(files, facts, outcome),
        &|files| {
            if wanted.save_metrics_parquet {
                files.parquet("metrics_rolling.parquet", &tables::rolling_windows(outcome))?;
            }
            Ok(())
        },
        &|files| {
            if wanted.save_positions_snapshot {
                files.parquet("daily_positions.parquet", &tables::positions(market, outcome))?;
            }
            Ok(())
        },
        &|files| record_files(files, facts, outcome),
        &|files| {
            if let Some(next) = &outcome.next_orders {
                files.parquet("orders.parquet", &tables::next_orders(outcome, next))?;
                files.parquet("target_weights.parquet", &tables::target_weights(outcome, next))?;
            }
            Ok(())
        },
        &|files| {
            files.text("report.html", report::page(facts, market, outcome, &summary[CONFIDENCE])?);
            if wanted.save_plots {
                for (name, svg) in report::plots(facts, outcome) {
                    files.text(&format!("plots/{name}.svg"), svg);
                }
            }
            files.json(SUMMARY, summary)?;
            if wanted.save_metrics_json {
                files.json("metrics.json", &figures_alone(summary))?;
            }
            if wanted.save_summary_parquet {
                files.parquet("summary.parquet", &tables::one_row(summary))?;
            }
            Ok(())
        },
    ];
    let made = parts.par_iter().map(|part| {
        let mut files = Files::default();
        part(&mut files)?;
        Ok(files.0)
    });
    let made: Vec<Vec<Artifact>> = made.collect::<Result<_, FilesError>>()?;
    Ok(made.concat())
}

fn config_files(files: &mut Files, facts: &Facts<'_>) -> Result<(), FilesError> {
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

fn daily_files(files: &mut Files, facts: &Facts<'_>, outcome: &Outcome) -> Result<(), FilesError> {
    let wanted = &facts.config.output;
    let daily = tables::daily(outcome);
    if wanted.save_daily_metrics {
        files.csv("daily_metrics.csv", &daily)?;
        let periods =
            PeriodReturns::of(&outcome.daily.date, &outcome.daily.portfolio_value, facts.config.initial_cash);
        let monthly = tables::by_year(&periods, &tables::MONTHS, |year| year.months.to_vec());
        // Under both names that readers of artifacts know.
        files.csv("monthly_returns.csv", &monthly)?;
        files.csv("returns_monthly.csv", &monthly)?;
        files.csv(
            "returns_quarterly.csv",
            &tables::by_year(&periods, &tables::QUARTERS, |year| year.quarters.to_vec()),
        )?;
        files.csv("returns_yearly.csv", &tables::yearly(&periods))?;
        files.csv("drawdowns.csv", &tables::drawdowns(outcome))?;
    }
    if wanted.save_metrics_parquet {
        files.parquet("metrics_timeseries.parquet", &daily)?;
    }
    Ok(())
}

/// What only some strategies leave, and what went otherwise than asked.
fn record_files(files: &mut Files, facts: &Facts<'_>, outcome: &Outcome) -> Result<(), FilesError> {
    if facts.config.output.save_constraint_hits {
        files.json("constraint_hits.json", &tables::constraint_hits(outcome))?;
    }
    if let Some(curve) = outcome.benchmark.as_ref().filter(|_| facts.config.output.save_daily_metrics) {
        files.csv("benchmark.csv", &tables::benchmark(outcome, curve))?;
    }
    if !outcome.delisted.is_empty() {
        files.csv("delistings.csv", &tables::delistings(outcome))?;
    }
    if let Some(blend) = &outcome.blend {
        for (leg, name) in blend.legs.iter().enumerate() {
            let weights = tables::blend_weights(outcome, blend, BlendStage::Leg(leg));
            files.csv(&format!("legs/{}/weights.csv", folder_of(name)), &weights)?;
        }
        files.csv("blend/pre_constraints.csv", &tables::blend_weights(outcome, blend, BlendStage::Pre))?;
        files.csv("blend/post_constraints.csv", &tables::blend_weights(outcome, blend, BlendStage::Post))?;
    }
    if let Some(debug) = &outcome.debug {
        for kind in DebugKind::ALL {
            files.csv(
                &format!("strategy_debug/{}.csv", kind.as_str()),
                &tables::debug_rows(outcome, debug, kind),
            )?;
        }
    }
    Ok(())
}

/// Files that hold the run's id or what was read, so that they differ between two runs of the same fingerprint.
const NAMING_THE_RUN: [&str; 6] = [
    "config.resolved.json",
    "config.parquet",
    "metrics.json",
    "summary.json",
    "summary.parquet",
    "report.html",
];

/// SHA-256 of the results: over `name<tab>sha256<newline>`, sorted by name, of the files that do not name the run. Two runs
/// with equal results have equal digests, whatever their ids.
fn results_sha256<'f>(digests: impl Iterator<Item = (&'f str, &'f str)>) -> String {
    let mut lines: Vec<String> = digests
        .filter(|(name, _)| !NAMING_THE_RUN.contains(name))
        .map(|(name, digest)| format!("{name}\t{digest}\n"))
        .collect();
    lines.sort_unstable();
    sha256_hex(lines.concat())
}

/// The manifest of `files`, whose bytes are what the row's hash proves, and the digest of the results that it states.
pub fn manifest(facts: &Facts<'_>, files: &[Artifact]) -> Result<(Artifact, String), FilesError> {
    let digests: Vec<String> = files.par_iter().map(|file| sha256_hex(&file.content)).collect();
    let results =
        results_sha256(files.iter().map(|file| file.name.as_str()).zip(digests.iter().map(String::as_str)));
    let listed: Vec<Value> = files
        .iter()
        .zip(&digests)
        .map(|(file, digest)| {
            json!({
                "name": file.name,
                "size_bytes": file.content.len(),
                "sha256": digest,
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
        "results_sha256": results,
        "artifacts": listed,
    });
    Ok((Artifact { name: MANIFEST.to_owned(), content: pretty(&manifest)? }, results))
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

/// Results of several runs side by side, a row each, as CSV and Parquet: the fields of their summaries that are
/// plain values, in the order of the first, and the names of what limits did notably.
pub fn results(summaries: &[Value]) -> Result<Vec<Artifact>, FilesError> {
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
    let limits = summaries.iter().map(|summary| {
        let names = summary["account_of"]["notable"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    });
    let columns: Vec<Named<'_>> =
        columns.into_iter().chain([("limits", Column::Texts(limits.collect()))]).collect();
    files.csv("results.csv", &columns)?;
    files.parquet("results.parquet", &columns)?;
    Ok(files.0)
}
