"""The contenders, and how to start each one's driver: a separate process with a separate environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = Path(os.environ.get("BENCH_PEERS", "peers"))
OURS = "headrace"
LONGEST = 300


class DriverError(RuntimeError):
    """A driver didn't answer; the text has its last words."""


@dataclass(frozen=True)
class Contender:
    """A queue with its driver."""

    name: str
    command: tuple[str, ...]
    unfinished: str
    """A query that counts the jobs that are not done yet: after a drain it must say 0."""
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path = ROOT
    """The checkout that the driver belongs to."""

    def run(self, case: str, dsn: str, **arguments: Any) -> dict[str, Any]:
        """Runs a case of the driver; returns what it measured. Raises DriverError."""
        done = subprocess.run(
            [*self.command, case, dsn, json.dumps(arguments)],
            cwd=self.root,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        if done.returncode:
            raise DriverError(f"{self.name}, case {case}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


CONTENDERS = (
    Contender(
        OURS,
        (sys.executable, "-m", "bench.drivers.headrace"),
        "select count(*) from headrace.jobs where state <> 'completed'",
    ),
    Contender(
        "pgqueuer",
        (str(PEERS / "pgqueuer/bin/python"), "-m", "bench.drivers.pgqueuer"),
        "select count(*) from pgqueuer",
    ),
    Contender(
        "graphile-worker",
        ("node", "bench/drivers/graphile_worker.mjs"),
        "select count(*) from graphile_worker._private_jobs",
        {"GRAPHILE_WORKER_HOME": str(PEERS / "graphile-worker")},
    ),
)
BARE = replace(CONTENDERS[0], name="bare statements", command=(sys.executable, "-m", "bench.drivers.bare"))
