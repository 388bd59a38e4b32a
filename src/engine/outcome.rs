//! What a run leaves behind: columns by day, by trade, by rejected order, and the holdings. Plain data in
//! memory, shaped so that each table can be written as it stands; no formats and no files here.

use chrono::NaiveDate;
use serde::Serialize;

use super::market::{Market, SymbolId};
use super::metrics::Summary;

/// Everything a finished run knows. Symbols are ids into `symbols`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Symbol names, indexed by [`SymbolId`].
    pub symbols: Vec<String>,
    /// One row per trading day.
    pub daily: Daily,
    /// One row per fill, in the order of execution.
    pub trades: Trades,
    /// Orders, or the unfilled part of orders, that did not trade.
    pub rejected: RejectedOrders,
    /// End-of-day holdings; see [`Outcome::position_table`] for them as rows.
    pub holdings: Holdings,
    /// What the constraints changed, in the order in which it happened.
    pub constraint_hits: Vec<ConstraintHit>,
    /// Positions closed because their symbol stopped trading (`broker.max_stale_days`).
    pub delisted: Vec<Delisting>,
    /// Value of one unit of cash held in the benchmark, by day, starting at 1 on its first bar; NaN before. `None`
    /// without a benchmark.
    pub benchmark: Option<Vec<f64>>,
    /// Leg and blended weights of each decision. `None` unless the strategy is a composite.
    pub blend: Option<BlendWeights>,
    /// Intermediate tables of a configured strategy. `None` unless `debug` asks for them.
    pub debug: Option<DebugTable>,
    /// Fees for borrowed shares, by symbol; empty where holding costs and earns nothing.
    pub borrow_costs: Vec<f64>,
    /// What the close of the last day decided. `None` unless `output.save_orders` asks for it.
    pub next_orders: Option<NextOrders>,
    /// Dividends and splits of what was held. `None` unless the prices are as they were quoted.
    pub corporate_actions: Option<BookedActions>,
    /// The figures of the whole run.
    pub summary: Summary,
}

/// One row per trading day. Money in the account's currency, ratios as fractions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Daily {
    /// The trading day.
    pub date: Vec<NaiveDate>,
    /// Cash plus the value of all positions at the close.
    pub portfolio_value: Vec<f64>,
    /// Cash after the day's fills; can be slightly negative by the costs.
    pub cash: Vec<f64>,
    /// Value against the day before; 0 on the first day, NaN after ruin.
    pub daily_return: Vec<f64>,
    /// Value against the initial cash.
    pub cumulative_return: Vec<f64>,
    /// Value against the highest value so far, initial cash included; never positive.
    pub drawdown: Vec<f64>,
    /// Long plus absolute short value, over the portfolio value; NaN after ruin.
    pub gross_exposure: Vec<f64>,
    /// Long plus (negative) short value, over the portfolio value; NaN after ruin.
    pub net_exposure: Vec<f64>,
    /// Sum of the absolute notional of the day's fills over the day before's value; NaN after ruin.
    pub turnover: Vec<f64>,
    /// Commission paid on the day.
    pub commission: Vec<f64>,
    /// Cost of spread and slippage on the day: quantity times the distance of fill and market price, less the impact.
    pub slippage_cost: Vec<f64>,
    /// Cost of the orders' own impact on their prices on the day.
    pub impact_cost: Vec<f64>,
    /// Fee for borrowed shares since the close before.
    pub borrow_cost: Vec<f64>,
    /// Interest earned on cash, less that paid on debt, since the close before.
    pub interest: Vec<f64>,
    /// Dividends of longs, less those paid on shorts. Empty unless the prices are as they were quoted.
    pub dividends: Vec<f64>,
    /// Number of fills on the day.
    pub n_trades: Vec<u32>,
}

/// One row per fill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trades {
    /// Day of the fill.
    pub execution_date: Vec<NaiveDate>,
    /// What was traded.
    pub symbol: Vec<SymbolId>,
    /// Shares bought (positive) or sold (negative).
    pub quantity: Vec<f64>,
    /// Fill price, spread, slippage and impact included.
    pub price: Vec<f64>,
    /// Signed quantity times price.
    pub notional: Vec<f64>,
    /// Commission of the fill.
    pub commission: Vec<f64>,
    /// Absolute quantity times the distance of fill and market price, less the impact.
    pub slippage_cost: Vec<f64>,
    /// Absolute quantity times what the order itself moved the price by.
    pub impact_cost: Vec<f64>,
    /// Cash once the fill and its commission are booked.
    pub cash_after: Vec<f64>,
}

