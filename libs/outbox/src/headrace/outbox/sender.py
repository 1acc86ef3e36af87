"""Sends a batch of rows to the jobs service, and returns each row's result."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never
from uuid import UUID

from google.protobuf import any_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from opentelemetry.trace import Span

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.outbox.metrics import count_sent
from headrace.outbox.responses import Enqueued, Rejected, Response, answer_of, refusal_of
from headrace.outbox.tracing import end_accepted, end_refused, start_send_span

if TYPE_CHECKING:  # the class exists only in the stub file
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceAsyncStub


@dataclass(frozen=True)
class LeasedRow:
    """A row that this relay has leased."""

    id: UUID
    kind: str
    queue: str
    version: int
    payload: bytes
    idempotency_key: str
    traceparent: str | None
    tracestate: str | None
    baggage: str | None
    attempts: int
    expired: bool

    @property
    def headers(self) -> dict[str, str]:
        """The stored creation context, as headers."""
        stored = {"traceparent": self.traceparent, "tracestate": self.tracestate, "baggage": self.baggage}
        return {name: value for name, value in stored.items() if value is not None}


@dataclass
class Delivery:
    """The result of a batch.

    Attributes:
        answers: The results of single rows.
        outage: Why the service accepted none of the rows, or no more of them. It applies to every row that is not in
            `answers`. Without an outage such a row was not sent in time, and its lease ends by itself.
    """

    answers: dict[UUID, Response]
    outage: Rejected | None = None

    def answer(self, row: LeasedRow) -> Response | None:
        """The row's result, or else the outage."""
        return self.answers.get(row.id, self.outage)


_NOT_SENT = Rejected(StatusCode.CANCELLED, "not sent: the relay was stopped, or the lease ended first")


class Sender:
    """Calls EnqueueBatch.

    A call that fails as a whole fails for all of its rows, unless a single row may be the cause (a field out of bounds,
    a message too large). Then the batch is halved until that row is alone.

    Args:
        stub: The jobs service.
        timeout: The deadline of one call.
    """

    def __init__(self, stub: "JobsServiceAsyncStub", timeout: timedelta) -> None:
        self._stub = stub
        self._timeout = timeout.total_seconds()

    async def send(self, rows: Sequence[LeasedRow], *, until: float) -> Delivery:
        """Sends rows in the order of their keys, each with a separate `send` span.

        Args:
            rows: The rows.
            until: When to stop making calls, in the event loop's time: the end of the lease.
        """
        spans = {row.id: start_send_span(row.kind, row.queue, row.idempotency_key, row.headers) for row in rows}
        delivery = Delivery({})
        try:
            await self._send(sorted(rows, key=lambda row: (row.kind, row.idempotency_key)), until, delivery)
        finally:
            for row in rows:
                _end(spans[row.id], row, delivery.answer(row) or _NOT_SENT)
        return delivery

    async def _send(self, rows: list[LeasedRow], until: float, delivery: Delivery) -> None:
        batches = [rows] if rows else []
        accepts = False
        while batches and asyncio.get_running_loop().time() < until:
            batch = batches.pop()
            try:
                response = await self._stub.EnqueueBatch(_request(batch), timeout=self._timeout)
            except AioRpcError as error:
                refusal = refusal_of(error)
                if not refusal.may_be_one_row:
                    delivery.outage = refusal
                    return
                if len(batch) == 1:
                    delivery.answers[batch[0].id] = refusal
                    if not refusal.parks and not accepts:
                        # The size was not the cause: the service is exhausted, and more calls would not help.
                        delivery.outage = refusal
                        return
                else:
                    middle = len(batch) // 2
                    batches += [batch[middle:], batch[:middle]]
            else:
                accepts = True
                delivery.answers |= _answers(batch, response)


def _request(batch: Sequence[LeasedRow]) -> pb.EnqueueBatchRequest:
    return pb.EnqueueBatchRequest(
        requests=[
            pb.EnqueueRequest(
                payload=any_pb2.Any(type_url=f"type.googleapis.com/{row.kind}", value=row.payload),
                idempotency_key=row.idempotency_key,
                trace_context=pb.TraceContext(**row.headers),
                version=row.version,
            )
            for row in batch
        ]
    )


def _answers(batch: Sequence[LeasedRow], response: pb.EnqueueBatchResponse) -> dict[UUID, Response]:
    if len(response.results) != len(batch):
        # Results can't be matched to rows, so no row counts as accepted. The keys make it safe to send all of them
        # again.
        told = f"the jobs service returned {len(response.results)} results for {len(batch)} jobs"
        return {row.id: Rejected(StatusCode.INTERNAL, told) for row in batch}
    return {row.id: answer_of(result) for row, result in zip(batch, response.results, strict=True)}


def _end(span: Span, row: LeasedRow, answer: Response) -> None:
    match answer:
        case Enqueued(job_id):
            end_accepted(span, job_id)
            count_sent(queue=row.queue)
        case Rejected():
            end_refused(span, answer.code.name, answer.message)
            count_sent(queue=row.queue, error_type=answer.code.name)
        case never:
            assert_never(never)
