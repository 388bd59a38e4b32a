//! Months of signals brought to Delta and Postgres: what is behind, what a month costs, and what stays true when
//! things fail on the way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use backtest_functions::signal::{SignalTerms, Weights};
use backtest_functions::store::delta::{Layout, Location, StorageOptions, Table, TableError};
use backtest_functions::store::parquet::{Selection, scan};
use backtest_functions::store::signals::lake::{COMPOSITES, Held, RANKING_SIGNALS, RANKINGS, SignalLake};
use backtest_functions::store::signals::postgres::{SyncState, Window};
use backtest_functions::work::sync::{Inventory, Side, SyncRequest, SyncTerms, Why, audited, due, look};
use deltalake::arrow::array::{RecordBatch, UInt32Array};
use deltalake::arrow::compute::take_record_batch;
use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::relay::{Relay, port_of};
use crate::support::service::{Home, program, run_well};
use crate::support::signals::{Lake, Synced, answers, connect, everything, lines, month, ranks, states};

fn state(files: &str, status: &str, rows: i32) -> SyncState {
    SyncState {
        year_month: String::new(),
        status: status.to_owned(),
        error: None,
        synced_at: chrono::DateTime::UNIX_EPOCH,
        last_ok_at: None,
        attempts: 0,
        signals_rows: rows,
        composite_rows: rows,
        delta_version: Some(1),
        composite_version: Some(1),
        files_digest: Some(files.to_owned()),
        rows_written: None,
        days_replaced: None,
        duration_ms: None,
    }
}

#[test]
fn what_is_behind_follows_from_what_is_there() {
    let held = |stamp: &str| Held { files_digest: "files".into(), stamp: Some(stamp.into()) };
    let ok = Some(state("files", "ok", 1));
    // Rankings, signals and state of a month, and why each side is behind.
    let table = [
        (Some("r"), Some(held("r")), ok.clone(), None, None),
        (Some("r"), None, None, Some(Why::NeverMade), None),
        (Some("r"), Some(held("old")), ok.clone(), Some(Why::RankingsChanged), None),
        (None, Some(held("r")), ok.clone(), Some(Why::RankingsGone), None),
        (Some("r"), Some(held("r")), None, None, Some(Why::NeverWritten)),
        (Some("r"), Some(held("r")), Some(state("other", "ok", 1)), None, Some(Why::FilesChanged)),
        (Some("r"), Some(held("r")), Some(state("files", "failed", 1)), None, Some(Why::Failed)),
        (Some("r"), Some(held("r")), Some(state("files", "drift", 1)), None, Some(Why::Drift)),
        (None, None, Some(state("files", "ok", 1)), None, Some(Why::FilesChanged)),
        (None, None, Some(state("files", "ok", 0)), None, None),
    ];
    for (rankings, signals, state, delta, postgres) in table {
        let one = month("2020-01");
        let inventory = Inventory {
            rankings: Some(rankings.map(|stamp| (one, stamp.to_owned())).into_iter().collect()),
            signals: signals.into_iter().map(|held| (one, held)).collect(),
            states: Some(state.into_iter().map(|state| (one, state)).collect()),
        };
        let found = due(&inventory, &SyncRequest::default());
        let found = found.first().map_or((None, None), |due| (due.delta, due.postgres));
        assert_eq!(found, (delta, postgres), "{inventory:?}");
        // Signals that somebody else makes are only carried on.
        let foreign = Inventory { rankings: None, ..inventory };
        assert!(due(&foreign, &SyncRequest::default()).iter().all(|due| due.delta.is_none()));
    }
}

#[tokio::test]
async fn months_are_filled_newest_first_and_then_cost_nothing() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02", "2020-03"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    assert_eq!(synced.well().await, ["2020-03 36 18 54 3", "2020-02 36 18 54 3", "2020-01 36 18 54 3"]);
    let client = connect(&dsn).await;
    assert_eq!(states(&client).await, ["2020-03 ok 36 18", "2020-02 ok 36 18", "2020-01 ok 36 18"]);
    let first = &everything(&client).await[0];
    assert_eq!(first, "2020-01-01 2020-01 A fast 1 1 6 -1");
    let months = "SELECT concat_ws(' ', year_month, signals_rows, composite_rows) FROM ranking.signal_month ORDER BY 1";
    assert_eq!(answers(&client, months).await, ["2020-01 36 18", "2020-02 36 18", "2020-03 36 18"]);

    // Nothing is behind, and no data file is opened in order to know it.
    for table in [RANKINGS, RANKING_SIGNALS, COMPOSITES] {
        for file in lake.data_files(table) {
            std::fs::write(file, "no Parquet").unwrap();
        }
    }
    assert!(synced.well().await.is_empty());
}

#[tokio::test]
async fn only_what_changed_is_written() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let (client, files) = (connect(&dsn).await, lake.data_files(RANKING_SIGNALS));

    // The same rows in other files: no signal is written, in the lake or in Postgres.
    let mut rows = ranks("2020-02", 3, 0);
    rows.extend(ranks("2020-01", 3, 0));
    lake.replace(&rows).await;
    let before = everything(&client).await;
    assert_eq!(synced.well().await, ["2020-02 36 18 -", "2020-01 36 18 -"]);
    assert_eq!(lake.data_files(RANKING_SIGNALS), files);
    assert!(synced.well().await.is_empty());

    // One day with other ranks: that day.
    for row in rows.iter_mut().filter(|row| row.date.to_string() == "2020-02-02") {
        row.rank = 7 - row.rank;
    }
    lake.replace(&rows).await;
    assert_eq!(synced.well().await, ["2020-02 36 18 18 1", "2020-01 36 18 -"]);
    let after = everything(&client).await;
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(changed.clone().all(|(_, after)| after.starts_with("2020-02-02")) && changed.count() > 0);

    // A day that is gone, and one that is new.
    rows.retain(|row| row.date.to_string() != "2020-02-01");
    let mut new = ranks("2020-02", 4, 1);
    new.retain(|row| row.date.to_string() == "2020-02-04");
    rows.extend(new);
    lake.replace(&rows).await;
    assert_eq!(synced.well().await, ["2020-02 36 18 18 2", "2020-01 36 18 -"]);
    let days = "SELECT DISTINCT date::text FROM ranking.composite_signal_daily WHERE year_month = '2020-02' ORDER BY 1";
    assert_eq!(answers(&client, days).await, ["2020-02-02", "2020-02-03", "2020-02-04"]);
}

