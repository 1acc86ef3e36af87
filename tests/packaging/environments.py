"""Builds distributions as for a release, and makes empty environments to install them into. Needs uv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
# The oldest and the newest Python that the distributions name.
PYTHONS = ("3.11", "3.13")

CHASSIS, CLI, CLIENT, CONTRACT = "headrace-chassis", "headrace-cli", "headrace-client", "headrace-contract"
ENGINE, OUTBOX, JOBS_SERVICE = "headrace-queue", "headrace-outbox", "headrace-jobs-service"
# The product's.
API_SERVICE, SAAS, WORKER = "headrace-api-service", "saas-contract", "saas-worker"


def distributions() -> dict[str, Path]:
    """The folder of every distribution, by its name; without those that are for development alone."""
    files = [*ROOT.glob("proto/pyproject.toml"), *ROOT.glob("*/*/pyproject.toml")]
    found = {re.findall(r'(?m)^name = "(\S+)"', file.read_text())[0]: file.parent for file in files}
    return {name: folder for name, folder in sorted(found.items()) if folder.parts[-2] not in {"tests", "deploy"}}


@cache
def interpreter(version: str) -> str | None:
    """The path of a Python of that version, or None."""
    name = f"python{version}"
    candidates = [shutil.which(name), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:  # no shim
            return candidate
    return None


def run(*command: str | Path, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs a command without this environment's packages; does not raise when it fails."""
    left_out = {"PYTHONPATH", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=timeout
    )


def run_uv(*arguments: str | Path, cwd: Path) -> None:
    """Runs uv; fails with its output."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "uv is missing: run these tests by `make test-dist`"
    done = run(uv, *arguments, cwd=cwd)
    assert done.returncode == 0, f"uv {' '.join(map(str, arguments))}\n{done.stderr}"


def build(folder: Path, into: Path) -> None:
    """Builds a folder's sdist, and a wheel from that sdist alone."""
    run_uv("build", "--quiet", "--out-dir", into, folder, cwd=into)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with nothing in it but what is installed by these methods."""

    folder: Path
    wheels: Path

    @classmethod
    def make(cls, folder: Path, version: str, wheels: Path) -> Environment:
        """Makes an empty one with a Python of that version, which must be there."""
        python = interpreter(version)
        assert python, f"python{version} isn't installed"
        folder.mkdir(parents=True)
        run_uv("venv", "--quiet", "--python", python, folder / "venv", cwd=folder)
        return cls(folder, wheels)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "venv/bin/python"

    @property
    def _options(self) -> list[str | Path]:
        return ["--quiet", "--python", self.python, "--find-links", self.wheels]

    def install(self, *requirements: str | Path) -> Environment:
        """Installs distributions of ours, and what they depend on from the registry."""
        run_uv("pip", "install", *self._options, *requirements, cwd=self.folder)
        return self

    def install_oldest(self, project: Path, *extras: str) -> Environment:
        """Installs a project with the oldest versions that its own dependencies allow."""
        lock = self.folder / "oldest.txt"
        options = ["--resolution", "lowest-direct", *(f"--extra={extra}" for extra in extras)]
        project_file = project / "pyproject.toml"
        run_uv("pip", "compile", *self._options, *options, "--output-file", lock, project_file, cwd=self.folder)
        return self.install("--requirement", lock)

    def check(self, program: str | Path, *arguments: str) -> str:
        """Runs a Python file, or Python code, with warnings as errors; fails if it does. Returns its output."""
        source = [program] if isinstance(program, Path) else ["-c", program]
        done = run(self.python, "-W", "error", *source, *arguments, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a program that the environment has installed."""
        return run(self.folder / "venv/bin" / name, *arguments, cwd=self.folder)
