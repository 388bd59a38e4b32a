//! What each figure means: the sections of docs/figures.md that speak of figures on the page, so that page and
//! document say the same. Read here is only as much Markdown as that file has.

use maud::{Markup, html};

/// The document, which is also read in the repository.
const FIGURES: &str = include_str!("../../../docs/figures.md");

/// The sections that are shown, after the text above the first.
const SHOWN: [&str; 8] =
    ["A year", "Run and period", "Return", "Risk", "Confidence", "Trading", "Benchmark", "On the report"];

/// A figure's name with the way to its definition; `key` is the name in the summary, or the one on the page alone.
pub(super) fn defined(name: &str, key: &str) -> Markup {
    html! { a href=(format!("#{}", anchor(key))) { (name) } }
}

fn anchor(key: &str) -> String {
    let letters = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    format!("figure-{}", letters.collect::<String>())
}

/// The section at the end of the page.
pub(super) fn definitions() -> Markup {
    let sections = FIGURES.split("\n## ");
    html! {
        section.definitions {
            h2 { "What the figures mean" }
            p.note { "From docs/figures.md of the program." }
            @for (nth, text) in sections.enumerate() {
                @let (title, body) = text.split_once('\n').unwrap_or((text, ""));
                @if nth == 0 { (section(body)) }
                @if SHOWN.contains(&title) { h3 { (title) } (section(body)) }
            }
        }
    }
}

/// Paragraphs and tables.
fn section(body: &str) -> Markup {
    html! {
        @for block in body.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            @if block.starts_with('|') {
                div.scroll { table { tbody {
                    // The first two lines are the head and the rule below it.
                    @for row in block.lines().skip(2) { (definition(row)) }
                } } }
            } @else { p { (inline(block)) } }
        }
    }
}

/// A row: names, formula, and mostly a source.
fn definition(row: &str) -> Markup {
    let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
    let names = cells.next().unwrap_or_default();
    html! {
        tr {
            th scope="row" {
                @for (nth, name) in names.split(", ").map(|name| name.trim_matches('`')).enumerate() {
                    @if nth > 0 { ", " }
                    span id=(anchor(name)) { (name) }
                }
            }
            td {
                (inline(cells.next().unwrap_or_default()))
                @for source in cells.map(|cell| cell.trim_matches(['|', ' '])).filter(|cell| !cell.is_empty()) {
                    " (" (inline(source)) ")"
                }
            }
        }
    }
}

/// Code and emphasis; of a link, its words.
fn inline(text: &str) -> Markup {
    let text = text.replace('\n', " ");
    html! {
        @for (nth, part) in text.split('`').enumerate() {
            @if nth % 2 == 1 { code { (part) } } @else { (without_links(part)) }
        }
    }
}

fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, target)) = link.split_once("](") else { break };
        let Some((_, after)) = target.split_once(')') else { break };
        plain.push_str(before);
        plain.push_str(words);
        rest = after;
    }
    plain.push_str(rest);
    plain.replace('*', "")
}
