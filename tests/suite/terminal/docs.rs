//! Every block of commands in README and docs, run in order by a shell, as a reader would.
//!
//! Lines that prepare a machine (`make`, `cargo build`, `pip install`) are left out: this test is what they lead to. A block
//! that cannot run here has `<!-- not run: why -->` above it.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use chrono::{Datelike as _, NaiveDate};
use deltalake::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use deltalake::parquet::arrow::ArrowWriter;

use crate::database::roles::LOGINS;
use crate::support::postgres::empty_database;
use crate::support::service::{Home, program, project, run_well};

/// The blocks of commands of a page, in order, as one script: each begins in the reader's folder and knows what those before
/// it have set. Each command is echoed before it runs.
fn script_of(page: &str) -> String {
    let text = std::fs::read_to_string(project(page)).unwrap();
    let mut script = "set -euo pipefail\nPS4='$ '\nset -x\n".to_owned();
    let (mut inside, mut runs, mut above, mut imports) = (false, false, "", 0);
    for line in text.lines() {
        match line {
            "```sh" if !inside => {
                inside = true;
                runs = !above.starts_with("<!-- not run: ");
                if runs {
                    script += "cd \"$PAGE\"\n";
                }
            }
            _ if inside && line.starts_with("```") => inside = false,
            _ if inside && runs && !prepares(line) => {
                // On the page of imports each is another reader's, with a lake of their own; the first goes on.
                imports += usize::from(page == "docs/import.md" && line.contains("lake import"));
                let lake = if imports > 1 && line.contains("lake import") {
                    "BACKTEST_LAKE=\"$(mktemp -d)\" "
                } else {
                    ""
                };
                writeln!(script, "{lake}{}", ends_soon(line)).unwrap();
            }
            _ => {}
        }
        above = line;
    }
    script
}

fn prepares(line: &str) -> bool {
    ["make ", "cargo build", "pip install"].iter().any(|what| line.starts_with(what))
}

/// A service runs until it is stopped, which is done here once it has come up; and what a page calls the database of its
/// reader is one of this test.
fn ends_soon(line: &str) -> String {
    match line.split_once("backtests dev") {
        Some((settings, rest)) => format!("{settings}ends_well backtests dev --port 0{rest}"),
        None if line.starts_with("export POSTGRES_DSN=") => "export POSTGRES_DSN=\"$DATABASE\"".to_owned(),
        None => line.to_owned(),
    }
}

/// Bars of three symbols, enough of them to be ranked.
fn four_months() -> String {
    let first = NaiveDate::from_ymd_opt(2023, 10, 2).unwrap();
    let mut text = "date,symbol,open,close\n".to_owned();
    for (day, date) in
        first.iter_days().take(115).enumerate().filter(|(_, date)| date.weekday().number_from_monday() < 6)
    {
        for (pace, symbol) in [(0.1, "OWN"), (0.2, "TWO"), (-0.1, "SIX")] {
            let price = 100.0 + pace * day as f64;
            writeln!(text, "{date},{symbol},{price},{price}").unwrap();
        }
    }
    text
}

/// Runs the commands of a page; `settings` are what its reader has.
fn follow(page: &str, folder: &Path, settings: &[(&str, &str)]) {
    let bin = Path::new(env!("CARGO_BIN_EXE_backtests")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // A host that was told to stop says so by its exit code.
    let helper =
        "ends_well() { set +e; timeout --signal=INT 10 \"$@\"; local code=$?; set -e; [ $code = 124 ]; }\n";
    let environment = program();
    let mut shell = Command::new("bash");
    for (name, value) in environment.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell
        .args(["-c", &format!("{helper}{}", script_of(page))])
        .current_dir(folder)
        .env("PATH", path)
        .env("PAGE", folder)
        .env("TMPDIR", folder)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{page}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The examples, as a clone has them.
fn clone_at(folder: &Path) {
    for part in ["examples", "examples/data"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        for file in std::fs::read_dir(project(part)).unwrap().map(Result::unwrap) {
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), folder.join(part).join(file.file_name())).unwrap();
            }
        }
    }
}

