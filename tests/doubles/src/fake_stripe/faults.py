"""Switches that make the stand-in fail, one rule for each way of failing.

A rule names which calls it is for and what befalls them; it is used up after `times` calls. So a test says what
goes wrong, and the next call after that is well again.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from fake_stripe.errors import StripeError

Kind = Literal["rate_limit", "conflict", "error", "error_after", "cut", "cut_after", "slow", "down"]
_KINDS = frozenset(get_args(Kind))


@dataclass
class Fault:
    """One way of failing.

    Attributes:
        kind: What happens. `rate_limit`: 429. `conflict`: 409, a lock timeout. `error`: 500 before any effect.
            `error_after`: 500 after the effect, kept under the idempotency key as Stripe does. `cut`, `cut_after`: the
            connection breaks before or after the effect. `slow`: the response takes `seconds`. `down`: 503 until the
            rules are cleared, whatever `times` says.
        method: Only calls with this HTTP method; all when empty.
        path: Only calls whose path begins with this; all when empty.
        times: How many calls it befalls.
        seconds: How long a slow response takes.
    """

    kind: Kind
    method: str = ""
    path: str = ""
    times: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; there are {', '.join(sorted(_KINDS))}")

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Reads a rule from JSON.

        Raises:
            ValueError: A field is unknown or missing.
        """
        if unknown := told.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"unknown fields of a fault: {', '.join(sorted(unknown))}")
        if "kind" not in told:
            raise ValueError("a fault needs a kind")
        return cls(**told)

    @property
    def after(self) -> bool:
        """Whether the effect takes place first."""
        return self.kind in ("error_after", "cut_after")

    @property
    def cuts(self) -> bool:
        """Whether the connection breaks instead of a response."""
        return self.kind in ("cut", "cut_after")

    def error(self) -> StripeError | None:
        """What is answered; none where the call itself goes well."""
        match self.kind:
            case "rate_limit":
                return StripeError(429, "invalid_request_error", "Request rate limit exceeded.", "rate_limit")
            case "conflict":
                message = "This object cannot be accessed right now because another request is using it."
                return StripeError(409, "invalid_request_error", message, "lock_timeout")
            case "error" | "error_after":
                return StripeError(500, "api_error", "An unknown error occurred.")
            case "down":
                return StripeError(503, "api_error", "Stripe is unavailable.")
            case _:
                return None


class Faults:
    """The rules in force, the first that matches first."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def set(self, *rules: Fault) -> None:
        """Replaces every rule; none clears them."""
        self._rules = list(rules)

    def strike(self, method: str, path: str) -> Fault | None:
        """Returns what befalls this call, and uses the rule up by one."""
        for rule in self._rules:
            if rule.method in ("", method) and path.startswith(rule.path):
                if rule.kind != "down":
                    rule.times -= 1
                    self._rules = [other for other in self._rules if other.times > 0]
                return rule
        return None
