//! Files as vendors write them, into the lake: the right values, or a refusal that names the option which would settle
//! it. The files are made up; their forms are those of the vendors.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use backtest_functions::store::dates;
use backtest_functions::store::delta::{Location, StorageOptions, Table};
use backtest_functions::store::numbers::{self, NotANumber, Spelling};
use backtest_functions::store::parquet::{Selection, column, is_numeric, scan};
use chrono::NaiveDate;
use deltalake::arrow::array::{Array, AsArray};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::DataType;
use serde_json::Value;

use crate::support::service::{Home, run};

/// A lake and files beside it.
struct Desk {
    home: Home,
}

impl Desk {
    fn new() -> Self {
        Self { home: Home::empty() }
    }

    fn with(name: &str, content: &str) -> Self {
        let desk = Self::new();
        desk.put(name, content);
        desk
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let lake = self.home.lake();
        run(&[arguments, &["--lake", lake.to_str().unwrap()]].concat(), self.home.path())
    }

    /// What the program says of an import that succeeds.
    fn import(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["lake", "import", "--output", "json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What it says of one that is refused, which must leave nothing behind.
    fn refused(&self, arguments: &[&str]) -> String {
        let before = tree(&self.home.lake());
        let output = self.run(&[&["lake", "import"], arguments].concat());
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        assert_eq!(tree(&self.home.lake()), before, "a refusal left something behind");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn rows(&self) -> Vec<String> {
        self.rows_of("gold/prices_daily")
    }

    /// The rows of a table as `date symbol column=value …`, in the order of dates and symbols.
    fn rows_of(&self, table: &str) -> Vec<String> {
        let location = Location::Local(self.home.lake().join(table));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let table = Table::open(&location, &StorageOptions::default()).await.unwrap().unwrap();
            let mut rows = Vec::new();
            let mut batches = scan(table.files(None).await.unwrap(), Selection::default());
            while let Some(batch) = batches.recv().await {
                let batch = batch.unwrap();
                let days = dates::days(column(&batch, "date").unwrap().clone()).unwrap();
                let symbols = cast(column(&batch, "symbol").unwrap(), &DataType::Utf8).unwrap();
                for row in 0..batch.num_rows() {
                    let date = NaiveDate::from_epoch_days(days.value(row)).unwrap();
                    let mut cells: BTreeMap<String, String> = BTreeMap::new();
                    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                        if is_numeric(field.data_type()) {
                            let numbers = numbers::doubles(column.clone()).unwrap();
                            let value = numbers.is_valid(row).then(|| numbers.value(row).to_string());
                            cells.insert(field.name().clone(), value.unwrap_or_else(|| "-".to_owned()));
                        }
                    }
                    let cells: Vec<String> =
                        cells.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    rows.push(format!(
                        "{date} {} {}",
                        symbols.as_string::<i32>().value(row),
                        cells.join(" ")
                    ));
                }
            }
            rows.sort();
            rows
        })
    }
}

/// Files below a folder, with their sizes.
fn tree(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else {
                let size = path.metadata().unwrap().len();
                found.push((path, size));
            }
        }
    }
    found.sort();
    found
}

/// A vendor's file, how it is imported, and the bars that it must give.
struct Vendor {
    name: &'static str,
    file: &'static str,
    content: &'static str,
    options: &'static [&'static str],
    rows: &'static [&'static str],
}

