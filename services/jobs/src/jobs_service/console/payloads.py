"""Payloads as JSON, by what the service itself says of their messages: the console is built without any kind."""

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

# A payload is whatever its caller packed. It may be of no known message, or no such message (KeyError, DecodeError); an
# Any in it may be of a message that is not known (TypeError), or hold Anys as deep as its bytes reach (RecursionError);
# and not every time, duration or number has a form in JSON (JsonError, ValueError).
_UNREADABLE = (KeyError, DecodeError, TypeError, RecursionError, JsonError, ValueError)


class PayloadReader:
    """Asks the service for a message's description each time, for it may have another one since."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._reflection = ServerReflectionStub(channel)

    async def read(self, payload: Any) -> str | None:
        """The payload as indented JSON; None where the service does not describe its message, or JSON can't say it.

        No error of it is raised: a payload that can't be shown must not take away the rest of its job's page.
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
            pass  # what they say may hold values of the payload, and belongs in no log
        return None

    async def _described(self, symbol: str) -> DescriptorDatabase:
        """The file of a message with all that it imports, as our servers answer it; nothing for an unknown message."""
        described = DescriptorDatabase()
        asked = [ServerReflectionRequest(file_containing_symbol=symbol)]
        async for answer in self._reflection.ServerReflectionInfo(asked, timeout=TIMEOUT):
            for data in answer.file_descriptor_response.file_descriptor_proto:
                described.Add(FileDescriptorProto.FromString(data))
        return described
