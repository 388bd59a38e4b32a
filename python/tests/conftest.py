"""The tests speak to the real program: that of the checkout, unless BACKTESTS_PROGRAM names another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PRICES = ROOT / "examples/data/wiki5_ohlcv_daily.parquet"

if "BACKTESTS_PROGRAM" not in os.environ:
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "backtests"
    if built.is_file():
        os.environ["BACKTESTS_PROGRAM"] = str(built)

import backtests as bt  # noqa: E402 - after the program is named


@pytest.fixture(scope="session")
def prices() -> pd.DataFrame:
    return pd.read_parquet(PRICES)


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory, prices: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    bt.write_prices(prices, folder)
    return folder


@pytest.fixture(scope="session")
def service(lake: Path) -> Iterator[bt.LocalService]:
    with bt.local(lake=lake) as service:
        yield service


@pytest.fixture(scope="session")
def run(service: bt.LocalService) -> bt.Run:
    return service.submit(ROOT / "examples/momentum.yaml").wait(timeout=120)
