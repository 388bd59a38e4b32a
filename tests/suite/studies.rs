//! Studies: what a file may ask for, trials that are runs to the last bit, parts that do not show, and what is said of
//! the whole.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use backtest_functions::digest::hex;
use backtest_functions::engine::{self, Market};
use backtest_functions::run::RunId;
use backtest_functions::statistics::blocks::BlockSums;
use backtest_functions::statistics::parts::StandardisedSum;
use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::sharpe::SharpeRatio;
use backtest_functions::statistics::superiority::Maxima;
use backtest_functions::store::versions::united;
use backtest_functions::work::study::Study;
use backtest_functions::work::study::complete::{Completed, Markets, complete};
use backtest_functions::work::study::evaluate::{
    Evaluation, PartResult, TrialRow, TrialStatus, Window, digest, ledger_sha256,
};
use backtest_functions::work::study::figures::{FIGURES, place};
use backtest_functions::work::study::join::Joined;
use backtest_functions::work::study::judge::Judgement;
use backtest_functions::work::study::tables;
use backtest_functions::work::study::trials::{by_market, ranges};
use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::statistics::{stored, trials};
use crate::support::service::{Home, project};
use crate::support::studies::{committed, json as document};
use crate::support::toy::Toy;

/// Three symbols of made prices over 700 weekdays.
fn toy() -> Toy {
    let prices = |seed: u64| -> Vec<f64> {
        let draws = Draws::of(seed, 0);
        let mut price = 100.0;
        (0..700)
            .map(|day| {
                price *= 1.0 + (draws.unit(day) - 0.485) * 0.03;
                price
            })
            .collect()
    };
    let (a, b, c) = (prices(1), prices(2), prices(3));
    Toy::flat(&[("A", &a), ("B", &b), ("C", &c)]).with(json!({
        "end_date": "2027-12-31",
        "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "momentum_60d", "top_n": 1 } },
        "broker": { "commission": 0.0005 },
    }))
}

fn study_of(toy: &Toy, block: Value) -> (Study, Value) {
    let mut document = json!({ "study": null, "base": toy.config });
    document["study"] = block;
    let study = Study::from_value(&document).unwrap_or_else(|faults| panic!("{faults:?}"));
    (study, document)
}

fn grid() -> Value {
    json!({
        "parameters": {
            "strategy.parameters.top_n": [1, 2, 3],
            "strategy.parameters.rebalance": ["weekly", "monthly"],
            "broker.slippage_bps": { "from": 0, "to": 20, "step": 5 },
        },
        "statistics": { "bootstrap": 60, "blocks": 8 },
        "keep": { "returns": 3 },
    })
}

/// The study by so many parts, each written to files and read back.
fn by_parts(toy: &Toy, study: &Study, document: &Value, parts: usize) -> Completed {
    let plan = study.plan().unwrap();
    let mut markets = Markets::default();
    let results: Vec<PartResult> = plan
        .parts(parts)
        .iter()
        .map(|numbers| {
            let mut evaluation: Option<Evaluation<'_>> = None;
            for (config, trials) in by_market(study, numbers) {
                let config = config.expect("a part has a valid trial");
                let market = market(toy, &config);
                let evaluation = evaluation
                    .get_or_insert_with(|| Evaluation::new(study, Window::of(study, &config, &market)));
                evaluation.run(&market, &trials, &|_, _| ControlFlow::Continue(())).unwrap();
                markets.add(&config, market);
            }
            let part = evaluation.unwrap().finish();
            let files = tables::part_files(study, &part).unwrap();
            let files: HashMap<&'static str, bytes::Bytes> = tables::PART_FILES
                .iter()
                .map(|name| (*name, files.iter().find(|file| file.name == *name).unwrap().content.clone()))
                .collect();
            let back = tables::read_part(study, &files).unwrap();
            assert_eq!(back, part, "a part is read back as it was");
            back
        })
        .collect();
    let id: RunId = "s".parse().unwrap();
    complete(study, document, &id, &Value::Null, results, &markets).unwrap()
}

fn market(toy: &Toy, config: &engine::BacktestConfig) -> Market {
    let chunks = toy.chunks.iter().cloned().map(engine::market::PriceDays::from).collect();
    let prices = engine::market::PriceRows {
        symbols: toy.symbols.clone(),
        chunks,
        ..engine::market::PriceRows::default()
    };
    Market::assemble(config, prices, None).unwrap()
}

#[test]
fn parts_do_not_show_in_any_byte() {
    let toy = toy();
    let mut block = grid();
    // A parameter without effect, the slowest of all, so that whole parts equal others.
    let mut parameters = serde_json::Map::new();
    parameters.insert("constraints.max_leverage".into(), json!([5.0, 6.0]));
    for (path, values) in block["parameters"].as_object().unwrap() {
        parameters.insert(path.clone(), values.clone());
    }
    block["parameters"] = Value::Object(parameters);
    block["validation"] = json!({ "type": "walk_forward", "train": 200, "test": 60, "purge": 5 });
    let (study, document) = study_of(&toy, block);
    assert_eq!(study.grid.count(), 60);
    let whole = by_parts(&toy, &study, &document, 1);
    assert_eq!(whole.joined.distinct().count(), 30);
    assert_eq!(whole.judged.statistics["distinct"], 30);
    let warnings = whole.judged.statistics["warnings"].to_string();
    assert!(
        warnings.contains("30 trials return the same") && warnings.contains("max_leverage"),
        "{warnings}"
    );
    for parts in [3, 16] {
        let other = by_parts(&toy, &study, &document, parts);
        for (one, other) in whole.files.iter().zip(&other.files) {
            assert_eq!(one.name, other.name);
            assert!(one.content == other.content, "{} differs with {parts} parts", one.name);
        }
    }
}

