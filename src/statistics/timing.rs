//! Whether a signal could have been known: its rank correlation, day by day, with the returns around its day. A signal
//! that knows the future is correlated with what has not happened yet, far more than any honest one.

use super::ranks::Ranking;
use super::{Undefined, long_run};

/// Days with a correlation that a verdict needs.
const FEWEST_DAYS: usize = 60;
/// Symbols that a day needs.
const FEWEST_SYMBOLS: usize = 3;
/// Mean correlation and t-statistic of a signal that knows what is to come, and of one that may. Published equity factors
/// live between 0.01 and 0.06.
const LEAKING: (f64, f64) = (0.30, 10.0);
const SUSPICIOUS: (f64, f64) = (0.12, 6.0);
/// Days before and after the signal that are looked at.
const REACH: isize = 5;
/// Days after the signal on which what it decides has first earned something: it is traded the day before.
const EARNED_BY: usize = 2;

/// Signals and prices by day and symbol; NaN where there is none. Rows of all tables name the same symbols.
pub struct Panel<'a> {
    /// Number of days, which is how many rows the panel has.
    pub days: usize,
    /// Number of symbols, the length of every row.
    pub symbols: usize,
    /// Row of a day.
    pub signal: &'a dyn Fn(usize) -> &'a [f64],
    /// Row of a day, adjusted.
    pub open: &'a dyn Fn(usize) -> &'a [f64],
    /// Row of a day, adjusted.
    pub close: &'a dyn Fn(usize) -> &'a [f64],
}

/// At which price a decision of the day is traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traded {
    /// The next open: the decision earns from open to open.
    NextOpen,
    /// The next close: the decision earns from close to close.
    NextClose,
}

/// Mean over the days of Spearman's correlation of a signal with returns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Mean. An error without days.
    pub mean: Result<f64, Undefined>,
    /// Mean over its standard error, with independent days. An error if every day is the same: certain, unless it is 0.
    pub t: Result<f64, Undefined>,
    /// Days with at least three symbols.
    pub days: usize,
}

/// What the timing of a signal looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing that an honest signal would not show.
    Clean,
    /// More than published factors show, and gone the day after.
    Suspicious,
    /// The signal knows what has not happened yet.
    Leaking,
    /// Fewer than 60 days with three symbols.
    NotProvable,
}

/// The timing of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// By offset from -5 to 5: with the return from close to close that ends so many days after the signal.
    pub offsets: Vec<(i32, Correlation)>,
    /// With what the decision of the day earns, from the first price that it is traded at to the next.
    pub earning: Correlation,
}

impl Profile {
    /// Of a signal, on every `every`-th day (1 for all).
    pub fn of(panel: &Panel, traded: Traded, every: usize) -> Self {
        let closes = Returns { days: panel.days, price: panel.close };
        let opens = Returns { days: panel.days, price: panel.open };
        let offsets: Vec<isize> = (-REACH..=REACH).collect();
        let mut signal = Ranked::new(panel.days, panel.symbols);
        let mut by_close = Ranked::new(panel.days, panel.symbols);
        let mut by_open = Ranked::new(panel.days, panel.symbols);
        let capacity = panel.days.div_ceil(every.max(1));
        let mut found = vec![Vec::with_capacity(capacity); offsets.len() + 1];
        let mut common = Common::default();
        let mut row = vec![0.0; panel.symbols];
        for day in (0..panel.days).step_by(every.max(1)) {
            signal.rank(day, (panel.signal)(day));
            if signal.count[day] < FEWEST_SYMBOLS as u32 {
                continue;
            }
            let mut correlate =
                |found: &mut Vec<f64>, ranked: &mut Ranked, returns: &Returns, end: Option<usize>| {
                    let Some(end) = end.filter(|&end| (1..panel.days).contains(&end)) else { return };
                    if !ranked.is_ranked(end) {
                        returns.write(end, &mut row);
                        ranked.rank(end, &row);
                    }
                    if let Some(correlation) = common.correlation(&signal, day, ranked, end) {
                        found.push(correlation);
                    }
                };
            for (found, &offset) in found.iter_mut().zip(&offsets) {
                correlate(found, &mut by_close, &closes, day.checked_add_signed(offset));
            }
            let (ranked, returns) = match traded {
                Traded::NextOpen => (&mut by_open, &opens),
                Traded::NextClose => (&mut by_close, &closes),
            };
            correlate(&mut found[offsets.len()], ranked, returns, Some(day + EARNED_BY));
        }
        let mut correlations = found.iter().map(|days| Correlation::of(days));
        let offsets =
            offsets.iter().zip(&mut correlations).map(|(&offset, one)| (offset as i32, one)).collect();
        let earning = correlations.next().unwrap_or_else(|| Correlation::of(&[]));
        Self { offsets, earning }
    }

