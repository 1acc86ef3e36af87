"""Every example runs as it stands, and prints what its docstring says."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
LONGEST = 60


def promised(program: Path) -> str | None:
    """What a program's docstring says that it prints; None for a module that is no program."""
    docstring = ast.get_docstring(ast.parse(program.read_text())) or ""
    _, mark, output = docstring.partition("Prints:\n")
    return inspect.cleandoc(output) + "\n" if mark else None


EXAMPLES = {each.stem: each for each in sorted(FOLDER.glob("*.py")) if promised(each) is not None}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_promises(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES[name]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == promised(EXAMPLES[name]), done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name: str) -> None:
    assert len(EXAMPLES[name].read_text().splitlines()) <= LONGEST


def test_the_list_of_examples_names_each() -> None:
    listed = (FOLDER / "README.md").read_text()
    assert [name for name in EXAMPLES if f"({name}.py)" not in listed] == []