/// Why an order, or a part of it, did not trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// No bar, or no positive price, at the fill.
    MissingOpenPrice,
    /// Less than one lot.
    RoundedToZero,
    /// More than `max_participation_rate` of the bar's volume; the row holds the unfilled part.
    ParticipationCap,
    /// Fewer shares than `min_trade_shares`.
    MinTradeShares,
    /// Less money than `min_trade_notional`.
    MinTradeNotional,
    /// A sale so large that its own impact would leave no price.
    MarketImpact,
}

impl RejectReason {
    /// The reason as it is written to files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingOpenPrice => "missing_open_price",
            Self::RoundedToZero => "rounded_to_zero",
            Self::ParticipationCap => "participation_cap",
            Self::MinTradeShares => "min_trade_shares",
            Self::MinTradeNotional => "min_trade_notional",
            Self::MarketImpact => "market_impact",
        }
    }
}

/// One row per order, or unfilled part of an order, that did not trade.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RejectedOrders {
    /// Day on which the order would have filled.
    pub date: Vec<NaiveDate>,
    /// What would have been traded.
    pub symbol: Vec<SymbolId>,
    /// Shares that did not trade, signed; without a bar, estimated at the last known close. `None` if the
    /// symbol never had a price.
    pub quantity: Vec<Option<f64>>,
    /// Why not.
    pub reason: Vec<RejectReason>,
}

/// What the close of the last day decided, which no day of the run carried out: no other table, count or figure of the run
/// knows of it. Both lists are in alphabetical order, and empty for an account that is worth nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct NextOrders {
    /// The last day.
    pub as_of: NaiveDate,
    /// What would trade at the next fill, with what would not and why. Empty without a decision.
    pub orders: Vec<NextOrder>,
    /// Every symbol that is held or shall be: all of what would then be held.
    pub targets: Vec<TargetWeight>,
}

/// One order for the next fill, sized at the last close by the rules of a fill. Prices of the fill, its volume and costs are not
/// known yet, so that neither `max_participation_rate` nor slippage is in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NextOrder {
    /// What shall be traded.
    pub symbol: SymbolId,
    /// Shares held; negative if short.
    pub shares_held: f64,
    /// Value held over the portfolio value.
    pub weight_now: f64,
    /// Fraction of the portfolio value to hold, after the constraints.
    pub weight_target: f64,
    /// Shares held once the order is filled. NaN if the symbol never had a close.
    pub shares_target: f64,
    /// Shares to buy, or to sell if negative; 0 where a rule of the broker stops the order. NaN as above.
    pub shares_delta: f64,
    /// Close of the day, or the last known close if the symbol has no bar. NaN as above.
    pub close: f64,
    /// Signed shares times close. NaN as above.
    pub notional: f64,
    /// Why there is this order, or why it would not trade.
    pub reason: OrderReason,
}

/// What the account shall hold of a symbol after the next fill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetWeight {
    /// What is or shall be held.
    pub symbol: SymbolId,
    /// Value held over the portfolio value.
    pub weight_now: f64,
    /// Fraction of the portfolio value to hold; what no order touches stays as it is now.
    pub weight_target: f64,
}

/// Why there is an order for the next fill, or why it would not trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderReason {
    /// The strategy decided so.
    Decision,
    /// The strategy decided, and the holding is not in its decision.
    Dropped,
    /// The holding has lost as much as `constraints.stop_loss` allows.
    StopLoss,
    /// It found no bar on an earlier day and still waits (`broker.unfilled: next_bar`).
    Waiting,
    /// Decided for a symbol that has no bar on the day, and trades only if it has one again.
    NoBar,
    /// The rules of the broker stop it.
    Rejected(RejectReason),
}

impl OrderReason {
    /// The reason as it is written to files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Dropped => "dropped",
            Self::StopLoss => "stop_loss",
            Self::Waiting => "waiting",
            Self::NoBar => "no_bar",
            Self::Rejected(reason) => reason.as_str(),
        }
    }
}

/// One row per dividend or split of a holding, in the order of days and symbols.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BookedActions {
    /// Day on which it was booked, before anything traded.
    pub date: Vec<NaiveDate>,
    /// What was held.
    pub symbol: Vec<SymbolId>,
    /// Cash a share; 0 without a dividend.
    pub dividend: Vec<f64>,
    /// New shares for an old one; 1 without a split.
    pub split_factor: Vec<f64>,
    /// Shares at the close before, which were entitled; negative if short.
    pub shares_before: Vec<f64>,
    /// Shares once it was booked.
    pub shares_after: Vec<f64>,
    /// Dividends received; negative if paid on a short.
    pub cash: Vec<f64>,
    /// Received for fractions of a share where shares are whole; these are among the trades, too.
    pub cash_in_lieu: Vec<f64>,
}