const VENDORS: &[Vendor] = &[
    Vendor {
        name: "Yahoo",
        file: "AAPL.csv",
        content: "Date,Open,High,Low,Close,Adj Close,Volume\n\
                  2020-01-02,74.059998,75.150002,73.797501,75.087502,73.059425,135480400\n\
                  2020-01-03,null,null,null,null,null,null\n",
        options: &["--symbol-from-name"],
        rows: &[
            "2020-01-02 AAPL adj_close=73.059425 close=75.087502 high=75.150002 low=73.797501 open=74.059998 volume=135480400",
            "2020-01-03 AAPL adj_close=- close=- high=- low=- open=- volume=-",
        ],
    },
    Vendor {
        name: "yfinance, one symbol, with its three header lines",
        file: "download.csv",
        content: "Price,Adj Close,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,,\n\
                  2020-01-02,73.05,75.0,75.5,73.5,74.0,1000\n",
        options: &[],
        rows: &["2020-01-02 AAPL adj_close=73.05 close=75 high=75.5 low=73.5 open=74 volume=1000"],
    },
    Vendor {
        name: "yfinance, two symbols beside each other",
        file: "download.csv",
        content: "Price,Close,Close,Open,Open,Volume,Volume\nTicker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT\nDate,,,,,,\n\
                  2020-01-02,75.0,160.0,74.0,158.0,1000,2000\n2020-01-03,76.0,,75.0,,1100,\n",
        options: &[],
        rows: &[
            "2020-01-02 AAPL close=75 open=74 volume=1000",
            "2020-01-02 MSFT close=160 open=158 volume=2000",
            "2020-01-03 AAPL close=76 open=75 volume=1100",
        ],
    },
    Vendor {
        name: "yfinance, by symbol first",
        file: "download.csv",
        content: "Ticker,MSFT,MSFT,AAPL,AAPL\nPrice,Open,Close,Open,Close\nDate,,,,\n2020-01-02,158.0,160.0,74.0,75.0\n",
        options: &[],
        rows: &["2020-01-02 AAPL close=75 open=74", "2020-01-02 MSFT close=160 open=158"],
    },
    Vendor {
        name: "Stooq, bulk",
        file: "aapl.us.txt",
        content: "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n\
                  AAPL.US,D,20200102,000000,71.72,72.78,71.47,72.72,139862000,0\n",
        options: &[],
        rows: &["2020-01-02 AAPL.US close=72.72 high=72.78 low=71.47 open=71.72 volume=139862000"],
    },
    Vendor {
        name: "Alpha Vantage",
        file: "daily_adjusted_IBM.csv",
        content: "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n\
                  2020-01-03,133.57,134.86,133.56,134.34,107.1,2373700,0.0000,1.0\n\
                  2020-01-02,135.00,135.92,134.77,135.42,108.0,3148600,0.0000,1.0\n",
        options: &["--symbol", "IBM"],
        rows: &[
            "2020-01-02 IBM adj_close=108 close=135.42 dividend=0 high=135.92 low=134.77 open=135 split_factor=1 volume=3148600",
            "2020-01-03 IBM adj_close=107.1 close=134.34 dividend=0 high=134.86 low=133.56 open=133.57 split_factor=1 volume=2373700",
        ],
    },
    Vendor {
        name: "Tiingo",
        file: "aapl.csv",
        content: "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n\
                  2020-01-02T00:00:00+00:00,300.35,300.6,295.19,296.24,33911900,72.8,72.9,71.6,71.8,135647600,0.0,1.0\n",
        options: &["--symbol", "AAPL"],
        rows: &[
            "2020-01-02 AAPL adj_close=72.8 close=300.35 dividend=0 high=300.6 low=295.19 open=296.24 split_factor=1 volume=33911900",
        ],
    },
    Vendor {
        name: "Quandl WIKI and Nasdaq Data Link",
        file: "WIKI_PRICES.csv",
        content: "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio,adj_open,adj_high,adj_low,adj_close,adj_volume\n\
                  A,1999-11-18,45.5,50,40,44,44739900,0.0,1.0,31.04,34.11,27.29,30.02,44739900\n",
        options: &[],
        rows: &[
            "1999-11-18 A adj_close=30.02 close=44 dividend=0 high=50 low=40 open=45.5 split_factor=1 volume=44739900",
        ],
    },
    Vendor {
        name: "Nasdaq Data Link, SEP",
        file: "SEP.csv",
        content: "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated\n\
                  AAPL,2020-01-02,74.06,75.15,73.8,75.09,135480400,73.1,300.35,2021-05-01\n",
        options: &[],
        rows: &["2020-01-02 AAPL adj_close=73.1 close=75.09 high=75.15 low=73.8 open=74.06 volume=135480400"],
    },
    Vendor {
        name: "Nasdaq, downloads of the site",
        file: "HistoricalData.csv",
        content: "Date,Close/Last,Volume,Open,High,Low\n01/03/2020,$74.3575,146322800,$74.2875,$75.145,$74.125\n",
        options: &["--symbol", "AAPL", "--date-format", "MM/DD/YYYY"],
        rows: &["2020-01-03 AAPL close=74.3575 high=75.145 low=74.125 open=74.2875 volume=146322800"],
    },
    Vendor {
        name: "NSE, bhavcopy",
        file: "cm02JAN2020bhav.csv",
        content: "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n\
                  INFY,EQ,736,739,732,737,736.5,735.8,2914234,2144,02-JAN-2020,74431,INE009A01021,\n\
                  INFY,N1,900,900,900,900,900,900,3,2700,02-JAN-2020,1,INE009A07011,\n",
        options: &["--only", "SERIES=EQ"],
        rows: &["2020-01-02 INFY close=737 high=739 low=732 open=736 volume=2914234"],
    },
    Vendor {
        name: "NSE, one security, with separated thousands",
        file: "Quote-Equity-INFY-EQ.csv",
        content: "\u{feff}\"Date \",\"series \",\"OPEN \",\"HIGH \",\"LOW \",\"PREV. CLOSE \",\"ltp \",\"close \",\"vwap \",\"VOLUME \",\"VALUE \"\n\
                  \"02-Jan-2020\",\"EQ\",\"1,736.00\",\"1,739.90\",\"1,732.05\",\"1,735.80\",\"1,736.50\",\"1,737.10\",\"1,736.2\",\"29,14,234\",\"2,14,51,65,778\"\n",
        options: &["--symbol", "INFY", "--thousands", ","],
        rows: &["2020-01-02 INFY close=1737.1 high=1739.9 low=1732.05 open=1736 volume=2914234"],
    },
    Vendor {
        name: "NSE, the form since 2024",
        file: "BhavCopy_NSE_CM.csv",
        content: "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,TtlTradgVol\n\
                  2024-07-08,2024-07-08,CM,NSE,STK,1594,INE009A01021,INFY,EQ,1640,1660,1635,1650,1651,1645,6000\n",
        options: &[],
        rows: &["2024-07-08 INFY close=1650 high=1660 low=1635 open=1640 volume=6000"],
    },
    Vendor {
        name: "Investing.com",
        file: "AAPL Historical Data.csv",
        content: "\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\",\"Change %\"\n\
                  \"Jan 03, 2020\",\"1,074.36\",\"1,074.29\",\"1,075.14\",\"1,074.12\",\"146.54M\",\"-0.97%\"\n\
                  \"Jan 02, 2020\",\"1,075.09\",\"1,074.06\",\"1,075.15\",\"1,073.80\",\"-\",\"2.28%\"\n",
        options: &["--symbol", "AAPL", "--thousands", ","],
        rows: &[
            "2020-01-02 AAPL close=1075.09 high=1075.15 low=1073.8 open=1074.06 volume=-",
            "2020-01-03 AAPL close=1074.36 high=1075.14 low=1074.12 open=1074.29 volume=146540000",
        ],
    },
    Vendor {
        name: "Investing.com in Germany",
        file: "SAP.csv",
        content: "\"Datum\";\"Zuletzt\";\"Eröffn.\";\"Hoch\";\"Tief\"\n\"03.01.2020\";\"1.120,5\";\"1.121,0\";\"1.125,25\";\"1.119\"\n",
        options: &[
            "--symbol-from-name",
            "--date-format",
            "DD/MM/YYYY",
            "--decimal",
            ",",
            "--thousands",
            ".",
            "--map",
            "date=Datum,close=Zuletzt,open=Eröffn.,high=Hoch,low=Tief",
        ],
        rows: &["2020-01-03 SAP close=1120.5 high=1125.25 low=1119 open=1121"],
    },
    Vendor {
        name: "a Kaggle panel whose symbol is called a name",
        file: "all_stocks_5yr.csv",
        content: "date,open,high,low,close,volume,Name\n2013-02-08,15.07,15.12,14.63,14.75,8407500,AAL\n\
                  2013-02-08,67.71,68.40,66.89,67.85,158168416,AAPL\n",
        options: &[],
        rows: &[
            "2013-02-08 AAL close=14.75 high=15.12 low=14.63 open=15.07 volume=8407500",
            "2013-02-08 AAPL close=67.85 high=68.4 low=66.89 open=67.71 volume=158168416",
        ],
    },
    Vendor {
        name: "pandas, with an index without a name",
        file: "frame.csv",
        content: ",ticker,open,close\n2020-01-02 00:00:00-05:00,AAPL,74,75\n",
        options: &[],
        rows: &["2020-01-02 AAPL close=75 open=74"],
    },
    Vendor {
        name: "tabs and a file with the end .tsv",
        file: "bars.tsv",
        content: "date\tsymbol\topen\tclose\n2020-01-02\tBRK.B\t226\t228,5\n",
        options: &["--decimal", ","],
        rows: &["2020-01-02 BRK.B close=228.5 open=226"],
    },
    Vendor {
        name: "a wide table of closes",
        file: "closes.csv",
        content: "Date,AAPL,LOW,OPEN\n2020-01-02,75,120,\n2020-01-03,74,121,3\n",
        options: &["--wide", "close"],
        rows: &[
            "2020-01-02 AAPL close=75 open=75",
            "2020-01-02 LOW close=120 open=120",
            "2020-01-03 AAPL close=74 open=74",
            "2020-01-03 LOW close=121 open=121",
            "2020-01-03 OPEN close=3 open=3",
        ],
    },
];

