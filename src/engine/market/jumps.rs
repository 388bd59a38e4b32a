//! Jumps of closes that look like splits, in prices that were not adjusted for them. Nothing is done about them here: they
//! are counted, for a person to look at.

use crate::engine::closes::Closes;
use crate::engine::symbols::SymbolId;

/// How far from the ratio of a split a jump may be.
const NEAR: f64 = 0.01;

/// Of the other symbols of the day, the share that may jump alike: more of them is a market, not a split.
const OTHERS: f64 = 0.1;

/// Closes that are within these of the close before make no split: 2 for 3 is the smallest that is looked for.
const USUAL: (f64, f64) = (2.0 / 3.0 * (1.0 + NEAR), 3.0 / 2.0 * (1.0 - NEAR));

/// A close that is a simple fraction or a multiple of the one before, on a day on which other symbols do no such thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitLike {
    /// Bar of the later of the two closes.
    pub bar: usize,
    /// Whose it is.
    pub symbol: SymbolId,
    /// Shares that would have become how many: 2 for 1 halves the price.
    pub split: (u32, u32),
}

impl std::fmt::Display for SplitLike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {}", self.split.0, self.split.1)
    }
}

/// Every such jump, by bar and symbol. A close is compared with the last one before it, however long ago.
pub fn split_like(closes: &Closes) -> Vec<SplitLike> {
    let mut found = Vec::new();
    let mut last = vec![f64::NAN; closes.symbols()];
    for bar in 0..closes.bars() {
        let today = closes.on(bar);
        // Of most days no close is far from the one before; without a branch for each, that is soon said.
        let far = |close: f64, last: f64| (close < USUAL.0 * last) | (close > USUAL.1 * last);
        if today.iter().zip(&last).fold(false, |any, (&close, &last)| any | far(close, last)) {
            let before = found.len();
            let mut compared = 0_usize;
            for (index, (&close, &last)) in today.iter().zip(&last).enumerate() {
                compared += usize::from(!close.is_nan() && !last.is_nan());
                if far(close, last)
                    && let Some(split) = split_of(last / close)
                {
                    found.push(SplitLike { bar, symbol: SymbolId::of_index(index), split });
                }
            }
            let alike = found.len() - before;
            if alike > 1 && (alike - 1) as f64 > OTHERS * (compared - 1) as f64 {
                found.truncate(before);
            }
        }
        for (last, &close) in last.iter_mut().zip(today) {
            *last = if close.is_nan() { *last } else { close };
        }
    }
    found
}

/// The split that divides a price by this.
fn split_of(ratio: f64) -> Option<(u32, u32)> {
    const MORE: [(u32, u32); 5] = [(3, 2), (5, 2), (25, 1), (50, 1), (100, 1)];
    let splits = (2..=20).map(|many| (many, 1)).chain(MORE);
    let near =
        |ratio: f64, split: (u32, u32)| (ratio * f64::from(split.1) / f64::from(split.0) - 1.0).abs() <= NEAR;
    splits.into_iter().find_map(|split| match (near(ratio, split), near(1.0 / ratio, split)) {
        (true, _) => Some(split),
        (_, true) => Some((split.1, split.0)),
        _ => None,
    })
}