#[tokio::test]
async fn other_files_of_the_same_signals_write_no_row() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    // As a compaction would, somebody rewrites the partition.
    let place = Location::Local(lake.root().join(RANKING_SIGNALS));
    let mut table = Table::open(&place, &StorageOptions::default()).await.unwrap().unwrap();
    let mut batches = scan(table.files(None).await.unwrap(), Selection::default());
    let batch = batches.recv().await.unwrap().unwrap();
    let old = table.data_files("date").await.unwrap();
    let stamp = old[0].stamp.clone().unwrap();
    let backwards = UInt32Array::from_iter_values((0..batch.num_rows() as u32).rev());
    let batch = take_record_batch(&batch, &backwards).unwrap();
    table.overwrite(("year_month", "2020-01"), &old, Some(batch), &stamp).await.unwrap();
    assert_eq!(synced.well().await, ["2020-01 36 18 0 0"]);
}

#[tokio::test]
async fn a_month_whose_rankings_are_gone_goes_too() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    lake.replace(&ranks("2020-02", 3, 0)).await;
    assert_eq!(synced.well().await, ["2020-02 36 18 -", "2020-01 0 0 0 3"]);
    let client = connect(&dsn).await;
    assert_eq!(states(&client).await, ["2020-02 ok 36 18", "2020-01 ok 0 0"]);
    assert!(everything(&client).await.iter().all(|row| row.starts_with("2020-02")));
    let signals = lake.signals().look().await.unwrap().signals();
    assert_eq!(signals.into_keys().collect::<Vec<_>>(), [month("2020-02")]);
    assert!(synced.well().await.is_empty());

    // Without the table nothing is known of any month, and nothing is removed.
    std::fs::remove_dir_all(lake.root().join(RANKINGS)).unwrap();
    assert!(synced.well().await.is_empty());
    assert_eq!(states(&client).await[0], "2020-02 ok 36 18");
}

#[tokio::test]
async fn other_terms_make_every_month_behind() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let mut synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    synced.sync.terms.signals.top_n = 2;
    // Only composites know of hits.
    assert_eq!(synced.well().await, ["2020-02 36 18 18 3", "2020-01 36 18 18 3"]);
    synced.sync.terms.signals.weights = Weights::parse(r#"{"slow": 1}"#).unwrap();
    let report = synced.tick().await;
    let failure = report.failure(false).unwrap();
    assert!(failure.contains("RANKING_COMPOSITE_STRATEGY_WEIGHTS: no weight for fast"), "{failure}");
    assert_eq!(states(&connect(&dsn).await).await[0], "2020-02 failed 36 18");
    synced.sync.terms.signals = SignalTerms { top_n: 2, ..SignalTerms::default() };
    assert_eq!(synced.well().await, ["2020-02 36 18 0 0", "2020-01 36 18 0 0"]);
}

#[tokio::test]
async fn rows_of_an_earlier_system_are_replaced() {
    let Some(dsn) = database() else { return };
    let client = connect(&dsn).await;
    let old = "INSERT INTO ranking.ranking_signal (date, year_month, symbol, strategy, rank, rank_percentile, n_symbols) \
               VALUES ('2020-01-31', '2020-01', 'OLD', 'slow', 1, 1, 1), ('2020-01-01', '2020-01', 'A', 'slow', 9, 9, 9); \
               INSERT INTO ranking.signal_sync_state (year_month, signals_rows, composite_rows, status) \
               VALUES ('2020-01', 2, 0, 'success')";
    client.batch_execute(old).await.unwrap();
    let lake = Lake::with(&["2020-01"]).await;
    assert_eq!(Synced::new(&lake, Some(&dsn)).well().await, ["2020-01 36 18 54 3"]);
    assert!(everything(&client).await.iter().all(|row| !row.contains("OLD")));
    assert_eq!(states(&client).await, ["2020-01 ok 36 18"]);
}

#[tokio::test]
async fn hand_edits_are_found_and_mended() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let client = connect(&dsn).await;
    let before = everything(&client).await;
    let edits = "UPDATE ranking.ranking_signal SET score = score + 1e-9 WHERE date = '2020-02-01' AND symbol = 'A'; \
                 DELETE FROM ranking.composite_signal_daily WHERE date = '2020-02-02' AND symbol = 'B'; \
                 INSERT INTO ranking.ranking_signal (date, year_month, symbol, strategy, rank, rank_percentile, n_symbols) \
                 VALUES ('2020-02-20', '2020-02', 'X', 'mine', 1, 1, 1)";
    client.batch_execute(edits).await.unwrap();
    assert!(synced.well().await.is_empty(), "a plain sync trusts what it wrote");

    let request = SyncRequest { audit: true, ..SyncRequest::default() };
    let (found, error) = audited(&synced.sync, &request).await;
    assert_eq!(error, None);
    let days: Vec<String> = found[&month("2020-02")].days.iter().map(ToString::to_string).collect();
    assert_eq!((found.len(), days), (1, vec!["2020-02-01".into(), "2020-02-02".into(), "2020-02-20".into()]));
    assert_eq!(states(&client).await[0], "2020-02 ok 36 18", "a look changes nothing");

    let report = synced.ask(&request).await;
    assert_eq!((report.failure(true), report.drift), (None, found));
    assert_eq!(report.months[0].due.postgres, Some(Why::Drift));
    assert_eq!(everything(&client).await, before);
    assert_eq!(states(&client).await[0], "2020-02 ok 36 18");
}

