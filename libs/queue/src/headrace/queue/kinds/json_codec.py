"""Payloads that are dataclasses or pydantic models, stored as JSON. Needs pydantic.

An encoded payload is decoded again when it is enqueued, so that a worker of the same release can decode every job.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from headrace.queue.errors import PayloadInvalidError, PayloadUnreadableError, Violation
from headrace.redaction import Secret

# What pydantic writes instead of a secret, unless the field has its own serializer.
MASK = b"**********"
MASKED = "is a secret, which pydantic writes as asterisks: keep it elsewhere and send its id, or give it a serializer"


class JsonCodec:
    """Encodes a dataclass or a pydantic model as JSON. Its types and validators are the rules."""

    descriptor = None

    def __init__(self, payload_class: type[Any], name: str) -> None:
        self._class = payload_class
        self._name = name
        self._adapter: TypeAdapter[Any] = TypeAdapter(payload_class)
        self.fields = frozenset(_names(payload_class))

    def compile_rules(self) -> None:
        """See Codec: `TypeAdapter` has done so."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the class and its name; a `TypeAdapter` can't be pickled."""
        return JsonCodec, (self._class, self._name)

    def encode(self, payload: Any) -> bytes:
        """See Codec."""
        try:
            return self._adapter.dump_json(payload, by_alias=False, warnings=False)
        except (PydanticSerializationError, UnicodeEncodeError, AttributeError) as error:
            raise PayloadUnreadableError(self._name, str(error)) from None

    def decode(self, data: bytes) -> Any:
        """See Codec."""
        try:
            return self._read(data)
        except ValidationError as error:
            raise PayloadUnreadableError(self._name, "; ".join(map(_text_of, _of_model(error)))) from None

    def check(self, data: bytes) -> Any:
        """See Codec."""
        try:
            message = self._read(data)
        except ValidationError as error:
            raise PayloadInvalidError(self._name, _of_model(error)) from None
        if MASK in data and (masked := [Violation(path, MASKED) for path in _masked(message)]):
            raise PayloadInvalidError(self._name, masked)
        return message

    def canonical_fields(self, message: Any, fields: Collection[str] | None) -> bytes:
        """See Codec. All fields include those that a model allows beyond its declared ones."""
        written = _in_order(json.loads(self.encode(message)), message)
        if isinstance(written, dict):
            names = {*self.fields, *_beyond(message)} if fields is None else fields
            written = {name: written.get(name) for name in names}
        return _canonical(written).encode()

    def canonical_bytes(self, data: bytes, message: Any) -> bytes:
        """See Codec. Each process writes the elements of a set in another order."""
        return _canonical(_in_order(json.loads(data), message)).encode()

    def secrets(self, message: Any) -> Iterable[Secret]:  # noqa: ARG002
        """See Codec: fields of dataclasses and models can't be marked as redacted."""
        return ()

    def redacted(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """See Codec."""
        return data, ()

    def _read(self, data: bytes) -> Any:
        return self._adapter.validate_json(data, by_alias=False, by_name=True)


def _masked(value: Any, path: str = "") -> Iterator[str]:
    """Returns where a message has asterisks instead of a secret."""
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
    """Returns the JSON of a value with the elements of its sets sorted.

    What a serializer of the class has written stays as it is, and so do sets in objects that are elements of sets.
    """
    value = getattr(value, "root", value) if hasattr(type(value), "__pydantic_root_model__") else value
    match written:
        case list() if isinstance(value, (set, frozenset)):
            inner = [sorted(each, key=_canonical) for each in written] if _are_sets(value) else written
            return sorted(inner, key=_canonical)
        case list() if isinstance(value, (list, tuple, deque)) and len(written) == len(value):
            return [_in_order(*pair) for pair in zip(written, value, strict=True)]
        case dict():
            inside = _inside(value)
            return {name: _in_order(each, inside[name]) if name in inside else each for name, each in written.items()}
    return written


def _are_sets(values: Collection[Any]) -> bool:
    return all(isinstance(value, frozenset) for value in values)


def _canonical(written: Any) -> str:
    return json.dumps(written, sort_keys=True)


def _inside(value: Any) -> dict[str, Any]:
    """Returns the values in a mapping, a model or a dataclass, by their names in its JSON."""
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    names = [name for name in _names(type(value)) if hasattr(value, name)]
    return {**{name: getattr(value, name) for name in names}, **_beyond(value)}


def _names(of_class: type[Any]) -> Iterable[str]:
    """Returns the fields of a pydantic model or dataclass; nothing for any other class."""
    names: Iterable[str] = getattr(of_class, "model_fields", ()) or getattr(of_class, "__dataclass_fields__", ())
    return names


def _beyond(model: Any) -> dict[str, Any]:
    """Returns the values that a pydantic model has beyond its declared fields, if it allows them."""
    return getattr(model, "__pydantic_extra__", None) or {}


def _of_model(error: ValidationError) -> list[Violation]:
    """Returns what pydantic found, without the values, which don't belong in logs."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [Violation(_path(each["loc"]), each["msg"], each["type"]) for each in found]


def _path(steps: tuple[int | str, ...]) -> str:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _text_of(violation: Violation) -> str:
    return f"{violation.field or 'message'}: {violation.description}"
