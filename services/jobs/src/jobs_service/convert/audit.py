"""Administrative acts on the wire."""

from headrace.jobs.v1 import audit_pb2
from headrace.queue import AuditEntry
from jobs_service.convert.values import write_struct, write_time


def write_act(act: AuditEntry) -> audit_pb2.AuditEntry:
    """Writes an act."""
    answer = audit_pb2.AuditEntry(
        id=str(act.id), actor=act.actor, action=act.action, subject=act.subject, jobs=act.jobs
    )
    write_struct(answer.details, dict(act.details))
    write_time(answer.at, act.at)
    return answer
