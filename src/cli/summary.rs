//! What a person sees of a finished run: its figures in the terminal, its report in the browser.

use std::path::Path;

use serde_json::Value;

use super::table::{number, percent};
use super::{CliError, say};

/// Name of the report among the files of a run.
pub(super) const REPORT: &str = "report.html";

/// The figures that a person looks at first, and where the report is.
pub(super) fn print_summary(summary: &Value, report: Option<&str>) {
    let text = |name: &str| summary[name].as_str().unwrap_or("-").to_owned();
    // Summaries of older runs only know what was asked for.
    let day = |computed: &str, asked: &str| match summary[computed].as_str() {
        Some(day) => day.to_owned(),
        None => text(asked),
    };
    let mut rows = vec![
        ("run", text("run_id")),
        ("name", text("run_name")),
        ("period", format!("{} to {}", day("first_day", "start_date"), day("last_day", "end_date"))),
        ("final equity", number(&summary["final_equity"])),
        ("total return", percent(&summary["total_return"])),
    ];
    let benchmark = &summary["benchmark"];
    if let Some(name) = benchmark["name"].as_str() {
        rows.push(("benchmark", name.to_owned()));
        rows.push(("benchmark return", percent(&benchmark["total_return"])));
    }
    rows.extend([
        ("annualized return", percent(&summary["annualized_return"])),
        ("annualized volatility", percent(&summary["annualized_volatility"])),
        ("Sharpe ratio", number(&summary["sharpe_ratio"])),
        ("Sortino ratio", number(&summary["sortino_ratio"])),
        ("max drawdown", percent(&summary["max_drawdown"])),
        ("turnover a day, both sides", percent(&summary["average_turnover"])),
        ("costs", number(&summary["total_costs"])),
        ("fills", summary["trades"].as_u64().map_or_else(|| "-".to_owned(), |count| count.to_string())),
    ]);
    for (name, value) in rows {
        say(format_args!("{name:<22} {value:>28}"));
    }
    for warning in summary["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("warning: {warning}"));
    }
    if let Some(report) = report {
        say(format_args!("report: {report}"));
    }
}

/// Shows a page in the browser of this desktop.
pub(super) async fn show(page: &Path) -> Result<(), CliError> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let shown = tokio::process::Command::new(program).arg(page).output().await;
    match shown {
        Ok(shown) if shown.status.success() => Ok(()),
        Ok(shown) => Err(CliError::failed(format!(
            "{program} {}: {}; open the file by hand",
            page.display(),
            String::from_utf8_lossy(&shown.stderr).trim()
        ))),
        Err(error) => {
            Err(CliError::failed(format!("--open needs {program}: {error}; open {} by hand", page.display())))
        }
    }
}
