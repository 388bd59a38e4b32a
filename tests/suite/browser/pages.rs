//! The pages in a real browser against the real local host: a person's day with them, with the keyboard alone, on a phone at night, with
//! keys, with ten thousand runs; and what they must never do.

use std::path::Path;

use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG};
use serde_json::{Value, json};

use crate::support::browser::{Browser, DESK, PHONE_AT_NIGHT, axe, keys};
use crate::support::service::{Dev, Home, eventually, long, momentum, project, run_well};

/// Submits a config and waits until the run has ended.
async fn completed(dev: &Dev, config: &Value) -> String {
    let run = submitted(dev, config).await;
    let url = format!("{}/api/backtests/{run}", dev.url);
    eventually("the run completes", async || {
        let record: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
        assert_ne!(record["status"], "failed", "{record}");
        (record["status"] == "completed").then_some(())
    })
    .await;
    run
}

async fn submitted(dev: &Dev, config: &Value) -> String {
    let request = reqwest::Client::new().post(format!("{}/api/backtests", dev.url));
    let answer: Value =
        request.json(&json!({ "config": config })).send().await.unwrap().json().await.unwrap();
    answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn named(name: &str) -> Value {
    let mut config = momentum();
    config["run_name"] = json!(name);
    config["benchmark"] = json!("equal_weight");
    config
}

/// Every request went to the service, and the browser had nothing to complain about but refusals that were shown.
async fn stayed_at_home(browser: &Browser, dev: &Dev) {
    let asked = browser.requests().await;
    // What the browser draws of its own comes from inside it: `chrome://`, `data:`.
    let away: Vec<&String> = asked
        .iter()
        .filter(|url| (url.starts_with("http") || url.starts_with("ws")) && !url.starts_with(&dev.url))
        .collect();
    assert!(away.is_empty(), "asked elsewhere: {away:?}");
    let complaints = browser.complaints().await;
    let own: Vec<&String> =
        complaints.iter().filter(|line| !line.contains("Failed to load resource")).collect();
    assert!(own.is_empty(), "{own:?}");
}

/// A config with a fault is named and mended; it runs, its curve is looked at, it is compared with a second run, a third one
/// is canceled.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_the_pages() {
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_sample(200, 2000).with_clone();
    let dev = home.dev(&[]).await;
    let axe = axe();

    browser.open_page(&dev.url).await;
    browser.sees("There are no runs yet.").await;
    assert!(browser.run("return location.pathname", json!([])).await == "/api/ui");
    assert_eq!(browser.findings(&axe).await, "", "no runs");

    browser.press("Submit one").await;
    let text = "run_name: first of all\nstart_date: 2001-01-02\nend_date: 2002-12-31\nuniverse: {symbols: [\"*\"]}\nstrategy:\n  \
                class: TopNSignalStrategy\n  parameters:\n    signal_column: momentum_60d\n    top_n: 5\n    rebalance: hourly\nbenchmark: equal_weight\n";
    browser.replace("textarea", text).await;
    browser.sees("line 10 strategy.parameters.rebalance must be one of").await;
    browser.sees("One fault.").await;
    let beside = "const note = document.querySelector('.faults button').getBoundingClientRect(); \
                  const mark = document.querySelector('.lines .bad'); \
                  return mark.innerText === '10' && Math.abs(note.top - mark.getBoundingClientRect().top) < 12";
    assert_eq!(browser.run(beside, json!([])).await, true, "the fault does not stand beside its line");
    assert_eq!(browser.run("return document.querySelector('button.main').disabled", json!([])).await, true);
    assert_eq!(browser.findings(&axe).await, "", "a fault");

    browser.replace("textarea", &text.replace("hourly", "monthly")).await;
    browser.sees("This can be run: ").await;
    browser.press("Submit").await;
    browser.sees("first of all").await;
    browser.sees("From 2001-01-02 to 2002-12-31 it made").await;
    browser
        .waits(
            "the curve beside its benchmark",
            "return document.querySelectorAll('.chart')[0]?.querySelectorAll('path.line').length === 2",
        )
        .await;
    browser.sees("equal weight").await;
    assert_eq!(browser.findings(&axe).await, "", "a run");
    for (tab, said) in [
        ("positions", "held, "),
        ("trades", "fills loaded"),
        ("rolling", "Volatility a year"),
        ("files", "A click, or Enter, downloads one."),
        ("config", "signal_column: momentum_60d"),
        ("inputs", "fingerprint"),
        ("events", "submitted"),
    ] {
        browser.click(&format!("#part-{tab}")).await;
        browser.sees(said).await;
        assert_eq!(browser.findings(&axe).await, "", "{tab}");
    }
    browser.click("#part-report").await;
    let shown = "const page = document.querySelector('iframe')?.contentDocument; \
                 return Boolean(page?.querySelector('svg path')) && getComputedStyle(page.querySelector('header')).borderTopWidth === '3px'";
    browser.waits("the report in its frame, with its style", shown).await;

    // The same once more with another breadth: what differs is said.
    browser.press("Submit again …").await;
    browser.sees("which it will name as its parent").await;
    browser
        .waits(
            "the config is filled in",
            "return document.querySelector('textarea').value.includes('top_n: 5')",
        )
        .await;
    let again = browser.run("return document.querySelector('textarea').value", json!([])).await;
    let again =
        again.as_str().unwrap().replace("top_n: 5", "top_n: 9").replace("first of all", "second of all");
    browser.replace("textarea", &again).await;
    browser.sees("This can be run: ").await;
    browser.press("Submit").await;
    browser.sees("second of all").await;
    browser.sees("it made").await;
    browser.click("#part-config").await;
    browser.sees("What differs from its parent").await;
    browser.sees("top_n: 9").await;

    browser.press("Compare …").await;
    browser.sees("Tick at least one more.").await;
    browser
        .waits("two runs to choose from", "return document.querySelectorAll('main .tick input').length === 2")
        .await;
    browser
        .run(
            "[...document.querySelectorAll('main .tick input')].find((one) => !one.checked).click()",
            json!([]),
        )
        .await;
    browser.press("Compare 2").await;
    browser.sees("What 1 became").await;
    browser.sees("strategy.parameters.top_n").await;
    browser.sees("Correlation of daily returns").await;
    browser.sees("The difference in Sharpe ratio, ").await;
    browser.sees("p, autocorrelation allowed for (Ledoit, Wolf 2008)").await;
    let ids = browser.run("return location.hash.split('runs=')[1].split(',').length", json!([])).await;
    assert_eq!(ids, 2, "the comparison has an address");
    assert_eq!(browser.findings(&axe).await, "", "a comparison");

    browser.click("main p.muted a").await;
    browser.press("Archive").await;
    browser.sees("Take out of the archive").await;

    let third = submitted(&dev, &long()).await;
    browser.open_page(&format!("{}/api/ui#/runs/{third}", dev.url)).await;
    browser.press("Cancel").await;
    browser.sees("Canceled 20").await;
    browser.open_page(&format!("{}/api/ui#/runs?status=canceled", dev.url)).await;
    browser.sees("1 run").await;
    browser.open_page(&format!("{}/api/ui#/signals", dev.url)).await;
    browser.sees("POSTGRES_DSN").await;
    assert_eq!(browser.findings(&axe).await, "", "signals");
    stayed_at_home(&browser, &dev).await;
}

