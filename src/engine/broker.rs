//! What an account can get: turns target weights into fills at one price per symbol, with lots, participation,
//! minimums and costs, and says why an order did not trade. It moves towards targets; it does not choose them.

use chrono::NaiveDate;

use super::config::{BrokerConfig, DelistingReturn, RoundingMode, Unfilled};
use super::ledger::{Booking, Ledger};
use super::lookback;
use super::market::{Market, SymbolId};
use super::outcome::{BookedActions, Delisting, RejectReason, RejectedOrders, Trades};
use super::rounding::{DUST, EQUAL};
use super::symbols::SymbolMap;

/// Bars for which an order waits for a bar of its symbol (`broker.unfilled: next_bar`).
const WAITING_BARS: f64 = 5.0;
/// A quantity this close to whole lots is whole: the last bits of a division must not cost a lot.
const LOT_TOLERANCE: f64 = 1e-9;

/// What shall trade at the next fill.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// Weights to move to, as fractions of the equity at the fill.
    pub(crate) targets: SymbolMap,
    /// Which symbols trade.
    pub(crate) scope: Scope,
    /// For how many bars the order of a symbol has waited for one of its own.
    pub(crate) waited: SymbolMap,
}

impl Orders {
    pub(crate) fn new(n_symbols: usize) -> Self {
        Self { targets: SymbolMap::new(n_symbols), scope: Scope::Nothing, waited: SymbolMap::new(n_symbols) }
    }

    /// Forgets all orders.
    pub(crate) fn clear(&mut self) {
        self.targets.clear();
        self.waited.clear();
        self.scope = Scope::Nothing;
    }

    /// Adds an order for one symbol, whatever becomes of the other holdings.
    pub(crate) fn add(&mut self, symbol: SymbolId, weight: f64) {
        self.targets.insert(symbol, weight);
        if self.scope == Scope::Nothing {
            self.scope = Scope::Targets;
        }
    }
}

/// Which symbols trade at the next fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None: there was no decision.
    Nothing,
    /// Those in the targets.
    Targets,
    /// Those in the targets, and every other holding is sold.
    Everything,
}

/// What happened at the fills of one day.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity {
    /// Sum of absolute notionals.
    pub(crate) traded: f64,
    pub(crate) commission: f64,
    pub(crate) slippage: f64,
    pub(crate) impact: f64,
    pub(crate) fills: u32,
    /// Received, less paid on shorts.
    pub(crate) dividends: f64,
}

/// Where fills and rejections are written down.
#[derive(Debug, Default)]
pub(crate) struct Blotter {
    pub(crate) trades: Trades,
    pub(crate) rejected: RejectedOrders,
    pub(crate) delisted: Vec<Delisting>,
    /// Dividends and splits of holdings.
    pub(crate) actions: BookedActions,
    pub(crate) today: Activity,
    /// Orders that found no bar and wait for the next one: symbol, weight, bars waited.
    pub(crate) waiting: Vec<(SymbolId, f64, f64)>,
    /// Orders that found no bar when they first came to be filled.
    pub(crate) without_bar: usize,
    /// Fills whose impact nothing could be estimated by.
    pub(crate) without_impact: usize,
}

/// Moves accounts towards target weights.
#[derive(Debug)]
pub(crate) struct Broker<'c> {
    rules: &'c BrokerConfig,
    lots_bind: bool,
    /// Distance of fill and market price over the market price, but for the order's own impact.
    spread: f64,
    /// Scratch: the symbols of one execution.
    queue: Vec<SymbolId>,
}

/// One order on its way to a fill.
struct Order {
    symbol: SymbolId,
    quantity: f64,
    price: f64,
    volume: Option<f64>,
    /// Whether the whole holding goes.
    closes: bool,
    /// By what the square root of its shares is multiplied for the order's own impact on its price; 0 without any, `None`
    /// where nothing tells.
    impact: Option<f64>,
}

/// An order that no bar has filled yet, sized at the last close.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreseen {
    pub(crate) symbol: SymbolId,
    /// Shares to buy, or to sell if negative; 0 if it is rejected, NaN if there is no price to size it by.
    pub(crate) quantity: f64,
    /// The last known close; NaN if there is none.
    pub(crate) price: f64,
    /// Whether that close is today's.
    pub(crate) has_bar: bool,
    /// Why it would not trade.
    pub(crate) rejected: Option<RejectReason>,
}

/// What of a fill is neither its booking nor its commission.
#[derive(Clone, Copy)]
struct Costs {
    slippage: f64,
    impact: f64,
}

/// An order that found no price.
struct Missed {
    symbol: SymbolId,
    weight: f64,
    /// Equity before the first fill of the day.
    equity: f64,
    /// Bars waited so far.
    waited: f64,
}

