//! Dividends and splits of prices that are as they were quoted: which there are, and what the prices of before compare with
//! later ones by. What an account gets of them is booked in `engine::entitlements`.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::calendar::Calendar;
use super::rows::{DataError, PriceRows};
use super::{Market, PriceField};
use crate::engine::closes::Closes;
use crate::engine::config::ImpossiblePrice;
use crate::engine::symbols::SymbolId;
use crate::engine::table::Table;

/// A dividend, a split or both of a symbol. The shares held at the close before are entitled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorporateAction {
    /// The bar of its day, or the next one.
    pub bar: usize,
    /// Whose it is.
    pub symbol: SymbolId,
    /// Cash for each share held before; 0 without a dividend.
    pub dividend: f64,
    /// New shares for each share held before; 1 without a split.
    pub split_factor: f64,
    /// What a price of before is divided by to compare with one from this bar on: `split_factor * p / (p - dividend)`, `p`
    /// being the last close before. It is known at the open.
    pub(crate) factor: f64,
}

impl CorporateAction {
    fn is_any(&self) -> bool {
        self.dividend > 0.0 || self.split_factor != 1.0
    }
}

/// What rows say of one symbol on one day.
struct Said {
    symbol: SymbolId,
    dividend: f64,
    split_factor: f64,
}

/// Dividends and splits of the rows of some symbols, by bar and symbol. Rows without a bar count, too: a symbol that does not
/// trade on the day pays all the same. Of several rows with the same date and symbol the last number of each column counts.
/// On the first bar nothing can be held.
pub(super) fn announced(
    calendar: &Calendar,
    prices: &PriceRows,
    ids: &[Option<SymbolId>],
) -> Vec<CorporateAction> {
    let mut by_day: BTreeMap<i32, Vec<Said>> = BTreeMap::new();
    for chunk in &prices.chunks {
        let (dividends, splits) = (&chunk.columns.dividend, &chunk.columns.split_factor);
        if dividends.is_empty() && splits.is_empty() {
            continue;
        }
        for (day, rows, symbols) in chunk.runs() {
            let mut of_day = by_day.remove(&day).unwrap_or_default();
            for (row, &symbol) in rows.zip(symbols) {
                let of = |column: &[f64]| column.get(row).copied().unwrap_or(f64::NAN);
                let (dividend, split_factor) = (of(dividends), of(splits));
                let Some(symbol) = ids[symbol as usize] else { continue };
                let known = of_day.iter_mut().find(|said| said.symbol == symbol);
                if let Some(said) = known {
                    said.dividend = if dividend.is_nan() { said.dividend } else { dividend };
                    said.split_factor = if split_factor.is_nan() { said.split_factor } else { split_factor };
                } else if dividend > 0.0 || is_split(split_factor) {
                    of_day.push(Said { symbol, dividend, split_factor });
                }
            }
            if !of_day.is_empty() {
                by_day.insert(day, of_day);
            }
        }
    }
    let mut found = Vec::new();
    for (day, said) in by_day {
        let Some(bar) = calendar.bar_from(day).filter(|&bar| bar > 0) else { continue };
        found.extend(said.into_iter().map(|said| CorporateAction {
            bar,
            symbol: said.symbol,
            dividend: if said.dividend > 0.0 { said.dividend } else { 0.0 },
            split_factor: if is_split(said.split_factor) { said.split_factor } else { 1.0 },
            factor: f64::NAN,
        }));
    }
    found.retain(CorporateAction::is_any);
    // By day within a bar, since the sort is stable: what comes later is for each share of then.
    found.sort_by_key(|action| (action.bar, action.symbol));
    found.dedup_by(|later, first| {
        let same = (later.bar, later.symbol) == (first.bar, first.symbol);
        if same {
            first.dividend += first.split_factor * later.dividend;
            first.split_factor *= later.split_factor;
        }
        same
    });
    found
}

