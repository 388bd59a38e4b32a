//! Which files a run writes, and where.

use super::options::{Scalar as _, flag, options, text};

options! {
    /// Which files a run writes, and where.
    OutputConfig {
        /// Folder of `backtests run` without `--out`; no effect in a service.
        local_dir: Option<String> = text().off(),
        /// `container/prefix` for a service; no effect in `backtests run`.
        adls_dir: Option<String> = text().off(),
        /// Trades and rejected orders as CSV.
        save_trades: bool = flag().or(true),
        /// Daily metrics and returns by month, quarter and year as CSV.
        save_daily_metrics: bool = flag().or(true),
        /// The charts of the report as SVG.
        save_plots: bool = flag().or(false),
        /// Daily positions as Parquet.
        save_positions_snapshot: bool = flag().or(true),
        /// Daily and rolling metrics as Parquet.
        save_metrics_parquet: bool = flag().or(true),
        /// The config with all defaults as JSON.
        save_resolved_config_json: bool = flag().or(true),
        /// The figures without the run's id as JSON; the summary is always written.
        save_metrics_json: bool = flag().or(true),
        /// What the constraints changed as JSON.
        save_constraint_hits: bool = flag().or(true),
        /// Nothing: runs are listed by the service.
        save_run_index_parquet: bool = flag().or(true),
        /// Trades as Parquet.
        save_trades_parquet: bool = flag().or(true),
        /// The config with all defaults as Parquet.
        save_config_parquet: bool = flag().or(true),
        /// The summary as Parquet.
        save_summary_parquet: bool = flag().or(true),
        /// The last day is decided too: the orders that it leaves and the weights that they lead to, as Parquet.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        save_orders: bool = flag().or(false),
        /// The rows of prices and signals that were read, so that the run can be made again once its data is gone.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        keep_inputs: bool = flag().or(false),
    }
}

impl OutputConfig {
    pub(super) fn without_effect(&self, found: &mut Vec<String>) {
        if !self.save_run_index_parquet {
            found.push("output.save_run_index_parquet has no effect: there is no such file".to_owned());
        }
    }
}
