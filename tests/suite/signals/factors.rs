//! Factor figures: kept by the sync beside the signals, a month at a time, made again where signals or prices changed and
//! nowhere else; shown by a command, over HTTP and on a page.

use backtest_functions::signal::YearMonth;
use backtest_functions::statistics::random::Draws;
use backtest_functions::store::delta::{Location, StorageOptions, Table};
use backtest_functions::store::signals::factors::{FACTORS, FactorTable, Figures};
use backtest_functions::store::signals::lake::{COMPOSITES, RANKING_SIGNALS, RANKINGS};
use backtest_functions::work::factors::{FactorInventory, FactorReport, FactorWhy, PriceFile, Source};
use backtest_functions::work::sync::SyncRequest;
use chrono::{Datelike as _, NaiveDate};
use serde_json::{Value, json};

use crate::statistics::{figures, stored};
use crate::support::html::assert_well_formed;
use crate::support::service::{Home, program, run_well};
use crate::support::signals::{Bar, Lake, Rank, Synced, month};
use crate::support::studies::beside;

const SYMBOLS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The weekdays of a month of 2020.
fn weekdays(month: u32) -> Vec<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(2020, month, 1).unwrap();
    let days = first.iter_days().take_while(|date| date.month() == month);
    days.filter(|date| date.weekday().number_from_monday() < 6).collect()
}

fn drawn(date: NaiveDate, symbol: usize, key: u64) -> f64 {
    Draws::of(key, symbol as u64).unit(date.to_epoch_days() as u64)
}

/// Prices of a month, the same whatever else there is: each day moves by itself.
fn prices(month: u32) -> Vec<Bar> {
    let bars = weekdays(month).into_iter().flat_map(|date| {
        SYMBOLS.iter().enumerate().map(move |(symbol, name)| Bar {
            date,
            symbol: (*name).to_owned(),
            open: 100.0 + drawn(date, symbol, 1),
            close: 100.0 + drawn(date, symbol, 2),
        })
    });
    bars.collect()
}

/// Rankings of a month by one strategy, by what it says of a day and symbol: the highest first.
fn rankings(month: u32, strategy: &str, says: impl Fn(NaiveDate, usize) -> f64) -> Vec<Rank> {
    let mut rows = Vec::new();
    for date in weekdays(month) {
        let mut order: Vec<usize> = (0..SYMBOLS.len()).collect();
        order.sort_by(|&a, &b| says(date, b).total_cmp(&says(date, a)));
        rows.extend(order.into_iter().zip(1..).map(|(symbol, rank)| Rank {
            date,
            strategy: strategy.to_owned(),
            symbol: SYMBOLS[symbol].to_owned(),
            rank,
        }));
    }
    rows
}

fn noise(date: NaiveDate, symbol: usize) -> f64 {
    drawn(date, symbol, 3)
}

/// A lake with rankings and prices of some months of 2020, a file each.
async fn lake(months: std::ops::RangeInclusive<u32>) -> Lake {
    let lake = Lake::empty();
    for month in months {
        lake.append(&rankings(month, "noise", noise)).await;
        lake.append_prices(&prices(month)).await;
    }
    lake
}

fn names(months: &[YearMonth]) -> Vec<String> {
    months.iter().map(ToString::to_string).collect()
}

/// A tick in which nothing may go wrong, and what it did to the figures.
async fn tick(synced: &Synced) -> FactorReport {
    let report = synced.tick().await;
    assert_eq!((report.failure(true), report.factors.failure()), (None, None));
    report.factors
}

/// All figures that a lake keeps.
async fn kept(lake: &Lake) -> Figures {
    FactorTable::open(&lake.signals()).await.unwrap().read(None, |_| true).await.unwrap().0
}

fn months_2020(months: &[u32]) -> Vec<String> {
    months.iter().map(|month| format!("2020-{month:02}")).collect()
}

