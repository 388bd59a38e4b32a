"""The engine beside the programs that people would pick instead: the same panel, the same work, in one session.

Reads what `BENCH_PANELS=DIR cargo bench --bench bench` wrote (`mod.rs` beside this file), checks that every program
gets the result that its rules give, measures them and prints one table, the same as JSON in
`target/criterion/peers.json`. `make peers` does it all.

The work: at the first close of each month, the best N symbols with a positive return from 252 to 21 bars ago, equal
weights, traded on the next bar at 10 basis points, and the value of the account on every day.

What is measured: from the panel, which each program has in the form it likes best, to the daily values. Every program
gets its symbols from `Months`, which NumPy does quickly and for the days of decision alone; their own ways rank every
day. `d` is shared out over all cores, with one ranking for all sets of a core.

How results are compared: no two programs book costs in the same way. `account_under` is a plain account that knows all
their ways; each program, ours too, must agree with it to 1e-9 under its own `Rules`, on every day (for `d`, on the last
one). How far those rules lead away from our result is a column of the table.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
CRITERION = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "criterion"
CORES = os.cpu_count() or 1

CASH = 1_000_000.0
COST = 0.001
"""Ten basis points of what is traded."""
RESERVE = 2 * COST
"""Part of the account that is never invested, for programs that cannot owe the costs of a purchase: those of selling
everything and buying it anew."""
AGREES = 1e-9
NOISY = 0.25
"""A spread, (most - least) / median, from which on a figure says nothing."""


# The work ---------------------------------------------------------------------------------------------------------


class Panel:
    """Days x symbols, without gaps."""

    def __init__(self, path):
        import polars as pl

        rows = pl.read_parquet(path)
        self.dates = rows["date"].unique(maintain_order=True).to_numpy()
        self.symbols = rows["symbol"].head(len(rows) // len(self.dates)).to_list()
        shape = len(self.dates), len(self.symbols)
        self.open, self.close = (rows[name].to_numpy().reshape(shape).copy() for name in ("open", "close"))
        self.days, self.width = self.close.shape

    @cached_property
    def decisions(self):
        """The first bar of each month that has a year before it and a day after it. Known before the clock starts."""
        month = self.dates.astype("datetime64[M]")
        first = np.flatnonzero(month[1:] != month[:-1]) + 1
        return first[(first >= 252) & (first < self.days - 1)]


class Months:
    """What to hold from the bar after each decision on. `best` symbols are ranked, of which a set may take fewer."""

    def __init__(self, panel, best):
        at = panel.decisions
        self.fills = at + 1
        signal = panel.close[at - 21] / panel.close[at - 252] - 1
        top = np.argpartition(-signal, best - 1, axis=1)[:, :best]
        value = np.take_along_axis(signal, top, axis=1)
        self._ranked = np.take_along_axis(top, np.argsort(-value, axis=1), axis=1)
        self._rising = (value > 0).sum(axis=1)

    def held(self, n):
        """The symbols of each month, as indices, for a set that holds `n`."""
        return [row[: min(n, rising)] for row, rising in zip(self._ranked, self._rising)]


@dataclass(frozen=True)
class Holdings:
    """One set: symbols from each fill on, in equal parts."""

    fills: np.ndarray
    held: list

    def until(self, days):
        """First bar, bar after the last, and symbols of each month."""
        return zip(self.fills, [*self.fills[1:], days], self.held)

    def put(self, cells, invested):
        """Writes the target weights of the days with a fill into days x symbols."""
        for fill, held in zip(self.fills, self.held):
            cells[fill] = 0
            cells[fill, held] = invested / max(len(held), 1)


# What is right ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """How a program books a rebalance."""

    fills: str
    """`next_open` or `next_close`, as our configs say it."""
    sizes: str = "from equity"
    """`from equity` before all costs; purchases `from what is left` after selling; `with costs` inside each order."""
    buying: float = COST
    selling: float = COST
    invested: float = 1.0
    band: float = 0.0
    """Nothing trades as long as no more than this part of the account would."""


OURS = Rules("next_open")


def account_under(rules, panel, holdings):
    """Daily values of a plain account under such rules."""
    prices = panel.open if rules.fills == "next_open" else panel.close
    cash, shares = CASH, np.zeros(panel.width)
    values = np.full(panel.days, CASH)
    for begin, end, held in holdings.until(panel.days):
        price = prices[begin]
        worth = shares * price
        equity = cash + worth.sum()
        weight = np.zeros(panel.width)
        weight[held] = rules.invested / max(len(held), 1)
        change = weight * equity - worth
        if np.abs(change).sum() / 2 <= rules.band * equity:
            change[:] = 0
        bought, sold = np.maximum(change, 0), -np.minimum(change, 0)
        if rules.sizes == "from what is left":
            kept = worth - sold
            left = equity - rules.selling * sold.sum()
            # Once everything is sold this kind of account starts anew, with the cash of the first day ...
            bought = np.maximum(weight * (left if kept.any() else CASH) - kept, 0)
            # ... and it makes no purchase that it cannot pay.
            spent = 0
            for symbol in np.flatnonzero(bought):
                price_paid = bought[symbol] * (1 + rules.buying)
                if spent + price_paid > left - kept.sum():
                    bought[symbol] = 0
                else:
                    spent += price_paid
        elif rules.sizes == "with costs":
            bought /= 1 + rules.buying
            sold[weight > 0] /= 1 - rules.selling
        cash += sold.sum() * (1 - rules.selling) - bought.sum() * (1 + rules.buying)
        shares = np.where(weight > 0, (worth + bought - sold) / price, 0)
        values[begin:end] = cash + panel.close[begin:end, held] @ shares[held]
    return values


# The programs -----------------------------------------------------------------------------------------------------


class RaptorBt:
    """`simulate_rebalance_policy`, the only one of its engines that trades towards weights: baskets and portfolios go
    in and out by flags. It has one price a day, and the costs of Indian delivery instead of a rate. It trades every N
    days or when weights have drifted; months are neither, so that the targets drift with the prices until the next
    one."""

    package = "raptorbt"
    sets = 1000
    # More than the weights differ from the targets because of costs, less than a month moves them.
    BAND = 0.0025

    def __init__(self, panel):
        import raptorbt

        self.simulate = raptorbt.simulate_rebalance_policy
        self.prices = panel.close
        rate = raptorbt.indian_cost_schedule("equity_delivery")
        fees = rate["exchange_txn_rate"] + rate["sebi_turnover_rate"]
        selling = rate["stt_rate"] + fees * (1 + rate["gst_rate"])
        self.rules = Rules("next_close", buying=selling + rate["stamp_duty_rate"], selling=selling, band=self.BAND)

    def run(self, holdings):
        targets = np.zeros(self.prices.shape)
        for begin, end, held in holdings.until(len(targets)):
            drift = self.prices[begin:end, held] / self.prices[begin, held]
            targets[begin:end, held] = drift / drift.sum(axis=1, keepdims=True)
        return self.simulate(self.prices, targets, CASH, "band", self.BAND, dp_charge_per_isin=0.0).equity_curve()

    def sweep(self, sets):
        return [self.run(holdings)[-1] for holdings in sets]


class PolarsBt:
    """The expression `mosaic` over a dense frame, days then symbols, with returns before and after the fill. It makes
    no purchase that the cash does not cover, so that a reserve has to pay for the costs. When a month has no symbol of
    the month before it, it sizes the new ones from the cash of the first day instead of the account's."""

    package = "polars_bt"
    sets = 1000

    def __init__(self, panel):
        import polars as pl
        from polars_bt import mosaic

        self.panel, self.column = panel, pl.Series
        before = np.vstack([panel.open[:1], panel.close[:-1]])
        fills = np.zeros(panel.days, bool)
        fills[panel.decisions + 1] = True
        self.frame = pl.DataFrame(
            {
                "date": np.repeat(panel.dates, panel.width),
                "ovn_ret": (panel.open / before - 1).ravel(),
                "ind_ret": (panel.close / panel.open - 1).ravel(),
                "prev_close": before.ravel(),
                "vwap": panel.open.ravel(),
                "is_rebalance": np.repeat(fills, panel.width),
                "tradable": np.ones(panel.close.size, bool),
            }
        )
        names = {name: name for name in ("date", "weight", "ovn_ret", "ind_ret", "prev_close", "vwap", "is_rebalance")}
        costs = {"st_fee": COST, "lg_fee": COST}
        self.account = mosaic(**names, buyable="tradable", sellable="tradable", asset_num=panel.width, **costs)
        self.rules = Rules("next_open", "from what is left", invested=1 - RESERVE)

    def run(self, holdings):
        weights = np.zeros((self.panel.days, self.panel.width))
        holdings.put(weights, self.rules.invested)
        frame = self.frame.with_columns(self.column("weight", weights.ravel()))
        daily = frame.select(self.account.alias("daily")).unnest("daily")
        return CASH * daily["nav"].to_numpy()

    def sweep(self, sets):
        return [self.run(holdings)[-1] for holdings in sets]


