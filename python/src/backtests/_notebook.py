"""A run in a notebook: its figures and the curve of its value, small. Every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

FIGURES = (
    ("total_return", "Total return", "{:+.2%}"),
    ("annualized_return", "A year", "{:+.2%}"),
    ("sharpe_ratio", "Sharpe ratio", "{:.2f}"),
    ("max_drawdown", "Deepest drawdown", "{:.2%}"),
    ("annualized_volatility", "Volatility", "{:.2%}"),
    ("total_costs", "Costs", "{:,.0f}"),
)

WIDTH, HEIGHT = 480, 90


def card(record: Mapping[str, Any], curve: Sequence[float | None] | None) -> str:
    """A run as a small piece of HTML."""
    name = record.get("run_name") or record["run_id"]
    head = f"<b>{escape(str(name))}</b> <code>{escape(record['run_id'])}</code> {escape(record['status'])}"
    summary = record.get("summary") or {}
    cells = "".join(
        f"<td style='text-align:right;padding:2px 12px 2px 0'><small>{label}</small><br>{form.format(value)}</td>"
        for key, label, form in FIGURES
        if isinstance(value := summary.get(key), int | float)
    )
    figures = f"<table style='border:none'><tr>{cells}</tr></table>" if cells else ""
    error = record.get("error")
    said = f"<div>{escape(str(error))}</div>" if error and record["status"] == "failed" else ""
    warnings = "".join(f"<div>⚠ {escape(str(text))}</div>" for text in summary.get("warnings") or ())
    return f"<div>{head}{figures}{_line(curve or ())}{said}{warnings}</div>"


def _line(curve: Sequence[float | None]) -> str:
    """The curve as an SVG line, whatever the colours of the page are."""
    values = [value for value in curve if value is not None]
    if len(values) < len(("first", "last")):
        return ""
    low, high = min(values), max(values)
    height = (high - low) or 1.0
    step = WIDTH / (len(values) - 1)
    points = " ".join(
        f"{place * step:.1f},{HEIGHT - 2 - (value - low) / height * (HEIGHT - 4):.1f}"
        for place, value in enumerate(values)
    )
    return (
        f"<svg width='{WIDTH}' height='{HEIGHT}' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
        f"aria-label='value of the portfolio over time'><polyline points='{points}' fill='none' "
        "stroke='currentColor' stroke-width='1.3'/></svg>"
    )