#[test]
fn a_trial_is_the_run_of_its_config() {
    let toy = toy();
    let (study, document) = study_of(&toy, grid());
    let done = by_parts(&toy, &study, &document, 1);
    for row in &done.joined.rows {
        let config = study.config(row.trial as usize).unwrap();
        let alone =
            engine::run(&config, &market(&toy, &config), &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(row.returns_sha256.as_deref(), Some(hex(&digest(&alone)).as_str()));
        for (figure, (name, of)) in row.figures.iter().zip(FIGURES) {
            assert_eq!(*figure, of(&alone.summary), "{name} of trial {}", row.trial);
        }
        let (daily, annual) = (row.sharpe.unwrap().daily, alone.summary.sharpe_ratio.unwrap());
        assert!((daily * alone.summary.periods_per_year.sqrt() - annual).abs() < 1e-12);
    }
    let best = done.joined.best(&study).unwrap();
    let highest = done.joined.rows.iter().filter_map(|row| row.figures[0]).fold(f64::MIN, f64::max);
    assert!((best.figures[0].unwrap() - highest).abs() < 1e-12);
    let names: Vec<&str> = done.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        ["trials.parquet", "trials.csv", "returns.parquet", "statistics.json", "config.yaml", "report.html"]
    );
    let page = String::from_utf8(done.files[5].content.to_vec()).unwrap();
    assert!(page.contains(&done.judged.sentence), "the sentence stands on the page");
    assert!(done.judged.sentence.starts_with("The best of 30 distinct trials has a Sharpe ratio of"));
}

#[test]
fn trials_are_numbered_as_written() {
    let toy = toy();
    let (study, _) = study_of(&toy, grid());
    assert_eq!(study.label(0), "top_n=1 rebalance=weekly slippage_bps=0");
    assert_eq!(study.label(1), "top_n=1 rebalance=weekly slippage_bps=5");
    assert_eq!(study.label(5), "top_n=1 rebalance=monthly slippage_bps=0");
    assert_eq!(study.label(29), "top_n=3 rebalance=monthly slippage_bps=20");
    let random = json!({
        "search": "random", "samples": 40, "seed": 7,
        "parameters": {
            "strategy.parameters.top_n": { "low": 1, "high": 3, "whole": true },
            "broker.slippage_bps": { "low": 0.1, "high": 100, "scale": "log" },
        },
    });
    let (study, _) = study_of(&toy, random.clone());
    let (again, _) = study_of(&toy, random);
    assert_eq!(study, again, "the seed decides");
    let mut low = 0;
    for trial in 0..40 {
        let values = study.grid.values(trial);
        assert!((1..=3).contains(&values[0].unwrap().as_i64().unwrap()));
        let slippage = values[1].unwrap().as_f64().unwrap();
        assert!((0.1..=100.0).contains(&slippage));
        low += usize::from(slippage < 3.2);
    }
    assert!((10..=30).contains(&low), "half of the draws are below the geometric middle: {low}");
    let (study, _) = study_of(
        &toy,
        json!({ "search": "list", "trials": [{ "broker.commission": 0.001 }, { "strategy.parameters.top_n": 2 }] }),
    );
    assert_eq!(study.grid.values(1), [None, Some(&json!(2))]);
    assert_eq!(ranges(&[0, 1, 2, 5, 6, 9]), [[0, 2], [5, 6], [9, 9]]);
}

