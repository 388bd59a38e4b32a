//! Charts as inline SVG. Labels are placed in percent of a box without a scale of its own, and
//! only curves are stretched, so that a chart fills any width and its text keeps its size. What is drawn is not
//! decided here.

use chrono::{Datelike as _, NaiveDate};
use maud::{Markup, html};

use super::numbers::{grouped, percent};

/// Colours and marks, shared by the page and by charts in files of their own.
pub(in crate::work) const STYLE: &str = include_str!("chart.css");

/// Curves longer than this are thinned to it: half as many buckets, two extremes each.
const POINTS_MAX: usize = 1000;

/// Size of the stretched box of curves; coordinates are whole numbers.
const WIDTH: f64 = 2000.0;
const HEIGHT: f64 = 1000.0;

/// A chart over the days of a run.
pub(super) struct Chart {
    /// Name as a file and as an anchor.
    pub(super) name: &'static str,
    /// Heading.
    pub(super) title: String,
    /// One sentence: what there is to see.
    pub(super) note: String,
    /// How values are written on the axis.
    pub(super) unit: Unit,
    /// Whether equal distances are equal ratios; ignored unless all values are positive.
    pub(super) logarithmic: bool,
    /// What is drawn, from back to front.
    pub(super) series: Vec<Series>,
    /// Invisible stretches that show their text to a pointer.
    pub(super) hints: Vec<Bar>,
}

/// One curve, area or row of bars.
pub(super) struct Series {
    /// Name in the legend.
    pub(super) name: String,
    /// Class of its colour: `own`, `other` or `soft`.
    pub(super) class: &'static str,
    /// Its values.
    pub(super) shape: Shape,
}

/// Values by day, or by stretch of days; what is not finite is left out.
pub(super) enum Shape {
    Line(Vec<f64>),
    /// Filled down, or up, to zero.
    Area(Vec<f64>),
    Bars(Vec<Bar>),
}

/// A value of a stretch of days.
#[derive(Clone)]
pub(super) struct Bar {
    /// First and last day, as indices.
    pub(super) days: (usize, usize),
    /// The value; bars start at zero.
    pub(super) value: f64,
    /// What a pointer is shown.
    pub(super) text: String,
}

/// How values are written on an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Money,
    Share,
    /// A share that is never above zero.
    Fall,
    Plain,
    /// Whole numbers.
    Count,
}

/// The days of a run as positions between 0 and 1, by calendar.
pub(super) struct Days {
    dates: Vec<NaiveDate>,
    ticks: Vec<(f64, String)>,
}

impl Days {
    /// `dates` ascend.
    pub(super) fn new(dates: &[NaiveDate]) -> Self {
        let mut days = Self { dates: dates.to_vec(), ticks: Vec::new() };
        days.ticks = days.labels();
        days
    }

    fn at(&self, date: NaiveDate) -> f64 {
        let (Some(&first), Some(&last)) = (self.dates.first(), self.dates.last()) else { return 0.0 };
        (date - first).num_days() as f64 / (last - first).num_days().max(1) as f64
    }

    fn position(&self, day: usize) -> f64 {
        self.dates.get(day).map_or(1.0, |&date| self.at(date))
    }

    /// Years, months or days, as many as fit.
    fn labels(&self) -> Vec<(f64, String)> {
        let (Some(&first), Some(&last)) = (self.dates.first(), self.dates.last()) else { return Vec::new() };
        let months = (last.year() - first.year()) * 12 + last.month0() as i32 - first.month0() as i32;
        if months < 3 {
            let step = (self.dates.len() / 3).max(1);
            let days = self.dates.iter().step_by(step);
            return days.map(|&date| (self.at(date), date.to_string())).collect();
        }
        let yearly = months >= 42;
        let step =
            if yearly { 12 * (months / 12 / 10 + 1) } else { [1, 2, 3, 6, 6, 6][(months / 8) as usize] };
        let start = first.year() * 12 + first.month0() as i32 + 1;
        let start = (start + step - 1) / step * step;
        let end = last.year() * 12 + last.month0() as i32;
        (start..=end)
            .step_by(step as usize)
            .filter_map(|month| NaiveDate::from_ymd_opt(month / 12, month as u32 % 12 + 1, 1))
            .map(|date| {
                let text = if yearly { date.format("%Y") } else { date.format("%Y-%m") };
                (self.at(date), text.to_string())
            })
            .collect()
    }
}