/// Whether a number is a split: some tables write 0 where there is none.
fn is_split(split_factor: f64) -> bool {
    split_factor > 0.0 && split_factor != 1.0
}

/// From a bar of a symbol on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    bar: usize,
    /// Product of the factors so far.
    factor: f64,
    /// Product of the splits so far.
    shares: f64,
}

/// What prices compare by, symbol by symbol.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Steps {
    /// Of each symbol, by bar.
    steps: Vec<Step>,
    /// Where the steps of each symbol begin; one more, where those of the last one end.
    first: Vec<usize>,
}

impl Steps {
    /// Of actions in any order, each of which gets its factor; `closes` are those of a symbol, by bar. A dividend that leaves
    /// nothing of the close before is taken away, and told.
    pub(super) fn of<'c>(
        actions: &mut Vec<CorporateAction>,
        symbols: usize,
        closes: impl Fn(SymbolId) -> &'c [f64],
    ) -> (Self, Vec<NothingLeft>) {
        let mut order: Vec<usize> = (0..actions.len()).collect();
        order.sort_by_key(|&at| (actions[at].symbol, actions[at].bar));
        let mut order = order.into_iter().peekable();
        let (mut steps, mut first) = (Vec::with_capacity(actions.len()), Vec::with_capacity(symbols + 1));
        let mut wrong = Vec::new();
        for symbol in (0..symbols).map(SymbolId::of_index) {
            let own = steps.len();
            first.push(own);
            let (mut factor, mut shares) = (1.0, 1.0);
            while let Some(at) = order.next_if(|&at| actions[at].symbol == symbol) {
                let action = &mut actions[at];
                let before = &closes(symbol)[..action.bar];
                // Without a close before it cannot have been held.
                action.factor = action.split_factor;
                if let Some(bar) = before.iter().rposition(|close| *close > 0.0) {
                    let close = before[bar] * (up_to(&steps[own..], bar).0 / factor);
                    let left = close - action.dividend;
                    if left > 0.0 {
                        action.factor *= close / left;
                    } else {
                        wrong.push(NothingLeft { action: *action, close });
                        action.dividend = 0.0;
                    }
                }
                factor *= action.factor;
                shares *= action.split_factor;
                steps.push(Step { bar: action.bar, factor, shares });
            }
        }
        first.push(steps.len());
        actions.retain(CorporateAction::is_any);
        (Self { steps, first }, wrong)
    }

    fn of_symbol(&self, symbol: SymbolId) -> &[Step] {
        &self.steps[self.first[symbol.index()]..self.first[symbol.index() + 1]]
    }

    /// Multiplies a price of a symbol on each bar, so that all of them compare; those before the first step stay as they are.
    pub(super) fn adjust(&self, symbol: SymbolId, bars: usize, mut multiply: impl FnMut(usize, f64)) {
        let steps = self.of_symbol(symbol);
        for (at, step) in steps.iter().enumerate() {
            let end = steps.get(at + 1).map_or(bars, |next| next.bar);
            (step.bar..end).for_each(|bar| multiply(bar, step.factor));
        }
    }

    /// A table of prices so adjusted.
    fn adjusted(&self, prices: &Table) -> Table {
        let (mut adjusted, bars, width) = (prices.clone(), prices.rows(), prices.width);
        for index in 0..width {
            self.adjust(SymbolId::of_index(index), bars, |bar, factor| {
                adjusted.cells[bar * width + index] *= factor;
            });
        }
        adjusted
    }
}

/// Products of factors and of splits up to a bar.
fn up_to(steps: &[Step], bar: usize) -> (f64, f64) {
    let count = steps.partition_point(|step| step.bar <= bar);
    count.checked_sub(1).map_or((1.0, 1.0), |last| (steps[last].factor, steps[last].shares))
}

/// A dividend that leaves nothing of the close before.
pub(super) struct NothingLeft {
    action: CorporateAction,
    close: f64,
}