#[test]
fn every_fault_of_a_study_is_told_at_once() {
    let toy = toy();
    let faults = |block: Value| {
        let document = json!({ "study": block, "base": toy.config });
        let faults = Study::from_value(&document).and_then(|study| study.plan().map(drop)).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let block = json!({
        "experiment": "Not Lawful", "search": "grid", "select_by": "luck", "samples": 3, "seeed": 1,
        "parameters": {
            "start_date": ["2020-01-01"], "strategy.parameters.top_n": [], "broker.slippage_bps": { "from": 5, "to": 1, "step": 1 },
            "broker.commission": { "low": 0, "high": 1 },
        },
        "keep": { "returns": -1 },
        "statistics": { "blocks": 7, "against": "benchmark" },
        "validation": { "type": "walk_forward", "train": 0, "test": "6y" },
    });
    let told = faults(block).join("\n");
    for expected in [
        "study.experiment: must be 1 to 64",
        "study.select_by: must be one of sharpe_ratio",
        "study.seeed: unknown field",
        "study.parameters.start_date: start_date is the same for all trials",
        "study.parameters.strategy.parameters.top_n: must have 1",
        "study.parameters.broker.slippage_bps: must go up",
        "study.parameters.broker.commission: low and high are for search: random",
        "study.keep.returns: must be a whole number",
        "study.statistics.blocks: must be even",
        "study.statistics.against: benchmark needs base.benchmark",
        "study.validation.train: must be a number of trading days",
        "study.validation.test: must be a number of trading days",
    ] {
        assert!(told.contains(expected), "{expected} is not told:\n{told}");
    }
    let told = faults(json!({ "parameters": { "strategy.parameters.top_n": [-1, 1, "x"], "run.x": [1] } }))
        .join("\n");
    assert!(told.contains("base.strategy.parameters.top_n"), "{told}");
    assert!(told.contains("first in 0: top_n=-1") && told.contains("first in 2: top_n=x"), "{told}");
    let told = faults(json!({ "parameters": { "initial_cash.x": [1] } })).join("\n");
    assert!(told.contains("there is no place 'x'"), "{told}");
    let many = json!({ "from": 0, "to": 400, "step": 1 });
    let told = faults(json!({ "parameters": { "broker.slippage_bps": many, "broker.spread_bps": many } }))
        .join("\n");
    assert!(told.contains("160801 trials; 100000 is the limit"), "{told}");
}

#[test]
fn an_experiment_is_named_in_one_place() {
    let toy = toy();
    let mut base = toy.config.clone();
    base["experiment"] = json!("Not Lawful");
    let told = engine::BacktestConfig::from_value(&base).unwrap_err()[0].to_string();
    assert!(told.starts_with("experiment: must be 1 to 64 of a-z"), "{told}");
    base["experiment"] = json!("us-momentum");
    let config = engine::BacktestConfig::from_value(&base).unwrap();
    assert_eq!(config.resolved()["experiment"], "us-momentum");
    let unnamed = engine::BacktestConfig::from_value(&toy.config).unwrap().resolved();
    assert!(unnamed.get("experiment").is_none(), "configs of before have the hash of before");
    assert_eq!(ledger_sha256(unnamed), ledger_sha256(config.resolved()), "the ledger knows both as one");
    let of = |experiment: Value| {
        let block =
            json!({ "experiment": experiment, "parameters": { "strategy.parameters.top_n": [1, 2] } });
        Study::from_value(&json!({ "study": block, "base": base })).map(drop)
    };
    assert!(of(json!("us-momentum")).is_ok());
    for other in [json!("another"), Value::Null] {
        let told = of(other).unwrap_err()[0].to_string();
        assert!(told.starts_with("base.experiment: is not that of the study"), "{told}");
    }
}

#[test]
fn combinations_that_make_no_config_may_be_rows_of_their_own() {
    let toy = toy();
    let block = json!({
        "parameters": { "strategy.parameters.top_n": [-1, 1, 2] }, "skip_invalid": true,
        "statistics": { "bootstrap": 0, "blocks": 4 },
    });
    let (study, document) = study_of(&toy, block);
    let done = by_parts(&toy, &study, &document, 1);
    let statuses: Vec<TrialStatus> = done.joined.rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [TrialStatus::Invalid, TrialStatus::Ok, TrialStatus::Ok]);
    assert!(done.joined.rows[0].error.as_deref().unwrap().contains("top_n"));
    let statistics = &done.judged.statistics;
    assert_eq!((&statistics["invalid"], &statistics["complete"]), (&json!(1), &json!(true)));
    assert!(statistics["superiority"]["spa"].is_null(), "without replications there is no test");
    assert!(statistics["undefined"]["superiority.spa"].is_string(), "and it is said why");
}

/// A part of the stored trials, as if they had just been run.
fn part_of_stored(study: &Study, trials: &[Vec<f64>]) -> PartResult {
    let days = trials[0].len();
    let first = NaiveDate::from_ymd_opt(2006, 1, 3).unwrap();
    let window = Window {
        days: first.iter_days().take(days).collect(),
        periods_per_year: 252.0,
        daily_risk_free: 0.0,
        benchmark: None,
        mean_block: 10.0,
    };
    let mut part = PartResult {
        rows: Vec::new(),
        blocks: BlockSums::equal(days, study.statistics.blocks),
        folds: BlockSums::between(vec![0]),
        sum: StandardisedSum::none(days),
        maxima: Maxima::none(0),
        kept: Vec::new(),
        window,
    };
    let mut seen: BTreeMap<Vec<u64>, u32> = BTreeMap::new();
    for (number, returns) in trials.iter().enumerate() {
        let number = number as u32;
        let sharpe = SharpeRatio::of(returns, 0.0).unwrap();
        let bits: Vec<u64> = returns.iter().map(|value| value.to_bits()).collect();
        let same = *seen.entry(bits).or_insert(number);
        let mut figures = vec![None; FIGURES.len()];
        figures[place("sharpe_ratio").unwrap()] = Some(sharpe.daily * 252_f64.sqrt());
        part.rows.push(TrialRow {
            trial: number,
            status: TrialStatus::Ok,
            error: None,
            config_sha256: None,
            ledger_sha256: None,
            returns_sha256: Some(format!("returns of {same}")),
            figures,
            sharpe: Some(sharpe),
        });
        if same == number {
            part.blocks.add(number, returns, 0.0);
            part.sum.add(returns).unwrap();
            part.kept.push((number, returns.clone()));
        }
    }
    part
}

