"""ListAuditEntries."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import list_audit_entries_async
from jobs_service.convert.audit import write_audit_entry
from jobs_service.convert.page_tokens import read_page_token, write_page_token
from jobs_service.convert.values import refuse
from jobs_service.rpc.base import Methods

DEFAULT_PAGE = 50
# A larger page ends early: clients accept responses of up to 4 MiB by default.
PAGE_BYTES = 3 * 1024 * 1024


class AuditMethods(Methods):
    """Lists audit entries."""

    async def ListAuditEntries(self, request: pb.ListAuditEntriesRequest, context: Any) -> pb.ListAuditEntriesResponse:
        """Lists audit entries, newest first."""
        conditions = ("audit", request.actor, request.subject)
        if bad := [field for field in ("actor", "subject") if "\0" in getattr(request, field)]:
            raise refuse([(field, "must not contain NUL") for field in bad])
        before = read_page_token(conditions, request.page_token)
        size = request.page_size or DEFAULT_PAGE
        entries = await self._database.call(
            list_audit_entries_async,
            actor=request.actor or None,
            subject=request.subject or None,
            limit=size + 1,
            before_id=before,
        )
        response = pb.ListAuditEntriesResponse()
        space = PAGE_BYTES
        for entry in entries[:size]:
            written = write_audit_entry(entry)
            space -= written.ByteSize()
            if space < 0 and response.entries:
                break
            response.entries.append(written)
        if len(response.entries) < len(entries):
            response.next_page_token = write_page_token(conditions, entries[len(response.entries) - 1].id)
        return response