#[tokio::test]
async fn force_writes_a_month_again() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let months = BTreeSet::from([month("2020-01")]);
    let report = synced.ask(&SyncRequest { months, force: true, audit: false }).await;
    assert_eq!(lines(&report), ["2020-01 36 18 54 3"]);
}

#[tokio::test]
async fn a_table_that_was_made_anew_is_followed() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02", "2020-03"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    // The versions begin again, below those that Postgres remembers.
    std::fs::remove_dir_all(lake.root().join("platinum/signals")).unwrap();
    lake.replace(&ranks("2020-03", 3, 1)).await;
    let report = synced.tick().await;
    assert_eq!(report.failure(true), None);
    assert_eq!(states(&connect(&dsn).await).await, ["2020-03 ok 36 18", "2020-02 ok 0 0", "2020-01 ok 0 0"]);
    assert!(synced.well().await.is_empty());
}

#[tokio::test]
async fn a_writer_needs_no_more_than_its_role() {
    let Some(dsn) = database() else { return };
    let writer = format!("{dsn}?options=-c%20role%3Dranking_writer");
    let lake = Lake::with(&["2020-01"]).await;
    assert_eq!(Synced::new(&lake, Some(&writer)).well().await, ["2020-01 36 18 54 3"]);
    let refused = connect(&writer).await.batch_execute("CREATE TABLE ranking.x (a int)").await.unwrap_err();
    assert!(format!("{refused:?}").contains("42501"));
    // And a reader cannot write.
    let reader = Synced::new(&lake, Some(&format!("{dsn}?options=-c%20role%3Dapi_service")));
    lake.replace(&ranks("2020-01", 3, 1)).await;
    let failure = reader.tick().await.failure(true).unwrap();
    assert!(failure.contains("make it a member of ranking_sync"), "{failure}");
}

#[tokio::test]
async fn postgres_away_for_a_tick_is_caught_up_with_by_the_next() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let relay = Relay::to(port_of(&dsn)).await;
    let synced = Synced::new(&lake, Some(&relay.before(&dsn)));
    relay.set(false);
    let report = synced.tick().await;
    assert!(report.postgres.is_some());
    assert!(report.failure(true).is_some() && report.failure(false).is_none());
    assert!(
        report.months.iter().all(|month| month.delta_written && month.written.is_none()),
        "Delta comes first"
    );
    relay.set(true);
    // No new rankings since.
    assert_eq!(synced.well().await, ["2020-02 36 18 54 3", "2020-01 36 18 54 3"]);
    assert_eq!(states(&connect(&dsn).await).await, ["2020-02 ok 36 18", "2020-01 ok 36 18"]);
}

#[tokio::test]
async fn a_connection_killed_in_the_middle_of_a_copy_leaves_the_old_month() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let client = connect(&dsn).await;
    let before = everything(&client).await;

    // A copy of 2020-02 stops at symbol C until its session is ended.
    let slow = "CREATE FUNCTION ranking.wait() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$; \
                CREATE TRIGGER wait BEFORE INSERT ON ranking.ranking_signal FOR EACH ROW \
                WHEN (NEW.symbol = 'C' AND NEW.year_month = '2020-02') EXECUTE FUNCTION ranking.wait()";
    client.batch_execute(slow).await.unwrap();
    let mut rows = ranks("2020-01", 3, 1);
    rows.extend(ranks("2020-02", 3, 1));
    lake.replace(&rows).await;
    let kill = "WITH stuck AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                AND query LIKE '%COPY%' AND wait_event = 'PgSleep') \
                SELECT pid::text FROM stuck WHERE pg_terminate_backend(pid)";
    let tick = async {
        let report = synced.tick().await;
        (report.failure(true).unwrap(), report)
    };
    // A session takes its time to end, and may be told twice.
    let mut killed = BTreeSet::new();
    let mut tick = std::pin::pin!(tick);
    let (failure, report) = loop {
        tokio::select! {
            done = &mut tick => break done,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                killed.extend(answers(&client, kill).await);
            }
        }
    };
    assert_eq!(killed.len(), 4, "once, and three times again");
    assert!(failure.contains("2020-02: copy the rows: the server was stopped"), "{failure}");
    assert_eq!(report.months[1].written.map(|written| written.rows), Some(54), "the other month is written");
    let now = everything(&client).await;
    let of = |rows: &[String], month: &str| -> Vec<String> {
        rows.iter().filter(|row| row.starts_with(month)).cloned().collect()
    };
    assert_eq!(of(&now, "2020-02"), of(&before, "2020-02"), "the old month is whole");
    assert_ne!(of(&now, "2020-01"), of(&before, "2020-01"));
    let known = "SELECT concat_ws(' ', year_month, status, attempts, signals_rows, left(error, 13)) \
                 FROM ranking.signal_sync_state ORDER BY year_month DESC";
    assert_eq!(answers(&client, known).await, ["2020-02 failed 1 36 copy the rows", "2020-01 ok 0 36"]);

    client.batch_execute("DROP TRIGGER wait ON ranking.ranking_signal").await.unwrap();
    assert_eq!(synced.well().await, ["2020-02 36 18 54 3"]);
    assert_eq!(answers(&client, known).await, ["2020-02 ok 0 36", "2020-01 ok 0 36"]);
}

