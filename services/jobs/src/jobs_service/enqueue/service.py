"""Reads and validates enqueue requests, checks permissions and queue limits, and enqueues the jobs (group_commit.py).

Enqueue (one request) and EnqueueBatch both use it. Each request is checked twice, by the rules of the contract and by
the engine, and everything that either finds is reported together. Each enqueued job leaves an `accept <queue>` span
under its creation context, which is the request's or else the current span's.
"""

import time
from collections.abc import Sequence

import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind, get_tracer

from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.validation import request_violations
from headrace.chassis.telemetry.context_only_tracing import records
from headrace.jobs.v1 import jobs_service_pb2
from headrace.queue import BatchTooLargeError, Enqueued, Enqueuer, TraceParent, ValidatedJob, current_trace
from jobs_service.callers.caller import Caller
from jobs_service.convert.enqueue import read_enqueue, trace_context
from jobs_service.convert.errors import refusal, violations_of
from jobs_service.convert.values import Violations, merged, refuse
from jobs_service.database import Database
from jobs_service.enqueue.group_commit import GroupCommit
from jobs_service.enqueue.queue_depth import QueueDepthLimits

log = structlog.get_logger()


class RequestEnqueuer:
    """Enqueues jobs for callers.

    Args:
        enqueuer: The engine's; it must have no middleware.
        database: The jobs database.
        depths: The queues whose depth is limited.
    """

    def __init__(self, enqueuer: Enqueuer, database: Database, depths: QueueDepthLimits) -> None:
        self._enqueuer = enqueuer
        self._depths = depths
        self._group_commit = GroupCommit(enqueuer, database)
        self._tracer = get_tracer("jobs_service")

    async def enqueue(
        self,
        requests: Sequence[jobs_service_pb2.EnqueueRequest],
        caller: Caller,
        *,
        message: Message,
    ) -> list[Enqueued | RpcError]:
        """Enqueues every job that can be enqueued, all in one transaction.

        Args:
            requests: One request per job.
            caller: The caller.
            message: The message that contains the requests, or the only request itself.

        Returns:
            One result per request, in order.

        Raises:
            BatchTooLargeError: There are more requests than the limit. Nothing was enqueued.
            DatabaseUnavailableError: Each of the jobs may or may not have been enqueued.
        """
        limit = self._enqueuer.limits.batch
        if len(requests) > limit:
            raise BatchTooLargeError(len(requests), limit)
        results: dict[int, Enqueued | RpcError] = {}
        jobs: dict[int, ValidatedJob] = {}
        origin = current_trace()
        broken = request_violations(message)  # of all requests at once; of each only if that finds something
        for place, request in enumerate(requests):
            try:
                jobs[place] = self._read(request, caller, origin, request_violations(request) if broken else [])
            except RpcError as refused:
                results[place] = refused
        if self._depths.limits:
            await self._take_places(jobs, results)
        if jobs:
            began = time.time_ns()
            wanted = list(jobs.values())
            enqueued = await self._group_commit.enqueue(wanted)
            recording = records()
            for place, job, result in zip(jobs, wanted, enqueued, strict=True):
                if isinstance(result, Enqueued):
                    results[place] = result
                    if recording:
                        self._record(job, result, began, None if job.job.trace is origin else job.job.trace)
                else:
                    results[place] = refusal(result)
        return [results[place] for place in range(len(requests))]

    def read(self, request: jobs_service_pb2.EnqueueRequest, caller: Caller) -> ValidatedJob:
        """Returns a job that the caller may enqueue. Raises RpcError."""
        return self._read(request, caller, None, request_violations(request))

    async def require_capacity(self, job: ValidatedJob) -> None:
        """Raises RpcError if the job's queue is full; takes no place in it."""
        await self._depths.look({job.queue})
        self._depths.require_capacity(job.queue)

    def _read(
        self,
        request: jobs_service_pb2.EnqueueRequest,
        caller: Caller,
        origin: TraceParent | None,
        violations: Violations,
    ) -> ValidatedJob:
        """Returns a job that the caller may enqueue.

        Args:
            request: The request.
            caller: The caller.
            origin: What caused the job, if the request doesn't say.
            violations: What breaks the contract's rules.

        Raises:
            RpcError: With every violation; or the caller lacks a permission.
        """
        job, unreadable = read_enqueue(request, caller=caller.name, origin=origin)
        result = self._enqueuer.validate(job)
        if violations := merged(violations, unreadable):
            raise refuse(violations if isinstance(result, ValidatedJob) else merged(violations, violations_of(result)))
        if isinstance(result, ValidatedJob):
            _require_permission(caller, result.options.kind, result.kind.names, result.queue)
            return result
        payload: AnyMessage = request.payload
        if (name := payload.TypeName()) in self._enqueuer.kinds and "/" in payload.type_url:
            kind = self._enqueuer.kinds[name]
            _require_permission(caller, name, kind.names, job.queue or kind.queue)
        raise refusal(result)

    async def _take_places(self, jobs: dict[int, ValidatedJob], results: dict[int, Enqueued | RpcError]) -> None:
        """Moves jobs whose queue is full from `jobs` to `results`. Raises DatabaseUnavailableError."""
        limited = {place: job.queue for place, job in jobs.items() if job.queue in self._depths.limits}
        await self._depths.look(set(limited.values()))
        for place, queue in limited.items():
            try:
                self._depths.take(queue)
            except RpcError as full:
                results[place] = full
                del jobs[place]

    def _record(self, job: ValidatedJob, enqueued: Enqueued, began: int, trace: TraceParent | None) -> None:
        """Writes a span, under the current one unless the job has its own creation context."""
        span = self._tracer.start_span(
            f"accept {job.queue}",
            trace_context(trace) if trace else None,
            kind=SpanKind.INTERNAL,
            attributes={
                "messaging.system": "headrace",
                "messaging.operation.name": "accept",
                "messaging.destination.name": job.queue,
                "messaging.message.id": str(enqueued.job_id),
                "headrace.job.kind": job.kind.name,
                "headrace.job.caller": job.job.caller,
                "headrace.job.duplicate": enqueued.duplicate,
            },
            start_time=began,
        )
        span.end()


def _require_permission(caller: Caller, name: str, names: Sequence[str], queue: str) -> None:
    caller.require_kind(name, names=names)
    caller.require_queue(queue)
