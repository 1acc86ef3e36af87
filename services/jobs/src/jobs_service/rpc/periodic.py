"""Creating, changing, pausing and listing periodic jobs at run time."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToDict

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1 import periodic_job_pb2
from headrace.queue import (
    Kinds,
    Periodic,
    PeriodicJob,
    PeriodicNotFoundError,
    create_periodic_async,
    delete_periodic_async,
    get_periodic_async,
    list_periodic_async,
    pause_periodic_async,
    redact_payload,
    resume_periodic_async,
    update_periodic_async,
)
from jobs_service.convert.periodic import read_periodic, still_redacted
from jobs_service.convert.values import refuse
from jobs_service.database import Connection
from jobs_service.rpc.base import Methods

# The audit entry of a change contains neither the payload nor the fields that the service sets.
_NOT_RECORDED = ("payload", "declared", "last_run", "next_runs", "paused_at", "paused_by")


class PeriodicMethods(Methods):
    """Acts on periodic jobs. A caller may create only those whose jobs it may enqueue."""

    async def CreatePeriodicJob(
        self, request: pb.CreatePeriodicJobRequest, context: Any
    ) -> pb.CreatePeriodicJobResponse:
        """Creates a periodic job."""
        created = await self._define("CreatePeriodicJob", request.periodic_job, create_periodic_async)
        return pb.CreatePeriodicJobResponse(periodic_job=self._seen.periodic(created))

    async def GetPeriodicJob(self, request: pb.GetPeriodicJobRequest, context: Any) -> pb.GetPeriodicJobResponse:
        """Returns one periodic job with its next runs."""
        name, runs = _known(request.name), request.runs or 1
        found = await self._database.call(get_periodic_async, name, runs=runs)
        return pb.GetPeriodicJobResponse(periodic_job=self._seen.periodic(found))

    async def ListPeriodicJobs(self, request: pb.ListPeriodicJobsRequest, context: Any) -> pb.ListPeriodicJobsResponse:
        """Lists all periodic jobs, by name."""
        found = await self._database.call(list_periodic_async, runs=request.runs or 1)
        return pb.ListPeriodicJobsResponse(periodic_jobs=[self._seen.periodic(periodic) for periodic in found])

    async def UpdatePeriodicJob(
        self, request: pb.UpdatePeriodicJobRequest, context: Any
    ) -> pb.UpdatePeriodicJobResponse:
        """Replaces the definition of a periodic job."""
        payload, caller = request.periodic_job.payload, self._callers.current()

        async def update(connection: Connection, periodic: Periodic, *, kinds: Kinds, schema: str) -> PeriodicJob:
            if not caller.see_redacted:
                await _reject_redacted(connection, periodic.name, payload, kinds, schema)
            return await update_periodic_async(connection, periodic, kinds=kinds, schema=schema)

        updated = await self._define("UpdatePeriodicJob", request.periodic_job, update)
        return pb.UpdatePeriodicJobResponse(periodic_job=self._seen.periodic(updated))

    async def PausePeriodicJob(self, request: pb.PausePeriodicJobRequest, context: Any) -> pb.PausePeriodicJobResponse:
        """Pauses a periodic job: it enqueues no jobs."""
        name, caller = _known(request.name), self._callers.current().name
        paused = await self._act(
            "PausePeriodicJob", _subject(name), lambda c: pause_periodic_async(c, name, by=caller, schema=self._schema)
        )
        return pb.PausePeriodicJobResponse(periodic_job=self._seen.periodic(paused))

    async def ResumePeriodicJob(
        self, request: pb.ResumePeriodicJobRequest, context: Any
    ) -> pb.ResumePeriodicJobResponse:
        """Resumes a periodic job."""
        name = _known(request.name)
        resumed = await self._act(
            "ResumePeriodicJob", _subject(name), lambda c: resume_periodic_async(c, name, schema=self._schema)
        )
        return pb.ResumePeriodicJobResponse(periodic_job=self._seen.periodic(resumed))

    async def DeletePeriodicJob(
        self, request: pb.DeletePeriodicJobRequest, context: Any
    ) -> pb.DeletePeriodicJobResponse:
        """Deletes a periodic job."""
        name = _known(request.name)
        await self._act(
            "DeletePeriodicJob", _subject(name), lambda c: delete_periodic_async(c, name, schema=self._schema)
        )
        return pb.DeletePeriodicJobResponse()

    async def _define(
        self, method: str, sent: periodic_job_pb2.PeriodicJob, define: Callable[..., Awaitable[PeriodicJob]]
    ) -> PeriodicJob:
        periodic, payload = read_periodic(sent, self._enqueuer)
        caller = self._callers.current()
        caller.require_kind(payload.kind.name, names=payload.kind.names)
        caller.require_queue(payload.queue)

        async def defined(connection: Connection) -> PeriodicJob:
            return await define(connection, periodic, kinds=self._enqueuer.kinds, schema=self._schema)

        return await self._act(method, _subject(periodic.name), defined, details=_details(sent, payload.kind.name))


async def _reject_redacted(connection: Connection, name: str, payload: any_pb2.Any, kinds: Kinds, schema: str) -> None:
    """Rejects a payload as the service has returned it: its redacted fields, for example a number, are unset."""
    stored = await get_periodic_async(connection, name, schema=schema)
    returned, redacted = redact_payload(stored.kind, stored.payload, kinds)
    if redacted and (stored.kind, returned) == (payload.TypeName(), payload.value):
        raise refuse(still_redacted(redacted))


def _details(sent: periodic_job_pb2.PeriodicJob, kind: str) -> dict[str, Any]:
    recorded = periodic_job_pb2.PeriodicJob()
    recorded.CopyFrom(sent)
    for field in _NOT_RECORDED:
        recorded.ClearField(field)
    return {**MessageToDict(recorded, preserving_proto_field_name=True), "kind": kind}


def _known(name: str) -> str:
    """Rejects a name that no periodic job can have, and that Postgres could not search for."""
    if not name.isprintable():
        raise PeriodicNotFoundError(name)
    return name


def _subject(name: str) -> str:
    return f"periodic:{name}"
