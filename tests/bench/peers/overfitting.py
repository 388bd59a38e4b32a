"""The statistics of a study beside the programs that people would pick instead: the same trials, the same question.

Reads what `BENCH_PANELS=DIR cargo bench --bench bench` wrote (`mod.rs` beside this file): daily returns of trials that hang
together, and what our statistics say of them. Compares and measures, and prints one table, the same as JSON in
`target/criterion/peers-overfitting.json`. `make peers` does it all.

The work: the probability of backtest overfitting by combinatorially symmetric cross-validation with 16 blocks (12,870
halves), and the deflated Sharpe ratio of the best trial. What is measured is the former: from returns, which each program
has in the form it likes best, to the probability; ours begins at sums by block, which trials leave as they end. The
others get 10 blocks (252 halves), and one that calls Python for each trial and half the first trials alone; their time
is taken for as many halves and trials more, which the column `measured` says.

How results are compared: without ties on the median the conventions agree, so that probabilities must be equal to 1e-12.
Deflated Sharpe ratios differ by the estimate of deviation, skew and kurtosis, with or without a correction for the number
of days: they must agree to 1e-3, and the column `off ours` says how far they are apart.
"""

import argparse
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
CRITERION = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "criterion"
OUR_BLOCKS = 16
EQUAL = 1e-12
DEFLATED_AGREES = 1e-3
NOISY = 0.25
"""A spread, (most - least) / median, from which on a figure says nothing."""


class Ffn:
    """`calc_prob_backtest_overfitting` on a frame, its own metric; vectorised over trials."""

    package = "ffn"
    few = False

    def __init__(self, returns, blocks):
        import ffn
        import pandas as pd

        self.ffn, self.frame, self.blocks = ffn, pd.DataFrame(returns), blocks

    def probability(self):
        return float(self.ffn.calc_prob_backtest_overfitting(self.frame, n_blocks=self.blocks))

    def deflated(self):
        sharpe = self.frame.mean() / self.frame.std()
        best = self.frame[sharpe.idxmax()]
        return float(self.ffn.calc_deflated_sharpe_ratio(best, sharpe, nperiods=1, annualized_trials=False))


class PurgedCv:
    """`probability_of_backtest_overfitting`, which calls its metric for each trial and half."""

    package = "purgedcv"
    few = True

    def __init__(self, returns, blocks):
        import purgedcv

        self.purgedcv, self.returns, self.blocks = purgedcv, np.ascontiguousarray(returns.T), blocks

    def probability(self):
        return float(self.purgedcv.probability_of_backtest_overfitting(self.returns, self.blocks).pbo)

    def deflated(self):
        sharpe = self.returns.mean(axis=1) / self.returns.std(axis=1)
        best = self.returns[sharpe.argmax()]
        return float(self.purgedcv.deflated_sharpe_ratio(best, len(sharpe), float(sharpe.var(ddof=1))))


PEERS = (Ffn, PurgedCv)


def our_seconds():
    """What criterion says of ours, and the facts about the machine."""
    filters = ["study/cscv/1000$", "--warm-up-time", "1", "--measurement-time", "3"]
    subprocess.run(
        ["cargo", "bench", "--locked", "--quiet", "--bench", "bench", "--", *filters],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    measured = json.loads((CRITERION / "bench.json").read_text())
    return measured["benchmarks"][0]["median_ns"] / 1e9, measured["machine"]


def halves(blocks):
    return math.comb(blocks, blocks // 2)


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def duration(value):
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def main():
    parser = argparse.ArgumentParser(description="The statistics of a study beside other programs.")
    parser.add_argument("panels", type=Path, help="folder that `BENCH_PANELS=DIR cargo bench --bench bench` filled")
    parser.add_argument("--rounds", type=int, default=3, help="of A B B A; 0 only compares results")
    asked = parser.parse_args()
    told = json.loads((asked.panels / "overfitting.json").read_text())
    returns = np.fromfile(asked.panels / "trials.f64", dtype="<f8").reshape(told["trials"], told["days"]).T
    ours = {"program": "backtests", "version": "", "measured": f"{told['trials']} trials", "took": [], "agrees": True}
    ours |= {"off_probability": 0.0, "off_deflated": 0.0}
    rows, jobs = [ours], []
    for peer in PEERS:
        work = told["few" if peer.few else "all"]
        job = peer(returns[:, : work["trials"]], told["blocks"])
        more = halves(OUR_BLOCKS) / halves(told["blocks"]) * told["trials"] / work["trials"]
        row = {
            "program": peer.package,
            "version": importlib.metadata.version(peer.package),
            "measured": f"{work['trials']} trials, {halves(told['blocks'])} halves, x {more:.0f}",
            "more": more,
            "took": [],
            # The warm-up too.
            "off_probability": abs(job.probability() - work["probability"]),
            "off_deflated": abs(job.deflated() - work["deflated_sharpe_ratio"]),
        }
        row["agrees"] = row["off_probability"] <= EQUAL and row["off_deflated"] <= DEFLATED_AGREES
        rows.append(row)
        jobs.append((row, job))
    machine = {}
    for number in range(2 * asked.rounds):
        # Whoever is first in one pass is last in the next one.
        forward = number % 2 == 0
        for turn in ("ours", "theirs") if forward else ("theirs", "ours"):
            if turn == "ours":
                took, machine = our_seconds()
                ours["took"].append(took)
                ours["version"] = machine["version"]
            else:
                for row, job in jobs if forward else reversed(jobs):
                    row["took"].append(seconds(job.probability) * row["more"])
        print(f"pass {number + 1} of {2 * asked.rounds}", file=sys.stderr)
    machine |= {"python": platform.python_version()}
    line = "{:<20}{:>10}{:>8}{:>10}{:>14}{:>8}  {:<32}{}"
    print("\n" + "".join(f"{name}: {value}\n" for name, value in machine.items()))
    print(line.format("program", "median", "spread", "x ours", "off ours: PBO", "DSR", "measured", "").rstrip())
    for row in rows:
        took = row.pop("took")
        row["passes_s"] = took
        row["median_s"] = statistics.median(took) if took else None
        row["spread"] = (max(took) - min(took)) / row["median_s"] if took else None
        row["times_ours"] = row["median_s"] / rows[0]["median_s"] if took else None
        said = [] if row["agrees"] else ["WRONG: not what ours says"]
        if took and row["spread"] > NOISY:
            said.append("TOO NOISY: measure again on a quiet machine")
        print(
            line.format(
                f"{row['program']} {row['version']}",
                duration(row["median_s"]) if took else "",
                f"{row['spread']:.0%}" if took else "",
                f"{row['times_ours']:.1f}" if took else "",
                f"{row['off_probability']:.0e}",
                f"{row['off_deflated']:.0e}",
                row["measured"],
                "; ".join(said),
            ).rstrip()
        )
    CRITERION.mkdir(parents=True, exist_ok=True)
    path = CRITERION / "peers-overfitting.json"
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    print(f"\nas JSON: {os.path.relpath(path)}")
    return not all(row["agrees"] for row in rows)


if __name__ == "__main__":
    sys.exit(main())
