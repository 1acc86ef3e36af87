"""Kinds, as a client needs them that writes a job."""

from headrace.jobs.v1 import kind_pb2
from headrace.queue import Kind
from jobs_service.translate.values import write_duration


def write_kind(kind: Kind) -> kind_pb2.JobKind:
    """Writes a kind with the values in force."""
    answer = kind_pb2.JobKind(
        name=kind.name,
        queue=kind.queue,
        max_retries=kind.max_retries,
        version=kind.version,
        priority=kind.priority,
    )
    write_duration(answer.timeout, kind.timeout)
    return answer
