//! The tear sheet of a signal on one self-contained page: what it predicts over each horizon, what its fifths earned, how this
//! held by month and year, how steady it is, and what was left out.

use chrono::NaiveDate;
use maud::{DOCTYPE, Markup, html};

use super::chart::{Bar, Chart, Days, Series, Shape, Unit};
use super::head;
use super::numbers::{UNDEFINED, count, grouped, percent, ratio, share};
use crate::signal::YearMonth;
use crate::work::factors::{OutlookSheet, Period, TearSheet};

/// The entry that could be traded; charts are drawn from it.
const TRADABLE: &str = "next_open";

/// The horizon that the sentence on top speaks of.
const SAID: usize = 21;

/// Anchors and colours of the charts by horizon.
const MONTHLY: [&str; 4] = ["monthly_1", "monthly_2", "monthly_3", "monthly_4"];
const COLOURS: [&str; 4] = ["run0", "run1", "run2", "run3"];

/// The page of a sheet with its figures by day, as HTML. The same sheet gives the same bytes. `notes` say what the reader should
/// know beside.
pub fn factor_page(sheet: &TearSheet, notes: &[String]) -> String {
    let dates = dates(sheet);
    let days = Days::new(&dates);
    let style = concat!(include_str!("comparison.css"), include_str!("factors.css"));
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} – factor tear sheet", sheet.strategy), style))
            body {
                (header(sheet))
                main {
                    @if !notes.is_empty() {
                        section.warnings { h2 { "To know" } ul { @for note in notes { li { (note) } } } }
                    }
                    (coefficients(sheet))
                    (curves(sheet, dates.len()).section(&days))
                    (quantiles(sheet))
                    div.pair { @for chart in months(sheet, &dates) { (chart.section(&days)) } }
                    (years(sheet))
                    (signal(sheet))
                    (left_out(sheet))
                }
            }
        }
    };
    html.into_string()
}

/// The days from which anything is followed.
fn dates(sheet: &TearSheet) -> Vec<NaiveDate> {
    let all = sheet.outlooks.iter().filter_map(|outlook| outlook.by_day.as_ref());
    all.map(|by_day| &by_day.date).max_by_key(|dates| dates.len()).cloned().unwrap_or_default()
}

fn tradable(sheet: &TearSheet) -> impl Iterator<Item = &OutlookSheet> {
    sheet.outlooks.iter().filter(|outlook| outlook.entry == TRADABLE)
}

fn days_of(horizon: usize) -> String {
    if horizon == 1 { "1 trading day".to_owned() } else { format!("{horizon} trading days") }
}

fn entry(outlook: &OutlookSheet) -> &'static str {
    if outlook.entry == TRADABLE { "next open" } else { "close of the day" }
}

fn decimals(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| grouped(value, digits))
}

fn header(sheet: &TearSheet) -> Markup {
    let said = tradable(sheet).find(|outlook| outlook.horizon == SAID && outlook.ic.days > 0);
    html! {
        header {
            p.kind { "Factor tear sheet" }
            h1 { (sheet.strategy) }
            p.about {
                @if let (Some(from), Some(to)) = (sheet.from, sheet.to) {
                    time { (from) } " to " time { (to) } " · " (count(sheet.signal.days)) " days with the signal · "
                    (decimals(sheet.signal.symbols, 1)) " symbols a day"
                } @else { "No day with the signal" }
            }
            @if let Some(outlook) = said {
                p.lead {
                    "Ranked by the signal, symbols and their returns over the " (days_of(SAID)) " from the next open have a mean "
                    "correlation of " strong { (decimals(outlook.ic.mean_rank_ic, 3)) } " (t "
                    (ratio(outlook.ic.t_newey_west)) ") over " (count(outlook.ic.days)) " days."
                }
            }
        }
    }
}

fn coefficients(sheet: &TearSheet) -> Markup {
    html! {
        section.figures id="coefficients" {
            h2 { "Information coefficients" }
            p.note {
                "Correlation of a day's signals with the returns that follow, of the symbols that have both; by ranks (Spearman), and "
                "of the numbers themselves (Pearson). The deviation is from day to day; t is by Newey and West (1987) with a lag of the "
                "horizon less one, and needs two horizons."
            }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "From, for" }
                    @for head in ["Days", "Mean by ranks", "Deviation", "Mean over deviation", "t", "Days above 0", "Mean (Pearson)"] {
                        th scope="col" { (head) }
                    }
                } }
                tbody { @for outlook in &sheet.outlooks {
                    @let ic = &outlook.ic;
                    tr {
                        th scope="row" { (entry(outlook)) ", " (days_of(outlook.horizon)) }
                        td { (count(ic.days)) }
                        td { (decimals(ic.mean_rank_ic, 4)) }
                        td { (decimals(ic.std_rank_ic, 4)) }
                        td { (ratio(ic.ic_ir)) }
                        td { (ratio(ic.t_newey_west)) }
                        td { (share(ic.hit_rate)) }
                        td { (decimals(ic.mean_pearson_ic, 4)) }
                    }
                } }
            } }
        }
    }
}

/// What books earned that hold the highest fifth less the lowest, for each horizon.
fn curves(sheet: &TearSheet, days: usize) -> Chart {
    let series = tradable(sheet).zip(COLOURS).filter_map(|(outlook, class)| {
        let mut curve = outlook.by_day.as_ref()?.curve.clone();
        // Later days of longer horizons are still ahead.
        curve.resize(days, f64::NAN);
        Some(Series { name: days_of(outlook.horizon), class, shape: Shape::Line(curve) })
    });
    let mut series: Vec<Series> = series.collect();
    series.reverse();
    Chart {
        name: "curve",
        title: "Highest fifth less lowest".into(),
        note: "What a book earned, without costs and without compounding, that at each next open puts one part of the horizon into the \
               fifth of the symbols with the highest signals and against the fifth with the lowest. Each day stands at its signal."
            .into(),
        unit: Unit::Share,
        logarithmic: false,
        series,
        hints: Vec::new(),
    }
}

