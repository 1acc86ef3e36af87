"""The types of the fixtures that tests of the jobs server share."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from headrace.queue import Kinds, Worker, WorkerSettings
from jobs_service.callers.caller import Callers
from jobs_service.server.program import JobsServer

# The generated type of a stub on an asyncio channel exists for type checkers alone.
if TYPE_CHECKING:
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceAsyncStub as JobsClient
else:
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub as JobsClient

__all__ = ["ClientOf", "JobsClient", "Serve", "Verification", "Working"]


class Serve(Protocol):
    """Runs the server on the test's database (or another), with settings of the test's choice."""

    def __call__(
        self,
        url: str = ...,
        *,
        migrate: bool = True,
        callers: Callers = ...,
        kinds: Kinds | None = None,
        **settings: Any,
    ) -> AbstractAsyncContextManager[JobsServer]: ...


class ClientOf(Protocol):
    """Opens a client of a server, with a token."""

    def __call__(self, server: JobsServer, token: str = ...) -> AbstractAsyncContextManager[JobsClient]: ...


class Verification(Protocol):
    """Returns a request for a verification mail, each for another mail unless told."""

    def __call__(self, *, mail_id: str | None = None, **options: Any) -> EnqueueRequest: ...


class Working(Protocol):
    """Runs a worker on the test's database for the length of a block, with handlers by the kind's short name."""

    def __call__(
        self, settings: WorkerSettings | None = None, **functions: Any
    ) -> AbstractAsyncContextManager[Worker]: ...