    /// The same at a glance, for every run: some days and symbols, evenly spread, and only the offsets that a verdict
    /// needs. What it calls leaking, the whole profile does.
    pub fn glance(panel: &Panel, traded: Traded) -> Self {
        let stride = panel.symbols.div_ceil(GLANCE_SYMBOLS).max(1);
        let looked_at = panel.symbols.div_ceil(stride).max(1);
        let days = (GLANCE_CELLS / looked_at).clamp(2 * FEWEST_DAYS, GLANCE_DAYS);
        let every = panel.days.div_ceil(days).max(1);
        let earns_opens = traded == Traded::NextOpen;
        let mut glance = Glance::of(panel, stride);
        let mut found = |ends: &[(usize, bool)]| {
            let mut found = vec![Vec::new(); ends.len()];
            for day in (0..panel.days).step_by(every) {
                for (found, &(ahead, opens)) in found.iter_mut().zip(ends) {
                    found.extend(glance.correlation(day, day + ahead, opens));
                }
            }
            found.iter().map(|days| Correlation::of(days)).collect::<Vec<_>>()
        };
        let near = found(&[(1, false), (EARNED_BY, earns_opens)]);
        let (next, earning) = (near[0], near[1]);
        let mut offsets = vec![(1, next)];
        if next.reaches(SUSPICIOUS.0, SUSPICIOUS.1) || earning.reaches(SUSPICIOUS.0, SUSPICIOUS.1) {
            let later: Vec<(usize, bool)> = (2..=REACH as usize).map(|ahead| (ahead, false)).collect();
            offsets.extend((2..).zip(found(&later)));
        }
        Self { offsets, earning }
    }

    /// With the return that ends so many days after the signal, -5 to 5.
    pub fn at(&self, offset: i32) -> Option<&Correlation> {
        self.offsets.iter().find(|(each, _)| *each == offset).map(|(_, correlation)| correlation)
    }

    /// Leaking: a correlation of 0.30 or more, either way, with the next close-to-close return or with what is earned,
    /// ten standard errors from 0. Suspicious: 0.12, six standard errors, and three times what is left on days 2 to 5.
    /// Published equity factors live between 0.01 and 0.06.
    pub fn verdict(&self) -> Verdict {
        let next = self.at(1);
        let looked_at = || next.into_iter().chain([&self.earning]);
        if looked_at().any(|one| one.days < FEWEST_DAYS) {
            return Verdict::NotProvable;
        }
        let later: Vec<f64> = (2..=REACH as i32).filter_map(|offset| self.at(offset)?.mean.ok()).collect();
        let left =
            if later.is_empty() { 0.0 } else { (later.iter().sum::<f64>() / later.len() as f64).abs() };
        if looked_at().any(|one| one.reaches(LEAKING.0, LEAKING.1)) {
            Verdict::Leaking
        } else if looked_at()
            .any(|one| one.reaches(SUSPICIOUS.0, SUSPICIOUS.1) && one.magnitude() >= 3.0 * left)
        {
            Verdict::Suspicious
        } else {
            Verdict::Clean
        }
    }
}

impl Correlation {
    fn of(days: &[f64]) -> Self {
        let mean = if days.is_empty() {
            Err(Undefined::TooFewObservations { found: 0, needed: 1 })
        } else {
            Ok(super::series::mean(days))
        };
        Self { mean, t: long_run::t_statistic(days, 0), days: days.len() }
    }

    fn magnitude(&self) -> f64 {
        self.mean.map_or(0.0, f64::abs)
    }