#[test]
fn what_is_behind_follows_from_files_up_to_where_a_month_looked() {
    let file = |name: &str, first: &str, last: &str| PriceFile {
        name: name.to_owned(),
        days: Some((day(first), day(last))),
    };
    let (january, february) = (month("2020-01"), month("2020-02"));
    let before = FactorInventory {
        signals: [(january, "one".to_owned()), (february, "two".to_owned())].into(),
        prices: vec![file("a", "2019-12-02", "2020-03-31"), file("b", "2020-04-01", "2020-06-30")],
        ..FactorInventory::default()
    };
    assert_eq!(before.due(false), [(february, FactorWhy::NeverMade), (january, FactorWhy::NeverMade)]);
    // What a month was made from is noted by whoever made it; here it is found by trying.
    let noted = |inventory: &FactorInventory, month: YearMonth, until: Option<&str>| {
        let source = Source { files: String::new(), until: until.map(day), content: "c".into() };
        let files = inventory.files(month, source.until);
        Some(Source { files, ..source })
    };
    let held = FactorInventory {
        figures: [
            (january, noted(&before, january, Some("2020-04-30"))),
            (february, noted(&before, february, None)),
        ]
        .into(),
        ..before.clone()
    };
    assert_eq!(held.due(false), []);
    assert_eq!(held.due(true).len(), 2);
    let due = |change: &dyn Fn(&mut FactorInventory)| {
        let mut now = held.clone();
        change(&mut now);
        now.due(false).into_iter().map(|(month, why)| format!("{month} {why}")).collect::<Vec<_>>()
    };
    // New prices: of the month that looks at all that come.
    let changed = |month: &str| format!("{month} signals or prices changed");
    let later = file("c", "2020-07-01", "2020-07-31");
    assert_eq!(due(&|now| now.prices.push(later.clone())), [changed("2020-02")]);
    // A file within what both looked at, and one that does not say its days.
    assert_eq!(due(&|now| now.prices[1].name = "b again".into()), [changed("2020-02"), changed("2020-01")]);
    let undated = PriceFile { name: "d".into(), days: None };
    assert_eq!(due(&|now| now.prices.push(undated.clone())).len(), 2);
    // Prices before the month matter to nobody.
    assert!(due(&|now| now.prices.push(file("e", "2019-01-01", "2019-12-31"))).is_empty());
    // Signals of a month, and of the one before.
    assert_eq!(
        due(&|now| drop(now.signals.insert(january, "other".into()))),
        [changed("2020-02"), changed("2020-01")]
    );
    assert_eq!(due(&|now| drop(now.signals.insert(february, "other".into()))), [changed("2020-02")]);
    assert_eq!(due(&|now| drop(now.signals.remove(&february))), ["2020-02 signals gone".to_owned()]);
    // What cannot be read as a source is none.
    let source = noted(&before, february, None).unwrap();
    assert_eq!(source.to_string().parse::<Source>(), Ok(source));
    assert!("anything".parse::<Source>().is_err());
    assert_eq!(due(&|now| drop(now.figures.insert(january, None))), [changed("2020-01")]);
}

#[tokio::test]
async fn the_sync_keeps_figures_once_and_then_reads_nothing() {
    let lake = lake(1..=3).await;
    let synced = Synced::new(&lake, None);
    let first = tick(&synced).await;
    assert_eq!(names(&first.written), months_2020(&[3, 2, 1]));
    let second = tick(&synced).await;
    assert_eq!((second.written, second.unchanged, second.skipped), (vec![], vec![], None));
    let days: Vec<i32> = kept(&lake).await["noise"].iter().map(|day| day.day).collect();
    let expected: Vec<i32> = (1..=3).flat_map(weekdays).map(|date| date.to_epoch_days()).collect();
    assert_eq!(days, expected);
    // In order to know that nothing is behind, no data file is opened.
    for table in [RANKINGS, RANKING_SIGNALS, COMPOSITES, FACTORS, "gold/prices_daily"] {
        for file in lake.data_files(table) {
            std::fs::write(file, "no Parquet").unwrap();
        }
    }
    assert!(tick(&synced).await.written.is_empty());
}

