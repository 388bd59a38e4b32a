//! The report page: there, well-formed, self-contained, the same every time; and in a real browser, where there is
//! one, on a phone and on a desk, by day and by night.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::html::assert_well_formed;
use crate::support::service::{Home, momentum, project, run_well};

/// Runs a config and returns the folder of its files.
fn report(home: &Home, config: &Path, id: &str, out: &str) -> PathBuf {
    let lake = home.lake();
    let (config, lake) = (config.to_str().unwrap(), lake.to_str().unwrap());
    run_well(&["run", config, "--lake", lake, "--run-id", id, "--out", out], home.path());
    home.path().join(out).join(id)
}

fn page_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("report.html")).unwrap()
}

/// Runs a config given as a value.
fn report_of(home: &Home, config: &Value, id: &str) -> PathBuf {
    let path = home.path().join(format!("{id}.json"));
    std::fs::write(&path, config.to_string()).unwrap();
    report(home, &path, id, "out")
}

#[test]
fn a_run_leaves_a_page() {
    let home = Home::with_prices();
    let folder = report(&home, &project("examples/momentum.yaml"), "example", "out");
    let page = page_of(&folder);
    assert_well_formed(&page);
    for address in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(address), "the page asks for something: {address}");
    }
    for part in [
        "momentum, top two of five",
        "<code>example</code>",
        "2005-01-03",
        "Sharpe ratio",
        "Benchmark (equal weight)",
        "Monthly returns",
        "id=\"equity\"",
        "id=\"drawdown\"",
        "id=\"rolling_sharpe\"",
        "id=\"exposure\"",
        "id=\"turnover\"",
        "id=\"costs\"",
        "Worst drawdowns",
        "Round trips",
        "Contributions",
        "Years",
        "Daily returns",
        "id=\"rolling_volatility\"",
        "id=\"rolling_beta\"",
        "Costs a year, bps of average equity",
        "What the figures mean",
        "The effective config",
        "signal_column: momentum_12_1",
    ] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert!(page.len() < 150_000, "{} bytes", page.len());

    let manifest: Value =
        serde_json::from_slice(&std::fs::read(folder.join("artifacts_manifest.json")).unwrap()).unwrap();
    let listed = manifest["artifacts"].as_array().unwrap();
    let listed = listed.iter().find(|file| file["name"] == "report.html").unwrap();
    assert_eq!(listed["size_bytes"], json!(page.len()));
    assert_eq!(listed["content_type"], "text/html; charset=utf-8");

    let again = report(&home, &project("examples/momentum.yaml"), "example", "again");
    assert_eq!(page, page_of(&again), "the same run, other bytes");
}

#[test]
fn every_figure_leads_to_its_definition() {
    let home = Home::with_prices();
    let page = page_of(&report(&home, &project("examples/momentum.yaml"), "example", "out"));
    let mut targets: Vec<&str> =
        page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(targets.len() > 35, "{targets:?}");
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "{target} is defined once");
    }
    assert!(!page.contains("Synthetic prices"), "these are real");
}

#[test]
fn no_path_of_the_machine_is_on_the_page() {
    let home = Home::empty();
    let mut config = momentum();
    let sample = home.path().join("bars.parquet");
    std::fs::copy(project("examples/data/wiki5_ohlcv_daily.parquet"), &sample).unwrap();
    config["data"] = json!({ "price_source": "local", "price_path": sample });
    let page = page_of(&report_of(&home, &config, "local"));
    assert!(page.contains("…/bars.parquet"));
    assert!(!page.contains(home.path().to_str().unwrap()));
}

/// A drawdown that never falls hangs from zero: the axis has no value above it.
#[test]
fn a_drawdown_that_never_falls_goes_down() {
    let home = Home::with_prices();
    let mut config = momentum();
    config["start_date"] = json!("2008-03-03");
    config["end_date"] = json!("2008-03-03");
    let page = page_of(&report_of(&home, &config, "flat"));
    let chart =
        page.split("id=\"drawdown\"").nth(1).and_then(|rest| rest.split("</section>").next()).unwrap();
    let labels: Vec<&str> = chart
        .split("<text class=\"y\"")
        .skip(1)
        .filter_map(|label| label.split_once('>')?.1.split('<').next())
        .collect();
    assert!(labels.len() > 1 && labels.contains(&"0\u{a0}%"), "{labels:?}");
    assert!(labels.iter().all(|label| *label == "0\u{a0}%" || label.starts_with('−')), "{labels:?}");
}

