"""The protocol between a worker and the processes of its handlers, over a pair of sockets.

A frame consists of two lengths, a JSON head and a body. The worker first sends a frame with the handlers, and the
process replies `ready`. Then the worker sends a frame per job, whose body is the payload. The process replies `begun`,
any number of `progress`, and one `outcome` or `failure`. At the end of the stream, each side assumes that the other one
has died.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from headrace.queue import tracing
from headrace.queue.db.jsonb import encoded
from headrace.queue.execution.attempt_result import not_an_outcome
from headrace.queue.execution.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.execution.running_job import OUTPUT_LIMIT, ReportProgress, RunningJob
from headrace.queue.job import TraceParent
from headrace.queue.kinds.kind import Kind
from headrace.redaction import redacted_text

Header = dict[str, Any]
_LENGTHS = struct.Struct(">II")
# A head contains an output or a traceback at most. A longer one was not written by the engine.
LONGEST_HEAD = 16 * 1024 * 1024
_SENT = ("id", "lease", "queue", "version", "attempt", "max_retries", "timeout", "caller", "metadata", "tags")


class BrokenFrameError(Exception):
    """The bytes are not a frame: the handler has written to the socket."""


def encode_frame(head: Header, body: bytes = b"") -> bytes:
    """Returns a frame."""
    text = json.dumps(head).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


async def read_frame_async(reader: asyncio.StreamReader) -> Header:
    """Reads the next frame's head, in the worker.

    Raises:
        asyncio.IncompleteReadError: The process has closed its end.
        BrokenFrameError: The bytes are not a frame.
    """
    length, _ = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if length > LONGEST_HEAD:
        raise BrokenFrameError
    return _head(await reader.readexactly(length))


def read_frame(read: Callable[[int], bytes]) -> tuple[Header, bytes] | None:
    """Reads the next frame, in the process. Returns None if the worker has closed its end."""
    lengths = read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, body = _LENGTHS.unpack(lengths)
    return _head(read(head)), read(body)


def encode_job(job: RunningJob, memory_limit: int | None) -> Header:
    """Returns a job as a head, with the current span's context. Its payload is the body."""
    return {
        "kind": job.kind.name,
        "job": {name: getattr(job, name) for name in _SENT},
        "trace": job.trace and _headers(job.trace),
        "remaining": job.remaining,
        "memory_limit": memory_limit,
        "context": _headers(tracing.current()),
    }


def decode_job(head: Header, payload: bytes, kind: Kind, *, schema: str, report_progress: ReportProgress) -> RunningJob:
    """Returns the job of a head and a body, in the process."""
    fields = {**head["job"], "tags": tuple(head["job"]["tags"])}
    return RunningJob(
        **fields,
        kind=kind,
        payload_bytes=payload,
        trace=TraceParent(*head["trace"]) if head["trace"] else None,
        deadline=time.monotonic() + head["remaining"],
        _schema=schema,
        _report_progress=report_progress,
    )


def encode_outcome(outcome: Outcome | None) -> Header:
    """Returns an outcome as a head. Raises the same errors as the worker does for an invalid outcome."""
    match outcome:
        case None | Done(output=None):
            return {"outcome": "Done", "output": None}
        case Done(output=output):
            return {"outcome": "Done", "output": encoded(output, what="the output", limit=OUTPUT_LIMIT)}
        case Retry(error=text, after=after):
            return {
                "outcome": "Retry",
                "error": redacted_text(str(text)),
                "after": None if after is None else _seconds(after),
            }
        case Snooze(delay=delay):
            return {"outcome": "Snooze", "delay": _seconds(delay)}
        case Cancel(reason=reason) | Discard(reason=reason):
            return {"outcome": type(outcome).__name__, "reason": redacted_text(str(reason))}
    raise TypeError(not_an_outcome(outcome))


def decode_outcome(head: Header) -> Outcome | None:
    """Returns the outcome of a head."""
    match head:
        case {"outcome": "Done", "output": None}:
            return None
        case {"outcome": "Done", "output": output}:
            return Done(json.loads(output))
        case {"outcome": "Retry", "error": text, "after": after}:
            return Retry(text, None if after is None else timedelta(seconds=after))
        case {"outcome": "Snooze", "delay": delay}:
            return Snooze(timedelta(seconds=delay))
        case {"outcome": "Cancel", "reason": reason}:
            return Cancel(reason)
        case {"outcome": "Discard", "reason": reason}:
            return Discard(reason)
    raise BrokenFrameError


def _headers(trace: TraceParent) -> list[str]:
    return [trace.traceparent, trace.tracestate, trace.baggage]


def _head(text: bytes) -> Header:
    try:
        head = json.loads(text)
    except ValueError:
        raise BrokenFrameError from None
    if not isinstance(head, dict):
        raise BrokenFrameError
    return head


def _seconds(delay: timedelta) -> float:
    if not isinstance(delay, timedelta):
        raise TypeError(f"the handler returned a delay of type {type(delay).__name__}: use a timedelta")
    return delay.total_seconds()
