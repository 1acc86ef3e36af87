"""Waiting for something to become true, with a deadline; never for a time to pass."""

import time
from collections.abc import Callable

from local_stack.output.report import CheckFailedError

POLL_SECONDS = 0.05


def eventually(holds: Callable[[], None], *, within: float) -> None:
    """Calls a check again and again until it passes.

    Args:
        holds: Raises CheckFailedError as long as what it checks isn't so.
        within: Seconds after which its last word counts.

    Raises:
        CheckFailedError: It never passed; with its last word.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return holds()
        except CheckFailedError as not_yet:
            if time.monotonic() > deadline:
                raise CheckFailedError(f"{not_yet} (after {within:.0f} s)") from None
        time.sleep(POLL_SECONDS)
