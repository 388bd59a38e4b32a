"""Completed runs side by side, as the service compares them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from . import _calls, frames
from .client import Run


class Comparison:
    """What differs between runs over the days that all of them have, and whether chance explains it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    @property
    def sentence(self) -> str:
        """What came of it, in plain words."""
        return str(self.document["sentence"])

    def figures(self, as_: frames.Kind = "pandas") -> Any:
        """One row a figure, one column a run, computed again over the common days."""
        return frames.from_records(list(self.document["figures"]), as_, index="name")

    def config_diff(self, as_: frames.Kind = "pandas") -> Any:
        """One row an option that differs, one column a run."""
        rows = [
            {name: value if name == "path" else _text(value) for name, value in row.items()}
            for row in self.document["config_diff"]
        ]
        return frames.from_records(rows, as_, index="path")

    def __repr__(self) -> str:
        return f"Comparison({self.sentence!r})"

    def _repr_html_(self) -> str:
        figures = self.figures()
        return f"<p>{escape(self.sentence)}</p>{figures.to_html()}"


def compare(run: Run, *others: Run, bootstrap: int = 0) -> Comparison:
    """Compares completed runs of one service; the first is the base.

    `bootstrap` adds a test by so many resamples (Ledoit and Wolf 2008), at most 5000.
    """
    if not others:
        raise ValueError("there is nothing to compare with; give two runs or more")
    call = _calls.compare([run.id, *(other.id for other in others)], bootstrap)
    return Comparison(run.client.send(call).json())


def _text(value: Any) -> str | None:
    """Options of different types in one column."""
    return None if value is None else str(value)
