"""Runs and their tables, from a real service."""

from __future__ import annotations

import asyncio
import sys
from io import BytesIO
from pathlib import Path

import pandas as pd
import pandas.testing
import polars as pl
import pyarrow as pa
import pytest

import backtests as bt
from backtests import frames

CONFIG = {
    "run_name": "hold",
    "start_date": "2010-01-04",
    "end_date": "2010-12-31",
    "universe": {"symbols": ["AAPL", "IBM"]},
    "strategy": {"class": "BuyAndHoldStrategy", "parameters": {"symbol": "IBM"}},
}


def test_metrics_equal_the_parquet_that_the_run_published(run: bt.Run) -> None:
    expected = pd.read_parquet(BytesIO(run.artifact("metrics_timeseries.parquet")))
    expected["date"] = pd.to_datetime(expected["date"])
    metrics = run.metrics()
    pandas.testing.assert_frame_equal(metrics, expected.set_index("date"))
    assert isinstance(metrics.index, pd.DatetimeIndex)


def test_figures_follow_from_the_tables(run: bt.Run) -> None:
    metrics, trades = run.metrics(), run.trades()
    returns = metrics["daily_return"].iloc[1:]
    assert run.summary["sharpe_ratio"] == pytest.approx(returns.mean() / returns.std(ddof=0) * 252**0.5, rel=1e-9)
    assert run.summary["final_equity"] == pytest.approx(metrics["portfolio_value"].iloc[-1], rel=1e-12)
    assert len(trades) == metrics["n_trades"].sum()


def test_positions_of_a_day_are_those_of_the_table(run: bt.Run) -> None:
    every = run.positions()
    day = every.index[len(every) // 2]
    one = run.positions(day)
    of_day = every.loc[[day]].set_index("symbol")
    pandas.testing.assert_series_equal(one["shares"], of_day["shares"])


def test_orders_lead_from_what_is_held_to_the_weights(service: bt.Client) -> None:
    run = service.submit({**CONFIG, "output": {"save_orders": True}}).wait()
    orders, weights = run.orders(), run.target_weights()
    pandas.testing.assert_series_equal(
        orders["shares_held"] + orders["shares_delta"], orders["shares_target"], check_names=False
    )
    assert weights["weight_target"].to_dict() == pytest.approx({"IBM": 1.0})
    held = run.positions()
    last = held.loc[[held.index[-1]]].set_index("symbol")
    assert weights["weight_now"].to_dict() == pytest.approx(last["weight"].to_dict())


def test_a_schedule_is_kept_until_it_is_deleted(service: bt.Client) -> None:
    config = {name: value for name, value in CONFIG.items() if name != "end_date"}
    stored = service.schedule("daily", config, cron="0 30 22 * * *")
    assert (stored["config"], stored["cron"]) == (config, "0 30 22 * * *")
    assert list(service.schedules().index) == ["daily"]
    service.unschedule("daily")
    assert len(service.schedules()) == 0


def test_rolling_measures_are_missing_until_the_window_is_full(run: bt.Run) -> None:
    rolling = run.rolling(21)
    assert rolling["rolling_return"].iloc[:20].isna().all()
    assert rolling["rolling_return"].iloc[21:].notna().all()
    assert len(rolling) == len(run.metrics())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_library_that_is_not_there_is_named_with_what_to_do(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"a": [1]})
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {library}"):
        frames.from_arrow(table, library)  # type: ignore[arg-type]


def test_tables_come_in_the_library_that_was_asked_for(run: bt.Run) -> None:
    assert isinstance(run.metrics(as_="polars"), pl.DataFrame)
    assert isinstance(run.metrics(as_="arrow"), pa.Table)
    assert run.metrics(as_="polars").height == len(run.metrics())
    with pytest.raises(ValueError, match="pandas, polars or arrow"):
        run.metrics(as_="numpy")  # type: ignore[arg-type]


def test_runs_are_rows_with_their_figures(service: bt.LocalService, run: bt.Run) -> None:
    table = service.runs(status="completed")
    assert table.loc[run.id, "sharpe_ratio"] == run.summary["sharpe_ratio"]
    assert table.loc[run.id, "run_name"] == "momentum, top two of five"


def test_a_mapping_and_its_text_are_the_same_config(service: bt.LocalService) -> None:
    import json  # noqa: PLC0415

    one = service.submit(CONFIG)
    other = service.submit("# as YAML\n" + json.dumps(CONFIG))
    assert one.record["config_sha256"] == other.record["config_sha256"]


def test_a_repeat_with_the_same_key_is_the_same_run(service: bt.LocalService) -> None:
    one = service.submit(CONFIG, idempotency_key="once")
    assert service.submit(CONFIG, idempotency_key="once").id == one.id


def test_every_fault_of_a_config_is_told(service: bt.LocalService) -> None:
    with pytest.raises(bt.ServiceError) as refused:
        service.submit({**CONFIG, "initial_cash": -1, "speed": 3})
    assert refused.value.code == "invalid_config"
    assert {fault.path for fault in refused.value.faults} == {"initial_cash", "speed"}
    assert "initial_cash: " in str(refused.value)


