"""The command `headrace` is made of what installed distributions bring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = '''
import typer

invoices = typer.Typer(help="Look after invoices.")

@invoices.command()
def send(month: int) -> None:
    """Send them."""
    print(f"sent those of month {month}")

@invoices.command()
def count() -> None:
    """Count them."""

def hello(name: str, loud: bool = False) -> None:
    """Greet by name."""
    print(f"Hello, {name}{'!' if loud else '.'}")
'''
ENTRY_POINTS = """
[headrace.commands]
invoices = shop_commands:invoices
hello = shop_commands:hello
charts = shop_charts:charts [charts]
gone = shop_commands:gone
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a distribution that adds commands, one of which needs an extra that is not installed."""
    (tmp_path / "shop_commands.py").write_text(COMMANDS)
    (tmp_path / "shop_charts.py").write_text("import a_library_for_charts")
    info = tmp_path / "shop-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def headrace(shop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with that distribution installed."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "headrace.cli", *words],
        env={**os.environ, "PYTHONPATH": str(shop), "TERM": "dumb", "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_lists_the_commands_by_distribution(shop: Path) -> None:
    result = headrace(shop, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    _, ours, theirs = result.stdout.partition("Commands of shop")
    assert ours
    assert "Look after invoices." in theirs
    assert "Greet by name." in theirs
    assert "pip install 'shop[charts]'" in theirs


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["invoices", "send", "5"], "sent those of month 5\n"),
        (["hello", "Ada", "--loud"], "Hello, Ada!\n"),
    ],
)
def test_a_distribution_adds_commands_by_entry_points(shop: Path, words: list[str], output: str) -> None:
    result = headrace(shop, *words)
    assert (result.returncode, result.stdout, result.stderr) == (0, output, "")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["charts", "draw", "-n", "5"], "the module a_library_for_charts is not installed: pip install 'shop[charts]'"),
        (["gone"], "shop_commands:gone of shop can't be loaded: module 'shop_commands' has no attribute 'gone'"),
    ],
)
def test_a_command_that_can_not_be_loaded_says_why_in_one_line(shop: Path, words: list[str], reason: str) -> None:
    result = headrace(shop, *words)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"headrace {words[0]}: {reason}\n")
