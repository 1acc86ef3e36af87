"""Writes the contract's reference into docs/reference.md, from the .proto files and their comments.

    python docs/proto_reference.py            rewrite the reference
    python docs/proto_reference.py --check    exit 1 when it is not what the .proto files say

It stands between `<!-- contract -->` and `<!-- end -->`; the text before it is written by hand. What the example of
each method sends stands in docs/reference_calls.toml; services/jobs/tests/test_server_reference.py runs the examples.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, duration_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference.md"
CALLS = ROOT / "docs/reference_calls.toml"
DESCRIPTORS = ROOT / "proto/gen/descriptors.binpb"
PACKAGE = "headrace.jobs.v1"
SERVICE = "JobsService"
# Read by those who write kinds, not by those who call.
LEFT_OUT = {"headrace/jobs/v1/options.proto"}
_PLACE = re.compile(r"(?P<begin><!-- contract -->\n).*(?P<end><!-- end -->)", re.DOTALL)
# Where descriptors have their parts (descriptor.proto): the numbers of the paths to comments.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_METHODS, _VALUES = 2, 2
_Field = descriptor_pb2.FieldDescriptorProto
_Path = tuple[int, ...]


class Described(NamedTuple):
    """A message or an enum of the contract, with the file it stands in and its place there."""

    name: str
    """Its full name."""
    what: Any
    comments: Mapping[_Path, str]
    path: _Path

    @property
    def short(self) -> str:
        """Its name within the package."""
        return self.name.removeprefix(f"{PACKAGE}.")

    def comment(self, *path: int) -> str:
        """What the .proto file says of it, or of a part of it."""
        return self.comments.get((*self.path, *path), "")


class Contract:
    """The .proto files of the package."""

    def __init__(self, data: bytes) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(data).file
        self._files = [file for file in files if file.package == PACKAGE and file.name not in LEFT_OUT]

    @cached_property
    def methods(self) -> list[tuple[descriptor_pb2.MethodDescriptorProto, str]]:
        """The methods in their order, each with its comment."""
        [(service, comments, number)] = [
            (service, _comments(file), number)
            for file in self._files
            for number, service in enumerate(file.service)
            if service.name == SERVICE
        ]
        return [
            (method, comments.get((_SERVICES, number, _METHODS, place), ""))
            for place, method in enumerate(service.method)
        ]

    @cached_property
    def messages(self) -> dict[str, Described]:
        """The messages by full name, but for maps' entries."""
        return {
            each.name: each
            for file in self._files
            for number, message in enumerate(file.message_type)
            for each in _messages(message, file.package, _comments(file), (_MESSAGES, number))
        }

    @cached_property
    def enums(self) -> dict[str, Described]:
        """The enums by full name."""
        top = [
            Described(f"{file.package}.{enum.name}", enum, _comments(file), (_ENUMS, number))
            for file in self._files
            for number, enum in enumerate(file.enum_type)
        ]
        nested = [
            Described(f"{message.name}.{enum.name}", enum, message.comments, (*message.path, _NESTED_ENUMS, number))
            for message in self.messages.values()
            for number, enum in enumerate(message.what.enum_type)
        ]
        return {each.name: each for each in (*top, *nested)}


def _comments(file: descriptor_pb2.FileDescriptorProto) -> dict[_Path, str]:
    return {tuple(place.path): place.leading_comments for place in file.source_code_info.location}


def _messages(
    message: descriptor_pb2.DescriptorProto, scope: str, comments: Mapping[_Path, str], path: _Path
) -> Iterator[Described]:
    if message.options.map_entry:
        return
    name = f"{scope}.{message.name}"
    yield Described(name, message, comments, path)
    for number, nested in enumerate(message.nested_type):
        yield from _messages(nested, name, comments, (*path, _NESTED, number))


