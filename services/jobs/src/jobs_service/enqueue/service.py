"""How jobs come in: permission, options and trace context of each item, then the engine's door (group_commit.py).

Used by Enqueue (one item) and EnqueueBatch alike. Each accepted item leaves an `accept <queue>` span under its
creation context: what the item says, or else the current span, which is the call's own.
"""

import time
from collections.abc import Sequence

import structlog
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind, get_tracer

from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.validation import request_violations
from headrace.chassis.telemetry.context_only_tracing import records
from headrace.jobs.v1 import jobs_service_pb2
from headrace.queue import BatchTooLargeError, Enqueued, Enqueuer, KindUnknownError, NewJob, TraceParent, current_trace
from jobs_service.callers.caller import Caller
from jobs_service.convert.enqueue import read_enqueue, trace_context
from jobs_service.convert.errors import refusal
from jobs_service.convert.values import Violations
from jobs_service.database import Database
from jobs_service.enqueue.group_commit import GroupCommit
from jobs_service.enqueue.queue_depth import QueueDepthLimits

log = structlog.get_logger()


class RequestEnqueuer:
    """Accepts jobs for callers."""

    def __init__(self, enqueuer: Enqueuer, database: Database, depths: QueueDepthLimits) -> None:
        self._enqueuer = enqueuer
        self._depths = depths
        self._group_commit = GroupCommit(enqueuer, database)
        self._tracer = get_tracer("jobs_service")

    async def accept(
        self,
        requests: Sequence[jobs_service_pb2.EnqueueRequest],
        caller: Caller,
        *,
        message: Message,
    ) -> list[Enqueued | RpcError]:
        """Accepts what can be accepted, all of it committed together; answers one result per request, in order.

        Args:
            requests: What is asked for.
            caller: Who asks.
            message: What the requests came in; the request itself, where there is one.

        Raises:
            BatchTooLargeError: There are more requests than the limit; nothing was accepted.
            DatabaseUnavailableError: Nothing may be known of any of them.
        """
        limit = self._enqueuer.limits.batch
        if len(requests) > limit:
            raise BatchTooLargeError(len(requests), limit)
        results: dict[int, Enqueued | RpcError] = {}
        jobs: dict[int, NewJob] = {}
        origin = current_trace()
        broken = request_violations(message)  # all at once; each by itself only where that finds something
        for place, request in enumerate(requests):
            try:
                violations = request_violations(request) if broken else []
                jobs[place] = self._read_job(request, caller, origin, violations)
            except RpcError as refused:
                results[place] = refused
        if self._depths.limits:
            await self._take_places(jobs, results)
        if jobs:
            began = time.time_ns()
            wanted = list(jobs.values())
            answers = await self._group_commit.accept(wanted)
            recording = records()
            for place, job, answer in zip(jobs, wanted, answers, strict=True):
                if isinstance(answer, Enqueued):
                    results[place] = answer
                    if recording:
                        self._record(job, answer, began, None if job.trace is origin else job.trace)
                else:
                    results[place] = refusal(answer)
        return [results[place] for place in range(len(requests))]

    def read_job(self, request: jobs_service_pb2.EnqueueRequest, caller: Caller) -> NewJob:
        """Reads a job that the caller may enqueue. Raises RpcError."""
        return self._read_job(request, caller, None, request_violations(request))

    def _read_job(
        self,
        request: jobs_service_pb2.EnqueueRequest,
        caller: Caller,
        origin: TraceParent | None,
        violations: Violations,
    ) -> NewJob:
        """Reads a job that the caller may enqueue; `origin` caused it, unless it says otherwise. Raises RpcError."""
        job = read_enqueue(
            request, caller=caller.name, kinds=self._enqueuer.kinds, origin=origin, violations=violations
        )
        if "/" not in request.payload.type_url:
            return job  # the door says what is wrong with it
        name = request.payload.TypeName()
        try:
            kind = self._enqueuer.kinds[name]
        except KindUnknownError as unknown:
            raise refusal(unknown) from None
        caller.require_kind(name, names=kind.names)
        caller.require_queue(job.queue or kind.queue)
        return job

    async def require_capacity(self, job: NewJob) -> None:
        """Raises RpcError where the job's queue is full; takes nothing. The job must be of a kind that is known."""
        queue = self._queue(job)
        await self._depths.look({queue})
        self._depths.require_capacity(queue)

    async def _take_places(self, jobs: dict[int, NewJob], results: dict[int, Enqueued | RpcError]) -> None:
        """Moves what finds its queue full from `jobs` into `results`. Raises DatabaseUnavailableError."""
        limited = {
            place: queue
            for place, job in jobs.items()
            if job.payload.TypeName() in self._enqueuer.kinds and (queue := self._queue(job)) in self._depths.limits
        }
        await self._depths.look(set(limited.values()))
        for place, queue in limited.items():
            try:
                self._depths.take(queue)
            except RpcError as full:
                results[place] = full
                del jobs[place]

    def _queue(self, job: NewJob) -> str:
        return job.queue or self._enqueuer.kinds[job.payload.TypeName()].queue

    def _record(self, job: NewJob, accepted: Enqueued, began: int, trace: TraceParent | None) -> None:
        """Leaves a span, under the current one unless the job has a creation context of its own."""
        kind = self._enqueuer.kinds[job.payload.TypeName()]
        queue = job.queue or kind.queue
        span = self._tracer.start_span(
            f"accept {queue}",
            trace_context(trace) if trace else None,
            kind=SpanKind.INTERNAL,
            attributes={
                "messaging.system": "headrace",
                "messaging.operation.name": "accept",
                "messaging.destination.name": queue,
                "messaging.message.id": str(accepted.job_id),
                "headrace.job.kind": kind.name,
                "headrace.job.caller": job.caller,
                "headrace.job.duplicate": accepted.duplicate,
            },
            start_time=began,
        )
        span.end()
