//! Runs side by side: over a service and from folders, against stored figures of two real runs.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::service::{Handler, Home, momentum, project, run, run_well, submission};

/// A configuration of the stored trials.
fn trial(signal: &str, top_n: u32) -> Value {
    json!({
        "start_date": "2005-01-03", "end_date": "2013-03-01",
        "universe": { "symbols": ["AAPL", "FB", "GOOG", "IBM", "MSFT"] },
        "strategy": {
            "class": "TopNSignalStrategy",
            "parameters": { "signal_column": signal, "top_n": top_n, "rebalance": "monthly" },
        },
        "sizing": { "class": "EqualWeightSizer", "parameters": { "max_positions": 10 } },
        "broker": { "slippage_bps": 5, "commission": 0.0005 },
    })
}

/// Runs a config without a service; the folder of its files.
fn left_by(home: &Home, config: &Value, id: &str) -> PathBuf {
    let path = home.path().join(format!("{id}.json"));
    std::fs::write(&path, config.to_string()).unwrap();
    let lake = home.lake();
    run_well(
        &["run", path.to_str().unwrap(), "--lake", lake.to_str().unwrap(), "--run-id", id, "--out", "out"],
        home.path(),
    );
    home.path().join("out").join(id)
}

fn compared(home: &Home, arguments: &[&str]) -> Value {
    serde_json::from_str(&run_well(&[&["compare"], arguments, &["--output", "json"]].concat(), home.path()))
        .unwrap()
}

/// A figure that was stored beside the project; `None`, said in one line, where it is not there.
fn stored(name: &str) -> Option<Value> {
    let path = project("../shared/golden/studies").join(name);
    let Ok(text) = std::fs::read(&path) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
        println!("skipped: {} is not there", path.display());
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

fn near(got: &Value, want: &Value, what: &str) {
    let (got, want) = (got.as_f64().unwrap_or(f64::NAN), want.as_f64().unwrap());
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1e-3), "{what}: {got}, not {want}");
}

