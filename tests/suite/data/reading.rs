//! Dates, numbers, names and layouts of tables as files of the wild have them: each is taken for what it is, or refused by
//! name.

use std::path::Path;
use std::sync::Arc;

use backtest_functions::store::dates::{self, Bound, DateError, DateReading, Order};
use backtest_functions::store::files::local_parquet;
use backtest_functions::store::numbers::{self, NotANumber};
use backtest_functions::store::parquet::{DateRange, Selection, column, scan};
use chrono::NaiveDate;
use deltalake::arrow::array::{
    Array, ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use deltalake::arrow::datatypes::{DataType, TimeUnit};
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::service::{Home, run, run_well};

fn day(text: &str) -> i32 {
    text.parse::<NaiveDate>().unwrap().to_epoch_days()
}

#[test]
fn a_text_of_a_date_is_the_day_that_is_written_in_it() {
    let (month, day_first) = (Some(Order::MonthFirst), Some(Order::DayFirst));
    for (text, order, expected) in [
        ("2024-01-02", None, Some("2024-01-02")),
        (" 2024-1-2 ", None, Some("2024-01-02")),
        ("2024/01/02", None, Some("2024-01-02")),
        ("2024.01.02", None, Some("2024-01-02")),
        ("20240102", None, Some("2024-01-02")),
        ("20240102T093000", None, Some("2024-01-02")),
        ("2024-01-02 16:00", None, Some("2024-01-02")),
        ("2024-01-02T23:59:59.999999999Z", None, Some("2024-01-02")),
        // The zone says whose day it is, and the day is written.
        ("2024-01-02 00:00:00+05:30", None, Some("2024-01-02")),
        ("2024-01-03 00:00:00+01:00", None, Some("2024-01-03")),
        ("2024-01-02T00:00:00-05:00[America/New_York]", None, Some("2024-01-02")),
        ("02-Jan-2024", None, Some("2024-01-02")),
        ("Jan 02, 2024", None, Some("2024-01-02")),
        ("2 January 2024", None, Some("2024-01-02")),
        ("01/02/2024", month, Some("2024-01-02")),
        ("01/02/2024", day_first, Some("2024-02-01")),
        ("1.2.2024", day_first, Some("2024-02-01")),
        ("2024-01-02", day_first, Some("2024-01-02")),
        // Day first or month first cannot be told, be the number as it may.
        ("01/02/2024", None, None),
        ("13/02/2020", None, None),
        ("13/02/2020", month, None),
        ("2024-02-30", None, None),
        ("2024-01/02", None, None),
        ("2024-01-02 soon", None, None),
        ("2024-01-023", None, None),
        ("02-Jan-24", None, None),
        ("202401", None, None),
        ("00010203", None, None),
        ("20240102", day_first, Some("2024-01-02")),
        ("2024", None, None),
        ("", None, None),
        ("NaT", None, None),
    ] {
        assert_eq!(dates::day_of_text(text, order), expected.map(day), "{text:?} {order:?}");
    }
}

fn read(column: impl Array + 'static, zone: Option<&str>) -> Result<Vec<Option<i32>>, DateError> {
    let reading = DateReading { time_zone: zone.map(|name| name.parse().unwrap()), order: None };
    Ok(dates::read(Arc::new(column), reading)?.days.iter().collect())
}

fn micros(text: &str) -> i64 {
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros()
}

#[test]
fn whole_numbers_are_days_or_spell_one() {
    let expected = vec![Some(day("2024-01-31")), Some(day("2024-01-31")), None, None];
    assert_eq!(
        read(Int32Array::from(vec![20_240_131, 19_753, 20_240_132, 202_401]), None).unwrap(),
        expected
    );
    let long = Int64Array::from(vec![20_240_131, 19_753, 1_706_659_200_000, i64::MIN]);
    assert_eq!(read(long, None).unwrap(), expected);
    let unsigned = UInt32Array::from(vec![20_240_131, 19_753, u32::MAX, 100_000]);
    assert_eq!(read(unsigned, None).unwrap(), expected);
    let doubles = Float64Array::from(vec![20_240_131.0, 19_753.0, 19_753.5, f64::NAN]);
    assert_eq!(read(doubles, None).unwrap(), expected);
}

#[test]
fn timestamps_are_days_of_their_zone_and_instants_need_one() {
    let zoned = |text: &str, zone: Option<&str>| {
        let column = TimestampMicrosecondArray::from(vec![micros(text)]);
        match zone {
            Some(zone) => column.with_timezone(zone),
            None => column,
        }
    };
    let late = "2024-01-02T23:59:59.999999Z";
    assert_eq!(read(zoned(late, None), None).unwrap(), [Some(day("2024-01-02"))]);
    assert_eq!(read(zoned(late, Some("Asia/Tokyo")), None).unwrap(), [Some(day("2024-01-03"))]);
    assert_eq!(read(zoned("2024-01-01T18:30:00Z", Some("+05:30")), None).unwrap(), [Some(day("2024-01-02"))]);
    // The zone of the column goes before that of the config.
    let tokyo = zoned("2024-01-01T15:00:00Z", Some("Asia/Tokyo"));
    assert_eq!(read(tokyo, Some("America/New_York")).unwrap(), [Some(day("2024-01-02"))]);
    let midnight = zoned("2024-01-02T00:00:00Z", Some("UTC"));
    assert_eq!(read(midnight, None).unwrap(), [Some(day("2024-01-02"))]);
    let instant = || zoned("2024-01-02T05:00:00Z", Some("UTC"));
    assert!(matches!(read(instant(), None), Err(DateError::Zone(example)) if example.contains("05:00:00")));
    assert_eq!(read(instant(), Some("America/New_York")).unwrap(), [Some(day("2024-01-02"))]);
    assert!(matches!(read(zoned(late, Some("Mars/Olympus")), None), Err(DateError::UnknownZone(_))));
    let wrong = dates::read(
        Arc::new(deltalake::arrow::array::BooleanArray::from(vec![true])),
        DateReading::default(),
    );
    assert!(matches!(wrong, Err(DateError::Type(_))));
}

/// Spark writes bounds of instants in the zone of its session.
#[test]
fn bounds_of_a_log_are_the_same_days_as_the_rows() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let plain = DateReading::default();
    let of = |data_type: &DataType, least: &Value, most: &Value, reading| {
        dates::bounds(data_type, Bound::of(least)?, Bound::of(most)?, reading)
    };
    let (least, most) = (json!("2024-01-31T19:00:00.000-05:00"), json!("2024-02-29T00:00:00.000Z"));
    assert_eq!(of(&utc, &least, &most, plain), Some((day("2024-02-01"), day("2024-02-29"))));
    let tokyo = DateReading { time_zone: Some("Asia/Tokyo".parse().unwrap()), order: None };
    let least = json!("2024-01-31T15:00:00.000Z");
    assert_eq!(of(&utc, &least, &most, tokyo), Some((day("2024-02-01"), day("2024-02-29"))));
    let (least, most) = (json!("2024-01-31"), json!("2024-02-01"));
    assert_eq!(of(&DataType::Date32, &least, &most, plain), Some((day("2024-01-31"), day("2024-02-01"))));
    let (least, most) = (json!(20_240_131), json!(20_240_201));
    assert_eq!(of(&DataType::Int32, &least, &most, plain), Some((day("2024-01-31"), day("2024-02-01"))));
    // Numbers of both kinds are not in the order of their days; neither are texts.
    assert_eq!(of(&DataType::Int64, &json!(19_753), &most, plain), None);
    assert_eq!(of(&DataType::Utf8, &json!("2024-01-31"), &json!("2024-02-01"), plain), None);
}