#[test]
fn the_files_of_vendors_arrive_with_the_right_values() {
    for vendor in VENDORS {
        let desk = Desk::with(vendor.file, vendor.content);
        let imported = desk.import(&[&[vendor.file], vendor.options].concat());
        assert_eq!(desk.rows(), vendor.rows, "{}: {imported}", vendor.name);
    }
}

fn notes(imported: &Value) -> Vec<String> {
    serde_json::from_value(imported["notes"].clone()).unwrap()
}

#[test]
fn what_the_header_tells_is_said_in_a_line() {
    let desk = Desk::with("bars.csv", "date;Name;Open;Last;Adj_Mid;Vol\n2020-01-02;AAPL;;75;74;1.5K\n");
    let imported = desk.import(&["bars.csv"]);
    assert_eq!(
        notes(&imported),
        [
            "cells are separated by ';'",
            "the column 'Name' is the symbol",
            "the column 'Last' is the close",
            "the column 'Adj_Mid' looks like an adjusted close and is not used (--map adj_close='Adj_Mid')",
            "1 volumes are in thousands, millions or billions (K, M, B)",
            "cells without a value: open 1",
        ]
    );
    assert_eq!(desk.rows(), ["2020-01-02 AAPL close=75 open=- volume=1500"]);
}

#[test]
fn what_a_file_does_not_tell_is_refused_with_the_option_that_settles_it() {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "date,open,close\n2020-01-02,1,2\n",
            &[],
            "bars.csv has no column 'symbol'; it has date, open, close; say --symbol AAPL, or --symbol-from-name",
        ),
        (
            "date,symbol,close\n2020-01-02,A,2\n",
            &[],
            "has no column 'open'; it has date, symbol, close; if each open may count as the close of its day, say --map open='close'",
        ),
        (
            "date,A,B\n2020-01-02,1,2\n",
            &["--symbol-from-name"],
            "has no column 'open'; it has date, A, B; say which one it is with --map open=…",
        ),
        (
            "when,symbol,open,close\n2020-01-02,A,1,2\n",
            &[],
            "has no column 'date'; it has when, symbol, open, close; say which one it is with --map date=…",
        ),
        (
            "date,symbol,open,Last,Price\n2020-01-02,A,1,2,2\n",
            &[],
            "has several columns that may be the close (Last, Price); say --map close=…",
        ),
        (
            "date,symbol,open,close\n03/01/2020,A,1,2\n",
            &[],
            "1 rows: day first or month first cannot be told; say --date-format DD/MM/YYYY or MM/DD/YYYY (bars.csv row 2: date '03/01/2020')",
        ),
        (
            "date,symbol,open,close\n2020-01-02,A,1,\"1,004.00\"\n",
            &[],
            "1 rows: a number that cannot be read; --thousands , reads such (bars.csv row 2: close '1,004.00')",
        ),
        (
            "date,symbol,open,close\n2020-01-02,A,1,\"1,004\"\n",
            &[],
            "a number that may be two: say --thousands , or --decimal ,",
        ),
        (
            "date;symbol;open;close\n2020-01-02;A;1;0,75\n",
            &[],
            "a number that cannot be read; --decimal , reads such (bars.csv row 2: close '0,75')",
        ),
        (
            "date,symbol,open,close\n2020-01-02,A,1,75%\n",
            &[],
            "1 rows: a number that cannot be read (bars.csv row 2: close '75%')",
        ),
        (
            "date,symbol,open,close\n2020-01-02,A,1,2\n",
            &["--map", "close=Last"],
            "has no column 'Last' (--map); it has date, symbol, open, close",
        ),
        (
            "date,symbol,open,close\n2020-01-02,A,1,2\n2020-01-02,A,1,2\n",
            &[],
            "1 rows: a second one of the same date and symbol (2020-01-02 A)",
        ),
        ("", &[], "bars.csv has no column 'date'"),
        ("date,symbol,open,close\n", &[], "the file holds no rows"),
    ];
    for (content, options, expected) in cases {
        let refusal = Desk::with("bars.csv", content).refused(&[&["bars.csv"], *options].concat());
        assert!(refusal.contains(expected), "{expected:?} is not in {refusal}");
    }
    let desk = Desk::with("bars.csv", "date,A,B\n2020-01-02,1,2\n");
    let refusal = desk.refused(&["bars.csv", "--map", "symbol="]);
    assert!(refusal.contains("say --symbol AAPL"), "{refusal}");
    let nothing = desk.refused(&["none-*.csv"]);
    assert!(nothing.contains("there is no file at none-*.csv"), "{nothing}");
}