/// Runs are found, opened, read and compared without a pointer; what has the focus is seen.
#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_will_do() {
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let first = completed(&dev, &named("older")).await;
    let second = completed(&dev, &named("newer")).await;

    browser.open_page(&format!("{}/api/ui", dev.url)).await;
    browser.sees("2 runs").await;
    let focus =
        "const one = document.activeElement; return one.getAttribute('role') ?? one.tagName.toLowerCase()";
    let mut steps = Vec::new();
    while browser.run(focus, json!([])).await != "grid" {
        browser.types(keys::TAB).await;
        let seen = "const one = document.activeElement; const shape = (element) => getComputedStyle(element).outlineStyle; \
                    return shape(one) !== 'none' || shape(one.closest('.grid') ?? one) !== 'none'";
        steps.push(browser.run(focus, json!([])).await);
        assert_eq!(browser.run(seen, json!([])).await, true, "the focus is not seen: {steps:?}");
        assert!(steps.len() < 40, "the table is not reached: {steps:?}");
    }
    let active = "const grid = document.querySelector('[role=grid]'); \
                  return document.getElementById(grid.getAttribute('aria-activedescendant'))?.querySelector('a').innerText";
    assert_eq!(browser.run(active, json!([])).await, "newer");
    browser.types(keys::DOWN).await;
    assert_eq!(browser.run(active, json!([])).await, "older");
    browser.types(keys::ENTER).await;
    browser.sees("Value of the portfolio").await;
    assert_eq!(browser.run("return location.hash", json!([])).await, format!("#/runs/{first}"));

    // The tabs by arrows, the curve by arrows.
    browser.run("document.querySelector('[role=tab][aria-selected=true]').focus()", json!([])).await;
    browser.types(keys::RIGHT).await;
    browser.sees("At the close of").await;
    browser.run("document.querySelector('.chart').focus()", json!([])).await;
    let reading = "return document.querySelector('.chart .read span').innerText";
    let last = browser.run(reading, json!([])).await;
    browser.types(&keys::LEFT.repeat(2)).await;
    let before = browser.run(reading, json!([])).await;
    assert!(before.as_str() < last.as_str(), "{before} is not before {last}");
    browser.types(keys::ESCAPE).await;
    assert_eq!(browser.run(reading, json!([])).await, last);

    browser.open_page(&format!("{}/api/ui#/runs", dev.url)).await;
    browser.sees("2 runs").await;
    browser.run("document.querySelector('[role=grid]').focus()", json!([])).await;
    browser.types(&format!("{}{}{}c", keys::SPACE, keys::DOWN, keys::SPACE)).await;
    browser.sees("What 1 became").await;
    let hash = browser.run("return location.hash", json!([])).await;
    assert_eq!(hash, format!("#/compare?runs={second},{first}"));
}

