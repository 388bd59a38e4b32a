"""Backtests for portfolio research: submit, watch, and look at results as data frames.

    import backtests as bt

    with bt.local(lake="lake") as service:
        run = service.submit("momentum.yaml").wait()
        run.metrics()

`local` starts a service on this machine, `Client` speaks to one elsewhere, `AsyncClient` does so without blocking.
"""

from .client import AsyncClient, AsyncRun, Client, Run, Study
from .comparison import Comparison, compare
from .errors import (
    BacktestsError,
    Fault,
    ProgramFailed,
    Redirected,
    RunFailed,
    ServiceError,
    Unauthorized,
    Unreachable,
)
from .lake import write_prices, write_signals
from .local import LocalService, local, program

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "BacktestsError",
    "Client",
    "Comparison",
    "Fault",
    "LocalService",
    "ProgramFailed",
    "Redirected",
    "Run",
    "RunFailed",
    "ServiceError",
    "Study",
    "Unauthorized",
    "Unreachable",
    "compare",
    "local",
    "program",
    "write_prices",
    "write_signals",
]
