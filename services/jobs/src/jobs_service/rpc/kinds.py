"""ListKinds."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import Kind, Pause, WorkerInfo, WorkerState, list_pauses_async, list_workers_async
from jobs_service.convert.kind_comments import kind_comments
from jobs_service.convert.kinds import write_kind
from jobs_service.database import Connection
from jobs_service.rpc.base import Methods


class KindsMethods(Methods):
    """Lists kinds."""

    async def ListKinds(self, request: pb.ListKindsRequest, context: Any) -> pb.ListKindsResponse:
        """Lists the kinds that the caller may enqueue."""
        workers, pauses = await self._database.run(lambda c: _workers_and_pauses(c, self._schema))
        paused = {pause.name: pause for pause in pauses if pause.what == "kind"}
        caller = self._callers.current()
        comments = kind_comments(self._enqueuer.kinds)
        return pb.ListKindsResponse(
            kinds=[
                write_kind(
                    kind,
                    comments,
                    worker_version=_worker_version(kind, workers),
                    pause=paused.get(kind.name),
                )
                for kind in self._enqueuer.kinds
                if any(map(caller.may_enqueue, kind.names))
            ]
        )


async def _workers_and_pauses(connection: Connection, schema: str) -> tuple[list[WorkerInfo], list[Pause]]:
    return await list_workers_async(connection, schema=schema), await list_pauses_async(connection, schema=schema)


def _worker_version(kind: Kind, workers: list[WorkerInfo]) -> int:
    alive = (worker for worker in workers if worker.state in {WorkerState.LIVE, WorkerState.HUNG})
    return max((worker.kinds.get(kind.name, 0) for worker in alive), default=0)