impl BookedActions {
    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.date.clear();
        self.symbol.clear();
        for column in [
            &mut self.dividend,
            &mut self.split_factor,
            &mut self.shares_before,
            &mut self.shares_after,
            &mut self.cash,
            &mut self.cash_in_lieu,
        ] {
            column.clear();
        }
    }

    /// The rows from `next` on that were booked by a day, all of them without one; `next` moves behind them.
    pub(crate) fn until(&self, date: Option<NaiveDate>, next: &mut usize) -> std::ops::Range<usize> {
        let first = *next;
        let rest = &self.date[first..];
        *next += date.map_or(rest.len(), |date| rest.partition_point(|booked| *booked <= date));
        first..*next
    }
}

/// End-of-day holdings. Shares change only when something trades or splits, so that one snapshot stands for every
/// day until the next one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holdings {
    /// Index into [`Daily`] of the first day of each snapshot; ascending.
    pub day: Vec<usize>,
    /// Where each snapshot starts in `symbol` and `shares`; it ends where the next one starts.
    pub start: Vec<usize>,
    /// Held symbols of all snapshots, in the order in which they were bought.
    pub symbol: Vec<SymbolId>,
    /// Shares, parallel to `symbol`; negative if short.
    pub shares: Vec<f64>,
}

/// End-of-day holdings as rows; see [`Outcome::position_table`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PositionTable {
    /// The trading day.
    pub date: Vec<NaiveDate>,
    /// What is held.
    pub symbol: Vec<SymbolId>,
    /// Shares; negative if short.
    pub shares: Vec<f64>,
    /// Close of the day, or the last known close if the symbol has no bar.
    pub close: Vec<f64>,
    /// Shares times close.
    pub position_value: Vec<f64>,
    /// Position value over the portfolio value.
    pub weight: Vec<f64>,
    /// Whether the symbol has no bar on that day.
    pub stale: Vec<bool>,
}

/// One position at the close of one day; see [`Outcome::each_position`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Index into [`Daily`].
    pub day: usize,
    /// What is held.
    pub symbol: SymbolId,
    /// Shares; negative if short.
    pub shares: f64,
    /// Close of the day, or the last known close if the symbol has no bar, less dividends and splits since.
    pub close: f64,
    /// Shares times close.
    pub value: f64,
    /// Value over the portfolio value.
    pub weight: f64,
    /// Whether the symbol has no bar on that day.
    pub stale: bool,
}

/// One change that a constraint made to the weights that a sizer asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConstraintHit {
    /// Day of the decision.
    pub as_of: NaiveDate,
    /// Name of the constraint, `position_cap` for example.
    pub constraint: &'static str,
    /// The symbol concerned. `None` if the whole portfolio is.
    pub symbol: Option<SymbolId>,
    /// Weight, or total, asked for. `None` where there is no single number.
    pub before: Option<f64>,
    /// Weight, or total, allowed. `None` where there is no single number.
    pub after: Option<f64>,
    /// The numbers behind it, `cap` for example.
    pub details: Details,
}

/// Up to three named numbers, in place: a hit may be recorded on every bar.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Details {
    numbers: [(&'static str, f64); 3],
    len: usize,
}

impl From<&[(&'static str, f64)]> for Details {
    /// Keeps the first three.
    fn from(given: &[(&'static str, f64)]) -> Self {
        let mut numbers = [("", 0.0); 3];
        let len = given.len().min(numbers.len());
        numbers[..len].copy_from_slice(&given[..len]);
        Self { numbers, len }
    }
}

impl std::ops::Deref for Details {
    type Target = [(&'static str, f64)];

    fn deref(&self) -> &Self::Target {
        &self.numbers[..self.len]
    }
}

impl Serialize for Details {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().copied())
    }
}

/// A position closed at its last price because its symbol stopped trading.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delisting {
    /// Day on which the position was closed.
    pub date: NaiveDate,
    /// Position of the symbol in the market.
    pub symbol: SymbolId,
    /// Shares closed; negative if the position was short.
    pub shares: f64,
    /// What it was closed at: the last known close and the delisting return.
    pub price: f64,
    /// Of the last known close (`broker.delisting_return`).
    pub delisting_return: f64,
    /// Day of the last bar.
    pub last_bar: NaiveDate,
}

/// A step of the blend of a composite strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlendStage {
    /// Weights of the leg with this index in [`BlendWeights::legs`], after leg normalisation.
    Leg(usize),
    /// Sum of the legs, after final normalisation.
    Pre,
    /// The same after the constraints.
    Post,
}

/// Weights of a composite strategy, one row per decision, stage and symbol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlendWeights {
    /// Names of the enabled legs.
    pub legs: Vec<String>,
    /// Day of the decision.
    pub date: Vec<NaiveDate>,
    /// Which step.
    pub stage: Vec<BlendStage>,
    /// Position of the symbol in the market.
    pub symbol: Vec<SymbolId>,
    /// Fraction of equity.
    pub weight: Vec<f64>,
}

/// What a row of [`DebugTable`] tells about its symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugKind {
    /// Eligible; no value.
    Universe,
    /// Score before selection.
    RawScores,
    /// Selected, with its score.
    Selected,
    /// Kept or selected once holding policy and exits have spoken, with its score.
    Held,
    /// An exit rule fired; the value is the new scale, or none for a full exit; the text names the rule.
    Exits,
    /// Position scale below 1.
    Scales,
    /// Score as emitted.
    Scores,
}