    fn reaches(&self, mean: f64, t: f64) -> bool {
        let certain = self.t == Err(Undefined::NoDeviation);
        self.magnitude() >= mean && (certain || self.t.is_ok_and(|own| own.abs() >= t))
    }
}

/// Symbols, days and cells that a glance takes at most; with few symbols it takes more days.
const GLANCE_SYMBOLS: usize = 60;
const GLANCE_DAYS: usize = 1000;
const GLANCE_CELLS: usize = 6_000;

/// Correlations of single days, without keeping any ranks.
struct Glance<'p, 'a> {
    panel: &'p Panel<'a>,
    /// Every so many symbols one is looked at.
    stride: usize,
    signal: Vec<f64>,
    returns: Vec<f64>,
    ranks: [Vec<f64>; 2],
    ranking: Ranking,
}

impl<'p, 'a> Glance<'p, 'a> {
    /// At every so many symbols.
    fn of(panel: &'p Panel<'a>, stride: usize) -> Self {
        Self {
            panel,
            stride,
            signal: Vec::new(),
            returns: Vec::new(),
            ranks: [Vec::new(), Vec::new()],
            ranking: Ranking::default(),
        }
    }

    /// Spearman's correlation of the signal of a day with the returns that end on another. `None` with fewer than three
    /// symbols, or if all are equal on one side.
    fn correlation(&mut self, day: usize, end: usize, opens: bool) -> Option<f64> {
        if !(1..self.panel.days).contains(&end) {
            return None;
        }
        let price = if opens { self.panel.open } else { self.panel.close };
        let (signal, from, to) = ((self.panel.signal)(day), price(end - 1), price(end));
        self.signal.clear();
        self.returns.clear();
        for symbol in (0..self.panel.symbols).step_by(self.stride) {
            let (value, earned) = (signal[symbol], to[symbol] / from[symbol] - 1.0);
            if !value.is_nan() && !earned.is_nan() {
                self.signal.push(value);
                self.returns.push(earned);
            }
        }
        if self.signal.len() < FEWEST_SYMBOLS {
            return None;
        }
        for (values, ranks) in [&self.signal, &self.returns].into_iter().zip(&mut self.ranks) {
            ranks.resize(values.len(), 0.0);
            self.ranking.average(values, ranks);
        }
        let [a, b] = &self.ranks;
        let centre = (a.len() as f64 + 1.0) / 2.0;
        let (mut together, mut alone, mut other) = (0.0, 0.0, 0.0);
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (a - centre, b - centre);
            together += a * b;
            alone += a * a;
            other += b * b;
        }
        (alone > 0.0 && other > 0.0).then(|| together / (alone * other).sqrt())
    }
}

/// Returns from one day to the next.
struct Returns<'a> {
    days: usize,
    price: &'a dyn Fn(usize) -> &'a [f64],
}

impl Returns<'_> {
    /// Of the day that the return ends on.
    fn write(&self, end: usize, row: &mut [f64]) {
        debug_assert!((1..self.days).contains(&end));
        let (from, to) = ((self.price)(end - 1), (self.price)(end));
        for ((each, from), to) in row.iter_mut().zip(from).zip(to) {
            *each = to / from - 1.0;
        }
    }
}

/// Rows with the order of their values, so that any subset of a row is ranked without sorting again.
struct Ranked {
    symbols: usize,
    /// Symbols of a day, lowest value first; `count` of them.
    order: Vec<u32>,
    /// Beside `order`: whether the value is that of the symbol before.
    tied: Vec<bool>,
    /// `UNRANKED`, or how many values a day has.
    count: Vec<u32>,
    /// Ranks of mean 0 and length 1, 0 for symbols without a value.
    scores: Vec<f64>,
    /// One bit for each symbol that has a value.
    present: Vec<u64>,
    sorted: Ranking,
}

const UNRANKED: u32 = u32::MAX;

impl Ranked {
    fn new(days: usize, symbols: usize) -> Self {
        let cells = days * symbols;
        Self {
            symbols,
            order: vec![0; cells],
            tied: vec![false; cells],
            count: vec![UNRANKED; days],
            scores: vec![0.0; cells],
            present: vec![0; days * symbols.div_ceil(64)],
            sorted: Ranking::default(),
        }
    }

    fn is_ranked(&self, day: usize) -> bool {
        self.count[day] != UNRANKED
    }

