//! Bars into the lake, and what is refused.

use backtest_functions::store::dates::DateReading;
use backtest_functions::store::delta::{Location, StorageOptions, Table};
use backtest_functions::store::parquet::DateRange;
use chrono::NaiveDate;
use serde_json::Value;

use crate::support::service::{Home, project, run, run_well};

const HEADER: &str = "Date,Symbol,Open,High,Low,Close,Volume\n";

fn import(home: &Home, content: &str, more: &[&str]) -> std::process::Output {
    let file = home.path().join("bars.csv");
    std::fs::write(&file, content).unwrap();
    let lake = home.lake();
    let mut arguments = vec!["lake", "import", file.to_str().unwrap(), "--lake", lake.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments, home.path())
}

fn inspect(home: &Home) -> Value {
    let lake = home.lake();
    let text =
        run_well(&["lake", "inspect", "--output", "json", "--lake", lake.to_str().unwrap()], home.path());
    serde_json::from_str::<Value>(&text).unwrap()["contents"].clone()
}

fn refusal(output: &std::process::Output) -> String {
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_sample_prices_arrive_whole() {
    let contents = inspect(&Home::with_prices());
    assert_eq!(contents["rows"], 12154);
    assert_eq!(contents["symbols"], 5);
    assert_eq!(contents["dates"], 3270);
    assert_eq!((&contents["first"], &contents["last"]), (&"2000-03-01".into(), &"2013-03-01".into()));
    assert_eq!(contents["missing"], serde_json::json!([]));
}

#[test]
fn column_names_may_be_spelled_in_any_case_and_gaps_are_counted() {
    let home = Home::empty();
    let output =
        import(&home, &format!("{HEADER}2020-01-02,A,1,2,0.5,1.5,100\n2020-01-03,A,,2,,1.6,\n"), &[]);
    assert!(output.status.success(), "{output:?}");
    let contents = inspect(&home);
    assert_eq!(contents["rows"], 2);
    let mut missing: Vec<String> = contents["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{} {}", pair[0], pair[1]))
        .collect();
    missing.sort();
    assert_eq!(missing, ["\"low\" 1", "\"open\" 1", "\"volume\" 1"]);
}

#[test]
fn impossible_rows_are_refused_with_counts_and_examples_and_nothing_is_written() {
    let home = Home::empty();
    let rows = "2020-01-02,A,-1,2,0.5,1.5,100\n\
                2020-01-02,B,1,2,3,1.5,100\n\
                2020-01-02,B,1,2,0.5,1.5,100\n\
                2020-01-02,C,1,2,0.5,1.5,-5\n\
                2020-13-02,D,1,2,0.5,1.5,100\n\
                2020-01-02,,1,2,0.5,1.5,100\n";
    let refusal = refusal(&import(&home, &format!("{HEADER}{rows}"), &[]));
    for expected in [
        "3 rows: prices or volumes that cannot be (--on-impossible-price skip leaves them out) (bars.csv row 2: \
         2020-01-02 A: open -1; bars.csv row 3: 2020-01-02 B: high 2 below low 3; bars.csv row 5: 2020-01-02 C: volume -5)",
        "1 rows: no date, or one that is not YYYY-MM-DD (bars.csv row 6: date '2020-13-02')",
        "1 rows: no symbol (bars.csv row 7: symbol empty)",
        "1 rows: a second one of the same date and symbol (2020-01-02 B)",
    ] {
        assert!(refusal.contains(expected), "{expected:?} is not in {refusal}");
    }
    assert!(!home.lake().exists(), "something was written");
}

#[test]
fn a_missing_column_is_named() {
    let refusal = refusal(&import(&Home::empty(), "date,symbol,close\n2020-01-02,A,1\n", &[]));
    assert!(refusal.contains("no column 'open'") && refusal.contains("date, symbol, close"), "{refusal}");
}

#[test]
fn bars_are_added_once_or_replaced_on_request() {
    let home = Home::empty();
    let first = format!("{HEADER}2020-01-02,A,1,2,0.5,1.5,100\n");
    assert!(import(&home, &first, &[]).status.success());
    assert!(refusal(&import(&home, &first, &[])).contains("1 of the rows are in the table already"));
    assert!(import(&home, &format!("{HEADER}2020-01-03,A,1,2,0.5,1.5,100\n"), &[]).status.success());
    assert_eq!(inspect(&home)["rows"], 2);
    assert!(import(&home, &first, &["--replace"]).status.success());
    assert_eq!(inspect(&home)["rows"], 1);
}

#[test]
fn numbers_that_cannot_be_read_are_refused_and_symbols_lose_their_blanks() {
    let home = Home::empty();
    let rows =
        "2020-01-02,A,x,2,0.5,1.5,100\n2020-01-03,A,1,2,0.5,1O,100\n2020-01-04,A,1,2,0.5,1.5,\"1,000\"\n";
    let refusal = refusal(&import(&home, &format!("{HEADER}{rows}"), &[]));
    for expected in [
        "2 rows: a number that cannot be read (bars.csv row 2: open 'x'; bars.csv row 3: close '1O')",
        "1 rows: a number that may be two: say --thousands , or --decimal , (bars.csv row 4: volume '1,000')",
    ] {
        assert!(refusal.contains(expected), "{expected:?} is not in {refusal}");
    }
    assert!(import(&home, &format!("{HEADER}2020-01-02, A ,1,2,0.5,1.5,100\n"), &[]).status.success());
    assert!(import(&home, &format!("{HEADER}2020-01-02,A,1,2,0.5,1.5,100\n"), &[]).status.code() == Some(3));
}