#[test]
fn the_stored_study_is_judged_as_stored() {
    let Some(trials) = trials() else { return };
    let list: Vec<Value> = (0..48).map(|number| json!({ "broker.slippage_bps": number })).collect();
    let (study, _) = study_of(&toy(), json!({ "search": "list", "trials": list }));
    let again = |_: u32, _: &mut dyn FnMut(&engine::BacktestConfig, &Market, &engine::Outcome)| {
        Err("nothing has to run again".to_owned())
    };
    let joined = Joined::of(&study, vec![part_of_stored(&study, &trials)], &again).unwrap();
    let judged = Judgement::of(&study, &joined, &again).unwrap();
    let statistics = &judged.statistics;
    let number = |pointer: &str| {
        statistics
            .pointer(pointer)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{pointer}: {statistics:#}"))
    };
    assert_eq!((&statistics["trials"], &statistics["distinct"]), (&json!(48), &json!(45)));
    let want = document(&committed("deflated_sharpe.json"));
    stored("effective", number("/deflated/effective/trials"), &want["effective_trials_average_correlation"]);
    for (name, case) in [("distinct", 1), ("effective", 2)] {
        let want = &want["cases"][case];
        stored(
            name,
            number(&format!("/deflated/{name}/expected_best_sharpe_daily")),
            &want["expected_max_sharpe_daily"],
        );
        stored(name, number(&format!("/deflated/{name}/deflated_sharpe_ratio")), &want["dsr"]);
    }
    let want = &document(&committed("pbo_cscv.json"))["cases"][3];
    stored("pbo", number("/overfitting/probability"), &want["pbo"]);
    stored("slope", number("/overfitting/degradation_slope"), &want["degradation_slope"]);
    assert_eq!(
        judged.sentence,
        "The best of 45 distinct trials has a Sharpe ratio of 1.00; chance alone would give 0.37 (0.26 for 9.8 effective \
         trials). Chosen in sample it ranks below the median out of sample in 71 % of splits."
    );
}

/// What the choice of a split depends on ends before its test.
#[test]
fn prices_of_a_test_do_not_reach_the_choice() {
    let block = || {
        let mut block = grid();
        block["validation"] = json!({ "type": "walk_forward", "train": 252, "test": 100, "purge": 5 });
        block
    };
    let winners = |toy: &Toy| {
        let (study, document) = study_of(toy, block());
        let done = by_parts(toy, &study, &document, 1);
        let validated = done.judged.validated.unwrap();
        let first_test = validated.splits.iter().map(|split| split.test[0].days.start).collect::<Vec<_>>();
        let winners: Vec<u32> =
            validated.choices.iter().map(|choice| choice.winner.as_ref().unwrap().trial).collect();
        (first_test, winners)
    };
    let plain = toy();
    let (starts, before) = winners(&plain);
    assert_eq!(before.len(), 4);
    for (split, start) in starts.iter().enumerate() {
        let mut other = plain.clone();
        let chunk = &mut other.chunks[0];
        let days = chunk.date.len() / 3;
        for (row, price) in chunk.close.iter_mut().enumerate() {
            // Row `d + 1` is the close of daily return `d`.
            let day = row % days;
            if day > *start {
                *price *= 1.0 + 0.2 * (((row * 7919) % 13) as f64 - 6.0) / 6.0;
                chunk.open[row] = *price;
                chunk.high[row] = *price;
                chunk.low[row] = *price;
            }
        }
        assert_eq!(winners(&other).1[..=split], before[..=split], "split {split}");
    }
}

#[test]
fn cross_validation_walks_every_path() {
    let toy = toy();
    let mut block = grid();
    block["validation"] = json!({ "type": "cpcv", "folds": 6, "test_folds": 2, "purge": 5, "embargo": 3 });
    let (study, document) = study_of(&toy, block);
    let done = by_parts(&toy, &study, &document, 1);
    let found = &done.judged.statistics["validation"];
    assert_eq!(
        (&found["splits"], found["out_of_sample"]["paths"].as_array().unwrap().len()),
        (&json!(15), 5)
    );
    let validated = done.judged.validated.as_ref().unwrap();
    for path in &validated.paths {
        let days: Vec<usize> = path.days.iter().map(|(day, ..)| *day).collect();
        assert_eq!(days, (0..done.joined.window.days.len()).collect::<Vec<_>>(), "every day once");
    }
    // A switch costs what is traded by it; staying costs nothing.
    let costs: f64 = validated.paths.iter().flat_map(|path| &path.costs).map(|(_, cost)| cost).sum();
    let switches = validated.paths.iter().any(|path| path.days.windows(2).any(|pair| pair[0].2 != pair[1].2));
    assert!(switches && costs > 0.0, "{costs}");
    let names: Vec<&str> = done.files.iter().map(|file| file.name.as_str()).collect();
    assert!(names.contains(&"splits.parquet") && names.contains(&"oos_returns.parquet"), "{names:?}");
}

#[test]
fn a_file_with_a_study_runs_on_this_machine() {
    let home = Home::with_prices();
    let base = std::fs::read_to_string(project("examples/momentum.yaml")).unwrap();
    let base: String = base.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!(
        "study:\n  name: breadth\n  parameters:\n    strategy.parameters.top_n: [1, 2]\n    \
         broker.slippage_bps: {{from: 0, to: 10, step: 5}}\n  statistics: {{bootstrap: 100}}\nbase:\n{base}"
    );
    std::fs::write(home.path().join("study.yaml"), text).unwrap();
    let run = |more: &[&str]| {
        let mut program = crate::support::service::program();
        program.current_dir(home.path()).args(["run", "study.yaml", "--lake"]).arg(home.lake()).args(more);
        let output = program.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = run(&["--run-id", "s", "--out", "out"]);
    assert_eq!(code, Some(0), "{said}");
    let last = said.lines().find(|line| line.starts_with("The best of 6 distinct trials")).expect(&said);
    assert!(last.contains("chance alone would give"), "{last}");
    let manifest = document(&home.path().join("out/s/artifacts_manifest.json"));
    assert_eq!(manifest["run_id"], "s");
    let statistics = document(&home.path().join("out/s/statistics.json"));
    assert_eq!((&statistics["trials"], &statistics["evaluated"]), (&json!(6), &json!(6)));
    assert!(last.contains(statistics["sentence"].as_str().unwrap()));
    assert_eq!(run(&["--run-id", "s", "--out", "out"]).0, Some(1), "it is there already");
    assert_eq!(run(&["--grid", "broker.commission=0,1"]).0, Some(2), "a study has its own grid");

    // What a config is counted under where there is a ledger keeps no grid from being judged.
    let text = std::fs::read_to_string(project("examples/momentum.yaml")).unwrap() + "\nexperiment: here\n";
    std::fs::write(home.path().join("counted.yaml"), text).unwrap();
    let mut program = crate::support::service::program();
    program
        .current_dir(home.path())
        .args(["run", "counted.yaml", "--results-only", "--lake"])
        .arg(home.lake());
    let output = program.args(["--out", "grid", "--grid", "strategy.parameters.top_n=1,2"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("The best of 2 distinct trials"), "{said}");
    let results = std::fs::read_to_string(home.path().join("grid/results.csv")).unwrap();
    assert_eq!(results.lines().count(), 3, "{results}");
}

/// A study on a service: its parts in two processes, then the study itself, and what is asked of it.
async fn lives_on_a_service(settings: &[(&str, &str)]) {
    let home = Home::with_prices();
    let (one, other) = (home.handler(settings).await, home.handler(settings).await);
    let mut base = crate::support::service::momentum();
    base["benchmark"] = Value::Null;
    let document = json!({
        "study": {
            "name": "on a service", "experiment": "breadth", "parameters": {
                "strategy.parameters.top_n": [1, 2],
                "broker.slippage_bps": { "from": 0, "to": 59, "step": 1 },
            },
            "statistics": { "bootstrap": 50 },
        },
        "base": base, "run_id": "s",
    });
    let plan = one.post("/api/studies/validate", &document).await;
    assert_eq!(plan.status.as_u16(), 200, "{}", String::from_utf8_lossy(&plan.body));
    assert_eq!(plan.json()["trials"], 120);
    assert_eq!(plan.json()["warnings"], json!([]));
    let mut doubtful = document.clone();
    doubtful["study"]["parameters"]["broker.rounding_mode"] = json!(["toward_zero", "floor"]);
    let plan = one.post("/api/studies/validate", &doubtful).await.json();
    let rounding =
        "broker.rounding_mode has no effect while fractions of a share trade (in 120 trials, first in 1:";
    let said = plan["warnings"][0].as_str().unwrap_or_default();
    assert!(said.starts_with(rounding), "{plan:#}");
    doubtful["base"]["data"]["price_path"] = json!("gold/no_such");
    let refused = one.post("/api/studies/validate", &doubtful).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["errors"][0]["path"]),
        (400, &json!("base.data.price_path"))
    );
    let mut wrong = document.clone();
    wrong["study"]["parameters"]["broker.slippage_bps"] = json!([-1, 1]);
    let refused = one.post("/api/studies", &wrong).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("invalid_config")));

    let stored = one.envelope("studies", &crate::support::service::submission(&document, None)).await.json();
    let outputs = &stored["Outputs"];
    let messages = outputs["runs"].as_array().expect("one message for each part");
    let study = one.run("s").await;
    assert_eq!((&study["kind"], &study["trials"]), (&json!("study"), &json!(120)), "{study}");
    assert_eq!(messages.len() as u64, study["parts"].as_u64().unwrap());
    let pins = &study["pins"];
    assert!(pins["prices"]["table_id"].is_string(), "a study is pinned when it is submitted: {study}");
    assert_eq!(&one.run("s-p00").await["pins"], pins, "its parts read what it is pinned to");
    let mut reused = document.clone();
    reused["reuse"] = json!(true);
    let refused = one.post("/api/studies", &reused).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["path"]), (400, &json!("reuse")));
    let alone = one.post("/api/backtests/s-p00/cancel", &Value::Null).await;
    assert_eq!((alone.status.as_u16(), &alone.json()["code"]), (409, &json!("part_of_study")));
    let early = one.get("/api/backtests/s/statistics").await;
    assert_eq!((early.status.as_u16(), &early.json()["code"]), (409, &json!("run_not_completed")));

    // The study's own message before its time does nothing.
    one.wake("s").await;
    assert_eq!(one.run("s").await["status"], "queued");
    for part in 0..messages.len() {
        assert_eq!(one.run("s").await["status"], "queued", "a part is open");
        let id = format!("s-p{part:02}");
        let answer = if part % 2 == 0 { &one } else { &other }.wake(&id).await.json();
        assert_eq!(answer["Outputs"], json!({}), "an executor announces nothing");
        assert_eq!(one.run(&id).await["status"], "completed");
    }
    let study = one.run("s").await;
    assert_eq!(study["status"], "completed", "whoever ended the last part joined the study: {study}");
    other.wake("s").await;
    assert_eq!(one.run("s").await, study, "a late message finds nothing to do");
    assert!(study["summary"]["sentence"].as_str().unwrap().starts_with("The best of 120 distinct trials"));

    let page = one.get("/api/backtests/s/trials?limit=3&fields=sharpe_ratio").await.json();
    assert_eq!(
        (&page["total"], &page["evaluated"], &page["complete"]),
        (&json!(120), &json!(120), &json!(true))
    );
    let best = &page["trials"][0];
    assert_eq!(best["trial"], study["summary"]["best_trial"]);
    assert_eq!(page["next_cursor"], "3");
    let statistics = one.get("/api/backtests/s/statistics").await.json();
    assert_eq!(statistics["best"]["trial"], best["trial"]);
    // The third count: everything that was tried under the experiment, here the study alone.
    let counted = &statistics["deflated"]["ledger"];
    assert_eq!(
        (&counted["experiment"], &counted["trials"]),
        (&json!("breadth"), &json!(120.0)),
        "{statistics}"
    );
    let distinct = &statistics["deflated"]["distinct"];
    for figure in ["expected_best_sharpe_ratio", "deflated_sharpe_ratio"] {
        let (ledger, study) = (counted[figure].as_f64().unwrap(), distinct[figure].as_f64().unwrap());
        assert!((ledger - study).abs() < 1e-9, "{figure}: {ledger} and {study}");
    }
    let file = one.get("/api/backtests/s/artifacts/statistics.json").await.json();
    assert!(file["deflated"].get("ledger").is_none(), "what changes is in no file");
    let surface = one
        .get(
            "/api/backtests/s/surface?x=broker.slippage_bps&y=strategy.parameters.top_n&measure=total_return",
        )
        .await
        .json();
    assert_eq!(
        (surface["cells"].as_array().unwrap().len(), surface["cells"][0].as_array().unwrap().len()),
        (2, 60)
    );

    // Its evidence has every trial that was evaluated.
    let evidence = home.path().join("s.zip");
    std::fs::write(&evidence, one.get("/api/backtests/s/evidence").await.body).unwrap();
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&evidence).unwrap()).unwrap();
    for part in 0..messages.len() {
        for file in tables::PART_FILES {
            zip.by_name(&format!("parts/s-p{part:02}/{file}")).unwrap();
        }
    }
    zip.by_name("artifacts/trials.parquet").unwrap();
    let verified = crate::support::service::run_well(&["verify", "s.zip"], home.path());
    assert!(verified.contains("none was changed"), "{verified}");
    let output = crate::support::service::run(&["verify", "s.zip", "--lake", "."], home.path());
    assert_eq!(output.status.code(), Some(2), "a study is computed anew, not made again: {output:?}");

    // A trial by itself returns what it returned in the study.
    let number = best["trial"].as_u64().unwrap();
    let refused = one.post("/api/backtests/s/trials/120/run", &Value::Null).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (404, &json!("trial_not_found")));
    let run = one.post(&format!("/api/backtests/s/trials/{number}/run"), &Value::Null).await.json();
    let id = run["run_id"].as_str().unwrap();
    assert_eq!((&run["parent_run_id"], &run["config_sha256"]), (&json!("s"), &best["config_sha256"]));
    assert_eq!(&run["pins"], pins, "it reads what the study read");
    other.wake(id).await;
    let series = one.get(&format!("/api/backtests/{id}/artifacts/metrics_timeseries.parquet")).await;
    let file = home.path().join("series.parquet");
    std::fs::write(&file, &series.body).unwrap();
    let batch = crate::support::tables::read_parquet(&file);
    let returns = crate::support::tables::numbers(&batch, "daily_return").unwrap();
    let mut bytes = Vec::new();
    for value in returns {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    assert_eq!(backtest_functions::work::sha256_hex(bytes), best["returns_sha256"].as_str().unwrap());

    // What was tried counts once, also as a plain run under another name and as a study again.
    let counted = async || one.get("/api/experiments/breadth").await.json();
    let before = counted().await;
    assert_eq!(
        (&before["trials"], &before["distinct"], &before["people"]),
        (&json!(120), &json!(120), &json!(0))
    );
    let winner = &before["best"];
    assert_eq!((&winner["study"], &winner["trial"]), (&json!("s"), &best["trial"]), "{before}");
    let mut config = one.get(&format!("/api/backtests/{id}/config")).await.json();
    config["experiment"] = json!("breadth");
    config["run_name"] = json!("another name");
    one.post("/api/backtests", &json!({ "config": config, "run_id": "again" })).await;
    other.wake("again").await;
    assert_eq!(one.run("again").await["status"], "completed");
    assert_eq!(counted().await, before, "the config was tried before");
    config["broker"]["slippage_bps"] = json!(77);
    one.post("/api/backtests", &json!({ "config": config, "run_id": "new" })).await;
    other.wake("new").await;
    assert_eq!(counted().await["trials"], 121);
    let all = one.get("/api/experiments").await.json();
    assert_eq!((&all["experiments"][0], &all["reason"]), (&counted().await, &Value::Null));
    let unknown = one.get("/api/experiments/unknown").await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["code"]), (404, &json!("experiment_not_found")));

    // Lists show no parts unless asked.
    let listed = one.get("/api/backtests").await.json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 4, "the study, its trial, two runs: {listed}");
    let parts = one.get("/api/backtests?kind=part").await.json();
    assert_eq!(parts["runs"].as_array().unwrap().len(), messages.len());
}

