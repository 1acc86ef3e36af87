"""CancelJobs, RetryJobs and DeleteJobs: what a caller may do to all jobs that match a filter."""

# ruff: noqa: N802 (names and parameters are the contract's)

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc
from google.protobuf.json_format import MessageToDict

from headrace.chassis.rpc.errors import RpcError, bad_request, error_info
from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import Action, Found, JobFilter, act_on_async, batches, find_actionable_async
from jobs_service.convert.jobs import read_filter
from jobs_service.rpc.base import Methods

SUBJECT = "filter"


class _Counts(NamedTuple):
    matched: int
    changed: int


class BulkMethods(Methods):
    """Acts on many jobs, from the newest to the oldest, with one transaction for each batch.

    Each batch gets an audit entry with the number of jobs that it changed. If a call ends early, by its deadline or
    because its client disconnects, the batches that are done stay done. Another call continues with the rest.
    """

    async def CancelJobs(self, request: pb.CancelJobsRequest, context: Any) -> pb.CancelJobsResponse:
        """Cancels all jobs that match."""
        done = await self._act_on_all("CancelJobs", Action.CANCEL, request.filter, request.dry_run, context)
        return pb.CancelJobsResponse(**done._asdict())

    async def RetryJobs(self, request: pb.RetryJobsRequest, context: Any) -> pb.RetryJobsResponse:
        """Retries all jobs that match."""
        done = await self._act_on_all("RetryJobs", Action.RETRY, request.filter, request.dry_run, context)
        return pb.RetryJobsResponse(**done._asdict())

    async def DeleteJobs(self, request: pb.DeleteJobsRequest, context: Any) -> pb.DeleteJobsResponse:
        """Deletes all jobs that match."""
        done = await self._act_on_all("DeleteJobs", Action.DELETE, request.filter, request.dry_run, context)
        return pb.DeleteJobsResponse(**done._asdict())

    async def _act_on_all(
        self, method: str, action: Action, sent: job_pb2.JobFilter, dry_run: bool, context: Any
    ) -> _Counts:
        wanted = read_filter(sent, self._enqueuer.kinds)
        if wanted == JobFilter():
            raise RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "The filter is empty, which would match every job. To match every job, list all states.",
                error_info("FILTER_EMPTY"),
                bad_request([("filter", "must have a condition; to match all jobs, list all states")]),
            )
        details = MessageToDict(sent, preserving_proto_field_name=True)
        matched = changed = 0
        before_id: int | None = None
        while True:
            _require_time(context, changed)
            found = await self._find(action, wanted, before_id)
            matched += len(found.ids)
            for ids in batches(found.ids) if not dry_run else ():
                _require_time(context, changed)
                changed += await self._act_on_batch(method, action, ids, details)
            if found.before_id is None:
                break
            before_id = found.before_id
        if not matched and not dry_run:  # record that nothing matched, too
            await self._act_on_batch(method, action, [], details)
        return _Counts(matched, changed)

    async def _find(self, action: Action, wanted: JobFilter, before_id: int | None) -> Found:
        return await self._database.call(find_actionable_async, action, wanted, before_id=before_id)

    async def _act_on_batch(self, method: str, action: Action, ids: Sequence[int], details: dict[str, Any]) -> int:
        return await self._act(
            method,
            SUBJECT,
            lambda connection: act_on_async(connection, action, ids, schema=self._schema),
            details={"filter": details},
            jobs=lambda changed: changed,
        )


def _require_time(context: Any, changed: int) -> None:
    """Ends a call whose deadline has passed: its client may have repeated the call already."""
    left = context.time_remaining()
    if left is not None and left <= 0:
        raise RpcError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"The deadline passed after {changed} jobs were changed. Call again to continue with the rest.",
        )
