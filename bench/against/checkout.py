"""Another revision of this repository: its files below .cache/against, and an environment that imports them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from bench.contenders import ROOT

FOLDER = ROOT / ".cache" / "against"
LOCK = "requirements.lock"
BASE_PYTHON = Path(sys.base_prefix) / "bin" / "python3"
# An outer make passes its own variables on by these.
_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}


class CheckoutError(RuntimeError):
    """A revision couldn't be checked out or set up; the text says why."""


def commit_of(revision: str) -> str:
    """Returns the commit that a revision names. Raises CheckoutError: it names none."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise CheckoutError(
            f"AGAINST={revision} is not a revision of this repository: give a commit, a branch or a tag"
        )
    return found.stdout.decode().strip()


def checkout(commit: str) -> Path:
    """Returns the folder of a commit's files, with an environment in `.venv` that the commit's own `make setup` made.

    Where this checkout has all of its locked dependencies, in the same versions, both import the same files. A second
    installation of them can be some percent slower just by where it lies in memory.

    The first call for a commit takes some seconds, or a minute for other dependencies. `make clean` removes the folder.

    Raises:
        CheckoutError: The files can't be read from git, or `make setup` failed.
    """
    share = pins(_git("show", f"{commit}:{LOCK}").stdout.decode()) <= pins((ROOT / LOCK).read_text())
    folder = FOLDER / f"{commit[:12]}-{sys.implementation.cache_tag}{'-shared' if share else ''}"
    if not folder.exists():
        _extract(commit, folder)
    if share:
        _share_dependencies(folder / ".venv")
    sys.stderr.write(f"setting up {folder.relative_to(ROOT)} …\n")
    setup = subprocess.run(
        ["make", "--silent", "setup", f"PYTHON={BASE_PYTHON}"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in _MAKE},
        stdout=sys.stderr,
        check=False,
    )
    if setup.returncode:
        raise CheckoutError(f"make setup failed in {folder}; its output is above")
    return folder


def pins(lock: str) -> set[str]:
    """Returns the requirements that a lock file pins, with versions and markers, but without their hashes."""
    return {line.rstrip(" \\") for line in lock.splitlines() if "==" in line and line[0].isalnum()}


def _extract(commit: str, folder: Path) -> None:
    archive = _git("archive", "--format=tar", commit)
    if archive.returncode:
        raise CheckoutError(f"git archive {commit} failed: {archive.stderr.decode().strip()}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as part:  # so that an interrupted run leaves no half of a checkout
        tree = Path(part) / "tree"
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(tree, filter="data")
        tree.rename(folder)


def _share_dependencies(venv: Path) -> None:
    """Makes an environment in which pip counts what this one has as installed."""
    path_file = venv / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages" / "dependencies.pth"
    if not path_file.exists():
        subprocess.run([BASE_PYTHON, "-m", "venv", venv], check=True)
        # The path files in there are not read, so that no source of this checkout can be imported by it.
        path_file.write_text(f"{sysconfig.get_path('purelib')}\n")


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