#[tokio::test]
async fn a_read_only_server_is_waited_for_and_then_named() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01"]).await;
    let client = connect(&dsn).await;
    let name = answers(&client, "SELECT current_database()::text").await.remove(0);
    let read_only = async |on: &str| {
        let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
        // This session is older than the setting.
        client.batch_execute(&statement).await.unwrap();
    };
    read_only("on").await;
    let failure = Synced::new(&lake, Some(&dsn)).tick().await.failure(true).unwrap();
    assert!(failure.contains("the server is read-only"), "{failure}");
    assert!(everything(&client).await.is_empty() && states(&client).await.is_empty());
    read_only("off").await;
    assert_eq!(Synced::new(&lake, Some(&dsn)).well().await, ["2020-01 36 18 54 3"]);
}

#[tokio::test]
async fn missing_rows_are_counted_when_asked() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01"]).await;
    let client = connect(&dsn).await;
    let swallow = "CREATE FUNCTION ranking.swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
                   CREATE TRIGGER swallow BEFORE INSERT ON ranking.composite_signal_daily FOR EACH ROW \
                   WHEN (NEW.symbol = 'C') EXECUTE FUNCTION ranking.swallow()";
    client.batch_execute(swallow).await.unwrap();
    let mut synced = Synced::new(&lake, Some(&dsn));
    synced.sync.terms = SyncTerms { verify_counts: true, ..SyncTerms::default() };
    let failure = synced.tick().await.failure(true).unwrap();
    assert!(failure.contains("composite_signal_daily would have 15 of the month, not 18"), "{failure}");
    assert!(everything(&client).await.is_empty());
    assert_eq!(states(&client).await, ["2020-01 failed 0 0"]);
    client.batch_execute("DROP TRIGGER swallow ON ranking.composite_signal_daily").await.unwrap();
    assert_eq!(synced.well().await, ["2020-01 36 18 54 3"]);
}

/// A slip of the pen, a disk that is not mounted, a container without the tables: what is served stays.
#[tokio::test]
async fn a_lake_without_its_tables_takes_nothing_away() {
    let Some(dsn) = database() else { return };
    Synced::new(&Lake::with(&["2020-01"]).await, Some(&dsn)).well().await;
    let client = connect(&dsn).await;
    let before = everything(&client).await;
    let sync = |lake: &Path| {
        let output = program()
            .args(["sync", "--lake", lake.to_str().unwrap()])
            .env("POSTGRES_DSN", &dsn)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let other = Lake::empty();
    assert!(sync(&other.root().join("lost")).contains("there is no folder"));
    assert!(sync(other.root()).contains("but Postgres serves 1 months; is this the right lake?"));
    assert_eq!(everything(&client).await, before);
}

/// A writer that forgot `partition_by`: a month cannot be overwritten alone, and a table that seems to lack it says nothing.
#[tokio::test]
async fn signals_that_are_not_kept_by_month_are_refused_and_nothing_is_taken_away() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01"]).await;
    Synced::new(&lake, Some(&dsn)).well().await;
    let client = connect(&dsn).await;
    let before = everything(&client).await;
    for name in [RANKING_SIGNALS, COMPOSITES] {
        let kept = lake.root().join("kept");
        std::fs::rename(lake.root().join(name), &kept).unwrap();
        let whole =
            Table::open(&Location::Local(kept.clone()), &StorageOptions::default()).await.unwrap().unwrap();
        let rows = rows_of(&whole).await;
        let schema = rows[0].schema();
        let layout = Layout { schema: &schema, partition_columns: &[], comment: "signals" };
        let place = Location::Local(lake.root().join(name));
        Table::create(&place, &StorageOptions::default(), layout).await.unwrap().append(&rows).await.unwrap();
        let files = lake.data_files(name);
        let output = program()
            .args(["sync", "--lake", lake.root().to_str().unwrap()])
            .env("POSTGRES_DSN", &dsn)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("it is partitioned by nothing and must be by year_month alone"), "{said}");
        assert_eq!((lake.data_files(name), everything(&client).await), (files, before.clone()));
        std::fs::remove_dir_all(lake.root().join(name)).unwrap();
        std::fs::rename(kept, lake.root().join(name)).unwrap();
    }
    assert_eq!(Synced::new(&lake, Some(&dsn)).well().await, Vec::<String>::new());
}

/// All rows of a table.
async fn rows_of(table: &Table) -> Vec<RecordBatch> {
    let mut batches = scan(table.files(None).await.unwrap(), Selection { columns: None, dates: None });
    let mut rows = Vec::new();
    while let Some(batch) = batches.recv().await {
        rows.push(batch.unwrap());
    }
    rows
}

/// Postgres is filled again from the lake, whatever of its tables was emptied along with the state.
#[tokio::test]
async fn emptied_tables_are_filled_again() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let mut synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let client = connect(&dsn).await;
    let before = everything(&client).await;
    let empty = "TRUNCATE ranking.ranking_signal, ranking.composite_signal_daily, ranking.signal_sync_state";
    client.batch_execute(empty).await.unwrap();
    assert_eq!(synced.well().await, ["2020-02 36 18 54 3", "2020-01 36 18 54 3"]);
    assert_eq!(everything(&client).await, before);

    // Rows that are missing although all is said to be well are found by counting, and written.
    client.batch_execute("DELETE FROM ranking.ranking_signal WHERE date = '2020-01-02'").await.unwrap();
    synced.sync.terms = SyncTerms { verify_counts: true, ..SyncTerms::default() };
    lake.append(&ranks("2020-01", 1, 1)).await;
    assert_eq!(synced.well().await, ["2020-01 36 18 54 3"]);
    assert_eq!(everything(&client).await.len(), before.len());
}

