//! Signals: whether they could have been known, and what they predict.

use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::timing::{Panel, Profile, Traded, Verdict};

use backtest_functions::statistics::Undefined;
use backtest_functions::statistics::factors::{
    self, Entry, FactorDay, Followed, Follower, InformationCoefficient, Observed, Outlook, Predictiveness,
    Turnover, curve, quantile_returns,
};
use serde_json::Value;

use super::{agree, columns, figures, stored};
use crate::support::studies::{beside, market};

/// Day-major tables of the real prices.
struct Prices {
    days: usize,
    symbols: usize,
    open: Vec<f64>,
    close: Vec<f64>,
}

impl Prices {
    fn real() -> Option<Self> {
        let (symbols, open, close) = market()?;
        Some(Self { days: close.len() / symbols, symbols, open, close })
    }

    fn made(days: usize, symbols: usize) -> Self {
        let mut close = vec![100.0; days * symbols];
        for day in 1..days {
            for symbol in 0..symbols {
                let step = (Draws::of(31, symbol as u64).unit(day as u64) - 0.5) * 0.04;
                close[day * symbols + symbol] = close[(day - 1) * symbols + symbol] * (1.0 + step);
            }
        }
        Self { days, symbols, open: close.clone(), close }
    }

    /// A signal by day and symbol; NaN where it needs days that there are not.
    fn signal(
        &self,
        of: impl Fn(&dyn Fn(usize, i64) -> f64, &dyn Fn(usize, i64) -> f64, usize) -> f64,
    ) -> Vec<Vec<f64>> {
        let cell = |table: &[f64], symbol: usize, day: i64| {
            let there = (0..self.days as i64).contains(&day);
            if there { table[day as usize * self.symbols + symbol] } else { f64::NAN }
        };
        let row = |day: usize| {
            let open = |symbol: usize, ahead: i64| cell(&self.open, symbol, day as i64 + ahead);
            let close = |symbol: usize, ahead: i64| cell(&self.close, symbol, day as i64 + ahead);
            // A table has rows of symbols that have a bar that day.
            let there = |symbol: usize| !close(symbol, 0).is_nan();
            let value = |symbol| if there(symbol) { of(&open, &close, symbol) } else { f64::NAN };
            (0..self.symbols).map(value).collect()
        };
        (0..self.days).map(row).collect()
    }

    fn profile(&self, signal: &[Vec<f64>], every: usize) -> Profile {
        let panel = Panel {
            days: self.days,
            symbols: self.symbols,
            signal: &|day| &signal[day],
            open: &|day| &self.open[day * self.symbols..][..self.symbols],
            close: &|day| &self.close[day * self.symbols..][..self.symbols],
        };
        Profile::of(&panel, Traded::NextOpen, every)
    }
}

#[test]
fn leaks_are_told_from_honest_signals() {
    let (Some(prices), Some(want)) = (Prices::real(), figures("signal_timing.json")) else { return };
    let signals = [
        ("clean", prices.signal(|_, close, s| close(s, 0) / close(s, -20) - 1.0), Verdict::Clean),
        ("same_day", prices.signal(|_, close, s| close(s, 0) / close(s, -1) - 1.0), Verdict::Clean),
        ("leak_close1", prices.signal(|_, close, s| close(s, 1) / close(s, 0) - 1.0), Verdict::Leaking),
        ("leak_next", prices.signal(|open, _, s| open(s, 2) / open(s, 1) - 1.0), Verdict::Leaking),
        (
            "leak_next, lowest first",
            prices.signal(|open, _, s| 1.0 - open(s, 2) / open(s, 1)),
            Verdict::Leaking,
        ),
    ];
    for (name, signal, verdict) in signals {
        let got = prices.profile(&signal, 1);
        assert_eq!(got.verdict(), verdict, "{name}: {got:?}");
        for (offset, want) in want["offsets"][name].as_object().into_iter().flatten() {
            let got = got.at(offset.parse().unwrap()).unwrap();
            // Stored with six and three decimals.
            let near = |what: &str, got: f64, decimals: f64| {
                let want = want[what].as_f64().unwrap();
                assert!(
                    (got - want).abs() <= 0.51 * decimals,
                    "{name} {offset} {what}: got {got}, want {want}"
                );
            };
            assert_eq!(got.days as u64, want["days"].as_u64().unwrap(), "{name} {offset}");
            near("mean_ic", got.mean.unwrap(), 1e-6);
            if want["t"].is_null() {
                assert!(got.t.is_err(), "{name} {offset}: {got:?}");
            } else {
                near("t", got.t.unwrap(), 1e-3);
            }
        }
        if verdict == Verdict::Leaking {
            assert_eq!(prices.profile(&signal, 7).verdict(), verdict, "{name}, every seventh day");
        }
    }
}