impl<'c> Broker<'c> {
    pub(crate) fn new(rules: &'c BrokerConfig, n_symbols: usize) -> Self {
        Self {
            rules,
            lots_bind: !rules.allow_fractional_shares || rules.lot_size != 1.0,
            spread: (rules.spread_bps / 2.0 + rules.slippage_bps) / 10_000.0,
            queue: Vec::with_capacity(n_symbols),
        }
    }

    /// Trades `orders` at `prices` (one cell per symbol, NaN without a bar), symbol by symbol in alphabetical
    /// order. Sizes come from the equity before the first fill. With no equity left nothing trades.
    pub(crate) fn execute(
        &mut self,
        market: &Market,
        bar: usize,
        prices: &[f64],
        orders: &Orders,
        ledger: &mut Ledger,
        blotter: &mut Blotter,
    ) {
        let equity = ledger.equity_at(prices);
        if orders.scope == Scope::Nothing || equity <= 0.0 {
            return;
        }
        self.line_up(orders, ledger);
        let date = market.dates()[bar];
        let volumes = market.volumes(bar);
        for i in 0..self.queue.len() {
            let symbol = self.queue[i];
            let weight = orders.targets.get_or(symbol, 0.0);
            let price = prices[symbol.index()];
            if price.is_nan() || price <= 0.0 {
                let missed = Missed { symbol, weight, equity, waited: orders.waited.get_or(symbol, 0.0) };
                self.miss(market, bar, ledger, blotter, &missed);
                continue;
            }
            let order = Order {
                symbol,
                impact: self.impact(market, bar, symbol),
                quantity: quantity_to(weight, equity, ledger.shares(symbol), price),
                price,
                volume: volumes.map(|volumes| volumes[symbol.index()]),
                closes: weight == 0.0,
            };
            if order.quantity.abs() >= DUST
                && let Some(fill) = self.fill(&order, date, blotter)
            {
                ledger.book(market, bar, fill);
                blotter.trades.cash_after.push(ledger.cash);
            }
        }
    }

    /// The symbols that `orders` trade, in alphabetical order, into `queue`.
    fn line_up(&mut self, orders: &Orders, ledger: &Ledger) {
        self.queue.clear();
        self.queue.extend_from_slice(orders.targets.keys());
        if orders.scope == Scope::Everything {
            self.queue.extend(ledger.held().iter().filter(|&&symbol| !orders.targets.contains(symbol)));
        }
        self.queue.sort_unstable();
    }

    /// What `orders` would trade if the next bar had the prices of the closes of `bar` and volume without limit: sized by
    /// the rules of a fill, symbol by symbol in alphabetical order. Nothing is booked. A symbol without a bar is sized at
    /// its last known close, like an order that finds none; one without any close is of unknown size.
    pub(crate) fn foresee(
        &mut self,
        market: &Market,
        bar: usize,
        orders: &Orders,
        ledger: &Ledger,
        mut each: impl FnMut(Foreseen),
    ) {
        let equity = ledger.equity_at(market.closes(bar));
        if orders.scope == Scope::Nothing || equity <= 0.0 {
            return;
        }
        self.line_up(orders, ledger);
        let (seen, mut unbooked) = (market.seen(bar), Blotter::default());
        for &symbol in &self.queue {
            let last_bar = lookback::bars_back(market, bar, symbol).next();
            let price = last_bar.map_or(f64::NAN, |b| seen.close(b, symbol));
            let has_bar = last_bar == Some(bar) && price > 0.0;
            let weight = orders.targets.get_or(symbol, 0.0);
            let wanted = quantity_to(weight, equity, ledger.shares(symbol), price);
            if wanted.abs() < DUST {
                continue;
            }
            let order = Order {
                symbol,
                // Of the bars before the fill, today's is the last.
                impact: self.impact(market, bar + 1, symbol),
                quantity: wanted,
                price,
                volume: Some(f64::INFINITY),
                closes: weight == 0.0,
            };
            let fill = if price > 0.0 { self.fill(&order, market.dates()[bar], &mut unbooked) } else { None };
            let (quantity, rejected) = match fill {
                Some(fill) => (fill.quantity, None),
                None if price > 0.0 => (0.0, unbooked.rejected.reason.last().copied()),
                None => (f64::NAN, None),
            };
            each(Foreseen { symbol, quantity, price, has_bar, rejected });
        }
    }

