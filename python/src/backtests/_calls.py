"""The calls of the service as values: what is sent, and what an answer means.

Nothing here waits or connects, so that the client that blocks and the one that does not are two thin shells.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from .errors import Redirected, ServiceError, Unauthorized, Unreachable

Config = str | os.PathLike[str] | Mapping[str, Any]
"""A config: a path to a YAML or JSON file, the text of one, or a mapping."""

RETRIES = 4
"""Times that a call is sent again when the service says that it is busy."""

MOVED = range(300, 400)
"""Statuses that name another address."""


@dataclass(frozen=True)
class Call:
    """One request, relative to the service."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_be_repeated(self) -> bool:
        """Whether sending it twice does what sending it once does."""
        return self.method in {"GET", "HEAD", "PUT"} or "Idempotency-Key" in self.headers

    @property
    def known_params(self) -> dict[str, Any]:
        """The query without what was not asked for."""
        return {name: value for name, value in self.params.items() if value is not None}


def submit(
    config: Config,
    *,
    run_id: str | None = None,
    parent_run_id: str | None = None,
    idempotency_key: str | None = None,
) -> Call:
    """`POST /api/backtests`."""
    body = {**config_body(config), "run_id": run_id, "parent_run_id": parent_run_id}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    body = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/api/backtests", json=body, headers=headers)


def validate(config: Config) -> Call:
    """`POST /api/backtests/validate`, which stores nothing and may be repeated."""
    return Call("POST", "/api/backtests/validate", json=config_body(config))


def study(
    base: Config,
    parameters: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
) -> Call:
    """`POST /api/studies`: a base and what differs, or a whole study."""
    if parameters is None and options:
        raise ValueError(f"{', '.join(options)} have no effect without parameters: a whole study has its own")
    body = config_body(base)
    if parameters is not None:
        # JSON is YAML, so what is a text stays one: nothing here needs to read YAML.
        asked = json.dumps({"parameters": parameters, **options}, default=_plain)
        text = body["config_yaml"] if "config_yaml" in body else json.dumps(body["config"])
        text = textwrap.indent(text.removeprefix("---"), "  ")
        body = {"config_yaml": f"study: {asked}\nbase:\n{text}\n"}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    return Call("POST", "/api/studies", json=body, headers=headers)


def runs(cursor: str | None = None, **filters: Any) -> Call:
    """`GET /api/backtests`."""
    return Call("GET", "/api/backtests", params={"cursor": cursor, **filters})


def of_run(run_id: str, *parts: str, method: str = "GET", **params: Any) -> Call:
    """A call about one run."""
    path = "/".join(["/api/backtests", quote(run_id, safe=""), *(quote(part, safe="/") for part in parts)])
    return Call(method, path, params=params)


def schedule(name: str, config: Config, cron: str) -> Call:
    """`PUT /api/schedules/{name}`, which may be repeated."""
    return replace(of_schedule(name, method="PUT"), json={**config_body(config), "cron": cron})


def of_schedule(name: str, *, method: str = "GET") -> Call:
    """A call about one schedule."""
    return Call(method, f"/api/schedules/{quote(name, safe='')}")


def amend(run_id: str, changes: Mapping[str, Any]) -> Call:
    """`PATCH /api/backtests/{id}`: what is noted on a run."""
    call = of_run(run_id, method="PATCH")
    return replace(call, json=dict(changes))


def compare(run_ids: list[str], bootstrap: int) -> Call:
    """`GET /api/compare`."""
    return Call("GET", "/api/compare", params={"runs": ",".join(run_ids), "bootstrap": bootstrap or None})


def config_body(config: Config) -> dict[str, Any]:
    """The part of a submit that holds the config: a mapping as it is, everything else as YAML text.

    A text that names an existing file is read; one with a line break or a colon and a space is the config itself.
    """
    if isinstance(config, Mapping):
        return {"config": json.loads(json.dumps(config, default=_plain))}
    if isinstance(config, str) and ("\n" in config or ": " in config):
        return {"config_yaml": config}
    return {"config_yaml": Path(config).read_text(encoding="utf-8-sig")}


def _plain(value: Any) -> Any:
    """What JSON does not know: dates and paths as text, numbers of numpy as numbers."""
    if hasattr(value, "isoformat"):
        return value.isoformat()[:10]
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a config cannot hold {value!r}")


def retry_after(call: Call, response: httpx.Response, attempt: int) -> float | None:
    """Seconds after which the call may be sent again; None when its answer stands."""
    if response.status_code not in {429, 503} or attempt >= RETRIES or not call.may_be_repeated:
        return None
    try:
        asked = float(response.headers.get("Retry-After", ""))
    except ValueError:
        asked = 2.0**attempt
    return max(0.0, min(asked, 30.0))


def checked(response: httpx.Response) -> httpx.Response:
    """The answer, unless it is a refusal."""
    status = response.status_code
    if response.is_success or status == httpx.codes.NOT_MODIFIED:
        return response
    if status in MOVED:
        raise Redirected(
            f"{response.request.method} {_shown(response.request.url)} is answered with {status}, which leads to "
            f"{response.headers.get('Location', 'nowhere')}; name that address if it is the service"
        )
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    if status in {401, 403} and "code" not in problem:
        problem["detail"] = (
            f"{_shown(response.request.url)} answers {status}: give the client a key (key=… or the environment "
            "variable BACKTEST_FUNCTION_KEY) or a credential"
        )
        raise Unauthorized.from_problem(problem, status)
    raise ServiceError.from_problem(problem, status)


def unreachable(base_url: str, error: Exception) -> Unreachable:
    """What to do when nothing answers."""
    return Unreachable(
        f"nothing answers at {base_url} ({error or type(error).__name__}); `backtests dev` or `backtests.local()` "
        "starts a service on this machine"
    )


def origin(url: str, *, has_secret: bool, insecure: bool) -> str:
    """The address of a service, completed and checked.

    An address without a scheme is https, or http on this machine. With a key, plain http is refused elsewhere.
    """
    text = url.strip().rstrip("/")
    if "://" not in text:
        host = text.split("/")[0].rsplit(":", 1)[0]
        text = f"{'http' if host in LOOPBACK else 'https'}://{text}"
    parsed = httpx.URL(text)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{url!r} is not the address of a service; it looks like https://acme.azurewebsites.net")
    if parsed.userinfo:
        raise ValueError("the address of a service must not hold a name or a password; use key= or credential=")
    if parsed.scheme == "http" and has_secret and not insecure and parsed.host not in LOOPBACK:
        raise ValueError(f"a key must not travel in the clear to {parsed.host}; use https, or insecure=True")
    base = text.removesuffix("/api")
    return base


LOOPBACK = {"localhost", "127.0.0.1", "::1", "[::1]"}
"""Hosts that are this machine."""


def _shown(url: httpx.URL) -> str:
    """An address without its query, which may hold a key."""
    return str(url.copy_with(query=None))
