"""Job kinds of the engine's own tests.

They are built here, descriptor by descriptor, as protoc would from a user's own .proto file: the engine must not need
any product's kinds.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from buf.validate import validate_pb2
from headrace.jobs.v1 import options_pb2

PACKAGE = "headrace.test.v1"
STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
REPEATED = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/test/v1/kinds.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=["headrace/jobs/v1/options.proto", "buf/validate/validate.proto"],
    )
    for name, options in {
        "Greet": options_pb2.JobOptions(queue="greetings", max_retries=2, version=1),
        "Count": options_pb2.JobOptions(queue="numbers"),
        "GreetAgain": options_pb2.JobOptions(queue="greetings", version=3, priority=1),
    }.items():
        message: Any = file.message_type.add(name=name)
        message.options.Extensions[options_pb2.job].CopyFrom(options)
        field: Any = message.field.add(name="name", number=1, type=STRING, label=OPTIONAL, json_name="name")
        field.options.Extensions[validate_pb2.field].string.max_len = 100
        lines: Any = message.field.add(name="lines", number=2, type=STRING, label=REPEATED, json_name="lines")
        lines.options.Extensions[validate_pb2.field].repeated.items.string.min_len = 1
    file.message_type.add(name="NoKind")
    return file


_POOL = descriptor_pool.Default()
_POOL.AddSerializedFile(_file().SerializeToString())
FILE = _POOL.FindFileByName("headrace/test/v1/kinds.proto")


class TestKinds:
    """The message classes."""

    __test__ = False
    Greet: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Greet"])
    Count: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Count"])
    GreetAgain: Any = message_factory.GetMessageClass(FILE.message_types_by_name["GreetAgain"])
    NoKind: Any = message_factory.GetMessageClass(FILE.message_types_by_name["NoKind"])
