"""Errors as Stripe's API returns them, in the form that its libraries turn into exceptions."""

from dataclasses import dataclass
from typing import Any


@dataclass
class StripeError(Exception):
    """An error response.

    Attributes:
        status: The HTTP status.
        type: Stripe's error type, for example "invalid_request_error".
        message: A sentence for a person.
        code: Stripe's error code, if any.
        param: The parameter that is wrong, where it is one.
    """

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        told = {"type": self.type, "message": self.message, "code": self.code, "param": self.param}
        return {"error": {name: value for name, value in told.items() if value is not None}}


def missing(what: str, given: str, param: str = "id") -> StripeError:
    """No such object. 404 when it is what the path names, 400 when a parameter names it."""
    status = 404 if param == "id" else 400
    return StripeError(status, "invalid_request_error", f"No such {what}: '{given}'", "resource_missing", param)


def invalid(message: str, param: str, code: str | None = None) -> StripeError:
    """A parameter is missing or wrong."""
    return StripeError(400, "invalid_request_error", message, code, param)
