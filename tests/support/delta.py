"""Delta tables as the Python package `deltalake` writes and reads them.

    delta.py make LAKE                  rankings and signals as an earlier system left them
    delta.py signals LAKE               signals in several files a month, and no rankings
    delta.py rankings LAKE FILE         the rankings of a Parquet file
    delta.py read LAKE MONTH...         the signals of some months, as JSON
"""

import json
import os
import sys
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

RANKINGS = "platinum/rankings"
RANKING_SIGNALS = "platinum/signals/ranking_signals"
COMPOSITES = "platinum/signals/daily"


def rankings(month, days, strategies, turn):
    """A symbol a rank, turned by the day; symbol C has no score."""
    names = ["A", "B", "C", "D", "E"]
    rows = []
    for day in days:
        for at, strategy in enumerate(strategies):
            for place in range(len(names)):
                symbol = names[(place * (at + 1) + day + turn) % len(names)]
                rows.append((datetime(2020, month, day), strategy, symbol, place + 1, None if symbol == "C" else -place / 3, None))
    date, strategy, symbol, rank, score, meta = zip(*rows)
    return pa.table({
        "date": pa.array(date, pa.timestamp("us")),  # without a zone: timestamp_ntz
        "strategy": pa.array(strategy),
        "symbol": pa.array(symbol),
        "rank": pa.array(rank, pa.int64()),
        "score": pa.array(score, pa.float64()),
        "meta": pa.array(meta, pa.string()),
    })


def make(lake):
    place = f"{lake}/{RANKINGS}"
    strategies = ["fast", "slow"]
    write_deltalake(place, rankings(1, [2, 3], strategies, 0), partition_by=["strategy"])
    # Several files a partition, and months that share none of them.
    write_deltalake(place, rankings(1, [6], strategies, 0), mode="append")
    write_deltalake(place, rankings(2, [3, 4], strategies, 0), mode="append")
    DeltaTable(place).create_checkpoint()
    # A month whose rankings were written again.
    write_deltalake(place, rankings(2, [3, 4, 5], strategies, 2), mode="overwrite", predicate="date >= '2020-02-01'")
    write_deltalake(place, rankings(3, [2], strategies, 1), mode="append")

    # Signals of the first month with a row that is wrong, and of a month that is gone.
    rows = {
        "date": pa.array([datetime(2020, 1, 2), datetime(2019, 12, 2)], pa.timestamp("us")),
        "year_month": pa.array(["2020-01", "2019-12"]),
        "symbol": pa.array(["WRONG", "GONE"]),
    }
    ranking = {"strategy": pa.array(["fast", "slow"]), "rank": pa.array([1, 1]), "rank_percentile": pa.array([1.0, 1.0]),
               "n_symbols": pa.array([1, 1]), "score": pa.array([None, 1.0], pa.float64())}
    composite = {"composite_percentile": pa.array([1.0, 1.0]), "composite_rank": pa.array([1, 1]),
                 "strategies_present": pa.array([1, 1]), "strategies_hit": pa.array([1, 1])}
    write_deltalake(f"{lake}/{RANKING_SIGNALS}", pa.table(rows | ranking), partition_by=["year_month"])
    write_deltalake(f"{lake}/{COMPOSITES}", pa.table(rows | composite), partition_by=["year_month"])
    protocol = DeltaTable(f"{lake}/{COMPOSITES}").protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (3, 7), protocol


def signals(lake):
    for day in (4, 5):
        for symbol in ("B", "A"):
            rows = {"date": pa.array([datetime(2020, 5, day)], pa.timestamp("us")), "year_month": pa.array(["2020-05"]),
                    "symbol": pa.array([symbol])}
            rank = 1 if symbol == "A" else 2
            ranking = {"strategy": pa.array(["slow"]), "rank": pa.array([rank]), "rank_percentile": pa.array([2.0 - rank]),
                       "n_symbols": pa.array([2]), "score": pa.array([None], pa.float64())}
            composite = {"composite_percentile": pa.array([2.0 - rank]), "composite_rank": pa.array([rank]),
                         "strategies_present": pa.array([1]), "strategies_hit": pa.array([1])}
            for place, columns in [(RANKING_SIGNALS, ranking), (COMPOSITES, composite)]:
                write_deltalake(f"{lake}/{place}", pa.table(rows | columns), partition_by=["year_month"], mode="append")
    DeltaTable(f"{lake}/{COMPOSITES}").create_checkpoint()


def put_rankings(lake, file):
    write_deltalake(f"{lake}/{RANKINGS}", pq.read_table(file), partition_by=["strategy"], mode="overwrite")


def read(lake, months):
    answer = {}
    for name, place in [("ranking_signal", RANKING_SIGNALS), ("composite_signal_daily", COMPOSITES)]:
        try:
            table = DeltaTable(f"{lake}/{place}").to_pyarrow_table()
        except Exception as error:  # a lake without signals
            if "no log files" not in str(error).lower() and "not a delta table" not in str(error).lower():
                raise
            answer[name] = []
            continue
        if months:
            table = table.filter(pc.is_in(table["year_month"], pa.array(months)))
        rows = table.to_pylist()
        for row in rows:
            row["date"] = str(row["date"])[:10]
        answer[name] = sorted(rows, key=lambda row: (row["date"], row["symbol"], row.get("strategy", "")))
    print(json.dumps(answer))


if __name__ == "__main__":
    command, lake, *rest = sys.argv[1:]
    commands = {
        "make": lambda: make(lake),
        "signals": lambda: signals(lake),
        "rankings": lambda: put_rankings(lake, *rest),
        "read": lambda: read(lake, rest),
    }
    commands[command]()
    # Threads of the packages may outlive the interpreter and end it with an error.
    sys.stdout.flush()
    os._exit(0)