#[tokio::test]
async fn a_study_lives_on_a_service_with_sqlite() {
    lives_on_a_service(&[]).await;
}

#[tokio::test]
async fn a_study_lives_on_a_service_with_postgres() {
    if let Some(dsn) = crate::support::postgres::database() {
        lives_on_a_service(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &dsn)]).await;
    }
}

/// A study over prices of 200 symbols that keeps an executor busy for some seconds.
fn busy() -> Value {
    let mut base = crate::support::service::long();
    base["broker"] = json!({ "slippage_bps": 1 });
    json!({
        "study": {
            "parameters": { "broker.commission": [0.0, 0.001], "broker.slippage_bps": [0, 2] },
            "statistics": { "bootstrap": 50, "blocks": 8 },
            "experiment": "busy",
        },
        "base": base, "run_id": "s",
    })
}

/// A study of two parts: a market for each look-back.
fn in_two_parts() -> Value {
    json!({
        "study": {
            "experiment": "parts",
            "parameters": {
                "strategy.scoring.lookback": { "from": 5, "to": 39, "step": 1 },
                "strategy.selection.topn.n": [1, 2, 3],
            },
            "statistics": { "bootstrap": 0, "blocks": 4 },
        },
        "base": {
            "start_date": "2005-01-03", "end_date": "2006-12-29", "universe": { "symbols": ["AAPL", "IBM", "MSFT"] },
            "strategy": {
                "type": "configured", "rebalance": { "freq": "weekly" },
                "scoring": { "type": "price_breakout", "lookback": 20 },
                "selection": { "type": "topn", "topn": { "n": 1 } },
            },
        },
        "run_id": "s",
    })
}

