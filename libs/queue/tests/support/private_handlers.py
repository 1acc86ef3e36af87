"""A handler for a separate process that tells whatever it has."""

from __future__ import annotations

from typing import Any

import private_kinds  # noqa: F401  (a process must import what makes its messages known)

from headrace.queue import Discard, RunningJob


def tell(message: Any, job: RunningJob) -> Discard:
    """Raises in the first attempt, discards in the second one; knows a value beside its payload."""
    job.redact("found-elsewhere-1234")
    text = f"can't invite {message.guest} of found-elsewhere-1234"
    if job.attempt == 1:
        raise ValueError(text)
    return Discard(text)
