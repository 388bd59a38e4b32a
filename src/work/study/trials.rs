//! The trials of a study as configs: each made of the base and its values, checked, and shared out among parts so that a
//! part reads as few markets as can be.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::config::Study;
use crate::engine::config::{BacktestConfig, Fault};

/// Faults that are listed.
const LISTED_MAX: usize = 1000;

/// A whole study is thought to take this long on one instance for each part: a part that dies costs no more.
const PART_SECONDS: f64 = 20.0;

/// Parts at most.
pub const PARTS_MAX: usize = 64;

/// Trials that are worth a part of their own.
const TRIALS_MIN: usize = 50;

/// Seconds that a trial takes for each day and symbol.
const CELL_SECONDS: f64 = 0.5e-9;

/// Seconds that a market takes to load.
const LOAD_SECONDS: f64 = 1.0;

/// Puts a value at a dotted path; sections that are not there are made, list items are named by number.
///
/// # Errors
/// The part of the path that there is no place for.
pub fn set(config: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let mut at = config;
    for part in path.split('.') {
        at = match at {
            Value::Object(fields) => fields.entry(part).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(items) => part
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index))
                .ok_or_else(|| part.to_owned())?,
            _ => return Err(part.to_owned()),
        };
    }
    *at = value.clone();
    Ok(())
}

/// Everything of a config that decides which rows are read and how they are laid out.
pub fn market_key(config: &BacktestConfig) -> String {
    let resolved = config.resolved();
    let fixed = json!([
        resolved["data"],
        resolved["universe"],
        resolved["benchmark"],
        config.risk_free_rate.series().map(|_| &resolved["risk_free_rate"])
    ]);
    format!("{fixed} {} {} {}", config.start_date, config.end_date, layout(config))
}

/// What of [`market_key`] can differ between the trials of a study.
pub(super) fn layout(config: &BacktestConfig) -> String {
    format!(
        "{} {:?} {:?} {}",
        config.warmup_bars(),
        config.price_columns(),
        config.signal_columns(),
        config.reads_signal_rows()
    )
}

impl Study {
    /// The config of a trial as it would be submitted.
    ///
    /// # Errors
    /// The path that there is no place for.
    pub fn submitted(&self, trial: usize) -> Result<Value, Fault> {
        let mut config = self.base.clone();
        for (path, value) in self.grid.paths.iter().zip(self.grid.values(trial)) {
            let Some(value) = value else { continue };
            set(&mut config, path, value).map_err(|part| Fault {
                path: path.clone(),
                message: format!("there is no place '{part}' in the config"),
            })?;
        }
        Ok(config)
    }