impl DebugKind {
    /// All kinds, in the order of the pipeline.
    pub const ALL: [Self; 7] = [
        Self::Universe,
        Self::RawScores,
        Self::Selected,
        Self::Held,
        Self::Exits,
        Self::Scales,
        Self::Scores,
    ];

    /// The kind as it is written to files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Universe => "universe",
            Self::RawScores => "raw_scores",
            Self::Selected => "selected",
            Self::Held => "held",
            Self::Exits => "exits",
            Self::Scales => "scales",
            Self::Scores => "scores",
        }
    }
}

/// Intermediate values of a configured strategy on the days of its decisions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DebugTable {
    /// Day of the decision.
    pub date: Vec<NaiveDate>,
    /// What the row tells.
    pub kind: Vec<DebugKind>,
    /// Position of the symbol in the market.
    pub symbol: Vec<SymbolId>,
    /// The value; `None` where the kind has none.
    pub value: Vec<Option<f64>>,
    /// The exit rule for [`DebugKind::Exits`], otherwise empty.
    pub text: Vec<String>,
    /// Index into [`BlendWeights::legs`]. `None` unless the strategy is a composite.
    pub leg: Vec<Option<usize>>,
}

impl DebugTable {
    pub(crate) fn push(
        &mut self,
        date: NaiveDate,
        kind: DebugKind,
        symbol: SymbolId,
        value: Option<f64>,
        text: String,
    ) {
        self.date.push(date);
        self.kind.push(kind);
        self.symbol.push(symbol);
        self.value.push(value);
        self.text.push(text);
        self.leg.push(None);
    }

    pub(crate) fn append(&mut self, mut more: Self) {
        self.date.append(&mut more.date);
        self.kind.append(&mut more.kind);
        self.symbol.append(&mut more.symbol);
        self.value.append(&mut more.value);
        self.text.append(&mut more.text);
        self.leg.append(&mut more.leg);
    }
}

impl Outcome {
    /// The name of a symbol of this run.
    pub fn name(&self, symbol: SymbolId) -> &str {
        &self.symbols[symbol.index()]
    }

    /// End-of-day holdings as rows, by day and then in the order in which they were bought. `market` is the
    /// one of the run: closes are read there instead of being kept twice.
    pub fn position_table(&self, market: &Market) -> PositionTable {
        let mut table = PositionTable::default();
        self.each_position(market, |held| {
            table.date.push(self.daily.date[held.day]);
            table.symbol.push(held.symbol);
            table.shares.push(held.shares);
            table.close.push(held.close);
            table.position_value.push(held.value);
            table.weight.push(held.weight);
            table.stale.push(held.stale);
        });
        table
    }

    /// The rows of [`Outcome::position_table`], one after the other, without the table.
    pub fn each_position(&self, market: &Market, mut visit: impl FnMut(&Position)) {
        let held = &self.holdings;
        let mut last_close = vec![(f64::NAN, market.first_trading_bar()); self.symbols.len()];
        for snapshot in 0..held.day.len() {
            let first_day = held.day[snapshot];
            let end_day = held.day.get(snapshot + 1).copied().unwrap_or(self.daily.date.len());
            let from = held.start[snapshot];
            let to = held.start.get(snapshot + 1).copied().unwrap_or(held.symbol.len());
            for day in first_day..end_day {
                let bar = market.first_trading_bar() + day;
                for row in from..to {
                    let (symbol, shares) = (held.symbol[row], held.shares[row]);
                    let close = market.close(bar, symbol);
                    let stale = close.is_nan();
                    if !stale {
                        last_close[symbol.index()] = (close, bar);
                    }
                    let (close, of) = last_close[symbol.index()];
                    let close = close * market.restated(symbol, of, bar);
                    let value = shares * close;
                    let weight = value / self.daily.portfolio_value[day];
                    visit(&Position { day, symbol, shares, close, value, weight, stale });
                }
            }
        }
    }
}