#[tokio::test]
async fn a_changed_price_renews_the_months_that_look_at_it_and_no_other() {
    let lake = lake(1..=8).await;
    let synced = Synced::new(&lake, None);
    assert_eq!(tick(&synced).await.written.len(), 8);
    let before = kept(&lake).await;

    // From the last day of January 64 trading days lead to the end of April; from that of February into May.
    let mut may = prices(5);
    may.iter_mut().filter(|bar| bar.date == day("2020-05-15")).for_each(|bar| bar.close *= 1.1);
    let (first, last) = (day("2020-05-01"), day("2020-05-31"));
    lake.exchange_prices(first, last, &may).await;
    let renewed = tick(&synced).await;
    assert_eq!(names(&renewed.written), months_2020(&[5, 4, 3, 2]));
    assert!(renewed.unchanged.is_empty());
    let after = kept(&lake).await;
    let changed: Vec<u32> = before["noise"]
        .iter()
        .zip(&after["noise"])
        .filter(|(before, after)| before != after)
        .map(|(before, _)| NaiveDate::from_epoch_days(before.day).unwrap().month())
        .collect();
    assert!(
        changed.contains(&2) && changed.contains(&5) && changed.iter().all(|month| (2..=5).contains(month))
    );

    // All prices in one file: it says nothing of what is in it, so they are read, and no figure is computed.
    let mut all: Vec<Bar> = (1..=8).filter(|month| *month != 5).flat_map(prices).chain(may).collect();
    lake.exchange_prices(day("2020-01-01"), day("2020-12-31"), &all).await;
    let same = tick(&synced).await;
    assert!(same.written.is_empty(), "{same:?}");
    assert_eq!(names(&same.unchanged), months_2020(&[8, 7, 6, 5, 4, 3, 2, 1]));
    assert_eq!(kept(&lake).await, after);
    let nothing = tick(&synced).await;
    assert!(nothing.unchanged.is_empty() && nothing.written.is_empty());
    // And one changed price in that file.
    all.iter_mut().filter(|bar| bar.date == day("2020-08-31")).for_each(|bar| bar.open *= 1.1);
    lake.exchange_prices(day("2020-01-01"), day("2020-12-31"), &all).await;
    let last = tick(&synced).await;
    assert_eq!(names(&last.written), months_2020(&[8, 7, 6]));
    assert_eq!(names(&last.unchanged), months_2020(&[5, 4, 3, 2, 1]));

    // New prices are those of the months whose horizons had not ended.
    lake.append_prices(&prices(9)).await;
    assert_eq!(names(&tick(&synced).await.written), months_2020(&[8, 7, 6]));
}

#[tokio::test]
async fn turnover_follows_the_signals_of_the_month_before() {
    let lake = lake(1..=3).await;
    let synced = Synced::new(&lake, None);
    tick(&synced).await;
    let before = kept(&lake).await;
    assert_eq!(before["noise"][0].steadiness.replaced, [None; 5], "the first day has none before");
    assert!(before["noise"].iter().skip(1).all(|day| day.steadiness.rank_autocorrelation.is_some()));
    // Other signals in January: the first day of February is compared with them, March is left alone.
    let mut rows = rankings(1, "noise", |date, symbol| -noise(date, symbol));
    rows.extend((2..=3).flat_map(|month| rankings(month, "noise", noise)));
    lake.replace(&rows).await;
    let renewed = tick(&synced).await;
    assert_eq!(names(&renewed.written), months_2020(&[2, 1]));
    let after = kept(&lake).await;
    let february = weekdays(1).len();
    let (was, is) = (&before["noise"][february], &after["noise"][february]);
    assert_eq!(was.followed, is.followed);
    assert_ne!(was.steadiness.rank_autocorrelation, is.steadiness.rank_autocorrelation);
    assert_eq!(before["noise"][february + 1..], after["noise"][february + 1..]);
}