#[test]
fn bars_that_cannot_be_are_left_out_and_counted_only_when_asked() {
    let rows = "date,symbol,open,high,low,close,volume\n2020-01-02,A,1,2,0.5,1.5,10\n2020-01-03,A,3,2,0.5,1.5,10\n\
                2020-01-06,A,1,2,0.5,1.5,-10\n";
    let desk = Desk::with("bars.csv", rows);
    let refusal = desk.refused(&["bars.csv"]);
    let expected = "2 rows: prices or volumes that cannot be (--on-impossible-price skip leaves them out) \
                    (bars.csv row 3: 2020-01-03 A: open 3 outside 0.5 to 2; bars.csv row 4: 2020-01-06 A: volume -10)";
    assert!(refusal.contains(expected), "{refusal}");
    let imported = desk.import(&["bars.csv", "--on-impossible-price", "skip"]);
    let expected = "2 bars cannot be and are left out (bars.csv row 3: 2020-01-03 A: open 3 outside 0.5 to 2; \
                    bars.csv row 4: 2020-01-06 A: volume -10)";
    assert_eq!(notes(&imported), [expected]);
    assert_eq!(desk.rows(), ["2020-01-02 A close=1.5 high=2 low=0.5 open=1 volume=10"]);
}

#[test]
fn folders_patterns_and_packed_files_are_read_one_symbol_a_file() {
    let desk = Desk::new();
    for (symbol, close) in [("AAPL", 75), ("BRK.B", 228)] {
        desk.put(&format!("one/{symbol}.csv"), &format!("Date,Open,Close\n2020-01-02,{close},{close}\n"));
        desk.put(
            &format!("keys/symbol={symbol}/part-0.csv"),
            &format!("Date,Open,Close\n2020-01-02,{close},{close}\n"),
        );
        let file = std::fs::File::create(desk.home.path().join(format!("{symbol}.csv.gz"))).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        write!(packed, "Date,Open,Close\n2020-01-02,{close},{close}\n").unwrap();
        packed.finish().unwrap();
    }
    desk.put("one/_notes.txt", "nothing to see");
    let expected = ["2020-01-02 AAPL close=75 open=75", "2020-01-02 BRK.B close=228 open=228"];
    for places in [
        &["one", "--symbol-from-name"][..],
        &["one/*.csv", "--symbol-from-name"],
        &["*.csv.gz", "--symbol-from-name"],
        &["keys"],
    ] {
        let imported = desk.import(&[places, &["--replace"]].concat());
        assert_eq!(desk.rows(), expected, "{places:?}");
        assert_eq!(imported["files"], 2);
        let from_name = places.contains(&"--symbol-from-name");
        let said = ["the symbol is the name of the file (in each of the 2 files)"];
        assert_eq!(notes(&imported), said[usize::from(!from_name)..]);
    }
    desk.put("one/MSFT.csv", "Date,Open,Close,Volume\n2020-01-02,1,1,1\n");
    let refusal = desk.refused(&["one", "--symbol-from-name", "--replace"]);
    assert!(
        refusal.contains("MSFT.csv has other columns than") && refusal.contains("has volume"),
        "{refusal}"
    );
    desk.import(&["one", "--symbol-from-name", "--replace", "--map", "volume="]);
    assert_eq!(desk.rows().len(), 3);
}