/// The tables of three runs over real prices, computed again from fills, days and positions.
#[test]
fn every_table_equals_what_pandas_makes_of_the_fills() {
    let Some(python) = python() else { return };
    let beside = project("../shared/data");
    let long_short = json!({
        "class": "LongShortTopNStrategy",
        "parameters": { "signal_column": "momentum_60d_percentile", "k_long": 4, "k_short": 3, "rebalance": "monthly" },
    });
    let wiki = project("examples/data/wiki5_ohlcv_daily.parquet");
    let panels = [
        (wiki, "IBM", momentum()["universe"]["symbols"].clone(), "2005-01-03", "2013-03-01", None),
        (
            beside.join("djia30_2006_2017.parquet"),
            "IBM",
            json!(["*"]),
            "2007-01-03",
            "2012-12-31",
            Some(&long_short),
        ),
        (
            beside.join("sp482_2015_2020.parquet"),
            "AAPL",
            json!(["AAPL", "AAL", "ABBV", "ABT", "ACN", "ADBE", "ADI", "ADM", "ADP", "AMD", "AMZN", "MSFT"]),
            "2016-01-04",
            "2019-12-31",
            Some(&long_short),
        ),
    ];
    for (prices, benchmark, symbols, start, end, strategy) in panels {
        if !prices.is_file() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", prices.display());
            println!("skipped: {} is not there", prices.display());
            continue;
        }
        let home = Home::empty();
        let mut config = momentum();
        config["universe"]["symbols"] = symbols;
        (config["start_date"], config["end_date"]) = (json!(start), json!(end));
        config["data"] = json!({ "price_source": "local", "price_path": prices });
        config["benchmark"] = json!(benchmark);
        config["broker"] = json!({ "slippage_bps": 7, "spread_bps": 4, "commission": 0.001 });
        if let Some(strategy) = strategy {
            config["strategy"] = strategy.clone();
            config["sizing"] = json!({ "class": "LongShortScoreSizer", "parameters": { "net_target": 0.2 } });
            config["constraints"] = json!({ "allow_short": true, "max_leverage": 1.5 });
        }
        let folder = report_of(&home, &config, "again");
        let said = Command::new(python)
            .arg(project("tests/support/report.py"))
            .args([folder.as_os_str(), prices.as_os_str(), benchmark.as_ref()])
            .output()
            .unwrap();
        assert!(said.status.success(), "{}: {}", prices.display(), String::from_utf8_lossy(&said.stderr));
        println!("{}: {} numbers agree", prices.display(), String::from_utf8_lossy(&said.stdout).trim());
    }
}

/// A Python with pandas; `None`, said in one line, where there is none and none is needed.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let candidates = [project("target/python/bin/python3"), PathBuf::from("python3")];
        let has_packages = |python: &PathBuf| {
            let imported = Command::new(python).args(["-c", "import pandas, pyarrow"]).output();
            imported.is_ok_and(|output| output.status.success())
        };
        let found = candidates.into_iter().find(has_packages);
        if found.is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the Python package pandas");
            println!("skipped: no Python package pandas");
        }
        found
    };
    PYTHON.get_or_init(find).as_deref()
}

#[test]
fn what_comes_from_outside_is_text() {
    let home = Home::with_prices();
    let mut config = momentum();
    config["run_name"] = json!("<script>alert(1)</script>\"'&</title></style>");
    config["universe"]["currency"] = json!("<img src=x onerror=alert(1)>");
    let page = page_of(&report_of(&home, &config, "hostile"));
    assert_well_formed(&page);
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn the_shortest_run_has_a_page() {
    let home = Home::with_prices();
    let mut config = momentum();
    config["start_date"] = json!("2008-03-03");
    config["end_date"] = json!("2008-03-03");
    config["run_name"] = Value::Null;
    let page = page_of(&report_of(&home, &config, "short"));
    assert_well_formed(&page);
    let mut words = page.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(words.all(|word| !["NaN", "inf"].contains(&word)), "a number that is none");
    for part in ["Unnamed run", "<strong>–</strong>", "no value is defined", "Nothing was ever held"] {
        assert!(page.contains(part), "the page lacks {part}");
    }
}

#[test]
fn many_symbols_and_days_do_not_swell_the_page() {
    let home = Home::with_sample(50, 5000);
    let config = json!({
        "run_name": "many", "start_date": "1990-01-01", "end_date": "2035-12-31",
        "universe": { "symbols": ["*"] },
        "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": "monthly" } },
        "sizing": { "class": "EqualWeightSizer", "parameters": { "max_positions": 50 } },
        "benchmark": "equal_weight",
    });
    let page = page_of(&report_of(&home, &config, "many"));
    assert!(page.contains("And 40 more."));
    assert!(page.contains("Synthetic prices"));
    assert!(page.len() < 250_000, "{} bytes", page.len());
}

