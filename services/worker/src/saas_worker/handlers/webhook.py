"""Applies the current state of a Stripe object at the api, for one event in the api's inbox.

The event only says that the object changed. The sequence number is drawn before the object is fetched, so that the api
knows which of two fetches saw the later state, in whatever order they arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from headrace.queue import Done, Outcome, Retry, RunningJob
from saas.jobs.v1.kinds_pb2 import ProcessStripeWebhook
from saas.jobs.v1.worker_support_pb2 import ApplyStripeEventRequest, DrawFetchSequenceRequest
from saas_worker.outbound.stripe import StripeReader

if TYPE_CHECKING:  # the generated code defines this class in its type stubs only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

log = structlog.get_logger()


class ApplyWebhook:
    """The handler.

    Args:
        api: The api's methods for workers.
        stripe: The Stripe client.
    """

    def __init__(self, api: WorkerSupportAsyncStub, stripe: StripeReader) -> None:
        self._api = api
        self._stripe = stripe

    async def __call__(self, message: ProcessStripeWebhook, _: RunningJob) -> Outcome:
        """Fetches the event's object and applies it. An event that is already applied changes nothing.

        Raises:
            StripeUnavailableError, StripeRejectedError: A call to Stripe failed.
            grpc.aio.AioRpcError: A call to the api failed.
        """
        drawn = await self._api.DrawFetchSequence(DrawFetchSequenceRequest(inbox_id=message.inbox_id))
        about = {"inbox_id": message.inbox_id, "event_id": drawn.event_id, "event_type": drawn.event_type}
        if drawn.done:
            log.info("event already applied", **about)
            return Done()
        fetched: bytes | None = None
        if drawn.object_type:
            if not self._stripe.can_fetch(drawn.object_type):
                return Retry(error=f"this worker can't fetch a {drawn.object_type!r}; a newer worker may")
            fetched = await self._stripe.fetch(drawn.object_type, drawn.object_id)
        applied = await self._api.ApplyStripeEvent(
            ApplyStripeEventRequest(inbox_id=message.inbox_id, sequence=drawn.sequence, object_json=fetched or b"")
        )
        log.info("event applied", changed=applied.applied, found=fetched is not None, **about)
        return Done()
