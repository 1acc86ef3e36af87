"""Files that change while a program runs: noticed by looking, which works on every file system and in every container.

Kubernetes swaps a mounted Secret by a symbolic link, so what counts is the file at the end of all links.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

Signature = tuple[tuple[int, int, int, int] | None, ...]
"""What tells one state of some files from another."""

INTERVAL_SECONDS = 1.0


def file_signature(*paths: Path) -> Signature:
    """Looks at files, without reading them; also at such that aren't there."""
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

    A file that is still being written is left alone: it has to look the same twice, `interval` seconds apart.

    Args:
        paths: The files.
        since: How they looked before they were first read.
        changed: Reads them anew; must not raise.
        interval: Seconds between two looks.
    """
    known = seen = since
    while True:
        now = file_signature(*paths)
        if now != known and now == seen:
            known = now
            changed()
        seen = now
        await asyncio.sleep(interval)
