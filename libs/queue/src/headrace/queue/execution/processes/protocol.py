"""What a worker and the processes of its handlers say to each other, over a pair of sockets.

A frame is two lengths, a JSON head of that many bytes, and a body. The worker begins with one frame that holds the
handlers, and the process answers `ready`. Then there is a frame per job, whose body is the payload; the process answers
`begun`, any number of `progress`, and one `outcome` or `failure`. Each side takes the end of the stream for the other's
death.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from opentelemetry import propagate

from headrace.queue.db.jsonb import encoded
from headrace.queue.execution.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.execution.running_job import OUTPUT_LIMIT, Home, RunningJob
from headrace.queue.job import TraceParent
from headrace.queue.kinds.kind import Kind
from headrace.redaction import redacted_text

Header = dict[str, Any]
_LENGTHS = struct.Struct(">II")
# A head holds an output at most, or a traceback; what is longer was not written by us.
LONGEST_HEAD = 16 * 1024 * 1024
_SENT = (
    *("id", "lease", "queue", "version", "attempt", "max_retries", "timeout"),
    *("caller", "claim_no", "waited_ms", "metadata", "tags"),
)


class BrokenFrameError(Exception):
    """What came is no frame: something else has written into the socket."""


def encode_frame(head: Header, body: bytes = b"") -> bytes:
    """A frame."""
    text = json.dumps(head).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


async def read_frame_async(reader: asyncio.StreamReader) -> Header:
    """The next frame's head, in the worker.

    Raises:
        asyncio.IncompleteReadError: The process has closed its end.
        BrokenFrameError: It is no frame.
    """
    length, _ = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if length > LONGEST_HEAD:
        raise BrokenFrameError
    return _head(await reader.readexactly(length))


def read_frame(read: Callable[[int], bytes]) -> tuple[Header, bytes] | None:
    """The next frame, in the process; None when the worker has closed its end."""
    lengths = read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, body = _LENGTHS.unpack(lengths)
    return _head(read(head)), read(body)


def encode_job(job: RunningJob, memory_limit: int | None) -> Header:
    """A job as a head, with the current span's context. Its payload is the body."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return {
        "kind": job.kind.name,
        "job": {name: getattr(job, name) for name in _SENT},
        "trace": job.trace and [job.trace.traceparent, job.trace.tracestate, job.trace.baggage],
        "remaining": job.remaining,
        "memory_limit": memory_limit,
        "context": headers,
    }


def decode_job(head: Header, payload: bytes, kind: Kind, home: Home) -> RunningJob:
    """The job that a head and a body say."""
    trace = TraceParent(*head["trace"]) if head["trace"] else None
    deadline = time.monotonic() + head["remaining"]
    said = {**head["job"], "tags": tuple(head["job"]["tags"])}
    return RunningJob(**said, kind=kind, payload=payload, trace=trace, deadline=deadline, home=home)


def encode_outcome(outcome: Outcome | None) -> Header:
    """An outcome as a head. Raises what a handler's answer would raise in the worker."""
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
    raise TypeError(f"the handler returned {type(outcome).__name__}, which is no outcome")


def decode_outcome(head: Header) -> Outcome | None:
    """The outcome that a head says."""
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
        raise TypeError(f"the handler returned a delay that is no timedelta but {type(delay).__name__!r}")
    return delay.total_seconds()
