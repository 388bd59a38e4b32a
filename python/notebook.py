"""Writes `examples/notebook.ipynb` with its outputs: `python python/notebook.py`, from the root of the checkout.

The cells stand here, where they can be read and changed; the file in `examples/` is what came of running them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "examples/notebook.ipynb"

STEPS = [
    (
        "# A first backtest\n\nPrices from a data frame, a local service, one run, another, and whether they differ by "
        "more than chance. Everything happens on this machine, in a folder of its own.",
        """import tempfile
from pathlib import Path

import pandas as pd

import backtests as bt

lake = Path(tempfile.mkdtemp(prefix="lake-"))
prices = pd.read_parquet("data/wiki5_ohlcv_daily.parquet")
prices.tail(3)""",
    ),
    (
        "`write_prices` checks what it is given as `backtests lake import` does.",
        "said = bt.write_prices(prices, lake)",
    ),
    (
        "A config is a mapping, YAML text or a path. The service starts on a free port and ends with `close()`.",
        """service = bt.local(lake=lake)
config = {
    "run_name": "momentum, top two of five",
    "start_date": "2005-01-03",
    "end_date": "2013-03-01",
    "universe": {"symbols": ["AAPL", "FB", "GOOG", "IBM", "MSFT"]},
    "strategy": {
        "class": "TopNSignalStrategy",
        "parameters": {"signal_column": "momentum_12_1", "top_n": 2, "rebalance": "monthly"},
    },
    "broker": {"slippage_bps": 5, "commission": 0.0005},
    "benchmark": "equal_weight",
}
run = service.submit(config, run_id="momentum").wait()
run""",
    ),
    (
        "Tables are data frames by day.",
        'run.metrics()[["portfolio_value", "drawdown", "gross_exposure"]].tail(3)',
    ),
    ("Fills are rows by the day on which they were executed.", "run.trades().tail(3)"),
    (
        "A config with faults is refused as a whole; every fault is named by its path.",
        """try:
    service.submit({**config, "initial_cash": -1, "speed": "high"})
except bt.ServiceError as refused:
    print(refused)""",
    ),
    (
        "One name instead of two. Is the difference more than chance?",
        """concentrated = {**config, "run_name": "momentum, the best of five"}
concentrated["strategy"] = {
    "class": "TopNSignalStrategy",
    "parameters": {"signal_column": "momentum_12_1", "top_n": 1, "rebalance": "monthly"},
}
other = service.submit(concentrated, run_id="concentrated").wait()
compared = bt.compare(run, other)
print(compared.sentence)
compared.figures().loc[["total_return", "sharpe_ratio", "max_drawdown"]]""",
    ),
    (
        "Many configs are a study: each trial is a run, and the whole says how far the best can be believed.",
        """study = service.study(
    config,
    {"strategy.parameters.top_n": [1, 2, 3], "strategy.parameters.rebalance": ["weekly", "monthly", "quarterly"]},
    name="breadth and pace",
    validation={"type": "walk_forward", "train": 504, "test": 126},
).wait()
print(study.statistics["sentence"])
study.surface(x="strategy.parameters.top_n", y="strategy.parameters.rebalance").round(3)""",
    ),
    (
        "Every run is a row, every figure a column.",
        'service.runs()[["run_name", "status", "total_return", "sharpe_ratio", "max_drawdown"]]',
    ),
    ("", "service.close()"),
]
"""What is said, and the code below it."""


def notebook() -> nbformat.NotebookNode:
    """The notebook, executed."""
    cells = []
    for place, (text, code) in enumerate(STEPS):
        if text:
            cells.append(new_markdown_cell(text, id=f"text-{place}"))
        cells.append(new_code_cell(code, id=f"code-{place}"))
    made = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    NotebookClient(made, timeout=120, record_timing=False, resources={"metadata": {"path": TARGET.parent}}).execute()
    return made


if __name__ == "__main__":
    nbformat.write(notebook(), TARGET)
    sys.stdout.write(f"{TARGET.relative_to(ROOT)} written\n")
