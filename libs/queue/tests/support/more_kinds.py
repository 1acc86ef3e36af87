"""Job kinds for single questions: a later release of a kind, a payload that nests, a rule that can't be evaluated."""

from __future__ import annotations

from typing import Any

from engine_kinds import FILE, OPTIONAL, STRING
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor

from buf.validate import validate_pb2
from headrace.jobs.v1 import options_pb2
from headrace.queue import Kinds

PACKAGE = "headrace.test.more.v1"
DEPENDENCIES = ["headrace/jobs/v1/options.proto", "buf/validate/validate.proto"]


def kinds_of_a_later_release(*, version: int) -> Kinds:
    """The engine's test kinds as a later release has them, all at that version."""
    later: Any = descriptor_pb2.FileDescriptorProto()
    FILE.CopyToProto(later)
    for message in later.message_type:
        if message.options.HasExtension(options_pb2.job):
            message.options.Extensions[options_pb2.job].version = version
    pool = descriptor_pool.DescriptorPool()
    _add_with_dependencies(pool, FILE, set())
    pool.AddSerializedFile(later.SerializeToString())
    return Kinds.of_file(pool.FindFileByName(later.name))


def file_with(options: options_pb2.JobOptions) -> FileDescriptor:
    """A .proto file with one kind of these options, in a separate descriptor pool."""
    file: Any = descriptor_pb2.FileDescriptorProto(
        name="headrace/test/only/v1/only.proto", package="headrace.test.only.v1", dependency=DEPENDENCIES
    )
    file.message_type.add(name="Only").options.Extensions[options_pb2.job].CopyFrom(options)
    pool = descriptor_pool.DescriptorPool()
    _add_with_dependencies(pool, FILE, set())
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def _add_with_dependencies(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, seen: set[str]) -> None:
    """Adds what a file of the test kinds depends on, but not that file itself."""
    for dependency in file.dependencies:
        if dependency.name not in seen:
            seen.add(dependency.name)
            _add_with_dependencies(pool, dependency, seen)
            pool.AddSerializedFile(dependency.serialized_pb)


def _file() -> Any:
    file: Any = descriptor_pb2.FileDescriptorProto(
        name="headrace/test/more/v1/more.proto", package=PACKAGE, syntax="proto3", dependency=DEPENDENCIES
    )
    tree = file.message_type.add(name="Tree")
    tree.options.Extensions[options_pb2.job].queue = "trees"
    tree.field.add(
        name="child",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{PACKAGE}.Tree",
        label=OPTIONAL,
        json_name="child",
    )
    riddle = file.message_type.add(name="Riddle")
    riddle.options.Extensions[options_pb2.job].queue = "riddles"
    field = riddle.field.add(name="number", number=1, type=STRING, label=OPTIONAL, json_name="number")
    rule = field.options.Extensions[validate_pb2.field].cel.add(id="riddle.number", message="must be above one")
    rule.expression = "this == '' || int(this) > 1"
    return file


_POOL = descriptor_pool.Default()
_POOL.AddSerializedFile(_file().SerializeToString())
MORE_FILE = _POOL.FindFileByName("headrace/test/more/v1/more.proto")
Tree: Any = message_factory.GetMessageClass(MORE_FILE.message_types_by_name["Tree"])
Riddle: Any = message_factory.GetMessageClass(MORE_FILE.message_types_by_name["Riddle"])


def tree(depth: int) -> Any:
    """A tree of that depth."""
    root = node = Tree()
    for _ in range(depth):
        node.child.SetInParent()
        node = node.child
    return root