/// The row of a figure.
fn figure<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["figures"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

#[test]
fn two_real_runs_differ_as_stored() {
    let home = Home::with_prices();
    left_by(&home, &trial("momentum_12_1_percentile", 1), "t01");
    left_by(&home, &trial("reversal_21d_percentile", 2), "t28");
    let got = compared(&home, &["out/t01", "out/t28"]);
    assert_eq!(got["runs"], json!(["t01", "t28"]));
    assert_eq!(got["window"], json!({ "from": "2005-01-04", "to": "2013-03-01", "days": 2053, "cut": [] }));
    assert_eq!(
        got["config_diff"],
        json!([
            { "path": "strategy.parameters.signal_column", "A": "momentum_12_1_percentile", "B": "reversal_21d_percentile" },
            { "path": "strategy.parameters.top_n", "A": 1, "B": 2 },
        ])
    );
    assert_eq!((&got["data"], &got["engine"]), (&json!("same"), &json!("same")));
    assert_eq!(got["sentence"], "The difference in Sharpe ratio, 0.10 a year, is within chance (p = 0.70).");
    assert_eq!(got["pairs"], json!([]));
    let curve = got["difference"]["curve"].as_array().unwrap();
    assert!(curve.len() <= 2000 && curve[0][0] == "2005-01-04");
    assert_eq!(curve.last().unwrap(), &json!(["2013-03-01", got["difference"]["final_ratio"]]));

    if let Some(want) = stored("compare_two_runs.json") {
        near(&got["holdings"]["mean_active_share"], &want["mean_active_share"], "active share");
        near(&got["holdings"]["last_active_share"], &want["last_day_active_share"], "last active share");
        near(&got["difference"]["tracking_error"], &want["tracking_error_annual"], "tracking error");
        near(&got["difference"]["mean_annual"], &want["mean_difference_annual"], "mean difference");
        near(&got["difference"]["final_ratio"], &want["final_ratio"], "final ratio");
        near(&got["difference"]["correlation"], &want["correlation"], "correlation");
        near(&got["difference"]["days_A_better"], &want["days_a_better"], "days");
    }
    if let Some(want) = stored("sharpe_difference.json") {
        let (got, want) = (&got["sharpe_test"], &want["cases"]["t01 against t28"]);
        near(&got["difference_daily"], &want["difference_daily"], "difference");
        for (test, names) in [("memmel", &["se", "z", "p"]), ("hac", &["se", "z", "p"])] {
            for (name, stored) in names.iter().zip(["standard_error", "z", "p_value"]) {
                near(&got[test][name], &want[test][stored], &format!("{test} {name}"));
            }
        }
        assert_eq!(got["hac"]["lag"], want["hac"]["lag"]);
        for side in 0..2 {
            let yearly = json!(want["hac"]["interval95_daily"][side].as_f64().unwrap() * 252_f64.sqrt());
            near(&got["hac"]["interval95_annual"][side], &yearly, "interval");
        }
        assert_eq!(got["bootstrap"], Value::Null);
    }
}

/// Over all days of a run its figures are those of its summary.
#[test]
fn figures_over_all_days_are_those_of_the_summary() {
    let home = Home::with_prices();
    let a = left_by(&home, &trial("momentum_12_1_percentile", 1), "a");
    left_by(&home, &trial("momentum_12_1_percentile", 3), "b");
    let got = compared(&home, &["out/a", "out/b"]);
    let summary: Value = serde_json::from_slice(&std::fs::read(a.join("summary.json")).unwrap()).unwrap();
    for name in [
        "total_return",
        "annualized_return",
        "annualized_volatility",
        "sharpe_ratio",
        "sortino_ratio",
        "calmar_ratio",
        "max_drawdown",
        "longest_drawdown_days",
        "var_95",
        "cvar_95",
        "skew",
        "excess_kurtosis",
        "best_day",
        "worst_day",
        "best_month",
        "worst_month",
        "hit_rate",
    ] {
        near(&figure(&got, name)["A"], &summary[name], name);
    }
    let row = figure(&got, "sharpe_ratio");
    let difference = row["A"].as_f64().unwrap() - row["B"].as_f64().unwrap();
    near(&row["difference"], &json!(difference), "difference");
}

/// The same results are no difference to test, few days are too few, and days that one lacks are left out and said.
#[test]
fn what_cannot_be_tested_is_said() {
    let home = Home::with_prices();
    let config = trial("momentum_12_1_percentile", 2);
    left_by(&home, &config, "a");
    left_by(&home, &config, "again");
    let got = compared(&home, &["out/a", "out/again"]);
    assert_eq!(got["sentence"], "A and B have the same results.");
    assert_eq!((&got["sharpe_test"], &got["config_diff"]), (&Value::Null, &json!([])));
    assert_eq!(got["holdings"]["mean_active_share"], 0.0);

    let mut late = config.clone();
    late["start_date"] = json!("2012-12-04");
    left_by(&home, &late, "late");
    let got = compared(&home, &["out/a", "out/late"]);
    assert_eq!(got["window"]["days"], 59, "one short of a test");
    assert_eq!(got["sharpe_test"], Value::Null);
    assert_eq!(got["window"]["cut"], json!(["B started later"]));
    late["end_date"] = json!("2013-01-31");
    left_by(&home, &late, "short");
    let got = compared(&home, &["out/a", "out/short"]);
    let days = got["window"]["days"].as_u64().unwrap();
    assert!((20..60).contains(&days), "{days}");
    assert_eq!(got["sharpe_test"], Value::Null);
    assert_eq!(got["window"]["cut"], json!(["B started later", "B ended earlier"]));
    assert!(got["sentence"].as_str().unwrap().contains("tested from 60 on"), "{}", got["sentence"]);

    late["start_date"] = json!("2001-01-02");
    late["end_date"] = json!("2001-06-29");
    left_by(&home, &late, "before");
    let got = compared(&home, &["out/a", "out/before"]);
    assert_eq!(
        got["window"],
        json!({ "from": null, "to": null, "days": 0, "cut": ["there is no day that all runs have"] })
    );
    assert_eq!((&got["difference"], &got["sharpe_test"]), (&Value::Null, &Value::Null));

    // A service and folders do not mix, and a folder of something else is none of a run.
    for wrong in [["out/a", "other"], ["out", "out/a"]] {
        let refused = run(&["compare", wrong[0], wrong[1]], home.path());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("not a folder of a completed run"));
    }
}