/// Nothing sticks out of a small screen, the night is dark, paper has no buttons.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_at_night_and_on_paper() {
    let Some(browser) = Browser::open(PHONE_AT_NIGHT).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let long_name = format!("a long name without a blank {}", "x".repeat(170));
    let ids = [completed(&dev, &named(&long_name)).await, completed(&dev, &named("another")).await];
    let axe = axe();
    let pages = [
        ("runs".to_owned(), "2 runs"),
        (format!("runs/{}", ids[0]), "Value of the portfolio"),
        (format!("runs/{}?tab=trades", ids[0]), "fills loaded"),
        ("submit".to_owned(), "This can be run"),
        (format!("compare?runs={}", ids.join(",")), "What 1 became"),
        ("signals".to_owned(), "POSTGRES_DSN"),
    ];
    for (page, said) in &pages {
        browser.open_page(&format!("{}/api/ui#/{page}", dev.url)).await;
        browser.sees(said).await;
        let wide = "return document.documentElement.scrollWidth";
        let wide = browser.run(wide, json!([])).await;
        assert!(wide.as_u64().unwrap() <= 360, "{page} is {wide} pixels wide");
        let paper = "return getComputedStyle(document.body).backgroundColor";
        assert_eq!(browser.run(paper, json!([])).await, "rgb(18, 22, 27)", "{page}");
        assert_eq!(browser.findings(&axe).await, "", "{page}");
    }
    browser.media("print", false).await;
    browser.open_page(&format!("{}/api/ui#/runs/{}", dev.url, ids[0])).await;
    browser.sees("Value of the portfolio").await;
    let hidden = "return ['.bar', '.actions', '.tabs'].every((one) => document.querySelector(one).getClientRects().length === 0) \
                  && getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'";
    assert_eq!(browser.run(hidden, json!([])).await, true);
}