    /// The valid config of a trial.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn config(&self, trial: usize) -> Result<BacktestConfig, Vec<Fault>> {
        let submitted = self.submitted(trial).map_err(|fault| vec![fault])?;
        BacktestConfig::from_value(&submitted)
    }

    /// The config of the first valid trial as it would be submitted: what is checked of a base is the same for all.
    pub fn base_of(&self, plan: &Plan) -> Value {
        self.submitted(plan.first).unwrap_or(Value::Null)
    }

    /// What tells a trial from the others, for people: `top_n=3 rebalance=monthly`.
    pub fn label(&self, trial: usize) -> String {
        let named = self.grid.paths.iter().zip(self.grid.values(trial));
        let words = named.filter_map(|(path, value)| {
            let short = path.rsplit('.').next().unwrap_or(path);
            Some(match value? {
                Value::String(text) => format!("{short}={text}"),
                other => format!("{short}={other}"),
            })
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Checks every trial and shares them out. The config that comes with it is that of the first valid trial.
    ///
    /// # Errors
    /// Every fault of every combination, unless those are to be skipped; that no combination is valid.
    pub fn plan(&self) -> Result<Plan, Vec<Fault>> {
        let count = self.grid.count();
        let looked: Vec<Result<Looked, Vec<Fault>>> = (0..count)
            .into_par_iter()
            .map(|trial| {
                let config = self.config(trial)?;
                Ok(Looked { layout: layout(&config), warnings: config.warnings() })
            })
            .collect();
        let invalid = looked.iter().filter(|one| one.is_err()).count();
        if invalid == count || (invalid > 0 && !self.skip_invalid) {
            return Err(self.summed_up(&looked));
        }
        // A trial that makes no config is tried with those that read the first market.
        let layouts = looked.iter().map(|one| one.as_ref().map_or("", |valid| valid.layout.as_str()));
        let mut order: Vec<(&str, u32)> = layouts.zip(0..).collect();
        order.sort_unstable();
        let markets = order.chunk_by(|a, b| a.0 == b.0).filter(|chunk| !chunk[0].0.is_empty()).count();
        let first = looked.iter().position(Result::is_ok).unwrap_or_default();
        let config = self.config(first)?;
        let ordered = order.into_iter().map(|(_, trial)| trial).collect();
        let (said, more) = self.each_once(looked.iter().map(|one| match one {
            Ok(valid) => valid.warnings.iter().map(|warning| ("", warning.as_str())).collect(),
            Err(_) => Vec::new(),
        }));
        let more = (more > 0).then(|| format!("{more} more warnings are not listed"));
        let warnings = said.into_iter().map(|(_, warning)| warning).chain(more).collect();
        Ok(Plan { ordered, markets, invalid, first, config, warnings })
    }

    /// Faults of all trials, each once, with the first trial that has it.
    fn summed_up<T>(&self, looked: &[Result<T, Vec<Fault>>]) -> Vec<Fault> {
        let (said, more) = self.each_once(looked.iter().map(|one| {
            let faults = one.as_ref().err().map_or(&[][..], Vec::as_slice);
            faults.iter().map(|fault| (fault.path.as_str(), fault.message.as_str())).collect()
        }));
        let more = (more > 0)
            .then(|| Fault { path: String::new(), message: format!("{more} more faults are not listed") });
        let fault = |(path, message)| Fault { path: format!("base.{path}"), message };
        said.into_iter().map(fault).chain(more).collect()
    }

    /// What is said of trials, path and text, each once: in how many trials unless it is all of them, and the first. Also
    /// how many more there are.
    fn each_once<'l>(
        &self,
        trials: impl ExactSizeIterator<Item = Vec<(&'l str, &'l str)>>,
    ) -> (Vec<(&'l str, String)>, usize) {
        let count = trials.len();
        let mut seen: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for (trial, said) in trials.enumerate() {
            for one in said {
                seen.entry(one).or_insert((trial, 0)).1 += 1;
            }
        }
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_by_key(|(_, (first, _))| *first);
        let more = seen.len().saturating_sub(LISTED_MAX);
        let told = seen.into_iter().take(LISTED_MAX).map(|((path, text), (first, times))| {
            let text = if times == count {
                text.to_owned()
            } else {
                format!("{text} (in {times} trials, first in {first}: {})", self.label(first))
            };
            (path, text)
        });
        (told.collect(), more)
    }
}

/// What there is to know of a valid trial before it is evaluated.
struct Looked {
    layout: String,
    warnings: Vec<String>,
}

/// The trials in the order in which they are shared out.
#[derive(Debug)]
pub struct Plan {
    /// Numbers of all trials; those that read the same rows stand together.
    pub ordered: Vec<u32>,
    /// Distinct markets.
    pub markets: usize,
    /// Trials that make no valid config.
    pub invalid: usize,
    /// The first valid trial.
    pub first: usize,
    /// Of the first valid trial: dates, data and output are those of all.
    pub config: BacktestConfig,
    /// What the configs of trials have that is without effect, each once.
    pub warnings: Vec<String>,
}

impl Plan {
    /// How many parts are worth their trouble, when a trial reads `days` of so many `symbols`.
    pub fn parts_for(&self, days: usize, symbols: usize) -> usize {
        let trials = self.ordered.len();
        let seconds =
            trials as f64 * days as f64 * symbols as f64 * CELL_SECONDS + self.markets as f64 * LOAD_SECONDS;
        let by_time = (seconds / PART_SECONDS).ceil().max(1.0) as usize;
        by_time.min(trials.div_ceil(TRIALS_MIN)).clamp(1, PARTS_MAX)
    }

    /// The trials of each of so many parts, of nearly the same size.
    pub fn parts(&self, parts: usize) -> Vec<&[u32]> {
        let (count, parts) = (self.ordered.len(), parts.clamp(1, self.ordered.len().max(1)));
        let edge = |part: usize| part * count / parts;
        (0..parts).map(|part| &self.ordered[edge(part)..edge(part + 1)]).collect()
    }
}

/// Numbers as ranges `[first, last]`, for a row that is to stay small.
pub fn ranges(trials: &[u32]) -> Vec<[u32; 2]> {
    let mut ranges: Vec<[u32; 2]> = Vec::new();
    for &trial in trials {
        match ranges.last_mut() {
            Some(range) if range[1] + 1 == trial => range[1] = trial,
            _ => ranges.push([trial, trial]),
        }
    }
    ranges
}

/// Trials that read the same rows, in their order.
pub fn by_market(study: &Study, trials: &[u32]) -> Vec<(Option<BacktestConfig>, Vec<u32>)> {
    let keyed: Vec<(u32, Option<(String, BacktestConfig)>)> = trials
        .par_iter()
        .map(|&trial| (trial, study.config(trial as usize).ok().map(|config| (layout(&config), config))))
        .collect();
    let mut groups: Vec<(String, Option<BacktestConfig>, Vec<u32>)> = Vec::new();
    for (trial, keyed) in keyed {
        match keyed {
            Some((key, config)) => match groups.iter_mut().find(|group| group.0 == key) {
                Some(group) => group.2.push(trial),
                None => groups.push((key, Some(config), vec![trial])),
            },
            None => match groups.first_mut() {
                Some(group) => group.2.push(trial),
                None => groups.push((String::new(), None, vec![trial])),
            },
        }
    }
    // Trials without a config that came first wait for the first market.
    if groups.len() > 1 && groups[0].1.is_none() {
        let invalid = groups.remove(0).2;
        groups[0].2.extend(invalid);
    }
    groups.into_iter().map(|(_, config, trials)| (config, trials)).collect()
}
