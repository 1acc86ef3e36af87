"""The gRPC errors for billing's exceptions."""

from grpc import StatusCode

from api_service.billing.checkout import CheckoutExpiredError, ClientKeyReusedError, PriceNotSoldError
from api_service.billing.event_applier import InboxRowMissingError, OtherObjectError
from api_service.billing.events import MalformedEventError
from api_service.billing.stripe_api import StripeUnavailableError
from headrace.chassis.rpc.error_boundary import Translations
from headrace.chassis.rpc.errors import RpcError, bad_request, error_info, retry_info


def _price_not_sold(error: Exception) -> RpcError:
    return RpcError(
        StatusCode.INVALID_ARGUMENT, f"{error}.", bad_request([("price_id", str(error))]), error_info("PRICE_NOT_SOLD")
    )


def _client_key_reused(error: Exception) -> RpcError:
    return RpcError(StatusCode.FAILED_PRECONDITION, f"{error}.", error_info("CLIENT_KEY_REUSED"))


def _checkout_expired(error: Exception) -> RpcError:
    return RpcError(StatusCode.FAILED_PRECONDITION, f"{error}.", error_info("CHECKOUT_EXPIRED"))


def _stripe_away(error: Exception) -> RpcError:
    assert isinstance(error, StripeUnavailableError)
    return RpcError(
        StatusCode.UNAVAILABLE,
        "Stripe is unavailable; retry with the same client key.",
        error_info("STRIPE_UNAVAILABLE"),
        retry_info(error.retry_after.total_seconds()),
    )


def _inbox_row_missing(error: Exception) -> RpcError:
    return RpcError(StatusCode.NOT_FOUND, f"{error}.", error_info("INBOX_ROW_UNKNOWN"))


def _object_refused(error: Exception) -> RpcError:
    return RpcError(
        StatusCode.INVALID_ARGUMENT,
        f"{error}.",
        bad_request([("object_json", str(error))]),
        error_info("OBJECT_REFUSED"),
    )


TRANSLATIONS: Translations = {
    PriceNotSoldError: _price_not_sold,
    ClientKeyReusedError: _client_key_reused,
    CheckoutExpiredError: _checkout_expired,
    StripeUnavailableError: _stripe_away,
    InboxRowMissingError: _inbox_row_missing,
    OtherObjectError: _object_refused,
    MalformedEventError: _object_refused,
}