#[test]
fn of_several_runs_each_is_compared_with_the_first() {
    let home = Home::with_prices();
    for (id, top_n) in [("one", 1), ("two", 2), ("three", 3)] {
        left_by(&home, &trial("momentum_12_1_percentile", top_n), id);
    }
    let got = compared(&home, &["out/one", "out/two", "out/three", "--bootstrap", "99"]);
    let pairs = got["pairs"].as_array().unwrap();
    assert_eq!(pairs.iter().map(|pair| &pair["of"]).collect::<Vec<_>>(), ["B", "C"]);
    for name in ["difference", "holdings", "sharpe_test"] {
        assert_eq!(got[name], Value::Null);
    }
    let p = |pair: usize, name: &str| pairs[pair]["sharpe_test"][name].as_f64().unwrap();
    let plain = [0, 1].map(|pair| pairs[pair]["sharpe_test"]["hac"]["p"].as_f64().unwrap());
    // Holm 1979: the smaller of two is doubled, and the larger is no smaller than that.
    let least = (2.0 * plain[0].min(plain[1])).min(1.0);
    let most = plain[0].max(plain[1]).max(least);
    let (low, high) = if plain[0] <= plain[1] { (0, 1) } else { (1, 0) };
    near(&json!(p(low, "p_holm")), &json!(least), "smaller");
    near(&json!(p(high, "p_holm")), &json!(most), "larger");
    let drawn = &pairs[0]["sharpe_test"]["bootstrap"];
    assert_eq!(drawn["replications"], 99);
    assert!(
        (0.01..=1.0).contains(&drawn["p"].as_f64().unwrap()) && drawn["block"].as_u64() >= Some(2),
        "{drawn}"
    );
    let two = compared(&home, &["out/one", "out/two"]);
    near(&pairs[0]["sharpe_test"]["hac"]["p"], &two["sharpe_test"]["hac"]["p"], "the same pair alone");
    assert_eq!(got["correlations"].as_array().unwrap().len(), 3);
    near(&got["correlations"][0][1], &two["difference"]["correlation"], "correlation");
    near(&got["correlations"][2][2], &json!(1.0), "with itself");
    assert_eq!(figure(&got, "sharpe_ratio").as_object().unwrap().len(), 4, "no difference of three");
}

#[test]
fn the_page_of_a_comparison_is_self_contained() {
    let home = Home::with_prices();
    let mut hostile = trial("momentum_12_1_percentile", 1);
    hostile["run_name"] = json!("<script>alert(1)</script>");
    left_by(&home, &hostile, "a");
    left_by(&home, &trial("reversal_21d_percentile", 2), "b");
    let said = run_well(&["compare", "out/a", "out/b", "--html", "page.html"], home.path());
    assert!(said.contains("is within chance") && said.contains("page: page.html"), "{said}");
    let page = std::fs::read_to_string(home.path().join("page.html")).unwrap();
    for address in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(address), "the page asks for something: {address}");
    }
    for part in [
        "id=\"equity\"",
        "id=\"drawdown\"",
        "id=\"ratio\"",
        "bound of chance",
        "Where the configs differ",
        "strategy.parameters.top_n",
        "Correlation of daily returns",
        "&lt;script&gt;",
    ] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert!(!page.contains("better\""), "nothing is marked where the test does not say that it is better");
    assert!(page.len() < 250_000, "{} bytes", page.len());
}

async fn completed(handler: &Handler, id: &str, config: &Value) {
    handler.submit(&json!({ "run_id": id, "config": config })).await;
    handler.wake(id).await;
    assert_eq!(handler.run(id).await["status"], "completed");
}