/// Whose actions these are, and when.
pub(super) struct Told<'a> {
    pub(super) symbols: &'a [String],
    pub(super) dates: &'a [NaiveDate],
}

impl Told<'_> {
    fn symbol(&self, action: &CorporateAction) -> &str {
        &self.symbols[action.symbol.index()]
    }

    fn date(&self, action: &CorporateAction) -> NaiveDate {
        self.dates[action.bar]
    }

    /// Refuses dividends that leave nothing; if they are to be left out it is what is to be said of them.
    pub(super) fn left_out(
        &self,
        wrong: &[NothingLeft],
        on_impossible: ImpossiblePrice,
    ) -> Result<Option<String>, DataError> {
        let Some(NothingLeft { action, close }) = wrong.first() else { return Ok(None) };
        let (symbol, date, dividend) = (self.symbol(action), self.date(action), action.dividend);
        if on_impossible == ImpossiblePrice::Skip {
            return Ok(Some(format!(
                "{} dividends leave nothing of the close before ({symbol} on {date}: {dividend} of {close}); they are left out",
                wrong.len()
            )));
        }
        let (dividend, close) = (dividend.to_string(), close.to_string());
        Err(DataError::Dividend { symbol: symbol.to_owned(), date, dividend, close })
    }

    /// Refuses splits that closes do not show, as if they were adjusted for them already, where these are more than half and it
    /// is not said what the prices are; elsewhere it is what is to be said of them. `closes` are those of a symbol, by bar.
    pub(super) fn unshown<'c>(
        &self,
        actions: &[CorporateAction],
        closes: impl Fn(SymbolId) -> &'c [f64],
        is_said: bool,
    ) -> Result<Option<String>, DataError> {
        let (mut count, mut of, mut example) = (0, 0, String::new());
        for action in actions {
            let (split, closes) = (action.split_factor, closes(action.symbol));
            if split < LARGE && split > 1.0 / LARGE {
                continue;
            }
            let before = closes[..action.bar].iter().rev().find(|close| **close > 0.0);
            let (Some(before), close) = (before, closes[action.bar]) else { continue };
            if close.is_nan() {
                continue;
            }
            of += 1;
            let moved = (close / before).ln();
            if (moved + split.ln()).abs() > moved.abs() {
                count += 1;
                if example.is_empty() {
                    let (symbol, date) = (self.symbol(action), self.date(action));
                    example =
                        format!("{symbol} on {date}: split_factor {split}, close {close} after {before}");
                }
            }
        }
        match count {
            0 => Ok(None),
            _ if 2 * count > of && !is_said => Err(DataError::AdjustedAlready { count, of, example }),
            _ => Ok(Some(format!(
                "{count} of {of} splits do not show in the closes ({example}); they are booked all the same"
            ))),
        }
    }
}

/// Splits from which on a close tells whether it shows them.
const LARGE: f64 = 1.5;

/// The dividends and splits of a market.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CorporateActions {
    /// By bar, then by symbol.
    actions: Vec<CorporateAction>,
    steps: Steps,
    closes: Closes,
    opens: Table,
}

impl CorporateActions {
    /// Of actions by bar and symbol; as [`Steps::of`].
    pub(super) fn of(
        mut actions: Vec<CorporateAction>,
        closes: &Closes,
        opens: &Table,
    ) -> (Self, Vec<NothingLeft>) {
        let bars = closes.bars();
        let (steps, wrong) = Steps::of(&mut actions, closes.symbols(), |symbol| closes.of(symbol, 0..bars));
        let adjusted = Closes::new(steps.adjusted(closes.by_bar()));
        (Self { actions, closes: adjusted, opens: steps.adjusted(opens), steps }, wrong)
    }

    /// Closing prices that compare: see [`Market::adjusted_closes`].
    pub(super) fn closes(&self) -> &Closes {
        &self.closes
    }

    /// Opening and closing prices that compare, without the rest.
    pub(super) fn into_prices(self) -> (Table, Closes) {
        (self.opens, self.closes)
    }

