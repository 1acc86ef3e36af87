"""The system: starts every process in order and waits for it, and stops everything without leftovers.

Used by ``make run`` and by the end-to-end tests.

    with System() as system:
        system.kill("worker-1")
        system.start_part("worker-1")
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace.embedded_postgres import EmbeddedPostgres
from local_stack.stack.credentials import Credentials
from local_stack.stack.databases import Databases
from local_stack.stack.guardian import Guardian
from local_stack.stack.jaeger import find_jaeger
from local_stack.stack.ports import Ports, reach_directly
from local_stack.stack.process import Process, ProcessError, ProcessSpec
from local_stack.stack.programs import LISTENERS, WORKERS, Plan

READY_WITHIN = 45.0
"""How many seconds every process may take to be ready; a loaded machine with two cores needs ten."""
STOP_GRACE = 8.0
"""How many seconds a process may take to stop: more than the drain timeouts in `programs.PACE`."""


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes:
        ports: Ports for listeners of `programs.LISTENERS`; the others get free ones.
        environment: Settings of the programs, for example {"JOBS_RETRY_BASE": "200ms"}.
        jaeger: Whether to start Jaeger if it is installed.
        stripe_secret_key: Uses the real Stripe instead of the fake.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    jaeger: bool = True
    stripe_secret_key: str | None = None


class System:
    """The whole system on this machine.

    Args:
        options: The options.
        on_ready: Called with a process's name and how many seconds it took to be ready.
        on_death: Called with a text when a process dies; from another thread.

    Attributes:
        deaths: The texts that were passed to `on_death`.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        on_ready: Callable[[str, float], None] = lambda _name, _seconds: None,
        on_death: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.deaths: list[str] = []
        self._options = options or Options()
        self._on_ready = on_ready
        self._on_death = on_death
        self._parts: dict[str, Process] = {}
        self._postgres_wanted = False
        self._postgres_watcher: threading.Thread | None = None
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # ── The whole ──

    def start(self) -> None:
        """Starts everything and returns when all of it is ready.

        Call it from a thread that lives longer than the system: Linux stops Postgres with the thread that started it.

        Raises:
            ProcessError: A process died or was not ready in time.
            PortError: A requested port is in use.
            EmbeddedPostgresError: Postgres didn't start.
        """
        reach_directly()
        self._guardian = Guardian()
        self._undo.callback(self._guardian.dismiss)
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-run-"))  # readable by this user alone
        self._guardian.remove(self.folder)
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        ports = Ports(LISTENERS, self._options.ports)
        self._undo.callback(ports.release)
        self.credentials = Credentials(self.folder)
        self.credentials.write()
        self.postgres = EmbeddedPostgres(port=ports["postgres"])
        self._guardian.remove(self.postgres.data_dir)
        self._undo.callback(self.stop_postgres)
        self._undo.callback(self._stop_parts)
        self.plan = Plan(
            credentials=self.credentials,
            databases=Databases(self.postgres, self.credentials),
            ports=ports,
            folder=self.folder,
            environment=self._options.environment,
            stripe_secret_key=self._options.stripe_secret_key,
            jaeger=find_jaeger() if self._options.jaeger else None,
        )
        waiting = ThreadPoolExecutor()
        try:
            ready = [self._launch(spec, waiting) for spec in self.plan.helpers()]
            self.start_postgres()
            self.plan.databases.create()
            self._migrate()
            ready += [self._launch(spec, waiting) for spec in self.plan.services()]
            for each in as_completed(ready):
                each.result()
        finally:
            waiting.shutdown(wait=False)  # after a failure, `stop` ends what it still waits for

    def stop(self) -> None:
        """Stops everything in order: workers first, databases last. Idempotent."""
        self._undo.close()

    def keep_logs(self) -> None:
        """Keeps the logs when the system stops; otherwise they are removed."""
        self._guardian.keep(self.folder)

    # ── One process ──

    @property
    def part_names(self) -> tuple[str, ...]:
        """All processes except Postgres, in the order of their start."""
        return tuple(self._parts)

    def part(self, name: str) -> Process:
        """Returns a process. Raises ProcessError for an unknown name."""
        try:
            return self._parts[name]
        except KeyError:
            raise ProcessError(f"there is no process {name!r}: use one of {', '.join(self._parts)}") from None

    def add_part(self, spec: ProcessSpec) -> None:
        """Starts a further process and returns when it is ready. It stops with the others."""
        with ThreadPoolExecutor(1) as waiting:
            self._launch(spec, waiting).result()

    def start_part(self, name: str) -> None:
        """Restarts a process and returns when it is ready."""
        self.part(name).start()
        self.part(name).wait_ready(time.monotonic() + READY_WITHIN)

    def stop_part(self, name: str, *, grace: float = STOP_GRACE) -> None:
        """Stops a process with SIGTERM, and with SIGKILL after `grace` seconds."""
        self.part(name).stop(grace)

    def kill(self, name: str) -> None:
        """Kills a process with SIGKILL and returns when it has ended."""
        self.part(name).kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a process a signal, for example SIGSTOP and later SIGCONT."""
        self.part(name).signal(number)

    def start_postgres(self) -> None:
        """Starts Postgres. After `stop_postgres` it has the same data."""
        began = time.monotonic()
        self.postgres.start()
        self._on_ready("postgres", time.monotonic() - began)
        self._guardian.watch(self.postgres.pid, signal.SIGQUIT)
        self._postgres_wanted = True
        self._postgres_watcher = threading.Thread(target=self._watch_postgres, args=(self.postgres.pid,), daemon=True)
        self._postgres_watcher.start()

    def stop_postgres(self) -> None:
        """Crashes Postgres. It keeps every confirmed commit."""
        self._postgres_wanted = False
        self.postgres.stop("immediate")
        if self._postgres_watcher is not None:
            self._postgres_watcher.join()

    # ── Addresses ──

    def address(self, listener: str) -> str:
        """Returns the "host:port" of a listener of `programs.LISTENERS`."""
        return self.plan.address(listener)

    def url(self, listener: str) -> str:
        """Returns the "http://host:port" of a listener of `programs.LISTENERS`."""
        return self.plan.url(listener)

    @property
    def traces_url(self) -> str | None:
        """The address of Jaeger's API and pages; None if it isn't running."""
        return self.url("jaeger-http") if self.plan.jaeger is not None else None

    @property
    def has_stripe_stand_in(self) -> bool:
        """Whether the fake Stripe is used."""
        return self.plan.stripe_secret_key is None

    # ── Internals ──

    def _launch(self, spec: ProcessSpec, waiting: Executor) -> Future[None]:
        part = Process(spec, self.logs / f"{spec.name}.log", self._guardian, self._died)
        self._parts[spec.name] = part
        part.start()
        return waiting.submit(self._wait_ready, part, time.monotonic())

    def _wait_ready(self, part: Process, began: float) -> None:
        part.wait_ready(began + READY_WITHIN)
        self._on_ready(part.name, time.monotonic() - began)

    def _stop_parts(self) -> None:
        for tier in (WORKERS, ("api", "jobs-server"), tuple(self._parts)):
            ending = [self._parts[name] for name in tier if name in self._parts and self._parts[name].running]
            for part in ending:
                part.begin_stop()
            deadline = time.monotonic() + STOP_GRACE
            for part in ending:
                part.wait_ended(max(0.1, deadline - time.monotonic()))

    def _migrate(self) -> None:
        began = time.monotonic()
        running = {}
        for name, spec in self.plan.migrations().items():
            log_file = self.logs / f"{name}.log"
            with log_file.open("ab") as log:
                running[name] = (
                    subprocess.Popen(spec.command, env=dict(spec.environment), stdout=log, stderr=log),
                    log_file,
                )
        for name, (process, log_file) in running.items():
            if process.wait(READY_WITHIN) != 0:
                raise ProcessError(
                    f"{name} failed (exit code {process.returncode}):\n{log_file.read_text(errors='replace')}"
                )
            self._on_ready(name, time.monotonic() - began)

    def _watch_postgres(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):  # stopped and waited for by another thread
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self._guardian.forget(pid)
        if self._postgres_wanted:
            lines = self.postgres.log_file.read_text(errors="replace").splitlines()[-15:]
            self._report("\n".join([f"postgres died. The end of {self.postgres.log_file}:", *lines]))

    def _died(self, _part: Process, text: str) -> None:
        self._report(text)

    def _report(self, text: str) -> None:
        self.deaths.append(text)
        self._on_death(text)
