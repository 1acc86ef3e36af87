"""How much one caller may ask for: calls per second, by a token bucket, and calls in flight.

Each server counts for itself: three replicas let pass three times as much.
"""

from collections.abc import Callable

import grpc
import structlog

from headrace.chassis.rpc.errors import RpcError, error_info, retry_info
from jobs_service.callers.caller import Caller

log = structlog.get_logger()

# How often the log says that a caller is limited: refused calls must not become a flood of lines.
SAY_EVERY_SECONDS = 10.0
# When a call may be over, so that another one has its place: nobody knows, so soon.
IN_FLIGHT_RETRY_SECONDS = 0.5


class RateLimiter:
    """What one caller has asked for lately. Its limits are the caller's of the moment, so they may change.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = float("inf")  # full, however much that is
        self._at = clock()
        self._in_flight = 0
        self._refused = 0
        self._said_at = float("-inf")

    def read_job(self, caller: Caller) -> None:
        """Counts a call that comes in.

        Raises:
            RpcError: RESOURCE_EXHAUSTED (reason CALLER_LIMITED), with RetryInfo: there are too many in flight, or were
                too many of late. The call isn't counted then.
        """
        self._require_room(caller)
        if caller.rate is None:
            return
        now = self._clock()
        self._tokens = min(caller.capacity, self._tokens + (now - self._at) * caller.rate)
        self._at = now
        if self._tokens < 1:
            raise self._refuse(caller, "rate", f"{caller.rate:g} calls per second", (1 - self._tokens) / caller.rate)
        self._tokens -= 1

    def begin(self, caller: Caller) -> None:
        """Counts a call as in flight, until its `end`.

        Raises:
            RpcError: As `admit`: others have come in meanwhile. The call isn't counted then.
        """
        self._require_room(caller)
        self._in_flight += 1

    def end(self) -> None:
        """Counts a call as answered."""
        self._in_flight -= 1

    def _require_room(self, caller: Caller) -> None:
        if caller.in_flight is not None and self._in_flight >= caller.in_flight:
            raise self._refuse(caller, "in_flight", f"{caller.in_flight} calls in flight", IN_FLIGHT_RETRY_SECONDS)

    def _refuse(self, caller: Caller, limit: str, words: str, seconds: float) -> RpcError:
        self._refused += 1
        now = self._clock()
        if now - self._said_at >= SAY_EVERY_SECONDS:
            log.warning("caller limited", caller=caller.name, limit=limit, refused=self._refused)
            self._said_at = now
            self._refused = 0
        return RpcError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The caller {caller.name!r} is limited to {words}; try again later.",
            error_info("CALLER_LIMITED", {"caller": caller.name, "limit": limit}),
            retry_info(seconds),
        )