/// Equal versions mean equal rows, whoever changed them.
#[tokio::test]
async fn served_rows_have_a_version_that_follows_them() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let signals = synced.sync.postgres.as_ref().unwrap();
    let (first, last) = ("2020-01-01".parse().unwrap(), "2020-01-31".parse().unwrap());
    let january = Window { first, last, symbols: None, strategies: Some(&[]) };
    let before = signals.window(&january, &mut |_| ()).await.unwrap();
    assert_eq!(signals.window(&january, &mut |_| ()).await.unwrap(), before);
    let by_hand = "UPDATE ranking.composite_signal_daily SET composite_percentile = 0.5 WHERE symbol = 'A'";
    connect(&dsn).await.batch_execute(by_hand).await.unwrap();
    assert_ne!(signals.window(&january, &mut |_| ()).await.unwrap(), before);
}

#[tokio::test]
async fn composites_that_were_lost_are_made_again() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, Some(&dsn));
    synced.well().await;
    let before = everything(&connect(&dsn).await).await;
    std::fs::remove_dir_all(lake.root().join(COMPOSITES)).unwrap();
    synced.well().await;
    assert_eq!(lake.data_files(COMPOSITES).len(), 2);
    assert_eq!(everything(&connect(&dsn).await).await, before);
}

/// Dates that nobody meant: a month is one that has rows, and one that can be written.
#[tokio::test]
async fn odd_dates_make_no_months() {
    let lake = Lake::empty();
    let mut rows = ranks("2020-01", 3, 0);
    rows.extend(ranks("2020-05", 3, 0));
    let mut odd = rows[0].clone();
    odd.date = chrono::NaiveDate::from_ymd_opt(57_385, 10, 1).unwrap();
    rows.push(odd);
    // One file, so that its dates span everything in between.
    lake.replace(&rows).await;
    let synced = Synced::new(&lake, None);
    assert_eq!(synced.well().await, ["2020-05 36 18 -", "2020-01 36 18 -"]);
    assert!(synced.well().await.is_empty(), "and then nothing is behind");
}

#[tokio::test]
async fn a_schema_from_before_is_named() {
    let Some(dsn) = database() else { return };
    let client = connect(&dsn).await;
    client.batch_execute("DROP VIEW ranking.signal_month; DROP TABLE ranking.signal_sync_day").await.unwrap();
    let lake = Lake::with(&["2020-01"]).await;
    let failure = Synced::new(&lake, Some(&dsn)).tick().await.failure(true).unwrap();
    assert!(failure.contains("backtests migrate up"), "{failure}");
    assert_eq!(states(&client).await, ["2020-01 failed 0 0"]);
}

#[tokio::test]
async fn a_broken_file_is_named_and_keeps_no_other_month_back() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01"]).await;
    let broken = lake.data_files(RANKINGS).remove(0);
    lake.append(&ranks("2020-02", 3, 0)).await;
    let whole = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let synced = Synced::new(&lake, Some(&dsn));
    let report = synced.tick().await;
    assert_eq!(lines(&report), ["2020-02 36 18 54 3", "2020-01 - -"]);
    let error = report.months[1].error.clone().unwrap();
    assert_eq!(error.side, Side::Delta);
    let name = broken.file_name().unwrap().to_str().unwrap();
    assert!(error.message.contains(RANKINGS) && error.message.contains(name), "{}", error.message);
    assert!(report.failure(false).is_some(), "it is a failure whether or not Postgres is required");
    assert_eq!(states(&connect(&dsn).await).await, ["2020-02 ok 36 18", "2020-01 failed 0 0"]);
    std::fs::write(&broken, whole).unwrap();
    assert_eq!(synced.well().await, ["2020-01 36 18 54 3"]);
}

#[tokio::test]
async fn ranks_that_cannot_be_are_named_in_their_month_and_keep_no_other_back() {
    for (rank, expected) in [
        (
            0,
            "3 rankings cannot be (2020-02-01 fast A: rank 0; 2020-02-02 fast A: rank 0; 2020-02-03 fast A: rank 0)",
        ),
        (
            7,
            "3 rankings cannot be (2020-02-01 fast A: rank 7 of 6; 2020-02-02 fast A: rank 7 of 6; 2020-02-03 fast A: rank 7 of 6)",
        ),
    ] {
        let lake = Lake::with(&["2020-01"]).await;
        let mut rows = ranks("2020-02", 3, 0);
        rows.iter_mut()
            .filter(|row| row.strategy == "fast" && row.symbol == "A")
            .for_each(|row| row.rank = rank);
        lake.append(&rows).await;
        let report = Synced::new(&lake, None).tick().await;
        assert_eq!(lines(&report)[1], "2020-01 36 18 -", "{:?}", lines(&report));
        let failure = report.failure(false).unwrap_or_default();
        assert!(failure.contains("2020-02") && failure.contains(expected), "{failure}");
        let view = lake.signals().look().await.unwrap();
        assert_eq!(view.signals().into_keys().collect::<Vec<_>>(), [month("2020-01")]);
    }
}

#[tokio::test]
async fn a_commit_upon_an_old_version_is_a_conflict() {
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, None);
    synced.well().await;
    let place = Location::Local(lake.root().join(RANKING_SIGNALS));
    let open = async || Table::open(&place, &StorageOptions::default()).await.unwrap().unwrap();
    let (mut one, mut two) = (open().await, open().await);
    let (of_one, of_two) = (one.data_files("date").await.unwrap(), two.data_files("date").await.unwrap());
    one.overwrite(("year_month", "2020-01"), &of_one[..1], None, "x").await.unwrap();
    let refused = two.overwrite(("year_month", "2020-02"), &of_two[1..], None, "x").await.unwrap_err();
    assert!(matches!(refused, TableError::Conflict { .. }), "{refused}");
    assert!(refused.is_retryable());
}