#[test]
fn a_weak_peek_is_suspicious_and_a_short_table_proves_nothing() {
    let prices = Prices::made(1500, 6);
    let noise = |symbol: usize, close: f64| (Draws::of(33, symbol as u64).unit(close.to_bits()) - 0.5) * 0.04;
    let weak = prices.signal(|_, close, s| 0.2 * (close(s, 1) / close(s, 0) - 1.0) + noise(s, close(s, 0)));
    let got = prices.profile(&weak, 1);
    assert_eq!(got.verdict(), Verdict::Suspicious, "{got:?}");
    let short = Prices::made(55, 6);
    let leak = short.signal(|_, close, s| close(s, 1) / close(s, 0) - 1.0);
    assert_eq!(short.profile(&leak, 1).verdict(), Verdict::NotProvable);
    let two = Prices::made(500, 2);
    let leak = two.signal(|_, close, s| close(s, 1) / close(s, 0) - 1.0);
    assert_eq!(two.profile(&leak, 1).verdict(), Verdict::NotProvable);
}

#[test]
fn symbols_that_one_side_lacks_are_left_out_of_both_rankings() {
    // Signals 1, 2, 2 and a hole; returns of the next day 3 %, 1 %, 2 % and one that nobody is compared with.
    // Ranks 1, 2.5, 2.5 and 3, 1, 2: correlation -1.5 / sqrt(1.5 * 2).
    let close: [[f64; 4]; 2] = [[100.0; 4], [103.0, 101.0, 102.0, 150.0]];
    let signal: [[f64; 4]; 2] = [[1.0, 2.0, 2.0, f64::NAN], [f64::NAN; 4]];
    let panel = Panel {
        days: 2,
        symbols: 4,
        signal: &|day| &signal[day],
        open: &|day| &close[day],
        close: &|day| &close[day],
    };
    let got = *Profile::of(&panel, Traded::NextClose, 1).at(1).unwrap();
    assert_eq!(got.days, 1);
    assert!((got.mean.unwrap() + 1.5 / 3_f64.sqrt()).abs() < 1e-15, "{got:?}");
}

/// The synthetic panel: 30 symbols, 280 days.
fn factor() -> Option<[Vec<f64>; 3]> {
    let columns = columns(&beside("factor_panel.parquet")?);
    Some(["factor", "open", "close"].map(|name| columns[name].clone()))
}

fn check_predictiveness(got: &Predictiveness, want: &Value) {
    assert_eq!(got.days as u64, want["days"].as_u64().unwrap());
    stored("mean", got.mean_rank, &want["mean_rank_ic"]);
    stored("deviation", got.deviation, &want["std_rank_ic"]);
    stored("ratio", got.ratio.unwrap(), &want["ic_ir"]);
    stored("hit rate", got.hit_rate, &want["hit_rate"]);
    stored("t", got.t.unwrap(), &want["t_newey_west"]);
    stored("pearson", got.mean_pearson, &want["mean_pearson_ic"]);
}

/// The figures of a signal that is there on the first `days` days; every day is a trading day.
fn followed(signal: &[f64], open: &[f64], close: &[f64], symbols: usize, days: usize) -> Vec<FactorDay> {
    let prices = factors::Prices { symbols, open, close };
    let mut follower = Follower::default();
    let rows: Vec<&[f64]> = signal.chunks_exact(symbols).take(days).collect();
    let day = |row: usize| {
        let before = row.checked_sub(1).map(|before| rows[before]);
        follower.day(&prices, &Observed { day: row as i32, row: Some(row), signal: rows[row], before })
    };
    (0..rows.len()).map(day).collect()
}

