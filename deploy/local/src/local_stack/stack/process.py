"""One part of the stack as a process: started, waited for, signalled and ended, and its end explained."""

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
    """A part died or didn't become ready; the text has the end of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """What a part is.

    Attributes:
        name: For people, and for its log's name.
        command: The program and its arguments.
        environment: All of its environment.
        is_ready: Answers whether it can be used now; called again and again until it says yes.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]


class Process:
    """A part that can be started any number of times, one process at a time."""

    def __init__(
        self, spec: ProcessSpec, log_file: Path, guardian: Guardian, on_death: Callable[["Process", str], None]
    ) -> None:
        self.spec = spec
        self.log_file = log_file
        self._guardian = guardian
        self._on_death = on_death
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._wanted = False  # whether its end would be news: it was ready, and nobody ended it

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    @property
    def pid(self) -> int:
        """Its process id, also after its end. Raises ProcessError before the first start."""
        if self._process is None:
            raise ProcessError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, in a process group of its own; doesn't wait until it is ready."""
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
        """Waits until it can be used.

        Args:
            deadline: In seconds of the monotonic clock.

        Raises:
            ProcessError: It died first, or wasn't ready in time.
        """
        while not self.spec.is_ready():
            if not self.running:
                raise ProcessError(self._explain("ended before it was ready"))
            if time.monotonic() > deadline:
                raise ProcessError(self._explain("was not ready in time"))
            time.sleep(POLL_SECONDS)
        self._wanted = True

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; the process may end by it without that being reported as a death."""
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._wanted = False
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it with SIGKILL, with everything in its process group, and waits for its end."""
        self._wanted = False
        self._kill_group()
        self.wait_ended()

    def stop(self, grace: float) -> None:
        """Ends it with SIGTERM, and with SIGKILL where that took longer than `grace` seconds."""
        self.begin_stop()
        self.wait_ended(grace)

    def begin_stop(self) -> None:
        """Sends SIGTERM and doesn't wait."""
        self._wanted = False
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)  # a stopped process can't end in order
                os.kill(self.pid, signal.SIGTERM)

    def wait_ended(self, grace: float = 5.0) -> bool:
        """Waits for its end, and kills it after `grace` seconds; answers whether it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            in_order = False
        else:
            in_order = True
        self._kill_group()  # what it may have left in its group
        self._process.wait()
        if self._watcher is not None:
            self._watcher.join()
        return in_order

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The end of its log."""
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
        return f"{self.name} {what}{how}. The end of {self.log_file}:\n{self.tail() or '(it said nothing)'}"
