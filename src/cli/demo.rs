//! `backtests demo`: the whole path once, on real prices: lake, host, submit, watch, result.

use std::path::PathBuf;

use serde_json::Value;

use super::service::{Client, id_of};
use super::settings::{ClientSettings, environment, log_filter};
use super::summary::print_summary;
use super::throwaway::Server;
use super::{CliError, dev, lake, say, telemetry};
use crate::clock::Timestamp;
use crate::store::delta::{Location, StorageOptions};
use crate::store::pg::{Database, PgError};
use crate::store::prices::PRICE_TABLE;
use crate::work::document::parse_yaml;

/// Prices that come with the project.
const SAMPLE: &str = "examples/data/wiki5_ohlcv_daily.parquet";
/// Config that the demo submits.
const CONFIG: &str = "examples/momentum.yaml";

/// Show the whole path on real prices: fill a lake, start the local host, submit a backtest over HTTP, watch it,
/// print the result. The host is left running.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Port of the local host; 0 takes a free one [default: as of `backtests dev`].
    #[arg(long)]
    port: Option<u16>,
    /// Folder with host.json and examples/ [default: this one if it has a host.json, else what this program carries along].
    #[arg(long, value_name = "DIR")]
    app_root: Option<PathBuf>,
    /// Stop the host when the result is there.
    #[arg(long)]
    once: bool,
    /// Keep the run in a Postgres server that is started for the demo, and show the rows that it leaves.
    #[arg(long)]
    postgres: bool,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let mut options = dev::options(args.app_root.as_deref(), args.port)?;
    let root = options.app_root.clone();
    let lake = options.settings.get("BACKTEST_LAKE").cloned().unwrap_or_default();
    let lake = environment.get("BACKTEST_LAKE").cloned().unwrap_or(lake);

    let place = Location::parse(&lake).map_err(|error| CliError::usage(format!("BACKTEST_LAKE: {error}")))?;
    let table = place.join(PRICE_TABLE);
    let storage = StorageOptions::default();
    let found = crate::store::contents::inspect(&table, &storage).await;
    match found.map_err(|error| CliError::because("look at the lake", error))? {
        Some(contents) => say(format_args!("lake: {} bars in {table}", contents.rows)),
        None => {
            let contents = lake::import::sample(&root.join(SAMPLE), &table, &storage).await?;
            say(format_args!(
                "lake: {} real daily bars of {} stocks in {table}",
                contents.rows, contents.symbols
            ));
        }
    }

    let server = match args.postgres {
        true => Some(dev::with_postgres(&mut options).await?),
        false => None,
    };
    let text = std::fs::read_to_string(root.join(CONFIG))
        .map_err(|error| CliError::because(format!("read {CONFIG}"), error))?;
    let config: Value = parse_yaml(&text).map_err(|error| CliError::failed(format!("{CONFIG}: {error}")))?;
    dev::with_host(options, async |host| {
        let url = format!("http://{}", host.address());
        say(format_args!("host: {url}"));
        let client = Client::at("--port", &url, ClientSettings::from(&environment))?;
        let submitted = client.submit(&config, None, None, false).await?;
        let id = id_of(&submitted)?;
        say(format_args!("submitted {CONFIG} as {id}"));
        let run = client.watch(&id).await?;
        if run["status"] != "completed" {
            let why = run["error"].as_str().unwrap_or("no reason given");
            return Err(CliError::failed(format!("the demo's run did not complete: {why}")));
        }
        say(format_args!("files: {}", run["output_dir"].as_str().unwrap_or_default()));
        print_summary(&run["summary"], Some(&client.report_place(id.as_str())));
        if let Some(server) = &server {
            show_rows(server, id.as_str()).await?;
        }
        if !args.once {
            if let Some(server) = &server {
                dev::say_where(server);
            }
            say("the host goes on; Ctrl-C ends it");
        }
        Ok(!args.once)
    })
    .await
}

/// What became of the run in the database: its row has moved once for each line.
async fn show_rows(server: &Server, run_id: &str) -> Result<(), CliError> {
    let failed = |error: PgError| CliError::because("read the rows", error);
    let database = Database::parse(&server.dsn("postgres"), "demo")
        .map_err(|error| CliError::failed(error.to_string()))?;
    let client = database.connect().await.map_err(failed)?;
    let sql =
        "SELECT version, at, event, fence, actor FROM backtest.run_events WHERE run_id = $1 ORDER BY version";
    let rows = client.query(sql, &[&run_id]).await.map_err(|error| failed(error.into()))?;
    say("backtest.run_events:");
    for row in rows {
        let at: Timestamp = row.get("at");
        say(format_args!(
            "  {} {} {:<10} fence {} by {}",
            row.get::<_, i64>("version"),
            at.format("%H:%M:%S%.3f"),
            row.get::<_, String>("event"),
            row.get::<_, i64>("fence"),
            row.get::<_, String>("actor"),
        ));
    }
    Ok(())
}