#[tokio::test]
async fn a_service_compares_what_it_completed() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut second = momentum();
    second["strategy"]["parameters"]["top_n"] = json!(1);
    completed(&handler, "first", &momentum()).await;
    completed(&handler, "second", &second).await;
    handler.submit(&json!({ "run_id": "waits", "config": momentum() })).await;

    let answer = handler.get("/api/compare?runs=first,second").await;
    assert_eq!(answer.status, 200);
    let got = answer.json();
    assert_eq!(got["runs"], json!(["first", "second"]));
    assert_eq!(got["names"], json!(["momentum", "momentum"]));
    assert_eq!(got["config_diff"], json!([{ "path": "strategy.parameters.top_n", "A": 2, "B": 1 }]));
    assert!(got["holdings"]["mean_active_share"].as_f64().unwrap() > 0.0);
    let etag = answer.header("etag").to_owned();
    let request = handler.http.get(format!("{}/api/compare?runs=first,second", handler.url));
    assert_eq!(handler.send(request.header("if-none-match", &etag)).await.status, 304);

    // The base comes first, and the folders of the runs say the same.
    let turned = handler.get("/api/compare?runs=first&runs=second&base=second").await.json();
    assert_eq!(turned["runs"], json!(["second", "first"]));
    let (ours, theirs) =
        (&got["sharpe_test"]["difference_daily"], &turned["sharpe_test"]["difference_daily"]);
    near(ours, &json!(-theirs.as_f64().unwrap()), "turned");
    let folder = |id: &str| home.path().join("results").join(id).join("f1");
    let (first, second) = (folder("first"), folder("second"));
    let mut offline = compared(&home, &[first.to_str().unwrap(), second.to_str().unwrap()]);
    assert_eq!(offline["runs"], json!(["first", "second"]));
    offline["runs"] = got["runs"].clone();
    assert_eq!(offline, got);

    let page = handler.get("/api/compare/page?runs=first,second").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(String::from_utf8_lossy(&page.body).contains("Where the configs differ"));
    // By envelope, as the host may call it.
    let enveloped = json!({ "req": {
        "Url": "http://localhost/api/compare/page", "Method": "GET", "Params": { "page": "page" },
        "Query": { "runs": "first,second" }, "Headers": {}, "Body": null,
    }});
    let outputs = handler.envelope("compare", &enveloped).await.json();
    assert!(outputs["Outputs"]["res"]["body"].as_str().unwrap().starts_with("<!DOCTYPE html>"));

    for (query, status, says) in [
        ("runs=first,waits", 409, "waits is queued"),
        ("runs=first,none", 404, "there is no run 'none'"),
        ("runs=first", 400, "two to 10 runs, not 1"),
        ("runs=first,first", 400, "names first twice"),
        ("runs=first,second&base=waits", 400, "must be one of the runs"),
        ("runs=first,second&bootstrap=9999", 400, "from 0 to 5000"),
        ("runs=first,second&what=1", 400, "is not a parameter here"),
    ] {
        let answer = handler.get(&format!("/api/compare?{query}")).await;
        let problem = answer.json();
        assert_eq!(answer.status, status, "{query}: {problem}");
        assert!(problem.to_string().contains(says), "{query}: {problem}");
    }

    let said = run_well(&["compare", "first", "second", "--url", &handler.url], home.path());
    assert!(said.contains("strategy.parameters.top_n: A 2, B 1"), "{said}");
}

/// Trials of a study that kept their returns stand beside runs; of their holdings and costs nothing is known.
#[tokio::test]
async fn a_trial_of_a_study_is_compared_as_a_run_is() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let document = json!({
        "study": {
            "name": "two trials", "parameters": { "strategy.parameters.top_n": [1, 2] },
            "statistics": { "bootstrap": 50 },
        },
        "base": momentum(), "run_id": "s",
    });
    let stored = handler.envelope("studies", &submission(&document, None)).await.json();
    for message in stored["Outputs"]["runs"].as_array().unwrap() {
        handler.wake(message["run_id"].as_str().unwrap()).await;
    }
    handler.wake("s").await;
    assert_eq!(handler.run("s").await["status"], "completed");
    completed(&handler, "own", &momentum()).await;

    let got = handler.get("/api/compare?runs=s:1,own").await.json();
    let own = handler.run("own").await;
    assert_eq!(got["runs"], json!(["s:1", "own"]));
    assert_eq!(got["window"]["days"], own["summary"]["days"].as_u64().unwrap() - 1, "{}", got["window"]);
    assert_eq!((&got["window"]["cut"], &got["config_diff"]), (&json!([]), &json!([])));
    let row = figure(&got, "sharpe_ratio");
    near(&row["A"], &own["summary"]["sharpe_ratio"], "the trial");
    near(&row["B"], &own["summary"]["sharpe_ratio"], "the run");
    assert_eq!(figure(&got, "average_turnover")["A"], Value::Null);
    assert_eq!(got["holdings"], Value::Null);

    let trials = handler.get("/api/compare?runs=s:0,s:1").await.json();
    assert_eq!(trials["config_diff"], json!([{ "path": "strategy.parameters.top_n", "A": 1, "B": 2 }]));
    for (query, status, says) in [
        ("runs=s:0,s:9", 404, "no daily returns of trial 9"),
        ("runs=s,own", 400, "name one of its trials"),
        ("runs=own:1,s:1", 400, "has no trials"),
        ("runs=s:x,own", 400, "by its number"),
    ] {
        let answer = handler.get(&format!("/api/compare?{query}")).await;
        let problem = answer.json();
        assert!(answer.status == status && problem.to_string().contains(says), "{query}: {problem}");
    }
}
