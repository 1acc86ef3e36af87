"""Releases of a .proto file, each compiled by protoc into a world of its own, as the processes of a rollout have it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_tools import protoc

import headrace.jobs.v1.options_pb2 as options
from headrace.queue import Kinds

PACKAGE = "shop.jobs.v1"
_HEAD = f'syntax = "proto3";\npackage {PACKAGE};\nimport "headrace/jobs/v1/options.proto";\n'
_OPTIONS = [options.DESCRIPTOR.dependencies[0], options.DESCRIPTOR.dependencies[1], options.DESCRIPTOR]


def message(name: str, fields: str, **options: object) -> str:
    """The text of a kind."""
    set_ = " ".join(f"{option}: {value}" for option, value in {"queue": '"shop"', **options}.items())
    return f"message {name} {{ option (headrace.jobs.v1.job) = {{ {set_} }}; {fields} }}\n"


def kinds_of(text: str) -> Kinds:
    """The kinds of a release whose .proto file has this text behind its head."""
    return Kinds.of_file(file_of(text))


def file_of(text: str) -> FileDescriptor:
    """The file itself."""
    pool = descriptor_pool.DescriptorPool()
    for file in _OPTIONS:
        pool.AddSerializedFile(file.serialized_pb)
    return _in_pool(pool, "kinds", text)


@cache
def kinds_here(name: str, text: str) -> Kinds:
    """The kinds of a file that this process knows, as a door needs them; no other one may have the same messages."""
    return Kinds.of_file(_in_pool(descriptor_pool.Default(), name, text))


def _in_pool(pool: descriptor_pool.DescriptorPool, name: str, text: str) -> FileDescriptor:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        _protoc(Path(folder), name, text, [f"--descriptor_set_out={image}"])
        [file] = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
        pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(f"shop/jobs/v1/{name}.proto")


def write_modules(folder: Path, text: str) -> Path:
    """Generates the module shop.jobs.v1.kinds_pb2 of a release into a folder, to be put on a process' path."""
    folder.mkdir(parents=True, exist_ok=True)
    _protoc(folder, "kinds", text, [f"--python_out={folder}"])
    return folder


def environment(folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that has that release's modules."""
    return {**base, "PYTHONPATH": str(folder)}


def _protoc(folder: Path, name: str, text: str, flags: list[str]) -> None:
    source = folder / f"shop/jobs/v1/{name}.proto"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(_HEAD + text)
    imports = folder / "imports.binpb"
    imports.write_bytes(descriptor_pb2.FileDescriptorSet(file=[_proto(file) for file in _OPTIONS]).SerializeToString())
    arguments = ["protoc", f"--proto_path={folder}", f"--proto_path={files('grpc_tools') / '_proto'}"]
    assert protoc.main([*arguments, f"--descriptor_set_in={imports}", *flags, f"shop/jobs/v1/{name}.proto"]) == 0, text


def _proto(file: FileDescriptor) -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    return proto