#[tokio::test]
async fn a_month_cut_off_between_its_tables_is_finished() {
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, None);
    synced.well().await;
    let whole = lake.signals().look().await.unwrap().read_signals(month("2020-01")).await.unwrap();
    // Composites come first, so that this is what a crash in between leaves.
    let place = Location::Local(lake.root().join(RANKING_SIGNALS));
    let mut table = Table::open(&place, &StorageOptions::default()).await.unwrap().unwrap();
    let mut files = table.data_files("date").await.unwrap();
    files.retain(|file| file.file.constants["year_month"].as_deref() == Some("2020-01"));
    table.overwrite(("year_month", "2020-01"), &files, None, "").await.unwrap();
    assert_eq!(synced.well().await, ["2020-01 36 18 -"]);
    let now = lake.signals().look().await.unwrap().read_signals(month("2020-01")).await.unwrap();
    assert_eq!(now, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_syncs_at_once_do_no_harm() {
    let Some(dsn) = database() else { return };
    let months = ["2020-01", "2020-02", "2020-03", "2020-04"];
    let lake = Lake::with(&months).await;
    let (one, two) = (Synced::new(&lake, Some(&dsn)), Synced::new(&lake, Some(&dsn)));
    let (first, second) = tokio::join!(one.tick(), two.tick());
    assert_eq!((first.failure(true), second.failure(true)), (None, None));
    let client = connect(&dsn).await;
    let alone = Lake::with(&months).await;
    let Some(other) = database() else { return };
    Synced::new(&alone, Some(&other)).well().await;
    assert_eq!(everything(&client).await, everything(&connect(&other).await).await);
    for one in months {
        let here = lake.signals().look().await.unwrap().read_signals(month(one)).await.unwrap();
        let there = alone.signals().look().await.unwrap().read_signals(month(one)).await.unwrap();
        assert_eq!(here, there, "{one}");
    }
    assert!(one.well().await.is_empty(), "nothing is left to do");
}

#[tokio::test]
async fn a_file_with_deleted_rows_is_refused() {
    let lake = Lake::with(&["2020-01"]).await;
    let log = lake.root().join(RANKINGS).join("_delta_log");
    let last = std::fs::read_to_string(log.join("00000000000000000001.json")).unwrap();
    let add = last.lines().find(|line| line.starts_with("{\"add\"")).unwrap();
    let mut add: Value = serde_json::from_str(add).unwrap();
    add["add"]["deletionVector"] = json!({
        "storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40, "cardinality": 6,
    });
    let protocol = json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"] } });
    let commit = format!("{protocol}\n{add}\n");
    std::fs::write(log.join("00000000000000000002.json"), commit).unwrap();
    let synced = Synced::new(&lake, None);
    let refused = look(&synced.sync, &SyncRequest::default()).await.unwrap_err().to_string();
    assert!(
        refused.contains("a deletion vector (file ") && refused.contains("rewrite the table"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_a_checkpoint_keeps_is_enough() {
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let synced = Synced::new(&lake, None);
    synced.well().await;
    for table in [RANKINGS, RANKING_SIGNALS, COMPOSITES] {
        let url = url::Url::from_directory_path(lake.root().join(table)).unwrap();
        let table = deltalake::open_table(url).await.unwrap();
        deltalake::checkpoints::create_checkpoint(&table, None).await.unwrap();
    }
    // The commits before the checkpoint may go.
    for table in [RANKINGS, RANKING_SIGNALS, COMPOSITES] {
        let entries = std::fs::read_dir(lake.root().join(table).join("_delta_log")).unwrap();
        let mut commits: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        commits.sort();
        commits.pop();
        assert_eq!(commits.len(), 2, "{table}");
        commits.iter().for_each(|commit| std::fs::remove_file(commit).unwrap());
    }
    assert!(synced.well().await.is_empty(), "what the rows were made from is still known");
    lake.append(&ranks("2020-03", 1, 0)).await;
    assert_eq!(synced.well().await, ["2020-03 12 6 -"]);
}

#[tokio::test]
async fn the_timer_fails_only_where_postgres_is_required() {
    let Some(dsn) = database() else { return };
    let home = Home::with_sample(5, 320);
    let lake = home.lake();
    run_well(&["lake", "rank", "--lake", lake.to_str().unwrap()], home.path());
    let relay = Relay::to(port_of(&dsn)).await;
    let dsn = relay.before(&dsn);
    let timer = json!({ "timer": { "IsPastDue": false } });
    let required = home.handler(&[("POSTGRES_DSN", &dsn)]).await;
    let lenient = home.handler(&[("POSTGRES_DSN", &dsn), ("POSTGRES_SIGNALS_WRITE_REQUIRED", "false")]).await;
    relay.set(false);
    assert_eq!(required.envelope("sync_signals", &timer).await.status.as_u16(), 503);
    assert_eq!(lenient.envelope("sync_signals", &timer).await.status.as_u16(), 200);
    assert_eq!(required.get("/api/signals/composite").await.status.as_u16(), 503);
    relay.set(true);
    assert_eq!(required.envelope("sync_signals", &timer).await.status.as_u16(), 200);
    assert!(!states(&connect(&dsn).await).await.is_empty());
}

#[tokio::test]
async fn signals_are_served() {
    let Some(dsn) = database() else { return };
    let home = Home::empty();
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    Synced::new(&lake, Some(&dsn)).well().await;
    let root = lake.root().to_str().unwrap();
    let handler = home.handler(&[("POSTGRES_DSN", &dsn), ("BACKTEST_LAKE", root)]).await;
    let get = async |path: &str| handler.get(&format!("/api/signals/{path}")).await;

    let newest = get("composite?limit=2").await.json();
    assert_eq!(newest["date"], "2020-02-03");
    assert_eq!((newest["signals"].as_array().unwrap().len(), &newest["truncated"]), (2, &json!(true)));
    assert_eq!(
        newest["signals"][0],
        json!({ "date": "2020-02-03", "symbol": "A", "composite_percentile": 1.0, "composite_rank": 1,
                "strategies_present": 2, "strategies_hit": 2 })
    );
    let one = get("ranking?date=2020-01-02&symbol=B,C&strategy=fast").await.json();
    let symbols: Vec<&str> =
        one["signals"].as_array().unwrap().iter().map(|row| row["symbol"].as_str().unwrap()).collect();
    assert_eq!((symbols.len(), &one["truncated"], &one["date"]), (2, &json!(false), &json!("2020-01-02")));
    assert_eq!(get("composite?date=1999-01-01").await.json()["signals"], json!([]));

    let sync = get("sync").await.json();
    assert_eq!(sync["months"][0]["year_month"], "2020-02");
    assert_eq!((&sync["months"][0]["status"], &sync["months"][0]["behind"]), (&json!("ok"), &json!(false)));
    lake.append(&ranks("2020-02", 1, 3)).await;
    lake.append(&ranks("2020-03", 1, 0)).await;
    let sync = get("sync").await.json();
    let months: Vec<_> = sync["months"]
        .as_array()
        .unwrap()
        .iter()
        .map(|month| (month["year_month"].as_str().unwrap(), month["why"].as_str()))
        .collect();
    let behind = [("2020-03", Some("never_made")), ("2020-02", Some("rankings_changed")), ("2020-01", None)];
    assert_eq!(months, behind);

    for (path, code) in [
        ("composite?date=yesterday", "invalid_parameter"),
        ("composite?limit=0", "invalid_parameter"),
        ("composite?strategy=fast", "invalid_parameter"),
        ("other", "not_found"),
        ("", "not_found"),
    ] {
        assert_eq!(get(path).await.json()["code"], code, "{path}");
    }
    let without = home.handler(&[]).await;
    let refused = without.get("/api/signals/sync").await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].clone()),
        (501, json!("signals_unavailable"))
    );
    // The same answer by envelope.
    let request = json!({ "req": { "Method": "GET", "Query": { "limit": "1" }, "Params": { "view": "composite" },
                                   "Headers": {}, "Url": "http://localhost/api/signals/composite" } });
    let answer = handler.envelope("signals", &request).await.json();
    assert_eq!(answer["Outputs"]["res"]["body"]["date"], "2020-02-03");
}

#[tokio::test]
async fn the_command_says_what_is_behind_and_brings_it_up_to_date() {
    let Some(dsn) = database() else { return };
    let lake = Lake::with(&["2020-01", "2020-02"]).await;
    let command = |arguments: &[&str]| {
        let output = program()
            .arg("sync")
            .args(arguments)
            .args(["--lake", lake.root().to_str().unwrap()])
            .env("POSTGRES_DSN", &dsn)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let behind = command(&["--dry-run"]);
    assert_eq!(behind.1, "2020-02  delta: never made\n2020-01  delta: never made\n");
    assert_eq!(command(&["--month", "2020-1"]).0, Some(2));
    assert_eq!(command(&["--force"]).0, Some(2));
    let (code, said, _) = command(&["--month", "2020-01"]);
    assert!(code == Some(0) && said.contains("2020-01  never made") && !said.contains("2020-02"), "{said}");
    assert_eq!(command(&["--dry-run"]).1, "2020-02  delta: never made\n");
    let (_, said, _) = command(&["--all", "--output", "json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["months"][0]["written"], json!({ "rows": 54, "days": 3 }));
    assert_eq!(command(&["--dry-run"]).1, "every month is up to date\n");
    let client = connect(&dsn).await;
    client.batch_execute("DELETE FROM ranking.ranking_signal WHERE date = '2020-01-02'").await.unwrap();
    assert_eq!(command(&["--audit", "--dry-run"]).1, "2020-01  changed by hand: 2020-01-02\n");
    assert!(command(&["--audit"]).1.contains("2020-01: changed by hand: 2020-01-02"));
    assert_eq!(command(&["--audit", "--dry-run"]).1, "every month is up to date\n");
}

#[tokio::test]
async fn settings_of_the_sync_are_strict() {
    let home = Home::empty();
    let output = program()
        .args(["sync", "--lake", home.path().to_str().unwrap()])
        .env("RANKING_TOP_N", "many")
        .env("RANKING_COMPOSITE_STRATEGY_WEIGHTS", "[1]")
        .env("POSTGRES_SIGNALS_WRITE_REQUIRED", "perhaps")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for name in ["RANKING_TOP_N", "RANKING_COMPOSITE_STRATEGY_WEIGHTS", "POSTGRES_SIGNALS_WRITE_REQUIRED"] {
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test]
async fn a_lake_with_only_prices_works_from_end_to_end() {
    let home = Home::with_sample(6, 300);
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    let said = run_well(&["lake", "rank", "--lake", lake], home.path());
    assert!(said.contains("of 300 new days"), "{said}");
    assert!(run_well(&["lake", "rank", "--lake", lake], home.path()).contains("0 rankings of 0 new days"));
    let months = run_well(&["sync", "--lake", lake], home.path());
    assert!(months.contains("2001-02"), "{months}");

    // New prices: the next sync ranks them, and gives what ranking everything at once gives.
    let more = Home::with_sample(6, 310);
    let table = "gold/prices_daily";
    std::fs::remove_dir_all(home.lake().join(table)).unwrap();
    run_well(&["lake", "sample", "--symbols", "6", "--days", "310", "--lake", lake], home.path());
    run_well(&["sync", "--lake", lake], home.path());
    let whole = more.lake();
    let whole = whole.to_str().unwrap();
    run_well(&["lake", "rank", "--lake", whole], home.path());
    run_well(&["sync", "--lake", whole], home.path());
    let read = async |root: &str| {
        let lake = SignalLake::new(Location::parse(root).unwrap(), StorageOptions::default());
        let view = lake.look().await.unwrap();
        let mut months = Vec::new();
        for month in view.signals().into_keys() {
            months.push(view.read_signals(month).await.unwrap());
        }
        months
    };
    let (one, other) = (read(lake).await, read(whole).await);
    assert!(one.len() > 12 && one == other);
    // Rankings of somebody else are left alone.
    let foreign = Lake::with(&["2020-01"]).await;
    let output =
        program().args(["lake", "rank", "--lake", foreign.root().to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("were not made from prices here"));
}

/// Runs a backtest that decides by a signal column. Also answers where its files are.
fn backtest_by(home: &Home, out: &str, source: &str, column: &str, dsn: Option<&str>) -> (Output, PathBuf) {
    let config = format!(
        "start_date: 2001-01-02\nend_date: 2001-06-29\nuniverse: {{symbols: ['*']}}\n\
         data: {{signal_source: {source}}}\n\
         strategy: {{class: TopNSignalStrategy, parameters: {{signal_column: {column}, top_n: 3, rebalance: weekly}}}}\n"
    );
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let lake = home.lake();
    let mut command = program();
    command
        .current_dir(home.path())
        .args(["run", "config.yaml", "--run-id", "r", "--lake", lake.to_str().unwrap(), "--out", out])
        .envs(dsn.map(|dsn| ("POSTGRES_DSN", dsn)));
    (command.output().unwrap(), home.path().join(out).join("r"))
}

#[tokio::test]
async fn a_backtest_reads_the_same_signals_from_postgres_as_from_the_lake() {
    let Some(dsn) = database() else { return };
    let home = Home::with_sample(8, 400);
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    run_well(&["lake", "rank", "--lake", lake], home.path());
    let run = |source: &str, column: &str, dsn| {
        backtest_by(&home, &format!("{source}-{column}"), source, column, dsn)
    };
    let refused = run("postgres", "composite_percentile", None).0;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("needs a service with POSTGRES_DSN"));

    let synced = program().args(["sync", "--lake", lake]).env("POSTGRES_DSN", &dsn).output().unwrap();
    assert!(synced.status.success(), "{synced:?}");
    for column in ["composite_percentile", "strategies_hit"] {
        let (one, delta) = run("auto", column, None);
        let (other, served) = run("postgres", column, Some(&dsn));
        assert!(one.status.success() && other.status.success(), "{one:?} {other:?}");
        let mut compared = 0;
        for entry in std::fs::read_dir(&delta).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let read = |folder: &Path| std::fs::read(folder.join(&name)).unwrap();
            let (one, other) = (read(&delta), read(&served));
            match name.as_str() {
                // These repeat the config and where the data come from, as text and as hashes.
                "config.yaml" | "config.resolved.json" | "artifacts_manifest.json" | "report.html" => {
                    let (one, other) = (without_source(&one), without_source(&other));
                    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
                    let near = |text: &str| {
                        text.chars().skip(same.saturating_sub(200)).take(400).collect::<String>()
                    };
                    assert!(one == other, "{column}: {name} differs:\n{}\n{}", near(&one), near(&other));
                }
                "config.parquet" => assert_ne!(one, other),
                _ => assert!(one == other, "{column}: {name} differs"),
            }
            compared += 1;
        }
        assert!(compared >= 3, "{compared} files were compared");
        let summary = |folder: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap()
        };
        let (delta, served) = (summary(&delta), summary(&served));
        assert_eq!(delta["final_equity"], served["final_equity"]);
        assert!(delta["final_equity"].is_number());
    }
}

#[tokio::test]
async fn a_backtest_reads_the_percentiles_of_strategies_from_postgres() {
    let Some(dsn) = database() else { return };
    let home = Home::with_sample(8, 400);
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    run_well(&["lake", "rank", "--lake", lake], home.path());
    let synced = program().args(["sync", "--lake", lake]).env("POSTGRES_DSN", &dsn).output().unwrap();
    assert!(synced.status.success(), "{synced:?}");
    let run = |out: &str, source: &str| {
        let (output, folder) = backtest_by(&home, out, source, "reversal_21d_percentile", Some(&dsn));
        (output, std::fs::read_to_string(folder.join("trades.csv")).unwrap_or_default())
    };
    // Ranked by the same formula, so that the percentiles are those that a backtest computes from prices.
    let (computed, served) = (run("computed", "auto").1, run("served", "postgres").1);
    assert!(computed.lines().count() > 10 && computed == served);

    let admin = connect(&dsn).await;
    let turn = "UPDATE ranking.ranking_signal SET rank_percentile = 1 - rank_percentile";
    admin.batch_execute(turn).await.unwrap();
    assert_ne!(run("turned", "postgres").1, served);

    admin
        .batch_execute("DELETE FROM ranking.composite_signal_daily WHERE date >= '2001-01-01'")
        .await
        .unwrap();
    let output = run("empty", "postgres").0;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3), "{said}");
    assert!(said.contains("has no row of the universe between 2001-01-02 and 2001-06-29"), "{said}");
}

/// A text without what names the source of signals, and without what follows from its length.
fn without_source(text: &[u8]) -> String {
    let mut text = String::from_utf8(text.to_vec()).unwrap();
    for (pattern, instead) in [
        ("[0-9a-f]{12,64}", "hash"),
        (r"signal_source(\W+)(auto|postgres)", "signal_source"),
        (r#""size_bytes": \d+"#, "size"),
        (r"(/\S+/platinum/signals/daily|postgres ranking.composite_signal_daily)", "table"),
        (r#""signals": \{[^}]*\}"#, "signals"),
        ("(?m)^  signals:\n(    .*\n)+", "signals"),
        ("(<tr><th[^>]*>signals, .*?</tr>)+", "rows"),
    ] {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, instead).into_owned();
    }
    text
}
