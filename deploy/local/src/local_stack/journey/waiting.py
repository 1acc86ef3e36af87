"""Waits for a condition, with a deadline."""

import time
from collections.abc import Callable

from local_stack.output.report import CheckFailedError

POLL_SECONDS = 0.05


def eventually(holds: Callable[[], None], *, within: float) -> None:
    """Repeats a check until it passes.

    Args:
        holds: Raises CheckFailedError while the condition doesn't hold.
        within: How many seconds to repeat it.

    Raises:
        CheckFailedError: It never passed; with its last error.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return holds()
        except CheckFailedError as not_yet:
            if time.monotonic() > deadline:
                raise CheckFailedError(f"{not_yet} (after {within:.0f} s)") from None
        time.sleep(POLL_SECONDS)