/// With keys on, the page says where to type one, says when it is wrong, and keeps it in this tab alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_asked_for_and_stays_in_its_tab() {
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&["--enable-auth"]).await;
    let kept = std::fs::read_to_string(home.path().join(".backtests/host/keys.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let key = kept["host"].as_str().unwrap();

    browser.open_page(&format!("{}/api/ui", dev.url)).await;
    browser.sees("The service asks for a key.").await;
    browser.sees("This service asks for a key. It stays in this tab").await;
    assert_eq!(browser.findings(&axe()).await, "", "the key");
    assert_eq!(browser.run("return document.activeElement.id", json!([])).await, "key-text");
    browser.types(&format!("wrong{}", keys::ENTER)).await;
    browser.sees("does not take the key that was typed before").await;
    browser.types(&format!("{key}{}", keys::ENTER)).await;
    browser.sees("There are no runs yet.").await;

    browser.press("Submit one").await;
    browser.sees("This can be run: ").await;
    browser.press("Submit").await;
    browser.sees("momentum, top two of five").await;
    browser.sees("it made").await;
    browser.click("#part-report").await;
    let shown =
        "return Boolean(document.querySelector('iframe')?.contentDocument?.querySelector('svg path'))";
    browser.waits("the report in its frame", shown).await;
    let requests = browser.requests().await;
    assert!(requests.len() > 20 && requests.iter().all(|url| !url.contains(key)), "a key in an address");
    let places = "return JSON.stringify(localStorage) + document.cookie + location.href + document.documentElement.outerHTML";
    let places = browser.run(places, json!([])).await;
    assert!(!places.as_str().unwrap().contains(key), "a key where others can read it");
}

/// Only rows that are seen are in the page; the oldest is reached, and a refresh leaves the reader where he is.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_runs_are_a_list_like_any_other() {
    const RUNS: u32 = 10_000;
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let model = completed(&dev, &named("the model")).await;
    copy_run(&home.path().join(".backtests/results/runs.sqlite3"), &model, RUNS - 1);

    browser.open_page(&format!("{}/api/ui", dev.url)).await;
    browser.sees("100 runs so far").await;
    browser.run("document.querySelector('[role=grid]').focus()", json!([])).await;
    let count = "return Number(document.querySelector('[role=grid]').getAttribute('aria-rowcount')) - 1";
    eventually("all runs are loaded", async || {
        browser.types(keys::END).await;
        (browser.run(count, json!([])).await == RUNS).then_some(())
    })
    .await;
    browser.types(keys::END).await;
    let drawn = browser.run("return document.querySelectorAll('tbody tr').length", json!([])).await;
    assert!(drawn.as_u64().unwrap() < 60, "{drawn} rows are in the page");
    let last = "const grid = document.querySelector('[role=grid]'); \
                return document.getElementById(grid.getAttribute('aria-activedescendant')).querySelector('a').innerText";
    assert_eq!(browser.run(last, json!([])).await, "the copy 1", "the oldest");

    // A new run comes while somebody reads far below.
    let reads = "const box = document.querySelector('.grid'); const top = box.querySelector('thead').getBoundingClientRect().bottom; \
                 return [...box.querySelectorAll('tbody tr a')].find((one) => one.getBoundingClientRect().top > top).innerText";
    // The rows are drawn anew a moment later.
    let at_the_end = browser.run(reads, json!([])).await;
    browser.run("document.querySelector('.grid').scrollTop = 100000", json!([])).await;
    let before = eventually("the place is another one", async || {
        Some(browser.run(reads, json!([])).await).filter(|name| *name != at_the_end)
    })
    .await;
    completed(&dev, &named("the newest")).await;
    browser.run("dispatchEvent(new Event('online'))", json!([])).await;
    eventually("the new run is in the list", async || {
        (browser.run(count, json!([])).await == RUNS + 1).then_some(())
    })
    .await;
    assert_eq!(browser.run(reads, json!([])).await, before, "the place was lost");
}