/// Values to heights: 0 at the top, 1 at the bottom.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Scale {
    /// `None` without a finite value.
    fn of(chart: &Chart) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut include = |value: f64| {
            if value.is_finite() {
                (low, high) = (low.min(value), high.max(value));
            }
        };
        for series in &chart.series {
            match &series.shape {
                Shape::Line(values) => values.iter().copied().for_each(&mut include),
                Shape::Area(values) => values.iter().copied().chain([0.0]).for_each(&mut include),
                Shape::Bars(bars) => bars.iter().map(|bar| bar.value).chain([0.0]).for_each(&mut include),
            }
        }
        if !(high - low).is_finite() {
            return None;
        }
        if chart.logarithmic && low > 0.0 {
            return Some(Self::logarithmic(low, high, chart.unit));
        }
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let around = if high == 0.0 { 1.0 } else { 0.05 * high.abs() };
            // Areas and bars stand on zero; so does a share that never moves.
            (low, high) = if chart.unit == Unit::Fall {
                (-around, 0.0)
            } else if high == 0.0 {
                (0.0, around)
            } else {
                (low - around, high + around)
            };
        }
        Some(Self::linear(low, high, chart.unit))
    }

    fn linear(low: f64, high: f64, unit: Unit) -> Self {
        let rough = (high - low) / 4.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|part| part * magnitude);
        let step = step.into_iter().find(|&step| step >= rough * 0.999).unwrap_or(rough);
        let step = if unit == Unit::Count { step.max(1.0) } else { step };
        // A value a hair beyond a label is not a reason for another label.
        let (first, last) = ((low / step + 0.05).floor(), (high / step - 0.05).ceil());
        let largest = (first * step).abs().max((last * step).abs());
        let ticks = (0..=(last - first).min(12.0) as u32).map(|tick| {
            let value = (first + f64::from(tick)) * step;
            (value, unit.label(value, step, largest))
        });
        let ticks = ticks.collect();
        Self { low: low.min(first * step), high: high.max(last * step), logarithmic: false, ticks }
    }

    fn logarithmic(low: f64, high: f64, unit: Unit) -> Self {
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let within = |parts: &[f64]| -> Vec<f64> {
            let values =
                decades.clone().flat_map(|ten| parts.iter().map(move |part| part * 10_f64.powi(ten)));
            values.filter(|value| (low..=high).contains(value)).collect()
        };
        let mut ticks = within(&[1.0, 2.0, 5.0]);
        if ticks.len() > 8 {
            ticks = within(&[1.0]);
        } else if ticks.len() < 4 {
            ticks = within(&[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]);
        }
        let ticks = ticks.iter().step_by(ticks.len() / 8 + 1);
        Self {
            low: low / 1.05,
            high: high * 1.05,
            logarithmic: true,
            ticks: ticks.map(|&value| (value, unit.label(value, value * halves(value), value))).collect(),
        }
    }

    fn at(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        1.0 - place.clamp(0.0, 1.0)
    }
}

impl Unit {
    /// `value` on an axis whose labels are `step` apart; all of them are written in the unit of the `largest`.
    fn label(self, value: f64, step: f64, largest: f64) -> String {
        let digits = |unit: f64| {
            let steps = (step / unit).abs();
            if steps > 0.0 { (-(steps.log10() + 1e-9).floor()).clamp(0.0, 6.0) as usize } else { 0 }
        };
        match self {
            Self::Share | Self::Fall => percent(value, digits(0.01)),
            Self::Plain | Self::Count => grouped(value, digits(1.0)),
            Self::Money if value == 0.0 => grouped(0.0, 0),
            Self::Money => {
                let (unit, letter) = match largest {
                    large if large >= 999_999_999.0 => (1e9, "B"),
                    large if large >= 999_999.0 => (1e6, "M"),
                    large if large >= 999.0 => (1e3, "k"),
                    _ => (1.0, ""),
                };
                format!("{}{letter}", grouped(value / unit, digits(unit)))
            }
        }
    }
}

/// The step of a label on a logarithmic axis, as a part of its value: finer if its first digit is not all.
fn halves(value: f64) -> f64 {
    let first = value / 10_f64.powf((value.log10() + 1e-9).floor());
    if (first - first.round()).abs() > 1e-6 { 0.1 } else { 1.0 }
}