def test_a_run_that_fails_says_why(service: bt.LocalService) -> None:
    run = service.submit({**CONFIG, "universe": {"symbols": ["NOBODY"]}, "strategy": {"class": "BuyAndHoldStrategy"}})
    with pytest.raises(bt.RunFailed, match=r"NOBODY|no price") as failed:
        run.wait(timeout=60)
    assert failed.value.reason == "invalid_data"
    with pytest.raises(bt.RunFailed):
        run.metrics()


def test_a_run_in_a_notebook_is_a_card_without_foreign_markup(service: bt.LocalService, run: bt.Run) -> None:
    assert "<svg" in run._repr_html_()
    assert "Sharpe ratio" in run._repr_html_()
    sly = service.submit({**CONFIG, "run_name": "<script>alert(1)</script>"})
    assert "<script>" not in sly._repr_html_()


def test_the_client_that_is_awaited_does_the_same(service: bt.LocalService, run: bt.Run) -> None:
    async def metrics() -> pd.DataFrame:
        async with bt.AsyncClient(service.url, key="") as client:
            submitted = await client.submit(CONFIG)
            await submitted.wait(timeout=60)
            table = await client.runs(limit=1000)
            assert submitted.id in table.index
            return await (await client.run(run.id)).metrics()

    pandas.testing.assert_frame_equal(asyncio.run(metrics()), run.metrics())


def test_prices_that_cannot_be_are_refused_with_their_place(lake: object, prices: pd.DataFrame) -> None:
    wrong = prices.head(5).assign(close=[1.0, -2.0, 3.0, 4.0, 5.0])
    with pytest.raises(bt.ProgramFailed, match="close"):
        bt.write_prices(wrong, str(lake), table="gold/wrong")


def test_runs_compared_are_figures_and_a_sentence(service: bt.LocalService, run: bt.Run) -> None:
    other = service.submit({**CONFIG, "start_date": "2005-01-03", "end_date": "2013-03-01"}).wait(timeout=60)
    compared = bt.compare(run, other)
    assert "Sharpe ratio" in compared.sentence
    figures = compared.figures()
    assert figures.loc["sharpe_ratio", "A"] == pytest.approx(run.summary["sharpe_ratio"], rel=1e-9)
    assert "strategy.class" in compared.config_diff().index
    assert compared.sentence in compared._repr_html_()
    with pytest.raises(ValueError, match="nothing to compare"):
        bt.compare(run)


def test_what_is_noted_on_a_run_is_found_again(service: bt.LocalService) -> None:
    run = service.submit({**CONFIG, "run_name": "noted"}).wait(timeout=60)
    run.tag("q3").tag("us", "q3")
    assert run.record["tags"] == ["q3", "us"]
    assert list(service.runs(tag="q3").index) == [run.id]
    run.amend(run_name="noted twice", note="look at the costs", archived=True)
    assert run.refresh().record["note"] == "look at the costs"
    assert run.id not in service.runs(q="noted").index
    run.delete()
    with pytest.raises(bt.ServiceError) as gone:
        run.metrics()
    assert gone.value.code == "run_deleted"


def test_signals_of_a_frame_are_what_a_run_decides_by(
    service: bt.LocalService, lake: Path, prices: pd.DataFrame
) -> None:
    signals = prices[["date", "symbol"]].assign(mine=(prices["symbol"] == "IBM").astype(float))
    bt.write_signals(signals, lake, "platinum/signals/mine")
    run = service.submit(
        {
            **CONFIG,
            "data": {"signal_path": "platinum/signals/mine"},
            "strategy": {"class": "TopNSignalStrategy", "parameters": {"signal_column": "mine", "top_n": 1}},
        }
    ).wait(timeout=60)
    assert set(run.trades()["symbol"]) == {"IBM"}
    with pytest.raises(bt.ProgramFailed, match="mine"):
        bt.write_signals(signals.assign(mine="high"), lake, "platinum/signals/words")


def test_a_study_is_its_trials_and_how_far_the_best_can_be_believed(service: bt.LocalService) -> None:
    top, rebalance = "strategy.parameters.top_n", "strategy.parameters.rebalance"
    study = service.study(
        Path(__file__).parents[2] / "examples/momentum.yaml",
        {top: [1, 2], rebalance: ["monthly", "quarterly"]},
        name="four",
    ).wait(timeout=120)
    trials = study.trials()
    assert len(trials) == 4
    assert set(trials[top]) == {1, 2}
    assert study.statistics["sentence"].startswith("The best of")
    surface = study.surface(x=top, y=rebalance)
    assert surface.loc["monthly", 1] == trials.query(f"`{top}` == 1 and `{rebalance}` == 'monthly'").sharpe_ratio.item()
    run = study.run(0).wait(timeout=120)
    assert run.summary["sharpe_ratio"] == trials.sharpe_ratio[0]


def test_a_whole_study_has_its_own_options(service: bt.LocalService) -> None:
    with pytest.raises(ValueError, match="no effect without parameters"):
        service.study("study: {}", samples=3)
    with pytest.raises(bt.ServiceError) as refused:
        service.study({"study": {"parameters": {"no.such": [1]}}, "base": {}})
    assert refused.value.faults
