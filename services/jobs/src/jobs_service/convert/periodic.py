"""Periodic jobs."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest

from headrace.jobs.v1 import periodic_job_pb2
from headrace.queue import (
    Enqueuer,
    MissedTicks,
    NewJob,
    Periodic,
    PeriodicJob,
    ValidatedJob,
    periodic_violations,
)
from headrace.redaction.messages import redacted_fields
from jobs_service.convert.errors import refusal
from jobs_service.convert.jobs import TYPE_URL_PREFIX
from jobs_service.convert.values import Violations, noting, read_duration, refuse, under, write_duration, write_time

_MISSED = {
    periodic_job_pb2.MISSED_RUNS_UNSPECIFIED: MissedTicks.ONE,
    periodic_job_pb2.MISSED_RUNS_ONE: MissedTicks.ONE,
    periodic_job_pb2.MISSED_RUNS_SKIP: MissedTicks.SKIP,
    periodic_job_pb2.MISSED_RUNS_ALL: MissedTicks.ALL,
}
_MISSED_WRITTEN = {ours: theirs for theirs, ours in _MISSED.items()}
# The contract's names, where the engine's differ.
_FIELDS = {"missed": "missed_runs", "window": "missed_window"}
FIELD = "periodic_job"
"""The requests' field for the periodic job."""


def read_periodic(sent: periodic_job_pb2.PeriodicJob, enqueuer: Enqueuer) -> tuple[Periodic, ValidatedJob]:
    """Reads a periodic job and validates its payload like a job's. Also returns the validated payload.

    Raises:
        RpcError: INVALID_ARGUMENT with every bad field, UNIMPLEMENTED (KIND_UNKNOWN), OUT_OF_RANGE (PAYLOAD_TOO_LARGE).
    """
    violations: Violations = []
    every: timedelta | None = None
    window: timedelta | None = None
    if sent.HasField("every"):
        with noting(violations, f"{FIELD}.every"):
            every = read_duration(sent.every)
    if sent.HasField("missed_window"):
        with noting(violations, f"{FIELD}.missed_window"):
            window = read_duration(sent.missed_window)
    definition: dict[str, Any] = {
        "name": sent.name,
        "every": every,
        "cron": sent.cron if sent.HasField("cron") else None,
        "time_zone": sent.time_zone or "UTC",
        "missed": _MISSED[sent.missed_runs],
        "window": window,
    }
    named = dict(violations)
    for found in periodic_violations(**definition):
        field = f"{FIELD}.{_FIELDS.get(found.field, found.field)}"
        if field not in named:
            violations.append((field, found.description))
    payload = _read_payload(sent.payload, enqueuer, violations)
    return Periodic(payload=payload.message, **definition), payload


def _read_payload(payload: any_pb2.Any, enqueuer: Enqueuer, violations: Violations) -> ValidatedJob:
    """Validates the payload. Raises if it is invalid, or if there are violations already."""
    validated = enqueuer.validate(NewJob(payload))
    if not isinstance(validated, ValidatedJob):
        error = under(refusal(validated), FIELD)
        if violations and (broken := [detail for detail in error.details if isinstance(detail, BadRequest)]):
            raise refuse([*violations, *((v.field, v.description) for v in broken[0].field_violations)])
        raise refuse(violations) if violations else error
    violations += still_redacted(redacted_fields(validated.message) if isinstance(validated.message, Message) else ())
    if violations:
        raise refuse(violations)
    return validated


def still_redacted(paths: Iterable[str]) -> Violations:
    """Returns the violations of fields that were redacted in a response and are sent back unchanged."""
    why = "is redacted, as in the response: set its value or leave it unset, because it is stored as sent"
    return [(f"{FIELD}.payload.{path}", why) for path in paths]


def write_periodic(periodic: PeriodicJob) -> periodic_job_pb2.PeriodicJob:
    """Writes a periodic job."""
    written = periodic_job_pb2.PeriodicJob(
        name=periodic.name,
        payload=any_pb2.Any(type_url=TYPE_URL_PREFIX + periodic.kind, value=periodic.payload),
        cron=periodic.cron,
        time_zone=periodic.time_zone,
        missed_runs=_MISSED_WRITTEN[periodic.missed],
        declared=periodic.declared,
        paused_by=periodic.paused_by or "",
    )
    if periodic.every is not None:
        write_duration(written.every, periodic.every)
    if periodic.window is not None:
        write_duration(written.missed_window, periodic.window)
    for time in periodic.next_runs:
        write_time(written.next_runs.add(), time)
    write_time(written.last_run, periodic.last_at)
    write_time(written.paused_at, periodic.paused_at)
    return written