/// The digest of a study's results, once it has come to its end by messages and reconcile alone.
async fn comes_to_its_end(handler: &crate::support::service::Handler) -> Value {
    crate::support::service::eventually("the study ends", async || {
        let found = handler.envelope("reconcile", &json!({})).await.json()["Outputs"]["runs"].clone();
        let mut messages = found.as_array().cloned().unwrap_or_default();
        while let Some(message) = messages.pop() {
            let woken = handler.wake(message["run_id"].as_str().unwrap()).await.json();
            messages.extend(woken["Outputs"]["runs"].as_array().cloned().unwrap_or_default());
        }
        let study = handler.run("s").await;
        (study["status"] != "queued" && study["status"] != "running").then_some(study)
    })
    .await
}

#[tokio::test]
async fn a_killed_part_is_taken_over_and_leaves_no_trace_in_the_result() {
    let settings = [("BACKTEST_LEASE_SECONDS", "2")];
    let calm = Home::with_sample(200, 700);
    let handler = calm.handler(&settings).await;
    handler.post("/api/studies", &busy()).await;
    let undisturbed = comes_to_its_end(&handler).await;
    assert_eq!(undisturbed["status"], "completed", "{undisturbed}");

    let home = Home::with_sample(200, 700);
    let (mut one, two) = (home.handler(&settings).await, home.handler(&settings).await);
    one.post("/api/studies", &busy()).await;
    one.dies_in("s-p00", &two).await;
    let study = comes_to_its_end(&two).await;
    assert_eq!(study["status"], "completed", "{study}");
    assert_eq!(two.run("s-p00").await["attempt"], 2, "another executor took the part over");
    assert_eq!(study["results_sha256"], undisturbed["results_sha256"]);
    for home in [&handler, &two] {
        let counted = home.get("/api/experiments/busy").await.json();
        assert_eq!((&counted["trials"], &counted["best"]["study"]), (&json!(4), &json!("s")), "{counted}");
    }
}

