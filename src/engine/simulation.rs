//! One account going through the bars: fills at the open, marks at the close, decisions after it. Who decides,
//! what may be held and what can be got is asked of the modules beside this one.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::mem::take;
use std::ops::Range;

use super::broker::{Blotter, Broker, Foreseen, Orders, Scope};
use super::carry::{Accrued, Carry};
use super::config::{BacktestConfig, DelistingReturn, OnRuin};
use super::constraints::{Constraints, SHORTS_DISALLOWED};
use super::entitlements;
use super::ledger::{Ledger, Marks};
use super::market::{CorporateActions, Market};
use super::metrics::account_of::Counts;
use super::metrics::{AccountOf, Summary, benchmark, drawdown};
use super::outcome::{Daily, Holdings, NextOrder, NextOrders, OrderReason, Outcome, TargetWeight};
use super::plan::Plan;
use super::strategy::View;
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
    counts: Counts,
    /// Gross weight that the decision asked for that is filled next.
    asked: Option<f64>,
    /// Whether the run ended before its last bar because nothing was left.
    ended: bool,
    /// Value of the account at the last close.
    equity: f64,
    /// What holding costs and earns; `None`: nothing.
    carry: Option<Carry>,
    /// What accrued since the last close.
    accrued: Accrued,
    /// Fees for borrowed shares so far, by symbol; empty without carry.
    borrow_costs: Vec<f64>,
    /// Scratch: what the account is worth on the days that are recorded.
    marks: Marks,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(config: &'a BacktestConfig, market: &'a Market) -> Result<Self, RunError> {
        let (cash, n_symbols) = (config.initial_cash, market.symbols().len());
        let rules = &config.broker;
        for (key, needs) in [
            ("max_participation_rate", rules.max_participation_rate.is_some()),
            ("impact", rules.impact.is_some()),
        ] {
            if needs && !market.has_price_column("volume") {
                return Err(RunError::Data(format!("broker.{key}: the price table has no column volume")));
            }
        }
        if let Some(DelistingReturn::Column(column)) = &rules.delisting_return {
            let lack = |lack: String| RunError::Data(format!("broker.delisting_return: {lack}"));
            market.price_table(column).map_err(lack)?;
        }
        let carry = Carry::new(config, market)?;
        Ok(Self {
            config,
            market,
            plan: Plan::new(config, market)?,
            constraints: Constraints::new(&config.constraints),
            broker: Broker::new(&config.broker, n_symbols),
            ledger: Ledger::new(cash, n_symbols),
            pending: Orders::new(n_symbols),
            counts: Counts::default(),
            asked: None,
            ended: false,
            blotter: Blotter::default(),
            daily: Daily::with_capacity(market.trading_days()),
            holdings: Holdings::default(),
            equity: cash,
            accrued: Accrued::default(),
            borrow_costs: if carry.is_some() { vec![0.0; n_symbols] } else { Vec::new() },
            carry,
            marks: Marks::default(),
        })
    }

    /// Books what holding cost and earned since the close before, then dividends and splits, then trades what is pending, at
    /// the open or the close of `bar`.
    pub(crate) fn fill(&mut self, bar: usize) {
        if let Some(carry) = &self.carry {
            let costs = &mut self.borrow_costs;
            let each = |symbol: SymbolId, cost| costs[symbol.index()] += cost;
            self.accrued = carry.accrue(self.market, bar, &mut self.ledger, each);
            self.plan.accrue(self.market, bar, carry);
        }
        let actions = self.market.corporate_actions().map_or(&[][..], |actions| actions.on(bar));
        if !actions.is_empty() {
            let (market, broker) = (self.market, &self.broker);
            entitlements::book(market, bar, actions, broker, &mut self.ledger, &mut self.blotter);
            self.plan.entitle(market, bar, actions, broker);
        }
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

    /// The first bar from `bar` on at whose close anything may be decided; it need not be one of the market.
    pub(crate) fn next_decision(&self, bar: usize) -> usize {
        // Losses and missing bars are looked at on every day, and cash moves on every day that costs or earns.
        let watches = self.config.constraints.stop_loss.is_some()
            || self.config.broker.max_stale_days.is_some()
            || self.carry.is_some();
        // Waiting orders may be filled at any bar.
        let waits = !self.blotter.waiting.is_empty();
        if watches || waits {
            return bar;
        }
        let next = self.plan.next_decision(self.market, bar);
        // Until the day before something held pays or splits.
        let holds = |symbol: SymbolId| self.ledger.shares(symbol) != 0.0 || self.plan.holds(symbol);
        let concerns = |actions: &CorporateActions| actions.next_between(bar, next, holds);
        self.market.corporate_actions().and_then(concerns).map_or(next, |action| action - 1)
    }

    /// Marks the account at the closes of `bars` and records the days. There were fills at most on the first.
    pub(crate) fn mark(&mut self, bars: Range<usize>) {
        self.plan.mark(self.market, bars.clone());
        self.ledger.mark(self.market, bars.clone(), &mut self.marks);
        let ruin = self.marks.equity.iter().position(|&value| value <= 0.0);
        let mut bars = bars;
        if let (Some(day), OnRuin::Stop) = (ruin, self.config.broker.on_ruin) {
            bars.end = bars.start + day + 1;
            self.marks.truncate(bars.len());
            self.ended = true;
        }
        let Marks { equity, long, short } = &self.marks;
        let daily = &mut self.daily;
        if self.ledger.take_changed() {
            self.holdings.snapshot(daily.date.len(), &self.ledger);
        }
        daily.date.extend_from_slice(&self.market.dates()[bars]);
        let days = daily.date.len();
        daily.portfolio_value.extend_from_slice(equity);
        daily.cash.extend(repeat_n(self.ledger.cash, equity.len()));
        let sides = || long.iter().zip(short).zip(equity);
        daily.gross_exposure.extend(sides().map(|((long, short), &equity)| over(long - short, equity)));
        daily.net_exposure.extend(sides().map(|((long, short), &equity)| over(long + short, equity)));
        let activity = take(&mut self.blotter.today);
        let accrued = take(&mut self.accrued);
        for (column, first) in [
            (&mut daily.turnover, over(activity.traded, self.equity)),
            (&mut daily.commission, activity.commission),
            (&mut daily.slippage_cost, activity.slippage),
            (&mut daily.impact_cost, activity.impact),
            (&mut daily.borrow_cost, accrued.borrow_cost),
            (&mut daily.interest, accrued.interest),
        ] {
            column.push(first);
            column.resize(days, 0.0);
        }
        daily.n_trades.push(activity.fills);
        daily.n_trades.resize(days, 0);
        if self.market.is_unadjusted() {
            daily.dividends.push(activity.dividends);
            daily.dividends.resize(days, 0.0);
        }
        if let Some(asked) = self.asked.take() {
            self.counts.filled += 1;
            self.counts.asked += asked;
            self.counts.reached += daily.gross_exposure[days - equity.len()];
        }
        self.equity = self.marks.last();
    }

    /// Decides, at the close of `bar`, what shall trade next.
    pub(crate) fn decide(&mut self, bar: usize) -> Result<(), RunError> {
        let Self { pending, constraints, plan, blotter, counts, .. } = self;
        let view = View { market: self.market, bar, ledger: &self.ledger, equity: self.equity };
        pending.clear();
        if plan.decide(&view, &mut pending.targets)? {
            counts.decisions += 1;
            counts.without_names += usize::from(pending.targets.is_empty());
            self.asked = Some(pending.targets.iter().map(|(_, weight)| weight.abs()).sum());
            constraints.apply(&view, &mut pending.targets);
            plan.constrained(&view, &pending.targets);
            pending.scope = Scope::Everything;
        } else {
            for &(symbol, weight, bars) in &blotter.waiting {
                pending.add(symbol, weight);
                pending.waited.insert(symbol, bars);
            }
        }
        // A decision takes the place of what waited.
        blotter.waiting.clear();
        constraints.stop_losses(&view, |symbol: SymbolId| pending.add(symbol, 0.0));
        Ok(())
    }

    /// Whether the account is worth nothing any more and the run ends there.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// What became of what was asked.
    fn account_of(&self) -> AccountOf {
        let mut account = AccountOf::new(self.counts, self.plan.wants());
        account.days_in_cash = self.holdings.days_without(self.daily.date.len());
        for hit in &self.constraints.hits {
            count(&mut account.hits, hit.constraint);
        }
        account.shorts_dropped_by_allow_short = account.hits.get(SHORTS_DISALLOWED).copied().unwrap_or(0);
        for reason in &self.blotter.rejected.reason {
            count(&mut account.rejected_orders, reason.as_str());
        }
        account.orders_without_bar = self.blotter.without_bar;
        let last = self.market.first_trading_bar() + self.daily.date.len().saturating_sub(1);
        let mut gone: Vec<SymbolId> = self.ledger.held().to_vec();
        gone.retain(|&symbol| self.market.close(last, symbol).is_nan());
        gone.sort_unstable();
        account.holdings_without_bar =
            gone.into_iter().map(|symbol| self.market.name(symbol).to_owned()).collect();
        account.signal_days_without_trading = self.market.signal_days_without_trading();
        account
    }

    /// What was recorded so far. It is taken: what is decided afterwards is in no table, count or figure of it.
    pub(crate) fn take_outcome(&mut self) -> Outcome {
        self.daily.compare_values(self.config.initial_cash);
        let benchmark = self.config.benchmark.as_ref().map(|chosen| benchmark::curve(chosen, self.market));
        let benchmark = benchmark.map(|curve| curve[..self.daily.date.len()].to_vec());
        let account_of = self.account_of();
        let mut warnings = self.config.warnings();
        warnings.extend_from_slice(self.market.warnings());
        warnings.extend(self.plan.warnings());
        for gone in &self.blotter.delisted {
            let name = self.market.name(gone.symbol);
            let price = match gone.delisting_return {
                0.0 => format!("its last price {}", gone.price),
                part => format!("{}, its last price and {part} of it", gone.price),
            };
            let (last_bar, date) = (gone.last_bar, gone.date);
            warnings.push(format!("{name}: delisted; no bar since {last_bar}, closed on {date} at {price}"));
        }
        if self.blotter.without_impact > 0 {
            warnings.push(format!(
                "broker.impact: {} orders moved no price, as there is no volume and no two returns before them",
                self.blotter.without_impact
            ));
        }
        let holding_days = self.ledger.holding_days();
        let compared = (benchmark.as_deref(), self.market);
        let summary = Summary::of(self.config, &self.daily, holding_days, compared, account_of, warnings);
        let (blend, debug) = self.plan.take_records();
        Outcome {
            symbols: self.market.symbols().to_vec(),
            daily: take(&mut self.daily),
            trades: take(&mut self.blotter.trades),
            rejected: take(&mut self.blotter.rejected),
            holdings: take(&mut self.holdings),
            constraint_hits: take(&mut self.constraints.hits),
            delisted: take(&mut self.blotter.delisted),
            borrow_costs: take(&mut self.borrow_costs),
            corporate_actions: self.market.is_unadjusted().then(|| take(&mut self.blotter.actions)),
            benchmark,
            blend,
            debug,
            next_orders: None,
            summary,
        }
    }

    /// Decides at the close of `bar`, the last one, as on any other day, and answers what would trade next. To be called
    /// once the outcome was taken.
    ///
    /// # Errors
    /// If a strategy cannot decide.
    pub(crate) fn next_orders(&mut self, bar: usize) -> Result<NextOrders, RunError> {
        let mut next =
            NextOrders { as_of: self.market.dates()[bar], orders: Vec::new(), targets: Vec::new() };
        if self.ended || self.equity <= 0.0 {
            return Ok(next);
        }
        self.decide(bar)?;
        let (ledger, pending, constraints) = (&self.ledger, &self.pending, &self.constraints);
        let view = View { market: self.market, bar, ledger, equity: self.equity };
        self.broker.foresee(self.market, bar, pending, ledger, |found| {
            let Foreseen { symbol, quantity, price, has_bar, rejected } = found;
            let shares = ledger.shares(symbol);
            let reason = match rejected {
                Some(rule) => OrderReason::Rejected(rule),
                None if constraints.stopped(symbol) => OrderReason::StopLoss,
                None if pending.waited.contains(symbol) => OrderReason::Waiting,
                None if !has_bar => OrderReason::NoBar,
                None if !pending.targets.contains(symbol) => OrderReason::Dropped,
                None => OrderReason::Decision,
            };
            next.orders.push(NextOrder {
                symbol,
                shares_held: shares,
                weight_now: view.weight(symbol),
                weight_target: pending.targets.get_or(symbol, 0.0),
                shares_target: shares + quantity,
                shares_delta: quantity,
                close: price,
                notional: quantity * price,
                reason,
            });
        });
        let mut concerned: Vec<SymbolId> = pending.targets.keys().to_vec();
        concerned.extend(ledger.held().iter().filter(|&&symbol| !pending.targets.contains(symbol)));
        concerned.sort_unstable();
        next.targets.extend(concerned.into_iter().map(|symbol| {
            let weight_now = view.weight(symbol);
            let untouched = if pending.scope == Scope::Everything { 0.0 } else { weight_now };
            TargetWeight { symbol, weight_now, weight_target: pending.targets.get_or(symbol, untouched) }
        }));
        Ok(next)
    }
}