#[test]
fn plots_are_files_when_asked_for() {
    let home = Home::with_prices();
    let mut config = momentum();
    assert!(!report_of(&home, &config, "without").join("plots").exists());
    config["output"] = json!({ "save_plots": true });
    let folder = report_of(&home, &config, "with");
    let svg = std::fs::read_to_string(folder.join("plots/equity.svg")).unwrap();
    assert_well_formed(&format!("<!DOCTYPE html>{svg}"));
    assert!(svg.starts_with("<svg xmlns=") && !svg.contains("NaN"));
    assert_eq!(std::fs::read_dir(folder.join("plots")).unwrap().count(), 8);
    config["benchmark"] = json!("equal_weight");
    assert!(report_of(&home, &config, "beta").join("plots/rolling_beta.svg").is_file());
}

/// A Chromium of this machine.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.iter().flat_map(|folder| names.map(|name| folder.join(name))).find(|program| program.is_file())
}

/// Shows the page in a frame of `width` pixels and reports what it looks like from outside.
const PROBE: &str = r#"<!DOCTYPE html><html><body><iframe id="page" style="border:0;width:WIDTHpx;height:900px"></iframe>
<script type="application/json" id="text">PAGE</script>
<script>
const frame = document.getElementById('page');
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
  const wide = [...page.body.querySelectorAll('*')].filter((part) =>
    !part.closest('.scroll, pre') && part.getBoundingClientRect().right > root.clientWidth + 0.5);
  const drawn = [...page.querySelectorAll('path, .bar')].filter((part) => part.getBoundingClientRect().width > 0);
  document.body.dataset.report = JSON.stringify({
    client: root.clientWidth, scroll: root.scrollWidth,
    wide: wide.map((part) => part.tagName + '.' + part.getAttribute('class') + ' ' + part.textContent.slice(0, 40)),
    requests: view.performance.getEntriesByType('resource').map((entry) => entry.name),
    paper: view.getComputedStyle(page.body).backgroundColor, drawn: drawn.length,
  });
};
frame.srcdoc = JSON.parse(document.getElementById('text').textContent);
</script></body></html>"#;

#[test]
fn a_browser_shows_it_whole() {
    let Some(browser) = browser() else {
        println!("skipped: no Chromium on this machine, the page was not looked at");
        return;
    };
    let home = Home::with_prices();
    let mut config = momentum();
    config["run_name"] = json!(format!("a long name without a blank {}", "x".repeat(170)));
    config["benchmark"] = json!("equal_weight");
    let example = page_of(&report(&home, &project("examples/momentum.yaml"), "example", "out"));
    let long_name = page_of(&report_of(&home, &config, "long"));

    for (page, name) in [(&example, "example"), (&long_name, "long name")] {
        for (width, dark) in [(360, false), (360, true), (1280, false), (1280, true)] {
            let (report, log) = look(&browser, home.path(), page, width, dark);
            let place = format!("{name} at {width} px, dark: {dark}: {report}");
            assert_eq!(report["client"], json!(width), "{place}");
            assert!(report["scroll"].as_u64().unwrap() <= width, "too wide: {place}");
            assert_eq!(report["wide"], json!([]), "sticks out: {place}");
            assert_eq!(report["requests"], json!([]), "asks for something: {place}");
            assert!(report["drawn"].as_u64().unwrap() > 10, "nothing drawn: {place}");
            let paper = if dark { "rgb(18, 22, 27)" } else { "rgb(255, 255, 255)" };
            assert_eq!(report["paper"], paper, "{place}");
            let said: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
            assert!(said.is_empty(), "{place}: {said:?}");
        }
    }
}

/// What the probe reports, and the browser's log.
fn look(browser: &Path, folder: &Path, page: &str, width: u64, dark: bool) -> (Value, String) {
    let text = serde_json::to_string(page).unwrap().replace('<', "\\u003c");
    let probe = folder.join("probe.html");
    std::fs::write(&probe, PROBE.replace("WIDTH", &width.to_string()).replace("PAGE", &text)).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--enable-logging=stderr", "--window-size=1400,1000"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .arg(format!("--blink-settings=preferredColorScheme={}", i32::from(!dark)))
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", probe.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let dom = String::from_utf8_lossy(&output.stdout);
    let report = dom.split_once("data-report=\"").and_then(|(_, rest)| rest.split_once('"'));
    let Some((report, _)) = report else { panic!("the probe said nothing; the browser said: {log}") };
    let report =
        report.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    (serde_json::from_str(&report).unwrap(), log)
}