class VectorBt:
    """`Portfolio.from_order_func` with a segment mask, as in the example of its documentation that rebalances: it
    passes over days without orders and is several times faster than `from_orders`, with Numba and with Rust. Values
    come from its Rust engine, which does not take order functions. Sets are columns side by side. It trims a purchase
    that the cash does not cover, so that a reserve has to pay for the costs."""

    package = "vectorbt"
    sets = 1000
    BATCH = 25

    def __init__(self, panel):
        import pandas as pd
        import vectorbt as vbt
        from numba import njit
        from vectorbt.portfolio import nb
        from vectorbt.portfolio.enums import Direction, SizeType

        @njit
        def scratch(c):
            return (np.empty(c.group_len, dtype=np.float64),)

        @njit
        def sales_first(c, order_value, size, price):
            for col in range(c.from_col, c.to_col):
                c.last_val_price[col] = nb.get_col_elem_nb(c, col, price)
            nb.sort_call_seq_nb(c, size, SizeType.TargetPercent, Direction.LongOnly, order_value)
            return ()

        @njit
        def order(c, size, price):
            return nb.order_nb(
                size=nb.get_elem_nb(c, size),
                price=nb.get_elem_nb(c, price),
                size_type=SizeType.TargetPercent,
                direction=Direction.LongOnly,
                slippage=COST,
            )

        self.panel = panel
        self.rules = Rules("next_open", invested=1 - RESERVE)
        self.simulate = vbt.Portfolio.from_order_func
        self.functions = {"pre_group_func_nb": scratch, "pre_segment_func_nb": sales_first}
        self.order, self.arguments = order, (vbt.Rep("size"), vbt.Rep("price"))
        self.frame = lambda values: pd.DataFrame(values, index=pd.DatetimeIndex(panel.dates))
        self.close, self.open = self.frame(panel.close), panel.open
        self.mask = np.zeros((panel.days, 1), bool)
        self.mask[panel.decisions + 1] = True

    def run(self, holdings):
        return self.together([holdings], self.close, self.open)[:, 0]

    def together(self, sets, close, open_):
        size = np.full((self.panel.days, len(sets) * self.panel.width), np.nan)
        for holdings, columns in zip(sets, np.split(size, len(sets), axis=1)):
            holdings.put(columns, self.rules.invested)
        portfolio = self.simulate(
            close,
            self.order,
            *self.arguments,
            **self.functions,
            pre_segment_args=self.arguments,
            segment_mask=np.repeat(self.mask, len(sets), axis=1),
            broadcast_named_args={"size": size, "price": open_},
            init_cash=CASH,
            cash_sharing=True,
            group_by=np.repeat(np.arange(len(sets)), self.panel.width),
            attach_call_seq=False,
            # Each symbol of a month is bought once and sold once; it would make room for a trade in every cell.
            max_orders=2 * sum(len(held) for holdings in sets for held in holdings.held) + 1,
        )
        return portfolio.value(engine="rust").to_numpy().reshape(self.panel.days, len(sets))

    @cached_property
    def tiled(self):
        return self.frame(np.tile(self.panel.close, self.BATCH)), np.tile(self.panel.open, self.BATCH)

    def sweep(self, sets):
        values = []
        for begin in range(0, len(sets), self.BATCH):
            batch = sets[begin : begin + self.BATCH]
            cells = len(batch) * self.panel.width
            values.extend(self.together(batch, self.tiled[0].iloc[:, :cells], self.tiled[1][:, :cells])[-1])
        return values


