"""Limits one caller: calls per second, by a token bucket, and calls in flight.

Each server counts separately: three replicas together allow three times as much.
"""

from collections.abc import Callable

import grpc
import structlog

from headrace.chassis.rpc.errors import RpcError, error_info, retry_info
from jobs_service.callers.caller import Caller

log = structlog.get_logger()

# How often the log reports that a caller is limited, so that rejected calls don't flood the log.
LOG_EVERY_SECONDS = 10.0
# When another call may have finished is unknown, so soon.
IN_FLIGHT_RETRY_SECONDS = 0.5


class RateLimiter:
    """The recent calls of one caller. The limits are passed with each call, so they may change.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = float("inf")  # full, whatever the capacity is
        self._at = clock()
        self._in_flight = 0
        self._rejected = 0
        self._logged_at = float("-inf")

    def count(self, caller: Caller) -> None:
        """Counts a new call.

        Raises:
            RpcError: RESOURCE_EXHAUSTED (reason CALLER_LIMITED), with RetryInfo: too many calls are in flight, or were
                made recently. The call isn't counted.
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
            RpcError: As `count`: other calls have started meanwhile. The call isn't counted.
        """
        self._require_room(caller)
        self._in_flight += 1

    def end(self) -> None:
        """Counts a call as finished."""
        self._in_flight -= 1

    def _require_room(self, caller: Caller) -> None:
        if caller.in_flight is not None and self._in_flight >= caller.in_flight:
            raise self._refuse(caller, "in_flight", f"{caller.in_flight} calls in flight", IN_FLIGHT_RETRY_SECONDS)

    def _refuse(self, caller: Caller, limit: str, words: str, seconds: float) -> RpcError:
        self._rejected += 1
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_SECONDS:
            log.warning("caller limited", caller=caller.name, limit=limit, rejected=self._rejected)
            self._logged_at = now
            self._rejected = 0
        return RpcError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The caller {caller.name!r} is limited to {words}; retry later.",
            error_info("CALLER_LIMITED", {"caller": caller.name, "limit": limit}),
            retry_info(seconds),
        )