#[test]
fn a_text_is_a_number_no_value_or_neither() {
    for (text, expected) in [
        ("1004.00", Ok(Some(1004.0))),
        (" -1.5e3 ", Ok(Some(-1500.0))),
        ("+.5", Ok(Some(0.5))),
        ("", Ok(None)),
        ("  ", Ok(None)),
        ("NaN", Ok(None)),
        ("null", Ok(None)),
        ("NA", Ok(None)),
        ("1,004.00", Err(NotANumber)),
        ("1.2M", Err(NotANumber)),
        ("75%", Err(NotANumber)),
        ("0,75", Err(NotANumber)),
        ("True", Err(NotANumber)),
        ("#N/A", Err(NotANumber)),
        ("inf", Err(NotANumber)),
        ("-", Err(NotANumber)),
        ("1.2.3", Err(NotANumber)),
        ("0x10", Err(NotANumber)),
    ] {
        assert_eq!(numbers::parse(text), expected, "{text:?}");
        let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let found = numbers::read(column).unwrap();
        assert_eq!(found.values.iter().next().unwrap(), expected.unwrap_or_default(), "{text:?}");
        assert_eq!(!found.unreadable.is_empty(), expected.is_err(), "{text:?}");
    }
}

/// A column of days in one of the physical types that tables have.
fn physical(days: &[i32], kind: usize) -> ArrayRef {
    let number = |day: i32| {
        let date = NaiveDate::from_epoch_days(day).unwrap();
        date.format("%Y%m%d").to_string().parse::<i32>().unwrap()
    };
    let micros = |day: i32| i64::from(day) * 86_400_000_000;
    let all = days.iter().copied();
    match kind {
        0 => Arc::new(Date32Array::from(days.to_vec())),
        1 => Arc::new(Int32Array::from_iter_values(all.map(number))),
        2 => Arc::new(Int64Array::from_iter_values(all.map(|day| i64::from(number(day))))),
        3 => Arc::new(Int32Array::from(days.to_vec())),
        4 => Arc::new(Int64Array::from_iter_values(all.map(i64::from))),
        5 => Arc::new(UInt32Array::from_iter_values(all.map(|day| number(day) as u32))),
        6 => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(all.map(|day| micros(day) + 57_600_000_000)))
        }
        7 => Arc::new(TimestampMicrosecondArray::from_iter_values(all.map(micros)).with_timezone("UTC")),
        // Midnights of New York, in winter and summer, as instants.
        8 => {
            let zone: chrono_tz::Tz = "America/New_York".parse().unwrap();
            let instant = |day: i32| {
                let midnight = NaiveDate::from_epoch_days(day).unwrap().and_hms_opt(0, 0, 0).unwrap();
                midnight.and_local_timezone(zone).unwrap().timestamp_micros()
            };
            let column = TimestampMicrosecondArray::from_iter_values(all.map(instant));
            Arc::new(column.with_timezone("America/New_York"))
        }
        // Numbers of both kinds in one column.
        9 => Arc::new(Int64Array::from_iter_values(
            all.enumerate().map(|(at, day)| i64::from(if at % 2 == 0 { day } else { number(day) })),
        )),
        _ => Arc::new(StringArray::from_iter_values(
            all.map(|day| NaiveDate::from_epoch_days(day).unwrap().to_string()),
        )),
    }
}