    /// Coefficient times daily volatility over the square root of the mean daily volume, all up to the day before: times the
    /// square root of an order's shares it is the part by which the order moves its price (Almgren et al. 2005; Toth et
    /// al. 2011). 0 where nothing is asked for, `None` where there is no history to tell it by.
    fn impact(&self, market: &Market, bar: usize, symbol: SymbolId) -> Option<f64> {
        let Some(model) = &self.rules.impact else { return Some(0.0) };
        let before = bar.checked_sub(1)?;
        let seen = market.seen(bar);
        let volume = |b, symbol| seen.volume(b, symbol);
        let daily = lookback::mean_of_known(market, before, symbol, model.adv_days as usize, volume);
        let daily = daily.filter(|&volume| volume > 0.0)?;
        let volatility =
            lookback::volatility_of_known(market, before, symbol, model.volatility_days as usize)?;
        Some(model.coefficient * volatility / daily.sqrt())
    }

    /// Applies lots, participation and minimums, and writes down the fill or why there is none.
    fn fill(&self, order: &Order, date: NaiveDate, blotter: &mut Blotter) -> Option<Booking> {
        let rules = self.rules;
        let symbol = order.symbol;
        let mut reject = |quantity: f64, reason| blotter.rejected.push(date, symbol, Some(quantity), reason);
        let mut quantity = order.quantity;
        // A holding that goes, goes whole, even if it is not a whole number of lots.
        if self.lots_bind && !order.closes {
            quantity = round_to_lots(quantity, rules.lot_size, rules.rounding_mode);
            if quantity == 0.0 {
                reject(order.quantity, RejectReason::RoundedToZero);
                return None;
            }
        }
        if let Some(rate) = rules.max_participation_rate {
            // An unknown volume is not a volume.
            let mut cap = rate * order.volume.unwrap_or(0.0).max(0.0);
            if quantity.abs() > cap + EQUAL {
                if self.lots_bind {
                    cap = round_to_lots(cap, rules.lot_size, RoundingMode::Floor);
                }
                let filled = cap.copysign(quantity);
                reject(quantity - filled, RejectReason::ParticipationCap);
                if cap == 0.0 {
                    return None;
                }
                quantity = filled;
            }
        }
        let impact = match order.impact {
            Some(factor) if factor > 0.0 => factor * quantity.abs().sqrt(),
            _ => 0.0,
        };
        if impact + self.spread >= 1.0 && quantity < 0.0 {
            reject(quantity, RejectReason::MarketImpact);
            return None;
        }
        let price = order.price * (1.0 + (self.spread + impact) * quantity.signum());
        let notional = quantity * price;
        if quantity.abs() < rules.min_trade_shares - EQUAL {
            reject(quantity, RejectReason::MinTradeShares);
            return None;
        }
        if notional.abs() < rules.min_trade_notional - EQUAL {
            reject(quantity, RejectReason::MinTradeNotional);
            return None;
        }
        let commission = notional.abs() * rules.commission + quantity.abs() * rules.commission_per_share;
        let commission = commission.max(rules.min_commission);
        blotter.without_impact += usize::from(order.impact.is_none());
        let impact = quantity.abs() * order.price * impact;
        let slippage = quantity.abs() * (price - order.price).abs() - impact;
        blotter.record(date, Booking { symbol, quantity, price, commission }, Costs { slippage, impact });
        Some(Booking { symbol, quantity, price, commission })
    }

    /// An order without a price: it waits for the symbol's next bar, or is written down as rejected. Its quantity is
    /// estimated at the last known close.
    fn miss(&self, market: &Market, bar: usize, ledger: &Ledger, blotter: &mut Blotter, missed: &Missed) {
        let symbol = missed.symbol;
        let seen = market.seen(bar);
        let last_price = lookback::bars_back(market, bar, symbol).next().map(|b| seen.close(b, symbol));
        let quantity = last_price.map(|price| missed.weight * missed.equity / price - ledger.shares(symbol));
        if quantity.is_some_and(|quantity| quantity.abs() < DUST) {
            return;
        }
        blotter.without_bar += usize::from(missed.waited == 0.0);
        let comes_another = bar + 1 < market.dates().len();
        let waits = self.rules.unfilled == Unfilled::NextBar && missed.waited < WAITING_BARS;
        if waits {
            // After the last bar too: it is among the orders that the last day leaves.
            blotter.waiting.push((symbol, missed.weight, missed.waited + 1.0));
        }
        if !waits || !comes_another {
            blotter.rejected.push(market.dates()[bar], symbol, quantity, RejectReason::MissingOpenPrice);
        }
    }

    /// What a holding returns on its last price when its symbol is delisted; a loss is never more than all.
    fn delisting_return(&self, market: &Market, bar: usize, symbol: SymbolId) -> f64 {
        match &self.rules.delisting_return {
            None => 0.0,
            Some(DelistingReturn::Same(part)) => *part,
            Some(DelistingReturn::Column(column)) => {
                // That the column is there was seen to when the run began.
                let Ok(field) = market.price_field(column) else { return 0.0 };
                let known = (0..bar + 1).rev().map(|b| market.price(field, b, symbol));
                known.into_iter().find(|part| !part.is_nan()).map_or(0.0, |part| part.max(-1.0))
            }
        }
    }

