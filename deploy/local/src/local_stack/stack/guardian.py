"""A small process that stops what the orchestrator leaves behind, however the orchestrator ends.

The orchestrator reports over a pipe what it has started. When it ends, also by SIGKILL, the pipe closes. Then the
guardian kills each process group that was not reported as ended, and removes the folders. It works on every POSIX
system and needs no support from the processes.

Lines: ``watch <process group> <signal>``, ``forget <process group>``, ``remove <folder>``, ``keep <folder>``.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path


class Guardian:
    """The orchestrator's end of the pipe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local_stack.stack.guardian"],
            stdin=subprocess.PIPE,
            text=True,
            # A Ctrl-C at the terminal is for the orchestrator alone.
            start_new_session=True,
        )

    def watch(self, group: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a process group this signal if the orchestrator ends before `forget`."""
        self._send(f"watch {group} {int(number)}")

    def forget(self, group: int) -> None:
        """Reports that the process group has ended."""
        self._send(f"forget {group}")

    def remove(self, folder: Path) -> None:
        """Removes the folder at the end, unless `keep` is called."""
        self._send(f"remove {folder}")

    def keep(self, folder: Path) -> None:
        """Keeps the folder."""
        self._send(f"keep {folder}")

    def dismiss(self) -> None:
        """Lets the guardian clean up, and waits until it has ended."""
        self._process.communicate()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def main() -> None:
    """Reads until the pipe closes, then cleans up."""
    groups: dict[int, int] = {}
    folders: set[str] = set()
    for line in sys.stdin:
        match line.rstrip("\n").split(" ", 2):
            case ["watch", group, number]:
                groups[int(group)] = int(number)
            case ["forget", group]:
                groups.pop(int(group), None)
            case ["remove", folder]:
                folders.add(folder)
            case ["keep", folder]:
                folders.discard(folder)
    for group, number in groups.items():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
