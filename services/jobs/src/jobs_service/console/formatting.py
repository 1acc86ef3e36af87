"""Formats times, states and messages for the pages."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from headrace.jobs.v1 import job_pb2, worker_pb2

NONE = "-"
STATES = tuple(name.removeprefix("JOB_STATE_").lower() for name in job_pb2.JobState.keys()[1:])


def state(number: int) -> str:
    """Returns a job's state: "available"."""
    return _word(job_pb2.JobState, "JOB_STATE_", number)


def job_state(word: str) -> Any:
    """Returns the state with that name; for an unknown name a number that the service rejects."""
    return job_pb2.JobState.Value(f"JOB_STATE_{word.upper()}") if word in STATES else -1


def worker_state(number: int) -> str:
    """Returns a worker's state: "live"."""
    return _word(worker_pb2.WorkerState, "WORKER_STATE_", number)


def when(stamp: Timestamp) -> str:
    """Returns a time to the second, in UTC; a dash if there is none."""
    if not stamp.ListFields():
        return NONE
    return f"{stamp.ToDatetime(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(stamp: Timestamp) -> str:
    """Returns how long ago or how far ahead a time is; a dash if there is none."""
    if not stamp.ListFields():
        return NONE
    distance = datetime.now(UTC) - stamp.ToDatetime(UTC)
    if abs(distance) < timedelta(seconds=1):
        return "now"
    return f"{_coarse(distance)} ago" if distance > timedelta() else f"in {_coarse(-distance)}"


def duration(length: Duration) -> str:
    """Returns a duration: "2 min 5 s", "350 ms"."""
    exact = length.ToTimedelta()
    if exact < timedelta(seconds=1):
        return f"{exact / timedelta(milliseconds=1):.0f} ms"
    return f"{exact.total_seconds():.3g} s" if exact < timedelta(seconds=10) else _coarse(exact)


def as_json(message: Message) -> str:
    """Returns a message as indented JSON."""
    return json.dumps(MessageToDict(message, preserving_proto_field_name=True), indent=2, ensure_ascii=False)


def _word(states: Any, prefix: str, number: int) -> str:
    """Returns a state's name, or its number if only a newer service knows it: the page must still work."""
    return states.Name(number).removeprefix(prefix).lower() if number in states.values() else str(number)


def _coarse(length: timedelta) -> str:
    rest = round(length.total_seconds())
    words: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        if number and len(words) < 2:
            words.append(f"{number} {unit}")
    return " ".join(words)
