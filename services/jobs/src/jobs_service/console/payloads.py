"""Payloads as JSON, by what the service itself says of their messages: the console is built without any kind."""

import json

import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

TIMEOUT = 5.0
"""Seconds that the service may take to describe a message."""


class PayloadReader:
    """Asks the service for a message's description each time, for it may have another one since."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._reflection = ServerReflectionStub(channel)

    async def read(self, payload: Any) -> str | None:
        """The payload as indented JSON; None where the service does not know its message, or it can't be read."""
        name = payload.TypeName()
        pool = DescriptorPool()
        for file in await self._files(name):
            pool.Add(file)
        try:
            message = GetMessageClass(pool.FindMessageTypeByName(name)).FromString(payload.value)
            fields = MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
        except (KeyError, DecodeError, TypeError):  # TypeError: an Any in it, of a message that is not known
            return None
        return json.dumps(fields, indent=2, ensure_ascii=False)

    async def _files(self, symbol: str) -> list[FileDescriptorProto]:
        """The file of a message and those that it imports, each after its own imports; none for an unknown message."""
        found: dict[str, FileDescriptorProto] = {}
        asked = [ServerReflectionRequest(file_containing_symbol=symbol)]
        call = self._reflection.ServerReflectionInfo(timeout=TIMEOUT)
        while asked:
            await call.write(asked.pop())
            answer = await call.read()
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(data)
                found[file.name] = file
                asked += [
                    ServerReflectionRequest(file_by_filename=name) for name in file.dependency if name not in found
                ]
        await call.done_writing()
        return _imports_first(found)


def _imports_first(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    ordered: dict[str, FileDescriptorProto] = {}

    def place(file: FileDescriptorProto) -> None:
        if file.name not in ordered:
            for name in file.dependency:
                if name in files:
                    place(files[name])
            ordered[file.name] = file

    for file in files.values():
        place(file)
    return list(ordered.values())
