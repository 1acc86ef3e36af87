"""What a result was measured on: the commit, the machine, Postgres and the versions of what takes part."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

from bench.contenders import OURS, ROOT
from bench.server import Server


def environment(server: Server, *, quick: bool, begun: datetime.datetime) -> dict[str, Any]:
    """Returns the environment of a run on this server, as the result's file has it."""
    return {
        "begun_at": begun.isoformat(timespec="seconds"),
        "quick": quick,
        "commit": output("git", "rev-parse", "HEAD"),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "postgres": server.settings,
        "versions": {
            "python": platform.python_version(),
            OURS: version("headrace-queue"),
            "psycopg": version("psycopg"),
            "grpcio": version("grpcio"),
        },
    }


def output(*command: str) -> str:
    """Returns what a command prints, run in the root of this checkout."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
