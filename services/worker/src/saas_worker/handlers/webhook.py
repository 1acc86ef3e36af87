"""Brings what Stripe says now into the api's books, for one event in its inbox.

The event only says that something changed. The number is drawn before the object is fetched, so the api can tell
which of two fetches saw the later state, whatever order they arrive in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from headrace.queue import Done, Outcome, Retry, RunningJob
from jobs_service.stripe_reader import StripeReader
from saas.jobs.v1.kinds_pb2 import ProcessStripeWebhook
from saas.jobs.v1.worker_support_pb2 import ApplyStripeEventRequest, DrawFetchSequenceRequest

if TYPE_CHECKING:  # the generated code has this class in its types only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

log = structlog.get_logger()


class ApplyWebhook:
    """The handler.

    Args:
        api: The api's side.
        stripe: The way to Stripe.
    """

    def __init__(self, api: WorkerSupportAsyncStub, stripe: StripeReader) -> None:
        self._api = api
        self._stripe = stripe

    async def __call__(self, message: ProcessStripeWebhook, _: RunningJob) -> Outcome:
        """Fetches the event's object and has it applied; an event that is done already changes nothing.

        Raises:
            StripeUnavailableError, StripeRejectedError: What Stripe made of it.
            grpc.aio.AioRpcError: What the api made of it.
        """
        drawn = await self._api.DrawFetchSequence(DrawFetchSequenceRequest(inbox_id=message.inbox_id))
        about = {"inbox_id": message.inbox_id, "event_id": drawn.event_id, "event_type": drawn.event_type}
        if drawn.done:
            log.info("event already applied", **about)
            return Done()
        fetched: bytes | None = None
        if drawn.object_type:
            if not self._stripe.knows(drawn.object_type):
                return Retry(error=f"this worker can't fetch a {drawn.object_type!r}: a newer one may")
            fetched = await self._stripe.fetch(drawn.object_type, drawn.object_id)
        applied = await self._api.ApplyStripeEvent(
            ApplyStripeEventRequest(inbox_id=message.inbox_id, sequence=drawn.sequence, object_json=fetched or b"")
        )
        log.info("event applied", changed=applied.applied, found=fetched is not None, **about)
        return Done()
