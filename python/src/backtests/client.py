"""A service as objects: `Client` waits for answers, `AsyncClient` awaits them. What is sent stands in `_calls`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Self

import httpx

from . import _calls, _notebook, frames
from ._auth import ServiceAuth, TokenCredential
from ._calls import Call, Config
from ._progress import Bar
from .errors import RunFailed

FINAL = frozenset({"completed", "failed", "canceled"})
"""Statuses after which nothing changes."""

RUN_COLUMNS = ("run_name", "status", "submitted_at", "start_date", "end_date", "submitted_by", "tags")
"""What a row of `runs` says before the figures."""


class _Connection:
    """What both clients know: where the service is and what proves who is calling."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        insecure: bool = False,
        timeout: float = 60.0,
    ) -> None:
        key = key if key is not None else os.environ.get("BACKTEST_FUNCTION_KEY")
        url = url or os.environ.get("BACKTEST_URL") or "http://127.0.0.1:7071"
        has_secret = bool(key) or credential is not None
        self.url = _calls.origin(url, has_secret=has_secret, insecure=insecure)
        self._options: dict[str, Any] = {
            "base_url": self.url,
            "auth": ServiceAuth(self.url, key, credential, scope),
            "timeout": timeout,
            "follow_redirects": False,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Client(_Connection):
    """A service, by its address (`BACKTEST_URL`) and a function key (`BACKTEST_FUNCTION_KEY`) or a credential.

    `credential` is anything with `get_token`, such as `azure.identity.DefaultAzureCredential()`; `scope` names whom
    its tokens are for. Calls that change nothing, and submits with an idempotency key, are sent again when the
    service says that it is busy.
    """

    def __init__(self, url: str | None = None, **options: Any) -> None:
        super().__init__(url, **options)
        self._http = httpx.Client(**self._options)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._http.close()

    def submit(
        self,
        config: Config,
        *,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Stores a run, which starts by itself. `config` is a path, a mapping or YAML text."""
        call = _calls.submit(config, run_id=run_id, parent_run_id=parent_run_id, idempotency_key=idempotency_key)
        return Run(self, self.send(call).json())

    def study(
        self,
        base: Config,
        parameters: Mapping[str, Sequence[Any] | Mapping[str, Any]] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Study:
        """Stores a study, which starts by itself: many trials of one config.

        `base` is a config, `parameters` what differs by path, such as `{"strategy.parameters.top_n": [1, 2, 3]}`, and
        `options` the others of a study (`search`, `samples`, `validation`, …). Without parameters `base` is a whole
        study, with `study` and `base` in it.
        """
        call = _calls.study(base, parameters, options, idempotency_key=idempotency_key)
        return Study(self, self.send(call).json())

    def validate(self, config: Config) -> Mapping[str, Any]:
        """What would be run; raises `ServiceError` with every fault. Stores nothing."""
        return _mapping(self.send(_calls.validate(config)))

    def schedule(self, name: str, config: Config, cron: str = "0 */15 * * * *") -> Mapping[str, Any]:
        """Runs a config without `end_date` whenever its tables have a new day; `cron` (UTC) says when to look."""
        return _mapping(self.send(_calls.schedule(name, config, cron)))

    def schedules(self, as_: frames.Kind = "pandas") -> Any:
        """The schedules, with what came of the last look at their tables."""
        found = self.send(Call("GET", "/api/schedules")).json()["schedules"]
        return frames.from_records(found, as_, index="name")

    def unschedule(self, name: str) -> None:
        """Deletes a schedule; its runs stay."""
        self.send(_calls.of_schedule(name, method="DELETE"))

    def run(self, run_id: str) -> Run:
        """A run by its id."""
        return Run(self, self.send(_calls.of_run(run_id)).json())

    def iter_runs(self, **filters: Any) -> Iterator[Run]:
        """Runs, newest first; `filters` are those of `GET /api/backtests` (status, q, submitted_after, …)."""
        cursor: str | None = None
        while True:
            page = self.send(_calls.runs(cursor, **filters)).json()
            yield from (Run(self, record) for record in page["runs"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def runs(self, *, limit: int = 200, as_: frames.Kind = "pandas", **filters: Any) -> Any:
        """A table with one row a run, newest first: its name and state, then one column a figure of its summary."""
        records = []
        for run in self.iter_runs(limit=min(limit, 500), **filters):
            records.append(run.record)
            if len(records) == limit:
                break
        return frames.from_records([_row(record) for record in records], as_, index="run_id")

    def send(self, call: Call) -> httpx.Response:
        """Sends a call, again where that is safe and the service asks for it."""
        attempt = 0
        while True:
            try:
                response = self._http.request(
                    call.method,
                    call.path,
                    params=call.known_params,
                    json=call.json,
                    headers=dict(call.headers),
                )
            except httpx.ConnectError as error:
                raise _calls.unreachable(self.url, error) from error
            pause = _calls.retry_after(call, response, attempt)
            if pause is None:
                return _calls.checked(response)
            attempt += 1
            time.sleep(pause)


class AsyncClient(_Connection):
    """As `Client`, to be awaited."""

    def __init__(self, url: str | None = None, **options: Any) -> None:
        super().__init__(url, **options)
        self._http = httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives the connections back."""
        await self._http.aclose()

    async def submit(
        self,
        config: Config,
        *,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncRun:
        """As `Client.submit`."""
        call = _calls.submit(config, run_id=run_id, parent_run_id=parent_run_id, idempotency_key=idempotency_key)
        return AsyncRun(self, (await self.send(call)).json())

    async def validate(self, config: Config) -> Mapping[str, Any]:
        """As `Client.validate`."""
        return _mapping(await self.send(_calls.validate(config)))

    async def run(self, run_id: str) -> AsyncRun:
        """As `Client.run`."""
        return AsyncRun(self, (await self.send(_calls.of_run(run_id))).json())

    async def runs(self, *, limit: int = 200, as_: frames.Kind = "pandas", **filters: Any) -> Any:
        """As `Client.runs`."""
        records: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while len(records) < limit:
            page = (await self.send(_calls.runs(cursor, limit=min(limit, 500), **filters))).json()
            records.extend(page["runs"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return frames.from_records([_row(record) for record in records[:limit]], as_, index="run_id")

    async def send(self, call: Call) -> httpx.Response:
        """As `Client.send`."""
        attempt = 0
        while True:
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    params=call.known_params,
                    json=call.json,
                    headers=dict(call.headers),
                )
            except httpx.ConnectError as error:
                raise _calls.unreachable(self.url, error) from error
            pause = _calls.retry_after(call, response, attempt)
            if pause is None:
                return _calls.checked(response)
            attempt += 1
            await asyncio.sleep(pause)


class _Record:
    """The record of a run as it was read last."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.record["run_id"])

    @property
    def status(self) -> str:
        """queued, running, completed, failed or canceled, when it was read last."""
        return str(self.record["status"])

    @property
    def summary(self) -> Mapping[str, Any]:
        """The figures of a completed run; empty before."""
        return self.record.get("summary") or {}

    def _must_be_completed(self) -> None:
        if self.status != "completed":
            raise RunFailed(self.id, self.status, self.record.get("status_reason"), self.record.get("error"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self.status})"


class _Stored(_Record):
    """What a service keeps, and what may be done with it."""

    def __init__(self, client: Client, record: Mapping[str, Any]) -> None:
        super().__init__(record)
        self.client = client

    def refresh(self) -> Self:
        """Reads the record again."""
        self.record = self.client.send(_calls.of_run(self.id)).json()
        return self

    def wait(self, *, timeout: float | None = None, poll: float = 0.5, progress: bool = True) -> Self:
        """Waits for the end with a bar. Raises `RunFailed` unless the run completed, `TimeoutError` after `timeout`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with Bar(self.id, shown=progress) as bar:
            while self.status not in FINAL:
                bar.update(self.record)
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"run {self.id} is still {self.status} after {timeout} s; it goes on")
                time.sleep(poll)
                self.refresh()
            bar.update(self.record)
        self._must_be_completed()
        return self

    def cancel(self) -> Self:
        """Asks the run to stop."""
        self.record = self.client.send(_calls.of_run(self.id, "cancel", method="POST")).json()
        return self

    def amend(self, **changes: Any) -> Self:
        """Notes `run_name`, `tags` (all of them), `note` or `archived` on the run; what was run never changes."""
        self.record = self.client.send(_calls.amend(self.id, changes)).json()
        return self

    def tag(self, *tags: str) -> Self:
        """Adds tags to those that it has."""
        return self.amend(tags=sorted({*self.refresh().record.get("tags", ()), *tags}))

    def delete(self) -> None:
        """Deletes what an ended run left; its record stays, and its id is never used again."""
        self.record = self.client.send(_calls.of_run(self.id, method="DELETE")).json()

    def events(self, as_: frames.Kind = "pandas") -> Any:
        """The history of the run."""
        return frames.from_records(self.client.send(_calls.of_run(self.id, "events")).json()["events"], as_)

    def artifact(self, name: str) -> bytes:
        """A file of the run."""
        self._must_be_completed()
        return self.client.send(_calls.of_run(self.id, "artifacts", name)).content

    def artifacts(self, as_: frames.Kind = "pandas") -> Any:
        """The files of the run with their sizes and digests."""
        listed = self.client.send(_calls.of_run(self.id, "artifacts")).json()["artifacts"]
        return frames.from_records(listed, as_, index="name")

    def report(self) -> str:
        """The page that the run left, as HTML."""
        self._must_be_completed()
        return self.client.send(_calls.of_run(self.id, "report")).text


class Run(_Stored):
    """One execution of a config. Its tables are read from the files that it published."""

    def metrics(self, as_: frames.Kind = "pandas") -> Any:
        """One row a trading day: value, return, drawdown, exposures, costs."""
        return frames.from_parquet(self.artifact("metrics_timeseries.parquet"), as_, index="date")

    def trades(self, as_: frames.Kind = "pandas") -> Any:
        """One row a fill, by the day of its execution."""
        return frames.from_parquet(self.artifact("trades.parquet"), as_, index="execution_date")

    def positions(self, date: Any = None, as_: frames.Kind = "pandas") -> Any:
        """What was held at each close, or at the close of `date`."""
        if date is None:
            return frames.from_parquet(self.artifact("daily_positions.parquet"), as_, index="date")
        call = _calls.of_run(self.id, "positions", date=str(date)[:10])
        return frames.from_records(self.client.send(call).json()["positions"], as_, index="symbol")

    def orders(self, as_: frames.Kind = "pandas") -> Any:
        """What the close of the last day would trade next, by symbol (`output.save_orders: true`)."""
        return frames.from_parquet(self.artifact("orders.parquet"), as_, index="symbol")

    def target_weights(self, as_: frames.Kind = "pandas") -> Any:
        """What shall be held after these orders, by symbol."""
        return frames.from_parquet(self.artifact("target_weights.parquet"), as_, index="symbol")

    def rolling(self, window_days: int = 63, as_: frames.Kind = "pandas") -> Any:
        """Measures over a moving window of trading days; missing until the window is full."""
        call = _calls.of_run(self.id, "metrics", "rolling", window_days=window_days, max_points=200_000)
        points = self.client.send(call).json()["points"]
        return frames.from_records(points, as_, index="date", dates=("date",))

    def _repr_html_(self) -> str:
        curve = None
        if self.status == "completed":
            points = self.client.send(_calls.of_run(self.id, "metrics", "timeseries", max_points=400)).json()["points"]
            curve = [point["portfolio_value"] for point in points]
        return _notebook.card(self.record, curve)


class Study(_Stored):
    """Many trials of one config, and how far the best of them can be believed."""

    @property
    def statistics(self) -> Mapping[str, Any]:
        """What is known of the whole: `sentence`, and figures that are None with a reason under `undefined`."""
        self._must_be_completed()
        return _mapping(self.client.send(_calls.of_run(self.id, "statistics")))

    def trials(self, as_: frames.Kind = "pandas") -> Any:
        """One row a trial: its parameters by path, its figures, and `equal_to` where its returns are those of another.

        While the study goes on, those of the parts that have ended.
        """
        if self.status == "completed":
            return frames.from_parquet(self.artifact("trials.parquet"), as_, index="trial")
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.client.send(_calls.of_run(self.id, "trials", limit=500, cursor=cursor)).json()
            for trial in page["trials"]:
                parameters = trial.pop("parameters")
                rows.append({"trial": trial.pop("trial"), **parameters, **trial})
            cursor = page["next_cursor"]
            if cursor is None:
                return frames.from_records(rows, as_, index="trial")

    def surface(self, x: str, y: str, measure: str = "sharpe_ratio", over: str = "best") -> Any:
        """A frame of `measure` by two parameters; of trials that share both, the best or the mean."""
        pd = frames.library("pandas")
        call = _calls.of_run(self.id, "surface", x=x, y=y, measure=measure, over=over)
        found = self.client.send(call).json()
        index, columns = pd.Index(found["y_values"], name=y), pd.Index(found["x_values"], name=x)
        return pd.DataFrame(found["cells"], index=index, columns=columns)

    def run(self, trial: int) -> Run:
        """The trial as a run of its own, on the data that the study read."""
        call = _calls.of_run(self.id, "trials", str(trial), "run", method="POST")
        return Run(self.client, self.client.send(call).json())

    def _repr_html_(self) -> str:
        if self.status != "completed":
            return _notebook.card(self.record, None)
        return f"<p>{escape(str(self.statistics['sentence']))}</p>{self.trials().head(20).to_html()}"


class AsyncRun(_Record):
    """As `Run`, to be awaited."""

    def __init__(self, client: AsyncClient, record: Mapping[str, Any]) -> None:
        super().__init__(record)
        self.client = client

    async def refresh(self) -> AsyncRun:
        """As `Run.refresh`."""
        self.record = (await self.client.send(_calls.of_run(self.id))).json()
        return self

    async def wait(self, *, timeout: float | None = None, poll: float = 0.5) -> AsyncRun:
        """As `Run.wait`, without a bar."""
        async with asyncio.timeout(timeout):
            while self.status not in FINAL:
                await asyncio.sleep(poll)
                await self.refresh()
        self._must_be_completed()
        return self

    async def cancel(self) -> AsyncRun:
        """As `Run.cancel`."""
        self.record = (await self.client.send(_calls.of_run(self.id, "cancel", method="POST"))).json()
        return self

    async def amend(self, **changes: Any) -> AsyncRun:
        """As `Run.amend`."""
        self.record = (await self.client.send(_calls.amend(self.id, changes))).json()
        return self

    async def metrics(self, as_: frames.Kind = "pandas") -> Any:
        """As `Run.metrics`."""
        return frames.from_parquet(await self.artifact("metrics_timeseries.parquet"), as_, index="date")

    async def trades(self, as_: frames.Kind = "pandas") -> Any:
        """As `Run.trades`."""
        return frames.from_parquet(await self.artifact("trades.parquet"), as_, index="execution_date")

    async def positions(self, as_: frames.Kind = "pandas") -> Any:
        """As `Run.positions`, of all days."""
        return frames.from_parquet(await self.artifact("daily_positions.parquet"), as_, index="date")

    async def orders(self, as_: frames.Kind = "pandas") -> Any:
        """As `Run.orders`."""
        return frames.from_parquet(await self.artifact("orders.parquet"), as_, index="symbol")

    async def target_weights(self, as_: frames.Kind = "pandas") -> Any:
        """As `Run.target_weights`."""
        return frames.from_parquet(await self.artifact("target_weights.parquet"), as_, index="symbol")

    async def artifact(self, name: str) -> bytes:
        """As `Run.artifact`."""
        self._must_be_completed()
        return (await self.client.send(_calls.of_run(self.id, "artifacts", name))).content


def _mapping(response: httpx.Response) -> Mapping[str, Any]:
    value = response.json()
    assert isinstance(value, dict)
    return value


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A run as one row: names and state first, then the figures that are numbers."""
    row = {"run_id": record["run_id"]}
    row.update({name: record[name] for name in RUN_COLUMNS if name in record})
    figures = record.get("summary") or {}
    row.update({name: value for name, value in figures.items() if _is_number(value) and name not in row})
    return row


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
