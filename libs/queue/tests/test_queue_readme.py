"""The quickstart works as it stands, with the package as a user installs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+) ([\w.]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment into which the package is installed from a wheel; its dependencies are this environment's."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # A plain path: the editable installs of this environment are not seen through it.
    (folder / "lib" / version / "site-packages" / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([python, "-m", "pip", "install", *options, PACKAGE], check=True, cwd=tmp_path)
    return folder


def test_the_quickstart_of_the_readme_runs(environment: Path, tmp_path: Path) -> None:
    blocks = {name: text for _, name, text in BLOCK.findall((PACKAGE / "README.md").read_text())}
    assert blocks["install"] == "pip install './libs/queue[embedded]' grpcio-tools\n"
    for name in ("greetings.proto", "quickstart.py"):
        (tmp_path / name).write_text(blocks[name])
    path = {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONWARNINGS": "error"}
    for name in ("compile", "run"):
        done = subprocess.run(
            ["bash", "-euc", blocks[name]], cwd=tmp_path, env=path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == blocks["output"]
