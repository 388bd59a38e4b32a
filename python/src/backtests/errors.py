"""What can go wrong, as exceptions that say what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class BacktestsError(Exception):
    """Everything that this package raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One fault of a request: where it is (`strategy.parameters.top_n`) and what is wrong there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ServiceError(BacktestsError):
    """The service refused a call.

    `code` is one of a closed list (docs/errors.md says what to do about each), `status` the HTTP status, `faults`
    every fault of the request, `instance` the invocation under which the service's log tells more.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str | None,
        status: int,
        faults: tuple[Fault, ...] = (),
        instance: str | None = None,
    ) -> None:
        lines = [detail, *(f"  {fault}" for fault in faults)]
        super().__init__("\n".join(lines))
        self.detail = detail
        self.code = code
        self.status = status
        self.faults = faults
        self.instance = instance

    @classmethod
    def from_problem(cls, problem: Mapping[str, Any], status: int) -> ServiceError:
        """Reads a problem document (RFC 9457)."""
        faults = tuple(
            Fault(str(fault.get("path", "")), str(fault.get("message", ""))) for fault in problem.get("errors", ())
        )
        return cls(
            str(problem.get("detail") or problem.get("title") or f"HTTP status {status}"),
            code=problem.get("code"),
            status=status,
            faults=faults,
            instance=problem.get("instance"),
        )


class Unauthorized(ServiceError):
    """The service wants a key or a sign-in."""


class Unreachable(BacktestsError):
    """Nothing answers at the address."""


class Redirected(BacktestsError):
    """The address moved. Nothing was sent there: a key never leaves its origin, and a POST would become a GET."""


class RunFailed(BacktestsError):
    """A run ended without results.

    `reason` is the status reason of the run (`invalid_data`, `timeout`, …; None for a canceled one), `message` what
    the executor said.
    """

    def __init__(self, run_id: str, status: str, reason: str | None, message: str | None) -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(f"run {run_id} is {status}{why}" + (f": {message}" if message else ""))
        self.run_id = run_id
        self.status = status
        self.reason = reason
        self.message = message


class ProgramFailed(BacktestsError):
    """The `backtests` program refused what it was asked; `exit_code` is 1 failed, 2 wrong usage, 3 unusable data."""

    def __init__(self, said: str, exit_code: int) -> None:
        super().__init__(said)
        self.exit_code = exit_code
