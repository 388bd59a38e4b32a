//! How figures are computed where the data do not settle it.

use super::options::{Bounds, Scalar as _, number, options};

options! {
    /// How figures are computed.
    MetricsConfig {
        /// Bars in a year, by which yearly figures are scaled. `None`: what the dates of the bars say.
        periods_per_year: Option<f64> = number(Bounds::between(1.0, 366.0)).off(),
    }
}
