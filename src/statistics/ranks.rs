//! Ranks and rank correlation of the values of one day.

/// Room for ranking, so that a day costs no allocation.
#[derive(Debug, Default)]
pub struct Ranking {
    order: Vec<(u64, u32)>,
}

impl Ranking {
    /// Places of the values that are not NaN, lowest value first, each after the bits that it was sorted by: equal
    /// values have equal bits, zeros of either sign too.
    pub fn sort(&mut self, values: &[f64]) -> &[(u64, u32)] {
        self.order.clear();
        let numbers = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
        self.order.extend(numbers.map(|(place, &value)| (ascending(value), place as u32)));
        self.order.sort_unstable();
        &self.order
    }

    /// Writes the average rank (from 1) of each value; NaN for NaN.
    pub fn average(&mut self, values: &[f64], ranks: &mut [f64]) {
        ranks.fill(f64::NAN);
        let mut before = 0;
        for equal in self.sort(values).chunk_by(|a, b| a.0 == b.0) {
            let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
            before += equal.len();
            for &(_, place) in equal {
                ranks[place as usize] = rank;
            }
        }
    }
}

/// Bits that order as the numbers do.
fn ascending(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}
