"""One process of the stack: starts, waits for, signals and stops it, and explains why it ended."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_stack.stack.guardian import Guardian

TAIL_LINES = 15
POLL_SECONDS = 0.03


class ProcessError(RuntimeError):
    """A process died or didn't become ready; the text has the end of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to start.

    Attributes:
        name: Its name in the output and in the log file's name.
        command: The program and its arguments.
        environment: Its whole environment.
        is_ready: Returns whether it can be used now; called until it returns True.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]


class Process:
    """A process that can be started any number of times, one at a time."""

    def __init__(
        self, spec: ProcessSpec, log_file: Path, guardian: Guardian, on_death: Callable[["Process", str], None]
    ) -> None:
        self.spec = spec
        self.log_file = log_file
        self._guardian = guardian
        self._on_death = on_death
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._wanted = False  # whether its end is a death: it was ready, and the stack has not stopped it

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    @property
    def pid(self) -> int:
        """Its process id, also after it ended. Raises ProcessError before the first start."""
        if self._process is None:
            raise ProcessError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it in a separate process group, without waiting until it is ready."""
        if self.running:
            raise ProcessError(f"{self.name} is running already")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.spec.command,
                env=dict(self.spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log_file.parent,
                start_new_session=True,
            )
        self._guardian.watch(self._process.pid)
        self._watcher = threading.Thread(target=self._watch, args=(self._process,), daemon=True)
        self._watcher.start()

    def wait_ready(self, deadline: float) -> None:
        """Waits until it is ready.

        Args:
            deadline: In seconds of the monotonic clock.

        Raises:
            ProcessError: It ended before, or wasn't ready in time.
        """
        while not self.spec.is_ready():
            if not self.running:
                raise ProcessError(self._explain("ended before it was ready"))
            if time.monotonic() > deadline:
                raise ProcessError(self._explain("was not ready in time"))
            time.sleep(POLL_SECONDS)
        self._wanted = True

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal. If the process ends by it, that isn't reported as a death."""
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._wanted = False
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it and its process group with SIGKILL, and waits until it has ended."""
        self._wanted = False
        self._kill_group()
        self.wait_ended()

    def stop(self, grace: float) -> None:
        """Stops it with SIGTERM, and with SIGKILL after `grace` seconds."""
        self.begin_stop()
        self.wait_ended(grace)

    def begin_stop(self) -> None:
        """Sends SIGTERM and doesn't wait."""
        self._wanted = False
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)  # a suspended process can't handle SIGTERM
                os.kill(self.pid, signal.SIGTERM)

    def wait_ended(self, grace: float = 5.0) -> bool:
        """Waits until it has ended, and kills it after `grace` seconds. Returns whether it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            in_order = False
        else:
            in_order = True
        self._kill_group()  # what it may have left in its process group
        self._process.wait()
        if self._watcher is not None:
            self._watcher.join()
        return in_order

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Returns the end of its log."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._guardian.forget(process.pid)
        if self._wanted:
            self._on_death(self, self._explain("died"))

    def _explain(self, what: str) -> str:
        code = self._process.returncode if self._process else None
        if code is None:
            how = ""
        elif code < 0:
            how = f" (by {signal.Signals(-code).name})"
        else:
            how = f" (exit code {code})"
        return f"{self.name} {what}{how}. The end of {self.log_file}:\n{self.tail() or '(empty)'}"
