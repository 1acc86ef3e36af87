"""Page tokens of lists: opaque to clients, and valid only for the filter that they were made for."""

import base64
import binascii
import hashlib
import struct

import grpc

from headrace.chassis.rpc.errors import RpcError, bad_request, error_info
from headrace.queue import JobFilter

_TOKEN = struct.Struct(">B8sq")
_VERSION = 1

Conditions = JobFilter | tuple[str, ...]
"""What is listed: for jobs a filter, for other lists their name and the values of their conditions."""


def write_page_token(wanted: Conditions, before_id: int) -> str:
    """Returns the token of the page that begins below the id `before_id`."""
    return base64.urlsafe_b64encode(_TOKEN.pack(_VERSION, _fingerprint(wanted), before_id)).decode()


def read_page_token(wanted: Conditions, token: str) -> int | None:
    """Returns the id below which the page begins; None for the first page.

    Raises:
        RpcError: INVALID_ARGUMENT: the token is invalid, or belongs to another filter.
    """
    if not token:
        return None
    try:
        version, fingerprint, before_id = _TOKEN.unpack(base64.b64decode(token.encode(), b"-_", validate=True))
    except (binascii.Error, struct.error):
        raise _invalid("is not a token of this service") from None
    if version != _VERSION or before_id < 1:
        raise _invalid("is not a token of this service")
    if fingerprint != _fingerprint(wanted):
        raise _invalid("belongs to another filter; start again with the first page")
    return int(before_id)


def _invalid(reason: str) -> RpcError:
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"The page_token {reason}.",
        error_info("PAGE_TOKEN_INVALID"),
        bad_request([("page_token", reason)]),
    )


def _fingerprint(wanted: Conditions) -> bytes:
    return hashlib.blake2b(_words(wanted).encode(), digest_size=8).digest()


def _words(wanted: Conditions) -> str:
    if not isinstance(wanted, JobFilter):
        return repr(wanted)
    times = [time.isoformat() if time else "" for time in (wanted.created_after, wanted.created_before)]
    words = (sorted(wanted.states), sorted(wanted.kinds), sorted(wanted.queues), sorted(wanted.tags))
    return repr((*words, *times))
