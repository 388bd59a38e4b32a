"""Tables of a lake from data frames, with the checks of `backtests lake import`: the program decides, not this file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .frames import to_arrow
from .local import call_program

PRICES = "gold/prices_daily"
"""Where a lake has its prices unless a config says otherwise."""


def write_prices(prices: Any, lake: str | os.PathLike[str], *, table: str = PRICES, replace: bool = False) -> str:
    """Puts daily bars (date, symbol, open, close; high, low, volume, adj_close) into a lake, and says what was done.

    `prices` is a frame of pandas (dates and symbols may be its index) or polars, or an Arrow table. Impossible rows are
    refused as a whole with `ProgramFailed`, whose text names them.
    """
    options = ["--replace"] if replace else []
    return _import(prices, lake, table, options)


def write_signals(signals: Any, lake: str | os.PathLike[str], table: str, *, replace: bool = False) -> str:
    """Puts signals (date, symbol and any columns of numbers) into a table of a lake, and says what was done.

    A config reads them with `data: {signal_path: <table>}`.
    """
    options = ["--signals", *(["--replace"] if replace else [])]
    return _import(signals, lake, table, options)


def _import(frame: Any, lake: str | os.PathLike[str], table: str, options: list[str]) -> str:
    with tempfile.TemporaryDirectory(prefix="backtests-") as folder:
        file = Path(folder) / "table.parquet"
        pq.write_table(to_arrow(frame), file)
        return call_program("lake", "import", str(file), "--table", table, "--lake", os.fspath(lake), *options)
