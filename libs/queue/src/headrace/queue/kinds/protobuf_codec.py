"""Payloads that are protobuf messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

import protovalidate
from google.protobuf.message import DecodeError, EncodeError, Message

from headrace.queue.errors import PayloadInvalidError, PayloadUnreadableError, Violation
from headrace.redaction import Redactor, Secret, may_redact, redacted, secrets_of, types_in


class ProtobufCodec:
    """Messages of a protobuf class, with the rules of its .proto file."""

    def __init__(self, message_class: type[Message]) -> None:
        self._class = message_class
        self._name = message_class.DESCRIPTOR.full_name
        self.fields = frozenset(message_class.DESCRIPTOR.fields_by_name)
        self._may_redact = may_redact(message_class)
        self._may_have_map = any(each.GetOptions().map_entry for each in types_in(message_class))

    def encode(self, payload: Any) -> bytes:
        """See Codec."""
        try:
            data: bytes = payload.SerializeToString(deterministic=True)
        except EncodeError as error:
            raise PayloadUnreadableError(self._name, str(error)) from None
        return data

    def decode(self, data: bytes) -> Message:
        """See Codec."""
        try:
            return self._class.FromString(data)
        except DecodeError as error:
            raise PayloadUnreadableError(self._name, str(error)) from None

    def check(self, data: bytes) -> Message:
        """See Codec. Read back even where it came as a message: more nesting can be written than could be read."""
        message = self.decode(data)
        try:
            broken = [_of_rule(found) for found in protovalidate.collect_violations(message)]
        except protovalidate.EvaluationError as error:
            broken = [Violation("", f"breaks a rule, which can't be evaluated with it: {error}")]
        if broken:
            raise PayloadInvalidError(self._name, self._unseen(message, broken))
        return message

    def _unseen(self, message: Message, broken: list[Violation]) -> list[Violation]:
        """Violations without redacted values: a rule of the user's own may quote them, a path may be a map's key."""
        if not self._may_redact:
            return broken
        veil = Redactor()
        veil.redact(message)
        return [Violation(veil.text(found.field), veil.text(found.description), found.rule) for found in broken]

    def compile_rules(self) -> None:
        """Compiles the rules now, not when the first job arrives.

        Raises:
            protovalidate.CompilationError: One makes no sense.
        """
        with suppress(protovalidate.EvaluationError):  # that is of the empty message alone
            protovalidate.collect_violations(self._class())

    def canonical_fields(self, message: Any, fields: Collection[str] | None) -> bytes:
        """See Codec."""
        chosen = self._class()
        chosen.CopyFrom(message)
        for field, _ in chosen.ListFields():
            if fields is not None and field.name not in fields:
                chosen.ClearField(field.name)
        chosen.DiscardUnknownFields()
        return chosen.SerializeToString(deterministic=True)

    def canonical_bytes(self, data: bytes, message: Any) -> bytes:
        """See Codec. Clients in other languages write a map in any order, and in another one when they try again.

        What can have no map stays as it came: of two releases, one may not know a field, and would write it elsewhere.
        """
        if self._may_have_map:
            data = message.SerializeToString(deterministic=True)
        return data

    def secrets(self, message: Any) -> Iterable[Secret]:
        """See Codec: fields with `debug_redact`."""
        return secrets_of(message) if self._may_redact else ()

    def redacted(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """See Codec. What nothing is veiled in stays as it is, byte by byte."""
        seen, paths = redacted(self.decode(data))
        return (seen.SerializeToString(), paths) if paths else (data, ())


def _of_rule(found: protovalidate.Violation) -> Violation:
    path = ""
    for element in found.proto.field.elements if found.proto.field else []:
        path += ("." if path else "") + element.field_name
        which = element.subscript
        if which is not None:
            path += f"[{which.value}]"
    return Violation(path, found.proto.message, found.proto.rule_id)