    fn present(&self, day: usize) -> &[u64] {
        let words = self.symbols.div_ceil(64);
        &self.present[day * words..][..words]
    }

    fn scores(&self, day: usize) -> &[f64] {
        &self.scores[day * self.symbols..][..self.symbols]
    }

    fn rank(&mut self, day: usize, values: &[f64]) {
        let (at, words) = (day * self.symbols, self.symbols.div_ceil(64));
        let sorted = self.sorted.sort(values);
        self.count[day] = sorted.len() as u32;
        let mut before = None;
        for (place, &(key, symbol)) in sorted.iter().enumerate() {
            self.order[at + place] = symbol;
            self.tied[at + place] = before == Some(key);
            before = Some(key);
            self.present[day * words + symbol as usize / 64] |= 1 << (symbol % 64);
        }
        score(sorted.iter().map(|each| each.1).zip(&self.tied[at..]), &mut self.scores[at..][..self.symbols]);
    }

    /// Writes the scores of the symbols that `kept` has bits for, all others staying as they are.
    fn score_among(&self, day: usize, kept: &[u64], room: &mut Vec<(u32, bool)>, scores: &mut [f64]) {
        let at = day * self.symbols;
        let count = self.count[day] as usize;
        room.clear();
        let mut tied = true;
        for (&symbol, &with_before) in self.order[at..][..count].iter().zip(&self.tied[at..]) {
            tied &= with_before;
            if kept[symbol as usize / 64] >> (symbol % 64) & 1 == 1 {
                room.push((symbol, tied));
                tied = true;
            }
        }
        score(room.iter().map(|(symbol, tied)| (*symbol, tied)), scores);
    }
}

/// Average ranks, moved to mean 0 and length 1; all 0 if they are equal. Symbols ascend by value; each comes with
/// whether its value is that of the one before.
fn score<'a>(ascending: impl ExactSizeIterator<Item = (u32, &'a bool)> + Clone, scores: &mut [f64]) {
    let count = ascending.len();
    let centre = (count as f64 + 1.0) / 2.0;
    let (mut squares, mut first) = (0.0, 0);
    let mut walk = ascending.clone().enumerate().peekable();
    let mut members = ascending.clone();
    while let Some((place, _)) = walk.next() {
        if walk.peek().is_some_and(|(_, (_, tied))| **tied) {
            continue;
        }
        let equal = place + 1 - first;
        let rank = first as f64 + (equal as f64 + 1.0) / 2.0 - centre;
        squares += equal as f64 * rank * rank;
        for (symbol, _) in members.by_ref().take(equal) {
            scores[symbol as usize] = rank;
        }
        first = place + 1;
    }
    let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
    for (symbol, _) in ascending {
        scores[symbol as usize] *= scale;
    }
}

/// Room for two days that have different symbols.
#[derive(Default)]
struct Common {
    kept: Vec<u64>,
    room: Vec<(u32, bool)>,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Common {
    /// Spearman's correlation over the symbols that both days have. `None` if they are fewer than three, or all equal on
    /// one side.
    fn correlation(&mut self, a: &Ranked, on: usize, b: &Ranked, other: usize) -> Option<f64> {
        if a.present(on) == b.present(other) {
            return correlation_of(a.scores(on), b.scores(other));
        }
        self.kept.clear();
        self.kept.extend(a.present(on).iter().zip(b.present(other)).map(|(a, b)| a & b));
        if self.kept.iter().map(|word| word.count_ones()).sum::<u32>() < FEWEST_SYMBOLS as u32 {
            return None;
        }
        for (ranked, day, scores) in [(a, on, &mut self.a), (b, other, &mut self.b)] {
            scores.clear();
            scores.resize(ranked.symbols, 0.0);
            ranked.score_among(day, &self.kept, &mut self.room, scores);
        }
        correlation_of(&self.a, &self.b)
    }
}

/// Of scores of length 1, or 0.
fn correlation_of(a: &[f64], b: &[f64]) -> Option<f64> {
    let varies = |scores: &[f64]| scores.iter().any(|&score| score != 0.0);
    (varies(a) && varies(b)).then(|| a.iter().zip(b).map(|(a, b)| a * b).sum())
}