/// What followed on the days that have all of an outlook.
fn ended(days: &[FactorDay], entry: Entry, horizon: usize) -> Vec<Followed> {
    let place = Outlook::place(entry.name(), horizon).unwrap();
    days.iter().filter_map(|day| day.followed[place]).collect()
}

fn coefficients(days: &[Followed]) -> Vec<InformationCoefficient> {
    days.iter().filter_map(|day| day.coefficient.ok()).collect()
}

#[test]
fn a_factor_predicts_as_stored() {
    let (Some([factor, open, close]), Some(want)) = (factor(), figures("factor_tear_sheet.json")) else {
        return;
    };
    let all = followed(&factor, &open, &close, 30, 280);
    for entry in Entry::ALL {
        for (horizon, want) in want["horizons"][entry.name()].as_object().unwrap() {
            let horizon: usize = horizon.parse().unwrap();
            let found = Predictiveness::of(&coefficients(&ended(&all, entry, horizon)), horizon).unwrap();
            check_predictiveness(&found, want);
            assert_eq!(want["lag"], horizon - 1);
        }
    }
    // What an audit looks at is the same correlation, computed another way.
    let row = |table: &'static [f64], day: usize| &table[day * 30..][..30];
    let [signal, opens, closes] = [&factor, &open, &close].map(|table| &*table.clone().leak());
    let panel = Panel {
        days: 280,
        symbols: 30,
        signal: &|day| row(signal, day),
        open: &|day| row(opens, day),
        close: &|day| row(closes, day),
    };
    let profile = Profile::of(&panel, Traded::NextOpen, 1);
    for (name, correlation) in [("close_to_close", *profile.at(1).unwrap()), ("next_open", profile.earning)] {
        stored(name, correlation.mean.unwrap(), &want["horizons"][name]["1"]["mean_rank_ic"]);
        stored(name, correlation.t.unwrap(), &want["horizons"][name]["1"]["t_newey_west"]);
    }
    // alphalens leaves out days without the longest horizon.
    let short = followed(&factor, &open, &close, 30, 259);
    let want = &want["alphalens-reloaded 0.5.1"];
    for (horizon, name) in [(1, "1D"), (5, "5D"), (21, "21D")] {
        let days = ended(&short, Entry::CloseToClose, horizon);
        let rows: usize = days.iter().map(|day| day.symbols).sum();
        assert_eq!(rows as u64, want["rows"].as_u64().unwrap());
        let got = Predictiveness::of(&coefficients(&days), horizon).unwrap();
        stored(name, got.mean_rank, &want["mean_ic"][name]);
        let sample_deviation = got.deviation * (259.0 / 258.0_f64).sqrt();
        stored(name, sample_deviation, &want["std_ic_ddof1"][name]);
        let quantiles = quantile_returns(&days).map(Option::unwrap);
        for (quantile, got) in quantiles.iter().enumerate() {
            let want = &want["mean_return_by_quantile_demeaned"][name][(quantile + 1).to_string()];
            stored(&format!("{name} quantile {quantile}"), *got, want);
        }
        let spreads: Vec<f64> = days.iter().filter_map(Followed::spread).collect();
        agree("spread", spreads.iter().sum::<f64>() / 259.0, quantiles[4] - quantiles[0]);
        let curve = curve(spreads.iter().copied(), horizon);
        agree("curve", *curve.last().unwrap(), spreads.iter().sum::<f64>() / horizon as f64);
    }
    let turnover = Turnover::of(short.iter().map(|day| &day.steadiness));
    for (quantile, got) in turnover.quantiles.iter().enumerate() {
        let want = &want["mean_turnover_by_quantile_1D"][(quantile + 1).to_string()];
        stored(&format!("turnover {quantile}"), got.unwrap(), want);
    }
    stored("autocorrelation", turnover.rank_autocorrelation.unwrap(), &want["rank_autocorrelation_1D"]);
    assert_eq!(turnover.coverage, Some(1.0));
}

