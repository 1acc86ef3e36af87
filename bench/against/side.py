"""One of the two checkouts that are compared. Each is driven by the programs in its own bench/, in its own environment.

What this needs of the other checkout is what the scripts in inside/ import there, and the command lines of its drivers.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.contenders import OURS, Contender, DriverError
from bench.cpu import cpu_seconds

INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True)
class Side:
    """A checkout, ready to be measured."""

    name: str
    root: Path
    driver: Contender
    cases: frozenset[str]
    """The cases that its own driver has."""

    @classmethod
    def of(cls, name: str, root: Path) -> Side:
        """Describes a checkout that is set up. Raises DriverError: its bench/ is not one that can be compared."""
        told = subprocess.run(
            _inside(root, "describe.py"), cwd=root, env=_environment(root), capture_output=True, text=True, check=False
        )
        if told.returncode:
            raise DriverError(f"{root} has no bench/ that can be compared: {told.stderr[-2000:]}")
        description = json.loads(told.stdout)
        python = str(root / ".venv/bin/python")
        driver = Contender(OURS, (python, "-m", "bench.drivers.headrace"), description["unfinished"], root=root)
        return cls(name, root, driver, frozenset(description["cases"]))

    def run(self, case: str, dsn: str, **arguments: Any) -> dict[str, Any]:
        """Runs a case of its driver; returns what that measured. Raises DriverError."""
        driver = self.driver
        if case not in self.cases:
            command = tuple(_inside(self.root, "older_driver.py"))
            driver = replace(driver, command=command, environment=_environment(self.root))
        return driver.run(case, dsn, **arguments)

    @contextmanager
    def jobs_server(self, dsn: str) -> Iterator[JobsServer]:
        """Its jobs server, on a database."""
        with subprocess.Popen(
            [*_inside(self.root, "jobs_server.py"), dsn],
            cwd=self.root,
            env=_environment(self.root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield JobsServer(process)
            # The end of its input ends it.


class JobsServer:
    """A jobs server that is up, and the process that calls it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._pid = int(self._line())

    def load(self, **arguments: Any) -> tuple[float, float]:
        """Has it called; returns how many seconds that took, and the server's CPU time. Raises DriverError."""
        assert self._process.stdin is not None
        before = cpu_seconds(self._pid)
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        seconds: float = json.loads(self._line())["seconds"]
        return seconds, cpu_seconds(self._pid) - before

    def _line(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise DriverError(f"the jobs server's driver ended with {self._process.wait()}; its output is above")


def _inside(root: Path, script: str) -> list[str]:
    return [str(root / ".venv/bin/python"), "-P", str(INSIDE / script)]


def _environment(root: Path) -> dict[str, str]:
    """The environment in which `bench` is that checkout's, and not the one that a script lies in."""
    return {**os.environ, "PYTHONPATH": str(root)}