    /// What an account can hold of so many shares: whole ones alone, where parts of a share do not trade.
    pub(crate) fn holdable(&self, shares: f64) -> f64 {
        match self.rules.allow_fractional_shares {
            true if shares.abs() < DUST => 0.0,
            true => shares,
            false => round_to_lots(shares, 1.0, RoundingMode::TowardZero),
        }
    }

    /// Closes, at their last known price and without costs, positions that had no bar for `max_stale_days`.
    pub(crate) fn close_stale(
        &mut self,
        market: &Market,
        bar: usize,
        ledger: &mut Ledger,
        blotter: &mut Blotter,
    ) {
        let Some(limit) = self.rules.max_stale_days else { return };
        self.queue.clear();
        self.queue.extend(ledger.held().iter().filter(|&&symbol| {
            market.close(bar, symbol).is_nan() && bar - ledger.position(symbol).last_bar >= limit as usize
        }));
        self.queue.sort_unstable();
        let date = market.dates()[bar];
        for &symbol in &self.queue {
            let position = *ledger.position(symbol);
            let shares = position.shares;
            let part = self.delisting_return(market, bar, symbol);
            let price = position.last_price * (1.0 + part);
            let all = Booking { symbol, quantity: -shares, price, commission: 0.0 };
            blotter.settle(market, bar, ledger, all);
            let last_bar = market.dates()[position.last_bar];
            blotter.delisted.push(Delisting {
                date,
                symbol,
                shares,
                price,
                last_bar,
                delisting_return: part,
            });
        }
    }
}

/// Shares that bring a holding of `shares` to `weight` of `equity` at `price`; one without a weight goes whole.
fn quantity_to(weight: f64, equity: f64, shares: f64, price: f64) -> f64 {
    if weight == 0.0 { -shares } else { (weight * equity - shares * price) / price }
}

/// Whole lots, as shares. Within [`LOT_TOLERANCE`] of whole lots a quantity is whole, whichever the mode.
fn round_to_lots(quantity: f64, lot_size: f64, mode: RoundingMode) -> f64 {
    let lots = quantity / lot_size;
    let nearest = lots.round_ties_even();
    let whole = if (lots - nearest).abs() <= LOT_TOLERANCE {
        nearest
    } else {
        match mode {
            RoundingMode::TowardZero => lots.trunc(),
            RoundingMode::Nearest => nearest,
            RoundingMode::Floor => lots.floor(),
            RoundingMode::Ceil => lots.ceil(),
        }
    };
    whole * lot_size
}

impl Blotter {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        let Self { trades: t, rejected: r, delisted, actions, today, waiting, without_bar, without_impact } =
            self;
        for column in [
            &mut t.quantity,
            &mut t.price,
            &mut t.notional,
            &mut t.commission,
            &mut t.slippage_cost,
            &mut t.impact_cost,
            &mut t.cash_after,
        ] {
            column.clear();
        }
        t.execution_date.clear();
        t.symbol.clear();
        r.date.clear();
        r.symbol.clear();
        r.quantity.clear();
        r.reason.clear();
        delisted.clear();
        actions.clear();
        *today = Activity::default();
        waiting.clear();
        (*without_bar, *without_impact) = (0, 0);
    }

    /// Books and writes down what changes hands without an order, and without costs.
    pub(crate) fn settle(&mut self, market: &Market, bar: usize, ledger: &mut Ledger, all: Booking) {
        self.record(market.dates()[bar], all, Costs { slippage: 0.0, impact: 0.0 });
        ledger.book(market, bar, all);
        self.trades.cash_after.push(ledger.cash);
    }

    /// Writes down a fill. The caller books it and then adds the cash that is left.
    fn record(&mut self, date: NaiveDate, fill: Booking, costs: Costs) {
        let notional = fill.quantity * fill.price;
        self.today.traded += notional.abs();
        self.today.commission += fill.commission;
        self.today.slippage += costs.slippage;
        self.today.impact += costs.impact;
        self.today.fills += 1;
        let trades = &mut self.trades;
        trades.execution_date.push(date);
        trades.symbol.push(fill.symbol);
        trades.quantity.push(fill.quantity);
        trades.price.push(fill.price);
        trades.notional.push(notional);
        trades.commission.push(fill.commission);
        trades.slippage_cost.push(costs.slippage);
        trades.impact_cost.push(costs.impact);
    }
}

impl RejectedOrders {
    fn push(&mut self, date: NaiveDate, symbol: SymbolId, quantity: Option<f64>, reason: RejectReason) {
        self.date.push(date);
        self.symbol.push(symbol);
        self.quantity.push(quantity);
        self.reason.push(reason);
    }
}
