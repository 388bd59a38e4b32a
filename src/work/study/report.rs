//! The report of a study on one self-contained page: the sentence first, then what chance alone would give, where the
//! measure depends on the parameters, how choosing does out of sample, and the trials. Nothing on it asks anyone.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::config::Study;
use super::evaluate::TrialRow;
use super::join::Joined;
use super::judge::Judgement;
use super::validate::Validated;
use super::values::{annual, measure_name};
use crate::work::report::{head, numbers::UNDEFINED};

/// Trials of the table; the others are in `trials.csv`.
const ROWS: usize = 200;

/// Points of a scatter or a curve.
const POINTS: usize = 2000;

/// Size of a drawing.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;

/// Room for labels: left, bottom.
const LEFT: f64 = 54.0;
const BOTTOM: f64 = 34.0;

/// The page, as HTML; the same study gives the same bytes.
pub fn page(study: &Study, joined: &Joined, judged: &Judgement) -> String {
    let name = study.name.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or("Unnamed study");
    let statistics = &judged.statistics;
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{name} – study"), include_str!("study.css")))
            body {
                header {
                    p.kind { "Study" }
                    h1 { (name) }
                    p.about {
                        (joined.rows.len()) " trials · " (text(&statistics["first_day"])) " to " (text(&statistics["last_day"]))
                        " · " (joined.window.days.len()) " daily returns · selected by " (study.select_by.as_str())
                    }
                    p.lead { (judged.sentence) }
                }
                main {
                    (warnings(statistics))
                    (headline(statistics))
                    (distribution(joined, judged))
                    (surface(study, joined))
                    (logits(judged))
                    (in_and_out(study, joined, judged))
                    @if let Some(validated) = &judged.validated { (validation(study, joined, judged, validated)) }
                    (trials(study, joined, judged))
                }
            }
        }
    };
    html.into_string()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or(UNDEFINED)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| format!("{value:.digits$}"))
}

fn warnings(statistics: &Value) -> Markup {
    let warnings = statistics["warnings"].as_array().map_or(&[][..], Vec::as_slice);
    html! {
        @if !warnings.is_empty() {
            section.warnings { h2 { "Warnings" } ul { @for warning in warnings { li { (text(warning)) } } } }
        }
    }
}

fn headline(statistics: &Value) -> Markup {
    let of = |pointer: &str| statistics.pointer(pointer).and_then(Value::as_f64);
    let share = |pointer: &str| number(of(pointer).map(|share| share * 100.0), 1);
    html! {
        section.headline {
            dl {
                div { dt { "best Sharpe ratio" } dd { strong { (number(of("/best/sharpe_ratio"), 2)) } } }
                div { dt { "by chance alone" } dd { strong { (number(of("/deflated/distinct/expected_best_sharpe_ratio"), 2)) } } }
                div { dt { "deflated (probability)" } dd { strong { (share("/deflated/distinct/deflated_sharpe_ratio")) " %" }
                    small { (share("/deflated/effective/deflated_sharpe_ratio")) " % by effective trials" } } }
                div { dt { "probability of overfitting" } dd { strong { (share("/overfitting/probability")) " %" } } }
                div { dt { "p-value of the best (SPA)" } dd { strong { (number(of("/superiority/spa/p_value"), 3)) } } }
            }
            p.note {
                "The best needs " (number(of("/best/days_needed"), 0)) " days to be above 0 at 95 %, and "
                (number(of("/best/backtest_years_needed"), 1)) " years to be more than the best of so many without skill."
            }
        }
    }
}

/// From a range of values to places on an axis.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        Self { low, high }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn x(&self, value: f64) -> String {
        format!("{:.1}", LEFT + self.share(value) * (WIDTH - LEFT - 8.0))
    }

    fn y(&self, value: f64) -> String {
        format!("{:.1}", 8.0 + (1.0 - self.share(value)) * (HEIGHT - BOTTOM - 8.0))
    }
}