/// Bars of some days from `open` on, with a header.
fn bars(header: &str, row: impl Fn(u32, f64) -> String) -> String {
    let rows = (2..=6).map(|day| row(day, 100.0 + f64::from(day)));
    std::iter::once(header.to_owned()).chain(rows).collect::<Vec<_>>().join("\n") + "\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_readme_do_as_it_says() {
    let Some(dsn) = empty_database() else { return };
    // The logins that it makes are of the whole server.
    let _turn = LOGINS.lock().await;
    let home = Home::empty();
    let folder = home.path();
    clone_at(folder);
    // What `make demo` leaves behind, and its host.
    run_well(&["lake", "import", "examples/data", "--lake", ".backtests/lake"], folder);
    let host = Home::with_prices().with_clone();
    let dev = host.dev(&[]).await;
    // Files of the reader's own.
    std::fs::write(folder.join("bars.csv"), four_months()).unwrap();
    std::fs::create_dir(folder.join("prices")).unwrap();
    let single = bars("date,open,close", |day, open| format!("2024-01-0{day},{open},{open}"));
    std::fs::write(folder.join("prices/ONE.csv"), single).unwrap();

    follow("README.md", folder, &[("BACKTEST_URL", &dev.url), ("DATABASE", &dsn)]);
    assert!(folder.join("first/results").read_dir().unwrap().count() > 0, "the wheel's way ends in results");
}

#[test]
fn the_commands_of_the_page_on_imports_do_as_it_says() {
    let home = Home::empty();
    let folder = home.path();
    let yahoo = bars("Date,Open,High,Low,Close,Adj Close,Volume", |day, open| {
        format!("2024-01-0{day},{open},{open},{open},{open},{open},100")
    });
    std::fs::write(folder.join("AAPL.csv"), &yahoo).unwrap();
    std::fs::create_dir(folder.join("prices")).unwrap();
    std::fs::write(folder.join("prices/IBM.csv"), &yahoo).unwrap();
    std::fs::create_dir(folder.join("d_us_txt")).unwrap();
    let stooq =
        bars("<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>", |day, open| {
            format!("MSFT.US,D,2024010{day},000000,{open},{open},{open},{open},100,0")
        });
    std::fs::write(folder.join("d_us_txt/msft.us.txt"), stooq).unwrap();
    let nasdaq = bars("Date,Close/Last,Volume,Open,High,Low", |day, open| {
        format!("02/0{day}/2024,${open},100,${open},${open},${open}")
    });
    std::fs::write(folder.join("HistoricalData.csv"), nasdaq).unwrap();
    let wide = bars("date,GOOG,META", |day, open| format!("2024-01-0{day},{open},{open}"));
    std::fs::write(folder.join("closes.csv"), wide).unwrap();
    let lake = home.lake();
    scores_at(&folder.join("scores.parquet"));

    follow("docs/import.md", folder, &[("BACKTEST_LAKE", lake.to_str().unwrap())]);
}

/// A small file of scores.
fn scores_at(path: &Path) {
    let columns: [(&str, ArrayRef); 3] = [
        ("date", Arc::new(StringArray::from(vec!["2024-01-02", "2024-01-03"]))),
        ("symbol", Arc::new(StringArray::from(vec!["AAPL", "AAPL"]))),
        ("score", Arc::new(Float64Array::from(vec![0.5, 0.6]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let followed = ["README.md", "docs/import.md"];
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "infra/README.md".to_owned()];
    for file in std::fs::read_dir(project("docs")).unwrap().map(Result::unwrap) {
        let name = file.file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    for page in pages.iter().filter(|page| !followed.contains(&page.as_str())) {
        let script = script_of(page);
        assert_eq!(script.lines().count(), 3, "no test runs the commands of {page}:\n{script}");
    }
}