#[tokio::test]
async fn figures_go_with_their_signals_and_come_back_when_they_are_lost() {
    let lake = lake(1..=3).await;
    let synced = Synced::new(&lake, None);
    tick(&synced).await;
    let whole = kept(&lake).await;
    // What a crash between the signals and the figures leaves, and a month that was lost.
    std::fs::remove_dir_all(lake.root().join(FACTORS)).unwrap();
    assert_eq!(names(&tick(&synced).await.written), months_2020(&[3, 2, 1]));
    let place = Location::Local(lake.root().join(FACTORS));
    let mut table = Table::open(&place, &StorageOptions::default()).await.unwrap().unwrap();
    let mut files = table.data_files("date").await.unwrap();
    files.retain(|file| file.file.constants["year_month"].as_deref() == Some("2020-02"));
    table.overwrite(("year_month", "2020-02"), &files, None, "").await.unwrap();
    assert_eq!(names(&tick(&synced).await.written), months_2020(&[2]));
    assert_eq!(kept(&lake).await, whole);

    // Asked for, months are made again; others are left.
    let months = [month("2020-02")].into();
    let report = synced.ask(&SyncRequest { months, force: true, audit: false }).await;
    assert_eq!(names(&report.factors.written), months_2020(&[2]));

    lake.replace(&rankings(1, "noise", noise)).await;
    let gone = tick(&synced).await;
    assert_eq!(names(&gone.removed), months_2020(&[3, 2]));
    assert_eq!(kept(&lake).await["noise"].len(), weekdays(1).len());
    assert!(tick(&synced).await.removed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_syncs_at_once_keep_the_same_figures() {
    let (shared, alone) = (lake(1..=4).await, lake(1..=4).await);
    let (one, two) = (Synced::new(&shared, None), Synced::new(&shared, None));
    let (first, second) = tokio::join!(one.tick(), two.tick());
    for report in [&first, &second] {
        assert_eq!((report.failure(true), report.factors.failure()), (None, None));
    }
    tick(&one).await;
    assert!(tick(&two).await.written.is_empty(), "nothing is left to do");
    tick(&Synced::new(&alone, None)).await;
    assert_eq!(kept(&shared).await, kept(&alone).await);
}

#[tokio::test]
async fn what_goes_wrong_with_figures_is_said_and_is_no_failure_of_the_signals() {
    let lake = lake(1..=2).await;
    let mut odd = prices(3);
    odd[0].close = -1.0;
    lake.append_prices(&odd).await;
    let synced = Synced::new(&lake, None);
    let report = synced.tick().await;
    assert_eq!(report.failure(true), None);
    assert!(report.months.iter().all(|month| month.delta_written && month.error.is_none()));
    let failure = report.factors.failure().unwrap();
    assert!(failure.contains("close -1") && report.factors.written.is_empty(), "{failure}");

    let root = lake.root().to_str().unwrap();
    let said = run_well(&["sync", "--lake", root], lake.root());
    assert!(
        said.contains("factors: still behind, the signals are not touched by that: read prices"),
        "{said}"
    );
    let timer = json!({ "timer": { "IsPastDue": false } });
    let home = Home::empty();
    let handler = home.handler(&[("BACKTEST_LAKE", root)]).await;
    assert_eq!(handler.envelope("sync_signals", &timer).await.status.as_u16(), 200);
    let shown = program().args(["lake", "factors", "--lake", root]).output().unwrap();
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");

    // Corrected, the next tick makes them.
    lake.exchange_prices(day("2020-03-01"), day("2020-03-31"), &prices(3)).await;
    let said = run_well(&["sync", "--dry-run", "--lake", root], lake.root());
    assert_eq!(said, "2020-02  factors: never made\n2020-01  factors: never made\n");
    assert_eq!(names(&tick(&synced).await.written), months_2020(&[2, 1]));
}

#[tokio::test]
async fn a_lake_without_prices_has_no_figures_and_says_so() {
    let lake = Lake::empty();
    lake.append(&rankings(1, "noise", noise)).await;
    let report = tick(&Synced::new(&lake, None)).await;
    assert!(report.skipped.unwrap().contains("gold/prices_daily") && report.written.is_empty());
    let output =
        program().args(["lake", "factors", "--lake", lake.root().to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("signals cannot be followed: the lake has no Delta table gold/prices_daily"),
        "{said}"
    );
}

/// The close of the next weekday.
fn next_close(date: NaiveDate, symbol: usize) -> f64 {
    let next = date.iter_days().skip(1).find(|date| date.weekday().number_from_monday() < 6).unwrap();
    100.0 + drawn(next, symbol, 2)
}

#[tokio::test]
async fn a_signal_that_knows_the_next_day_is_seen() {
    let lake = Lake::empty();
    for month in 1..=3 {
        let close = |date: NaiveDate, symbol: usize| 100.0 + drawn(date, symbol, 2);
        lake.append(&rankings(month, "leak", |date, symbol| next_close(date, symbol) / close(date, symbol)))
            .await;
        lake.append_prices(&prices(month)).await;
    }
    tick(&Synced::new(&lake, None)).await;
    let said = run_well(
        &[
            "lake",
            "factors",
            "--strategy",
            "leak",
            "--output",
            "json",
            "--lake",
            lake.root().to_str().unwrap(),
        ],
        lake.root(),
    );
    let document: Value = serde_json::from_str(&said).unwrap();
    let sheet = &document["strategies"][0];
    let of = |entry: &str, horizon: u64| {
        let outlooks = sheet["outlooks"].as_array().unwrap();
        outlooks.iter().find(|one| one["entry"] == entry && one["horizon"] == horizon).unwrap().clone()
    };
    let leak = of("close_to_close", 1);
    assert!((leak["ic"]["mean_rank_ic"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{leak}");
    assert_eq!((&leak["ic"]["hit_rate"], &leak["days_ahead"]), (&json!(1.0), &json!(1)));
    assert_eq!(leak["ic"]["days"].as_u64().unwrap() as usize, (1..=3).flat_map(weekdays).count() - 1);
    // Always the same, so that there is nothing to divide by.
    assert_eq!(leak["undefined"]["ic_ir"], "the values do not vary");
    // Who trades at the next open earns nothing by it.
    assert!(of("next_open", 1)["ic"]["mean_rank_ic"].as_f64().unwrap().abs() < 0.3);
    // Months that are shorter than two horizons have no t.
    let long = of("next_open", 63);
    assert_eq!(long["ic"]["t_newey_west"], Value::Null);
    assert!(long["undefined"]["mean_rank_ic"].is_string() || long["undefined"]["t_newey_west"].is_string());
}

#[tokio::test]
async fn any_table_of_signals_gives_what_the_ranking_signals_give() {
    // With one strategy the composite is its percentile.
    let lake = lake(1..=4).await;
    let root = lake.root().to_str().unwrap().to_owned();
    let sheet = |arguments: &[&str]| -> Value {
        let mut all = vec!["lake", "factors", "--by-day", "--output", "json", "--lake", &root];
        all.extend(arguments);
        serde_json::from_str(&run_well(&all, lake.root())).unwrap()
    };
    let synced = Synced::new(&lake, None);
    tick(&synced).await;
    let kept = sheet(&["--strategy", "noise"]);
    assert_eq!(kept["notes"], json!([]));
    let mut table = sheet(&["--table", COMPOSITES, "--strategy", "composite_percentile"]);
    table["strategies"][0]["strategy"] = json!("noise");
    assert_eq!(kept["strategies"], table["strategies"]);
    assert_eq!(sheet(&["--table", COMPOSITES])["strategies"].as_array().unwrap().len(), 4);

    // And what is not kept is made on the spot, the same to the last bit.
    std::fs::remove_dir_all(lake.root().join(FACTORS)).unwrap();
    let now = sheet(&[]);
    assert_eq!(now["strategies"], kept["strategies"]);
    assert_eq!(
        now["notes"],
        json!(["4 months were computed now; `backtests sync` keeps them beside the signals"])
    );
    assert!(!lake.root().join(FACTORS).exists(), "a look keeps nothing");

    let refused = |arguments: &[&str]| {
        let mut all = vec!["lake", "factors", "--lake", &root];
        all.extend(arguments);
        let output = program().args(all).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = refused(&["--strategy", "nose"]);
    assert!(code == Some(1) && said.contains("'nose'; did you mean noise?; there are noise"), "{said}");
    let (code, said) = refused(&["--table", COMPOSITES, "--strategy", "percentile"]);
    assert!(code == Some(3) && said.contains("has no column 'percentile'"), "{said}");
    let (code, said) = refused(&["--table", "gold/none"]);
    assert!(code == Some(3) && said.contains("there is no table or file"), "{said}");
    let (code, said) = refused(&["--table", COMPOSITES, "--html", "page.html"]);
    assert!(code == Some(2) && said.contains("--html shows one strategy"), "{said}");
}

#[test]
fn the_stored_panel_gives_the_stored_coefficients_through_the_lake() {
    let (Some(panel), Some(want)) = (beside("factor_panel.parquet"), figures("factor_tear_sheet.json"))
    else {
        return;
    };
    let home = Home::empty();
    let (panel, lake) = (panel.to_str().unwrap().to_owned(), home.lake());
    let lake = lake.to_str().unwrap();
    run_well(&["lake", "import", &panel, "--lake", lake], home.path());
    run_well(
        &["lake", "import", &panel, "--signals", "--table", "platinum/panel", "--lake", lake],
        home.path(),
    );
    let said = run_well(
        &[
            "lake",
            "factors",
            "--table",
            "platinum/panel",
            "--strategy",
            "factor",
            "--output",
            "json",
            "--lake",
            lake,
        ],
        home.path(),
    );
    let document: Value = serde_json::from_str(&said).unwrap();
    let mut compared = 0;
    for outlook in document["strategies"][0]["outlooks"].as_array().unwrap() {
        let (entry, horizon) = (outlook["entry"].as_str().unwrap(), outlook["horizon"].to_string());
        let Some(want) = want["horizons"][entry].get(&horizon) else { continue };
        for (name, value) in want.as_object().unwrap() {
            stored(&format!("{entry} {horizon} {name}"), outlook["ic"][name].as_f64().unwrap(), value);
            compared += 1;
        }
    }
    assert_eq!(compared, 48);
}

#[tokio::test]
async fn figures_are_served_and_drawn() {
    let lake = lake(1..=4).await;
    let synced = Synced::new(&lake, None);
    tick(&synced).await;
    let root = lake.root().to_str().unwrap();
    let home = Home::empty();
    let handler = home.handler(&[("BACKTEST_LAKE", root)]).await;
    let get = async |path: &str| handler.get(&format!("/api/signals/factors/{path}")).await;

    let answer = get("noise").await;
    let document = answer.json();
    assert_eq!((answer.status.as_u16(), &document["behind"]), (200, &json!([])));
    let sheet = &document["sheet"];
    assert_eq!((&sheet["strategy"], &sheet["from"]), (&json!("noise"), &json!("2020-01-01")));
    assert_eq!(sheet["outlooks"].as_array().unwrap().len(), 8);
    assert_eq!(sheet["outlooks"][0].get("by_day"), None);
    let months: Vec<&str> = sheet["outlooks"][0]["by_month"]
        .as_array()
        .unwrap()
        .iter()
        .map(|period| period["period"].as_str().unwrap())
        .collect();
    assert_eq!(months, ["2020-01", "2020-02", "2020-03", "2020-04"]);
    assert_eq!(sheet["outlooks"][0]["by_year"][0]["ic"], sheet["outlooks"][0]["ic"]);
    // The same as the command shows.
    let said = run_well(&["lake", "factors", "--output", "json", "--lake", root], lake.root());
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["strategies"][0], *sheet);

    let etag = answer.header("etag").to_owned();
    let again = handler.http.get(format!("{}/api/signals/factors/noise", handler.url));
    let again = handler.send(again.header("If-None-Match", &etag)).await;
    assert_eq!(again.status.as_u16(), 304);

    let some = get("noise?from=2020-02-03&to=2020-02-14&by_day=true").await.json();
    let by_day = &some["sheet"]["outlooks"][0]["by_day"];
    assert_eq!(some["sheet"]["signal"]["days"], 10);
    for list in ["date", "symbols", "rank_ic", "pearson_ic", "top_minus_bottom", "curve"] {
        assert_eq!(by_day[list].as_array().unwrap().len(), 10, "{list}");
    }
    assert_eq!(by_day["date"][0], "2020-02-03");

    // Prices that came since: the figures are the old ones, and the answer says which months are behind.
    lake.append_prices(&prices(5)).await;
    let now = get("noise").await;
    assert_eq!(now.json()["behind"], json!(["2020-04", "2020-03", "2020-02"]));
    assert_ne!(now.header("etag"), etag);

    let page = get("noise/page").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert_well_formed(&html);
    for address in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!html.contains(address), "the page asks for something: {address}");
    }
    for part in [
        "Factor tear sheet",
        "noise",
        "Information coefficients",
        "Highest fifth less lowest",
        "id=\"curve\"",
        "id=\"monthly_3\"",
        "By year",
        "What does not count",
        "The signals or prices of 3 months are others",
    ] {
        assert!(html.contains(part), "the page lacks {part}");
    }
    assert!(html.len() < 100_000, "{} bytes", html.len());
    let file = lake.root().join("page.html");
    run_well(
        &["lake", "factors", "--strategy", "noise", "--html", file.to_str().unwrap(), "--lake", root],
        lake.root(),
    );
    assert_well_formed(&std::fs::read_to_string(file).unwrap());

    for (path, status, code) in [
        ("other", 404, "strategy_not_found"),
        ("other/page", 404, "strategy_not_found"),
        ("noise?from=2020-02-03&to=2020-01-01", 400, "invalid_parameter"),
        ("noise?from=soon", 400, "invalid_parameter"),
        ("noise/page?by_day=true", 400, "invalid_parameter"),
        ("noise/other", 404, "not_found"),
    ] {
        let refused = get(path).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (status, &json!(code)), "{path}");
    }
    let empty = Home::empty();
    let refused = empty.handler(&[]).await.get("/api/signals/factors/noise").await;
    assert_eq!(refused.json()["code"], "strategy_not_found");
    assert!(
        refused.json()["detail"].as_str().unwrap().contains("the sync makes them"),
        "{:?}",
        refused.json()
    );
}
