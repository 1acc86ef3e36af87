"""WorkerSupport: the calls of workers, each implemented by its package."""

from __future__ import annotations

from api_service.billing.worker_calls import StripeWorkerCalls
from api_service.mail.delivery import MailDelivery
from headrace.chassis.rpc.interceptors import Context
from saas.jobs.v1 import worker_support_pb2 as pb
from saas.jobs.v1 import worker_support_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["WorkerSupport"].full_name


class WorkerSupportServicer(worker_support_pb2_grpc.WorkerSupportServicer):
    """Returns WorkerSupport; errors are raised and become statuses in `api_service.rpc.errors`."""

    def __init__(self, sending: MailDelivery, stripe: StripeWorkerCalls) -> None:
        self._sending = sending
        self._stripe = stripe

    async def RenderMail(self, request: pb.RenderMailRequest, _context: Context) -> pb.RenderMailResponse:  # noqa: N802
        """See the contract."""
        return await self._sending.render(request)

    async def RecordMailSent(self, request: pb.RecordMailSentRequest, _context: Context) -> pb.RecordMailSentResponse:  # noqa: N802
        """See the contract."""
        return await self._sending.record_sent(request)

    async def DrawFetchSequence(  # noqa: N802
        self, request: pb.DrawFetchSequenceRequest, _context: Context
    ) -> pb.DrawFetchSequenceResponse:
        """See the contract."""
        return await self._stripe.draw_fetch_sequence(request)

    async def ApplyStripeEvent(  # noqa: N802
        self, request: pb.ApplyStripeEventRequest, _context: Context
    ) -> pb.ApplyStripeEventResponse:
        """See the contract."""
        return await self._stripe.apply_event(request)

    async def RecordStripeEvents(  # noqa: N802
        self, request: pb.RecordStripeEventsRequest, _context: Context
    ) -> pb.RecordStripeEventsResponse:
        """See the contract."""
        return await self._stripe.record_events(request)

    async def RequeueStripeEvents(  # noqa: N802
        self, request: pb.RequeueStripeEventsRequest, _context: Context
    ) -> pb.RequeueStripeEventsResponse:
        """See the contract."""
        return await self._stripe.requeue_events(request)
