//! One table of what was measured, with the facts about the machine; the same as JSON in `bench.json` beside
//! criterion's own files.

#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// A benchmark that ran.
struct Measured {
    name: String,
    /// Nanoseconds: median, and the bounds of its 95 % confidence interval.
    median: f64,
    bounds: (f64, f64),
    /// Elements (bars, parameter sets, rows) in one round.
    elements: Option<f64>,
}

/// What many callers at once did.
pub(crate) struct Rate {
    name: String,
    per_second: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
}

impl Rate {
    /// Of calls that took so long each, in a round of this length.
    pub(crate) fn of(name: String, round: Duration, mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |share: f64| {
            let index = ((took.len() as f64 - 1.0) * share) as usize;
            took.get(index).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
        };
        Self { name, per_second: took.len() as f64 / round.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
    }

    /// A count that is not a rate.
    pub(crate) fn count(name: &str, count: i64) -> Self {
        Self { name: name.to_owned(), per_second: count as f64, p50: f64::NAN, p99: f64::NAN }
    }
}

/// Prints what criterion measured since `begin`, and what was measured without it.
pub(crate) fn print(begin: SystemTime, rates: &[Rate]) {
    let folder = criterion_folder();
    let mut measured = Vec::new();
    collect(&folder, begin, &mut measured);
    measured.sort_by(|a: &Measured, b| a.name.cmp(&b.name));
    if measured.is_empty() && rates.is_empty() {
        return;
    }
    let facts = facts();
    println!(
        "\n{}",
        facts.as_object().map_or(String::new(), |facts| {
            facts.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
        })
    );
    if !rates.is_empty() {
        println!("{:<40} {:>12} {:>12} {:>12}", "many callers", "a second", "p50", "p99");
        for one in rates {
            let ms = |value: f64| if value.is_nan() { String::new() } else { format!("{value:.2} ms") };
            println!("{:<40} {:>12.0} {:>12} {:>12}", one.name, one.per_second, ms(one.p50), ms(one.p99));
        }
        println!();
    }
    println!("{:<28} {:>12} {:>27} {:>16}", "benchmark", "median", "95 % of rounds' medians", "per element");
    for one in &measured {
        let bounds = format!("{} .. {}", duration(one.bounds.0), duration(one.bounds.1));
        let each = one.elements.map_or(String::new(), |elements| duration(one.median / elements));
        println!("{:<28} {:>12} {bounds:>27} {each:>16}", one.name, duration(one.median));
    }
    let rows: Vec<Value> = measured
        .iter()
        .map(|one| {
            json!({ "name": one.name, "median_ns": one.median, "low_ns": one.bounds.0, "high_ns": one.bounds.1,
                "elements": one.elements })
        })
        .collect();
    let rates: Vec<Value> = rates
        .iter()
        .map(|one| {
            json!({ "name": one.name, "per_second": one.per_second, "p50_ms": one.p50, "p99_ms": one.p99 })
        })
        .collect();
    let all = json!({ "machine": facts, "benchmarks": rows, "many_callers": rates });
    let path = folder.join("bench.json");
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, format!("{all:#}\n")));
    match written {
        Ok(()) => println!("\nas JSON: {}", path.display()),
        Err(error) => println!("\n{}: {error}", path.display()),
    }
}

fn criterion_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("criterion")
}

/// Finds `<group>/<name>/new/estimates.json`, however deep.
fn collect(folder: &Path, begin: SystemTime, measured: &mut Vec<Measured>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        let estimates = path.join("new/estimates.json");
        let fresh = estimates.metadata().and_then(|file| file.modified()).is_ok_and(|at| at >= begin);
        match (fresh, read(&estimates), read(&path.join("new/benchmark.json"))) {
            (true, Some(estimates), Some(about)) => {
                let median = &estimates["median"];
                let bound = |name| median["confidence_interval"][name].as_f64().unwrap_or(f64::NAN);
                measured.push(Measured {
                    name: about["full_id"].as_str().unwrap_or_default().to_owned(),
                    median: median["point_estimate"].as_f64().unwrap_or(f64::NAN),
                    bounds: (bound("lower_bound"), bound("upper_bound")),
                    elements: about["throughput"]["Elements"].as_f64(),
                });
            }
            _ => collect(&path, begin, measured),
        }
    }
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What the figures depend on.
fn facts() -> Value {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let rustc = std::process::Command::new("rustc").arg("--version").output();
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": cpu,
        "load average at the end": text("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        "rustc": rustc.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}
