"""Whether a webhook was sent by Stripe: the signature over its raw bytes, and its age.

The signature itself is compared by the stripe package. This module handles what the package doesn't: the
package accepts timestamps in the future, takes one secret per call, and raises other errors for some malformed input.
"""

from collections.abc import Sequence
from datetime import timedelta

from stripe import SignatureVerificationError, WebhookSignature

TOLERANCE = timedelta(minutes=5)  # Stripe's own default; every delivery attempt has a new signature


class SignatureRefusedError(Exception):
    """A webhook isn't signed by Stripe, or its signature is too old. The text says why, without quoting the webhook."""


def verify(body: bytes, header: str, *, secrets: Sequence[str], now: float, tolerance: timedelta = TOLERANCE) -> int:
    """Checks the signature of a webhook.

    Args:
        body: The body's raw bytes, before any parsing.
        header: The value of the Stripe-Signature header.
        secrets: The endpoint's signing secrets, in the order to try them; there are several while a secret is
            being replaced.
        now: The time, in seconds since the epoch.
        tolerance: How far the timestamp may be from now, in the past or the future.

    Returns:
        The index of the secret that matched.

    Raises:
        SignatureRefusedError: In every other case, for any input.
    """
    age = now - _timestamp(header)
    if abs(age) > tolerance.total_seconds():
        raise SignatureRefusedError(f"the timestamp is {age:.0f} s away from this machine's clock")
    for index, secret in enumerate(secrets):
        if _matches(body, header, secret):
            return index
    raise SignatureRefusedError("no signature matches")


def _timestamp(header: str) -> int:
    # Exactly one timestamp, so that the one we check is the one that is signed; and ASCII only, for the
    # package's comparison raises TypeError on anything else.
    items = [item.partition("=") for item in header.split(",")]
    timestamps = [value for name, _, value in items if name == "t"]
    if not header.isascii() or len(timestamps) != 1 or not timestamps[0].isdigit() or len(timestamps[0]) > 12:
        raise SignatureRefusedError("the Stripe-Signature header is missing or malformed")
    return int(timestamps[0])


def _matches(body: bytes, header: str, secret: str) -> bool:
    try:
        WebhookSignature.verify_header(body, header, secret)  # without a tolerance: the age is checked already
    except (SignatureVerificationError, UnicodeDecodeError):  # the second: Stripe signs UTF-8 only
        return False
    return True
