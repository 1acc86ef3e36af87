"""Notices changes of files by polling, which works on every file system and in every container.

Kubernetes replaces a mounted Secret through a symbolic link, so this checks the file at the end of all links.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

Signature = tuple[tuple[int, int, int, int] | None, ...]
"""The state of some files, for comparison."""

INTERVAL_SECONDS = 1.0


def file_signature(*paths: Path) -> Signature:
    """Returns the state of files, without reading them; they may be missing."""
    return tuple(_look(path) for path in paths)


def _look(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (the same, and blocking either way: microseconds)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


async def watch_files(
    *paths: Path, since: Signature, changed: Callable[[], None], interval: float = INTERVAL_SECONDS
) -> None:
    """Calls `changed` after each change of one of the files. Runs until it is cancelled.

    It ignores a file that is still being written: two checks, `interval` seconds apart, must see the same state.

    Args:
        paths: The files.
        since: Their state before they were first read.
        changed: Reads them again; must not raise.
        interval: Seconds between two checks.
    """
    known = seen = since
    while True:
        now = file_signature(*paths)
        if now != known and now == seen:
            known = now
            changed()
        seen = now
        await asyncio.sleep(interval)
