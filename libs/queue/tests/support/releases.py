"""Releases of a .proto file, each compiled by protoc into a separate descriptor pool, as in a rollout."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_tools import protoc

from buf.validate import validate_pb2
from headrace.jobs.v1 import options_pb2
from headrace.queue import Kinds

PACKAGE = "shop.jobs.v1"
FILE = "shop/jobs/v1/kinds.proto"
_HEAD = f'syntax = "proto3";\npackage {PACKAGE};\nimport "headrace/jobs/v1/options.proto";\n'


def message(name: str, fields: str, **options: object) -> str:
    """The text of a kind."""
    set_ = " ".join(f"{option}: {value}" for option, value in {"queue": '"shop"', **options}.items())
    return f"message {name} {{ option (headrace.jobs.v1.job) = {{ {set_} }}; {fields} }}\n"


def kinds_of(text: str) -> Kinds:
    """The kinds of a release whose .proto file has this text behind its head."""
    return Kinds.of_file(file_of(text))


def file_of(text: str, *, file: str = FILE) -> FileDescriptor:
    """The file itself. A text that begins with its syntax needs no head."""
    pool = descriptor_pool.DescriptorPool()
    for imported in _imports():
        pool.AddSerializedFile(imported.SerializeToString())
    return _in_pool(pool, file, text)


@cache
def kinds_here(name: str, text: str) -> Kinds:
    """The kinds of a file that this process knows, for an enqueuer; no other file may have the same messages."""
    return Kinds.of_file(_in_pool(descriptor_pool.Default(), FILE.replace("kinds", name), text))


def write_modules(folder: Path, text: str, *, file: str = FILE) -> Path:
    """Generates a release's module, such as shop.jobs.v1.kinds_pb2, into a folder, to be put on a process' path."""
    folder.mkdir(parents=True, exist_ok=True)
    _protoc(folder, file, text, [f"--python_out={folder}"])
    return folder


def environment(folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that has that release's modules."""
    return {**base, "PYTHONPATH": str(folder)}


def _in_pool(pool: descriptor_pool.DescriptorPool, file: str, text: str) -> FileDescriptor:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        _protoc(Path(folder), file, text, [f"--descriptor_set_out={image}"])
        [compiled] = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
        pool.AddSerializedFile(compiled.SerializeToString())
    return pool.FindFileByName(file)


def _protoc(folder: Path, file: str, text: str, flags: list[str]) -> None:
    source = folder / file
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text if text.startswith("syntax") else _HEAD + text)
    imports = folder / "imports.binpb"
    imports.write_bytes(descriptor_pb2.FileDescriptorSet(file=_imports()).SerializeToString())
    arguments = ["protoc", f"--proto_path={folder}", f"--proto_path={files('grpc_tools') / '_proto'}"]
    assert protoc.main([*arguments, f"--descriptor_set_in={imports}", *flags, file]) == 0, text


@cache
def _imports() -> list[descriptor_pb2.FileDescriptorProto]:
    """What a file of kinds may import, each behind what it imports itself."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def take(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            take(dependency)
        if file.name not in found:
            found[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(found[file.name])

    for file in (options_pb2.DESCRIPTOR, validate_pb2.DESCRIPTOR):
        take(file)
    return list(found.values())