class Page:
    """The reference in Markdown."""

    def __init__(self, contract: Contract, calls: Mapping[str, Mapping[str, Any]]) -> None:
        self._contract = contract
        self._calls = calls
        names = {method.name for method, _ in contract.methods}
        if missing := sorted(names ^ calls.keys()):
            raise SystemExit(f"{CALLS.name}: an example for each method, and for nothing else: {', '.join(missing)}")

    def text(self) -> str:
        """The whole of it."""
        with_methods = {
            name for method, _ in self._contract.methods for name in (method.input_type, method.output_type)
        }
        shared = [each for name, each in sorted(self._contract.messages.items()) if f".{name}" not in with_methods]
        parts = [
            "## Methods",
            "\n".join(
                f"- [{method.name}](#{method.name.lower()}): {sentence(said)}"
                for method, said in self._contract.methods
            ),
            *(self._method(method, comment) for method, comment in self._contract.methods),
            "## Messages",
            *(f"### {each.short}\n\n{self._message(each)}" for each in shared),
            "## Enums",
            *(f"### {each.short}\n\n{self._enum(each)}" for _, each in sorted(self._contract.enums.items())),
        ]
        return "\n\n".join(parts)

    def _method(self, method: descriptor_pb2.MethodDescriptorProto, comment: str) -> str:
        messages = self._contract.messages
        request, response = messages[method.input_type[1:]], messages[method.output_type[1:]]
        return "\n\n".join(
            [
                f"### {method.name}",
                paragraphs(comment),
                f"```sh\n{self._call(method.name)}\n```",
                f"**{request.short}**: {self._message(request)}",
                f"**{response.short}**: {self._message(response)}",
            ]
        )

    def _call(self, method: str) -> str:
        sent = json.dumps(self._calls[method], ensure_ascii=False)
        data = f"-d '{sent}' " if self._calls[method] else ""
        return f'grpcurl -plaintext -H "authorization: Bearer $TOKEN" {data}$JOBS {PACKAGE}.{SERVICE}/{method}'

    def _message(self, message: Described) -> str:
        rows = [self._field(message, number, field) for number, field in enumerate(message.what.field)]
        if not rows:
            return f"{paragraphs(message.comment())} It has no fields."
        head = ["| field | type | rules | what it is |", "| --- | --- | --- | --- |"]
        return "\n".join([f"{paragraphs(message.comment())}\n", *head, *rows])

    def _field(self, message: Described, number: int, field: descriptor_pb2.FieldDescriptorProto) -> str:
        rules: Any = validate_pb2.field
        said = cell(message.comment(_FIELDS, number))
        if field.HasField("oneof_index") and not field.proto3_optional:
            said = f"*{message.what.oneof_decl[field.oneof_index].name}*: {said}"
        words = ", ".join(rule_words(field.options.Extensions[rules])) if field.options.HasExtension(rules) else ""
        return f"| `{field.name}` | {self._type(message, field)} | {words} | {said} |"

    def _type(self, message: Described, field: descriptor_pb2.FieldDescriptorProto) -> str:
        entries = {f".{message.name}.{each.name}": each for each in message.what.nested_type if each.options.map_entry}
        if entry := entries.get(field.type_name):
            key, value = entry.field
            return f"map from {self._type(message, key)} to {self._type(message, value)}"
        words = ["list of"] if field.label == _Field.LABEL_REPEATED else []
        words += ["optional"] if field.proto3_optional else []
        return " ".join([*words, self._one(field)])

    def _one(self, field: descriptor_pb2.FieldDescriptorProto) -> str:
        name = field.type_name.removeprefix(".")
        described = self._contract.messages.get(name) or self._contract.enums.get(name)
        if described is not None:
            return f"[{described.short}](#{self._anchor(described)})"
        return name or _Field.Type.Name(field.type).removeprefix("TYPE_").lower()

    def _anchor(self, described: Described) -> str:
        for method, _ in self._contract.methods:
            if f".{described.name}" in {method.input_type, method.output_type}:
                return method.name.lower()
        return described.short.lower().replace(".", "")

    def _enum(self, enum: Described) -> str:
        rows = [
            f"| `{value.name}` | {value.number} | {cell(enum.comment(_VALUES, place))} |"
            for place, value in enumerate(enum.what.value)
        ]
        return "\n".join(
            [f"{paragraphs(enum.comment())}\n", "| value | number | what it means |", "| --- | --- | --- |", *rows]
        )


def rule_words(rules: Message, prefix: str = "") -> Iterator[str]:
    """The rules of a field, each as it is named in protovalidate: "max_len 200"."""
    for field, value in rules.ListFields():
        name = field.name if field.name not in TRANSPARENT else ""
        if name == "ignore":
            continue
        if isinstance(value, duration_pb2.Duration):
            yield f"{prefix}{name} {value.ToJsonString()}"
        elif isinstance(value, Message):
            yield from rule_words(value, f"{prefix}{name} " if name else prefix)
        elif field.is_repeated:
            yield f"{prefix}{name} {', '.join(map(str, value))}"
        elif field.type == FieldDescriptor.TYPE_BOOL:
            yield f"{prefix}{name}"
        else:
            shown = cell(f"`{value}`") if isinstance(value, str) else value
            yield f"{prefix}{name} {shown}"


# Names of the rules' types, which the field's type says already.
TRANSPARENT = {"string", "int32", "int64", "repeated", "enum", "duration", "timestamp"}


def paragraphs(comment: str) -> str:
    """A comment as Markdown: its paragraphs, each on one line."""
    parts = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(escaped(" ".join(part.split())) for part in parts)


def sentence(comment: str) -> str:
    """The first sentence of a comment."""
    return escaped(re.split(r"(?<=\.)\s", " ".join(comment.split()))[0])


def cell(comment: str) -> str:
    """A comment in one cell of a table."""
    return escaped(" ".join(comment.split())).replace("|", "\\|")


def escaped(text: str) -> str:
    """What Markdown would take for a tag is none."""
    return text.replace("<", "&lt;")


def with_contract(page: str) -> str:
    """The page with the contract filled in anew; raises SystemExit where it has no place for it."""
    if not _PLACE.search(page):
        raise SystemExit("docs/reference.md has no place for the contract")
    calls = {name: json.loads(sent) for name, sent in tomllib.loads(CALLS.read_text(encoding="utf-8")).items()}
    text = Page(Contract(DESCRIPTORS.read_bytes()), calls).text()
    return _PLACE.sub(lambda match: f"{match['begin']}\n{text}\n\n{match['end']}", page)


def main() -> None:
    """The command."""
    old = PAGE.read_text(encoding="utf-8")
    fresh = with_contract(old)
    if "--check" in sys.argv[1:]:
        if old != fresh:
            raise SystemExit("docs/reference.md is stale; run `python docs/proto_reference.py`")
        return
    PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
