"""The tests use the installed package and the program beside it, unless BACKTESTS_PROGRAM names another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import backtests as bt

ROOT = Path(__file__).resolve().parents[2]
PRICES = ROOT / "examples/data/wiki5_ohlcv_daily.parquet"


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
