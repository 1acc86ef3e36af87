"""What was done, and by whom."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import list_audit_entries_async
from jobs_service.convert.audit import write_act
from jobs_service.convert.page_tokens import read_page_token, write_page_token
from jobs_service.convert.values import refuse
from jobs_service.rpc.base import Methods

DEFAULT_PAGE = 50
# A page ends early rather than being larger than what clients take by default, which is 4 MiB.
PAGE_BYTES = 3 * 1024 * 1024


class AuditMethods(Methods):
    """Tells of administrative acts."""

    async def ListAuditEntries(self, request: pb.ListAuditEntriesRequest, context: Any) -> pb.ListAuditEntriesResponse:
        """Lists acts, newest first."""
        conditions = ("audit", request.actor, request.subject)
        if bad := [field for field in ("actor", "subject") if "\0" in getattr(request, field)]:
            raise refuse([(field, "must not contain NUL") for field in bad])
        before = read_page_token(conditions, request.page_token)
        size = request.page_size or DEFAULT_PAGE
        acts = await self._database.run(
            lambda c: list_audit_entries_async(
                c, actor=request.actor or None, subject=request.subject or None, limit=size + 1, before_id=before
            )
        )
        answer = pb.ListAuditEntriesResponse()
        space = PAGE_BYTES
        for act in acts[:size]:
            written = write_act(act)
            space -= written.ByteSize()
            if space < 0 and answer.entries:
                break
            answer.entries.append(written)
        if len(answer.entries) < len(acts):
            answer.next_page_token = write_page_token(conditions, acts[len(answer.entries) - 1].id)
        return answer
