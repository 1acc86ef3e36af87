"""Audit entries."""

from headrace.jobs.v1 import audit_pb2
from headrace.queue import AuditEntry
from jobs_service.convert.values import write_struct, write_time


def write_audit_entry(entry: AuditEntry) -> audit_pb2.AuditEntry:
    """Writes an audit entry."""
    written = audit_pb2.AuditEntry(
        id=str(entry.id), actor=entry.actor, action=entry.action, subject=entry.subject, jobs=entry.jobs
    )
    write_struct(written.details, dict(entry.details))
    write_time(written.at, entry.at)
    return written
