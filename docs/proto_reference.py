"""Writes the reference of the contracts into docs/reference.md and docs/reference_api.md, from the .proto files.

    python docs/proto_reference.py            rewrite the reference
    python docs/proto_reference.py --check    exit 1 if it differs from the .proto files

It is between `<!-- contract -->` and `<!-- end -->`; the text before it is written by hand. The requests of the
examples are in docs/reference_calls.toml; services/jobs/tests/test_server_reference.py runs the examples.
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
from headrace.jobs.v1 import options_pb2

ROOT = Path(__file__).resolve().parents[1]
CALLS = ROOT / "docs/reference_calls.toml"
DESCRIPTORS = ROOT / "proto/gen/descriptors.binpb"
_PLACE = re.compile(r"(?P<begin><!-- contract -->\n).*(?P<end><!-- end -->)", re.DOTALL)
# Where descriptors have their parts (descriptor.proto): the numbers of the paths to comments.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_METHODS, _VALUES = 2, 2
_Field = descriptor_pb2.FieldDescriptorProto
_Path = tuple[int, ...]


class PageOf(NamedTuple):
    """What a page is about."""

    file: str
    sources: tuple[str, ...]
    """The .proto files, or the folders of them."""
    calls: Path | None = None
    """What the examples of its methods send; None where it has none."""


PAGES = (
    PageOf("docs/reference.md", ("headrace/jobs/v1/", "saas/jobs/v1/kinds.proto"), CALLS),
    PageOf("docs/reference_api.md", ("saas/auth/v1/", "saas/billing/v1/", "saas/jobs/v1/worker_support.proto")),
)


class Described(NamedTuple):
    """A message, an enum or a service of the contract, with the file it stands in and its place there."""

    package: str
    short: str
    """Its name within the package."""
    what: Any
    comments: Mapping[_Path, str]
    path: _Path

    @property
    def name(self) -> str:
        """Its full name."""
        return f"{self.package}.{self.short}"

    @property
    def is_kind(self) -> bool:
        """Whether it is a message that is a job kind."""
        option: Any = options_pb2.job
        return bool(self.what.options.HasExtension(option))

    def comment(self, *path: int) -> str:
        """What the .proto file says of it, or of a part of it."""
        return self.comments.get((*self.path, *path), "")


class Contract:
    """What some .proto files define."""

    def __init__(self, data: bytes, sources: tuple[str, ...]) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(data).file
        self._files = [file for file in files if file.name.startswith(sources)]

    @cached_property
    def services(self) -> list[Described]:
        """The services in their order."""
        return [
            Described(file.package, service.name, service, _comments(file), (_SERVICES, number))
            for file in self._files
            for number, service in enumerate(file.service)
        ]

    @cached_property
    def messages(self) -> dict[str, Described]:
        """The messages by full name, but for maps' entries."""
        return {
            each.name: each
            for file in self._files
            for number, message in enumerate(file.message_type)
            for each in _messages(message, file.package, "", _comments(file), (_MESSAGES, number))
        }

    @cached_property
    def enums(self) -> dict[str, Described]:
        """The enums by full name."""
        top = [
            Described(file.package, enum.name, enum, _comments(file), (_ENUMS, number))
            for file in self._files
            for number, enum in enumerate(file.enum_type)
        ]
        nested = [
            Described(
                each.package, f"{each.short}.{enum.name}", enum, each.comments, (*each.path, _NESTED_ENUMS, place)
            )
            for each in self.messages.values()
            for place, enum in enumerate(each.what.enum_type)
        ]
        return {each.name: each for each in (*top, *nested)}


def _comments(file: descriptor_pb2.FileDescriptorProto) -> dict[_Path, str]:
    return {tuple(place.path): place.leading_comments for place in file.source_code_info.location}


def _messages(
    message: descriptor_pb2.DescriptorProto, package: str, scope: str, comments: Mapping[_Path, str], path: _Path
) -> Iterator[Described]:
    if message.options.map_entry:
        return
    name = f"{scope}{message.name}"
    yield Described(package, name, message, comments, path)
    for number, nested in enumerate(message.nested_type):
        yield from _messages(nested, package, f"{name}.", comments, (*path, _NESTED, number))


