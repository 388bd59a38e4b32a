"""Recomputes the tables of a run from its fills, days and positions with pandas, and compares them with those that the run
left. `report.py FOLDER PRICES BENCHMARK` prints how many numbers agreed; the first that does not ends it with a traceback."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd

folder, prices, benchmark = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
compared = 0


def same(what, got, want, tolerance=1e-9):
    """Numbers agree, relative to their size where that is above 1; what is missing is missing on both sides."""
    global compared
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    assert got.shape == want.shape, (what, got.shape, want.shape)
    assert (np.isnan(got) == np.isnan(want)).all(), (what, "missing", got, want)
    off = np.nan_to_num(np.abs(got - want) / np.maximum(1.0, np.abs(want)))
    assert (off <= tolerance).all(), (what, off.max(), got[off.argmax()], want[off.argmax()])
    compared += got.size


def table(name):
    if name.endswith(".csv"):
        return pd.read_csv(folder / name)
    frame = pd.read_parquet(folder / name)
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].astype(str)
    return frame


summary = json.loads((folder / "summary.json").read_text())
daily = table("metrics_timeseries.parquet")
daily["date"] = pd.to_datetime(daily["date"])
fills = table("trades.parquet")
fills["execution_date"] = pd.to_datetime(fills["execution_date"])
cash, years_of_bars = summary["initial_cash"], summary["periods_per_year"]
value = daily["portfolio_value"]
returns = value.pct_change().iloc[1:]


def drawdowns():
    fall = value / np.maximum(value.cummax(), cash) - 1
    below = fall < 0
    rows = []
    for _, days in fall[below].groupby((below != below.shift()).cumsum()):
        first, last = days.index[0], days.index[-1]
        peak, trough = max(first - 1, 0), days.idxmin()
        over = last + 1 < len(fall)
        end = last + 1 if over else len(fall) - 1
        rows.append((peak, trough, last + 1 if over else None, days.min(), end))
    rows.sort(key=lambda row: row[3])
    day = daily["date"].dt.strftime("%Y-%m-%d")
    return [
        (day[peak], day[trough], "" if back is None else day[back], depth,
         (daily["date"][end] - daily["date"][peak]).days, end - peak)
        for peak, trough, back, depth, end in rows[:10]
    ]


def check_drawdowns():
    got = pd.read_csv(folder / "drawdowns.csv", keep_default_na=False)
    want = pd.DataFrame(drawdowns(), columns=got.columns)
    for column in ["peak", "trough", "recovery"]:
        assert list(got[column]) == list(want[column]), (column, got, want)
    for column in ["depth", "calendar_days", "trading_days"]:
        same(f"drawdowns {column}", got[column], want[column])
    return want


def sides_of(rows):
    """Of each fill the shares that close and those that open, with the side that each belongs to."""
    held = 0.0
    for row in rows.itertuples():
        closing = min(abs(held), abs(row.quantity)) if held * row.quantity < 0 else 0.0
        opening = abs(row.quantity) - closing
        yield row, ("short" if held < 0 else "long", closing), ("short" if row.quantity < 0 else "long", opening)
        held += row.quantity
        held = 0.0 if abs(held) < 1e-9 else held


def round_trips():
    """First in, first out as overlaps: of all shares opened on a side, and of all shares closed on it, each fill is a stretch."""
    trips = []
    for symbol, rows in fills.groupby("symbol", sort=False):
        for side in ["long", "short"]:
            opened, closed = [], []
            for row, close, open_ in sides_of(rows):
                for stretches, (which, shares) in [(closed, close), (opened, open_)]:
                    if which == side and shares > 1e-9:
                        start = stretches[-1][1] if stretches else 0.0
                        stretches.append((start, start + shares, row))
            for close_from, close_to, close in closed:
                for open_from, open_to, entry in opened:
                    shares = min(close_to, open_to) - max(close_from, open_from)
                    if shares > 1e-6:
                        commission = shares * (
                            entry.commission / abs(entry.quantity) + close.commission / abs(close.quantity))
                        sign = 1 if side == "long" else -1
                        profit = sign * shares * (close.price - entry.price) - commission
                        trips.append((close.Index, entry.Index, symbol, side, entry.execution_date,
                                      close.execution_date, shares, entry.price, close.price, commission, profit,
                                      profit / (shares * entry.price)))
    trips.sort(key=lambda trip: trip[:2])
    columns = ["close", "entry", "symbol", "side", "opened", "closed", "quantity", "entry_price", "exit_price",
               "commission", "profit", "return"]
    return pd.DataFrame(trips, columns=columns)


def check_round_trips():
    got, want = table("round_trips.parquet"), round_trips()
    assert len(got) == len(want) > 0, (len(got), len(want))
    assert list(got["symbol"]) == list(want["symbol"]) and list(got["side"]) == list(want["side"])
    for column in ["opened", "closed"]:
        assert (pd.to_datetime(got[column]).to_numpy() == want[column].to_numpy()).all(), column
    same("days of trips", got["calendar_days"], (want["closed"] - want["opened"]).dt.days)
    for column in ["quantity", "entry_price", "exit_price", "commission", "profit", "return"]:
        same(f"round trips {column}", got[column], want[column])
    return want


def contributions():
    rows = {}
    for symbol, own in fills.groupby("symbol"):
        for row, *parts in sides_of(own):
            for side, shares in parts:
                if shares > 0:
                    part = shares / abs(row.quantity)
                    sums = rows.setdefault((symbol, side), np.zeros(3))
                    sums += part * np.array([-row.notional, row.slippage_cost, row.commission])
    held = table("daily_positions.parquet")
    held = held[pd.to_datetime(held["date"]) == daily["date"].iloc[-1]]
    for row in held.itertuples():
        rows[row.symbol, row.side][0] += row.position_value
    frame = pd.DataFrame(
        [(symbol, side, flow + slip, slip, fee, flow - fee, (flow - fee) / cash)
         for (symbol, side), (flow, slip, fee) in rows.items()],
        columns=["symbol", "side", "gross_profit", "slippage_cost", "commission", "profit", "contribution"])
    return frame.set_index(["symbol", "side"]).sort_index()


def check_contributions():
    got, want = table("contributions.parquet"), contributions()
    assert got["profit"].is_monotonic_decreasing
    got = got.set_index(["symbol", "side"]).sort_index()
    assert list(got.index) == list(want.index)
    for column in want.columns:
        same(f"contributions {column}", got[column], want[column])
    same("sum of contributions", [got["contribution"].sum()], [summary["total_return"]])
    same("sum of costs", [got["commission"].sum() + got["slippage_cost"].sum()], [summary["total_costs"]])
    return want


def by_period(curve, start, rule):
    last = curve.resample(rule).last().dropna()
    return last / last.shift(1, fill_value=start) - 1


def check_periods():
    curve = value.set_axis(daily["date"])
    yearly = by_period(curve, cash, "YE")
    got = table("returns_yearly.csv")
    assert list(got["year"]) == list(yearly.index.year)
    same("years", got["return"], yearly)
    for name, rule in [("monthly_returns.csv", "ME"), ("returns_monthly.csv", "ME"), ("returns_quarterly.csv", "QE")]:
        got = table(name)
        cells = got.drop(columns=["Year", "Yearly"]).to_numpy().ravel()
        same(name, cells[~np.isnan(cells.astype(float))], by_period(curve, cash, rule))
    return yearly


def check_rolling():
    got = table("metrics_rolling.parquet")
    for days, rows in got.groupby("window_days"):
        r = daily["daily_return"].rolling(days)
        # Window by window: pandas' own moving deviation is updated from day to day and drifts by 1e-8.
        deviation, mean = r.apply(np.std, raw=True), r.apply(np.mean, raw=True)
        want = pd.DataFrame({
            "rolling_return": (1 + daily["daily_return"]).rolling(days).apply(np.prod, raw=True) - 1,
            "rolling_volatility": deviation * np.sqrt(years_of_bars),
            "rolling_max_drawdown": value.rolling(days).apply(
                lambda v: min(0.0, (v / np.maximum.accumulate(v) - 1).min()), raw=True),
            "turnover_sum": daily["turnover"].rolling(days).sum(),
            "commission_sum": daily["commission"].rolling(days).sum(),
            "slippage_cost_sum": daily["slippage_cost"].rolling(days).sum(),
            "n_trades_sum": daily["n_trades"].rolling(days).sum(),
            "gross_exposure_avg": daily["gross_exposure"].rolling(days).mean(),
            "net_exposure_avg": daily["net_exposure"].rolling(days).mean(),
        })
        for column in want.columns:
            same(f"rolling {column} {days}", rows[column], want[column])
        moving = rows["rolling_sharpe"].notna().to_numpy()
        sharpe = mean * years_of_bars / (deviation * np.sqrt(years_of_bars))
        same(f"rolling sharpe {days}", rows["rolling_sharpe"][moving], sharpe[moving])


class Tables(HTMLParser):
    """The rows of every table of the page, by the class of their section."""

    def __init__(self):
        super().__init__()
        self.section, self.rows, self.cell = None, {}, None

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.section = dict(attrs).get("class")
        elif tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[self.section][-1].append(self.cell.strip())
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


def number(text):
    if text in ("", "–"):
        return np.nan
    return float(text.replace(",", "").replace("−", "-").split("\u00a0%")[0].split(" ")[0]) / (100 if "%" in text else 1)


def shown(what, texts, want, half=0.5e-4):
    """What is printed is the number, up to half of its last digit."""
    same(what, [number(text) for text in texts], want, half * 1.0001)


def check_page(falls, trips, parts, yearly):
    page = Tables()
    page.feed((folder / "report.html").read_text())
    rows = page.rows
    worst = rows["falls"][1:]
    assert [row[0] for row in worst] == list(falls["peak"]) and [row[1] for row in worst] == list(falls["trough"])
    assert [row[2] for row in worst] == [back or "not over" for back in falls["recovery"]]
    shown("falls", [row[3] for row in worst], falls["depth"])
    shown("days of falls", [row[5] for row in worst], falls["trading_days"])

    closes = pd.read_parquet(prices)
    closes = closes[(closes["symbol"] == benchmark)].copy()
    closes["date"] = pd.to_datetime(closes["date"])
    price = closes.set_index("date")["adj_close" if "adj_close" in closes else "close"]
    price = price.reindex(daily["date"]).ffill()
    first = price.first_valid_index()
    theirs = by_period(price[first:], price[first], "YE")
    shown("years", [row[1] for row in rows["years"][1:]], yearly)
    shown("benchmark's years", [row[2] for row in rows["years"][1:]], theirs.reindex(yearly.index))

    edges = [-np.inf, -.05, -.03, -.02, -.01, -.005, -.0025, .0025, .005, .01, .02, .03, .05, np.inf]
    counts = pd.cut(returns, edges, right=False).value_counts(sort=False)
    shown("histogram", [row[2] for row in rows["spread"][1:]], counts)
    assert counts.sum() == len(returns)

    traded = {row[0]: row[1:] for row in rows["figures"] if row}
    days = len(daily)
    costs = 1e4 * summary["total_costs"] / value.mean() / ((days - 1) / years_of_bars)
    shown("costs a year", [traded["Costs a year, bps of average equity"][0]], [costs], 0.5e-2)
    held = table("daily_positions.parquet")["date"].nunique()
    shown("time in the market", [traded["Time in the market"][0]], [held / days])
    shown("days in cash", [traded["Days in cash"][0]], [days - held])

    columns = {"All": trips, "Long": trips[trips["side"] == "long"], "Short": trips[trips["side"] == "short"]}
    for place, own in enumerate(columns.values(), 1):
        cells = {row[0]: row[place] for row in rows["trips"][1:]}
        won, lost = own["return"][own["return"] > 0], own["return"][own["return"] <= 0]
        shown("trips", [cells["Round trips"]], [len(own)])
        shown("win rate", [cells["Win rate"]], [len(won) / len(own) if len(own) else np.nan])
        shown("expectancy", [cells["Expectancy"]], [own["return"].mean()])
        payoff = won.mean() / -lost.mean() if len(lost) and lost.mean() < 0 else np.nan
        shown("payoff", [cells["Payoff"]], [payoff], 0.5e-2)
    total = rows["contributions"][-1]
    shown("total contribution", [total[5]], [summary["total_return"]])
    shown("profit", [total[4]], [parts["profit"].sum()], 0.5)


def check_summary():
    own = json.loads((folder / "metrics.json").read_text())
    assert {**own, "run_id": summary["run_id"]} == summary
    same("Sharpe", [own["sharpe_ratio"]], [returns.mean() / returns.std(ddof=0) * np.sqrt(years_of_bars)])
    same("volatility", [own["annualized_volatility"]], [returns.std(ddof=0) * np.sqrt(years_of_bars)])


check_page(check_drawdowns(), check_round_trips(), check_contributions(), check_periods())
check_rolling()
check_summary()
print(compared)