#[tokio::test]
async fn a_join_that_is_killed_is_done_again_and_leaves_no_trace_in_the_result() {
    // All files of some trials, so that the join takes long enough to be seen.
    let mut document = busy();
    document["study"]["keep"] = json!({ "runs": 2 });
    let calm = Home::with_sample(200, 700);
    // One lake for both: the files of a trial say when their data was committed.
    let lake = calm.lake();
    let settings = [("BACKTEST_LEASE_SECONDS", "2"), ("BACKTEST_LAKE", lake.to_str().unwrap())];
    let handler = calm.handler(&settings).await;
    handler.post("/api/studies", &document).await;
    let undisturbed = comes_to_its_end(&handler).await;
    assert_eq!(undisturbed["status"], "completed", "{undisturbed}");

    let home = Home::empty();
    let (mut one, two) = (home.handler(&settings).await, home.handler(&settings).await);
    one.post("/api/studies", &document).await;
    // Whoever ends the last part joins the study.
    one.dies_in_what_follows("s-p00", "s", &two).await;
    assert_eq!(two.run("s-p00").await["status"], "completed");
    let study = comes_to_its_end(&two).await;
    assert_eq!((&study["status"], &study["attempt"]), (&json!("completed"), &json!(2)), "{study}");
    assert_eq!(study["results_sha256"], undisturbed["results_sha256"]);
}

