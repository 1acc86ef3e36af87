"""A job as somebody may see it who must not see what its kind redacts: in services, consoles and command lines.

The payload is veiled field by field; what it redacts is taken out of everything else that a job says as well: errors,
output, progress, metadata and tags. What can't be looked into is not seen at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.queue.errors import KindUnknownError, PayloadUnreadableError
from headrace.queue.job import Job
from headrace.queue.kinds.kind import Kinds
from headrace.redaction import Redactor

EVERYTHING = ("*",)
"""The path of a payload that nobody here can read: its kind is unknown, or its bytes are none of it."""


def redact_job(job: Job, kinds: Kinds) -> tuple[Job, tuple[str, ...]]:
    """The job without redacted values, and the paths of the payload's fields that were veiled: "address.street".

    A payload that can't be read is empty then, and its path is "*".
    """
    payload, paths = redact_payload(job.kind, job.payload, kinds)
    if not paths or paths == EVERYTHING:
        return replace(job, payload=payload), paths
    codec = kinds[job.kind].codec
    veil = Redactor()
    for secret in codec.secrets(codec.decode(job.payload)):
        veil.redact(secret)
    seen = replace(
        job,
        payload=payload,
        errors=[
            replace(error, message=veil.text(error.message), traceback=veil.text(error.traceback))
            for error in job.errors
        ],
        output=_unseen(job.output, veil),
        progress=_unseen(job.progress, veil),
        metadata=_unseen(job.metadata, veil),
        tags=[veil.text(tag) for tag in job.tags],
    )
    return seen, paths


def redact_payload(kind: str, payload: bytes, kinds: Kinds) -> tuple[bytes, tuple[str, ...]]:
    """A payload without redacted values, and the paths of what was veiled; see `redact_job`."""
    try:
        return kinds[kind].codec.redacted(payload)
    except (KindUnknownError, PayloadUnreadableError):
        return b"", EVERYTHING if payload else ()


def _unseen(value: Any, veil: Redactor) -> Any:
    """A JSON value without what is hidden; a number that is hidden becomes a text."""
    match value:
        case str():
            return veil.text(value)
        case dict():
            return {veil.text(key): _unseen(each, veil) for key, each in value.items()}
        case list():
            return [_unseen(each, veil) for each in value]
        case int() | float() if not isinstance(value, bool):
            written = repr(value)
            seen = veil.text(written)
            return value if seen == written else seen
    return value
