"""The notebook of the examples: it runs, and what lies in the repository is what comes of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))

import notebook

PASSING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|RUN\d{8}-[0-9a-f]+|lake-\w+")
"""What is another each time."""


def test_the_notebook_of_the_repository_is_what_comes_of_running_it() -> None:
    made, kept = notebook.notebook(), nbformat.read(notebook.TARGET, as_version=4)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in made.cells], "write it again"
    assert [_said(cell) for cell in kept.cells] == [_said(cell) for cell in made.cells], "write it again"
    assert any("Sharpe ratio" in text for cell in made.cells for text in _said(cell))


def _said(cell: nbformat.NotebookNode) -> list[str]:
    """The plain texts of a cell's outputs; those of the bar depend on how fast the machine is."""
    outputs = [output for output in cell.get("outputs", []) if output.output_type != "update_display_data"]
    texts = [str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs]
    return [PASSING.sub("…", text) for text in texts if "█" not in text and "·" not in text]
