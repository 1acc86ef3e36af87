"""The program `jobs-server` as it is installed, for the measured while, and the CPU time that it takes."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.contenders import LONGEST, ROOT, DriverError
from bench.cpu import cpu_seconds
from headrace.chassis.rpc.tokens import token_hash


class JobsServerProgram:
    """A jobs server on a database; without traces or limits, as it is by default."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._token = secrets.token_hex(16)
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> JobsServerProgram:
        callers = Path(self._folder.name) / "callers.toml"
        callers.write_text(
            f'[[callers]]\nname = "bench"\ntoken_sha256 = ["{token_hash(self._token)}"]\n'
            'kinds = ["*"]\nmethods = ["*"]\n'
        )
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("jobs-server")],
            env={
                **os.environ,
                "JOBS_DATABASE_URL": self._dsn,
                "JOBS_HASH_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
                "JOBS_KINDS": "saas.jobs.v1.kinds_pb2",
                "JOBS_CALLERS_FILE": str(callers),
                "JOBS_GRPC_ADDRESS": "127.0.0.1:0",
                "LOG_LEVEL": "info",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        self._target = self._said("listening")["address"]
        self._said("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    @property
    def cpu_seconds(self) -> float:
        """What the program has taken so far."""
        return cpu_seconds(self._process.pid)

    def load(self, **arguments: Any) -> dict[str, Any]:
        """Calls it from a separate process; see bench.rpc.load. Raises DriverError."""
        done = subprocess.run(
            [sys.executable, "-m", "bench.rpc.load", self._target, json.dumps({"token": self._token, **arguments})],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        if done.returncode:
            raise DriverError(f"calls of the jobs server: exit code {done.returncode}\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _said(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
        raise DriverError(f"jobs-server ended with {self._process.wait()}")
