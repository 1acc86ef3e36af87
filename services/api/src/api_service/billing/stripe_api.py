"""Calls to Stripe's API, with timeouts, retries, and errors that say what to do."""

import logging
from datetime import timedelta

import stripe
import structlog

log = structlog.get_logger()

_REQUEST_TIMEOUT = timedelta(seconds=10)  # the package's own default is 80 s
_REPEATS = 2  # of connection errors, 409 and 5xx, each under the same idempotency key; the package's default is 0


class StripeUnavailableError(Exception):
    """Stripe is unreachable or overloaded, or failed. Retrying with the same key is safe.

    Attributes:
        retry_after: When to retry.
    """

    def __init__(self, reason: str, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class StripeApi:
    """Stripe's API for the running event loop.

    Attributes:
        client: The package's own client; use its `…_async` methods.
    """

    def __init__(self, secret_key: str, *, api_base: str | None = None) -> None:
        """Makes no calls yet.

        Args:
            secret_key: The account's secret key.
            api_base: Instead of Stripe's address; only to use a fake Stripe.
        """
        # The package's telemetry would write an id into the home directory, which a container may not have.
        stripe.enable_telemetry = False
        # At DEBUG the package would log every object, including email addresses.
        logging.getLogger("stripe").setLevel(logging.INFO)
        self._http = stripe.HTTPXClient(timeout=_REQUEST_TIMEOUT.total_seconds())
        self.client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=_REPEATS,
            http_client=self._http,
        )

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]


def metadata_of(item: stripe.Customer | stripe.checkout.Session) -> dict[str, str]:
    """Returns an object's metadata as a plain dictionary, which the package's objects are not."""
    return dict(item.to_dict().get("metadata") or {})


def is_kept(error: stripe.StripeError) -> bool:
    """Returns whether Stripe repeats this failure for as long as it keeps the idempotency key (24 hours).

    It does so for a server error, and for a key that was first used with other parameters.
    """
    return isinstance(error, stripe.IdempotencyError) or (error.http_status or 0) >= 500


def as_away(error: stripe.StripeError) -> Exception:
    """Returns the error as `StripeUnavailableError` if a retry may help, or else the error itself."""
    log.warning(
        "stripe call failed",
        error=type(error).__name__,
        status=error.http_status,
        request=error.request_id,
        reason=error.user_message or str(error.__cause__ or error),
    )
    if isinstance(error, stripe.APIConnectionError | stripe.APIError | stripe.RateLimitError | stripe.IdempotencyError):
        return StripeUnavailableError(f"{type(error).__name__} ({error.http_status or 'no answer'})")
    return error