/// A place as CSS and SVG write it.
fn place(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

impl Chart {
    /// The chart with its heading and legend. An empty chart says so.
    pub(super) fn section(&self, days: &Days) -> Markup {
        html! {
            section.chart id=(self.name) {
                h2 { (self.title) }
                p.note { (self.note) }
                @if let Some(scale) = Scale::of(self) {
                    @if self.series.len() > 1 {
                        ul.legend { @for series in self.series.iter().rev() { li class=(series.class) { (series.name) } } }
                    }
                    div.frame {
                        svg.plot role="img" aria-label=(format!("{}. {}", self.title, self.note)) {
                            (self.drawing(days, &scale))
                        }
                    }
                } @else {
                    p.empty { "Nothing to draw: no value is defined." }
                }
            }
        }
    }

    /// The chart as a file of its own. `None` if there is nothing to draw.
    pub(super) fn file(&self, days: &Days) -> Option<String> {
        let scale = Scale::of(self)?;
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 400" width="960" height="400" role="img" {
                title { (self.title) }
                style { (STYLE) }
                rect.paper width="960" height="400" {}
                text.heading x="20" y="32" { (self.title) }
                @for (nth, series) in self.series.iter().rev().enumerate() {
                    text class=(format!("name {}", series.class)) x=(20 + 240 * nth) y="56" { (series.name) }
                }
                svg.plot x="20" y="76" width="870" height="280" { (self.drawing(days, &scale)) }
            }
        };
        Some(svg.into_string())
    }

    fn drawing(&self, days: &Days, scale: &Scale) -> Markup {
        html! {
            @for (value, label) in &scale.ticks {
                @let y = place(scale.at(*value));
                line.grid.zero[*value == 0.0] x1="0" x2="100%" y1=(y) y2=(y) {}
                text.y x="100%" dx="7" y=(y) dy=".33em" { (label) }
            }
            @for (nth, (at, label)) in days.ticks.iter().enumerate() {
                @let x = place(*at);
                line.tick.minor[nth % 2 == 1] x1=(x) x2=(x) y1="100%" y2="100%" {}
                text.x.first[*at < 0.03].minor[nth % 2 == 1] x=(x) y="100%" dy="1.7em" { (label) }
            }
            @for series in &self.series {
                @if let Shape::Bars(bars) = &series.shape {
                    @for bar in bars.iter().filter(|bar| bar.value.is_finite()) {
                        @let (left, width) = stretch(days, bar);
                        @let (top, zero) = (scale.at(bar.value), scale.at(0.0));
                        rect class=(format!("bar {}", series.class)) x=(place(left)) width=(place(width * 0.8))
                            y=(place(top.min(zero))) height=(place((zero - top).abs())) { title { (bar.text) } }
                    }
                }
            }
            svg width="100%" height="100%" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
                @for series in &self.series {
                    @match &series.shape {
                        Shape::Line(values) => path class=(format!("line {}", series.class)) d=(path(days, scale, values, false)) {},
                        Shape::Area(values) => path class=(format!("area {}", series.class)) d=(path(days, scale, values, true)) {},
                        Shape::Bars(_) => {},
                    }
                }
            }
            @for hint in &self.hints {
                @let (left, width) = stretch(days, hint);
                rect.hint x=(place(left)) width=(place(width)) height="100%" { title { (hint.text) } }
            }
        }
    }
}

/// Left edge and width of a stretch of days, up to the next one.
fn stretch(days: &Days, bar: &Bar) -> (f64, f64) {
    let left = days.position(bar.days.0);
    (left, days.position(bar.days.1 + 1) - left)
}

/// The path of a curve, in relative whole numbers; the pen is lifted where nothing is defined.
fn path(days: &Days, scale: &Scale, values: &[f64], area: bool) -> String {
    use std::fmt::Write as _;
    let ground = (scale.at(0.0) * HEIGHT).round() as i64;
    let mut path = String::new();
    let mut pen: Option<(i64, i64)> = None;
    let close = |path: &mut String, pen: Option<(i64, i64)>| {
        if area && pen.is_some() {
            let _ = write!(path, "V{ground}Z");
        }
    };
    for point in thinned(values) {
        let Some(day) = point else {
            close(&mut path, pen.take());
            continue;
        };
        let x = (days.position(day) * WIDTH).round() as i64;
        let y = (scale.at(values[day]) * HEIGHT).round() as i64;
        let _ = match pen {
            None if area => write!(path, "M{x} {ground}V{y}l0 0"),
            None => write!(path, "M{x} {y}l0 0"),
            Some((from_x, from_y)) => write!(path, " {} {}", x - from_x, y - from_y),
        };
        pen = Some((x, y));
    }
    close(&mut path, pen);
    path.replace(" -", "-")
}

/// The days to draw, in order: all of a short curve, the lowest and the highest of each bucket of a long one, and
/// always the first and the last. `None` where the pen is lifted.
fn thinned(values: &[f64]) -> Vec<Option<usize>> {
    let bucket = if values.len() > POINTS_MAX { values.len().div_ceil(POINTS_MAX / 2) } else { 1 };
    let mut points = Vec::new();
    for from in (0..values.len()).step_by(bucket) {
        let to = (from + bucket).min(values.len());
        let defined = || (from..to).filter(|&day| values[day].is_finite());
        let lowest = defined().min_by(|&a, &b| values[a].total_cmp(&values[b]));
        let highest = defined().max_by(|&a, &b| values[a].total_cmp(&values[b]));
        let edge = |day: usize| Some(day).filter(|&day| values[day].is_finite());
        let first = edge(from).filter(|_| from == 0);
        let last = edge(to - 1).filter(|_| to == values.len());
        let mut days: Vec<usize> = [first, lowest, highest, last].into_iter().flatten().collect();
        days.sort_unstable();
        days.dedup();
        if days.is_empty() {
            points.push(None);
        }
        points.extend(days.into_iter().map(Some));
    }
    points
}