class Page:
    """The reference in Markdown."""

    def __init__(self, contract: Contract, calls: Mapping[str, Any] | None) -> None:
        self._contract = contract
        self._calls = calls
        self._methods = {
            f".{service.name}/{method.name}": method for service in contract.services for method in service.what.method
        }
        names = {method.name for method in self._methods.values()}
        if calls is not None and (missing := sorted(names ^ calls.keys())):
            raise SystemExit(f"{CALLS.name}: an example for each method, and for nothing else: {', '.join(missing)}")

    def text(self) -> str:
        """The whole of it."""
        messages = [each for _, each in sorted(self._contract.messages.items())]
        with_methods = {name for method in self._methods.values() for name in (method.input_type, method.output_type)}
        kinds = [each for each in messages if each.is_kind]
        shared = [each for each in messages if f".{each.name}" not in with_methods and not each.is_kind]
        enums = [each for _, each in sorted(self._contract.enums.items())]
        sections = {
            "Job kinds": [f"### {each.short}\n\n{_options(each)}\n\n{self._message(each)}" for each in kinds],
            "Messages": [f"### {each.short}\n\n{self._message(each)}" for each in shared],
            "Enums": [f"### {each.short}\n\n{self._enum(each)}" for each in enums],
        }
        parts = [part for service in self._contract.services for part in self._service(service)]
        parts += [part for title, texts in sections.items() if texts for part in (f"## {title}", *texts)]
        return "\n\n".join(parts)

    def _service(self, service: Described) -> Iterator[str]:
        methods = [(method, service.comment(_METHODS, place)) for place, method in enumerate(service.what.method)]
        yield f"## {service.short}"
        yield f"`{service.name}`. {paragraphs(service.comment())}"
        yield "\n".join(f"- [{each.name}](#{each.name.lower()}): {sentence(comment)}" for each, comment in methods)
        for method, comment in methods:
            yield self._method(service, method, comment)

    def _method(self, service: Described, method: descriptor_pb2.MethodDescriptorProto, comment: str) -> str:
        messages = self._contract.messages
        request, response = messages[method.input_type[1:]], messages[method.output_type[1:]]
        parts = [f"### {method.name}", paragraphs(comment)]
        if self._calls is not None:
            parts.append(f"```sh\n{_call(service, method.name, self._calls[method.name])}\n```")
        parts += [f"**{each.short}**: {self._message(each)}" for each in (request, response)]
        return "\n\n".join(parts)

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
        words = [*rule_words(field.options.Extensions[rules])] if field.options.HasExtension(rules) else []
        words += ["redacted"] if field.options.debug_redact else []
        return f"| `{field.name}` | {self._type(message, field)} | {', '.join(words)} | {said} |"

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
        for method in self._methods.values():
            if f".{described.name}" in {method.input_type, method.output_type}:
                return str(method.name).lower()
        return described.short.lower().replace(".", "")

    def _enum(self, enum: Described) -> str:
        rows = [
            f"| `{value.name}` | {value.number} | {cell(enum.comment(_VALUES, place))} |"
            for place, value in enumerate(enum.what.value)
        ]
        return "\n".join(
            [f"{paragraphs(enum.comment())}\n", "| value | number | what it means |", "| --- | --- | --- |", *rows]
        )


def _call(service: Described, method: str, sent: Any) -> str:
    data = f"-d '{json.dumps(sent, ensure_ascii=False)}' " if sent else ""
    return f'grpcurl -plaintext -H "authorization: Bearer $TOKEN" {data}$JOBS {service.name}/{method}'


def _options(kind: Described) -> str:
    """How jobs of a kind are run, where its option says so."""
    option: Any = options_pb2.job
    words = (f"{name} {value}" for name, value in _option_words(kind.what.options.Extensions[option]))
    return f"Runs with {', '.join(words)}."


def _option_words(options: Message) -> Iterator[tuple[str, str]]:
    for field, value in options.ListFields():
        shown = value.ToJsonString() if isinstance(value, duration_pb2.Duration) else str(value)
        yield field.name.replace("_", " "), f"`{shown}`"


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
    """Escapes what Markdown would take for a tag."""
    return text.replace("<", "&lt;")


def with_contract(page: PageOf, text: str) -> str:
    """A page's text with the contract filled in; raises SystemExit if it has no place for it."""
    if not _PLACE.search(text):
        raise SystemExit(f"{page.file} has no place for the contract")
    calls = None
    if page.calls is not None:
        said = tomllib.loads(page.calls.read_text(encoding="utf-8"))
        calls = {name: json.loads(sent) for name, sent in said.items()}
    contract = Page(Contract(DESCRIPTORS.read_bytes(), page.sources), calls).text()
    return _PLACE.sub(lambda match: f"{match['begin']}\n{contract}\n\n{match['end']}", text)


def main() -> None:
    """The command."""
    for page in PAGES:
        file = ROOT / page.file
        old = file.read_text(encoding="utf-8")
        fresh = with_contract(page, old)
        if "--check" in sys.argv[1:]:
            if old != fresh:
                raise SystemExit(f"{page.file} is stale; run `python docs/proto_reference.py`")
        else:
            file.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