async fn days_in(path: &Path, range: DateRange, pruned: bool) -> Vec<i32> {
    let selection = Selection { columns: None, dates: pruned.then_some(range) };
    let mut batches = scan(vec![local_parquet(path).unwrap()], selection);
    let mut found = Vec::new();
    while let Some(batch) = batches.recv().await {
        let days = dates::read(Arc::clone(column(&batch.unwrap(), "date").unwrap()), range.reading).unwrap();
        let wanted = range.first.to_epoch_days()..=range.last.to_epoch_days();
        found.extend(days.days.iter().flatten().filter(|day| wanted.contains(day)));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_pruning_leaves_out_the_row_filter_would_leave_out_too(
        days in proptest::collection::vec(18_000_i32..21_000, 1..60),
        kind in 0_usize..11,
        statistics in any::<bool>(),
        sorted in any::<bool>(),
        first in 17_990_i32..21_010,
        length in 0_i32..400,
    ) {
        let mut days = days;
        if sorted {
            days.sort_unstable();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let batch = RecordBatch::try_from_iter([("date", physical(&days, kind))]).unwrap();
        let enabled = if statistics { EnabledStatistics::Chunk } else { EnabledStatistics::None };
        let properties = WriterProperties::builder()
            .set_statistics_enabled(enabled)
            .set_max_row_group_row_count(Some(7))
            .build();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let day = |day| NaiveDate::from_epoch_days(day).unwrap();
        let range = DateRange { first: day(first), last: day(first + length), reading: DateReading::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (pruned, all) = runtime.block_on(async {
            (days_in(&path, range, true).await, days_in(&path, range, false).await)
        });
        prop_assert_eq!(&pruned, &all);
        let wanted: Vec<i32> = days.iter().copied().filter(|day| (first..=first + length).contains(day)).collect();
        prop_assert_eq!(pruned, wanted);
    }
}

/// Runs a config whose prices and signals stand beside it, and answers exit code, summary and what was said.
fn backtest(home: &Home, data: &str, strategy: &str) -> (Option<i32>, Value, String) {
    let config = format!(
        "start_date: 2024-01-01\nend_date: 2024-12-31\nuniverse: {{symbols: [A]}}\ninitial_cash: 1000\n\
         data: {{{data}}}\nstrategy: {strategy}\n"
    );
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let output = run(&["run", "config.yaml", "--out", "out", "--output", "json"], home.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

const HOLD: &str = "{class: BuyAndHoldStrategy}";

fn with_file(name: &str, content: &str) -> Home {
    let home = Home::empty();
    std::fs::write(home.path().join(name), content).unwrap();
    home
}

fn warnings(summary: &Value) -> Vec<String> {
    serde_json::from_value(summary["warnings"].clone()).unwrap_or_default()
}

#[test]
fn prices_with_separated_thousands_are_refused_with_row_and_cell() {
    let rows = "date,symbol,open,close\n2024-01-02,A,999,999\n2024-01-03,A,\"1,004.00\",1003\n";
    let (code, _, said) = backtest(&with_file("bars.csv", rows), "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("row 3: open '1,004.00' is not a number"), "{said}");
}

#[test]
fn signals_that_are_no_numbers_are_refused_with_row_and_cell() {
    for cell in ["True", "75%", "\"0,75\""] {
        let home = with_file("bars.csv", "date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-03,A,10,10\n");
        std::fs::write(home.path().join("signals.csv"), format!("date,symbol,s\n2024-01-02,A,{cell}\n"))
            .unwrap();
        let strategy = "{class: TopNSignalStrategy, parameters: {signal_column: s, top_n: 1}}";
        let (code, _, said) = backtest(&home, "price_path: bars.csv, signal_path: signals.csv", strategy);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("row 2: s '") && said.contains("is not a number"), "{said}");
    }
}

#[test]
fn impossible_prices_are_refused_by_date_and_symbol_or_left_out_and_counted_when_asked() {
    for (bar, what) in [("0,10", "open 0"), ("10,-1", "close -1"), ("10,0", "close 0")] {
        let rows =
            format!("date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-03,A,{bar}\n2024-01-04,A,10,12\n");
        let home = with_file("bars.csv", &rows);
        let (code, _, said) = backtest(&home, "price_path: bars.csv", HOLD);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("A on 2024-01-03: {what} cannot be")), "{said}");
        let (code, summary, said) = backtest(&home, "price_path: bars.csv, on_impossible_price: skip", HOLD);
        assert_eq!(code, Some(0), "{said}");
        let expected = format!("1 price rows cannot be (A on 2024-01-03: {what}); they are left out");
        assert!(warnings(&summary).contains(&expected), "{summary}");
    }
}

#[test]
fn an_adjusted_close_is_taken_under_its_usual_names_and_named_under_others() {
    // A split of 2:1 on the second day.
    for name in
        ["Adj Close", "Adj. Close", "Adjusted Close", "adjusted_close", "adjclose", "closeadj", "Adj Close**"]
    {
        let rows = format!(
            "Date,Ticker,Open,Close,{name}\n2024-01-02,A,100,100,50\n2024-01-03,A,50,50,50\n2024-01-04,A,50,50,50\n"
        );
        let (code, summary, said) = backtest(&with_file("bars.csv", &rows), "price_path: bars.csv", HOLD);
        assert_eq!(code, Some(0), "{name}: {said}");
        assert_eq!(summary["total_return"], json!(0.0), "{name}: {summary}");
    }
    let rows = "date,symbol,open,close,adj_last\n2024-01-02,A,10,10,5\n2024-01-03,A,10,10,5\n";
    let (_, summary, said) = backtest(&with_file("bars.csv", rows), "price_path: bars.csv", HOLD);
    let expected = "the column 'adj_last' of the prices looks like an adjusted close and is not used";
    assert!(warnings(&summary).contains(&expected.to_owned()), "{summary} {said}");
}

#[test]
fn dates_of_which_none_can_be_read_are_said_to_be_that() {
    let rows = "date,symbol,open,close\n13/02/2024,A,10,10\n14/02/2024,A,10,10\n";
    let home = with_file("bars.csv", rows);
    let (code, _, said) = backtest(&home, "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no date of its 2 rows can be read (row 2: '13/02/2024'"), "{said}");
    let (code, _, said) = backtest(&home, "price_path: bars.csv, date_format: DD/MM/YYYY", HOLD);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn rows_without_a_symbol_are_counted_and_hold_nothing() {
    let rows = "date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-02,,10,10\n2024-01-03,A,10,10\n";
    let (code, summary, said) = backtest(&with_file("bars.csv", rows), "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(0), "{said}");
    let expected = "1 price rows have no symbol; they are left out".to_owned();
    assert!(warnings(&summary).contains(&expected), "{summary}");
}

#[test]
fn folders_of_files_are_read_flat_or_by_key_and_hidden_files_passed_over() {
    let home = Home::empty();
    for (symbol, close) in [("A", 12), ("B", 20)] {
        let folder = home.path().join(format!("bars/symbol={symbol}"));
        std::fs::create_dir_all(&folder).unwrap();
        let rows = format!("Date,Open,Close\n2024-01-02,10,10\n2024-01-03,10,10\n2024-01-04,10,{close}\n");
        std::fs::write(folder.join("part-0.csv"), rows).unwrap();
        std::fs::write(folder.join("._part-0.csv"), "\0\0").unwrap();
        std::fs::write(folder.join("_SUCCESS"), "").unwrap();
    }
    let (code, summary, said) = backtest(&home, "price_path: bars", HOLD);
    assert_eq!(code, Some(0), "{said}");
    // A hundred shares at 10, and the close of A, not of B.
    assert_eq!(summary["final_equity"], json!(1200.0), "{summary}");
}

#[test]
fn a_place_for_each_symbol_is_a_table_with_its_log() {
    let home = Home::empty();
    let lake = home.lake();
    for (close, more) in [("5", None), ("12", Some("--replace"))] {
        let rows = format!(
            "date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-03,A,10,10\n2024-01-04,A,10,{close}\n"
        );
        let file = home.path().join("bars.csv");
        std::fs::write(&file, rows).unwrap();
        let lake = lake.to_str().unwrap();
        let mut arguments =
            vec!["lake", "import", file.to_str().unwrap(), "--table", "silver/A", "--lake", lake];
        arguments.extend(more);
        run_well(&arguments, home.path());
    }
    // Files that the second version took away are there still, and nobody reads them.
    for pattern in ["{symbol}", "{ symbol }"] {
        let path = format!("price_path: '{}/silver/{pattern}'", lake.display());
        let (code, summary, said) = backtest(&home, &path, HOLD);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(summary["final_equity"], json!(1200.0), "{summary}");
    }
    let whole = format!("price_path: '{}/silver'", lake.display());
    let (code, _, said) = backtest(&home, &whole, HOLD);
    assert!(code != Some(0) && said.contains("is a Delta table in a folder that is none"), "{said}");
}

#[test]
fn a_log_without_commits_is_an_error() {
    let home = Home::empty();
    std::fs::create_dir_all(home.lake().join("gold/prices_daily/_delta_log")).unwrap();
    let lake = home.lake();
    let output = run(&["lake", "inspect", "--lake", lake.to_str().unwrap()], home.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("_delta_log without commits"), "{said}");
}

#[test]
fn rows_that_repeat_or_lack_what_every_row_has_are_counted() {
    let bars = "date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-03,A,10,10\n2024-01-04,A,,10\n2024-01-05,A,10,12\n";
    let home = with_file("bars.csv", bars);
    let signals = "date,symbol,s\n2024-01-02,A,0\n2024-01-02,A,1\n2024-01-03,A,1\n";
    std::fs::write(home.path().join("signals.csv"), signals).unwrap();
    let strategy = "{class: TopNSignalStrategy, parameters: {signal_column: s, top_n: 1}}";
    let (code, summary, said) = backtest(&home, "price_path: bars.csv, signal_path: signals.csv", strategy);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "1 signal rows repeat a date and symbol; the last number of each counts",
        "1 price rows have no open or no close; they are no bars",
    ] {
        assert!(warnings(&summary).contains(&expected.to_owned()), "{expected}: {summary}");
    }
    // Rows of two days that are seen on the same one are no repeats.
    std::fs::write(
        home.path().join("signals.csv"),
        "date,symbol,s\n2024-01-02,A,1\n2024-01-04,A,1\n2024-01-05,A,1\n",
    )
    .unwrap();
    let data = "price_path: bars.csv, signal_path: signals.csv, signal_alignment: next_trading_day";
    let (_, summary, _) = backtest(&home, data, strategy);
    assert!(!warnings(&summary).iter().any(|warning| warning.contains("repeat")), "{summary}");
}

#[test]
fn a_negative_volume_is_refused_as_an_impossible_price_is() {
    let bars = "date,symbol,open,close,volume\n2024-01-02,A,10,10,100\n2024-01-03,A,10,10,-5\n";
    let home = with_file("bars.csv", bars);
    let strategy = "{class: BuyAndHoldStrategy}\nbroker: {max_participation_rate: 0.5}";
    let (code, _, said) = backtest(&home, "price_path: bars.csv", strategy);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("A on 2024-01-03: volume -5 cannot be"), "{said}");
}

#[test]
fn closes_that_jump_as_splits_do_are_named_where_no_other_symbol_does() {
    let jumping = |b: f64| {
        let rows = [
            ("2024-01-02", 100.0, 20.0),
            ("2024-01-03", 50.2, b),
            ("2024-01-04", 51.0, b),
            ("2024-01-05", 152.0, b),
        ];
        let rows = rows.map(|(date, a, b)| format!("{date},A,{a},{a}\n{date},B,{b},{b}\n"));
        format!("date,symbol,open,close\n{}", rows.concat())
    };
    let jumps = |home: &Home| {
        let text = "start_date: 2024-01-01\nend_date: 2024-12-31\nuniverse: {symbols: ['*']}\n\
                    data: {price_path: bars.csv}\nstrategy: {class: BuyAndHoldStrategy}\n";
        std::fs::write(home.path().join("config.yaml"), text).unwrap();
        let said = run_well(&["run", "config.yaml", "--out", "out", "--output", "json"], home.path());
        let summary: Value = serde_json::from_str(&said).unwrap();
        warnings(&summary)
            .into_iter()
            .filter(|warning| warning.contains("look like splits"))
            .collect::<Vec<_>>()
    };
    let home = with_file("bars.csv", &jumping(21.0));
    assert_eq!(
        jumps(&home),
        [
            "2 jumps of closes look like splits that the prices are not adjusted for (A 2024-01-03: 2 for 1; A 2024-01-05: 1 for 3)"
        ]
    );
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    run_well(&["lake", "import", "bars.csv", "--lake", lake], home.path());
    let said = run_well(&["lake", "inspect", "--lake", lake, "--output", "json"], home.path());
    let contents: Value = serde_json::from_str(&said).unwrap();
    let expected = json!({ "count": 2, "examples": ["A 2024-01-03: 2 for 1", "A 2024-01-05: 1 for 3"] });
    assert_eq!(contents["contents"]["split_like"], expected);
    // A market that halves is not a split.
    let home = with_file("bars.csv", &jumping(10.0));
    assert_eq!(jumps(&home).len(), 1);
    assert!(jumps(&home)[0].contains("1 jumps") && jumps(&home)[0].contains("A 2024-01-05: 1 for 3"));
}

/// 100 shares at 10; 1 a share on the second day after the purchase, on which there are two for one.
const QUOTED: &str = "date,symbol,open,close,dividend,split_factor\n2024-01-02,A,10,10,,\n2024-01-03,A,10,10,0,1\n\
                      2024-01-04,A,4.5,4.5,1,2\n2024-01-05,A,4.5,4.5,NaN,1.0\n";

/// Whether a run paid so many dividends, and what it was worth in the end.
fn paid(summary: &Value, dividends: Option<f64>, worth: f64) -> bool {
    let near = |key: &str, value: f64| summary[key].as_f64().is_some_and(|got| (got - value).abs() < 1e-9);
    near("final_equity", worth)
        && match dividends {
            Some(cash) => near("total_dividends", cash),
            None => summary.get("total_dividends").is_none(),
        }
}

/// The files of the only run of a home.
fn artifacts(home: &Home) -> std::path::PathBuf {
    let mut runs = std::fs::read_dir(home.path().join("out")).unwrap();
    runs.next().unwrap().unwrap().path()
}

#[test]
fn prices_with_dividends_or_splits_and_no_adjusted_close_are_unadjusted() {
    let home = with_file("bars.csv", QUOTED);
    let (code, summary, said) = backtest(&home, "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(0), "{said}");
    assert!(paid(&summary, Some(100.0), 1000.0), "{summary}");
    let told = "the prices are taken as unadjusted, since they have dividend and split_factor and no adjusted close; data.prices \
                says which they are";
    assert!(warnings(&summary).contains(&told.to_owned()), "{summary}");
    let files = artifacts(&home);
    let daily = std::fs::read_to_string(files.join("daily_metrics.csv")).unwrap();
    assert!(daily.lines().next().unwrap().ends_with(",interest,dividends"), "{daily}");
    let actions = crate::support::tables::read_parquet(&files.join("corporate_actions.parquet"));
    let number = |name: &str| crate::support::tables::numbers(&actions, name).unwrap();
    assert_eq!((number("shares_before"), number("shares_after")), (vec![100.0], vec![200.0]));
    assert_eq!((number("dividend"), number("split_factor")), (vec![1.0], vec![2.0]));
    assert_eq!((number("cash"), number("cash_in_lieu")), (vec![100.0], vec![0.0]));
    let config: Value =
        serde_json::from_slice(&std::fs::read(files.join("config.resolved.json")).unwrap()).unwrap();
    assert!(config["data"].get("prices").is_none(), "what is left out stays out: {}", config["data"]);
    assert_eq!(config["data_versions"]["prices"]["unadjusted"], json!(true), "{config}");

    // Said, it needs no warning; said to be adjusted, the prices are taken as they stand.
    let known = |data: &str| {
        let home = with_file("bars.csv", QUOTED);
        let (code, summary, said) = backtest(&home, data, HOLD);
        assert_eq!(code, Some(0), "{said}");
        (summary, home)
    };
    let (summary, _) = known("price_path: bars.csv, prices: unadjusted");
    assert!(!warnings(&summary).iter().any(|line| line.contains("unadjusted")), "{summary}");
    let (summary, home) = known("price_path: bars.csv, prices: adjusted");
    assert!(paid(&summary, None, 450.0), "{summary}");
    let files = artifacts(&home);
    assert!(!files.join("corporate_actions.parquet").exists());
    let daily = std::fs::read_to_string(files.join("daily_metrics.csv")).unwrap();
    assert!(daily.lines().next().unwrap().ends_with(",interest"), "{daily}");
}

#[test]
fn beside_an_adjusted_close_the_config_decides() {
    let rows = "Date,Ticker,Open,Close,Adj Close,divCash,splitFactor\n2024-01-02,A,10,10,4.5,0,1\n2024-01-03,A,10,10,4.5,0,1\n\
                2024-01-04,A,4.5,4.5,4.5,1,2\n2024-01-05,A,4.5,4.5,4.5,0,1\n";
    for (data, dividends) in [
        ("price_path: bars.csv", None),
        ("price_path: bars.csv, prices: adjusted", None),
        ("price_path: bars.csv, prices: Unadjusted", Some(100.0)),
    ] {
        let (code, summary, said) = backtest(&with_file("bars.csv", rows), data, HOLD);
        assert_eq!(code, Some(0), "{said}");
        assert!(paid(&summary, dividends, 1000.0), "{data}: {summary}");
        let of_columns = |line: &String| line.contains("prices") && !line.starts_with("the computed period");
        assert!(!warnings(&summary).iter().any(of_columns), "{summary}");
    }
    // Without either there is nothing to book.
    let plain =
        "date,symbol,open,close,Dividends,Stock Splits\n2024-01-02,A,10,10,0,0\n2024-01-03,A,10,10,0.1,0\n";
    let (code, _, said) =
        backtest(&with_file("bars.csv", plain), "price_path: bars.csv, prices: unadjusted", HOLD);
    assert_ne!(code, Some(0));
    assert!(
        said.contains("data.prices: is unadjusted, but bars.csv has no column dividend or split_factor"),
        "{said}"
    );
    // Those of yfinance lie beside prices that are adjusted, for splits at least.
    let (_, summary, _) = backtest(&with_file("bars.csv", plain), "price_path: bars.csv", HOLD);
    for name in ["Dividends", "Stock Splits"] {
        let told =
            format!("the column '{name}' of the prices looks like dividends or splits and is not used");
        assert!(warnings(&summary).iter().any(|line| line.starts_with(&told)), "{summary}");
    }
}

#[test]
fn dividends_and_splits_that_cannot_be_are_refused_by_name_or_left_out_and_counted_when_asked() {
    let rows = |cells: &str| QUOTED.replace(",1,2\n", &format!(",{cells}\n"));
    for (cells, what) in [("-1,2", "dividend -1"), ("1,-2", "split_factor -2")] {
        let home = with_file("bars.csv", &rows(cells));
        let (code, _, said) = backtest(&home, "price_path: bars.csv", HOLD);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("A on 2024-01-04: {what} cannot be")), "{said}");
        let (code, summary, said) = backtest(&home, "price_path: bars.csv, on_impossible_price: skip", HOLD);
        assert_eq!(code, Some(0), "{said}");
        let told = format!("1 price rows cannot be (A on 2024-01-04: {what}); they are left out");
        assert!(warnings(&summary).contains(&told), "{summary}");
    }
    for (cells, what) in [("1%,2", "row 4: dividend '1%'"), ("1,2:1", "row 4: split_factor '2:1'")] {
        let (code, _, said) = backtest(&with_file("bars.csv", &rows(cells)), "price_path: bars.csv", HOLD);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("{what} is not a number")), "{said}");
    }
    // A split of 0 is one of none, as some vendors write it, and counted.
    let (code, summary, said) =
        backtest(&with_file("bars.csv", &rows("5.5,0")), "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(0), "{said}");
    assert!(paid(&summary, Some(550.0), 1000.0), "{summary}");
    let told = "1 price rows have a split_factor of 0; it is read as no split";
    assert!(warnings(&summary).contains(&told.to_owned()), "{summary}");
    // Nothing can be left of a price by a dividend, and no split be hidden.
    let (code, _, said) = backtest(&with_file("bars.csv", &rows("10,1")), "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("A on 2024-01-04: a dividend of 10 leaves nothing of the close before, 10"),
        "{said}"
    );
    let (code, _, said) = backtest(&with_file("bars.csv", &rows("0,0.5")), "price_path: bars.csv", HOLD);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("1 of 1 splits do not show in the closes"), "{said}");
}

