"""ExplainJob: why a job isn't running, or what an enqueue request would do."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.validation import request_violations
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import EnqueueError, Explanation, explain_enqueue_async, explain_job_async
from jobs_service.convert.errors import refusal
from jobs_service.convert.jobs import read_job_id
from jobs_service.convert.values import refuse, under
from jobs_service.rpc.enqueue import EnqueueMethods

ENQUEUE = "enqueue"
"""The request's field for an enqueue request to explain."""


class ExplainMethods(EnqueueMethods):
    """Explains jobs and enqueue requests. A request is explained as the caller's Enqueue would be decided now."""

    async def ExplainJob(self, request: pb.ExplainJobRequest, context: Any) -> pb.ExplainJobResponse:
        """Explains why a job isn't running, or what an enqueue request would do."""
        if request.WhichOneof("subject") == ENQUEUE:
            try:
                explanation = await self._of_enqueue(request.enqueue)
            except EnqueueError as refused:
                raise under(refusal(refused), ENQUEUE) from None
            except RpcError as refused:
                raise under(refused, ENQUEUE) from None
        else:
            if violations := request_violations(request):
                raise refuse(violations)
            job_id = read_job_id(request.job_id)
            explanation = await self._database.call(explain_job_async, job_id)
        return self._response(explanation)

    async def _of_enqueue(self, request: pb.EnqueueRequest) -> Explanation:
        wanted = self._request_enqueuer.read(request, self._callers.current())
        explanation = await self._database.call(explain_enqueue_async, self._enqueuer, wanted.job)
        if explanation.job is None:
            await self._request_enqueuer.require_capacity(wanted)
        return explanation

    def _response(self, explanation: Explanation) -> pb.ExplainJobResponse:
        job = self._seen.job(explanation.job) if explanation.job else None
        return pb.ExplainJobResponse(job=job, explanation=self._seen.explanation(explanation))
