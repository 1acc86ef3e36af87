"""Kinds, as clients need them."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from jobs_service.rpc.part import Part
from jobs_service.translate import write_kind


class KindsPart(Part):
    """Tells of kinds."""

    async def ListKinds(self, request: pb.ListKindsRequest, context: Any) -> pb.ListKindsResponse:
        """Lists the kinds that the caller may enqueue."""
        caller = self._callers.current()
        return pb.ListKindsResponse(
            kinds=[write_kind(kind) for kind in self._door.kinds if caller.may_enqueue(kind.name)]
        )
