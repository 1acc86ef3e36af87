"""The gRPC errors for this service's exceptions (billing's are in `billing.rpc_errors`)."""

from __future__ import annotations

from grpc import StatusCode

from api_service.auth.access_tokens import AccessTokenInvalidError
from api_service.auth.errors import (
    CredentialsInvalidError,
    HashingBusyError,
    PasswordRefusedError,
    TokenInvalidError,
)
from api_service.auth.link_tokens import LinkKeyMissingError
from api_service.billing.rpc_errors import TRANSLATIONS as BILLING_TRANSLATIONS
from api_service.database import DatabaseUnavailableError
from api_service.mail.delivery import MailNotReservedError, MailReservedError, MailUnknownError
from headrace.chassis.rpc.error_boundary import Translations
from headrace.chassis.rpc.errors import RpcError, bad_request, error_info, retry_info


def _database_unavailable(_error: Exception) -> RpcError:
    # The cause is logged, not returned: it names hosts and roles.
    return RpcError(
        StatusCode.UNAVAILABLE,
        "The database is unavailable; retry.",
        error_info("DATABASE_UNAVAILABLE"),
        retry_info(1),
    )


def _hashing_busy(_error: Exception) -> RpcError:
    return RpcError(StatusCode.RESOURCE_EXHAUSTED, "Too many logins at once; retry.", error_info("BUSY"), retry_info(1))


def _password_refused(error: Exception) -> RpcError:
    assert isinstance(error, PasswordRefusedError)
    return RpcError(
        StatusCode.INVALID_ARGUMENT,
        f"The password can't be used: {error}.",
        bad_request([(error.field, str(error))]),
        error_info("PASSWORD_REFUSED"),
    )


def _token_invalid(error: Exception) -> RpcError:
    return RpcError(StatusCode.NOT_FOUND, f"The link doesn't work: {error}.", error_info("TOKEN_INVALID"))


def _credentials_invalid(error: Exception) -> RpcError:
    return RpcError(StatusCode.UNAUTHENTICATED, f"Not logged in: {error}.", error_info("CREDENTIALS_INVALID"))


def _access_token_invalid(error: Exception) -> RpcError:
    return RpcError(StatusCode.UNAUTHENTICATED, f"Not logged in: {error}.", error_info("ACCESS_TOKEN_INVALID"))


def _mail_unknown(error: Exception) -> RpcError:
    return RpcError(StatusCode.NOT_FOUND, f"{error}.", error_info("MAIL_UNKNOWN"))


def _mail_reserved(error: Exception) -> RpcError:
    assert isinstance(error, MailReservedError)
    return RpcError(
        StatusCode.ABORTED,
        f"{error}.",
        error_info("MAIL_RESERVED"),
        retry_info(error.retry_after.total_seconds()),
    )


def _mail_not_reserved(error: Exception) -> RpcError:
    return RpcError(StatusCode.FAILED_PRECONDITION, f"{error}.", error_info("MAIL_NOT_RESERVED"))


def _link_key_missing(error: Exception) -> RpcError:
    # The email is not at fault, so don't drop it: during the rollout of a key, another replica already has it.
    return RpcError(StatusCode.UNAVAILABLE, f"{error}.", error_info("LINK_KEY_MISSING"))


TRANSLATIONS: Translations = {
    DatabaseUnavailableError: _database_unavailable,
    HashingBusyError: _hashing_busy,
    PasswordRefusedError: _password_refused,
    TokenInvalidError: _token_invalid,
    CredentialsInvalidError: _credentials_invalid,
    AccessTokenInvalidError: _access_token_invalid,
    MailUnknownError: _mail_unknown,
    MailReservedError: _mail_reserved,
    MailNotReservedError: _mail_not_reserved,
    LinkKeyMissingError: _link_key_missing,
    **BILLING_TRANSLATIONS,
}
