"""Redacts jobs for viewers who must not see what a job's kind marks as redacted.

The payload is redacted field by field. The values of redacted fields are also removed from everything else on the job:
errors, output, progress, metadata and tags. A payload that can't be decoded is removed as a whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.queue.errors import KindUnknownError, PayloadUnreadableError
from headrace.queue.job import Job
from headrace.queue.kinds.kind import Kinds
from headrace.redaction import Redactor

EVERYTHING = ("*",)
"""The path of a payload that can't be decoded here: its kind is unknown, or its bytes are not a message of its kind."""


def redact_job(job: Job, kinds: Kinds) -> tuple[Job, tuple[str, ...]]:
    """Returns the job without redacted values, and the paths of the payload's redacted fields: "address.street".

    A payload that can't be decoded becomes empty, and its path is "*".
    """
    payload, paths = redact_payload(job.kind, job.payload, kinds)
    if not paths or paths == EVERYTHING:
        return replace(job, payload=payload), paths
    codec = kinds[job.kind].codec
    redactor = Redactor()
    for secret in codec.secrets(codec.decode(job.payload)):
        redactor.redact(secret)
    redacted = replace(
        job,
        payload=payload,
        errors=[
            replace(error, message=redactor.text(error.message), traceback=redactor.text(error.traceback))
            for error in job.errors
        ],
        output=_redacted(job.output, redactor),
        progress=_redacted(job.progress, redactor),
        metadata=_redacted(job.metadata, redactor),
        tags=[redactor.text(tag) for tag in job.tags],
    )
    return redacted, paths


def redact_payload(kind: str, payload: bytes, kinds: Kinds) -> tuple[bytes, tuple[str, ...]]:
    """Returns a payload without redacted values, and the paths of the redacted fields; see `redact_job`."""
    try:
        return kinds[kind].codec.redacted(payload)
    except (KindUnknownError, PayloadUnreadableError):
        return b"", EVERYTHING if payload else ()


def _redacted(value: Any, redactor: Redactor) -> Any:
    """Returns a JSON value without redacted values. A number that is one becomes a string."""
    match value:
        case str():
            return redactor.text(value)
        case dict():
            return {redactor.text(key): _redacted(each, redactor) for key, each in value.items()}
        case list():
            return [_redacted(each, redactor) for each in value]
        case int() | float() if not isinstance(value, bool):
            text = repr(value)
            redacted = redactor.text(text)
            return value if redacted == text else redacted
    return value
