//! Signals: whether they could have been known, and what they predict.

use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::timing::{Panel, Profile, Traded, Verdict};

use backtest_functions::statistics::factors::{
    Predictiveness, QuantileReturns, Turnover, information_coefficients,
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

#[test]
fn a_factor_predicts_as_stored() {
    let (Some([factor, open, close]), Some(want)) = (factor(), figures("factor_tear_sheet.json")) else {
        return;
    };
    let row = |table: &'static [f64], day: usize| &table[day * 30..][..30];
    let [factor, open, close] = [factor, open, close].map(|table| &*table.leak());
    let panel = Panel {
        days: 280,
        symbols: 30,
        signal: &|day| row(factor, day),
        open: &|day| row(open, day),
        close: &|day| row(close, day),
    };
    for (name, traded) in [("close_to_close", Traded::ThisClose), ("next_open", Traded::NextOpen)] {
        for (horizon, want) in want["horizons"][name].as_object().unwrap() {
            let horizon = horizon.parse().unwrap();
            let days = information_coefficients(&panel, horizon, traded);
            check_predictiveness(&Predictiveness::of(&days, horizon).unwrap(), want);
        }
    }
    // alphalens leaves out days without the longest horizon.
    let nothing = [f64::NAN; 30];
    let short = Panel { signal: &|day| if day < 259 { row(factor, day) } else { &nothing[..] }, ..panel };
    let want = &want["alphalens-reloaded 0.5.1"];
    for (horizon, name) in [(1, "1D"), (5, "5D"), (21, "21D")] {
        let days = information_coefficients(&short, horizon, Traded::ThisClose);
        let got = Predictiveness::of(&days, horizon).unwrap();
        stored(name, got.mean_rank, &want["mean_ic"][name]);
        let quantiles = QuantileReturns::of(&short, 5, horizon, Traded::ThisClose);
        for (quantile, got) in quantiles.means.iter().enumerate() {
            let want = &want["mean_return_by_quantile_demeaned"][name][(quantile + 1).to_string()];
            stored(&format!("{name} quantile {quantile}"), *got, want);
        }
        let spread: f64 = quantiles.spread.iter().map(|(_, spread)| spread).sum::<f64>() / 259.0;
        agree("spread", spread, quantiles.means[4] - quantiles.means[0]);
    }
    let turnover = Turnover::of(&short, 5, 1);
    for (quantile, got) in turnover.quantiles.iter().enumerate() {
        let want = &want["mean_turnover_by_quantile_1D"][(quantile + 1).to_string()];
        stored(&format!("turnover {quantile}"), *got, want);
    }
    stored("autocorrelation", turnover.rank_autocorrelation.unwrap(), &want["rank_autocorrelation_1D"]);
    agree("coverage", turnover.coverage, 259.0 / 280.0);
}
