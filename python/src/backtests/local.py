"""A service on this machine: `backtests dev` as a child, ended with the `with` block."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO

import httpx

from .client import Client
from .errors import ProgramFailed

START_SECONDS = 60.0
STOP_SECONDS = 15.0
LISTENING = re.compile(r"listening on http://[a-z0-9.]+:(\d+)/")


def program() -> Path:
    """The `backtests` program: that of the wheel, `BACKTESTS_PROGRAM`, or the first one on the path."""
    named = os.environ.get("BACKTESTS_PROGRAM")
    if named:
        return Path(named)
    name = "backtests.exe" if sys.platform == "win32" else "backtests"
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")):
        if folder and (Path(folder) / name).is_file():
            return Path(folder) / name
    found = shutil.which("backtests")
    if found is None:
        raise FileNotFoundError("there is no program `backtests`: install the wheel, or name it in BACKTESTS_PROGRAM")
    return Path(found)


def call_program(*arguments: str) -> str:
    """Runs the program to its end and returns what it printed."""
    done = subprocess.run([program(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProgramFailed(done.stderr.strip().removeprefix("error: "), done.returncode)
    return done.stdout


class LocalService(Client):
    """A service that this process started, and ends."""

    def __init__(self, lake: str | os.PathLike[str] | None, folder: str | os.PathLike[str] | None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="backtests-") if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else os.fspath(folder or "."))
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if lake is not None:
            environment["BACKTEST_LAKE"] = str(Path(lake).resolve())
        # A key of some other service must not be sent to this one.
        environment.pop("BACKTEST_FUNCTION_KEY", None)
        self._process = subprocess.Popen(
            [program(), "dev", "--port", "0"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._said: deque[str] = deque(maxlen=200)
        self._address: str | None = None
        self._listening = threading.Event()
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()
        try:
            super().__init__(self._started(), key="")
            self._until_ready()
        except BaseException:
            self._stop()
            raise

    @property
    def log(self) -> str:
        """The last lines that the service said."""
        return "".join(self._said)

    def close(self) -> None:
        """Ends the service; runs that are going are taken up again by the next one in the same folder."""
        super().close()
        self._stop()

    def _listen(self, output: IO[str] | None) -> None:
        for line in output or ():
            self._said.append(line)
            found = LISTENING.search(line)
            if found and self._address is None:
                self._address = f"http://127.0.0.1:{found.group(1)}"
                self._listening.set()
        self._listening.set()

    def _started(self) -> str:
        self._listening.wait(START_SECONDS)
        if self._address is None:
            raise ProgramFailed(f"the local service did not start:\n{self.log}", self._process.poll() or 1)
        return self._address

    def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self._http.get("/api/healthz").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise ProgramFailed(f"the local service does not answer:\n{self.log}", self._process.poll() or 1)

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._temporary is not None:
            self._temporary.cleanup()


def local(lake: str | os.PathLike[str] | None = None, folder: str | os.PathLike[str] | None = None) -> LocalService:
    """Starts a service on a free port of this machine; use it in a `with` block.

    `lake` is the folder of its Delta tables; without one it has a lake of its own in `folder`. `folder` keeps records
    and results; without one they are gone with the service.
    """
    return LocalService(lake, folder)
