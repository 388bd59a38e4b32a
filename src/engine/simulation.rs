//! One account going through the bars: fills at the open, marks at the close, decisions after it. Who decides,
//! what may be held and what can be got is asked of the modules beside this one.

use super::broker::{Blotter, Broker, Orders, Scope};
use super::config::BacktestConfig;
use super::constraints::Constraints;
use super::ledger::{Ledger, Valuation};
use super::market::Market;
use super::metrics::{Summary, benchmark};
use super::outcome::{Daily, Holdings, Outcome};
use super::plan::Plan;
use super::strategy::View;
use super::symbol_map::SymbolMap;
use super::{RunError, SymbolId};

/// The state of a run between two bars.
pub(crate) struct Simulation<'a> {
    config: &'a BacktestConfig,
    market: &'a Market,
    plan: Plan<'a>,
    constraints: Constraints<'a>,
    broker: Broker<'a>,
    ledger: Ledger,
    /// What shall trade at the next fill.
    pending: Orders,
    blotter: Blotter,
    daily: Daily,
    holdings: Holdings,
    /// Value of the account at the last close.
    value: Valuation,
    /// Highest value so far, the initial cash included.
    peak: f64,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(config: &'a BacktestConfig, market: &'a Market) -> Result<Self, RunError> {
        let (cash, n_symbols) = (config.initial_cash, market.symbols().len());
        if config.broker.max_participation_rate.is_some() && !market.has_price_column("volume") {
            let lack = "broker.max_participation_rate: the price table has no column volume";
            return Err(RunError::Data(lack.to_owned()));
        }
        Ok(Self {
            config,
            market,
            plan: Plan::new(config, market)?,
            constraints: Constraints::new(&config.constraints),
            broker: Broker::new(&config.broker, n_symbols),
            ledger: Ledger::new(cash, n_symbols),
            pending: Orders { targets: SymbolMap::new(n_symbols), scope: Scope::Nothing },
            blotter: Blotter::default(),
            daily: Daily::with_capacity(market.trading_days()),
            holdings: Holdings::default(),
            value: Valuation { equity: cash, ..Valuation::default() },
            peak: cash,
        })
    }

    /// Trades what is pending, at the open or the close of `bar`.
    pub(crate) fn fill(&mut self, bar: usize) {
        if self.pending.scope != Scope::Nothing {
            let at_close = self.config.fills_at_close();
            let prices = if at_close { self.market.closes(bar) } else { self.market.opens(bar) };
            let (broker, market) = (&mut self.broker, self.market);
            broker.execute(market, bar, prices, &self.pending, &mut self.ledger, &mut self.blotter);
            self.plan.follow(market, bar, prices, &self.pending, broker);
        }
        self.broker.close_stale(self.market, bar, &mut self.ledger, &mut self.blotter);
        self.plan.close_stale(self.market, bar, &mut self.broker);
    }

    /// Marks the account at the close of `bar` and records the day.
    pub(crate) fn mark(&mut self, bar: usize) {
        let before = self.value.equity;
        let value = self.ledger.mark(self.market, bar);
        self.value = value;
        self.peak = self.peak.max(value.equity);
        let today = std::mem::take(&mut self.blotter.today);
        let daily = &mut self.daily;
        let is_first = daily.date.is_empty();
        daily.date.push(self.market.dates()[bar]);
        daily.portfolio_value.push(value.equity);
        daily.cash.push(self.ledger.cash);
        daily.daily_return.push(if is_first { 0.0 } else { over(value.equity - before, before) });
        daily.cumulative_return.push(value.equity / self.config.initial_cash - 1.0);
        daily.drawdown.push(value.equity / self.peak - 1.0);
        daily.gross_exposure.push(over(value.long - value.short, value.equity));
        daily.net_exposure.push(over(value.long + value.short, value.equity));
        daily.turnover.push(over(today.traded, before));
        daily.commission.push(today.commission);
        daily.slippage_cost.push(today.slippage);
        daily.n_trades.push(today.fills);
        if self.ledger.take_changed() {
            self.holdings.snapshot(daily.date.len() - 1, &self.ledger);
        }
    }

    /// Decides, at the close of `bar`, what shall trade next.
    pub(crate) fn decide(&mut self, bar: usize) -> Result<(), RunError> {
        let Self { pending, constraints, plan, .. } = self;
        let view = View { market: self.market, bar, ledger: &self.ledger, equity: self.value.equity };
        pending.targets.clear();
        pending.scope = Scope::Nothing;
        if plan.decide(&view, &mut pending.targets)? {
            constraints.apply(&view, &mut pending.targets);
            plan.constrained(&view, &pending.targets);
            pending.scope = Scope::Everything;
        }
        constraints.stop_losses(&view, |symbol: SymbolId| {
            pending.targets.insert(symbol, 0.0);
            if pending.scope == Scope::Nothing {
                pending.scope = Scope::Targets;
            }
        });
        Ok(())
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        let benchmark = self.config.benchmark.as_ref().map(|chosen| benchmark::curve(chosen, self.market));
        let mut warnings = self.config.without_effect();
        warnings.extend_from_slice(self.market.warnings());
        warnings.extend(self.plan.warnings());
        for gone in &self.blotter.delisted {
            let name = self.market.name(gone.symbol);
            warnings.push(format!(
                "{name}: delisted; no bar since {}, closed on {} at its last price {}",
                gone.last_bar, gone.date, gone.price
            ));
        }
        let holding_days = self.ledger.holding_days();
        let summary = Summary::of(self.config, &self.daily, holding_days, benchmark.as_deref(), warnings);
        let (blend, debug) = self.plan.into_records();
        Outcome {
            symbols: self.market.symbols().to_vec(),
            daily: self.daily,
            trades: self.blotter.trades,
            rejected: self.blotter.rejected,
            holdings: self.holdings,
            constraint_hits: self.constraints.hits,
            delisted: self.blotter.delisted,
            benchmark,
            blend,
            debug,
            summary,
        }
    }
}

/// A part of a value; 0 when there is no value left to be a part of.
fn over(part: f64, value: f64) -> f64 {
    if value > 0.0 { part / value } else { 0.0 }
}

impl Daily {
    fn with_capacity(days: usize) -> Self {
        Self {
            date: Vec::with_capacity(days),
            portfolio_value: Vec::with_capacity(days),
            cash: Vec::with_capacity(days),
            daily_return: Vec::with_capacity(days),
            cumulative_return: Vec::with_capacity(days),
            drawdown: Vec::with_capacity(days),
            gross_exposure: Vec::with_capacity(days),
            net_exposure: Vec::with_capacity(days),
            turnover: Vec::with_capacity(days),
            commission: Vec::with_capacity(days),
            slippage_cost: Vec::with_capacity(days),
            n_trades: Vec::with_capacity(days),
        }
    }
}

impl Holdings {
    /// Remembers what is held from `day` on.
    fn snapshot(&mut self, day: usize, ledger: &Ledger) {
        self.day.push(day);
        self.start.push(self.symbol.len());
        for &symbol in ledger.held() {
            self.symbol.push(symbol);
            self.shares.push(ledger.shares(symbol));
        }
    }
}