fn axes(x: &Axis, y: &Axis, x_name: &str, y_name: &str) -> Markup {
    let middle = |axis: &Axis| (axis.low + axis.high) / 2.0;
    html! {
        line.grid x1=(LEFT) x2=(WIDTH) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
        @for value in [x.low, middle(x), x.high] {
            text.x x=(x.x(value)) y=(HEIGHT - BOTTOM + 14.0) { (format!("{value:.2}")) }
        }
        @for value in [y.low, middle(y), y.high] {
            text x="2" y=(y.y(value)) { (format!("{value:.2}")) }
        }
        text.x x=(LEFT + (WIDTH - LEFT) / 2.0) y=(HEIGHT - 4.0) { (x_name) }
        text x="2" y="6" { (y_name) }
    }
}

fn drawing(label: &str, inner: &Markup) -> Markup {
    html! { svg.drawing viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) { (inner) } }
}

/// Values in so many classes of equal width, and marks with names.
fn histogram(values: &[f64], marks: &[(f64, &str)], x_name: &str) -> Markup {
    const CLASSES: usize = 40;
    let x = Axis::of(values.iter().copied().chain(marks.iter().map(|mark| mark.0)));
    let mut counts = [0_usize; CLASSES];
    for value in values.iter().filter(|value| value.is_finite()) {
        counts[((x.share(*value) * CLASSES as f64) as usize).min(CLASSES - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let y = Axis { low: 0.0, high: most as f64 };
    let width = (WIDTH - LEFT - 8.0) / CLASSES as f64;
    drawing(
        x_name,
        &html! {
            @for (class, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let top = y.y(*count as f64);
                @let height = HEIGHT - BOTTOM - top.parse::<f64>().unwrap_or(0.0);
                rect.bar.own x=(format!("{:.1}", LEFT + class as f64 * width)) y=(top) width=(format!("{:.1}", width - 1.0))
                    height=(format!("{height:.1}")) { title { (count) } }
            }
            @for (row, (value, name)) in marks.iter().enumerate() {
                line.mark x1=(x.x(*value)) x2=(x.x(*value)) y1="8" y2=(HEIGHT - BOTTOM) {}
                text.name x=(x.x(*value)) y=(18.0 + 13.0 * row as f64) dx="4" { (name) }
            }
            (axes(&x, &y, x_name, "trials"))
        },
    )
}

fn distribution(joined: &Joined, judged: &Judgement) -> Markup {
    let root = joined.window.periods_per_year.sqrt();
    let values: Vec<f64> = joined.distinct().filter_map(|row| Some(row.sharpe?.daily * root)).collect();
    let best = judged.statistics.pointer("/best/sharpe_ratio").and_then(Value::as_f64);
    let marks: Vec<(f64, &str)> = [(judged.expected_best, "best by chance alone"), (best, "the best")]
        .into_iter()
        .filter_map(|(value, name)| Some((value?, name)))
        .collect();
    html! {
        section {
            h2 { "Sharpe ratios" }
            p.note { "Of the distinct trials. A best one near what chance alone would give says nothing of skill." }
            (histogram(&values, &marks, "annual Sharpe ratio"))
        }
    }
}

/// The two most influential parameters, and the best measure for each pair of their values.
fn surface(study: &Study, joined: &Joined) -> Markup {
    let influence = joined.influence(study);
    let [(x, x_share), (y, y_share), ..] = influence[..] else { return html! {} };
    let grid =
        super::surface::of(study, &joined.rows, x, y, study.select_by.as_str(), super::surface::Over::Best);
    let values = grid.cells.iter().flatten().flatten().copied();
    let axis = Axis::of(values);
    html! {
        section {
            h2 { (study.select_by.as_str()) " by " code { (study.grid.paths[x]) } " and " code { (study.grid.paths[y]) } }
            p.note {
                "The two that explain most of its variance by themselves (" (format!("{:.0}", x_share * 100.0)) " % and "
                (format!("{:.0}", y_share * 100.0)) " %); of the other parameters the best value is shown."
            }
            div.scroll {
                table.heat {
                    thead { tr { th {} @for value in &grid.x_values { th { (label(value)) } } } }
                    tbody {
                        @for (row, value) in grid.y_values.iter().enumerate() {
                            tr {
                                th { (label(value)) }
                                @for cell in &grid.cells[row] {
                                    @match cell {
                                        Some(measure) => td style=(format!("--heat:{:.0}%", axis.share(*measure) * 100.0)) { (format!("{measure:.2}")) },
                                        None => td { (UNDEFINED) },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn label(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn logits(judged: &Judgement) -> Markup {
    let Some(found) = &judged.overfitting else {
        let why = judged.statistics.pointer("/undefined/overfitting").map_or(UNDEFINED, text);
        return html! { section { h2 { "Overfitting" } p.empty { "Not computed: " (why) } } };
    };
    let logits: Vec<f64> = found.halves.iter().map(crate::statistics::overfitting::Half::logit).collect();
    html! {
        section {
            h2 { "Overfitting" }
            p.note {
                "In " (format!("{:.0}", found.probability * 100.0)) " % of " (found.halves.len())
                " splits the trial that was best in one half of the days is not above the median in the other. "
                "Left of 0 it is in the worse half."
            }
            (histogram(&logits, &[(0.0, "median trial")], "logit of the rank out of sample"))
        }
    }
}

fn scatter(points: &[(f64, f64)], x_name: &str, y_name: &str, label: &str) -> Markup {
    let (x, y) = (Axis::of(points.iter().map(|point| point.0)), Axis::of(points.iter().map(|point| point.1)));
    let step = points.len().div_ceil(POINTS).max(1);
    drawing(
        label,
        &html! {
            @if y.low < 0.0 && y.high > 0.0 { line.grid.zero x1=(LEFT) x2=(WIDTH) y1=(y.y(0.0)) y2=(y.y(0.0)) {} }
            @for (a, b) in points.iter().step_by(step) { circle.dot cx=(x.x(*a)) cy=(y.y(*b)) r="2" {} }
            (axes(&x, &y, x_name, y_name))
        },
    )
}

fn in_and_out(study: &Study, joined: &Joined, judged: &Judgement) -> Markup {
    let Some(found) = &judged.overfitting else { return html! {} };
    let scale = annual(study.select_by, joined.window.periods_per_year);
    let points: Vec<(f64, f64)> = found
        .halves
        .iter()
        .filter_map(|half| Some((half.in_sample * scale, half.out_of_sample? * scale)))
        .collect();
    let slope = found.degradation.map(|line| line.slope).ok();
    html! {
        section {
            h2 { "In sample against out of sample" }
            p.note {
                "Each dot is the best trial of one half of the days, and what it made of the other. The better it looked, the "
                @if slope.is_some_and(|slope| slope < 0.0) { "worse" } @else { "better" } " it did (slope " (number(slope, 2)) ")."
            }
            (scatter(&points, "in sample", "out of sample", measure_name(study.select_by)))
        }
    }
}

fn curve(series: &[(&str, &str, Vec<f64>)], label: &str) -> Markup {
    let y = Axis::of(series.iter().flat_map(|one| one.2.iter().copied()));
    let days = series.iter().map(|one| one.2.len()).max().unwrap_or(0);
    let x = Axis { low: 0.0, high: (days.max(2) - 1) as f64 };
    let step = days.div_ceil(POINTS).max(1);
    let path = |values: &[f64]| -> String {
        let points = values.iter().enumerate().step_by(step);
        points
            .map(|(day, value)| format!("{},{}", x.x(day as f64), y.y(*value)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    html! {
        (drawing(label, &html! {
            @for (_, class, values) in series { polyline class=(format!("line {class}")) points=(path(values)) {} }
            @for value in [y.low, (y.low + y.high) / 2.0, y.high] { text x="2" y=(y.y(value)) { (format!("{value:.2}")) } }
        }))
        ul.legend { @for (name, class, _) in series { li class=(*class) { (name) } } }
    }
}

fn grown(returns: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut value = 1.0;
    returns
        .map(|each| {
            value *= 1.0 + each;
            value
        })
        .collect()
}

fn validation(study: &Study, joined: &Joined, judged: &Judgement, validated: &Validated) -> Markup {
    let scale = annual(study.select_by, joined.window.periods_per_year);
    let date = |day: usize| joined.window.days.get(day).map(ToString::to_string).unwrap_or_default();
    let of = |pointer: &str| judged.statistics.pointer(pointer).and_then(Value::as_f64);
    let stitched = validated.paths.first();
    let best = joined.kept.first();
    let curves = stitched.filter(|_| validated.paths.len() == 1).map(|stitched| {
        let own = grown(stitched.days.iter().map(|(_, value, _)| *value));
        let mut curves = vec![("chosen by the past, split by split", "own", own)];
        if let Some((_, returns)) = best {
            let same = grown(stitched.days.iter().filter_map(|(day, ..)| returns.get(*day).copied()));
            curves.push(("the best of all days, over the same days", "other", same));
        }
        curves
    });
    html! {
        section {
            h2 { "Choosing by the past" }
            p.note {
                "Out of sample " (number(of("/validation/out_of_sample/sharpe_ratio").or_else(|| of("/validation/out_of_sample/mean")), 2))
                " against " (number(of("/validation/mean_in_sample"), 2)) " in sample: an efficiency of "
                (number(of("/validation/efficiency"), 2)) ". " (format!("{:.0}", of("/validation/positive_share").unwrap_or(0.0) * 100.0))
                " % of tests are above 0, and the trial that is chosen most often is chosen in "
                (format!("{:.0}", of("/validation/stability").unwrap_or(0.0) * 100.0)) " % of splits."
            }
            @if let Some(curves) = curves { (curve(&curves, "growth of 1")) }
            div.scroll {
                table {
                    thead { tr { th { "split" } th { "test from" } th { "to" } th { "trial" } th { "in sample" } th { "out of sample" } th { "rank" }
                        @for path in &study.grid.paths { th { (path.rsplit('.').next().unwrap_or(path)) } } } }
                    tbody {
                        @for (number_of, (split, choice)) in validated.splits.iter().zip(&validated.choices).enumerate().take(ROWS) {
                            @for (place, test) in split.test.iter().enumerate() {
                                tr {
                                    th { (number_of) } td { (date(test.days.start)) } td { (date(test.days.end.saturating_sub(1))) }
                                    @match &choice.winner {
                                        Some(winner) => {
                                            td { (winner.trial) } td { (number(Some(winner.in_sample * scale), 2)) }
                                            td { (number(winner.tests[place].out_of_sample.map(|value| value * scale), 2)) }
                                            td { (number(Some(winner.tests[place].rank), 1)) }
                                            @for value in study.grid.values(winner.trial as usize) { td { (value.map(label).unwrap_or_default()) } }
                                        }
                                        None => td colspan="4" { "no trial: cash" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn trials(study: &Study, joined: &Joined, judged: &Judgement) -> Markup {
    let mut rows: Vec<&TrialRow> = joined.rows.iter().collect();
    let of = |row: &TrialRow| joined.measure(study, row.trial as usize).unwrap_or(f64::NEG_INFINITY);
    rows.sort_by(|a, b| of(b).total_cmp(&of(a)).then(a.trial.cmp(&b.trial)));
    let figure =
        |row: &TrialRow, name: &str| super::figures::place(name).and_then(|place| row.figures[place]);
    html! {
        section {
            h2 { "Trials" }
            p.note {
                "Best first by " (study.select_by.as_str()) ". Grey ones return the same as an earlier trial. The q-value is the false discovery rate at which a trial counts as a discovery."
                @if rows.len() > ROWS { " The first " (ROWS) "; all are in trials.csv." }
            }
            div.scroll {
                table {
                    thead { tr { th { "trial" } @for path in &study.grid.paths { th { (path.rsplit('.').next().unwrap_or(path)) } }
                        th { "Sharpe" } th { "return p.a." } th { "drawdown" } th { "q-value" } th { "" } } }
                    tbody {
                        @for row in rows.iter().take(ROWS) {
                            @let equal = joined.equal_to[row.trial as usize];
                            tr.equal[equal.is_some()] {
                                th { (row.trial) }
                                @for value in study.grid.values(row.trial as usize) { td { (value.map(label).unwrap_or_default()) } }
                                td { (number(figure(row, "sharpe_ratio"), 2)) }
                                td { (number(figure(row, "annualized_return").map(|share| share * 100.0), 1)) " %" }
                                td { (number(figure(row, "max_drawdown").map(|share| share * 100.0), 1)) " %" }
                                td { (number(judged.q_values[row.trial as usize], 3)) }
                                td.about {
                                    @if let Some(equal) = equal { "= " (equal) }
                                    @else if let Some(error) = &row.error { (row.status.as_str()) ": " (error) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
