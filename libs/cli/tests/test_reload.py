"""A program is restarted when a Python file changes, and ends with the command that runs it."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print("started", {version}, flush=True)
stop.wait()
print("drained", {version}, flush=True)
"""
RELOADING = """
import sys
from pathlib import Path
from headrace.cli.reload import run_reloading
run_reloading([sys.executable, "program.py"], Path.cwd())
"""


class Reloading:
    """The program under a reloader, and the lines that both print."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "program.py"
        self.write(PROGRAM.format(version=1))
        self.process = subprocess.Popen(
            [sys.executable, "-c", RELOADING], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def end(self) -> None:
        """Ends both, and reads what they still print."""
        self.process.send_signal(signal.SIGTERM)
        self._reader.join()

    def line(self, within: float = 60) -> str:
        """The next line."""
        return self._lines.get(timeout=within)

    def change(self, text: str) -> str:
        """Changes the file, until it is noticed: the program may be there before its watcher. Returns the next line."""
        while True:
            self.write(text)
            try:
                return self.line(within=1)
            except queue.Empty:
                continue


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[Reloading]:
    running = Reloading(tmp_path)
    with running.process:
        try:
            yield running
        finally:
            running.end()


def test_a_change_restarts_the_program_after_it_has_drained(reloading: Reloading) -> None:
    assert reloading.line() == "started 1"
    assert reloading.change(PROGRAM.format(version=2)) == "headrace: program.py changed, restarting"
    assert [reloading.line(), reloading.line()] == ["drained 1", "started 2"]


def test_a_program_that_ends_by_itself_is_started_by_the_next_change(reloading: Reloading) -> None:
    assert reloading.line() == "started 1"
    assert reloading.change("a mistake") == "headrace: program.py changed, restarting"
    assert reloading.line() == "drained 1"
    while not reloading.line().startswith("SyntaxError"):
        pass
    assert reloading.change(PROGRAM.format(version=2)) == "headrace: program.py changed, restarting"
    assert reloading.line() == "started 2"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_program_and_ends_both(reloading: Reloading, number: signal.Signals) -> None:
    assert reloading.line() == "started 1"
    reloading.process.send_signal(number)
    assert reloading.line() == "drained 1"
    assert reloading.process.wait(60) == 0