/// A row without prices is no bar, and pays all the same; so do the lake's tables, and the rows that a run keeps.
#[test]
fn every_door_reads_dividends_and_splits() {
    let halted = QUOTED.replace("2024-01-04,A,4.5,4.5,1,2\n", "2024-01-04,A,,,1,2\n")
        + "2024-01-04,B,1,1,,\n2024-01-05,B,1,1,,\n";
    let home = with_file("bars.csv", &halted);
    let data = "price_path: bars.csv, prices: unadjusted";
    let (code, summary, said) = backtest(&home, data, HOLD);
    assert_eq!(code, Some(0), "{said}");
    assert!(paid(&summary, Some(100.0), 1000.0), "{summary}");

    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    run_well(&["lake", "import", "bars.csv", "--lake", lake], home.path());
    let config = "start_date: 2024-01-01\nend_date: 2024-12-31\nuniverse: {symbols: [A, B]}\ninitial_cash: 1000\n\
                  data: {prices: unadjusted}\noutput: {keep_inputs: true}\n\
                  strategy: {class: BuyAndHoldStrategy, parameters: {symbol: A}}\n";
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let args = ["run", "config.yaml", "--out", "kept", "--run-id", "one", "--lake", lake, "--output", "json"];
    let summary: Value = serde_json::from_str(&run_well(&args, home.path())).unwrap();
    assert!(paid(&summary, Some(100.0), 1000.0), "{summary}");
    let kept = home.path().join("kept/one/inputs/prices.parquet");
    let rows = backtest_functions::store::kept::read_prices(std::fs::read(kept).unwrap().into()).unwrap();
    let cash: f64 =
        rows.chunks.iter().flat_map(|chunk| &chunk.columns().dividend).filter(|cash| **cash > 0.0).sum();
    assert_eq!(cash, 1.0);
}