/// Writes copies of an ended run into the store, one an hour, the first the oldest.
fn copy_run(file: &Path, model: &str, copies: u32) {
    let store = rusqlite::Connection::open(file).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let mut columns = store.prepare("SELECT name FROM pragma_table_info('runs')").unwrap();
    let columns: Vec<String> = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let own = ["run_id", "run_name", "submitted_at", "idempotency_key"];
    let rest: Vec<&str> = columns.iter().map(String::as_str).filter(|name| !own.contains(name)).collect();
    let rest = rest.join(", ");
    let copied = store
        .execute(
            &format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
                 INSERT INTO runs (run_id, run_name, submitted_at, {rest})
                 SELECT printf('RUN20250101-%012x', i), 'the copy ' || i,
                        strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2025-01-01', '+' || i || ' hours'), {rest}
                 FROM runs, n WHERE run_id = ?1"
            ),
            rusqlite::params![model, copies],
        )
        .unwrap();
    assert_eq!(copied, copies as usize);
}

/// What somebody wrote is text, wherever it is shown: in names, in faults, in configs.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_never_markup() {
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let markup =
        "<img src=x onerror=\"document.title='run over'\"><script>document.title='run over'</script>";
    let ids =
        [completed(&dev, &named(markup)).await, completed(&dev, &named(&format!("{markup} again"))).await];
    let pages = [
        "runs".to_owned(),
        "compare".to_owned(),
        format!("runs/{}", ids[0]),
        format!("runs/{}?tab=config", ids[0]),
        format!("submit?from={}", ids[0]),
        format!("compare?runs={}", ids.join(",")),
    ];
    for page in &pages {
        browser.open_page(&format!("{}/api/ui#/{page}", dev.url)).await;
        let shown = "return (document.body.innerText + (document.querySelector('textarea')?.value ?? '')).includes('<img src=x onerror=')";
        browser.waits(&format!("{page} shows the name as text"), shown).await;
        assert_eq!(
            browser.run("return document.querySelectorAll('main img, main script').length", json!([])).await,
            0,
            "{page}"
        );
    }
    // A report is a page of its own: nothing in it runs either.
    browser.open_page(&format!("{}/api/ui#/runs/{}?tab=report", dev.url, ids[0])).await;
    browser
        .waits(
            "the report",
            "return Boolean(document.querySelector('iframe')?.contentDocument?.querySelector('svg path'))",
        )
        .await;
    let hostile = "const page = document.querySelector('iframe').contentDocument; \
                   page.body.innerHTML += '<img src=\"/x\" onerror=\"top.document.title=`run over`\">'; \
                   page.body.append(Object.assign(page.createElement('script'), { text: 'top.document.title=`run over`' })); return true";
    browser.run(hostile, json!([])).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_ne!(browser.run("return document.title", json!([])).await, "run over");
}

/// The files come compressed, are asked for once a build, and may speak with the service alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_say_what_a_browser_may_do_with_them() {
    let home = Home::empty();
    let handler = home.handler(&[]).await;
    let mut whole = 0;
    for entry in std::fs::read_dir(project("src/functions/pages")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = std::fs::read(&path).unwrap();
        whole += content.len();
        let answer = handler.get(&format!("/api/ui/{name}")).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &content), "{name}");
        let policy = answer.header(CONTENT_SECURITY_POLICY.as_str());
        match name.as_str() {
            "frame.html" => assert!(
                policy.starts_with("default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
                "{policy}"
            ),
            _ => assert!(
                policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"),
                "{name}: {policy}"
            ),
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header(CACHE_CONTROL.as_str()), "no-cache");

        let request = handler.http.get(format!("{}/api/ui/{name}", handler.url));
        let packed = handler.send(request.header(ACCEPT_ENCODING, "br, gzip")).await;
        assert_eq!(packed.header(CONTENT_ENCODING.as_str()), "gzip", "{name}");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.body.as_slice()), &mut unpacked)
            .unwrap();
        assert_eq!(unpacked, content, "{name}");
        let request = handler.http.get(format!("{}/api/ui/{name}", handler.url));
        let known = handler.send(request.header("if-none-match", answer.header(ETAG.as_str()))).await;
        assert_eq!((known.status.as_u16(), known.body.len()), (304, 0), "{name}");
    }
    assert!(whole <= 150 * 1024, "the pages have {whole} bytes");
    let index = std::fs::read(project("src/functions/pages/index.html")).unwrap();
    for path in ["/api/ui", "/api/ui/"] {
        assert_eq!(handler.get(path).await.body, index, "{path}");
    }
    // The shortest of a few: others work on this machine, too.
    let mut shortest = std::time::Duration::MAX;
    for _ in 0..5 {
        let started = std::time::Instant::now();
        handler.get("/api/ui").await;
        shortest = shortest.min(started.elapsed());
    }
    println!("the pages have {whole} bytes, the first is there in {shortest:?}");
    assert!(shortest.as_millis() <= 100, "{shortest:?}");
    assert_eq!(handler.get("/api/ui/passwd").await.status, 404);
    assert_eq!(handler.get("/api/ui/../ui.rs").await.status, 404);
}

