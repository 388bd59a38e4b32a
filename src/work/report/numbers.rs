//! How numbers look on the page. What they mean is said where they are shown.

/// What stands for a value that is not defined.
pub(in crate::work) const UNDEFINED: &str = "–";

/// `1,234.50`, with a true minus sign; in powers of ten beyond a quadrillion.
pub(super) fn grouped(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return UNDEFINED.to_owned();
    }
    if value.abs() >= 1e15 {
        return format!("{value:.3e}").replace('-', "−");
    }
    let text = format!("{:.digits$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let mut grouped = String::from(if value < 0.0 && !zero { "−" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

/// A fraction as `12.3 %`.
pub(super) fn percent(value: f64, digits: usize) -> String {
    let number = grouped(100.0 * value, digits);
    if value.is_finite() { format!("{number}\u{a0}%") } else { number }
}

/// An amount of money, without its currency: whole units from 1,000 on, cents below.
pub(super) fn money(value: f64) -> String {
    grouped(value, if value.abs() < 1000.0 && value.fract() != 0.0 { 2 } else { 0 })
}

/// A fraction as a percentage with two decimals.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| percent(value, 2))
}

/// A number without a unit, with two decimals.
pub(super) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| grouped(value, 2))
}

/// A number of things.
pub(in crate::work) fn count(value: usize) -> String {
    grouped(value as f64, 0)
}
