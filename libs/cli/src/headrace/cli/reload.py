"""Runs a program as a child process, and restarts it whenever a Python file changes. Needs the extra `reload`."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer
from watchfiles import PythonFilter, watch


def run_reloading(command: Sequence[str], folder: Path) -> None:
    """Runs a program until SIGTERM or Ctrl-C, and restarts it after each change of a Python file below a folder.

    The program is stopped by SIGTERM, and has ended when the next one starts: what it drains is drained. If it ends by
    itself, for example because of a syntax error, the next change starts it again.

    Args:
        command: The program and its arguments.
        folder: What is watched, with the folders in it.
    """
    stop = threading.Event()
    with _stopping(stop):
        child = _start(command)
        try:
            for changes in watch(folder, watch_filter=PythonFilter(), stop_event=stop, raise_interrupt=False):
                changed = ", ".join(sorted({os.path.relpath(path, folder) for _, path in changes}))
                typer.echo(f"headrace: {changed} changed, restarting", err=True)
                _end(child)
                if stop.is_set():
                    break
                child = _start(command)
        finally:
            _end(child)


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Has the signals that end a program set an event instead."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # In a separate process group: Ctrl-C in a terminal reaches it through this process alone, and once.
    return subprocess.Popen(command, process_group=0)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stops the program and waits until it has ended; a second Ctrl-C meanwhile kills it."""
    if child.poll() is not None:
        return
    child.terminate()
    killing = signal.signal(signal.SIGINT, lambda *_: child.kill())
    try:
        child.wait()
    finally:
        signal.signal(signal.SIGINT, killing)