/// Of the trials of a study, those of parts that did end can be read, whatever became of the others; and the ledger has
/// them, once.
async fn others_of_a_poisoned_part_can_be_read(settings: &[(&str, &str)]) {
    let home = Home::with_prices();
    let handler = home.handler(settings).await;
    let stored = handler.post("/api/studies", &in_two_parts()).await.json();
    assert_eq!((&stored["parts"], &stored["trials"]), (&json!(2), &json!(105)), "{stored}");
    handler.envelope("execute_poison", &json!({ "run": json!({ "run_id": "s-p00" }) })).await;
    let study = comes_to_its_end(&handler).await;
    assert_eq!(
        (&study["status"], &study["status_reason"]),
        (&json!("failed"), &json!("part_failed")),
        "{study}"
    );
    let other = handler.run("s-p01").await;
    assert_eq!(other["status"], "completed", "{other}");
    let page = handler.get("/api/backtests/s/trials?limit=1000").await.json();
    let evaluated = other["summary"]["evaluated"].as_u64().unwrap();
    assert!((50..=55).contains(&evaluated), "{other}");
    assert_eq!((&page["evaluated"], &page["complete"]), (&json!(evaluated), &json!(false)), "{page}");
    let is_read = |trial: &Value| trial["status"] == "ok" && trial["sharpe_ratio"].is_number();
    assert!(page["trials"].as_array().unwrap().iter().all(is_read), "{page}");
    let counted = handler.get("/api/experiments/parts").await.json();
    assert_eq!(counted["trials"], json!(evaluated), "{counted}");
}

#[tokio::test]
async fn others_of_a_poisoned_part_can_be_read_with_sqlite() {
    others_of_a_poisoned_part_can_be_read(&[]).await;
}

#[tokio::test]
async fn others_of_a_poisoned_part_can_be_read_with_postgres() {
    if let Some(dsn) = crate::support::postgres::database() {
        let settings = [("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &dsn)];
        others_of_a_poisoned_part_can_be_read(&settings).await;
    }
}

/// Markets that differ in their history read other files of the same version; that is not a change of the data.
#[test]
fn what_the_markets_of_a_study_read_is_one_description() {
    let read = |version: u32, files: u32| {
        json!({
            "prices": { "table": "p", "table_id": "t", "version": version, "files": files,
                        "files_digest": format!("sha256:{files}") },
            "signals": null,
        })
    };
    let with_signals = |mut read: Value| {
        read["signals"] = json!({ "path": "s.csv", "size_bytes": 9, "content_sha256": "c" });
        read
    };
    assert_eq!(united(&[]), Some(Value::Null));
    assert_eq!(united(&[read(3, 2)]), Some(read(3, 2)));
    assert_eq!(united(&[read(3, 2), read(3, 5), read(3, 4)]), Some(read(3, 5)), "the widest");
    assert_eq!(united(&[read(3, 2), with_signals(read(3, 1))]), Some(with_signals(read(3, 2))));
    assert_eq!(united(&[read(3, 2), read(4, 2)]), None, "two versions");
    let mut other = with_signals(read(3, 2));
    other["signals"]["content_sha256"] = json!("d");
    assert_eq!(united(&[with_signals(read(3, 2)), other]), None, "two contents of a file");
}

#[tokio::test]
async fn a_poisoned_part_fails_its_study() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let document = json!({
        "study": { "parameters": { "strategy.parameters.top_n": [1, 2] }, "statistics": { "bootstrap": 0 } },
        "base": crate::support::service::momentum(), "run_id": "s",
    });
    handler.post("/api/studies", &document).await;
    handler.envelope("execute_poison", &json!({ "run": json!({ "run_id": "s-p00" }) })).await;
    let study = comes_to_its_end(&handler).await;
    assert_eq!(
        (&study["status"], &study["status_reason"]),
        (&json!("failed"), &json!("part_failed")),
        "{study}"
    );
    assert!(study["error"].as_str().unwrap().contains("part 0 is failed"), "{study}");
}

#[tokio::test]
async fn a_canceled_study_ends_with_its_parts() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let document = json!({
        "study": { "parameters": { "strategy.parameters.top_n": [1, 2] } },
        "base": crate::support::service::momentum(), "run_id": "s",
    });
    handler.post("/api/studies", &document).await;
    let canceled = handler.post("/api/backtests/s/cancel", &Value::Null).await;
    assert_eq!((canceled.status.as_u16(), &canceled.json()["status"]), (200, &json!("canceled")));
    assert_eq!(handler.run("s-p00").await["status"], "canceled");
    handler.wake("s-p00").await;
    handler.wake("s").await;
    assert_eq!(handler.run("s").await["status"], "canceled");
}
