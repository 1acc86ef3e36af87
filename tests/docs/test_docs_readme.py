"""The README's four steps to a new kind of job are done as they stand, in a copy of the repository, and work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("new_kind_program.py")
# ```<language> <name>: the name is a file's path, or what a command is for.
BLOCK = re.compile(r"^```(?P<language>\w+) (?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SOURCES = ("proto/gen", "libs/*/src", "services/*/src", "deploy/local/src", "tests/doubles/src")


@pytest.fixture(scope="module")
def blocks() -> dict[str, tuple[str, str]]:
    """The README's named code blocks: language and text, by name."""
    found = BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
    return {match["name"]: (match["language"], match["text"]) for match in found}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository that uses this environment's packages, but only the copy's code."""
    copy = tmp_path / "headrace"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist"))
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


def do_step(copy: Path, name: str, language: str, text: str) -> None:
    """Does with a file what a reader would: appends a message, changes lines, writes a new file."""
    path = copy / name
    match language:
        case "proto":
            path.write_text(path.read_text() + text)
        case "diff":
            path.write_text(patched(path.read_text(), text))
        case "python":
            assert not path.exists(), f"{name} is there already"
            path.write_text(text)


def patched(source: str, diff: str) -> str:
    """The source with every hunk of a diff done; hunks are separated by @@ and found by their unchanged lines."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert source.count(before) == 1, f"these lines should be there once:\n{before}"
        source = source.replace(before, after)
    return source


def environment_of(copy: Path) -> dict[str, str]:
    """An environment in which Python finds the copy's code first."""
    folders = [str(folder) for pattern in SOURCES for folder in sorted(copy.glob(pattern))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)}


@pytest.mark.e2e
def test_the_four_steps_to_a_new_kind_of_job_work(
    blocks: dict[str, tuple[str, str]], copy: Path, tmp_path: Path
) -> None:
    generate, enqueue = blocks["generate"][1].split(), tmp_path / "enqueue.sh"
    assert generate == ["make", "proto"]
    enqueue.write_text(blocks["enqueue"][1])
    environment = environment_of(copy)
    files = {name: block for name, block in blocks.items() if "/" in name}
    for name, (language, text) in files.items():
        do_step(copy, name, language, text)
    # The copy's environment is this one, installed already.
    subprocess.run([*generate, "--assume-old=.venv/.installed"], cwd=copy, env=environment, check=True)
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    command = [sys.executable, str(PROGRAM), str(temporary), str(enqueue)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert Path(told["code"]).is_relative_to(copy), "the code that ran is not the copy's"
    assert re.fullmatch(r"built by job \d+, in attempt 1\n", told["committed"])
    assert told["rolled back"] is None
    job_id = told["first"]["jobId"]
    assert told["by command"] == f"built by job {job_id}, in attempt 1\n"
    assert told["again"] == {"jobId": job_id, "duplicate": True, "duplicateBy": "DUPLICATE_BY_KEY"}
    assert "invalid_argument" in told["wrong"]
    assert "report_id" in told["wrong"]


def test_what_the_four_steps_write_is_well_formed(blocks: dict[str, tuple[str, str]], copy: Path) -> None:
    written = [name for name, (language, _) in blocks.items() if language in {"diff", "python"}]
    for name in written:
        do_step(copy, name, *blocks[name])
    config = str(ROOT / "pyproject.toml")
    for command in (["format", "--check"], ["check"]):
        ruff = [str(Path(sys.executable).with_name("ruff")), *command, "--no-cache", "--config", config]
        done = subprocess.run([*ruff, *written], cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
