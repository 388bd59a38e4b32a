"""A bar for a run: one line that moves on a terminal and in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

WIDTH = 30


class Bar:
    """Shows how far a run is, for as long as it is open."""

    def __init__(self, run_id: str, *, shown: bool) -> None:
        self._run_id = run_id
        self._display: Any = _notebook_display() if shown else None
        self._terminal = shown and self._display is None and sys.stderr.isatty()
        self._last = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._last:
            sys.stderr.write("\n")

    def update(self, record: Mapping[str, Any]) -> None:
        """Draws the record, if that changes anything."""
        share = 1.0 if record["status"] == "completed" else float(record.get("progress") or 0.0)
        done = round(WIDTH * share)
        note = record.get("progress_note") or ""
        line = f"{self._run_id} {'█' * done}{'·' * (WIDTH - done)} {share:4.0%} {record['status']} {note}".rstrip()
        if line == self._last:
            return
        if self._display is not None:
            self._display.update({"text/plain": line}, raw=True)
        elif self._terminal:
            sys.stderr.write(f"\r{line:<{len(self._last)}}")
            sys.stderr.flush()
        self._last = line


def _notebook_display() -> Any:
    """A place in the output of a notebook cell that can be drawn again; None outside of one."""
    if "IPython" not in sys.modules:
        return None
    import IPython  # noqa: PLC0415

    notebook: Any = IPython  # it comes without types
    shell = notebook.get_ipython()
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    return notebook.display.display({"text/plain": ""}, raw=True, display_id=True)