class Bt:
    """`WeighTarget` and `Rebalance`; its own `SelectMomentum` counts in calendar months. It has one price a day.
    `Backtest.run` alone: `bt.run` would add statistics. The first 30 of the sets, which hold 1 to 30 symbols each once,
    stand for all of them."""

    package = "bt"
    sets = 30

    def __init__(self, panel):
        import bt
        import pandas as pd

        self.bt, self.pd = bt, pd
        self.close = pd.DataFrame(panel.close, index=pd.DatetimeIndex(panel.dates), columns=panel.symbols)
        self.rules = Rules("next_close", "with costs")

    def run(self, holdings):
        weights = np.full((len(holdings.fills), self.close.shape[1]), np.nan)
        for row, held in zip(weights, holdings.held):
            row[held] = 1 / max(len(held), 1)
        weights = self.pd.DataFrame(weights, index=self.close.index[holdings.fills], columns=self.close.columns)
        algos = [self.bt.algos.WeighTarget(weights), self.bt.algos.Rebalance()]
        backtest = self.bt.Backtest(
            self.bt.Strategy("momentum", algos),
            self.close,
            initial_capital=CASH,
            commissions=lambda quantity, price: abs(quantity) * price * COST,
            integer_positions=False,
            progress_bar=False,
        )
        backtest.run()
        # Its first row is the day before the first one.
        return backtest.strategy.values.to_numpy()[1:]

    def sweep(self, sets):
        return [self.run(holdings)[-1] for holdings in sets]


