"""Periodic jobs."""

from datetime import timedelta

from google.protobuf import any_pb2

from headrace.jobs.v1 import periodic_job_pb2
from headrace.queue import Door, Missed, NewJob, Periodic, PeriodicInvalid, PeriodicJob, Refused
from headrace.queue.checks import Checked, check
from jobs_service.refusals import refusal
from jobs_service.translate.jobs import TYPE_URL_PREFIX
from jobs_service.translate.values import (
    Violations,
    noting,
    read_duration,
    refuse,
    under,
    write_duration,
    write_time,
)

_MISSED = {
    periodic_job_pb2.MISSED_RUNS_UNSPECIFIED: Missed.ONE,
    periodic_job_pb2.MISSED_RUNS_ONE: Missed.ONE,
    periodic_job_pb2.MISSED_RUNS_SKIP: Missed.SKIP,
    periodic_job_pb2.MISSED_RUNS_ALL: Missed.ALL,
}
_MISSED_WRITTEN = {ours: theirs for theirs, ours in _MISSED.items()}
# The engine's names of what the contract calls otherwise.
_FIELDS = {"missed": "missed_runs", "window": "missed_window"}
FIELD = "periodic_job"
"""What requests call the periodic job that they carry."""


def read_periodic(sent: periodic_job_pb2.PeriodicJob, door: Door) -> tuple[Periodic, Checked]:
    """Reads a periodic job, and checks its payload as the door checks a job's; answers what was found of it, too.

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
    if violations:
        raise refuse(violations)
    payload = _read_payload(sent.payload, door)
    try:
        periodic = Periodic(
            name=sent.name,
            payload=payload.message,
            every=every,
            cron=sent.cron if sent.HasField("cron") else None,
            time_zone=sent.time_zone or "UTC",
            missed=_MISSED[sent.missed_runs],
            window=window,
        )
    except PeriodicInvalid as error:
        raise refuse([(f"{FIELD}.{_FIELDS.get(error.field, error.field)}", error.reason)]) from None
    return periodic, payload


def _read_payload(payload: any_pb2.Any, door: Door) -> Checked:
    try:
        return check(NewJob(payload), door.kinds, door.limits)
    except Refused as refused:
        raise under(refusal(refused), FIELD) from None


def write_periodic(periodic: PeriodicJob) -> periodic_job_pb2.PeriodicJob:
    """Writes a periodic job."""
    answer = periodic_job_pb2.PeriodicJob(
        name=periodic.name,
        payload=any_pb2.Any(type_url=TYPE_URL_PREFIX + periodic.kind, value=periodic.payload),
        cron=periodic.cron,
        time_zone=periodic.time_zone,
        missed_runs=_MISSED_WRITTEN[periodic.missed],
        declared=periodic.declared,
        paused_by=periodic.paused_by or "",
    )
    if periodic.every is not None:
        write_duration(answer.every, periodic.every)
    if periodic.window is not None:
        write_duration(answer.missed_window, periodic.window)
    for time in periodic.next_runs:
        write_time(answer.next_runs.add(), time)
    write_time(answer.last_run, periodic.last_at)
    write_time(answer.paused_at, periodic.paused_at)
    return answer
