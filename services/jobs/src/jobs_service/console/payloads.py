"""Reads payloads as JSON, by reflection: the console contains no generated code of any kind."""

import json

import grpc.aio
import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

log = structlog.get_logger()

TIMEOUT = 5.0
"""Seconds that the service may take to describe a message."""

# A payload is whatever its caller has packed. Its message may be unknown, or its bytes invalid (KeyError, DecodeError).
# An Any in it may be of an unknown message (TypeError), or contain deeply nested Anys (RecursionError). And not every
# time, duration or number can be represented in JSON (JsonError, ValueError).
_UNREADABLE = (KeyError, DecodeError, TypeError, RecursionError, JsonError, ValueError)


class PayloadReader:
    """Asks the service for a message's descriptor each time, because a new release may have changed it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._reflection = ServerReflectionStub(channel)

    async def read(self, payload: Any) -> str | None:
        """Returns the payload as indented JSON; None if its message is unknown, or JSON can't represent it.

        It raises no error: an unreadable payload must not prevent the rest of the job's page.
        """
        name = payload.TypeName()
        try:
            pool = DescriptorPool(await self._described(name))
            message = GetMessageClass(pool.FindMessageTypeByName(name)).FromString(payload.value)
            fields = MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
            return json.dumps(fields, indent=2, ensure_ascii=False)
        except grpc.aio.AioRpcError as error:
            log.warning("the service did not describe a payload", kind=name, code=error.code().name)
        except _UNREADABLE:
            pass  # their texts may contain values of the payload, which must not be logged
        return None

    async def _described(self, symbol: str) -> DescriptorDatabase:
        """Returns a message's file and all files that it imports; nothing for an unknown message."""
        described = DescriptorDatabase()
        asked = [ServerReflectionRequest(file_containing_symbol=symbol)]
        async for answer in self._reflection.ServerReflectionInfo(asked, timeout=TIMEOUT):
            for data in answer.file_descriptor_response.file_descriptor_proto:
                described.Add(FileDescriptorProto.FromString(data))
        return described
