//! How targets become fills, and what fills cost.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::cash_rate::{CashRate, DelistingReturn, cash_rate, delisting_return};
use super::needs::Needs;
use super::options::{Bounds, Kind, Scalar as _, Section as _, count, flag, number, options, word, words};
use super::price_column::{PriceColumn, price_column};
use super::reader::Fields;
use super::schema::{ObjectSchema, nullable};

words! {
    /// The price at which a decision is executed.
    FillPolicy {
        /// The open of the next bar.
        NextOpen = "next_open",
        /// The close of the next bar.
        NextClose = "next_close",
    }
}

words! {
    /// How a quantity becomes whole lots.
    RoundingMode {
        /// Fewer shares, whichever side.
        TowardZero = "toward_zero",
        /// The nearest lot, half to even.
        Nearest = "nearest",
        /// Down, so that sales grow.
        Floor = "floor",
        /// Up, so that purchases grow.
        Ceil = "ceil",
    }
}

words! {
    /// What happens to an order of a symbol without a price at the fill.
    MissingPrice {
        /// It is dropped, and listed among the rejected orders.
        Skip = "skip",
        /// The same.
        Reject = "reject",
    }
}

words! {
    /// What becomes of an order that finds no bar at its fill.
    Unfilled {
        /// It is dropped, and listed among the rejected orders.
        Drop = "drop",
        /// It waits for the symbol's next bar, for five bars at most.
        NextBar = "next_bar",
    }
}

words! {
    /// What happens when the account is worth nothing any more.
    OnRuin {
        /// The run ends on that day.
        Stop = "stop",
        /// It goes on, with figures that stop there.
        Continue = "continue",
    }
}

/// Days of a year of interest and fees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayCount {
    /// 360, as money markets count.
    Days360,
    /// 365.
    Days365,
}

options! {
    /// How far an order moves its own price: coefficient x daily volatility x square root of its share of the daily volume.
    ImpactConfig {
        /// What the product is multiplied by.
        coefficient: f64 = number(Bounds::at_least(0.0)).or(1.0),
        /// Returns that the volatility is of, up to the day before the fill.
        volatility_days: u32 = count(2).or(20_u32),
        /// Volumes that the mean is of, up to the day before the fill.
        adv_days: u32 = count(1).or(20_u32),
    }
}

options! {
    /// How targets become fills, and what fills cost.
    BrokerConfig {
        /// Distance of fill and market price, in basis points.
        slippage_bps: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Distance of bid and ask in basis points; a fill pays half of it.
        spread_bps: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Commission as a rate on the notional.
        commission: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Commission in money for each share, added to the rate.
        commission_per_share: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Least commission of a fill, in money.
        min_commission: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// How far an order moves its own price. `None`: not at all.
        impact: Option<ImpactConfig> = Impact,
        /// Annual fee for borrowed shares, as a fraction of their value.
        borrow_rate: f64 = number(Bounds::between(0.0, 10.0)).or(0.0),
        /// Column of the price table with that fee by symbol and day. `None`, or where it says nothing yet: `borrow_rate`.
        borrow_rate_column: Option<PriceColumn> = price_column().off(),
        /// Annual rate on negative cash: a number, or `risk_free + 0.01`.
        debit_rate: CashRate = cash_rate().or(CashRate::NONE),
        /// Annual rate on positive cash.
        credit_rate: CashRate = cash_rate().or(CashRate::NONE),
        /// Days of a year of these rates.
        day_count: DayCount = DayCounts,
        /// The price at which a decision is executed.
        fill_policy: FillPolicy = word().or(FillPolicy::NextOpen),
        /// Whether parts of a share trade.
        allow_fractional_shares: bool = flag().or(true),
        /// Shares per lot; other than 1 makes lots bind even with fractional shares.
        lot_size: f64 = number(Bounds::POSITIVE).or(1.0),
        /// How a quantity becomes whole lots.
        rounding_mode: RoundingMode = word().or(RoundingMode::TowardZero),
        /// Smaller fills are rejected; in money.
        min_trade_notional: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Smaller fills are rejected; in shares.
        min_trade_shares: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// What happens without a price at the fill: both words mean the same.
        on_missing_price: MissingPrice = word().or(MissingPrice::Skip),
        /// What becomes of an order that finds no bar at its fill.
        unfilled: Unfilled = word().or(Unfilled::Drop),
        /// What happens when the account is worth nothing any more.
        on_ruin: OnRuin = word().or(OnRuin::Stop),
        /// Largest share of a bar's volume in one fill. `None`: any.
        max_participation_rate: Option<f64> = number(Bounds::SHARE).off(),
        /// Bars without a price after which a holding is closed at its last price. `None`: never.
        max_stale_days: Option<u32> = count(1).off(),
        /// What a holding that is closed so returns on its last price: a fraction, or a column of the price table.
        delisting_return: Option<DelistingReturn> = delisting_return().off(),
    }
}

impl DayCount {
    /// As a number.
    pub fn days(self) -> f64 {
        match self {
            Self::Days360 => 360.0,
            Self::Days365 => 365.0,
        }
    }
}

impl Serialize for DayCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.days() as u32)
    }
}

/// A day count, as the number that it is.
struct DayCounts;

impl Kind for DayCounts {
    type Value = DayCount;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> DayCount {
        match count(0).off().read(f, key) {
            None | Some(360) => DayCount::Days360,
            Some(365) => DayCount::Days365,
            Some(other) => {
                f.fault(key, format!("must be 360 or 365, got {other}"));
                DayCount::Days360
            }
        }
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        object.property(key, doc, json!({ "enum": [360, 365, null], "default": 360 }));
    }
}

/// The section; left out it is off, and any of its options left out take their defaults.
struct Impact;

impl Kind for Impact {
    type Value = Option<ImpactConfig>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Option<ImpactConfig> {
        f.value(key)?;
        Some(ImpactConfig::read(&f.section(key)))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let mut schema = nullable(object.definitions.section::<ImpactConfig>());
        schema["default"] = Value::Null;
        object.property(key, doc, schema);
    }
}

impl BrokerConfig {
    pub(super) fn needs(&self, needs: &mut Needs) {
        needs.prices.volume |= self.max_participation_rate.is_some() || self.impact.is_some();
        if let Some(impact) = &self.impact {
            needs.bars((impact.volatility_days as usize).max(impact.adv_days as usize - 1));
        }
        if let Some(column) = &self.borrow_rate_column {
            column.needs(needs);
        }
        if let Some(DelistingReturn::Column(column)) = &self.delisting_return {
            column.needs(needs);
        }
    }

    pub(super) fn without_effect(&self, found: &mut Vec<String>) {
        let lots = !self.allow_fractional_shares || self.lot_size != 1.0;
        if !lots && self.rounding_mode != RoundingMode::TowardZero {
            found.push("broker.rounding_mode has no effect while fractions of a share trade".to_owned());
        }
        if self.delisting_return.is_some() && self.max_stale_days.is_none() {
            found.push("broker.delisting_return has no effect without max_stale_days".to_owned());
        }
        if self.lot_size.fract() != 0.0 {
            let whole = self.lot_size.trunc();
            found.push(format!(
                "broker.lot_size is taken as it is, {}; the reference implementation took {whole}",
                self.lot_size
            ));
        }
    }
}