/// A part of a value; 0 when there is no value left to be a part of.
fn over(part: f64, value: f64) -> f64 {
    let ratio = part / value;
    if value > 0.0 { ratio } else { 0.0 }
}

impl Daily {
    fn with_capacity(days: usize) -> Self {
        Self {
            date: Vec::with_capacity(days),
            portfolio_value: Vec::with_capacity(days),
            cash: Vec::with_capacity(days),
            daily_return: Vec::with_capacity(days),
            cumulative_return: Vec::with_capacity(days),
            drawdown: Vec::new(),
            gross_exposure: Vec::with_capacity(days),
            net_exposure: Vec::with_capacity(days),
            turnover: Vec::with_capacity(days),
            commission: Vec::with_capacity(days),
            slippage_cost: Vec::with_capacity(days),
            impact_cost: Vec::with_capacity(days),
            borrow_cost: Vec::with_capacity(days),
            interest: Vec::with_capacity(days),
            dividends: Vec::new(),
            n_trades: Vec::with_capacity(days),
        }
    }

    /// Fills the columns that only compare values: with the day before, with the beginning, with the peak.
    fn compare_values(&mut self, initial_cash: f64) {
        let values = &self.portfolio_value;
        self.daily_return.extend(values.first().map(|_| 0.0));
        self.daily_return.extend(values.windows(2).map(|two| over(two[1] - two[0], two[0])));
        self.cumulative_return.extend(values.iter().map(|value| value / initial_cash - 1.0));
        self.drawdown = drawdown::from_peak(values, initial_cash);
        if let Some(ruin) = values.iter().position(|&value| value <= 0.0) {
            // What is a part, or a change, of nothing?
            for column in
                [&mut self.daily_return, &mut self.gross_exposure, &mut self.net_exposure, &mut self.turnover]
            {
                column[ruin + 1..].fill(f64::NAN);
            }
        }
    }
}

/// Counts one more of a kind.
fn count(counts: &mut BTreeMap<String, usize>, kind: &str) {
    if let Some(known) = counts.get_mut(kind) {
        *known += 1;
    } else {
        counts.insert(kind.to_owned(), 1);
    }
}

impl Holdings {
    /// Of so many days, those at whose close nothing is held.
    fn days_without(&self, days: usize) -> usize {
        let empty = |&snapshot: &usize| {
            let end = self.start.get(snapshot + 1).copied().unwrap_or(self.symbol.len());
            end == self.start[snapshot]
        };
        let until = |snapshot: usize| self.day.get(snapshot + 1).copied().unwrap_or(days);
        let before = self.day.first().copied().unwrap_or(days);
        before
            + (0..self.day.len())
                .filter(empty)
                .map(|snapshot| until(snapshot) - self.day[snapshot])
                .sum::<usize>()
    }

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