#[test]
fn a_file_with_other_columns_than_the_table_is_refused_and_may_replace_it() {
    let home = Home::empty();
    assert!(import(&home, "date,symbol,open,close\n2020-01-02,A,1,2\n", &[]).status.success());
    let adjusted = "date,symbol,open,close,adj_close,volume\n2020-01-03,A,1,2,1,5\n";
    let more = refusal(&import(&home, adjusted, &[]));
    assert!(more.contains("only the file has adj_close, volume"), "{more}");
    assert!(import(&home, adjusted, &["--replace"]).status.success());
    let contents = inspect(&home);
    assert_eq!(contents["rows"], 1);
    let columns = contents["columns"].as_array().unwrap();
    assert!(columns.contains(&"adj_close".into()) && columns.contains(&"volume".into()), "{contents}");
    let less = refusal(&import(&home, "date,symbol,open,close\n2020-01-06,A,1,2\n", &[]));
    assert!(less.contains("only the table has adj_close, volume"), "{less}");
}

#[test]
fn a_synthetic_market_is_the_same_for_the_same_arguments() {
    let read = |seed: &str| {
        let home = Home::empty();
        let lake = home.lake();
        let arguments = ["lake", "sample", "--symbols", "3", "--days", "300", "--seed", seed, "--lake"];
        run_well(&[&arguments[..], &[lake.to_str().unwrap()]].concat(), home.path());
        let config = home.path().join("config.yaml");
        let text = "start_date: 2000-01-03\nend_date: 2001-12-31\nuniverse: {symbols: ['*']}\n\
                    strategy: {class: StaticUniverseStrategy}\n";
        std::fs::write(&config, text).unwrap();
        let out = home.path().join("out");
        let arguments =
            ["run", config.to_str().unwrap(), "--run-id", "r", "--lake", lake.to_str().unwrap(), "--out"];
        run_well(&[&arguments[..], &[out.to_str().unwrap()]].concat(), home.path());
        std::fs::read(out.join("r/trades.csv")).unwrap()
    };
    assert_eq!(read("7"), read("7"));
    assert_ne!(read("7"), read("8"));
}

#[tokio::test]
async fn a_date_range_opens_only_the_files_that_may_hold_it() {
    let home = Home::with_prices();
    let location = Location::Local(home.lake().join("gold/prices_daily"));
    let table = Table::open(&location, &StorageOptions::default()).await.unwrap().unwrap();
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
    let all = table.files(None).await.unwrap();
    assert_eq!(all.len(), 14, "one file a year");
    let range = |first, last| Some(DateRange { first, last, reading: DateReading::default() });
    let two = table.files(range(day(2004, 12, 1), day(2005, 2, 1))).await.unwrap();
    let years: Vec<_> = two.iter().map(|file| file.constants["year"].clone().unwrap()).collect();
    assert_eq!(years, ["2004", "2005"]);
    assert!(table.files(range(day(2014, 1, 1), day(2014, 2, 1))).await.unwrap().is_empty());
}

#[test]
fn an_absent_table_is_an_error_with_its_place() {
    let home = Home::empty();
    let lake = home.lake();
    let output = run(&["lake", "inspect", "gold/none", "--lake", lake.to_str().unwrap()], home.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no table gold/none"));
}

#[test]
fn the_sample_file_carries_its_notice() {
    let notice = std::fs::read_to_string(project("examples/data/README.md")).unwrap();
    assert!(notice.contains("public domain"), "{notice}");
}

/// Rows that cannot be used as they are meant count among the warnings of the result.
#[test]
fn rows_without_a_date_or_an_adjusted_close_are_counted() {
    let home = Home::empty();
    let rows =
        "date,symbol,open,close,adj_close\n2020-01-02,A,10,10,5\n2020-01-03,A,10,10,\nsoon,A,10,10,5\n";
    std::fs::write(home.path().join("bars.csv"), rows).unwrap();
    let config = "start_date: 2020-01-01\nend_date: 2020-12-31\nuniverse: {symbols: [A]}\n\
                  data: {price_path: bars.csv}\nstrategy: {class: BuyAndHoldStrategy}\n";
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let said = run_well(&["run", "config.yaml", "--out", "out", "--output", "json"], home.path());
    let summary: Value = serde_json::from_str(&said).unwrap();
    let expected = [
        "1 price rows have no date that can be read (row 4: 'soon'); they are left out",
        "1 price rows have no adjusted close; their prices stay as they are",
    ];
    assert_eq!(summary["warnings"].as_array().unwrap()[..2], expected);
}

#[test]
fn places_that_a_config_cannot_mean_are_refused() {
    let home = Home::with_prices();
    let refused = |universe: &str, data: &str| {
        let config = format!(
            "start_date: 2010-01-01\nend_date: 2010-12-31\nuniverse: {{symbols: {universe}}}\n\
             data: {{{data}}}\nstrategy: {{class: TopNSignalStrategy}}\n"
        );
        std::fs::write(home.path().join("config.yaml"), config).unwrap();
        let lake = home.lake();
        let output = run(&["run", "config.yaml", "--lake", lake.to_str().unwrap()], home.path());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = refused("[AAPL]", "signal_source: ADLS");
    assert!(
        code == Some(2) && said.contains("data.signal_source: is ADLS, but the lake here is a folder"),
        "{said}"
    );
    let (code, said) = refused("['*']", "price_path: 'prices/{symbol}.csv'");
    assert!(code == Some(2) && said.contains("universe.symbols: must list the symbols of a path"), "{said}");
}