/// Six symbols on three days: the second falls out of the market, the last one has a signal and never a price.
#[test]
fn what_is_missing_is_left_out_and_never_filled() {
    const NONE: f64 = f64::NAN;
    let close = [
        [100.0, 100.0, 100.0, 100.0, 100.0],
        [101.0, NONE, 102.0, 103.0, 104.0],
        [102.0, NONE, 104.0, 103.0, 106.0],
    ];
    let close = close.concat();
    let prices = factors::Prices { symbols: 5, open: &close, close: &close };
    let mut follower = Follower::default();
    let (now, before) = ([1.0, 9.0, 2.0, 3.0, NONE, 4.0], [3.0, 9.0, 2.0, 1.0, f64::INFINITY, NONE]);
    let day = follower.day(&prices, &Observed { day: 0, row: Some(0), signal: &now, before: Some(&before) });
    let one = day.followed[0].unwrap();
    // Signals 1, 2, 3 beside returns of 1 %, 2 % and 3 %; their mean is 2 %.
    assert_eq!(one.symbols, 3);
    let coefficient = one.coefficient.unwrap();
    assert!((coefficient.rank - 1.0).abs() < 1e-12 && (coefficient.pearson - 1.0).abs() < 1e-12);
    let counts = one.quantiles.map(|quantile| quantile.symbols);
    assert_eq!(counts, [1, 0, 1, 0, 1]);
    assert!((one.spread().unwrap() - 0.02).abs() < 1e-12, "{one:?}");
    assert!((one.quantiles[2].excess).abs() < 1e-12);
    // Five symbols have the signal, four of them a close that day; the infinite one is none.
    let steadiness = day.steadiness;
    assert_eq!((steadiness.signals, steadiness.priced, steadiness.covered), (5, 5, 4));
    // Of the symbols that have both, 1, 9, 2 and 3 beside 3, 9, 2 and 1: ranks 1, 5, 2, 3 beside 3, 4, 2, 1.
    let (a, b) = ([1.0, 5.0, 2.0, 3.0], [3.0, 4.0, 2.0, 1.0]);
    let expected = backtest_functions::statistics::series::correlation(&a, &b).unwrap();
    assert!((steadiness.rank_autocorrelation.unwrap() - expected).abs() < 1e-12);
    // Over five days nothing is known yet; the day after, three symbols are followed from their open.
    assert_eq!(day.followed[Outlook::place("close_to_close", 5).unwrap()], None);
    assert_eq!(day.followed[Outlook::place("next_open", 1).unwrap()].unwrap().symbols, 3);

    let refused = |signal: &[f64]| {
        let mut follower = Follower::default();
        let day = follower.day(&prices, &Observed { day: 0, row: Some(0), signal, before: None });
        assert_eq!(day.steadiness.replaced, [None; 5]);
        day.followed[0].unwrap().coefficient.unwrap_err()
    };
    assert_eq!(refused(&[1.0, 9.0, 2.0, NONE, NONE]), Undefined::TooFewObservations { found: 2, needed: 3 });
    assert_eq!(refused(&[7.0; 5]), Undefined::NoDeviation);
    // A day without trading has no returns and no coverage.
    let idle = follower.day(&prices, &Observed { day: 9, row: None, signal: &now, before: None });
    assert!(idle.followed.iter().all(Option::is_none) && idle.steadiness.priced == 0);
    let turnover = Turnover::of(std::iter::once(&idle.steadiness));
    assert_eq!((turnover.coverage, turnover.rank_autocorrelation), (None, None));
}

#[test]
fn the_significance_of_overlapping_returns_needs_two_horizons() {
    let days: Vec<InformationCoefficient> = (0..42)
        .map(|day| InformationCoefficient { rank: Draws::of(5, 1).unit(day) - 0.4, pearson: 0.1 })
        .collect();
    assert!(Predictiveness::of(&days, 21).unwrap().t.is_ok());
    let t = Predictiveness::of(&days[..41], 21).unwrap().t;
    assert_eq!(t, Err(Undefined::TooFewObservations { found: 41, needed: 42 }));
    assert_eq!(Predictiveness::of(&[], 1), Err(Undefined::TooFewObservations { found: 0, needed: 1 }));
}
