"""Stores the form of a kind's payload: its protobuf message with every type that its fields need.

Everything else is left out: services, other messages, and files that only define options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

FINGERPRINT_BYTES = 16


def descriptor_set(message: Descriptor) -> bytes:
    """Returns a serialized google.protobuf.FileDescriptorSet with the message and all that its fields need.

    Options that other files define are kept as bytes. Each file comes after those that it imports.
    """
    whole = _Closure()
    whole.take(_outermost(message))
    return FileDescriptorSet(file=whole.files()).SerializeToString(deterministic=True)


def message_in(descriptors: bytes, name: str) -> Descriptor:
    """Returns the message of that full name in a descriptor set, in a separate descriptor pool.

    Raises:
        DecodeError: The bytes are not a descriptor set.
        TypeError: The files contradict each other.
        KeyError: They define no such message.
    """
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName(name)


def fingerprint(message: Descriptor) -> bytes:
    """Returns 16 bytes that are equal for messages that decode bytes alike, whatever their fields are named."""
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
    numbers: dict[str, int] = {message.full_name: 0}
    waiting = [message]
    while waiting:
        for field in sorted(waiting.pop(0).fields, key=lambda field: field.number):
            refers = ""
            if field.message_type is not None:
                if field.message_type.full_name not in numbers:
                    numbers[field.message_type.full_name] = len(numbers)
                    waiting.append(field.message_type)
                refers = str(numbers[field.message_type.full_name])
            elif field.enum_type is not None:
                refers = ",".join(str(number) for number in sorted(field.enum_type.values_by_number))
            digest.update(f"{field.number} {field.type} {field.is_repeated} {field.is_required} {refers};".encode())
        digest.update(b"|")
    return digest.digest()


class _Closure:
    """Collects the outermost types that a message needs."""

    def __init__(self) -> None:
        self._types: dict[str, Descriptor | EnumDescriptor] = {}

    def take(self, wanted: Descriptor | EnumDescriptor) -> None:
        """Adds an outermost type and every type that it needs."""
        waiting = [wanted]
        while waiting:
            each = waiting.pop()
            if each.full_name not in self._types:
                self._types[each.full_name] = each
                waiting += _needs(each)

    def files(self) -> list[FileDescriptorProto]:
        """Returns the files, reduced to these types, in the order of their imports."""
        files = {each.file.name: each.file for each in self._types.values()}
        imports = {name: self._imports(file) for name, file in files.items()}
        ordered: list[str] = []
        while len(ordered) < len(files):
            # Imports have no cycles, so one of the rest always imports none of the others.
            ordered.append(next(n for n in sorted(files) if n not in ordered and imports[n] <= set(ordered)))
        return [self._cut_down(files[name], sorted(imports[name])) for name in ordered]

    def _imports(self, file: FileDescriptor) -> set[str]:
        mine = [each for each in self._types.values() if each.file.name == file.name]
        return {needed.file.name for each in mine for needed in _needs(each)} - {file.name}

    def _cut_down(self, file: FileDescriptor, imports: list[str]) -> FileDescriptorProto:
        whole = FileDescriptorProto()
        file.CopyToProto(whole)
        prefix = f"{file.package}." if file.package else ""
        kept = FileDescriptorProto(name=file.name, package=file.package, dependency=imports)
        kept.syntax, kept.edition = whole.syntax, whole.edition
        if whole.HasField("options"):
            kept.options.CopyFrom(whole.options)
        kept.message_type.extend(each for each in whole.message_type if prefix + each.name in self._types)
        kept.enum_type.extend(each for each in whole.enum_type if prefix + each.name in self._types)
        for field in ("syntax", "edition"):
            if not whole.HasField(field):
                kept.ClearField(field)
        return kept


def _needs(outermost: Descriptor | EnumDescriptor) -> list[Descriptor | EnumDescriptor]:
    """Returns the outermost types of the fields of a type and of the types nested in it."""
    if isinstance(outermost, EnumDescriptor):
        return []
    return [_outermost(of) for field in _fields(outermost) if (of := field.message_type or field.enum_type) is not None]


def _fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from _fields(nested)


def _outermost(each: Descriptor | EnumDescriptor) -> Descriptor | EnumDescriptor:
    while each.containing_type is not None:
        each = each.containing_type
    return each
