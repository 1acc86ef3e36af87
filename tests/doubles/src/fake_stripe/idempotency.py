"""Idempotency keys by Stripe's documented rules (https://docs.stripe.com/api/idempotent_requests).

The first response of a request that began to execute is kept for 24 hours and repeated, errors of the 500 range
included. The same key with other parameters is refused, and so is a key whose first request is still running. An
response that was given before the request began (a parameter that is wrong, a rate limit) is not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_stripe.errors import StripeError

_LIFETIME = 24 * 3600
_LONGEST = 255


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        body: The JSON body.
        replayed: Whether it repeats an earlier response.
    """

    status: int
    body: dict[str, Any]
    replayed: bool = False


@dataclass
class _Use:
    asked: tuple[str, str, str]
    at: int
    answer: Answer | None = None


class IdempotencyKeys:
    """The keys that were used in the last 24 hours.

    Args:
        clock: Returns the time in whole seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._uses: dict[str, _Use] = {}

    def begin(self, key: str, method: str, path: str, body: str) -> Answer | None:
        """Starts using a key, or returns the response of its first request.

        Raises:
            StripeError: `idempotency_error`: the key came with other parameters (400), or is in use now (409).
        """
        if len(key) > _LONGEST:
            raise StripeError(400, "idempotency_error", f"Idempotency keys have at most {_LONGEST} characters.")
        use = self._uses.get(key)
        asked = (method, path, body)
        if use is None or use.at + _LIFETIME <= self._clock():
            self._uses[key] = _Use(asked, self._clock())
            return None
        if use.asked != asked:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
            )
        if use.answer is None:
            message = f"There is currently another in-progress request using this Idempotent Key: {key}."
            raise StripeError(409, "idempotency_error", message, "idempotency_key_in_use")
        return Answer(use.answer.status, use.answer.body, replayed=True)

    def keep(self, key: str, answer: Answer) -> None:
        """Keeps the response of a request that began to execute."""
        self._uses[key].answer = answer

    def forget(self, key: str) -> None:
        """Frees the key of a request that was refused before it began to execute."""
        self._uses.pop(key, None)
