//! How answers look on a terminal: tables that fit it, numbers under their heads, and nothing that could steer it.

use std::borrow::Cow;
use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::say;

/// Columns of a terminal whose width is not known.
const WIDTH: usize = 80;

/// Blanks between two columns.
const GAP: usize = 2;

/// A column of a table.
pub(super) struct Column {
    head: String,
    numeric: bool,
}

impl Column {
    /// Words, aligned to the left.
    pub(super) fn text(head: &str) -> Self {
        Self { head: head.to_owned(), numeric: false }
    }

    /// Numbers, aligned to the right.
    pub(super) fn number(head: &str) -> Self {
        Self { head: head.to_owned(), numeric: true }
    }
}

/// Columns of the terminal; 80 elsewhere.
pub(super) fn width() -> usize {
    let size = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    size.map_or(WIDTH, |(width, _)| usize::from(width.0).max(40))
}

/// Prints rows below their heads. The last column gives way where the whole is too wide.
pub(super) fn print(columns: &[Column], rows: &[Vec<String>]) {
    say(render(columns, rows, width()));
}

fn render(columns: &[Column], rows: &[Vec<String>], width: usize) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.head.clone()));
    let widest = widths(columns, rows, width);
    for row in rows {
        table.add_row(row.iter().zip(&widest).map(|(cell, &widest)| shortened(&one_line(cell), widest)));
    }
    for (nth, column) in table.column_iter_mut().enumerate() {
        let numeric = columns.get(nth).is_some_and(|column| column.numeric);
        column.set_cell_alignment(if numeric { CellAlignment::Right } else { CellAlignment::Left });
        column.set_padding((0, if nth + 1 == columns.len() { 0 } else { GAP as u16 }));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The widest that each column may get, so that all of them fit: the last one is cut first.
fn widths(columns: &[Column], rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let natural = |(nth, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(nth)).map(|cell| cell.chars().count());
        cells.chain([column.head.chars().count()]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = columns.iter().enumerate().map(natural).collect();
    let Some((last, others)) = widths.split_last_mut() else { return widths };
    let taken = others.iter().map(|width| width + GAP).sum::<usize>();
    *last = (*last).min(width.saturating_sub(taken).max(8));
    widths
}

/// Rows of a document, as many columns as fit; the others are named below.
pub(super) fn print_records(rows: &[Value], wanted: &[&str]) {
    let Some(first) = rows.first().and_then(Value::as_object) else { return };
    let known = first.keys().map(String::as_str);
    let mut names: Vec<&str> = wanted.iter().copied().filter(|name| first.contains_key(*name)).collect();
    names.extend(known.filter(|name| !wanted.contains(name)));
    let is_number = |name: &str| rows.iter().any(|row| row[name].is_number());
    let columns: Vec<Column> = names
        .iter()
        .map(|name| if is_number(name) { Column::number(name) } else { Column::text(name) })
        .collect();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| names.iter().map(|name| cell(&row[*name])).collect()).collect();
    let natural = widths(&columns, &cells, usize::MAX);
    let (mut fitting, mut taken) = (0, 0);
    for width in natural {
        if fitting > 0 && taken + width > self::width() {
            break;
        }
        (fitting, taken) = (fitting + 1, taken + width + GAP);
    }
    let shown: Vec<Vec<String>> =
        cells.into_iter().map(|row| row.into_iter().take(fitting).collect()).collect();
    print(&columns[..fitting], &shown);
    if let Some(left @ [_, ..]) = names.get(fitting..) {
        say(format_args!("not shown: {} (--output json has all)", left.join(", ")));
    }
}

/// A value of a document in a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.6}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// A share in percent.
pub(super) fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

/// A number with two decimals.
pub(super) fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// Text without anything that a terminal obeys: control characters, and those that turn the direction of writing, are
/// written as JSON would escape them. Line ends and tabs stay.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if steers(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

fn shortened(text: &str, widest: usize) -> String {
    if text.chars().count() <= widest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(widest.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