    /// All of them, by bar and symbol.
    pub(super) fn all(&self) -> &[CorporateAction] {
        &self.actions
    }

    /// Those of a bar, by symbol.
    pub(crate) fn on(&self, bar: usize) -> &[CorporateAction] {
        let from = self.actions.partition_point(|action| action.bar < bar);
        let count = self.actions[from..].iter().take_while(|action| action.bar == bar).count();
        &self.actions[from..from + count]
    }

    /// The first bar after `bar` and up to `last` with one of a symbol that `concerns` picks.
    pub(crate) fn next_between(
        &self,
        bar: usize,
        last: usize,
        concerns: impl Fn(SymbolId) -> bool,
    ) -> Option<usize> {
        let from = self.actions.partition_point(|action| action.bar <= bar);
        let mut between = self.actions[from..].iter().take_while(|action| action.bar <= last);
        between.find(|action| concerns(action.symbol)).map(|action| action.bar)
    }
}

/// Prices as they look on a bar: those of before are adjusted for the dividends and splits up to it, and for none that come
/// later. Prices of the bar itself are as they were quoted.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    market: &'a Market,
    today: usize,
}

impl Seen<'_> {
    /// What prices and volumes of a bar are multiplied by.
    fn scales(&self, bar: usize, symbol: SymbolId) -> Option<(f64, f64)> {
        let actions = self.market.actions.as_ref().filter(|_| bar != self.today)?;
        let steps = actions.steps.of_symbol(symbol);
        let ((factor, shares), today) = (up_to(steps, bar), up_to(steps, self.today));
        Some((factor / today.0, today.1 / shares))
    }

    /// Closing price; NaN without a bar.
    pub(crate) fn close(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.price(PriceField::Close, bar, symbol)
    }

    /// Shares traded, as so many shares of today; NaN where unknown.
    pub(crate) fn volume(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.price(PriceField::Volume, bar, symbol)
    }

    /// A number of a bar; NaN without one. Columns that only the config knows are taken as they stand.
    pub(crate) fn price(&self, field: PriceField, bar: usize, symbol: SymbolId) -> f64 {
        let quoted = self.market.price(field, bar, symbol);
        let Some((prices, volumes)) = self.scales(bar, symbol) else { return quoted };
        match field {
            PriceField::Open | PriceField::High | PriceField::Low | PriceField::Close => quoted * prices,
            PriceField::Volume => quoted * volumes,
            PriceField::Other(_) => quoted,
        }
    }
}

impl Market {
    /// Whether the prices are as they were quoted, so that dividends and splits are booked.
    pub(crate) fn is_unadjusted(&self) -> bool {
        self.actions.is_some()
    }

    /// The dividends and splits, where the prices are not adjusted for them.
    pub(crate) fn corporate_actions(&self) -> Option<&CorporateActions> {
        self.actions.as_ref()
    }

    /// Prices as they look on a bar.
    pub(crate) fn seen(&self, today: usize) -> Seen<'_> {
        Seen { market: self, today }
    }

    /// By what a price of a symbol on a bar is multiplied to compare with one of a later bar.
    pub(crate) fn restated(&self, symbol: SymbolId, bar: usize, later: usize) -> f64 {
        self.seen(later).scales(bar, symbol).map_or(1.0, |(prices, _)| prices)
    }

    /// Closing prices, each adjusted for the dividends and splits up to its bar: of one symbol they compare with each other,
    /// and say nothing of what comes later. Their level is that of the first bar.
    pub fn adjusted_closes(&self) -> &Closes {
        self.actions.as_ref().map_or(&self.closes, |actions| &actions.closes)
    }

    /// Opening prices of a bar that compare with [`Self::adjusted_closes`], one cell per symbol.
    pub fn adjusted_opens(&self, bar: usize) -> &[f64] {
        self.actions.as_ref().map_or_else(|| self.opens(bar), |actions| actions.opens.row(bar))
    }
}
