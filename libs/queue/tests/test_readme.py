"""The quickstart works as it stands, with the package as a user installs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
CLI = PACKAGE.parent / "cli"
CONTRACT = PACKAGE.parents[1] / "proto"
BLOCK = re.compile(r"^```(\w+) ([\w.]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with the package and what its extras need of ours; other dependencies are this one's."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # A plain path: the editable installs of this environment are not seen through it.
    (folder / "lib" / version / "site-packages" / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([python, "-m", "pip", "install", *options, CLI, CONTRACT, PACKAGE], check=True, cwd=tmp_path)
    return folder


@pytest.fixture
def blocks() -> dict[str, str]:
    """The README's named blocks."""
    return {name: text for _, name, text in BLOCK.findall((PACKAGE / "README.md").read_text())}


def variables(environment: Path, home: Path) -> dict[str, str]:
    return {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "PYTHONWARNINGS": "error"}


def test_the_quickstart_is_under_fifteen_lines_and_runs(
    environment: Path, tmp_path: Path, blocks: dict[str, str]
) -> None:
    assert blocks["install"] == "pip install ./libs/cli './libs/queue[embedded]'\n"
    assert len(blocks["quickstart.py"].splitlines()) < 15
    (tmp_path / "quickstart.py").write_text(blocks["quickstart.py"])
    program = subprocess.Popen(
        ["bash", "-euc", f"exec {blocks['run']}"],
        cwd=tmp_path,
        env=variables(environment, tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        first = program.stdout.readline()
        program.send_signal(signal.SIGINT)
        rest, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (0, "")
    assert first + rest == blocks["output"]


def test_the_proto_file_of_the_readme_compiles_and_is_a_kind(
    environment: Path, tmp_path: Path, blocks: dict[str, str]
) -> None:
    (tmp_path / "greetings.proto").write_text(blocks["greetings.proto"])
    look = "import greetings_pb2, headrace.queue; print(*headrace.queue.Kinds.of_file(greetings_pb2.DESCRIPTOR).names)"
    done = subprocess.run(
        ["bash", "-euc", f"{blocks['compile']}\npython -c '{look}'"],
        cwd=tmp_path,
        env=variables(environment, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "acme.v1.Greet\n"


def test_the_command_has_the_commands_of_the_engine(environment: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [environment / "bin" / "headrace", "--help"],
        cwd=tmp_path,
        env=variables(environment, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for command in ("explain", "kinds", "migrate", "worker"):
        assert f" {command} " in done.stdout
