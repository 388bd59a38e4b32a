//! The standard normal distribution, to double precision in both tails.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// What rounding took from `FRAC_1_SQRT_2`.
const REST_OF_1_SQRT_2: f64 = -4.833_646_656_726_457e-17;

/// Probability of a value up to `x`.
pub fn cdf(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    // In the tail the last bit of `z` counts many times: it is followed by one step along the slope.
    let rest = x.mul_add(FRAC_1_SQRT_2, -z) + x * REST_OF_1_SQRT_2;
    let step = if rest.is_finite() { 0.5 * FRAC_2_SQRT_PI * (-z * z).exp() * rest } else { 0.0 };
    0.5 * libm::erfc(-z) + step
}

/// Probability of a value above `x`, exact where `1 - cdf(x)` would round to 0.
pub fn survival(x: f64) -> f64 {
    cdf(-x)
}

/// Probability of a value at least as far from 0 as `x`: the p-value of a two-sided test.
pub fn two_sided(x: f64) -> f64 {
    2.0 * cdf(-x.abs())
}

/// The value that a probability in `0.0..=1.0` stays below; infinite at its ends, NaN outside. Algorithm AS 241,
/// PPND16 (Wichura 1988), relative error about 1e-16.
pub fn quantile(probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    let centred = probability - 0.5;
    if centred.abs() <= 0.425 {
        let r = 0.180_625 - centred * centred;
        return centred * polynomial(r, &CENTRE.0) / polynomial(r, &CENTRE.1);
    }
    let tail = probability.min(1.0 - probability);
    if tail == 0.0 {
        return f64::INFINITY.copysign(centred);
    }
    let r = (-tail.ln()).sqrt();
    let (r, (above, below)) = if r <= 5.0 { (r - 1.6, &SHOULDER) } else { (r - 5.0, &TAIL) };
    (polynomial(r, above) / polynomial(r, below)).copysign(centred)
}

/// `coefficients` ascend by power.
fn polynomial(x: f64, coefficients: &[f64; 8]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Numerator and denominator of a rational approximation.
type Rational = ([f64; 8], [f64; 8]);

const CENTRE: Rational = (
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
);

const SHOULDER: Rational = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);

const TAIL: Rational = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
);
