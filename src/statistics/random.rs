//! Random numbers that depend on their place alone: SplitMix64 (Steele, Lea, Flood 2014) keyed by seed, replication
//! and position. There is no state, so that every thread and every instance draws the same.

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The draws of one replication.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    key: u64,
}

impl Draws {
    /// Of a replication under a seed.
    pub fn of(seed: u64, replication: u64) -> Self {
        let key = mix(seed.wrapping_add(GAMMA));
        Self { key: mix(key.wrapping_add(replication.wrapping_add(1).wrapping_mul(GAMMA))) }
    }

    /// 64 random bits at a position.
    pub fn bits(self, position: u64) -> u64 {
        mix(self.key.wrapping_add(position.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// A number in `0.0..1.0`.
    pub fn unit(self, position: u64) -> f64 {
        (self.bits(position) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number in `0..bound`; 0 where the bound is 0. Lemire's multiplication, whose bias is below 2⁻⁶⁴ times the bound.
    pub fn below(self, position: u64, bound: usize) -> usize {
        ((u128::from(self.bits(position)) * bound as u128) >> 64) as usize
    }
}
