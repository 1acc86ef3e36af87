"""Reads the comments of .proto files from descriptor sets beside the generated modules.

For `shop/kinds.proto`, that is `kinds.binpb` in the package `shop`. protoc writes it with `--descriptor_set_out` and
`--include_source_info`. Without it, kinds and fields have no descriptions.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from google.protobuf import descriptor_pb2

from headrace.queue import Kinds

# The field numbers of messages in a file's descriptor, and of fields and messages in a message's (descriptor.proto).
_FILES_MESSAGES, _MESSAGES_FIELDS, _MESSAGES_MESSAGES = 4, 2, 3


def kind_comments(kinds: Kinds) -> Mapping[str, str]:
    """Returns the comments of kinds and of their fields, by full name."""
    names = {kind.message_class.DESCRIPTOR.file.name for kind in kinds}
    return {name: text for file in sorted(names) for name, text in _file_comments(file).items()}


@cache
def _file_comments(file_name: str) -> Mapping[str, str]:
    proto = PurePosixPath(file_name)
    package = ".".join(proto.parent.parts)
    if package not in sys.modules:  # a file at the top level, or one that was built at run time
        return {}
    described = files(package) / proto.with_suffix(".binpb").name
    if not described.is_file():
        return {}
    return {
        name: text
        for file in descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file
        for name, text in read_comments(file).items()
    }


def read_comments(file: descriptor_pb2.FileDescriptorProto) -> dict[str, str]:
    """Returns the comment above each message and field of a file, as one paragraph, if there is one."""
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    return {
        name: " ".join(comments[path].split())
        for name, path in _places(file.message_type, file.package, (_FILES_MESSAGES,))
        if comments.get(path, "").strip()
    }


def _places(
    messages: Sequence[descriptor_pb2.DescriptorProto], scope: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for number, message in enumerate(messages):
        name, place = f"{scope}.{message.name}", (*path, number)
        yield name, place
        for field_number, field in enumerate(message.field):
            yield f"{name}.{field.name}", (*place, _MESSAGES_FIELDS, field_number)
        yield from _places(message.nested_type, name, (*place, _MESSAGES_MESSAGES))