PEERS = {peer.package: peer for peer in (RaptorBt, PolarsBt, VectorBt, Bt)}


# Measuring --------------------------------------------------------------------------------------------------------


class Run:
    """One set on one thread."""

    def __init__(self, peer, panel, work):
        self.panel, self.n = panel, work["top_n"][0]
        self.peer, self.of = peer(panel), "one run"

    def once(self):
        months = Months(self.panel, self.n)
        return [self.peer.run(Holdings(months.fills, months.held(self.n)))]

    def seconds(self):
        """Median of as many runs as go into half a second, one at least."""
        took = []
        while sum(took) < 0.5:
            begin = time.perf_counter()
            self.once()
            took.append(time.perf_counter() - begin)
        return statistics.median(took)


class Sweep:
    """Many sets, on all cores: a process for each that has the panel and keeps it."""

    def __init__(self, peer, panel, work, pool):
        self.peer, self.sets, self.pool = peer(panel), work["top_n"][: peer.sets], pool
        self.whole = len(work["top_n"]) / len(self.sets)
        self.of = f"{len(self.sets)} sets" + (f" x {self.whole:.1f}" if self.whole > 1 else "")

    @staticmethod
    def begin(package, path):
        """In a new process. Threads inside of it would only get into the way of the others."""
        os.environ |= {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        global worker
        panel = Panel(path)
        worker = (panel, PEERS[package](panel))

    @staticmethod
    def part(sets):
        panel, peer = worker
        months = Months(panel, max(sets))
        return peer.sweep([Holdings(months.fills, months.held(n)) for n in sets])

    def once(self):
        parts = [self.sets[core::CORES] for core in range(CORES)]
        values = np.empty((len(self.sets), 1))
        for core, part in enumerate(self.pool.map(Sweep.part, [part for part in parts if part])):
            values[core::CORES, 0] = part
        return values

    def seconds(self):
        begin = time.perf_counter()
        self.once()
        return (time.perf_counter() - begin) * self.whole


def our_seconds():
    """What criterion says of our engine, by work, and the facts about the machine."""
    filters = ["engine/[abcd]$", "--warm-up-time", "1", "--measurement-time", "3"]
    subprocess.run(
        ["cargo", "bench", "--locked", "--quiet", "--bench", "bench", "--", *filters],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    measured = json.loads((CRITERION / "bench.json").read_text())
    seconds = {one["name"].removeprefix("engine/"): one["median_ns"] / 1e9 for one in measured["benchmarks"]}
    return seconds, measured["machine"]


def furthest(values, others):
    """Largest relative difference, set by set, of the days that both have."""
    return max(float(np.abs(a[-len(b) :] / np.asarray(b) - 1).max()) for a, b in zip(values, others))


class Row:
    """A program at a work."""

    def __init__(self, name, work, program, version, rules, of):
        self.name, self.work, self.program, self.version = name, work, program, version
        self.rules, self.of, self.took = rules, of, []
        self.off_rules = self.off_ours = None

    def check(self, values, panel, accounts):
        """Against the plain account under the same rules, and against our engine with fills at the same time."""
        sets = self.work["top_n"][: len(values)]
        for n in set(sets):
            if (n, self.rules) not in accounts:
                months = Months(panel, n)
                accounts[n, self.rules] = account_under(self.rules, panel, Holdings(months.fills, months.held(n)))
        right = [accounts[n, self.rules][-len(value) :] for n, value in zip(sets, values)]
        self.off_rules = furthest(values, right)
        self.off_ours = furthest(values, self.work[self.rules.fills])

    @property
    def agrees(self):
        return self.off_rules <= AGREES

    @property
    def median(self):
        return statistics.median(self.took) if self.took else None

    @property
    def spread(self):
        return (max(self.took) - min(self.took)) / self.median if self.took else None

    def as_json(self, ours):
        return {
            "work": self.name,
            "program": self.program,
            "version": self.version,
            "measured": self.of,
            "median_s": self.median,
            "spread": self.spread,
            "passes_s": self.took,
            "times_ours": self.median / ours.median if self.took and ours.took else None,
            "fills": self.rules.fills,
            "sizes": self.rules.sizes,
            "costs": [self.rules.buying, self.rules.selling],
            "invested": self.rules.invested,
            "band": self.rules.band,
            "off_its_rules": self.off_rules,
            "off_ours": self.off_ours,
        }


def duration(seconds):
    if seconds is None:
        return ""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def ours_of(row, rows):
    return next(one for one in rows if (one.name, one.program) == (row.name, "backtests"))


def table(rows):
    """One line for each row."""
    line = "{:<5}{:<21}{:>10}{:>8}{:>8}  {:<11}{:>9}{:>10}  {}"
    yield line.format("work", "program", "median", "spread", "x ours", "fills", "off rules", "off ours", "")
    for row in rows:
        ours = ours_of(row, rows)
        said = [] if row.of == "one run" else [row.of]
        if row.took and row.spread > NOISY:
            said.append("TOO NOISY: measure again on a quiet machine")
        if not row.agrees:
            said.append("WRONG: not what its rules give")
        yield line.format(
            row.name,
            f"{row.program} {row.version}",
            duration(row.median),
            f"{row.spread:.0%}" if row.took else "",
            f"{row.median / ours.median:.1f}" if row.took and ours.took else "",
            row.rules.fills.replace("_", " "),
            f"{row.off_rules:.0e}",
            f"{row.off_ours:.0e}",
            "; ".join(said),
        ).rstrip()


def prepare(folder, names, packages, open_until_the_end):
    """Rows, ours first in each work, and what measures those of the others. Results are compared here, once."""
    rows, jobs = [], []
    works = json.loads((folder / "work.json").read_text())
    for name in names:
        work = works[name]
        path = folder / f"{work['panel']}.parquet"
        panel, accounts, sets = Panel(path), {}, len(work["top_n"])
        ours = Row(name, work, "backtests", "", OURS, "one run" if sets == 1 else f"{sets} sets")
        ours.check([np.asarray(values) for values in work["next_open"]], panel, accounts)
        rows.append(ours)
        for package in packages:
            peer = PEERS[package]
            if sets == 1:
                job = Run(peer, panel, work)
            else:
                pool = ProcessPoolExecutor(CORES, get_context("spawn"), Sweep.begin, (package, path))
                job = Sweep(peer, panel, work, open_until_the_end(pool))
            row = Row(name, work, package, importlib.metadata.version(package), job.peer.rules, job.of)
            # The warm-up too: compilers have compiled, processes have their panel.
            row.check(job.once(), panel, accounts)
            rows.append(row)
            jobs.append((row, job))
            print(f"{name} {package}: off its rules {row.off_rules:.0e}, off ours {row.off_ours:.0e}", file=sys.stderr)
    return rows, jobs


def measure(rows, jobs, rounds):
    """A B B A: whoever is first in one pass is last in the next one. Answers the facts about the machine."""
    machine = {}
    for number in range(2 * rounds):
        forward = number % 2 == 0
        for turn in ("ours", "theirs") if forward else ("theirs", "ours"):
            if turn == "ours":
                seconds, machine = our_seconds()
                for row in rows:
                    if row.program == "backtests":
                        row.version = machine["version"]
                        row.took.append(seconds[row.name])
            else:
                for row, job in jobs if forward else reversed(jobs):
                    row.took.append(job.seconds())
        print(f"pass {number + 1} of {2 * rounds}", file=sys.stderr)
    load = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return machine | {"cores": CORES, "load average at the end": load, "python": platform.python_version()}


def main():
    parser = argparse.ArgumentParser(description="The engine beside the programs that people would pick instead.")
    parser.add_argument("panels", type=Path, help="folder that `BENCH_PANELS=DIR cargo bench --bench bench` filled")
    parser.add_argument("--rounds", type=int, default=3, help="of A B B A; 0 only compares results")
    parser.add_argument("--works", default="abcd", help="some of a, b, c and d")
    parser.add_argument("--programs", default=",".join(PEERS), help="separated by commas")
    asked = parser.parse_args()
    with ExitStack() as stack:
        rows, jobs = prepare(asked.panels, asked.works, asked.programs.split(","), stack.enter_context)
        machine = measure(rows, jobs, asked.rounds)
    print("\n" + "".join(f"{name}: {value}\n" for name, value in machine.items()))
    print(*table(rows), sep="\n")
    CRITERION.mkdir(parents=True, exist_ok=True)
    path = CRITERION / "peers.json"
    whole = {"machine": machine, "rows": [row.as_json(ours_of(row, rows)) for row in rows]}
    path.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"\nas JSON: {os.path.relpath(path)}")
    return not all(row.agrees for row in rows)


if __name__ == "__main__":
    sys.exit(main())