/// A run that nobody has worked on yet has a config too, and it is the one that came, without what the service knows of defaults.
#[tokio::test(flavor = "multi_thread")]
async fn the_config_of_a_run_is_the_one_that_was_submitted() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let config = named("as it came");
    let submitted = handler.submit(&json!({ "config": config })).await;
    let id = submitted["res"]["body"]["run_id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned();
    let path = format!("/api/backtests/{id}/config");
    let answer = handler.get(&path).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, config));
    let request = handler.http.get(format!("{}{path}", handler.url));
    let known = handler.send(request.header("if-none-match", answer.header("etag"))).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    let unknown = handler.get("/api/backtests/RUN20990101-000000000000/config").await;
    assert_eq!(unknown.json()["code"], "run_not_found");
}

/// A study is submitted from the page, looked at by its trials and its surface, one of its trials is run; another study is
/// canceled while it computes.
#[tokio::test(flavor = "multi_thread")]
async fn a_study_from_the_page_to_a_trial() {
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let axe = axe();

    browser.open_page(&format!("{}/api/ui#/submit", dev.url)).await;
    browser.press("study").await;
    browser.sees("This can be run: 9 trials").await;
    browser.press("Submit").await;
    browser.sees("breadth of momentum").await;
    browser.sees("The best of 9").await;
    let rows = "return Number(document.querySelector('[role=grid]')?.getAttribute('aria-rowcount')) - 1";
    eventually("a row for each trial", async || (browser.run(rows, json!([])).await == 9).then_some(()))
        .await;
    browser.sees("9 shown, 9 of 9 evaluated").await;
    browser.waits("what chance gives", "return document.querySelectorAll('.chart').length >= 1").await;
    assert_eq!(browser.findings(&axe).await, "", "a study");

    browser.replace("input[type=search]", "top_n=2").await;
    browser.sees("3 shown, 9 of 9 evaluated").await;
    browser.replace("input[type=search]", " ").await;
    browser.click("#part-surface").await;
    browser.sees("Sharpe ratio by rebalance and top_n").await;
    let cells = "return [...document.querySelectorAll('.heat tbody td')].filter((one) => /\\d/.test(one.innerText)).length";
    eventually("a cell for each pair", async || (browser.run(cells, json!([])).await == 9).then_some(()))
        .await;
    assert_eq!(browser.findings(&axe).await, "", "a surface");
    for (tab, said) in [("statistics", "deflated"), ("files", "trials.parquet")] {
        browser.click(&format!("#part-{tab}")).await;
        browser.sees(said).await;
        assert_eq!(browser.findings(&axe).await, "", "{tab}");
    }

    browser.click("#part-trials").await;
    browser.run("document.querySelector('[role=grid]').focus()", json!([])).await;
    browser.types(keys::ENTER).await;
    browser.press("Run it as a backtest").await;
    browser.sees("it made").await;
    let kind = "return location.hash.startsWith('#/runs/')";
    assert_eq!(browser.run(kind, json!([])).await, true);

    // One that takes its time says how far it is, and ends when it is told to.
    let mut base = long();
    base["broker"] = json!({ "slippage_bps": 1 });
    let grid = json!({ "from": 0, "to": 400, "step": 1 });
    let document = json!({ "study": { "name": "a long one", "parameters": { "broker.slippage_bps": grid } }, "base": base });
    let request = reqwest::Client::new().post(format!("{}/api/studies", dev.url));
    let stored: Value = request.json(&document).send().await.unwrap().json().await.unwrap();
    let id = stored["run_id"].as_str().unwrap_or_else(|| panic!("{stored}"));
    browser.open_page(&format!("{}/api/ui#/studies/{id}", dev.url)).await;
    browser.sees("of 401 trials").await;
    browser.press("Cancel").await;
    browser.sees("Canceled.").await;
    eventually("the study has ended", async || {
        let answer = reqwest::get(format!("{}/api/backtests/{id}", dev.url)).await.unwrap();
        let run: Value = answer.json().await.unwrap();
        (run["status"] == "canceled").then_some(())
    })
    .await;
    stayed_at_home(&browser, &dev).await;
}