#[test]
fn an_upsert_takes_the_later_bar_and_says_what_changed() {
    let header = "date,symbol,open,close\n";
    let desk = Desk::with(
        "old.csv",
        &format!("{header}2019-12-31,A,9,9\n2020-01-02,A,10,10\n2020-01-02,B,20,20\n2020-01-03,A,11,11\n"),
    );
    desk.import(&["old.csv", "--upsert"]);
    desk.put("new.csv", &format!("{header}2020-01-02,B,20,20\n2020-01-03,A,11,12\n2020-01-06,A,12,12\n"));
    assert!(desk.refused(&["new.csv"]).contains("2 of the rows are in the table already"));
    let imported = desk.import(&["new.csv", "--upsert"]);
    let changes = &imported["changes"];
    assert_eq!(
        (&changes["added"], &changes["changed"], &changes["removed"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(changes["columns"], serde_json::json!({ "close": 1 }));
    assert_eq!(changes["symbols"], serde_json::json!(["A"]));
    assert_eq!(
        changes["largest"],
        serde_json::json!({ "column": "close", "date": "2020-01-03", "symbol": "A", "before": 11.0, "after": 12.0 })
    );
    let expected = [
        "2019-12-31 A close=9 open=9",
        "2020-01-02 A close=10 open=10",
        "2020-01-02 B close=20 open=20",
        "2020-01-03 A close=12 open=11",
        "2020-01-06 A close=12 open=12",
    ];
    assert_eq!(desk.rows(), expected);
    // Once more changes nothing, and makes no version.
    let again = desk.import(&["new.csv", "--upsert"]);
    assert_eq!((&again["changes"]["added"], &again["changes"]["changed"]), (&0.into(), &0.into()));
    assert_eq!(again["contents"]["version"], imported["contents"]["version"]);
    assert_eq!(desk.rows(), expected);

    let version = imported["contents"]["version"].as_u64().unwrap();
    let versions = [(version - 1).to_string(), version.to_string()];
    let output = desk.run(&["lake", "diff", &versions[0], &versions[1], "--output", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let difference = &found["difference"];
    assert_eq!(
        (&difference["added"], &difference["changed"], &difference["removed"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(difference["largest"], changes["largest"]);
    let text = desk.run(&["lake", "diff", &versions[1], &versions[0]]);
    let text = String::from_utf8(text.stdout).unwrap();
    for line in [
        "rows removed     1",
        "rows changed     1",
        "largest change   close of A on 2020-01-03, 12 to 11 (-8.33 %)",
        "symbols          1 (A)",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let missing = desk.run(&["lake", "diff", "1", "99"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
}

#[test]
fn a_history_that_is_restated_comes_whole_or_not_at_all() {
    let header = "date,symbol,open,close,adj_close\n";
    let before = format!(
        "{header}2020-01-02,A,100,100,100\n2020-01-03,A,102,102,102\n2020-01-06,A,104,104,104\n2020-01-02,B,5,5,5\n"
    );
    let desk = Desk::with("before.csv", &before);
    desk.import(&["before.csv"]);
    // A dividend since: every adjusted close before it is two per cent less.
    let (second, third, fourth) =
        ("2020-01-03,A,102,102,99.96\n", "2020-01-06,A,104,104,101.92\n", "2020-01-07,A,103,103,103\n");
    desk.put("part.csv", &format!("{header}{second}{third}{fourth}"));
    let refusal = desk.refused(&["part.csv", "--upsert"]);
    let expected = "lacks 1 older or other bars of 1 symbols (A 1 from 2020-01-02 to 2020-01-02)";
    assert!(refusal.contains(expected), "{refusal}");
    desk.put("whole.csv", &format!("{header}2020-01-02,A,100,100,98\n{second}{third}{fourth}"));
    let imported = desk.import(&["whole.csv", "--upsert"]);
    assert_eq!(imported["changes"]["restated"], serde_json::json!(["A"]));
    assert_eq!((&imported["changes"]["added"], &imported["changes"]["changed"]), (&1.into(), &3.into()));
    assert_eq!(
        desk.rows(),
        [
            "2020-01-02 A adj_close=98 close=100 open=100",
            "2020-01-02 B adj_close=5 close=5 open=5",
            "2020-01-03 A adj_close=99.96 close=102 open=102",
            "2020-01-06 A adj_close=101.92 close=104 open=104",
            "2020-01-07 A adj_close=103 close=103 open=103",
        ]
    );
    // The same of closes that are split-adjusted; one close that is corrected is no such thing.
    let header = "date,symbol,open,close\n";
    let desk = Desk::with(
        "before.csv",
        &format!("{header}2020-01-02,A,100,100\n2020-01-03,A,102,102\n2020-01-06,A,104,104\n"),
    );
    desk.import(&["before.csv"]);
    desk.put("part.csv", &format!("{header}2020-01-03,A,51,51\n2020-01-06,A,52,52\n2020-01-07,A,53,53\n"));
    assert!(desk.refused(&["part.csv", "--upsert"]).contains("on another basis"));
    desk.put("corrected.csv", &format!("{header}2020-01-03,A,102,101.5\n2020-01-06,A,104,104\n"));
    assert_eq!(desk.import(&["corrected.csv", "--upsert"])["changes"]["changed"], 1);
}

#[test]
fn signals_have_any_columns_of_numbers_and_a_run_reads_them() {
    let desk = Desk::with(
        "signals.csv",
        "Date,Ticker,value,sector,Quality\n2024-01-02,A,1.5,Tech,\n2024-01-03,A,-2,Tech,0.5\n",
    );
    let output = desk.run(&["lake", "import", "signals.csv", "--signals"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("name the table of the signals with --table"));
    let imported = desk.import(&["signals.csv", "--signals", "--table", "platinum/signals/mine"]);
    assert_eq!(
        notes(&imported),
        ["columns without numbers are not taken: sector", "cells without a value: Quality 1"]
    );
    assert_eq!(
        desk.rows_of("platinum/signals/mine"),
        ["2024-01-02 A Quality=- value=1.5", "2024-01-03 A Quality=0.5 value=-2"]
    );
    desk.put("more.csv", "date,symbol,value,quality\n2024-01-03,A,3,0.5\n2024-01-04,A,4,0.5\n");
    let changes =
        &desk.import(&["more.csv", "--signals", "--table", "platinum/signals/mine", "--upsert"])["changes"];
    assert_eq!((&changes["added"], &changes["changed"]), (&1.into(), &1.into()));
    desk.put("less.csv", "date,symbol,value\n2024-01-05,A,3\n");
    let refusal = desk.refused(&["less.csv", "--signals", "--table", "platinum/signals/mine", "--upsert"]);
    assert!(refusal.contains("only the table has quality"), "{refusal}");
    let kept = desk.refused(&["less.csv", "--signals", "--table", "platinum/signals/daily"]);
    assert!(kept.contains("is kept by `backtests sync`"), "{kept}");
    desk.put("words.csv", "date,symbol,mood\n2024-01-05,A,high\n");
    let words = desk.refused(&["words.csv", "--signals", "--table", "platinum/signals/words"]);
    assert!(words.contains("has no signal") && words.contains("not taken: mood"), "{words}");

    desk.put(
        "bars.csv",
        "date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-03,A,10,10\n2024-01-04,A,10,12\n",
    );
    desk.import(&["bars.csv"]);
    desk.put(
        "config.yaml",
        "start_date: 2024-01-01\nend_date: 2024-12-31\nuniverse: {symbols: [A]}\ninitial_cash: 1000\n\
         data: {signal_path: platinum/signals/mine}\n\
         strategy: {class: TopNSignalStrategy, parameters: {signal_column: value, top_n: 1}}\n",
    );
    let output = desk.run(&["run", "config.yaml", "--out", "out", "--output", "json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(summary["final_equity"], serde_json::json!(1200.0), "{output:?}");
}

#[test]
fn wide_signals_become_one_column() {
    let desk = Desk::with("scores.csv", "date;A;B\n2024-01-02;0,5;\n");
    let table = ["--signals", "--table", "gold/scores"];
    desk.import(&[&["scores.csv", "--wide", "score", "--decimal", ","], &table[..]].concat());
    assert_eq!(desk.rows_of("gold/scores"), ["2024-01-02 A score=0.5"]);
}

#[test]
fn a_number_is_spelled_as_was_said() {
    let spelled = |thousands: Option<char>, decimal: char| Spelling { thousands, decimal };
    for (spelling, text, expected) in [
        (spelled(Some(','), '.'), "1,004.00", Ok(Some(1004.0))),
        (spelled(Some(','), '.'), "-12,34,567.5", Ok(Some(-1_234_567.5))),
        (spelled(Some(','), '.'), "1004", Ok(Some(1004.0))),
        (spelled(Some(','), '.'), "NaN", Ok(None)),
        (spelled(Some(','), '.'), "1,00", Err(NotANumber)),
        (spelled(Some(','), '.'), "1,0040", Err(NotANumber)),
        (spelled(Some(','), '.'), ",004", Err(NotANumber)),
        (spelled(Some(','), '.'), "1.004,00", Err(NotANumber)),
        (spelled(Some('.'), ','), "1.004,25", Ok(Some(1004.25))),
        (spelled(Some('.'), ','), "1.5", Err(NotANumber)),
        (spelled(None, ','), "0,75", Ok(Some(0.75))),
        (spelled(None, ','), "0.75", Err(NotANumber)),
        (spelled(None, ','), "1,2,3", Err(NotANumber)),
        (spelled(Some('\''), '.'), "1'004.5", Ok(Some(1004.5))),
        (spelled(None, '.'), "1,004", Err(NotANumber)),
    ] {
        assert_eq!(spelling.parse(text), expected, "{text:?} {spelling:?}");
    }
}

#[test]
fn dividends_and_splits_come_with_the_bars_of_a_table_that_has_them() {
    let with =
        "date,symbol,open,close,divCash,splitFactor\n2020-01-02,A,10,10,0,1\n2020-01-03,A,4.5,4.5,1,2\n";
    let desk = Desk::with("with.csv", with);
    desk.put("without.csv", "date,symbol,open,close\n2020-01-06,A,4.5,4.5\n");
    desk.put("later.csv", "date,symbol,open,close,divCash,splitFactor\n2020-01-06,A,4.5,4.5,,\n");
    assert_eq!(notes(&desk.import(&["with.csv"])), Vec::<String>::new());
    let first = "2020-01-02 A close=10 dividend=0 open=10 split_factor=1";
    let second = "2020-01-03 A close=4.5 dividend=1 open=4.5 split_factor=2";
    assert_eq!(desk.rows(), [first, second]);
    // Rows that do not say would say that there is none.
    let refusal = desk.refused(&["without.csv"]);
    assert!(refusal.contains("only the table has dividend, split_factor"), "{refusal}");
    // An empty cell is none, and not worth a line.
    assert_eq!(notes(&desk.import(&["later.csv"])), Vec::<String>::new());
    assert_eq!(desk.rows()[2], "2020-01-06 A close=4.5 dividend=- open=4.5 split_factor=-");

    // A table that was made without them goes on without them.
    desk.import(&["without.csv", "--replace"]);
    for mode in ["--append", "--upsert"] {
        let said = |column: &str| {
            format!(
                "the table has no column {column}, so that it is not taken; --replace makes one that has it"
            )
        };
        assert_eq!(
            notes(&desk.import(&["with.csv", mode])),
            [said("dividend"), said("split_factor")],
            "{mode}"
        );
    }
    let expected = [
        "2020-01-02 A close=10 open=10",
        "2020-01-03 A close=4.5 open=4.5",
        "2020-01-06 A close=4.5 open=4.5",
    ];
    assert_eq!(desk.rows(), expected);
    let refusal = Desk::with("bad.csv", &with.replace(",1,2", ",-1,2")).refused(&["bad.csv"]);
    assert!(refusal.contains("bad.csv row 3: 2020-01-03 A: dividend -1"), "{refusal}");
    let yahoo = "Date,Open,Close,Dividends,Stock Splits\n2020-01-02,10,10,0.5,0\n";
    let desk = Desk::with("yahoo.csv", yahoo);
    let told = notes(&desk.import(&["yahoo.csv", "--symbol", "A"]));
    assert!(
        told.iter().any(|line| line.starts_with("the column 'Dividends' looks like dividends or splits")),
        "{told:?}"
    );
    desk.import(&["yahoo.csv", "--symbol", "A", "--map", "dividend=Dividends", "--replace"]);
    assert_eq!(desk.rows(), ["2020-01-02 A close=10 dividend=0.5 open=10"]);
}