fn quantiles(sheet: &TearSheet) -> Markup {
    html! {
        section.figures id="quantiles" {
            h2 { "Returns by fifth of the symbols" }
            p.note { "Mean return over the horizon less that of all symbols of the day, over symbols and days; the first fifth has the lowest signals." }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "From, for" }
                    @for fifth in 1..=5 { th scope="col" { (fifth) } }
                    th scope="col" { "5 less 1, mean of days" }
                } }
                tbody { @for outlook in &sheet.outlooks {
                    tr {
                        th scope="row" { (entry(outlook)) ", " (days_of(outlook.horizon)) }
                        @for mean in &outlook.quantile_returns { td { (share_of(*mean)) } }
                        td { (share_of(outlook.top_minus_bottom)) }
                    }
                } }
            } }
        }
    }
}

fn share_of(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| percent(value, 3))
}

/// A chart of the months for each horizon.
fn months(sheet: &TearSheet, dates: &[NaiveDate]) -> Vec<Chart> {
    let months: Vec<(String, (usize, usize))> = {
        let month = |date: &NaiveDate| YearMonth::of(*date);
        let mut next = 0;
        let stretches = dates.chunk_by(|a, b| month(a) == month(b)).filter_map(|days| {
            let first = next;
            next += days.len();
            Some((month(days.first()?).to_string(), (first, next - 1)))
        });
        stretches.collect()
    };
    let chart = |(outlook, name): (&OutlookSheet, &'static str)| {
        let bar = |period: &Period| {
            let (month, days) = months.iter().find(|(month, _)| *month == period.period)?;
            let value = period.ic.mean_rank_ic?;
            let text = format!("{month}: {} on {} days", grouped(value, 3), period.ic.days);
            Some(Bar { days: *days, value, text })
        };
        Chart {
            name,
            title: format!("By month, {}", days_of(outlook.horizon)),
            note: "Mean rank correlation of the days of a month, from the next open.".into(),
            unit: Unit::Plain,
            logarithmic: false,
            series: vec![Series {
                name: "Rank correlation".into(),
                class: "own",
                shape: Shape::Bars(outlook.by_month.iter().filter_map(bar).collect()),
            }],
            hints: Vec::new(),
        }
    };
    tradable(sheet).zip(MONTHLY).map(chart).collect()
}

fn years(sheet: &TearSheet) -> Markup {
    let outlooks: Vec<&OutlookSheet> = tradable(sheet).collect();
    // The shortest horizon has every year that any has.
    let years: Vec<&str> = outlooks
        .first()
        .map(|first| first.by_year.iter().map(|year| year.period.as_str()).collect())
        .unwrap_or_default();
    let cell = |outlook: &OutlookSheet, year: &str| {
        let found = outlook.by_year.iter().find(|period| period.period == year).map(|period| period.ic);
        let ic = found.unwrap_or_default();
        format!("{} ({})", decimals(ic.mean_rank_ic, 3), ratio(ic.t_newey_west))
    };
    html! {
        section.years id="years" {
            h2 { "By year" }
            p.note { "Mean rank correlation from the next open, and its t in brackets." }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Year" }
                    @for outlook in &outlooks { th scope="col" { (days_of(outlook.horizon)) } }
                } }
                tbody { @for year in years {
                    tr { th scope="row" { (year) } @for outlook in &outlooks { td { (cell(outlook, year)) } } }
                } }
            } }
        }
    }
}

fn signal(sheet: &TearSheet) -> Markup {
    let of = &sheet.signal;
    html! {
        section.difference id="signal" {
            h2 { "The signal itself" }
            div.scroll { table { tbody {
                tr { th scope="row" { "Symbols with a close that have the signal, mean of days" } td { (share(of.coverage)) } }
                tr { th scope="row" { "Correlation of ranks with those of the signal's day before" } td { (decimals(of.rank_autocorrelation, 4)) } }
                @for (fifth, share_of_fifth) in (1..).zip(&of.turnover) {
                    tr {
                        th scope="row" { "Symbols of fifth " (fifth) " that were not in it the day before" }
                        td { (share(*share_of_fifth)) }
                    }
                }
                tr { th scope="row" { "Days without trading, from which nothing is followed" } td { (count(of.days_without_trading)) } }
                tr { th scope="row" { "Signals of symbols without a close that day" } td { (count(of.signals_without_price)) } }
            } } }
        }
    }
}

fn left_out(sheet: &TearSheet) -> Markup {
    html! {
        section.figures id="left_out" {
            h2 { "What does not count" }
            p.note { "Nothing is filled: a symbol without a price at one end of a horizon is left out of that day, a day with fewer than three symbols or without variation has no correlation." }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "From, for" }
                    @for head in ["Days still ahead", "Days with too few symbols", "Days without variation", "Signals without a return"] {
                        th scope="col" { (head) }
                    }
                } }
                tbody { @for outlook in &sheet.outlooks {
                    tr {
                        th scope="row" { (entry(outlook)) ", " (days_of(outlook.horizon)) }
                        td { (count(outlook.days_ahead)) }
                        td { (count(outlook.days_with_too_few_symbols)) }
                        td { (count(outlook.days_without_variation)) }
                        td { (count(outlook.signals_without_return)) }
                    }
                } }
            } }
        }
    }
}