/// What became of the data of a run is seen on its page and in the list; made again, it is called the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_read_is_followed_on_its_page() {
    let Some(browser) = Browser::open(DESK).await else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let axe = axe();
    let id = completed(&dev, &named("restated later")).await;
    let page = format!("{}/api/ui#/runs/{id}", dev.url);
    browser.open_page(&format!("{page}?tab=inputs")).await;
    browser.sees("nothing that this run read has changed").await;
    browser.press("Reproduce").await;
    browser.sees("Every file is the same, byte by byte.").await;
    assert_eq!(browser.findings(&axe).await, "", "a reproduction");

    let (sample, lake) = (project("examples/data/wiki5_ohlcv_daily.parquet"), home.lake());
    run_well(
        &["lake", "import", sample.to_str().unwrap(), "--replace", "--lake", lake.to_str().unwrap()],
        home.path(),
    );
    browser.open_page("about:blank").await;
    browser.open_page(&page).await;
    browser.sees("Inputs: prices restated since: ").await;
    assert_eq!(browser.findings(&axe).await, "", "inputs that were restated");
    browser.open_page(&format!("{}/api/ui#/runs", dev.url)).await;
    browser.waits("the list says so", "return [...document.querySelectorAll('tbody .warn')].some((one) => one.innerText === 'restated')").await;
    stayed_at_home(&browser, &dev).await;
}

/// Months of signals: what is behind and why, then that all are up to date; and the rows of a day.
#[tokio::test(flavor = "multi_thread")]
async fn months_of_signals_are_seen_behind_and_up_to_date() {
    let Some(browser) = Browser::open(DESK).await else { return };
    if crate::support::postgres::database().is_none() {
        return;
    }
    let home = Home::with_sample(5, 320).with_clone();
    let lake = home.lake();
    run_well(&["lake", "rank", "--lake", lake.to_str().unwrap()], home.path());
    let dev = home.dev(&["--postgres"]).await;
    let axe = axe();
    browser.open_page(&format!("{}/api/ui#/signals", dev.url)).await;
    browser.sees("months are behind.").await;
    browser.sees("never made").await;
    assert_eq!(browser.findings(&axe).await, "", "months that are behind");
    let sync = reqwest::Client::new().post(format!("{}/admin/functions/sync_signals", dev.url));
    assert!(sync.json(&json!({})).send().await.unwrap().status().is_success());
    browser.run("dispatchEvent(new Event('online'))", json!([])).await;
    browser.sees("months are up to date.").await;
    browser.click("#signals-composite").await;
    browser.sees("5 rows").await;
    browser.click("#signals-ranking").await;
    browser.sees("Percentile").await;
    assert_eq!(browser.findings(&axe).await, "", "rankings of a day");
    stayed_at_home(&browser, &dev).await;
}
