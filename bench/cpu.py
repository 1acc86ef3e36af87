"""The CPU time of other processes. /proc counts it in ticks of 10 ms, which is too coarse for a short measurement."""

from __future__ import annotations

import time


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process and all its threads have used so far, to the nanosecond.

    Raises:
        ProcessLookupError: There is no such process.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the clock that clock_getcpuclockid(3) returns
    except OSError:
        raise ProcessLookupError(f"there is no process {pid}") from None
