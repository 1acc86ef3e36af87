"""How the payload of a kind becomes bytes and a message again: protobuf, or JSON of a dataclass or pydantic model.

What is written is read back at the door, so that a worker of the same release can read whatever was accepted.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from headrace.queue.errors import PayloadInvalidError, PayloadUnreadableError, Violation
from headrace.redaction import Secret

if TYPE_CHECKING:
    from pydantic import ValidationError


# What pydantic writes in the place of a secret, unless the field has a serializer of its own.
MASK = b"**********"
MASKED = "is a secret, which pydantic writes as asterisks: keep it elsewhere and send its id, or give it a serializer"


class JsonCodec:
    """Dataclasses and pydantic models, as JSON. Their types and validators are the rules.

    Raises:
        ModuleNotFoundError: pydantic is not installed (extra `pydantic`).
    """

    def __init__(self, payload_class: type[Any], name: str) -> None:
        try:
            from pydantic import TypeAdapter  # noqa: PLC0415  (only those who use it need it)
        except ModuleNotFoundError as error:
            error.add_note(f"{name} is no protobuf message and needs it: pip install 'headrace-queue[pydantic]'")
            raise

        self._class = payload_class
        self._name = name
        self._adapter: TypeAdapter[Any] = TypeAdapter(payload_class)
        self.fields = frozenset(_names(payload_class))

    def compile_rules(self) -> None:
        """See Codec: pydantic has done so."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A process of its own makes its own."""
        return JsonCodec, (self._class, self._name)

    def encode(self, payload: Any) -> bytes:
        """See Codec."""
        from pydantic_core import PydanticSerializationError  # noqa: PLC0415

        try:
            return self._adapter.dump_json(payload, by_alias=False, warnings=False)
        except (PydanticSerializationError, UnicodeEncodeError, AttributeError) as error:
            raise PayloadUnreadableError(self._name, str(error)) from None

    def decode(self, data: bytes) -> Any:
        """See Codec."""
        from pydantic import ValidationError  # noqa: PLC0415

        try:
            return self._read(data)
        except ValidationError as error:
            raise PayloadUnreadableError(self._name, "; ".join(map(_words, _of_model(error)))) from None

    def check(self, data: bytes) -> Any:
        """See Codec."""
        from pydantic import ValidationError  # noqa: PLC0415

        try:
            message = self._read(data)
        except ValidationError as error:
            raise PayloadInvalidError(self._name, _of_model(error)) from None
        if MASK in data and (masked := [Violation(path, MASKED) for path in _masked(message)]):
            raise PayloadInvalidError(self._name, masked)
        return message

    def canonical_fields(self, message: Any, fields: Collection[str] | None) -> bytes:
        """See Codec. All of it is also what a model allows beyond its fields."""
        written = _in_order(json.loads(self.encode(message)), message)
        if isinstance(written, dict):
            names = {*self.fields, *_beyond(message)} if fields is None else fields
            written = {name: written.get(name) for name in names}
        return _text(written).encode()

    def canonical_bytes(self, data: bytes, message: Any) -> bytes:
        """See Codec. Nor has a set, and each process writes it in another one."""
        return _text(_in_order(json.loads(data), message)).encode()

    def secrets(self, message: Any) -> Iterable[Secret]:  # noqa: ARG002
        """See Codec: there is no such mark for dataclasses and models."""
        return ()

    def redacted(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """See Codec."""
        return data, ()

    def _read(self, data: bytes) -> Any:
        return self._adapter.validate_json(data, by_alias=False, by_name=True)


def _masked(value: Any, path: str = "") -> Iterator[str]:
    """Where a message holds asterisks in the place of a secret."""
    if isinstance(value, Mapping):
        inner = {f"{path}[{key}]": each for key, each in value.items()}
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = {f"{path}[{place}]": each for place, each in enumerate(value)}
    elif hasattr(value, "get_secret_value"):
        inner = {}
        if value.get_secret_value() in (MASK.decode(), MASK):
            yield path
    else:
        names = _names(type(value))
        inner = {f"{path}.{name}" if path else name: getattr(value, name) for name in names}
    for step, each in inner.items():
        yield from _masked(each, step)


def _in_order(written: Any, value: Any) -> Any:
    """The JSON of a value, with the elements of sets in an order that depends on nothing but them.

    What the class has written in its own way stays as it is, and so do sets inside of objects inside of sets.
    """
    value = getattr(value, "root", value) if hasattr(type(value), "__pydantic_root_model__") else value
    match written:
        case list() if isinstance(value, (set, frozenset)):
            inner = [sorted(each, key=_text) for each in written] if _are_sets(value) else written
            return sorted(inner, key=_text)
        case list() if isinstance(value, (list, tuple, deque)) and len(written) == len(value):
            return [_in_order(*pair) for pair in zip(written, value, strict=True)]
        case dict():
            inside = _inside(value)
            return {name: _in_order(each, inside[name]) if name in inside else each for name, each in written.items()}
    return written


def _are_sets(values: Collection[Any]) -> bool:
    return all(isinstance(value, frozenset) for value in values)


def _text(written: Any) -> str:
    return json.dumps(written, sort_keys=True)


def _inside(value: Any) -> dict[str, Any]:
    """What a mapping, a model or a dataclass holds, by the names in its JSON."""
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    names = [name for name in _names(type(value)) if hasattr(value, name)]
    return {**{name: getattr(value, name) for name in names}, **_beyond(value)}


def _names(of_class: type[Any]) -> Iterable[str]:
    """The fields of a pydantic model or dataclass; none of any other class."""
    names: Iterable[str] = getattr(of_class, "model_fields", ()) or getattr(of_class, "__dataclass_fields__", ())
    return names


def _beyond(model: Any) -> dict[str, Any]:
    """What a pydantic model holds beyond its fields, where it allows that."""
    return getattr(model, "__pydantic_extra__", None) or {}


def _of_model(error: ValidationError) -> list[Violation]:
    """What pydantic found, without the values: they don't belong into logs."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [Violation(_path(each["loc"]), each["msg"], each["type"]) for each in found]


def _path(steps: tuple[int | str, ...]) -> str:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _words(violation: Violation) -> str:
    return f"{violation.field or 'message'}: {violation.description}"
