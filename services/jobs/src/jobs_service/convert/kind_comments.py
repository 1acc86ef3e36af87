"""What .proto files say of their messages and fields: read from descriptors that were generated with their comments."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files

from google.protobuf import descriptor_pb2

# Beside the generated code of saas/jobs/v1/kinds.proto; written by proto/generate.py.
_PACKAGE, _FILE = "saas.jobs.v1", "kinds.binpb"
# Where a file's descriptor has its messages, and a message's descriptor its own and its fields (descriptor.proto).
_FILES_MESSAGES, _MESSAGES_FIELDS, _MESSAGES_MESSAGES = 4, 2, 3


@cache
def kind_comments() -> Mapping[str, str]:
    """The comments of the job kinds and of their fields, by full names."""
    data = (files(_PACKAGE) / _FILE).read_bytes()
    return {
        name: text
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file
        for name, text in read_comments(file).items()
    }


def read_comments(file: descriptor_pb2.FileDescriptorProto) -> dict[str, str]:
    """The comment above each message and field of a file, as one paragraph; those without one are left out."""
    said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    return {
        name: " ".join(said[path].split())
        for name, path in _places(file.message_type, file.package, (_FILES_MESSAGES,))
        if said.get(path, "").strip()
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
